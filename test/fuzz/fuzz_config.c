/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Fuzzer of the configuration reader: any bytes -> profiles or errors, both
 * checked. Whatever is accepted must be valid, answer lookups with a profile
 * of the right role, and leave no memory behind.
 * Run by libFuzzer with the stub of the seam; corpus in corpus/config. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../tls_config.h"
#include "../lib/port_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An invariant; assert() would be gone with NDEBUG. */
#define CHECK(condition_) \
	do {                  \
		if(!(condition_)) \
			abort();      \
	} while(0)

static unsigned int errors;

static void count_cb(void *arg, enum tls_log_level level, const char *text)
{
	(void)arg;
	CHECK(text && *text && strlen(text) < TLS_ERR_TEXT_MAX);
	if(level <= TLS_LOG_ERR)
		errors++;
}

/* Every profile is found by its own address and name, or something more
 * specific of its role is. */
static void check_lookups(const struct tls_domains *domains)
{
	struct tls_domain_query query;
	const struct tls_profile *p, *got;
	size_t i;

	for(i = 0; (p = tls_domains_at(domains, i)); i++) {
		query = (struct tls_domain_query){.role = p->role,
				.local = p->kind == TLS_PROFILE_ADDR ? &p->addr : NULL,
				.name = p->p.server_name};
		got = tls_domain_lookup(domains, &query);
		CHECK(got && got->role == p->role);
		if(p->kind == TLS_PROFILE_ADDR && !p->p.server_name)
			CHECK(got == p);
		query.server_id = p->p.server_id;
		got = tls_domain_lookup(domains, &query);
		CHECK(got && got->role == p->role);
		if(p->p.server_id)
			CHECK(got->p.server_id);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_config_source source = {"fuzz", (const char *)data, size};
	struct tls_domains *domains;
	struct tls_err err;
	enum tls_rc rc;

	port_stub_reset();
	errors = 0;
	rc = tls_config_parse(
			&source, 1, NULL, "/cfg", count_cb, NULL, &domains, &err);
	CHECK(rc == TLS_RC_OK || rc == TLS_RC_CONFIG);
	CHECK((rc == TLS_RC_OK) == (domains != NULL));
	CHECK((rc == TLS_RC_OK) == (errors == 0));
	CHECK((rc == TLS_RC_OK) == (err.text[0] == '\0'));
	if(domains) {
		CHECK(tls_domains_is_valid(domains));
		check_lookups(domains);
	}
	tls_domains_unref(&domains);
	CHECK(port_stub_live_blocks() == 0);
	return 0;
}
