/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_locking: exclusion between processes, failures, and that a
 * debug build notices a breach of the order. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_locking.h"
#include "../lib/port_stub.h"

void test_locking_add(void);

#define N_CHILDREN 4
#define N_ROUNDS 20000

/* Not atomic on purpose: only the lock keeps them right. */
struct shared
{
	volatile unsigned long count;
	volatile unsigned long inside;
	volatile unsigned long broken;
};

static void child_count(struct shared *s)
{
	int i;

	for(i = 0; i < N_ROUNDS; i++) {
		tls_lock_get(TLS_LOCK_DOMAINS);
		s->inside++;
		if(s->inside != 1)
			s->broken++;
		s->count++;
		s->inside--;
		tls_lock_release(TLS_LOCK_DOMAINS);
	}
}

static void test_exclusion(void)
{
	struct shared *s;
	pid_t pid[N_CHILDREN];
	int i, status;

	port_stub_reset();
	CU_ASSERT_EQUAL_FATAL(tls_locking_init(), TLS_RC_OK);
	s = tls_port_alloc(sizeof(*s));
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	s->count = s->inside = s->broken = 0;
	for(i = 0; i < N_CHILDREN; i++) {
		pid[i] = fork();
		CU_ASSERT_FATAL(pid[i] >= 0);
		if(pid[i] == 0) {
			child_count(s);
			_exit(0);
		}
	}
	for(i = 0; i < N_CHILDREN; i++) {
		CU_ASSERT_EQUAL(waitpid(pid[i], &status, 0), pid[i]);
		CU_ASSERT_EQUAL(status, 0);
	}
	CU_ASSERT_EQUAL(s->count, (unsigned long)N_CHILDREN * N_ROUNDS);
	CU_ASSERT_EQUAL(s->broken, 0);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_CRIT), 0);
	tls_port_free(s);
	tls_locking_destroy();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	port_stub_reset();
}

static void test_no_memory(void)
{
	unsigned long k;

	port_stub_reset();
	for(k = 1;; k++) {
		port_stub_fail_at(k);
		if(tls_locking_init() == TLS_RC_OK)
			break;
		CU_ASSERT_TRUE(port_stub_failed());
		CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	}
	CU_ASSERT_EQUAL(k, TLS_LOCK_COUNT + 1);
	CU_ASSERT_EQUAL(tls_locking_init(), TLS_RC_BUG);
	tls_locking_destroy();
	tls_locking_destroy();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	/* and again, as a restart within one program would */
	port_stub_fail_at(0);
	CU_ASSERT_EQUAL(tls_locking_init(), TLS_RC_OK);
	tls_locking_destroy();
}

#ifndef NDEBUG

static void do_get_twice(void)
{
	tls_lock_get(TLS_LOCK_DOMAINS);
	tls_lock_get(TLS_LOCK_DOMAINS);
}

static void do_release_open(void)
{
	tls_lock_release(TLS_LOCK_DOMAINS);
}

static void do_destroy_held(void)
{
	tls_lock_get(TLS_LOCK_DOMAINS);
	tls_locking_destroy();
}

static void do_right(void)
{
	tls_lock_get(TLS_LOCK_DOMAINS);
	tls_lock_release(TLS_LOCK_DOMAINS);
	tls_lock_get(TLS_LOCK_DOMAINS);
	tls_lock_release(TLS_LOCK_DOMAINS);
}

struct breach_row
{
	void (*fn)(void);
	unsigned logs;
	const char *reason;
};

static const struct breach_row breach_rows[] = {
		{do_get_twice, 1, "said before the deadlock, not after"},
		{do_release_open, 1, "not ours, so it is left alone"},
		{do_destroy_held, 1, "memory under the feet of a holder"},
		{do_right, 0, "take, open, take again"},
};

/* In a child, because the stub ends who really does these things. */
static void test_breaches(void)
{
	size_t i;
	int fd;
	pid_t pid;

	for(i = 0; i < sizeof(breach_rows) / sizeof(breach_rows[0]); i++) {
		port_stub_reset();
		pid = fork();
		CU_ASSERT_FATAL(pid >= 0);
		if(pid == 0) {
			if(tls_locking_init() != TLS_RC_OK)
				_exit(1);
			fd = open("/dev/null", O_WRONLY);
			if(fd >= 0)
				dup2(fd, STDERR_FILENO);
			breach_rows[i].fn();
			_exit(0);
		}
		CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
		CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_CRIT), breach_rows[i].logs);
		if(breach_rows[i].logs > 0)
			CU_ASSERT_NSTRING_EQUAL(port_stub_last_log(), "BUG ", 4);
	}
	port_stub_reset();
}

#endif

void test_locking_add(void)
{
	CU_pSuite suite = CU_add_suite("locking", NULL, NULL);

	CU_add_test(suite, "one process at a time", test_exclusion);
	CU_add_test(suite, "no memory, twice, never", test_no_memory);
#ifndef NDEBUG
	CU_add_test(suite, "breaches of the order are logged", test_breaches);
#endif
}
