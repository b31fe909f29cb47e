/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What may be known of an established connection, as bounded plain data that
 * was copied when the handshake ended.
 * Holds no OpenSSL object of the connection, so that scripts and RPCs can read
 * it in any process while another one uses the connection; parses certificates
 * on demand from their DER form. Made by tls_conn under the connection's
 * lock; afterwards constant until the connection is freed. */
#ifndef TLS_INFO_H
#define TLS_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_err.h"

struct ssl_st;
struct tls_der;

/* Longest server name kept; names on the wire are at most 255 (RFC 1035). */
#define TLS_INFO_NAME_MAX 255
/* Largest peer certificate kept; a larger one is known to be there only. */
#define TLS_INFO_CERT_MAX 65536

/* Renegotiations after which a connection is given up: the facts of each
 * handshake live as long as the connection. */
#define TLS_INFO_AGAIN_MAX 8

/* Longest name of a key exchange group, with its 0 byte. */
#define TLS_INFO_GROUP_MAX 24

struct tls_info
{
	/* Facts of the handshake before (renegotiation = 1), kept because a
	 * script may be reading them; NULL else. Owned. */
	struct tls_info *older;
	unsigned int again; /* how many there are */
	bool resumed;
	bool placed;		 /* in the caller's room, not in a block of its own */
	bool peer_presented; /* the peer has shown a certificate */
	int version;		 /* wire number, 0x0304 for TLS 1.3 */
	/* algorithm (EVP_PKEY id) of our certificate that the handshake used; 0 =
	 * it used none, or resumed a session */
	int own_type;
	/* OpenSSL's own constant cipher description; it lies in the library's
	 * image and so has one address in all processes. */
	const void *cipher;
	long verify_result; /* X509_V_... of the peer's chain */
	int verify_depth;	/* where it failed; 0 is the peer's own */
	/* does the peer's certificate speak for the name that was asked for: 1,
	 * 0, or -1 when no name is known or there is no certificate */
	int name_ok;
	char group[TLS_INFO_GROUP_MAX]; /* of the key exchange; "" = none */
	struct tls_der *shared; /* one user of it: peer_der of a server; or NULL */
	/* one user of what stands in the verified chain between the peer's
	 * certificate and the trusted one, one DER form behind the other, and its
	 * length; NULL when nothing does */
	struct tls_der *between;
	size_t between_len;
	/* certificates in the verified chain; 0 when it is not known: nothing was
	 * verified, or a session was resumed */
	unsigned int chain;
	/* what these point to lies in the same block, behind this struct, unless
	 * the certificate is shared */
	const char *alpn;			   /* agreed protocol, NULL when none */
	const unsigned char *peer_der; /* NULL when none */
	size_t peer_der_len;
	const char *server_name; /* lower case; NULL when none */
};

/* Room for the facts of most handshakes, in words of 8 bytes: 56 bytes for ALPN
 * and server name with their 0 bytes, and no certificate but a shared one. */
#define TLS_INFO_ROOM ((sizeof(struct tls_info) + 56 + 7) / sizeof(uint64_t))

/* Makes *INFO from SSL, whose handshake is complete; what *INFO was goes behind
 * it. The first one is put into PLACE when it fits: TLS_INFO_ROOM words that
 * live as long as *INFO; NULL = none. TLS_RC_OK; TLS_RC_NOMEM or TLS_RC_LIMIT
 * (too many handshakes) with *INFO unchanged. Under the connection's lock. */
enum tls_rc tls_info_add(
		struct tls_info **info, struct ssl_st *ssl, void *place) TLS_MUST_CHECK;

/* Frees *INFO and all before it and sets it to NULL; NULL is fine. Any
 * process, when nobody reads any more. */
void tls_info_free(struct tls_info **info);

/* Protocol version as OpenSSL prints it ("TLSv1.3"); "unknown" else. */
const char *tls_info_version(const struct tls_info *info);

/* Cipher name as OpenSSL prints it, or "unknown". */
const char *tls_info_cipher(const struct tls_info *info);

/* Secret bits of the cipher, 0 when unknown. */
int tls_info_cipher_bits(const struct tls_info *info);

/* OpenSSL's one-line description of the cipher, without the newline that it
 * ends with, into BUF (0-terminated, cut to SIZE > 0); "unknown" else. */
void tls_info_cipher_description(
		const struct tls_info *info, char *buf, size_t size);

/* Why verification failed, in the library's words ("certificate has
 * expired"); "ok" when it did not. */
const char *tls_info_verify_text(const struct tls_info *info);

/* True when the peer showed a certificate and its chain verified. */
bool tls_info_peer_verified(const struct tls_info *info);

#endif
