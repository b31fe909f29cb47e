/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the engine between real processes: forked workers do alternate
 * steps of the same connections over shared memory, as the server's workers
 * do. A pair is stepped by one worker at a time, whose turn is a shared
 * number; different pairs run at the same time on the same contexts. */
#include "test_conn.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

#define N_WORKERS 4
#define N_PAIRS 6
#define N_ROUNDS 25 /* handshakes of each pair */
#define WIRE_MAX 16384
#define TURNS_MAX 400

static const char probe[] = "INVITE sip:unit.example SIP/2.0\r\n";

/* One connection and its wire, in shared memory. */
struct shared_pair
{
	_Atomic unsigned int turn; /* of worker turn % N_WORKERS */
	_Atomic unsigned int rounds;
	_Atomic unsigned int failures;
	struct tls_conn *conn[2];
	bool sent[2];
	bool got[2];
	size_t n_wire[2]; /* on the way to that end */
	unsigned char wire[2][WIRE_MAX];
	char text[TLS_ERR_TEXT_MAX]; /* of the first failure */
};

struct shared
{
	struct tls_ctx *ctx[2];
	struct shared_pair pairs[N_PAIRS];
};

static void fail(struct shared_pair *p, const char *text)
{
	if(atomic_fetch_add(&p->failures, 1) == 0)
		snprintf(p->text, sizeof(p->text), "%s", text);
}

static void open_pair(struct shared *s, struct shared_pair *p)
{
	struct tls_err err;
	int end;

	for(end = 0; end < 2; end++) {
		struct tls_conn_args args = {.role = end == ENGINE_SERVER
													 ? TLS_ROLE_SERVER
													 : TLS_ROLE_CLIENT,
				.ctx = s->ctx[end],
				.own_records = engine_own_records};

		p->sent[end] = p->got[end] = false;
		p->n_wire[end] = 0;
		if(tls_conn_new(&p->conn[end], &args, &err) != TLS_RC_OK)
			fail(p, err.text);
	}
}

static void put(
		struct shared_pair *p, int end, const unsigned char *out, size_t n)
{
	if(n > WIRE_MAX - p->n_wire[end]) {
		fail(p, "wire is full");
		return;
	}
	memcpy(p->wire[end] + p->n_wire[end], out, n);
	p->n_wire[end] += n;
}

/* One step of one end: read what is there, send the probe once. */
static void step(struct shared_pair *p, int end)
{
	static const struct tls_ct_wrq_limits limits = {65536, 1 << 24, 4096};
	unsigned char out[WIRE_MAX], clear[4096];
	struct tls_conn_io io = {p->wire[end], p->n_wire[end], out, sizeof(out), 0,
			clear, sizeof(clear), 0};
	struct tls_err err;
	enum tls_rc rc;
	size_t n;

	tls_err_clear(&err);
	rc = tls_conn_read(p->conn[end], &io, &err);
	p->n_wire[end] = 0;
	put(p, 1 - end, out, io.n_out);
	if(io.n_clear == sizeof(probe) && !memcmp(clear, probe, sizeof(probe)))
		p->got[end] = true;
	if(rc == TLS_RC_OK && !p->sent[end]) {
		rc = tls_conn_write(
				p->conn[end], probe, sizeof(probe), &n, &io, &limits, &err);
		put(p, 1 - end, out, io.n_out);
		p->sent[end] = true;
	}
	if(rc != TLS_RC_OK)
		fail(p, err.text);
	if(!tls_conn_is_valid(p->conn[end]) || ERR_peek_error() != 0)
		fail(p, "not valid, or errors left");
}

static void one_turn(struct shared *s, struct shared_pair *p, unsigned int turn)
{
	int end = (int)(turn / 2 % 2); /* each end meets all workers */

	/* All are opened by one worker, so that an engine which kept the key
	 * object of its first process would have all workers share that one. */
	if(p->conn[0] == NULL && turn % N_WORKERS != 0)
		return;
	if(p->conn[0] == NULL)
		open_pair(s, p);
	if(p->conn[0] == NULL || p->conn[1] == NULL) {
		atomic_store(&p->rounds, N_ROUNDS);
		return;
	}
	step(p, end);
	if(!(p->got[0] && p->got[1]) && atomic_load(&p->failures) == 0
			&& turn < (atomic_load(&p->rounds) + 1) * TURNS_MAX)
		return;
	if(!(p->got[0] && p->got[1]))
		fail(p, "the probes did not arrive");
	tls_conn_free(&p->conn[0]);
	tls_conn_free(&p->conn[1]);
	atomic_fetch_add(&p->rounds, 1);
}

static bool is_done(struct shared_pair *p)
{
	return atomic_load(&p->rounds) >= N_ROUNDS;
}

static void worker(struct shared *s, unsigned int self)
{
	bool done = false;
	size_t i;

	alarm(60); /* a worker that died must not hang the others */
	port_stub_set_process(self, N_WORKERS);
	while(!done) {
		done = true;
		for(i = 0; i < N_PAIRS; i++) {
			struct shared_pair *p = &s->pairs[i];
			unsigned int turn = atomic_load(&p->turn);

			if(is_done(p))
				continue;
			done = false;
			if(turn % N_WORKERS != self)
				continue;
			one_turn(s, p, turn);
			atomic_store(&p->turn, turn + 1);
		}
		sched_yield();
	}
}

/* Runs the workers over contexts for CERT, VERSION, CIPHERS. */
static void fork_case(
		const char *cert, enum tls_version version, const char *ciphers)
{
	struct engine_profile profile;
	struct shared *s;
	struct tls_err err;
	pid_t pids[N_WORKERS];
	unsigned int i;
	int status;

	s = tls_port_alloc(sizeof(*s));
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	memset(s, 0, sizeof(*s));
	port_stub_set_process(0, N_WORKERS);
	for(i = 0; i < 2; i++) {
		engine_profile_init(&profile,
				i == ENGINE_SERVER ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
				i == ENGINE_SERVER ? cert : NULL);
		engine_profile_version(&profile, version);
		profile.params.cipher_list = (char *)(uintptr_t)ciphers;
		CU_ASSERT_EQUAL_FATAL(
				engine_ctx(&s->ctx[i], &profile, &err), TLS_RC_OK);
	}
	fflush(NULL);
	for(i = 0; i < N_WORKERS; i++) {
		pids[i] = fork();
		CU_ASSERT_FATAL(pids[i] >= 0);
		if(pids[i] == 0) {
			worker(s, i);
			_exit(0);
		}
	}
	for(i = 0; i < N_WORKERS; i++) {
		CU_ASSERT_EQUAL(waitpid(pids[i], &status, 0), pids[i]);
		CU_ASSERT_EQUAL(status, 0);
	}
	for(i = 0; i < N_PAIRS; i++) {
		CU_ASSERT_EQUAL(atomic_load(&s->pairs[i].failures), 0);
		CU_ASSERT_EQUAL(atomic_load(&s->pairs[i].rounds), N_ROUNDS);
		if(atomic_load(&s->pairs[i].failures) != 0)
			fprintf(stderr, "\n%s: %s\n", cert, s->pairs[i].text);
	}
	/* a process that used none of them frees the contexts */
	tls_ctx_free(&s->ctx[0]);
	tls_ctx_free(&s->ctx[1]);
	tls_port_free(s);
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
	port_stub_set_process(0, 1);
}

static void test_rsa_12(void)
{
	fork_case("rsa", TLS_VERSION_1_2, NULL);
}

static void test_rsa_kx(void)
{
	fork_case("rsa", TLS_VERSION_1_2, "AES128-SHA");
}

static void test_rsa_13(void)
{
	fork_case("rsa", TLS_VERSION_1_3, NULL);
}

static void test_ec_13(void)
{
	fork_case("ec", TLS_VERSION_1_3, NULL);
}

/* A worker that ends by exit() runs what the library registered for the end
 * of a program: nothing of that may touch shared objects (hazard 6). */
static void test_exit(void)
{
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	struct tls_err err;
	size_t live;
	int end, status;
	pid_t pid;

	for(end = 0; end < 2; end++) {
		engine_profile_init(&profile,
				end == ENGINE_SERVER ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
				end == ENGINE_SERVER ? "rsa" : NULL);
		CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx[end], &profile, &err), TLS_RC_OK);
	}
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL(
			engine_pair_engine(&pair, 0, ctx[0], NULL, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL(
			engine_pair_engine(&pair, 1, ctx[1], NULL, &err), TLS_RC_OK);
	engine_pair_step(&pair, ENGINE_CLIENT);
	tls_ossl_thread_stop();
	live = engine_live_blocks();
	fflush(NULL);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if(pid == 0) {
		engine_pair_step(&pair, ENGINE_SERVER); /* uses the library */
		tls_conn_free(&pair.conn[ENGINE_SERVER]);
		tls_ossl_thread_stop(); /* its own state does not count */
		exit(0);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFEXITED(status));
	/* all is still there (but one connection less, some caches more; the
	 * exact count is tested with the door, test_ossl.c) and works */
	CU_ASSERT_TRUE(engine_live_blocks() + 300 > live);
	pair.conn[ENGINE_SERVER] = NULL;
	engine_pair_clear(&pair);
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL(
			engine_pair_engine(&pair, 0, ctx[0], NULL, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL(
			engine_pair_engine(&pair, 1, ctx[1], NULL, &err), TLS_RC_OK);
	CU_ASSERT_TRUE(engine_pair_handshake(&pair));
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx[0]);
	tls_ctx_free(&ctx[1]);
}

static void add_tests(CU_pSuite suite)
{
	CU_add_test(suite, "RSA, TLS 1.2, four workers", test_rsa_12);
	CU_add_test(suite, "RSA key exchange, four workers", test_rsa_kx);
	CU_add_test(suite, "RSA, TLS 1.3, four workers", test_rsa_13);
	CU_add_test(suite, "ECDSA, TLS 1.3, four workers", test_ec_13);
	CU_add_test(suite, "a worker that exits", test_exit);
}

void test_conn_fork_add(void)
{
	test_conn_add_twice("conn fork", add_tests);
}
