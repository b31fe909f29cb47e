/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the allocator given to OpenSSL: that it is ours that is called,
 * the corners of its contract, and that any process may free. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_mem.h"
#include "../lib/engine_pair.h"
#include "../lib/port_stub.h"

void test_mem_add(void);

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

static void test_corners(void)
{
	unsigned char *p, *q;
	size_t live;

	live = engine_live_blocks();
	CU_ASSERT_PTR_NULL(OPENSSL_malloc(0));
	OPENSSL_free(NULL);
	p = OPENSSL_realloc(NULL, 10);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_EQUAL(engine_live_blocks(), live + 1);
	memset(p, 'x', 10);
	engine_fail_at(1);
	CU_ASSERT_PTR_NULL(OPENSSL_realloc(p, 100000));
	ERR_clear_error();
	CU_ASSERT_EQUAL(p[9], 'x'); /* still there */
	q = OPENSSL_realloc(p, 100000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	CU_ASSERT_EQUAL(memcmp(q, "xxxxxxxxxx", 10), 0);
	CU_ASSERT_PTR_NULL(OPENSSL_realloc(q, 0));
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	engine_fail_at(1);
	CU_ASSERT_PTR_NULL(OPENSSL_malloc(10));
	ERR_clear_error();
	tls_ossl_thread_stop();
}

/* A block is used again by this process, and given back when asked. */
static void test_cache(void)
{
	struct tls_mem_stats stats;
	void *p[200], *again;
	size_t live = engine_live_blocks(), i;

	for(i = 0; i < 200; i++) {
		p[i] = OPENSSL_malloc(1 + i * 13);
		CU_ASSERT_PTR_NOT_NULL_FATAL(p[i]);
		memset(p[i], 'x', 1 + i * 13);
	}
	for(i = 0; i < 200; i++)
		OPENSSL_free(p[i]);
	CU_ASSERT_TRUE(tls_mem_is_valid());
	tls_mem_stats(&stats);
	CU_ASSERT_TRUE(stats.cached_blocks > 0);
	CU_ASSERT_TRUE(stats.cached_bytes <= (int64_t)TLS_MEM_CACHE_MAX);
	again = OPENSSL_malloc(1 + 199 * 13);
	CU_ASSERT_PTR_EQUAL(again, p[199]);
	OPENSSL_free(again);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	tls_mem_stats(&stats);
	CU_ASSERT_EQUAL(stats.cached_blocks, 0);
	CU_ASSERT_EQUAL(stats.cached_bytes, 0);
	CU_ASSERT_TRUE(tls_mem_is_valid());
}

/* In a child with an empty cache: blocks that its parent has freed come from
 * the depot, none from shared memory. The exit code. */
static int takes_from_depot(void *p[static 100])
{
	struct tls_mem_stats before, after;
	size_t i;

	tls_mem_stats(&before);
	for(i = 0; i < 100; i++) {
		p[i] = OPENSSL_malloc(200);
		if(p[i] == NULL)
			return 1;
		memset(p[i], 'y', 200);
	}
	tls_mem_stats(&after);
	if(after.misses != before.misses || after.hits != before.hits + 100)
		return 2;
	for(i = 0; i < 100; i++)
		OPENSSL_free(p[i]);
	if(!tls_mem_is_valid())
		return 3;
	tls_mem_flush();
	return 0;
}

/* One process begins connections, another one ends them: what the latter
 * frees is what the former takes. */
static void test_depot(void)
{
	size_t live = engine_live_blocks(), i;
	struct tls_mem_stats stats;
	void *p[300];
	int status;
	pid_t pid;

	for(i = 0; i < 300; i++)
		p[i] = OPENSSL_malloc(200);
	for(i = 0; i < 300; i++)
		OPENSSL_free(p[i]);
	CU_ASSERT_TRUE(tls_mem_is_valid());
	tls_mem_stats_of_all(&stats);
	CU_ASSERT_TRUE(stats.cached_blocks >= 300);
	pid = fork();
	if(pid == 0)
		_exit(takes_from_depot(p));
	CU_ASSERT_FATAL(pid > 0);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	tls_mem_stats_of_all(&stats);
	CU_ASSERT_EQUAL(stats.cached_blocks, 0);

	/* bounded: what does not fit goes to shared memory */
	for(i = 0; i < 300; i++)
		p[i] = OPENSSL_malloc(8000);
	for(i = 0; i < 300; i++)
		OPENSSL_free(p[i]);
	tls_mem_stats_of_all(&stats);
	CU_ASSERT_TRUE(stats.cached_bytes
				   <= (int64_t)(TLS_MEM_CACHE_MAX + TLS_MEM_DEPOT_MAX));
	CU_ASSERT_TRUE(stats.cached_bytes > (int64_t)TLS_MEM_DEPOT_MAX);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
}

/* OpenSSL frees twice: a line for the operator, and no harm. */
static void test_double_free(void)
{
	void *p = OPENSSL_malloc(100);
	unsigned int before = port_stub_log_count(TLS_LOG_CRIT);

	OPENSSL_free(p);
	OPENSSL_free(p);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_CRIT), before + 1);
	CU_ASSERT_NSTRING_EQUAL(port_stub_last_log(), "BUG", 3);
	CU_ASSERT_TRUE(tls_mem_is_valid());
}

static void test_other_process(void)
{
	size_t live;
	int status;
	pid_t pid;
	void *p;

	live = engine_live_blocks();
	p = OPENSSL_malloc(100);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	pid = fork();
	if(pid == 0) {
		OPENSSL_free(p);
		tls_mem_flush();
		_exit(0);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
}

/* ---- a worker that ends anywhere ---- */

static int until;	  /* places where it goes on */
static void *held[4]; /* what the exit handler frees */

static void exit_handler(void)
{
	void *p = OPENSSL_malloc(40);
	size_t i;

	for(i = 0; i < sizeof(held) / sizeof(held[0]); i++)
		OPENSSL_free(held[i]);
	OPENSSL_free(p);
	_exit(0); /* before the sanitizer counts what the child leaves */
}

static void end_handler(int signo)
{
	(void)signo;
	exit(1); /* as the host's handler in a worker does */
}

static void end_here(void)
{
	if(until-- == 0)
		raise(SIGTERM);
}

/* Ends at the place PLACE of the allocator; returns 2 when there are less. */
static int end_at(int place)
{
	void *p[3];
	size_t i;

	alarm(20); /* a hang ends, and is seen */
	signal(SIGTERM, end_handler);
	atexit(exit_handler);
	for(i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
		if(i == 2)
			tls_mem_packed_begin();
		held[i] = OPENSSL_malloc(i == 3 ? 100000 : 40);
		tls_mem_packed_end();
	}
	until = place;
	tls_mem_inside = end_here;
	for(i = 0; i < 3; i++)
		p[i] = OPENSSL_malloc(i == 2 ? 100000 : 40);
	for(i = 0; i < 3; i++)
		OPENSSL_free(p[i]);
	tls_mem_packed_begin();
	p[0] = OPENSSL_malloc(40);
	p[1] = OPENSSL_malloc(600);
	OPENSSL_free(p[1]);
	tls_mem_packed_end();
	OPENSSL_free(p[0]);
	p[0] = OPENSSL_malloc(40);
	tls_mem_flush();
	tls_mem_inside = NULL;
	return 2;
}

/* The host ends a worker inside its signal handler; an exit handler of some
 * library frees what it has of OpenSSL. Wherever that was, it ends. */
static void test_end_inside(void)
{
	unsigned int before = port_stub_log_count(TLS_LOG_CRIT);
	int status = 0;
	int place;
	pid_t pid;

	for(place = 0; status == 0 && place < 1000; place++) {
		pid = fork();
		if(pid == 0)
			_exit(end_at(place));
		CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	}
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 2);
	CU_ASSERT(place > 20);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_CRIT), before);
}

/* ---- private memory ---- */

static void test_private(void)
{
	size_t live = engine_live_blocks(), blocks = port_stub_private_blocks();
	unsigned char *p, *q, *shared;

	tls_mem_private_begin();
	engine_fail_at(1);
	CU_ASSERT_PTR_NULL(OPENSSL_malloc(100)); /* told, not made elsewhere */
	port_stub_fail_at(0);
	ERR_clear_error();
	CU_ASSERT_PTR_NULL(OPENSSL_malloc(0));
	p = OPENSSL_malloc(100);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_EQUAL((uintptr_t)p % 16, 0);
	memset(p, 'x', 100);
	tls_mem_private_end();
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	CU_ASSERT_EQUAL(port_stub_private_blocks(), blocks + 1);
	CU_ASSERT_EQUAL(port_stub_private_seen(), 0);
	shared = OPENSSL_malloc(8);
	memcpy(shared, &p, sizeof(p)); /* the search works */
	CU_ASSERT_EQUAL(port_stub_private_seen(), 1);
	memset(shared, 0, 8);
	OPENSSL_free(shared);
	/* what began private stays so, and a failure leaves it as it was */
	engine_fail_at(1);
	CU_ASSERT_PTR_NULL(OPENSSL_realloc(p, 200000));
	port_stub_fail_at(0);
	ERR_clear_error();
	q = OPENSSL_realloc(p, 200000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	CU_ASSERT_EQUAL(q[99], 'x');
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	CU_ASSERT_EQUAL(port_stub_private_blocks(), blocks + 1);
	p = OPENSSL_malloc(100); /* outside: shared, for any process */
	CU_ASSERT_EQUAL(engine_live_blocks(), live + 1);
	OPENSSL_free(p);
	OPENSSL_free(q);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	CU_ASSERT_EQUAL(port_stub_private_blocks(), blocks);
}

/* A child has the bytes, but the block is its parent's. */
static void test_private_elsewhere(void)
{
	unsigned int before = port_stub_log_count(TLS_LOG_CRIT);
	size_t blocks = port_stub_private_blocks();
	int status;
	pid_t pid;
	void *p;

	tls_mem_private_begin();
	p = OPENSSL_malloc(100);
	tls_mem_private_end();
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	pid = fork();
	if(pid == 0) {
		OPENSSL_free(p);
		_exit(port_stub_private_blocks() == blocks + 1 ? 0 : 1);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_CRIT), before + 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(port_stub_last_log(), "private memory"));
	OPENSSL_free(p);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_CRIT), before + 1);
	CU_ASSERT_EQUAL(port_stub_private_blocks(), blocks);
}

/* Returns a block of this thread, which is in no scope. */
static void *other_thread(void *arg)
{
	(void)arg;
	return OPENSSL_malloc(100);
}

/* The scope is the thread's: another one may make what all processes use. */
static void test_private_thread(void)
{
	size_t blocks = port_stub_private_blocks(), live = engine_live_blocks();
	pthread_t thread;
	void *p = NULL;

	tls_mem_private_begin();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, other_thread, NULL), 0);
	CU_ASSERT_EQUAL(pthread_join(thread, &p), 0);
	tls_mem_private_end();
	CU_ASSERT_PTR_NOT_NULL(p);
	CU_ASSERT_EQUAL(port_stub_private_blocks(), blocks);
	OPENSSL_free(p);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
}

/* ---- packed memory ---- */

#define PACKED 300

static void fill(unsigned char *p[], size_t n)
{
	size_t i;

	for(i = 0; i < n; i++) {
		p[i] = OPENSSL_malloc(1 + i % 200);
		CU_ASSERT_PTR_NOT_NULL_FATAL(p[i]);
		memset(p[i], (int)(i & 0xff), 1 + i % 200);
	}
}

/* Many blocks take a few of the host's, which go with the last of them. */
static void test_packed(void)
{
	size_t live = engine_live_blocks(), chunks, i;
	struct tls_mem_stats before, now;
	unsigned char *p[PACKED], *large;
	bool whole = true;

	tls_mem_stats(&before);
	tls_mem_packed_begin();
	fill(p, PACKED);
	large = OPENSSL_malloc(5000);
	CU_ASSERT_PTR_NOT_NULL(large);
	CU_ASSERT_PTR_NULL(OPENSSL_malloc(0));
	tls_mem_packed_end();
	CU_ASSERT_TRUE(tls_mem_is_valid());
	tls_mem_stats(&now);
	CU_ASSERT_EQUAL(now.blocks, before.blocks + PACKED + 1);
	OPENSSL_free(large);
	chunks = engine_live_blocks() - live;
	CU_ASSERT(chunks >= 2 && chunks <= 4);
	for(i = 0; i < PACKED; i++)
		whole = whole && p[i][0] == (i & 0xff) && p[i][i % 200] == (i & 0xff);
	CU_ASSERT_TRUE(whole);
	for(i = 1; i < PACKED; i++)
		OPENSSL_free(p[i]);
	CU_ASSERT_EQUAL(engine_live_blocks(), live + 1); /* that of the first */
	OPENSSL_free(p[0]);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	tls_mem_stats(&now);
	CU_ASSERT_EQUAL(now.blocks, before.blocks);
	CU_ASSERT_EQUAL(now.bytes, before.bytes);
}

/* What is made for the moment is used again, also when the cache is full of
 * other blocks, and given back when memory is short. */
static void test_packed_again(void)
{
	size_t live = engine_live_blocks(), i;
	struct tls_mem_stats stats;
	unsigned char *others[100], *p[PACKED];
	unsigned int round;
	int64_t misses;

	for(i = 0; i < 100; i++)
		others[i] = OPENSSL_malloc(6000);
	for(i = 0; i < 100; i++)
		OPENSSL_free(others[i]);
	tls_mem_stats(&stats);
	CU_ASSERT(stats.cached_bytes > 200 * 1024);
	misses = stats.misses;
	tls_mem_packed_begin();
	for(round = 0; round < 1000; round++) {
		for(i = 0; i < PACKED; i++) /* many of one size too */
			p[i] = OPENSSL_malloc(i < 250 ? 30 : 1 + i);
		for(i = 0; i < PACKED; i++)
			OPENSSL_free(p[i]);
	}
	tls_mem_packed_end();
	CU_ASSERT_TRUE(tls_mem_is_valid());
	tls_mem_stats(&stats);
	CU_ASSERT(stats.misses - misses <= 3);
	CU_ASSERT(stats.cached_bytes <= (int64_t)TLS_MEM_CACHE_MAX);
	p[0] = OPENSSL_malloc(17); /* a block of its own, not one of those */
	CU_ASSERT_EQUAL(engine_live_blocks(), live + 1);
	OPENSSL_free(p[0]);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
}

static void test_packed_corners(void)
{
	size_t live = engine_live_blocks();
	unsigned char *p, *q, *first;
	unsigned int before;

	tls_mem_packed_begin();
	engine_fail_at(1);
	CU_ASSERT_PTR_NULL(OPENSSL_malloc(100));
	ERR_clear_error();
	port_stub_fail_at(0);
	p = OPENSSL_malloc(100);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	memset(p, 'x', 100);
	q = OPENSSL_realloc(p, 105); /* there is room */
	CU_ASSERT_PTR_EQUAL(q, p);
	first = OPENSSL_malloc(16);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first);
	tls_mem_packed_end();
	engine_fail_at(1); /* it stays as it was */
	CU_ASSERT_PTR_NULL(OPENSSL_realloc(p, 3000));
	ERR_clear_error();
	port_stub_fail_at(0);
	q = OPENSSL_realloc(p, 3000); /* and becomes a block of its own */
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	CU_ASSERT(q[0] == 'x' && q[99] == 'x');
	CU_ASSERT_EQUAL(engine_live_blocks(), live + 2);
	OPENSSL_free(q);
	before = port_stub_log_count(TLS_LOG_CRIT);
	tls_mem_packed_begin();
	OPENSSL_free(first);
	OPENSSL_free(first); /* twice */
	tls_mem_packed_end();
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_CRIT), before + 1);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	/* private goes before packed */
	tls_mem_private_begin();
	tls_mem_packed_begin();
	p = OPENSSL_malloc(100);
	tls_mem_packed_end();
	tls_mem_private_end();
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	OPENSSL_free(p);
	tls_mem_packed_begin();
	engine_fail_at(0);
	p = OPENSSL_malloc(100);
	tls_mem_packed_end();
	CU_ASSERT_EQUAL(engine_live_blocks(), live + 1);
	OPENSSL_free(p);
}

/* Children free one half each, at the same time, while the parent goes on to
 * cut from the last chunk. A child's own blocks go to a chunk of its own. */
static void test_packed_elsewhere(void)
{
	size_t live = engine_live_blocks(), i;
	unsigned char *p[PACKED], *more[PACKED];
	int status;
	pid_t pids[2];
	int c;

	tls_mem_packed_begin();
	fill(p, PACKED);
	for(c = 0; c < 2; c++) {
		pids[c] = fork();
		CU_ASSERT_FATAL(pids[c] >= 0);
		if(pids[c] > 0)
			continue;
		tls_mem_after_fork();
		for(i = (size_t)c; i < PACKED; i += 2)
			OPENSSL_free(p[i]);
		tls_mem_packed_begin();
		fill(more, PACKED);
		for(i = 0; i < PACKED; i++)
			OPENSSL_free(more[i]);
		tls_mem_packed_end();
		c = tls_mem_is_valid() ? 0 : 1;
		tls_mem_flush();
		_exit(c);
	}
	fill(more, PACKED);
	tls_mem_packed_end();
	for(c = 0; c < 2; c++) {
		CU_ASSERT_EQUAL(waitpid(pids[c], &status, 0), pids[c]);
		CU_ASSERT_EQUAL(status, 0);
	}
	for(i = 0; i < PACKED; i++) {
		CU_ASSERT_EQUAL(more[i][i % 200], i & 0xff);
		OPENSSL_free(more[i]);
	}
	CU_ASSERT_TRUE(tls_mem_is_valid());
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
}

/* The scope is the thread's here too. */
static void test_packed_thread(void)
{
	size_t live = engine_live_blocks();
	pthread_t thread;
	void *p = NULL;

	tls_mem_packed_begin();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, other_thread, NULL), 0);
	CU_ASSERT_EQUAL(pthread_join(thread, &p), 0);
	CU_ASSERT_PTR_NOT_NULL(p);
	OPENSSL_free(OPENSSL_malloc(100));
	tls_mem_packed_end();
	CU_ASSERT_EQUAL(engine_live_blocks(), live + 1); /* no chunk, one block */
	OPENSSL_free(p);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
}

/* Somebody writes in front of a block that was freed: the builds of the tests
 * stop there, not where the block is used next. */
static void test_broken(void)
{
	unsigned int before = port_stub_log_count(TLS_LOG_CRIT);
	int status;
	pid_t pid;
	char *p;
	int i;

	pid = fork();
	if(pid == 0) {
		signal(SIGILL, SIG_DFL);
		p = OPENSSL_malloc(3000);
		OPENSSL_free(p);
		memset(p - 8, 'x', 4);
		for(i = 0; i < 1000; i++)
			OPENSSL_free(OPENSSL_malloc(100));
		_exit(0);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_CRIT), before + 1);
}

/* ---- figures ---- */

/* In a child that is process INDEX: allocates N blocks for others to free. */
static void work_as(unsigned int index, void **blocks, size_t n)
{
	size_t i;

	port_stub_set_process(index, 4);
	for(i = 0; i < n; i++)
		blocks[i] = OPENSSL_malloc(1000);
	for(i = 0; i < n; i++)
		OPENSSL_free(OPENSSL_malloc(20)); /* one miss, then hits */
	_exit(0);
}

/* What is allocated here and freed there is nothing in the sum, and everybody
 * sees what the others keep. */
static void test_figures(void)
{
	struct tls_mem_stats before, now, mine;
	void **blocks = tls_port_alloc(30 * sizeof(*blocks));
	int status;
	unsigned int i;
	pid_t pid;

	port_stub_set_process(0, 4);
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_mem_share_stats(), TLS_RC_NOMEM);
	CU_ASSERT_EQUAL(tls_mem_share_stats(), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_mem_share_stats(), TLS_RC_OK);
	tls_mem_stats_of_all(&before);
	tls_mem_stats(&mine);
	CU_ASSERT_EQUAL(before.blocks, mine.blocks); /* nothing was lost */
	CU_ASSERT(before.blocks > 0 && before.hits > 0);
	for(i = 1; i < 4; i++) {
		pid = fork();
		if(pid == 0)
			work_as(i, blocks + 10 * (i - 1), 10);
		CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	}
	tls_mem_stats_of_all(&now);
	CU_ASSERT_EQUAL(now.blocks, before.blocks + 30);
	CU_ASSERT_EQUAL(now.bytes, before.bytes + 30 * 1024);
	CU_ASSERT_EQUAL(now.misses, before.misses + 33);
	CU_ASSERT_EQUAL(now.hits, before.hits + 27);
	CU_ASSERT(now.cached_blocks >= 3 && now.cached_bytes >= 60);
	for(i = 0; i < 30; i++)
		OPENSSL_free(blocks[i]);
	tls_mem_stats_of_all(&now);
	CU_ASSERT_EQUAL(now.blocks, before.blocks);
	CU_ASSERT_EQUAL(now.bytes, before.bytes);
	CU_ASSERT(now.cached_most >= 30 * 1024);
	tls_mem_flush();
	tls_mem_stats_of_all(&now);
	CU_ASSERT_EQUAL(now.flushes, before.flushes + 1);
	CU_ASSERT(now.cached_most < 1024);
	tls_port_free(blocks);
}

/* One process asks, and the others give back what they keep at their next
 * call. After test_figures, which makes what they share. */
static void test_flush_all(void)
{
	struct tls_mem_stats before, now;
	int status;
	pid_t pid;

	OPENSSL_free(OPENSSL_malloc(3000));
	tls_mem_stats(&before);
	CU_ASSERT(before.cached_bytes >= 3000);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if(pid == 0) {
		tls_mem_after_fork();
		tls_mem_flush_all();
		_exit(0);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	OPENSSL_free(OPENSSL_malloc(20));
	tls_mem_stats(&now);
	CU_ASSERT_EQUAL(now.flushes, before.flushes + 1);
	CU_ASSERT(now.cached_bytes < 100);
}

/* A child that the host does not count must not count as its parent. */
static void test_figures_stranger(void)
{
	struct tls_mem_stats before, now;
	int status;
	pid_t pid;

	tls_mem_stats_of_all(&before);
	pid = fork();
	if(pid == 0)
		_exit(OPENSSL_malloc(1000) != NULL ? 0 : 1);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	tls_mem_stats_of_all(&now);
	CU_ASSERT_EQUAL(now.blocks, before.blocks);
	CU_ASSERT_EQUAL(now.misses, before.misses);
}

void test_mem_add(void)
{
	CU_pSuite suite = CU_add_suite("mem", begin, NULL);

	CU_add_test(suite, "freed twice", test_double_free);
	CU_add_test(suite, "corners", test_corners);
	CU_add_test(suite, "cache", test_cache);
	CU_add_test(suite, "depot", test_depot);
	CU_add_test(suite, "freed elsewhere", test_other_process);
	CU_add_test(suite, "figures", test_figures);
	CU_add_test(suite, "flush in all processes", test_flush_all);
	CU_add_test(suite, "figures of a stranger", test_figures_stranger);
	CU_add_test(suite, "a broken cache", test_broken);
	CU_add_test(suite, "private", test_private);
	CU_add_test(suite, "private, freed elsewhere", test_private_elsewhere);
	CU_add_test(suite, "private, another thread", test_private_thread);
	CU_add_test(suite, "packed", test_packed);
	CU_add_test(suite, "packed, for the moment", test_packed_again);
	CU_add_test(suite, "packed, corners", test_packed_corners);
	CU_add_test(suite, "packed, freed elsewhere", test_packed_elsewhere);
	CU_add_test(suite, "packed, another thread", test_packed_thread);
	CU_add_test(suite, "a worker that ends inside", test_end_inside);
}
