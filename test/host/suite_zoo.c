/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The zoo of certificates at a real server: every row of zoo_rows.h shown by a
 * client to a profile of ours and by a server that we call, in TLS 1.2 and 1.3.
 * Looks at accepted or refused, the alert, the line in the log, the event and
 * what scripts read. One Kamailio has a profile for each row and role.
 * One process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/pki.h"
#include "../lib/zoo_rows.h"
#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define ROOM 65536
#define add(out_, ...) suite_append((out_), ROOM, __VA_ARGS__)

/* What scripts are told of a peer, as lines of a reply. */
#define SEEN                                                          \
	"X-Verified: $tls_peer_verified\\r\\nX-Result: "                  \
	"$tls(verify_result)\\r\\nX-Reason: $tls(verify_reason)\\r\\n"    \
	"X-Name: $tls(peer_name_ok)\\r\\nX-Subject: $tls_peer_subject_cn" \
	"\\r\\nX-Resumed: $tls(resumed)\\r\\nX-Profile: $tls(profile)\\r\\n"

static const char route[] =
		"	if($hdr(X-Label) != $null) $xavp(tls=>server_id) = $hdr(X-Label);\n"
		"	if($hdr(X-Peer) != $null)\n"
		"		$xavp(tls[0]=>peer_name) = $hdr(X-Peer);\n"
		"	if($hdr(X-Relay) != $null) {\n"
		"		t_on_reply(\"SEEN\");\n"
		"		$du = $hdr(X-Relay); t_relay(); exit;\n"
		"	}\n"
		"	append_to_reply(\"" SEEN "\");\n"
		"	if(is_peer_verified()) append_to_reply(\"X-Is: yes\\r\\n\");\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

static const char routes[] =
		"onreply_route[SEEN] {\n	append_hf(\"" SEEN "\");\n"
		"	if(is_peer_verified()) append_hf(\"X-Is: yes\\r\\n\");\n}\n"
		"event_route[tls:connection-failed] {\n"
		"	xlog(\"L_NOTICE\", \"FAILED $si:$sp because $tls(failure)\\n\");\n"
		"}\n";

static struct host_kam shared;

void suite_zoo_begin(void)
{
	static bool made;
	const char *old = getenv("TMPDIR");
	char keep[HOST_PATH_MAX];

	if(made)
		return;
	made = true;
	snprintf(keep, sizeof(keep), "%s", old != NULL ? old : "");
	setenv("TMPDIR", host_certs(), 1);
	pki_init();
	zoo_init();
	if(old != NULL)
		setenv("TMPDIR", keep, 1);
	else
		unsetenv("TMPDIR");
}

/* ---- profiles ---- */

/* The policy of ROW, whose animal was made last. */
static void add_policy(char *out, const struct zoo_row *row, bool server)
{
	char pin[65];

	add(out, "verify_certificate = yes\nca_list = %s\n",
			pki_path("zoo-ca.pem"));
	if(row->verify_name != NULL)
		add(out, "verify_name = %s\n", row->verify_name);
	if(row->wildcards)
		add(out, "verify_name_wildcards = yes\n");
	if(row->eku != NULL)
		add(out, "verify_eku = %s\n", row->eku);
	if(row->depth != 0)
		add(out, "verify_depth = %d\n", row->depth < 0 ? 0 : row->depth);
	if(row->pin != ZOO_NO_PIN)
		add(out, "peer_pin = %s\n", zoo_row_pin(row, pin));
	if(row->crl)
		add(out, "crl = %s\n", pki_path("zoo-crl.pem"));
	if(server)
		add(out, "require_certificate = yes\n");
	if(server && row->name != NULL)
		add(out, "peer_names = %s\n", row->name);
}

/* The row's animal, with files of its own. */
static void make_animal(size_t i)
{
	struct zoo_spec spec = zoo_rows[i].spec;
	char name[32];

	snprintf(name, sizeof(name), "row%zu", i);
	if(spec.cn == NULL)
		spec.cn = spec.name;
	spec.name = name;
	X509_free(zoo_make(&spec));
}

static int suite_init(void)
{
	static char text[ROOM];
	struct host_config cfg = {.tls_cfg = text,
			.tcp_children = 4,
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"xavp_cfg\", \"tls\")\n"
					  "modparam(\"tls\", \"log_rate\", 0)\n",
			.modules = "modparam(\"tm\", \"fr_timer\", 1500)\n",
			.route = route,
			.routes = routes};
	size_t i;

	suite_zoo_begin();
	text[0] = '\0';
	add(text, "[server:default]\nmethod = TLSv1.2+\n"
			  "certificate = @CERTS@/ecdsa.pem\n"
			  "private_key = @CERTS@/ecdsa.key\n"
			  "[client:default]\nmethod = TLSv1.2+\n");
	for(i = 0; i < zoo_n_rows; i++) {
		make_animal(i);
		add(text, "[server:any]\nserver_name = row%zu.example\n", i);
		add_policy(text, &zoo_rows[i], true);
		add(text, "[client:any]\nserver_id = row%zu\n", i);
		add_policy(text, &zoo_rows[i], false);
	}
	zoo_crl();
	return host_start(&shared, &cfg) ? 0 : -1;
}

static int suite_clean(void)
{
	return host_stop(&shared, SIGTERM) ? 0 : -1;
}

/* ---- one row ---- */

static void show_as(struct peer_opt *opt, size_t i, int version)
{
	static char pem[PKI_PATH_MAX], key[PKI_PATH_MAX];
	char file[32];

	snprintf(file, sizeof(file), "row%zu.pem", i);
	snprintf(pem, sizeof(pem), "%s", pki_path(file));
	snprintf(file, sizeof(file), "row%zu.key", i);
	snprintf(key, sizeof(key), "%s", pki_path(file));
	*opt = (struct peer_opt){
			.min = version, .max = version, .cert = pem, .key = key};
}

/* All that one row and version did not do, with its reason. */
static bool fault(size_t i, const char *what, const char *got)
{
	fprintf(stderr, "\n%s: %s: %s\n", zoo_rows[i].reason, what, got);
	return false;
}

static bool header_is(const char *reply, size_t n, size_t i, const char *header,
		const char *want)
{
	char got[512];

	sip_header(reply, n, header, got, sizeof(got));
	return strcmp(got, want) == 0 || fault(i, header, got);
}

/* What the script has read of the peer of row I, in the reply of N bytes. */
static bool seen(const char *reply, size_t n, size_t i, const char *profile)
{
	const struct zoo_row *row = &zoo_rows[i];
	const char *cn = row->spec.cn != NULL ? row->spec.cn : row->spec.name;

	return (sip_status(reply, n) == 200 || fault(i, "status", reply))
		   & header_is(reply, n, i, "X-Verified", "1")
		   & header_is(reply, n, i, "X-Is", "yes")
		   & header_is(reply, n, i, "X-Result", "0")
		   & header_is(reply, n, i, "X-Reason", "ok")
		   & header_is(reply, n, i, "X-Name", row->name ? "1" : "<null>")
		   & header_is(reply, n, i, "X-Subject", cn)
		   & header_is(reply, n, i, "X-Resumed", "0")
		   & header_is(reply, n, i, "X-Profile", profile);
}

/* One line with all that an operator wants to know of the peer at PORT, and
 * the event with the same reason. */
static bool logged(size_t i, int port, const char *profile)
{
	char needles[512];

	snprintf(needles, sizeof(needles),
			"TLS connection&with 127.0.0.1:%d &profile %s&certificate of the "
			"peer refused (&subject \"/O=Zoo&serial &%s",
			port, profile, zoo_rows[i].sentence);
	if(host_log_await(&shared, needles, PEER_WAIT_MS) != 1)
		return fault(i, "not one line", needles);
	snprintf(needles, sizeof(needles),
			"FAILED 127.0.0.1:%d because certificate of the peer refused (&%s",
			port, zoo_rows[i].sentence);
	return host_log_await(&shared, needles, PEER_WAIT_MS) == 1
		   || fault(i, "not one event", needles);
}

static bool refused(size_t i, const struct peer *p)
{
	char got[32];

	snprintf(got, sizeof(got), "%d", p->alert_in);
	return (p->alert_in == zoo_rows[i].alert || fault(i, "alert", got))
		   & (p->used == 0 || fault(i, "clear text", p->buf));
}

/* Row I shown by a client. */
static bool run_server(size_t i, int version)
{
	struct peer_opt opt;
	struct peer p;
	char sni[32], profile[64];
	bool good, up;
	size_t n;

	snprintf(sni, sizeof(sni), "row%zu.example", i);
	snprintf(profile, sizeof(profile), "TLSs<any:%s>", sni);
	show_as(&opt, i, version);
	opt.sni = sni;
	host_log_mark(&shared);
	up = peer_tls(&p, shared.tls_port, &opt) && peer_request(&p, 1, 0, NULL);
	if(zoo_rows[i].alert == ZOO_ACCEPTED) {
		n = up ? peer_sip(&p, PEER_WAIT_MS) : 0;
		good = n > 0 ? seen(p.buf, n, i, profile) : fault(i, "up", p.err);
	} else {
		peer_await_end(&p, PEER_WAIT_MS);
		good = refused(i, &p) & logged(i, p.port, profile);
	}
	peer_close(&p);
	return good;
}

/* Row I shown by a server that Kamailio calls. */
static bool run_client(size_t i, int version)
{
	const struct zoo_row *row = &zoo_rows[i];
	struct peer_opt opt;
	struct peer in, out;
	char extra[256], profile[64];
	int port, lfd = peer_listen(&port);
	bool good;
	size_t n;

	snprintf(profile, sizeof(profile), "TLSc<any:#row%zu>", i);
	snprintf(extra, sizeof(extra),
			"X-Label: row%zu\r\nX-Relay: sip:127.0.0.1:%d;transport=tls\r\n", i,
			port);
	if(row->name != NULL)
		snprintf(extra + strlen(extra), sizeof(extra) - strlen(extra),
				"X-Peer: %s\r\n", row->name);
	show_as(&opt, i, version);
	host_log_mark(&shared);
	good = (peer_tcp(&in, shared.tcp_port) && peer_request(&in, 1, 0, extra))
		   || fault(i, "sent", in.err);
	if(row->alert == ZOO_ACCEPTED) {
		n = peer_accept(&out, lfd, &opt, PEER_WAIT_MS)
							&& peer_serve(&out, PEER_WAIT_MS) > 0
					? peer_sip(&in, PEER_WAIT_MS)
					: 0;
		good &= n > 0 ? seen(in.buf, n, i, profile) : fault(i, "up", out.err);
	} else {
		if(peer_accept(&out, lfd, &opt, PEER_WAIT_MS))
			peer_await_end(&out, PEER_WAIT_MS);
		good &= refused(i, &out) & logged(i, port, profile);
	}
	peer_close(&in);
	peer_close(&out);
	close(lfd);
	return good;
}

static void run_all(bool (*run)(size_t i, int version))
{
	size_t i;

	for(i = 0; i < zoo_n_rows; i++) {
		HOLDS(run(i, TLS1_2_VERSION), "TLS 1.2");
		HOLDS(run(i, TLS1_3_VERSION), "TLS 1.3");
	}
}

static void test_clients(void)
{
	run_all(run_server);
}

static void test_servers(void)
{
	run_all(run_client);
}

static const struct suite_test tests[] = {
		{"every certificate shown by a client", test_clients},
		{"every certificate shown by a server", test_servers}, {NULL, NULL}};

const struct suite suite_zoo = {"zoo", suite_init, suite_clean, tests};
