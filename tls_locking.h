/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The module's own locks: their names, what each protects, their one order.
 * Does not know the data they protect, nor the host's locks that may be held
 * around them.
 * init and destroy run in the main process, before fork and at its end; get
 * and release run in any process and thread. */
#ifndef TLS_LOCKING_H
#define TLS_LOCKING_H

#include "tls_err.h"

/* The locks, in the order in which one process may take them: a lock may be
 * taken only while no lock with the same or a higher number is held.
 * Outside of all of them, in this order: the host's lock of the TCP tables,
 * then the write lock of a connection.
 * Under one of them: no allocation or free, no log, no call of OpenSSL or of
 * the host, no waiting. A few loads and stores, and out. */
enum tls_lock_id
{
	/* The pointer to the published generation of profiles, the list of
	 * the generations that live, and the taking of a reference on the
	 * published one. Not the profiles: those never change. */
	TLS_LOCK_DOMAINS = 0,
	/* The list of connections that owe a handshake, and the list of the
	 * counts of profiles with their references (tls_limits.h). */
	TLS_LOCK_LIMITS,
	/* The table of certificates that were seen last (tls_der.h). */
	TLS_LOCK_CERTS,
	TLS_LOCK_COUNT
};

/* Allocates all locks, open. Returns TLS_RC_OK; TLS_RC_NOMEM (none exists
 * then); TLS_RC_BUG when they exist already. */
enum tls_rc tls_locking_init(void) TLS_MUST_CHECK;

/* Frees all locks, which must be open. Harmless without or after them. */
void tls_locking_destroy(void);

/* Takes the lock ID, waiting for other processes. Not recursive. A debug
 * build (without NDEBUG) logs a breach of the order before it waits. */
void tls_lock_get(enum tls_lock_id id);

/* Opens the lock ID, which the caller took. A debug build logs and does
 * nothing when the caller does not hold it. */
void tls_lock_release(enum tls_lock_id id);

#endif
