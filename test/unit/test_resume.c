/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Resumption never weakens: sessions made in every cell of profiles x
 * policies x certificates are offered to every other cell, as tickets of TLS
 * 1.2 and 1.3 and by session id. All contexts are reached through one that
 * they share, hence one set of ticket keys and one cache: the worst case, in
 * which only the session id context stands between two policies. With
 * TLS_TEST_FULL all pairs are tried, else some of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../lib/cells.h"
#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"
#include "../lib/zoo.h"

void test_resume_add(void);

static const char *const labels[CELL_PROFILES] = {
		"TLSs<default>", "TLSs<a.example>", "TLSs<b.example>"};

static struct tls_ctx *contexts[CELL_PROFILES][CELL_POLICIES];
static struct tls_ctx *first;  /* on which every connection begins */
static struct tls_ctx *wanted; /* which the server name then chooses */
static SSL_CTX *raws[CELL_SHOWN];
static SSL_SESSION *caught; /* the newest session that a client was given */

static char *text(const char *literal)
{
	return (char *)(uintptr_t)literal;
}

static int catch_cb(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(caught);
	caught = session;
	return 1; /* we keep the reference */
}

static SSL_CTX *client_of(const char *name)
{
	SSL_CTX *raw = name != NULL ? zoo_raw_ctx(ENGINE_CLIENT, name)
								: engine_raw_ctx(ENGINE_CLIENT, NULL);

	SSL_CTX_set_session_cache_mode(
			raw, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(raw, catch_cb);
	return raw;
}

static void profile_of(
		struct engine_profile *profile, int number, enum cell_policy policy)
{
	engine_profile_init(profile, TLS_ROLE_SERVER, "ec");
	profile->label = labels[number];
	profile->settings.session_cache = 1;
	if(policy != CELL_NONE) {
		profile->params.ca_list = text(pki_path("zoo-ca.pem"));
		profile->params.crl = text(pki_path("zoo-crl.pem"));
	}
	profile->params.verify_certificate = policy == CELL_OPTIONAL;
	profile->params.require_certificate = policy == CELL_REQUIRE;
	if(policy == CELL_NO_CA)
		profile->params.verify_client = TLS_VERIFY_CLIENT_OPTIONAL_NO_CA;
}

static struct tls_ctx *build(const struct engine_profile *profile)
{
	struct tls_ctx *ctx = NULL;
	struct tls_err err;

	tls_err_clear(&err);
	/* outside of a test CUnit knows no assertions */
	if(engine_ctx(&ctx, profile, &err) != TLS_RC_OK) {
		fprintf(stderr, "\n%s\n", err.text);
		abort();
	}
	return ctx;
}

static int begin(void)
{
	struct engine_profile profile;
	size_t i;

	port_stub_reset();
	engine_init();
	cell_make_animals();
	for(i = 0; i < CELL_SHOWN; i++)
		raws[i] = client_of(cell_animals[i].name);
	for(i = 0; i < CELL_PROFILES * CELL_POLICIES; i++) {
		profile_of(&profile, (int)(i / CELL_POLICIES),
				(enum cell_policy)(i % CELL_POLICIES));
		contexts[i / CELL_POLICIES][i % CELL_POLICIES] = build(&profile);
	}
	profile_of(&profile, 0, CELL_NONE);
	first = build(&profile);
	return 0;
}

static int end(void)
{
	size_t i;

	for(i = 0; i < CELL_PROFILES * CELL_POLICIES; i++)
		tls_ctx_free(&contexts[i / CELL_POLICIES][i % CELL_POLICIES]);
	tls_ctx_free(&first);
	for(i = 0; i < CELL_SHOWN; i++)
		SSL_CTX_free(raws[i]);
	SSL_SESSION_free(caught);
	caught = NULL;
	return 0;
}

/* ---- one handshake ---- */

static struct tls_ctx *by_name_cb(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return wanted;
}

struct outcome
{
	struct cell_want is;
	bool resumed;
	size_t n_peer; /* size of the peer's certificate: tells them apart */
	bool anchored; /* who signed that is known */
	long result;
};

/* A handshake of RAW with CTX that offers SESSION (NULL = none). What the
 * client is given is in "caught" afterwards. */
static struct outcome shake(struct tls_ctx *ctx, SSL_CTX *raw,
		enum cell_way way, SSL_SESSION *session)
{
	struct tls_conn_args args = {.role = TLS_ROLE_SERVER,
			.ctx = first,
			.by_name = by_name_cb,
			.own_records = true};
	struct engine_pair pair;
	struct outcome out = {0};
	const struct tls_info *info;
	static unsigned char der[TLS_INFO_CERT_MAX];
	struct tls_err err;
	size_t n_der;
	SSL *ssl;

	wanted = ctx;
	SSL_SESSION_free(caught);
	caught = NULL;
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL_FATAL(
			tls_conn_new(&pair.conn[ENGINE_SERVER], &args, &err), TLS_RC_OK);
	engine_pair_raw(&pair, ENGINE_CLIENT, raw);
	ssl = pair.raw[ENGINE_CLIENT];
	SSL_set_tlsext_host_name(ssl, "one.example");
	SSL_set_max_proto_version(
			ssl, way == CELL_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	if(way == CELL_12_ID)
		SSL_set_options(ssl, SSL_OP_NO_TICKET);
	if(session != NULL)
		CU_ASSERT_EQUAL(SSL_set_session(ssl, session), 1);
	out.is.up = engine_pair_handshake(&pair);
	CU_ASSERT_PTR_NULL(pair.broken);
	info = tls_conn_info(pair.conn[ENGINE_SERVER]);
	if(out.is.up && info != NULL) {
		out.resumed = info->resumed;
		out.is.verified = tls_info_peer_verified(info);
		out.is.presented = info->peer_presented;
		out.n_peer = info->peer_der_len;
		out.result = info->verify_result;
		out.anchored = tls_ctx_chain_at(ctx, info, 1, der, sizeof(der), &n_der);
		CU_ASSERT_EQUAL(out.anchored, out.is.verified);
		CU_ASSERT_EQUAL(out.resumed, SSL_session_reused(ssl) == 1);
	}
	/* OpenSSL forgets sessions of connections that were cut */
	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	engine_pair_clear(&pair);
	return out;
}

static SSL_SESSION *take_caught(void)
{
	SSL_SESSION *session = caught;

	caught = NULL;
	return session;
}

/* ---- the table ---- */

static void say(const char *what, enum cell_way way, const struct cell *from,
		const struct cell *to, const struct outcome *got)
{
	fprintf(stderr,
			"\n%s, way %d: profile %d policy %d shown %d -> %d %d %d: up %d "
			"resumed %d verified %d presented %d result %ld\n",
			what, (int)way, from->profile, (int)from->policy, (int)from->shown,
			to->profile, (int)to->policy, (int)to->shown, got->is.up,
			got->resumed, got->is.verified, got->is.presented, got->result);
}

static bool same(const struct outcome *got, struct cell_want want)
{
	return got->is.up == want.up && got->is.verified == want.verified
		   && got->is.presented == want.presented;
}

/* Makes a session in FROM; NULL when FROM lets nobody in. */
static SSL_SESSION *session_of(
		const struct cell *from, enum cell_way way, struct outcome *made)
{
	struct cell_want want = cell_full(from);

	*made = shake(contexts[from->profile][from->policy], raws[from->shown], way,
			NULL);
	if(!same(made, want) || made->resumed)
		say("full", way, from, from, made);
	CU_ASSERT_TRUE(same(made, want));
	CU_ASSERT_FALSE(made->resumed);
	CU_ASSERT_TRUE(!made->is.up || caught != NULL);
	return made->is.up ? take_caught() : NULL;
}

static void offer(SSL_SESSION *session, const struct cell *from,
		const struct outcome *made, const struct cell *to, enum cell_way way)
{
	bool resumes = cell_may_resume(from, to, way);
	struct cell_want want = resumes ? made->is : cell_full(to);
	struct outcome got;

	/* OpenSSL's client uses a session of TLS 1.3 once: a copy each time */
	session = SSL_SESSION_dup(session);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	got = shake(
			contexts[to->profile][to->policy], raws[to->shown], way, session);
	SSL_SESSION_free(session);
	if(!same(&got, want) || got.resumed != resumes)
		say("offered", way, from, to, &got);
	CU_ASSERT_TRUE(same(&got, want));
	CU_ASSERT_EQUAL(got.resumed, resumes);
	if(resumes) {
		CU_ASSERT_EQUAL(got.n_peer, made->n_peer);
		CU_ASSERT_EQUAL(got.result, made->result);
	}
}

static void run_table(enum cell_way way)
{
	size_t stride = getenv("TLS_TEST_FULL") != NULL ? 1 : 7;
	size_t i, j, n_resumed = 0;

	for(i = 0; i < CELLS; i++) {
		struct cell from = cell_at(i);
		struct outcome made;
		SSL_SESSION *session = session_of(&from, way, &made);

		for(j = 0; session != NULL && j < CELLS; j++) {
			struct cell to = cell_at(j);

			if(i != j && (i * CELLS + j) % stride != 0)
				continue;
			n_resumed += cell_may_resume(&from, &to, way);
			offer(session, &from, &made, &to, way);
		}
		SSL_SESSION_free(session);
	}
	CU_ASSERT_TRUE(n_resumed > 10); /* the table did look at something */
}

static void test_tickets_12(void)
{
	run_table(CELL_12_TICKET);
}

static void test_ids_12(void)
{
	run_table(CELL_12_ID);
}

static void test_tickets_13(void)
{
	run_table(CELL_13);
}

/* ---- after a reload ---- */

static void copy_file(const char *from, const char *to)
{
	pki_join(to, from, NULL);
}

static void strip_ca(struct engine_profile *profile)
{
	profile->params.require_certificate = 0;
	profile->params.verify_certificate = 0;
}

/* What changes between two generations, by file or by setting. */
struct reload_row
{
	const char *ca[2];	/* content of ca_list */
	const char *crl[2]; /* content of crl, NULL = not set */
	const char *names[2];
	bool asks[2];
	const char *pin; /* of the second */
	bool resumes;
	bool up; /* the handshake that comes of it */
	const char *reason;
};

static const struct reload_row reload_rows[] = {
		{{"zoo-ca.pem", "zoo-stranger.pem"}, {NULL, NULL}, {NULL, NULL},
				{true, true}, NULL, false, false,
				"another CA under the same path"},
		{{"zoo-ca.pem", "zoo-ca.pem"}, {"zoo-crl.pem", "late-crl.pem"},
				{NULL, NULL}, {true, true}, NULL, false, false,
				"the peer was revoked meanwhile"},
		{{"zoo-ca.pem", "zoo-ca.pem"}, {NULL, "late-crl.pem"}, {NULL, NULL},
				{true, true}, NULL, false, false,
				"revocation is looked at now"},
		{{"zoo-ca.pem", "zoo-ca.pem"}, {NULL, NULL}, {NULL, NULL},
				{false, true}, NULL, false, true,
				"certificates are asked for now"},
		{{"zoo-ca.pem", "zoo-ca.pem"}, {NULL, NULL}, {"a.example", "b.example"},
				{true, true}, NULL, false, false,
				"other names may come in now"},
		{{"zoo-ca.pem", "zoo-ca.pem"}, {NULL, NULL}, {NULL, NULL}, {true, true},
				"00000000000000000000000000000000000000000000000000000000000000"
				"00",
				false, false, "other keys may come in now"},
		{{"zoo-ca.pem", "zoo-ca.pem"}, {NULL, NULL}, {"a.example", "a.example"},
				{true, true}, NULL, true, true, "nothing has changed"},
};

static struct tls_ctx *generation(const struct reload_row *row, int number)
{
	struct engine_profile profile;

	copy_file(row->ca[number], "now-ca.pem");
	engine_profile_init(&profile, TLS_ROLE_SERVER, "ec");
	profile.settings.session_cache = 1;
	profile.params.verify_certificate = 1;
	profile.params.require_certificate = 1;
	profile.params.ca_list = text(pki_path("now-ca.pem"));
	if(row->crl[number] != NULL) {
		copy_file(row->crl[number], "now-crl.pem");
		profile.params.crl = text(pki_path("now-crl.pem"));
	}
	if(row->names[number] != NULL) {
		profile.params.verify_name = text("sip");
		profile.params.peer_names = text(row->names[number]);
	}
	if(number == 1)
		profile.params.peer_pin = text(row->pin);
	if(!row->asks[number])
		strip_ca(&profile);
	return build(&profile);
}

static void test_reload(void)
{
	struct zoo_spec spec = {.name = "r-late", .san = "DNS:a.example"};
	X509 *cert = zoo_make(&spec);
	SSL_CTX *raw = client_of("r-late");
	size_t i, way;

	zoo_crl();
	copy_file("zoo-crl.pem", "early-crl.pem");
	zoo_revoke(cert);
	zoo_crl();
	copy_file("zoo-crl.pem", "late-crl.pem");
	copy_file("early-crl.pem", "zoo-crl.pem");
	for(i = 0; i < sizeof(reload_rows) / sizeof(reload_rows[0]); i++) {
		const struct reload_row *row = &reload_rows[i];
		struct tls_ctx *before = generation(row, 0);
		struct tls_ctx *after = generation(row, 1);

		for(way = 0; way < CELL_WAYS; way++) {
			struct outcome made = shake(before, raw, (enum cell_way)way, NULL);
			SSL_SESSION *session = take_caught();
			struct outcome got = shake(after, raw, (enum cell_way)way, session);

			if(!made.is.up || got.is.up != row->up
					|| got.resumed != row->resumes)
				fprintf(stderr, "\n%s, way %zu: made %d, up %d, resumed %d\n",
						row->reason, way, made.is.up, got.is.up, got.resumed);
			CU_ASSERT_TRUE(made.is.up && session != NULL);
			CU_ASSERT_EQUAL(got.is.up, row->up);
			CU_ASSERT_EQUAL(got.resumed, row->resumes);
			CU_ASSERT_EQUAL(got.is.verified, got.is.up);
			SSL_SESSION_free(session);
		}
		tls_ctx_free(&before);
		tls_ctx_free(&after);
	}
	SSL_CTX_free(raw);
	X509_free(cert);
}

/* A real reload makes new keys: whatever is the same, nothing is resumed. */
static void test_new_keys(void)
{
	struct engine_profile profile;
	struct tls_ctx *old_first = first;
	struct tls_ctx *ctx;
	size_t way;

	for(way = 0; way < CELL_WAYS; way++) {
		struct outcome got;
		SSL_SESSION *session;

		profile_of(&profile, 1, CELL_REQUIRE);
		first = ctx = build(&profile);
		got = shake(ctx, raws[CELL_GOOD], (enum cell_way)way, NULL);
		session = take_caught();
		CU_ASSERT_TRUE(got.is.up && session != NULL);
		tls_ctx_free(&ctx);
		first = ctx = build(&profile);
		got = shake(ctx, raws[CELL_GOOD], (enum cell_way)way, session);
		CU_ASSERT_TRUE(got.is.up && got.is.verified && !got.resumed);
		tls_ctx_free(&ctx);
		SSL_SESSION_free(session);
		first = old_first;
	}
}

/* A session does not live longer than the certificate that it rests on. */
static void test_lifetime(void)
{
	struct zoo_spec spec = {.name = "r-short", .from = -ZOO_DAY, .to = 100};
	SSL_CTX *raw;
	size_t way;

	X509_free(zoo_make(&spec));
	raw = client_of("r-short");
	for(way = 0; way < CELL_WAYS; way += 2) { /* tickets tell the client */
		struct outcome got =
				shake(contexts[1][CELL_REQUIRE], raw, (enum cell_way)way, NULL);
		SSL_SESSION *session = take_caught();

		CU_ASSERT_TRUE(got.is.up && session != NULL);
		CU_ASSERT_TRUE(SSL_SESSION_get_ticket_lifetime_hint(session) > 0);
		CU_ASSERT_TRUE(SSL_SESSION_get_ticket_lifetime_hint(session) <= 100);
		SSL_SESSION_free(session);
	}
	SSL_CTX_free(raw);
}

void test_resume_add(void)
{
	CU_pSuite suite = CU_add_suite("resume", begin, end);

	CU_add_test(suite, "every cell to every other, TLS 1.2 tickets",
			test_tickets_12);
	CU_add_test(suite, "every cell to every other, TLS 1.2 ids", test_ids_12);
	CU_add_test(suite, "every cell to every other, TLS 1.3", test_tickets_13);
	CU_add_test(suite, "files and settings that changed", test_reload);
	CU_add_test(suite, "keys of a new generation", test_new_keys);
	CU_add_test(suite, "no longer than the certificate", test_lifetime);
}
