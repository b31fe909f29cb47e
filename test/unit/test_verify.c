/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the verification policy: settings to what OpenSSL is told. What
 * comes of it in handshakes is tested with the engine (test_conn_peer.c). */
#include <CUnit/CUnit.h>

#include "../../tls_verify.h"
#include "../lib/engine_pair.h"
#include "../lib/port_stub.h"

void test_verify_add(void);

#define NONE SSL_VERIFY_NONE
#define ASK SSL_VERIFY_PEER
#define MUST (SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT)
#define OFF TLS_VERIFY_CLIENT_OFF
#define ON TLS_VERIFY_CLIENT_ON
#define OPT TLS_VERIFY_CLIENT_OPTIONAL
#define NO_CA TLS_VERIFY_CLIENT_OPTIONAL_NO_CA

struct policy_row
{
	enum tls_verify_client verify_client;
	int verify;
	int require;
	int mode;
	bool lax; /* every chain passes */
	const char *reason;
};

static const struct policy_row policy_rows[] = {
		{NO_CA, 1, 0, ASK, false, "verify_certificate wins over no_ca"},
		{NO_CA, 0, 1, MUST, false, "require wins over no_ca"},
		{NO_CA, 1, 1, MUST, false, "both win over no_ca"},
		{OFF, 0, 1, MUST, false, "require alone verifies too"},
		{NO_CA, 0, 0, ASK, true, "the only lax one"},
		{OFF, 0, 0, NONE, false, "nothing is asked for"},
		{OFF, 1, 0, ASK, false, "verify what is sent"},
		{OFF, 1, 1, MUST, false, "classic mutual TLS"},
		{OPT, 0, 0, ASK, false, "optional"},
		{OPT, 0, 1, MUST, false, "optional, but required"},
		{ON, 0, 0, MUST, false, "on"},
		{ON, 1, 1, MUST, false, "on, said twice"},
};

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

static void test_policies(void)
{
	struct tls_profile_params params;
	size_t i;

	for(i = 0; i < sizeof(policy_rows) / sizeof(policy_rows[0]); i++) {
		const struct policy_row *row = &policy_rows[i];
		SSL_CTX *ctx = engine_raw_ctx(ENGINE_SERVER, NULL);
		SSL_verify_cb cb;

		tls_params_profile_init(&params);
		params.verify_client = row->verify_client;
		params.verify_certificate = row->verify;
		params.require_certificate = row->require;
		params.verify_depth = 4;
		CU_ASSERT_EQUAL(tls_verify_setup(ctx, TLS_ROLE_SERVER, &params, NULL),
				TLS_RC_OK);
		CU_ASSERT_EQUAL(SSL_CTX_get_verify_mode(ctx), row->mode);
		CU_ASSERT_EQUAL(SSL_CTX_get_verify_depth(ctx), 4);
		cb = SSL_CTX_get_verify_callback(ctx);
		CU_ASSERT_EQUAL(cb != NULL && cb(0, NULL) == 1, row->lax);
		CU_ASSERT_EQUAL(tls_verify_asks(&params), row->mode != NONE);
		CU_ASSERT_EQUAL(tls_verify_requires(&params), row->mode == MUST);
		SSL_CTX_free(ctx);
	}
}

/* A connection that began on a lax profile and is moved to each policy, as a
 * server name does: nothing of the lax one may stay (OpenSSL keeps the old
 * callback when the new one is NULL). */
static void test_moved(void)
{
	struct tls_profile_params lax_params, params;
	size_t i;

	tls_params_profile_init(&lax_params);
	lax_params.verify_client = NO_CA;
	for(i = 0; i < sizeof(policy_rows) / sizeof(policy_rows[0]); i++) {
		const struct policy_row *row = &policy_rows[i];
		SSL_CTX *lax = engine_raw_ctx(ENGINE_SERVER, NULL);
		SSL_CTX *to = engine_raw_ctx(ENGINE_SERVER, NULL);
		SSL_verify_cb cb;
		SSL *ssl;

		tls_params_profile_init(&params);
		params.verify_client = row->verify_client;
		params.verify_certificate = row->verify;
		params.require_certificate = row->require;
		CU_ASSERT_EQUAL(
				tls_verify_setup(lax, TLS_ROLE_SERVER, &lax_params, NULL),
				TLS_RC_OK);
		CU_ASSERT_EQUAL(tls_verify_setup(to, TLS_ROLE_SERVER, &params, NULL),
				TLS_RC_OK);
		ssl = SSL_new(lax);
		CU_ASSERT_PTR_NOT_NULL_FATAL(ssl);
		CU_ASSERT_TRUE(tls_verify_is_lax(ssl));
		tls_verify_move(ssl, to);
		cb = SSL_get_verify_callback(ssl);
		CU_ASSERT_EQUAL(SSL_get_verify_mode(ssl), row->mode);
		CU_ASSERT_EQUAL(cb != NULL && cb(0, NULL) == 1, row->lax);
		CU_ASSERT_EQUAL(tls_verify_is_lax(ssl), row->lax);
		SSL_free(ssl);
		SSL_CTX_free(lax);
		SSL_CTX_free(to);
	}
}

void test_verify_add(void)
{
	CU_pSuite suite = CU_add_suite("verify", begin, NULL);

	CU_add_test(suite, "policies", test_policies);
	CU_add_test(suite, "moved by a server name", test_moved);
}
