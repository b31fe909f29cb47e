/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* OpenSSL's allocator over the seam; see tls_mem.h. */

#include "tls_mem.h"

#include "tls_ossl.h"
#include "tls_port.h"

/* OpenSSL passes sizes of 0 through to custom functions and expects NULL. */
static void *malloc_cb(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return n > 0 ? tls_port_alloc(n) : NULL;
}

static void free_cb(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	tls_port_free(p);
}

static void *realloc_cb(void *p, size_t n, const char *file, int line)
{
	if(p == NULL)
		return malloc_cb(n, file, line);
	if(n == 0) {
		tls_port_free(p);
		return NULL;
	}
	return tls_port_realloc(p, n);
}

enum tls_rc tls_mem_init(void)
{
	if(CRYPTO_set_mem_functions(malloc_cb, realloc_cb, free_cb) != 1)
		return TLS_RC_CONFIG;
	return TLS_RC_OK;
}
