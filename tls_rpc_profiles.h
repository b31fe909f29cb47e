/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What operators ask about the profiles in force: tls.profiles, tls.certs and
 * tls.explain. Turns facts of a generation, which never changes, into replies
 * and decides nothing. Registered in the main process before the fork; the host
 * calls the commands in whatever process serves the RPC, without a lock. */
#ifndef TLS_RPC_PROFILES_H
#define TLS_RPC_PROFILES_H

#include "tls_err.h"

/* Main process, from mod_init, once. TLS_RC_OK; TLS_RC_CONFIG when a name is
 * taken already. */
enum tls_rc tls_rpc_profiles_init(struct tls_err *err) TLS_MUST_CHECK;

#endif
