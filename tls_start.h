/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Taking OpenSSL into service, as the adapter sees it: no OpenSSL type here.
 * Owns the warm-up: one handshake in memory before the server forks, so that
 * every object that OpenSSL makes lazily (methods, tables, locks) exists once
 * and at the same address in all processes (hazard 8). Main process, before
 * the first fork. */
#ifndef TLS_START_H
#define TLS_START_H

#include <stdbool.h>

#include "tls_err.h"

/* tls_ossl_init() and the warm-up: a TLS 1.2 and a TLS 1.3 handshake with a
 * throw-away certificate and a few bytes each way. Returns what tls_ossl_init
 * says, or TLS_RC_TLS when this library fails its first handshake: nothing
 * else would work either. */
enum tls_rc tls_start_library(struct tls_err *err) TLS_MUST_CHECK;

/* Last look before the server forks: library version (FORCE lets a mismatch
 * pass with a warning) and locks that work between processes. TLS_RC_OK or
 * TLS_RC_CONFIG with the remedy in ERR. */
enum tls_rc tls_start_check(bool force, struct tls_err *err) TLS_MUST_CHECK;

#endif
