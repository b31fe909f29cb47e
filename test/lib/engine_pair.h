/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Two ends of a TLS connection joined in memory: each is an engine (tls_conn)
 * or a plain SSL object. Moves the wire in chops through windows of chosen
 * size, changes the process between steps when asked to, and looks after
 * every step whether the engine kept its promises. Knows no test framework:
 * the tests look at "broken". One process, or under the test's own lock. */
#ifndef TEST_ENGINE_PAIR_H
#define TEST_ENGINE_PAIR_H

#include <stdbool.h>
#include <stddef.h>

#include "../../tls_conn.h"
#include "../../tls_ctx.h"
#include "../../tls_ossl.h"

#define ENGINE_SERVER 0
#define ENGINE_CLIENT 1

/* Takes the library and the clear-text total into service, once for a
 * program; makes the keys (pki). Ends the process when that fails. */
void engine_init(void);

/* Blocks in use by all that lives longer than a thread's state in OpenSSL and
 * this process's cache of blocks (tls_mem), which are dropped for the count:
 * what to compare before and after something that must leave nothing. */
size_t engine_live_blocks(void);

/* Lets the K-th following allocation fail, also when tls_mem, whose cache is
 * emptied first, tries a second time. 0 = none. */
void engine_fail_at(unsigned long k);

/* What engine_pair_init sets own_records to; false at the start. Turned by the
 * tests that run everything twice. */
extern bool engine_own_records;

/* ---- profiles ---- */

/* A profile for tests: only literals and paths of pki inside, so there is
 * nothing to clear. Change members before engine_ctx. */
struct engine_profile
{
	enum tls_role role;
	const char *label;
	struct tls_profile_params params;
	struct tls_settings settings;
};

/* A profile for ROLE with certificate and key NAME of pki (NULL = none). */
void engine_profile_init(
		struct engine_profile *profile, enum tls_role role, const char *name);

/* Only the protocol VERSION. */
void engine_profile_version(
		struct engine_profile *profile, enum tls_version version);

/* What tls_ctx_new says. */
enum tls_rc engine_ctx(struct tls_ctx **out,
		const struct engine_profile *profile, struct tls_err *err);

/* ---- bytes ---- */

struct engine_bytes
{
	unsigned char *p;
	size_t n;
	size_t size;
};

void engine_bytes_add(struct engine_bytes *bytes, const void *p, size_t n);
void engine_bytes_drop(struct engine_bytes *bytes, size_t n);
void engine_bytes_clear(struct engine_bytes *bytes);

/* ---- the pair ---- */

struct engine_pair
{
	struct tls_conn *conn[2];	 /* owned; NULL: that end is raw */
	SSL *raw[2];				 /* owned; NULL: that end is an engine */
	struct engine_bytes wire[2]; /* on the way TO that end */
	struct engine_bytes got[2];	 /* clear text that came out at that end */
	enum tls_rc rc[2];			 /* of the last engine step */
	struct tls_err err[2];		 /* first failure of that end */
	int raw_alert[2];			 /* last alert a raw end received, or -1 */
	bool raw_closed[2];			 /* a raw end got close_notify */
	size_t out_size;			 /* window sizes and chop of every step */
	size_t clear_size;
	size_t chop;
	bool own_records;		/* as in tls_conn_args, for engines made later */
	unsigned int processes; /* > 1: another process index for each step */
	unsigned long steps;
	const char *broken; /* NULL, or the promise that was not kept */
};

/* An empty pair with typical windows (64 KB out, 16 KB clear, no chops). */
void engine_pair_init(struct engine_pair *pair);

/* Puts an engine at END. What tls_conn_new says. */
enum tls_rc engine_pair_engine(struct engine_pair *pair, int end,
		struct tls_ctx *ctx, const char *server_name, struct tls_err *err);

/* Puts a plain SSL object of CTX (borrowed) at END. */
void engine_pair_raw(struct engine_pair *pair, int end, SSL_CTX *ctx);

/* A plain context for raw ends, with certificate NAME (NULL = none); the
 * caller frees it. */
SSL_CTX *engine_raw_ctx(int end, const char *name);

/* One step of END with at most CHOP bytes of its wire: an engine is stepped
 * until it neither lacks a write window nor has anything pending. Returns
 * true when anything moved. */
bool engine_pair_step(struct engine_pair *pair, int end);

/* Steps the engine at END without input as long as it says to be pending. */
void engine_pair_step_pending(struct engine_pair *pair, int end);

/* Steps both ends until nothing moves any more. */
void engine_pair_run(struct engine_pair *pair);

/* Writes N bytes at END, in as many steps as the windows need; queue limits
 * are generous. Returns the last result of the engine (raw: OK or TLS). */
enum tls_rc engine_pair_write(
		struct engine_pair *pair, int end, const void *data, size_t n);

/* Runs the handshake. True when both ends are done and nothing is broken. */
bool engine_pair_handshake(struct engine_pair *pair);

/* True when END has finished its handshake and lives. */
bool engine_pair_is_up(const struct engine_pair *pair, int end);

/* Frees both ends and all bytes. */
void engine_pair_clear(struct engine_pair *pair);

#endif
