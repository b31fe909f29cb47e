/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A module for the host tests whose registration uses OpenSSL: the case of a
 * library that was first at it. Exports no function and no parameter.
 * Main process, at loadmodule. */
#include <openssl/evp.h>

#include "core/sr_module.h"

MODULE_VERSION

struct module_exports exports = {.name = "first_user"};

/* 0, or -1 when OpenSSL failed: the host refuses the module then. */
int mod_register(char *path, int *dlflags, void *p1, void *p2)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	(void)path;
	(void)dlflags;
	(void)p1;
	(void)p2;
	return EVP_Digest("x", 1, digest, &n, EVP_sha256(), NULL) == 1 ? 0 : -1;
}
