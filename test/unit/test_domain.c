/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_domain: what is refused, the matrix of lookups, its cost,
 * references and the published generation, across processes too.
 * Memory and locks come from the stub.
 * Run by test/unit/main.c. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "../../tls_domain.h"
#include "../../tls_locking.h"
#include "../../tls_name.h"
#include "../lib/port_stub.h"

void test_domain_add(void);

/* The tables below leave out what is not set: rows stay readable. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define N(array_) (sizeof(array_) / sizeof((array_)[0]))

/* One profile as a test writes it. addr: "default", "any" or ip:port. */
struct spec
{
	char role; /* 's' or 'c' */
	const char *addr;
	const char *name;
	int mode;
	const char *id;
};

static enum tls_rc add(
		struct tls_domains *d, const struct spec *spec, unsigned int line)
{
	struct tls_profile profile;
	enum tls_rc rc;

	memset(&profile, 0, sizeof(profile));
	tls_params_profile_init(&profile.p);
	profile.role = spec->role == 's' ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT;
	profile.file = (char *)"t.cfg";
	profile.line = line;
	profile.col = 1;
	if(!strcmp(spec->addr, "default"))
		profile.kind = TLS_PROFILE_DEFAULT;
	else if(!strcmp(spec->addr, "any"))
		profile.kind = TLS_PROFILE_ANY;
	else {
		profile.kind = TLS_PROFILE_ADDR;
		CU_ASSERT_EQUAL_FATAL(
				tls_addr_parse(spec->addr, &profile.addr, NULL), TLS_RC_OK);
	}
	/* borrowed: add copies */
	profile.p.server_name = (char *)spec->name;
	profile.p.server_name_mode = spec->mode;
	profile.p.server_id = (char *)spec->id;
	rc = tls_domains_add(d, &profile, NULL);
	return rc;
}

static const struct spec base[] = {
		{'s', "default", NULL, 0, NULL}, {'c', "default", NULL, 0, NULL}};

/* The two defaults, then SPECS in order, or from the end when BACKWARDS. */
static struct tls_domains *make(
		const struct spec *specs, size_t n, bool backwards)
{
	struct tls_domains *d = tls_domains_new();
	size_t i;

	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	for(i = 0; i < N(base); i++)
		CU_ASSERT_EQUAL(add(d, &base[i], 1), TLS_RC_OK);
	for(i = 0; i < n; i++)
		CU_ASSERT_EQUAL(
				add(d, &specs[backwards ? n - 1 - i : i], (unsigned int)i + 10),
				TLS_RC_OK);
	CU_ASSERT_TRUE(tls_domains_is_valid(d));
	return d;
}

/* Collects what seal reports. */
struct heard
{
	unsigned int errors, warnings;
	char last[TLS_ERR_TEXT_MAX];
};

static void hear(void *arg, enum tls_log_level level, const char *text)
{
	struct heard *heard = arg;

	if(level == TLS_LOG_ERR)
		heard->errors++;
	else
		heard->warnings++;
	snprintf(heard->last, sizeof(heard->last), "%s", text);
}

struct conflict_row
{
	struct spec a, b;
	unsigned int errors, warnings;
	const char *says; /* part of the last line */
	const char *why;
};

static const struct conflict_row conflicts[] = {
		{{'s', "default"}, {'s', "any", "a"}, 1, 0,
				"t.cfg:10:1: profile "
				"TLSs<default> is there a "
				"second time, first in "
				"t.cfg:1",
				"second default"},
		{{'c', "default"}, {'s', "any", "a"}, 1, 0, "second time",
				"second default client"},
		{{'s', "any"}, {'s', "any", "a"}, 1, 0, "no server_name",
				"any without a name"},
		{{'s', "10.0.0.1:1"}, {'s', "10.0.0.1:1"}, 1, 0,
				"t.cfg:11:1: profile TLSs<10.0.0.1:1> repeats the address of "
				"t.cfg:10",
				"same address twice"},
		{{'s', "[::1]:1"}, {'s', "[0:0::1]:1"}, 1, 0, "repeats",
				"same address, other spelling"},
		{{'s', "10.0.0.1:1", "A.b"}, {'s', "10.0.0.1:1", "a.B."}, 1, 0,
				"server_name \"a.b\"", "same name, other spelling"},
		{{'s', "any", "a", 1}, {'s', "any", "a", 1}, 1, 0, "repeats",
				"same name twice is one error, not one for each key"},
		{{'s', "any", "a", 0}, {'s', "any", "a", 1}, 1, 0, "repeats",
				"both serve the name itself"},
		{{'s', "any", "a", 2}, {'s', "any", "a", 1}, 1, 0, "repeats",
				"both serve the sub-domains"},
		{{'c', "10.0.0.1:1", NULL, 0, "x"}, {'c', "10.0.0.1:1", NULL, 0, "y"},
				1, 0, "repeats", "an id does not make an address unique"},
		{{'c', "any", "a", 0, "x"}, {'c', "any", "a", 0, "X"}, 1, 1, "repeats",
				"same name and same id"},
		{{'c', "any"}, {'c', "any", "a"}, 0, 1, "never be selected",
				"client that nobody can ask for"},
		{{'c', "any", NULL, 0, "x"}, {'c', "any", NULL, 0, "X"}, 0, 1,
				"server_id \"X\"", "same id: the later one, as ever"},
		{{'c', "any", NULL, 0, "x"}, {'c', "any", NULL, 0, "y"}, 0, 0, "",
				"two ids"},
		{{'c', "any", "a", 0, "x"}, {'c', "any", "a", 0, "y"}, 0, 0, "",
				"same name, two ids"},
		{{'s', "any", "a", 0}, {'s', "any", "a", 2}, 0, 0, "",
				"itself and its sub-domains"},
		{{'s', "10.0.0.1:1"}, {'s', "10.0.0.1:1", "a"}, 0, 0, "",
				"one of them has a name"},
		{{'s', "10.0.0.1:1"}, {'c', "10.0.0.1:1"}, 0, 0, "", "two roles"},
		{{'s', "10.0.0.1:1"}, {'s', "10.0.0.1:2"}, 0, 0, "", "two ports"},
		{{'s', "10.0.0.1:1"}, {'s', "10.0.0.1:0"}, 0, 0, "", "any port"},
};

static void refuses_conflicts(void)
{
	struct tls_domains *d;
	struct heard heard;
	struct tls_err err;
	enum tls_rc rc;
	size_t i;

	port_stub_reset();
	for(i = 0; i < N(conflicts); i++) {
		memset(&heard, 0, sizeof(heard));
		tls_err_clear(&err);
		d = make(&conflicts[i].a, 2, false);
		rc = tls_domains_seal(d, hear, &heard, &err);
		if(heard.errors != conflicts[i].errors
				|| heard.warnings != conflicts[i].warnings
				|| !strstr(heard.last, conflicts[i].says))
			printf("%s: %s\n", conflicts[i].why, heard.last);
		CU_ASSERT_EQUAL(heard.errors, conflicts[i].errors);
		CU_ASSERT_EQUAL(heard.warnings, conflicts[i].warnings);
		CU_ASSERT_PTR_NOT_NULL(strstr(heard.last, conflicts[i].says));
		CU_ASSERT_EQUAL(rc, heard.errors ? TLS_RC_CONFIG : TLS_RC_OK);
		CU_ASSERT_EQUAL(err.text[0] != 0, heard.errors != 0);
		CU_ASSERT_TRUE(tls_domains_is_valid(d));
		tls_domains_unref(&d);
		CU_ASSERT_PTR_NULL(d);
	}
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void needs_both_defaults(void)
{
	struct tls_domains *d;
	struct heard heard;
	size_t i;

	port_stub_reset();
	for(i = 0; i < 2; i++) {
		memset(&heard, 0, sizeof(heard));
		d = tls_domains_new();
		CU_ASSERT_EQUAL(add(d, &base[i], 1), TLS_RC_OK);
		CU_ASSERT_EQUAL(tls_domains_seal(d, hear, &heard, NULL), TLS_RC_CONFIG);
		CU_ASSERT_EQUAL(heard.errors, 1);
		CU_ASSERT_EQUAL(add(d, &base[1 - i], 2), TLS_RC_OK); /* and again */
		CU_ASSERT_EQUAL(tls_domains_seal(d, NULL, NULL, NULL), TLS_RC_OK);
		CU_ASSERT_EQUAL(tls_domains_seal(d, NULL, NULL, NULL), TLS_RC_BUG);
		CU_ASSERT_EQUAL(add(d, &base[i], 1), TLS_RC_BUG);
		CU_ASSERT_EQUAL(tls_domains_count(d), 2);
		CU_ASSERT_PTR_NULL(tls_domains_at(d, 2));
		tls_domains_unref(&d);
	}
	tls_domains_unref(&d);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void refuses_bad_specs(void)
{
	static const struct spec bad = {'s', "any", "*.*.example.org", 0, NULL};
	static const struct spec mode = {'s', "any", "example.org", 3, NULL};
	struct tls_domains *d = tls_domains_new();
	struct tls_profile p;

	CU_ASSERT_EQUAL(add(d, &bad, 1), TLS_RC_CONFIG);
	CU_ASSERT_EQUAL(add(d, &mode, 1), TLS_RC_CONFIG);
	memset(&p, 0, sizeof(p));
	p.kind = TLS_PROFILE_ADDR;
	CU_ASSERT_EQUAL(tls_domains_add(d, &p, NULL), TLS_RC_BUG);
	CU_ASSERT_EQUAL(tls_domains_count(d), 0);
	tls_domains_unref(&d);
}

/* The table of the lookup matrix. Names say what a row should find. */
static const struct spec table[] = {
		{'s', "10.0.0.1:5061", NULL, 0, "s-own"},
		{'s', "10.0.0.1:5061", "exact.org", 0, "s-exact"},
		{'s', "10.0.0.1:5061", "org", 2, "s-org"},
		{'s', "10.0.0.1:5061", "deep.org", 1, "s-deep"},
		{'s', "10.0.0.2:5061", "only.org", 0, "s-only1"},
		{'s', "10.0.0.2:5061", "last.org", 0, "s-only2"},
		{'s', "10.0.0.3:0", NULL, 0, "s-port0"},
		{'s', "10.0.0.3:0", "zero.org", 0, "s-zero"},
		{'s', "10.0.0.3:7", "seven.org", 0, "s-seven"},
		{'s', "[2001:db8::1]:5061", NULL, 0, "s-v6"},
		{'s', "any", "exact.org", 0, "s-any-exact"},
		{'s', "any", "org", 1, "s-any-org"},
		{'s', "any", "b.org", 2, "s-any-b"},
		{'s', "10.0.0.4:5061", NULL, 0, "s-4"},
		{'s', "10.0.0.4:5061", "none", 0, "s-4none"},
		{'s', "10.0.0.5:5061", "One.list, *.two.list  three.list,none", 0,
				"s-list"},
		{'s', "any", "none.example", 0, "s-none-host"},
		{'c', "10.0.0.1:5061", NULL, 0, "c-own"},
		{'c', "192.0.2.9:5061", NULL, 0, "c-remote"},
		{'c', "192.0.2.9:0", NULL, 0, "c-remote0"},
		{'c', "any", "exact.org", 0, "c-exact"},
		{'c', "any", NULL, 0, "c-id"},
};

struct lookup_row
{
	char role;
	const char *addr;
	const char *name;
	const char *id;
	const char *want; /* server_id of the profile, or "default" */
	const char *why;
	const char *remote;
};

static const struct lookup_row lookups[] = {
		/* hostile and empty */
		{'s', NULL, NULL, NULL, "default", "nothing is asked for"},
		{'s', NULL, "", NULL, "default", "empty name"},
		{'s', "10.0.0.1:5061", "", NULL, "s-own", "empty name, address"},
		{'s', "10.0.0.1:5061", "\xff\xfe", NULL, "s-own", "hostile name"},
		{'s', "10.0.0.1:5061", "a b.org", NULL, "s-own", "bad name"},
		{'s', "10.0.0.2:5061", "..", NULL, "default",
				"a bad name is not the same as none"},
		{'s', NULL, "..org", NULL, "default", "bad name has no suffix"},
		/* one address */
		{'s', "10.0.0.1:5061", NULL, NULL, "s-own", "no name"},
		{'s', "10.0.0.1:5061", "exact.org", NULL, "s-exact", "exact"},
		{'s', "10.0.0.1:5061", "EXACT.Org.", NULL, "s-exact", "spelling"},
		{'s', "10.0.0.1:5061", "x.exact.org", NULL, "s-org",
				"mode 0 has no sub-domains, the shorter suffix has"},
		{'s', "10.0.0.1:5061", "deep.org", NULL, "s-deep", "mode 1, itself"},
		{'s', "10.0.0.1:5061", "a.b.deep.org", NULL, "s-deep",
				"longest suffix"},
		{'s', "10.0.0.1:5061", "xdeep.org", NULL, "s-org",
				"a suffix counts from a dot on"},
		{'s', "10.0.0.1:5061", "org", NULL, "s-own",
				"mode 2 is not itself; own profile before any"},
		{'s', "10.0.0.1:5061", "net", NULL, "s-own",
				"unknown name: the own profile, not the default"},
		{'s', "10.0.0.1:5062", NULL, NULL, "default", "other port"},
		{'s', "10.0.0.1:5062", "exact.org", NULL, "s-any-exact",
				"other port, any"},
		{'s', "[2001:db8::1]:5061", NULL, NULL, "s-v6", "IPv6"},
		{'s', "[2001:db8::2]:5061", NULL, NULL, "default", "other IPv6"},
		/* an address with named ones only */
		{'s', "10.0.0.2:5061", "only.org", NULL, "s-only1", "its name"},
		{'s', "10.0.0.2:5061", "x.org", NULL, "s-any-org",
				"unknown there, known for any"},
		{'s', "10.0.0.2:5061", "x.net", NULL, "default", "unknown"},
		/* port 0 */
		{'s', "10.0.0.3:1", NULL, NULL, "s-port0", "any port"},
		{'s', "10.0.0.3:1", "zero.org", NULL, "s-zero", "any port, name"},
		{'s', "10.0.0.3:1", "x.net", NULL, "s-port0", "unknown name"},
		{'s', "10.0.0.3:7", "seven.org", NULL, "s-seven", "exact port"},
		{'s', "10.0.0.3:7", "zero.org", NULL, "s-zero",
				"not at that port, but at the address"},
		{'s', "10.0.0.3:0", NULL, NULL, "s-port0", "port 0 asked for"},
		/* any */
		{'s', NULL, "exact.org", NULL, "s-any-exact", "exact before suffix"},
		{'s', NULL, "a.exact.org", NULL, "s-any-org", "suffix"},
		{'s', NULL, "a.b.org", NULL, "s-any-b", "longest suffix"},
		{'s', NULL, "b.org", NULL, "s-any-org", "mode 2 is not itself"},
		{'s', NULL, "org", NULL, "s-any-org", "mode 1 is itself"},
		{'s', "10.9.9.9:1", NULL, NULL, "default", "any needs a name"},
		/* lists, and peers without a name */
		{'s', "10.0.0.4:5061", NULL, NULL, "s-4none", "no name"},
		{'s', "10.0.0.4:5061", "x.net", NULL, "s-4", "unknown is not none"},
		{'s', "10.0.0.4:5061", "none", NULL, "s-4", "a host named none"},
		{'s', "10.0.0.4:5061", "\xff", NULL, "s-4", "hostile is not none"},
		{'s', "10.0.0.5:5061", "one.list", NULL, "s-list", "first"},
		{'s', "10.0.0.5:5061", "THREE.list.", NULL, "s-list", "last"},
		{'s', "10.0.0.5:5061", "a.b.two.list", NULL, "s-list", "pattern"},
		{'s', "10.0.0.5:5061", "two.list", NULL, "default",
				"a pattern is not itself"},
		{'s', "10.0.0.5:5061", "a.one.list", NULL, "default",
				"a name is no pattern"},
		{'s', "10.0.0.5:5061", NULL, NULL, "s-list", "none"},
		{'s', NULL, "none.example", NULL, "s-none-host", "a longer word"},
		/* clients: the remote address before the local one */
		{'c', "10.0.0.1:5061", NULL, NULL, "c-remote", "both",
				"192.0.2.9:5061"},
		{'c', "10.0.0.1:5061", NULL, NULL, "c-remote0", "any port",
				"192.0.2.9:1"},
		{'c', "10.0.0.1:5061", NULL, NULL, "c-own", "unknown remote",
				"192.0.2.8:5061"},
		{'c', "10.0.0.9:1", "exact.org", NULL, "c-exact", "by name",
				"192.0.2.8:5061"},
		{'s', "10.0.0.9:1", NULL, NULL, "default", "servers do not look at it",
				"192.0.2.9:5061"},
		/* id and roles */
		{'s', "10.0.0.1:5061", "exact.org", "S-V6", "s-v6",
				"id first, without case"},
		{'s', "10.0.0.1:5061", NULL, "c-id", "s-own", "id of the other role"},
		{'s', "10.0.0.1:5061", NULL, "nobody", "s-own",
				"unknown id: by address"},
		{'s', "10.0.0.1:5061", NULL, "", "s-own", "empty id is none"},
		{'c', NULL, NULL, "c-id", "c-id", "id alone"},
		{'c', "10.0.0.1:5061", NULL, NULL, "c-own", "client by address"},
		{'c', "10.0.0.1:9", "exact.org", NULL, "c-exact", "client by name"},
		{'c', "10.0.0.2:5061", NULL, NULL, "default", "a server's address"},
};

/* The profile that a row finds, by its id. */
static const char *look(
		const struct tls_domains *d, const struct lookup_row *row)
{
	struct tls_domain_query query = {0};
	const struct tls_profile *p;
	struct tls_addr addr, remote;

	query.role = row->role == 's' ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT;
	query.name = row->name;
	query.server_id = row->id;
	if(row->addr) {
		CU_ASSERT_EQUAL_FATAL(tls_addr_parse(row->addr, &addr, NULL), 0);
		query.local = &addr;
	}
	if(row->remote) {
		CU_ASSERT_EQUAL_FATAL(tls_addr_parse(row->remote, &remote, NULL), 0);
		query.remote = &remote;
	}
	p = tls_domain_lookup(d, &query);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_EQUAL(p->role, query.role);
	return p->p.server_id ? p->p.server_id : "default";
}

static void finds_the_most_specific(void)
{
	struct lookup_row last = {'s', "10.0.0.2:5061", NULL, NULL, NULL, NULL};
	struct tls_domains *d;
	const char *got;
	int backwards;
	size_t i;

	port_stub_reset();
	for(backwards = 0; backwards < 2; backwards++) {
		d = make(table, N(table), backwards);
		CU_ASSERT_EQUAL(tls_domains_seal(d, NULL, NULL, NULL), TLS_RC_OK);
		CU_ASSERT_TRUE(tls_domains_is_valid(d));
		for(i = 0; i < N(lookups); i++) {
			got = look(d, &lookups[i]);
			if(strcmp(got, lookups[i].want))
				printf("%s: got %s\n", lookups[i].why, got);
			CU_ASSERT_STRING_EQUAL(got, lookups[i].want);
		}
		/* the one thing that hangs on the order: the last of the named */
		CU_ASSERT_STRING_EQUAL(
				look(d, &last), backwards ? "s-only1" : "s-only2");
		tls_domains_unref(&d);
	}
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

/* Every named profile against the plain matcher of tls_name. */
static void agrees_with_the_matcher(void)
{
	static const char *const names[] = {"exact.org", "org", "a.org", "b.org",
			"a.b.org", "a.a.b.org", "deep.org", "x.deep.org", "net"};
	struct tls_domains *d = make(table, N(table), false);
	struct tls_domain_query query = {0};
	const struct tls_profile *p;
	size_t i;

	CU_ASSERT_EQUAL(tls_domains_seal(d, NULL, NULL, NULL), TLS_RC_OK);
	for(i = 0; i < N(names); i++) {
		query.name = names[i];
		p = tls_domain_lookup(d, &query);
		if(p->kind == TLS_PROFILE_DEFAULT) {
			CU_ASSERT_STRING_EQUAL(names[i], "net");
			continue;
		}
		CU_ASSERT_TRUE(tls_profile_serves(p, names[i]));
	}
	tls_domains_unref(&d);
}

/* Each section is the same as itself in the next generation, and no other. */
static void compares_over_generations(void)
{
	struct tls_domains *a = make(table, N(table), false);
	struct tls_domains *b = make(table, N(table), false);
	size_t i, k;

	for(i = 0; i < tls_domains_count(a); i++) {
		for(k = 0; k < tls_domains_count(b); k++)
			CU_ASSERT_EQUAL(tls_profile_same(
									tls_domains_at(a, i), tls_domains_at(b, k)),
					i == k);
	}
	tls_domains_unref(&a);
	tls_domains_unref(&b);
}

struct sni_row
{
	const char *names;
	const char *sni;
	const char *want;
	bool is_auto;
};

static void serves_and_sends_names(void)
{
	static const struct sni_row rows[] = {{NULL, NULL, NULL, false},
			{"a.example", "none", NULL, false},
			{"*.a.example none", NULL, NULL, false},
			{"192.0.2.1, b.example", NULL, "b.example", false},
			{"A.example.", NULL, "a.example", false},
			{"a.example", "b.example", "b.example", false},
			{"a.example", "Auto", "a.example", true},
			{NULL, "auto", NULL, true}};
	struct tls_domains *d = tls_domains_new();
	static const struct spec list = {
			's', "any", "a.example *.b.example none", 0, NULL};
	const struct tls_profile *p;
	const char *got;
	bool is_auto;
	size_t i;

	CU_ASSERT_EQUAL(add(d, &list, 1), TLS_RC_OK);
	p = tls_domains_at(d, 0);
	CU_ASSERT_STRING_EQUAL(p->p.server_name, "a.example,*.b.example,none");
	CU_ASSERT_STRING_EQUAL(p->label, "TLSs<any:a.example>");
	CU_ASSERT_TRUE(tls_profile_serves(p, "A.example"));
	CU_ASSERT_TRUE(tls_profile_serves(p, "x.y.b.example"));
	CU_ASSERT_FALSE(tls_profile_serves(p, "b.example"));
	CU_ASSERT_FALSE(tls_profile_serves(p, "none"));
	CU_ASSERT_FALSE(tls_profile_serves(p, ""));
	CU_ASSERT_FALSE(tls_profile_serves(p, "\xff"));
	tls_domains_unref(&d);
	for(i = 0; i < N(rows); i++) {
		struct tls_profile profile = {.role = TLS_ROLE_CLIENT};

		d = tls_domains_new();
		tls_params_profile_init(&profile.p);
		profile.p.server_name = (char *)rows[i].names;
		profile.p.sni = (char *)rows[i].sni;
		CU_ASSERT_EQUAL_FATAL(tls_domains_add(d, &profile, NULL), TLS_RC_OK);
		got = tls_profile_sni(tls_domains_at(d, 0), &is_auto);
		CU_ASSERT_EQUAL(is_auto, rows[i].is_auto);
		CU_ASSERT_EQUAL(got == NULL, rows[i].want == NULL);
		if(got && rows[i].want)
			CU_ASSERT_STRING_EQUAL(got, rows[i].want);
		tls_domains_unref(&d);
	}
}

static void labels(void)
{
	static const char *const want[] = {"TLSs<default>", "TLSc<default>",
			"TLSs<10.0.0.1:5061>", "TLSs<10.0.0.1:5061>"};
	struct tls_domains *d = make(table, N(table), false);
	size_t i;

	for(i = 0; i < N(want); i++)
		CU_ASSERT_STRING_EQUAL(tls_domains_at(d, i)->label, want[i]);
	CU_ASSERT_STRING_EQUAL(
			tls_domains_at(d, 11)->label, "TLSs<[2001:db8::1]:5061>");
	CU_ASSERT_STRING_EQUAL(tls_domains_at(d, 12)->label, "TLSs<any:exact.org>");
	CU_ASSERT_STRING_EQUAL(tls_domains_at(d, 23)->label, "TLSc<any:#c-id>");
	tls_domains_unref(&d);
}

#define MANY 10000

/* Adds profile number I of the large table. */
static void add_numbered(struct tls_domains *d, size_t i)
{
	char name[64], id[32], addr[64];
	struct spec spec = {'s', addr, name, (int)(i % 3), id};

	snprintf(name, sizeof(name), "host%zu.example.org", i);
	snprintf(id, sizeof(id), "id%zu", i);
	if(i % 2)
		snprintf(addr, sizeof(addr), "any");
	else
		snprintf(addr, sizeof(addr), "10.%zu.%zu.1:5061", i / 250 % 250,
				i % 250);
	CU_ASSERT_EQUAL(add(d, &spec, (unsigned int)i), TLS_RC_OK);
}

/* Most entries looked at by one lookup among COUNT profiles. */
static size_t worst_lookup(size_t count)
{
	struct tls_domains *d = make(NULL, 0, false);
	struct tls_domain_query query = {0};
	size_t i, compared, worst = 0;
	const struct tls_profile *p;
	char name[64], id[32];

	for(i = 0; i < count; i++)
		add_numbered(d, i);
	CU_ASSERT_EQUAL(tls_domains_seal(d, NULL, NULL, NULL), TLS_RC_OK);
	for(i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%shost%zu.example.org",
				i % 3 == 2 ? "sub." : "", i);
		snprintf(id, sizeof(id), "ID%zu", i);
		p = tls_domains_at(d, i + 2);
		query = (struct tls_domain_query){.name = name,
				.local = p->kind == TLS_PROFILE_ADDR ? &p->addr : NULL};
		compared = 0;
		CU_ASSERT_PTR_EQUAL(tls_domain_lookup_counted(d, &query, &compared), p);
		worst = compared > worst ? compared : worst;
		query = (struct tls_domain_query){.server_id = id};
		compared = 0;
		CU_ASSERT_PTR_EQUAL(tls_domain_lookup_counted(d, &query, &compared), p);
		worst = compared > worst ? compared : worst;
		query = (struct tls_domain_query){.name = "a.b.c.d.unknown.net"};
		compared = 0;
		CU_ASSERT_EQUAL(tls_domain_lookup_counted(d, &query, &compared)->kind,
				TLS_PROFILE_DEFAULT);
		worst = compared > worst ? compared : worst;
	}
	tls_domains_unref(&d);
	return worst;
}

static void costs_the_same_for_many(void)
{
	size_t few, many;

	port_stub_reset();
	few = worst_lookup(10);
	many = worst_lookup(MANY);
	printf("(most entries compared: %zu of 10, %zu of %d) ", few, many, MANY);
	/* chains of a table that is at most half full; 10,000 would be a list */
	CU_ASSERT_TRUE(many <= 40);
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

static void survives_every_failed_allocation(void)
{
	struct tls_domains *d;
	enum tls_rc rc;
	unsigned long k;
	size_t i;

	port_stub_reset();
	for(k = 1;; k++) {
		port_stub_fail_at(k);
		rc = TLS_RC_OK;
		d = tls_domains_new();
		if(!d)
			rc = TLS_RC_NOMEM;
		for(i = 0; !rc && i < N(base); i++)
			rc = add(d, &base[i], 1);
		for(i = 0; !rc && i < N(table); i++)
			rc = add(d, &table[i], 1);
		if(!rc)
			rc = tls_domains_seal(d, NULL, NULL, NULL);
		if(d)
			CU_ASSERT_TRUE(tls_domains_is_valid(d));
		tls_domains_unref(&d);
		CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
		if(!port_stub_failed())
			break;
		CU_ASSERT_EQUAL(rc, TLS_RC_NOMEM);
	}
	port_stub_fail_at(0);
	CU_ASSERT_EQUAL(rc, TLS_RC_OK);
	CU_ASSERT_TRUE(k > 50);
}

static unsigned int freed;

static void count_free_ctx(void *ctx)
{
	CU_ASSERT_PTR_NOT_NULL(ctx);
	freed++;
}

static struct tls_domains *make_sealed(void)
{
	struct tls_domains *d = make(table, N(table), false);

	CU_ASSERT_EQUAL(tls_domains_seal(d, NULL, NULL, NULL), TLS_RC_OK);
	return d;
}

static void publishes_and_frees(void)
{
	struct tls_domains *first, *second, *held, *old;

	port_stub_reset();
	CU_ASSERT_EQUAL(tls_locking_init(), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_domains_init(), TLS_RC_OK);
	CU_ASSERT_EQUAL(tls_domains_init(), TLS_RC_BUG);
	CU_ASSERT_PTR_NULL(tls_domains_acquire());
	first = make_sealed();
	freed = 0;
	tls_domains_set_free_ctx(first, count_free_ctx);
	tls_domains_at(first, 0)->ctx = &freed;
	tls_domains_at(first, 3)->ctx = &freed;
	CU_ASSERT_PTR_NULL(tls_domains_publish(first));
	held = tls_domains_acquire();
	CU_ASSERT_PTR_EQUAL(held, first);
	CU_ASSERT_EQUAL(tls_domains_refs(held), 2);
	CU_ASSERT_EQUAL(tls_domains_generation(held), 1);
	second = make_sealed();
	old = tls_domains_publish(second);
	CU_ASSERT_PTR_EQUAL(old, first);
	tls_domains_unref(&old);
	CU_ASSERT_EQUAL(freed, 0); /* a connection still has it */
	CU_ASSERT_EQUAL(tls_domains_generation(second), 2);
	CU_ASSERT_TRUE(tls_domains_is_valid(held));
	tls_domains_unref(&held);
	CU_ASSERT_EQUAL(freed, 2);
	first = make(NULL, 0, false); /* not sealed */
	old = tls_domains_publish(first);
	CU_ASSERT_PTR_EQUAL(old, first);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_CRIT), 1);
	tls_domains_unref(&old);
	tls_domains_destroy();
	tls_domains_destroy(); /* twice does no harm */
	CU_ASSERT_PTR_NULL(tls_domains_acquire());
	tls_locking_destroy();
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

/* Takes and drops the published generation ROUNDS times. */
static int child_uses(unsigned int rounds)
{
	struct tls_domain_query query = {.name = "a.b.org"};
	struct tls_domains *d;
	const char *id;

	while(rounds--) {
		d = tls_domains_acquire();
		if(!d)
			return 1;
		id = tls_domain_lookup(d, &query)->p.server_id;
		if(!id || strcmp(id, "s-any-b"))
			return 2;
		tls_domains_unref(&d);
	}
	return 0;
}

static void replaces_under_readers(void)
{
	enum
	{
		READERS = 3,
		RELOADS = 200
	};
	struct tls_domains *old;
	pid_t pids[READERS];
	int status, i;

	port_stub_reset();
	CU_ASSERT_EQUAL_FATAL(tls_locking_init(), TLS_RC_OK);
	CU_ASSERT_EQUAL_FATAL(tls_domains_init(), TLS_RC_OK);
	CU_ASSERT_PTR_NULL(tls_domains_publish(make_sealed()));
	fflush(NULL);
	for(i = 0; i < READERS; i++) {
		pids[i] = fork();
		if(!pids[i])
			_exit(child_uses(20000));
		CU_ASSERT_TRUE(pids[i] > 0);
	}
	for(i = 0; i < RELOADS; i++) {
		old = tls_domains_publish(make_sealed());
		CU_ASSERT_PTR_NOT_NULL(old);
		tls_domains_unref(&old);
	}
	for(i = 0; i < READERS; i++) {
		CU_ASSERT_EQUAL(waitpid(pids[i], &status, 0), pids[i]);
		CU_ASSERT_TRUE(WIFEXITED(status) && !WEXITSTATUS(status));
	}
	tls_domains_destroy();
	tls_locking_destroy();
	/* whoever was last freed it: nothing is left, and nothing twice */
	CU_ASSERT_EQUAL(port_stub_live_blocks(), 0);
}

void test_domain_add(void)
{
	CU_pSuite suite = CU_add_suite("domain", NULL, NULL);

	CU_add_test(suite, "serves and sends names", serves_and_sends_names);
	CU_add_test(suite, "refuses conflicts", refuses_conflicts);
	CU_add_test(suite, "needs both defaults", needs_both_defaults);
	CU_add_test(suite, "refuses bad specifications", refuses_bad_specs);
	CU_add_test(suite, "finds the most specific", finds_the_most_specific);
	CU_add_test(suite, "agrees with the matcher", agrees_with_the_matcher);
	CU_add_test(suite, "labels", labels);
	CU_add_test(suite, "compares over generations", compares_over_generations);
	CU_add_test(suite, "costs the same for many", costs_the_same_for_many);
	CU_add_test(suite, "survives every failed allocation",
			survives_every_failed_allocation);
	CU_add_test(suite, "publishes and frees", publishes_and_frees);
	CU_add_test(suite, "replaces under readers", replaces_under_readers);
}
