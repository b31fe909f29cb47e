/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Record protection of an established connection from plain shared data:
 * suite, keys, IVs and counters, with OpenSSL's EVP ciphers.
 * Knows records, not their meaning (tls_post), no socket and no SSL object;
 * any process may seal or open the next record. Called by tls_post and
 * tls_conn with the connection's lock held. */
#ifndef TLS_RECORD_H
#define TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_err.h"
#include "tls_kdf.h"

struct ssl_ctx_st;
struct ssl_st;

#define TLS_RECORD_HEADER 5		   /* RFC 8446 s5.1 */
#define TLS_RECORD_PLAIN_MAX 16384 /* RFC 8446 s5.1: TLSPlaintext.length */
/* Most bytes that protection adds: header, explicit nonce or inner content
 * type, tag. */
#define TLS_RECORD_OVERHEAD_MAX (TLS_RECORD_HEADER + 8 + 1 + 16)
/* Largest record that may come: RFC 8446 s5.2 allows 256 bytes over the clear
 * text, RFC 5246 s6.2.3 2048. */
#define TLS_RECORD_WIRE_MAX (TLS_RECORD_HEADER + TLS_RECORD_PLAIN_MAX + 2048)

#define TLS_RECORD_KEY_MAX 32
#define TLS_RECORD_IV 12

/* Content types, RFC 8446 s5.1. */
enum tls_record_type
{
	TLS_RECORD_CHANGE_CIPHER_SPEC = 20,
	TLS_RECORD_ALERT = 21,
	TLS_RECORD_HANDSHAKE = 22,
	TLS_RECORD_APPLICATION = 23
};

enum tls_record_side
{
	TLS_RECORD_READ = 0,
	TLS_RECORD_WRITE = 1
};

/* One direction. Secret. */
struct tls_record_half
{
	uint64_t seq;	   /* of the next record, RFC 8446 s5.3 */
	uint64_t explicit; /* TLS 1.2 GCM, CCM: nonce on the wire is this + seq */
	uint32_t epoch;	   /* counts key changes; a cached context fits one */
	unsigned char secret[TLS_KDF_SECRET_MAX]; /* TLS 1.3 only */
	unsigned char key[TLS_RECORD_KEY_MAX];
	unsigned char iv[TLS_RECORD_IV];
};

/* Protection of one connection. Plain data, in shared memory, embedded in its
 * owner; contains secrets, so tls_record_clear wipes it. */
struct tls_record
{
	uint64_t id;   /* never used twice while the server runs */
	uint8_t suite; /* index into the table of suites, 0 = none */
	bool tls13;
	uint8_t hash;					/* enum tls_kdf_hash, of TLS 1.3 */
	uint16_t fragment;				/* most clear text of one record */
	struct tls_record_half half[2]; /* by tls_record_side */
};

/* What a handshake gives away and the SSL object does not keep. Filled while
 * the handshake runs, in shared memory, secret; wiped with
 * tls_record_keys_clear. */
struct tls_record_keys
{
	/* from the key schedule (tls_kdf), which for TLS 1.3 runs just when OpenSSL
	 * changes to them; the caller has it watched */
	struct tls_kdf_secrets secrets;
	/* TLS 1.3: records that OpenSSL wrote under our application key */
	uint64_t written;
	/* TLS 1.2: records that OpenSSL took since the peer changed its cipher */
	uint64_t taken;
	/* the last record seen in the output: header, explicit nonce */
	unsigned char head[TLS_RECORD_HEADER + 8];
	size_t n_head;
	size_t left; /* bytes of its body still to come */
};

/* Makes the connections of the context CTX, which nobody uses yet, able to
 * report. */
void tls_record_watch_context(struct ssl_ctx_st *ctx);

/* Makes SSL report into KEYS, which is zeroed and must live as long as SSL.
 * Before the handshake. TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_record_watch(
		struct ssl_st *ssl, struct tls_record_keys *keys) TLS_MUST_CHECK;

/* Ends the watch: SSL goes on without reporting. */
void tls_record_unwatch(struct ssl_st *ssl);

/* Follows the N bytes at OUT that OpenSSL produced, in their order. */
void tls_record_watch_output(
		struct tls_record_keys *keys, const unsigned char *out, size_t n);

/* OpenSSL took one whole record of the peer, whose first byte is TYPE. */
void tls_record_watch_input(struct tls_record_keys *keys, unsigned char type);

/* Wipes KEYS. */
void tls_record_keys_clear(struct tls_record_keys *keys);

/* Length of the record at the beginning of the N bytes at IN when all of it
 * is there; 0 when more bytes are needed; SIZE_MAX when no record of TLS 1.0
 * to 1.3 begins like this. */
size_t tls_record_length(const unsigned char *in, size_t n);

/* Fetches ciphers and KDFs and makes the shared id counter. Main process,
 * before the first fork. TLS_RC_OK, TLS_RC_NOMEM or TLS_RC_TLS. */
enum tls_rc tls_record_init(struct tls_err *err) TLS_MUST_CHECK;

/* Frees the cached cipher contexts of the calling process; they come anew when
 * needed. For tests that count memory; a process keeps them till its end. */
void tls_record_forget(void);

/* True when the connection SSL, whose handshake is complete, can go on
 * without OpenSSL: an AEAD suite of the table, TLS 1.2 or 1.3, and the
 * secrets in KEYS. They are not there when the library was told to use another
 * KDF than ours (FIPS). */
bool tls_record_suits(
		const struct ssl_st *ssl, const struct tls_record_keys *keys);

/* Fills RECORD from SSL and KEYS. TLS_RC_OK, or TLS_RC_TLS / TLS_RC_BUG with
 * RECORD cleared: the connection has to end. */
enum tls_rc tls_record_setup(struct tls_record *record, struct ssl_st *ssl,
		const struct tls_record_keys *keys, struct tls_err *err) TLS_MUST_CHECK;

/* Wipes RECORD and this process's cached cipher contexts of it; every other
 * process drops its own when it next seals or opens a record. */
void tls_record_clear(struct tls_record *record);

/* Seals N bytes (at most record->fragment) of TYPE into OUT, which has
 * room for N + TLS_RECORD_OVERHEAD_MAX. *N_OUT bytes were written. TLS_RC_OK,
 * TLS_RC_LIMIT when the sequence number or the key is used up, TLS_RC_TLS. */
enum tls_rc tls_record_seal(struct tls_record *record,
		enum tls_record_type type, const unsigned char *data, size_t n,
		unsigned char *out, size_t *n_out, struct tls_err *err) TLS_MUST_CHECK;

/* Opens the record of N bytes at IN (header and all of its body) into OUT,
 * which has room for N bytes and must not overlap IN. *TYPE is the (inner)
 * content type, *N_OUT the clear text length. TLS_RC_OK; TLS_RC_PEER with
 * *ALERT set to the alert that the RFC names (bad_record_mac, record_overflow,
 * unexpected_message); TLS_RC_LIMIT. The state is unchanged unless OK. */
enum tls_rc tls_record_open(struct tls_record *record, const unsigned char *in,
		size_t n, unsigned char *out, size_t *n_out, enum tls_record_type *type,
		int *alert, struct tls_err *err) TLS_MUST_CHECK;

/* TLS 1.3: the next generation of keys of one direction (RFC 8446 s7.2).
 * TLS_RC_OK, TLS_RC_TLS. */
enum tls_rc tls_record_update(struct tls_record *record,
		enum tls_record_side side, struct tls_err *err) TLS_MUST_CHECK;

/* True when the write key is near the limit of RFC 8446 s5.5 and a TLS 1.3
 * connection should update it. */
bool tls_record_wants_update(const struct tls_record *record);

#endif
