/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Makes the tests' keys and certificates with the OpenSSL API; see pki.h.
 * Ends the process on any failure. */
#include "pki.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 86400L

struct leaf
{
	const char *name;
	const char *algorithm; /* as EVP_PKEY_Q_keygen calls it */
	long not_after;		   /* seconds from now */
	bool revoked;
	EVP_PKEY *key;
	X509 *cert;
};

static struct leaf leaves[] = {
		{"ec", "EC", 2 * DAY, false, NULL, NULL},
		{"rsa", "RSA", 2 * DAY, false, NULL, NULL},
		{"ed", "ED25519", 2 * DAY, false, NULL, NULL},
		{"revoked", "EC", 2 * DAY, true, NULL, NULL},
		{"expired", "EC", -DAY, false, NULL, NULL},
};
#define N_LEAVES (sizeof(leaves) / sizeof(leaves[0]))

static char dir[PKI_PATH_MAX / 2];
static pid_t owner;
static EVP_PKEY *ca_key;
static X509 *ca_cert;
static long serial = 1;

static void die(const char *what) __attribute__((noreturn));

static void die(const char *what)
{
	fprintf(stderr, "pki: %s\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

static void need(bool good, const char *what)
{
	if(!good)
		die(what);
}

/* ---- the folder ---- */

const char *pki_path(const char *file)
{
	static char paths[16][PKI_PATH_MAX];
	static unsigned int turn;
	char *path = paths[turn++ % 16];

	snprintf(path, PKI_PATH_MAX, "%s/%s", dir, file);
	return path;
}

/* Children of fork tests end too, and must leave the folder alone. */
static void remove_dir(void)
{
	struct dirent *entry;
	DIR *d;

	if(getpid() != owner || (d = opendir(dir)) == NULL)
		return;
	while((entry = readdir(d)) != NULL) {
		if(entry->d_name[0] == '.')
			continue;
		if(unlink(pki_path(entry->d_name)) != 0)
			rmdir(pki_path(entry->d_name));
	}
	closedir(d);
	rmdir(dir);
}

static void make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	if(tmp == NULL || tmp[0] == '\0')
		tmp = access("build", W_OK) == 0 ? "build" : ".";
	snprintf(dir, sizeof(dir), "%s/tls-unit-XXXXXX", tmp);
	need(mkdtemp(dir) != NULL, "no scratch folder");
	owner = getpid();
	need(atexit(remove_dir) == 0, "no exit handler");
}

const char *pki_write(const char *file, const void *data, size_t n)
{
	const char *path = pki_path(file);
	FILE *f = fopen(path, "w");

	need(f != NULL, path);
	need(fwrite(data, 1, n, f) == n && fclose(f) == 0, path);
	return path;
}

static void copy_into(FILE *to, const char *file)
{
	char buf[4096];
	size_t n;
	FILE *from;

	if(file == NULL)
		return;
	from = fopen(pki_path(file), "r");
	need(from != NULL, file);
	while((n = fread(buf, 1, sizeof(buf), from)) > 0)
		need(fwrite(buf, 1, n, to) == n, file);
	fclose(from);
}

const char *pki_join(const char *file, const char *a, const char *b)
{
	const char *path = pki_path(file);
	FILE *to = fopen(path, "w");

	need(to != NULL, path);
	copy_into(to, a);
	copy_into(to, b);
	need(fclose(to) == 0, path);
	return path;
}

static BIO *create(const char *name, const char *suffix)
{
	char file[64];
	BIO *bio;

	snprintf(file, sizeof(file), "%s%s", name, suffix);
	bio = BIO_new_file(pki_path(file), "w");
	need(bio != NULL, file);
	return bio;
}

/* ---- keys and certificates ---- */

static EVP_PKEY *make_key(const char *algorithm)
{
	if(!strcmp(algorithm, "RSA"))
		return EVP_RSA_gen(2048);
	if(!strcmp(algorithm, "EC"))
		return EVP_EC_gen("P-256");
	return EVP_PKEY_Q_keygen(NULL, NULL, algorithm);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	need(ext != NULL && X509_add_ext(cert, ext, -1) == 1, value);
	X509_EXTENSION_free(ext);
}

/* A certificate of SUBJECT for KEY; ISSUER NULL means self-signed CA. */
static X509 *make_cert(const char *subject, EVP_PKEY *key, X509 *issuer,
		EVP_PKEY *issuer_key, long not_after)
{
	X509 *cert = X509_new();
	X509_NAME *name;

	need(cert != NULL, subject);
	name = X509_get_subject_name(cert);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), -2 * DAY);
	X509_gmtime_adj(X509_getm_notAfter(cert), not_after);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
			(const unsigned char *)subject, -1, -1, 0);
	X509_set_issuer_name(
			cert, issuer != NULL ? X509_get_subject_name(issuer) : name);
	add_extension(cert, issuer != NULL ? issuer : cert, NID_basic_constraints,
			issuer != NULL ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if(issuer != NULL)
		add_extension(cert, issuer, NID_subject_alt_name, "DNS:unit.example");
	else
		add_extension(cert, cert, NID_key_usage, "keyCertSign,cRLSign");
	need(X509_sign(cert, issuer_key, EVP_sha256()) > 0, subject);
	return cert;
}

static void save_cert(const char *name, X509 *cert)
{
	BIO *bio = create(name, ".pem");

	need(PEM_write_bio_X509(bio, cert) == 1, name);
	BIO_free(bio);
}

static void make_leaf(struct leaf *leaf)
{
	BIO *bio;

	leaf->key = make_key(leaf->algorithm);
	need(leaf->key != NULL, leaf->name);
	leaf->cert =
			make_cert(leaf->name, leaf->key, ca_cert, ca_key, leaf->not_after);
	save_cert(leaf->name, leaf->cert);
	bio = create(leaf->name, ".key");
	need(PEM_write_bio_PrivateKey(bio, leaf->key, NULL, NULL, 0, NULL, NULL)
					== 1,
			leaf->name);
	BIO_free(bio);
}

static void add_revoked(X509_CRL *crl, X509 *cert)
{
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -DAY);

	need(entry != NULL && now != NULL, "revocation");
	X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert));
	X509_REVOKED_set_revocationDate(entry, now);
	need(X509_CRL_add0_revoked(crl, entry) == 1, "revocation");
	ASN1_TIME_free(now);
}

static void make_crl(void)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *from = X509_gmtime_adj(NULL, -DAY);
	ASN1_TIME *to = X509_gmtime_adj(NULL, 2 * DAY);
	BIO *bio = create("crl", ".pem");
	size_t i;

	need(crl != NULL && from != NULL && to != NULL, "crl");
	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca_cert));
	X509_CRL_set1_lastUpdate(crl, from);
	X509_CRL_set1_nextUpdate(crl, to);
	for(i = 0; i < N_LEAVES; i++) {
		if(leaves[i].revoked)
			add_revoked(crl, leaves[i].cert);
	}
	X509_CRL_sort(crl);
	need(X509_CRL_sign(crl, ca_key, EVP_sha256()) > 0, "crl");
	need(PEM_write_bio_X509_CRL(bio, crl) == 1, "crl");
	BIO_free(bio);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	X509_CRL_free(crl);
}

void pki_init(void)
{
	EVP_PKEY *other_key;
	X509 *other;
	size_t i;

	if(ca_cert != NULL)
		return;
	make_dir();
	ca_key = make_key("EC");
	other_key = make_key("EC");
	need(ca_key != NULL && other_key != NULL, "CA keys");
	ca_cert = make_cert("Unit CA", ca_key, NULL, ca_key, 2 * DAY);
	save_cert("ca", ca_cert);
	other = make_cert("Stranger CA", other_key, NULL, other_key, 2 * DAY);
	save_cert("other-ca", other);
	X509_free(other);
	EVP_PKEY_free(other_key);
	for(i = 0; i < N_LEAVES; i++)
		make_leaf(&leaves[i]);
	make_crl();
}

static struct leaf *find_leaf(const char *name)
{
	size_t i;

	pki_init();
	for(i = 0; i < N_LEAVES; i++) {
		if(!strcmp(leaves[i].name, name))
			return &leaves[i];
	}
	die(name);
}

EVP_PKEY *pki_key(const char *name)
{
	return find_leaf(name)->key;
}

X509 *pki_cert(const char *name)
{
	return find_leaf(name)->cert;
}

X509 *pki_ca(void)
{
	pki_init();
	return ca_cert;
}

const char *pki_encrypt(
		const char *file, const char *name, const char *password)
{
	BIO *bio = create(file, "");

	need(PEM_write_bio_PrivateKey(bio, pki_key(name), EVP_aes_256_cbc(),
				 (const unsigned char *)password, (int)strlen(password), NULL,
				 NULL)
					== 1,
			file);
	BIO_free(bio);
	return pki_path(file);
}
