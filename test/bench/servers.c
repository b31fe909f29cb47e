/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The servers under test: Kamailio with each TLS module or with none, nginx in
 * front of the latter, an echo; their processor, their CPU time, their end.
 * Ends only what it started.
 * One process, one thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define PIDS_MAX 64
#define NGINX_START_MS 5000
#define NGINX_TRY_MS 100
#define SERVER_SHM_MB 64

struct bench_server bench_servers[BENCH_TARGETS];

/* 200 with the body of the request. */
static const char answer_route[] =
		"	if($cl > 0) { set_reply_body(\"$rb\", \"text/plain\"); }\n"
		"	sl_send_reply(\"200\", \"OK\");\n"
		"	exit;\n";

const char bench_relay_route[] = "	if($hdr(X-Relay) != $null) {\n"
								 "		$du = $hdr(X-Relay);\n"
								 "		forward();\n"
								 "		exit;\n"
								 "	}\n"
								 "	sl_send_reply(\"200\", \"OK\");\n"
								 "	exit;\n";

/* Connections live as long as the run. */
static const char base_globals[] =
		"tcp_connection_lifetime=3600\nlog_stderror=yes\n";

void bench_pin(bool last)
{
	static cpu_set_t all;
	static bool known;
	cpu_set_t one;
	int cpu = -1;
	int i;

	if(!known)
		known = sched_getaffinity(0, sizeof(all), &all) == 0;
	for(i = 0; i < CPU_SETSIZE; i++)
		if(CPU_ISSET(i, &all) && (cpu < 0 || last))
			cpu = i;
	if(cpu < 0)
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* ---- CPU time ---- */

/* PID and all its descendants, as far as there is room. */
static int pids_below(pid_t pid, pid_t *pids, int n)
{
	char path[64];
	FILE *f;
	int child;

	if(n == PIDS_MAX)
		return n;
	pids[n++] = pid;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "r");
	if(!f)
		return n;
	while(fscanf(f, "%d", &child) == 1)
		n = pids_below(child, pids, n);
	fclose(f);
	return n;
}

/* Ticks of /proc/PID/stat, for kernels without schedstat. */
static double stat_us(pid_t pid)
{
	char path[64];
	char line[1024];
	const char *end;
	unsigned long user;
	unsigned long kernel;
	double us = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if(!f)
		return 0;
	end = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	if(end
			&& sscanf(end,
					   ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
					   &user, &kernel)
					   == 2)
		us = (double)(user + kernel) * 1e6 / (double)sysconf(_SC_CLK_TCK);
	fclose(f);
	return us;
}

/* The kernel has the sum of user and kernel time in nanoseconds in schedstat,
 * up to date for a process that sleeps, as an idle server does. */
static double process_us(pid_t pid)
{
	char path[64];
	unsigned long long ns = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	f = fopen(path, "r");
	if(f && fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	if(f)
		fclose(f);
	return ns > 0 ? (double)ns / 1e3 : stat_us(pid);
}

double bench_server_us(const struct bench_server *server)
{
	pid_t pids[PIDS_MAX];
	int n = 0;
	double us = 0;

	if(server->child > 0) {
		n = pids_below(server->child, pids, n);
		if(server == &bench_servers[BENCH_NGINX])
			n = pids_below(bench_servers[BENCH_PLAIN].kam.pid, pids, n);
	} else {
		n = pids_below(server->kam.pid, pids, n);
	}
	while(n-- > 0)
		us += process_us(pids[n]);
	return us;
}

/* ---- Kamailio ---- */

static const char *params_for(enum bench_target target)
{
	switch(target) {
		case BENCH_OWN:
		case BENCH_PLAIN:
			return "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
				   "modparam(\"tls\", \"record_layer\", \"own\")\n";
		case BENCH_OPENSSL:
			return "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
				   "modparam(\"tls\", \"record_layer\", \"openssl\")\n";
		case BENCH_STOCK:
		case BENCH_NGINX:
		case BENCH_TLSECHO:
		case BENCH_ECHO:
		case BENCH_RAW:
		case BENCH_TARGETS:
			break;
	}
	return NULL;
}

bool bench_server_start(
		struct bench_server *server, const struct bench_setup *setup)
{
	struct host_config cfg = {
			.route = setup->route ? setup->route : answer_route,
			.modules = setup->modules,
			.params = params_for(setup->target),
			.shm_mb = setup->shm_mb ? setup->shm_mb : SERVER_SHM_MB,
			.tcp_children = setup->workers,
			.under = setup->under,
			.no_tls = setup->target == BENCH_PLAIN && setup->bare};
	const char *trait = setup->rsa ? "rsa" : "ecdsa";
	char globals[512];
	char text[512];
	char params[HOST_PATH_MAX + 64];

	snprintf(globals, sizeof(globals), "%s%s%s", base_globals, host_no_limits(),
			setup->globals ? setup->globals : "");
	cfg.globals = globals;
	snprintf(text, sizeof(text),
			"[server:default]\nmethod = TLSv1.2+\n"
			"verify_certificate = no\nrequire_certificate = no\n"
			"certificate = @CERTS@/%s.pem\nprivate_key = @CERTS@/%s.key\n"
			"[client:default]\nmethod = TLSv1.2+\nverify_certificate = no\n"
			"require_certificate = no\n",
			trait, trait);
	if(!cfg.no_tls)
		cfg.tls_cfg = text;
	if(setup->config) {
		snprintf(params, sizeof(params),
				"modparam(\"tls\", \"config\", \"%s\")\n", setup->config);
		cfg.params = params;
	}
	if(setup->target == BENCH_STOCK)
		cfg.module = "tls.so";
	memset(server, 0, sizeof(*server));
	bench_pin(false);
	server->up = host_start(&server->kam, &cfg);
	bench_pin(true);
	server->port = setup->target == BENCH_PLAIN ? server->kam.tcp_port
												: server->kam.tls_port;
	if(!server->up)
		bench_fault(
				"does not start, its log is kept", bench_word(setup->target));
	return server->up;
}

void bench_server_stop(struct bench_server *server)
{
	if(!server->up)
		return;
	host_procs_changed(&server->kam);
	kill(server->kam.pid, SIGTERM);
	host_wait_end(&server->kam, HOST_STOP_MS);
	host_kill(&server->kam);
	server->up = false;
}

/* ---- nginx ---- */

static bool write_nginx_conf(const struct bench_server *nginx, int to, bool rsa)
{
	static const char module[] = "/usr/lib/nginx/modules/ngx_stream_module.so";
	const char *trait = rsa ? "rsa" : "ecdsa";
	char path[HOST_PATH_MAX + 16];
	FILE *f;

	snprintf(path, sizeof(path), "%s/nginx.conf", nginx->nginx_dir);
	f = fopen(path, "w");
	if(!f)
		return false;
	if(access(module, F_OK) == 0)
		fprintf(f, "load_module %s;\n", module);
	fprintf(f,
			"daemon off;\nworker_processes 2;\npid %s/pid;\nerror_log %s/log;\n"
			"events { worker_connections 8192; }\n"
			"stream { server {\n\tlisten 127.0.0.1:%d ssl;\n"
			"\tssl_protocols TLSv1.2 TLSv1.3;\n"
			"\tssl_certificate %s/%s.pem;\n\tssl_certificate_key %s/%s.key;\n"
			"\ttcp_nodelay on;\n\tproxy_pass 127.0.0.1:%d;\n} }\n",
			nginx->nginx_dir, nginx->nginx_dir, nginx->port, host_certs(),
			trait, host_certs(), trait, to);
	return fclose(f) == 0;
}

/* Takes connections when a TLS client gets through. */
static bool nginx_answers(const struct bench_server *nginx)
{
	struct bench_load load = {.port = nginx->port,
			.tls = true,
			.quiet = true,
			.version = TLS1_3_VERSION,
			.conns = 1,
			.bytes = 400};
	struct bench_set *set = bench_client_open(&load);

	bench_client_close(set);
	return set != NULL;
}

static void start_nginx(bool rsa)
{
	struct bench_server *nginx = &bench_servers[BENCH_NGINX];
	long end = host_now() + NGINX_START_MS;
	char conf[HOST_PATH_MAX + 16];

	memset(nginx, 0, sizeof(*nginx));
	nginx->port = host_free_port();
	snprintf(nginx->nginx_dir, sizeof(nginx->nginx_dir), "%.400s",
			bench_servers[BENCH_PLAIN].kam.dir);
	snprintf(conf, sizeof(conf), "%s/nginx.conf", nginx->nginx_dir);
	if(write_nginx_conf(nginx, bench_servers[BENCH_PLAIN].port, rsa)) {
		bench_pin(false);
		fflush(NULL);
		nginx->child = fork();
		if(nginx->child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			execlp("nginx", "nginx", "-p", nginx->nginx_dir, "-c", conf, "-e",
					"stderr", (char *)NULL);
			_exit(127);
		}
		bench_pin(true);
		while(!(nginx->up = nginx_answers(nginx)) && host_now() < end
				&& waitpid(nginx->child, NULL, WNOHANG) == 0)
			host_wait_clock(NGINX_TRY_MS);
	}
	if(!nginx->up)
		bench_fault("does not start", "nginx");
}

static void stop_child(struct bench_server *server)
{
	if(server->child > 0) {
		kill(server->child, SIGTERM);
		waitpid(server->child, NULL, 0);
	}
	server->child = 0;
	server->up = false;
}

/* ---- all of them ---- */

void bench_servers_start(bool rsa)
{
	struct bench_setup setup = {.rsa = rsa};
	int i;

	for(i = BENCH_OWN; i <= BENCH_PLAIN; i++) {
		setup.target = (enum bench_target)i;
		if(bench_results.has[i])
			bench_server_start(&bench_servers[i], &setup);
	}
	if(bench_results.has[BENCH_NGINX] && bench_servers[BENCH_PLAIN].up)
		start_nginx(rsa);
	for(i = BENCH_TLSECHO; i <= BENCH_ECHO; i++)
		if(bench_results.has[i]
				&& !bench_echo_start(
						&bench_servers[i], i == BENCH_TLSECHO, rsa))
			bench_fault("does not start", bench_word((enum bench_target)i));
	if(!bench_raw_init(host_cert(rsa ? "rsa.pem" : "ecdsa.pem"),
			   host_cert(rsa ? "rsa.key" : "ecdsa.key")))
		bench_fault("no certificate", "raw");
}

void bench_servers_stop(void)
{
	int i;

	for(i = BENCH_NGINX; i <= BENCH_ECHO; i++)
		stop_child(&bench_servers[i]);
	for(i = BENCH_OWN; i <= BENCH_PLAIN; i++)
		bench_server_stop(&bench_servers[i]);
}
