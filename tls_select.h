/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What scripts may ask about a TLS connection: pseudo-variables, selects, the
 * function is_peer_verified() and the KEMI functions of the same names.
 * Copies the facts of the handshake, never touches the session itself and
 * changes nothing. Called by the host's script interpreters in any process
 * that runs routes, without a lock of ours. */
#ifndef TLS_SELECT_H
#define TLS_SELECT_H

#include "tls_host.h"

/* Rows for the exports of the module, ended by a row of zeros. */
extern pv_export_t tls_select_pvs[];
extern cmd_export_t tls_select_cmds[];

/* Registers the selects (@tls...), once. mod_register or mod_init, main
 * process. 0, or -1 when private memory is short. */
int tls_select_init(void);

/* Registers the KEMI functions (KSR.tls...). mod_register, main process. 0,
 * or -1 when the host's table is full. */
int tls_select_register_kemi(void);

#endif
