/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Fuzzer of what a peer may say after the handshake: the input is a list of
 * inner plaintexts, sealed by a twin of the connection's record state, so
 * that every byte arrives behind a good tag. Checks the promises of tls_post
 * and that all it answers opens at the twin.
 * Run by libFuzzer with the stub of the seam; corpus in corpus/post. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../tls_ossl.h"
#include "../../tls_post.h"
#include "../lib/port_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An invariant; assert() would be gone with NDEBUG. */
#define CHECK(condition_) \
	do {                  \
		if(!(condition_)) \
			abort();      \
	} while(0)

/* Input: one byte of flags, then records: type, length (2 bytes, at most the
 * rest), bytes. Flags: 1 = TLS 1.3, 2 = we are the client. */
#define FLAG_13 1
#define FLAG_CLIENT 2

static void make(struct tls_post *post, struct tls_record *twin, int flags)
{
	static uint64_t id = 1;
	struct tls_err err;
	int side;

	memset(post, 0, sizeof(*post));
	sbufq_init(&post->out);
	post->role = flags & FLAG_CLIENT ? TLS_ROLE_CLIENT : TLS_ROLE_SERVER;
	post->record.id = id++;
	post->record.suite = 1;
	post->record.fragment = TLS_RECORD_PLAIN_MAX;
	post->record.tls13 = (flags & FLAG_13) != 0;
	for(side = 0; side < 2; side++) {
		memset(post->record.half[side].key, side + 1, 16);
		memset(post->record.half[side].secret, side + 3, 32);
		CHECK(!post->record.tls13
				|| tls_record_update(
						   &post->record, (enum tls_record_side)side, &err)
						   == TLS_RC_OK);
	}
	*twin = post->record;
	twin->id = id++;
	twin->half[0] = post->record.half[1];
	twin->half[1] = post->record.half[0];
}

/* Every answer must open at the twin, which changes keys when told to. */
static void listen(struct tls_post *post, struct tls_record *twin)
{
	static unsigned char wire[65536], clear[TLS_RECORD_WIRE_MAX];
	enum tls_record_type type;
	struct tls_err err;
	size_t n = 0, n_one, n_clear, at;
	const unsigned char *buf;
	int alert;

	CHECK(sbufq_is_valid(&post->out));
	while((n_one = sbufq_peek(&post->out, &buf)) > 0) {
		CHECK(n_one <= sizeof(wire) - n);
		memcpy(wire + n, buf, n_one);
		n += n_one;
		sbufq_drop(&post->out, n_one);
	}
	for(at = 0; at < n; at += n_one) {
		n_one = tls_record_length(wire + at, n - at);
		CHECK(n_one != 0 && n_one != SIZE_MAX);
		CHECK(tls_record_open(twin, wire + at, n_one, clear, &n_clear, &type,
					  &alert, &err)
				== TLS_RC_OK);
		CHECK(type == TLS_RECORD_ALERT || type == TLS_RECORD_HANDSHAKE);
		if(type == TLS_RECORD_HANDSHAKE)
			CHECK(n_clear == 5 && clear[0] == 24 && clear[4] == 0
					&& tls_record_update(twin, TLS_RECORD_READ, &err)
							   == TLS_RC_OK);
	}
}

/* One record; false when the connection has ended. */
static bool say(struct tls_post *post, struct tls_record *twin, uint8_t type,
		const uint8_t *data, size_t n)
{
	unsigned char *wire = malloc(n + TLS_RECORD_OVERHEAD_MAX);
	unsigned char *clear;
	uint32_t epoch = post->record.half[TLS_RECORD_READ].epoch;
	size_t n_wire, n_clear = 0;
	struct tls_err err;
	enum tls_rc rc;

	tls_err_clear(&err);
	CHECK(wire != NULL);
	CHECK(tls_record_seal(twin, (enum tls_record_type)type, data, n, wire,
				  &n_wire, &err)
			== TLS_RC_OK);
	clear = malloc(n_wire);
	CHECK(clear != NULL);
	if(tls_record_length(wire, n_wire) == SIZE_MAX) {
		rc = tls_post_malformed(post, wire, &err);
		CHECK(rc == TLS_RC_PEER);
	} else {
		rc = tls_post_receive(post, wire, n_wire, clear, &n_clear, &err);
	}
	CHECK(rc == TLS_RC_OK || rc == TLS_RC_CLOSED || rc == TLS_RC_PEER);
	CHECK((rc == TLS_RC_PEER) == (err.text[0] != '\0'));
	CHECK(n_clear <= n && (rc == TLS_RC_OK || n_clear == 0));
	CHECK(n_clear == 0 || memcmp(clear, data, n_clear) == 0);
	CHECK(post->left <= TLS_POST_MESSAGE_MAX);
	CHECK(post->n_head <= TLS_POST_HEADER);
	CHECK(rc != TLS_RC_OK
			|| (post->n_head == TLS_POST_HEADER) == (post->left > 0));
	free(wire);
	free(clear);
	listen(post, twin);
	if(rc == TLS_RC_OK && post->record.half[TLS_RECORD_READ].epoch != epoch)
		CHECK(tls_record_update(twin, TLS_RECORD_WRITE, &err) == TLS_RC_OK);
	return rc == TLS_RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct tls_post post;
	struct tls_record twin;
	struct tls_err err;

	if(!ready)
		CHECK(tls_record_init(&err) == TLS_RC_OK);
	ready = true;
	if(size == 0)
		return 0;
	port_stub_reset();
	make(&post, &twin, data[0]);
	data++;
	size--;
	while(size >= 3) {
		size_t n = (size_t)data[1] << 8 | data[2];

		n = n > size - 3 ? size - 3 : n;
		n = n > TLS_RECORD_PLAIN_MAX ? TLS_RECORD_PLAIN_MAX : n;
		if(!say(&post, &twin, data[0], data + 3, n))
			break;
		data += 3 + n;
		size -= 3 + n;
	}
	tls_post_close(&post);
	listen(&post, &twin);
	tls_post_clear(&post);
	tls_record_clear(&twin);
	CHECK(port_stub_live_blocks() == 0);
	return 0;
}
