/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The one door to OpenSSL: its headers, its life cycle in a server that forks,
 * the translation of its results into ours, and file reading for its parsers.
 * Knows no connection and no profile; every #if on OpenSSL's version lives
 * here. Called by the TLS rooms in any process; functions that are not safe
 * after the first fork say so. */
#ifndef TLS_OSSL_H
#define TLS_OSSL_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/asn1t.h>
#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "tls_err.h"

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "OpenSSL 3.0 or newer is needed"
#endif

/* Takes OpenSSL into service: gives it shared memory (tls_mem), loads it
 * without an exit handler (architecture, hazard 6), makes the lock check, and
 * registers the fork handler that drops thread-local state (hazard 3).
 * Main process, once, before anybody else used the library and before the
 * first fork. Returns TLS_RC_OK; TLS_RC_CONFIG when another library used
 * OpenSSL first (ERR holds the load-order hint) or when its locks do not work
 * between processes (ERR holds the remedy); TLS_RC_TLS otherwise. */
enum tls_rc tls_ossl_init(struct tls_err *err) TLS_MUST_CHECK;

/* Looks at a lock that OpenSSL itself made (hazard 2: the host's flag is not
 * believed). TLS_RC_OK when other processes can use it, else TLS_RC_CONFIG
 * with the remedy in ERR. Any process after tls_ossl_init. */
enum tls_rc tls_ossl_check_locks(struct tls_err *err) TLS_MUST_CHECK;

/* Compares the library that runs with the headers of the build: same major
 * version and not an older minor one. FORCE turns a mismatch into a warning.
 * TLS_RC_OK or TLS_RC_CONFIG. Any process. */
enum tls_rc tls_ossl_check_version(
		bool force, struct tls_err *err) TLS_MUST_CHECK;

/* Drops what OpenSSL keeps for the calling thread (error queue, generators);
 * it comes anew when needed. Called before every fork by the handler that
 * tls_ossl_init registered, and by processes that end. */
void tls_ossl_thread_stop(void);

/* True when random bytes come from OpenSSL's own generator, false when some
 * library replaced it. Any process. */
bool tls_ossl_generator_is_own(void);

/* To be called before each call that may leave errors: reports stale errors
 * of somebody else at debug level, empties the queue, errno = 0. */
void tls_ossl_begin(void);

/* Drains the whole error queue of this thread into TEXT (0-terminated, cut
 * to SIZE > 0): "reason; reason". Empty text when the queue was empty. */
void tls_ossl_drain(char *text, size_t size);

/* The error queue as ERR with group RC and the formatted sentence in front,
 * ": " and the reasons behind. Returns RC. The queue is empty after it. */
enum tls_rc tls_ossl_fail(struct tls_err *err, enum tls_rc rc, const char *fmt,
		...) TLS_PRINTF(3, 4);

/* What an SSL call wants before it can go on. */
enum tls_ossl_want
{
	TLS_OSSL_WANT_NONE = 0,
	TLS_OSSL_WANT_READ,
	TLS_OSSL_WANT_WRITE
};

/* Translates RET of an SSL I/O call made on SSL after tls_ossl_begin, at
 * once, before any other OpenSSL call. The memory BIO never sets errno, so
 * errno says nothing here. Returns TLS_RC_OK (RET > 0); TLS_RC_AGAIN with
 * WANT set; TLS_RC_CLOSED when the peer sent close_notify; TLS_RC_PEER when the
 * peer is to blame, TLS_RC_NOMEM, TLS_RC_TLS otherwise, with the reasons in
 * ERR. Leaves the error queue empty. Under the lock of the connection. */
enum tls_rc tls_ossl_result(SSL *ssl, int ret, enum tls_ossl_want *want,
		struct tls_err *err) TLS_MUST_CHECK;

/* Which of the causes about the peer's certificate RESULT is, an X509_V_ERR_...
 * of the library. */
enum tls_cause tls_ossl_verify_cause(long result);

/* OSSL_PROVIDER_load with PARAMS, as far as the library can take them. */
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
#define TLS_OSSL_PROVIDER_PARAMS 1
#define tls_ossl_load_provider OSSL_PROVIDER_load_ex
#else
#define TLS_OSSL_PROVIDER_PARAMS 0
#define tls_ossl_load_provider(library_, name_, params_) \
	((void)(params_), OSSL_PROVIDER_load(library_, name_))
#endif

/* Largest file that is read for a certificate, key, CA or CRL setting. */
#define TLS_OSSL_FILE_MAX (64U * 1024U * 1024U)

/* Looks whether PATH, named by SETTING and read by OpenSSL itself, is a
 * regular file, or a DIRECTORY. TLS_RC_OK; TLS_RC_CONFIG with setting, path
 * and reason in ERR. */
enum tls_rc tls_ossl_check_path(const char *setting, const char *path,
		bool directory, struct tls_err *err) TLS_MUST_CHECK;

/* Reads the regular file PATH named by SETTING into *OUT (owned by the caller,
 * release with tls_ossl_release_file, which wipes it) and *N_OUT. TLS_RC_OK;
 * TLS_RC_CONFIG with setting, path and reason in ERR; TLS_RC_NOMEM. */
enum tls_rc tls_ossl_read_file(const char *setting, const char *path,
		unsigned char **out, size_t *n_out, struct tls_err *err) TLS_MUST_CHECK;

/* Wipes and frees what tls_ossl_read_file gave; *BUF becomes NULL. */
void tls_ossl_release_file(unsigned char **buf, size_t n);

#endif
