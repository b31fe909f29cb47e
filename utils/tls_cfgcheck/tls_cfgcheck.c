/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Says of a tls.cfg what the module would say, without a Kamailio: it is made
 * of the module's own rooms. Prints the profiles with their effective values
 * and which of them a connection would get. Changes nothing.
 * Exit status: 0 good, 1 refused, 2 the command line is wrong. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "../../tls_config.h"
#include "../../tls_ctx.h"
#include "../../tls_foreign.h"
#include "../../tls_load.h"

#define LISTENERS_MAX 64

static const char usage[] =
		"usage: tls_cfgcheck [options] FILE|DIRECTORY\n"
		"  --base DIR            directory of kamailio.cfg, for relative "
		"paths (.)\n"
		"  --param NAME=VALUE    a modparam of a profile, as in kamailio.cfg\n"
		"  --listen IP:PORT      the server listens there (repeat); without "
		"it\n"
		"                        sections without a listener are not found\n"
		"  --server IP:PORT      show the profile of a connection accepted "
		"there\n"
		"  --client IP:PORT      show the profile of a connection opened to "
		"there\n"
		"  --sni NAME            with that server name\n"
		"  --server-id ID        with that server_id\n"
		"  --providers FILE      provider_quirks_config\n"
		"  --engine ID           engine\n"
		"  --engine-config FILE  engine_config\n"
		"  --ask                 key_password_mode = 1\n"
		"  --text                open no certificate, key or CA: the text "
		"alone\n"
		"  --quiet               no table of profiles\n";

/* The command line. */
struct request
{
	const char *file;
	const char *base;
	struct tls_profile_params modparams; /* owned */
	struct tls_addr listeners[LISTENERS_MAX];
	size_t n_listeners;
	const char *server; /* addresses as they were written */
	const char *client;
	const char *sni;
	const char *server_id;
	struct tls_foreign_args foreign;
	bool ask;
	bool text;
	bool quiet;
};

static void report_cb(void *arg, enum tls_log_level level, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s: %s\n", level <= TLS_LOG_ERR ? "error" : "warning",
			text);
}

static bool listens_cb(void *arg, const struct tls_addr *addr)
{
	const struct request *request = arg;
	struct tls_addr own;
	size_t i;

	for(i = 0; i < request->n_listeners; i++) {
		own = request->listeners[i];
		if(!addr->port)
			own.port = 0;
		if(tls_addr_equal(&own, addr))
			return true;
	}
	return false;
}

/* ---- the table ---- */

static void print_profile(const struct tls_profile *p)
{
	char value[5000];
	size_t i;

	printf("%s", p->label);
	if(p->file)
		printf("  (%s:%u)", p->file, p->line);
	printf("\n");
	for(i = 0; i < TLS_PROFILE_OPTION_COUNT; i++) {
		if(tls_params_profile_is_unset(&p->p, i))
			continue;
		printf("    %-22s = %s\n", tls_params_profile_name(i),
				tls_params_profile_text(&p->p, i, value, sizeof(value)));
	}
}

/* ---- which profile ---- */

/* Answers one question; 0, or 2 when the address is none. */
static int print_choice(const struct tls_domains *domains,
		const struct request *request, enum tls_role role, const char *address)
{
	struct tls_domain_query query = {.role = role,
			.name = request->sni,
			.server_id = request->server_id};
	const struct tls_profile *p;
	struct tls_addr addr;
	struct tls_err err;
	bool from_target;
	const char *sni;

	if(tls_addr_parse(address, &addr, &err)) {
		fprintf(stderr, "%s: %s\n", address, err.text);
		return 2;
	}
	if(role == TLS_ROLE_SERVER)
		query.local = &addr;
	else
		query.remote = &addr;
	p = tls_domain_lookup(domains, &query);
	printf("%s %s%s%s%s%s gets ", role == TLS_ROLE_SERVER ? "server" : "client",
			address, request->sni ? " sni " : "",
			request->sni ? request->sni : "",
			request->server_id ? " server-id " : "",
			request->server_id ? request->server_id : "");
	if(role == TLS_ROLE_SERVER && request->sni && p->p.strict_sni
			&& !tls_profile_serves(p, request->sni)) {
		printf("the alert unrecognized_name (strict_sni of %s)\n", p->label);
		return 0;
	}
	print_profile(p);
	if(role == TLS_ROLE_SERVER)
		return 0;
	sni = request->sni ? request->sni : tls_profile_sni(p, &from_target);
	printf("    and asks for the name %s%s\n", sni ? sni : "(none)",
			!request->sni && from_target ? ", or the target of the request"
										 : "");
	return 0;
}

/* ---- the whole ---- */

/* A complaint about the text, counted in the result ARG. */
static void count_cb(void *arg, enum tls_log_level level, const char *text)
{
	struct tls_load_result *result = arg;

	if(level <= TLS_LOG_ERR)
		result->errors++;
	else
		result->warnings++;
	report_cb(NULL, level, text);
}

/* As tls_load, but without the files that the text names. */
static enum tls_rc read_text(const struct request *request,
		struct tls_domains **out, struct tls_load_result *result,
		struct tls_err *err)
{
	enum tls_rc rc;

	memset(result, 0, sizeof(*result));
	rc = tls_config_load_partly(request->file, &request->modparams,
			request->base, count_cb, result, out, err);
	if(!rc)
		result->profiles = tls_domains_count(*out);
	else
		tls_domains_unref(out);
	return rc;
}

static int check(struct request *request, const struct tls_settings *settings)
{
	struct tls_load_args args = {.file = request->file,
			.modparams = &request->modparams,
			.settings = settings,
			.base_dir = request->base,
			.listens = request->n_listeners ? listens_cb : NULL,
			.report = report_cb,
			.arg = request};
	struct tls_domains *domains = NULL;
	struct tls_load_result result;
	struct tls_err err;
	char text[256];
	int status = 0;
	size_t i;

	if(request->text ? read_text(request, &domains, &result, &err)
					 : tls_load(&args, &domains, &result, &err)) {
		if(!result.errors)
			fprintf(stderr, "error: %s\n", err.text);
		printf("%s: refused, %u error%s\n", request->file, result.errors,
				result.errors == 1 ? "" : "s");
		return 1;
	}
	for(i = 0; !request->quiet && i < tls_domains_count(domains); i++)
		print_profile(tls_domains_at(domains, i));
	if(request->server)
		status = print_choice(
				domains, request, TLS_ROLE_SERVER, request->server);
	if(!status && request->client)
		status = print_choice(
				domains, request, TLS_ROLE_CLIENT, request->client);
	if(request->text)
		printf("%s: good text, %zu profiles, %u warnings\n", request->file,
				result.profiles, result.warnings);
	else
		printf("%s: good, %s\n", request->file,
				tls_load_text(&result, text, sizeof(text)));
	tls_domains_unref(&domains);
	return status;
}

/* Takes "name=value"; false with a line when it is none. */
static bool take_param(struct request *request, char *text)
{
	char *value = strchr(text, '=');
	struct tls_err err;

	if(!value) {
		fprintf(stderr, "--param %s: \"=\" is missing\n", text);
		return false;
	}
	*value++ = '\0';
	if(!tls_params_set_profile_option(
			   &request->modparams, text, value, request->base, &err))
		return true;
	fprintf(stderr, "--param %s: %s\n", text, err.text);
	return false;
}

static bool take_listener(struct request *request, const char *text)
{
	struct tls_err err;

	if(request->n_listeners == LISTENERS_MAX) {
		fprintf(stderr, "more than %d listeners\n", LISTENERS_MAX);
		return false;
	}
	if(!tls_addr_parse(text, &request->listeners[request->n_listeners], &err)) {
		request->n_listeners++;
		return true;
	}
	fprintf(stderr, "--listen %s: %s\n", text, err.text);
	return false;
}

static const struct option options[] = {{"base", required_argument, NULL, 'b'},
		{"param", required_argument, NULL, 'p'},
		{"listen", required_argument, NULL, 'l'},
		{"server", required_argument, NULL, 's'},
		{"client", required_argument, NULL, 'c'},
		{"sni", required_argument, NULL, 'n'},
		{"server-id", required_argument, NULL, 'i'},
		{"providers", required_argument, NULL, 'P'},
		{"engine", required_argument, NULL, 'E'},
		{"engine-config", required_argument, NULL, 'C'},
		{"ask", no_argument, NULL, 'a'}, {"text", no_argument, NULL, 't'},
		{"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};

/* Takes option O; false when the command line is wrong. */
static bool take_option(struct request *request, int o)
{
	switch(o) {
		case 'b':
			request->base = optarg;
			return true;
		case 'p':
			return take_param(request, optarg);
		case 'l':
			return take_listener(request, optarg);
		case 's':
			request->server = optarg;
			return true;
		case 'c':
			request->client = optarg;
			return true;
		case 'n':
			request->sni = optarg;
			return true;
		case 'i':
			request->server_id = optarg;
			return true;
		case 'P':
			request->foreign.providers = optarg;
			return true;
		case 'E':
			request->foreign.engine = optarg;
			return true;
		case 'C':
			request->foreign.engine_config = optarg;
			return true;
		case 'a':
			request->ask = true;
			return true;
		case 't':
			request->text = true;
			return true;
		case 'q':
			request->quiet = true;
			return true;
		default:
			return false;
	}
}

int main(int argc, char **argv)
{
	struct request request = {.base = "."};
	struct tls_settings settings;
	struct tls_err err;
	bool good = true;
	int status, o;

	tls_params_profile_init(&request.modparams);
	while(good && (o = getopt_long(argc, argv, "", options, NULL)) != -1)
		good = take_option(&request, o);
	if(!good || optind != argc - 1) {
		fputs(usage, stderr);
		tls_params_profile_clear(&request.modparams);
		return 2;
	}
	request.file = argv[optind];
	if(tls_params_settings_init(&settings) || tls_ctx_init()) {
		fprintf(stderr, "out of memory\n");
		return 2;
	}
	if(tls_foreign_init(&request.foreign, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	settings.key_password_mode = request.ask;
	status = check(&request, &settings);
	tls_params_settings_clear(&settings);
	tls_params_profile_clear(&request.modparams);
	return status;
}
