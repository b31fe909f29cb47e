/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Bad connections of the load generator: one table row per way to be broken.
 * A row says when its bytes are sent, which bytes, and how the connection is
 * left; nothing is expected but that the server lives, closes and never
 * answers. One thread, no lock. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#define RAW_MAX 40000
#define RECORD_HEAD 5 /* RFC 8446 s5.1: type, version, length */

/* When the bytes of a row are sent. */
enum broken_when
{
	AT_OPEN = 0,   /* as the first bytes */
	AFTER_HELLO,   /* after a good ClientHello and the server's answer */
	AFTER_FINISHED /* after the handshake */
};

/* How the connection is left. */
enum broken_end
{
	END_WAIT = 0, /* for the server, at most hold_ms */
	END_FIN,	  /* shut the sending side, then wait */
	END_RST		  /* close with SO_LINGER 0 */
};

struct broken_row
{
	const char *name;
	enum load_kind kind;
	enum broken_when when;
	enum broken_end end;
	/* Writes the bytes to OUT (RAW_MAX bytes); their number, 0 = none. */
	size_t (*make)(struct load_conn *c, unsigned char *out);
	size_t chop; /* bytes per segment, 0 = all at once */
};

static size_t record(unsigned char *out, int type, int version, size_t len)
{
	out[0] = (unsigned char)type;
	out[1] = (unsigned char)(version >> 8);
	out[2] = (unsigned char)version;
	out[3] = (unsigned char)(len >> 8);
	out[4] = (unsigned char)len;
	return RECORD_HEAD;
}

static size_t random_bytes(unsigned char *out, size_t n)
{
	size_t i;

	for(i = 0; i < n; i++)
		out[i] = (unsigned char)load_random(256);
	return n;
}

static size_t make_none(struct load_conn *c, unsigned char *out)
{
	(void)c;
	(void)out;
	return 0;
}

static size_t make_random(struct load_conn *c, unsigned char *out)
{
	(void)c;
	return random_bytes(out, 1 + load_random(2000));
}

static size_t make_plain(struct load_conn *c, unsigned char *out)
{
	static const char msg[] =
			"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\n"
			"Via: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK1\r\n"
			"From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\n"
			"Call-ID: plain\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

	(void)c;
	memcpy(out, msg, sizeof(msg) - 1);
	return sizeof(msg) - 1;
}

/* A good ClientHello as OpenSSL makes it. */
static size_t make_hello(struct load_conn *c, unsigned char *out)
{
	int n;

	ERR_clear_error();
	SSL_do_handshake(c->ssl);
	n = BIO_read(c->wbio, out, RAW_MAX);
	return n > 0 ? (size_t)n : 0;
}

static size_t make_half_hello(struct load_conn *c, unsigned char *out)
{
	return make_hello(c, out) / 2;
}

static size_t make_two_hellos(struct load_conn *c, unsigned char *out)
{
	size_t n = make_hello(c, out);

	memcpy(out + n, out, n);
	return 2 * n;
}

static size_t make_spoiled_hello(struct load_conn *c, unsigned char *out)
{
	size_t n = make_hello(c, out);
	int i;

	for(i = 0; i < 8 && n > 12; i++)
		out[RECORD_HEAD + 4 + load_random((uint32_t)n - 12)] ^=
				(unsigned char)(1 + load_random(255));
	return n;
}

static size_t make_version(struct load_conn *c, unsigned char *out)
{
	size_t n = make_hello(c, out);

	out[1] = 9;
	out[2] = 9;
	return n;
}

static size_t make_oversize(struct load_conn *c, unsigned char *out)
{
	(void)c;
	record(out, 22, 0x0301, 0xffff);
	return RECORD_HEAD + random_bytes(out + RECORD_HEAD, 20000);
}

static size_t make_alert(struct load_conn *c, unsigned char *out)
{
	(void)c;
	record(out, 21, 0x0303, 2);
	out[5] = 2;
	out[6] = 40;
	return 7;
}

static size_t make_bad_alert(struct load_conn *c, unsigned char *out)
{
	(void)c;
	record(out, 21, 0x0303, 3);
	memset(out + RECORD_HEAD, 0xee, 3);
	return 8;
}

static size_t make_type(struct load_conn *c, unsigned char *out)
{
	(void)c;
	record(out, 99, 0x0303, 100);
	return RECORD_HEAD + random_bytes(out + RECORD_HEAD, 100);
}

static size_t make_early_data(struct load_conn *c, unsigned char *out)
{
	(void)c;
	record(out, 23, 0x0303, 200);
	return RECORD_HEAD + random_bytes(out + RECORD_HEAD, 200);
}

static size_t make_empty_records(struct load_conn *c, unsigned char *out)
{
	size_t n = 0;

	(void)c;
	while(n < 2000)
		n += record(out + n, 22, 0x0303, 0);
	return n;
}

static size_t make_ccs(struct load_conn *c, unsigned char *out)
{
	size_t n = 0;

	(void)c;
	while(n < 3000) {
		n += record(out + n, 20, 0x0303, 1);
		out[n++] = 1;
	}
	return n;
}

static size_t make_sslv2(struct load_conn *c, unsigned char *out)
{
	static const unsigned char hello[] = {0x80, 0x2e, 0x01, 0x00, 0x02, 0x00,
			0x15, 0x00, 0x00, 0x00, 0x10, 0x07, 0x00, 0xc0};

	(void)c;
	memcpy(out, hello, sizeof(hello));
	return sizeof(hello) + random_bytes(out + sizeof(hello), 34);
}

/* A sealed record of a request that was never finished. */
static size_t make_sealed(struct load_conn *c, unsigned char *out)
{
	static const char part[] = "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\n";
	int n;

	ERR_clear_error();
	SSL_write(c->ssl, part, sizeof(part) - 1);
	n = BIO_read(c->wbio, out, RAW_MAX);
	return n > 0 ? (size_t)n : 0;
}

static size_t make_corrupt(struct load_conn *c, unsigned char *out)
{
	size_t n = make_sealed(c, out);

	if(n > RECORD_HEAD)
		out[RECORD_HEAD + load_random((uint32_t)n - RECORD_HEAD)] ^= 0x41;
	return n;
}

static size_t make_half_record(struct load_conn *c, unsigned char *out)
{
	return make_sealed(c, out) / 2;
}

static size_t make_replay(struct load_conn *c, unsigned char *out)
{
	size_t n = make_sealed(c, out);

	memcpy(out + n, out, n);
	return 2 * n;
}

static size_t make_big_sealed(struct load_conn *c, unsigned char *out)
{
	(void)c;
	record(out, 23, 0x0303, 16384 + 300);
	return RECORD_HEAD + random_bytes(out + RECORD_HEAD, 16384 + 300);
}

static const struct broken_row rows[] = {
		{"random", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_random, 0},
		{"plain-sip", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_plain, 0},
		{"half-hello", LOAD_GARBAGE, AT_OPEN, END_FIN, make_half_hello, 0},
		{"two-hellos", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_two_hellos, 0},
		{"spoiled-hello", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_spoiled_hello,
				0},
		{"version", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_version, 0},
		{"oversize", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_oversize, 0},
		{"alert", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_alert, 0},
		{"bad-alert", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_bad_alert, 0},
		{"record-type", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_type, 0},
		{"early-data", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_early_data, 0},
		{"empty-records", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_empty_records,
				0},
		{"sslv2", LOAD_GARBAGE, AT_OPEN, END_WAIT, make_sslv2, 0},
		{"ccs-flood", LOAD_GARBAGE, AFTER_HELLO, END_WAIT, make_ccs, 0},
		{"alert-in-handshake", LOAD_GARBAGE, AFTER_HELLO, END_WAIT, make_alert,
				0},
		{"random-in-handshake", LOAD_GARBAGE, AFTER_HELLO, END_WAIT,
				make_random, 0},
		{"data-in-handshake", LOAD_GARBAGE, AFTER_HELLO, END_WAIT,
				make_early_data, 0},
		{"corrupt", LOAD_GARBAGE, AFTER_FINISHED, END_WAIT, make_corrupt, 0},
		{"replay", LOAD_GARBAGE, AFTER_FINISHED, END_WAIT, make_replay, 0},
		{"half-record", LOAD_GARBAGE, AFTER_FINISHED, END_FIN, make_half_record,
				0},
		{"big-record", LOAD_GARBAGE, AFTER_FINISHED, END_WAIT, make_big_sealed,
				0},
		{"plain-after", LOAD_GARBAGE, AFTER_FINISHED, END_WAIT, make_plain, 0},
		{"reset-open", LOAD_RESET, AT_OPEN, END_RST, make_none, 0},
		{"reset-half-hello", LOAD_RESET, AT_OPEN, END_RST, make_half_hello, 0},
		{"reset-hello", LOAD_RESET, AT_OPEN, END_RST, make_hello, 0},
		{"reset-handshake", LOAD_RESET, AFTER_HELLO, END_RST, make_none, 0},
		{"reset-finished", LOAD_RESET, AFTER_FINISHED, END_RST, make_sealed, 0},
		{"silence", LOAD_HALF, AT_OPEN, END_WAIT, make_none, 0},
		{"hello-silence", LOAD_HALF, AT_OPEN, END_WAIT, make_hello, 0},
		{"drip", LOAD_HALF, AT_OPEN, END_WAIT, make_hello, 1},
};

#define N_ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

_Static_assert(sizeof(rows) / sizeof(rows[0]) <= LOAD_BROKEN_MAX,
		"a counter for every row");

const char *load_broken_name(int row)
{
	return row >= 0 && row < N_ROWS ? rows[row].name : NULL;
}

int load_broken_find(const char *name)
{
	int i;

	for(i = 0; i < N_ROWS; i++)
		if(strcmp(rows[i].name, name) == 0)
			return i;
	return -1;
}

/* The row for the next piece of work of KIND. */
static int pick_row(enum load_kind kind)
{
	static int turns[LOAD_KINDS];
	int *turn = &turns[load_opt.only_broken ? 0 : kind];
	int i;

	if(load_opt.broken >= 0)
		return load_opt.broken;
	for(i = 0; i < N_ROWS; i++) {
		*turn = (*turn + 1) % N_ROWS;
		if(load_opt.only_broken || rows[*turn].kind == kind)
			return *turn;
	}
	return 0;
}

bool load_broken_start(enum load_kind kind)
{
	struct load_conn *c;
	int fd = load_conn_connect(load_opt.port);

	if(fd < 0) {
		load_count->refused++;
		return false;
	}
	c = load_conn_new(fd, kind);
	c->broken = pick_row(kind);
	c->deadline = load_ms() + load_opt.hold_ms;
	c->want_out = true;
	load_conn_ssl(c, false, false);
	load_watch(c, true);
	return true;
}

/* Leaves C for good. */
static void leave(struct load_conn *c, bool by_server)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	if(c->dead)
		return;
	if(rows[c->broken].end == END_RST)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	load_count->broken[c->broken]++;
	load_count->broken_closed += by_server;
	load_conn_kill(c);
}

void load_broken_timeout(struct load_conn *c)
{
	leave(c, false);
}

/* Sends what is left of the row's bytes; at their end, the row's ending. */
static void push(struct load_conn *c)
{
	const struct broken_row *row = &rows[c->broken];
	size_t part;
	ssize_t sent;

	while(c->raw_at < c->raw_n) {
		part = row->chop ? row->chop : c->raw_n - c->raw_at;
		sent = send(c->fd, c->raw + c->raw_at, part, MSG_NOSIGNAL);
		if(sent < 0 && errno != EAGAIN) {
			leave(c, true);
			return;
		}
		if(sent > 0)
			c->raw_at += (size_t)sent;
		if(sent < 0 || row->chop)
			break; /* one segment per round of the loop */
	}
	if(c->want_out != (c->raw_at < c->raw_n)) {
		c->want_out = c->raw_at < c->raw_n;
		load_watch(c, false);
	}
	if(c->raw_at < c->raw_n)
		return;
	if(row->end == END_RST)
		leave(c, false);
	else if(row->end == END_FIN)
		shutdown(c->fd, SHUT_WR);
}

/* The moment of the row has come: makes and sends its bytes. */
static void act(struct load_conn *c)
{
	c->state = LOAD_WAITING;
	c->raw = malloc(RAW_MAX);
	if(!c->raw)
		abort();
	c->raw_n = rows[c->broken].make(c, (unsigned char *)c->raw);
	c->raw_at = 0;
	push(c);
}

/* Sends what OpenSSL has for the wire; small, so never blocks. */
static void flush_tls(struct load_conn *c)
{
	char buf[16384];
	int n;

	while((n = BIO_read(c->wbio, buf, sizeof(buf))) > 0)
		if(send(c->fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
			break;
}

/* The handshake of a row that acts later. */
static void shake(struct load_conn *c, bool got_bytes)
{
	int ret;

	if(rows[c->broken].when == AFTER_HELLO && got_bytes) {
		act(c);
		return;
	}
	ERR_clear_error();
	ret = SSL_do_handshake(c->ssl);
	flush_tls(c);
	if(c->want_out) {
		c->want_out = false;
		load_watch(c, false);
	}
	if(ret == 1)
		act(c);
	else if(SSL_get_error(c->ssl, ret) != SSL_ERROR_WANT_READ)
		leave(c, true);
}

/* A broken connection must never get an answer of SIP. */
static void check_silence(struct load_conn *c)
{
	char buf[64];

	if(rows[c->broken].when != AFTER_FINISHED)
		return;
	ERR_clear_error();
	if(SSL_read(c->ssl, buf, sizeof(buf)) > 0
			&& memcmp(buf, "SIP/2.0 200", 11) == 0) {
		load_count->wrong++;
		load_say(c, "an answer to a broken record", rows[c->broken].name);
	}
}

void load_broken_event(struct load_conn *c, uint32_t events)
{
	char raw[16384];
	bool got = false;
	ssize_t n = -1;

	errno = EAGAIN;
	if(events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		while((n = recv(c->fd, raw, sizeof(raw), 0)) > 0) {
			BIO_write(c->rbio, raw, (int)n);
			got = true;
		}
	c->eof = n == 0 || errno != EAGAIN;
	if(c->state == LOAD_CONNECTING) {
		c->state = LOAD_SHAKING;
		if(rows[c->broken].when == AT_OPEN) {
			act(c);
			return;
		}
	}
	if(c->state == LOAD_SHAKING && !c->eof)
		shake(c, got);
	else if(c->state == LOAD_WAITING) {
		check_silence(c);
		if(!c->eof && (events & EPOLLOUT))
			push(c);
	}
	if(c->eof)
		leave(c, true);
}
