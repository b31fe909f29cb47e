/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of keys that others hold, with the one holder that every library has,
 * "file:" of the default provider: what is refused and how it is said, whose
 * the objects are, and that nothing stays behind. Tokens are in the suites
 * that have a server. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_foreign.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_foreign_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))

static const struct tls_foreign_args nothing;

static int begin(void)
{
	struct tls_err err;

	port_stub_reset();
	engine_init();
	return tls_foreign_init(&nothing, &err);
}

/* The name of the key in FILE of the tests' own. */
static const char *uri(const char *file)
{
	static char names[4][PATH_MAX];
	static unsigned int turn;
	char *name = names[turn++ % 4];

	char *path = realpath(pki_path(""), NULL);

	snprintf(name, sizeof(names[0]), "/uri:file:%s/%s",
			path != NULL ? path : "", file);
	free(path);
	return name;
}

static unsigned char *der_of(const char *name, size_t *n_out)
{
	unsigned char *der = NULL;
	int n = i2d_X509(pki_cert(name), &der);

	CU_ASSERT_FATAL(n > 0);
	*n_out = (size_t)n;
	return der;
}

static size_t open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while(readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* Nothing of the process that looked is left, not even its signal. */
static bool left_no_child(void)
{
	sigset_t pending;

	return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD
		   && sigpending(&pending) == 0 && sigismember(&pending, SIGCHLD) == 0;
}

/* ---- names ---- */

static void test_refused(void)
{
	static const struct
	{
		const char *name; /* a word without "/": a file of the tests' own */
		const char *says;
		const char *hides; /* NULL = nothing */
		const char *why;
	} rows[] = {
			{"/uri:pkcs11:token=t;object=k?pin-value=98765",
					"no provider gives", "98765", "nobody knows this scheme"},
			{"/uri:pkcs11:token=t;pin-value=98765;object=k",
					"no provider gives", "98765", "a PIN in the middle"},
			{"/engine:pkcs11:token=t;pin-value=98765",
					"needs the parameter engine", "98765",
					"no engine is configured"},
			{"/engine:", "needs the parameter engine", NULL, "no label"},
			{"/uri:", "no provider gives", NULL, "no name"},
			{"/uri:file:/nowhere/at/all.key", "no provider gives", NULL,
					"no such file"},
			{"/uri:file:/", "no provider gives", NULL, "a folder"},
			{"/uri:file:/dev/null", "no provider gives", NULL, "nothing in it"},
			{"/uri:file:%n%s%s%s", "no provider gives", NULL,
					"a format is a name"},
			{"/uri:file:a\nBUG: b", "no provider gives", "\n",
					"a line break is not logged"},
			{"ec.pem", "no provider gives", NULL, "a certificate, no key"},
			{"locked.key", "no provider gives", NULL,
					"nobody is asked for a password"},
			{"cut.key", "no provider gives", NULL, "a damaged key"}};
	size_t i, files = open_files(), before;
	struct tls_err err;
	EVP_PKEY *key;

	(void)pki_encrypt("locked.key", "ec", "secret");
	(void)pki_write("cut.key", "-----BEGIN PRIVATE KEY-----\nMIGH\n", 34);
	before = engine_live_blocks();
	for(i = 0; i < N(rows); i++) {
		const char *name =
				rows[i].name[0] == '/' ? rows[i].name : uri(rows[i].name);

		key = NULL;
		CU_ASSERT_EQUAL(tls_foreign_look(name, &key, &err), TLS_RC_CONFIG);
		CU_ASSERT_PTR_NULL(key);
		if(strstr(err.text, rows[i].says) == NULL
				|| (rows[i].hides != NULL
						&& strstr(err.text, rows[i].hides) != NULL)) {
			CU_FAIL("the sentence");
			printf("%s: %s\n", rows[i].why, err.text);
		}
		CU_ASSERT_TRUE(left_no_child());
	}
	CU_ASSERT_EQUAL(open_files(), files);
	CU_ASSERT_EQUAL(engine_live_blocks(), before);
}

/* A name longer than any buffer. */
static void test_long_name(void)
{
	static char name[20000] = "/uri:file:/";
	struct tls_err err;
	EVP_PKEY *key;

	memset(name + 11, 'x', sizeof(name) - 12);
	CU_ASSERT_EQUAL(tls_foreign_look(name, &key, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NULL(key);
	CU_ASSERT(strlen(err.text) < sizeof(err.text));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no provider gives"));
}

static void test_look(void)
{
	static const char *const names[] = {"ec", "rsa", "ed"};
	size_t before = engine_live_blocks(), files = open_files(), i;
	struct tls_err err;
	char file[32];
	EVP_PKEY *key;

	for(i = 0; i < N(names); i++) {
		snprintf(file, sizeof(file), "%s.key", names[i]);
		if(tls_foreign_look(uri(file), &key, &err) != TLS_RC_OK) {
			CU_FAIL_FATAL("not found");
		}
		CU_ASSERT_EQUAL(EVP_PKEY_eq(key, pki_key(names[i])), 1);
		/* its public part only */
		CU_ASSERT(i2d_PrivateKey(key, NULL) <= 0);
		ERR_clear_error();
		EVP_PKEY_free(key);
		CU_ASSERT_TRUE(left_no_child());
	}
	CU_ASSERT_EQUAL(open_files(), files);
	CU_ASSERT_EQUAL(engine_live_blocks(), before);
}

/* ---- objects ---- */

static bool signs(EVP_PKEY *key)
{
	unsigned char out[1024];
	size_t n = sizeof(out);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good =
			EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1
			&& EVP_DigestSign(md, out, &n, (const unsigned char *)"x", 1) == 1;

	EVP_MD_CTX_free(md);
	return good;
}

/* In a child: the objects of its parent are not its own. */
static int use_in_child(const unsigned char *der, size_t n,
		const EVP_PKEY *parents_key, const X509 *parents_cert)
{
	struct tls_err err;
	EVP_PKEY *key;
	X509 *cert;

	if(tls_foreign_use(uri("ec.key"), der, n, &key, &cert, &err) != TLS_RC_OK)
		return 1;
	return key != parents_key && cert != parents_cert && signs(key) ? 0 : 2;
}

static void test_use(void)
{
	size_t before = engine_live_blocks(), n, n_other;
	unsigned char *der = der_of("ec", &n), *other = der_of("rsa", &n_other);
	EVP_PKEY *key, *again;
	X509 *cert, *same;
	struct tls_err err;
	int status;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(
			tls_foreign_use(uri("ec.key"), der, n, &key, &cert, &err),
			TLS_RC_OK);
	CU_ASSERT_TRUE(signs(key));
	CU_ASSERT_EQUAL(X509_cmp(cert, pki_cert("ec")), 0);
	CU_ASSERT_EQUAL(tls_foreign_use(uri("ec.key"), der, n, &again, &same, &err),
			TLS_RC_OK);
	CU_ASSERT(again == key && same == cert);
	CU_ASSERT_EQUAL(tls_foreign_use(uri("rsa.key"), other, n_other, &again,
							&same, &err),
			TLS_RC_OK);
	CU_ASSERT(again != key && same != cert);
	CU_ASSERT_TRUE(signs(again));
	pid = fork();
	if(pid == 0)
		_exit(use_in_child(der, n, key, cert));
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_TRUE(signs(key));
	/* what it gave the child, the child had; the parent's ends here */
	CU_ASSERT_EQUAL(tls_foreign_init(&nothing, &err), TLS_RC_OK);
	OPENSSL_free(der);
	OPENSSL_free(other);
	CU_ASSERT(engine_live_blocks() >= before);
}

/* A key that is not there fails without a trace, and is found once it is. */
static void test_use_later(void)
{
	size_t before, n;
	unsigned char *der = der_of("ec", &n);
	struct tls_err err;
	char text[4096];
	EVP_PKEY *key;
	X509 *cert;
	FILE *f;

	before = engine_live_blocks();
	CU_ASSERT_EQUAL(
			tls_foreign_use(uri("later.key"), der, n, &key, &cert, &err),
			TLS_RC_CONFIG);
	CU_ASSERT(key == NULL && cert == NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "later.key"));
	CU_ASSERT_EQUAL(engine_live_blocks(), before);
	CU_ASSERT_EQUAL(tls_foreign_use(uri("ec.key"), (const unsigned char *)"0",
							1, &key, &cert, &err),
			TLS_RC_NOMEM); /* what was a certificate before is one */
	CU_ASSERT(key == NULL && cert == NULL);
	ERR_clear_error();
	f = fopen(pki_path("ec.key"), "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	(void)pki_write("later.key", text, fread(text, 1, sizeof(text), f));
	fclose(f);
	CU_ASSERT_EQUAL(
			tls_foreign_use(uri("later.key"), der, n, &key, &cert, &err),
			TLS_RC_OK);
	CU_ASSERT_TRUE(signs(key));
	CU_ASSERT_EQUAL(tls_foreign_init(&nothing, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL(engine_live_blocks(), before);
	OPENSSL_free(der);
}

/* ---- the start ---- */

static void test_init(void)
{
	static const struct
	{
		const char *text; /* of the file of providers; NULL = none */
		const char *engine;
		const char *says; /* NULL = it is taken */
		const char *why;
	} rows[] = {{NULL, "nosuch", "engine: could not load \"nosuch\"",
						"no such engine"},
			{NULL, "../../../tmp/evil", "engine: could not load",
					"a path is no name"},
			{"openssl_conf = [broken\n[", NULL, "could not read",
					"no configuration at all"},
			{"openssl_conf = a\n[a]\nproviders = b\n[b]\nx = c\n[c]\n"
			 "activate = 1\n",
					NULL, "could not load the provider \"x\"",
					"no such provider"},
			{"openssl_conf = a\n[a]\nproviders = b\n[b]\nx = c\n[c]\n"
			 "module = /nowhere.so\nactivate = yes\n",
					NULL, "could not load the provider \"x\"",
					"no such library"},
			{"openssl_conf = a\n[a]\nproviders = b\n[b]\n"
			 "a=c\nb=c\nd=c\ne=c\nf=c\ng=c\nh=c\ni=c\nj=c\nk=c\nl=c\nm=c\n"
			 "n=c\no=c\np=c\nq=c\nr=c\n[c]\nidentity = null\nactivate = 1\n",
					NULL, "more than 16 providers", "too many"},
			{"", NULL, NULL, "an empty file"},
			{"openssl_conf = a\n", NULL, NULL, "a section that is missing"},
			{"openssl_conf = a\n[a]\nproviders = b\n[b]\nx = c\n[c]\n"
			 "activate = 0\n",
					NULL, NULL, "one that is not wanted"},
			{"openssl_conf = a\n[a]\nproviders = b\n[b]\nnull = c\n[c]\n"
			 "activate = 1\n",
					NULL, NULL, "a good one"},
			{NULL, "NONE", NULL, "the old word for none"},
			{NULL, "/etc/kamailio/NONE", NULL, "as a path"},
			{NULL, "", NULL, "an empty word"}, {NULL, NULL, NULL, "nothing"}};
	struct tls_foreign_args args;
	struct tls_err err;
	size_t i, before;
	enum tls_rc rc;

	for(i = 0; i < N(rows); i++) {
		memset(&args, 0, sizeof(args));
		args.engine = rows[i].engine;
		if(rows[i].text != NULL)
			args.providers = pki_write(
					"providers.cnf", rows[i].text, strlen(rows[i].text));
		rc = tls_foreign_init(&args, &err); /* libraries that stay */
		before = engine_live_blocks();
		tls_err_clear(&err);
		rc = tls_foreign_init(&args, &err);
		CU_ASSERT_EQUAL(rc, rows[i].says != NULL ? TLS_RC_CONFIG : TLS_RC_OK);
		if(rows[i].says != NULL && strstr(err.text, rows[i].says) == NULL) {
			CU_FAIL("the sentence");
			printf("%s: %s\n", rows[i].why, err.text);
		}
		CU_ASSERT_EQUAL(engine_live_blocks(), before);
	}
	args.providers = pki_path("none.cnf");
	CU_ASSERT_EQUAL(tls_foreign_init(&args, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "none.cnf"));
	CU_ASSERT_EQUAL(tls_foreign_init(&nothing, &err), TLS_RC_OK);
}

#if !TLS_OSSL_PROVIDER_PARAMS
/* The library would read them into lists that all processes share. */
static void test_init_parameter(void)
{
	static const char text[] =
			"openssl_conf = a\n[a]\nproviders = b\n[b]\nnull = c\n[c]\n"
			"activate = 1\npin = 98765\n";
	struct tls_foreign_args args = {0};
	struct tls_err err;

	args.providers = pki_write("providers.cnf", text, strlen(text));
	CU_ASSERT_EQUAL(tls_foreign_init(&args, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "needs OpenSSL 3.2"));
	CU_ASSERT_PTR_NULL(strstr(err.text, "98765"));
	CU_ASSERT_EQUAL(tls_foreign_init(&nothing, &err), TLS_RC_OK);
}
#endif

/* ---- no memory ---- */

/* Some of the thousands of places: each of the first, then further apart. */
static unsigned long next(unsigned long k)
{
	return k + 1 + k / 12;
}

static void test_look_short(void)
{
	size_t before = engine_live_blocks(), files = open_files();
	unsigned long k;
	struct tls_err err;
	EVP_PKEY *key;
	enum tls_rc rc;
	bool failed = true;

	for(k = 1; failed && k < 1000000; k = next(k)) {
		engine_fail_at(k);
		rc = tls_foreign_look(uri("ec.key"), &key, &err);
		failed = port_stub_failed();
		port_stub_fail_at(0);
		CU_ASSERT((rc == TLS_RC_OK) == (key != NULL));
		CU_ASSERT(rc == TLS_RC_OK || err.text[0] != '\0');
		if(key != NULL)
			CU_ASSERT_EQUAL(EVP_PKEY_eq(key, pki_key("ec")), 1);
		EVP_PKEY_free(key);
		ERR_clear_error();
		CU_ASSERT_TRUE(left_no_child());
	}
	CU_ASSERT(k > 100 && k < 1000000);
	CU_ASSERT_EQUAL(open_files(), files);
	/* a process that ended inside the library leaves what it had */
	CU_ASSERT(engine_live_blocks() >= before);
}

static void test_use_short(void)
{
	size_t n, before, now;
	unsigned char *der = der_of("ec", &n);
	struct tls_err err;
	unsigned long k;
	EVP_PKEY *key;
	X509 *cert;
	enum tls_rc rc;
	bool failed = true;

	before = engine_live_blocks();
	for(k = 1; failed && k < 1000000; k = next(k)) {
		engine_fail_at(k);
		rc = tls_foreign_use(uri("ec.key"), der, n, &key, &cert, &err);
		failed = port_stub_failed();
		port_stub_fail_at(0);
		ERR_clear_error();
		CU_ASSERT((rc == TLS_RC_OK) == (key != NULL));
		CU_ASSERT((rc == TLS_RC_OK) == (cert != NULL));
		if(rc == TLS_RC_OK)
			CU_ASSERT_TRUE(signs(key));
		CU_ASSERT_EQUAL(tls_foreign_init(&nothing, &err), TLS_RC_OK);
		/* the library goes on without some of what it wanted, and loses it */
		now = engine_live_blocks();
		CU_ASSERT(rc == TLS_RC_OK || now == before);
		before = now;
	}
	CU_ASSERT(k > 100 && k < 1000000);
	OPENSSL_free(der);
}

void test_foreign_add(void)
{
	CU_pSuite suite = CU_add_suite("foreign", begin, NULL);

	CU_add_test(suite, "refused", test_refused);
	CU_add_test(suite, "a long name", test_long_name);
	CU_add_test(suite, "public part", test_look);
	CU_add_test(suite, "objects", test_use);
	CU_add_test(suite, "a key that comes later", test_use_later);
	CU_add_test(suite, "start", test_init);
#if !TLS_OSSL_PROVIDER_PARAMS
	CU_add_test(suite, "a parameter", test_init_parameter);
#endif
	CU_add_test(suite, "no memory to look", test_look_short);
	CU_add_test(suite, "no memory for objects", test_use_short);
}
