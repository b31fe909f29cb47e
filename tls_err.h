/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Result codes and the error object that carries one sentence.
 * Owns the vocabulary in which every room reports failure; does not log,
 * does not allocate and knows no other room. Called anywhere, any process,
 * no lock: an error object belongs to the caller that declared it. */
#ifndef TLS_ERR_H
#define TLS_ERR_H

#include <stdarg.h>
#include <stddef.h>

#if defined(__GNUC__)
#define TLS_MUST_CHECK __attribute__((warn_unused_result))
#define TLS_PRINTF(fmt_, args_) __attribute__((format(printf, fmt_, args_)))
#else
#define TLS_MUST_CHECK
#define TLS_PRINTF(fmt_, args_)
#endif

/* The one result type of the module. Callers branch on the group. */
enum tls_rc
{
	TLS_RC_OK = 0,
	TLS_RC_AGAIN,  /* not an error: more bytes, room or time needed */
	TLS_RC_CLOSED, /* not an error: the peer said goodbye */
	TLS_RC_NOMEM,  /* an allocation failed; the object is unchanged */
	TLS_RC_LIMIT,  /* a configured limit would be exceeded; unchanged */
	TLS_RC_CONFIG, /* a setting, file or command is wrong */
	TLS_RC_PEER,   /* the peer broke the protocol or a policy */
	TLS_RC_TLS,	   /* the library failed for a reason of its own */
	TLS_RC_IO,	   /* reading or writing outside failed */
	TLS_RC_BUG	   /* cannot happen: our own invariant is broken */
};

/* Why a handshake came to nothing, for counters and for the rate limit of the
 * log; finer than the group by which callers branch. */
enum tls_cause
{
	TLS_CAUSE_OTHER = 0,	/* none of the following */
	TLS_CAUSE_CIPHER,		/* no shared cipher, group or signature */
	TLS_CAUSE_VERSION,		/* no shared protocol version */
	TLS_CAUSE_NAME,			/* the server name is unknown to one side */
	TLS_CAUSE_CERT_MISSING, /* the peer had to show a certificate */
	TLS_CAUSE_CERT_EXPIRED, /* the peer's is over or not valid yet */
	TLS_CAUSE_CERT_CA,		/* no CA that we trust signed it */
	TLS_CAUSE_CERT_REVOKED,
	TLS_CAUSE_CERT_NAME,   /* it is for somebody else */
	TLS_CAUSE_CERT_STATUS, /* no good OCSP response about it */
	TLS_CAUSE_CERT_OTHER,  /* it does not verify for another reason */
	TLS_CAUSE_ALERT,	   /* the peer refused, with an alert */
	TLS_CAUSE_TIMEOUT,	   /* handshake_timeout */
	TLS_CAUSE_CLOSED,	   /* the stream ended in the middle */
	TLS_CAUSE_GARBAGE,	   /* bytes that are no TLS, or break its rules */
	TLS_CAUSE_LIMIT,	   /* a limit of ours */
	TLS_CAUSE_MEMORY,	   /* shared memory is short */
	TLS_CAUSE_INTERNAL,	   /* our own fault, or the library's */
	TLS_CAUSE_COUNT
};

#define TLS_ERR_TEXT_MAX 512

/* One failure: its group and one sentence for the operator. */
struct tls_err
{
	enum tls_rc rc;
	enum tls_cause cause;		 /* OTHER until tls_err_because */
	char text[TLS_ERR_TEXT_MAX]; /* always 0-terminated, ASCII */
};

/* Name of a result code ("NOMEM"), for logs and tests; never NULL. */
const char *tls_err_rc_name(enum tls_rc rc);

/* Notes why, in an ERR that has its sentence (NULL is allowed). A sentence
 * that is set later forgets it. Returns err->rc, or RC when ERR is NULL. */
enum tls_rc tls_err_because(
		struct tls_err *err, enum tls_rc rc, enum tls_cause cause);

/* Why, with the group as the answer when nobody noted more. */
enum tls_cause tls_err_cause(const struct tls_err *err);

/* A cause in words ("no shared cipher"), never NULL. */
const char *tls_err_cause_text(enum tls_cause cause);

/* Empties ERR (NULL is allowed): rc OK, empty text. */
void tls_err_clear(struct tls_err *err);

/* Stores RC and the formatted sentence in ERR (NULL is allowed), replacing
 * what was there. A sentence that is too long is cut; bytes outside
 * printable ASCII become '?', so peer bytes cannot forge log lines.
 * Returns RC, so that callers write "return tls_err_set(...)". */
enum tls_rc tls_err_set(struct tls_err *err, enum tls_rc rc, const char *fmt,
		...) TLS_PRINTF(3, 4);

/* As tls_err_set, with a va_list. */
enum tls_rc tls_err_setv(
		struct tls_err *err, enum tls_rc rc, const char *fmt, va_list ap);

/* Puts a formatted text in front of the sentence that ERR already holds
 * ("could not load profile x: " + what was there); rc stays. NULL allowed. */
void tls_err_prefix(struct tls_err *err, const char *fmt, ...) TLS_PRINTF(2, 3);

#endif
