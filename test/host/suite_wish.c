/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What a script asks of the connections that it opens: the client profile by
 * its label, the server name; for how long that holds, and what is said of a
 * wish that cannot be kept. Our server sees which profile was used by the
 * certificate that Kamailio shows.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsip.h"
#include "hostsuite.h"

/* Two profiles that differ in their names only: their labels are the same. */
#define SAME_LABEL                                                           \
	"[client:127.0.0.1:0]\nmethod = TLSv1.2+\nserver_name = a.example.org\n" \
	"[client:127.0.0.1:0]\nmethod = TLSv1.2+\nserver_name = b.example.org\n"

/* The profile "wished" has a certificate, the default has none. */
static const char two_profiles[] =
		"[server:default]\nmethod = TLSv1.2+\n"
		"certificate = @CERTS@/ecdsa.pem\nprivate_key = @CERTS@/ecdsa.key\n"
		"[client:default]\nmethod = TLSv1.2+\n"
		"[client:any]\nmethod = TLSv1.2+\nserver_id = wished\n"
		"certificate = @CERTS@/client.pem\nprivate_key = "
		"@CERTS@/client.key\n" SAME_LABEL;

#define FAST_TM "modparam(\"tm\", \"fr_timer\", 1000)\n"
#define PARAMS                                           \
	"modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n" \
	"modparam(\"tls\", \"xavp_cfg\", \"tls\")\n"

/* X-Wish: the label; X-Late: a UDP address that is silent, so that the rest is
 * done by the failure route in a timer; X-Relay: where to. */
static const char route[] =
		"	if($hdr(X-Late) != $null) {\n"
		"		t_on_failure(\"LATE\");\n"
		"		$du = $hdr(X-Late);\n"
		"		t_relay();\n"
		"		exit;\n"
		"	}\n"
		"	route(RELAY);\n"
		"	append_to_reply(\"X-Echo: $hdr(X-Echo)\\r\\n\");\n"
		"	sl_send_reply(\"200\", \"OK\");\n";
static const char routes[] =
		"route[RELAY] {\n"
		"	if($hdr(X-Wish) != $null) { tls_set_connect_server_id(\"wished\"); "
		"}\n"
		"	if($hdr(X-Name) != $null) { $xavp(tls=>server_name) = "
		"$hdr(X-Name); }\n"
		"	if($hdr(X-Label) != $null) { $xavp(tls=>server_id) = "
		"$hdr(X-Label); }\n"
		"	if($hdr(X-Number) != $null) { $xavp(tls=>server_id) = 7; }\n"
		"	route(PROBE);\n"
		"	if($hdr(X-Relay) != $null) {\n"
		"		$du = $hdr(X-Relay);\n"
		"		if(!t_relay()) { sl_reply_error(); }\n"
		"		exit;\n"
		"	}\n"
		"}\n"
		"failure_route[LATE] { route(RELAY); }\n";
static const char no_probe[] = "route[PROBE] { return; }\n";
/* X-Match: the reply tells what the hooks of 6.1 say. */
static const char probe[] =
		"route[PROBE] {\n"
		"	if($hdr(X-Match) != $null) {\n"
		"		append_to_reply(\"X-Says: $tls_match $tls_match_two\\r\\n\");\n"
		"	}\n"
		"}\n";

/* PROBED: the module whose hooks can be asked. */
static bool started(struct host_kam *kam, const char *params, bool probed)
{
	char all[4096];
	struct host_config cfg = {.params = params,
			.tls_cfg = two_profiles,
			.modules = FAST_TM,
			.route = route,
			.routes = all,
			.tcp_children = 1,
			.module = probed ? TEST_BUILD_DIR "/host/match/tls.so" : NULL};

	snprintf(all, sizeof(all), "%s%s", routes, probed ? probe : no_probe);
	return suite_started(kam, &cfg);
}

/* Whom the messages go to. */
struct parties
{
	struct peer in; /* plain TCP to Kamailio, always the same worker */
	int lfd;		/* our TLS server */
	int port;
	int silent; /* a UDP socket that never answers, and its port */
	int silent_port;
};

static void parties_open(struct parties *p, const struct host_kam *kam)
{
	p->lfd = peer_listen(&p->port);
	p->silent = peer_udp(kam->udp_port, &p->silent_port);
	HOLDS(peer_tcp(&p->in, kam->tcp_port), "connected");
}

static void parties_close(struct parties *p)
{
	peer_close(&p->in);
	close(p->silent);
	close(p->lfd);
}

/* Header lines of a request; WISH are some of its own. */
static const char *lines(
		const struct parties *p, const char *wish, bool late, bool relayed)
{
	static char text[4600];
	size_t n = 0;

	n += (size_t)snprintf(text, sizeof(text), "%s", wish);
	if(late)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				"X-Late: sip:127.0.0.1:%d\r\n", p->silent_port);
	if(relayed)
		snprintf(text + n, sizeof(text) - n,
				"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", p->port);
	return text;
}

/* Accepts Kamailio's connection, answers its request and closes. 1: it showed a
 * certificate, so the wish was heard; 0: it did not; -1: no such connection.
 * The server name that it asked for goes to NAME, unless that is NULL. */
static int serve(struct parties *p, char name[256])
{
	struct peer_opt opt = {.ca = host_cert("ca.pem"),
			.cert = host_cert("ecdsa.pem"),
			.key = host_cert("ecdsa.key")};
	const char *asked;
	struct peer out;
	int shown = -1;

	if(peer_accept(&out, p->lfd, &opt, PEER_WAIT_MS)
			&& peer_serve(&out, PEER_WAIT_MS) > 0) {
		X509 *cert = SSL_get1_peer_certificate(out.ssl);

		shown = cert != NULL;
		X509_free(cert);
		asked = SSL_get_servername(out.ssl, TLSEXT_NAMETYPE_host_name);
		if(name != NULL)
			snprintf(name, 256, "%s", asked ? asked : "");
	}
	peer_close(&out);
	return shown;
}

/* Sends a request that is relayed over TLS and says what serve() says. */
static int relayed(struct parties *p, unsigned int cseq, const char *wish,
		bool late, char name[256])
{
	int shown;

	if(!peer_request(&p->in, cseq, 10, lines(p, wish, late, true)))
		return -1;
	shown = serve(p, name);
	return peer_check_reply(&p->in, cseq, 10, 200, PEER_WAIT_MS) ? shown : -1;
}

/* A request with a wish that opens no connection. */
static bool only_wish(struct parties *p, unsigned int cseq, bool late)
{
	size_t n;
	bool good;

	if(!peer_request(&p->in, cseq, 0, lines(p, "X-Wish: 1\r\n", late, false)))
		return false;
	n = peer_sip(&p->in, PEER_WAIT_MS);
	good = n > 0 && sip_status(p->in.buf, n) == (late ? 408 : 200);
	peer_take(&p->in, n);
	return good;
}

static void no_connection(struct host_kam *kam)
{
	HOLDS(host_rpc_await(
				  kam, "tls.info", "opened_connections", 0, PEER_WAIT_MS),
			"the connection is gone");
}

/* The wish is the message's: the next one of the same process starts anew. */
static void test_next_message(void)
{
	struct parties p;
	struct host_kam kam;
	unsigned int cseq = 1;
	int late;

	if(!started(&kam, PARAMS, false))
		return;
	parties_open(&p, &kam);
	for(late = 0; late < 2; late++) {
		HOLDS(only_wish(&p, cseq++, late != 0), "a wish without connection");
		HOLDS(relayed(&p, cseq++, "", late != 0, NULL) == 0,
				late ? "the next failure route of the timer does not inherit it"
					 : "the next message does not inherit it");
		no_connection(&kam);
		HOLDS(relayed(&p, cseq++, "X-Wish: 1\r\n", late != 0, NULL) == 1,
				"the message itself has its wish");
		no_connection(&kam);
	}
	parties_close(&p);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- the hooks of 6.1: which connection may carry a message ---- */

struct match_row
{
	const char *reason;
	const char *opened; /* wishes of the message that opened the connection */
	const char *asked;	/* and of the one that could use it */
	const char *says;	/* what the hook says */
};

static const struct match_row match_rows[] = {
		{"a wish for another profile", "", "X-Wish: 1\r\n", "0"},
		{"the xavp's wish for another profile", "", "X-Label: wished\r\n", "0"},
		{"a name of another profile", "", "X-Name: a.example.org\r\n", "0"},
		{"two profiles of one label", "X-Name: a.example.org\r\n",
				"X-Name: b.example.org\r\n", "0"},
		{"no wish for what was opened with one", "X-Wish: 1\r\n", "", "0"},
		{"the xavp goes before the function", "X-Label: wished\r\n",
				"X-Wish: 1\r\nX-Label: none\r\n", "0"},
		{"the same wish", "X-Wish: 1\r\n", "X-Wish: 1\r\n", "1"},
		{"the same in the xavp", "X-Wish: 1\r\n", "X-Label: wished\r\n", "1"},
		{"the same name", "X-Name: b.example.org\r\n",
				"X-Name: b.example.org\r\n", "1"},
		{"no wishes", "", "", "1"}};

/* What the hooks say in the middle of a message with the wishes ASKED. */
static void says(
		struct parties *p, unsigned int cseq, const char *asked, char out[16])
{
	char wishes[128];
	size_t n;

	snprintf(wishes, sizeof(wishes), "%sX-Match: 1\r\n", asked);
	out[0] = '\0';
	if(!peer_request(&p->in, cseq, 0, lines(p, wishes, false, false)))
		return;
	n = peer_sip(&p->in, PEER_WAIT_MS);
	sip_header(p->in.buf, n, "X-Says", out, 16);
	peer_take(&p->in, n);
}

/* Opens a connection with the wishes OPENED to a server of ours at LFD. */
static bool open_with(struct parties *p, unsigned int cseq, const char *opened,
		struct peer *out)
{
	struct peer_opt opt = {
			.cert = host_cert("ecdsa.pem"), .key = host_cert("ecdsa.key")};

	return peer_request(&p->in, cseq, 10, lines(p, opened, false, true))
		   && peer_accept(out, p->lfd, &opt, PEER_WAIT_MS)
		   && peer_serve(out, PEER_WAIT_MS) > 0
		   && peer_check_reply(&p->in, cseq, 10, 200, PEER_WAIT_MS);
}

static void match_check(struct parties *p, struct host_kam *kam,
		const struct match_row *row, unsigned int cseq)
{
	struct peer first;
	struct peer second;
	char out[16];
	char two[16];

	first.fd = second.fd = -1;
	HOLDS(open_with(p, cseq, row->opened, &first), "a connection");
	says(p, cseq + 1, row->asked, out);
	HOLDS(strncmp(out, row->says, 1) == 0, row->reason);
	if(strncmp(out, row->says, 1) != 0)
		fprintf(stderr, "%s: \"%s\"\n", row->reason, out);
	close(p->lfd);
	p->lfd = peer_listen(&p->port); /* elsewhere, so that another is opened */
	HOLDS(open_with(p, cseq + 2, row->asked, &second), "another one");
	says(p, cseq + 3, "", out);
	snprintf(two, sizeof(two), "%s", out[0] ? out + 2 : "");
	HOLDS(strcmp(two, row->says) == 0, row->reason);
	peer_close(&first);
	peer_close(&second);
	no_connection(kam);
}

/* Asking must not use the wish up: the connection that is opened because no
 * other may carry the message needs it. */
static void wish_is_kept(struct parties *p, unsigned int cseq)
{
	struct peer first;

	first.fd = -1;
	HOLDS(open_with(p, cseq, "", &first), "a connection");
	close(p->lfd);
	p->lfd = peer_listen(&p->port);
	HOLDS(relayed(p, cseq + 1, "X-Wish: 1\r\nX-Match: 1\r\n", false, NULL) == 1,
			"the question leaves the wish for the connection");
	peer_close(&first);
}

static void test_match(void)
{
	struct parties p;
	struct host_kam kam;
	unsigned int i;

	if(!started(&kam, PARAMS, true))
		return;
	parties_open(&p, &kam);
	for(i = 0; i < sizeof(match_rows) / sizeof(match_rows[0]); i++)
		match_check(&p, &kam, &match_rows[i], 10 * (i + 1));
	wish_is_kept(&p, 1000);
	parties_close(&p);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- wishes that cannot be kept ---- */

struct bad_row
{
	const char *reason;
	const char *header; /* of the message */
	size_t n;			/* length of its value */
	bool late;
	const char *says; /* words of the line; NULL = no line */
};

static const struct bad_row bad_rows[] = {
		{"a label of 256 bytes", "X-Label", 256, false,
				"server_id&is ignored&set it in the script to a text&too "
				"long&255 bytes"},
		{"a name far too long", "X-Name", 1000, false,
				"server_name&ignored&too long&255 bytes"},
		{"a number", "X-Number", 1, false, "server_id&ignored&not a text"},
		{"a failure route of a timer", "X-Label", 300, true,
				"server_id&ignored&too long"},
		{"the next failure route of the timer", "X-Label", 301, true,
				"server_id&ignored&too long"},
		{"a label of 255 bytes", "X-Label", 255, false, NULL}};

static void bad_check(struct parties *p, struct host_kam *kam,
		const struct bad_row *row, unsigned int cseq)
{
	char wish[4200];
	int want = row->says != NULL ? 1 : 0;
	int n = snprintf(wish, sizeof(wish), "%s: ", row->header);

	memset(wish + n, '7', row->n);
	snprintf(wish + n + row->n, sizeof(wish) - (size_t)n - row->n, "\r\n");
	host_log_mark(kam);
	HOLDS(relayed(p, cseq, wish, row->late, NULL) == 0,
			"the connection is opened without the wish");
	HOLDS(host_log_count(kam, "WARNING&xavp(tls=>") == want, row->reason);
	HOLDS(want == 0 || host_log_count(kam, row->says) == 1,
			"the line says what, where and what to do");
	no_connection(kam);
}

/* The wish is looked at for each connection that could carry the message, and
 * again for the one that is opened; the log hears of it once. */
static void bad_once(struct parties *p, struct host_kam *kam, unsigned int cseq)
{
	char wish[400];
	struct peer first;

	snprintf(wish, sizeof(wish), "X-Match: 1\r\nX-Label: %0300d\r\n", 7);
	first.fd = -1;
	HOLDS(open_with(p, cseq, "", &first), "a connection");
	close(p->lfd);
	p->lfd = peer_listen(&p->port);
	host_log_mark(kam);
	HOLDS(relayed(p, cseq + 1, wish, false, NULL) == 0, "another one");
	HOLDS(host_log_count(kam, "server_id&ignored&too long") == 1,
			"one line for one message");
	peer_close(&first);
	no_connection(kam);
}

static void test_bad_wishes(void)
{
	struct parties p;
	struct host_kam kam;
	unsigned int i;

	if(!started(&kam, PARAMS, true))
		return;
	parties_open(&p, &kam);
	for(i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++)
		bad_check(&p, &kam, &bad_rows[i], i + 1);
	bad_once(&p, &kam, 50);
	host_log_mark(&kam);
	HOLDS(relayed(&p, 100, "X-Name: a b\r\nX-Label: \r\n", false, NULL) == 0,
			"an empty wish is none");
	HOLDS(host_log_count(&kam, "WARNING") == 0, "and nothing is said of it");
	parties_close(&p);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"the wish of a message is not the next one's", test_next_message},
		{"a wish that cannot be kept", test_bad_wishes},
		{"which connection may carry a message (6.1)", test_match},
		{NULL, NULL}};

const struct suite suite_wish = {"wish", NULL, NULL, tests};
