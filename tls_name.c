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
#include <strings.h>

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

/* ---- where a SIP request goes ---- */

/* The host name of the SIP URI at URI, which ends before END. */
static enum tls_rc uri_host(
		const char *uri, const char *end, char out[TLS_NAME_MAX + 1])
{
	const char *at, *host;
	enum tls_rc rc;

	out[0] = '\0';
	if(end - uri > 5 && !strncasecmp(uri, "sips:", 5))
		host = uri + 5;
	else if(end - uri > 4 && !strncasecmp(uri, "sip:", 4))
		host = uri + 4;
	else
		return TLS_RC_PEER;
	at = memchr(host, '@', (size_t)(end - host));
	if(at)
		host = at + 1;
	for(at = host; at < end && !strchr(":;?>", *at); at++)
		;
	rc = tls_name_normalise(host, (size_t)(at - host), out);
	if(!rc && tls_name_is_ip(out, strlen(out))) {
		out[0] = '\0';
		rc = TLS_RC_PEER;
	}
	return rc;
}

/* True when the URI up to END has the parameter lr. */
static bool is_loose(const char *uri, const char *end)
{
	for(; end - uri >= 3; uri++) {
		if(!strncasecmp(uri, ";lr", 3)
				&& (end - uri == 3 || strchr(";=>?", uri[3])))
			return true;
	}
	return false;
}

/* The URI of the first Route header of the lines from AT on, up to *URI_END;
 * NULL when there is none. */
static const char *find_route(
		const char *at, const char *end, const char **uri_end)
{
	const char *line_end, *uri;

	while(at < end && *at != '\r' && *at != '\n') {
		line_end = memchr(at, '\n', (size_t)(end - at));
		if(!line_end)
			return NULL; /* cut off: who knows what it says */
		if(line_end - at > 6 && !strncasecmp(at, "Route:", 6)) {
			uri = memchr(at, '<', (size_t)(line_end - at));
			*uri_end = uri ? memchr(uri, '>', (size_t)(line_end - uri)) : NULL;
			return *uri_end ? uri + 1 : NULL;
		}
		at = line_end + 1;
	}
	return NULL;
}

enum tls_rc tls_name_sip_target(
		const char *text, size_t n, char out[TLS_NAME_MAX + 1])
{
	const char *end = text + n, *line_end, *uri, *uri_end, *route, *route_end;

	out[0] = '\0';
	line_end = n ? memchr(text, '\n', n) : NULL;
	uri = line_end ? memchr(text, ' ', (size_t)(line_end - text)) : NULL;
	if(!uri)
		return TLS_RC_PEER;
	uri++;
	uri_end = memchr(uri, ' ', (size_t)(line_end - uri));
	if(!uri_end || line_end - uri_end < 8
			|| strncasecmp(uri_end, " SIP/2.0", 8))
		return TLS_RC_PEER;
	route = find_route(line_end + 1, end, &route_end);
	if(route && is_loose(route, route_end))
		return uri_host(route, route_end, out);
	return uri_host(uri, uri_end, out);
}
