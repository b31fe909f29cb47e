/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Settings from the host; see tls_cfg.h. */

#include "tls_cfg.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tls_host.h"

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

enum tls_rc tls_cfg_init(struct tls_err *err)
{
	enum tls_rc rc;

	find_base_dir();
	tls_params_profile_init(&profile);
	rc = take_settings(err);
	return rc == TLS_RC_OK ? take_profile(err) : rc;
}

void tls_cfg_destroy(void)
{
	tls_params_settings_clear(&settings);
	tls_params_profile_clear(&profile);
}

const struct tls_settings *tls_cfg_settings(void)
{
	return &settings;
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
	struct tls_ct_wrq_limits limits = {
			.con_max = (size_t)settings.con_ct_wq_max,
			.total_max = (size_t)settings.ct_wq_max,
			.blk_size = (size_t)settings.ct_wq_blk_size};

	return limits;
}

unsigned int tls_cfg_connection_ticks(void)
{
	int seconds = settings.connection_timeout;

	if(seconds < 0 || (unsigned int)seconds > TICKS_LONGEST / TIMER_TICKS_HZ)
		return TICKS_LONGEST;
	return S_TO_TICKS((unsigned int)seconds);
}
