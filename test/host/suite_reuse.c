/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* reuse_check and verify_name on a real server: no byte of a message leaves
 * on a connection that is not for it, and none to a server that is somebody
 * else. Each test starts its own Kamailio. One process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define FAST_TM "modparam(\"tm\", \"fr_timer\", 1500)\n"
#define CLIENT(section_, more_)                         \
	"[client:" section_ "]\nca_list = @CERTS@/ca.pem\n" \
	"verify_certificate = yes\n" more_
#define PROFILES                                                    \
	"[server:default]\ncertificate = @CERTS@/ecdsa.pem\n"           \
	"private_key = @CERTS@/ecdsa.key\n" CLIENT("default", "")       \
			CLIENT("any", "server_id = a\nserver_name = label-a\n") \
					CLIENT("any", "server_id = b\nserver_name = label-b\n")
#define PARAMS(more_)                                    \
	"modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n" \
	"modparam(\"tls\", \"xavp_cfg\", \"tls\")\n" more_

static const char route[] =
		"	if($hdr(X-Label) != $null) $xavp(tls=>server_id) = $hdr(X-Label);\n"
		"	if($hdr(X-Peer) != $null && $hdr(X-Label) != $null)\n"
		"		$xavp(tls[0]=>peer_name) = $hdr(X-Peer);\n"
		"	else if($hdr(X-Peer) != $null)\n"
		"		$xavp(tls=>peer_name) = $hdr(X-Peer);\n"
		"	if($hdr(X-Set) != $null) $tls(peer_name) = $hdr(X-Set);\n"
		"	if($hdr(X-Relay) != $null) { $du = $hdr(X-Relay); t_relay(); exit; "
		"}\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

/* Our server and the request that goes to it. */
struct relay
{
	int lfd;
	int port;
	unsigned int cseq;
	struct peer in;
	struct peer_opt opt;
};

static void relay_open(struct relay *r, const struct host_kam *kam,
		const char *pem, const char *key)
{
	memset(r, 0, sizeof(*r));
	r->lfd = peer_listen(&r->port);
	r->opt.cert = host_cert(pem);
	r->opt.key = host_cert(key);
	HOLDS(peer_tcp(&r->in, kam->tcp_port), "connected");
}

static void relay_close(struct relay *r)
{
	peer_close(&r->in);
	close(r->lfd);
}

static bool ask(struct relay *r, const char *wish)
{
	char extra[256];

	snprintf(extra, sizeof(extra),
			"%sX-Relay: sip:127.0.0.1:%d;transport=tls\r\n", wish, r->port);
	return peer_request(&r->in, ++r->cseq, 300, extra);
}

/* The status of the reply that comes back; 0 = none. */
static int status_of(struct relay *r)
{
	size_t n = peer_sip(&r->in, 8000);
	int status = n > 0 ? sip_status(r->in.buf, n) : 0;

	peer_take(&r->in, n);
	return status;
}

struct reuse_row
{
	const char *params;
	const char *first;	/* wishes of the message that opens */
	const char *second; /* of the next one */
	bool reused;
	const char *reason;
};

#define PROFILE PARAMS("modparam(\"tls\", \"reuse_check\", \"profile\")\n")
#define NAME PARAMS("modparam(\"tls\", \"reuse_check\", \"name\")\n")
#define A "X-Label: a\r\n"
#define B "X-Label: b\r\n"

static const struct reuse_row rows[] = {
		{PROFILE, A, B, false, "another profile"},
		{NULL, A, "", false, "the default profile instead of a label"},
		{NULL, "", A, false, "a label instead of the default profile"},
		{NULL, A, A, true, "the same profile"},
		{NULL, "", "", true, "the default profile again"},
		{NULL, A, A "X-Peer: other.example\r\n", true,
				"names are not looked at"},
		{NAME, A, A "X-Peer: other.example\r\n", false,
				"RFC 5923: a name that the certificate has not"},
		{NULL, A, B "X-Peer: sip.example.org\r\n", false,
				"the right name, another profile"},
		{NULL, A, A "X-Set: other.example\r\n", false,
				"the same by $tls(peer_name)"},
		{NULL, A, A "X-Peer: SIP.example.org\r\n", true, "a name that it has"},
		{NULL, A, A, true, "no name asked for"},
		{PARAMS(""), A, B, true, "off, as the server finds it"},
};

static void reuse_case(struct host_kam *kam, const struct reuse_row *row)
{
	struct relay r;
	struct peer out, next;
	int status;

	relay_open(&r, kam, "ecdsa.pem", "ecdsa.key");
	HOLDS(ask(&r, row->first) && peer_accept(&out, r.lfd, &r.opt, PEER_WAIT_MS)
					&& peer_serve(&out, PEER_WAIT_MS) > 0
					&& status_of(&r) == 200,
			"the first message");
	HOLDS(ask(&r, row->second), "sent");
	if(row->reused) {
		HOLDS(peer_serve(&out, PEER_WAIT_MS) > 0 && status_of(&r) == 200,
				row->reason);
	} else {
		HOLDS(peer_serve(&out, PEER_WAIT_MS) == 0 && out.used == 0,
				row->reason);
		status = status_of(&r);
		HOLDS(status >= 400, "the sender hears of it");
		HOLDS(host_log_await(kam,
					  "NOTICE&is not for this message: profile or name differ",
					  5000)
						> 0,
				"and the log");
		HOLDS(ask(&r, A) && peer_accept(&next, r.lfd, &r.opt, PEER_WAIT_MS)
						&& peer_serve(&next, PEER_WAIT_MS) > 0
						&& status_of(&r) == 200,
				"the next message opens its own");
		peer_close(&next);
	}
	peer_close(&out);
	relay_close(&r);
}

static void test_reuse(void)
{
	struct host_config cfg = {
			.modules = FAST_TM, .tls_cfg = PROFILES, .route = route};
	struct host_kam kam = {0};
	size_t i;

	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if(rows[i].params != NULL) {
			if(kam.pid)
				HOLDS(host_stop(&kam, SIGTERM), "clean stop");
			cfg.params = rows[i].params;
			if(!suite_started(&kam, &cfg))
				return;
		}
		reuse_case(&kam, &rows[i]);
	}
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- verify_name ---- */

struct name_row
{
	const char *pem; /* of the server */
	const char *key;
	const char *wish;
	bool good;
	const char *log;
	const char *reason;
};

static const struct name_row names[] = {
		{"ecdsa.pem", "ecdsa.key", "X-Peer: evil.example\r\n", false,
				"mismatch&expected evil.example&DNS:sip.example.org",
				"another domain than asked for"},
		{"ecdsa.pem", "ecdsa.key", "", false,
				"verify_name: nobody said who the peer has to be",
				"nobody said whom to expect: not even opened"},
		{"rich-server.pem", "rich-server.key", "X-Peer: rich11.example.org\r\n",
				false, "mismatch&URI:sip:sip11.example.org",
				"RFC 5922 s7.1: the SIP identity hides the host name"},
		{"rich-server.pem", "rich-server.key", "X-Peer: sip11.example.org\r\n",
				true, NULL, "the identity"},
		{"ecdsa.pem", "ecdsa.key", "X-Peer: sip.example.org\r\n", true, NULL,
				"the host name"},
		{"ecdsa.pem", "ecdsa.key", "X-Set: sip.example.org\r\n", true, NULL,
				"by $tls(peer_name)"},
		{"ecdsa.pem", "ecdsa.key",
				"X-Peer: evil.example\r\nX-Set: sip.example.org\r\n", true,
				NULL, "$tls(peer_name) wins"},
		{"ecdsa.pem", "ecdsa.key", "X-Peer: 127.0.0.1\r\n", true, NULL,
				"a literal address"},
};

static void test_names(void)
{
	struct host_config cfg = {.modules = FAST_TM,
			.params = PARAMS(""),
			.tls_cfg = "[server:default]\ncertificate = @CERTS@/ecdsa.pem\n"
					   "private_key = @CERTS@/ecdsa.key\n" CLIENT(
							   "default", "verify_name = sip\n"),
			.route = route};
	struct host_kam kam;
	size_t i;

	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct relay r;
		struct peer out = {.fd = -1};

		host_log_mark(&kam);
		relay_open(&r, &kam, names[i].pem, names[i].key);
		HOLDS(ask(&r, names[i].wish), "sent");
		if(names[i].good) {
			HOLDS(peer_accept(&out, r.lfd, &r.opt, PEER_WAIT_MS)
							&& peer_serve(&out, PEER_WAIT_MS) > 0
							&& status_of(&r) == 200,
					names[i].reason);
		} else {
			(void)peer_accept(&out, r.lfd, &r.opt, PEER_WAIT_MS);
			peer_await_end(&out, PEER_WAIT_MS);
			HOLDS(out.used == 0 && status_of(&r) >= 400, names[i].reason);
			HOLDS(host_log_await(&kam, names[i].log, PEER_WAIT_MS) >= 1,
					"and the log tells");
		}
		peer_close(&out);
		relay_close(&r);
	}
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"servers with other names", test_names},
		{"messages for other profiles and names", test_reuse}, {NULL, NULL}};

const struct suite suite_reuse = {"reuse", NULL, NULL, tests};
