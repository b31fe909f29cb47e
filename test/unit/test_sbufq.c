/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of sbufq against a flat array, with the invariant checked after each
 * step, failing allocations, and a look into each block before it is freed. */
#include <stdint.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../lib/port_stub.h"

/* The queue of this file frees through a spy that looks at what is left. */
static void spy_free(void *p);
#define tls_port_free spy_free
#include "../../sbufq.h"
#undef tls_port_free

void test_sbufq_add(void);

static unsigned long n_unwiped;

static void spy_free(void *p)
{
	struct sbufq_block *b = p;
	size_t i;

	for(i = 0; i < b->cap; i++) {
		if(b->data[i] != 0) {
			n_unwiped++;
			break;
		}
	}
	tls_port_free(p);
}

#define MODEL_MAX 20000u

/* The queue as a child would write it. */
struct model
{
	unsigned char data[MODEL_MAX];
	size_t n;
};

static uint32_t rnd_state;

/* xorshift32: the same operations on every machine. */
static uint32_t rnd(uint32_t below)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 17;
	rnd_state ^= rnd_state << 5;
	return rnd_state % below;
}

static bool same(const struct sbufq *q, const struct model *m)
{
	const struct sbufq_block *b;
	size_t at = 0;

	if(!sbufq_is_valid(q) || sbufq_size(q) != m->n
			|| sbufq_is_empty(q) != (m->n == 0))
		return false;
	for(b = q->first; b != NULL; b = b->next) {
		if(memcmp(b->data + b->start, m->data + at, b->end - b->start))
			return false;
		at += b->end - b->start;
	}
	return true;
}

static void model_drop(struct model *m, size_t n)
{
	memmove(m->data, m->data + n, m->n - n);
	m->n -= n;
}

/* What a callback of a test is to do, and what it saw. */
struct taker
{
	size_t max;		/* bytes to take at most in one call */
	size_t n_calls; /* calls that are still answered OK */
	enum tls_rc rc; /* answer of the call after them */
	size_t lie;		/* claimed above the truth */
	struct model got;
};

static enum tls_rc take_cb(
		void *arg, const unsigned char *buf, size_t n, size_t *n_taken)
{
	struct taker *t = arg;
	size_t n_here = n < t->max ? n : t->max;

	CU_ASSERT(n > 0 && *n_taken == 0);
	memcpy(t->got.data + t->got.n, buf, n_here);
	t->got.n += n_here;
	*n_taken = n_here + t->lie;
	if(t->n_calls == 0)
		return t->rc;
	t->n_calls--;
	return TLS_RC_OK;
}

static struct model model;
static struct taker taker;

static void step_add(struct sbufq *q, bool at_head)
{
	unsigned char data[1200];
	size_t n = rnd(10) ? rnd(60) : rnd(sizeof(data)), i;
	enum tls_rc rc;

	if(n > MODEL_MAX - model.n)
		return;
	for(i = 0; i < n; i++)
		data[i] = (unsigned char)rnd(256);
	port_stub_fail_at(rnd(8) == 0 ? 1 : 0);
	rc = at_head ? sbufq_prepend(q, data, n) : sbufq_add(q, data, n, rnd(300));
	CU_ASSERT_EQUAL(rc, port_stub_failed() ? TLS_RC_NOMEM : TLS_RC_OK);
	port_stub_fail_at(0);
	if(rc != TLS_RC_OK)
		return;
	if(at_head) {
		memmove(model.data + n, model.data, model.n);
		memcpy(model.data, data, n);
	} else {
		memcpy(model.data + model.n, data, n);
	}
	model.n += n;
}

static void step_drop(struct sbufq *q)
{
	size_t n = rnd(700), want = n < model.n ? n : model.n;

	CU_ASSERT_EQUAL(sbufq_drop(q, n), want);
	model_drop(&model, want);
}

static void step_pass(struct sbufq *q)
{
	size_t n_out = 99;
	enum tls_rc rc;

	taker.max = rnd(90);
	taker.n_calls = rnd(5);
	taker.rc = TLS_RC_IO;
	taker.lie = 0;
	taker.got.n = 0;
	rc = sbufq_pass(q, take_cb, &taker, &n_out);
	CU_ASSERT_EQUAL(n_out, taker.got.n);
	CU_ASSERT(n_out <= model.n);
	CU_ASSERT(!memcmp(model.data, taker.got.data, n_out));
	if(rc == TLS_RC_OK)
		CU_ASSERT_EQUAL(n_out, model.n);
	if(rc == TLS_RC_AGAIN)
		CU_ASSERT_EQUAL(taker.max, 0);
	model_drop(&model, n_out);
}

static void step_peek(struct sbufq *q)
{
	const unsigned char *p;
	size_t n = sbufq_peek(q, &p);

	CU_ASSERT_EQUAL(n == 0, model.n == 0);
	CU_ASSERT_EQUAL(p == NULL, model.n == 0);
	CU_ASSERT(n <= model.n);
	CU_ASSERT(n == 0 || !memcmp(p, model.data, n));
}

static void test_model(void)
{
	struct sbufq q;
	int i, bad = 0;

	port_stub_reset();
	rnd_state = 20240229;
	model.n = 0;
	n_unwiped = 0;
	sbufq_init(&q);
	for(i = 0; i < 60000 && bad == 0; i++) {
		if(rnd(1300) == 0) {
			sbufq_clear(&q);
			model.n = 0;
		} else if(rnd(2)) {
			step_add(&q, rnd(4) == 0);
		} else if(rnd(2)) {
			step_drop(&q);
		} else {
			step_pass(&q);
		}
		step_peek(&q);
		if(!same(&q, &model))
			bad = i + 1;
		if(model.n == 0)
			CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	}
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(n_unwiped, 0);
	sbufq_clear(&q);
	CU_ASSERT_TRUE(sbufq_is_valid(&q));
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

struct edge_row
{
	size_t have; /* bytes queued before, in blocks of 16 */
	size_t drop; /* dropped from them */
	size_t n;	 /* then added */
	bool head;	 /* at the head */
	size_t want_blocks;
	const char *reason;
};

static const struct edge_row edge_rows[] = {
		{0, 0, 0, false, 0, "nothing to nothing allocates nothing"},
		{0, 0, 0, true, 0, "nor at the head"},
		{0, 0, 1, false, 1, "first byte"},
		{0, 0, 1, true, 1, "first byte at the head"},
		{16, 0, 1, false, 2, "full block: a second one"},
		{15, 0, 1, false, 1, "last byte of the block"},
		{15, 0, 2, false, 2, "one in the block, one in the next"},
		{15, 0, 2000, false, 2, "more than a block is one bigger block"},
		{16, 16, 5, false, 1, "emptied queue starts anew"},
		{16, 4, 4, true, 1, "head goes into the room that was left"},
		{16, 4, 5, true, 2, "one byte too much for that room"},
		{16, 0, 1, true, 2, "no room before untouched bytes"},
};

static void test_edges(void)
{
	static const unsigned char data[2000];
	const struct edge_row *row;
	struct sbufq q;
	size_t i;

	for(i = 0; i < sizeof(edge_rows) / sizeof(edge_rows[0]); i++) {
		row = &edge_rows[i];
		port_stub_reset();
		sbufq_init(&q);
		CU_ASSERT_EQUAL(sbufq_add(&q, data, row->have, 16), TLS_RC_OK);
		CU_ASSERT_EQUAL(sbufq_drop(&q, row->drop), row->drop);
		CU_ASSERT_EQUAL(row->head ? sbufq_prepend(&q, data, row->n)
								  : sbufq_add(&q, data, row->n, 16),
				TLS_RC_OK);
		CU_ASSERT_TRUE(sbufq_is_valid(&q));
		CU_ASSERT_EQUAL(sbufq_size(&q), row->have - row->drop + row->n);
		CU_ASSERT_EQUAL(port_stub_live_blocks(), row->want_blocks);
		sbufq_clear(&q);
		CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	}
}

static void test_hostile(void)
{
	static const unsigned char data[100];
	struct sbufq q;
	volatile size_t huge = SIZE_MAX; /* hidden from the compiler's checks */
	size_t n_out;

	port_stub_reset();
	sbufq_init(&q);
	CU_ASSERT_EQUAL(sbufq_add(&q, NULL, 0, 16), TLS_RC_OK);
	CU_ASSERT_EQUAL(sbufq_prepend(&q, NULL, 0), TLS_RC_OK);
	CU_ASSERT_EQUAL(sbufq_drop(&q, huge), 0);
	CU_ASSERT_EQUAL(sbufq_add(&q, data, 1, huge), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(sbufq_add(&q, data, 100, 0), TLS_RC_OK);
	/* sums that would wrap around; DATA is not read */
	CU_ASSERT_EQUAL(sbufq_add(&q, data, huge, 16), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(sbufq_prepend(&q, data, huge), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(sbufq_add(&q, data, huge - 100, 16), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(sbufq_prepend(&q, data, huge - 100), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(sbufq_size(&q), 100);
	/* a callback that claims more than it was offered */
	memset(&taker, 0, sizeof(taker));
	taker.max = 100;
	taker.lie = 1;
	CU_ASSERT_EQUAL(sbufq_pass(&q, take_cb, &taker, &n_out), TLS_RC_BUG);
	CU_ASSERT_EQUAL(n_out, 0);
	CU_ASSERT_EQUAL(sbufq_size(&q), 100);
	/* one that takes nothing and is happy about it must not spin */
	taker.max = 0;
	taker.lie = 0;
	taker.n_calls = 5;
	CU_ASSERT_EQUAL(sbufq_pass(&q, take_cb, &taker, &n_out), TLS_RC_AGAIN);
	CU_ASSERT_EQUAL(taker.n_calls, 4);
	/* one that takes a part and says no: the part is gone */
	taker.max = 30;
	taker.n_calls = 0;
	taker.rc = TLS_RC_AGAIN;
	CU_ASSERT_EQUAL(sbufq_pass(&q, take_cb, &taker, &n_out), TLS_RC_AGAIN);
	CU_ASSERT_EQUAL(n_out, 30);
	CU_ASSERT_EQUAL(sbufq_size(&q), 70);
	CU_ASSERT_EQUAL(sbufq_drop(&q, huge), 70);
	CU_ASSERT_TRUE(sbufq_is_valid(&q));
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

/* The invariant itself must notice what it is for. */
static void test_is_valid(void)
{
	struct sbufq q;
	struct sbufq_block *b;

	port_stub_reset();
	CU_ASSERT_FALSE(sbufq_is_valid(NULL));
	memset(&q, 0, sizeof(q));
	CU_ASSERT_TRUE(sbufq_is_valid(&q));
	q.n = 1;
	CU_ASSERT_FALSE(sbufq_is_valid(&q));
	sbufq_init(&q);
	CU_ASSERT_EQUAL(sbufq_add(&q, "abc", 3, 4), TLS_RC_OK);
	CU_ASSERT_EQUAL(sbufq_add(&q, "defg", 4, 4), TLS_RC_OK);
	CU_ASSERT_TRUE(sbufq_is_valid(&q));
	b = q.first;
	q.last->next = b;
	CU_ASSERT_FALSE(sbufq_is_valid(&q));
	q.last->next = NULL;
	b->start = b->end;
	CU_ASSERT_FALSE(sbufq_is_valid(&q));
	b->start = 0;
	b->end = b->cap + 1;
	CU_ASSERT_FALSE(sbufq_is_valid(&q));
	b->end = b->cap;
	q.n++;
	CU_ASSERT_FALSE(sbufq_is_valid(&q));
	q.n -= 2;
	CU_ASSERT_FALSE(sbufq_is_valid(&q));
	q.n++;
	q.last = b;
	CU_ASSERT_FALSE(sbufq_is_valid(&q));
	q.last = b->next;
	CU_ASSERT_TRUE(sbufq_is_valid(&q));
	sbufq_clear(&q);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

void test_sbufq_add(void)
{
	CU_pSuite suite = CU_add_suite("sbufq", NULL, NULL);

	CU_add_test(suite, "hostile sizes and callbacks", test_hostile);
	CU_add_test(suite, "edges of blocks", test_edges);
	CU_add_test(suite, "60000 operations against a flat array", test_model);
	CU_add_test(suite, "the invariant sees damage", test_is_valid);
}
