/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Lines of the log about what hardly ever happens: starts that the system, the
 * server or the library spoils, processes that do not hear each other, scripts
 * with mistakes, peers that are gone at the wrong moment.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"
#include "refusing_host.h"

#define N(a_) (sizeof(a_) / sizeof((a_)[0]))
#define REFUSING TEST_BUILD_DIR "/host/refusing/tls.so"
#define OTHER "loadmodule \"" TEST_BUILD_DIR "/host/other_tls.so\"\n"
#define CERTIFICATE                                               \
	"modparam(\"tls\", \"certificate\", \"@CERTS@/ecdsa.pem\")\n" \
	"modparam(\"tls\", \"private_key\", \"@CERTS@/ecdsa.key\")\n"

/* More memory than a process gets here, in MB, and what it gets. */
#define TOO_MANY_MB 4096
#define ADDRESSES ((rlim_t)1 << 30)

/* ---- starts ---- */

struct spoiled
{
	const char *reason;
	const char *refuses; /* names of functions, see refusing_host.h */
	const char *line;
	const char *globals;
	const char *modules;
	int shm_mb;
};

static const struct spoiled spoiled[] = {
		{"no shared memory", NULL, "ERROR&could not initialise shared memory",
				NULL, NULL, TOO_MANY_MB},
		{"no random bytes", "getrandom", "ERROR&no random bytes of the system",
				NULL, NULL, 0},
		{"no callback", "register_script_cb",
				"ERROR&could not register the script callback", NULL, NULL, 0},
		{"another library", "OpenSSL_version_num",
				"ERROR&the module was built with&install the matching library "
				"or set tls_force_run to 1",
				NULL, NULL, 0},
		{"a TLS module before us", NULL,
				"ERROR&another TLS module is loaded: remove it", OTHER, NULL,
				0},
		{"a TLS module after us", NULL,
				"ERROR&another TLS module is loaded: remove it", NULL, OTHER,
				0},
		{"an address of nobody", NULL, "ERROR&could not listen on",
				"listen=tls:192.0.2.1:5061\n", NULL, 0},
};

/* Starts KAM on a system that refuses what REFUSES names. */
static bool started(struct host_kam *kam, const struct host_config *cfg,
		const char *refuses)
{
	bool good;

	setenv(REFUSING_NAMES, refuses, 1);
	good = suite_started(kam, cfg);
	unsetenv(REFUSING_NAMES);
	return good;
}

/* Starts and ends KAM with less than a usual number of addresses. */
static int start_small(struct host_kam *kam, const struct host_config *cfg)
{
	struct rlimit usual;
	struct rlimit small;
	int code = -1;

	getrlimit(RLIMIT_AS, &usual);
	small = usual;
	small.rlim_cur = ADDRESSES;
	if(setrlimit(RLIMIT_AS, &small) == 0)
		code = host_start_refused(kam, cfg);
	setrlimit(RLIMIT_AS, &usual);
	return code;
}

static void test_starts(void)
{
	struct host_config cfg = {.module = REFUSING};
	struct host_kam kam;
	size_t i;
	int code;

	for(i = 0; i < N(spoiled); i++) {
		cfg.globals = spoiled[i].globals;
		cfg.modules = spoiled[i].modules;
		cfg.shm_mb = spoiled[i].shm_mb;
		if(spoiled[i].refuses != NULL)
			setenv(REFUSING_NAMES, spoiled[i].refuses, 1);
		code = cfg.shm_mb > 0 ? start_small(&kam, &cfg)
							  : host_start_refused(&kam, &cfg);
		unsetenv(REFUSING_NAMES);
		HOLDS(code > 0, "the server does not start");
		HOLDS(host_log_count(&kam, spoiled[i].line) == 1, spoiled[i].reason);
	}
}

static void test_forced(void)
{
	struct host_config cfg = {.module = REFUSING,
			.params = CERTIFICATE "modparam(\"tls\", \"tls_force_run\", 1)\n"};
	struct host_kam kam;

	if(!started(&kam, &cfg, "OpenSSL_version_num"))
		return;
	HOLDS(host_log_count(
				  &kam, "WARNING&built with&running with&: tls_force_run")
					== 1,
			"the log warns");
	HOLDS(peer_once(kam.tls_port, NULL), "served all the same");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- processes that do not hear each other ---- */

/* A server with one connection, P. */
static bool with_one(struct host_kam *kam, struct peer *p, const char *refuses)
{
	struct host_config cfg = {.module = REFUSING,
			.params = CERTIFICATE
			"modparam(\"tls\", \"handshake_timeout\", 1000)\n"};

	if(!started(kam, &cfg, refuses))
		return false;
	HOLDS(peer_tls(p, kam->tls_port, NULL) && peer_options(p, 1, 0, NULL),
			"a connection");
	return true;
}

/* The end of a connection that tcp main cannot be told about: its timer finds
 * it. */
static void test_not_ended(void)
{
	static char answer[1024];
	struct host_kam kam;
	struct peer p;
	char kill_it[64];

	if(!with_one(&kam, &p, "send_all"))
		return;
	HOLDS(host_rpc(&kam, "tls.list", answer, sizeof(answer)), "tls.list");
	snprintf(kill_it, sizeof(kill_it), "tls.kill %ld",
			host_rpc_number(&kam, "tls.list", "id"));
	HOLDS(!host_rpc(&kam, kill_it, answer, sizeof(answer))
					&& strstr(answer, "could not reach the TCP main process")
							   != NULL,
			"the operator hears of it");
	HOLDS(host_log_count(&kam, "ERROR&could not have connection&"
							   "ended by tcp main")
					== 1,
			"and the log");
	HOLDS(peer_await_end(&p, 10000) != PEER_TIMEOUT, "its time is over");
	peer_close(&p);
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 10000),
			"nothing is left of it");
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* The timer has the last reference on a connection when it ends: what only tcp
 * main can free goes there, and stays for ever when it cannot. */
static void test_given_back(void)
{
	static const char *const refuses[] = {
			"tcpconn_get", "tcpconn_get send_all"};
	struct host_kam kam;
	struct peer p;
	size_t i;

	for(i = 0; i < N(refuses); i++) {
		if(!with_one(&kam, &p, refuses[i]))
			return;
		HOLDS(host_log_await(&kam, "connection&is held", 10000) == 1,
				"the timer looks at it");
		peer_close(&p);
		HOLDS(i == 0
						|| host_log_await(&kam,
								   "ERROR&could not give connection&back to "
								   "tcp main",
								   10000)
								   == 1,
				"the log says so");
		HOLDS(host_rpc_await(
					  &kam, "tls.profiles", "connections", (int)i, 10000),
				"the profile has it as long as it is not freed");
		HOLDS(host_log_count(&kam, "could not give") == (int)i,
				"only when it was not reached");
		HOLDS(peer_once(kam.tls_port, NULL), "others are served");
		HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
		HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	}
}

/* ---- scripts ---- */

#define DROP                                           \
	"event_route[tls:connection-in] {\n"               \
	"	xlog(\"L_NOTICE\", \"the route has run\\n\");\n" \
	"}\n"

/* A route that cannot run has dropped. */
static void test_no_message(void)
{
	struct host_config cfg = {
			.module = REFUSING, .params = CERTIFICATE, .routes = DROP};
	struct host_kam kam;
	struct peer p;

	if(!started(&kam, &cfg, "faked_msg_init"))
		return;
	if(peer_tls(&p, kam.tls_port, NULL))
		(void)peer_request(&p, 1, 100, NULL);
	HOLDS(peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT && p.used == 0,
			"closed without an answer");
	peer_close(&p);
	HOLDS(host_log_await(&kam,
				  "ERROR&tls:connection-in: no message for the route", 5000)
					== 1,
			"the log says why");
	HOLDS(host_log_await(
				  &kam, "dropped by event_route[tls:connection-in]", 5000)
					== 1,
			"and what came of it");
	HOLDS(host_log_count(&kam, "the route has run") == 0, "it did not run");
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const char script[] = "function ksr_request_route()\n"
							 "	KSR.sl.sl_send_reply(200, \"OK\")\n"
							 "end\n"
							 "function on_tls(name)\n"
							 "	local none = nil\n"
							 "	KSR.notice(\"CN \" .. none)\n"
							 "	KSR.x.drop()\n"
							 "end\n";

/* An engine that does not run the function has dropped. One that does keeps the
 * errors of the function to itself, so that it goes on as if it had ended. */
static void test_kemi_error(void)
{
	static const char *const refuses[] = {"", "sr_kemi_ctx_route"};
	struct host_config cfg = {.module = REFUSING,
			.params = CERTIFICATE
			"modparam(\"tls\", \"event_callback\", \"on_tls\")\n",
			.modules = "loadmodule \"app_lua.so\"\n"
					   "modparam(\"app_lua\", \"load\", "
					   "\"@CERTS@/error.lua\")\ncfgengine \"lua\"\n"};
	FILE *f = fopen(host_cert("error.lua"), "w");
	struct host_kam kam;
	struct peer p;
	int i;

	HOLDS(f != NULL && fputs(script, f) >= 0 && fclose(f) == 0, "a script");
	for(i = 0; i < 2; i++) {
		if(!started(&kam, &cfg, refuses[i]))
			return;
		if(peer_tls(&p, kam.tls_port, NULL) && peer_request(&p, 1, 100, NULL))
			peer_sip(&p, PEER_WAIT_MS);
		HOLDS((p.used > 0) == (i == 0), "who does not run it has dropped");
		peer_close(&p);
		HOLDS(host_log_await(&kam,
					  i ? "ERROR&event_callback \"on_tls\" failed"
						: "ERROR&app_lua&attempt to concatenate",
					  5000)
						== 1,
				"the log says who and why");
		HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
		HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	}
}

/* Values that do not fit; each body is longer than half of the buffer. */
static void test_values(void)
{
	static const char *const lines[] = {
			"ERROR&tls_peer_match: the parameter has no value",
			"ERROR&tls_set_connect_server_id: the parameter has no value",
			"ERROR&tls_set_connect_server_id: \"&\" is too long or not a text"};
	struct host_config cfg = {.params = CERTIFICATE,
			.globals = "pv_buffer_size=1024\n",
			.route = "	if(tls_peer_match(\"$rb$rb\"))\n"
					 "		xlog(\"L_NOTICE\", \"GOOD PEER\\n\");\n"
					 "	if(tls_set_connect_server_id(\"$rb$rb\"))\n"
					 "		xlog(\"L_NOTICE\", \"NEW WISH\\n\");\n"
					 "	tls_set_connect_server_id(\"$rb\");\n"
					 "	sl_send_reply(\"200\", \"OK\");\n"};
	struct host_kam kam;
	struct peer p;
	size_t i;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&p, kam.tls_port, NULL) && peer_request(&p, 1, 600, NULL)
					&& peer_sip(&p, PEER_WAIT_MS) > 0,
			"the message is handled to its end");
	peer_close(&p);
	for(i = 0; i < N(lines); i++)
		HOLDS(host_log_await(&kam, lines[i], 5000) == 1, lines[i]);
	HOLDS(host_log_count(&kam, "GOOD PEER|NEW WISH") == 0, "both are false");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- peers ---- */

/* Sends a ClientHello on the TCP connection P. */
static bool say_hello(struct peer *p)
{
	if(!peer_tls_prepare(p, NULL, false))
		return false;
	SSL_do_handshake(p->ssl);
	return BIO_pending(p->wbio) > 0 && peer_flush(p);
}

/* Gone when it has our answer, and gone before. */
static void test_resets(void)
{
	struct host_config cfg = {.params = CERTIFICATE};
	struct pollfd pfd = {.events = POLLIN};
	struct host_kam kam;
	struct peer p;
	int i;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tcp(&p, kam.tls_port) && say_hello(&p), "a ClientHello");
	pfd.fd = p.fd;
	HOLDS(poll(&pfd, 1, PEER_WAIT_MS) == 1, "it is answered");
	peer_reset(&p);
	HOLDS(host_log_await(&kam,
				  "INFO&the peer reset the connection during the "
				  "handshake",
				  5000)
					== 1,
			"reset in the middle");
	for(i = 0; i < kam.n_procs; i++)
		kill(kam.procs[i], SIGSTOP);
	HOLDS(peer_tcp(&p, kam.tls_port) && say_hello(&p), "a ClientHello");
	peer_reset(&p);
	for(i = 0; i < kam.n_procs; i++)
		kill(kam.procs[i], SIGCONT);
	HOLDS(host_log_await(&kam, "INFO&could not send to the peer", 5000) == 1,
			"gone before it has its answer");
	HOLDS(host_rpc_await(&kam, "tls.stats", "handshakes_failed", 2, 5000),
			"both are counted");
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 5000),
			"nothing is left");
	HOLDS(peer_once(kam.tls_port, NULL), "others are served");
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* A failure of a kind that nobody thought of: no such is known. */
static void test_no_cause(void)
{
	struct host_config cfg = {.module = REFUSING, .params = CERTIFICATE};
	struct host_kam kam;
	struct peer p;

	if(!started(&kam, &cfg, "tls_conn_read"))
		return;
	(void)peer_tls(&p, kam.tls_port, NULL);
	HOLDS(peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT, "it is ended");
	peer_close(&p);
	HOLDS(host_rpc_await(&kam, "tls.stats", "handshakes_failed_other", 1, 5000)
					&& host_rpc_number(&kam, "tls.stats", "handshakes_failed")
							   == 1,
			"counted as another reason");
	HOLDS(host_log_count(&kam, "INFO&the test refuses") == 1, "with its line");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* A request and the end of the connection in one: up to TLS 1.2 that is the end
 * of both directions. */
static void test_closed(void)
{
	struct host_config cfg = {.params = CERTIFICATE, .globals = "debug=3\n"};
	struct peer_opt old = {.max = TLS1_2_VERSION};
	struct sip_req req = {.call_id = "closed", .cseq = 2};
	struct host_kam kam;
	struct peer p;
	char sealed[8192];
	char msg[4096];
	size_t n;
	int end;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&p, kam.tls_port, &old) && peer_options(&p, 1, 0, NULL),
			"a connection");
	n = sip_request(msg, sizeof(msg), &req);
	n = peer_seal(&p, msg, n, sealed, sizeof(sealed));
	SSL_shutdown(p.ssl);
	end = BIO_read(p.wbio, sealed + n, (int)(sizeof(sealed) - n));
	HOLDS(n > 0 && end > 0 && peer_send_raw(&p, sealed, n + (size_t)end, 0),
			"a request and the end");
	HOLDS(host_log_await(&kam, "DEBUG&already closed, cannot send", 5000) == 1,
			"no reply");
	peer_close(&p);
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 5000),
			"nothing is left");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* A request from IN over KAM to P, a server with the settings OPT, with EXTRA
 * (96 bytes) as header. Returns the listener. */
static int relayed(struct host_kam *kam, struct peer *in, struct peer *p,
		const struct peer_opt *opt, char *extra)
{
	int port;
	int lfd = peer_listen(&port);

	snprintf(extra, 96, "X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", port);
	HOLDS(peer_tcp(in, kam->tcp_port) && peer_request(in, 1, 100, extra)
					&& peer_accept(p, lfd, opt, PEER_WAIT_MS)
					&& peer_serve(p, PEER_WAIT_MS) > 0,
			"we are called");
	return lfd;
}

/* Asks the client at P for a new handshake. */
static bool ask_again(struct peer *p)
{
	if(SSL_renegotiate(p->ssl) != 1)
		return false;
	SSL_do_handshake(p->ssl);
	return BIO_pending(p->wbio) > 0 && peer_flush(p);
}

/* A server that we call and that wants to renegotiate all the time. */
static void test_renegotiation(void)
{
	struct host_config cfg = {.params = CERTIFICATE};
	struct peer_opt opt = {.max = TLS1_2_VERSION,
			.cert = host_cert("ecdsa.pem"),
			.key = host_cert("ecdsa.key")};
	struct host_kam kam;
	struct peer in, p;
	char extra[96];
	int lfd, i;

	if(!suite_started(&kam, &cfg))
		return;
	lfd = relayed(&kam, &in, &p, &opt, extra);
	for(i = 0; i < 100 && ask_again(&p); i++)
		;
	printf("\n    %d requests ", i);
	HOLDS(host_log_await(
				  &kam, "WARNING&too many requests for renegotiation", 5000)
					== 1,
			"the log says why");
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 5000),
			"it is ended");
	peer_close(&p);
	peer_close(&in);
	close(lfd);
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* Another process sends on a connection between its failure and the line about
 * that: the line says why it failed all the same. */
static void test_failed(void)
{
	static const char junk[] = "\x63 this is no record of TLS";
	struct host_config cfg = {
			.module = REFUSING, .params = CERTIFICATE, .globals = "debug=3\n"};
	struct peer_opt opt = {
			.cert = host_cert("ecdsa.pem"), .key = host_cert("ecdsa.key")};
	struct sip_req req = {.call_id = "failed", .transport = "UDP"};
	struct host_kam kam;
	struct peer in, p;
	char extra[96], msg[4096];
	int lfd, udp, own;
	size_t n;

	if(!started(&kam, &cfg, "tls_metrics_add"))
		return;
	lfd = relayed(&kam, &in, &p, &opt, extra);
	HOLDS(peer_send_raw(&p, junk, sizeof(junk), 0)
					&& host_log_await(&kam, "the receiver is held", 5000) == 1,
			"it has failed");
	udp = peer_udp(kam.udp_port, &own);
	req.cseq = 2;
	req.via_port = own;
	req.extra = extra;
	n = sip_request(msg, sizeof(msg), &req);
	HOLDS(send(udp, msg, n, 0) == (ssize_t)n, "a request for it");
	HOLDS(host_log_await(&kam, "DEBUG&the connection has failed", 5000) == 1,
			"too late");
	HOLDS(host_log_await(&kam, "WARNING&bytes that are no TLS record", 5000)
					== 1,
			"and why it was");
	peer_close(&p);
	peer_close(&in);
	close(udp);
	close(lfd);
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {{"spoiled starts", test_starts},
		{"another library, forced", test_forced},
		{"an end that nobody hears of", test_not_ended},
		{"the last reference", test_given_back},
		{"no message", test_no_message}, {"a KEMI error", test_kemi_error},
		{"values", test_values}, {"resets", test_resets},
		{"no cause", test_no_cause}, {"closed", test_closed},
		{"renegotiation", test_renegotiation},
		{"failed meanwhile", test_failed}, {NULL, NULL}};

const struct suite suite_lines = {"lines", NULL, NULL, tests};
