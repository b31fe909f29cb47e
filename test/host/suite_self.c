/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the test library itself, against a Kamailio without TLS: a
 * fixture that cannot fail proves nothing.
 * Owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

static void test_plain(void)
{
	struct host_config cfg = {.no_tls = true};
	struct host_kam kam;
	struct peer p;

	if(!host_start(&kam, &cfg)) {
		HOLDS(false, "a Kamailio without TLS starts");
		host_kill(&kam);
		return;
	}
	HOLDS(peer_tcp(&p, kam.tcp_port), "TCP port answers");
	HOLDS(peer_options(&p, 1, 0, NULL), "a request is answered");
	HOLDS(peer_options(&p, 2, 60000, NULL), "a body of 60000 is echoed");
	HOLDS(peer_request(&p, 3, 10, NULL)
					&& !peer_check_reply(&p, 4, 10, 200, PEER_WAIT_MS),
			"a reply to another CSeq is noticed");
	HOLDS(peer_request(&p, 5, 10, NULL)
					&& !peer_check_reply(&p, 5, 11, 200, PEER_WAIT_MS),
			"a wrong body is noticed");
	peer_close(&p);
	HOLDS(host_rpc_number(&kam, "core.shmmem", "used") > 1000,
			"the RPC gives numbers");
	HOLDS(host_rpc_number(&kam, "core.shmmem", "nothing") == -1,
			"a field that is not there is noticed");
	HOLDS(host_procs_changed(&kam) == 0, "no process has changed");
	HOLDS(host_log_count(&kam, "no such text") == 0,
			"the log has no such line");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_relay(void)
{
	struct host_config cfg = {.no_tls = true};
	struct host_kam kam;
	struct peer in;
	struct peer out;
	char extra[96];
	int port;
	int lfd = peer_listen(&port);

	if(host_start(&kam, &cfg)) {
		snprintf(extra, sizeof(extra),
				"X-Relay: sip:127.0.0.1:%d;transport=tcp\r\n", port);
		HOLDS(peer_tcp(&in, kam.tcp_port) && peer_request(&in, 1, 99, extra),
				"request sent");
		HOLDS(peer_accept(&out, lfd, NULL, PEER_WAIT_MS), "relayed");
		HOLDS(peer_serve(&out, PEER_WAIT_MS) > 0, "served");
		HOLDS(peer_check_reply(&in, 1, 99, 200, PEER_WAIT_MS),
				"the reply came back");
		peer_close(&out);
		peer_close(&in);
		HOLDS(host_stop(&kam, SIGINT), "clean stop by INT");
	} else {
		HOLDS(false, "a Kamailio without TLS starts");
		host_kill(&kam);
	}
	close(lfd);
}

static void test_refused(void)
{
	struct host_config cfg = {
			.no_tls = true, .globals = "loadmodule \"no-such-module.so\"\n"};
	struct host_kam kam;

	HOLDS(host_start_refused(&kam, &cfg) > 0, "a bad configuration is refused");
	HOLDS(host_log_count(&kam, "NO-SUCH-MODULE&error_while|error|not_found")
					> 0,
			"the log is searched without case");
	HOLDS(host_log_count(&kam, "never|no-such-module&nowhere|error") > 0,
			"alternatives and conjunctions of words work");
	HOLDS(host_log_count(&kam, "no-such-module&nowhere-in-it") == 0,
			"all words are needed");
	host_kill(&kam);
}

static const struct suite_test tests[] = {
		{"requests over plain TCP", test_plain},
		{"relay over plain TCP", test_relay},
		{"refused configuration", test_refused}, {NULL, NULL}};

const struct suite suite_self = {"self", NULL, NULL, tests};
