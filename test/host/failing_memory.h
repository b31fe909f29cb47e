/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* When allocations of a running server fail: a file that failing_memory.c in
 * each of its processes and the test have mapped.
 * Decides nothing. Atomic, no lock. */
#ifndef TEST_FAILING_MEMORY_H
#define TEST_FAILING_MEMORY_H

#include <stdatomic.h>

/* Environment variable with the path of the file. */
#define FAILING_FILE "TLS_TEST_FAILING"

struct failing
{
	atomic_long left;	/* the so-many-th from now on fails; 0 = none */
	atomic_long every;	/* and then each so-many-th; 0 = that one only */
	atomic_long asked;	/* allocations so far */
	atomic_long failed; /* of these failed */
};

#endif
