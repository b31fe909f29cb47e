/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Verdict on the peer: which certificates are asked for and what a failed
 * check means, as OpenSSL verify mode and callback of a context.
 * Knows no connection and logs nothing. Called by tls_ctx while a context is
 * built and by OpenSSL in handshakes, in any process. */
#ifndef TLS_VERIFY_H
#define TLS_VERIFY_H

#include <stdbool.h>

#include "tls_params.h"

struct ssl_ctx_st;
struct ssl_st;

/* Applies the verification settings of PARAMS to CTX, which nobody else uses
 * yet: mode, depth, callback. */
void tls_verify_setup(
		struct ssl_ctx_st *ctx, const struct tls_profile_params *params);

/* Gives SSL, which began on another context, the mode, depth and callback of
 * CTX: nothing of the old policy stays. */
void tls_verify_move(struct ssl_st *ssl, const struct ssl_ctx_st *ctx);

/* True when SSL lets every chain pass (optional_no_ca). */
bool tls_verify_is_lax(const struct ssl_st *ssl);

/* True when PARAMS ask the peer for a certificate. */
bool tls_verify_asks(const struct tls_profile_params *params);

/* True when PARAMS refuse peers without a certificate. */
bool tls_verify_requires(const struct tls_profile_params *params);

#endif
