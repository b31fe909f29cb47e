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

#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"
#include "../lib/zoo.h"

void test_resume_add(void);

enum policy
{
	NONE = 0,
	OPTIONAL,
	REQUIRE,
	NO_CA,
	POLICIES
};
#define PROFILES 3
enum shown
{
	SHOWS_NOTHING = 0,
	SHOWS_GOOD,
	SHOWS_STRANGER,
	SHOWS_EXPIRED,
	SHOWS_REVOKED,
	SHOWN
};
#define CELLS (PROFILES * POLICIES * SHOWN)

enum way
{
	WAY_12_TICKET = 0,
	WAY_12_ID,
	WAY_13,
	WAYS
};

struct cell
{
	int profile;
	enum policy policy;
	enum shown shown;
};

static const char *const labels[PROFILES] = {
		"TLSs<default>", "TLSs<a.example>", "TLSs<b.example>"};
static const struct zoo_spec animals[SHOWN] = {{NULL}, {"r-good"},
		{"r-stranger", .issuer = ZOO_STRANGER},
		{"r-expired", .from = -9 * ZOO_DAY, .to = -ZOO_DAY},
		{"r-revoked", .revoked = true}};

static struct tls_ctx *contexts[PROFILES][POLICIES];
static struct tls_ctx *first;  /* on which every connection begins */
static struct tls_ctx *wanted; /* which the server name then chooses */
static SSL_CTX *raws[SHOWN];
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
		struct engine_profile *profile, int number, enum policy policy)
{
	engine_profile_init(profile, TLS_ROLE_SERVER, "ec");
	profile->label = labels[number];
	profile->settings.session_cache = 1;
	if(policy != NONE) {
		profile->params.ca_list = text(pki_path("zoo-ca.pem"));
		profile->params.crl = text(pki_path("zoo-crl.pem"));
	}
	profile->params.verify_certificate = policy == OPTIONAL;
	profile->params.require_certificate = policy == REQUIRE;
	if(policy == NO_CA)
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
	zoo_init();
	for(i = 1; i < SHOWN; i++)
		X509_free(zoo_make(&animals[i]));
	zoo_crl();
	for(i = 0; i < SHOWN; i++)
		raws[i] = client_of(animals[i].name);
	for(i = 0; i < PROFILES * POLICIES; i++) {
		profile_of(&profile, (int)(i / POLICIES), (enum policy)(i % POLICIES));
		contexts[i / POLICIES][i % POLICIES] = build(&profile);
	}
	profile_of(&profile, 0, NONE);
	first = build(&profile);
	return 0;
}

static int end(void)
{
	size_t i;

	for(i = 0; i < PROFILES * POLICIES; i++)
		tls_ctx_free(&contexts[i / POLICIES][i % POLICIES]);
	tls_ctx_free(&first);
	for(i = 0; i < SHOWN; i++)
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
	bool up;
	bool resumed;
	bool verified;
	bool presented;
	size_t n_peer; /* size of the peer's certificate: tells them apart */
	bool anchored; /* who signed that is known */
	long result;
};

/* A handshake of RAW with CTX that offers SESSION (NULL = none). What the
 * client is given is in "caught" afterwards. */
static struct outcome shake(
		struct tls_ctx *ctx, SSL_CTX *raw, enum way way, SSL_SESSION *session)
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
			ssl, way == WAY_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	if(way == WAY_12_ID)
		SSL_set_options(ssl, SSL_OP_NO_TICKET);
	if(session != NULL)
		CU_ASSERT_EQUAL(SSL_set_session(ssl, session), 1);
	out.up = engine_pair_handshake(&pair);
	CU_ASSERT_PTR_NULL(pair.broken);
	info = tls_conn_info(pair.conn[ENGINE_SERVER]);
	if(out.up && info != NULL) {
		out.resumed = info->resumed;
		out.verified = tls_info_peer_verified(info);
		out.presented = info->peer_presented;
		out.n_peer = info->peer_der_len;
		out.result = info->verify_result;
		out.anchored = tls_ctx_chain_at(ctx, info, 1, der, sizeof(der), &n_der);
		CU_ASSERT_EQUAL(out.anchored, out.verified);
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

/* ---- what should come out ---- */

/* A full handshake of CELL. */
static struct outcome full_of(const struct cell *cell)
{
	struct outcome out = {.up = true};
	bool good = cell->shown == SHOWS_GOOD;
	bool nothing = cell->shown == SHOWS_NOTHING;

	if(cell->policy == NONE)
		return out;
	if(cell->policy == REQUIRE)
		out.up = good;
	if(cell->policy == OPTIONAL)
		out.up = good || nothing;
	out.presented = out.up && !nothing;
	out.verified = out.up && good;
	return out;
}

/* May a session of FROM be resumed in TO? */
static bool may_resume(
		const struct cell *from, const struct cell *to, enum way way)
{
	if(from->profile != to->profile || from->policy != to->policy)
		return false;
	/* a ticket of somebody whose certificate is over is not taken */
	return way == WAY_12_ID || from->policy == NONE
		   || from->shown != SHOWS_EXPIRED;
}

static void say(const char *what, enum way way, const struct cell *from,
		const struct cell *to, const struct outcome *got)
{
	fprintf(stderr,
			"\n%s, way %d: profile %d policy %d shown %d -> %d %d %d: up %d "
			"resumed %d verified %d presented %d result %ld\n",
			what, (int)way, from->profile, (int)from->policy, (int)from->shown,
			to->profile, (int)to->policy, (int)to->shown, got->up, got->resumed,
			got->verified, got->presented, got->result);
}

static bool same(const struct outcome *a, const struct outcome *b)
{
	return a->up == b->up && a->verified == b->verified
		   && a->presented == b->presented;
}

static struct cell cell_at(size_t i)
{
	struct cell cell = {(int)(i / (POLICIES * SHOWN)),
			(enum policy)(i / SHOWN % POLICIES), (enum shown)(i % SHOWN)};

	return cell;
}

/* Makes a session in FROM; NULL when FROM lets nobody in. */
static SSL_SESSION *session_of(
		const struct cell *from, enum way way, struct outcome *made)
{
	struct outcome want = full_of(from);

	*made = shake(contexts[from->profile][from->policy], raws[from->shown], way,
			NULL);
	if(!same(made, &want) || made->resumed)
		say("full", way, from, from, made);
	CU_ASSERT_TRUE(same(made, &want));
	CU_ASSERT_FALSE(made->resumed);
	CU_ASSERT_TRUE(!made->up || caught != NULL);
	return made->up ? take_caught() : NULL;
}

static void offer(SSL_SESSION *session, const struct cell *from,
		const struct outcome *made, const struct cell *to, enum way way)
{
	struct outcome want = full_of(to);
	struct outcome got;

	/* OpenSSL's client uses a session of TLS 1.3 once: a copy each time */
	session = SSL_SESSION_dup(session);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	got = shake(
			contexts[to->profile][to->policy], raws[to->shown], way, session);
	SSL_SESSION_free(session);
	if(may_resume(from, to, way)) {
		want = *made;
		want.resumed = true;
	}
	if(!same(&got, &want) || got.resumed != want.resumed)
		say("offered", way, from, to, &got);
	CU_ASSERT_TRUE(same(&got, &want));
	CU_ASSERT_EQUAL(got.resumed, want.resumed);
	if(want.resumed) {
		CU_ASSERT_EQUAL(got.n_peer, made->n_peer);
		CU_ASSERT_EQUAL(got.result, made->result);
	}
}

static void run_table(enum way way)
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
			n_resumed += may_resume(&from, &to, way);
			offer(session, &from, &made, &to, way);
		}
		SSL_SESSION_free(session);
	}
	CU_ASSERT_TRUE(n_resumed > 10); /* the table did look at something */
}

static void test_tickets_12(void)
{
	run_table(WAY_12_TICKET);
}

static void test_ids_12(void)
{
	run_table(WAY_12_ID);
}

static void test_tickets_13(void)
{
	run_table(WAY_13);
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

		for(way = 0; way < WAYS; way++) {
			struct outcome made = shake(before, raw, (enum way)way, NULL);
			SSL_SESSION *session = take_caught();
			struct outcome got = shake(after, raw, (enum way)way, session);

			if(!made.up || got.up != row->up || got.resumed != row->resumes)
				fprintf(stderr, "\n%s, way %zu: made %d, up %d, resumed %d\n",
						row->reason, way, made.up, got.up, got.resumed);
			CU_ASSERT_TRUE(made.up && session != NULL);
			CU_ASSERT_EQUAL(got.up, row->up);
			CU_ASSERT_EQUAL(got.resumed, row->resumes);
			CU_ASSERT_EQUAL(got.verified, got.up);
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

	for(way = 0; way < WAYS; way++) {
		struct outcome got;
		SSL_SESSION *session;

		profile_of(&profile, 1, REQUIRE);
		first = ctx = build(&profile);
		got = shake(ctx, raws[SHOWS_GOOD], (enum way)way, NULL);
		session = take_caught();
		CU_ASSERT_TRUE(got.up && session != NULL);
		tls_ctx_free(&ctx);
		first = ctx = build(&profile);
		got = shake(ctx, raws[SHOWS_GOOD], (enum way)way, session);
		CU_ASSERT_TRUE(got.up && got.verified && !got.resumed);
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
	for(way = 0; way < WAYS; way += 2) { /* tickets tell the client */
		struct outcome got =
				shake(contexts[1][REQUIRE], raw, (enum way)way, NULL);
		SSL_SESSION *session = take_caught();

		CU_ASSERT_TRUE(got.up && session != NULL);
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
