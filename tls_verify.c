/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Verification policy of a profile; see tls_verify.h. */

#include "tls_verify.h"

#include "tls_ossl.h"

bool tls_verify_requires(const struct tls_profile_params *params)
{
	return params->require_certificate != 0
		   || params->verify_client == TLS_VERIFY_CLIENT_ON;
}

bool tls_verify_asks(const struct tls_profile_params *params)
{
	return tls_verify_requires(params) || params->verify_certificate != 0
		   || params->verify_client != TLS_VERIFY_CLIENT_OFF;
}

/* optional_no_ca: every chain passes the handshake; the verdict stays in the
 * verify result, where scripts see it. */
static int accept_all_cb(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

/* What OpenSSL does without a callback. Never NULL: SSL_set_verify keeps the
 * old callback when it is given NULL, so a connection that a server name moves
 * from an optional_no_ca profile to a strict one would stay lax. */
static int obey_cb(int ok, X509_STORE_CTX *store)
{
	(void)store;
	return ok;
}

void tls_verify_move(SSL *ssl, const SSL_CTX *ctx)
{
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx),
			SSL_CTX_get_verify_callback(ctx));
	SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx));
}

bool tls_verify_is_lax(const SSL *ssl)
{
	return SSL_get_verify_callback(ssl) == accept_all_cb;
}

void tls_verify_setup(SSL_CTX *ctx, const struct tls_profile_params *params)
{
	int mode = SSL_VERIFY_NONE;
	SSL_verify_cb cb = obey_cb;

	if(tls_verify_asks(params))
		mode = SSL_VERIFY_PEER;
	if(tls_verify_requires(params))
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	else if(params->verify_client == TLS_VERIFY_CLIENT_OPTIONAL_NO_CA
			&& !params->verify_certificate)
		cb = accept_all_cb;
	SSL_CTX_set_verify(ctx, mode, cb);
	SSL_CTX_set_verify_depth(ctx, params->verify_depth);
}
