/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* OpenSSL's allocator over the seam; see tls_mem.h. */

#include "tls_mem.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tls_ossl.h"
#include "tls_port.h"

/* Size classes: powers of two and the three steps between them, from 16 bytes
 * up to 14 KB, a quarter is the most that a block wastes; and two for the
 * large blocks of each handshake, the buffer of a record and a handshake
 * message that BUF_MEM_grow made larger. These two fit: the host's allocator
 * hands out a hole of up to twice the size whole, and one of 20 KB that is
 * left of a handshake went to a TCP connection, which has 17 KB.
 * Larger blocks go to shared memory directly. */
#define CLASS_LEAST 16
#define CLASSES 42
#define CLASS_RECORD 40
#define CLASS_RECORD_SIZE ((size_t)16384 + 384) /* OpenSSL adds up to 332 */
#define CLASS_MESSAGE 41
#define CLASS_MESSAGE_SIZE ((size_t)21888)
#define LARGE_MAX ((size_t)1024 * 1024 * 1024)

/* Blocks of one class that a process keeps. */
#define CLASS_BLOCKS_MAX 64

/* Blocks that a process takes from the depot at once, and bytes of them. */
#define DEPOT_BLOCKS 32
#define DEPOT_TAKE ((size_t)32 * 1024)

#define HEADER_MAGIC 0x746d656dU   /* "tmem" */
#define HEADER_FREE 0x66726565U	   /* "free": in a cache */
#define HEADER_PRIVATE 0x70726976U /* "priv": of one process */
#define HEADER_PACKED 0x7061636bU  /* "pack": part of a chunk */

/* In front of each block; 8 bytes keep the host's alignment. */
struct header
{
	uint32_t magic;
	uint32_t class; /* or CLASSES + bytes / 8 of a block without class */
};

/* What packed blocks are cut from, in the order in which they are wanted. The
 * host adds some hundred bytes to each block of its own, more than most of
 * OpenSSL's have. The largest fits eight times and more: little is left when
 * one does not fit any more. */
#define CHUNK_SIZE ((size_t)16384)
#define CHUNK_CLASSES 24 /* up to 896 bytes */

/* Of TLS_MEM_CACHE_MAX, what a process keeps for packed blocks: several times
 * what the library needs for the moment while it makes an object, which is some
 * 20 KB, most of it in two classes. These have their own place, whatever else
 * is kept: one that finds none is a hole in its chunk. */
#define PACKED_MAX ((size_t)64 * 1024)

/* In shared memory, at its start; its blocks follow. */
struct chunk
{
	/* Its blocks and, while it cuts, the process that made it. Who is the last
	 * to leave, in whatever process, gives the chunk back. */
	_Atomic uint32_t holders;
	uint32_t reserved; /* 8 bytes keep the host's alignment */
};

/* In the class of a packed block's header: where it lies in its chunk, in
 * units of 8 bytes, from this bit on. */
#define PLACE_BIT 8

/* In front of a private block; 16 bytes keep libc's alignment. */
struct private_header
{
	uint64_t maker;		  /* the process that may free it */
	struct header header; /* the class counts bytes, see class_exact */
};

/* A block in a cache: the space of its user holds the link. */
struct cached
{
	struct header header;
	struct cached *next;
};

/* Blocks that are kept for reuse, by class. */
struct shelf
{
	struct cached *first[CLASSES];
	unsigned int blocks[CLASSES];
	size_t all_blocks;
	size_t all_bytes;
	size_t most;			 /* bytes, all_bytes at most */
	unsigned int class_most; /* blocks of one class */
};

/* Private to the process. A thread of some other module may use OpenSSL too,
 * so there is a lock, never contended in the host's own processes. The host
 * ends a worker inside a signal handler, and exit handlers of other libraries
 * free what they have of OpenSSL: the thread that is inside may come again. */
static struct
{
	_Atomic uintptr_t owner; /* the thread that is inside, 0 = none */
	_Atomic bool at_port;	 /* it is inside the host's allocator */
	struct shelf single;
	struct shelf packed; /* packed blocks, for packed ones */
	struct chunk *chunk; /* held; packed blocks are cut from it; may be NULL */
	size_t chunk_used;	 /* bytes of it */
} cache = {.single = {.most = TLS_MEM_CACHE_MAX - PACKED_MAX,
				   .class_most = CLASS_BLOCKS_MAX},
		.packed = {.most = PACKED_MAX, .class_most = UINT_MAX}};

/* What full caches give and empty ones take, in shared memory, NULL until
 * tls_mem_init. A process that only begins connections, such as a sender,
 * would else take every block from shared memory, and the one that ends them
 * give every block back. Nobody waits for it: a process that finds it busy
 * goes to shared memory. */
static struct depot
{
	atomic_flag busy;
	struct cached *first[CLASSES];
	_Atomic int64_t blocks; /* written while busy, read at any time */
	_Atomic int64_t bytes;
} * depot;

/* The thread whose allocations are private now, 0 = none; and the one whose
 * allocations are packed. */
static _Atomic uintptr_t private_thread;
static _Atomic uintptr_t packing_thread;

/* Counts shortages in all processes: each gives its cache back when it sees
 * a new one. Shared memory; NULL until tls_mem_init. */
static _Atomic uint32_t *shortages;
static uint32_t shortages_seen;

/* ---- figures ---- */

enum figure
{
	FIGURE_BLOCKS = 0,
	FIGURE_BYTES,
	FIGURE_CACHED_BLOCKS,
	FIGURE_CACHED_BYTES,
	FIGURE_HITS,
	FIGURE_MISSES,
	FIGURE_FLUSHES,
	FIGURE_PRIVATE_BLOCKS,
	FIGURE_PRIVATE_BYTES,
	FIGURES = 16 /* whole cache lines: each process writes its own */
};

/* Of one process. Only that process writes; anybody may read. */
struct figures
{
	_Atomic int64_t n[FIGURES];
};

static struct figures own;			/* until there is a shared place */
static struct figures *here = &own; /* where this process counts */
static struct figures *all;			/* shared memory, by number of process */
static unsigned int processes;		/* places in ALL */
static unsigned int forked_from = UINT_MAX; /* our parent's place in ALL */

static void count(enum figure figure, int64_t by)
{
	_Atomic int64_t *n = &here->n[figure];

	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + by,
			memory_order_relaxed);
}

static void count_block(enum figure blocks, enum figure bytes, int64_t by)
{
	count(blocks, by < 0 ? -1 : 1);
	count(bytes, by);
}

/* Moves what was counted so far to the shared place, once there is one: a
 * child has the number of its parent until the host gives it its own; one that
 * is not the host's never gets one. */
static void settle(void)
{
	unsigned int process;
	size_t i;

	if(here != &own || all == NULL)
		return;
	process = tls_port_process();
	if(process >= processes || process == forked_from)
		return;
	here = &all[process];
	for(i = 0; i < FIGURES; i++)
		count((enum figure)i, own.n[i]);
	memset(&own, 0, sizeof(own));
}

static int64_t figure_of(const struct figures *figures, enum figure figure)
{
	return atomic_load_explicit(&figures->n[figure], memory_order_relaxed);
}

static void add_figures(struct tls_mem_stats *out, const struct figures *from)
{
	int64_t cached = figure_of(from, FIGURE_CACHED_BYTES);

	out->blocks += figure_of(from, FIGURE_BLOCKS);
	out->bytes += figure_of(from, FIGURE_BYTES);
	out->cached_blocks += figure_of(from, FIGURE_CACHED_BLOCKS);
	out->cached_bytes += cached;
	if(cached > out->cached_most)
		out->cached_most = cached;
	out->hits += figure_of(from, FIGURE_HITS);
	out->misses += figure_of(from, FIGURE_MISSES);
	out->flushes += figure_of(from, FIGURE_FLUSHES);
	out->private_blocks += figure_of(from, FIGURE_PRIVATE_BLOCKS);
	out->private_bytes += figure_of(from, FIGURE_PRIVATE_BYTES);
}

enum tls_rc tls_mem_share_stats(void)
{
	unsigned int n = tls_port_processes();
	struct figures *fresh;

	if(all != NULL)
		return TLS_RC_OK;
	fresh = tls_port_alloc(n * sizeof(*fresh));
	if(fresh == NULL)
		return TLS_RC_NOMEM;
	memset(fresh, 0, n * sizeof(*fresh));
	processes = n;
	all = fresh;
	settle();
	return TLS_RC_OK;
}

void tls_mem_stats(struct tls_mem_stats *out)
{
	memset(out, 0, sizeof(*out));
	add_figures(out, here);
}

void tls_mem_stats_of_all(struct tls_mem_stats *out)
{
	unsigned int i;

	memset(out, 0, sizeof(*out));
	if(all == NULL)
		add_figures(out, &own);
	for(i = 0; i < processes; i++)
		add_figures(out, &all[i]);
	if(depot != NULL) {
		out->cached_blocks += atomic_load(&depot->blocks);
		out->cached_bytes += atomic_load(&depot->bytes);
	}
}

/* ---- inside ---- */

#ifdef TLS_CHECKS
void (*tls_mem_inside)(void);
#define INSIDE()                   \
	do {                           \
		if(tls_mem_inside != NULL) \
			tls_mem_inside();      \
	} while(0)
/* All invariants each so many times: they look at every cached block. */
#define CHECK_EVERY 64

static bool is_valid_entered(void);

static void check(void)
{
	static unsigned int times;

	if(times++ % CHECK_EVERY != 0 || is_valid_entered())
		return;
	tls_port_log(TLS_LOG_CRIT, "BUG: the cache of OpenSSL's memory is broken");
	__builtin_trap();
}
#define CHECK() check()
#else
#define INSIDE() ((void)0)
#define CHECK() ((void)0)
#endif

/* False when the calling thread is inside already: what it interrupted holds
 * the lists, so the caller must not touch them. */
static bool enter(void)
{
	uintptr_t self = (uintptr_t)pthread_self();
	uintptr_t owner = 0;

	while(!atomic_compare_exchange_weak_explicit(&cache.owner, &owner, self,
			memory_order_acquire, memory_order_relaxed)) {
		if(owner == self)
			return false;
		owner = 0;
	}
	INSIDE();
	return true;
}

static void leave(void)
{
	CHECK();
	INSIDE();
	atomic_store_explicit(&cache.owner, 0, memory_order_release);
}

/* ---- the host's allocator, entered ---- */

static void *port_alloc(size_t n)
{
	void *p;

	atomic_store_explicit(&cache.at_port, true, memory_order_relaxed);
	INSIDE();
	p = tls_port_alloc(n);
	atomic_store_explicit(&cache.at_port, false, memory_order_relaxed);
	return p;
}

static void port_free(void *p)
{
	atomic_store_explicit(&cache.at_port, true, memory_order_relaxed);
	INSIDE();
	tls_port_free(p);
	atomic_store_explicit(&cache.at_port, false, memory_order_relaxed);
}

/* ---- the same in a handler that interrupted somebody inside ---- */

/* NULL when the host's allocator itself was interrupted: its lock is ours. */
static void *port_alloc_again(size_t n)
{
	return atomic_load(&cache.at_port) ? NULL : tls_port_alloc(n);
}

/* Leaks P rather than wait for that lock: this process is about to end. */
static void port_free_again(void *p)
{
	if(!atomic_load(&cache.at_port))
		tls_port_free(p);
}

/* ---- classes ---- */

/* Bytes of class C: 16 20 24 28 32 40 48 56 64 ... rounded up to 8. */
static size_t class_size(uint32_t c)
{
	size_t base = (size_t)CLASS_LEAST << c / 4;

	if(c >= CLASS_RECORD)
		return c == CLASS_RECORD ? CLASS_RECORD_SIZE : CLASS_MESSAGE_SIZE;
	return (base + base / 4 * (c % 4) + 7) & ~(size_t)7;
}

/* OpenSSL wipes key objects, but not the SSL and session objects in which the
 * secrets of a connection lie. Smaller blocks hold none, larger ones are
 * buffers of records and handshake messages, which have been on the wire; to
 * wipe those too costs as much as the rest of the allocator. */
#define WIPED_FROM 1024
#define WIPED_TO 8192

/* Class of a block of exactly N bytes, rounded up to 8. */
static uint32_t class_exact(size_t n)
{
	return CLASSES + (uint32_t)((n + 7) / 8);
}

/* The smallest class for N bytes (1 to LARGE_MAX); from CLASSES on it is a
 * block without class and its size in units of 8. */
static uint32_t class_of(size_t n)
{
	uint32_t log;
	size_t quarter;

	if(n > CLASS_MESSAGE_SIZE)
		return class_exact(n);
	if(n > class_size(CLASS_RECORD - 1))
		return n <= CLASS_RECORD_SIZE ? CLASS_RECORD : CLASS_MESSAGE;
	if(n <= CLASS_LEAST)
		return 0;
	/* 2^LOG < N <= 2^(LOG+1), in which quarter? */
	log = 63U - (uint32_t)__builtin_clzll((unsigned long long)n - 1);
	quarter = (n - 1 - ((size_t)1 << log)) >> (log - 2);
	return (log - 4) * 4 + (uint32_t)quarter + 1;
}

/* Bytes that the user of a block may use. */
static size_t block_size(uint32_t class)
{
	return class < CLASSES ? class_size(class) : (size_t)(class - CLASSES) * 8;
}

static uint32_t packed_class(const struct header *header)
{
	return header->class & ((1U << PLACE_BIT) - 1);
}

static size_t size_of(const struct header *header)
{
	return header->magic == HEADER_PACKED ? class_size(packed_class(header))
										  : block_size(header->class);
}

/* ---- the cache, entered ---- */

static struct header *pop(struct shelf *shelf, uint32_t class)
{
	struct cached *block = shelf->first[class];
	size_t size = class_size(class);

	if(block == NULL)
		return NULL;
	shelf->first[class] = block->next;
	shelf->blocks[class]--;
	shelf->all_blocks--;
	shelf->all_bytes -= size;
	count_block(FIGURE_CACHED_BLOCKS, FIGURE_CACHED_BYTES, -(int64_t)size);
	return &block->header;
}

/* False when the shelf is full, or there is no place for blocks of CLASS. */
static bool push(struct shelf *shelf, uint32_t class, struct header *header)
{
	struct cached *block = (struct cached *)header;
	size_t size;

	if(class >= CLASSES || shelf->blocks[class] >= shelf->class_most)
		return false;
	size = class_size(class);
	if(shelf->all_bytes + size > shelf->most)
		return false;
	header->magic = HEADER_FREE;
	block->next = shelf->first[class];
	shelf->first[class] = block;
	shelf->blocks[class]++;
	shelf->all_blocks++;
	shelf->all_bytes += size;
	count_block(FIGURE_CACHED_BLOCKS, FIGURE_CACHED_BYTES, (int64_t)size);
	return true;
}

/* ---- the depot, entered ---- */

static bool depot_enter(void)
{
	return depot != NULL
		   && !atomic_flag_test_and_set_explicit(
				   &depot->busy, memory_order_acquire);
}

static void depot_leave(void)
{
	atomic_flag_clear_explicit(&depot->busy, memory_order_release);
}

static void depot_count(int64_t blocks, int64_t bytes)
{
	atomic_store(&depot->blocks, atomic_load(&depot->blocks) + blocks);
	atomic_store(&depot->bytes, atomic_load(&depot->bytes) + bytes);
}

/* Puts HEADER, for which the cache has no place, and half of what the cache
 * has of its class into the depot: the next ones then find place in the cache.
 * False when the depot is full or busy. */
static bool depot_give(struct header *header)
{
	uint32_t class = header->class;
	int64_t size;
	int64_t n = 0;
	unsigned int half;

	if(class >= CLASSES || !depot_enter())
		return false;
	size = (int64_t)class_size(class);
	half = cache.single.blocks[class] / 2;
	while(header != NULL
			&& atomic_load(&depot->bytes) + (n + 1) * size
					   <= (int64_t)TLS_MEM_DEPOT_MAX) {
		struct cached *block = (struct cached *)header;

		block->header.magic = HEADER_FREE;
		block->next = depot->first[class];
		depot->first[class] = block;
		n++;
		header = half > 0 ? pop(&cache.single, class) : NULL;
		half -= half > 0;
	}
	depot_count(n, n * size);
	depot_leave();
	/* what is left came from the cache, so there is a place for it */
	if(n > 0 && header != NULL && !push(&cache.single, class, header)) {
		header->magic = 0;
		port_free(header);
	}
	return n > 0;
}

/* A block of CLASS from the depot, some more go into the cache. NULL when it
 * has none or is busy. */
static struct header *depot_take(uint32_t class)
{
	struct header *header = NULL;
	size_t size = class_size(class);
	int64_t n = 0;

	if(!depot_enter())
		return NULL;
	while(depot->first[class] != NULL && n < DEPOT_BLOCKS
			&& (size_t)n * size < DEPOT_TAKE) {
		struct cached *block = depot->first[class];
		struct cached *next = block->next;

		if(header != NULL && !push(&cache.single, class, &block->header))
			break;
		if(header == NULL)
			header = &block->header;
		depot->first[class] = next;
		n++;
	}
	depot_count(-n, -n * (int64_t)size);
	depot_leave();
	return header;
}

/* Gives all of it back to shared memory. */
static void depot_flush(void)
{
	uint32_t c;

	if(!depot_enter())
		return;
	for(c = 0; c < CLASSES; c++) {
		while(depot->first[c] != NULL) {
			struct cached *block = depot->first[c];

			depot->first[c] = block->next;
			depot_count(-1, -(int64_t)class_size(c));
			block->header.magic = 0;
			port_free(block);
		}
	}
	depot_leave();
}

/* ---- chunks, entered ---- */

/* Leaves CHUNK; NULL is fine. */
static void chunk_leave(struct chunk *chunk)
{
	if(chunk != NULL && atomic_fetch_sub(&chunk->holders, 1) == 1)
		port_free(chunk);
}

/* The chunk of the packed block HEADER, which is one no more. */
static struct chunk *chunk_of(struct header *header)
{
	size_t place = (size_t)(header->class >> PLACE_BIT) * 8;

	header->magic = 0;
	return (struct chunk *)((char *)header - place);
}

static void flush_packed(void)
{
	struct header *header;
	struct chunk *chunk = cache.chunk;
	uint32_t c;

	for(c = 0; c < CLASSES; c++) {
		while((header = pop(&cache.packed, c)) != NULL)
			chunk_leave(chunk_of(header));
	}
	cache.chunk = NULL;
	chunk_leave(chunk);
}

static void flush_entered(void)
{
	struct header *header;
	uint32_t c;

	if(cache.single.all_blocks + cache.packed.all_blocks > 0)
		count(FIGURE_FLUSHES, 1);
	for(c = 0; c < CLASSES; c++) {
		while((header = pop(&cache.single, c)) != NULL) {
			header->magic = 0;
			port_free(header);
		}
	}
	flush_packed();
}

/* Somebody ran out of memory since we last looked: keep nothing. */
static void heed_shortage(void)
{
	uint32_t now;

	if(shortages == NULL)
		return;
	now = atomic_load_explicit(shortages, memory_order_relaxed);
	if(now == shortages_seen)
		return;
	shortages_seen = now;
	flush_entered();
}

/* ---- the allocator ---- */

/* N bytes of shared memory; once more after giving the cache back. */
static void *take(size_t n)
{
	void *p = port_alloc(n);

	settle();
	count(FIGURE_MISSES, 1);
	if(p != NULL)
		return p;
	if(shortages != NULL)
		atomic_fetch_add(shortages, 1);
	flush_entered();
	depot_flush();
	return port_alloc(n);
}

/* A block of CLASS for anybody: from the cache, the depot or shared memory. */
static struct header *find(uint32_t class)
{
	struct header *header = NULL;

	heed_shortage();
	if(class < CLASSES)
		header = pop(&cache.single, class);
	if(header == NULL && class < CLASSES)
		header = depot_take(class);
	if(header != NULL)
		count(FIGURE_HITS, 1);
	else
		header = take(sizeof(*header) + block_size(class));
	return header;
}

/* ---- scopes: THREAD is the one that is inside, 0 = none ---- */

static bool is_inside(_Atomic uintptr_t *thread)
{
	return atomic_load_explicit(thread, memory_order_relaxed)
		   == (uintptr_t)pthread_self();
}

/* When another thread is inside, this one gets single blocks of shared memory:
 * dearer, but as good. */
static void scope_begin(_Atomic uintptr_t *thread)
{
	uintptr_t nobody = 0;

	atomic_compare_exchange_strong(thread, &nobody, (uintptr_t)pthread_self());
}

static void scope_end(_Atomic uintptr_t *thread)
{
	if(is_inside(thread))
		atomic_store(thread, 0);
}

/* ---- packed blocks, entered ---- */

/* Makes a chunk to cut from in place of the one that is used up. */
static bool chunk_renew(void)
{
	struct chunk *chunk = take(CHUNK_SIZE);

	if(chunk == NULL)
		return false;
	atomic_init(&chunk->holders, 1);
	chunk_leave(cache.chunk);
	cache.chunk = chunk;
	cache.chunk_used = sizeof(*chunk);
	return true;
}

/* A packed block of CLASS: one that was packed and is free, or a new one. */
static struct header *find_packed(uint32_t class)
{
	size_t size = class_size(class);
	struct header *header;

	heed_shortage();
	header = pop(&cache.packed, class);
	if(header != NULL) {
		count(FIGURE_HITS, 1);
		return header;
	}
	if(cache.chunk == NULL
			|| cache.chunk_used + sizeof(*header) + size > CHUNK_SIZE) {
		if(!chunk_renew())
			return NULL;
	} else
		count(FIGURE_HITS, 1);
	header = (struct header *)((char *)cache.chunk + cache.chunk_used);
	header->class = class | (uint32_t)(cache.chunk_used / 8) << PLACE_BIT;
	cache.chunk_used += sizeof(*header) + size;
	atomic_fetch_add(&cache.chunk->holders, 1);
	return header;
}

/* What is freed inside a scope was made for the moment, and the next object of
 * such a scope needs the same again. Outside it is an object that ends, and
 * its chunk shall end with it. */
static void packed_free(struct header *header)
{
	if(!is_inside(&packing_thread)
			|| !push(&cache.packed, packed_class(header), header))
		chunk_leave(chunk_of(header));
}

void tls_mem_packed_begin(void)
{
	scope_begin(&packing_thread);
}

void tls_mem_packed_end(void)
{
	scope_end(&packing_thread);
}

/* ---- private blocks ---- */

static _Atomic pid_t self; /* 0 = not asked for in this process yet */

/* libc asks the kernel each time, which costs as much as the allocation. */
static uint64_t self_pid(void)
{
	if(self == 0)
		self = getpid();
	return (uint64_t)self;
}

/* N bytes (1 to LARGE_MAX), or NULL. No cache: libc has its own, and gives
 * memory back when it is not used. */
static void *private_alloc(size_t n)
{
	uint32_t class = class_exact(n);
	struct private_header *block =
			tls_port_private_alloc(sizeof(*block) + block_size(class));

	if(block == NULL)
		return NULL;
	count_block(FIGURE_PRIVATE_BLOCKS, FIGURE_PRIVATE_BYTES,
			(int64_t)block_size(class));
	block->maker = self_pid();
	block->header.magic = HEADER_PRIVATE;
	block->header.class = class;
	return block + 1;
}

/* Wiped whatever its size: expanded keys are the reason for private blocks. */
static void private_free(struct header *header)
{
	struct private_header *block = (struct private_header *)(header + 1) - 1;

	if(block->maker != self_pid()) {
		tls_port_log(TLS_LOG_CRIT,
				"BUG: OpenSSL frees %p, which is private memory of process "
				"%llu",
				(void *)(block + 1), (unsigned long long)block->maker);
		return;
	}
	OPENSSL_cleanse(block + 1, block_size(header->class));
	count_block(FIGURE_PRIVATE_BLOCKS, FIGURE_PRIVATE_BYTES,
			-(int64_t)block_size(header->class));
	header->magic = 0;
	tls_port_private_free(block);
}

void tls_mem_private_begin(void)
{
	scope_begin(&private_thread);
}

void tls_mem_private_end(void)
{
	scope_end(&private_thread);
}

/* ---- what OpenSSL calls ---- */

void *tls_mem_alloc(size_t n)
{
	struct header *header = NULL;
	bool packed = false;
	uint32_t class;

	if(n == 0 || n > LARGE_MAX)
		return NULL;
	if(is_inside(&private_thread))
		return private_alloc(n);
	class = class_of(n);
	if(enter()) {
		packed = class < CHUNK_CLASSES && is_inside(&packing_thread);
		header = packed ? find_packed(class) : find(class);
		if(header != NULL)
			count_block(
					FIGURE_BLOCKS, FIGURE_BYTES, (int64_t)block_size(class));
		leave();
	} else
		header = port_alloc_again(sizeof(*header) + block_size(class));
	if(header == NULL)
		return NULL;
	header->magic = packed ? HEADER_PACKED : HEADER_MAGIC;
	if(!packed)
		header->class = class;
	return header + 1;
}

/* The header of P, or NULL with a line in the log when P is not an allocated
 * block: then it is safer to leak it than to free it. */
static struct header *header_of(void *p)
{
	struct header *header = (struct header *)p - 1;

	if(header->magic == HEADER_MAGIC || header->magic == HEADER_PACKED
			|| header->magic == HEADER_PRIVATE)
		return header;
	tls_port_log(TLS_LOG_CRIT, "BUG: OpenSSL frees %p, which is %s", p,
			header->magic == HEADER_FREE ? "free already"
										 : "overwritten or not its own");
	return NULL;
}

/* Frees HEADER in a handler that interrupted somebody inside. */
static void free_again(struct header *header)
{
	struct chunk *chunk;

	if(header->magic == HEADER_PACKED) {
		chunk = chunk_of(header);
		if(atomic_fetch_sub(&chunk->holders, 1) == 1)
			port_free_again(chunk);
		return;
	}
	header->magic = 0;
	port_free_again(header);
}

void tls_mem_free(void *p)
{
	struct header *header = p != NULL ? header_of(p) : NULL;
	size_t size;

	if(header == NULL)
		return;
	if(header->magic == HEADER_PRIVATE) {
		private_free(header);
		return;
	}
	size = size_of(header);
	if(size >= WIPED_FROM && size <= WIPED_TO)
		explicit_bzero(p, size); /* wide stores, unlike OPENSSL_cleanse() */
	if(!enter()) {
		free_again(header);
		return;
	}
	count_block(FIGURE_BLOCKS, FIGURE_BYTES, -(int64_t)size);
	heed_shortage();
	if(header->magic == HEADER_PACKED) {
		packed_free(header);
	} else if(!push(&cache.single, header->class, header)
			  && !depot_give(header)) {
		header->magic = 0;
		port_free(header);
	}
	leave();
}

/* A block stays where it is when N bytes fit: giving the rest back is not worth
 * a visit to shared memory, and one of the host's allocators loses count of
 * blocks that shrink (core/mem/q_malloc.c). */
void *tls_mem_realloc(void *p, size_t n)
{
	struct header *header;
	size_t size;
	void *moved;

	if(p == NULL)
		return tls_mem_alloc(n);
	if(n == 0) {
		tls_mem_free(p);
		return NULL;
	}
	header = header_of(p);
	if(header == NULL)
		return NULL;
	size = size_of(header);
	if(n <= size)
		return p;
	if(n > LARGE_MAX)
		return NULL;
	moved = header->magic == HEADER_PRIVATE ? private_alloc(n)
											: tls_mem_alloc(n);
	if(moved == NULL)
		return NULL;
	memcpy(moved, p, size);
	tls_mem_free(p);
	return moved;
}

/* ---- life ---- */

/* Of this process. A thread of some other module may use OpenSSL too. */
static atomic_uint refused;

unsigned int tls_mem_refused(void)
{
	return atomic_load(&refused);
}

static void *note_refusal(void *p, size_t n)
{
	if(p == NULL && n > 0)
		atomic_fetch_add(&refused, 1);
	return p;
}

static void *malloc_cb(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return note_refusal(tls_mem_alloc(n), n);
}

static void *realloc_cb(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return note_refusal(tls_mem_realloc(p, n), n);
}

static void free_cb(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	tls_mem_free(p);
}

enum tls_rc tls_mem_init(void)
{
	if(CRYPTO_set_mem_functions(malloc_cb, realloc_cb, free_cb) != 1)
		return TLS_RC_CONFIG;
	if(shortages == NULL) {
		shortages = tls_port_alloc(sizeof(*shortages));
		if(shortages == NULL)
			return TLS_RC_NOMEM;
		atomic_init(shortages, 0);
	}
	if(depot == NULL) {
		depot = tls_port_alloc(sizeof(*depot));
		if(depot == NULL)
			return TLS_RC_NOMEM;
		memset(depot, 0, sizeof(*depot));
		atomic_flag_clear(&depot->busy);
	}
	return TLS_RC_OK;
}

void tls_mem_flush(void)
{
	if(!enter())
		return;
	flush_entered();
	depot_flush();
	leave();
}

void tls_mem_flush_all(void)
{
	if(shortages != NULL)
		atomic_fetch_add(shortages, 1);
	tls_mem_flush();
}

/* What lies there is the parent's. */
static void shelf_forget(struct shelf *shelf)
{
	*shelf = (struct shelf){
			.most = shelf->most, .class_most = shelf->class_most};
}

void tls_mem_after_fork(void)
{
	/* A thread of the parent may have been inside; it does not exist here. */
	self = 0;
	atomic_store(&private_thread, 0);
	atomic_store(&packing_thread, 0);
	atomic_store(&cache.owner, 0);
	atomic_store(&cache.at_port, false);
	shelf_forget(&cache.single);
	shelf_forget(&cache.packed);
	cache.chunk = NULL;
	here = &own;
	if(all != NULL) {
		forked_from = tls_port_process();
		memset(&own, 0, sizeof(own));
	}
}

/* The class of HEADER, which lies on SHELF. */
static uint32_t class_on(const struct shelf *shelf, const struct header *header)
{
	return shelf == &cache.packed ? packed_class(header) : header->class;
}

static bool shelf_is_valid(const struct shelf *shelf)
{
	size_t bytes = 0;
	size_t blocks = 0;
	bool valid = true;
	uint32_t c;

	for(c = 0; c < CLASSES && valid; c++) {
		const struct cached *block = shelf->first[c];
		unsigned int n = 0;

		for(; block != NULL && n <= shelf->blocks[c]; block = block->next, n++)
			if(block->header.magic != HEADER_FREE
					|| class_on(shelf, &block->header) != c)
				valid = false;
		valid = valid && n == shelf->blocks[c] && n <= shelf->class_most;
		blocks += n;
		bytes += n * class_size(c);
	}
	return valid && blocks == shelf->all_blocks && bytes == shelf->all_bytes
		   && bytes <= shelf->most;
}

static bool is_valid_entered(void)
{
	if(cache.chunk != NULL
			&& (atomic_load(&cache.chunk->holders) == 0
					|| cache.chunk_used > CHUNK_SIZE))
		return false;
	return shelf_is_valid(&cache.single) && shelf_is_valid(&cache.packed);
}

bool tls_mem_is_valid(void)
{
	bool valid;

	if(!enter())
		return true; /* between two states */
	valid = is_valid_entered();
	leave();
	return valid;
}
