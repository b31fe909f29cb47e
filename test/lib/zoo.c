/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Makes strange certificates with the OpenSSL API; see zoo.h. */
#include "zoo.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki.h"

struct authority
{
	const char *name;
	EVP_PKEY *key;
	X509 *cert;
};

static struct authority ca = {"zoo-ca", NULL, NULL};
static struct authority stranger = {"zoo-stranger", NULL, NULL};
static EVP_PKEY *last_key;
static X509_CRL *crl;
static long serial = 1000;

static void need(bool good, const char *what)
{
	if(good)
		return;
	fprintf(stderr, "zoo: %s\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

static EVP_PKEY *make_key(const char *algorithm)
{
	EVP_PKEY *key;

	if(algorithm != NULL && !strcmp(algorithm, "RSA"))
		key = EVP_RSA_gen(2048);
	else if(algorithm != NULL && !strcmp(algorithm, "ED25519"))
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else
		key = EVP_EC_gen("P-256");
	need(key != NULL, "key");
	return key;
}

/* ---- alternative names ---- */

static ASN1_STRING *text_value(int type, const char *text, size_t n)
{
	ASN1_STRING *value = ASN1_STRING_type_new(type);
	char buf[512];
	size_t i;

	need(n < sizeof(buf), "long name");
	for(i = 0; i < n; i++)
		buf[i] = text[i] == '^' ? '\0' : text[i];
	need(value != NULL && ASN1_STRING_set(value, buf, (int)n) == 1, "name");
	return value;
}

static void add_ip(GENERAL_NAME *name, const char *text, size_t n)
{
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	unsigned char ip[16];
	char host[64];
	int n_ip = 4;

	snprintf(host, sizeof(host), "%.*s", (int)n, text);
	if(inet_pton(AF_INET, host, ip) != 1) {
		need(inet_pton(AF_INET6, host, ip) == 1, host);
		n_ip = 16;
	}
	need(ASN1_OCTET_STRING_set(value, ip, n_ip) == 1, "address");
	GENERAL_NAME_set0_value(name, GEN_IPADD, value);
}

static void add_name(GENERAL_NAMES *names, const char *text, size_t n)
{
	GENERAL_NAME *name = GENERAL_NAME_new();

	need(name != NULL, "name");
	if(!strncmp(text, "DNS:", 4))
		GENERAL_NAME_set0_value(
				name, GEN_DNS, text_value(V_ASN1_IA5STRING, text + 4, n - 4));
	else if(!strncmp(text, "URI:", 4))
		GENERAL_NAME_set0_value(
				name, GEN_URI, text_value(V_ASN1_IA5STRING, text + 4, n - 4));
	else if(!strncmp(text, "EMAIL:", 6))
		GENERAL_NAME_set0_value(
				name, GEN_EMAIL, text_value(V_ASN1_IA5STRING, text + 6, n - 6));
	else if(!strncmp(text, "IP:", 3))
		add_ip(name, text + 3, n - 3);
	else
		need(false, text);
	need(sk_GENERAL_NAME_push(names, name) > 0, "name");
}

/* The extension with the bytes of the hexadecimal TEXT as its value. */
static void add_raw(X509 *cert, const char *text)
{
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *ext;
	long n = 0;
	unsigned char *bytes = OPENSSL_hexstr2buf(text[0] ? text : "00", &n);

	if(text[0] == '\0')
		n = 0;

	need(bytes != NULL && ASN1_OCTET_STRING_set(value, bytes, (int)n) == 1,
			text);
	ext = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, value);
	need(ext != NULL && X509_add_ext(cert, ext, -1) == 1, text);
	X509_EXTENSION_free(ext);
	ASN1_OCTET_STRING_free(value);
	OPENSSL_free(bytes);
}

static void add_sans(X509 *cert, const char *text)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool twice = false;
	size_t n;

	if(!strncmp(text, "RAW:", 4)) {
		GENERAL_NAMES_free(names);
		add_raw(cert, text + 4);
		return;
	}
	for(; *text != '\0'; text += n + (text[n] == ',')) {
		n = strcspn(text, ",");
		if(!strncmp(text, "TWICE", 5))
			twice = true;
		else
			add_name(names, text, n);
	}
	need(X509_add1_ext_i2d(
				 cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND)
					== 1,
			"alternative names");
	if(twice)
		need(X509_add1_ext_i2d(
					 cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND)
						== 1,
				"alternative names, twice");
	GENERAL_NAMES_free(names);
}

/* ---- certificates ---- */

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	need(ext != NULL && X509_add_ext(cert, ext, -1) == 1, value);
	X509_EXTENSION_free(ext);
}

static X509 *blank(const char *cn, EVP_PKEY *key, long from, long to)
{
	X509 *cert = X509_new();
	X509_NAME *name = cert != NULL ? X509_get_subject_name(cert) : NULL;

	need(name != NULL, cn);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	if(from == 0 && to == 0) {
		from = -2 * ZOO_DAY;
		to = 2 * ZOO_DAY;
	}
	X509_gmtime_adj(X509_getm_notBefore(cert), from);
	X509_gmtime_adj(X509_getm_notAfter(cert), to);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(
			name, "O", MBSTRING_ASC, (const unsigned char *)"Zoo", -1, -1, 0);
	if(cn[0] != '\0')
		X509_NAME_add_entry_by_txt(
				name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	return cert;
}

static void sign(X509 *cert, const X509 *issuer, EVP_PKEY *key)
{
	const EVP_MD *md =
			EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();

	X509_set_issuer_name(
			cert, X509_get_subject_name(issuer != NULL ? issuer : cert));
	need(X509_sign(cert, key, md) > 0, "signature");
}

static void save(const char *name, const char *suffix, X509 *cert, bool more)
{
	char file[128];
	BIO *bio;

	snprintf(file, sizeof(file), "%s%s", name, suffix);
	bio = BIO_new_file(pki_path(file), more ? "a" : "w");
	need(bio != NULL && PEM_write_bio_X509(bio, cert) == 1, file);
	BIO_free(bio);
}

/* A CA of NAME, signed by ISSUER or by itself. */
static void make_ca(struct authority *out, const struct authority *issuer)
{
	out->key = make_key(NULL);
	out->cert = blank(out->name, out->key, 0, 0);
	add_extension(out->cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(out->cert, NID_key_usage, "keyCertSign,cRLSign");
	sign(out->cert, issuer != NULL ? issuer->cert : NULL,
			issuer != NULL ? issuer->key : out->key);
}

static void free_ca(struct authority *authority)
{
	X509_free(authority->cert);
	EVP_PKEY_free(authority->key);
}

void zoo_init(void)
{
	if(ca.cert != NULL)
		return;
	make_ca(&ca, NULL);
	make_ca(&stranger, NULL);
	save(ca.name, ".pem", ca.cert, false);
	save(stranger.name, ".pem", stranger.cert, false);
}

void zoo_authority(enum zoo_issuer which, X509 **cert, EVP_PKEY **key)
{
	const struct authority *from = which == ZOO_CA ? &ca : &stranger;

	*cert = from->cert;
	*key = from->key;
}

void zoo_revoke(X509 *cert)
{
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *then = X509_gmtime_adj(NULL, -ZOO_DAY);

	if(crl == NULL)
		crl = X509_CRL_new();
	need(entry != NULL && then != NULL && crl != NULL, "revocation");
	X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert));
	X509_REVOKED_set_revocationDate(entry, then);
	need(X509_CRL_add0_revoked(crl, entry) == 1, "revocation");
	ASN1_TIME_free(then);
}

void zoo_crl(void)
{
	ASN1_TIME *from = X509_gmtime_adj(NULL, -ZOO_DAY);
	ASN1_TIME *to = X509_gmtime_adj(NULL, ZOO_DAY);
	BIO *bio = BIO_new_file(pki_path("zoo-crl.pem"), "w");

	if(crl == NULL)
		crl = X509_CRL_new();
	need(crl != NULL && bio != NULL, "crl");
	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca.cert));
	X509_CRL_set1_lastUpdate(crl, from);
	X509_CRL_set1_nextUpdate(crl, to);
	X509_CRL_sort(crl);
	need(X509_CRL_sign(crl, ca.key, EVP_sha256()) > 0
					&& PEM_write_bio_X509_CRL(bio, crl) == 1,
			"crl");
	BIO_free(bio);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
}

static void save_key(const char *name, EVP_PKEY *key)
{
	char file[128];
	BIO *bio;

	snprintf(file, sizeof(file), "%s.key", name);
	bio = BIO_new_file(pki_path(file), "w");
	need(bio != NULL
					&& PEM_write_bio_PrivateKey(
							   bio, key, NULL, NULL, 0, NULL, NULL)
							   == 1,
			file);
	BIO_free(bio);
}

/* Signs CERT through SPEC->between new CAs and saves it with them. */
static void sign_and_save(
		const struct zoo_spec *spec, X509 *cert, const struct authority *root)
{
	static const char *const names[] = {
			"zoo-1", "zoo-2", "zoo-3", "zoo-4", "zoo-5", "zoo-6"};
	struct authority chain[6];
	const struct authority *issuer = root;
	int i;

	need(spec->between <= 6, "a chain of at most 6");
	for(i = 0; i < spec->between; i++) {
		chain[i].name = names[i];
		make_ca(&chain[i], issuer);
		issuer = &chain[i];
	}
	sign(cert, issuer->cert, issuer->key);
	save(spec->name, ".pem", cert, false);
	for(i = spec->between - 1; i >= 0; i--) {
		save(spec->name, ".pem", chain[i].cert, true);
		free_ca(&chain[i]);
	}
}

X509 *zoo_make(const struct zoo_spec *spec)
{
	EVP_PKEY *key = make_key(spec->algorithm);
	X509 *cert = blank(spec->cn != NULL ? spec->cn : spec->name, key,
			spec->from, spec->to);

	zoo_init();
	add_extension(cert, NID_basic_constraints, "critical,CA:FALSE");
	if(spec->san != NULL)
		add_sans(cert, spec->san);
	if(spec->eku != NULL)
		add_extension(cert, NID_ext_key_usage, spec->eku);
	if(spec->usage != NULL)
		add_extension(cert, NID_key_usage, spec->usage);
	if(spec->must_staple)
		add_extension(cert, NID_tlsfeature, "status_request");
	if(spec->issuer == ZOO_SELF) {
		sign(cert, NULL, key);
		save(spec->name, ".pem", cert, false);
	} else {
		sign_and_save(spec, cert, spec->issuer == ZOO_CA ? &ca : &stranger);
	}
	if(spec->revoked)
		zoo_revoke(cert);
	save_key(spec->name, key);
	EVP_PKEY_free(last_key);
	last_key = key;
	return cert;
}

EVP_PKEY *zoo_key(void)
{
	return last_key;
}

void zoo_pin(char hex[65])
{
	unsigned char *der = NULL, sum[32];
	int n = i2d_PUBKEY(last_key, &der);
	unsigned int i;

	need(n > 0
					&& EVP_Digest(der, (size_t)n, sum, NULL, EVP_sha256(), NULL)
							   == 1,
			"pin");
	for(i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	OPENSSL_free(der);
}

SSL_CTX *zoo_raw_ctx(int end, const char *name)
{
	SSL_CTX *ctx =
			SSL_CTX_new(end == 0 ? TLS_server_method() : TLS_client_method());
	char file[128];

	need(ctx != NULL, name);
	snprintf(file, sizeof(file), "%s.pem", name);
	need(SSL_CTX_use_certificate_chain_file(ctx, pki_path(file)) == 1, file);
	snprintf(file, sizeof(file), "%s.key", name);
	need(SSL_CTX_use_PrivateKey_file(ctx, pki_path(file), SSL_FILETYPE_PEM)
					== 1,
			file);
	return ctx;
}
