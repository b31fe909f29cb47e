/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What an operator relies on and meets rarely: RPCs over JSON, counters that
 * only an odd peer or setting moves, the time of handshakes in classes, peers
 * that do not read, floods of key changes, key logs to a peer.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define N(a_) (sizeof(a_) / sizeof((a_)[0]))
#define ECDSA                                                     \
	"modparam(\"tls\", \"certificate\", \"@CERTS@/ecdsa.pem\")\n" \
	"modparam(\"tls\", \"private_key\", \"@CERTS@/ecdsa.key\")\n"
/* What processes keep for reuse, and the host's own blocks. */
#define SHM_NOISE (6 * 256 * 1024)
#define SERVER_PART                         \
	"[server:default]\nmethod = TLSv1.2+\n" \
	"certificate = @CERTS@/ecdsa.pem\nprivate_key = @CERTS@/ecdsa.key\n"

static char answer[1 << 17];

/* True when the counter NAME becomes WANT; says so when it does not. */
static bool counted(struct host_kam *kam, const char *name, long want)
{
	if(host_rpc_await(kam, "tls.stats", name, want, 5000))
		return true;
	fprintf(stderr, "%s is %ld, not %ld\n", name,
			host_rpc_number(kam, "tls.stats", name), want);
	return false;
}

/* ---- JSON-RPC ---- */

/* An end of a datagram socket that the server can answer, and its path. */
static int datagram(const struct host_kam *kam, struct sockaddr_un *server)
{
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	server->sun_family = AF_UNIX;
	snprintf(own.sun_path, sizeof(own.sun_path), "%.90s/asks", kam->dir);
	snprintf(
			server->sun_path, sizeof(server->sun_path), "%.90s/json", kam->dir);
	unlink(own.sun_path);
	if(bind(fd, (struct sockaddr *)&own, sizeof(own)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Asks over the datagram socket; the reply is in answer. */
static bool ask_datagram(struct host_kam *kam, const char *body)
{
	struct sockaddr_un to;
	int fd = datagram(kam, &to);
	size_t n = 0;

	if(fd >= 0
			&& sendto(fd, body, strlen(body), 0, (struct sockaddr *)&to,
					   sizeof(to))
					   > 0)
		n = peer_udp_read(fd, answer, sizeof(answer) - 1, PEER_WAIT_MS);
	answer[n] = '\0';
	close(fd);
	return n > 0;
}

/* Asks over HTTP. */
static bool ask_http(struct host_kam *kam, const char *body)
{
	char text[1024];
	struct peer p;
	int n = snprintf(text, sizeof(text),
			"POST /RPC HTTP/1.1\r\nHost: x\r\nVia: SIP/2.0/TCP x\r\n"
			"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			strlen(body), body);
	bool good = peer_tcp(&p, kam->tcp_port)
				&& peer_send_raw(&p, text, (size_t)n, 0);
	long end = host_now() + PEER_WAIT_MS;

	/* the reply ends with the number of the question */
	while(good && host_now() < end
			&& memmem(p.buf, p.used, "\"id\":", 5) == NULL)
		good = peer_await(&p, p.used + 1, PEER_WAIT_MS);
	snprintf(answer, sizeof(answer), "%.*s", (int)p.used, p.buf);
	peer_close(&p);
	return good;
}

/* White space is no matter of JSON's. */
static bool has(const char *text)
{
	const char *in;
	char *out = answer;

	for(in = answer; *in != '\0'; in++)
		if(strchr("\t\r\n", *in) == NULL)
			*out++ = *in;
	*out = '\0';
	return strstr(answer, text) != NULL;
}

struct question
{
	const char *reason;
	const char *body; /* behind "jsonrpc" and "id" */
	const char *says; /* all of them, separated by '&' */
};

/* $ID$ is the number of a connection, as tls.list shows it. */
static const struct question questions[] = {
		{"no such connection", "\"method\":\"tls.kill\",\"params\":[1]",
				"\"result\":\"TLS connection id not found\""},
		{"an id that is none", "\"method\":\"tls.kill\",\"params\":[\"x\"]",
				"\"error\"&\"code\":400&is not the id of a connection"},
		{"a parameter is missing", "\"method\":\"tls.kill\"",
				"\"error\"&\"code\":400&the id of a connection is needed"},
		{"a filter that is none",
				"\"method\":\"tls.list\",\"params\":[\"colour\",\"red\"]",
				"\"error\"&\"code\":400&\"message\":\""},
		{"a parameter of the wrong kind",
				"\"method\":\"tls.explain\",\"params\":[\"server\","
				"\"nowhere\"]",
				"\"error\"&\"code\":400&is not an address with port"},
		{"numbers", "\"method\":\"tls.info\"",
				"\"result\"&\"max_connections\":&\"opened_connections\":1&"
				"\"generation\":1"},
		{"connections", "\"method\":\"tls.list\"",
				"\"result\"&\"dom\":\"TLSs<default>\"&\"state\":"
				"\"established\"&"
				"\"cipher\":\"TLS_"},
		{"counters", "\"method\":\"tls.stats\"",
				"\"result\"&\"handshakes_completed\":\"1\""},
		{"profiles", "\"method\":\"tls.profiles\"",
				"\"result\"&TLSs<default>&TLSc<default>"},
		{"certificates", "\"method\":\"tls.certs\"",
				"\"result\"&\"days_left\":29&ecdsa.pem"},
		{"settings", "\"method\":\"tls.options\"",
				"\"result\"&\"handshake_timeout\":5000"},
		{"a choice",
				"\"method\":\"tls.explain\",\"params\":[\"server\","
				"\"127.0.0.1:5061\",\"a.example.org\"]",
				"\"result\"&TLSs<default>"},
		{"a check", "\"method\":\"tls.check\"",
				"\"result\"&nothing was changed"},
		{"a reload", "\"method\":\"tls.reload\"",
				"\"result\"&TLS configuration reloaded"}};

typedef bool (*ask_fn)(struct host_kam *kam, const char *body);

static bool replies(
		struct host_kam *kam, ask_fn ask, const char *body, const char *says)
{
	char words[256];
	char *state = NULL;
	char *word;
	char text[256];

	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",%s,\"id\":7}", body);
	if(!ask(kam, text))
		return false;
	snprintf(words, sizeof(words), "%s", says);
	for(word = strtok_r(words, "&", &state); word != NULL;
			word = strtok_r(NULL, "&", &state))
		if(!has(word)) {
			fprintf(stderr, "no %s in the reply to %s: %.300s\n", word, body,
					answer);
			return false;
		}
	return true;
}

static void check_json(struct host_kam *kam, ask_fn ask)
{
	char body[128];
	struct peer p;
	size_t i;

	HOLDS(peer_tls(&p, kam->tls_port, NULL) && peer_options(&p, 1, 0, NULL),
			"a connection");
	for(i = 0; i < N(questions); i++)
		HOLDS(replies(kam, ask, questions[i].body, questions[i].says),
				questions[i].reason);
	HOLDS(host_write(kam, "tls.cfg", "[server:default]\nmethod = TLSv9\n")
					&& replies(kam, ask, "\"method\":\"tls.reload\"",
							"\"error\"&\"code\":500&tls.cfg:2:10: method: "
							"unknown method"),
			"a reload that fails says where and why");
	HOLDS(host_write(kam, "tls.cfg", SERVER_PART), "the file as it was");
	HOLDS(replies(kam, ask,
				  "\"method\":\"cfg.set_now_string\",\"params\":[\"tls\","
				  "\"config\",\"\"]",
				  "\"error\"")
					&& host_log_await(kam, "ERROR&a path of 1 to", 5000) > 0,
			"an empty path is no file");
	snprintf(body, sizeof(body), "\"method\":\"tls.kill\",\"params\":[%ld]",
			host_rpc_number(kam, "tls.list", "id"));
	HOLDS(replies(kam, ask, body, "\"result\"")
					&& peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT,
			"a connection is ended");
	peer_close(&p);
	HOLDS(host_rpc_await(kam, "tls.info", "opened_connections", 0, 5000),
			"and gone");
}

static void test_json(void)
{
	static const ask_fn asks[] = {ask_datagram, ask_http};
	struct host_config cfg = {.tls_cfg = SERVER_PART,
			.globals = "tcp_accept_no_cl=yes\n",
			.modules = "loadmodule \"xhttp.so\"\nloadmodule \"jsonrpcs.so\"\n"
					   "modparam(\"jsonrpcs\", \"transport\", 5)\n"
					   "modparam(\"jsonrpcs\", \"dgram_socket\", "
					   "\"@DIR@/json\")\n",
			.routes = "event_route[xhttp:request] { jsonrpc_dispatch(); }\n"};
	struct host_kam kam;
	size_t i;

	for(i = 0; i < N(asks); i++) {
		if(!suite_started(&kam, &cfg))
			return;
		check_json(&kam, asks[i]);
		HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
		HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	}
}

/* ---- counters that an odd peer moves ---- */

/* Certificates that a list of their authority speaks about. */
static void test_certificates(void)
{
	static const struct
	{
		const char *cert;
		const char *key;
		const char *counter;
		const char *line;
	} rows[] = {{"revoked.pem", "revoked.key", "handshakes_failed_cert_revoked",
						"certificate revoked"},
			{"below.pem", "below.key", "handshakes_failed_cert_other",
					"unable to get certificate CRL"}};
	struct host_config cfg = {
			.tls_cfg = SERVER_PART
			"require_certificate = yes\nca_list = @CERTS@/ca.pem\n"
			"crl = @CERTS@/mid.crl\ncrl_check = chain\n"};
	struct host_kam kam;
	struct peer p;
	size_t i;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < N(rows); i++) {
		struct peer_opt opt = {.max = TLS1_2_VERSION,
				.cert = host_cert(rows[i].cert),
				.key = host_cert(rows[i].key)};

		HOLDS(!peer_tls(&p, kam.tls_port, &opt), "refused");
		peer_close(&p);
		HOLDS(host_log_await(&kam, rows[i].line, 5000) > 0, rows[i].line);
		HOLDS(counted(&kam, rows[i].counter, 1), rows[i].counter);
	}
	HOLDS(counted(&kam, "handshakes_failed", (long)N(rows)), "no other");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* Our server, which a request on IN is relayed to; its descriptor. */
static int relay_from(struct peer *in, struct host_kam *kam, size_t body_n)
{
	char extra[96];
	int port;
	int lfd = peer_listen(&port);

	snprintf(extra, sizeof(extra),
			"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", port);
	HOLDS(peer_tcp(in, kam->tcp_port) && peer_request(in, 1, body_n, extra),
			"a request to relay");
	return lfd;
}

/* Both roles with a version that only old phones have. */
static void old_version(const char *method, int version, const char *name)
{
	struct host_config cfg = {0};
	struct peer_opt opt = {.min = version,
			.max = version,
			.old_versions = true,
			.ciphers = "ALL:@SECLEVEL=0"};
	char counter[64];
	char text[512];
	struct host_kam kam;
	struct peer in;
	struct peer p;
	int lfd;

	snprintf(text, sizeof(text),
			"[server:default]\nmethod = %s\ncipher_list = ALL:@SECLEVEL=0\n"
			"certificate = @CERTS@/ecdsa.pem\n"
			"private_key = @CERTS@/ecdsa.key\n"
			"[client:default]\nmethod = %s\ncipher_list = ALL:@SECLEVEL=0\n",
			method, method);
	cfg.tls_cfg = text;
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&p, kam.tls_port, &opt) && peer_options(&p, 1, 3000, NULL),
			"who calls with the old version is served");
	peer_close(&p);
	snprintf(counter, sizeof(counter), "handshakes_completed_server_%s", name);
	HOLDS(counted(&kam, counter, 1), counter);
	opt.cert = host_cert("ecdsa.pem");
	opt.key = host_cert("ecdsa.key");
	lfd = relay_from(&in, &kam, 1000);
	HOLDS(peer_accept(&p, lfd, &opt, PEER_WAIT_MS)
					&& peer_serve(&p, PEER_WAIT_MS) > 0
					&& peer_check_reply(&in, 1, 1000, 200, PEER_WAIT_MS),
			"and who is called");
	peer_close(&p);
	peer_close(&in);
	close(lfd);
	snprintf(counter, sizeof(counter), "handshakes_completed_client_%s", name);
	HOLDS(counted(&kam, counter, 1), counter);
	HOLDS(counted(&kam, "resumptions_client", 0), "we never resume as client");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_old_versions(void)
{
	old_version("TLSv1", TLS1_VERSION, "tls1_0");
	old_version("TLSv1.1", TLS1_1_VERSION, "tls1_1");
}

/* A message that waits for a server which does not say hello. */
static void test_queue_full(void)
{
	struct host_config cfg = {.tls_cfg = SERVER_PART,
			.globals = "tcp_send_timeout=2\n",
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"con_ct_wq_max\", 4096)\n"};
	struct host_kam kam;
	struct peer silent;
	struct peer in;
	int lfd;

	if(!suite_started(&kam, &cfg))
		return;
	lfd = relay_from(&in, &kam, 20000);
	HOLDS(peer_accept(&silent, lfd, NULL, PEER_WAIT_MS), "we are called");
	HOLDS(counted(&kam, "clear_text_write_refused", 1), "counted");
	HOLDS(host_log_await(&kam,
				  "too much clear text waits for the handshake&con_ct_wq_max",
				  5000)
					> 0,
			"the log names the setting");
	peer_close(&silent);
	peer_close(&in);
	close(lfd);
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 10000)
					&& host_rpc_number(&kam, "tls.info",
							   "clear_text_write_queued_bytes")
							   == 0,
			"nothing is left of it");
	HOLDS(peer_once(kam.tls_port, NULL), "others are served");
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* A profile that wants a name, and a script that gives none. */
static void test_internal(void)
{
	struct host_config cfg = {.tls_cfg = SERVER_PART
							  "[client:default]\nverify_certificate = yes\n"
							  "ca_list = @CERTS@/ca.pem\nverify_name = host\n"};
	struct host_kam kam;
	struct peer p;
	struct peer in;
	int lfd;

	if(!suite_started(&kam, &cfg))
		return;
	lfd = relay_from(&in, &kam, 0);
	if(peer_accept(&p, lfd, NULL, PEER_WAIT_MS))
		peer_await_end(&p, PEER_WAIT_MS);
	HOLDS(counted(&kam, "handshakes_failed_internal", 1), "counted");
	HOLDS(host_log_await(&kam, "nobody said who the peer has to be", 5000) > 0,
			"the log says what is missing");
	peer_close(&p);
	peer_close(&in);
	close(lfd);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- how long handshakes take ---- */

static const int bounds[] = {
		1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000};

/* Class of a handshake of MS. */
static size_t class_of(long ms)
{
	size_t i;

	for(i = 0; i < N(bounds) && ms > bounds[i]; i++)
		;
	return i;
}

static long in_class(struct host_kam *kam, size_t i)
{
	char name[32] = "handshake_ms_more";

	if(i < N(bounds))
		snprintf(name, sizeof(name), "handshake_ms_le_%d", bounds[i]);
	return host_rpc_number(kam, "tls.stats", name);
}

/* A handshake that waits MS after the first half of its hello. Returns how long
 * all of it took, -1 = it failed. */
static long slow_handshake(struct host_kam *kam, int ms)
{
	struct peer_opt opt = {.max = TLS1_2_VERSION};
	char hello[4096];
	struct peer p;
	long took = -1;
	long began;
	int n;

	if(peer_tcp(&p, kam->tls_port) && peer_tls_prepare(&p, &opt, false)) {
		SSL_do_handshake(p.ssl);
		n = BIO_read(p.wbio, hello, sizeof(hello));
		began = host_now();
		/* its time begins when the server has seen the first half */
		if(n > 20 && peer_send_raw(&p, hello, 20, 0)
				&& host_rpc_await(
						kam, "tls.stats", "handshakes_running", 1, 5000)) {
			host_wait_clock(ms);
			if(peer_send_raw(&p, hello + 20, (size_t)n - 20, 0)
					&& peer_handshake(&p, 2 * PEER_WAIT_MS)
					&& peer_options(&p, 1, 0, NULL))
				took = host_now() - began + 1;
		}
	}
	peer_close(&p);
	return took;
}

/* Classes below 5 ms are not driven on purpose: only a quick machine gets there.
 * Handshakes that do not wait must be in one not above what the peer saw. */
static void test_times(void)
{
	static const int waits[] = {
			0, 0, 0, 3, 7, 15, 30, 70, 150, 300, 700, 1500, 3000, 5500};
	struct host_config cfg = {
			.params =
					ECDSA "modparam(\"tls\", \"handshake_timeout\", 20000)\n"};
	struct host_kam kam;
	long before[N(bounds) + 1];
	size_t i;
	size_t k;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < N(waits); i++) {
		long more = 0;
		long all = 0;
		long took;

		for(k = 0; k <= N(bounds); k++)
			before[k] = in_class(&kam, k);
		took = slow_handshake(&kam, waits[i]);
		HOLDS(took >= waits[i], "it is served");
		for(k = 0; k <= N(bounds); k++) {
			long n = in_class(&kam, k) - before[k];

			all += n;
			if(k >= class_of(waits[i] > 0 ? waits[i] - 1 : 0)
					&& k <= class_of(took))
				more += n;
		}
		HOLDS(all == 1 && more == 1, "counted once, in its class");
	}
	HOLDS(in_class(&kam, N(bounds)) == 1, "one of more than 5 s");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- peers that do not read, and that only talk about keys ---- */

/* Requests with replies of 50 KB, more than both systems keep for a socket, but
 * less than the core's queue takes. */
#define UNREAD 300

/* One that asks and never reads: the core's send timeout ends it, not before
 * and not much later. */
static void test_send_timeout(void)
{
	struct host_config cfg = {.params = ECDSA,
			.shm_mb = 128,
			.globals = "tcp_send_timeout=2\ntcp_conn_wq_max=40000000\n"
					   "tcp_wq_max=80000000\n"};
	struct host_kam kam;
	struct peer p;
	long began;
	long used;
	unsigned int i;
	int version;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_once(kam.tls_port, NULL), "somebody");
	used = host_rpc_number(&kam, "core.shmmem", "used");
	for(version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct peer_opt opt = {.min = version, .max = version};

		HOLDS(peer_tls(&p, kam.tls_port, &opt) && peer_options(&p, 1, 0, NULL),
				"a connection");
		setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &(int){8192}, sizeof(int));
		for(i = 2; i < UNREAD && peer_request(&p, i, 50000, NULL); i++)
			;
		HOLDS(i == UNREAD, "the core queues the replies");
		began = host_now();
		HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 20000),
				"who does not read is ended");
		HOLDS(host_now() - began > 1000, "when its time is over");
		printf("\n    TLS 1.%d: ended after %ld ms ",
				version - TLS1_2_VERSION + 2, host_now() - began);
		peer_close(&p);
		HOLDS(peer_once(kam.tls_port, NULL), "others are served");
	}
	HOLDS(host_rpc_number(&kam, "core.shmmem", "used") - used < SHM_NOISE,
			"what was queued for it is free again");
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_key_floods(void)
{
	struct host_config cfg = {
			.params = ECDSA "modparam(\"tls\", \"renegotiation\", 1)\n"};
	struct peer_opt old = {.max = TLS1_2_VERSION};
	struct host_kam kam;
	struct peer p;
	unsigned int i;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&p, kam.tls_port, NULL) && peer_options(&p, 1, 0, NULL),
			"TLS 1.3");
	for(i = 0; i < 100 && p.end == PEER_OPEN; i++)
		if(SSL_key_update(p.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1
				|| !peer_handshake(&p, PEER_WAIT_MS))
			break;
	HOLDS(peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT,
			"who only changes keys is ended");
	peer_close(&p);
	HOLDS(host_log_await(&kam, "too many handshake messages without data", 5000)
					== 1,
			"the log says why");
	HOLDS(peer_tls(&p, kam.tls_port, &old) && peer_options(&p, 1, 0, NULL),
			"TLS 1.2");
	for(i = 0; i < 100; i++)
		if(SSL_renegotiate(p.ssl) != 1 || !peer_handshake(&p, PEER_WAIT_MS))
			break;
	printf("\n    %u renegotiations ", i);
	HOLDS(i > 0 && i < 100, "who renegotiates again and again is ended");
	peer_close(&p);
	HOLDS(host_log_await(&kam, "the peer renegotiates too often", 5000) == 1,
			"the log says why");
	HOLDS(counted(&kam, "connections_failed", 2), "both are counted");
	HOLDS(peer_once(kam.tls_port, NULL), "others are served");
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- key log ---- */

/* What comes to FD until QUIET ms are over. */
static void collect(int fd, int quiet)
{
	size_t used = 0;
	size_t n;

	while(used < sizeof(answer) - 1
			&& (n = peer_udp_read(
						fd, answer + used, sizeof(answer) - 1 - used, quiet))
					   > 0)
		used += n;
	answer[used] = '\0';
}

static void check_key_peer(struct host_kam *kam, int fd)
{
	static const struct
	{
		const char *set;
		bool traffic;
		bool others;
	} rows[] = {{"cfg.set_now_int tls keylog_mode 17", false, false},
			{"cfg.set_now_int tls keylog_mode 1043", true, false},
			{"cfg.set_now_int tls keylog_mode 19", true, true}};
	struct peer p;
	size_t i;

	for(i = 0; i < N(rows); i++) {
		HOLDS(host_rpc(kam, rows[i].set, answer, sizeof(answer)), rows[i].set);
		HOLDS(peer_tls(&p, kam->tls_port, NULL) && peer_options(&p, 1, 0, NULL),
				"a connection");
		collect(fd, 500);
		HOLDS((strstr(answer, "SERVER_TRAFFIC_SECRET_0 ") != NULL)
						== rows[i].traffic,
				"what decrypts");
		HOLDS((strstr(answer, "EXPORTER_SECRET ") != NULL) == rows[i].others,
				"what does not");
		peer_close(&p);
	}
}

/* The file: mode 0600 whatever the umask, and nobody else's is written. */
static void check_key_file(struct host_kam *kam)
{
	char path[HOST_PATH_MAX + 16];
	struct stat st = {0};
	struct stat after = {0};

	snprintf(path, sizeof(path), "%s/keys", kam->dir);
	HOLDS(host_rpc(kam, "cfg.set_now_int tls keylog_mode 11", answer,
				  sizeof(answer))
					&& peer_once(kam->tls_port, NULL) && stat(path, &st) == 0
					&& (st.st_mode & 07777) == 0600 && st.st_size > 0,
			"the file has mode 0600");
	HOLDS(chmod(path, 0644) == 0 && peer_once(kam->tls_port, NULL)
					&& host_log_await(kam,
							   "the key log cannot be written&others may read "
							   "it (chmod 600)",
							   5000)
							   > 0,
			"one that others can read is not written");
	HOLDS(stat(path, &st) == 0 && peer_once(kam->tls_port, NULL)
					&& stat(path, &after) == 0 && after.st_size == st.st_size,
			"not a byte");
}

/* A datagram socket that takes what anybody sends, and its port. */
static int bound_socket(int *port)
{
	struct sockaddr_in sa = {
			.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	HOLDS(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0
					&& getsockname(fd, (struct sockaddr *)&sa, &n) == 0,
			"a socket");
	*port = ntohs(sa.sin_port);
	return fd;
}

static void test_keylog(void)
{
	struct host_config cfg = {.tcp_children = 1};
	char params[512];
	struct host_kam kam;
	int port;
	int fd;

	fd = bound_socket(&port);
	snprintf(params, sizeof(params),
			ECDSA "modparam(\"tls\", \"keylog_mode\", 25)\n"
				  "modparam(\"tls\", \"keylog_file\", \"@DIR@/keys\")\n"
				  "modparam(\"tls\", \"keylog_peer\", \"udp:127.0.0.1:%d\")\n",
			port);
	cfg.params = params;
	if(suite_started(&kam, &cfg)) {
		check_key_peer(&kam, fd);
		check_key_file(&kam);
		HOLDS(host_log_count(&kam, "TRAFFIC_SECRET") == 0,
				"no key is in the log");
		HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	}
	close(fd);
}

/* ---- lines that nothing else asks for ---- */

/* A message larger than what the core reads into, and ends of TCP. */
static void bad_ends(struct host_kam *kam)
{
	struct peer p;

	HOLDS(peer_tls(&p, kam->tls_port, NULL) && peer_options(&p, 1, 0, NULL),
			"a connection");
	peer_request(&p, 2, 60000, NULL);
	HOLDS(peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT, "too large");
	peer_close(&p);
	HOLDS(host_log_await(kam,
				  "ERROR&message does not fit into the receive buffer&"
				  "tcp_rd_buf_size",
				  5000)
					> 0,
			"the log names the setting");
	HOLDS(peer_tls(&p, kam->tls_port, NULL) && peer_options(&p, 1, 0, NULL),
			"a connection");
	peer_close(&p); /* without close_notify */
	HOLDS(host_rpc_await(kam, "tls.info", "opened_connections", 0, 5000),
			"it has gone");
}

static void test_lines(void)
{
	struct host_config cfg = {.tls_cfg = SERVER_PART,
			.globals = "tcp_rd_buf_size=16384\n",
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"keylog_mode\", 7)\n"
					  "modparam(\"tls\", \"event_callback\", \"nobody\")\n"};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_once(kam.tls_port, NULL)
					&& host_log_await(
							   &kam, "NOTICE&key log: &TRAFFIC_SECRET", 5000)
							   > 0,
			"keylog_mode 4 writes to the log");
	bad_ends(&kam);
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* What a script does wrong. */
static void test_script_lines(void)
{
	static const char *const lines[] = {"ERROR&only $tls(peer_name) can be set",
			"ERROR&$tls(peer_name): the value is too long or not a text",
			"ERROR&KSR.tls.cget: no such variable"};
	struct host_config cfg = {.params = ECDSA,
			.modules = "loadmodule \"app_lua.so\"\n"
					   "modparam(\"app_lua\", \"load\", "
					   "\"@CERTS@/none.lua\")\n",
			.route = "	$tls(peer_days_left) = \"1\";\n"
					 "	$tls(peer_name) = 7;\n"
					 "	lua_runstring(\"KSR.tls.cget('none')\");\n"
					 "	sl_send_reply(\"200\", \"OK\");\n"};
	struct host_kam kam;
	struct peer p;
	FILE *f = fopen(host_cert("none.lua"), "w");
	size_t i;

	HOLDS(f != NULL && fputs("-- nothing\n", f) >= 0 && fclose(f) == 0,
			"a script");
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&p, kam.tls_port, NULL) && peer_request(&p, 1, 0, NULL)
					&& peer_sip(&p, PEER_WAIT_MS) > 0,
			"the message is handled to its end");
	peer_close(&p);
	for(i = 0; i < N(lines); i++)
		HOLDS(host_log_await(&kam, lines[i], 5000) > 0, lines[i]);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	cfg.modules = NULL;
	cfg.route = "	xlog(\"$tls(nothing)\");\n";
	HOLDS(host_start_refused(&kam, &cfg) > 0
					&& host_log_count(&kam,
							   "ERROR&unknown name&in a pseudo-variable of TLS")
							   > 0,
			"a name that does not exist");
}

/* Starts the server of CFG with TEXT as the library's own configuration. */
static bool started_with(
		const char *text, struct host_kam *kam, struct host_config *cfg)
{
	FILE *f = fopen(host_cert("own.cnf"), "w");
	bool good;

	HOLDS(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0, "a file");
	setenv("OPENSSL_CONF", host_cert("own.cnf"), 1);
	good = suite_started(kam, cfg);
	unsetenv("OPENSSL_CONF");
	return good;
}

/* The library's own configuration prefers another provider's algorithms. */
static void test_key_schedule_line(void)
{
	static const char text[] =
			"openssl_conf = all\n[all]\nalg_section = evp\n"
			"[evp]\ndefault_properties = ?provider=default\n";
	static const char line[] = "NOTICE&asks for another key schedule&stay on";
	struct host_config cfg = {.params = ECDSA};
	struct host_kam kam;

	if(!started_with(text, &kam, &cfg))
		return;
	HOLDS(host_log_count(&kam, line) == 1, "the log tells");
	HOLDS(peer_once(kam.tls_port, NULL), "served all the same");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(host_log_count(&kam, line) == 0
					&& host_log_count(&kam, "loads the provider") == 0,
			"nothing to tell");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* The library's own configuration loads a provider under a name that it does
 * not know. */
static void test_provider_line(void)
{
	static const char text[] =
			"openssl_conf = all\n[all]\nproviders = list\n[list]\n"
			"default = plain\ncopy = other\n[plain]\nactivate = 1\n"
			"[other]\nmodule = legacy.so\nactivate = 1\n";
	struct host_config cfg = {.params = ECDSA};
	struct host_kam kam;

	if(!started_with(text, &kam, &cfg))
		return;
	HOLDS(host_log_count(&kam, "WARNING&OpenSSL's configuration loads the "
							   "provider \"copy\"&provider_quirks_config")
					== 1,
			"the log warns");
	HOLDS(peer_once(kam.tls_port, NULL), "served all the same");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {{"JSON-RPC", test_json},
		{"certificates and lists", test_certificates},
		{"old versions", test_old_versions}, {"full queue", test_queue_full},
		{"internal", test_internal}, {"times", test_times},
		{"send timeout", test_send_timeout}, {"key floods", test_key_floods},
		{"key log", test_keylog}, {"lines", test_lines},
		{"lines of scripts", test_script_lines},
		{"line of a provider", test_provider_line},
		{"line of a key schedule", test_key_schedule_line}, {NULL, NULL}};

const struct suite suite_ops = {"ops", NULL, NULL, tests};
