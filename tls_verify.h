/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Verdict on the peer: which certificates are asked for, what of them is
 * checked (chain, pins, purpose, name, OCSP) and why the first check failed.
 * Keeps the policy of a profile with its OpenSSL context and the verdict with
 * the connection; knows no socket and logs nothing. Called by tls_ctx while a
 * context is built, by tls_conn under the connection's lock and by OpenSSL in
 * handshakes, in any process. */
#ifndef TLS_VERIFY_H
#define TLS_VERIFY_H

#include <stdbool.h>

#include "tls_err.h"
#include "tls_params.h"

struct evp_md_ctx_st;
struct ssl_ctx_st;
struct ssl_st;
struct x509_st;

/* What the checks found on one connection; embedded, all zero is fresh. */
struct tls_verify_state
{
	char *name;	 /* owned, shared memory; whom the peer has to be, or NULL */
	char *text;	 /* owned; sentence about the first failure, or NULL */
	long result; /* X509_V_... of the first failure, 0 = none */
	int depth;	 /* of that certificate; 0 is the peer's own */
};

/* Registers what contexts and connections find by index (hazard 8). Main
 * process, once, before the first fork. TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_verify_init(void) TLS_MUST_CHECK;

/* Applies the verification settings of PARAMS to CTX of a profile of ROLE,
 * which nobody else uses yet. TLS_RC_OK; TLS_RC_CONFIG with setting and reason:
 * an unknown word, a malformed name or pin, a check of a peer that is not
 * verified; TLS_RC_NOMEM. */
enum tls_rc tls_verify_setup(struct ssl_ctx_st *ctx, enum tls_role role,
		const struct tls_profile_params *params,
		struct tls_err *err) TLS_MUST_CHECK;

/* Adds to MD all of PARAMS that decides about a peer, with the contents of
 * the files that are named, so that a session which was made under another
 * policy can be told from its own (hazard 11). TLS_RC_OK; TLS_RC_CONFIG or
 * TLS_RC_NOMEM when a file could not be read. */
enum tls_rc tls_verify_digest(struct evp_md_ctx_st *md,
		const struct tls_profile_params *params,
		struct tls_err *err) TLS_MUST_CHECK;

/* Gives SSL, which began on another context, the mode, depth and callback of
 * CTX: nothing of the old policy stays. */
void tls_verify_move(struct ssl_st *ssl, const struct ssl_ctx_st *ctx);

/* Puts STATE (zeroed; borrowed until SSL is freed) in charge of SSL, a fresh
 * connection to NAME, the domain that was asked for (NULL = not known).
 * TLS_RC_OK; TLS_RC_CONFIG when the policy of a client wants a name and there
 * is none; TLS_RC_NOMEM. */
enum tls_rc tls_verify_begin(struct tls_verify_state *state, struct ssl_st *ssl,
		enum tls_role role, const char *name,
		struct tls_err *err) TLS_MUST_CHECK;

/* Puts the reason in front of ERR when the handshake of SSL failed because of
 * the peer's certificate. */
void tls_verify_explain(const struct tls_verify_state *state,
		const struct ssl_st *ssl, struct tls_err *err);

/* Does CERT speak for the name that was asked for on SSL, or for one of
 * peer_names? 1 yes, 0 no, -1 nobody said a name. Says nothing about its
 * chain. Profiles without verify_name are asked as if it was "sip". */
int tls_verify_name_ok(const struct ssl_st *ssl, const struct x509_st *cert);

/* The state that tls_verify_begin gave SSL, or NULL. */
const struct tls_verify_state *tls_verify_state(const struct ssl_st *ssl);

/* Frees what STATE owns and makes it all zero. */
void tls_verify_clear(struct tls_verify_state *state);

/* True when SSL lets every chain pass (optional_no_ca). */
bool tls_verify_is_lax(const struct ssl_st *ssl);

/* True when PARAMS ask the peer for a certificate. */
bool tls_verify_asks(const struct tls_profile_params *params);

/* True when PARAMS look at stapled OCSP responses. */
bool tls_verify_checks_status(const struct tls_profile_params *params);

/* True when PARAMS refuse peers without a certificate. */
bool tls_verify_requires(const struct tls_profile_params *params);

#endif
