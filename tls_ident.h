/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* For whom a certificate speaks: SIP domains (RFC 5922), hosts (RFC 9525),
 * addresses, the purpose SIP (RFC 5924) and the fingerprint of its key.
 * Does not judge the chain: a name in an unverified certificate is a claim of
 * the peer. Called in handshakes under the connection's lock and for scripts
 * without one, in any process. */
#ifndef TLS_IDENT_H
#define TLS_IDENT_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

struct x509_st;

enum tls_ident_mode
{
	TLS_IDENT_OFF = 0,
	TLS_IDENT_SIP, /* RFC 5922: SIP URI, else DNS name, else common name */
	TLS_IDENT_HOST /* RFC 9525: DNS name, else common name */
};

/* Bytes of a SHA-256 digest of a public key. */
#define TLS_IDENT_PIN_BYTES 32

/* Room for the names of a certificate in a log line, with the 0 byte. */
#define TLS_IDENT_NAMES_MAX 192

/* True when CERT speaks for NAME, a host name in any spelling or a literal
 * address (with or without brackets). Under SIP a URI "sip:host" without a
 * user part counts; when the certificate has none, DNS names count; a common
 * name counts in both modes only when there are no alternative names at all
 * (RFC 5922 s7.1). Comparison is without case and of whole names; "*.b" in a
 * certificate stands for one label when WILDCARDS are allowed, which RFC 5922
 * s7.2 forbids; never in a URI. An address must be among the alternative names
 * of type IP. Malformed or repeated alternative names speak for nobody, nor
 * does a name with a NUL byte. False also when memory is short. Leaves the
 * error queue empty. */
bool tls_ident_match(const struct x509_st *cert, const char *name,
		enum tls_ident_mode mode, bool wildcards);

/* The same for the DER certificate in N_DER bytes at DER and the N_NAME bytes
 * at NAME. TLS_RC_OK with *OUT set; TLS_RC_PEER when the bytes are no
 * certificate, or NAME is no name; *OUT is then false. */
enum tls_rc tls_ident_match_der(const unsigned char *der, size_t n_der,
		const char *name, size_t n_name, enum tls_ident_mode mode,
		bool wildcards, bool *out) TLS_MUST_CHECK;

/* Writes the names of CERT that could count into OUT, 0-terminated, printable
 * ASCII, cut: "URI:sip:a.example DNS:a.example IP:192.0.2.1", or "CN:..." when
 * there is no alternative name. Returns OUT. */
char *tls_ident_names(
		const struct x509_st *cert, char out[TLS_IDENT_NAMES_MAX]);

/* True when CERT may be used for SIP: it names no purposes, or
 * id-kp-sipDomain or anyExtendedKeyUsage is among them (RFC 5924 s4.1), and
 * its key usage, when there is one, allows signatures or key exchange. */
bool tls_ident_is_for_sip(const struct x509_st *cert);

/* SHA-256 of the public key of CERT (SubjectPublicKeyInfo, RFC 7469 s2.4)
 * into OUT. False when memory is short. */
bool tls_ident_pin(
		const struct x509_st *cert, unsigned char out[TLS_IDENT_PIN_BYTES]);

#endif
