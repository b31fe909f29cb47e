/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Fuzzer of the record layer in two halves: bytes from the wire as they are
 * (record boundaries, opening without the key) and as inner plaintext behind
 * a good tag (padding, content type), for every suite. Nothing may open that
 * was not sealed, a refusal must leave the state alone, and what was sealed
 * must open to the same bytes.
 * Run by libFuzzer with the stub of the seam; corpus in corpus/record. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../tls_ossl.h"
#include "../../tls_record.h"
#include "../lib/port_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An invariant; assert() would be gone with NDEBUG. */
#define CHECK(condition_) \
	do {                  \
		if(!(condition_)) \
			abort();      \
	} while(0)

#define SUITES 7

static void make(struct tls_record *a, struct tls_record *b, uint8_t how)
{
	static uint64_t id = 1;
	int side;

	memset(a, 0, sizeof(*a));
	a->id = id++;
	a->suite = (uint8_t)(1 + how % SUITES);
	a->tls13 = how & 0x80;
	a->fragment = how & 0x40 ? 512 : TLS_RECORD_PLAIN_MAX;
	for(side = 0; side < 2; side++) {
		memset(a->half[side].key, side + 1, sizeof(a->half[side].key));
		memset(a->half[side].iv, side + 7, sizeof(a->half[side].iv));
	}
	*b = *a;
	b->id = id++;
	b->half[0] = a->half[1];
	b->half[1] = a->half[0];
}

/* All records at the head of the input: none of them has a good tag. */
static void open_raw(struct tls_record *b, const uint8_t *data, size_t size)
{
	struct tls_record before = *b;
	size_t n;

	while((n = tls_record_length(data, size)) != 0 && n != SIZE_MAX) {
		unsigned char *in = malloc(n), *out = malloc(n);
		enum tls_record_type type;
		struct tls_err err;
		size_t n_out = 1;
		int alert = -1;

		CHECK(n <= size && n <= TLS_RECORD_WIRE_MAX && in && out);
		memcpy(in, data, n);
		CHECK(tls_record_open(b, in, n, out, &n_out, &type, &alert, &err)
				== TLS_RC_PEER);
		CHECK(n_out == 0 && alert > 0);
		CHECK(!memcmp(&before, b, sizeof(before)));
		free(in);
		free(out);
		data += n;
		size -= n;
	}
}

/* The input as what a peer with the key has sealed. TLS 1.3: type 0 leaves
 * the choice of inner type and padding to the input. */
static void open_sealed(struct tls_record *a, struct tls_record *b,
		const uint8_t *data, size_t size)
{
	unsigned char *wire, *out;
	enum tls_record_type type = TLS_RECORD_APPLICATION;
	enum tls_record_type sealed =
			a->tls13 ? (enum tls_record_type)0 : TLS_RECORD_APPLICATION;
	struct tls_record before = *b;
	struct tls_err err;
	size_t n, n_out, left;
	int alert = -1;
	enum tls_rc rc;

	if(size > a->fragment)
		size = a->fragment;
	wire = malloc(size + TLS_RECORD_OVERHEAD_MAX);
	CHECK(wire != NULL);
	CHECK(tls_record_seal(a, sealed, data, size, wire, &n, &err) == TLS_RC_OK);
	CHECK(n <= size + TLS_RECORD_OVERHEAD_MAX
			&& tls_record_length(wire, n) == n);
	out = malloc(n);
	CHECK(out != NULL);
	rc = tls_record_open(b, wire, n, out, &n_out, &type, &alert, &err);
	left = size;
	while(a->tls13 && left > 0 && data[left - 1] == 0)
		left--;
	if(a->tls13 && left == 0) {
		CHECK(rc == TLS_RC_PEER && alert == SSL_AD_UNEXPECTED_MESSAGE);
		CHECK(n_out == 0 && !memcmp(&before, b, sizeof(before)));
	} else {
		CHECK(rc == TLS_RC_OK);
		CHECK(n_out == left - (a->tls13 ? 1U : 0U));
		CHECK(n_out == 0 || !memcmp(out, data, n_out));
		CHECK((int)type
				== (a->tls13 ? data[left - 1] : TLS_RECORD_APPLICATION));
		/* a replay is not a record */
		CHECK(tls_record_open(b, wire, n, out, &n_out, &type, &alert, &err)
						== TLS_RC_PEER
				&& alert == SSL_AD_BAD_RECORD_MAC);
	}
	free(wire);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct tls_record a, b;
	struct tls_err err;

	if(!ready)
		CHECK(tls_record_init(&err) == TLS_RC_OK);
	ready = true;
	if(size == 0)
		return 0;
	make(&a, &b, data[0]);
	open_raw(&b, data + 1, size - 1);
	open_sealed(&a, &b, data + 1, size - 1);
	tls_record_clear(&a);
	tls_record_clear(&b);
	return 0;
}
