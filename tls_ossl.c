/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The door to OpenSSL; see tls_ossl.h. The only file besides the adapter that
 * looks at errno. */

#include "tls_ossl.h"
#include "tls_bio.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tls_mem.h"
#include "tls_port.h"

#define LOCK_REMEDY                                                           \
	"OpenSSL's locks do not work between processes; start the server with "   \
	"LD_PRELOAD=openssl_mutex_shared.so (utils/openssl_mutex_shared) or use " \
	"a build whose 'kamailio -v' shows TLS_PTHREAD_MUTEX_SHARED"

void tls_ossl_thread_stop(void)
{
	OPENSSL_thread_stop();
}

/* What OpenSSL keeps per thread lies in shared memory, and a child would
 * inherit the POINTER: all workers would then write one error queue and draw
 * from one generator (hazard 3). A fork without that state has nothing to
 * inherit; parent and child make their own when they need it. */
static void before_fork_cb(void)
{
	OPENSSL_thread_stop();
}

/* OpenSSL 3.2 and newer also make mutexes, out of reach inside their RCU locks:
 * ask the initialiser that they call. */
static bool makes_shared_mutexes(void)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t shared;
	pthread_mutex_t plain;
	bool same;

	memset(&shared, 0, sizeof(shared));
	memset(&plain, 0, sizeof(plain));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared, &attr);
	pthread_mutex_init(&plain, NULL);
	same = memcmp(&plain, &shared, sizeof(shared)) == 0;
	pthread_mutex_destroy(&plain);
	pthread_mutex_destroy(&shared);
	pthread_mutexattr_destroy(&attr);
	return same;
}

#if defined(__GLIBC__)
/* glibc keeps the flag in the lock itself. Non-zero means process-shared. */
static bool is_shared(CRYPTO_RWLOCK *lock)
{
	return ((pthread_rwlock_t *)lock)->__data.__shared != 0;
}
#else
/* No look inside elsewhere: ask the initialiser that OpenSSL calls what it
 * makes of an attribute-less lock by comparing the bytes with a shared one. */
static bool is_shared(CRYPTO_RWLOCK *lock)
{
	pthread_rwlockattr_t attr;
	pthread_rwlock_t shared;
	bool same;

	memset(&shared, 0, sizeof(shared));
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_rwlock_init(&shared, &attr);
	same = memcmp(lock, &shared, sizeof(shared)) == 0;
	pthread_rwlock_destroy(&shared);
	pthread_rwlockattr_destroy(&attr);
	return same;
}
#endif

enum tls_rc tls_ossl_check_locks(struct tls_err *err)
{
	CRYPTO_RWLOCK *lock = CRYPTO_THREAD_lock_new();
	bool shared;

	if(lock == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "could not make a lock");
	shared = is_shared(lock) && makes_shared_mutexes();
	CRYPTO_THREAD_lock_free(lock);
	if(!shared)
		return tls_err_set(err, TLS_RC_CONFIG, "%s", LOCK_REMEDY);
	return TLS_RC_OK;
}

enum tls_rc tls_ossl_init(struct tls_err *err)
{
	static bool ready;
	enum tls_rc rc;

	if(ready)
		return TLS_RC_OK;
	if(tls_mem_init() != TLS_RC_OK)
		return tls_err_set(err, TLS_RC_CONFIG,
				"OpenSSL was used before the tls module could give it shared "
				"memory; move loadmodule \"tls.so\" before every module whose "
				"library uses OpenSSL (database, http and crypto modules)");
	/* Exit handlers would tear shared objects down in the first child that
	 * ends (hazard 6). */
	if(OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_LOAD_SSL_STRINGS,
			   NULL) != 1
			|| OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT
										   | OPENSSL_INIT_ADD_ALL_CIPHERS
										   | OPENSSL_INIT_ADD_ALL_DIGESTS
										   | OPENSSL_INIT_LOAD_CRYPTO_STRINGS
										   | OPENSSL_INIT_LOAD_CONFIG,
					   NULL)
					   != 1)
		return tls_ossl_fail(err, TLS_RC_TLS, "could not start OpenSSL");
	rc = tls_ossl_check_locks(err);
	if(rc != TLS_RC_OK)
		return rc;
	if(pthread_atfork(before_fork_cb, NULL, tls_mem_after_fork) != 0)
		return tls_err_set(err, TLS_RC_NOMEM,
				"could not register the fork handler of the TLS library");
	rc = tls_bio_init();
	if(rc != TLS_RC_OK)
		return tls_ossl_fail(err, rc, "could not make the memory BIO");
	ready = true;
	return TLS_RC_OK;
}

enum tls_rc tls_ossl_check_version(bool force, struct tls_err *err)
{
	unsigned int built = OPENSSL_VERSION_NUMBER >> 20;
	unsigned int running = (unsigned int)(OpenSSL_version_num() >> 20);

	/* Since 3.0 a newer minor version keeps the ABI of an older one. */
	if(running >> 8 == built >> 8 && running >= built)
		return TLS_RC_OK;
	tls_err_set(err, TLS_RC_CONFIG,
			"the module was built with %s but runs with %s; install the "
			"matching library or set tls_force_run to 1",
			OPENSSL_VERSION_TEXT, OpenSSL_version(OPENSSL_VERSION));
	if(!force)
		return TLS_RC_CONFIG;
	tls_port_log(TLS_LOG_WARN, "built with %s, running with %s: tls_force_run",
			OPENSSL_VERSION_TEXT, OpenSSL_version(OPENSSL_VERSION));
	return TLS_RC_OK;
}

/* The calls that could replace the generator are deprecated, but they work in
 * all versions 3.x; so does this look at what they did. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
bool tls_ossl_generator_is_own(void)
{
	return RAND_get_rand_method() == RAND_OpenSSL();
}
#pragma GCC diagnostic pop

void tls_ossl_drain(char *text, size_t size)
{
	const char *data = NULL;
	unsigned long code;
	size_t used = 0;
	int flags = 0;

	text[0] = '\0';
	while((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
		const char *reason = ERR_reason_error_string(code);
		bool more = (flags & ERR_TXT_STRING) != 0 && data != NULL && *data;
		char number[32];
		int n;

		if(ERR_SYSTEM_ERROR(code))
			reason = strerror(ERR_GET_REASON(code));
		if(reason == NULL) {
			snprintf(number, sizeof(number), "error %08lx", code);
			reason = number;
		}
		if(used >= size - 1)
			continue; /* full, but the queue still has to become empty */
		n = snprintf(text + used, size - used, "%s%s%s%s%s",
				used > 0 ? "; " : "", reason, more ? " (" : "",
				more ? data : "", more ? ")" : "");
		used += n > 0 ? (size_t)n : 0;
	}
}

void tls_ossl_begin(void)
{
	char text[256];

	if(ERR_peek_error() != 0) {
		tls_ossl_drain(text, sizeof(text));
		tls_port_log(TLS_LOG_DBG,
				"errors that somebody else left in OpenSSL's queue: %s", text);
	}
	errno = 0;
}

enum tls_rc tls_ossl_fail(
		struct tls_err *err, enum tls_rc rc, const char *fmt, ...)
{
	char sentence[TLS_ERR_TEXT_MAX];
	char reasons[TLS_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	tls_ossl_drain(reasons, sizeof(reasons));
	if(reasons[0] == '\0')
		return tls_err_set(err, rc, "%s", sentence);
	return tls_err_set(err, rc, "%s: %s", sentence, reasons);
}

/* Whose fault is the first error of the queue? Everything that the SSL
 * library reports about a handshake or a record comes from the peer's bytes,
 * save a few reasons of our own making. */
static enum tls_rc blame(unsigned long code)
{
	if(code == 0)
		return TLS_RC_TLS;
	if(ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
		return TLS_RC_NOMEM;
	if(ERR_GET_LIB(code) != ERR_LIB_SSL)
		return TLS_RC_PEER; /* asn1, x509, ec: while reading peer bytes */
	switch(ERR_GET_REASON(code)) {
		case ERR_R_INTERNAL_ERROR:
		case SSL_R_NO_CERTIFICATE_ASSIGNED:
		case SSL_R_NO_PRIVATE_KEY_ASSIGNED:
		case SSL_R_NO_CIPHERS_AVAILABLE:
		case SSL_R_NO_PROTOCOLS_AVAILABLE:
			return TLS_RC_TLS;
		default:
			return TLS_RC_PEER;
	}
}

/* An alert that came from the peer: its number is the reason's offset
 * (openssl/sslerr.h). */
static enum tls_cause cause_of_alert(int alert)
{
	switch(alert) {
		case SSL_AD_PROTOCOL_VERSION:
			return TLS_CAUSE_VERSION;
		case SSL_AD_UNRECOGNIZED_NAME:
			return TLS_CAUSE_NAME;
		default:
			return TLS_CAUSE_ALERT;
	}
}

/* Why, for the first error of the queue, which is the peer's doing. */
static enum tls_cause cause_of(unsigned long code)
{
	int reason = ERR_GET_REASON(code);

	if(ERR_GET_LIB(code) != ERR_LIB_SSL)
		return TLS_CAUSE_GARBAGE;
	if(reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
		return cause_of_alert(reason - SSL_AD_REASON_OFFSET);
	switch(reason) {
		case SSL_R_NO_SHARED_CIPHER:
		case SSL_R_NO_SHARED_GROUPS:
		case SSL_R_NO_SUITABLE_GROUPS:
		case SSL_R_NO_SUITABLE_KEY_SHARE:
		case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
		case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
		case SSL_R_WRONG_CIPHER_RETURNED:
			return TLS_CAUSE_CIPHER;
		case SSL_R_UNSUPPORTED_PROTOCOL:
		case SSL_R_VERSION_TOO_LOW:
		case SSL_R_VERSION_TOO_HIGH:
		case SSL_R_WRONG_SSL_VERSION:
		case SSL_R_INAPPROPRIATE_FALLBACK:
			return TLS_CAUSE_VERSION;
		case SSL_R_CALLBACK_FAILED: /* of the ClientHello: strict_sni */
			return TLS_CAUSE_NAME;
		case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
			return TLS_CAUSE_CERT_MISSING;
		case SSL_R_CERTIFICATE_VERIFY_FAILED:
		case SSL_R_INVALID_STATUS_RESPONSE:
			return TLS_CAUSE_CERT_OTHER;
		case SSL_R_UNEXPECTED_EOF_WHILE_READING:
			return TLS_CAUSE_CLOSED;
		default:
			return TLS_CAUSE_GARBAGE;
	}
}

enum tls_cause tls_ossl_verify_cause(long result)
{
	switch(result) {
		case X509_V_ERR_CERT_HAS_EXPIRED:
		case X509_V_ERR_CERT_NOT_YET_VALID:
			return TLS_CAUSE_CERT_EXPIRED;
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
		case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
		case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		case X509_V_ERR_CERT_UNTRUSTED:
			return TLS_CAUSE_CERT_CA;
		case X509_V_ERR_CERT_REVOKED:
			return TLS_CAUSE_CERT_REVOKED;
		case X509_V_ERR_HOSTNAME_MISMATCH:
		case X509_V_ERR_EMAIL_MISMATCH:
		case X509_V_ERR_IP_ADDRESS_MISMATCH:
			return TLS_CAUSE_CERT_NAME;
		case X509_V_ERR_OCSP_VERIFY_NEEDED:
		case X509_V_ERR_OCSP_VERIFY_FAILED:
		case X509_V_ERR_OCSP_CERT_UNKNOWN:
			return TLS_CAUSE_CERT_STATUS;
		default:
			return TLS_CAUSE_CERT_OTHER;
	}
}

enum tls_rc tls_ossl_result(
		SSL *ssl, int ret, enum tls_ossl_want *want, struct tls_err *err)
{
	unsigned long code;
	enum tls_rc rc;

	*want = TLS_OSSL_WANT_NONE;
	if(ret > 0)
		return TLS_RC_OK;
	switch(SSL_get_error(ssl, ret)) {
		case SSL_ERROR_WANT_READ:
			*want = TLS_OSSL_WANT_READ;
			return TLS_RC_AGAIN;
		case SSL_ERROR_WANT_WRITE:
			*want = TLS_OSSL_WANT_WRITE;
			return TLS_RC_AGAIN;
		case SSL_ERROR_ZERO_RETURN:
			return TLS_RC_CLOSED;
		default:
			break;
	}
	code = ERR_peek_error();
	rc = blame(code);
	tls_ossl_fail(err, rc, "%s",
			rc == TLS_RC_NOMEM ? "out of shared memory" : "TLS failure");
	return rc == TLS_RC_PEER ? tls_err_because(err, rc, cause_of(code)) : rc;
}

enum tls_rc tls_ossl_check_path(const char *setting, const char *path,
		bool directory, struct tls_err *err)
{
	struct stat st;

	if(stat(path, &st) != 0)
		return tls_err_set(err, TLS_RC_CONFIG, "%s: could not open \"%s\": %s",
				setting, path, strerror(errno));
	if(directory ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode))
		return TLS_RC_OK;
	return tls_err_set(err, TLS_RC_CONFIG, "%s: \"%s\" is not a %s", setting,
			path, directory ? "directory" : "regular file");
}

/* Reads all of FILE, whose size is N; OUT has room for one byte more. */
static bool read_all(FILE *file, unsigned char *out, size_t n)
{
	return fread(out, 1, n + 1, file) == n && ferror(file) == 0;
}

enum tls_rc tls_ossl_read_file(const char *setting, const char *path,
		unsigned char **out, size_t *n_out, struct tls_err *err)
{
	FILE *file = NULL;
	unsigned char *buf = NULL;
	struct stat st;
	size_t n = 0;
	enum tls_rc rc = TLS_RC_CONFIG;

	*out = NULL;
	*n_out = 0;
	/* Looked at before it is opened: opening a FIFO would wait for ever. */
	if(stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		tls_err_set(err, rc, "%s: \"%s\" is not a regular file", setting, path);
		goto out;
	}
	/* "e": no descriptor of a key file in programs that workers start */
	file = fopen(path, "re");
	if(file == NULL || fstat(fileno(file), &st) != 0) {
		tls_err_set(err, rc, "%s: could not open \"%s\": %s", setting, path,
				strerror(errno));
		goto out;
	}
	if(st.st_size <= 0 || (unsigned long long)st.st_size > TLS_OSSL_FILE_MAX) {
		tls_err_set(err, rc, "%s: \"%s\" is %s", setting, path,
				st.st_size <= 0 ? "empty" : "larger than 64 MiB");
		goto out;
	}
	/* No buffer of libc's: it would keep key bytes when it is freed. */
	setvbuf(file, NULL, _IONBF, 0);
	n = (size_t)st.st_size;
	buf = OPENSSL_malloc(n + 1);
	if(buf == NULL) {
		rc = tls_ossl_fail(err, TLS_RC_NOMEM,
				"%s: out of shared memory while reading \"%s\"", setting, path);
		goto out;
	}
	errno = 0;
	if(!read_all(file, buf, n)) {
		tls_err_set(err, rc, "%s: could not read \"%s\": %s", setting, path,
				errno != 0 ? strerror(errno) : "its size changed meanwhile");
		goto out;
	}
	buf[n] = '\0';
	*out = buf;
	buf = NULL; /* now owned by the caller */
	*n_out = n;
	rc = TLS_RC_OK;
out:
	tls_ossl_release_file(&buf, n);
	if(file != NULL)
		fclose(file);
	return rc;
}

void tls_ossl_release_file(unsigned char **buf, size_t n)
{
	OPENSSL_clear_free(*buf, n + 1);
	*buf = NULL;
}
