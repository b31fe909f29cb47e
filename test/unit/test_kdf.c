/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_kdf: the library's own KDF is the judge, who is asked with what
 * libssl asks and with what it would never; who gets which of the two; and
 * that no memory means no secret. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_kdf.h"
#include "../../tls_mem.h"
#include "../../tls_ossl.h"
#include "../lib/port_stub.h"

#define OUT_MAX 13000

void test_kdf_add(void);

struct ask
{
	const char *reason;
	bool good; /* an answer, that of the judge; else none */
	int mode;  /* -1 = left out */
	const char *digest;
	int key; /* bytes; -1 = left out, the same below */
	int salt;
	const char *label;
	int data;
	size_t n_out;
};

#define EXTRACT EVP_KDF_HKDF_MODE_EXTRACT_ONLY
#define EXPAND EVP_KDF_HKDF_MODE_EXPAND_ONLY
#define LONG_LABEL                                                           \
	"1234567890123456789012345678901234567890123456789012345678901234567890" \
	"1234567890123456789012345678901234567890123456789012345678901234567890" \
	"1234567890123456789012345678901234567890123456789012345678901234567890" \
	"123456789012345678901234567890123456789"

static const struct ask asks[] = {
		{"no digest", false, EXPAND, NULL, 32, -1, "key", -1, 16},
		{"a digest of no suite", false, EXPAND, "SHA2-512", 64, -1, "key", -1,
				16},
		{"no mode", false, -1, "SHA2-256", 32, -1, "key", -1, 16},
		{"a mode of plain HKDF", false, EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND,
				"SHA2-256", 32, -1, "key", -1, 16},
		{"expand without a secret", false, EXPAND, "SHA2-256", -1, -1, "key",
				-1, 16},
		{"nothing wanted", false, EXPAND, "SHA2-256", 32, -1, "key", -1, 0},
		{"more blocks than a byte can count", false, EXPAND, "SHA2-256", 32, -1,
				"exporter", 32, 255 * 32 + 1},
		{"a label that its length byte cannot hold", false, EXPAND, "SHA2-256",
				32, -1, LONG_LABEL LONG_LABEL, -1, 16},
		{"a context that its length byte cannot hold", false, EXPAND,
				"SHA2-256", 32, -1, "exporter", 256, 16},
		{"a secret larger than any hash", false, EXPAND, "SHA2-256", 49, -1,
				"key", -1, 16},
		{"extract to half a secret", false, EXTRACT, "SHA2-256", 32, 32,
				"derived", -1, 16},
		{"key", true, EXPAND, "SHA2-256", 32, -1, "key", -1, 16},
		{"the same secret again, which is not set anew", true, EXPAND,
				"SHA2-256", 32, -1, "iv", -1, 12},
		{"key of SHA-384", true, EXPAND, "SHA2-384", 48, -1, "key", -1, 32},
		{"a digest by its older name", true, EXPAND, "SHA256", 32, -1,
				"c hs traffic", 32, 32},
		{"traffic secret", true, EXPAND, "SHA2-384", 48, -1, "s ap traffic", 48,
				48},
		{"an empty context", true, EXPAND, "SHA2-256", 32, -1, "finished", 0,
				32},
		{"the longest context", true, EXPAND, "SHA2-256", 32, -1, "exporter",
				255, 32},
		{"several blocks, as exporters want", true, EXPAND, "SHA2-256", 32, -1,
				"exporter", 32, 100},
		{"the most that there is", true, EXPAND, "SHA2-384", 48, -1, "exporter",
				48, 255 * 48},
		{"early secret without a key", true, EXTRACT, "SHA2-256", -1, -1,
				"derived", -1, 32},
		{"early secret of a resumption", true, EXTRACT, "SHA2-384", 48, -1,
				"derived", -1, 48},
		{"handshake secret", true, EXTRACT, "SHA2-256", 32, 32, "derived", -1,
				32},
		{"handshake secret from a large group", true, EXTRACT, "SHA2-384", 1024,
				48, "derived", -1, 48},
		{"main secret", true, EXTRACT, "SHA2-256", -1, 32, "derived", -1, 32},
};
#define ASKS (sizeof(asks) / sizeof(asks[0]))

struct ask_prf
{
	const char *reason;
	const char *digest;
	int secret; /* bytes; -1 = left out */
	int seeds;	/* pieces of 13 bytes after the label */
	const char *label;
	size_t n_out;
};

/* What is not ours goes to the judge, who refuses it or not. */
static const struct ask_prf prf_asks[] = {
		{"no digest", NULL, 48, 2, "key expansion", 48},
		{"a digest of no library", "NO", 48, 2, "key expansion", 48},
		{"no secret", "SHA2-256", -1, 2, "key expansion", 48},
		{"an empty secret", "SHA2-256", 0, 2, "key expansion", 48},
		{"no seed", "SHA2-256", 48, 0, "", 48},
		{"nothing wanted", "SHA2-256", 48, 2, "key expansion", 0},
		{"more pieces than libssl has", "SHA2-256", 48, 9, "key expansion", 48},
		{"TLS 1.1", "MD5-SHA1", 48, 2, "key expansion", 104},
		{"a digest of another suite", "SHA2-512", 48, 2, "key expansion", 104},
		{"main secret, X25519", "SHA2-256", 32, 2, "master secret", 48},
		{"main secret, RSA", "SHA256", 48, 2, "master secret", 48},
		{"main secret, P-521", "SHA2-384", 66, 1, "extended master secret", 48},
		{"main secret, a large group", "SHA2-256", 1000, 2, "master secret",
				48},
		{"main secret of one byte", "SHA2-256", 1, 2, "master secret", 48},
		{"key block", "SHA2-256", 48, 2, "key expansion", 40},
		{"the same secret again, which is not set anew", "SHA2-256", 48, 2,
				"key expansion", 56},
		{"key block of SHA-384", "SHA2-384", 48, 2, "key expansion", 88},
		{"a key block larger than is kept", "SHA2-384", 48, 2, "key expansion",
				200},
		{"Finished", "SHA2-256", 48, 1, "server finished", 12},
		{"exactly one block", "SHA2-256", 48, 2, "key expansion", 32},
		{"exporter", "SHA2-384", 48, 5, "EXPORTER: of something", 1000},
};
#define PRF_ASKS (sizeof(prf_asks) / sizeof(prf_asks[0]))

static EVP_KDF *ours;
static EVP_KDF *judge;
static EVP_KDF *our_prf;
static EVP_KDF *prf_judge;

static unsigned char bytes_of[1024]; /* of keys, salts, contexts */

static void set_up(void)
{
	struct tls_err err;
	size_t i;

	if(ours != NULL)
		return;
	for(i = 0; i < sizeof(bytes_of); i++)
		bytes_of[i] = (unsigned char)(i * 7 + 3);
	CU_ASSERT_EQUAL_FATAL(tls_ossl_init(&err), TLS_RC_OK);
	CU_ASSERT_EQUAL_FATAL(tls_kdf_init(&err), TLS_RC_OK);
	CU_ASSERT_EQUAL_FATAL(tls_kdf_init(&err), TLS_RC_OK);
	ours = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, TLS_KDF_PROPERTIES);
	judge = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, "provider=default");
	CU_ASSERT_FATAL(ours != NULL && judge != NULL && ours != judge);
	our_prf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, TLS_KDF_PROPERTIES);
	prf_judge = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, "provider=default");
	CU_ASSERT_FATAL(
			our_prf != NULL && prf_judge != NULL && our_prf != prf_judge);
}

static OSSL_PARAM octets(const char *name, size_t from, int n)
{
	return OSSL_PARAM_construct_octet_string(name,
			bytes_of + (from + (size_t)n <= sizeof(bytes_of) ? from : 0),
			(size_t)n);
}

static bool derive(EVP_KDF *kdf, const struct ask *ask, unsigned char *out)
{
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[8];
	OSSL_PARAM *p = params;
	int mode = ask->mode;
	bool ok;

	if(mode >= 0)
		*p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	if(ask->digest != NULL)
		*p++ = OSSL_PARAM_construct_utf8_string(
				OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)ask->digest, 0);
	if(ask->key >= 0)
		*p++ = octets(OSSL_KDF_PARAM_KEY, 0, ask->key);
	if(ask->salt >= 0)
		*p++ = octets(OSSL_KDF_PARAM_SALT, 100, ask->salt);
	*p++ = OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_PREFIX, (char *)(uintptr_t) "tls13 ", 6);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL,
			(char *)(uintptr_t)ask->label, strlen(ask->label));
	if(ask->data >= 0)
		*p++ = octets(OSSL_KDF_PARAM_DATA, 200, ask->data);
	*p = OSSL_PARAM_construct_end();
	ok = ctx != NULL && EVP_KDF_derive(ctx, out, ask->n_out, params) == 1;
	EVP_KDF_CTX_free(ctx);
	return ok;
}

static void expect(bool good, const char *reason)
{
	if(!good)
		fprintf(stderr, "\nkdf: %s\n", reason);
	CU_ASSERT(good);
}

static void test_judge(void)
{
	static unsigned char out[OUT_MAX];
	static unsigned char want[OUT_MAX];
	size_t i;

	set_up();
	for(i = 0; i < ASKS; i++) {
		const struct ask *ask = &asks[i];
		bool ok = derive(ours, ask, out);

		expect(ok == ask->good, ask->reason);
		if(ok)
			expect(derive(judge, ask, want)
							&& memcmp(out, want, ask->n_out) == 0,
					ask->reason);
		ERR_clear_error();
	}
	tls_kdf_unwatch();
}

static bool derive_prf(
		EVP_KDF *kdf, const struct ask_prf *ask, unsigned char *out)
{
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[16];
	OSSL_PARAM *p = params;
	bool ok;
	int i;

	if(ask->digest != NULL)
		*p++ = OSSL_PARAM_construct_utf8_string(
				OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)ask->digest, 0);
	if(ask->secret >= 0)
		*p++ = octets(OSSL_KDF_PARAM_SECRET, 0, ask->secret);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED,
			(char *)(uintptr_t)ask->label, strlen(ask->label));
	for(i = 0; i < ask->seeds; i++)
		*p++ = octets(OSSL_KDF_PARAM_SEED, 100 + 20 * (size_t)i, 13);
	/* as libssl has it for what it has not */
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, NULL, 0);
	*p = OSSL_PARAM_construct_end();
	ok = ctx != NULL && EVP_KDF_derive(ctx, out, ask->n_out, params) == 1;
	EVP_KDF_CTX_free(ctx);
	return ok;
}

static void test_prf(void)
{
	static unsigned char out[OUT_MAX];
	static unsigned char want[OUT_MAX];
	struct tls_kdf_secrets secrets;
	size_t i;

	set_up();
	for(i = 0; i < PRF_ASKS; i++) {
		const struct ask_prf *ask = &prf_asks[i];
		bool good = derive_prf(prf_judge, ask, want);
		bool is_block = strcmp(ask->label, "key expansion") == 0 && i > 8;
		size_t n =
				ask->n_out < TLS_KDF_BLOCK_MAX ? ask->n_out : TLS_KDF_BLOCK_MAX;

		ERR_clear_error();
		memset(&secrets, 0, sizeof(secrets));
		tls_kdf_watch(&secrets);
		expect(derive_prf(our_prf, ask, out) == good, ask->reason);
		tls_kdf_unwatch();
		ERR_clear_error();
		if(good)
			expect(memcmp(out, want, ask->n_out) == 0, ask->reason);
		expect(secrets.n_block == (is_block ? n : 0)
						&& memcmp(secrets.block, want, secrets.n_block) == 0,
				ask->reason);
	}
}

static void test_prf_no_memory(void)
{
	const struct ask_prf *ask = &prf_asks[PRF_ASKS - 1];
	unsigned char want[1000];
	unsigned char out[1000];
	unsigned long k;
	bool failed = true;

	set_up();
	CU_ASSERT(derive_prf(prf_judge, ask, want));
	for(k = 1; failed && k < 500; k++) {
		tls_kdf_forget();
		port_stub_fail_at(k);
		if(derive_prf(our_prf, ask, out))
			expect(memcmp(out, want, ask->n_out) == 0, "a wrong secret");
		failed = port_stub_failed();
		port_stub_fail_at(0);
		expect(derive_prf(our_prf, ask, out)
						&& memcmp(out, want, ask->n_out) == 0,
				"after a failure");
		ERR_clear_error();
	}
	CU_ASSERT(!failed && k > 5);
	tls_kdf_forget();
}

/* Wrong types, which libssl never gives. */
static void test_types(void)
{
	unsigned char out[32];
	int number = EXPAND;
	size_t i;
	char text[] = "EXPAND_ONLY";
	OSSL_PARAM good[] = {OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &number),
			OSSL_PARAM_utf8_string(
					OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 6),
			OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, bytes_of, 32),
			OSSL_PARAM_octet_string(OSSL_KDF_PARAM_PREFIX, bytes_of, 6),
			OSSL_PARAM_octet_string(OSSL_KDF_PARAM_LABEL, bytes_of, 3),
			OSSL_PARAM_octet_string("another", bytes_of, 3), OSSL_PARAM_END};
	EVP_KDF_CTX *ctx;

	set_up();
	ctx = EVP_KDF_CTX_new(ours);
	CU_ASSERT_FATAL(ctx != NULL);
	CU_ASSERT(EVP_KDF_derive(ctx, out, 16, good) == 1);
	CU_ASSERT(EVP_KDF_derive(ctx, out, 16, NULL) != 1);
	for(i = 0; i < 5; i++) {
		OSSL_PARAM bad[sizeof(good) / sizeof(good[0])];

		memcpy(bad, good, sizeof(bad));
		bad[i].data_type = i == 1 ? OSSL_PARAM_INTEGER : OSSL_PARAM_UTF8_STRING;
		if(i == 0)
			bad[i].data = text;
		expect(EVP_KDF_derive(ctx, out, 16, bad) != 1, good[i].key);
	}
	EVP_KDF_CTX_free(ctx);
	ERR_clear_error();
	tls_kdf_unwatch();
}

static const char *provider_for(const char *algorithm, const char *properties)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, algorithm, properties);
	const char *name =
			kdf != NULL ? OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf))
						: "none";

	EVP_KDF_free(kdf);
	return name;
}

/* Other libraries of the process keep what they had, and whoever asks for
 * approved algorithms does not get ours. */
static void test_choice(void)
{
	static const char *const names[] = {
			OSSL_KDF_NAME_TLS1_3_KDF, OSSL_KDF_NAME_TLS1_PRF};
	EVP_MD *md;
	size_t i;

	set_up();
	for(i = 0; i < 2; i++) {
		CU_ASSERT_STRING_EQUAL(
				provider_for(names[i], TLS_KDF_PROPERTIES), "tls_hkdf");
		CU_ASSERT_STRING_EQUAL(provider_for(names[i], NULL), "default");
		CU_ASSERT_STRING_EQUAL(
				provider_for(names[i], "provider=default"), "default");
		CU_ASSERT_STRING_EQUAL(
				provider_for(names[i], "fips=yes,?tls.hkdf=yes"), "none");
	}
	CU_ASSERT(tls_kdf_is_used());
	ERR_clear_error();
	/* what we do not have comes from where it always came */
	md = EVP_MD_fetch(NULL, "SHA2-256", TLS_KDF_PROPERTIES);
	CU_ASSERT_FATAL(md != NULL);
	CU_ASSERT_STRING_EQUAL(
			OSSL_PROVIDER_get0_name(EVP_MD_get0_provider(md)), "default");
	EVP_MD_free(md);
}

static void test_watch(void)
{
	static const struct
	{
		const char *label;
		size_t n_client;
		size_t n_server;
		const char *reason;
	} rows[] = {{"c hs traffic", 0, 0, "a secret of the handshake"},
			{"exp master", 0, 0, "a shorter label"},
			{"s ap traffik", 0, 0, "a label that is nearly it"},
			{"s ap traffic", 0, 32, "the server's"},
			{"c ap traffic", 32, 0, "the client's"}};
	struct tls_kdf_secrets secrets;
	unsigned char out[32];
	size_t i;

	set_up();
	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ask ask = {rows[i].reason, true, EXPAND, "SHA2-256", 32, -1,
				rows[i].label, 32, 32};

		memset(&secrets, 0, sizeof(secrets));
		tls_kdf_watch(&secrets);
		CU_ASSERT(derive(ours, &ask, out));
		tls_kdf_unwatch();
		expect(secrets.n_client == rows[i].n_client
						&& secrets.n_server == rows[i].n_server,
				rows[i].reason);
		if(secrets.n_client > 0)
			CU_ASSERT(memcmp(secrets.client, out, 32) == 0);
		if(secrets.n_server > 0)
			CU_ASSERT(memcmp(secrets.server, out, 32) == 0);
		memset(&secrets, 0, sizeof(secrets));
		CU_ASSERT(derive(ours, &ask, out));
		expect(secrets.n_client == 0 && secrets.n_server == 0,
				"nothing is noted after the watch");
	}
	tls_kdf_unwatch();
}

/* ---- libraries before 3.0.3 ---- */

typedef int (*mac_init_fn)(
		EVP_MAC_CTX *, const unsigned char *, size_t, const OSSL_PARAM[]);

static bool old_library;
static unsigned char last_key[1024]; /* that a context was given */

/* Interposed for the whole test program: what OpenSSL 3.0.2 does. */
int EVP_MAC_init(EVP_MAC_CTX *ctx, const unsigned char *key, size_t n,
		const OSSL_PARAM params[])
{
	static mac_init_fn next;

	if(next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "EVP_MAC_init");
	if(next == NULL)
		abort();
	if(old_library && key == NULL)
		return 1; /* and the message before goes on */
	if(key != NULL && n <= sizeof(last_key)) {
		memset(last_key, 0, sizeof(last_key));
		memcpy(last_key, key, n);
	}
	return next(ctx, key, n, params);
}

/* A context of theirs does not begin anew without its key. */
static void test_old_library(void)
{
	struct tls_err err;

	set_up();
	old_library = true;
	CU_ASSERT_EQUAL_FATAL(tls_kdf_init(&err), TLS_RC_OK);
	test_judge();
	test_prf();
	old_library = false;
	CU_ASSERT_EQUAL_FATAL(tls_kdf_init(&err), TLS_RC_OK);
	test_judge();
	test_prf();
}

/* ---- what stays ---- */

/* True when the context that was set last has a secret. */
static bool has_secret(void)
{
	size_t i;

	for(i = 0; i < sizeof(last_key); i++)
		if(last_key[i] != 0)
			return true;
	return false;
}

/* A KeyUpdate or a ticket that comes after the handshake is derived without a
 * watch: nobody would wipe its secret, which opens what comes next. */
static void test_unwatched(void)
{
	struct ask ask = {"traffic upd", true, EXPAND, "SHA2-256", 32, -1,
			"traffic upd", 0, 32};
	struct ask_prf prf = {"", "SHA2-256", 300, 2, "master secret", 32};
	unsigned char out[32];

	set_up();
	tls_kdf_unwatch();
	CU_ASSERT(derive(ours, &ask, out));
	CU_ASSERT_FALSE(has_secret());
	CU_ASSERT(derive_prf(our_prf, &prf, out));
	CU_ASSERT_FALSE(has_secret());
	tls_kdf_watch(NULL); /* a handshake of a connection that stays */
	CU_ASSERT(derive(ours, &ask, out));
	CU_ASSERT_TRUE(has_secret());
	tls_kdf_unwatch();
	CU_ASSERT_FALSE(has_secret());
	tls_kdf_watch(NULL);
	CU_ASSERT(derive_prf(our_prf, &prf, out));
	CU_ASSERT_TRUE(has_secret());
	tls_kdf_unwatch();
	CU_ASSERT_FALSE(has_secret());
	tls_kdf_watch(NULL);
	CU_ASSERT(derive_prf(our_prf, &prf, out));
	ask.key = 0; /* must not be taken for the one that was too long to note */
	CU_ASSERT_FALSE(derive(ours, &ask, out));
	ERR_clear_error();
	tls_kdf_unwatch();
}

/* tls_kdf_expand() is HKDF-Expand-Label without a context. */
static void test_expand(void)
{
	struct ask ask = {
			"key", true, EXPAND, "SHA2-384", 48, -1, "traffic upd", 0, 48};
	unsigned char want[48];
	unsigned char out[48];

	set_up();
	CU_ASSERT(derive(judge, &ask, want));
	CU_ASSERT(tls_kdf_expand(TLS_KDF_SHA384, bytes_of, "traffic upd", out, 48));
	CU_ASSERT(memcmp(out, want, 48) == 0);
	CU_ASSERT_FALSE(has_secret());
	memset(out, 0, sizeof(out));
	tls_kdf_watch(NULL); /* of a series */
	CU_ASSERT(tls_kdf_expand(TLS_KDF_SHA384, bytes_of, "traffic upd", out, 48));
	CU_ASSERT(memcmp(out, want, 48) == 0);
	CU_ASSERT_TRUE(has_secret());
	tls_kdf_unwatch();
	CU_ASSERT_FALSE(has_secret());
}

/* Whatever allocation fails, the answer is the right one or none, the next one
 * is right, and nothing stays. */
static void test_no_memory(void)
{
	unsigned char want[48];
	unsigned char out[48];
	size_t before;
	unsigned long k;
	bool failed = true;

	set_up();
	/* what the library keeps for errors is there before it is counted */
	CU_ASSERT(!derive(ours, &asks[0], out));
	CU_ASSERT(!derive(judge, &asks[0], out));
	ERR_clear_error();
	tls_kdf_forget();
	tls_mem_flush();
	before = port_stub_live_blocks() + port_stub_private_blocks();
	for(k = 1; failed && k < 200; k++) {
		const struct ask *ask = &asks[ASKS - 2 - k % 3];

		CU_ASSERT(derive(judge, ask, want));
		tls_kdf_forget();
		port_stub_fail_at(k);
		if(derive(ours, ask, out))
			expect(memcmp(out, want, ask->n_out) == 0, "a wrong secret");
		tls_kdf_unwatch();
		failed = port_stub_failed();
		port_stub_fail_at(0);
		expect(derive(ours, ask, out) && memcmp(out, want, ask->n_out) == 0,
				"after a failure");
		ERR_clear_error();
	}
	CU_ASSERT(!failed && k > 5);
	tls_kdf_forget();
	tls_mem_flush();
	CU_ASSERT_EQUAL(
			port_stub_live_blocks() + port_stub_private_blocks(), before);
}

void test_kdf_add(void)
{
	CU_pSuite suite = CU_add_suite("kdf", NULL, NULL);

	CU_add_test(suite, "against the library's own", test_judge);
	CU_add_test(suite, "PRF of TLS 1.2", test_prf);
	CU_add_test(suite, "PRF, no memory", test_prf_no_memory);
	CU_add_test(suite, "parameters of wrong types", test_types);
	CU_add_test(suite, "who gets which", test_choice);
	CU_add_test(suite, "secrets that are watched for", test_watch);
	CU_add_test(suite, "libraries before 3.0.3", test_old_library);
	CU_add_test(suite, "secrets after the handshake", test_unwatched);
	CU_add_test(suite, "keys from a secret", test_expand);
	CU_add_test(suite, "no memory", test_no_memory);
}
