/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Event routes: tells the script what happened to a connection and hears
 * whether it may go on.
 * Knows neither TLS nor the engine; the connection is the host's. Runs routes
 * in the process that reads from the connection, without any lock: a route may
 * send on the very same connection. */
#ifndef TLS_EVENTS_H
#define TLS_EVENTS_H

#include <stdbool.h>

#include "tls_host.h"

enum tls_event
{
	TLS_EVENT_OUT = 0, /* a handshake that we began is complete */
	TLS_EVENT_IN,	   /* one that the peer began is complete */
	TLS_EVENT_FAILED   /* a handshake failed */
};

/* Looks up which routes the script has, or its event_callback. Main process,
 * while modules are initialised, once. */
void tls_events_init(void);

/* True when the script wants to hear of EVENT. Any process. */
bool tls_events_wants(enum tls_event event);

/* Runs the route of EVENT for C, of which the caller is the reader; REASON
 * (NULL = none) is a sentence for $tls(failure). False when the script said
 * drop, or could not run, which the log says. No lock held. */
bool tls_events_run(
		enum tls_event event, struct tcp_connection *c, const char *reason);

/* The REASON of the route that runs in this process, NULL else. */
const char *tls_events_reason(void);

#endif
