/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* How many instructions a handshake and a message take, counted by callgrind.
 * Other load of the machine changes them only by what the server's timers do
 * meanwhile. They leave out the kernel, the caches and how processes take turns.
 * A server cannot be asked in between, so it is started once with some work,
 * and once more for each cell with the same and that cell's.
 * One process, one thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define BASE 10 /* of each cell: what is made once is made */
#define MORE 40 /* handshakes that are counted */
#define MORE_MESSAGES 400
#define RAW_FEW 16	/* the same of the floor, whose messages come in */
#define RAW_MANY 64 /* batches of 16 */
/* whatever the user's own settings for it are */
#define VALGRIND \
	"valgrind -q --command-line-only=yes --vgdb=no --tool=callgrind"
#define GIVE_UP_MS 60000
#define PATH_ROOM 600

#ifndef TEST_BUILD_DIR
#define TEST_BUILD_DIR "."
#endif

static char folder[] = TEST_BUILD_DIR "/count.XXXXXX";

/* Handshakes and small messages are. */
static bool is_counted(int c)
{
	const struct bench_cell *cell = &bench_cells[c];

	if(cell->kind == BENCH_PACED || cell->bytes != 400
			|| !bench_wanted("CELLS", cell->name))
		return false;
	return bench_size.count_all
		   || (!cell->rsa && cell->version == TLS1_3_VERSION);
}

static struct bench_series *row_of(int cell)
{
	return &bench_results.series[cell * BENCH_TARGETS];
}

/* ---- callgrind's files ---- */

/* What the files of a run tell. */
struct sum
{
	double instructions;
	int processes; /* each has written a file; 0 = the run has failed */
};

/* Sum over the files of the run NAME, which are removed. */
static struct sum take_sum(const char *name)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[PATH_ROOM];
	char line[512];
	struct sum sum = {0};
	double one;
	FILE *f;

	while(dir && (entry = readdir(dir)) != NULL) {
		if(strncmp(entry->d_name, name, strlen(name)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%.256s", folder, entry->d_name);
		f = fopen(path, "r");
		while(f && fgets(line, sizeof(line), f))
			if(sscanf(line, "summary: %lf", &one) == 1) {
				sum.instructions += one;
				sum.processes++;
			}
		if(f)
			fclose(f);
		unlink(path);
	}
	if(dir)
		closedir(dir);
	return sum;
}

/* ---- servers ---- */

/* N pieces of the work of CELL. */
static bool work(const struct bench_server *server, bool tls,
		const struct bench_cell *cell, int n)
{
	struct bench_load load = {.port = server->port,
			.tls = tls,
			.version = cell->version,
			.conns = 1,
			.bytes = cell->bytes,
			.ms = GIVE_UP_MS,
			.count = n};
	struct bench_done done = {0};
	struct bench_set *set;
	int i;

	if(cell->kind == BENCH_HANDSHAKE) {
		bench_client_handshakes(&load, &done);
		return done.failed == 0 && done.count == n;
	}
	load.ms = 0;
	set = bench_client_open(&load);
	for(i = 0; set && i < n; i++)
		bench_client_requests(set, &load, &done);
	bench_client_close(set);
	return done.failed == 0 && done.count == n;
}

static int more_of(const struct bench_cell *cell)
{
	return cell->kind == BENCH_HANDSHAKE ? MORE : MORE_MESSAGES;
}

/* A server that does BASE pieces of work of each cell of its certificate, and
 * more_of(CELL) of CELL, which may be NULL. */
static struct sum count_server(
		int target, bool rsa, const struct bench_cell *cell)
{
	struct bench_setup setup = {
			.target = (enum bench_target)target, .rsa = rsa, .workers = 1};
	bool tls = target != BENCH_PLAIN;
	char under[PATH_ROOM];
	struct bench_server server;
	struct sum sum;
	bool ok;
	int c;

	snprintf(under, sizeof(under),
			VALGRIND " --callgrind-out-file='%s/server.%%p'", folder);
	setup.under = under;
	ok = bench_server_start(&server, &setup);
	for(c = 0; ok && c < bench_n_cells; c++)
		if(is_counted(c) && bench_cells[c].rsa == rsa)
			ok = work(&server, tls, &bench_cells[c],
					cell == &bench_cells[c] ? BASE + more_of(cell) : BASE);
	bench_server_stop(&server);
	sum = take_sum("server.");
	return ok ? sum : (struct sum){0};
}

/* The cell whose count is also C's: plain TCP has neither version nor
 * certificate, so the first of its kind. */
static int twin_of(int target, int c)
{
	int i;

	for(i = 0; target == BENCH_PLAIN && i < c; i++)
		if(is_counted(i) && bench_cells[i].kind == bench_cells[c].kind)
			return i;
	return c;
}

static void count_target(int target, bool rsa)
{
	struct sum base = {0};
	struct sum sum;
	int twin;
	int c;

	for(c = 0; c < bench_n_cells; c++) {
		if(!is_counted(c) || bench_cells[c].rsa != rsa)
			continue;
		twin = twin_of(target, c);
		if(twin != c) {
			row_of(c)[target].instructions = row_of(twin)[target].instructions;
			continue;
		}
		if(base.processes == 0)
			base = count_server(target, rsa, NULL);
		sum = count_server(target, rsa, &bench_cells[c]);
		/* one that had to be killed has told nothing, not even what it
		 * took over from the process that it was forked from */
		if(sum.processes > 0 && sum.processes == base.processes)
			row_of(c)[target].instructions =
					(sum.instructions - base.instructions)
					/ more_of(&bench_cells[c]);
		else
			bench_fault("not counted", bench_word((enum bench_target)target));
	}
}

/* ---- the floor ---- */

int bench_count_raw(const char *args)
{
	const struct bench_cell *cell;
	struct bench_raw raw = {0};
	char certs[PATH_ROOM];
	char cert[PATH_ROOM + 16];
	char key[PATH_ROOM + 16];
	int c;

	if(sscanf(args, "%d %ld %599[^\n]", &c, &raw.limit, certs) != 3 || c < 0
			|| c >= bench_n_cells)
		return 2;
	cell = &bench_cells[c];
	snprintf(cert, sizeof(cert), "%s/%s.pem", certs,
			cell->rsa ? "rsa" : "ecdsa");
	snprintf(key, sizeof(key), "%s/%s.key", certs, cell->rsa ? "rsa" : "ecdsa");
	if(!bench_raw_init(cert, key))
		return 1;
	if(cell->kind == BENCH_HANDSHAKE)
		bench_raw_handshakes(cell->version, GIVE_UP_MS, &raw);
	else
		bench_raw_messages(cell->version, cell->bytes, GIVE_UP_MS, &raw);
	return raw.count == raw.limit ? 0 : 1;
}

/* Instructions of the server side for LIMIT pieces of work; 0 = failed. */
static double count_raw(int cell, long limit)
{
	char args[PATH_ROOM];
	char command[PATH_ROOM * 2];
	char self[PATH_ROOM];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct sum sum;
	int status;

	if(n < 0)
		return 0;
	self[n] = '\0';
	snprintf(args, sizeof(args), "%d %ld %s", cell, limit, host_certs());
	setenv(BENCH_COUNT_RAW, args, 1);
	snprintf(command, sizeof(command),
			VALGRIND " --toggle-collect='serve_*' "
					 "--callgrind-out-file='%s/raw.%%p' '%s'",
			folder, self);
	status = system(command);
	unsetenv(BENCH_COUNT_RAW);
	sum = take_sum("raw.");
	return status == 0 ? sum.instructions : 0;
}

static void count_floor(void)
{
	double few;
	double many;
	int c;

	for(c = 0; c < bench_n_cells; c++) {
		if(!is_counted(c))
			continue;
		few = count_raw(c, RAW_FEW);
		many = few > 0 ? count_raw(c, RAW_MANY) : 0;
		if(many > few)
			row_of(c)[BENCH_RAW].instructions =
					(many - few) / (RAW_MANY - RAW_FEW);
		else
			bench_fault("not counted", "raw");
	}
}

void bench_count_run(void)
{
	int t;

	printf("bench: instructions\n");
	fflush(stdout);
	if(!mkdtemp(folder)) {
		bench_fault("no folder for callgrind", "count");
		return;
	}
	for(t = 0; t <= BENCH_PLAIN; t++) {
		if(!bench_results.has[t])
			continue;
		count_target(t, false);
		count_target(t, true);
	}
	if(bench_results.has[BENCH_RAW])
		count_floor();
	rmdir(folder);
}
