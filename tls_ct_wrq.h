/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Clear-text write queue of one connection: what the host sent while the
 * connection could not yet encrypt, kept in order, under a limit for the
 * connection and one for all connections together.
 * Does not encrypt, does not read settings and takes no lock.
 * The queue functions run in any process with the write lock of the
 * connection held; the total is one atomic number that needs no lock. */
#ifndef TLS_CT_WRQ_H
#define TLS_CT_WRQ_H

#include <stdbool.h>
#include <stddef.h>

#include "sbufq.h"
#include "tls_err.h"

/* One queue, to be embedded in the connection. */
struct tls_ct_wrq
{
	struct sbufq q;
};

/* Limits as they are set at the moment of an add, in bytes. 0 for either max
 * means that nothing may be queued. */
struct tls_ct_wrq_limits
{
	size_t con_max;	  /* in this queue */
	size_t total_max; /* in all queues of the server */
	size_t blk_size;  /* smallest block of shared memory to ask for */
};

/* Takes bytes from a queue, see sbufq_take_cb: sets *N_TAKEN (0 on entry, at
 * most N) whatever it returns, and must not touch the queue. */
typedef enum tls_rc (*tls_ct_wrq_take_cb)(
		void *arg, const unsigned char *buf, size_t n, size_t *n_taken);

/* Allocates the total of all queues, 0. To be called once, in the main
 * process before fork. Returns TLS_RC_OK; TLS_RC_NOMEM; TLS_RC_BUG when it
 * exists already. */
enum tls_rc tls_ct_wrq_init_total(void) TLS_MUST_CHECK;

/* Frees the total; to be called by the main process when it ends. Queues
 * that still live may be cleared afterwards, but not added to. */
void tls_ct_wrq_destroy_total(void);

/* Bytes in all queues of all processes at this moment; 0 without a total. */
size_t tls_ct_wrq_total(void);

/* Makes Q an empty queue, without looking at what it held. */
void tls_ct_wrq_init(struct tls_ct_wrq *q);

/* Queues a copy of the N bytes of DATA (may be NULL when N is 0).
 * Returns TLS_RC_OK; TLS_RC_LIMIT when either limit would be exceeded (the
 * caller refuses the send); TLS_RC_NOMEM; TLS_RC_BUG without a total. On all
 * but OK nothing was queued and no total changed. */
enum tls_rc tls_ct_wrq_add(struct tls_ct_wrq *q, const void *data, size_t n,
		const struct tls_ct_wrq_limits *limits) TLS_MUST_CHECK;

/* Hands the bytes of Q in order to CB(ARG, ...), in pieces, until Q is empty
 * or CB returns something else than TLS_RC_OK. What CB took has left Q and
 * the total on every return.
 * Returns TLS_RC_OK when Q is empty; TLS_RC_AGAIN when CB said OK but took
 * nothing; TLS_RC_BUG when CB claims more than it was offered; otherwise
 * what CB returned. */
enum tls_rc tls_ct_wrq_flush(
		struct tls_ct_wrq *q, tls_ct_wrq_take_cb cb, void *arg) TLS_MUST_CHECK;

/* Bytes in Q. */
size_t tls_ct_wrq_size(const struct tls_ct_wrq *q);

/* Wipes and frees all that Q holds and takes it off the total. Q is empty
 * afterwards and may be used again. */
void tls_ct_wrq_clear(struct tls_ct_wrq *q);

/* True when Q keeps its invariants: for tests and debug builds. */
bool tls_ct_wrq_is_valid(const struct tls_ct_wrq *q);

#endif
