/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* RPC commands about profiles; see tls_rpc_profiles.h. */
#define _GNU_SOURCE /* strcasestr */

#include "tls_rpc_profiles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tls_addr.h"
#include "tls_ctx.h"
#include "tls_domain.h"
#include "tls_host.h"
#include "tls_limits.h"
#include "tls_name.h"
#include "tls_port.h"
#include "tls_x509.h"

#define FAULT 500
#define FAULT_PARAMETER 400

/* Room for the names of one certificate; more of them end in "...". */
#define NAMES_MAX 1024

static char *or_empty(const char *text)
{
	return (char *)(uintptr_t)(text != NULL ? text : "");
}

static const char *role_text(enum tls_role role)
{
	return role == TLS_ROLE_SERVER ? "server" : "client";
}

/* The generation in force, or NULL when the fault has been sent. */
static struct tls_domains *in_force(rpc_t *rpc, void *ctx)
{
	struct tls_domains *domains = tls_domains_acquire();

	if(domains == NULL)
		rpc->fault(ctx, FAULT, "no profiles are loaded");
	return domains;
}

/* ---- certificates ---- */

/* A certificate as its bytes in somebody else's memory. */
struct der
{
	const unsigned char *p; /* NULL = none */
	size_t n;
};

/* Own certificate INDEX of PROFILE. */
static struct der own_certificate(
		const struct tls_profile *profile, unsigned int index)
{
	struct der der = {NULL, 0};

	if(profile->ctx != NULL)
		der.p = tls_ctx_certificate_at(profile->ctx, index, &der.n);
	return der;
}

/* Reads FIELD of DER into OUT; "" when it is not there. */
static void read_field(
		struct der der, struct tls_x509_query query, char *out, size_t size)
{
	(void)tls_x509_text(der.p, der.n, &query, out, size);
}

/* The host names that DER is for, separated by blanks; its common name when it
 * has none. */
static void read_names(struct der der, char out[NAMES_MAX])
{
	struct tls_x509_query query = {
			.field = TLS_X509_SAN, .san = TLS_X509_SAN_HOST};
	const struct tls_x509_query cn = {
			.field = TLS_X509_SUBJECT_PART, .part = TLS_X509_CN};
	char name[TLS_X509_TEXT_MAX];
	size_t used = 0;

	out[0] = '\0';
	for(;; query.index++) {
		read_field(der, query, name, sizeof(name));
		if(name[0] == '\0')
			break;
		if(used + strlen(name) + sizeof(" ...") >= NAMES_MAX) {
			snprintf(out + used, NAMES_MAX - used, " ...");
			return;
		}
		used += (size_t)snprintf(out + used, NAMES_MAX - used, "%s%s",
				used > 0 ? " " : "", name);
	}
	if(used == 0)
		read_field(der, cn, out, NAMES_MAX);
}

/* ---- tls.profiles ---- */

#define ADD_BOOL(name_, value_, secret_) \
	rpc->struct_add(reply, "d", name_, value_)
#define ADD_INT(name_, value_, secret_) \
	rpc->struct_add(reply, "d", name_, value_)
#define ADD_STR(name_, value_, secret_) \
	rpc->struct_add(reply, "s", name_,  \
			or_empty((secret_) && (value_) != NULL ? "***" : (value_)))
#define ADD_PATH(name_, value_, secret_)  \
	rpc->struct_add(reply, "s", name_,    \
			(char *)tls_params_path_text( \
					or_empty(value_), path, sizeof(path)))
#define ADD_METHOD(name_, value_, secret_) \
	rpc->struct_add(                       \
			reply, "s", name_, tls_params_method_text(&(value_), method))
#define ADD_VERIFY(name_, value_, secret_) \
	rpc->struct_add(reply, "s", name_, tls_params_verify_client_text(value_))

#define ADD_OPTION(m_, type_, def_, min_, max_, mod_, cfg_, alias_, s_, doc_) \
	if(good)                                                                  \
		good = ADD_##type_(cfg_, profile->p.m_, s_) >= 0;

/* Every setting as it is in force, whoever set it. */
static bool add_options(
		rpc_t *rpc, void *reply, const struct tls_profile *profile)
{
	char method[TLS_METHOD_TEXT_MAX];
	char path[PATH_MAX];
	bool good = true;

	TLS_PROFILE_OPTIONS(ADD_OPTION)
	return good;
}

static bool add_profile(rpc_t *rpc, void *ctx,
		const struct tls_domains *domains, const struct tls_profile *profile)
{
	char names[NAMES_MAX];
	void *reply;

	read_names(own_certificate(profile, 0), names);
	return rpc->add(ctx, "{", &reply) >= 0
		   && rpc->struct_add(reply, "sssddds", "profile", profile->label,
					  "role", role_text(profile->role), "file",
					  or_empty(profile->file), "line", (int)profile->line,
					  "generation", (int)tls_domains_generation(domains),
					  "connections", (int)tls_limits_usage_now(profile->usage),
					  "certificate_names", names)
					  >= 0
		   && add_options(rpc, reply, profile);
}

/* True when TEXT is a part of what PROFILE is called. */
static bool is_called(const struct tls_profile *profile, const char *text)
{
	return strcasestr(profile->label, text) != NULL
		   || (profile->p.server_name != NULL
				   && strcasestr(profile->p.server_name, text) != NULL)
		   || (profile->p.server_id != NULL
				   && strcasestr(profile->p.server_id, text) != NULL);
}

/* tls.profiles [text [limit [offset]]] */
static void profiles_cb(rpc_t *rpc, void *ctx)
{
	struct tls_domains *domains;
	char *text = NULL;
	int limit = 0;
	int offset = 0;
	bool good = true;
	size_t i;
	int n = 0;

	/* what is missing leaves something else in its variable */
	if(rpc->scan(ctx, "*.s", &text) != 1)
		text = NULL;
	if(text == NULL || rpc->scan(ctx, "*d", &limit) != 1)
		limit = 0;
	if(limit == 0 || rpc->scan(ctx, "*d", &offset) != 1)
		offset = 0;
	if(limit < 0 || offset < 0) {
		rpc->fault(ctx, FAULT_PARAMETER,
				"parameters: part of a name, limit, offset; all optional");
		return;
	}
	domains = in_force(rpc, ctx);
	if(domains == NULL)
		return;
	for(i = 0; good && i < tls_domains_count(domains); i++) {
		const struct tls_profile *profile = tls_domains_at(domains, i);

		if((text != NULL && !is_called(profile, text)) || n++ < offset)
			continue;
		if(limit > 0 && n > offset + limit)
			break;
		good = add_profile(rpc, ctx, domains, profile);
	}
	if(!good)
		rpc->fault(ctx, FAULT,
				"the profiles do not fit into one reply (give a part of a "
				"name or a limit)");
	tls_domains_unref(&domains);
}

/* ---- tls.certs ---- */

/* One use of one certificate. */
struct use
{
	struct der der;
	const char *kind; /* "own" or "ca" */
	const char *file;
	const char *label; /* of the first profile that uses it */
};

/* What is collected of one generation; the array is in shared memory. */
struct uses
{
	struct use *use;
	size_t n;
	size_t cap;
	const struct tls_profile *profile; /* whose authorities are walked */
	bool full;						   /* memory is short */
};

/* Returns false when memory is short: USE is not among them. */
static bool add_use(struct uses *uses, struct use use)
{
	size_t cap = uses->cap > 0 ? uses->cap * 2 : 64;
	struct use *grown;

	if(uses->n == uses->cap) {
		grown = tls_port_realloc(uses->use, cap * sizeof(*grown));
		if(grown == NULL) {
			uses->full = true;
			return false;
		}
		uses->use = grown;
		uses->cap = cap;
	}
	uses->use[uses->n++] = use;
	return true;
}

static void authority_cb(void *arg, const unsigned char *der, size_t n)
{
	struct uses *uses = arg;
	struct use use = {{der, n}, "ca",
			uses->profile->p.ca_list != NULL ? uses->profile->p.ca_list
											 : uses->profile->p.ca_path,
			uses->profile->label};
	unsigned char *copy = tls_port_alloc(n);

	if(copy == NULL) {
		uses->full = true;
		return;
	}
	memcpy(copy, der, n);
	use.der.p = copy;
	if(!add_use(uses, use))
		tls_port_free(copy);
}

/* Equal certificates stand together, in the order of their bytes. */
static int compare_uses(const void *a, const void *b)
{
	const struct use *l = a;
	const struct use *r = b;
	int order = strcmp(l->kind, r->kind);

	if(order == 0 && l->der.n != r->der.n)
		order = l->der.n < r->der.n ? -1 : 1;
	return order != 0 ? order : memcmp(l->der.p, r->der.p, l->der.n);
}

static bool add_certificate(
		rpc_t *rpc, void *ctx, const struct use *use, int n_used)
{
	static const struct tls_x509_query subject = {.field = TLS_X509_SUBJECT};
	static const struct tls_x509_query issuer = {.field = TLS_X509_ISSUER};
	static const struct tls_x509_query serial = {.field = TLS_X509_SERIAL};
	static const struct tls_x509_query after = {.field = TLS_X509_NOT_AFTER};
	static const struct tls_x509_query left = {.field = TLS_X509_DAYS_LEFT};
	char text[5][TLS_X509_LINE_MAX];
	void *reply;

	read_field(use->der, subject, text[0], sizeof(text[0]));
	read_field(use->der, issuer, text[1], sizeof(text[1]));
	read_field(use->der, serial, text[2], sizeof(text[2]));
	read_field(use->der, after, text[3], sizeof(text[3]));
	read_field(use->der, left, text[4], sizeof(text[4]));
	return rpc->add(ctx, "{", &reply) >= 0
		   && rpc->struct_add(reply, "sssssdssd", "kind", use->kind, "subject",
					  text[0], "issuer", text[1], "serial", text[2],
					  "not_after", text[3], "days_left",
					  (int)strtol(text[4], NULL, 10), "file",
					  or_empty(use->file), "used_by", use->label, "profiles",
					  n_used)
					  >= 0;
}

static void add_own(struct uses *uses, const struct tls_profile *profile,
		unsigned int index, const char *file)
{
	struct use own = {
			own_certificate(profile, index), "own", file, profile->label};

	if(own.der.p != NULL)
		(void)add_use(uses, own);
}

static void collect(struct tls_domains *domains, struct uses *uses)
{
	const void *last_store = NULL;
	size_t i;

	for(i = 0; i < tls_domains_count(domains); i++) {
		const struct tls_profile *profile = tls_domains_at(domains, i);

		add_own(uses, profile, 0, profile->p.certificate);
		add_own(uses, profile, 1, profile->p.certificate2);
		uses->profile = profile;
		/* profiles with the same settings of trust share one store */
		if(profile->ctx != NULL && tls_ctx_store(profile->ctx) != last_store)
			tls_ctx_each_authority(profile->ctx, authority_cb, uses);
		if(profile->ctx != NULL)
			last_store = tls_ctx_store(profile->ctx);
	}
}

static void free_uses(struct uses *uses)
{
	size_t i;

	for(i = 0; i < uses->n; i++)
		if(uses->use[i].kind[0] == 'c')
			tls_port_free((void *)(uintptr_t)uses->use[i].der.p);
	tls_port_free(uses->use);
}

static void certs_cb(rpc_t *rpc, void *ctx)
{
	struct tls_domains *domains = in_force(rpc, ctx);
	struct uses uses = {0};
	bool good = true;
	size_t i;
	size_t k;

	if(domains == NULL)
		return;
	collect(domains, &uses);
	if(uses.n > 0)
		qsort(uses.use, uses.n, sizeof(*uses.use), compare_uses);
	for(i = 0; good && i < uses.n; i = k) {
		for(k = i + 1;
				k < uses.n && compare_uses(&uses.use[i], &uses.use[k]) == 0;
				k++)
			;
		good = add_certificate(rpc, ctx, &uses.use[i], (int)(k - i));
	}
	if(!good || uses.full)
		rpc->fault(ctx, FAULT, "the certificates do not fit into one reply");
	free_uses(&uses);
	tls_domains_unref(&domains);
}

/* ---- tls.explain ---- */

/* True when one of the names of PROFILE covers NAME, which is normalised;
 * *EXACT: it is that name. */
static bool covers(
		const struct tls_profile *profile, const char *name, bool *exact)
{
	size_t i;

	*exact = false;
	for(i = 0; i < profile->n_names; i++) {
		const struct tls_profile_name *own = &profile->names[i];

		if(own->mode == TLS_PROFILE_NAME_NONE)
			continue;
		*exact = strcasecmp(own->text, name) == 0;
		if(tls_name_match(name, own->text, own->mode))
			return true;
	}
	return false;
}

static const char *reason_of(
		const struct tls_profile *profile, const struct tls_domain_query *query)
{
	char name[TLS_NAME_MAX + 1] = "";
	bool addr = profile->kind == TLS_PROFILE_ADDR;
	bool any_port = addr && profile->addr.port == 0;
	bool exact;

	if(profile->kind == TLS_PROFILE_DEFAULT)
		return "no profile is for this address or name: the default";
	if(query->name != NULL
			&& tls_name_normalise(query->name, strlen(query->name), name)
					   == TLS_RC_OK
			&& covers(profile, name, &exact)) {
		if(addr)
			return exact ? "address and name are those of the profile"
						 : "address of the profile, and a sub-domain of its "
						   "name";
		return exact ? "the name is that of the profile"
					 : "a sub-domain of the name of the profile";
	}
	if(query->name == NULL && profile->n_names > 0)
		return addr ? "address of the profile, and no name was given"
					: "no name was given, and the profile is for that";
	return any_port ? "the profile is for every port of this address"
					: "address of the profile, which has no name or the name "
					  "is unknown there";
}

/* Reads the three parameters into QUERY; false when the fault was sent. */
static bool read_query(rpc_t *rpc, void *ctx, struct tls_domain_query *query,
		struct tls_addr *addr)
{
	struct tls_err err;
	char *role = NULL;
	char *place = NULL;
	char *name = NULL;

	tls_err_set(&err, TLS_RC_CONFIG,
			"parameters: server or client, ip:port, and a server name when "
			"one is sent");
	if(rpc->scan(ctx, "*.s", &role) == 1 && rpc->scan(ctx, "*.s", &place) == 1
			&& (strcmp(role, "server") == 0 || strcmp(role, "client") == 0)
			&& tls_addr_parse(place, addr, &err) == TLS_RC_OK) {
		query->role =
				strcmp(role, "server") == 0 ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT;
		if(rpc->scan(ctx, "*.s", &name) == 1 && name[0] != '\0')
			query->name = name;
		/* what a server is called at, or whom a client calls */
		if(query->role == TLS_ROLE_SERVER)
			query->local = addr;
		else
			query->remote = addr;
		return true;
	}
	rpc->fault(ctx, FAULT_PARAMETER, "%s", err.text);
	return false;
}

static void explain_cb(rpc_t *rpc, void *ctx)
{
	struct tls_domain_query query = {0};
	const struct tls_profile *profile;
	struct tls_domains *domains;
	char names[NAMES_MAX];
	struct tls_addr addr;
	void *reply;

	if(!read_query(rpc, ctx, &query, &addr))
		return;
	domains = in_force(rpc, ctx);
	if(domains == NULL)
		return;
	profile = tls_domain_lookup(domains, &query);
	read_names(own_certificate(profile, 0), names);
	if(rpc->add(ctx, "{", &reply) >= 0)
		rpc->struct_add(reply, "ssssdsss", "profile", profile->label, "role",
				role_text(profile->role), "reason", reason_of(profile, &query),
				"file", or_empty(profile->file), "line", (int)profile->line,
				"server_name", or_empty(profile->p.server_name), "certificate",
				or_empty(profile->p.certificate), "certificate_names", names);
	tls_domains_unref(&domains);
}

/* ---- registration ---- */

#define DOC_TEXT(name_, text_) static const char *name_[] = {text_, NULL}

DOC_TEXT(profiles_doc, "The TLS profiles in force, with all their settings.");
DOC_TEXT(certs_doc, "The certificates and CAs that TLS profiles use.");
DOC_TEXT(explain_doc, "Which TLS profile a connection would get, and why.");

static rpc_export_t commands[] = {
		{"tls.profiles", profiles_cb, profiles_doc, RET_ARRAY},
		{"tls.certs", certs_cb, certs_doc, RET_ARRAY},
		{"tls.explain", explain_cb, explain_doc, 0}, {NULL, NULL, NULL, 0}};

enum tls_rc tls_rpc_profiles_init(struct tls_err *err)
{
	if(rpc_register_array(commands) != 0)
		return tls_err_set(err, TLS_RC_CONFIG,
				"could not register the RPC commands about profiles");
	return TLS_RC_OK;
}
