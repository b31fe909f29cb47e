/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the facts of a connection: filled, bounded, cleared, and honest
 * before anything is known. Names on the wire: test_conn_peer.c. */
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_info.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_info_add(void);

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

static void test_unfilled(void)
{
	struct tls_info info = {0}, *none = NULL;
	char text[64];

	CU_ASSERT_STRING_EQUAL(tls_info_version(&info), "unknown");
	CU_ASSERT_STRING_EQUAL(tls_info_cipher(&info), "unknown");
	CU_ASSERT_EQUAL(tls_info_cipher_bits(&info), 0);
	tls_info_cipher_description(&info, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "unknown");
	CU_ASSERT_FALSE(tls_info_peer_verified(&info)); /* never by default */
	info.version = 0x7777;
	CU_ASSERT_STRING_EQUAL(tls_info_version(&info), "unknown");
	tls_info_free(&none);
	CU_ASSERT_PTR_NULL(none);
}

/* Two plain ends, handshake done: the client asks for NAME and has shown a
 * certificate when the server ASKS for one. */
static void connect_as(struct engine_pair *pair, SSL_CTX *ctx[2], int version,
		const char *name, bool asks)
{
	int end;

	engine_pair_init(pair);
	for(end = 0; end < 2; end++) {
		ctx[end] = engine_raw_ctx(end, "ec");
		SSL_CTX_set_min_proto_version(ctx[end], version);
		SSL_CTX_set_max_proto_version(ctx[end], version);
		SSL_CTX_load_verify_file(ctx[end], pki_path("ca.pem"));
		engine_pair_raw(pair, end, ctx[end]);
	}
	SSL_set_verify(
			pair->raw[0], asks ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	SSL_set_tlsext_host_name(pair->raw[1], name);
	CU_ASSERT_TRUE_FATAL(engine_pair_handshake(pair));
}

static void connect_plain(
		struct engine_pair *pair, SSL_CTX *ctx[2], int version)
{
	connect_as(pair, ctx, version, "Unit.EXAMPLE", true);
}

static void disconnect(struct engine_pair *pair, SSL_CTX *ctx[2])
{
	engine_pair_clear(pair);
	SSL_CTX_free(ctx[0]);
	SSL_CTX_free(ctx[1]);
}

struct fact_row
{
	int version;
	const char *text;
};

static const struct fact_row fact_rows[] = {
		{TLS1_2_VERSION, "TLSv1.2"}, {TLS1_3_VERSION, "TLSv1.3"}};

static void check_facts(const struct tls_info *info, SSL *ssl, const char *text)
{
	char line[256];
	size_t size;

	CU_ASSERT_TRUE(info->peer_presented && !info->resumed);
	CU_ASSERT_TRUE(tls_info_peer_verified(info));
	CU_ASSERT_STRING_EQUAL(tls_info_version(info), text);
	CU_ASSERT_STRING_EQUAL(info->server_name, "unit.example");
	CU_ASSERT_STRING_EQUAL(tls_info_verify_text(info), "ok");
	CU_ASSERT_STRING_EQUAL(tls_info_cipher(info), SSL_get_cipher_name(ssl));
	CU_ASSERT_TRUE(tls_info_cipher_bits(info) >= 128);
	for(size = 1; size <= sizeof(line); size++) {
		memset(line, 'x', sizeof(line));
		tls_info_cipher_description(info, line, size);
		CU_ASSERT_TRUE(strnlen(line, size) < size);
		CU_ASSERT_PTR_NULL(strchr(line, '\n'));
		CU_ASSERT_TRUE(size == sizeof(line) || line[size] == 'x');
	}
}

static void test_facts(void)
{
	struct tls_info *info = NULL, *first;
	struct engine_pair pair;
	unsigned char *der = NULL;
	SSL_CTX *ctx[2];
	size_t i, n = (size_t)i2d_X509(pki_cert("ec"), &der);

	for(i = 0; i < 2; i++) {
		connect_plain(&pair, ctx, fact_rows[i].version);
		CU_ASSERT_EQUAL_FATAL(
				tls_info_add(&info, pair.raw[0], NULL), TLS_RC_OK);
		check_facts(info, pair.raw[0], fact_rows[i].text);
		/* a second handshake keeps the first facts: a script may read them */
		first = info;
		CU_ASSERT_EQUAL_FATAL(
				tls_info_add(&info, pair.raw[0], NULL), TLS_RC_OK);
		CU_ASSERT_PTR_NOT_EQUAL(info, first);
		CU_ASSERT_PTR_EQUAL(info->older, first);
		check_facts(first, pair.raw[0], fact_rows[i].text);
		/* the facts outlive the connection, in memory of their own */
		disconnect(&pair, ctx);
		CU_ASSERT_EQUAL_FATAL(info->peer_der_len, n);
		CU_ASSERT_EQUAL(memcmp(info->peer_der, der, n), 0);
		tls_info_free(&info);
		CU_ASSERT_PTR_NULL(info);
	}
	OPENSSL_free(der);
}

static void test_bounded(void)
{
	struct tls_info *info = NULL, *last;
	struct engine_pair pair;
	SSL_CTX *ctx[2];
	size_t live;
	int i;

	connect_plain(&pair, ctx, TLS1_2_VERSION);
	live = engine_live_blocks();
	for(i = 0; i <= TLS_INFO_AGAIN_MAX; i++)
		CU_ASSERT_EQUAL(tls_info_add(&info, pair.raw[0], NULL), TLS_RC_OK);
	last = info;
	for(i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(tls_info_add(&info, pair.raw[0], NULL), TLS_RC_LIMIT);
	CU_ASSERT_PTR_EQUAL(info, last);
	tls_info_free(&info);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	disconnect(&pair, ctx);
}

/* 54 characters: with the zero bytes behind name and ALPN just what fits. */
#define NAME_54 "a23456789.a23456789.a23456789.a23456789.a23456789.test"

static const struct
{
	const char *reason;
	const char *name;
	int end;   /* whose facts */
	bool asks; /* for the client's certificate */
	bool placed;
} place_rows[] = {
		{"a name that is too long by one", NAME_54 "s", 0, false, false},
		{"a certificate that is no one else's", "unit.test", 0, true, false},
		{"the longest name", NAME_54, 0, false, true},
		{"a server's certificate is shared", NAME_54, 1, true, true},
};

static void test_place(void)
{
	uint64_t room[TLS_INFO_ROOM + 1];
	struct tls_info *info, *first;
	struct engine_pair pair;
	SSL_CTX *ctx[2];
	size_t i, live;

	for(i = 0; i < sizeof(place_rows) / sizeof(place_rows[0]); i++) {
		connect_as(&pair, ctx, TLS1_3_VERSION, place_rows[i].name,
				place_rows[i].asks);
		live = engine_live_blocks();
		memset(room, 0x5a, sizeof(room));
		info = NULL;
		CU_ASSERT_EQUAL_FATAL(
				tls_info_add(&info, pair.raw[place_rows[i].end], room),
				TLS_RC_OK);
		if(((void *)info == room) != place_rows[i].placed)
			CU_FAIL(place_rows[i].reason);
		CU_ASSERT_EQUAL(room[TLS_INFO_ROOM], 0x5a5a5a5a5a5a5a5a);
		CU_ASSERT_STRING_EQUAL(info->server_name, place_rows[i].name);
		/* the room is taken: the next handshake must not write there */
		first = info;
		CU_ASSERT_EQUAL_FATAL(
				tls_info_add(&info, pair.raw[place_rows[i].end], room),
				TLS_RC_OK);
		CU_ASSERT_PTR_NOT_EQUAL(info, room);
		CU_ASSERT_STRING_EQUAL(first->server_name, place_rows[i].name);
		tls_info_free(&info);
		CU_ASSERT_EQUAL(engine_live_blocks(), live);
		disconnect(&pair, ctx);
	}
}

static void test_no_memory(void)
{
	struct tls_info *info = NULL;
	struct engine_pair pair;
	SSL_CTX *ctx[2];
	unsigned long k;
	size_t live;

	connect_plain(&pair, ctx, TLS1_3_VERSION);
	live = engine_live_blocks();
	for(k = 1;; k++) {
		engine_fail_at(k);
		if(tls_info_add(&info, pair.raw[0], NULL) == TLS_RC_OK)
			break;
		CU_ASSERT_PTR_NULL(info);
		CU_ASSERT_EQUAL(engine_live_blocks(), live);
	}
	engine_fail_at(0);
	CU_ASSERT_EQUAL(k, 2); /* one block for itself, certificate and name */
	tls_info_free(&info);
	CU_ASSERT_EQUAL(engine_live_blocks(), live);
	disconnect(&pair, ctx);
}

void test_info_add(void)
{
	CU_pSuite suite = CU_add_suite("info", begin, NULL);

	CU_add_test(suite, "nothing known", test_unfilled);
	CU_add_test(suite, "facts", test_facts);
	CU_add_test(suite, "renegotiations are bounded", test_bounded);
	CU_add_test(suite, "room of the caller", test_place);
	CU_add_test(suite, "no memory", test_no_memory);
}
