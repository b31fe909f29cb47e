/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Process safety: errors in several workers at once, thousands of broken
 * connections, starts and stops under load; afterwards full service, the
 * same workers, a clean log.
 * Each test owns its Kamailio and its load generator. One process, no lock.
 * Environment: BROKEN, STARTSTOP. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define DRAIN_MS 20000

/* After whatever happened: same workers, nothing left, full service. */
static void check_service(struct host_kam *kam)
{
	HOLDS(host_procs_changed(kam) == 0 && !host_wait_end(kam, 0),
			"the same workers live");
	HOLDS(host_rpc_await(
				  kam, "core.tcp_info", "opened_tls_connections", 0, DRAIN_MS),
			"no connection is left");
	HOLDS(suite_tlsload(kam->tls_port,
				  "--count 200 --conns 8 --mix full=2,resume=1,long=1",
				  1) == 0,
			"full service: no reply lost, no connection refused");
	HOLDS(host_stop(kam, SIGTERM), "clean stop, clean log");
}

static void test_concurrent(void)
{
	static const struct
	{
		const char *trait;
		const char *allocator;
	} rows[] = {{"ecdsa", "fm"}, {"rsa", "qm"}};
	struct host_config cfg = {.tcp_children = 4};
	struct host_kam kam;
	char params[512];
	size_t i;

	for(i = 0; i < 2; i++) {
		snprintf(params, sizeof(params),
				"modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n"
				"modparam(\"tls\", \"certificate\", \"@CERTS@/%s.pem\")\n"
				"modparam(\"tls\", \"private_key\", \"@CERTS@/%s.key\")\n",
				rows[i].trait, rows[i].trait);
		cfg.params = params;
		cfg.allocator = rows[i].allocator;
		if(!suite_started(&kam, &cfg))
			continue;
		HOLDS(suite_tlsload(kam.tls_port,
					  "--count 1500 --conns 8 --hold 100 "
					  "--mix full=4,resume=2,garbage=6,reset=3,relay=1",
					  1) == 0,
				"bad and good handshakes in several workers at once");
		check_service(&kam);
	}
}

static void test_broken(void)
{
	struct host_config cfg = {.tcp_children = 2};
	int number = suite_number("BROKEN", 1000);
	struct host_kam kam;
	char args[128];

	if(!suite_started(&kam, &cfg))
		return;
	snprintf(args, sizeof(args), "--broken all,%d --conns 1 --hold 100",
			(number + 1) / 2);
	HOLDS(suite_tlsload(kam.tls_port, args, 1) == 0,
			"broken connections one after another");
	snprintf(args, sizeof(args), "--broken all,%d --conns 8 --hold 100",
			(number + 1) / 2);
	HOLDS(suite_tlsload(kam.tls_port, args, 1) == 0,
			"broken connections eight at a time");
	check_service(&kam);
}

/* Waits until the load has opened connections. */
static bool load_arrived(struct host_kam *kam)
{
	long end = host_now() + 5000;

	while(host_rpc_number(kam, "core.tcp_info", "opened_tls_connections") < 8)
		if(host_now() >= end || host_wait_end(kam, 20))
			return false;
	return true;
}

static void test_startstop(void)
{
	struct host_config cfg = {.tcp_children = 2};
	int cycles = suite_number("STARTSTOP", 10);
	struct host_kam kam;
	pid_t load;
	int i;

	for(i = 0; i < cycles; i++) {
		if(!suite_started(&kam, &cfg))
			return;
		load = suite_tlsload(kam.tls_port,
				"--seconds 60 --conns 16 --mix full=4,resume=2,long=2,"
				"garbage=2,relay=2",
				0);
		HOLDS(load_arrived(&kam), "connections are open");
		HOLDS(host_stop(&kam, i & 1 ? SIGINT : SIGTERM),
				"clean stop under load");
		kill(load, SIGKILL);
		waitpid(load, NULL, 0);
	}
}

static const struct suite_test tests[] = {
		{"good and bad handshakes at once", test_concurrent},
		{"broken connections", test_broken},
		{"start and stop under load", test_startstop}, {NULL, NULL}};

const struct suite suite_safety = {"safety", NULL, NULL, tests};
