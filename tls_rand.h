/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Source of randomness of each process: the library's own generator.
 * Owns the rule that no setting makes it weaker; keeps no state. Called once
 * in each process after its fork. */
#ifndef TLS_RAND_H
#define TLS_RAND_H

#include "tls_err.h"

/* Makes the generators of the calling process its own (hazard 5): they are
 * created anew after the fork and reseeded from the operating system with the
 * process's identity as additional input. TLS_RC_OK; TLS_RC_TLS when the
 * generator does not work or somebody replaced it: the process must not go
 * on (fail closed). Every process, after its fork, before TLS is used. */
enum tls_rc tls_rand_child(struct tls_err *err) TLS_MUST_CHECK;

#endif
