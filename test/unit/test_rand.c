/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of randomness over fork: no two processes may draw the same bytes,
 * and a replaced generator stops the process. */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_rand.h"
#include "../lib/engine_pair.h"
#include "../lib/port_stub.h"

void test_rand_add(void);

#define N_CHILDREN 8
#define N_BYTES 64

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

/* Public and private stream of each process; the last is the parent. */
static void test_streams(void)
{
	unsigned char(*streams)[N_BYTES] =
			mmap(NULL, 2 * (N_CHILDREN + 1) * N_BYTES, PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[N_CHILDREN];
	unsigned char probe[16];
	int i, j, status;

	CU_ASSERT_FATAL(streams != MAP_FAILED);
	/* the parent has used its generators before the fork */
	CU_ASSERT_EQUAL(RAND_bytes(probe, sizeof(probe)), 1);
	CU_ASSERT_EQUAL(RAND_priv_bytes(probe, sizeof(probe)), 1);
	for(i = 0; i < N_CHILDREN; i++) {
		pids[i] = fork();
		if(pids[i] == 0) {
			struct tls_err err;

			if(tls_rand_child(&err) != TLS_RC_OK
					|| RAND_bytes(streams[2 * i], N_BYTES) != 1
					|| RAND_priv_bytes(streams[2 * i + 1], N_BYTES) != 1)
				_exit(1);
			_exit(0);
		}
	}
	for(i = 0; i < N_CHILDREN; i++) {
		CU_ASSERT_EQUAL(waitpid(pids[i], &status, 0), pids[i]);
		CU_ASSERT_EQUAL(status, 0);
	}
	CU_ASSERT_EQUAL(RAND_bytes(streams[2 * N_CHILDREN], N_BYTES), 1);
	CU_ASSERT_EQUAL(RAND_priv_bytes(streams[2 * N_CHILDREN + 1], N_BYTES), 1);
	for(i = 0; i < 2 * (N_CHILDREN + 1); i++) {
		for(j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(memcmp(streams[i], streams[j], N_BYTES), 0);
	}
	munmap(streams, 2 * (N_CHILDREN + 1) * N_BYTES);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int zeros(unsigned char *buf, int n)
{
	memset(buf, 0, (size_t)n);
	return 1;
}

static int replaced_child(void)
{
	static RAND_METHOD method;
	struct tls_err err;

	method = *RAND_OpenSSL();
	method.bytes = zeros;
	if(RAND_set_rand_method(&method) != 1)
		return 1;
	if(tls_rand_child(&err) != TLS_RC_TLS || err.text[0] == '\0')
		return 2;
	return 0;
}

#pragma GCC diagnostic pop

static void test_replaced(void)
{
	int status;
	pid_t pid = fork();

	CU_ASSERT_FATAL(pid >= 0);
	if(pid == 0)
		_exit(replaced_child());
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
}

static void test_no_memory(void)
{
	struct tls_err err;
	unsigned long k;
	enum tls_rc rc;

	for(k = 1; k < 10000; k++) {
		tls_ossl_thread_stop();
		engine_fail_at(k);
		rc = tls_rand_child(&err);
		if(!port_stub_failed())
			break;
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
		CU_ASSERT_TRUE(rc == TLS_RC_OK || rc == TLS_RC_TLS);
	}
	engine_fail_at(0);
	CU_ASSERT_EQUAL(tls_rand_child(&err), TLS_RC_OK);
	CU_ASSERT_TRUE(k > 1 && k < 10000);
}

void test_rand_add(void)
{
	CU_pSuite suite = CU_add_suite("rand", begin, NULL);

	CU_add_test(suite, "a replaced generator", test_replaced);
	CU_add_test(suite, "streams of processes", test_streams);
	CU_add_test(suite, "no memory", test_no_memory);
}
