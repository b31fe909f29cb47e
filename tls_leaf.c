/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A certificate without its object; see tls_leaf.h. */

#include "tls_leaf.h"

#include <string.h>
#include <time.h>

#include "tls_ossl.h"

/* Certificate and TBSCertificate of RFC 5280 s4.1. The library's own parser
 * goes over all of it and refuses what d2i_X509 would refuse, but for the key,
 * which stays as it is encoded. */
typedef struct
{
	ASN1_INTEGER *version;
	ASN1_INTEGER *serial;
	X509_ALGOR *algorithm;
	X509_NAME *issuer;
	X509_VAL *validity;
	X509_NAME *subject;
	ASN1_STRING *key; /* with its head */
	ASN1_BIT_STRING *issuer_id;
	ASN1_BIT_STRING *subject_id;
	STACK_OF(X509_EXTENSION) * extensions;
} TBS;

typedef struct
{
	TBS *tbs;
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *signature;
} LEAF;

/* clang-format off */
ASN1_SEQUENCE(TBS) = {
	ASN1_EXP_OPT(TBS, version, ASN1_INTEGER, 0),
	ASN1_SIMPLE(TBS, serial, ASN1_INTEGER),
	ASN1_SIMPLE(TBS, algorithm, X509_ALGOR),
	ASN1_SIMPLE(TBS, issuer, X509_NAME),
	ASN1_SIMPLE(TBS, validity, X509_VAL),
	ASN1_SIMPLE(TBS, subject, X509_NAME),
	ASN1_SIMPLE(TBS, key, ASN1_SEQUENCE),
	ASN1_IMP_OPT(TBS, issuer_id, ASN1_BIT_STRING, 1),
	ASN1_IMP_OPT(TBS, subject_id, ASN1_BIT_STRING, 2),
	ASN1_EXP_SEQUENCE_OF_OPT(TBS, extensions, X509_EXTENSION, 3)
} static_ASN1_SEQUENCE_END(TBS)

ASN1_SEQUENCE(LEAF) = {
	ASN1_SIMPLE(LEAF, tbs, TBS),
	ASN1_SIMPLE(LEAF, algorithm, X509_ALGOR),
	ASN1_SIMPLE(LEAF, signature, ASN1_BIT_STRING)
} static_ASN1_SEQUENCE_END(LEAF)
		/* clang-format on */

		/* The algorithm of the SubjectPublicKeyInfo KEY, when it is one of two. */
		static int type_of(const ASN1_STRING *key)
{
	const unsigned char *at = ASN1_STRING_get0_data(key);
	int class, tag, type = NID_undef;
	X509_ALGOR *algorithm;
	long n;

	if((ASN1_get_object(&at, &n, &tag, &class, ASN1_STRING_length(key)) & 0x80)
			!= 0)
		return NID_undef;
	algorithm = d2i_X509_ALGOR(NULL, &at, n);
	if(algorithm != NULL)
		type = OBJ_obj2nid(algorithm->algorithm);
	X509_ALGOR_free(algorithm);
	return type == EVP_PKEY_RSA || type == EVP_PKEY_EC ? type : NID_undef;
}

/* What X509_get_signature_info says of a signature with a digest of SHA-2; 0
 * for others, about which it knows more. */
static int bits_of(const X509_ALGOR *algorithm)
{
	int digest = NID_undef, key = NID_undef;

	if(OBJ_find_sigid_algs(OBJ_obj2nid(algorithm->algorithm), &digest, &key)
			!= 1)
		return 0;
	switch(digest) {
		case NID_sha256:
			return 128;
		case NID_sha384:
			return 192;
		case NID_sha512:
			return 256;
		default:
			return 0;
	}
}

static bool take(const LEAF *parsed, struct tls_leaf *out)
{
	const TBS *tbs = parsed->tbs;
	struct tm end;
	int bits = bits_of(parsed->algorithm);

	out->type = type_of(tbs->key);
	if(bits == 0 || out->type == NID_undef
			|| ASN1_TIME_to_tm(tbs->validity->notAfter, &end) != 1)
		return false;
	out->not_after = (int64_t)timegm(&end);
	if(X509_NAME_cmp(tbs->subject, tbs->issuer) != 0)
		out->signature_bits = bits;
	out->n_spki = (size_t)ASN1_STRING_length(tbs->key);
	out->spki = OPENSSL_memdup(ASN1_STRING_get0_data(tbs->key), out->n_spki);
	return out->spki != NULL;
}

bool tls_leaf_read(const unsigned char *der, size_t n, struct tls_leaf *out)
{
	const unsigned char *at = der;
	LEAF *parsed = NULL;
	bool good = false;

	memset(out, 0, sizeof(*out));
	/* The head of DER of such a length; the bytes are kept as they are, and
	 * other encodings of a length would be kept too. */
	if(n > 4 + 255 && n <= 4 + 0xffff && der[0] == 0x30 && der[1] == 0x82
			&& ((size_t)der[2] << 8 | der[3]) == n - 4)
		parsed =
				(LEAF *)ASN1_item_d2i(NULL, &at, (long)n, ASN1_ITEM_rptr(LEAF));
	if(parsed != NULL)
		good = at == der + n && take(parsed, out);
	ASN1_item_free((ASN1_VALUE *)parsed, ASN1_ITEM_rptr(LEAF));
	if(!good) {
		tls_leaf_clear(out);
		ERR_clear_error();
	}
	return good;
}

void tls_leaf_clear(struct tls_leaf *leaf)
{
	OPENSSL_free(leaf->spki);
	memset(leaf, 0, sizeof(*leaf));
}
