/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Writes key log lines; see tls_keylog.h. The lines are secrets: they leave
 * this file only to where the operator said, and copies are wiped. */
#include "tls_keylog.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls_addr.h"
#include "tls_port.h"

/* Longest line: a label and two numbers of at most 64 bytes in hex. */
#define LINE_MAX_BYTES 512

static bool allowed; /* set before fork */
static int (*mode_now)(void);
static char path[4096];
static struct tls_addr peer;
static int peer_socket = -1; /* of this process */
static pid_t peer_owner;
static bool complained; /* in this process */

static enum tls_rc take_peer(const char *text, struct tls_err *err)
{
	enum tls_rc rc;

	if(strncmp(text, "udp:", 4) != 0)
		return tls_err_set(err, TLS_RC_CONFIG,
				"keylog_peer: \"%s\" is not udp:ip:port", text);
	rc = tls_addr_parse(text + 4, &peer, err);
	if(rc != TLS_RC_OK)
		tls_err_prefix(err, "keylog_peer: ");
	return rc;
}

enum tls_rc tls_keylog_init(
		const struct tls_keylog_args *args, struct tls_err *err)
{
	allowed = false;
	mode_now = args->now;
	memset(&peer, 0, sizeof(peer));
	path[0] = '\0';
	if((args->mode & TLS_KEYLOG_INIT) == 0)
		return TLS_RC_OK;
	if((args->mode & TLS_KEYLOG_FILE) != 0
			&& (args->file == NULL || args->file[0] == '\0'))
		return tls_err_set(err, TLS_RC_CONFIG,
				"keylog_mode writes to a file but keylog_file is not set");
	if((args->mode & TLS_KEYLOG_PEER) != 0
			&& (args->peer == NULL || args->peer[0] == '\0'))
		return tls_err_set(err, TLS_RC_CONFIG,
				"keylog_mode sends to a peer but keylog_peer is not set");
	if(args->file != NULL
			&& snprintf(path, sizeof(path), "%s", args->file)
					   >= (int)sizeof(path))
		return tls_err_set(err, TLS_RC_CONFIG, "keylog_file is too long");
	if(args->peer != NULL && args->peer[0] != '\0'
			&& take_peer(args->peer, err) != TLS_RC_OK)
		return TLS_RC_CONFIG;
	allowed = true;
	tls_port_log(TLS_LOG_WARN,
			"keylog_mode: this server can write down the keys of its "
			"connections; who has them reads every call");
	return TLS_RC_OK;
}

bool tls_keylog_is_allowed(void)
{
	return allowed;
}

/* True for the lines from which application data is decrypted: TLS 1.2, and
 * handshake and first traffic keys of TLS 1.3. Others derive from further
 * secrets, which no tool for packets asks for. */
static bool decrypts(const char *line)
{
	static const char *const labels[] = {"CLIENT_RANDOM ",
			"CLIENT_HANDSHAKE_TRAFFIC_SECRET ",
			"SERVER_HANDSHAKE_TRAFFIC_SECRET ", "CLIENT_TRAFFIC_SECRET_0 ",
			"SERVER_TRAFFIC_SECRET_0 "};
	size_t i;

	for(i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
		if(strncmp(line, labels[i], strlen(labels[i])) == 0)
			return true;
	return false;
}

static void complain(const char *what)
{
	if(!complained)
		tls_port_log(TLS_LOG_WARN, "the key log cannot be written: %s", what);
	complained = true;
}

/* The file is opened for each line, so that it may be moved away or removed
 * while the server runs. */
static void write_file(const char *text, size_t n)
{
	int fd = open(path,
			O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
			0600);
	struct stat st;

	if(fd < 0) {
		complain("keylog_file cannot be opened");
		return;
	}
	if(fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)
			|| (st.st_mode & (S_IRWXG | S_IRWXO)) != 0
			|| st.st_uid != geteuid())
		complain("keylog_file belongs to somebody else, or others may read "
				 "it (chmod 600)");
	else if(write(fd, text, n) != (ssize_t)n)
		complain("the disk of keylog_file is full");
	close(fd);
}

static bool open_peer(void)
{
	if(peer_socket >= 0 && peer_owner == getpid())
		return true;
	peer_socket = socket(peer.family == 6 ? AF_INET6 : AF_INET,
			SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	peer_owner = getpid();
	return peer_socket >= 0;
}

static void send_peer(const char *text, size_t n)
{
	struct sockaddr_in6 six = {
			.sin6_family = AF_INET6, .sin6_port = htons(peer.port)};
	struct sockaddr_in four = {
			.sin_family = AF_INET, .sin_port = htons(peer.port)};
	bool is_six = peer.family == 6;

	memcpy(&six.sin6_addr, peer.ip, sizeof(six.sin6_addr));
	memcpy(&four.sin_addr, peer.ip, sizeof(four.sin_addr));
	if(!open_peer()
			|| sendto(peer_socket, text, n, MSG_NOSIGNAL,
					   is_six ? (const struct sockaddr *)&six
							  : (const struct sockaddr *)&four,
					   is_six ? sizeof(six) : sizeof(four))
					   < 0)
		complain("keylog_peer cannot be reached");
}

void tls_keylog_write(const char *line)
{
	char text[LINE_MAX_BYTES];
	int mode;
	int n;

	if(!allowed)
		return;
	mode = mode_now();
	if((mode & TLS_KEYLOG_ACTIVE) == 0
			|| ((mode & TLS_KEYLOG_FILTER) != 0 && !decrypts(line)))
		return;
	n = snprintf(text, sizeof(text), "%s\n", line);
	if(n < 0 || (size_t)n >= sizeof(text))
		return; /* half a key is none */
	if((mode & TLS_KEYLOG_LOG) != 0)
		tls_port_log(TLS_LOG_NOTICE, "key log: %s", line);
	if((mode & TLS_KEYLOG_FILE) != 0 && path[0] != '\0')
		write_file(text, (size_t)n);
	if((mode & TLS_KEYLOG_PEER) != 0 && peer.family != 0)
		send_peer(text, (size_t)n);
	explicit_bzero(text, sizeof(text));
}
