/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What a load wants to know of a profile's own certificate, read without an
 * object of it: the library would search all its decoders for one that makes
 * the public key, which costs three times as much as all the rest.
 * Keeps nothing and judges nothing. Used by tls_files in the process that
 * loads, no lock. */
#ifndef TLS_LEAF_H
#define TLS_LEAF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_leaf
{
	int64_t not_after;	 /* s since 1970 */
	int signature_bits;	 /* what its signature is worth; 0: self-issued, so
							nobody looks at it */
	int type;			 /* of the key: EVP_PKEY_RSA, EVP_PKEY_EC */
	unsigned char *spki; /* owned; SubjectPublicKeyInfo (RFC 5280 s4.1), not
							looked into: decoding it shows whether it is good */
	size_t n_spki;
};

/* Reads the certificate of N bytes at DER into *OUT, to be given back with
 * tls_leaf_clear. False, and *OUT empty: it is no certificate in DER form, or
 * one with something unusual about it (another kind of key, a signature with
 * parameters or a digest other than SHA-2, bytes behind it), or memory is
 * short; then d2i_X509 has to look. Leaves no errors in the queue. */
bool tls_leaf_read(const unsigned char *der, size_t n, struct tls_leaf *out);

/* Gives back what LEAF owns and empties it; an empty one is fine. */
void tls_leaf_clear(struct tls_leaf *leaf);

#endif
