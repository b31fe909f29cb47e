/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Text or modparams in, sealed profiles out: sections and options by name,
 * the filling of holes, files and directories.
 * Publishes nothing, opens no certificate and asks no socket.
 * Called by the adapter at start and at a reload, in one process at a time. */
#include "tls_config.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls_cfgfile.h"
#include "tls_name.h"

#define FALLBACK_FILE "cert.pem"

/* A set of profile options. */
typedef uint64_t option_set;
#define BIT(name_) ((option_set)1 << TLS_PROFILE_OPTION_##name_)
_Static_assert(TLS_PROFILE_OPTION_COUNT <= 64, "option_set is too small");

/* Who a section is: never inherited. */
#define IDENTITY (BIT(server_name) | BIT(server_name_mode) | BIT(server_id))
#define TRUST (BIT(ca_list) | BIT(ca_path))
#define SECOND_PAIR                                                     \
	(BIT(certificate2) | BIT(private_key2) | BIT(private_key_password2) \
			| BIT(ocsp_file2))
#define CREDENTIALS                                                  \
	(BIT(certificate) | BIT(private_key) | BIT(private_key_password) \
			| BIT(ocsp_file) | SECOND_PAIR)

/* One section as it was written. */
struct draft
{
	struct tls_profile spec; /* p is owned, file borrowed from the source */
	option_set set;			 /* options that are no holes any more */
	bool broken;			 /* had an error: the load fails */
	bool nameless;			 /* its header is not readable: never used */
	struct tls_place places[TLS_PROFILE_OPTION_COUNT];
};

/* The files of one load. */
struct files
{
	struct tls_config_source *sources; /* owned: names, texts and array */
	size_t n, cap;
};

/* One run: what comes in, the drafts, and the complaints. */
struct run
{
	const char *base_dir;
	tls_report_fn report;
	void *arg;
	struct draft *drafts; /* owned */
	size_t n, cap;
	struct draft modparams; /* owned; what fills the last holes */
	struct tls_err first;	/* the first error; rc OK while there is none */
	unsigned int n_errors;
	struct files *files; /* where included files go; NULL: none are read */
	unsigned int depth;	 /* of includes */
	bool partly;		 /* profiles are wanted in spite of mistakes */
};

/* ---- complaints ---- */

/* Passes on one line and counts the errors among them. */
static void report_line(void *arg, enum tls_log_level level, const char *text)
{
	struct run *run = arg;

	if(level <= TLS_LOG_ERR) {
		if(!run->n_errors++)
			tls_err_set(&run->first, TLS_RC_CONFIG, "%s", text);
		if(run->n_errors > TLS_CONFIG_ERRORS_MAX)
			return;
	}
	if(run->report)
		run->report(run->arg, level, text);
}

/* Reports the sentence of ERR with its place. */
static void complain_at(struct run *run, enum tls_log_level level,
		const char *file, const struct tls_cfgfile_pos *pos,
		struct tls_err *err)
{
	tls_err_prefix(err, "%s:%u:%u: ", file, pos->line, pos->col);
	report_line(run, level, err->text);
}

/* The result of a run that ended with RC; ERR gets the sentence. */
static enum tls_rc conclude(
		const struct run *run, enum tls_rc rc, struct tls_err *err)
{
	if(rc == TLS_RC_NOMEM)
		return tls_err_set(err, rc, "no memory for the TLS configuration");
	if(!run->n_errors)
		return rc;
	if(run->n_errors == 1)
		return tls_err_set(err, TLS_RC_CONFIG, "%s", run->first.text);
	return tls_err_set(err, TLS_RC_CONFIG, "%s (and %u more errors)",
			run->first.text, run->n_errors - 1);
}

/* ---- drafts ---- */

/* Appends an empty draft; *OUT is good until the next one. */
static enum tls_rc add_draft(struct run *run, struct draft **out)
{
	size_t cap = run->cap ? run->cap * 2 : 8;
	struct draft *grown;

	*out = NULL;
	if(run->n == run->cap) {
		grown = tls_port_realloc(run->drafts, cap * sizeof(*grown));
		if(!grown)
			return TLS_RC_NOMEM;
		run->drafts = grown;
		run->cap = cap;
	}
	*out = &run->drafts[run->n++];
	memset(*out, 0, sizeof(**out));
	tls_params_profile_init(&(*out)->spec.p);
	return TLS_RC_OK;
}

static void clear_run(struct run *run)
{
	size_t i;

	for(i = 0; i < run->n; i++)
		tls_params_profile_clear(&run->drafts[i].spec.p);
	tls_params_profile_clear(&run->modparams.spec.p);
	tls_port_free(run->drafts);
}

/* Applies the path rule to a path that the host stored. Once more does no
 * harm to one that went through it already. */
static enum tls_rc resolve_path(char **slot, const char *base_dir)
{
	char *path;
	enum tls_rc rc = tls_params_path(*slot, base_dir, &path);

	if(rc)
		return rc;
	tls_port_free(*slot);
	*slot = path;
	return TLS_RC_OK;
}

#define RESOLVE_PATH(slot_) \
	if(!rc)                 \
		rc = resolve_path(&(slot_), base_dir);
#define RESOLVE_STR(slot_)
#define RESOLVE_INT(slot_)
#define RESOLVE_BOOL(slot_)
#define RESOLVE_METHOD(slot_)
#define RESOLVE_VERIFY(slot_)
#define RESOLVE_ROW(                                                    \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, secret_, doc_) \
	RESOLVE_##type_(out->m_)

/* Makes *OUT (initialised) a copy of the modparams with whole paths. */
static enum tls_rc copy_modparams(const struct tls_profile_params *modparams,
		const char *base_dir, struct tls_profile_params *out)
{
	enum tls_rc rc = tls_params_profile_copy(modparams, out);

	TLS_PROFILE_OPTIONS(RESOLVE_ROW)
	return rc;
}

/* Prepares the modparams as the last source of values. Bad ones are reported
 * once, here, and then left out. */
static enum tls_rc take_modparams(
		struct run *run, const struct tls_profile_params *modparams)
{
	struct draft *to = &run->modparams;
	struct tls_err err;
	enum tls_rc rc;
	size_t i;

	tls_params_profile_init(&to->spec.p);
	if(!modparams)
		return TLS_RC_OK;
	if(tls_params_check_profile(modparams, &err)) {
		report_line(run, TLS_LOG_ERR, err.text);
		return TLS_RC_OK;
	}
	rc = copy_modparams(modparams, run->base_dir, &to->spec.p);
	for(i = 0; !rc && i < TLS_PROFILE_OPTION_COUNT; i++) {
		if(!tls_params_profile_is_unset(&to->spec.p, i))
			to->set |= (option_set)1 << i;
	}
	return rc;
}

/* ---- sections and options ---- */

static bool is_word(const char *text, const char *const *words)
{
	while(*words) {
		if(!strcasecmp(text, *words++))
			return true;
	}
	return false;
}

/* Reads "type" and "address" of a header into SPEC. */
static enum tls_rc read_header(const struct tls_cfgfile_item *item,
		struct tls_profile *spec, struct tls_cfgfile_pos *error_pos,
		struct tls_err *err)
{
	static const char *const servers[] = {"server", "srv", "s", NULL};
	static const char *const clients[] = {"client", "cli", "c", NULL};
	static const char *const defaults[] = {"default", "def", "*", NULL};
	static const char *const anys[] = {"any", "all", NULL};

	*error_pos = item->name_pos;
	if(is_word(item->name, servers))
		spec->role = TLS_ROLE_SERVER;
	else if(is_word(item->name, clients))
		spec->role = TLS_ROLE_CLIENT;
	else
		return tls_err_set(err, TLS_RC_CONFIG,
				"unknown section type \"%s\" (use server or client)",
				item->name);
	*error_pos = item->value_pos;
	if(is_word(item->value, defaults)) {
		spec->kind = TLS_PROFILE_DEFAULT;
		return TLS_RC_OK;
	}
	if(is_word(item->value, anys)) {
		spec->kind = TLS_PROFILE_ANY;
		return TLS_RC_OK;
	}
	spec->kind = TLS_PROFILE_ADDR;
	return tls_addr_parse(item->value, &spec->addr, err);
}

/* Starts a draft for the header ITEM. A bad one gets a draft as well, so
 * that the options below it are checked too. */
static enum tls_rc open_section(struct run *run, const char *file,
		const struct tls_cfgfile_item *item, struct draft **out)
{
	enum tls_rc rc = add_draft(run, out);
	struct tls_cfgfile_pos pos;
	struct tls_err err;

	if(rc)
		return rc;
	(*out)->spec.file = file;
	(*out)->spec.line = item->name_pos.line;
	(*out)->spec.col = item->name_pos.col;
	if(read_header(item, &(*out)->spec, &pos, &err)) {
		(*out)->broken = (*out)->nameless = true;
		complain_at(run, TLS_LOG_ERR, file, &pos, &err);
	}
	return TLS_RC_OK;
}

/* Checks the names of server_name where their place is still known. */
static enum tls_rc check_server_name(struct run *run, const char *file,
		const struct tls_cfgfile_item *item, struct tls_err *err)
{
	char name[TLS_NAME_MAX + 1];
	const char *at = item->value;
	struct tls_err oddity;
	enum tls_rc rc;
	int mode;

	for(;;) {
		mode = TLS_NAME_MODE_EXACT;
		rc = tls_domain_next_name(&at, name, &mode, err);
		if(rc)
			return rc == TLS_RC_CLOSED ? TLS_RC_OK : rc;
		if(!tls_name_is_ip(name, strlen(name)))
			continue;
		tls_err_set(&oddity, TLS_RC_CONFIG,
				"server_name: \"%s\" is an address, which peers do not send "
				"as name (RFC 6066 s3)",
				name);
		complain_at(run, TLS_LOG_WARN, file, &item->value_pos, &oddity);
	}
}

/* Sets the option ITEM in the section TO. */
static enum tls_rc set_option(struct run *run, const char *file,
		const struct tls_cfgfile_item *item, struct draft *to)
{
	size_t index = tls_params_profile_find(item->name);
	const struct tls_cfgfile_pos *pos = &item->value_pos;
	struct tls_err err;
	enum tls_rc rc;

	if(index == TLS_PROFILE_OPTION_COUNT) {
		pos = &item->name_pos;
		rc = tls_err_set(&err, TLS_RC_CONFIG,
				"unknown option \"%s\" (see the list of attributes)",
				item->name);
	} else {
		rc = tls_params_set_profile_option(
				&to->spec.p, item->name, item->value, run->base_dir, &err);
		if(!rc && index == TLS_PROFILE_OPTION_server_name)
			rc = check_server_name(run, file, item, &err);
	}
	if(rc == TLS_RC_NOMEM)
		return rc;
	if(rc) {
		to->broken = true;
		complain_at(run, TLS_LOG_ERR, file, pos, &err);
		return TLS_RC_OK;
	}
	if(to->set & (option_set)1 << index) {
		tls_err_set(&err, TLS_RC_CONFIG,
				"option \"%s\" is repeated in this section (the last one "
				"counts)",
				tls_params_profile_name(index));
		complain_at(run, TLS_LOG_WARN, file, &item->name_pos, &err);
	}
	to->set |= (option_set)1 << index;
	to->places[index] =
			(struct tls_place){file, item->value_pos.line, item->value_pos.col};
	return TLS_RC_OK;
}

static enum tls_rc include(struct run *run, const char *file,
		const struct tls_cfgfile_item *item, struct draft **section);

/* Handles one option or header; *SECTION is the open section or NULL. */
static enum tls_rc take_item(struct run *run, const char *file,
		const struct tls_cfgfile_item *item, struct draft **section)
{
	struct tls_err err;

	if(item->kind == TLS_CFGFILE_SECTION)
		return open_section(run, file, item, section);
	if(item->kind == TLS_CFGFILE_INCLUDE)
		return include(run, file, item, section);
	if(*section)
		return set_option(run, file, item, *section);
	tls_err_set(&err, TLS_RC_CONFIG,
			"option \"%s\" stands before the first section (write "
			"[server:default] above it)",
			item->name);
	complain_at(run, TLS_LOG_ERR, file, &item->name_pos, &err);
	return TLS_RC_OK;
}

/* Notes a line that is not readable and keeps what is known of it. */
static enum tls_rc take_syntax_error(struct run *run, const char *file,
		const struct tls_cfgfile *parser, const struct tls_cfgfile_item *item,
		struct draft **section, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;

	if(item->kind == TLS_CFGFILE_SECTION)
		rc = add_draft(run, section);
	if(*section)
		(*section)->broken = true;
	if(*section && item->kind == TLS_CFGFILE_SECTION)
		(*section)->nameless = true;
	complain_at(run, TLS_LOG_ERR, file, &parser->error_pos, err);
	return rc;
}

/* Reads one source into drafts; *SECTION is open at its start and, another
 * one perhaps, at its end. */
static enum tls_rc read_source(struct run *run,
		const struct tls_config_source *source, struct draft **section)
{
	struct tls_cfgfile_item item;
	struct tls_cfgfile parser;
	enum tls_rc rc = TLS_RC_OK;
	struct tls_err err;

	tls_cfgfile_init(&parser, source->text, source->len);
	while(!rc) {
		if(tls_cfgfile_next(&parser, &item, &err))
			rc = take_syntax_error(
					run, source->name, &parser, &item, section, &err);
		else if(item.kind == TLS_CFGFILE_END)
			break;
		else
			rc = take_item(run, source->name, &item, section);
	}
	explicit_bzero(&item, sizeof(item)); /* it held passwords */
	return rc;
}

/* ---- holes ---- */

/* The options that TO takes over from FROM (rules: tls_config.h). */
static option_set inherited(
		const struct run *run, const struct draft *to, const struct draft *from)
{
	bool from_modparams = from == &run->modparams;
	option_set take = from->set & ~IDENTITY;

	if(from_modparams && to->spec.role == TLS_ROLE_CLIENT)
		take &= ~CREDENTIALS;
	if(from_modparams && to->spec.role == TLS_ROLE_SERVER
			&& to->spec.kind == TLS_PROFILE_DEFAULT)
		take |= from->set & (BIT(server_name) | BIT(server_name_mode));
	if(to->set & TRUST)
		take &= ~TRUST;
	if(to->set & BIT(certificate))
		take &= ~(SECOND_PAIR | BIT(ocsp_file));
	return take & ~to->set;
}

static enum tls_rc fill_from(
		const struct run *run, struct draft *to, const struct draft *from)
{
	option_set take = inherited(run, to, from);
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	for(i = 0; !rc && i < TLS_PROFILE_OPTION_COUNT; i++) {
		if(!(take & (option_set)1 << i))
			continue;
		rc = tls_params_profile_copy_option(i, &from->spec.p, &to->spec.p);
		to->places[i] = from->places[i];
	}
	to->set |= take;
	return rc;
}

/* Fills what only files can fill: cert.pem, and keys from certificates. Where
 * the certificate may stand in a line that could not be read (UNSURE) nothing
 * is guessed, so that one mistake does not look like two. */
static enum tls_rc fill_files(
		const struct run *run, struct draft *to, bool unsure)
{
	struct tls_profile_params *p = &to->spec.p;
	enum tls_rc rc = TLS_RC_OK;

	if(unsure && (!p->certificate || !(to->set & BIT(private_key)))) {
		rc = tls_params_set_text(&p->certificate, NULL, false);
		return rc ? rc : tls_params_set_text(&p->private_key, NULL, false);
	}
	if(to->spec.role == TLS_ROLE_SERVER && !(to->set & BIT(certificate)))
		rc = tls_params_path(FALLBACK_FILE, run->base_dir, &p->certificate);
	if(!rc && !(to->set & BIT(private_key)))
		rc = tls_params_set_text(&p->private_key, p->certificate, false);
	if(!rc && !(to->set & BIT(private_key2)))
		rc = tls_params_set_text(&p->private_key2, p->certificate2, false);
	return rc;
}

/* The default section of ROLE, the last resort one with a mistake; a new one
 * when none was written. */
static enum tls_rc find_default(
		struct run *run, enum tls_role role, size_t *out)
{
	struct draft *draft;
	enum tls_rc rc;
	size_t i;

	*out = run->n;
	for(i = 0; i < run->n; i++) {
		draft = &run->drafts[i];
		if(draft->nameless || draft->spec.role != role
				|| draft->spec.kind != TLS_PROFILE_DEFAULT)
			continue;
		*out = i;
		if(!draft->broken)
			break;
	}
	if(*out < run->n)
		return TLS_RC_OK;
	rc = add_draft(run, &draft);
	if(rc)
		return rc;
	draft->spec.role = role;
	/* it may be the one whose header is not readable */
	for(i = 0; i < *out; i++)
		draft->broken = draft->broken || run->drafts[i].nameless;
	return rc;
}

/* Fills the holes of every section. */
static enum tls_rc fill_all(struct run *run)
{
	size_t defaults[2], i;
	struct draft *from;
	enum tls_rc rc;

	rc = find_default(run, TLS_ROLE_SERVER, &defaults[TLS_ROLE_SERVER]);
	if(!rc)
		rc = find_default(run, TLS_ROLE_CLIENT, &defaults[TLS_ROLE_CLIENT]);
	for(i = 0; !rc && i < 2; i++)
		rc = fill_from(run, &run->drafts[defaults[i]], &run->modparams);
	for(i = 0; !rc && i < run->n; i++) {
		from = &run->drafts[defaults[run->drafts[i].spec.role]];
		if(from != &run->drafts[i])
			rc = fill_from(run, &run->drafts[i], from);
	}
	/* last of all: a file that was only guessed is not to be inherited */
	for(i = 0; !rc && i < run->n; i++)
		rc = fill_files(run, &run->drafts[i],
				run->drafts[defaults[run->drafts[i].spec.role]].broken);
	return rc;
}

/* ---- the whole ---- */

/* Adds DRAFT with the places of its options. */
static enum tls_rc add_profile(struct tls_domains *domains,
		const struct draft *draft, struct tls_err *err)
{
	struct tls_profile spec = draft->spec; /* borrows everything */

	spec.places = (struct tls_place *)(uintptr_t)draft->places;
	if(draft->broken)
		spec.p.server_name = NULL; /* it may be what is wrong */
	return tls_domains_add(domains, &spec, err);
}

/* Makes sealed profiles of all good drafts, and of defaults, which have to be
 * there. What is wrong among them is reported. */
static enum tls_rc build(struct run *run, struct tls_domains **out)
{
	enum tls_rc rc = TLS_RC_OK;
	const struct draft *draft;
	struct tls_err err;
	size_t i;

	*out = tls_domains_new();
	if(!*out)
		return TLS_RC_NOMEM;
	for(i = 0; i < run->n && rc != TLS_RC_NOMEM; i++) {
		draft = &run->drafts[i];
		if(draft->nameless
				|| (draft->broken && draft->spec.kind != TLS_PROFILE_DEFAULT))
			continue;
		rc = add_profile(*out, draft, &err);
		if(rc && rc != TLS_RC_NOMEM)
			report_line(run, TLS_LOG_ERR, err.text);
	}
	if(rc != TLS_RC_NOMEM)
		rc = tls_domains_seal(*out, report_line, run, &err);
	return rc;
}

/* Reads the first N of the run's sources and makes profiles of them. */
static enum tls_rc parse(struct run *run,
		const struct tls_config_source *sources, size_t n,
		const struct tls_profile_params *modparams, struct tls_domains **out,
		struct tls_err *err)
{
	struct tls_domains *domains = NULL;
	struct draft *section;
	enum tls_rc rc;
	size_t i;

	*out = NULL;
	tls_err_clear(err);
	rc = take_modparams(run, modparams);
	for(i = 0; !rc && i < n; i++) {
		/* a copy: included files may move the array */
		struct tls_config_source source = sources[i];

		if(run->files)
			source = run->files->sources[i];
		section = NULL;
		rc = read_source(run, &source, &section);
	}
	if(!rc)
		rc = fill_all(run);
	if(!rc)
		rc = build(run, &domains);
	rc = conclude(run, rc, err);
	if(!rc || (rc == TLS_RC_CONFIG && run->partly)) {
		*out = domains;
		domains = NULL;
	}
	tls_domains_unref(&domains);
	clear_run(run);
	return rc;
}

enum tls_rc tls_config_parse(const struct tls_config_source *sources, size_t n,
		const struct tls_profile_params *modparams, const char *base_dir,
		tls_report_fn report, void *arg, struct tls_domains **out,
		struct tls_err *err)
{
	struct run run = {.base_dir = base_dir, .report = report, .arg = arg};

	return parse(&run, sources, n, modparams, out, err);
}

enum tls_rc tls_config_from_modparams(
		const struct tls_profile_params *modparams, const char *base_dir,
		struct tls_domains **out, struct tls_err *err)
{
	struct run run = {.base_dir = base_dir};
	struct tls_domains *domains = NULL;
	struct tls_profile_params *p;
	struct draft *draft;
	enum tls_rc rc;

	*out = NULL;
	tls_err_clear(err);
	rc = add_draft(&run, &draft);
	if(rc)
		goto out;
	p = &draft->spec.p;
	rc = copy_modparams(modparams, base_dir, p);
	if(!rc && !p->certificate)
		rc = tls_params_path(FALLBACK_FILE, base_dir, &p->certificate);
	if(!rc && !p->private_key)
		rc = tls_params_path(FALLBACK_FILE, base_dir, &p->private_key);
	if(!rc && !p->private_key2)
		rc = tls_params_set_text(&p->private_key2, p->certificate2, false);
	if(!rc)
		rc = add_draft(&run, &draft);
	if(!rc)
		rc = tls_params_profile_copy(&run.drafts[0].spec.p, &draft->spec.p);
	if(rc)
		goto out;
	run.drafts[0].spec.role = TLS_ROLE_SERVER;
	run.drafts[1].spec.role = TLS_ROLE_CLIENT;
	rc = build(&run, &domains);

out:
	rc = conclude(&run, rc, err);
	if(!rc) {
		*out = domains;
		domains = NULL;
	}
	tls_domains_unref(&domains);
	clear_run(&run);
	return rc;
}

/* ---- files ---- */

static void clear_files(struct files *files)
{
	size_t i;

	for(i = 0; i < files->n; i++) {
		if(files->sources[i].text) /* it may hold passwords */
			explicit_bzero((void *)(uintptr_t)files->sources[i].text,
					files->sources[i].len);
		tls_port_free((void *)(uintptr_t)files->sources[i].text);
		tls_port_free((void *)(uintptr_t)files->sources[i].name);
	}
	tls_port_free(files->sources);
}

/* Appends a file without its text. Takes over NAME, also on failure. */
static enum tls_rc add_file(struct files *files, char *name)
{
	size_t cap = files->cap ? files->cap * 2 : 8;
	struct tls_config_source *grown;

	if(files->n == files->cap) {
		grown = tls_port_realloc(files->sources, cap * sizeof(*grown));
		if(!grown) {
			tls_port_free(name);
			return TLS_RC_NOMEM;
		}
		files->sources = grown;
		files->cap = cap;
	}
	files->sources[files->n++] = (struct tls_config_source){.name = name};
	return TLS_RC_OK;
}

/* Reads from FD until the end or until SIZE bytes are there. */
static enum tls_rc read_all(int fd, char *out, size_t size, size_t *n_out)
{
	ssize_t got;

	*n_out = 0;
	while(*n_out < size) {
		got = read(fd, out + *n_out, size - *n_out);
		if(got < 0)
			return TLS_RC_IO;
		if(!got)
			break;
		*n_out += (size_t)got;
	}
	return TLS_RC_OK;
}

/* Reads the open regular file FD of SIZE bytes into SOURCE. */
static enum tls_rc read_open_file(int fd, size_t size,
		struct tls_config_source *source, struct tls_err *err)
{
	/* one byte more: a file that has grown meanwhile is noticed */
	char *text = tls_port_alloc(size + 1);
	size_t n = 0;
	enum tls_rc rc;

	if(!text)
		return tls_err_set(err, TLS_RC_NOMEM, "no memory for the file \"%s\"",
				source->name);
	rc = read_all(fd, text, size + 1, &n);
	if(rc)
		rc = tls_err_set(
				err, rc, "config: could not read \"%s\": %m", source->name);
	else if(n > size)
		rc = tls_err_set(err, TLS_RC_IO,
				"\"%s\" changed while it was read (try again)", source->name);
	/* kept in any case: whoever clears the files wipes it */
	source->text = text;
	source->len = n;
	return rc;
}

/* Opens and reads one file. */
static enum tls_rc read_file(
		struct tls_config_source *source, struct tls_err *err)
{
	/* O_NONBLOCK: a fifo in the place of the file must not stop a reload */
	int fd = open(source->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	enum tls_rc rc;

	if(fd < 0)
		return tls_err_set(err, TLS_RC_IO, "config: could not open \"%s\": %m",
				source->name);
	if(fstat(fd, &st))
		rc = tls_err_set(err, TLS_RC_IO, "config: could not read \"%s\": %m",
				source->name);
	else if(!S_ISREG(st.st_mode))
		rc = tls_err_set(
				err, TLS_RC_IO, "\"%s\" is not a regular file", source->name);
	else if(st.st_size > TLS_CONFIG_FILE_MAX)
		rc = tls_err_set(err, TLS_RC_CONFIG,
				"\"%s\" is larger than %u MiB, which no configuration is",
				source->name, TLS_CONFIG_FILE_MAX >> 20);
	else
		rc = read_open_file(fd, (size_t)st.st_size, source, err);
	close(fd);
	return rc;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct tls_config_source *)a)->name,
			((const struct tls_config_source *)b)->name);
}

static bool ends_in_cfg(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && !strcmp(name + n - 4, ".cfg");
}

/* Takes one entry of the directory: a file to read, or one to mention. */
static enum tls_rc take_entry(struct files *files, const char *dir,
		const char *name, tls_report_fn report, void *arg)
{
	size_t size = strlen(dir) + strlen(name) + 2;
	struct tls_err line;
	struct stat st;
	char *path;

	if(*name == '.')
		return TLS_RC_OK;
	path = tls_port_alloc(size);
	if(!path)
		return TLS_RC_NOMEM;
	snprintf(path, size, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/",
			name);
	/* a dangling link is kept: reading it fails and says so */
	if(!stat(path, &st) && S_ISDIR(st.st_mode)) {
		tls_port_free(path);
		return TLS_RC_OK;
	}
	if(ends_in_cfg(name))
		return add_file(files, path);
	tls_err_set(&line, TLS_RC_CONFIG,
			"%s is not read (only names that end in .cfg are)", path);
	if(report)
		report(arg, TLS_LOG_WARN, line.text);
	tls_port_free(path);
	return TLS_RC_OK;
}

/* Lists the files of the directory PATH in the order of their names. */
static enum tls_rc list_dir(struct files *files, const char *path,
		tls_report_fn report, void *arg, struct tls_err *err)
{
	DIR *dir = opendir(path);
	enum tls_rc rc = TLS_RC_OK;
	struct dirent *entry;

	if(!dir)
		return tls_err_set(
				err, TLS_RC_IO, "config: could not open \"%s\": %m", path);
	while(!rc && (entry = readdir(dir)))
		rc = take_entry(files, path, entry->d_name, report, arg);
	closedir(dir);
	if(rc)
		return tls_err_set(err, rc, "no memory for the files of \"%s\"", path);
	if(!files->n)
		return tls_err_set(err, TLS_RC_CONFIG,
				"the directory \"%s\" has no file whose name ends in .cfg",
				path);
	qsort(files->sources, files->n, sizeof(*files->sources), compare_names);
	return TLS_RC_OK;
}

/* Reads the file PATH in the place of an include. */
static enum tls_rc include_file(struct run *run, const char *path,
		struct draft **section, struct tls_err *err)
{
	struct files *files = run->files;
	struct tls_config_source source;
	char *name = NULL;
	enum tls_rc rc;

	rc = tls_params_set_text(&name, path, false);
	if(!rc)
		rc = add_file(files, name); /* owns the name from here */
	if(!rc)
		rc = read_file(&files->sources[files->n - 1], err);
	if(rc)
		return rc;
	source = files->sources[files->n - 1];
	run->depth++;
	rc = read_source(run, &source, section);
	run->depth--;
	return rc;
}

/* Reads every file that matches PATTERN. */
static enum tls_rc include_all(struct run *run, const char *pattern,
		const char *file, const struct tls_cfgfile_item *item,
		struct draft **section)
{
	enum tls_rc rc = TLS_RC_OK;
	struct tls_err err;
	glob_t found;
	size_t i;
	int status;

	memset(&found, 0, sizeof(found));
	/* without a magic byte in it the name itself comes back, there or not */
	status = glob(
			pattern, strpbrk(pattern, "*?[") ? 0 : GLOB_NOCHECK, NULL, &found);
	if(status == GLOB_NOSPACE)
		rc = TLS_RC_NOMEM;
	if(status == GLOB_NOMATCH) {
		tls_err_set(&err, TLS_RC_CONFIG, "include: no file matches \"%s\"",
				pattern);
		complain_at(run, TLS_LOG_WARN, file, &item->value_pos, &err);
	}
	for(i = 0; !status && !rc && i < found.gl_pathc; i++) {
		rc = include_file(run, found.gl_pathv[i], section, &err);
		if(rc == TLS_RC_CONFIG || rc == TLS_RC_IO) {
			tls_err_prefix(&err, "include: ");
			complain_at(run, TLS_LOG_ERR, file, &item->value_pos, &err);
			rc = TLS_RC_OK;
		}
	}
	globfree(&found);
	return rc;
}

/* Handles an include: the text of the file stands in its place. */
static enum tls_rc include(struct run *run, const char *file,
		const struct tls_cfgfile_item *item, struct draft **section)
{
	struct tls_err err;
	char *pattern;
	enum tls_rc rc;

	tls_err_clear(&err);
	if(!run->files)
		tls_err_set(&err, TLS_RC_CONFIG, "include is not possible here");
	else if(!item->value_len)
		tls_err_set(&err, TLS_RC_CONFIG, "include: the name is empty");
	else if(run->depth == TLS_CONFIG_DEPTH_MAX)
		tls_err_set(&err, TLS_RC_CONFIG,
				"include: more than %d files deep (does a file include "
				"itself?)",
				TLS_CONFIG_DEPTH_MAX);
	if(err.rc) {
		complain_at(run, TLS_LOG_ERR, file, &item->value_pos, &err);
		return TLS_RC_OK;
	}
	rc = tls_params_path(item->value, run->base_dir, &pattern);
	if(!rc)
		rc = include_all(run, pattern, file, item, section);
	tls_port_free(pattern);
	return rc;
}

/* Reads PATH, a file or a directory. */
static enum tls_rc read_files(struct files *files, const char *path,
		tls_report_fn report, void *arg, struct tls_err *err)
{
	enum tls_rc rc;
	struct stat st;
	char *name = NULL;
	size_t i;

	if(!stat(path, &st) && S_ISDIR(st.st_mode)) {
		rc = list_dir(files, path, report, arg, err);
	} else {
		rc = tls_params_set_text(&name, path, false);
		if(!rc)
			rc = add_file(files, name); /* owns the name from here */
		if(rc)
			tls_err_set(err, rc, "no memory for the file \"%s\"", path);
	}
	for(i = 0; !rc && i < files->n; i++)
		rc = read_file(&files->sources[i], err);
	return rc;
}

enum tls_rc tls_config_load_partly(const char *path,
		const struct tls_profile_params *modparams, const char *base_dir,
		tls_report_fn report, void *arg, struct tls_domains **out,
		struct tls_err *err)
{
	struct run run = {
			.base_dir = base_dir, .report = report, .arg = arg, .partly = true};
	struct files files = {0};
	struct tls_err own;
	char *whole = NULL;
	enum tls_rc rc;

	*out = NULL;
	tls_err_clear(err);
	if(!path || !*path)
		return tls_err_set(
				err, TLS_RC_CONFIG, "no configuration file is named");
	rc = tls_params_path(path, base_dir, &whole);
	if(rc) {
		tls_err_set(err, rc, "no memory for the path \"%s\"", path);
		goto out;
	}
	rc = read_files(&files, whole, report, arg, &own);
	if(rc) {
		if(report)
			report(arg, TLS_LOG_ERR, own.text);
		tls_err_set(err, rc, "%s", own.text);
		goto out;
	}
	run.files = &files;
	rc = parse(&run, files.sources, files.n, modparams, out, err);

out:
	clear_files(&files);
	tls_port_free(whole);
	return rc;
}

enum tls_rc tls_config_load(const char *path,
		const struct tls_profile_params *modparams, const char *base_dir,
		tls_report_fn report, void *arg, struct tls_domains **out,
		struct tls_err *err)
{
	enum tls_rc rc = tls_config_load_partly(
			path, modparams, base_dir, report, arg, out, err);

	if(rc)
		tls_domains_unref(out);
	return rc;
}
