/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What operators ask the running server: the RPC commands tls.* and the
 * statistics group "tls". Turns facts of the other rooms into replies, decides
 * nothing and keeps nothing but the mark that a reload is running. Registered
 * in the main process before the fork; the host calls the commands in whatever
 * process serves the RPC, without a lock. */
#ifndef TLS_RPC_H
#define TLS_RPC_H

#include "tls_err.h"

/* Registers commands and statistics. Main process, from mod_init, once, only
 * when TLS is on: without it the server has no connections to list.
 * TLS_RC_OK; TLS_RC_NOMEM; TLS_RC_CONFIG when a name is taken already. */
enum tls_rc tls_rpc_init(struct tls_err *err) TLS_MUST_CHECK;

#endif
