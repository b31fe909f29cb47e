/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Fuzz target of hostile certificates: the input is a name, a line end and a
 * certificate. Every field is read and the name is matched in every mode; what
 * comes out is text within its bounds, and who matches strictly also matches
 * with wildcards. Holds no main: libFuzzer calls it, in one process. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../tls_ident.h"
#include "../../tls_info.h"
#include "../../tls_x509.h"
#include "../lib/engine_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if(!good)
		abort();
}

static void read_field(
		const uint8_t *der, size_t n, const struct tls_x509_query *query)
{
	static char buf[TLS_X509_VALUE_MAX];
	struct tls_x509_value value = {.buf = buf, .size = sizeof(buf)};
	enum tls_rc rc = tls_x509_get(der, n, query, &value);
	bool is_ip = query->field == TLS_X509_SAN && query->san == TLS_X509_SAN_IP;
	size_t i;

	check(rc == TLS_RC_OK || !value.present);
	check(value.n < sizeof(buf) && buf[value.n] == '\0');
	check(ERR_peek_error() == 0);
	for(i = 0; i < value.n && !is_ip && query->field != TLS_X509_PEM; i++)
		check((unsigned char)buf[i] >= 0x20 && buf[i] != 0x7f);
	if(is_ip)
		check(value.n == 0 || value.n == 4 || value.n == 16);
}

static void read_all(const uint8_t *der, size_t n)
{
	struct tls_x509_query query = {.field = TLS_X509_VERSION};
	int field, kind;

	for(field = 0; field <= TLS_X509_DAYS_LEFT; field++) {
		query.field = (enum tls_x509_field)field;
		for(kind = 0; kind < TLS_X509_PARTS; kind++) {
			query.part = (enum tls_x509_part)kind;
			query.san = (enum tls_x509_san)(kind % TLS_X509_SANS);
			query.index = kind / TLS_X509_SANS;
			read_field(der, n, &query);
		}
	}
}

static void match(const uint8_t *der, size_t n, const char *name, size_t n_name)
{
	bool strict, loose;
	int mode;

	for(mode = TLS_IDENT_OFF; mode <= TLS_IDENT_HOST; mode++) {
		enum tls_rc rc = tls_ident_match_der(der, n, name, n_name,
				(enum tls_ident_mode)mode, false, &strict);

		check(rc == TLS_RC_OK || !strict);
		check(mode != TLS_IDENT_OFF || !strict);
		check(tls_ident_match_der(der, n, name, n_name,
					  (enum tls_ident_mode)mode, true, &loose)
				== rc);
		check(loose || !strict);
		check(ERR_peek_error() == 0);
	}
}

/* What the handshake looks at besides. */
static void look(const uint8_t *der, size_t n)
{
	unsigned char pin[TLS_IDENT_PIN_BYTES];
	char names[TLS_IDENT_NAMES_MAX];
	X509 *cert = d2i_X509(NULL, &der, (long)n);
	size_t i;

	if(cert != NULL) {
		(void)tls_ident_is_for_sip(cert);
		(void)tls_ident_pin(cert, pin);
		tls_ident_names(cert, names);
		check(names[0] != '\0' && strlen(names) < sizeof(names));
		for(i = 0; names[i] != '\0'; i++)
			check(names[i] >= 0x20 && names[i] < 0x7f);
	}
	X509_free(cert);
	ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end;
	size_t n_name;
	uint8_t *der; /* of its exact size: over-reads become visible */
	size_t n;

	engine_init();
	end = size > 0 ? memchr(data, '\n', size) : NULL;
	if(end == NULL)
		return 0;
	n_name = (size_t)(end - data);
	n = size - n_name - 1;
	der = malloc(n > 0 ? n : 1);
	check(der != NULL);
	if(n > 0)
		memcpy(der, end + 1, n);
	read_all(der, n);
	match(der, n, (const char *)data, n_name);
	look(der, n);
	free(der);
	return 0;
}
