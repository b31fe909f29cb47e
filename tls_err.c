/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Owns the names of the result codes and the one way a sentence gets into an
 * error object: formatted, bounded, cleaned. Does not log, allocate or touch
 * errno on purpose. Called from every room, any process, no lock needed. */
#include "tls_err.h"

#include <stdio.h>
#include <string.h>

const char *tls_err_rc_name(enum tls_rc rc)
{
	switch(rc) {
		case TLS_RC_OK:
			return "OK";
		case TLS_RC_AGAIN:
			return "AGAIN";
		case TLS_RC_CLOSED:
			return "CLOSED";
		case TLS_RC_NOMEM:
			return "NOMEM";
		case TLS_RC_LIMIT:
			return "LIMIT";
		case TLS_RC_CONFIG:
			return "CONFIG";
		case TLS_RC_PEER:
			return "PEER";
		case TLS_RC_TLS:
			return "TLS";
		case TLS_RC_IO:
			return "IO";
		case TLS_RC_BUG:
			return "BUG";
	}
	/* a number that is no code came in through a cast or broken memory */
	return "UNKNOWN";
}

void tls_err_clear(struct tls_err *err)
{
	if(err == NULL)
		return;
	err->rc = TLS_RC_OK;
	err->cause = TLS_CAUSE_OTHER;
	err->text[0] = '\0';
}

enum tls_rc tls_err_because(
		struct tls_err *err, enum tls_rc rc, enum tls_cause cause)
{
	if(err == NULL)
		return rc;
	err->cause = cause;
	return err->rc;
}

enum tls_cause tls_err_cause(const struct tls_err *err)
{
	if(err->cause != TLS_CAUSE_OTHER)
		return err->cause;
	switch(err->rc) {
		case TLS_RC_NOMEM:
			return TLS_CAUSE_MEMORY;
		case TLS_RC_LIMIT:
			return TLS_CAUSE_LIMIT;
		case TLS_RC_CLOSED:
		case TLS_RC_IO:
			return TLS_CAUSE_CLOSED;
		case TLS_RC_CONFIG:
		case TLS_RC_TLS:
		case TLS_RC_BUG:
			return TLS_CAUSE_INTERNAL;
		case TLS_RC_OK:
		case TLS_RC_AGAIN:
		case TLS_RC_PEER:
			break;
	}
	return TLS_CAUSE_OTHER;
}

const char *tls_err_cause_text(enum tls_cause cause)
{
	switch(cause) {
		case TLS_CAUSE_CIPHER:
			return "no shared cipher";
		case TLS_CAUSE_VERSION:
			return "no shared protocol version";
		case TLS_CAUSE_NAME:
			return "unknown server name";
		case TLS_CAUSE_CERT_MISSING:
			return "no peer certificate";
		case TLS_CAUSE_CERT_EXPIRED:
			return "peer certificate expired";
		case TLS_CAUSE_CERT_CA:
			return "peer certificate of an unknown CA";
		case TLS_CAUSE_CERT_REVOKED:
			return "peer certificate revoked";
		case TLS_CAUSE_CERT_NAME:
			return "peer certificate for another name";
		case TLS_CAUSE_CERT_STATUS:
			return "no good OCSP response about the peer certificate";
		case TLS_CAUSE_CERT_OTHER:
			return "peer certificate refused";
		case TLS_CAUSE_ALERT:
			return "refused by the peer";
		case TLS_CAUSE_TIMEOUT:
			return "timeout";
		case TLS_CAUSE_CLOSED:
			return "closed by the peer";
		case TLS_CAUSE_GARBAGE:
			return "no TLS";
		case TLS_CAUSE_LIMIT:
			return "limit";
		case TLS_CAUSE_MEMORY:
			return "out of shared memory";
		case TLS_CAUSE_INTERNAL:
			return "internal error";
		case TLS_CAUSE_OTHER:
		case TLS_CAUSE_COUNT:
			break;
	}
	return "other";
}

/* Formats into OUT, an array of TLS_ERR_TEXT_MAX bytes, and replaces what is
 * not printable ASCII. The locale must have no say in what a log line may
 * hold, hence no isprint(). */
static void format_clean(char *out, const char *fmt, va_list ap)
		TLS_PRINTF(2, 0);

static void format_clean(char *out, const char *fmt, va_list ap)
{
	char *p;

	if(vsnprintf(out, TLS_ERR_TEXT_MAX, fmt, ap) < 0)
		snprintf(out, TLS_ERR_TEXT_MAX, "(text could not be formatted)");
	for(p = out; *p != '\0'; p++) {
		if(*p < 0x20 || *p > 0x7e)
			*p = '?';
	}
}

enum tls_rc tls_err_setv(
		struct tls_err *err, enum tls_rc rc, const char *fmt, va_list ap)
{
	/* formatted aside, because an argument may be the old text of ERR */
	char text[TLS_ERR_TEXT_MAX];

	if(err == NULL)
		return rc;
	format_clean(text, fmt, ap);
	memcpy(err->text, text, strlen(text) + 1);
	err->rc = rc;
	err->cause = TLS_CAUSE_OTHER;
	return rc;
}

enum tls_rc tls_err_set(
		struct tls_err *err, enum tls_rc rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rc = tls_err_setv(err, rc, fmt, ap);
	va_end(ap);
	return rc;
}

void tls_err_prefix(struct tls_err *err, const char *fmt, ...)
{
	char text[TLS_ERR_TEXT_MAX];
	va_list ap;
	size_t n, n_old;

	if(err == NULL)
		return;
	va_start(ap, fmt);
	format_clean(text, fmt, ap);
	va_end(ap);

	/* the end of the old sentence gives way, never the terminator */
	n = strlen(text);
	n_old = strlen(err->text);
	if(n_old > sizeof(err->text) - 1 - n)
		n_old = sizeof(err->text) - 1 - n;
	memmove(err->text + n, err->text, n_old);
	memcpy(err->text, text, n);
	err->text[n + n_old] = '\0';
}
