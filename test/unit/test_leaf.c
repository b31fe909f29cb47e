/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of certificates that are read without an object: nothing passes that
 * d2i_X509 would refuse, and what is said is what the object would say. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/CUnit.h>

#include "../../tls_leaf.h"
#include "../../tls_mem.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_leaf_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

/* The certificate of NAME; to be freed with OPENSSL_free. */
static unsigned char *der_of(const char *name, size_t *n_out)
{
	unsigned char *der = NULL;
	int n = i2d_X509(pki_cert(name), &der);

	CU_ASSERT_FATAL(n > 0);
	*n_out = (size_t)n;
	return der;
}

/* True when the object made of the same bytes says the same as LEAF, or the
 * key is damaged: that is found out by who makes it. */
static bool agrees(
		const struct tls_leaf *leaf, const unsigned char *der, size_t n)
{
	const unsigned char *at = der, *spki = leaf->spki;
	X509 *cert = d2i_X509(NULL, &at, (long)n);
	EVP_PKEY *key = d2i_PUBKEY(NULL, &spki, (long)leaf->n_spki);
	struct tm end;
	int bits = -1;
	bool own, good;

	if(key == NULL) {
		X509_free(cert);
		ERR_clear_error();
		return true;
	}
	good = cert != NULL && at == der + n
		   && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) == 1
		   && (int64_t)timegm(&end) == leaf->not_after;
	if(good) {
		own = X509_NAME_cmp(
					  X509_get_subject_name(cert), X509_get_issuer_name(cert))
			  == 0;
		good = X509_get_signature_info(cert, NULL, NULL, &bits, NULL) == 1
			   && leaf->signature_bits == (own ? 0 : bits);
	}
	good = good && X509_get0_pubkey(cert) != NULL
		   && EVP_PKEY_eq(key, X509_get0_pubkey(cert)) == 1
		   && EVP_PKEY_get_base_id(key) == leaf->type;
	EVP_PKEY_free(key);
	X509_free(cert);
	ERR_clear_error();
	return good;
}

/* One bit of a good certificate at a time is wrong, or its end is missing. */
static void test_damaged(void)
{
	static const char *const names[] = {"ec", "rsa"};
	struct tls_leaf leaf;
	unsigned char *der;
	size_t i, n, byte, taken = 0, refused = 0, wrong = 0;
	int bit;

	for(i = 0; i < N(names); i++) {
		der = der_of(names[i], &n);
		for(byte = 0; byte < n; byte++)
			for(bit = 0; bit < 8; bit++) {
				der[byte] ^= (unsigned char)(1 << bit);
				if(tls_leaf_read(der, n, &leaf)) {
					taken++;
					wrong += !agrees(&leaf, der, n);
				} else {
					refused++;
					wrong += leaf.spki != NULL;
				}
				tls_leaf_clear(&leaf);
				der[byte] ^= (unsigned char)(1 << bit);
			}
		for(byte = 0; byte < n; byte++)
			wrong += tls_leaf_read(der, byte, &leaf);
		OPENSSL_free(der);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_TRUE(taken > 0);	 /* bits of names and signatures */
	CU_ASSERT_TRUE(refused > 0); /* and of the structure */
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
}

/* Which certificates are ordinary, and why the others are not. */
static void test_which(void)
{
	static const struct
	{
		const char *name;
		int type;
		const char *why;
	} rows[] = {
			{"ed", NID_undef, "no digest is named, the library knows more"},
			{"ec", EVP_PKEY_EC, "most new certificates"},
			{"rsa", EVP_PKEY_RSA, "most old ones"},
			{"expired", EVP_PKEY_EC, "reading does not judge"},
	};
	unsigned char *der, *longer;
	struct tls_leaf leaf;
	size_t i, n;

	for(i = 0; i < N(rows); i++) {
		der = der_of(rows[i].name, &n);
		CU_ASSERT_EQUAL(
				tls_leaf_read(der, n, &leaf), rows[i].type != NID_undef);
		CU_ASSERT_EQUAL(leaf.type, rows[i].type);
		if(rows[i].type != NID_undef)
			CU_ASSERT_TRUE(agrees(&leaf, der, n));
		tls_leaf_clear(&leaf);
		/* a byte behind it, as in a trusted certificate */
		longer = OPENSSL_zalloc(n + 1);
		CU_ASSERT_PTR_NOT_NULL_FATAL(longer);
		memcpy(longer, der, n);
		CU_ASSERT_FALSE(tls_leaf_read(longer, n + 1, &leaf));
		OPENSSL_free(longer);
		OPENSSL_free(der);
	}
}

/* Without memory it is not read, and nothing stays behind. */
static void test_short_memory(void)
{
	struct tls_leaf leaf;
	unsigned char *der;
	unsigned long k;
	size_t n, before;
	bool failed = true;

	der = der_of("ec", &n);
	CU_ASSERT_TRUE(tls_leaf_read(der, n, &leaf));
	tls_leaf_clear(&leaf);
	before = engine_live_blocks();
	for(k = 1; failed && k < 1000; k++) {
		tls_mem_flush();
		port_stub_fail_at(k);
		if(tls_leaf_read(der, n, &leaf))
			CU_ASSERT_TRUE(agrees(&leaf, der, n));
		failed = port_stub_failed();
		port_stub_fail_at(0);
		tls_leaf_clear(&leaf);
		CU_ASSERT_EQUAL(engine_live_blocks(), before);
	}
	CU_ASSERT_TRUE(k > 2 && k < 1000);
	OPENSSL_free(der);
}

void test_leaf_add(void)
{
	CU_pSuite suite = CU_add_suite("leaf", begin, NULL);

	CU_add_test(suite, "one bit is wrong", test_damaged);
	CU_add_test(suite, "which are ordinary", test_which);
	CU_add_test(suite, "no memory", test_short_memory);
}
