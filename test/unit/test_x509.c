/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_x509: what a hostile certificate may do to the values that
 * scripts see, and what a good one must give. Certificates are built here
 * field by field, because no tool makes the odd ones. */
#define _GNU_SOURCE /* memmem */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_info.h"
#include "../../tls_x509.h"
#include "../../tls_mem.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_x509_add(void);

#define COUNT(a_) (sizeof(a_) / sizeof((a_)[0]))

/* ---- building ---- */

/* DER of a certificate; the tests' own copy. */
struct der
{
	unsigned char *bytes;
	size_t n;
};

static void need(bool good)
{
	if(!good)
		abort(); /* the tests' own tools do not work */
}

/* A version 3 certificate without names, signed when it is taken. */
static X509 *blank(void)
{
	X509 *cert = X509_new();

	need(cert != NULL && X509_set_version(cert, 2) == 1);
	need(ASN1_INTEGER_set(X509_get_serialNumber(cert), 4711) == 1);
	need(ASN1_TIME_set_string(X509_getm_notBefore(cert), "240101000000Z"));
	need(ASN1_TIME_set_string(X509_getm_notAfter(cert), "20500615123456Z"));
	need(X509_set_pubkey(cert, pki_key("ec")) == 1);
	return cert;
}

static struct der finish(X509 *cert)
{
	unsigned char *tmp = NULL;
	struct der der;
	int n;

	need(X509_sign(cert, pki_key("ec"), EVP_sha256()) > 0);
	n = i2d_X509(cert, &tmp);
	need(n > 0);
	der.n = (size_t)n;
	der.bytes = malloc(der.n); /* of libc: over-reads become visible */
	need(der.bytes != NULL);
	memcpy(der.bytes, tmp, der.n);
	OPENSSL_free(tmp);
	X509_free(cert);
	return der;
}

static void add_part(
		X509_NAME *name, int nid, int type, const void *data, int n)
{
	need(X509_NAME_add_entry_by_NID(name, nid, type, data, n, -1, 0) == 1);
}

static void add_san(GENERAL_NAMES *names, int type, const void *data, int n)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *string = ASN1_STRING_type_new(
			type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

	need(name != NULL && string != NULL);
	need(ASN1_STRING_set(string, data, n) == 1);
	GENERAL_NAME_set0_value(name, type, string);
	need(sk_GENERAL_NAME_push(names, name) > 0);
}

static void add_sans(X509 *cert, GENERAL_NAMES *names, unsigned long flags)
{
	need(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, flags) == 1);
}

/* ---- asking ---- */

static enum tls_rc get(const struct der *der, struct tls_x509_query query,
		struct tls_x509_value *value)
{
	static char buf[TLS_X509_VALUE_MAX];
	enum tls_rc rc;

	memset(buf, 'z', sizeof(buf));
	memset(value, 'z', sizeof(*value));
	value->buf = buf;
	value->size = sizeof(buf);
	rc = tls_x509_get(der->bytes, der->n, &query, value);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	if(rc == TLS_RC_OK && value->present) {
		CU_ASSERT(value->n < value->size);
		CU_ASSERT_EQUAL(buf[value->n], '\0');
	} else {
		CU_ASSERT_FALSE(value->present);
		CU_ASSERT_EQUAL(value->n, 0);
		CU_ASSERT_EQUAL(buf[0], '\0');
	}
	return rc;
}

#define PART(part_)                                              \
	{                                                            \
		.field = TLS_X509_SUBJECT_PART, .part = TLS_X509_##part_ \
	}
#define ISSUER(part_)                                           \
	{                                                           \
		.field = TLS_X509_ISSUER_PART, .part = TLS_X509_##part_ \
	}
#define SAN(san_, index_)                                                  \
	{                                                                      \
		.field = TLS_X509_SAN, .san = TLS_X509_SAN_##san_, .index = index_ \
	}
#define SANS(san_)                                              \
	{                                                           \
		.field = TLS_X509_SAN_COUNT, .san = TLS_X509_SAN_##san_ \
	}
#define FIELD(field_)              \
	{                              \
		.field = TLS_X509_##field_ \
	}

/* Every question that can be asked. */
static const struct tls_x509_query questions[] = {FIELD(VERSION), FIELD(SERIAL),
		FIELD(SUBJECT), FIELD(ISSUER), PART(CN), PART(LOCALITY), PART(COUNTRY),
		PART(STATE), PART(ORGANIZATION), PART(UNIT), PART(UID), ISSUER(CN),
		SAN(EMAIL, 0), SAN(HOST, 0), SAN(HOST, 1), SAN(URI, 0), SAN(IP, 0),
		SANS(EMAIL), SANS(HOST), SANS(URI), SANS(IP), FIELD(NOT_BEFORE),
		FIELD(NOT_AFTER), FIELD(PEM), FIELD(FINGERPRINT), FIELD(DAYS_LEFT)};

/* WANT NULL with OK means: not there. */
struct want_row
{
	struct tls_x509_query query;
	enum tls_rc rc;
	const char *want;
	size_t n; /* 0 = strlen(WANT) */
	const char *reason;
};

static void check(const struct der *der, const struct want_row *rows, size_t n)
{
	struct tls_x509_value value;
	size_t i, n_want;

	for(i = 0; i < n; i++) {
		const struct want_row *row = &rows[i];
		enum tls_rc rc = get(der, row->query, &value);
		bool good = rc == row->rc && value.present == (row->want != NULL);

		if(good && row->want != NULL) {
			n_want = row->n > 0 ? row->n : strlen(row->want);
			good = value.n == n_want
				   && memcmp(value.buf, row->want, n_want) == 0;
		}
		if(!good)
			fprintf(stderr, "x509 row %zu (%s): %s, \"%s\"\n", i, row->reason,
					tls_err_rc_name(rc), value.buf);
		CU_ASSERT(good);
	}
}

/* ---- the certificates ---- */

/* All fields, several of a kind. */
static struct der make_rich(void)
{
	static const unsigned char v4[4] = {192, 0, 2, 1};
	static const unsigned char v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
	X509 *cert = blank();
	X509_NAME *name = X509_get_subject_name(cert);
	GENERAL_NAMES *names = GENERAL_NAMES_new();

	need(names != NULL);
	add_part(name, NID_countryName, V_ASN1_PRINTABLESTRING, "AT", 2);
	add_part(name, NID_stateOrProvinceName, V_ASN1_UTF8STRING, "Wien", 4);
	add_part(name, NID_localityName, V_ASN1_UTF8STRING, "Favoriten", 9);
	add_part(
			name, NID_organizationName, V_ASN1_BMPSTRING, "\0K\0\xf6\0l\0n", 8);
	add_part(
			name, NID_organizationalUnitName, V_ASN1_T61STRING, "Z\xfcrich", 6);
	add_part(name, NID_commonName, V_ASN1_UTF8STRING, "first CN=second", 15);
	add_part(name, NID_commonName, V_ASN1_UTF8STRING, "third", 5);
	add_part(name, NID_userId, V_ASN1_UTF8STRING, "u-1", 3);
	name = X509_get_issuer_name(cert);
	add_part(name, NID_commonName, V_ASN1_UTF8STRING, "The CA", 6);
	add_san(names, GEN_DNS, "a.example.org", 13);
	add_san(names, GEN_EMAIL, "x@example.org", 13);
	add_san(names, GEN_DNS, "*.example.org", 13);
	add_san(names, GEN_URI, "sip:example.org", 15);
	add_san(names, GEN_IPADD, v4, 4);
	add_san(names, GEN_IPADD, v6, 16);
	add_sans(cert, names, 0);
	GENERAL_NAMES_free(names);
	return finish(cert);
}

static const struct want_row rich_rows[] = {
		{SAN(HOST, 2), TLS_RC_OK, NULL, 0, "one past the end is not there"},
		{SAN(HOST, INT_MAX), TLS_RC_OK, NULL, 0, "nor far past it"},
		{SAN(HOST, -1), TLS_RC_OK, NULL, 0, "nor before the first"},
		{SAN(HOST, INT_MIN), TLS_RC_OK, NULL, 0, "nor far before"},
		{SAN(HOST, 0), TLS_RC_OK, "a.example.org", 0, "order of the file"},
		{SAN(HOST, 1), TLS_RC_OK, "*.example.org", 0, "other kinds between"},
		{SAN(EMAIL, 0), TLS_RC_OK, "x@example.org", 0, "e-mail"},
		{SAN(URI, 0), TLS_RC_OK, "sip:example.org", 0, "URI"},
		{SAN(IP, 0), TLS_RC_OK, "\xc0\0\2\1", 4, "IPv4 as bytes"},
		{SAN(IP, 1), TLS_RC_OK, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16,
				"IPv6"},
		{SANS(HOST), TLS_RC_OK, "2", 0, "count"},
		{SANS(IP), TLS_RC_OK, "2", 0, "both families"},
		{SANS(EMAIL), TLS_RC_OK, "1", 0, "count"},
		{FIELD(VERSION), TLS_RC_OK, "2", 0, "0-based"},
		{FIELD(SERIAL), TLS_RC_OK, "4711", 0, "decimal"},
		{FIELD(ISSUER), TLS_RC_OK, "/CN=The CA", 0, "one line"},
		{FIELD(SUBJECT), TLS_RC_OK,
				"/C=AT/ST=Wien/L=Favoriten/O=\\x00K\\x00\\xF6\\x00l\\x00n"
				"/OU=Z\\xFCrich/CN=first CN=second/CN=third/UID=u-1",
				0, "one line, bytes outside ASCII marked"},
		{PART(CN), TLS_RC_OK, "first CN=second", 0,
				"the first component as it is, not read from the line"},
		{PART(COUNTRY), TLS_RC_OK, "AT", 0, "printable string"},
		{PART(STATE), TLS_RC_OK, "Wien", 0, "UTF-8"},
		{PART(LOCALITY), TLS_RC_OK, "Favoriten", 0, "UTF-8"},
		{PART(ORGANIZATION), TLS_RC_OK, "K\xc3\xb6ln", 0, "from UTF-16"},
		{PART(UNIT), TLS_RC_OK, "Z\xc3\xbcrich", 0, "from Latin 1"},
		{PART(UID), TLS_RC_OK, "u-1", 0, "user id"},
		{ISSUER(CN), TLS_RC_OK, "The CA", 0, "the issuer's"},
		{ISSUER(UNIT), TLS_RC_OK, NULL, 0, "absent in the issuer"},
		{FIELD(NOT_BEFORE), TLS_RC_OK, "Jan  1 00:00:00 2024 GMT", 0,
				"UTCTime"},
		{FIELD(NOT_AFTER), TLS_RC_OK, "Jun 15 12:34:56 2050 GMT", 0,
				"GeneralizedTime"},
};

/* ---- tests ---- */

static void test_hostile_bytes(void)
{
	struct der rich = make_rich();
	unsigned char *own = rich.bytes;
	struct tls_x509_value value;
	struct der cut;
	size_t i, q;

	/* every prefix, each in a block of its own size */
	for(cut.n = 0; cut.n < rich.n; cut.n++) {
		cut.bytes = malloc(cut.n + (cut.n == 0));
		need(cut.bytes != NULL);
		memcpy(cut.bytes, own, cut.n);
		CU_ASSERT_EQUAL(get(&cut, questions[cut.n % COUNT(questions)], &value),
				TLS_RC_PEER);
		free(cut.bytes);
	}
	/* every byte changed in three ways, every question: any result, but the
	 * promises that get() checks */
	for(i = 0; i < rich.n; i++) {
		static const unsigned char flips[] = {0x01, 0x80, 0xff};
		size_t f;

		for(f = 0; f < COUNT(flips); f++) {
			own[i] ^= flips[f];
			for(q = 0; q < COUNT(questions); q++)
				(void)get(&rich, questions[q], &value);
			own[i] ^= flips[f];
		}
	}
	free(own);
}

static void test_hostile_sizes(void)
{
	struct der rich = make_rich();
	struct der big = {NULL, TLS_INFO_CERT_MAX + 1};
	struct der none = {NULL, 0};
	struct tls_x509_value value;
	size_t q;

	big.bytes = calloc(1, big.n);
	need(big.bytes != NULL);
	memcpy(big.bytes, rich.bytes, rich.n);
	for(q = 0; q < COUNT(questions); q++) {
		CU_ASSERT_EQUAL(get(&big, questions[q], &value), TLS_RC_LIMIT);
		CU_ASSERT_EQUAL(get(&none, questions[q], &value), TLS_RC_PEER);
	}
	big.n = rich.n + 1;
	for(q = 0; q < COUNT(questions); q++) /* a byte behind the certificate */
		CU_ASSERT_EQUAL(get(&big, questions[q], &value), TLS_RC_PEER);
	free(big.bytes);
	free(rich.bytes);
}

/* The value as the first component of a name: WANT NULL = refused with RC. */
struct part_row
{
	int type;
	const char *data;
	int n;
	enum tls_rc rc;
	const char *want;
	const char *reason;
};

static const struct part_row part_rows[] = {
		{V_ASN1_UTF8STRING, "good\0.evil", 10, TLS_RC_PEER, NULL,
				"NUL: a C string would end at \"good\""},
		{V_ASN1_BMPSTRING, "\0g\0\0\0e", 6, TLS_RC_PEER, NULL, "NUL in UTF-16"},
		{V_ASN1_IA5STRING, "a\r\nX: y", 7, TLS_RC_PEER, NULL,
				"line end: a SIP header of the peer's choice"},
		{V_ASN1_BMPSTRING, "\0a\0\r\0\n", 6, TLS_RC_PEER, NULL,
				"line end in UTF-16"},
		{V_ASN1_T61STRING, "\x1b[2J", 4, TLS_RC_PEER, NULL, "terminal escape"},
		{V_ASN1_UTF8STRING, "a\x7f", 2, TLS_RC_PEER, NULL, "DEL"},
		{V_ASN1_UTF8STRING, "a\xff", 2, TLS_RC_PEER, NULL, "not UTF-8"},
		{V_ASN1_UTF8STRING, "a\xc3", 2, TLS_RC_PEER, NULL, "cut UTF-8"},
		{V_ASN1_UTF8STRING, "\xc0\xaf", 2, TLS_RC_PEER, NULL, "overlong UTF-8"},
		{V_ASN1_BMPSTRING, "\0a\0", 3, TLS_RC_PEER, NULL, "odd UTF-16"},
		{V_ASN1_UNIVERSALSTRING, "\0\0\0a\0", 5, TLS_RC_PEER, NULL,
				"odd UTF-32"},
		{V_ASN1_OCTET_STRING, "abc", 3, TLS_RC_PEER, NULL, "no text at all"},
		{V_ASN1_UTF8STRING, "", 0, TLS_RC_OK, "", "empty is there"},
		{V_ASN1_UNIVERSALSTRING, "\0\0\0a", 4, TLS_RC_OK, "a", "UTF-32"},
		{V_ASN1_UTF8STRING, "\xe2\x82\xac", 3, TLS_RC_OK, "\xe2\x82\xac",
				"UTF-8"},
};

/* A certificate whose common name is N bytes of DATA with the tag TYPE. The
 * library refuses to encode most odd ones, so they are patched in. */
static struct der make_named(int type, const char *data, int n)
{
	static const unsigned char oid[] = {0x06, 0x03, 0x55, 0x04, 0x03};
	X509 *cert = blank();
	struct der der;
	unsigned char *at;

	add_part(X509_get_subject_name(cert), NID_commonName, V_ASN1_UTF8STRING,
			"qqqqqqqqqqqqqqqq", n);
	der = finish(cert);
	at = memmem(der.bytes, der.n, oid, sizeof(oid));
	need(at != NULL && at[5] == V_ASN1_UTF8STRING && at[6] == n);
	at[5] = (unsigned char)type;
	memcpy(at + 7, data, (size_t)n);
	return der;
}

static void test_hostile_names(void)
{
	size_t i;

	for(i = 0; i < COUNT(part_rows); i++) {
		const struct part_row *row = &part_rows[i];
		struct want_row want = {PART(CN), row->rc, row->want, 0, row->reason};
		struct der der = make_named(row->type, row->data, row->n);
		struct tls_x509_value value;

		check(&der, &want, 1);
		/* the line marks what it cannot show */
		if(get(&der, (struct tls_x509_query)FIELD(SUBJECT), &value)
				== TLS_RC_OK)
			CU_ASSERT(strlen(value.buf) == value.n
					  && strpbrk(value.buf, "\r\n\x1b\x7f") == NULL);
		free(der.bytes);
	}
}

/* Values around their bound, and in a caller's buffer that is too small. */
static void test_bounds(void)
{
	static const int sizes[] = {TLS_X509_TEXT_MAX - 1, TLS_X509_TEXT_MAX,
			2 * TLS_X509_TEXT_MAX, TLS_X509_LINE_MAX - 5, TLS_X509_LINE_MAX - 4,
			TLS_X509_LINE_MAX, 20000};
	static char text[20000], small[4];
	struct tls_x509_query query = PART(CN);
	struct tls_x509_value value;
	size_t i;

	memset(text, 'a', sizeof(text));
	for(i = 0; i < COUNT(sizes); i++) {
		X509 *cert = blank();
		GENERAL_NAMES *names = GENERAL_NAMES_new();
		bool fits = sizes[i] < TLS_X509_TEXT_MAX;
		struct der der;

		need(names != NULL);
		add_part(X509_get_subject_name(cert), NID_commonName, V_ASN1_UTF8STRING,
				text, sizes[i]);
		add_san(names, GEN_DNS, text, sizes[i]);
		add_sans(cert, names, 0);
		GENERAL_NAMES_free(names);
		der = finish(cert);
		CU_ASSERT_EQUAL(
				get(&der, query, &value), fits ? TLS_RC_OK : TLS_RC_LIMIT);
		CU_ASSERT_EQUAL(value.n, fits ? (size_t)sizes[i] : 0);
		CU_ASSERT_EQUAL(get(&der, (struct tls_x509_query)SAN(HOST, 0), &value),
				fits ? TLS_RC_OK : TLS_RC_LIMIT);
		CU_ASSERT_EQUAL(
				get(&der, (struct tls_x509_query)FIELD(SUBJECT), &value),
				sizes[i] + 4 < TLS_X509_LINE_MAX ? TLS_RC_OK : TLS_RC_LIMIT);
		CU_ASSERT_EQUAL(get(&der, (struct tls_x509_query)FIELD(PEM), &value),
				sizes[i] < 20000 ? TLS_RC_OK : TLS_RC_LIMIT);
		value = (struct tls_x509_value){.buf = small, .size = sizeof(small)};
		CU_ASSERT_EQUAL(
				tls_x509_get(der.bytes, der.n, &query, &value), TLS_RC_LIMIT);
		CU_ASSERT_STRING_EQUAL(small, "");
		free(der.bytes);
	}
}

/* Alternative names: a bad one counts, has no value and hides no other. */
static const struct want_row bad_san_rows[] = {
		{SANS(HOST), TLS_RC_OK, "5", 0, "bad ones keep their places"},
		{SAN(HOST, 0), TLS_RC_PEER, NULL, 0, "NUL"},
		{SAN(HOST, 1), TLS_RC_PEER, NULL, 0, "line end"},
		{SAN(HOST, 2), TLS_RC_PEER, NULL, 0, "not ASCII"},
		{SAN(HOST, 3), TLS_RC_OK, "", 0, "empty"},
		{SAN(HOST, 4), TLS_RC_OK, "good.example", 0, "the good one"},
		{SAN(IP, 0), TLS_RC_PEER, NULL, 0, "5 bytes are no address"},
		{SAN(IP, 1), TLS_RC_PEER, NULL, 0, "nor are none"},
		{SAN(IP, 2), TLS_RC_OK, "\x7f\0\0\1", 4, "4 are"},
		{SANS(URI), TLS_RC_OK, "0", 0, "none of that kind: 0, not null"},
		{SAN(URI, 0), TLS_RC_OK, NULL, 0, "and no value"},
};

static void test_bad_sans(void)
{
	X509 *cert = blank();
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	struct der der;

	need(names != NULL);
	add_san(names, GEN_DNS, "good\0.evil", 10);
	add_san(names, GEN_DNS, "a\r\nVia: b", 9);
	add_san(names, GEN_DNS,
			"b\xfc"
			"cher",
			6);
	add_san(names, GEN_DNS, "", 0);
	add_san(names, GEN_DNS, "good.example", 12);
	add_san(names, GEN_IPADD, "12345", 5);
	add_san(names, GEN_IPADD, "", 0);
	add_san(names, GEN_IPADD, "\x7f\0\0\1", 4);
	add_sans(cert, names, 0);
	GENERAL_NAMES_free(names);
	der = finish(cert);
	check(&der, bad_san_rows, COUNT(bad_san_rows));
	free(der.bytes);
}

static const struct want_row twice_rows[] = {
		{SAN(HOST, 0), TLS_RC_PEER, NULL, 0, "which of the two?"},
		{SANS(HOST), TLS_RC_PEER, NULL, 0, "nor a count"},
		{FIELD(SERIAL), TLS_RC_OK, "4711", 0, "other fields are good"},
};

static const struct want_row no_san_rows[] = {
		{SANS(HOST), TLS_RC_OK, NULL, 0, "no extension: null, not 0"},
		{SAN(HOST, 0), TLS_RC_OK, NULL, 0, "and no name"},
		{PART(CN), TLS_RC_OK, NULL, 0, "no subject at all"},
		{FIELD(SUBJECT), TLS_RC_OK, "", 0, "an empty line"},
};

/* The extension twice, malformed, and not at all. */
static void test_san_extension(void)
{
	ASN1_OCTET_STRING *junk = ASN1_OCTET_STRING_new();
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	X509_EXTENSION *ext;
	X509 *cert = blank();
	struct der der = finish(blank());

	check(&der, no_san_rows, COUNT(no_san_rows));
	free(der.bytes);

	need(names != NULL && junk != NULL);
	add_san(names, GEN_DNS, "one.example", 11);
	add_sans(cert, names, 0);
	add_sans(cert, names, X509V3_ADD_APPEND);
	GENERAL_NAMES_free(names);
	der = finish(cert);
	check(&der, twice_rows, COUNT(twice_rows));
	free(der.bytes);

	cert = blank();
	need(ASN1_OCTET_STRING_set(junk, (const unsigned char *)"\x30\x7fjunk", 6));
	ext = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, junk);
	need(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
	ASN1_OCTET_STRING_free(junk);
	der = finish(cert);
	check(&der, twice_rows, COUNT(twice_rows));
	free(der.bytes);
}

struct serial_row
{
	int bytes; /* all 0xff behind a first byte of 0x7f */
	bool negative;
	enum tls_rc rc;
	const char *reason;
};

static const struct serial_row serial_rows[] = {
		{4096, false, TLS_RC_LIMIT, "quadratic time"},
		{33, false, TLS_RC_LIMIT, "just over the bound"},
		{32, false, TLS_RC_OK, "the bound"},
		{20, true, TLS_RC_OK, "negative ones exist"},
		{20, false, TLS_RC_OK, "RFC 5280 allows 20 bytes"},
};

static void test_serials(void)
{
	size_t i;

	for(i = 0; i < COUNT(serial_rows); i++) {
		const struct serial_row *row = &serial_rows[i];
		unsigned char bytes[4096];
		struct tls_x509_value value;
		X509 *cert = blank();
		BIGNUM *number;
		struct der der;

		memset(bytes, 0xff, sizeof(bytes));
		bytes[0] = 0x7f;
		number = BN_bin2bn(bytes, row->bytes, NULL);
		need(number != NULL);
		BN_set_negative(number, row->negative);
		need(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL);
		der = finish(cert);
		CU_ASSERT_EQUAL(get(&der, (struct tls_x509_query)FIELD(SERIAL), &value),
				row->rc);
		if(row->rc == TLS_RC_OK) {
			char *want = BN_bn2dec(number);

			CU_ASSERT_STRING_EQUAL(value.buf, want);
			CU_ASSERT(value.n <= 80);
			OPENSSL_free(want);
		}
		BN_free(number);
		free(der.bytes);
	}
}

/* Times that are none: the certificate parses, the field has no value. */
static void test_bad_times(void)
{
	static const char *const texts[] = {"991332256199Z", "not a time", "",
			"24010100000", "240101000000+0100junk"};
	struct tls_x509_value value;
	size_t i;

	for(i = 0; i < COUNT(texts); i++) {
		X509 *cert = blank();
		struct der der;

		need(ASN1_STRING_set(X509_getm_notAfter(cert), texts[i], -1) == 1);
		der = finish(cert);
		CU_ASSERT_EQUAL(
				get(&der, (struct tls_x509_query)FIELD(NOT_AFTER), &value),
				TLS_RC_PEER);
		CU_ASSERT_EQUAL(
				get(&der, (struct tls_x509_query)FIELD(NOT_BEFORE), &value),
				TLS_RC_OK);
		free(der.bytes);
	}
}

static void test_rich(void)
{
	struct der rich = make_rich();
	struct tls_x509_value value;

	check(&rich, rich_rows, COUNT(rich_rows));
	CU_ASSERT_EQUAL(
			get(&rich, (struct tls_x509_query)SANS(HOST), &value), TLS_RC_OK);
	CU_ASSERT_EQUAL(value.number, 2);
	CU_ASSERT_EQUAL(get(&rich, (struct tls_x509_query)FIELD(VERSION), &value),
			TLS_RC_OK);
	CU_ASSERT_EQUAL(value.number, 2);
	free(rich.bytes);
}

/* The PEM form is the certificate, byte for byte. */
static void test_pem(void)
{
	struct der rich = make_rich();
	struct tls_x509_value value;
	unsigned char *back = NULL;
	char *name = NULL, *header = NULL;
	long n = 0;
	BIO *bio;

	CU_ASSERT_EQUAL(
			get(&rich, (struct tls_x509_query)FIELD(PEM), &value), TLS_RC_OK);
	bio = BIO_new_mem_buf(value.buf, (int)value.n);
	need(bio != NULL && PEM_read_bio(bio, &name, &header, &back, &n) == 1);
	CU_ASSERT_STRING_EQUAL(name, "CERTIFICATE");
	CU_ASSERT((size_t)n == rich.n && memcmp(back, rich.bytes, rich.n) == 0);
	BIO_free(bio);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(back);
	free(rich.bytes);
}

/* Each allocation of each question fails once: no value, no leak, and the
 * next question is answered. */
static void test_memory(void)
{
	struct der rich = make_rich();
	struct tls_x509_value value, whole;
	unsigned long k, n_failed = 0, n_spared = 0;
	size_t q;

	engine_init();
	/* what the library makes once is made now, its error queue above all */
	rich.n--;
	CU_ASSERT_EQUAL(get(&rich, questions[0], &value), TLS_RC_PEER);
	rich.n++;
	for(q = 0; q < COUNT(questions); q++)
		CU_ASSERT_EQUAL(get(&rich, questions[q], &value), TLS_RC_OK);

	for(q = 0; q < COUNT(questions); q++) {
		CU_ASSERT_EQUAL(get(&rich, questions[q], &value), TLS_RC_OK);
		whole = value;
		for(k = 1;; k++) {
			size_t blocks;
			enum tls_rc rc;

			blocks = engine_live_blocks();
			engine_fail_at(k);
			rc = get(&rich, questions[q], &value);
			if(!port_stub_failed())
				break;
			/* the library can do without some, and forgets the reason when
			 * it cannot note its error; a value must be a whole one */
			n_spared += rc == TLS_RC_OK;
			CU_ASSERT(rc != TLS_RC_OK
					  || (value.present == whole.present && value.n == whole.n
							  && value.number == whole.number));
			CU_ASSERT_EQUAL(engine_live_blocks(), blocks);
		}
		port_stub_fail_at(0);
		n_failed += k - 1;
	}
	CU_ASSERT(n_failed > 500); /* the ladders were some */
	CU_ASSERT(n_spared < n_failed / 2);
	free(rich.bytes);
}

static void test_verdicts(void)
{
	CU_ASSERT_EQUAL(tls_x509_verdict(X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN),
			TLS_X509_BAD);
	CU_ASSERT_EQUAL(tls_x509_verdict(X509_V_ERR_CRL_HAS_EXPIRED), TLS_X509_BAD);
	CU_ASSERT_EQUAL(tls_x509_verdict(LONG_MAX), TLS_X509_BAD);
	CU_ASSERT_EQUAL(tls_x509_verdict(-1), TLS_X509_BAD);
	CU_ASSERT_EQUAL(
			tls_x509_verdict(X509_V_ERR_CERT_REVOKED), TLS_X509_REVOKED);
	CU_ASSERT_EQUAL(
			tls_x509_verdict(X509_V_ERR_CERT_HAS_EXPIRED), TLS_X509_EXPIRED);
	CU_ASSERT_EQUAL(tls_x509_verdict(X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT),
			TLS_X509_SELF_SIGNED);
	CU_ASSERT_EQUAL(tls_x509_verdict(X509_V_OK), TLS_X509_GOOD);
}

static int suite_init(void)
{
	struct tls_err err;

	if(tls_ossl_init(&err) != TLS_RC_OK)
		return -1;
	pki_init();
	return 0;
}

/* SHA-256 over all bytes, and days that count down by whole ones. */
static void test_fingerprint_and_days(void)
{
	static const struct
	{
		long seconds;
		long days;
	} rows[] = {{-2 * 86400L - 60, -3}, {-60, -1}, {86400L - 60, 0},
			{86400L + 60, 1}, {20000 * 86400L + 60, 20000}};
	unsigned char sum[32];
	char text[65];
	char buf[128];
	struct tls_x509_value value = {.buf = buf, .size = sizeof(buf)};
	size_t i, k;

	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		X509 *cert = blank();
		struct der der;

		X509_gmtime_adj(X509_getm_notAfter(cert), 0);
		X509_time_adj_ex(X509_getm_notAfter(cert), 0, rows[i].seconds, NULL);
		der = finish(cert);
		CU_ASSERT_EQUAL(
				get(&der, (struct tls_x509_query)FIELD(DAYS_LEFT), &value),
				TLS_RC_OK);
		CU_ASSERT_EQUAL(value.number, rows[i].days);
		EVP_Digest(der.bytes, der.n, sum, NULL, EVP_sha256(), NULL);
		for(k = 0; k < sizeof(sum); k++)
			snprintf(text + 2 * k, 3, "%02x", sum[k]);
		CU_ASSERT_EQUAL(
				get(&der, (struct tls_x509_query)FIELD(FINGERPRINT), &value),
				TLS_RC_OK);
		CU_ASSERT_STRING_EQUAL(value.buf, text);
		free(der.bytes);
	}
}

void test_x509_add(void)
{
	CU_pSuite suite = CU_add_suite("x509", suite_init, NULL);

	CU_add_test(suite, "cut and changed bytes", test_hostile_bytes);
	CU_add_test(suite, "no, too many and trailing bytes", test_hostile_sizes);
	CU_add_test(suite, "hostile names", test_hostile_names);
	CU_add_test(suite, "values around their bounds", test_bounds);
	CU_add_test(suite, "hostile alternative names", test_bad_sans);
	CU_add_test(suite, "no, two and broken extensions", test_san_extension);
	CU_add_test(suite, "serial numbers", test_serials);
	CU_add_test(suite, "times that are none", test_bad_times);
	CU_add_test(suite, "a certificate with everything", test_rich);
	CU_add_test(suite, "PEM is the certificate", test_pem);
	CU_add_test(suite, "fingerprint and days left", test_fingerprint_and_days);
	CU_add_test(suite, "each allocation fails once", test_memory);
	CU_add_test(suite, "verdicts", test_verdicts);
}
