/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The seam: all that the rooms below the host-free line need from outside.
 * Implemented by tls_port.c on the host (shared memory, its log, its process
 * table) and by test/lib/port_stub.c on libc for the unit tests; which one is
 * chosen at link time. Atomic counters are C11 <stdatomic.h>, which works in
 * memory shared between processes, so the seam has no functions for them;
 * random bytes come from the library's generator (tls_rand). */
#ifndef TLS_PORT_H
#define TLS_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "tls_err.h"

/* ---- memory shared by all processes of the server ---- */

/* Allocates N bytes (N > 0) of shared memory, not zeroed, aligned to 8 as the
 * host does. Returns NULL when memory is short. Any process; takes the host's
 * shared-memory lock, so never call it under a lock of tls_locking. */
void *tls_port_alloc(size_t n);

/* As realloc(): P may be NULL; on NULL return P is still valid. Only to make a
 * block larger: one of the host's allocators loses count of blocks that shrink
 * (core/mem/q_malloc.c). */
void *tls_port_realloc(void *p, size_t n);

/* Gives P back; P may be NULL and may come from another process. */
void tls_port_free(void *p);

/* ---- memory of the calling process alone ---- */

/* As tls_port_alloc and tls_port_free, but for what no other process may ever
 * see; aligned to 16. Any process; takes no lock of the host. */
void *tls_port_private_alloc(size_t n);
void tls_port_private_free(void *p);

/* ---- log ---- */

enum tls_log_level
{
	TLS_LOG_CRIT = 0, /* our own fault; text begins with "BUG" */
	TLS_LOG_ERR,	  /* configuration or system error */
	TLS_LOG_WARN,	  /* works, but somebody should look */
	TLS_LOG_NOTICE,	  /* policy refused something */
	TLS_LOG_INFO,	  /* peer noise, life cycle */
	TLS_LOG_DBG		  /* for developers */
};

/* Writes one line (no newline in FMT). Never keys, passphrases, payload. */
void tls_port_log(enum tls_log_level level, const char *fmt, ...)
		TLS_PRINTF(2, 3);

/* ---- time and processes ---- */

/* Monotonic milliseconds since an arbitrary start. */
uint64_t tls_port_ms(void);

/* Index of the calling process, 0 <= index < tls_port_processes(). */
unsigned int tls_port_process(void);

/* Number of processes the server will have. Valid from the host's init hook
 * on (the host knows it only then); constant afterwards; at least 1. */
unsigned int tls_port_processes(void);

/* ---- locks shared by all processes ---- */

struct tls_port_lock; /* lives in shared memory */

/* A new, open lock, or NULL when memory is short. Not recursive. */
struct tls_port_lock *tls_port_lock_new(void);
/* Frees *LOCK and sets it to NULL; NULL inside is fine; must be open. */
void tls_port_lock_free(struct tls_port_lock **lock);
void tls_port_lock_get(struct tls_port_lock *lock);
void tls_port_lock_release(struct tls_port_lock *lock);

#endif
