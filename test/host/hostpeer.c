/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The other end of a connection to Kamailio, see hostpeer.h.
 * OpenSSL runs over memory BIOs, so the test owns the wire.
 * Used by the host tests in their one process; not shared, no lock. */
#define _GNU_SOURCE
#include "hostpeer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "hostlib.h"

#define CALL_ID "host-test"

struct peer_totals peer_totals;

/* ---- sockets ---- */

static void peer_zero(struct peer *p)
{
	memset(p, 0, sizeof(*p));
	p->fd = -1;
	p->alert_in = -1;
	p->alert_out = -1;
}

/* Takes the connected socket FD. */
static bool adopt(struct peer *p, int fd)
{
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa);
	int one = 1;

	p->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if(getsockname(fd, (struct sockaddr *)&sa, &n) == 0)
		p->port = ntohs(sa.sin_port);
	p->buf = malloc(PEER_BUF_MAX);
	return p->buf != NULL;
}

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};

	sa.sin_port = htons((unsigned short)port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sa;
}

static bool connect_to(
		struct peer *p, const char *source, const char *target, int port)
{
	struct sockaddr_in from = loopback(0);
	struct sockaddr_in sa = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	peer_zero(p);
	from.sin_addr.s_addr = inet_addr(source);
	sa.sin_addr.s_addr = inet_addr(target);
	/* connect() takes the port, or each address would need its own */
	if(fd < 0
			|| setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
					   sizeof(one))
					   != 0
			|| bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0
			|| connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		snprintf(p->err, sizeof(p->err), "connect: %s", strerror(errno));
		if(fd >= 0)
			close(fd);
		p->end = PEER_RESET;
		return false;
	}
	return adopt(p, fd);
}

bool peer_tcp_from(struct peer *p, const char *source, int port)
{
	return connect_to(p, source, "127.0.0.1", port);
}

bool peer_tcp(struct peer *p, int port)
{
	return peer_tcp_from(p, "127.0.0.1", port);
}

int peer_listen(int *port_out)
{
	struct sockaddr_in sa = loopback(0);
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	listen(fd, 64);
	getsockname(fd, (struct sockaddr *)&sa, &n);
	*port_out = ntohs(sa.sin_port);
	return fd;
}

/* Waits for EVENTS on FD until END. */
static bool wait_fd(int fd, short events, long end)
{
	struct pollfd pfd = {.fd = fd, .events = events};
	long left = end - host_now();
	int n;

	do {
		n = poll(&pfd, 1, left > 0 ? (int)left : 0);
		left = end - host_now();
	} while(n < 0 && errno == EINTR && left > 0);
	return n > 0;
}

bool peer_accept(struct peer *p, int lfd, const struct peer_opt *opt, int ms)
{
	long end = host_now() + ms;
	int fd;

	peer_zero(p);
	if(!wait_fd(lfd, POLLIN, end)) {
		p->end = PEER_TIMEOUT;
		snprintf(p->err, sizeof(p->err), "nobody connected");
		return false;
	}
	fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
	if(fd < 0 || !adopt(p, fd))
		return false;
	if(!opt)
		return true;
	return peer_tls_prepare(p, opt, true)
		   && peer_handshake(p, (int)(end - host_now()));
}

int peer_udp(int port, int *port_out)
{
	struct sockaddr_in sa = loopback(port);
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		close(fd);
		return -1;
	}
	getsockname(fd, (struct sockaddr *)&sa, &n);
	*port_out = ntohs(sa.sin_port);
	return fd;
}

size_t peer_udp_read(int fd, char *buf, size_t room, int ms)
{
	ssize_t n;

	if(!wait_fd(fd, POLLIN, host_now() + ms))
		return 0;
	n = recv(fd, buf, room, 0);
	return n > 0 ? (size_t)n : 0;
}

/* ---- TLS over memory ---- */

static void info_cb(const SSL *ssl, int where, int ret)
{
	struct peer *p = SSL_get_app_data(ssl);

	if(!(where & SSL_CB_ALERT) || (ret & 0xff) == SSL_AD_CLOSE_NOTIFY)
		return;
	if(where & SSL_CB_READ)
		p->alert_in = ret & 0xff;
	else
		p->alert_out = ret & 0xff;
}

static void message_cb(int write_p, int version, int content_type,
		const void *buf, size_t n, SSL *ssl, void *arg)
{
	(void)version;
	(void)buf;
	(void)n;
	(void)ssl;
	(void)arg;
	if(content_type != SSL3_RT_HEADER)
		return;
	peer_totals.records_in += !write_p;
	peer_totals.records_out += write_p != 0;
}

static void fail(struct peer *p, enum peer_end end)
{
	unsigned long code = ERR_peek_last_error();

	if(p->end == PEER_OPEN || end == PEER_FAILED)
		p->end = end;
	if(code && p->err[0] == '\0')
		ERR_error_string_n(code, p->err, sizeof(p->err));
	else if(p->err[0] == '\0')
		snprintf(p->err, sizeof(p->err), "connection ended: %d", (int)end);
}

/* Staples what the settings say. */
static int staple_cb(SSL *ssl, void *arg)
{
	const struct peer_opt *opt = arg;
	unsigned char *copy = OPENSSL_memdup(opt->staple, opt->n_staple);

	if(copy == NULL
			|| SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)opt->n_staple)
					   != 1)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Puts what OPT says of algorithms and protocols into the context. */
static bool set_algorithms(SSL_CTX *ctx, const struct peer_opt *opt)
{
	unsigned char alpn[256];
	size_t n = opt->alpn ? strlen(opt->alpn) : 0;

	if(n > sizeof(alpn) - 1
			|| (opt->ciphers && SSL_CTX_set_cipher_list(ctx, opt->ciphers) != 1)
			|| (opt->suites && SSL_CTX_set_ciphersuites(ctx, opt->suites) != 1)
			|| (opt->groups && SSL_CTX_set1_groups_list(ctx, opt->groups) != 1)
			|| (opt->sigalgs
					&& SSL_CTX_set1_sigalgs_list(ctx, opt->sigalgs) != 1))
		return false;
	if(n == 0)
		return true;
	alpn[0] = (unsigned char)n;
	memcpy(alpn + 1, opt->alpn, n);
	return SSL_CTX_set_alpn_protos(ctx, alpn, (unsigned int)n + 1) == 0;
}

/* Puts the settings of OPT into the context. */
static bool set_ctx(SSL_CTX *ctx, const struct peer_opt *opt, bool server)
{
	if(opt->old_versions)
		SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, opt->min);
	SSL_CTX_set_max_proto_version(ctx, opt->max);
	if(!set_algorithms(ctx, opt))
		return false;
	if(opt->cert && SSL_CTX_use_certificate_chain_file(ctx, opt->cert) != 1)
		return false;
	if(opt->key
			&& SSL_CTX_use_PrivateKey_file(ctx, opt->key, SSL_FILETYPE_PEM)
					   != 1)
		return false;
	if(opt->ask_status)
		SSL_CTX_set_tlsext_status_type(ctx, TLSEXT_STATUSTYPE_ocsp);
	if(opt->staple) {
		SSL_CTX_set_tlsext_status_cb(ctx, staple_cb);
		SSL_CTX_set_tlsext_status_arg(ctx, (void *)(uintptr_t)opt);
	}
	if(opt->ca) {
		if(SSL_CTX_load_verify_locations(ctx, opt->ca, NULL) != 1)
			return false;
		SSL_CTX_set_verify(ctx,
				SSL_VERIFY_PEER
						| (server && opt->require_client
										? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
										: 0),
				NULL);
	}
	return true;
}

bool peer_tls_prepare(struct peer *p, const struct peer_opt *opt, bool server)
{
	static const struct peer_opt plain;

	if(!opt)
		opt = &plain;
	ERR_clear_error();
	p->chop = opt->chop;
	p->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if(!p->ctx || !set_ctx(p->ctx, opt, server)) {
		fail(p, PEER_FAILED);
		return false;
	}
	p->ssl = SSL_new(p->ctx);
	p->rbio = BIO_new(BIO_s_mem());
	p->wbio = BIO_new(BIO_s_mem());
	SSL_set_bio(p->ssl, p->rbio, p->wbio); /* owned by the SSL from here */
	BIO_set_mem_eof_return(p->rbio, -1);
	SSL_set_app_data(p->ssl, p);
	SSL_set_info_callback(p->ssl, info_cb);
	SSL_set_msg_callback(p->ssl, message_cb);
	if(opt->no_ticket)
		SSL_set_options(p->ssl, SSL_OP_NO_TICKET);
	if(opt->sni)
		SSL_set_tlsext_host_name(p->ssl, opt->sni);
	if(opt->resume)
		SSL_set_session(p->ssl, opt->resume);
	if(server)
		SSL_set_accept_state(p->ssl);
	else
		SSL_set_connect_state(p->ssl);
	return true;
}

bool peer_send_raw(struct peer *p, const void *data, size_t n, size_t chop)
{
	const char *at = data;
	long end = host_now() + PEER_WAIT_MS;
	size_t part;
	ssize_t sent;

	while(n > 0) {
		part = chop && chop < n ? chop : n;
		sent = send(p->fd, at, part, MSG_NOSIGNAL);
		if(sent > 0) {
			peer_totals.bytes_out += (unsigned long)sent;
			at += sent;
			n -= (size_t)sent;
			continue;
		}
		if(errno != EAGAIN || !wait_fd(p->fd, POLLOUT, end)) {
			fail(p, errno == EAGAIN ? PEER_TIMEOUT : PEER_RESET);
			return false;
		}
	}
	return true;
}

bool peer_flush(struct peer *p)
{
	char *data;
	long n = BIO_get_mem_data(p->wbio, &data);
	bool good = true;

	if(n > 0) {
		good = peer_send_raw(p, data, (size_t)n, p->chop);
		(void)BIO_reset(p->wbio);
	}
	return good;
}

/* Reads the socket into OpenSSL's BIO (or into p->buf). False: no more. */
static bool fill(struct peer *p, long end)
{
	char raw[16384];
	size_t room = PEER_BUF_MAX - p->used;
	ssize_t n;

	if(!wait_fd(p->fd, POLLIN, end)) {
		fail(p, PEER_TIMEOUT);
		return false;
	}
	if(p->ssl)
		n = recv(p->fd, raw, sizeof(raw), 0);
	else
		n = recv(p->fd, p->buf + p->used, room, 0);
	if(n <= 0) {
		fail(p, n == 0 ? PEER_EOF : PEER_RESET);
		return false;
	}
	peer_totals.bytes_in += (unsigned long)n;
	if(p->ssl)
		BIO_write(p->rbio, raw, (int)n);
	else
		p->used += (size_t)n;
	return true;
}

/* After an SSL call returned RET <= 0: true = try again. */
static bool again(struct peer *p, int ret, long end)
{
	int why = SSL_get_error(p->ssl, ret);

	peer_flush(p);
	if(why == SSL_ERROR_WANT_READ)
		return fill(p, end);
	fail(p, why == SSL_ERROR_ZERO_RETURN ? PEER_NOTIFY : PEER_FAILED);
	return false;
}

bool peer_handshake(struct peer *p, int ms)
{
	long end = host_now() + ms;
	int ret;

	for(;;) {
		ERR_clear_error();
		ret = SSL_do_handshake(p->ssl);
		if(ret == 1)
			return peer_flush(p);
		if(!again(p, ret, end))
			return false;
	}
}

bool peer_tls(struct peer *p, int port, const struct peer_opt *opt)
{
	const char *target = opt && opt->address ? opt->address : "127.0.0.1";

	return connect_to(p, "127.0.0.1", target, port)
		   && peer_tls_prepare(p, opt, false)
		   && peer_handshake(p, PEER_WAIT_MS);
}

size_t peer_seal(
		struct peer *p, const void *data, size_t n, void *out, size_t room)
{
	char *sealed;
	long len;

	ERR_clear_error();
	peer_flush(p);
	if(SSL_write(p->ssl, data, (int)n) <= 0)
		return 0;
	len = BIO_get_mem_data(p->wbio, &sealed);
	if(len <= 0 || (size_t)len > room)
		return 0;
	memcpy(out, sealed, (size_t)len);
	(void)BIO_reset(p->wbio);
	return (size_t)len;
}

bool peer_send(struct peer *p, const void *data, size_t n)
{
	long end = host_now() + PEER_WAIT_MS;
	int ret;

	if(!p->ssl)
		return peer_send_raw(p, data, n, p->chop);
	for(;;) {
		ERR_clear_error();
		ret = SSL_write(p->ssl, data, (int)n);
		if(ret > 0)
			return peer_flush(p);
		if(!again(p, ret, end))
			return false;
	}
}

bool peer_await(struct peer *p, size_t n, int ms)
{
	long end = host_now() + ms;
	int ret;

	while(p->used < n) {
		if(!p->ssl) {
			if(!fill(p, end))
				return false;
			continue;
		}
		ERR_clear_error();
		ret = SSL_read(p->ssl, p->buf + p->used, (int)(PEER_BUF_MAX - p->used));
		if(ret > 0)
			p->used += (size_t)ret;
		else if(!again(p, ret, end))
			return false;
	}
	return !p->ssl || peer_flush(p);
}

size_t peer_sip(struct peer *p, int ms)
{
	long end = host_now() + ms;
	long n;

	while((n = sip_frame(p->buf, p->used)) == 0)
		if(!peer_await(p, p->used + 1, (int)(end - host_now())))
			return 0;
	if(n < 0) {
		snprintf(p->err, sizeof(p->err), "not SIP: %.40s", p->buf);
		return 0;
	}
	return (size_t)n;
}

void peer_take(struct peer *p, size_t n)
{
	memmove(p->buf, p->buf + n, p->used - n);
	p->used -= n;
}

enum peer_end peer_await_end(struct peer *p, int ms)
{
	long end = host_now() + ms;

	if(p->end == PEER_TIMEOUT)
		p->end = PEER_OPEN; /* an earlier wait was over, no more than that */
	while(p->end == PEER_OPEN
			&& peer_await(p, p->used + 1, (int)(end - host_now())))
		p->used = 0;
	return p->end;
}

void peer_notify(struct peer *p)
{
	if(p->ssl) {
		SSL_shutdown(p->ssl);
		peer_flush(p);
	}
	shutdown(p->fd, SHUT_WR);
}

void peer_close(struct peer *p)
{
	if(p->fd >= 0)
		close(p->fd);
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	free(p->buf);
	peer_zero(p);
}

void peer_reset(struct peer *p)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	peer_close(p);
}

/* ---- requests ---- */

bool peer_request(
		struct peer *p, unsigned int cseq, size_t body_n, const char *extra)
{
	struct sip_req req = {.call_id = CALL_ID, .cseq = cseq, .extra = extra};
	size_t room = SIP_HEAD_ROOM + body_n;
	char *msg = malloc(room);
	char *body = malloc(body_n + 1);
	char branch[64];
	bool good = false;
	size_t n;

	if(msg && body) {
		/* the own port makes the branch unique, or tm would absorb it */
		snprintf(branch, sizeof(branch), "z9hG4bK-%d-%u-%ld", p->port, cseq,
				host_now());
		sip_pattern(body, body_n, cseq);
		req.transport = p->ssl ? "TLS" : "TCP";
		req.branch = branch;
		req.via_port = p->port;
		req.body = body;
		req.body_len = body_n;
		n = sip_request(msg, room, &req);
		good = n > 0 && peer_send(p, msg, n);
	}
	free(msg);
	free(body);
	return good;
}

/* Is the message at p->buf the reply to CSEQ? Says what is wrong. */
static const char *reply_fault(struct peer *p, size_t n, unsigned int cseq,
		size_t body_n, int want_status)
{
	char want[64];
	char got[256];
	const char *body;
	char *pattern;
	size_t len;
	bool same;

	if(sip_status(p->buf, n) != want_status)
		return "wrong status";
	sip_header(p->buf, n, "Call-ID", got, sizeof(got));
	if(strcmp(got, CALL_ID) != 0)
		return "wrong Call-ID";
	sip_header(p->buf, n, "CSeq", got, sizeof(got));
	snprintf(want, sizeof(want), "%u OPTIONS", cseq);
	if(strcmp(got, want) != 0)
		return "wrong CSeq";
	if(want_status != 200)
		return NULL;
	sip_header(p->buf, n, "X-Echo", got, sizeof(got));
	snprintf(want, sizeof(want), CALL_ID "/%u", cseq);
	if(strcmp(got, want) != 0)
		return "wrong X-Echo";
	body = sip_body(p->buf, n, &len);
	pattern = malloc(body_n + 1);
	sip_pattern(pattern, body_n, cseq);
	same = len == body_n && (len == 0 || memcmp(body, pattern, len) == 0);
	free(pattern);
	return same ? NULL : "wrong body";
}

bool peer_check_reply(struct peer *p, unsigned int cseq, size_t body_n,
		int want_status, int ms)
{
	const char *fault;
	size_t n;

	do {
		n = peer_sip(p, ms);
		if(n == 0)
			return false;
		if(sip_status(p->buf, n) / 100 != 1)
			break;
		peer_take(p, n); /* 100 trying says nothing */
	} while(1);
	fault = reply_fault(p, n, cseq, body_n, want_status);
	if(fault)
		snprintf(p->err, sizeof(p->err), "%s: %.100s", fault, p->buf);
	peer_take(p, n);
	return fault == NULL;
}

bool peer_options(
		struct peer *p, unsigned int cseq, size_t body_n, const char *extra)
{
	return peer_request(p, cseq, body_n, extra)
		   && peer_check_reply(p, cseq, body_n, 200, PEER_WAIT_MS);
}

size_t peer_serve(struct peer *p, int ms)
{
	size_t n = peer_sip(p, ms);
	size_t room = n + SIP_HEAD_ROOM;
	char *reply;
	size_t len;

	if(n == 0)
		return 0;
	reply = malloc(room);
	len = sip_reply(reply, room, p->buf, n, 200);
	if(len == 0 || !peer_send(p, reply, len))
		n = 0;
	free(reply);
	peer_take(p, n);
	return n;
}

bool peer_once(int port, const struct peer_opt *opt)
{
	struct peer p;
	bool good = peer_tls(&p, port, opt) && peer_options(&p, 1, 0, NULL);

	if(!good)
		fprintf(stderr, "  %s\n", p.err);
	peer_close(&p);
	return good;
}
