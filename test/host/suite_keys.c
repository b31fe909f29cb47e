/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Private keys that are not in a file of ours: on a token (SoftHSM), opened by
 * a provider or, where the library has none for tokens, by an engine; and in a
 * file that a provider opens. Who opens what, what reloads and wrong PINs do,
 * and a token that is missing for a while.
 * Each test has a Kamailio of its own; one process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define CHILDREN 4
#define ROUNDS 12 /* of four handshakes each */

#if OPENSSL_VERSION_NUMBER >= 0x30200000L
#define KEY(label_, pin_) \
	"\"/uri:pkcs11:token=tests;object=" label_ "?pin-value=" pin_ "\""
#define OPENER                                       \
	"modparam(\"tls\", \"provider_quirks_config\", " \
	"\"@CERTS@/provider.cnf\")\n"
#else
#define KEY(label_, pin_) \
	"\"/engine:pkcs11:token=tests;object=" label_ ";pin-value=" pin_ "\""
#define OPENER                                                       \
	"modparam(\"tls\", \"engine\", \"pkcs11\")\n"                    \
	"modparam(\"tls\", \"engine_config\", \"@CERTS@/engine.cnf\")\n" \
	"modparam(\"tls\", \"engine_algorithms\", \"ALL\")\n"
#endif

#define PARAMS OPENER "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
#define PLAIN                            \
	"[client:default]\n"                 \
	"[server:default]\n"                 \
	"certificate = @CERTS@/client.pem\n" \
	"private_key = @CERTS@/client.key\n"
#define SECTION(name_, cert_, key_)           \
	"[server:any]\nserver_name = " name_ "\n" \
	"certificate = @CERTS@/" cert_ ".pem\n"   \
	"private_key = " key_ "\n"
#define TOKEN(pin_)                                              \
	PLAIN SECTION("ec.example.org", "ecdsa", KEY("ecdsa", pin_)) \
			SECTION("rsa.example.org", "rsa", KEY("rsa", pin_))

#define ROUTE                                             \
	"	xlog(\"L_NOTICE\", \"answered by $pp;\\n\");\n"     \
	"	append_to_reply(\"X-Echo: $hdr(X-Echo)\\r\\n\");\n" \
	"	sl_send_reply(\"200\", \"OK\");\n"

static char listing[1 << 16];

static int suite_init(void)
{
	return setenv("SOFTHSM2_CONF", host_cert("softhsm.conf"), 1);
}

/* One handshake and one request. */
static bool served(struct host_kam *kam, const char *name, int version)
{
	struct peer_opt opt = {.sni = name,
			.min = version,
			.max = version,
			.ca = host_cert("ca.pem")};

	return peer_once(kam->tls_port, &opt);
}

/* Handshakes of ROUNDS that failed, with both keys and both versions. */
static int failures(struct host_kam *kam)
{
	int failed = 0;
	int i;

	for(i = 0; i < ROUNDS; i++) {
		failed += !served(kam, "ec.example.org", TLS1_2_VERSION);
		failed += !served(kam, "ec.example.org", TLS1_3_VERSION);
		failed += !served(kam, "rsa.example.org", TLS1_2_VERSION);
		failed += !served(kam, "rsa.example.org", TLS1_3_VERSION);
	}
	return failed;
}

/* Processes that have answered a request. */
static int workers(struct host_kam *kam)
{
	char text[64];
	int n = 0;
	int i;

	for(i = 0; i < kam->n_procs; i++) {
		snprintf(text, sizeof(text), "answered by %d;", (int)kam->procs[i]);
		n += host_log_count(kam, text) > 0;
	}
	return n;
}

static bool reload_says(struct host_kam *kam, const char *what)
{
	char answer[2048];

	host_rpc(kam, "tls.reload", answer, sizeof(answer));
	if(strstr(answer, what))
		return true;
	fprintf(stderr, "  tls.reload: %s\n", answer);
	return false;
}

/* Both keys, many workers, reloads between and below open connections. */
static void test_token(void)
{
	struct host_config cfg = {.params = PARAMS,
			.tls_cfg = TOKEN("1234"),
			.route = ROUTE,
			.tcp_children = CHILDREN};
	struct peer_opt opt = {.sni = "rsa.example.org"};
	struct host_kam kam;
	struct peer p;
	int i;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(failures(&kam) == 0, "every handshake with a key of the token");
	host_procs_changed(&kam); /* notes those that started late */
	HOLDS(workers(&kam) >= CHILDREN, "by every worker, each for itself");
	HOLDS(peer_tls(&p, kam.tls_port, &opt), "a connection that stays");
	for(i = 0; i < 3; i++) {
		HOLDS(reload_says(&kam, "profiles"), "a reload");
		HOLDS(failures(&kam) == 0, "every handshake after a reload");
	}
	HOLDS(peer_options(&p, 7, 0, NULL), "the connection goes on");
	peer_close(&p);
	HOLDS(host_log_count(&kam, "1234") == 0, "no PIN in the log");
	HOLDS(host_procs_changed(&kam) == 0, "no process has ended");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* A wrong PIN refuses a reload and a start, in one sentence without it. */
static void test_pin(void)
{
	struct host_config cfg = {.params = PARAMS,
			.tls_cfg = TOKEN("1234"),
			.tcp_children = CHILDREN};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(host_write(&kam, "tls.cfg", TOKEN("987654"))
					&& reload_says(&kam, "token, PIN and"),
			"a reload with a wrong PIN");
	HOLDS(host_log_count(&kam, "987654") == 0, "no PIN in the log");
	HOLDS(failures(&kam) == 0, "the running configuration stays");
	HOLDS(host_write(&kam, "tls.cfg", TOKEN("1234"))
					&& reload_says(&kam, "profiles"),
			"the right one again");
	HOLDS(failures(&kam) == 0, "and it is served");
	HOLDS(host_rpc(&kam, "tls.profiles", listing, sizeof(listing))
					&& strstr(listing, "pin-value=...") != NULL
					&& strstr(listing, "value=1234") == NULL,
			"no PIN in a reply");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	cfg.tls_cfg = TOKEN("987654");
	HOLDS(host_start_refused(&kam, &cfg) > 0, "no start with a wrong PIN");
	HOLDS(host_log_count(&kam, "private_key&token, PIN and") > 0
					&& host_log_count(&kam, "987654") == 0,
			"it says so, without the PIN");
	host_kill(&kam);
}

/* Workers that find no token refuse its names only, until it is back. */
static void test_missing(void)
{
	struct host_config cfg = {.params = PARAMS,
			.tls_cfg = TOKEN("1234"),
			.tcp_children = CHILDREN};
	struct host_kam kam;
	char gone[HOST_PATH_MAX];
	int i;

	if(!suite_started(&kam, &cfg))
		return;
	snprintf(gone, sizeof(gone), "%.480s/tokens-gone", host_certs());
	HOLDS(rename(host_cert("tokens"), gone) == 0, "the token is taken away");
	for(i = 0; i < CHILDREN; i++) {
		HOLDS(!served(&kam, "ec.example.org", 0), "no key, no handshake");
		HOLDS(served(&kam, NULL, 0), "others are served");
	}
	HOLDS(host_log_count(&kam, "private_key&token, PIN and") > 0, "it says so");
	HOLDS(rename(gone, host_cert("tokens")) == 0, "the token is back");
	HOLDS(failures(&kam) == 0, "and so are its names");
	HOLDS(host_procs_changed(&kam) == 0, "no process has ended");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* A file that a provider opens; no parameter is needed for that. */
static void test_uri_file(void)
{
	struct host_config cfg = {
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n",
			.tls_cfg = PLAIN SECTION("ec.example.org", "ecdsa",
					"/uri:file:@CERTS@/ecdsa.key") SECTION("rsa.example.org",
					"rsa", "/uri:file:@CERTS@/rsa.key"),
			.tcp_children = CHILDREN};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(failures(&kam) == 0, "every handshake");
	HOLDS(reload_says(&kam, "profiles"), "a reload");
	HOLDS(failures(&kam) == 0, "every handshake after it");
	HOLDS(host_write(&kam, "tls.cfg",
				  PLAIN SECTION("ec.example.org", "ecdsa",
						  "/uri:file:@CERTS@/client.key"))
					&& reload_says(&kam, "does not belong"),
			"a key of another certificate");
	HOLDS(host_write(&kam, "tls.cfg",
				  PLAIN SECTION("ec.example.org", "ecdsa",
						  "/uri:file:@CERTS@/none.key"))
					&& reload_says(&kam, "no provider gives"),
			"a key that is not there");
	HOLDS(failures(&kam) == 0, "nothing has changed");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* Without the parameter that opens them, keys of an engine are refused. */
static void test_no_engine(void)
{
	struct host_config cfg = {
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n",
			.tls_cfg =
					PLAIN SECTION("ec.example.org", "ecdsa", "/engine:ecdsa")};
	struct host_kam kam;

	HOLDS(host_start_refused(&kam, &cfg) > 0, "no start");
	HOLDS(host_log_count(&kam, "needs the parameter engine&/uri:") > 0,
			"the parameter and its replacement are named");
	host_kill(&kam);
}

static const struct suite_test tests[] = {{"keys of a token", test_token},
		{"a wrong PIN", test_pin}, {"a token that is missing", test_missing},
		{"a file by its URI", test_uri_file},
		{"no engine is named", test_no_engine}, {NULL, NULL}};

const struct suite suite_keys = {"keys", suite_init, NULL, tests};
