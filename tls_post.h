/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What two TLS peers still say to each other after the handshake, over
 * tls_record: application data, alerts, KeyUpdate, tickets, refusals.
 * Knows no window and no socket: records to send go to a queue of the owner.
 * Called by tls_conn with the connection's lock held, in any process. */
#ifndef TLS_POST_H
#define TLS_POST_H

#include <stdbool.h>
#include <stddef.h>

#include "sbufq.h"
#include "tls_err.h"
#include "tls_params.h"
#include "tls_record.h"

/* Bounds on what a peer may send without sending data in between. */
#define TLS_POST_WARNINGS_MAX 5
#define TLS_POST_EMPTY_MAX 32
#define TLS_POST_MESSAGES_MAX 32
/* Largest handshake message accepted after the handshake: a ticket. */
#define TLS_POST_MESSAGE_MAX 32768
#define TLS_POST_HEADER 4 /* of a handshake message, RFC 8446 s4 */

/* State of one connection; plain data in shared memory, embedded. */
struct tls_post
{
	struct tls_record record;
	enum tls_role role;
	uint8_t warnings;
	uint8_t empties;
	uint8_t messages; /* of the handshake, since the last data */
	bool close_sent;
	/* a handshake message that is not whole: its header, and how many bytes
	 * of its body are still to come. No body is longer than a byte or looked
	 * at, so none is kept. */
	unsigned char head[TLS_POST_HEADER];
	uint8_t n_head;
	uint32_t left;
	struct sbufq out; /* owned: sealed records that wait for a window */
};

/* Takes the connection over from SSL, whose handshake is complete and which
 * holds no byte of either direction. Returns what tls_record_setup says; POST
 * is unusable unless OK. */
enum tls_rc tls_post_setup(struct tls_post *post, struct ssl_st *ssl,
		const struct tls_record_keys *keys, enum tls_role role,
		struct tls_err *err) TLS_MUST_CHECK;

/* Wipes and frees what POST owns; a zeroed POST is fine. Any process. */
void tls_post_clear(struct tls_post *post);

/* Takes one whole record of N bytes. Application data is left at CLEAR (room
 * for N bytes), *N_CLEAR of them; everything else is answered into post->out.
 * TLS_RC_OK; TLS_RC_CLOSED for close_notify; TLS_RC_PEER when the peer broke
 * the rules (the alert is in post->out) or sent a fatal alert; TLS_RC_NOMEM,
 * TLS_RC_TLS, TLS_RC_LIMIT. */
enum tls_rc tls_post_receive(struct tls_post *post, const unsigned char *in,
		size_t n, unsigned char *clear, size_t *n_clear,
		struct tls_err *err) TLS_MUST_CHECK;

/* IN begins with something that is no record (tls_record_length): queues the
 * alert that fits. Returns TLS_RC_PEER with the sentence in ERR. */
enum tls_rc tls_post_malformed(struct tls_post *post, const unsigned char *in,
		struct tls_err *err) TLS_MUST_CHECK;

/* Before sealing application data: changes the write key when its limit is
 * near (RFC 8446 s5.5); the KeyUpdate goes to post->out and must be sent
 * first. TLS_RC_OK, TLS_RC_NOMEM, TLS_RC_TLS. */
enum tls_rc tls_post_refresh(
		struct tls_post *post, struct tls_err *err) TLS_MUST_CHECK;

/* Queues our close_notify in post->out, once. Best effort. */
void tls_post_close(struct tls_post *post);

#endif
