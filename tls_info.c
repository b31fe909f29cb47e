/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Facts about a connection; see tls_info.h. */

#include "tls_info.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tls_der.h"
#include "tls_ossl.h"
#include "tls_port.h"
#include "tls_verify.h"

/* What the peer told, measured before there is a block for it: one for all, or
 * none but the connection's, since each costs the host some hundred bytes more
 * than it holds. */
struct told
{
	X509 *cert; /* borrowed, as the others; NULL = none */
	/* how long it is when it lies in the block, 0 when it is shared */
	size_t n_der;
	const char *name; /* checked by the library: a host name without a NUL */
	size_t n_name;
	const unsigned char *alpn; /* text: it was in our own list (RFC 7301) */
	unsigned int n_alpn;
};

static struct told listen_to(const SSL *ssl)
{
	struct told told = {.cert = SSL_get0_peer_certificate(ssl),
			.name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)};
	int n = told.cert != NULL && SSL_is_server(ssl) ? i2d_X509(told.cert, NULL)
													: 0;

	if(n > 0 && n <= TLS_INFO_CERT_MAX)
		told.n_der = (size_t)n;
	if(told.name != NULL)
		told.n_name = strnlen(told.name, TLS_INFO_NAME_MAX);
	SSL_get0_alpn_selected(ssl, &told.alpn, &told.n_alpn);
	return told;
}

/* The certificate of a server, which all connections to it have in common.
 * TLS_RC_OK or TLS_RC_NOMEM. */
static enum tls_rc share_cert(struct tls_info *info, const X509 *cert)
{
	unsigned char *bytes = NULL;
	int n = i2d_X509(cert, &bytes);

	if(n <= 0)
		return TLS_RC_NOMEM;
	if(n <= TLS_INFO_CERT_MAX) {
		info->shared = tls_der_share(bytes, (size_t)n);
		if(info->shared != NULL) {
			info->peer_der = tls_der_bytes(info->shared);
			info->peer_der_len = (size_t)n;
		}
	}
	OPENSSL_free(bytes);
	return info->shared != NULL || n > TLS_INFO_CERT_MAX ? TLS_RC_OK
														 : TLS_RC_NOMEM;
}

/* Keeps the certificates of the verified chain but the first, which is kept
 * anyway, and the last, which the store of the profile has. Those between
 * belong to a CA, so that many connections share them. TLS_RC_OK, also when
 * they are too much to keep (then the chain is not known), or TLS_RC_NOMEM. */
static enum tls_rc share_chain(struct tls_info *info, const SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	int i, n, count = sk_X509_num(chain);
	unsigned char *bytes, *at;
	size_t all = 0;

	if(count <= 0 || info->verify_result != X509_V_OK)
		return TLS_RC_OK;
	for(i = 1; i < count - 1; i++) {
		n = i2d_X509(sk_X509_value(chain, i), NULL);
		if(n <= 0 || (size_t)n > TLS_INFO_CERT_MAX - all)
			return TLS_RC_OK;
		all += (size_t)n;
	}
	info->chain = (unsigned int)count;
	if(all == 0)
		return TLS_RC_OK;
	bytes = at = OPENSSL_malloc(all);
	if(bytes == NULL)
		return TLS_RC_NOMEM;
	for(i = 1; i < count - 1; i++)
		(void)i2d_X509(sk_X509_value(chain, i), &at);
	info->between = tls_der_share(bytes, all);
	info->between_len = all;
	OPENSSL_free(bytes);
	return info->between != NULL ? TLS_RC_OK : TLS_RC_NOMEM;
}

/* Puts what was TOLD behind INFO. */
static void write_down(struct tls_info *info, const struct told *told)
{
	char *p = (char *)(info + 1);
	size_t i;

	if(told->n_alpn > 0) {
		memcpy(p, told->alpn, told->n_alpn);
		p[told->n_alpn] = '\0';
		info->alpn = p;
		p += told->n_alpn + 1;
	}
	if(told->name != NULL) {
		for(i = 0; i < told->n_name; i++)
			p[i] = (char)tolower((unsigned char)told->name[i]);
		p[i] = '\0';
		info->server_name = p;
		p += i + 1;
	}
	info->peer_presented = told->cert != NULL;
	if(told->n_der > 0) {
		unsigned char *der = (unsigned char *)p;

		info->peer_der = (unsigned char *)p;
		info->peer_der_len = (size_t)i2d_X509(told->cert, &der);
	}
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

/* Algorithm of the key that we signed with, or that the cipher needs. The
 * certificate in the SSL object does not tell: a process that takes the
 * handshake over gives it its keys anew. */
static int own_type(SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	int type = NID_undef;

	if(SSL_session_reused(ssl) == 1)
		return 0;
	if(SSL_get_signature_type_nid(ssl, &type) == 1)
		/* what RSA keys sign with in TLS 1.3 (RFC 8446 s4.2.3) */
		return type == EVP_PKEY_RSA_PSS ? EVP_PKEY_RSA : type;
	return cipher != NULL && SSL_CIPHER_get_auth_nid(cipher) == NID_auth_rsa
				   ? EVP_PKEY_RSA
				   : 0;
}

/* Fills INFO, which is zeroed and has room behind it. */
static void fill(struct tls_info *info, SSL *ssl, const struct told *told)
{
	const struct tls_verify_state *state = tls_verify_state(ssl);

	info->version = SSL_version(ssl);
	info->cipher = SSL_get_current_cipher(ssl);
	info->own_type = own_type(ssl);
	info->resumed = SSL_session_reused(ssl) == 1;
	info->verify_result = SSL_get_verify_result(ssl);
	if(state != NULL && info->verify_result != X509_V_OK)
		info->verify_depth = state->depth;
	info->name_ok =
			told->cert != NULL ? tls_verify_name_ok(ssl, told->cert) : -1;
	copy_group(info, ssl);
	write_down(info, told);
}

enum tls_rc tls_info_add(struct tls_info **info, SSL *ssl, void *place)
{
	struct told told = listen_to(ssl);
	struct tls_info *fresh;
	size_t n = sizeof(*fresh) + told.n_alpn + 1 + told.n_name + 1 + told.n_der;
	unsigned int again = *info != NULL ? (*info)->again + 1 : 0;
	bool placed = place != NULL && again == 0
				  && n <= TLS_INFO_ROOM * sizeof(uint64_t);

	if(again > TLS_INFO_AGAIN_MAX)
		return TLS_RC_LIMIT;
	fresh = placed ? place : tls_port_alloc(n);
	if(fresh == NULL)
		return TLS_RC_NOMEM;
	memset(fresh, 0, sizeof(*fresh));
	fresh->placed = placed;
	fresh->again = again;
	fill(fresh, ssl, &told);
	if((told.cert != NULL && told.n_der == 0
			   && share_cert(fresh, told.cert) != TLS_RC_OK)
			|| share_chain(fresh, ssl) != TLS_RC_OK) {
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

		tls_der_drop(&(*info)->shared);
		tls_der_drop(&(*info)->between);
		if(!(*info)->placed)
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
