/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The allocator that OpenSSL uses: shared memory, so that any process may use
 * and free any library object, behind size-class caches of each process, so
 * that a handshake's thousands of calls do not queue at one global lock.
 * Knows nothing of what is stored. Called by OpenSSL in every process and
 * thread, with whatever lock OpenSSL holds, also by exit handlers of a worker
 * that a signal ended anywhere. */
#ifndef TLS_MEM_H
#define TLS_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_err.h"

/* Most bytes that one process keeps for reuse. */
#define TLS_MEM_CACHE_MAX ((size_t)320 * 1024)

/* Most bytes that wait between the processes, given by one to be taken by
 * another. */
#define TLS_MEM_DEPOT_MAX ((size_t)1024 * 1024)

/* Figures of one process or of all. Of one process, blocks and bytes are what
 * it has allocated less what it has freed, be it of others, so perhaps less
 * than nothing. They are read while others count: each is right, their sums
 * may differ by what is going on. */
struct tls_mem_stats
{
	int64_t blocks; /* that OpenSSL has in shared memory, caches not counted */
	int64_t bytes;
	int64_t cached_blocks; /* kept for reuse */
	int64_t cached_bytes;
	int64_t cached_most;	/* bytes that one process keeps, the largest */
	int64_t hits;			/* allocations that a cache served */
	int64_t misses;			/* and that went to shared memory */
	int64_t flushes;		/* times that a process gave its cache back */
	int64_t private_blocks; /* memory of single processes */
	int64_t private_bytes;
};

/* Gives OpenSSL our allocator. Possible only before its first allocation in
 * this process (hazard 1). TLS_RC_OK; TLS_RC_CONFIG when something used
 * OpenSSL before. Main process, once, before the first fork. */
enum tls_rc tls_mem_init(void) TLS_MUST_CHECK;

/* The allocator itself, as OpenSSL calls it: NULL for 0 bytes and when memory
 * is short, after everything cached was given back. */
void *tls_mem_alloc(size_t n);
void *tls_mem_realloc(void *p, size_t n);
void tls_mem_free(void *p);

/* How often OpenSSL found no memory in this process so far. It goes on without
 * what it had no memory for, the algorithms of a context for example: who made
 * an object meanwhile asks before and after, and does not use it when the
 * number has grown. */
unsigned int tls_mem_refused(void);

/* Between these two, what OpenSSL allocates in the calling thread is private
 * memory of this process: for objects that only this process will ever use,
 * such as expanded keys, so that they neither lie in shared memory nor take
 * its lock. They may be freed at any time later, in this process: in another
 * one, also in a child that inherits them, that is a BUG line and a leak.
 * Scopes do not nest. Nothing that another process can reach may be made
 * inside. */
void tls_mem_private_begin(void);
void tls_mem_private_end(void);

/* Between these two, what OpenSSL allocates in the calling thread and is small
 * lies side by side in larger pieces of shared memory: for an object of many
 * small blocks that live and end together, such as a certificate, which would
 * else cost more for the host's bookkeeping than for itself. Blocks are freed
 * one by one as any others, at any time, in any process; a piece goes back
 * when all that is in it is free. Scopes do not nest; inside a private one
 * everything is private. */
void tls_mem_packed_begin(void);
void tls_mem_packed_end(void);

/* Gives back everything that this process keeps and the depot has, as the
 * allocator itself does when memory is short in any process. A worker that
 * ends does not: the heap goes with the server. */
void tls_mem_flush(void);

/* The same, and every other process gives back what it keeps when it allocates
 * or frees the next time. Any process, no lock. */
void tls_mem_flush_all(void);

/* To be called in the child after each fork (tls_ossl does): what the parent
 * keeps is the parent's. */
void tls_mem_after_fork(void);

#ifdef TLS_CHECKS
/* For tests, NULL else: called whenever the cache is locked, about to be
 * opened, or the host's allocator about to be called, by the thread that does
 * it. */
extern void (*tls_mem_inside)(void);
#endif

/* Makes the figures of all processes in shared memory; what was counted before
 * becomes the caller's. TLS_RC_OK or TLS_RC_NOMEM. Main process, once, when
 * tls_port_processes() is valid and before workers are forked. */
enum tls_rc tls_mem_share_stats(void) TLS_MUST_CHECK;

/* Figures of the calling process, or of all together, into *OUT. Counting and
 * reading take no lock. A process that a worker forked counts for itself. */
void tls_mem_stats(struct tls_mem_stats *out);
void tls_mem_stats_of_all(struct tls_mem_stats *out);

/* Invariants of this process's cache: bounds, headers, counts. A build with
 * -DTLS_CHECKS looks at them again and again, and traps with a BUG line. */
bool tls_mem_is_valid(void);

#endif
