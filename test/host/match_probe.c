/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Calls the hooks of match_probe.h as the core of 6.1 does: with the global
 * TCP lock held, by the process that sends. Part of the module that the host
 * test "wish" loads. */
#include "match_probe.h"

#include "core/pvar.h"
#include "core/tcp_conn.h"
#include "core/tcp_init.h"
#include "core/locking.h"

extern struct tcp_connection **tcpconn_id_hash;
extern gen_lock_t *tcpconn_lock;

static match_probe_fn match;
static match_probe_pair_fn match_two;

/* The TLS connections that we opened, newest first. TCP lock held. */
static int newest(struct tcp_connection *found[2])
{
	struct tcp_connection *c;
	unsigned int bucket;
	int n = 0;

	found[0] = found[1] = NULL;
	for(bucket = 0; bucket < TCP_ID_HASH_SIZE; bucket++) {
		for(c = tcpconn_id_hash[bucket]; c != NULL; c = c->id_next) {
			if(c->type != PROTO_TLS || (c->flags & F_CONN_PASSIVE) != 0)
				continue;
			n++;
			if(found[0] == NULL || c->id > found[0]->id) {
				found[1] = found[0];
				found[0] = c;
			} else if(found[1] == NULL || c->id > found[1]->id)
				found[1] = c;
		}
	}
	return n;
}

static int get_match(struct sip_msg *msg, pv_param_t *param, pv_value_t *res)
{
	struct tcp_connection *c[2];
	int said = -1;

	TCPCONN_LOCK;
	if(newest(c) > 0)
		said = match(c[0], &c[0]->rcv.src_ip, c[0]->rcv.src_port);
	TCPCONN_UNLOCK;
	return said < 0 ? pv_get_null(msg, param, res)
					: pv_get_sintval(msg, param, res, said);
}

static int get_match_two(
		struct sip_msg *msg, pv_param_t *param, pv_value_t *res)
{
	struct tcp_connection *c[2];
	int said = -1;

	TCPCONN_LOCK;
	if(newest(c) > 1)
		said = match_two(c[0], c[1]);
	TCPCONN_UNLOCK;
	return said < 0 ? pv_get_null(msg, param, res)
					: pv_get_sintval(msg, param, res, said);
}

static pv_export_t variables[] = {
		{{"tls_match", sizeof("tls_match") - 1}, PVT_OTHER, get_match, NULL,
				NULL, NULL, NULL, 0},
		{{"tls_match_two", sizeof("tls_match_two") - 1}, PVT_OTHER,
				get_match_two, NULL, NULL, NULL, NULL, 0},
		{{NULL, 0}, PVT_NONE, NULL, NULL, NULL, NULL, NULL, 0}};

void match_probe_set(match_probe_fn one, match_probe_pair_fn two)
{
	match = one;
	match_two = two;
	register_pvars_mod("match_probe", variables);
}
