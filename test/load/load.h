/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What the rooms of the load generator share: options, counters and one
 * connection. tlsload.c owns the loop, load_conn.c the good connections,
 * load_broken.c the bad ones.
 * One thread per process; the counters alone are shared between processes. */
#ifndef TEST_LOAD_H
#define TEST_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#define LOAD_REPLY_MS 10000	 /* a reply that takes longer is lost */
#define LOAD_IDLE_MS 6000	 /* longer than the host's receivers keep a fd */
#define LOAD_WINDOW_MAX 64	 /* outstanding requests per connection */
#define LOAD_BODY_MAX 16000	 /* largest body */
#define LOAD_BROKEN_MAX 32	 /* rows in the table of broken kinds */
#define LOAD_SESSIONS_MAX 64 /* sessions kept for resumption, per version */

/* Kinds of work; the weights of --mix are in this order. */
enum load_kind
{
	LOAD_FULL = 0, /* full handshake, one request, close */
	LOAD_RESUME,   /* the same with a session of before */
	LOAD_LONG,	   /* many pipelined requests of many sizes */
	LOAD_IDLE,	   /* as long, but silent for 6 s between two rounds */
	LOAD_RELAY,	   /* relayed over TLS to a fresh listener of ours */
	LOAD_UDP,	   /* the same, the request arrives over UDP */
	LOAD_RESET,	   /* RST in the middle of something */
	LOAD_HALF,	   /* half-open connections */
	LOAD_GARBAGE,  /* bytes that are no TLS */
	LOAD_KINDS
};

/* Counters of one process, in memory shared with the parent. */
struct load_counters
{
	long handshakes; /* as the client, complete */
	long resumed;	 /* of these */
	long v12;
	long v13;
	long outbound; /* handshakes made by the server under test */
	long sent;
	long answered;
	long lost;
	long wrong;
	long duplicate;
	long refused; /* connect or handshake failed on a good connection */
	/* of the good connections, both ways, as it was on the wire */
	long bytes_in;
	long bytes_out;
	long records_in;
	long records_out;
	long clear_in; /* the messages in it */
	long clear_out;
	long kinds[LOAD_KINDS];
	long broken[LOAD_BROKEN_MAX];
	long broken_closed; /* broken connections that the server ended */
};

struct load_options
{
	int port;	  /* TLS port under test */
	int udp_port; /* 0 = no UDP work */
	int seconds;  /* 0 = until count */
	long count;	  /* connections per process, 0 = until seconds */
	int conns;	  /* connections at a time, per process */
	int procs;
	int window;	  /* outstanding requests per long connection */
	int reply_ms; /* a reply that takes longer is lost */
	int hold_ms;  /* patience of half-open and garbage connections */
	int min;	  /* versions of the clients, cycled */
	int max;
	int weights[LOAD_KINDS];
	int broken; /* row of the table for all garbage, -1 = all in turn */
	bool only_broken;
	bool allow_refused;
	bool verbose;
	bool quiet;		 /* explain nothing: faults are wanted */
	int fault_every; /* selftest responder: every n-th request, 0 = never */
	char fault;		 /* 'l' no reply, 'w' wrong echo, 'd' reply twice */
};

enum load_state
{
	LOAD_CONNECTING = 0,
	LOAD_SHAKING,
	LOAD_OPEN,
	LOAD_WAITING, /* broken kinds: all sent, waiting for the end */
	LOAD_LISTENING
};

/* One request that waits for its reply. */
struct load_pending
{
	unsigned int cseq;
	size_t body_n;
	int64_t deadline;
	int64_t from_us; /* sent, or when its connection was begun */
};

/* How long one request waited for its reply; what --waits writes. */
struct load_wait
{
	int64_t from_us; /* of CLOCK_MONOTONIC */
	int64_t us;
};

/* One socket of ours: client, accepted or listening. */
struct load_conn
{
	struct load_conn *next; /* list of all */
	struct load_conn *peer; /* relay: listener <-> client; NULL = none */
	/* listener: the connections that it accepted, by their own `siblings`;
	 * they end with it, or the server would keep one for each relayed call */
	struct load_conn *accepted;
	struct load_conn *siblings;
	struct load_conn *listener; /* accepted: where from; NULL = gone */
	int fd;
	bool server;
	bool dead; /* to be freed after this round of events */
	bool want_out;
	bool eof;
	enum load_kind kind;
	enum load_state state;
	int64_t deadline; /* of the state, 0 = none */
	int64_t begun_us; /* connect(); 0 = not the first request any more */
	int64_t wake;	  /* idle kind: send again then, 0 = not now */
	SSL *ssl;		  /* NULL = UDP, listener, or raw bytes */
	BIO *rbio;
	BIO *wbio;
	int broken; /* row, for the broken kinds */
	char *raw;	/* broken kinds: bytes that are to be sent, owned */
	size_t raw_n;
	size_t raw_at;
	char *in; /* clear text, owned */
	size_t in_n;
	size_t in_room;
	unsigned int id;
	unsigned int cseq; /* last one used */
	int todo;		   /* requests still to be sent in this round */
	int rounds;		   /* idle kind: rounds still to come */
	int listen_port;   /* relay: port of the fresh listener */
	struct load_pending pending[LOAD_WINDOW_MAX];
	int n_pending;
};

extern struct load_options load_opt;
extern struct load_counters *load_count; /* this process's own */

/* tlsload.c */
int64_t load_ms(void);
int64_t load_us(void);
void load_waited(int64_t from_us);				/* until now; for --waits */
bool load_watch(struct load_conn *c, bool add); /* epoll, by want_out */
bool load_stopping(void); /* no new work is to be started */
uint32_t load_random(uint32_t below);
void load_say(const struct load_conn *c, const char *what, const char *detail);

/* load_conn.c */

/* Makes the contexts; CERT and KEY are of the server role. */
bool load_conn_init(const char *cert, const char *key);
/* Starts one piece of work of the kind; false = could not. */
bool load_conn_start(enum load_kind kind);
/* Listens on PORT (0 = any); returns the port, 0 = failed. */
int load_conn_listen(int port, struct load_conn *peer);
void load_conn_event(struct load_conn *c, uint32_t events);
/* Deadlines of every connection; frees the dead. Returns how many live
 * clients there are. */
int load_conn_tick(void);
/* Ends everything, open requests are lost. */
void load_conn_abort(void);
struct load_conn *load_conn_new(int fd, enum load_kind kind);
SSL *load_conn_ssl(struct load_conn *c, bool server, bool resume);
void load_conn_kill(struct load_conn *c);
int load_conn_connect(int port);

/* load_broken.c */
int load_broken_find(const char *name); /* row, -1 = none */
const char *load_broken_name(int row);	/* NULL = past the end */
bool load_broken_start(enum load_kind kind);
void load_broken_event(struct load_conn *c, uint32_t events);
void load_broken_timeout(struct load_conn *c);

#endif
