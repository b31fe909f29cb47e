/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_name: hostile names first, then the matching modes.
 * Needs no memory and no other room.
 * Run by test/unit/main.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "../../tls_name.h"

void test_name_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))

struct bad_row
{
	const char *text;
	size_t len;
	const char *why;
};

#define TEXT(text_) text_, sizeof(text_) - 1

static const struct bad_row bad[] = {
		{TEXT(""), "empty"},
		{TEXT("."), "the root alone"},
		{TEXT(".."), "two dots"},
		{TEXT("example.org.."), "two dots at the end"},
		{TEXT(".example.org"), "empty first label"},
		{TEXT("a..b"), "empty label"},
		{TEXT("example.org\0.evil"), "NUL inside (CVE-2009-2408 kind)"},
		{TEXT("\0"), "NUL alone"},
		{TEXT("*.example.org"), "no wildcard syntax"},
		{TEXT("exa mple.org"), "blank"},
		{TEXT("example.org\n"), "line feed would forge a log line"},
		{TEXT("ex\xc3\xa4mple.org"), "UTF-8 instead of an A-label"},
		{TEXT("\xff\xff"), "hostile bytes"},
		{TEXT("example.org:5061"), "port"},
		{TEXT("[2001:db8::1]"), "IPv6"},
		{TEXT("sip/../x"), "path"},
		{TEXT("%s%n"), "format"},
		{TEXT("a\x7f"), "DEL"},
};

static void refuses(void)
{
	char out[TLS_NAME_MAX + 1];
	enum tls_rc rc;
	size_t i;

	for(i = 0; i < N(bad); i++) {
		snprintf(out, sizeof(out), "old");
		rc = tls_name_normalise(bad[i].text, bad[i].len, out);
		if(rc != TLS_RC_PEER)
			printf("accepted: %s\n", bad[i].why);
		CU_ASSERT_EQUAL(rc, TLS_RC_PEER);
		CU_ASSERT_EQUAL(out[0], 0);
	}
}

static void accepts_ldh_only(void)
{
	char out[TLS_NAME_MAX + 1], text[3];
	bool good;
	int c;

	for(c = 0; c < 256; c++) {
		text[0] = 'a';
		text[1] = (char)c;
		text[2] = 'b';
		good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
			   || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
		CU_ASSERT_EQUAL(tls_name_normalise(text, 3, out),
				good ? TLS_RC_OK : TLS_RC_PEER);
	}
}

static void keeps_limits(void)
{
	char text[300], out[TLS_NAME_MAX + 1];
	size_t i;

	for(i = 0; i < sizeof(text); i++)
		text[i] = i % 50 == 49 ? '.' : 'a';
	CU_ASSERT_EQUAL(tls_name_normalise(text, 255, out), TLS_RC_OK);
	CU_ASSERT_EQUAL(strlen(out), 255);
	CU_ASSERT_EQUAL(tls_name_normalise(text, 256, out), TLS_RC_PEER);
	CU_ASSERT_EQUAL(tls_name_normalise(text, 300, out), TLS_RC_PEER);
	text[255] = '.';
	CU_ASSERT_EQUAL(tls_name_normalise(text, 256, out), TLS_RC_OK);
	memset(text, 'a', sizeof(text));
	CU_ASSERT_EQUAL(tls_name_normalise(text, 63, out), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_name_normalise(text, 64, out), TLS_RC_PEER);
}

static void normalises(void)
{
	static const char *const rows[][2] = {{"Example.ORG", "example.org"},
			{"example.org.", "example.org"}, {"a", "a"},
			{"_sip._tls.Example.org", "_sip._tls.example.org"},
			{"xn--bcher-KVA.example", "xn--bcher-kva.example"},
			{"192.0.2.1", "192.0.2.1"}, {"-a-", "-a-"}};
	char out[TLS_NAME_MAX + 1];
	size_t i;

	for(i = 0; i < N(rows); i++) {
		CU_ASSERT_EQUAL(tls_name_normalise(rows[i][0], strlen(rows[i][0]), out),
				TLS_RC_OK);
		CU_ASSERT_STRING_EQUAL(out, rows[i][1]);
	}
}

static void knows_addresses(void)
{
	static const struct bad_row ips[] = {{TEXT("192.0.2.1"), "IPv4"},
			{TEXT("::1"), "IPv6"}, {TEXT("[2001:db8::1]"), "brackets"}};
	static const struct bad_row names[] = {{TEXT("192.0.2"), "three bytes"},
			{TEXT("192.0.2.1."), "dot"}, {TEXT("192.0.2.1\0"), "NUL"},
			{TEXT(""), "empty"}, {TEXT("[]"), "empty brackets"},
			{TEXT("example.org"), "name"}, {TEXT("[::1"), "open"},
			{TEXT("11111111111111111111111111111111111111111111111111"),
					"long"}};
	size_t i;

	for(i = 0; i < N(ips); i++)
		CU_ASSERT_TRUE(tls_name_is_ip(ips[i].text, ips[i].len));
	for(i = 0; i < N(names); i++)
		CU_ASSERT_FALSE(tls_name_is_ip(names[i].text, names[i].len));
}

struct match_row
{
	const char *name;
	const char *pattern;
	bool want[3]; /* by mode */
	const char *why;
};

static const struct match_row matches[] = {
		{"evilexample.org", "example.org", {0, 0, 0},
				"a suffix counts from a dot on only"},
		{".example.org", "example.org", {0, 0, 0}, "empty label in front"},
		{"example.org", "sip.example.org", {0, 0, 0}, "parent"},
		{"example.org.evil", "example.org", {0, 0, 0}, "prefix"},
		{"org", "example.org", {0, 0, 0}, "end of it"},
		{"a", "", {0, 0, 0}, "an empty pattern serves nobody"},
		{"", "", {0, 0, 0}, "not even the empty name"},
		{"", "a", {0, 0, 0}, "empty name"},
		{"example.org", "example.org", {1, 1, 0}, "itself"},
		{"sip.example.org", "example.org", {0, 1, 1}, "one label more"},
		{"a.b.c.example.org", "example.org", {0, 1, 1}, "any depth"},
		{"a.org", "org", {0, 1, 1}, "top level"},
};

static void matches_by_mode(void)
{
	size_t i;
	int mode;

	for(i = 0; i < N(matches); i++) {
		for(mode = 0; mode < 3; mode++) {
			if(tls_name_match(matches[i].name, matches[i].pattern, mode)
					!= matches[i].want[mode]) {
				printf("mode %d: %s\n", mode, matches[i].why);
				CU_FAIL("wrong match");
			}
		}
		CU_ASSERT_FALSE(tls_name_match(matches[i].name, matches[i].pattern, 3));
		CU_ASSERT_FALSE(
				tls_name_match(matches[i].name, matches[i].pattern, -1));
	}
}

/* ---- where a request goes ---- */

static void finds_targets(void)
{
	static const struct
	{
		const char *text;
		const char *want; /* NULL = none */
		const char *why;
	} rows[] = {{"", NULL, "nothing"}, {"\n", NULL, "an empty line"},
			{"\xff\xfe\n", NULL, "other bytes"},
			{"INVITE sip:a@b.example", NULL, "cut off"},
			{"INVITE sip:a@b.example\n", NULL, "no version"},
			{"SIP/2.0 200 OK\r\n", NULL, "a reply"},
			{"GET sip:x.example HTTP/1.1\r\n", NULL, "another protocol"},
			{"INVITE tel:+1234 SIP/2.0\r\n", NULL, "another scheme"},
			{"INVITE sip: SIP/2.0\r\n", NULL, "no host"},
			{"INVITE sip:a@ SIP/2.0\r\n", NULL, "no host behind @"},
			{"INVITE sip:192.0.2.1 SIP/2.0\r\n", NULL, "IPv4"},
			{"INVITE sip:a@[2001:db8::1]:5061 SIP/2.0\r\n", NULL, "IPv6"},
			{"INVITE sip:a@b_.exa mple SIP/2.0\r\n", NULL, "blank"},
			{"INVITE sip:b.example SIP/2.0\r\nRoute: <sip:r.ex", "b.example",
					"a header that is cut off does not count"},
			{"INVITE sip:b.example SIP/2.0\r\nRoute: sip:r.example;lr\r\n",
					"b.example", "a Route without brackets"},
			{"INVITE sip:b.example SIP/2.0\r\nRoute: <sip:r.example>\r\n",
					"b.example", "strict routing"},
			{"INVITE sip:b.example SIP/2.0\r\nRoute: <sip:192.0.2.1;lr>\r\n",
					NULL, "a Route that is an address hides the URI"},
			{"INVITE sip:b.example SIP/2.0\r\n\r\nRoute: "
			 "<sip:r.example;lr>\r\n",
					"b.example", "the body says nothing"},
			{"OPTIONS sip:b.example SIP/2.0\r\n", "b.example", "host alone"},
			{"OPTIONS SIPS:A%40@B.Example:5061;x=y SIP/2.0\n", "b.example",
					"all parts"},
			{"INVITE sip:b.example SIP/2.0\r\nVia: x\r\nROUTE: "
			 "<sip:p@r.example:5061;transport=tls;lr=on>, <sip:s.example;lr>"
			 "\r\nRoute: <sip:t.example;lr>\r\n",
					"r.example", "the first of several"}};
	char out[TLS_NAME_MAX + 1];
	enum tls_rc rc;
	size_t i;

	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].text);
		char *copy = malloc(n ? n : 1); /* exact: the sanitizer looks on */

		memcpy(copy, rows[i].text, n);
		rc = tls_name_sip_target(copy, n, out);
		if((rc == TLS_RC_OK) != (rows[i].want != NULL)
				|| strcmp(out, rows[i].want ? rows[i].want : ""))
			printf("%s: got \"%s\"\n", rows[i].why, out);
		CU_ASSERT_EQUAL(rc, rows[i].want ? TLS_RC_OK : TLS_RC_PEER);
		CU_ASSERT_STRING_EQUAL(out, rows[i].want ? rows[i].want : "");
		free(copy);
	}
}

void test_name_add(void)
{
	CU_pSuite suite = CU_add_suite("name", NULL, NULL);

	CU_add_test(suite, "finds the target of a request", finds_targets);
	CU_add_test(suite, "refuses hostile names", refuses);
	CU_add_test(suite, "accepts letters, digits, - and _", accepts_ldh_only);
	CU_add_test(suite, "keeps its limits", keeps_limits);
	CU_add_test(suite, "normalises", normalises);
	CU_add_test(suite, "knows addresses", knows_addresses);
	CU_add_test(suite, "matches by mode", matches_by_mode);
}
