/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A module for the host tests that takes the TLS hooks of the server: the case
 * of another TLS module in one configuration. Exports no function and no
 * parameter. Main process, at loadmodule. */
#include "core/sr_module.h"
#include "core/tls_hooks.h"

MODULE_VERSION

struct module_exports exports = {.name = "other_tls"};

int mod_register(char *path, int *dlflags, void *p1, void *p2)
{
	struct tls_hooks hooks = {0};

	(void)path;
	(void)dlflags;
	(void)p1;
	(void)p2;
	return register_tls_hooks(&hooks);
}
