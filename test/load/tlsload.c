/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The load generator's program: options, event loop, mix of work, report.
 * Knows no TLS and no SIP (load_conn.c, load_broken.c do). Exit code 0 only
 * when no reply was lost, wrong or doubled and no good connection refused.
 * One thread per process; --procs makes more of them. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 50
#define EVENTS_MAX 256
#define PROCS_MAX 32
#define SAY_MAX 20 /* lines of explanation per process */
#define SELFTEST_COUNT 300

struct load_options load_opt = {.conns = 32,
		.procs = 1,
		.window = 8,
		.reply_ms = LOAD_REPLY_MS,
		.hold_ms = 300,
		.min = TLS1_2_VERSION,
		.max = TLS1_3_VERSION,
		.weights = {4, 3, 2, 1, 2, 0, 1, 1, 2},
		.broken = -1};
struct load_counters *load_count;

static const char *const kind_names[LOAD_KINDS] = {"full", "resume", "long",
		"idle", "relay", "udp", "reset", "half", "garbage"};
static int epoll_fd = -1;
static int64_t stop_at; /* no new work from then on; 0 = by count */
static long started;
static uint32_t seed;
static const char *waits_path;
static FILE *waits; /* of --waits; each process appends to it */

int64_t load_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

int64_t load_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

void load_waited(int64_t from_us)
{
	struct load_wait wait = {from_us, load_us() - from_us};

	if(waits && fwrite(&wait, sizeof(wait), 1, waits) != 1) {
		fprintf(stderr, "tlsload: could not write the waits\n");
		_exit(1);
	}
}

uint32_t load_random(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return below ? (seed >> 8) % below : 0;
}

void load_say(const struct load_conn *c, const char *what, const char *detail)
{
	static int lines;

	if(load_opt.quiet)
		return;
	if(lines++ < SAY_MAX || load_opt.verbose)
		fprintf(stderr, "tlsload: connection %u (%s): %s %s\n", c->id,
				kind_names[c->kind], what, detail);
}

bool load_stopping(void)
{
	return stop_at && load_ms() >= stop_at;
}

bool load_watch(struct load_conn *c, bool add)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if(c->want_out)
		ev.events |= EPOLLOUT;
	return epoll_ctl(epoll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &ev)
		   == 0;
}

/* ---- the loop ---- */

static enum load_kind pick_kind(void)
{
	int sum = 0;
	int i;
	int x;

	for(i = 0; i < LOAD_KINDS; i++)
		sum += load_opt.weights[i];
	x = (int)load_random((uint32_t)sum);
	for(i = 0; i < LOAD_KINDS; i++) {
		x -= load_opt.weights[i];
		if(x < 0)
			return (enum load_kind)i;
	}
	return LOAD_FULL;
}

static bool more_work(void)
{
	if(load_opt.count && started >= load_opt.count)
		return false;
	return !load_stopping();
}

static void wait_events(void)
{
	struct epoll_event evs[EVENTS_MAX];
	struct load_conn *c;
	int n = epoll_wait(epoll_fd, evs, EVENTS_MAX, TICK_MS);
	int i;

	for(i = 0; i < n; i++) {
		c = evs[i].data.ptr;
		if(c->dead)
			continue;
		if(c->broken >= 0)
			load_broken_event(c, evs[i].events);
		else
			load_conn_event(c, evs[i].events);
	}
}

/* Runs until the work is done and every reply came or was given up. */
static void run_clients(void)
{
	int64_t give_up = 0;
	int live = 0;

	if(load_opt.seconds)
		stop_at = load_ms() + load_opt.seconds * 1000LL;
	for(;;) {
		while(live < load_opt.conns && more_work()) {
			started++;
			live++;
			load_conn_start(load_opt.only_broken ? LOAD_GARBAGE : pick_kind());
		}
		wait_events();
		live = load_conn_tick();
		if(more_work())
			continue;
		if(live == 0)
			return;
		if(!give_up)
			give_up = load_ms() + 2 * load_opt.reply_ms;
		if(load_ms() >= give_up) {
			load_conn_abort();
			return;
		}
	}
}

/* Answers requests until the parent ends. */
static void run_responder(int port_fd)
{
	int port;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	port = load_conn_listen(load_opt.port, NULL);
	if(write(port_fd, &port, sizeof(port)) != (ssize_t)sizeof(port))
		_exit(1);
	for(;;) {
		wait_events();
		load_conn_tick();
	}
}

/* ---- processes and report ---- */

static struct load_counters *new_counters(void)
{
	void *p = mmap(NULL, sizeof(struct load_counters) * PROCS_MAX,
			PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Adds everything in ALL[1..] to ALL[0]; the struct is longs only. */
static void sum_counters(struct load_counters *counters, int n)
{
	long *to = (long *)counters;
	size_t i;
	int k;

	for(k = 1; k < n; k++)
		for(i = 0; i < sizeof(*counters) / sizeof(long); i++)
			to[i] += ((long *)&counters[k])[i];
}

static bool faultless(const struct load_counters *n)
{
	return n->lost == 0 && n->wrong == 0 && n->duplicate == 0
		   && (n->refused == 0 || load_opt.allow_refused);
}

static void report(const struct load_counters *n)
{
	int i;

	printf("handshakes %ld\nresumed %ld\ntls12 %ld\ntls13 %ld\n"
		   "outbound %ld\nsent %ld\nanswered %ld\nlost %ld\nwrong %ld\n"
		   "duplicate %ld\nrefused %ld\n",
			n->handshakes, n->resumed, n->v12, n->v13, n->outbound, n->sent,
			n->answered, n->lost, n->wrong, n->duplicate, n->refused);
	printf("bytes-in %ld\nbytes-out %ld\nrecords-in %ld\nrecords-out %ld\n"
		   "clear-in %ld\nclear-out %ld\n",
			n->bytes_in, n->bytes_out, n->records_in, n->records_out,
			n->clear_in, n->clear_out);
	for(i = 0; i < LOAD_KINDS; i++)
		if(n->kinds[i])
			printf("kind-%s %ld\n", kind_names[i], n->kinds[i]);
	for(i = 0; load_broken_name(i); i++)
		if(n->broken[i])
			printf("broken-%s %ld\n", load_broken_name(i), n->broken[i]);
	printf("broken-closed-by-server %ld\n", n->broken_closed);
	fflush(stdout);
}

/* Runs the load in --procs processes, counters in COUNTERS[0]. */
static bool run_all(struct load_counters *counters)
{
	pid_t pids[PROCS_MAX];
	bool good = true;
	int status;
	int i;

	memset(counters, 0, sizeof(*counters) * PROCS_MAX);
	fflush(NULL);
	for(i = 0; i < load_opt.procs; i++) {
		pids[i] = fork();
		if(pids[i] != 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		seed = (uint32_t)getpid() * 2654435761u;
		load_count = &counters[i];
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if(waits_path && !(waits = fopen(waits_path, "a")))
			_exit(1);
		run_clients();
		_exit(waits && fclose(waits) != 0);
	}
	for(i = 0; i < load_opt.procs; i++)
		if(waitpid(pids[i], &status, 0) < 0 || status != 0) {
			fprintf(stderr, "tlsload: a process of ours died\n");
			good = false;
		}
	sum_counters(counters, load_opt.procs);
	return good;
}

/* ---- selftest ---- */

/* Starts a responder that makes the given fault. Returns its pid. */
static pid_t start_responder(char fault)
{
	pid_t pid;
	int port = 0;
	int fds[2];

	if(pipe(fds) != 0)
		return -1;
	pid = fork();
	if(pid == 0) {
		load_opt.fault = fault;
		load_opt.fault_every = fault ? 40 : 0;
		load_opt.port = 0;
		load_count = new_counters();
		run_responder(fds[1]);
	}
	close(fds[1]);
	if(read(fds[0], &port, sizeof(port)) != (ssize_t)sizeof(port))
		port = 0;
	close(fds[0]);
	load_opt.port = port;
	return port ? pid : -1;
}

/* The generator must be content with a good responder and must notice each
 * kind of fault of a bad one. */
static int selftest(struct load_counters *counters)
{
	static const struct
	{
		char fault;
		const char *reason;
	} rows[] = {{'w', "a wrong echo is noticed"},
			{'d', "a doubled reply is noticed"},
			{'l', "a missing reply is noticed"},
			{0, "a good responder is believed"}};
	int failed = 0;
	size_t i;

	load_opt.weights[LOAD_UDP] = 0;
	load_opt.weights[LOAD_IDLE] = 0;
	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pid_t pid = start_responder(rows[i].fault);
		bool good;

		load_opt.count = SELFTEST_COUNT;
		load_opt.quiet = rows[i].fault != 0;
		load_opt.reply_ms = rows[i].fault == 'l' ? 1500 : LOAD_REPLY_MS;
		good = pid > 0 && run_all(counters);
		switch(rows[i].fault) {
			case 'w':
				good = good && counters->wrong > 0;
				break;
			case 'd':
				good = good && counters->duplicate > 0;
				break;
			case 'l':
				good = good && counters->lost > 0;
				break;
			default:
				good = good && faultless(counters) && counters->resumed > 0;
				break;
		}
		printf("%s: %s\n", good ? "PASS" : "FAIL", rows[i].reason);
		failed += !good;
		if(!good || !rows[i].fault)
			report(counters);
		if(pid > 0) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
	}
	printf("%d passed, %d failed\n", (int)i - failed, failed);
	return failed ? 1 : 0;
}

/* ---- options ---- */

static void usage(void)
{
	int i;

	printf("tlsload --port N [--seconds N | --count N] [--conns N]\n"
		   "  [--procs N] [--mix kind=weight,...] [--tls 1.2|1.3|both]\n"
		   "  [--window N] [--udp PORT] [--hold MS] [--cert F --key F]\n"
		   "  [--broken KIND|all,COUNT] [--allow-refused] [--verbose]\n"
		   "  [--waits FILE]\n"
		   "tlsload --serve PORT --cert F --key F\n"
		   "tlsload --selftest --cert F --key F\nkinds:");
	for(i = 0; i < LOAD_KINDS; i++)
		printf(" %s", kind_names[i]);
	printf("\nbroken:");
	for(i = 0; load_broken_name(i); i++)
		printf(" %s", load_broken_name(i));
	printf("\n");
}

/* "full=1,long=2": kinds that are not named get weight 0. */
static bool parse_mix(char *text)
{
	char *item;
	char *value;
	int i;

	memset(load_opt.weights, 0, sizeof(load_opt.weights));
	for(item = strtok(text, ","); item; item = strtok(NULL, ",")) {
		value = strchr(item, '=');
		if(!value)
			return false;
		*value++ = '\0';
		for(i = 0; i < LOAD_KINDS && strcmp(item, kind_names[i]); i++)
			;
		if(i == LOAD_KINDS)
			return false;
		load_opt.weights[i] = atoi(value);
	}
	return true;
}

static bool parse_broken(char *text)
{
	char *count = strchr(text, ',');

	if(!count)
		return false;
	*count++ = '\0';
	load_opt.only_broken = true;
	load_opt.count = atol(count);
	if(strcmp(text, "all") == 0)
		return load_opt.count > 0;
	load_opt.broken = load_broken_find(text);
	return load_opt.broken >= 0 && load_opt.count > 0;
}

static bool parse_tls(const char *text)
{
	if(strcmp(text, "1.2") == 0)
		load_opt.max = TLS1_2_VERSION;
	else if(strcmp(text, "1.3") == 0)
		load_opt.min = TLS1_3_VERSION;
	else
		return strcmp(text, "both") == 0;
	return true;
}

struct command
{
	const char *cert;
	const char *key;
	bool selftest;
	bool serve;
};

static bool parse(int argc, char **argv, struct command *cmd)
{
	static const struct option longs[] = {{"port", 1, 0, 'p'},
			{"seconds", 1, 0, 's'}, {"count", 1, 0, 'n'}, {"conns", 1, 0, 'c'},
			{"procs", 1, 0, 'P'}, {"mix", 1, 0, 'm'}, {"tls", 1, 0, 't'},
			{"window", 1, 0, 'w'}, {"udp", 1, 0, 'u'}, {"hold", 1, 0, 'h'},
			{"broken", 1, 0, 'b'}, {"cert", 1, 0, 'C'}, {"key", 1, 0, 'K'},
			{"allow-refused", 0, 0, 'a'}, {"verbose", 0, 0, 'v'},
			{"selftest", 0, 0, 'S'}, {"serve", 1, 0, 'L'}, {"waits", 1, 0, 'W'},
			{0, 0, 0, 0}};
	bool good = true;
	int opt;

	while(good && (opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch(opt) {
			case 'p':
				load_opt.port = atoi(optarg);
				break;
			case 's':
				load_opt.seconds = atoi(optarg);
				break;
			case 'n':
				load_opt.count = atol(optarg);
				break;
			case 'c':
				load_opt.conns = atoi(optarg);
				break;
			case 'P':
				load_opt.procs = atoi(optarg);
				break;
			case 'm':
				good = parse_mix(optarg);
				break;
			case 't':
				good = parse_tls(optarg);
				break;
			case 'w':
				load_opt.window = atoi(optarg);
				break;
			case 'u':
				load_opt.udp_port = atoi(optarg);
				break;
			case 'h':
				load_opt.hold_ms = atoi(optarg);
				break;
			case 'b':
				good = parse_broken(optarg);
				break;
			case 'C':
				cmd->cert = optarg;
				break;
			case 'K':
				cmd->key = optarg;
				break;
			case 'a':
				load_opt.allow_refused = true;
				break;
			case 'v':
				load_opt.verbose = true;
				break;
			case 'W':
				waits_path = optarg;
				break;
			case 'S':
				cmd->selftest = true;
				break;
			case 'L':
				cmd->serve = true;
				load_opt.port = atoi(optarg);
				break;
			default:
				good = false;
				break;
		}
	}
	return good && optind == argc;
}

static bool sane(const struct command *cmd)
{
	int i;
	int sum = 0;

	for(i = 0; i < LOAD_KINDS; i++) {
		if(load_opt.weights[i] < 0)
			return false;
		sum += load_opt.weights[i];
	}
	if(load_opt.procs < 1 || load_opt.procs > PROCS_MAX || load_opt.conns < 1
			|| load_opt.window < 1 || load_opt.window > LOAD_WINDOW_MAX
			|| sum == 0)
		return false;
	if((load_opt.weights[LOAD_UDP] > 0) != (load_opt.udp_port > 0)
			&& !cmd->selftest && !load_opt.only_broken)
		load_opt.weights[LOAD_UDP] = load_opt.udp_port > 0 ? 1 : 0;
	if(cmd->selftest || cmd->serve)
		return true;
	/* bounded in time or in number, always */
	return load_opt.port > 0 && (load_opt.seconds > 0 || load_opt.count > 0);
}

int main(int argc, char **argv)
{
	struct command cmd = {0};
	struct load_counters *counters = new_counters();
	struct rlimit files;
	bool good;

	if(!counters || !parse(argc, argv, &cmd) || !sane(&cmd)) {
		usage();
		return 2;
	}
	if(!cmd.cert && (load_opt.weights[LOAD_RELAY] || load_opt.weights[LOAD_UDP])
			&& !load_opt.only_broken) {
		fprintf(stderr, "tlsload: relayed work needs --cert and --key\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if(!load_conn_init(cmd.cert, cmd.key)) {
		fprintf(stderr, "tlsload: could not load %s and %s\n", cmd.cert,
				cmd.key);
		return 2;
	}
	if(cmd.selftest)
		return selftest(counters);
	if(cmd.serve) {
		load_count = counters;
		run_responder(STDERR_FILENO);
	}
	good = run_all(counters);
	report(counters);
	good = good && faultless(counters);
	printf("%s\n", good ? "PASS" : "FAIL");
	return good ? 0 : 1;
}
