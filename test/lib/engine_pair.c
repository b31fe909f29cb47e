/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Joins two ends in memory; see engine_pair.h. Windows are allocated with
 * their exact size for each step, so that a sanitizer sees every overrun. */
#include "engine_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tls_mem.h"
#include "../../tls_record.h"
#include "../../tls_start.h"
#include "pki.h"
#include "port_stub.h"

/* A pair that needs more steps than this does not end by itself. */
#define STEPS_MAX 4000000UL

static void die(const char *what) __attribute__((noreturn));

static void die(const char *what)
{
	fprintf(stderr, "engine_pair: %s\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

bool engine_own_records;

void engine_init(void)
{
	static bool ready;
	struct tls_err err;

	if(ready)
		return;
	if(tls_start_library(&err) != TLS_RC_OK)
		die(err.text);
	pki_init();
	ready = true;
}

size_t engine_live_blocks(void)
{
	tls_record_forget();
	tls_ossl_thread_stop();
	tls_mem_flush();
	return port_stub_live_blocks();
}

void engine_fail_at(unsigned long k)
{
	tls_mem_flush();
	port_stub_fail_run(k, 2);
}

/* ---- profiles ---- */

static char *path_of(const char *name, const char *suffix)
{
	char file[64];

	snprintf(file, sizeof(file), "%s%s", name, suffix);
	/* the members are not const, but nobody writes to them */
	return (char *)(uintptr_t)pki_path(file);
}

void engine_profile_init(
		struct engine_profile *profile, enum tls_role role, const char *name)
{
	static char session_id[] = "unit";

	memset(profile, 0, sizeof(*profile));
	profile->role = role;
	profile->label = role == TLS_ROLE_SERVER ? "server:unit" : "client:unit";
	tls_params_profile_init(&profile->params);
	profile->settings.session_id = session_id;
	profile->settings.disable_compression = 1;
	profile->settings.ssl_release_buffers = 1;
	profile->settings.ssl_max_send_fragment = -1;
	if(name == NULL)
		return;
	profile->params.certificate = path_of(name, ".pem");
	profile->params.private_key = path_of(name, ".key");
}

void engine_profile_version(
		struct engine_profile *profile, enum tls_version version)
{
	profile->params.method.min = version;
	profile->params.method.max = version;
}

enum tls_rc engine_ctx(struct tls_ctx **out,
		const struct engine_profile *profile, struct tls_err *err)
{
	struct tls_ctx_args args = {profile->role, &profile->params,
			&profile->settings, profile->label};

	return tls_ctx_new(out, &args, err);
}

/* ---- bytes ---- */

void engine_bytes_add(struct engine_bytes *bytes, const void *p, size_t n)
{
	if(n == 0)
		return;
	if(n > bytes->size - bytes->n) {
		bytes->size = (bytes->n + n) * 2;
		bytes->p = realloc(bytes->p, bytes->size);
		if(bytes->p == NULL)
			die("no memory");
	}
	memcpy(bytes->p + bytes->n, p, n);
	bytes->n += n;
}

void engine_bytes_drop(struct engine_bytes *bytes, size_t n)
{
	bytes->n -= n;
	if(bytes->n > 0)
		memmove(bytes->p, bytes->p + n, bytes->n);
}

void engine_bytes_clear(struct engine_bytes *bytes)
{
	free(bytes->p);
	memset(bytes, 0, sizeof(*bytes));
}

/* ---- making ends ---- */

void engine_pair_init(struct engine_pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	pair->raw_alert[0] = pair->raw_alert[1] = -1;
	pair->out_size = 65536;
	pair->clear_size = 16384;
	pair->chop = (size_t)1 << 30;
	pair->processes = 1;
	pair->own_records = engine_own_records;
}

enum tls_rc engine_pair_engine(struct engine_pair *pair, int end,
		struct tls_ctx *ctx, const char *server_name, struct tls_err *err)
{
	struct tls_conn_args args = {
			.role = end == ENGINE_SERVER ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
			.ctx = ctx,
			.server_name = server_name,
			.own_records = pair->own_records};

	return tls_conn_new(&pair->conn[end], &args, err);
}

SSL_CTX *engine_raw_ctx(int end, const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(
			end == ENGINE_SERVER ? TLS_server_method() : TLS_client_method());

	if(ctx == NULL)
		die("no raw context");
	if(name != NULL
			&& (SSL_CTX_use_certificate(ctx, pki_cert(name)) != 1
					|| SSL_CTX_use_PrivateKey(ctx, pki_key(name)) != 1))
		die("no raw certificate");
	SSL_CTX_set_dh_auto(ctx, 1);
	return ctx;
}

static void alert_cb(const SSL *ssl, int where, int ret)
{
	int *alert = SSL_get_app_data(ssl);

	if((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
		*alert = ret & 0xff;
}

void engine_pair_raw(struct engine_pair *pair, int end, SSL_CTX *ctx)
{
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem());
	BIO *out = BIO_new(BIO_s_mem());

	if(ssl == NULL || in == NULL || out == NULL)
		die("no raw end");
	SSL_set_bio(ssl, in, out);
	SSL_set_app_data(ssl, &pair->raw_alert[end]);
	SSL_set_info_callback(ssl, alert_cb);
	if(end == ENGINE_SERVER)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	pair->raw[end] = ssl;
}

void engine_pair_clear(struct engine_pair *pair)
{
	int end;

	for(end = 0; end < 2; end++) {
		tls_conn_free(&pair->conn[end]);
		SSL_free(pair->raw[end]);
		pair->raw[end] = NULL;
		engine_bytes_clear(&pair->wire[end]);
		engine_bytes_clear(&pair->got[end]);
	}
	ERR_clear_error();
}

/* ---- steps ---- */

static void need(struct engine_pair *pair, bool kept, const char *promise)
{
	if(!kept && pair->broken == NULL)
		pair->broken = promise;
}

/* Windows of exactly the sizes of PAIR, plus a private copy of the input. */
static void windows_new(const struct engine_pair *pair, struct tls_conn_io *io,
		int end, size_t n)
{
	unsigned char *in = NULL;

	memset(io, 0, sizeof(*io));
	io->n_in = n;
	if(n > 0) {
		in = malloc(n);
		if(in == NULL)
			die("no memory");
		memcpy(in, pair->wire[end].p, n);
	}
	io->in = in;
	io->out_size = pair->out_size;
	io->out = pair->out_size > 0 ? malloc(pair->out_size) : NULL;
	io->clear_size = pair->clear_size;
	io->clear = pair->clear_size > 0 ? malloc(pair->clear_size) : NULL;
}

static void windows_free(struct tls_conn_io *io)
{
	free((void *)(uintptr_t)io->in);
	free(io->out);
	free(io->clear);
}

static void next_process(struct engine_pair *pair)
{
	pair->steps++;
	if(pair->processes > 1)
		port_stub_set_process(
				(unsigned int)(pair->steps % pair->processes), pair->processes);
}

/* What must be true after each step, whatever its result. */
static void check_step(struct engine_pair *pair, int end,
		const struct tls_conn_io *io, enum tls_rc rc, const struct tls_err *err)
{
	const struct tls_conn *conn = pair->conn[end];
	bool failed = rc != TLS_RC_OK && rc != TLS_RC_AGAIN && rc != TLS_RC_CLOSED;

	need(pair, tls_conn_is_valid(conn), "the engine is not valid");
	need(pair, io->n_out <= io->out_size, "more out than its window");
	need(pair, io->n_clear <= io->clear_size, "more clear than its window");
	need(pair, ERR_peek_error() == 0, "errors were left in OpenSSL's queue");
	need(pair, rc != TLS_RC_BUG, "the engine says BUG");
	need(pair, rc != TLS_RC_AGAIN || tls_conn_want(conn) == TLS_CONN_WANT_WRITE,
			"AGAIN without the wish for a write window");
	need(pair, rc != TLS_RC_AGAIN || io->n_out > 0 || io->out_size == 0,
			"AGAIN with an empty write window");
	if(!failed || rc == TLS_RC_LIMIT)
		return;
	need(pair, tls_conn_state(conn) == TLS_CONN_FAILED,
			"an error that is no state");
	need(pair, err->text[0] != '\0', "an error without a sentence");
	need(pair, tls_conn_queued(conn) == 0, "a failed engine keeps its queue");
	need(pair, tls_conn_stashed(conn) == 0, "a failed engine keeps its stash");
	if(pair->err[end].rc == TLS_RC_OK)
		pair->err[end] = *err;
}

/* One call of tls_conn_read with N bytes of the wire. */
static bool engine_read(struct engine_pair *pair, int end, size_t n)
{
	struct tls_conn_io io;
	struct tls_err err;
	bool moved;

	tls_err_clear(&err);
	next_process(pair);
	windows_new(pair, &io, end, n);
	pair->rc[end] = tls_conn_read(pair->conn[end], &io, &err);
	check_step(pair, end, &io, pair->rc[end], &err);
	engine_bytes_drop(&pair->wire[end], n);
	engine_bytes_add(&pair->wire[1 - end], io.out, io.n_out);
	engine_bytes_add(&pair->got[end], io.clear, io.n_clear);
	moved = n > 0 || io.n_out > 0 || io.n_clear > 0;
	windows_free(&io);
	return moved;
}

static bool engine_step(struct engine_pair *pair, int end)
{
	size_t n = pair->wire[end].n;
	bool moved = false;

	if(tls_conn_state(pair->conn[end]) >= TLS_CONN_CLOSED) {
		engine_bytes_drop(&pair->wire[end], n);
		return false;
	}
	/* As the host: without bytes it calls only to begin. What the engine
	 * leaves undone in a step stays undone until bytes come. */
	if(n == 0
			&& (end == ENGINE_SERVER
					|| tls_conn_state(pair->conn[end]) != TLS_CONN_NEW))
		return false;
	if(n > pair->chop)
		n = pair->chop;
	moved = engine_read(pair, end, n);
	while((pair->rc[end] == TLS_RC_AGAIN
				  || (pair->rc[end] == TLS_RC_OK
						  && tls_conn_pending(pair->conn[end])
						  && !tls_conn_is_held(pair->conn[end])))
			&& pair->steps < STEPS_MAX && pair->broken == NULL)
		moved |= engine_read(pair, end, 0);
	return moved;
}

void engine_pair_step_pending(struct engine_pair *pair, int end)
{
	while(tls_conn_pending(pair->conn[end]) && pair->steps < STEPS_MAX
			&& pair->broken == NULL)
		(void)engine_read(pair, end, 0);
}

static void raw_drain(struct engine_pair *pair, int end)
{
	char *p = NULL;
	long n = BIO_get_mem_data(SSL_get_wbio(pair->raw[end]), &p);

	if(n <= 0)
		return;
	engine_bytes_add(&pair->wire[1 - end], p, (size_t)n);
	(void)BIO_reset(SSL_get_wbio(pair->raw[end]));
}

static bool raw_step(struct engine_pair *pair, int end)
{
	SSL *ssl = pair->raw[end];
	unsigned char buf[16384];
	size_t n = pair->wire[end].n, before = pair->wire[1 - end].n;
	int ret;

	if(n > pair->chop)
		n = pair->chop;
	if(n > 0 && BIO_write(SSL_get_rbio(ssl), pair->wire[end].p, (int)n) <= 0)
		die("a memory BIO is full");
	engine_bytes_drop(&pair->wire[end], n);
	ret = SSL_in_init(ssl) ? SSL_do_handshake(ssl) : 1;
	if(ret == 1) {
		while((ret = SSL_read(ssl, buf, sizeof(buf))) > 0)
			engine_bytes_add(&pair->got[end], buf, (size_t)ret);
	}
	switch(SSL_get_error(ssl, ret)) {
		case SSL_ERROR_ZERO_RETURN:
			pair->raw_closed[end] = true;
			break;
		case SSL_ERROR_SSL:
			if(pair->err[end].rc == TLS_RC_OK)
				tls_ossl_fail(&pair->err[end], TLS_RC_PEER, "raw end");
			break;
		default:
			break;
	}
	ERR_clear_error();
	raw_drain(pair, end);
	return n > 0 || pair->wire[1 - end].n > before;
}

bool engine_pair_step(struct engine_pair *pair, int end)
{
	if(pair->conn[end] != NULL)
		return engine_step(pair, end);
	return raw_step(pair, end);
}

void engine_pair_run(struct engine_pair *pair)
{
	bool moved = true;

	while(moved && pair->broken == NULL) {
		moved = engine_pair_step(pair, ENGINE_CLIENT);
		moved |= engine_pair_step(pair, ENGINE_SERVER);
		need(pair, pair->steps < STEPS_MAX, "no end of steps");
	}
}

bool engine_pair_is_up(const struct engine_pair *pair, int end)
{
	if(pair->conn[end] != NULL)
		return tls_conn_state(pair->conn[end]) == TLS_CONN_ESTABLISHED;
	return SSL_is_init_finished(pair->raw[end]) == 1
		   && pair->err[end].rc == TLS_RC_OK;
}

bool engine_pair_handshake(struct engine_pair *pair)
{
	engine_pair_run(pair);
	return pair->broken == NULL && engine_pair_is_up(pair, ENGINE_SERVER)
		   && engine_pair_is_up(pair, ENGINE_CLIENT);
}

static enum tls_rc engine_write(
		struct engine_pair *pair, int end, const unsigned char *data, size_t n)
{
	const struct tls_ct_wrq_limits limits = {1 << 24, 1 << 26, 4096};
	enum tls_rc rc;

	do {
		struct tls_conn_io io;
		struct tls_err err;
		size_t n_taken = 0;

		tls_err_clear(&err);
		next_process(pair);
		windows_new(pair, &io, end, 0);
		rc = tls_conn_write(
				pair->conn[end], data, n, &n_taken, &io, &limits, &err);
		check_step(pair, end, &io, rc, &err);
		need(pair, n_taken <= n, "more taken than offered");
		need(pair, rc != TLS_RC_OK || n_taken == n, "OK but not all taken");
		engine_bytes_add(&pair->wire[1 - end], io.out, io.n_out);
		windows_free(&io);
		data += n_taken;
		n -= n_taken;
	} while(rc == TLS_RC_AGAIN && pair->broken == NULL
			&& pair->steps < STEPS_MAX);
	return rc;
}

enum tls_rc engine_pair_write(
		struct engine_pair *pair, int end, const void *data, size_t n)
{
	int ret;

	if(pair->conn[end] != NULL)
		return engine_write(pair, end, data, n);
	ret = SSL_write(pair->raw[end], data, (int)n);
	ERR_clear_error();
	raw_drain(pair, end);
	return ret == (int)n ? TLS_RC_OK : TLS_RC_TLS;
}
