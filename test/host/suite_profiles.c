/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Settings of profiles as peers meet them: hundreds of names, refused and
 * missing names, two certificates, algorithms, revocation lists, passwords that
 * are typed; and what clients of ours ask for and show, by label and by the
 * address of the peer.
 * The server tests share one Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostmany.h"
#include "hostpeer.h"
#include "hostsip.h"
#include "hostsuite.h"

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))
#define MANY 300

static struct host_kam shared;

#define FILES(name_)                        \
	"certificate = @CERTS@/" name_ ".pem\n" \
	"private_key = @CERTS@/" name_ ".key\n"
#define ECDSA FILES("ecdsa")
#define CLIENT FILES("client")
#define RICH FILES("rich-server")
#define VERIFY "verify_client = on\nca_list = @CERTS@/ca.pem\n"

static const char shared_cfg[] =
		"[server:default]\nmethod = TLSv1.2+\n" ECDSA
		"[client:default]\nmethod = TLSv1.2+\n"
		"[server:any]\nserver_name = suites.example.org\n"
		"ciphersuites = TLS_CHACHA20_POLY1305_SHA256\n"
		"cipher_list = ECDHE-ECDSA-AES256-GCM-SHA384\n"
		"[server:any]\nserver_name = groups.example.org\ngroups = P-384\n"
		"[server:any]\nserver_name = sigalgs.example.org\n"
		"sigalgs = ECDSA+SHA384\n"
		"[server:any]\nserver_name = alpn.example.org\n"
		"alpn = \"sip/2, http/1.1\"\n"
		"[server:any]\nserver_name = none\n" CLIENT
		"[server:any]\nserver_name = two.example.org\n" RICH
		"certificate2 = @CERTS@/rsa.pem\nprivate_key2 = @CERTS@/rsa.key\n"
		"[server:any]\nserver_name = leaf.example.org\n" VERIFY
		"crl = @CERTS@/mid.crl\ncrl_check = leaf\n"
		"[server:any]\nserver_name = chain.example.org\n" VERIFY
		"crl = @CERTS@/mid.crl\ncrl_check = chain\n"
		"[server:any]\nserver_name = folder.example.org\n" VERIFY
		"crl = @CERTS@/crls\ncrl_check = chain\n";

/* The reply says what scripts see of our own certificate. */
static const char shared_route[] =
		"	append_to_reply(\"X-Echo: $hdr(X-Echo)\\r\\n\");\n"
		"	append_to_reply(\"X-My: $tls_my_subject_cn\\r\\n\");\n"
		"	append_to_reply(\"X-Serial: $tls_my_serial\\r\\n\");\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

static int suite_init(void)
{
	static const struct host_config cfg = {
			.tls_cfg = shared_cfg, .route = shared_route};

	return host_start(&shared, &cfg) ? 0 : -1;
}

static int suite_clean(void)
{
	return host_stop(&shared, SIGTERM) ? 0 : -1;
}

/* ---- names ---- */

/* Common name of the certificate that PORT shows to OPT, in OUT; "" = none.
 * P is the connection, open. */
static const char *shown(
		struct peer *p, int port, const struct peer_opt *opt, char out[128])
{
	X509 *cert;

	out[0] = '\0';
	if(peer_tls(p, port, opt) && peer_options(p, 1, 0, NULL)) {
		cert = SSL_get1_peer_certificate(p->ssl);
		X509_NAME_get_text_by_NID(
				X509_get_subject_name(cert), NID_commonName, out, 128);
		X509_free(cert);
	}
	return out;
}

/* What PORT does for a client that asks for SNI in VERSION: the common name of
 * its certificate, or the alert in words. */
static const char *outcome(int port, int version, const char *sni)
{
	static char text[128];
	struct peer_opt opt = {.min = version, .max = version, .sni = sni};
	struct peer p;

	shown(&p, port, &opt, text);
	if(!text[0])
		snprintf(text, sizeof(text), "alert %d", p.alert_in);
	peer_close(&p);
	return text;
}

struct name_row
{
	const char *sni;
	const char *want;
	const char *reason;
};

static void check_names(int port, const struct name_row *rows, size_t n)
{
	char text[160];
	size_t i;
	int v;

	for(i = 0; i < n; i++)
		for(v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
			const char *got = outcome(port, v, rows[i].sni);

			snprintf(text, sizeof(text), "%s (TLS 1.%d): %s, not %s",
					rows[i].reason, v - TLS1_2_VERSION + 2, rows[i].want, got);
			HOLDS(strcmp(got, rows[i].want) == 0, text);
			if(strcmp(got, rows[i].want) != 0)
				fprintf(stderr, "  %s\n", text);
		}
}

/* server_name = none is for clients that send no name, and for no other. */
static void test_no_name(void)
{
	static const struct name_row rows[] = {
			{"none", "localhost", "the word as a name means nothing"},
			{"stranger.example.net", "localhost", "an unknown name"},
			{NULL, "client.example.org", "no name"}};

	check_names(shared.tls_port, rows, N(rows));
}

/* RFC 6066 s3: a name that no profile has is refused where strict_sni is set,
 * the absence of a name is not. */
static void test_strict(void)
{
	static const struct name_row rows[] = {
			{"stranger.example.net", "alert 112", "an unknown name"},
			{"a.known.example.org", "alert 112", "a sub-domain of a name"},
			{"192.0.2.1", "alert 112", "an address, which is no name"},
			{NULL, "localhost", "no name"},
			{"known.example.org", "client.example.org", "a profile's name"},
			{"KNOWN.example.ORG.", "client.example.org", "any spelling of it"},
			{"x.wild.example.org", "Rich 11", "a pattern"}};
	struct host_config cfg = {
			.tls_cfg = "[server:default]\nmethod = TLSv1.2+\n"
					   "strict_sni = yes\n" ECDSA
					   "[server:any]\nserver_name = known.example.org\n" CLIENT
					   "[server:any]\nserver_name = *.wild.example.org\n" RICH};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	check_names(kam.tls_port, rows, N(rows));
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- hundreds of names ---- */

/* Names, of all, whose certificate is not that with serial FROM + number. */
static int wrong_names(struct host_kam *kam, int n, long from)
{
	char name[MANY_NAME_MAX];
	struct peer_opt opt = {.sni = name};
	struct peer p;
	X509 *cert;
	int wrong = 0;
	int i;

	for(i = 0; i < n; i++) {
		many_name(i, name);
		if(peer_tls(&p, kam->tls_port, &opt)) {
			cert = SSL_get1_peer_certificate(p.ssl);
			wrong += ASN1_INTEGER_get(X509_get0_serialNumber(cert)) != from + i;
			X509_free(cert);
		} else {
			wrong++;
		}
		peer_close(&p);
	}
	return wrong;
}

static bool reload_says(struct host_kam *kam, const char *what)
{
	char answer[1024];
	bool good = host_rpc(kam, "tls.reload", answer, sizeof(answer))
				&& strstr(answer, what);

	if(!good)
		fprintf(stderr, "  tls.reload: %s\n", answer);
	return good;
}

/* Every name has its own certificate; a reload reads what has changed. */
static void test_many(void)
{
	struct host_config cfg = {
			.params = "modparam(\"tls\", \"config\", \"@CERTS@/many/m.cfg\")\n",
			.tcp_children = 4};
	struct host_kam kam;
	char folder[HOST_PATH_MAX];
	char path[HOST_PATH_MAX + 16];

	snprintf(folder, sizeof(folder), "%.400s/many", host_certs());
	snprintf(path, sizeof(path), "%s/m.cfg", folder);
	HOLDS(mkdir(folder, 0755) == 0 && many_certificates(folder, MANY, 5000)
					&& many_config(path, folder, MANY, NULL),
			"certificates");
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(wrong_names(&kam, MANY, 5000) == 0, "each name has its own");
	HOLDS(reload_says(&kam, "302 profiles, 300 certificates (0 read, 300 "
							"unchanged)"),
			"nothing has changed and nothing is read");
	HOLDS(wrong_names(&kam, MANY, 5000) == 0, "and each name has its own");
	HOLDS(many_certificates(folder, 7, 6000), "seven new certificates");
	HOLDS(reload_says(&kam, "302 profiles, 300 certificates (7 read, 293 "
							"unchanged)"),
			"what has changed is read");
	HOLDS(wrong_names(&kam, 7, 6000) == 0, "these are served");
	HOLDS(many_config(path, folder, MANY - 200, NULL)
					&& reload_says(&kam, "102 profiles, 100 certificates (0 "
										 "read, 100 unchanged)"),
			"names that are gone take their certificates along");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- two certificates ---- */

/* A client gets the certificate that it can check, and the script is told of
 * the one that was shown. */
static void test_two_certificates(void)
{
	static const struct
	{
		int version;
		const char *sigalgs;
		const char *ciphers;
		const char *want;
		const char *reason;
	} rows[] = {{TLS1_3_VERSION, "RSA-PSS+SHA256:RSA+SHA256", NULL, "localhost",
						"RSA, TLS 1.3"},
			{TLS1_2_VERSION, "RSA+SHA256:RSA-PSS+SHA256", NULL, "localhost",
					"RSA, TLS 1.2"},
			{TLS1_2_VERSION, NULL, "AES128-GCM-SHA256", "localhost",
					"RSA without a signature"},
			{TLS1_3_VERSION, "ECDSA+SHA256", NULL, "Rich 11", "ECDSA, TLS 1.3"},
			{TLS1_2_VERSION, "ECDSA+SHA256", NULL, "Rich 11", "ECDSA, TLS 1.2"},
			{TLS1_3_VERSION, NULL, NULL, "Rich 11", "both: the first"}};
	struct peer_opt opt = {.sni = "two.example.org"};
	char text[160];
	char my[128];
	struct peer p;
	size_t i;
	size_t n;

	for(i = 0; i < N(rows); i++) {
		opt.min = opt.max = rows[i].version;
		opt.sigalgs = rows[i].sigalgs;
		opt.ciphers = rows[i].ciphers;
		snprintf(text, sizeof(text), "%s: is served", rows[i].reason);
		HOLDS(strcmp(shown(&p, shared.tls_port, &opt, my), rows[i].want) == 0,
				text);
		if(strcmp(my, rows[i].want) != 0)
			fprintf(stderr, "  %s: \"%s\" %s\n", rows[i].reason, my, p.err);
		my[0] = '\0';
		if(p.ssl && peer_request(&p, 2, 0, NULL)
				&& (n = peer_sip(&p, PEER_WAIT_MS)) > 0)
			sip_header(p.buf, n, "X-My", my, sizeof(my));
		snprintf(text, sizeof(text), "%s: is $tls_my_subject_cn",
				rows[i].reason);
		HOLDS(strcmp(my, rows[i].want) == 0, text);
		if(strcmp(my, rows[i].want) != 0)
			fprintf(stderr, "  %s: script has \"%s\"\n", rows[i].reason, my);
		peer_close(&p);
	}
}

/* ---- algorithms ---- */

/* Each setting is in force for its name, and for no other. */
static void test_algorithms(void)
{
	static const struct
	{
		struct peer_opt opt;
		bool up; /* with the profile that has the setting */
		const char *reason;
	} rows[] = {{{.min = TLS1_3_VERSION,
						 .sni = "suites.example.org",
						 .suites = "TLS_AES_128_GCM_SHA256"},
						false, "another suite of TLS 1.3"},
			{{.max = TLS1_2_VERSION,
					 .sni = "suites.example.org",
					 .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"},
					false, "another cipher of TLS 1.2"},
			{{.sni = "groups.example.org", .groups = "X25519"}, false,
					"another group"},
			{{.max = TLS1_2_VERSION,
					 .sni = "sigalgs.example.org",
					 .sigalgs = "ECDSA+SHA256"},
					false, "another signature"},
			{{.sni = "alpn.example.org", .alpn = "h2"}, false,
					"another protocol"},
			{{.min = TLS1_3_VERSION,
					 .sni = "suites.example.org",
					 .suites = "TLS_CHACHA20_POLY1305_SHA256"},
					true, "the suite"},
			{{.max = TLS1_2_VERSION,
					 .sni = "suites.example.org",
					 .ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"},
					true, "the cipher"},
			{{.sni = "groups.example.org", .groups = "X25519:P-384"}, true,
					"the group, offered second"},
			{{.max = TLS1_2_VERSION,
					 .sni = "sigalgs.example.org",
					 .sigalgs = "ECDSA+SHA256:ECDSA+SHA384"},
					true, "the signature"},
			{{.sni = "alpn.example.org", .alpn = "sip/2"}, true,
					"the protocol"},
			{{.sni = "alpn.example.org"}, true, "no protocol asked for"}};
	struct peer_opt opt;
	const unsigned char *alpn;
	unsigned int n;
	char text[160];
	struct peer p;
	size_t i;

	for(i = 0; i < N(rows); i++) {
		opt = rows[i].opt;
		snprintf(text, sizeof(text), "%s: %s", rows[i].reason,
				rows[i].up ? "agreed on" : "refused with an alert");
		HOLDS(peer_tls(&p, shared.tls_port, &opt) == rows[i].up
						&& (rows[i].up ? peer_options(&p, 1, 0, NULL)
									   : p.alert_in >= 0),
				text);
		if(rows[i].up && opt.alpn && p.ssl) {
			SSL_get0_alpn_selected(p.ssl, &alpn, &n);
			HOLDS(n == strlen(opt.alpn) && memcmp(alpn, opt.alpn, n) == 0,
					"RFC 7301 s3.1: the server tells the protocol");
		}
		peer_close(&p);
		opt.sni = "other.example.org";
		snprintf(text, sizeof(text), "%s: fine with another name",
				rows[i].reason);
		HOLDS(peer_once(shared.tls_port, &opt), text);
	}
}

/* ---- revocation ---- */

/* The certificates "below" and "revoked" have an authority between them and the
 * root; mid.crl is of that one alone, the folder has the root's too. */
static void test_crl(void)
{
	static const struct
	{
		const char *sni;
		const char *cert;
		bool up;
		const char *reason;
	} rows[] = {{"leaf.example.org", "revoked", false, "leaf: revoked"},
			{"chain.example.org", "revoked", false, "chain: revoked"},
			{"folder.example.org", "revoked", false, "folder: revoked"},
			{"chain.example.org", "below", false,
					"chain: nobody knows whether the authority is revoked"},
			{"leaf.example.org", "client", false,
					"leaf: its authority has no list"},
			{"leaf.example.org", "below", true,
					"leaf: only the certificate itself counts"},
			{"folder.example.org", "below", true,
					"folder: all lists are there"},
			{"folder.example.org", "client", true, "folder: of the root"}};
	struct peer_opt opt = {0};
	char text[160];
	char pem[32];
	char key[32];
	struct peer p;
	size_t i;
	int v;

	for(i = 0; i < N(rows); i++)
		for(v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
			snprintf(pem, sizeof(pem), "%s.pem", rows[i].cert);
			snprintf(key, sizeof(key), "%s.key", rows[i].cert);
			opt.min = opt.max = v;
			opt.sni = rows[i].sni;
			opt.cert = host_cert(pem);
			opt.key = host_cert(key);
			snprintf(text, sizeof(text), "%s: %s (TLS 1.%d)", rows[i].reason,
					rows[i].up ? "let in" : "refused", v - TLS1_2_VERSION + 2);
			HOLDS((peer_tls(&p, shared.tls_port, &opt)
						  && peer_options(&p, 1, 0, NULL))
							== rows[i].up,
					text);
			HOLDS(rows[i].up || p.alert_in >= 0, "refused with an alert");
			peer_close(&p);
		}
}

static char *slurp(const char *path, char *out, size_t room)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(out, 1, room - 1, f) : 0;

	if(f)
		fclose(f);
	out[n] = '\0';
	return out;
}

/* A file that is written anew inside a directory changes nothing in the
 * directory itself; it is seen all the same. */
static void test_folder_changes(void)
{
	struct host_config cfg = {
			.params = "modparam(\"tls\", \"config\", \"@CERTS@/lists.cfg\")\n"
					  "modparam(\"tls\", \"reload_on_change\", 1)\n"};
	char text[8192];
	struct host_kam kam;
	FILE *f;

	mkdir(host_cert("lists"), 0755);
	slurp(host_cert("mid.crl"), text, sizeof(text));
	f = fopen(host_cert("lists/mid.crl"), "w");
	HOLDS(f && fputs(text, f) >= 0 && fclose(f) == 0, "the folder of lists");
	f = fopen(host_cert("lists.cfg"), "w");
	HOLDS(f
					&& fprintf(f,
							   "[server:default]\nmethod = TLSv1.2+\n"
							   "certificate = %s/ecdsa.pem\n"
							   "private_key = %s/ecdsa.key\n"
							   "ca_list = %s/ca.pem\ncrl = %s/lists\n",
							   host_certs(), host_certs(), host_certs(),
							   host_certs())
							   > 0
					&& fclose(f) == 0,
			"tls.cfg");
	if(!suite_started(&kam, &cfg))
		return;
	f = fopen(host_cert("lists/mid.crl"), "w");
	HOLDS(f && fputs(slurp(host_cert("ca.crl"), text, sizeof(text)), f) >= 0
					&& fclose(f) == 0,
			"another list in the same file");
	HOLDS(host_log_await_n(&kam, "loaded ", 2, 20000) >= 2
					&& host_rpc_number(&kam, "tls.info", "generation") == 2,
			"is loaded");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- a change while files are read ---- */

#define LOAD_S 20 /* within which the server is at the key */

static void alarm_cb(int signo)
{
	(void)signo; /* open() ends */
}

/* Waits until a load has come to the key in PIPE, and is there until it gets
 * it. The end to write the key to; -1 = it never came. */
static int load_at_key(const char *pipe)
{
	struct sigaction action = {.sa_handler = alarm_cb}; /* no SA_RESTART */
	int fd;

	sigaction(SIGALRM, &action, NULL);
	alarm(LOAD_S);
	fd = open(pipe, O_WRONLY | O_CLOEXEC);
	alarm(0);
	return fd;
}

static bool give_key(int fd, const char *name)
{
	char text[8192];
	size_t n = strlen(slurp(host_cert(name), text, sizeof(text)));
	bool good = fd >= 0 && n > 0 && write(fd, text, n) == (ssize_t)n;

	return fd >= 0 && close(fd) == 0 && good;
}

static bool copy(const char *from, const char *to)
{
	char text[8192];
	FILE *f = fopen(host_cert(to), "w");

	return f && fputs(slurp(host_cert(from), text, sizeof(text)), f) >= 0
		   && fclose(f) == 0;
}

/* The default profile is read, then a load waits for the key of another one;
 * that a file of the first changes meanwhile is seen once the load is done. */
static void test_change_during_load(void)
{
	static const char start[] = "[server:default]\nmethod = TLSv1.2+\n"
								"certificate = @CERTS@/during.pem\n"
								"private_key = @CERTS@/ecdsa.key\n";
	static const char late[] = "[server:default]\nmethod = TLSv1.2+\n"
							   "certificate = @CERTS@/during.pem\n"
							   "private_key = @CERTS@/ecdsa.key\n"
							   "[server:any]\nserver_name = late.example\n"
							   "certificate = @CERTS@/ecdsa.pem\n"
							   "private_key = /uri:file:@CERTS@/late.pipe\n";
	struct host_config cfg = {.tls_cfg = start,
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"reload_on_change\", 1)\n"};
	struct host_kam kam;
	int fd;

	HOLDS(copy("ecdsa.pem", "during.pem")
					&& mkfifo(host_cert("late.pipe"), 0600) == 0,
			"files");
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(host_write(&kam, "tls.cfg", late), "a profile more");
	fd = load_at_key(host_cert("late.pipe"));
	HOLDS(fd >= 0, "it is loaded");
	HOLDS(copy("client.pem", "during.pem"), "a file that was read changes");
	HOLDS(give_key(fd, "ecdsa.key"), "the load goes on");
	HOLDS(host_log_await_n(&kam, "loaded ", 2, 20000) == 2,
			"with what it had read");
	fd = load_at_key(host_cert("late.pipe"));
	HOLDS(fd >= 0, "and comes again");
	HOLDS(give_key(fd, "ecdsa.key"), "to the end");
	HOLDS(host_log_await(&kam, "does not belong", 20000) > 0,
			"with what is there now");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- passwords ---- */

/* key_password_mode = 1 asks, three times at most; 0 does not. */
static void test_typed_password(void)
{
	static const struct
	{
		const char *mode;
		const char *typed;
		const char *says; /* NULL = it starts */
		const char *reason;
	} rows[] = {{"0", "secret\n", "encrypted.key&private_key_password is not",
						"mode 0 does not ask"},
			{"1", NULL, "encrypted.key&there is no terminal",
					"nobody is there to be asked"},
			{"1", "1\n2\n3\n4\n5\n6\n", "encrypted.key&no right password",
					"three wrong ones for each of two profiles"},
			{"1", "wrong\nsecret\n", NULL, "the second one is right"},
			{"1", "secret\n", NULL, "the right one"}};
	struct host_config cfg = {0};
	struct host_kam kam;
	int before = dup(STDIN_FILENO);
	int silent[2];
	char params[512];
	size_t i;

	/* a standard input that neither says anything nor ends */
	HOLDS(pipe(silent) == 0 && dup2(silent[0], STDIN_FILENO) >= 0, "a pipe");
	for(i = 0; i < N(rows); i++) {
		snprintf(params, sizeof(params),
				"modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n"
				"modparam(\"tls\", \"certificate\", \"@CERTS@/ecdsa.pem\")\n"
				"modparam(\"tls\", \"private_key\", "
				"\"@CERTS@/encrypted.key\")\n"
				"modparam(\"tls\", \"key_password_mode\", %s)\n",
				rows[i].mode);
		cfg.params = params;
		cfg.input = rows[i].typed;
		if(rows[i].says) {
			HOLDS(host_start_refused(&kam, &cfg) > 0, rows[i].reason);
			HOLDS(host_log_count(&kam, rows[i].says) > 0, rows[i].says);
			host_kill(&kam);
		} else if(suite_started(&kam, &cfg)) {
			HOLDS(peer_once(kam.tls_port, NULL), rows[i].reason);
			HOLDS(host_log_count(&kam, "secret") == 0, "it is not logged");
			HOLDS(host_stop(&kam, SIGTERM), "clean stop");
		}
	}
	dup2(before, STDIN_FILENO);
	close(before);
	close(silent[0]);
	close(silent[1]);
}

/* A reload asks nobody: it would stop the process of the command, and all
 * reloads to come. */
static void test_typed_once(void)
{
	struct host_config cfg = {
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"key_password_mode\", 1)\n",
			.tls_cfg = "[server:default]\nmethod = TLSv1.2+\n"
					   "certificate = @CERTS@/ecdsa.pem\n"
					   "private_key = @CERTS@/typed.key\n",
			.input = "secret\n"};
	char answer[2048];
	struct host_kam kam;

	HOLDS(copy("encrypted.key", "typed.key"), "a key");
	if(!suite_started(&kam, &cfg))
		return;
	HOLDS(host_rpc(&kam, "tls.reload", answer, sizeof(answer)),
			"the same key is taken over");
	HOLDS(unlink(host_cert("typed.key")) == 0
					&& copy("encrypted.key", "typed.key"),
			"another file");
	HOLDS(!host_rpc(&kam, "tls.reload", answer, sizeof(answer))
					|| strstr(answer, "private_key_password is not set"),
			"is refused");
	HOLDS(host_log_count(&kam, "typed.key&private_key_password is not") > 0,
			"and told");
	HOLDS(peer_once(kam.tls_port, NULL), "service goes on");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* ---- our clients ---- */

static const char client_route[] =
		"	append_to_reply(\"X-Echo: $hdr(X-Echo)\\r\\n\");\n"
		"	if($hdr(X-Label) != $null) {\n"
		"		$xavp(tls=>server_id) = $hdr(X-Label);\n	}\n"
		"	if($hdr(X-Target) != $null) { $ru = $hdr(X-Target); }\n"
		"	$du = $hdr(X-Relay);\n"
		"	if(!t_relay()) { sl_reply_error(); }\n";

/* Accepts Kamailio's connection on LFD for the request EXTRA, answers it and
 * closes. The name that was asked for goes to NAME, the common name of the
 * certificate that was shown to CN. */
static bool relayed(struct host_kam *kam, int lfd, const char *extra,
		char name[256], char cn[128])
{
	struct peer_opt opt = {.ca = host_cert("ca.pem"),
			.cert = host_cert("ecdsa.pem"),
			.key = host_cert("ecdsa.key")};
	const char *asked;
	struct peer in, out;
	X509 *cert;
	bool good;

	name[0] = cn[0] = '\0';
	good = peer_tcp(&in, kam->tcp_port) && peer_request(&in, 1, 10, extra)
		   && peer_accept(&out, lfd, &opt, PEER_WAIT_MS);
	if(good) {
		asked = SSL_get_servername(out.ssl, TLSEXT_NAMETYPE_host_name);
		snprintf(name, 256, "%s", asked ? asked : "");
		cert = SSL_get1_peer_certificate(out.ssl);
		if(cert)
			X509_NAME_get_text_by_NID(
					X509_get_subject_name(cert), NID_commonName, cn, 128);
		X509_free(cert);
		good = peer_serve(&out, PEER_WAIT_MS) > 0
			   && peer_check_reply(&in, 1, 10, 200, PEER_WAIT_MS);
		peer_close(&out);
	}
	peer_close(&in);
	return host_rpc_await(
				   kam, "tls.info", "opened_connections", 0, PEER_WAIT_MS)
		   && good;
}

static void test_clients(void)
{
	static const struct
	{
		const char *label;
		const char *target; /* Request-URI */
		bool other_port;
		const char *name; /* "" = none is asked for */
		const char *cn;	  /* "" = none is shown */
		const char *reason;
	} rows[] = {{"none", "sip:target.example.org", false, "", "",
						"sni = none, whatever else there is"},
			{"name", "sip:target.example.org", false, "chosen.example.org", "",
					"sni = a name, not the first of server_name"},
			{"auto", "sip:192.0.2.1", false, "listed2.example.org", "",
					"sni = auto, the target is an address"},
			{"auto", "sip:u@Target.example.org;x=y", false,
					"target.example.org", "", "sni = auto"},
			{"list", "sip:target.example.org", false, "first.example.org", "",
					"sni not set: the first name that is no pattern"},
			{NULL, "sip:target.example.org", true, "", "",
					"another port of the address: the default profile"},
			{NULL, "sip:target.example.org", false, "", "client.example.org",
					"the profile of the peer's address"},
			{"list", "sip:target.example.org", true, "first.example.org", "",
					"a label goes before the address"}};
	int port, other;
	int lfd[2] = {peer_listen(&port), peer_listen(&other)};
	char cfg_text[2048];
	struct host_config cfg = {.tls_cfg = cfg_text,
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"xavp_cfg\", \"tls\")\n",
			.route = client_route};
	char name[256], cn[128], extra[512], text[512];
	struct host_kam kam;
	bool good;
	size_t i;

	snprintf(cfg_text, sizeof(cfg_text),
			"[server:default]\nmethod = TLSv1.2+\n" ECDSA
			"[client:default]\nmethod = TLSv1.2+\n"
			"[client:any]\nserver_id = none\nserver_name = "
			"listed.example.org\nsni = none\n"
			"[client:any]\nserver_id = auto\nserver_name = "
			"listed2.example.org\nsni = auto\n"
			"[client:any]\nserver_id = name\nserver_name = "
			"listed3.example.org\nsni = chosen.example.org\n"
			"[client:any]\nserver_id = list\nserver_name = "
			"\"*.pattern.example.org first.example.org\"\n"
			"[client:127.0.0.1:%d]\n"
			"certificate = @CERTS@/client.pem\nprivate_key = "
			"@CERTS@/client.key\n",
			port);
	if(!suite_started(&kam, &cfg))
		return;
	for(i = 0; i < N(rows); i++) {
		snprintf(extra, sizeof(extra),
				"X-Relay: sip:127.0.0.1:%d;transport=tls\r\nX-Target: "
				"%s\r\n%s%s%s",
				rows[i].other_port ? other : port, rows[i].target,
				rows[i].label ? "X-Label: " : "",
				rows[i].label ? rows[i].label : "",
				rows[i].label ? "\r\n" : "");
		good = relayed(&kam, lfd[rows[i].other_port], extra, name, cn)
			   && strcmp(name, rows[i].name) == 0
			   && strcmp(cn, rows[i].cn) == 0;
		snprintf(text, sizeof(text), "%s: asks \"%.100s\", shows \"%.100s\"",
				rows[i].reason, name, cn);
		HOLDS(good, text);
		if(!good)
			fprintf(stderr, "  %s\n", text);
	}
	close(lfd[0]);
	close(lfd[1]);
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"clients that send no name", test_no_name},
		{"strict_sni", test_strict}, {"hundreds of names", test_many},
		{"two certificates", test_two_certificates},
		{"algorithms of a name", test_algorithms},
		{"revocation lists", test_crl},
		{"a list in a folder changes", test_folder_changes},
		{"a file changes while it is loaded", test_change_during_load},
		{"typed passwords", test_typed_password},
		{"typed at the start only", test_typed_once},
		{"clients: names and addresses", test_clients}, {NULL, NULL}};

const struct suite suite_profiles = {
		"profiles", suite_init, suite_clean, tests};
