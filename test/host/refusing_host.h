/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Which functions of the server and of libraries refuse: refusing_host.c reads
 * it in each process of a server, the test sets it before the start.
 * Decides nothing; no lock. */
#ifndef TEST_REFUSING_HOST_H
#define TEST_REFUSING_HOST_H

/* Environment variable with the names of functions, in any order:
 * getrandom, register_script_cb, faked_msg_init, sr_kemi_ctx_route, send_all
 * fail;
 * tls_conn_read fails for a reason of no known cause;
 * OpenSSL_version_num is that of the next major version;
 * tcpconn_get returns when nobody else has the connection, and has said in the
 * log "connection ID is held" before;
 * tls_metrics_add returns to a receiver whose connection has failed when another
 * process has tried to send on it, and has said "the receiver is held". */
#define REFUSING_NAMES "TLS_TEST_REFUSING"

#endif
