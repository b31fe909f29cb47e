/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Host names: normalise, recognise addresses, match. ASCII only: an
 * international name arrives in its A-label form (RFC 6066 s3).
 * Knows no certificate and resolves nothing.
 * Any process, no lock. */
#include "tls_name.h"

#include <arpa/inet.h>
#include <string.h>

/* The byte in lower case, or 0 when it cannot be part of a label. Not
 * <ctype.h>: its answer depends on the locale of the process. */
static char label_byte(char c)
{
	if(c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	if((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')
		return c;
	return 0;
}

enum tls_rc tls_name_normalise(
		const char *text, size_t len, char out[TLS_NAME_MAX + 1])
{
	size_t label = 0, i;

	out[0] = '\0';
	if(len && text[len - 1] == '.')
		len--;
	if(!len || len > TLS_NAME_MAX)
		return TLS_RC_PEER;
	for(i = 0; i < len; i++) {
		if(text[i] == '.') {
			out[i] = label ? '.' : 0;
			label = 0;
		} else {
			out[i] = label_byte(text[i]);
			label++;
		}
		if(!out[i] || label > TLS_NAME_LABEL_MAX)
			goto refuse;
	}
	if(!label) /* a second dot at the end */
		goto refuse;
	out[len] = '\0';
	return TLS_RC_OK;

refuse:
	out[0] = '\0';
	return TLS_RC_PEER;
}

bool tls_name_is_ip(const char *text, size_t len)
{
	char host[INET6_ADDRSTRLEN];
	unsigned char ip[16];

	if(len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if(!len || len >= sizeof(host) || memchr(text, 0, len))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return inet_pton(AF_INET, host, ip) == 1
		   || inet_pton(AF_INET6, host, ip) == 1;
}

bool tls_name_match(const char *name, const char *pattern, int mode)
{
	size_t n = strlen(name), p = strlen(pattern);

	if(!p || mode < TLS_NAME_MODE_EXACT || mode > TLS_NAME_MODE_SUB)
		return false;
	if(mode != TLS_NAME_MODE_SUB && n == p && !memcmp(name, pattern, n))
		return true;
	if(mode == TLS_NAME_MODE_EXACT || n <= p + 1)
		return false;
	return name[n - p - 1] == '.' && !memcmp(name + n - p, pattern, p);
}
