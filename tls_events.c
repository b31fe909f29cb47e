/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Event routes; see tls_events.h. */

#include "tls_events.h"

#include <string.h>

#include "tls_cfg.h"

static str names[] = {STR_STATIC_INIT("tls:connection-out"),
		STR_STATIC_INIT("tls:connection-in"),
		STR_STATIC_INIT("tls:connection-failed")};
#define N_EVENTS (sizeof(names) / sizeof(names[0]))

static int routes[N_EVENTS]; /* index into the host's table, -1 = none */
static str callback;		 /* KEMI function for all events, or empty */

static const char *reason_now; /* of the route that runs in this process */

void tls_events_init(void)
{
	char *function = tls_cfg_settings()->event_callback;
	size_t i;

	if(function != NULL && function[0] != '\0') {
		callback.s = function;
		callback.len = (int)strlen(function);
	}
	for(i = 0; i < N_EVENTS; i++) {
		routes[i] = route_lookup(&event_rt, names[i].s);
		if(routes[i] >= 0 && event_rt.rlist[routes[i]] == NULL)
			routes[i] = -1; /* named somewhere, written nowhere */
	}
	/* $sndto and its like work in the route of outgoing connections */
	if(tls_events_wants(TLS_EVENT_OUT))
		forward_set_send_info(1);
}

bool tls_events_wants(enum tls_event event)
{
	return callback.len > 0 || routes[event] >= 0;
}

const char *tls_events_reason(void)
{
	return reason_now;
}

/* Runs the KEMI function or the native route. False: the function did not run,
 * so it could not drop what it has to. */
static bool run_route(
		enum tls_event event, struct sip_msg *msg, struct run_act_ctx *ctx)
{
	sr_kemi_eng_t *engine = callback.len > 0 ? sr_kemi_eng_get() : NULL;

	if(engine != NULL) {
		if(sr_kemi_ctx_route(
				   engine, ctx, msg, EVENT_ROUTE, &callback, &names[event])
				>= 0)
			return true;
		LM_ERR("event_callback \"%.*s\" failed\n", callback.len, callback.s);
		return false;
	}
	if(routes[event] >= 0)
		run_top_route(event_rt.rlist[routes[event]], msg, ctx);
	return true;
}

bool tls_events_run(
		enum tls_event event, struct tcp_connection *c, const char *reason)
{
	struct sip_msg *msg;
	onsend_info_t *outer = p_onsend;
	int outer_type = get_route_type();
	struct run_act_ctx ctx;
	struct dest_info dst;
	onsend_info_t send;
	bool ran;

	/* faked_msg_get_next() would hand out one that could not be parsed, and not
	 * try again (core/fmsg.c) */
	if(faked_msg_init() < 0) {
		LM_ERR("%.*s: no message for the route\n", names[event].len,
				names[event].s);
		return false;
	}
	msg = faked_msg_next();
	msg->rcv = c->rcv;
	msg->rcv.proto = PROTO_TLS;
	msg->rcv.proto_reserved1 = c->id;
	init_dest_info(&dst);
	dst.proto = PROTO_TLS;
	dst.id = c->id;
	dst.to = c->rcv.src_su;
	dst.send_sock = (struct socket_info *)(uintptr_t)c->rcv.bind_address;
	memset(&send, 0, sizeof(send));
	send.dst = &dst;
	send.to = &dst.to;
	send.send_sock = dst.send_sock;
	send.buf = "";
	send.msg = msg;
	p_onsend = &send;
	reason_now = reason;
	set_route_type(EVENT_ROUTE);
	init_run_actions_ctx(&ctx);
	ran = run_route(event, msg, &ctx);
	set_route_type(outer_type);
	reason_now = NULL;
	p_onsend = outer;
	return ran && (ctx.run_flags & DROP_R_F) == 0;
}
