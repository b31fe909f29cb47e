/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Owns the total of all clear-text write queues and moves it together with
 * the bytes. The queueing is sbufq's, the limits come with each call, and no
 * setting is read here. Processes and locks: see tls_ct_wrq.h. */
#include "tls_ct_wrq.h"

#include <assert.h>
#include <stdatomic.h>

#include "tls_port.h"

/* An atomic that needs a hidden lock would have one in each process. */
_Static_assert(ATOMIC_LONG_LOCK_FREE == 2 && sizeof(size_t) <= sizeof(long),
		"the total must be lock-free to work across processes");

/* Bytes in all queues; in shared memory, owned by the main process. */
static _Atomic size_t *total;

enum tls_rc tls_ct_wrq_init_total(void)
{
	if(total != NULL)
		return TLS_RC_BUG;
	total = tls_port_alloc(sizeof(*total));
	if(total == NULL)
		return TLS_RC_NOMEM;
	atomic_init(total, 0);
	return TLS_RC_OK;
}

void tls_ct_wrq_destroy_total(void)
{
	tls_port_free((void *)total);
	total = NULL;
}

size_t tls_ct_wrq_total(void)
{
	return total != NULL ? atomic_load(total) : 0;
}

/* Adds N to the total unless that exceeds MAX. Compares before it adds: an
 * add that is taken back would make other processes see a total that nobody
 * queued, and refuse a send for it. */
static enum tls_rc total_reserve(size_t n, size_t max)
{
	size_t now = atomic_load(total);

	do {
		if(n > max || now > max - n)
			return TLS_RC_LIMIT;
	} while(!atomic_compare_exchange_weak(total, &now, now + n));
	return TLS_RC_OK;
}

/* Without a total (the server ends) there is nothing to give back to. */
static void total_release(size_t n)
{
	if(total != NULL)
		atomic_fetch_sub(total, n);
}

void tls_ct_wrq_init(struct tls_ct_wrq *q)
{
	sbufq_init(&q->q);
}

enum tls_rc tls_ct_wrq_add(struct tls_ct_wrq *q, const void *data, size_t n,
		const struct tls_ct_wrq_limits *limits)
{
	enum tls_rc rc;

	assert(tls_ct_wrq_is_valid(q));
	if(total == NULL)
		return TLS_RC_BUG;
	if(n == 0)
		return TLS_RC_OK; /* adds nothing, so it exceeds nothing */
	if(n > limits->con_max || sbufq_size(&q->q) > limits->con_max - n)
		return TLS_RC_LIMIT;
	rc = total_reserve(n, limits->total_max);
	if(rc != TLS_RC_OK)
		return rc;
	rc = sbufq_add(&q->q, data, n, limits->blk_size);
	if(rc != TLS_RC_OK)
		total_release(n);
	return rc;
}

enum tls_rc tls_ct_wrq_flush(
		struct tls_ct_wrq *q, tls_ct_wrq_take_cb cb, void *arg)
{
	enum tls_rc rc;
	size_t n_passed;

	assert(tls_ct_wrq_is_valid(q));
	rc = sbufq_pass(&q->q, cb, arg, &n_passed);
	total_release(n_passed);
	return rc;
}

size_t tls_ct_wrq_size(const struct tls_ct_wrq *q)
{
	return sbufq_size(&q->q);
}

void tls_ct_wrq_clear(struct tls_ct_wrq *q)
{
	size_t n = sbufq_size(&q->q);

	sbufq_clear(&q->q);
	total_release(n);
}

bool tls_ct_wrq_is_valid(const struct tls_ct_wrq *q)
{
	return q != NULL && sbufq_is_valid(&q->q);
}
