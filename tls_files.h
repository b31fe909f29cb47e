/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What profiles read from files: identities (a certificate chain with its
 * private key) and stores of trust (CAs and revocation lists), each read once
 * in a load however many profiles name it. Knows no context and no lookup.
 * Made by the process that loads; identities and stores live as long as
 * somebody holds a reference and are used by all processes, but for the key
 * objects: of those every process makes its own (hazard 4). */
#ifndef TLS_FILES_H
#define TLS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_err.h"
#include "tls_params.h"

struct ssl_st;
struct x509_st;
struct x509_store_st;
struct evp_pkey_st;
struct tls_files;
struct tls_identity;

/* One certificate chain and its key, as a profile names them. All borrowed. */
struct tls_identity_args
{
	const char *certificate;
	const char *private_key; /* file, or what tls_foreign opens */
	const char *password;	 /* NULL = none is configured */
	bool ask;				 /* for the password on the terminal */
};

/* Whom a complaint is about, besides the setting itself. */
enum tls_identity_part
{
	TLS_IDENTITY_CERTIFICATE = 0,
	TLS_IDENTITY_KEY
};

/* A new, empty index in *OUT, owned by the caller. TLS_RC_OK or
 * TLS_RC_NOMEM. */
enum tls_rc tls_files_new(struct tls_files **out) TLS_MUST_CHECK;

/* Frees *FILES and sets it to NULL (NULL is fine); what somebody else holds a
 * reference on stays. */
void tls_files_free(struct tls_files **files);

/* Lets FILES take ID, which an older load made, when it is asked for the same
 * files and these have not changed. Returns OK or NOMEM. */
enum tls_rc tls_files_adopt(
		struct tls_files *files, struct tls_identity *id) TLS_MUST_CHECK;

/* Identities that were read from files so far, and those that were adopted
 * and asked for. */
size_t tls_files_read(const struct tls_files *files);
size_t tls_files_kept(const struct tls_files *files);

/* An object that the caller keeps in the index under the SIZE bytes at KEY:
 * find gives it or NULL, borrowed; add puts it there, and RELEASE will be
 * called for it when FILES are freed. add returns OK or NOMEM. */
void *tls_files_find(
		const struct tls_files *files, const void *key, size_t size);
enum tls_rc tls_files_add(struct tls_files *files, const void *key, size_t size,
		void *object, void (*release)(void *object)) TLS_MUST_CHECK;

/* ---- trust ---- */

/* The store of ca_list, ca_path, crl and crl_check of PARAMS in *OUT, with
 * one reference for the caller; an empty store when none is set. TLS_RC_OK;
 * TLS_RC_CONFIG with the sentence in ERR and the setting at fault in *OPTION;
 * TLS_RC_NOMEM. */
enum tls_rc tls_files_store(struct tls_files *files,
		const struct tls_profile_params *params, struct x509_store_st **out,
		enum tls_profile_option *option, struct tls_err *err) TLS_MUST_CHECK;

/* ---- identities ---- */

/* The identity of ARGS in *OUT, with one reference for the caller: both files
 * were read, the key belongs to the certificate. TLS_RC_OK; TLS_RC_CONFIG
 * with a sentence in ERR that begins behind the name of the setting, and whom
 * it is about in *PART; TLS_RC_NOMEM; TLS_RC_TLS. */
enum tls_rc tls_files_identity(struct tls_files *files,
		const struct tls_identity_args *args, struct tls_identity **out,
		enum tls_identity_part *part, struct tls_err *err) TLS_MUST_CHECK;

/* Drops the caller's reference and sets *ID to NULL; NULL is fine. The last
 * one frees all, wiping the key; any process. */
void tls_identity_free(struct tls_identity **id);

/* Facts of a load: the algorithm of the key (EVP_PKEY id), the security in
 * bits of its weakest part, the length of the key, and the end of the
 * certificate's life (s since 1970). */
int tls_identity_type(const struct tls_identity *id);
int tls_identity_security_bits(const struct tls_identity *id);
int tls_identity_bits(const struct tls_identity *id);
int64_t tls_identity_not_after(const struct tls_identity *id);

/* DER of the own certificate, borrowed, and its length in *N_OUT. */
const unsigned char *tls_identity_certificate(
		const struct tls_identity *id, size_t *n_out);

/* The certificate in the chain of ID that signed CERT, which is that of ID;
 * borrowed, NULL = none. */
struct x509_st *tls_identity_issuer(
		const struct tls_identity *id, struct x509_st *cert);

/* The certificate in STORE whose key signed CERT, with one reference for the
 * caller; NULL = none, or memory is short. A CA that was renewed has a namesake
 * with another key. Any process; clears the error queue. */
struct x509_st *tls_files_issuer(
		struct x509_store_st *store, struct x509_st *cert);

/* True when CERT, which a connection shows, is the object that ID gave it. */
bool tls_identity_is(const struct tls_identity *id, const struct x509_st *cert);

/* Gives SSL the certificate, the chain and the key object of the calling
 * process, which are made when they are used for the first time. TLS_RC_OK;
 * TLS_RC_BUG in a process that the host did not announce; TLS_RC_NOMEM;
 * TLS_RC_TLS. Under the lock of the connection. */
enum tls_rc tls_identity_use(struct tls_identity *id, struct ssl_st *ssl,
		struct tls_err *err) TLS_MUST_CHECK;

/* As tls_identity_use for an SSL that makes no handshake: a foreign key is not
 * opened. Process that loads. */
enum tls_rc tls_identity_try(struct tls_identity *id, struct ssl_st *ssl,
		struct tls_err *err) TLS_MUST_CHECK;

/* Gives SSL, which has the certificate, the key object of the calling process
 * in place of another's. Returns as above. */
enum tls_rc tls_identity_use_key(struct tls_identity *id, struct ssl_st *ssl,
		struct tls_err *err) TLS_MUST_CHECK;

#endif
