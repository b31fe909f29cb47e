/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Files of profiles, read once; see tls_files.h. */

#include "tls_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tls_foreign.h"
#include "tls_keys.h"
#include "tls_leaf.h"
#include "tls_mem.h"
#include "tls_ossl.h"
#include "tls_port.h"

#define IDENTITY_MAGIC 0x74696430U /* "tid0" */

/* Attempts to type a password. */
#define PASSWORD_TRIES 3

/* Tells whether a file is still the one that was read. */
struct stamp
{
	uint64_t device, inode, size;
	int64_t s, ns;
};

struct tls_identity
{
	unsigned int magic;
	atomic_uint refs;
	unsigned char digest[SHA256_DIGEST_LENGTH]; /* of what was asked for */
	struct stamp stamps[2];						/* certificate, key */
	unsigned char *cert_der;					/* owned */
	size_t cert_len;
	STACK_OF(X509) * chain; /* owned, may be NULL; without the own one */
	_Atomic(X509 *) cert;	/* owned; made at first use */
	struct tls_key *key;	/* owned */
	int type;
	int bits;
	int security_bits; /* of the weakest of key, certificate and chain */
	int64_t not_after;
};

/* ---- the index ---- */

/* Of a key pair. */
enum half
{
	HALF_PUBLIC = 0,
	HALF_PRIVATE,
	HALVES
};

struct entry
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	void *object; /* NULL: free */
	bool adopted; /* and nobody has asked for it yet */
	void (*release)(void *object);
};

struct tls_files
{
	struct entry *table; /* owned; open addressing */
	size_t size;		 /* power of 2, twice the entries or more */
	size_t n;
	/* Readers of keys, made once: making one costs as much as reading five
	 * keys with it. They write to decoded. */
	OSSL_DECODER_CTX *decoders[HALVES][2]; /* owned; of RSA and EC keys */
	EVP_PKEY *decoded;
	struct tls_keys *keys; /* counted; that of the load before, or a new one */
	size_t n_read;		   /* identities, from files */
	size_t n_kept;		   /* identities, adopted and asked for */
};

size_t tls_files_read(const struct tls_files *files)
{
	return files->n_read;
}

size_t tls_files_kept(const struct tls_files *files)
{
	return files->n_kept;
}

enum tls_rc tls_files_new(struct tls_files **out)
{
	struct tls_files *files = OPENSSL_zalloc(sizeof(*files));

	*out = NULL;
	if(files == NULL)
		return TLS_RC_NOMEM;
	files->size = 64;
	files->table = OPENSSL_zalloc(files->size * sizeof(*files->table));
	if(files->table == NULL) {
		OPENSSL_free(files);
		return TLS_RC_NOMEM;
	}
	*out = files;
	return TLS_RC_OK;
}

void tls_files_free(struct tls_files **files)
{
	struct tls_files *f = *files;
	size_t i;

	*files = NULL;
	if(f == NULL)
		return;
	for(i = 0; i < f->size; i++) {
		if(f->table[i].object != NULL)
			f->table[i].release(f->table[i].object);
	}
	for(i = 0; i < HALVES; i++) {
		OSSL_DECODER_CTX_free(f->decoders[i][0]);
		OSSL_DECODER_CTX_free(f->decoders[i][1]);
	}
	tls_keys_unref(&f->keys);
	OPENSSL_free(f->table);
	OPENSSL_free(f);
}

/* The slot of DIGEST in TABLE, or the free one where it would be. */
static struct entry *slot_of(struct entry *table, size_t size,
		const unsigned char digest[SHA256_DIGEST_LENGTH])
{
	size_t i;

	memcpy(&i, digest, sizeof(i));
	for(i &= size - 1; table[i].object != NULL; i = (i + 1) & (size - 1)) {
		if(memcmp(table[i].digest, digest, SHA256_DIGEST_LENGTH) == 0)
			break;
	}
	return &table[i];
}

static bool grow(struct tls_files *f)
{
	size_t size = f->size * 2;
	struct entry *table;
	size_t i;

	if((f->n + 1) * 2 <= f->size)
		return true;
	table = OPENSSL_zalloc(size * sizeof(*table));
	if(table == NULL)
		return false;
	for(i = 0; i < f->size; i++) {
		if(f->table[i].object != NULL)
			*slot_of(table, size, f->table[i].digest) = f->table[i];
	}
	OPENSSL_free(f->table);
	f->table = table;
	f->size = size;
	return true;
}

static enum tls_rc add_digest(struct tls_files *f,
		const unsigned char digest[SHA256_DIGEST_LENGTH], void *object,
		void (*release)(void *object))
{
	struct entry *slot;

	if(!grow(f))
		return TLS_RC_NOMEM;
	slot = slot_of(f->table, f->size, digest);
	if(slot->object != NULL)
		slot->release(slot->object);
	else
		f->n++;
	memcpy(slot->digest, digest, sizeof(slot->digest));
	slot->object = object;
	slot->adopted = false;
	slot->release = release;
	return TLS_RC_OK;
}

void *tls_files_find(
		const struct tls_files *files, const void *key, size_t size)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256(key, size, digest);
	return slot_of(files->table, files->size, digest)->object;
}

enum tls_rc tls_files_add(struct tls_files *files, const void *key, size_t size,
		void *object, void (*release)(void *object))
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256(key, size, digest);
	return add_digest(files, digest, object, release);
}

/* Digest of the N texts, each with its end so that no two lists look alike;
 * TAG keeps the kinds of objects apart. */
static bool digest_of(unsigned char out[SHA256_DIGEST_LENGTH], const char *tag,
		const char *const *texts, size_t n)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1
				&& EVP_DigestUpdate(md, tag, strlen(tag) + 1) == 1;
	const char *text;
	size_t i;

	for(i = 0; good && i < n; i++) {
		text = texts[i] != NULL ? texts[i] : "";
		good = EVP_DigestUpdate(md, text, strlen(text) + 1) == 1;
	}
	good = good && EVP_DigestFinal_ex(md, out, NULL) == 1;
	EVP_MD_CTX_free(md);
	return good;
}

/* ---- trust ---- */

/* The CAs that the system trusts: its bundle and its directory, as OpenSSL was
 * built or its environment says. The directory is read when it is needed. */
static enum tls_rc add_system(X509_STORE *store, struct tls_err *err)
{
	struct stat st;
	const char *dir = X509_get_default_cert_dir();
	const char *file = X509_get_default_cert_file();

	if((stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
			&& (stat(file, &st) != 0 || !S_ISREG(st.st_mode)))
		return tls_err_set(err, TLS_RC_CONFIG,
				"ca_list: " TLS_PARAMS_SYSTEM_CA
				": this system has neither \"%s\" nor \"%s\" (install "
				"ca-certificates)",
				file, dir);
	if(X509_STORE_set_default_paths(store) != 1)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"ca_list: could not use the CAs of the system");
	ERR_clear_error(); /* a missing bundle beside the directory */
	return TLS_RC_OK;
}

static enum tls_rc add_ca_list(
		X509_STORE *store, const char *path, struct tls_err *err)
{
	enum tls_rc rc;

	if(strcasecmp(path, TLS_PARAMS_SYSTEM_CA) == 0)
		return add_system(store, err);
	/* OpenSSL waits for ever for a writer of a FIFO */
	rc = tls_ossl_check_path("ca_list", path, false, err);
	if(rc == TLS_RC_OK && X509_STORE_load_file(store, path) != 1)
		rc = tls_ossl_fail(err, TLS_RC_CONFIG,
				"ca_list: could not read CA certificates from \"%s\"", path);
	return rc;
}

static enum tls_rc add_crl_file(
		X509_STORE *store, const char *path, struct tls_err *err)
{
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
	enum tls_rc rc;

	if(lookup == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "crl: out of memory");
	rc = tls_ossl_check_path("crl", path, false, err);
	if(rc == TLS_RC_OK
			&& X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) <= 0)
		rc = tls_ossl_fail(err, TLS_RC_CONFIG,
				"crl: could not read revocation lists from \"%s\"", path);
	return rc;
}

/* Every regular file of the directory PATH but hidden ones; at least one. */
static enum tls_rc add_crl_dir(
		X509_STORE *store, const char *path, struct tls_err *err)
{
	DIR *dir = opendir(path);
	enum tls_rc rc = TLS_RC_OK;
	struct dirent *entry;
	char file[4096];
	struct stat st;
	size_t n = 0;
	int length;

	if(dir == NULL)
		return tls_err_set(
				err, TLS_RC_CONFIG, "crl: could not open \"%s\": %m", path);
	while(rc == TLS_RC_OK && (entry = readdir(dir)) != NULL) {
		length = snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		if(entry->d_name[0] == '.' || length < 0
				|| (size_t)length >= sizeof(file) || stat(file, &st) != 0
				|| !S_ISREG(st.st_mode))
			continue;
		rc = add_crl_file(store, file, err);
		n++;
	}
	closedir(dir);
	if(rc == TLS_RC_OK && n == 0)
		rc = tls_err_set(err, TLS_RC_CONFIG,
				"crl: the directory \"%s\" has no file in it", path);
	return rc;
}

static enum tls_rc add_crl(X509_STORE *store,
		const struct tls_profile_params *params, struct tls_err *err)
{
	unsigned long flags = X509_V_FLAG_CRL_CHECK;
	struct stat st;
	enum tls_rc rc;

	if(stat(params->crl, &st) == 0 && S_ISDIR(st.st_mode))
		rc = add_crl_dir(store, params->crl, err);
	else
		rc = add_crl_file(store, params->crl, err);
	if(params->crl_check == NULL || strcasecmp(params->crl_check, "leaf") != 0)
		flags |= X509_V_FLAG_CRL_CHECK_ALL;
	X509_STORE_set_flags(store, flags);
	return rc;
}

static enum tls_rc fill_store(X509_STORE *store,
		const struct tls_profile_params *params,
		enum tls_profile_option *option, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;

	if(params->ca_list != NULL) {
		*option = TLS_PROFILE_OPTION_ca_list;
		rc = add_ca_list(store, params->ca_list, err);
	}
	if(rc == TLS_RC_OK && params->ca_path != NULL) {
		*option = TLS_PROFILE_OPTION_ca_path;
		/* it believes in every directory until somebody connects */
		rc = tls_ossl_check_path("ca_path", params->ca_path, true, err);
		if(rc == TLS_RC_OK && X509_STORE_load_path(store, params->ca_path) != 1)
			rc = tls_ossl_fail(err, TLS_RC_CONFIG,
					"ca_path: could not use the directory \"%s\"",
					params->ca_path);
	}
	if(rc == TLS_RC_OK && params->crl != NULL) {
		*option = TLS_PROFILE_OPTION_crl;
		rc = add_crl(store, params, err);
	}
	return rc;
}

static void release_store(void *object)
{
	X509_STORE_free(object);
}

enum tls_rc tls_files_store(struct tls_files *files,
		const struct tls_profile_params *params, X509_STORE **out,
		enum tls_profile_option *option, struct tls_err *err)
{
	const char *const texts[] = {
			params->ca_list, params->ca_path, params->crl, params->crl_check};
	unsigned char digest[SHA256_DIGEST_LENGTH];
	X509_STORE *store = NULL;
	enum tls_rc rc = TLS_RC_NOMEM;

	*out = NULL;
	*option = TLS_PROFILE_OPTION_ca_list;
	if(!digest_of(digest, "store", texts, 4))
		goto out;
	store = slot_of(files->table, files->size, digest)->object;
	if(store != NULL) {
		X509_STORE_up_ref(store);
		*out = store;
		return TLS_RC_OK;
	}
	store = X509_STORE_new();
	if(store == NULL)
		goto out;
	rc = fill_store(store, params, option, err);
	if(rc != TLS_RC_OK) {
		X509_STORE_free(store);
		return rc;
	}
	rc = add_digest(files, digest, store, release_store);
	if(rc == TLS_RC_OK) {
		X509_STORE_up_ref(store);
		*out = store;
		store = NULL;
	}
out:
	X509_STORE_free(store);
	return rc == TLS_RC_OK
				   ? rc
				   : tls_ossl_fail(err, rc, "ca_list: out of shared memory");
}

/* ---- certificates ---- */

static bool is_certificate(const char *name)
{
	return strcmp(name, PEM_STRING_X509) == 0
		   || strcmp(name, PEM_STRING_X509_TRUSTED) == 0
		   || strcmp(name, PEM_STRING_X509_OLD) == 0;
}

static void release_cert(void *object)
{
	X509_free(object);
}

static void note_strength(struct tls_identity *id, int bits)
{
	if(id->security_bits == 0 || bits < id->security_bits)
		id->security_bits = bits;
}

/* What the signature of CERT is worth; nobody looks at that of a root. */
static void note_signature(struct tls_identity *id, X509 *cert)
{
	int bits = 0;

	if(X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert))
					!= 0
			&& X509_get_signature_info(cert, NULL, NULL, &bits, NULL) == 1)
		note_strength(id, bits);
}

/* Adds the certificate of N bytes at DER to the chain of ID. Profiles of one
 * CA share what stands behind their own certificates. */
static enum tls_rc add_to_chain(struct tls_files *files,
		struct tls_identity *id, const unsigned char *der, long n)
{
	X509 *cert = tls_files_find(files, der, (size_t)n);
	const unsigned char *at = der;
	enum tls_rc rc;

	if(cert == NULL) {
		cert = d2i_X509(NULL, &at, n);
		if(cert == NULL)
			return TLS_RC_CONFIG;
		rc = tls_files_add(files, der, (size_t)n, cert, release_cert);
		if(rc != TLS_RC_OK) {
			X509_free(cert);
			return rc;
		}
	}
	note_signature(id, cert);
	note_strength(id, EVP_PKEY_get_security_bits(X509_get0_pubkey(cert)));
	if(id->chain == NULL)
		id->chain = sk_X509_new_null();
	if(id->chain == NULL || X509_up_ref(cert) != 1)
		return TLS_RC_NOMEM;
	if(sk_X509_push(id->chain, cert) > 0)
		return TLS_RC_OK;
	X509_free(cert);
	return TLS_RC_NOMEM;
}

/* One half of a key of TYPE in the N bytes at DER: a SubjectPublicKeyInfo or a
 * plain PKCS #8 block. NULL: somebody slower has to look. */
static EVP_PKEY *decode_key(struct tls_files *files, enum half half, int type,
		const unsigned char *der, size_t n)
{
	bool rsa = type == EVP_PKEY_RSA, whole = half == HALF_PRIVATE;
	OSSL_DECODER_CTX **decoder = &files->decoders[half][rsa ? 0 : 1];
	EVP_PKEY *key;

	if(!rsa && type != EVP_PKEY_EC)
		return NULL;
	if(*decoder == NULL)
		*decoder = OSSL_DECODER_CTX_new_for_pkey(&files->decoded, "DER",
				whole ? "PrivateKeyInfo" : "SubjectPublicKeyInfo",
				rsa ? "RSA" : "EC",
				whole ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, NULL, NULL);
	files->decoded = NULL;
	if(*decoder == NULL || OSSL_DECODER_from_data(*decoder, &der, &n) != 1) {
		ERR_clear_error();
		EVP_PKEY_free(files->decoded);
		files->decoded = NULL;
	}
	key = files->decoded;
	files->decoded = NULL;
	return key;
}

/* Keeps a certificate as bytes in ID and its key for the caller in *KEY, which
 * stays NULL when OpenSSL knows no such key. */
static enum tls_rc keep_certificate(struct tls_identity *id,
		const unsigned char *der, long n, EVP_PKEY **key)
{
	const unsigned char *at = der;
	X509 *cert = d2i_X509_AUX(NULL, &at, n);
	enum tls_rc rc = TLS_RC_OK;
	struct tm end;
	int length;

	if(cert == NULL)
		return TLS_RC_CONFIG;
	length = i2d_X509(cert, &id->cert_der);
	if(length <= 0 || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1) {
		rc = length <= 0 ? TLS_RC_NOMEM : TLS_RC_CONFIG;
	} else {
		id->cert_len = (size_t)length;
		note_signature(id, cert);
		id->not_after = (int64_t)timegm(&end);
		*key = X509_get_pubkey(cert);
	}
	X509_free(cert);
	return rc;
}

/* The same for an ordinary certificate, and several times as fast. False: it is
 * not one of these, or memory is short, and nothing has been kept. */
static bool keep_ordinary(struct tls_files *files, struct tls_identity *id,
		const unsigned char *der, size_t n, EVP_PKEY **key)
{
	struct tls_leaf leaf;

	if(!tls_leaf_read(der, n, &leaf))
		return false;
	*key = decode_key(files, HALF_PUBLIC, leaf.type, leaf.spki, leaf.n_spki);
	if(*key != NULL)
		id->cert_der = OPENSSL_memdup(der, n);
	if(id->cert_der != NULL) {
		id->cert_len = n;
		id->not_after = leaf.not_after;
		if(leaf.signature_bits > 0)
			note_strength(id, leaf.signature_bits);
	} else {
		EVP_PKEY_free(*key);
		*key = NULL;
	}
	tls_leaf_clear(&leaf);
	return id->cert_der != NULL;
}

/* Takes one block of the file. The first certificate is the own one, and *KEY
 * its key. */
static enum tls_rc take_block(struct tls_files *files, struct tls_identity *id,
		const char *name, const unsigned char *der, long n, EVP_PKEY **key)
{
	if(!is_certificate(name))
		return TLS_RC_OK; /* a key in the same file, for one */
	if(id->cert_der != NULL)
		return add_to_chain(files, id, der, n);
	if(strcmp(name, PEM_STRING_X509_TRUSTED) != 0
			&& keep_ordinary(files, id, der, (size_t)n, key))
		return TLS_RC_OK;
	return keep_certificate(id, der, n, key);
}

/* Reads all blocks of BIO: the own certificate first. */
static enum tls_rc read_chain(struct tls_files *files, struct tls_identity *id,
		BIO *bio, const char *path, EVP_PKEY **key, struct tls_err *err)
{
	unsigned char *der = NULL;
	char *name = NULL, *header = NULL;
	enum tls_rc rc = TLS_RC_OK;
	unsigned long code;
	long n;

	while(rc == TLS_RC_OK && PEM_read_bio(bio, &name, &header, &der, &n) == 1) {
		rc = take_block(files, id, name, der, n, key);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)n); /* it may be a key */
		name = header = NULL;
		der = NULL;
	}
	if(rc == TLS_RC_NOMEM)
		return tls_ossl_fail(err, rc, "certificate: out of memory");
	if(id->cert_der == NULL)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"certificate: \"%s\" holds no certificate in PEM form", path);
	code = ERR_peek_last_error();
	if(rc != TLS_RC_OK || ERR_GET_LIB(code) != ERR_LIB_PEM
			|| ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
		return tls_ossl_fail(err, TLS_RC_CONFIG,
				"certificate: \"%s\" has a damaged certificate in its chain",
				path);
	ERR_clear_error(); /* the ordinary end of the file */
	return TLS_RC_OK;
}

/* A read-only BIO over the whole of a file that tls_ossl_read_file gave. */
static BIO *bio_over(const unsigned char *buf, size_t n)
{
	return BIO_new_mem_buf(buf, (int)n); /* TLS_OSSL_FILE_MAX < INT_MAX */
}

static enum tls_rc load_chain(struct tls_files *files, struct tls_identity *id,
		const char *path, EVP_PKEY **key, struct tls_err *err)
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
		rc = read_chain(files, id, bio, path, key, err);
	BIO_free(bio);
	tls_ossl_release_file(&buf, n);
	return rc;
}

/* ---- keys ---- */

/* What the PEM reader asked for and got. */
struct password
{
	const struct tls_identity_args *args;
	bool asked;
	bool alone; /* nobody is there to be asked */
};

/* Whether somebody may sit in front of us: OpenSSL would else ask whatever the
 * standard input is, and wait; and a program in the background of its terminal
 * is stopped when it reads. */
static bool has_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	bool good = fd >= 0 && tcgetpgrp(fd) == getpgrp();

	if(fd >= 0)
		close(fd);
	return good;
}

static int password_cb(char *buf, int size, int rwflag, void *arg)
{
	struct password *password = arg;
	const char *text = password->args->password;
	char prompt[512];
	size_t n;

	(void)rwflag;
	password->asked = true;
	if(text == NULL && password->args->ask) {
		password->alone = !has_terminal();
		if(password->alone)
			return -1;
		snprintf(prompt, sizeof(prompt),
				"Password of %s: ", password->args->private_key);
		if(EVP_read_pw_string_min(buf, 1, size, prompt, 0) != 0)
			return -1;
		return (int)strnlen(buf, (size_t)size);
	}
	if(text == NULL)
		return -1;
	n = strlen(text);
	if(size < 0 || n > (size_t)size)
		return -1;
	memcpy(buf, text, n);
	return (int)n;
}

/* Says why no key came out of the file. */
static enum tls_rc no_key(const struct password *password, struct tls_err *err)
{
	const char *path = password->args->private_key;

	if(password->asked && password->args->password == NULL) {
		ERR_clear_error();
		if(password->alone)
			return tls_err_set(err, TLS_RC_CONFIG,
					"private_key: \"%s\" is encrypted and there is no "
					"terminal to ask for its password (key_password_mode); "
					"start in the foreground with -DD, or set "
					"private_key_password",
					path);
		return tls_err_set(err, TLS_RC_CONFIG,
				password->args->ask
						? "private_key: \"%s\" is encrypted and no right "
						  "password was typed"
						: "private_key: \"%s\" is encrypted and "
						  "private_key_password is not set; set it or store "
						  "the key without a password",
				path);
	}
	return tls_ossl_fail(err, TLS_RC_CONFIG,
			password->asked ? "private_key: could not decrypt \"%s\" with the "
							  "configured private_key_password"
							: "private_key: \"%s\" holds no private key in PEM "
							  "form",
			path);
}

/* A key as it was read. */
struct read_key
{
	EVP_PKEY *key;		/* owned */
	unsigned char *der; /* owned, secret; NULL: it has to be made of key */
	size_t n;
};

static void clear_key(struct read_key *read)
{
	EVP_PKEY_free(read->key);
	OPENSSL_clear_free(read->der, read->n);
}

/* Reads the first block of BIO when it is a plain key of the certificate's
 * TYPE. Most keys are; the general way tries every kind of key there is. False:
 * it is something else. */
static bool read_plain_key(
		struct tls_files *files, struct read_key *out, BIO *bio, int type)
{
	unsigned char *der = NULL;
	char *name = NULL, *header = NULL;
	long n = 0;

	if(PEM_read_bio(bio, &name, &header, &der, &n) != 1) {
		ERR_clear_error();
		return false;
	}
	if(strcmp(name, PEM_STRING_PKCS8INF) == 0 && header[0] == '\0')
		out->key = decode_key(files, HALF_PRIVATE, type, der, (size_t)n);
	OPENSSL_free(name);
	OPENSSL_free(header);
	if(out->key != NULL) {
		out->der = der; /* now owned by out */
		out->n = (size_t)n;
	} else {
		OPENSSL_clear_free(der, (size_t)n);
	}
	return out->key != NULL;
}

/* Reads the key of ARGS from a file into *OUT. */
static enum tls_rc read_key(struct tls_files *files, int type,
		struct read_key *out, const struct tls_identity_args *args,
		struct tls_err *err)
{
	struct password password = {args, false, false};
	unsigned char *buf = NULL;
	size_t n = 0;
	BIO *bio;
	enum tls_rc rc;
	int i = 0;

	rc = tls_ossl_read_file("private_key", args->private_key, &buf, &n, err);
	if(rc != TLS_RC_OK)
		return rc;
	bio = bio_over(buf, n);
	if(bio != NULL)
		(void)read_plain_key(files, out, bio, type);
	while(bio != NULL && out->key == NULL) {
		BIO_free(bio);
		ERR_clear_error();
		bio = bio_over(buf, n);
		if(bio != NULL)
			out->key =
					PEM_read_bio_PrivateKey(bio, NULL, password_cb, &password);
		if(!password.asked || password.alone || !args->ask
				|| args->password != NULL || ++i >= PASSWORD_TRIES)
			break;
	}
	BIO_free(bio);
	tls_ossl_release_file(&buf, n);
	if(out->key != NULL)
		return TLS_RC_OK;
	if(bio == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "private_key: out of memory");
	return no_key(&password, err);
}

static enum tls_rc load_key(struct tls_files *files, int type,
		struct read_key *out, const struct tls_identity_args *args,
		struct tls_err *err)
{
	if(tls_params_is_foreign(args->private_key))
		return tls_foreign_look(args->private_key, &out->key, err);
	return read_key(files, type, out, args, err);
}

/* Keeps what was READ so that each process can make its own object of it. */
static enum tls_rc keep_key(struct tls_files *files, struct tls_identity *id,
		struct read_key *read, const struct tls_identity_args *args,
		struct tls_err *err)
{
	const char *foreign =
			tls_params_is_foreign(args->private_key) ? args->private_key : NULL;
	enum tls_rc rc = TLS_RC_OK;
	int n;

	id->type = EVP_PKEY_get_base_id(read->key);
	id->bits = EVP_PKEY_get_bits(read->key);
	note_strength(id, EVP_PKEY_get_security_bits(read->key));
	if(foreign == NULL && read->der == NULL) {
		n = i2d_PrivateKey(read->key, &read->der);
		if(n <= 0)
			return tls_ossl_fail(
					err, TLS_RC_TLS, "private_key: could not store the key");
		read->n = (size_t)n;
	}
	if(files->keys == NULL)
		rc = tls_keys_new(&files->keys);
	if(rc == TLS_RC_OK)
		rc = tls_key_new(
				files->keys, id->type, read->der, read->n, foreign, &id->key);
	return rc == TLS_RC_OK
				   ? rc
				   : tls_ossl_fail(err, rc, "private_key: out of memory");
}

/* ---- identities ---- */

static struct stamp stamp_of(const char *path)
{
	struct stamp stamp = {0};
	struct stat st;

	if(stat(path, &st) == 0) {
		stamp.device = (uint64_t)st.st_dev;
		stamp.inode = (uint64_t)st.st_ino;
		stamp.size = (uint64_t)st.st_size;
		stamp.s = (int64_t)st.st_mtim.tv_sec;
		stamp.ns = (int64_t)st.st_mtim.tv_nsec;
	}
	return stamp;
}

static bool same_stamp(struct stamp a, struct stamp b)
{
	return a.inode != 0 && a.inode == b.inode && a.device == b.device
		   && a.size == b.size && a.s == b.s && a.ns == b.ns;
}

void tls_identity_free(struct tls_identity **id)
{
	struct tls_identity *i = *id;

	*id = NULL;
	if(i == NULL || i->magic != IDENTITY_MAGIC
			|| atomic_fetch_sub(&i->refs, 1) != 1)
		return;
	i->magic = 0;
	tls_key_free(&i->key);
	OPENSSL_free(i->cert_der);
	X509_free(atomic_load(&i->cert));
	sk_X509_pop_free(i->chain, X509_free);
	OPENSSL_free(i);
}

static void release_identity(void *object)
{
	struct tls_identity *id = object;

	tls_identity_free(&id);
}

enum tls_rc tls_files_adopt(struct tls_files *files, struct tls_identity *id)
{
	if(slot_of(files->table, files->size, id->digest)->object != NULL)
		return TLS_RC_OK;
	if(tls_keys_processes(tls_key_set(id->key)) != tls_port_processes())
		return TLS_RC_OK;
	/* what the processes keep is bounded over all loads together */
	if(files->keys == NULL)
		files->keys = tls_keys_ref(tls_key_set(id->key));
	/* a key that others hold may have changed without a trace */
	if(tls_key_foreign(id->key) != NULL)
		return TLS_RC_OK;
	atomic_fetch_add(&id->refs, 1);
	if(add_digest(files, id->digest, id, release_identity) == TLS_RC_OK) {
		slot_of(files->table, files->size, id->digest)->adopted = true;
		return TLS_RC_OK;
	}
	tls_identity_free(&id);
	return TLS_RC_NOMEM;
}

/* Whether the private key KEY belongs to the certificate of ID, whose key is
 * PUBLIC (NULL = none). The long way has the last word, and the reason. */
static bool belongs(
		const struct tls_identity *id, EVP_PKEY *public, EVP_PKEY *key)
{
	const unsigned char *der = id->cert_der;
	X509 *cert;
	bool good;

	if(public != NULL && EVP_PKEY_eq(public, key) == 1)
		return true;
	cert = d2i_X509(NULL, &der, (long)id->cert_len);
	good = cert != NULL && X509_check_private_key(cert, key) == 1;
	X509_free(cert);
	return good;
}

/* Reads both files of ARGS into ID and compares them. */
static enum tls_rc read_identity(struct tls_files *files,
		struct tls_identity *id, const struct tls_identity_args *args,
		enum tls_identity_part *part, struct tls_err *err)
{
	struct read_key read = {0};
	EVP_PKEY *public = NULL;
	char shown[256];
	enum tls_rc rc;

	/* before they are read: a later change is then noticed */
	id->stamps[0] = stamp_of(args->certificate);
	id->stamps[1] = stamp_of(args->private_key);
	*part = TLS_IDENTITY_CERTIFICATE;
	rc = load_chain(files, id, args->certificate, &public, err);
	if(rc == TLS_RC_OK) {
		*part = TLS_IDENTITY_KEY;
		rc = load_key(files,
				public != NULL ? EVP_PKEY_get_base_id(public) : EVP_PKEY_NONE,
				&read, args, err);
	}
	if(rc == TLS_RC_OK && !belongs(id, public, read.key))
		rc = tls_ossl_fail(err, TLS_RC_CONFIG,
				"private_key: \"%s\" does not belong to the certificate "
				"\"%s\"",
				tls_params_path_text(args->private_key, shown, sizeof(shown)),
				args->certificate);
	if(rc == TLS_RC_OK)
		rc = keep_key(files, id, &read, args, err);
	clear_key(&read);
	EVP_PKEY_free(public);
	return rc;
}

/* The one that the index has for DIGEST, unless its files have changed. */
static struct tls_identity *find_identity(struct tls_files *files,
		const unsigned char digest[SHA256_DIGEST_LENGTH],
		const struct tls_identity_args *args)
{
	struct entry *entry = slot_of(files->table, files->size, digest);
	struct tls_identity *id = entry->object;

	/* this load has read it: looked at once is enough */
	if(id != NULL && !entry->adopted) {
		atomic_fetch_add(&id->refs, 1);
		return id;
	}
	if(id == NULL
			|| (!tls_params_is_foreign(args->private_key)
					&& !same_stamp(id->stamps[1], stamp_of(args->private_key)))
			|| !same_stamp(id->stamps[0], stamp_of(args->certificate)))
		return NULL;
	entry->adopted = false;
	files->n_kept++;
	atomic_fetch_add(&id->refs, 1);
	return id;
}

enum tls_rc tls_files_identity(struct tls_files *files,
		const struct tls_identity_args *args, struct tls_identity **out,
		enum tls_identity_part *part, struct tls_err *err)
{
	const char *const texts[] = {
			args->certificate, args->private_key, args->password};
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct tls_identity *id;
	enum tls_rc rc;

	*out = NULL;
	*part = TLS_IDENTITY_CERTIFICATE;
	if(!digest_of(digest, "identity", texts, 3))
		return tls_ossl_fail(err, TLS_RC_NOMEM, "certificate: out of memory");
	*out = find_identity(files, digest, args);
	if(*out != NULL)
		return TLS_RC_OK;
	id = OPENSSL_zalloc(sizeof(*id));
	if(id == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "certificate: out of memory");
	id->magic = IDENTITY_MAGIC;
	atomic_init(&id->refs, 1);
	memcpy(id->digest, digest, sizeof(digest));
	rc = read_identity(files, id, args, part, err);
	if(rc == TLS_RC_OK) {
		files->n_read++;
		atomic_fetch_add(&id->refs, 1);
		rc = add_digest(files, digest, id, release_identity);
		if(rc != TLS_RC_OK) {
			atomic_fetch_sub(&id->refs, 1);
			tls_ossl_fail(err, rc, "certificate: out of memory");
		}
	}
	if(rc != TLS_RC_OK)
		tls_identity_free(&id);
	*out = id;
	return rc;
}

int tls_identity_type(const struct tls_identity *id)
{
	return id->type;
}

int tls_identity_security_bits(const struct tls_identity *id)
{
	return id->security_bits;
}

int tls_identity_bits(const struct tls_identity *id)
{
	return id->bits;
}

int64_t tls_identity_not_after(const struct tls_identity *id)
{
	return id->not_after;
}

const unsigned char *tls_identity_certificate(
		const struct tls_identity *id, size_t *n_out)
{
	*n_out = id->cert_len;
	return id->cert_der;
}

X509 *tls_identity_issuer(const struct tls_identity *id, X509 *cert)
{
	int i;

	for(i = 0; i < sk_X509_num(id->chain); i++) {
		X509 *issuer = sk_X509_value(id->chain, i);
		EVP_PKEY *key = X509_get0_pubkey(issuer);

		/* the name alone could be that of a CA that was renewed */
		if(key != NULL && X509_check_issued(issuer, cert) == X509_V_OK
				&& X509_verify(cert, key) == 1)
			return issuer;
	}
	ERR_clear_error();
	return NULL;
}

X509 *tls_files_issuer(X509_STORE *store, X509 *cert)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *named = NULL;
	X509 *found = NULL;
	int i;

	if(ctx != NULL && X509_STORE_CTX_init(ctx, store, cert, NULL) == 1)
		named = X509_STORE_CTX_get1_certs(ctx, X509_get_issuer_name(cert));
	for(i = 0; found == NULL && i < sk_X509_num(named); i++) {
		X509 *issuer = sk_X509_value(named, i);

		if(X509_check_issued(issuer, cert) == X509_V_OK
				&& X509_verify(cert, X509_get0_pubkey(issuer)) == 1
				&& X509_up_ref(issuer) == 1)
			found = issuer;
	}
	sk_X509_pop_free(named, X509_free);
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return found;
}

bool tls_identity_is(const struct tls_identity *id, const X509 *cert)
{
	unsigned char *der = NULL;
	bool same;
	int n;

	if(cert == NULL || tls_key_foreign(id->key) == NULL)
		return cert != NULL && atomic_load(&id->cert) == cert;
	/* of a foreign key every process has a certificate of its own */
	n = i2d_X509(cert, &der);
	same = n > 0 && (size_t)n == id->cert_len
		   && memcmp(der, id->cert_der, id->cert_len) == 0;
	OPENSSL_free(der);
	return same;
}

/* ---- use ---- */

/* An object of the certificate of ID with what OpenSSL works out on demand.
 * Packed: it has seventy blocks and lives as long as the profile. */
static X509 *make_certificate(const struct tls_identity *id)
{
	const unsigned char *der = id->cert_der;
	X509 *cert;

	tls_mem_packed_begin();
	cert = d2i_X509(NULL, &der, (long)id->cert_len);
	if(cert == NULL || X509_get0_pubkey(cert) == NULL
			|| X509_check_purpose(cert, -1, 0) != 1) {
		X509_free(cert);
		cert = NULL;
	}
	tls_mem_packed_end();
	return cert;
}

/* The certificate object that all processes share, made at first use. */
static X509 *own_certificate(struct tls_identity *id)
{
	X509 *cert = atomic_load(&id->cert);
	X509 *mine;

	if(cert != NULL)
		return cert;
	mine = make_certificate(id);
	if(mine == NULL)
		return NULL;
	if(atomic_compare_exchange_strong(&id->cert, &cert, mine))
		return mine;
	X509_free(mine); /* another process was faster */
	return cert;
}

/* Both objects of this process when the key is foreign. */
static enum tls_rc use_foreign(
		struct tls_identity *id, SSL *ssl, struct tls_err *err)
{
	EVP_PKEY *key;
	X509 *cert;
	enum tls_rc rc = tls_foreign_use(tls_key_foreign(id->key), id->cert_der,
			id->cert_len, &key, &cert, err);

	if(rc == TLS_RC_OK
			&& SSL_use_cert_and_key(ssl, cert, key, id->chain, 1) != 1)
		rc = tls_ossl_fail(err, TLS_RC_TLS, "could not use the certificate");
	return rc;
}

enum tls_rc tls_identity_use_key(
		struct tls_identity *id, SSL *ssl, struct tls_err *err)
{
	EVP_PKEY *key;
	enum tls_rc rc;

	if(tls_key_foreign(id->key) != NULL)
		return use_foreign(id, ssl, err);
	rc = tls_key_use(id->key, &key, err);
	if(rc == TLS_RC_OK && SSL_use_PrivateKey(ssl, key) != 1)
		rc = tls_ossl_fail(err, TLS_RC_TLS, "could not use the private key");
	return rc;
}

enum tls_rc tls_identity_use(
		struct tls_identity *id, SSL *ssl, struct tls_err *err)
{
	EVP_PKEY *key;
	X509 *cert;
	enum tls_rc rc;

	if(tls_key_foreign(id->key) != NULL)
		return use_foreign(id, ssl, err);
	rc = tls_key_use(id->key, &key, err);
	if(rc != TLS_RC_OK)
		return rc;
	cert = own_certificate(id);
	if(cert == NULL)
		return tls_ossl_fail(
				err, TLS_RC_NOMEM, "could not make the certificate object");
	if(SSL_use_cert_and_key(ssl, cert, key, id->chain, 1) != 1)
		return tls_ossl_fail(err, TLS_RC_TLS, "could not use the certificate");
	return TLS_RC_OK;
}

enum tls_rc tls_identity_try(
		struct tls_identity *id, SSL *ssl, struct tls_err *err)
{
	const unsigned char *der = id->cert_der;
	X509 *cert;
	int good;

	if(tls_key_foreign(id->key) == NULL)
		return tls_identity_use(id, ssl, err);
	cert = d2i_X509(NULL, &der, (long)id->cert_len);
	good = cert != NULL && SSL_use_certificate(ssl, cert) == 1
		   && SSL_set1_chain(ssl, id->chain) == 1;
	X509_free(cert);
	return good ? TLS_RC_OK
				: tls_ossl_fail(
						err, TLS_RC_TLS, "could not use the certificate");
}
