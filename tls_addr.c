/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Network addresses as plain values, on inet_pton and inet_ntop of libc.
 * Resolves no host names and opens no socket.
 * Any process, no lock. */
#include "tls_addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void tls_addr_set(
		struct tls_addr *out, const void *ip, size_t n_ip, unsigned short port)
{
	memset(out, 0, sizeof(*out));
	out->port = port;
	if(n_ip == 4)
		out->family = 4;
	else if(n_ip == sizeof(out->ip))
		out->family = 6;
	else
		return;
	memcpy(out->ip, ip, n_ip);
}

/* Reads 1 to 5 digits, 0 to 65535, up to the end of TEXT. */
static bool parse_port(const char *text, unsigned short *out)
{
	unsigned long port = 0;
	size_t i;

	for(i = 0; text[i]; i++) {
		if(i == 5 || text[i] < '0' || text[i] > '9')
			return false;
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	if(!i || port > 65535)
		return false;
	*out = (unsigned short)port;
	return true;
}

enum tls_rc tls_addr_parse(
		const char *text, struct tls_addr *out, struct tls_err *err)
{
	unsigned char ip[sizeof(out->ip)];
	char host[INET6_ADDRSTRLEN];
	const char *from = text, *to;
	bool v6 = *text == '[';
	unsigned short port;
	size_t len;

	memset(out, 0, sizeof(*out));
	if(v6)
		from++;
	to = strchr(from, v6 ? ']' : ':');
	if(!to || (v6 && to[1] != ':'))
		return tls_err_set(err, TLS_RC_CONFIG,
				"\"%s\" is not an address with port (write 192.0.2.1:5061 or "
				"[2001:db8::1]:5061)",
				text);
	len = (size_t)(to - from);
	if(len >= sizeof(host))
		return tls_err_set(
				err, TLS_RC_CONFIG, "the address in \"%s\" is too long", text);
	memcpy(host, from, len);
	host[len] = '\0';
	if(inet_pton(v6 ? AF_INET6 : AF_INET, host, ip) != 1)
		return tls_err_set(err, TLS_RC_CONFIG,
				"\"%s\" has no valid IPv%c address in front of its port (host "
				"names are not accepted, an IPv6 address needs brackets)",
				text, v6 ? '6' : '4');
	if(!parse_port(to + (v6 ? 2 : 1), &port))
		return tls_err_set(err, TLS_RC_CONFIG,
				"the port of \"%s\" is not a number from 0 to 65535", text);
	tls_addr_set(out, ip, v6 ? 16 : 4, port);
	return TLS_RC_OK;
}

char *tls_addr_print(const struct tls_addr *addr, char *out, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "any";

	if(addr->family == 4)
		inet_ntop(AF_INET, addr->ip, host, sizeof(host));
	else if(addr->family == 6)
		inet_ntop(AF_INET6, addr->ip, host, sizeof(host));
	snprintf(out, size, addr->family == 6 ? "[%s]:%u" : "%s:%u", host,
			(unsigned int)addr->port);
	return out;
}

int tls_addr_compare(const struct tls_addr *a, const struct tls_addr *b)
{
	int order;

	if(a->family != b->family)
		return a->family < b->family ? -1 : 1;
	order = memcmp(a->ip, b->ip, sizeof(a->ip));
	if(order)
		return order;
	return (a->port > b->port) - (a->port < b->port);
}

bool tls_addr_equal(const struct tls_addr *a, const struct tls_addr *b)
{
	return !tls_addr_compare(a, b);
}
