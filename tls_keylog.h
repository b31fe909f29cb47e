/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The key log: lines from which somebody who has the packets can decrypt them
 * (the format of NSS, draft-ietf-tls-keylogfile), to the log, a file or a peer.
 * Off unless the server was started with it; knows no connection. Called from
 * handshakes in any process, with the connection's lock held: never waits. */
#ifndef TLS_KEYLOG_H
#define TLS_KEYLOG_H

#include <stdbool.h>

#include "tls_err.h"

/* Bits of keylog_mode, as the stock module has them. */
enum tls_keylog_mode
{
	TLS_KEYLOG_INIT = 1,	 /* may be switched on while the server runs */
	TLS_KEYLOG_ACTIVE = 2,	 /* is on */
	TLS_KEYLOG_LOG = 4,		 /* to the server's log, level notice */
	TLS_KEYLOG_FILE = 8,	 /* to keylog_file */
	TLS_KEYLOG_PEER = 16,	 /* to keylog_peer, a datagram for each line */
	TLS_KEYLOG_FILTER = 1024 /* only lines that decrypt the traffic */
};

struct tls_keylog_args
{
	int mode;		  /* at the start; without INIT nothing is ever written */
	int (*now)(void); /* the mode in force; asked for each line */
	const char *file; /* copied; NULL = none */
	const char *peer; /* "udp:ip:port", NULL = none */
};

/* Takes ARGS. Main process, once, before fork. TLS_RC_OK; TLS_RC_CONFIG with a
 * sentence in ERR: a mode without its file or peer, a peer that is none. */
enum tls_rc tls_keylog_init(
		const struct tls_keylog_args *args, struct tls_err *err) TLS_MUST_CHECK;

/* True when tls_keylog_write() may ever write something. Any process. */
bool tls_keylog_is_allowed(void);

/* One LINE, without its end. What cannot be written is said once in each
 * process and lost. Any process. */
void tls_keylog_write(const char *line);

#endif
