/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Thousands of profiles with a name, certificate and key each: time of start
 * and reload, shared memory, and what a handshake costs beside a server that
 * has one profile. The two servers have their turns in the same rounds.
 * One process, one thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "hostmany.h"

#define WORKERS 8
#define SHM_MB 1024
#define CONNS 8
#define CA_PROFILES 1000
#define FOREVER_MS 3600000
#define LEFT_MS 10	  /* a server's work after the last client has gone */
#define GONE_MS 30000 /* until the last connection is gone */
#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

static struct bench_profiles *out;
static char folder[HOST_PATH_MAX];
static struct bench_server servers[BENCH_MANYS];

static const char *in_folder(const char *name)
{
	static char path[HOST_PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

/* A server of our module with the tls.cfg NAME in the folder. */
static bool start(struct bench_server *server, const char *name)
{
	struct bench_setup setup = {.target = BENCH_OWN,
			.config = in_folder(name),
			.workers = WORKERS,
			.shm_mb = SHM_MB};

	return bench_server_start(server, &setup);
}

static double megabytes(struct bench_server *server, const char *field)
{
	return (double)host_rpc_number(&server->kam, "core.shmmem", field)
		   / (1024 * 1024);
}

/* Shared memory once the last connection is gone. */
static void note_memory(struct bench_server *server, double mb[2])
{
	if(!host_rpc_await(&server->kam, "core.tcp_info", "opened_tls_connections",
			   0, GONE_MS))
		bench_fault("connections stay", "profiles");
	mb[0] = megabytes(server, "used");
	mb[1] = megabytes(server, "real_used");
}

/* COUNT handshakes, the names in turn. */
static void shake(struct bench_server *server, long count)
{
	struct bench_load load = {.port = server->port,
			.tls = true,
			.version = TLS1_3_VERSION,
			.conns = CONNS,
			.bytes = 400,
			.ms = FOREVER_MS,
			.names = out->names,
			.count = count};
	struct bench_done done = {0};

	bench_client_handshakes(&load, &done);
	if(done.failed || done.count != count)
		bench_fault("handshakes failed", "profiles");
}

/* ---- start, reload, memory ---- */

static double reload_ms(struct bench_server *server, double *cpu_ms)
{
	double from = bench_server_us(server);
	double ms = bench_rpc_ms(server, "tls.reload");

	*cpu_ms = (bench_server_us(server) - from) / 1e3;
	return ms - bench_idle_rpc_ms(server);
}

static bool start_many(void)
{
	struct bench_server *many = &servers[BENCH_MANY];
	int64_t from = bench_now_us();

	if(!start(many, "many.cfg"))
		return false;
	out->start_ms = (double)(bench_now_us() - from) / 1e3;
	out->start_cpu_ms = bench_server_us(many) / 1e3;
	note_memory(many, out->started_mb);
	shake(many, out->names);
	note_memory(many, out->shaken_mb);
	out->reload_ms = reload_ms(many, &out->reload_cpu_ms);
	if(!many_certificates(folder, out->names, 200000))
		bench_fault("certificates not made", "profiles");
	out->changed_ms = reload_ms(many, &out->changed_cpu_ms);
	out->reload_max_mb = megabytes(many, "max_used");
	return true;
}

/* ---- handshakes ---- */

struct turns
{
	double us, done, seconds;
	bool bad;
};

static void turn(struct bench_server *server, int version, struct turns *turns)
{
	struct bench_load load = {.port = server->port,
			.tls = true,
			.version = version,
			.conns = CONNS,
			.bytes = 400,
			.ms = bench_size.slice_ms,
			.names = out->names};
	struct bench_done done = {0};
	double from = bench_server_us(server);

	bench_client_handshakes(&load, &done);
	host_wait_clock(LEFT_MS);
	turns->us += bench_server_us(server) - from;
	turns->done += (double)done.count;
	turns->seconds += done.seconds;
	turns->bad = turns->bad || done.failed || !done.count;
}

static void handshake_round(int v, int round)
{
	int version = v ? TLS1_3_VERSION : TLS1_2_VERSION;
	struct turns turns[BENCH_MANYS] = {0};
	int slice;
	int i;
	int which;

	for(slice = 0; slice < bench_size.slices; slice++)
		for(i = 0; i < BENCH_MANYS; i++) {
			which = (slice + round) % 2 ? BENCH_MANYS - 1 - i : i;
			turn(&servers[which], version, &turns[which]);
		}
	for(i = 0; i < BENCH_MANYS; i++) {
		if(turns[i].bad) {
			bench_fault("work failed, no sample", "profiles");
			continue;
		}
		out->cpu_us[v][i][round] = turns[i].us / turns[i].done;
		out->per_second[v][i][round] = turns[i].done / turns[i].seconds;
	}
}

static void handshakes(void)
{
	int round;
	int i;
	int v;

	/* every process has met most names before anything counts */
	for(i = 0; i < BENCH_MANYS; i++)
		shake(&servers[i], (long)out->names * bench_size.passes);
	for(v = 0; v < 2; v++)
		for(round = 0; round < bench_results.rounds; round++)
			handshake_round(v, round);
	note_memory(&servers[BENCH_MANY], out->used_mb);
	note_memory(&servers[BENCH_ONE], out->one_mb);
}

/* ---- the system's CAs ---- */

/* Memory of a server with CA_PROFILES profiles that have the line EXTRA. */
static void memory_with(const char *extra, double mb[2])
{
	struct bench_server server;

	if(!many_config(in_folder("ca.cfg"), folder, out->ca_profiles, extra)) {
		bench_fault("tls.cfg not written", "profiles");
		return;
	}
	if(start(&server, "ca.cfg"))
		note_memory(&server, mb);
	bench_server_stop(&server);
}

static void authorities(void)
{
	if(access(SYSTEM_BUNDLE, R_OK) != 0) {
		bench_fault("install ca-certificates", SYSTEM_BUNDLE);
		return;
	}
	out->ca_profiles = out->names < CA_PROFILES ? out->names : CA_PROFILES;
	memory_with("verify_certificate = yes\n", out->no_ca_mb);
	memory_with("verify_certificate = yes\nca_list = " SYSTEM_BUNDLE "\n",
			out->ca_mb);
}

/* ---- all of it ---- */

void bench_profiles_run(void)
{
	out = &bench_results.profiles;
	out->names = bench_size.names;
	out->workers = WORKERS;
	printf("bench: %d profiles\n", out->names);
	fflush(stdout);
	snprintf(folder, sizeof(folder), "%.400s/many", host_certs());
	if((mkdir(folder, 0755) != 0
			   || !many_certificates(folder, out->names, 100000))
			|| !many_config(in_folder("many.cfg"), folder, out->names, NULL)
			|| !many_config(in_folder("one.cfg"), folder, 0, NULL)) {
		bench_fault("certificates not made", "profiles");
		return;
	}
	if(start_many() && start(&servers[BENCH_ONE], "one.cfg")) {
		handshakes();
		out->done = true;
	}
	bench_server_stop(&servers[BENCH_MANY]);
	bench_server_stop(&servers[BENCH_ONE]);
	authorities();
}
