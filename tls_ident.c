/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* For whom a certificate speaks; see tls_ident.h. */

#include "tls_ident.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tls_name.h"
#include "tls_ossl.h"

/* id-kp-sipDomain, RFC 5924 s3. */
#define SIP_DOMAIN "1.3.6.1.5.5.7.3.20"

/* What CERT says about its alternative names. */
enum sans
{
	SANS_NONE = 0,
	SANS_SOME,
	SANS_BAD /* malformed or there twice */
};

/* Alternative names into *OUT (owned by the caller). */
static enum sans read_sans(const X509 *cert, GENERAL_NAMES **out)
{
	int critical = -1;

	*out = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
	if(*out != NULL)
		return SANS_SOME;
	return critical == -1 ? SANS_NONE : SANS_BAD;
}

/* ---- SIP URIs ---- */

/* Host part of the N bytes of a SIP URI without user part (RFC 3261 s25.1)
 * into OUT, normalised. False for anything else: other schemes ("sips" too,
 * RFC 5922 s7.1), users, addresses, bytes that no host name has. */
static bool domain_of_uri(
		const unsigned char *uri, size_t n, char out[TLS_NAME_MAX + 1])
{
	const char *text = (const char *)uri;
	size_t i;

	if(n <= 4 || strncasecmp(text, "sip:", 4) != 0
			|| memchr(uri, '@', n) != NULL)
		return false;
	text += 4;
	n -= 4;
	for(i = 0; i < n && text[i] != ':' && text[i] != ';' && text[i] != '?'; i++)
		;
	return !tls_name_is_ip(text, i)
		   && tls_name_normalise(text, i, out) == TLS_RC_OK;
}

/* Compares NAME with all SIP identities among NAMES; *SEEN: there is one. */
static bool match_uris(const GENERAL_NAMES *names, const char *name, bool *seen)
{
	char domain[TLS_NAME_MAX + 1];
	bool good = false;
	int i, type;

	*seen = false;
	for(i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *entry = sk_GENERAL_NAME_value(names, i);
		const ASN1_STRING *uri = GENERAL_NAME_get0_value(entry, &type);

		if(type != GEN_URI
				|| !domain_of_uri(ASN1_STRING_get0_data(uri),
						(size_t)ASN1_STRING_length(uri), domain))
			continue;
		*seen = true;
		good = good || strcmp(domain, name) == 0;
	}
	return good;
}

/* ---- names and addresses ---- */

/* The library compares DNS names, and common names when it may look at them.
 * SANS decides that here: it would also look at them beside alternative names
 * of other types. */
static bool match_host(
		const X509 *cert, const char *name, enum sans sans, bool wildcards)
{
	unsigned int flags = wildcards ? X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
								   : X509_CHECK_FLAG_NO_WILDCARDS;

	if(sans == SANS_SOME)
		flags |= X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
	return X509_check_host(
				   (X509 *)(uintptr_t)cert, name, strlen(name), flags, NULL)
		   == 1;
}

/* NAME is an address, perhaps in brackets. */
static bool match_ip(const X509 *cert, const char *name)
{
	char host[INET6_ADDRSTRLEN];
	unsigned char ip[16];
	size_t n = strlen(name), n_ip = 0;

	if(n >= 2 && name[0] == '[') {
		name++;
		n -= 2;
	}
	if(n >= sizeof(host))
		return false;
	memcpy(host, name, n);
	host[n] = '\0';
	if(inet_pton(AF_INET, host, ip) == 1)
		n_ip = 4;
	else if(inet_pton(AF_INET6, host, ip) == 1)
		n_ip = 16;
	return n_ip > 0 && X509_check_ip((X509 *)(uintptr_t)cert, ip, n_ip, 0) == 1;
}

bool tls_ident_match(const X509 *cert, const char *name,
		enum tls_ident_mode mode, bool wildcards)
{
	char wanted[TLS_NAME_MAX + 1];
	GENERAL_NAMES *names = NULL;
	enum sans sans;
	bool seen = false;
	bool good = false;

	if(mode == TLS_IDENT_OFF)
		return false;
	tls_ossl_begin();
	sans = read_sans(cert, &names);
	if(sans == SANS_BAD)
		goto out;
	if(tls_name_is_ip(name, strlen(name))) {
		good = match_ip(cert, name);
		goto out;
	}
	if(tls_name_normalise(name, strlen(name), wanted) != TLS_RC_OK)
		goto out;
	if(mode == TLS_IDENT_SIP)
		good = match_uris(names, wanted, &seen);
	if(!seen)
		good = match_host(cert, wanted, sans, wildcards);
out:
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return good;
}

enum tls_rc tls_ident_match_der(const unsigned char *der, size_t n_der,
		const char *name, size_t n_name, enum tls_ident_mode mode,
		bool wildcards, bool *out)
{
	const unsigned char *p = der;
	char text[TLS_NAME_MAX + 3]; /* brackets of an address */
	X509 *cert;

	*out = false;
	if(n_name == 0 || n_name >= sizeof(text) || memchr(name, 0, n_name) != NULL
			|| n_der > LONG_MAX)
		return TLS_RC_PEER;
	memcpy(text, name, n_name);
	text[n_name] = '\0';
	tls_ossl_begin();
	cert = d2i_X509(NULL, &p, (long)n_der);
	if(cert != NULL && p == der + n_der)
		*out = tls_ident_match(cert, text, mode, wildcards);
	ERR_clear_error();
	if(cert == NULL || p != der + n_der) {
		X509_free(cert);
		return TLS_RC_PEER;
	}
	X509_free(cert);
	return TLS_RC_OK;
}

/* ---- names for the log ---- */

/* Appends "KIND:DATA" as far as there is room. */
static void append(char out[TLS_IDENT_NAMES_MAX], const char *kind,
		const unsigned char *data, size_t n)
{
	size_t used = strlen(out), i;

	snprintf(out + used, TLS_IDENT_NAMES_MAX - used,
			"%s%s:", used > 0 ? " " : "", kind);
	used = strlen(out);
	for(i = 0; i < n && used + 1 < TLS_IDENT_NAMES_MAX; i++)
		out[used++] = data[i] > 0x20 && data[i] < 0x7f ? (char)data[i] : '?';
	out[used] = '\0';
}

static void append_ip(
		char out[TLS_IDENT_NAMES_MAX], const unsigned char *ip, size_t n)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if(n == 4)
		inet_ntop(AF_INET, ip, text, sizeof(text));
	else if(n == 16)
		inet_ntop(AF_INET6, ip, text, sizeof(text));
	append(out, "IP", (const unsigned char *)text, strlen(text));
}

static void append_san(char out[TLS_IDENT_NAMES_MAX], const GENERAL_NAME *entry)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(entry, &type);
	const char *kind = type == GEN_URI ? "URI" : "DNS";

	if(type != GEN_URI && type != GEN_DNS && type != GEN_IPADD)
		return;
	if(type == GEN_IPADD)
		append_ip(out, ASN1_STRING_get0_data(value),
				(size_t)ASN1_STRING_length(value));
	else
		append(out, kind, ASN1_STRING_get0_data(value),
				(size_t)ASN1_STRING_length(value));
}

static void append_common_name(char out[TLS_IDENT_NAMES_MAX], const X509 *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	const ASN1_STRING *cn;

	if(at < 0)
		return;
	cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	append(out, "CN", ASN1_STRING_get0_data(cn),
			(size_t)ASN1_STRING_length(cn));
}

char *tls_ident_names(const X509 *cert, char out[TLS_IDENT_NAMES_MAX])
{
	GENERAL_NAMES *names = NULL;
	enum sans sans;
	int i;

	out[0] = '\0';
	tls_ossl_begin();
	sans = read_sans(cert, &names);
	for(i = 0; i < sk_GENERAL_NAME_num(names); i++)
		append_san(out, sk_GENERAL_NAME_value(names, i));
	if(sans == SANS_NONE)
		append_common_name(out, cert);
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	if(out[0] == '\0')
		snprintf(out, TLS_IDENT_NAMES_MAX, "%s",
				sans == SANS_BAD ? "malformed" : "none");
	return out;
}

/* ---- purpose and key ---- */

static bool names_sip(const EXTENDED_KEY_USAGE *usages)
{
	char text[64];
	int i;

	for(i = 0; i < sk_ASN1_OBJECT_num(usages); i++) {
		const ASN1_OBJECT *usage = sk_ASN1_OBJECT_value(usages, i);

		if(OBJ_obj2nid(usage) == NID_anyExtendedKeyUsage)
			return true;
		if(OBJ_obj2txt(text, sizeof(text), usage, 1) > 0
				&& strcmp(text, SIP_DOMAIN) == 0)
			return true;
	}
	return false;
}

bool tls_ident_is_for_sip(const X509 *cert)
{
	EXTENDED_KEY_USAGE *usages;
	int critical = -1;
	bool good;

	tls_ossl_begin();
	usages = X509_get_ext_d2i(cert, NID_ext_key_usage, &critical, NULL);
	good = usages != NULL ? names_sip(usages) : critical == -1;
	EXTENDED_KEY_USAGE_free(usages);
	good = good
		   && (X509_get_key_usage((X509 *)(uintptr_t)cert)
					  & (X509v3_KU_DIGITAL_SIGNATURE
							  | X509v3_KU_KEY_ENCIPHERMENT
							  | X509v3_KU_KEY_AGREEMENT))
					  != 0;
	ERR_clear_error();
	return good;
}

bool tls_ident_pin(const X509 *cert, unsigned char out[TLS_IDENT_PIN_BYTES])
{
	unsigned char *der = NULL;
	unsigned int n = 0;
	int n_der = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	bool good =
			n_der > 0
			&& EVP_Digest(der, (size_t)n_der, out, &n, EVP_sha256(), NULL) == 1
			&& n == TLS_IDENT_PIN_BYTES;

	OPENSSL_free(der);
	ERR_clear_error();
	return good;
}
