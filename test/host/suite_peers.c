/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Other TLS programs as peers: openssl s_client and gnutls-cli, with options
 * that our own client does not have.
 * The suite owns one Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostsip.h"
#include "hostsuite.h"

static struct host_kam shared;

static int suite_init(void)
{
	static const struct host_config cfg = {0};

	return host_start(&shared, &cfg) ? 0 : -1;
}

static int suite_clean(void)
{
	return host_stop(&shared, SIGTERM) ? 0 : -1;
}

/* In the child: becomes the program of the shell line CMD. */
static void exec_peer(const char *cmd, int in, int out)
{
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
	_exit(127);
}

/* Runs CMD, gives it a request, waits for the reply in its output. */
static bool talk(const char *cmd, unsigned int cseq)
{
	struct sip_req req = {.call_id = "peers", .cseq = cseq};
	struct pollfd pfd = {.events = POLLIN};
	char msg[4096];
	char out[16384];
	size_t used = 0;
	bool good = false;
	long end = host_now() + 8000;
	ssize_t got;
	size_t n;
	int in[2];
	int ou[2];
	pid_t pid;

	if(pipe2(in, O_CLOEXEC) != 0 || pipe2(ou, O_CLOEXEC) != 0)
		return false;
	fflush(NULL);
	pid = fork();
	if(pid == 0)
		exec_peer(cmd, in[0], ou[1]);
	close(in[0]);
	close(ou[1]);
	n = sip_request(msg, sizeof(msg), &req);
	good = write(in[1], msg, n) == (ssize_t)n;
	pfd.fd = ou[0];
	while(good && host_now() < end) {
		out[used] = '\0';
		if(strstr(out, "SIP/2.0 200"))
			break;
		if(poll(&pfd, 1, (int)(end - host_now())) <= 0
				|| (got = read(ou[0], out + used, sizeof(out) - 1 - used))
						   <= 0) {
			good = false;
			break;
		}
		used += (size_t)got;
	}
	out[used] = '\0';
	good = good && strstr(out, "SIP/2.0 200");
	if(!good)
		fprintf(stderr, "  %s: %.300s\n", cmd, out);
	close(in[1]);
	close(ou[0]);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return good;
}

struct peer_row
{
	const char *cmd; /* "%d" is the port, "%s" the CA file */
	const char *reason;
};

static void run_rows(const struct peer_row *rows, size_t n)
{
	char cmd[1024];
	size_t i;

	for(i = 0; i < n; i++) {
		snprintf(cmd, sizeof(cmd), rows[i].cmd, shared.tls_port,
				host_cert("ca.pem"));
		HOLDS(talk(cmd, (unsigned int)i + 1), rows[i].reason);
	}
}

#define S_CLIENT                                                     \
	"exec openssl s_client -quiet -connect 127.0.0.1:%d -CAfile %s " \
	"-verify_return_error "
#define GNUTLS \
	"exec gnutls-cli -p %d --x509cafile=%s --verify-hostname=localhost "

static void test_s_client(void)
{
	static const struct peer_row rows[] = {
			{S_CLIENT "-tls1_2", "s_client, TLS 1.2"},
			{S_CLIENT "-tls1_3", "s_client, TLS 1.3"},
			{S_CLIENT "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
					"s_client, ChaCha20 in TLS 1.2"},
			{S_CLIENT "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256",
					"s_client, AES-128"},
			{S_CLIENT "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
					"s_client, ChaCha20"},
			{S_CLIENT "-tls1_3 -curves P-384 -sigalgs ECDSA+SHA256",
					"s_client, another group: HelloRetryRequest or not"},
			{S_CLIENT "-no_ticket", "s_client, no tickets"},
			{S_CLIENT "-tls1_2 -max_send_frag 512", "s_client, small records"},
			{S_CLIENT "-servername localhost", "s_client, a server name"},
			{S_CLIENT "-alpn sip/2", "s_client, ALPN offered"},
	};

	run_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_gnutls(void)
{
	static const struct peer_row rows[] = {
			{GNUTLS "--priority=NORMAL:-VERS-ALL:+VERS-TLS1.2 127.0.0.1",
					"GnuTLS, TLS 1.2"},
			{GNUTLS "--priority=NORMAL:-VERS-ALL:+VERS-TLS1.3 127.0.0.1",
					"GnuTLS, TLS 1.3"},
			{GNUTLS "--priority=NORMAL:-GROUP-ALL:+GROUP-SECP384R1 127.0.0.1",
					"GnuTLS, another group"},
			{GNUTLS "--recordsize=512 127.0.0.1",
					"GnuTLS, small records wanted"},
			{GNUTLS "--priority=NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305 "
					"127.0.0.1",
					"GnuTLS, ChaCha20"},
			{GNUTLS "--priority=NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:"
					"+AES-128-CBC 127.0.0.1",
					"GnuTLS, a CBC suite with encrypt-then-mac"},
	};

	run_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static const struct suite_test tests[] = {{"openssl s_client", test_s_client},
		{"gnutls-cli", test_gnutls}, {NULL, NULL}};

const struct suite suite_peers = {"peers", suite_init, suite_clean, tests};
