/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* SIP text for the tests: builds requests and replies, frames a byte stream.
 * Does no I/O, allocates nothing and knows no TLS; it is not a SIP stack.
 * Used by the host tests and by the load generator, any process, no lock. */
#ifndef TEST_HOSTSIP_H
#define TEST_HOSTSIP_H

#include <stddef.h>

#define SIP_HEAD_ROOM 4096 /* enough for every head that sip_request makes */

/* What a test request says. NULL texts take a default. */
struct sip_req
{
	const char *method;	   /* default OPTIONS */
	const char *call_id;   /* required */
	const char *transport; /* of the Via: TLS (default), TCP, UDP, WSS */
	const char *branch;	   /* default made from call_id and cseq */
	const char *extra;	   /* more header lines, each with CRLF; or NULL */
	const char *body;	   /* body_len bytes, or NULL */
	size_t body_len;
	unsigned int cseq;
	int via_port; /* port of the Via; 0 = none */
	int to_port;  /* port of the request line; 0 = none */
};

/* Writes the request to OUT (ROOM bytes, not 0-terminated). The X-Echo
 * header carries "<call_id>/<cseq>". Returns its length, 0 = no room. */
size_t sip_request(char *out, size_t room, const struct sip_req *req);

/* Writes the reply STATUS to the request REQ of LEN bytes: Via lines, From,
 * To, Call-ID, CSeq and X-Echo copied, the body echoed. Returns its length,
 * 0 = no room or not a request. */
size_t sip_reply(
		char *out, size_t room, const char *req, size_t len, int status);

/* Length of the first message in BUF (N bytes), Content-Length included.
 * Returns 0 = more bytes needed, -1 = this is not SIP. Leading CRLFs are
 * counted in the length. */
long sip_frame(const char *buf, size_t n);

/* Status code of the message, 0 when it is a request, -1 when neither. */
int sip_status(const char *msg, size_t len);

/* Copies the value of the first header NAME to OUT, 0-terminated, cut at
 * ROOM. Returns its full length; 0 = absent or empty (OUT is ""). */
size_t sip_header(
		const char *msg, size_t len, const char *name, char *out, size_t room);

/* The body: its start inside MSG and its length in N_OUT (0 = none). */
const char *sip_body(const char *msg, size_t len, size_t *n_out);

/* Fills BUF with N printable bytes that differ with SEED. */
void sip_pattern(char *buf, size_t n, unsigned int seed);

#endif
