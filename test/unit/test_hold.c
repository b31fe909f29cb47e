/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of connections that wait, after the handshake, for somebody to let
 * them go on: no clear text flows before, all of it after, none at all when
 * the answer is no. Both roles, both record layers, TLS 1.2 and 1.3. */
#include <stdio.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_hold_add(void);

static int begin(void)
{
	port_stub_reset();
	engine_init();
	(void)!tls_ct_wrq_init_total(); /* may exist already */
	return 0;
}

static const char ours[] = "INVITE sip:first";
static const char theirs[] = "OPTIONS sip:second";

struct hold_case
{
	int end; /* of the engine that waits */
	enum tls_version version;
	bool own;
	bool allow;
};

static void run(const struct hold_case *row)
{
	struct tls_conn_args args = {.role = row->end == ENGINE_SERVER
												 ? TLS_ROLE_SERVER
												 : TLS_ROLE_CLIENT,
			.hold = true,
			.own_records = row->own};
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	struct tls_err err;
	struct tls_conn *conn;
	SSL_CTX *raw = engine_raw_ctx(
			1 - row->end, row->end == ENGINE_SERVER ? NULL : "ec");

	engine_profile_init(
			&profile, args.role, row->end == ENGINE_SERVER ? "ec" : NULL);
	engine_profile_version(&profile, row->version);
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	args.ctx = ctx;
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL_FATAL(
			tls_conn_new(&pair.conn[row->end], &args, &err), TLS_RC_OK);
	conn = pair.conn[row->end];
	engine_pair_raw(&pair, 1 - row->end, raw);
	CU_ASSERT_FALSE(tls_conn_is_held(conn));
	CU_ASSERT_EQUAL(engine_pair_write(&pair, row->end, ours, 6), TLS_RC_OK);
	CU_ASSERT_TRUE(engine_pair_handshake(&pair));
	CU_ASSERT_TRUE(tls_conn_is_held(conn));
	CU_ASSERT_TRUE(tls_conn_pending(conn));
	CU_ASSERT_PTR_NOT_NULL(tls_conn_info(conn));

	CU_ASSERT_EQUAL(
			engine_pair_write(&pair, 1 - row->end, theirs, sizeof(theirs)),
			TLS_RC_OK);
	CU_ASSERT_EQUAL(
			engine_pair_write(&pair, row->end, ours + 6, sizeof(ours) - 6),
			TLS_RC_OK);
	engine_pair_run(&pair);
	CU_ASSERT_EQUAL(pair.got[0].n + pair.got[1].n, 0);
	CU_ASSERT_EQUAL(tls_conn_queued(conn), sizeof(ours));

	tls_conn_release(conn, row->allow);
	CU_ASSERT_FALSE(tls_conn_is_held(conn));
	if(row->allow) {
		CU_ASSERT_TRUE(tls_conn_pending(conn));
		(void)engine_pair_write(&pair, row->end, "", 0);
		engine_pair_step_pending(&pair, row->end);
		engine_pair_run(&pair);
		CU_ASSERT_EQUAL_FATAL(pair.got[1 - row->end].n, sizeof(ours));
		CU_ASSERT_EQUAL(pair.got[row->end].n, sizeof(theirs));
		CU_ASSERT_EQUAL(
				memcmp(pair.got[1 - row->end].p, ours, sizeof(ours)), 0);
	} else {
		CU_ASSERT_EQUAL(tls_conn_state(conn), TLS_CONN_FAILED);
		CU_ASSERT_EQUAL(tls_conn_queued(conn), 0);
		CU_ASSERT_EQUAL(tls_conn_stashed(conn), 0);
		CU_ASSERT_NOT_EQUAL(
				engine_pair_write(&pair, row->end, ours, 6), TLS_RC_OK);
		engine_pair_run(&pair);
		CU_ASSERT_EQUAL(pair.got[0].n + pair.got[1].n, 0);
	}
	CU_ASSERT_PTR_NULL(pair.broken);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

static void test_hold(void)
{
	unsigned int i;

	for(i = 0; i < 16; i++) {
		struct hold_case row = {(int)(i & 1),
				i & 2 ? TLS_VERSION_1_2 : TLS_VERSION_1_3, (i & 4) != 0,
				(i & 8) != 0};

		run(&row);
	}
}

void test_hold_add(void)
{
	CU_pSuite suite = CU_add_suite("hold", begin, NULL);

	CU_add_test(suite, "nothing flows before it may", test_hold);
}
