/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A zoo of certificates, made when the tests run: names in every place, also
 * such as no CA should sign, chains of any length, every date and purpose, two
 * CAs that do not know each other and a revocation list.
 * Knows no room of the module. Files lie in the scratch folder of pki.h. */
#ifndef TEST_ZOO_H
#define TEST_ZOO_H

#include <stdbool.h>

#include "../../tls_ossl.h"

#define ZOO_DAY 86400L

enum zoo_issuer
{
	ZOO_CA = 0,	  /* zoo-ca.pem */
	ZOO_STRANGER, /* zoo-stranger.pem */
	ZOO_SELF	  /* signed with its own key */
};

/* One animal; zero members mean the ordinary: an EC key, valid from two days
 * ago for four days, signed by the CA, subject "/O=Zoo/CN=name". */
struct zoo_spec
{
	const char *name;	   /* of its files: NAME.pem with its chain, NAME.key */
	const char *algorithm; /* EC, RSA, ED25519 */
	const char *cn;		   /* common name; "" = none */
	/* alternative names as "DNS:a,URI:sip:b,IP:192.0.2.1,EMAIL:c" where ^ is a
	 * NUL byte; "TWICE" repeats the extension; "RAW:hex" is its whole value */
	const char *san;
	const char *eku;   /* as in openssl.cnf, e.g. "serverAuth" */
	const char *usage; /* key usage, as there */
	bool must_staple;  /* TLS feature status_request, RFC 7633 */
	long from, to;	   /* seconds from now; both 0 = ordinary */
	enum zoo_issuer issuer;
	int between; /* number of CAs between the CA and this one */
	bool revoked;
};

/* Makes the CAs: zoo-ca.pem and zoo-stranger.pem. pki_init must have been
 * called. Ends the process on failure, as all here. */
void zoo_init(void);

/* Makes the files of SPEC; returns the certificate for X509_free. */
X509 *zoo_make(const struct zoo_spec *spec);

/* The private key of the animal that zoo_make made last, borrowed. */
EVP_PKEY *zoo_key(void);

/* The pin of that key in hexadecimal digits: SHA-256 of its SubjectPublicKeyInfo
 * (RFC 7469 s2.4). */
void zoo_pin(char hex[65]);

/* The certificate and key of the CA WHICH, borrowed. */
void zoo_authority(enum zoo_issuer which, X509 **cert, EVP_PKEY **key);

/* Adds CERT to the revoked ones. */
void zoo_revoke(X509 *cert);

/* Writes zoo-crl.pem of the CA with all revoked ones so far. */
void zoo_crl(void);

/* A plain context for ENGINE_SERVER (0) or ENGINE_CLIENT (1) that shows the
 * certificate and chain NAME; the caller frees it. */
SSL_CTX *zoo_raw_ctx(int end, const char *name);

#endif
