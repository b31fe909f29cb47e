/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of whom a certificate speaks for: RFC 5922 and RFC 9525 row by row,
 * the names of the log, purposes, pins, and damaged certificates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_ident.h"
#include "../lib/engine_pair.h"
#include "../lib/port_stub.h"
#include "../lib/zoo.h"

void test_ident_add(void);

static int begin(void)
{
	port_stub_reset();
	engine_init();
	zoo_init();
	return 0;
}

#define SIP 1
#define HOST 2
#define BOTH (SIP | HOST)

struct match_row
{
	const char *cn;
	const char *san;
	const char *name;
	bool wildcards;
	int good; /* modes in which it speaks for the name */
	const char *reason;
};

static const struct match_row rows[] = {
		/* hostile first */
		{"a.example", "DNS:a.example^.evil.example", "a.example", false, 0,
				"a NUL ends no name"},
		{"a.example", "URI:sip:a.example^@evil.example", "a.example", false, 0,
				"nor that of a URI"},
		{"", "DNS:a.example^", "a.example", false, 0, "a NUL at the end"},
		{"a.example", "DNS:other.example", "a.example", false, 0,
				"RFC 5922 s7.1: no common name beside alternative names"},
		{"a.example", "EMAIL:a@a.example", "a.example", false, 0,
				"of whatever type they are"},
		{"a.example", "IP:192.0.2.1", "a.example", false, 0, "addresses too"},
		{"a.example", "URI:http://a.example", "a.example", false, 0,
				"RFC 5922 s7.1: another scheme is no SIP identity"},
		{"", "URI:sip:alice@a.example", "a.example", false, 0,
				"RFC 5922 s7.1: a user is no domain"},
		{"", "URI:sip:alice@a.example,DNS:a.example", "a.example", false, BOTH,
				"but does not stand in the way of a DNS name"},
		{"", "URI:sips:a.example", "a.example", false, 0,
				"RFC 5922 s7.1: sips is another scheme"},
		{"", "URI:sip:b.example,DNS:a.example", "a.example", false, HOST,
				"RFC 5922 s7.1: a SIP identity hides DNS names"},
		{"", "DNS:*.example", "a.example", false, 0,
				"RFC 5922 s7.2: no wildcards"},
		{"", "URI:sip:*.example", "a.example", true, 0, "never in a URI"},
		{"", "DNS:*.a.example", "a.example", true, 0, "a star is a label"},
		{"", "DNS:*.b.example", "x.a.b.example", true, 0, "and only one"},
		{"", "DNS:a*.b.example", "ac.b.example", true, 0, "and a whole one"},
		{"", "DNS:*.example", "a.example", true, 0,
				"RFC 6125 s7.2: a star before a top-level domain"},
		{"", "DNS:.example", "a.example", false, 0,
				"RFC 5922 s7.2: no leading dot"},
		{"", "DNS:a.example", ".example", false, 0, "no name to ask for"},
		{"", "DNS:a.example", "xa.example", false, 0, "no suffix"},
		{"", "DNS:a.example", "x.a.example", false, 0, "no sub-domain"},
		{"", "DNS:x.a.example", "a.example", false, 0, "nor the other way"},
		{"", "TWICE,DNS:a.example", "a.example", false, 0,
				"RFC 5280 s4.2: an extension comes once"},
		{"a.example", "RAW:30030102", "a.example", false, 0,
				"malformed names speak for nobody"},
		{"a.example", "RAW:", "a.example", false, 0, "an empty value"},
		{"a.example", "RAW:0500", "a.example", false, 0, "another type"},
		{"", "DNS:192.0.2.1", "192.0.2.1", false, 0,
				"an address is not a DNS name"},
		{"192.0.2.1", NULL, "192.0.2.1", false, 0, "nor a common name"},
		{"", "URI:sip:192.0.2.1", "192.0.2.1", false, 0, "nor a URI"},
		{"", "IP:192.0.2.2", "192.0.2.1", false, 0, "another address"},
		{"", "IP:2001:db8::2", "[2001:db8::1]", false, 0, "another address"},
		{"", "IP:::ffff:192.0.2.1", "192.0.2.1", false, 0,
				"a mapped address is another one"},
		{"", NULL, "a.example", false, 0, "no name at all"},
		/* good ones */
		{"", "URI:sip:a.example", "a.example", false, SIP, "the identity"},
		{"", "URI:sip:a.example,DNS:b.example", "a.example", false, SIP,
				"the identity beside another DNS name"},
		{"", "URI:SIP:A.Example", "a.eXAMPLE", false, SIP,
				"RFC 5922 s7.2: without case"},
		{"", "URI:sip:a.example:5061", "a.example", false, SIP, "with a port"},
		{"", "URI:sip:a.example;transport=tls", "a.example", false, SIP,
				"with parameters"},
		{"", "URI:sip:b.example,URI:sip:a.example", "a.example", false, SIP,
				"one of several"},
		{"", "DNS:a.example", "a.example", false, BOTH, "a DNS name"},
		{"", "DNS:A.EXAMPLE", "a.example", false, BOTH, "without case"},
		{"", "DNS:a.example", "a.example.", false, BOTH,
				"RFC 1034 s3.1: the dot of the root"},
		{"", "DNS:b.example,DNS:a.example", "a.example", false, BOTH,
				"one of several"},
		{"", "DNS:*.b.example", "a.b.example", true, BOTH, "allowed wildcard"},
		{"a.example", NULL, "a.example", false, BOTH,
				"a common name when there is nothing else"},
		{"", "IP:192.0.2.1", "192.0.2.1", false, BOTH, "an address"},
		{"", "IP:2001:db8::1", "[2001:db8::1]", false, BOTH, "in brackets"},
		{"", "IP:2001:db8::1", "2001:DB8:0::1", false, BOTH,
				"another spelling"},
		{"", "URI:sip:b.example,IP:192.0.2.1", "192.0.2.1", false, BOTH,
				"a SIP identity hides no addresses"},
		{"", "DNS:xn--bcher-kva.example", "xn--BCHER-kva.example", false, BOTH,
				"an international name"},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static bool both_agree(const X509 *cert, const struct match_row *row, int mode)
{
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);
	bool good = tls_ident_match(
			cert, row->name, (enum tls_ident_mode)mode, row->wildcards);
	bool by_der = !good;

	CU_ASSERT_EQUAL(
			tls_ident_match_der(der, (size_t)n, row->name, strlen(row->name),
					(enum tls_ident_mode)mode, row->wildcards, &by_der),
			TLS_RC_OK);
	CU_ASSERT_EQUAL(by_der, good);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	OPENSSL_free(der);
	return good;
}

static void test_match(void)
{
	struct zoo_spec spec = {.name = "ident"};
	size_t i;
	int mode;

	for(i = 0; i < N_ROWS; i++) {
		const struct match_row *row = &rows[i];
		X509 *cert;

		spec.cn = row->cn;
		spec.san = row->san;
		cert = zoo_make(&spec);
		for(mode = SIP; mode <= HOST; mode++) {
			bool want = (row->good & mode) != 0;
			bool good = both_agree(cert, row, mode);

			if(good != want)
				fprintf(stderr, "\n%s / %s for %s, mode %d: %s\n", row->cn,
						row->san != NULL ? row->san : "-", row->name, mode,
						row->reason);
			CU_ASSERT_EQUAL(good, want);
		}
		CU_ASSERT_FALSE(tls_ident_match(cert, row->name, TLS_IDENT_OFF, true));
		X509_free(cert);
	}
}

struct names_row
{
	const char *cn;
	const char *san;
	const char *names;
};

static void test_names(void)
{
	static const struct names_row table[] = {
			{"x", "DNS:a^b\n\"c", "DNS:a?b?\"c"},
			{"x", "RAW:0500", "malformed"},
			{"", NULL, "none"},
			{"two words", NULL, "CN:two?words"},
			{"x", "EMAIL:a@b", "none"},
			{"x", "URI:sip:a,DNS:b,IP:192.0.2.1,IP:2001:db8::1",
					"URI:sip:a DNS:b IP:192.0.2.1 IP:2001:db8::1"},
	};
	static char many[600] = "DNS:a.example";
	struct zoo_spec spec = {.name = "ident"};
	char names[TLS_IDENT_NAMES_MAX];
	X509 *cert;
	size_t i;

	for(i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		spec.cn = table[i].cn;
		spec.san = table[i].san;
		cert = zoo_make(&spec);
		CU_ASSERT_STRING_EQUAL(tls_ident_names(cert, names), table[i].names);
		X509_free(cert);
	}
	for(i = 1; i < 30; i++)
		memcpy(many + strlen(many), ",DNS:a.example", 15);
	spec.san = many;
	cert = zoo_make(&spec);
	CU_ASSERT_EQUAL(
			strlen(tls_ident_names(cert, names)), TLS_IDENT_NAMES_MAX - 1);
	X509_free(cert);
}

struct purpose_row
{
	const char *eku;
	const char *usage;
	bool good;
	const char *reason;
};

static void test_purpose(void)
{
	static const struct purpose_row table[] = {
			{"serverAuth", NULL, false, "RFC 5924 s4.1: purposes, not SIP"},
			{"serverAuth,clientAuth", NULL, false, "two, neither SIP"},
			{"1.3.6.1.5.5.7.3.20", "keyCertSign", false, "no use for TLS"},
			{"1.3.6.1.5.5.7.3.20", NULL, true, "id-kp-sipDomain"},
			{"serverAuth,1.3.6.1.5.5.7.3.20", "digitalSignature", true,
					"among others"},
			{"anyExtendedKeyUsage", NULL, true, "any purpose"},
			{NULL, NULL, true, "no restriction"},
	};
	struct zoo_spec spec = {.name = "ident"};
	size_t i;

	for(i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		X509 *cert;

		spec.eku = table[i].eku;
		spec.usage = table[i].usage;
		cert = zoo_make(&spec);
		if(tls_ident_is_for_sip(cert) != table[i].good)
			fprintf(stderr, "\n%s\n", table[i].reason);
		CU_ASSERT_EQUAL(tls_ident_is_for_sip(cert), table[i].good);
		X509_free(cert);
	}
}

/* The pin belongs to the key, not to the certificate. */
static void test_pin(void)
{
	struct zoo_spec spec = {.name = "ident"};
	unsigned char pin[TLS_IDENT_PIN_BYTES], other[TLS_IDENT_PIN_BYTES];
	unsigned char want[TLS_IDENT_PIN_BYTES];
	unsigned char *der = NULL;
	X509 *cert = zoo_make(&spec);
	unsigned int n_want;
	int n = i2d_PUBKEY(zoo_key(), &der);

	CU_ASSERT_EQUAL(
			EVP_Digest(der, (size_t)n, want, &n_want, EVP_sha256(), NULL), 1);
	CU_ASSERT_TRUE(tls_ident_pin(cert, pin));
	CU_ASSERT_EQUAL(memcmp(pin, want, sizeof(pin)), 0);
	OPENSSL_free(der);
	X509_free(cert);
	cert = zoo_make(&spec);
	CU_ASSERT_TRUE(tls_ident_pin(cert, other));
	CU_ASSERT_NOT_EQUAL(memcmp(pin, other, sizeof(pin)), 0);
	X509_free(cert);
}

/* Every byte changed, every length cut. */
static void damage(unsigned char *der, size_t n)
{
	bool good;
	size_t i;

	for(i = 0; i < n; i++) {
		unsigned char old = der[i];

		der[i] ^= (unsigned char)(1u << (i % 8));
		(void)!tls_ident_match_der(
				der, n, "evil.example", 12, TLS_IDENT_SIP, true, &good);
		CU_ASSERT_FALSE(good);
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
		der[i] = old;
		CU_ASSERT_EQUAL(tls_ident_match_der(der, i, "a.example", 9,
								TLS_IDENT_SIP, true, &good),
				TLS_RC_PEER);
		CU_ASSERT_FALSE(good);
	}
}

/* Damaged certificates: no crash, no leak, no errors left, never another
 * name. The first round fills the library's caches of algorithms. */
static void test_damage(void)
{
	struct zoo_spec spec = {.name = "ident",
			.cn = "",
			.san = "URI:sip:a.example,DNS:b.example,IP:192.0.2.1"};
	X509 *cert = zoo_make(&spec);
	unsigned char *der = NULL;
	size_t n = (size_t)i2d_X509(cert, &der);
	size_t live;
	bool good;

	damage(der, n);
	live = engine_live_blocks();
	damage(der, n);
	CU_ASSERT_EQUAL(
			tls_ident_match_der(der, n, "a\0b", 3, TLS_IDENT_SIP, false, &good),
			TLS_RC_PEER);
	CU_ASSERT_EQUAL(
			tls_ident_match_der(der, n, "", 0, TLS_IDENT_SIP, false, &good),
			TLS_RC_PEER);
	CU_ASSERT_EQUAL(tls_ident_match_der(der, n, "a.example", 9, TLS_IDENT_SIP,
							false, &good),
			TLS_RC_OK);
	CU_ASSERT_TRUE(good);
	CU_ASSERT_TRUE(engine_live_blocks() <= live);
	OPENSSL_free(der);
	X509_free(cert);
}

/* The k-th allocation fails: then it speaks for nobody. */
static void test_ladder(void)
{
	struct zoo_spec spec = {
			.name = "ident", .cn = "", .san = "URI:sip:a.example"};
	X509 *cert = zoo_make(&spec);
	unsigned char *der = NULL;
	size_t n = (size_t)i2d_X509(cert, &der);
	unsigned long k;
	bool good = false;

	for(k = 1; !good; k++) {
		bool failed;

		engine_fail_at(k);
		(void)!tls_ident_match_der(
				der, n, "a.example", 9, TLS_IDENT_SIP, false, &good);
		failed = port_stub_failed();
		engine_fail_at(0);
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
		if(!failed)
			break;
	}
	CU_ASSERT_TRUE(good);
	CU_ASSERT_TRUE(k > 5);
	OPENSSL_free(der);
	X509_free(cert);
}

void test_ident_add(void)
{
	CU_pSuite suite = CU_add_suite("ident", begin, NULL);

	CU_add_test(suite, "for whom a certificate speaks", test_match);
	CU_add_test(suite, "names for the log", test_names);
	CU_add_test(suite, "purposes", test_purpose);
	CU_add_test(suite, "pins", test_pin);
	CU_add_test(suite, "damaged certificates", test_damage);
	CU_add_test(suite, "no memory", test_ladder);
}
