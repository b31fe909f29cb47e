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

void tls_verify_setup(SSL_CTX *ctx, const struct tls_profile_params *params)
{
	int mode = SSL_VERIFY_NONE;
	SSL_verify_cb cb = NULL;

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
