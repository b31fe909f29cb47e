/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The engine of one connection; see tls_conn.h. */

#include "tls_conn.h"

#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include "tls_bio.h"
#include "tls_ctx.h"
#include "tls_kdf.h"
#include "tls_ossl.h"
#include "tls_port.h"
#include "tls_post.h"
#include "tls_verify.h"

#define CONN_MAGIC 0x74636e30U /* "tcn0" */

/* A window smaller than this gets its record through the queue. */
#define PIECE_LEAST 64

_Static_assert(PIECE_LEAST + TLS_RECORD_OVERHEAD_MAX <= TLS_CONN_OUT_LEAST,
		"a window that goes through the queue is a small one");

/* Largest stash. The caller reads the socket only when nothing is pending, so
 * one of its buffers is the ordinary size; more is a defect of the caller. */
#define STASH_MAX ((size_t)1024 * 1024)

/* Where one direction of the wire is between records. */
struct scan
{
	uint16_t left;	/* bytes of the body still to come */
	uint8_t n_head; /* bytes of the header seen */
	uint8_t length; /* its fourth byte */
};

struct tls_conn
{
	unsigned int magic;
	enum tls_role role;
	enum tls_conn_state state;
	enum tls_conn_want want;
	/* process whose private key object sits in ssl */
	unsigned int key_process;
	bool placed;			/* in memory of the caller */
	bool unread;			/* the last read step filled the clear window */
	bool hold;				/* clear text waits for tls_conn_release */
	bool held;				/* it waits now */
	bool renegotiable;		/* the settings allow a second handshake */
	bool renegotiated;		/* a second handshake has begun */
	unsigned int messages;	/* handshake messages since the last data */
	bool close_notify_sent; /* ours; the peer's is the state CLOSED */
	/* owned; NULL once the own record layer has taken over */
	SSL *ssl;
	struct tls_bio bio;
	struct tls_ctx_choice choice; /* contexts of the profile's generation */
	struct tls_verify_state verify;
	struct tls_ct_wrq wrq;
	size_t max_fragment;
	unsigned char *stash; /* owned: ciphertext that nobody has taken yet */
	size_t stash_pos;
	size_t stash_len;
	/* input of the step that runs, in the stash or in the caller's window */
	const unsigned char *in;
	size_t n_in;
	/* owned, the first one maybe in info_room, so this struct never moves;
	 * constant while it is the newest. Read without the lock. */
	struct tls_info *_Atomic info;
	uint64_t info_room[TLS_INFO_ROOM]; /* of the first one, when it fits */
	/* owned; what the own record layer needs of a running handshake, NULL
	 * when the connection stays on OpenSSL and after the handshake */
	struct tls_record_keys *keys;
	struct tls_post post; /* in use when ssl is NULL */
	struct sbufq kept;	  /* owned: clear text that waits for a window */
	struct scan scan_in;
	struct scan scan_out;
};

bool tls_conn_is_valid(const struct tls_conn *conn)
{
	return conn->magic == CONN_MAGIC && conn->choice.ctx != NULL
		   && (conn->ssl != NULL || conn->state >= TLS_CONN_ESTABLISHED)
		   && sbufq_is_valid(&conn->kept) && tls_bio_is_valid(&conn->bio)
		   && conn->stash_pos <= conn->stash_len
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

/* The own record layer takes over after the handshake, unless there may be a
 * second one. */
static enum tls_rc setup_records(struct tls_conn *conn,
		const struct tls_conn_args *args, struct tls_err *err)
{
	conn->max_fragment =
			args->max_fragment > 0 && args->max_fragment <= TLS_RECORD_PLAIN_MAX
					? args->max_fragment
					: TLS_RECORD_PLAIN_MAX;
	if(!args->own_records || conn->renegotiable)
		return TLS_RC_OK;
	conn->keys = tls_port_alloc(sizeof(*conn->keys));
	if(conn->keys == NULL
			|| tls_record_watch(conn->ssl, conn->keys) != TLS_RC_OK)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	return TLS_RC_OK;
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

/* Who the peer has to be: RFC 5922 s7.3, the domain that was asked for, not
 * what the DNS made of it. */
static enum tls_rc setup_verify(struct tls_conn *conn,
		const struct tls_conn_args *args, struct tls_err *err)
{
	const char *name = NULL;

	if(args->role == TLS_ROLE_CLIENT)
		name = args->peer_name != NULL ? args->peer_name : args->server_name;
	return tls_verify_begin(&conn->verify, conn->ssl, args->role, name, err);
}

size_t tls_conn_size(void)
{
	return sizeof(struct tls_conn);
}

enum tls_rc tls_conn_new(struct tls_conn **out,
		const struct tls_conn_args *args, struct tls_err *err)
{
	struct tls_conn *conn;
	BIO *bio = NULL;
	enum tls_rc rc;

	*out = NULL;
	conn = args->place != NULL ? args->place : tls_port_alloc(sizeof(*conn));
	if(conn == NULL)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	memset(conn, 0, sizeof(*conn));
	conn->magic = CONN_MAGIC;
	conn->placed = args->place != NULL;
	conn->role = args->role;
	conn->hold = args->hold;
	conn->choice.ctx = args->ctx;
	conn->choice.by_name = args->by_name;
	conn->choice.arg = args->by_name_arg;
	conn->key_process = tls_port_process();
	tls_ct_wrq_init(&conn->wrq);
	sbufq_init(&conn->kept);
	sbufq_init(&conn->post.out);
	rc = tls_ctx_new_ssl(&conn->choice, &conn->ssl, err);
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
	rc = setup_records(conn, args, err);
	if(rc == TLS_RC_OK)
		rc = setup_role(conn, args, err);
	if(rc == TLS_RC_OK)
		rc = setup_verify(conn, args, err);
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

/* Gives the SSL object back. */
static void drop_ssl(struct tls_conn *conn)
{
	if(conn->ssl == NULL)
		return;
	/* A connection that ends without close_notify is ordinary in SIP; OpenSSL
	 * would throw its session out of the cache for it. */
	if(conn->state == TLS_CONN_ESTABLISHED || conn->state == TLS_CONN_CLOSED)
		SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_set_app_data(conn->ssl, NULL);
	tls_ossl_begin();
	SSL_free(conn->ssl);
	conn->ssl = NULL;
	tls_verify_clear(&conn->verify); /* only the object asked for it */
}

static void drop_keys(struct tls_conn *conn)
{
	if(conn->keys != NULL)
		tls_record_keys_clear(conn->keys);
	tls_port_free(conn->keys);
	conn->keys = NULL;
}

void tls_conn_free(struct tls_conn **conn)
{
	struct tls_conn *c = *conn;
	struct tls_info *info;

	*conn = NULL;
	if(c == NULL || c->magic != CONN_MAGIC)
		return;
	drop_ssl(c); /* before the keys, into which it reports */
	drop_keys(c);
	tls_post_clear(&c->post);
	sbufq_clear(&c->kept);
	tls_ct_wrq_clear(&c->wrq);
	info = c->info;
	tls_info_free(&info);
	tls_verify_clear(&c->verify);
	drop_stash(c);
	c->magic = 0;
	if(!c->placed)
		tls_port_free(c);
}

/* ---- counting ---- */

/* Number of records whose header ends within the N bytes at P, the next ones
 * of one direction. Whoever protects them, this is what the wire carries. */
static size_t count_records(struct scan *scan, const unsigned char *p, size_t n)
{
	size_t records = 0;

	while(n > 0) {
		size_t skip = scan->left < n ? scan->left : n;

		scan->left = (uint16_t)(scan->left - skip);
		p += skip;
		n -= skip;
		if(n == 0)
			break;
		if(++scan->n_head == TLS_RECORD_HEADER) {
			scan->left = (uint16_t)(scan->length << 8 | *p);
			scan->n_head = 0;
			records++;
		}
		scan->length = *p++;
		n--;
	}
	return records;
}

/* ---- input of a step ---- */

/* Appends the input of this step to a stash that is not empty. */
static enum tls_rc grow_stash(struct tls_conn *conn, const unsigned char *in,
		size_t n, struct tls_err *err)
{
	size_t left = conn->stash_len - conn->stash_pos;
	unsigned char *grown;

	if(n > STASH_MAX - left)
		return tls_err_set(err, TLS_RC_BUG,
				"more than %zu bytes were read while others were pending",
				STASH_MAX);
	grown = tls_port_alloc(left + n);
	if(grown == NULL)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	memcpy(grown, conn->stash + conn->stash_pos, left);
	memcpy(grown + left, in, n);
	drop_stash(conn);
	conn->stash = grown;
	conn->stash_len = left + n;
	return TLS_RC_OK;
}

/* Sets the input of a step: pending bytes first. */
static enum tls_rc begin_input(struct tls_conn *conn,
		const struct tls_conn_io *io, struct tls_err *err)
{
	enum tls_rc rc;

	if(conn->stash == NULL) {
		conn->in = io->in;
		conn->n_in = io->n_in;
		return TLS_RC_OK;
	}
	if(io->n_in > 0) {
		rc = grow_stash(conn, io->in, io->n_in, err);
		if(rc != TLS_RC_OK)
			return rc;
	}
	conn->in = conn->stash + conn->stash_pos;
	conn->n_in = conn->stash_len - conn->stash_pos;
	return TLS_RC_OK;
}

/* Keeps what the step left of its input. */
static enum tls_rc end_input(struct tls_conn *conn, struct tls_err *err)
{
	const unsigned char *in = conn->in;
	size_t n = conn->n_in;

	conn->in = NULL;
	conn->n_in = 0;
	if(conn->stash != NULL) {
		conn->stash_pos = conn->stash_len - n;
		if(n == 0)
			drop_stash(conn);
		return TLS_RC_OK;
	}
	if(n == 0)
		return TLS_RC_OK;
	conn->stash = tls_port_alloc(n);
	if(conn->stash == NULL)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	memcpy(conn->stash, in, n);
	conn->stash_len = n;
	return TLS_RC_OK;
}

/* Takes N bytes off the input. */
static void used_input(struct tls_conn *conn, size_t n)
{
	conn->in += n;
	conn->n_in -= n;
}

/* ---- OpenSSL's turn ---- */

/* Lends OpenSSL N bytes of the input and what is left of the write window. */
static void lend(struct tls_conn *conn, struct tls_conn_io *io, size_t n)
{
	tls_bio_lend(&conn->bio, conn->in, n, io->out + io->n_out,
			io->out_size - io->n_out);
}

static void take_back(struct tls_conn *conn, struct tls_conn_io *io)
{
	if(conn->keys != NULL)
		tls_record_watch_output(
				conn->keys, io->out + io->n_out, conn->bio.wr_used);
	io->n_out += conn->bio.wr_used;
	/* while the handshake is watched, one whole record was lent */
	if(conn->keys != NULL && conn->bio.rd_used > 0)
		tls_record_watch_input(conn->keys, conn->in[0]);
	if(conn->bio.rd_used > 0)
		used_input(conn, conn->bio.rd_used);
	tls_bio_unlend(&conn->bio);
}

/* A handshake that moved here from another process must go on with a key
 * object of this one (hazard 4). */
static enum tls_rc take_key(struct tls_conn *conn, struct tls_err *err)
{
	unsigned int self = tls_port_process();
	enum tls_rc rc;

	if(conn->key_process == self || conn->ssl == NULL)
		return TLS_RC_OK;
	if(conn->state > TLS_CONN_HANDSHAKE && !conn->renegotiable)
		return TLS_RC_OK; /* no signature will be asked for any more */
	rc = tls_ctx_use_own_key(conn->choice.ctx, conn->ssl, err);
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

/* Says which check of the peer's certificate failed, when one did. */
static void explain(struct tls_conn *conn, struct tls_err *err)
{
	tls_verify_explain(&conn->verify, conn->ssl, err);
	if(tls_err_cause(err) == TLS_CAUSE_CERT_OTHER)
		(void)tls_err_because(err, err->rc,
				tls_ossl_verify_cause(SSL_get_verify_result(conn->ssl)));
}

/* One call of the first handshake. OK when it is complete. */
static enum tls_rc shake_once(struct tls_conn *conn, struct tls_err *err)
{
	enum tls_rc rc;

	tls_ossl_begin();
	tls_kdf_watch(conn->keys != NULL ? &conn->keys->secrets : NULL);
	rc = outcome(conn, SSL_do_handshake(conn->ssl), err);
	tls_kdf_unwatch();
	if(rc == TLS_RC_CLOSED) {
		tls_err_set(err, TLS_RC_PEER,
				"the peer closed the connection during the handshake");
		return tls_err_because(err, TLS_RC_PEER, TLS_CAUSE_CLOSED);
	}
	if(rc != TLS_RC_OK && rc != TLS_RC_AGAIN)
		explain(conn, err);
	return rc;
}

/* Bytes of the input to lend for the handshake. When the own record layer is
 * to take over, OpenSSL gets one whole record at a time, so that nothing of
 * what follows the handshake is left inside it. What does not look like a
 * record goes to OpenSSL as it is, which knows the right alert. */
static size_t handshake_bytes(const struct tls_conn *conn)
{
	size_t n;

	if(conn->keys == NULL)
		return conn->n_in;
	n = tls_record_length(conn->in, conn->n_in);
	return n == SIZE_MAX ? conn->n_in : n;
}

/* Counts what the peer says without sending data. */
static void message_cb(int write_p, int version, int content_type,
		const void *buf, size_t n, SSL *ssl, void *arg)
{
	struct tls_conn *conn = arg;

	(void)version;
	(void)buf;
	(void)n;
	(void)ssl;
	if(!write_p && content_type == SSL3_RT_HANDSHAKE)
		conn->messages++;
}

/* The handshake is complete and all of its output has been seen: from here on
 * the connection is plain data, where settings and suite allow it. */
static enum tls_rc change_layer(struct tls_conn *conn, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;

	if(conn->keys != NULL && tls_record_suits(conn->ssl, conn->keys)
			&& !SSL_has_pending(conn->ssl)) {
		rc = tls_post_setup(
				&conn->post, conn->ssl, conn->keys, conn->role, err);
		if(rc == TLS_RC_OK)
			drop_ssl(conn);
		if(rc == TLS_RC_OK && conn->max_fragment > conn->post.record.fragment)
			conn->max_fragment = conn->post.record.fragment;
	}
	if(conn->ssl != NULL) { /* stays; it must not report into freed memory */
		tls_record_unwatch(conn->ssl);
		SSL_set_msg_callback(conn->ssl, message_cb);
		SSL_set_msg_callback_arg(conn->ssl, conn);
	}
	drop_keys(conn);
	return rc;
}

/* Publishes the facts of a handshake: a script in another process that sees
 * the pointer sees all that is behind it. */
static enum tls_rc add_info(struct tls_conn *conn)
{
	struct tls_info *info = conn->info;
	enum tls_rc rc = tls_info_add(&info, conn->ssl, conn->info_room);

	atomic_store_explicit(&conn->info, info, memory_order_release);
	return rc;
}

/* Drives the first handshake as far as input and window allow. OK when it is
 * complete. */
static enum tls_rc handshake(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	enum tls_rc rc;

	if(conn->state > TLS_CONN_HANDSHAKE)
		return TLS_RC_OK;
	conn->state = TLS_CONN_HANDSHAKE;
	do {
		lend(conn, io, handshake_bytes(conn));
		rc = shake_once(conn, err);
		take_back(conn, io);
	} while(rc == TLS_RC_AGAIN && conn->want == TLS_CONN_WANT_READ
			&& handshake_bytes(conn) > 0);
	if(rc != TLS_RC_OK)
		return rc;
	if(add_info(conn) != TLS_RC_OK)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	conn->state = TLS_CONN_ESTABLISHED;
	conn->held = conn->hold;
	return change_layer(conn, err);
}

struct seal_arg
{
	struct tls_conn *conn;
	struct tls_conn_io *io;
	struct tls_err *err;
};

/* Encrypts some of N bytes with OpenSSL. OK with *N_TAKEN > 0, or AGAIN. */
static enum tls_rc ossl_seal(struct seal_arg *seal, const unsigned char *data,
		size_t n, size_t *n_taken)
{
	int ask = n > TLS_RECORD_PLAIN_MAX ? TLS_RECORD_PLAIN_MAX : (int)n;
	int ret;
	enum tls_rc rc;

	lend(seal->conn, seal->io, 0);
	tls_ossl_begin();
	ret = SSL_write(seal->conn->ssl, data, ask);
	rc = outcome(seal->conn, ret, seal->err);
	take_back(seal->conn, seal->io);
	if(rc == TLS_RC_OK)
		*n_taken = (size_t)ret;
	return rc;
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
	if(add_info(conn) != TLS_RC_OK)
		return tls_err_set(err, TLS_RC_PEER,
				"the peer renegotiates too often, or memory is short");
	return TLS_RC_OK;
}

/* A peer that only talks about keys keeps a receiver busy (OpenSSL answers
 * each KeyUpdate and has no bound). */
static enum tls_rc check_messages(
		struct tls_conn *conn, bool data, struct tls_err *err)
{
	if(data)
		conn->messages = 0;
	if(conn->messages <= TLS_POST_MESSAGES_MAX)
		return TLS_RC_OK;
	return tls_err_set(err, TLS_RC_PEER,
			"too many handshake messages without data in between");
}

/* Decrypts with OpenSSL into what is left of the clear window. */
static enum tls_rc ossl_unseal(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	while(io->n_clear < io->clear_size) {
		size_t room = io->clear_size - io->n_clear;
		int ret;
		enum tls_rc rc;
		enum tls_rc again;

		lend(conn, io, conn->n_in);
		tls_ossl_begin();
		ret = SSL_read(conn->ssl, io->clear + io->n_clear,
				room > INT_MAX ? INT_MAX : (int)room);
		rc = outcome(conn, ret, err);
		take_back(conn, io);
		if(rc == TLS_RC_OK)
			io->n_clear += (size_t)ret;
		again = check_renegotiation(conn, err);
		if(again == TLS_RC_OK)
			again = check_messages(conn, rc == TLS_RC_OK, err);
		if(again != TLS_RC_OK)
			return again;
		if(rc != TLS_RC_OK)
			return rc;
	}
	conn->unread = true;
	conn->want = TLS_CONN_WANT_APP;
	return TLS_RC_OK;
}

/* ---- the own record layer's turn ---- */

/* Moves queued records to the write window. OK when none is left. */
static enum tls_rc drain(struct tls_conn *conn, struct tls_conn_io *io)
{
	const unsigned char *buf;
	size_t n;

	while((n = sbufq_peek(&conn->post.out, &buf)) > 0) {
		size_t room = io->out_size - io->n_out;

		if(room == 0) {
			conn->want = TLS_CONN_WANT_WRITE;
			return TLS_RC_AGAIN;
		}
		if(n > room)
			n = room;
		memcpy(io->out + io->n_out, buf, n);
		io->n_out += n;
		sbufq_drop(&conn->post.out, n);
	}
	if(conn->want == TLS_CONN_WANT_WRITE)
		conn->want = TLS_CONN_WANT_NONE;
	return TLS_RC_OK;
}

/* A key that is used up ends the connection; LIMIT is a word about queues to
 * our callers. */
static enum tls_rc final(enum tls_rc rc)
{
	return rc == TLS_RC_LIMIT ? TLS_RC_TLS : rc;
}

/* A record for a window that is too small for any: through the queue. */
static enum tls_rc seal_queued(struct seal_arg *seal, const unsigned char *data,
		size_t n, size_t *n_taken)
{
	unsigned char sealed[PIECE_LEAST + TLS_RECORD_OVERHEAD_MAX];
	size_t piece = n < PIECE_LEAST ? n : PIECE_LEAST;
	size_t n_sealed;
	struct tls_post *post = &seal->conn->post;
	enum tls_rc rc = tls_record_seal(&post->record, TLS_RECORD_APPLICATION,
			data, piece, sealed, &n_sealed, seal->err);

	if(rc != TLS_RC_OK)
		return final(rc);
	if(sbufq_add(&post->out, sealed, n_sealed, n_sealed) != TLS_RC_OK)
		return tls_err_set(seal->err, TLS_RC_NOMEM, "out of shared memory");
	*n_taken = piece;
	return TLS_RC_OK;
}

/* Encrypts some of N bytes. OK with *N_TAKEN > 0, or AGAIN. */
static enum tls_rc own_seal(struct seal_arg *seal, const unsigned char *data,
		size_t n, size_t *n_taken)
{
	struct tls_conn *conn = seal->conn;
	struct tls_conn_io *io = seal->io;
	size_t piece = n < conn->max_fragment ? n : conn->max_fragment;
	size_t room;
	size_t n_sealed;
	enum tls_rc rc;

	rc = tls_post_refresh(&conn->post, seal->err);
	if(rc == TLS_RC_OK)
		rc = drain(conn, io);
	if(rc != TLS_RC_OK)
		return rc;
	room = io->out_size - io->n_out;
	if(room < piece + TLS_RECORD_OVERHEAD_MAX) {
		if(io->n_out > 0) {
			conn->want = TLS_CONN_WANT_WRITE;
			return TLS_RC_AGAIN;
		}
		if(room < PIECE_LEAST + TLS_RECORD_OVERHEAD_MAX)
			return seal_queued(seal, data, n, n_taken);
		piece = room - TLS_RECORD_OVERHEAD_MAX;
	}
	rc = tls_record_seal(&conn->post.record, TLS_RECORD_APPLICATION, data,
			piece, io->out + io->n_out, &n_sealed, seal->err);
	if(rc != TLS_RC_OK)
		return final(rc);
	io->n_out += n_sealed;
	*n_taken = piece;
	return TLS_RC_OK;
}

/* Delivers clear text of a record that did not fit into the last window. */
static void deliver_kept(struct tls_conn *conn, struct tls_conn_io *io)
{
	const unsigned char *buf;
	size_t n;

	while((n = sbufq_peek(&conn->kept, &buf)) > 0
			&& io->n_clear < io->clear_size) {
		if(n > io->clear_size - io->n_clear)
			n = io->clear_size - io->n_clear;
		memcpy(io->clear + io->n_clear, buf, n);
		io->n_clear += n;
		sbufq_drop(&conn->kept, n);
	}
}

/* Opens the record of N bytes at the input into the clear window; what does
 * not fit is kept. */
static enum tls_rc open_record(struct tls_conn *conn, struct tls_conn_io *io,
		size_t n, struct tls_err *err)
{
	static unsigned char scratch[TLS_RECORD_WIRE_MAX]; /* of this process */
	size_t room = io->clear_size - io->n_clear;
	size_t n_clear;
	size_t fits;
	enum tls_rc rc;

	if(room >= n) {
		rc = tls_post_receive(&conn->post, conn->in, n, io->clear + io->n_clear,
				&n_clear, err);
		io->n_clear += n_clear;
		used_input(conn, n);
		return final(rc);
	}
	rc = tls_post_receive(&conn->post, conn->in, n, scratch, &n_clear, err);
	used_input(conn, n);
	fits = n_clear < room ? n_clear : room;
	memcpy(io->clear + io->n_clear, scratch, fits);
	io->n_clear += fits;
	if(rc == TLS_RC_OK && n_clear > fits
			&& sbufq_add(&conn->kept, scratch + fits, n_clear - fits,
					   n_clear - fits)
					   != TLS_RC_OK)
		rc = tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	OPENSSL_cleanse(scratch, n_clear);
	return final(rc);
}

/* Opens records until the input or a window is used up. */
static enum tls_rc own_unseal(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;

	deliver_kept(conn, io);
	while(rc == TLS_RC_OK) {
		size_t n = tls_record_length(conn->in, conn->n_in);

		if(n == 0 && sbufq_is_empty(&conn->kept)) {
			conn->want = TLS_CONN_WANT_READ;
			return TLS_RC_AGAIN;
		}
		if(io->n_clear == io->clear_size) {
			conn->unread = true;
			conn->want = TLS_CONN_WANT_APP;
			return TLS_RC_OK;
		}
		rc = n == SIZE_MAX ? tls_post_malformed(&conn->post, conn->in, err)
						   : open_record(conn, io, n, err);
		if(drain(conn, io) == TLS_RC_AGAIN && rc == TLS_RC_OK)
			rc = TLS_RC_AGAIN;
	}
	return rc;
}

/* ---- steps ---- */

static enum tls_rc seal_cb(
		void *arg, const unsigned char *data, size_t n, size_t *n_taken)
{
	struct seal_arg *seal = arg;

	*n_taken = 0;
	if(seal->conn->close_notify_sent) /* RFC 8446 s6.1: nothing follows it */
		return TLS_RC_CLOSED;
	return seal->conn->ssl != NULL ? ossl_seal(seal, data, n, n_taken)
								   : own_seal(seal, data, n, n_taken);
}

/* Encrypts what is queued, in order. OK when the queues are empty. */
static enum tls_rc flush(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	struct seal_arg arg = {conn, io, err};
	enum tls_rc rc = drain(conn, io);

	return rc == TLS_RC_OK ? tls_ct_wrq_flush(&conn->wrq, seal_cb, &arg) : rc;
}

/* True when RC only says that the peer has to send first. */
static bool waits_for_peer(const struct tls_conn *conn, enum tls_rc rc)
{
	return rc == TLS_RC_AGAIN && conn->want == TLS_CONN_WANT_READ;
}

static enum tls_rc read_step(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	enum tls_rc rc = take_key(conn, err);

	if(rc == TLS_RC_OK)
		rc = handshake(conn, io, err);
	if(rc == TLS_RC_OK && conn->held) {
		conn->unread = true; /* the release is followed by a step */
		return drain(conn, io);
	}
	if(rc == TLS_RC_OK)
		rc = flush(conn, io, err);
	if(waits_for_peer(conn, rc) && conn->state == TLS_CONN_ESTABLISHED)
		rc = TLS_RC_OK; /* a queue that waits for a read: so read */
	if(rc == TLS_RC_OK)
		rc = conn->ssl != NULL ? ossl_unseal(conn, io, err)
							   : own_unseal(conn, io, err);
	/* The read may have ended a renegotiation that the queue waited for; no
	 * later event need ever come to send it. */
	if(waits_for_peer(conn, rc) && conn->state == TLS_CONN_ESTABLISHED
			&& tls_conn_queued(conn) > 0)
		rc = flush(conn, io, err);
	return waits_for_peer(conn, rc) ? TLS_RC_OK : rc;
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
			break;
	}
	/* Nobody can read or send it any more. */
	tls_ct_wrq_clear(&conn->wrq);
	sbufq_clear(&conn->kept);
	conn->unread = false;
	conn->want = TLS_CONN_WANT_NONE;
	drop_stash(conn);
	return rc;
}

static void begin_io(struct tls_conn_io *io)
{
	io->n_out = 0;
	io->n_clear = 0;
	io->n_records_in = 0;
	io->n_records_out = 0;
}

/* A TLS 1.3 client often sends its first message together with its Finished.
 * The ticket that answers the latter then leaves with the reply to the former,
 * at the latest with the next step: one packet less for each handshake, and
 * nobody waits for a ticket. Without memory it leaves now. */
static void keep_ticket(struct tls_conn *conn, struct tls_conn_io *io)
{
	if(conn->role == TLS_ROLE_SERVER && conn->ssl == NULL
			&& conn->post.record.tls13 && io->n_clear > 0 && io->n_out > 0
			&& sbufq_is_empty(&conn->post.out)
			&& sbufq_add(&conn->post.out, io->out, io->n_out, io->n_out)
					   == TLS_RC_OK)
		io->n_out = 0;
}

enum tls_rc tls_conn_read(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	/* clear text of ours that waited is no ticket and may not wait longer */
	bool fresh = conn->info == NULL && tls_conn_queued(conn) == 0;
	enum tls_rc rc;
	enum tls_rc kept;

	begin_io(io);
	io->n_records_in = count_records(&conn->scan_in, io->in, io->n_in);
	if(conn->state == TLS_CONN_CLOSED)
		return TLS_RC_CLOSED;
	if(conn->state == TLS_CONN_FAILED)
		return tls_err_set(err, TLS_RC_PEER, "the connection has failed");
	conn->unread = false;
	rc = begin_input(conn, io, err);
	if(rc != TLS_RC_OK)
		return settle(conn, rc);
	rc = read_step(conn, io, err);
	if(fresh && rc == TLS_RC_OK)
		keep_ticket(conn, io);
	if(rc == TLS_RC_OK || rc == TLS_RC_AGAIN) {
		kept = end_input(conn, err);
		rc = kept == TLS_RC_OK ? rc : kept;
	}
	conn->in = NULL;
	conn->n_in = 0;
	io->n_records_out = count_records(&conn->scan_out, io->out, io->n_out);
	return settle(conn, rc);
}

/* Encrypts N bytes until they are used up or the window is full. */
static enum tls_rc seal_all(struct seal_arg *seal, const unsigned char *data,
		size_t n, size_t *n_taken)
{
	while(*n_taken < n) {
		size_t taken;
		enum tls_rc rc = seal_cb(seal, data + *n_taken, n - *n_taken, &taken);

		if(rc != TLS_RC_OK)
			return rc;
		*n_taken += taken;
	}
	return TLS_RC_OK;
}

/* Queues what OpenSSL does not take before it has read. */
static enum tls_rc enqueue(struct tls_conn *conn, const unsigned char *data,
		size_t n, const struct tls_ct_wrq_limits *limits, struct tls_err *err)
{
	enum tls_rc rc = tls_ct_wrq_add(&conn->wrq, data, n, limits);

	if(rc == TLS_RC_OK)
		return rc;
	/* A full queue costs this message, not the connection. */
	return tls_err_set(err, TLS_RC_LIMIT,
			rc == TLS_RC_LIMIT ? "too much clear text waits for the handshake "
								 "(con_ct_wq_max, ct_wq_max)"
							   : "out of shared memory for waiting clear text");
}

/* Clear text for a connection that waits for tls_conn_release. */
static enum tls_rc write_held(struct tls_conn *conn, const unsigned char *data,
		size_t n, size_t *n_taken, const struct tls_ct_wrq_limits *limits,
		struct tls_err *err)
{
	enum tls_rc rc = enqueue(conn, data, n, limits, err);

	if(rc == TLS_RC_OK)
		*n_taken = n;
	return rc;
}

static enum tls_rc write_step(struct tls_conn *conn, const unsigned char *data,
		size_t n, size_t *n_taken, struct tls_conn_io *io,
		const struct tls_ct_wrq_limits *limits, struct tls_err *err)
{
	struct seal_arg arg = {conn, io, err};
	enum tls_rc rc = take_key(conn, err);

	if(rc == TLS_RC_OK)
		rc = handshake(conn, io, err);
	if(rc == TLS_RC_OK && conn->held)
		return write_held(conn, data, n, n_taken, limits, err);
	if(rc == TLS_RC_OK)
		rc = flush(conn, io, err);
	if(rc == TLS_RC_OK)
		rc = seal_all(&arg, data, n, n_taken);
	if(rc == TLS_RC_OK)
		rc = drain(conn, io);
	if(!waits_for_peer(conn, rc))
		return rc;
	rc = TLS_RC_OK;
	if(*n_taken < n) {
		rc = enqueue(conn, data + *n_taken, n - *n_taken, limits, err);
		if(rc == TLS_RC_OK)
			*n_taken = n;
	}
	return rc;
}

/* True when nothing may be sent any more. RFC 8446 s6.1: close_notify ends
 * the direction of its sender only, so the answer to the last request of a
 * peer still goes out. Before TLS 1.3 it ended both (RFC 5246 s7.2.1). */
static bool is_closed_for_us(const struct tls_conn *conn)
{
	const struct tls_info *info = tls_conn_info(conn);

	return conn->close_notify_sent
		   || (conn->state == TLS_CONN_CLOSED
				   && (info == NULL || info->version != TLS1_3_VERSION));
}

enum tls_rc tls_conn_write(struct tls_conn *conn, const void *data, size_t n,
		size_t *n_taken, struct tls_conn_io *io,
		const struct tls_ct_wrq_limits *limits, struct tls_err *err)
{
	enum tls_rc rc;
	enum tls_conn_want read_want = conn->want;

	begin_io(io);
	*n_taken = 0;
	if(conn->state == TLS_CONN_FAILED)
		return tls_err_set(err, TLS_RC_PEER, "the connection has failed");
	if(is_closed_for_us(conn))
		return TLS_RC_CLOSED;
	rc = write_step(conn, data, n, n_taken, io, limits, err);
	io->n_records_out = count_records(&conn->scan_out, io->out, io->n_out);
	if(conn->unread)
		conn->want = read_want; /* still true after writing */
	return settle(conn, rc);
}

void tls_conn_shutdown(struct tls_conn *conn, struct tls_conn_io *io)
{
	begin_io(io);
	if(conn->close_notify_sent
			|| (conn->state != TLS_CONN_ESTABLISHED
					&& conn->state != TLS_CONN_CLOSED))
		return;
	conn->close_notify_sent = true;
	if(conn->ssl == NULL) {
		tls_post_close(&conn->post);
		(void)drain(conn, io); /* best effort: the socket closes anyway */
	} else {
		lend(conn, io, 0);
		tls_ossl_begin();
		(void)SSL_shutdown(conn->ssl);
		ERR_clear_error();
		take_back(conn, io);
	}
	io->n_records_out = count_records(&conn->scan_out, io->out, io->n_out);
}

enum tls_rc tls_conn_eof(struct tls_conn *conn, struct tls_err *err)
{
	switch(conn->state) {
		case TLS_CONN_NEW:
		case TLS_CONN_CLOSED:
			return TLS_RC_CLOSED;
		case TLS_CONN_HANDSHAKE:
			tls_err_set(err, TLS_RC_PEER,
					"the peer closed the connection during the handshake");
			return tls_err_because(err, TLS_RC_PEER, TLS_CAUSE_CLOSED);
		case TLS_CONN_ESTABLISHED:
			tls_err_set(err, TLS_RC_PEER,
					"the peer closed the connection without close_notify");
			return tls_err_because(err, TLS_RC_PEER, TLS_CAUSE_CLOSED);
		case TLS_CONN_FAILED:
			break;
	}
	return tls_err_set(err, TLS_RC_PEER, "the connection has failed");
}

bool tls_conn_is_held(const struct tls_conn *conn)
{
	return conn->held && conn->state == TLS_CONN_ESTABLISHED;
}

void tls_conn_release(struct tls_conn *conn, bool allow)
{
	conn->held = false;
	if(!allow)
		(void)settle(conn, TLS_RC_PEER);
}

/* ---- questions ---- */

void tls_conn_server_name(
		const struct tls_conn *conn, char out[TLS_INFO_NAME_MAX + 1])
{
	const char *name = NULL;
	size_t i;

	if(conn->info != NULL)
		name = conn->info->server_name;
	else if(conn->ssl != NULL)
		name = SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name);
	for(i = 0; name != NULL && name[i] != '\0' && i < TLS_INFO_NAME_MAX; i++) {
		bool plain = (name[i] >= 'a' && name[i] <= 'z')
					 || (name[i] >= 'A' && name[i] <= 'Z')
					 || (name[i] >= '0' && name[i] <= '9')
					 || strchr("-._:", name[i]) != NULL;

		out[i] = (char)(plain ? name[i] : '?');
	}
	out[i] = '\0';
}

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

size_t tls_conn_kept(const struct tls_conn *conn)
{
	int inside = conn->ssl != NULL ? SSL_pending(conn->ssl) : 0;

	return sbufq_size(&conn->kept) + (inside > 0 ? (size_t)inside : 0);
}

size_t tls_conn_unsent(const struct tls_conn *conn)
{
	return sbufq_size(&conn->post.out);
}

const struct tls_info *tls_conn_info(const struct tls_conn *conn)
{
	return atomic_load_explicit(&conn->info, memory_order_acquire);
}

const char *tls_conn_peer_name(const struct tls_conn *conn)
{
	return conn->verify.name;
}
