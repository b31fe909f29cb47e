/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Facts about a connection; see tls_info.h. */

#include "tls_info.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tls_ossl.h"
#include "tls_port.h"
#include "tls_verify.h"

/* A lower-case copy of NAME in shared memory, or NULL when memory is short.
 * The library has checked that it is a host name without a NUL. */
static char *copy_name(const char *name)
{
	size_t n = strnlen(name, TLS_INFO_NAME_MAX);
	char *copy = tls_port_alloc(n + 1);
	size_t i;

	if(copy == NULL)
		return NULL;
	for(i = 0; i < n; i++)
		copy[i] = (char)tolower((unsigned char)name[i]);
	copy[n] = '\0';
	return copy;
}

static enum tls_rc copy_peer(struct tls_info *info, X509 *cert)
{
	int n = i2d_X509(cert, NULL);
	unsigned char *p;

	info->peer_presented = true;
	if(n <= 0 || n > TLS_INFO_CERT_MAX)
		return TLS_RC_OK;
	info->peer_der = tls_port_alloc((size_t)n);
	if(info->peer_der == NULL)
		return TLS_RC_NOMEM;
	p = info->peer_der;
	info->peer_der_len = (size_t)i2d_X509(cert, &p);
	return TLS_RC_OK;
}

/* Name of the key exchange group, "" when there was none. */
static void copy_group(struct tls_info *info, SSL *ssl)
{
	int id = (int)SSL_get_negotiated_group(ssl);
	const char *name = NULL;

	if(id == NID_undef)
		return;
	name = SSL_group_to_name(ssl, id);
	if(name == NULL && (id & TLSEXT_nid_unknown) == 0)
		name = OBJ_nid2sn(id);
	if(name != NULL)
		snprintf(info->group, sizeof(info->group), "%s", name);
}

/* The agreed protocol (RFC 7301): it was in our own list, so it is text. */
static enum tls_rc copy_alpn(struct tls_info *info, SSL *ssl)
{
	const unsigned char *alpn = NULL;
	unsigned int n = 0;

	SSL_get0_alpn_selected(ssl, &alpn, &n);
	if(n == 0)
		return TLS_RC_OK;
	info->alpn = tls_port_alloc((size_t)n + 1);
	if(info->alpn == NULL)
		return TLS_RC_NOMEM;
	memcpy(info->alpn, alpn, n);
	info->alpn[n] = '\0';
	return TLS_RC_OK;
}

/* Fills INFO, which is zeroed. */
static enum tls_rc fill(struct tls_info *info, SSL *ssl)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_verify_state *state = tls_verify_state(ssl);
	X509 *cert = SSL_get0_peer_certificate(ssl);
	enum tls_rc rc = TLS_RC_OK;

	info->version = SSL_version(ssl);
	info->cipher = SSL_get_current_cipher(ssl);
	info->resumed = SSL_session_reused(ssl) == 1;
	info->verify_result = SSL_get_verify_result(ssl);
	if(state != NULL && info->verify_result != X509_V_OK)
		info->verify_depth = state->depth;
	info->name_ok = cert != NULL ? tls_verify_name_ok(ssl, cert) : -1;
	copy_group(info, ssl);
	if(cert != NULL)
		rc = copy_peer(info, cert);
	if(rc == TLS_RC_OK)
		rc = copy_alpn(info, ssl);
	if(rc == TLS_RC_OK && name != NULL) {
		info->server_name = copy_name(name);
		if(info->server_name == NULL)
			rc = TLS_RC_NOMEM;
	}
	return rc;
}

enum tls_rc tls_info_add(struct tls_info **info, SSL *ssl)
{
	struct tls_info *fresh;
	unsigned int again = *info != NULL ? (*info)->again + 1 : 0;

	if(again > TLS_INFO_AGAIN_MAX)
		return TLS_RC_LIMIT;
	fresh = tls_port_alloc(sizeof(*fresh));
	if(fresh == NULL)
		return TLS_RC_NOMEM;
	memset(fresh, 0, sizeof(*fresh));
	fresh->again = again;
	if(fill(fresh, ssl) != TLS_RC_OK) {
		tls_info_free(&fresh);
		return TLS_RC_NOMEM;
	}
	fresh->older = *info;
	*info = fresh;
	return TLS_RC_OK;
}

void tls_info_free(struct tls_info **info)
{
	while(*info != NULL) {
		struct tls_info *older = (*info)->older;

		tls_port_free((*info)->peer_der);
		tls_port_free((*info)->server_name);
		tls_port_free((*info)->alpn);
		tls_port_free(*info);
		*info = older;
	}
}

const char *tls_info_version(const struct tls_info *info)
{
	switch(info->version) {
		case TLS1_3_VERSION:
			return "TLSv1.3";
		case TLS1_2_VERSION:
			return "TLSv1.2";
		case TLS1_1_VERSION:
			return "TLSv1.1";
		case TLS1_VERSION:
			return "TLSv1";
		default:
			return "unknown";
	}
}

const char *tls_info_cipher(const struct tls_info *info)
{
	return info->cipher != NULL ? SSL_CIPHER_get_name(info->cipher) : "unknown";
}

int tls_info_cipher_bits(const struct tls_info *info)
{
	return info->cipher != NULL ? SSL_CIPHER_get_bits(info->cipher, NULL) : 0;
}

void tls_info_cipher_description(
		const struct tls_info *info, char *buf, size_t size)
{
	char line[256];

	if(info->cipher == NULL
			|| SSL_CIPHER_description(info->cipher, line, sizeof(line)) == NULL)
		snprintf(line, sizeof(line), "unknown");
	line[strcspn(line, "\n")] = '\0';
	snprintf(buf, size, "%s", line);
}

const char *tls_info_verify_text(const struct tls_info *info)
{
	return X509_verify_cert_error_string(info->verify_result);
}

bool tls_info_peer_verified(const struct tls_info *info)
{
	return info->peer_presented && info->verify_result == X509_V_OK;
}
