/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Certificates that come again, kept once for all connections.
 * A server that we call is called again, so all connections to it share one
 * copy of its certificate; the most recent ones are found by their last byte,
 * which belongs to the signature. Copies lie in shared memory, never change,
 * and go with their last user. */
#ifndef TLS_DER_H
#define TLS_DER_H

#include <stddef.h>

#include "tls_err.h"

/* Largest certificate that is shared; a larger one is kept for its own
 * connection, so that what strangers send does not stay. */
#define TLS_DER_SHARED_MAX 8192

struct tls_der; /* in shared memory, private */

/* Makes the table of recent certificates. Main process, once, before fork,
 * after tls_locking_init. TLS_RC_OK, TLS_RC_NOMEM, TLS_RC_BUG when it exists.
 * Without it nothing is shared. */
enum tls_rc tls_der_init(void) TLS_MUST_CHECK;

/* Forgets the table and frees it; copies that have users stay. For tests. */
void tls_der_destroy(void);

/* A copy of the N > 0 bytes at BYTES, the same one as others have where it can
 * be found; give it back with tls_der_drop. NULL when memory is short. Any
 * process; takes TLS_LOCK_CERTS for a moment. */
struct tls_der *tls_der_share(const unsigned char *bytes, size_t n);

/* One user of *DER less; sets it to NULL, which is fine already. Any
 * process, no lock. */
void tls_der_drop(struct tls_der **der);

/* The bytes of DER, constant until it is dropped. */
const unsigned char *tls_der_bytes(const struct tls_der *der);

#endif
