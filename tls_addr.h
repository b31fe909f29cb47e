/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Network addresses as plain values: read, print and compare ip:port.
 * Owns no memory, resolves no host names and opens no socket.
 * Called by every room above, in any process, without a lock. */
#ifndef TLS_ADDR_H
#define TLS_ADDR_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

/* Enough for "[v6]:port" with its 0 byte (INET6_ADDRSTRLEN is 46). */
#define TLS_ADDR_TEXT_MAX 64

/* One address. Bytes of ip[] that the family does not use are 0, so that
 * two equal addresses are equal byte for byte. */
struct tls_addr
{
	int family;			  /* 0 = any address, 4 or 6 */
	unsigned char ip[16]; /* network order */
	unsigned short port;  /* host order; 0 = any port */
};

/* Makes *OUT from N_IP bytes in network order: 4 of them are an IPv4, 16 an
 * IPv6 address. Any other number makes the address "any" (family 0). */
void tls_addr_set(
		struct tls_addr *out, const void *ip, size_t n_ip, unsigned short port);

/* Reads "a.b.c.d:port" or "[v6]:port" from the 0-terminated TEXT. The port
 * is mandatory, decimal, 0 to 65535; host names, scope ids, white space and
 * signs are refused. Returns OK with *OUT filled, or CONFIG with a sentence
 * in ERR (may be NULL) and *OUT set to "any". */
enum tls_rc tls_addr_parse(const char *text, struct tls_addr *out,
		struct tls_err *err) TLS_MUST_CHECK;

/* Writes ADDR as it would be read ("any:port" for family 0) into OUT of
 * SIZE bytes (TLS_ADDR_TEXT_MAX is always enough), 0-terminated and cut when
 * SIZE is too small. Returns OUT. */
char *tls_addr_print(const struct tls_addr *addr, char *out, size_t size);

/* Total order for sorting: family, then ip, then port; <0, 0 or >0. */
int tls_addr_compare(const struct tls_addr *a, const struct tls_addr *b);

/* True when family, ip and port are the same. */
bool tls_addr_equal(const struct tls_addr *a, const struct tls_addr *b);

#endif
