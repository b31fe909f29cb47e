/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Host names as they come in a server name (SNI) and in tls.cfg.
 * Normalises and compares text; knows no certificate and resolves nothing.
 * Called by every room above, in any process, without a lock. */
#ifndef TLS_NAME_H
#define TLS_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

#define TLS_NAME_MAX 255
#define TLS_NAME_LABEL_MAX 63 /* RFC 1035 s2.3.4 */

/* How a profile's server_name is compared with the name that is asked for. */
enum tls_name_mode
{
	TLS_NAME_MODE_EXACT = 0,
	TLS_NAME_MODE_EXACT_OR_SUB = 1,
	TLS_NAME_MODE_SUB = 2
};

/* Copies the LEN bytes at TEXT (hostile, no 0 needed) to OUT in lower case,
 * without one trailing dot, 0-terminated. Accepted are 1 to 255 bytes of
 * labels of 1 to 63 letters, digits, '-' and '_' with dots between them.
 * Returns OK, or PEER when TEXT is no such name (OUT is then empty). */
enum tls_rc tls_name_normalise(const char *text, size_t len,
		char out[TLS_NAME_MAX + 1]) TLS_MUST_CHECK;

/* True when the LEN bytes at TEXT are an IPv4 or IPv6 address, the latter
 * with or without brackets (RFC 6066 s3 forbids those as a server name). */
bool tls_name_is_ip(const char *text, size_t len);

/* True when NAME is served by PATTERN under MODE; both are normalised. A
 * sub-domain has one or more labels in front of the pattern. An unknown
 * mode matches nothing. */
bool tls_name_match(const char *name, const char *pattern, int mode);

/* The host name that the SIP request whose first N bytes are at TEXT goes to
 * (RFC 3261 s8.1.2): that of the first Route header when it routes loosely,
 * else that of the Request-URI. OUT is normalised. Returns OK, or PEER, with
 * OUT empty, for a reply, an address in the place of a name, or other bytes. */
enum tls_rc tls_name_sip_target(
		const char *text, size_t n, char out[TLS_NAME_MAX + 1]) TLS_MUST_CHECK;

#endif
