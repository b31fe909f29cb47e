/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Contexts of profiles; see tls_ctx.h. */

#include "tls_ctx.h"

#include <stdbool.h>
#include <string.h>

#include "tls_ossl.h"
#include "tls_port.h"
#include "tls_record.h"
#include "tls_verify.h"

#define CTX_MAGIC 0x74637830U /* "tcx0" */

/* First byte of the cipher suites of TLS 1.3, RFC 8446 B.4. */
#define TLS13_SUITES 0x13

struct tls_ctx
{
	unsigned int magic;
	SSL_CTX *ssl_ctx;  /* owned */
	char *cipher_list; /* owned; what ssl_ctx came to have, without TLS 1.3 */
	unsigned char session_id[SHA256_DIGEST_LENGTH]; /* of all sessions */
	unsigned char *key_der; /* owned, secret; NULL without a key */
	size_t key_len;
	unsigned char *cert_der; /* owned; NULL without a certificate */
	size_t cert_len;
	unsigned int processes; /* slots in keys */
	EVP_PKEY **keys;		/* owned; slot i is used by process i only */
};

static int choice_index = -1; /* ex_data of SSL: its tls_ctx_choice */

enum tls_rc tls_ctx_init(void)
{
	if(choice_index < 0)
		choice_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return choice_index < 0 ? TLS_RC_NOMEM : tls_verify_init();
}

/* ---- files ---- */

/* What the PEM reader asked for and got. */
struct password
{
	const char *text; /* borrowed; NULL when none is configured */
	bool asked;
};

static int password_cb(char *buf, int size, int rwflag, void *arg)
{
	struct password *password = arg;
	size_t n;

	(void)rwflag;
	password->asked = true;
	if(password->text == NULL)
		return -1;
	n = strlen(password->text);
	if(size < 0 || n > (size_t)size)
		return -1;
	memcpy(buf, password->text, n);
	return (int)n;
}

/* A read-only BIO over the whole of a file that tls_ossl_read_file gave. */
static BIO *bio_over(const unsigned char *buf, size_t n)
{
	return BIO_new_mem_buf(buf, (int)n); /* TLS_OSSL_FILE_MAX < INT_MAX */
}

/* Loads the private key file of PARAMS into *OUT. */
static enum tls_rc load_key(EVP_PKEY **out,
		const struct tls_profile_params *params, struct tls_err *err)
{
	struct password password = {params->private_key_password, false};
	const char *path = params->private_key;
	unsigned char *buf = NULL;
	size_t n = 0;
	BIO *bio;
	enum tls_rc rc;

	*out = NULL;
	rc = tls_ossl_read_file("private_key", path, &buf, &n, err);
	if(rc != TLS_RC_OK)
		return rc;
	bio = bio_over(buf, n);
	if(bio != NULL)
		*out = PEM_read_bio_PrivateKey(bio, NULL, password_cb, &password);
	BIO_free(bio);
	tls_ossl_release_file(&buf, n);
	if(*out != NULL)
		return TLS_RC_OK;
	if(bio == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "private_key: out of memory");
	if(password.asked && password.text == NULL) {
		ERR_clear_error();
		return tls_err_set(err, TLS_RC_CONFIG,
				"private_key: \"%s\" is encrypted and private_key_password is "
				"not set; set it or store the key without a password",
				path);
	}
	return tls_ossl_fail(err, TLS_RC_CONFIG,
			password.asked
					? "private_key: could not decrypt \"%s\" with the "
					  "configured private_key_password"
					: "private_key: \"%s\" holds no private key in PEM form",
			path);
}

/* Puts the chain of FILE into CTX: the own certificate first. */
static enum tls_rc use_chain(
		SSL_CTX *ctx, BIO *bio, const char *path, struct tls_err *err)
{
	X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	unsigned long code;

	if(cert == NULL)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"certificate: \"%s\" holds no certificate in PEM form", path);
	if(SSL_CTX_use_certificate(ctx, cert) != 1) {
		X509_free(cert);
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"certificate: the library refuses the first certificate of "
				"\"%s\"",
				path);
	}
	X509_free(cert); /* the context holds a reference */
	while((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		if(SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
			X509_free(cert);
			return tls_ossl_fail(err, TLS_RC_CONFIG,
					"certificate: the library refuses a chain certificate of "
					"\"%s\"",
					path);
		}
	}
	code = ERR_peek_last_error();
	if(ERR_GET_LIB(code) == ERR_LIB_PEM
			&& ERR_GET_REASON(code) == PEM_R_NO_START_LINE) {
		ERR_clear_error(); /* the ordinary end of the file */
		return TLS_RC_OK;
	}
	return tls_ossl_fail(err, TLS_RC_CONFIG,
			"certificate: \"%s\" has a damaged certificate in its chain", path);
}

static enum tls_rc load_chain(
		SSL_CTX *ctx, const char *path, struct tls_err *err)
{
	unsigned char *buf = NULL;
	size_t n = 0;
	BIO *bio;
	enum tls_rc rc;

	rc = tls_ossl_read_file("certificate", path, &buf, &n, err);
	if(rc != TLS_RC_OK)
		return rc;
	bio = bio_over(buf, n);
	if(bio == NULL)
		rc = tls_ossl_fail(err, TLS_RC_NOMEM, "certificate: out of memory");
	else
		rc = use_chain(ctx, bio, path, err);
	BIO_free(bio);
	tls_ossl_release_file(&buf, n);
	return rc;
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

/* The versions that CTX speaks. A context without any cipher for TLS 1.2 and
 * older (a system's CipherString that matches nothing) speaks 1.3 only: an
 * empty list cannot be given to a connection, and it would keep the ciphers
 * of the profile that it began with. */
static bool set_versions(SSL *ssl, const struct tls_ctx *ctx)
{
	SSL_CTX *to = ctx->ssl_ctx;
	int min = (int)SSL_CTX_get_min_proto_version(to);

	if(ctx->cipher_list[0] == '\0')
		min = TLS1_3_VERSION;
	return SSL_set_min_proto_version(ssl, min) == 1
		   && SSL_set_max_proto_version(
					  ssl, (int)SSL_CTX_get_max_proto_version(to))
					  == 1;
}

/* SSL_set_SSL_CTX brings the stores and all that belongs to the certificate:
 * signature algorithms, security level, DH. Everything else that a profile
 * sets has to be carried over by hand (hazard 10). What only the system's
 * policy sets (groups, suites of TLS 1.3, options) is the same in all
 * contexts. */
static bool switch_context(SSL *ssl, const struct tls_ctx *ctx)
{
	SSL_CTX *to = ctx->ssl_ctx;

	if(SSL_set_SSL_CTX(ssl, to) == NULL)
		return false;
	tls_verify_move(ssl, to);
	return SSL_set_session_id_context(
				   ssl, ctx->session_id, sizeof(ctx->session_id))
				   == 1
		   && set_versions(ssl, ctx)
		   && (ctx->cipher_list[0] == '\0'
				   || SSL_set_cipher_list(ssl, ctx->cipher_list) == 1);
}

/* The ClientHello callback: early enough for versions and ciphers, which the
 * servername callback is not. Runs again after a HelloRetryRequest. */
static int client_hello_cb(SSL *ssl, int *alert, void *arg)
{
	struct tls_ctx_choice *choice = SSL_get_ex_data(ssl, choice_index);
	const unsigned char *extension;
	struct tls_ctx *ctx;
	char name[256];
	size_t n;

	(void)arg;
	if(choice == NULL || choice->by_name == NULL
			|| SSL_client_hello_get0_ext(
					   ssl, TLSEXT_TYPE_server_name, &extension, &n)
					   != 1
			|| !read_name(extension, n, name))
		return SSL_CLIENT_HELLO_SUCCESS;
	ctx = choice->by_name(choice->arg, name);
	if(ctx == NULL || ctx == choice->ctx)
		return SSL_CLIENT_HELLO_SUCCESS;
	if(!switch_context(ssl, ctx)
			|| tls_ctx_use_own_key(ctx, ssl, NULL) != TLS_RC_OK) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	choice->ctx = ctx;
	return SSL_CLIENT_HELLO_SUCCESS;
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

/* ---- parts of a context ---- */

/* Keeps KEY as bytes, so that each process can make its own object. */
static enum tls_rc keep_key(
		struct tls_ctx *ctx, EVP_PKEY *key, struct tls_err *err)
{
	int n = i2d_PrivateKey(key, &ctx->key_der);

	if(n <= 0)
		return tls_ossl_fail(
				err, TLS_RC_TLS, "private_key: could not store the key");
	ctx->key_len = (size_t)n;
	ctx->processes = tls_port_processes();
	ctx->keys = OPENSSL_zalloc(ctx->processes * sizeof(*ctx->keys));
	if(ctx->keys == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "private_key: out of memory");
	return TLS_RC_OK;
}

static enum tls_rc keep_certificate(struct tls_ctx *ctx, struct tls_err *err)
{
	X509 *cert = SSL_CTX_get0_certificate(ctx->ssl_ctx);
	int n;

	if(cert == NULL)
		return TLS_RC_OK;
	n = i2d_X509(cert, &ctx->cert_der);
	if(n <= 0)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "certificate: out of memory");
	ctx->cert_len = (size_t)n;
	return TLS_RC_OK;
}

/* Certificate and key; they must belong together. */
static enum tls_rc setup_identity(struct tls_ctx *ctx,
		const struct tls_profile_params *params, struct tls_err *err)
{
	EVP_PKEY *key = NULL;
	enum tls_rc rc;

	if(params->certificate2 != NULL || params->private_key2 != NULL)
		return tls_err_set(err, TLS_RC_CONFIG,
				"certificate2: this version serves one certificate per "
				"profile; remove certificate2 and private_key2");
	if(params->certificate == NULL && params->private_key != NULL)
		return tls_err_set(err, TLS_RC_CONFIG,
				"private_key: \"%s\" is set but certificate is not",
				params->private_key);
	if(params->certificate == NULL)
		return TLS_RC_OK;
	rc = load_chain(ctx->ssl_ctx, params->certificate, err);
	if(rc != TLS_RC_OK)
		return rc;
	if(params->private_key == NULL)
		return tls_err_set(err, TLS_RC_CONFIG,
				"certificate: \"%s\" is set but private_key is not",
				params->certificate);
	rc = load_key(&key, params, err);
	if(rc != TLS_RC_OK)
		return rc;
	if(X509_check_private_key(SSL_CTX_get0_certificate(ctx->ssl_ctx), key) != 1)
		rc = tls_ossl_fail(err, TLS_RC_CONFIG,
				"private_key: \"%s\" does not belong to the certificate "
				"\"%s\"",
				params->private_key, params->certificate);
	else
		rc = keep_key(ctx, key, err);
	EVP_PKEY_free(key);
	return rc == TLS_RC_OK ? keep_certificate(ctx, err) : rc;
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

static enum tls_rc setup_crl(
		SSL_CTX *ctx, const char *path, struct tls_err *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if(lookup == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "crl: out of memory");
	if(X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) <= 0)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"crl: could not read revocation lists from \"%s\"", path);
	X509_STORE_set_flags(
			store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return TLS_RC_OK;
}

static enum tls_rc setup_trust(SSL_CTX *ctx, enum tls_role role,
		const struct tls_profile_params *params, struct tls_err *err)
{
	enum tls_rc rc = tls_verify_setup(ctx, role, params, err);

	if(rc != TLS_RC_OK)
		return rc;
	if(tls_verify_asks(params) && params->ca_list == NULL
			&& params->ca_path == NULL
			&& params->verify_client != TLS_VERIFY_CLIENT_OPTIONAL_NO_CA)
		tls_port_log(TLS_LOG_WARN,
				"a profile verifies peers but trusts nobody: set ca_list or "
				"ca_path, or every certificate is refused");
	/* OpenSSL waits for ever for a writer of a FIFO, and believes in every
	 * directory until somebody connects. */
	if(params->ca_list != NULL)
		rc = tls_ossl_check_path("ca_list", params->ca_list, false, err);
	if(rc == TLS_RC_OK && params->ca_path != NULL)
		rc = tls_ossl_check_path("ca_path", params->ca_path, true, err);
	if(rc == TLS_RC_OK && params->crl != NULL)
		rc = tls_ossl_check_path("crl", params->crl, false, err);
	if(rc != TLS_RC_OK)
		return rc;
	if(params->ca_list != NULL
			&& SSL_CTX_load_verify_file(ctx, params->ca_list) != 1)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"ca_list: could not read CA certificates from \"%s\"",
				params->ca_list);
	if(params->ca_path != NULL
			&& SSL_CTX_load_verify_dir(ctx, params->ca_path) != 1)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"ca_path: could not use the directory \"%s\"", params->ca_path);
	if(params->ca_list != NULL && role == TLS_ROLE_SERVER)
		rc = setup_ca_names(ctx, params->ca_list, err);
	if(rc == TLS_RC_OK && params->crl != NULL)
		rc = setup_crl(ctx, params->crl, err);
	return rc;
}

/* One text of the session id context with its end, so that no two lists of
 * texts look alike. */
static bool digest_text(EVP_MD_CTX *md, const char *text)
{
	const char *t = text != NULL ? text : "";

	return EVP_DigestUpdate(md, t, strlen(t) + 1) == 1;
}

/* A session made under one profile or one verify policy must not be resumed
 * under another (hazard 11): its context is a digest of both. */
static enum tls_rc setup_sessions(struct tls_ctx *ctx,
		const struct tls_ctx_args *args, struct tls_err *err)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	enum tls_rc rc = TLS_RC_OK;
	bool good;

	good = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1
		   && digest_text(md, args->settings->session_id)
		   && digest_text(md, args->label);
	if(good)
		rc = tls_verify_digest(md, args->params, err);
	good = good && rc == TLS_RC_OK
		   && EVP_DigestFinal_ex(md, ctx->session_id, NULL) == 1
		   && SSL_CTX_set_session_id_context(
					  ctx->ssl_ctx, ctx->session_id, sizeof(ctx->session_id))
					  == 1;
	EVP_MD_CTX_free(md);
	if(rc != TLS_RC_OK)
		return rc;
	if(!good)
		return tls_ossl_fail(
				err, TLS_RC_TLS, "could not set the session id context");
	SSL_CTX_set_session_cache_mode(ctx->ssl_ctx,
			args->role == TLS_ROLE_SERVER && args->settings->session_cache
					? SSL_SESS_CACHE_SERVER
					: SSL_SESS_CACHE_OFF);
	return TLS_RC_OK;
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

/* Names of the ciphers for TLS 1.2 and older that CTX came to have, by the
 * profile, the system's policy (openssl.cnf) or the library, as
 * SSL_set_cipher_list reads them; for connections that a name moves here. */
static enum tls_rc keep_ciphers(struct tls_ctx *ctx, struct tls_err *err)
{
	const STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx->ssl_ctx);
	size_t size = 1;
	char *at;
	int i;

	for(i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
		size += strlen(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i)))
				+ 1;
	ctx->cipher_list = at = OPENSSL_zalloc(size);
	if(at == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	for(i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
		size_t n = strlen(SSL_CIPHER_get_name(cipher));

		if(SSL_CIPHER_get_protocol_id(cipher) >> 8 == TLS13_SUITES)
			continue;
		if(at != ctx->cipher_list)
			*at++ = ':';
		memcpy(at, SSL_CIPHER_get_name(cipher), n);
		at += n;
	}
	return TLS_RC_OK;
}

static enum tls_rc setup_protocol(
		struct tls_ctx *c, const struct tls_ctx_args *args, struct tls_err *err)
{
	SSL_CTX *ctx = c->ssl_ctx;
	const struct tls_profile_params *p = args->params;
	const struct tls_settings *s = args->settings;
	unsigned int mode =
			SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;

	if(SSL_CTX_set_min_proto_version(ctx, (int)p->method.min) != 1
			|| SSL_CTX_set_max_proto_version(ctx, (int)p->method.max) != 1)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"method: this library does not offer that protocol version");
	if(p->cipher_list != NULL
			&& SSL_CTX_set_cipher_list(ctx, p->cipher_list) != 1)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"cipher_list: \"%s\" selects no cipher of this library",
				p->cipher_list);
	tls_record_watch_context(ctx);
	if(args->role == TLS_ROLE_SERVER) {
		SSL_CTX_set_client_hello_cb(ctx, client_hello_cb, NULL);
		SSL_CTX_set_tlsext_servername_callback(ctx, server_name_cb);
	}
	if(s->ssl_release_buffers != 0)
		mode |= SSL_MODE_RELEASE_BUFFERS;
	SSL_CTX_set_mode(ctx, mode);
	SSL_CTX_set_options(ctx, options_of(s));
	SSL_CTX_set_dh_auto(ctx, 1);
	if(s->ssl_read_ahead >= 0)
		SSL_CTX_set_read_ahead(ctx, s->ssl_read_ahead);
	if(s->ssl_max_send_fragment > 0
			&& SSL_CTX_set_max_send_fragment(ctx, s->ssl_max_send_fragment)
					   != 1)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"ssl_max_send_fragment: %d is not within 512 to 16384",
				s->ssl_max_send_fragment);
	return keep_ciphers(c, err);
}

/* ---- life ---- */

enum tls_rc tls_ctx_new(struct tls_ctx **out, const struct tls_ctx_args *args,
		struct tls_err *err)
{
	struct tls_ctx *ctx;
	enum tls_rc rc;

	*out = NULL;
	tls_ossl_begin();
	ctx = OPENSSL_zalloc(sizeof(*ctx));
	if(ctx == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	ctx->magic = CTX_MAGIC;
	ctx->ssl_ctx =
			SSL_CTX_new(args->role == TLS_ROLE_SERVER ? TLS_server_method()
													  : TLS_client_method());
	if(ctx->ssl_ctx == NULL)
		rc = tls_ossl_fail(err, TLS_RC_NOMEM, "could not make a TLS context");
	else
		rc = setup_protocol(ctx, args, err);
	if(rc == TLS_RC_OK)
		rc = setup_identity(ctx, args->params, err);
	if(rc == TLS_RC_OK)
		rc = setup_trust(ctx->ssl_ctx, args->role, args->params, err);
	if(rc == TLS_RC_OK)
		rc = setup_sessions(ctx, args, err);
	if(rc != TLS_RC_OK) {
		tls_err_prefix(err, "%s: ", args->label);
		tls_ctx_free(&ctx);
		ERR_clear_error();
		return rc;
	}
	*out = ctx;
	return TLS_RC_OK;
}

void tls_ctx_free(struct tls_ctx **ctx)
{
	struct tls_ctx *c = *ctx;
	unsigned int i;

	*ctx = NULL;
	if(c == NULL || c->magic != CTX_MAGIC)
		return;
	c->magic = 0;
	for(i = 0; c->keys != NULL && i < c->processes; i++)
		EVP_PKEY_free(c->keys[i]);
	OPENSSL_free(c->keys);
	OPENSSL_clear_free(c->key_der, c->key_len);
	OPENSSL_free(c->cert_der);
	OPENSSL_free(c->cipher_list);
	SSL_CTX_free(c->ssl_ctx);
	OPENSSL_free(c);
}

/* The key object of this process, made at first use; NULL on failure. */
static EVP_PKEY *own_key(struct tls_ctx *ctx)
{
	const unsigned char *der = ctx->key_der;
	unsigned int self = tls_port_process();

	if(ctx->keys[self] == NULL)
		ctx->keys[self] = d2i_AutoPrivateKey(NULL, &der, (long)ctx->key_len);
	return ctx->keys[self];
}

enum tls_rc tls_ctx_use_own_key(
		struct tls_ctx *ctx, SSL *ssl, struct tls_err *err)
{
	EVP_PKEY *key;

	if(ctx->key_der == NULL)
		return TLS_RC_OK;
	if(tls_port_process() >= ctx->processes)
		return tls_err_set(err, TLS_RC_BUG,
				"process %u was not announced by the host", tls_port_process());
	tls_ossl_begin();
	key = own_key(ctx);
	if(key == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM,
				"could not make this process's private key object");
	if(SSL_use_PrivateKey(ssl, key) != 1)
		return tls_ossl_fail(err, TLS_RC_TLS, "could not use the private key");
	return TLS_RC_OK;
}

enum tls_rc tls_ctx_new_ssl(
		struct tls_ctx_choice *choice, SSL **out, struct tls_err *err)
{
	SSL *ssl;
	enum tls_rc rc;

	*out = NULL;
	tls_ossl_begin();
	ssl = SSL_new(choice->ctx->ssl_ctx);
	if(ssl == NULL || SSL_set_ex_data(ssl, choice_index, choice) != 1) {
		SSL_free(ssl);
		return tls_ossl_fail(err, TLS_RC_NOMEM, "could not make a TLS session");
	}
	rc = tls_ctx_use_own_key(choice->ctx, ssl, err);
	if(rc != TLS_RC_OK) {
		SSL_free(ssl);
		return rc;
	}
	*out = ssl;
	return TLS_RC_OK;
}

const unsigned char *tls_ctx_certificate(
		const struct tls_ctx *ctx, size_t *n_out)
{
	*n_out = ctx->cert_len;
	return ctx->cert_der;
}
