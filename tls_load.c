/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Loading a whole configuration; see tls_load.h. */

#include "tls_load.h"

#include <stdio.h>
#include <string.h>

#include "tls_config.h"
#include "tls_ctx.h"
#include "tls_files.h"
#include "tls_port.h"

/* Lines that are remembered so that none is told twice. */
#define LINES_MAX 128

struct load
{
	const struct tls_load_args *args;
	struct tls_load_result *result;
	const struct tls_profile *profile; /* the one being built */
	struct tls_err first;			   /* the first error */
	uint64_t told[LINES_MAX];		   /* hashes of lines */
	size_t n_told;
};

/* ---- complaints ---- */

static uint64_t hash_of(const char *text)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	for(; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211u;
	return hash;
}

/* True for a line that was not told before; what is inherited by thousands of
 * sections is one mistake. */
static bool is_new(struct load *load, const char *text)
{
	uint64_t hash = hash_of(text);
	size_t i;

	for(i = 0; i < load->n_told; i++) {
		if(load->told[i] == hash)
			return false;
	}
	if(load->n_told < LINES_MAX)
		load->told[load->n_told++] = hash;
	return true;
}

static void tell(struct load *load, enum tls_log_level level, const char *text)
{
	bool error = level <= TLS_LOG_ERR;
	unsigned int *n = error ? &load->result->errors : &load->result->warnings;

	if(error && !load->first.rc)
		tls_err_set(&load->first, TLS_RC_CONFIG, "%s", text);
	if(++*n <= TLS_CONFIG_ERRORS_MAX && load->args->report)
		load->args->report(load->args->arg, level, text);
}

/* From tls_config, which says the place itself. */
static void config_cb(void *arg, enum tls_log_level level, const char *text)
{
	tell(arg, level, text);
}

/* Puts the place of OPTION of the profile being built in front of ERR. */
static void add_place(
		const struct load *load, size_t option, struct tls_err *err)
{
	const struct tls_profile *p = load->profile;
	const struct tls_place *place = NULL;

	if(option < TLS_PROFILE_OPTION_COUNT && p->places)
		place = &p->places[option];
	if(place && place->file)
		tls_err_prefix(err, "%s:%u:%u: ", place->file, place->line, place->col);
	else if(p->file)
		tls_err_prefix(err, "%s:%u:%u: profile %s: ", p->file, p->line, p->col,
				p->label);
	else
		tls_err_prefix(err, "profile %s: ", p->label);
}

/* From tls_ctx. */
static void ctx_cb(void *arg, enum tls_log_level level,
		enum tls_profile_option option, const char *text)
{
	struct load *load = arg;
	struct tls_err line;

	tls_err_set(&line, TLS_RC_CONFIG, "%s", text);
	add_place(load, (size_t)option, &line);
	if(is_new(load, line.text))
		tell(load, level, line.text);
}

/* ---- contexts ---- */

static void free_ctx_cb(void *ctx)
{
	struct tls_ctx *c = ctx;

	tls_ctx_free(&c);
}

/* A server profile for an address where nobody listens is a mistake: it would
 * never be used. */
static void check_listener(struct load *load)
{
	const struct tls_profile *p = load->profile;
	char text[TLS_ADDR_TEXT_MAX];
	struct tls_err line;

	if(!load->args->listens || p->role != TLS_ROLE_SERVER
			|| p->kind != TLS_PROFILE_ADDR
			|| load->args->listens(load->args->arg, &p->addr))
		return;
	tls_err_set(&line, TLS_RC_CONFIG,
			"the server does not listen on %s (add listen=tls:%s or correct "
			"the address)",
			tls_addr_print(&p->addr, text, sizeof(text)), text);
	add_place(load, TLS_PROFILE_OPTION_COUNT, &line);
	tell(load, TLS_LOG_ERR, line.text);
}

/* Lets FILES take what the generation before has read. */
static enum tls_rc adopt(const struct load *load, struct tls_files *files)
{
	const struct tls_domains *before = load->args->before;
	const struct tls_profile *p;
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	for(i = 0; before && !rc && (p = tls_domains_at(before, i)) != NULL; i++) {
		if(p->ctx)
			rc = tls_ctx_adopt(p->ctx, files);
	}
	return rc;
}

/* Builds the context of every profile, also behind a mistake. */
static enum tls_rc build_all(
		struct load *load, struct tls_domains *domains, struct tls_files *files)
{
	struct tls_ctx_args args = {.settings = load->args->settings,
			.files = files,
			.report = ctx_cb,
			.report_arg = load};
	enum tls_rc rc = TLS_RC_OK, worst = TLS_RC_OK;
	struct tls_profile *p;
	struct tls_ctx *ctx;
	size_t i;

	tls_domains_set_free_ctx(domains, free_ctx_cb);
	for(i = 0; (p = tls_domains_at(domains, i)) != NULL; i++) {
		load->profile = p;
		check_listener(load);
		args.role = p->role;
		args.params = &p->p;
		args.label = p->label;
		rc = tls_ctx_new(&ctx, &args, NULL);
		if(rc && !worst)
			worst = rc;
		if(rc == TLS_RC_NOMEM)
			return rc; /* the others would only say it again */
		p->ctx = ctx;  /* now owned by the generation */
	}
	return worst;
}

static enum tls_rc build(struct load *load, struct tls_domains *domains)
{
	struct tls_files *files = NULL;
	enum tls_rc rc = tls_files_new(&files);

	if(!rc)
		rc = adopt(load, files);
	if(!rc)
		rc = build_all(load, domains, files);
	if(files) {
		load->result->read = tls_files_read(files);
		load->result->kept = tls_files_kept(files);
	}
	tls_files_free(&files);
	if(!rc && load->result->errors)
		rc = TLS_RC_CONFIG;
	return rc;
}

/* ---- the whole ---- */

/* The result with the sentence for who asked. */
static enum tls_rc conclude(
		const struct load *load, enum tls_rc rc, struct tls_err *err)
{
	unsigned int n = load->result->errors;

	if(!rc)
		return rc;
	if(!n) /* the sentence is in ERR already, or there is none */
		return err && err->rc
					   ? rc
					   : tls_err_set(err, rc, "out of shared memory (-m)");
	if(n == 1)
		return tls_err_set(err, rc, "%s", load->first.text);
	return tls_err_set(err, rc, "%s (and %u more error%s)", load->first.text,
			n - 1, n == 2 ? "" : "s");
}

enum tls_rc tls_load(const struct tls_load_args *args, struct tls_domains **out,
		struct tls_load_result *result, struct tls_err *err)
{
	struct load load = {.args = args, .result = result};
	struct tls_domains *domains = NULL;
	uint64_t start = tls_port_ms();
	enum tls_rc rc, built;

	*out = NULL;
	memset(result, 0, sizeof(*result));
	tls_err_clear(err);
	if(!args->file)
		rc = tls_config_from_modparams(
				args->modparams, args->base_dir, &domains, err);
	else
		rc = tls_config_load_partly(args->file, args->modparams, args->base_dir,
				config_cb, &load, &domains, err);
	if(domains) {
		/* also behind mistakes of the text: who corrects them wants to know
		 * about the files at once */
		result->profiles = tls_domains_count(domains);
		built = build(&load, domains);
		rc = rc ? rc : built;
	}
	result->ms = tls_port_ms() - start;
	if(!rc) {
		tls_domains_drop_places(domains);
		*out = domains;
		domains = NULL; /* now owned by the caller */
	}
	tls_domains_unref(&domains);
	return conclude(&load, rc, err);
}

char *tls_load_text(
		const struct tls_load_result *result, char *out, size_t size)
{
	snprintf(out, size,
			"%zu profiles, %zu certificates (%zu read, %zu unchanged), %u "
			"warnings, %llu ms",
			result->profiles, result->read + result->kept, result->read,
			result->kept, result->warnings, (unsigned long long)result->ms);
	return out;
}
