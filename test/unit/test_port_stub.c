/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the tests' own stub: a guard that catches nothing, or an account
 * that never balances, would make every other test worthless. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../lib/port_stub.h"

void test_port_stub_add(void);

/* Runs FN(P) in a child and returns how it ended, as waitpid() says. What
 * the child complains about is expected and not shown. */
static int run_child(void (*fn)(unsigned char *p), unsigned char *p)
{
	int status = -1, fd;
	pid_t pid = fork();

	if(pid == 0) {
		fd = open("/dev/null", O_WRONLY);
		if(fd >= 0)
			dup2(fd, STDERR_FILENO);
		fn(p);
		_exit(0);
	}
	if(pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

#define BLOCK 13u

static void do_nothing(unsigned char *p)
{
	p[BLOCK - 1] = 1;
	tls_port_free(p);
}

static void do_overrun(unsigned char *p)
{
	p[BLOCK] = 1;
	tls_port_free(p);
}

static void do_underrun(unsigned char *p)
{
	p[-1] = 1;
	tls_port_free(p);
}

static void do_double_free(unsigned char *p)
{
	tls_port_free(p);
	tls_port_free(p);
}

static void do_realloc_overrun(unsigned char *p)
{
	p[BLOCK + 1] = 1;
	tls_port_realloc(p, 99);
}

/* Of a size that nobody else uses: the damaged block stays in its free list,
 * which all processes share. */
static void do_write_freed(unsigned char *p)
{
	p = tls_port_alloc(23u << 20);
	tls_port_free(p);
	p[0] = 1;
	tls_port_alloc(23u << 20);
}

static void do_foreign_free(unsigned char *p)
{
	static unsigned char mine[64];

	(void)p;
	tls_port_free(mine);
}

static void do_alloc_zero(unsigned char *p)
{
	(void)p;
	tls_port_alloc(0);
}

static void do_lock_twice(unsigned char *p)
{
	struct tls_port_lock *lock = tls_port_lock_new();

	(void)p;
	tls_port_lock_get(lock);
	tls_port_lock_get(lock);
}

static void do_release_open(unsigned char *p)
{
	(void)p;
	tls_port_lock_release(tls_port_lock_new());
}

static void do_free_held(unsigned char *p)
{
	struct tls_port_lock *lock = tls_port_lock_new();

	(void)p;
	tls_port_lock_get(lock);
	tls_port_lock_free(&lock);
}

static void do_bad_process(unsigned char *p)
{
	(void)p;
	port_stub_set_process(2, 2);
}

struct crime_row
{
	void (*fn)(unsigned char *p);
	bool aborts;
	const char *reason;
};

static const struct crime_row crime_rows[] = {
		{do_overrun, true, "one byte after the block"},
		{do_underrun, true, "one byte before the block"},
		{do_double_free, true, "freed twice"},
		{do_realloc_overrun, true, "overrun found by realloc as well"},
		{do_write_freed, true, "written after free, found by the next user"},
		{do_foreign_free, true, "memory of somebody else"},
		{do_alloc_zero, true, "the seam forbids 0 bytes"},
		{do_lock_twice, true, "locks are not recursive"},
		{do_release_open, true, "open lock released"},
		{do_free_held, true, "held lock freed"},
		{do_bad_process, true, "process 2 of 2"},
		{do_nothing, false, "the last byte belongs to the user"},
};

static void test_crimes(void)
{
	const struct crime_row *row;
	unsigned char *p;
	size_t i;
	int status;

	for(i = 0; i < sizeof(crime_rows) / sizeof(crime_rows[0]); i++) {
		row = &crime_rows[i];
		port_stub_reset();
		p = tls_port_alloc(BLOCK);
		CU_ASSERT_PTR_NOT_NULL_FATAL(p);
		status = run_child(row->fn, p);
		if(row->aborts)
			CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
		if(!row->aborts)
			CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	port_stub_reset();
}

/* The write itself is reported by ASan when no fork has blinded it. The
 * child resets (that is allowed: it forks no more) to switch it on again. */
static void do_overrun_asan(unsigned char *p)
{
	unsigned char *q;

	(void)p;
	port_stub_reset();
	q = tls_port_alloc(BLOCK);
	q[BLOCK] = 1;
}

static void test_asan(void)
{
#if defined(__SANITIZE_ADDRESS__)
	int status = run_child(do_overrun_asan, NULL);

	CU_ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#else
	(void)do_overrun_asan;
	CU_PASS("not built with ASan: the guards alone watch");
#endif
	port_stub_reset();
}

static void test_accounts(void)
{
	unsigned char *a, *b;
	struct tls_port_lock *lock;

	port_stub_reset();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	a = tls_port_alloc(10);
	b = tls_port_alloc(5000);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 2);
	CU_ASSERT_EQUAL(port_stub_live_bytes(), 5010);
	CU_ASSERT_NOT_EQUAL(a[9], 0); /* not zeroed */
	memset(a, 'a', 10);
	a = tls_port_realloc(a, 100000);
	CU_ASSERT_EQUAL(a[9], 'a');
	CU_ASSERT_EQUAL(port_stub_live_bytes(), 105000);
	a = tls_port_realloc(a, 3);
	CU_ASSERT_EQUAL(a[2], 'a');
	CU_ASSERT_EQUAL(port_stub_live_bytes(), 5003);
	tls_port_free(a);
	tls_port_free(NULL);
	lock = tls_port_lock_new();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 2);
	tls_port_lock_free(&lock);
	CU_ASSERT_PTR_NULL(lock);
	tls_port_lock_free(&lock);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 1);

	/* a block of an older account is usable, but no longer counted */
	port_stub_reset();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	CU_ASSERT_EQUAL(port_stub_live_bytes(), 0);
	b[4999] = 1;
	tls_port_free(b);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	CU_ASSERT_EQUAL(port_stub_live_bytes(), 0);
}

static void test_sizes(void)
{
	void *p;
	size_t n;

	port_stub_reset();
	CU_ASSERT_PTR_NULL(tls_port_alloc(SIZE_MAX));
	CU_ASSERT_PTR_NULL(tls_port_alloc((size_t)1 << 40));
	for(n = 1; n < 300000; n += 1 + n / 7) {
		p = tls_port_alloc(n);
		CU_ASSERT_PTR_NOT_NULL_FATAL(p);
		CU_ASSERT_EQUAL((uintptr_t)p % 16, 0);
		memset(p, 7, n);
		tls_port_free(p);
	}
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void test_fail_at(void)
{
	unsigned long k, i;
	void *p[5], *q;

	for(k = 0; k <= 6; k++) {
		port_stub_reset();
		port_stub_fail_at(k);
		CU_ASSERT_FALSE(port_stub_failed());
		for(i = 1; i <= 5; i++) {
			p[i - 1] = tls_port_alloc(8);
			CU_ASSERT_EQUAL(p[i - 1] == NULL, i == k);
		}
		CU_ASSERT_EQUAL(port_stub_failed(), k >= 1 && k <= 5);
		CU_ASSERT_EQUAL(port_stub_allocs(), 5);
		for(i = 0; i < 5; i++)
			tls_port_free(p[i]);
		CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	}

	/* realloc that fails leaves the block as it was */
	port_stub_fail_at(0);
	q = tls_port_alloc(8);
	memset(q, 'q', 8);
	port_stub_fail_at(1);
	CU_ASSERT_PTR_NULL(tls_port_realloc(q, 9));
	CU_ASSERT_EQUAL(*(char *)q, 'q');
	port_stub_fail_at(1);
	CU_ASSERT_PTR_NULL(tls_port_lock_new());
	tls_port_free(q);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void do_shared(unsigned char *p)
{
	tls_port_free(p);
	tls_port_alloc(77);
	tls_port_alloc(3);
	tls_port_log(TLS_LOG_WARN, "from the %s", "child");
	port_stub_set_ms(55);
	port_stub_set_process(1, 4);
}

static void test_shared(void)
{
	unsigned char *p;

	port_stub_reset();
	p = tls_port_alloc(BLOCK);
	port_stub_fail_at(2);
	CU_ASSERT_EQUAL(run_child(do_shared, p), 0);
	CU_ASSERT_TRUE(port_stub_failed());
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 1);
	CU_ASSERT_EQUAL(port_stub_live_bytes(), 77);
	CU_ASSERT_STRING_EQUAL(port_stub_last_log(), "from the child");
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_WARN), 1);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_ERR), 0);
	CU_ASSERT_EQUAL(tls_port_ms(), 55);
	CU_ASSERT_EQUAL(tls_port_process(), 0);
	CU_ASSERT_EQUAL(tls_port_processes(), 1);
	port_stub_set_process(3, 4);
	CU_ASSERT_EQUAL(tls_port_process(), 3);
	CU_ASSERT_EQUAL(tls_port_processes(), 4);
	port_stub_reset();
	CU_ASSERT_EQUAL(tls_port_process(), 0);
	CU_ASSERT_EQUAL(tls_port_ms(), PORT_STUB_MS_START);
	CU_ASSERT_STRING_EQUAL(port_stub_last_log(), "");
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_WARN), 0);
}

void test_port_stub_add(void)
{
	CU_pSuite suite = CU_add_suite("port_stub", NULL, NULL);

	CU_add_test(suite, "crimes end the process", test_crimes);
	CU_add_test(suite, "ASan sees inside the arena", test_asan);
	CU_add_test(suite, "accounts balance", test_accounts);
	CU_add_test(suite, "all sizes, aligned", test_sizes);
	CU_add_test(suite, "the k-th allocation fails", test_fail_at);
	CU_add_test(suite, "all but the process number is shared", test_shared);
}
