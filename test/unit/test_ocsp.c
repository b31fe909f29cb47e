/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* OCSP: verdicts on hostile and honest responses, what a server staples and
 * for how long, what a client makes of it, with every k-th allocation failing.
 * The responses are made here; "openssl s_client" is the judge in the tests
 * with the server. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <CUnit/CUnit.h>

#include "../../tls_files.h"
#include "../../tls_ocsp.h"
#include "../lib/engine_pair.h"
#include "../lib/ocsp_make.h"
#include "../lib/pki.h"
#include "../lib/port_stub.h"
#include "../lib/zoo.h"

void test_ocsp_add(void);

/* Who signs a response. */
enum signer
{
	BY_CA = 0,
	BY_RESPONDER,	  /* by one that the CA made a responder */
	BY_RESPONDER_TOO, /* the same, in the chain of a further CA: not allowed */
	BY_NOBODY,		  /* a certificate of the CA that is for something else */
	BY_WEAK,		  /* a responder, says the CA with SHA-1 */
	BY_SMALL,		  /* a responder with a key that can be broken */
	BY_RSA,			  /* a responder with an RSA key */
	BY_LATE,		  /* a responder whose certificate has expired */
	BY_STRANGER,
	BY_STRANGERS_RESPONDER,
	BY_ITSELF, /* with the key that the response is about */
	SIGNERS
};

static X509 *certs[SIGNERS];
static EVP_PKEY *keys[SIGNERS];
static X509 *ca, *subject, *other;
static EVP_PKEY *subject_key;

static char *text(const char *literal)
{
	return (char *)(uintptr_t)literal;
}

static void animal(enum signer which, const struct zoo_spec *spec)
{
	certs[which] = zoo_make(spec);
	keys[which] = zoo_key();
	EVP_PKEY_up_ref(keys[which]);
}

/* What no CA should sign today: WEAK with SHA-1, a key of 512 bits for SMALL. */
static bool weaken(void)
{
	EVP_PKEY_free(keys[BY_SMALL]);
	keys[BY_SMALL] = EVP_RSA_gen(512);
	return X509_set_pubkey(certs[BY_SMALL], keys[BY_SMALL]) == 1
		   && X509_sign(certs[BY_SMALL], keys[BY_CA], EVP_sha256()) > 0
		   && X509_sign(certs[BY_WEAK], keys[BY_CA], EVP_sha1()) > 0;
}

static int begin(void)
{
	static const struct zoo_spec subject_spec = {
			.name = "o-subject", .san = "DNS:o.example"};
	static const struct zoo_spec rsa_spec = {
			.name = "o-rsa", .algorithm = "RSA", .san = "DNS:o.example"};
	static const struct zoo_spec other_spec = {.name = "o-other"};
	static const struct zoo_spec staple_spec = {
			.name = "o-staple", .san = "DNS:o.example", .must_staple = true};
	static const struct zoo_spec specs[SIGNERS] = {
			[BY_RESPONDER] = {.name = "o-responder", .eku = "OCSPSigning"},
			[BY_RESPONDER_TOO] = {.name = "o-deep",
					.eku = "OCSPSigning",
					.between = 1},
			[BY_NOBODY] = {.name = "o-nobody", .eku = "serverAuth"},
			[BY_WEAK] = {.name = "o-weak", .eku = "OCSPSigning"},
			[BY_SMALL] = {.name = "o-small", .eku = "OCSPSigning"},
			[BY_RSA] = {.name = "o-resp-rsa",
					.algorithm = "RSA",
					.eku = "OCSPSigning"},
			[BY_LATE] = {.name = "o-late",
					.eku = "OCSPSigning",
					.from = -9 * ZOO_DAY,
					.to = -ZOO_DAY},
			[BY_STRANGERS_RESPONDER] = {.name = "o-foreign",
					.eku = "OCSPSigning",
					.issuer = ZOO_STRANGER}};
	size_t i;

	port_stub_reset();
	engine_init();
	if(subject != NULL)
		return 0;
	zoo_init();
	subject = zoo_make(&subject_spec);
	subject_key = zoo_key();
	EVP_PKEY_up_ref(subject_key);
	other = zoo_make(&other_spec);
	X509_free(zoo_make(&rsa_spec));
	X509_free(zoo_make(&staple_spec));
	zoo_authority(ZOO_CA, &ca, &keys[BY_CA]);
	certs[BY_CA] = ca;
	zoo_authority(ZOO_STRANGER, &certs[BY_STRANGER], &keys[BY_STRANGER]);
	certs[BY_ITSELF] = subject;
	keys[BY_ITSELF] = subject_key;
	for(i = 0; i < SIGNERS; i++) {
		if(specs[i].name != NULL)
			animal((enum signer)i, &specs[i]);
	}
	return weaken() ? 0 : 1;
}

/* ---- verdicts ---- */

struct judge_row
{
	struct ocsp_spec spec;
	enum signer signer;
	bool about_other;
	bool with_other; /* it speaks about another certificate first */
	enum tls_ocsp_status status;
	const char *words;
	const char *reason;
};

#define DAY 86400L
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN

static const struct judge_row judge_rows[] = {
		{{.status = 0}, BY_STRANGER, .status = TLS_OCSP_FOREIGN,
				.words = "has not signed it", .reason = "another CA"},
		{{.no_certs = true, .by_key = true}, BY_STRANGER,
				.status = TLS_OCSP_FOREIGN, .words = "has not signed it",
				.reason = "another CA that hides"},
		{{.status = 0}, BY_STRANGERS_RESPONDER, .status = TLS_OCSP_FOREIGN,
				.words = "has not signed it",
				.reason = "the responder of another CA"},
		{{.status = 0}, BY_NOBODY, .status = TLS_OCSP_FOREIGN,
				.words = "has not signed it",
				.reason = "a certificate of the CA for another purpose (RFC "
						  "6960 s4.2.2.2)"},
		{{.status = 0}, BY_ITSELF, .status = TLS_OCSP_FOREIGN,
				.words = "has not signed it",
				.reason = "the certificate vouches for itself"},
		{{.status = 0}, BY_LATE, .status = TLS_OCSP_FOREIGN,
				.words = "certificate has expired",
				.reason = "a responder that has expired"},
		{{.status = 0}, BY_RESPONDER_TOO, .status = TLS_OCSP_FOREIGN,
				.words = "has not signed it",
				.reason = "a responder of a CA below the CA"},
		{{.md = "SHA1"}, BY_CA, .status = TLS_OCSP_FOREIGN, .words = "SHA-1",
				.reason = "a signature that can be forged"},
		{{.md = "SHA1", .pss = true}, BY_RSA, .status = TLS_OCSP_FOREIGN,
				.words = "SHA-1",
				.reason = "the same in a form that has no name of its own"},
		{{.status = 0}, BY_WEAK, .status = TLS_OCSP_FOREIGN,
				.words = "has not signed it",
				.reason = "a responder whose certificate can be forged"},
		{{.status = 0}, BY_SMALL, .status = TLS_OCSP_FOREIGN,
				.words = "has not signed it",
				.reason = "a responder whose key can be broken"},
		{{.critical = true}, BY_CA, .status = TLS_OCSP_BROKEN,
				.words = "critical extension",
				.reason = "it depends on what we do not know (RFC 6960 s4.4)"},
		{{.critical_part = true}, BY_RESPONDER, .status = TLS_OCSP_BROKEN,
				.words = "critical extension",
				.reason = "the same of the part about the certificate"},
		{{.status = 0}, BY_CA, .about_other = true, .status = TLS_OCSP_FOREIGN,
				.words = "another certificate",
				.reason = "the certificate of somebody else"},
		{{.from = -3 * DAY, .to = -DAY}, BY_CA, .status = TLS_OCSP_OLD,
				.words = "over for 86", .reason = "it was good once"},
		{{.status = REVOKED, .from = -3 * DAY, .to = -1}, BY_CA,
				.status = TLS_OCSP_OLD, .reason = "it was revoked once"},
		{{.from = -2 * DAY, .endless = true}, BY_CA, .status = TLS_OCSP_OLD,
				.words = "over", .reason = "no nextUpdate, two days ago"},
		{{.from = 2 * 3600, .to = DAY}, BY_CA, .status = TLS_OCSP_EARLY,
				.words = "clock", .reason = "of tomorrow"},
		{{.from = -3600, .to = -7200}, BY_CA, .status = TLS_OCSP_BROKEN,
				.words = "ends before it begins", .reason = "upside down"},
		{{.status = REVOKED}, BY_CA, .status = TLS_OCSP_REVOKED,
				.words = "revoked the certificate: keyCompromise",
				.reason = "revoked"},
		{{.status = REVOKED}, BY_RESPONDER, .status = TLS_OCSP_REVOKED,
				.reason = "revoked, by a responder"},
		{{.status = UNKNOWN}, BY_CA, .status = TLS_OCSP_UNKNOWN,
				.words = "does not know", .reason = "unknown"},
		{{.no_response = OCSP_RESPONSE_STATUS_TRYLATER}, BY_CA,
				.status = TLS_OCSP_REFUSED, .words = "trylater",
				.reason = "a responder that has no time"},
		{{.no_response = OCSP_RESPONSE_STATUS_UNAUTHORIZED}, BY_CA,
				.status = TLS_OCSP_REFUSED, .words = "unauthorized",
				.reason = "a responder that does not know it"},
		{{.from = 200, .to = DAY}, BY_CA, .status = TLS_OCSP_GOOD,
				.reason = "a clock that is a little ahead"},
		{{.from = -3600, .endless = true}, BY_CA, .status = TLS_OCSP_GOOD,
				.reason = "no nextUpdate, an hour ago"},
		{{.status = 0}, BY_CA, .status = TLS_OCSP_GOOD, .words = "good",
				.reason = "signed by the CA"},
		{{.no_certs = true, .by_key = true}, BY_CA, .status = TLS_OCSP_GOOD,
				.reason = "signed by the CA, told by its key"},
		{{.status = 0}, BY_RESPONDER, .status = TLS_OCSP_GOOD,
				.reason = "signed by a responder of the CA"},
		{{.id = "SHA256"}, BY_CA, .status = TLS_OCSP_GOOD,
				.reason = "an identifier with another digest"},
		{{.padding = 20}, BY_CA, .status = TLS_OCSP_GOOD,
				.reason = "an extension that nobody has to know"},
		{{.pss = true}, BY_RSA, .status = TLS_OCSP_GOOD,
				.reason = "signed with RSA-PSS"},
		{{.status = 0}, BY_CA, .with_other = true, .status = TLS_OCSP_GOOD,
				.reason = "several certificates in one"},
};

/* The response of SPEC, signed by SIGNER. */
static unsigned char *response_of(
		const struct ocsp_spec *spec, enum signer signer, size_t *n)
{
	struct ocsp_spec s = *spec;
	unsigned char *der;

	s.issuer = ca;
	if(s.cert == NULL)
		s.cert = subject;
	s.signer = certs[signer];
	s.key = keys[signer];
	der = ocsp_make(&s, n);
	CU_ASSERT_PTR_NOT_NULL_FATAL(der);
	return der;
}

static void test_judge(void)
{
	struct tls_ocsp_verdict v;
	unsigned char *der;
	size_t i, n;
	bool good;

	for(i = 0; i < sizeof(judge_rows) / sizeof(judge_rows[0]); i++) {
		const struct judge_row *row = &judge_rows[i];
		struct ocsp_spec spec = row->spec;

		spec.cert = row->about_other ? other : subject;
		spec.first = row->with_other ? other : NULL;
		der = response_of(&spec, row->signer, &n);
		tls_ocsp_judge(der, n, subject, ca, (int64_t)time(NULL), &v);
		good = v.status == row->status
			   && (row->words == NULL || strstr(v.text, row->words) != NULL);
		if(!good)
			fprintf(stderr, "\n%s: %d \"%s\"\n", row->reason, (int)v.status,
					v.text);
		CU_ASSERT_TRUE(good);
		CU_ASSERT_TRUE(
				row->status != TLS_OCSP_GOOD || v.until > (int64_t)time(NULL));
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
		/* without its issuer nothing can be good */
		tls_ocsp_judge(der, n, subject, NULL, (int64_t)time(NULL), &v);
		CU_ASSERT_NOT_EQUAL(v.status, TLS_OCSP_GOOD);
		/* nor for the issuer that has nothing to do with it */
		tls_ocsp_judge(
				der, n, subject, certs[BY_STRANGER], (int64_t)time(NULL), &v);
		CU_ASSERT_NOT_EQUAL(v.status, TLS_OCSP_GOOD);
		OPENSSL_free(der);
	}
}

/* The end of the signer's certificate ends its response. */
static void test_limit(void)
{
	struct ocsp_spec spec = {.from = -3600, .to = 30 * DAY};
	struct tls_ocsp_verdict v;
	unsigned char *der;
	size_t n;

	der = response_of(&spec, BY_RESPONDER, &n);
	tls_ocsp_judge(der, n, subject, ca, (int64_t)time(NULL), &v);
	CU_ASSERT_EQUAL(v.status, TLS_OCSP_GOOD);
	CU_ASSERT_TRUE(v.until <= (int64_t)time(NULL) + 2 * DAY);
	OPENSSL_free(der);
}

/* Cut anywhere, one bit turned anywhere, one byte more: never good. */
static void test_mutants(void)
{
	static const struct ocsp_spec plain = {.no_certs = true};
	unsigned char *der, *mutant;
	struct tls_ocsp_verdict v;
	size_t i, n;

	der = response_of(&plain, BY_CA, &n);
	mutant = OPENSSL_zalloc(n + 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mutant);
	for(i = 0; i <= n; i++) {
		memcpy(mutant, der, n);
		if(i < n) {
			tls_ocsp_judge(mutant, i, subject, ca, (int64_t)time(NULL), &v);
			CU_ASSERT_NOT_EQUAL(v.status, TLS_OCSP_GOOD);
			mutant[i] ^= 1;
		}
		tls_ocsp_judge(mutant, i < n ? n : n + 1, subject, ca,
				(int64_t)time(NULL), &v);
		CU_ASSERT_NOT_EQUAL(v.status, TLS_OCSP_GOOD);
		if(v.status == TLS_OCSP_GOOD)
			fprintf(stderr, "\nbyte %zu of %zu\n", i, n);
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	}
	tls_ocsp_judge(der, n, subject, ca, (int64_t)time(NULL), &v);
	CU_ASSERT_EQUAL(v.status, TLS_OCSP_GOOD);
	OPENSSL_free(mutant);
	OPENSSL_free(der);
}

/* ---- staples ---- */

/* A server profile that shows NAME and staples FILE. */
static void server_of(
		struct engine_profile *profile, const char *name, const char *file)
{
	engine_profile_init(profile, TLS_ROLE_SERVER, name);
	profile->params.ca_list = text(pki_path("zoo-ca.pem"));
	profile->params.ocsp_file = file != NULL ? text(pki_path(file)) : NULL;
}

static void write_response(
		const char *file, const struct ocsp_spec *spec, enum signer signer)
{
	size_t n;
	unsigned char *der = response_of(spec, signer, &n);

	pki_write(file, der, n);
	OPENSSL_free(der);
}

struct load_row
{
	const char *file;
	const char *bytes; /* of the file; NULL: made of the rest */
	struct ocsp_spec spec;
	enum signer signer;
	bool about_other;
	const char *certificate; /* NULL: that of the subject */
	const char *ca_list;	 /* "" = none, NULL = the CA */
	enum tls_rc rc;
	int warnings;
	const char *words;
	const char *reason;
};

static const struct load_row load_rows[] = {
		{"none.der", .rc = TLS_RC_CONFIG, .words = "could not open",
				.reason = "no file"},
		{"l.der", "", .rc = TLS_RC_CONFIG, .words = "empty", .reason = "empty"},
		{"l.der", "not a response\n", .rc = TLS_RC_CONFIG,
				.words = "no OCSP response in DER form", .reason = "garbage"},
		{"l.der", "-----BEGIN OCSP RESPONSE-----\nAAAA\n", .rc = TLS_RC_CONFIG,
				.words = "no OCSP response in DER form", .reason = "PEM"},
		{"l.der", .signer = BY_STRANGER, .rc = TLS_RC_CONFIG,
				.words = "has not signed it", .reason = "of another CA"},
		{"l.der", .about_other = true, .rc = TLS_RC_CONFIG,
				.words = "another certificate",
				.reason = "of another certificate"},
		{"l.der", .ca_list = "", .rc = TLS_RC_CONFIG, .words = "is not known",
				.reason = "nobody knows the CA"},
		{"l.der", .ca_list = "zoo-stranger.pem", .rc = TLS_RC_CONFIG,
				.words = "is not known", .reason = "nobody knows the right CA"},
		{"l.der", .spec = {.from = -3 * DAY, .to = -DAY}, .warnings = 1,
				.words = "is not stapled: it is over",
				.reason = "an old one stops no start"},
		{"l.der", .spec = {.from = DAY, .to = 2 * DAY}, .warnings = 1,
				.words = "is not stapled: it begins", .reason = "too early"},
		{"l.der", .spec = {.status = REVOKED}, .warnings = 1,
				.words = "has revoked", .reason = "revoked"},
		{"l.der", .spec = {.status = UNKNOWN}, .warnings = 1,
				.words = "does not know", .reason = "unknown"},
		{"l.der", .spec = {.no_response = OCSP_RESPONSE_STATUS_TRYLATER},
				.warnings = 1, .words = "trylater",
				.reason = "the responder had no time"},
		{"l.der", .spec = {.padding = 20000}, .rc = TLS_RC_CONFIG,
				.words = "16380", .reason = "longer than TLS 1.2 clients take"},
		{"l.der", .ca_list = "o-twins.pem",
				.reason = "the CA has a namesake, which is met first"},
		{"l.der", .certificate = "o-joined.pem", .ca_list = "",
				.reason = "the CA is in the chain"},
		{"l.der", .signer = BY_RESPONDER, .reason = "by a responder"},
		{"l.der", .reason = "by the CA"},
};

struct lines
{
	int warnings;
	char text[TLS_ERR_TEXT_MAX];
};

static void count_cb(void *arg, enum tls_log_level level,
		enum tls_profile_option option, const char *line)
{
	struct lines *lines = arg;

	if(option != TLS_PROFILE_OPTION_ocsp_file)
		return;
	lines->warnings += level == TLS_LOG_WARN;
	snprintf(lines->text, sizeof(lines->text), "%s", line);
}

static enum tls_rc load(const struct engine_profile *profile,
		struct tls_ctx **out, struct lines *lines)
{
	struct tls_ctx_args args = {.role = profile->role,
			.params = &profile->params,
			.settings = &profile->settings,
			.label = profile->label,
			.report = count_cb,
			.report_arg = lines};

	memset(lines, 0, sizeof(*lines));
	return tls_ctx_new(out, &args, NULL);
}

/* o-twins.pem: the CA behind one of the same name with another key, as it is
 * when a CA was renewed. */
static void make_twins(void)
{
	X509 *twin = X509_dup(ca);
	BIO *bio = BIO_new_file(pki_path("o-twin.pem"), "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(twin);
	CU_ASSERT_EQUAL(X509_set_pubkey(twin, keys[BY_STRANGER]), 1);
	X509_gmtime_adj(X509_getm_notAfter(twin), 90 * DAY);
	CU_ASSERT_TRUE(X509_sign(twin, keys[BY_STRANGER], EVP_sha256()) > 0);
	CU_ASSERT_EQUAL(PEM_write_bio_X509(bio, twin), 1);
	BIO_free(bio);
	X509_free(twin);
	pki_join("o-twins.pem", "o-twin.pem", "zoo-ca.pem");
}

static void test_load(void)
{
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct lines lines;
	enum tls_rc rc;
	size_t i;
	bool good;

	pki_join("o-joined.pem", "o-subject.pem", "zoo-ca.pem");
	make_twins();
	for(i = 0; i < sizeof(load_rows) / sizeof(load_rows[0]); i++) {
		const struct load_row *row = &load_rows[i];
		struct ocsp_spec spec = row->spec;

		spec.cert = row->about_other ? other : subject;
		if(row->bytes != NULL)
			pki_write("l.der", row->bytes, strlen(row->bytes));
		else
			write_response("l.der", &spec, row->signer);
		server_of(&profile, "o-subject", row->file);
		if(row->certificate != NULL)
			profile.params.certificate = text(pki_path(row->certificate));
		if(row->ca_list != NULL)
			profile.params.ca_list =
					*row->ca_list ? text(pki_path(row->ca_list)) : NULL;
		rc = load(&profile, &ctx, &lines);
		good = rc == row->rc && lines.warnings == row->warnings
			   && (row->words == NULL ? lines.text[0] == '\0'
									  : strstr(lines.text, row->words) != NULL
												&& !strncmp(lines.text,
														"ocsp_file: ", 11));
		if(!good)
			fprintf(stderr, "\n%s: %s, %d, \"%s\"\n", row->reason,
					tls_err_rc_name(rc), lines.warnings, lines.text);
		CU_ASSERT_TRUE(good);
		CU_ASSERT_EQUAL(ERR_peek_error(), 0);
		tls_ctx_free(&ctx);
	}
}

/* A client profile staples nothing, whatever the modparam says; a response
 * without its certificate is a mistake. */
static void test_no_place(void)
{
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct lines lines;

	server_of(&profile, "o-subject", "none.der");
	profile.role = TLS_ROLE_CLIENT;
	CU_ASSERT_EQUAL(load(&profile, &ctx, &lines), TLS_RC_OK);
	tls_ctx_free(&ctx);
	server_of(&profile, "o-subject", NULL);
	profile.params.ocsp_file2 = text(pki_path("none.der"));
	CU_ASSERT_EQUAL(load(&profile, &ctx, &lines), TLS_RC_CONFIG);
	profile.params.ocsp_file2 = NULL;
	profile.params.certificate = profile.params.private_key = NULL;
	profile.params.ocsp_file = text(pki_path("none.der"));
	CU_ASSERT_EQUAL(load(&profile, &ctx, &lines), TLS_RC_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(lines.text, "certificate is not"));
}

/* ---- handshakes ---- */

/* What a plain server staples; static because the library asks by callback. */
static unsigned char *stapled;
static size_t n_stapled;

static int raw_staple_cb(SSL *ssl, void *arg)
{
	unsigned char *copy;

	(void)arg;
	if(stapled == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(stapled, n_stapled);
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)n_stapled);
	return SSL_TLSEXT_ERR_OK;
}

#define NONE 1
#define JUNK 2

struct peer_row
{
	const char *ocsp;
	int shape; /* NONE, JUNK or 0: the response of the rest */
	struct ocsp_spec spec;
	enum signer signer;
	bool about_other;
	const char *server; /* whose certificate; NULL = the subject's */
	bool up;
	enum tls_cause cause;
	const char *sentence;
	const char *reason;
};

static const struct peer_row peer_rows[] = {
		{"require", NONE, .cause = TLS_CAUSE_CERT_STATUS,
				.sentence = "stapled no OCSP response",
				.reason = "nothing, but required"},
		{"check", NONE, .server = "o-staple", .cause = TLS_CAUSE_CERT_STATUS,
				.sentence = "its CA wants an OCSP response",
				.reason = "nothing, but the certificate says must (RFC 7633)"},
		{"check", .spec = {.status = REVOKED}, .cause = TLS_CAUSE_CERT_REVOKED,
				.sentence = "(certificate revoked) at depth 0, the CA has "
							"revoked the certificate: keyCompromise, subject",
				.reason = "revoked"},
		{"require", .spec = {.status = REVOKED},
				.cause = TLS_CAUSE_CERT_REVOKED,
				.sentence = "certificate revoked", .reason = "revoked"},
		{"check", .spec = {.status = UNKNOWN}, .cause = TLS_CAUSE_CERT_STATUS,
				.sentence = "does not know", .reason = "unknown"},
		{"check", .spec = {.from = -3 * DAY, .to = -DAY},
				.cause = TLS_CAUSE_CERT_STATUS, .sentence = "it is over",
				.reason = "an old one replayed"},
		{"check", .spec = {.from = DAY, .to = 2 * DAY},
				.cause = TLS_CAUSE_CERT_STATUS, .sentence = "clock",
				.reason = "of tomorrow"},
		{"check", .signer = BY_STRANGER, .cause = TLS_CAUSE_CERT_STATUS,
				.sentence = "has not signed it", .reason = "of another CA"},
		{"check", .signer = BY_NOBODY, .cause = TLS_CAUSE_CERT_STATUS,
				.sentence = "has not signed it", .reason = "no responder"},
		{"require", .signer = BY_ITSELF, .cause = TLS_CAUSE_CERT_STATUS,
				.sentence = "has not signed it", .reason = "of itself"},
		{"check", .about_other = true, .cause = TLS_CAUSE_CERT_STATUS,
				.sentence = "about another", .reason = "of somebody else"},
		{"check", JUNK, .cause = TLS_CAUSE_CERT_STATUS,
				.sentence = "no OCSP response in DER form", .reason = "junk"},
		{"check", .spec = {.no_response = OCSP_RESPONSE_STATUS_TRYLATER},
				.cause = TLS_CAUSE_CERT_STATUS, .sentence = "trylater",
				.reason = "a responder without time"},
		{"off", .spec = {.status = REVOKED}, .up = true,
				.reason = "who does not ask is told nothing"},
		{"check", NONE, .up = true, .reason = "nothing is no answer"},
		{"check", .up = true, .reason = "good"},
		{"require", .up = true, .reason = "good and required"},
		{"Require", .signer = BY_RESPONDER, .up = true,
				.reason = "good, by a responder"},
};

static struct tls_ctx *client_of(const char *ocsp, enum tls_version version)
{
	struct engine_profile profile;
	struct tls_ctx *ctx = NULL;
	struct tls_err err;

	engine_profile_init(&profile, TLS_ROLE_CLIENT, NULL);
	engine_profile_version(&profile, version);
	profile.params.verify_certificate = 1;
	profile.params.ca_list = text(pki_path("zoo-ca.pem"));
	profile.params.ocsp = text(ocsp);
	if(engine_ctx(&ctx, &profile, &err) != TLS_RC_OK)
		fprintf(stderr, "\n%s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
	return ctx;
}

static void run_peer(
		const struct peer_row *row, enum tls_version version, bool own)
{
	struct tls_ctx *ctx = client_of(row->ocsp, version);
	SSL_CTX *raw = zoo_raw_ctx(
			ENGINE_SERVER, row->server != NULL ? row->server : "o-subject");
	struct engine_pair pair;
	struct tls_err *err = &pair.err[ENGINE_CLIENT];
	struct tls_err none;
	bool up, good;

	SSL_CTX_set_tlsext_status_cb(raw, raw_staple_cb);
	engine_pair_init(&pair);
	pair.own_records = own;
	CU_ASSERT_EQUAL_FATAL(
			engine_pair_engine(&pair, ENGINE_CLIENT, ctx, NULL, &none),
			TLS_RC_OK);
	engine_pair_raw(&pair, ENGINE_SERVER, raw);
	up = engine_pair_handshake(&pair);
	good = row->up ? up
							 && tls_info_peer_verified(
									 tls_conn_info(pair.conn[ENGINE_CLIENT]))
				   : !up && err->rc == TLS_RC_PEER
							 && tls_err_cause(err) == row->cause
							 && pair.raw_alert[ENGINE_SERVER] == 113
							 && strstr(err->text, row->sentence) != NULL
							 && strstr(err->text, "peer refused (") != NULL
							 && strstr(err->text, "/O=Zoo") != NULL;
	good = good && pair.broken == NULL;
	if(!good)
		fprintf(stderr, "\n%s (%s, %x, own %d): up %d, alert %d, %s, \"%s\"\n",
				row->reason, row->ocsp, (int)version, own, up,
				pair.raw_alert[ENGINE_SERVER],
				tls_err_cause_text(tls_err_cause(err)), err->text);
	CU_ASSERT_TRUE(good);
	engine_pair_clear(&pair);
	SSL_CTX_free(raw);
	tls_ctx_free(&ctx);
}

static void test_peers(void)
{
	size_t i;

	for(i = 0; i < sizeof(peer_rows) / sizeof(peer_rows[0]); i++) {
		const struct peer_row *row = &peer_rows[i];
		struct ocsp_spec spec = row->spec;

		spec.cert = row->about_other ? other : subject;
		stapled = NULL;
		if(row->shape == JUNK) {
			stapled = OPENSSL_memdup("junk", 4);
			n_stapled = 4;
		} else if(row->shape != NONE) {
			stapled = response_of(&spec, row->signer, &n_stapled);
		}
		run_peer(row, TLS_VERSION_1_2, true);
		run_peer(row, TLS_VERSION_1_3, true);
		run_peer(row, TLS_VERSION_1_2, false);
		run_peer(row, TLS_VERSION_1_3, false);
		OPENSSL_free(stapled);
		stapled = NULL;
	}
}

/* ---- what our server staples ---- */

struct serve_row
{
	const char *staple;	 /* file for the first certificate */
	const char *staple2; /* for the second, which is RSA */
	const char *sigalgs; /* of the client: which certificate it gets */
	bool asks;
	const char *gets; /* file whose bytes come; NULL = none */
	const char *reason;
};

static const struct serve_row serve_rows[] = {
		{"s-ec.der", "s-rsa.der", "RSA-PSS+SHA256:RSA+SHA256", true,
				"s-rsa.der", "the response of the second certificate"},
		{"s-ec.der", "s-rsa.der", "ECDSA+SHA256", true, "s-ec.der",
				"the response of the first"},
		{"s-ec.der", NULL, "RSA-PSS+SHA256:RSA+SHA256", true, NULL,
				"never that of the other certificate"},
		{"s-ec.der", "s-rsa.der", "ECDSA+SHA256", false, NULL,
				"who does not ask gets none"},
		{NULL, NULL, "ECDSA+SHA256", true, NULL, "nothing to staple"},
		{"s-old.der", "s-rsa.der", "ECDSA+SHA256", true, NULL,
				"never an old one"},
		{"s-revoked.der", NULL, "ECDSA+SHA256", true, NULL,
				"never one that is not good"},
};

static struct tls_ctx *named; /* what by_name_cb chooses */

static struct tls_ctx *by_name_cb(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return named;
}

/* A handshake with a plain client; true when it gets the bytes of FILE, or
 * none for NULL. FIRST is the profile that the connection begins on. */
static bool client_gets(struct tls_ctx *first, struct tls_ctx *ctx,
		const struct serve_row *row, int version, const char *file)
{
	struct tls_conn_args args = {.role = TLS_ROLE_SERVER,
			.ctx = first,
			.by_name = by_name_cb,
			.own_records = true};
	SSL_CTX *raw = engine_raw_ctx(ENGINE_CLIENT, NULL);
	struct engine_pair pair;
	const unsigned char *der = NULL;
	unsigned char *want = NULL;
	struct tls_err err;
	size_t n_want = 0;
	long n;
	bool good;
	SSL *ssl;

	named = ctx;
	engine_pair_init(&pair);
	CU_ASSERT_EQUAL_FATAL(
			tls_conn_new(&pair.conn[ENGINE_SERVER], &args, &err), TLS_RC_OK);
	SSL_CTX_set1_sigalgs_list(raw, row->sigalgs);
	SSL_CTX_set_max_proto_version(raw, version);
	if(row->asks)
		SSL_CTX_set_tlsext_status_type(raw, TLSEXT_STATUSTYPE_ocsp);
	engine_pair_raw(&pair, ENGINE_CLIENT, raw);
	ssl = pair.raw[ENGINE_CLIENT];
	SSL_set_tlsext_host_name(ssl, "o.example");
	good = engine_pair_handshake(&pair);
	n = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
	if(file != NULL
			&& tls_ossl_read_file("test", pki_path(file), &want, &n_want, &err)
					   != TLS_RC_OK)
		good = false;
	good = good
		   && (file == NULL ? der == NULL || n <= 0
							: der != NULL && n == (long)n_want
									  && memcmp(der, want, n_want) == 0);
	if(!good)
		fprintf(stderr, "\n%s, %x: %ld bytes, %s\n", row->reason, version, n,
				pair.err[ENGINE_SERVER].text);
	tls_ossl_release_file(&want, n_want);
	engine_pair_clear(&pair);
	SSL_CTX_free(raw);
	return good;
}

static void write_staples(void)
{
	BIO *bio = BIO_new_file(pki_path("o-rsa.pem"), "r");
	X509 *rsa = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	struct ocsp_spec old = {.from = -3 * DAY, .to = -DAY};
	struct ocsp_spec revoked = {.status = REVOKED};
	struct ocsp_spec good = {.status = 0};

	BIO_free(bio);
	CU_ASSERT_PTR_NOT_NULL_FATAL(rsa);
	write_response("s-ec.der", &good, BY_CA);
	write_response("s-old.der", &old, BY_CA);
	write_response("s-revoked.der", &revoked, BY_CA);
	good.cert = rsa;
	write_response("s-rsa.der", &good, BY_RESPONDER);
	X509_free(rsa);
}

static void two_certificates(
		struct engine_profile *profile, const struct serve_row *row)
{
	server_of(profile, "o-subject", row->staple);
	profile->params.certificate2 = text(pki_path("o-rsa.pem"));
	profile->params.private_key2 = text(pki_path("o-rsa.key"));
	if(row->staple2 != NULL)
		profile->params.ocsp_file2 = text(pki_path(row->staple2));
}

static void test_serve(void)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	static const struct serve_row plain = {
			"s-ec.der", NULL, "ECDSA+SHA256", true, NULL, "plain"};
	struct engine_profile profile, lone;
	struct tls_ctx *ctx, *first;
	struct lines lines;
	size_t i, k;

	write_staples();
	server_of(&lone, "o-other", NULL);
	CU_ASSERT_EQUAL_FATAL(load(&lone, &first, &lines), TLS_RC_OK);
	for(i = 0; i < sizeof(serve_rows) / sizeof(serve_rows[0]); i++) {
		two_certificates(&profile, &serve_rows[i]);
		CU_ASSERT_EQUAL_FATAL(load(&profile, &ctx, &lines), TLS_RC_OK);
		for(k = 0; k < 2; k++) {
			CU_ASSERT_TRUE(client_gets(
					ctx, ctx, &serve_rows[i], versions[k], serve_rows[i].gets));
			/* chosen by name, from a profile that staples nothing */
			CU_ASSERT_TRUE(client_gets(first, ctx, &serve_rows[i], versions[k],
					serve_rows[i].gets));
			/* and the other way round nothing stays */
			CU_ASSERT_TRUE(client_gets(ctx, first, &plain, versions[k], NULL));
		}
		tls_ctx_free(&ctx);
	}
	tls_ctx_free(&first);
}

/* Both ends are ours. */
static void test_both(void)
{
	struct engine_profile profile;
	struct tls_ctx *server, *client;
	struct engine_pair pair;
	struct lines lines;
	struct tls_err err;
	int v, with;

	write_staples();
	for(with = 0; with < 2; with++) {
		port_stub_set_process(0, 4);
		server_of(&profile, "o-subject", with ? "s-ec.der" : NULL);
		CU_ASSERT_EQUAL_FATAL(load(&profile, &server, &lines), TLS_RC_OK);
		for(v = 0; v < 2; v++) {
			client =
					client_of("require", v ? TLS_VERSION_1_3 : TLS_VERSION_1_2);
			engine_pair_init(&pair);
			pair.own_records = true;
			pair.chop = 100;
			pair.processes = 4;
			CU_ASSERT_EQUAL(engine_pair_engine(
									&pair, ENGINE_SERVER, server, NULL, &err),
					TLS_RC_OK);
			CU_ASSERT_EQUAL(engine_pair_engine(
									&pair, ENGINE_CLIENT, client, NULL, &err),
					TLS_RC_OK);
			CU_ASSERT_EQUAL(engine_pair_handshake(&pair), with != 0);
			CU_ASSERT_EQUAL(
					engine_pair_write(&pair, ENGINE_CLIENT, "OPTIONS", 7)
							== TLS_RC_OK,
					with != 0);
			engine_pair_clear(&pair);
			port_stub_set_process(0, 4);
			tls_ctx_free(&client);
		}
		tls_ctx_free(&server);
	}
	port_stub_set_process(0, 1);
}

/* ---- the end of a good one, one file for many, memory ---- */

static struct tls_identity *identity_of(struct tls_files *files)
{
	struct tls_identity_args args = {.certificate = pki_path("o-subject.pem"),
			.private_key = pki_path("o-subject.key")};
	struct tls_identity *id = NULL;
	enum tls_identity_part part;
	struct tls_err err;

	CU_ASSERT_EQUAL(
			tls_files_identity(files, &args, &id, &part, &err), TLS_RC_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(id);
	return id;
}

static X509_STORE *trust(void)
{
	X509_STORE *store = X509_STORE_new();

	CU_ASSERT_TRUE(store != NULL && X509_STORE_add_cert(store, ca) == 1);
	return store;
}

static void test_end(void)
{
	struct ocsp_spec spec = {.from = -3600, .to = 100};
	struct tls_ocsp_args args = {.setting = "ocsp_file"};
	SSL_CTX *raw = engine_raw_ctx(ENGINE_SERVER, NULL);
	struct tls_ocsp_staple *staple = NULL, *again = NULL;
	struct tls_files *files = NULL;
	struct tls_identity *id;
	unsigned int before;
	struct tls_err err;
	int64_t until;
	SSL *ssl = SSL_new(raw);
	int i;

	write_response("e.der", &spec, BY_CA);
	CU_ASSERT_EQUAL_FATAL(tls_files_new(&files), TLS_RC_OK);
	args.identity = id = identity_of(files);
	args.store = trust();
	args.path = pki_path("e.der");
	CU_ASSERT_EQUAL_FATAL(
			tls_ocsp_load(files, &args, (int64_t)time(NULL), &staple, &err),
			TLS_RC_OK);
	/* the second profile of the load gets the same */
	CU_ASSERT_EQUAL(
			tls_ocsp_load(files, &args, (int64_t)time(NULL), &again, &err),
			TLS_RC_OK);
	CU_ASSERT_PTR_EQUAL(staple, again);
	tls_ocsp_free(&again);
	tls_files_free(&files);
	until = tls_ocsp_until(staple);
	CU_ASSERT_TRUE(until > (int64_t)time(NULL) + 90);
	CU_ASSERT_TRUE(until <= (int64_t)time(NULL) + 100);
	CU_ASSERT_EQUAL(tls_ocsp_serve(staple, ssl, until), TLS_RC_OK);
	before = port_stub_log_count(TLS_LOG_WARN);
	for(i = 1; i < 4; i++)
		CU_ASSERT_EQUAL(tls_ocsp_serve(staple, ssl, until + i), TLS_RC_AGAIN);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_WARN), before + 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(port_stub_last_log(), "e.der"));
	CU_ASSERT_PTR_NOT_NULL(
			strstr(port_stub_last_log(), "is not stapled any more"));
	/* a clock that is set back does not make it young again for long */
	CU_ASSERT_EQUAL(tls_ocsp_serve(staple, ssl, until), TLS_RC_OK);
	tls_ocsp_free(&staple);
	tls_ocsp_free(&staple);
	tls_identity_free(&id);
	X509_STORE_free(args.store);
	SSL_free(ssl);
	SSL_CTX_free(raw);
}

/* Every k-th allocation of a load fails: a staple or an error, no leak. */
static void test_load_ladder(void)
{
	struct ocsp_spec spec = {.status = 0};
	struct tls_ocsp_args args = {.setting = "ocsp_file"};
	struct tls_ocsp_staple *staple;
	struct tls_files *files = NULL;
	struct tls_identity *id;
	struct tls_err err;
	size_t live;
	enum tls_rc rc;
	unsigned long k;
	bool failed = true;

	write_response("k.der", &spec, BY_RESPONDER);
	CU_ASSERT_EQUAL_FATAL(tls_files_new(&files), TLS_RC_OK);
	args.identity = id = identity_of(files);
	tls_files_free(&files);
	args.store = trust();
	args.path = pki_path("k.der");
	for(k = 1; failed && k < 5000; k++) {
		CU_ASSERT_EQUAL_FATAL(tls_files_new(&files), TLS_RC_OK);
		live = engine_live_blocks();
		engine_fail_at(k);
		rc = tls_ocsp_load(files, &args, (int64_t)time(NULL), &staple, &err);
		failed = port_stub_failed();
		engine_fail_at(0);
		if((rc == TLS_RC_OK) != (staple != NULL) || rc == TLS_RC_AGAIN)
			fprintf(stderr, "\nk %lu: %s %s\n", k, tls_err_rc_name(rc),
					err.text);
		CU_ASSERT_EQUAL(rc == TLS_RC_OK, staple != NULL);
		CU_ASSERT_NOT_EQUAL(rc, TLS_RC_AGAIN); /* nothing is over */
		tls_ocsp_free(&staple);
		tls_files_free(&files);
		CU_ASSERT_TRUE(engine_live_blocks() <= live);
	}
	CU_ASSERT_FALSE(failed);
	CU_ASSERT_TRUE(k > 50);
	tls_identity_free(&id);
	X509_STORE_free(args.store);
}

/* A revoked certificate is not good because memory was short. */
static void test_judge_ladder(void)
{
	struct ocsp_spec spec = {.status = REVOKED};
	struct tls_ocsp_verdict v;
	unsigned char *der;
	bool failed = true;
	unsigned long k;
	size_t n, live;
	int good;

	for(good = 0; good < 2; good++, failed = true) {
		spec.status = good ? 0 : REVOKED;
		der = response_of(&spec, BY_RESPONDER, &n);
		tls_ocsp_judge(der, n, subject, ca, (int64_t)time(NULL), &v);
		for(k = 1; failed && k < 5000; k++) {
			live = engine_live_blocks();
			engine_fail_at(k);
			tls_ocsp_judge(der, n, subject, ca, (int64_t)time(NULL), &v);
			failed = port_stub_failed();
			engine_fail_at(0);
			CU_ASSERT_TRUE(good || v.status != TLS_OCSP_GOOD);
			CU_ASSERT_TRUE(v.text[0] != '\0');
			CU_ASSERT_TRUE(engine_live_blocks() <= live);
		}
		CU_ASSERT_FALSE(failed);
		CU_ASSERT_EQUAL(v.status, good ? TLS_OCSP_GOOD : TLS_OCSP_REVOKED);
		OPENSSL_free(der);
	}
}

/* ---- settings ---- */

struct word_row
{
	enum tls_role role;
	const char *word;
	int verify;
	enum tls_rc rc;
	const char *words;
	const char *reason;
};

static void test_words(void)
{
	static const struct word_row table[] = {
			{TLS_ROLE_CLIENT, "yes", 1, TLS_RC_CONFIG, "off, check and require",
					"no such word"},
			{TLS_ROLE_SERVER, "yes", 0, TLS_RC_CONFIG, "off, check and require",
					"not for servers either"},
			{TLS_ROLE_CLIENT, "check", 0, TLS_RC_CONFIG, "not verified",
					"a check that comes to nothing"},
			{TLS_ROLE_CLIENT, "require", 0, TLS_RC_CONFIG, "not verified",
					"a check that comes to nothing"},
			{TLS_ROLE_CLIENT, "off", 0, TLS_RC_OK, NULL, "off"},
			{TLS_ROLE_CLIENT, "CHECK", 1, TLS_RC_OK, NULL, "check"},
			{TLS_ROLE_SERVER, "require", 0, TLS_RC_OK, NULL,
					"the modparam reaches servers too"},
	};
	struct engine_profile profile;
	struct tls_ctx *ctx;
	struct tls_err err;
	size_t i;
	enum tls_rc rc;

	for(i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		engine_profile_init(&profile, table[i].role, "ec");
		profile.params.ca_list = text(pki_path("zoo-ca.pem"));
		profile.params.verify_certificate = table[i].verify;
		profile.params.ocsp = text(table[i].word);
		rc = engine_ctx(&ctx, &profile, &err);
		if(rc != table[i].rc
				|| (rc != TLS_RC_OK
						&& strstr(err.text, table[i].words) == NULL))
			fprintf(stderr, "\n%s: %s\n", table[i].reason, err.text);
		CU_ASSERT_EQUAL(rc, table[i].rc);
		CU_ASSERT_TRUE(
				rc == TLS_RC_OK || strstr(err.text, table[i].words) != NULL);
		tls_ctx_free(&ctx);
	}
}

void test_ocsp_add(void)
{
	CU_pSuite suite = CU_add_suite("ocsp", begin, NULL);

	CU_add_test(suite, "verdicts", test_judge);
	CU_add_test(suite, "not longer than its signer", test_limit);
	CU_add_test(suite, "mutants", test_mutants);
	CU_add_test(suite, "files that are refused, left out, taken", test_load);
	CU_add_test(suite, "no certificate to staple to", test_no_place);
	CU_add_test(suite, "what a client makes of it", test_peers);
	CU_add_test(suite, "what a server staples", test_serve);
	CU_add_test(suite, "both ends", test_both);
	CU_add_test(suite, "a good one ends", test_end);
	CU_add_test(suite, "words", test_words);
	CU_add_test(suite, "no memory: load", test_load_ladder);
	CU_add_test(suite, "no memory: verdict", test_judge_ladder);
}
