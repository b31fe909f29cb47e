/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Randomness of a process; see tls_rand.h. */

#include "tls_rand.h"

#include <time.h>
#include <unistd.h>

#include "tls_ossl.h"

/* What makes this process different from all others, mixed into its seed. It
 * need not be secret (SP 800-90A: additional input). */
struct identity
{
	pid_t pid;
	struct timespec now;
};

static int reseed(EVP_RAND_CTX *generator, const struct identity *identity)
{
	return generator != NULL
		   && EVP_RAND_reseed(generator, 0, NULL, 0,
					  (const unsigned char *)identity, sizeof(*identity))
					  == 1;
}

enum tls_rc tls_rand_child(struct tls_err *err)
{
	struct identity identity = {0};
	unsigned char probe[32];

	tls_ossl_begin();
	if(!tls_ossl_generator_is_own())
		return tls_err_set(err, TLS_RC_TLS,
				"somebody replaced OpenSSL's random generator; remove the "
				"module that does it");
	identity.pid = getpid();
	clock_gettime(CLOCK_MONOTONIC, &identity.now);
	if(!reseed(RAND_get0_public(NULL), &identity)
			|| !reseed(RAND_get0_private(NULL), &identity)
			|| RAND_priv_bytes(probe, sizeof(probe)) != 1)
		return tls_ossl_fail(
				err, TLS_RC_TLS, "could not seed the random generator");
	OPENSSL_cleanse(probe, sizeof(probe));
	return TLS_RC_OK;
}
