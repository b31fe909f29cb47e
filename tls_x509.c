/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Fields of certificates; see tls_x509.h. */

#include "tls_x509.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tls_info.h"
#include "tls_ossl.h"

/* RFC 5280 s4.1.2.2 allows 20 bytes. 32 give 78 digits; more would only cost
 * time, for the conversion to decimal is quadratic. */
#define SERIAL_BYTES_MAX 32

/* A slice of the certificate, borrowed from the caller. */
struct bytes
{
	const unsigned char *p;
	size_t n;
};

/* Where the fields lie, each with its header. Not there: n is 0. */
struct places
{
	struct bytes version, serial, issuer, not_before, not_after, subject;
	struct bytes extensions;
};

/* ---- into the caller's buffer ---- */

static enum tls_rc put(
		struct tls_x509_value *value, const void *data, size_t n, size_t max)
{
	if(n >= max || n >= value->size)
		return TLS_RC_LIMIT;
	if(n > 0) /* the library says NULL for the data of empty strings */
		memcpy(value->buf, data, n);
	value->buf[n] = '\0';
	value->n = n;
	value->present = true;
	return TLS_RC_OK;
}

/* True when scripts may use the bytes as text. A NUL would let a name end
 * early for whoever reads it as a C string, a line end would let it go on as
 * the next SIP header. */
static bool is_text(const unsigned char *data, size_t n, unsigned char last)
{
	size_t i;

	for(i = 0; i < n; i++) {
		if(data[i] < 0x20 || data[i] == 0x7f || data[i] > last)
			return false;
	}
	return true;
}

static enum tls_rc put_number(struct tls_x509_value *value, long number)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld", number);

	value->number = number;
	return put(value, text, (size_t)n, sizeof(text));
}

/* ---- the library's failures ---- */

/* Empties the error queue. Memory is told from what the peer's bytes did. */
static enum tls_rc failure(void)
{
	enum tls_rc rc = TLS_RC_PEER;
	unsigned long code;

	while((code = ERR_get_error()) != 0) {
		if(ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
			rc = TLS_RC_NOMEM;
	}
	return rc;
}

/* ---- finding the fields ---- */

/* The library's own d2i_X509 would also decode the public key: a thousand
 * allocations in shared memory and 0.2 ms for each variable that a script
 * reads, as much as a handshake. So the outer structure (RFC 5280 s4.1) is
 * walked here, and the library parses the one field that was asked for. */

#define ANY_TAG (-1)

/* Takes the element at the start of FROM when it is of that CLASS and TAG:
 * WHOLE is all of it, CONTENT what its header announces; both may be NULL.
 * False, with FROM as it was, when it is another one, malformed or absent. */
static bool take(struct bytes *from, int class, int tag, struct bytes *whole,
		struct bytes *content)
{
	const unsigned char *p = from->p;
	int got_tag, got_class, flags;
	size_t n_all;
	long n;

	if(from->n == 0)
		return false;
	flags = ASN1_get_object(&p, &n, &got_tag, &got_class, (long)from->n);
	/* 0x80: malformed or longer than FROM; 1: a length that DER forbids */
	if((flags & 0x81) != 0
			|| got_class != class || (tag != ANY_TAG && got_tag != tag))
		return false;
	n_all = (size_t)(p - from->p) + (size_t)n;
	if(whole != NULL)
		*whole = (struct bytes){from->p, n_all};
	if(content != NULL)
		*content = (struct bytes){p, (size_t)n};
	from->p += n_all;
	from->n -= n_all;
	return true;
}

static bool take_sequence(
		struct bytes *from, struct bytes *whole, struct bytes *content)
{
	return take(from, V_ASN1_UNIVERSAL, V_ASN1_SEQUENCE, whole, content);
}

static bool take_any(struct bytes *from, struct bytes *whole)
{
	return take(from, V_ASN1_UNIVERSAL, ANY_TAG, whole, NULL);
}

/* Takes the element [TAG]; OUT is its content, empty when it is not there. */
static void take_optional(struct bytes *from, int tag, struct bytes *out)
{
	if(!take(from, V_ASN1_CONTEXT_SPECIFIC, tag, NULL, out))
		*out = (struct bytes){NULL, 0};
}

/* True when the bytes IN are one certificate and nothing else. */
static bool find_fields(struct bytes in, struct places *out)
{
	struct bytes cert, tbs, validity, ignored;
	bool good;

	good = take_sequence(&in, NULL, &cert) && in.n == 0
		   && take_sequence(&cert, NULL, &tbs)
		   && take_sequence(&cert, NULL, NULL) /* algorithm */
		   && take_any(&cert, NULL)			   /* signature */
		   && cert.n == 0;
	if(!good)
		return false;
	take_optional(&tbs, 0, &out->version);
	good = take_any(&tbs, &out->serial)
		   && take_sequence(&tbs, NULL, NULL) /* algorithm */
		   && take_sequence(&tbs, &out->issuer, NULL)
		   && take_sequence(&tbs, NULL, &validity)
		   && take_any(&validity, &out->not_before)
		   && take_any(&validity, &out->not_after) && validity.n == 0
		   && take_sequence(&tbs, &out->subject, NULL)
		   && take_sequence(&tbs, NULL, NULL); /* public key */
	if(!good)
		return false;
	take_optional(&tbs, 1, &ignored); /* unique identifiers */
	take_optional(&tbs, 2, &ignored);
	take_optional(&tbs, 3, &out->extensions);
	return tbs.n == 0;
}

/* ---- fields ---- */

static enum tls_rc get_version(struct bytes in, struct tls_x509_value *value)
{
	ASN1_INTEGER *number;
	long version;

	if(in.n == 0)
		return put_number(value, 0); /* RFC 5280 s4.1: the default */
	number = d2i_ASN1_INTEGER(NULL, &in.p, (long)in.n);
	if(number == NULL)
		return failure();
	version = ASN1_INTEGER_get(number);
	ASN1_INTEGER_free(number);
	if(version < 0 || version > INT_MAX)
		return failure();
	return put_number(value, version);
}

static enum tls_rc get_serial(struct bytes in, struct tls_x509_value *value)
{
	ASN1_INTEGER *serial = NULL;
	BIGNUM *number = NULL;
	char *text = NULL;
	enum tls_rc rc;

	if(in.n > SERIAL_BYTES_MAX + 2) /* tag and length */
		return TLS_RC_LIMIT;
	serial = d2i_ASN1_INTEGER(NULL, &in.p, (long)in.n);
	if(serial != NULL)
		number = ASN1_INTEGER_to_BN(serial, NULL);
	if(number != NULL)
		text = BN_bn2dec(number);
	rc = text != NULL ? put(value, text, strlen(text), TLS_X509_TEXT_MAX)
					  : failure();
	OPENSSL_free(text);
	BN_free(number);
	ASN1_INTEGER_free(serial);
	return rc;
}

/* The library writes bytes outside printable ASCII as \xHH, so the line needs
 * no check. It is made by the library in full, not cut to our size. */
static enum tls_rc put_line(const X509_NAME *name, struct tls_x509_value *value)
{
	char *line = X509_NAME_oneline(name, NULL, 0);
	enum tls_rc rc;

	if(line == NULL)
		return failure();
	rc = put(value, line, strlen(line), TLS_X509_LINE_MAX);
	OPENSSL_free(line);
	return rc;
}

static enum tls_rc put_part(const X509_NAME *name, enum tls_x509_part part,
		struct tls_x509_value *value)
{
	static const int nids[TLS_X509_PARTS] = {
			[TLS_X509_CN] = NID_commonName,
			[TLS_X509_LOCALITY] = NID_localityName,
			[TLS_X509_COUNTRY] = NID_countryName,
			[TLS_X509_STATE] = NID_stateOrProvinceName,
			[TLS_X509_ORGANIZATION] = NID_organizationName,
			[TLS_X509_UNIT] = NID_organizationalUnitName,
			[TLS_X509_UID] = NID_userId,
	};
	int at = X509_NAME_get_index_by_NID(name, nids[part], -1);
	unsigned char *text = NULL;
	enum tls_rc rc = TLS_RC_PEER;
	int n;

	if(at < 0)
		return TLS_RC_OK;
	n = ASN1_STRING_to_UTF8(
			&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if(n < 0)
		return failure();
	if(is_text(text, (size_t)n, 0xff))
		rc = put(value, text, (size_t)n, TLS_X509_TEXT_MAX);
	OPENSSL_free(text);
	return rc;
}

static enum tls_rc get_name(struct bytes in, bool whole,
		enum tls_x509_part part, struct tls_x509_value *value)
{
	X509_NAME *name = d2i_X509_NAME(NULL, &in.p, (long)in.n);
	enum tls_rc rc;

	if(name == NULL)
		return failure();
	rc = whole ? put_line(name, value) : put_part(name, part, value);
	X509_NAME_free(name);
	return rc;
}

/* ---- alternative names ---- */

/* The alternative names among the extensions IN into *OUT (owned by the
 * caller), NULL when there are none. */
static enum tls_rc read_sans(struct bytes in, GENERAL_NAMES **out)
{
	X509_EXTENSIONS *extensions;
	int critical = -1;

	*out = NULL;
	if(in.n == 0)
		return TLS_RC_OK;
	extensions = d2i_X509_EXTENSIONS(NULL, &in.p, (long)in.n);
	if(extensions == NULL)
		return failure();
	*out = X509V3_get_d2i(extensions, NID_subject_alt_name, &critical, NULL);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	if(*out != NULL || critical == -1)
		return TLS_RC_OK;
	return failure(); /* malformed, or there twice (critical is -2) */
}

/* Counts the names of kind SAN; *OUT is the one with number INDEX or NULL. */
static int find_san(const GENERAL_NAMES *names, enum tls_x509_san san,
		int index, const ASN1_STRING **out)
{
	static const int types[TLS_X509_SANS] = {
			[TLS_X509_SAN_EMAIL] = GEN_EMAIL,
			[TLS_X509_SAN_HOST] = GEN_DNS,
			[TLS_X509_SAN_URI] = GEN_URI,
			[TLS_X509_SAN_IP] = GEN_IPADD,
	};
	int i, type, n = 0;

	*out = NULL;
	for(i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const void *data = GENERAL_NAME_get0_value(name, &type);

		if(type != types[san])
			continue;
		if(n == index)
			*out = data;
		n++;
	}
	return n;
}

static enum tls_rc put_san(const ASN1_STRING *name, enum tls_x509_san san,
		struct tls_x509_value *value)
{
	const unsigned char *data = ASN1_STRING_get0_data(name);
	size_t n = (size_t)ASN1_STRING_length(name);

	if(san == TLS_X509_SAN_IP) {
		if(n != 4 && n != 16) /* RFC 5280 s4.2.1.6 */
			return TLS_RC_PEER;
		return put(value, data, n, TLS_X509_TEXT_MAX);
	}
	/* RFC 5280 s4.2.1.6: IA5String, which is ASCII */
	if(!is_text(data, n, 0x7f))
		return TLS_RC_PEER;
	return put(value, data, n, TLS_X509_TEXT_MAX);
}

static enum tls_rc get_san(struct bytes in, const struct tls_x509_query *query,
		struct tls_x509_value *value)
{
	GENERAL_NAMES *names = NULL;
	const ASN1_STRING *name;
	enum tls_rc rc = read_sans(in, &names);
	int n;

	if(rc != TLS_RC_OK || names == NULL)
		return rc;
	n = find_san(names, query->san, query->index, &name);
	if(query->field == TLS_X509_SAN_COUNT)
		rc = put_number(value, n);
	else if(name != NULL)
		rc = put_san(name, query->san, value);
	GENERAL_NAMES_free(names);
	return rc;
}

/* ---- times and the whole ---- */

/* As the library prints them, but without fractions of a second, which
 * RFC 5280 s4.1.2.5.2 forbids; and without allocating. */
static enum tls_rc put_time(struct tls_x509_value *value, const ASN1_TIME *at)
{
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
			"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	char text[64];
	struct tm tm;
	int n;

	if(ASN1_TIME_to_tm(at, &tm) != 1 || tm.tm_mon < 0 || tm.tm_mon > 11)
		return failure();
	n = snprintf(text, sizeof(text), "%s %2d %02d:%02d:%02d %d GMT",
			months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			tm.tm_year + 1900);
	return put(value, text, (size_t)n, sizeof(text));
}

static enum tls_rc get_time(struct bytes in, struct tls_x509_value *value)
{
	ASN1_TIME *at = d2i_ASN1_TIME(NULL, &in.p, (long)in.n);
	enum tls_rc rc;

	if(at == NULL)
		return failure();
	rc = put_time(value, at);
	ASN1_TIME_free(at);
	return rc;
}

static enum tls_rc get_pem(struct bytes in, struct tls_x509_value *value)
{
	BIO *bio = BIO_new(BIO_s_mem());
	enum tls_rc rc = TLS_RC_NOMEM; /* nothing else can go wrong */
	char *data = NULL;
	long n;

	if(bio != NULL
			&& PEM_write_bio(bio, PEM_STRING_X509, "", in.p, (long)in.n) > 0) {
		n = BIO_get_mem_data(bio, &data);
		rc = put(value, data, (size_t)n, TLS_X509_PEM_MAX);
	} else {
		(void)failure(); /* the BIO does not always name the reason */
	}
	BIO_free(bio);
	return rc;
}

/* Fetched once and kept by each process. */
static const EVP_MD *sha256(void)
{
	static EVP_MD *md;

	if(md == NULL)
		md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	return md;
}

static enum tls_rc get_fingerprint(
		struct bytes in, struct tls_x509_value *value)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	char text[2 * sizeof(sum) + 1];
	unsigned int n = 0, i;

	if(sha256() == NULL || EVP_Digest(in.p, in.n, sum, &n, sha256(), NULL) != 1
			|| n != sizeof(sum))
		return failure();
	for(i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", sum[i]);
	return put(value, text, sizeof(text) - 1, sizeof(text));
}

/* Rounded towards less: half a day after the end is -1, not 0. */
static enum tls_rc get_days_left(struct bytes in, struct tls_x509_value *value)
{
	ASN1_TIME *at = d2i_ASN1_TIME(NULL, &in.p, (long)in.n);
	int days = 0, seconds = 0;
	int good;

	if(at == NULL)
		return failure();
	good = ASN1_TIME_diff(&days, &seconds, NULL, at);
	ASN1_TIME_free(at);
	if(good != 1)
		return failure();
	return put_number(value, seconds < 0 ? days - 1L : days);
}

/* ---- the question ---- */

static enum tls_rc get_field(struct bytes all, const struct places *at,
		const struct tls_x509_query *query, struct tls_x509_value *value)
{
	switch(query->field) {
		case TLS_X509_VERSION:
			return get_version(at->version, value);
		case TLS_X509_SERIAL:
			return get_serial(at->serial, value);
		case TLS_X509_SUBJECT:
			return get_name(at->subject, true, query->part, value);
		case TLS_X509_ISSUER:
			return get_name(at->issuer, true, query->part, value);
		case TLS_X509_SUBJECT_PART:
			return get_name(at->subject, false, query->part, value);
		case TLS_X509_ISSUER_PART:
			return get_name(at->issuer, false, query->part, value);
		case TLS_X509_SAN:
		case TLS_X509_SAN_COUNT:
			return get_san(at->extensions, query, value);
		case TLS_X509_NOT_BEFORE:
			return get_time(at->not_before, value);
		case TLS_X509_NOT_AFTER:
			return get_time(at->not_after, value);
		case TLS_X509_PEM:
			return get_pem(all, value);
		case TLS_X509_FINGERPRINT:
			return get_fingerprint(all, value);
		case TLS_X509_DAYS_LEFT:
			return get_days_left(at->not_after, value);
	}
	return TLS_RC_BUG;
}

enum tls_rc tls_x509_get(const unsigned char *der, size_t n_der,
		const struct tls_x509_query *query, struct tls_x509_value *value)
{
	struct bytes all = {der, n_der};
	struct places at;

	value->present = false;
	value->n = 0;
	value->number = 0;
	value->buf[0] = '\0';
	if(n_der > TLS_INFO_CERT_MAX)
		return TLS_RC_LIMIT;
	tls_ossl_begin();
	if(!find_fields(all, &at))
		return failure();
	return get_field(all, &at, query, value);
}

bool tls_x509_text(const unsigned char *der, size_t n_der,
		const struct tls_x509_query *query, char *out, size_t size)
{
	struct tls_x509_value value = {.buf = out, .size = size};

	out[0] = '\0';
	return der != NULL && tls_x509_get(der, n_der, query, &value) == TLS_RC_OK
		   && value.present;
}

enum tls_x509_verdict tls_x509_verdict(long verify_result)
{
	switch(verify_result) {
		case X509_V_OK:
			return TLS_X509_GOOD;
		case X509_V_ERR_CERT_REVOKED:
			return TLS_X509_REVOKED;
		case X509_V_ERR_CERT_HAS_EXPIRED:
			return TLS_X509_EXPIRED;
		case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
			return TLS_X509_SELF_SIGNED;
		default:
			return TLS_X509_BAD;
	}
}
