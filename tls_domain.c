/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The table of profiles: generations, lookup, the published one.
 * Reads no file, knows no OpenSSL object and no connection.
 * Any process; a sealed table is read without a lock, the published pointer
 * is behind TLS_LOCK_DOMAINS. */
#include "tls_domain.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tls_locking.h"
#include "tls_metrics.h"
#include "tls_name.h"

/* By what a profile can be found. */
enum key_kind
{
	KEY_ID = 0,	  /* server_id, whatever the address */
	KEY_EXACT,	  /* address and this name */
	KEY_SUFFIX,	  /* address and every sub-domain of this name */
	KEY_NONE,	  /* address, peers that send no name */
	KEY_NAMELESS, /* address, no name of its own */
	KEY_LAST	  /* address: last named one in the file */
};

/* A key as a lookup asks for it. For any address, addr is all 0. */
struct key
{
	enum key_kind kind;
	enum tls_role role;
	const struct tls_addr *addr; /* not for KEY_ID */
	const char *text;			 /* name or id; "" for the last three */
};

/* A slot of the hash table; profile NULL = free. */
struct entry
{
	struct tls_profile *profile; /* borrowed from the generation */
	const char *text;			 /* as in the key; borrowed from profile */
	uint32_t hash;
	enum key_kind kind;
};

struct tls_domains
{
	atomic_uint refs;
	unsigned int generation; /* written under the lock, when published */
	bool sealed;
	struct tls_profile **profiles; /* owned, and so are the profiles */
	size_t n;
	size_t cap;
	char **files; /* owned, and so are the names */
	size_t n_files;
	size_t files_cap;
	size_t file_hint; /* the last one found that was not the newest */
	struct tls_profile *defaults[2]; /* by role; borrowed from profiles */
	struct entry *table;			 /* owned; open addressing */
	size_t table_size;				 /* power of 2, twice the keys or more */
	void (*free_ctx)(void *ctx);
};

/* What all processes share, made before fork. */
struct root
{
	struct tls_domains *published;
	unsigned int generations;
};

static struct root *root;

static const struct tls_addr any_addr;

/* ---- keys ---- */

/* FNV-1a. A peer chooses the names that are looked up, never those that are
 * in the table, so it can not make the chains longer than they are. */
static uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;

	while(n--)
		hash = (hash ^ *at++) * 16777619u;
	return hash;
}

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static uint32_t hash_key(const struct key *key)
{
	unsigned char head[2] = {
			(unsigned char)key->kind, (unsigned char)key->role};
	uint32_t hash = hash_bytes(2166136261u, head, sizeof(head));
	const char *at;
	unsigned char c;

	if(key->kind != KEY_ID) {
		hash = hash_bytes(hash, &key->addr->family, sizeof(int));
		hash = hash_bytes(hash, key->addr->ip, sizeof(key->addr->ip));
		hash = hash_bytes(hash, &key->addr->port, sizeof(key->addr->port));
	}
	for(at = key->text; *at; at++) {
		c = lower(*at);
		hash = hash_bytes(hash, &c, 1);
	}
	return hash ^ (hash >> 15); /* FNV's low bits alone are weak */
}

static bool entry_is(
		const struct entry *entry, const struct key *key, uint32_t hash)
{
	const struct tls_profile *p = entry->profile;

	if(entry->hash != hash || entry->kind != key->kind || p->role != key->role)
		return false;
	if(key->kind != KEY_ID && !tls_addr_equal(&p->addr, key->addr))
		return false;
	return !strcasecmp(entry->text, key->text);
}

/* The slot that holds KEY, or the free one where it would be. */
static struct entry *find_slot(const struct tls_domains *d,
		const struct key *key, uint32_t hash, size_t *n_compared)
{
	size_t i = hash & (d->table_size - 1);

	while(d->table[i].profile) {
		++*n_compared;
		if(entry_is(&d->table[i], key, hash))
			break;
		i = (i + 1) & (d->table_size - 1);
	}
	return &d->table[i];
}

static const struct tls_profile *find(
		const struct tls_domains *d, const struct key *key, size_t *n_compared)
{
	return find_slot(d, key, hash_key(key), n_compared)->profile;
}

/* ---- making a generation ---- */

struct tls_domains *tls_domains_new(void)
{
	struct tls_domains *d = tls_port_alloc(sizeof(*d));

	if(!d)
		return NULL;
	memset(d, 0, sizeof(*d));
	atomic_init(&d->refs, 1);
	return d;
}

void tls_domains_set_free_ctx(
		struct tls_domains *domains, void (*free_ctx)(void *ctx))
{
	domains->free_ctx = free_ctx;
}

/* Frees P and sets it to NULL, but for a context. */
static void free_profile(struct tls_profile **p)
{
	if(!*p)
		return;
	tls_params_profile_clear(&(*p)->p);
	tls_port_free((*p)->names);
	tls_port_free((*p)->places);
	tls_limits_usage_put(&(*p)->usage);
	tls_port_free((*p)->label);
	tls_port_free(*p);
	*p = NULL;
}

/* Makes the label, the printable name that logs and RPCs use. */
static enum tls_rc make_label(struct tls_profile *p)
{
	char text[TLS_NAME_MAX + TLS_ADDR_TEXT_MAX];
	char addr[TLS_ADDR_TEXT_MAX];
	char role = p->role == TLS_ROLE_SERVER ? 's' : 'c';
	const char *name = p->p.server_name;
	int n = 0;

	if(name) /* the first of the list */
		n = (int)strcspn(name, ",");
	switch(p->kind) {
		case TLS_PROFILE_DEFAULT:
			snprintf(text, sizeof(text), "TLS%c<default>", role);
			break;
		case TLS_PROFILE_ANY:
			/* without a name the id tells them apart; '#' is in no name */
			if(name)
				snprintf(text, sizeof(text), "TLS%c<any:%.*s>", role, n, name);
			else
				snprintf(text, sizeof(text), "TLS%c<any:%s%s>", role,
						p->p.server_id ? "#" : "",
						p->p.server_id ? p->p.server_id : "");
			break;
		case TLS_PROFILE_ADDR:
			snprintf(text, sizeof(text), "TLS%c<%s>", role,
					tls_addr_print(&p->addr, addr, sizeof(addr)));
			break;
	}
	return tls_params_set_text(&p->label, text, false);
}

/* Finds the count of connections: by what makes a section the same one for
 * tls_profile_same. */
static enum tls_rc find_usage(struct tls_profile *p)
{
	const char *name = p->p.server_name ? p->p.server_name : "";
	const char *id = p->p.server_id ? p->p.server_id : "";
	size_t size = strlen(p->label) + strlen(name) + strlen(id) + 3;
	char *key = tls_port_alloc(size);
	enum tls_rc rc;

	if(!key)
		return TLS_RC_NOMEM;
	snprintf(key, size, "%s %s %s", p->label, name, id);
	rc = tls_limits_usage_get(key, &p->usage);
	tls_port_free(key);
	return rc;
}

static bool is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t';
}

enum tls_rc tls_domain_next_name(const char **at, char out[TLS_NAME_MAX + 1],
		int *mode, struct tls_err *err)
{
	const char *list = *at, *word;
	size_t n = 0;

	while(is_separator(**at))
		++*at;
	if(!**at)
		return TLS_RC_CLOSED;
	word = *at;
	while(word[n] && !is_separator(word[n]))
		n++;
	*at += n;
	if(n == 4 && !strncasecmp(word, "none", n)) {
		*mode = TLS_PROFILE_NAME_NONE;
		out[0] = '\0';
		return TLS_RC_OK;
	}
	if(n > 2 && word[0] == '*' && word[1] == '.') {
		*mode = TLS_NAME_MODE_SUB;
		word += 2;
		n -= 2;
	}
	if(!tls_name_normalise(word, n, out))
		return TLS_RC_OK;
	return tls_err_set(err, TLS_RC_CONFIG,
			"server_name: \"%s\" is not a list of host names (for all "
			"sub-domains write *.example.org)",
			list);
}

/* Reads the list of names of P into P->names, whose texts lie behind it. */
static enum tls_rc read_names(struct tls_profile *p, struct tls_err *err)
{
	const char *at = p->p.server_name;
	char name[TLS_NAME_MAX + 1], *text;
	enum tls_rc rc = TLS_RC_OK;
	size_t n, most = 1;
	int mode;

	for(; *at; at++)
		most += is_separator(*at);
	n = strlen(p->p.server_name) + 2;
	p->names = tls_port_alloc(most * sizeof(*p->names) + n);
	if(!p->names)
		return TLS_RC_NOMEM;
	text = (char *)(p->names + most);
	for(at = p->p.server_name; p->n_names < most; p->n_names++) {
		mode = p->p.server_name_mode;
		rc = tls_domain_next_name(&at, name, &mode, err);
		if(rc)
			break;
		n = strlen(name) + 1;
		memcpy(text, name, n);
		p->names[p->n_names].text = text;
		p->names[p->n_names].mode = mode;
		text += n;
	}
	if(rc == TLS_RC_CLOSED)
		rc = TLS_RC_OK;
	if(!rc && !p->n_names)
		rc = tls_err_set(err, TLS_RC_CONFIG, "server_name: the list is empty");
	return rc;
}

/* Replaces the names of P by their normal form, which is never longer. */
static enum tls_rc normalise_names(struct tls_profile *p, struct tls_err *err)
{
	char *out = p->p.server_name;
	enum tls_rc rc;
	size_t i, size;

	if(!out)
		return TLS_RC_OK;
	size = strlen(out) + 1;
	rc = read_names(p, err);
	if(rc)
		return rc;
	for(i = 0; i < p->n_names; i++) {
		const struct tls_profile_name *name = &p->names[i];
		const char *front = i ? "," : "";
		/* modes that differ from the profile's came from the list */
		const char *star =
				name->mode == TLS_NAME_MODE_SUB
								&& p->p.server_name_mode != TLS_NAME_MODE_SUB
						? "*."
						: "";
		int n = snprintf(out, size, "%s%s%s", front, star,
				name->mode == TLS_PROFILE_NAME_NONE ? "none" : name->text);

		if(n < 0 || (size_t)n >= size)
			return TLS_RC_BUG;
		out += n;
		size -= (size_t)n;
	}
	return TLS_RC_OK;
}

/* ---- files ---- */

const char *tls_domains_add_file(struct tls_domains *domains, const char *name)
{
	size_t cap = domains->files_cap ? domains->files_cap * 2 : 8, i;
	char **grown, *copy = NULL;

	/* sections of one file follow each other, and what they inherit comes
	 * from one file too: a search through all is rare */
	if(domains->file_hint < domains->n_files
			&& !strcmp(domains->files[domains->file_hint], name))
		return domains->files[domains->file_hint];
	for(i = domains->n_files; i-- > 0;) {
		if(strcmp(domains->files[i], name))
			continue;
		if(i + 1 < domains->n_files)
			domains->file_hint = i;
		return domains->files[i];
	}
	if(domains->n_files == domains->files_cap) {
		grown = tls_port_realloc(domains->files, cap * sizeof(*grown));
		if(!grown)
			return NULL;
		domains->files = grown;
		domains->files_cap = cap;
	}
	if(tls_params_set_text(&copy, name, false) || !copy)
		return NULL;
	return domains->files[domains->n_files++] = copy;
}

size_t tls_domains_files(const struct tls_domains *domains)
{
	return domains->n_files;
}

const char *tls_domains_file(const struct tls_domains *domains, size_t index)
{
	return index < domains->n_files ? domains->files[index] : NULL;
}

void tls_domains_drop_places(struct tls_domains *domains)
{
	size_t i;

	for(i = 0; i < domains->n; i++) {
		tls_port_free(domains->profiles[i]->places);
		domains->profiles[i]->places = NULL;
	}
}

/* Copies where P and its options were written; the names of the files become
 * the generation's. */
static enum tls_rc copy_places(struct tls_domains *d, struct tls_profile *p,
		const struct tls_profile *spec)
{
	size_t i;

	if(spec->file) {
		p->file = tls_domains_add_file(d, spec->file);
		if(!p->file)
			return TLS_RC_NOMEM;
	}
	if(!spec->places)
		return TLS_RC_OK;
	p->places = tls_port_alloc(TLS_PROFILE_OPTION_COUNT * sizeof(*p->places));
	if(!p->places)
		return TLS_RC_NOMEM;
	for(i = 0; i < TLS_PROFILE_OPTION_COUNT; i++) {
		p->places[i] = spec->places[i];
		if(!p->places[i].file)
			continue;
		p->places[i].file = tls_domains_add_file(d, spec->places[i].file);
		if(!p->places[i].file)
			return TLS_RC_NOMEM;
	}
	return TLS_RC_OK;
}

/* Makes *OUT a checked copy of SPEC. */
static enum tls_rc copy_profile(struct tls_domains *d,
		const struct tls_profile *spec, struct tls_profile **out,
		struct tls_err *err)
{
	struct tls_profile *p = tls_port_alloc(sizeof(*p));
	enum tls_rc rc;

	*out = NULL;
	if(!p)
		return tls_err_set(err, TLS_RC_NOMEM, "no memory for a profile");
	memset(p, 0, sizeof(*p));
	p->role = spec->role;
	p->kind = spec->kind;
	if(p->kind == TLS_PROFILE_ADDR)
		p->addr = spec->addr;
	p->line = spec->line;
	p->col = spec->col;
	rc = tls_params_profile_copy(&spec->p, &p->p);
	if(!rc)
		rc = copy_places(d, p, spec);
	if(!rc)
		rc = normalise_names(p, err);
	if(!rc)
		rc = make_label(p);
	if(!rc)
		rc = find_usage(p);
	if(rc == TLS_RC_NOMEM)
		tls_err_set(err, rc, "no memory for a profile");
	if(rc)
		free_profile(&p);
	*out = p;
	return rc;
}

/* Makes room for one more profile. */
static enum tls_rc grow(struct tls_domains *d)
{
	size_t cap = d->cap ? d->cap * 2 : 8;
	struct tls_profile **grown;

	if(d->n < d->cap)
		return TLS_RC_OK;
	grown = tls_port_realloc(d->profiles, cap * sizeof(*grown));
	if(!grown)
		return TLS_RC_NOMEM;
	d->profiles = grown;
	d->cap = cap;
	return TLS_RC_OK;
}

enum tls_rc tls_domains_add(struct tls_domains *domains,
		const struct tls_profile *spec, struct tls_err *err)
{
	struct tls_profile *p;
	enum tls_rc rc;

	if(domains->sealed)
		return tls_err_set(err, TLS_RC_BUG, "the profiles are sealed already");
	if(spec->kind == TLS_PROFILE_ADDR && !spec->addr.family)
		return tls_err_set(err, TLS_RC_BUG, "a profile without its address");
	rc = tls_params_check_profile(&spec->p, err);
	if(rc)
		return rc;
	if(grow(domains))
		return tls_err_set(err, TLS_RC_NOMEM, "no memory for a profile");
	rc = copy_profile(domains, spec, &p, err);
	if(rc)
		return rc;
	domains->profiles[domains->n++] = p;
	return TLS_RC_OK;
}

/* ---- sealing ---- */

/* Where the complaints of one seal go. */
struct complaints
{
	tls_report_fn report;
	void *arg;
	struct tls_err *err;
	enum tls_rc rc; /* CONFIG after the first error */
};

static void complain(struct complaints *to, enum tls_log_level level,
		const struct tls_profile *p, const char *fmt, ...) TLS_PRINTF(4, 5);

/* Reports one sentence about P with the place where P was written. */
static void complain(struct complaints *to, enum tls_log_level level,
		const struct tls_profile *p, const char *fmt, ...)
{
	struct tls_err line;
	va_list ap;

	va_start(ap, fmt);
	tls_err_setv(&line, TLS_RC_CONFIG, fmt, ap);
	va_end(ap);
	if(p && p->file)
		tls_err_prefix(&line, "%s:%u:%u: profile %s ", p->file, p->line, p->col,
				p->label);
	else if(p)
		tls_err_prefix(&line, "profile %s ", p->label);
	if(to->report)
		to->report(to->arg, level, line.text);
	if(level > TLS_LOG_ERR || to->rc)
		return;
	to->rc = TLS_RC_CONFIG;
	tls_err_set(to->err, TLS_RC_CONFIG, "%s", line.text);
}

/* Where OTHER was written, for a complaint about its double. */
static const char *place_of(
		const struct tls_profile *other, char *out, size_t size)
{
	if(other->file)
		snprintf(out, size, "%s:%u", other->file, other->line);
	else
		snprintf(out, size, "the modparams");
	return out;
}

/* True when two profiles with the same address and name make sense: each
 * has an id of its own by which the script finds it. */
static bool may_share_name(
		const struct tls_profile *a, const struct tls_profile *b)
{
	return a->role == TLS_ROLE_CLIENT && a->p.server_name && a->p.server_id
		   && b->p.server_id && strcasecmp(a->p.server_id, b->p.server_id);
}

/* Enters P under KIND and TEXT. False when another one has that key and must
 * keep it, which has been reported. */
static bool enter(struct tls_domains *d, struct tls_profile *p,
		enum key_kind kind, const char *text, struct complaints *to)
{
	struct key key = {kind, p->role, &p->addr, text};
	uint32_t hash = hash_key(&key);
	size_t n_compared = 0;
	struct entry *slot = find_slot(d, &key, hash, &n_compared);
	char place[256];

	if(slot->profile == p)
		return true; /* a name that is twice in its list */
	if(slot->profile && kind == KEY_ID)
		complain(to, TLS_LOG_WARN, p,
				"has the server_id \"%s\" of %s too (only the later one can "
				"be selected by it)",
				p->p.server_id, place_of(slot->profile, place, sizeof(place)));
	else if(slot->profile && kind != KEY_LAST
			&& !may_share_name(p, slot->profile)) {
		if(kind == KEY_NAMELESS)
			complain(to, TLS_LOG_ERR, p,
					"repeats the address of %s (give them different "
					"server_name values or remove one)",
					place_of(slot->profile, place, sizeof(place)));
		else
			complain(to, TLS_LOG_ERR, p,
					"repeats the address and server_name \"%s\" of %s (remove "
					"one of the two)",
					kind == KEY_NONE ? "none" : text,
					place_of(slot->profile, place, sizeof(place)));
		return false;
	}
	slot->profile = p;
	slot->text = text;
	slot->hash = hash;
	slot->kind = kind;
	return true;
}

/* Enters P under every name of its list. */
static void enter_names(
		struct tls_domains *d, struct tls_profile *p, struct complaints *to)
{
	const struct tls_profile_name *name;
	bool ok = true, named = false;
	size_t i;

	for(i = 0; ok && i < p->n_names; i++) {
		name = &p->names[i];
		if(name->mode == TLS_PROFILE_NAME_NONE) {
			ok = enter(d, p, KEY_NONE, "", to);
			continue;
		}
		named = true;
		if(name->mode != TLS_NAME_MODE_SUB)
			ok = enter(d, p, KEY_EXACT, name->text, to);
		if(ok && name->mode != TLS_NAME_MODE_EXACT)
			ok = enter(d, p, KEY_SUFFIX, name->text, to);
	}
	if(p->kind == TLS_PROFILE_ADDR && named)
		enter(d, p, KEY_LAST, "", to);
}

/* Enters P as a default. */
static void enter_default(
		struct tls_domains *d, struct tls_profile *p, struct complaints *to)
{
	struct tls_profile **slot = &d->defaults[p->role];
	char place[256];

	if(*slot)
		complain(to, TLS_LOG_ERR, p,
				"is there a second time, first in %s (merge the two sections)",
				place_of(*slot, place, sizeof(place)));
	else
		*slot = p;
}

/* Enters P under every key that it has. */
static void enter_all(
		struct tls_domains *d, struct tls_profile *p, struct complaints *to)
{
	if(p->p.server_id)
		enter(d, p, KEY_ID, p->p.server_id, to);
	if(p->kind == TLS_PROFILE_DEFAULT)
		enter_default(d, p, to);
	else if(p->n_names)
		enter_names(d, p, to);
	else if(p->kind == TLS_PROFILE_ADDR)
		enter(d, p, KEY_NAMELESS, "", to);
	else if(p->role == TLS_ROLE_SERVER)
		complain(to, TLS_LOG_ERR, p,
				"is for any address and has no server_name (give it one or "
				"write it as default)");
	else if(!p->p.server_id)
		complain(to, TLS_LOG_WARN, p,
				"can never be selected (give it a server_id or a "
				"server_name)");
}

/* Makes an empty table for all keys. */
static enum tls_rc make_table(struct tls_domains *d)
{
	size_t size = 16, keys = 0, i;

	/* an id, two for each name, and one for the address */
	for(i = 0; i < d->n; i++)
		keys += 2 + 2 * d->profiles[i]->n_names;
	while(size < keys * 2)
		size *= 2;
	d->table = tls_port_alloc(size * sizeof(*d->table));
	if(!d->table)
		return TLS_RC_NOMEM;
	memset(d->table, 0, size * sizeof(*d->table));
	d->table_size = size;
	return TLS_RC_OK;
}

enum tls_rc tls_domains_seal(struct tls_domains *domains, tls_report_fn report,
		void *arg, struct tls_err *err)
{
	struct complaints to = {report, arg, err, TLS_RC_OK};
	size_t i;

	if(domains->sealed)
		return tls_err_set(err, TLS_RC_BUG, "the profiles are sealed already");
	if(make_table(domains))
		return tls_err_set(
				err, TLS_RC_NOMEM, "no memory for the table of profiles");
	for(i = 0; i < domains->n; i++)
		enter_all(domains, domains->profiles[i], &to);
	if(!domains->defaults[TLS_ROLE_SERVER])
		complain(&to, TLS_LOG_ERR, NULL,
				"the default server profile is missing");
	if(!domains->defaults[TLS_ROLE_CLIENT])
		complain(&to, TLS_LOG_ERR, NULL,
				"the default client profile is missing");
	if(to.rc) {
		/* as before, so that the caller may only drop it or add and retry */
		tls_port_free(domains->table);
		domains->table = NULL;
		domains->table_size = 0;
		memset(domains->defaults, 0, sizeof(domains->defaults));
		return to.rc;
	}
	domains->sealed = true;
	return TLS_RC_OK;
}

/* ---- life ---- */

struct tls_domains *tls_domains_ref(struct tls_domains *domains)
{
	/* whoever has a reference may hand out another: no order is needed */
	atomic_fetch_add_explicit(&domains->refs, 1, memory_order_relaxed);
	return domains;
}

/* Frees the generation and what it owns. */
static void free_domains(struct tls_domains *d)
{
	size_t i;

	for(i = 0; i < d->n; i++) {
		if(d->profiles[i]->ctx && d->free_ctx)
			d->free_ctx(d->profiles[i]->ctx);
		d->profiles[i]->ctx = NULL;
		free_profile(&d->profiles[i]);
	}
	for(i = 0; i < d->n_files; i++)
		tls_port_free(d->files[i]);
	tls_port_free(d->files);
	if(d->generation > 0)
		tls_metrics_count(TLS_METRIC_GENERATIONS_FREED);
	tls_port_free(d->profiles);
	tls_port_free(d->table);
	tls_port_free(d);
}

void tls_domains_unref(struct tls_domains **domains)
{
	struct tls_domains *d = *domains;

	*domains = NULL;
	/* the last one must see all that the others did before they let go */
	if(d && atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
		free_domains(d);
}

size_t tls_domains_count(const struct tls_domains *domains)
{
	return domains->n;
}

struct tls_profile *tls_domains_at(
		const struct tls_domains *domains, size_t index)
{
	return index < domains->n ? domains->profiles[index] : NULL;
}

struct tls_profile *tls_domains_default(
		const struct tls_domains *domains, enum tls_role role)
{
	return domains->defaults[role];
}

unsigned int tls_domains_generation(const struct tls_domains *domains)
{
	return domains->generation;
}

unsigned int tls_domains_refs(const struct tls_domains *domains)
{
	return atomic_load_explicit(&domains->refs, memory_order_relaxed);
}

/* True when every slot in use holds a profile of D under a key it has. */
static bool table_is_valid(const struct tls_domains *d)
{
	const struct entry *entry;
	size_t used = 0, i;

	if(!d->table || d->table_size & (d->table_size - 1))
		return false;
	for(i = 0; i < d->table_size; i++) {
		entry = &d->table[i];
		if(!entry->profile)
			continue;
		used++;
		struct key key = {entry->kind, entry->profile->role,
				&entry->profile->addr, entry->text};
		if(!key.text || entry->hash != hash_key(&key))
			return false;
	}
	return used * 2 <= d->table_size;
}

bool tls_domains_is_valid(const struct tls_domains *domains)
{
	const struct tls_profile *p;
	size_t i;

	if(!domains || !tls_domains_refs(domains) || domains->n > domains->cap)
		return false;
	for(i = 0; i < domains->n; i++) {
		p = domains->profiles[i];
		if(!p || !p->label)
			return false;
		if((p->kind == TLS_PROFILE_ADDR) != (p->addr.family != 0))
			return false;
	}
	if(!domains->sealed)
		return !domains->table;
	for(i = 0; i < 2; i++) {
		p = domains->defaults[i];
		if(!p || p->kind != TLS_PROFILE_DEFAULT || (size_t)p->role != i)
			return false;
	}
	return table_is_valid(domains);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcasecmp(a, b) : a == b;
}

bool tls_profile_same(const struct tls_profile *a, const struct tls_profile *b)
{
	return a->role == b->role && a->kind == b->kind
		   && tls_addr_equal(&a->addr, &b->addr)
		   && same_text(a->p.server_name, b->p.server_name)
		   && same_text(a->p.server_id, b->p.server_id);
}

/* ---- lookup ---- */

/* The profile at ADDR that serves NAME exactly or, with the longest suffix,
 * as a sub-domain; NULL when there is none. */
static const struct tls_profile *find_by_name(const struct tls_domains *d,
		enum tls_role role, const struct tls_addr *addr, const char *name,
		size_t *n_compared)
{
	struct key key = {KEY_EXACT, role, addr, name};
	const struct tls_profile *p = find(d, &key, n_compared);

	key.kind = KEY_SUFFIX;
	while(!p && (key.text = strchr(key.text, '.'))) {
		key.text++;
		p = find(d, &key, n_compared);
	}
	return p;
}

/* The profile at exactly ADDR. NAME is NULL when none was asked for and ""
 * when nobody can have it. */
static const struct tls_profile *find_by_addr(const struct tls_domains *d,
		enum tls_role role, const struct tls_addr *addr, const char *name,
		size_t *n_compared)
{
	struct key key = {KEY_NAMELESS, role, addr, ""};
	const struct tls_profile *p = NULL;

	if(name && *name)
		p = find_by_name(d, role, addr, name, n_compared);
	if(!name) {
		key.kind = KEY_NONE;
		p = find(d, &key, n_compared);
		key.kind = KEY_NAMELESS;
	}
	if(!p)
		p = find(d, &key, n_compared);
	if(!p && !name) {
		key.kind = KEY_LAST;
		p = find(d, &key, n_compared);
	}
	return p;
}

/* The profile at ADDR (NULL = none), with its port or for every port. */
static const struct tls_profile *find_at(const struct tls_domains *d,
		enum tls_role role, const struct tls_addr *addr, const char *name,
		size_t *n_compared)
{
	struct tls_addr every;
	const struct tls_profile *p;

	if(!addr || !addr->family)
		return NULL;
	p = find_by_addr(d, role, addr, name, n_compared);
	if(p || !addr->port)
		return p;
	every = *addr;
	every.port = 0;
	return find_by_addr(d, role, &every, name, n_compared);
}

const struct tls_profile *tls_domain_lookup_counted(
		const struct tls_domains *domains, const struct tls_domain_query *query,
		size_t *n_compared)
{
	struct key by_id = {KEY_ID, query->role, NULL, query->server_id};
	struct key unnamed = {KEY_NONE, query->role, &any_addr, ""};
	const struct tls_profile *p = NULL;
	const char *asked = NULL;
	char name[TLS_NAME_MAX + 1];
	size_t count = 0;

	if(query->name) {
		/* a bad name leaves "" there, which nobody has */
		if(tls_name_normalise(query->name, strlen(query->name), name))
			name[0] = '\0';
		asked = name;
	}
	if(query->server_id && *query->server_id)
		p = find(domains, &by_id, &count);
	if(!p && query->role == TLS_ROLE_CLIENT)
		p = find_at(domains, query->role, query->remote, asked, &count);
	if(!p)
		p = find_at(domains, query->role, query->local, asked, &count);
	if(!p && !asked)
		p = find(domains, &unnamed, &count);
	if(!p && asked && *asked)
		p = find_by_name(domains, query->role, &any_addr, asked, &count);
	if(!p)
		p = domains->defaults[query->role];
	if(n_compared)
		*n_compared += count;
	return p;
}

bool tls_profile_serves(const struct tls_profile *p, const char *name)
{
	char normal[TLS_NAME_MAX + 1];
	size_t i;

	if(tls_name_normalise(name, strlen(name), normal))
		return false;
	for(i = 0; i < p->n_names; i++) {
		if(tls_name_match(normal, p->names[i].text, p->names[i].mode))
			return true;
	}
	return false;
}

const char *tls_profile_sni(const struct tls_profile *p, bool *auto_out)
{
	size_t i;

	*auto_out = false;
	if(p->p.sni && !strcasecmp(p->p.sni, "none"))
		return NULL;
	*auto_out = p->p.sni && !strcasecmp(p->p.sni, "auto");
	if(p->p.sni && !*auto_out)
		return p->p.sni;
	for(i = 0; i < p->n_names; i++) {
		if(p->names[i].mode != TLS_NAME_MODE_SUB
				&& p->names[i].mode != TLS_PROFILE_NAME_NONE
				&& !tls_name_is_ip(p->names[i].text, strlen(p->names[i].text)))
			return p->names[i].text;
	}
	return NULL;
}

const struct tls_profile *tls_domain_lookup(
		const struct tls_domains *domains, const struct tls_domain_query *query)
{
	return tls_domain_lookup_counted(domains, query, NULL);
}

/* ---- the published generation ---- */

enum tls_rc tls_domains_init(void)
{
	if(root)
		return TLS_RC_BUG;
	root = tls_port_alloc(sizeof(*root));
	if(!root)
		return TLS_RC_NOMEM;
	memset(root, 0, sizeof(*root));
	return TLS_RC_OK;
}

void tls_domains_destroy(void)
{
	struct tls_domains *last;

	if(!root)
		return;
	last = root->published;
	tls_port_free(root);
	root = NULL;
	tls_domains_unref(&last);
}

struct tls_domains *tls_domains_publish(struct tls_domains *domains)
{
	struct tls_domains *old;

	if(!root || !domains->sealed) {
		tls_port_log(TLS_LOG_CRIT,
				"BUG: profiles published before they were %s",
				root ? "sealed" : "possible");
		return domains;
	}
	tls_lock_get(TLS_LOCK_DOMAINS);
	old = root->published;
	domains->generation = ++root->generations;
	root->published = domains;
	tls_lock_release(TLS_LOCK_DOMAINS);
	return old;
}

struct tls_domains *tls_domains_acquire(void)
{
	struct tls_domains *d;

	if(!root)
		return NULL;
	/* the lock makes "read the pointer, count" one step: between the two a
	 * reload could drop the last reference */
	tls_lock_get(TLS_LOCK_DOMAINS);
	d = root->published;
	if(d)
		tls_domains_ref(d);
	tls_lock_release(TLS_LOCK_DOMAINS);
	return d;
}
