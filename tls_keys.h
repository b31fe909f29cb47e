/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Private keys and the objects that processes make of them: every process has
 * its own (hazard 4), of each key at most one, and at most so many at a time.
 * Knows no certificate and no file.
 * Keys are made by the process that loads and live in shared memory; objects
 * are made by the process that uses them, when it does. */
#ifndef TLS_KEYS_H
#define TLS_KEYS_H

#include <stddef.h>

#include "tls_err.h"

struct evp_pkey_st;
struct tls_keys;
struct tls_key;

/* Objects that one process keeps, of all keys: what thousands of profiles cost
 * is bounded, and who serves fewer names makes each object only once. */
#define TLS_KEYS_PER_PROCESS 512

/* A new, empty set of objects in *OUT, with one reference for the caller.
 * TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_keys_new(struct tls_keys **out) TLS_MUST_CHECK;

/* Takes one more reference and returns KEYS. */
struct tls_keys *tls_keys_ref(struct tls_keys *keys);

/* Drops the caller's reference and sets *KEYS to NULL; NULL is fine. */
void tls_keys_unref(struct tls_keys **keys);

/* Number of processes that have a place in KEYS. */
unsigned int tls_keys_processes(const struct tls_keys *keys);

/* Objects that process INDEX keeps now, for tests. */
unsigned int tls_keys_count(const struct tls_keys *keys, unsigned int index);

/* A private key of the OpenSSL type TYPE in *OUT, owned by the caller, its
 * objects in KEYS, on which it holds a reference. Either DER of N bytes (PKCS
 * #8 or the form of the type) is what objects are made of, or the key is the
 * foreign one NAME. Both are copied, DER is wiped at the end. TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_key_new(struct tls_keys *keys, int type,
		const unsigned char *der, size_t n, const char *name,
		struct tls_key **out) TLS_MUST_CHECK;

/* Ends *KEY with all its objects and sets it to NULL; NULL is fine. Any
 * process; takes the lock of its set, so under no lock of tls_locking. */
void tls_key_free(struct tls_key **key);

/* The set of KEY, borrowed. */
struct tls_keys *tls_key_set(const struct tls_key *key);

/* The name of a key that tls_foreign opens, borrowed; NULL: KEY is our own. */
const char *tls_key_foreign(const struct tls_key *key);

/* The object of the calling process in *OUT, borrowed until it calls again.
 * TLS_RC_OK; TLS_RC_BUG in a process that the host did not announce, and for
 * a foreign key; TLS_RC_NOMEM. */
enum tls_rc tls_key_use(struct tls_key *key, struct evp_pkey_st **out,
		struct tls_err *err) TLS_MUST_CHECK;

#endif
