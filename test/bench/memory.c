/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What connections cost while they do nothing: their shared memory, whoever
 * opened them, and the keep-alives of very many.
 * What the processes keep for their next handshake is no connection: all of it
 * is done once before, and what is left then is the base.
 * One process, one thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#define SETTLE_MS 250
#define SETTLE_TRIES 40
#define MINUTE_MS 60000
#define IDLE_SHM_MB 256
#define HOLD_SHM_MB 1024
#define HOLD_PERIOD_S 60
#define REST_MS 15000 /* a server's timers, with or without connections */
#define VERSIONS 2

/* The receive buffer has the host's own default size. */
static const char idle_globals[] = "tcp_rd_buf_size=16384\n";

static const char hold_globals[] = "tcp_rd_buf_size=16384\n"
								   "tcp_max_connections=16000\n"
								   "tls_max_connections=16000\n"
								   "open_files_limit=20000\n"
								   "tcp_crlf_ping=yes\n";

static int version_of(int v)
{
	return v ? TLS1_3_VERSION : TLS1_2_VERSION;
}

/* Bytes of shared memory taken, allocator's overhead included, once they no
 * longer change. */
static double shm_used(struct bench_server *server)
{
	long before = -1;
	long now = -2;
	int i;

	for(i = 0; i < SETTLE_TRIES && now != before; i++) {
		before = now;
		host_wait_clock(SETTLE_MS);
		now = host_rpc_number(&server->kam, "core.shmmem", "real_used");
	}
	return (double)now;
}

/* A server with idle connections, several at a time for the one minute. */
struct idler
{
	struct bench_server server;
	struct bench_load load;
	struct bench_set *set;	 /* accepted by the server */
	struct bench_peer *peer; /* or opened by it */
	double base;
};

static double per_conn(struct idler *idler)
{
	return (shm_used(&idler->server) - idler->base) / bench_size.idle;
}

static bool idle_start(struct idler *idler, int target)
{
	struct bench_setup setup = {.target = (enum bench_target)target,
			.bare = true,
			.globals = idle_globals,
			.route = bench_relay_route,
			.shm_mb = IDLE_SHM_MB};

	return bench_server_start(&idler->server, &setup);
}

/* Connections that the server accepts. */
static void accept_idle(
		struct idler *idler, int target, int v, struct bench_idle *out)
{
	struct bench_done done = {0};
	struct bench_set *warm;

	if(!idle_start(idler, target))
		return;
	idler->load = (struct bench_load){.port = idler->server.port,
			.tls = target != BENCH_PLAIN,
			.version = version_of(v),
			.conns = bench_size.idle,
			.bytes = 400};
	warm = bench_client_open(&idler->load);
	if(warm)
		bench_client_requests(warm, &idler->load, &done);
	bench_client_close(warm);
	idler->base = shm_used(&idler->server);
	idler->set = bench_client_open(&idler->load);
	if(!idler->set) {
		bench_fault("idle connections failed",
				bench_word((enum bench_target)target));
		return;
	}
	out->handshake = per_conn(idler);
	bench_client_requests(idler->set, &idler->load, &done);
	out->request = per_conn(idler);
	out->done = done.failed == 0;
}

/* Connections that the server opens; a request of it has gone through. */
static void open_idle(
		struct idler *idler, int target, int v, struct bench_idle *out)
{
	bool ok;

	if(!idle_start(idler, target))
		return;
	idler->peer = bench_peer_new(
			target == BENCH_PLAIN ? 0 : version_of(v), bench_size.idle);
	ok = idler->peer
		 && bench_peer_open(
				 idler->peer, idler->server.kam.udp_port, bench_size.idle);
	ok = ok && bench_peer_ping(idler->peer);
	if(ok)
		bench_peer_drop(idler->peer);
	idler->base = shm_used(&idler->server);
	ok = ok
		 && bench_peer_open(
				 idler->peer, idler->server.kam.udp_port, bench_size.idle);
	if(ok) {
		out->handshake = per_conn(idler);
		ok = bench_peer_ping(idler->peer);
	}
	if(ok)
		out->request = per_conn(idler);
	else
		bench_fault("connections to a peer failed",
				bench_word((enum bench_target)target));
	out->done = ok;
}

static void idle_end(struct idler *idler, struct bench_idle *out)
{
	if(bench_size.minute && out->done)
		out->minute = per_conn(idler);
	bench_client_close(idler->set);
	bench_peer_free(idler->peer);
	bench_server_stop(&idler->server);
}

void bench_idle_run(void)
{
	static struct idler accepted[VERSIONS][BENCH_PLAIN + 1];
	static struct idler opened[VERSIONS][BENCH_PLAIN + 1];
	struct bench_results *r = &bench_results;
	int v;
	int t;

	printf("bench: %d idle connections\n", bench_size.idle);
	fflush(stdout);
	r->idle_count = bench_size.idle;
	for(v = 0; v < VERSIONS; v++)
		for(t = 0; t <= BENCH_PLAIN; t++) {
			if(!r->has[t])
				continue;
			accept_idle(&accepted[v][t], t, v, &r->idle[v][t]);
			open_idle(&opened[v][t], t, v, &r->opened[v][t]);
		}
	if(bench_size.minute)
		host_wait_clock(MINUTE_MS);
	for(v = 0; v < VERSIONS; v++)
		for(t = 0; t <= BENCH_PLAIN; t++) {
			idle_end(&accepted[v][t], &r->idle[v][t]);
			idle_end(&opened[v][t], &r->opened[v][t]);
		}
}

/* ---- keep-alives ---- */

/* Share of one processor that SERVER takes while no one asks for anything. */
static double core_at_rest(const struct bench_server *server)
{
	double from = bench_server_us(server);

	host_wait_clock(REST_MS);
	return (bench_server_us(server) - from) / 1e3 / REST_MS;
}

static void hold_one(int target)
{
	struct bench_setup setup = {.target = (enum bench_target)target,
			.bare = true,
			.globals = hold_globals,
			.shm_mb = HOLD_SHM_MB};
	struct bench_hold *out = &bench_results.hold[target];
	struct bench_load load = {.tls = target != BENCH_PLAIN,
			.version = TLS1_3_VERSION,
			.conns = bench_size.hold,
			.bytes = 400};
	struct bench_server server;
	struct bench_done done = {0};
	struct bench_set *set;
	double from;

	if(!bench_server_start(&server, &setup))
		return;
	load.port = server.port;
	out->empty = core_at_rest(&server);
	set = bench_client_open(&load);
	if(set) {
		out->silent = core_at_rest(&server);
		load.ping = true;
		load.ms = bench_size.hold_s * 1000;
		load.rate = bench_size.hold / HOLD_PERIOD_S;
		from = bench_server_us(&server);
		bench_client_requests(set, &load, &done);
		out->core = (bench_server_us(&server) - from) / 1e6 / done.seconds;
		out->conns = bench_size.hold;
		out->pings = done.count;
		out->lost = done.failed;
		out->seconds = done.seconds;
		out->done = done.count > 0;
	}
	if(!out->done)
		bench_fault("connections could not be held", bench_word(setup.target));
	bench_client_close(set);
	bench_server_stop(&server);
}

void bench_hold_run(void)
{
	static const int targets[] = {BENCH_OWN, BENCH_PLAIN};
	size_t i;

	for(i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		if(!bench_results.has[targets[i]])
			continue;
		printf("bench: %d connections with keep-alives for %d s, %s\n",
				bench_size.hold, bench_size.hold_s,
				bench_word((enum bench_target)targets[i]));
		fflush(stdout);
		hold_one(targets[i]);
	}
}
