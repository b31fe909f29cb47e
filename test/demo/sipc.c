/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The demo's SIP client: one TLS connection, an OPTIONS and a MESSAGE, the
 * replies and what was negotiated, printed. With "ports N" it prints N free
 * TCP ports of the loopback instead. Verifies the server, never retries.
 * A program of its own; demo.sh calls it. */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_MAX 65536
#define PORTS_MAX 16
#define TIMEOUT_S 10

struct client
{
	SSL *ssl;
	int fd;
	int port; /* of the server */
	struct sockaddr_in local;
	int cseq;
};

static void die(const char *what)
{
	fprintf(stderr, "sipc: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* Prints N ports that the kernel gave out, all held until the last is known,
 * so that they differ. */
static int print_ports(int n)
{
	struct sockaddr_in addr;
	socklen_t len;
	int i, fd;

	if(n < 1 || n > PORTS_MAX)
		die("number of ports");
	for(i = 0; i < n; i++) {
		memset(&addr, 0, sizeof(addr));
		addr.sin_family = AF_INET;
		addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		len = sizeof(addr);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if(fd < 0 || bind(fd, (struct sockaddr *)&addr, len)
				|| getsockname(fd, (struct sockaddr *)&addr, &len))
			die("no free port");
		printf("%d\n", ntohs(addr.sin_port));
	}
	return 0;
}

/* TCP to the port of C on the loopback; C knows its own address after. */
static void connect_tcp(struct client *c)
{
	struct timeval limit = {.tv_sec = TIMEOUT_S};
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(c->local);

	addr.sin_port = htons((unsigned short)c->port);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if(c->fd < 0)
		die("socket");
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if(connect(c->fd, (struct sockaddr *)&addr, sizeof(addr))
			|| getsockname(c->fd, (struct sockaddr *)&c->local, &len)) {
		perror("sipc: connect");
		exit(1);
	}
}

/* TLS on the connection of C: the server must be NAME by the authority in
 * DIR, the client shows DIR's client certificate. */
static void connect_tls(struct client *c, const char *dir, const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char ca[512], cert[512], key[512];

	snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
	snprintf(cert, sizeof(cert), "%s/client.pem", dir);
	snprintf(key, sizeof(key), "%s/client.key", dir);
	if(!ctx || SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1
			|| SSL_CTX_use_certificate_chain_file(ctx, cert) != 1
			|| SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		die("certificates of the client");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	c->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	if(!c->ssl || SSL_set1_host(c->ssl, name) != 1
			|| SSL_set_tlsext_host_name(c->ssl, name) != 1
			|| SSL_set_fd(c->ssl, c->fd) != 1)
		die("TLS object");
	if(SSL_connect(c->ssl) != 1)
		die("handshake");
}

/* Prints what was negotiated, in the words that demo.sh looks for. */
static void print_hop(struct client *c)
{
	X509 *peer = SSL_get1_peer_certificate(c->ssl);
	char cn[128] = "";

	if(!peer
			|| X509_NAME_get_text_by_NID(X509_get_subject_name(peer),
					   NID_commonName, cn, sizeof(cn))
					   < 0)
		die("no certificate of the server");
	X509_free(peer);
	printf("hop=client-edge version=%s cipher=%s peer=%s verify=%ld\n",
			SSL_get_version(c->ssl), SSL_get_cipher_name(c->ssl), cn,
			SSL_get_verify_result(c->ssl));
}

/* Value of header NAME in the message TEXT, or NULL. */
static const char *header(const char *text, const char *name)
{
	size_t n = strlen(name);
	const char *line;

	for(line = strstr(text, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if(!strncasecmp(line, name, n) && line[n] == ':')
			return line + n + 1 + strspn(line + n + 1, " \t");
	}
	return NULL;
}

/* Reads one whole message into TEXT (REPLY_MAX bytes, ended by 0). */
static void read_message(struct client *c, char *text)
{
	const char *end = NULL, *length;
	size_t have = 0, want = 0;
	int n;

	text[0] = '\0';
	while(!end || have < want) {
		if(have == REPLY_MAX - 1)
			die("reply too long");
		n = SSL_read(c->ssl, text + have, (int)(REPLY_MAX - 1 - have));
		if(n <= 0)
			die("no reply");
		have += (size_t)n;
		text[have] = '\0';
		end = end ? end : strstr(text, "\r\n\r\n");
		if(end && !want) {
			length = header(text, "Content-Length");
			want = (size_t)(end + 4 - text)
				   + (length ? strtoul(length, NULL, 10) : 0);
		}
	}
}

/* Sends METHOD with BODY and prints the final reply; true when it is 200. */
static bool request(struct client *c, const char *method, const char *body)
{
	char text[4096], reply[REPLY_MAX];
	int n, status;

	c->cseq++;
	n = snprintf(text, sizeof(text),
			"%s sip:bob@core.demo SIP/2.0\r\n"
			"Via: SIP/2.0/TLS 127.0.0.1:%d;branch=z9hG4bK%d.%d;rport\r\n"
			"Max-Forwards: 70\r\n"
			"From: <sip:alice@edge.demo>;tag=%d\r\n"
			"To: <sip:bob@core.demo>\r\n"
			"Call-ID: demo-%d-%d@127.0.0.1\r\n"
			"CSeq: %d %s\r\n"
			"Contact: <sip:alice@127.0.0.1:%d;transport=tls>\r\n"
			"%sContent-Length: %zu\r\n\r\n%s",
			method, ntohs(c->local.sin_port), (int)getpid(), c->cseq,
			(int)getpid(), (int)getpid(), c->cseq, c->cseq, method,
			ntohs(c->local.sin_port),
			*body ? "Content-Type: text/plain\r\n" : "", strlen(body), body);
	if(n < 0 || (size_t)n >= sizeof(text))
		die("request too long");
	if(SSL_write(c->ssl, text, n) != n)
		die("write");
	do {
		read_message(c, reply);
		if(sscanf(reply, "SIP/2.0 %d", &status) != 1)
			die("not a SIP reply");
	} while(status < 200);
	printf("---- reply to %s\n%s\n", method, reply);
	return status == 200;
}

int main(int argc, char **argv)
{
	struct client c = {.fd = -1};
	bool good;

	if(argc == 3 && !strcmp(argv[1], "ports"))
		return print_ports(atoi(argv[2]));
	if(argc != 4) {
		fprintf(stderr, "usage: sipc ports N | sipc PORT CERTS NAME\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	c.port = atoi(argv[1]);
	connect_tcp(&c);
	connect_tls(&c, argv[2], argv[3]);
	good = request(&c, "OPTIONS", "");
	good &= request(&c, "MESSAGE", "Good morning over two hops of TLS.");
	print_hop(&c);
	SSL_shutdown(c.ssl);
	SSL_free(c.ssl);
	close(c.fd);
	return good ? 0 : 1;
}
