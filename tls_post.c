/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The protocol after the handshake; see tls_post.h. */

#include "tls_post.h"

#include <string.h>

#include "tls_ossl.h"

#define ALERT_WARNING 1
#define ALERT_FATAL 2

/* Handshake types, RFC 8446 s4, RFC 5246 s7.4. */
#define HELLO_REQUEST 0
#define CLIENT_HELLO 1
#define NEW_SESSION_TICKET 4
#define KEY_UPDATE 24

enum tls_rc tls_post_setup(struct tls_post *post, SSL *ssl,
		const struct tls_record_keys *keys, enum tls_role role,
		struct tls_err *err)
{
	memset(post, 0, sizeof(*post));
	post->role = role;
	sbufq_init(&post->out);
	return tls_record_setup(&post->record, ssl, keys, err);
}

void tls_post_clear(struct tls_post *post)
{
	tls_record_clear(&post->record);
	sbufq_clear(&post->out);
}

/* ---- sending ---- */

/* Seals a few bytes of TYPE into the queue. */
static enum tls_rc queue(struct tls_post *post, enum tls_record_type type,
		const unsigned char *data, size_t n, struct tls_err *err)
{
	unsigned char sealed[16 + TLS_RECORD_OVERHEAD_MAX];
	size_t n_sealed;
	enum tls_rc rc;

	rc = tls_record_seal(&post->record, type, data, n, sealed, &n_sealed, err);
	if(rc == TLS_RC_OK
			&& sbufq_add(&post->out, sealed, n_sealed, n_sealed) != TLS_RC_OK)
		rc = tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	return rc;
}

static enum tls_rc queue_alert(
		struct tls_post *post, int level, int code, struct tls_err *err)
{
	unsigned char alert[2] = {(unsigned char)level, (unsigned char)code};

	return queue(post, TLS_RECORD_ALERT, alert, sizeof(alert), err);
}

/* The peer broke a rule: tell it and give the sentence to the caller. */
static enum tls_rc refuse(
		struct tls_post *post, int code, struct tls_err *err, const char *text)
{
	(void)queue_alert(post, ALERT_FATAL, code, NULL); /* best effort */
	return tls_err_set(err, TLS_RC_PEER, "%s", text);
}

void tls_post_close(struct tls_post *post)
{
	if(post->close_sent)
		return;
	post->close_sent = true;
	(void)queue_alert(post, ALERT_WARNING, SSL_AD_CLOSE_NOTIFY, NULL);
}

/* KeyUpdate under the old key, then the new one (RFC 8446 s4.6.3). */
static enum tls_rc send_key_update(struct tls_post *post, struct tls_err *err)
{
	static const unsigned char update[] = {KEY_UPDATE, 0, 0, 1, 0};
	enum tls_rc rc =
			queue(post, TLS_RECORD_HANDSHAKE, update, sizeof(update), err);

	if(rc == TLS_RC_OK)
		rc = tls_record_update(&post->record, TLS_RECORD_WRITE, err);
	return rc;
}

enum tls_rc tls_post_refresh(struct tls_post *post, struct tls_err *err)
{
	if(!tls_record_wants_update(&post->record))
		return TLS_RC_OK;
	return send_key_update(post, err);
}

/* ---- receiving ---- */

static enum tls_rc take_alert(struct tls_post *post, const unsigned char *body,
		size_t n, struct tls_err *err)
{
	if(n != 2)
		return refuse(post, SSL_AD_DECODE_ERROR, err, "a malformed alert");
	if(body[1] == SSL_AD_CLOSE_NOTIFY)
		return TLS_RC_CLOSED;
	/* TLS 1.3 knows no warnings but user_canceled (RFC 8446 s6). */
	if(body[0] == ALERT_FATAL
			|| (post->record.tls13 && body[1] != SSL_AD_USER_CANCELLED))
		return tls_err_set(err, TLS_RC_PEER, "the peer sent the alert \"%s\"",
				SSL_alert_desc_string_long(body[1]));
	if(body[0] != ALERT_WARNING)
		return refuse(post, SSL_AD_ILLEGAL_PARAMETER, err,
				"an alert of unknown level");
	if(++post->warnings > TLS_POST_WARNINGS_MAX)
		return refuse(post, SSL_AD_UNEXPECTED_MESSAGE, err,
				"too many warning alerts");
	return TLS_RC_OK;
}

/* LAST: nothing follows the message in its record, as a key change demands. */
static enum tls_rc take_key_update(struct tls_post *post,
		const unsigned char *body, size_t n, bool last, struct tls_err *err)
{
	enum tls_rc rc;

	if(n != 1)
		return refuse(post, SSL_AD_DECODE_ERROR, err, "a malformed KeyUpdate");
	if(body[0] > 1)
		return refuse(
				post, SSL_AD_ILLEGAL_PARAMETER, err, "a malformed KeyUpdate");
	if(!last)
		return refuse(post, SSL_AD_UNEXPECTED_MESSAGE, err,
				"data behind a KeyUpdate in one record");
	rc = tls_record_update(&post->record, TLS_RECORD_READ, err);
	if(rc == TLS_RC_OK && body[0] == 1)
		rc = send_key_update(post, err);
	return rc;
}

/* A new handshake under TLS 1.2. What a server is asked for is refused and
 * the connection ends, as with OpenSSL's record layer; a client may go on. */
static enum tls_rc take_renegotiation(
		struct tls_post *post, struct tls_err *err)
{
	enum tls_rc rc =
			queue_alert(post, ALERT_WARNING, SSL_AD_NO_RENEGOTIATION, err);

	if(rc != TLS_RC_OK)
		return rc;
	if(post->role == TLS_ROLE_SERVER)
		return tls_err_set(err, TLS_RC_PEER,
				"the peer asked for renegotiation, which is off "
				"(renegotiation)");
	if(++post->warnings > TLS_POST_WARNINGS_MAX)
		return refuse(post, SSL_AD_UNEXPECTED_MESSAGE, err,
				"too many requests for renegotiation");
	return TLS_RC_OK;
}

/* True when a message of TYPE belongs here; *MOST is the longest body it may
 * have. Asked at the header, so that a peer cannot make us keep what would be
 * refused anyway. CertificateRequest never belongs here: we do not offer
 * post_handshake_auth (RFC 8446 s4.6.2). */
static bool is_expected(const struct tls_post *post, int type, uint32_t *most)
{
	bool client = post->role == TLS_ROLE_CLIENT;

	*most = TLS_POST_MESSAGE_MAX;
	if(post->record.tls13) {
		if(type == KEY_UPDATE)
			*most = 1;
		return type == KEY_UPDATE || (client && type == NEW_SESSION_TICKET);
	}
	if(client)
		*most = 0;
	return type == (client ? HELLO_REQUEST : CLIENT_HELLO);
}

/* The header of a message is whole: may the rest come? */
static enum tls_rc take_header(struct tls_post *post, struct tls_err *err)
{
	uint32_t most;
	uint32_t n = (uint32_t)post->head[1] << 16 | (uint32_t)post->head[2] << 8
				 | post->head[3];

	if(!is_expected(post, post->head[0], &most))
		return refuse(post, SSL_AD_UNEXPECTED_MESSAGE, err,
				"a handshake message that does not belong here");
	if(post->head[0] == CLIENT_HELLO)
		return take_renegotiation(post, err); /* refused, whatever follows */
	if(n > most)
		return refuse(post, SSL_AD_DECODE_ERROR, err,
				"an oversized handshake message");
	if(++post->messages > TLS_POST_MESSAGES_MAX)
		return refuse(post, SSL_AD_UNEXPECTED_MESSAGE, err,
				"too many handshake messages without data");
	post->left = n;
	return TLS_RC_OK;
}

/* One whole message that belongs here. BODY has the N bytes of it that came
 * last: all that a KeyUpdate has. */
static enum tls_rc take_message(struct tls_post *post,
		const unsigned char *body, size_t n, bool last, struct tls_err *err)
{
	post->n_head = 0;
	if(!post->record.tls13)
		return take_renegotiation(post, err);
	if(post->head[0] == KEY_UPDATE)
		return take_key_update(post, body, n, last, err);
	return TLS_RC_OK; /* a ticket: sessions are not kept by clients */
}

/* One record of handshake bytes; messages may be split over records and lie
 * several in one. */
static enum tls_rc take_handshake(struct tls_post *post,
		const unsigned char *data, size_t n, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;

	while(rc == TLS_RC_OK && n > 0) {
		size_t part;

		if(post->n_head < TLS_POST_HEADER) {
			post->head[post->n_head++] = *data++;
			n--;
			if(post->n_head < TLS_POST_HEADER)
				continue;
			rc = take_header(post, err);
			if(rc != TLS_RC_OK)
				return rc;
		}
		part = n < post->left ? n : post->left;
		post->left -= (uint32_t)part;
		n -= part;
		if(post->left == 0)
			rc = take_message(post, data, part, n == 0, err);
		data += part;
	}
	return rc;
}

static enum tls_rc take_data(
		struct tls_post *post, size_t n, struct tls_err *err)
{
	if(n == 0) {
		if(++post->empties > TLS_POST_EMPTY_MAX)
			return refuse(post, SSL_AD_UNEXPECTED_MESSAGE, err,
					"too many empty records");
		return TLS_RC_OK;
	}
	post->empties = 0;
	post->warnings = 0;
	post->messages = 0;
	return TLS_RC_OK;
}

/* What a record of TYPE with N bytes at CLEAR means. */
static enum tls_rc take_record(struct tls_post *post, enum tls_record_type type,
		unsigned char *clear, size_t n, struct tls_err *err)
{
	enum tls_rc rc;

	/* RFC 8446 s5.1: nothing between the parts of a handshake message */
	if(post->n_head > 0 && type != TLS_RECORD_HANDSHAKE)
		return refuse(post, SSL_AD_UNEXPECTED_MESSAGE, err,
				"a record inside a handshake message");
	switch(type) {
		case TLS_RECORD_APPLICATION:
			return take_data(post, n, err);
		case TLS_RECORD_ALERT:
			return take_alert(post, clear, n, err);
		case TLS_RECORD_HANDSHAKE:
			if(n == 0)
				break; /* RFC 8446 s5.1: no empty fragments */
			rc = take_handshake(post, clear, n, err);
			OPENSSL_cleanse(clear, n);
			return rc;
		case TLS_RECORD_CHANGE_CIPHER_SPEC:
			break;
	}
	return refuse(post, SSL_AD_UNEXPECTED_MESSAGE, err,
			"a record of a type that does not belong here");
}

enum tls_rc tls_post_malformed(
		struct tls_post *post, const unsigned char *in, struct tls_err *err)
{
	if(in[0] < TLS_RECORD_CHANGE_CIPHER_SPEC || in[0] > TLS_RECORD_APPLICATION)
		return refuse(post, SSL_AD_UNEXPECTED_MESSAGE, err,
				"bytes that are no TLS record");
	if(in[1] != 3)
		return refuse(post, SSL_AD_PROTOCOL_VERSION, err,
				"a record of an unknown version");
	return refuse(post, SSL_AD_RECORD_OVERFLOW, err, "an oversized record");
}

enum tls_rc tls_post_receive(struct tls_post *post, const unsigned char *in,
		size_t n, unsigned char *clear, size_t *n_clear, struct tls_err *err)
{
	enum tls_record_type type;
	size_t n_text;
	int alert;
	enum tls_rc rc;

	*n_clear = 0;
	rc = tls_record_open(
			&post->record, in, n, clear, &n_text, &type, &alert, err);
	if(rc == TLS_RC_PEER)
		(void)queue_alert(post, ALERT_FATAL, alert, NULL); /* best effort */
	if(rc != TLS_RC_OK)
		return rc;
	rc = take_record(post, type, clear, n_text, err);
	if(rc == TLS_RC_OK && type == TLS_RECORD_APPLICATION)
		*n_clear = n_text;
	return rc;
}
