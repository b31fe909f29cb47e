/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The TCP hooks: moves bytes between the host's buffers and the engine.
 * Takes no TLS decision and holds no policy; owns what hangs on a connection's
 * extra_data. Each hook says in which process and under which lock the host
 * calls it (core/tls_hooks.h). */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "tls_err.h"

struct tls_hooks;
struct tcp_connection;
struct sip_msg;
struct tls_conn;
struct tls_info;
struct tls_profile;

/* Ids of TLS connections: a range of their own, which the core's ids reach
 * only after as many connections. They start anew at its end. */
#define TLS_SERVER_FIRST_ID 0x40000000U
#define TLS_SERVER_IDS 0x40000000U

/* Makes the counter of connections. Main process, before the fork. OK or
 * NOMEM. */
enum tls_rc tls_server_init(void);

/* The server is stopping: from now on the hooks free nothing. Workers may have
 * been ended inside an allocation, so the heap in shared memory cannot be
 * trusted any more, and all of it goes with the server. Main process, before
 * the core destroys its connections. */
void tls_server_stop(void);

/* Ends the connection ID when its handshake, or its first byte, has not come
 * yet. True when TCP is still connecting: to be asked again. Timer process. */
bool tls_server_expire(int id);

/* Fills HOOKS with the functions of this file; other members are left. */
void tls_server_hooks(struct tls_hooks *hooks);

/* The next connection that this process opens for the message at hand uses the
 * client profile with the server_id ID of N bytes, unless the xavp says
 * otherwise. False when ID is too long or has a NUL byte. */
bool tls_server_wish_id(const char *id, size_t n);

/* The peer of the next connection that this process opens for the message at
 * hand has to be NAME of N bytes (verify_name), whatever the xavp says; 0 bytes
 * take it back. False when NAME is too long or has a NUL byte. The second
 * tells the name, NULL when there is none for this message. */
bool tls_server_wish_peer(const char *name, size_t n);
const char *tls_server_wished_peer(void);

/* Has the host tell when a script is through with a message: wishes end with
 * it. Main process, once, while modules are initialised. TLS_RC_OK or
 * TLS_RC_NOMEM. */
enum tls_rc tls_server_watch_scripts(struct tls_err *err) TLS_MUST_CHECK;

/* ---- questions of scripts and RPCs, any process ---- */

/* The connection that MSG came in on, or, in an event route of the module,
 * the one that it is about; with one more reference, for tls_server_put. NULL
 * when it is not TLS (or WSS) or gone. */
struct tcp_connection *tls_server_get(struct sip_msg *msg);

/* Drops the reference of tls_server_get; NULL is fine. */
void tls_server_put(struct tcp_connection *c);

/* Has tcp main end C and takes over the caller's reference. True; false when
 * this process has no way to tell tcp main: C is then only marked bad, so
 * that nobody sends on it and its timer ends it. */
bool tls_server_kill(struct tcp_connection *c);

/* When C was made, or its session on hosts that do not keep it; 0 = unknown.
 * Under C's write_lock. */
time_t tls_server_created(const struct tcp_connection *c);

/* Facts of the handshake, NULL before it is complete. Borrowed while the
 * caller holds its reference on C. */
const struct tls_info *tls_server_info(struct tcp_connection *c);

/* DER of our own certificate on C and its length; NULL and 0 when there is
 * none. Borrowed as above. */
const unsigned char *tls_server_my_certificate(
		struct tcp_connection *c, size_t *n_out);

/* The engine and the profile of C, NULL before the first byte. Borrowed as
 * above; questions to the engine need C's write_lock. */
struct tls_conn *tls_server_conn(struct tcp_connection *c);
const struct tls_profile *tls_server_profile(struct tcp_connection *c);

#endif
