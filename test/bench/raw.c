/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The floor: what OpenSSL alone takes for the server's side of a connection
 * and of a message, over memory BIOs, without a socket or a process.
 * Only the server's calls are timed, with the thread's CPU clock.
 * One thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define BATCH 16 /* records between two looks at the clock */
#define REQUEST 400
#define RECORD_ROOM 40000

/* Both sides of one connection. */
struct raw_pair
{
	SSL *server;
	SSL *client;
	BIO *to_server; /* owned by server */
	BIO *to_client; /* owned by client */
};

static SSL_CTX *server_ctx;
static SSL_CTX *client_ctx;
static char bytes_of[RECORD_ROOM];

static double cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

bool bench_raw_init(const char *cert, const char *key)
{
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	server_ctx = SSL_CTX_new(TLS_server_method());
	client_ctx = SSL_CTX_new(TLS_client_method());
	memset(bytes_of, 'x', sizeof(bytes_of));
	if(server_ctx && client_ctx
			&& SSL_CTX_use_certificate_chain_file(server_ctx, cert) == 1
			&& SSL_CTX_use_PrivateKey_file(server_ctx, key, SSL_FILETYPE_PEM)
					   == 1
			&& SSL_CTX_set_cipher_list(client_ctx,
					   "ECDHE-ECDSA-AES128-GCM-SHA256:"
					   "ECDHE-RSA-AES128-GCM-SHA256")
					   == 1
			&& SSL_CTX_set_ciphersuites(client_ctx, "TLS_AES_128_GCM_SHA256")
					   == 1
			&& SSL_CTX_set1_groups_list(client_ctx, "X25519:P-256") == 1) {
		SSL_CTX_set_session_cache_mode(server_ctx, SSL_SESS_CACHE_OFF);
		return true;
	}
	ERR_print_errors_fp(stderr);
	return false;
}

static void raw_free(struct raw_pair *pair)
{
	SSL_free(pair->server);
	SSL_free(pair->client);
	memset(pair, 0, sizeof(*pair));
}

/* The client side, not timed. */
static bool client_new(struct raw_pair *pair, int version)
{
	pair->client = SSL_new(client_ctx);
	pair->to_server = BIO_new(BIO_s_mem());
	pair->to_client = BIO_new(BIO_s_mem());
	if(!pair->client || !pair->to_server || !pair->to_client)
		return false;
	SSL_set_min_proto_version(pair->client, version);
	SSL_set_max_proto_version(pair->client, version);
	BIO_up_ref(pair->to_server);
	BIO_up_ref(pair->to_client);
	SSL_set_bio(pair->client, pair->to_client, pair->to_server);
	SSL_set_connect_state(pair->client);
	return true;
}

static bool read_all(SSL *ssl, int bytes)
{
	static char in[RECORD_ROOM];
	int rc;

	while(bytes > 0) {
		rc = SSL_read(ssl, in, bytes < RECORD_ROOM ? bytes : RECORD_ROOM);
		if(rc <= 0)
			return false;
		bytes -= rc;
	}
	return true;
}

/* ---- the server side: what is timed, and what count.c counts by its name --
 * never inline, or there would be no name */

static __attribute__((noinline)) bool serve_new(struct raw_pair *pair)
{
	pair->server = SSL_new(server_ctx);
	if(!pair->server)
		return false;
	SSL_set_bio(pair->server, pair->to_server, pair->to_client);
	SSL_set_accept_state(pair->server);
	return true;
}

static __attribute__((noinline)) bool serve_shake(struct raw_pair *pair)
{
	return SSL_do_handshake(pair->server) == 1;
}

static __attribute__((noinline)) bool serve_requests(
		struct raw_pair *pair, int n, int bytes)
{
	bool ok = true;
	int i;

	for(i = 0; i < n && ok; i++)
		ok = read_all(pair->server, bytes)
			 && SSL_write(pair->server, bytes_of, bytes) == bytes;
	return ok;
}

static __attribute__((noinline)) void serve_end(struct raw_pair *pair)
{
	SSL_shutdown(pair->server);
	SSL_free(pair->server);
	pair->server = NULL;
}

/* ---- both sides ---- */

/* Handshake to its end on both sides. *SPENT grows by the server's time. */
static bool shake(struct raw_pair *pair, double *spent)
{
	double from = cpu_us();
	int turns = 0;
	int done = 0;

	if(!serve_new(pair))
		return false;
	*spent += cpu_us() - from;
	while(done != 3 && turns++ < 10) {
		if(SSL_do_handshake(pair->client) == 1)
			done |= 1;
		from = cpu_us();
		if(serve_shake(pair))
			done |= 2;
		*spent += cpu_us() - from;
	}
	ERR_clear_error();
	return done == 3;
}

/* N requests and N replies of BYTES. */
static bool exchange(struct raw_pair *pair, int n, int bytes, double *spent)
{
	double from;
	bool ok = true;
	int i;

	for(i = 0; i < n; i++)
		ok = ok && SSL_write(pair->client, bytes_of, bytes) == bytes;
	from = cpu_us();
	ok = ok && serve_requests(pair, n, bytes);
	*spent += cpu_us() - from;
	return ok && read_all(pair->client, n * bytes);
}

void bench_raw_handshakes(int version, int ms, struct bench_raw *raw)
{
	struct raw_pair pair = {0};
	int64_t end = bench_now_us() + ms * 1000LL;
	double spent = 0;
	double from;
	long n = 0;
	bool ok = true;

	while(ok && bench_now_us() < end && (raw->limit == 0 || n < raw->limit)) {
		ok = client_new(&pair, version) && shake(&pair, &spent)
			 && exchange(&pair, 1, REQUEST, &spent);
		SSL_shutdown(pair.client);
		from = cpu_us();
		serve_end(&pair);
		spent += cpu_us() - from;
		raw_free(&pair);
		n++;
	}
	ERR_clear_error();
	raw->us += ok ? spent : 0;
	raw->count += ok ? n : 0;
}

void bench_raw_messages(int version, int bytes, int ms, struct bench_raw *raw)
{
	struct raw_pair pair = {0};
	double spent = 0;
	long n = 0;
	int64_t end = bench_now_us() + ms * 1000LL;
	bool ok = client_new(&pair, version) && shake(&pair, &spent)
			  && exchange(&pair, BATCH, bytes, &spent);

	spent = 0;
	while(ok && bench_now_us() < end && (raw->limit == 0 || n < raw->limit)) {
		ok = exchange(&pair, BATCH, bytes, &spent);
		n += BATCH;
	}
	raw_free(&pair);
	ERR_clear_error();
	raw->us += ok ? spent : 0;
	raw->count += ok ? n : 0;
}
