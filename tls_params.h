/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Every setting of the module: the structures that hold them and ONE table
 * per scope (X-macro) from which the modparams, the tls.cfg parser, the
 * run-time configuration group, the options RPC and the documentation check
 * are made; and the words and ranges that text is read with (tls_params.c).
 * Does not know files, sections, OpenSSL or the host; holds no state.
 * Called by tls_config.c, tls_domain.c and the adapter, in any process,
 * without a lock: a structure belongs to the caller until it is published. */
#ifndef TLS_PARAMS_H
#define TLS_PARAMS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "tls_err.h"

/* Protocol versions, in order, as the wire names them (RFC 8446 s4.2.1). */
enum tls_version
{
	TLS_VERSION_NONE = 0, /* no bound on this side: the library's own */
	TLS_VERSION_1_0 = 0x0301,
	TLS_VERSION_1_1 = 0x0302,
	TLS_VERSION_1_2 = 0x0303,
	TLS_VERSION_1_3 = 0x0304
};

/* A method word or range, parsed. */
struct tls_method
{
	enum tls_version min;
	enum tls_version max;
};

enum tls_verify_client
{
	TLS_VERIFY_CLIENT_OFF = 0,
	TLS_VERIFY_CLIENT_ON,
	TLS_VERIFY_CLIENT_OPTIONAL,
	TLS_VERIFY_CLIENT_OPTIONAL_NO_CA
};

enum tls_role
{
	TLS_ROLE_SERVER = 0,
	TLS_ROLE_CLIENT = 1
};

#define TLS_VERIFY_DEPTH_DEFAULT 9
#define TLS_SESSION_ID_MAX 32 /* RFC 5246 s7.4.1.2: opaque SessionID<0..32> */

/* Settings of one profile ("domain"). The rows are
 *   X(member, TYPE, default, minimum, maximum, modparam, cfg name, cfg alias,
 *     secret, doc)
 * TYPE: BOOL and INT (int member), STR and PATH (char * member, NULL = unset,
 * owned), METHOD (struct tls_method; default is a method word), VERIFY (enum
 * tls_verify_client). modparam: name of the modparam or NULL; cfg name: name
 * in tls.cfg or NULL. The order is the order of documentation and of RPC. */
#define TLS_PROFILE_OPTIONS(X)                                                 \
	X(method, METHOD, "TLSv1.2+", 0, 0, "tls_method", "method", "tls_method",  \
			0, "protocol version, version+ or version-version")                \
	X(verify_certificate, BOOL, 0, 0, 1, "verify_certificate",                 \
			"verify_certificate", "verify_cert", 0,                            \
			"verify the certificate of the peer when it sends one")            \
	X(verify_depth, INT, TLS_VERIFY_DEPTH_DEFAULT, 0, 100, "verify_depth",     \
			"verify_depth", NULL, 0, "longest accepted certificate chain")     \
	X(require_certificate, BOOL, 0, 0, 1, "require_certificate",               \
			"require_certificate", "require_cert", 0,                          \
			"refuse peers without a valid certificate")                        \
	X(verify_client, VERIFY, TLS_VERIFY_CLIENT_OFF, 0, 0, "verify_client",     \
			"verify_client", NULL, 0, "off, on, optional or optional_no_ca")   \
	X(private_key, PATH, NULL, 0, 0, "private_key", "private_key",             \
			"pkey_file", 0, "PEM file of the private key")                     \
	X(private_key_password, STR, NULL, 0, 0, "private_key_password",           \
			"private_key_password", "pkey_password", 1,                        \
			"password of the private key")                                     \
	X(ca_list, PATH, NULL, 0, 0, "ca_list", "ca_list", "calist_file", 0,       \
			"PEM file of trusted CAs")                                         \
	X(ca_path, PATH, NULL, 0, 0, "ca_path", "ca_path", NULL, 0,                \
			"hashed directory of trusted CAs")                                 \
	X(crl, PATH, NULL, 0, 0, "crl", "crl", NULL, 0,                            \
			"PEM file of revocation lists, checked for the whole chain")       \
	X(certificate, PATH, NULL, 0, 0, "certificate", "certificate",             \
			"cert_file", 0, "PEM file of the certificate chain, own first")    \
	X(cipher_list, STR, NULL, 0, 0, "cipher_list", "cipher_list", NULL, 0,     \
			"OpenSSL cipher string for TLS 1.2 and older")                     \
	X(server_name, STR, NULL, 0, 0, "server_name", "server_name", NULL, 0,     \
			"name (SNI) that this profile serves")                             \
	X(server_name_mode, INT, 0, 0, 2, "server_name_mode", "server_name_mode",  \
			NULL, 0, "0 exact, 1 exact or sub-domain, 2 sub-domain only")      \
	X(server_id, STR, NULL, 0, 0, "server_id", "server_id", NULL, 0,           \
			"label by which the script selects a client profile")              \
	X(max_connections, INT, 0, 0, 1 << 30, "max_connections",                  \
			"max_connections", NULL, 0,                                        \
			"most connections of this profile, 0 = no limit")                  \
	X(certificate2, PATH, NULL, 0, 0, "certificate2", "certificate2",          \
			"cert_file2", 0, "second certificate chain, of another algorithm") \
	X(private_key2, PATH, NULL, 0, 0, "private_key2", "private_key2",          \
			"pkey_file2", 0, "PEM file of the second private key")             \
	X(private_key_password2, STR, NULL, 0, 0, "private_key_password2",         \
			"private_key_password2", "pkey_password2", 1,                      \
			"password of the second private key")                              \
	X(verify_name, STR, NULL, 0, 0, "verify_name", "verify_name", NULL, 0,     \
			"off, sip or host: check the name in the peer's certificate")      \
	X(verify_name_wildcards, BOOL, 0, 0, 1, "verify_name_wildcards",           \
			"verify_name_wildcards", NULL, 0,                                  \
			"let *.name in a certificate stand for one label")                 \
	X(peer_names, STR, NULL, 0, 0, "peer_names", "peer_names", NULL, 0,        \
			"names, one of which the peer's certificate must have")            \
	X(verify_eku, STR, NULL, 0, 0, "verify_eku", "verify_eku", NULL, 0,        \
			"off or sip: purpose of the peer's certificate")                   \
	X(peer_pin, STR, NULL, 0, 0, "peer_pin", "peer_pin", NULL, 0,              \
			"SHA-256 of the public keys that the peer may have")               \
	X(ciphersuites, STR, NULL, 0, 0, "ciphersuites", "ciphersuites", NULL, 0,  \
			"cipher suites for TLS 1.3, separated by colons")                  \
	X(groups, STR, NULL, 0, 0, "groups", "groups", "curves", 0,                \
			"groups of the key exchange, separated by colons")                 \
	X(sigalgs, STR, NULL, 0, 0, "sigalgs", "sigalgs", NULL, 0,                 \
			"signature algorithms, separated by colons")                       \
	X(security_level, INT, -1, -1, 5, "security_level", "security_level",      \
			NULL, 0, "OpenSSL's security level, -1 = the library's own")       \
	X(dh_params, PATH, NULL, 0, 0, "dh_params", "dh_params", NULL, 0,          \
			"PEM file with parameters of Diffie-Hellman")                      \
	X(crl_check, STR, NULL, 0, 0, "crl_check", "crl_check", NULL, 0,           \
			"leaf or chain: whose revocation is checked")                      \
	X(alpn, STR, NULL, 0, 0, "alpn", "alpn", NULL, 0,                          \
			"application protocols, best first, separated by commas")          \
	X(session_tickets, BOOL, 1, 0, 1, "session_tickets", "session_tickets",    \
			NULL, 0, "resumption with tickets")                                \
	X(strict_sni, BOOL, 0, 0, 1, "strict_sni", "strict_sni", NULL, 0,          \
			"refuse clients that ask for a name that no profile has")          \
	X(sni, STR, NULL, 0, 0, "sni", "sni", NULL, 0,                             \
			"name that clients send: a host name, auto or none")               \
	X(ocsp_file, PATH, NULL, 0, 0, "ocsp_file", "ocsp_file", NULL, 0,          \
			"OCSP response in DER form that is stapled to certificate")        \
	X(ocsp_file2, PATH, NULL, 0, 0, "ocsp_file2", "ocsp_file2", NULL, 0,       \
			"OCSP response in DER form that is stapled to certificate2")       \
	X(ocsp, STR, NULL, 0, 0, "ocsp", "ocsp", NULL, 0,                          \
			"off, check or require: OCSP responses that servers staple")

/* Settings of the whole module. The rows are
 *   X(member, TYPE, default, minimum, maximum, modparam, cfg variable,
 *     writable at run time, rpc field, doc)
 * TYPE: BOOL and INT (int member), STR and PATH (char * member, owned).
 * cfg variable: name in the run-time group "tls" or NULL. rpc field: name in
 * tls.options or NULL. Defaults are those of the stock module unless doc
 * says otherwise. */
#define TLS_SETTINGS_OPTIONS(X)                                                \
	X(force_run, BOOL, 0, 0, 1, "tls_force_run", "force_run", 0, "force_run",  \
			"start although the library's version differs")                    \
	X(session_cache, BOOL, 0, 0, 1, "session_cache", "session_cache", 0,       \
			"session_cache", "server-side session cache")                      \
	X(session_id, STR, "kamailio-tls", 0, TLS_SESSION_ID_MAX, "session_id",    \
			"session_id", 0, "session_id", "session id context")               \
	X(config, PATH, NULL, 0, 0, "config", "config", 1, "config",               \
			"file or directory of profiles")                                   \
	X(log, INT, 3, 0, 1000, "tls_log", "log", 1, "log",                        \
			"log level of informational messages")                             \
	X(debug, INT, 3, 0, 1000, "tls_debug", "debug", 1, "debug",                \
			"log level of debug messages")                                     \
	X(connection_timeout, INT, 600, -1, INT_MAX, "connection_timeout",         \
			"connection_timeout", 1, "connection_timeout",                     \
			"idle lifetime of a connection in s, negative = longest")          \
	X(disable_compression, BOOL, 1, 0, 1, "tls_disable_compression",           \
			"disable_compression", 0, "disable_compression",                   \
			"no TLS compression; 0 is ignored (RFC 9325 s3.3)")                \
	X(ssl_release_buffers, INT, 1, -1, 1, "ssl_release_buffers",               \
			"ssl_release_buffers", 0, "ssl_release_buffers",                   \
			"free record buffers of idle connections, -1 = library default")   \
	X(ssl_freelist_max_len, INT, 0, -1, 1 << 30, "ssl_freelist_max_len",       \
			"ssl_free_list_max", 0, "ssl_freelist_max",                        \
			"no effect, kept for old configurations")                          \
	X(ssl_max_send_fragment, INT, -1, -1, 16384, "ssl_max_send_fragment",      \
			"ssl_max_send_fragment", 0, "ssl_max_send_fragment",               \
			"clear text bytes per record, 512 to 16384, -1 = largest")         \
	X(ssl_read_ahead, INT, 0, -1, 1, "ssl_read_ahead", "ssl_read_ahead", 0,    \
			"ssl_read_ahead", "library read ahead, -1 = library default")      \
	X(send_close_notify, BOOL, 0, 0, 1, "send_close_notify",                   \
			"send_close_notify", 1, "send_close_notify",                       \
			"send the close alert before closing")                             \
	X(low_mem_threshold1, INT, -1, -1, 1 << 30, "low_mem_threshold1",          \
			"low_mem_threshold1", 1, "low_mem_threshold1",                     \
			"KB of free shared memory under which connections are refused")    \
	X(low_mem_threshold2, INT, -1, -1, 1 << 30, "low_mem_threshold2",          \
			"low_mem_threshold2", 1, "low_mem_threshold2",                     \
			"KB of free shared memory under which everything is refused")      \
	X(handshake_timeout, INT, 5000, 0, 3600000, "handshake_timeout",           \
			"handshake_timeout", 1, "handshake_timeout",                       \
			"ms within which a handshake must be complete, 0 = no limit")      \
	X(max_handshakes, INT, 0, 0, 1 << 30, "max_handshakes", "max_handshakes",  \
			1, "max_handshakes",                                               \
			"handshakes of peers at the same time, 0 = no limit")              \
	X(handshake_rate, INT, 0, 0, 60000, "handshake_rate", "handshake_rate", 1, \
			"handshake_rate", "handshakes of peers in a second, 0 = no limit") \
	X(handshake_rate_source, INT, 0, 0, 60000, "handshake_rate_source",        \
			"handshake_rate_source", 1, "handshake_rate_source",               \
			"handshakes in a second from one address, 0 = no limit")           \
	X(max_record_fragments, INT, 0, 0, 1 << 30, "max_record_fragments",        \
			"max_record_fragments", 1, "max_record_fragments",                 \
			"records that one message may come in, 0 = no limit")              \
	X(crlf_drop, BOOL, 0, 0, 1, "crlf_drop", "crlf_drop", 1, "crlf_drop",      \
			"drop keep-alives of a single CRLF")                               \
	X(keylog_mode, INT, 0, 0, 2047, "keylog_mode", "keylog_mode", 1,           \
			"keylog_mode",                                                     \
			"bits: 1 may, 2 does write keys, to 4 log, 8 file, 16 peer, "      \
			"1024 filtered")                                                   \
	X(keylog_file, PATH, NULL, 0, 0, "keylog_file", "keylog_file", 0,          \
			"keylog_file", "file of the key log, mode 0600")                   \
	X(keylog_peer, STR, NULL, 0, 0, "keylog_peer", "keylog_peer", 0,           \
			"keylog_peer", "udp:ip:port that the key log is sent to")          \
	X(log_rate, INT, 20, 0, 1 << 30, "log_rate", "log_rate", 1, "log_rate",    \
			"lines about one cause in 10 s, 0 = no limit")                     \
	X(ct_wq_max, INT, 10485760, 0, 1 << 30, "ct_wq_max", "ct_wq_max", 1,       \
			"ct_wq_max", "clear text bytes queued by all connections")         \
	X(con_ct_wq_max, INT, 65536, 0, 4194304, "con_ct_wq_max", "con_ct_wq_max", \
			1, "con_ct_wq_max", "clear text bytes queued by one connection")   \
	X(ct_wq_blk_size, INT, 4096, 1, 65536, "ct_wq_blk_size", "ct_wq_blk_size", \
			1, "ct_wq_blk_size", "block size of the clear text queue")         \
	X(renegotiation, BOOL, 0, 0, 1, "renegotiation", NULL, 0, NULL,            \
			"allow renegotiation started by the peer (TLS 1.2 and older)")     \
	X(xavp_cfg, STR, NULL, 0, 0, "xavp_cfg", NULL, 0, NULL,                    \
			"name of the xavp with server_name and server_id of connections "  \
			"that are opened")                                                 \
	X(record_layer, STR, "own", 0, 0, "record_layer", NULL, 0, NULL,           \
			"own or openssl: who protects records after the handshake")        \
	X(reload_on_change, INT, 0, 0, 86400, "reload_on_change",                  \
			"reload_on_change", 1, NULL,                                       \
			"seconds between looks at the files, 0 = do not look")             \
	X(key_password_mode, INT, 0, 0, 1, "key_password_mode", NULL, 0, NULL,     \
			"1 asks on the terminal for passwords that are not configured")    \
	X(provider_quirks, INT, 0, 0, INT_MAX, "provider_quirks", NULL, 0, NULL,   \
			"no effect, kept for old configurations")                          \
	X(provider_quirks_config, PATH, NULL, 0, 0, "provider_quirks_config",      \
			NULL, 0, NULL, "OpenSSL configuration file that loads providers")  \
	X(engine, STR, NULL, 0, 0, "engine", NULL, 0, NULL,                        \
			"OpenSSL engine that gives keys named /engine:...")                \
	X(engine_config, PATH, NULL, 0, 0, "engine_config", NULL, 0, NULL,         \
			"OpenSSL configuration file with commands for the engine")         \
	X(engine_algorithms, STR, NULL, 0, 0, "engine_algorithms", NULL, 0, NULL,  \
			"no effect: an engine is used for its keys only")                  \
	X(init_mode, INT, 0, 0, INT_MAX, "init_mode", NULL, 0, NULL,               \
			"no effect, kept for old configurations")                          \
	X(event_callback, STR, NULL, 0, 0, "event_callback", NULL, 0, NULL,        \
			"script function that is called in place of the event route")      \
	X(reuse_check, STR, "off", 0, 0, "reuse_check", NULL, 0, NULL,             \
			"off, profile or name: which open connection a message may use")   \
	X(rand_engine, STR, NULL, 0, 0, "rand_engine", NULL, 0, NULL,              \
			"accepted for old configurations; the library's generator is "     \
			"used")

#define TLS_MEMBER_BOOL int
#define TLS_MEMBER_INT int
#define TLS_MEMBER_STR char *
#define TLS_MEMBER_PATH char *
#define TLS_MEMBER_METHOD struct tls_method
#define TLS_MEMBER_VERIFY enum tls_verify_client

#define TLS_PROFILE_MEMBER(                                             \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, secret_, doc_) \
	TLS_MEMBER_##type_ m_;
struct tls_profile_params
{
	TLS_PROFILE_OPTIONS(TLS_PROFILE_MEMBER)
};
#undef TLS_PROFILE_MEMBER

#define TLS_SETTINGS_MEMBER(                                      \
		m_, type_, def_, min_, max_, mod_, cfg_, rt_, rpc_, doc_) \
	TLS_MEMBER_##type_ m_;
struct tls_settings
{
	TLS_SETTINGS_OPTIONS(TLS_SETTINGS_MEMBER)
};
#undef TLS_SETTINGS_MEMBER

/* Index of each profile option, in the order of the table. */
#define TLS_PROFILE_INDEX(                                              \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, secret_, doc_) \
	TLS_PROFILE_OPTION_##m_,
enum tls_profile_option
{
	TLS_PROFILE_OPTIONS(TLS_PROFILE_INDEX) TLS_PROFILE_OPTION_COUNT
};
#undef TLS_PROFILE_INDEX

/* Longest method text with its 0 byte, e.g. "TLSv1.2-TLSv1.3". */
#define TLS_METHOD_TEXT_MAX 24

/* ---- words: all compared without case; on error CONFIG with a sentence in
 * ERR (may be NULL) that quotes WORD, and *OUT unchanged ---- */

/* Reads a method: "TLSv1" or "TLSv1.0" to "TLSv1.3" (exactly that one),
 * with "+" (or newer), "TLSv1.2-TLSv1.3" (from, to), or "SSLv23" (what both
 * sides know, from TLS 1.2 on: RFC 8996 retires what is older, which the
 * stock module still allowed; old versions need their own word here).
 * SSLv2 and SSLv3 are refused (RFC 6176, RFC 7568). */
enum tls_rc tls_params_parse_method(const char *word, struct tls_method *out,
		struct tls_err *err) TLS_MUST_CHECK;

/* Writes METHOD into OUT so that tls_params_parse_method would read it
 * back; "any" when it has no lower bound. Returns OUT. */
char *tls_params_method_text(
		const struct tls_method *method, char out[TLS_METHOD_TEXT_MAX]);

/* Reads yes true enable enabled 1 on (*OUT = 1) or no false disable
 * disabled 0 off (*OUT = 0). */
enum tls_rc tls_params_parse_bool(
		const char *word, int *out, struct tls_err *err) TLS_MUST_CHECK;

/* Reads a decimal number with optional sign, MIN <= number <= MAX. */
enum tls_rc tls_params_parse_int(const char *word, int min, int max, int *out,
		struct tls_err *err) TLS_MUST_CHECK;

/* How a private_key begins that is not a file but a key of a provider or of an
 * engine (tls_foreign.h); true when KEY begins like one of them. */
#define TLS_PARAMS_KEY_URI "/uri:"
#define TLS_PARAMS_KEY_ENGINE "/engine:"
bool tls_params_is_foreign(const char *key);

/* PATH for people, in OUT of SIZE bytes, which is returned: a key on a token
 * (/uri:, /engine:) is shown without the PIN in its name (pin-value, RFC 7512
 * s2.4). */
const char *tls_params_path_text(const char *path, char *out, size_t size);

/* Reads off, on, optional or optional_no_ca; the second gives the word. */
enum tls_rc tls_params_parse_verify_client(const char *word,
		enum tls_verify_client *out, struct tls_err *err) TLS_MUST_CHECK;
const char *tls_params_verify_client_text(enum tls_verify_client verify);

/* Value of ca_list that stands for the CAs that the system trusts. */
#define TLS_PARAMS_SYSTEM_CA "@system"

/* Longest list of application protocols on the wire (RFC 7301 s3.1). */
#define TLS_PARAMS_ALPN_MAX 255

/* Reads a list of application protocols ("sip/2, http/1.1": names of 1 to
 * 255 printable bytes, separated by commas or blanks) into OUT as it stands on
 * the wire, each name behind its length, and its number of bytes into *N_OUT.
 * On error *N_OUT is 0. */
enum tls_rc tls_params_parse_alpn(const char *text,
		unsigned char out[TLS_PARAMS_ALPN_MAX], size_t *n_out,
		struct tls_err *err) TLS_MUST_CHECK;

/* ---- owned strings in shared memory ---- */

/* Replaces the owned string *SLOT by a copy of TEXT; NULL or "" make it
 * NULL (not set). SECRET wipes the old one. Returns OK or NOMEM (*SLOT is
 * then unchanged). */
enum tls_rc tls_params_set_text(
		char **slot, const char *text, bool secret) TLS_MUST_CHECK;

/* The path rule: VALUE is used as it is when it begins with '/' (also
 * "/engine:..." and "/uri:..."), '.' or '@', else it is under BASE_DIR (NULL or
 * "" = the current directory, which is then written as "./"). Applying it
 * twice changes nothing. *OUT is an owned string, for tls_port_free, NULL
 * when VALUE is NULL or "". Returns OK or NOMEM. */
enum tls_rc tls_params_path(
		const char *value, const char *base_dir, char **out) TLS_MUST_CHECK;

/* ---- one profile ---- */

/* Sets every member to its default. Allocates nothing. */
void tls_params_profile_init(struct tls_profile_params *params);

/* Frees what PARAMS owns, wipes the secrets and sets all to default; a
 * structure of zero bytes is fine, NULL too. */
void tls_params_profile_clear(struct tls_profile_params *params);

/* Makes *OUT (initialised; what it owned is freed) a deep copy of FROM.
 * Returns OK, or NOMEM with *OUT unchanged. */
enum tls_rc tls_params_profile_copy(const struct tls_profile_params *from,
		struct tls_profile_params *out) TLS_MUST_CHECK;

/* Copies option INDEX alone, under the same rules. */
enum tls_rc tls_params_profile_copy_option(size_t index,
		const struct tls_profile_params *from,
		struct tls_profile_params *out) TLS_MUST_CHECK;

/* Index of the option that is called NAME (name in tls.cfg, alias or
 * modparam, without case), or TLS_PROFILE_OPTION_COUNT. The second gives
 * the name in tls.cfg, the third whether its value is a secret, the fourth
 * whether it is a string or path that is not set in PARAMS. */
size_t tls_params_profile_find(const char *name);
const char *tls_params_profile_name(size_t index);
bool tls_params_profile_is_secret(size_t index);
bool tls_params_profile_is_unset(
		const struct tls_profile_params *params, size_t index);

/* Writes the value of option INDEX as it would be read into OUT of SIZE bytes,
 * stars for a secret, nothing for a text that is not set; cut when it is too
 * long. Returns OUT. */
char *tls_params_profile_text(const struct tls_profile_params *params,
		size_t index, char *out, size_t size);

/* Sets the option NAME (found as above) from text; paths go through
 * tls_params_path with BASE_DIR. Returns OK; CONFIG for an unknown name or a
 * bad value, with a sentence in ERR that quotes it unless it is a secret;
 * NOMEM. PARAMS is unchanged unless OK. */
enum tls_rc tls_params_set_profile_option(struct tls_profile_params *params,
		const char *name, const char *value, const char *base_dir,
		struct tls_err *err) TLS_MUST_CHECK;

/* Checks the ranges of numbers that did not come through the function above
 * (modparams are stored by the host). Returns OK or CONFIG. */
enum tls_rc tls_params_check_profile(const struct tls_profile_params *params,
		struct tls_err *err) TLS_MUST_CHECK;

/* ---- the whole module ---- */

/* Sets every member to its default. Returns OK, or NOMEM with *SETTINGS
 * all zero. */
enum tls_rc tls_params_settings_init(
		struct tls_settings *settings) TLS_MUST_CHECK;

/* Frees what SETTINGS owns and makes it all zero; NULL is fine. */
void tls_params_settings_clear(struct tls_settings *settings);

/* Checks every range, the length of session_id and the word of rand_engine,
 * all of which may come from the host unchecked. A negative
 * connection_timeout becomes -1 (longest). Returns OK or CONFIG. */
enum tls_rc tls_params_check_settings(
		struct tls_settings *settings, struct tls_err *err) TLS_MUST_CHECK;

#endif
