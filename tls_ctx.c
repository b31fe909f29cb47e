/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Contexts of profiles; see tls_ctx.h. */

#include "tls_ctx.h"

#include <stdbool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tls_der.h"
#include "tls_files.h"
#include "tls_info.h"
#include "tls_mem.h"
#include "tls_ocsp.h"
#include "tls_ossl.h"
#include "tls_port.h"
#include "tls_record.h"
#include "tls_verify.h"

#define CTX_MAGIC 0x74637830U /* "tcx0" */

/* First byte of the cipher suites of TLS 1.3, RFC 8446 B.4. */
#define TLS13_SUITES 0x13

/* Certificates that end within this time are worth a warning. */
#define EXPIRY_WARNING_DAYS 14

/* Security of a 2048 bit RSA key (NIST SP 800-57), in bits; less is weak. */
#define SECURITY_BITS_LEAST 112

/* Everything of a profile but who it is. Profiles that differ in certificate
 * and names only share one: the context of OpenSSL is the expensive part. */
struct policy
{
	atomic_uint refs;
	SSL_CTX *ssl_ctx;	/* owned; has no certificate */
	char *cipher_list;	/* owned; what ssl_ctx came to have, without TLS 1.3 */
	char *ciphersuites; /* owned; NULL for the library's own */
	char *groups;		/* owned; NULL for the library's own */
	bool tickets;
	/* of all that decides about a peer, for session ids */
	unsigned char verify[SHA256_DIGEST_LENGTH];
	unsigned char alpn[TLS_PARAMS_ALPN_MAX]; /* as on the wire */
	size_t alpn_len;
};

struct tls_ctx
{
	unsigned int magic;
	struct policy *policy; /* counted */
	/* counted; the second is another algorithm; NULL = none */
	struct tls_identity *identities[TLS_CTX_CERTIFICATES];
	/* counted; of the same, NULL = none */
	struct tls_ocsp_staple *staples[TLS_CTX_CERTIFICATES];
	unsigned char session_id[SHA256_DIGEST_LENGTH]; /* of all sessions */
};

/* What one build needs. */
struct build
{
	const struct tls_ctx_args *args;
	struct tls_files *files; /* borrowed */
	bool failed;			 /* an error was reported; go on looking */
	enum tls_rc rc;			 /* of the first error */
	struct tls_err *err;	 /* gets the first error */
};

static int choice_index = -1; /* ex_data of SSL: its tls_ctx_choice */

static struct tls_ctx refusal; /* only its address means something */
struct tls_ctx *const TLS_CTX_REFUSE = &refusal;

enum tls_rc tls_ctx_init(void)
{
	if(choice_index < 0)
		choice_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return choice_index < 0 ? TLS_RC_NOMEM : tls_verify_init();
}

/* ---- complaints ---- */

/* Notes what is wrong with OPTION, as ERR says, and returns ERR's group. */
static enum tls_rc complain(
		struct build *b, enum tls_profile_option option, struct tls_err *err)
{
	if(!b->failed && b->err != NULL)
		*b->err = *err;
	if(!b->failed)
		b->rc = err->rc;
	b->failed = true;
	if(b->args->report != NULL)
		b->args->report(b->args->report_arg, TLS_LOG_ERR, option, err->text);
	return err->rc;
}

static void warn(struct build *b, enum tls_profile_option option,
		const char *fmt, ...) TLS_PRINTF(3, 4);

static void warn(
		struct build *b, enum tls_profile_option option, const char *fmt, ...)
{
	struct tls_err line;
	va_list ap;

	va_start(ap, fmt);
	tls_err_setv(&line, TLS_RC_CONFIG, fmt, ap);
	va_end(ap);
	if(b->args->report != NULL)
		b->args->report(b->args->report_arg, TLS_LOG_WARN, option, line.text);
	else
		tls_port_log(TLS_LOG_WARN, "%s: %s", b->args->label, line.text);
}

/* ---- the profile that the client asks for ---- */

/* The host name of a server_name extension of N bytes (RFC 6066 s3: one list
 * with one entry of type 0) into OUT. False when there is none: what is
 * malformed is left to OpenSSL, which knows the alert. */
static bool read_name(const unsigned char *p, size_t n, char out[256])
{
	size_t n_name;

	if(n < 5 || ((size_t)p[0] << 8 | p[1]) != n - 2 || p[2] != 0)
		return false;
	n_name = (size_t)p[3] << 8 | p[4];
	if(n_name == 0 || n_name > 255 || n_name != n - 5
			|| memchr(p + 5, 0, n_name) != NULL)
		return false;
	memcpy(out, p + 5, n_name);
	out[n_name] = '\0';
	return true;
}

/* The versions that POLICY speaks. One without any cipher for TLS 1.2 and
 * older (a system's CipherString that matches nothing) speaks 1.3 only: an
 * empty list cannot be given to a connection, and it would keep the ciphers
 * of the profile that it began with. */
static bool set_versions(SSL *ssl, const struct policy *policy)
{
	SSL_CTX *to = policy->ssl_ctx;
	int min = (int)SSL_CTX_get_min_proto_version(to);

	if(policy->cipher_list[0] == '\0')
		min = TLS1_3_VERSION;
	return SSL_set_min_proto_version(ssl, min) == 1
		   && SSL_set_max_proto_version(
					  ssl, (int)SSL_CTX_get_max_proto_version(to))
					  == 1;
}

/* Gives SSL the certificates and keys of CTX in place of any others. */
static enum tls_rc use_identities(
		struct tls_ctx *ctx, SSL *ssl, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	SSL_certs_clear(ssl);
	for(i = TLS_CTX_CERTIFICATES; rc == TLS_RC_OK && i-- > 0;) {
		if(ctx->identities[i] != NULL)
			rc = tls_identity_use(ctx->identities[i], ssl, err);
	}
	return rc;
}

/* SSL_set_SSL_CTX brings the stores and all that belongs to the certificate:
 * signature algorithms, security level, DH; and the choice of ALPN. Everything
 * else that a profile sets has to be carried over by hand (hazard 10). What
 * only the system's policy sets (options) is the same in all contexts. */
static bool switch_policy(SSL *ssl, const struct policy *policy)
{
	if(SSL_set_SSL_CTX(ssl, policy->ssl_ctx) == NULL)
		return false;
	tls_verify_move(ssl, policy->ssl_ctx);
	return set_versions(ssl, policy)
		   && (policy->cipher_list[0] == '\0'
				   || SSL_set_cipher_list(ssl, policy->cipher_list) == 1);
}

/* Puts CTX in the place of FROM. Names that differ in their certificates only
 * share a policy, and then nothing else changes. */
static bool switch_context(
		SSL *ssl, const struct tls_ctx *from, struct tls_ctx *ctx)
{
	return (from->policy == ctx->policy || switch_policy(ssl, ctx->policy))
		   && SSL_set_session_id_context(
					  ssl, ctx->session_id, sizeof(ctx->session_id))
					  == 1;
}

/* What a server's connection gets only now that its profile is certain: what
 * the library has no way to take back. */
static bool settle(SSL *ssl, const struct policy *policy)
{
	if(!policy->tickets) {
		SSL_set_options(ssl, SSL_OP_NO_TICKET);
		SSL_set_num_tickets(ssl, 0);
	}
	return (policy->ciphersuites == NULL
				   || SSL_set_ciphersuites(ssl, policy->ciphersuites) == 1)
		   && (policy->groups == NULL
				   || SSL_set1_groups_list(ssl, policy->groups) == 1);
}

/* The context for the name in the ClientHello, the present one when there is
 * none, or TLS_CTX_REFUSE. */
static struct tls_ctx *choose(SSL *ssl, const struct tls_ctx_choice *choice)
{
	const unsigned char *extension;
	struct tls_ctx *ctx = NULL;
	char name[256];
	size_t n;

	if(choice->by_name != NULL
			&& SSL_client_hello_get0_ext(
					   ssl, TLSEXT_TYPE_server_name, &extension, &n)
					   == 1
			&& read_name(extension, n, name))
		ctx = choice->by_name(choice->arg, name);
	return ctx != NULL ? ctx : choice->ctx;
}

/* The ClientHello callback: early enough for versions and ciphers, which the
 * servername callback is not. Runs again after a HelloRetryRequest. */
static int client_hello_cb(SSL *ssl, int *alert, void *arg)
{
	struct tls_ctx_choice *choice = SSL_get_ex_data(ssl, choice_index);
	struct tls_ctx *ctx;
	struct tls_err err;

	(void)arg;
	tls_err_clear(&err);
	if(choice == NULL)
		return SSL_CLIENT_HELLO_SUCCESS;
	ctx = choose(ssl, choice);
	if(ctx == TLS_CTX_REFUSE) {
		*alert = SSL_AD_UNRECOGNIZED_NAME; /* RFC 6066 s3 */
		return SSL_CLIENT_HELLO_ERROR;
	}
	if((ctx != choice->ctx && !switch_context(ssl, choice->ctx, ctx))
			|| !settle(ssl, ctx->policy)
			|| (choice->by_name != NULL
					&& use_identities(ctx, ssl, &err) != TLS_RC_OK)) {
		if(err.rc != TLS_RC_OK)
			tls_port_log(TLS_LOG_ERR, "%s", err.text);
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	choice->ctx = ctx;
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* Chooses the protocol: the first of ours that the client offers too; none of
 * them is a fatal no_application_protocol (RFC 7301 s3.2). */
static int alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *n_out,
		const unsigned char *in, unsigned int n_in, void *arg)
{
	const struct policy *policy = arg;
	unsigned char *chosen;

	(void)ssl;
	if(SSL_select_next_proto(&chosen, n_out, policy->alpn,
			   (unsigned int)policy->alpn_len, in, n_in)
			!= OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* Acknowledges the name (RFC 6066 s3), so that it is kept with the session and
 * a session is not resumed under another name. */
static int server_name_cb(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

/* Staples what the CA says about the certificate that was chosen, when the
 * client asks for it (RFC 6066 s8). The library has chosen by now; without a
 * response that still holds, the client gets none. */
static int staple_cb(SSL *ssl, void *arg)
{
	const struct tls_ctx_choice *choice = SSL_get_ex_data(ssl, choice_index);
	const X509 *cert = SSL_get_certificate(ssl);
	size_t i;

	(void)arg;
	for(i = 0; choice != NULL && i < TLS_CTX_CERTIFICATES; i++) {
		const struct tls_ctx *ctx = choice->ctx;

		if(ctx->staples[i] != NULL && ctx->identities[i] != NULL
				&& tls_identity_is(ctx->identities[i], cert)
				&& tls_ocsp_serve(ctx->staples[i], ssl, (int64_t)time(NULL))
						   == TLS_RC_OK)
			return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/* ---- parts of a context ---- */

/* Says what is weak or soon over with identity WHICH of CTX. */
static void judge_identity(struct build *b, const struct tls_identity *id,
		enum tls_profile_option certificate, const char *path)
{
	int64_t left = tls_identity_not_after(id) - (int64_t)time(NULL);

	if(left <= 0)
		warn(b, certificate, "certificate: \"%s\" has expired", path);
	else if(left < EXPIRY_WARNING_DAYS * 86400)
		warn(b, certificate, "certificate: \"%s\" expires in %d days", path,
				(int)(left / 86400));
	if(tls_identity_security_bits(id) < SECURITY_BITS_LEAST)
		warn(b, certificate,
				"certificate: \"%s\" is weak: a key of %d bits or a signature "
				"that is no more trusted (use RSA with 2048 bits, ECDSA, and "
				"SHA-256)",
				path, tls_identity_bits(id));
}

/* Asks the library whether it would serve ID at this level of security. */
static enum tls_rc try_identity(struct tls_ctx *ctx, struct tls_identity *id,
		const char *path, struct tls_err *err)
{
	static const int bits[] = {0, 80, 112, 128, 192, 256};
	int level = SSL_CTX_get_security_level(ctx->policy->ssl_ctx);
	struct tls_err reason;
	enum tls_rc rc;
	SSL *ssl;

	if(level >= 0 && level <= 5
			&& tls_identity_security_bits(id) >= bits[level])
		return TLS_RC_OK;
	ssl = SSL_new(ctx->policy->ssl_ctx);
	if(ssl == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "certificate: out of memory");
	rc = tls_identity_try(id, ssl, &reason);
	SSL_free(ssl);
	if(rc == TLS_RC_OK)
		return rc;
	return tls_err_set(err, TLS_RC_CONFIG,
			"certificate: the library refuses \"%s\" at security level %d: %s",
			path, level, reason.text);
}

/* Identity WHICH (0 or 1) of the profile; both its files must be there and
 * belong together. */
static void setup_identity(struct build *b, struct tls_ctx *ctx, int which)
{
	const struct tls_profile_params *p = b->args->params;
	struct tls_identity_args args = {
			.certificate = which ? p->certificate2 : p->certificate,
			.private_key = which ? p->private_key2 : p->private_key,
			.password =
					which ? p->private_key_password2 : p->private_key_password,
			.ask = b->args->settings->key_password_mode != 0};
	const enum tls_profile_option options[2] = {
			which ? TLS_PROFILE_OPTION_certificate2
				  : TLS_PROFILE_OPTION_certificate,
			which ? TLS_PROFILE_OPTION_private_key2
				  : TLS_PROFILE_OPTION_private_key};
	const char *suffix = which ? "2" : "";
	struct tls_identity **id = &ctx->identities[which];
	enum tls_identity_part part = TLS_IDENTITY_CERTIFICATE;
	struct tls_err err;
	enum tls_rc rc;

	if(args.certificate == NULL && args.private_key == NULL)
		return;
	if(args.certificate == NULL) {
		part = TLS_IDENTITY_KEY;
		rc = tls_err_set(&err, TLS_RC_CONFIG,
				"private_key%s: \"%s\" is set but certificate%s is not", suffix,
				args.private_key, suffix);
	} else if(args.private_key == NULL) {
		rc = tls_err_set(&err, TLS_RC_CONFIG,
				"certificate%s: \"%s\" is set but private_key%s is not", suffix,
				args.certificate, suffix);
	} else {
		rc = tls_files_identity(b->files, &args, id, &part, &err);
	}
	if(rc == TLS_RC_OK && ctx->policy != NULL)
		rc = try_identity(ctx, *id, args.certificate, &err);
	if(rc != TLS_RC_OK)
		complain(b, options[part], &err);
	else
		judge_identity(b, *id, options[0], args.certificate);
}

/* Both identities. The second one has to be of another algorithm, or the
 * library would serve it in place of the first. */
static void setup_identities(struct build *b, struct tls_ctx *ctx)
{
	const struct tls_profile_params *p = b->args->params;
	struct tls_err err;

	setup_identity(b, ctx, 0);
	setup_identity(b, ctx, 1);
	if(p->certificate2 == NULL || ctx->identities[1] == NULL)
		return;
	if(p->certificate == NULL)
		tls_err_set(&err, TLS_RC_CONFIG,
				"certificate2: \"%s\" is set but certificate is not",
				p->certificate2);
	else if(ctx->identities[0] != NULL
			&& tls_identity_type(ctx->identities[0])
					   == tls_identity_type(ctx->identities[1]))
		tls_err_set(&err, TLS_RC_CONFIG,
				"certificate2: \"%s\" has a key of the same algorithm as "
				"\"%s\" (it is for RSA beside ECDSA)",
				p->certificate2, p->certificate);
	else
		return;
	complain(b, TLS_PROFILE_OPTION_certificate2, &err);
}

/* What is stapled to certificate WHICH. A response that does not hold now is
 * no reason not to start; one that never could is. */
static void setup_staple(struct build *b, struct tls_ctx *ctx, int which)
{
	const struct tls_profile_params *p = b->args->params;
	enum tls_profile_option option = which ? TLS_PROFILE_OPTION_ocsp_file2
										   : TLS_PROFILE_OPTION_ocsp_file;
	struct tls_ocsp_args args = {.setting = which ? "ocsp_file2" : "ocsp_file",
			.path = which ? p->ocsp_file2 : p->ocsp_file,
			.identity = ctx->identities[which]};
	struct tls_err err;
	enum tls_rc rc;

	/* the modparam reaches the client profile too */
	if(args.path == NULL || b->args->role != TLS_ROLE_SERVER)
		return;
	if(args.identity == NULL) {
		/* a certificate that could not be read has been complained about */
		if(which ? p->certificate2 == NULL : p->certificate == NULL) {
			tls_err_set(&err, TLS_RC_CONFIG, "%s: \"%s\" is set but %s is not",
					args.setting, args.path,
					which ? "certificate2" : "certificate");
			complain(b, option, &err);
		}
		return;
	}
	if(ctx->policy != NULL)
		args.store = SSL_CTX_get_cert_store(ctx->policy->ssl_ctx);
	rc = tls_ocsp_load(
			b->files, &args, (int64_t)time(NULL), &ctx->staples[which], &err);
	if(rc == TLS_RC_AGAIN)
		warn(b, option, "%s", err.text);
	else if(rc != TLS_RC_OK)
		complain(b, option, &err);
}

/* The names that a server tells clients it would accept certificates of
 * (RFC 8446 s4.2.4, RFC 5246 s7.4.4). */
static enum tls_rc setup_ca_names(
		SSL_CTX *ctx, const char *path, struct tls_err *err)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);

	if(names == NULL)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"ca_list: could not read CA names from \"%s\"", path);
	SSL_CTX_set_client_CA_list(ctx, names); /* takes it over */
	return TLS_RC_OK;
}

/* Whom the profile trusts. */
static void setup_trust(struct build *b, SSL_CTX *ctx)
{
	const struct tls_profile_params *p = b->args->params;
	enum tls_profile_option option;
	X509_STORE *store = NULL;
	struct tls_err err;
	enum tls_rc rc;

	rc = tls_verify_setup(ctx, b->args->role, p, &err);
	if(rc != TLS_RC_OK)
		complain(b, TLS_PROFILE_OPTION_COUNT, &err);
	if(tls_verify_asks(p) && p->ca_list == NULL && p->ca_path == NULL
			&& p->verify_client != TLS_VERIFY_CLIENT_OPTIONAL_NO_CA)
		warn(b, TLS_PROFILE_OPTION_ca_list,
				"a profile verifies peers but trusts nobody: set ca_list or "
				"ca_path, or every certificate is refused");
	if(b->args->role == TLS_ROLE_SERVER && tls_verify_asks(p)
			&& tls_verify_checks_status(p))
		warn(b, TLS_PROFILE_OPTION_ocsp,
				"ocsp: clients staple nothing, so a server profile checks "
				"nothing; use crl to refuse revoked clients");
	rc = tls_files_store(b->files, p, &store, &option, &err);
	if(rc == TLS_RC_OK) {
		SSL_CTX_set_cert_store(ctx, store); /* takes it over */
		/* The CAs of the world are no hint for a client. */
		if(p->ca_list != NULL && b->args->role == TLS_ROLE_SERVER
				&& strcasecmp(p->ca_list, TLS_PARAMS_SYSTEM_CA) != 0)
			rc = setup_ca_names(ctx, p->ca_list, &err);
	}
	if(rc != TLS_RC_OK)
		complain(b, option, &err);
}

/* One text of the session id context with its end, so that no two lists of
 * texts look alike. */
static bool digest_text(EVP_MD_CTX *md, const char *text)
{
	const char *t = text != NULL ? text : "";

	return EVP_DigestUpdate(md, t, strlen(t) + 1) == 1;
}

/* Digests all of the profile that decides about a peer. */
static void digest_policy(struct build *b, struct policy *policy)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct tls_err err;
	enum tls_rc rc = TLS_RC_NOMEM;

	tls_err_set(&err, rc, "out of shared memory");
	if(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1)
		rc = tls_verify_digest(md, b->args->params, &err);
	if(rc == TLS_RC_OK && EVP_DigestFinal_ex(md, policy->verify, NULL) != 1)
		rc = tls_ossl_fail(&err, TLS_RC_NOMEM, "out of shared memory");
	EVP_MD_CTX_free(md);
	/* a file that cannot be read has been complained about by then */
	if(rc != TLS_RC_OK && !b->failed)
		complain(b, TLS_PROFILE_OPTION_COUNT, &err);
}

/* A session made under one profile or one verify policy must not be resumed
 * under another (hazard 11): its context is a digest of both. */
static enum tls_rc make_session_id(struct tls_ctx *ctx,
		const struct tls_ctx_args *args, struct tls_err *err)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good;

	good = md != NULL && ctx->policy != NULL
		   && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1
		   && EVP_DigestUpdate(
					  md, ctx->policy->verify, sizeof(ctx->policy->verify))
					  == 1
		   && digest_text(md, args->settings->session_id)
		   && digest_text(md, args->label)
		   && digest_text(md, args->params->server_name)
		   && EVP_DigestFinal_ex(md, ctx->session_id, NULL) == 1;
	EVP_MD_CTX_free(md);
	if(good)
		return TLS_RC_OK;
	return tls_ossl_fail(
			err, TLS_RC_TLS, "could not set the session id context");
}

static uint64_t options_of(const struct tls_settings *settings)
{
	/* Compression stays off whatever tls_disable_compression says: it leaks
	 * secrets (RFC 9325 s3.3) and no peer offers it any more. */
	uint64_t options = SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
					   | SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION;

	options |= settings->renegotiation ? SSL_OP_ALLOW_CLIENT_RENEGOTIATION
									   : SSL_OP_NO_RENEGOTIATION;
	return options;
}

/* Names of the ciphers for TLS 1.2 and older that the context came to have, by
 * the profile, the system's policy (openssl.cnf) or the library, as
 * SSL_set_cipher_list reads them; for connections that a name moves here. Says
 * which of them protect nothing. */
static enum tls_rc keep_ciphers(
		struct build *b, struct policy *policy, struct tls_err *err)
{
	const STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(policy->ssl_ctx);
	size_t size = 1;
	char *at;
	int i;

	for(i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
		size += strlen(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i)))
				+ 1;
	policy->cipher_list = at = OPENSSL_zalloc(size);
	if(at == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	for(i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
		const char *name = SSL_CIPHER_get_name(cipher);
		size_t n = strlen(name);

		if(SSL_CIPHER_get_protocol_id(cipher) >> 8 == TLS13_SUITES)
			continue;
		if(SSL_CIPHER_get_bits(cipher, NULL) == 0
				|| SSL_CIPHER_get_auth_nid(cipher) == NID_auth_null)
			warn(b, TLS_PROFILE_OPTION_cipher_list,
					"cipher_list: %s does not protect connections", name);
		if(at != policy->cipher_list)
			*at++ = ':';
		memcpy(at, name, n);
		at += n;
	}
	return TLS_RC_OK;
}

static void setup_versions(struct build *b, SSL_CTX *ctx)
{
	const struct tls_profile_params *p = b->args->params;
	char text[TLS_METHOD_TEXT_MAX];
	struct tls_err err;

	if(SSL_CTX_set_min_proto_version(ctx, (int)p->method.min) != 1
			|| SSL_CTX_set_max_proto_version(ctx, (int)p->method.max) != 1) {
		tls_ossl_fail(&err, TLS_RC_CONFIG,
				"method: this library does not offer that protocol version");
		complain(b, TLS_PROFILE_OPTION_method, &err);
	}
	if(p->method.min != TLS_VERSION_NONE && p->method.min < TLS_VERSION_1_2)
		warn(b, TLS_PROFILE_OPTION_method,
				"method: %s allows versions that are retired (RFC 8996)",
				tls_params_method_text(&p->method, text));
}

/* Parameters of Diffie-Hellman from a file, or those that the library chooses
 * by the length of the key. */
static enum tls_rc setup_dh(SSL_CTX *ctx, const char *path, struct tls_err *err)
{
	unsigned char *buf = NULL;
	EVP_PKEY *params = NULL;
	BIO *bio = NULL;
	enum tls_rc rc;
	size_t n = 0;

	if(path == NULL) {
		SSL_CTX_set_dh_auto(ctx, 1);
		return TLS_RC_OK;
	}
	rc = tls_ossl_read_file("dh_params", path, &buf, &n, err);
	if(rc != TLS_RC_OK)
		return rc;
	bio = BIO_new_mem_buf(buf, (int)n);
	if(bio != NULL)
		params = PEM_read_bio_Parameters(bio, NULL);
	if(params == NULL || EVP_PKEY_get_base_id(params) != EVP_PKEY_DH)
		rc = tls_ossl_fail(err, TLS_RC_CONFIG,
				"dh_params: \"%s\" holds no DH parameters in PEM form", path);
	else if(SSL_CTX_set0_tmp_dh_pkey(ctx, params) != 1)
		rc = tls_ossl_fail(err, TLS_RC_CONFIG,
				"dh_params: the library refuses the parameters of \"%s\"",
				path);
	else
		params = NULL; /* now owned by ctx */
	EVP_PKEY_free(params);
	BIO_free(bio);
	tls_ossl_release_file(&buf, n);
	return rc;
}

/* Texts that servers give to each connection when its profile is certain
 * (settle) and clients to the context; what the library does not take is an
 * error of the load both ways. */
static enum tls_rc setup_late(struct policy *policy, enum tls_role role,
		const char *text, char **kept, enum tls_profile_option option,
		struct tls_err *err)
{
	bool suites = option == TLS_PROFILE_OPTION_ciphersuites;
	SSL *probe;
	int good;

	if(text == NULL)
		return TLS_RC_OK;
	*kept = OPENSSL_strdup(text);
	probe = SSL_new(policy->ssl_ctx);
	if(*kept == NULL || probe == NULL) {
		SSL_free(probe);
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	}
	good = suites ? SSL_set_ciphersuites(probe, text)
				  : (int)SSL_set1_groups_list(probe, text);
	if(good == 1 && role == TLS_ROLE_CLIENT)
		good = suites ? SSL_CTX_set_ciphersuites(policy->ssl_ctx, text)
					  : (int)SSL_CTX_set1_groups_list(policy->ssl_ctx, text);
	SSL_free(probe);
	if(good == 1)
		return TLS_RC_OK;
	return tls_ossl_fail(err, TLS_RC_CONFIG,
			suites ? "ciphersuites: \"%s\" is no list of TLS 1.3 suites"
				   : "groups: \"%s\" has a group that this library does not "
					 "know",
			text);
}

static void setup_algorithms(struct build *b, struct policy *policy)
{
	const struct tls_profile_params *p = b->args->params;
	SSL_CTX *ctx = policy->ssl_ctx;
	enum tls_role role = b->args->role;
	struct tls_err err;

	if(p->security_level >= 0)
		SSL_CTX_set_security_level(ctx, p->security_level);
	if(p->cipher_list != NULL
			&& SSL_CTX_set_cipher_list(ctx, p->cipher_list) != 1) {
		tls_ossl_fail(&err, TLS_RC_CONFIG,
				"cipher_list: \"%s\" selects no cipher of this library",
				p->cipher_list);
		complain(b, TLS_PROFILE_OPTION_cipher_list, &err);
	}
	if(setup_late(policy, role, p->ciphersuites, &policy->ciphersuites,
			   TLS_PROFILE_OPTION_ciphersuites, &err)
			!= TLS_RC_OK)
		complain(b, TLS_PROFILE_OPTION_ciphersuites, &err);
	if(setup_late(policy, role, p->groups, &policy->groups,
			   TLS_PROFILE_OPTION_groups, &err)
			!= TLS_RC_OK)
		complain(b, TLS_PROFILE_OPTION_groups, &err);
	if(p->sigalgs != NULL && SSL_CTX_set1_sigalgs_list(ctx, p->sigalgs) != 1) {
		tls_ossl_fail(&err, TLS_RC_CONFIG,
				"sigalgs: \"%s\" has an algorithm that this library does not "
				"know",
				p->sigalgs);
		complain(b, TLS_PROFILE_OPTION_sigalgs, &err);
	}
	if(setup_dh(ctx, p->dh_params, &err) != TLS_RC_OK)
		complain(b, TLS_PROFILE_OPTION_dh_params, &err);
}

/* What peers may find out about our side: protocols, tickets. */
static void setup_extensions(struct build *b, struct policy *policy)
{
	const struct tls_profile_params *p = b->args->params;
	SSL_CTX *ctx = policy->ssl_ctx;
	struct tls_err err;

	tls_record_watch_context(ctx);
	policy->tickets = p->session_tickets != 0;
	if(b->args->role == TLS_ROLE_SERVER) {
		SSL_CTX_set_client_hello_cb(ctx, client_hello_cb, NULL);
		SSL_CTX_set_tlsext_servername_callback(ctx, server_name_cb);
		SSL_CTX_set_tlsext_status_cb(ctx, staple_cb);
	} else if(!policy->tickets) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	}
	if(p->alpn == NULL)
		return;
	if(tls_params_parse_alpn(p->alpn, policy->alpn, &policy->alpn_len, &err)
			!= TLS_RC_OK) {
		tls_err_prefix(&err, "alpn: ");
		complain(b, TLS_PROFILE_OPTION_alpn, &err);
	} else if(b->args->role == TLS_ROLE_SERVER) {
		SSL_CTX_set_alpn_select_cb(ctx, alpn_cb, policy);
	} else if(SSL_CTX_set_alpn_protos(
					  ctx, policy->alpn, (unsigned int)policy->alpn_len)
			  != 0) {
		tls_ossl_fail(&err, TLS_RC_NOMEM, "alpn: out of shared memory");
		complain(b, TLS_PROFILE_OPTION_alpn, &err);
	}
}

/* What holds for all profiles. */
static void setup_modes(struct build *b, SSL_CTX *ctx)
{
	const struct tls_settings *s = b->args->settings;
	unsigned int mode =
			SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
	struct tls_err err;

	if(s->ssl_release_buffers != 0)
		mode |= SSL_MODE_RELEASE_BUFFERS;
	SSL_CTX_set_mode(ctx, mode);
	SSL_CTX_set_options(ctx, options_of(s));
	/* The library makes two for clients that open several connections at once
	 * (RFC 8446 s4.6.1). A SIP client has one and gets a new ticket with each;
	 * the second one costs a twentieth of the handshake. */
	SSL_CTX_set_num_tickets(ctx, 1);
	if(s->ssl_read_ahead >= 0)
		SSL_CTX_set_read_ahead(ctx, s->ssl_read_ahead);
	SSL_CTX_set_session_cache_mode(
			ctx, b->args->role == TLS_ROLE_SERVER && s->session_cache
						 ? SSL_SESS_CACHE_SERVER
						 : SSL_SESS_CACHE_OFF);
	if(s->ssl_max_send_fragment <= 0
			|| SSL_CTX_set_max_send_fragment(ctx, s->ssl_max_send_fragment)
					   == 1)
		return;
	tls_ossl_fail(&err, TLS_RC_CONFIG,
			"ssl_max_send_fragment: %d is not within 512 to 16384",
			s->ssl_max_send_fragment);
	complain(b, TLS_PROFILE_OPTION_COUNT, &err);
}

/* ---- policies ---- */

static void policy_free(struct policy *policy)
{
	if(policy == NULL || atomic_fetch_sub(&policy->refs, 1) != 1)
		return;
	SSL_CTX_free(policy->ssl_ctx);
	OPENSSL_free(policy->cipher_list);
	OPENSSL_free(policy->ciphersuites);
	OPENSSL_free(policy->groups);
	OPENSSL_free(policy);
}

static void release_policy(void *object)
{
	policy_free(object);
}

/* Options that are no part of a policy: who the profile is. */
static bool is_identity(enum tls_profile_option option)
{
	static const enum tls_profile_option options[] = {
			TLS_PROFILE_OPTION_certificate, TLS_PROFILE_OPTION_private_key,
			TLS_PROFILE_OPTION_private_key_password,
			TLS_PROFILE_OPTION_certificate2, TLS_PROFILE_OPTION_private_key2,
			TLS_PROFILE_OPTION_private_key_password2,
			TLS_PROFILE_OPTION_ocsp_file, TLS_PROFILE_OPTION_ocsp_file2,
			TLS_PROFILE_OPTION_server_name, TLS_PROFILE_OPTION_server_name_mode,
			TLS_PROFILE_OPTION_server_id, TLS_PROFILE_OPTION_strict_sni,
			TLS_PROFILE_OPTION_sni};
	size_t i;

	for(i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if(option == options[i])
			return true;
	}
	return false;
}

/* Adds one value to the key of a policy; the length in front keeps any two
 * lists of texts apart. */
static bool add_text(char *out, size_t size, size_t *used, const char *text)
{
	const char *t = text != NULL ? text : "";
	int n = snprintf(out + *used, size - *used, " %zu:%s", strlen(t), t);

	if(n < 0 || (size_t)n >= size - *used)
		return false;
	*used += (size_t)n;
	return true;
}

static bool add_number(char *out, size_t size, size_t *used, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	return add_text(out, size, used, text);
}

#define KEY_BOOL(m_) add_number(out, size, &used, p->m_)
#define KEY_INT(m_) add_number(out, size, &used, p->m_)
#define KEY_STR(m_) add_text(out, size, &used, p->m_)
#define KEY_PATH(m_) add_text(out, size, &used, p->m_)
#define KEY_METHOD(m_)                            \
	(add_number(out, size, &used, (int)p->m_.min) \
			&& add_number(out, size, &used, (int)p->m_.max))
#define KEY_VERIFY(m_) add_number(out, size, &used, (int)p->m_)
#define KEY_OPTION(                                                     \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, secret_, doc_) \
	if(!is_identity(TLS_PROFILE_OPTION_##m_) && !KEY_##type_(m_))       \
		return 0;

/* Everything that a policy is made of, as text, into OUT; the number of bytes,
 * or 0 when it does not fit: then it is not shared. The settings are the same
 * for all profiles of a load. */
static size_t policy_key(
		const struct tls_ctx_args *args, char *out, size_t size)
{
	const struct tls_profile_params *p = args->params;
	size_t used = 0;

	if(!add_text(out, size, &used, "policy")
			|| !add_number(out, size, &used, (int)args->role))
		return 0;
	TLS_PROFILE_OPTIONS(KEY_OPTION)
	return used;
}

static struct policy *policy_new(struct build *b)
{
	struct policy *policy = OPENSSL_zalloc(sizeof(*policy));
	struct tls_err err;

	if(policy != NULL) {
		atomic_init(&policy->refs, 1);
		policy->ssl_ctx = SSL_CTX_new_ex(NULL, TLS_KDF_PROPERTIES,
				b->args->role == TLS_ROLE_SERVER ? TLS_server_method()
												 : TLS_client_method());
	}
	if(policy == NULL || policy->ssl_ctx == NULL) {
		tls_ossl_fail(&err, TLS_RC_NOMEM, "could not make a TLS context");
		complain(b, TLS_PROFILE_OPTION_COUNT, &err);
		policy_free(policy);
		return NULL;
	}
	setup_versions(b, policy->ssl_ctx);
	setup_algorithms(b, policy);
	setup_extensions(b, policy);
	setup_modes(b, policy->ssl_ctx);
	setup_trust(b, policy->ssl_ctx);
	digest_policy(b, policy);
	if(keep_ciphers(b, policy, &err) != TLS_RC_OK)
		complain(b, TLS_PROFILE_OPTION_COUNT, &err);
	return policy;
}

/* The policy of the profile: one that is there already, or a new one. */
static struct policy *policy_of(struct build *b)
{
	char key[8192];
	size_t n = policy_key(b->args, key, sizeof(key));
	struct policy *policy = n > 0 ? tls_files_find(b->files, key, n) : NULL;

	if(policy != NULL) {
		atomic_fetch_add(&policy->refs, 1);
		return policy;
	}
	policy = policy_new(b);
	if(policy == NULL || b->failed || n == 0)
		return policy;
	atomic_fetch_add(&policy->refs, 1);
	if(tls_files_add(b->files, key, n, policy, release_policy) != TLS_RC_OK)
		atomic_fetch_sub(&policy->refs, 1); /* then it is not shared */
	return policy;
}

/* ---- life ---- */

/* Builds all parts, also behind a mistake: one load shows every one. */
static struct tls_ctx *build(struct build *b)
{
	unsigned int refused = tls_mem_refused();
	struct tls_ctx *ctx;
	struct tls_err err;

	tls_ossl_begin();
	ctx = OPENSSL_zalloc(sizeof(*ctx));
	if(ctx == NULL) {
		tls_ossl_fail(&err, TLS_RC_NOMEM, "out of shared memory");
		complain(b, TLS_PROFILE_OPTION_COUNT, &err);
		return NULL;
	}
	ctx->magic = CTX_MAGIC;
	ctx->policy = policy_of(b);
	setup_identities(b, ctx);
	setup_staple(b, ctx, 0);
	setup_staple(b, ctx, 1);
	if(make_session_id(ctx, b->args, &err) != TLS_RC_OK)
		complain(b, TLS_PROFILE_OPTION_COUNT, &err);
	if(!b->failed && tls_mem_refused() != refused) {
		/* SSL_CTX_new() drops each algorithm that it has no memory to look at,
		 * and succeeds */
		tls_err_set(&err, TLS_RC_NOMEM, "out of shared memory");
		complain(b, TLS_PROFILE_OPTION_COUNT, &err);
	}
	return ctx;
}

enum tls_rc tls_ctx_new(struct tls_ctx **out, const struct tls_ctx_args *args,
		struct tls_err *err)
{
	struct build b = {.args = args, .files = args->files, .err = err};
	struct tls_files *own = NULL;
	struct tls_ctx *ctx;

	*out = NULL;
	if(b.files == NULL) {
		if(tls_files_new(&own) != TLS_RC_OK)
			return tls_ossl_fail(
					err, TLS_RC_NOMEM, "%s: out of shared memory", args->label);
		b.files = own;
	}
	ctx = build(&b);
	tls_files_free(&own);
	if(b.failed)
		tls_ctx_free(&ctx);
	ERR_clear_error();
	if(b.failed) {
		tls_err_prefix(err, "%s: ", args->label);
		return b.rc;
	}
	*out = ctx;
	return TLS_RC_OK;
}

void tls_ctx_free(struct tls_ctx **ctx)
{
	struct tls_ctx *c = *ctx;
	size_t i;

	*ctx = NULL;
	if(c == NULL || c->magic != CTX_MAGIC)
		return;
	c->magic = 0;
	for(i = 0; i < TLS_CTX_CERTIFICATES; i++) {
		tls_identity_free(&c->identities[i]);
		tls_ocsp_free(&c->staples[i]);
	}
	policy_free(c->policy);
	OPENSSL_free(c);
}

enum tls_rc tls_ctx_adopt(const struct tls_ctx *ctx, struct tls_files *files)
{
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	for(i = 0; rc == TLS_RC_OK && i < TLS_CTX_CERTIFICATES; i++) {
		if(ctx->identities[i] != NULL)
			rc = tls_files_adopt(files, ctx->identities[i]);
	}
	return rc;
}

enum tls_rc tls_ctx_use_own_key(
		struct tls_ctx *ctx, SSL *ssl, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	for(i = TLS_CTX_CERTIFICATES; rc == TLS_RC_OK && i-- > 0;) {
		if(ctx->identities[i] != NULL)
			rc = tls_identity_use_key(ctx->identities[i], ssl, err);
	}
	return rc;
}

enum tls_rc tls_ctx_new_ssl(
		struct tls_ctx_choice *choice, SSL **out, struct tls_err *err)
{
	struct tls_ctx *ctx = choice->ctx;
	SSL *ssl;
	enum tls_rc rc;

	*out = NULL;
	tls_ossl_begin();
	ssl = SSL_new(ctx->policy->ssl_ctx);
	if(ssl == NULL || SSL_set_ex_data(ssl, choice_index, choice) != 1
			|| SSL_set_session_id_context(
					   ssl, ctx->session_id, sizeof(ctx->session_id))
					   != 1) {
		SSL_free(ssl);
		return tls_ossl_fail(err, TLS_RC_NOMEM, "could not make a TLS session");
	}
	/* where a name may choose others, the ClientHello callback gives them */
	rc = choice->by_name != NULL ? TLS_RC_OK : use_identities(ctx, ssl, err);
	if(rc != TLS_RC_OK) {
		SSL_free(ssl);
		return rc;
	}
	*out = ssl;
	return TLS_RC_OK;
}

const unsigned char *tls_ctx_certificate_at(
		const struct tls_ctx *ctx, unsigned int index, size_t *n_out)
{
	*n_out = 0;
	return index < TLS_CTX_CERTIFICATES && ctx->identities[index] != NULL
				   ? tls_identity_certificate(ctx->identities[index], n_out)
				   : NULL;
}

int64_t tls_ctx_certificate_end(const struct tls_ctx *ctx, unsigned int index)
{
	return index < TLS_CTX_CERTIFICATES && ctx->identities[index] != NULL
				   ? tls_identity_not_after(ctx->identities[index])
				   : 0;
}

const unsigned char *tls_ctx_certificate_of(
		const struct tls_ctx *ctx, int type, size_t *n_out)
{
	unsigned int i;

	for(i = 0; i < TLS_CTX_CERTIFICATES; i++) {
		if(ctx->identities[i] != NULL
				&& tls_identity_type(ctx->identities[i]) == type)
			return tls_ctx_certificate_at(ctx, i, n_out);
	}
	return tls_ctx_certificate_at(ctx, 0, n_out);
}

const unsigned char *tls_ctx_certificate(
		const struct tls_ctx *ctx, size_t *n_out)
{
	return tls_ctx_certificate_at(ctx, 0, n_out);
}

const void *tls_ctx_store(const struct tls_ctx *ctx)
{
	return SSL_CTX_get_cert_store(ctx->policy->ssl_ctx);
}

/* Copies N bytes at DER to the caller of tls_ctx_chain_at. */
static bool give(const unsigned char *der, size_t n, unsigned char *out,
		size_t size, size_t *n_out)
{
	if(der == NULL || n == 0 || n > size)
		return false;
	memcpy(out, der, n);
	*n_out = n;
	return true;
}

/* The last one of the chain, behind the certificate of N bytes at DER. */
static bool give_anchor(const struct tls_ctx *ctx, const unsigned char *der,
		size_t n, unsigned char *out, size_t size, size_t *n_out)
{
	X509 *cert = d2i_X509(NULL, &der, (long)n);
	X509 *anchor = cert != NULL ? tls_files_issuer(
						   SSL_CTX_get_cert_store(ctx->policy->ssl_ctx), cert)
								: NULL;
	unsigned char *form = NULL;
	int length = anchor != NULL ? i2d_X509(anchor, &form) : 0;
	bool good = length > 0 && give(form, (size_t)length, out, size, n_out);

	OPENSSL_free(form);
	X509_free(anchor);
	X509_free(cert);
	ERR_clear_error();
	return good;
}

bool tls_ctx_chain_at(const struct tls_ctx *ctx, const struct tls_info *info,
		unsigned int index, unsigned char *out, size_t size, size_t *n_out)
{
	const unsigned char *last = info->peer_der;
	const unsigned char *at =
			info->between != NULL ? tls_der_bytes(info->between) : NULL;
	size_t left = info->between_len, n_last = info->peer_der_len;
	/* of a resumed session: the peer's own, and perhaps who signed it */
	unsigned int i, chain = info->chain != 0 ? info->chain : 2;

	*n_out = 0;
	if(!tls_info_peer_verified(info) || last == NULL || index >= chain)
		return false;
	tls_ossl_begin();
	for(i = 0; i < index && left > 0; i++) {
		const unsigned char *end = at;
		X509 *cert = d2i_X509(NULL, &end, (long)left);

		X509_free(cert);
		if(cert == NULL) {
			ERR_clear_error();
			return false;
		}
		last = at;
		n_last = (size_t)(end - at);
		left -= n_last;
		at = end;
	}
	if(i == index)
		return give(last, n_last, out, size, n_out);
	return give_anchor(ctx, last, n_last, out, size, n_out);
}

void tls_ctx_each_authority(const struct tls_ctx *ctx,
		void (*cb)(void *arg, const unsigned char *der, size_t n), void *arg)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx->policy->ssl_ctx);
	STACK_OF(X509_OBJECT) * objects;
	int i;

	tls_ossl_begin();
	if(X509_STORE_lock(store) != 1)
		return;
	objects = X509_STORE_get0_objects(store);
	for(i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
		unsigned char *der = NULL;
		int n = cert != NULL ? i2d_X509(cert, &der) : 0;

		if(n > 0)
			cb(arg, der, (size_t)n);
		OPENSSL_free(der);
	}
	(void)X509_STORE_unlock(store);
	ERR_clear_error();
}
