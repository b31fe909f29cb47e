/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Fuzz target of the engine in the server's role: the first byte chooses the
 * setting, the second the length of the chops, the rest are the peer's bytes.
 * After each step the engine must be valid, its output bounded and OpenSSL's
 * error queue empty; at the end nothing may be left behind. Holds no main:
 * libFuzzer or the replay program calls it, in one process. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/engine_pair.h"
#include "../lib/port_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_CONTEXTS 4

static void check(bool good)
{
	if(!good)
		abort();
}

/* TLS 1.2 or any version, asking for a client certificate or not. */
static struct tls_ctx *context(unsigned int choice)
{
	static struct tls_ctx *ctx[N_CONTEXTS];
	struct engine_profile profile;
	struct tls_err err;
	unsigned int i;

	engine_init();
	for(i = 0; i < N_CONTEXTS && ctx[i] == NULL; i++) {
		engine_profile_init(&profile, TLS_ROLE_SERVER, i & 1 ? "rsa" : "ec");
		if(i & 2)
			engine_profile_version(&profile, TLS_VERSION_1_2);
		profile.params.verify_client = i & 1 ? TLS_VERIFY_CLIENT_OPTIONAL_NO_CA
											 : TLS_VERIFY_CLIENT_OFF;
		profile.settings.renegotiation = i == 3;
		check(engine_ctx(&ctx[i], &profile, &err) == TLS_RC_OK);
	}
	return ctx[choice % N_CONTEXTS];
}

/* Feeds all of DATA; the peer never sees what comes back. */
static void feed(struct tls_conn *conn, const uint8_t *data, size_t size,
		size_t chop, size_t out_size)
{
	unsigned char *out = malloc(out_size), *clear = malloc(100);
	struct tls_err err;
	enum tls_rc rc = TLS_RC_OK;
	size_t n, total = 0;

	while(size > 0 && (rc == TLS_RC_OK || rc == TLS_RC_AGAIN)) {
		struct tls_conn_io io = {0};

		n = size < chop ? size : chop;
		io.in = malloc(n);
		memcpy((void *)(uintptr_t)io.in, data, n);
		io.n_in = n;
		io.out = out;
		io.out_size = out_size;
		io.clear = clear;
		io.clear_size = 100;
		rc = tls_conn_read(conn, &io, &err);
		total += io.n_out;
		check(rc != TLS_RC_BUG && rc != TLS_RC_NOMEM);
		check(io.n_out <= out_size && io.n_clear <= 100);
		check(tls_conn_is_valid(conn));
		check(ERR_peek_error() == 0);
		free((void *)(uintptr_t)io.in);
		data += n;
		size -= n;
	}
	/* a few flights and alerts, whatever came in */
	check(total <= 65536);
	free(out);
	free(clear);
}

#define LEAK_RUNS 256u
#define CACHE_MAX 200u

/* Looks every LEAK_RUNS runs how much is left: caches of the library may grow
 * now and then, a connection that leaks does so every time. */
static void check_leaks(void)
{
	static unsigned int runs;
	static size_t base;
	size_t live;

	if(runs++ % LEAK_RUNS != 0)
		return;
	tls_ossl_thread_stop();
	live = engine_live_blocks();
	check(base == 0 || live < base + CACHE_MAX);
	/* the first batch makes what the library keeps for good */
	base = runs > 1 ? live : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_conn_args args = {.role = TLS_ROLE_SERVER};
	struct tls_conn *conn;
	struct tls_err err;

	if(size < 3)
		return 0;
	args.ctx = context(data[0]);
	args.own_records = (data[0] & 4) != 0;
	check_leaks();
	check(tls_conn_new(&conn, &args, &err) == TLS_RC_OK);
	feed(conn, data + 2, size - 2, 1 + (size_t)data[1] * 8,
			data[0] & 8 ? 7 : 16384);
	tls_conn_free(&conn);
	return 0;
}
