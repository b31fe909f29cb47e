/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Traffic in the server role: versions, shapes of records, sizes, endings,
 * renegotiation, key updates, alerts, client certificates, server names.
 * The suite owns one Kamailio with the default settings, tests with other
 * settings start their own. One process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define MODPARAM(name_, value_) "modparam(\"tls\", \"" name_ "\", " value_ ")\n"
#define GOOD_CERT                                    \
	MODPARAM("tls_method", "\"TLSv1.2+\"")           \
	MODPARAM("certificate", "\"@CERTS@/ecdsa.pem\"") \
	MODPARAM("private_key", "\"@CERTS@/ecdsa.key\"")
#define RSA_CERT                                   \
	MODPARAM("tls_method", "\"TLSv1.2+\"")         \
	MODPARAM("certificate", "\"@CERTS@/rsa.pem\"") \
	MODPARAM("private_key", "\"@CERTS@/rsa.key\"")
#define PIPELINED 100

static struct host_kam shared;

static const struct peer_opt tls12 = {
		.min = TLS1_2_VERSION, .max = TLS1_2_VERSION};
static const struct peer_opt tls13 = {
		.min = TLS1_3_VERSION, .max = TLS1_3_VERSION};
static const struct peer_opt *const both[] = {&tls12, &tls13};

static int suite_init(void)
{
	static const struct host_config cfg = {.params = GOOD_CERT};

	return host_start(&shared, &cfg) ? 0 : -1;
}

static int suite_clean(void)
{
	return host_stop(&shared, SIGTERM) ? 0 : -1;
}

/* ---- versions ---- */

static void test_versions(void)
{
	static const struct
	{
		const char *params;
		const char *reason;
	} rows[] = {{GOOD_CERT, "ECDSA"}, {RSA_CERT, "RSA"}};
	struct host_config cfg = {0};
	struct host_kam kam;
	char text[64];
	size_t i;
	size_t k;

	for(i = 0; i < 2; i++) {
		cfg.params = rows[i].params;
		if(!suite_started(&kam, &cfg))
			continue;
		for(k = 0; k < 2; k++) {
			snprintf(text, sizeof(text), "%s, TLS 1.%d: 200", rows[i].reason,
					(int)k + 2);
			HOLDS(peer_once(kam.tls_port, both[k]), text);
		}
		HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	}
}

static void test_old_versions(void)
{
	static const struct
	{
		int version;
		const char *reason;
	} rows[] = {{TLS1_VERSION, "RFC 8996: TLS 1.0 is refused"},
			{TLS1_1_VERSION, "RFC 8996: TLS 1.1 is refused"}};
	struct peer_opt opt = {.old_versions = true};
	struct peer p;
	size_t i;

	for(i = 0; i < 2; i++) {
		opt.min = opt.max = rows[i].version;
		HOLDS(!peer_tls(&p, shared.tls_port, &opt), rows[i].reason);
		HOLDS(p.alert_in == SSL_AD_PROTOCOL_VERSION,
				"RFC 5246 sE.1: the alert is protocol_version");
		peer_close(&p);
	}
}

/* ---- shapes ---- */

static void test_chops(void)
{
	struct peer_opt opt = {.chop = 1};
	struct peer p;
	size_t k;

	for(k = 0; k < 2; k++) {
		opt.min = opt.max = k ? TLS1_3_VERSION : TLS1_2_VERSION;
		HOLDS(peer_tls(&p, shared.tls_port, &opt)
						&& peer_options(&p, 1, 50, NULL),
				"a handshake and a request byte by byte on the wire");
		peer_close(&p);
	}
}

static size_t build(char *out, size_t room, unsigned int cseq, size_t body_n)
{
	static char body[65536];
	char branch[64];
	struct sip_req req = {.call_id = "host-test", .cseq = cseq, .body = body};

	snprintf(branch, sizeof(branch), "z9hG4bK%ld-%u", host_now(), cseq);
	sip_pattern(body, body_n, cseq);
	req.branch = branch;
	req.body_len = body_n;
	return sip_request(out, room, &req);
}

static void test_tiny_records(void)
{
	char msg[2048];
	struct peer p;
	size_t n;
	size_t i;
	size_t k;
	bool good;

	for(k = 0; k < 2; k++) {
		good = peer_tls(&p, shared.tls_port, both[k]);
		n = build(msg, sizeof(msg), 7, 20);
		for(i = 0; good && i < n; i++)
			good = peer_send(&p, msg + i, 1);
		HOLDS(good && peer_check_reply(&p, 7, 20, 200, PEER_WAIT_MS),
				"one message over as many records as it has bytes");
		peer_close(&p);
	}
}

/* COUNT messages sealed as one run of bytes; replies come in order. */
static void run_together(const struct peer_opt *opt, unsigned int count,
		size_t body_n, const char *reason)
{
	size_t room = (size_t)count * (SIP_HEAD_ROOM + body_n);
	char *all = malloc(room);
	struct peer p;
	size_t used = 0;
	unsigned int i;
	bool good = all && peer_tls(&p, shared.tls_port, opt);

	for(i = 1; good && i <= count; i++)
		used += build(all + used, room - used, i, body_n);
	good = good && peer_send(&p, all, used);
	for(i = 1; good && i <= count; i++)
		good = peer_check_reply(&p, i, body_n, 200, PEER_WAIT_MS);
	HOLDS(good, reason);
	if(!good)
		fprintf(stderr, "  reply %u: %s\n", i - 1, p.err);
	peer_close(&p);
	free(all);
}

static void test_together(void)
{
	size_t k;

	for(k = 0; k < 2; k++) {
		run_together(both[k], 20, 0, "twenty messages in one record");
		run_together(both[k], PIPELINED, 700, "a hundred requests at once");
		run_together(both[k], 30, 16000, "thirty large requests at once");
	}
}

static void test_sizes(void)
{
	static const size_t sizes[] = {
			0, 1, 1000, 16000, 16383, 16384, 16385, 32768, 40000, 60000};
	struct peer p;
	char text[64];
	size_t i;
	size_t k;

	for(k = 0; k < 2; k++) {
		HOLDS(peer_tls(&p, shared.tls_port, both[k]), "connected");
		for(i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			snprintf(text, sizeof(text), "TLS 1.%d, a body of %zu both ways",
					(int)k + 2, sizes[i]);
			HOLDS(p.end == PEER_OPEN
							&& peer_options(
									&p, (unsigned int)i + 1, sizes[i], NULL),
					text);
		}
		peer_close(&p);
	}
	/* the host's limit, not ours: it closes, and the next one is served */
	HOLDS(peer_tls(&p, shared.tls_port, &tls13), "connected");
	peer_request(&p, 1, 90000, NULL);
	HOLDS(peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT,
			"a message over the host's limit ends the connection");
	peer_close(&p);
	HOLDS(peer_once(shared.tls_port, NULL), "the next one is served");
}

static void test_ping(void)
{
	struct peer p;
	size_t k;

	for(k = 0; k < 2; k++) {
		HOLDS(peer_tls(&p, shared.tls_port, both[k])
						&& peer_send(&p, "\r\n\r\n", 4)
						&& peer_await(&p, 2, PEER_WAIT_MS)
						&& memcmp(p.buf, "\r\n", 2) == 0,
				"RFC 5626 s3.5.1: a ping gets a pong");
		peer_take(&p, p.used);
		HOLDS(peer_options(&p, 2, 10, NULL), "and traffic goes on");
		peer_close(&p);
	}
}

/* ---- endings ---- */

static void test_endings(void)
{
	static const struct
	{
		const char *params;
		bool notify; /* by us */
		enum peer_end want;
		const char *reason;
	} rows[] = {
			{GOOD_CERT MODPARAM("send_close_notify", "0"), false, PEER_EOF,
					"EOF after EOF, no alert"},
			{GOOD_CERT MODPARAM("send_close_notify", "0"), true, PEER_EOF,
					"EOF after close_notify, no alert"},
			{GOOD_CERT MODPARAM("send_close_notify", "1"), false, PEER_NOTIFY,
					"close_notify after EOF"},
			{GOOD_CERT MODPARAM("send_close_notify", "1"), true, PEER_NOTIFY,
					"close_notify after close_notify"},
	};
	struct host_config cfg = {0};
	struct host_kam kam;
	struct peer p;
	size_t i;
	size_t k;

	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if(i % 2 == 0) {
			cfg.params = rows[i].params;
			if(!suite_started(&kam, &cfg)) {
				i++;
				continue;
			}
		}
		for(k = 0; k < 2; k++) {
			HOLDS(peer_tls(&p, kam.tls_port, both[k])
							&& peer_options(&p, 1, 0, NULL),
					"a request before the end");
			if(rows[i].notify)
				peer_notify(&p);
			else
				shutdown(p.fd, SHUT_WR);
			HOLDS(peer_await_end(&p, PEER_WAIT_MS) == rows[i].want,
					rows[i].reason);
			peer_close(&p);
		}
		HOLDS(host_rpc_await(&kam, "core.tcp_info", "opened_tls_connections", 0,
					  PEER_WAIT_MS),
				"no connection is left");
		if(i % 2 == 1) {
			HOLDS(host_log_count(&kam, "ERROR:|CRITICAL:") == 0,
					"an end is no error");
			HOLDS(host_stop(&kam, SIGTERM), "clean stop");
		}
	}
}

/* ---- renegotiation, key update ---- */

static bool renegotiate(struct peer *p)
{
	return SSL_renegotiate(p->ssl) == 1 && peer_handshake(p, PEER_WAIT_MS)
		   && !SSL_renegotiate_pending(p->ssl);
}

static void test_renegotiation(void)
{
	struct host_config cfg = {
			.params = GOOD_CERT MODPARAM("renegotiation", "1")};
	struct host_kam kam;
	struct peer p;

	HOLDS(peer_tls(&p, shared.tls_port, &tls12) && peer_options(&p, 1, 0, NULL),
			"connected");
	HOLDS(!renegotiate(&p) || !peer_options(&p, 2, 0, NULL),
			"renegotiation by the client is refused");
	peer_close(&p);
	HOLDS(peer_once(shared.tls_port, &tls12), "the next one is served");
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&p, kam.tls_port, &tls12) && peer_options(&p, 1, 0, NULL),
			"connected");
	HOLDS(renegotiate(&p), "renegotiation=1 allows it");
	HOLDS(peer_options(&p, 2, 16000, NULL), "and traffic goes on");
	peer_close(&p);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_key_update(void)
{
	static const struct
	{
		int kind;
		const char *reason;
	} rows[] = {{SSL_KEY_UPDATE_NOT_REQUESTED, "KeyUpdate, not requested"},
			{SSL_KEY_UPDATE_REQUESTED, "KeyUpdate, requested"},
			{SSL_KEY_UPDATE_REQUESTED, "KeyUpdate, requested again"}};
	struct peer p;
	unsigned int cseq = 1;
	size_t i;

	HOLDS(peer_tls(&p, shared.tls_port, &tls13), "connected");
	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		HOLDS(p.end == PEER_OPEN && SSL_key_update(p.ssl, rows[i].kind) == 1
						&& peer_options(&p, cseq, 3000, NULL),
				rows[i].reason);
		cseq++;
		HOLDS(peer_options(&p, cseq, 100, NULL), "and traffic goes on");
		cseq++;
	}
	peer_close(&p);
}

/* ---- failures ---- */

static void test_no_cipher(void)
{
	struct peer_opt opt = {.min = TLS1_2_VERSION,
			.max = TLS1_2_VERSION,
			.ciphers = "ECDHE-RSA-AES128-GCM-SHA256"};
	struct peer p;
	char needle[64];

	host_log_mark(&shared);
	HOLDS(!peer_tls(&p, shared.tls_port, &opt), "no common cipher: refused");
	HOLDS(p.alert_in == SSL_AD_HANDSHAKE_FAILURE,
			"RFC 5246 s7.4.1.3: the alert is handshake_failure");
	snprintf(needle, sizeof(needle), "127.0.0.1:%d", p.port);
	HOLDS(host_log_await(&shared, needle, PEER_WAIT_MS) == 1,
			"one line of log names the peer");
	/* the core has a line of its own for every failed read */
	HOLDS(host_log_count(&shared, "ERROR:|CRITICAL:&tls [") == 0,
			"peer noise is no error of ours");
	peer_close(&p);
}

static void test_garbage(void)
{
	static const struct
	{
		const char *bytes;
		size_t n;
		const char *reason;
	} rows[] = {
			{"\x16\x03\x01\xff\xff garbage garbage garbage", 30,
					"a record that is too long"},
			{"OPTIONS sip:a@b SIP/2.0\r\n\r\n", 27, "SIP without TLS"},
			{"GET / HTTP/1.1\r\n\r\n", 18, "HTTP without TLS"},
			{"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10,
					"a ClientHello of one byte"},
			{"\x17\x03\x03\x00\x05hello", 10, "data before the handshake"},
			{"\x15\x03\x03\x00\x02\x02\x28", 7, "a fatal alert at once"},
	};
	struct peer p;
	char needle[64];
	size_t i;

	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		host_log_mark(&shared);
		HOLDS(peer_tcp(&p, shared.tls_port), "connected");
		peer_send_raw(&p, rows[i].bytes, rows[i].n, 0);
		HOLDS(peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT, rows[i].reason);
		snprintf(needle, sizeof(needle), "127.0.0.1:%d", p.port);
		HOLDS(host_log_await(&shared, needle, PEER_WAIT_MS) == 1,
				"one line of log names the peer");
		HOLDS(host_log_count(&shared, "CRITICAL:") == 0, "no bug");
		peer_close(&p);
	}
	HOLDS(peer_once(shared.tls_port, NULL), "the next one is served");
}

/* ---- client certificates ---- */

static void test_client_cert(void)
{
#define CA MODPARAM("ca_list", "\"@CERTS@/ca.pem\"")
	static const struct
	{
		const char *params;
		const char *cert; /* trait, NULL = none */
		bool want;
		const char *reason;
	} rows[] = {
			{GOOD_CERT CA MODPARAM("require_certificate", "1"), NULL, false,
					"required, none sent: refused"},
			{NULL, "foreign", false, "required, foreign CA: refused"},
			{NULL, "client", true, "required, good: served"},
			{GOOD_CERT CA MODPARAM("verify_certificate", "1"), NULL, true,
					"verified, none sent: served"},
			{NULL, "foreign", false, "verified, foreign CA: refused"},
			{NULL, "client", true, "verified, good: served"},
			{GOOD_CERT CA MODPARAM("verify_client", "\"on\""), NULL, false,
					"verify_client on, none sent: refused"},
			{GOOD_CERT CA MODPARAM("verify_client", "\"optional_no_ca\""),
					"foreign", true, "optional_no_ca, foreign CA: served"},
			{GOOD_CERT, "foreign", true, "not asked for: served"},
	};
	struct host_config cfg = {0};
	struct host_kam kam = {0};
	struct peer_opt opt;
	struct peer p;
	char pem[32];
	char key[32];
	char text[96];
	size_t i;
	size_t k;
	bool good;

	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if(rows[i].params) {
			if(kam.pid)
				HOLDS(host_stop(&kam, SIGTERM), "clean stop");
			cfg.params = rows[i].params;
			if(!suite_started(&kam, &cfg))
				continue;
		}
		for(k = 0; kam.pid && k < 2; k++) {
			opt = *both[k];
			if(rows[i].cert) {
				snprintf(pem, sizeof(pem), "%s.pem", rows[i].cert);
				snprintf(key, sizeof(key), "%s.key", rows[i].cert);
				opt.cert = host_cert(pem);
				opt.key = host_cert(key);
			}
			good = peer_tls(&p, kam.tls_port, &opt)
				   && peer_options(&p, 1, 0, NULL);
			snprintf(text, sizeof(text), "TLS 1.%d, %s", (int)k + 2,
					rows[i].reason);
			HOLDS(good == rows[i].want, text);
			if(!rows[i].want)
				HOLDS(p.alert_in >= 0, "the client is told by an alert");
			peer_close(&p);
		}
	}
	if(kam.pid)
		HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- profiles and script values ---- */

static const char two_names[] =
		"[server:default]\nmethod = TLSv1.2+\n"
		"certificate = @CERTS@/ecdsa.pem\nprivate_key = @CERTS@/ecdsa.key\n"
		"[client:default]\nverify_certificate = no\n"
		"[server:any]\nserver_name = sip.example.org\nmethod = TLSv1.2+\n"
		"certificate = @CERTS@/rsa.pem\nprivate_key = @CERTS@/rsa.key\n";

/* Key type of the certificate that the server shows for SNI; -1 = none. */
static int shown_key(int port, const struct peer_opt *base, const char *sni)
{
	struct peer_opt opt = *base;
	struct peer p;
	X509 *cert;
	int kind = -1;

	opt.sni = sni;
	if(peer_tls(&p, port, &opt) && peer_options(&p, 1, 0, NULL)) {
		cert = SSL_get1_peer_certificate(p.ssl);
		kind = EVP_PKEY_get_base_id(X509_get0_pubkey(cert));
		X509_free(cert);
	}
	peer_close(&p);
	return kind;
}

static void test_server_names(void)
{
	static const struct
	{
		const char *sni;
		int want;
		const char *reason;
	} rows[] = {{"stranger.example.net", EVP_PKEY_EC, "unknown name"},
			{NULL, EVP_PKEY_EC, "no name"},
			{"sip.example.org", EVP_PKEY_RSA, "a profile's name"},
			{"SIP.EXAMPLE.ORG", EVP_PKEY_RSA, "case makes no difference"}};
	struct host_config cfg = {.tls_cfg = two_names};
	struct host_kam kam;
	struct peer old;
	char answer[512];
	size_t i;
	size_t k;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for(k = 0; k < 2; k++)
			HOLDS(shown_key(kam.tls_port, both[k], rows[i].sni) == rows[i].want,
					rows[i].reason);
	HOLDS(peer_tls(&old, kam.tls_port, NULL) && peer_options(&old, 1, 0, NULL),
			"a connection of the old generation");
	host_write(&kam, "tls.cfg",
			"[server:default]\nmethod = TLSv1.2+\n"
			"certificate = @CERTS@/rsa.pem\nprivate_key = @CERTS@/rsa.key\n");
	HOLDS(host_rpc(&kam, "tls.reload", answer, sizeof(answer)), "reload");
	HOLDS(shown_key(kam.tls_port, &tls13, NULL) == EVP_PKEY_RSA,
			"the new configuration is used");
	HOLDS(peer_options(&old, 2, 500, NULL), "the old connection goes on");
	host_write(&kam, "tls.cfg", "[server:default]\ncertificate = /none.pem\n");
	HOLDS(!host_rpc(&kam, "tls.reload", answer, sizeof(answer)),
			"a wrong configuration is refused");
	HOLDS(strstr(answer, "none.pem") != NULL, "the fault tells why");
	HOLDS(shown_key(kam.tls_port, &tls12, NULL) == EVP_PKEY_RSA,
			"the running configuration stays");
	HOLDS(peer_options(&old, 3, 500, NULL), "the old connection goes on");
	peer_close(&old);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const char values_route[] =
		"	append_to_reply(\"X-Version: $tls_version\\r\\n\");\n"
		"	append_to_reply(\"X-Cipher: $tls_cipher_info\\r\\n\");\n"
		"	append_to_reply(\"X-Bits: $tls_cipher_bits\\r\\n\");\n"
		"	append_to_reply(\"X-Name: $tls_peer_server_name\\r\\n\");\n"
		"	append_to_reply(\"X-Peer: $tls_peer_subject_cn\\r\\n\");\n"
		"	append_to_reply(\"X-My: $tls_my_subject_cn\\r\\n\");\n"
		"	append_to_reply(\"X-Verified: $tls_peer_verified\\r\\n\");\n"
		"	if(is_peer_verified()) { append_to_reply(\"X-Is: yes\\r\\n\"); }\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

static void test_values(void)
{
	struct host_config cfg = {
			.params = GOOD_CERT CA MODPARAM("require_certificate", "1"),
			.route = values_route};
	struct peer_opt opt;
	struct host_kam kam;
	struct peer p;
	char got[256];
	size_t n;
	size_t i;
	size_t k;

	if(!suite_started(&kam, &cfg))
		return;
	for(k = 0; k < 2; k++) {
		opt = *both[k];
		opt.cert = host_cert("client.pem");
		opt.key = host_cert("client.key");
		opt.sni = "sip.example.org";
		n = 0;
		if(peer_tls(&p, kam.tls_port, &opt) && peer_request(&p, 1, 0, NULL))
			n = peer_sip(&p, PEER_WAIT_MS);
		HOLDS(n > 0, "a reply came");
		if(n > 0) {
			const struct
			{
				const char *name;
				const char *want;
			} rows[] = {{"X-Version", SSL_get_version(p.ssl)},
					{"X-Cipher", SSL_get_cipher_name(p.ssl)},
					{"X-Bits", SSL_get_cipher_bits(p.ssl, NULL) == 256 ? "256"
																	   : "128"},
					{"X-Name", "sip.example.org"},
					{"X-Peer", "client.example.org"}, {"X-My", "localhost"},
					{"X-Verified", "1"}, {"X-Is", "yes"}};

			for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
				sip_header(p.buf, n, rows[i].name, got, sizeof(got));
				HOLDS(strcmp(got, rows[i].want) == 0, rows[i].name);
			}
		}
		peer_close(&p);
	}
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"old versions are refused", test_old_versions},
		{"garbage instead of a handshake", test_garbage},
		{"no common cipher", test_no_cipher},
		{"client certificates", test_client_cert},
		{"TLS 1.2 and 1.3, ECDSA and RSA", test_versions},
		{"segments of one byte", test_chops},
		{"records of one byte", test_tiny_records},
		{"many messages at once", test_together}, {"message sizes", test_sizes},
		{"keep-alive ping", test_ping},
		{"endings of a connection", test_endings},
		{"renegotiation", test_renegotiation}, {"key update", test_key_update},
		{"server names and reload", test_server_names},
		{"script values", test_values}, {NULL, NULL}};

const struct suite suite_traffic = {"traffic", suite_init, suite_clean, tests};
