/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of a whole load: every mistake of a file is told in one go, those of
 * the text and those of what it names, and none of them twice. */
#include <stdio.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_load.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_load_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))
#define GOOD "certificate = @/ec.pem\nprivate_key = @/ec.key\n"
#define DEFAULT "[server:default]\n" GOOD

/* What the load said. */
static char heard[8192];
static unsigned int errors;

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

static void hear(void *arg, enum tls_log_level level, const char *text)
{
	size_t n = strlen(heard);

	(void)arg;
	if(level > TLS_LOG_ERR)
		return;
	errors++;
	snprintf(heard + n, sizeof(heard) - n, "%s\n", text);
}

/* Nobody listens on port 1. */
static bool listens(void *arg, const struct tls_addr *addr)
{
	(void)arg;
	return addr->port != 1;
}

/* Writes TEXT, each @ as the folder of the keys, to the file "load.cfg". */
static const char *write_config(const char *text)
{
	char out[4096];
	size_t n = 0;

	for(; *text && n < sizeof(out) - PKI_PATH_MAX; text++)
		n += (size_t)(*text == '@' ? snprintf(
							  out + n, sizeof(out) - n, "%s", pki_path("."))
								   : snprintf(out + n, sizeof(out) - n, "%c",
										   *text));
	return pki_write("load.cfg", out, n);
}

static enum tls_rc load(const char *text, struct tls_err *err)
{
	struct tls_settings settings;
	struct tls_load_args args = {.settings = &settings,
			.base_dir = ".",
			.listens = listens,
			.report = hear};
	struct tls_load_result result;
	struct tls_domains *domains;
	enum tls_rc rc;

	heard[0] = '\0';
	errors = 0;
	CU_ASSERT_EQUAL_FATAL(tls_params_settings_init(&settings), TLS_RC_OK);
	args.file = write_config(text);
	rc = tls_load(&args, &domains, &result, err);
	CU_ASSERT_EQUAL(rc == TLS_RC_OK, domains != NULL);
	CU_ASSERT_EQUAL(result.errors, errors);
	tls_domains_unref(&domains);
	tls_params_settings_clear(&settings);
	return rc;
}

struct load_row
{
	const char *text;
	unsigned int errors;
	const char *says[3]; /* each behind "load.cfg" */
	const char *why;
};

static const struct load_row rows[] = {
		{DEFAULT "methode = x\n[server:any]\nserver_name = a.org\n"
				 "certificate = @/none.pem\n",
				2, {":4:1: unknown", ":7:15: certificate: "},
				"a missing file beside an unknown option"},
		{DEFAULT "verify_depth = no\n[server:192.0.2.1:1]\n", 2,
				{":4:16: verify_depth", ":5:1: profile "},
				"an address where nobody listens beside a bad value"},
		{"[server:default]\ncertificate = \"@/ec.pem\nprivate_key = @/ec.key\n"
		 "[server:any]\nserver_name = a.org\n",
				1, {":2:15: "}, "nobody misses what was not readable"},
		{"[server:default\n" GOOD "[server:any]\nserver_name = a.org\n" GOOD
		 "ca_list = @/none\n",
				2, {":1:", ":8:11: ca_list: "},
				"a default whose header is not readable, and no guess"},
		{DEFAULT "[server:any]\nserver_name = a.org\nno_option = 1\n"
				 "certificate = @/none.pem\n",
				1, {":6:1: unknown"},
				"of a section with a mistake the files are not looked at"},
		{DEFAULT "x = 1\n[client:default]\ncertificate = @/none.pem\n"
				 "ca_list = @/none\n",
				3, {":4:1: unknown", ":6:15: certificate: ", ":7:11: ca_list"},
				"all of the clients' default"},
		{DEFAULT "crl = @/none\n[server:any]\nserver_name = a.org\n"
				 "[server:any]\nserver_name = a.org\n",
				2, {":7:1: ", ":4:7: crl: "},
				"two of one name, and a missing list"},
		{DEFAULT "[server:any]\nserver_name = a.org\n", 0, {NULL},
				"a good one"},
};

static void tells_everything(void)
{
	struct tls_err err;
	char want[128];
	size_t i, k;

	for(i = 0; i < N(rows); i++) {
		enum tls_rc rc = load(rows[i].text, &err);

		CU_ASSERT_EQUAL(rc, rows[i].errors ? TLS_RC_CONFIG : TLS_RC_OK);
		CU_ASSERT_EQUAL(errors, rows[i].errors);
		if(errors != rows[i].errors)
			printf("\n%s: %u errors:\n%s", rows[i].why, errors, heard);
		for(k = 0; k < N(rows[i].says) && rows[i].says[k]; k++) {
			snprintf(want, sizeof(want), "load.cfg%s", rows[i].says[k]);
			CU_ASSERT_PTR_NOT_NULL(strstr(heard, want));
			if(!strstr(heard, want))
				printf("\n%s: no \"%s\" in\n%s", rows[i].why, want, heard);
		}
	}
}

void test_load_add(void)
{
	CU_pSuite suite = CU_add_suite("load", begin, NULL);

	CU_add_test(suite, "every mistake in one go", tells_everything);
}
