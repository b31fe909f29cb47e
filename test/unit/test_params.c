/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_params: words, ranges, defaults, copies, the path rule.
 * Memory comes from the stub, which counts it and lets it fail.
 * Run by test/unit/main.c. */
#include <stdio.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "../../tls_params.h"
#include "../../tls_port.h"
#include "../lib/port_stub.h"

void test_params_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))

struct method_row
{
	const char *word;
	int min; /* -1 = refused */
	int max;
	const char *text;
	const char *why;
};

static const struct method_row methods[] = {
		{"", -1, 0, NULL, "empty"},
		{"SSLv2", -1, 0, NULL, "RFC 6176"},
		{"SSLv3", -1, 0, NULL, "RFC 7568"},
		{"sslv3", -1, 0, NULL, "in any case"},
		{"SSLv23+", -1, 0, NULL, "no such word"},
		{"TLSv1.4", -1, 0, NULL, "not yet"},
		{"TLSv1.", -1, 0, NULL, "half a word"},
		{"TLSv1.22", -1, 0, NULL, "too many digits"},
		{"TLSv2", -1, 0, NULL, "no such version"},
		{"TLSv1.2++", -1, 0, NULL, "two signs"},
		{"TLSv1.2-", -1, 0, NULL, "half a range"},
		{"-TLSv1.2", -1, 0, NULL, "other half"},
		{"TLSv1.3-TLSv1.2", -1, 0, NULL, "upside down"},
		{"TLSv1.2-TLSv1.3+", -1, 0, NULL, "range and sign"},
		{"TLSv1.2 ", -1, 0, NULL, "blank"},
		{"TLSv1.2-1.3", -1, 0, NULL, "half a word in a range"},
		{"1.2", -1, 0, NULL, "number alone"},
		{"TLSv1", 0x301, 0x301, "TLSv1.0", "exact"},
		{"TLSv1.0", 0x301, 0x301, "TLSv1.0", "exact"},
		{"TLSv1+", 0x301, 0, "TLSv1.0+", "explicit old word is honoured"},
		{"TLSv1.0+", 0x301, 0, "TLSv1.0+", "explicit old word"},
		{"TLSv1.1", 0x302, 0x302, "TLSv1.1", "exact"},
		{"TLSv1.1+", 0x302, 0, "TLSv1.1+", "or newer"},
		{"TLSv1.2", 0x303, 0x303, "TLSv1.2", "exact"},
		{"TLSv1.2+", 0x303, 0, "TLSv1.2+", "or newer"},
		{"TLSv1.3", 0x304, 0x304, "TLSv1.3", "exact"},
		{"TLSv1.3+", 0x304, 0, "TLSv1.3+", "or newer"},
		{"tlsV1.3+", 0x304, 0, "TLSv1.3+", "without case"},
		{"TLSv1.2-TLSv1.3", 0x303, 0x304, "TLSv1.2-TLSv1.3", "range"},
		{"TLSv1-TLSv1.2", 0x301, 0x303, "TLSv1.0-TLSv1.2", "range"},
		{"TLSv1.2-TLSv1.2", 0x303, 0x303, "TLSv1.2", "range of one"},
		{"SSLv23", 0x303, 0, "TLSv1.2+", "flexible, with a floor"},
		{"sslV23", 0x303, 0, "TLSv1.2+", "without case"},
};

static void reads_methods(void)
{
	char text[TLS_METHOD_TEXT_MAX];
	struct tls_method method, again;
	struct tls_err err;
	enum tls_rc rc;
	size_t i;

	for(i = 0; i < N(methods); i++) {
		method = (struct tls_method){TLS_VERSION_1_1, TLS_VERSION_1_1};
		rc = tls_params_parse_method(methods[i].word, &method, &err);
		if(methods[i].min < 0) {
			if(rc != TLS_RC_CONFIG)
				printf("\"%s\": %s\n", methods[i].word, methods[i].why);
			CU_ASSERT_EQUAL(rc, TLS_RC_CONFIG);
			CU_ASSERT_PTR_NOT_NULL(strstr(err.text, methods[i].word));
			CU_ASSERT_EQUAL(method.min, TLS_VERSION_1_1);
			continue;
		}
		CU_ASSERT_EQUAL(rc, TLS_RC_OK);
		CU_ASSERT_EQUAL((int)method.min, methods[i].min);
		CU_ASSERT_EQUAL((int)method.max, methods[i].max);
		tls_params_method_text(&method, text);
		CU_ASSERT_STRING_EQUAL(text, methods[i].text);
		CU_ASSERT_EQUAL(tls_params_parse_method(text, &again, NULL), TLS_RC_OK);
		CU_ASSERT_EQUAL(again.min, method.min);
		CU_ASSERT_EQUAL(again.max, method.max);
	}
	method = (struct tls_method){TLS_VERSION_NONE, TLS_VERSION_NONE};
	CU_ASSERT_STRING_EQUAL(tls_params_method_text(&method, text), "any");
}

static void reads_bools(void)
{
	static const char *const bad[] = {"", "2", "-1", "y", "n", "yess", "o",
			" yes", "yes ", "01", "tru", "\xff"};
	static const char *const yes[] = {
			"yes", "TRUE", "Enable", "enabled", "1", "oN"};
	static const char *const no[] = {
			"no", "False", "disable", "DISABLED", "0", "off"};
	struct tls_err err;
	int value;
	size_t i;

	for(i = 0; i < N(bad); i++) {
		value = 7;
		CU_ASSERT_EQUAL(
				tls_params_parse_bool(bad[i], &value, &err), TLS_RC_CONFIG);
		CU_ASSERT_EQUAL(value, 7);
		CU_ASSERT_NOT_EQUAL(err.text[0], 0);
	}
	for(i = 0; i < N(yes); i++) {
		value = 7;
		CU_ASSERT_EQUAL(tls_params_parse_bool(yes[i], &value, NULL), 0);
		CU_ASSERT_EQUAL(value, 1);
		CU_ASSERT_EQUAL(tls_params_parse_bool(no[i], &value, NULL), 0);
		CU_ASSERT_EQUAL(value, 0);
	}
}

static void reads_numbers(void)
{
	static const char *const bad[] = {"", "-", "+", "x", "1x", "0x1", " 1",
			"1 ", "1.0", "101", "-1", "--1", "99999999999999999999999999",
			"2147483648", "4294967296", "18446744073709551616"};
	struct tls_err err;
	int value;
	size_t i;

	for(i = 0; i < N(bad); i++) {
		value = 7;
		CU_ASSERT_EQUAL(tls_params_parse_int(bad[i], 0, 100, &value, &err),
				TLS_RC_CONFIG);
		CU_ASSERT_EQUAL(value, 7);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "0 to 100"));
	}
	CU_ASSERT_EQUAL(tls_params_parse_int("100", 0, 100, &value, NULL), 0);
	CU_ASSERT_EQUAL(value, 100);
	CU_ASSERT_EQUAL(tls_params_parse_int("+007", 0, 100, &value, NULL), 0);
	CU_ASSERT_EQUAL(value, 7);
	CU_ASSERT_EQUAL(tls_params_parse_int("-0", 0, 100, &value, NULL), 0);
	CU_ASSERT_EQUAL(
			tls_params_parse_int("-2147483648", INT_MIN, INT_MAX, &value, NULL),
			0);
	CU_ASSERT_EQUAL(value, INT_MIN);
	CU_ASSERT_EQUAL(
			tls_params_parse_int("2147483647", INT_MIN, INT_MAX, &value, NULL),
			0);
	CU_ASSERT_EQUAL(value, INT_MAX);
}

static void reads_verify_words(void)
{
	static const char *const words[] = {
			"off", "on", "optional", "optional_no_ca"};
	static const char *const bad[] = {"", "yes", "1", "optional_", "offf"};
	enum tls_verify_client value;
	size_t i;

	for(i = 0; i < N(bad); i++)
		CU_ASSERT_EQUAL(tls_params_parse_verify_client(bad[i], &value, NULL),
				TLS_RC_CONFIG);
	for(i = 0; i < N(words); i++) {
		CU_ASSERT_EQUAL(
				tls_params_parse_verify_client(words[i], &value, NULL), 0);
		CU_ASSERT_EQUAL((size_t)value, i);
		CU_ASSERT_STRING_EQUAL(tls_params_verify_client_text(value), words[i]);
	}
	CU_ASSERT_EQUAL(
			tls_params_parse_verify_client("Optional_No_CA", &value, NULL), 0);
	CU_ASSERT_STRING_EQUAL(
			tls_params_verify_client_text((enum tls_verify_client)9),
			"unknown");
}

static void applies_path_rule(void)
{
	static const struct
	{
		const char *value, *base, *want, *why;
	} rows[] = {
			{"/etc/x.pem", "/cfg", "/etc/x.pem", "absolute"},
			{"/engine:label", "/cfg", "/engine:label", "engine key"},
			{"/uri:pkcs11:object=k", "/cfg", "/uri:pkcs11:object=k", "URI"},
			{"./x.pem", "/cfg", "./x.pem", "current directory"},
			{"../x.pem", "/cfg", "../x.pem", "above it"},
			{".hidden", "/cfg", ".hidden", "the rule looks at one byte"},
			{"x.pem", "/cfg", "/cfg/x.pem", "beside the main file"},
			{"x.pem", "/cfg/", "/cfg/x.pem", "one slash is enough"},
			{"a/x.pem", "/cfg", "/cfg/a/x.pem", "deeper"},
			{"x.pem", "/", "/x.pem", "root"},
			{"x.pem", "etc", "./etc/x.pem", "relative base, marked"},
			{"x.pem", ".", "./x.pem", "here"},
			{"x.pem", "", "./x.pem", "no base"},
			{"x.pem", NULL, "./x.pem", "no base"},
			{"", "/cfg", NULL, "not set"},
			{NULL, "/cfg", NULL, "not set"},
	};
	char *path, *again;
	size_t i;

	port_stub_reset();
	for(i = 0; i < N(rows); i++) {
		CU_ASSERT_EQUAL(tls_params_path(rows[i].value, rows[i].base, &path), 0);
		CU_ASSERT_EQUAL(tls_params_path(path, rows[i].base, &again), 0);
		if(rows[i].want) {
			CU_ASSERT_STRING_EQUAL(path, rows[i].want);
			CU_ASSERT_STRING_EQUAL(again, rows[i].want); /* twice is once */
		} else {
			CU_ASSERT_PTR_NULL(path);
			CU_ASSERT_PTR_NULL(again);
		}
		tls_port_free(path);
		tls_port_free(again);
	}
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void has_defaults(void)
{
	struct tls_profile_params p;
	struct tls_settings s;

	port_stub_reset();
	tls_params_profile_init(&p);
	/* what profile_init promises: it can not fail */
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	CU_ASSERT_EQUAL(p.method.min, TLS_VERSION_1_2);
	CU_ASSERT_EQUAL(p.method.max, TLS_VERSION_NONE);
	CU_ASSERT_EQUAL(p.verify_depth, 9);
	CU_ASSERT_PTR_NULL(p.certificate);
	CU_ASSERT_EQUAL(tls_params_check_profile(&p, NULL), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_params_settings_init(&s), TLS_RC_OK);
	CU_ASSERT_STRING_EQUAL(s.session_id, "kamailio-tls");
	CU_ASSERT_EQUAL(s.connection_timeout, 600);
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, NULL), TLS_RC_OK);
	tls_params_settings_clear(&s);
	tls_params_settings_clear(&s); /* twice does no harm */
	tls_params_settings_clear(NULL);
	tls_params_profile_clear(&p);
	tls_params_profile_clear(NULL);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_params_settings_init(&s), TLS_RC_NOMEM);
	CU_ASSERT_PTR_NULL(s.session_id);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void reads_alpn(void)
{
	static char many[400];
	static const struct
	{
		const char *text;
		const char *wire; /* NULL = refused */
		const char *why;
	} rows[] = {{"", NULL, "empty"}, {" , ", NULL, "separators only"},
			{"sip/2\x01", NULL, "control byte"}, {"s\xc3\xa9", NULL, "UTF-8"},
			{many, NULL, "longer than the wire takes"},
			{"sip/2", "\5sip/2", "IANA's id"},
			{"sip/2,http/1.1", "\5sip/2\10http/1.1", "list"},
			{"\thttp/1.1 ,, sip/2 ", "\10http/1.1\5sip/2", "blanks"}};
	unsigned char wire[TLS_PARAMS_ALPN_MAX];
	enum tls_rc rc;
	size_t i, n;

	memset(many, 'x', sizeof(many) - 1);
	for(i = 0; i < N(rows); i++) {
		n = 99;
		rc = tls_params_parse_alpn(rows[i].text, wire, &n, NULL);
		if((rc == TLS_RC_OK) != (rows[i].wire != NULL))
			printf("%s\n", rows[i].why);
		CU_ASSERT_EQUAL(rc, rows[i].wire != NULL ? TLS_RC_OK : TLS_RC_CONFIG);
		CU_ASSERT_EQUAL(n, rows[i].wire ? strlen(rows[i].wire) : 0);
		if(rows[i].wire)
			CU_ASSERT_EQUAL(memcmp(wire, rows[i].wire, n), 0);
	}
	many[TLS_PARAMS_ALPN_MAX - 1] = '\0'; /* as long as it may be */
	CU_ASSERT_EQUAL(tls_params_parse_alpn(many, wire, &n, NULL), TLS_RC_OK);
	CU_ASSERT_EQUAL(n, TLS_PARAMS_ALPN_MAX);
}

struct option_row
{
	const char *names[3];
	const char *value;
	const char *bad; /* a value that is refused, or NULL */
};

static const struct option_row options[] = {
		{{"method", "tls_method", "METHOD"}, "TLSv1.3", "SSLv3"},
		{{"verify_certificate", "verify_cert", "Verify_Cert"}, "on", "maybe"},
		{{"verify_depth", NULL, NULL}, "3", "101"},
		{{"require_certificate", "require_cert", NULL}, "yes", "x"},
		{{"verify_client", NULL, NULL}, "optional", "never"},
		{{"private_key", "pkey_file", NULL}, "k.pem", NULL},
		{{"private_key_password", "pkey_password", NULL}, "geheim", NULL},
		{{"ca_list", "calist_file", NULL}, "ca.pem", NULL},
		{{"ca_path", NULL, NULL}, "ca", NULL},
		{{"crl", NULL, NULL}, "crl.pem", NULL},
		{{"certificate", "cert_file", NULL}, "c.pem", NULL},
		{{"cipher_list", NULL, NULL}, "HIGH:!aNULL", NULL},
		{{"server_name", NULL, NULL}, "example.org", NULL},
		{{"server_name_mode", NULL, NULL}, "2", "3"},
		{{"server_id", NULL, NULL}, "trunk", NULL},
		{{"max_connections", NULL, NULL}, "2000", NULL},
		{{"certificate2", "cert_file2", NULL}, "c2.pem", NULL},
		{{"private_key2", "pkey_file2", NULL}, "k2.pem", NULL},
		{{"private_key_password2", "pkey_password2", NULL}, "geheim2", NULL},
		{{"verify_name", NULL, NULL}, "sip", NULL},
		{{"verify_name_wildcards", NULL, NULL}, "yes", "perhaps"},
		{{"peer_names", NULL, NULL}, "a.example, b.example", NULL},
		{{"verify_eku", NULL, NULL}, "sip", NULL},
		{{"peer_pin", NULL, NULL}, "00", NULL},
		{{"ciphersuites", NULL, NULL}, "TLS_AES_128_GCM_SHA256", NULL},
		{{"groups", "curves", NULL}, "X25519:P-256", NULL},
		{{"sigalgs", NULL, NULL}, "ECDSA+SHA256", NULL},
		{{"security_level", NULL, NULL}, "2", "6"},
		{{"dh_params", NULL, NULL}, "dh.pem", NULL},
		{{"crl_check", NULL, NULL}, "Leaf", "all"},
		{{"alpn", NULL, NULL}, "sip/2, http/1.1", ","},
		{{"session_tickets", NULL, NULL}, "off", "7"},
		{{"strict_sni", NULL, NULL}, "yes", "perhaps"},
		{{"sni", NULL, NULL}, "auto", "192.0.2.1"},
		{{"ocsp_file", NULL, NULL}, "o.der", NULL},
		{{"ocsp_file2", NULL, NULL}, "o2.der", NULL},
		{{"ocsp", NULL, NULL}, "Require", "yes"},
};

static enum tls_rc set_all(struct tls_profile_params *p, size_t column)
{
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	for(i = 0; !rc && i < N(options); i++) {
		if(options[i].names[column])
			rc = tls_params_set_profile_option(p, options[i].names[column],
					options[i].value, "/cfg", NULL);
	}
	return rc;
}

static void sets_every_option_by_every_name(void)
{
	struct tls_profile_params p;
	struct tls_err err;
	size_t column, i;

	port_stub_reset();
	CU_ASSERT_EQUAL(N(options), TLS_PROFILE_OPTION_COUNT);
	for(column = 0; column < 3; column++) {
		tls_params_profile_init(&p);
		CU_ASSERT_EQUAL(set_all(&p, column), TLS_RC_OK);
		CU_ASSERT_EQUAL(p.method.min, TLS_VERSION_1_3);
		CU_ASSERT_EQUAL(p.verify_certificate, 1);
		if(column < 2)
			CU_ASSERT_STRING_EQUAL(p.certificate, "/cfg/c.pem");
		tls_params_profile_clear(&p);
	}
	tls_params_profile_init(&p);
	for(i = 0; i < N(options); i++) {
		CU_ASSERT_STRING_EQUAL(tls_params_profile_name(i), options[i].names[0]);
		if(!options[i].bad)
			continue;
		CU_ASSERT_EQUAL(tls_params_set_profile_option(&p, options[i].names[0],
								options[i].bad, "/cfg", &err),
				TLS_RC_CONFIG);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, options[i].bad));
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, options[i].names[0]));
	}
	CU_ASSERT_EQUAL(
			tls_params_set_profile_option(&p, "colour", "red", NULL, &err),
			TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "colour"));
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
	CU_ASSERT_STRING_EQUAL(tls_params_profile_name(999), "unknown");
	CU_ASSERT_FALSE(tls_params_profile_is_secret(999));
	CU_ASSERT_TRUE(tls_params_profile_is_secret(
			TLS_PROFILE_OPTION_private_key_password));
	CU_ASSERT_TRUE(tls_params_profile_is_secret(
			TLS_PROFILE_OPTION_private_key_password2));
	CU_ASSERT_FALSE(
			tls_params_profile_is_secret(TLS_PROFILE_OPTION_private_key));
}

static void copies_deep_or_not_at_all(void)
{
	struct tls_profile_params from, to;
	unsigned long k;
	size_t blocks;

	port_stub_reset();
	tls_params_profile_init(&from);
	tls_params_profile_init(&to);
	CU_ASSERT_EQUAL(set_all(&from, 0), TLS_RC_OK);
	CU_ASSERT_EQUAL(
			tls_params_set_profile_option(&to, "crl", "/old", NULL, NULL),
			TLS_RC_OK);
	blocks = port_stub_live_blocks();
	for(k = 1;; k++) {
		port_stub_fail_at(k);
		if(!tls_params_profile_copy(&from, &to))
			break;
		CU_ASSERT_STRING_EQUAL(to.crl, "/old");
		CU_ASSERT_PTR_NULL(to.certificate);
		CU_ASSERT_EQUAL(port_stub_live_blocks(), blocks);
	}
	port_stub_fail_at(0);
	CU_ASSERT_EQUAL(k, 27); /* 26 strings */
	CU_ASSERT_STRING_EQUAL(to.certificate, "/cfg/c.pem");
	CU_ASSERT_PTR_NOT_EQUAL(to.certificate, from.certificate);
	CU_ASSERT_EQUAL(to.verify_client, TLS_VERIFY_CLIENT_OPTIONAL);
	CU_ASSERT_EQUAL(to.server_name_mode, 2);
	CU_ASSERT_FALSE(tls_params_profile_is_unset(&to, TLS_PROFILE_OPTION_crl));
	tls_params_profile_clear(&from);
	CU_ASSERT_TRUE(tls_params_profile_is_unset(&from, TLS_PROFILE_OPTION_crl));
	CU_ASSERT_FALSE(
			tls_params_profile_is_unset(&from, TLS_PROFILE_OPTION_method));
	tls_params_profile_clear(&to);
	CU_ASSERT_EQUAL(
			tls_params_profile_copy_option(999, &from, &to), TLS_RC_BUG);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

/* A failed set leaves the old value; empty text is no value. */
static void sets_or_leaves(void)
{
	struct tls_profile_params p;

	port_stub_reset();
	tls_params_profile_init(&p);
	CU_ASSERT_EQUAL(set_all(&p, 0), TLS_RC_OK);
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_params_set_profile_option(
							&p, "certificate", "new.pem", "/cfg", NULL),
			TLS_RC_NOMEM);
	CU_ASSERT_STRING_EQUAL(p.certificate, "/cfg/c.pem");
	port_stub_fail_at(1);
	CU_ASSERT_EQUAL(tls_params_set_profile_option(
							&p, "pkey_password", "new", "/cfg", NULL),
			TLS_RC_NOMEM);
	CU_ASSERT_STRING_EQUAL(p.private_key_password, "geheim");
	CU_ASSERT_EQUAL(
			tls_params_set_profile_option(&p, "certificate", "", "/cfg", NULL),
			TLS_RC_OK);
	CU_ASSERT_PTR_NULL(p.certificate);
	tls_params_profile_clear(&p);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void checks_ranges(void)
{
	static const int fragments[][2] = {{-2, 0}, {-1, 1}, {0, 0}, {1, 0},
			{511, 0}, {512, 1}, {16384, 1}, {16385, 0}};
	static char engine[24], id[40];
	struct tls_settings s;
	struct tls_profile_params p;
	struct tls_err err;
	char *default_id;
	size_t i;

	port_stub_reset();
	CU_ASSERT_EQUAL(tls_params_settings_init(&s), TLS_RC_OK);
	default_id = s.session_id;
	for(i = 0; i < N(fragments); i++) {
		s.ssl_max_send_fragment = fragments[i][0];
		CU_ASSERT_EQUAL(!tls_params_check_settings(&s, &err), fragments[i][1]);
	}
	s.ssl_max_send_fragment = -1;
	s.connection_timeout = -77;
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL(s.connection_timeout, -1);
	s.ct_wq_blk_size = 0;
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ct_wq_blk_size = 0"));
	s.ct_wq_blk_size = 65536;
	s.low_mem_threshold1 = -2;
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, NULL), TLS_RC_CONFIG);
	s.low_mem_threshold1 = 0;
	memset(id, 'i', 33);
	s.session_id = id;
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, NULL), TLS_RC_CONFIG);
	id[32] = '\0';
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, NULL), TLS_RC_OK);
	s.session_id = default_id;
	s.rand_engine = engine;
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, NULL), TLS_RC_OK);
	snprintf(engine, sizeof(engine), "dice");
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "dice"));
	snprintf(engine, sizeof(engine), "krand");
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, NULL), TLS_RC_OK);
	snprintf(engine, sizeof(engine), "KXlibssl");
	CU_ASSERT_EQUAL(tls_params_check_settings(&s, NULL), TLS_RC_OK);
	s.rand_engine = NULL;
	tls_params_settings_clear(&s);
	tls_params_profile_init(&p);
	p.verify_depth = 101;
	CU_ASSERT_EQUAL(tls_params_check_profile(&p, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "verify_depth = 101"));
	p.verify_depth = 100;
	p.verify_client = (enum tls_verify_client)4;
	CU_ASSERT_EQUAL(tls_params_check_profile(&p, NULL), TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

struct path_row
{
	const char *reason;
	const char *path, *shown;
};

static const struct path_row path_rows[] = {
		{"a PIN at the end", "/uri:pkcs11:token=a?pin-value=1234",
				"/uri:pkcs11:token=a?pin-value=..."},
		{"whatever its case", "/uri:pkcs11:token=a?PIN-Value=1234",
				"/uri:pkcs11:token=a?PIN-Value=..."},
		{"more behind it", "/engine:pkcs11:pin-value=1234;object=b",
				"/engine:pkcs11:pin-value=...;object=b"},
		{"none", "/uri:file:/etc/key.pem", "/uri:file:/etc/key.pem"},
		{"a file is no token", "/etc/pin-value=1.pem", "/etc/pin-value=1.pem"},
		{"nothing", "", ""}};

static void test_path_text(void)
{
	char text[64];
	size_t i;

	for(i = 0; i < sizeof(path_rows) / sizeof(path_rows[0]); i++) {
		const struct path_row *row = &path_rows[i];

		if(strcmp(tls_params_path_text(row->path, text, sizeof(text)),
				   row->shown)
				!= 0)
			CU_FAIL(row->reason);
	}
	CU_ASSERT_STRING_EQUAL(
			tls_params_path_text(path_rows[0].path, text, 6), "/uri:");
}

void test_params_add(void)
{
	CU_pSuite suite = CU_add_suite("params", NULL, NULL);

	CU_add_test(suite, "paths without PINs", test_path_text);
	CU_add_test(suite, "reads lists of protocols", reads_alpn);
	CU_add_test(suite, "reads methods", reads_methods);
	CU_add_test(suite, "reads bools", reads_bools);
	CU_add_test(suite, "reads numbers", reads_numbers);
	CU_add_test(suite, "reads verify_client words", reads_verify_words);
	CU_add_test(suite, "applies the path rule", applies_path_rule);
	CU_add_test(suite, "has the documented defaults", has_defaults);
	CU_add_test(suite, "sets every option by every name",
			sets_every_option_by_every_name);
	CU_add_test(suite, "copies deep or not at all", copies_deep_or_not_at_all);
	CU_add_test(suite, "sets or leaves", sets_or_leaves);
	CU_add_test(suite, "checks ranges", checks_ranges);
}
