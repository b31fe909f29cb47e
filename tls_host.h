/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The one place that includes the host's headers and knows its versions.
 * Holds macros and inline functions only, where host versions differ; owns no
 * state. Included by the adapter (tls_mod, tls_init, tls_server, tls_cfg,
 * tls_rpc, tls_select, tls_events, tls_port) and by nobody below it. */
#ifndef TLS_HOST_H
#define TLS_HOST_H

#include "../../core/sr_module.h"
#include "../../core/action.h"
#include "../../core/cfg/cfg.h"
#include "../../core/cfg/cfg_struct.h"
#include "../../core/counters.h"
#include "../../core/dprint.h"
#include "../../core/fmsg.h"
#include "../../core/forward.h"
#include "../../core/globals.h"
#include "../../core/ip_addr.h"
#include "../../core/kemi.h"
#include "../../core/locking.h"
#include "../../core/mem/mem.h"
#include "../../core/mem/shm_mem.h"
#include "../../core/mod_fix.h"
#include "../../core/onsend.h"
#include "../../core/pass_fd.h"
#include "../../core/pt.h"
#include "../../core/pvar.h"
#include "../../core/rpc.h"
#include "../../core/rpc_lookup.h"
#include "../../core/route.h"
#include "../../core/script_cb.h"
#include "../../core/select.h"
#include "../../core/select_buf.h"
#include "../../core/shm_init.h"
#include "../../core/socket_info.h"
#include "../../core/str.h"
#include "../../core/tcp_conn.h"
#include "../../core/tcp_info.h"
#include "../../core/tcp_init.h"
#include "../../core/tcp_int_send.h"
#include "../../core/tcp_options.h"
#include "../../core/tcp_read.h"
#include "../../core/timer.h"
#include "../../core/timer_ticks.h"
#include "../../core/tls_hooks.h"
#include "../../core/tls_hooks_init.h"
#include "../../core/ver.h"
#include "../../core/xavp.h"

#ifndef VERSIONVAL
#error "VERSIONVAL is not set: build with the Makefile of the module"
#endif

/* Descriptor that the calling receiver uses for C. */
#if VERSIONVAL >= 6001000
#define TLS_HOST_FD(c_) _tconfd(c_)
#else
#define TLS_HOST_FD(c_) ((c_)->fd)
#endif

/* The two hooks that 6.1 added to struct tls_hooks; older hosts never ask.
 * A test of them on such a host brings its own. */
#if defined(TLS_HOST_SET_MATCH_HOOKS)
#elif VERSIONVAL >= 6001000
#define TLS_HOST_SET_MATCH_HOOKS(hooks_, match_, match_connections_) \
	do {                                                             \
		(hooks_)->match_domain = (match_);                           \
		(hooks_)->match_connections_domain = (match_connections_);   \
	} while(0)
#else
#define TLS_HOST_SET_MATCH_HOOKS(hooks_, match_, match_connections_) \
	do {                                                             \
		(void)(match_);                                              \
		(void)(match_connections_);                                  \
	} while(0)
#endif

/* When C was made, 0 where the host does not keep it. */
#if VERSIONVAL >= 6000000
#define TLS_HOST_CREATED(c_) ((c_)->timestamp)
#else
#define TLS_HOST_CREATED(c_) ((time_t)0)
#endif

/* Flag of an RPC command that the host runs once in "rpc_exec_delta" s. */
#if VERSIONVAL >= 5008000
#define TLS_HOST_RPC_DELTA RPC_EXEC_DELTA
#else
#define TLS_HOST_RPC_DELTA 0
#endif

/* True when C carries TLS, be it under SIP or under secure websockets. */
#define TLS_HOST_IS_TLS(c_) ((c_)->type == PROTO_TLS || (c_)->type == PROTO_WSS)

/* Has the host sent all of the ciphertext that it got for C? It keeps what the
 * socket does not take in a queue, which it throws away before it calls the
 * close hook (core/tcp_main.c, tcpconn_try_unhash()), and sets all of it to
 * zero. Nothing else sets its deadline to zero, and the host looks at that only
 * while something is queued: so a deadline that was set when C was made tells
 * whether the queue was emptied by sending. Under C's write_lock. */
#ifdef TCP_ASYNC
#define TLS_HOST_WATCH_QUEUE(c_) ((c_)->wbuf_q.wr_timeout = 1)
#define TLS_HOST_HAS_SENT_ALL(c_) \
	((c_)->wbuf_q.first == NULL && (c_)->wbuf_q.wr_timeout != 0)
#else
#define TLS_HOST_WATCH_QUEUE(c_) ((void)0)
#define TLS_HOST_HAS_SENT_ALL(c_) 1
#endif

/* The table of connections by id and the lock of all TCP tables; no header
 * of the host declares them (core/tcp_main.c). */
extern struct tcp_connection **tcpconn_id_hash;
extern gen_lock_t *tcpconn_lock;

/* tcpconn_get() looks the connection up by its id; the same in all versions,
 * but other look-ups take the protocol since 6.0. */

#endif
