/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the engine against plain OpenSSL: alerts and their sentences,
 * verification, renegotiation, key updates, tickets, client certificates.
 * The plain end is the judge of what went over the wire. */
#include "test_conn.h"

#include <string.h>

#include <CUnit/CUnit.h>

#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

static char *path(const char *file)
{
	return (char *)(uintptr_t)pki_path(file);
}

/* An engine at END of PROFILE against a plain peer of RAW. */
static void pair_new(
		struct engine_pair *pair, int end, struct tls_ctx *ctx, SSL_CTX *raw)
{
	struct tls_err err;

	engine_pair_init(pair);
	CU_ASSERT_EQUAL_FATAL(
			engine_pair_engine(pair, end, ctx, NULL, &err), TLS_RC_OK);
	engine_pair_raw(pair, 1 - end, raw);
}

static void profile_for(struct engine_profile *profile, int end,
		enum tls_version version, const char *name)
{
	engine_profile_init(profile,
			end == ENGINE_SERVER ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT, name);
	if(version != TLS_VERSION_NONE)
		engine_profile_version(profile, version);
}

static struct tls_ctx *ctx_of(const struct engine_profile *profile)
{
	struct tls_ctx *ctx = NULL;
	struct tls_err err;

	tls_err_clear(&err);
	if(engine_ctx(&ctx, profile, &err) != TLS_RC_OK)
		fprintf(stderr, "\n%s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
	return ctx;
}

/* Some bytes each way; true when both arrived. */
static bool talk(struct engine_pair *pair)
{
	static const char text[] = "OPTIONS sip:unit.example SIP/2.0\r\n";
	int end;

	for(end = 0; end < 2; end++) {
		pair->got[end].n = 0;
		if(engine_pair_write(pair, 1 - end, text, sizeof(text)) != TLS_RC_OK)
			return false;
	}
	engine_pair_run(pair);
	for(end = 0; end < 2; end++) {
		if(pair->got[end].n != sizeof(text)
				|| memcmp(pair->got[end].p, text, sizeof(text)) != 0)
			return false;
	}
	return pair->broken == NULL;
}

/* ---- failed handshakes ---- */

static void want_ecdsa(struct engine_profile *p)
{
	static char list[] = "ECDHE-ECDSA-AES256-GCM-SHA384";
	p->params.cipher_list = list;
}

static void want_client_cert(struct engine_profile *p)
{
	p->params.require_certificate = 1;
	p->params.verify_certificate = 1;
	p->params.ca_list = path("ca.pem");
}

static void want_stranger(struct engine_profile *p)
{
	want_client_cert(p);
	p->params.ca_list = path("other-ca.pem");
}

static void want_crl(struct engine_profile *p)
{
	want_client_cert(p);
	p->params.crl = path("crl.pem");
}

static void no_wish(struct engine_profile *p)
{
	(void)p;
}

static void raw_as_is(SSL_CTX *ctx)
{
	(void)ctx;
}

static void raw_weak_cipher(SSL_CTX *ctx)
{
	SSL_CTX_set_cipher_list(ctx, "AES128-SHA");
}

static void raw_max_12(SSL_CTX *ctx)
{
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
}

static void raw_asks(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(
			ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static void raw_trusts_none(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
}

struct fail_row
{
	int end; /* of the engine */
	enum tls_version version;
	const char *cert; /* of the engine */
	const char *raw_cert;
	void (*wish)(struct engine_profile *p);
	void (*raw)(SSL_CTX *ctx);
	int alert;			  /* the plain end must get it; -1 = it sends one */
	const char *sentence; /* part of the engine's error */
	const char *absent;	  /* must not be in it */
	const char *reason;
	enum tls_cause cause; /* what the engine's error says */
};

#define SRV ENGINE_SERVER
#define CLI ENGINE_CLIENT
#define V12 TLS_VERSION_1_2
#define V13 TLS_VERSION_1_3
#define REFUSED "certificate of the peer refused"

static const struct fail_row fail_rows[] = {
		{SRV, V12, "ec", NULL, want_ecdsa, raw_weak_cipher, 40,
				"no shared cipher", REFUSED, "RFC 5246 s7.4.1.3",
				TLS_CAUSE_CIPHER},
		{SRV, V13, "ec", NULL, no_wish, raw_max_12, 70, "protocol", REFUSED,
				"RFC 8446 s4.2.1: protocol_version", TLS_CAUSE_VERSION},
		{SRV, V12, "ec", NULL, want_client_cert, raw_as_is, 40,
				"did not return a certificate", REFUSED, "RFC 5246 s7.4.6",
				TLS_CAUSE_CERT_MISSING},
		{SRV, V13, "ec", NULL, want_client_cert, raw_as_is, 116,
				"did not return a certificate", REFUSED, "RFC 8446 s4.4.2.4",
				TLS_CAUSE_CERT_MISSING},
		{SRV, V12, "ec", "ec", want_stranger, raw_as_is, 48,
				REFUSED " (unable to get local issuer", NULL, "unknown_ca",
				TLS_CAUSE_CERT_CA},
		{SRV, V13, "rsa", "rsa", want_stranger, raw_as_is, 48,
				REFUSED " (unable to get local issuer", NULL, "unknown_ca",
				TLS_CAUSE_CERT_CA},
		{SRV, V13, "ec", "expired", want_client_cert, raw_as_is, 45,
				REFUSED " (certificate has expired", NULL, "expired",
				TLS_CAUSE_CERT_EXPIRED},
		{SRV, V12, "ec", "revoked", want_crl, raw_as_is, 44,
				REFUSED " (certificate revoked", NULL, "revoked",
				TLS_CAUSE_CERT_REVOKED},
		{CLI, V12, NULL, "ec", want_stranger, raw_as_is, 48,
				REFUSED " (unable to get local issuer", NULL, "unknown_ca",
				TLS_CAUSE_CERT_CA},
		{CLI, V13, NULL, "ec", want_stranger, raw_as_is, 48,
				REFUSED " (unable to get local issuer", NULL, "unknown_ca",
				TLS_CAUSE_CERT_CA},
		{CLI, V13, NULL, "expired", want_client_cert, raw_as_is, 45,
				REFUSED " (certificate has expired", NULL, "expired",
				TLS_CAUSE_CERT_EXPIRED},
		{CLI, V12, NULL, "revoked", want_crl, raw_as_is, 44,
				REFUSED " (certificate revoked", NULL, "revoked",
				TLS_CAUSE_CERT_REVOKED},
		{CLI, V12, NULL, "ec", no_wish, raw_asks, -1, "alert", REFUSED,
				"the server refuses us: do not blame its certificate",
				TLS_CAUSE_ALERT},
		{SRV, V12, "ec", NULL, no_wish, raw_trusts_none, -1, "unknown ca",
				REFUSED, "the client does not trust us", TLS_CAUSE_ALERT},
		{SRV, V13, "ec", NULL, no_wish, raw_trusts_none, -1, "unknown ca",
				REFUSED, "the client does not trust us", TLS_CAUSE_ALERT},
};

static void fail_case(const struct fail_row *row, size_t chop)
{
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	SSL_CTX *raw = engine_raw_ctx(1 - row->end, row->raw_cert);
	const char *text = pair.err[row->end].text;
	bool good;

	profile_for(&profile, row->end, row->version, row->cert);
	row->wish(&profile);
	row->raw(raw);
	ctx = ctx_of(&profile);
	pair_new(&pair, row->end, ctx, raw);
	pair.chop = chop;
	engine_pair_run(&pair);
	good = tls_conn_state(pair.conn[row->end]) == TLS_CONN_FAILED
		   && pair.err[row->end].rc == TLS_RC_PEER
		   && tls_err_cause(&pair.err[row->end]) == row->cause
		   && pair.raw_alert[1 - row->end] == row->alert
		   && strstr(text, row->sentence) != NULL
		   && (row->absent == NULL || strstr(text, row->absent) == NULL)
		   && pair.broken == NULL;
	if(!good)
		fprintf(stderr, "\n%s (chop %zu): alert %d, rc %s, %s, \"%s\" %s\n",
				row->reason, chop, pair.raw_alert[1 - row->end],
				tls_err_rc_name(pair.err[row->end].rc),
				tls_err_cause_text(tls_err_cause(&pair.err[row->end])), text,
				pair.broken != NULL ? pair.broken : "");
	CU_ASSERT_TRUE(good);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

static void test_failures(void)
{
	size_t i;

	for(i = 0; i < sizeof(fail_rows) / sizeof(fail_rows[0]); i++) {
		fail_case(&fail_rows[i], (size_t)1 << 30);
		fail_case(&fail_rows[i], 1);
	}
}

struct garbage_row
{
	const char *bytes;
	size_t n;
	int alert; /* in clear in the out window; -1 = none, -2 = may be */
	const char *reason;
};

static const struct garbage_row garbage_rows[] = {
		{"\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, 50, "an empty hello"},
		{"\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, 10,
				"a ServerHello for the server"},
		{"\x17\x03\x03\x00\x01\x00", 6, 10, "data before the handshake"},
		{"\x16\x03\x01\xff\xff\x01", 6, 22, "a record that is too long"},
		{"OPTIONS sip:unit.example SIP/2.0\r\n\r\n", 36, -2,
				"SIP over TCP on the TLS port"},
		{"GET / HTTP/1.1\r\n\r\n", 18, -1, "a web scanner"},
};

static void test_garbage(void)
{
	unsigned char out[512], clear[64];
	struct engine_profile profile;
	struct tls_ctx *ctx;
	size_t i;

	profile_for(&profile, SRV, TLS_VERSION_NONE, "ec");
	ctx = ctx_of(&profile);
	for(i = 0; i < sizeof(garbage_rows) / sizeof(garbage_rows[0]); i++) {
		const struct garbage_row *row = &garbage_rows[i];
		struct tls_conn_io io = {(const unsigned char *)row->bytes, row->n, out,
				sizeof(out), 0, clear, sizeof(clear), 0};
		struct tls_conn_args args = {.role = TLS_ROLE_SERVER,
				.ctx = ctx,
				.own_records = engine_own_records};
		struct tls_conn *conn;
		struct tls_err err;
		int alert = -1;

		CU_ASSERT_EQUAL_FATAL(tls_conn_new(&conn, &args, &err), TLS_RC_OK);
		CU_ASSERT_EQUAL(tls_conn_read(conn, &io, &err), TLS_RC_PEER);
		CU_ASSERT_EQUAL(tls_err_cause(&err), TLS_CAUSE_GARBAGE);
		CU_ASSERT_EQUAL(io.n_clear, 0);
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
		/* record type 21, two bytes: level fatal, description */
		if(io.n_out == 7 && out[0] == 21 && out[4] == 2 && out[5] == 2)
			alert = out[6];
		CU_ASSERT_TRUE(alert == row->alert || row->alert == -2);
		if(row->alert != -2 && alert != row->alert)
			fprintf(stderr, "\n%s: alert %d, %zu bytes, %s\n", row->reason,
					alert, io.n_out, err.text);
		tls_conn_free(&conn);
	}
	tls_ctx_free(&ctx);
}

/* ---- policies that let pass ---- */

struct policy_row
{
	enum tls_verify_client verify_client;
	int verify_certificate;
	const char *ca;
	const char *raw_cert;
	bool passes;
	bool presented;
	bool verified;
	const char *reason;
};

#define NO_CA TLS_VERIFY_CLIENT_OPTIONAL_NO_CA
#define OPT TLS_VERIFY_CLIENT_OPTIONAL

static const struct policy_row policy_rows[] = {
		{OPT, 0, "other-ca.pem", "ec", false, false, false,
				"optional is no licence for bad certificates"},
		{NO_CA, 1, "other-ca.pem", "ec", false, false, false,
				"the stricter of two settings decides"},
		{TLS_VERIFY_CLIENT_ON, 0, "ca.pem", NULL, false, false, false,
				"on demands one"},
		{NO_CA, 0, "other-ca.pem", "ec", true, true, false,
				"passes, but never as verified"},
		{NO_CA, 0, NULL, "expired", true, true, false,
				"passes, but never as verified"},
		{OPT, 0, "ca.pem", NULL, true, false, false, "none is fine"},
		{OPT, 0, "ca.pem", "ec", true, true, true, "a good one"},
		{TLS_VERIFY_CLIENT_ON, 0, "ca.pem", "rsa", true, true, true,
				"a good one"},
		{TLS_VERIFY_CLIENT_OFF, 0, NULL, "ec", true, false, false,
				"never asked"},
};

static void test_policies(void)
{
	static const enum tls_version versions[] = {V12, V13};
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	SSL_CTX *raw;
	size_t i;

	for(i = 0; i < 2 * sizeof(policy_rows) / sizeof(policy_rows[0]); i++) {
		const struct policy_row *row = &policy_rows[i / 2];
		const struct tls_info *info;

		raw = engine_raw_ctx(CLI, row->raw_cert);
		profile_for(&profile, SRV, versions[i % 2], "ec");
		profile.params.verify_client = row->verify_client;
		profile.params.verify_certificate = row->verify_certificate;
		profile.params.ca_list = row->ca != NULL ? path(row->ca) : NULL;
		ctx = ctx_of(&profile);
		pair_new(&pair, SRV, ctx, raw);
		CU_ASSERT_EQUAL(engine_pair_handshake(&pair), row->passes);
		info = tls_conn_info(pair.conn[SRV]);
		CU_ASSERT_EQUAL(info != NULL, row->passes);
		if(info != NULL) {
			CU_ASSERT_EQUAL(info->peer_presented, row->presented);
			CU_ASSERT_EQUAL(tls_info_peer_verified(info), row->verified);
		}
		if(engine_pair_is_up(&pair, SRV) != row->passes)
			fprintf(stderr, "\npolicy row %zu: %s\n", i, pair.err[SRV].text);
		engine_pair_clear(&pair);
		tls_ctx_free(&ctx);
		SSL_CTX_free(raw);
	}
}

/* ---- roles, suites, client certificates ---- */

static void test_client_certificates(void)
{
	static const char *const names[] = {"ec", "rsa", "ed"};
	static const enum tls_version versions[] = {V12, V13};
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	SSL_CTX *raw;
	size_t i;

	for(i = 0; i < 6; i++) {
		raw = engine_raw_ctx(SRV, names[i % 3]);
		raw_asks(raw);
		CU_ASSERT_EQUAL_FATAL(
				SSL_CTX_load_verify_file(raw, pki_path("ca.pem")), 1);
		port_stub_set_process(0, 8);
		profile_for(&profile, CLI, versions[i / 3], names[i % 3]);
		ctx = ctx_of(&profile);
		pair_new(&pair, CLI, ctx, raw);
		pair.processes = 8; /* each step elsewhere */
		pair.chop = 200;
		CU_ASSERT_TRUE(engine_pair_handshake(&pair));
		CU_ASSERT_TRUE(talk(&pair));
		engine_pair_clear(&pair);
		tls_ctx_free(&ctx);
		SSL_CTX_free(raw);
		port_stub_set_process(0, 1);
	}
}

static void test_close_notify(void)
{
	static const enum tls_version versions[] = {V12, V13};
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	SSL_CTX *raw;
	int i, end;

	for(i = 0; i < 4; i++) {
		unsigned char out[64];
		struct tls_conn_io io = {NULL, 0, out, sizeof(out), 0, NULL, 0, 0};

		end = i % 2;
		raw = engine_raw_ctx(1 - end, "ec");
		profile_for(&profile, end, versions[i / 2], "ec");
		ctx = ctx_of(&profile);

		pair_new(&pair, end, ctx, raw);
		CU_ASSERT_TRUE(engine_pair_handshake(&pair));
		tls_conn_shutdown(pair.conn[end], &io);
		engine_bytes_add(&pair.wire[1 - end], out, io.n_out);
		engine_pair_run(&pair);
		CU_ASSERT_TRUE(pair.raw_closed[1 - end]);
		CU_ASSERT_EQUAL(pair.raw_alert[1 - end], 0);
		engine_pair_clear(&pair);

		pair_new(&pair, end, ctx, raw);
		CU_ASSERT_TRUE(engine_pair_handshake(&pair));
		CU_ASSERT_EQUAL(SSL_shutdown(pair.raw[1 - end]), 0);
		engine_pair_run(&pair);
		CU_ASSERT_EQUAL(tls_conn_state(pair.conn[end]), TLS_CONN_CLOSED);
		CU_ASSERT_PTR_NULL(pair.broken);
		engine_pair_clear(&pair);
		tls_ctx_free(&ctx);
		SSL_CTX_free(raw);
	}
}

/* ---- renegotiation (TLS 1.2, RFC 5746) ---- */

struct renegotiation_row
{
	int end; /* of the engine */
	int allowed;
	const char *reason;
};

static const struct renegotiation_row renegotiation_rows[] = {
		{SRV, 0, "a client that burns our CPU"},
		{CLI, 0, "a server that asks us to begin anew"},
		{SRV, 1, "asked for by the settings"},
		{CLI, 1, "asked for by the settings"},
};

static void renegotiation_case(const struct renegotiation_row *row)
{
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	SSL_CTX *raw = engine_raw_ctx(1 - row->end, "rsa");
	SSL *peer;

	SSL_CTX_set_max_proto_version(raw, TLS1_2_VERSION);
	port_stub_set_process(0, 8);
	profile_for(&profile, row->end, V12, "rsa");
	profile.settings.renegotiation = row->allowed;
	ctx = ctx_of(&profile);
	pair_new(&pair, row->end, ctx, raw);
	pair.processes = 8;
	CU_ASSERT_TRUE_FATAL(engine_pair_handshake(&pair));
	CU_ASSERT_TRUE(talk(&pair));
	peer = pair.raw[1 - row->end];
	pair.raw_alert[1 - row->end] = -1;
	CU_ASSERT_EQUAL(SSL_renegotiate(peer), 1);
	(void)SSL_do_handshake(peer);
	engine_pair_run(&pair);
	if(row->allowed) {
		CU_ASSERT_EQUAL(SSL_in_init(peer), 0);
		CU_ASSERT_TRUE(engine_pair_is_up(&pair, 0));
		CU_ASSERT_TRUE(engine_pair_is_up(&pair, 1));
		CU_ASSERT_TRUE(SSL_renegotiate_pending(peer) == 0);
		CU_ASSERT_PTR_NOT_NULL(tls_conn_info(pair.conn[row->end]));
		CU_ASSERT_TRUE(talk(&pair));
	} else {
		/* refused with a warning or the connection is dead: never done */
		CU_ASSERT_TRUE(
				pair.raw_alert[1 - row->end] == SSL_AD_NO_RENEGOTIATION
				|| tls_conn_state(pair.conn[row->end]) == TLS_CONN_FAILED);
	}
	CU_ASSERT_PTR_NULL(pair.broken);
	if(pair.broken != NULL)
		fprintf(stderr, "\n%s: %s\n", row->reason, pair.broken);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
	port_stub_set_process(0, 1);
}

static void test_renegotiation(void)
{
	size_t i;

	for(i = 0; i < sizeof(renegotiation_rows) / sizeof(renegotiation_rows[0]);
			i++)
		renegotiation_case(&renegotiation_rows[i]);
}

/* What the host sends in the middle of a renegotiation waits in the queue,
 * and goes out with the step that ends it, not with some later event. */
static void test_write_in_renegotiation(void)
{
	static const char text[] = "sent in between";
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	SSL_CTX *raw = engine_raw_ctx(CLI, NULL);

	SSL_CTX_set_max_proto_version(raw, TLS1_2_VERSION);
	profile_for(&profile, SRV, V12, "ec");
	profile.settings.renegotiation = 1;
	ctx = ctx_of(&profile);
	pair_new(&pair, SRV, ctx, raw);
	CU_ASSERT_TRUE_FATAL(engine_pair_handshake(&pair));
	SSL_renegotiate(pair.raw[CLI]);
	(void)SSL_do_handshake(pair.raw[CLI]);
	engine_pair_step(&pair, CLI);
	engine_pair_step(&pair, SRV); /* hello seen, flight sent */
	pair.got[CLI].n = 0;
	CU_ASSERT_EQUAL(
			engine_pair_write(&pair, SRV, text, sizeof(text)), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_conn_queued(pair.conn[SRV]), sizeof(text));
	engine_pair_run(&pair);
	CU_ASSERT_TRUE(engine_pair_is_up(&pair, SRV));
	CU_ASSERT_EQUAL(SSL_in_init(pair.raw[CLI]), 0);
	CU_ASSERT_EQUAL(tls_conn_queued(pair.conn[SRV]), 0);
	CU_ASSERT_EQUAL(pair.got[CLI].n, sizeof(text));
	CU_ASSERT_EQUAL(tls_ct_wrq_total(), 0);
	CU_ASSERT_PTR_NULL(pair.broken);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

/* ---- key updates (RFC 8446 s4.6.3) ---- */

static void test_key_update(void)
{
	static const int kinds[] = {
			SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED};
	static const size_t outs[] = {1, 10, 65536};
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	SSL_CTX *raw;
	int i, end, round;

	for(i = 0; i < 12; i++) {
		end = i % 2;
		raw = engine_raw_ctx(1 - end, "ec");
		profile_for(&profile, end, V13, "ec");
		ctx = ctx_of(&profile);
		pair_new(&pair, end, ctx, raw);
		pair.out_size = outs[i / 4];
		CU_ASSERT_TRUE(engine_pair_handshake(&pair));
		for(round = 0; round < 5; round++) {
			CU_ASSERT_EQUAL(
					SSL_key_update(pair.raw[1 - end], kinds[i / 2 % 2]), 1);
			CU_ASSERT_EQUAL(SSL_do_handshake(pair.raw[1 - end]), 1);
			CU_ASSERT_TRUE(talk(&pair));
		}
		engine_pair_clear(&pair);
		tls_ctx_free(&ctx);
		SSL_CTX_free(raw);
	}
}

/* ---- sessions ---- */

/* One connection of a plain client that offers *SESSION and keeps the new
 * one there; returns whether the engine resumed. */
static bool connect_once(struct tls_ctx *ctx, SSL_CTX *raw,
		SSL_SESSION **session, bool *connected)
{
	struct engine_pair pair;
	const struct tls_info *info;
	bool resumed;

	pair_new(&pair, SRV, ctx, raw);
	if(*session != NULL)
		CU_ASSERT_EQUAL(SSL_set_session(pair.raw[CLI], *session), 1);
	*connected = engine_pair_handshake(&pair);
	if(*connected)
		CU_ASSERT_TRUE(talk(&pair));
	info = tls_conn_info(pair.conn[SRV]);
	resumed = info != NULL && info->resumed;
	CU_ASSERT_EQUAL(resumed, SSL_session_reused(pair.raw[CLI]) == 1);
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(pair.raw[CLI]);
	/* no close_notify: ordinary in SIP, and no reason to forget a session */
	SSL_set_shutdown(pair.raw[CLI], SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	engine_pair_clear(&pair);
	return resumed;
}

static void test_sessions(void)
{
	static const enum tls_version versions[] = {V12, V13};
	struct engine_profile profile;
	struct tls_ctx *ctx, *strict;
	SSL_CTX *raw;
	SSL_SESSION *session;
	bool up;
	int i;

	for(i = 0; i < 4; i++) {
		raw = engine_raw_ctx(CLI, NULL);
		if(i / 2 == 1)
			SSL_CTX_set_options(raw, SSL_OP_NO_TICKET);
		session = NULL;
		profile_for(&profile, SRV, versions[i % 2], "ec");
		profile.settings.session_cache = 1;
		ctx = ctx_of(&profile);
		profile.label = "server:other";
		strict = ctx_of(&profile);
		CU_ASSERT_FALSE(connect_once(ctx, raw, &session, &up));
		CU_ASSERT_TRUE(up);
		CU_ASSERT_TRUE(connect_once(ctx, raw, &session, &up));
		CU_ASSERT_TRUE(up);
		CU_ASSERT_TRUE(connect_once(ctx, raw, &session, &up));
		/* another profile must not believe it (hazard 11) */
		CU_ASSERT_FALSE(connect_once(strict, raw, &session, &up));
		CU_ASSERT_TRUE(up);
		SSL_SESSION_free(session);
		tls_ctx_free(&ctx);
		tls_ctx_free(&strict);
		SSL_CTX_free(raw);
	}
}

struct ticket_row
{
	const char *reason;
	bool early; /* the first message comes with the client's Finished */
	bool reply; /* it is answered, else followed by another one */
	bool kept;	/* the ticket waits for what comes next, own records */
};

static const struct ticket_row ticket_rows[] = {
		{"nobody may ever say anything", false, true, false},
		{"leaves with the reply", true, true, true},
		{"leaves with the next message when there is no reply", true, false,
				true}};

/* The client's last flight, alone or with a message, and the step for it.
 * Returns the bytes that the server sends. */
static size_t finish(struct engine_pair *pair, bool early)
{
	engine_pair_step(pair, CLI);
	engine_pair_step(pair, SRV);
	engine_pair_step(pair, CLI);
	CU_ASSERT_EQUAL(pair->wire[CLI].n, 0);
	if(early)
		CU_ASSERT_EQUAL(engine_pair_write(pair, CLI, "one", 3), TLS_RC_OK);
	engine_pair_step(pair, SRV);
	CU_ASSERT_TRUE(engine_pair_is_up(pair, SRV));
	CU_ASSERT_EQUAL(pair->got[SRV].n, early ? 3 : 0);
	return pair->wire[CLI].n;
}

static void test_ticket_leaves(void)
{
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	SSL_CTX *raw;
	size_t i, sent, kept;

	for(i = 0; i < sizeof(ticket_rows) / sizeof(ticket_rows[0]); i++) {
		const struct ticket_row *row = &ticket_rows[i];

		raw = engine_raw_ctx(CLI, NULL);
		profile_for(&profile, SRV, V13, "ec");
		ctx = ctx_of(&profile);
		pair_new(&pair, SRV, ctx, raw);
		sent = finish(&pair, row->early);
		kept = tls_conn_unsent(pair.conn[SRV]);
		if((sent == 0) != (row->kept && engine_own_records)
				|| (kept > 0) != (sent == 0))
			CU_FAIL(row->reason);
		CU_ASSERT_EQUAL(
				engine_pair_write(&pair, row->reply ? SRV : CLI, "two", 3),
				TLS_RC_OK);
		engine_pair_step(&pair, row->reply ? CLI : SRV);
		CU_ASSERT_EQUAL(tls_conn_unsent(pair.conn[SRV]), 0);
		engine_pair_run(&pair);
		CU_ASSERT_EQUAL(pair.got[CLI].n, row->reply ? 3 : 0);
		CU_ASSERT_TRUE(
				SSL_SESSION_is_resumable(SSL_get0_session(pair.raw[CLI])));
		CU_ASSERT_PTR_NULL(pair.broken);
		engine_pair_clear(&pair);
		tls_ctx_free(&ctx);
		SSL_CTX_free(raw);
	}
}

/* ---- server names ---- */

static void test_server_names(void)
{
	struct engine_profile profile;
	struct engine_pair pair;
	struct tls_ctx *ctx;
	SSL_CTX *raw = engine_raw_ctx(CLI, NULL);
	const char *kept;
	char name[256];

	profile_for(&profile, SRV, TLS_VERSION_NONE, "ec");
	ctx = ctx_of(&profile);
	memset(name, 'A', sizeof(name));
	name[sizeof(name) - 1] = '\0';

	pair_new(&pair, SRV, ctx, raw);
	CU_ASSERT_EQUAL(SSL_set_tlsext_host_name(pair.raw[CLI], name), 1);
	CU_ASSERT_TRUE(engine_pair_handshake(&pair));
	kept = tls_conn_info(pair.conn[SRV])->server_name;
	CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
	CU_ASSERT_EQUAL(strlen(kept), 255);
	CU_ASSERT_EQUAL(strspn(kept, "a"), 255);
	engine_pair_clear(&pair);

	pair_new(&pair, SRV, ctx, raw);
	CU_ASSERT_TRUE(engine_pair_handshake(&pair));
	CU_ASSERT_PTR_NULL(tls_conn_info(pair.conn[SRV])->server_name);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

static void add_tests(CU_pSuite suite)
{
	CU_add_test(suite, "garbage and its alerts", test_garbage);
	CU_add_test(suite, "failures and their sentences", test_failures);
	CU_add_test(suite, "policies", test_policies);
	CU_add_test(suite, "renegotiation", test_renegotiation);
	CU_add_test(
			suite, "writing in a renegotiation", test_write_in_renegotiation);
	CU_add_test(suite, "key updates", test_key_update);
	CU_add_test(suite, "sessions", test_sessions);
	CU_add_test(suite, "when a ticket leaves", test_ticket_leaves);
	CU_add_test(suite, "client certificates", test_client_certificates);
	CU_add_test(suite, "close_notify with OpenSSL", test_close_notify);
	CU_add_test(suite, "server names", test_server_names);
}

void test_conn_peer_add(void)
{
	test_conn_add_twice("conn peer", add_tests);
}
