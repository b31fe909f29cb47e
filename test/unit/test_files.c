/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of what profiles read and set: each setting that acts on the wire with
 * a handshake, two certificates, revocation lists, names that are refused,
 * what is said about weak choices, and what is shared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_files.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_files_add(void);

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

static char *path(const char *file)
{
	return (char *)(uintptr_t)pki_path(file);
}

/* Sets one option of PARAMS by its name in tls.cfg. Strings are only lent. */
static void set(struct tls_profile_params *params, const char *setting)
{
	char name[64];
	const char *value = strchr(setting, '=');

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	snprintf(name, sizeof(name), "%.*s", (int)(value - setting), setting);
	CU_ASSERT_EQUAL(
			tls_params_set_profile_option(params, name, value + 1, "/x", NULL),
			TLS_RC_OK);
}

/* Gives back what set() took. */
static void unset(struct tls_profile_params *params)
{
	char **const texts[] = {&params->ciphersuites, &params->groups,
			&params->sigalgs, &params->alpn, &params->cipher_list,
			&params->crl_check};
	size_t i;

	for(i = 0; i < N(texts); i++)
		CU_ASSERT_EQUAL(tls_params_set_text(texts[i], NULL, false), TLS_RC_OK);
}

/* ---- one setting each, on the wire ---- */

struct wire_row
{
	const char *server[3]; /* settings of our server, "name=value" */
	const char *client[3]; /* and of our client */
	bool up;
	const char *why;
};

static const struct wire_row wire_rows[] = {
		/* what must not come together */
		{{"method=TLSv1.2"}, {"method=TLSv1.3"}, false, "versions"},
		{{"method=TLSv1.3", "ciphersuites=TLS_AES_256_GCM_SHA384"},
				{"ciphersuites=TLS_AES_128_GCM_SHA256"}, false, "suites"},
		{{"groups=P-384"}, {"groups=X25519"}, false, "groups"},
		{{"groups=P-384", "method=TLSv1.2"},
				{"groups=X25519", "cipher_list=ECDHE"}, false, "groups, 1.2"},
		{{"sigalgs=ECDSA+SHA384"}, {"sigalgs=ECDSA+SHA256"}, false,
				"signature algorithms"},
		{{"alpn=sip/2"}, {"alpn=http/1.1"}, false, "protocols"},
		{{"cipher_list=ECDHE-ECDSA-AES256-GCM-SHA384", "method=TLSv1.2"},
				{"cipher_list=ECDHE-ECDSA-AES128-GCM-SHA256"}, false,
				"ciphers"},
		/* what must */
		{{NULL}, {NULL}, true, "nothing set"},
		{{"method=TLSv1.2-TLSv1.3"}, {"method=TLSv1.2"}, true, "range"},
		{{"groups=P-384"}, {"groups=X25519:P-384"}, true,
				"second group, after a HelloRetryRequest"},
		{{"ciphersuites=TLS_AES_256_GCM_SHA384"}, {"method=TLSv1.3"}, true,
				"one suite"},
		{{"sigalgs=ECDSA+SHA256"}, {"sigalgs=RSA+SHA256:ECDSA+SHA256"}, true,
				"one algorithm"},
		{{"alpn=sip/2,http/1.1"}, {"alpn=http/1.1"}, true, "protocols"},
		{{"alpn=sip/2"}, {NULL}, true, "peer without ALPN"},
		{{NULL}, {"alpn=sip/2"}, true, "server without ALPN"},
		{{"security_level=1"}, {"security_level=1"}, true, "level"},
		{{"session_tickets=no"}, {"session_tickets=no"}, true, "tickets"},
};

static void wire_case(const struct wire_row *row)
{
	struct engine_profile profile[2];
	struct engine_pair pair;
	struct tls_ctx *ctx[2];
	struct tls_err err;
	size_t end, i;
	bool up;

	for(end = 0; end < 2; end++) {
		const char *const *settings =
				end == ENGINE_SERVER ? row->server : row->client;

		engine_profile_init(&profile[end],
				end == ENGINE_SERVER ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
				end == ENGINE_SERVER ? "ec" : NULL);
		for(i = 0; i < 3 && settings[i] != NULL; i++)
			set(&profile[end].params, settings[i]);
		tls_err_clear(&err);
		CU_ASSERT_EQUAL_FATAL(
				engine_ctx(&ctx[end], &profile[end], &err), TLS_RC_OK);
	}
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL_FATAL(engine_pair_engine(&pair, ENGINE_SERVER,
								  ctx[ENGINE_SERVER], NULL, &err),
			TLS_RC_OK);
	CU_ASSERT_EQUAL_FATAL(engine_pair_engine(&pair, ENGINE_CLIENT,
								  ctx[ENGINE_CLIENT], NULL, &err),
			TLS_RC_OK);
	up = engine_pair_handshake(&pair);
	if(up != row->up)
		fprintf(stderr, "\n%s: %s / %s\n", row->why, pair.err[0].text,
				pair.err[1].text);
	CU_ASSERT_EQUAL(up, row->up);
	CU_ASSERT_PTR_NULL(pair.broken);
	engine_pair_clear(&pair);
	for(end = 0; end < 2; end++) {
		tls_ctx_free(&ctx[end]);
		unset(&profile[end].params);
	}
}

static void test_wire(void)
{
	size_t i;

	for(i = 0; i < N(wire_rows); i++)
		wire_case(&wire_rows[i]);
}

/* ---- by name ---- */

struct named
{
	struct tls_ctx *ctx;
};

static struct tls_ctx *named_cb(void *arg, const char *name)
{
	struct named *named = arg;

	return strcmp(name, "refused.example") == 0 ? TLS_CTX_REFUSE : named->ctx;
}

/* A handshake of a plain client of RAW that asks for NAME with a server that
 * begins on FIRST and has TO for every name. */
static bool ask(struct tls_ctx *first, struct tls_ctx *to, SSL_CTX *raw,
		const char *name, struct engine_pair *pair)
{
	struct named *named = tls_port_alloc(sizeof(*named));
	struct tls_conn_args args = {.role = TLS_ROLE_SERVER,
			.ctx = first,
			.by_name = named_cb,
			.by_name_arg = named};
	struct tls_err err;
	bool up;

	named->ctx = to;
	engine_pair_init(pair);
	engine_pair_raw(pair, ENGINE_CLIENT, raw);
	if(name != NULL)
		SSL_set_tlsext_host_name(pair->raw[ENGINE_CLIENT], name);
	up = tls_conn_new(&pair->conn[ENGINE_SERVER], &args, &err) == TLS_RC_OK
		 && engine_pair_handshake(pair);
	tls_port_free(named);
	return up;
}

/* Every setting of the profile that a name chooses holds, and nothing of the
 * one that the connection began with. */
static void test_by_name(void)
{
	static const struct
	{
		const char *first, *to; /* settings */
		const char *client_groups, *client_suites;
		bool up; /* with the name; without it the other way round */
		const char *why;
	} rows[] = {
			{"groups=P-384", NULL, "X25519", NULL, true, "groups go"},
			{NULL, "groups=P-384", "X25519", NULL, false, "groups come"},
			{"ciphersuites=TLS_AES_256_GCM_SHA384", NULL, NULL,
					"TLS_AES_128_GCM_SHA256", true, "suites go"},
			{NULL, "ciphersuites=TLS_AES_256_GCM_SHA384", NULL,
					"TLS_AES_128_GCM_SHA256", false, "suites come"},
			{"sigalgs=ECDSA+SHA384", NULL, NULL, NULL, true, "algorithms go"},
			{NULL, "sigalgs=ECDSA+SHA384", NULL, NULL, false,
					"algorithms come"},
			{"alpn=http/1.1", "alpn=sip/2", NULL, NULL, true, "protocols"},
	};
	struct engine_profile first, to;
	struct tls_ctx *ctx[2];
	struct engine_pair pair;
	struct tls_err err;
	SSL_CTX *raw;
	size_t i;

	for(i = 0; i < N(rows); i++) {
		engine_profile_init(&first, TLS_ROLE_SERVER, "ec");
		engine_profile_init(&to, TLS_ROLE_SERVER, "ec");
		to.label = "server:named";
		if(rows[i].first != NULL)
			set(&first.params, rows[i].first);
		if(rows[i].to != NULL)
			set(&to.params, rows[i].to);
		CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx[0], &first, &err), TLS_RC_OK);
		CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx[1], &to, &err), TLS_RC_OK);
		raw = engine_raw_ctx(ENGINE_CLIENT, NULL);
		SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
		SSL_CTX_set1_sigalgs_list(raw, "ECDSA+SHA256");
		SSL_CTX_set_alpn_protos(raw, (const unsigned char *)"\5sip/2", 6);
		if(rows[i].client_groups != NULL)
			SSL_CTX_set1_groups_list(raw, rows[i].client_groups);
		if(rows[i].client_suites != NULL)
			SSL_CTX_set_ciphersuites(raw, rows[i].client_suites);
		if(ask(ctx[0], ctx[1], raw, "a.example", &pair) != rows[i].up)
			CU_FAIL(rows[i].why);
		engine_pair_clear(&pair);
		if(ask(ctx[0], ctx[1], raw, NULL, &pair) == rows[i].up)
			CU_FAIL(rows[i].why);
		engine_pair_clear(&pair);
		SSL_CTX_free(raw);
		tls_ctx_free(&ctx[0]);
		tls_ctx_free(&ctx[1]);
		unset(&first.params);
		unset(&to.params);
	}
}

static void test_refused_name(void)
{
	SSL_CTX *raw = engine_raw_ctx(ENGINE_CLIENT, NULL);
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	struct tls_err err;

	engine_profile_init(&profile, TLS_ROLE_SERVER, "ec");
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	CU_ASSERT_FALSE(ask(ctx, ctx, raw, "refused.example", &pair));
	CU_ASSERT_EQUAL(pair.raw_alert[ENGINE_CLIENT], SSL_AD_UNRECOGNIZED_NAME);
	CU_ASSERT_EQUAL(pair.rc[ENGINE_SERVER], TLS_RC_PEER);
	engine_pair_clear(&pair);
	CU_ASSERT_TRUE(ask(ctx, ctx, raw, "known.example", &pair));
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

/* ---- tickets ---- */

static int n_tickets;

static int new_session_cb(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	(void)session;
	n_tickets++;
	return 0;
}

/* Without tickets the client never gets a session, on either version; also
 * when the name chooses the profile that has none. */
static void test_tickets(void)
{
	struct engine_profile with, without;
	struct tls_ctx *ctx[2];
	struct engine_pair pair;
	struct tls_err err;
	SSL_CTX *raw;
	int version, k;

	engine_profile_init(&with, TLS_ROLE_SERVER, "ec");
	engine_profile_init(&without, TLS_ROLE_SERVER, "ec");
	without.params.session_tickets = 0;
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx[0], &with, &err), TLS_RC_OK);
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx[1], &without, &err), TLS_RC_OK);
	for(version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		for(k = 0; k < 4; k++) {
			raw = engine_raw_ctx(ENGINE_CLIENT, NULL);
			SSL_CTX_set_max_proto_version(raw, version);
			SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_CLIENT);
			SSL_CTX_sess_set_new_cb(raw, new_session_cb);
			n_tickets = 0;
			CU_ASSERT_TRUE(
					ask(ctx[k & 1], ctx[k >> 1], raw, "a.example", &pair));
			engine_pair_write(&pair, ENGINE_SERVER, "x", 1);
			engine_pair_run(&pair);
			if(k >> 1)
				CU_ASSERT_TRUE(version == TLS1_2_VERSION || n_tickets == 0);
			if(!(k >> 1))
				CU_ASSERT_TRUE(n_tickets > 0);
			if(k >> 1 && version == TLS1_2_VERSION)
				CU_ASSERT_FALSE(SSL_SESSION_has_ticket(
						SSL_get_session(pair.raw[ENGINE_CLIENT])));
			engine_pair_clear(&pair);
			SSL_CTX_free(raw);
		}
	}
	tls_ctx_free(&ctx[0]);
	tls_ctx_free(&ctx[1]);
}

/* ---- two certificates ---- */

static void test_two_certificates(void)
{
	static const char *const lists[] = {
			"RSA+SHA256:RSA-PSS+SHA256", "ECDSA+SHA256"};
	static const int types[] = {EVP_PKEY_RSA, EVP_PKEY_EC};
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	struct tls_err err;
	SSL_CTX *raw;
	size_t i;

	engine_profile_init(&profile, TLS_ROLE_SERVER, "ec");
	profile.params.certificate2 = path("rsa.pem");
	profile.params.private_key2 = path("rsa.key");
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	for(i = 0; i < N(lists); i++) {
		raw = engine_raw_ctx(ENGINE_CLIENT, NULL);
		SSL_CTX_set1_sigalgs_list(raw, lists[i]);
		CU_ASSERT_TRUE(ask(ctx, ctx, raw, NULL, &pair));
		CU_ASSERT_EQUAL(
				EVP_PKEY_get_base_id(X509_get0_pubkey(
						SSL_get0_peer_certificate(pair.raw[ENGINE_CLIENT]))),
				types[i]);
		engine_pair_clear(&pair);
		/* and in another process for each step */
		engine_pair_init(&pair);
		engine_pair_raw(&pair, ENGINE_CLIENT, raw);
		port_stub_set_process(0, 1);
		SSL_CTX_free(raw);
		engine_pair_clear(&pair);
	}
	tls_ctx_free(&ctx);
	/* two of one algorithm, and halves */
	profile.params.certificate2 = path("revoked.pem");
	profile.params.private_key2 = path("revoked.key");
	CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "same algorithm"));
	profile.params.certificate2 = NULL;
	CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "private_key2"));
	profile.params.certificate2 = path("rsa.pem");
	CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, &err), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "does not belong"));
}

/* ---- trust ---- */

/* Whether a server that trusts the CA under CRL and CHECK lets NAME in. */
static bool admits(const char *name, const char *crl, const char *check)
{
	SSL_CTX *raw = engine_raw_ctx(ENGINE_CLIENT, name);
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	struct tls_err err;
	bool up;

	engine_profile_init(&profile, TLS_ROLE_SERVER, "ec");
	profile.params.require_certificate = 1;
	profile.params.ca_list = path("ca.pem");
	profile.params.crl = path(crl);
	profile.params.crl_check = (char *)(uintptr_t)check;
	tls_err_clear(&err);
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	up = ask(ctx, ctx, raw, NULL, &pair);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
	return up;
}

static void test_crl(void)
{
	char buf[8192];
	FILE *from;
	size_t n;

	mkdir(pki_path("crls"), 0700);
	mkdir(pki_path("empty"), 0700);
	from = fopen(pki_path("crl.pem"), "r");
	n = fread(buf, 1, sizeof(buf), from);
	fclose(from);
	pki_write("crls/one.pem", buf, n);
	pki_write("crls/.hidden", "x", 1);
	CU_ASSERT_TRUE(admits("ec", "crl.pem", NULL));
	CU_ASSERT_FALSE(admits("revoked", "crl.pem", NULL));
	CU_ASSERT_TRUE(admits("ec", "crls", "chain"));
	CU_ASSERT_FALSE(admits("revoked", "crls", "chain"));
	CU_ASSERT_FALSE(admits("revoked", "crls", "leaf"));
	CU_ASSERT_TRUE(admits("ec", "crls", "leaf"));
}

/* What the report of a build said. */
struct heard
{
	unsigned int errors, warnings;
	char text[4000];
	unsigned int options[TLS_PROFILE_OPTION_COUNT + 1];
};

static void hear(void *arg, enum tls_log_level level,
		enum tls_profile_option option, const char *text)
{
	struct heard *heard = arg;
	size_t n = strlen(heard->text);

	if(level <= TLS_LOG_ERR)
		heard->errors++;
	else
		heard->warnings++;
	heard->options[option]++;
	snprintf(heard->text + n, sizeof(heard->text) - n, "%s\n", text);
}

static enum tls_rc build(const struct engine_profile *profile,
		struct tls_files *files, struct heard *heard, struct tls_ctx **out)
{
	struct tls_ctx_args args = {.role = profile->role,
			.params = &profile->params,
			.settings = &profile->settings,
			.label = profile->label,
			.files = files,
			.report = hear,
			.report_arg = heard};

	memset(heard, 0, sizeof(*heard));
	return tls_ctx_new(out, &args, NULL);
}

/* Every mistake of a profile is told, each with its option. */
static void test_reports_all(void)
{
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct heard heard;

	engine_profile_init(&profile, TLS_ROLE_SERVER, "ec");
	profile.params.private_key = path("rsa.key");
	profile.params.ca_list = path("absent");
	profile.params.dh_params = path("ec.pem");
	profile.params.ciphersuites = path("x");
	profile.params.groups = path("x");
	profile.params.sigalgs = path("x");
	profile.params.cipher_list = path("x");
	CU_ASSERT_EQUAL(build(&profile, NULL, &heard, &ctx), TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(heard.errors, 7);
	CU_ASSERT_EQUAL(heard.options[TLS_PROFILE_OPTION_private_key], 1);
	CU_ASSERT_EQUAL(heard.options[TLS_PROFILE_OPTION_ca_list], 1);
	CU_ASSERT_EQUAL(heard.options[TLS_PROFILE_OPTION_dh_params], 1);
	CU_ASSERT_EQUAL(heard.options[TLS_PROFILE_OPTION_groups], 1);
}

/* Weak choices and ends that are near are warnings, and only those. */
static void test_warns(void)
{
	static const struct
	{
		const char *name;
		const char *setting; /* or NULL */
		const char *says;	 /* NULL: nothing */
	} rows[] = {{"expired", NULL, "has expired"},
			{"ec", NULL, "expires in"}, /* those of the tests live for days */
			{"ec", "method=TLSv1+", "retired"},
			{"ec", "cipher_list=eNULL:HIGH:@SECLEVEL=0", "does not protect"},
			{"ec", "cipher_list=aNULL:HIGH:@SECLEVEL=0", "does not protect"},
			{"ec", "verify_client=on", "trusts nobody"}, {NULL, NULL, NULL},
			{NULL, "method=TLSv1.2", NULL}};
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct heard heard;
	size_t i;

	for(i = 0; i < N(rows); i++) {
		engine_profile_init(&profile, TLS_ROLE_SERVER, rows[i].name);
		if(rows[i].setting != NULL)
			set(&profile.params, rows[i].setting);
		CU_ASSERT_EQUAL(build(&profile, NULL, &heard, &ctx), TLS_RC_OK);
		if(rows[i].says == NULL)
			CU_ASSERT_EQUAL(heard.warnings, 0)
		else
			CU_ASSERT_PTR_NOT_NULL(strstr(heard.text, rows[i].says));
		tls_ctx_free(&ctx);
		unset(&profile.params);
	}
}

static void test_system_cas(void)
{
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct tls_err err;

	/* whatever the machine has: that of the environment is ours */
	engine_profile_init(&profile, TLS_ROLE_CLIENT, NULL);
	profile.params.ca_list = (char *)(uintptr_t) "@system";
	CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	tls_ctx_free(&ctx);
}

/* ---- sharing ---- */

/* Profiles that differ in names and certificates cost little; trust is loaded
 * once; unchanged files go over into the next generation. */
static void test_shares(void)
{
	struct engine_profile profile;
	struct tls_files *files, *again;
	struct tls_ctx *ctx[20], *next;
	struct heard heard;
	const unsigned char *der[2];
	size_t before, first, rest, i, n;

	engine_profile_init(&profile, TLS_ROLE_SERVER, "ec");
	profile.params.ca_list = path("ca.pem");
	profile.params.verify_certificate = 1;
	CU_ASSERT_EQUAL_FATAL(build(&profile, NULL, &heard, &next), TLS_RC_OK);
	tls_ctx_free(&next);
	CU_ASSERT_EQUAL_FATAL(tls_files_new(&files), TLS_RC_OK);
	tls_ossl_thread_stop();
	before = engine_live_blocks();
	CU_ASSERT_EQUAL_FATAL(build(&profile, files, &heard, &ctx[0]), TLS_RC_OK);
	first = engine_live_blocks() - before;
	before = engine_live_blocks();
	for(i = 1; i < N(ctx); i++)
		CU_ASSERT_EQUAL_FATAL(
				build(&profile, files, &heard, &ctx[i]), TLS_RC_OK);
	rest = engine_live_blocks() - before;
	CU_ASSERT_TRUE(first > 40);
	CU_ASSERT_TRUE(rest <= 2 * (N(ctx) - 1));
	der[0] = tls_ctx_certificate(ctx[0], &n);
	der[1] = tls_ctx_certificate(ctx[N(ctx) - 1], &n);
	CU_ASSERT_PTR_EQUAL(der[0], der[1]);

	/* the next generation */
	CU_ASSERT_EQUAL_FATAL(tls_files_new(&again), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_ctx_adopt(ctx[0], again), TLS_RC_OK);
	CU_ASSERT_EQUAL_FATAL(build(&profile, again, &heard, &next), TLS_RC_OK);
	CU_ASSERT_PTR_EQUAL(tls_ctx_certificate(next, &n), der[0]);
	tls_ctx_free(&next);
	tls_files_free(&again);

	/* a file that was replaced is read again */
	pki_join("swap.pem", "ec.pem", NULL);
	pki_join("swap.key", "ec.key", NULL);
	profile.params.certificate = path("swap.pem");
	profile.params.private_key = path("swap.key");
	CU_ASSERT_EQUAL_FATAL(build(&profile, NULL, &heard, &next), TLS_RC_OK);
	pki_join("swap.pem", "rsa.pem", NULL);
	pki_join("swap.key", "rsa.key", NULL);
	CU_ASSERT_EQUAL_FATAL(tls_files_new(&again), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_ctx_adopt(next, again), TLS_RC_OK);
	tls_ctx_free(&next);
	CU_ASSERT_EQUAL_FATAL(build(&profile, again, &heard, &next), TLS_RC_OK);
	CU_ASSERT_PTR_NOT_NULL(tls_ctx_certificate(next, &n));
	CU_ASSERT_EQUAL(n, (size_t)i2d_X509(pki_cert("rsa"), NULL));
	tls_ctx_free(&next);
	tls_files_free(&again);
	tls_files_free(&files);
	for(i = 0; i < N(ctx); i++)
		tls_ctx_free(&ctx[i]);
}

void test_files_add(void)
{
	CU_pSuite suite = CU_add_suite("files", begin, NULL);

	CU_add_test(suite, "settings on the wire", test_wire);
	CU_add_test(suite, "settings of a named profile", test_by_name);
	CU_add_test(suite, "a refused name", test_refused_name);
	CU_add_test(suite, "tickets", test_tickets);
	CU_add_test(suite, "two certificates", test_two_certificates);
	CU_add_test(suite, "revocation lists", test_crl);
	CU_add_test(suite, "reports everything", test_reports_all);
	CU_add_test(suite, "warns", test_warns);
	CU_add_test(suite, "CAs of the system", test_system_cas);
	CU_add_test(suite, "shares", test_shares);
}
