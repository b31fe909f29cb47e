/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The client role: Kamailio relays over TLS to a server of ours, from TCP
 * and UDP workers; failures of that server stay its own.
 * The suite owns one Kamailio, tests with other settings start their own.
 * One process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define IDLE_MS 6500 /* over the host's TCP_CHILD_TIMEOUT of 5 s */
#define SERVER_PART                         \
	"[server:default]\nmethod = TLSv1.2+\n" \
	"certificate = @CERTS@/ecdsa.pem\nprivate_key = @CERTS@/ecdsa.key\n"
#define FAST_TM "modparam(\"tm\", \"fr_timer\", 2000)\n"

static const char plain_cfg[] =
		SERVER_PART "[client:default]\nmethod = TLSv1.2+\n"
					"certificate = @CERTS@/client.pem\n"
					"private_key = @CERTS@/client.key\n";
static struct host_kam shared;

/* Our server, and a request that is relayed to it. */
struct relay
{
	int lfd;
	char extra[96];
	struct peer in;	 /* plain TCP to Kamailio */
	struct peer out; /* Kamailio's TLS connection to us */
};

static void relay_open(struct relay *r, const struct host_kam *kam)
{
	int port;

	memset(r, 0, sizeof(*r));
	r->out.fd = -1;
	r->lfd = peer_listen(&port);
	snprintf(r->extra, sizeof(r->extra),
			"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", port);
	HOLDS(peer_tcp(&r->in, kam->tcp_port), "connected");
}

static void relay_close(struct relay *r)
{
	peer_close(&r->out);
	peer_close(&r->in);
	close(r->lfd);
}

static struct peer_opt server_opt(int version)
{
	struct peer_opt opt = {.min = version, .max = version};

	opt.cert = host_cert("ecdsa.pem");
	opt.key = host_cert("ecdsa.key");
	return opt;
}

/* Serves one request on r->out and checks the reply on r->in. */
static bool serve_one(struct relay *r, unsigned int cseq, size_t body_n)
{
	return peer_serve(&r->out, PEER_WAIT_MS) > 0
		   && peer_check_reply(&r->in, cseq, body_n, 200, PEER_WAIT_MS);
}

static int suite_init(void)
{
	static const struct host_config cfg = {
			.tls_cfg = plain_cfg, .udp_children = 2, .modules = FAST_TM};

	return host_start(&shared, &cfg) ? 0 : -1;
}

static int suite_clean(void)
{
	return host_stop(&shared, SIGTERM) ? 0 : -1;
}

static void test_tcp_to_tls(void)
{
	static const struct
	{
		int version;
		const char *reason;
	} rows[] = {{TLS1_2_VERSION, "TLS 1.2"}, {TLS1_3_VERSION, "TLS 1.3"}};
	static const size_t sizes[] = {0, 1000, 16384, 50000};
	struct peer_opt opt;
	struct relay r;
	size_t i;
	size_t k;

	for(i = 0; i < 2; i++) {
		relay_open(&r, &shared);
		opt = server_opt(rows[i].version);
		opt.ca = host_cert("ca.pem");
		opt.require_client = 1;
		for(k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			HOLDS(peer_request(&r.in, (unsigned int)k + 1, sizes[k], r.extra),
					"sent");
			if(k == 0)
				HOLDS(peer_accept(&r.out, r.lfd, &opt, PEER_WAIT_MS),
						"handshake with a client certificate");
			HOLDS(r.out.fd >= 0 && serve_one(&r, (unsigned int)k + 1, sizes[k]),
					rows[i].reason);
		}
		relay_close(&r);
	}
}

/* A UDP worker makes the session, receivers and other workers go on. */
static void test_udp_to_tls(void)
{
	struct peer_opt opt = server_opt(TLS1_3_VERSION);
	struct relay r;
	struct sip_req req = {.call_id = "udp-test", .transport = "UDP"};
	char msg[8192];
	size_t n;
	int own;
	int fd;
	int i;

	for(i = 0; i < 2; i++) {
		opt.min = opt.max = i ? TLS1_2_VERSION : TLS1_3_VERSION;
		relay_open(&r, &shared);
		fd = peer_udp(shared.udp_port, &own);
		req.cseq = (unsigned int)(own + i);
		req.via_port = own;
		req.extra = r.extra;
		n = sip_request(msg, sizeof(msg), &req);
		HOLDS(send(fd, msg, n, 0) == (ssize_t)n, "sent over UDP");
		HOLDS(peer_accept(&r.out, r.lfd, &opt, PEER_WAIT_MS)
						&& peer_serve(&r.out, PEER_WAIT_MS) > 0,
				"a UDP worker makes the session");
		n = peer_udp_read(fd, msg, sizeof(msg), PEER_WAIT_MS);
		HOLDS(n > 0 && sip_status(msg, n) == 200, "the reply came over UDP");
		HOLDS(peer_request(&r.in, 5, 700, r.extra) && serve_one(&r, 5, 700),
				"a TCP receiver uses the same session");
		close(fd);
		relay_close(&r);
	}
}

/* Verification of our certificate fails: refused, reported, nothing left. */
static void test_verify(void)
{
	struct host_config cfg = {.modules = FAST_TM,
			.tls_cfg = SERVER_PART "[client:default]\nmethod = TLSv1.2+\n"
								   "verify_certificate = yes\n"
								   "ca_list = @CERTS@/foreign-ca.pem\n"};
	struct peer_opt opt = server_opt(0);
	struct host_kam kam;
	struct relay r;
	char needle[64];
	size_t n;
	int port = 0;

	if(!suite_started(&kam, &cfg))
		return;
	relay_open(&r, &kam);
	sscanf(r.extra, "X-Relay: sip:127.0.0.1:%d", &port);
	HOLDS(peer_request(&r.in, 1, 10, r.extra), "sent");
	peer_accept(&r.out, r.lfd, &opt, PEER_WAIT_MS);
	peer_await_end(&r.out, PEER_WAIT_MS);
	HOLDS(r.out.alert_in == SSL_AD_UNKNOWN_CA,
			"RFC 8446 s4.4.2.4: the alert is unknown_ca");
	n = peer_sip(&r.in, 8000);
	HOLDS(n > 0 && sip_status(r.in.buf, n) >= 400,
			"the sender gets an error reply");
	snprintf(needle, sizeof(needle), "127.0.0.1:%d", port);
	HOLDS(host_log_count(&kam, needle) > 0, "the log names the server");
	relay_close(&r);
	HOLDS(host_rpc_await(&kam, "tls.info", "clear_text_write_queued_bytes", 0,
				  PEER_WAIT_MS),
			"nothing stays queued");
	HOLDS(host_rpc_await(
				  &kam, "tls.info", "opened_connections", 0, PEER_WAIT_MS),
			"no connection is left");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* Our server accepts TCP and says nothing: the queue has its limit. */
static void test_stall(void)
{
	struct host_config cfg = {.modules = FAST_TM,
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"con_ct_wq_max\", 30000)\n",
			.tls_cfg = plain_cfg};
	struct host_kam kam;
	struct relay r;
	unsigned int i;
	size_t n;
	int errors = 0;

	if(!suite_started(&kam, &cfg))
		return;
	relay_open(&r, &kam);
	for(i = 1; i <= 4; i++)
		HOLDS(peer_request(&r.in, i, 12000, r.extra), "sent");
	HOLDS(peer_accept(&r.out, r.lfd, NULL, PEER_WAIT_MS), "TCP accepted");
	for(i = 1; i <= 4; i++) {
		n = peer_sip(&r.in, 8000);
		errors += n > 0 && sip_status(r.in.buf, n) >= 400;
		peer_take(&r.in, n);
	}
	HOLDS(errors == 4, "each request gets an error reply");
	relay_close(&r);
	HOLDS(host_rpc_await(&kam, "tls.info", "clear_text_write_queued_bytes", 0,
				  PEER_WAIT_MS),
			"nothing stays queued");
	HOLDS(host_rpc_await(
				  &kam, "tls.info", "opened_connections", 0, PEER_WAIT_MS),
			"no connection is left");
	HOLDS(host_log_count(&kam, "BUG|CRITICAL:") == 0, "no bug");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* After 5 s of silence the host gives a connection to another receiver. */
static void test_idle(void)
{
	struct peer_opt opt = server_opt(TLS1_3_VERSION);
	struct peer_opt v12 = {.max = TLS1_2_VERSION};
	struct relay r;
	struct peer tls[8];
	size_t i;
	int round;

	relay_open(&r, &shared);
	HOLDS(peer_request(&r.in, 1, 100, r.extra)
					&& peer_accept(&r.out, r.lfd, &opt, PEER_WAIT_MS)
					&& serve_one(&r, 1, 100),
			"relayed before the silence");
	for(i = 0; i < 8; i++)
		HOLDS(peer_tls(&tls[i], shared.tls_port, i & 1 ? &v12 : NULL)
						&& peer_options(&tls[i], 1, 100, NULL),
				"served before the silence");
	for(round = 0; round < 2; round++) {
		host_wait_clock(IDLE_MS);
		HOLDS(peer_request(&r.in, 2 + (unsigned int)round, 9000, r.extra)
						&& serve_one(&r, 2 + (unsigned int)round, 9000),
				"relayed after the silence");
		for(i = 0; i < 8; i++)
			HOLDS(peer_options(&tls[i], 2 + (unsigned int)round, 9000, NULL),
					"served after the silence");
	}
	for(i = 0; i < 8; i++)
		peer_close(&tls[i]);
	relay_close(&r);
}

/* Our server ends the connection in its ways; the next request opens a new
 * one. */
static void test_reconnect(void)
{
	static const char *const ways[] = {
			"after close_notify", "after EOF", "after RST"};
	struct peer_opt opt = server_opt(0);
	struct relay r;
	unsigned int i;

	relay_open(&r, &shared);
	for(i = 0; i < 4; i++) {
		HOLDS(peer_request(&r.in, i + 1, 300, r.extra)
						&& peer_accept(&r.out, r.lfd, &opt, PEER_WAIT_MS)
						&& serve_one(&r, i + 1, 300),
				i ? ways[i - 1] : "first connection");
		if(i == 0) {
			peer_notify(&r.out);
			peer_await_end(&r.out, PEER_WAIT_MS);
		}
		if(i == 2)
			peer_reset(&r.out);
		else
			peer_close(&r.out);
		HOLDS(host_rpc_await(&shared, "tls.info", "opened_connections", 0,
					  PEER_WAIT_MS),
				"the host has noticed");
	}
	relay_close(&r);
}

/* The script chooses the name to ask for. */
static void test_server_name(void)
{
	struct host_config cfg = {
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"xavp_cfg\", \"tls\")\n",
			.tls_cfg = plain_cfg,
			.route = "	$xavp(tls=>server_name) = \"sip.example.org\";\n"
					 "	$du = $hdr(X-Relay);\n	t_relay();\n"};
	struct peer_opt opt = server_opt(0);
	struct host_kam kam;
	struct relay r;
	const char *name;

	if(!suite_started(&kam, &cfg))
		return;
	relay_open(&r, &kam);
	HOLDS(peer_request(&r.in, 1, 10, r.extra)
					&& peer_accept(&r.out, r.lfd, &opt, PEER_WAIT_MS),
			"relayed");
	name = r.out.ssl ? SSL_get_servername(r.out.ssl, TLSEXT_NAMETYPE_host_name)
					 : NULL;
	HOLDS(name && strcmp(name, "sip.example.org") == 0,
			"RFC 6066 s3: the name of the xavp is on the wire");
	HOLDS(r.out.fd >= 0 && serve_one(&r, 1, 10), "and traffic flows");
	relay_close(&r);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"a server that cannot be verified", test_verify},
		{"a server that stalls", test_stall},
		{"TCP in, TLS out", test_tcp_to_tls},
		{"UDP in, TLS out", test_udp_to_tls},
		{"a server that ends the connection", test_reconnect},
		{"the name that the script asks for", test_server_name},
		{"connections that change receiver", test_idle}, {NULL, NULL}};

const struct suite suite_client = {"client", suite_init, suite_clean, tests};
