/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The least that a server can do: one process, one epoll loop, OpenSSL on the
 * socket, a reply as long as the request. What it takes beyond the floor of
 * raw.c is the kernel and a processor that sleeps between two packets; no
 * server behind a socket escapes it.
 * Knows as much of SIP as it takes to see the end of a request. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define IN_ROOM 40000
#define EVENTS_MAX 64

struct conn
{
	int fd;
	SSL *ssl; /* NULL = plain */
	int n;
	char in[IN_ROOM];
};

static SSL_CTX *make_ctx(bool rsa)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const char *cert = host_cert(rsa ? "rsa.pem" : "ecdsa.pem");

	if(!ctx || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1
			|| SSL_CTX_use_PrivateKey_file(ctx,
					   host_cert(rsa ? "rsa.key" : "ecdsa.key"),
					   SSL_FILETYPE_PEM)
					   != 1) {
		ERR_print_errors_fp(stderr);
		_exit(1);
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1); /* as our module */
	return ctx;
}

static void watch(int epoll_fd, int fd, void *what)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = what};

	if(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
		_exit(1);
}

static void take(int epoll_fd, int listener, SSL_CTX *ctx)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *c;
	int one = 1;

	if(fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if(!c)
		_exit(1);
	c->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if(ctx) {
		c->ssl = SSL_new(ctx);
		if(!c->ssl || SSL_set_fd(c->ssl, fd) != 1)
			_exit(1);
		SSL_set_accept_state(c->ssl);
	}
	watch(epoll_fd, fd, c);
}

static void drop(struct conn *c)
{
	SSL_free(c->ssl);
	close(c->fd);
	free(c);
}

/* Length of the request that C begins with; 0 = not all of it is here. */
static int request_length(const struct conn *c)
{
	const char *end = memmem(c->in, (size_t)c->n, "\r\n\r\n", 4);
	const char *field = memmem(c->in, (size_t)c->n, "Content-Length: ", 16);
	int n;

	if(!end || !field || field > end)
		return 0;
	n = (int)(end - c->in) + 4 + atoi(field + 16);
	return n <= c->n ? n : 0;
}

/* The request comes back with another first line. */
static bool answer(struct conn *c, int n)
{
	static const char line[] = "SIP/2.0 200 OK";
	static char out[IN_ROOM];
	const char *rest = memchr(c->in, '\r', (size_t)n);
	int out_n;

	if(!rest)
		return false;
	out_n = n - (int)(rest - c->in);
	memcpy(out, line, sizeof(line) - 1);
	memcpy(out + sizeof(line) - 1, rest, (size_t)out_n);
	out_n += (int)sizeof(line) - 1;
	c->n -= n;
	memmove(c->in, c->in + n, (size_t)c->n);
	return (c->ssl ? SSL_write(c->ssl, out, out_n)
				   : (int)write(c->fd, out, (size_t)out_n))
		   == out_n;
}

/* More bytes of C. 0 = none now, -1 = the end. */
static int fill(struct conn *c)
{
	int room = IN_ROOM - c->n;
	int n;

	if(c->ssl) {
		n = SSL_read(c->ssl, c->in + c->n, room);
		if(n <= 0)
			n = SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
		ERR_clear_error();
	} else {
		n = (int)read(c->fd, c->in + c->n, (size_t)room);
		if(n <= 0)
			n = n < 0 && errno == EAGAIN ? 0 : -1;
	}
	c->n += n > 0 ? n : 0;
	return n;
}

static void serve(struct conn *c)
{
	int got;
	int n;

	while((got = fill(c)) > 0)
		while((n = request_length(c)) > 0)
			if(!answer(c, n)) {
				drop(c);
				return;
			}
	if(got < 0)
		drop(c);
}

static void run(int listener, SSL_CTX *ctx)
{
	struct epoll_event events[EVENTS_MAX];
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int n;
	int i;

	watch(epoll_fd, listener, NULL);
	for(;;) {
		n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
		for(i = 0; i < n; i++)
			if(events[i].data.ptr)
				serve(events[i].data.ptr);
			else
				take(epoll_fd, listener, ctx);
	}
}

bool bench_echo_start(struct bench_server *server, bool tls, bool rsa)
{
	struct sockaddr_in sa = {
			.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memset(server, 0, sizeof(*server));
	if(fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0
			|| listen(fd, 1024) != 0
			|| getsockname(fd, (struct sockaddr *)&sa, &n) != 0)
		return false;
	server->port = ntohs(sa.sin_port);
	bench_pin(false);
	fflush(NULL);
	server->child = fork();
	if(server->child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		signal(SIGPIPE, SIG_IGN);
		run(fd, tls ? make_ctx(rsa) : NULL);
	}
	bench_pin(true);
	close(fd);
	server->up = server->child > 0;
	return server->up;
}
