/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What a CA says about one certificate today (OCSP, RFC 6960): the verdict on
 * a response, and the response that a server profile staples (RFC 6066 s8).
 * Asks no responder, knows no policy and no connection. Judges in handshakes
 * under the connection's lock, in any process; staples are made by the process
 * that loads and are constant afterwards. */
#ifndef TLS_OCSP_H
#define TLS_OCSP_H

#include <stddef.h>
#include <stdint.h>

#include "tls_err.h"

struct ssl_st;
struct x509_st;
struct x509_store_st;
struct tls_files;
struct tls_identity;
struct tls_ocsp_staple;

/* Longest response that is looked at. */
#define TLS_OCSP_MAX 65536

/* Seconds that a response without nextUpdate may be used from its thisUpdate;
 * RFC 6960 s2.4 leaves it to who relies on it. */
#define TLS_OCSP_FRESH_S 86400

/* Seconds that the clock of a responder may be ahead of ours. */
#define TLS_OCSP_SKEW_S 300

enum tls_ocsp_status
{
	TLS_OCSP_GOOD = 0,
	TLS_OCSP_REVOKED,
	TLS_OCSP_UNKNOWN, /* the CA does not know the certificate */
	TLS_OCSP_OLD,	  /* it was true once */
	TLS_OCSP_EARLY,	  /* it will be true later */
	TLS_OCSP_REFUSED, /* the responder had no answer */
	TLS_OCSP_FOREIGN, /* about another certificate, or by somebody else */
	TLS_OCSP_BROKEN	  /* no OCSP response at all */
};

struct tls_ocsp_verdict
{
	enum tls_ocsp_status status;
	int64_t until;	/* last second of its use, s since 1970; 0 = none */
	char text[200]; /* the verdict in words, printable ASCII; "good" */
};

/* Judges the response of N hostile bytes at DER about CERT, which ISSUER (NULL
 * = nobody knows who) has signed, at the time NOW (s since 1970). Good is only
 * what ISSUER signed itself or by a responder of its own choice (RFC 6960
 * s4.2.2.2). Never GOOD when memory is short. Leaves the error queue as it
 * was. */
void tls_ocsp_judge(const unsigned char *der, size_t n, struct x509_st *cert,
		struct x509_st *issuer, int64_t now, struct tls_ocsp_verdict *out);

/* What a profile staples; all borrowed for the call. */
struct tls_ocsp_args
{
	const char *setting; /* name for sentences: "ocsp_file" */
	const char *path;
	const struct tls_identity *identity; /* whose certificate it is about */
	struct x509_store_st *store;		 /* where its issuer may be, or NULL */
};

/* Reads and judges the response of ARGS into *OUT, with one reference for the
 * caller; FILES keep it for other profiles of the load. TLS_RC_OK; TLS_RC_AGAIN
 * with *OUT NULL when it cannot be used now, though no setting is wrong (it is
 * over, the responder was not ready, the certificate is revoked): the sentence
 * in ERR is a warning; TLS_RC_CONFIG for a file that is not about this
 * certificate or is damaged; TLS_RC_NOMEM; TLS_RC_TLS. */
enum tls_rc tls_ocsp_load(struct tls_files *files,
		const struct tls_ocsp_args *args, int64_t now,
		struct tls_ocsp_staple **out, struct tls_err *err) TLS_MUST_CHECK;

/* Drops the caller's reference and sets *STAPLE to NULL; NULL is fine. Any
 * process. */
void tls_ocsp_free(struct tls_ocsp_staple **staple);

/* Last second in which STAPLE may be used, s since 1970. */
int64_t tls_ocsp_until(const struct tls_ocsp_staple *staple);

/* Lets SSL, a server in its handshake, send STAPLE at the time NOW. TLS_RC_OK;
 * TLS_RC_AGAIN when it is over by now, which the log hears once, TLS_RC_NOMEM:
 * then nothing is sent. Under the connection's lock. */
enum tls_rc tls_ocsp_serve(struct tls_ocsp_staple *staple, struct ssl_st *ssl,
		int64_t now) TLS_MUST_CHECK;

#endif
