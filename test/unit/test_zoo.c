/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The zoo in handshakes: every strange certificate shown by a server to our
 * client and by a client to our server, in TLS 1.2 and 1.3. Looks at accepted
 * or refused, at the alert on the wire, at the line for the log and at what a
 * script will see. The plain end is the judge. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_verify.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"
#include "../lib/zoo.h"
#include "../lib/zoo_rows.h"

void test_zoo_add(void);

static int begin(void)
{
	port_stub_reset();
	engine_init();
	zoo_init();
	return 0;
}

static char *text(const char *literal)
{
	return (char *)(uintptr_t)literal;
}

/* All parts of WANT, divided by '&', are in LINE. */
static bool says(const char *line, const char *want)
{
	char part[128];
	size_t n;

	for(; want != NULL && *want != '\0'; want += n + (want[n] == '&')) {
		n = strcspn(want, "&");
		snprintf(part, sizeof(part), "%.*s", (int)n, want);
		if(strstr(line, part) == NULL)
			return false;
	}
	return true;
}

static void profile_for(const struct zoo_row *row, int end,
		enum tls_version version, struct engine_profile *profile)
{
	static char pin[65];
	bool server = end == ENGINE_SERVER;

	engine_profile_init(profile, server ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
			server ? "ec" : NULL);
	engine_profile_version(profile, version);
	profile->params.verify_certificate = 1;
	profile->params.require_certificate = server;
	profile->params.ca_list = text(pki_path("zoo-ca.pem"));
	profile->params.verify_name = text(row->verify_name);
	profile->params.verify_name_wildcards = row->wildcards;
	profile->params.verify_eku = text(row->eku);
	profile->params.peer_pin = text(zoo_row_pin(row, pin));
	if(row->depth != 0)
		profile->params.verify_depth = row->depth < 0 ? 0 : row->depth;
	if(row->crl)
		profile->params.crl = text(pki_path("zoo-crl.pem"));
	if(server)
		profile->params.peer_names = text(row->name);
}

static bool judge(const struct zoo_row *row, const struct engine_pair *pair,
		int end, bool up)
{
	const struct tls_info *info = tls_conn_info(pair->conn[end]);
	int alert = pair->raw_alert[1 - end];
	const char *line = pair->err[end].text;

	if(pair->broken != NULL)
		return false;
	if(row->alert == ZOO_ACCEPTED)
		return up && info != NULL && tls_info_peer_verified(info)
			   && !info->resumed
			   && info->name_ok == (row->name != NULL ? 1 : -1)
			   && info->verify_depth == 0;
	return !up && tls_conn_state(pair->conn[end]) == TLS_CONN_FAILED
		   && (row->alert < 0 ? alert > 0 : alert == row->alert)
		   && strstr(line, "certificate of the peer refused (") != NULL
		   && strstr(line, "subject \"/O=Zoo") != NULL
		   && pair->err[end].rc == TLS_RC_PEER && says(line, row->sentence);
}

static void run_row(
		const struct zoo_row *row, int end, enum tls_version version)
{
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx = NULL;
	struct tls_conn_args args = {
			.role = end == ENGINE_SERVER ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
			.peer_name = end == ENGINE_CLIENT ? row->name : NULL,
			.own_records = true};
	SSL_CTX *raw = zoo_raw_ctx(1 - end, row->spec.name);
	struct tls_err err;
	bool good, up;

	tls_err_clear(&err);
	profile_for(row, end, version, &profile);
	if(engine_ctx(&ctx, &profile, &err) != TLS_RC_OK)
		fprintf(stderr, "\n%s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
	args.ctx = ctx;
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL_FATAL(
			tls_conn_new(&pair.conn[end], &args, &err), TLS_RC_OK);
	engine_pair_raw(&pair, 1 - end, raw);
	up = engine_pair_handshake(&pair);
	good = judge(row, &pair, end, up);
	if(!good)
		fprintf(stderr, "\n%s (%s, %s): alert %d, up %d, \"%s\" %s\n",
				row->reason, end == ENGINE_SERVER ? "server" : "client",
				version == TLS_VERSION_1_2 ? "1.2" : "1.3",
				pair.raw_alert[1 - end], up, pair.err[end].text,
				pair.broken != NULL ? pair.broken : "");
	CU_ASSERT_TRUE(good);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

static void test_zoo(void)
{
	size_t i;

	for(i = 0; i < zoo_n_rows; i++) {
		X509_free(zoo_make(&zoo_rows[i].spec));
		if(zoo_rows[i].crl)
			zoo_crl();
		run_row(&zoo_rows[i], ENGINE_CLIENT, TLS_VERSION_1_2);
		run_row(&zoo_rows[i], ENGINE_CLIENT, TLS_VERSION_1_3);
		run_row(&zoo_rows[i], ENGINE_SERVER, TLS_VERSION_1_2);
		run_row(&zoo_rows[i], ENGINE_SERVER, TLS_VERSION_1_3);
	}
}

/* ---- pins ---- */

static void pin_text(const X509 *cert, char hex[65], char base64[45])
{
	unsigned char *der = NULL, sum[32];
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	unsigned int n_sum, i;

	EVP_Digest(der, (size_t)n, sum, &n_sum, EVP_sha256(), NULL);
	for(i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	EVP_EncodeBlock((unsigned char *)base64, sum, 32);
	OPENSSL_free(der);
}

static void run_pin(const char *pins, bool good, const char *reason)
{
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx = NULL;
	struct tls_err err;
	SSL_CTX *raw = zoo_raw_ctx(ENGINE_SERVER, "pin");
	bool up;

	engine_profile_init(&profile, TLS_ROLE_CLIENT, NULL);
	profile.params.verify_certificate = 1;
	profile.params.ca_list = text(pki_path("zoo-ca.pem"));
	profile.params.peer_pin = text(pins);
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL_FATAL(
			engine_pair_engine(&pair, ENGINE_CLIENT, ctx, NULL, &err),
			TLS_RC_OK);
	engine_pair_raw(&pair, ENGINE_SERVER, raw);
	up = engine_pair_handshake(&pair);
	if(up != good)
		fprintf(stderr, "\n%s: %s\n", reason, pair.err[ENGINE_CLIENT].text);
	CU_ASSERT_EQUAL(up, good);
	if(!good) {
		CU_ASSERT_EQUAL(
				pair.raw_alert[ENGINE_SERVER], SSL_AD_HANDSHAKE_FAILURE);
		CU_ASSERT_TRUE(says(pair.err[ENGINE_CLIENT].text, "peer_pin"));
	}
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

static void test_pins(void)
{
	struct zoo_spec spec = {.name = "pin"};
	char hex[65], base64[45], list[200], other[65];
	X509 *cert = zoo_make(&spec);

	pin_text(cert, hex, base64);
	memcpy(other, hex, sizeof(other));
	other[0] = other[0] == '0' ? '1' : '0';
	run_pin(other, false, "another key");
	run_pin(hex, true, "hexadecimal");
	run_pin(base64, true, "base 64");
	snprintf(list, sizeof(list), " %s, %s", other, base64);
	run_pin(list, true, "one of several");
	X509_free(cert);
}

/* ---- the verified chain ---- */

/* The certificates of FILE, appended to CHAIN. */
static void read_all(STACK_OF(X509) * chain, const char *file)
{
	BIO *bio = BIO_new_file(pki_path(file), "r");
	X509 *cert;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bio);
	while((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		CU_ASSERT_TRUE(sk_X509_push(chain, cert) > 0);
	ERR_clear_error();
	BIO_free(bio);
}

/* Each certificate that may be known is the one of CHAIN, of which KNOWN are
 * to be known. */
static void check_chain(const struct tls_ctx *ctx, const struct tls_info *info,
		STACK_OF(X509) * chain, int known, const char *reason)
{
	static unsigned char got[TLS_INFO_CERT_MAX];
	size_t n;
	int i, want;

	CU_ASSERT_PTR_NOT_NULL_FATAL(info);
	for(i = 0; i < 8; i++) {
		unsigned char *der = NULL;
		bool good = tls_ctx_chain_at(
				ctx, info, (unsigned int)i, got, sizeof(got), &n);

		if(good != (i < known))
			fprintf(stderr, "\n%s: certificate %d: %d\n", reason, i, good);
		CU_ASSERT_EQUAL(good, i < known);
		if(!good)
			continue;
		want = i2d_X509(sk_X509_value(chain, i), &der);
		CU_ASSERT_TRUE(want > 0 && n == (size_t)want);
		CU_ASSERT_EQUAL(memcmp(got, der, n), 0);
		CU_ASSERT_FALSE(tls_ctx_chain_at(
				ctx, info, (unsigned int)i, got, (size_t)want - 1, &n));
		OPENSSL_free(der);
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	}
	CU_ASSERT_FALSE(
			tls_ctx_chain_at(ctx, info, UINT_MAX, got, sizeof(got), &n));
}

struct chain_row
{
	struct zoo_spec spec;
	const char *ca;
	int known; /* elements */
	const char *reason;
};

static const struct chain_row chain_rows[] = {
		{{"chain-3", .between = 3}, "zoo-stranger.pem", 0, "not verified"},
		{{"chain-3", .between = 3}, "zoo-ca.pem", 5, "four above it"},
		{{"chain-1", .between = 1}, "zoo-ca.pem", 3, "two above it"},
		{{"chain-0"}, "zoo-ca.pem", 2, "one above it"},
		{{"chain-self", .issuer = ZOO_SELF}, "chain-self.pem", 1, "itself"},
};

static void run_chain(const struct chain_row *row, int end,
		enum tls_version version, STACK_OF(X509) * chain)
{
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	struct tls_err err;
	SSL_CTX *raw = zoo_raw_ctx(1 - end, row->spec.name);

	engine_profile_init(&profile,
			end == ENGINE_SERVER ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
			end == ENGINE_SERVER ? "ec" : NULL);
	engine_profile_version(&profile, version);
	profile.params.ca_list = text(pki_path(row->ca));
	/* servers let everybody in: what is not verified has no chain either */
	if(end == ENGINE_SERVER)
		profile.params.verify_client = TLS_VERIFY_CLIENT_OPTIONAL_NO_CA;
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	engine_pair_init(&pair);
	pair.own_records = true;
	CU_ASSERT_EQUAL_FATAL(
			engine_pair_engine(&pair, end, ctx, NULL, &err), TLS_RC_OK);
	engine_pair_raw(&pair, 1 - end, raw);
	CU_ASSERT_TRUE_FATAL(engine_pair_handshake(&pair));
	check_chain(
			ctx, tls_conn_info(pair.conn[end]), chain, row->known, row->reason);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

static void test_chain(void)
{
	size_t i;

	for(i = 0; i < sizeof(chain_rows) / sizeof(chain_rows[0]); i++) {
		const struct chain_row *row = &chain_rows[i];
		STACK_OF(X509) *chain = sk_X509_new_null();
		char file[64];

		X509_free(zoo_make(&row->spec));
		snprintf(file, sizeof(file), "%s.pem", row->spec.name);
		read_all(chain, file);
		read_all(chain, row->ca);
		run_chain(row, ENGINE_CLIENT, TLS_VERSION_1_2, chain);
		run_chain(row, ENGINE_CLIENT, TLS_VERSION_1_3, chain);
		run_chain(row, ENGINE_SERVER, TLS_VERSION_1_2, chain);
		run_chain(row, ENGINE_SERVER, TLS_VERSION_1_3, chain);
		sk_X509_pop_free(chain, X509_free);
	}
}

/* No memory: a certificate of the chain or none, no leak. */
static void test_chain_ladder(void)
{
	static unsigned char want[TLS_INFO_CERT_MAX], got[TLS_INFO_CERT_MAX];
	struct zoo_spec spec = {.name = "chain-1", .between = 1};
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	struct tls_err err;
	const struct tls_info *info;
	bool failed = true, good;
	unsigned long k;
	size_t n_want, n, live;
	SSL_CTX *raw;

	X509_free(zoo_make(&spec));
	raw = zoo_raw_ctx(ENGINE_SERVER, spec.name);
	engine_profile_init(&profile, TLS_ROLE_CLIENT, NULL);
	profile.params.verify_certificate = 1;
	profile.params.ca_list = text(pki_path("zoo-ca.pem"));
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL_FATAL(
			engine_pair_engine(&pair, ENGINE_CLIENT, ctx, NULL, &err),
			TLS_RC_OK);
	engine_pair_raw(&pair, ENGINE_SERVER, raw);
	CU_ASSERT_TRUE_FATAL(engine_pair_handshake(&pair));
	info = tls_conn_info(pair.conn[ENGINE_CLIENT]);
	CU_ASSERT_TRUE(tls_ctx_chain_at(ctx, info, 2, want, sizeof(want), &n_want));
	for(k = 1; failed && k < 2000; k++) {
		live = engine_live_blocks();
		engine_fail_at(k);
		good = tls_ctx_chain_at(ctx, info, 2, got, sizeof(got), &n);
		failed = port_stub_failed();
		engine_fail_at(0);
		CU_ASSERT_TRUE(!good || (n == n_want && memcmp(got, want, n) == 0));
		CU_ASSERT_TRUE(failed || good);
		CU_ASSERT_TRUE(engine_live_blocks() <= live);
	}
	CU_ASSERT_FALSE(failed);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

/* ---- settings that make no sense ---- */

struct sense_row
{
	enum tls_role role;
	int verify;
	const char *verify_name;
	const char *peer_names;
	const char *verify_eku;
	const char *peer_pin;
	const char *sentence;
};

static void test_sense(void)
{
	static const struct sense_row table[] = {
			{TLS_ROLE_CLIENT, 0, "sip", NULL, NULL, NULL,
					"verify_name&not verified"},
			{TLS_ROLE_CLIENT, 0, NULL, NULL, "sip", NULL,
					"verify_eku&not verified"},
			{TLS_ROLE_CLIENT, 1, "yes", NULL, NULL, NULL,
					"verify_name&\"yes\"&sip"},
			{TLS_ROLE_CLIENT, 1, NULL, NULL, "tls", NULL, "verify_eku&\"tls\""},
			{TLS_ROLE_CLIENT, 1, NULL, "a..b", NULL, NULL,
					"peer_names&\"a..b\""},
			{TLS_ROLE_CLIENT, 1, NULL, NULL, NULL, "0011", "peer_pin&\"0011\""},
			{TLS_ROLE_CLIENT, 1, NULL, NULL, NULL,
					"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
					"peer_pin&AAAA"},
			{TLS_ROLE_CLIENT, 1, NULL, NULL, NULL,
					"zz00000000000000000000000000000000000000000000000000000000"
					"000000",
					"peer_pin&zz00"},
			{TLS_ROLE_SERVER, 1, "sip", NULL, NULL, NULL,
					"verify_name&peer_names"},
			{TLS_ROLE_SERVER, 1, "sip", " , ", NULL, NULL,
					"verify_name&peer_names"},
	};
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct tls_err err;
	size_t i;

	for(i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		engine_profile_init(&profile, table[i].role, "ec");
		profile.params.ca_list = text(pki_path("ca.pem"));
		profile.params.verify_certificate = table[i].verify;
		profile.params.verify_name = text(table[i].verify_name);
		profile.params.peer_names = text(table[i].peer_names);
		profile.params.verify_eku = text(table[i].verify_eku);
		profile.params.peer_pin = text(table[i].peer_pin);
		CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, &err), TLS_RC_CONFIG);
		if(!says(err.text, table[i].sentence))
			fprintf(stderr, "\n%s\n", err.text);
		CU_ASSERT_TRUE(says(err.text, table[i].sentence));
		tls_ctx_free(&ctx);
	}
}

/* A client that must check a name and was told none refuses to begin. */
static void test_nobody(void)
{
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	struct tls_err err;

	engine_profile_init(&profile, TLS_ROLE_CLIENT, NULL);
	profile.params.verify_certificate = 1;
	profile.params.ca_list = text(pki_path("ca.pem"));
	profile.params.verify_name = text("sip");
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL(engine_pair_engine(&pair, ENGINE_CLIENT, ctx, NULL, &err),
			TLS_RC_CONFIG);
	CU_ASSERT_TRUE(says(err.text, "verify_name&peer_names"));
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	profile.params.peer_names = text("a.example");
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL(engine_pair_engine(&pair, ENGINE_CLIENT, ctx, NULL, &err),
			TLS_RC_OK);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
}

void test_zoo_add(void)
{
	CU_pSuite suite = CU_add_suite("zoo", begin, NULL);

	CU_add_test(suite, "every certificate, both roles, 1.2 and 1.3", test_zoo);
	CU_add_test(suite, "pins", test_pins);
	CU_add_test(suite, "the verified chain", test_chain);
	CU_add_test(suite, "no memory: the verified chain", test_chain_ladder);
	CU_add_test(suite, "settings without sense", test_sense);
	CU_add_test(suite, "no name to check", test_nobody);
}
