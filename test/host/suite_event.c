/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Event routes: they run when the handshake is complete and before the first
 * message, drop keeps every byte back, failures are told with reason and
 * address; natively and as a KEMI function (Lua).
 * Each test starts its own Kamailio. One process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define FAST_TM "modparam(\"tm\", \"fr_timer\", 1500)\n"
#define PROFILES                                                  \
	"[server:default]\ncertificate = @CERTS@/ecdsa.pem\n"         \
	"private_key = @CERTS@/ecdsa.key\nca_list = @CERTS@/ca.pem\n" \
	"verify_certificate = yes\n"                                  \
	"[client:default]\nca_list = @CERTS@/ca.pem\nverify_certificate = yes\n"

static const char watching[] =
		"event_route[tls:connection-out] {\n"
		"	xlog(\"L_NOTICE\", \"OUT $tls_version $tls_peer_subject_cn "
		"$tls_peer_verified $tls(profile) to "
		"$sndto(ip):$sndto(port)\\n\");\n}\n"
		"event_route[tls:connection-in] {\n"
		"	xlog(\"L_NOTICE\", \"IN $tls_version $tls_peer_verified "
		"from $si:$sp at $Rp\\n\");\n}\n"
		"event_route[tls:connection-failed] {\n"
		"	xlog(\"L_NOTICE\", \"FAILED $si:$sp because "
		"$tls(failure)\\n\");\n}\n";

static const char dropping[] =
		"event_route[tls:connection-out] {\n"
		"	xlog(\"L_NOTICE\", \"EV-OUT\\n\");\n	drop;\n}\n"
		"event_route[tls:connection-in] {\n"
		"	xlog(\"L_NOTICE\", \"IN\\n\");\n	drop;\n}\n";

static const char noting_route[] =
		"	xlog(\"L_NOTICE\", \"REQUEST $rm $proto $sp\\n\");\n"
		"	if($hdr(X-Relay) != $null) { $du = $hdr(X-Relay); t_relay(); exit; "
		"}\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

/* A server of ours with certificate NAME. */
static int listen_as(
		const char *name, struct peer_opt *opt, char *relay, size_t room)
{
	static char pem[64], key[64];
	int port;
	int lfd = peer_listen(&port);

	memset(opt, 0, sizeof(*opt));
	snprintf(pem, sizeof(pem), "%s.pem", name);
	snprintf(key, sizeof(key), "%s.key", name);
	opt->cert = host_cert(pem);
	opt->key = host_cert(key);
	snprintf(relay, room, "X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", port);
	return lfd;
}

/* Requests over TCP and UDP open connections; data follows the event. */
static void test_out(void)
{
	struct host_config cfg = {.modules = FAST_TM,
			.tls_cfg = PROFILES,
			.routes = watching,
			.route = noting_route,
			.udp_children = 2};
	struct sip_req req = {.call_id = "out-test", .transport = "UDP"};
	struct peer in, out;
	struct peer_opt opt;
	struct host_kam kam;
	char relay[96], msg[8192], needle[64];
	int lfd, fd, i, own;
	size_t n;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < 4; i++) {
		lfd = listen_as("ecdsa", &opt, relay, sizeof(relay));
		opt.min = opt.max = i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION;
		host_log_mark(&kam);
		out.fd = in.fd = fd = -1;
		if(i < 2) {
			HOLDS(peer_tcp(&in, kam.tcp_port)
							&& peer_request(&in, 1, 3000, relay),
					"sent over TCP");
		} else {
			fd = peer_udp(kam.udp_port, &own);
			req.cseq = (unsigned int)own;
			req.via_port = own;
			req.extra = relay;
			n = sip_request(msg, sizeof(msg), &req);
			HOLDS(send(fd, msg, n, 0) == (ssize_t)n, "sent over UDP");
		}
		HOLDS(peer_accept(&out, lfd, &opt, PEER_WAIT_MS)
						&& peer_serve(&out, PEER_WAIT_MS) > 0,
				"the data follows");
		snprintf(needle, sizeof(needle),
				"OUT&TLSv1.%d&localhost 1 TLSc<default> to 127.0.0.1:%s",
				i & 1 ? 2 : 3, strrchr(relay, ':') + 1);
		needle[strcspn(needle, ";")] = '\0';
		HOLDS(host_log_await(&kam, needle, PEER_WAIT_MS) == 1,
				"the event says who it is, once");
		if(i < 2)
			peer_close(&in);
		else
			close(fd);
		peer_close(&out);
		close(lfd);
	}
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* A server that was dropped gets no byte of the message. */
static void test_out_drop(void)
{
	struct host_config cfg = {.modules = FAST_TM,
			.tls_cfg = PROFILES,
			.routes = dropping,
			.route = noting_route};
	struct peer in, out;
	struct peer_opt opt;
	struct host_kam kam;
	char relay[96];
	int lfd;
	size_t n;

	if(!suite_started(&kam, &cfg))
		return;
	lfd = listen_as("ecdsa", &opt, relay, sizeof(relay));
	HOLDS(peer_tcp(&in, kam.tcp_port) && peer_request(&in, 1, 3000, relay),
			"sent");
	HOLDS(peer_accept(&out, lfd, &opt, PEER_WAIT_MS), "handshake");
	HOLDS(peer_serve(&out, PEER_WAIT_MS) == 0, "no message");
	HOLDS(out.end == PEER_NOTIFY && out.used == 0,
			"close_notify, and not a byte of clear text");
	n = peer_sip(&in, 8000);
	HOLDS(n > 0 && sip_status(in.buf, n) >= 400, "the sender hears of it");
	HOLDS(host_log_count(&kam, "EV-OUT") == 1
					&& host_log_count(&kam,
							   "dropped by event_route[tls:connection-out]")
							   == 1,
			"event and line in the log");
	HOLDS(host_rpc_await(&kam, "tls.info", "clear_text_write_queued_bytes", 0,
				  PEER_WAIT_MS)
					&& host_rpc_await(&kam, "tls.info", "opened_connections", 0,
							PEER_WAIT_MS),
			"nothing is left");
	peer_close(&in);
	peer_close(&out);
	close(lfd);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static bool served(struct peer *p, unsigned int cseq, size_t body_n)
{
	size_t n =
			peer_request(p, cseq, body_n, NULL) ? peer_sip(p, PEER_WAIT_MS) : 0;
	bool good = n > 0 && sip_status(p->buf, n) == 200;

	peer_take(p, n);
	return good;
}

/* The event comes before the first message, also when that arrives together
 * with the last flight of the handshake. */
static void test_in(void)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	static const size_t chops[] = {0, 1};
	struct host_config cfg = {
			.tls_cfg = PROFILES, .routes = watching, .route = noting_route};
	struct peer_opt opt = {0};
	struct host_kam kam;
	struct peer p;
	char needle[64];
	size_t i;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < 4; i++) {
		opt.min = opt.max = versions[i & 1];
		opt.chop = chops[i >> 1];
		opt.cert = i & 1 ? host_cert("client.pem") : NULL;
		opt.key = i & 1 ? host_cert("client.key") : NULL;
		host_log_mark(&kam);
		HOLDS(peer_tls(&p, kam.tls_port, &opt), "connected");
		HOLDS(served(&p, 1, 9000) && served(&p, 2, 100),
				"served after the event");
		snprintf(needle, sizeof(needle), "IN TLSv1.%d %d from 127.0.0.1:%d",
				i & 1 ? 3 : 2, i & 1 ? 1 : 0, p.port);
		HOLDS(host_log_await(&kam, needle, PEER_WAIT_MS) == 1,
				"the event, once");
		HOLDS(host_log_count(&kam, "REQUEST") == 2, "both requests");
		host_log_count(&kam, " IN TLSv|REQUEST OPTIONS");
		HOLDS(strstr(host_log_line(), "REQUEST") != NULL,
				"requests come after it");
		peer_close(&p);
	}
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_in_drop(void)
{
	struct host_config cfg = {
			.tls_cfg = PROFILES, .routes = dropping, .route = noting_route};
	struct host_kam kam;
	struct peer p;
	int i;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < 20; i++) {
		HOLDS(peer_tls(&p, kam.tls_port, NULL), "handshake");
		(void)peer_request(&p, 1, 500, NULL);
		HOLDS(peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT && p.used == 0,
				"closed without an answer");
		peer_close(&p);
	}
	HOLDS(host_log_count(&kam, "REQUEST OPTIONS") == 0, "no request");
	HOLDS(host_log_await_n(&kam, "dropped by event", 20, PEER_WAIT_MS) == 20,
			"lines in the log");
	HOLDS(host_rpc_await(
				  &kam, "tls.info", "opened_connections", 0, PEER_WAIT_MS),
			"nothing is left");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_failed(void)
{
	struct host_config cfg = {.modules = FAST_TM,
			.tls_cfg = PROFILES,
			.routes = watching,
			.route = noting_route};
	struct peer_opt opt = {0};
	struct host_kam kam;
	struct peer in, out;
	char needle[160], relay[96];
	int lfd;

	if(!suite_started(&kam, &cfg))
		return;
	opt.cert = host_cert("foreign.pem");
	opt.key = host_cert("foreign.key");
	(void)peer_tls(&in, kam.tls_port, &opt);
	peer_await_end(&in, PEER_WAIT_MS);
	snprintf(needle, sizeof(needle),
			"FAILED 127.0.0.1:%d because certificate of the peer refused"
			"&stranger.example.org",
			in.port);
	HOLDS(host_log_await(&kam, needle, PEER_WAIT_MS) == 1,
			"a client with a foreign certificate");
	peer_close(&in);
	HOLDS(peer_tcp(&in, kam.tls_port), "connected");
	peer_send_raw(&in, "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, 0);
	peer_await_end(&in, PEER_WAIT_MS);
	snprintf(needle, sizeof(needle), "FAILED 127.0.0.1:%d because TLS failure",
			in.port);
	HOLDS(host_log_await(&kam, needle, PEER_WAIT_MS) == 1, "a broken hello");
	peer_close(&in);
	lfd = listen_as("foreign", &opt, relay, sizeof(relay));
	HOLDS(peer_tcp(&in, kam.tcp_port) && peer_request(&in, 1, 10, relay),
			"sent");
	(void)peer_accept(&out, lfd, &opt, PEER_WAIT_MS);
	snprintf(needle, sizeof(needle), "FAILED 127.0.0.1:%s",
			strrchr(relay, ':') + 1);
	needle[strcspn(needle, ";")] = '\0';
	HOLDS(host_log_await(&kam, needle, PEER_WAIT_MS) == 1,
			"a server with a foreign certificate");
	HOLDS(strstr(host_log_line(), "unable to get local issuer") != NULL,
			"with the reason");
	peer_close(&in);
	peer_close(&out);
	close(lfd);
	HOLDS(host_log_count(&kam, " IN TLS| OUT TLS") == 0, "no other event");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const char lua_script[] =
		"function ksr_request_route()\n"
		"	KSR.info(\"REQUEST\\n\")\n"
		"	if KSR.pv.get(\"$hdr(X-Relay)\") ~= nil then\n"
		"		KSR.pv.sets(\"$du\", KSR.pv.get(\"$hdr(X-Relay)\"))\n"
		"		KSR.tm.t_relay()\n"
		"		return\n"
		"	end\n"
		"	KSR.sl.sl_send_reply(200, \"OK\")\n"
		"end\n"
		"function tls_event(name)\n"
		"	KSR.notice(\"EVENT \"..name..\" \"..tostring(KSR.tls.cget("
		"\"tls_version\"))..\"\\n\")\n"
		"	if name == \"tls:connection-out\" then\n"
		"		if KSR.tls.cget(\"$tls_peer_subject_cn\") ~= "
		"\"localhost\" then KSR.x.drop() end\n"
		"		return\n"
		"	end\n"
		"	if KSR.tls.is_peer_verified() > 0 then KSR.x.drop() end\n"
		"end\n";

/* Connections that we open: one that the function lets pass, one that it
 * drops. */
static void kemi_out(struct host_kam *kam)
{
	static const char *const names[] = {"ecdsa", "client"};
	struct peer in, out;
	struct peer_opt opt;
	char relay[96];
	int i, lfd;

	for(i = 0; i < 2; i++) {
		lfd = listen_as(names[i], &opt, relay, sizeof(relay));
		host_log_mark(kam);
		HOLDS(peer_tcp(&in, kam->tcp_port) && peer_request(&in, 1, 300, relay)
						&& peer_accept(&out, lfd, &opt, PEER_WAIT_MS),
				"handshake");
		HOLDS((peer_serve(&out, PEER_WAIT_MS) > 0) == (i == 0),
				i ? "drop blocks the data" : "the data follows");
		HOLDS(host_log_await(
					  kam, "EVENT tls:connection-out TLSv1.3", PEER_WAIT_MS)
						== 1,
				"outgoing ones, once");
		peer_close(&in);
		peer_close(&out);
		close(lfd);
	}
}

static void test_kemi(void)
{
	struct host_config cfg = {.tls_cfg = PROFILES,
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"event_callback\", \"tls_event\")\n",
			.modules = FAST_TM "loadmodule \"app_lua.so\"\n"
							   "modparam(\"app_lua\", \"load\", "
							   "\"@CERTS@/event.lua\")\ncfgengine \"lua\"\n"};
	struct peer_opt opt = {0};
	struct host_kam kam;
	struct peer p;
	FILE *f = fopen(host_cert("event.lua"), "w");

	HOLDS(f != NULL && fputs(lua_script, f) >= 0 && fclose(f) == 0, "script");
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_once(kam.tls_port, NULL), "served");
	HOLDS(host_log_count(&kam, "EVENT tls:connection-in TLSv1.3") == 1,
			"the function is called");
	opt.cert = host_cert("client.pem");
	opt.key = host_cert("client.key");
	HOLDS(peer_tls(&p, kam.tls_port, &opt), "handshake");
	(void)peer_request(&p, 1, 500, NULL);
	HOLDS(peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT && p.used == 0,
			"drop closes");
	peer_close(&p);
	opt.cert = host_cert("foreign.pem");
	opt.key = host_cert("foreign.key");
	(void)peer_tls(&p, kam.tls_port, &opt);
	peer_await_end(&p, PEER_WAIT_MS);
	peer_close(&p);
	HOLDS(host_log_await(&kam, "EVENT tls:connection-failed", PEER_WAIT_MS)
					== 1,
			"failures too");
	kemi_out(&kam);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* optional_no_ca lets everybody in, and the log says whom. */
static void test_unverified(void)
{
	struct host_config cfg = {.route = noting_route,
			.tls_cfg = "[server:default]\ncertificate = @CERTS@/ecdsa.pem\n"
					   "private_key = @CERTS@/ecdsa.key\n"
					   "ca_list = @CERTS@/ca.pem\n"
					   "verify_client = optional_no_ca\n"};
	struct peer_opt opt = {
			.cert = host_cert("foreign.pem"), .key = host_cert("foreign.key")};
	struct host_kam kam;
	struct peer p;
	char needle[96];

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&p, kam.tls_port, &opt) && served(&p, 1, 10), "served");
	snprintf(needle, sizeof(needle),
			"127.0.0.1:%d&let in unverified by optional_no_ca&unable to get "
			"local issuer"
			"&at depth 0",
			p.port);
	HOLDS(host_log_await(&kam, needle, PEER_WAIT_MS) == 1, "one line");
	HOLDS(strstr(host_log_line(), "stranger.example.org") != NULL
					&& strstr(host_log_line(), "Foreign CA") != NULL
					&& strstr(host_log_line(), "serial ") != NULL
					&& strstr(host_log_line(), "TLSs<default>") != NULL,
			"who, whose, which and where");
	peer_close(&p);
	host_log_mark(&kam);
	opt.cert = host_cert("client.pem");
	opt.key = host_cert("client.key");
	HOLDS(peer_tls(&p, kam.tls_port, &opt) && served(&p, 1, 10), "served");
	peer_close(&p);
	HOLDS(host_log_count(&kam, "let in unverified") == 0,
			"nothing to say of good ones");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"a peer let in unverified", test_unverified},
		{"a server that the script drops", test_out_drop},
		{"a client that the script drops", test_in_drop},
		{"failed handshakes", test_failed},
		{"connections that we open", test_out},
		{"connections of others", test_in}, {"a KEMI function", test_kemi},
		{NULL, NULL}};

const struct suite suite_event = {"event", NULL, NULL, tests};
