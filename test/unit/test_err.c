/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_err: what a hostile or too long text may do to a sentence. */
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_err.h"

void test_err_add(void);

struct clean_row
{
	const char *in;
	const char *want;
	const char *reason;
};

static const struct clean_row clean_rows[] = {
		{"a\nERROR: forged", "a?ERROR: forged", "no second log line"},
		{"a\r\nb", "a??b", "nor with CR LF"},
		{"\x1b[2J", "?[2J", "terminal escapes stay out of the terminal"},
		{"\x7f\x80\xff", "???", "DEL and bytes with the high bit"},
		{"\xc3\xa9", "??", "UTF-8 is not ASCII"},
		{"\t", "?", "a tab moves columns of a log"},
		{"%s%n", "%s%n", "an argument is not a format"},
		{" ~", " ~", "first and last printable byte stay"},
		{"", "", "empty"},
};

static void test_clean(void)
{
	struct tls_err err;
	size_t i;

	for(i = 0; i < sizeof(clean_rows) / sizeof(clean_rows[0]); i++) {
		CU_ASSERT_EQUAL(tls_err_set(&err, TLS_RC_PEER, "%s", clean_rows[i].in),
				TLS_RC_PEER);
		CU_ASSERT_STRING_EQUAL(err.text, clean_rows[i].want);
		tls_err_clear(&err);
		tls_err_prefix(&err, "%s", clean_rows[i].in);
		CU_ASSERT_STRING_EQUAL(err.text, clean_rows[i].want);
	}
}

/* Texts of all lengths around the size of the object. */
static void test_cut(void)
{
	char in[TLS_ERR_TEXT_MAX + 3];
	struct tls_err err;
	size_t n, want;

	for(n = TLS_ERR_TEXT_MAX - 3; n < sizeof(in); n++) {
		memset(in, 'x', n);
		in[n] = '\0';
		want = n < TLS_ERR_TEXT_MAX ? n : TLS_ERR_TEXT_MAX - 1;
		tls_err_set(&err, TLS_RC_IO, "%s", in);
		CU_ASSERT_EQUAL(strlen(err.text), want);
		tls_err_set(&err, TLS_RC_IO, "tail");
		tls_err_prefix(&err, "%s", in);
		CU_ASSERT_EQUAL(strlen(err.text), TLS_ERR_TEXT_MAX - 1);
		CU_ASSERT_EQUAL(err.text[0], 'x');
	}
}

static void test_prefix(void)
{
	char full[TLS_ERR_TEXT_MAX];
	struct tls_err err;

	memset(full, 'y', sizeof(full) - 1);
	full[sizeof(full) - 1] = '\0';
	tls_err_set(&err, TLS_RC_IO, "%s", full);
	tls_err_prefix(&err, "file %d: ", 7);
	CU_ASSERT_EQUAL(strlen(err.text), TLS_ERR_TEXT_MAX - 1);
	CU_ASSERT_NSTRING_EQUAL(err.text, "file 7: yyy", 11);
	CU_ASSERT_EQUAL(err.rc, TLS_RC_IO);

	tls_err_set(&err, TLS_RC_CONFIG, "no such file");
	tls_err_prefix(&err, "profile %s: ", "a");
	tls_err_prefix(&err, "reload: ");
	CU_ASSERT_STRING_EQUAL(err.text, "reload: profile a: no such file");
	CU_ASSERT_EQUAL(err.rc, TLS_RC_CONFIG);
}

/* An argument may be the text that is being replaced. */
static void test_own_text(void)
{
	struct tls_err err;

	tls_err_set(&err, TLS_RC_IO, "inner");
	tls_err_set(&err, TLS_RC_TLS, "outer (%s)", err.text);
	CU_ASSERT_STRING_EQUAL(err.text, "outer (inner)");
	tls_err_prefix(&err, "%s <- ", err.text);
	CU_ASSERT_STRING_EQUAL(err.text, "outer (inner) <- outer (inner)");
}

static void test_null(void)
{
	tls_err_clear(NULL);
	tls_err_prefix(NULL, "x");
	CU_ASSERT_EQUAL(tls_err_set(NULL, TLS_RC_LIMIT, "x"), TLS_RC_LIMIT);
}

static void test_clear(void)
{
	struct tls_err err;

	memset(&err, 'z', sizeof(err));
	tls_err_clear(&err);
	CU_ASSERT_EQUAL(err.rc, TLS_RC_OK);
	CU_ASSERT_STRING_EQUAL(err.text, "");
}

static void test_names(void)
{
	int a, b;

	CU_ASSERT_STRING_EQUAL(tls_err_rc_name((enum tls_rc)99), "UNKNOWN");
	CU_ASSERT_STRING_EQUAL(tls_err_rc_name(TLS_RC_OK), "OK");
	CU_ASSERT_STRING_EQUAL(tls_err_rc_name(TLS_RC_NOMEM), "NOMEM");
	for(a = TLS_RC_OK; a <= TLS_RC_BUG; a++) {
		CU_ASSERT_STRING_NOT_EQUAL(tls_err_rc_name((enum tls_rc)a), "UNKNOWN");
		for(b = TLS_RC_OK; b < a; b++)
			CU_ASSERT_STRING_NOT_EQUAL(tls_err_rc_name((enum tls_rc)a),
					tls_err_rc_name((enum tls_rc)b));
	}
}

/* What is counted when nobody noted a cause, and what a cause does. */
static void test_causes(void)
{
	static const struct
	{
		enum tls_rc rc;
		enum tls_cause want;
	} rows[] = {{TLS_RC_OK, TLS_CAUSE_OTHER}, {TLS_RC_PEER, TLS_CAUSE_OTHER},
			{TLS_RC_AGAIN, TLS_CAUSE_OTHER}, {TLS_RC_NOMEM, TLS_CAUSE_MEMORY},
			{TLS_RC_LIMIT, TLS_CAUSE_LIMIT}, {TLS_RC_CLOSED, TLS_CAUSE_CLOSED},
			{TLS_RC_IO, TLS_CAUSE_CLOSED}, {TLS_RC_TLS, TLS_CAUSE_INTERNAL},
			{TLS_RC_CONFIG, TLS_CAUSE_INTERNAL},
			{TLS_RC_BUG, TLS_CAUSE_INTERNAL}};
	struct tls_err err;
	unsigned int i;

	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tls_err_set(&err, rows[i].rc, "x");
		CU_ASSERT_EQUAL(tls_err_cause(&err), rows[i].want);
		CU_ASSERT_EQUAL(
				tls_err_because(&err, TLS_RC_OK, TLS_CAUSE_VERSION), err.rc);
		CU_ASSERT_EQUAL(tls_err_cause(&err), TLS_CAUSE_VERSION);
		tls_err_prefix(&err, "y");
		CU_ASSERT_EQUAL(tls_err_cause(&err), TLS_CAUSE_VERSION);
	}
	tls_err_set(&err, TLS_RC_PEER, "another sentence");
	CU_ASSERT_EQUAL(tls_err_cause(&err), TLS_CAUSE_OTHER);
	CU_ASSERT_EQUAL(
			tls_err_because(NULL, TLS_RC_PEER, TLS_CAUSE_NAME), TLS_RC_PEER);
	for(i = 0; i <= TLS_CAUSE_COUNT; i++)
		CU_ASSERT(tls_err_cause_text((enum tls_cause)i)[0] != '\0');
}

void test_err_add(void)
{
	CU_pSuite suite = CU_add_suite("err", NULL, NULL);

	CU_add_test(suite, "peer bytes are cleaned", test_clean);
	CU_add_test(suite, "long texts are cut and terminated", test_cut);
	CU_add_test(suite, "prefixes keep the code", test_prefix);
	CU_add_test(suite, "own text as argument", test_own_text);
	CU_add_test(suite, "no object", test_null);
	CU_add_test(suite, "clear", test_clear);
	CU_add_test(suite, "causes", test_causes);
	CU_add_test(suite, "each code has its own name", test_names);
}
