/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* OCSP responses: verdicts and staples; see tls_ocsp.h. */

#include "tls_ocsp.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tls_files.h"
#include "tls_ossl.h"
#include "tls_port.h"

#define STAPLE_MAGIC 0x746f6373U /* "tocs" */

/* Longest response that is stapled. OpenSSL's clients take no longer message
 * with a status in TLS 1.2, 4 bytes are in front of it, and nobody's CA needs a
 * tenth of it. */
#define STAPLE_MAX (SSL3_RT_MAX_PLAIN_LENGTH - 4)

/* Level of security of who may sign for a CA, as in SSL_CTX_set_security_level:
 * no signature with SHA-1 or less, no RSA key below 1024 bits. */
#define SIGNER_LEVEL 1

struct tls_ocsp_staple
{
	unsigned int magic;
	atomic_uint refs;
	atomic_bool told;	/* the log has heard that it is over */
	unsigned char *der; /* owned */
	size_t n;
	int64_t until;
	char *path; /* owned; for the log */
};

/* ---- one response ---- */

/* What a judgement works with; all owned but the last three. */
struct trial
{
	OCSP_RESPONSE *response;
	OCSP_BASICRESP *basic;
	X509_STORE *trust;		 /* the issuer alone */
	STACK_OF(X509) * issuer; /* the same as a list */
	X509 *cert;
	int64_t now;
	struct tls_ocsp_verdict *out;
};

static bool decide(struct trial *t, enum tls_ocsp_status status,
		const char *fmt, ...) TLS_PRINTF(3, 4);

/* The verdict with its sentence. Always false: nothing more is asked. */
static bool decide(
		struct trial *t, enum tls_ocsp_status status, const char *fmt, ...)
{
	struct tls_err line; /* makes printable what the library says */
	va_list ap;

	va_start(ap, fmt);
	tls_err_setv(&line, TLS_RC_PEER, fmt, ap);
	va_end(ap);
	t->out->status = status;
	snprintf(t->out->text, sizeof(t->out->text), "%.*s",
			(int)sizeof(t->out->text) - 1, line.text);
	return false;
}

/* Seconds since 1970 of TIME in *OUT; false when it is no time. */
static bool seconds_of(const ASN1_GENERALIZEDTIME *time, int64_t *out)
{
	struct tm tm;

	if(time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
		return false;
	*out = (int64_t)timegm(&tm);
	return true;
}

/* Reads the N bytes at DER, all of them. */
static bool read_response(struct trial *t, const unsigned char *der, size_t n)
{
	const unsigned char *at = der;
	int status;

	if(n == 0 || n > TLS_OCSP_MAX)
		return decide(
				t, TLS_OCSP_BROKEN, "it has %zu bytes, not 1 to 65536", n);
	t->response = d2i_OCSP_RESPONSE(NULL, &at, (long)n);
	if(t->response == NULL || at != der + n)
		return decide(t, TLS_OCSP_BROKEN, "it is no OCSP response in DER form");
	status = OCSP_response_status(t->response);
	if(status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		return decide(t, TLS_OCSP_REFUSED, "the responder answered \"%s\"",
				OCSP_response_status_str(status));
	t->basic = OCSP_response_get1_basic(t->response);
	if(t->basic == NULL)
		return decide(t, TLS_OCSP_BROKEN, "it is no basic OCSP response");
	return true;
}

/* The digest of an RSA-PSS signature, which is no part of its name (RFC 4055
 * s3.1: SHA-1 unless the parameters say another). */
static int pss_digest(const X509_ALGOR *algorithm)
{
	RSA_PSS_PARAMS *params = NULL;
	const void *value = NULL;
	int type = V_ASN1_UNDEF, md = NID_sha1;

	X509_ALGOR_get0(NULL, &type, &value, algorithm);
	if(type == V_ASN1_SEQUENCE)
		params = ASN1_item_unpack(value, ASN1_ITEM_rptr(RSA_PSS_PARAMS));
	if(params != NULL && params->hashAlgorithm != NULL)
		md = OBJ_obj2nid(params->hashAlgorithm->algorithm);
	RSA_PSS_PARAMS_free(params);
	return md;
}

/* True for a signature that could be forged, whoever made it. */
static bool is_weak(const OCSP_BASICRESP *basic)
{
	const X509_ALGOR *algorithm = OCSP_resp_get0_tbs_sigalg(basic);
	const ASN1_OBJECT *object = NULL;
	int md = NID_undef;

	X509_ALGOR_get0(&object, NULL, NULL, algorithm);
	if(OBJ_find_sigid_algs(OBJ_obj2nid(object), &md, NULL) != 1)
		return false; /* the library will not know how to verify it */
	if(OBJ_obj2nid(object) == NID_rsassaPss)
		md = pss_digest(algorithm);
	return md == NID_sha1 || md == NID_md5 || md == NID_md5_sha1
		   || md == NID_md4 || md == NID_md2;
}

/* Is it signed by ISSUER, or by one that ISSUER itself made a responder? The
 * only anchor is ISSUER, so nobody else that we trust can speak for it. */
static bool check_signer(struct trial *t, X509 *issuer)
{
	const char *why, *more = NULL;
	int flags = 0;

	if(issuer == NULL)
		return decide(t, TLS_OCSP_FOREIGN,
				"the certificate of the CA that could have signed it is not "
				"known");
	if(is_weak(t->basic))
		return decide(
				t, TLS_OCSP_FOREIGN, "it is signed with MD5 or SHA-1 only");
	t->trust = X509_STORE_new();
	t->issuer = sk_X509_new_null();
	if(t->trust == NULL || t->issuer == NULL
			|| X509_STORE_add_cert(t->trust, issuer) != 1
			|| sk_X509_push(t->issuer, issuer) <= 0)
		return decide(t, TLS_OCSP_BROKEN, "out of shared memory");
	X509_VERIFY_PARAM_set_flags(
			X509_STORE_get0_param(t->trust), X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(t->trust), t->now);
	X509_VERIFY_PARAM_set_auth_level(
			X509_STORE_get0_param(t->trust), SIGNER_LEVEL);
	if(OCSP_basic_verify(t->basic, t->issuer, t->trust, OCSP_NOEXPLICIT) == 1)
		return true;
	why = ERR_reason_error_string(
			ERR_peek_last_error_all(NULL, NULL, NULL, &more, &flags));
	return decide(t, TLS_OCSP_FOREIGN,
			"the CA of the certificate has not signed it (%s%s%s)",
			why != NULL ? why : "no reason", more != NULL && *more ? ": " : "",
			more != NULL && (flags & ERR_TXT_STRING) != 0 ? more : "");
}

/* The part that is about the certificate, or NULL. Whoever asked chose the
 * digest of the identifier, so ours is made with the same. */
static OCSP_SINGLERESP *part_of(const struct trial *t, X509 *issuer)
{
	OCSP_SINGLERESP *found = NULL;
	int i;

	for(i = 0; found == NULL && i < OCSP_resp_count(t->basic); i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(t->basic, i);
		const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(single);
		ASN1_OBJECT *object = NULL;
		OCSP_CERTID *ours;
		const EVP_MD *md;

		OCSP_id_get0_info(
				NULL, &object, NULL, NULL, (OCSP_CERTID *)(uintptr_t)id);
		md = object != NULL ? EVP_get_digestbyobj(object) : NULL;
		ours = md != NULL ? OCSP_cert_to_id(md, t->cert, issuer) : NULL;
		if(ours != NULL && OCSP_id_cmp(ours, id) == 0)
			found = single;
		OCSP_CERTID_free(ours);
	}
	return found;
}

/* Is NOW within the life of the part? Notes the end of that. */
static bool check_times(struct trial *t, const ASN1_GENERALIZEDTIME *this_one,
		const ASN1_GENERALIZEDTIME *next_one)
{
	int64_t from, until;

	if(!seconds_of(this_one, &from)
			|| (next_one != NULL && !seconds_of(next_one, &until)))
		return decide(t, TLS_OCSP_BROKEN, "it has no valid dates");
	if(next_one == NULL)
		until = from + TLS_OCSP_FRESH_S;
	if(until < from)
		return decide(t, TLS_OCSP_BROKEN, "it ends before it begins");
	t->out->until = until;
	if(t->now > until)
		return decide(t, TLS_OCSP_OLD, "it is over for %lld seconds",
				(long long)(t->now - until));
	if(t->now + TLS_OCSP_SKEW_S < from)
		return decide(t, TLS_OCSP_EARLY,
				"it begins in %lld seconds only (does the clock go right?)",
				(long long)(from - t->now));
	return true;
}

/* A staple outlives the load: the certificate of its signer must not end
 * before. False when that is not known. */
static bool limit_to_signer(struct trial *t)
{
	X509 *signer = NULL;
	int64_t end;

	if(OCSP_resp_get0_signer(t->basic, &signer, t->issuer) != 1
			|| !seconds_of(X509_get0_notAfter(signer), &end))
		return decide(t, TLS_OCSP_BROKEN, "nobody knows when its signer ends");
	if(end < t->out->until)
		t->out->until = end;
	return true;
}

/* RFC 6960 s4.4: who does not know a critical extension must not go by the
 * response. There is none that we know. */
static bool check_extensions(struct trial *t, OCSP_SINGLERESP *single)
{
	if(OCSP_BASICRESP_get_ext_by_critical(t->basic, 1, -1) < 0
			&& OCSP_SINGLERESP_get_ext_by_critical(single, 1, -1) < 0)
		return true;
	return decide(t, TLS_OCSP_BROKEN,
			"it has a critical extension that is not known here");
}

static void judge_part(struct trial *t, X509 *issuer)
{
	OCSP_SINGLERESP *single = part_of(t, issuer);
	ASN1_GENERALIZEDTIME *this_one = NULL, *next_one = NULL;
	int reason = -1;
	int status;

	if(single == NULL) {
		decide(t, TLS_OCSP_FOREIGN, "it is about another certificate");
		return;
	}
	status = OCSP_single_get0_status(
			single, &reason, NULL, &this_one, &next_one);
	if(!check_extensions(t, single) || !check_times(t, this_one, next_one)
			|| !limit_to_signer(t))
		return;
	switch(status) {
		case V_OCSP_CERTSTATUS_GOOD:
			decide(t, TLS_OCSP_GOOD, "good");
			break;
		case V_OCSP_CERTSTATUS_REVOKED:
			decide(t, TLS_OCSP_REVOKED,
					"the CA has revoked the certificate%s%s",
					reason >= 0 ? ": " : "",
					reason >= 0 ? OCSP_crl_reason_str(reason) : "");
			break;
		default:
			decide(t, TLS_OCSP_UNKNOWN, "the CA does not know the certificate");
			break;
	}
}

void tls_ocsp_judge(const unsigned char *der, size_t n, X509 *cert,
		X509 *issuer, int64_t now, struct tls_ocsp_verdict *out)
{
	struct trial t = {.cert = cert, .now = now, .out = out};

	memset(out, 0, sizeof(*out));
	out->status = TLS_OCSP_BROKEN;
	/* whose errors are there already is not for us to say */
	ERR_set_mark();
	if(read_response(&t, der, n) && check_signer(&t, issuer))
		judge_part(&t, issuer);
	ERR_pop_to_mark();
	sk_X509_free(t.issuer);
	X509_STORE_free(t.trust);
	OCSP_BASICRESP_free(t.basic);
	OCSP_RESPONSE_free(t.response);
}

/* ---- staples ---- */

void tls_ocsp_free(struct tls_ocsp_staple **staple)
{
	struct tls_ocsp_staple *s = *staple;

	*staple = NULL;
	if(s == NULL || s->magic != STAPLE_MAGIC
			|| atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	s->magic = 0;
	OPENSSL_free(s->der);
	OPENSSL_free(s->path);
	OPENSSL_free(s);
}

static void release_staple(void *object)
{
	struct tls_ocsp_staple *staple = object;

	tls_ocsp_free(&staple);
}

/* Takes *DER over when it succeeds. */
static struct tls_ocsp_staple *staple_new(
		unsigned char **der, size_t n, int64_t until, const char *path)
{
	struct tls_ocsp_staple *staple = OPENSSL_zalloc(sizeof(*staple));

	if(staple == NULL)
		return NULL;
	staple->magic = STAPLE_MAGIC;
	atomic_init(&staple->refs, 1);
	atomic_init(&staple->told, false);
	staple->path = OPENSSL_strdup(path);
	if(staple->path == NULL) {
		tls_ocsp_free(&staple);
		return NULL;
	}
	staple->until = until;
	staple->n = n;
	staple->der = *der;
	*der = NULL; /* now owned by the staple */
	return staple;
}

/* Who signed CERT: in the chain that is sent with it, or among those that the
 * profile trusts; NULL = neither. One reference for the caller. */
static X509 *issuer_of(const struct tls_ocsp_args *args, X509 *cert)
{
	X509 *issuer = tls_identity_issuer(args->identity, cert);

	if(issuer != NULL && X509_up_ref(issuer) == 1)
		return issuer;
	return args->store != NULL ? tls_files_issuer(args->store, cert) : NULL;
}

/* The verdict on the N bytes at DER as the result of a load. */
static enum tls_rc conclude(const struct tls_ocsp_args *args,
		const struct tls_ocsp_verdict *verdict, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_AGAIN;

	switch(verdict->status) {
		case TLS_OCSP_GOOD:
			return TLS_RC_OK;
		case TLS_OCSP_FOREIGN:
		case TLS_OCSP_BROKEN:
			rc = TLS_RC_CONFIG;
			break;
		case TLS_OCSP_REVOKED:
		case TLS_OCSP_UNKNOWN:
		case TLS_OCSP_OLD:
		case TLS_OCSP_EARLY:
		case TLS_OCSP_REFUSED:
			break;
	}
	return tls_err_set(err, rc, "%s: \"%s\" is not stapled: %s", args->setting,
			args->path, verdict->text);
}

/* Reads the file of ARGS, which is about CERT. */
static enum tls_rc read_staple(const struct tls_ocsp_args *args, X509 *cert,
		int64_t now, struct tls_ocsp_staple **out, struct tls_err *err)
{
	struct tls_ocsp_verdict verdict;
	unsigned char *der = NULL;
	X509 *issuer;
	size_t n = 0;
	enum tls_rc rc;

	rc = tls_ossl_read_file(args->setting, args->path, &der, &n, err);
	if(rc != TLS_RC_OK)
		return rc;
	if(n > STAPLE_MAX) {
		tls_ossl_release_file(&der, n);
		return tls_err_set(err, TLS_RC_CONFIG,
				"%s: \"%s\" is not stapled: it has %zu bytes and clients take "
				"%d at most",
				args->setting, args->path, n, STAPLE_MAX);
	}
	issuer = issuer_of(args, cert);
	tls_ocsp_judge(der, n, cert, issuer, now, &verdict);
	X509_free(issuer);
	rc = conclude(args, &verdict, err);
	if(rc == TLS_RC_OK) {
		*out = staple_new(&der, n, verdict.until, args->path);
		if(*out == NULL)
			rc = tls_ossl_fail(err, TLS_RC_NOMEM, "%s: out of shared memory",
					args->setting);
	}
	tls_ossl_release_file(&der, n);
	ERR_clear_error();
	return rc;
}

/* Under what FILES keep the staple of ARGS: the certificate and the path. */
static bool key_of(const struct tls_ocsp_args *args, const unsigned char *der,
		size_t n, char *out, size_t size, size_t *n_out)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	int length;

	SHA256(der, n, digest);
	length = snprintf(
			out + sizeof(digest), size - sizeof(digest), "ocsp %s", args->path);
	memcpy(out, digest, sizeof(digest));
	*n_out = sizeof(digest) + (size_t)length;
	return length > 0 && (size_t)length < size - sizeof(digest);
}

enum tls_rc tls_ocsp_load(struct tls_files *files,
		const struct tls_ocsp_args *args, int64_t now,
		struct tls_ocsp_staple **out, struct tls_err *err)
{
	const unsigned char *der, *at;
	char key[4096 + 64];
	size_t n, n_key;
	bool shared;
	X509 *cert;
	enum tls_rc rc;

	der = at = tls_identity_certificate(args->identity, &n);
	shared = key_of(args, der, n, key, sizeof(key), &n_key);
	*out = shared ? tls_files_find(files, key, n_key) : NULL;
	if(*out != NULL) {
		atomic_fetch_add(&(*out)->refs, 1);
		return TLS_RC_OK;
	}
	cert = d2i_X509(NULL, &at, (long)n);
	if(cert == NULL)
		return tls_ossl_fail(
				err, TLS_RC_NOMEM, "%s: out of shared memory", args->setting);
	rc = read_staple(args, cert, now, out, err);
	X509_free(cert);
	if(rc != TLS_RC_OK || !shared)
		return rc;
	atomic_fetch_add(&(*out)->refs, 1);
	if(tls_files_add(files, key, n_key, *out, release_staple) != TLS_RC_OK)
		atomic_fetch_sub(&(*out)->refs, 1); /* then it is not shared */
	return TLS_RC_OK;
}

int64_t tls_ocsp_until(const struct tls_ocsp_staple *staple)
{
	return staple->until;
}

enum tls_rc tls_ocsp_serve(
		struct tls_ocsp_staple *staple, SSL *ssl, int64_t now)
{
	unsigned char *copy;

	if(now > staple->until) {
		if(!atomic_exchange(&staple->told, true))
			tls_port_log(TLS_LOG_WARN,
					"the OCSP response \"%s\" is over and is not stapled any "
					"more; get a new one and reload",
					staple->path);
		return TLS_RC_AGAIN;
	}
	copy = OPENSSL_memdup(staple->der, staple->n);
	if(copy == NULL)
		return TLS_RC_NOMEM;
	/* owned by ssl */
	if(SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->n) == 1)
		return TLS_RC_OK;
	OPENSSL_free(copy);
	return TLS_RC_NOMEM;
}
