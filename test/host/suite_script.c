/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Every variable, select and function, asked by a native script and by a KEMI
 * script (Lua) of a real server, and compared with what "openssl x509" says
 * about the same certificates (cert_fields.sh) and with what the client's own
 * OpenSSL knows. The suite owns one Kamailio. One process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

/* How a field of a certificate is asked for; %s is "peer" or "my". */
struct form
{
	const char *field; /* of cert_fields.sh */
	const char *pv;
	const char *select; /* NULL = there is none */
};

#define NAME_PART(who_, part_, short_)                                       \
	{                                                                        \
		who_ "_" part_, "$tls_%s_" who_ "_" part_, "tls.%s." who_ "." short_ \
	}
#define NAME_PARTS(who_)                                                     \
	NAME_PART(who_, "cn", "cn"), NAME_PART(who_, "locality", "l"),           \
			NAME_PART(who_, "country", "c"), NAME_PART(who_, "state", "st"), \
			NAME_PART(who_, "organization", "o"),                            \
			NAME_PART(who_, "unit", "ou")

static const struct form forms[] = {
		{"version", "$tls_%s_version", "tls.%s.version"},
		{"serial", "$tls_%s_serial", "tls.%s.sn"},
		{"serial", "$tls_%s_serial", "tls.%s.serialNumber"},
		{"subject", "$tls_%s_subject", NULL},
		{"issuer", "$tls_%s_issuer", NULL},
		NAME_PARTS("subject"),
		NAME_PARTS("issuer"),
		{"subject_cn", "$tls_%s_subject_cn", "tls.%s"},
		{"subject_cn", "$tls_%s_subject_cn", "tls.%s.subject"},
		{"issuer_cn", "$tls_%s_issuer_cn", "tls.%s.issuer"},
		{"subject_uid", "$tls_%s_subject_uid", "tls.%s.subject.uid"},
		{"notBefore", "$tls_%s_notBefore", "tls.%s.notBefore"},
		{"notAfter", "$tls_%s_notAfter", "tls.%s.not_after"},
		{"fingerprint", "$tls(%s_fingerprint)", NULL},
		{"days_left", "$tls(%s_days_left)", NULL},
		{"san_email", "$tls_%s_san_email", "tls.%s.email"},
		{"san_hostname", "$tls_%s_san_hostname", "tls.%s.host"},
		{"san_hostname_1", "$(tls_%s_san_hostname[1])", "tls.%s.dns[1]"},
		{"none", "$(tls_%s_san_hostname[2])", "tls.%s.dns[2]"},
		{"san_uri", "$tls_%s_san_uri", "tls.%s.uri"},
		{"san_uri_1", "$(tls_%s_san_uri[1])", "tls.%s.url[1]"},
		{"san_ip", "$tls_%s_san_ip", "tls.%s.ip"},
		{"count_dns", "$tls_%s_san_count(DNS)", "tls.%s.count.DNS"},
		{"count_uri", "$tls_%s_san_count(URI)", "tls.%s.count.URI"},
		{"count_email", "$tls_%s_san_count(EMAIL)", "tls.%s.count.EMAIL"},
		{"count_ip", "$tls_%s_san_count(IP)", "tls.%s.count.IP"},
};
#define N_FORMS (sizeof(forms) / sizeof(forms[0]))

/* Those of the connection; what they should say is told by the test. */
static const char *const facts[] = {"$tls_version", "$tls_description",
		"$tls_cipher_info", "$tls_cipher_bits", "$tls_peer_server_name",
		"$tls_peer_verified", "$tls_peer_revoked", "$tls_peer_expired",
		"$tls_peer_selfsigned", "$tls(verify_result)", "$tls(verify_reason)",
		"$tls(peer_name_ok)", "$tls(alpn)", "$tls(group)", "$tls(resumed)",
		"$tls(profile)", "$tls(peer_name)", "$tls(p_subject_line)",
		"$tls(m_subject_line)", "$tls(p_issuer_line)", "$tls(m_issuer_line)",
		"$tls(failure)"};
#define N_FACTS (sizeof(facts) / sizeof(facts[0]))

static const char *const fact_selects[] = {"tls", "tls.version", "tls.desc",
		"tls.cipher", "tls.cipher.bits", "tls.server_name", "tls.peer.verified",
		"tls.peer.revoked", "tls.peer.expired", "tls.peer.self_signed",
		"tls.serverName", "tls.description"};
#define N_FACT_SELECTS (sizeof(fact_selects) / sizeof(fact_selects[0]))

/* Every other word that a select knows. */
struct alias
{
	const char *select;
	const char *field; /* of cert_fields.sh */
	int side;
};

static const struct alias aliases[] = {{"tls.me", "subject_cn", 1},
		{"tls.myself", "subject_cn", 1},
		{"tls.me.subj.commonName", "subject_cn", 1},
		{"tls.peer.subject.common_name", "subject_cn", 0},
		{"tls.peer.subject.name", "subject_cn", 0},
		{"tls.peer.subject.localityName", "subject_locality", 0},
		{"tls.peer.subject.locality_name", "subject_locality", 0},
		{"tls.peer.subject.locality", "subject_locality", 0},
		{"tls.peer.subject.countryName", "subject_country", 0},
		{"tls.peer.subject.country_name", "subject_country", 0},
		{"tls.peer.subject.country", "subject_country", 0},
		{"tls.peer.subject.stateOrProvinceName", "subject_state", 0},
		{"tls.peer.subject.state_or_province_name", "subject_state", 0},
		{"tls.peer.subject.state", "subject_state", 0},
		{"tls.peer.subject.organizationName", "subject_organization", 0},
		{"tls.peer.subject.organization_name", "subject_organization", 0},
		{"tls.peer.issuer.organization", "issuer_organization", 0},
		{"tls.peer.subject.organizationalUnitName", "subject_unit", 0},
		{"tls.peer.subject.organizational_unit_name", "subject_unit", 0},
		{"tls.peer.subject.unit", "subject_unit", 0},
		{"tls.peer.subject.uniqueIdentifier", "subject_uid", 0},
		{"tls.peer.subject.unique_identifier", "subject_uid", 0},
		{"tls.peer.serial_number", "serial", 0},
		{"tls.peer.not_before", "notBefore", 0},
		{"tls.peer.notAfter", "notAfter", 0},
		{"tls.peer.emailAddress", "san_email", 0},
		{"tls.peer.email_address", "san_email", 0},
		{"tls.peer.hostname", "san_hostname", 0},
		{"tls.my.dns[1]", "san_hostname_1", 1}, {"tls.peer.urn", "san_uri", 0},
		{"tls.peer.IPAddress", "san_ip", 0},
		{"tls.peer.ip_address", "san_ip", 0}};
#define N_ALIASES (sizeof(aliases) / sizeof(aliases[0]))

/* Values that are too long for a line of a reply: their MD5. */
static const char *const pems[] = {"$(tls_peer_raw_cert{s.md5})",
		"$(tls_my_raw_cert{s.md5})",
		"$(tls_peer_urlencoded_cert{s.urldecode.param}{s.md5})",
		"$(tls_my_urlencoded_cert{s.urldecode.param}{s.md5})",
		"$(sel(tls.peer.rawCert){s.md5})", "$(sel(tls.peer.raw_cert){s.md5})",
		"$(sel(tls.my.urlencoded_cert){s.urldecode.param}{s.md5})",
		"$(sel(tls.peer.verified_cert_chain[0]){s.md5})",
		"$(sel(tls.my.URLEncodedCert){s.urldecode.param}{s.md5})"};
#define N_PEMS (sizeof(pems) / sizeof(pems[0]))

/* Certificates of the verified chain, and one behind its end. */
static const char *const chain[] = {
		"$(sel(tls.peer.verified_cert_chain[0]){s.md5})",
		"$(sel(tls.peer.verified_cert_chain[1]){s.md5})",
		"$(sel(tls.peer.verified_cert_chain[2]){s.md5})",
		"$sel(tls.peer.verified_cert_chain[3])",
		"$sel(tls.my.verified_cert_chain[1])"};
#define N_CHAIN (sizeof(chain) / sizeof(chain[0]))

static struct host_kam shared;
static char route[65536];	   /* what the server's script asks */
static char expected[2][8192]; /* what cert_fields.sh said: peer, my */

/* ---- what openssl says ---- */

static bool read_expected(const char *file, char out[8192])
{
	char command[2 * HOST_PATH_MAX];
	FILE *pipe;
	size_t n;

	snprintf(command, sizeof(command), "sh %s/cert_fields.sh %s",
			TEST_SOURCE_DIR, host_cert(file));
	pipe = popen(command, "r");
	if(pipe == NULL)
		return false;
	n = fread(out, 1, 8191, pipe);
	out[n] = '\0';
	return pclose(pipe) == 0 && n > 0;
}

/* The value of FIELD into OUT, "<null>" as the script prints it when it is
 * not there. */
static void expect(int side, const char *field, char *out, size_t room)
{
	const char *at = expected[side];
	size_t n = strlen(field);

	snprintf(out, room, "<null>");
	while(at != NULL && *at != '\0') {
		if(strncmp(at, field, n) == 0 && at[n] == ' ') {
			snprintf(out, room, "%.*s", (int)strcspn(at + n + 1, "\n"),
					at + n + 1);
			return;
		}
		at = strchr(at, '\n');
		at = at != NULL ? at + 1 : NULL;
	}
}

/* The MD5 of the certificate FILE in PEM form, as openssl writes it. */
static bool md5_of(const char *file, char out[64])
{
	char command[2 * HOST_PATH_MAX];
	FILE *pipe;
	bool good;

	snprintf(command, sizeof(command),
			"openssl x509 -in %s | openssl dgst -md5 | sed 's/.* //'",
			host_cert(file));
	pipe = popen(command, "r");
	good = pipe != NULL && fgets(out, 64, pipe) != NULL;
	if(pipe != NULL)
		pclose(pipe);
	out[good ? strcspn(out, "\n") : 0] = '\0';
	return good;
}

/* ---- the scripts ---- */

static const char *const sides[] = {"peer", "my"};

static void add_form(char *out, size_t room, const char *format, const char *v)
{
	char value[128];
	size_t used = strlen(out);

	snprintf(value, sizeof(value), v, "peer");
	snprintf(out + used, room - used, format, value);
}

/* One line "X-<letter><number>: value" for each question. */
static void add_lines(char *out, size_t room, const char *ask, char letter,
		const char *format, const char *const *texts, size_t n)
{
	size_t i, used = strlen(out);

	snprintf(out + used, room - used, "	if($hdr(X-Ask) == \"%s\") {\n", ask);
	for(i = 0; i < n; i++) {
		used = strlen(out);
		snprintf(out + used, room - used,
				"		append_to_reply(\"X-%c%zu: ", letter, i);
		add_form(out, room, format, texts[i]);
		used = strlen(out);
		snprintf(out + used, room - used, "\\r\\n\");\n");
	}
	used = strlen(out);
	snprintf(out + used, room - used, "	}\n");
}

static void add_forms(char *out, size_t room, int side)
{
	size_t i, used = strlen(out);
	char text[128];

	snprintf(out + used, room - used, "	if($hdr(X-Ask) == \"%s\") {\n",
			sides[side]);
	for(i = 0; i < N_FORMS; i++) {
		snprintf(text, sizeof(text), forms[i].pv, sides[side]);
		used = strlen(out);
		snprintf(out + used, room - used,
				"		append_to_reply(\"X-V%zu: %s\\r\\n\");\n", i, text);
		if(forms[i].select == NULL)
			continue;
		snprintf(text, sizeof(text), forms[i].select, sides[side]);
		used = strlen(out);
		snprintf(out + used, room - used,
				"		append_to_reply(\"X-S%zu: $sel(%s)\\r\\n\");\n", i,
				text);
	}
	used = strlen(out);
	snprintf(out + used, room - used, "	}\n");
}

#define MATCH(number_, name_)                  \
	"		if(tls_peer_match(\"" name_ "\"))" \
	" append_to_reply(\"X-M" number_ ": yes\\r\\n\");\n"

static const char functions_part[] =
		"	if($hdr(X-Ask) == \"functions\") {\n"
		"		if(is_peer_verified()) append_to_reply(\"X-Is: "
		"yes\\r\\n\");\n" MATCH("0", "sip22.example.org") MATCH("1",
				"SIP22.Example.ORG") MATCH("2", "rich22.example.org") MATCH("3",
				"users22.example.org") MATCH("4", "example.org") MATCH("5",
				"192.0.2.22") MATCH("6",
				"Rich 22") "		$tls(peer_name) = \"wished.example\";\n"
						   "		append_to_reply(\"X-Wish: "
						   "$tls(peer_name)\\r\\n\");\n"
						   "		$tls(peer_name) = $null;\n"
						   "		append_to_reply(\"X-Gone: "
						   "$tls(peer_name)\\r\\n\");\n"
						   "		if(tls_set_connect_server_id(\"none\")) "
						   "append_to_reply(\"X-Id: yes\\r\\n\");\n"
						   "	}\n"
						   "	if($hdr(X-Ask) =~ \"^lua\") { "
						   "lua_run(\"$hdr(X-Ask)\"); }\n"
						   "	sl_send_reply(\"200\", \"OK\");\n";

/* The Lua script: one function for each kind of question. */
static bool write_lua(const char *path)
{
	FILE *f = fopen(path, "w");
	char text[128];
	size_t i;
	int side;

	if(f == NULL)
		return false;
	fprintf(f,
			"local function say(name, pv)\n"
			"	local v = KSR.tls.cget(pv)\n"
			"	if v == nil then v = \"<null>\" end\n"
			"	v = string.gsub(tostring(v), \"\\n\", \"\")\n"
			"	KSR.hdr.append_to_reply(\"X-\"..name..\": \"..v..\"\\r\\n\")\n"
			"end\n");
	for(side = 0; side < 2; side++) {
		fprintf(f, "function lua_%s()\n", sides[side]);
		for(i = 0; i < N_FORMS; i++) {
			snprintf(text, sizeof(text), forms[i].pv, sides[side]);
			fprintf(f, "	say(\"V%zu\", \"%s\")\n", i, text);
		}
		fprintf(f,
				"	say(\"P\", \"tls_%s_raw_cert\")\n"
				"	say(\"U\", \"tls_%s_urlencoded_cert\")\nend\n",
				sides[side], sides[side]);
	}
	fprintf(f, "function lua_facts()\n");
	for(i = 0; i < N_FACTS; i++)
		fprintf(f, "	say(\"F%zu\", \"%s\")\n", i, facts[i]);
	fprintf(f, "end\nfunction lua_functions()\n"
			   "	local function yes(name, n)\n"
			   "		if n > 0 then KSR.hdr.append_to_reply("
			   "\"X-\"..name..\": yes\\r\\n\") end\n	end\n"
			   "	yes(\"Is\", KSR.tls.is_peer_verified())\n"
			   "	yes(\"M0\", KSR.tls.peer_match(\"sip22.example.org\"))\n"
			   "	yes(\"M1\", KSR.tls.peer_match(\"SIP22.Example.ORG\"))\n"
			   "	yes(\"M2\", KSR.tls.peer_match(\"rich22.example.org\"))\n"
			   "	yes(\"M3\", KSR.tls.peer_match(\"users22.example.org\"))\n"
			   "	yes(\"M4\", KSR.tls.peer_match(\"example.org\"))\n"
			   "	yes(\"M5\", KSR.tls.peer_match(\"192.0.2.22\"))\n"
			   "	yes(\"M6\", KSR.tls.peer_match(\"Rich 22\"))\n"
			   "	KSR.pv.sets(\"$tls(peer_name)\", \"wished.example\")\n"
			   "	say(\"Wish\", \"tls(peer_name)\")\n"
			   "	KSR.pv.unset(\"$tls(peer_name)\")\n"
			   "	say(\"Gone\", \"tls(peer_name)\")\n"
			   "	yes(\"Id\", KSR.tls.set_connect_server_id(\"none\"))\n"
			   "end\n");
	return fclose(f) == 0;
}

static const char tls_cfg[] =
		"[server:default]\nmethod = TLSv1.2+\n"
		"certificate = @CERTS@/rich-server.pem\n"
		"private_key = @CERTS@/rich-server.key\n"
		"ca_list = @CERTS@/ca.pem\nverify_certificate = yes\n"
		"peer_names = sip22.example.org\n";

static int suite_init(void)
{
	static struct host_config cfg = {.tls_cfg = tls_cfg,
			.route = route,
			.tcp_children = 4,
			.modules = "loadmodule \"app_lua.so\"\n"
					   "modparam(\"app_lua\", \"load\", "
					   "\"@CERTS@/script.lua\")\n"};

	const char *words[N_ALIASES];
	size_t i;

	for(i = 0; i < N_ALIASES; i++)
		words[i] = aliases[i].select;
	add_lines(
			route, sizeof(route), "aliases", 'F', "$sel(%s)", words, N_ALIASES);
	add_forms(route, sizeof(route), 0);
	add_forms(route, sizeof(route), 1);
	add_lines(route, sizeof(route), "facts", 'F', "%s", facts, N_FACTS);
	add_lines(route, sizeof(route), "selects", 'F', "$sel(%s)", fact_selects,
			N_FACT_SELECTS);
	add_lines(route, sizeof(route), "pems", 'F', "%s", pems, N_PEMS);
	add_lines(route, sizeof(route), "chain", 'F', "%s", chain, N_CHAIN);
	snprintf(route + strlen(route), sizeof(route) - strlen(route), "%s",
			functions_part);
	return write_lua(host_cert("script.lua"))
						   && read_expected("rich-client.pem", expected[0])
						   && read_expected("rich-server.pem", expected[1])
						   && host_start(&shared, &cfg)
				   ? 0
				   : -1;
}

static int suite_clean(void)
{
	return host_stop(&shared, SIGTERM) ? 0 : -1;
}

/* ---- questions and answers ---- */

static struct peer one;
static struct peer *client = &one; /* who asks */
static const char *answer;
static size_t n_answer;

static SSL_SESSION *offered; /* to be resumed; NULL = none */

/* A client with certificate CERT (NULL = none) of VERSION. */
static bool connect_as(const char *cert, int version)
{
	struct peer_opt opt = {.min = version,
			.max = version,
			.sni = "One.Example.Org",
			.resume = offered};
	char pem[64], key[64];

	if(cert != NULL) {
		snprintf(pem, sizeof(pem), "%s.pem", cert);
		snprintf(key, sizeof(key), "%s.key", cert);
		opt.cert = host_cert(pem);
		opt.key = host_cert(key);
	}
	return peer_tls(client, shared.tls_port, &opt);
}

static bool ask(const char *what)
{
	static unsigned int cseq;
	char extra[64];

	peer_take(client, n_answer);
	snprintf(extra, sizeof(extra), "X-Ask: %s\r\n", what);
	n_answer = peer_request(client, ++cseq, 0, extra)
					   ? peer_sip(client, PEER_WAIT_MS)
					   : 0;
	answer = client->buf;
	HOLDS(n_answer > 0, what);
	return n_answer > 0;
}

static void is(const char *header, const char *want, const char *what)
{
	char got[4096];

	sip_header(answer, n_answer, header, got, sizeof(got));
	if(strcmp(got, want) != 0)
		fprintf(stderr, "\n%s: \"%s\", not \"%s\"\n", what, got, want);
	HOLDS(strcmp(got, want) == 0, what);
}

static void check_forms(int side, bool lua)
{
	char header[32], want[4096];
	size_t i;

	for(i = 0; i < N_FORMS; i++) {
		expect(side, forms[i].field, want, sizeof(want));
		snprintf(header, sizeof(header), "X-V%zu", i);
		is(header, want, forms[i].pv);
		if(lua || forms[i].select == NULL)
			continue;
		snprintf(header, sizeof(header), "X-S%zu", i);
		is(header, strcmp(want, "<null>") == 0 ? "<null>" : want,
				forms[i].select);
	}
}

/* The header holds WANT, percent-encoded and with the ends of lines that WANT
 * has lost. */
static void is_encoded(const char *header, const char *want, const char *what)
{
	char got[8192], plain[8192], digits[3] = "";
	const char *at = got;
	size_t n = 0;

	sip_header(answer, n_answer, header, got, sizeof(got));
	for(; *at != '\0' && n < sizeof(plain) - 1; at++) {
		plain[n] = *at == '+' ? ' ' : *at;
		if(*at == '%' && at[1] != '\0') {
			memcpy(digits, at + 1, 2);
			plain[n] = (char)strtol(digits, NULL, 16);
			at += 2;
		}
		n += plain[n] != '\n';
	}
	plain[n] = '\0';
	HOLDS(strcmp(plain, want) == 0, what);
}

static void check_aliases(void)
{
	char header[32], want[4096];
	size_t i;

	for(i = 0; i < N_ALIASES; i++) {
		expect(aliases[i].side, aliases[i].field, want, sizeof(want));
		snprintf(header, sizeof(header), "X-F%zu", i);
		is(header, want, aliases[i].select);
	}
}

static void test_certificates(void)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	char want[4096];
	size_t i;
	int side;

	for(i = 0; i < 2; i++) {
		n_answer = 0;
		HOLDS(connect_as("rich-client", versions[i]), "connected");
		for(side = 0; side < 2; side++) {
			if(ask(sides[side]))
				check_forms(side, false);
			if(ask(side ? "lua_my" : "lua_peer")) {
				check_forms(side, true);
				expect(side, "raw_line", want, sizeof(want));
				is("X-P", want, "the whole certificate in Lua");
				is_encoded("X-U", want, "and percent-encoded");
			}
		}
		if(ask("aliases"))
			check_aliases();
		if(ask("pems")) {
			expect(0, "raw_md5", want, sizeof(want));
			is("X-F0", want, pems[0]);
			is("X-F2", want, pems[2]);
			is("X-F4", want, pems[4]);
			is("X-F5", want, pems[5]);
			is("X-F7", want, pems[7]);
			expect(1, "raw_md5", want, sizeof(want));
			is("X-F1", want, pems[1]);
			is("X-F3", want, pems[3]);
			is("X-F6", want, pems[6]);
			is("X-F8", want, pems[8]);
		}
		peer_close(client);
	}
}

/* The whole chain, of which the peer sent two and the third is our CA. */
static void test_chain(void)
{
	static const char *const files[] = {
			"deep-own.pem", "between.pem", "ca.pem"};
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	char want[64], header[32];
	size_t i, v;

	for(v = 0; v < 2; v++) {
		n_answer = 0;
		HOLDS(connect_as("deep", versions[v]), "connected");
		if(ask("chain")) {
			for(i = 0; i < 3; i++) {
				HOLDS(md5_of(files[i], want), files[i]);
				snprintf(header, sizeof(header), "X-F%zu", i);
				is(header, want, chain[i]);
			}
			is("X-F3", "<null>", chain[3]);
			is("X-F4", "<null>", chain[4]);
		}
		peer_close(client);
	}
}

/* SSL_CIPHER_description without its newline. */
static const char *description(char out[256])
{
	SSL_CIPHER_description(SSL_get_current_cipher(client->ssl), out, 256);
	out[strcspn(out, "\n")] = '\0';
	return out;
}

static void check_facts(const char *verified, const char *result,
		const char *reason, const char *name_ok)
{
	char line[256], bits[16], subject[2][512], issuer[512];
	int id = (int)SSL_get_negotiated_group(client->ssl);
	const char *group = SSL_group_to_name(client->ssl, id);
	bool shown = strcmp(result, "<null>") != 0;
	const char *want[N_FACTS];
	char header[32];
	size_t i;

	snprintf(bits, sizeof(bits), "%d", SSL_get_cipher_bits(client->ssl, NULL));
	expect(0, "subject", subject[0], sizeof(subject[0]));
	expect(1, "subject", subject[1], sizeof(subject[1]));
	expect(0, "issuer", issuer, sizeof(issuer));
	want[0] = SSL_get_version(client->ssl);
	want[1] = description(line);
	want[2] = SSL_get_cipher_name(client->ssl);
	want[3] = bits;
	want[4] = "one.example.org";
	want[5] = verified;
	want[6] = want[7] = want[8] = "0";
	want[9] = result;
	want[10] = reason;
	want[11] = name_ok;
	want[12] = "<null>";
	want[13] = group != NULL ? group : "?";
	want[14] = "0";
	want[15] = "TLSs<default>";
	want[16] = "<null>";
	want[17] = shown ? subject[0] : "<null>";
	want[18] = subject[1];
	want[19] = shown ? issuer : "<null>";
	want[20] = issuer;
	want[21] = "<null>"; /* nothing has failed */
	for(i = 0; i < N_FACTS; i++) {
		snprintf(header, sizeof(header), "X-F%zu", i);
		is(header, want[i], facts[i]);
	}
}

static void check_fact_selects(const char *verified)
{
	char line[256], bits[16], header[32];
	const char *want[N_FACT_SELECTS];
	size_t i;

	snprintf(bits, sizeof(bits), "%d", SSL_get_cipher_bits(client->ssl, NULL));
	want[0] = want[2] = description(line);
	want[1] = SSL_get_version(client->ssl);
	want[3] = SSL_get_cipher_name(client->ssl);
	want[4] = bits;
	want[5] = "one.example.org";
	want[6] = verified;
	want[7] = want[8] = want[9] = "0";
	want[10] = want[5];
	want[11] = want[0];
	for(i = 0; i < N_FACT_SELECTS; i++) {
		snprintf(header, sizeof(header), "X-F%zu", i);
		is(header, want[i], fact_selects[i]);
	}
}

struct fact_row
{
	const char *cert;
	int version;
	const char *verified;
	const char *result;
	const char *reason;
	const char *name_ok;
};

static void test_facts(void)
{
	static const struct fact_row rows[] = {
			{NULL, TLS1_3_VERSION, "0", "<null>", "<null>", "<null>"},
			{"rich-client", TLS1_2_VERSION, "1", "0", "ok", "1"},
			{"rich-client", TLS1_3_VERSION, "1", "0", "ok", "1"}};
	size_t i;

	for(i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		n_answer = 0;
		HOLDS(connect_as(rows[i].cert, rows[i].version), "connected");
		if(ask("facts"))
			check_facts(rows[i].verified, rows[i].result, rows[i].reason,
					rows[i].name_ok);
		if(ask("lua_facts"))
			check_facts(rows[i].verified, rows[i].result, rows[i].reason,
					rows[i].name_ok);
		if(ask("selects"))
			check_fact_selects(rows[i].verified);
		peer_close(client);
	}
}

static void check_functions(bool verified)
{
	/* RFC 5922 s7.1: the SIP URI hides the host names */
	static const char *const want[] = {"yes", "yes", "", "", "", "yes", ""};
	char header[8];
	size_t i;

	is("X-Is", verified ? "yes" : "", "is_peer_verified()");
	for(i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		snprintf(header, sizeof(header), "X-M%zu", i);
		is(header, verified ? want[i] : "", "tls_peer_match()");
	}
	is("X-Wish", "wished.example", "$tls(peer_name) can be set");
	is("X-Gone", "<null>", "$tls(peer_name) can be taken back");
	is("X-Id", "yes", "tls_set_connect_server_id()");
}

static void test_functions(void)
{
	static const char *const certs[] = {NULL, "client", "rich-client"};
	size_t i;

	for(i = 0; i < 3; i += 2) {
		n_answer = 0;
		HOLDS(connect_as(certs[i], TLS1_3_VERSION), "connected");
		if(ask("functions"))
			check_functions(i == 2);
		if(ask("lua_functions"))
			check_functions(i == 2);
		peer_close(client);
	}
}

/* A resumed session says what the full one said. */
static void test_resumed(void)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	char want[4096];
	size_t i;
	int round;

	for(i = 0; i < 2; i++) {
		for(round = 0; round < 2; round++) {
			n_answer = 0;
			HOLDS(connect_as("rich-client", versions[i]), "connected");
			HOLDS(SSL_session_reused(client->ssl) == round, "resumed");
			SSL_SESSION_free(offered);
			offered = NULL;
			if(ask("functions"))
				check_functions(true);
			if(ask("peer"))
				check_forms(0, false);
			if(ask("facts")) {
				is("X-F5", "1", "$tls_peer_verified");
				is("X-F14", round ? "1" : "0", "$tls(resumed)");
			}
			if(ask("chain")) {
				HOLDS(md5_of("ca.pem", want), "ca.pem");
				is("X-F1", want, chain[1]);
			}
			if(round == 0)
				offered = SSL_get1_session(client->ssl);
			/* OpenSSL forgets sessions of connections that were cut */
			SSL_set_shutdown(
					client->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
			peer_close(client);
		}
	}
}

#define ASKERS 8
#define ROUNDS 12

/* Several connections ask four workers while others come and go; each gets
 * the answers about itself. */
static void test_load(void)
{
	static const char *const certs[] = {"rich-client", "client", "deep", NULL};
	static const char *const names[] = {
			"Rich 22", "client.example.org", "deep.example.org", "<null>"};
	static struct peer many[ASKERS];
	int load = suite_tlsload(shared.tls_port,
			"--seconds 60 --conns 4 --mix full=4,resume=2,reset=1", 0);
	int i, k, status;

	n_answer = 0;
	for(i = 0; i < ASKERS; i++) {
		client = &many[i];
		HOLDS(connect_as(certs[i % 4], i & 4 ? TLS1_2_VERSION : TLS1_3_VERSION),
				"connected");
	}
	for(k = 0; k < ROUNDS * ASKERS; k++) {
		client = &many[k * 3 % ASKERS];
		i = (int)(client - many) % 4;
		if(ask(k & 1 ? "peer" : "lua_peer"))
			is("X-V5", names[i], "the name in the certificate");
		if(i == 0)
			check_forms(0, (k & 1) == 0);
		peer_take(client, n_answer);
		n_answer = 0;
	}
	for(i = 0; i < ASKERS; i++)
		peer_close(&many[i]);
	client = &one;
	kill(load, SIGTERM);
	waitpid(load, &status, 0);
}

/* None of all these questions was worth a line at level ERROR. */
static void test_quiet(void)
{
	HOLDS(host_log_count(&shared, "ERROR|CRITICAL") == 0,
			"plain questions are no errors");
	if(host_log_count(&shared, "ERROR|CRITICAL") > 0)
		fprintf(stderr, "\n%s\n", host_log_line());
}

/* Over plain TCP everything is null and nothing is true. */
static void test_plain(void)
{
	char header[8];
	size_t i;

	n_answer = 0;
	HOLDS(peer_tcp(client, shared.tcp_port), "connected");
	if(ask("peer")) {
		for(i = 0; i < N_FORMS; i++) {
			snprintf(header, sizeof(header), "X-V%zu", i);
			is(header, "<null>", forms[i].pv);
		}
	}
	if(ask("functions"))
		check_functions(false);
	peer_close(client);
}

/* ---- is everything asked? ---- */

/* All of FILE below the tree's top, for free(). */
static char *text_of(const char *file)
{
	char path[HOST_PATH_MAX];
	char *text = calloc(1, 1 << 20);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s",
			file[0] == '/' ? "" : TEST_SOURCE_DIR "/../..", file);
	f = fopen(path, "r");
	HOLDS(f != NULL && text != NULL && fread(text, 1, (1 << 20) - 1, f) > 0,
			file);
	if(f != NULL)
		fclose(f);
	return text;
}

/* The word between BEFORE and one of the bytes of END, which is searched from
 * *AT on; false when there is none. */
static bool next_word(
		const char **at, const char *before, const char *end, char out[128])
{
	const char *found = strstr(*at, before);
	size_t n;

	if(found == NULL)
		return false;
	found += strlen(before);
	n = strcspn(found, end);
	snprintf(out, 128, "%.*s", (int)n, found);
	*at = found + n;
	return true;
}

/* WORD as a whole stands somewhere in TEXT. */
static bool mentions(const char *text, const char *word)
{
	const char *at = text;
	size_t n = strlen(word);

	while((at = strstr(at, word)) != NULL) {
		if(strspn(at + n, "abcdefghijklmnopqrstuvwxyz"
						  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
						== 0
				&& (at == text || strchr(".$( :[\"", at[-1]) != NULL))
			return true;
		at++;
	}
	return false;
}

/* Each name of FILE behind BEFORE is in TEXT, with PREFIX in front. */
static size_t each_in(const char *file, const char *before, const char *prefix,
		const char *text, const char *where)
{
	char *names = text_of(file);
	const char *at = names;
	char word[128], full[192], what[256];
	size_t n = 0;

	while(names != NULL && next_word(&at, before, "\"<,)", word)) {
		snprintf(full, sizeof(full), "%s%s", prefix, word);
		snprintf(what, sizeof(what), "%s is asked %s", full, where);
		if(!mentions(text, full))
			fprintf(stderr, "\nnobody asks %s %s\n", full, where);
		HOLDS(mentions(text, full), what);
		n++;
	}
	free(names);
	return n;
}

/* A name that is documented, or that the selects know, and that no script of a
 * test asks for, fails. */
static void test_documented(void)
{
	char *lua = text_of(host_cert("script.lua"));
	char *events = text_of("test/host/suite_event.c");

	HOLDS(each_in("doc/pv.xml", "<varlistentry id=\"tls.v.", "", route,
				  "natively")
					> 50,
			"variables");
	HOLDS(each_in("doc/pv.xml", "<varlistentry id=\"tls.v.", "", lua, "in Lua")
					> 50,
			"variables");
	HOLDS(each_in("doc/pv.xml", "$tls(", "$tls(", route, "natively") > 15,
			"inner names");
	HOLDS(each_in("doc/pv.xml", "$tls(", "tls(", lua, "in Lua") > 15,
			"inner names");
	HOLDS(each_in("doc/functions.xml", "id=\"tls.f.", "", route, "natively")
					== 3,
			"functions");
	HOLDS(each_in("tls_select.c", "\tKEMI(\"", "KSR.tls.", lua, "in Lua") == 4,
			"KEMI functions");
	HOLDS(each_in("tls_select.c", "SEL(NULL, \"", "", route, "") == 1
					&& each_in("tls_select.c", "SEL_TLS(\"", "", route, "") > 4
					&& each_in("tls_select.c", "SEL_SIDE(\"", "", route, "")
							   == 4
					&& each_in("tls_select.c", "SEL_NAME(\"", "", route, "")
							   == 3
					&& each_in("tls_select.c", "SEL_PART(\"", "", route, "")
							   > 20
					&& each_in("tls_select.c", "SEL_CERT(\"", "", route, "")
							   > 12
					&& each_in("tls_select.c", "SEL_INDEXED(\"", "", route, "")
							   > 10
					&& each_in("tls_select.c", "SEL_COUNT(\"", "", route, "")
							   == 4,
			"words of selects");
	HOLDS(each_in("doc/events.xml", "<section id=\"tls.e.",
				  "event_route[tls:", events, "by a test of events")
					== 3,
			"event routes");
	HOLDS(each_in("doc/events.xml", "<section id=\"tls.e.",
				  "EVENT tls:", events, "by a KEMI test of events")
					== 3,
			"event routes");
	free(lua);
	free(events);
}

/* ---- other routes, other processes ---- */

#define SAY(where_)                                                         \
	"	xlog(\"L_NOTICE\", \"" where_ " $tls_version $tls_peer_subject_cn " \
	"$tls(profile) $tls_peer_verified\\n\");\n"

static const char routing[] =
		"	if($hdr(X-Relay) != $null) {\n"
		"		t_on_branch(\"B\");\n		t_on_reply(\"R\");\n"
		"		t_on_failure(\"F\");\n		$du = $hdr(X-Relay);\n"
		"		t_relay();\n		exit;\n	}\n"
		"	sl_send_reply(\"200\", \"OK\");\n";
#define IS(where_) \
	"	if(is_peer_verified()) xlog(\"L_NOTICE\", \"" where_ "-IS\\n\");\n"
static const char more_routes[] = "branch_route[B] {\n" SAY("BRANCH") IS(
		"B") "}\n"
			 "onreply_route[R] {\n" SAY("ONREPLY") IS(
					 "R") "}\n"
						  "reply_route {\n" SAY("REPLY") IS(
								  "Y") "}\n"
									   "failure_route[F] {\n" SAY("FAILURE") IS(
											   "F") "}\n"
													"event_route[tls:"
													"connection-in] {\n" SAY(
															"I"
															"N")
															IS("I") "}\n"
																	"event_"
																	"route["
																	"tls:"
																	"connection"
																	"-"
																	"out] "
																	"{\n" SAY(
																			"OU"
																			"T")
																			IS("O") "}\n";

/* One line at WHERE that says WHAT, once. */
static void said(struct host_kam *kam, const char *where, const char *what)
{
	char needles[160];

	snprintf(needles, sizeof(needles), ": %s %s", where, what);
	HOLDS(host_log_await(kam, needles, PEER_WAIT_MS) == 1, needles);
}

/* A request over TLS that goes on over TLS: branch routes are about who sent
 * the request, reply routes about who sent the reply. */
static void routes_of_relay(struct host_kam *kam, const struct peer_opt *opt)
{
	struct peer_opt own = {
			.cert = host_cert("ecdsa.pem"), .key = host_cert("ecdsa.key")};
	struct peer in, out;
	char relay[96];
	int i, port, lfd = peer_listen(&port);

	snprintf(relay, sizeof(relay),
			"X-Relay: sip:127.0.0.1:%d;transport=tls\r\n", port);
	HOLDS(peer_tls(&in, kam->tls_port, opt) && peer_request(&in, 1, 10, relay)
					&& peer_accept(&out, lfd, &own, PEER_WAIT_MS)
					&& peer_serve(&out, PEER_WAIT_MS) > 0
					&& peer_check_reply(&in, 1, 10, 200, PEER_WAIT_MS),
			"relayed and answered");
	said(kam, "BRANCH", "TLSv1.3 Rich 22 TLSs<default> 1");
	said(kam, "ONREPLY", "TLSv1.3 localhost TLSc<default> 1");
	said(kam, "REPLY", "TLSv1.3 localhost TLSc<default> 1");
	said(kam, "IN", "TLSv1.3 Rich 22 TLSs<default> 1");
	said(kam, "OUT", "TLSv1.3 localhost TLSc<default> 1");
	for(i = 0; i < 5; i++) {
		snprintf(relay, sizeof(relay), "%c-IS", "BRYIO"[i]);
		HOLDS(host_log_count(kam, relay) == 1, relay);
	}
	peer_close(&in);
	peer_close(&out);
	close(lfd);
}

/* The failure route runs in the process of the timer; STAYS: the connection of
 * the request is still there. */
static void routes_of_failure(
		struct host_kam *kam, const struct peer_opt *opt, bool stays)
{
	struct peer in;
	char relay[96];
	int port, fd = peer_udp(kam->udp_port, &port);

	host_log_mark(kam);
	snprintf(relay, sizeof(relay), "X-Relay: sip:127.0.0.1:%d\r\n", port);
	HOLDS(peer_tls(&in, kam->tls_port, opt)
					&& peer_request(&in, stays ? 2 : 3, 0, relay),
			"sent");
	HOLDS(host_log_await(kam, "BRANCH TLSv1.3 Rich 22", PEER_WAIT_MS) == 1,
			"branch");
	if(!stays) {
		peer_close(&in);
		HOLDS(host_rpc_await(
					  kam, "tls.info", "opened_connections", 0, PEER_WAIT_MS),
				"the connection is gone");
	}
	said(kam, "FAILURE",
			stays ? "TLSv1.3 Rich 22 TLSs<default> 1"
				  : "<null> <null> <null> <null>");
	HOLDS(host_log_count(kam, "F-IS") == (stays ? 1 : 0), "is_peer_verified()");
	if(stays)
		peer_close(&in);
	close(fd);
}

static void test_routes(void)
{
	struct host_config cfg = {
			.tls_cfg = "[server:default]\n"
					   "certificate = @CERTS@/rich-server.pem\n"
					   "private_key = @CERTS@/rich-server.key\n"
					   "ca_list = @CERTS@/ca.pem\nverify_certificate = yes\n"
					   "[client:default]\nca_list = @CERTS@/ca.pem\n"
					   "verify_certificate = yes\n",
			.route = routing,
			.routes = more_routes,
			.tcp_children = 4,
			.modules = "modparam(\"tm\", \"fr_timer\", 1500)\n"};
	struct peer_opt opt = {.cert = host_cert("rich-client.pem"),
			.key = host_cert("rich-client.key")};
	struct host_kam kam;

	if(!suite_started(&kam, &cfg))
		return;
	routes_of_relay(&kam, &opt);
	routes_of_failure(&kam, &opt, true);
	routes_of_failure(&kam, &opt, false);
	HOLDS(host_log_count(&kam, "ERROR: tls [|CRITICAL") == 0,
			"no errors in the log");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"branch, reply and failure routes", test_routes},
		{"everything documented is asked", test_documented},
		{"plain TCP has no answers", test_plain},
		{"facts of the connection", test_facts}, {"functions", test_functions},
		{"fields of both certificates", test_certificates},
		{"the verified chain", test_chain}, {"resumed sessions", test_resumed},
		{"no error for a question", test_quiet}, {"under load", test_load},
		{NULL, NULL}};

const struct suite suite_script = {"script", suite_init, suite_clean, tests};
