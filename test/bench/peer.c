/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The other end of connections that a Kamailio opens: it takes them one by
 * one, reads one request from each and can ask each for a keep-alive.
 * All waiting has a deadline. The host takes one connection per destination,
 * so every request names another address of 127.0.0.0/8.
 * One thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define WAIT_S 10
#define BACKLOG 64
#define REQUEST_ROOM 4096

struct peer_conn
{
	int fd;
	SSL *ssl; /* NULL = plain */
};

struct bench_peer
{
	int listener;
	int port;
	int udp;	  /* for the requests that make the server connect */
	SSL_CTX *ctx; /* NULL = plain */
	int n;
	int room;
	struct peer_conn conns[];
};

static SSL_CTX *new_ctx(int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if(ctx && SSL_CTX_set_min_proto_version(ctx, version) == 1
			&& SSL_CTX_set_max_proto_version(ctx, version) == 1
			&& SSL_CTX_use_certificate_chain_file(ctx, host_cert("ecdsa.pem"))
					   == 1
			&& SSL_CTX_use_PrivateKey_file(
					   ctx, host_cert("ecdsa.key"), SSL_FILETYPE_PEM)
					   == 1)
		return ctx;
	ERR_print_errors_fp(stderr);
	SSL_CTX_free(ctx);
	return NULL;
}

static void set_deadline(int fd)
{
	struct timeval tv = {.tv_sec = WAIT_S};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

struct bench_peer *bench_peer_new(int version, int room)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t sa_n = sizeof(sa);
	struct bench_peer *peer =
			calloc(1, sizeof(*peer) + (size_t)room * sizeof(struct peer_conn));

	if(!peer)
		abort();
	peer->room = room;
	peer->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	peer->ctx = version ? new_ctx(version) : NULL;
	if(peer->listener >= 0 && peer->udp >= 0 && (!version || peer->ctx)
			&& bind(peer->listener, (struct sockaddr *)&sa, sa_n) == 0
			&& listen(peer->listener, BACKLOG) == 0
			&& getsockname(peer->listener, (struct sockaddr *)&sa, &sa_n)
					   == 0) {
		peer->port = ntohs(sa.sin_port);
		set_deadline(peer->listener);
		return peer;
	}
	perror("bench: peer");
	bench_peer_free(peer);
	return NULL;
}

/* A request by UDP that the server forwards to the address AT of this peer. */
static bool provoke(const struct bench_peer *peer, int udp_port, int at)
{
	static const char form[] =
			"OPTIONS sip:b@127.0.0.1 SIP/2.0\r\n"
			"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKp%d\r\n"
			"From: <sip:a@example.org>;tag=1\r\nTo: <sip:b@example.org>\r\n"
			"Call-ID: peer-%d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
			"X-Relay: sip:127.1.%d.%d:%d;transport=%s\r\n"
			"Content-Length: 0\r\n\r\n";
	struct sockaddr_in to = {.sin_family = AF_INET,
			.sin_port = htons((uint16_t)udp_port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char text[1024];
	int n = snprintf(text, sizeof(text), form, at, at, at / 250, at % 250 + 1,
			peer->port, peer->ctx ? "tls" : "tcp");

	return sendto(peer->udp, text, (size_t)n, 0, (struct sockaddr *)&to,
				   sizeof(to))
		   == n;
}

static int take(struct peer_conn *c, char *to, int room)
{
	return c->ssl ? SSL_read(c->ssl, to, room)
				  : (int)recv(c->fd, to, (size_t)room, 0);
}

/* Reads until what came ends with END. */
static bool read_until(struct peer_conn *c, const char *end)
{
	char in[REQUEST_ROOM];
	size_t end_n = strlen(end);
	size_t n = 0;
	int rc;

	while(n < sizeof(in)) {
		rc = take(c, in + n, (int)(sizeof(in) - n));
		if(rc <= 0)
			return false;
		n += (size_t)rc;
		if(n >= end_n && memcmp(in + n - end_n, end, end_n) == 0)
			return true;
	}
	return false;
}

static bool accept_one(struct bench_peer *peer)
{
	struct peer_conn *c = &peer->conns[peer->n];

	c->fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
	if(c->fd < 0)
		return false;
	peer->n++;
	set_deadline(c->fd);
	if(peer->ctx) {
		c->ssl = SSL_new(peer->ctx);
		if(!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_accept(c->ssl) != 1)
			return false;
	}
	return read_until(c, "\r\n\r\n");
}

bool bench_peer_open(struct bench_peer *peer, int udp_port, int n)
{
	while(n-- > 0)
		if(peer->n >= peer->room || !provoke(peer, udp_port, peer->n)
				|| !accept_one(peer))
			return false;
	return true;
}

bool bench_peer_ping(struct bench_peer *peer)
{
	struct peer_conn *c;
	int rc;
	int i;

	for(i = 0; i < peer->n; i++) {
		c = &peer->conns[i];
		rc = c->ssl ? SSL_write(c->ssl, "\r\n\r\n", 4)
					: (int)send(c->fd, "\r\n\r\n", 4, MSG_NOSIGNAL);
		if(rc != 4 || !read_until(c, "\r\n"))
			return false;
	}
	return true;
}

void bench_peer_drop(struct bench_peer *peer)
{
	struct peer_conn *c;

	while(peer->n > 0) {
		c = &peer->conns[--peer->n];
		if(c->ssl)
			SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
		c->ssl = NULL;
		close(c->fd);
	}
	ERR_clear_error();
}

void bench_peer_free(struct bench_peer *peer)
{
	if(!peer)
		return;
	bench_peer_drop(peer);
	if(peer->listener >= 0)
		close(peer->listener);
	if(peer->udp >= 0)
		close(peer->udp);
	SSL_CTX_free(peer->ctx);
	free(peer);
}
