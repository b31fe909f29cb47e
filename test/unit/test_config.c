/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_config: sample files with the places of their errors, how
 * holes are filled, files and directories, memory that runs out.
 * Memory comes from the stub; samples are in data/cfg beside this file.
 * Run by test/unit/main.c. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "../../tls_config.h"
#include "../../tls_port.h"
#include "../lib/port_stub.h"

void test_config_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))

/* All lines that one load reported. */
struct heard
{
	unsigned int errors, warnings;
	char text[30000];
};

static struct heard heard;

static void hear(void *arg, enum tls_log_level level, const char *text)
{
	size_t n = strlen(heard.text);

	(void)arg;
	if(level <= TLS_LOG_ERR)
		heard.errors++;
	else
		heard.warnings++;
	snprintf(heard.text + n, sizeof(heard.text) - n, "%s\n", text);
}

static enum tls_rc parse_with(const struct tls_profile_params *modparams,
		const char *text, struct tls_domains **out, struct tls_err *err)
{
	struct tls_config_source source = {"t.cfg", text, strlen(text)};

	memset(&heard, 0, sizeof(heard));
	return tls_config_parse(
			&source, 1, modparams, "/cfg", hear, NULL, out, err);
}

static const struct tls_profile_params *params_at(
		const struct tls_domains *d, size_t i)
{
	return &tls_domains_at(d, i)->p;
}

/* ---- samples ---- */

static void sample_path(const char *name, char *out, size_t size)
{
	const char *end = strrchr(__FILE__, '/');

	snprintf(out, size, "%.*s/data/cfg/%s", (int)(end - __FILE__), __FILE__,
			name);
}

/* Checks every "#! line:col: words" of the sample against what was heard:
 * each is there, and there are no others. */
static void check_expected(const char *path)
{
	char line[600], want[700], *space;
	unsigned int n = 0;
	const char *found;
	FILE *file = fopen(path, "r");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while(fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if(strncmp(line, "#! ", 3))
			continue;
		n++;
		space = strchr(line + 3, ' ');
		*space = '\0';
		snprintf(want, sizeof(want), ".cfg:%s ", line + 3);
		found = strstr(heard.text, want);
		if(found) { /* the words are on the same line */
			found = strstr(found, space + 1);
			found = found
									&& !memchr(strstr(heard.text, want), '\n',
											(size_t)(found
													 - strstr(
															 heard.text, want)))
							? found
							: NULL;
		}
		if(!found)
			printf("%s: not heard: %s %s in\n%s", path, line + 3, space + 1,
					heard.text);
		CU_ASSERT_PTR_NOT_NULL(found);
	}
	fclose(file);
	CU_ASSERT_EQUAL(n, heard.errors);
}

static void loads_samples(void)
{
	unsigned int n_good = 0, n_bad = 0;
	struct tls_domains *d;
	struct dirent *entry;
	struct tls_err err;
	char path[512];
	enum tls_rc rc;
	DIR *dir;

	port_stub_reset();
	sample_path("", path, sizeof(path));
	dir = opendir(path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while((entry = readdir(dir))) {
		if(!strstr(entry->d_name, ".cfg"))
			continue;
		sample_path(entry->d_name, path, sizeof(path));
		memset(&heard, 0, sizeof(heard));
		rc = tls_config_load(path, NULL, ".", hear, NULL, &d, &err);
		if(!strncmp(entry->d_name, "good_", 5)) {
			n_good++;
			if(rc)
				printf("%s\n", heard.text);
			CU_ASSERT_EQUAL(rc, TLS_RC_OK);
			CU_ASSERT_EQUAL(heard.errors, 0);
			CU_ASSERT_TRUE(tls_domains_is_valid(d));
			tls_domains_unref(&d);
			continue;
		}
		n_bad++;
		CU_ASSERT_EQUAL(rc, TLS_RC_CONFIG);
		CU_ASSERT_PTR_NULL(d);
		check_expected(path);
	}
	closedir(dir);
	CU_ASSERT_EQUAL(n_good, 5);
	CU_ASSERT_EQUAL(n_bad, 3);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void loads_the_shipped_sample(void)
{
	struct tls_domains *d;
	char path[512];

	sample_path("../../../../tls.cfg", path, sizeof(path));
	memset(&heard, 0, sizeof(heard));
	CU_ASSERT_EQUAL(
			tls_config_load(path, NULL, ".", hear, NULL, &d, NULL), TLS_RC_OK);
	CU_ASSERT_EQUAL(heard.text[0], 0); /* not even a warning */
	tls_domains_unref(&d);
}

static void has_every_value(void)
{
	const struct tls_profile_params *p;
	struct tls_domains *d;
	char path[512];

	sample_path("good_all_attributes.cfg", path, sizeof(path));
	CU_ASSERT_EQUAL_FATAL(
			tls_config_load(path, NULL, ".", NULL, NULL, &d, NULL), TLS_RC_OK);
	p = params_at(d, 0);
	CU_ASSERT_EQUAL(p->method.min, TLS_VERSION_1_2);
	CU_ASSERT_EQUAL(p->method.max, TLS_VERSION_1_3);
	CU_ASSERT_STRING_EQUAL(p->private_key, "./key.pem");
	CU_ASSERT_STRING_EQUAL(p->private_key_password, "a \"quoted\" word");
	CU_ASSERT_STRING_EQUAL(p->certificate2, "./ec.pem");
	CU_ASSERT_STRING_EQUAL(p->private_key_password2, "p"); /* # comment */
	p = params_at(d, 1);
	CU_ASSERT_EQUAL(p->method.min, TLS_VERSION_1_2);
	CU_ASSERT_EQUAL(p->verify_certificate, 1);
	CU_ASSERT_EQUAL(p->verify_depth, 3);
	CU_ASSERT_EQUAL(p->require_certificate, 1);
	CU_ASSERT_EQUAL(p->verify_client, TLS_VERIFY_CLIENT_OPTIONAL_NO_CA);
	CU_ASSERT_STRING_EQUAL(p->private_key, "/uri:pkcs11:object=key");
	CU_ASSERT_STRING_EQUAL(p->ca_path, "/etc/ssl/certs");
	CU_ASSERT_STRING_EQUAL(p->cipher_list, "HIGH:!aNULL");
	CU_ASSERT_STRING_EQUAL(p->server_name, "example.org");
	CU_ASSERT_EQUAL(p->server_name_mode, 1);
	CU_ASSERT_STRING_EQUAL(p->server_id, "label");
	CU_ASSERT_STRING_EQUAL(p->ocsp, "require");
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->ocsp_file, "./staple.der");
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->ocsp_file2, "./staple2.der");
	tls_domains_unref(&d);
}

/* ---- holes ---- */

static void fills_holes(void)
{
	struct tls_profile_params mod;
	struct tls_domains *d;

	tls_params_profile_init(&mod);
	/* literals: tls_config copies and does not free the caller's */
	mod.certificate = (char *)"m.pem";
	mod.private_key = (char *)"/m-key.pem";
	mod.private_key_password = (char *)"m";
	mod.ca_path = (char *)"m-ca";
	mod.crl = (char *)"m-crl.pem";
	mod.ocsp_file = (char *)"m.der";
	mod.cipher_list = (char *)"MOD";
	mod.server_name = (char *)"mod.example";
	mod.server_id = (char *)"mod";
	mod.verify_depth = 2;
	CU_ASSERT_EQUAL_FATAL(
			parse_with(&mod,
					"[server:192.0.2.1:1]\n"					  /* 0 */
					"[server:192.0.2.2:1]\ncertificate=own.pem\n" /* 1 */
					"ca_path=own-ca\ncrl=\"\"\n"
					"[client:any]\nserver_id=a\n"					 /* 2 */
					"[client:any]\nserver_id=b\ncertificate=b.pem\n" /* 3 */
					"[server:default]\nca_list=d-ca.pem\n"			 /* 4 */
					"verify_depth=5\ncertificate2=d2.pem\nocsp_file2=d2.der\n"
					"server_id=d\n"
					"[client:default]\nverify_cert=yes\n", /* 5 */
					&d, NULL),
			TLS_RC_OK);
	/* section < default < modparams < defaults of the table */
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->ca_list, "/cfg/d-ca.pem");
	CU_ASSERT_EQUAL(params_at(d, 0)->verify_depth, 5);
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->certificate, "/cfg/m.pem");
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->private_key, "/m-key.pem");
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->certificate2, "/cfg/d2.pem");
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->private_key2, "/cfg/d2.pem");
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->cipher_list, "MOD");
	/* identity stays where it was written */
	CU_ASSERT_PTR_NULL(params_at(d, 0)->server_name);
	CU_ASSERT_PTR_NULL(params_at(d, 0)->server_id);
	CU_ASSERT_STRING_EQUAL(params_at(d, 4)->server_name, "mod.example");
	CU_ASSERT_PTR_NULL(params_at(d, 5)->server_name);
	/* own trust anchors get no company, own certificates no second one */
	CU_ASSERT_STRING_EQUAL(params_at(d, 1)->ca_path, "/cfg/own-ca");
	CU_ASSERT_PTR_NULL(params_at(d, 1)->ca_list);
	CU_ASSERT_PTR_NULL(params_at(d, 1)->certificate2);
	CU_ASSERT_PTR_NULL(params_at(d, 4)->ca_path);
	/* a response is about one certificate and goes where that goes */
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->ocsp_file, "/cfg/m.der");
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->ocsp_file2, "/cfg/d2.der");
	CU_ASSERT_PTR_NULL(params_at(d, 1)->ocsp_file);
	CU_ASSERT_PTR_NULL(params_at(d, 1)->ocsp_file2);
	CU_ASSERT_PTR_NULL(params_at(d, 2)->ocsp_file);
	/* "" is a value; the key is named by the modparams */
	CU_ASSERT_PTR_NULL(params_at(d, 1)->crl);
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->crl, "/cfg/m-crl.pem");
	CU_ASSERT_STRING_EQUAL(params_at(d, 1)->private_key, "/m-key.pem");
	/* clients get no certificate from the modparams, but the rest */
	CU_ASSERT_PTR_NULL(params_at(d, 2)->certificate);
	CU_ASSERT_PTR_NULL(params_at(d, 2)->private_key);
	CU_ASSERT_PTR_NULL(params_at(d, 2)->private_key_password);
	CU_ASSERT_PTR_NULL(params_at(d, 5)->certificate);
	CU_ASSERT_STRING_EQUAL(params_at(d, 2)->crl, "/cfg/m-crl.pem");
	CU_ASSERT_EQUAL(params_at(d, 2)->verify_certificate, 1);
	CU_ASSERT_EQUAL(params_at(d, 2)->verify_depth, 2);
	CU_ASSERT_STRING_EQUAL(params_at(d, 3)->certificate, "/cfg/b.pem");
	CU_ASSERT_STRING_EQUAL(params_at(d, 3)->private_key, "/cfg/b.pem");
	CU_ASSERT_EQUAL(tls_domains_at(d, 4)->line, 11);
	CU_ASSERT_STRING_EQUAL(tls_domains_at(d, 4)->file, "t.cfg");
	tls_domains_unref(&d);
}

static void fills_files(void)
{
	static const struct
	{
		const char *text, *certificate, *key, *why;
	} rows[] = {
			{"", "/cfg/cert.pem", "/cfg/cert.pem", "nothing is named"},
			{"certificate=a.pem", "/cfg/a.pem", "/cfg/a.pem",
					"the key is in the file of the certificate"},
			{"private_key=k.pem", "/cfg/cert.pem", "/cfg/k.pem", "key alone"},
			{"certificate=a.pem\nprivate_key=k.pem", "/cfg/a.pem", "/cfg/k.pem",
					"both"},
			{"certificate=\"\"", NULL, NULL, "none on purpose"},
	};
	char text[200];
	struct tls_domains *d;
	size_t i;

	for(i = 0; i < N(rows); i++) {
		snprintf(text, sizeof(text), "[server:default]\n%s\n", rows[i].text);
		CU_ASSERT_EQUAL_FATAL(parse_with(NULL, text, &d, NULL), TLS_RC_OK);
		if(rows[i].certificate) {
			CU_ASSERT_STRING_EQUAL(
					params_at(d, 0)->certificate, rows[i].certificate);
			CU_ASSERT_STRING_EQUAL(params_at(d, 0)->private_key, rows[i].key);
		} else {
			CU_ASSERT_PTR_NULL(params_at(d, 0)->certificate);
			CU_ASSERT_PTR_NULL(params_at(d, 0)->private_key);
		}
		CU_ASSERT_PTR_NULL(params_at(d, 1)->certificate); /* the client */
		tls_domains_unref(&d);
	}
	/* a guessed file of the default is not what a section inherits */
	CU_ASSERT_EQUAL(parse_with(NULL,
							"[server:default]\n"
							"[server:192.0.2.1:1]\ncertificate=a.pem\n",
							&d, NULL),
			TLS_RC_OK);
	CU_ASSERT_STRING_EQUAL(params_at(d, 1)->private_key, "/cfg/a.pem");
	tls_domains_unref(&d);
}

static void takes_modparams_alone(void)
{
	struct tls_profile_params mod;
	struct tls_domains *d;
	struct tls_err err;
	unsigned long k;
	size_t i;

	port_stub_reset();
	tls_params_profile_init(&mod);
	mod.certificate = (char *)"m.pem";
	mod.ca_path = (char *)"ca";
	mod.server_name = (char *)"Mod.Example";
	mod.private_key_password = (char *)"m";
	for(k = 1;; k++) {
		port_stub_fail_at(k);
		if(!tls_config_from_modparams(&mod, "/cfg", &d, &err))
			break;
		CU_ASSERT_EQUAL(err.rc, TLS_RC_NOMEM);
		CU_ASSERT_PTR_NULL(d);
		CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	}
	port_stub_fail_at(0);
	CU_ASSERT_TRUE(k > 10);
	CU_ASSERT_EQUAL(tls_domains_count(d), 2);
	for(i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL((size_t)tls_domains_at(d, i)->role, i);
		CU_ASSERT_STRING_EQUAL(params_at(d, i)->certificate, "/cfg/m.pem");
		CU_ASSERT_STRING_EQUAL(params_at(d, i)->private_key, "/cfg/cert.pem");
		CU_ASSERT_STRING_EQUAL(params_at(d, i)->ca_path, "/cfg/ca");
		CU_ASSERT_STRING_EQUAL(params_at(d, i)->server_name, "mod.example");
		CU_ASSERT_STRING_EQUAL(params_at(d, i)->private_key_password, "m");
		CU_ASSERT_EQUAL(tls_domains_at(d, i)->line, 0);
	}
	tls_domains_unref(&d);
	mod.verify_depth = -1;
	CU_ASSERT_EQUAL(
			tls_config_from_modparams(&mod, "/cfg", &d, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "verify_depth"));
	CU_ASSERT_EQUAL(parse_with(&mod, "", &d, &err), TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(heard.errors, 1); /* once, not once for each section */
	mod.verify_depth = 1;
	mod.server_name = (char *)"bad/name";
	CU_ASSERT_EQUAL(
			tls_config_from_modparams(&mod, "/cfg", &d, &err), TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

/* ---- what is said ---- */

static void hides_passwords(void)
{
	static const char *const texts[] = {
			"[server:default]\nprivate_key_password = geheim geheim\n",
			"[server:default]\nprivate_key_password = \"geh\\eim\"\n",
			"[server:default]\nprivate_key_pasword = geheim\n",
			"private_key_password = geheim\n",
			"[client:x]\npkey_password2 = geheim\nprivate_key_password2 = "
			"geheim\n"};
	struct tls_domains *d;
	struct tls_err err;
	size_t i;

	for(i = 0; i < N(texts); i++) {
		CU_ASSERT_EQUAL(parse_with(NULL, texts[i], &d, &err), TLS_RC_CONFIG);
		CU_ASSERT_PTR_NULL(strstr(heard.text, "geh"));
		CU_ASSERT_PTR_NULL(strstr(err.text, "geh"));
		CU_ASSERT_TRUE(heard.errors > 0);
	}
}

static void counts_errors(void)
{
	static char text[20000];
	struct tls_domains *d;
	struct tls_err err;
	size_t i, n = 0;

	CU_ASSERT_EQUAL(
			parse_with(NULL, "x=1\ny=2\nz=3\n", &d, &err), TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(heard.errors, 3);
	CU_ASSERT_PTR_EQUAL(strstr(err.text, "t.cfg:1:1: option \"x\""), err.text);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "(and 2 more errors)"));
	for(i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "x%zu=1\n", i);
	CU_ASSERT_EQUAL(parse_with(NULL, text, &d, &err), TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(heard.errors, TLS_CONFIG_ERRORS_MAX);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "(and 999 more errors)"));
	CU_ASSERT_EQUAL(tls_config_parse(NULL, 0, NULL, NULL, NULL, NULL, &d, NULL),
			TLS_RC_OK); /* nobody listens, nothing to read */
	tls_domains_unref(&d);
}

static void warns(void)
{
	static const struct
	{
		const char *text, *says;
	} rows[] = {
			{"[server:default]\ncrl=a\nCRL=b\n",
					"t.cfg:3:1: option \"crl\" is repeated"},
			{"[server:any]\nserver_name=192.0.2.1\n", "t.cfg:2:13: "},
			{"[client:any]\n", "t.cfg:1:1: profile TLSc<any:> can never"},
	};
	struct tls_domains *d;
	size_t i;

	for(i = 0; i < N(rows); i++) {
		CU_ASSERT_EQUAL(parse_with(NULL, rows[i].text, &d, NULL), TLS_RC_OK);
		CU_ASSERT_EQUAL(heard.warnings, 1);
		CU_ASSERT_PTR_NOT_NULL(strstr(heard.text, rows[i].says));
		tls_domains_unref(&d);
	}
	CU_ASSERT_EQUAL(parse_with(NULL, rows[0].text, &d, NULL), TLS_RC_OK);
	CU_ASSERT_STRING_EQUAL(params_at(d, 0)->crl, "/cfg/b"); /* the last */
	tls_domains_unref(&d);
}

static void takes_long_values(void)
{
	static char text[5000];
	struct tls_domains *d;
	size_t n;

	snprintf(text, sizeof(text), "[server:default]\ncipher_list = ");
	n = strlen(text);
	memset(text + n, 'A', 4096);
	CU_ASSERT_EQUAL(parse_with(NULL, text, &d, NULL), TLS_RC_OK);
	CU_ASSERT_EQUAL(strlen(params_at(d, 0)->cipher_list), 4096);
	tls_domains_unref(&d);
	text[n + 4096] = 'A';
	CU_ASSERT_EQUAL(parse_with(NULL, text, &d, NULL), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(heard.text, "t.cfg:2:4111: "));
}

/* ---- files ---- */

/* A directory for one test, with its path in front of each name. */
static char scratch[64];

static void put(const char *name, const char *text)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs(text, file);
	CU_ASSERT_EQUAL(fclose(file), 0);
}

static void drop(const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	CU_ASSERT_EQUAL(remove(path), 0);
}

static void make_scratch(void)
{
	snprintf(scratch, sizeof(scratch), "%s/test_config.XXXXXX", P_tmpdir);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(scratch));
}

static enum tls_rc load(struct tls_domains **out, struct tls_err *err)
{
	memset(&heard, 0, sizeof(heard));
	return tls_config_load(scratch, NULL, "/cfg", hear, NULL, out, err);
}

static void loads_directories(void)
{
	struct tls_domains *d;
	struct tls_err err;
	char path[200];

	port_stub_reset();
	make_scratch();
	CU_ASSERT_EQUAL(load(&d, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no file whose name"));
	put("20.cfg", "[server:192.0.2.2:1]\n");
	put("10.cfg", "[server:192.0.2.1:1]"); /* no line end */
	put("30.cfg", "[server:192.0.2.3:1]\n");
	put(".hidden.cfg", "rubbish");
	snprintf(path, sizeof(path), "%s/40.cfg", scratch);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0); /* not entered */
	CU_ASSERT_EQUAL(load(&d, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL(heard.warnings, 0);
	CU_ASSERT_STRING_EQUAL(tls_domains_at(d, 0)->label, "TLSs<192.0.2.1:1>");
	CU_ASSERT_STRING_EQUAL(tls_domains_at(d, 1)->label, "TLSs<192.0.2.2:1>");
	CU_ASSERT_STRING_EQUAL(tls_domains_at(d, 2)->label, "TLSs<192.0.2.3:1>");
	tls_domains_unref(&d);
	put("10.cfg~", "rubbish");
	CU_ASSERT_EQUAL(load(&d, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL(heard.warnings, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(heard.text, "10.cfg~ is not read"));
	tls_domains_unref(&d);
	/* a section ends with its file */
	put("20.cfg", "method = TLSv1.2\n");
	CU_ASSERT_EQUAL(load(&d, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/20.cfg:1:1: option \"method\""));
	drop("40.cfg");
	drop("30.cfg");
	drop("20.cfg");
	drop("10.cfg");
	drop("10.cfg~");
	drop(".hidden.cfg");
	CU_ASSERT_EQUAL(rmdir(scratch), 0);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

/* Text of includes: what stands where, and what is said. */
static void includes_files(void)
{
	static const struct
	{
		const char *text, *part; /* main file, file of the include */
		enum tls_rc rc;
		const char *says;
		const char *why;
	} rows[] = {
			{"include \"@/nowhere.cfg\"\n", "", TLS_RC_CONFIG,
					"m.cfg:1:9: include: config: could not open", "absent"},
			{"include\n", "", TLS_RC_CONFIG, "m.cfg:1:8: ", "no name"},
			{"include \"\"\n", "", TLS_RC_CONFIG, "m.cfg:1:9: ", "empty"},
			{"include a b\n", "", TLS_RC_CONFIG, "m.cfg:1:11: ", "two"},
			{"include = x\n", "", TLS_RC_CONFIG,
					"m.cfg:1:1: ", "a setting of that name"},
			{"include @/p.inc\n", "include @/p.inc\n", TLS_RC_CONFIG, "deep",
					"itself"},
			{"include @/p.inc\n", "\nnonsense = 1\n", TLS_RC_CONFIG,
					"p.inc:2:1: ", "the place of an error inside"},
			{"[server:default]\ninclude @/p.inc\nnonsense = 1\n",
					"verify_depth = 3\n", TLS_RC_CONFIG,
					"m.cfg:3:1: ", "the place of an error behind"},
			{"include @/*.none\n", "", TLS_RC_OK, "no file matches",
					"a pattern may match nothing"},
			{"[server:default]\ninclude @/p.inc\n", "verify_depth = 3\n",
					TLS_RC_OK, NULL, "in the middle of a section"},
			{"INCLUDE \"@/p*.inc\"\nverify_depth = 3\n", "[server:default]\n",
					TLS_RC_OK, NULL, "pattern; the section goes on"},
	};
	struct tls_domains *d;
	char text[300], path[200];
	struct tls_err err;
	const char *at;
	enum tls_rc rc;
	size_t i, n;

	port_stub_reset();
	make_scratch();
	snprintf(path, sizeof(path), "%s/m.cfg", scratch);
	for(i = 0; i < N(rows); i++) {
		const char *const texts[2] = {rows[i].text, rows[i].part};
		const char *const names[2] = {"m.cfg", "p.inc"};
		int k;

		for(k = 0; k < 2; k++) { /* "@" stands for the scratch folder */
			at = strchr(texts[k], '@');
			n = at ? (size_t)(at - texts[k]) : strlen(texts[k]);
			snprintf(text, sizeof(text), "%.*s%s%s", (int)n, texts[k],
					at ? scratch : "", at ? at + 1 : "");
			put(names[k], text);
		}
		memset(&heard, 0, sizeof(heard));
		rc = tls_config_load(path, NULL, "/cfg", hear, NULL, &d, &err);
		if(rc != rows[i].rc
				|| (rows[i].says && !strstr(heard.text, rows[i].says)))
			printf("%s: %s\n", rows[i].why, heard.text);
		CU_ASSERT_EQUAL(rc, rows[i].rc);
		if(rows[i].says)
			CU_ASSERT_PTR_NOT_NULL(strstr(heard.text, rows[i].says));
		if(!rc && !rows[i].says)
			CU_ASSERT_EQUAL(params_at(d, 0)->verify_depth, 3);
		tls_domains_unref(&d);
		CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	}
	/* a source in memory has no files beside it */
	CU_ASSERT_EQUAL(parse_with(NULL, "include x\n", &d, NULL), TLS_RC_CONFIG);
	drop("m.cfg");
	drop("p.inc");
	CU_ASSERT_EQUAL(rmdir(scratch), 0);
}

/* Where options were written, also those that are inherited. */
static void knows_places(void)
{
	struct tls_domains *d;
	const struct tls_place *at;

	port_stub_reset();
	CU_ASSERT_EQUAL_FATAL(parse_with(NULL,
								  "[server:any]\nserver_name = a.example\n"
								  "[server:default]\n  crl = x\n",
								  &d, NULL),
			TLS_RC_OK);
	at = tls_domains_at(d, 0)->places;
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	CU_ASSERT_EQUAL(at[TLS_PROFILE_OPTION_server_name].line, 2);
	CU_ASSERT_EQUAL(at[TLS_PROFILE_OPTION_server_name].col, 15);
	CU_ASSERT_EQUAL(at[TLS_PROFILE_OPTION_crl].line, 4);
	CU_ASSERT_STRING_EQUAL(at[TLS_PROFILE_OPTION_crl].file, "t.cfg");
	CU_ASSERT_PTR_NULL(at[TLS_PROFILE_OPTION_ca_list].file);
	CU_ASSERT_EQUAL(tls_domains_files(d), 1);
	tls_domains_drop_places(d);
	CU_ASSERT_PTR_NULL(tls_domains_at(d, 0)->places);
	tls_domains_unref(&d);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void refuses_unreadable(void)
{
	struct tls_domains *d;
	struct tls_err err;
	char path[200];

	port_stub_reset();
	memset(&heard, 0, sizeof(heard));
	CU_ASSERT_EQUAL(tls_config_load("", NULL, "/cfg", hear, NULL, &d, &err),
			TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(tls_config_load(NULL, NULL, "/cfg", hear, NULL, &d, &err),
			TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(tls_config_load("nowhere.cfg", NULL, "/does/not/exist",
							hear, NULL, &d, &err),
			TLS_RC_IO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"/does/not/exist/nowhere.cfg\""));
	CU_ASSERT_EQUAL(heard.errors, 1);
	make_scratch();
	snprintf(path, sizeof(path), "%s/fifo", scratch);
	CU_ASSERT_EQUAL(mkfifo(path, 0600), 0); /* must not block */
	CU_ASSERT_EQUAL(
			tls_config_load(path, NULL, "", NULL, NULL, &d, &err), TLS_RC_IO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "not a regular file"));
	CU_ASSERT_EQUAL(remove(path), 0);
	snprintf(path, sizeof(path), "%s/huge.cfg", scratch);
	put("huge.cfg", "");
	CU_ASSERT_EQUAL(truncate(path, TLS_CONFIG_FILE_MAX + 1), 0);
	CU_ASSERT_EQUAL(tls_config_load(path, NULL, "", NULL, NULL, &d, &err),
			TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(remove(path), 0);
	snprintf(path, sizeof(path), "%s/dangling.cfg", scratch);
	CU_ASSERT_EQUAL(symlink("/does/not/exist", path), 0);
	CU_ASSERT_EQUAL(load(&d, &err), TLS_RC_IO); /* not skipped silently */
	CU_ASSERT_EQUAL(remove(path), 0);
	CU_ASSERT_EQUAL(rmdir(scratch), 0);
	sample_path("bad_encoding.raw", path, sizeof(path));
	CU_ASSERT_EQUAL(tls_config_load(path, NULL, ".", NULL, NULL, &d, &err),
			TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

/* Every allocation of a load of a directory fails once. */
static void survives_every_failed_allocation(void)
{
	static const char *const names[] = {"1.cfg", "2.cfg", "3.cfg", "4.cfg",
			"5.cfg", "6.cfg", "7.cfg", "8.cfg", "9.cfg"};
	struct tls_domains *d;
	struct tls_err err;
	unsigned long k;
	enum tls_rc rc;
	char text[200];
	size_t i;

	port_stub_reset();
	make_scratch();
	for(i = 0; i < N(names); i++) {
		snprintf(text, sizeof(text),
				"[server:192.0.2.%zu:1]\ncertificate=c\nserver_name=a.b\n"
				"private_key_password=p\n[client:any]\nserver_id=i%zu\n",
				i, i);
		put(names[i], text);
	}
	for(k = 1;; k++) {
		port_stub_fail_at(k);
		rc = load(&d, &err);
		if(!port_stub_failed())
			break;
		CU_ASSERT_EQUAL(rc, TLS_RC_NOMEM);
		CU_ASSERT_EQUAL(err.rc, TLS_RC_NOMEM);
		CU_ASSERT_PTR_NULL(d);
		CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	}
	port_stub_fail_at(0);
	CU_ASSERT_EQUAL(rc, TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_domains_count(d), 20);
	CU_ASSERT_TRUE(k > 100);
	tls_domains_unref(&d);
	for(i = 0; i < N(names); i++)
		drop(names[i]);
	CU_ASSERT_EQUAL(rmdir(scratch), 0);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

void test_config_add(void)
{
	CU_pSuite suite = CU_add_suite("config", NULL, NULL);

	CU_add_test(suite, "loads and refuses the samples", loads_samples);
	CU_add_test(suite, "loads the shipped sample", loads_the_shipped_sample);
	CU_add_test(suite, "has every value", has_every_value);
	CU_add_test(suite, "fills holes", fills_holes);
	CU_add_test(suite, "fills files", fills_files);
	CU_add_test(suite, "takes the modparams alone", takes_modparams_alone);
	CU_add_test(suite, "hides passwords", hides_passwords);
	CU_add_test(suite, "counts errors", counts_errors);
	CU_add_test(suite, "warns", warns);
	CU_add_test(suite, "takes long values", takes_long_values);
	CU_add_test(suite, "loads directories", loads_directories);
	CU_add_test(suite, "includes files", includes_files);
	CU_add_test(suite, "knows places", knows_places);
	CU_add_test(suite, "refuses what it cannot read", refuses_unreadable);
	CU_add_test(suite, "survives every failed allocation",
			survives_every_failed_allocation);
}
