/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* One profile made ready: an SSL_CTX in shared memory with certificates, CAs
 * and policy, and the private key as bytes from which every process makes a
 * key object of its own (hazard 4). Does no lookup and holds no connection.
 * Built in one process (start-up, reload), used by all, read-only but for
 * each process's own key slot. */
#ifndef TLS_CTX_H
#define TLS_CTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls_err.h"
#include "tls_params.h"
#include "tls_port.h"

struct ssl_st;
struct tls_files;
struct tls_info;
struct tls_ctx;

struct tls_ctx_args
{
	enum tls_role role;
	const struct tls_profile_params *params; /* borrowed for the call */
	const struct tls_settings *settings;	 /* borrowed for the call */
	const char *label; /* name of the profile, for errors and sessions */
	/* what the profiles of one load share, borrowed; NULL: nothing */
	struct tls_files *files;
	/* Receives each error and warning with the option that it is about
	 * (TLS_PROFILE_OPTION_COUNT: none of them); may be NULL, then warnings are
	 * logged. */
	void (*report)(void *arg, enum tls_log_level level,
			enum tls_profile_option option, const char *text);
	void *report_arg;
};

/* Registers what contexts find by index (hazard 8). Main process, once, before
 * the first fork. TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_ctx_init(void) TLS_MUST_CHECK;

/* Reads all files of the profile, checks that they fit together and builds
 * the context aside into *OUT (owned by the caller). Main process before the
 * fork or a reloading process; tls_port_processes() must be valid; no lock.
 * TLS_RC_OK; TLS_RC_CONFIG with setting, file and reason; TLS_RC_NOMEM;
 * TLS_RC_TLS. ERR has the first error, the report all of them. On failure *OUT
 * is NULL and nothing is left behind. */
enum tls_rc tls_ctx_new(struct tls_ctx **out, const struct tls_ctx_args *args,
		struct tls_err *err) TLS_MUST_CHECK;

/* Frees *CTX, wiping the key, and sets it to NULL; NULL is fine. Any process,
 * also one that never used it; the caller held the last reference. */
void tls_ctx_free(struct tls_ctx **ctx);

/* Lets FILES take the certificates and keys of CTX, of the generation before,
 * for profiles whose files have not changed. TLS_RC_OK or TLS_RC_NOMEM. */
enum tls_rc tls_ctx_adopt(
		const struct tls_ctx *ctx, struct tls_files *files) TLS_MUST_CHECK;

/* What by_name returns when the name shall not be served at all. */
extern struct tls_ctx *const TLS_CTX_REFUSE;

/* How a server's connection finds the profile for the name that its client
 * asks for. Lives as long as the SSL object, in shared memory. */
struct tls_ctx_choice
{
	/* The context for the server name NAME (as the peer wrote it, without
	 * NUL bytes, 1 to 255 of them), NULL to stay, or TLS_CTX_REFUSE to end
	 * the handshake with the alert unrecognized_name. Runs inside a handshake
	 * step: connection's lock held, any process. */
	struct tls_ctx *(*by_name)(void *arg, const char *name);
	void *arg;			 /* borrowed */
	struct tls_ctx *ctx; /* the context in use, kept up to date */
};

/* A new SSL object for one connection of CHOICE->ctx in *OUT (owned by the
 * caller), with this process's key in it. CHOICE is borrowed until *OUT is
 * freed; by_name may be NULL (clients). When the ClientHello names a profile,
 * all its settings take effect: versions, ciphers, verification, sessions,
 * certificate (hazard 10). Any process, no lock.
 * TLS_RC_OK, TLS_RC_NOMEM, TLS_RC_TLS, TLS_RC_BUG (a process that the host did
 * not announce before the profile was loaded). */
enum tls_rc tls_ctx_new_ssl(struct tls_ctx_choice *choice, struct ssl_st **out,
		struct tls_err *err) TLS_MUST_CHECK;

/* Gives SSL the key object of the calling process in place of the one of the
 * process that ran the handshake before. Under the connection's lock. Return
 * values as above; nothing to do and TLS_RC_OK for profiles without a key. */
enum tls_rc tls_ctx_use_own_key(struct tls_ctx *ctx, struct ssl_st *ssl,
		struct tls_err *err) TLS_MUST_CHECK;

/* Own certificates of a profile: one of each algorithm. */
#define TLS_CTX_CERTIFICATES 2

/* DER of certificate INDEX < TLS_CTX_CERTIFICATES, as tls_ctx_certificate. */
const unsigned char *tls_ctx_certificate_at(
		const struct tls_ctx *ctx, unsigned int index, size_t *n_out);

/* When certificate INDEX < TLS_CTX_CERTIFICATES ends, in s since 1970; 0 when
 * there is none. */
int64_t tls_ctx_certificate_end(const struct tls_ctx *ctx, unsigned int index);

/* DER of the certificate whose key is of the algorithm TYPE (EVP_PKEY id), the
 * first one when there is none, as tls_ctx_certificate. */
const unsigned char *tls_ctx_certificate_of(
		const struct tls_ctx *ctx, int type, size_t *n_out);

/* What tells the stores of trust of two contexts apart, or says that they
 * share one; never NULL. */
const void *tls_ctx_store(const struct tls_ctx *ctx);

/* Writes certificate INDEX of the peer's verified chain on a connection with
 * INFO of CTX as DER into OUT of SIZE bytes, and its length to *N_OUT; 0 is the
 * peer's own. What the peer did not send is looked up among those that CTX
 * trusts. False when there is no such certificate, the chain did not verify, or
 * it is not known any more (of a resumed session the first two may be). Any
 * process, no lock. */
bool tls_ctx_chain_at(const struct tls_ctx *ctx, const struct tls_info *info,
		unsigned int index, unsigned char *out, size_t size, size_t *n_out);

/* Calls CB with ARG and the DER of each CA certificate that CTX trusts and has
 * read already (those of ca_path come when they are needed). CB may not wait
 * and may not use OpenSSL: a lock of the store is held. Any process. */
void tls_ctx_each_authority(const struct tls_ctx *ctx,
		void (*cb)(void *arg, const unsigned char *der, size_t n), void *arg);

/* DER of the profile's own certificate, borrowed until CTX is freed, and its
 * length in *N_OUT; NULL and 0 when the profile has none. Any process. */
const unsigned char *tls_ctx_certificate(
		const struct tls_ctx *ctx, size_t *n_out);

#endif
