/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Memory BIO over two byte windows that a caller lends for one engine step.
 * Does no I/O and allocates nothing per call; it knows no connection and no
 * lock. Used by tls_conn only, with the connection's lock held; it remembers
 * why it said no, so that nobody has to look at errno. */
#ifndef TLS_BIO_H
#define TLS_BIO_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

struct bio_st; /* OpenSSL's BIO; this header stays free of its includes */

/* The last answer that the BIO gave OpenSSL. */
enum tls_bio_said
{
	TLS_BIO_SAID_NONE = 0, /* it did what was asked */
	TLS_BIO_SAID_EMPTY,	   /* the read window has no more bytes */
	TLS_BIO_SAID_FULL	   /* the write window has no more room */
};

/* State of one BIO; embedded in the connection (shared memory). The windows
 * are borrowed from lend to unlend and are private memory of the process that
 * runs the step. */
struct tls_bio
{
	unsigned int magic; /* TLS_BIO_MAGIC while in use */
	enum tls_bio_said said;
	const unsigned char *rd; /* borrowed */
	size_t rd_size;
	size_t rd_used;	   /* bytes that OpenSSL took */
	unsigned char *wr; /* borrowed */
	size_t wr_size;
	size_t wr_used; /* bytes that OpenSSL produced */
};

#define TLS_BIO_MAGIC 0x74626930U /* "tbi0" */

/* Makes the BIO method. Main process, once, before the first fork, so that
 * its type index and its address are the same everywhere (hazard 8).
 * TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_bio_init(void) TLS_MUST_CHECK;

/* Initialises STATE and makes a BIO over it in *OUT (owned by the caller until
 * it is given to an SSL object; STATE must outlive it). TLS_RC_OK or
 * TLS_RC_NOMEM. Any process. */
enum tls_rc tls_bio_new(
		struct tls_bio *state, struct bio_st **out) TLS_MUST_CHECK;

/* Lends a read window of N_RD bytes (RD may be NULL when 0) and a write window
 * of N_WR bytes until tls_bio_unlend. Counters start at 0. */
void tls_bio_lend(struct tls_bio *state, const unsigned char *rd, size_t n_rd,
		unsigned char *wr, size_t n_wr);

/* Takes both windows back and sets the counters to 0: read them before. */
void tls_bio_unlend(struct tls_bio *state);

/* Bytes of the read window that OpenSSL has not taken. */
size_t tls_bio_unread(const struct tls_bio *state);

/* Invariants: magic, counters within the windows. */
bool tls_bio_is_valid(const struct tls_bio *state);

#endif
