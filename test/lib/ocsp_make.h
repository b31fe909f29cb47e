/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* OCSP responses for the tests, good ones and such as no CA should sign.
 * Knows no room of the module and no file. Used by unit and host tests in one
 * process, no lock. */
#ifndef TEST_OCSP_MAKE_H
#define TEST_OCSP_MAKE_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ocsp.h>
#include <openssl/x509.h>

/* One response; zero members mean the ordinary. All pointers are borrowed. */
struct ocsp_spec
{
	X509 *cert;	  /* about whom */
	X509 *issuer; /* of that one */
	X509 *signer; /* of the response, with its KEY */
	EVP_PKEY *key;
	X509 *between;	/* a CA that goes into the response as well */
	int status;		/* V_OCSP_CERTSTATUS_..., 0 is good */
	long from, to;	/* thisUpdate, nextUpdate, seconds from now; both 0: from
						an hour ago for a day */
	bool endless;	/* no nextUpdate */
	bool no_certs;	/* the signer is not told */
	bool by_key;	/* the responder is told by its key, not its name */
	const char *id; /* digest of the identifier; NULL = SHA1 */
	const char *md; /* digest of the signature; NULL = SHA256 */
	bool pss;		/* an RSA key signs with PSS */
	bool critical;	/* with a critical extension that nobody knows ... */
	bool critical_part; /* ... the same in the part about CERT */
	size_t padding;		/* bytes of an extension that make it longer */
	X509 *first;		/* another certificate that it speaks about before */
	int no_response;	/* an OCSP_RESPONSE_STATUS_... and nothing else */
};

/* The response of SPEC in DER form, for OPENSSL_free; ends the process when it
 * cannot be made. */
unsigned char *ocsp_make(const struct ocsp_spec *spec, size_t *n_out);

#endif
