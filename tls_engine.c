/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Keys of an engine; see tls_engine.h. */

/* The interface is deprecated since OpenSSL 3.0 and there is no other way to
 * the engines that the vendors of older hardware ship. Nothing here is called
 * unless the engine parameter is set. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "tls_engine.h"

#include <string.h>

#include "tls_ossl.h"

#ifndef OPENSSL_NO_ENGINE
#include <openssl/engine.h>
#endif

#ifdef OPENSSL_NO_ENGINE

enum tls_rc tls_engine_open(const char *id, const char *config,
		struct tls_engine **out, struct tls_err *err)
{
	(void)config;
	*out = NULL;
	return tls_err_set(err, TLS_RC_CONFIG,
			"engine: \"%s\": this OpenSSL has no engines; use a provider: "
			"provider_quirks_config, and private_key = /uri:...",
			id);
}

void tls_engine_close(struct tls_engine **engine)
{
	*engine = NULL;
}

EVP_PKEY *tls_engine_key(struct tls_engine *engine, const char *label)
{
	(void)engine;
	(void)label;
	return NULL;
}

#else

struct tls_engine
{
	ENGINE *e; /* owned, initialised */
};

/* The section of CONF for the engine ID: the file names a section under
 * kamailio or openssl_conf, that names one under engines, and that one per
 * engine; an engine_id there is its name, else the word before the "=". NULL:
 * none. */
static STACK_OF(CONF_VALUE) * section_of(CONF *conf, const char *id)
{
	const char *init = NCONF_get_string(conf, NULL, "kamailio");
	const char *list;
	STACK_OF(CONF_VALUE) *engines = NULL;
	int i;

	if(init == NULL)
		init = NCONF_get_string(conf, NULL, "openssl_conf");
	list = init != NULL ? NCONF_get_string(conf, init, "engines") : NULL;
	if(list != NULL)
		engines = NCONF_get_section(conf, list);
	for(i = 0; engines != NULL && i < sk_CONF_VALUE_num(engines); i++) {
		const CONF_VALUE *entry = sk_CONF_VALUE_value(engines, i);
		const char *name = NCONF_get_string(conf, entry->value, "engine_id");

		/* a number or a word before a point makes equal names different */
		if(name == NULL)
			name = strrchr(entry->name, '.') != NULL
						   ? strrchr(entry->name, '.') + 1
						   : entry->name;
		if(strcmp(name, id) == 0)
			return NCONF_get_section(conf, entry->value);
	}
	return NULL;
}

/* Words of a section that are no commands of the engine. */
static bool is_command(const char *name)
{
	static const char *const others[] = {
			"engine_id", "dynamic_path", "init", "default_algorithms"};
	size_t i;

	for(i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if(strcmp(name, others[i]) == 0)
			return false;
	}
	return true;
}

/* A new structural reference on the engine ID, loaded from the library of the
 * section, else from OpenSSL's folder of engines. NULL on failure. */
static ENGINE *load(const char *id, STACK_OF(CONF_VALUE) * section)
{
	ENGINE *e = ENGINE_by_id("dynamic"); /* a copy of its own */
	const char *path = NULL;
	int i;

	for(i = 0; section != NULL && i < sk_CONF_VALUE_num(section); i++) {
		const CONF_VALUE *v = sk_CONF_VALUE_value(section, i);

		if(strcmp(v->name, "dynamic_path") == 0)
			path = v->value;
	}
	if(e == NULL)
		return NULL;
	if((path != NULL ? ENGINE_ctrl_cmd_string(e, "SO_PATH", path, 0)
					 : ENGINE_ctrl_cmd_string(e, "DIR_LOAD", "2", 0)
							   && ENGINE_ctrl_cmd_string(e, "DIR_ADD",
									   OPENSSL_info(OPENSSL_INFO_ENGINES_DIR),
									   0))
					!= 1
			|| ENGINE_ctrl_cmd_string(e, "ID", id, 0) != 1
			|| ENGINE_ctrl_cmd_string(e, "LIST_ADD", "0", 0) != 1
			|| ENGINE_ctrl_cmd_string(e, "LOAD", NULL, 0) != 1) {
		ENGINE_free(e);
		return NULL;
	}
	return e;
}

/* Gives E the commands of SECTION; "EMPTY" is no value. The name of the one
 * that failed, or NULL. Values may be PINs and are not told. */
static const char *command(ENGINE *e, STACK_OF(CONF_VALUE) * section)
{
	int i;

	for(i = 0; section != NULL && i < sk_CONF_VALUE_num(section); i++) {
		const CONF_VALUE *v = sk_CONF_VALUE_value(section, i);
		const char *value = strcmp(v->value, "EMPTY") != 0 ? v->value : NULL;

		if(is_command(v->name)
				&& ENGINE_ctrl_cmd_string(e, v->name, value, 0) != 1)
			return v->name;
	}
	return NULL;
}

/* Loads ID with SECTION and takes it into service. */
static enum tls_rc start(const char *id, STACK_OF(CONF_VALUE) * section,
		struct tls_engine *engine, struct tls_err *err)
{
	const char *failed;

	engine->e = load(id, section);
	if(engine->e == NULL)
		return tls_ossl_fail(
				err, TLS_RC_CONFIG, "engine: could not load \"%s\"", id);
	failed = command(engine->e, section);
	if(failed != NULL)
		tls_ossl_fail(err, TLS_RC_CONFIG,
				"engine_config: \"%s\" does not accept \"%s\"", id, failed);
	else if(ENGINE_init(engine->e) != 1)
		tls_ossl_fail(err, TLS_RC_CONFIG, "engine: \"%s\" does not start", id);
	else
		return TLS_RC_OK;
	ENGINE_free(engine->e);
	return TLS_RC_CONFIG;
}

enum tls_rc tls_engine_open(const char *id, const char *config,
		struct tls_engine **out, struct tls_err *err)
{
	struct tls_engine *engine = OPENSSL_zalloc(sizeof(*engine));
	CONF *conf = config != NULL ? NCONF_new(NULL) : NULL;
	STACK_OF(CONF_VALUE) *section = NULL;
	enum tls_rc rc = TLS_RC_OK;
	long line = 0;

	*out = NULL;
	if(engine == NULL || (config != NULL && conf == NULL))
		rc = tls_ossl_fail(err, TLS_RC_NOMEM, "engine: out of memory");
	if(rc == TLS_RC_OK && conf != NULL && NCONF_load(conf, config, &line) != 1)
		rc = tls_ossl_fail(err, TLS_RC_CONFIG,
				"engine_config: could not read \"%s\" (line %ld)", config,
				line);
	if(rc == TLS_RC_OK && conf != NULL)
		section = section_of(conf, id);
	if(rc == TLS_RC_OK && conf != NULL && section == NULL)
		rc = tls_err_set(err, TLS_RC_CONFIG,
				"engine_config: \"%s\" has no section for the engine \"%s\"",
				config, id);
	ERR_clear_error(); /* of words that are not in the file */
	if(rc == TLS_RC_OK)
		rc = start(id, section, engine, err);
	NCONF_free(conf);
	ERR_clear_error(); /* of places where the library was looked for */
	if(rc == TLS_RC_OK)
		*out = engine;
	else
		OPENSSL_free(engine);
	return rc;
}

void tls_engine_close(struct tls_engine **engine)
{
	if(*engine == NULL)
		return;
	ENGINE_finish((*engine)->e);
	ENGINE_free((*engine)->e);
	OPENSSL_free(*engine);
	*engine = NULL;
}

EVP_PKEY *tls_engine_key(struct tls_engine *engine, const char *label)
{
	UI_METHOD *nobody = (UI_METHOD *)UI_null();

	return ENGINE_load_private_key(engine->e, label, nobody, NULL);
}

#endif
