/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the key objects of processes: whose they are, how many are kept,
 * and what is left of a key that has ended in another process. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_keys.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_keys_add(void);

#define MANY (TLS_KEYS_PER_PROCESS + 40)

static struct tls_key *keys[MANY];

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

/* A key with the bytes of NAME of the tests' own. */
static struct tls_key *make(struct tls_keys *set, const char *name)
{
	EVP_PKEY *pkey = pki_key(name);
	unsigned char *der = NULL;
	int n = i2d_PrivateKey(pkey, &der);
	struct tls_key *key;

	CU_ASSERT_EQUAL_FATAL(tls_key_new(set, EVP_PKEY_get_base_id(pkey), der,
								  (size_t)n, NULL, &key),
			TLS_RC_OK);
	OPENSSL_free(der);
	return key;
}

/* True when the calling process's object of KEY is NAME's and signs. */
static bool works(struct tls_key *key, const char *name)
{
	unsigned char out[1024];
	size_t n = sizeof(out);
	EVP_PKEY *object;
	EVP_MD_CTX *md;
	bool good;

	if(tls_key_use(key, &object, NULL) != TLS_RC_OK)
		return false;
	md = EVP_MD_CTX_new();
	good = EVP_PKEY_eq(object, pki_key(name)) == 1
		   && EVP_DigestSignInit(md, NULL, NULL, NULL, object) == 1
		   && EVP_DigestSign(md, out, &n, (const unsigned char *)"x", 1) == 1;
	EVP_MD_CTX_free(md);
	return good;
}

/* Every process gets an object of its own, the same one each time. */
static void test_own(void)
{
	static const char *const names[] = {"rsa", "ec", "ed"};
	EVP_PKEY *object[3], *again;
	struct tls_keys *set;
	struct tls_key *key;
	struct tls_err err;
	unsigned int p;
	size_t i;

	for(i = 0; i < 3; i++) {
		port_stub_set_process(0, 3);
		CU_ASSERT_EQUAL_FATAL(tls_keys_new(&set), TLS_RC_OK);
		key = make(set, names[i]);
		for(p = 0; p < 3; p++) {
			port_stub_set_process(p, 3);
			CU_ASSERT_TRUE(works(key, names[i]));
			CU_ASSERT_EQUAL(tls_key_use(key, &object[p], &err), TLS_RC_OK);
			CU_ASSERT_EQUAL(tls_key_use(key, &again, &err), TLS_RC_OK);
			CU_ASSERT_PTR_EQUAL(again, object[p]);
			CU_ASSERT_EQUAL(tls_keys_count(set, p), 1);
		}
		CU_ASSERT_TRUE(object[0] != object[1] && object[1] != object[2]
					   && object[0] != object[2]);
		/* a process that nobody announced gets an error */
		port_stub_set_process(3, 4);
		CU_ASSERT_EQUAL(tls_key_use(key, &again, &err), TLS_RC_BUG);
		CU_ASSERT_PTR_NULL(again);
		tls_key_free(&key);
		for(p = 0; p < 3; p++)
			CU_ASSERT_EQUAL(tls_keys_count(set, p), 0);
		tls_keys_unref(&set);
		port_stub_set_process(0, 1);
	}
}

/* However many keys are used, a process keeps so many objects; one that was
 * given up is made again, and a connection that uses it goes on. */
static void test_bound(void)
{
	EVP_PKEY *first, *held;
	struct tls_keys *set;
	struct tls_err err;
	size_t full, more;
	size_t i;

	port_stub_set_process(0, 2);
	CU_ASSERT_EQUAL_FATAL(tls_keys_new(&set), TLS_RC_OK);
	for(i = 0; i < MANY; i++)
		keys[i] = make(set, "ec");
	CU_ASSERT_EQUAL(tls_key_use(keys[0], &first, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL(EVP_PKEY_up_ref(first), 1); /* as a connection does */
	held = first;
	for(i = 0; i < MANY; i++)
		CU_ASSERT_TRUE(works(keys[i], "ec"));
	CU_ASSERT_EQUAL(tls_keys_count(set, 0), TLS_KEYS_PER_PROCESS);
	CU_ASSERT_EQUAL(tls_keys_count(set, 1), 0);
	CU_ASSERT_EQUAL(EVP_PKEY_eq(held, pki_key("ec")), 1);
	EVP_PKEY_free(held);
	full = engine_live_blocks();
	for(i = 0; i < 2 * MANY; i++)
		CU_ASSERT_TRUE(works(keys[i % MANY], "ec"));
	more = engine_live_blocks();
	/* a flat line, but for what the library keeps for itself */
	CU_ASSERT_TRUE(more < full + 40);
	/* keys end in the middle of the ring, and in another process */
	port_stub_set_process(1, 2);
	for(i = 0; i < MANY; i += 3)
		tls_key_free(&keys[i]);
	port_stub_set_process(0, 2);
	for(i = 0; i < MANY; i++)
		CU_ASSERT_TRUE(keys[i] == NULL || works(keys[i], "ec"));
	for(i = 0; i < MANY; i++)
		tls_key_free(&keys[i]);
	CU_ASSERT_EQUAL(tls_keys_count(set, 0), 0);
	tls_keys_unref(&set);
	port_stub_set_process(0, 1);
}

/* What one child does with the keys, many times over. */
static int churn(unsigned int self)
{
	unsigned int i;

	tls_ossl_thread_stop();
	port_stub_set_process(self, 4);
	for(i = 0; i < 3 * MANY; i++)
		if(!works(keys[(i * 7 + self * 13) % MANY], "ec"))
			return 1;
	return 0;
}

/* Processes at once, over more keys than one may keep. */
static void test_processes(void)
{
	struct tls_keys *set;
	pid_t pids[4];
	int status;
	unsigned int p;
	size_t i;

	port_stub_set_process(0, 4);
	CU_ASSERT_EQUAL_FATAL(tls_keys_new(&set), TLS_RC_OK);
	for(i = 0; i < MANY; i++)
		keys[i] = make(set, "ec");
	tls_ossl_thread_stop();
	for(p = 0; p < 4; p++) {
		pids[p] = fork();
		if(pids[p] == 0)
			_exit(churn(p));
	}
	for(p = 0; p < 4; p++) {
		waitpid(pids[p], &status, 0);
		CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		CU_ASSERT_EQUAL(tls_keys_count(set, p), TLS_KEYS_PER_PROCESS);
	}
	for(i = 0; i < MANY; i++)
		tls_key_free(&keys[i]);
	for(p = 0; p < 4; p++)
		CU_ASSERT_EQUAL(tls_keys_count(set, p), 0);
	tls_keys_unref(&set);
	port_stub_set_process(0, 1);
}

/* No allocation that fails leaves half an object behind. */
static void test_ladder(void)
{
	struct tls_keys *set;
	struct tls_key *key;
	EVP_PKEY *object;
	struct tls_err err;
	unsigned long k;
	bool failed = true;

	for(k = 1; failed; k++) {
		CU_ASSERT_EQUAL_FATAL(tls_keys_new(&set), TLS_RC_OK);
		key = make(set, "ec");
		engine_fail_at(k);
		if(tls_key_use(key, &object, &err) != TLS_RC_OK) {
			CU_ASSERT_PTR_NULL(object);
			CU_ASSERT_EQUAL(tls_keys_count(set, 0), 0);
		}
		failed = port_stub_failed();
		engine_fail_at(0);
		CU_ASSERT_TRUE(works(key, "ec"));
		tls_key_free(&key);
		tls_keys_unref(&set);
	}
	CU_ASSERT_TRUE(k > 10);
}

void test_keys_add(void)
{
	CU_pSuite suite = CU_add_suite("keys", begin, NULL);

	CU_add_test(suite, "objects of processes", test_own);
	CU_add_test(suite, "so many and no more", test_bound);
	CU_add_test(suite, "processes at once", test_processes);
	CU_add_test(suite, "no memory", test_ladder);
}
