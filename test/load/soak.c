/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Soak test: a real Kamailio with the module under the load generator for a
 * given time; afterwards nothing may be lost, restarted, leaked or logged as
 * a bug. Starts and judges only: hostlib runs Kamailio, tlsload the load.
 * One process, no lock. */
#define _GNU_SOURCE
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../host/hostlib.h"
#include "soak.h"

#define WARM_COUNT "2000" /* connections of the warm-up burst */
#define DRAIN_MS 30000	  /* until all connections are gone */
#define GROWTH_MAX_KB 512 /* shared memory a run may keep, see below */
#define LOAD_PROGRAM "tlsload"

/* Without connections that break off: of those the two sides may have seen
 * different parts. */
#define GOOD_MIX "full=4,resume=3,long=2,idle=1,relay=2,udp=1"
#define COUNTED_COUNT "1000" /* connections of a counted burst */
#define FLUSH_COUNT "64"	 /* and of one that reaches every process */

static char report[8192]; /* what the load generator said last */

static int passed;
static int failed;

void judge(bool good, const char *what)
{
	printf("%s: %s\n", good ? "PASS" : "FAIL", what);
	fflush(stdout);
	passed += good;
	failed += !good;
}

/* The load generator lies beside this program. */
static const char *load_path(void)
{
	static char path[HOST_PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	char *slash;
	char *name;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	name = slash ? slash + 1 : path;
	snprintf(name, sizeof(path) - (size_t)(name - path), "%s", LOAD_PROGRAM);
	return path;
}

/* In the child: becomes the load generator, with its report in a file. */
static void exec_load(char **argv, const char *path)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if(freopen(path, "w", stdout))
		execv(argv[0], argv);
	_exit(127);
}

/* Reads the report from PATH, and shows it. */
static void read_report(const char *path)
{
	FILE *f = fopen(path, "r");

	report[0] = '\0';
	if(!f)
		return;
	report[fread(report, 1, sizeof(report) - 1, f)] = '\0';
	fclose(f);
	fputs(report, stdout);
}

/* Runs the load generator; LIMIT and VALUE bound it, MIX may be NULL. RELOADS:
 * the configuration is reloaded meanwhile. Its exit code. */
static int run_load(struct host_kam *kam, const struct soak_options *opt,
		const char *mix, const char *limit, const char *value, bool reloads)
{
	char path[HOST_PATH_MAX + 16];
	char port[16];
	char udp[16];
	char pem[32];
	char key[32];
	char *argv[32];
	int status = -1;
	int n = 0;
	pid_t pid;

	snprintf(port, sizeof(port), "%d", kam->tls_port);
	snprintf(udp, sizeof(udp), "%d", kam->udp_port);
	snprintf(pem, sizeof(pem), "%s.pem", opt->cert);
	snprintf(key, sizeof(key), "%s.key", opt->cert);
	argv[n++] = (char *)load_path();
	argv[n++] = "--port";
	argv[n++] = port;
	argv[n++] = "--udp";
	argv[n++] = udp;
	argv[n++] = "--cert";
	argv[n++] = (char *)host_cert(pem);
	argv[n++] = "--key";
	argv[n++] = (char *)host_cert(key);
	argv[n++] = "--conns";
	argv[n++] = (char *)opt->conns;
	argv[n++] = "--procs";
	argv[n++] = (char *)opt->procs;
	argv[n++] = (char *)limit;
	argv[n++] = (char *)value;
	if(mix) {
		argv[n++] = "--mix";
		argv[n++] = (char *)mix;
	}
	if(reloads) {
		argv[n++] = "--waits";
		argv[n++] = (char *)opt->waits;
	}
	argv[n] = NULL;
	snprintf(path, sizeof(path), "%s/load", kam->dir);
	fflush(NULL);
	pid = fork();
	if(pid == 0)
		exec_load(argv, path);
	if(pid > 0 && reloads)
		soak_reload(kam, opt, pid);
	if(pid > 0)
		waitpid(pid, &status, 0);
	read_report(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool drained(struct host_kam *kam)
{
	return host_rpc_await(
				   kam, "core.tcp_info", "opened_tls_connections", 0, DRAIN_MS)
		   && host_rpc_await(
				   kam, "core.tcp_info", "opened_connections", 0, DRAIN_MS)
		   && host_rpc_await(kam, "tls.info", "clear_text_write_queued_bytes",
				   0, DRAIN_MS);
}

/* tm frees finished transactions by its timers: waits until used memory has
 * stopped falling. Returns the bytes in use. */
static long settled_memory(struct host_kam *kam)
{
	long used = host_used_memory(kam);
	long before;
	int i;

	for(i = 0; i < 30; i++) {
		before = used;
		/* the timers of tm and of the connection tables have 1-5 s steps */
		host_wait_clock(2000);
		used = host_used_memory(kam);
		if(i >= 4 && used >= before)
			break;
	}
	return used;
}

/* ---- numbers ---- */

/* A statistic of the module is a number of the load generator's report. */
static const struct
{
	const char *stat;
	const char *load; /* NULL = none, it must not grow */
} numbers[] = {{"handshakes_started_server", "handshakes"},
		{"handshakes_completed_server_tls1_2", "tls12"},
		{"handshakes_completed_server_tls1_3", "tls13"},
		{"resumptions_server", "resumed"},
		{"handshakes_started_client", "outbound"},
		{"handshakes_completed_client_tls1_2", NULL},
		{"handshakes_completed_client_tls1_3", "outbound"},
		{"handshakes_failed", NULL}, {"connections_failed", NULL},
		{"connections_silent", NULL}, {"handshakes_running", NULL},
		{"bytes_in", "bytes-out"}, {"bytes_out", "bytes-in"},
		{"records_in", "records-out"}, {"records_out", "records-in"},
		{"clear_text_bytes_in", "clear-out"},
		{"clear_text_bytes_out", "clear-in"}};

#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static void read_numbers(struct host_kam *kam, long out[static N_NUMBERS])
{
	size_t i;

	for(i = 0; i < N_NUMBERS; i++)
		out[i] = host_rpc_number(kam, "tls.stats", numbers[i].stat);
}

/* The number NAME of the report; -1 = none. */
static long reported(const char *name)
{
	size_t n = strlen(name);
	const char *at = report;

	while(at && (strncmp(at, name, n) != 0 || at[n] != ' ')) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	return at ? strtol(at + n, NULL, 10) : -1;
}

/* Everything that the load generator did since BEFORE was counted, once. */
static void compare_numbers(
		struct host_kam *kam, const long before[static N_NUMBERS])
{
	long after[N_NUMBERS];
	int differ = 0;
	size_t i;

	read_numbers(kam, after);
	for(i = 0; i < N_NUMBERS; i++) {
		long want = numbers[i].load ? reported(numbers[i].load) : 0;

		if(before[i] >= 0 && after[i] - before[i] == want)
			continue;
		differ++;
		printf("%s grew by %ld, the load generator counted %ld\n",
				numbers[i].stat, after[i] - before[i], want);
	}
	printf("%ld handshakes and %ld messages compared\n",
			reported("handshakes") + reported("outbound"),
			reported("sent") + reported("answered"));
	judge(differ == 0, "the statistics are what the load generator counted");
}

/* Load that ends well, bounded by LIMIT and VALUE, number for number. */
static void counted(struct host_kam *kam, const struct soak_options *opt,
		const char *limit, const char *value)
{
	long before[N_NUMBERS];

	read_numbers(kam, before);
	judge(run_load(kam, opt, GOOD_MIX, limit, value, false) == 0,
			"no reply lost, wrong or doubled, no connection refused");
	judge(drained(kam), "no connection is left, nothing is queued");
	compare_numbers(kam, before);
}

/* Every process gives back what it keeps for reuse: one flush for what it has,
 * and a burst that reaches all of them, each of which gives back its own at the
 * beginning. What is left is what such a burst leaves. */
static void empty_caches(struct host_kam *kam, const struct soak_options *opt)
{
	struct soak_options little = *opt;
	char answer[1024];

	little.conns = "16";
	judge(host_rpc(kam, "tls.mem flush", answer, sizeof(answer))
					&& run_load(kam, &little, "full=2,relay=1,udp=1", "--count",
							   FLUSH_COUNT, false)
							   == 0
					&& drained(kam),
			"what is kept for reuse is given back");
}

static void soak(struct host_kam *kam, const struct soak_options *opt)
{
	long before;
	long after;
	long kept[2]; /* for reuse, before and after: part of the memory in use */

	judge(run_load(kam, opt, opt->mix, "--count", WARM_COUNT, false) == 0,
			"warm-up burst");
	if(opt->reload)
		soak_reload_warm(kam);
	judge(drained(kam), "no connection is left after the warm-up");
	counted(kam, opt, "--count", COUNTED_COUNT);
	empty_caches(kam, opt);
	before = settled_memory(kam);
	kept[0] = host_rpc_number(kam, "tls.mem", "cached_bytes");
	host_procs_changed(kam);
	if(opt->counted) {
		counted(kam, opt, "--seconds", opt->seconds);
	} else {
		judge(run_load(kam, opt, opt->mix, "--seconds", opt->seconds,
					  opt->reload)
						== 0,
				"no reply lost, wrong or doubled, no connection refused");
		judge(drained(kam), "no connection is left, nothing is queued");
	}
	judge(host_procs_changed(kam) == 0 && !host_wait_end(kam, 0),
			"no worker was restarted");
	if(opt->reload)
		soak_reload_waits(opt);
	empty_caches(kam, opt);
	after = settled_memory(kam);
	kept[1] = host_rpc_number(kam, "tls.mem", "cached_bytes");
	printf("shared memory: %ld bytes before, of which %ld kept for reuse, %ld "
		   "after, of which %ld\n",
			before, kept[0], after, kept[1]);
	before -= kept[0];
	after -= kept[1];
	printf("shared memory in use: %+.1f %%\n",
			100.0 * (double)(after - before) / (double)before);
	/* the host's allocator gives blocks that are larger than asked for, so what
	 * is kept takes more than its size; a leak per connection would cost far
	 * more than this */
	judge(before > 0 && after - before < GROWTH_MAX_KB * 1024L,
			"shared memory does not grow");
	after = host_log_bad(kam);
	if(after > 0)
		printf("%s\n", host_log_line());
	judge(after == 0, "no BUG, CRITICAL, freeing or overwritten in the log");
	judge(host_stop(kam, SIGTERM), "clean stop");
}

static bool parse(int argc, char **argv, struct soak_options *opt)
{
	static const struct option longs[] = {{"seconds", 1, 0, 's'},
			{"workers", 1, 0, 'w'}, {"allocator", 1, 0, 'x'},
			{"cert", 1, 0, 'c'}, {"mix", 1, 0, 'm'}, {"conns", 1, 0, 'n'},
			{"procs", 1, 0, 'P'}, {"params", 1, 0, 'p'}, {"shm", 1, 0, 'M'},
			{"counted", 0, 0, 'C'}, {"reload", 0, 0, 'r'}, {0, 0, 0, 0}};
	int o;

	while((o = getopt_long(argc, argv, "x:", longs, NULL)) != -1) {
		switch(o) {
			case 's':
				opt->seconds = optarg;
				break;
			case 'w':
				opt->workers = atoi(optarg);
				break;
			case 'x':
				opt->allocator = optarg;
				break;
			case 'c':
				opt->cert = optarg;
				break;
			case 'm':
				opt->mix = optarg;
				break;
			case 'n':
				opt->conns = optarg;
				break;
			case 'P':
				opt->procs = optarg;
				break;
			case 'p':
				opt->params = optarg;
				break;
			case 'C':
				opt->counted = true;
				break;
			case 'r':
				opt->reload = true;
				break;
			case 'M':
				opt->shm_mb = atoi(optarg);
				break;
			default:
				return false;
		}
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	struct soak_options opt = {.seconds = "60",
			.workers = 2,
			.cert = "ecdsa",
			.conns = "32",
			.procs = "1",
			.shm_mb = 256};
	struct host_config cfg = {0};
	struct host_kam kam;
	char params[2048];

	if(!parse(argc, argv, &opt)) {
		printf("soak [--seconds N] [--workers N] [-x fm|qm|tlsf]\n"
			   "  [--cert ecdsa|rsa] [--conns N] [--procs N] [--mix ...]\n"
			   "  [--params 'modparam(...)'] [--shm MB] [--counted] "
			   "[--reload]\n"
			   "environment: KAMAILIO, KAMCMD, TLS_MODULE\n");
		return 2;
	}
	if(!host_init(TEST_BUILD_DIR))
		return 2;
	snprintf(params, sizeof(params),
			"modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n"
			"modparam(\"tls\", \"certificate\", \"@CERTS@/%s.pem\")\n"
			"modparam(\"tls\", \"private_key\", \"@CERTS@/%s.key\")\n"
			"modparam(\"tls\", \"session_cache\", 1)\n%s\n",
			opt.cert, opt.cert, opt.params ? opt.params : "");
	cfg.params = params;
	if(opt.reload)
		soak_reload_config(&opt, &cfg);
	cfg.allocator = opt.allocator;
	cfg.tcp_children = opt.workers;
	cfg.udp_children = 2;
	cfg.shm_mb = opt.shm_mb;
	if(host_start(&kam, &cfg))
		soak(&kam, &opt);
	else {
		judge(false, "start of Kamailio");
		host_log_count(&kam, "ERROR|CRITICAL");
		printf("%s\n", host_log_line());
		host_kill(&kam);
	}
	host_finish(failed > 0);
	printf("%d passed, %d failed\n", passed, failed);
	return failed ? 1 : 0;
}
