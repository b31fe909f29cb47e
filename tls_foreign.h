/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Private keys that are not ours to read: those of providers ("/uri:...") and
 * of an engine ("/engine:..."), tokens and other hardware for one.
 * Knows no file of a certificate and no context.
 * What opens them (a library context with its providers, an engine) is of one
 * process, since a session with a token does not survive a fork, and so are
 * the objects: their functions are those of a library that others may have at
 * another address. Other processes may hold references and drop them, so the
 * process that made an object never drops the last one. No lock. */
#ifndef TLS_FOREIGN_H
#define TLS_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

struct evp_pkey_st;
struct x509_st;

/* What opens keys. All borrowed for ever; NULL = not set. */
struct tls_foreign_args
{
	const char *providers; /* OpenSSL's configuration; NULL: the system's */
	const char *engine;
	const char *engine_config;
};

/* Takes ARGS for all processes to come. Loads what they name once, so that its
 * libraries have the same address in all of them, and ends it again. TLS_RC_OK
 * or TLS_RC_CONFIG with the sentence. Main process, before the first fork. */
enum tls_rc tls_foreign_init(const struct tls_foreign_args *args,
		struct tls_err *err) TLS_MUST_CHECK;

/* The public part of the key NAME in *OUT, owned by the caller. A process of
 * its own opens the key and ends: a load must not find a PIN right because an
 * earlier one was, and the main process must have no session to be inherited
 * (nor the exit handlers of a token's library). Takes at most 30 s. TLS_RC_OK;
 * TLS_RC_CONFIG with a sentence in ERR. Process that loads. */
enum tls_rc tls_foreign_look(const char *name, struct evp_pkey_st **out,
		struct tls_err *err) TLS_MUST_CHECK;

/* The objects of the calling process for the key NAME and the certificate of N
 * bytes at DER, borrowed for ever. Both are its own: comparing them leaves
 * traces of the provider in the certificate. TLS_RC_OK; TLS_RC_CONFIG with a
 * sentence in ERR; TLS_RC_NOMEM. Nothing of it ends before the process does:
 * one key and certificate for each renewal. */
enum tls_rc tls_foreign_use(const char *name, const unsigned char *der,
		size_t n, struct evp_pkey_st **key, struct x509_st **cert,
		struct tls_err *err) TLS_MUST_CHECK;

#endif
