/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The engine of one connection; see tls_conn.h. */

#include "tls_conn.h"

#include <limits.h>
#include <string.h>

#include "tls_bio.h"
#include "tls_ctx.h"
#include "tls_ossl.h"
#include "tls_port.h"

#define CONN_MAGIC 0x74636e30U /* "tcn0" */

/* Clear text given to SSL_write at a time: one full record (RFC 8446 s5.1). */
#define RECORD_MAX 16384

/* Largest stash. The caller reads the socket only when nothing is pending, so
 * one of its buffers is the ordinary size; more is a defect of the caller. */
#define STASH_MAX ((size_t)1024 * 1024)

struct tls_conn
{
	unsigned int magic;
	enum tls_role role;
	enum tls_conn_state state;
	enum tls_conn_want want;
	/* process whose private key object sits in ssl */
	unsigned int key_process;
	bool unread;			/* the last read step filled the clear window */
	bool renegotiable;		/* the settings allow a second handshake */
	bool renegotiated;		/* a second handshake has begun */
	bool close_notify_sent; /* ours; the peer's is the state CLOSED */
	SSL *ssl;				/* owned */
	struct tls_bio bio;
	struct tls_ctx *ctx; /* borrowed from the profile's generation */
	struct tls_ct_wrq wrq;
	unsigned char *stash; /* owned: ciphertext that OpenSSL has not taken */
	size_t stash_pos;
	size_t stash_len;
	struct tls_info info;
};

bool tls_conn_is_valid(const struct tls_conn *conn)
{
	return conn->magic == CONN_MAGIC && conn->ssl != NULL && conn->ctx != NULL
		   && tls_bio_is_valid(&conn->bio) && conn->stash_pos <= conn->stash_len
		   && (conn->stash != NULL || conn->stash_len == 0)
		   && conn->state <= TLS_CONN_FAILED && conn->want <= TLS_CONN_WANT_APP;
}

/* ---- life ---- */

/* A handshake that starts on an established connection is a renegotiation;
 * TLS 1.3 has none and reports none. */
static void info_cb(const SSL *ssl, int where, int ret)
{
	struct tls_conn *conn = SSL_get_app_data(ssl);

	(void)ret;
	if(conn == NULL || conn->magic != CONN_MAGIC)
		return;
	if((where & SSL_CB_HANDSHAKE_START) != 0
			&& conn->state == TLS_CONN_ESTABLISHED)
		conn->renegotiated = true;
}

static enum tls_rc setup_role(struct tls_conn *conn,
		const struct tls_conn_args *args, struct tls_err *err)
{
	if(args->role == TLS_ROLE_SERVER) {
		SSL_set_accept_state(conn->ssl);
		return TLS_RC_OK;
	}
	SSL_set_connect_state(conn->ssl);
	if(args->server_name == NULL || args->server_name[0] == '\0')
		return TLS_RC_OK;
	tls_ossl_begin();
	if(SSL_set_tlsext_host_name(conn->ssl, args->server_name) != 1)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"could not ask for the server name \"%s\"", args->server_name);
	return TLS_RC_OK;
}

enum tls_rc tls_conn_new(struct tls_conn **out,
		const struct tls_conn_args *args, struct tls_err *err)
{
	struct tls_conn *conn;
	BIO *bio = NULL;
	enum tls_rc rc;

	*out = NULL;
	conn = tls_port_alloc(sizeof(*conn));
	if(conn == NULL)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	memset(conn, 0, sizeof(*conn));
	conn->magic = CONN_MAGIC;
	conn->role = args->role;
	conn->ctx = args->ctx;
	conn->key_process = tls_port_process();
	tls_ct_wrq_init(&conn->wrq);
	rc = tls_ctx_new_ssl(args->ctx, &conn->ssl, err);
	if(rc != TLS_RC_OK)
		goto out;
	rc = tls_bio_new(&conn->bio, &bio);
	if(rc != TLS_RC_OK) {
		tls_ossl_fail(err, rc, "out of shared memory");
		goto out;
	}
	SSL_set_bio(conn->ssl, bio, bio); /* takes it over */
	SSL_set_app_data(conn->ssl, conn);
	SSL_set_info_callback(conn->ssl, info_cb);
	conn->renegotiable =
			(SSL_get_options(conn->ssl) & SSL_OP_NO_RENEGOTIATION) == 0;
	rc = setup_role(conn, args, err);
	if(rc != TLS_RC_OK)
		goto out;
	*out = conn;
	conn = NULL; /* now owned by the caller */
out:
	tls_conn_free(&conn);
	return rc;
}

static void drop_stash(struct tls_conn *conn)
{
	tls_port_free(conn->stash);
	conn->stash = NULL;
	conn->stash_pos = 0;
	conn->stash_len = 0;
}

void tls_conn_free(struct tls_conn **conn)
{
	struct tls_conn *c = *conn;

	*conn = NULL;
	if(c == NULL || c->magic != CONN_MAGIC)
		return;
	if(c->ssl != NULL) {
		/* A connection that ends without close_notify is ordinary in SIP;
		 * OpenSSL would throw its session out of the cache for it. */
		if(c->state == TLS_CONN_ESTABLISHED || c->state == TLS_CONN_CLOSED)
			SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_set_app_data(c->ssl, NULL);
		tls_ossl_begin();
		SSL_free(c->ssl);
	}
	tls_ct_wrq_clear(&c->wrq);
	tls_info_clear(&c->info);
	drop_stash(c);
	c->magic = 0;
	tls_port_free(c);
}

/* ---- windows ---- */

/* Appends the input of this step to a stash that is not empty. */
static enum tls_rc grow_stash(struct tls_conn *conn, const unsigned char *in,
		size_t n, struct tls_err *err)
{
	size_t left = conn->stash_len - conn->stash_pos;
	unsigned char *grown;

	if(n > STASH_MAX - left)
		return tls_err_set(err, TLS_RC_BUG,
				"more than %zu bytes were read "
				"while others were pending",
				STASH_MAX);
	memmove(conn->stash, conn->stash + conn->stash_pos, left);
	conn->stash_pos = 0;
	conn->stash_len = left;
	grown = tls_port_realloc(conn->stash, left + n);
	if(grown == NULL)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	memcpy(grown + left, in, n);
	conn->stash = grown;
	conn->stash_len = left + n;
	return TLS_RC_OK;
}

/* Lends OpenSSL the windows of a step: pending bytes first. */
static enum tls_rc lend(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;

	if(conn->stash_len > conn->stash_pos && io->n_in > 0)
		rc = grow_stash(conn, io->in, io->n_in, err);
	if(rc != TLS_RC_OK)
		return rc;
	if(conn->stash_len > conn->stash_pos)
		tls_bio_lend(&conn->bio, conn->stash + conn->stash_pos,
				conn->stash_len - conn->stash_pos, io->out, io->out_size);
	else
		tls_bio_lend(&conn->bio, io->in, io->n_in, io->out, io->out_size);
	return TLS_RC_OK;
}

/* Takes the windows back; what OpenSSL left of the input goes to the stash. */
static enum tls_rc unlend(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	size_t used = conn->bio.rd_used;
	size_t unread = tls_bio_unread(&conn->bio);

	io->n_out = conn->bio.wr_used;
	tls_bio_unlend(&conn->bio);
	if(conn->stash_len > conn->stash_pos) {
		conn->stash_pos += used;
		if(conn->stash_pos == conn->stash_len)
			drop_stash(conn);
		return TLS_RC_OK;
	}
	if(unread == 0)
		return TLS_RC_OK;
	conn->stash = tls_port_alloc(unread);
	if(conn->stash == NULL)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	memcpy(conn->stash, io->in + used, unread);
	conn->stash_len = unread;
	return TLS_RC_OK;
}

/* ---- steps ---- */

/* A handshake that moved here from another process must go on with a key
 * object of this one (hazard 4). */
static enum tls_rc take_key(struct tls_conn *conn, struct tls_err *err)
{
	unsigned int self = tls_port_process();
	enum tls_rc rc;

	if(conn->key_process == self)
		return TLS_RC_OK;
	if(conn->state > TLS_CONN_HANDSHAKE && !conn->renegotiable)
		return TLS_RC_OK; /* no signature will be asked for any more */
	rc = tls_ctx_use_own_key(conn->ctx, conn->ssl, err);
	if(rc == TLS_RC_OK)
		conn->key_process = self;
	return rc;
}

/* Translates the outcome of one SSL call and keeps what it wants. */
static enum tls_rc outcome(struct tls_conn *conn, int ret, struct tls_err *err)
{
	enum tls_ossl_want want;
	enum tls_rc rc = tls_ossl_result(conn->ssl, ret, &want, err);

	switch(want) {
		case TLS_OSSL_WANT_NONE:
			conn->want = TLS_CONN_WANT_NONE;
			break;
		case TLS_OSSL_WANT_READ:
			conn->want = TLS_CONN_WANT_READ;
			break;
		case TLS_OSSL_WANT_WRITE:
			conn->want = TLS_CONN_WANT_WRITE;
			break;
	}
	return rc;
}

/* Says which certificate check failed, when one did: OpenSSL's own text only
 * tells that one did. */
static void add_verify_reason(struct tls_conn *conn, struct tls_err *err)
{
	long result = SSL_get_verify_result(conn->ssl);

	if(conn->state == TLS_CONN_HANDSHAKE && result != X509_V_OK)
		tls_err_prefix(err, "certificate of the peer refused (%s): ",
				X509_verify_cert_error_string(result));
}

/* Drives the first handshake. OK when it is complete, AGAIN otherwise. */
static enum tls_rc handshake(struct tls_conn *conn, struct tls_err *err)
{
	enum tls_rc rc;

	if(conn->state > TLS_CONN_HANDSHAKE)
		return TLS_RC_OK;
	conn->state = TLS_CONN_HANDSHAKE;
	tls_ossl_begin();
	rc = outcome(conn, SSL_do_handshake(conn->ssl), err);
	if(rc == TLS_RC_CLOSED)
		return tls_err_set(err, TLS_RC_PEER,
				"the peer closed the connection during the handshake");
	if(rc != TLS_RC_OK) {
		if(rc != TLS_RC_AGAIN)
			add_verify_reason(conn, err);
		return rc;
	}
	if(tls_info_fill(&conn->info, conn->ssl) != TLS_RC_OK)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	conn->state = TLS_CONN_ESTABLISHED;
	return TLS_RC_OK;
}

struct seal_arg
{
	struct tls_conn *conn;
	struct tls_err *err;
};

/* Encrypts some of N bytes. OK with *N_TAKEN > 0, or AGAIN. */
static enum tls_rc seal_cb(
		void *arg, const unsigned char *data, size_t n, size_t *n_taken)
{
	struct seal_arg *seal = arg;
	int want = n > RECORD_MAX ? RECORD_MAX : (int)n;
	int ret;
	enum tls_rc rc;

	*n_taken = 0;
	tls_ossl_begin();
	ret = SSL_write(seal->conn->ssl, data, want);
	rc = outcome(seal->conn, ret, seal->err);
	if(rc == TLS_RC_OK)
		*n_taken = (size_t)ret;
	return rc;
}

/* Encrypts what is queued, in order. OK when the queue is empty. */
static enum tls_rc flush(struct tls_conn *conn, struct tls_err *err)
{
	struct seal_arg arg = {conn, err};

	return tls_ct_wrq_flush(&conn->wrq, seal_cb, &arg);
}

/* A second handshake began: an attack on our CPU, or allowed. */
static enum tls_rc check_renegotiation(
		struct tls_conn *conn, struct tls_err *err)
{
	if(!conn->renegotiated)
		return TLS_RC_OK;
	if(!conn->renegotiable)
		return tls_err_set(err, TLS_RC_PEER,
				"the peer asked for renegotiation, which is off "
				"(renegotiation)");
	if(SSL_in_init(conn->ssl))
		return TLS_RC_OK;
	conn->renegotiated = false;
	if(tls_info_fill(&conn->info, conn->ssl) != TLS_RC_OK)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	return TLS_RC_OK;
}

/* Decrypts into what is left of the clear window. */
static enum tls_rc unseal(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	while(io->n_clear < io->clear_size) {
		size_t room = io->clear_size - io->n_clear;
		int ret;
		enum tls_rc rc;

		tls_ossl_begin();
		ret = SSL_read(conn->ssl, io->clear + io->n_clear,
				room > INT_MAX ? INT_MAX : (int)room);
		rc = outcome(conn, ret, err);
		if(rc == TLS_RC_OK)
			io->n_clear += (size_t)ret;
		if(check_renegotiation(conn, err) != TLS_RC_OK)
			return TLS_RC_PEER;
		if(rc == TLS_RC_AGAIN && conn->want == TLS_CONN_WANT_READ)
			return TLS_RC_OK;
		if(rc != TLS_RC_OK)
			return rc;
	}
	conn->unread = true;
	conn->want = TLS_CONN_WANT_APP;
	return TLS_RC_OK;
}

static enum tls_rc read_step(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	enum tls_rc rc = take_key(conn, err);

	if(rc == TLS_RC_OK)
		rc = handshake(conn, err);
	if(rc == TLS_RC_OK)
		rc = flush(conn, err);
	if(rc == TLS_RC_AGAIN && conn->want == TLS_CONN_WANT_READ
			&& conn->state == TLS_CONN_ESTABLISHED)
		rc = TLS_RC_OK; /* a queue that waits for a read: so read */
	if(rc == TLS_RC_OK)
		rc = unseal(conn, io, err);
	if(rc == TLS_RC_AGAIN && conn->want == TLS_CONN_WANT_READ)
		rc = TLS_RC_OK;
	return rc;
}

/* Brings the state in line with the result of a step. */
static enum tls_rc settle(struct tls_conn *conn, enum tls_rc rc)
{
	switch(rc) {
		case TLS_RC_OK:
		case TLS_RC_AGAIN:
		case TLS_RC_LIMIT:
			return rc;
		case TLS_RC_CLOSED:
			conn->state = TLS_CONN_CLOSED;
			break;
		case TLS_RC_NOMEM:
		case TLS_RC_CONFIG:
		case TLS_RC_PEER:
		case TLS_RC_TLS:
		case TLS_RC_IO:
		case TLS_RC_BUG:
			conn->state = TLS_CONN_FAILED;
			tls_ct_wrq_clear(&conn->wrq); /* nobody can send it any more */
			break;
	}
	conn->unread = false;
	conn->want = TLS_CONN_WANT_NONE;
	drop_stash(conn);
	return rc;
}

enum tls_rc tls_conn_read(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	enum tls_rc rc;
	enum tls_rc kept;

	io->n_out = 0;
	io->n_clear = 0;
	if(conn->state == TLS_CONN_CLOSED)
		return TLS_RC_CLOSED;
	if(conn->state == TLS_CONN_FAILED)
		return tls_err_set(err, TLS_RC_PEER, "the connection has failed");
	conn->unread = false;
	rc = lend(conn, io, err);
	if(rc != TLS_RC_OK)
		return settle(conn, rc);
	rc = read_step(conn, io, err);
	if(rc == TLS_RC_OK || rc == TLS_RC_AGAIN) {
		kept = unlend(conn, io, err);
		rc = kept == TLS_RC_OK ? rc : kept;
	} else {
		io->n_out = conn->bio.wr_used;
		tls_bio_unlend(&conn->bio);
	}
	return settle(conn, rc);
}

/* Encrypts N bytes until they are used up or the window is full. */
static enum tls_rc seal_all(struct tls_conn *conn, const unsigned char *data,
		size_t n, size_t *n_taken, struct tls_err *err)
{
	struct seal_arg arg = {conn, err};

	while(*n_taken < n) {
		size_t taken;
		enum tls_rc rc = seal_cb(&arg, data + *n_taken, n - *n_taken, &taken);

		if(rc != TLS_RC_OK)
			return rc;
		*n_taken += taken;
	}
	return TLS_RC_OK;
}

static enum tls_rc write_step(struct tls_conn *conn, const unsigned char *data,
		size_t n, size_t *n_taken, const struct tls_ct_wrq_limits *limits,
		struct tls_err *err)
{
	enum tls_rc rc = take_key(conn, err);

	if(rc == TLS_RC_OK)
		rc = handshake(conn, err);
	if(rc == TLS_RC_OK)
		rc = flush(conn, err);
	if(rc == TLS_RC_OK)
		rc = seal_all(conn, data, n, n_taken, err);
	if(rc != TLS_RC_AGAIN || conn->want != TLS_CONN_WANT_READ)
		return rc;
	if(*n_taken == n)
		return TLS_RC_OK;
	/* OpenSSL must read first: the clear text has to wait its turn. */
	rc = tls_ct_wrq_add(&conn->wrq, data + *n_taken, n - *n_taken, limits);
	if(rc == TLS_RC_OK)
		*n_taken = n;
	else
		tls_err_set(err, rc,
				rc == TLS_RC_LIMIT
						? "too much clear text waits for the handshake "
						  "(con_ct_wq_max, ct_wq_max)"
						: "out of shared memory for waiting clear text");
	/* A full queue costs this message, not the connection. */
	return rc == TLS_RC_NOMEM ? TLS_RC_LIMIT : rc;
}

enum tls_rc tls_conn_write(struct tls_conn *conn, const void *data, size_t n,
		size_t *n_taken, struct tls_conn_io *io,
		const struct tls_ct_wrq_limits *limits, struct tls_err *err)
{
	enum tls_rc rc;
	enum tls_conn_want read_want = conn->want;

	io->n_out = 0;
	io->n_clear = 0;
	*n_taken = 0;
	if(conn->state == TLS_CONN_CLOSED)
		return TLS_RC_CLOSED;
	if(conn->state == TLS_CONN_FAILED)
		return tls_err_set(err, TLS_RC_PEER, "the connection has failed");
	tls_bio_lend(&conn->bio, NULL, 0, io->out, io->out_size);
	rc = write_step(conn, data, n, n_taken, limits, err);
	io->n_out = conn->bio.wr_used;
	tls_bio_unlend(&conn->bio);
	if(conn->unread)
		conn->want = read_want; /* still true after writing */
	return settle(conn, rc);
}

void tls_conn_shutdown(struct tls_conn *conn, struct tls_conn_io *io)
{
	io->n_out = 0;
	if(conn->close_notify_sent
			|| (conn->state != TLS_CONN_ESTABLISHED
					&& conn->state != TLS_CONN_CLOSED))
		return;
	tls_bio_lend(&conn->bio, NULL, 0, io->out, io->out_size);
	tls_ossl_begin();
	(void)SSL_shutdown(conn->ssl); /* best effort: the socket closes anyway */
	ERR_clear_error();
	io->n_out = conn->bio.wr_used;
	tls_bio_unlend(&conn->bio);
	conn->close_notify_sent = true;
}

enum tls_rc tls_conn_eof(struct tls_conn *conn, struct tls_err *err)
{
	switch(conn->state) {
		case TLS_CONN_NEW:
		case TLS_CONN_CLOSED:
			return TLS_RC_CLOSED;
		case TLS_CONN_HANDSHAKE:
			return tls_err_set(err, TLS_RC_PEER,
					"the peer closed the connection during the handshake");
		case TLS_CONN_ESTABLISHED:
			return tls_err_set(err, TLS_RC_PEER,
					"the peer closed the connection without close_notify");
		case TLS_CONN_FAILED:
			break;
	}
	return tls_err_set(err, TLS_RC_PEER, "the connection has failed");
}

/* ---- questions ---- */

bool tls_conn_pending(const struct tls_conn *conn)
{
	return conn->unread;
}

enum tls_conn_state tls_conn_state(const struct tls_conn *conn)
{
	return conn->state;
}

enum tls_conn_want tls_conn_want(const struct tls_conn *conn)
{
	return conn->want;
}

enum tls_role tls_conn_role(const struct tls_conn *conn)
{
	return conn->role;
}

size_t tls_conn_queued(const struct tls_conn *conn)
{
	return tls_ct_wrq_size(&conn->wrq);
}

size_t tls_conn_stashed(const struct tls_conn *conn)
{
	return conn->stash_len - conn->stash_pos;
}

const struct tls_info *tls_conn_info(const struct tls_conn *conn)
{
	return &conn->info;
}
