/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The hooks of servers from 6.1 on, called on older ones: included in front of
 * tls_server.c, it gives them to match_probe.c instead of to the core.
 * Only for the module that the host test "wish" loads. */
#ifndef TEST_MATCH_PROBE_H
#define TEST_MATCH_PROBE_H

struct tcp_connection;
struct ip_addr;

typedef int (*match_probe_fn)(
		struct tcp_connection *, struct ip_addr *, unsigned short);
typedef int (*match_probe_pair_fn)(
		struct tcp_connection *, struct tcp_connection *);

/* Notes both hooks and registers the variable $tls_match: 1 when the TLS
 * connection that was opened last may carry the message at hand, 0 when it may
 * not, null when there is none; and $tls_match_two: the same for the two that
 * were opened last. Main process, while the module is loaded. */
void match_probe_set(match_probe_fn match, match_probe_pair_fn match_two);

#define TLS_HOST_SET_MATCH_HOOKS(hooks_, match_, match_connections_) \
	match_probe_set((match_), (match_connections_))

#endif
