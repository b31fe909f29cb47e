/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* An engine against OpenSSL or a puppet; see record_rig.h. */
#include "record_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tls_ct_wrq.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

#define SUITES_13                                          \
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"       \
	"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:" \
	"TLS_AES_128_CCM_8_SHA256"

static long ssl_live;

static void die(const char *what) __attribute__((noreturn));

static void die(const char *what)
{
	fprintf(stderr, "record_rig: %s\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

static void count_new(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
		long argl, void *argp)
{
	(void)parent, (void)ptr, (void)ad, (void)idx, (void)argl, (void)argp;
	ssl_live++;
}

static void count_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
		long argl, void *argp)
{
	(void)parent, (void)ptr, (void)ad, (void)idx, (void)argl, (void)argp;
	ssl_live--;
}

long rig_ssl_live(void)
{
	return ssl_live;
}

void rig_init(void)
{
	static bool ready;
	struct tls_err err;

	if(ready)
		return;
	engine_init();
	(void)!tls_ct_wrq_init_total(); /* may exist already */
	if(tls_record_init(&err) != TLS_RC_OK)
		die(err.text);
	if(SSL_get_ex_new_index(0, NULL, count_new, NULL, count_free) < 0)
		die("no index");
	ready = true;
}

/* ---- contexts, kept until the program ends ---- */

struct kept_ctx
{
	enum tls_role role;
	int version;
	const char *cert;
	struct tls_ctx *engine;
	SSL_CTX *raw;
};

static struct kept_ctx kept[16];
static size_t n_kept;

static struct tls_ctx *make_engine_ctx(
		enum tls_role role, int version, const char *cert)
{
	static char list[] = "ALL:@SECLEVEL=0";
	struct engine_profile profile;
	struct tls_ctx_choice choice = {0};
	struct tls_ctx *ctx = NULL;
	struct tls_err err;
	SSL *ssl = NULL;

	engine_profile_init(&profile, role, role == TLS_ROLE_SERVER ? cert : NULL);
	engine_profile_version(&profile, (enum tls_version)version);
	profile.params.cipher_list = list;
	if(engine_ctx(&ctx, &profile, &err) != TLS_RC_OK)
		die(err.text);
	choice.ctx = ctx;
	if(tls_ctx_new_ssl(&choice, &ssl, &err) != TLS_RC_OK)
		die(err.text);
	if(SSL_CTX_set_ciphersuites(SSL_get_SSL_CTX(ssl), SUITES_13) != 1)
		die("no suites of TLS 1.3");
	SSL_free(ssl);
	return ctx;
}

static struct kept_ctx *contexts(
		enum tls_role role, int version, const char *cert)
{
	struct kept_ctx *k;
	size_t i;

	for(i = 0; i < n_kept; i++)
		if(kept[i].role == role && kept[i].version == version
				&& !strcmp(kept[i].cert, cert))
			return &kept[i];
	if(n_kept == sizeof(kept) / sizeof(kept[0]))
		die("too many contexts");
	k = &kept[n_kept++];
	k->role = role;
	k->version = version;
	k->cert = cert;
	k->engine = make_engine_ctx(role, version, cert);
	k->raw = engine_raw_ctx(
			role == TLS_ROLE_SERVER ? ENGINE_CLIENT : ENGINE_SERVER,
			role == TLS_ROLE_SERVER ? NULL : cert);
	SSL_CTX_set_security_level(k->raw, 0);
	return k;
}

/* ---- the two ends ---- */

static struct rig *logged; /* is being opened, with a puppet */

/* The traffic secrets as the library itself writes them down: a puppet shares
 * no key schedule with the engine that it judges. */
static void keylog_cb(const SSL *ssl, const char *line)
{
	struct tls_kdf_secrets *secrets;
	const char *hex = strrchr(line, ' ') + 1;
	bool client = strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0;
	bool server = strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0;

	if(logged == NULL || ssl != logged->raw || (!client && !server))
		return;
	secrets = &logged->keys.secrets;
	if(OPENSSL_hexstr2buf_ex(client ? secrets->client : secrets->server,
			   TLS_KDF_SECRET_MAX,
			   client ? &secrets->n_client : &secrets->n_server, hex, '\0')
			!= 1)
		die("the library logs a secret that is none");
}

static void make_raw(struct rig *rig, struct kept_ctx *ctx)
{
	const struct rig_setup *s = &rig->s;
	BIO *in = BIO_new(BIO_s_mem());
	BIO *out = BIO_new(BIO_s_mem());
	bool good;

	rig->raw = SSL_new(ctx->raw);
	if(rig->raw == NULL || in == NULL || out == NULL)
		die("no raw end");
	SSL_set_bio(rig->raw, in, out);
	if(s->role == TLS_ROLE_SERVER)
		SSL_set_connect_state(rig->raw);
	else
		SSL_set_accept_state(rig->raw);
	good = SSL_set_min_proto_version(rig->raw, s->version) == 1
		   && SSL_set_max_proto_version(rig->raw, s->version) == 1;
	if(s->version == TLS1_3_VERSION)
		good = good
			   && SSL_set_ciphersuites(rig->raw,
						  s->suite ? s->suite : "TLS_AES_128_GCM_SHA256")
						  == 1;
	else
		good = good
			   && SSL_set_cipher_list(
						  rig->raw, s->suite ? s->suite : "ECDHE+AES128+AESGCM")
						  == 1;
	if(s->session != NULL)
		good = good && SSL_set_session(rig->raw, s->session) == 1;
	if(s->fragment_ext != 0)
		good = good
			   && SSL_set_tlsext_max_fragment_length(rig->raw, s->fragment_ext)
						  == 1;
	if(s->tickets >= 0)
		good = good && SSL_set_num_tickets(rig->raw, (size_t)s->tickets) == 1;
	logged = s->puppet ? rig : NULL;
	if(s->puppet) {
		SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(rig->raw), keylog_cb);
		good = good && tls_record_watch(rig->raw, &rig->keys) == TLS_RC_OK;
	}
	if(!good)
		die("the plain end does not take its settings");
}

/* Only allocations of the engine's own steps count for a failure ladder. */
static unsigned long arm(struct rig *rig)
{
	port_stub_fail_at(rig->fail_at);
	return port_stub_allocs();
}

static void disarm(struct rig *rig, unsigned long before)
{
	unsigned long used = port_stub_allocs() - before;

	rig->failed |= rig->fail_at > 0 && used >= rig->fail_at;
	rig->fail_at = used < rig->fail_at ? rig->fail_at - used : 0;
	port_stub_fail_at(0);
}

static enum tls_rc make_engine(struct rig *rig, struct kept_ctx *ctx)
{
	const struct rig_setup *s = &rig->s;
	struct tls_conn_args args = {.role = s->role,
			.ctx = ctx->engine,
			.own_records = !s->ossl,
			.max_fragment = s->max_fragment};
	struct tls_ctx_choice choice = {.ctx = ctx->engine};
	unsigned long before;
	enum tls_rc rc;
	SSL *ssl;

	if(tls_ctx_new_ssl(&choice, &ssl, &rig->err) != TLS_RC_OK)
		return rig->err.rc;
	SSL_CTX_set_num_tickets(
			SSL_get_SSL_CTX(ssl), s->tickets >= 0 ? (size_t)s->tickets : 2);
	SSL_free(ssl);
	before = arm(rig);
	rc = tls_conn_new(&rig->conn, &args, &rig->err);
	disarm(rig, before);
	return rc;
}

/* The Finished of the SSL object, the record of N bytes at WIRE, goes on to the
 * engine in records of s.split bytes (RFC 5246 s6.2.1). */
static void split_finished(struct rig *rig, const unsigned char *wire, size_t n)
{
	unsigned char text[64];
	enum tls_record_type type;
	struct tls_record twin;
	struct tls_err err;
	size_t n_text, at, part;
	int alert;

	if(!rig_puppet(rig))
		die("no keys to split with");
	rig->puppet.half[TLS_RECORD_WRITE].seq = 0;
	twin = rig->puppet;
	twin.id += (uint64_t)1 << 62;
	twin.half[TLS_RECORD_READ] = rig->puppet.half[TLS_RECORD_WRITE];
	if(n > sizeof(text)
			|| tls_record_open(
					   &twin, wire, n, text, &n_text, &type, &alert, &err)
					   != TLS_RC_OK
			|| type != TLS_RECORD_HANDSHAKE)
		die("no Finished to split");
	for(at = 0; at < n_text; at += part, rig->parts++) {
		part = n_text - at < rig->s.split ? n_text - at : rig->s.split;
		rig_say(rig, type, text + at, part);
	}
	tls_record_clear(&twin);
	tls_record_clear(&rig->puppet);
}

/* Hands a flight of N bytes on, its Finished split. */
static void flush_split(struct rig *rig, const unsigned char *p, size_t n)
{
	bool changed = false;

	while(n > 0) {
		size_t record = tls_record_length(p, n);

		if(record == 0 || record == SIZE_MAX)
			die("a flight that is not made of records");
		if(changed)
			split_finished(rig, p, record);
		else
			engine_bytes_add(&rig->to_engine, p, record);
		changed = p[0] == TLS_RECORD_CHANGE_CIPHER_SPEC;
		p += record;
		n -= record;
	}
}

void rig_raw_flush(struct rig *rig)
{
	char *p = NULL;
	long n = BIO_get_mem_data(SSL_get_wbio(rig->raw), &p);

	if(n <= 0)
		return;
	if(rig->s.puppet)
		tls_record_watch_output(&rig->keys, (unsigned char *)p, (size_t)n);
	if(rig->s.split > 0)
		flush_split(rig, (unsigned char *)p, (size_t)n);
	else
		engine_bytes_add(&rig->to_engine, p, (size_t)n);
	(void)BIO_reset(SSL_get_wbio(rig->raw));
}

static void raw_feed(struct rig *rig)
{
	if(rig->to_raw.n > 0
			&& BIO_write(SSL_get_rbio(rig->raw), rig->to_raw.p,
					   (int)rig->to_raw.n)
					   <= 0)
		die("a memory BIO is full");
	engine_bytes_drop(&rig->to_raw, rig->to_raw.n);
}

/* One step of the engine with at most CHOP bytes, through windows of exactly
 * the sizes of the rig. */
static void step(struct rig *rig, size_t n)
{
	struct tls_conn_io io = {0};
	struct tls_err err;
	unsigned char *in = n > 0 ? malloc(n) : NULL;
	unsigned long before;

	tls_err_clear(&err);
	if(n > 0)
		memcpy(in, rig->to_engine.p, n);
	io.in = in;
	io.n_in = n;
	io.out_size = rig->s.out_size;
	io.out = malloc(io.out_size);
	io.clear_size = rig->s.clear_size;
	io.clear = malloc(io.clear_size);
	before = arm(rig);
	rig->rc = tls_conn_read(rig->conn, &io, &err);
	disarm(rig, before);
	if(rig->rc > TLS_RC_CLOSED && rig->err.rc == TLS_RC_OK)
		rig->err = err;
	if(!tls_conn_is_valid(rig->conn))
		die("the engine is not valid");
	engine_bytes_drop(&rig->to_engine, n);
	engine_bytes_add(&rig->to_raw, io.out, io.n_out);
	engine_bytes_add(&rig->sent, io.out, io.n_out);
	engine_bytes_add(&rig->got, io.clear, io.n_clear);
	free(in);
	free(io.out);
	free(io.clear);
}

void rig_engine_read(struct rig *rig)
{
	do {
		size_t n = rig->to_engine.n;

		if(tls_conn_state(rig->conn) >= TLS_CONN_CLOSED) {
			engine_bytes_drop(&rig->to_engine, n);
			return;
		}
		if(rig->rc == TLS_RC_AGAIN || tls_conn_pending(rig->conn))
			n = 0;
		else if(rig->s.chop > 0 && n > rig->s.chop)
			n = rig->s.chop;
		step(rig, n);
	} while(rig->to_engine.n > 0 || rig->rc == TLS_RC_AGAIN
			|| tls_conn_pending(rig->conn));
}

enum tls_rc rig_engine_write(struct rig *rig, const void *data, size_t n)
{
	static const struct tls_ct_wrq_limits limits = {1 << 20, 1 << 22, 4096};
	const unsigned char *p = data;
	struct tls_err err;

	do {
		struct tls_conn_io io = {0};
		size_t taken = 0;
		unsigned long before;

		tls_err_clear(&err);
		io.out_size = rig->s.out_size;
		io.out = malloc(io.out_size);
		before = arm(rig);
		rig->rc = tls_conn_write(rig->conn, p, n, &taken, &io, &limits, &err);
		disarm(rig, before);
		engine_bytes_add(&rig->to_raw, io.out, io.n_out);
		engine_bytes_add(&rig->sent, io.out, io.n_out);
		free(io.out);
		p += taken;
		n -= taken;
	} while(rig->rc == TLS_RC_AGAIN);
	if(rig->rc > TLS_RC_CLOSED && rig->err.rc == TLS_RC_OK)
		rig->err = err;
	return rig->rc;
}

bool rig_open(struct rig *rig, const struct rig_setup *setup)
{
	struct kept_ctx *ctx;
	int turns;

	rig_init();
	memset(rig, 0, sizeof(*rig));
	rig->s = *setup;
	rig->fail_at = setup->fail_at;
	if(rig->s.out_size == 0)
		rig->s.out_size = 65536;
	if(rig->s.clear_size == 0)
		rig->s.clear_size = 20000;
	ctx = contexts(setup->role, setup->version,
			setup->cert != NULL ? setup->cert : "ec");
	make_raw(rig, ctx);
	if(make_engine(rig, ctx) != TLS_RC_OK)
		return false;
	for(turns = 0; turns < 8; turns++) {
		if(turns > 0 || setup->role == TLS_ROLE_CLIENT)
			rig_engine_read(rig);
		if(SSL_in_init(rig->raw)) {
			raw_feed(rig);
			(void)SSL_do_handshake(rig->raw);
			ERR_clear_error();
			if(SSL_is_init_finished(rig->raw) == 1 && setup->early != NULL)
				(void)SSL_write(
						rig->raw, setup->early, (int)strlen(setup->early));
		}
		rig_raw_flush(rig);
	}
	return tls_conn_state(rig->conn) == TLS_CONN_ESTABLISHED
		   && SSL_is_init_finished(rig->raw) == 1;
}

void rig_close(struct rig *rig)
{
	tls_conn_free(&rig->conn);
	SSL_free(rig->raw);
	rig->raw = NULL;
	tls_record_clear(&rig->puppet);
	tls_record_keys_clear(&rig->keys);
	engine_bytes_clear(&rig->to_engine);
	engine_bytes_clear(&rig->to_raw);
	engine_bytes_clear(&rig->sent);
	engine_bytes_clear(&rig->got);
	ERR_clear_error();
}

long rig_raw_read(struct rig *rig, unsigned char *buf, size_t size)
{
	size_t n = 0;
	int ret = 0;

	raw_feed(rig);
	while(n < size && (ret = SSL_read(rig->raw, buf + n, (int)(size - n))) > 0)
		n += (size_t)ret;
	if(n < size && SSL_get_error(rig->raw, ret) != SSL_ERROR_WANT_READ
			&& SSL_get_error(rig->raw, ret) != SSL_ERROR_ZERO_RETURN) {
		ERR_clear_error();
		return -1;
	}
	ERR_clear_error();
	rig_raw_flush(rig);
	return (long)n;
}

bool rig_raw_write(struct rig *rig, const void *data, size_t n)
{
	int ret = SSL_write(rig->raw, data, (int)n);

	rig_raw_flush(rig);
	ERR_clear_error();
	return ret == (int)n;
}

/* ---- the puppet ---- */

/* The key block of TLS 1.2 (RFC 5246 s6.3) from what the library tells of a
 * handshake, with its own PRF. */
static bool key_block(SSL *ssl, unsigned char *out, size_t n)
{
	const EVP_MD *md =
			SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
	unsigned char master[SSL_MAX_MASTER_KEY_LENGTH];
	unsigned char seed[13 + 2 * SSL3_RANDOM_SIZE];
	size_t n_master = SSL_SESSION_get_master_key(
			SSL_get0_session(ssl), master, sizeof(master));
	EVP_KDF *prf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(prf);
	OSSL_PARAM params[4];
	bool ok = false;

	memcpy(seed, "key expansion", 13);
	if(ctx != NULL && md != NULL && n_master > 0
			&& SSL_get_server_random(ssl, seed + 13, SSL3_RANDOM_SIZE)
					   == SSL3_RANDOM_SIZE
			&& SSL_get_client_random(
					   ssl, seed + 13 + SSL3_RANDOM_SIZE, SSL3_RANDOM_SIZE)
					   == SSL3_RANDOM_SIZE) {
		params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
				(char *)(uintptr_t)EVP_MD_get0_name(md), 0);
		params[1] = OSSL_PARAM_construct_octet_string(
				OSSL_KDF_PARAM_SECRET, master, n_master);
		params[2] = OSSL_PARAM_construct_octet_string(
				OSSL_KDF_PARAM_SEED, seed, sizeof(seed));
		params[3] = OSSL_PARAM_construct_end();
		ok = EVP_KDF_derive(ctx, out, n, params) == 1;
	}
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(prf);
	OPENSSL_cleanse(master, sizeof(master));
	return ok;
}

bool rig_puppet(struct rig *rig)
{
	struct tls_kdf_secrets *secrets = &rig->keys.secrets;
	struct tls_err err;

	secrets->n_block = sizeof(secrets->block);
	if(SSL_version(rig->raw) != TLS1_3_VERSION
			&& !key_block(rig->raw, secrets->block, secrets->n_block))
		return false;

	rig->keys.taken = 1; /* the Finished of an engine is one record */
	if(tls_record_setup(&rig->puppet, rig->raw, &rig->keys, &err) != TLS_RC_OK)
		return false;
	if(rig->parts > 0)
		rig->puppet.half[TLS_RECORD_WRITE].seq = rig->parts;
	return true;
}

void rig_say(struct rig *rig, int type, const void *data, size_t n)
{
	unsigned char out[TLS_RECORD_PLAIN_MAX + TLS_RECORD_OVERHEAD_MAX];
	size_t n_out = 0;
	struct tls_err err;

	if(tls_record_seal(&rig->puppet, (enum tls_record_type)type, data, n, out,
			   &n_out, &err)
			!= TLS_RC_OK)
		die(err.text);
	engine_bytes_add(&rig->to_engine, out, n_out);
}

/* AES-GCM alone: by hand, as tls_record_seal is too honest. */
void rig_say_inner(struct rig *rig, int outer, const void *inner, size_t n)
{
	struct tls_record_half *half = &rig->puppet.half[TLS_RECORD_WRITE];
	bool tls13 = rig->puppet.tls13;
	size_t explicit = tls13 ? 0 : 8;
	size_t body = explicit + n + 16;
	unsigned char *out = malloc(5 + body);
	unsigned char nonce[12], aad[13], seq[8];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int i, len;

	for(i = 0; i < 8; i++) {
		seq[i] = (unsigned char)(half->seq >> (56 - 8 * i));
		aad[i] = seq[i];
	}
	memcpy(nonce, half->iv, 12);
	for(i = 0; i < 8; i++)
		nonce[4 + i] = tls13 ? (unsigned char)(nonce[4 + i] ^ seq[i])
							 : (unsigned char)((half->explicit + half->seq)
											   >> (56 - 8 * i));
	out[0] = (unsigned char)outer;
	out[1] = 3;
	out[2] = 3;
	out[3] = (unsigned char)(body >> 8);
	out[4] = (unsigned char)body;
	if(!tls13)
		memcpy(out + 5, nonce + 4, 8);
	memcpy(aad + 8, out, 3);
	aad[11] = (unsigned char)(n >> 8);
	aad[12] = (unsigned char)n;
	if(ctx == NULL
			|| EVP_EncryptInit_ex(
					   ctx, EVP_aes_128_gcm(), NULL, half->key, nonce)
					   != 1
			|| EVP_EncryptUpdate(
					   ctx, NULL, &len, tls13 ? out : aad, tls13 ? 5 : 13)
					   != 1
			|| EVP_EncryptUpdate(ctx, out + 5 + explicit, &len, inner, (int)n)
					   != 1
			|| EVP_EncryptFinal_ex(ctx, out + 5 + explicit + n, &len) != 1
			|| EVP_CIPHER_CTX_ctrl(
					   ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + 5 + explicit + n)
					   != 1)
		die("could not seal by hand");
	EVP_CIPHER_CTX_free(ctx);
	half->seq++;
	engine_bytes_add(&rig->to_engine, out, 5 + body);
	free(out);
}

static void hear_one(struct rig *rig, struct rig_heard *heard, int type,
		const unsigned char *clear, size_t n)
{
	struct tls_err err;

	heard->records++;
	if(type == TLS_RECORD_APPLICATION) {
		heard->data += n;
		if(n > heard->n_largest)
			heard->n_largest = n;
	} else if(type == TLS_RECORD_ALERT && n == 2) {
		heard->level = clear[0];
		heard->alert = clear[1];
		heard->warnings += clear[0] == 1;
	} else if(type == TLS_RECORD_HANDSHAKE && n == 5 && clear[0] == 24) {
		heard->key_updates++;
		heard->broken |= tls_record_update(&rig->puppet, TLS_RECORD_READ, &err)
						 != TLS_RC_OK;
	}
}

void rig_hear(struct rig *rig, struct rig_heard *heard)
{
	static unsigned char clear[TLS_RECORD_WIRE_MAX];
	enum tls_record_type type;
	struct tls_err err;
	size_t n, n_clear;
	int alert;

	memset(heard, 0, sizeof(*heard));
	heard->level = heard->alert = -1;
	while((n = tls_record_length(rig->to_raw.p, rig->to_raw.n)) > 0) {
		if(n == SIZE_MAX
				|| tls_record_open(&rig->puppet, rig->to_raw.p, n, clear,
						   &n_clear, &type, &alert, &err)
						   != TLS_RC_OK) {
			heard->broken = true;
			return;
		}
		engine_bytes_drop(&rig->to_raw, n);
		hear_one(rig, heard, (int)type, clear, n_clear);
	}
	heard->broken |= rig->to_raw.n > 0;
}

/* ---- twins ---- */

static void fill(unsigned char *p, size_t n, unsigned int seed)
{
	size_t i;

	for(i = 0; i < n; i++)
		p[i] = (unsigned char)(seed * 37 + i * 11 + 5);
}

void rig_twins(struct tls_record *a, struct tls_record *b, uint8_t suite,
		bool tls13, uint64_t id)
{
	struct tls_err err;
	int side;

	rig_init();
	memset(a, 0, sizeof(*a));
	a->id = id;
	a->suite = suite;
	a->tls13 = tls13;
	a->hash = suite == 2;
	a->fragment = TLS_RECORD_PLAIN_MAX;
	for(side = 0; side < 2; side++) {
		struct tls_record_half *half = &a->half[side];
		unsigned int seed = (unsigned int)id * 2 + (unsigned int)side;

		fill(half->secret, sizeof(half->secret), seed);
		fill(half->key, sizeof(half->key), seed + 100);
		fill(half->iv, tls13 || suite == 3 ? 12 : 4, seed + 200);
		if(tls13
				&& tls_record_update(a, (enum tls_record_side)side, &err)
						   != TLS_RC_OK)
			die(err.text);
		half->seq = tls13 ? 0 : 1;
	}
	*b = *a;
	b->id = id + 1;
	b->half[0] = a->half[1];
	b->half[1] = a->half[0];
}
