/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_cfgfile: every lexical rule, every error with its place.
 * Needs no memory and no other room.
 * Run by test/unit/main.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "../../tls_cfgfile.h"

void test_cfgfile_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))
#define TEXT(text_) text_, sizeof(text_) - 1

/* Reads all of TEXT into "[type|address]name=value;" and "!line:col;". */
static const char *dump(const char *text, size_t len)
{
	static char out[20000];
	struct tls_cfgfile_item item;
	struct tls_cfgfile f;
	struct tls_err err;
	size_t n = 0, rounds = 0;
	/* an exact heap copy: reading behind the end is seen by the sanitizer */
	char *copy = malloc(len ? len : 1);

	memcpy(copy, text, len);
	out[0] = '\0';
	tls_cfgfile_init(&f, copy, len);
	for(;;) {
		CU_ASSERT_FATAL(rounds++ <= len + 1);
		if(tls_cfgfile_next(&f, &item, &err)) {
			CU_ASSERT_EQUAL(err.rc, TLS_RC_CONFIG);
			n += (size_t)snprintf(out + n, sizeof(out) - n, "!%u:%u;",
					f.error_pos.line, f.error_pos.col);
		} else if(item.kind == TLS_CFGFILE_SECTION) {
			n += (size_t)snprintf(
					out + n, sizeof(out) - n, "[%s|%s]", item.name, item.value);
		} else if(item.kind == TLS_CFGFILE_OPTION) {
			CU_ASSERT_EQUAL(strlen(item.value), item.value_len);
			n += (size_t)snprintf(
					out + n, sizeof(out) - n, "%s=%s;", item.name, item.value);
		} else if(item.kind == TLS_CFGFILE_INCLUDE) {
			n += (size_t)snprintf(out + n, sizeof(out) - n, "<%s>", item.value);
		} else {
			break;
		}
	}
	CU_ASSERT_EQUAL(tls_cfgfile_next(&f, &item, NULL), TLS_RC_OK);
	CU_ASSERT_EQUAL(item.kind, TLS_CFGFILE_END); /* and again */
	free(copy);
	return out;
}

struct row
{
	const char *text;
	size_t len;
	const char *want;
	const char *why;
};

static const struct row rows[] = {
		/* hostile and wrong */
		{TEXT("a=b\0c"), "!1:4;", "NUL in a value"},
		{TEXT("a=\"b\0c\""), "!1:5;", "NUL in quotes"},
		{TEXT("\0"), "!1:1;", "NUL alone"},
		{TEXT("[server:10.0.0.1\0:1]"), "!1:17;", "NUL in a header"},
		{TEXT("a=b\x01"), "!1:4;", "control byte"},
		{TEXT("a=\"b\x1b\""), "!1:5;", "escape byte in quotes"},
		{TEXT("\xff\xfe"), "!1:1;", "another encoding"},
		{TEXT("a"), "!1:2;", "no ="},
		{TEXT("a\nb=c"), "!1:2;b=c;", "no =, the next line is read"},
		{TEXT("a="), "!1:3;", "no value"},
		{TEXT("a=\nb=c"), "!1:3;b=c;", "no value, the next line is no value"},
		{TEXT("a= # c\nb=c"), "!1:4;b=c;", "a comment is no value"},
		{TEXT("=b"), "!1:1;", "no name"},
		{TEXT("a-b=c"), "!1:2;", "'-' is no part of a name"},
		{TEXT("a=b c"), "!1:5;", "two values"},
		{TEXT("a=\"b\" c"), "!1:7;", "text behind a quoted value"},
		{TEXT("a=\"b\"c"), "!1:6;", "text right behind a quote"},
		{TEXT("a=\"b"), "!1:3;", "quote not closed: place of the quote"},
		{TEXT("a=\"b\nc=d\""), "!1:3;c=d\";", "a quote ends on its line"},
		{TEXT("a=\"\\"), "!1:4;", "backslash at the end, quoted"},
		{TEXT("a=\\"), "!1:3;", "backslash at the end"},
		{TEXT("a=b\\x"), "!1:4;", "unknown escape"},
		{TEXT("a=\"b\\x\""), "!1:5;", "unknown escape, quoted"},
		{TEXT("a=\"b\\#\""), "!1:5;", "\\# is for unquoted values"},
		{TEXT("a=\"b\\ \""), "!1:5;", "backslash-space likewise"},
		{TEXT("[]"), "!1:2;", "empty header"},
		{TEXT("[server]"), "!1:8;", "no address"},
		{TEXT("[server:"), "!1:9;", "not closed"},
		{TEXT("[server:default"), "!1:16;", "not closed"},
		{TEXT("[server:default\na=b"), "!1:16;a=b;", "not closed on its line"},
		{TEXT("[server:default] a=b"), "!1:18;", "alone on its line"},
		{TEXT("[server:[::1:1]"), "!1:16;", "inner bracket not closed"},
		{TEXT("[server:1[::1]:1]"), "!1:10;", "bracket in the middle"},
		{TEXT("[server:10.0.0.1 0:1]"), "!1:18;", "blank would join digits"},
		{TEXT("[server:\"default\"]"), "!1:9;", "no quotes in a header"},
		{TEXT("[ser ver:default]"), "!1:6;", "blank in the type"},
		{TEXT("]"), "!1:1;", "stray bracket"},
		{TEXT("\n\n  ?\na=b"), "!3:3;a=b;", "line and column"},
		{TEXT("a=1\r\n?\r\nb=2\r\n"), "a=1;!2:1;b=2;", "CRLF positions"},
		{TEXT("a=x\\\ny\n?"), "a=xy;!3:1;", "lines go on behind \\"},
		{TEXT("include"), "!1:8;", "include nothing"},
		{TEXT("include \"a"), "!1:9;", "quote not closed"},
		{TEXT("include a b"), "!1:11;", "two files"},
		{TEXT("includes a"), "!1:10;", "another word"},
		/* good */
		{TEXT("include a"), "<a>", "include"},
		{TEXT("Include \"a b\" # c\nx=y"), "<a b>x=y;", "quoted, comment"},
		{TEXT("include = a"), "include=a;", "an option of that name"},
		{TEXT(""), "", "empty"},
		{TEXT("\n \t\r\n"), "", "blanks"},
		{TEXT("# only"), "", "comment without line end"},
		{TEXT("# a\\\nb=c"), "b=c;", "a comment ends with its line"},
		{TEXT("a=b"), "a=b;", "no line end"},
		{TEXT("  a \t=\t b  "), "a=b;", "blanks around"},
		{TEXT("a=b#c"), "a=b;", "comment right behind"},
		{TEXT("a=\"b\"#c"), "a=b;", "comment behind a quote"},
		{TEXT("a=\"b # c\""), "a=b # c;", "no comment in quotes"},
		{TEXT("a=b\\#c"), "a=b#c;", "escaped hash"},
		{TEXT("a=\\#c"), "a=#c;", "escaped hash in front"},
		{TEXT("a=b\\ c"), "a=b c;", "escaped blank"},
		{TEXT("a=\"\""), "a=;", "empty value"},
		{TEXT("a='b'"), "a='b';", "single quotes are ordinary"},
		{TEXT("a=b\"c\""), "a=b\"c\";", "quotes inside are ordinary"},
		{TEXT("a=b=c:[d].e/f@g"), "a=b=c:[d].e/f@g;", "delimiters inside"},
		{TEXT("a=\"b\\\\c\\\"d\\n\\r\\te\""), "a=b\\c\"d\n\r\te;",
				"all escapes, quoted"},
		{TEXT("a=b\\\\c\\\"d\\n\\r\\te"), "a=b\\c\"d\n\r\te;",
				"all escapes, unquoted"},
		{TEXT("a=\"b\\\nc\""), "a=bc;", "continuation in quotes"},
		{TEXT("a=b\\\nc"), "a=bc;", "continuation"},
		{TEXT("a=\\\n  b"), "a=b;", "continuation before the value"},
		{TEXT("a\\\n=b"), "a=b;", "continuation before ="},
		{TEXT("a=b\\\r\nc\r\n"), "a=bc;", "continuation with CRLF"},
		{TEXT("a=\"b\tc\""), "a=b\tc;", "tab in quotes"},
		{TEXT("a=/caf\xc3\xa9.pem"), "a=/caf\xc3\xa9.pem;", "UTF-8 path"},
		{TEXT("A_1=B"), "A_1=B;", "case is kept"},
		{TEXT("[server:default]\r\na=b\r\n"), "[server|default]a=b;", "CRLF"},
		{TEXT(" [ server : 10.0.0.1 : 5061 ] # c\n"), "[server|10.0.0.1:5061]",
				"blanks in a header"},
		{TEXT("[server:[2001:db8::1]:5061]"), "[server|[2001:db8::1]:5061]",
				"IPv6"},
		{TEXT("[s:*]"), "[s|*]", "star"},
		{TEXT("[s:]"), "[s|]", "an empty address is for tls_config"},
		{TEXT("[:]"), "!1:2;", "no type"},
};

static void reads_every_rule(void)
{
	const char *got;
	size_t i;

	for(i = 0; i < N(rows); i++) {
		got = dump(rows[i].text, rows[i].len);
		if(strcmp(got, rows[i].want))
			printf("row %zu (%s): %s\n", i, rows[i].why, got);
		CU_ASSERT_STRING_EQUAL(got, rows[i].want);
	}
}

/* Every cut of every row ends, and never reads behind the end. */
static void survives_every_cut(void)
{
	size_t i, len;

	for(i = 0; i < N(rows); i++) {
		for(len = 0; len < rows[i].len; len++)
			dump(rows[i].text, len);
	}
}

static void keeps_value_limit(void)
{
	static const char *const frames[][2] = {
			{"a=", "\nb=c"}, {"a=\"", "\"\nb=c"}};
	static char text[5000];
	struct tls_cfgfile_item item;
	struct tls_cfgfile f;
	size_t i, n, len;

	for(i = 0; i < N(frames); i++) {
		for(n = TLS_CFGFILE_VALUE_MAX; n <= TLS_CFGFILE_VALUE_MAX + 1; n++) {
			len = strlen(frames[i][0]);
			memcpy(text, frames[i][0], len);
			memset(text + len, 'x', n);
			len += n;
			snprintf(text + len, sizeof(text) - len, "%s", frames[i][1]);
			len += strlen(frames[i][1]);
			tls_cfgfile_init(&f, text, len);
			if(n <= TLS_CFGFILE_VALUE_MAX) {
				CU_ASSERT_EQUAL(tls_cfgfile_next(&f, &item, NULL), TLS_RC_OK);
				CU_ASSERT_EQUAL(item.value_len, n);
			} else {
				CU_ASSERT_EQUAL(
						tls_cfgfile_next(&f, &item, NULL), TLS_RC_CONFIG);
				CU_ASSERT_EQUAL(f.error_pos.line, 1);
				CU_ASSERT_EQUAL(item.value_len, 0);
			}
			CU_ASSERT_EQUAL(tls_cfgfile_next(&f, &item, NULL), TLS_RC_OK);
			CU_ASSERT_STRING_EQUAL(item.value, "c");
		}
	}
}

static void keeps_name_limit(void)
{
	char text[TLS_CFGFILE_NAME_MAX + 4];

	memset(text, 'n', sizeof(text));
	memcpy(text + TLS_CFGFILE_NAME_MAX, "=v", 2);
	CU_ASSERT_STRING_NOT_EQUAL(dump(text, TLS_CFGFILE_NAME_MAX + 2), "!1:64;");
	memset(text, 'n', sizeof(text));
	memcpy(text + TLS_CFGFILE_NAME_MAX + 1, "=v", 2);
	CU_ASSERT_STRING_EQUAL(dump(text, TLS_CFGFILE_NAME_MAX + 3), "!1:64;");
}

static void says_nothing_of_values(void)
{
	static const char *const texts[] = {"p = geheim geheim", "p = geh\\eim",
			"p = \"geheim", "p = \"geheim\" geheim", "p = \"geh\\eim\""};
	struct tls_cfgfile_item item;
	struct tls_cfgfile f;
	struct tls_err err;
	size_t i;

	for(i = 0; i < N(texts); i++) {
		tls_cfgfile_init(&f, texts[i], strlen(texts[i]));
		CU_ASSERT_EQUAL(tls_cfgfile_next(&f, &item, &err), TLS_RC_CONFIG);
		CU_ASSERT_PTR_NULL(strstr(err.text, "geh"));
		CU_ASSERT_EQUAL(item.value[0], 0);
	}
}

void test_cfgfile_add(void)
{
	CU_pSuite suite = CU_add_suite("cfgfile", NULL, NULL);

	CU_add_test(suite, "reads every rule", reads_every_rule);
	CU_add_test(suite, "survives every cut", survives_every_cut);
	CU_add_test(suite, "keeps the limit of values", keeps_value_limit);
	CU_add_test(suite, "keeps the limit of names", keeps_name_limit);
	CU_add_test(suite, "says nothing of values", says_nothing_of_values);
}
