/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Ladders of failing allocations through the life of a connection: the k-th
 * allocation of a scenario fails, for every k (in strides, unless
 * TLS_TEST_FULL is set), OpenSSL's own included. After each: no crash, valid
 * objects, nothing left behind. The ladder runs in child processes, so that a
 * crash of the library costs one step, is counted and shown. */
#include "test_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

enum scenario
{
	LADDER_HANDSHAKE = 0, /* failures from tls_conn_new to a first exchange */
	LADDER_DATA,		  /* failures on an established connection only */
	LADDER_QUEUE		  /* failures while clear text waits */
};

struct ladder_row
{
	enum scenario scenario;
	const char *cert;
	enum tls_version version;
	unsigned long stride;
	const char *reason;
};

static const struct ladder_row ladder_rows[] = {
		{LADDER_HANDSHAKE, "ec", TLS_VERSION_1_3, 7, "handshake 1.3"},
		{LADDER_HANDSHAKE, "rsa", TLS_VERSION_1_2, 7, "handshake 1.2"},
		{LADDER_QUEUE, "ec", TLS_VERSION_1_3, 11, "messages wait"},
		{LADDER_DATA, "ec", TLS_VERSION_1_3, 1, "data 1.3"},
		{LADDER_DATA, "rsa", TLS_VERSION_1_2, 1, "data 1.2"},
};

/* What the child tells; in shared memory. */
struct progress
{
	unsigned long k;   /* the step that runs */
	bool failed;	   /* the failure of this step has happened */
	unsigned long end; /* first k that did not fail any more, 0 = not yet */
	unsigned long n_leaks;
	unsigned long n_broken;
	unsigned long n_lies; /* success although bytes are missing */
	unsigned long first_leak;
	char text[128];
};

static void scenario_run(const struct ladder_row *row, struct tls_ctx *ctx[2],
		struct progress *progress, unsigned long k)
{
	static const unsigned char data[20000];
	struct engine_pair pair;
	struct tls_err err;
	enum tls_rc rc;

	engine_pair_init(&pair);
	pair.chop = 1000; /* leaves something in the stash and the queue */
	pair.out_size = 3000;
	if(row->scenario != LADDER_DATA)
		engine_fail_at(k);
	rc = engine_pair_engine(&pair, 0, ctx[0], NULL, &err);
	if(rc == TLS_RC_OK)
		rc = engine_pair_engine(&pair, 1, ctx[1], "unit.example", &err);
	if(rc == TLS_RC_OK && row->scenario == LADDER_QUEUE)
		rc = engine_pair_write(&pair, ENGINE_SERVER, data, sizeof(data));
	if(rc == TLS_RC_OK) {
		engine_pair_run(&pair);
		if(row->scenario == LADDER_DATA)
			engine_fail_at(k);
		rc = engine_pair_write(&pair, ENGINE_CLIENT, data, sizeof(data));
		if(rc == TLS_RC_OK)
			engine_pair_run(&pair);
	}
	progress->failed = port_stub_failed();
	engine_fail_at(0);
	if(pair.broken != NULL) {
		progress->n_broken++;
		snprintf(progress->text, sizeof(progress->text), "k %lu: %s", k,
				pair.broken);
	}
	/* whoever says that all went well must be right */
	if(rc == TLS_RC_OK && pair.err[0].rc == TLS_RC_OK
			&& pair.err[1].rc == TLS_RC_OK
			&& pair.got[ENGINE_SERVER].n != sizeof(data))
		progress->n_lies++;
	engine_pair_clear(&pair);
}

/* Runs the scenario; returns the blocks that it left behind. */
static ssize_t scenario_left(const struct ladder_row *row,
		struct tls_ctx *ctx[2], struct progress *progress, unsigned long k)
{
	size_t live;

	tls_ossl_thread_stop();
	live = engine_live_blocks();
	scenario_run(row, ctx, progress, k);
	tls_ossl_thread_stop();
	return (ssize_t)(engine_live_blocks() - live);
}

static void ladder_child(const struct ladder_row *row, struct tls_ctx *ctx[2],
		struct progress *progress, unsigned long from, unsigned long stride)
{
	unsigned long k;
	ssize_t left;
	int again;

	alarm(240);
	for(k = 0; k < 3; k++)
		scenario_run(row, ctx, progress, 0); /* what stays for good */
	for(k = from;; k += stride) {
		progress->k = k;
		/* OpenSSL fills caches (of fetched algorithms) now and then; only
		 * what the same failure leaves each time is a leak */
		for(left = 1, again = 0; left > 0 && again < 4; again++)
			left = scenario_left(row, ctx, progress, k);
		if(left > 0) {
			if(progress->n_leaks++ == 0)
				progress->first_leak = k;
			fprintf(stderr, "\n%s: k %lu leaves %zd blocks\n", row->reason, k,
					left);
		}
		if(!progress->failed)
			break;
	}
	progress->end = k;
}

/* Signal or code with which a child at FROM ended. */
static int run_child(const struct ladder_row *row, struct tls_ctx *ctx[2],
		struct progress *progress, unsigned long from, unsigned long stride)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if(pid == 0) {
		ladder_child(row, ctx, progress, from, stride);
		_exit(0);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	return status;
}

static void ladder(const struct ladder_row *row)
{
	unsigned long stride = test_conn_is_full() ? 1 : row->stride;
	unsigned long from = 1, crashes = 0;
	struct engine_profile profile;
	struct progress *progress;
	struct tls_ctx *ctx[2];
	struct tls_err err;
	int end, status;

	progress = tls_port_alloc(sizeof(*progress));
	CU_ASSERT_PTR_NOT_NULL_FATAL(progress);
	memset(progress, 0, sizeof(*progress));
	for(end = 0; end < 2; end++) {
		engine_profile_init(&profile,
				end == ENGINE_SERVER ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
				end == ENGINE_SERVER ? row->cert : NULL);
		engine_profile_version(&profile, row->version);
		CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx[end], &profile, &err), TLS_RC_OK);
	}
	while(progress->end == 0 && crashes < 20) {
		status = run_child(row, ctx, progress, from, stride);
		if(status == 0)
			continue;
		crashes++;
		fprintf(stderr, "\n%s: k %lu ends the process (status %x)\n",
				row->reason, progress->k, (unsigned int)status);
		from = progress->k + stride;
	}
	if(progress->n_leaks + progress->n_broken + progress->n_lies > 0)
		fprintf(stderr,
				"\n%s: of %lu steps %lu leak (first k %lu), %lu are broken "
				"(%s), %lu lie\n",
				row->reason, progress->end, progress->n_leaks,
				progress->first_leak, progress->n_broken, progress->text,
				progress->n_lies);
	CU_ASSERT_EQUAL(crashes, 0);
	CU_ASSERT_EQUAL(progress->n_leaks, 0);
	CU_ASSERT_EQUAL(progress->n_broken, 0);
	CU_ASSERT_EQUAL(progress->n_lies, 0);
	/* a ladder without steps proves nothing */
	CU_ASSERT_TRUE(progress->end > (row->scenario == LADDER_DATA ? 2 : 100));
	tls_ctx_free(&ctx[0]);
	tls_ctx_free(&ctx[1]);
	tls_port_free(progress);
}

static void test_ladder_0(void)
{
	ladder(&ladder_rows[0]);
}

static void test_ladder_1(void)
{
	ladder(&ladder_rows[1]);
}

static void test_ladder_2(void)
{
	ladder(&ladder_rows[2]);
}

static void test_ladder_data(void)
{
	ladder(&ladder_rows[3]);
	ladder(&ladder_rows[4]);
}

static void add_tests(CU_pSuite suite)
{
	CU_add_test(suite, "ladder: TLS 1.3 handshake", test_ladder_0);
	CU_add_test(suite, "ladder: TLS 1.2 handshake", test_ladder_1);
	CU_add_test(suite, "ladder: messages wait", test_ladder_2);
	CU_add_test(suite, "ladder: established", test_ladder_data);
}

void test_conn_oom_add(void)
{
	test_conn_add_twice("conn oom", add_tests);
}
