/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Settings from the host; see tls_cfg.h. */

#include "tls_cfg.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tls_host.h"
#include "tls_port.h"

/* Longest idle time in ticks: the host compares ticks by signed difference
 * (core/timer_ticks.h), so half the range, and half again to be added to. */
#define TICKS_LONGEST ((unsigned int)INT_MAX / 2)

/* Where the host stores modparams: words stay words until tls_cfg_init. */
#define RAW_BOOL int
#define RAW_INT int
#define RAW_STR char *
#define RAW_PATH char *
#define RAW_METHOD char *
#define RAW_VERIFY char *

#define RAW_TYPE_BOOL PARAM_INT
#define RAW_TYPE_INT PARAM_INT
#define RAW_TYPE_STR PARAM_STRING
#define RAW_TYPE_PATH PARAM_STRING
#define RAW_TYPE_METHOD PARAM_STRING
#define RAW_TYPE_VERIFY PARAM_STRING

/* Modparams that were not given keep these: numbers their default, words
 * NULL, which leaves the default of tls_params in place. */
#define RAW_INIT_BOOL(def_) (def_)
#define RAW_INIT_INT(def_) (def_)
#define RAW_INIT_STR(def_) NULL
#define RAW_INIT_PATH(def_) NULL
#define RAW_INIT_METHOD(def_) NULL
#define RAW_INIT_VERIFY(def_) NULL

#define PROFILE_RAW(m_, type_, def_, min_, max_, mod_, cfg_, alias_, s_, doc_) \
	RAW_##type_ m_;
#define SETTINGS_RAW(m_, type_, def_, min_, max_, mod_, cfg_, rt_, rpc_, doc_) \
	RAW_##type_ m_;
#define PROFILE_DEFAULT(                                           \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, s_, doc_) \
	.profile.m_ = RAW_INIT_##type_(def_),
#define SETTINGS_DEFAULT(                                         \
		m_, type_, def_, min_, max_, mod_, cfg_, rt_, rpc_, doc_) \
	.settings.m_ = RAW_INIT_##type_(def_),

static struct
{
	struct
	{
		TLS_PROFILE_OPTIONS(PROFILE_RAW)
	} profile;
	struct
	{
		TLS_SETTINGS_OPTIONS(SETTINGS_RAW)
	} settings;
} raw = {TLS_PROFILE_OPTIONS(PROFILE_DEFAULT)
				TLS_SETTINGS_OPTIONS(SETTINGS_DEFAULT)};

#define PROFILE_ROW(m_, type_, def_, min_, max_, mod_, cfg_, alias_, s_, doc_) \
	{mod_, RAW_TYPE_##type_, &raw.profile.m_},
#define SETTINGS_ROW(m_, type_, def_, min_, max_, mod_, cfg_, rt_, rpc_, doc_) \
	{mod_, RAW_TYPE_##type_, &raw.settings.m_},

param_export_t tls_cfg_modparams[] = {TLS_PROFILE_OPTIONS(PROFILE_ROW)
				TLS_SETTINGS_OPTIONS(SETTINGS_ROW){NULL, 0, NULL}};

static struct tls_settings settings;
static struct tls_profile_params profile;
static char base_dir[4096];

/* ---- the run-time group ---- */

#define MEMBER_BOOL int
#define MEMBER_INT int
#define MEMBER_STR char *
#define MEMBER_PATH char *
#define MEMBER_METHOD char *
#define MEMBER_VERIFY char *

#define GROUP_MEMBER(                                              \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, s_, doc_) \
	MEMBER_##type_ m_;

/* Values of the group as the host lays them out: one after the other in the
 * order of the definitions below, each aligned by itself (cfg_declare()). The
 * settings stand first and as they are, so that a pointer into the host's
 * copy is a pointer to the settings in force. */
struct cfg_group_tls
{
	struct tls_settings settings;
	struct
	{
		TLS_PROFILE_OPTIONS(GROUP_MEMBER)
	} profile;
};

/* The nested structures must not add padding that the host does not. */
_Static_assert(
		offsetof(struct cfg_group_tls, profile)
				== offsetof(struct tls_settings, rand_engine) + sizeof(char *),
		"the last setting must be a text");

static int config_changed_cb(
		void *values, str *group_name, str *name, void **value);

#define VAR_BOOL CFG_VAR_INT
#define VAR_INT CFG_VAR_INT
#define VAR_STR CFG_VAR_STRING
#define VAR_PATH CFG_VAR_STRING
#define VAR_METHOD CFG_VAR_STRING
#define VAR_VERIFY CFG_VAR_STRING

/* Numbers are set in place, for all processes at once. */
#define WRITABLE_BOOL CFG_ATOMIC
#define WRITABLE_INT CFG_ATOMIC
#define WRITABLE_STR 0U
#define WRITABLE_PATH 0U

/* The only path among the settings is "config". */
#define CHANGED_BOOL NULL
#define CHANGED_INT NULL
#define CHANGED_STR NULL
#define CHANGED_PATH config_changed_cb

/* The host has one name for each value, also for those that are no variable
 * of the stock module: they go by the name of their modparam. */
#define SETTINGS_VAR(                                                      \
		m_, type_, def_, min_, max_, mod_, cfg_, writable_, rpc_, doc_)    \
	{(cfg_) != NULL ? (cfg_) : (mod_),                                     \
			VAR_##type_ | ((writable_) ? WRITABLE_##type_ : CFG_READONLY), \
			min_, max_, (writable_) ? CHANGED_##type_ : NULL, NULL, (doc_)},
#define PROFILE_VAR(m_, type_, def_, min_, max_, mod_, cfg_, alias_, s_, doc_) \
	{cfg_, VAR_##type_ | CFG_READONLY, min_, max_, NULL, NULL, doc_},

static cfg_def_t group_variables[] = {
		TLS_SETTINGS_OPTIONS(SETTINGS_VAR) TLS_PROFILE_OPTIONS(PROFILE_VAR){
				NULL, 0, 0, 0, NULL, NULL, NULL}};

/* What the host starts with; it owns the strings that it puts in. */
static struct cfg_group_tls group_values;
/* Moved by the host to the copy that is in force in this process. */
static void *in_force = &group_values;

/* The directory part of the main configuration file, with its slash. */
static void find_base_dir(void)
{
	const char *file = cfg_file != NULL ? cfg_file : "";
	const char *slash = strrchr(file, '/');
	int n = slash != NULL ? (int)(slash - file) + 1 : 0;

	snprintf(base_dir, sizeof(base_dir), "%.*s", n, file);
}

/* One profile-type modparam; WORD is NULL when it was not given. */
static enum tls_rc take_word(
		const char *name, const char *word, struct tls_err *err)
{
	if(word == NULL)
		return TLS_RC_OK;
	return tls_params_set_profile_option(&profile, name, word, base_dir, err);
}

static enum tls_rc take_number(
		const char *name, int number, struct tls_err *err)
{
	char word[16];

	snprintf(word, sizeof(word), "%d", number);
	return take_word(name, word, err);
}

#define TAKE_BOOL(name_, value_) take_number(name_, value_, err)
#define TAKE_INT(name_, value_) take_number(name_, value_, err)
#define TAKE_STR(name_, value_) take_word(name_, value_, err)
#define TAKE_PATH(name_, value_) take_word(name_, value_, err)
#define TAKE_METHOD(name_, value_) take_word(name_, value_, err)
#define TAKE_VERIFY(name_, value_) take_word(name_, value_, err)

#define PROFILE_TAKE(                                              \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, s_, doc_) \
	if(rc == TLS_RC_OK)                                            \
		rc = TAKE_##type_(mod_, raw.profile.m_);

static enum tls_rc take_profile(struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;

	TLS_PROFILE_OPTIONS(PROFILE_TAKE)
	return rc == TLS_RC_OK ? tls_params_check_profile(&profile, err) : rc;
}

#define COPY_BOOL(m_) settings.m_ = raw.settings.m_
#define COPY_INT(m_) settings.m_ = raw.settings.m_
#define COPY_STR(m_)                               \
	if(raw.settings.m_ != NULL && rc == TLS_RC_OK) \
	rc = tls_params_set_text(&settings.m_, raw.settings.m_, false)
#define COPY_PATH(m_)                              \
	if(raw.settings.m_ != NULL && rc == TLS_RC_OK) \
	rc = tls_params_path(raw.settings.m_, base_dir, &settings.m_)

#define SETTINGS_COPY(                                            \
		m_, type_, def_, min_, max_, mod_, cfg_, rt_, rpc_, doc_) \
	COPY_##type_(m_);

static enum tls_rc take_settings(struct tls_err *err)
{
	enum tls_rc rc = tls_params_settings_init(&settings);

	TLS_SETTINGS_OPTIONS(SETTINGS_COPY)
	if(rc != TLS_RC_OK)
		return tls_err_set(err, rc, "out of shared memory for the settings");
	return tls_params_check_settings(&settings, err);
}

/* A new value of "config": what the host stores is the path itself. */
static int config_changed_cb(
		void *values, str *group_name, str *name, void **value)
{
	static char path[sizeof(base_dir)];
	char *resolved = NULL;
	size_t n;

	(void)values;
	(void)group_name;
	if(tls_params_path(*value, base_dir, &resolved) != TLS_RC_OK) {
		LM_ERR("out of shared memory\n");
		return -1;
	}
	n = resolved != NULL ? strlen(resolved) : 0;
	if(n == 0 || n >= sizeof(path)) {
		LM_ERR("tls.%.*s: a path of 1 to %d bytes is needed\n", name->len,
				name->s, (int)sizeof(path) - 1);
		tls_port_free(resolved);
		return -1;
	}
	memcpy(path, resolved, n + 1);
	tls_port_free(resolved);
	*value = path; /* copied by the host before the next call */
	return 0;
}

/* Passwords are variables of the stock module too; nobody needs to read
 * them back. */
static char *shown(char *text, bool secret)
{
	static char hidden[] = "***";

	return secret && text != NULL ? hidden : text;
}

/* A key on a token shows no PIN. The copy lives as long as the process. */
static char *shown_path(char *path)
{
	char text[PATH_MAX];
	size_t n;
	char *copy;

	if(path == NULL
			|| strcmp(tls_params_path_text(path, text, sizeof(text)), path)
					   == 0)
		return path;
	n = strlen(text) + 1;
	copy = tls_port_private_alloc(n);
	return copy != NULL ? memcpy(copy, text, n) : "";
}

static char *shown_method(const struct tls_method *method)
{
	static char text[TLS_METHOD_TEXT_MAX]; /* copied by the host before fork */

	return tls_params_method_text(method, text);
}

#define SHOWN_BOOL(m_, s_) profile.m_
#define SHOWN_INT(m_, s_) profile.m_
#define SHOWN_STR(m_, s_) shown(profile.m_, s_)
#define SHOWN_PATH(m_, s_) shown_path(profile.m_)
#define SHOWN_METHOD(m_, s_) shown_method(&profile.m_)
#define SHOWN_VERIFY(m_, s_) (char *)tls_params_verify_client_text(profile.m_)

#define PROFILE_SHOW(                                              \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, s_, doc_) \
	group_values.profile.m_ = SHOWN_##type_(m_, s_);

static enum tls_rc declare_group(struct tls_err *err)
{
	group_values.settings = settings;
	TLS_PROFILE_OPTIONS(PROFILE_SHOW)
	if(cfg_declare("tls", group_variables, &group_values, cfg_sizeof(tls),
			   &in_force)
			< 0)
		return tls_err_set(err, TLS_RC_CONFIG,
				"the core refused the configuration group \"tls\" (is a "
				"variable tls.... set in the script?)");
	return TLS_RC_OK;
}

enum tls_rc tls_cfg_init(struct tls_err *err)
{
	enum tls_rc rc;

	find_base_dir();
	tls_params_profile_init(&profile);
	rc = take_settings(err);
	if(rc == TLS_RC_OK)
		rc = take_profile(err);
	return rc == TLS_RC_OK ? declare_group(err) : rc;
}

const struct tls_settings *tls_cfg_settings(void)
{
	return &cfg_get(tls, in_force, settings);
}

const struct tls_profile_params *tls_cfg_profile(void)
{
	return &profile;
}

const char *tls_cfg_base_dir(void)
{
	return base_dir;
}

struct tls_ct_wrq_limits tls_cfg_queue_limits(void)
{
	const struct tls_settings *now = tls_cfg_settings();
	struct tls_ct_wrq_limits limits = {.con_max = (size_t)now->con_ct_wq_max,
			.total_max = (size_t)now->ct_wq_max,
			.blk_size = (size_t)now->ct_wq_blk_size};

	return limits;
}

bool tls_cfg_own_records(void)
{
	const char *layer = tls_cfg_settings()->record_layer;

	return layer == NULL || strcasecmp(layer, "openssl") != 0;
}

unsigned int tls_cfg_connection_ticks(void)
{
	int seconds = tls_cfg_settings()->connection_timeout;

	if(seconds < 0 || (unsigned int)seconds > TICKS_LONGEST / TIMER_TICKS_HZ)
		return TICKS_LONGEST;
	return S_TO_TICKS((unsigned int)seconds);
}
