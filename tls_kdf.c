/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The key schedules of TLS 1.3 and 1.2; see tls_kdf.h. The seam is OpenSSL's
 * provider-kdf(7), the parameters are those of EVP_KDF-TLS13_KDF(7) and
 * EVP_KDF-TLS1_PRF(7). */

#include "tls_kdf.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "tls_mem.h"
#include "tls_ossl.h"

#define LABEL_MAX 255	/* prefix and label, RFC 8446 s7.1 */
#define CONTEXT_MAX 255 /* the same */
#define INFO_MAX (2 + 1 + LABEL_MAX + 1 + CONTEXT_MAX)
#define BLOCKS_MAX 255 /* RFC 5869 s2.3 */
#define SEEDS_MAX 6	   /* label and seed come in pieces; libssl has five */

/* Made before the first fork, read-only afterwards. */
static struct hash
{
	const char *name; /* as libssl gives it */
	const char *other_name;
	size_t size;
	EVP_MAC_CTX *hmac; /* without a secret: ours are copied from it */
	unsigned char of_nothing[TLS_KDF_SECRET_MAX];
} hashes[] = {
		[TLS_KDF_SHA256] = {"SHA2-256", "SHA256", 32, NULL, {0}},
		[TLS_KDF_SHA384] = {"SHA2-384", "SHA384", 48, NULL, {0}},
};
#define HASHES (sizeof(hashes) / sizeof(hashes[0]))

/* For a salt or an input that is left out, RFC 8446 s7.1. */
static const unsigned char zeros[TLS_KDF_SECRET_MAX];

/* Of this process; the contexts lie in private memory. Two secrets in a row
 * are often derived from the same one, which then need not be set again. */
static struct mac
{
	EVP_MAC_CTX *ctx;
	unsigned char key[TLS_KDF_SECRET_MAX]; /* that CTX has; until wiped */
	size_t n_key;						   /* 0 = none, or a longer one */
	bool used;							   /* CTX has a secret */
} macs[HASHES];

/* The library's own PRF, for what ours has not: TLS before 1.2, GOST. */
static EVP_KDF *other_prf;

/* EVP_MAC_init() without a key begins a new message, as it does from OpenSSL
 * 3.0.3 on; before, the finished one went on. Made with the hashes. */
static bool restarts;

static bool watching; /* in this process, now: who ends it wipes */
static struct tls_kdf_secrets *watched; /* meanwhile; may be NULL */

/* ---- HMAC ---- */

/* What a new process finds here is the copy of its parent's. It is left alone:
 * tls_mem frees private memory only where it was made. */
static void forget_macs_cb(void)
{
	OPENSSL_cleanse(macs, sizeof(macs));
	watching = false;
	watched = NULL;
}

static EVP_MAC_CTX *make_hmac(const char *digest)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	OSSL_PARAM params[2];

	params[0] = OSSL_PARAM_construct_utf8_string(
			OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	EVP_MAC_free(mac);
	if(ctx != NULL && EVP_MAC_init(ctx, zeros, sizeof(zeros), params) != 1) {
		EVP_MAC_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

/* One message under the key that CTX has, or under KEY. */
static bool try_hmac(EVP_MAC_CTX *ctx, const unsigned char *key,
		unsigned char out[TLS_KDF_SECRET_MAX])
{
	size_t n;

	return EVP_MAC_init(ctx, key, key != NULL ? 32 : 0, NULL) == 1
		   && EVP_MAC_update(ctx, zeros, 1) == 1
		   && EVP_MAC_final(ctx, out, &n, TLS_KDF_SECRET_MAX) == 1;
}

/* True when this library restarts a context, of which MADE is one. */
static bool can_restart(const EVP_MAC_CTX *made)
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(made);
	unsigned char first[TLS_KDF_SECRET_MAX] = {0};
	unsigned char second[TLS_KDF_SECRET_MAX] = {0};
	bool can = ctx != NULL && try_hmac(ctx, zeros, first)
			   && try_hmac(ctx, NULL, second)
			   && memcmp(first, second, sizeof(first)) == 0;

	EVP_MAC_CTX_free(ctx);
	return can;
}

/* Some bytes of a message; N = 0 for none. */
struct part
{
	const unsigned char *p;
	size_t n;
};

/* Makes MAC begin a message under KEY. */
static bool begin_hmac(struct mac *mac, struct part key)
{
	if(key.n == 0)
		return false; /* nothing that TLS derives from */
	if(restarts && mac->n_key == key.n
			&& CRYPTO_memcmp(mac->key, key.p, key.n) == 0)
		return EVP_MAC_init(mac->ctx, NULL, 0, NULL) == 1;
	mac->n_key = 0;
	mac->used = true;
	if(EVP_MAC_init(mac->ctx, key.p, key.n, NULL) != 1)
		return false;
	if(key.n <= sizeof(mac->key)) {
		memcpy(mac->key, key.p, key.n);
		mac->n_key = key.n;
	}
	return true;
}

/* HMAC of the concatenated PARTS. Runs in a private scope of tls_mem. */
static bool hmac(enum tls_kdf_hash hash, struct part key,
		const struct part *parts, size_t n_parts, unsigned char *out)
{
	struct mac *mac = &macs[hash];
	size_t size = hashes[hash].size;
	size_t n = 0;
	size_t i;
	bool ok;

	if(mac->ctx == NULL)
		mac->ctx = EVP_MAC_CTX_dup(hashes[hash].hmac);
	ok = mac->ctx != NULL && begin_hmac(mac, key);
	for(i = 0; i < n_parts && ok; i++)
		ok = parts[i].n == 0
			 || EVP_MAC_update(mac->ctx, parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_MAC_final(mac->ctx, out, &n, size) == 1 && n == size;
	if(!ok) { /* half a state is none */
		EVP_MAC_CTX_free(mac->ctx);
		OPENSSL_cleanse(mac, sizeof(*mac));
	}
	return ok;
}

/* Replaces the secrets in the contexts of this process by nothing. */
static void wipe_macs(void)
{
	size_t i;

	tls_mem_private_begin();
	ERR_set_mark();
	for(i = 0; i < HASHES; i++) {
		if(macs[i].ctx == NULL || !macs[i].used)
			continue;
		if(EVP_MAC_init(macs[i].ctx, zeros, hashes[i].size, NULL) != 1) {
			EVP_MAC_CTX_free(macs[i].ctx); /* which wipes as well */
			macs[i].ctx = NULL;
		}
		OPENSSL_cleanse(macs[i].key, sizeof(macs[i].key));
		macs[i].n_key = 0;
		macs[i].used = false;
	}
	ERR_pop_to_mark();
	tls_mem_private_end();
}

/* ---- HKDF ---- */

/* HKDF-Expand, RFC 5869 s2.3. In a private scope. */
static bool expand(enum tls_kdf_hash hash, struct part secret, struct part info,
		unsigned char *out, size_t n_out)
{
	size_t size = hashes[hash].size;
	unsigned char block[TLS_KDF_SECRET_MAX];
	unsigned char number = 1;
	struct part parts[3] = {{block, 0}, info, {&number, 1}};
	bool ok = n_out > 0 && n_out <= BLOCKS_MAX * size;

	while(ok && n_out > 0) {
		size_t n = n_out < size ? n_out : size;

		ok = hmac(hash, secret, parts, 3, block);
		if(!ok)
			break;
		memcpy(out, block, n);
		out += n;
		n_out -= n;
		parts[0].n = size;
		number++;
	}
	OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

/* HkdfLabel and HKDF-Expand-Label, RFC 8446 s7.1. In a private scope. */
static bool expand_label(enum tls_kdf_hash hash, struct part secret,
		struct part prefix, struct part label, struct part context,
		unsigned char *out, size_t n_out)
{
	unsigned char info[INFO_MAX];
	size_t n = 0;

	if(n_out > UINT16_MAX || prefix.n > LABEL_MAX
			|| label.n > LABEL_MAX - prefix.n || context.n > CONTEXT_MAX)
		return false;
	info[n++] = (unsigned char)(n_out >> 8);
	info[n++] = (unsigned char)n_out;
	info[n++] = (unsigned char)(prefix.n + label.n);
	if(prefix.n > 0)
		memcpy(info + n, prefix.p, prefix.n);
	n += prefix.n;
	if(label.n > 0)
		memcpy(info + n, label.p, label.n);
	n += label.n;
	info[n++] = (unsigned char)context.n;
	if(context.n > 0)
		memcpy(info + n, context.p, context.n);
	n += context.n;
	return expand(hash, secret, (struct part){info, n}, out, n_out);
}

bool tls_kdf_expand(enum tls_kdf_hash hash, const unsigned char *secret,
		const char *label, unsigned char *out, size_t n_out)
{
	static const unsigned char prefix[] = "tls13 ";
	bool ok;

	tls_mem_private_begin();
	ok = expand_label(hash, (struct part){secret, hashes[hash].size},
			(struct part){prefix, sizeof(prefix) - 1},
			(struct part){(const unsigned char *)label, strlen(label)},
			(struct part){NULL, 0}, out, n_out);
	tls_mem_private_end();
	if(!watching)
		wipe_macs();
	return ok;
}

/* ---- the provider ---- */

struct request
{
	int mode;
	int hash; /* -1 = one that we do not have */
	struct part key;
	struct part salt;
	struct part prefix;
	struct part label;
	struct part data;
};

/* Texts and octets are read without OSSL_PARAM_get_octet_string_ptr and its
 * like: they look for the type first that libssl never gives and, from OpenSSL
 * 3.2 on, note an error for it and drop that again, some 2,000 instructions for
 * each parameter. */

static int find_hash(const OSSL_PARAM *param)
{
	const char *name = param->data;
	size_t i;

	if(param->data_type != OSSL_PARAM_UTF8_STRING || name == NULL)
		return -1;
	for(i = 0; i < HASHES; i++)
		if(strcasecmp(name, hashes[i].name) == 0
				|| strcasecmp(name, hashes[i].other_name) == 0)
			return (int)i;
	return -1;
}

/* False when a parameter is not of the type that its name stands for. */
static bool read_request(struct request *request, const OSSL_PARAM *param)
{
	const struct
	{
		const char *name;
		struct part *part;
	} octets[] = {{OSSL_KDF_PARAM_KEY, &request->key},
			{OSSL_KDF_PARAM_SALT, &request->salt},
			{OSSL_KDF_PARAM_PREFIX, &request->prefix},
			{OSSL_KDF_PARAM_LABEL, &request->label},
			{OSSL_KDF_PARAM_DATA, &request->data}};
	size_t i;

	for(; param != NULL && param->key != NULL; param++) {
		if(strcmp(param->key, OSSL_KDF_PARAM_MODE) == 0) {
			if(OSSL_PARAM_get_int(param, &request->mode) != 1)
				return false;
			continue;
		}
		if(strcmp(param->key, OSSL_KDF_PARAM_DIGEST) == 0) {
			request->hash = find_hash(param);
			continue;
		}
		for(i = 0; i < sizeof(octets) / sizeof(octets[0]); i++) {
			if(strcmp(param->key, octets[i].name) != 0)
				continue;
			if(param->data_type != OSSL_PARAM_OCTET_STRING)
				return false;
			*octets[i].part = (struct part){param->data, param->data_size};
			break;
		}
	}
	return true;
}

/* The step from one secret of the schedule to the next: HKDF-Extract with the
 * secret "derived" from the one before as salt, RFC 8446 s7.1. */
static bool extract(const struct request *request, unsigned char *out)
{
	enum tls_kdf_hash hash = (enum tls_kdf_hash)request->hash;
	size_t size = hashes[hash].size;
	unsigned char derived[TLS_KDF_SECRET_MAX];
	struct part salt = {zeros, size};
	struct part input = request->key;
	bool ok = true;

	if(input.p == NULL)
		input = (struct part){zeros, size};
	if(request->salt.p != NULL) {
		ok = expand_label(hash, request->salt, request->prefix, request->label,
				(struct part){hashes[hash].of_nothing, size}, derived, size);
		salt.p = derived;
	}
	ok = ok && hmac(hash, salt, &input, 1, out);
	OPENSSL_cleanse(derived, sizeof(derived));
	return ok;
}

/* Notes what the watch waits for, RFC 8446 s7.1. */
static void note_secret(
		const struct request *request, const unsigned char *out, size_t n)
{
	struct part label = request->label;

	if(watched == NULL || n > TLS_KDF_SECRET_MAX || label.n != 12)
		return;
	if(memcmp(label.p, "c ap traffic", 12) == 0) {
		memcpy(watched->client, out, n);
		watched->n_client = n;
	} else if(memcmp(label.p, "s ap traffic", 12) == 0) {
		memcpy(watched->server, out, n);
		watched->n_server = n;
	}
}

/* OSSL_FUNC_kdf_derive: libssl gives all parameters with the call. 1 or 0. */
static int derive_cb(
		void *ctx, unsigned char *out, size_t n_out, const OSSL_PARAM params[])
{
	struct request request = {.mode = -1, .hash = -1};
	bool ok = false;

	(void)ctx;
	if(!read_request(&request, params) || request.hash < 0)
		return 0;
	tls_mem_private_begin();
	switch(request.mode) {
		case EVP_KDF_HKDF_MODE_EXTRACT_ONLY:
			ok = n_out == hashes[request.hash].size && extract(&request, out);
			break;
		case EVP_KDF_HKDF_MODE_EXPAND_ONLY:
			ok = request.key.p != NULL && request.key.n <= TLS_KDF_SECRET_MAX
				 && expand_label((enum tls_kdf_hash)request.hash, request.key,
						 request.prefix, request.label, request.data, out,
						 n_out);
			break;
		default:
			break;
	}
	tls_mem_private_end();
	if(ok && request.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY)
		note_secret(&request, out, n_out);
	if(!watching) /* a KeyUpdate or a ticket that libssl reads */
		wipe_macs();
	return ok;
}

struct prf
{
	int hash; /* -1 = one that we do not have */
	struct part secret;
	struct part seeds[SEEDS_MAX]; /* the first is the label */
	size_t n_seeds;
};

/* False when this is nothing for us. */
static bool read_prf(struct prf *prf, const OSSL_PARAM *param)
{
	for(; param != NULL && param->key != NULL; param++) {
		struct part part = {param->data, param->data_size};

		if(strcmp(param->key, OSSL_KDF_PARAM_DIGEST) == 0) {
			prf->hash = find_hash(param);
			continue;
		}
		if(strcmp(param->key, OSSL_KDF_PARAM_SECRET) != 0
				&& strcmp(param->key, OSSL_KDF_PARAM_SEED) != 0)
			continue;
		if(param->data_type != OSSL_PARAM_OCTET_STRING)
			return false;
		if(strcmp(param->key, OSSL_KDF_PARAM_SECRET) == 0)
			prf->secret = part;
		else if(part.n > 0 && prf->n_seeds == SEEDS_MAX)
			return false;
		else if(part.n > 0)
			prf->seeds[prf->n_seeds++] = part;
	}
	return prf->hash >= 0 && prf->secret.n > 0 && prf->n_seeds > 0;
}

/* P_hash of RFC 5246 s5. OUT overlaps nothing that it is made of. In a private
 * scope. */
static bool expand_prf(const struct prf *prf, unsigned char *out, size_t n_out)
{
	enum tls_kdf_hash hash = (enum tls_kdf_hash)prf->hash;
	size_t size = hashes[hash].size;
	unsigned char a[TLS_KDF_SECRET_MAX];
	unsigned char block[TLS_KDF_SECRET_MAX];
	struct part parts[1 + SEEDS_MAX] = {{a, size}};
	bool ok = hmac(hash, prf->secret, prf->seeds, prf->n_seeds, a);

	memcpy(parts + 1, prf->seeds, prf->n_seeds * sizeof(parts[0]));
	while(ok && n_out > 0) {
		size_t n = n_out < size ? n_out : size;

		ok = hmac(hash, prf->secret, parts, 1 + prf->n_seeds, block);
		if(!ok)
			break;
		memcpy(out, block, n);
		out += n;
		n_out -= n;
		if(n_out > 0)
			ok = hmac(hash, prf->secret, parts, 1, a);
	}
	OPENSSL_cleanse(a, sizeof(a));
	OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

/* OSSL_FUNC_kdf_derive of TLS1-PRF. 1 or 0. */
static int derive_prf_cb(
		void *ctx, unsigned char *out, size_t n_out, const OSSL_PARAM params[])
{
	struct prf prf = {.hash = -1};
	EVP_KDF_CTX *other;
	bool ok;

	(void)ctx;
	if(!read_prf(&prf, params) || n_out == 0) {
		other = EVP_KDF_CTX_new(other_prf);
		ok = other != NULL && EVP_KDF_derive(other, out, n_out, params) == 1;
		EVP_KDF_CTX_free(other);
		return ok;
	}
	tls_mem_private_begin();
	ok = expand_prf(&prf, out, n_out);
	tls_mem_private_end();
	if(ok && watched != NULL && prf.seeds[0].n == 13
			&& memcmp(prf.seeds[0].p, "key expansion", 13) == 0) {
		watched->n_block =
				n_out < TLS_KDF_BLOCK_MAX ? n_out : TLS_KDF_BLOCK_MAX;
		memcpy(watched->block, out, watched->n_block);
	}
	if(!watching)
		wipe_macs();
	return ok;
}

/* There is nothing to keep between two calls: all share one object. */
static void *new_cb(void *provider)
{
	return provider;
}

static void free_cb(void *ctx)
{
	(void)ctx;
}

static const OSSL_DISPATCH kdf_functions[] = {
		{OSSL_FUNC_KDF_NEWCTX, (void (*)(void))new_cb},
		{OSSL_FUNC_KDF_FREECTX, (void (*)(void))free_cb},
		{OSSL_FUNC_KDF_DERIVE, (void (*)(void))derive_cb}, {0, NULL}};

static const OSSL_DISPATCH prf_functions[] = {
		{OSSL_FUNC_KDF_NEWCTX, (void (*)(void))new_cb},
		{OSSL_FUNC_KDF_FREECTX, (void (*)(void))free_cb},
		{OSSL_FUNC_KDF_DERIVE, (void (*)(void))derive_prf_cb}, {0, NULL}};

static const OSSL_ALGORITHM kdfs[] = {
		{OSSL_KDF_NAME_TLS1_3_KDF, "provider=" TLS_KDF_PROVIDER ",tls.hkdf=yes",
				kdf_functions, "key schedule of TLS 1.3"},
		{OSSL_KDF_NAME_TLS1_PRF, "provider=" TLS_KDF_PROVIDER ",tls.hkdf=yes",
				prf_functions, "PRF of TLS 1.2"},
		{NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM *query_cb(
		void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
		{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query_cb},
		{0, NULL}};

static int provider_cb(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
		const OSSL_DISPATCH **out, void **provider)
{
	static char object; /* stands for all contexts */

	(void)handle;
	(void)in;
	*out = provider_functions;
	*provider = &object;
	return 1;
}

enum tls_rc tls_kdf_init(struct tls_err *err)
{
	static bool watches_forks;
	static bool loaded;
	size_t i;

	if(!watches_forks && pthread_atfork(NULL, NULL, forget_macs_cb) != 0)
		return tls_err_set(err, TLS_RC_NOMEM,
				"could not register the fork handler of the key schedule");
	watches_forks = true;
	tls_ossl_begin();
	for(i = 0; i < HASHES; i++) {
		if(hashes[i].hmac == NULL)
			hashes[i].hmac = make_hmac(hashes[i].name);
		if(hashes[i].hmac == NULL
				|| EVP_Q_digest(NULL, hashes[i].name, NULL, NULL, 0,
						   hashes[i].of_nothing, NULL)
						   != 1)
			return tls_ossl_fail(err, TLS_RC_TLS,
					"this library has no key derivation for TLS");
	}
	if(other_prf == NULL)
		other_prf = EVP_KDF_fetch(
				NULL, OSSL_KDF_NAME_TLS1_PRF, "?provider=default");
	if(other_prf == NULL)
		return tls_ossl_fail(
				err, TLS_RC_TLS, "this library has no key derivation for TLS");
	restarts = can_restart(hashes[TLS_KDF_SHA256].hmac);
	ERR_clear_error(); /* without memory it is slower, no more */
	/* Who has taken the default provider away wants certain algorithms only.
	 * With the fallback: a provider that is loaded by hand would otherwise
	 * end the automatic one, the default */
	if(!loaded && OSSL_PROVIDER_available(NULL, "default") == 1
			&& (OSSL_PROVIDER_add_builtin(NULL, TLS_KDF_PROVIDER, provider_cb)
							!= 1
					|| OSSL_PROVIDER_try_load(NULL, TLS_KDF_PROVIDER, 1)
							   == NULL))
		return tls_ossl_fail(
				err, TLS_RC_TLS, "this library takes no provider of ours");
	loaded = true;
	return TLS_RC_OK;
}

/* True when contexts made with TLS_KDF_PROPERTIES get our algorithm NAME. */
static bool is_ours(const char *name)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, TLS_KDF_PROPERTIES);
	bool ours = kdf != NULL
				&& strcmp(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)),
						   TLS_KDF_PROVIDER)
						   == 0;

	EVP_KDF_free(kdf);
	ERR_clear_error();
	return ours;
}

bool tls_kdf_is_used(void)
{
	return is_ours(OSSL_KDF_NAME_TLS1_3_KDF) && is_ours(OSSL_KDF_NAME_TLS1_PRF);
}

void tls_kdf_watch(struct tls_kdf_secrets *secrets)
{
	watching = true;
	watched = secrets;
}

void tls_kdf_unwatch(void)
{
	watching = false;
	watched = NULL;
	wipe_macs();
}

void tls_kdf_forget(void)
{
	size_t i;

	for(i = 0; i < HASHES; i++)
		EVP_MAC_CTX_free(macs[i].ctx);
	forget_macs_cb();
}
