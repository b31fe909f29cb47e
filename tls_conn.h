/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The engine: one TLS connection without I/O. Bytes in, bytes out, clear text
 * in, clear text out, over windows that the caller lends for one step.
 * Knows no socket, no host type, no clock and no profile lookup; state lies in
 * shared memory, so any process may run the next step. Every function here is
 * called with the connection's lock held, unless it says otherwise. */
#ifndef TLS_CONN_H
#define TLS_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_ct_wrq.h"
#include "tls_err.h"
#include "tls_info.h"
#include "tls_params.h"

struct tls_conn;
struct tls_ctx;

enum tls_conn_state
{
	TLS_CONN_NEW = 0,	  /* nothing has happened yet */
	TLS_CONN_HANDSHAKE,	  /* the first handshake is running */
	TLS_CONN_ESTABLISHED, /* application data may flow */
	TLS_CONN_CLOSED,	  /* the peer sent close_notify */
	TLS_CONN_FAILED		  /* a fatal error; only free is left */
};

/* What the connection needs before the next step makes sense. */
enum tls_conn_want
{
	TLS_CONN_WANT_NONE = 0, /* idle; will react to whatever comes */
	TLS_CONN_WANT_READ,		/* bytes of the peer */
	TLS_CONN_WANT_WRITE,	/* a fresh write window: the last one is full */
	TLS_CONN_WANT_APP		/* a fresh clear-text window: the last is full */
};

struct tls_conn_args
{
	enum tls_role role;
	struct tls_ctx *ctx; /* borrowed; must outlive the connection */
	/* Server role: the context for the name that the client asks for, as in
	 * tls_ctx.h; NULL when there is only one. BY_NAME_ARG lies in shared
	 * memory and outlives the connection; so do the contexts. */
	struct tls_ctx *(*by_name)(void *arg, const char *name);
	void *by_name_arg;
	const char *server_name; /* SNI to send (client role), NULL for none */
	/* whom the peer has to be (client role); NULL = server_name */
	const char *peer_name;
	/* when the handshake is complete, wait for tls_conn_release before any
	 * clear text flows in either direction */
	bool hold;
	/* go on without OpenSSL's record layer when the handshake is complete
	 * and the suite allows it */
	bool own_records;
	/* clear text per record, 512 to 16384; 0 = 16384 */
	size_t max_fragment;
	/* where it shall lie: tls_conn_size() bytes of shared memory, aligned to 8,
	 * which stay the caller's and outlive it; NULL = a block of its own */
	void *place;
};

/* Bytes of shared memory that a connection object takes. */
size_t tls_conn_size(void);

/* Size of a ciphertext window from which on a write step never says AGAIN when
 * it took all bytes. Smaller ones work, but their caller has to come again with
 * none. */
#define TLS_CONN_OUT_LEAST 128

/* Windows of one step. The caller sets the pointers and sizes; the step sets
 * the counters. All memory is the caller's and private to its process. */
struct tls_conn_io
{
	const unsigned char *in; /* ciphertext of the peer; NULL when n_in is 0 */
	size_t n_in;
	unsigned char *out; /* room for ciphertext to the peer */
	size_t out_size;
	size_t n_out; /* set: bytes to send, also when the step failed (alert) */
	unsigned char *clear; /* room for decrypted bytes (read step only) */
	size_t clear_size;
	size_t n_clear;		  /* set: decrypted bytes, also when the step failed */
	size_t n_records_in;  /* set: records of the peer that were looked at */
	size_t n_records_out; /* set: records that were sealed */
};

/* Makes a connection in *OUT (owned by the caller). No lock needed: nobody
 * else can see it yet. Any process. TLS_RC_OK, or what tls_ctx_new_ssl says,
 * with *OUT NULL. */
enum tls_rc tls_conn_new(struct tls_conn **out,
		const struct tls_conn_args *args, struct tls_err *err) TLS_MUST_CHECK;

/* Frees *CONN with all that it owns, wiping clear text, and sets it to NULL;
 * NULL is fine. Any process, also one that never used it. No lock needed: the
 * last user calls it. */
void tls_conn_free(struct tls_conn **conn);

/* One read step: takes all of IO->in, continues the handshake, flushes queued
 * clear text, decrypts into IO->clear.
 * TLS_RC_OK     all that could be done was done; send n_out bytes, use n_clear
 *               bytes. tls_conn_pending() tells whether another step without
 *               input would give more clear text.
 * TLS_RC_AGAIN  the write window is full: send it and call again with n_in 0
 *               (clear text of this step counts as delivered).
 * TLS_RC_CLOSED the peer sent close_notify; send and use what there is.
 * TLS_RC_PEER, TLS_RC_TLS, TLS_RC_NOMEM  the connection failed, ERR says why;
 *               send n_out bytes (the alert), then close. */
enum tls_rc tls_conn_read(struct tls_conn *conn, struct tls_conn_io *io,
		struct tls_err *err) TLS_MUST_CHECK;

/* One write step for N bytes of clear text at DATA (N may be 0: only start
 * the handshake or flush). *N_TAKEN bytes were accepted: encrypted into
 * IO->out, or queued while the handshake runs or OpenSSL wants to read first.
 * TLS_RC_OK     all bytes were accepted; send n_out bytes.
 * TLS_RC_AGAIN  the write window is full: send it and call again with the SAME
 *               remaining bytes; with none when all were taken, which happens
 *               with windows smaller than TLS_CONN_OUT_LEAST only.
 * TLS_RC_CLOSED our close_notify was sent, or the peer has closed and TLS is
 *               older than 1.3, which lets our direction go on; nothing was
 *               accepted and the state is as before.
 * TLS_RC_LIMIT  the queue limits LIMITS would be exceeded; nothing of this
 *               call was queued and the connection is unchanged.
 * TLS_RC_PEER, TLS_RC_TLS, TLS_RC_NOMEM  as for tls_conn_read. */
enum tls_rc tls_conn_write(struct tls_conn *conn, const void *data, size_t n,
		size_t *n_taken, struct tls_conn_io *io,
		const struct tls_ct_wrq_limits *limits,
		struct tls_err *err) TLS_MUST_CHECK;

/* True when the handshake is complete and tls_conn_release has to be called.
 * Until then tls_conn_pending() is true, read steps give no clear text and
 * write steps queue theirs. */
bool tls_conn_is_held(const struct tls_conn *conn);

/* Ends the wait of an established connection: with ALLOW the next step goes
 * on, else clear text that waits is wiped and the connection has FAILED, so
 * that nothing is ever sent or delivered on it. */
void tls_conn_release(struct tls_conn *conn, bool allow);

/* Writes our close_notify into IO->out, once, when the connection is able to
 * (RFC 8446 s6.1). n_out may be 0. Never fails: closing goes on anyway. */
void tls_conn_shutdown(struct tls_conn *conn, struct tls_conn_io *io);

/* What the end of the peer's stream means now. TLS_RC_CLOSED: expected, after
 * close_notify or before anything happened; TLS_RC_PEER: the stream was cut,
 * ERR says at what point (RFC 8446 s6.1: data may be missing). */
enum tls_rc tls_conn_eof(
		struct tls_conn *conn, struct tls_err *err) TLS_MUST_CHECK;

/* True when a read step without input would give clear text or make progress:
 * bytes no socket event will ever announce (hazard 12). */
bool tls_conn_pending(const struct tls_conn *conn);

enum tls_conn_state tls_conn_state(const struct tls_conn *conn);
enum tls_conn_want tls_conn_want(const struct tls_conn *conn);
enum tls_role tls_conn_role(const struct tls_conn *conn);

/* Bytes of clear text queued, and of ciphertext kept for the next step. */
size_t tls_conn_queued(const struct tls_conn *conn);
size_t tls_conn_stashed(const struct tls_conn *conn);

/* Bytes of clear text that came out of a record and wait for a window, and of
 * sealed records that wait to be sent; the latter inside OpenSSL's object are
 * not known. */
size_t tls_conn_kept(const struct tls_conn *conn);
size_t tls_conn_unsent(const struct tls_conn *conn);

/* The server name of the handshake that is running, "" when none is known,
 * into OUT (0-terminated, cut; bytes that are no host name become '?'). With
 * the lock. */
void tls_conn_server_name(
		const struct tls_conn *conn, char out[TLS_INFO_NAME_MAX + 1]);

/* Facts of the last completed handshake, borrowed until the connection is
 * freed; NULL before TLS_CONN_ESTABLISHED. May be asked without the lock. */
const struct tls_info *tls_conn_info(const struct tls_conn *conn);

/* Whom the peer has to be, while OpenSSL's object is there, else NULL; borrowed
 * until the next step. */
const char *tls_conn_peer_name(const struct tls_conn *conn);

/* Invariants, for assertions, tests and fuzzers. */
bool tls_conn_is_valid(const struct tls_conn *conn);

#endif
