/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Fields of one certificate, read from its DER form into bounded plain values.
 * Judges no certificate and keeps none: each call finds and parses one field,
 * copies its value and frees all, so that nothing of a connection is touched.
 * Called by the adapter in any process, without a lock. */
#ifndef TLS_X509_H
#define TLS_X509_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

/* Bounds of the values, with their 0 byte. What is longer is refused, never
 * cut: half a name may be the name of somebody else. */
#define TLS_X509_TEXT_MAX 1024 /* one name, serial number or time */
#define TLS_X509_LINE_MAX 4096 /* subject or issuer in one line */
#define TLS_X509_PEM_MAX 16384
#define TLS_X509_VALUE_MAX TLS_X509_PEM_MAX /* room that fits every value */

enum tls_x509_field
{
	TLS_X509_VERSION = 0, /* number, 2 is version 3 (RFC 5280 s4.1.2.1) */
	TLS_X509_SERIAL,	  /* decimal */
	TLS_X509_SUBJECT,	  /* one line, "/C=../O=../CN=.." */
	TLS_X509_ISSUER,
	TLS_X509_SUBJECT_PART, /* first component of that kind, UTF-8 */
	TLS_X509_ISSUER_PART,
	TLS_X509_SAN,		/* alternative name number INDEX of that kind */
	TLS_X509_SAN_COUNT, /* number of alternative names of that kind */
	TLS_X509_NOT_BEFORE,
	TLS_X509_NOT_AFTER,
	TLS_X509_PEM,
	TLS_X509_FINGERPRINT, /* SHA-256 of the DER form, hexadecimal */
	TLS_X509_DAYS_LEFT	  /* number of whole days, negative when over */
};

/* Kinds of name components. */
enum tls_x509_part
{
	TLS_X509_CN = 0,
	TLS_X509_LOCALITY,
	TLS_X509_COUNTRY,
	TLS_X509_STATE,
	TLS_X509_ORGANIZATION,
	TLS_X509_UNIT,
	TLS_X509_UID,
	TLS_X509_PARTS
};

/* Kinds of alternative names. The value of an IP is the 4 or 16 bytes of the
 * address in network order; the others are text. */
enum tls_x509_san
{
	TLS_X509_SAN_EMAIL = 0,
	TLS_X509_SAN_HOST,
	TLS_X509_SAN_URI,
	TLS_X509_SAN_IP,
	TLS_X509_SANS
};

struct tls_x509_query
{
	enum tls_x509_field field;
	enum tls_x509_part part; /* for ..._PART */
	enum tls_x509_san san;	 /* for SAN and SAN_COUNT */
	int index;				 /* for SAN, the first is 0 */
};

struct tls_x509_value
{
	char *buf; /* room of the caller for SIZE > 0 bytes */
	size_t size;
	bool present; /* set: the certificate has this field */
	size_t n;	  /* set: bytes in BUF, which end with a 0 byte more */
	/* set: VERSION, SAN_COUNT and DAYS_LEFT, which also come as text */
	long number;
};

/* Reads the field QUERY of the certificate in the N_DER bytes at DER.
 * TLS_RC_OK    the field was read, or is not there (VALUE->present; a negative
 *              index or one past the end is "not there", and so is the count
 *              of a certificate without alternative names)
 * TLS_RC_PEER  the bytes are not one certificate, or the field is malformed,
 *              comes twice where it may come once, or holds what a script must
 *              not take for text: a NUL or another control character, bytes
 *              that are not in its character set
 * TLS_RC_LIMIT the certificate or the value is larger than its bound or SIZE
 * TLS_RC_NOMEM
 * But for OK with present, BUF holds "", n is 0 and present is false. UTF-16
 * and other encodings of names come as UTF-8. In the one-line forms only
 * newer libraries mark a slash inside a component ("\/"): who decides by a name
 * has to ask for the component. */
enum tls_rc tls_x509_get(const unsigned char *der, size_t n_der,
		const struct tls_x509_query *query,
		struct tls_x509_value *value) TLS_MUST_CHECK;

/* The field QUERY as text in OUT (SIZE > 0 bytes). False, with "" in OUT, when
 * DER is NULL, and when the field is not there or cannot be read. */
bool tls_x509_text(const unsigned char *der, size_t n_der,
		const struct tls_x509_query *query, char *out, size_t size);

/* What the result of a chain's verification says, as far as scripts ask. */
enum tls_x509_verdict
{
	TLS_X509_GOOD = 0,
	TLS_X509_REVOKED,
	TLS_X509_EXPIRED,
	TLS_X509_SELF_SIGNED, /* the peer's own certificate, not a CA's */
	TLS_X509_BAD		  /* any other reason */
};

/* Translates VERIFY_RESULT, an X509_V_... of the library. */
enum tls_x509_verdict tls_x509_verdict(long verify_result);

#endif
