/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Order of life of the module: what happens when, from loading to the end.
 * Holds the order and the error policy (start-up fails closed) and nothing
 * else; the work is done by the rooms it calls. Each function says which call
 * of the host it serves. */
#ifndef TLS_INIT_H
#define TLS_INIT_H

/* mod_register: while the host still parses its configuration, before any
 * fork. Takes OpenSSL into service and registers the TCP hooks. 0, or -1 to
 * stop the start. With TLS disabled in the core: warns, does nothing, 0. */
int tls_init_register(void);

/* mod_init: settings are known. 0 or -1. */
int tls_init_module(void);

/* child_init with the host's RANK: loads profiles in PROC_INIT (main process,
 * all modules initialised, user id final, nothing forked), prepares the
 * process in all others. 0 or -1. */
int tls_init_child(int rank);

/* destroy of the module: main process, workers are gone, the core's
 * connections are not. */
void tls_init_stop(void);

#endif
