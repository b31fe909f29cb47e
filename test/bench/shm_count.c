/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A module for the benchmark that counts the takings of the lock of the
 * shared memory: it stands between the core's table of functions and the
 * allocator. Exports no function and no parameter.
 * Main process, before the fork; the counter is the file BENCH_SHM_COUNT,
 * mapped by every process, so counting itself takes no lock. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/mem/shm.h"
#include "core/sr_module.h"

MODULE_VERSION

/* The allocator wants to know its caller in builds that debug memory. */
#ifdef DBG_SR_MEMORY
#define CALLER_ARGS \
	, const char *file, const char *func, unsigned int line, const char *mname
#define CALLER , file, func, line, mname
#else
#define CALLER_ARGS
#define CALLER
#endif

static int bind_counter(void);

struct module_exports exports = {
		.name = "shm_count", .init_mod_f = bind_counter};

static atomic_ulong *takings;
static sr_shm_api_t real;

static void *count_malloc(void *mb, size_t n CALLER_ARGS)
{
	atomic_fetch_add_explicit(takings, 1, memory_order_relaxed);
	return real.xmalloc(mb, n CALLER);
}

static void *count_mallocxz(void *mb, size_t n CALLER_ARGS)
{
	atomic_fetch_add_explicit(takings, 1, memory_order_relaxed);
	return real.xmallocxz(mb, n CALLER);
}

static void *count_realloc(void *mb, void *p, size_t n CALLER_ARGS)
{
	atomic_fetch_add_explicit(takings, 1, memory_order_relaxed);
	return real.xrealloc(mb, p, n CALLER);
}

static void *count_reallocxf(void *mb, void *p, size_t n CALLER_ARGS)
{
	atomic_fetch_add_explicit(takings, 1, memory_order_relaxed);
	return real.xreallocxf(mb, p, n CALLER);
}

static void *count_resize(void *mb, void *p, size_t n CALLER_ARGS)
{
	atomic_fetch_add_explicit(takings, 1, memory_order_relaxed);
	return real.xresize(mb, p, n CALLER);
}

static void count_free(void *mb, void *p CALLER_ARGS)
{
	atomic_fetch_add_explicit(takings, 1, memory_order_relaxed);
	real.xfree(mb, p CALLER);
}

static void count_lock(void *mb)
{
	atomic_fetch_add_explicit(takings, 1, memory_order_relaxed);
	real.xglock(mb);
}

/* 0, or -1: the host refuses the module then. */
static int bind_counter(void)
{
	const char *path = getenv("BENCH_SHM_COUNT");
	int fd = path ? open(path, O_RDWR) : -1;
	void *map = MAP_FAILED;

	if(fd >= 0) {
		map = mmap(NULL, sizeof(*takings), PROT_READ | PROT_WRITE, MAP_SHARED,
				fd, 0);
		close(fd);
	}
	if(map == MAP_FAILED)
		return -1;
	takings = map;
	real = _shm_root;
	_shm_root.xmalloc = count_malloc;
	_shm_root.xmallocxz = count_mallocxz;
	_shm_root.xrealloc = count_realloc;
	_shm_root.xreallocxf = count_reallocxf;
	_shm_root.xresize = count_resize;
	_shm_root.xfree = count_free;
	_shm_root.xglock = count_lock;
	return 0;
}
