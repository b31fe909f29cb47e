/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The benchmark's client: many connections in one epoll loop, requests made
 * once, replies looked at only as far as it takes to count them.
 * Knows no server; must be cheaper than any that it measures.
 * One thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "hostmany.h"

/* Names are taken in steps of this prime: all of them, in no order. */
#define NAME_STEP 7919

#define IN_ROOM 40000
#define EVENTS_MAX 128
#define REPLY_US 10000000 /* a reply that takes longer has failed */
#define OPEN_BATCH 16	  /* connections that are opened at a time */

enum state
{
	CONNECTING = 0,
	SHAKING,
	OPEN, /* nothing outstanding */
	ASKED,
	ENDED
};

struct conn
{
	int fd;
	SSL *ssl; /* NULL = plain */
	enum state state;
	int64_t due;  /* when the request was to be sent; latency counts from it */
	int64_t owed; /* paced: was due before the last reply came; 0 = not */
	size_t in_n;
	char *in; /* IN_ROOM, owned */
};

struct bench_set
{
	int epoll_fd;
	int n;
	const struct bench_load *load;
	char *request; /* owned */
	size_t request_n;
	bool cycle; /* each connection ends after its reply and a new one begins */
	bool opening; /* stop at OPEN */
	int64_t stop_at;
	int live;	/* connections that are not ENDED */
	long begun; /* connections */
	struct bench_done *done;
	struct conn conns[];
};

static SSL_CTX *contexts[2]; /* TLS 1.2, TLS 1.3 */

int64_t bench_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

/* One suite and one group: what is agreed on is the same for all. */
bool bench_client_init(void)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	SSL_CTX *ctx;
	int i;

	for(i = 0; i < 2; i++) {
		ctx = contexts[i] = SSL_CTX_new(TLS_client_method());
		if(ctx == NULL || SSL_CTX_set_min_proto_version(ctx, versions[i]) != 1
				|| SSL_CTX_set_max_proto_version(ctx, versions[i]) != 1
				|| SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:"
												"ECDHE-RSA-AES128-GCM-SHA256")
						   != 1
				|| SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1
				|| SSL_CTX_set1_groups_list(ctx, "X25519:P-256") != 1) {
			ERR_print_errors_fp(stderr);
			return false;
		}
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_read_ahead(ctx, 1);
	}
	return true;
}

/* A request of about BYTES bytes; the reply repeats its body. */
static char *make_request(const struct bench_load *load, size_t *n)
{
	static const char head[] =
			"MESSAGE sip:b@127.0.0.1:%d SIP/2.0\r\n"
			"Via: SIP/2.0/%s 127.0.0.1:5099;branch=z9hG4bK7d1f8a\r\n"
			"From: <sip:a@example.org>;tag=1\r\n"
			"To: <sip:b@example.org>\r\n"
			"Call-ID: 74bf1e8ca2@127.0.0.1\r\n"
			"CSeq: 1 MESSAGE\r\n"
			"Max-Forwards: 70\r\n"
			"Content-Type: text/plain\r\n"
			"Content-Length: %05d\r\n\r\n";
	const char *transport = load->tls ? "TLS" : "TCP";
	char *text;
	int head_n = snprintf(NULL, 0, head, load->port, transport, 0);
	int body_n = load->bytes > head_n ? load->bytes - head_n : 1;

	if(load->ping) {
		*n = 4;
		text = strdup("\r\n\r\n");
	} else {
		*n = (size_t)(head_n + body_n);
		text = malloc(*n + 1);
	}
	if(text == NULL)
		abort();
	if(load->ping)
		return text;
	snprintf(text, (size_t)head_n + 1, head, load->port, transport, body_n);
	memset(text + head_n, 'x', (size_t)body_n);
	return text;
}

static void watch(
		struct bench_set *set, struct conn *c, uint32_t events, int op)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	if(epoll_ctl(set->epoll_fd, op, c->fd, &ev) != 0)
		abort();
}

/* ---- one connection ---- */

static void end_conn(struct bench_set *set, struct conn *c)
{
	if(c->state == ENDED)
		return;
	if(c->ssl) {
		SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	close(c->fd);
	c->fd = -1;
	c->state = ENDED;
	set->live--;
}

static void fail(struct bench_set *set, struct conn *c, const char *what)
{
	if(set->done->failed++ < 3 && !set->load->quiet)
		fprintf(stderr, "bench: port %d: %s (state %d)\n", set->load->port,
				what, c->state);
	ERR_clear_error();
	end_conn(set, c);
}

static void begin(struct bench_set *set, struct conn *c)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
			.sin_port = htons((uint16_t)set->load->port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if(c->fd < 0) {
		perror("bench: socket");
		abort();
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->state = CONNECTING;
	c->in_n = 0;
	c->due = bench_now_us();
	set->live++;
	set->begun++;
	watch(set, c, EPOLLOUT, EPOLL_CTL_ADD);
	if(connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) != 0
			&& errno != EINPROGRESS)
		fail(set, c, strerror(errno));
}

static bool blocked(struct conn *c, int rc)
{
	int e;

	if(!c->ssl)
		return rc < 0 && (errno == EAGAIN || errno == EINTR);
	e = SSL_get_error(c->ssl, rc);
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

/* The buffers of loopback hold more than a request: waiting here is rare. */
static void ask(struct bench_set *set, struct conn *c)
{
	struct pollfd pfd = {.fd = c->fd, .events = POLLOUT};
	size_t at = 0;
	int rc;

	c->state = ASKED;
	while(at < set->request_n) {
		rc = c->ssl ? SSL_write(
					 c->ssl, set->request + at, (int)(set->request_n - at))
					: (int)send(c->fd, set->request + at, set->request_n - at,
							MSG_NOSIGNAL);
		if(rc > 0) {
			at += (size_t)rc;
			continue;
		}
		if(!blocked(c, rc) || poll(&pfd, 1, 1000) != 1) {
			fail(set, c, "could not send");
			return;
		}
	}
}

static void note_cipher(struct bench_set *set, struct conn *c)
{
	struct bench_done *done = set->done;
	int group;

	if(done->cipher[0])
		return;
	if(!c->ssl) {
		snprintf(done->cipher, sizeof(done->cipher), "none");
		return;
	}
	group = (int)SSL_get_negotiated_group(c->ssl);
	snprintf(done->cipher, sizeof(done->cipher), "%s %s %s",
			SSL_get_version(c->ssl), SSL_get_cipher_name(c->ssl),
			group == NID_X25519 ? "X25519" : "another group");
}

static void opened(struct bench_set *set, struct conn *c)
{
	note_cipher(set, c);
	c->state = OPEN;
	watch(set, c, EPOLLIN, EPOLL_CTL_MOD);
	if(!set->opening)
		ask(set, c);
}

static void shake(struct bench_set *set, struct conn *c)
{
	int rc = SSL_do_handshake(c->ssl);

	if(rc == 1)
		opened(set, c);
	else if(!blocked(c, rc))
		fail(set, c, "handshake failed");
}

/* Asks for the next name. What follows the last one goes on in the next set. */
static bool ask_name(const struct bench_set *set, struct conn *c)
{
	static unsigned long next;
	char name[MANY_NAME_MAX];
	unsigned long names = (unsigned long)set->load->names;

	return names == 0
		   || SSL_set_tlsext_host_name(c->ssl,
					  many_name((int)(next++ * NAME_STEP % names), name))
					  == 1;
}

static void connected(struct bench_set *set, struct conn *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if(error) {
		fail(set, c, strerror(error));
		return;
	}
	if(!set->load->tls) {
		opened(set, c);
		return;
	}
	c->state = SHAKING;
	c->ssl = SSL_new(contexts[set->load->version == TLS1_3_VERSION]);
	if(c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || !ask_name(set, c))
		abort();
	SSL_set_connect_state(c->ssl);
	watch(set, c, EPOLLIN, EPOLL_CTL_MOD);
	shake(set, c);
}

/* Has the whole answer to a keep-alive come? As reply_complete. */
static int pong_complete(const struct conn *c)
{
	if(c->in_n < 2)
		return 0;
	return c->in_n == 2 && memcmp(c->in, "\r\n", 2) == 0 ? 1 : -1;
}

/* 1 = all of a reply of 200 is there, 0 = not yet, -1 = something else. */
static int reply_complete(const struct conn *c)
{
	const char *end;
	const char *length;

	if(c->in_n < 12)
		return 0;
	if(memcmp(c->in, "SIP/2.0 200 ", 12) != 0)
		return -1;
	end = memmem(c->in, c->in_n, "\r\n\r\n", 4);
	if(!end)
		return 0;
	length = memmem(c->in, (size_t)(end - c->in), "Content-Length:", 15);
	if(!length)
		return -1;
	return c->in_n >= (size_t)(end + 4 - c->in) + (size_t)atol(length + 15);
}

static void answered(struct bench_set *set, struct conn *c)
{
	struct bench_done *done = set->done;
	int64_t now = bench_now_us();

	done->count++;
	if(done->latency && done->n_latency < done->room_latency)
		done->latency[done->n_latency++] = (uint32_t)(now - c->due);
	c->in_n = 0;
	c->state = OPEN;
	if(set->cycle) {
		end_conn(set, c);
		if(now < set->stop_at
				&& (set->load->count == 0 || set->begun < set->load->count))
			begin(set, c);
	} else if(c->owed || (now < set->stop_at && set->load->rate == 0)) {
		c->due = c->owed ? c->owed : now;
		c->owed = 0;
		ask(set, c);
	}
}

static void take_input(struct bench_set *set, struct conn *c)
{
	int rc;
	int complete;

	for(;;) {
		rc = c->ssl ? SSL_read(
					 c->ssl, c->in + c->in_n, (int)(IN_ROOM - c->in_n))
					: (int)recv(c->fd, c->in + c->in_n, IN_ROOM - c->in_n, 0);
		if(rc <= 0) {
			if(!blocked(c, rc))
				fail(set, c, "connection ended");
			return;
		}
		c->in_n += (size_t)rc;
		complete = -1;
		if(c->state == ASKED)
			complete = set->load->ping ? pong_complete(c) : reply_complete(c);
		if(complete < 0) {
			fail(set, c, "wrong reply");
			return;
		}
		if(complete > 0) {
			answered(set, c);
			return;
		}
	}
}

/* ---- the loop ---- */

static void wait_events(struct bench_set *set, int ms)
{
	struct epoll_event evs[EVENTS_MAX];
	struct conn *c;
	int n = epoll_wait(set->epoll_fd, evs, EVENTS_MAX, ms);
	int i;

	for(i = 0; i < n; i++) {
		c = evs[i].data.ptr;
		if(c->state == CONNECTING)
			connected(set, c);
		else if(c->state == SHAKING)
			shake(set, c);
		else if(c->state != ENDED)
			take_input(set, c);
	}
}

static bool busy(const struct bench_set *set)
{
	int i;

	for(i = 0; i < set->n; i++)
		if(set->conns[i].state != ENDED && set->conns[i].state != OPEN)
			return true;
	return false;
}

/* What is still outstanding ends or has failed. */
static void finish(struct bench_set *set)
{
	int64_t give_up = bench_now_us() + REPLY_US;
	int i;

	while(busy(set) && bench_now_us() < give_up)
		wait_events(set, 10);
	for(i = 0; i < set->n; i++)
		if(set->conns[i].state != ENDED && set->conns[i].state != OPEN)
			fail(set, &set->conns[i], "no reply");
}

static struct bench_set *new_set(
		const struct bench_load *load, struct bench_done *done)
{
	struct bench_set *set =
			calloc(1, sizeof(*set) + (size_t)load->conns * sizeof(struct conn));
	int i;

	if(set == NULL)
		abort();
	set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	set->n = load->conns;
	set->load = load;
	set->done = done;
	set->request = make_request(load, &set->request_n);
	for(i = 0; i < set->n; i++) {
		set->conns[i].state = ENDED;
		set->conns[i].in = malloc(IN_ROOM);
		if(set->conns[i].in == NULL)
			abort();
	}
	return set;
}

void bench_client_close(struct bench_set *set)
{
	int i;

	if(set == NULL)
		return;
	for(i = 0; i < set->n; i++) {
		end_conn(set, &set->conns[i]);
		free(set->conns[i].in);
	}
	close(set->epoll_fd);
	free(set->request);
	free(set);
}

static void start_clock(
		struct bench_set *set, const struct bench_load *load, int64_t *from)
{
	*from = bench_now_us();
	set->stop_at = *from + load->ms * 1000LL;
}

void bench_client_handshakes(
		const struct bench_load *load, struct bench_done *done)
{
	struct bench_set *set = new_set(load, done);
	int64_t from;
	int i;

	set->cycle = true;
	start_clock(set, load, &from);
	for(i = 0; i < set->n; i++)
		begin(set, &set->conns[i]);
	while(bench_now_us() < set->stop_at && set->live > 0)
		wait_events(set, 10);
	finish(set);
	done->seconds = (double)(bench_now_us() - from) / 1e6;
	bench_client_close(set);
}

struct bench_set *bench_client_open(const struct bench_load *load)
{
	struct bench_done done = {0};
	struct bench_set *set = new_set(load, &done);
	int i;

	set->opening = true;
	for(i = 0; i < set->n; i++) {
		begin(set, &set->conns[i]);
		if(i % OPEN_BATCH == OPEN_BATCH - 1)
			finish(set);
	}
	finish(set);
	/* a server that puts something behind its handshake has sent it by now */
	wait_events(set, 0);
	set->opening = false;
	set->load = NULL;
	set->done = NULL;
	if(done.failed == 0)
		return set;
	bench_client_close(set);
	return NULL;
}

/* One connection after the other sends at its time. Where the last reply has
 * not come the request is owed and its latency counts from now on. Between
 * requests it polls, but sleeps for keep-alives, whose latency nobody asks. */
static void run_paced(struct bench_set *set, int64_t from)
{
	double step = 1e6 / set->load->rate;
	int64_t now = from;
	int64_t next = from;
	long sent = 0;
	struct conn *c;

	while(now < set->stop_at && set->live > 0) {
		while(next <= now && next < set->stop_at) {
			c = &set->conns[sent++ % set->n];
			if(c->state == OPEN) {
				c->due = next;
				ask(set, c);
			} else if(c->state == ASKED && !c->owed) {
				c->owed = next;
			}
			next = from + (int64_t)((double)sent * step);
		}
		wait_events(set, set->load->ping ? (int)((next - now) / 1000) + 1 : 0);
		now = bench_now_us();
	}
}

void bench_client_requests(struct bench_set *set, const struct bench_load *load,
		struct bench_done *done)
{
	int64_t from;
	int i;

	set->load = load;
	set->done = done;
	free(set->request);
	set->request = make_request(load, &set->request_n);
	for(i = 0; i < set->n; i++)
		if(set->conns[i].state == OPEN)
			note_cipher(set, &set->conns[i]);
	start_clock(set, load, &from);
	if(load->rate > 0) {
		run_paced(set, from);
	} else {
		for(i = 0; i < set->n; i++) {
			set->conns[i].due = from;
			if(set->conns[i].state == OPEN)
				ask(set, &set->conns[i]);
			if(load->ms == 0 && i % OPEN_BATCH == OPEN_BATCH - 1)
				finish(set);
		}
		while(bench_now_us() < set->stop_at && set->live > 0)
			wait_events(set, 10);
	}
	finish(set);
	done->seconds = (double)(bench_now_us() - from) / 1e6;
	set->load = NULL;
	set->done = NULL;
}
