/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* When a configuration is loaded: at the start, on command, and by itself
 * when a file has changed. One process at a time; what fails changes nothing.
 * Called by tls_init in the main process, by tls_rpc in the process of the
 * command, and by the host's timer. */
#ifndef TLS_RELOAD_H
#define TLS_RELOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

/* Longest answer of tls_reload_run with its 0 byte. */
#define TLS_RELOAD_TEXT_MAX 4096

/* Makes what the processes share. Main process, mod_init. TLS_RC_OK or
 * TLS_RC_NOMEM. */
enum tls_rc tls_reload_init(struct tls_err *err) TLS_MUST_CHECK;

/* Registers the look at the files for reload_on_change. Main process,
 * mod_init, after the settings. TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_reload_watch(struct tls_err *err) TLS_MUST_CHECK;

/* Loads the configuration that the setting "config" names, or the modparams,
 * and publishes it when PUBLISH; logs each error and warning. ANSWER (may be
 * NULL) of SIZE bytes gets what was loaded, or every error, as many as there
 * is room for. TLS_RC_OK; TLS_RC_AGAIN when another process is loading; the
 * failures of tls_load, with the errors as lines in ANSWER. */
enum tls_rc tls_reload_run(
		bool publish, char *answer, size_t size) TLS_MUST_CHECK;

#endif
