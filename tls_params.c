/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Settings as text and as values: defaults, words, ranges, owned strings.
 * Does not know files, sections, OpenSSL or the host.
 * Any process, no lock: a structure belongs to its caller. */
#define _GNU_SOURCE /* strcasestr */
#include "tls_params.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tls_name.h"
#include "tls_port.h"

enum option_type
{
	TYPE_BOOL = 0,
	TYPE_INT,
	TYPE_STR,
	TYPE_PATH,
	TYPE_METHOD,
	TYPE_VERIFY
};

/* One row of an option table as data, for code that walks over all. */
struct option
{
	const char *name; /* in tls.cfg; of a setting: the modparam */
	const char *alias;
	const char *modparam;
	enum option_type type;
	size_t offset;		  /* of the member */
	int def;			  /* BOOL, INT and VERIFY */
	const char *def_text; /* STR, PATH and METHOD */
	int min;
	int max;
	bool secret;
};

/* The default of a row is a number or a text, whatever its type needs. */
#define NUMBER_BOOL(def_) def_
#define NUMBER_INT(def_) def_
#define NUMBER_VERIFY(def_) def_
#define NUMBER_STR(def_) 0
#define NUMBER_PATH(def_) 0
#define NUMBER_METHOD(def_) 0
#define TEXT_BOOL(def_) NULL
#define TEXT_INT(def_) NULL
#define TEXT_VERIFY(def_) NULL
#define TEXT_STR(def_) def_
#define TEXT_PATH(def_) def_
#define TEXT_METHOD(def_) def_

#define PROFILE_ROW(                                                       \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, secret_, doc_)    \
	{cfg_, alias_, mod_, TYPE_##type_,                                     \
			offsetof(struct tls_profile_params, m_), NUMBER_##type_(def_), \
			TEXT_##type_(def_), min_, max_, secret_},
static const struct option profile_options[TLS_PROFILE_OPTION_COUNT] = {
		TLS_PROFILE_OPTIONS(PROFILE_ROW)};

#define SETTING_ROW(m_, type_, def_, min_, max_, mod_, cfg_, rt_, rpc_, doc_) \
	{mod_, NULL, mod_, TYPE_##type_, offsetof(struct tls_settings, m_),       \
			NUMBER_##type_(def_), TEXT_##type_(def_), min_, max_, false},
static const struct option settings_options[] = {
		TLS_SETTINGS_OPTIONS(SETTING_ROW)};
#define N_SETTINGS (sizeof(settings_options) / sizeof(settings_options[0]))

/* ---- words ---- */

/* Reads "TLSv1[.minor]" at *TEXT and steps over it; NONE when it is not
 * there. */
static enum tls_version read_version(const char **text)
{
	const char *at = *text;

	if(strncasecmp(at, "TLSv1", 5))
		return TLS_VERSION_NONE;
	at += 5;
	if(at[0] != '.') {
		*text = at;
		return TLS_VERSION_1_0;
	}
	if(at[1] < '0' || at[1] > '3')
		return TLS_VERSION_NONE;
	*text = at + 2;
	return (enum tls_version)(TLS_VERSION_1_0 + (at[1] - '0'));
}

/* Reads what may stand behind the version METHOD->min; false when TEXT is
 * something else or a range that is upside down. */
static bool read_upper_bound(const char *text, struct tls_method *method)
{
	method->max = method->min;
	if(!*text)
		return true;
	if(!strcmp(text, "+")) {
		method->max = TLS_VERSION_NONE;
		return true;
	}
	if(*text++ != '-')
		return false;
	method->max = read_version(&text);
	return !*text && method->max >= method->min;
}

enum tls_rc tls_params_parse_method(
		const char *word, struct tls_method *out, struct tls_err *err)
{
	struct tls_method method = {TLS_VERSION_1_2, TLS_VERSION_NONE};
	const char *at = word;

	if(!strcasecmp(word, "SSLv2") || !strcasecmp(word, "SSLv3"))
		return tls_err_set(err, TLS_RC_CONFIG,
				"method \"%s\" is broken and not supported (use TLSv1.2+)",
				word);
	if(strcasecmp(word, "SSLv23")) {
		method.min = read_version(&at);
		if(!method.min || !read_upper_bound(at, &method))
			return tls_err_set(err, TLS_RC_CONFIG,
					"unknown method \"%s\" (use TLSv1.2, TLSv1.3, one of them "
					"with \"+\" for that version or newer, or a range as "
					"TLSv1.2-TLSv1.3)",
					word);
	}
	*out = method;
	return TLS_RC_OK;
}

/* Minor number as the words have it: TLS 1.2 is 0x0303. */
static unsigned int minor_of(enum tls_version version)
{
	return (unsigned int)version - TLS_VERSION_1_0;
}

char *tls_params_method_text(
		const struct tls_method *method, char out[TLS_METHOD_TEXT_MAX])
{
	if(!method->min)
		snprintf(out, TLS_METHOD_TEXT_MAX, "any");
	else if(!method->max)
		snprintf(out, TLS_METHOD_TEXT_MAX, "TLSv1.%u+", minor_of(method->min));
	else if(method->min == method->max)
		snprintf(out, TLS_METHOD_TEXT_MAX, "TLSv1.%u", minor_of(method->min));
	else
		snprintf(out, TLS_METHOD_TEXT_MAX, "TLSv1.%u-TLSv1.%u",
				minor_of(method->min), minor_of(method->max));
	return out;
}

enum tls_rc tls_params_parse_bool(
		const char *word, int *out, struct tls_err *err)
{
	static const char *const words[2][6] = {
			{"no", "false", "disable", "disabled", "0", "off"},
			{"yes", "true", "enable", "enabled", "1", "on"}};
	size_t i;
	int value;

	for(value = 0; value < 2; value++) {
		for(i = 0; i < sizeof(words[0]) / sizeof(words[0][0]); i++) {
			if(!strcasecmp(word, words[value][i])) {
				*out = value;
				return TLS_RC_OK;
			}
		}
	}
	return tls_err_set(err, TLS_RC_CONFIG,
			"\"%s\" is neither yes nor no (use yes, true, enable, on, 1 or no, "
			"false, disable, off, 0)",
			word);
}

enum tls_rc tls_params_parse_int(
		const char *word, int min, int max, int *out, struct tls_err *err)
{
	const char *at = word;
	bool negative = *at == '-';
	int64_t value = 0;

	if(*at == '-' || *at == '+')
		at++;
	if(!*at)
		goto refuse;
	for(; *at; at++) {
		if(*at < '0' || *at > '9')
			goto refuse;
		value = value * 10 + (*at - '0');
		if(value > (int64_t)INT_MAX + 1) /* keeps the sum from overflowing */
			goto refuse;
	}
	if(negative)
		value = -value;
	if(value < min || value > max)
		goto refuse;
	*out = (int)value;
	return TLS_RC_OK;

refuse:
	return tls_err_set(err, TLS_RC_CONFIG,
			"\"%s\" is not a number from %d to %d", word, min, max);
}

static const char *const verify_words[] = {[TLS_VERIFY_CLIENT_OFF] = "off",
		[TLS_VERIFY_CLIENT_ON] = "on",
		[TLS_VERIFY_CLIENT_OPTIONAL] = "optional",
		[TLS_VERIFY_CLIENT_OPTIONAL_NO_CA] = "optional_no_ca"};
#define N_VERIFY_WORDS (sizeof(verify_words) / sizeof(verify_words[0]))

bool tls_params_is_foreign(const char *key)
{
	return strncmp(key, TLS_PARAMS_KEY_URI, strlen(TLS_PARAMS_KEY_URI)) == 0
		   || strncmp(key, TLS_PARAMS_KEY_ENGINE, strlen(TLS_PARAMS_KEY_ENGINE))
					  == 0;
}

const char *tls_params_path_text(const char *path, char *out, size_t size)
{
	static const char word[] = "pin-value=";
	const char *pin =
			tls_params_is_foreign(path) ? strcasestr(path, word) : NULL;
	size_t head;

	if(pin == NULL) {
		snprintf(out, size, "%s", path);
		return out;
	}
	head = (size_t)(pin - path) + strlen(word);
	pin = path + head;
	snprintf(
			out, size, "%.*s...%s", (int)head, path, pin + strcspn(pin, ";&?"));
	return out;
}

enum tls_rc tls_params_parse_verify_client(
		const char *word, enum tls_verify_client *out, struct tls_err *err)
{
	size_t i;

	for(i = 0; i < N_VERIFY_WORDS; i++) {
		if(!strcasecmp(word, verify_words[i])) {
			*out = (enum tls_verify_client)i;
			return TLS_RC_OK;
		}
	}
	return tls_err_set(err, TLS_RC_CONFIG,
			"unknown word \"%s\" (use off, on, optional or optional_no_ca)",
			word);
}

const char *tls_params_verify_client_text(enum tls_verify_client verify)
{
	return (size_t)verify < N_VERIFY_WORDS ? verify_words[verify] : "unknown";
}

static bool is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t';
}

enum tls_rc tls_params_parse_alpn(const char *text,
		unsigned char out[TLS_PARAMS_ALPN_MAX], size_t *n_out,
		struct tls_err *err)
{
	const char *at = text;
	size_t used = 0, n;

	*n_out = 0;
	for(;;) {
		while(is_separator(*at))
			at++;
		if(!*at)
			break;
		for(n = 0; at[n] > ' ' && at[n] < 0x7f && at[n] != ','; n++)
			;
		if(!n || (at[n] && !is_separator(at[n])))
			return tls_err_set(err, TLS_RC_CONFIG,
					"\"%s\" has a byte that no protocol name has", text);
		if(n >= TLS_PARAMS_ALPN_MAX - used)
			return tls_err_set(err, TLS_RC_CONFIG,
					"\"%s\" is longer than %d bytes", text,
					TLS_PARAMS_ALPN_MAX - 1);
		out[used++] = (unsigned char)n;
		memcpy(out + used, at, n);
		used += n;
		at += n;
	}
	if(!used)
		return tls_err_set(err, TLS_RC_CONFIG, "\"%s\" names nothing", text);
	*n_out = used;
	return TLS_RC_OK;
}

/* ---- owned strings ---- */

static void free_text(char *text, bool secret)
{
	if(text && secret)
		explicit_bzero(text, strlen(text));
	tls_port_free(text);
}

enum tls_rc tls_params_set_text(char **slot, const char *text, bool secret)
{
	char *copy = NULL;
	size_t size;

	if(text && *text) {
		size = strlen(text) + 1;
		copy = tls_port_alloc(size);
		if(!copy)
			return TLS_RC_NOMEM;
		memcpy(copy, text, size);
	}
	free_text(*slot, secret);
	*slot = copy;
	return TLS_RC_OK;
}

enum tls_rc tls_params_path(const char *value, const char *base_dir, char **out)
{
	const char *dot = "", *slash = "/";
	size_t size;

	*out = NULL;
	if(!value || !*value)
		return TLS_RC_OK;
	if(*value == '/' || *value == '.' || *value == '@')
		return tls_params_set_text(out, value, false);
	if(!base_dir || !*base_dir)
		base_dir = ".";
	/* a relative base becomes "./base": the result must not be taken for
	 * one that still has to go through this rule */
	if(*base_dir != '/' && *base_dir != '.')
		dot = "./";
	if(base_dir[strlen(base_dir) - 1] == '/')
		slash = "";
	size = strlen(dot) + strlen(base_dir) + strlen(slash) + strlen(value) + 1;
	*out = tls_port_alloc(size);
	if(!*out)
		return TLS_RC_NOMEM;
	snprintf(*out, size, "%s%s%s%s", dot, base_dir, slash, value);
	return TLS_RC_OK;
}

/* ---- members by table row ---- */

static int *int_of(void *base, const struct option *option)
{
	return (int *)(void *)((char *)base + option->offset);
}

static char **text_of(void *base, const struct option *option)
{
	return (char **)(void *)((char *)base + option->offset);
}

static const char *const_text_of(const void *base, const struct option *option)
{
	return *(char *const *)(const void *)((const char *)base + option->offset);
}

static struct tls_method *method_of(void *base, const struct option *option)
{
	return (struct tls_method *)(void *)((char *)base + option->offset);
}

static enum tls_verify_client *verify_of(
		void *base, const struct option *option)
{
	return (enum tls_verify_client *)(void *)((char *)base + option->offset);
}

static bool is_text(const struct option *option)
{
	return option->type == TYPE_STR || option->type == TYPE_PATH;
}

/* Sets one member to its default; what it owned is forgotten, not freed. */
static enum tls_rc set_default(void *base, const struct option *option)
{
	switch(option->type) {
		case TYPE_BOOL:
		case TYPE_INT:
			*int_of(base, option) = option->def;
			return TLS_RC_OK;
		case TYPE_VERIFY:
			*verify_of(base, option) = (enum tls_verify_client)option->def;
			return TLS_RC_OK;
		case TYPE_METHOD:
			return tls_params_parse_method(
					option->def_text, method_of(base, option), NULL);
		case TYPE_STR:
		case TYPE_PATH:
			*text_of(base, option) = NULL;
			return tls_params_set_text(
					text_of(base, option), option->def_text, false);
	}
	return TLS_RC_BUG;
}

/* Checks the range of a number that the host stored. */
static enum tls_rc check_range(
		void *base, const struct option *option, struct tls_err *err)
{
	int value;

	if(option->type != TYPE_BOOL && option->type != TYPE_INT)
		return TLS_RC_OK;
	value = *int_of(base, option);
	if(value >= option->min && value <= option->max)
		return TLS_RC_OK;
	return tls_err_set(err, TLS_RC_CONFIG,
			"parameter %s = %d is out of range (use %d to %d)",
			option->modparam ? option->modparam : option->name, value,
			option->min, option->max);
}

/* ---- one profile ---- */

void tls_params_profile_init(struct tls_profile_params *params)
{
	enum tls_rc rc;
	size_t i;

	memset(params, 0, sizeof(*params));
	for(i = 0; i < TLS_PROFILE_OPTION_COUNT; i++) {
		rc = set_default(params, &profile_options[i]);
		/* no profile option has a text as default, so nothing can fail; a
		 * test holds the table to it */
		(void)rc;
	}
}

void tls_params_profile_clear(struct tls_profile_params *params)
{
	const struct option *option;
	size_t i;

	if(!params)
		return;
	for(i = 0; i < TLS_PROFILE_OPTION_COUNT; i++) {
		option = &profile_options[i];
		if(is_text(option))
			free_text(*text_of(params, option), option->secret);
	}
	tls_params_profile_init(params);
}

enum tls_rc tls_params_profile_copy_option(size_t index,
		const struct tls_profile_params *from, struct tls_profile_params *out)
{
	const struct option *option;
	const char *source;

	if(index >= TLS_PROFILE_OPTION_COUNT)
		return TLS_RC_BUG;
	option = &profile_options[index];
	source = (const char *)from + option->offset;
	switch(option->type) {
		case TYPE_BOOL:
		case TYPE_INT:
			memcpy(int_of(out, option), source, sizeof(int));
			return TLS_RC_OK;
		case TYPE_VERIFY:
			memcpy(verify_of(out, option), source,
					sizeof(enum tls_verify_client));
			return TLS_RC_OK;
		case TYPE_METHOD:
			memcpy(method_of(out, option), source, sizeof(struct tls_method));
			return TLS_RC_OK;
		case TYPE_STR:
		case TYPE_PATH:
			return tls_params_set_text(text_of(out, option),
					const_text_of(from, option), option->secret);
	}
	return TLS_RC_BUG;
}

enum tls_rc tls_params_profile_copy(
		const struct tls_profile_params *from, struct tls_profile_params *out)
{
	struct tls_profile_params copy;
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	tls_params_profile_init(&copy);
	for(i = 0; !rc && i < TLS_PROFILE_OPTION_COUNT; i++)
		rc = tls_params_profile_copy_option(i, from, &copy);
	if(rc)
		goto out;
	tls_params_profile_clear(out);
	*out = copy;
	tls_params_profile_init(&copy); /* its strings are owned by out now */

out:
	tls_params_profile_clear(&copy);
	return rc;
}

size_t tls_params_profile_find(const char *name)
{
	const struct option *option;
	size_t i;

	for(i = 0; i < TLS_PROFILE_OPTION_COUNT; i++) {
		option = &profile_options[i];
		if(!strcasecmp(name, option->name)
				|| (option->alias && !strcasecmp(name, option->alias))
				|| (option->modparam && !strcasecmp(name, option->modparam)))
			break;
	}
	return i;
}

const char *tls_params_profile_name(size_t index)
{
	return index < TLS_PROFILE_OPTION_COUNT ? profile_options[index].name
											: "unknown";
}

bool tls_params_profile_is_secret(size_t index)
{
	return index < TLS_PROFILE_OPTION_COUNT && profile_options[index].secret;
}

bool tls_params_profile_is_unset(
		const struct tls_profile_params *params, size_t index)
{
	return index < TLS_PROFILE_OPTION_COUNT && is_text(&profile_options[index])
		   && !const_text_of(params, &profile_options[index]);
}

/* Checks the VALUE of a text that is more than a text. */
static enum tls_rc check_text(
		size_t index, const char *value, struct tls_err *err)
{
	unsigned char wire[TLS_PARAMS_ALPN_MAX];
	char name[TLS_NAME_MAX + 1];
	size_t n;

	if(!*value)
		return TLS_RC_OK;
	if(index == TLS_PROFILE_OPTION_alpn)
		return tls_params_parse_alpn(value, wire, &n, err);
	if(index == TLS_PROFILE_OPTION_crl_check && strcasecmp(value, "leaf")
			&& strcasecmp(value, "chain"))
		return tls_err_set(err, TLS_RC_CONFIG,
				"unknown word \"%s\" (use leaf or chain)", value);
	if(index == TLS_PROFILE_OPTION_ocsp && strcasecmp(value, "off")
			&& strcasecmp(value, "check") && strcasecmp(value, "require"))
		return tls_err_set(err, TLS_RC_CONFIG,
				"unknown word \"%s\" (use off, check or require)", value);
	if(index == TLS_PROFILE_OPTION_sni
			&& (tls_name_normalise(value, strlen(value), name)
					|| tls_name_is_ip(name, strlen(name))))
		return tls_err_set(err, TLS_RC_CONFIG,
				"\"%s\" is not a host name (use one, auto or none)", value);
	return TLS_RC_OK;
}

char *tls_params_profile_text(const struct tls_profile_params *params,
		size_t index, char *out, size_t size)
{
	struct tls_profile_params view = *params; /* borrows the strings */
	const struct option *option;
	char method[TLS_METHOD_TEXT_MAX];
	const char *text;

	out[0] = '\0';
	if(index >= TLS_PROFILE_OPTION_COUNT)
		return out;
	option = &profile_options[index];
	switch(option->type) {
		case TYPE_BOOL:
			snprintf(out, size, "%s", *int_of(&view, option) ? "yes" : "no");
			break;
		case TYPE_INT:
			snprintf(out, size, "%d", *int_of(&view, option));
			break;
		case TYPE_VERIFY:
			snprintf(out, size, "%s",
					tls_params_verify_client_text(*verify_of(&view, option)));
			break;
		case TYPE_METHOD:
			snprintf(out, size, "%s",
					tls_params_method_text(method_of(&view, option), method));
			break;
		case TYPE_STR:
			text = const_text_of(params, option);
			snprintf(out, size, "%s",
					!text			 ? ""
					: option->secret ? "***"
									 : text);
			break;
		case TYPE_PATH:
			text = const_text_of(params, option);
			tls_params_path_text(text != NULL ? text : "", out, size);
			break;
	}
	return out;
}

static enum tls_rc set_path(
		char **slot, const char *value, const char *base_dir)
{
	char *path;
	enum tls_rc rc = tls_params_path(value, base_dir, &path);

	if(rc)
		return rc;
	tls_port_free(*slot);
	*slot = path;
	return TLS_RC_OK;
}

enum tls_rc tls_params_set_profile_option(struct tls_profile_params *params,
		const char *name, const char *value, const char *base_dir,
		struct tls_err *err)
{
	size_t index = tls_params_profile_find(name);
	const struct option *option;
	enum tls_rc rc = TLS_RC_BUG;

	if(index == TLS_PROFILE_OPTION_COUNT)
		return tls_err_set(err, TLS_RC_CONFIG, "unknown option \"%s\"", name);
	option = &profile_options[index];
	switch(option->type) {
		case TYPE_BOOL:
			rc = tls_params_parse_bool(value, int_of(params, option), err);
			break;
		case TYPE_INT:
			rc = tls_params_parse_int(value, option->min, option->max,
					int_of(params, option), err);
			break;
		case TYPE_VERIFY:
			rc = tls_params_parse_verify_client(
					value, verify_of(params, option), err);
			break;
		case TYPE_METHOD:
			rc = tls_params_parse_method(value, method_of(params, option), err);
			break;
		case TYPE_STR:
			rc = check_text(index, value, err);
			if(!rc)
				rc = tls_params_set_text(
						text_of(params, option), value, option->secret);
			break;
		case TYPE_PATH:
			rc = set_path(text_of(params, option), value, base_dir);
			break;
	}
	if(rc == TLS_RC_CONFIG)
		tls_err_prefix(err, "%s: ", option->name);
	if(rc == TLS_RC_NOMEM)
		tls_err_set(err, rc, "no memory for option %s", option->name);
	return rc;
}

enum tls_rc tls_params_check_profile(
		const struct tls_profile_params *params, struct tls_err *err)
{
	struct tls_profile_params view = *params; /* borrows the strings */
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	for(i = 0; !rc && i < TLS_PROFILE_OPTION_COUNT; i++)
		rc = check_range(&view, &profile_options[i], err);
	if(!rc && (size_t)view.verify_client >= N_VERIFY_WORDS)
		rc = tls_err_set(err, TLS_RC_CONFIG,
				"parameter verify_client = %d is out of range (use off, on, "
				"optional or optional_no_ca)",
				(int)view.verify_client);
	return rc;
}

/* ---- the whole module ---- */

enum tls_rc tls_params_settings_init(struct tls_settings *settings)
{
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	memset(settings, 0, sizeof(*settings));
	for(i = 0; !rc && i < N_SETTINGS; i++)
		rc = set_default(settings, &settings_options[i]);
	if(rc)
		tls_params_settings_clear(settings);
	return rc;
}

void tls_params_settings_clear(struct tls_settings *settings)
{
	size_t i;

	if(!settings)
		return;
	for(i = 0; i < N_SETTINGS; i++) {
		if(is_text(&settings_options[i]))
			tls_port_free(*text_of(settings, &settings_options[i]));
	}
	memset(settings, 0, sizeof(*settings));
}

/* One of the N WORDS, without case, or not set. */
static enum tls_rc check_word(const char *name, const char *word,
		const char *const *words, size_t n, const char *hint,
		struct tls_err *err)
{
	size_t i;

	if(!word || !*word)
		return TLS_RC_OK;
	for(i = 0; i < n; i++) {
		if(!strcasecmp(word, words[i]))
			return TLS_RC_OK;
	}
	return tls_err_set(err, TLS_RC_CONFIG,
			"parameter %s = \"%s\" is unknown (use %s)", name, word, hint);
}

static enum tls_rc check_words(
		const struct tls_settings *settings, struct tls_err *err)
{
	/* The words of the stock module. They choose nothing here: since OpenSSL
	 * 3 the library's own generator is fork-safe. A wrong word is still a
	 * typo. */
	static const char *const generators[] = {
			"krand", "fastrand", "cryptorand", "kxlibssl"};
	static const char *const layers[] = {"own", "openssl"};
	static const char *const reuses[] = {"off", "profile", "name"};
	enum tls_rc rc = check_word("rand_engine", settings->rand_engine,
			generators, sizeof(generators) / sizeof(generators[0]),
			"krand, fastrand, cryptorand, kxlibssl or leave it out", err);

	if(rc == TLS_RC_OK)
		rc = check_word("record_layer", settings->record_layer, layers,
				sizeof(layers) / sizeof(layers[0]), "own or openssl", err);
	if(rc == TLS_RC_OK)
		rc = check_word("reuse_check", settings->reuse_check, reuses,
				sizeof(reuses) / sizeof(reuses[0]), "off, profile or name",
				err);
	return rc;
}

enum tls_rc tls_params_check_settings(
		struct tls_settings *settings, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;
	size_t i;

	if(settings->connection_timeout < -1)
		settings->connection_timeout = -1;
	for(i = 0; !rc && i < N_SETTINGS; i++)
		rc = check_range(settings, &settings_options[i], err);
	if(rc)
		return rc;
	/* RFC 8446 s4: a record carries up to 2^14 bytes; OpenSSL takes no less
	 * than 512 */
	if(settings->ssl_max_send_fragment != -1
			&& settings->ssl_max_send_fragment < 512)
		return tls_err_set(err, TLS_RC_CONFIG,
				"parameter ssl_max_send_fragment = %d is out of range (use -1 "
				"or 512 to 16384)",
				settings->ssl_max_send_fragment);
	if(settings->session_id
			&& strlen(settings->session_id) > TLS_SESSION_ID_MAX)
		return tls_err_set(err, TLS_RC_CONFIG,
				"parameter session_id = \"%s\" is longer than %d bytes",
				settings->session_id, TLS_SESSION_ID_MAX);
	return check_words(settings, err);
}
