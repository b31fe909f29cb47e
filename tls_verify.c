/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Verification policy of a profile and its verdicts; see tls_verify.h. */

#include "tls_verify.h"

#include <sys/stat.h>
#include <stdlib.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tls_ident.h"
#include "tls_name.h"
#include "tls_ocsp.h"
#include "tls_ossl.h"
#include "tls_port.h"

/* Length of a pin as hexadecimal digits and in base 64 (RFC 4648 s4). */
#define PIN_HEX (2 * TLS_IDENT_PIN_BYTES)
#define PIN_BASE64 44

/* Between the entries of a list. */
#define SEPARATORS ", \t"

/* Longest entry of a list with its 0 byte: an address in brackets. */
#define ENTRY_MAX (TLS_NAME_MAX + 3)

/* The value of status_request in the extension of RFC 7633 s4. */
#define FEATURE_STATUS_REQUEST 5

/* What a client wants of the OCSP response that a server staples. */
enum ocsp_mode
{
	OCSP_OFF = 0, /* does not ask */
	OCSP_CHECK,	  /* what comes has to be good */
	OCSP_REQUIRE  /* and it has to come */
};

/* What is checked besides the chain; hangs on the context. */
struct policy
{
	bool lax; /* every chain passes */
	enum tls_ident_mode mode;
	bool wildcards;
	bool for_sip; /* verify_eku */
	enum ocsp_mode ocsp;
	char *names; /* owned; peer_names as written, or NULL */
	size_t n_pins;
	unsigned char (*pins)[TLS_IDENT_PIN_BYTES]; /* owned */
};

static int policy_index = -1; /* ex_data of SSL_CTX: its policy */
static int state_index = -1;  /* ex_data of SSL: its tls_verify_state */

static void policy_free(struct policy *policy)
{
	if(policy == NULL)
		return;
	OPENSSL_free(policy->names);
	OPENSSL_free(policy->pins);
	OPENSSL_free(policy);
}

/* A context takes its policy with it. */
static void free_policy_cb(void *parent, void *ptr, CRYPTO_EX_DATA *data,
		int index, long argl, void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	policy_free(ptr);
}

enum tls_rc tls_verify_init(void)
{
	if(policy_index < 0)
		policy_index =
				SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_policy_cb);
	if(state_index < 0)
		state_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return policy_index < 0 || state_index < 0 ? TLS_RC_NOMEM : TLS_RC_OK;
}

/* NULL for contexts that are not of the module. */
static const struct policy *policy_of(const SSL *ssl)
{
	return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), policy_index);
}

static struct tls_verify_state *state_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, state_index);
}

const struct tls_verify_state *tls_verify_state(const SSL *ssl)
{
	return state_of(ssl);
}

bool tls_verify_requires(const struct tls_profile_params *params)
{
	return params->require_certificate != 0
		   || params->verify_client == TLS_VERIFY_CLIENT_ON;
}

bool tls_verify_asks(const struct tls_profile_params *params)
{
	return tls_verify_requires(params) || params->verify_certificate != 0
		   || params->verify_client != TLS_VERIFY_CLIENT_OFF;
}

/* ---- lists ---- */

/* Copies the next entry of the list *AT to OUT and steps over it. False at the
 * end; an entry that is too long comes as an empty one. */
static bool next_entry(const char **at, char out[ENTRY_MAX])
{
	size_t n;

	*at += strspn(*at, SEPARATORS);
	n = strcspn(*at, SEPARATORS);
	if(n == 0)
		return false;
	snprintf(out, ENTRY_MAX, "%.*s", n < ENTRY_MAX ? (int)n : 0, *at);
	*at += n;
	return true;
}

/* ---- names ---- */

/* Does CERT speak for the name asked for, or for one of the list? */
static bool speaks_for(const struct policy *policy, const char *name,
		const X509 *cert, enum tls_ident_mode mode)
{
	const char *at = policy->names;
	char entry[ENTRY_MAX];

	if(name != NULL)
		return tls_ident_match(cert, name, mode, policy->wildcards);
	while(at != NULL && next_entry(&at, entry)) {
		if(tls_ident_match(cert, entry, mode, policy->wildcards))
			return true;
	}
	return false;
}

int tls_verify_name_ok(const SSL *ssl, const X509 *cert)
{
	const struct tls_verify_state *state = state_of(ssl);
	const struct policy *policy = policy_of(ssl);
	const char *name = state != NULL ? state->name : NULL;

	if(policy == NULL || (name == NULL && policy->names == NULL))
		return -1;
	return speaks_for(policy, name, cert,
			policy->mode != TLS_IDENT_OFF ? policy->mode : TLS_IDENT_SIP);
}

/* ---- the first failure ---- */

/* What is known of the connection in which STORE verifies; NULL: none. */
static struct tls_verify_state *state_in(X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
			store, SSL_get_ex_data_X509_STORE_CTX_idx());

	return ssl != NULL ? state_of(ssl) : NULL;
}

/* Who the certificate is, in one line without bytes that forge another. */
static void describe(const X509 *cert, char *out, size_t size)
{
	char subject[128], issuer[128];
	char *serial = NULL;
	BIGNUM *number;

	X509_NAME_oneline(X509_get_subject_name(cert), subject, sizeof(subject));
	X509_NAME_oneline(X509_get_issuer_name(cert), issuer, sizeof(issuer));
	number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	if(number != NULL && BN_num_bytes(number) <= 32)
		serial = BN_bn2hex(number);
	snprintf(out, size, ", subject \"%s\", issuer \"%s\", serial %s", subject,
			issuer, serial != NULL ? serial : "unknown");
	OPENSSL_free(serial);
	BN_free(number);
}

/* Keeps in STATE that CERT (NULL = none) at DEPTH failed with RESULT. MORE goes
 * in front of its description. */
static void keep_failure(struct tls_verify_state *state, long result, int depth,
		const X509 *cert, const char *more)
{
	char who[400] = "";

	state->result = result;
	state->depth = depth;
	if(cert != NULL)
		describe(cert, who, sizeof(who));
	state->text = tls_port_alloc(TLS_ERR_TEXT_MAX);
	if(state->text != NULL) /* else the reason alone has to do */
		snprintf(state->text, TLS_ERR_TEXT_MAX, "(%s) at depth %d%s%s",
				X509_verify_cert_error_string(state->result), state->depth,
				more, who);
}

/* Keeps the first failure of a verification: later ones are often only what
 * follows from it. */
static void note_failure(X509_STORE_CTX *store, const char *more)
{
	struct tls_verify_state *state = store != NULL ? state_in(store) : NULL;

	if(state != NULL && state->result == X509_V_OK)
		keep_failure(state, X509_STORE_CTX_get_error(store),
				X509_STORE_CTX_get_error_depth(store),
				X509_STORE_CTX_get_current_cert(store), more);
}

/* optional_no_ca: every chain passes the handshake; the verdict stays in the
 * verify result, where scripts see it. */
static int accept_all_cb(int ok, X509_STORE_CTX *store)
{
	if(!ok)
		note_failure(store, "");
	return 1;
}

/* What OpenSSL does without a callback. Never NULL: SSL_set_verify keeps the
 * old callback when it is given NULL, so a connection that a server name moves
 * from an optional_no_ca profile to a strict one would stay lax. */
static int obey_cb(int ok, X509_STORE_CTX *store)
{
	if(!ok)
		note_failure(store, "");
	return ok;
}

void tls_verify_move(SSL *ssl, const SSL_CTX *ctx)
{
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx),
			SSL_CTX_get_verify_callback(ctx));
	SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx));
}

bool tls_verify_is_lax(const SSL *ssl)
{
	return SSL_get_verify_callback(ssl) == accept_all_cb;
}

/* ---- checks of the peer's own certificate ---- */

/* The verdict RESULT about the peer's own certificate. */
static int refuse(X509_STORE_CTX *store, int result, const char *more)
{
	X509_STORE_CTX_set_error_depth(store, 0);
	X509_STORE_CTX_set_current_cert(store, X509_STORE_CTX_get0_cert(store));
	X509_STORE_CTX_set_error(store, result);
	note_failure(store, more);
	return 0;
}

static int check_pins(X509_STORE_CTX *store, const struct policy *policy)
{
	unsigned char pin[TLS_IDENT_PIN_BYTES];
	size_t i;

	if(policy->n_pins == 0)
		return 1;
	if(!tls_ident_pin(X509_STORE_CTX_get0_cert(store), pin))
		return refuse(store, X509_V_ERR_OUT_OF_MEM, "");
	for(i = 0; i < policy->n_pins; i++) {
		if(memcmp(pin, policy->pins[i], sizeof(pin)) == 0)
			return 1;
	}
	return refuse(store, X509_V_ERR_APPLICATION_VERIFICATION,
			", its key is not in peer_pin");
}

static int check_name(X509_STORE_CTX *store, const struct policy *policy)
{
	const struct tls_verify_state *state = state_in(store);
	const char *name = state != NULL ? state->name : NULL;
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	char names[TLS_IDENT_NAMES_MAX];
	char more[TLS_IDENT_NAMES_MAX + 128];

	if(policy->mode == TLS_IDENT_OFF
			|| speaks_for(policy, name, cert, policy->mode))
		return 1;
	snprintf(more, sizeof(more), ", expected %.64s, names seen: %s",
			name != NULL			? name
			: policy->names != NULL ? policy->names
									: "a name",
			tls_ident_names(cert, names));
	return refuse(store,
			name != NULL && tls_name_is_ip(name, strlen(name))
					? X509_V_ERR_IP_ADDRESS_MISMATCH
					: X509_V_ERR_HOSTNAME_MISMATCH,
			more);
}

/* A session must not outlive what made it trustworthy: its certificates are
 * not looked at again when it is resumed. */
static void limit_session(SSL *ssl, STACK_OF(X509) * chain)
{
	SSL_SESSION *session = SSL_get_session(ssl);
	int i, days, seconds;

	if(session == NULL)
		return;
	for(i = 0; i < sk_X509_num(chain); i++) {
		const ASN1_TIME *end = X509_get0_notAfter(sk_X509_value(chain, i));

		if(ASN1_TIME_diff(&days, &seconds, NULL, end) == 1 && days < 1
				&& seconds < SSL_SESSION_get_timeout(session))
			SSL_SESSION_set_timeout(session, seconds > 0 ? seconds : 1);
	}
}

/* In place of X509_verify_cert alone: the chain first, then what the policy
 * wants of the peer's own certificate. ARG belongs to the context that the
 * connection has now, also after a server name has moved it. */
static int verify_cb(X509_STORE_CTX *store, void *arg)
{
	const struct policy *policy = arg;
	struct tls_verify_state *state = state_in(store);
	SSL *ssl = X509_STORE_CTX_get_ex_data(
			store, SSL_get_ex_data_X509_STORE_CTX_idx());
	int good;

	if(state != NULL) {
		tls_port_free(state->text);
		state->text = NULL;
		state->result = X509_V_OK;
		state->depth = 0;
	}
	/* A certificate for SIP alone (RFC 5924) has none of the purposes that
	 * the library looks for in TLS. */
	if(policy->for_sip)
		X509_VERIFY_PARAM_set_purpose(
				X509_STORE_CTX_get0_param(store), X509_PURPOSE_ANY);
	good = X509_verify_cert(store);
	if(good > 0 && policy->for_sip
			&& !tls_ident_is_for_sip(X509_STORE_CTX_get0_cert(store)))
		good = refuse(store, X509_V_ERR_INVALID_PURPOSE, ", not for SIP");
	if(good > 0)
		good = check_pins(store, policy);
	if(good > 0)
		good = check_name(store, policy);
	if(good > 0 && ssl != NULL)
		limit_session(ssl, X509_STORE_CTX_get0_chain(store));
	/* where every chain passes, the library tells the last failure */
	if(state != NULL && state->result != X509_V_OK)
		X509_STORE_CTX_set_error(store, (int)state->result);
	return good > 0 ? 1 : 0;
}

/* ---- OCSP ---- */

/* The verdict RESULT about the server's certificate. */
static int refuse_status(
		SSL *ssl, const X509 *cert, long result, const char *text)
{
	struct tls_verify_state *state = state_of(ssl);
	char more[256];

	snprintf(more, sizeof(more), ", %s", text);
	if(state != NULL) {
		tls_port_free(state->text);
		state->text = NULL;
		keep_failure(state, result, 0, cert, more);
	}
	SSL_set_verify_result(ssl, result);
	return 0;
}

/* Did the CA say that servers with CERT staple (RFC 7633 s4)? An extension that
 * cannot be read says yes. */
static bool must_staple(const X509 *cert)
{
	int critical = -1, i;
	TLS_FEATURE *features =
			X509_get_ext_d2i(cert, NID_tlsfeature, &critical, NULL);
	bool must = features == NULL && critical != -1;

	for(i = 0; i < sk_ASN1_INTEGER_num(features); i++) {
		if(ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i))
				== FEATURE_STATUS_REQUEST)
			must = true;
	}
	TLS_FEATURE_free(features);
	return must;
}

static long result_of(enum tls_ocsp_status status)
{
	switch(status) {
		case TLS_OCSP_GOOD:
			return X509_V_OK;
		case TLS_OCSP_REVOKED:
			return X509_V_ERR_CERT_REVOKED;
		case TLS_OCSP_UNKNOWN:
			return X509_V_ERR_OCSP_CERT_UNKNOWN;
		case TLS_OCSP_OLD:
		case TLS_OCSP_EARLY:
		case TLS_OCSP_REFUSED:
		case TLS_OCSP_FOREIGN:
		case TLS_OCSP_BROKEN:
			break;
	}
	return X509_V_ERR_OCSP_VERIFY_FAILED;
}

/* Looks at what the server stapled, when its flight is complete and the chain
 * is verified. For 0 the library sends bad_certificate_status_response (RFC
 * 6066 s8). A resumed handshake has no response; no client profile resumes,
 * and require would refuse it. */
static int status_cb(SSL *ssl, void *arg)
{
	const struct policy *policy = policy_of(ssl);
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	struct tls_ocsp_verdict verdict;
	const unsigned char *der = NULL;
	long n = SSL_get_tlsext_status_ocsp_resp(ssl, &der);

	(void)arg;
	if(policy == NULL || policy->ocsp == OCSP_OFF)
		return 1;
	if(der == NULL || n <= 0) {
		if(policy->ocsp == OCSP_REQUIRE)
			return refuse_status(ssl, cert, X509_V_ERR_OCSP_VERIFY_NEEDED,
					"the server stapled no OCSP response");
		if(cert != NULL && must_staple(cert))
			return refuse_status(ssl, cert, X509_V_ERR_OCSP_VERIFY_NEEDED,
					"its CA wants an OCSP response and the server stapled "
					"none");
		return 1;
	}
	/* the issuer behind it is the one that was verified */
	tls_ocsp_judge(der, (size_t)n, sk_X509_value(chain, 0),
			sk_X509_value(chain, 1), (int64_t)time(NULL), &verdict);
	if(verdict.status == TLS_OCSP_GOOD)
		return 1;
	return refuse_status(ssl, cert, result_of(verdict.status), verdict.text);
}

/* ---- sessions that come back ---- */

/* Tickets carry the peer's certificate and are renewed whenever they are
 * used: one that has expired meanwhile asks for a full handshake. */
static SSL_TICKET_RETURN ticket_cb(SSL *ssl, SSL_SESSION *session,
		const unsigned char *name, size_t n_name, SSL_TICKET_STATUS status,
		void *arg)
{
	X509 *peer;

	(void)ssl;
	(void)name;
	(void)n_name;
	(void)arg;
	switch(status) {
		case SSL_TICKET_EMPTY:
		case SSL_TICKET_NO_DECRYPT:
			return SSL_TICKET_RETURN_IGNORE_RENEW;
		case SSL_TICKET_SUCCESS:
		case SSL_TICKET_SUCCESS_RENEW:
			break;
		default:
			return SSL_TICKET_RETURN_ABORT;
	}
	peer = SSL_SESSION_get0_peer(session);
	if(peer != NULL && X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE
										: SSL_TICKET_RETURN_USE_RENEW;
}

/* ---- from settings to a policy ---- */

static enum tls_rc set_mode(struct policy *policy,
		const struct tls_profile_params *params, struct tls_err *err)
{
	const char *word =
			params->verify_name != NULL ? params->verify_name : "off";
	const char *eku = params->verify_eku != NULL ? params->verify_eku : "off";

	if(!strcasecmp(word, "sip"))
		policy->mode = TLS_IDENT_SIP;
	else if(!strcasecmp(word, "host"))
		policy->mode = TLS_IDENT_HOST;
	else if(strcasecmp(word, "off"))
		return tls_err_set(err, TLS_RC_CONFIG,
				"verify_name: \"%s\" is none of off, sip and host", word);
	policy->wildcards = params->verify_name_wildcards != 0;
	policy->for_sip = !strcasecmp(eku, "sip");
	if(!policy->for_sip && strcasecmp(eku, "off"))
		return tls_err_set(err, TLS_RC_CONFIG,
				"verify_eku: \"%s\" is neither off nor sip", eku);
	return TLS_RC_OK;
}

/* What the word of PARAMS means; CHECK for one that nobody knows. */
static enum ocsp_mode ocsp_mode_of(
		const struct tls_profile_params *params, bool *known)
{
	const char *word = params->ocsp != NULL ? params->ocsp : "off";

	*known = true;
	if(!strcasecmp(word, "off"))
		return OCSP_OFF;
	if(!strcasecmp(word, "require"))
		return OCSP_REQUIRE;
	*known = !strcasecmp(word, "check");
	return OCSP_CHECK;
}

bool tls_verify_checks_status(const struct tls_profile_params *params)
{
	bool known;

	return ocsp_mode_of(params, &known) != OCSP_OFF;
}

/* Servers ask their clients for no response. */
static enum tls_rc set_ocsp(struct policy *policy, enum tls_role role,
		const struct tls_profile_params *params, struct tls_err *err)
{
	bool known;
	enum ocsp_mode mode = ocsp_mode_of(params, &known);

	if(!known)
		return tls_err_set(err, TLS_RC_CONFIG,
				"ocsp: \"%s\" is none of off, check and require", params->ocsp);
	if(role == TLS_ROLE_CLIENT)
		policy->ocsp = mode;
	return TLS_RC_OK;
}

static enum tls_rc set_names(struct policy *policy,
		const struct tls_profile_params *params, struct tls_err *err)
{
	char normal[TLS_NAME_MAX + 1];
	const char *at = params->peer_names;
	char entry[ENTRY_MAX];
	bool any = false;

	while(at != NULL && next_entry(&at, entry)) {
		any = true;
		if(!tls_name_is_ip(entry, strlen(entry))
				&& tls_name_normalise(entry, strlen(entry), normal)
						   != TLS_RC_OK)
			return tls_err_set(err, TLS_RC_CONFIG,
					"peer_names: \"%s\" is neither a host name nor an address",
					entry);
	}
	if(!any)
		return TLS_RC_OK;
	policy->names = OPENSSL_strdup(params->peer_names);
	return policy->names != NULL
				   ? TLS_RC_OK
				   : tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
}

/* One pin: 64 hexadecimal digits, or base 64 as "openssl dgst" and web pages
 * print it. */
static bool read_pin(const char *text, unsigned char out[TLS_IDENT_PIN_BYTES])
{
	unsigned char bytes[TLS_IDENT_PIN_BYTES + 1]; /* the padding counts */
	size_t n = 0;

	if(strlen(text) == PIN_HEX)
		return OPENSSL_hexstr2buf_ex(out, TLS_IDENT_PIN_BYTES, &n, text, '\0')
					   == 1
			   && n == TLS_IDENT_PIN_BYTES;
	if(strlen(text) != PIN_BASE64 || text[PIN_BASE64 - 1] != '='
			|| text[PIN_BASE64 - 2] == '='
			|| EVP_DecodeBlock(bytes, (const unsigned char *)text, PIN_BASE64)
					   != (int)sizeof(bytes))
		return false;
	memcpy(out, bytes, TLS_IDENT_PIN_BYTES);
	return true;
}

static enum tls_rc set_pins(struct policy *policy,
		const struct tls_profile_params *params, struct tls_err *err)
{
	const char *at = params->peer_pin;
	char entry[ENTRY_MAX];
	size_t n = 0;

	while(at != NULL && next_entry(&at, entry))
		n++;
	if(n == 0)
		return TLS_RC_OK;
	policy->pins = OPENSSL_zalloc(n * sizeof(*policy->pins));
	if(policy->pins == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	for(at = params->peer_pin; next_entry(&at, entry); policy->n_pins++) {
		if(!read_pin(entry, policy->pins[policy->n_pins])) {
			ERR_clear_error();
			return tls_err_set(err, TLS_RC_CONFIG,
					"peer_pin: \"%s\" is no SHA-256 of a public key (64 "
					"hexadecimal digits or 44 of base 64)",
					entry);
		}
	}
	return TLS_RC_OK;
}

/* A check that nothing would come of is a mistake with open doors. */
static enum tls_rc check_sense(const struct policy *policy, enum tls_role role,
		const struct tls_profile_params *params, struct tls_err *err)
{
	const char *setting = policy->mode != TLS_IDENT_OFF ? "verify_name"
						  : policy->n_pins > 0			? "peer_pin"
						  : policy->for_sip				? "verify_eku"
						  : policy->ocsp != OCSP_OFF	? "ocsp"
														: NULL;

	if(setting != NULL && (policy->lax || !tls_verify_asks(params)))
		return tls_err_set(err, TLS_RC_CONFIG,
				"%s: the peer's certificate is not verified; set "
				"verify_certificate or require_certificate",
				setting);
	if(policy->mode != TLS_IDENT_OFF && role == TLS_ROLE_SERVER
			&& policy->names == NULL)
		return tls_err_set(err, TLS_RC_CONFIG,
				"verify_name: a server profile needs peer_names, the names "
				"that its clients may have");
	return TLS_RC_OK;
}

static enum tls_rc policy_new(struct policy **out, enum tls_role role,
		const struct tls_profile_params *params, struct tls_err *err)
{
	struct policy *policy = OPENSSL_zalloc(sizeof(*policy));
	enum tls_rc rc;

	*out = NULL;
	if(policy == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	policy->lax = params->verify_client == TLS_VERIFY_CLIENT_OPTIONAL_NO_CA
				  && !tls_verify_requires(params)
				  && !params->verify_certificate;
	rc = set_mode(policy, params, err);
	if(rc == TLS_RC_OK)
		rc = set_names(policy, params, err);
	if(rc == TLS_RC_OK)
		rc = set_pins(policy, params, err);
	if(rc == TLS_RC_OK)
		rc = set_ocsp(policy, role, params, err);
	if(rc == TLS_RC_OK)
		rc = check_sense(policy, role, params, err);
	if(rc == TLS_RC_OK)
		*out = policy;
	else
		policy_free(policy);
	return rc;
}

enum tls_rc tls_verify_setup(SSL_CTX *ctx, enum tls_role role,
		const struct tls_profile_params *params, struct tls_err *err)
{
	struct policy *policy;
	int mode = SSL_VERIFY_NONE;
	enum tls_rc rc = policy_new(&policy, role, params, err);

	if(rc != TLS_RC_OK)
		return rc;
	if(SSL_CTX_set_ex_data(ctx, policy_index, policy) != 1) {
		policy_free(policy);
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	}
	if(tls_verify_asks(params))
		mode = SSL_VERIFY_PEER;
	if(tls_verify_requires(params))
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, policy->lax ? accept_all_cb : obey_cb);
	SSL_CTX_set_verify_depth(ctx, params->verify_depth);
	SSL_CTX_set_cert_verify_callback(ctx, verify_cb, policy);
	if(policy->ocsp != OCSP_OFF) {
		SSL_CTX_set_tlsext_status_type(ctx, TLSEXT_STATUSTYPE_ocsp);
		SSL_CTX_set_tlsext_status_cb(ctx, status_cb);
	}
	if(role == TLS_ROLE_SERVER
			&& SSL_CTX_set_session_ticket_cb(ctx, NULL, ticket_cb, NULL) != 1)
		return tls_ossl_fail(err, TLS_RC_TLS, "could not watch tickets");
	return TLS_RC_OK;
}

/* ---- sessions ---- */

/* One text with its end, so that no two lists of texts look alike. */
static bool digest_text(EVP_MD_CTX *md, const char *text)
{
	const char *t = text != NULL ? text : "";

	return EVP_DigestUpdate(md, t, strlen(t) + 1) == 1;
}

/* What the file PATH holds now: the same path with another CA is another
 * policy, and so is a longer revocation list. */
static enum tls_rc digest_file(EVP_MD_CTX *md, const char *setting,
		const char *path, struct tls_err *err)
{
	unsigned char sum[EVP_MAX_MD_SIZE] = {0};
	unsigned char *buf = NULL;
	unsigned int n_sum = 0;
	size_t n = 0;
	enum tls_rc rc;
	bool good;

	if(path == NULL || path[0] == '@') /* the system's are not ours to watch */
		return TLS_RC_OK;
	rc = tls_ossl_read_file(setting, path, &buf, &n, err);
	if(rc != TLS_RC_OK)
		return rc;
	good = EVP_Digest(buf, n, sum, &n_sum, EVP_sha256(), NULL) == 1
		   && EVP_DigestUpdate(md, sum, n_sum) == 1;
	tls_ossl_release_file(&buf, n);
	return good ? TLS_RC_OK
				: tls_ossl_fail(
						err, TLS_RC_NOMEM, "could not digest \"%s\"", path);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* The names that the library looks for in a hashed directory: 0a0b0c0d.0, or
 * 0a0b0c0d.r0 for a revocation list. It never opens others. */
static int is_hashed(const struct dirent *entry)
{
	const char *at = entry->d_name;
	size_t n = strspn(at, "0123456789abcdef");

	if(n != 8 || at[n] != '.')
		return 0;
	at += n + 1;
	at += *at == 'r';
	return *at != '\0' && at[strspn(at, "0123456789")] == '\0';
}

/* What is in PATH: a file, or the regular files of a directory that MATTERS
 * picks, with their names, which decide in a hashed directory, in their order.
 */
static enum tls_rc digest_path(EVP_MD_CTX *md, const char *setting,
		const char *path, int (*matters)(const struct dirent *),
		struct tls_err *err)
{
	struct dirent **entries = NULL;
	enum tls_rc rc = TLS_RC_OK;
	char file[4096];
	struct stat st;
	int n, i, length;

	if(path == NULL || stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return digest_file(md, setting, path, err);
	n = scandir(path, &entries, matters, alphasort);
	for(i = 0; i < n && rc == TLS_RC_OK; i++) {
		length =
				snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		if(length <= 0 || (size_t)length >= sizeof(file) || stat(file, &st) != 0
				|| !S_ISREG(st.st_mode))
			continue;
		rc = digest_text(md, entries[i]->d_name)
					 ? digest_file(md, setting, file, err)
					 : tls_ossl_fail(
							 err, TLS_RC_NOMEM, "could not digest a policy");
	}
	for(i = 0; i < n; i++)
		(free)(entries[i]); /* libc made them */
	(free)(entries);
	return rc;
}

enum tls_rc tls_verify_digest(EVP_MD_CTX *md,
		const struct tls_profile_params *params, struct tls_err *err)
{
	const int numbers[] = {params->verify_certificate,
			params->require_certificate, (int)params->verify_client,
			params->verify_depth, params->verify_name_wildcards};
	enum tls_rc rc;

	if(EVP_DigestUpdate(md, numbers, sizeof(numbers)) != 1
			|| !digest_text(md, params->ca_list)
			|| !digest_text(md, params->ca_path)
			|| !digest_text(md, params->crl)
			|| !digest_text(md, params->crl_check)
			|| !digest_text(md, params->verify_name)
			|| !digest_text(md, params->peer_names)
			|| !digest_text(md, params->verify_eku)
			|| !digest_text(md, params->peer_pin)
			|| !digest_text(md, params->ocsp))
		return tls_ossl_fail(err, TLS_RC_NOMEM, "could not digest a policy");
	rc = digest_file(md, "ca_list", params->ca_list, err);
	if(rc == TLS_RC_OK)
		rc = digest_path(md, "ca_path", params->ca_path, is_hashed, err);
	if(rc == TLS_RC_OK)
		rc = digest_path(md, "crl", params->crl, is_visible, err);
	return rc;
}

/* ---- connections ---- */

enum tls_rc tls_verify_begin(struct tls_verify_state *state, SSL *ssl,
		enum tls_role role, const char *name, struct tls_err *err)
{
	const struct policy *policy = policy_of(ssl);
	size_t n;

	if(SSL_set_ex_data(ssl, state_index, state) != 1)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of shared memory");
	if(name != NULL && name[0] != '\0') {
		n = strlen(name);
		state->name = tls_port_alloc(n + 1);
		if(state->name == NULL)
			return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
		memcpy(state->name, name, n + 1);
	}
	if(role == TLS_ROLE_CLIENT && policy != NULL
			&& policy->mode != TLS_IDENT_OFF && state->name == NULL
			&& policy->names == NULL)
		return tls_err_set(err, TLS_RC_CONFIG,
				"verify_name: nobody said who the peer has to be; set "
				"peer_name or server_name of the xavp, or peer_names");
	return TLS_RC_OK;
}

void tls_verify_clear(struct tls_verify_state *state)
{
	tls_port_free(state->name);
	tls_port_free(state->text);
	memset(state, 0, sizeof(*state));
}

/* OpenSSL's own text only tells that a check failed. A client that does not
 * verify has a verdict too, which is then not why the handshake failed; nor
 * is one that optional_no_ca let pass. */
void tls_verify_explain(const struct tls_verify_state *state, const SSL *ssl,
		struct tls_err *err)
{
	long result = SSL_get_verify_result(ssl);

	if((SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0
			|| tls_verify_is_lax(ssl) || result == X509_V_OK)
		return;
	if(state->text != NULL)
		tls_err_prefix(
				err, "certificate of the peer refused %s: ", state->text);
	else
		tls_err_prefix(err, "certificate of the peer refused (%s): ",
				X509_verify_cert_error_string(result));
}
