/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The benchmark's program: what is measured, how much of it, in which order.
 * Measures, judges nothing: exit code 0 when every sample was taken.
 * One process, one thread, no lock.
 *
 * usage: bench   Environment: QUICK=1, PARTS=, CELLS=, TARGETS= (words, empty = all),
 * ROUNDS=, SLICES=, SLICE_MS=, IDLE=, MINUTE=0|1, HOLD=, HOLD_S=, NAMES=, PASSES=,
 * KEEP=1 keeps the servers' folders; KAMAILIO, KAMCMD, TLS_MODULE as the host tests. */
#define _GNU_SOURCE
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#define STOCK_VERSION_MIN 6 /* the older one does not outlive its first load */
#define FILES 20000			/* descriptors: the held connections and more */

#ifndef TEST_BUILD_DIR
#define TEST_BUILD_DIR "."
#endif

const struct bench_cell bench_cells[] = {
		{"ECDSA TLS 1.2", BENCH_HANDSHAKE, false, TLS1_2_VERSION, 400},
		{"ECDSA TLS 1.3", BENCH_HANDSHAKE, false, TLS1_3_VERSION, 400},
		{"400 B TLS 1.2", BENCH_MESSAGE, false, TLS1_2_VERSION, 400},
		{"400 B TLS 1.3", BENCH_MESSAGE, false, TLS1_3_VERSION, 400},
		{"2 KB TLS 1.2", BENCH_MESSAGE, false, TLS1_2_VERSION, 2048},
		{"2 KB TLS 1.3", BENCH_MESSAGE, false, TLS1_3_VERSION, 2048},
		{"16 KB TLS 1.2", BENCH_MESSAGE, false, TLS1_2_VERSION, 16384},
		{"16 KB TLS 1.3", BENCH_MESSAGE, false, TLS1_3_VERSION, 16384},
		{"paced TLS 1.3", BENCH_PACED, false, TLS1_3_VERSION, 400},
		{"RSA TLS 1.2", BENCH_HANDSHAKE, true, TLS1_2_VERSION, 400},
		{"RSA TLS 1.3", BENCH_HANDSHAKE, true, TLS1_3_VERSION, 400},
};
const int bench_n_cells = sizeof(bench_cells) / sizeof(bench_cells[0]);

struct bench_results bench_results;
struct bench_size bench_size;
static int faults; /* samples that could not be taken */

void bench_fault(const char *what, const char *where)
{
	fprintf(stderr, "bench: %s: %s\n", where, what);
	faults++;
}

const char *bench_word(enum bench_target target)
{
	static const char *const words[BENCH_TARGETS] = {"own", "openssl", "stock",
			"plain", "nginx", "tlsecho", "echo", "raw"};

	return words[target];
}

bool bench_wanted(const char *variable, const char *name)
{
	const char *list = getenv(variable);

	return !list || !*list || strstr(list, name) != NULL;
}

/* ---- the run ---- */

static int number(const char *name, int fallback, int max)
{
	const char *text = getenv(name);
	int n = text && *text ? atoi(text) : fallback;

	return n < 0 || n > max ? fallback : n;
}

static void describe(void)
{
	struct bench_results *r = &bench_results;
	FILE *f = popen("${KAMAILIO:-kamailio} -v", "r");
	time_t now = time(NULL);
	struct utsname name;
	char rest[256];

	if(f) {
		if(!fgets(r->host, sizeof(r->host), f))
			r->host[0] = '\0';
		while(fgets(rest, sizeof(rest), f))
			;
		pclose(f);
	}
	r->host[strcspn(r->host, "(\n")] = '\0';
	snprintf(r->library, sizeof(r->library), "%s",
			OpenSSL_version(OPENSSL_VERSION));
	uname(&name);
	snprintf(r->machine, sizeof(r->machine), "%ld processors, Linux %.40s",
			sysconf(_SC_NPROCESSORS_ONLN), name.release);
	strftime(
			r->started, sizeof(r->started), "%Y-%m-%d %H:%M UTC", gmtime(&now));
}

static void options(void)
{
	struct bench_results *r = &bench_results;
	bool quick = number("QUICK", 0, 1) == 1;
	int t;

	r->rounds = number("ROUNDS", quick ? 5 : 9, BENCH_ROUNDS_MAX);
	bench_size.slices = number("SLICES", quick ? 2 : 12, 1000);
	bench_size.slice_ms = number("SLICE_MS", quick ? 50 : 100, 10000);
	bench_size.paced_ms = number("PACED_MS", quick ? 300 : 2500, 60000);
	bench_size.idle = number("IDLE", quick ? 200 : 1000, 1000);
	bench_size.starts = quick ? 2 : r->rounds;
	bench_size.minute = number("MINUTE", quick ? 0 : 1, 1) == 1;
	bench_size.hold = number("HOLD", quick ? 0 : 15000, 15000);
	bench_size.hold_s = number("HOLD_S", 60, 600);
	bench_size.names = number("NAMES", quick ? 1000 : 10000, 20000);
	bench_size.passes = number("PASSES", quick ? 2 : 16, 100);
	bench_size.count_all = !quick;
	for(t = 0; t < BENCH_TARGETS; t++)
		r->has[t] = bench_wanted("TARGETS", bench_word((enum bench_target)t));
	if(host_version() < STOCK_VERSION_MIN)
		r->has[BENCH_STOCK] = false;
	r->series =
			calloc((size_t)bench_n_cells * BENCH_TARGETS, sizeof(*r->series));
	if(!r->series)
		abort();
}

static void raise_files(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	if(files.rlim_max < FILES)
		files.rlim_max = FILES; /* root may */
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static void measure(void)
{
	int rsa;

	if(bench_wanted("PARTS", "start"))
		bench_starts_run();
	if(bench_wanted("PARTS", "lock"))
		bench_locks_run();
	if(bench_wanted("PARTS", "idle"))
		bench_idle_run();
	if(bench_wanted("PARTS", "hold") && bench_size.hold > 0)
		bench_hold_run();
	if(bench_wanted("PARTS", "profiles"))
		bench_profiles_run();
	if(bench_wanted("PARTS", "count"))
		bench_count_run();
	for(rsa = 0; rsa < 2 && bench_wanted("PARTS", "cpu"); rsa++) {
		bench_servers_start(rsa);
		bench_samples_run(rsa);
		bench_servers_stop();
	}
}

int main(void)
{
	if(getenv(BENCH_COUNT_RAW))
		return bench_count_raw(getenv(BENCH_COUNT_RAW));
	signal(SIGPIPE, SIG_IGN);
	raise_files();
	bench_pin(true);
	options();
	describe();
	if(!host_init(TEST_BUILD_DIR) || !bench_client_init())
		return 1;
	measure();
	if(!bench_report_write(&bench_results, TEST_BUILD_DIR))
		bench_fault("not written", "report");
	host_finish(faults > 0 || number("KEEP", 0, 1));
	printf("bench: %d faults, see %s/report.md\n", faults, TEST_BUILD_DIR);
	return faults > 0;
}
