/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Owns the windows of all causes. Processes: see tls_report.h. */
#include "tls_report.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "tls_port.h"

struct window
{
	_Atomic uint64_t began; /* in units of the window's length */
	atomic_uint written;
	atomic_uint left_out;
};

/* In shared memory; set before fork. */
static struct window *windows;

enum tls_rc tls_report_init(void)
{
	if(windows != NULL)
		return TLS_RC_BUG;
	windows = tls_port_alloc(TLS_CAUSE_COUNT * sizeof(*windows));
	if(windows == NULL)
		return TLS_RC_NOMEM;
	memset(windows, 0, TLS_CAUSE_COUNT * sizeof(*windows));
	return TLS_RC_OK;
}

void tls_report_destroy(void)
{
	tls_port_free(windows);
	windows = NULL;
}

bool tls_report_may(enum tls_cause cause, unsigned int max, uint64_t now_ms)
{
	uint64_t now = now_ms / TLS_REPORT_WINDOW_MS;
	struct window *w;
	uint64_t began;

	if(windows == NULL || cause >= TLS_CAUSE_COUNT || max == 0)
		return true;
	w = &windows[cause];
	began = atomic_load(&w->began);
	/* The one that opens the window empties it; a line that another process
	 * counts at this moment may be one too many or too few. */
	if(began != now && atomic_compare_exchange_strong(&w->began, &began, now))
		atomic_store(&w->written, 0);
	if(atomic_fetch_add(&w->written, 1) < max)
		return true;
	atomic_fetch_add(&w->left_out, 1);
	return false;
}

unsigned int tls_report_left_out(enum tls_cause cause, uint64_t now_ms)
{
	if(windows == NULL || cause >= TLS_CAUSE_COUNT
			|| atomic_load(&windows[cause].left_out) == 0
			|| atomic_load(&windows[cause].began)
					   == now_ms / TLS_REPORT_WINDOW_MS)
		return 0;
	return atomic_exchange(&windows[cause].left_out, 0);
}
