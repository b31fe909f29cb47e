/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Loading: the stock core takes the module; a wrong setting stops the start
 * with one sentence that names setting, file and reason.
 * Each test owns its Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define MODPARAM(name_, value_) \
	"modparam(\"tls\", \"" name_ "\", \"" value_ "\")\n"
#define GOOD_CERT MODPARAM("certificate", "@CERTS@/ecdsa.pem")
#define GOOD_KEY MODPARAM("private_key", "@CERTS@/ecdsa.key")

static void test_loads(void)
{
	static const char *const commands[] = {
			"tls.info", "tls.list", "tls.options", "cfg.list tls"};
	struct host_config cfg = {0};
	struct host_kam kam;
	char answer[16384];
	size_t i;

	if(!host_start(&kam, &cfg)) {
		HOLDS(false, "the stock core loads the module");
		host_kill(&kam);
		return;
	}
	HOLDS(peer_once(kam.tls_port, NULL), "a request is answered");
	for(i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		HOLDS(host_rpc(&kam, commands[i], answer, sizeof(answer)), commands[i]);
	HOLDS(host_log_count(&kam, "ERROR:|CRITICAL:") == 0,
			"nothing to complain about in the log");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

/* enable_tls missing: the module stays loaded without hooks. */
static void test_disabled(void)
{
	struct host_config cfg = {
			.no_tls = true, .globals = "loadmodule \"@MODULE@\"\n"};
	struct host_kam kam;

	if(!host_start(&kam, &cfg)) {
		HOLDS(false, "starts with TLS disabled");
		host_kill(&kam);
		return;
	}
	HOLDS(host_log_count(&kam,
				  "WARNING&TLS is off in the core&put enable_tls=yes before")
					> 0,
			"says that TLS is disabled");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

struct refused_row
{
	const char *reason;
	const char *params;
	const char *needles; /* setting & file & why */
};

static const struct refused_row refused[] = {
		{"missing key", GOOD_CERT MODPARAM("private_key", "@CERTS@/none.key"),
				"private_key&none.key&no such file"},
		{"unreadable key",
				GOOD_CERT MODPARAM("private_key", "@CERTS@/loop.key"),
				"private_key&loop.key&symbolic links"},
		{"key is a directory",
				GOOD_CERT MODPARAM("private_key", "@CERTS@/directory.pem"),
				"private_key&directory.pem&directory"},
		{"key of another certificate",
				GOOD_CERT MODPARAM("private_key", "@CERTS@/foreign.key"),
				"private_key&foreign.key&match|mismatch"},
		{"key of another algorithm",
				GOOD_CERT MODPARAM("private_key", "@CERTS@/rsa.key"),
				"private_key&rsa.key&match|mismatch"},
		{"encrypted key without password",
				GOOD_CERT MODPARAM("private_key", "@CERTS@/encrypted.key"),
				"private_key&encrypted.key&password|passphrase|encrypted"},
		{"encrypted key with a wrong password",
				GOOD_CERT MODPARAM("private_key", "@CERTS@/encrypted.key")
						MODPARAM("private_key_password", "wrong"),
				"private_key&encrypted.key&password|passphrase|decrypt"},
		{"garbage key",
				GOOD_CERT MODPARAM("private_key", "@CERTS@/garbage.key"),
				"private_key&garbage.key"},
		{"missing certificate",
				GOOD_KEY MODPARAM("certificate", "@CERTS@/none.pem"),
				"certificate&none.pem&no such file"},
		{"garbage certificate",
				GOOD_KEY MODPARAM("certificate", "@CERTS@/garbage.pem"),
				"certificate&garbage.pem"},
		{"empty certificate",
				GOOD_KEY MODPARAM("certificate", "@CERTS@/empty.pem"),
				"certificate&empty.pem"},
		{"certificate is a directory",
				GOOD_KEY MODPARAM("certificate", "@CERTS@/directory.pem"),
				"certificate&directory.pem&directory"},
		{"missing CA list",
				GOOD_CERT GOOD_KEY MODPARAM("ca_list", "@CERTS@/none.pem"),
				"ca_list|CA list&none.pem&no such file"},
		{"garbage CA list",
				GOOD_CERT GOOD_KEY MODPARAM("ca_list", "@CERTS@/garbage.pem"),
				"ca_list|CA list&garbage.pem"},
		{"missing CRL", GOOD_CERT GOOD_KEY MODPARAM("crl", "@CERTS@/none.pem"),
				"crl&none.pem&no such file"},
		{"unknown method", GOOD_CERT GOOD_KEY MODPARAM("tls_method", "TLSv9"),
				"method&TLSv9"},
		{"unknown cipher",
				GOOD_CERT GOOD_KEY MODPARAM("cipher_list", "NO-SUCH-CIPHER"),
				"cipher_list&NO-SUCH-CIPHER"},
		{"unknown rand_engine",
				GOOD_CERT GOOD_KEY MODPARAM("rand_engine", "dice"),
				"rand_engine&dice"},
		{"unknown verify_client",
				GOOD_CERT GOOD_KEY MODPARAM("verify_client", "perhaps"),
				"verify_client&perhaps"},
		{"a key log without its file",
				GOOD_CERT GOOD_KEY "modparam(\"tls\", \"keylog_mode\", 9)\n",
				"keylog_mode writes to a file but keylog_file is not set"},
		{"a key log without its peer",
				GOOD_CERT GOOD_KEY "modparam(\"tls\", \"keylog_mode\", 17)\n",
				"keylog_mode sends to a peer but keylog_peer is not set"},
		{"a key log to nowhere",
				GOOD_CERT GOOD_KEY
				"modparam(\"tls\", \"keylog_mode\", 17)\n" MODPARAM(
						"keylog_peer", "127.0.0.1:5999"),
				"keylog_peer&is not udp:ip:port"},
		{"missing configuration file", MODPARAM("config", "@CERTS@/none.cfg"),
				"config&none.cfg&no such file"},
};

static void test_refused(void)
{
	struct host_config cfg = {0};
	struct host_kam kam;
	char text[160];
	size_t i;
	int code;

	for(i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		cfg.params = refused[i].params;
		code = host_start_refused(&kam, &cfg);
		snprintf(text, sizeof(text), "%s: the start is refused",
				refused[i].reason);
		HOLDS(code > 0, text);
		if(code <= 0)
			fprintf(stderr, "  %s: exit code %d\n", refused[i].reason, code);
		snprintf(text, sizeof(text), "%s: a sentence names %s",
				refused[i].reason, refused[i].needles);
		HOLDS(host_log_count(&kam, refused[i].needles) > 0, text);
		if(host_log_count(&kam, refused[i].needles) == 0)
			fprintf(stderr, "  %s: log has not %s: %s\n", refused[i].reason,
					refused[i].needles, kam.log);
		HOLDS(host_log_count(&kam, "BUG") == 0, "it is no bug of ours");
		host_kill(&kam);
	}
}

/* A password in the configuration opens an encrypted key. */
static void test_password(void)
{
	struct host_config cfg = {
			.params = GOOD_CERT MODPARAM("private_key", "@CERTS@/encrypted.key")
					MODPARAM("private_key_password", "secret")};
	struct host_kam kam;

	if(!host_start(&kam, &cfg)) {
		HOLDS(false, "starts with an encrypted key and its password");
		host_kill(&kam);
		return;
	}
	HOLDS(peer_once(kam.tls_port, NULL), "a request is answered");
	HOLDS(host_log_count(&kam, "secret") == 0, "the password is not logged");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static const struct suite_test tests[] = {
		{"the stock core loads it", test_loads},
		{"TLS disabled", test_disabled},
		{"wrong settings are refused", test_refused},
		{"encrypted key with password", test_password}, {NULL, NULL}};

const struct suite suite_load = {"load", NULL, NULL, tests};
