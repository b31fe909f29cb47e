/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Samples of CPU time and of rate. A round is cut into slices in which every
 * target has a short turn, in the other order each second time: what else the
 * machine does, and how it drifts, meets them all alike. A sample is the sum
 * of a target's turns in one round.
 * One process, one thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNS_SHAKE 8
#define CONNS_MESSAGE 16
#define RATE 1500 /* requests per second of the paced cells */
#define WARM_MS 100
#define LEFT_MS 10 /* a server's work after the last client has gone */

/* The cell that is being measured. */
static const struct bench_cell *cell;
static struct bench_series *series; /* of the cell, by target */
static struct bench_set *sets[BENCH_TARGETS];
static bool bad[BENCH_TARGETS]; /* no sample in this round */

static struct bench_load load_for(int target, int ms)
{
	struct bench_load load = {.port = bench_servers[target].port,
			.tls = target != BENCH_PLAIN && target != BENCH_ECHO,
			.version = cell->version,
			.conns =
					cell->kind == BENCH_HANDSHAKE ? CONNS_SHAKE : CONNS_MESSAGE,
			.bytes = cell->bytes,
			.ms = ms,
			.rate = cell->kind == BENCH_PACED ? RATE : 0};

	return load;
}

/* The floor runs where the servers run: two processors may differ. */
static void turn_of_raw(int ms)
{
	struct bench_series *s = &series[BENCH_RAW];
	struct bench_raw raw = {0};

	bench_pin(false);
	if(cell->kind == BENCH_HANDSHAKE)
		bench_raw_handshakes(cell->version, ms, &raw);
	else
		bench_raw_messages(cell->version, cell->bytes, ms, &raw);
	bench_pin(true);
	bad[BENCH_RAW] = bad[BENCH_RAW] || raw.count == 0;
	s->spent_us += raw.us;
	s->done += (double)raw.count;
	s->seconds += raw.us / 1e6;
}

static void turn_of_server(int target, int ms)
{
	struct bench_series *s = &series[target];
	struct bench_load load = load_for(target, ms);
	struct bench_done done = {.latency = NULL};
	double from;

	if(cell->kind == BENCH_PACED) {
		done.latency = s->latency + s->n_latency;
		done.room_latency = BENCH_LATENCIES_MAX - s->n_latency;
	}
	from = bench_server_us(&bench_servers[target]);
	if(cell->kind == BENCH_HANDSHAKE) {
		bench_client_handshakes(&load, &done);
		host_wait_clock(LEFT_MS);
	} else {
		bench_client_requests(sets[target], &load, &done);
	}
	s->spent_us += bench_server_us(&bench_servers[target]) - from;
	s->done += (double)done.count;
	s->seconds += done.seconds;
	s->n_latency += done.n_latency;
	memcpy(s->cipher, done.cipher, sizeof(s->cipher));
	bad[target] = bad[target] || done.failed > 0 || done.count == 0;
}

static bool takes_part(int target)
{
	if(target == BENCH_RAW)
		return bench_results.has[target] && cell->kind != BENCH_PACED;
	return bench_servers[target].up
		   && (cell->kind == BENCH_HANDSHAKE || sets[target]);
}

static void end_round(int round)
{
	struct bench_series *s;
	int t;

	for(t = 0; t < BENCH_TARGETS; t++) {
		s = &series[t];
		if(!takes_part(t))
			continue;
		if(bad[t]) {
			bench_fault("work failed, no sample", bench_word(t));
			s->cpu_us[round] = s->per_second[round] = -1;
		} else {
			s->cpu_us[round] = s->spent_us / s->done;
			s->per_second[round] = s->done / s->seconds;
		}
		s->spent_us = s->done = s->seconds = 0;
		bad[t] = false;
	}
}

static void run_round(int round)
{
	int slices = cell->kind == BENCH_PACED ? 1 : bench_size.slices;
	int ms = cell->kind == BENCH_PACED ? bench_size.paced_ms
									   : bench_size.slice_ms;
	int slice;
	int i;
	int t;

	for(slice = 0; slice < slices; slice++)
		for(i = 0; i < BENCH_TARGETS; i++) {
			t = (slice + round) % 2 ? BENCH_TARGETS - 1 - i : i;
			if(!takes_part(t))
				continue;
			if(t == BENCH_RAW)
				turn_of_raw(ms);
			else
				turn_of_server(t, ms);
		}
	end_round(round);
}

/* Open connections for a cell of messages, used once so that whatever is
 * made at the first request is there. */
static void open_sets(void)
{
	struct bench_done ignored = {0};
	struct bench_load load;
	int t;

	for(t = 0; t < BENCH_RAW; t++) {
		if(!bench_servers[t].up)
			continue;
		load = load_for(t, WARM_MS);
		sets[t] = bench_client_open(&load);
		if(sets[t])
			bench_client_requests(sets[t], &load, &ignored);
		else
			bench_fault("connections failed", bench_word(t));
		if(cell->kind != BENCH_PACED)
			continue;
		series[t].latency = calloc(BENCH_LATENCIES_MAX, sizeof(uint32_t));
		if(!series[t].latency)
			abort();
	}
}

static void close_sets(void)
{
	int t;

	for(t = 0; t < BENCH_RAW; t++) {
		bench_client_close(sets[t]);
		sets[t] = NULL;
	}
}

void bench_samples_run(bool rsa)
{
	int round;
	int c;

	for(c = 0; c < bench_n_cells; c++) {
		cell = &bench_cells[c];
		series = &bench_results.series[c * BENCH_TARGETS];
		if(cell->rsa != rsa || !bench_wanted("CELLS", cell->name))
			continue;
		printf("bench: %s %s\n",
				cell->kind == BENCH_HANDSHAKE ? "handshake" : "message",
				cell->name);
		fflush(stdout);
		if(cell->kind != BENCH_HANDSHAKE)
			open_sets();
		for(round = 0; round < bench_results.rounds; round++)
			run_round(round);
		close_sets();
	}
}
