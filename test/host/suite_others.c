/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Other users of OpenSSL in the same server, loaded before and after our
 * module: libpq (db_postgres) and libcurl (http_client) work beside us; who
 * was first at OpenSSL, and locks that are private, stop the start with a
 * sentence.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define ROUNDS 20 /* uses of the other library while handshakes go on */
#define HANDSHAKES                      \
	"--count 500 --conns 8 --hold 100 " \
	"--mix full=4,resume=2,garbage=3,reset=2"
#define BACKGROUND                       \
	"--seconds 60 --conns 4 --hold 100 " \
	"--mix full=4,resume=2,garbage=3,reset=2"
#define LOAD_ORDER "OpenSSL was used before the tls module&move loadmodule"
#define FIRST_USER "loadmodule \"" TEST_BUILD_DIR "/host/first_user.so\"\n"
#define HTTP_CLIENT                   \
	"loadmodule \"http_client.so\"\n" \
	"modparam(\"http_client\", \"cacert\", \"@CERTS@/ca.pem\")\n"
#define POSTGRES "loadmodule \"db_postgres.so\"\n"

static const char http_route[] =
		"	if($hdr(X-Fetch) != $null) {\n"
		"		http_client_query(\"$hdr(X-Fetch)\", \"$var(got)\");\n"
		"		append_to_reply(\"X-Got: $var(got)\\r\\n\");\n"
		"	}\n"
		"	append_to_reply(\"X-Echo: $hdr(X-Echo)\\r\\n\");\n"
		"	if($cl > 0) { set_reply_body(\"$rb\", \"text/plain\"); }\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

static const char sql_route[] =
		"	if($hdr(X-Query) != $null) {\n"
		"		sql_query(\"db\", \"select answer\", \"r\");\n"
		"		append_to_reply(\"X-Got: $dbr(r=>[0,0])\\r\\n\");\n"
		"	}\n"
		"	append_to_reply(\"X-Echo: $hdr(X-Echo)\\r\\n\");\n"
		"	if($cl > 0) { set_reply_body(\"$rb\", \"text/plain\"); }\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

/* Good and bad handshakes, the same workers after them, a clean end. */
static void check_service(struct host_kam *kam)
{
	HOLDS(suite_tlsload(kam->tls_port, HANDSHAKES, 1) == 0,
			"five hundred handshakes of eight clients, bad ones between");
	HOLDS(host_procs_changed(kam) == 0 && !host_wait_end(kam, 0),
			"the same workers live");
	HOLDS(host_stop(kam, SIGTERM), "clean stop, clean log");
}

static struct peer_opt server_opt(void)
{
	struct peer_opt opt = {0};

	opt.cert = host_cert("ecdsa.pem");
	opt.key = host_cert("ecdsa.key");
	return opt;
}

/* The reply on IN must tell X-Got: WANT. */
static bool got_is(struct peer *in, const char *want)
{
	char got[64];
	size_t n = peer_sip(in, PEER_WAIT_MS);

	sip_header(in->buf, n, "X-Got", got, sizeof(got));
	if(n == 0 || strcmp(got, want) != 0) {
		fprintf(stderr, "  X-Got is \"%s\", not \"%s\"\n", got, want);
		return false;
	}
	peer_take(in, n);
	return true;
}

/* ---- libcurl ---- */

/* A SIP request whose worker fetches a page from us over TLS. */
static bool fetch(struct peer *in, int lfd, int port, unsigned int round)
{
	struct peer_opt opt = server_opt();
	struct peer out = {.fd = -1};
	char extra[96];
	char page[96];
	char want[32];
	bool good;

	snprintf(extra, sizeof(extra), "X-Fetch: https://127.0.0.1:%d/\r\n", port);
	snprintf(want, sizeof(want), "page-%u", round);
	snprintf(page, sizeof(page),
			"HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(want),
			want);
	good = peer_request(in, round, 0, extra)
		   && peer_accept(&out, lfd, &opt, PEER_WAIT_MS)
		   && peer_await(&out, 16, PEER_WAIT_MS)
		   && strncmp(out.buf, "GET / HTTP", 10) == 0
		   && peer_send(&out, page, strlen(page));
	if(!good)
		fprintf(stderr, "  fetch: %s\n", out.err);
	else
		peer_notify(&out);
	good = good && got_is(in, want);
	peer_close(&out);
	return good;
}

static void run_http(const char *before, const char *after)
{
	struct host_config cfg = {.allocator = "qm",
			.tcp_children = 4,
			.globals = before,
			.modules = after,
			.route = http_route};
	struct host_kam kam;
	struct peer in;
	unsigned int i;
	bool good = true;
	pid_t load;
	int port;
	int lfd;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(host_mapped(&kam, "/libcurl.so", NULL, 0), "libcurl is there");
	lfd = peer_listen(&port);
	load = suite_tlsload(kam.tls_port, BACKGROUND, 0);
	HOLDS(peer_tcp(&in, kam.tcp_port), "connected");
	for(i = 0; good && i < ROUNDS; i++)
		good = fetch(&in, lfd, port, i + 1);
	HOLDS(good, "libcurl fetches over TLS beside our handshakes");
	kill(load, SIGKILL);
	waitpid(load, NULL, 0);
	peer_close(&in);
	close(lfd);
	check_service(&kam);
}

static void test_http_before(void)
{
	run_http(HTTP_CLIENT, NULL);
}

static void test_http_after(void)
{
	run_http(NULL, HTTP_CLIENT);
}

/* ---- libpq ---- */

/* Listens on PORT, which nobody has since the start of the server. */
static int listen_on(int port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sa.sin_port = htons((uint16_t)port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 16)) {
		perror("listen");
		close(fd);
		return -1;
	}
	return fd;
}

/* Takes the next message of the database protocol: TYPED ones begin with a
 * letter, all with their length. Copies it to OUT. Returns its length or 0. */
static size_t pg_read(struct peer *p, bool typed, char *out, size_t room)
{
	size_t head = typed ? 5 : 4;
	uint32_t n;

	if(!peer_await(p, head, PEER_WAIT_MS))
		return 0;
	memcpy(&n, p->buf + head - 4, 4);
	n = ntohl(n) + (typed ? 1 : 0);
	if(n < head || n >= room || !peer_await(p, n, PEER_WAIT_MS))
		return 0;
	memcpy(out, p->buf, n);
	out[n] = '\0';
	peer_take(p, n);
	return n;
}

/* The start of a connection: the wish for TLS, the handshake, the greeting. */
static bool pg_accept(struct peer *p, int lfd)
{
	static const char welcome[] = "R\0\0\0\x08\0\0\0\0"
								  "S\0\0\0\x18"
								  "server_version\0"
								  "15.0\0"
								  "Z\0\0\0\x05I";
	struct peer_opt opt = server_opt();
	char msg[1024];

	return peer_accept(p, lfd, NULL, PEER_WAIT_MS)
		   && pg_read(p, false, msg, sizeof(msg)) == 8 && peer_send(p, "S", 1)
		   && peer_tls_prepare(p, &opt, true) && peer_handshake(p, PEER_WAIT_MS)
		   && pg_read(p, false, msg, sizeof(msg)) > 0
		   && peer_send(p, welcome, sizeof(welcome) - 1);
}

/* Answers queries until the one of the route came: one row, one column. */
static bool pg_serve(struct peer *p)
{
	static const char nothing[] = "C\0\0\0\x08SET\0Z\0\0\0\x05I";
	static const char row[] =
			"T\0\0\0\x1f\0\x01"
			"answer\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
			"D\0\0\0\x0f\0\x01\0\0\0\x05"
			"forty"
			"C\0\0\0\x0dSELECT 1\0"
			"Z\0\0\0\x05I";
	char msg[1024];

	while(pg_read(p, true, msg, sizeof(msg)) > 0) {
		if(msg[0] == 'Q' && strstr(msg + 5, "select answer"))
			return peer_send(p, row, sizeof(row) - 1);
		if(msg[0] != 'Q' || !peer_send(p, nothing, sizeof(nothing) - 1))
			break;
	}
	return false;
}

/* Waits until every process but the TCP main process, which asks no database,
 * has found none at its start: one that comes later than the listener takes
 * the place of the worker. An answered request tells that all were forked. */
static void await_refusals(struct host_kam *kam)
{
	HOLDS(suite_tlsload(kam->tls_port, "--count 8", 1) == 0,
			"handshakes are served");
	host_procs_changed(kam);
	HOLDS(host_log_await_n(kam, "failed to connect to the database",
				  kam->n_procs - 1, PEER_WAIT_MS)
					>= kam->n_procs - 1,
			"each process looked for its database");
}

/* Has a worker connect, and ask over that connection some times. */
static void check_sql(struct host_kam *kam, int port)
{
	struct peer in = {.fd = -1};
	struct peer db = {.fd = -1};
	int lfd = listen_on(port);
	unsigned int i;
	bool good;

	good = lfd >= 0 && peer_tcp(&in, kam->tcp_port)
		   && peer_request(&in, 1, 0, "X-Query: 1\r\n") && pg_accept(&db, lfd)
		   && pg_serve(&db) && got_is(&in, "forty");
	HOLDS(good, "libpq connects over TLS beside our handshakes");
	for(i = 0; good && i < ROUNDS; i++)
		good = peer_request(&in, i + 2, 0, "X-Query: 1\r\n") && pg_serve(&db)
			   && got_is(&in, "forty");
	HOLDS(good, "and asks over that connection");
	if(!good)
		fprintf(stderr, "  %s: %s\n", kam->log, db.err);
	peer_close(&db);
	peer_close(&in);
	close(lfd);
}

static void run_postgres(const char *before, const char *after)
{
	struct host_config cfg = {
			.allocator = "qm", .globals = before, .route = sql_route};
	struct host_kam kam;
	char modules[512];
	pid_t load;
	int port = host_free_port();

	/* the database is not there yet when the server starts */
	snprintf(modules, sizeof(modules),
			"%sloadmodule \"sqlops.so\"\n"
			"modparam(\"sqlops\", \"connect_mode\", 1)\n"
			"modparam(\"sqlops\", \"sqlcon\", "
			"\"db=>postgres://user:word@127.0.0.1:%d/base\")\n",
			after ? after : "", port);
	cfg.modules = modules;
	setenv("PGSSLMODE", "require", 1);
	setenv("PGGSSENCMODE", "disable", 1);
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(host_mapped(&kam, "/libpq.so", NULL, 0), "libpq is there");
	await_refusals(&kam);
	load = suite_tlsload(kam.tls_port, BACKGROUND, 0);
	check_sql(&kam, port);
	kill(load, SIGKILL);
	waitpid(load, NULL, 0);
	check_service(&kam);
}

static void test_postgres_before(void)
{
	run_postgres(POSTGRES, NULL);
}

static void test_postgres_after(void)
{
	run_postgres(NULL, POSTGRES);
}

/* ---- refusals ---- */

static void check_refused(const struct host_config *cfg, const char *needles)
{
	struct host_kam kam;

	HOLDS(host_start_refused(&kam, cfg) > 0, "the start is refused");
	HOLDS(host_log_count(&kam, needles) > 0, needles);
	if(host_log_count(&kam, needles) == 0)
		fprintf(stderr, "  log has not %s: %s\n", needles, kam.log);
	HOLDS(host_log_count(&kam, "BUG|freeing |overwritten|signal") == 0,
			"nothing is broken by it");
	host_kill(&kam);
}

static void test_first_before(void)
{
	struct host_config cfg = {.allocator = "qm", .globals = FIRST_USER};

	check_refused(&cfg, LOAD_ORDER);
}

static void test_first_after(void)
{
	struct host_config cfg = {.allocator = "qm", .modules = FIRST_USER};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(host_mapped(&kam, "/first_user.so", NULL, 0), "it is loaded");
	check_service(&kam);
}

/* A server whose executable leaves the locks of libraries as they are. */
static void test_private_locks(void)
{
	struct host_config cfg = {.allocator = "qm",
			.preload = TEST_BUILD_DIR "/host/private_locks.so"};

	check_refused(&cfg, "locks do not work between processes"
						"&LD_PRELOAD=openssl_mutex_shared.so");
}

static const struct suite_test tests[] = {
		{"first at OpenSSL, loaded before ours", test_first_before},
		{"locks that are private", test_private_locks},
		{"first at OpenSSL, loaded after ours", test_first_after},
		{"http_client before ours", test_http_before},
		{"http_client after ours", test_http_after},
		{"db_postgres before ours", test_postgres_before},
		{"db_postgres after ours", test_postgres_after}, {NULL, NULL}};

const struct suite suite_others = {"others", NULL, NULL, tests};
