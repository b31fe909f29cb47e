/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_der: who shares a copy and who does not, that copies go with
 * their last user, failing allocations, several processes. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_der.h"
#include "../../tls_locking.h"
#include "../lib/port_stub.h"

void test_der_add(void);

#define LONGEST (TLS_DER_SHARED_MAX + 1)
#define N_CHILDREN 4
#define N_ROUNDS 20000

static void begin(void)
{
	port_stub_reset();
	CU_ASSERT_EQUAL_FATAL(tls_locking_init(), TLS_RC_OK);
	CU_ASSERT_EQUAL_FATAL(tls_der_init(), TLS_RC_OK);
}

static void end(void)
{
	tls_der_destroy();
	tls_locking_destroy();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

/* N bytes that start with FIRST and end with LAST. */
static const unsigned char *cert(unsigned char first, unsigned char last,
		size_t n, unsigned char buf[LONGEST])
{
	memset(buf, 0x30, n);
	buf[0] = first;
	buf[n - 1] = last;
	return buf;
}

struct share_row
{
	const char *reason;
	unsigned char first[2], last[2]; /* of the first and second certificate */
	size_t n[2];
	bool shared;
};

static const struct share_row share_rows[] = {
		{"others that collide in the table stay apart", {1, 2}, {9, 9},
				{400, 400}, false},
		{"the beginning of another one is not it", {1, 1}, {0x30, 0x30},
				{400, 399}, false},
		{"what nobody sends twice does not stay", {1, 1}, {9, 9},
				{LONGEST, LONGEST}, false},
		{"the longest that is shared", {1, 1}, {9, 9},
				{LONGEST - 1, LONGEST - 1}, true},
		{"one byte", {7, 7}, {7, 7}, {1, 1}, true},
		{"the same one", {1, 1}, {9, 9}, {400, 400}, true}};

static void test_share(void)
{
	static unsigned char buf[2][LONGEST];
	struct tls_der *der[2];
	size_t i;
	int k;

	for(i = 0; i < sizeof(share_rows) / sizeof(share_rows[0]); i++) {
		const struct share_row *row = &share_rows[i];

		begin();
		for(k = 0; k < 2; k++) {
			cert(row->first[k], row->last[k], row->n[k], buf[k]);
			der[k] = tls_der_share(buf[k], row->n[k]);
			CU_ASSERT_PTR_NOT_NULL_FATAL(der[k]);
		}
		if((der[0] == der[1]) != row->shared)
			CU_FAIL(row->reason);
		for(k = 0; k < 2; k++)
			CU_ASSERT_EQUAL(
					memcmp(tls_der_bytes(der[k]), buf[k], row->n[k]), 0);
		tls_der_drop(&der[0]);
		/* who is left still has it */
		CU_ASSERT_EQUAL(memcmp(tls_der_bytes(der[1]), buf[1], row->n[1]), 0);
		tls_der_drop(&der[1]);
		tls_der_drop(&der[1]);
		end();
	}
}

/* Ten thousand different ones leave what the table holds, and no more. */
static void test_bounded(void)
{
	static unsigned char buf[LONGEST];
	struct tls_der *der;
	size_t before;
	unsigned int i;

	begin();
	before = port_stub_live_blocks();
	for(i = 0; i < 10000; i++) {
		cert((unsigned char)(i >> 8), (unsigned char)i, 100, buf);
		der = tls_der_share(buf, 100);
		CU_ASSERT_PTR_NOT_NULL_FATAL(der);
		tls_der_drop(&der);
	}
	CU_ASSERT_EQUAL(port_stub_live_blocks() - before, 64);
	end();
}

static void test_no_memory(void)
{
	static unsigned char buf[LONGEST];
	struct tls_der *der;

	begin();
	port_stub_fail_at(1);
	CU_ASSERT_PTR_NULL(tls_der_share(cert(1, 2, 100, buf), 100));
	der = tls_der_share(buf, 100);
	CU_ASSERT_PTR_NOT_NULL_FATAL(der);
	port_stub_fail_at(1); /* one that is there takes no memory */
	tls_der_drop(&der);
	der = tls_der_share(buf, 100);
	CU_ASSERT_PTR_NOT_NULL(der);
	port_stub_fail_at(0);
	tls_der_drop(&der);
	CU_ASSERT_EQUAL(tls_der_init(), TLS_RC_BUG);
	end();
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_der_init(), TLS_RC_NOMEM);
	port_stub_fail_at(0);
	/* before the start nothing is shared, and nothing breaks */
	der = tls_der_share(buf, 100);
	CU_ASSERT_PTR_NOT_NULL(der);
	tls_der_drop(&der);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

/* Takes and drops certificates that push each other out of the table. */
static int child(unsigned int seed)
{
	static unsigned char buf[LONGEST];
	struct tls_der *held[8] = {NULL};
	int i;

	for(i = 0; i < N_ROUNDS; i++) {
		unsigned int r = (unsigned int)rand_r(&seed);
		unsigned char first = (unsigned char)(r % 3);
		struct tls_der **slot = &held[r / 3 % 8];

		tls_der_drop(slot);
		*slot = tls_der_share(cert(first, 5, 200, buf), 200);
		if(*slot == NULL || memcmp(tls_der_bytes(*slot), buf, 200) != 0)
			return 1;
	}
	for(i = 0; i < 8; i++)
		tls_der_drop(&held[i]);
	return 0;
}

static void test_processes(void)
{
	pid_t pid[N_CHILDREN];
	int status;
	int i;

	begin();
	for(i = 0; i < N_CHILDREN; i++) {
		pid[i] = fork();
		CU_ASSERT_FATAL(pid[i] >= 0);
		if(pid[i] == 0)
			_exit(child((unsigned int)i));
	}
	for(i = 0; i < N_CHILDREN; i++) {
		CU_ASSERT_EQUAL(waitpid(pid[i], &status, 0), pid[i]);
		CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	end();
}

void test_der_add(void)
{
	CU_pSuite suite = CU_add_suite("der", NULL, NULL);

	CU_add_test(suite, "share", test_share);
	CU_add_test(suite, "bounded", test_bounded);
	CU_add_test(suite, "no memory", test_no_memory);
	CU_add_test(suite, "processes", test_processes);
}
