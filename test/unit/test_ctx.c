/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of contexts: every bad file and setting with the sentence that the
 * operator gets, failing memory, keys that are wiped, keys of processes,
 * session contexts, and the policy that a profile chosen by name gets. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../lib/engine_pair.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"

void test_ctx_add(void);

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

/* ---- bad input ---- */

static char garbage[] =
		"-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n";

/* The certificate of NAME with a chain of one block of junk behind it. */
static const char *damaged_chain(void)
{
	static const char junk[] = "-----BEGIN CERTIFICATE-----\nMIIB\n"
							   "-----END CERTIFICATE-----\n";

	pki_write("junk.pem", junk, sizeof(junk) - 1);
	return pki_join("damaged.pem", "ec.pem", "junk.pem");
}

static void make_files(void)
{
	pki_write("garbage.pem", garbage, sizeof(garbage) - 1);
	pki_write("empty.pem", "", 0);
	damaged_chain();
	pki_encrypt("ec-secret.key", "ec", "right");
	mkdir(pki_path("folder"), 0700);
	unlink(pki_path("fifo.pem"));
	CU_ASSERT_EQUAL(mkfifo(pki_path("fifo.pem"), 0600), 0);
}

struct bad_row
{
	/* files in the scratch folder, NULL = not set */
	const char *certificate;
	const char *private_key;
	const char *password;
	const char *ca_list;
	const char *ca_path;
	const char *crl;
	const char *cipher_list;
	const char *setting; /* these must be in the sentence */
	const char *file;
	const char *reason;
};

#define EC "ec.pem", "ec.key", NULL

static const struct bad_row bad_rows[] = {
		/* the certificate */
		{"absent", "ec.key", NULL, NULL, NULL, NULL, NULL, "certificate",
				"absent", "No such file"},
		{"ca.pem/x", "ec.key", NULL, NULL, NULL, NULL, NULL, "certificate",
				"ca.pem/x", "Not a directory"},
		{"folder", "ec.key", NULL, NULL, NULL, NULL, NULL, "certificate",
				"folder", "not a regular file"},
		{"fifo.pem", "ec.key", NULL, NULL, NULL, NULL, NULL, "certificate",
				"fifo.pem", "not a regular file"},
		{"empty.pem", "ec.key", NULL, NULL, NULL, NULL, NULL, "certificate",
				"empty.pem", "empty"},
		{"garbage.pem", "ec.key", NULL, NULL, NULL, NULL, NULL, "certificate",
				"garbage.pem", "no certificate"},
		{"ec.key", "ec.key", NULL, NULL, NULL, NULL, NULL, "certificate",
				"ec.key", "no certificate"},
		{"damaged.pem", "ec.key", NULL, NULL, NULL, NULL, NULL, "certificate",
				"damaged.pem", "damaged"},
		{"ec.pem", NULL, NULL, NULL, NULL, NULL, NULL, "certificate", "ec.pem",
				"private_key is not"},
		/* the key */
		{"ec.pem", "absent", NULL, NULL, NULL, NULL, NULL, "private_key",
				"absent", "No such file"},
		{"ec.pem", "garbage.pem", NULL, NULL, NULL, NULL, NULL, "private_key",
				"garbage.pem", "no private key"},
		{"ec.pem", "rsa.key", NULL, NULL, NULL, NULL, NULL, "private_key",
				"rsa.key", "does not belong"},
		{"ec.pem", "revoked.key", NULL, NULL, NULL, NULL, NULL, "private_key",
				"revoked.key", "does not belong"},
		{"ec.pem", "ec-secret.key", NULL, NULL, NULL, NULL, NULL, "private_key",
				"ec-secret.key", "private_key_password"},
		{"ec.pem", "ec-secret.key", "pass-4711", NULL, NULL, NULL, NULL,
				"private_key", "ec-secret.key", "could not decrypt"},
		/* trust */
		{EC, "absent", NULL, NULL, NULL, "ca_list", "absent", "ca_list"},
		{EC, "garbage.pem", NULL, NULL, NULL, "ca_list", "garbage.pem",
				"ca_list"},
		{EC, "empty.pem", NULL, NULL, NULL, "ca_list", "empty.pem", "ca_list"},
		{EC, "folder", NULL, NULL, NULL, "ca_list", "folder", "ca_list"},
		{EC, "fifo.pem", NULL, NULL, NULL, "ca_list", "fifo.pem", "regular"},
		{EC, NULL, "absent", NULL, NULL, "ca_path", "absent", "No such file"},
		{EC, NULL, "ca.pem", NULL, NULL, "ca_path", "ca.pem", "directory"},
		{EC, "ca.pem", NULL, "absent", NULL, "crl", "absent", "crl"},
		{EC, "ca.pem", NULL, "garbage.pem", NULL, "crl", "garbage.pem",
				"revocation"},
		{EC, "ca.pem", NULL, "ca.pem", NULL, "crl", "ca.pem", "revocation"},
		{EC, "ca.pem", NULL, "fifo.pem", NULL, "crl", "fifo.pem", "regular"},
		/* ciphers */
		{EC, NULL, NULL, NULL, "NO-SUCH-CIPHER", "cipher_list",
				"NO-SUCH-CIPHER", "no cipher"},
		{EC, NULL, NULL, NULL, "!ALL", "cipher_list", "!ALL", "no cipher"},
};
#define N_BAD (sizeof(bad_rows) / sizeof(bad_rows[0]))

static char *path(const char *file)
{
	return file != NULL ? (char *)(uintptr_t)pki_path(file) : NULL;
}

static void bad_case(const struct bad_row *row)
{
	struct engine_profile profile;
	struct tls_ctx *ctx = (struct tls_ctx *)&profile;
	struct tls_err err;
	enum tls_rc rc;
	size_t live;
	bool good;

	engine_profile_init(&profile, TLS_ROLE_SERVER, NULL);
	profile.params.certificate = path(row->certificate);
	profile.params.private_key = path(row->private_key);
	profile.params.private_key_password = (char *)(uintptr_t)row->password;
	profile.params.ca_list = path(row->ca_list);
	profile.params.ca_path = path(row->ca_path);
	profile.params.crl = path(row->crl);
	profile.params.cipher_list = (char *)(uintptr_t)row->cipher_list;
	tls_ossl_thread_stop();
	live = engine_live_blocks();
	alarm(20); /* a FIFO that somebody opens would hang for ever */
	rc = engine_ctx(&ctx, &profile, &err);
	alarm(0);
	good = rc == TLS_RC_CONFIG && ctx == NULL && ERR_peek_error() == 0
		   && strstr(err.text, profile.label) != NULL
		   && strstr(err.text, row->setting) != NULL
		   && strstr(err.text, row->file) != NULL
		   && strstr(err.text, row->reason) != NULL
		   && (row->password == NULL
				   || strstr(err.text, row->password) == NULL);
	if(!good)
		fprintf(stderr, "\n%s %s %s: %s \"%s\"\n", row->setting, row->file,
				row->reason, tls_err_rc_name(rc), rc ? err.text : "");
	CU_ASSERT_TRUE(good);
	tls_ctx_free(&ctx);
	tls_ossl_thread_stop();
	CU_ASSERT_TRUE(engine_live_blocks() <= live);
}

static void test_bad(void)
{
	struct tls_ctx *ctx = NULL;
	struct engine_profile profile;
	size_t i;

	make_files();
	/* a good one first, so that the library has made what it keeps */
	engine_profile_init(&profile, TLS_ROLE_SERVER, "rsa");
	profile.params.ca_list = path("ca.pem");
	profile.params.crl = path("crl.pem");
	CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, NULL), TLS_RC_OK);
	tls_ctx_free(&ctx);
	profile.params.private_key = path("ec-secret.key");
	CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, NULL), TLS_RC_CONFIG);
	engine_profile_init(&profile, TLS_ROLE_SERVER, "ec");
	CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, NULL), TLS_RC_OK);
	tls_ctx_free(&ctx);
	for(i = 0; i < N_BAD; i++)
		bad_case(&bad_rows[i]);
}

static void test_good(void)
{
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct tls_err err;
	const unsigned char *der;
	size_t n;

	engine_profile_init(&profile, TLS_ROLE_SERVER, NULL);
	CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	CU_ASSERT_PTR_NULL(tls_ctx_certificate(ctx, &n));
	CU_ASSERT_EQUAL(n, 0);
	tls_ctx_free(&ctx);
	CU_ASSERT_PTR_NULL(ctx);
	tls_ctx_free(&ctx);

	pki_encrypt("ec-secret.key", "ec", "right");
	engine_profile_init(&profile, TLS_ROLE_CLIENT, "ec");
	profile.params.private_key = path("ec-secret.key");
	profile.params.private_key_password = (char *)(uintptr_t) "right";
	profile.params.certificate =
			(char *)(uintptr_t)pki_join("chain.pem", "ec.pem", "ca.pem");
	profile.params.ca_list = path("ca.pem");
	profile.params.ca_path = (char *)(uintptr_t)pki_path(".");
	profile.params.crl = path("crl.pem");
	CU_ASSERT_EQUAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	der = tls_ctx_certificate(ctx, &n);
	CU_ASSERT_PTR_NOT_NULL_FATAL(der);
	CU_ASSERT_EQUAL(n, (size_t)i2d_X509(pki_cert("ec"), NULL));
	tls_ctx_free(&ctx);
}

/* ---- memory ---- */

/* Builds PROFILE with allocation K failing; *FAILED says whether it did.
 * Returns the blocks that this left behind. */
static ssize_t ladder_step(
		const struct engine_profile *profile, unsigned long k, bool *failed)
{
	struct tls_ctx *ctx;
	struct tls_err err;
	enum tls_rc rc;
	size_t live;

	tls_ossl_thread_stop();
	live = engine_live_blocks();
	engine_fail_at(k);
	rc = engine_ctx(&ctx, profile, &err);
	*failed = port_stub_failed();
	engine_fail_at(0);
	CU_ASSERT_EQUAL(rc == TLS_RC_OK, ctx != NULL);
	CU_ASSERT_TRUE(rc == TLS_RC_OK || err.text[0] != '\0');
	CU_ASSERT_NOT_EQUAL(rc, TLS_RC_BUG);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	tls_ctx_free(&ctx);
	tls_ossl_thread_stop();
	return (ssize_t)(engine_live_blocks() - live);
}

static void test_ladder(void)
{
	unsigned long stride = getenv("TLS_TEST_FULL") != NULL ? 1 : 29;
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct tls_err err;
	unsigned long k;
	bool failed = true;
	ssize_t left;
	int again;

	engine_profile_init(&profile, TLS_ROLE_SERVER, "rsa");
	profile.params.verify_certificate = 1;
	profile.params.ca_list = path("ca.pem");
	profile.params.crl = path("crl.pem");
	for(k = 0; k < 3; k++) {
		CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
		tls_ctx_free(&ctx);
	}
	for(k = 1; failed; k += stride) {
		/* OpenSSL fills caches (of fetched algorithms) now and then; only
		 * what the same failure leaves each time is a leak */
		for(left = 1, again = 0; left > 0 && again < 4; again++)
			left = ladder_step(&profile, k, &failed);
		if(left > 0)
			fprintf(stderr, "\nctx: k %lu leaves %zd blocks\n", k, left);
		CU_ASSERT_TRUE(left <= 0);
	}
	CU_ASSERT_TRUE(k > 100);
}

/* ---- the key is wiped ---- */

static unsigned char *seen_key; /* DER to look for, NULL = not looking */
static size_t seen_key_len;
static bool was_wiped;

/* In front of the library's: what is freed with a wipe passes here. */
void CRYPTO_clear_free(void *p, size_t n, const char *file, int line)
{
	static void (*next)(void *, size_t, const char *, int);

	if(next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "CRYPTO_clear_free");
	if(seen_key != NULL && p != NULL && n == seen_key_len
			&& !memcmp(p, seen_key, n))
		was_wiped = true;
	next(p, n, file, line);
}

/* The bytes of a key file, as the context keeps them. */
static int pkcs8_of(const char *name, unsigned char **out)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pki_key(name));
	int n = i2d_PKCS8_PRIV_KEY_INFO(info, out);

	PKCS8_PRIV_KEY_INFO_free(info);
	return n;
}

static void test_wiped(void)
{
	static const char *const names[] = {"ec", "rsa", "ed"};
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct tls_err err;
	size_t i;

	for(i = 0; i < 3; i++) {
		engine_profile_init(&profile, TLS_ROLE_SERVER, names[i]);
		CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
		seen_key = NULL;
		seen_key_len = (size_t)pkcs8_of(names[i], &seen_key);
		was_wiped = false;
		tls_ctx_free(&ctx);
		CU_ASSERT_TRUE(was_wiped);
		OPENSSL_free(seen_key);
		seen_key = NULL;
	}
}

/* ---- processes ---- */

static void test_own_keys(void)
{
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct tls_err err;
	EVP_PKEY *keys[4];
	struct tls_ctx_choice choice = {NULL, NULL, NULL};
	SSL *ssl, *moved;
	unsigned int i, j;

	port_stub_set_process(0, 4);
	engine_profile_init(&profile, TLS_ROLE_SERVER, "rsa");
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, &profile, &err), TLS_RC_OK);
	choice.ctx = ctx;
	CU_ASSERT_EQUAL_FATAL(tls_ctx_new_ssl(&choice, &moved, &err), TLS_RC_OK);
	for(i = 0; i < 4; i++) {
		port_stub_set_process(i, 4);
		CU_ASSERT_EQUAL_FATAL(tls_ctx_new_ssl(&choice, &ssl, &err), TLS_RC_OK);
		keys[i] = SSL_get_privatekey(ssl);
		CU_ASSERT_PTR_NOT_NULL_FATAL(keys[i]);
		for(j = 0; j < i; j++)
			CU_ASSERT_PTR_NOT_EQUAL(keys[i], keys[j]);
		CU_ASSERT_EQUAL(EVP_PKEY_eq(keys[i], pki_key("rsa")), 1);
		CU_ASSERT_EQUAL(tls_ctx_use_own_key(ctx, moved, &err), TLS_RC_OK);
		CU_ASSERT_PTR_EQUAL(SSL_get_privatekey(moved), keys[i]);
		SSL_free(ssl);
	}
	/* a process that nobody announced gets an error, not another's key */
	port_stub_set_process(4, 5);
	CU_ASSERT_NOT_EQUAL(tls_ctx_new_ssl(&choice, &ssl, &err), TLS_RC_OK);
	CU_ASSERT_PTR_NULL(ssl);
	SSL_free(moved);
	tls_ctx_free(&ctx);
	port_stub_set_process(0, 1);
}

/* ---- sessions (hazard 11) ---- */

/* Session id context that a server of PROFILE gives its sessions. */
static void session_context(
		const struct engine_profile *profile, unsigned char out[32])
{
	SSL_CTX *raw = engine_raw_ctx(ENGINE_CLIENT, "ec");
	struct tls_ctx_choice choice = {NULL, NULL, NULL};
	struct engine_pair pair;
	struct tls_ctx *ctx;
	const unsigned char *id;
	struct tls_err err;
	unsigned int n = 0;

	memset(out, 0, 32);
	CU_ASSERT_EQUAL_FATAL(engine_ctx(&ctx, profile, &err), TLS_RC_OK);
	engine_pair_init(&pair);
	engine_pair_raw(&pair, ENGINE_CLIENT, raw);
	choice.ctx = ctx;
	CU_ASSERT_EQUAL_FATAL(
			tls_ctx_new_ssl(&choice, &pair.raw[ENGINE_SERVER], &err),
			TLS_RC_OK);
	SSL_set_bio(pair.raw[ENGINE_SERVER], BIO_new(BIO_s_mem()),
			BIO_new(BIO_s_mem()));
	SSL_set_accept_state(pair.raw[ENGINE_SERVER]);
	CU_ASSERT_TRUE(engine_pair_handshake(&pair));
	id = SSL_SESSION_get0_id_context(
			SSL_get_session(pair.raw[ENGINE_SERVER]), &n);
	CU_ASSERT_EQUAL_FATAL(n, 32);
	memcpy(out, id, 32);
	engine_pair_clear(&pair);
	tls_ctx_free(&ctx);
	SSL_CTX_free(raw);
}

static void test_session_contexts(void)
{
	static char many[2000], more[2000];
	unsigned char ids[12][32], again[32];
	struct engine_profile profile, base;
	size_t n = 0, i, j;

	engine_profile_init(&base, TLS_ROLE_SERVER, "ec");
	base.params.ca_list = path("ca.pem");
	base.params.verify_client = TLS_VERIFY_CLIENT_OPTIONAL_NO_CA;
	session_context(&base, ids[n++]);
	profile = base;
	profile.label = "server:strict";
	session_context(&profile, ids[n++]);
	/* labels that are long and differ only at their end */
	memset(many, 'l', sizeof(many) - 1);
	memset(more, 'l', sizeof(more) - 1);
	more[sizeof(more) - 2] = 'm';
	profile.label = many;
	session_context(&profile, ids[n++]);
	profile.label = more;
	session_context(&profile, ids[n++]);
	profile = base;
	profile.params.verify_certificate = 1;
	session_context(&profile, ids[n++]);
	profile = base;
	profile.params.require_certificate = 1;
	session_context(&profile, ids[n++]);
	profile = base;
	profile.params.verify_client = TLS_VERIFY_CLIENT_ON;
	session_context(&profile, ids[n++]);
	profile = base;
	profile.params.verify_depth = 3;
	session_context(&profile, ids[n++]);
	profile = base;
	profile.params.ca_list = path("other-ca.pem");
	session_context(&profile, ids[n++]);
	profile = base;
	profile.params.crl = path("crl.pem");
	session_context(&profile, ids[n++]);
	profile = base;
	profile.settings.session_id = (char *)(uintptr_t) "other server";
	session_context(&profile, ids[n++]);
	for(i = 0; i < n; i++) {
		for(j = 0; j < i; j++) {
			CU_ASSERT_NOT_EQUAL(memcmp(ids[i], ids[j], 32), 0);
			if(!memcmp(ids[i], ids[j], 32))
				fprintf(stderr, "\nsession contexts %zu and %zu\n", j, i);
		}
	}
	/* and the same profile built anew has the same one */
	session_context(&base, again);
	CU_ASSERT_EQUAL(memcmp(again, ids[0], 32), 0);
}

/* ---- the profile that a name chooses, under a system's openssl.cnf ---- */

/* A system's policy (openssl.cnf), a client, and whether the two fit. */
struct policy_row
{
	const char *policy;	  /* lines of the section; "" = none */
	const char *named;	  /* cipher_list of the named profile */
	enum tls_version min; /* of the named profile; NONE = the default */
	const char *ciphers;  /* of the client, NULL = the library's */
	const char *suites;
	const char *groups;
	const char *signatures;
	int max; /* highest version of the client */
	bool passes;
	const char *reason;
};

#define GCM128 "ECDHE-ECDSA-AES128-GCM-SHA256"
#define GCM256 "ECDHE-ECDSA-AES256-GCM-SHA384"
#define V12 TLS1_2_VERSION
#define V13 TLS1_3_VERSION
#define ANY TLS_VERSION_NONE
#define LEVEL0 "ALL:@SECLEVEL=0"

static const struct policy_row policy_rows[] = {
		{"", NULL, ANY, GCM128, NULL, NULL, NULL, V12, true,
				"the library's own list"},
		{"", NULL, ANY, "NULL-SHA256:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0", NULL,
				NULL, NULL, V12, false, "no encryption, which only ALL has"},
		{"", GCM256, ANY, GCM128, NULL, NULL, NULL, V12, false,
				"the list of the profile"},
		{"", NULL, TLS_VERSION_1_3, NULL, NULL, NULL, NULL, V12, false,
				"the named profile begins at 1.3"},
		{"CipherString = " GCM256, NULL, ANY, GCM128, NULL, NULL, NULL, V12,
				false, "a cipher that the system refuses"},
		{"CipherString = " GCM256, NULL, ANY, GCM256, NULL, NULL, NULL, V12,
				true, "the cipher that the system allows"},
		{"CipherString = " GCM256, GCM128, ANY, GCM128, NULL, NULL, NULL, V12,
				true, "a list of the profile wins"},
		{"CipherString = " GCM256, GCM128, ANY, GCM256, NULL, NULL, NULL, V12,
				false, "a list of the profile wins"},
		{"CipherString = NO-SUCH", NULL, ANY, NULL, NULL, NULL, NULL, V12,
				false, "a system without any cipher for 1.2"},
		{"CipherString = NO-SUCH", NULL, ANY, NULL, NULL, NULL, NULL, V13, true,
				"the same system in 1.3"},
		{"CipherString = DEFAULT@SECLEVEL=2", NULL, ANY, LEVEL0, NULL, NULL,
				"ECDSA+SHA1", V12, false,
				"SHA-1, which the first profile allows"},
		{"CipherString = DEFAULT@SECLEVEL=2", LEVEL0, ANY, LEVEL0, NULL, NULL,
				"ECDSA+SHA1", V12, true,
				"SHA-1, which the named profile allows"},
		{"Ciphersuites = TLS_AES_256_GCM_SHA384", NULL, ANY, NULL,
				"TLS_AES_128_GCM_SHA256", NULL, NULL, V13, false,
				"a suite that the system refuses"},
		{"Ciphersuites = TLS_AES_256_GCM_SHA384", GCM128, ANY, NULL,
				"TLS_AES_256_GCM_SHA384", NULL, NULL, V13, true,
				"suites of 1.3 are not of cipher_list"},
		{"Groups = P-384", NULL, ANY, NULL, NULL, "X25519", NULL, V13, false,
				"a group that the system refuses"},
		{"Groups = P-384", NULL, ANY, NULL, NULL, "P-384", NULL, V13, true,
				"the group that the system allows"},
		{"SignatureAlgorithms = ECDSA+SHA384", NULL, ANY, GCM128, NULL, NULL,
				"ECDSA+SHA256", V12, false, "a signature that it refuses"},
		{"SignatureAlgorithms = ECDSA+SHA384", NULL, ANY, GCM128, NULL, NULL,
				"ECDSA+SHA384", V12, true, "the signature that it allows"},
		{"MinProtocol = TLSv1.2", NULL, TLS_VERSION_1_3, NULL, NULL, NULL, NULL,
				V12, false, "the profile is stricter than the system"},
		{"Options = -SessionTicket", NULL, TLS_VERSION_1_3, NULL, NULL, NULL,
				NULL, V13, true, "options"},
};
#define N_POLICIES (sizeof(policy_rows) / sizeof(policy_rows[0]))

/* Any name means the one other profile. */
static struct tls_ctx *named_cb(void *arg, const char *name)
{
	(void)name;
	return arg;
}

static SSL_CTX *policy_client(const struct policy_row *row)
{
	SSL_CTX *raw = engine_raw_ctx(ENGINE_CLIENT, NULL);

	/* what the client may do is in the row, not in the system's policy */
	SSL_CTX_set_cipher_list(raw, row->ciphers != NULL ? row->ciphers : "ALL");
	SSL_CTX_set_ciphersuites(raw, row->suites != NULL
										  ? row->suites
										  : "TLS_AES_256_GCM_SHA384:"
											"TLS_AES_128_GCM_SHA256");
	SSL_CTX_set1_groups_list(
			raw, row->groups != NULL ? row->groups : "X25519:P-256:P-384");
	SSL_CTX_set1_sigalgs_list(raw, row->signatures != NULL
										   ? row->signatures
										   : "ECDSA+SHA256:ECDSA+SHA384");
	SSL_CTX_set_max_proto_version(raw, row->max);
	return raw;
}

/* True when a client of ROW gets through to the profile TO: named by it while
 * the connection began on FIRST. FIRST == TO: without a name. */
static bool policy_passes(
		const struct policy_row *row, struct tls_ctx *first, struct tls_ctx *to)
{
	SSL_CTX *raw = policy_client(row);
	struct tls_conn_args args = {.role = TLS_ROLE_SERVER,
			.ctx = first,
			.by_name = named_cb,
			.by_name_arg = to};
	struct engine_pair pair;
	struct tls_err err;
	bool up;

	engine_pair_init(&pair);
	engine_pair_raw(&pair, ENGINE_CLIENT, raw);
	if(first != to)
		SSL_set_tlsext_host_name(pair.raw[ENGINE_CLIENT], "unit.example");
	up = tls_conn_new(&pair.conn[ENGINE_SERVER], &args, &err) == TLS_RC_OK
		 && engine_pair_handshake(&pair);
	engine_pair_clear(&pair);
	SSL_CTX_free(raw);
	return up;
}

/* ROW's policy replaces the one before. An empty one is left out: those rows
 * come first. */
static bool load_policy(const struct policy_row *row)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
			"config_diagnostics = 0\nopenssl_conf = i\n[i]\nssl_conf = s\n[s]\n"
			"system_default = d\n[d]\n%s\n",
			row->policy);

	return row->policy[0] == '\0'
		   || CONF_modules_load_file(
					  pki_write("policy.cnf", text, (size_t)n), NULL, 0)
					  > 0;
}

/* Contexts that are made under ROW's policy. True when both ways to the named
 * profile end as the row says. */
static bool policy_holds(const struct policy_row *row)
{
	static char lax_list[] = "ALL:eNULL:@SECLEVEL=0";
	struct engine_profile lax, strict;
	struct tls_ctx *first, *to;
	struct tls_err err;
	bool alone, moved;

	engine_profile_init(&lax, TLS_ROLE_SERVER, "rsa");
	lax.params.cipher_list = lax_list;
	engine_profile_init(&strict, TLS_ROLE_SERVER, "ec");
	strict.label = "server:strict";
	strict.params.cipher_list = (char *)(uintptr_t)row->named;
	if(row->min != TLS_VERSION_NONE)
		strict.params.method.min = row->min;
	if(engine_ctx(&first, &lax, &err) != TLS_RC_OK
			|| engine_ctx(&to, &strict, &err) != TLS_RC_OK) {
		fprintf(stderr, "\n%s: %s\n", row->reason, err.text);
		return false;
	}
	alone = policy_passes(row, to, to);
	moved = policy_passes(row, first, to);
	if(alone != row->passes || moved != row->passes)
		fprintf(stderr, "\n%s (%s): alone %d, by name %d\n", row->reason,
				row->policy, alone, moved);
	tls_ctx_free(&first);
	tls_ctx_free(&to);
	return alone == row->passes && moved == row->passes;
}

/* In one process of its own: the library replaces what it knows of openssl.cnf
 * in shared memory, where no other process may read one any more. */
static int policy_child(void)
{
	size_t i;
	int n = 0;

	for(i = 0; i < N_POLICIES; i++) {
		if(!load_policy(&policy_rows[i])) {
			ERR_print_errors_fp(stderr);
			return 100;
		}
		n += !policy_holds(&policy_rows[i]);
	}
	return n;
}

static void test_policy_by_name(void)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if(pid == 0)
		_exit(policy_child());
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
}

void test_ctx_add(void)
{
	CU_pSuite suite = CU_add_suite("ctx", begin, NULL);

	CU_add_test(suite, "bad files and settings", test_bad);
	CU_add_test(suite, "no memory", test_ladder);
	CU_add_test(suite, "the key is wiped", test_wiped);
	CU_add_test(suite, "keys of processes", test_own_keys);
	CU_add_test(suite, "session contexts", test_session_contexts);
	CU_add_test(suite, "policy of a named profile", test_policy_by_name);
	CU_add_test(suite, "good ones", test_good);
}
