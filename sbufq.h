/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Byte queue of shared-memory blocks: bytes go in at the tail (or back in at
 * the head) and leave at the head in the same order.
 * Knows no limit, no counter and no lock; it holds clear text of calls, so
 * what leaves memory is wiped first.
 * Called by tls_ct_wrq and the engine, in any process, with the connection's
 * write lock held; allocates, so never under a lock of tls_locking. */
#ifndef SBUFQ_H
#define SBUFQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tls_err.h"
#include "tls_port.h"

/* One block. Its bytes are data[start] to data[end - 1]; a block in a queue
 * is never empty. */
struct sbufq_block
{
	struct sbufq_block *next; /* owned by the queue; NULL in the last */
	size_t cap;				  /* bytes in data */
	size_t start;
	size_t end;
	unsigned char data[];
};

/* The queue itself, to be embedded. All zero bytes are an empty queue. */
struct sbufq
{
	struct sbufq_block *first; /* owned */
	struct sbufq_block *last;  /* borrowed from the chain of first */
	size_t n;				   /* bytes in all blocks */
};

/* Takes bytes out of a queue. BUF[0..N-1], N > 0, is borrowed for the call.
 * Sets *N_TAKEN (0 on entry, at most N) to the bytes it took, whatever it
 * returns. Anything but TLS_RC_OK ends the passing. It may add to the queue,
 * but must not drop from, prepend to or clear it. */
typedef enum tls_rc (*sbufq_take_cb)(
		void *arg, const unsigned char *buf, size_t n, size_t *n_taken);

/* Makes Q an empty queue, without looking at what it held. */
static inline void sbufq_init(struct sbufq *q)
{
	q->first = NULL;
	q->last = NULL;
	q->n = 0;
}

static inline bool sbufq_is_empty(const struct sbufq *q)
{
	return q->n == 0;
}

/* Number of bytes in Q. */
static inline size_t sbufq_size(const struct sbufq *q)
{
	return q->n;
}

/* True when Q is what the comments above promise. Walks all blocks: for
 * tests, fuzzers and debug builds. */
static inline bool sbufq_is_valid(const struct sbufq *q)
{
	const struct sbufq_block *b, *last = NULL;
	size_t n = 0;

	if(q == NULL)
		return false;
	for(b = q->first; b != NULL; b = b->next) {
		if(b->start >= b->end || b->end > b->cap)
			return false;
		if(b->end - b->start > q->n - n)
			return false; /* also ends the walk over a ring */
		n += b->end - b->start;
		last = b;
	}
	return last == q->last && n == q->n;
}

/* A block with room for CAP bytes, empty, unlinked; NULL when memory is
 * short. */
static inline struct sbufq_block *sbufq_block_new(size_t cap)
{
	struct sbufq_block *b;

	if(cap > SIZE_MAX - sizeof(*b))
		return NULL;
	b = tls_port_alloc(sizeof(*b) + cap);
	if(b == NULL)
		return NULL;
	b->next = NULL;
	b->cap = cap;
	b->start = 0;
	b->end = 0;
	return b;
}

/* Wipes all that B may ever have held, not only what is still in it. */
static inline void sbufq_block_free(struct sbufq_block *b)
{
	explicit_bzero(b->data, b->cap);
	tls_port_free(b);
}

/* Copies N bytes of DATA (may be NULL when N is 0) to the tail of Q. The
 * last block is filled up first; what is left goes into one new block of
 * BLK_SIZE bytes, or of just its size when that is more.
 * Returns TLS_RC_OK, or TLS_RC_NOMEM: nothing was added. */
static inline enum tls_rc sbufq_add(struct sbufq *q, const void *data, size_t n,
		size_t blk_size) TLS_MUST_CHECK;

static inline enum tls_rc sbufq_add(
		struct sbufq *q, const void *data, size_t n, size_t blk_size)
{
	const unsigned char *p = data;
	struct sbufq_block *b = NULL;
	size_t n_fill, n_rest;

	if(n == 0)
		return TLS_RC_OK;
	if(n > SIZE_MAX - q->n)
		return TLS_RC_NOMEM;
	n_fill = q->last != NULL ? q->last->cap - q->last->end : 0;
	if(n_fill > n)
		n_fill = n;
	n_rest = n - n_fill;

	/* the only step that can fail comes before the first change */
	if(n_rest > 0) {
		b = sbufq_block_new(n_rest > blk_size ? n_rest : blk_size);
		if(b == NULL)
			return TLS_RC_NOMEM;
	}
	if(n_fill > 0) {
		memcpy(q->last->data + q->last->end, p, n_fill);
		q->last->end += n_fill;
	}
	if(b != NULL) {
		memcpy(b->data, p + n_fill, n_rest);
		b->end = n_rest;
		if(q->last != NULL)
			q->last->next = b;
		else
			q->first = b;
		q->last = b;
	}
	q->n += n;
	return TLS_RC_OK;
}

/* Copies N bytes of DATA (may be NULL when N is 0) to the head of Q, so that
 * they leave first. Uses the room of bytes that left before, if it is enough.
 * Returns TLS_RC_OK, or TLS_RC_NOMEM: nothing was added. */
static inline enum tls_rc sbufq_prepend(
		struct sbufq *q, const void *data, size_t n) TLS_MUST_CHECK;

static inline enum tls_rc sbufq_prepend(
		struct sbufq *q, const void *data, size_t n)
{
	struct sbufq_block *b = q->first;

	if(n == 0)
		return TLS_RC_OK;
	if(n > SIZE_MAX - q->n)
		return TLS_RC_NOMEM;
	if(b == NULL || b->start < n) {
		b = sbufq_block_new(n);
		if(b == NULL)
			return TLS_RC_NOMEM;
		b->start = n;
		b->end = n;
		b->next = q->first;
		q->first = b;
		if(q->last == NULL)
			q->last = b;
	}
	b->start -= n;
	memcpy(b->data + b->start, data, n);
	q->n += n;
	return TLS_RC_OK;
}

/* Sets *BUF_OUT to the first bytes of Q, which stay there, and returns how
 * many lie in one piece: 0 and NULL when Q is empty, otherwise at least 1.
 * Borrowed from Q until the next change of it. */
static inline size_t sbufq_peek(
		const struct sbufq *q, const unsigned char **buf_out)
{
	const struct sbufq_block *b = q->first;

	*buf_out = NULL;
	if(b == NULL)
		return 0;
	*buf_out = b->data + b->start;
	return b->end - b->start;
}

/* Takes N bytes off the head of Q, or all when there are fewer. Returns how
 * many. Blocks that became empty are wiped and freed. */
static inline size_t sbufq_drop(struct sbufq *q, size_t n)
{
	struct sbufq_block *b;
	size_t n_left, n_here;

	if(n > q->n)
		n = q->n;
	for(n_left = n; n_left > 0; n_left -= n_here) {
		b = q->first;
		n_here = b->end - b->start;
		if(n_here > n_left) {
			b->start += n_left;
			break;
		}
		q->first = b->next;
		sbufq_block_free(b);
	}
	if(q->first == NULL)
		q->last = NULL;
	q->n -= n;
	return n;
}

/* Hands the bytes of Q, in order, to CB(ARG, ...) and drops what it took,
 * until Q is empty or CB has enough. *N_OUT is the number of bytes dropped,
 * on every return.
 * Returns TLS_RC_OK when Q is empty; TLS_RC_AGAIN when CB took nothing and
 * said OK; TLS_RC_BUG when CB claims more than it was offered (those bytes
 * stay in Q); otherwise what CB returned. */
static inline enum tls_rc sbufq_pass(struct sbufq *q, sbufq_take_cb cb,
		void *arg, size_t *n_out) TLS_MUST_CHECK;

static inline enum tls_rc sbufq_pass(
		struct sbufq *q, sbufq_take_cb cb, void *arg, size_t *n_out)
{
	const unsigned char *buf;
	size_t n, n_taken;
	enum tls_rc rc;

	*n_out = 0;
	while((n = sbufq_peek(q, &buf)) > 0) {
		n_taken = 0;
		rc = cb(arg, buf, n, &n_taken);
		if(n_taken > n)
			return TLS_RC_BUG;
		*n_out += sbufq_drop(q, n_taken);
		if(rc != TLS_RC_OK)
			return rc;
		if(n_taken == 0)
			return TLS_RC_AGAIN;
	}
	return TLS_RC_OK;
}

/* Empties Q: wipes and frees all blocks. */
static inline void sbufq_clear(struct sbufq *q)
{
	sbufq_drop(q, q->n);
}

#endif
