/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_metrics: sums that are exact over processes, classes to the
 * millisecond, and names that nobody confuses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_metrics.h"
#include "../lib/port_stub.h"

#define PROCESSES 4
#define EACH 50000

void test_metrics_add(void);

static void set_up(void)
{
	port_stub_reset();
	port_stub_set_process(0, PROCESSES);
	CU_ASSERT_EQUAL_FATAL(tls_metrics_init(), TLS_RC_OK);
}

static void tear_down(void)
{
	tls_metrics_destroy();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	port_stub_set_process(0, 1);
}

static void test_before(void)
{
	port_stub_reset();
	tls_metrics_count(TLS_METRIC_BYTES_IN);
	tls_metrics_took(3);
	CU_ASSERT_EQUAL(tls_metrics_sum(TLS_METRIC_BYTES_IN), 0);
	CU_ASSERT_EQUAL(tls_metrics_quantile_ms(500), 0);
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_metrics_init(), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(tls_metrics_sum(TLS_METRIC_BYTES_IN), 0);
	set_up();
	CU_ASSERT_EQUAL(tls_metrics_init(), TLS_RC_BUG);
	CU_ASSERT_EQUAL(tls_metrics_sum(TLS_METRIC_BYTES_IN), 0);
	tear_down();
}

/* A child counts as process INDEX; the last is one that nobody announced. */
static void child(unsigned int index)
{
	int i;

	port_stub_set_process(index, PROCESSES + 2);
	for(i = 0; i < EACH; i++) {
		tls_metrics_count(TLS_METRIC_STARTED_SERVER);
		tls_metrics_add(TLS_METRIC_BYTES_OUT, 3);
	}
	_exit(0);
}

static void test_processes(void)
{
	unsigned int i;
	int status;
	pid_t pid;

	set_up();
	for(i = 0; i < PROCESSES + 2; i++) {
		pid = fork();
		if(pid == 0)
			child(i);
		CU_ASSERT(pid > 0);
	}
	for(i = 0; i < PROCESSES + 2; i++)
		CU_ASSERT(wait(&status) > 0 && status == 0);
	CU_ASSERT_EQUAL(tls_metrics_sum(TLS_METRIC_STARTED_SERVER),
			(PROCESSES + 2) * (uint64_t)EACH);
	CU_ASSERT_EQUAL(tls_metrics_sum(TLS_METRIC_BYTES_OUT),
			(PROCESSES + 2) * (uint64_t)EACH * 3);
	CU_ASSERT_EQUAL(tls_metrics_sum(TLS_METRIC_BYTES_IN), 0);
	tear_down();
}

static const struct
{
	uint64_t ms;
	enum tls_metric want;
	const char *reason;
} times[] = {
		{UINT64_MAX, TLS_METRIC_MS_MORE, "a clock that went backwards"},
		{5001, TLS_METRIC_MS_MORE, "just above the largest bound"},
		{5000, TLS_METRIC_MS_5000, "a bound belongs to its class"},
		{101, TLS_METRIC_MS_200, "just above a bound"},
		{100, TLS_METRIC_MS_100, "a bound"},
		{0, TLS_METRIC_MS_1, "within the same millisecond"},
};

static void test_times(void)
{
	size_t i;

	for(i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		set_up();
		tls_metrics_took(times[i].ms);
		CU_ASSERT_EQUAL(tls_metrics_sum(times[i].want), 1);
		CU_ASSERT_EQUAL(
				tls_metrics_sum_of(TLS_METRIC_MS_1, TLS_METRIC_MS_MORE), 1);
		tear_down();
	}
}

static void test_quantiles(void)
{
	int i;

	set_up();
	for(i = 0; i < 98; i++)
		tls_metrics_took(4);
	tls_metrics_took(150);
	tls_metrics_took(9999);
	CU_ASSERT_EQUAL(tls_metrics_quantile_ms(500), 5);
	CU_ASSERT_EQUAL(tls_metrics_quantile_ms(980), 5);
	CU_ASSERT_EQUAL(tls_metrics_quantile_ms(981), 200);
	CU_ASSERT_EQUAL(tls_metrics_quantile_ms(990), 200);
	CU_ASSERT_EQUAL(tls_metrics_quantile_ms(991), UINT64_MAX);
	tear_down();
}

static void test_causes(void)
{
	unsigned int i;

	set_up();
	for(i = 0; i < TLS_CAUSE_COUNT; i++)
		tls_metrics_failed((enum tls_cause)i);
	tls_metrics_failed(TLS_CAUSE_COUNT);
	tls_metrics_failed((enum tls_cause)1000);
	CU_ASSERT_EQUAL(tls_metrics_sum(TLS_METRIC_FAILED_OTHER), 3);
	CU_ASSERT_EQUAL(tls_metrics_sum(TLS_METRIC_FAILED_TIMEOUT), 1);
	CU_ASSERT_EQUAL(tls_metrics_sum_of(TLS_METRIC_FAILED_OTHER,
							TLS_METRIC_FAILED_INTERNAL),
			TLS_CAUSE_COUNT + 2);
	CU_ASSERT_EQUAL(tls_metrics_sum(TLS_METRIC_MS_1), 0);
	tear_down();
}

/* Prometheus and the host take letters, digits and '_' only. */
static void test_names(void)
{
	unsigned int i;
	unsigned int k;

	for(i = 0; i < TLS_METRIC_COUNT; i++) {
		const char *name = tls_metrics_name((enum tls_metric)i);

		CU_ASSERT_EQUAL(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
				strlen(name));
		CU_ASSERT(tls_metrics_doc((enum tls_metric)i)[0] != '\0');
		for(k = 0; k < i; k++)
			CU_ASSERT_STRING_NOT_EQUAL(
					name, tls_metrics_name((enum tls_metric)k));
	}
	CU_ASSERT_STRING_EQUAL(tls_metrics_name(TLS_METRIC_COUNT), "");
	CU_ASSERT_STRING_EQUAL(tls_metrics_doc(TLS_METRIC_COUNT), "");
}

void test_metrics_add(void)
{
	CU_pSuite suite = CU_add_suite("metrics", NULL, NULL);

	if(suite == NULL)
		return;
	CU_add_test(suite, "before the rows exist", test_before);
	CU_add_test(suite, "sums over processes", test_processes);
	CU_add_test(suite, "times", test_times);
	CU_add_test(suite, "quantiles", test_quantiles);
	CU_add_test(suite, "causes", test_causes);
	CU_add_test(suite, "names", test_names);
}
