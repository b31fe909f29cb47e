/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Implements tls_port.h on libc for the unit tests and fuzzers: one arena
 * shared over fork, size classes, guard bytes, accounts. Not fast, and never
 * gives a page back; that is the price of finding mistakes. Everything in
 * the arena's head is protected by its process-shared mutex. */
#include "port_stub.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define STUB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STUB_ASAN 1
#endif
#endif

#ifdef STUB_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p_, n_) ((void)(p_), (void)(n_))
#define ASAN_UNPOISON_MEMORY_REGION(p_, n_) ((void)(p_), (void)(n_))
#endif

#define ARENA_SIZE ((size_t)512 << 20)
#define ALIGNMENT 16u
#define GUARD_MIN 16u
#define N_CLASSES 120u
#define MAGIC_LIVE 0x4c495645u
#define MAGIC_FREE 0x46524545u
#define BYTE_GUARD 0xb5
#define BYTE_FRESH 0xa5 /* new memory is never zero: nobody may rely on it */
#define BYTE_FREED 0xdd
#define LOG_LINE_MAX 1024

/* In front of each block. The room after it is n bytes for the user, then
 * guard bytes up to the size of the class. */
struct block
{
	uint32_t magic;
	uint32_t cls;
	size_t n;
	uint64_t epoch;		/* account (see port_stub_reset) it belongs to */
	struct block *next; /* in the free list of its class */
	unsigned char guard[GUARD_MIN] __attribute__((aligned(ALIGNMENT)));
};
_Static_assert(sizeof(struct block) % ALIGNMENT == 0, "blocks are aligned");

/* Head of the arena. */
struct arena
{
	pthread_mutex_t mutex; /* protects all that follows */
	size_t top;			   /* bytes of the arena in use */
	bool poison;		   /* ASan poisoning is on: no fork so far */
	uint64_t epoch;
	size_t live_blocks;
	size_t live_bytes;
	unsigned long allocs;
	unsigned long fail_in;	/* 0 = never */
	unsigned long fail_run; /* how many fail in a row then */
	bool failed;
	uint64_t ms;
	unsigned log_count[TLS_LOG_DBG + 1];
	char log[LOG_LINE_MAX];
	struct block *free_list[N_CLASSES];
};

struct tls_port_lock
{
	pthread_mutex_t mutex;
};

static struct arena *the_arena;
static unsigned int process_index;
static unsigned int process_count = 1;

static void die(const char *what) __attribute__((noreturn));

static void die(const char *what)
{
	fprintf(stderr, "port_stub: %s\n", what);
	abort();
}

/* ---- the arena ---- */

static void mutex_init_shared(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;

	if(pthread_mutexattr_init(&attr)
			|| pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED)
			|| pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK)
			|| pthread_mutex_init(mutex, &attr))
		die("no process-shared mutex");
	pthread_mutexattr_destroy(&attr);
}

static void arena_lock(void)
{
	if(pthread_mutex_lock(&the_arena->mutex))
		die("arena lock is broken");
}

static void arena_unlock(void)
{
	if(pthread_mutex_unlock(&the_arena->mutex))
		die("arena lock is broken");
}

/* Ends the process without leaving the others locked out. */
static void die_unlocked(const char *what) __attribute__((noreturn));

static void die_unlocked(const char *what)
{
	arena_unlock();
	die(what);
}

/* Poisoning is private to a process while the arena is shared, so after a
 * fork it would accuse the innocent. From then on the guards alone watch. */
static void before_fork(void)
{
	arena_lock();
	the_arena->poison = false;
	ASAN_UNPOISON_MEMORY_REGION((char *)the_arena, the_arena->top);
	arena_unlock();
}

/* What is only known from the arena is no leak. */
static void at_exit(void)
{
#ifdef STUB_ASAN
	__lsan_register_root_region(the_arena, the_arena->top);
#endif
}

/* Runs before main, so that every later process shares the arena. */
static void arena_open(void) __attribute__((constructor));

static void arena_open(void)
{
	void *p;

	if(the_arena != NULL)
		return;
	p = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if(p == MAP_FAILED)
		die("no shared memory");
	the_arena = p;
	mutex_init_shared(&the_arena->mutex);
	the_arena->top = (sizeof(*the_arena) + 63) & ~(size_t)63;
	the_arena->poison = true;
	the_arena->ms = PORT_STUB_MS_START;
	if(pthread_atfork(before_fork, NULL, NULL) || atexit(at_exit))
		die("no handlers");
}

/* Four classes for each doubling, from 64 bytes on: little waste, and a
 * freed block is found again at once. */
static size_t class_size(unsigned int cls)
{
	return ((size_t)64 << (cls / 4)) / 4 * (4 + cls % 4);
}

static unsigned int class_of(size_t room)
{
	unsigned int cls = 0;

	while(cls < N_CLASSES && class_size(cls) < room)
		cls++;
	return cls;
}

static unsigned char *block_data(struct block *b)
{
	return (unsigned char *)(b + 1);
}

static bool all_bytes(const unsigned char *p, size_t n, unsigned char value)
{
	size_t i;

	for(i = 0; i < n; i++) {
		if(p[i] != value)
			return false;
	}
	return true;
}

static void block_poison(struct block *b, size_t n_usable)
{
	if(!the_arena->poison)
		return;
	ASAN_POISON_MEMORY_REGION(
			block_data(b) + n_usable, class_size(b->cls) - n_usable);
	ASAN_POISON_MEMORY_REGION(b, sizeof(*b));
}

static void block_unpoison(struct block *b)
{
	ASAN_UNPOISON_MEMORY_REGION(b, sizeof(*b));
	ASAN_UNPOISON_MEMORY_REGION(block_data(b), class_size(b->cls));
}

/* A block of class CLS from its free list or from the top; NULL when the
 * arena is full. */
static struct block *block_take_locked(unsigned int cls)
{
	struct block *b = the_arena->free_list[cls];
	size_t n = sizeof(*b) + class_size(cls);

	if(b != NULL) {
		ASAN_UNPOISON_MEMORY_REGION(b, sizeof(*b));
		block_unpoison(b);
		if(b->magic != MAGIC_FREE
				|| !all_bytes(block_data(b), class_size(cls), BYTE_FREED))
			die_unlocked("a freed block was written to");
		the_arena->free_list[cls] = b->next;
		return b;
	}
	if(n > ARENA_SIZE - the_arena->top)
		return NULL;
	b = (struct block *)((char *)the_arena + the_arena->top);
	the_arena->top += n;
	return b;
}

/* Counts one allocation; true when it is the one that has to fail. */
static bool must_fail_locked(void)
{
	the_arena->allocs++;
	if(the_arena->fail_in == 0 || --the_arena->fail_in != 0)
		return false;
	the_arena->failed = true;
	if(--the_arena->fail_run > 0)
		the_arena->fail_in = 1;
	return true;
}

static void *alloc_locked(size_t n)
{
	struct block *b;
	unsigned int cls;
	unsigned char *data;

	if(n == 0)
		die_unlocked("allocation of 0 bytes");
	if(must_fail_locked() || n > ARENA_SIZE)
		return NULL;
	cls = class_of(n + GUARD_MIN);
	b = cls < N_CLASSES ? block_take_locked(cls) : NULL;
	if(b == NULL)
		return NULL;
	b->magic = MAGIC_LIVE;
	b->cls = cls;
	b->n = n;
	b->epoch = the_arena->epoch;
	b->next = NULL;
	memset(b->guard, BYTE_GUARD, sizeof(b->guard));
	data = block_data(b);
	memset(data, BYTE_FRESH, n);
	memset(data + n, BYTE_GUARD, class_size(cls) - n);
	the_arena->live_blocks++;
	the_arena->live_bytes += n;
	block_poison(b, n);
	return data;
}

/* Finds the block of P, complains about all that can be wrong with it, and
 * leaves it unpoisoned. */
static struct block *block_check_locked(void *p)
{
	struct block *b = (struct block *)p - 1;
	char *low = (char *)the_arena + sizeof(*the_arena);

	if((char *)b < low || (char *)p >= (char *)the_arena + the_arena->top
			|| (uintptr_t)p % ALIGNMENT != 0)
		die_unlocked("pointer is not from this arena");
	ASAN_UNPOISON_MEMORY_REGION(b, sizeof(*b));
	if(b->magic == MAGIC_FREE)
		die_unlocked("block was freed before");
	if(b->magic != MAGIC_LIVE || b->cls >= N_CLASSES
			|| !all_bytes(b->guard, sizeof(b->guard), BYTE_GUARD))
		die_unlocked("bytes in front of a block were overwritten");
	block_unpoison(b);
	if(b->n > class_size(b->cls)
			|| !all_bytes(block_data(b) + b->n, class_size(b->cls) - b->n,
					BYTE_GUARD))
		die_unlocked("bytes after a block were overwritten");
	return b;
}

static void free_locked(void *p)
{
	struct block *b = block_check_locked(p);

	if(b->epoch == the_arena->epoch) {
		the_arena->live_blocks--;
		the_arena->live_bytes -= b->n;
	}
	b->magic = MAGIC_FREE;
	b->next = the_arena->free_list[b->cls];
	the_arena->free_list[b->cls] = b;
	memset(block_data(b), BYTE_FREED, class_size(b->cls));
	block_poison(b, 0);
}

/* ---- tls_port.h: memory ---- */

void *tls_port_alloc(size_t n)
{
	void *p;

	arena_open();
	arena_lock();
	p = alloc_locked(n);
	arena_unlock();
	return p;
}

void *tls_port_realloc(void *p, size_t n)
{
	struct block *b;
	void *fresh;

	if(p == NULL)
		return tls_port_alloc(n);
	arena_lock();
	b = block_check_locked(p);
	block_poison(b, b->n);
	/* always moves, so that a pointer kept over realloc is found out */
	fresh = alloc_locked(n);
	if(fresh != NULL) {
		ASAN_UNPOISON_MEMORY_REGION(b, sizeof(*b));
		memcpy(fresh, p, b->n < n ? b->n : n);
		free_locked(p);
	}
	arena_unlock();
	return fresh;
}

void tls_port_free(void *p)
{
	if(p == NULL)
		return;
	arena_lock();
	free_locked(p);
	arena_unlock();
}

/* In front of each private block; 16 bytes keep libc's alignment. */
struct private_block
{
	struct private_block *next;
	struct private_block **here; /* what points to this one */
	size_t n;
	uint64_t magic;
};

static struct private_block *private_first;
static size_t private_blocks;
static size_t private_bytes;

/* Fails like the others, so that ladders reach it. */
void *tls_port_private_alloc(size_t n)
{
	struct private_block *b;
	bool fails;

	arena_open();
	arena_lock();
	fails = must_fail_locked();
	arena_unlock();
	b = fails ? NULL : malloc(sizeof(*b) + n);
	if(b == NULL)
		return NULL;
	b->n = n;
	b->magic = MAGIC_LIVE;
	b->next = private_first;
	b->here = &private_first;
	if(b->next != NULL)
		b->next->here = &b->next;
	private_first = b;
	private_blocks++;
	private_bytes += n;
	return memset(b + 1, BYTE_FRESH, n);
}

void tls_port_private_free(void *p)
{
	struct private_block *b = (struct private_block *)p - 1;

	if(p == NULL)
		return;
	if(b->magic != MAGIC_LIVE)
		die("no private block");
	b->magic = MAGIC_FREE;
	*b->here = b->next;
	if(b->next != NULL)
		b->next->here = b->here;
	private_blocks--;
	private_bytes -= b->n;
	free(b);
}

/* Reads poisoned bytes too. */
__attribute__((no_sanitize("address"))) size_t port_stub_private_seen(void)
{
	const uintptr_t *word = (const uintptr_t *)the_arena;
	const uintptr_t *end = word + the_arena->top / sizeof(*word);
	const struct private_block *b;
	size_t n = 0;

	for(; word < end; word++) {
		for(b = private_first; b != NULL; b = b->next)
			if(*word >= (uintptr_t)b && *word < (uintptr_t)(b + 1) + b->n)
				n++;
	}
	return n;
}

size_t port_stub_private_blocks(void)
{
	return private_blocks;
}

size_t port_stub_private_bytes(void)
{
	return private_bytes;
}

/* ---- tls_port.h: log, time, processes ---- */

void tls_port_log(enum tls_log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	va_list ap;

	arena_open();
	va_start(ap, fmt);
	if(vsnprintf(line, sizeof(line), fmt, ap) < 0)
		die("log line could not be formatted");
	va_end(ap);
	if((unsigned int)level > TLS_LOG_DBG)
		die("log level is out of range");
	arena_lock();
	the_arena->log_count[level]++;
	memcpy(the_arena->log, line, sizeof(line));
	arena_unlock();
	if(getenv("TLS_TEST_LOG") != NULL)
		fprintf(stderr, "log[%d] %s\n", (int)level, line);
}

uint64_t tls_port_ms(void)
{
	uint64_t ms;

	arena_lock();
	ms = the_arena->ms;
	arena_unlock();
	return ms;
}

unsigned int tls_port_process(void)
{
	return process_index;
}

unsigned int tls_port_processes(void)
{
	return process_count;
}

/* ---- tls_port.h: locks ---- */

struct tls_port_lock *tls_port_lock_new(void)
{
	struct tls_port_lock *lock = tls_port_alloc(sizeof(*lock));

	if(lock != NULL)
		mutex_init_shared(&lock->mutex);
	return lock;
}

void tls_port_lock_free(struct tls_port_lock **lock)
{
	if(*lock == NULL)
		return;
	if(pthread_mutex_destroy(&(*lock)->mutex))
		die("a held lock was freed");
	tls_port_free(*lock);
	*lock = NULL;
}

void tls_port_lock_get(struct tls_port_lock *lock)
{
	if(pthread_mutex_lock(&lock->mutex))
		die("a lock was taken twice");
}

void tls_port_lock_release(struct tls_port_lock *lock)
{
	if(pthread_mutex_unlock(&lock->mutex))
		die("a lock was released that is not held");
}

/* ---- port_stub.h ---- */

void port_stub_reset(void)
{
	arena_open();
	arena_lock();
	the_arena->epoch++;
	the_arena->live_blocks = 0;
	the_arena->live_bytes = 0;
	the_arena->allocs = 0;
	the_arena->fail_in = 0;
	the_arena->failed = false;
	the_arena->poison = true;
	the_arena->ms = PORT_STUB_MS_START;
	memset(the_arena->log_count, 0, sizeof(the_arena->log_count));
	the_arena->log[0] = '\0';
	arena_unlock();
	process_index = 0;
	process_count = 1;
}

size_t port_stub_live_blocks(void)
{
	size_t n;

	arena_lock();
	n = the_arena->live_blocks;
	arena_unlock();
	return n;
}

size_t port_stub_live_bytes(void)
{
	size_t n;

	arena_lock();
	n = the_arena->live_bytes;
	arena_unlock();
	return n;
}

unsigned long port_stub_allocs(void)
{
	unsigned long n;

	arena_lock();
	n = the_arena->allocs;
	arena_unlock();
	return n;
}

void port_stub_fail_run(unsigned long k, unsigned long n)
{
	arena_open();
	arena_lock();
	the_arena->fail_in = k;
	the_arena->fail_run = n;
	the_arena->failed = false;
	arena_unlock();
}

void port_stub_fail_at(unsigned long k)
{
	port_stub_fail_run(k, 1);
}

bool port_stub_failed(void)
{
	bool failed;

	arena_lock();
	failed = the_arena->failed;
	arena_unlock();
	return failed;
}

void port_stub_set_ms(uint64_t ms)
{
	arena_lock();
	the_arena->ms = ms;
	arena_unlock();
}

void port_stub_set_process(unsigned int index, unsigned int count)
{
	if(index >= count)
		die("process index is out of range");
	process_index = index;
	process_count = count;
}

const char *port_stub_last_log(void)
{
	static char line[LOG_LINE_MAX];

	arena_lock();
	memcpy(line, the_arena->log, sizeof(line));
	arena_unlock();
	return line;
}

unsigned port_stub_log_count(enum tls_log_level level)
{
	unsigned n;

	arena_lock();
	n = the_arena->log_count[level];
	arena_unlock();
	return n;
}
