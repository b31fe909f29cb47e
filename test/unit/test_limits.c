/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_limits: floods of one source and of all, the list of
 * connections that owe a handshake, counts of profiles over generations. */
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_limits.h"
#include "../../tls_locking.h"
#include "../lib/port_stub.h"

#define START 0x3ffff8000ULL /* the units wrap around some seconds later */
#define LISTED 1200

void test_limits_add(void);

static void set_up(void)
{
	port_stub_reset();
	CU_ASSERT_EQUAL_FATAL(tls_locking_init(), TLS_RC_OK);
	CU_ASSERT_EQUAL_FATAL(tls_limits_init(12345), TLS_RC_OK);
}

static void tear_down(void)
{
	CU_ASSERT_EQUAL(tls_limits_in_flight(), 0);
	tls_limits_destroy();
	tls_locking_destroy();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void source_of(struct tls_addr *out, uint32_t n)
{
	unsigned char ip[4] = {10, (unsigned char)(n >> 16),
			(unsigned char)(n >> 8), (unsigned char)n};

	tls_addr_set(out, ip, sizeof(ip), (unsigned short)(1000 + n % 50000));
}

/* Tries N times at MS; returns how many may begin, and lets them end. */
static unsigned int tries(uint32_t who, unsigned int n,
		const struct tls_limits_rates *rates, uint64_t ms)
{
	struct tls_addr source;
	unsigned int good = 0;

	source_of(&source, who);
	while(n-- > 0) {
		if(tls_limits_enter(&source, rates, ms) != TLS_LIMITS_PASS)
			continue;
		tls_limits_leave();
		good++;
	}
	return good;
}

static struct tls_limits_usage *usage_of(const char *key)
{
	struct tls_limits_usage *usage;

	CU_ASSERT_EQUAL(tls_limits_usage_get(key, &usage), TLS_RC_OK);
	return usage;
}

static void test_life(void)
{
	static const struct tls_limits_rates tight = {1, 1, 1};
	struct tls_addr source;
	int id;

	source_of(&source, 1);
	port_stub_reset();
	CU_ASSERT_EQUAL(tls_limits_enter(&source, &tight, 0), TLS_LIMITS_PASS);
	CU_ASSERT_EQUAL(tls_limits_watch(1, 0), TLS_RC_OK);
	CU_ASSERT_FALSE(tls_limits_due(1000, 0, &id));
	CU_ASSERT_PTR_NULL(usage_of("x"));
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_limits_init(1), TLS_RC_NOMEM);
	set_up();
	CU_ASSERT_EQUAL(tls_limits_init(1), TLS_RC_BUG);
	tear_down();
}

static const struct
{
	unsigned int rate;
	unsigned int at_once; /* of 1000000 tries */
	unsigned int later;	  /* after 500 ms */
	const char *reason;
} rate_rows[] = {
		{1, 1, 0, "one in a second"},
		{2, 2, 1, "half of the second has passed"},
		{100, 100, 50, "a usual rate"},
		{1000, 1000, 500, "one in a millisecond"},
		{TLS_LIMITS_RATE_MAX, 64000, 32000, "the resolution of the clock"},
		{UINT32_MAX, 64000, 32000, "more than can be told"},
};

static void test_rates(void)
{
	struct tls_limits_rates rates = {0};
	size_t i;
	int by_source;

	for(by_source = 0; by_source < 2; by_source++)
		for(i = 0; i < sizeof(rate_rows) / sizeof(rate_rows[0]); i++) {
			set_up();
			rates.per_source = by_source ? rate_rows[i].rate : 0;
			rates.total = by_source ? 0 : rate_rows[i].rate;
			CU_ASSERT_EQUAL(
					tries(1, 100000, &rates, START), rate_rows[i].at_once);
			CU_ASSERT_EQUAL(
					tries(1, 100000, &rates, START + 500), rate_rows[i].later);
			/* long after, also when the units have wrapped around */
			CU_ASSERT_EQUAL(tries(1, 100000, &rates, START + 70000000),
					rate_rows[i].at_once);
			tear_down();
		}
}

/* One source that floods leaves the others alone, and gets no more when it
 * changes its port. */
static void test_sources(void)
{
	static const struct tls_limits_rates rates = {.per_source = 10};
	unsigned char six[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 7};
	struct tls_addr source;
	unsigned int good = 0;
	uint32_t who;
	unsigned int i;

	set_up();
	CU_ASSERT_EQUAL(tries(7, 5000, &rates, START), 10);
	for(who = 100; who < 3100; who++)
		good += tries(who, 10, &rates, START);
	CU_ASSERT_EQUAL(good, 30000);
	CU_ASSERT_EQUAL(tries(7, 1, &rates, START), 0);
	good = 0;
	for(i = 0; i < 100; i++) {
		/* hosts of one IPv6 network are one source (RFC 4291 s2.5.4) */
		six[15] = (unsigned char)i;
		tls_addr_set(&source, six, sizeof(six), (unsigned short)i);
		if(tls_limits_enter(&source, &rates, START) != TLS_LIMITS_PASS)
			continue;
		tls_limits_leave();
		good++;
	}
	CU_ASSERT_EQUAL(good, 10);
	tear_down();
}

static void test_in_flight(void)
{
	static const struct tls_limits_rates rates = {.in_flight = 3};
	static const struct tls_limits_rates both = {.in_flight = 3, .total = 4};
	struct tls_addr source;
	int i;

	set_up();
	source_of(&source, 1);
	for(i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(tls_limits_enter(&source, &rates, START),
				i < 3 ? TLS_LIMITS_PASS : TLS_LIMITS_IN_FLIGHT);
	CU_ASSERT_EQUAL(tls_limits_in_flight(), 3);
	tls_limits_leave();
	CU_ASSERT_EQUAL(tls_limits_enter(&source, &rates, START), TLS_LIMITS_PASS);
	for(i = 0; i < 3; i++)
		tls_limits_leave();
	for(i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(
				tls_limits_enter(&source, &both, START), TLS_LIMITS_PASS);
		tls_limits_leave();
	}
	CU_ASSERT_EQUAL(tls_limits_enter(&source, &both, START), TLS_LIMITS_TOTAL);
	CU_ASSERT_EQUAL(tls_limits_in_flight(), 0);
	tear_down();
}

static void enter_in_child(void)
{
	static const struct tls_limits_rates rates = {.in_flight = 100};
	struct tls_addr source;
	int i;

	source_of(&source, 1);
	for(i = 0; i < 20000; i++)
		if(tls_limits_enter(&source, &rates, START) == TLS_LIMITS_PASS)
			tls_limits_leave();
	_exit(0);
}

static void test_processes(void)
{
	int status;
	int i;

	set_up();
	for(i = 0; i < 3; i++)
		if(fork() == 0)
			enter_in_child();
	for(i = 0; i < 3; i++)
		CU_ASSERT(wait(&status) > 0 && status == 0);
	tear_down();
}

static void test_list(void)
{
	int id = -1;
	int i;

	set_up();
	CU_ASSERT_FALSE(tls_limits_due(START, 0, &id));
	for(i = 0; i < LISTED; i++)
		CU_ASSERT_EQUAL(
				tls_limits_watch(i, UINT32_MAX + (uint64_t)i), TLS_RC_OK);
	CU_ASSERT_FALSE(tls_limits_due(UINT32_MAX + 4999ULL, 5000, &id));
	for(i = 0; i < LISTED; i++) {
		CU_ASSERT_FALSE(
				tls_limits_due(UINT32_MAX + (uint64_t)i + 4999, 5000, &id));
		CU_ASSERT_TRUE(
				tls_limits_due(UINT32_MAX + (uint64_t)i + 5000, 5000, &id));
		CU_ASSERT_EQUAL(id, i);
	}
	CU_ASSERT_FALSE(tls_limits_due(UINT32_MAX + 100000ULL, 5000, &id));
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_limits_watch(1, START), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(tls_limits_watch(2, START), TLS_RC_OK);
	CU_ASSERT_TRUE(tls_limits_due(START, 0, &id));
	CU_ASSERT_EQUAL(id, 2);
	/* noted by another process while the timer was on its way */
	CU_ASSERT_EQUAL(tls_limits_watch(4, START + 1), TLS_RC_OK);
	CU_ASSERT_FALSE(tls_limits_due(START, 5000, &id));
	CU_ASSERT_TRUE(tls_limits_due(START + 5001, 5000, &id));
	CU_ASSERT_EQUAL(tls_limits_watch(3, START), TLS_RC_OK);
	tear_down(); /* frees what is still listed */
}

static void test_usage(void)
{
	struct tls_limits_usage *old;
	struct tls_limits_usage *fresh;
	struct tls_limits_usage *other;

	set_up();
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_limits_usage_get("a", &old), TLS_RC_NOMEM);
	CU_ASSERT_PTR_NULL(old);
	CU_ASSERT_TRUE(tls_limits_usage_add(NULL, 1));
	tls_limits_usage_sub(NULL);
	CU_ASSERT_EQUAL(tls_limits_usage_now(NULL), 0);
	old = usage_of("a");
	other = usage_of("b");
	CU_ASSERT_PTR_NOT_EQUAL(old, other);
	CU_ASSERT_TRUE(tls_limits_usage_add(old, 2));
	CU_ASSERT_TRUE(tls_limits_usage_add(old, 2));
	CU_ASSERT_FALSE(tls_limits_usage_add(old, 2));
	CU_ASSERT_TRUE(tls_limits_usage_add(other, 1));
	/* a reload: the same profile, with more room */
	fresh = usage_of("a");
	CU_ASSERT_PTR_EQUAL(fresh, old);
	CU_ASSERT_TRUE(tls_limits_usage_add(fresh, 3));
	CU_ASSERT_FALSE(tls_limits_usage_add(fresh, 3));
	CU_ASSERT_TRUE(tls_limits_usage_add(fresh, 0));
	CU_ASSERT_EQUAL(tls_limits_usage_now(fresh), 4);
	tls_limits_usage_sub(fresh);
	tls_limits_usage_put(&old);
	CU_ASSERT_PTR_NULL(old);
	CU_ASSERT_EQUAL(tls_limits_usage_now(fresh), 3);
	tls_limits_usage_put(&fresh);
	tls_limits_usage_put(&fresh);
	/* the last one has gone: a profile of that name starts anew */
	fresh = usage_of("a");
	CU_ASSERT_EQUAL(tls_limits_usage_now(fresh), 0);
	tls_limits_usage_put(&fresh);
	tls_limits_usage_put(&other);
	tear_down();
}

void test_limits_add(void)
{
	CU_pSuite suite = CU_add_suite("limits", NULL, NULL);

	if(suite == NULL)
		return;
	CU_add_test(suite, "life", test_life);
	CU_add_test(suite, "rates", test_rates);
	CU_add_test(suite, "sources", test_sources);
	CU_add_test(suite, "in flight", test_in_flight);
	CU_add_test(suite, "processes", test_processes);
	CU_add_test(suite, "list", test_list);
	CU_add_test(suite, "usage", test_usage);
}
