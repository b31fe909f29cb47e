/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What the module counts, says and refuses: counters that match what the
 * peers did, one line for each failed handshake, handshakes that never end,
 * floods, shared memory that runs out.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define ECDSA                                                     \
	"modparam(\"tls\", \"certificate\", \"@CERTS@/ecdsa.pem\")\n" \
	"modparam(\"tls\", \"private_key\", \"@CERTS@/ecdsa.key\")\n"

/* What processes keep for reuse (TLS_MEM_CACHE_MAX each), and the host's own
 * blocks that come and go. */
#define SHM_NOISE (6 * 256 * 1024)
/* Handshakes of each kind that stop in the middle, and connections in a list;
 * the environment may want more of them. */
#define HALF_OPEN 500
#define HALF_OPEN_MAX 5000
#define LISTED 500
#define LISTED_MAX 10000
#define CLIENTS 500	  /* well-behaved ones whose time is taken */
#define REQUESTS 1000 /* requests whose time is taken */
#define ROUNDS 3
#define PAGE 100 /* connections in one reply */
#define HELLO_MAX 4096
#define AT_ONCE 100 /* connections without a look at the server, keep_pace() */
#define SHORTAGES 100 /* times that memory runs out */

static char answer[1 << 20];

/* Value of the counter NAME; all are asked for at once by read_stats(). */
static long stat_of(const char *name)
{
	char field[64];
	const char *at;

	snprintf(field, sizeof(field), "\t%s: ", name);
	at = strstr(answer, field);
	return at ? strtol(at + strlen(field), NULL, 10) : -1;
}

static void read_stats(struct host_kam *kam)
{
	HOLDS(host_rpc(kam, "tls.stats", answer, sizeof(answer)), "tls.stats");
}

/* True when the counter NAME is WANT; says so when it is not. */
static bool stat_is(const char *name, long want)
{
	if(stat_of(name) == want)
		return true;
	fprintf(stderr, "%s is %ld, not %ld\n", name, stat_of(name), want);
	return false;
}

/* ---- what peers do, and what is counted and said ---- */

static void raw_garbage(struct peer *p)
{
	static const char sip[] = "OPTIONS sip:a@b SIP/2.0\r\n\r\n";

	peer_send_raw(p, sip, sizeof(sip) - 1, 0);
	peer_await_end(p, PEER_WAIT_MS);
}

/* A ClientHello in OUT; what comes back to P is not read as TLS any more.
 * Returns its length, 0 = failed. */
static size_t make_hello(struct peer *p, char *out, size_t room)
{
	struct peer_opt opt = {.sni = "half.example.org"};
	char *data;
	size_t n;

	if(!peer_tls_prepare(p, &opt, false))
		return 0;
	SSL_do_handshake(p->ssl);
	n = (size_t)BIO_get_mem_data(p->wbio, &data);
	n = n <= room ? n : 0;
	memcpy(out, data, n);
	SSL_free(p->ssl);
	p->ssl = NULL; /* from here on it only looks at TCP */
	p->end = PEER_OPEN;
	return n;
}

static void hello_and_close(struct peer *p)
{
	char hello[HELLO_MAX];
	size_t n = make_hello(p, hello, sizeof(hello));

	if(n > 0)
		peer_send_raw(p, hello, n, 0);
}

/* A ClientHello and then nothing until the other side gives up. */
static void hello_and_wait(struct peer *p)
{
	hello_and_close(p);
	peer_await_end(p, PEER_WAIT_MS);
}

struct failure
{
	const char *reason;
	const char *counter;
	const char *line; /* words of the log line, for host_log_count */
	struct peer_opt opt;
	void (*act)(struct peer *p); /* instead of a handshake with OPT */
};

/* Certificates are filled in when the program runs. */
static struct failure failures[] = {
		{"SIP without TLS", "handshakes_failed_garbage",
				"wrong version number|http request&profile TLSs<default>", {0},
				raw_garbage},
		{"only old versions", "handshakes_failed_version",
				"unsupported protocol",
				{.max = TLS1_1_VERSION, .old_versions = true}, NULL},
		{"no cipher for this certificate", "handshakes_failed_no_shared_cipher",
				"no shared cipher",
				{.max = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES128-SHA256"},
				NULL},
		{"no certificate", "handshakes_failed_cert_missing",
				"did not return a certificate&name sip.example.org",
				{.sni = "sip.example.org"}, NULL},
		{"a stranger", "handshakes_failed_cert_unknown_ca",
				"unable to get local issuer certificate",
				{.cert = "foreign.pem", .key = "foreign.key"}, NULL},
		{"expired", "handshakes_failed_cert_expired", "certificate has expired",
				{.cert = "expired.pem", .key = "expired.key"}, NULL},
		{"the peer does not trust us", "handshakes_failed_alert",
				"alert unknown ca",
				{.ca = "foreign-ca.pem",
						.cert = "client.pem",
						.key = "client.key"},
				NULL},
		{"gone in the middle", "handshakes_failed_closed",
				"the peer closed the connection during the handshake|"
				"the peer reset the connection during the handshake&name "
				"half.example.org",
				{0}, hello_and_close},
		{"asleep in the middle", "handshakes_failed_timeout",
				"not complete after 1000 ms (handshake_timeout)", {0},
				hello_and_wait},
};

#define N_FAILURES (sizeof(failures) / sizeof(failures[0]))

static const char *cert_or_null(const char *name)
{
	return name != NULL ? host_cert(name) : NULL;
}

static void fail_once(struct host_kam *kam, const struct failure *f)
{
	struct peer_opt opt = f->opt;
	struct peer p;

	opt.ca = cert_or_null(opt.ca);
	opt.cert = cert_or_null(opt.cert);
	opt.key = cert_or_null(opt.key);
	if(f->act != NULL) {
		HOLDS(peer_tcp(&p, kam->tls_port), "TCP connects");
		f->act(&p);
	} else {
		/* TLS 1.3 clients are done before the server has looked */
		HOLDS(!peer_tls(&p, kam->tls_port, &opt)
						|| peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT,
				"the handshake fails");
	}
	peer_close(&p);
	HOLDS(host_log_await(kam, f->line, 5000) == 1, f->reason);
	HOLDS(strstr(host_log_line(), "127.0.0.1:") != NULL
					&& strstr(host_log_line(), "local 127.0.0.1:") != NULL,
			"the line names both addresses");
}

static void test_causes(void)
{
	struct host_config cfg = {
			.params =
					ECDSA "modparam(\"tls\", \"require_certificate\", 1)\n"
						  "modparam(\"tls\", \"ca_list\", \"@CERTS@/ca.pem\")\n"
						  "modparam(\"tls\", \"tls_log\", 1)\n"
						  "modparam(\"tls\", \"handshake_timeout\", 1000)\n"};
	struct peer_opt good = {.sni = "sip.example.org", .max = TLS1_2_VERSION};
	struct host_kam kam;
	struct peer p;
	size_t i;

	if(!suite_started(&kam, &cfg))
		return;
	good.cert = host_cert("client.pem");
	good.key = host_cert("client.key");
	HOLDS(peer_tls(&p, kam.tls_port, &good) && peer_options(&p, 1, 0, NULL),
			"a good one");
	peer_close(&p);
	HOLDS(host_log_await(&kam,
				  "TLSv1.2, ECDHE-ECDSA&profile TLSs<default>&name "
				  "sip.example.org& ms",
				  5000)
					== 1,
			"tls_log: the line of an established connection");
	for(i = 0; i < N_FAILURES; i++)
		fail_once(&kam, &failures[i]);
	read_stats(&kam);
	for(i = 0; i < N_FAILURES; i++)
		HOLDS(stat_is(failures[i].counter, 1), failures[i].reason);
	HOLDS(stat_is("handshakes_failed", N_FAILURES)
					&& stat_is("handshakes_started_server", N_FAILURES + 1)
					&& stat_is("handshakes_completed", 1)
					&& stat_is("handshakes_running", 0)
					&& stat_is("handshakes_completed_server_tls1_2", 1),
			"nothing else was counted");
	HOLDS(stat_of("certificate_days_left") == 29, "the first certificate");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* The certificate that ends first may be the second one of a profile. */
static void test_days_left(void)
{
	struct host_config cfg = {
			.tls_cfg = "[server:default]\n"
					   "certificate = @CERTS@/rsa.pem\n"
					   "private_key = @CERTS@/rsa.key\n"
					   "certificate2 = @CERTS@/rich-server.pem\n"
					   "private_key2 = @CERTS@/rich-server.key\n"};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	read_stats(&kam);
	HOLDS(stat_of("certificate_days_left") == 19, "the second certificate");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* Names: the one that the client calls, and the one of its certificate. */
static void test_names(void)
{
	static const char tls_cfg[] =
			"[server:default]\nmethod = TLSv1.2\n"
			"certificate = @CERTS@/ecdsa.pem\nprivate_key = @CERTS@/ecdsa.key\n"
			"ca_list = @CERTS@/ca.pem\nrequire_certificate = yes\n"
			"strict_sni = yes\nverify_name = host\n"
			"peer_names = other.example.org\n";
	struct host_config cfg = {.tls_cfg = tls_cfg};
	struct peer_opt opt = {.sni = "nobody.example.org"};
	struct host_kam kam;
	struct peer p;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(!peer_tls(&p, kam.tls_port, &opt), "no profile has the name");
	peer_close(&p);
	opt.sni = NULL;
	opt.cert = host_cert("client.pem");
	opt.key = host_cert("client.key");
	HOLDS(!peer_tls(&p, kam.tls_port, &opt), "the certificate is of another");
	peer_close(&p);
	HOLDS(host_rpc_await(&kam, "tls.stats", "handshakes_failed", 2, 5000),
			"both failed");
	read_stats(&kam);
	HOLDS(stat_is("handshakes_failed_unknown_name", 1)
					&& stat_is("handshakes_failed_cert_name", 1),
			"each is counted under its cause");
	HOLDS(host_log_await(&kam,
				  "refused, no profile has the "
				  "name&nobody.example.org&(strict_sni)",
				  5000) > 0
					&& host_log_await(&kam, "other.example.org", 5000) > 0,
			"and the log has the names");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- sums ---- */

static void test_sums(void)
{
	struct host_config cfg = {.tcp_children = 3};
	struct host_kam kam;
	struct peer p;
	int i;

	if(!suite_started(&kam, &cfg))
		return;
	memset(&peer_totals, 0, sizeof(peer_totals));
	for(i = 0; i < 60; i++) {
		struct peer_opt opt = {.chop = i % 3 ? 0 : 100,
				.max = i % 4 ? TLS1_3_VERSION : TLS1_2_VERSION};

		HOLDS(peer_tls(&p, kam.tls_port, &opt) && peer_options(&p, 1, 0, NULL)
						&& peer_options(&p, 2, 30000, NULL),
				"two requests");
		peer_close(&p);
	}
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 5000),
			"all have ended");
	read_stats(&kam);
	HOLDS(stat_is("handshakes_started_server", 60)
					&& stat_is("handshakes_completed", 60)
					&& stat_is("handshakes_completed_server_tls1_2", 15)
					&& stat_is("handshakes_completed_server_tls1_3", 45)
					&& stat_is("handshakes_failed", 0)
					&& stat_is("connections_failed", 0),
			"handshakes");
	HOLDS(stat_is("bytes_in", (long)peer_totals.bytes_out)
					&& stat_is("bytes_out", (long)peer_totals.bytes_in),
			"every byte of the wire");
	HOLDS(stat_is("records_in", (long)peer_totals.records_out)
					&& stat_is("records_out", (long)peer_totals.records_in),
			"every record");
	HOLDS(stat_of("clear_text_bytes_in") > 60 * 30000
					&& stat_of("clear_text_bytes_in") < stat_of("bytes_in"),
			"messages");
	HOLDS(host_rpc(&kam, "stats.get_statistics tls:", answer, sizeof(answer))
					&& strstr(answer, "tls:handshakes_completed = 60\n")
					&& strstr(answer, "tls:handshake_ms_le_"),
			"the host's statistics have them");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- handshakes that never end ---- */

static void close_some(struct peer *peers, int n)
{
	while(n-- > 0)
		peer_close(&peers[n]);
}

/* After every AT_ONCE-th connection I: one that behaves. The host hands events
 * on to its receivers as fast as they come, and complains when they have not
 * taken the earlier ones yet. */
static void keep_pace(struct host_kam *kam, int i)
{
	if(i % AT_ONCE == 0)
		HOLDS(peer_once(kam->tls_port, NULL), "who behaves is served");
}

/* Where the I-th of many connections comes from: newer hosts take 1024 of one
 * address (tcp_accept_iplimit). */
static const char *source_of(int i)
{
	static char text[sizeof("127.0.0.255")];

	snprintf(text, sizeof(text), "127.0.0.%d", (2 + i / 500) % 256);
	return text;
}

/* Settings with room for as many connections as a test may be told to open. */
static const char *large(void)
{
	static char text[512];

	snprintf(text, sizeof(text),
			"tcp_max_connections=20000\ntls_max_connections=20000\n"
			"tcp_rd_buf_size=4096\nopen_files_limit=20000\n%s",
			host_no_limits());
	return text;
}

/* handshake_timeout with N connections: they must all be there for a while
 * before the first has to go. */
#define HALF_MS(n) (6000 + 2 * (n))

static int compare_times(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Microseconds since an arbitrary start. */
static long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

/* Time in us within which 99 of 100 well-behaved clients are served.
 * Other programs on the machine only make them slower: the best of up to
 * ROUNDS rounds counts, or the first one that is better than GOOD. */
static int p99_of_clients(struct host_kam *kam, int good)
{
	int best = INT_MAX;
	int took[CLIENTS];
	int round;
	int i;

	for(round = 0; round < ROUNDS && best >= good; round++) {
		for(i = 0; i < CLIENTS; i++) {
			long began = now_us();

			HOLDS(peer_once(kam->tls_port, NULL), "who behaves is served");
			took[i] = (int)(now_us() - began);
		}
		qsort(took, CLIENTS, sizeof(took[0]), compare_times);
		i = took[CLIENTS * 99 / 100 - 1];
		best = i < best ? i : best;
	}
	return best;
}

/* How a handshake stops in the middle. */
enum half
{
	HALF_SILENT = 0, /* nothing at all */
	HALF_HELLO,		 /* its hello, nothing more */
	HALF_DRIP,		 /* one byte a second of its hello */
	HALF_KINDS
};

#define TURNS 50 /* in a second */

/* In the child: one byte of a hello a second to each that drips, a part of
 * them at a time. */
static pid_t drip(struct peer *peers, int n)
{
	char hello[HELLO_MAX];
	size_t size = make_hello(&peers[HALF_DRIP], hello, sizeof(hello));
	pid_t pid = fork();
	size_t at;
	int turn;
	int i;

	if(pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for(at = 0; at < size; at++) {
		for(turn = 0; turn < TURNS; turn++) {
			for(i = HALF_DRIP + turn * HALF_KINDS; i < n;
					i += TURNS * HALF_KINDS)
				peer_send_raw(&peers[i], hello + at, 1, 0);
			host_wait_clock(1000 / TURNS);
		}
	}
	_exit(0);
}

/* N connections, the kinds in turn. Returns who feeds those that drip. */
static pid_t open_halves(struct host_kam *kam, struct peer *peers, int n)
{
	int i;

	for(i = 0; i < n; i++) {
		HOLDS(peer_tcp_from(&peers[i], source_of(i), kam->tls_port),
				"TCP connects");
		if(i % HALF_KINDS == HALF_HELLO)
			hello_and_close(&peers[i]);
		keep_pace(kam, i);
	}
	return drip(peers, n);
}

static void end_child(pid_t pid)
{
	int status;

	HOLDS(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid
					&& WIFSIGNALED(status),
			"it went on until now");
}

static void check_log_rate(struct host_kam *kam, int n)
{
	int lines = host_log_count(kam, "handshake_timeout&profile");

	HOLDS(lines >= 20 && lines % 20 == 0
					&& stat_is("log_lines_left_out", n - lines),
			"log_rate: so many lines in 10 s");
	HOLDS(host_log_await(kam,
				  "more TLS connections failed like those before&timeout "
				  "(log_rate)",
				  15000)
					>= 1,
			"and the number of the others");
}

/* All of them are ended, and nothing of them stays. */
static void check_halves_gone(
		struct host_kam *kam, struct peer *peers, int n, long before)
{
	long left;
	int i;

	for(i = 0; i < n; i++)
		HOLDS(peer_await_end(&peers[i], HALF_MS(n)) != PEER_TIMEOUT,
				"it is ended");
	HOLDS(host_rpc_await(kam, "tls.info", "opened_connections", 1, 5000),
			"all have gone");
	left = host_rpc_number(kam, "core.shmmem", "used") - before;
	printf(", %ld KB left ", left / 1024);
	HOLDS(left < SHM_NOISE, "and their memory is back");
	read_stats(kam);
	HOLDS(stat_is("handshakes_failed_timeout", n / HALF_KINDS * 2)
					&& stat_is("connections_silent", n / HALF_KINDS)
					&& stat_is("handshakes_failed", n / HALF_KINDS * 2)
					&& stat_is("handshakes_running", 0),
			"each is counted");
	check_log_rate(kam, n / HALF_KINDS * 2);
}

/* Times are judged when somebody asks for this test by its size: that a
 * machine is busy is no fault of the module. */
static bool judges_time(const char *variable)
{
	return getenv(variable) != NULL;
}

/* Memory and clients are looked at before, while HALF_OPEN connections of each
 * kind owe a handshake, and after. */
static void test_half_open(void)
{
	static struct peer peers[HALF_KINDS * HALF_OPEN_MAX];
	struct host_config cfg = {.allocator = "fm",
			.tcp_children = 4,
			.shm_mb = 1024,
			.globals = large()};
	int n = suite_number("HALF_OPEN", HALF_OPEN);
	char params[256];
	struct host_kam kam;
	struct peer p;
	long before;
	long began;
	int quiet;
	int meanwhile;
	int after;
	pid_t dripping;

	n = HALF_KINDS * (n < HALF_OPEN_MAX ? n : HALF_OPEN_MAX);
	snprintf(params, sizeof(params),
			ECDSA "modparam(\"tls\", \"handshake_timeout\", %d)\n", HALF_MS(n));
	cfg.params = params;
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&p, kam.tls_port, NULL) && peer_options(&p, 1, 0, NULL),
			"one that behaves");
	quiet = p99_of_clients(&kam, 0);
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 1, 5000),
			"the others have gone");
	before = host_rpc_number(&kam, "core.shmmem", "used");
	began = host_now();
	dripping = open_halves(&kam, peers, n);
	printf("\n    %d half-open in %ld ms", n, host_now() - began);
	meanwhile = p99_of_clients(&kam, 2 * quiet);
	HOLDS(!judges_time("HALF_OPEN")
					|| (host_now() - began < HALF_MS(n)
							&& host_rpc_number(
									   &kam, "tls.info", "opened_connections")
									   > n),
			"they were there all the time");
	printf(": p99 of %d clients %d us quiet, %d us meanwhile", CLIENTS, quiet,
			meanwhile);
	check_halves_gone(&kam, peers, n, before);
	end_child(dripping);
	/* quiet in our server is not quiet on the machine */
	if(judges_time("HALF_OPEN")) {
		after = meanwhile < 2 * quiet ? quiet : p99_of_clients(&kam, 0);
		HOLDS(meanwhile < 2 * (after > quiet ? after : quiet),
				"no slower than twice the quiet");
	}
	close_some(peers, n);
	HOLDS(peer_options(&p, 2, 0, NULL), "who behaves may stay");
	peer_close(&p);
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- lists while messages flow ---- */

/* So much longer may a message wait, in us. */
#define LIST_US 20000

/* True when pages of the list show N connections together: kamcmd takes no
 * reply of more than 64 KB. */
static bool lists_all(struct host_kam *kam, int n)
{
	char cmd[64];
	const char *at;
	int seen = 0;
	int offset;

	for(offset = 0; offset < n; offset += PAGE) {
		snprintf(cmd, sizeof(cmd), "tls.list limit %d offset %d", PAGE, offset);
		if(!host_rpc(kam, cmd, answer, sizeof(answer)))
			return false;
		for(at = answer; (at = strstr(at, "\tid: ")) != NULL; at++)
			seen++;
	}
	return seen == n;
}

/* In the child: one list of all connections after the other. The server makes
 * it, whether kamcmd can show it or not. */
static pid_t list_all_the_time(struct host_kam *kam)
{
	pid_t pid = fork();

	if(pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for(;;)
		host_rpc(kam, "tls.list", answer, sizeof(answer));
}

/* The longest of many requests on P in us, in the best of up to ROUNDS rounds
 * or the first one that is better than GOOD; the CSeq goes on from *CSEQ. */
static int slowest(struct peer *p, unsigned int *cseq, int good)
{
	int best = INT_MAX;
	int round;
	int i;

	for(round = 0; round < ROUNDS && best >= good; round++) {
		int worst = 0;

		for(i = 0; i < REQUESTS; i++) {
			long began = now_us();
			int took;

			HOLDS(peer_options(p, (*cseq)++, 0, NULL), "a request is answered");
			took = (int)(now_us() - began);
			worst = took > worst ? took : worst;
		}
		best = worst < best ? worst : best;
	}
	return best;
}

static void test_long_list(void)
{
	static struct peer peers[LISTED_MAX];
	struct host_config cfg = {.shm_mb = 1024, .globals = large()};
	int n = suite_number("LISTED", LISTED);
	struct host_kam kam;
	unsigned int cseq = 1;
	int quiet;
	int meanwhile;
	pid_t pid;
	int i;

	n = n < LISTED_MAX ? n : LISTED_MAX;
	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < n; i++)
		HOLDS(peer_tcp_from(&peers[i], source_of(i), kam.tls_port)
						&& peer_tls_prepare(
								&peers[i], &(struct peer_opt){0}, false)
						&& peer_handshake(&peers[i], PEER_WAIT_MS),
				"a connection");
	HOLDS(lists_all(&kam, n), "the list has all of them");
	quiet = slowest(&peers[0], &cseq, 0);
	pid = list_all_the_time(&kam);
	meanwhile = slowest(&peers[0], &cseq, quiet + LIST_US);
	end_child(pid);
	printf("\n    %d connections: slowest request %d us quiet, %d us while "
		   "they are listed ",
			n, quiet, meanwhile);
	HOLDS(!judges_time("LISTED") || meanwhile < quiet + LIST_US,
			"no message waits for a list");
	for(i = 0; i < n; i++) {
		peer_close(&peers[i]);
		keep_pace(&kam, i);
	}
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- limits ---- */

/* Begins N handshakes that stay in the middle; returns how many were not
 * refused at once. */
static int begin_some(struct host_kam *kam, struct peer *peers, int n)
{
	int good = 0;
	int i;

	for(i = 0; i < n; i++) {
		HOLDS(peer_tcp(&peers[i], kam->tls_port), "TCP connects");
		hello_and_close(&peers[i]);
		/* the answer to its hello, or the end */
		good += peer_await(&peers[i], 1, PEER_WAIT_MS);
	}
	return good;
}

static void set(struct host_kam *kam, const char *what)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "cfg.set_now_int tls %s", what);
	HOLDS(host_rpc(kam, cmd, answer, sizeof(answer)), what);
}

static void check_handshakes(struct host_kam *kam)
{
	struct peer peers[12];

	set(kam, "max_handshakes 5");
	HOLDS(begin_some(kam, peers, 12) == 5, "five at the same time");
	HOLDS(host_log_await(kam, "5 handshakes are running (max_handshakes)", 5000)
					> 0,
			"the log names the setting");
	close_some(peers, 12);
	HOLDS(host_rpc_await(kam, "tls.info", "opened_connections", 0, 5000),
			"they have gone");
	HOLDS(peer_once(kam->tls_port, NULL), "there is room again");
	set(kam, "max_handshakes 0");
	set(kam, "handshake_rate 4");
	HOLDS(begin_some(kam, peers, 12) < 12, "a rate for all");
	HOLDS(host_log_await(kam, "4 handshakes a second (handshake_rate)", 5000)
					> 0,
			"the log names the setting");
	close_some(peers, 12);
	set(kam, "handshake_rate 0");
	set(kam, "handshake_rate_source 3");
	HOLDS(begin_some(kam, peers, 12) < 12, "a rate for this address");
	HOLDS(host_log_await(kam,
				  "3 handshakes a second from this address "
				  "(handshake_rate_source)",
				  5000)
					> 0,
			"the log names the setting");
	close_some(peers, 12);
	set(kam, "handshake_rate_source 0");
	HOLDS(begin_some(kam, peers, 12) == 12, "and no limit any more");
	close_some(peers, 12);
	read_stats(kam);
	HOLDS(stat_is("refused_max_handshakes", 7)
					&& stat_of("refused_handshake_rate") > 0
					&& stat_of("refused_handshake_rate_source") > 0
					&& stat_of("handshakes_failed_limit")
							   == 7 + stat_of("refused_handshake_rate")
										  + stat_of("refused_handshake_rate_"
													"source"),
			"each refusal is counted under its own name");
}

/* The profile has room for two connections. */
static void check_connections(struct host_kam *kam)
{
	struct peer peers[3];
	int i;

	for(i = 0; i < 2; i++)
		HOLDS(peer_tls(&peers[i], kam->tls_port, NULL)
						&& peer_options(&peers[i], 1, 0, NULL),
				"one that has room");
	HOLDS(!peer_tls(&peers[2], kam->tls_port, NULL)
					|| !peer_options(&peers[2], 1, 0, NULL),
			"one too many");
	HOLDS(peers[2].end == PEER_NOTIFY, "it is told goodbye");
	peer_close(&peers[2]);
	HOLDS(host_log_await(kam, "has 2 connections (max_connections)", 5000) > 0,
			"the log names the setting");
	HOLDS(peer_options(&peers[0], 2, 0, NULL), "the others go on");
	peer_close(&peers[0]);
	HOLDS(host_rpc_await(kam, "tls.info", "opened_connections", 1, 5000),
			"one has gone");
	HOLDS(peer_once(kam->tls_port, NULL), "there is room again");
	peer_close(&peers[1]);
	read_stats(kam);
	HOLDS(stat_is("refused_max_connections", 1), "counted");
}

/* N portions of one request, each on its own in the server's hands. */
static bool send_in_crumbs(struct peer *p, int n)
{
	static const char head[] =
			"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\n"
			"Via: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKcrumbs\r\n";
	char line[32];
	int i;

	if(!peer_send(p, head, sizeof(head) - 1))
		return false;
	for(i = 1; i < n; i++) {
		host_wait_clock(20); /* or the server reads two of them at once */
		snprintf(line, sizeof(line), "X-%d: x\r\n", i);
		if(!peer_send(p, line, strlen(line)))
			return false;
	}
	return true;
}

static void check_fragments(struct host_kam *kam)
{
	struct peer p;

	set(kam, "max_record_fragments 5");
	HOLDS(peer_tls(&p, kam->tls_port, NULL) && peer_options(&p, 1, 0, NULL)
					&& peer_options(&p, 2, 1000, NULL),
			"whole messages pass");
	send_in_crumbs(&p, 10);
	HOLDS(peer_await_end(&p, PEER_WAIT_MS) != PEER_TIMEOUT, "crumbs do not");
	peer_close(&p);
	HOLDS(host_log_await(kam, "5 portions (max_record_fragments)", 5000) == 1,
			"the log names the setting");
	read_stats(kam);
	HOLDS(stat_is("refused_max_record_fragments", 1)
					&& stat_is("connections_failed", 1),
			"counted");
	set(kam, "max_record_fragments 0");
}

static void check_crlf(struct host_kam *kam)
{
	struct peer p;

	set(kam, "crlf_drop 1");
	HOLDS(peer_tls(&p, kam->tls_port, NULL) && peer_options(&p, 1, 0, NULL),
			"a connection");
	HOLDS(peer_send(&p, "\r\n", 2)
					&& host_rpc_await(kam, "tls.stats", "crlf_dropped", 1, 5000)
					&& peer_options(&p, 2, 0, NULL) && peer_send(&p, "\r\n", 2)
					&& host_rpc_await(kam, "tls.stats", "crlf_dropped", 2, 5000)
					&& peer_options(&p, 3, 0, NULL),
			"single ones are dropped");
	HOLDS(peer_send(&p, "\r\n\r\n", 4) && peer_await(&p, 2, PEER_WAIT_MS)
					&& memcmp(p.buf, "\r\n", 2) == 0,
			"a ping has its answer");
	peer_close(&p);
}

static void test_limits(void)
{
	struct host_config cfg = {.params = ECDSA
							  "modparam(\"tls\", \"max_connections\", 2)\n"
							  "modparam(\"tls\", \"log_rate\", 0)\n"};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	check_handshakes(&kam);
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 5000),
			"all have gone");
	check_connections(&kam);
	check_fragments(&kam);
	check_crlf(&kam);
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- shared memory runs out ---- */

static void test_low_memory(void)
{
	struct host_config cfg = {.allocator = "fm",
			.params = ECDSA "modparam(\"tls\", \"low_mem_threshold1\", 4096)\n"
							"modparam(\"tls\", \"low_mem_threshold2\", 2048)\n",
			.modules =
					"loadmodule \"" TEST_BUILD_DIR "/host/memory_hog.so\"\n"};
	struct host_kam kam;
	struct peer old;
	struct peer p;
	long began;
	int i;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&old, kam.tls_port, NULL) && peer_options(&old, 1, 0, NULL),
			"an established connection");
	for(i = 0; i < SHORTAGES; i++) {
		HOLDS(host_rpc(&kam, i % 2 ? "hog.fill 3000" : "hog.fill 1000", answer,
					  sizeof(answer)),
				"memory is taken");
		HOLDS(!peer_tls(&p, kam.tls_port, NULL) && p.end != PEER_TIMEOUT,
				"new handshakes are refused");
		peer_close(&p);
		HOLDS(peer_options(&old, 2 + (unsigned int)i, 500, NULL),
				"established calls go on");
		HOLDS(host_rpc(&kam, "hog.free", answer, sizeof(answer)),
				"memory is given back");
		began = host_now();
		HOLDS(peer_once(kam.tls_port, NULL) && host_now() - began < 1000,
				"service is back at once");
	}
	read_stats(&kam);
	HOLDS(stat_is("refused_low_memory", SHORTAGES)
					&& stat_is("handshakes_failed_memory", SHORTAGES)
					&& stat_is("handshakes_failed", SHORTAGES),
			"each refusal is counted");
	HOLDS(host_log_count(&kam, "shared memory is low&larger -m") == SHORTAGES
					&& host_log_await_n(&kam, "enough shared memory again",
							   SHORTAGES, 5000)
							   == SHORTAGES,
			"each shortage is said once, with what to do");
	HOLDS(host_log_count(&kam, "refused, shared memory") == 0,
			"and not for each connection");
	peer_close(&old);
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* Nothing at all can be allocated, or just so many KB. The receive buffer of
 * the core's connection alone is 16 KB. */
static const int left_kb[] = {0, 20, 45, 70, 110};

#define N_LEFT (sizeof(left_kb) / sizeof(left_kb[0]))
#define EXHAUSTIONS 100

/* A peer that calls while nothing is left: served or ended, in time. Returns
 * whether it was served. */
static bool called_in_vain(struct host_kam *kam, bool none)
{
	struct peer p;
	bool served =
			peer_tls(&p, kam->tls_port, NULL) && peer_options(&p, 1, 0, NULL);

	HOLDS(!(served && none), "new handshakes are refused");
	HOLDS(served || p.end != PEER_TIMEOUT, "who is refused is told at once");
	peer_close(&p);
	return served;
}

/* Those that were there before, of TLS 1.2 and 1.3. */
struct calls
{
	struct peer peers[2];
	unsigned int cseq;
};

static bool calls_go_on(struct calls *calls)
{
	bool good = true;
	int i;

	calls->cseq += 2;
	for(i = 0; i < 2; i++)
		good = good && peer_options(&calls->peers[i], calls->cseq, 500, NULL)
			   && peer_options(&calls->peers[i], calls->cseq + 1, 6000, NULL);
	return good;
}

/* One exhaustion; KB are left. Returns how many were refused. */
static int exhaust_once(struct host_kam *kam, struct calls *old, int kb)
{
	char cmd[32];
	int refused = 0;
	long began;
	int i;

	snprintf(cmd, sizeof(cmd), "hog.exhaust %d", kb);
	HOLDS(host_rpc(kam, cmd, answer, sizeof(answer)), "all memory is taken");
	for(i = 0; i < 3; i++) {
		refused += !called_in_vain(kam, kb == 0);
		HOLDS(calls_go_on(old), "established calls go on");
	}
	HOLDS(host_rpc(kam, "hog.free", answer, sizeof(answer)),
			"memory is given back");
	began = host_now();
	HOLDS(peer_once(kam->tls_port, NULL) && host_now() - began < 1000,
			"service is back at once");
	return refused;
}

/* The thresholds are off: allocations fail. */
static void test_no_memory(void)
{
	struct host_config cfg = {.allocator = "fm",
			.params = ECDSA "modparam(\"tls\", \"low_mem_threshold1\", 0)\n"
							"modparam(\"tls\", \"low_mem_threshold2\", 0)\n"
							"modparam(\"tls\", \"log_rate\", 0)\n",
			.modules =
					"loadmodule \"" TEST_BUILD_DIR "/host/memory_hog.so\"\n"};
	struct host_kam kam;
	struct calls old = {.cseq = 1};
	int refused = 0;
	int i;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < 2; i++)
		HOLDS(peer_tls(&old.peers[i], kam.tls_port,
					  &(struct peer_opt){
							  .max = i ? TLS1_3_VERSION : TLS1_2_VERSION})
						&& peer_options(&old.peers[i], 1, 0, NULL),
				"an established connection");
	HOLDS(host_rpc_number(&kam, "tls.mem", "private_blocks") >= 2,
			"on our record layer");
	for(i = 0; i < EXHAUSTIONS; i++)
		refused += exhaust_once(&kam, &old, left_kb[(size_t)i % N_LEFT]);
	read_stats(&kam);
	printf("\n    %d refused, %ld of them by the module ", refused,
			stat_of("handshakes_failed"));
	HOLDS(stat_of("handshakes_failed") == stat_of("handshakes_failed_memory")
					&& stat_of("handshakes_failed_memory") > 0,
			"each refusal is counted as what it was");
	HOLDS(host_log_count(&kam, "TLS connection&out of shared memory")
					== stat_of("handshakes_failed_memory"),
			"and has a line with its cause");
	HOLDS(host_log_count(&kam, "ERROR&could not allocate shared memory")
					>= refused - stat_of("handshakes_failed_memory"),
			"those that the core had no memory for have one of the core");
	close_some(old.peers, 2);
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- key log ---- */

/* The file holds the key of P, which has this client random. */
static bool has_key_of(const struct host_kam *kam, const struct peer *p)
{
	unsigned char bytes[SSL3_RANDOM_SIZE];
	char path[HOST_PATH_MAX + 16];
	char random[2 * SSL3_RANDOM_SIZE + 1];
	FILE *f;
	size_t i;

	SSL_get_client_random(p->ssl, bytes, sizeof(bytes));
	for(i = 0; i < sizeof(bytes); i++)
		snprintf(random + 2 * i, 3, "%02x", bytes[i]);
	snprintf(path, sizeof(path), "%s/keys", kam->dir);
	answer[0] = '\0';
	f = fopen(path, "r");
	if(f == NULL)
		return false;
	answer[fread(answer, 1, sizeof(answer) - 1, f)] = '\0';
	fclose(f);
	return strstr(answer, random) != NULL;
}

static void test_keylog(void)
{
	struct host_config cfg = {.params = ECDSA
							  "modparam(\"tls\", \"keylog_mode\", 1033)\n"
							  "modparam(\"tls\", \"keylog_file\", "
							  "\"@DIR@/keys\")\n"};
	struct host_kam kam;
	struct peer p;
	int on;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(host_log_await(&kam,
				  "WARNING&keylog_mode: this server can write down the keys of "
				  "its connections&reads every call",
				  5000)
					> 0,
			"the log warns");
	for(on = 0; on < 2; on++) {
		set(&kam, on ? "keylog_mode 1035" : "keylog_mode 1033");
		HOLDS(peer_tls(&p, kam.tls_port, NULL) && peer_options(&p, 1, 0, NULL),
				"a connection");
		HOLDS(has_key_of(&kam, &p) == (on == 1),
				on ? "its keys are written" : "nothing is written yet");
		peer_close(&p);
	}
	HOLDS(strstr(answer, "SERVER_TRAFFIC_SECRET_0 ") != NULL
					&& strstr(answer, "EXPORTER_SECRET") == NULL,
			"the filter leaves what decrypts");
	HOLDS(host_log_count(&kam, "TRAFFIC_SECRET") == 0, "no key in the log");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- monitoring ---- */

static char metrics[1 << 18];

/* The server's answer to a scrape, as Prometheus asks. */
static bool scrape(struct host_kam *kam)
{
	static const char get[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n"
							  "Via: SIP/2.0/TCP x\r\n\r\n";
	struct peer p;
	bool good = peer_tcp(&p, kam->tcp_port)
				&& peer_send_raw(&p, get, sizeof(get) - 1, 0);

	/* the connection stays open: the last statistic is the end */
	while(good && p.used < PEER_BUF_MAX
			&& memmem(p.buf, p.used, "certificate_days_left", 21) == NULL)
		good = peer_await(&p, p.used + 1, PEER_WAIT_MS);
	peer_await(&p, PEER_BUF_MAX, 200);
	snprintf(metrics, sizeof(metrics), "%.*s", (int)p.used, p.buf);
	peer_close(&p);
	return good;
}

/* Looks for each metric that FILE names; returns how many there were. */
static int check_file(const char *file)
{
	static const char prefix[] = "kamailio_tls_";
	static char text[1 << 18];
	char name[128];
	const char *at = text;
	FILE *f = fopen(file, "r");
	int n = 0;

	HOLDS(f != NULL, file);
	if(!f)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	while((at = strstr(at, prefix)) != NULL) {
		size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");

		snprintf(name, sizeof(name), "\n%.*s ", (int)len, at);
		HOLDS(strstr(metrics, name) != NULL, "the server has the metric");
		if(!strstr(metrics, name))
			fprintf(stderr, "%s: no metric%s\n", file, name + 1);
		at += len;
		n++;
	}
	return n;
}

static void test_monitoring(void)
{
	struct host_config cfg = {.globals = "tcp_accept_no_cl=yes\n",
			.modules = "loadmodule \"xhttp.so\"\n"
					   "loadmodule \"xhttp_prom.so\"\n"
					   "modparam(\"xhttp_prom\", \"xhttp_prom_stats\", "
					   "\"all\")\n",
			.routes = "event_route[xhttp:request] { prom_dispatch(); }\n"};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(scrape(&kam), "xhttp_prom answers");
	HOLDS(check_file(TEST_SOURCE_DIR "/../../doc/monitoring/dashboard.json")
					> 50,
			"the dashboard");
	HOLDS(check_file(TEST_SOURCE_DIR "/../../doc/monitoring/alerts.yml") > 10,
			"the alert rules");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {{"causes", test_causes},
		{"days left", test_days_left}, {"names", test_names},
		{"sums", test_sums}, {"half-open handshakes", test_half_open},
		{"long list", test_long_list}, {"limits", test_limits},
		{"low memory", test_low_memory}, {"no memory", test_no_memory},
		{"key log", test_keylog}, {"monitoring", test_monitoring},
		{NULL, NULL}};

const struct suite suite_guard = {"guard", NULL, NULL, tests};
