/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What may be known of an established connection, as bounded plain data that
 * was copied when the handshake ended.
 * Holds no OpenSSL object of the connection, so that scripts and RPCs can read
 * it in any process while another one uses the connection; parses certificates
 * on demand from their DER form. Filled by tls_conn under the connection's
 * lock; afterwards constant until the connection is freed (but a
 * renegotiation, where allowed, fills it again under the same lock). */
#ifndef TLS_INFO_H
#define TLS_INFO_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

struct ssl_st;

/* Longest server name kept; names on the wire are at most 255 (RFC 1035). */
#define TLS_INFO_NAME_MAX 255
/* Largest peer certificate kept; a larger one is known to be there only. */
#define TLS_INFO_CERT_MAX 65536

struct tls_info
{
	bool filled;
	bool resumed;
	bool peer_presented; /* the peer has shown a certificate */
	int version;		 /* wire number, 0x0304 for TLS 1.3 */
	/* OpenSSL's own constant cipher description; it lies in the library's
	 * image and so has one address in all processes. */
	const void *cipher;
	long verify_result;		 /* X509_V_... of the peer's chain */
	unsigned char *peer_der; /* owned, shared memory; NULL when none */
	size_t peer_der_len;
	char *server_name; /* owned, shared memory, lower case; NULL when none */
};

/* Fills INFO from SSL, whose handshake is complete, replacing what was there.
 * TLS_RC_OK, or TLS_RC_NOMEM with INFO cleared. Under the connection's lock. */
enum tls_rc tls_info_fill(
		struct tls_info *info, struct ssl_st *ssl) TLS_MUST_CHECK;

/* Frees what INFO owns and zeroes it. Any process. */
void tls_info_clear(struct tls_info *info);

/* Protocol version as OpenSSL prints it ("TLSv1.3"); "unknown" unfilled. */
const char *tls_info_version(const struct tls_info *info);

/* Cipher name as OpenSSL prints it, or "unknown". */
const char *tls_info_cipher(const struct tls_info *info);

/* Secret bits of the cipher, 0 when unknown. */
int tls_info_cipher_bits(const struct tls_info *info);

/* OpenSSL's one-line description of the cipher, without the newline that it
 * ends with, into BUF (0-terminated, cut to SIZE > 0); "unknown" unfilled. */
void tls_info_cipher_description(
		const struct tls_info *info, char *buf, size_t size);

/* Why verification failed, in the library's words ("certificate has
 * expired"); "ok" when it did not. */
const char *tls_info_verify_text(const struct tls_info *info);

/* True when the peer showed a certificate and its chain verified. */
bool tls_info_peer_verified(const struct tls_info *info);

#endif
