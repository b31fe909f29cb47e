/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Good connections of the load generator: clients that send requests and
 * check every reply, and the listening side that answers relayed requests.
 * Does not decide what is done when (tlsload.c does) and sends no broken
 * bytes (load_broken.c). One thread, no lock. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <unistd.h>

#include <openssl/err.h>

#include "../host/hostsip.h"

#define OUT_MAX 262144 /* ciphertext waiting, then no more requests */

static struct load_conn *all;
static SSL_CTX *client_ctx[2]; /* TLS 1.2, TLS 1.3 */
static SSL_CTX *server_ctx;
static SSL_SESSION *sessions[2][LOAD_SESSIONS_MAX];
static int n_sessions[2];
static unsigned int next_id;
static long served;
static int idle_live; /* idle connections, they hold their place long */
static char scratch[SIP_HEAD_ROOM * 2 + LOAD_BODY_MAX * 2];

/* ---- contexts and sessions ---- */

/* A new ticket or session arrived: kept for a later resumed handshake. */
static int session_cb(SSL *ssl, SSL_SESSION *session)
{
	int row = SSL_version(ssl) == TLS1_3_VERSION;

	if(n_sessions[row] == LOAD_SESSIONS_MAX)
		return 0;
	sessions[row][n_sessions[row]++] = session;
	return 1; /* the reference is ours now */
}

/* Counts records. */
static void message_cb(int write_p, int version, int type, const void *buf,
		size_t len, SSL *ssl, void *arg)
{
	struct load_conn *c = SSL_get_app_data(ssl);

	(void)version;
	(void)buf;
	(void)len;
	(void)arg;
	if(type != SSL3_RT_HEADER || c == NULL || c->broken >= 0)
		return;
	if(write_p)
		load_count->records_out++;
	else
		load_count->records_in++;
}

static SSL_CTX *make_client(int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if(!ctx)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_cache_mode(
			ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, session_cb);
	SSL_CTX_set_msg_callback(ctx, message_cb);
	return ctx;
}

bool load_conn_init(const char *cert, const char *key)
{
	client_ctx[0] = make_client(TLS1_2_VERSION);
	client_ctx[1] = make_client(TLS1_3_VERSION);
	server_ctx = SSL_CTX_new(TLS_server_method());
	if(!client_ctx[0] || !client_ctx[1] || !server_ctx)
		return false;
	SSL_CTX_set_msg_callback(server_ctx, message_cb);
	if(!cert)
		return true;
	return SSL_CTX_use_certificate_chain_file(server_ctx, cert) == 1
		   && SSL_CTX_use_PrivateKey_file(
					  server_ctx, key ? key : cert, SSL_FILETYPE_PEM)
					  == 1;
}

SSL *load_conn_ssl(struct load_conn *c, bool server, bool resume)
{
	int row = load_opt.min == load_opt.max ? load_opt.min == TLS1_3_VERSION
										   : (int)(c->id & 1);

	c->ssl = SSL_new(server ? server_ctx : client_ctx[row]);
	c->rbio = BIO_new(BIO_s_mem());
	c->wbio = BIO_new(BIO_s_mem());
	if(!c->ssl || !c->rbio || !c->wbio)
		abort(); /* no memory for the generator itself */
	SSL_set_app_data(c->ssl, c);
	BIO_set_mem_eof_return(c->rbio, -1);
	SSL_set_bio(c->ssl, c->rbio, c->wbio);
	if(server) {
		SSL_set_accept_state(c->ssl);
		return c->ssl;
	}
	SSL_set_connect_state(c->ssl);
	if(resume && n_sessions[row] > 0) {
		/* RFC 8446 C.4: a ticket is used once */
		SSL_SESSION *session = sessions[row][--n_sessions[row]];

		SSL_set_session(c->ssl, session);
		SSL_SESSION_free(session);
	}
	return c->ssl;
}

/* ---- life of a connection ---- */

struct load_conn *load_conn_new(int fd, enum load_kind kind)
{
	struct load_conn *c = calloc(1, sizeof(*c));

	if(!c)
		abort();
	c->fd = fd;
	c->kind = kind;
	c->id = ++next_id;
	c->broken = -1;
	c->next = all;
	all = c;
	return c;
}

/* Takes C off its listener's list. */
static void leave_listener(struct load_conn *c)
{
	struct load_conn **at;

	if(c->listener == NULL)
		return;
	for(at = &c->listener->accepted; *at != c; at = &(*at)->siblings)
		;
	*at = c->siblings;
	c->listener = NULL;
}

void load_conn_kill(struct load_conn *c)
{
	if(c->dead)
		return;
	c->dead = true;
	close(c->fd);
	c->fd = -1;
	leave_listener(c);
	while(c->accepted != NULL)
		load_conn_kill(c->accepted);
	if(c->peer) {
		c->peer->peer = NULL;
		if(c->peer->state == LOAD_LISTENING)
			load_conn_kill(c->peer);
		c->peer = NULL;
	}
}

/* The connection ended although replies were due, or before it was open. */
static void gone(struct load_conn *c, const char *why)
{
	char detail[160] = "";
	unsigned long code = ERR_peek_error();

	if(c->dead)
		return;
	if(!c->server) {
		if(code)
			ERR_error_string_n(code, detail, sizeof(detail));
		if(c->state == LOAD_CONNECTING || c->state == LOAD_SHAKING) {
			load_count->refused++;
			load_say(c, why, detail);
		} else if(c->n_pending > 0) {
			load_count->lost += c->n_pending;
			load_say(c, why, detail);
		} else if(c->todo > 0 || c->rounds > 0) {
			load_count->wrong++; /* closed while work was left */
			load_say(c, why, "connection ended by the server");
		}
	}
	load_conn_kill(c);
}

/* Where the bytes of a call without reply are, as far as this end can see. */
static void say_stuck(const struct load_conn *c)
{
	struct sockaddr_in sa = {0};
	socklen_t n = sizeof(sa);
	char detail[160];
	int unread = -1;
	int unsent = -1;

	getsockname(c->fd, (struct sockaddr *)&sa, &n);
	ioctl(c->fd, FIONREAD, &unread);
	ioctl(c->fd, SIOCOUTQ, &unsent);
	snprintf(detail, sizeof(detail),
			"own port %d, %s, %zu bytes of clear text, %d unread, %d unsent",
			ntohs(sa.sin_port), c->ssl ? SSL_get_version(c->ssl) : "no TLS",
			c->in_n, unread, unsent);
	load_say(c, "stuck:", detail);
}

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};

	sa.sin_port = htons((unsigned short)port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sa;
}

int load_conn_connect(int port)
{
	struct sockaddr_in sa = loopback(port);
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if(fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0
			&& errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

int load_conn_listen(int port, struct load_conn *peer)
{
	struct sockaddr_in sa = loopback(port);
	socklen_t n = sizeof(sa);
	struct load_conn *c;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if(fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0
			|| listen(fd, 512) != 0
			|| getsockname(fd, (struct sockaddr *)&sa, &n) != 0) {
		if(fd >= 0)
			close(fd);
		return 0;
	}
	c = load_conn_new(fd, LOAD_RELAY);
	c->server = true;
	c->state = LOAD_LISTENING;
	c->peer = peer;
	if(peer)
		peer->peer = c;
	load_watch(c, true);
	return ntohs(sa.sin_port);
}

/* ---- requests ---- */

static size_t pick_body(const struct load_conn *c)
{
	if(c->kind == LOAD_FULL || c->kind == LOAD_RESUME)
		return load_random(64);
	if(c->kind == LOAD_UDP)
		return load_random(700);
	return 400 + load_random(LOAD_BODY_MAX - 399);
}

/* Writes the next request of C to scratch; its length. */
static size_t make_request(struct load_conn *c, struct load_pending *pend)
{
	static char body[LOAD_BODY_MAX + 1];
	struct sip_req req = {.cseq = ++c->cseq};
	char call_id[48];
	char extra[96] = "";

	pend->cseq = c->cseq;
	pend->body_n = pick_body(c);
	pend->deadline = load_ms() + load_opt.reply_ms;
	/* the handshake is a part of what the first one waits for */
	pend->from_us = c->begun_us ? c->begun_us : load_us();
	c->begun_us = 0;
	snprintf(call_id, sizeof(call_id), "load-%d-%u", (int)getpid(), c->id);
	if(c->listen_port)
		snprintf(extra, sizeof(extra),
				"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", c->listen_port);
	sip_pattern(body, pend->body_n, c->id * 31 + c->cseq);
	req.call_id = call_id;
	req.transport = c->kind == LOAD_UDP ? "UDP" : "TLS";
	req.extra = extra;
	req.body = body;
	req.body_len = pend->body_n;
	return sip_request(scratch, sizeof(scratch), &req);
}

/* Seals N bytes of scratch. */
static bool write_clear(struct load_conn *c, size_t n)
{
	if(SSL_write(c->ssl, scratch, (int)n) <= 0)
		return false;
	load_count->clear_out += (long)n;
	return true;
}

static bool send_requests(struct load_conn *c)
{
	size_t n;

	if(load_stopping() && c->kind != LOAD_RELAY && c->kind != LOAD_UDP)
		c->todo = c->cseq > 0 ? 0 : c->todo;
	while(c->todo > 0 && c->n_pending < load_opt.window
			&& (!c->wbio || BIO_pending(c->wbio) < OUT_MAX)) {
		n = make_request(c, &c->pending[c->n_pending]);
		if(n == 0)
			abort();
		if(c->ssl && !write_clear(c, n))
			return false;
		if(!c->ssl && send(c->fd, scratch, n, 0) != (ssize_t)n)
			return false;
		c->n_pending++;
		c->todo--;
		load_count->sent++;
	}
	return true;
}

/* Position of CSEQ among the outstanding requests, -1 = not there. */
static int find_pending(const struct load_conn *c, unsigned int cseq)
{
	int i;

	for(i = 0; i < c->n_pending; i++)
		if(c->pending[i].cseq == cseq)
			return i;
	return -1;
}

/* What is wrong with the reply to PEND; NULL = nothing. */
static const char *reply_fault(const struct load_conn *c, const char *msg,
		size_t n, const struct load_pending *pend)
{
	static char pattern[LOAD_BODY_MAX + 1];
	char want[64];
	char got[128];
	const char *body;
	size_t body_n;

	if(sip_status(msg, n) != 200)
		return "wrong status";
	snprintf(want, sizeof(want), "load-%d-%u", (int)getpid(), c->id);
	sip_header(msg, n, "Call-ID", got, sizeof(got));
	if(strcmp(got, want) != 0)
		return "wrong Call-ID";
	snprintf(want, sizeof(want), "load-%d-%u/%u", (int)getpid(), c->id,
			pend->cseq);
	sip_header(msg, n, "X-Echo", got, sizeof(got));
	if(strcmp(got, want) != 0)
		return "wrong X-Echo";
	body = sip_body(msg, n, &body_n);
	sip_pattern(pattern, pend->body_n, c->id * 31 + pend->cseq);
	if(body_n != pend->body_n || (body_n && memcmp(body, pattern, body_n) != 0))
		return "wrong body";
	return NULL;
}

/* Checks one reply against the outstanding requests. */
static void take_reply(struct load_conn *c, const char *msg, size_t n)
{
	const char *fault;
	char cseq[32];
	int at;

	if(sip_status(msg, n) / 100 == 1)
		return;
	sip_header(msg, n, "CSeq", cseq, sizeof(cseq));
	at = find_pending(c, (unsigned int)strtoul(cseq, NULL, 10));
	if(at < 0) {
		if(c->kind == LOAD_UDP)
			return; /* UDP may repeat */
		if(strtoul(cseq, NULL, 10) <= c->cseq && cseq[0])
			load_count->duplicate++;
		else
			load_count->wrong++;
		load_say(c, "a reply that nobody waits for", cseq);
		return;
	}
	fault = reply_fault(c, msg, n, &c->pending[at]);
	/* without a relay one receiver answers in the order of arrival */
	if(!fault && at != 0 && !c->listen_port)
		fault = "wrong order";
	if(fault) {
		load_count->wrong++;
		load_say(c, fault, cseq);
	} else {
		load_count->answered++;
		load_waited(c->pending[at].from_us);
	}
	memmove(&c->pending[at], &c->pending[at + 1],
			(size_t)(c->n_pending - at - 1) * sizeof(c->pending[0]));
	c->n_pending--;
}

/* ---- the answering side ---- */

static void serve(struct load_conn *c, const char *msg, size_t n)
{
	size_t len = sip_reply(scratch, sizeof(scratch), msg, n, 200);
	bool fault;
	char *echo;

	if(len == 0)
		return;
	fault = load_opt.fault_every && ++served % load_opt.fault_every == 0;
	if(fault && load_opt.fault == 'l')
		return;
	if(fault && load_opt.fault == 'w') {
		echo = memmem(scratch, len, "X-Echo: load", 12);
		if(echo)
			echo[8] = 'L';
	}
	write_clear(c, len);
	if(fault && load_opt.fault == 'd')
		write_clear(c, len);
}

static void accept_all(struct load_conn *listener)
{
	struct load_conn *c;
	int one = 1;
	int fd;

	while((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC))
			>= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c = load_conn_new(fd, LOAD_RELAY);
		c->server = true;
		c->state = LOAD_SHAKING;
		c->listener = listener;
		c->siblings = listener->accepted;
		listener->accepted = c;
		load_conn_ssl(c, true, false);
		load_watch(c, true);
	}
}

/* ---- one step ---- */

static void take_clear(struct load_conn *c)
{
	size_t at = 0;
	long n = 0;

	while(!c->dead && (n = sip_frame(c->in + at, c->in_n - at)) > 0) {
		if(c->server)
			serve(c, c->in + at, (size_t)n);
		else
			take_reply(c, c->in + at, (size_t)n);
		at += (size_t)n;
	}
	if(n < 0) {
		if(!c->server) {
			load_count->wrong++;
			load_say(c, "bytes that are not SIP", "");
		}
		load_conn_kill(c);
		return;
	}
	memmove(c->in, c->in + at, c->in_n - at);
	c->in_n -= at;
}

/* Reads what TLS has; false = the connection ended (why in *WHY). */
static bool read_clear(struct load_conn *c, const char **why)
{
	int ret;

	for(;;) {
		if(c->in_room - c->in_n < 17000) {
			c->in_room += 65536;
			c->in = realloc(c->in, c->in_room);
			if(!c->in)
				abort();
		}
		ERR_clear_error();
		ret = SSL_read(c->ssl, c->in + c->in_n, 16384);
		if(ret <= 0)
			break;
		c->in_n += (size_t)ret;
		load_count->clear_in += ret;
		take_clear(c);
		if(c->dead)
			return true;
	}
	ret = SSL_get_error(c->ssl, ret);
	*why = ret == SSL_ERROR_ZERO_RETURN ? "close_notify" : "TLS error";
	return ret == SSL_ERROR_WANT_READ;
}

static void flush_out(struct load_conn *c)
{
	static char trash[65536];
	char *data;
	long n;
	ssize_t sent;

	while((n = BIO_get_mem_data(c->wbio, &data)) > 0) {
		sent = send(c->fd, data, n > 65536 ? 65536 : (size_t)n, MSG_NOSIGNAL);
		if(sent <= 0)
			break;
		load_count->bytes_out += sent;
		BIO_read(c->wbio, trash, (int)sent);
	}
	if(c->want_out != (n > 0)) {
		c->want_out = n > 0;
		load_watch(c, false);
	}
}

static bool shake(struct load_conn *c, const char **why)
{
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(c->ssl);
	if(ret != 1) {
		*why = "handshake failed";
		return SSL_get_error(c->ssl, ret) == SSL_ERROR_WANT_READ;
	}
	c->state = LOAD_OPEN;
	c->deadline = 0;
	if(c->server) {
		load_count->outbound++;
		return true;
	}
	load_count->handshakes++;
	load_count->resumed += SSL_session_reused(c->ssl);
	if(SSL_version(c->ssl) == TLS1_3_VERSION)
		load_count->v13++;
	else
		load_count->v12++;
	return true;
}

/* Nothing more is to be done on C: next round, or the end. */
static void finish(struct load_conn *c)
{
	if(c->rounds > 0 && !load_stopping()) {
		if(!c->wake)
			c->wake = load_ms() + LOAD_IDLE_MS;
		return;
	}
	if(c->ssl && (c->id & 2)) {
		SSL_shutdown(c->ssl);
		flush_out(c);
	}
	load_conn_kill(c);
}

static void step(struct load_conn *c)
{
	const char *why = "end of connection";
	bool good = true;

	if(c->state == LOAD_SHAKING)
		good = shake(c, &why);
	if(good && c->state == LOAD_OPEN) {
		good = read_clear(c, &why);
		if(!c->dead && good && !c->server)
			good = send_requests(c);
	}
	if(c->dead)
		return;
	flush_out(c);
	if(!good || c->eof) {
		gone(c, why);
		return;
	}
	if(!c->server && c->state == LOAD_OPEN && c->todo == 0 && c->n_pending == 0)
		finish(c);
}

static void udp_event(struct load_conn *c)
{
	char buf[8192];
	ssize_t n;

	while((n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		take_reply(c, buf, (size_t)n);
	if(c->n_pending == 0 && c->todo == 0)
		load_conn_kill(c);
}

void load_conn_event(struct load_conn *c, uint32_t events)
{
	char raw[16384];
	socklen_t len = sizeof(int);
	int err = 0;
	ssize_t n;

	if(c->state == LOAD_LISTENING) {
		accept_all(c);
		return;
	}
	if(c->kind == LOAD_UDP) {
		udp_event(c);
		return;
	}
	if(c->state == LOAD_CONNECTING) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if(err) {
			gone(c, strerror(err));
			return;
		}
		c->state = LOAD_SHAKING;
	}
	if(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		while((n = recv(c->fd, raw, sizeof(raw), 0)) > 0) {
			load_count->bytes_in += n;
			BIO_write(c->rbio, raw, (int)n);
		}
		if(n == 0 || errno != EAGAIN)
			c->eof = true;
	}
	step(c);
}

/* ---- starting ---- */

static bool start_udp(void)
{
	struct sockaddr_in sa = loopback(load_opt.udp_port);
	struct load_conn *c;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if(fd < 0)
		return false;
	if(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		close(fd);
		return false;
	}
	c = load_conn_new(fd, LOAD_UDP);
	c->state = LOAD_OPEN;
	c->todo = 1;
	c->listen_port = load_conn_listen(0, c);
	load_watch(c, true);
	return send_requests(c);
}

bool load_conn_start(enum load_kind kind)
{
	struct load_conn *c;
	int fd;

	/* else they would soon take every place */
	if(kind == LOAD_IDLE && idle_live >= (load_opt.conns + 3) / 4)
		kind = LOAD_FULL;
	load_count->kinds[kind]++;
	if(kind >= LOAD_RESET)
		return load_broken_start(kind);
	if(kind == LOAD_UDP)
		return start_udp();
	fd = load_conn_connect(load_opt.port);
	if(fd < 0) {
		load_count->refused++;
		return false;
	}
	c = load_conn_new(fd, kind);
	c->todo = 1;
	if(kind == LOAD_LONG)
		c->todo = 10 + (int)load_random(190);
	if(kind == LOAD_IDLE) {
		c->todo = 1 + (int)load_random(5);
		c->rounds = 2;
		idle_live++;
	}
	if(kind == LOAD_RELAY) {
		c->todo = 1 + (int)load_random(4);
		c->listen_port = load_conn_listen(0, c);
	}
	c->deadline = load_ms() + load_opt.reply_ms;
	c->begun_us = load_us();
	load_conn_ssl(c, false, kind == LOAD_RESUME);
	c->want_out = true;
	load_watch(c, true);
	return true;
}

/* ---- time ---- */

static void check_time(struct load_conn *c, int64_t now)
{
	if(c->deadline && now >= c->deadline) {
		if(c->broken >= 0)
			load_broken_timeout(c);
		else
			gone(c, "timeout");
		return;
	}
	if(c->broken >= 0 || c->server)
		return;
	if(c->n_pending > 0 && now >= c->pending[0].deadline) {
		say_stuck(c);
		gone(c, "no reply in time");
		return;
	}
	if(c->wake && (now >= c->wake || load_stopping())) {
		c->wake = 0;
		c->rounds--;
		c->todo = 1 + (int)load_random(5);
		step(c);
	}
}

int load_conn_tick(void)
{
	struct load_conn **at = &all;
	struct load_conn *c;
	int64_t now = load_ms();
	int live = 0;

	/* new ones are put in front while this walks: they are seen next time */
	for(c = all; c; c = c->next)
		if(!c->dead)
			check_time(c, now);
	idle_live = 0;
	while((c = *at)) {
		if(!c->dead) {
			idle_live += c->kind == LOAD_IDLE;
			live += !c->server;
			at = &c->next;
			continue;
		}
		*at = c->next;
		SSL_free(c->ssl);
		free(c->raw);
		free(c->in);
		free(c);
	}
	return live;
}

void load_conn_abort(void)
{
	struct load_conn *c;

	for(c = all; c; c = c->next)
		if(c->broken >= 0)
			load_conn_kill(c);
		else
			gone(c, "end of the run");
	load_conn_tick();
}
