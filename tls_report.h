/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* How many lines a cause may write: so many in a window of time for each
 * cause of a failed handshake, and a count of those that were not written.
 * Writes nothing itself and knows no connection. One number for each cause in
 * shared memory, for all processes together; no lock. */
#ifndef TLS_REPORT_H
#define TLS_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "tls_err.h"

/* Length of the window. */
#define TLS_REPORT_WINDOW_MS 10000U

/* Makes the shared counts. Main process, once, before fork. TLS_RC_OK,
 * TLS_RC_NOMEM, TLS_RC_BUG when they exist. The second frees them, for
 * tests. */
enum tls_rc tls_report_init(void) TLS_MUST_CHECK;
void tls_report_destroy(void);

/* May one more line about CAUSE be written at NOW_MS, when MAX (0 = no limit)
 * are allowed in a window? False: it has been counted as left out. */
bool tls_report_may(enum tls_cause cause, unsigned int max, uint64_t now_ms);

/* Lines about CAUSE that were left out in a window that is over; asking
 * forgets them. To be asked now and then by one process, so that the count is
 * said also when nothing more happens. */
unsigned int tls_report_left_out(enum tls_cause cause, uint64_t now_ms);

#endif
