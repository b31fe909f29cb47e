/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Protection of the server: who may begin a handshake now, what happens when
 * shared memory runs low, which handshakes have taken too long, and how many
 * lines about it reach the log.
 * Applies the settings to the counts of tls_limits and tls_report and to the
 * host's free memory; ends no connection itself. Any process; what runs from
 * the timer says so. */
#ifndef TLS_GUARD_H
#define TLS_GUARD_H

#include <stdbool.h>

#include "tls_addr.h"
#include "tls_err.h"
#include "tls_port.h"

/* Makes the shared state and starts the timer, which calls EXPIRE(id) for
 * connections whose time is over: true = watch it once more. Main process,
 * from mod_init, after tls_locking_init and tls_cfg_init. */
enum tls_rc tls_guard_init(
		bool (*expire)(int id), struct tls_err *err) TLS_MUST_CHECK;

/* The connection ID was made just now and owes a handshake. False when memory
 * is short: it would never be ended, so it must not live. */
bool tls_guard_watch(int id);

/* May a handshake begin? PEER is asked for its rate when it called us, NULL
 * when we call. TLS_RC_OK: tls_guard_leave() when it is over (PEER only);
 * TLS_RC_LIMIT with the reason in ERR, counted by cause. With TLS_CAUSE_MEMORY
 * the log has been told once for all of them. */
enum tls_rc tls_guard_enter(
		const struct tls_addr *peer, struct tls_err *err) TLS_MUST_CHECK;
void tls_guard_leave(void);

/* May a handshake that is running go on? TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_guard_go_on(struct tls_err *err) TLS_MUST_CHECK;

/* May a line about CAUSE be written now (log_rate)? */
bool tls_guard_may_log(enum tls_cause cause);

#endif
