/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The other end of a connection to Kamailio: TLS or plain TCP, client or
 * server, with every byte on the wire in the test's hands (chops, corrupt
 * bytes, resets). OpenSSL runs over memory BIOs; all waiting is poll() with a
 * deadline. Knows no Kamailio process (hostlib does).
 * Used by the host tests in their one process; not shared, no lock. */
#ifndef TEST_HOSTPEER_H
#define TEST_HOSTPEER_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "hostsip.h"

#define PEER_WAIT_MS 5000	   /* default deadline of every wait */
#define PEER_BUF_MAX (1 << 18) /* longest reply a test reads */

/* How a connection stands. */
enum peer_end
{
	PEER_OPEN = 0,
	PEER_TIMEOUT, /* nothing came before the deadline */
	PEER_EOF,	  /* TCP end without close_notify */
	PEER_NOTIFY,  /* close_notify came */
	PEER_RESET,	  /* RST came, or sending failed */
	PEER_FAILED	  /* TLS failed: see err, alert_in, alert_out */
};

/* Settings of one TLS peer; zero = the library's default. */
struct peer_opt
{
	int min; /* TLS1_2_VERSION ... */
	int max;
	const char *address; /* of the server, 127.0.0.1 when NULL */
	const char *sni;
	const char *ca;	  /* verify the other side with this file */
	const char *cert; /* own certificate chain */
	const char *key;
	const char *ciphers; /* TLS 1.2 and older */
	const char *suites;	 /* TLS 1.3 */
	const char *groups;
	const char *sigalgs;
	const char *alpn;	 /* one protocol */
	SSL_SESSION *resume; /* borrowed */
	bool no_ticket;		 /* session ids in TLS 1.2 */
	size_t chop;		 /* bytes per TCP segment, 0 = as many as there are */
	int require_client;	 /* server: ask for the client's certificate */
	bool old_versions;	 /* security level 0, so that TLS 1.0 can be tried */
	bool ask_status;	 /* client: ask for an OCSP response */
	const unsigned char *staple; /* server: the OCSP response, borrowed until
									the handshake is over; NULL = none */
	size_t n_staple;
};

/* One connection. */
struct peer
{
	int fd; /* owned; -1 = none */
	SSL_CTX *ctx;
	SSL *ssl; /* NULL = plain TCP */
	BIO *rbio;
	BIO *wbio;
	enum peer_end end;
	size_t chop;
	int port;	   /* own port, as Kamailio sees and logs it */
	int alert_in;  /* last alert received, -1 = none */
	int alert_out; /* last alert sent, -1 = none */
	char err[256]; /* text of the library's error */
	char *buf;	   /* clear text received, not yet taken */
	size_t used;
};

/* What all peers of this process have moved so far, as it was on the wire. */
struct peer_totals
{
	unsigned long bytes_in;
	unsigned long bytes_out;
	unsigned long records_in; /* of TLS peers, as their library saw them */
	unsigned long records_out;
};

extern struct peer_totals peer_totals;

/* Connects to 127.0.0.1:PORT over TCP, no TLS; the second from the address
 * SOURCE of this machine, so that thousands do not use up the ports that others
 * look for. */
bool peer_tcp(struct peer *p, int port);
bool peer_tcp_from(struct peer *p, const char *source, int port);

/* Connects and does the handshake. False: P tells why; close it anyway. */
bool peer_tls(struct peer *p, int port, const struct peer_opt *opt);

/* Starts TLS as the client on an open TCP peer without any I/O. */
bool peer_tls_prepare(struct peer *p, const struct peer_opt *opt, bool server);

/* Runs the handshake to its end. */
bool peer_handshake(struct peer *p, int ms);

/* Opens a listening socket on a free port (PORT_OUT). Returns the fd. */
int peer_listen(int *port_out);

/* Accepts on LFD and, when OPT is given, does the server handshake. */
bool peer_accept(struct peer *p, int lfd, const struct peer_opt *opt, int ms);

/* Seals and sends N bytes (plain when no TLS); chopped as P says. */
bool peer_send(struct peer *p, const void *data, size_t n);

/* Sends what OpenSSL has produced for P; true also when that is nothing. */
bool peer_flush(struct peer *p);

/* Sends N raw bytes around TLS, CHOP bytes a segment (0 = all at once). */
bool peer_send_raw(struct peer *p, const void *data, size_t n, size_t chop);

/* Seals N bytes without sending: the ciphertext goes to OUT (ROOM bytes).
 * Returns its length, 0 = failed. */
size_t peer_seal(
		struct peer *p, const void *data, size_t n, void *out, size_t room);

/* Waits until one whole SIP message is there; returns its length (it is at
 * p->buf) or 0: p->end tells why. peer_take() drops it. */
size_t peer_sip(struct peer *p, int ms);
void peer_take(struct peer *p, size_t n);

/* Waits for at least N bytes of clear text. */
bool peer_await(struct peer *p, size_t n, int ms);

/* Waits until the other side ends the connection; says how. */
enum peer_end peer_await_end(struct peer *p, int ms);

/* Sends close_notify and shuts the sending side. */
void peer_notify(struct peer *p);

/* Closes with RST, or with FIN. Frees everything; P can be used again. */
void peer_reset(struct peer *p);
void peer_close(struct peer *p);

/* Sends one request with a body of BODY_N bytes and the header lines EXTRA
 * (or NULL) and checks the reply: status, Call-ID, CSeq, X-Echo, body.
 * True = all as it must be; else p->err tells. */
bool peer_options(
		struct peer *p, unsigned int cseq, size_t body_n, const char *extra);

/* The two halves of peer_options. */
bool peer_request(
		struct peer *p, unsigned int cseq, size_t body_n, const char *extra);
bool peer_check_reply(struct peer *p, unsigned int cseq, size_t body_n,
		int want_status, int ms);

/* Server side: reads one request and answers 200. Its length or 0; the
 * request's header NAME, if given, is copied to OUT. */
size_t peer_serve(struct peer *p, int ms);

/* A TLS connection, one request, one good reply, close. */
bool peer_once(int port, const struct peer_opt *opt);

/* UDP socket connected to 127.0.0.1:PORT; own port in PORT_OUT. */
int peer_udp(int port, int *port_out);

/* Waits for a datagram; returns its length, 0 = timeout. */
size_t peer_udp_read(int fd, char *buf, size_t room, int ms);

#endif
