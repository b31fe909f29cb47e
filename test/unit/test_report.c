/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_report: no line too many in a window, and none forgotten. */
#include <CUnit/CUnit.h>

#include "../../tls_report.h"
#include "../lib/port_stub.h"

#define W TLS_REPORT_WINDOW_MS

void test_report_add(void);

static void test_life(void)
{
	port_stub_reset();
	CU_ASSERT_TRUE(tls_report_may(TLS_CAUSE_OTHER, 1, 0));
	CU_ASSERT_TRUE(tls_report_may(TLS_CAUSE_OTHER, 1, 0));
	CU_ASSERT_EQUAL(tls_report_left_out(TLS_CAUSE_OTHER, W), 0);
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_report_init(), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(tls_report_init(), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_report_init(), TLS_RC_BUG);
	CU_ASSERT_TRUE(tls_report_may((enum tls_cause)99, 1, 0));
	CU_ASSERT_EQUAL(tls_report_left_out((enum tls_cause)99, W), 0);
	tls_report_destroy();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static unsigned int written(
		enum tls_cause cause, unsigned int n, unsigned int max, uint64_t ms)
{
	unsigned int done = 0;

	while(n-- > 0)
		done += tls_report_may(cause, max, ms);
	return done;
}

static void test_windows(void)
{
	port_stub_reset();
	CU_ASSERT_EQUAL_FATAL(tls_report_init(), TLS_RC_OK);
	CU_ASSERT_EQUAL(written(TLS_CAUSE_GARBAGE, 1000, 0, 5 * W), 1000);
	CU_ASSERT_EQUAL(written(TLS_CAUSE_GARBAGE, 1000, 10, 5 * W), 10);
	/* another cause has lines of its own */
	CU_ASSERT_EQUAL(written(TLS_CAUSE_CIPHER, 5, 10, 5 * W + 1), 5);
	CU_ASSERT_EQUAL(tls_report_left_out(TLS_CAUSE_GARBAGE, 6 * W - 1), 0);
	CU_ASSERT_EQUAL(tls_report_left_out(TLS_CAUSE_GARBAGE, 6 * W), 990);
	CU_ASSERT_EQUAL(tls_report_left_out(TLS_CAUSE_GARBAGE, 6 * W), 0);
	CU_ASSERT_EQUAL(tls_report_left_out(TLS_CAUSE_CIPHER, 6 * W), 0);
	/* a new window has its full number */
	CU_ASSERT_EQUAL(written(TLS_CAUSE_GARBAGE, 12, 10, 6 * W), 10);
	/* a limit that is lowered holds at once */
	CU_ASSERT_EQUAL(written(TLS_CAUSE_CIPHER, 5, 1, 5 * W + 2), 0);
	CU_ASSERT_EQUAL(tls_report_left_out(TLS_CAUSE_GARBAGE, 8 * W), 2);
	tls_report_destroy();
}

void test_report_add(void)
{
	CU_pSuite suite = CU_add_suite("report", NULL, NULL);

	if(suite == NULL)
		return;
	CU_add_test(suite, "life", test_life);
	CU_add_test(suite, "windows", test_windows);
}
