/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What the rooms of the benchmark share: the client's connections, the floor,
 * and the samples that bench.c takes and report.c prints.
 * Measures servers from outside; judges nothing.
 * One process, one thread, no lock. */
#ifndef TEST_BENCH_H
#define TEST_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hostlib.h"

#define BENCH_ROUNDS_MAX 32
#define BENCH_LATENCIES_MAX 200000
#define BENCH_CIPHER_MAX 96

/* What is compared. */
enum bench_target
{
	BENCH_OWN = 0, /* our module, record_layer = own */
	BENCH_OPENSSL, /* our module, record_layer = openssl */
	BENCH_STOCK,   /* the distribution's module */
	BENCH_PLAIN,   /* no TLS at all */
	BENCH_NGINX,   /* nginx in front of BENCH_PLAIN */
	BENCH_TLSECHO, /* OpenSSL on a socket, the least that a server does */
	BENCH_ECHO,	   /* the same without TLS */
	BENCH_RAW,	   /* OpenSSL over memory BIOs, in this process */
	BENCH_TARGETS
};

enum bench_kind
{
	BENCH_HANDSHAKE = 0, /* connect, handshake, request, reply, close */
	BENCH_MESSAGE,		 /* request, reply over open connections */
	BENCH_PACED			 /* the same at a fixed rate: latencies */
};

/* One thing that is measured for every target in turn. */
struct bench_cell
{
	const char *name;
	enum bench_kind kind;
	bool rsa;	 /* certificate; false = ECDSA P-256 */
	int version; /* TLS1_2_VERSION or TLS1_3_VERSION */
	int bytes;	 /* of a request, and of a reply, about */
};

extern const struct bench_cell bench_cells[];
extern const int bench_n_cells;

/* Samples of one cell and target, by round. */
struct bench_series
{
	double cpu_us[BENCH_ROUNDS_MAX];	 /* of the server, per piece of work */
	double per_second[BENCH_ROUNDS_MAX]; /* pieces of work, on the clock */
	double spent_us; /* of the round that runs: CPU, work, time */
	double done;
	double seconds;
	uint32_t *latency; /* us, BENCH_PACED only; owned */
	int n_latency;
	char cipher[BENCH_CIPHER_MAX]; /* version, suite and group agreed on */
	double instructions; /* of a piece of work, user; 0 = not counted */
};

/* Shared memory of one idle connection, bytes; by version 0 = 1.2, 1 = 1.3. */
struct bench_idle
{
	bool done;
	double handshake; /* right after the handshake */
	double request;	  /* after one request */
	double minute;	  /* after a minute of silence; 0 = not measured */
};

/* Connections held with a keep-alive a minute each. */
struct bench_hold
{
	bool done;
	int conns;
	long pings;	   /* answered */
	long lost;	   /* connections or answers */
	double core;   /* of one processor, 0 to 1 */
	double empty;  /* the same, before the first connection */
	double silent; /* the same, connections there, no keep-alive */
	double seconds;
};

/* Takings of the lock of the shared memory. */
struct bench_lock
{
	bool done;
	double handshake; /* per connection with handshake, request and end */
	double message;	  /* per request and reply of 400 bytes */
	double opened;	  /* per connection that the server opens, with one
						 request of it and its end */
};

/* What BENCH_PROFILES are compared as. */
enum bench_many
{
	BENCH_ONE = 0, /* one profile answers for every name */
	BENCH_MANY,	   /* a profile with certificate and key for each name */
	BENCH_MANYS
};

/* Thousands of profiles with a name each. Memory in MB. */
struct bench_profiles
{
	bool done;
	int names;
	int workers;		  /* receivers */
	double start_ms;	  /* until the first RPC is answered */
	double start_cpu_ms;  /* of all processes */
	double reload_ms;	  /* nothing has changed */
	double changed_ms;	  /* every certificate and key was replaced */
	double reload_cpu_ms; /* the same, CPU of all processes */
	double changed_cpu_ms;
	double started_mb[2]; /* after the start; 0 = in use, 1 = with what the
							 host's allocator adds to each block */
	double shaken_mb[2];  /* after a handshake with each name */
	double used_mb[2];	  /* after all measurements of handshakes */
	double reload_max_mb; /* the most there ever was, up to the last reload */
	double one_mb[2];	  /* of the server with one profile, as used_mb */
	/* by version 0 = 1.2, 1 = 1.3; handshake, request, reply, end */
	double cpu_us[2][BENCH_MANYS][BENCH_ROUNDS_MAX];
	double per_second[2][BENCH_MANYS][BENCH_ROUNDS_MAX];
	int ca_profiles; /* that name the system's bundle each; 0 = not measured */
	double ca_mb[2]; /* of these, after the start */
	double no_ca_mb[2]; /* of as many without it */
};

/* Everything measured; NULL latency and false done = not measured. */
struct bench_results
{
	int rounds;
	int idle_count;
	char host[128];
	char library[128];
	char machine[128];
	char started[64];
	bool has[BENCH_TARGETS];
	struct bench_series *series; /* [cell * BENCH_TARGETS + target] */
	struct bench_idle idle[2][BENCH_TARGETS];	/* accepted */
	struct bench_idle opened[2][BENCH_TARGETS]; /* opened by the server */
	struct bench_hold hold[BENCH_TARGETS];
	struct bench_lock lock[2][BENCH_TARGETS];
	struct bench_profiles profiles;
	double start_ms[BENCH_TARGETS][BENCH_ROUNDS_MAX];
	double reload_ms[BENCH_TARGETS][BENCH_ROUNDS_MAX];
};

/* What the client is to do. */
struct bench_load
{
	int port; /* of 127.0.0.1 */
	bool tls;
	int version;
	int conns;	/* at a time */
	int bytes;	/* of a request */
	int ms;		/* work is started so long */
	int rate;	/* requests per second over all, 0 = as fast as replies come */
	bool ping;	/* keep-alives of RFC 5626 instead of requests */
	bool quiet; /* what fails is not told */
	int names;	/* server names that are asked for in turn (hostmany.h); 0 = no
				   name */
	long count; /* handshakes: end after so many; 0 = only after MS */
};

/* What it did. */
struct bench_done
{
	long count;	 /* pieces of work, complete and right */
	long failed; /* refused, cut or wrong: the sample is worthless */
	double seconds;
	uint32_t *latency; /* us, when not NULL: room for ROOM_LATENCY */
	int room_latency;
	int n_latency;
	char cipher[BENCH_CIPHER_MAX];
};

struct bench_set; /* open connections */

/* A server under test. */
struct bench_server
{
	bool up;
	int port;
	struct host_kam kam;
	pid_t child; /* that is no Kamailio: nginx, echo; 0 = none */
	char nginx_dir[HOST_PATH_MAX];
};

/* How a Kamailio is to be started. The plain one loads our module as well and
 * is asked over TCP, or the layout of its heap would differ: the allocator's
 * cost depends on that more than TLS does on anything. */
struct bench_setup
{
	enum bench_target target;
	bool rsa;			 /* certificate; false = ECDSA P-256 */
	bool bare;			 /* BENCH_PLAIN without any TLS module */
	const char *globals; /* more core settings, or NULL */
	const char *modules; /* more modules, or NULL */
	const char *route;	 /* body of the route; NULL = answer with the body */
	int shm_mb;
	const char *config; /* path of a tls.cfg in place of the usual one */
	int workers;		/* receivers; 0 = as host_config */
	const char *under;	/* a command that runs it, or NULL */
};

/* How much is measured. */
struct bench_size
{
	int rounds;
	int slices;		/* of a round */
	int slice_ms;	/* each target's turn in a slice */
	int starts;		/* of each server */
	int paced_ms;	/* of a round at a fixed rate */
	int idle;		/* idle connections */
	bool minute;	/* and after a minute */
	int hold;		/* connections with keep-alives; 0 = none */
	int hold_s;		/* seconds of the keep-alives that are measured */
	int names;		/* profiles with a name each */
	int passes;		/* handshakes with each before they are measured */
	bool count_all; /* instructions of TLS 1.2 and RSA too */
};

/* ---- bench.c ---- */

extern struct bench_results bench_results;
extern struct bench_size bench_size;

/* Counts and tells a sample that could not be taken. */
void bench_fault(const char *what, const char *where);

/* A name without blanks, for messages. */
const char *bench_word(enum bench_target target);

/* Does the list in the environment's VARIABLE, or no list at all, have NAME? */
bool bench_wanted(const char *variable, const char *name);

/* ---- servers.c ---- */

extern struct bench_server bench_servers[BENCH_TARGETS];

/* Route that forwards a request to the URI in its header X-Relay, stateless so
 * that no transaction takes memory, and answers every other one. */
extern const char bench_relay_route[];

/* The calling process and its future children stay on the last processor that
 * it may use (the client's), or on the first (the servers'). */
void bench_pin(bool last);

/* Microseconds that the processes of SERVER, and of the plain server behind
 * it when it is nginx, have spent on a processor, kernel included. */
double bench_server_us(const struct bench_server *server);

/* Starts a Kamailio. False = it does not start, counted as a fault. */
bool bench_server_start(
		struct bench_server *server, const struct bench_setup *setup);

/* Starts the echo of echo.c on a port of its own. False = no process. */
bool bench_echo_start(struct bench_server *server, bool tls, bool rsa);

/* Stops a Kamailio; nothing to do when it is not up. */
void bench_server_stop(struct bench_server *server);

/* Starts a server for each target that the results have. */
void bench_servers_start(bool rsa);
void bench_servers_stop(void);

/* ---- samples.c ---- */

/* Takes the samples of every cell that has the kind of certificate. */
void bench_samples_run(bool rsa);

/* ---- memory.c ---- */

/* Shared memory of idle connections, that the server accepted and that it
 * opened. */
void bench_idle_run(void);

/* Many connections with a keep-alive a minute each. */
void bench_hold_run(void);

/* ---- moments.c ---- */

/* Takings of the lock of the shared memory. */
void bench_locks_run(void);

/* Time of start and reload. */
void bench_starts_run(void);

/* Time of one RPC, and what asking costs: the fastest answer to a command that
 * does nothing; ms. */
double bench_rpc_ms(struct bench_server *server, const char *cmd);
double bench_idle_rpc_ms(struct bench_server *server);

/* ---- count.c ---- */

/* With this variable the program is only the floor, for callgrind. */
#define BENCH_COUNT_RAW "BENCH_COUNT_RAW"

/* Instructions of servers and floor, counted by callgrind. */
void bench_count_run(void);

/* What the floor's own process does: ARGS is "CELL LIMIT FOLDER", CELL a
 * number in bench_cells, FOLDER that of the certificates. Returns an exit code. */
int bench_count_raw(const char *args);

/* ---- profiles.c ---- */

/* Thousands of profiles: start, reload, memory, handshakes. */
void bench_profiles_run(void);

/* ---- client.c ---- */

/* Microseconds of a clock that never steps. */
int64_t bench_now_us(void);

/* Makes the contexts. False = said why on stderr. */
bool bench_client_init(void);

/* Connections with handshake, one request and its reply, one after the other
 * on LOAD->conns slots. Fills DONE. */
void bench_client_handshakes(
		const struct bench_load *load, struct bench_done *done);

/* Opens LOAD->conns connections, handshakes done. NULL = failed, said on
 * stderr. The caller owns the set. */
struct bench_set *bench_client_open(const struct bench_load *load);

/* Requests over the set as LOAD tells; MS = 0: exactly one per connection. */
void bench_client_requests(struct bench_set *set, const struct bench_load *load,
		struct bench_done *done);

/* Ends the connections and frees SET; NULL-safe. */
void bench_client_close(struct bench_set *set);

/* ---- peer.c ---- */

struct bench_peer; /* a server that a Kamailio connects to */

/* Listens on a free port, for at most ROOM connections of TLS VERSION, or of
 * plain TCP when that is 0. NULL = failed, said on stderr. */
struct bench_peer *bench_peer_new(int version, int room);

/* Has the Kamailio at UDP_PORT (bench_relay_route) open N more connections,
 * handshakes and one request of it done. False = one failed. */
bool bench_peer_open(struct bench_peer *peer, int udp_port, int n);

/* A keep-alive and its answer on every connection. False = one failed. */
bool bench_peer_ping(struct bench_peer *peer);

/* Ends the connections; PEER can take new ones. */
void bench_peer_drop(struct bench_peer *peer);

/* Ends everything; NULL-safe. */
void bench_peer_free(struct bench_peer *peer);

/* ---- raw.c ---- */

/* What the floor took. */
struct bench_raw
{
	double us; /* CPU of the server side */
	long count;
	long limit; /* set before: end after so many; 0 = only after MS */
};

/* Loads the server's certificate and key. False = said why on stderr. */
bool bench_raw_init(const char *cert, const char *key);

/* Connections for MS milliseconds on the clock; what is counted is the server
 * side: object, handshake, a request of 400 bytes opened, a reply sealed, end.
 * Adds to RAW; count stays 0 when OpenSSL failed. */
void bench_raw_handshakes(int version, int ms, struct bench_raw *raw);

/* Requests of BYTES opened and replies of BYTES sealed, the same way. */
void bench_raw_messages(int version, int bytes, int ms, struct bench_raw *raw);

/* ---- report.c ---- */

/* Writes report.md, its data and plots into the folder DIR. False = could
 * not. Without gnuplot the plots are missing and the report says so. */
bool bench_report_write(const struct bench_results *results, const char *dir);

#endif
