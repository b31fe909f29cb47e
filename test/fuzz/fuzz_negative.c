/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The fuzz target that MUST fail: a reader of records as a beginner writes
 * it, which believes the peer's length. If a run of it ends well, then the
 * harness (sanitizers, stub, corpus) finds nothing in the other targets
 * either. Holds no main; of no other use. */
#include <stdint.h>
#include <string.h>

#include "../lib/port_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *body;
	size_t n;

	if(size < 3)
		return 0;
	n = data[0];
	body = tls_port_alloc(16);
	if(body == NULL)
		return 0;
	/* no look at SIZE nor at the 16: overread and overflow in one line */
	memcpy(body, data + 1, n);
	if(body[0] != 'x')
		tls_port_free(body); /* and a leak */
	return 0;
}
