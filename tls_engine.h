/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Keys of an OpenSSL engine: the one room that calls the deprecated interface.
 * Knows no profile, no certificate and no process but the one it runs in;
 * tls_foreign decides when it is opened and closed.
 * Engines are never put into OpenSSL's list nor made the default of anything:
 * list and tables lie in memory that all processes share, an engine's
 * functions do not. One process each, no lock. */
#ifndef TLS_ENGINE_H
#define TLS_ENGINE_H

#include "tls_err.h"

struct evp_pkey_st;
struct tls_engine;

/* Loads the engine ID in the calling process into *OUT, owned by the caller,
 * with the commands that the file CONFIG (NULL: none) has for it. TLS_RC_OK;
 * TLS_RC_CONFIG with a sentence in ERR, also when this library has no engines;
 * TLS_RC_NOMEM. */
enum tls_rc tls_engine_open(const char *id, const char *config,
		struct tls_engine **out, struct tls_err *err) TLS_MUST_CHECK;

/* Ends *ENGINE in the process that opened it and sets it to NULL; NULL is
 * fine. None of its keys may be left. */
void tls_engine_close(struct tls_engine **engine);

/* The key that ENGINE has under LABEL, owned by the caller; NULL: none, with
 * the reasons in OpenSSL's queue. Nobody is asked for a PIN. */
struct evp_pkey_st *tls_engine_key(
		struct tls_engine *engine, const char *label);

#endif
