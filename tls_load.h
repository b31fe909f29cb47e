/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* From a configuration to a generation that is ready to be published: profiles
 * and their contexts, with every mistake told at its place. Publishes nothing
 * and knows no socket: whether somebody listens is asked. Called by the adapter
 * at start and at a reload and by the checker, in one process at a time. */
#ifndef TLS_LOAD_H
#define TLS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_domain.h"
#include "tls_err.h"
#include "tls_params.h"

/* Everything is borrowed for the call. */
struct tls_load_args
{
	const char *file; /* file or directory; NULL: the modparams alone */
	const struct tls_profile_params *modparams;
	const struct tls_settings *settings;
	const char *base_dir;
	/* the generation that runs, whose certificates and keys are taken over
	 * where their files have not changed; NULL = none */
	const struct tls_domains *before;
	/* true when the server listens on ADDR; NULL: nobody is asked */
	bool (*listens)(void *arg, const struct tls_addr *addr);
	/* gets each error and each warning as "file:line:column: sentence", one
	 * that many profiles inherit only once; may be NULL */
	tls_report_fn report;
	void *arg; /* of both */
};

/* What came of it. */
struct tls_load_result
{
	size_t profiles;
	size_t read; /* certificates that were read from files */
	size_t kept; /* and those taken over */
	unsigned int errors;
	unsigned int warnings;
	uint64_t ms;
};

/* Loads everything of ARGS. Blocks while files are read. TLS_RC_OK with the
 * sealed generation, whose one reference is the caller's, in *OUT; otherwise
 * *OUT is NULL: TLS_RC_CONFIG or TLS_RC_IO with the first error and the number
 * of the others in ERR, TLS_RC_NOMEM, TLS_RC_TLS. *RESULT is always set. */
enum tls_rc tls_load(const struct tls_load_args *args, struct tls_domains **out,
		struct tls_load_result *result, struct tls_err *err) TLS_MUST_CHECK;

/* Writes RESULT as a part of a sentence ("4 profiles, 2 certificates, ...")
 * into OUT of SIZE bytes and returns OUT. */
char *tls_load_text(
		const struct tls_load_result *result, char *out, size_t size);

#endif
