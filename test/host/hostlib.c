/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A real Kamailio as a test fixture, see hostlib.h.
 * Speaks no TLS; sleeps never: waits on pidfd, inotify and poll.
 * Used by the host tests and the soak test in their one process, no lock. */
#define _GNU_SOURCE
#include "hostlib.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef TEST_SOURCE_DIR
#define TEST_SOURCE_DIR "."
#endif

/* Until a server that is to stop is at rest. */
#define REST_MS 1000

/* In front of a block (tls_mem.c), and what the host rounds up for most. */
#define BLOCK_HEADER 16

static char scratch[HOST_PATH_MAX];
static char certs[HOST_PATH_MAX];
static char log_line[2048];
static long log_from;
static int serial;

long host_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000L;
}

void host_wait_clock(int ms)
{
	long end = host_now() + ms;

	while(host_now() < end)
		poll(NULL, 0, (int)(end - host_now()));
}

/* ---- scratch folder ---- */

/* Runs ARGV[0] and waits. Output goes to OUT_FD when it is not negative.
 * Returns the exit code, -1 = not started or killed. */
static int run(char *const argv[], int out_fd)
{
	pid_t pid = fork();
	int status;

	if(pid < 0)
		return -1;
	if(pid == 0) {
		if(out_fd >= 0) {
			dup2(out_fd, STDOUT_FILENO);
			dup2(out_fd, STDERR_FILENO);
		}
		execvp(argv[0], argv);
		_exit(127);
	}
	if(waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

bool host_init(const char *base)
{
	char script[HOST_PATH_MAX];
	char full[PATH_MAX];
	char *argv[] = {script, certs, NULL};

	mkdir(base, 0755);
	if(!realpath(base, full)) {
		fprintf(stderr, "no folder \"%s\": %s\n", base, strerror(errno));
		return false;
	}
	/* a unix socket path has 108 bytes at most */
	if(strlen(full) > 70) {
		fprintf(stderr, "path too long for a unix socket: %s\n", full);
		return false;
	}
	snprintf(scratch, sizeof(scratch), "%.70s/run.XXXXXX", full);
	if(!mkdtemp(scratch)) {
		perror(scratch);
		return false;
	}
	chmod(scratch, 0755);
	snprintf(certs, sizeof(certs), "%.400s/certs", scratch);
	mkdir(certs, 0755);
	snprintf(script, sizeof(script), "%s/certs.sh", TEST_SOURCE_DIR);
	if(run(argv, -1) != 0) {
		fprintf(stderr, "could not make certificates, see %s/certs.log\n",
				certs);
		return false;
	}
	return true;
}

static int remove_cb(
		const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

void host_finish(bool keep)
{
	if(scratch[0] == '\0')
		return;
	if(keep)
		fprintf(stderr, "kept for inspection: %s\n", scratch);
	else
		nftw(scratch, remove_cb, 16, FTW_DEPTH | FTW_PHYS);
	scratch[0] = '\0';
}

const char *host_certs(void)
{
	return certs;
}

const char *host_cert(const char *name)
{
	static char ring[4][HOST_PATH_MAX];
	static unsigned int next;
	char *out = ring[next++ % 4];

	snprintf(out, HOST_PATH_MAX, "%.400s/%.100s", certs, name);
	return out;
}

int host_free_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t sa_n = sizeof(sa);
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int port = 0;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if(bind(tcp, (struct sockaddr *)&sa, sizeof(sa)) == 0
			&& getsockname(tcp, (struct sockaddr *)&sa, &sa_n) == 0
			&& bind(udp, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		port = ntohs(sa.sin_port);
	close(tcp);
	close(udp);
	return port ? port : host_free_port();
}

/* ---- configuration ---- */

static const char default_params[] =
		"modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n"
		"modparam(\"tls\", \"certificate\", \"@CERTS@/ecdsa.pem\")\n"
		"modparam(\"tls\", \"private_key\", \"@CERTS@/ecdsa.key\")\n";

/* A request with X-Relay is sent to that URI by tm; everything else gets a
 * reply that repeats the body and X-Echo. */
static const char default_route[] =
		"	if($hdr(X-Relay) != $null) {\n"
		"		$du = $hdr(X-Relay);\n"
		"		if(!t_relay()) { sl_reply_error(); }\n"
		"		exit;\n"
		"	}\n"
		"	append_to_reply(\"X-Echo: $hdr(X-Echo)\\r\\n\");\n"
		"	if($cl > 0) { set_reply_body(\"$rb\", \"text/plain\"); }\n"
		"	sl_send_reply(\"200\", \"OK\");\n"
		"	exit;\n";

/* Full path of the module under test. */
static const char *module_path(void)
{
	static char path[PATH_MAX];
	const char *env = getenv("TLS_MODULE");

	if(!realpath(env ? env : TEST_SOURCE_DIR "/../../tls.so", path))
		snprintf(path, sizeof(path), "%s",
				env ? env : TEST_SOURCE_DIR "/../../tls.so");
	return path;
}

/* Writes TEXT to F with its @WORDS@ replaced. */
static void expand(FILE *f, const char *text, const struct host_kam *kam)
{
	const struct
	{
		const char *word;
		const char *path;
		int port;
	} words[] = {{"@CERTS@", certs, 0}, {"@DIR@", kam->dir, 0},
			{"@TLS@", NULL, kam->tls_port}, {"@TCP@", NULL, kam->tcp_port},
			{"@UDP@", NULL, kam->udp_port}, {"@MODULE@", module_path(), 0}};
	size_t i;

	while(*text) {
		for(i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if(strncmp(text, words[i].word, strlen(words[i].word)) == 0)
				break;
		if(i == sizeof(words) / sizeof(words[0])) {
			fputc(*text++, f);
			continue;
		}
		if(words[i].path)
			fputs(words[i].path, f);
		else
			fprintf(f, "%d", words[i].port);
		text += strlen(words[i].word);
	}
}

bool host_write(const struct host_kam *kam, const char *name, const char *text)
{
	char path[HOST_PATH_MAX + 64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", kam->dir, name);
	f = fopen(path, "w");
	if(!f)
		return false;
	expand(f, text, kam);
	return fclose(f) == 0;
}

/* The modparams of tls that CFG asks for. */
static const char *tls_params(const struct host_config *cfg)
{
	if(cfg->params)
		return cfg->params;
	return cfg->tls_cfg ? "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
						: default_params;
}

static void write_listen(
		FILE *f, const struct host_kam *kam, const struct host_config *cfg)
{
	fprintf(f, "listen=udp:127.0.0.1:%d\nlisten=tcp:127.0.0.1:%d\n",
			kam->udp_port, kam->tcp_port);
	if(!cfg->no_tls)
		fprintf(f, "enable_tls=yes\nlisten=tls:127.0.0.1:%d\n", kam->tls_port);
}

static bool write_config(
		const struct host_kam *kam, const struct host_config *cfg)
{
	char path[HOST_PATH_MAX + 16];
	FILE *f;

	snprintf(path, sizeof(path), "%s/kamailio.cfg", kam->dir);
	f = fopen(path, "w");
	if(!f)
		return false;
	fprintf(f,
			"#!KAMAILIO\ndebug=2\nchildren=%d\ntcp_children=%d\n"
			"auto_aliases=no\ndns=no\nrev_dns=no\n"
			"tcp_rd_buf_size=65536\npv_buffer_size=65535\n"
			"tcp_conn_wq_max=1048576\ntcp_max_connections=4096\n"
			"tls_max_connections=4096\ntcp_accept_aliases=no\n",
			cfg->udp_children ? cfg->udp_children : 1,
			cfg->tcp_children ? cfg->tcp_children : 2);
	/* new there, with a default under the longest body of the tests */
	if(host_version() >= 6)
		fputs("msg_recv_max_size=65535\n", f);
	write_listen(f, kam, cfg);
	if(cfg->globals)
		expand(f, cfg->globals, kam);
	if(!cfg->no_tls) {
		fprintf(f, "loadmodule \"%s\"\n",
				cfg->module ? cfg->module : module_path());
		expand(f, tls_params(cfg), kam);
		if(cfg->tls_cfg && !host_write(kam, "tls.cfg", cfg->tls_cfg))
			return false;
	}
	fprintf(f,
			"loadmodule \"kex.so\"\nloadmodule \"corex.so\"\n"
			"loadmodule \"tm.so\"\nloadmodule \"sl.so\"\n"
			"loadmodule \"pv.so\"\nloadmodule \"textops.so\"\n"
			"loadmodule \"xlog.so\"\nloadmodule \"cfg_rpc.so\"\n"
			"loadmodule \"ctl.so\"\n"
			"modparam(\"ctl\", \"binrpc\", \"unixs:%s\")\n",
			kam->ctl);
	if(cfg->modules)
		expand(f, cfg->modules, kam);
	fputs("request_route {\n", f);
	expand(f, cfg->route ? cfg->route : default_route, kam);
	fputs("}\n", f);
	if(cfg->routes)
		expand(f, cfg->routes, kam);
	return fclose(f) == 0;
}

/* ---- process ---- */

static int count_sysv(void)
{
	FILE *f = fopen("/proc/sysvipc/shm", "r");
	char line[512];
	int n = 0;

	if(!f)
		return 0;
	while(fgets(line, sizeof(line), f))
		n++;
	fclose(f);
	return n;
}

/* In the child: the terminal behind MASTER becomes its own. */
static void take_terminal(int master)
{
	const char *name = ptsname(master);

	if(setsid() < 0 || !name || open(name, O_RDWR) < 0)
		_exit(127);
}

/* In the child: becomes Kamailio. */
static void exec_kamailio(
		const struct host_kam *kam, const struct host_config *cfg)
{
	const char *prog = getenv("KAMAILIO");
	char cfg_path[HOST_PATH_MAX + 16];
	char mem[16];
	char under[HOST_PATH_MAX * 2];
	char *argv[24];
	int n = 0;
	int fd = open(kam->log, O_WRONLY | O_CREAT | O_APPEND, 0644);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if(kam->terminal >= 0)
		take_terminal(kam->terminal);
	else
		setpgid(0, 0);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	if(cfg->preload)
		setenv("LD_PRELOAD", cfg->preload, 1);
	snprintf(cfg_path, sizeof(cfg_path), "%s/kamailio.cfg", kam->dir);
	snprintf(mem, sizeof(mem), "%d", cfg->shm_mb ? cfg->shm_mb : 64);
	if(cfg->under) {
		snprintf(under, sizeof(under), "exec %s \"$@\"", cfg->under);
		argv[n++] = "sh";
		argv[n++] = "-c";
		argv[n++] = under;
		argv[n++] = "sh";
	}
	argv[n++] = (char *)(prog ? prog : "kamailio");
	argv[n++] = "-DD";
	argv[n++] = "-E";
	argv[n++] = "-f";
	argv[n++] = cfg_path;
	argv[n++] = "-Y";
	argv[n++] = (char *)kam->dir;
	argv[n++] = "-w";
	argv[n++] = (char *)kam->dir;
	argv[n++] = "-m";
	argv[n++] = mem;
	argv[n++] = "-M";
	argv[n++] = "16";
	if(cfg->allocator) {
		argv[n++] = "-x";
		argv[n++] = (char *)cfg->allocator;
	}
	argv[n] = NULL;
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

/* A terminal on which TEXT was typed; -1 = none. */
static int open_terminal(const char *text)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if(fd >= 0
			&& (grantpt(fd) != 0 || unlockpt(fd) != 0
					|| write(fd, text, strlen(text)) < 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool spawn(struct host_kam *kam, const struct host_config *cfg)
{
	memset(kam, 0, sizeof(*kam));
	kam->pidfd = -1;
	kam->terminal = cfg->input ? open_terminal(cfg->input) : -1;
	log_from = 0;
	snprintf(kam->dir, sizeof(kam->dir), "%.400s/%d", scratch, ++serial);
	snprintf(kam->log, sizeof(kam->log), "%.400s/log", kam->dir);
	snprintf(kam->ctl, sizeof(kam->ctl), "%.400s/ctl", kam->dir);
	mkdir(kam->dir, 0755);
	kam->tls_port = host_free_port();
	kam->tcp_port = host_free_port();
	kam->udp_port = host_free_port();
	kam->sysv_before = count_sysv();
	if(!write_config(kam, cfg))
		return false;
	fflush(NULL);
	kam->pid = fork();
	if(kam->pid == 0)
		exec_kamailio(kam, cfg);
	if(kam->pid < 0) {
		kam->pid = 0;
		return false;
	}
	kam->pidfd = (int)syscall(SYS_pidfd_open, kam->pid, 0);
	return kam->pidfd >= 0;
}

bool host_wait_end(struct host_kam *kam, int ms)
{
	struct pollfd pfd = {.fd = kam->pidfd, .events = POLLIN};
	long end = host_now() + ms;
	long left;

	if(kam->pid == 0)
		return true;
	do {
		left = end - host_now();
		if(poll(&pfd, 1, left > 0 ? (int)left : 0) > 0) {
			waitpid(kam->pid, &kam->status, 0);
			close(kam->pidfd);
			if(kam->terminal >= 0)
				close(kam->terminal);
			kam->pidfd = kam->terminal = -1;
			kam->pid = 0;
			return true;
		}
	} while(left > 0);
	return false;
}

/* Waits until the RPC socket's file appears or the process ends. */
static bool wait_socket(struct host_kam *kam, long end)
{
	struct pollfd pfd[2] = {{.events = POLLIN}, {.events = POLLIN}};
	char buf[4096];
	bool there = false;
	int ifd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	inotify_add_watch(ifd, kam->dir, IN_CREATE);
	pfd[0].fd = ifd;
	pfd[1].fd = kam->pidfd;
	while(!(there = access(kam->ctl, F_OK) == 0) && host_now() < end) {
		if(poll(pfd, 2, (int)(end - host_now())) < 0 && errno != EINTR)
			break;
		if(pfd[1].revents)
			break;
		while(read(ifd, buf, sizeof(buf)) > 0)
			;
	}
	close(ifd);
	return there;
}

/* Notes all children of the main process. */
static void note_procs(struct host_kam *kam)
{
	char path[64];
	char *at;
	FILE *f;

	kam->n_procs = 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)kam->pid,
			(int)kam->pid);
	f = fopen(path, "r");
	if(f) {
		char line[4096] = "";

		if(fgets(line, sizeof(line), f))
			for(at = strtok(line, " "); at && kam->n_procs < HOST_PROCS_MAX;
					at = strtok(NULL, " "))
				if(atoi(at) > 0)
					kam->procs[kam->n_procs++] = (pid_t)atoi(at);
		fclose(f);
	}
}

/* The state letter of PID as in proc(5), 0 when it is no Kamailio. */
static char state_of(pid_t pid)
{
	char path[64];
	char line[512] = "";
	const char *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if(!f)
		return 0;
	if(!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	state = strrchr(line, ')');
	return state && state[1] == ' ' && strstr(line, "(kamailio") ? state[2] : 0;
}

/* Is PID alive (a zombie is not) and is it a Kamailio? */
static bool alive(pid_t pid)
{
	char state = state_of(pid);

	return state != 0 && state != 'Z';
}

static void await_sleep(struct host_kam *kam, pid_t pid, long end)
{
	while(alive(pid) && state_of(pid) != 'S' && host_now() < end)
		host_wait_end(kam, 5);
}

/* Notes the processes and waits until each has been seen asleep. */
static void await_all(struct host_kam *kam, long end)
{
	int i;

	note_procs(kam);
	for(i = 0; i < kam->n_procs; i++)
		await_sleep(kam, kam->procs[i], end);
}

/* Waits until the main process has forked all others and each has slept once.
 * One that was forked and has not run yet still takes itself for the main
 * process: a signal to end would get lost in it, and the server would wait
 * for it (core/pt.c, main.c: sig_usr()). */
static void await_processes(struct host_kam *kam)
{
	long end = host_now() + HOST_START_MS;

	await_sleep(kam, kam->pid, end);
	await_all(kam, end);
}

/* Waits for a moment in which every process sleeps. A signal ends a worker
 * wherever it is (main.c: sig_usr()): inside the allocator of the shared memory
 * it leaves half a list, over which the main process may fall when it frees
 * everything. A server under load is not waited for. */
static void await_rest(struct host_kam *kam)
{
	await_all(kam, host_now() + REST_MS);
}

int host_procs_changed(struct host_kam *kam)
{
	pid_t old[HOST_PROCS_MAX];
	int n_old = kam->n_procs;
	int gone = 0;
	int i;
	int k;

	memcpy(old, kam->procs, sizeof(old));
	note_procs(kam);
	for(i = 0; i < n_old; i++) {
		for(k = 0; k < kam->n_procs && kam->procs[k] != old[i]; k++)
			;
		if(k == kam->n_procs)
			gone++;
	}
	return gone;
}

bool host_mapped(struct host_kam *kam, const char *word, char *out, size_t room)
{
	char path[64];
	char line[PATH_MAX + 128];
	char *at = NULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)kam->pid);
	f = fopen(path, "r");
	if(!f)
		return false;
	while(fgets(line, sizeof(line), f)) {
		at = strchr(line, '/');
		if(at && strstr(at, word))
			break;
		at = NULL;
	}
	fclose(f);
	if(at && out) {
		at[strcspn(at, "\n")] = '\0';
		snprintf(out, room, "%s", at);
	}
	return at != NULL;
}

int host_version(void)
{
	static int major; /* asked once */
	const char *prog = getenv("KAMAILIO");
	char cmd[PATH_MAX];
	char line[512];
	FILE *f;

	if(major > 0)
		return major;
	snprintf(cmd, sizeof(cmd), "%s -v", prog ? prog : "kamailio");
	f = popen(cmd, "r");
	while(f && major == 0 && fgets(line, sizeof(line), f))
		if(sscanf(line, "version: %*s %d.", &major) != 1)
			major = 0;
	/* read to the end, or the server would meet a closed pipe */
	while(f && fgets(line, sizeof(line), f))
		;
	if(f)
		pclose(f);
	return major;
}

const char *host_no_limits(void)
{
	return host_version() >= 6 ? "tcp_msg_data_timeout=3600\n"
								 "tcp_msg_read_timeout=3600\n"
								 "tcp_accept_iplimit=0\n"
							   : "";
}

bool host_start(struct host_kam *kam, const struct host_config *cfg)
{
	char answer[256];
	long end = host_now() + HOST_START_MS;
	int try;

	for(try = 0; try < 3; try++) {
		if(!spawn(kam, cfg))
			return false;
		if(wait_socket(kam, end)) {
			while(kam->pid && host_now() < end) {
				if(host_rpc(kam, "core.uptime", answer, sizeof(answer))) {
					await_processes(kam);
					return true;
				}
				host_wait_end(kam, 20);
			}
		}
		host_wait_end(kam, 1000);
		host_kill(kam);
		/* somebody took one of the free ports meanwhile: not our matter */
		if(host_log_count(kam, "already in use") == 0)
			return false;
	}
	return false;
}

int host_start_refused(struct host_kam *kam, const struct host_config *cfg)
{
	if(!spawn(kam, cfg))
		return -1;
	if(!host_wait_end(kam, HOST_START_MS)) {
		host_kill(kam);
		return -1;
	}
	return WIFEXITED(kam->status) ? WEXITSTATUS(kam->status) : -1;
}

void host_kill(struct host_kam *kam)
{
	int i;

	if(!kam)
		return;
	if(kam->pid) {
		note_procs(kam);
		kill(kam->pid, SIGKILL);
		host_wait_end(kam, 5000);
	}
	for(i = 0; i < kam->n_procs; i++)
		if(alive(kam->procs[i]))
			kill(kam->procs[i], SIGKILL);
	kam->n_procs = 0;
}

/* Where each process of a server waits that does not stop, on the standard
 * error: what the log cannot tell. gdb is asked when there is one. */
static void show_stacks(const struct host_kam *kam)
{
	char pid[16];
	char *argv[] = {"gdb", "-nx", "-batch", "-ex", "bt", "-p", pid, NULL};
	int i;

	for(i = -1; i < kam->n_procs; i++) {
		pid_t process = i < 0 ? kam->pid : kam->procs[i];

		if(!alive(process))
			continue;
		snprintf(pid, sizeof(pid), "%d", (int)process);
		fprintf(stderr, "process %s still runs:\n", pid);
		run(argv, STDERR_FILENO);
	}
}

bool host_stop(struct host_kam *kam, int signo)
{
	bool good = true;
	int i;

	if(!kam->pid)
		return false;
	await_rest(kam);
	kill(kam->pid, signo);
	if(!host_wait_end(kam, HOST_STOP_MS)) {
		fprintf(stderr, "did not stop: %s\n", kam->log);
		show_stacks(kam);
		host_kill(kam);
		return false;
	}
	if(!WIFEXITED(kam->status) || WEXITSTATUS(kam->status) != 0) {
		fprintf(stderr, "ended with status %x: %s\n", kam->status, kam->log);
		good = false;
	}
	for(i = 0; i < kam->n_procs; i++)
		if(alive(kam->procs[i])) {
			fprintf(stderr, "process %d is left: %s\n", (int)kam->procs[i],
					kam->log);
			good = false;
		}
	if(count_sysv() > kam->sysv_before) {
		fprintf(stderr, "shared memory is left: %s\n", kam->log);
		good = false;
	}
	if(host_log_bad(kam) > 0) {
		fprintf(stderr, "bad line: %s: %s\n", kam->log, log_line);
		good = false;
	}
	host_kill(kam);
	return good;
}

/* ---- RPC ---- */

bool host_rpc(struct host_kam *kam, const char *cmd, char *out, size_t room)
{
	char words[512];
	char sock[HOST_PATH_MAX + 16];
	char *argv[24];
	const char *prog = getenv("KAMCMD");
	char *word;
	size_t used = 0;
	ssize_t got;
	int status = -1;
	int fds[2];
	int n = 0;
	pid_t pid;

	snprintf(words, sizeof(words), "%s", cmd);
	snprintf(sock, sizeof(sock), "unixs:%s", kam->ctl);
	argv[n++] = (char *)(prog ? prog : "kamcmd");
	argv[n++] = "-s";
	argv[n++] = sock;
	for(word = strtok(words, " "); word && n < 23; word = strtok(NULL, " "))
		argv[n++] = word;
	argv[n] = NULL;
	out[0] = '\0';
	if(pipe2(fds, O_CLOEXEC) != 0)
		return false;
	pid = fork();
	if(pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(fds[1]);
	while(pid > 0 && (got = read(fds[0], out + used, room - 1 - used)) > 0)
		used += (size_t)got;
	out[used] = '\0';
	close(fds[0]);
	if(pid > 0)
		waitpid(pid, &status, 0);
	return status == 0 && !strstr(out, "error: ");
}

long host_rpc_number(struct host_kam *kam, const char *cmd, const char *field)
{
	char answer[16384];
	size_t field_n = strlen(field);
	const char *at;

	if(!host_rpc(kam, cmd, answer, sizeof(answer)))
		return -1;
	for(at = answer; (at = strstr(at, field)); at += field_n) {
		if(at != answer && (isalnum((unsigned char)at[-1]) || at[-1] == '_'))
			continue;
		if(at[field_n] == ':')
			return strtol(at + field_n + 1, NULL, 10);
	}
	return -1;
}

long host_used_memory(struct host_kam *kam)
{
	return host_rpc_number(kam, "core.shmmem", "used")
		   - host_rpc_number(kam, "tls.mem", "cached_bytes")
		   - BLOCK_HEADER * host_rpc_number(kam, "tls.mem", "cached_blocks");
}

bool host_rpc_await(struct host_kam *kam, const char *cmd, const char *field,
		long want, int ms)
{
	long end = host_now() + ms;

	while(host_rpc_number(kam, cmd, field) != want) {
		if(host_now() >= end || host_wait_end(kam, 50))
			return false;
	}
	return true;
}

/* ---- log ---- */

/* Does LINE contain the word of N bytes? '_' equals ' ', case is ignored. */
static bool has_word(const char *line, const char *word, size_t n)
{
	size_t i;

	for(; *line; line++) {
		for(i = 0; i < n && line[i]; i++) {
			int a = tolower((unsigned char)line[i]);
			int b = tolower((unsigned char)word[i]);

			if((a == '_' ? ' ' : a) != (b == '_' ? ' ' : b))
				break;
		}
		if(i == n)
			return true;
	}
	return false;
}

static bool line_matches(const char *line, const char *needles)
{
	const char *at = needles;
	bool hit = false;

	for(;;) {
		size_t n = strcspn(at, "|&");

		hit = hit || has_word(line, at, n);
		at += n;
		if(*at == '\0')
			return hit;
		if(*at == '&') {
			if(!hit)
				return false;
			hit = false;
		}
		at++;
	}
}

/* Lines after FROM that match NEEDLES but not EXCEPT (NULL = no such). */
static int count_lines(struct host_kam *kam, const char *needles,
		const char *except, long from)
{
	FILE *f = fopen(kam->log, "r");
	char line[2048];
	int n = 0;

	if(!f)
		return 0;
	fseek(f, from, SEEK_SET);
	while(fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if(!line_matches(line, needles)
				|| (except && line_matches(line, except)))
			continue;
		snprintf(log_line, sizeof(log_line), "%s", line);
		n++;
	}
	fclose(f);
	return n;
}

int host_log_count(struct host_kam *kam, const char *needles)
{
	return count_lines(kam, needles, NULL, log_from);
}

const char *host_log_line(void)
{
	return log_line;
}

void host_log_mark(struct host_kam *kam)
{
	struct stat st;

	log_from = stat(kam->log, &st) == 0 ? (long)st.st_size : 0;
}

int host_log_await(struct host_kam *kam, const char *needles, int ms)
{
	return host_log_await_n(kam, needles, 1, ms);
}

int host_log_await_n(
		struct host_kam *kam, const char *needles, int want, int ms)
{
	struct pollfd pfd = {.events = POLLIN};
	long end = host_now() + ms;
	char buf[4096];
	int n;

	pfd.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	inotify_add_watch(pfd.fd, kam->log, IN_MODIFY);
	while((n = host_log_count(kam, needles)) < want && host_now() < end) {
		poll(&pfd, 1, (int)(end - host_now()));
		while(read(pfd.fd, buf, sizeof(buf)) > 0)
			;
	}
	close(pfd.fd);
	return n;
}

int host_log_bad(struct host_kam *kam)
{
	static const char bad[] = " BUG|CRITICAL:|freeing a|overwritten|"
							  "killed by signal|exited by a signal|"
							  "dumped core|double free|corrupted";
	/* the host's processes say so of each other while they stop, and when one
	 * is so busy that a connection for it has to wait, which is all that is */
	static const char noise[] =
			"CRITICAL:&pass_fd.c|read from tcp child|queue full";

	return count_lines(kam, bad, noise, 0);
}
