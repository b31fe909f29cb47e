/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of what peers say to each other after the handshake: a puppet with a
 * plain end's keys says it to an engine that works on its own records, and
 * the same to one that stays on OpenSSL. Both results stand in the table, so
 * that a difference is a decision and not an accident. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_post.h"
#include "../lib/port_stub.h"
#include "record_rig.h"

void test_post_add(void);

static void expect(bool good, const char *reason, const char *what)
{
	static int shown;

	CU_ASSERT(good);
	if(!good && shown++ < 60)
		fprintf(stderr, "post: %s: %s\n", reason, what);
}

enum alert
{
	NONE = -1,
	ANY = -2, /* versions of OpenSSL differ */
	CLOSE = 0,
	UNEXPECTED = 10,
	MAC = 20,
	OVERFLOW = 22,
	HANDSHAKE_FAILURE = 40,
	ILLEGAL = 47,
	DECODE = 50,
	VERSION = 70,
	INTERNAL = 80,
	NO_RENEGOTIATION = 100
};

enum how
{
	SEALED = 0, /* tls_record_seal */
	INNER,		/* hand-made, type is that of the outside */
	PLAIN		/* no protection: hex is the record */
};

#define SAYS 4
struct say
{
	enum how how;
	int type;
	const char *hex;
	size_t zeros; /* behind hex */
	int inner;	  /* INNER: type behind that, 0 = none */
	int padding;  /* INNER: zeros behind the type */
	int times;	  /* 0 = once */
};

struct row
{
	int version;
	char role; /* of the engine: s, c */
	struct say say[SAYS];
	enum tls_rc rc; /* of the own record layer */
	int alert;		/* the last that the puppet hears */
	enum tls_rc ossl_rc;
	int ossl_alert;
	size_t data; /* that comes out of the engine */
	const char *reason;
};

#define V12 TLS1_2_VERSION
#define V13 TLS1_3_VERSION
#define HS 22
#define AL 21
#define AP 23
#define KU0 "1800000100"
#define KU1 "1800000101"
#define TICKET "0400000e00000e1000000000000001200000"
#define PEER TLS_RC_PEER
#define GONE TLS_RC_CLOSED
#define OK TLS_RC_OK

static const struct row rows[] = {
		/* sizes and padding */
		{V13, 's', {{INNER, AP, "", 16385, AP}}, PEER, OVERFLOW, PEER, OVERFLOW,
				0, "one byte too many, 1.3"},
		{V12, 's', {{INNER, AP, "", 16385}}, PEER, OVERFLOW, PEER, OVERFLOW, 0,
				"one byte too many, 1.2"},
		{V13, 's', {{INNER, AP, "", 16384 + 239, AP}}, PEER, OVERFLOW, PEER,
				OVERFLOW, 0, "2^14+256 on the wire"},
		{V13, 's', {{INNER, AP, "", 16384 + 240, AP}}, PEER, OVERFLOW, PEER,
				OVERFLOW, 0, "2^14+257 on the wire"},
		{V12, 's', {{INNER, AP, "", 16384 + 2024}}, PEER, OVERFLOW, PEER,
				OVERFLOW, 0, "2^14+2048 on the wire"},
		{V13, 's', {{INNER, AP, "aa", 0, AP, 16384}}, PEER, OVERFLOW, OK, NONE,
				0, "padding, one too many"},
		{V13, 's', {{INNER, AP, "aa", 0, AP, 16383}}, OK, NONE, OK, NONE, 1,
				"padding, full"},
		{V13, 's', {{INNER, AP, "", 16384, AP, 0}}, OK, NONE, OK, NONE, 16384,
				"16384 bytes"},
		{V13, 's', {{INNER, AP, "", 0, AP, 500}}, OK, NONE, OK, NONE, 0,
				"only padding"},
		{V13, 's', {{INNER, AP, "", 1, 0, 0}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "one zero, no type"},
		{V13, 's', {{INNER, AP, "", 16385, 0, 0}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "full zeros, no type"},
		{V13, 's', {{INNER, AP, "", 0, 0, 0}}, PEER, UNEXPECTED, PEER, MAC, 0,
				"nothing at all inside"},
		/* types */
		{V13, 's', {{SEALED, 24, "aa"}}, PEER, UNEXPECTED, PEER, UNEXPECTED, 0,
				"heartbeat inside, 1.3"},
		{V13, 's', {{SEALED, 255, "aa"}}, PEER, UNEXPECTED, PEER, UNEXPECTED, 0,
				"type 255 inside"},
		{V13, 's', {{SEALED, 20, "01"}}, PEER, UNEXPECTED, PEER, UNEXPECTED, 0,
				"CCS inside"},
		{V12, 's', {{SEALED, 20, "01"}}, PEER, UNEXPECTED, PEER, UNEXPECTED, 0,
				"CCS, 1.2"},
		{V12, 's', {{SEALED, 24, "aa"}}, PEER, UNEXPECTED, PEER, UNEXPECTED, 0,
				"type 24, 1.2"},
		{V13, 's', {{PLAIN, 0, "140303000101"}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "plain CCS after the handshake"},
		{V13, 's', {{PLAIN, 0, "15030300020100"}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "plain close_notify"},
		{V13, 's', {{PLAIN, 0, "16030300051800000100"}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "plain KeyUpdate"},
		{V13, 's', {{PLAIN, 0, "1703030010", 16}}, PEER, MAC, PEER, MAC, 0,
				"a tag alone"},
		{V13, 's', {{PLAIN, 0, "1703030000"}}, PEER, MAC, PEER, MAC, 0,
				"an empty record without tag"},
		{V12, 's', {{PLAIN, 0, "1703030000"}}, PEER, MAC, PEER, INTERNAL, 0,
				"an empty record without tag, 1.2"},
		{V12, 's', {{PLAIN, 0, "15030300020100"}}, PEER, MAC, PEER, INTERNAL, 0,
				"plain close_notify, 1.2"},
		{V13, 's', {{PLAIN, 0, "170303ffff"}}, PEER, OVERFLOW, PEER, OVERFLOW,
				0, "a header of 65535"},
		{V13, 's', {{PLAIN, 0, "1704030011", 17}}, PEER, VERSION, PEER, ANY, 0,
				"version 4.3"},
		{V13, 's', {{PLAIN, 0, "474554202f20"}}, PEER, UNEXPECTED, PEER, ANY, 0,
				"GET"},
		/* floods */
		{V13, 's', {{SEALED, AP, "", 0, 0, 0, 33}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "33 empty records"},
		{V12, 's', {{SEALED, AP, "", 0, 0, 0, 33}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "33 empty records, 1.2"},
		{V13, 's',
				{{SEALED, AP, "", 0, 0, 0, 32}, {SEALED, AP, "aa"},
						{SEALED, AP, "", 0, 0, 0, 32}},
				OK, NONE, OK, NONE, 1, "32, data, 32"},
		{V12, 's', {{SEALED, AL, "015a", 0, 0, 0, 6}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "6 warnings"},
		{V12, 's',
				{{SEALED, AL, "015a", 0, 0, 0, 4}, {SEALED, AP, "aa"},
						{SEALED, AL, "015a", 0, 0, 0, 4}},
				OK, NONE, OK, NONE, 1, "4, data, 4"},
		{V13, 's', {{SEALED, AL, "015a", 0, 0, 0, 6}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "6 user_canceled, 1.3"},
		{V13, 's', {{SEALED, HS, KU0, 0, 0, 0, 33}}, PEER, UNEXPECTED, PEER,
				NONE, 0, "33 KeyUpdates"},
		{V13, 's',
				{{SEALED, HS, KU0, 0, 0, 0, 32}, {SEALED, AP, "aa"},
						{SEALED, HS, KU1, 0, 0, 0, 32}, {SEALED, AP, "bb"}},
				OK, NONE, OK, NONE, 2, "32, data, 32"},
		/* KeyUpdate */
		{V13, 's', {{SEALED, HS, "1800000102"}}, PEER, ILLEGAL, PEER, ILLEGAL,
				0, "KeyUpdate 2"},
		{V13, 's', {{SEALED, HS, "18000000"}}, PEER, DECODE, PEER, DECODE, 0,
				"KeyUpdate without body"},
		{V13, 's', {{SEALED, HS, "180000020000"}}, PEER, DECODE, PEER, ILLEGAL,
				0, "KeyUpdate of two bytes"},
		{V13, 's', {{SEALED, HS, "180000010018"}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "data behind a KeyUpdate"},
		{V13, 's', {{SEALED, HS, KU0 KU0}}, PEER, UNEXPECTED, PEER, UNEXPECTED,
				0, "two in one record"},
		{V13, 's',
				{{SEALED, HS, "1800"}, {SEALED, HS, "000100"},
						{SEALED, AP, "aa"}},
				PEER, MAC, PEER, MAC, 0, "old key after a split KeyUpdate"},
		{V13, 's', {{SEALED, HS, "1800"}, {SEALED, AP, "aa"}}, PEER, UNEXPECTED,
				PEER, UNEXPECTED, 0, "data inside a message"},
		{V13, 's', {{SEALED, HS, "1800"}, {SEALED, AL, "0100"}}, PEER,
				UNEXPECTED, PEER, UNEXPECTED, 0, "an alert inside a message"},
		{V13, 's', {{SEALED, HS, ""}}, PEER, UNEXPECTED, PEER, UNEXPECTED, 0,
				"an empty handshake record"},
		{V12, 's', {{SEALED, HS, KU0}}, PEER, UNEXPECTED, PEER, UNEXPECTED, 0,
				"KeyUpdate in 1.2"},
		{V13, 'c', {{SEALED, HS, KU1}, {SEALED, AP, "aa"}}, OK, NONE, OK, NONE,
				1, "KeyUpdate to a client"},
		/* other handshake messages */
		{V13, 's', {{SEALED, HS, "0400001000000e10000000000000000120000000"}},
				PEER, UNEXPECTED, PEER, UNEXPECTED, 0, "a ticket to a server"},
		{V13, 'c', {{SEALED, HS, TICKET}}, OK, NONE, OK, NONE, 0, "a ticket"},
		{V13, 'c',
				{{SEALED, HS, "0400000e0000"},
						{SEALED, HS, "0e1000000000000001200000"},
						{SEALED, AP, "aa"}},
				OK, NONE, OK, NONE, 1, "a ticket in two records"},
		{V13, 'c', {{SEALED, HS, TICKET, 0, 0, 0, 33}}, PEER, UNEXPECTED, PEER,
				NONE, 0, "33 tickets"},
		{V13, 'c',
				{{SEALED, HS, TICKET TICKET TICKET TICKET TICKET TICKET, 0, 0,
						0, 6}},
				PEER, UNEXPECTED, PEER, NONE, 0,
				"36 tickets, six in each record"},
		{V13, 'c',
				{{SEALED, HS, TICKET, 0, 0, 0, 16},
						{SEALED, HS, KU0, 0, 0, 0, 17}},
				PEER, UNEXPECTED, PEER, NONE, 0,
				"16 tickets and 17 KeyUpdates"},
		{V13, 'c',
				{{SEALED, HS, TICKET, 0, 0, 0, 32}, {SEALED, AP, "aa"},
						{SEALED, HS, TICKET, 0, 0, 0, 32}},
				OK, NONE, OK, NONE, 1, "32, data, 32"},
		{V13, 'c', {{SEALED, HS, "04010000"}}, PEER, DECODE, OK, NONE, 0,
				"a ticket of 65536"},
		{V13, 'c', {{SEALED, HS, "04ffffff"}}, PEER, DECODE, PEER, ILLEGAL, 0,
				"a ticket of 16 MB"},
		{V13, 'c',
				{{SEALED, HS,
						"0d00000b00000800"
						"0d000400020403"}},
				PEER, UNEXPECTED, PEER, UNEXPECTED, 0, "CertificateRequest"},
		{V13, 's', {{SEALED, HS, "01000026030300", 35}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "ClientHello in 1.3"},
		{V13, 'c', {{SEALED, HS, "00000000"}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "HelloRequest in 1.3"},
		{V12, 's', {{SEALED, HS, "01000026030300", 35}}, PEER, NO_RENEGOTIATION,
				PEER, NO_RENEGOTIATION, 0, "renegotiation"},
		{V12, 's', {{SEALED, HS, "01007fff"}}, PEER, NO_RENEGOTIATION, PEER,
				NONE, 0, "renegotiation, only its header"},
		{V12, 's', {{SEALED, HS, "01ffffff"}}, PEER, NO_RENEGOTIATION, PEER,
				ILLEGAL, 0, "renegotiation of 16 MB"},
		{V12, 's', {{SEALED, HS, "01007f"}}, OK, NONE, OK, NONE, 0,
				"not even its header"},
		{V12, 's', {{SEALED, HS, "00000000"}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "HelloRequest to a server"},
		{V12, 'c', {{SEALED, HS, "01000026030300", 35}}, PEER, UNEXPECTED, PEER,
				UNEXPECTED, 0, "ClientHello to a client"},
		{V12, 'c', {{SEALED, HS, "00000000"}, {SEALED, AP, "aa"}}, OK,
				NO_RENEGOTIATION, PEER, NO_RENEGOTIATION, 1, "HelloRequest"},
		{V12, 'c', {{SEALED, HS, "00000001ff"}}, PEER, DECODE, PEER, ILLEGAL, 0,
				"HelloRequest with a body"},
		{V12, 'c', {{SEALED, HS, "0400000600000e100000"}}, PEER, UNEXPECTED,
				PEER, UNEXPECTED, 0, "a ticket behind the handshake, 1.2"},
		/* alerts */
		{V13, 's', {{SEALED, AL, ""}}, PEER, DECODE, PEER, UNEXPECTED, 0,
				"alert without a byte"},
		{V13, 's', {{SEALED, AL, "01"}}, PEER, DECODE, PEER, UNEXPECTED, 0,
				"alert of one byte"},
		{V13, 's', {{SEALED, AL, "010000"}}, PEER, DECODE, PEER, UNEXPECTED, 0,
				"alert of three bytes"},
		{V12, 's', {{SEALED, AL, "01"}}, PEER, DECODE, PEER, UNEXPECTED, 0,
				"alert of one byte, 1.2"},
		{V12, 's', {{SEALED, AL, "035a"}}, PEER, ILLEGAL, PEER, ILLEGAL, 0,
				"alert of level 3"},
		{V13, 's', {{SEALED, AL, "0228"}}, PEER, NONE, PEER, NONE, 0,
				"a fatal alert"},
		{V12, 's', {{SEALED, AL, "0228"}}, PEER, NONE, PEER, NONE, 0,
				"a fatal alert, 1.2"},
		{V13, 's', {{SEALED, AL, "0100"}}, GONE, NONE, GONE, NONE, 0,
				"close_notify"},
		{V12, 'c',
				{{SEALED, AP, "aabb"}, {SEALED, AL, "0100"},
						{SEALED, AP, "cc"}},
				GONE, NONE, GONE, NONE, 2, "data behind close_notify"},
};

static size_t from_hex(const char *hex, unsigned char *out)
{
	size_t n;
	unsigned int v;

	for(n = 0; hex[2 * n] != '\0'; n++) {
		if(sscanf(hex + 2 * n, "%2x", &v) != 1)
			abort();
		out[n] = (unsigned char)v;
	}
	return n;
}

static void say_once(struct rig *rig, const struct say *say)
{
	static unsigned char text[40000];
	size_t n = from_hex(say->hex, text);
	struct tls_err err;

	memset(text + n, 0, say->zeros + (size_t)say->padding + 1);
	n += say->zeros;
	switch(say->how) {
		case PLAIN:
			engine_bytes_add(&rig->to_engine, text, n);
			break;
		case INNER:
			if(say->inner != 0)
				text[n++] = (unsigned char)say->inner;
			rig_say_inner(rig, say->type, text, n + (size_t)say->padding);
			break;
		case SEALED:
			rig_say(rig, say->type, text, n);
			if(say->type == HS && n == 5 && text[0] == 24 && rig->puppet.tls13)
				CU_ASSERT(
						tls_record_update(&rig->puppet, TLS_RECORD_WRITE, &err)
						== TLS_RC_OK);
			break;
	}
}

/* What an operator reads, for the rows with this reason, from our own record
 * layer. */
static const struct
{
	const char *reason;
	const char *says;
} sentences[] = {{"an empty record without tag",
						 "a record too short for its protection"},
		{"a tag alone", "a record that was changed or made with another key"},
		{"plain close_notify",
				"a record without protection after the handshake"},
		{"a header of 65535", "an oversized record"},
		{"version 4.3", "a record of an unknown version"},
		{"GET", "bytes that are no TLS record"},
		{"33 empty records", "too many empty records"},
		{"6 warnings", "too many warning alerts"},
		{"33 KeyUpdates", "too many handshake messages without data"},
		{"KeyUpdate 2", "a malformed KeyUpdate"},
		{"data behind a KeyUpdate", "data behind a KeyUpdate in one record"},
		{"data inside a message", "a record inside a handshake message"},
		{"a ticket to a server",
				"a handshake message that does not belong here"},
		{"a ticket of 16 MB", "an oversized handshake message"},
		{"type 255 inside", "a record of a type that does not belong here"},
		{"alert of one byte", "a malformed alert"},
		{"alert of level 3", "an alert of unknown level"},
		{"a fatal alert", "the peer sent the alert \"handshake failure\""},
		{"renegotiation", "the peer asked for renegotiation, which is off "
						  "(renegotiation)"}};

static bool sentence_good(const struct row *row, const char *text)
{
	size_t i;

	for(i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if(strcmp(sentences[i].reason, row->reason) == 0)
			return strstr(text, sentences[i].says) != NULL;
	return true;
}

static void row_check(const struct row *row, bool ossl, size_t chop)
{
	struct rig_setup s = {
			.role = row->role == 's' ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT,
			.version = row->version,
			.tickets = 0,
			.ossl = ossl,
			.chop = chop,
			.puppet = true};
	struct rig_heard heard;
	enum tls_rc rc;
	struct rig rig;
	char what[160];
	int i, k;

	CU_ASSERT_FATAL(rig_open(&rig, &s) && rig_puppet(&rig));
	for(i = 0; i < SAYS && row->say[i].hex != NULL; i++)
		for(k = 0; k == 0 || k < row->say[i].times; k++)
			say_once(&rig, &row->say[i]);
	rig_engine_read(&rig);
	rig_hear(&rig, &heard);
	rc = rig.err.rc != TLS_RC_OK ? rig.err.rc : rig.rc;
	snprintf(what, sizeof(what), "%s: rc %s alert %d/%d data %zu%s (%.60s)",
			ossl ? "OpenSSL" : "own", tls_err_rc_name(rc), heard.level,
			heard.alert, rig.got.n, heard.broken ? " broken" : "",
			rig.err.text);
	expect(rc == (ossl ? row->ossl_rc : row->rc)
					&& (heard.alert == (ossl ? row->ossl_alert : row->alert)
							|| (ossl && row->ossl_alert == ANY
									&& heard.alert >= 0))
					&& (rig.got.n == row->data
							|| (ossl && row->rc != row->ossl_rc))
					&& !heard.broken,
			row->reason, what);
	if(rc == TLS_RC_PEER)
		expect(rig.err.text[0] != '\0'
						&& tls_conn_state(rig.conn) == TLS_CONN_FAILED,
				row->reason, "state and sentence");
	if(!ossl)
		expect(sentence_good(row, rig.err.text), row->reason, what);
	rig_close(&rig);
}

static void test_rows(void)
{
	size_t i;

	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		row_check(&rows[i], true, 0);
		row_check(&rows[i], false, 0);
		row_check(&rows[i], false, 3);
	}
}

/* The text that an operator reads about a fatal alert. */
static void test_alert_text(void)
{
	struct rig_setup s = {.role = TLS_ROLE_SERVER,
			.version = V13,
			.tickets = 0,
			.puppet = true};
	struct rig rig;

	CU_ASSERT_FATAL(rig_open(&rig, &s) && rig_puppet(&rig));
	rig_say(&rig, AL, "\x02\x30", 2);
	rig_engine_read(&rig);
	CU_ASSERT(strstr(rig.err.text, "unknown CA") != NULL);
	rig_close(&rig);
}

/* Our close_notify: once; nothing is written behind it, which is no failure,
 * and what the peer still says is read. */
static void close_case(int version, bool ossl)
{
	struct rig_setup s = {.role = TLS_ROLE_SERVER,
			.version = version,
			.tickets = 0,
			.ossl = ossl,
			.puppet = true};
	unsigned char out[256];
	struct tls_conn_io io = {.out = out, .out_size = sizeof(out)};
	struct rig_heard heard;
	struct rig rig;

	CU_ASSERT_FATAL(rig_open(&rig, &s) && rig_puppet(&rig));
	rig.to_raw.n = 0;
	tls_conn_shutdown(rig.conn, &io);
	engine_bytes_add(&rig.to_raw, out, io.n_out);
	tls_conn_shutdown(rig.conn, &io);
	CU_ASSERT(io.n_out == 0);
	rig_hear(&rig, &heard);
	CU_ASSERT(heard.records == 1 && heard.level == 1 && heard.alert == 0);
	CU_ASSERT(rig_engine_write(&rig, "x", 1) == TLS_RC_CLOSED);
	rig_hear(&rig, &heard);
	CU_ASSERT(heard.records == 0 && !heard.broken);
	CU_ASSERT(tls_conn_state(rig.conn) == TLS_CONN_ESTABLISHED);
	rig_say(&rig, AP, "still here", 10);
	rig_engine_read(&rig);
	CU_ASSERT(rig.rc == TLS_RC_OK && rig.got.n == 10);
	CU_ASSERT(rig_engine_write(&rig, "x", 1) == TLS_RC_CLOSED);
	rig_close(&rig);
}

static void test_close(void)
{
	int version;

	for(version = V12; version <= V13; version++) {
		close_case(version, false);
		close_case(version, true);
	}
}

/* A key near its limit is changed before the next data. */
static void test_refresh(void)
{
	struct tls_post post;
	struct tls_record twin;
	unsigned char clear[TLS_RECORD_WIRE_MAX];
	const unsigned char *buf;
	enum tls_record_type type;
	struct tls_err err;
	size_t n, n_clear;
	int alert;

	memset(&post, 0, sizeof(post));
	rig_twins(&post.record, &twin, 1, true, 77000001);
	CU_ASSERT(tls_post_refresh(&post, &err) == TLS_RC_OK
			  && sbufq_is_empty(&post.out));
	post.record.half[TLS_RECORD_WRITE].seq = 1u << 23;
	twin.half[TLS_RECORD_READ].seq = 1u << 23;
	CU_ASSERT(tls_post_refresh(&post, &err) == TLS_RC_OK);
	CU_ASSERT(post.record.half[TLS_RECORD_WRITE].seq == 0);
	n = sbufq_peek(&post.out, &buf);
	CU_ASSERT(
			tls_record_open(&twin, buf, n, clear, &n_clear, &type, &alert, &err)
			== TLS_RC_OK);
	CU_ASSERT(type == TLS_RECORD_HANDSHAKE && n_clear == 5
			  && !memcmp(clear, "\x18\0\0\1\0", 5));
	tls_post_clear(&post);
	tls_record_clear(&twin);
}

/* What a peer can make us keep: nothing of a message but its header, however
 * small the pieces, and one that a server never takes is refused by it. */
static void test_kept_message(void)
{
	struct rig_setup s = {.role = TLS_ROLE_CLIENT,
			.version = V13,
			.tickets = 0,
			.puppet = true};
	struct rig rig;
	unsigned long allocs;
	size_t live;
	int i;

	CU_ASSERT_FATAL(rig_open(&rig, &s) && rig_puppet(&rig));
	rig_say(&rig, HS, "\x04\0\x7f", 3);
	rig_engine_read(&rig);
	live = port_stub_live_bytes();
	allocs = port_stub_allocs();
	rig_say(&rig, HS, "\x00", 1);
	for(i = 0; i < 0x7f00 - 1; i++) {
		rig_say(&rig, HS, "a", 1);
		rig_engine_read(&rig);
	}
	CU_ASSERT(rig.rc == TLS_RC_OK && port_stub_live_bytes() - live < 64);
	CU_ASSERT(port_stub_allocs() - allocs < 2);
	rig_say(&rig, AP, "x", 1); /* one byte is missing */
	rig_engine_read(&rig);
	CU_ASSERT(rig.rc == TLS_RC_PEER);
	rig_close(&rig);
	s.role = TLS_ROLE_SERVER;
	CU_ASSERT_FATAL(rig_open(&rig, &s) && rig_puppet(&rig));
	rig_say(&rig, HS, "\x04\0\x60\0", 4);
	rig_engine_read(&rig);
	CU_ASSERT(rig.rc == TLS_RC_PEER);
	rig_close(&rig);
}

/* Operators see an answer that waits for a window. */
static void test_unsent(void)
{
	struct rig_setup s = {.role = TLS_ROLE_SERVER,
			.version = V13,
			.tickets = 0,
			.puppet = true};
	unsigned char out[1], clear[100];
	struct tls_conn_io io = {
			.out = out, .out_size = 1, .clear = clear, .clear_size = 100};
	struct rig rig;
	struct tls_err err;
	size_t n = 0, before = 0;

	CU_ASSERT_FATAL(rig_open(&rig, &s) && rig_puppet(&rig));
	CU_ASSERT(tls_conn_unsent(rig.conn) == 0);
	rig_say(&rig, HS, "\x18\0\0\1\1", 5); /* KeyUpdate, and ours please */
	io.in = rig.to_engine.p;
	io.n_in = rig.to_engine.n;
	while(tls_conn_read(rig.conn, &io, &err) == TLS_RC_AGAIN) {
		CU_ASSERT(before == 0 || tls_conn_unsent(rig.conn) == before - 1);
		before = tls_conn_unsent(rig.conn);
		CU_ASSERT(before > 0);
		n++;
		io.n_in = 0;
	}
	CU_ASSERT(n > 5 && before == 1 && tls_conn_unsent(rig.conn) == 0);
	rig_close(&rig);
}

void test_post_add(void)
{
	CU_pSuite suite = CU_add_suite("post", NULL, NULL);

	CU_add_test(suite, "what a peer may say", test_rows);
	CU_add_test(suite, "text of an alert", test_alert_text);
	CU_add_test(suite, "close_notify", test_close);
	CU_add_test(suite, "new key near the limit", test_refresh);
	CU_add_test(suite, "unfinished messages", test_kept_message);
	CU_add_test(suite, "an answer that waits", test_unsent);
}
