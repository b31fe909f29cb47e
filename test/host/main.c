/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Runs the host tests: all suites, or those named as arguments, of which
 * HOST_TEST in the environment leaves the one test of that name.
 * Knows no test; prints one line "N passed, N failed" at the end and exits
 * with 0 only when nothing failed. One process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "hostlib.h"
#include "hostsuite.h"

#ifndef TEST_BUILD_DIR
#define TEST_BUILD_DIR "."
#endif

static const struct suite *const suites[] = {&suite_self, &suite_load,
		&suite_traffic, &suite_profiles, &suite_client, &suite_wish, &suite_wss,
		&suite_safety, &suite_rpc, &suite_guard, &suite_alloc, &suite_peers,
		&suite_stock, &suite_keys, &suite_script, &suite_event, &suite_ocsp,
		&suite_reuse, &suite_zoo, &suite_resume, &suite_others, &suite_ops,
		&suite_lines};

#define N_SUITES (sizeof(suites) / sizeof(suites[0]))

int suite_number(const char *name, int def)
{
	const char *value = getenv(name);

	return value && atoi(value) > 0 ? atoi(value) : def;
}

bool suite_started(struct host_kam *kam, const struct host_config *cfg)
{
	if(host_start(kam, cfg))
		return true;
	host_log_count(kam, "ERROR|CRITICAL");
	fprintf(stderr, "  no start: %s: %s\n", kam->log, host_log_line());
	HOLDS(false, "Kamailio starts");
	host_kill(kam);
	return false;
}

void suite_append(char *out, size_t room, const char *format, ...)
{
	size_t n = strlen(out);
	va_list args;

	va_start(args, format);
	vsnprintf(out + n, room - n, format, args);
	va_end(args);
}

/* In the child: becomes tlsload. */
static void exec_tlsload(int port, const char *args, bool quiet)
{
	static char words[512];
	char number[16];
	char *argv[40];
	char *word;
	int n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if(quiet && (!freopen("/dev/null", "w", stderr)))
		_exit(127);
	if(!freopen("/dev/null", "w", stdout))
		_exit(127);
	snprintf(number, sizeof(number), "%d", port);
	snprintf(words, sizeof(words), "%s", args);
	argv[n++] = TEST_BUILD_DIR "/load/tlsload";
	argv[n++] = "--port";
	argv[n++] = number;
	argv[n++] = "--cert";
	argv[n++] = (char *)host_cert("ecdsa.pem");
	argv[n++] = "--key";
	argv[n++] = (char *)host_cert("ecdsa.key");
	for(word = strtok(words, " "); word && n < 39; word = strtok(NULL, " "))
		argv[n++] = word;
	argv[n] = NULL;
	execv(argv[0], argv);
	_exit(127);
}

int suite_tlsload(int port, const char *args, int wait)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if(pid == 0)
		exec_tlsload(port, args, !wait);
	if(!wait || pid < 0)
		return pid;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool wanted(const struct suite *s, int argc, char **argv)
{
	bool named = argc == 1;
	int i;

	for(i = 1; i < argc && !named; i++)
		named = strcmp(argv[i], s->name) == 0;
	return named && (s != &suite_stock || suite_stock_possible());
}

static bool chosen(const struct suite_test *t)
{
	const char *one = getenv("HOST_TEST");

	return one == NULL || strcmp(one, t->name) == 0;
}

/* The number of its tests goes to ADDED. */
static bool add_suite(const struct suite *s, unsigned int *added)
{
	CU_pSuite suite = CU_add_suite(s->name, s->init, s->clean);
	const struct suite_test *t;

	for(t = s->tests; suite && t->name; t++) {
		if(!chosen(t))
			continue;
		if(!CU_add_test(suite, t->name, t->run))
			return false;
		++*added;
	}
	return suite != NULL;
}

/* Tests of a suite whose fixture did not start count as failed, not as
 * skipped. */
static unsigned int not_run(unsigned int added)
{
	return added - CU_get_number_of_tests_run();
}

int main(int argc, char **argv)
{
	unsigned int added = 0;
	unsigned int failed;
	size_t i;
	int k;

	signal(SIGPIPE, SIG_IGN);
	for(k = 1; k < argc; k++) {
		for(i = 0; i < N_SUITES && strcmp(argv[k], suites[i]->name); i++)
			;
		if(i == N_SUITES) {
			fprintf(stderr, "no suite \"%s\"\n", argv[k]);
			return 2;
		}
	}
	if(!host_init(TEST_BUILD_DIR) || CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	for(i = 0; i < N_SUITES; i++) {
		if(!wanted(suites[i], argc, argv))
			continue;
		if(!add_suite(suites[i], &added))
			return 2;
	}
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_set_error_action(CUEA_IGNORE);
	CU_basic_run_tests();
	/* number of failures per test, not per assertion */
	failed = CU_get_number_of_tests_failed() + not_run(added);
	failed += CU_get_number_of_suites_failed() && failed == 0;
	failed += added == 0;
	CU_cleanup_registry();
	host_finish(failed > 0);
	printf("%u passed, %u failed\n", added > failed ? added - failed : 0,
			failed);
	return failed ? 1 : 0;
}
