/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A real Kamailio as a test fixture: scratch folder, certificates, generated
 * configuration, start, readiness, RPC, log, stop and what is left behind.
 * Speaks no TLS itself (hostpeer does); sleeps never, waits for events.
 * Used by the host tests and the soak test in their one process, no lock.
 *
 * Environment: KAMAILIO (default: kamailio), KAMCMD (kamcmd), TLS_MODULE
 * (../../tls.so beside the program's source). */
#ifndef TEST_HOSTLIB_H
#define TEST_HOSTLIB_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HOST_PATH_MAX 512
#define HOST_PROCS_MAX 128
#define HOST_START_MS 20000 /* longest accepted start */
#define HOST_STOP_MS 15000	/* longest accepted stop */
/* Kamailio's default listen port is free to the system: none is assumed. */

/* What differs from the default configuration. In every text the words
 * @CERTS@ (folder of certificates), @DIR@ (scratch of this Kamailio), @TLS@
 * @TCP@ @UDP@ (ports) @MODULE@ (path of tls.so) are replaced. NULL texts take
 * a default. */
struct host_config
{
	const char *globals;   /* core settings */
	const char *params;	   /* modparams of tls; default: ECDSA certificate */
	const char *tls_cfg;   /* text of @DIR@/tls.cfg; params default to it */
	const char *modules;   /* more modules and their parameters */
	const char *route;	   /* body of request_route */
	const char *routes;	   /* further routes */
	const char *allocator; /* -x: qm, fm, tlsf */
	const char *module;	   /* TLS module; default the one under test, "tls.so"
							  the one in the server's own folder */
	const char *preload;   /* LD_PRELOAD */
	const char *under;	   /* a command that runs it, as valgrind; or NULL */
	const char *input;	   /* typed on its terminal; NULL = it has none */
	int tcp_children;	   /* default 2 */
	int udp_children;	   /* default 1 */
	int shm_mb;			   /* default 64 */
	bool no_tls;		   /* plain TCP only: the library's own tests */
};

/* A Kamailio, started or finished. */
struct host_kam
{
	pid_t pid;	  /* 0 = not running */
	int pidfd;	  /* readable when it ended; -1 = none */
	int terminal; /* our side of it; -1 = none */
	int status;	  /* of waitpid, once ended */
	int tls_port;
	int tcp_port;
	int udp_port;
	char dir[HOST_PATH_MAX]; /* its scratch folder */
	char log[HOST_PATH_MAX]; /* its log file */
	char ctl[HOST_PATH_MAX]; /* its RPC socket */
	pid_t procs[HOST_PROCS_MAX];
	int n_procs;
	int sysv_before; /* System V segments before the start */
};

/* Makes the program's scratch folder below BASE and the certificates in it.
 * Returns true; false = said why on stderr. Call once. */
bool host_init(const char *base);

/* Removes the scratch folder when KEEP is false. */
void host_finish(bool keep);

/* Folder of certificates, and the full path of file NAME in it (static
 * buffer, valid until the fourth next call). */
const char *host_certs(void);
const char *host_cert(const char *name);

/* Starts Kamailio and waits until its RPC answers. Returns true; false = it
 * ended or took too long: KAM->status and the log tell. */
bool host_start(struct host_kam *kam, const struct host_config *cfg);

/* As host_start for a configuration that must be refused: waits for the end.
 * Returns the exit code, -1 = it started (and was stopped) or hung. */
int host_start_refused(struct host_kam *kam, const struct host_config *cfg);

/* Writes TEXT, expanded, to the file NAME in the scratch folder of KAM. */
bool host_write(const struct host_kam *kam, const char *name, const char *text);

/* Sends SIGNO and waits. Returns true when it ended by itself with exit code
 * 0, no process and no shared memory left and a log without host_log_bad. */
bool host_stop(struct host_kam *kam, int signo);

/* Kills what host_stop could not stop. NULL-safe, idempotent. */
void host_kill(struct host_kam *kam);

/* Waits up to MS for the end of the process. True = it ended. */
bool host_wait_end(struct host_kam *kam, int ms);

/* Has the main process a file mapped whose path contains WORD? The path goes
 * to OUT (ROOM bytes), which may be NULL. */
bool host_mapped(
		struct host_kam *kam, const char *word, char *out, size_t room);

/* First number of the version that "kamailio -v" tells; 0 = no answer. */
int host_version(void);

/* Core settings for many or silent connections: newer servers close what has
 * not sent a whole request for a while, start that clock with the first byte
 * of a handshake, and limit the connections of one address. */
const char *host_no_limits(void);

/* Notes the worker pids. Returns how many of those noted before are gone. */
int host_procs_changed(struct host_kam *kam);

/* Runs an RPC ("core.tcp_info", arguments after blanks). The answer is put
 * into OUT, 0-terminated, cut. Returns true when kamcmd exited with 0. */
bool host_rpc(struct host_kam *kam, const char *cmd, char *out, size_t room);

/* The number behind "FIELD:" in the RPC's answer; -1 = none. */
long host_rpc_number(struct host_kam *kam, const char *cmd, const char *field);

/* Bytes of shared memory in use, without the blocks that the module keeps for
 * the next handshake; those are bounded and fill up as long as there is load. */
long host_used_memory(struct host_kam *kam);

/* Asks until FIELD of CMD is WANT; false = not within MS. */
bool host_rpc_await(struct host_kam *kam, const char *cmd, const char *field,
		long want, int ms);

/* Number of log lines that contain every one of the words in NEEDLES,
 * separated by '&'; each word may have alternatives separated by '|'.
 * Case and '_' versus ' ' make no difference. The last line that matched is
 * kept for host_log_line(). Only lines after host_log_mark() count. */
int host_log_count(struct host_kam *kam, const char *needles);
const char *host_log_line(void);
void host_log_mark(struct host_kam *kam);

/* As host_log_count, but waits until there is one, or WANT of them, or MS is
 * over. */
int host_log_await(struct host_kam *kam, const char *needles, int ms);
int host_log_await_n(
		struct host_kam *kam, const char *needles, int want, int ms);

/* Number of lines that no test may see: BUG, CRITICAL, freeing, overwritten,
 * signal received by a child. The last one is host_log_line(). Whole log. */
int host_log_bad(struct host_kam *kam);

/* Waits MS on the clock, for tests of the host's own timers only. */
void host_wait_clock(int ms);

/* Milliseconds since an arbitrary start. */
long host_now(void);

/* A port of 127.0.0.1 that was free a moment ago, for TCP and UDP. */
int host_free_port(void);

#endif
