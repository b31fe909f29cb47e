/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What is counted or timed once in a while: takings of the lock of the shared
 * memory, start, reload.
 * One process, one thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define SETTLE_MS 250
#define LOCK_CONNS 16
#define LOCK_MS 400
#define RPC_TRIES 3
#define LOCK_OPENED 100 /* connections that the server opens */

#ifndef TEST_BUILD_DIR
#define TEST_BUILD_DIR "."
#endif

/* ---- takings of the lock ---- */

static void lock_sample(struct bench_server *server, int target, int version,
		const volatile unsigned long *count, struct bench_lock *out)
{
	struct bench_load load = {.port = server->port,
			.tls = target != BENCH_PLAIN,
			.version = version,
			.conns = LOCK_CONNS,
			.bytes = 400,
			.ms = LOCK_MS};
	struct bench_done warm = {0};
	struct bench_done shakes = {0};
	struct bench_done requests = {0};
	struct bench_set *set;
	unsigned long before;

	/* caches of the processes first */
	bench_client_handshakes(&load, &warm);
	host_wait_clock(SETTLE_MS);
	before = *count;
	bench_client_handshakes(&load, &shakes);
	host_wait_clock(SETTLE_MS);
	out->handshake = (double)(*count - before) / (double)shakes.count;
	set = bench_client_open(&load);
	if(set) {
		bench_client_requests(set, &load, &warm);
		before = *count;
		bench_client_requests(set, &load, &requests);
		out->message = (double)(*count - before) / (double)requests.count;
	}
	bench_client_close(set);
	out->done = set && shakes.failed + requests.failed + warm.failed == 0;
}

/* Connections that the server opens, one after the other, with their end. */
static void lock_opened(struct bench_server *server, int target, int version,
		const volatile unsigned long *count, struct bench_lock *out)
{
	int udp = server->kam.udp_port;
	struct bench_peer *peer =
			bench_peer_new(target == BENCH_PLAIN ? 0 : version, LOCK_OPENED);
	bool ok = peer && bench_peer_open(peer, udp, LOCK_OPENED);
	unsigned long before;

	if(ok)
		bench_peer_drop(peer);
	host_wait_clock(SETTLE_MS);
	before = *count;
	ok = ok && bench_peer_open(peer, udp, LOCK_OPENED);
	bench_peer_free(peer);
	host_wait_clock(SETTLE_MS);
	out->opened = (double)(*count - before) / LOCK_OPENED;
	out->done = out->done && ok;
}

static void lock_server(int target, const volatile unsigned long *count)
{
	struct bench_setup setup = {.target = (enum bench_target)target,
			.bare = true,
			.route = bench_relay_route,
			.modules = "loadmodule \"" TEST_BUILD_DIR "/shm_count.so\"\n"};
	struct bench_server server;
	int v;

	if(!bench_server_start(&server, &setup))
		return;
	for(v = 0; v < 2; v++) {
		lock_sample(&server, target, v ? TLS1_3_VERSION : TLS1_2_VERSION, count,
				&bench_results.lock[v][target]);
		lock_opened(&server, target, v ? TLS1_3_VERSION : TLS1_2_VERSION, count,
				&bench_results.lock[v][target]);
		if(!bench_results.lock[v][target].done)
			bench_fault("lock not counted", bench_word(setup.target));
	}
	bench_server_stop(&server);
}

void bench_locks_run(void)
{
	char path[] = TEST_BUILD_DIR "/shm-count.XXXXXX";
	int fd = mkstemp(path);
	void *map = MAP_FAILED;
	int t;

	printf("bench: takings of the lock of the shared memory\n");
	fflush(stdout);
	if(fd >= 0 && ftruncate(fd, sizeof(unsigned long)) == 0)
		map = mmap(NULL, sizeof(unsigned long), PROT_READ, MAP_SHARED, fd, 0);
	if(map == MAP_FAILED) {
		bench_fault("no file for the counter", "lock");
	} else {
		/* the server's processes may be another user's */
		fchmod(fd, 0666);
		setenv("BENCH_SHM_COUNT", path, 1);
		for(t = 0; t <= BENCH_PLAIN; t++)
			if(bench_results.has[t])
				lock_server(t, map);
		munmap(map, sizeof(unsigned long));
	}
	if(fd >= 0) {
		close(fd);
		unlink(path);
	}
}

/* ---- start and reload ---- */

double bench_rpc_ms(struct bench_server *server, const char *cmd)
{
	char out[4096];
	int64_t from = bench_now_us();

	if(!host_rpc(&server->kam, cmd, out, sizeof(out)))
		bench_fault("RPC refused", cmd);
	return (double)(bench_now_us() - from) / 1e3;
}

double bench_idle_rpc_ms(struct bench_server *server)
{
	double best = bench_rpc_ms(server, "core.version");
	double ms;
	int i;

	for(i = 1; i < RPC_TRIES; i++) {
		ms = bench_rpc_ms(server, "core.version");
		best = ms < best ? ms : best;
	}
	return best;
}

static void start_one(int target, int round)
{
	struct bench_setup setup = {
			.target = (enum bench_target)target, .bare = true};
	struct bench_server server;
	int64_t from = bench_now_us();
	double base;

	if(!bench_server_start(&server, &setup))
		return;
	bench_results.start_ms[target][round] =
			(double)(bench_now_us() - from) / 1e3;
	base = bench_idle_rpc_ms(&server);
	if(target != BENCH_PLAIN)
		bench_results.reload_ms[target][round] =
				bench_rpc_ms(&server, "tls.reload") - base;
	bench_server_stop(&server);
}

void bench_starts_run(void)
{
	int round;
	int t;

	printf("bench: start and reload\n");
	fflush(stdout);
	for(round = 0; round < bench_size.starts; round++)
		for(t = 0; t <= BENCH_PLAIN; t++)
			if(bench_results.has[t])
				start_one(t, round);
}
