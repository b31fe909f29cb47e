/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Many certificates and their tls.cfg; see hostmany.h.
 * One process, no lock. */
#define _GNU_SOURCE
#include "hostmany.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define PATH_ROOM 640
#define LIFE_S (60L * 86400) /* longer than any warning of the module */

const char *many_name(int i, char out[MANY_NAME_MAX])
{
	snprintf(out, MANY_NAME_MAX, "n%05d.example.org", i % 100000);
	return out;
}

static X509 *make_certificate(EVP_PKEY *key, const char *name, long serial)
{
	X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;

	if(cert && X509_set_version(cert, X509_VERSION_3)
			&& ASN1_INTEGER_set(X509_get_serialNumber(cert), serial)
			&& X509_gmtime_adj(X509_getm_notBefore(cert), -3600)
			&& X509_gmtime_adj(X509_getm_notAfter(cert), LIFE_S)
			&& X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
					(const unsigned char *)name, -1, -1, 0)
			&& X509_set_issuer_name(cert, subject) && X509_set_pubkey(cert, key)
			&& X509_sign(cert, key, EVP_sha256()))
		return cert;
	X509_free(cert);
	return NULL;
}

/* Writes CERT, or else KEY, beside PATH and then in its place. */
static bool replace(const char *path, X509 *cert, EVP_PKEY *key)
{
	char aside[PATH_ROOM + 8];
	FILE *f;
	bool good;

	snprintf(aside, sizeof(aside), "%.600s.new", path);
	f = fopen(aside, "w");
	if(!f)
		return false;
	good = cert ? PEM_write_X509(f, cert) == 1
				: PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
	return fclose(f) == 0 && good && rename(aside, path) == 0;
}

bool many_certificate(
		const char *pem, const char *key, const char *name, long serial)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *cert = pkey ? make_certificate(pkey, name, serial) : NULL;
	bool good = cert && replace(pem, cert, NULL) && replace(key, NULL, pkey);

	X509_free(cert);
	EVP_PKEY_free(pkey);
	return good;
}

bool many_certificates(const char *dir, int n, long serial)
{
	char name[MANY_NAME_MAX];
	char pem[PATH_ROOM];
	char key[PATH_ROOM];
	int i;

	for(i = 0; i < n; i++) {
		snprintf(pem, sizeof(pem), "%.500s/n%05d.pem", dir, i);
		snprintf(key, sizeof(key), "%.500s/n%05d.key", dir, i);
		if(!many_certificate(pem, key, many_name(i, name), serial + i))
			return false;
	}
	return true;
}

bool many_config(const char *path, const char *dir, int n, const char *extra)
{
	char name[MANY_NAME_MAX];
	FILE *f = fopen(path, "w");
	int i;

	if(!f)
		return false;
	fprintf(f,
			"[server:default]\nmethod = TLSv1.2+\ncertificate = %s/n00000.pem\n"
			"private_key = %s/n00000.key\n[client:default]\n"
			"method = TLSv1.2+\n",
			dir, dir);
	for(i = 0; i < n; i++)
		fprintf(f,
				"[server:any]\nserver_name = %s\ncertificate = %s/n%05d.pem\n"
				"private_key = %s/n%05d.key\n%s",
				many_name(i, name), dir, i, dir, i, extra ? extra : "");
	return fclose(f) == 0;
}
