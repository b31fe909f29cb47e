/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Record protection from plain data; see tls_record.h. */

#include "tls_record.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tls_keylog.h"
#include "tls_mem.h"
#include "tls_ossl.h"
#include "tls_port.h"

/* RFC 8446 s5.5: at most 2^24.5 full records under one AES-GCM key; for CCM
 * RFC 9147 s4.5.3 names 2^23, for ChaCha20 nobody a limit that matters. One
 * number well below both serves all. */
#define RECORDS_UPDATE ((uint64_t)1 << 22)
#define RECORDS_MAX ((uint64_t)23726566) /* 2^24.5 */

/* Cached contexts of one process: for each cipher and direction this many
 * connections keep their expanded key. */
#define CACHE_SLOTS 32

#define TAG_MAX 16
#define EXPLICIT 8 /* RFC 5288 s3, RFC 6655 s3: explicit part of the nonce */

enum suite_mode
{
	MODE_GCM = 0,
	MODE_CCM,
	MODE_CHACHA
};

struct suite
{
	const char *name; /* as EVP_CIPHER_fetch knows it */
	int nid;
	enum suite_mode mode;
	size_t key;
	size_t tag;
};

/* Index 0 means "none". */
static const struct suite suites[] = {
		{NULL, NID_undef, MODE_GCM, 0, 0},
		{"AES-128-GCM", NID_aes_128_gcm, MODE_GCM, 16, 16},
		{"AES-256-GCM", NID_aes_256_gcm, MODE_GCM, 32, 16},
		{"ChaCha20-Poly1305", NID_chacha20_poly1305, MODE_CHACHA, 32, 16},
		{"AES-128-CCM", NID_aes_128_ccm, MODE_CCM, 16, 16},
		{"AES-256-CCM", NID_aes_256_ccm, MODE_CCM, 32, 16},
		{"AES-128-CCM", NID_aes_128_ccm, MODE_CCM, 16, 8},
		{"AES-256-CCM", NID_aes_256_ccm, MODE_CCM, 32, 8},
};
#define SUITES (sizeof(suites) / sizeof(suites[0]))

/* Suites whose tag is 8 bytes: RFC 8446 B.4, RFC 6655 s4, RFC 7251 s2. */
static const uint16_t short_tags[] = {0x1305, 0xC0A0, 0xC0A1, 0xC0A2, 0xC0A3,
		0xC0A8, 0xC0A9, 0xC0AA, 0xC0AB, 0xC0AE, 0xC0AF};

struct cached
{
	uint64_t id; /* 0 = free */
	uint32_t epoch;
	EVP_CIPHER_CTX *ctx; /* owned; private memory of this process */
};

/* Connections that ended, so that every process drops the contexts that it has
 * of them. Entry I of all that ever ended is at I % ENDED. */
#define ENDED 256

struct ended
{
	_Atomic uint64_t n; /* how many ended */
	struct
	{
		_Atomic uint64_t number; /* I + 1 when the id is that of entry I */
		_Atomic uint64_t id;
	} entries[ENDED];
};

/* Made before the first fork, read-only afterwards. */
static EVP_CIPHER *ciphers[SUITES];
static _Atomic uint64_t *next_id; /* shared memory */
static struct ended *ended;		  /* shared memory */
static int keys_index = -1;		  /* ex_data of SSL: its tls_record_keys */

static struct cached cache[SUITES][2][CACHE_SLOTS]; /* of this process */
static uint64_t ended_seen; /* entries that this process has heeded */

/* ---- life ---- */

/* What a new process finds here is the copy of its parent's. It is left alone:
 * tls_mem frees private memory only where it was made. */
static void forget_cache_cb(void)
{
	memset(cache, 0, sizeof(cache));
}

enum tls_rc tls_record_init(struct tls_err *err)
{
	static bool watches_forks;
	enum tls_rc rc;
	size_t i;

	if(!watches_forks && pthread_atfork(NULL, NULL, forget_cache_cb) != 0)
		return tls_err_set(err, TLS_RC_NOMEM,
				"could not register the fork handler of the record layer");
	watches_forks = true;
	rc = tls_kdf_init(err);
	if(rc != TLS_RC_OK)
		return rc;
	tls_ossl_begin();
	for(i = 1; i < SUITES; i++) {
		/* A library without one of them (FIPS) simply has no such suite. */
		if(ciphers[i] == NULL)
			ciphers[i] = EVP_CIPHER_fetch(NULL, suites[i].name, NULL);
		ERR_clear_error();
	}
	if(keys_index < 0)
		keys_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if(keys_index < 0)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	if(next_id == NULL) {
		next_id = tls_port_alloc(sizeof(*next_id));
		if(next_id == NULL)
			return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
		atomic_init(next_id, 1);
	}
	if(ended == NULL) {
		ended = tls_port_alloc(sizeof(*ended));
		if(ended == NULL)
			return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
		memset(ended, 0, sizeof(*ended));
	}
	return TLS_RC_OK;
}

/* ---- small things ---- */

static void put64(unsigned char *out, uint64_t value)
{
	int i;

	for(i = 0; i < 8; i++)
		out[i] = (unsigned char)(value >> (56 - 8 * i));
}

static uint64_t get64(const unsigned char *in)
{
	uint64_t value = 0;
	int i;

	for(i = 0; i < 8; i++)
		value = value << 8 | in[i];
	return value;
}

/* True when the nonce has a part on the wire. */
static bool has_explicit(const struct tls_record *record)
{
	return !record->tls13 && suites[record->suite].mode != MODE_CHACHA;
}

/* ---- key derivation ---- */

static size_t secret_len(const struct tls_record *record)
{
	return record->hash == TLS_KDF_SHA384 ? 48 : 32;
}

/* Key and IV from the traffic secret, RFC 8446 s7.3; the counter starts at 0
 * with every key (s5.3). */
static bool derive_13(struct tls_record *record, enum tls_record_side side)
{
	struct tls_record_half *half = &record->half[side];

	half->seq = 0;
	half->epoch++;
	return tls_kdf_expand(record->hash, half->secret, "key", half->key,
				   suites[record->suite].key)
		   && tls_kdf_expand(
				   record->hash, half->secret, "iv", half->iv, TLS_RECORD_IV);
}

/* Keys and IVs of both sides, RFC 5246 s6.3; AEAD suites have no MAC keys.
 * Each side has sent its Finished under them: OpenSSL in one record, the peer
 * in as many as it likes (s6.2.1). */
static bool derive_12(
		struct tls_record *record, SSL *ssl, const struct tls_record_keys *keys)
{
	const struct suite *suite = &suites[record->suite];
	size_t iv = suite->mode == MODE_CHACHA ? TLS_RECORD_IV : 4;
	const unsigned char *block = keys->secrets.block;
	bool server = SSL_is_server(ssl) == 1;
	struct tls_record_half *client =
			&record->half[server ? TLS_RECORD_READ : TLS_RECORD_WRITE];
	struct tls_record_half *peer =
			&record->half[server ? TLS_RECORD_WRITE : TLS_RECORD_READ];
	bool ok = (!has_explicit(record) || keys->n_head == sizeof(keys->head))
			  && keys->secrets.n_block >= 2 * (suite->key + iv);

	if(ok) {
		memcpy(client->key, block, suite->key);
		memcpy(peer->key, block + suite->key, suite->key);
		memcpy(client->iv, block + 2 * suite->key, iv);
		memcpy(peer->iv, block + 2 * suite->key + iv, iv);
		record->half[TLS_RECORD_WRITE].seq = 1;
		record->half[TLS_RECORD_READ].seq = keys->taken;
		/* OpenSSL chose the nonce of our Finished; go on from there. */
		if(has_explicit(record))
			record->half[TLS_RECORD_WRITE].explicit =
					get64(keys->head + TLS_RECORD_HEADER);
	}
	return ok;
}

/* ---- watching a handshake ---- */

static void keylog_cb(const SSL *ssl, const char *line)
{
	(void)ssl;
	tls_keylog_write(line);
}

/* True when SIDE sends what the server seals. */
static bool is_of_server(const SSL *ssl, enum tls_record_side side)
{
	return (SSL_is_server(ssl) == 1) == (side == TLS_RECORD_WRITE);
}

/* Called for each record header that OpenSSL writes, also while the bytes wait
 * in a buffer of its own. */
static void message_cb(int write_p, int version, int content_type,
		const void *buf, size_t n, SSL *ssl, void *arg)
{
	struct tls_record_keys *keys = arg;
	bool sealed = is_of_server(ssl, TLS_RECORD_WRITE)
						  ? keys->secrets.n_server > 0
						  : keys->secrets.n_client > 0;

	(void)version;
	(void)buf;
	(void)n;
	if(write_p && content_type == SSL3_RT_HEADER && sealed)
		keys->written++;
}

void tls_record_watch_context(SSL_CTX *ctx)
{
	/* the library prints each secret byte by byte, which is a tenth of its
	 * part of a handshake */
	if(tls_keylog_is_allowed())
		SSL_CTX_set_keylog_callback(ctx, keylog_cb);
}

enum tls_rc tls_record_watch(SSL *ssl, struct tls_record_keys *keys)
{
	memset(keys, 0, sizeof(*keys));
	if(SSL_set_ex_data(ssl, keys_index, keys) != 1)
		return TLS_RC_NOMEM;
	SSL_set_msg_callback(ssl, message_cb);
	SSL_set_msg_callback_arg(ssl, keys);
	return TLS_RC_OK;
}

void tls_record_unwatch(SSL *ssl)
{
	(void)SSL_set_ex_data(ssl, keys_index, NULL);
	SSL_set_msg_callback(ssl, NULL);
	SSL_set_msg_callback_arg(ssl, NULL);
}

void tls_record_watch_output(
		struct tls_record_keys *keys, const unsigned char *out, size_t n)
{
	while(n > 0) {
		size_t skip;

		if(keys->left == 0 && keys->n_head >= TLS_RECORD_HEADER)
			keys->n_head = 0; /* a new record begins */
		if(keys->n_head < TLS_RECORD_HEADER) {
			keys->head[keys->n_head++] = *out++;
			n--;
			if(keys->n_head == TLS_RECORD_HEADER)
				keys->left = (size_t)keys->head[3] << 8 | keys->head[4];
			continue;
		}
		skip = 1;
		if(keys->n_head < sizeof(keys->head))
			keys->head[keys->n_head++] = *out;
		else
			skip = n < keys->left ? n : keys->left;
		out += skip;
		n -= skip;
		keys->left -= skip;
	}
}

void tls_record_watch_input(struct tls_record_keys *keys, unsigned char type)
{
	if(type == TLS_RECORD_CHANGE_CIPHER_SPEC)
		keys->taken = 0;
	else
		keys->taken++;
}

void tls_record_keys_clear(struct tls_record_keys *keys)
{
	OPENSSL_cleanse(keys, sizeof(*keys));
}

size_t tls_record_length(const unsigned char *in, size_t n)
{
	size_t body;

	if(n >= 1
			&& (in[0] < TLS_RECORD_CHANGE_CIPHER_SPEC
					|| in[0] > TLS_RECORD_APPLICATION))
		return SIZE_MAX;
	if(n >= 2 && in[1] != 3)
		return SIZE_MAX;
	if(n < TLS_RECORD_HEADER)
		return 0;
	body = (size_t)in[3] << 8 | in[4];
	if(body > TLS_RECORD_WIRE_MAX - TLS_RECORD_HEADER)
		return SIZE_MAX;
	return n - TLS_RECORD_HEADER >= body ? TLS_RECORD_HEADER + body : 0;
}

/* ---- setup ---- */

static bool has_short_tag(const SSL_CIPHER *cipher)
{
	uint16_t id = SSL_CIPHER_get_protocol_id(cipher);
	size_t i;

	for(i = 0; i < sizeof(short_tags) / sizeof(short_tags[0]); i++)
		if(short_tags[i] == id)
			return true;
	return false;
}

/* Row of the table for the cipher in use, or 0. */
static uint8_t find_suite(const SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	size_t tag;
	uint8_t i;

	if(cipher == NULL
			|| (SSL_version(ssl) != TLS1_3_VERSION
					&& SSL_version(ssl) != TLS1_2_VERSION))
		return 0;
	tag = has_short_tag(cipher) ? 8 : 16;
	for(i = 1; i < SUITES; i++)
		if(suites[i].nid == SSL_CIPHER_get_cipher_nid(cipher)
				&& suites[i].tag == tag && ciphers[i] != NULL)
			return i;
	return 0;
}

bool tls_record_suits(const SSL *ssl, const struct tls_record_keys *keys)
{
	const struct tls_kdf_secrets *secrets = &keys->secrets;
	bool known = SSL_version(ssl) == TLS1_3_VERSION
						 ? secrets->n_client > 0 && secrets->n_server > 0
						 : secrets->n_block > 0;

	return known && find_suite(ssl) != 0;
}

static bool setup_13(struct tls_record *record, const SSL *ssl,
		const struct tls_record_keys *keys)
{
	const struct tls_kdf_secrets *secrets = &keys->secrets;
	size_t n = secret_len(record);
	int side;

	if(secrets->n_client != n || secrets->n_server != n)
		return false;
	for(side = 0; side < 2; side++) {
		memcpy(record->half[side].secret,
				is_of_server(ssl, (enum tls_record_side)side) ? secrets->server
															  : secrets->client,
				n);
		if(!derive_13(record, (enum tls_record_side)side))
			return false;
	}
	record->half[TLS_RECORD_WRITE].seq = keys->written;
	return true;
}

/* Most clear text of one record, RFC 6066 s4: what the client asked for holds
 * for both directions and for resumptions. */
static uint16_t agreed_fragment(SSL *ssl)
{
	uint8_t mode = SSL_SESSION_get_max_fragment_length(SSL_get0_session(ssl));

	if(mode < TLSEXT_max_fragment_length_512
			|| mode > TLSEXT_max_fragment_length_4096)
		return TLS_RECORD_PLAIN_MAX;
	return (uint16_t)(512U << (mode - TLSEXT_max_fragment_length_512));
}

enum tls_rc tls_record_setup(struct tls_record *record, SSL *ssl,
		const struct tls_record_keys *keys, struct tls_err *err)
{
	const EVP_MD *md;
	bool ok;

	memset(record, 0, sizeof(*record));
	record->suite = find_suite(ssl);
	if(record->suite == 0)
		return tls_err_set(err, TLS_RC_BUG, "suite without record layer");
	tls_ossl_begin();
	md = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
	record->hash = md != NULL && EVP_MD_get_size(md) == 48 ? TLS_KDF_SHA384
														   : TLS_KDF_SHA256;
	record->tls13 = SSL_version(ssl) == TLS1_3_VERSION;
	record->fragment = agreed_fragment(ssl);
	record->id = atomic_fetch_add(next_id, 1);
	tls_kdf_watch(NULL); /* all keys in one series */
	ok = record->tls13 ? setup_13(record, ssl, keys)
					   : derive_12(record, ssl, keys);
	tls_kdf_unwatch();
	if(ok)
		return TLS_RC_OK;
	tls_record_clear(record);
	return tls_ossl_fail(err, TLS_RC_TLS, "could not derive record keys");
}

/* ---- cipher contexts of this process ---- */

/* Frees the context in SLOT, with the expanded key. */
static void drop_slot(struct cached *slot)
{
	EVP_CIPHER_CTX_free(slot->ctx);
	memset(slot, 0, sizeof(*slot));
}

void tls_record_forget(void)
{
	struct cached *slot = &cache[0][0][0];
	size_t n = sizeof(cache) / sizeof(*slot);

	for(; n > 0; n--, slot++)
		drop_slot(slot);
}

static struct cached *slot_of(
		const struct tls_record *record, enum tls_record_side side)
{
	return &cache[record->suite][side][record->id % CACHE_SLOTS];
}

/* Drops what this process has of the connection ID. */
static void drop_id(uint64_t id)
{
	size_t suite;
	int side;

	for(suite = 1; suite < SUITES; suite++)
		for(side = 0; side < 2; side++)
			if(cache[suite][side][id % CACHE_SLOTS].id == id)
				drop_slot(&cache[suite][side][id % CACHE_SLOTS]);
}

/* Drops the contexts of connections that ended since this process last looked;
 * all of them when more ended than were noted. */
static void heed_ended(void)
{
	uint64_t n = atomic_load_explicit(&ended->n, memory_order_acquire);

	while(ended_seen != n) {
		size_t i = ended_seen % ENDED;
		uint64_t before = atomic_load(&ended->entries[i].number);
		uint64_t id = atomic_load(&ended->entries[i].id);
		uint64_t number = atomic_load(&ended->entries[i].number);

		if(before <= ended_seen || number != before)
			return; /* being written just now: next time */
		if(number != ended_seen + 1) {
			tls_record_forget();
			ended_seen = n;
			return;
		}
		drop_id(id);
		ended_seen++;
	}
}

/* Tells every process that the connection ID ended. */
static void note_ended(uint64_t id)
{
	uint64_t entry = atomic_fetch_add(&ended->n, 1);

	atomic_store(&ended->entries[entry % ENDED].number, 0);
	atomic_store(&ended->entries[entry % ENDED].id, id);
	atomic_store(&ended->entries[entry % ENDED].number, entry + 1);
}

void tls_record_clear(struct tls_record *record)
{
	if(record->suite != 0) {
		drop_id(record->id);
		note_ended(record->id);
	}
	OPENSSL_cleanse(record, sizeof(*record));
}

/* ---- protection ---- */

/* Puts cipher and key of RECORD into SLOT, whose context is there. */
static bool set_key(struct cached *slot, const struct tls_record *record,
		enum tls_record_side side, const unsigned char *nonce)
{
	const struct tls_record_half *half = &record->half[side];
	const struct suite *suite = &suites[record->suite];
	int enc = side == TLS_RECORD_WRITE;

	slot->id = 0;
	if(EVP_CipherInit_ex(
			   slot->ctx, ciphers[record->suite], NULL, NULL, NULL, enc)
			!= 1)
		return false;
	if(suite->mode == MODE_CCM
			&& (EVP_CIPHER_CTX_ctrl(
						slot->ctx, EVP_CTRL_AEAD_SET_IVLEN, TLS_RECORD_IV, NULL)
							!= 1
					|| EVP_CIPHER_CTX_ctrl(slot->ctx, EVP_CTRL_AEAD_SET_TAG,
							   (int)suite->tag, NULL)
							   != 1))
		return false;
	if(EVP_CipherInit_ex(slot->ctx, NULL, NULL, half->key, nonce, enc) != 1)
		return false;
	slot->id = record->id;
	slot->epoch = half->epoch;
	return true;
}

/* This process's context with the key of RECORD in it, ready for NONCE.
 * Setting the key costs more than a small record, hence the cache. */
static EVP_CIPHER_CTX *context(const struct tls_record *record,
		enum tls_record_side side, const unsigned char *nonce)
{
	struct cached *slot = slot_of(record, side);
	bool good;

	heed_ended();
	if(slot->id == record->id && slot->epoch == record->half[side].epoch
			&& suites[record->suite].mode != MODE_CCM)
		return EVP_CipherInit_ex(slot->ctx, NULL, NULL, NULL, nonce,
					   side == TLS_RECORD_WRITE)
							   == 1
					   ? slot->ctx
					   : NULL;
	tls_mem_private_begin();
	if(slot->ctx == NULL)
		slot->ctx = EVP_CIPHER_CTX_new();
	good = slot->ctx != NULL && set_key(slot, record, side, nonce);
	tls_mem_private_end();
	return good ? slot->ctx : NULL;
}

/* The nonce of the next record: RFC 8446 s5.3 and RFC 7905 s2 mix the counter
 * into the IV; RFC 5288 s3 and RFC 6655 s3 put 8 bytes WIRE behind the salt. */
static void make_nonce(const struct tls_record *record,
		enum tls_record_side side, const unsigned char *wire,
		unsigned char nonce[TLS_RECORD_IV])
{
	const struct tls_record_half *half = &record->half[side];
	unsigned char seq[8];
	int i;

	memcpy(nonce, half->iv, TLS_RECORD_IV);
	if(has_explicit(record)) {
		memcpy(nonce + 4, wire, EXPLICIT);
		return;
	}
	put64(seq, half->seq);
	for(i = 0; i < 8; i++)
		nonce[4 + i] ^= seq[i];
}

/* Additional data: the header (RFC 8446 s5.2), or counter, type, version and
 * clear text length (RFC 5246 s6.2.3.3). Returns its length. */
static size_t make_aad(const struct tls_record *record,
		enum tls_record_side side, const unsigned char *header, size_t n_clear,
		unsigned char aad[13])
{
	if(record->tls13) {
		memcpy(aad, header, TLS_RECORD_HEADER);
		return TLS_RECORD_HEADER;
	}
	put64(aad, record->half[side].seq);
	memcpy(aad + 8, header, 3);
	aad[11] = (unsigned char)(n_clear >> 8);
	aad[12] = (unsigned char)n_clear;
	return 13;
}

/* Where the parts of one protected record lie. */
struct parts
{
	const unsigned char *aad;
	size_t n_aad;
	const unsigned char *in;
	size_t n_in;
	unsigned char inner_type; /* sealing TLS 1.3 */
	bool has_inner;
	unsigned char *out;
	unsigned char *tag;
	size_t n_tag;
};

/* CCM must know the length of all clear text before anything else. */
static bool announce(EVP_CIPHER_CTX *ctx, enum suite_mode mode, size_t n)
{
	int done;

	return mode != MODE_CCM
		   || EVP_CipherUpdate(ctx, NULL, &done, NULL, (int)n) == 1;
}

static bool encrypt(
		EVP_CIPHER_CTX *ctx, enum suite_mode mode, const struct parts *p)
{
	int n = 0;
	int last = 0;

	return announce(ctx, mode, p->n_in)
		   && EVP_EncryptUpdate(ctx, NULL, &n, p->aad, (int)p->n_aad) == 1
		   && EVP_EncryptUpdate(ctx, p->out, &n, p->in, (int)p->n_in) == 1
		   && EVP_EncryptFinal_ex(ctx, p->out + n, &last) == 1
		   && EVP_CIPHER_CTX_ctrl(
					  ctx, EVP_CTRL_AEAD_GET_TAG, (int)p->n_tag, p->tag)
					  == 1;
}

static bool decrypt(
		EVP_CIPHER_CTX *ctx, enum suite_mode mode, const struct parts *p)
{
	int n = 0;
	int last = 0;

	if(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)p->n_tag, p->tag)
					!= 1
			|| !announce(ctx, mode, p->n_in)
			|| EVP_DecryptUpdate(ctx, NULL, &n, p->aad, (int)p->n_aad) != 1)
		return false;
	/* CCM decides in the update, the others at the end */
	if(EVP_DecryptUpdate(ctx, p->out, &n, p->in, (int)p->n_in) != 1)
		return false;
	return mode == MODE_CCM || EVP_DecryptFinal_ex(ctx, p->out + n, &last) == 1;
}

bool tls_record_wants_update(const struct tls_record *record)
{
	return record->tls13
		   && record->half[TLS_RECORD_WRITE].seq >= RECORDS_UPDATE;
}

/* TLS 1.2 cannot change keys and its RFCs name no limit: only the counter may
 * not wrap (RFC 5246 s6.1). */
static bool used_up(const struct tls_record *record, enum tls_record_side side)
{
	uint64_t limit = record->tls13 && side == TLS_RECORD_WRITE ? RECORDS_MAX
															   : UINT64_MAX;

	return record->half[side].seq >= limit;
}

enum tls_rc tls_record_seal(struct tls_record *record,
		enum tls_record_type type, const unsigned char *data, size_t n,
		unsigned char *out, size_t *n_out, struct tls_err *err)
{
	struct tls_record_half *half = &record->half[TLS_RECORD_WRITE];
	const struct suite *suite = &suites[record->suite];
	size_t explicit = has_explicit(record) ? EXPLICIT : 0;
	size_t inner = record->tls13 ? 1 : 0;
	size_t body = explicit + n + inner + suite->tag;
	unsigned char *text = out + TLS_RECORD_HEADER + explicit;
	unsigned char nonce[TLS_RECORD_IV];
	unsigned char aad[13];
	struct parts parts = {.aad = aad,
			.in = data,
			.n_in = n,
			.out = text,
			.tag = text + n + inner,
			.n_tag = suite->tag};
	EVP_CIPHER_CTX *ctx;

	*n_out = 0;
	if(n > record->fragment)
		return tls_err_set(err, TLS_RC_BUG, "record of %zu bytes", n);
	if(used_up(record, TLS_RECORD_WRITE))
		return tls_err_set(err, TLS_RC_LIMIT, "the record key is used up");
	out[0] = record->tls13 ? TLS_RECORD_APPLICATION : (unsigned char)type;
	out[1] = 3;
	out[2] = 3;
	out[3] = (unsigned char)(body >> 8);
	out[4] = (unsigned char)body;
	if(explicit > 0)
		put64(out + TLS_RECORD_HEADER, half->explicit + half->seq);
	if(inner > 0) {
		/* TLSInnerPlaintext needs the type behind the text: put both
		 * together where the ciphertext will be; EVP works in place. */
		memmove(text, data, n);
		text[n] = (unsigned char)type;
		parts.in = text;
		parts.n_in = n + 1;
	}
	parts.n_aad = make_aad(record, TLS_RECORD_WRITE, out, n, aad);
	make_nonce(record, TLS_RECORD_WRITE, out + TLS_RECORD_HEADER, nonce);
	ctx = context(record, TLS_RECORD_WRITE, nonce);
	if(ctx == NULL || !encrypt(ctx, suite->mode, &parts)) {
		OPENSSL_cleanse(out, TLS_RECORD_HEADER + body);
		return tls_ossl_fail(err, TLS_RC_TLS, "could not seal a record");
	}
	half->seq++;
	*n_out = TLS_RECORD_HEADER + body;
	return TLS_RC_OK;
}

/* Takes padding and inner content type off, RFC 8446 s5.4. False when there is
 * no type: all zeros. */
static bool unwrap_inner(const unsigned char *out, size_t *n, int *type)
{
	while(*n > 0 && out[*n - 1] == 0)
		(*n)--;
	if(*n == 0)
		return false;
	(*n)--;
	*type = out[*n];
	return true;
}

static enum tls_rc refuse(
		int *alert, int code, struct tls_err *err, const char *text)
{
	*alert = code;
	return tls_err_set(err, TLS_RC_PEER, "%s", text);
}

/* Checks what can be seen before opening. *N_TEXT is the clear text length
 * with inner type and padding. */
static enum tls_rc check_header(const struct tls_record *record,
		const unsigned char *in, size_t n, size_t *n_text, int *alert,
		struct tls_err *err)
{
	size_t explicit = has_explicit(record) ? EXPLICIT : 0;
	size_t least = explicit + suites[record->suite].tag;
	size_t body;

	if(n < TLS_RECORD_HEADER)
		return tls_err_set(err, TLS_RC_BUG, "record of %zu bytes", n);
	body = (size_t)in[3] << 8 | in[4];
	if(body != n - TLS_RECORD_HEADER)
		return tls_err_set(err, TLS_RC_BUG, "half a record");
	if(record->tls13 && in[0] != TLS_RECORD_APPLICATION)
		return refuse(alert, SSL_AD_UNEXPECTED_MESSAGE, err,
				"a record without protection after the handshake");
	if(body < least)
		return refuse(alert, SSL_AD_BAD_RECORD_MAC, err,
				"a record too short for its protection");
	*n_text = body - least;
	if(*n_text > TLS_RECORD_PLAIN_MAX + (record->tls13 ? 1U : 0U))
		return refuse(alert, SSL_AD_RECORD_OVERFLOW, err,
				"a record of more than 16384 bytes");
	return TLS_RC_OK;
}

enum tls_rc tls_record_open(struct tls_record *record, const unsigned char *in,
		size_t n, unsigned char *out, size_t *n_out, enum tls_record_type *type,
		int *alert, struct tls_err *err)
{
	const struct suite *suite = &suites[record->suite];
	size_t explicit = has_explicit(record) ? EXPLICIT : 0;
	const unsigned char *text = in + TLS_RECORD_HEADER + explicit;
	unsigned char nonce[TLS_RECORD_IV];
	unsigned char tag[TAG_MAX];
	unsigned char aad[13];
	struct parts parts = {.aad = aad,
			.in = text,
			.out = out,
			.tag = tag,
			.n_tag = suite->tag};
	EVP_CIPHER_CTX *ctx;
	size_t n_text = 0;
	int inner = in[0];
	enum tls_rc rc;

	*n_out = 0;
	*alert = SSL_AD_INTERNAL_ERROR;
	rc = check_header(record, in, n, &n_text, alert, err);
	if(rc != TLS_RC_OK)
		return rc;
	if(used_up(record, TLS_RECORD_READ))
		return tls_err_set(err, TLS_RC_LIMIT, "the record key is used up");
	parts.n_in = n_text;
	memcpy(tag, text + n_text, suite->tag);
	parts.n_aad = make_aad(record, TLS_RECORD_READ, in, n_text, aad);
	make_nonce(record, TLS_RECORD_READ, in + TLS_RECORD_HEADER, nonce);
	ctx = context(record, TLS_RECORD_READ, nonce);
	if(ctx == NULL)
		return tls_ossl_fail(err, TLS_RC_TLS, "could not open a record");
	if(!decrypt(ctx, suite->mode, &parts)) {
		OPENSSL_cleanse(out, n_text); /* unauthenticated clear text */
		ERR_clear_error();
		return refuse(alert, SSL_AD_BAD_RECORD_MAC, err,
				"a record that was changed or made with another key");
	}
	if(record->tls13 && !unwrap_inner(out, &n_text, &inner))
		return refuse(alert, SSL_AD_UNEXPECTED_MESSAGE, err,
				"a record without a content type");
	if(n_text > record->fragment) {
		OPENSSL_cleanse(out, n_text);
		return refuse(alert, SSL_AD_RECORD_OVERFLOW, err,
				"a record larger than was agreed");
	}
	record->half[TLS_RECORD_READ].seq++;
	*type = (enum tls_record_type)inner;
	*n_out = n_text;
	return TLS_RC_OK;
}

enum tls_rc tls_record_update(struct tls_record *record,
		enum tls_record_side side, struct tls_err *err)
{
	struct tls_record_half *half = &record->half[side];
	unsigned char next[TLS_KDF_SECRET_MAX];
	size_t n = secret_len(record);
	bool ok;

	tls_ossl_begin();
	tls_kdf_watch(NULL);
	ok = tls_kdf_expand(record->hash, half->secret, "traffic upd", next, n);
	if(ok) {
		memcpy(half->secret, next, n);
		ok = derive_13(record, side);
	}
	tls_kdf_unwatch();
	OPENSSL_cleanse(next, sizeof(next));
	if(!ok)
		return tls_ossl_fail(err, TLS_RC_TLS, "could not change record keys");
	return TLS_RC_OK;
}
