/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the door to OpenSSL: start conditions, error queue, files, and the
 * hazards of forked processes. What must happen in a program of its own (the
 * first use of the library, controls without our remedies) runs in a fresh
 * start of this very program, which TLS_TEST_CHILD tells what to do. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_mem.h"
#include "../../tls_ossl.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"
#include "../lib/shared_locks.h"

void test_ossl_add(void);

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

/* ---- error queues of several processes (hazard 3) ---- */

#define N_CHILDREN 4
#define N_LOCKSTEP 200
#define N_FREE 4000

struct errors_shared
{
	pthread_barrier_t barrier;
	_Atomic unsigned int foreign; /* errors seen that somebody else made */
};

/* Makes an error of its own, lets the others make theirs, and looks. */
static void errors_child(struct errors_shared *s, int self)
{
	int i, reason;

	for(i = 0; i < N_LOCKSTEP + N_FREE; i++) {
		reason = 100 + self * 500 + i % 500;
		ERR_raise_data(ERR_LIB_USER + self, reason, "of %d", self);
		if(i < N_LOCKSTEP)
			pthread_barrier_wait(&s->barrier);
		if(ERR_get_error()
				!= ERR_PACK((unsigned long)ERR_LIB_USER + (unsigned)self, 0,
						(unsigned long)reason))
			atomic_fetch_add(&s->foreign, 1);
		if(i < N_LOCKSTEP)
			pthread_barrier_wait(&s->barrier);
		if(ERR_peek_error() != 0)
			atomic_fetch_add(&s->foreign, 1);
		ERR_clear_error();
		if(i < N_LOCKSTEP)
			pthread_barrier_wait(&s->barrier);
	}
}

/* Errors that children saw of each other; a child that dies counts too, and
 * ends the others, who would wait for it. */
static unsigned int errors_run(void)
{
	struct errors_shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_barrierattr_t attr;
	pid_t pids[N_CHILDREN];
	unsigned int foreign;
	int i, status;

	if(s == MAP_FAILED)
		abort();
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&s->barrier, &attr, N_CHILDREN);
	ERR_raise(ERR_LIB_USER, 99); /* the parent has a queue */
	ERR_clear_error();
	fflush(NULL);
	for(i = 0; i < N_CHILDREN; i++) {
		pids[i] = fork();
		if(pids[i] == 0) {
			alarm(20);
			errors_child(s, i);
			_exit(0);
		}
	}
	for(i = 0; i < N_CHILDREN; i++) {
		if(pids[i] < 0 || waitpid(pids[i], &status, 0) != pids[i]
				|| status == 0)
			continue;
		atomic_fetch_add(&s->foreign, 1);
		while(++i < N_CHILDREN) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], &status, 0);
		}
	}
	foreign = atomic_load(&s->foreign);
	munmap(s, sizeof(*s));
	return foreign;
}

/* ---- one RSA key object for several processes (hazard 4) ---- */

#define N_SIGNATURES 200

/* Signatures that fail or that the public key does not verify. */
static unsigned int sign_many(EVP_PKEY *key)
{
	static const unsigned char text[] = "to be signed";
	unsigned char sig[512];
	unsigned int bad = 0;
	int i;

	for(i = 0; i < N_SIGNATURES; i++) {
		EVP_MD_CTX *md = EVP_MD_CTX_new();
		size_t n = sizeof(sig);

		if(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) != 1
				|| EVP_DigestSign(md, sig, &n, text, sizeof(text)) != 1
				|| EVP_MD_CTX_reset(md) != 1
				|| EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) != 1
				|| EVP_DigestVerify(md, sig, n, text, sizeof(text)) != 1)
			bad++;
		EVP_MD_CTX_free(md);
		ERR_clear_error();
	}
	return bad;
}

/* Bad signatures (capped) of four processes that share one key object. */
static unsigned int rsa_shared_run(void)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	unsigned int bad = sign_many(key); /* makes the blinding: 0 bad */
	pid_t pids[N_CHILDREN];
	int i, status;

	for(i = 0; i < N_CHILDREN; i++) {
		pids[i] = fork();
		if(pids[i] == 0) {
			alarm(20);
			_exit(sign_many(key) > 0 ? 1 : 0);
		}
	}
	for(i = 0; i < N_CHILDREN; i++) {
		if(waitpid(pids[i], &status, 0) != pids[i] || status != 0)
			bad++;
	}
	return bad;
}

/* ---- fresh programs ---- */

/* Blocks that vanish when a forked child ends by exit() (hazard 6). */
static int exit_case(void)
{
	size_t live;
	pid_t pid;

	live = engine_live_blocks();
	pid = fork();
	if(pid == 0)
		exit(0);
	waitpid(pid, NULL, 0);
	/* no call into a library that may be in ruins now */
	return port_stub_live_blocks() < live ? 1 : 0;
}

/* What the fresh program does; its exit code is the answer. */
static int fresh_main(const char *what)
{
	struct tls_err err;

	alarm(60);
	/* registered before OpenSSL's own handler, so it runs after that one:
	 * what that frees must not hide in a cache */
	atexit(tls_mem_flush);
	if(!strcmp(what, "used-before")) {
		OPENSSL_free(OPENSSL_malloc(10));
		if(tls_ossl_init(&err) != TLS_RC_CONFIG)
			return 1;
		return strstr(err.text, "loadmodule") != NULL ? 0 : 2;
	}
	if(!strcmp(what, "private-locks")) {
		shared_locks_on = false;
		if(tls_ossl_init(&err) != TLS_RC_CONFIG)
			return 1;
		return strstr(err.text, "openssl_mutex_shared") != NULL ? 0 : 2;
	}
	if(!strcmp(what, "errors-without-us"))
		return tls_mem_init() == TLS_RC_OK && errors_run() > 0 ? 0 : 1;
	if(!strcmp(what, "rsa-shared"))
		return tls_mem_init() == TLS_RC_OK && rsa_shared_run() > 0 ? 0 : 1;
	if(!strcmp(what, "exit-without-us"))
		return tls_mem_init() == TLS_RC_OK && OPENSSL_init_ssl(0, NULL) == 1
							   && exit_case() == 1
					   ? 0
					   : 1;
	if(!strcmp(what, "exit"))
		return tls_ossl_init(&err) == TLS_RC_OK && exit_case() == 0 ? 0 : 1;
	return 9;
}

static void fresh_start(void) __attribute__((constructor));

static void fresh_start(void)
{
	const char *what = getenv("TLS_TEST_CHILD");

	if(what != NULL)
		_exit(fresh_main(what));
}

/* Exit code of this program started anew with WHAT to do. */
static int fresh(const char *what)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if(pid == 0) {
		setenv("TLS_TEST_CHILD", what, 1);
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		if(freopen("/dev/null", "w", stderr) == NULL)
			_exit(101);
		execl("/proc/self/exe", "unit", (char *)NULL);
		_exit(100);
	}
	if(pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void test_used_before(void)
{
	CU_ASSERT_EQUAL(fresh("used-before"), 0);
}

static void test_private_locks(void)
{
	struct tls_err err;

	CU_ASSERT_EQUAL(fresh("private-locks"), 0);
	shared_locks_on = false;
	CU_ASSERT_EQUAL(tls_ossl_check_locks(&err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "openssl_mutex_shared"));
	shared_locks_on = true;
	CU_ASSERT_EQUAL(tls_ossl_check_locks(&err), TLS_RC_OK);
}

static void test_errors_apart(void)
{
	/* without our fork handler the same test finds strangers' errors */
	CU_ASSERT_EQUAL(fresh("errors-without-us"), 0);
	CU_ASSERT_EQUAL(errors_run(), 0);
}

/* What would happen if the engine did not give each process its own key. */
static void test_rsa_shared(void)
{
	CU_ASSERT_EQUAL(fresh("rsa-shared"), 0);
}

static void test_exit(void)
{
	CU_ASSERT_EQUAL(fresh("exit-without-us"), 0);
	CU_ASSERT_EQUAL(fresh("exit"), 0);
}

static void test_init_twice(void)
{
	struct tls_err err;

	CU_ASSERT_EQUAL(tls_ossl_init(&err), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_ossl_check_version(false, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_ossl_check_version(true, &err), TLS_RC_OK);
	CU_ASSERT_TRUE(tls_ossl_generator_is_own());
}

/* ---- the error queue ---- */

static void raise_many(int n)
{
	int i;

	for(i = 0; i < n; i++)
		ERR_raise_data(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, "number %d", i);
}

static void test_drain(void)
{
	char text[TLS_ERR_TEXT_MAX];
	size_t size;

	for(size = 1; size <= sizeof(text); size++) {
		memset(text, 'x', sizeof(text));
		raise_many(12);
		tls_ossl_drain(text, size);
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
		CU_ASSERT_TRUE(strnlen(text, size) < size);
		CU_ASSERT_TRUE(size == sizeof(text) || text[size] == 'x');
	}
	raise_many(2);
	tls_ossl_drain(text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(
			text, "no shared cipher (number 0); no shared cipher (number 1)");
	ERR_raise(ERR_LIB_USER, 77); /* without a name */
	tls_ossl_drain(text, sizeof(text));
	CU_ASSERT_NSTRING_EQUAL(text, "error ", 6);
	tls_ossl_drain(text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "");
}

static void test_begin(void)
{
	port_stub_reset();
	errno = EINTR;
	tls_ossl_begin();
	CU_ASSERT_EQUAL(errno, 0);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_DBG), 0);
	raise_many(3);
	tls_ossl_begin();
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_DBG), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(port_stub_last_log(), "no shared cipher"));
}

static void test_fail(void)
{
	char name[2 * TLS_ERR_TEXT_MAX];
	struct tls_err err;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	raise_many(30);
	CU_ASSERT_EQUAL(tls_ossl_fail(&err, TLS_RC_TLS, "%s", name), TLS_RC_TLS);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	CU_ASSERT_EQUAL(strlen(err.text), TLS_ERR_TEXT_MAX - 1);
	CU_ASSERT_EQUAL(tls_ossl_fail(NULL, TLS_RC_PEER, "nobody"), TLS_RC_PEER);
	CU_ASSERT_EQUAL(tls_ossl_fail(&err, TLS_RC_NOMEM, "no"), TLS_RC_NOMEM);
	CU_ASSERT_STRING_EQUAL(err.text, "no");
	ERR_raise_data(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, "evil\nline\x1b[0m");
	tls_ossl_fail(&err, TLS_RC_TLS, "a");
	CU_ASSERT_PTR_NULL(strpbrk(err.text, "\n\x1b"));
}

struct blame_row
{
	int lib;
	int reason; /* 0 = empty queue */
	enum tls_rc rc;
	const char *why;
};

static const struct blame_row blame_rows[] = {
		{ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, TLS_RC_PEER, "peer's offer"},
		{ERR_LIB_ASN1, ASN1_R_HEADER_TOO_LONG, TLS_RC_PEER, "peer's bytes"},
		{ERR_LIB_SSL, ERR_R_MALLOC_FAILURE, TLS_RC_NOMEM, "memory"},
		{ERR_LIB_EVP, ERR_R_MALLOC_FAILURE, TLS_RC_NOMEM, "memory, deeper"},
		{ERR_LIB_SSL, ERR_R_INTERNAL_ERROR, TLS_RC_TLS, "library"},
		{ERR_LIB_SSL, SSL_R_NO_CERTIFICATE_ASSIGNED, TLS_RC_TLS, "ours"},
		{0, 0, TLS_RC_TLS, "no reason at all"},
};

static void test_result(void)
{
	SSL_CTX *ctx = engine_raw_ctx(ENGINE_SERVER, NULL);
	SSL *ssl = SSL_new(ctx);
	enum tls_ossl_want want;
	struct tls_err err;
	size_t i;

	for(i = 0; i < sizeof(blame_rows) / sizeof(blame_rows[0]); i++) {
		tls_ossl_begin();
		if(blame_rows[i].lib != 0)
			ERR_raise(blame_rows[i].lib, blame_rows[i].reason);
		CU_ASSERT_EQUAL(
				tls_ossl_result(ssl, -1, &want, &err), blame_rows[i].rc);
		CU_ASSERT_EQUAL(want, TLS_OSSL_WANT_NONE);
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
		CU_ASSERT_NOT_EQUAL(err.text[0], '\0');
	}
	CU_ASSERT_EQUAL(tls_ossl_result(ssl, 1, &want, &err), TLS_RC_OK);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

/* ---- files ---- */

static const char *make_fifo(void)
{
	const char *p = pki_path("fifo");

	unlink(p);
	return mkfifo(p, 0600) == 0 ? p : NULL;
}

static const char *make_huge(void)
{
	const char *p = pki_write("huge", "x", 1);

	/* a hole: takes no room */
	return truncate(p, (off_t)TLS_OSSL_FILE_MAX + 1) == 0 ? p : NULL;
}

static void read_bad(const char *path, const char *reason)
{
	unsigned char *buf = (unsigned char *)&buf;
	struct tls_err err;
	size_t n = 1, live = engine_live_blocks();

	CU_ASSERT_PTR_NOT_NULL_FATAL(path);
	CU_ASSERT_EQUAL(
			tls_ossl_read_file("crl", path, &buf, &n, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NULL(buf);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_NSTRING_EQUAL(err.text, "crl: ", 5);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, reason));
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
}

static void test_read_bad(void)
{
	char below[PKI_PATH_MAX + 8];

	snprintf(below, sizeof(below), "%s/x", pki_path("ca.pem"));
	read_bad(pki_path("absent"), "No such file");
	read_bad(pki_path("."), "not a regular file");
	read_bad(make_fifo(), "not a regular file");
	read_bad("/dev/zero", "not a regular file");
	read_bad(below, "Not a directory");
	read_bad(pki_write("empty", "", 0), "is empty");
	read_bad(make_huge(), "larger than");
}

static void test_read_good(void)
{
	static char big[100000];
	unsigned char *buf;
	struct tls_err err;
	size_t n, i;

	for(i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7);
	CU_ASSERT_EQUAL(tls_ossl_read_file("crl",
							pki_write("big", big, sizeof(big)), &buf, &n, &err),
			TLS_RC_OK);
	CU_ASSERT_EQUAL(n, sizeof(big));
	CU_ASSERT_EQUAL(memcmp(buf, big, n), 0);
	CU_ASSERT_EQUAL(buf[n], 0);
	tls_ossl_release_file(&buf, n);
	CU_ASSERT_PTR_NULL(buf);
	tls_ossl_release_file(&buf, 0); /* nothing to do */
	engine_fail_at(1);
	CU_ASSERT_EQUAL(tls_ossl_read_file("crl", pki_path("big"), &buf, &n, &err),
			TLS_RC_NOMEM);
	CU_ASSERT_PTR_NULL(buf);
	engine_fail_at(0);
}

void test_ossl_add(void)
{
	CU_pSuite suite = CU_add_suite("ossl", begin, NULL);

	CU_add_test(suite, "somebody was first", test_used_before);
	CU_add_test(suite, "private locks", test_private_locks);
	CU_add_test(suite, "error queues of processes", test_errors_apart);
	CU_add_test(suite, "a shared RSA key fails", test_rsa_shared);
	CU_add_test(suite, "exit of a child", test_exit);
	CU_add_test(suite, "start twice, version", test_init_twice);
	CU_add_test(suite, "drain", test_drain);
	CU_add_test(suite, "begin", test_begin);
	CU_add_test(suite, "fail", test_fail);
	CU_add_test(suite, "whose fault", test_result);
	CU_add_test(suite, "files that are none", test_read_bad);
	CU_add_test(suite, "files", test_read_good);
}
