/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The counters of tls_metrics as statistics of the host (group "tls") and as
 * the RPC tls.stats, with what is computed from them and from the profiles.
 * Counts nothing itself. Registered in the main process before the fork; the
 * host asks in whatever process serves the RPC, without a lock. */
#ifndef TLS_RPC_STATS_H
#define TLS_RPC_STATS_H

#include "tls_err.h"

/* Main process, from mod_init, once. TLS_RC_OK; TLS_RC_CONFIG when a name is
 * taken already. */
enum tls_rc tls_rpc_stats_init(struct tls_err *err) TLS_MUST_CHECK;

#endif
