/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What may happen how often: handshakes at once, handshakes in a second from
 * one source and from all, connections of a profile; and which connections
 * still owe a handshake since when.
 * Knows no connection, no setting and no memory threshold: limits come with
 * each call. State lies in shared memory; every function may be called in any
 * process, and only the list of connections and of profiles takes a lock
 * (TLS_LOCK_LIMITS). */
#ifndef TLS_LIMITS_H
#define TLS_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_addr.h"
#include "tls_err.h"

/* Most handshakes in a second that can be told apart from "no limit". */
#define TLS_LIMITS_RATE_MAX 60000

/* Makes the shared state; SEED makes the table of sources one that nobody
 * outside can aim at. Main process, once, before fork, after
 * tls_locking_init. TLS_RC_OK, TLS_RC_NOMEM, TLS_RC_BUG when it exists. */
enum tls_rc tls_limits_init(uint64_t seed) TLS_MUST_CHECK;

/* Frees all that tls_limits_init made and the list; for tests. */
void tls_limits_destroy(void);

/* ---- handshakes ---- */

/* 0 = no limit, each. */
struct tls_limits_rates
{
	unsigned int in_flight;	 /* handshakes of peers at the same time */
	unsigned int per_source; /* in a second: IPv4 address or IPv6 /64 */
	unsigned int total;		 /* in a second */
};

enum tls_limits_verdict
{
	TLS_LIMITS_PASS = 0,
	TLS_LIMITS_IN_FLIGHT,
	TLS_LIMITS_SOURCE,
	TLS_LIMITS_TOTAL
};

/* May SOURCE begin a handshake now, at NOW_MS? A second's worth may come at
 * once. PASS counts it as in flight until tls_limits_leave(). */
enum tls_limits_verdict tls_limits_enter(const struct tls_addr *source,
		const struct tls_limits_rates *rates, uint64_t now_ms);
void tls_limits_leave(void);
unsigned int tls_limits_in_flight(void);

/* ---- connections that owe a handshake ---- */

/* Notes the connection ID at NOW_MS. TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_limits_watch(int id, uint64_t now_ms) TLS_MUST_CHECK;

/* Takes the oldest one off the list when it was noted TIMEOUT_MS ago or more.
 * False when there is none. */
bool tls_limits_due(uint64_t now_ms, unsigned int timeout_ms, int *id);

/* ---- connections of a profile ---- */

/* Counts the connections of one profile over all generations that have it. */
struct tls_limits_usage;

/* The count of the profile with the name KEY, with one reference, in *OUT.
 * Every generation asks under the same name for what its operator takes for
 * the same profile. TLS_RC_OK; TLS_RC_NOMEM with *OUT NULL. Without
 * tls_limits_init nothing is counted: OK with NULL. */
enum tls_rc tls_limits_usage_get(
		const char *key, struct tls_limits_usage **out) TLS_MUST_CHECK;

/* Drops the reference and sets *USAGE to NULL; NULL inside is fine. */
void tls_limits_usage_put(struct tls_limits_usage **usage);

/* NULL is fine for the following three: always true, nothing, 0. */

/* One more connection, unless MAX (0 = no limit) are there: false. */
bool tls_limits_usage_add(struct tls_limits_usage *usage, unsigned int max);
void tls_limits_usage_sub(struct tls_limits_usage *usage);
unsigned int tls_limits_usage_now(const struct tls_limits_usage *usage);

#endif
