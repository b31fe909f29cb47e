/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_addr: tables of texts that must and must not be read.
 * Needs no memory and no other room.
 * Run by test/unit/main.c. */
#include <stdio.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "../../tls_addr.h"

void test_addr_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))

struct bad_row
{
	const char *text;
	const char *why;
};

static const struct bad_row bad[] = {
		{"", "empty"},
		{":", "no host"},
		{":5061", "no host, but a port"},
		{"192.0.2.1", "the port is mandatory"},
		{"192.0.2.1:", "empty port"},
		{"192.0.2.1:65536", "port one too large"},
		{"192.0.2.1:99999999999999999999", "port that overflows"},
		{"192.0.2.1:-1", "sign"},
		{"192.0.2.1:+1", "sign"},
		{"192.0.2.1: 1", "blank in front of the port"},
		{"192.0.2.1:5061x", "rubbish behind the port"},
		{"192.0.2.1:0x10", "not decimal"},
		{"192.0.2.1:000001", "six digits"},
		{"192.0.2.256:5061", "byte out of range"},
		{"192.0.2:5061", "three bytes"},
		{"192.0.2.1.5:5061", "five bytes"},
		{"192.000.2.01:1", "leading zeros could be octal"},
		{"example.org:5061", "host names are not accepted"},
		{"tls:192.0.2.1:5061", "a listen line is not an address"},
		{"2001:db8::1:5061", "IPv6 without brackets is ambiguous"},
		{"[2001:db8::1]", "IPv6 without port"},
		{"[2001:db8::1]5061", "no colon behind the bracket"},
		{"[2001:db8::1:5061", "bracket not closed"},
		{"[]:5061", "empty brackets"},
		{"[192.0.2.1]:5061", "IPv4 in brackets"},
		{"[fe80::1%eth0]:5061", "scope id"},
		{"[1:2:3:4:5:6:7:8:9]:1", "nine groups"},
		{"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1",
				"longer than any address"},
		{"11111111111111111111111111111111111111111111111111111111:1",
				"longer than any address"},
		{" 192.0.2.1:5061", "blank in front"},
		{"\xff\xfe:1", "hostile bytes"},
};

struct good_row
{
	const char *text;
	const char *printed;
	int family;
	unsigned short port;
	const char *why;
};

static const struct good_row good[] = {
		{"192.0.2.1:5061", "192.0.2.1:5061", 4, 5061, "plain"},
		{"0.0.0.0:0", "0.0.0.0:0", 4, 0, "port 0 means any port"},
		{"255.255.255.255:65535", "255.255.255.255:65535", 4, 65535,
				"the largest"},
		{"192.0.2.1:05061", "192.0.2.1:5061", 4, 5061, "five digits"},
		{"[2001:DB8::1]:5061", "[2001:db8::1]:5061", 6, 5061, "upper case"},
		{"[2001:db8:0:0:0:0:0:1]:1", "[2001:db8::1]:1", 6, 1,
				"printed in its short form"},
		{"[::]:5061", "[::]:5061", 6, 5061, "unspecified"},
		{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]:1", 6, 1,
				"mapped stays IPv6"},
};

static void refuses(void)
{
	struct tls_addr addr;
	struct tls_err err;
	enum tls_rc rc;
	size_t i;

	for(i = 0; i < N(bad); i++) {
		memset(&addr, 0x55, sizeof(addr));
		rc = tls_addr_parse(bad[i].text, &addr, &err);
		if(rc != TLS_RC_CONFIG || !err.text[0])
			printf("accepted \"%s\": %s\n", bad[i].text, bad[i].why);
		CU_ASSERT_EQUAL(rc, TLS_RC_CONFIG);
		CU_ASSERT_NOT_EQUAL(err.text[0], 0);
		CU_ASSERT_EQUAL(addr.family, 0);
		CU_ASSERT_EQUAL(tls_addr_parse(bad[i].text, &addr, NULL), rc);
	}
}

static void reads_and_prints(void)
{
	char text[TLS_ADDR_TEXT_MAX];
	struct tls_addr addr, again;
	size_t i;

	for(i = 0; i < N(good); i++) {
		memset(&addr, 0x55, sizeof(addr)); /* unused bytes must become 0 */
		CU_ASSERT_EQUAL(tls_addr_parse(good[i].text, &addr, NULL), TLS_RC_OK);
		CU_ASSERT_EQUAL(addr.family, good[i].family);
		CU_ASSERT_EQUAL(addr.port, good[i].port);
		tls_addr_print(&addr, text, sizeof(text));
		CU_ASSERT_STRING_EQUAL(text, good[i].printed);
		CU_ASSERT_EQUAL(tls_addr_parse(text, &again, NULL), TLS_RC_OK);
		CU_ASSERT_TRUE(tls_addr_equal(&addr, &again));
	}
}

static void prints_into_too_little(void)
{
	struct tls_addr addr;
	char text[8] = "xxxxxxx";

	CU_ASSERT_EQUAL(tls_addr_parse("192.0.2.1:5061", &addr, NULL), TLS_RC_OK);
	tls_addr_print(&addr, text, 4);
	CU_ASSERT_STRING_EQUAL(text, "192");
	CU_ASSERT_EQUAL(text[4], 'x');
}

static void sets_from_bytes(void)
{
	static const unsigned char ip[16] = {192, 0, 2, 1, 9, 9};
	char text[TLS_ADDR_TEXT_MAX];
	struct tls_addr a, b;

	memset(&a, 0x55, sizeof(a));
	tls_addr_set(&a, ip, 4, 5061);
	CU_ASSERT_EQUAL(tls_addr_parse("192.0.2.1:5061", &b, NULL), TLS_RC_OK);
	CU_ASSERT_TRUE(tls_addr_equal(&a, &b));
	tls_addr_set(&a, ip, 16, 1);
	CU_ASSERT_EQUAL(a.family, 6);
	tls_addr_set(&a, ip, 5, 7); /* no family has 5 bytes */
	CU_ASSERT_EQUAL(a.family, 0);
	CU_ASSERT_STRING_EQUAL(tls_addr_print(&a, text, sizeof(text)), "any:7");
}

static void orders(void)
{
	static const char *const sorted[] = {"10.0.0.1:1", "10.0.0.1:2",
			"10.0.0.2:1", "192.0.2.1:0", "[::1]:5", "[::2]:1", "[ff00::]:1"};
	struct tls_addr a, b;
	size_t i, k;
	int order;

	for(i = 0; i < N(sorted); i++) {
		for(k = 0; k < N(sorted); k++) {
			CU_ASSERT_EQUAL(tls_addr_parse(sorted[i], &a, NULL), TLS_RC_OK);
			CU_ASSERT_EQUAL(tls_addr_parse(sorted[k], &b, NULL), TLS_RC_OK);
			order = tls_addr_compare(&a, &b);
			CU_ASSERT_EQUAL((order > 0) - (order < 0), (i > k) - (i < k));
			CU_ASSERT_EQUAL(tls_addr_equal(&a, &b), i == k);
		}
	}
}

void test_addr_add(void)
{
	CU_pSuite suite = CU_add_suite("addr", NULL, NULL);

	CU_add_test(suite, "refuses what is no address", refuses);
	CU_add_test(suite, "reads and prints", reads_and_prints);
	CU_add_test(suite, "prints into too little room", prints_into_too_little);
	CU_add_test(suite, "takes bytes", sets_from_bytes);
	CU_add_test(suite, "has a total order", orders);
}
