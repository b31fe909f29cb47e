/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Exports of the module and nothing else: what the host's loader looks up
 * (core/sr_module.c). */

#include "tls_cfg.h"
#include "tls_host.h"
#include "tls_init.h"
#include "tls_select.h"

/* Everything else in this library is hidden: names like tls_init exist in
 * the core and in other libraries. */
#pragma GCC visibility push(default)
MODULE_VERSION

int mod_register(char *path, int *dlflags, void *p1, void *p2);

struct module_exports exports = {
		"tls",			   /* name */
		DEFAULT_DLFLAGS,   /* dlopen flags */
		tls_select_cmds,   /* script functions */
		tls_cfg_modparams, /* modparams */
		0,				   /* RPC commands: tls_rpc registers them */
		tls_select_pvs,	   /* pseudo-variables */
		0,				   /* reply handler */
		tls_init_module,   /* mod_init */
		tls_init_child,	   /* child_init */
		tls_init_stop	   /* destroy */
};
#pragma GCC visibility pop

int mod_register(char *path, int *dlflags, void *p1, void *p2)
{
	(void)path;
	(void)dlflags;
	(void)p1;
	(void)p2;
	if(tls_init_register() < 0 || tls_select_init() < 0)
		return -1;
	return tls_select_register_kemi();
}
