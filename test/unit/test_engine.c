/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of engines, with one that comes with the library and holds no keys:
 * what is refused and how it is said, which section of a file is meant, and
 * that closing leaves nothing. Where the library has no engines, that it says
 * so. Keys of an engine are in the suites that have a server. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <stdio.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_engine.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

#ifndef OPENSSL_NO_ENGINE
#include <openssl/engine.h>
#endif

void test_engine_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

#ifdef OPENSSL_NO_ENGINE

static void test_none(void)
{
	struct tls_engine *engine;
	struct tls_err err;

	CU_ASSERT_EQUAL(
			tls_engine_open("pkcs11", NULL, &engine, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NULL(engine);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "use a provider"));
	tls_engine_close(&engine);
	CU_ASSERT_PTR_NULL(tls_engine_key(NULL, "key"));
}

void test_engine_add(void)
{
	CU_pSuite suite = CU_add_suite("engine", begin, NULL);

	CU_add_test(suite, "no engines", test_none);
}

#else

#define OWN "loader_attic" /* in the library's own folder of engines */
#define FILE_OF(entry_, section_)                                           \
	"kamailio = start\n[start]\nengines = list\n[list]\n" entry_ " = own\n" \
	"[own]\n" section_

/* Engines in the library's list, which all processes share: ours never is. */
static bool is_listed(const char *id)
{
	ENGINE *e = ENGINE_get_first();
	bool found = false;

	while(e != NULL) {
		found = found || strcmp(ENGINE_get_id(e), id) == 0;
		e = ENGINE_get_next(e);
	}
	return found;
}

static void warm_up(const char *id)
{
	static const char text[] = FILE_OF(OWN, "PIN = 98765\n");
	const char *file = pki_write("engine.cnf", text, strlen(text));
	struct tls_engine *engine;
	struct tls_err err;

	CU_ASSERT_EQUAL(tls_engine_open(id, strcmp(id, OWN) == 0 ? file : NULL,
							&engine, &err),
			TLS_RC_CONFIG);
}

static void test_files(void)
{
	static const struct
	{
		const char *id;
		const char *text; /* of the file; NULL = none */
		const char *says; /* NULL = it opens */
		const char *why;
	} rows[] = {{"nosuch", NULL, "could not load \"nosuch\"", "no such one"},
			{"", NULL, "could not load", "no name"},
			{"%n%s", NULL, "could not load \"%n%s\"", "a format is a name"},
			{OWN, "[list\n", "could not read", "no configuration"},
			{OWN, "", "has no section for the engine \"" OWN "\"", "empty"},
			{OWN, FILE_OF("other", ""), "has no section", "another engine's"},
			{OWN, FILE_OF(OWN, "engine_id = other\n"), "has no section",
					"the name inside counts"},
			{OWN, FILE_OF(OWN, "dynamic_path = /nowhere.so\n"),
					"could not load", "no such library"},
			{OWN, FILE_OF(OWN, "dynamic_path = /etc/passwd\n"),
					"could not load", "no library at all"},
			{OWN, FILE_OF(OWN, "PIN = 98765\n"), "does not accept \"PIN\"",
					"a command that it does not have"},
			{OWN, FILE_OF(OWN, "PIN = EMPTY\n"), "does not accept \"PIN\"",
					"the same without a value"},
			{OWN, FILE_OF(OWN, "init = 0\ndefault_algorithms = ALL\n"), NULL,
					"words that are no commands"},
			{OWN, FILE_OF("7." OWN, ""), NULL, "a number in front"},
			{OWN, FILE_OF("x", "engine_id = " OWN "\n"), NULL, "by its id"},
			{OWN,
					"openssl_conf = start\n[start]\nengines = "
					"list\n[list]\n" OWN " = own\n[own]\n",
					NULL, "the library's own word"},
			{OWN, NULL, NULL, "no file"}};
	struct tls_engine *engine;
	struct tls_err err;
	size_t i, before;

	/* what the library keeps for good once it had an engine, or an error */
	warm_up(OWN);
	warm_up("nosuch");
	for(i = 0; i < N(rows); i++) {
		const char *file = rows[i].text == NULL
								   ? NULL
								   : pki_write("engine.cnf", rows[i].text,
										   strlen(rows[i].text));

		before = engine_live_blocks();
		tls_err_clear(&err);
		CU_ASSERT_EQUAL(tls_engine_open(rows[i].id, file, &engine, &err),
				rows[i].says != NULL ? TLS_RC_CONFIG : TLS_RC_OK);
		if((engine == NULL) != (rows[i].says != NULL)
				|| (rows[i].says != NULL
						&& (strstr(err.text, rows[i].says) == NULL
								|| strstr(err.text, "98765") != NULL))) {
			CU_FAIL("the verdict");
			printf("%s: %s\n", rows[i].why, err.text);
		}
		CU_ASSERT_FALSE(is_listed(OWN));
		tls_engine_close(&engine);
		CU_ASSERT_PTR_NULL(engine);
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
		CU_ASSERT_EQUAL(engine_live_blocks(), before);
	}
	tls_engine_close(&engine); /* NULL is fine */
	CU_ASSERT_EQUAL(tls_engine_open(OWN, pki_path("none.cnf"), &engine, &err),
			TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "none.cnf"));
}

/* One that has no keys gives none, and says why in the queue. */
static void test_key(void)
{
	struct tls_engine *engine;
	struct tls_err err;

	CU_ASSERT_EQUAL_FATAL(tls_engine_open(OWN, NULL, &engine, &err), TLS_RC_OK);
	CU_ASSERT_PTR_NULL(tls_engine_key(engine, "key"));
	CU_ASSERT_NOT_EQUAL(ERR_peek_error(), 0);
	ERR_clear_error();
	CU_ASSERT_PTR_NULL(tls_engine_key(engine, ""));
	ERR_clear_error();
	tls_engine_close(&engine);
}

static void test_short_memory(void)
{
	static const char text[] = FILE_OF(OWN, "init = 0\n");
	const char *file = pki_write("engine.cnf", text, strlen(text));
	struct tls_engine *engine;
	struct tls_err err;
	unsigned long k;
	size_t before = engine_live_blocks();
	enum tls_rc rc;
	bool failed = true;

	for(k = 1; failed && k < 10000; k++) {
		engine_fail_at(k);
		rc = tls_engine_open(OWN, file, &engine, &err);
		failed = port_stub_failed();
		port_stub_fail_at(0);
		CU_ASSERT((rc == TLS_RC_OK) == (engine != NULL));
		CU_ASSERT(rc == TLS_RC_OK || err.text[0] != '\0');
		tls_engine_close(&engine);
		ERR_clear_error();
		CU_ASSERT_FALSE(is_listed(OWN));
	}
	/* the last round was a good one: it found again what the engine itself
	 * had left in a table of the library */
	CU_ASSERT_EQUAL(engine_live_blocks(), before);
	CU_ASSERT(k > 10 && k < 10000);
}

void test_engine_add(void)
{
	CU_pSuite suite = CU_add_suite("engine", begin, NULL);

	CU_add_test(suite, "files", test_files);
	CU_add_test(suite, "no keys", test_key);
	CU_add_test(suite, "no memory", test_short_memory);
}

#endif
