/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The TLS module that the distribution ships with the same server, as a peer
 * of ours: two servers, one with each module, relay to each other over TLS.
 * Only on servers of version 6 and newer: what ships with the older ones does
 * not live through a test.
 * Each test owns its servers; one process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define LONG_BODY 50000
#define REUSED 100 /* requests over one connection */
#define VERSION_MIN 6
#define STOCK "tls.so"

/* What came over TLS is answered, with what the module knows of the
 * connection; the rest is relayed. */
static const char route[] =
		"	if($proto != \"tls\") {\n"
		"		$du = $hdr(X-Relay);\n"
		"		if(!t_relay()) { sl_reply_error(); }\n"
		"		exit;\n"
		"	}\n"
		"	append_to_reply(\"X-Echo: $hdr(X-Echo)\\r\\n\");\n"
		"	append_to_reply(\"X-Version: $tls_version\\r\\n\");\n"
		"	append_to_reply(\"X-Peer: $tls_peer_subject_cn\\r\\n\");\n"
		"	if($cl > 0) { set_reply_body(\"$rb\", \"text/plain\"); }\n"
		"	sl_send_reply(\"200\", \"OK\");\n"
		"	exit;\n";

/* One pair of servers. */
struct pair_row
{
	const char *reason;
	const char *method;		  /* the only version that is allowed */
	const char *version;	  /* how the answering side names it */
	bool mutual;			  /* each side verifies the other's certificate */
	const char *server_trait; /* certificate of the side that answers */
	const char *client_trait; /* of the side that relays */
};

struct pair
{
	struct host_kam front; /* takes requests over TCP, relays over TLS */
	struct host_kam back;  /* answers over TLS */
	struct peer in;		   /* our TCP connection to the front */
	char extra[96];
};

int suite_stock_possible(void)
{
	int version = host_version();

	if(version >= VERSION_MIN)
		return 1;
	printf("suite stock: not run and not counted: the module that ships with "
		   "version %d of the server ends within some hundred handshakes\n",
			version);
	return 0;
}

/* Starts a server with the stock module (STOCK_MODULE) or with ours, and
 * looks whether it is the right one. */
static bool start_one(
		struct host_kam *kam, const struct pair_row *row, bool stock_module)
{
	static const char verify[] =
			"verify_certificate = yes\nrequire_certificate = yes\n"
			"ca_list = @CERTS@/ca.pem\n";
	struct host_config cfg = {.route = route,
			.module = stock_module ? STOCK : NULL,
			.modules = "modparam(\"tm\", \"fr_timer\", 2000)\n"};
	char text[1024];
	char path[HOST_PATH_MAX] = "";
	char mark[HOST_PATH_MAX + 8];

	snprintf(text, sizeof(text),
			"[server:default]\nmethod = %s\ncertificate = @CERTS@/%s.pem\n"
			"private_key = @CERTS@/%s.key\n%s"
			"[client:default]\nmethod = %s\ncertificate = @CERTS@/%s.pem\n"
			"private_key = @CERTS@/%s.key\n%s",
			row->method, row->server_trait, row->server_trait,
			row->mutual ? verify : "", row->method, row->client_trait,
			row->client_trait, row->mutual ? verify : "");
	cfg.tls_cfg = text;
	if(!host_start(kam, &cfg)) {
		fprintf(stderr, "  %s: %s\n",
				stock_module ? "the stock module (package "
							   "kamailio-tls-modules) does not start"
							 : "our module does not start",
				kam->log);
		return false;
	}
	if(!stock_module)
		return true;
	/* "make install" leaves its mark beside a module that is ours */
	if(host_mapped(kam, "/kamailio/modules/" STOCK, path, sizeof(path)))
		snprintf(mark, sizeof(mark), "%s.ours", path);
	if(path[0] == '\0' || access(mark, F_OK) == 0) {
		fprintf(stderr, "  the server's folder has not the stock module: %s\n",
				path);
		return false;
	}
	return true;
}

static bool pair_start(
		struct pair *pair, const struct pair_row *row, bool stock_front)
{
	memset(pair, 0, sizeof(*pair));
	pair->in.fd = -1;
	if(start_one(&pair->back, row, !stock_front)
			&& start_one(&pair->front, row, stock_front)
			&& peer_tcp(&pair->in, pair->front.tcp_port)) {
		snprintf(pair->extra, sizeof(pair->extra),
				"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n",
				pair->back.tls_port);
		return true;
	}
	HOLDS(false, "both servers start");
	peer_close(&pair->in);
	host_kill(&pair->front);
	host_kill(&pair->back);
	return false;
}

/* Ours must stop cleanly; how the other one does is not our matter, but it
 * must have lived until now. */
static void pair_stop(struct pair *pair, bool stock_front)
{
	struct host_kam *ours = stock_front ? &pair->back : &pair->front;
	struct host_kam *stock = stock_front ? &pair->front : &pair->back;

	peer_close(&pair->in);
	HOLDS(host_procs_changed(stock) == 0 && !host_wait_end(stock, 0),
			"the workers of the stock module live");
	HOLDS(host_procs_changed(ours) == 0, "our workers live");
	HOLDS(host_stop(ours, SIGTERM), "clean stop, clean log");
	if(stock->pid > 0)
		kill(stock->pid, SIGTERM);
	host_wait_end(stock, HOST_STOP_MS);
	host_kill(stock);
}

/* Waits for the final reply to the request CSEQ_VALUE ("7 MESSAGE") that had
 * the body of N bytes. Checks the echo and what the answering side tells of
 * the connection. Says what is wrong, NULL = nothing. */
static const char *reply_fault(struct pair *pair, const struct pair_row *row,
		const char *cseq_value, const char *body, size_t body_n)
{
	struct peer *in = &pair->in;
	char value[128];
	const char *got;
	size_t got_n;
	size_t n;

	while((n = peer_sip(in, PEER_WAIT_MS)) > 0
			&& sip_status(in->buf, n) / 100 == 1)
		peer_take(in, n);
	if(n == 0)
		return "no reply";
	if(sip_status(in->buf, n) != 200)
		return "wrong status";
	sip_header(in->buf, n, "CSeq", value, sizeof(value));
	if(strcmp(value, cseq_value) != 0)
		return "wrong CSeq";
	sip_header(in->buf, n, "X-Version", value, sizeof(value));
	if(strcmp(value, row->version) != 0)
		return "wrong version of TLS";
	sip_header(in->buf, n, "X-Peer", value, sizeof(value));
	if(row->mutual && strcmp(value, "client.example.org") != 0)
		return "the client's certificate did not arrive";
	got = sip_body(in->buf, n, &got_n);
	if(got_n != body_n || (body_n > 0 && memcmp(got, body, body_n) != 0))
		return "wrong body";
	peer_take(in, n);
	return NULL;
}

/* One request through both servers and its reply back, everything checked. */
static bool exchange(struct pair *pair, const struct pair_row *row,
		const char *method, unsigned int cseq, size_t body_n)
{
	struct sip_req req = {.method = method,
			.call_id = "stock",
			.transport = "TCP",
			.extra = pair->extra,
			.cseq = cseq,
			.body_len = body_n};
	char *msg = malloc(SIP_HEAD_ROOM + body_n);
	char *body = malloc(body_n + 1);
	const char *fault = "could not send";
	char value[64];
	char branch[64];
	size_t n;

	sip_pattern(body, body_n, cseq);
	snprintf(value, sizeof(value), "%u %s", cseq, method);
	snprintf(branch, sizeof(branch), "z9hG4bK-%d-%u", pair->in.port, cseq);
	req.body = body;
	req.branch = branch;
	req.via_port = pair->in.port;
	n = sip_request(msg, SIP_HEAD_ROOM + body_n, &req);
	if(n > 0 && peer_send(&pair->in, msg, n))
		fault = reply_fault(pair, row, value, body, body_n);
	if(fault)
		fprintf(stderr, "  %s, %s: %s: %.900s\n  %s\n  %s\n", row->reason,
				value, fault, pair->in.used ? pair->in.buf : "",
				pair->front.log, pair->back.log);
	free(msg);
	free(body);
	return fault == NULL;
}

static const struct pair_row good[] = {
		{"TLS 1.2, both sides verify", "TLSv1.2", "TLSv1.2", true, "ecdsa",
				"client"},
		{"TLS 1.3, both sides verify", "TLSv1.3", "TLSv1.3", true, "ecdsa",
				"client"},
		{"TLS 1.2, nobody verifies, RSA", "TLSv1.2", "TLSv1.2", false, "rsa",
				"client"},
		{"TLS 1.3, nobody verifies, RSA", "TLSv1.3", "TLSv1.3", false, "rsa",
				"client"},
};

static void run_good(bool stock_front)
{
	struct pair pair;
	bool all = true;
	unsigned int i;
	size_t k;

	for(k = 0; k < sizeof(good) / sizeof(good[0]); k++) {
		if(!pair_start(&pair, &good[k], stock_front))
			continue;
		HOLDS(exchange(&pair, &good[k], "OPTIONS", 1, 0), good[k].reason);
		HOLDS(exchange(&pair, &good[k], "MESSAGE", 2, LONG_BODY),
				"fifty kilobytes there and back");
		for(i = 0, all = true; all && i < REUSED; i++)
			all = exchange(&pair, &good[k], "OPTIONS", 3 + i, i * 7);
		HOLDS(all, "a hundred requests after it");
		HOLDS(exchange(&pair, &good[k], "MESSAGE", 200, LONG_BODY),
				"and a long one again");
		HOLDS(host_rpc_number(
					  &pair.front, "core.tcp_info", "opened_tls_connections")
						== 1,
				"the relaying side used one connection for all");
		HOLDS(host_rpc_number(
					  &pair.back, "core.tcp_info", "opened_tls_connections")
						== 1,
				"the answering side saw one connection");
		pair_stop(&pair, stock_front);
	}
}

static void test_ours_to_stock(void)
{
	run_good(false);
}

static void test_stock_to_ours(void)
{
	run_good(true);
}

/* A certificate of another authority: no request gets through. */
static void test_refused(void)
{
	static const struct pair_row rows[] = {
			{"TLS 1.2, the server's certificate is foreign", "TLSv1.2", "",
					true, "foreign", "client"},
			{"TLS 1.3, the server's certificate is foreign", "TLSv1.3", "",
					true, "foreign", "client"},
			{"TLS 1.2, the client's certificate is foreign", "TLSv1.2", "",
					true, "ecdsa", "foreign"},
			{"TLS 1.3, the client's certificate is foreign", "TLSv1.3", "",
					true, "ecdsa", "foreign"},
	};
	struct pair pair;
	size_t i;
	size_t n;

	for(i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		const struct pair_row *row = &rows[i / 2];

		if(!pair_start(&pair, row, i & 1))
			continue;
		HOLDS(peer_request(&pair.in, 1, 10, pair.extra), "sent");
		while((n = peer_sip(&pair.in, 8000)) > 0
				&& sip_status(pair.in.buf, n) / 100 == 1)
			peer_take(&pair.in, n);
		HOLDS(n > 0 && sip_status(pair.in.buf, n) >= 400, row->reason);
		HOLDS(host_rpc_await(&pair.back, "core.tcp_info",
					  "opened_tls_connections", 0, PEER_WAIT_MS),
				"the answering side keeps no connection");
		pair_stop(&pair, i & 1);
	}
}

static const struct suite_test tests[] = {
		{"ours relays to the stock module", test_ours_to_stock},
		{"the stock module relays to ours", test_stock_to_ours},
		{"foreign certificates are refused", test_refused}, {NULL, NULL}};

const struct suite suite_stock = {"stock", NULL, NULL, tests};
