/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What the rooms of the soak test share: its options, its verdicts, and the
 * part that reloads the configuration while the load runs.
 * One process, no lock. */
#ifndef TEST_SOAK_H
#define TEST_SOAK_H

#include <stdbool.h>
#include <sys/types.h>

#include "../host/hostlib.h"

struct soak_options
{
	const char *seconds;
	int workers;
	const char *allocator;
	const char *cert; /* trait of the certificate: ecdsa or rsa */
	const char *mix;
	const char *conns;
	const char *procs;
	const char *params; /* further modparam lines */
	int shm_mb;
	bool counted; /* connections that end well only, and every number compared */
	bool reload;  /* tls.reload every second */
	const char *waits; /* file for the waits of requests, or NULL */
};

/* ---- soak.c ---- */

/* Prints a verdict and counts it. */
void judge(bool good, const char *what);

/* ---- soak_reload.c ---- */

/* Makes the certificates, and OPT and CFG ready for a run with reloads. */
void soak_reload_config(struct soak_options *opt, struct host_config *cfg);

/* Handshakes with every name, before anything is measured. */
void soak_reload_warm(struct host_kam *kam);

/* For a while as if, and then every second until the load LOAD has ended: replaces a
 * certificate and reloads, and now and then a configuration that must be refused. Judges the
 * answers, the certificates that are served and the shared memory. */
void soak_reload(
		struct host_kam *kam, const struct soak_options *opt, pid_t load);

/* Judges how long requests waited. After the load's end. */
void soak_reload_waits(const struct soak_options *opt);

#endif
