/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Makes OCSP responses with the OpenSSL API; see ocsp_make.h. */
#include "ocsp_make.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/rsa.h>

static void need(bool good, const char *what)
{
	if(good)
		return;
	fprintf(stderr, "ocsp_make: %s\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

/* An extension that nobody knows, of N bytes. */
static X509_EXTENSION *unknown(bool critical, size_t n)
{
	ASN1_OBJECT *object = OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1);
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	unsigned char *bytes = OPENSSL_zalloc(n);
	X509_EXTENSION *extension;

	need(object != NULL && value != NULL && bytes != NULL
					&& ASN1_OCTET_STRING_set(value, bytes, (int)n) == 1,
			"extension");
	extension = X509_EXTENSION_create_by_OBJ(NULL, object, critical, value);
	need(extension != NULL, "extension");
	OPENSSL_free(bytes);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(object);
	return extension;
}

static void add_unknown(OCSP_BASICRESP *basic, const struct ocsp_spec *spec)
{
	size_t n = spec->padding > 0 ? spec->padding : 2;
	X509_EXTENSION *extension = unknown(spec->critical, n);

	if(spec->critical || spec->padding > 0)
		need(OCSP_BASICRESP_add_ext(basic, extension, -1) == 1, "extension");
	X509_EXTENSION_free(extension);
}

static void add_part(
		OCSP_BASICRESP *basic, const struct ocsp_spec *spec, X509 *cert)
{
	const EVP_MD *md = EVP_get_digestbyname(spec->id ? spec->id : "SHA1");
	bool ordinary = spec->from == 0 && spec->to == 0;
	OCSP_CERTID *id = OCSP_cert_to_id(md, cert, spec->issuer);
	ASN1_TIME *from = X509_gmtime_adj(NULL, ordinary ? -3600 : spec->from);
	ASN1_TIME *to = X509_gmtime_adj(NULL, ordinary ? 86400 : spec->to);
	ASN1_TIME *then = X509_gmtime_adj(NULL, -7200);
	bool revoked = spec->status == V_OCSP_CERTSTATUS_REVOKED;
	OCSP_SINGLERESP *single;

	need(id != NULL && from != NULL && to != NULL && then != NULL, "part");
	single = OCSP_basic_add1_status(basic, id, spec->status,
			revoked ? OCSP_REVOKED_STATUS_KEYCOMPROMISE : -1,
			revoked ? then : NULL, from, spec->endless ? NULL : to);
	need(single != NULL, "status");
	if(spec->critical_part) {
		X509_EXTENSION *extension = unknown(true, 2);

		need(OCSP_SINGLERESP_add_ext(single, extension, -1) == 1, "extension");
		X509_EXTENSION_free(extension);
	}
	ASN1_TIME_free(then);
	ASN1_TIME_free(to);
	ASN1_TIME_free(from);
	OCSP_CERTID_free(id);
}

static void sign(OCSP_BASICRESP *basic, const struct ocsp_spec *spec,
		STACK_OF(X509) * more, unsigned long flags)
{
	const EVP_MD *md = EVP_get_digestbyname(spec->md ? spec->md : "SHA256");
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *padding = NULL;

	need(ctx != NULL
					&& EVP_DigestSignInit(ctx, &padding, md, NULL, spec->key)
							   == 1
					&& (!spec->pss
							|| EVP_PKEY_CTX_set_rsa_padding(
									   padding, RSA_PKCS1_PSS_PADDING)
									   == 1)
					&& OCSP_basic_sign_ctx(
							   basic, spec->signer, ctx, more, flags)
							   == 1,
			"signature");
	EVP_MD_CTX_free(ctx);
}

static OCSP_BASICRESP *make_basic(const struct ocsp_spec *spec)
{
	unsigned long flags = (spec->no_certs ? OCSP_NOCERTS : 0)
						  | (spec->by_key ? OCSP_RESPID_KEY : 0);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	STACK_OF(X509) *more = sk_X509_new_null();

	need(basic != NULL && more != NULL, "basic response");
	if(spec->between != NULL)
		need(sk_X509_push(more, spec->between) > 0, "certificate between");
	if(spec->first != NULL)
		add_part(basic, spec, spec->first);
	add_part(basic, spec, spec->cert);
	add_unknown(basic, spec);
	sign(basic, spec, more, flags);
	sk_X509_free(more);
	return basic;
}

unsigned char *ocsp_make(const struct ocsp_spec *spec, size_t *n_out)
{
	OCSP_BASICRESP *basic = spec->no_response ? NULL : make_basic(spec);
	OCSP_RESPONSE *response = OCSP_response_create(spec->no_response, basic);
	unsigned char *der = NULL;
	int n;

	need(response != NULL, "response");
	n = i2d_OCSP_RESPONSE(response, &der);
	need(n > 0, "DER form");
	*n_out = (size_t)n;
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	return der;
}
