/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* OCSP with a real server: what it staples, with "openssl s_client -status" as
 * the judge and "openssl ocsp" as the responder; files that are refused, over,
 * or end while it runs; and what it makes of the staples of servers that it
 * calls, which are ours or a second Kamailio.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "../lib/ocsp_make.h"
#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define SERVER                              \
	"[server:default]\nmethod = TLSv1.2+\n" \
	"certificate = @CERTS@/ecdsa.pem\n"     \
	"private_key = @CERTS@/ecdsa.key\n"     \
	"ca_list = @CERTS@/ca.pem\n"            \
	"ocsp_file = @CERTS@/staple.der\n"
#define CLIENT(word_)                                                 \
	"[client:default]\nmethod = TLSv1.2+\nverify_certificate = yes\n" \
	"ca_list = @CERTS@/ca.pem\nocsp = " word_ "\n"
#define FAST_TM "modparam(\"tm\", \"fr_timer\", 1500)\n"

static const char relaying[] =
		"	if($hdr(X-Relay) != $null) { $du = $hdr(X-Relay); t_relay(); exit; "
		"}\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

static const char answering[] =
		"	append_to_reply(\"X-Echo: $hdr(X-Echo)\\r\\n\");\n"
		"	if($cl > 0) { set_reply_body(\"$rb\", \"text/plain\"); }\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

/* ---- responses ---- */

static X509 *read_certificate(const char *name)
{
	FILE *f = fopen(host_cert(name), "r");
	X509 *cert = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

	if(f != NULL)
		fclose(f);
	return cert;
}

static EVP_PKEY *read_key(const char *name)
{
	FILE *f = fopen(host_cert(name), "r");
	EVP_PKEY *key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

	if(f != NULL)
		fclose(f);
	return key;
}

/* The response of SPEC, which CA (a file's name without its end) signs, about
 * the certificate ABOUT, for OPENSSL_free. */
static unsigned char *response_of(
		struct ocsp_spec spec, const char *ca, const char *about, size_t *n)
{
	char file[64];
	unsigned char *der;

	snprintf(file, sizeof(file), "%s.key", ca);
	spec.key = read_key(file);
	snprintf(file, sizeof(file), "%s.pem", ca);
	spec.signer = spec.issuer = read_certificate(file);
	spec.cert = read_certificate(about);
	der = ocsp_make(&spec, n);
	X509_free(spec.cert);
	X509_free(spec.signer);
	EVP_PKEY_free(spec.key);
	return der;
}

/* Puts N bytes of DER where the server reads its response, as a script of an
 * operator should: in one step. */
static void put(const void *der, size_t n)
{
	char name[HOST_PATH_MAX];
	FILE *f;

	snprintf(name, sizeof(name), "%s", host_cert("staple.new"));
	f = fopen(name, "w");
	HOLDS(f != NULL && fwrite(der, 1, n, f) == n && fclose(f) == 0
					&& rename(name, host_cert("staple.der")) == 0,
			"the response is in its place");
}

static void put_response(
		struct ocsp_spec spec, const char *ca, const char *about)
{
	size_t n;
	unsigned char *der = response_of(spec, ca, about, &n);

	put(der, n);
	OPENSSL_free(der);
}

/* The response that the responder of the openssl program gives for the
 * certificate ecdsa.pem. */
static bool put_of_tool(void)
{
	char cmd[4096];

	snprintf(cmd, sizeof(cmd),
			"cd %s && serial=$(openssl x509 -in ecdsa.pem -noout -serial"
			" | sed 's/.*=//')"
			" && printf 'V\\t491231235959Z\\t\\t%%s\\tunknown\\t/O=Test\\n'"
			" \"$serial\" >index.txt"
			" && openssl ocsp -issuer ca.pem -cert ecdsa.pem -no_nonce"
			" -reqout request.der >ocsp.log 2>&1"
			" && openssl ocsp -index index.txt -CA ca.pem -rsigner ca.pem"
			" -rkey ca.key -reqin request.der -ndays 2 -respout staple.der"
			" >>ocsp.log 2>&1",
			host_certs());
	return system(cmd) == 0;
}

/* ---- who asks ---- */

/* What "openssl s_client -status" prints about the server at PORT. */
static const char *s_client(int port, const char *version)
{
	static char out[32768];
	char cmd[2048];
	size_t n;
	FILE *f;

	snprintf(cmd, sizeof(cmd),
			"exec openssl s_client -connect 127.0.0.1:%d -status %s -CAfile %s "
			"</dev/null 2>&1",
			port, version, host_cert("ca.pem"));
	f = popen(cmd, "r");
	n = f != NULL ? fread(out, 1, sizeof(out) - 1, f) : 0;
	out[n] = '\0';
	if(f != NULL)
		pclose(f);
	return out;
}

static bool is_good(const char *out)
{
	return strstr(out, "OCSP Response Status: successful") != NULL
		   && strstr(out, "Cert Status: good") != NULL
		   && strstr(out, "Verify return code: 0 (ok)") != NULL;
}

static bool is_none(const char *out)
{
	return strstr(out, "OCSP response: no response sent") != NULL
		   && strstr(out, "Verify return code: 0 (ok)") != NULL;
}

/* Length of the response that the server at PORT staples; 0 = none, -1 = no
 * connection. */
static long staple_of(int port)
{
	struct peer_opt opt = {.ask_status = true};
	const unsigned char *der = NULL;
	struct peer p;
	long n = -1;

	if(peer_tls(&p, port, &opt)) {
		n = SSL_get_tlsext_status_ocsp_resp(p.ssl, &der);
		if(der == NULL || n < 0)
			n = 0;
	}
	peer_close(&p);
	return n;
}

static void test_staple(void)
{
	static const char *const versions[] = {"-tls1_2", "-tls1_3"};
	static const char *const layers[] = {"own", "openssl"};
	struct host_config cfg = {.tls_cfg = SERVER, .tcp_children = 2};
	struct host_kam kam;
	char params[256], answer[4096];
	size_t i, k;

	for(k = 0; k < 2; k++) {
		HOLDS(put_of_tool(), "openssl ocsp answers");
		snprintf(params, sizeof(params),
				"modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
				"modparam(\"tls\", \"record_layer\", \"%s\")\n",
				layers[k]);
		cfg.params = params;
		if(!suite_started(&kam, &cfg))
			return;
		for(i = 0; i < 2; i++)
			HOLDS(is_good(s_client(kam.tls_port, versions[i])),
					"s_client sees a good one");
		/* a reload brings another one; a revoked one is left out */
		put_response((struct ocsp_spec){.id = "SHA256"}, "ca", "ecdsa.pem");
		HOLDS(host_rpc(&kam, "tls.reload", answer, sizeof(answer)), "reload");
		for(i = 0; i < 2; i++)
			HOLDS(is_good(s_client(kam.tls_port, versions[i]))
							&& strstr(s_client(kam.tls_port, versions[i]),
									   "Hash Algorithm: sha256")
									   != NULL,
					"s_client sees the new one");
		put_response((struct ocsp_spec){.status = V_OCSP_CERTSTATUS_REVOKED,
							 .from = -60,
							 .to = 3600},
				"ca", "ecdsa.pem");
		HOLDS(host_rpc(&kam, "tls.reload", answer, sizeof(answer)), "reload");
		HOLDS(is_none(s_client(kam.tls_port, "-tls1_3")),
				"what is not good is not stapled");
		HOLDS(host_log_count(
					  &kam, "WARNING&tls.cfg:6:13: ocsp_file&has revoked")
						== 1,
				"and the log says why");
		HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	}
}

struct file_row
{
	const char *reason;
	struct ocsp_spec spec;
	const char *ca; /* NULL: BYTES */
	const char *about;
	const char *bytes;
	bool starts;
	const char *needles;
};

static const struct file_row file_rows[] = {
		{"garbage", .bytes = "not a response", .needles = "DER form"},
		{"another CA", .ca = "foreign-ca", .about = "ecdsa.pem",
				.needles = "has not signed it"},
		{"another certificate", .ca = "ca", .about = "rsa.pem",
				.needles = "another certificate"},
		{"over", {.from = -7200, .to = -3600}, .ca = "ca", .about = "ecdsa.pem",
				.starts = true,
				.needles = "WARNING&is not stapled: it is over"},
		{"no answer", {.no_response = OCSP_RESPONSE_STATUS_TRYLATER},
				.ca = "ca", .about = "ecdsa.pem", .starts = true,
				.needles = "WARNING&is not stapled&trylater"},
};

static void test_files(void)
{
	struct host_config cfg = {.tls_cfg = SERVER};
	struct host_kam kam;
	char needles[160];
	size_t i;

	for(i = 0; i < sizeof(file_rows) / sizeof(file_rows[0]); i++) {
		const struct file_row *row = &file_rows[i];

		if(row->ca != NULL)
			put_response(row->spec, row->ca, row->about);
		else
			put(row->bytes, strlen(row->bytes));
		snprintf(needles, sizeof(needles), "tls.cfg:6:13: ocsp_file&%s",
				row->needles);
		if(row->starts) {
			if(!suite_started(&kam, &cfg))
				return;
			HOLDS(host_log_count(&kam, needles) == 1, row->reason);
			HOLDS(is_none(s_client(kam.tls_port, "")), row->reason);
			HOLDS(peer_once(kam.tls_port, NULL), "everybody is served");
			HOLDS(host_stop(&kam, SIGTERM), "clean stop");
		} else {
			HOLDS(host_start_refused(&kam, &cfg) > 0, row->reason);
			HOLDS(host_log_count(&kam, needles) > 0, row->reason);
			host_kill(&kam);
		}
	}
}

/* A good one ends while the server runs, in several processes; a new file is
 * found without a command. */
static void test_end(void)
{
	struct host_config cfg = {.tls_cfg = SERVER,
			.tcp_children = 4,
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"reload_on_change\", 1)\n"};
	struct host_kam kam;
	long end;

	put_response((struct ocsp_spec){.from = -60, .to = 8}, "ca", "ecdsa.pem");
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(staple_of(kam.tls_port) > 0, "it is good at first");
	end = host_now() + 15000;
	while(staple_of(kam.tls_port) > 0 && host_now() < end)
		;
	HOLDS(host_now() < end, "it ends");
	HOLDS(is_none(s_client(kam.tls_port, "")), "and is never seen again");
	HOLDS(host_log_await(&kam, "WARNING&staple.der&is over", PEER_WAIT_MS) == 1,
			"the log hears of it once");
	put_response(
			(struct ocsp_spec){.from = -60, .to = 3600}, "ca", "ecdsa.pem");
	HOLDS(host_log_await(&kam, "files of the TLS configuration have changed",
				  PEER_WAIT_MS)
					> 0,
			"the new file is noticed");
	HOLDS(host_log_await(&kam, "loaded&tls.cfg&0 warnings", PEER_WAIT_MS) > 0,
			"and loaded");
	HOLDS(is_good(s_client(kam.tls_port, "")), "and stapled");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- servers that we call ---- */

struct call_row
{
	const char *reason;
	struct ocsp_spec spec;
	const char *ca; /* NULL: nothing is stapled */
	const char *about;
	bool check; /* what comes of it with each word */
	bool require;
	const char *says;
	const char *counts; /* in tls.stats */
};

static const struct call_row call_rows[] = {
		{"nothing", .check = true, .says = "stapled no OCSP response",
				.counts = "handshakes_failed_cert_status"},
		{"revoked",
				{.status = V_OCSP_CERTSTATUS_REVOKED, .from = -60, .to = 3600},
				.ca = "ca", .about = "ecdsa.pem",
				.says = "(certificate revoked)&keyCompromise",
				.counts = "handshakes_failed_cert_revoked"},
		{"over", {.from = -7200, .to = -3600}, .ca = "ca", .about = "ecdsa.pem",
				.says = "it is over",
				.counts = "handshakes_failed_cert_status"},
		{"of another CA", .ca = "foreign-ca", .about = "ecdsa.pem",
				.says = "has not signed it",
				.counts = "handshakes_failed_cert_status"},
		{"about another certificate", .ca = "ca", .about = "rsa.pem",
				.says = "another certificate",
				.counts = "handshakes_failed_cert_status"},
		{"good", .ca = "ca", .about = "ecdsa.pem", .check = true,
				.require = true},
};

/* Kamailio sends a request to a server of ours that staples OPT->staple. */
static void call(struct host_kam *kam, const struct call_row *row,
		const struct peer_opt *opt, bool good)
{
	char extra[96], needles[200];
	struct peer in, out;
	int port, lfd = peer_listen(&port);
	long before = row->counts != NULL
						  ? host_rpc_number(kam, "tls.stats", row->counts)
						  : 0;

	snprintf(extra, sizeof(extra),
			"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", port);
	host_log_mark(kam);
	HOLDS(peer_tcp(&in, kam->tcp_port) && peer_request(&in, 1, 10, extra),
			"sent");
	HOLDS((peer_accept(&out, lfd, opt, PEER_WAIT_MS)
				  && peer_serve(&out, PEER_WAIT_MS) > 0)
					== good,
			row->reason);
	if(!good) {
		HOLDS(peer_await_end(&out, PEER_WAIT_MS) != PEER_TIMEOUT
						&& out.alert_in == 113,
				"bad_certificate_status_response");
		snprintf(needles, sizeof(needles),
				"WARNING&certificate of the peer refused&depth 0&%s&/CN=",
				row->says);
		HOLDS(host_log_await(kam, needles, PEER_WAIT_MS) == 1, row->says);
		HOLDS(host_rpc_await(
					  kam, "tls.stats", row->counts, before + 1, PEER_WAIT_MS),
				row->counts);
	}
	peer_close(&in);
	peer_close(&out);
	close(lfd);
}

static void test_calls(void)
{
	static const char *const words[] = {CLIENT("check"), CLIENT("require")};
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct host_config cfg = {.modules = FAST_TM, .route = relaying};
	struct peer_opt opt = {
			.cert = host_cert("ecdsa.pem"), .key = host_cert("ecdsa.key")};
	char text[2048];
	struct host_kam kam;
	size_t i, w, v;

	put_response(
			(struct ocsp_spec){.from = -60, .to = 3600}, "ca", "ecdsa.pem");
	for(w = 0; w < 2; w++) {
		snprintf(text, sizeof(text), SERVER "%s", words[w]);
		cfg.tls_cfg = text;
		if(!suite_started(&kam, &cfg))
			return;
		for(i = 0; i < sizeof(call_rows) / sizeof(call_rows[0]); i++) {
			const struct call_row *row = &call_rows[i];
			size_t n = 0;
			unsigned char *der = row->ca != NULL ? response_of(
										 row->spec, row->ca, row->about, &n)
												 : NULL;

			opt.staple = der;
			opt.n_staple = n;
			opt.cert = host_cert("ecdsa.pem");
			opt.key = host_cert("ecdsa.key");
			for(v = 0; v < 2; v++) {
				opt.min = opt.max = versions[v];
				call(&kam, row, &opt, w == 0 ? row->check : row->require);
			}
			OPENSSL_free(der);
		}
		HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	}
}

/* Both sides are Kamailio: one staples, the other one requires it. */
static void test_both(void)
{
	struct host_config near_cfg = {.tls_cfg = SERVER CLIENT("require"),
			.modules = FAST_TM,
			.route = relaying};
	struct host_config far_cfg = {.tls_cfg = SERVER, .route = answering};
	struct host_kam near_kam, far_kam;
	char extra[96];
	struct peer in;

	put_response(
			(struct ocsp_spec){.from = -60, .to = 3600}, "ca", "ecdsa.pem");
	if(!suite_started(&far_kam, &far_cfg))
		return;
	if(!suite_started(&near_kam, &near_cfg)) {
		host_kill(&far_kam);
		return;
	}
	snprintf(extra, sizeof(extra),
			"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", far_kam.tls_port);
	HOLDS(peer_tcp(&in, near_kam.tcp_port) && peer_request(&in, 1, 3000, extra)
					&& peer_check_reply(&in, 1, 3000, 200, PEER_WAIT_MS),
			"a request over both");
	peer_close(&in);
	HOLDS(host_stop(&far_kam, SIGTERM), "clean stop");
	HOLDS(host_stop(&near_kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"files that are refused, left out", test_files},
		{"servers that we call", test_calls},
		{"what s_client sees", test_staple}, {"a good one ends", test_end},
		{"both sides are ours", test_both}, {NULL, NULL}};

const struct suite suite_ocsp = {"ocsp", NULL, NULL, tests};
