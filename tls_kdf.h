/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The key schedules of TLS 1.3 (RFC 8446 s7.1) and TLS 1.2 (RFC 5246 s5) as
 * KDFs of a built-in provider, which the library prefers for contexts made with
 * TLS_KDF_PROPERTIES. The library's own ones fetch and make five objects for
 * each of some twenty secrets of a handshake; and it gives the traffic secrets
 * away only as text, printed byte by byte.
 * Knows secrets and labels, no connection. Any process; no lock. */
#ifndef TLS_KDF_H
#define TLS_KDF_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

/* For SSL_CTX_new_ex(): our KDF where the library has the choice, anything
 * else as ever. A library that is told to use approved algorithms only (FIPS)
 * has no choice and keeps its own. */
#define TLS_KDF_PROPERTIES "?tls.hkdf=yes"

/* Name of the provider. Sorts behind "default": who asks without properties,
 * such as another library in this process, gets the library's own KDFs as
 * before. */
#define TLS_KDF_PROVIDER "tls_hkdf"

#define TLS_KDF_SECRET_MAX 48 /* SHA-384 */
#define TLS_KDF_BLOCK_MAX 96  /* two keys and IVs of an AEAD suite, and more */

enum tls_kdf_hash
{
	TLS_KDF_SHA256 = 0,
	TLS_KDF_SHA384
};

/* The secrets of a handshake that protect application data: of TLS 1.3 the
 * traffic secrets (RFC 8446 s7.1), of TLS 1.2 the key block (RFC 5246 s6.3).
 * Secret; plain data of its owner, who wipes it. */
struct tls_kdf_secrets
{
	unsigned char client[TLS_KDF_SECRET_MAX];
	unsigned char server[TLS_KDF_SECRET_MAX];
	size_t n_client; /* bytes; 0 = not derived yet */
	size_t n_server;
	unsigned char block[TLS_KDF_BLOCK_MAX];
	size_t n_block; /* the beginning that is there; 0 = not derived yet */
};

/* Makes the provider known to the library. Main process, before the first
 * fork. TLS_RC_OK, also when called again; TLS_RC_TLS when this library has no
 * HMAC or takes no provider; TLS_RC_NOMEM. */
enum tls_rc tls_kdf_init(struct tls_err *err) TLS_MUST_CHECK;

/* True when contexts made with TLS_KDF_PROPERTIES get our KDFs: not when the
 * library's configuration asks for that of another provider, or has no default
 * provider, as for FIPS. Main process, after tls_kdf_init(). */
bool tls_kdf_is_used(void);

/* Until tls_kdf_unwatch(), secrets for application data that this process
 * derives are written to SECRETS (NULL = nowhere), at the moment at which the
 * library changes to their keys, and what one derivation leaves is kept for the
 * next; else it is wiped after each. Meanwhile the caller runs one step of one
 * handshake, or a series of tls_kdf_expand(). Watches do not nest: the inner
 * one would end the outer. */
void tls_kdf_watch(struct tls_kdf_secrets *secrets);

/* Ends the watch, and wipes what the derivations left in this process. */
void tls_kdf_unwatch(void);

/* HKDF-Expand-Label of RFC 8446 s7.1 with an empty context: N_OUT bytes, at
 * most the length of HASH, to OUT from SECRET, which is as long as HASH. False
 * when memory is short. Several in a row are cheaper inside a watch, at the end
 * of which what they leave in this process is wiped; else each wipes. */
bool tls_kdf_expand(enum tls_kdf_hash hash, const unsigned char *secret,
		const char *label, unsigned char *out, size_t n_out);

/* Frees what this process keeps for derivations; it comes anew when needed.
 * Before a fork, and for tests that count memory. */
void tls_kdf_forget(void);

#endif
