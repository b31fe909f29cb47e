/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The allocator that OpenSSL uses: shared memory, so that any process may use
 * and free any library object. Owns nothing else; the accounting tells tests
 * and operators what the library holds. Called by OpenSSL in every process,
 * with whatever lock OpenSSL holds. */
#ifndef TLS_MEM_H
#define TLS_MEM_H

#include "tls_err.h"

/* Gives OpenSSL our allocator. Possible only before its first allocation in
 * this process (hazard 1). TLS_RC_OK; TLS_RC_CONFIG when something used
 * OpenSSL before. Main process, once, before the first fork. */
enum tls_rc tls_mem_init(void) TLS_MUST_CHECK;

#endif
