/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_ct_wrq: limits to the byte, and a total that comes back to 0
 * on every path and over several processes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_ct_wrq.h"
#include "../lib/port_stub.h"

void test_ct_wrq_add(void);

static const unsigned char bytes[4096];

static void set_up(void)
{
	port_stub_reset();
	CU_ASSERT_EQUAL_FATAL(tls_ct_wrq_init_total(), TLS_RC_OK);
}

static void tear_down(void)
{
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
	tls_ct_wrq_destroy_total();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

struct limit_row
{
	size_t con_max;
	size_t total_max;
	size_t mine;   /* queued here before */
	size_t others; /* queued elsewhere before */
	size_t n;
	enum tls_rc want;
	const char *reason;
};

static const struct limit_row limit_rows[] = {
		{100, 1000, 0, 0, SIZE_MAX, TLS_RC_LIMIT, "sum wraps around"},
		{100, 1000, 100, 0, SIZE_MAX - 99, TLS_RC_LIMIT, "wraps to 0"},
		{SIZE_MAX, 1000, 5, 0, SIZE_MAX - 4, TLS_RC_LIMIT, "total wraps"},
		{0, 1000, 0, 0, 1, TLS_RC_LIMIT, "0 queues nothing"},
		{1000, 0, 0, 0, 1, TLS_RC_LIMIT, "0 in total queues nothing"},
		{0, 0, 0, 0, 0, TLS_RC_OK, "nothing exceeds nothing"},
		{100, 1000, 0, 0, 100, TLS_RC_OK, "exactly full"},
		{100, 1000, 0, 0, 101, TLS_RC_LIMIT, "one too many"},
		{100, 1000, 60, 0, 40, TLS_RC_OK, "exactly full, second add"},
		{100, 1000, 60, 0, 41, TLS_RC_LIMIT, "one too many, second add"},
		{100, 1000, 0, 950, 50, TLS_RC_OK, "total exactly full"},
		{100, 1000, 0, 950, 51, TLS_RC_LIMIT, "total one too many"},
		{50, 1000, 60, 0, 1, TLS_RC_LIMIT, "limit lowered under the fill"},
		{100, 500, 0, 600, 1, TLS_RC_LIMIT, "total lowered under the fill"},
};

static void test_limits(void)
{
	static const struct tls_ct_wrq_limits wide = {SIZE_MAX, SIZE_MAX, 64};
	struct tls_ct_wrq_limits limits;
	struct tls_ct_wrq q, other;
	const struct limit_row *row;
	size_t i, want;

	for(i = 0; i < sizeof(limit_rows) / sizeof(limit_rows[0]); i++) {
		row = &limit_rows[i];
		set_up();
		limits.con_max = row->con_max;
		limits.total_max = row->total_max;
		limits.blk_size = 64;
		tls_ct_wrq_init(&q);
		tls_ct_wrq_init(&other);
		CU_ASSERT_EQUAL(tls_ct_wrq_add(&q, bytes, row->mine, &wide), 0);
		CU_ASSERT_EQUAL(tls_ct_wrq_add(&other, bytes, row->others, &wide), 0);
		CU_ASSERT_EQUAL(tls_ct_wrq_add(&q, bytes, row->n, &limits), row->want);
		want = row->mine + (row->want == TLS_RC_OK ? row->n : 0);
		CU_ASSERT_EQUAL(tls_ct_wrq_size(&q), want);
		CU_ASSERT_EQUAL(tls_ct_wrq_total(), want + row->others);
		tls_ct_wrq_clear(&q);
		CU_ASSERT_EQUAL(tls_ct_wrq_total(), row->others);
		tls_ct_wrq_clear(&other);
		tls_ct_wrq_clear(&other);
		tear_down();
	}
}

static const struct tls_ct_wrq_limits usual = {1000, 3000, 32};

static void test_no_memory(void)
{
	struct tls_ct_wrq q;
	unsigned long k;
	int i;

	port_stub_reset();
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_ct_wrq_init_total(), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
	for(k = 1;; k++) {
		set_up();
		tls_ct_wrq_init(&q);
		port_stub_fail_at(k);
		for(i = 0; i < 10; i++) {
			size_t n = tls_ct_wrq_size(&q);
			enum tls_rc rc = tls_ct_wrq_add(&q, bytes, 25, &usual);

			CU_ASSERT(rc == TLS_RC_OK || rc == TLS_RC_NOMEM);
			if(rc == TLS_RC_OK)
				n += 25;
			CU_ASSERT_EQUAL(tls_ct_wrq_size(&q), n);
			CU_ASSERT_EQUAL(tls_ct_wrq_total(), n);
			CU_ASSERT_TRUE(tls_ct_wrq_is_valid(&q));
		}
		i = port_stub_failed();
		tls_ct_wrq_clear(&q);
		tear_down();
		if(!i)
			break;
	}
	CU_ASSERT(k > 5);
}

/* Answers a script of results, taking at most max bytes in each call. */
struct taker
{
	size_t max;
	unsigned int n_ok;
	enum tls_rc rc;
	size_t lie;
	size_t n_got;
	unsigned char got[4096];
};

static enum tls_rc take_cb(
		void *arg, const unsigned char *buf, size_t n, size_t *n_taken)
{
	struct taker *t = arg;

	if(n > t->max)
		n = t->max;
	memcpy(t->got + t->n_got, buf, n);
	t->n_got += n;
	*n_taken = n + t->lie;
	if(t->n_ok == 0)
		return t->rc;
	t->n_ok--;
	return TLS_RC_OK;
}

struct flush_row
{
	size_t max;
	unsigned int n_ok;
	enum tls_rc rc;
	size_t lie;
	enum tls_rc want;
	size_t want_left;
	const char *reason;
};

static const struct flush_row flush_rows[] = {
		{999, 9, TLS_RC_IO, 999, TLS_RC_BUG, 100, "claims too much"},
		{0, 9, TLS_RC_IO, 0, TLS_RC_AGAIN, 100, "takes nothing, says OK"},
		{0, 0, TLS_RC_AGAIN, 0, TLS_RC_AGAIN, 100, "takes nothing, not now"},
		{7, 0, TLS_RC_TLS, 0, TLS_RC_TLS, 93, "fails after a part"},
		{7, 2, TLS_RC_AGAIN, 0, TLS_RC_AGAIN, 79, "stops in the middle"},
		{1, 100, TLS_RC_IO, 0, TLS_RC_OK, 0, "byte by byte"},
		{999, 99, TLS_RC_IO, 0, TLS_RC_OK, 0, "as it comes"},
};

static void test_flush(void)
{
	static struct taker t;
	unsigned char data[100];
	const struct flush_row *row;
	struct tls_ct_wrq q;
	size_t i;

	for(i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 3);
	for(i = 0; i < sizeof(flush_rows) / sizeof(flush_rows[0]); i++) {
		row = &flush_rows[i];
		set_up();
		tls_ct_wrq_init(&q);
		CU_ASSERT_EQUAL(tls_ct_wrq_flush(&q, take_cb, &t), TLS_RC_OK);
		CU_ASSERT_EQUAL(tls_ct_wrq_add(&q, data, 60, &usual), TLS_RC_OK);
		CU_ASSERT_EQUAL(tls_ct_wrq_add(&q, data + 60, 40, &usual), TLS_RC_OK);
		memset(&t, 0, sizeof(t));
		t.max = row->max;
		t.n_ok = row->n_ok;
		t.rc = row->rc;
		t.lie = row->lie;
		CU_ASSERT_EQUAL(tls_ct_wrq_flush(&q, take_cb, &t), row->want);
		CU_ASSERT_EQUAL(tls_ct_wrq_size(&q), row->want_left);
		CU_ASSERT_EQUAL(tls_ct_wrq_total(), row->want_left);
		CU_ASSERT_TRUE(tls_ct_wrq_is_valid(&q));
		CU_ASSERT(!memcmp(t.got, data, 100 - row->want_left));
		tls_ct_wrq_clear(&q);
		tear_down();
	}
}

static void test_order_of_life(void)
{
	struct tls_ct_wrq q;

	port_stub_reset();
	tls_ct_wrq_init(&q);
	CU_ASSERT_EQUAL(tls_ct_wrq_add(&q, "a", 1, &usual), TLS_RC_BUG);
	CU_ASSERT_EQUAL(tls_ct_wrq_size(&q), 0);
	tls_ct_wrq_destroy_total();
	CU_ASSERT_EQUAL(tls_ct_wrq_init_total(), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_ct_wrq_init_total(), TLS_RC_BUG);
	CU_ASSERT_EQUAL(tls_ct_wrq_add(&q, "a", 1, &usual), TLS_RC_OK);
	/* the host may free connections after the module is gone */
	tls_ct_wrq_destroy_total();
	tls_ct_wrq_clear(&q);
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

#define N_CHILDREN 4

/* Fills, flushes and clears a queue of its own under a total that is too
 * small for all; the sum must never exceed it. Returns the exit code. */
static int child_work(void)
{
	static const struct tls_ct_wrq_limits tight = {300, 700, 32};
	static struct taker t;
	struct tls_ct_wrq q;
	int i, bad = 0;

	tls_ct_wrq_init(&q);
	for(i = 0; i < 5000; i++) {
		if(tls_ct_wrq_add(&q, bytes, (size_t)(1 + i % 97), &tight) == TLS_RC_OK)
			bad |= tls_ct_wrq_total() < tls_ct_wrq_size(&q);
		bad |= tls_ct_wrq_total() > tight.total_max;
		if(i % 5 == 0) {
			t.n_got = 0;
			t.max = 50;
			t.n_ok = (unsigned int)i % 4;
			t.rc = TLS_RC_AGAIN;
			if(tls_ct_wrq_flush(&q, take_cb, &t) == TLS_RC_OK)
				bad |= tls_ct_wrq_size(&q) != 0;
		}
		if(i % 33 == 0)
			tls_ct_wrq_clear(&q);
	}
	tls_ct_wrq_clear(&q);
	return bad;
}

static void test_processes(void)
{
	pid_t pid[N_CHILDREN];
	int i, status;

	set_up();
	for(i = 0; i < N_CHILDREN; i++) {
		pid[i] = fork();
		CU_ASSERT_FATAL(pid[i] >= 0);
		if(pid[i] == 0)
			_exit(child_work());
	}
	for(i = 0; i < N_CHILDREN; i++) {
		CU_ASSERT_EQUAL(waitpid(pid[i], &status, 0), pid[i]);
		CU_ASSERT_EQUAL(status, 0);
	}
	tear_down();
	port_stub_reset();
}

/* One process queues, another one frees: as the host does. */
static void test_other_process(void)
{
	struct tls_ct_wrq *q;
	pid_t pid;
	int status;

	set_up();
	q = tls_port_alloc(sizeof(*q));
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	tls_ct_wrq_init(q);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if(pid == 0)
		_exit(tls_ct_wrq_add(q, bytes, 500, &usual) != TLS_RC_OK);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(tls_ct_wrq_size(q), 500);
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 500);
	tls_ct_wrq_clear(q);
	tls_port_free(q);
	tear_down();
	port_stub_reset();
}

void test_ct_wrq_add(void)
{
	CU_pSuite suite = CU_add_suite("ct_wrq", NULL, NULL);

	CU_add_test(suite, "limits to the byte", test_limits);
	CU_add_test(suite, "no memory", test_no_memory);
	CU_add_test(suite, "callbacks that take all, part, nothing", test_flush);
	CU_add_test(suite, "before the total and after it", test_order_of_life);
	CU_add_test(suite, "one total for all processes", test_processes);
	CU_add_test(suite, "queued here, freed there", test_other_process);
}
