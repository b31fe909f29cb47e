/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* SIP over websockets over TLS (RFC 7118), with the host's own xhttp and
 * websocket modules above ours.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

static const char modules[] = "loadmodule \"xhttp.so\"\n"
							  "loadmodule \"websocket.so\"\n"
							  "loadmodule \"nathelper.so\"\n";
static const char routes[] = "event_route[xhttp:request] {\n"
							 "	ws_handle_handshake();\n	exit;\n}\n";
static const char tls_cfg[] =
		"[server:default]\ncertificate = @CERTS@/ecdsa.pem\n"
		"private_key = @CERTS@/ecdsa.key\nca_list = @CERTS@/ca.pem\n"
		"verify_certificate = yes\n";
/* What a script can ask of a websocket's connection is what it can ask of any
 * other. */
static const char telling[] =
		"	$var(is) = is_peer_verified();\n"
		"	xlog(\"L_NOTICE\", \"ASKED $proto $tls_version "
		"$tls_peer_subject_cn "
		"$sel(tls.peer.issuer.cn) $tls(profile) $var(is)\\n\");\n"
		"	if($cl > 0) { set_reply_body(\"$rb\", \"text/plain\"); }\n"
		"	sl_send_reply(\"200\", \"OK\");\n";
static const char upgrade[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
							  "Upgrade: websocket\r\nConnection: Upgrade\r\n"
							  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
							  "Sec-WebSocket-Protocol: sip\r\n"
							  "Sec-WebSocket-Version: 13\r\n"
							  "Content-Length: 0\r\n\r\n";

/* RFC 6455 s5.2: a final text frame, masked. Returns its length. */
static size_t frame(char *out, const char *data, size_t n)
{
	static const unsigned char mask[4] = {0x11, 0x22, 0x33, 0x44};
	unsigned char *at = (unsigned char *)out;
	size_t i;

	*at++ = 0x81;
	if(n < 126)
		*at++ = (unsigned char)(0x80 | n);
	else {
		*at++ = 0x80 | 126;
		*at++ = (unsigned char)(n >> 8);
		*at++ = (unsigned char)n;
	}
	memcpy(at, mask, 4);
	at += 4;
	for(i = 0; i < n; i++)
		*at++ = (unsigned char)data[i] ^ mask[i % 4];
	return (size_t)((char *)at - out);
}

/* Waits for one frame; the SIP message in it goes to OUT. Its length. */
static size_t read_frame(struct peer *p, char *out, size_t room)
{
	const unsigned char *at = (const unsigned char *)p->buf;
	size_t head = 2;
	size_t n;

	if(!peer_await(p, 4, PEER_WAIT_MS))
		return 0;
	n = at[1] & 0x7f;
	if(n == 126) {
		n = (size_t)at[2] << 8 | at[3];
		head = 4;
	}
	if(n > room || !peer_await(p, head + n, PEER_WAIT_MS))
		return 0;
	memcpy(out, p->buf + head, n);
	peer_take(p, head + n);
	return n;
}

/* Upgrades the TLS connection to a websocket. */
static bool open_ws(struct peer *p)
{
	char *end;

	if(!peer_send(p, upgrade, sizeof(upgrade) - 1))
		return false;
	do {
		if(!peer_await(p, p->used + 1, PEER_WAIT_MS))
			return false;
		end = memmem(p->buf, p->used, "\r\n\r\n", 4);
	} while(!end);
	if(memcmp(p->buf, "HTTP/1.1 101", 12) != 0) {
		snprintf(p->err, sizeof(p->err), "%.60s", p->buf);
		return false;
	}
	peer_take(p, (size_t)(end + 4 - p->buf));
	return true;
}

static bool options_ws(struct peer *p, unsigned int cseq, size_t body_n)
{
	static char body[20000];
	static char msg[32000];
	static char framed[33000];
	struct sip_req req = {
			.call_id = "wss", .cseq = cseq, .transport = "WSS", .body = body};
	const char *echo;
	char got[64];
	size_t n;

	req.body_len = body_n;
	sip_pattern(body, body_n, cseq);
	n = sip_request(msg, sizeof(msg), &req);
	n = frame(framed, msg, n);
	if(!peer_send(p, framed, n))
		return false;
	n = read_frame(p, msg, sizeof(msg));
	if(n == 0 || sip_status(msg, n) != 200)
		return false;
	sip_header(msg, n, "CSeq", got, sizeof(got));
	echo = sip_body(msg, n, &n);
	return (unsigned int)atoi(got) == cseq && n == body_n
		   && (n == 0 || memcmp(echo, body, n) == 0);
}

static void test_wss(void)
{
	static const size_t sizes[] = {0, 100, 4000, 15000};
	struct host_config cfg = {.modules = modules,
			.routes = routes,
			.tls_cfg = tls_cfg,
			.route = telling,
			.globals = "tcp_accept_no_cl=yes\n"};
	struct peer_opt opt = {
			.cert = host_cert("client.pem"), .key = host_cert("client.key")};
	struct host_kam kam;
	char needle[128];
	struct peer p;
	size_t i;
	int k;

	if(!host_start(&kam, &cfg)) {
		HOLDS(false, "starts with websockets");
		host_kill(&kam);
		return;
	}
	for(k = 0; k < 2; k++) {
		opt.min = opt.max = k ? TLS1_3_VERSION : TLS1_2_VERSION;
		HOLDS(peer_tls(&p, kam.tls_port, &opt) && open_ws(&p),
				"RFC 6455 s4: upgrade over TLS");
		if(p.err[0])
			fprintf(stderr, "  %s\n", p.err);
		for(i = 0; p.end == PEER_OPEN && i < sizeof(sizes) / sizeof(sizes[0]);
				i++)
			HOLDS(options_ws(&p, (unsigned int)i + 1, sizes[i]),
					"a frame is answered by a frame");
		HOLDS(i == sizeof(sizes) / sizeof(sizes[0]), "all sizes were tried");
		snprintf(needle, sizeof(needle),
				"ASKED wss TLSv1.%d client.example.org Test CA TLSs<default> 1",
				k ? 3 : 2);
		HOLDS(host_log_count(&kam, needle) == (int)i,
				"each message knows its peer");
		peer_close(&p);
	}
	HOLDS(host_rpc_await(&kam, "core.tcp_info", "opened_tls_connections", 0,
				  PEER_WAIT_MS),
			"no connection is left");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"SIP over secure websockets", test_wss}, {NULL, NULL}};

const struct suite suite_wss = {"wss", NULL, NULL, tests};
