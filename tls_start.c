/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Taking OpenSSL into service; see tls_start.h. */

#include "tls_start.h"

#include "tls_ctx.h"
#include "tls_kdf.h"
#include "tls_ossl.h"
#include "tls_record.h"

/* Flights of a handshake between two peers in one process: far more than any
 * version needs, so that a library that does not get on cannot hang us. */
#define ROUNDS_MAX 20

static const unsigned char probe[] = "warm-up";

/* A self-signed certificate for KEY, valid for a day. NULL on failure. */
static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name;

	if(cert == NULL)
		return NULL;
	name = X509_get_subject_name(cert);
	if(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) != 1
			|| X509_gmtime_adj(X509_getm_notBefore(cert), 0) == NULL
			|| X509_gmtime_adj(X509_getm_notAfter(cert), 86400) == NULL
			|| X509_set_pubkey(cert, key) != 1
			|| X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					   (const unsigned char *)"warm-up", -1, -1, 0)
					   != 1
			|| X509_set_issuer_name(cert, name) != 1
			|| X509_sign(cert, key, EVP_sha256()) == 0) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

/* One end of a memory pair: NULL on failure. */
static SSL *make_end(SSL_CTX *ctx, BIO *bio)
{
	SSL *ssl = SSL_new(ctx);

	if(ssl == NULL) {
		BIO_free(bio);
		return NULL;
	}
	SSL_set_bio(ssl, bio, bio); /* takes it over */
	return ssl;
}

static bool shake(SSL *server, SSL *client)
{
	unsigned char buf[sizeof(probe)];
	bool done = false;
	int i;

	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	for(i = 0; i < ROUNDS_MAX && !done; i++) {
		int c = SSL_do_handshake(client);
		int s = SSL_do_handshake(server);
		done = c == 1 && s == 1;
	}
	return done && SSL_write(client, probe, sizeof(probe)) == sizeof(probe)
		   && SSL_read(server, buf, sizeof(buf)) == sizeof(buf)
		   && SSL_write(server, probe, sizeof(probe)) == sizeof(probe)
		   && SSL_read(client, buf, sizeof(buf)) == sizeof(buf);
}

/* One handshake at exactly VERSION. */
static bool run_version(SSL_CTX *server_ctx, SSL_CTX *client_ctx, int version)
{
	BIO *server_bio = NULL;
	BIO *client_bio = NULL;
	SSL *server = NULL;
	SSL *client = NULL;
	bool ok = false;

	if(SSL_CTX_set_min_proto_version(client_ctx, version) != 1
			|| SSL_CTX_set_max_proto_version(client_ctx, version) != 1
			|| BIO_new_bio_pair(&server_bio, 0, &client_bio, 0) != 1)
		return false;
	server = make_end(server_ctx, server_bio);
	client = make_end(client_ctx, client_bio);
	if(server != NULL && client != NULL)
		ok = shake(server, client);
	SSL_free(server);
	SSL_free(client);
	return ok;
}

/* Algorithms that the handshakes below do not use, but those of peers may. What
 * a library does not have is no error. */
static void fetch_others(void)
{
	static const char *const keys[] = {
			"RSA", "RSA-PSS", "DH", "X25519", "X448", "ED25519", "ED448"};
	static const char *const groups[] = {"X25519MLKEM768"};
	size_t i;

	for(i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		EVP_KEYMGMT_free(EVP_KEYMGMT_fetch(NULL, keys[i], TLS_KDF_PROPERTIES));
		EVP_SIGNATURE_free(
				EVP_SIGNATURE_fetch(NULL, keys[i], TLS_KDF_PROPERTIES));
		EVP_KEYEXCH_free(EVP_KEYEXCH_fetch(NULL, keys[i], TLS_KDF_PROPERTIES));
		EVP_ASYM_CIPHER_free(
				EVP_ASYM_CIPHER_fetch(NULL, keys[i], TLS_KDF_PROPERTIES));
	}
	for(i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		EVP_KEM_free(EVP_KEM_fetch(NULL, groups[i], TLS_KDF_PROPERTIES));
	ERR_clear_error();
}

static enum tls_rc warm_up(struct tls_err *err)
{
	SSL_CTX *server = NULL;
	SSL_CTX *client = NULL;
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	enum tls_rc rc = TLS_RC_TLS;

	tls_ossl_begin();
	fetch_others();
	key = EVP_EC_gen("P-256");
	cert = key != NULL ? make_certificate(key) : NULL;
	server = SSL_CTX_new_ex(NULL, TLS_KDF_PROPERTIES, TLS_server_method());
	client = SSL_CTX_new_ex(NULL, TLS_KDF_PROPERTIES, TLS_client_method());
	if(cert == NULL || server == NULL || client == NULL
			|| SSL_CTX_use_certificate(server, cert) != 1
			|| SSL_CTX_use_PrivateKey(server, key) != 1) {
		tls_ossl_fail(err, rc, "could not prepare the TLS library");
		goto out;
	}
	if(!run_version(server, client, TLS1_2_VERSION)
			|| !run_version(server, client, TLS1_3_VERSION)) {
		tls_ossl_fail(err, rc, "the TLS library fails its first handshake");
		goto out;
	}
	rc = TLS_RC_OK;
out:
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

enum tls_rc tls_start_library(struct tls_err *err)
{
	enum tls_rc rc = tls_ossl_init(err);

	if(rc == TLS_RC_OK)
		rc = tls_record_init(err);
	if(rc == TLS_RC_OK && tls_ctx_init() != TLS_RC_OK)
		rc = tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	if(rc == TLS_RC_OK)
		rc = warm_up(err);
	tls_kdf_forget(); /* or each child would inherit what it cannot free */
	return rc;
}

enum tls_rc tls_start_check(bool force, struct tls_err *err)
{
	enum tls_rc rc = tls_ossl_check_version(force, err);

	return rc == TLS_RC_OK ? tls_ossl_check_locks(err) : rc;
}
