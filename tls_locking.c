/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Owns the process-shared locks and, in debug builds, the record of which
 * ones the caller holds. Does not decide when a lock is needed. Processes:
 * see tls_locking.h. */
#include "tls_locking.h"

#include <stdbool.h>
#include <stddef.h>

#include "tls_port.h"

/* Owned; set before fork, so all processes have the same pointers. */
static struct tls_port_lock *locks[TLS_LOCK_COUNT];

#ifndef NDEBUG

/* Bit i: this caller holds lock i. Of the thread, so that two threads of one
 * process are not taken for one caller. All of our work runs in the one thread
 * of each host process: the threads that a host from 6.1 on may start in its
 * TCP main process do only what a module sends there, and we send nothing. */
static _Thread_local unsigned int held;

_Static_assert(TLS_LOCK_COUNT <= 8 * sizeof(unsigned int), "one bit each");

static const char *lock_name(enum tls_lock_id id)
{
	switch(id) {
		case TLS_LOCK_DOMAINS:
			return "domains";
		case TLS_LOCK_LIMITS:
			return "limits";
		case TLS_LOCK_CERTS:
			return "certificates";
		case TLS_LOCK_COUNT:
			break;
	}
	return "unknown";
}

/* Complains when ID may not be taken now. Called before waiting, because a
 * breach of the order may never return from there. */
static void note_get(enum tls_lock_id id)
{
	if(held >> id != 0)
		tls_port_log(TLS_LOG_CRIT,
				"BUG lock \"%s\" taken out of order, held locks 0x%x",
				lock_name(id), held);
}

static void note_got(enum tls_lock_id id)
{
	held |= 1u << id;
}

/* False when ID is not held by the caller. */
static bool note_release(enum tls_lock_id id)
{
	if((held & 1u << id) == 0) {
		tls_port_log(TLS_LOG_CRIT, "BUG lock \"%s\" released but not held",
				lock_name(id));
		return false;
	}
	held &= ~(1u << id);
	return true;
}

static void note_destroy(void)
{
	if(held != 0)
		tls_port_log(
				TLS_LOG_CRIT, "BUG locks destroyed while 0x%x are held", held);
}

#else

static void note_get(enum tls_lock_id id)
{
	(void)id;
}

static void note_got(enum tls_lock_id id)
{
	(void)id;
}

static bool note_release(enum tls_lock_id id)
{
	(void)id;
	return true;
}

static void note_destroy(void)
{
}

#endif

enum tls_rc tls_locking_init(void)
{
	int i;

	if(locks[0] != NULL)
		return TLS_RC_BUG;
	for(i = 0; i < TLS_LOCK_COUNT; i++) {
		locks[i] = tls_port_lock_new();
		if(locks[i] == NULL) {
			tls_locking_destroy();
			return TLS_RC_NOMEM;
		}
	}
	return TLS_RC_OK;
}

void tls_locking_destroy(void)
{
	int i;

	note_destroy();
	for(i = 0; i < TLS_LOCK_COUNT; i++)
		tls_port_lock_free(&locks[i]);
}

void tls_lock_get(enum tls_lock_id id)
{
	note_get(id);
	tls_port_lock_get(locks[id]);
	note_got(id);
}

void tls_lock_release(enum tls_lock_id id)
{
	if(note_release(id))
		tls_port_lock_release(locks[id]);
}
