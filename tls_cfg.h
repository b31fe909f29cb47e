/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The settings as the host gives them: modparams before start-up, then the
 * run-time configuration group "tls" that operators read and set by RPC.
 * Hands them to the other rooms in their own types; decides nothing. Written
 * in the main process before the fork, then by the host (core/cfg/cfg.h);
 * read in every process without a lock. */
#ifndef TLS_CFG_H
#define TLS_CFG_H

#include "tls_ct_wrq.h"
#include "tls_err.h"
#include "tls_host.h"
#include "tls_params.h"

/* The table of modparams for the module's exports (param_export_t[], ended by
 * an empty row). */
extern param_export_t tls_cfg_modparams[];

/* Turns the modparams into settings and profile parameters (words, ranges,
 * path rule) and declares the group "tls" with them. Main process, from
 * mod_init, once. TLS_RC_OK; TLS_RC_CONFIG with a sentence that names the
 * modparam or the group; TLS_RC_NOMEM. */
enum tls_rc tls_cfg_init(struct tls_err *err) TLS_MUST_CHECK;

/* The settings now in force. Numbers change at once when an operator sets
 * them; texts (config only) when the host next updates the process, so the
 * pointer and its texts are borrowed until this process returns to the host.
 * Ask again each time. Any process. */
const struct tls_settings *tls_cfg_settings(void);

/* The profile-type modparams: mode A, or the fill for holes in mode B. They
 * do not change at run time. Borrowed while the server runs. */
const struct tls_profile_params *tls_cfg_profile(void);

/* Directory of the host's main configuration file, for the path rule. */
const char *tls_cfg_base_dir(void);

/* Limits of the clear-text queues now in force. */
struct tls_ct_wrq_limits tls_cfg_queue_limits(void);

/* True when established connections leave OpenSSL (record_layer). */
bool tls_cfg_own_records(void);

/* connection_timeout in the host's ticks; the longest when it is negative. */
unsigned int tls_cfg_connection_ticks(void);

#endif
