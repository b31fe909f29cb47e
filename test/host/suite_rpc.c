/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* RPC commands, run-time settings and statistics of the module, as an
 * operator uses them with kamcmd while connections are open.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <poll.h>
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

#define MANY 200 /* connections in a list */
#define RELOADS 20
/* Blocks of the host's own that come and go with RPCs. */
#define SHM_NOISE 32768

/* Its allocator counts what it has; "qm" of 5.6 loses count whenever a block
 * shrinks, which OpenSSL's error queue does. */
#define HONEST "fm"

static const char good_cfg[] = "[server:default]\n"
							   "method = TLSv1.2+\n"
							   "certificate = @CERTS@/ecdsa.pem\n"
							   "private_key = @CERTS@/ecdsa.key\n";

static char answer[1 << 20];

/* Runs CMD; true when it succeeded or not, as EXPECTED, and the answer
 * contains TEXT. */
static bool answers(
		struct host_kam *kam, const char *cmd, bool expected, const char *text)
{
	bool good = host_rpc(kam, cmd, answer, sizeof(answer));

	if(good == expected && strstr(answer, text) != NULL)
		return true;
	fprintf(stderr, "\"%s\" said: %.400s\n", cmd, answer);
	return false;
}

/* Opens up to N connections that have done one request each. */
static int open_peers(struct host_kam *kam, struct peer *peers, int n)
{
	int i;

	for(i = 0; i < n; i++) {
		if(!peer_tls(&peers[i], kam->tls_port, &(struct peer_opt){0})
				|| !peer_options(&peers[i], 1, 0, NULL)) {
			peer_close(&peers[i]);
			break;
		}
	}
	return i;
}

static bool peers_work(struct peer *peers, int n, unsigned int cseq)
{
	int i;

	for(i = 0; i < n; i++)
		if(!peer_options(&peers[i], cseq, 100, NULL))
			return false;
	return true;
}

static void close_peers(struct peer *peers, int n)
{
	while(n-- > 0)
		peer_close(&peers[n]);
}

/* ---- tls.list and tls.info ---- */

/* The row of the connection from PORT, at its "{"; NULL = none. */
static const char *row_of(int port)
{
	char field[32];
	const char *at;

	snprintf(field, sizeof(field), "src_port: %d\n", port);
	at = strstr(answer, field);
	while(at && at > answer && *at != '{')
		at--;
	return at;
}

/* True when the fields of the row at ROW are NAMES, in that order. */
static bool has_fields(const char *row, const char *const *names, size_t n)
{
	char want[64];
	size_t i;

	for(i = 0; i < n; i++) {
		row = strchr(row, '\n');
		snprintf(want, sizeof(want), "\n\t%s: ", names[i]);
		if(!row || strncmp(row, want, strlen(want)) != 0)
			return false;
		row++;
	}
	return true;
}

static bool row_has(const char *row, const char *text)
{
	const char *end = strchr(row, '}');
	const char *at = strstr(row, text);

	return at && end && at < end;
}

static int count_rows(void)
{
	const char *at = answer;
	int n = 0;

	while((at = strstr(at, "\tid: ")) != NULL) {
		at++;
		n++;
	}
	return n;
}

static void check_rows(struct host_kam *kam, struct peer *named)
{
	static const char *const fields[] = {"id", "dom", "sni", "timestamp",
			"timeout", "src_ip", "src_port", "dst_ip", "dst_port", "cipher",
			"ct_wq_size", "enc_rd_buf", "flags", "state", "ct_rd_buf",
			"enc_wq_size"};
	struct peer silent;
	const char *row;

	HOLDS(peer_tcp(&silent, kam->tls_port), "TCP connects");
	HOLDS(host_rpc_await(kam, "tls.info", "opened_connections", 2, 5000),
			"both connections are counted");
	HOLDS(answers(kam, "tls.list", true, "id: "), "tls.list answers");
	row = row_of(silent.port);
	HOLDS(row && has_fields(row, fields, sizeof(fields) / sizeof(fields[0]))
					&& row_has(row, "state: pre-init")
					&& row_has(row, "dom: N/A"),
			"a connection without a byte: every field, nothing known");
	row = row_of(named->port);
	HOLDS(row && has_fields(row, fields, sizeof(fields) / sizeof(fields[0]))
					&& row_has(row, "state: established")
					&& row_has(row, "dom: TLSs<default>")
					&& row_has(row, "sni: sip.example.org\n")
					&& row_has(row, "cipher: TLS_")
					&& row_has(row, "ct_rd_buf: 0\n")
					&& row_has(row, "enc_wq_size: 0\n")
					&& !row_has(row, "timestamp: N/A"),
			"an established one: profile, name, time and cipher");
	peer_close(&silent);
}

/* The id of the connection from PORT, 0 = none. */
static long id_of(struct host_kam *kam, int port)
{
	const char *row;

	if(!answers(kam, "tls.list", true, "id: ") || !(row = row_of(port)))
		return 0;
	return strtol(strstr(row, "id: ") + 4, NULL, 10);
}

/* The core's ids can be given twice, by processes that open connections at the
 * same moment; the reply to one peer then goes to another. So TLS has ids of
 * its own: no plain TCP connection takes one of them. */
static void test_ids(void)
{
	struct host_config cfg = {0};
	struct host_kam kam;
	struct peer peers[3];
	struct peer plain;
	long ids[3];
	int i;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < 3; i++) {
		HOLDS(peer_tls(&peers[i], kam.tls_port, NULL)
						&& peer_options(&peers[i], 1, 0, NULL),
				"a TLS connection");
		HOLDS(peer_tcp(&plain, kam.tcp_port)
						&& peer_request(&plain, 1, 0, NULL),
				"a plain one, which takes an id of the core");
		peer_close(&plain);
	}
	for(i = 0; i < 3; i++)
		ids[i] = id_of(&kam, peers[i].port);
	HOLDS(ids[0] >= 0x40000000L, "ids of their own range");
	HOLDS(ids[1] == ids[0] + 1 && ids[2] == ids[1] + 1,
			"counted by themselves, no other takes one");
	close_peers(peers, 3);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_list(void)
{
	struct host_config cfg = {0};
	struct host_kam kam;
	struct peer named;
	struct peer_opt opt = {.sni = "sip.example.org"};

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(answers(&kam, "tls.list", true, ""), "an empty list");
	HOLDS(count_rows() == 0, "no row without connections");
	HOLDS(peer_tls(&named, kam.tls_port, &opt)
					&& peer_options(&named, 1, 0, NULL),
			"a connection with a name");
	check_rows(&kam, &named);
	peer_close(&named);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* Rows appear and vanish during the walk; those that stay are all there. */
static void test_list_under_load(void)
{
	static struct peer peers[MANY];
	struct host_config cfg = {.tcp_children = 2};
	struct host_kam kam;
	int missing = 0;
	int status = 0;
	int load;
	int n;
	int i;
	int k;

	if(!suite_started(&kam, &cfg))
		return;
	n = open_peers(&kam, peers, MANY);
	HOLDS(n == MANY, "many connections");
	load = suite_tlsload(
			kam.tls_port, "--count 100000 --conns 4 --mix full=2,reset=1", 0);
	for(k = 0; k < 20; k++) {
		HOLDS(answers(&kam, "tls.list", true, "id: "), "tls.list answers");
		for(i = 0; i < n; i++)
			missing += row_of(peers[i].port) == NULL;
	}
	HOLDS(missing == 0, "every connection that stays is in every list");
	HOLDS(kill(load, SIGTERM) == 0 && waitpid(load, &status, 0) == load
					&& WIFSIGNALED(status),
			"the load ran until the end of the lists");
	HOLDS(peers_work(peers, n, 2), "they work afterwards");
	close_peers(peers, n);
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- tls.mem ---- */

static long mem(struct host_kam *kam, const char *field)
{
	return host_rpc_number(kam, "tls.mem", field);
}

/* What processes keep goes when somebody asks, each one's share with its next
 * handshake. */
static void check_flush(struct host_kam *kam, struct peer *peers)
{
	long kept = mem(kam, "cached_bytes");
	long flushes = mem(kam, "flushes");

	HOLDS(answers(kam, "tls.mem all", false, "flush or nothing"),
			"another word is refused");
	HOLDS(mem(kam, "flushes") == flushes, "and does nothing");
	HOLDS(answers(kam, "tls.mem flush", true, "cached_bytes"), "flush");
	HOLDS(open_peers(kam, peers, 4) == 4, "both receivers have work");
	close_peers(peers, 4);
	HOLDS(host_rpc_await(kam, "tls.info", "opened_connections", 0, 5000),
			"which is done");
	HOLDS(mem(kam, "flushes") >= flushes + 2, "both have given theirs back");
	HOLDS(mem(kam, "cached_bytes") < kept, "less is kept than before");
}

/* Rounds of connections until the caches are full of what they need, then some
 * more: what OpenSSL has must not grow, and expanded keys must go. */
static void check_mem(struct host_kam *kam, struct peer *peers, int n)
{
	long blocks = 0;
	long hits = 0;
	long misses = 0;
	int i;

	for(i = 0; i < 6; i++) {
		if(i == 3) {
			blocks = mem(kam, "blocks");
			hits = mem(kam, "hits");
			misses = mem(kam, "misses");
		}
		HOLDS(open_peers(kam, peers, n) == n, "connections");
		HOLDS(mem(kam, "private_blocks") >= 2 * n, "each has expanded keys");
		close_peers(peers, n);
		HOLDS(host_rpc_await(kam, "tls.info", "opened_connections", 0, 5000),
				"no connection is left");
	}
	HOLDS(mem(kam, "blocks") - blocks < n, "OpenSSL has what it had");
	hits = mem(kam, "hits") - hits;
	misses = mem(kam, "misses") - misses;
	HOLDS(hits > 20 * misses, "handshakes live on what processes keep");
	check_flush(kam, peers);
	HOLDS(mem(kam, "cached_most") > 0
					&& mem(kam, "cached_most") <= mem(kam, "cached_max"),
			"no process keeps more than it may");
}

static void test_mem(void)
{
	static const char *const fields[] = {"blocks", "bytes", "cached_blocks",
			"cached_bytes", "cached_most", "cached_max", "hits", "misses",
			"flushes", "private_blocks", "private_bytes"};
	static struct peer peers[30];
	struct host_config cfg = {.tcp_children = 2};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(answers(&kam, "tls.mem", true, "{"), "tls.mem answers");
	HOLDS(has_fields(strchr(answer, '{'), fields,
				  sizeof(fields) / sizeof(fields[0])),
			"every field, in order");
	HOLDS(mem(&kam, "blocks") > 0
					&& mem(&kam, "bytes") > mem(&kam, "blocks") * 16
					&& mem(&kam, "private_blocks") == 0,
			"the profiles, and no connection yet");
	check_mem(&kam, peers, 30);
	HOLDS(open_peers(&kam, peers, 2) == 2 && peers_work(peers, 2, 2),
			"both receivers have looked");
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	close_peers(peers, 2);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- tls.reload ---- */

struct reload_row
{
	const char *reason;
	const char *tls_cfg;
	const char *says;	/* the reply of tls.reload */
	const char *checks; /* of tls.check, when it is another */
};

static const struct reload_row bad_files[] = {
		{"unknown method", "[server:default]\nmethod = TLSv9\n",
				"tls.cfg:2:10: method: unknown method", NULL},
		{"unknown option", "[server:default]\nmethode = TLSv1.2\n",
				"tls.cfg:2:", NULL},
		{"missing certificate",
				"[server:default]\ncertificate = @CERTS@/none.pem\n"
				"private_key = @CERTS@/ecdsa.key\n",
				"none.pem", NULL},
		{"key of another certificate",
				"[server:default]\ncertificate = @CERTS@/ecdsa.pem\n"
				"private_key = @CERTS@/foreign.key\n",
				"tls.cfg:3:15: private_key: ", NULL},
		{"every mistake in one reply",
				"[server:default]\ncertificate = @CERTS@/ecdsa.pem\n"
				"private_key = @CERTS@/foreign.key\nca_list = @CERTS@/none\n",
				"tls.check lists more", "tls.cfg:4:11: ca_list: "},
		{"a missing file beside a syntax error",
				"[server:default]\ncertificate = @CERTS@/ecdsa.pem\n"
				"private_key = @CERTS@/ecdsa.key\nmethode = x\n"
				"[server:any]\nserver_name = a.example\n"
				"certificate = @CERTS@/none.pem\n",
				"tls.cfg:4:1: unknown option", "tls.cfg:7:15: certificate: "},
		{"nobody listens, beside a syntax error",
				"[server:default]\nverify_depth = no\n"
				"[server:192.0.2.1:5061]\ncertificate = @CERTS@/ecdsa.pem\n"
				"private_key = @CERTS@/ecdsa.key\n",
				"tls.cfg:2:16: verify_depth", "tls.cfg:3:1: profile "},
		{"nobody listens",
				"[server:default]\ncertificate = @CERTS@/ecdsa.pem\n"
				"private_key = @CERTS@/ecdsa.key\n[server:192.0.2.1:5061]\n",
				"tls.cfg:4:1: profile TLSs<192.0.2.1:5061>: the server does "
				"not listen",
				NULL}};

#define N_BAD_FILES (sizeof(bad_files) / sizeof(bad_files[0]))

/* Good and bad reloads until nothing new is allocated, then as many again. */
static long grown_by_reloads(struct host_kam *kam)
{
	long before = 0;
	int i;

	for(i = 0; i < RELOADS + 3; i++) {
		if(i == 3)
			before = host_rpc_number(kam, "core.shmmem", "used");
		host_write(kam, "tls.cfg", bad_files[(size_t)i % N_BAD_FILES].tls_cfg);
		host_rpc(kam, "tls.reload", answer, sizeof(answer));
		host_write(kam, "tls.cfg", good_cfg);
		HOLDS(answers(kam, "tls.reload", true,
					  "Ok. TLS configuration reloaded."),
				"a good file is loaded");
	}
	return host_rpc_number(kam, "core.shmmem", "used") - before;
}

static void check_reloads_counted(struct host_kam *kam)
{
	long made = host_rpc_number(kam, "tls.stats", "generations_made");

	HOLDS(host_rpc_number(kam, "tls.stats", "reloads_ok") == RELOADS + 3
					&& host_rpc_number(kam, "tls.stats", "reloads_failed")
							   == RELOADS + 3 + (long)N_BAD_FILES,
			"each reload is counted as what it was");
	HOLDS(made == 1 + RELOADS + 3
					&& made
									   - host_rpc_number(kam, "tls.stats",
											   "generations_freed")
							   == host_rpc_number(
									   kam, "tls.stats", "generations_alive"),
			"and each configuration until it is freed");
}

static void test_reload(void)
{
	static struct peer peers[20];
	struct host_config cfg = {.tls_cfg = good_cfg, .allocator = HONEST};
	struct host_kam kam;
	long grown;
	size_t i;
	int n;

	if(!suite_started(&kam, &cfg))
		return;
	n = open_peers(&kam, peers, 20);
	for(i = 0; i < N_BAD_FILES; i++) {
		HOLDS(host_write(&kam, "tls.cfg", bad_files[i].tls_cfg), "file");
		HOLDS(answers(&kam, "tls.reload", false, "error: 500"),
				bad_files[i].reason);
		HOLDS(strstr(answer, bad_files[i].says) != NULL,
				"the reply says what is wrong and where");
	}
	HOLDS(host_rpc_number(&kam, "tls.info", "generation") == 1,
			"bad files change nothing");
	grown = grown_by_reloads(&kam);
	HOLDS(grown < SHM_NOISE, "shared memory stays flat");
	check_reloads_counted(&kam);
	HOLDS(n == 20 && peers_work(peers, n, 2), "old connections go on");
	HOLDS(peer_once(kam.tls_port, NULL), "new ones are served");
	close_peers(peers, n);
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* tls.check says what tls.reload would say and changes nothing. */
static void test_check(void)
{
	struct host_config cfg = {.tls_cfg = good_cfg};
	struct host_kam kam;
	size_t i;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < N_BAD_FILES; i++) {
		HOLDS(host_write(&kam, "tls.cfg", bad_files[i].tls_cfg), "file");
		HOLDS(answers(&kam, "tls.check", true,
					  bad_files[i].checks != NULL ? bad_files[i].checks
												  : bad_files[i].says),
				bad_files[i].reason);
	}
	host_write(&kam, "tls.cfg", good_cfg);
	HOLDS(answers(&kam, "tls.check", true, "nothing was changed. "),
			"a good file is good");
	HOLDS(strstr(answer, "1 certificates (0 read, 1 unchanged)") != NULL,
			"the reply counts, and does not read again what it has");
	HOLDS(host_rpc_number(&kam, "tls.info", "generation") == 1,
			"nothing was published");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* Waits until the generation is N; false when that takes too long. */
static bool comes_generation(struct host_kam *kam, long n)
{
	/* the line comes before the number */
	return host_log_await_n(kam, "loaded ", (int)n, 20000) >= n
		   && host_rpc_number(kam, "tls.info", "generation") == n;
}

/* A changed file is loaded by itself, a bad one is told once. */
static void test_reload_on_change(void)
{
	struct host_config cfg = {.tls_cfg = good_cfg,
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"reload_on_change\", 1)\n"};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(host_write(&kam, "tls.cfg", bad_files[0].tls_cfg), "file");
	HOLDS(host_log_await(&kam,
				  "the running TLS configuration stays until the files change",
				  20000)
					> 0,
			"a bad file is refused with a line in the log");
	HOLDS(host_rpc_number(&kam, "tls.info", "generation") == 1,
			"and changes nothing");
	HOLDS(host_write(&kam, "tls.cfg", good_cfg), "file");
	HOLDS(comes_generation(&kam, 2), "a good file is taken");
	HOLDS(peer_once(kam.tls_port, NULL), "and serves");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_reload_without_file(void)
{
	struct host_config cfg = {0};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(answers(&kam, "tls.reload", false,
				  "error: 500 - No TLS configuration file configured"),
			"refused without a file");
	HOLDS(peer_once(kam.tls_port, NULL), "service goes on");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- tls.kill, settings, statistics ---- */

static bool kill_peer(struct host_kam *kam, const struct peer *p)
{
	char cmd[64];
	long id = id_of(kam, p->port);

	if(id == 0)
		return false;
	snprintf(cmd, sizeof(cmd), "tls.kill %ld", id);
	return answers(kam, cmd, true, "OK")
		   && answers(kam, cmd, true, "TLS connection id not found");
}

static void test_kill(void)
{
	static const struct
	{
		const char *reason;
		const char *cmd;
		bool good;
		const char *says;
	} rows[] = {{"no id", "tls.kill", false, "error: 400"},
			{"id 0", "tls.kill 0", true, "TLS connection id not found"},
			{"unknown id", "tls.kill 123456", true,
					"TLS connection id not found"}};
	struct host_config cfg = {0};
	struct host_kam kam;
	struct peer peers[2];
	size_t i;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		HOLDS(answers(&kam, rows[i].cmd, rows[i].good, rows[i].says),
				rows[i].reason);
	HOLDS(open_peers(&kam, peers, 2) == 2, "two connections");
	HOLDS(kill_peer(&kam, &peers[0]), "one is killed");
	HOLDS(peer_await_end(&peers[0], 5000) != PEER_TIMEOUT, "and ends");
	HOLDS(peer_options(&peers[1], 2, 0, NULL), "the other one goes on");
	HOLDS(answers(&kam, "cfg.set_now_int tls send_close_notify 1", true, ""),
			"send_close_notify can be set");
	HOLDS(kill_peer(&kam, &peers[1]), "the other is killed");
	HOLDS(peer_await_end(&peers[1], 5000) == PEER_NOTIFY,
			"the setting holds at once: a close_notify comes first");
	close_peers(peers, 2);
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 5000),
			"no connection is left");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- a close while the host still has half a record ---- */

/* Reads what is on the wire until N bytes are there or the stream ends. */
static size_t read_wire(
		struct peer *p, unsigned char *buf, size_t n, size_t want, int ms)
{
	struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
	ssize_t got = 1;

	while(n < want && got > 0) {
		if(poll(&pfd, 1, ms) != 1)
			return n;
		got = read(p->fd, buf + n, want - n);
		n += got > 0 ? (size_t)got : 0;
	}
	return n;
}

/* Bytes of the last record when it is not whole. */
static size_t cut_record(const unsigned char *buf, size_t n)
{
	while(n >= 5) {
		size_t record = 5 + ((size_t)buf[3] << 8 | buf[4]);

		if(record > n)
			return n;
		buf += record;
		n -= record;
	}
	return n;
}

#define WIRE_MAX ((size_t)32 << 20)
#define QUEUED "write_queued_bytes"

static void test_kill_in_record(void)
{
	/* TLS 1.3: header, two bytes, type, tag */
	static const unsigned char alert[] = {23, 3, 3, 0, 2 + 1 + 16};
	struct peer_opt opt = {.min = TLS1_3_VERSION};
	unsigned char *wire = malloc(WIRE_MAX);
	struct host_config cfg = {0};
	struct host_kam kam;
	struct peer p;
	unsigned int cseq = 1;
	int small = 65536;
	size_t n;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(peer_tls(&p, kam.tls_port, &opt) && peer_options(&p, cseq, 100, NULL)
					&& answers(&kam, "cfg.set_now_int tls send_close_notify 1",
							true, ""),
			"a connection");
	(void)setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while(cseq < 1000 && host_rpc_number(&kam, "core.tcp_info", QUEUED) == 0)
		if(!peer_request(&p, ++cseq, 60000, NULL))
			break;
	/* some room in the kernel, not enough for the host to go on */
	n = read_wire(&p, wire, 0, 400000, 5000);
	HOLDS(host_rpc_number(&kam, "core.tcp_info", QUEUED) > 0,
			"the host keeps what the socket does not take");
	HOLDS(kill_peer(&kam, &p), "killed");
	n = read_wire(&p, wire, n, WIRE_MAX, 10000);
	HOLDS(cut_record(wire, n) > 0, "the last record is cut");
	HOLDS(n > 24 && memcmp(wire + n - 24, alert, sizeof(alert)) != 0,
			"no close_notify inside a record");
	peer_close(&p);
	free(wire);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_settings(void)
{
	static const struct
	{
		const char *reason;
		const char *cmd;
		bool good;
		const char *says;
	} rows[] = {{"above its range", "cfg.set_now_int tls send_close_notify 2",
						false, "error"},
			{"below its range", "cfg.set_now_int tls ct_wq_blk_size 0", false,
					"error"},
			{"far above", "cfg.set_now_int tls con_ct_wq_max 4194305", false,
					"error"},
			{"read only", "cfg.set_now_int tls verify_depth 3", false, "error"},
			{"a text, read only",
					"cfg.set_now_string tls certificate /etc/passwd", false,
					"error"},
			{"passwords do not show", "cfg.get tls private_key_password", true,
					"***"},
			{"writable", "cfg.set_now_int tls connection_timeout 77", true, ""},
			{"seen in the options", "tls.options", true,
					"connection_timeout: 77\n"},
			{"in KB", "cfg.set_now_int tls low_mem_threshold1 512", true, ""},
			{"still in KB", "tls.options", true, "low_mem_threshold1: 512\n"},
			{"a path", "cfg.set_now_string tls config other.cfg", true, ""},
			{"the path rule", "tls.options", true, "/other.cfg\n"},
			{"help", "cfg.help tls send_close_notify", true, "close alert"},
			{"statistics", "stats.get_statistics tls:", true,
					"tls:opened_connections = 0"}};
	struct host_config cfg = {0};
	struct host_kam kam;
	size_t i;

	cfg.params = "modparam(\"tls\", \"certificate\", \"@CERTS@/ecdsa.pem\")\n"
				 "modparam(\"tls\", \"private_key\", \"@CERTS@/ecdsa.key\")\n"
				 "modparam(\"tls\", \"private_key_password\", \"geheim\")\n";
	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		HOLDS(answers(&kam, rows[i].cmd, rows[i].good, rows[i].says),
				rows[i].reason);
		HOLDS(strstr(answer, "geheim") == NULL, "no password in a reply");
	}
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- profiles and certificates ---- */

static const char many_profiles[] =
		"[server:default]\nmethod = TLSv1.2+\n"
		"certificate = @CERTS@/ecdsa.pem\nprivate_key = @CERTS@/ecdsa.key\n"
		"private_key_password = geheim\n"
		"[server:127.0.0.1:@TLS@]\nserver_name = a.example.org\n"
		"server_name_mode = 1\nmax_connections = 7\n"
		"[client:default]\nca_list = @CERTS@/ca.pem\n"
		"[client:any]\nserver_id = carrier\n";

static const struct
{
	const char *reason;
	const char *cmd;
	bool good;
	const char *says;
} profile_rows[] = {
		{"a role that is none", "tls.explain peer 127.0.0.1:@TLS@", false,
				"error: 400"},
		{"no address", "tls.explain server", false, "error: 400"},
		{"no port", "tls.explain server 127.0.0.1", false, "error: 400"},
		{"half a pair", "tls.list profile", false, "error: 400"},
		{"an unknown filter", "tls.list colour blue", false, "error: 400"},
		{"a filter that is no number", "tls.list id x", false, "error: 400"},
		{"no profile of that word", "tls.kill all of", false, "error: 400"},
		{"no number", "tls.kill x", false, "error: 400"},
		{"the name of the profile",
				"tls.explain server 127.0.0.1:@TLS@ a.example.org", true,
				"reason: address and name are those of the profile"},
		{"a sub-domain", "tls.explain server 127.0.0.1:@TLS@ x.A.example.org",
				true, "sub-domain of its name"},
		{"another address", "tls.explain server 127.0.0.2:@TLS@", true,
				"profile: TLSs<default>\n"},
		{"a client", "tls.explain client 192.0.2.1:5061 b.example.org", true,
				"profile: TLSc<default>\n"},
		{"names of the certificate", "tls.explain server 127.0.0.1:@TLS@", true,
				"certificate_names: localhost sip.example.org\n"},
		{"all profiles", "tls.profiles", true, "server_id: carrier\n"},
		{"what a section inherits", "tls.profiles a.example", true,
				"method: TLSv1.2+\n"},
		{"its own setting", "tls.profiles a.example", true,
				"max_connections: 7\n"},
		{"its connections", "tls.profiles a.example", true, "connections: 1\n"},
		{"its place", "tls.profiles a.example", true, "line: 6\n"},
		{"a password", "tls.profiles default", true,
				"private_key_password: ***\n"},
		{"one only", "tls.profiles TLS 1 1", true, "max_connections: 7\n"},
		{"the own certificate", "tls.certs", true, "kind: own\n"},
		{"the CA", "tls.certs", true, "subject: /O=Test/CN=Test CA\n"},
		{"its days", "tls.certs", true, "days_left: 29\n"},
		{"its file", "tls.certs", true, "/ca.pem\n"},
		{"who uses it", "tls.certs", true, "used_by: TLSc<default>\n"},
};

static void check_profile_row(struct host_kam *kam, size_t i)
{
	char cmd[128];
	const char *at = strstr(profile_rows[i].cmd, "@TLS@");

	if(at)
		snprintf(cmd, sizeof(cmd), "%.*s%d%s", (int)(at - profile_rows[i].cmd),
				profile_rows[i].cmd, kam->tls_port, at + 5);
	else
		snprintf(cmd, sizeof(cmd), "%s", profile_rows[i].cmd);
	HOLDS(answers(kam, cmd, profile_rows[i].good, profile_rows[i].says),
			profile_rows[i].reason);
	HOLDS(strstr(answer, "geheim") == NULL, "no password in a reply");
}

/* Rows of "tls.list" with the words WHAT. */
static int rows_of(struct host_kam *kam, const char *what)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "tls.list %s", what);
	HOLDS(answers(kam, cmd, true, ""), what);
	return count_rows();
}

static void check_filters(struct host_kam *kam, struct peer *peers)
{
	char what[64];

	HOLDS(rows_of(kam, "") == 4, "all");
	HOLDS(rows_of(kam, "limit 3") == 3 && rows_of(kam, "offset 3") == 1
					&& rows_of(kam, "limit 3 offset 2") == 2
					&& rows_of(kam, "limit 0") == 4,
			"limit and offset");
	HOLDS(rows_of(kam, "state established") == 4
					&& rows_of(kam, "state tls_accept") == 0,
			"state");
	HOLDS(rows_of(kam, "profile default") == 0
					&& rows_of(kam, "profile 127.0.0.1") == 4,
			"profile");
	snprintf(what, sizeof(what), "address 127.0.0.1:%d", peers[1].port);
	HOLDS(rows_of(kam, what) == 1 && row_of(peers[1].port) != NULL, what);
	HOLDS(row_has(row_of(peers[1].port), "version: TLSv1.3")
					&& row_has(row_of(peers[1].port), "role: server")
					&& row_has(row_of(peers[1].port), "resumed: 0")
					&& row_has(row_of(peers[1].port), "peer: N/A")
					&& row_has(row_of(peers[1].port), "verified: 0"),
			"what is known of it");
	HOLDS(rows_of(kam, "address 127.0.0.1") == 4
					&& rows_of(kam, "address 127.0.0.2") == 0,
			"address");
	HOLDS(rows_of(kam, "id 1") == 0, "an id that is not there");
}

static void test_profiles(void)
{
	struct host_config cfg = {.tls_cfg = many_profiles};
	struct peer peers[4];
	struct host_kam kam;
	char cmd[64];
	size_t i;

	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(open_peers(&kam, peers, 1) == 1, "a connection");
	for(i = 0; i < sizeof(profile_rows) / sizeof(profile_rows[0]); i++)
		check_profile_row(&kam, i);
	HOLDS(open_peers(&kam, peers + 1, 3) == 3, "three more");
	check_filters(&kam, peers);
	snprintf(cmd, sizeof(cmd), "tls.kill profile TLSs<127.0.0.1:%d>",
			kam.tls_port);
	HOLDS(answers(&kam, "tls.kill profile TLSs<default>", true, "0"),
			"none of another profile");
	HOLDS(answers(&kam, cmd, true, "4"), "all of the profile");
	for(i = 0; i < 4; i++)
		HOLDS(peer_await_end(&peers[i], 5000) != PEER_TIMEOUT, "each ends");
	close_peers(peers, 4);
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 5000),
			"no connection is left");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- what the documentation promises ---- */

#define FIELD "<structfield>"
#define STATISTIC "<row id=\"tls.t."
#define OPTION "In tls.options:"
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_"

/* Reads the file NAME of the documentation; "" when there is none. */
static void read_doc(const char *name, char *out, size_t room)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), TEST_SOURCE_DIR "/../../doc/%s", name);
	f = fopen(path, "r");
	HOLDS(f != NULL, path);
	out[f != NULL ? fread(out, 1, room - 1, f) : 0] = '\0';
	if(f != NULL)
		fclose(f);
}

/* Looks in the answer for each name that stands behind MARK between AT and END,
 * with BEFORE and AFTER around it; returns how many there were. */
static int look_for(const char *at, const char *end, const char *mark,
		const char *before, const char *after)
{
	char field[128];
	int n = 0;

	while((at = strstr(at, mark)) != NULL && at < end) {
		at += strlen(mark);
		at += strspn(at, " \n");
		snprintf(field, sizeof(field), "%s%.*s%s", before,
				(int)strspn(at, NAME_CHARS), at, after);
		n++;
		HOLDS(strstr(answer, field) != NULL, "a documented field");
		if(strstr(answer, field) == NULL)
			fprintf(stderr, "no field \"%s\" in: %.200s\n", field, answer);
	}
	return n;
}

/* Every field of the answer is marked with MARK between AT and END. */
static void look_back(const char *at, const char *end, const char *mark)
{
	const char *line = answer;
	char name[128];
	const char *found;

	while((line = strstr(line, "\n\t")) != NULL) {
		size_t n = strspn(line + 2, NAME_CHARS);

		snprintf(name, sizeof(name), "%s%.*s%c", mark, (int)n, line + 2,
				mark[strlen(mark) - 1] == '>' ? '<' : '"');
		found = strstr(at, name);
		HOLDS(line[2 + n] == ':' && found != NULL && found < end,
				"a field that is documented");
		if(found == NULL || found >= end)
			fprintf(stderr, "not documented: %s\n", name);
		line++;
	}
}

static const struct
{
	const char *section; /* id in rpc.xml */
	const char *cmd;
	const char *mark; /* in front of a name of a field */
	int least;		  /* so many fields */
	bool all;		  /* the answer has no other fields */
} documented[] = {{"tls.r.info", "tls.info", FIELD, 5, true},
		{"tls.r.mem", "tls.mem", FIELD, 11, true},
		{"tls.r.list", "tls.list", FIELD, 21, true},
		{"tls.r.options", "tls.options", FIELD, 9, false},
		{"tls.r.profiles", "tls.profiles", FIELD, 7, false},
		{"tls.r.certs", "tls.certs", FIELD, 9, true},
		{"tls.r.explain", "tls.explain server 127.0.0.1:1", FIELD, 8, true}};

static void test_documented(void)
{
	static char rpc[1 << 17];
	static char params[1 << 18];
	struct host_config cfg = {.tls_cfg = many_profiles};
	struct host_kam kam;
	struct peer p;
	size_t i;

	if(!suite_started(&kam, &cfg))
		return;
	read_doc("rpc.xml", rpc, sizeof(rpc));
	read_doc("params.xml", params, sizeof(params));
	HOLDS(open_peers(&kam, &p, 1) == 1, "a connection");
	for(i = 0; i < sizeof(documented) / sizeof(documented[0]); i++) {
		const char *at = strstr(rpc, documented[i].section);
		const char *end = at ? strstr(at, "</section>") : NULL;

		HOLDS(end && answers(&kam, documented[i].cmd, true, "{"),
				documented[i].section);
		HOLDS(end
						&& look_for(at, end, documented[i].mark, "\n\t", ": ")
								   >= documented[i].least,
				documented[i].section);
		if(end && documented[i].all)
			look_back(at, end, documented[i].mark);
	}
	HOLDS(answers(&kam, "tls.options", true, "{")
					&& look_for(params, params + strlen(params), OPTION, "\n\t",
							   ": ")
							   > 20,
			"the settings");
	HOLDS(answers(&kam, "tls.stats", true, "{"), "the counters");
	look_back(rpc, rpc + strlen(rpc), STATISTIC);
	HOLDS(answers(&kam, "stats.get_statistics tls:", true, "tls:")
					&& look_for(
							   rpc, rpc + strlen(rpc), STATISTIC, "tls:", " = ")
							   > 60,
			"the statistics");
	peer_close(&p);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {{"ids", test_ids},
		{"list", test_list}, {"list under load", test_list_under_load},
		{"memory", test_mem}, {"reload", test_reload}, {"check", test_check},
		{"reload on change", test_reload_on_change},
		{"reload without a file", test_reload_without_file},
		{"kill", test_kill}, {"profiles", test_profiles},
		{"kill inside a record", test_kill_in_record},
		{"settings", test_settings}, {"documented", test_documented},
		{NULL, NULL}};

const struct suite suite_rpc = {"rpc", NULL, NULL, tests};
