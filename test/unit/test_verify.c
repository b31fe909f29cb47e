/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the verification policy: settings to what OpenSSL is told. What
 * comes of it in handshakes is tested with the engine (test_conn_peer.c). */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_verify.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
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

/* ---- what tells policies apart ---- */

static void digest_of(const struct tls_profile_params *params,
		unsigned char out[SHA256_DIGEST_LENGTH])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct tls_err err;
	enum tls_rc rc;

	memset(out, 0, SHA256_DIGEST_LENGTH);
	CU_ASSERT_EQUAL(EVP_DigestInit_ex(md, EVP_sha256(), NULL), 1);
	rc = tls_verify_digest(md, params, &err);
	if(rc != TLS_RC_OK)
		fprintf(stderr, "\n%s\n", err.text);
	CU_ASSERT_EQUAL(rc, TLS_RC_OK);
	CU_ASSERT_EQUAL(EVP_DigestFinal_ex(md, out, NULL), 1);
	EVP_MD_CTX_free(md);
}

/* Files, directories and the CAs of the system: each can be digested, each is
 * another policy, and so is each change of what they hold. */
static void test_digests(void)
{
	unsigned char all[12][SHA256_DIGEST_LENGTH], again[SHA256_DIGEST_LENGTH],
			other[SHA256_DIGEST_LENGTH];
	char ca[PKI_PATH_MAX], lists[PKI_PATH_MAX], hashed[PKI_PATH_MAX];
	struct tls_profile_params params;
	size_t n = 0, i, k;

	/* the buffers of pki_path do not last */
	snprintf(ca, sizeof(ca), "%s", pki_path("ca.pem"));
	snprintf(lists, sizeof(lists), "%s", pki_path("digested"));
	snprintf(hashed, sizeof(hashed), "%s", pki_path("hashed"));
	mkdir(pki_path("digested"), 0700);
	tls_params_profile_init(&params);
	digest_of(&params, all[n++]);
	params.ca_list = (char *)(uintptr_t)TLS_PARAMS_SYSTEM_CA;
	digest_of(&params, all[n++]);
	params.ca_list = ca;
	digest_of(&params, all[n++]);
	params.crl = lists;
	digest_of(&params, all[n++]);
	params.crl_check = (char *)(uintptr_t) "leaf";
	digest_of(&params, all[n++]);
	params.ca_path = lists;
	digest_of(&params, all[n++]);
	pki_join("digested/a.pem", "crl.pem", NULL);
	digest_of(&params, all[n++]);
	pki_join("digested/a.pem", "crl.pem", "ca.pem");
	digest_of(&params, all[n++]);
	/* a CA in a hashed directory: its name decides whether it is found */
	mkdir(pki_path("hashed"), 0700);
	params.ca_path = hashed;
	digest_of(&params, all[n++]);
	pki_join("hashed/0a0b0c0d.0", "ca.pem", NULL);
	digest_of(&params, all[n++]);
	/* what the library never opens does not have to be readable */
	digest_of(&params, again);
	pki_write("hashed/README", "", 0);
	pki_write("hashed/0a0b0c0d.x", "", 0);
	digest_of(&params, other);
	CU_ASSERT_EQUAL(memcmp(other, again, sizeof(again)), 0);
	unlink(pki_path("hashed/README"));
	unlink(pki_path("hashed/0a0b0c0d.x"));
	rename(pki_path("hashed/0a0b0c0d.0"), pki_path("hashed/0a0b0c0e.0"));
	digest_of(&params, all[n++]);
	params.ocsp = (char *)(uintptr_t) "require";
	digest_of(&params, all[n++]);
	CU_ASSERT_EQUAL_FATAL(n, sizeof(all) / sizeof(all[0]));
	digest_of(&params, again);
	CU_ASSERT_EQUAL(memcmp(all[n - 1], again, sizeof(again)), 0);
	for(i = 0; i < n; i++) {
		for(k = 0; k < i; k++)
			CU_ASSERT_NOT_EQUAL(memcmp(all[i], all[k], sizeof(again)), 0);
	}
	unlink(pki_path("digested/a.pem"));
	unlink(pki_path("hashed/0a0b0c0e.0"));
}

/* Each setting that decides about a peer tells two policies apart, alone. */
static void test_each_setting(void)
{
	unsigned char all[16][SHA256_DIGEST_LENGTH];
	struct tls_profile_params params;
	size_t n = 0, i, k;

#define WITH(member_, value_)             \
	do {                                  \
		tls_params_profile_init(&params); \
		params.member_ = value_;          \
		digest_of(&params, all[n++]);     \
	} while(0)
	WITH(verify_depth, TLS_VERIFY_DEPTH_DEFAULT); /* nothing is changed */
	WITH(verify_certificate, 1);
	WITH(require_certificate, 1);
	WITH(verify_client, ON);
	WITH(verify_client, OPT);
	WITH(verify_client, NO_CA);
	WITH(verify_depth, 1);
	WITH(verify_name_wildcards, 1);
	WITH(verify_name, (char *)(uintptr_t) "sip");
	WITH(peer_names, (char *)(uintptr_t) "sip");
	WITH(verify_eku, (char *)(uintptr_t) "sip");
	WITH(peer_pin, (char *)(uintptr_t) "sip");
	WITH(crl_check, (char *)(uintptr_t) "sip");
	WITH(ocsp, (char *)(uintptr_t) "sip");
#undef WITH
	CU_ASSERT_TRUE_FATAL(n <= sizeof(all) / sizeof(all[0]));
	for(i = 0; i < n; i++) {
		for(k = 0; k < i; k++)
			CU_ASSERT_NOT_EQUAL(memcmp(all[i], all[k], sizeof(all[0])), 0);
	}
}

void test_verify_add(void)
{
	CU_pSuite suite = CU_add_suite("verify", begin, NULL);

	CU_add_test(suite, "policies", test_policies);
	CU_add_test(suite, "digests of policies", test_digests);
	CU_add_test(suite, "each setting in the digest", test_each_setting);
	CU_add_test(suite, "moved by a server name", test_moved);
}
