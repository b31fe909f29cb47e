/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Allocations that fail in the workers of a real server, one after the other
 * and each so-many-th: whatever they break, no process ends, nothing is lost
 * for good, and the next peer is served.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failing_memory.h"
#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define MODULE TEST_BUILD_DIR "/host/failing/tls.so"
#define STATE TEST_BUILD_DIR "/host/failing/state"

/* Of the steps of a ladder, each so-many-th is taken beyond the first FIRST
 * (FAIL_STEP in the environment: 1 for all). */
#define FAIL_STEP 23
#define FIRST 40
#define LADDER_MAX 100000 /* no operation allocates so often */

/* A client that waits for an answer which does not come. */
#define STALLED_MS 300

#define BACK_MS 60000 /* longest wait for memory */

/* What the cached blocks of all processes take beyond their size, and the
 * host's own blocks that come and go. */
#define SHM_NOISE (6 * 256 * 1024)

static struct failing *failing;
static char answer[65536];

static int map_state(void)
{
	int fd = open(STATE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p = MAP_FAILED;

	if(fd >= 0 && ftruncate(fd, sizeof(*failing)) == 0)
		p = mmap(NULL, sizeof(*failing), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				0);
	if(fd >= 0)
		close(fd);
	if(p == MAP_FAILED)
		return 1;
	failing = p;
	memset(failing, 0, sizeof(*failing));
	return setenv(FAILING_FILE, STATE, 1) != 0;
}

static int unmap_state(void)
{
	return unsetenv(FAILING_FILE) != 0
		   || munmap(failing, sizeof(*failing)) != 0;
}

static void fail_none(void)
{
	atomic_store(&failing->every, 0);
	atomic_store(&failing->left, 0);
}

/* ---- what is done while allocations fail ---- */

/* Where a call is relayed to, and on what it comes. */
struct place
{
	struct host_kam *kam;
	SSL_SESSION *session; /* of before; NULL = none */
	int lfd;
	int port;
};

static void one_connection(struct place *place, int version)
{
	struct peer_opt opt = {.min = version, .max = version};
	struct peer p;

	if(peer_tls(&p, place->kam->tls_port, &opt)
			&& peer_request(&p, 1, 3000, NULL))
		peer_check_reply(&p, 1, 3000, 200, PEER_WAIT_MS);
	peer_close(&p);
}

static void connect_12(struct place *place)
{
	one_connection(place, TLS1_2_VERSION);
}

static void connect_13(struct place *place)
{
	one_connection(place, TLS1_3_VERSION);
}

/* Something can be read from either, within MS. */
static bool comes(int a, int b, int ms)
{
	struct pollfd fds[2] = {
			{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};

	return poll(fds, 2, ms) > 0;
}

/* Our server calls us; whoever gives up first. */
static void relay(struct place *place)
{
	struct peer_opt opt = {
			.cert = host_cert("ecdsa.pem"), .key = host_cert("ecdsa.key")};
	static unsigned int cseq;
	char extra[80];
	struct peer in;
	struct peer out = {.fd = -1}; /* not every call gets so far */

	snprintf(extra, sizeof(extra),
			"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", place->port);
	if(!peer_tcp(&in, place->kam->tcp_port)
			|| !peer_request(&in, ++cseq, 100, extra)) {
		peer_close(&in);
		return;
	}
	if(comes(place->lfd, in.fd, PEER_WAIT_MS)
			&& peer_accept(&out, place->lfd, &opt, STALLED_MS)
			&& peer_serve(&out, STALLED_MS) > 0)
		peer_sip(&in, STALLED_MS);
	peer_close(&out);
	peer_close(&in);
}

static void reload(struct place *place)
{
	host_rpc(place->kam, "tls.reload", answer, sizeof(answer));
}

static void look(struct place *place)
{
	static const char *const commands[] = {"tls.list", "tls.profiles",
			"tls.certs", "tls.check", "tls.stats", "tls.info"};
	size_t i;

	for(i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		host_rpc(place->kam, commands[i], answer, sizeof(answer));
}

static const struct
{
	const char *name;
	void (*act)(struct place *place);
} acts[] = {{"TLS 1.2", connect_12}, {"TLS 1.3", connect_13}, {"relay", relay},
		{"reload", reload}, {"RPCs", look}};

#define N_ACTS (sizeof(acts) / sizeof(acts[0]))

/* ---- tests ---- */

static bool begins(struct host_kam *kam, struct place *place)
{
	struct host_config cfg = {.module = MODULE,
			.allocator = "fm",
			.shm_mb = 256,
			.tls_cfg = "[server:default]\nmethod = TLSv1.2+\n"
					   "certificate = @CERTS@/ecdsa.pem\n"
					   "private_key = @CERTS@/ecdsa.key\n"
					   "[client:default]\nca_list = @CERTS@/ca.pem\n"
					   "verify_certificate = yes\n"};
	size_t i;

	fail_none();
	if(!suite_started(kam, &cfg))
		return false;
	place->kam = kam;
	place->lfd = peer_listen(&place->port);
	host_procs_changed(kam);
	for(i = 0; i < N_ACTS; i++)
		acts[i].act(place); /* so that nothing is made lazily later */
	HOLDS(peer_once(kam->tls_port, NULL) && atomic_load(&failing->asked) > 500,
			"its allocations come by here");
	return true;
}

/* Transactions of relays that failed end by timers of the core, after 30 s. */
static bool memory_comes_back(struct host_kam *kam, long before)
{
	long end = host_now() + BACK_MS;

	while(host_used_memory(kam) - before >= SHM_NOISE) {
		if(host_now() > end)
			return false;
		host_wait_clock(500);
	}
	return true;
}

static void ends(struct host_kam *kam, struct place *place, long before)
{
	fail_none();
	close(place->lfd);
	HOLDS(host_rpc_await(kam, "tls.info", "opened_connections", 0, 20000),
			"no connection is left");
	HOLDS(host_rpc_await(
				  kam, "tls.info", "clear_text_write_queued_bytes", 0, 20000),
			"and nothing queued");
	HOLDS(host_rpc_number(kam, "tls.stats", "handshakes_running") == 0
					&& host_rpc_number(kam, "tls.stats", "generations_alive")
							   == 1,
			"no handshake and no configuration either");
	HOLDS(memory_comes_back(kam, before), "nor memory");
	HOLDS(host_procs_changed(kam) == 0, "the same workers live");
	HOLDS(host_stop(kam, SIGTERM), "clean stop");
}

/* The first, second, third ... allocation of an act fails, until none does.
 * Returns how many steps were taken. */
static int climb(struct place *place, size_t act, int step)
{
	int steps = 0;
	long before;
	int k;

	for(k = 1; k < LADDER_MAX; k += k < FIRST ? 1 : step) {
		before = atomic_load(&failing->failed);
		atomic_store(&failing->left, k);
		acts[act].act(place);
		fail_none();
		if(atomic_load(&failing->failed) == before)
			break;
		steps++;
		HOLDS(peer_once(place->kam->tls_port, NULL), "the next is served");
	}
	HOLDS(k < LADDER_MAX, "the ladder has an end");
	return steps;
}

static void test_ladder(void)
{
	int step = suite_number("FAIL_STEP", FAIL_STEP);
	struct place place = {0};
	struct host_kam kam;
	long before;
	size_t i;
	int n;

	if(!begins(&kam, &place))
		return;
	before = host_used_memory(&kam);
	printf("\n   ");
	for(i = 0; i < N_ACTS; i++) {
		n = climb(&place, i, step);
		HOLDS(n > 20, acts[i].name);
		printf(" %s: %d failures;", acts[i].name, n);
		fflush(stdout);
	}
	ends(&kam, &place, before);
}

/* Each k-th allocation fails as long as peers come and go. */
static void test_every(void)
{
	static const int every[] = {1, 2, 3, 7, 20, 100, 300, 1000, 3000};
	struct place place = {0};
	struct host_kam kam;
	long before;
	size_t i;
	int k;

	if(!begins(&kam, &place))
		return;
	before = host_used_memory(&kam);
	for(i = 0; i < sizeof(every) / sizeof(every[0]); i++) {
		long failed = atomic_load(&failing->failed);

		atomic_store(&failing->every, every[i]);
		atomic_store(&failing->left, every[i]);
		for(k = 0; k < 40; k++)
			acts[(size_t)k % N_ACTS].act(&place);
		fail_none();
		HOLDS(atomic_load(&failing->failed) > failed, "some failed");
		HOLDS(peer_once(kam.tls_port, NULL), "service is back at once");
	}
	ends(&kam, &place, before);
}

/* A listener whose queue is full: who connects next gets no answer. Its port
 * goes to PORT, those in the queue to P. */
static int full_listener(int *port, struct peer *p)
{
	int lfd = peer_listen(port);

	HOLDS(listen(lfd, 0) == 0 && peer_tcp(p, *port), "a full queue");
	return lfd;
}

/* Clear text that waits for a handshake, within 5 s. */
static bool something_waits(struct host_kam *kam)
{
	long end = host_now() + 5000;

	while(host_rpc_number(kam, "tls.info", "clear_text_write_queued_bytes")
			<= 0)
		if(host_now() > end || host_wait_end(kam, 20))
			return false;
	return true;
}

/* The handshake of a connection cannot be timed before TCP has connected, so
 * that its time begins once more, for which memory is needed. */
static void test_unwatched(void)
{
	struct host_config cfg = {.module = MODULE,
			.params = "modparam(\"tls\", \"certificate\", "
					  "\"@CERTS@/ecdsa.pem\")\n"
					  "modparam(\"tls\", \"private_key\", "
					  "\"@CERTS@/ecdsa.key\")\n"
					  "modparam(\"tls\", \"handshake_timeout\", 1000)\n",
			.globals = "tcp_connect_timeout=3\n"};
	struct host_kam kam;
	struct peer first;
	struct peer in;
	char extra[80];
	int port;
	int lfd;

	fail_none();
	lfd = full_listener(&port, &first);
	if(!suite_started(&kam, &cfg))
		return;
	snprintf(extra, sizeof(extra),
			"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", port);
	HOLDS(peer_tcp(&in, kam.tcp_port) && peer_request(&in, 1, 100, extra)
					&& something_waits(&kam),
			"a connection that waits for TCP");
	atomic_store(&failing->every, 1);
	atomic_store(&failing->left, 1);
	HOLDS(host_log_await(&kam,
				  "ERROR&out of shared memory: connection&is not watched any "
				  "more",
				  5000)
					== 1,
			"the log says so");
	fail_none();
	HOLDS(host_rpc_await(&kam, "tls.info", "opened_connections", 0, 10000),
			"the core's timer ends it");
	peer_close(&in);
	peer_close(&first);
	close(lfd);
	HOLDS(peer_once(kam.tls_port, NULL), "others are served");
	HOLDS(host_procs_changed(&kam) == 0, "the same workers live");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"a timer without memory", test_unwatched},
		{"one allocation fails", test_ladder},
		{"each k-th allocation fails", test_every}, {NULL, NULL}};

const struct suite suite_alloc = {"alloc", map_state, unmap_state, tests};
