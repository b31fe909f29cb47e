/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the engine against itself: every window and chop, order and
 * limits of the queue, what is pending, moves between processes, the ends of
 * a connection. Plain peers, forks and failing memory have their own files. */
#include "test_conn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_conn_add(void);

int test_conn_begin_own(void)
{
	int ret = test_conn_begin();

	engine_own_records = true;
	return ret;
}

void test_conn_add_twice(const char *name, void (*add)(CU_pSuite suite))
{
	char own[64];

	snprintf(own, sizeof(own), "%s own", name);
	add(CU_add_suite(name, test_conn_begin, test_conn_end));
	add(CU_add_suite(own, test_conn_begin_own, test_conn_end));
}

int test_conn_begin(void)
{
	engine_own_records = false;
	port_stub_reset();
	engine_init();
	return tls_ct_wrq_init_total() == TLS_RC_OK ? 0 : 1;
}

int test_conn_end(void)
{
	engine_own_records = false;
	tls_ct_wrq_destroy_total();
	port_stub_reset();
	return 0;
}

bool test_conn_is_full(void)
{
	return getenv("TLS_TEST_FULL") != NULL;
}

#define N_PAYLOAD 65536u

/* Bytes that show any loss, doubling or change of order. */
static const unsigned char *payload(void)
{
	static unsigned char bytes[N_PAYLOAD];
	unsigned int i, x = 12345;

	for(i = 0; i < N_PAYLOAD; i++) {
		x = x * 1103515245u + 12345u;
		bytes[i] = (unsigned char)(x >> 16);
	}
	return bytes;
}

struct suite_row
{
	const char *cert;
	enum tls_version version;
	const char *ciphers; /* NULL = the library's choice */
	const char *reason;
};

static char rsa_kx[] = "AES128-SHA";
static char cbc[] = "ECDHE-RSA-AES256-SHA384";

static const struct suite_row suite_rows[] = {
		{"ec", TLS_VERSION_1_3, NULL, "what new phones speak"},
		{"ec", TLS_VERSION_1_2, NULL, "what old phones speak"},
		{"rsa", TLS_VERSION_1_3, NULL, "RSA-PSS signature"},
		{"rsa", TLS_VERSION_1_2, NULL, "signature in the server's flight"},
		{"rsa", TLS_VERSION_1_2, rsa_kx, "key used for decryption"},
		{"rsa", TLS_VERSION_1_2, cbc, "encrypt and MAC apart"},
		{"ed", TLS_VERSION_1_3, NULL, "no digest in the signature"},
};
#define N_SUITES (sizeof(suite_rows) / sizeof(suite_rows[0]))

/* Contexts of both sides for ROW; FRAGMENT is ssl_max_send_fragment. */
static void contexts(
		struct tls_ctx *ctx[2], const struct suite_row *row, int fragment)
{
	struct engine_profile profile;
	struct tls_err err;
	int end;

	for(end = 0; end < 2; end++) {
		engine_profile_init(&profile,
				end == ENGINE_SERVER ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
				end == ENGINE_SERVER ? row->cert : NULL);
		engine_profile_version(&profile, row->version);
		profile.params.cipher_list = (char *)(uintptr_t)row->ciphers;
		profile.settings.ssl_max_send_fragment = fragment;
		if(end == ENGINE_CLIENT) {
			profile.params.verify_certificate = 1;
			profile.params.ca_list = (char *)(uintptr_t)pki_path("ca.pem");
		}
		/* processes beyond the one that runs the test */
		port_stub_set_process(0, 8);
		CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx[end], &profile, &err), TLS_RC_OK);
	}
}

static void contexts_free(struct tls_ctx *ctx[2])
{
	tls_ctx_free(&ctx[0]);
	tls_ctx_free(&ctx[1]);
	port_stub_set_process(0, 1);
}

static void pair_new(struct engine_pair *pair, struct tls_ctx *ctx[2])
{
	struct tls_err err;

	engine_pair_init(pair);
	CU_ASSERT_EQUAL_FATAL(
			engine_pair_engine(pair, ENGINE_SERVER, ctx[0], NULL, &err),
			TLS_RC_OK);
	CU_ASSERT_EQUAL_FATAL(engine_pair_engine(pair, ENGINE_CLIENT, ctx[1],
								  "unit.example", &err),
			TLS_RC_OK);
}

static void report(const struct engine_pair *pair, const char *what, size_t n)
{
	if(pair->broken != NULL)
		fprintf(stderr, "\n%s %zu: %s (%s / %s)\n", what, n, pair->broken,
				pair->err[0].text, pair->err[1].text);
}

static bool got(const struct engine_pair *pair, int end, size_t n)
{
	return pair->got[end].n == n
		   && (n == 0 || !memcmp(pair->got[end].p, payload(), n));
}

/* Handshake and N bytes each way over PAIR as it is set up. */
static void exchange(
		struct engine_pair *pair, size_t n, const char *what, size_t size)
{
	CU_ASSERT_TRUE(engine_pair_handshake(pair));
	CU_ASSERT_EQUAL(
			engine_pair_write(pair, ENGINE_CLIENT, payload(), n), TLS_RC_OK);
	CU_ASSERT_EQUAL(
			engine_pair_write(pair, ENGINE_SERVER, payload(), n), TLS_RC_OK);
	engine_pair_run(pair);
	CU_ASSERT_TRUE(got(pair, ENGINE_SERVER, n));
	CU_ASSERT_TRUE(got(pair, ENGINE_CLIENT, n));
	CU_ASSERT_PTR_NULL(pair->broken);
	report(pair, what, size);
}

/* ---- windows and chops ---- */

static void test_chops(void)
{
	static const size_t chops[] = {
			1, 2, 3, 5, 6, 7, 64, 333, 1460, 16384 + 5 + 256, 65535};
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	size_t r, i;

	for(r = 0; r < N_SUITES; r++) {
		contexts(ctx, &suite_rows[r], -1);
		for(i = 0; i < sizeof(chops) / sizeof(chops[0]); i++) {
			pair_new(&pair, ctx);
			pair.chop = chops[i];
			exchange(&pair, chops[i] < 64 ? 700 : 20000, "chop", chops[i]);
			engine_pair_clear(&pair);
		}
		contexts_free(ctx);
	}
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
}

static void test_windows(void)
{
	static const size_t more[] = {65, 100, 511, 512, 1000, 4096, 16384};
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	size_t r, i, size;

	for(r = 0; r < 4; r++) {
		contexts(ctx, &suite_rows[r], -1);
		for(i = 1; i <= 64 + sizeof(more) / sizeof(more[0]); i++) {
			size = i <= 64 ? i : more[i - 65];
			pair_new(&pair, ctx);
			pair.out_size = size;
			exchange(&pair, 300, "out window", size);
			engine_pair_clear(&pair);
			pair_new(&pair, ctx);
			pair.clear_size = size;
			pair.chop = i % 2 ? (size_t)1 << 30 : 100;
			exchange(&pair, 3000, "clear window", size);
			engine_pair_clear(&pair);
		}
		contexts_free(ctx);
	}
}

/* Writes N bytes through windows of SIZE as a host does, which comes again
 * only while it has bytes left. True when nothing stayed behind. */
static bool write_as_host(struct engine_pair *pair, size_t n, size_t size)
{
	static const struct tls_ct_wrq_limits limits = {65536, 65536, 512};
	unsigned char *out = malloc(size);
	size_t done = 0;
	bool whole = true;

	pair->got[ENGINE_CLIENT].n = 0;
	while(done < n) {
		struct tls_conn_io io = {.out = out, .out_size = size};
		struct tls_err err;
		size_t taken = 0;
		enum tls_rc rc = tls_conn_write(pair->conn[ENGINE_SERVER],
				payload() + done, n - done, &taken, &io, &limits, &err);

		done += taken;
		engine_bytes_add(&pair->wire[ENGINE_CLIENT], out, io.n_out);
		whole = whole && (rc == TLS_RC_OK || rc == TLS_RC_AGAIN)
				&& (rc == TLS_RC_OK) == (done == n);
		if(!whole)
			break;
	}
	free(out);
	engine_pair_run(pair);
	return whole && pair->got[ENGINE_CLIENT].n == n
		   && memcmp(pair->got[ENGINE_CLIENT].p, payload(), n) == 0;
}

/* A host whose bytes were all taken does not call again: from a certain size
 * of the window on no ciphertext may be left for such a call. */
static void test_full_window(void)
{
	static const size_t sizes[] = {TLS_CONN_OUT_LEAST, TLS_CONN_OUT_LEAST + 1,
			129, 200, 511, 1000, 4096, 16384, 65536};
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	size_t r, i, n;

	for(r = 0; r < 2; r++) {
		contexts(ctx, &suite_rows[r], -1);
		pair_new(&pair, ctx);
		CU_ASSERT_TRUE_FATAL(engine_pair_handshake(&pair));
		for(i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			for(n = 1; n < 400; n += 7)
				CU_ASSERT_TRUE(write_as_host(&pair, n, sizes[i]));
			CU_ASSERT_TRUE(write_as_host(&pair, N_PAYLOAD, sizes[i]));
		}
		engine_pair_clear(&pair);
		contexts_free(ctx);
	}
}

/* All windows and the chop small and different at once. */
static void test_all_small(void)
{
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	size_t r, i;

	for(r = 0; r < N_SUITES; r++) {
		contexts(ctx, &suite_rows[r], 512);
		for(i = 1; i <= 9; i++) {
			pair_new(&pair, ctx);
			pair.out_size = i;
			pair.clear_size = 1 + i * 7 % 9;
			pair.chop = 1 + i * 5 % 9;
			exchange(&pair, 1200, "all small", i);
			engine_pair_clear(&pair);
		}
		contexts_free(ctx);
	}
}

struct bulk_row
{
	size_t piece; /* bytes per write */
	int fragment;
	size_t chop;
	const char *reason;
};

static const struct bulk_row bulk_rows[] = {
		{65536, -1, 65535, "one message in four records"},
		{65536, 512, 4000, "one message in 128 records"},
		{16384, -1, 1460, "records of full size"},
		{16385, -1, 16384, "one byte more than a record"},
		{1, -1, 65535, "thousands of records in one chop"},
		{1300, -1, 1, "SIP messages, a byte at a time"},
};

static void test_bulk(void)
{
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	size_t r, i, at, n, total;

	for(i = 0; i < 2; i++) {
		for(r = 0; r < sizeof(bulk_rows) / sizeof(bulk_rows[0]); r++) {
			const struct bulk_row *row = &bulk_rows[r];

			contexts(ctx, &suite_rows[i], row->fragment);
			pair_new(&pair, ctx);
			pair.chop = row->chop;
			CU_ASSERT_TRUE(engine_pair_handshake(&pair));
			total = row->piece == 1 ? 5000 : N_PAYLOAD;
			for(at = 0; at < total; at += n) {
				n = total - at < row->piece ? total - at : row->piece;
				CU_ASSERT_EQUAL(engine_pair_write(&pair, ENGINE_CLIENT,
										payload() + at, n),
						TLS_RC_OK);
				CU_ASSERT_EQUAL(engine_pair_write(&pair, ENGINE_SERVER,
										payload() + at, n),
						TLS_RC_OK);
			}
			engine_pair_run(&pair);
			CU_ASSERT_TRUE(got(&pair, ENGINE_SERVER, total));
			CU_ASSERT_TRUE(got(&pair, ENGINE_CLIENT, total));
			CU_ASSERT_PTR_NULL(pair.broken);
			report(&pair, row->reason, r);
			engine_pair_clear(&pair);
			contexts_free(ctx);
		}
	}
}

/* ---- pending (hazard 12) ---- */

/* Feeds all of the wire in ONE step with a clear window of SIZE and reads on
 * only while the engine says that something is pending: nothing may remain. */
static void pending_case(struct tls_ctx *ctx[2], size_t size, size_t piece)
{
	unsigned char *clear = malloc(size), out[4096];
	struct engine_pair pair;
	struct tls_conn_io io = {0};
	size_t at, total = 40000;
	bool more = true;
	struct tls_err err;

	pair_new(&pair, ctx);
	CU_ASSERT_TRUE_FATAL(engine_pair_handshake(&pair));
	for(at = 0; at < total; at += piece)
		CU_ASSERT_EQUAL(engine_pair_write(&pair, ENGINE_CLIENT, payload() + at,
								total - at < piece ? total - at : piece),
				TLS_RC_OK);
	io.in = pair.wire[ENGINE_SERVER].p;
	io.n_in = pair.wire[ENGINE_SERVER].n;
	io.out = out;
	io.out_size = sizeof(out);
	io.clear = clear;
	io.clear_size = size;
	while(more) {
		CU_ASSERT_EQUAL_FATAL(
				tls_conn_read(pair.conn[ENGINE_SERVER], &io, &err), TLS_RC_OK);
		engine_bytes_add(&pair.got[ENGINE_SERVER], clear, io.n_clear);
		more = tls_conn_pending(pair.conn[ENGINE_SERVER]);
		CU_ASSERT_TRUE(more || tls_conn_stashed(pair.conn[0]) == 0);
		io.in = NULL;
		io.n_in = 0;
	}
	CU_ASSERT_TRUE(got(&pair, ENGINE_SERVER, total));
	/* and indeed nothing was left behind */
	CU_ASSERT_EQUAL(tls_conn_read(pair.conn[0], &io, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL(io.n_clear, 0);
	engine_pair_clear(&pair);
	free(clear);
}

static void test_pending(void)
{
	static const size_t sizes[] = {1, 7, 99, 100, 101, 1000, 4096, 16383, 16384,
			16385, 39999, 40000, 40001};
	static const size_t pieces[] = {100, 1000, 16384, 40000};
	struct tls_ctx *ctx[2];
	size_t r, i, p;

	for(r = 0; r < 2; r++) {
		contexts(ctx, &suite_rows[r], -1);
		for(i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			for(p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++)
				pending_case(ctx, sizes[i], pieces[p]);
		}
		contexts_free(ctx);
	}
}

/* A write between two reads must not make the engine forget what waits. */
static void test_pending_over_write(void)
{
	struct tls_ct_wrq_limits limits = {65536, 65536, 512};
	unsigned char clear[10], out[4096];
	struct tls_conn_io io = {NULL, 0, out, sizeof(out), 0, clear, 10, 0};
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	struct tls_conn *conn;
	struct tls_err err;
	size_t n;

	contexts(ctx, &suite_rows[0], -1);
	pair_new(&pair, ctx);
	CU_ASSERT_TRUE_FATAL(engine_pair_handshake(&pair));
	conn = pair.conn[ENGINE_SERVER];
	CU_ASSERT_EQUAL(
			engine_pair_write(&pair, ENGINE_CLIENT, payload(), 100), TLS_RC_OK);
	io.in = pair.wire[ENGINE_SERVER].p;
	io.n_in = pair.wire[ENGINE_SERVER].n;
	CU_ASSERT_EQUAL(tls_conn_kept(conn), 0);
	CU_ASSERT_EQUAL(tls_conn_read(conn, &io, &err), TLS_RC_OK);
	CU_ASSERT_TRUE(tls_conn_pending(conn));
	CU_ASSERT_EQUAL(tls_conn_kept(conn), 90);
	CU_ASSERT_EQUAL(tls_conn_want(conn), TLS_CONN_WANT_APP);
	CU_ASSERT_EQUAL(
			tls_conn_write(conn, "x", 1, &n, &io, &limits, &err), TLS_RC_OK);
	CU_ASSERT_TRUE(tls_conn_pending(conn));
	CU_ASSERT_EQUAL(tls_conn_want(conn), TLS_CONN_WANT_APP);
	engine_pair_clear(&pair);
	contexts_free(ctx);
}

/* ---- the queue ---- */

static void test_queue_order(void)
{
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	size_t r, i, out;

	for(r = 0; r < N_SUITES; r++) {
		contexts(ctx, &suite_rows[r], -1);
		for(out = 1; out <= 65536; out *= 16) {
			pair_new(&pair, ctx);
			pair.out_size = out;
			for(i = 0; i < 5; i++) {
				CU_ASSERT_EQUAL(engine_pair_write(&pair, ENGINE_CLIENT,
										payload() + i * 1000, 1000),
						TLS_RC_OK);
				CU_ASSERT_EQUAL(engine_pair_write(&pair, ENGINE_SERVER,
										payload() + i * 1000, 1000),
						TLS_RC_OK);
			}
			CU_ASSERT_EQUAL(tls_conn_queued(pair.conn[0]), 5000);
			CU_ASSERT_EQUAL(tls_conn_queued(pair.conn[1]), 5000);
			CU_ASSERT_EQUAL(tls_ct_wrq_total(), 10000);
			CU_ASSERT_TRUE(engine_pair_handshake(&pair));
			CU_ASSERT_TRUE(got(&pair, ENGINE_SERVER, 5000));
			CU_ASSERT_TRUE(got(&pair, ENGINE_CLIENT, 5000));
			CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
			report(&pair, suite_rows[r].reason, out);
			engine_pair_clear(&pair);
		}
		contexts_free(ctx);
	}
}

struct limit_row
{
	size_t con_max;
	size_t total_max;
	size_t first;
	size_t second;
	enum tls_rc rc; /* of the second write */
	const char *reason;
};

static const struct limit_row limit_rows[] = {
		{0, 65536, 0, 1, TLS_RC_LIMIT, "nothing may wait"},
		{100, 65536, 100, 1, TLS_RC_LIMIT, "one byte over the own limit"},
		{100, 65536, 50, SIZE_MAX / 2, TLS_RC_LIMIT, "a sum that wraps"},
		{65536, 100, 60, 41, TLS_RC_LIMIT, "one byte over the total"},
		{65536, 0, 0, 1, TLS_RC_LIMIT, "no total"},
		{100, 100, 60, 40, TLS_RC_OK, "exactly full"},
		{100, 100, 100, 0, TLS_RC_OK, "nothing more is always fine"},
};

static void test_queue_limits(void)
{
	unsigned char out[4096];
	struct tls_conn_io io = {NULL, 0, out, sizeof(out), 0, NULL, 0, 0};
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	struct tls_err err;
	size_t i, n, before;

	contexts(ctx, &suite_rows[0], -1);
	for(i = 0; i < sizeof(limit_rows) / sizeof(limit_rows[0]); i++) {
		const struct limit_row *row = &limit_rows[i];
		struct tls_ct_wrq_limits limits = {row->con_max, row->total_max, 64};
		struct tls_conn *conn;

		pair_new(&pair, ctx);
		conn = pair.conn[ENGINE_CLIENT];
		CU_ASSERT_EQUAL(tls_conn_write(conn, payload(), row->first, &n, &io,
								&limits, &err),
				TLS_RC_OK);
		engine_bytes_add(&pair.wire[ENGINE_SERVER], out, io.n_out);
		before = tls_conn_queued(conn);
		CU_ASSERT_EQUAL(before, row->first);
		CU_ASSERT_EQUAL(tls_conn_write(conn, payload() + row->first,
								row->second, &n, &io, &limits, &err),
				row->rc);
		engine_bytes_add(&pair.wire[ENGINE_SERVER], out, io.n_out);
		if(row->rc == TLS_RC_LIMIT) {
			CU_ASSERT_EQUAL(n, 0);
			CU_ASSERT_EQUAL(tls_conn_queued(conn), before);
			CU_ASSERT_EQUAL(tls_ct_wrq_total(), before);
			CU_ASSERT_EQUAL(tls_conn_state(conn), TLS_CONN_HANDSHAKE);
			CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "con_ct_wq_max"));
		}
		n += before;
		/* the connection lives on, with what was queued */
		CU_ASSERT_TRUE(engine_pair_handshake(&pair));
		CU_ASSERT_TRUE(got(&pair, ENGINE_SERVER, n));
		CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
		engine_pair_clear(&pair);
	}
	contexts_free(ctx);
}

/* A connection that dies with a full queue takes it off the total. */
static void test_queue_dies(void)
{
	static const unsigned char junk[] = {22, 3, 3, 0, 4, 1, 2, 3, 4};
	struct engine_pair pair;
	struct tls_ctx *ctx[2];

	contexts(ctx, &suite_rows[0], -1);
	pair_new(&pair, ctx);
	CU_ASSERT_EQUAL(engine_pair_write(&pair, ENGINE_CLIENT, payload(), 5000),
			TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 5000);
	engine_pair_clear(&pair);
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);

	pair_new(&pair, ctx);
	CU_ASSERT_EQUAL(engine_pair_write(&pair, ENGINE_CLIENT, payload(), 5000),
			TLS_RC_OK);
	engine_bytes_add(&pair.wire[ENGINE_CLIENT], junk, sizeof(junk));
	engine_pair_step(&pair, ENGINE_CLIENT);
	CU_ASSERT_EQUAL(tls_conn_state(pair.conn[1]), TLS_CONN_FAILED);
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
	CU_ASSERT_PTR_NULL(pair.broken);
	engine_pair_clear(&pair);
	contexts_free(ctx);
}

/* ---- processes ---- */

static unsigned int n_key_changes;

/* In front of the library's: every key object that an SSL object is given
 * after its first one passes here. */
int SSL_use_PrivateKey(SSL *ssl, EVP_PKEY *key)
{
	static int (*next)(SSL *, EVP_PKEY *);

	if(next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "SSL_use_PrivateKey");
	n_key_changes++;
	return next(ssl, key);
}

/* Each step in another process: its own key each time (hazard 4). */
static void test_moves(void)
{
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	size_t r;

	for(r = 0; r < N_SUITES; r++) {
		contexts(ctx, &suite_rows[r], -1);
		n_key_changes = 0;
		pair_new(&pair, ctx);
		CU_ASSERT_TRUE(engine_pair_handshake(&pair));
		CU_ASSERT_EQUAL(n_key_changes, 0); /* stayed in one process */
		engine_pair_clear(&pair);

		n_key_changes = 0;
		pair_new(&pair, ctx);
		pair.processes = 8;
		pair.chop = 300;
		pair.out_size = 500;
		exchange(&pair, 3000, "moves", r);
		/* at least the hello and the flight were handled elsewhere */
		CU_ASSERT_TRUE(n_key_changes >= 2);
		engine_pair_clear(&pair);
		contexts_free(ctx);
	}
}

/* ---- ends ---- */

/* Our own shutdown at END, its bytes on the wire. */
static size_t shut(struct engine_pair *pair, int end)
{
	unsigned char out[512];
	struct tls_conn_io io = {NULL, 0, out, sizeof(out), 0, NULL, 0, 0};

	tls_conn_shutdown(pair->conn[end], &io);
	CU_ASSERT_TRUE(io.n_out <= sizeof(out));
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	engine_bytes_add(&pair->wire[1 - end], out, io.n_out);
	return io.n_out;
}

static void test_shutdown(void)
{
	struct tls_ct_wrq_limits limits = {100, 100, 64};
	unsigned char out[512];
	struct tls_conn_io io = {NULL, 0, out, sizeof(out), 0, NULL, 0, 0};
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	struct tls_err err;
	size_t r, n;
	int end;

	for(r = 0; r < N_SUITES; r++) {
		contexts(ctx, &suite_rows[r], -1);
		for(end = 0; end < 2; end++) {
			pair_new(&pair, ctx);
			CU_ASSERT_EQUAL(shut(&pair, end), 0); /* too early: nothing */
			CU_ASSERT_TRUE(engine_pair_handshake(&pair));
			CU_ASSERT_EQUAL(
					tls_conn_eof(pair.conn[1 - end], &err), TLS_RC_PEER);
			CU_ASSERT_PTR_NOT_NULL(strstr(err.text,
					"the peer closed the connection without close_notify"));
			engine_pair_write(&pair, end, payload(), 100);
			CU_ASSERT_TRUE(shut(&pair, end) > 0);
			CU_ASSERT_EQUAL(shut(&pair, end), 0); /* once */
			engine_pair_run(&pair);
			CU_ASSERT_EQUAL(pair.rc[1 - end], TLS_RC_CLOSED);
			CU_ASSERT_TRUE(got(&pair, 1 - end, 100));
			CU_ASSERT_EQUAL(
					tls_conn_state(pair.conn[1 - end]), TLS_CONN_CLOSED);
			CU_ASSERT_EQUAL(
					tls_conn_eof(pair.conn[1 - end], &err), TLS_RC_CLOSED);
			if(suite_rows[r].version == TLS_VERSION_1_3) {
				/* RFC 8446 s6.1: only one direction has ended */
				engine_pair_write(&pair, 1 - end, payload(), 50);
				engine_pair_run(&pair);
				CU_ASSERT_TRUE(got(&pair, end, 50));
			} else
				CU_ASSERT_EQUAL(tls_conn_write(pair.conn[1 - end], "x", 1, &n,
										&io, &limits, &err),
						TLS_RC_CLOSED);
			CU_ASSERT_EQUAL(tls_conn_read(pair.conn[1 - end], &io, &err),
					TLS_RC_CLOSED);
			CU_ASSERT_TRUE(shut(&pair, 1 - end) > 0); /* answer */
			engine_pair_run(&pair);
			CU_ASSERT_EQUAL(tls_conn_state(pair.conn[end]), TLS_CONN_CLOSED);
			CU_ASSERT_PTR_NULL(pair.broken);
			engine_pair_clear(&pair);
		}
		contexts_free(ctx);
	}
}

static void test_eof(void)
{
	static const unsigned char junk[] = {22, 3, 3, 0, 4, 1, 2, 3, 4};
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	struct tls_err err;

	contexts(ctx, &suite_rows[0], -1);
	pair_new(&pair, ctx);
	/* a scan that opens and closes is no error */
	CU_ASSERT_EQUAL(tls_conn_eof(pair.conn[0], &err), TLS_RC_CLOSED);
	engine_pair_step(&pair, ENGINE_CLIENT);
	engine_pair_step(&pair, ENGINE_SERVER);
	CU_ASSERT_EQUAL(tls_conn_eof(pair.conn[0], &err), TLS_RC_PEER);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "handshake"));
	engine_bytes_clear(&pair.wire[ENGINE_SERVER]);
	engine_bytes_add(&pair.wire[ENGINE_SERVER], junk, sizeof(junk));
	engine_pair_step(&pair, ENGINE_SERVER);
	CU_ASSERT_EQUAL(tls_conn_eof(pair.conn[0], &err), TLS_RC_PEER);
	CU_ASSERT_EQUAL(tls_conn_state(pair.conn[0]), TLS_CONN_FAILED);
	CU_ASSERT_PTR_NULL(pair.broken);
	engine_pair_clear(&pair);
	contexts_free(ctx);
}

/* A failed connection stays failed, whatever comes. */
static void test_failed_stays(void)
{
	static const char says[] = "the connection has failed";
	struct tls_ct_wrq_limits limits = {100, 100, 64};
	unsigned char out[512], clear[512];
	struct tls_conn_io io = {(const unsigned char *)"GET / HTTP/1.1\r\n\r\n",
			18, out, sizeof(out), 0, clear, sizeof(clear), 0};
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	struct tls_err err;
	size_t n;
	int i;

	contexts(ctx, &suite_rows[0], -1);
	pair_new(&pair, ctx);
	CU_ASSERT_EQUAL(tls_conn_read(pair.conn[0], &io, &err), TLS_RC_PEER);
	CU_ASSERT_NOT_EQUAL(err.text[0], '\0');
	for(i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(tls_conn_read(pair.conn[0], &io, &err), TLS_RC_PEER);
		CU_ASSERT_STRING_EQUAL(err.text, says);
		CU_ASSERT_EQUAL(io.n_out, 0);
		tls_err_clear(&err);
		CU_ASSERT_EQUAL(
				tls_conn_write(pair.conn[0], "x", 1, &n, &io, &limits, &err),
				TLS_RC_PEER);
		CU_ASSERT_STRING_EQUAL(err.text, says);
		CU_ASSERT_EQUAL(n, 0);
		tls_err_clear(&err);
		CU_ASSERT_EQUAL(tls_conn_eof(pair.conn[0], &err), TLS_RC_PEER);
		CU_ASSERT_STRING_EQUAL(err.text, says);
		tls_conn_shutdown(pair.conn[0], &io);
		CU_ASSERT_EQUAL(io.n_out, 0);
		CU_ASSERT_TRUE(tls_conn_is_valid(pair.conn[0]));
		CU_ASSERT_FALSE(tls_conn_pending(pair.conn[0]));
	}
	engine_pair_clear(&pair);
	contexts_free(ctx);
}

static void test_free_anywhere(void)
{
	struct tls_conn *none = NULL;
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	size_t live;
	int round, steps;

	tls_conn_free(&none);
	contexts(ctx, &suite_rows[1], -1);
	for(round = 0, live = 0; round < 3; round++) {
		for(steps = 0; steps < 8; steps++) {
			int i;

			pair_new(&pair, ctx);
			engine_pair_write(&pair, ENGINE_SERVER, payload(), 100);
			for(i = 0; i < steps; i++)
				engine_pair_step(&pair, i % 2 ? ENGINE_SERVER : ENGINE_CLIENT);
			engine_pair_clear(&pair);
		}
		tls_ossl_thread_stop();
		/* the first round makes what the library keeps for good */
		CU_ASSERT_TRUE(round < 2 || engine_live_blocks() == live);
		live = engine_live_blocks();
	}
	contexts_free(ctx);
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
}

static void add_tests(CU_pSuite suite)
{
	CU_add_test(suite, "failed stays failed", test_failed_stays);
	CU_add_test(suite, "every chop of the wire", test_chops);
	CU_add_test(suite, "every window", test_windows);
	CU_add_test(suite, "nothing behind a full window", test_full_window);
	CU_add_test(suite, "all small at once", test_all_small);
	CU_add_test(suite, "64 KB both ways", test_bulk);
	CU_add_test(suite, "nothing decrypted is forgotten", test_pending);
	CU_add_test(suite, "pending over a write", test_pending_over_write);
	CU_add_test(suite, "queue keeps the order", test_queue_order);
	CU_add_test(suite, "queue limits", test_queue_limits);
	CU_add_test(suite, "queue of the dead", test_queue_dies);
	CU_add_test(suite, "each step elsewhere", test_moves);
	CU_add_test(suite, "close_notify", test_shutdown);
	CU_add_test(suite, "end of stream", test_eof);
	CU_add_test(suite, "free at any moment", test_free_anywhere);
}

void test_conn_add(void)
{
	test_conn_add_twice("conn", add_tests);
	test_conn_peer_add();
	test_conn_fork_add();
	test_conn_oom_add();
}
