/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Keys and certificates for the tests, made when the program runs: a CA, a
 * stranger's CA, leaves of three algorithms, a revoked and an expired leaf, a
 * revocation list, all as PEM files in a scratch folder of this run.
 * Knows no room of the module. Made once in the first process that asks; that
 * process removes the folder when it ends. */
#ifndef TEST_PKI_H
#define TEST_PKI_H

#include <stddef.h>

#include "../../tls_ossl.h"

#define PKI_PATH_MAX 512

/* Makes everything once. tls_ossl_init must have been called, unless the
 * caller wants OpenSSL untouched by the module. Ends the process when the
 * folder cannot be made: no test could mean anything then.
 * Files: ca.pem other-ca.pem crl.pem, and NAME.pem + NAME.key for NAME in
 * ec rsa ed revoked expired. */
void pki_init(void);

/* Path of FILE in the scratch folder: one of 16 buffers used in turn. */
const char *pki_path(const char *file);

/* Writes (or replaces) FILE with N bytes of DATA and returns its path. */
const char *pki_write(const char *file, const void *data, size_t n);

/* Writes FILE as the concatenation of the files A and B (NULL = nothing). */
const char *pki_join(const char *file, const char *a, const char *b);

/* Private key NAME (as above), encrypted with PASSWORD, into FILE. */
const char *pki_encrypt(
		const char *file, const char *name, const char *password);

/* Private key, certificate of NAME: borrowed until the process ends. */
EVP_PKEY *pki_key(const char *name);
X509 *pki_cert(const char *name);

/* The CA's certificate, borrowed until the process ends. */
X509 *pki_ca(void);

#endif
