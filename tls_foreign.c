/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Keys that somebody else holds; see tls_foreign.h. */

#define _GNU_SOURCE
#include "tls_foreign.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tls_engine.h"
#include "tls_kdf.h"
#include "tls_mem.h"
#include "tls_ossl.h"
#include "tls_params.h"
#include "tls_port.h"

/* Libraries that may come with a provider or an engine; parameters of one. */
#define LIBRARIES_MAX 256
#define PARAMS_MAX 32
#define PROVIDERS_MAX 16

/* Longest answer about a key, and how long one may take, in ms. */
#define ANSWER_MAX 8192
#define ANSWER_MS 30000

/* Both objects of one key with one certificate. */
struct entry
{
	struct entry *next;
	char *name;			/* owned */
	unsigned char *der; /* owned */
	size_t n;
	EVP_PKEY *key; /* owned */
	X509 *cert;	   /* owned */
};

/* What the process PID has open. A child inherits it and must not touch it. */
static struct
{
	pid_t pid;
	OSSL_LIB_CTX *library;					 /* owned; NULL = not open */
	OSSL_PROVIDER *providers[PROVIDERS_MAX]; /* owned, of library */
	int n_providers;
	struct tls_engine *engine; /* owned; NULL = not open */
	struct entry *entries;	   /* owned */
} open_here;

static struct tls_foreign_args settings;

/* Forgets what a parent had open: it is the parent's. */
static void begin(void)
{
	if(open_here.pid == getpid())
		return;
	memset(&open_here, 0, sizeof(open_here));
	open_here.pid = getpid();
}

/* ---- providers ---- */

/* Notes PROVIDER, which ends when it is unloaded, not with its library. */
static enum tls_rc keep_provider(
		OSSL_PROVIDER *provider, const char *name, struct tls_err *err)
{
	if(provider == NULL)
		return tls_ossl_fail(
				err, TLS_RC_CONFIG, "could not load the provider \"%s\"", name);
	if(open_here.n_providers == PROVIDERS_MAX) {
		OSSL_PROVIDER_unload(provider);
		return tls_err_set(
				err, TLS_RC_CONFIG, "more than %d providers", PROVIDERS_MAX);
	}
	open_here.providers[open_here.n_providers++] = provider;
	return TLS_RC_OK;
}

static void close_library(OSSL_LIB_CTX *library)
{
	while(open_here.n_providers > 0)
		OSSL_PROVIDER_unload(open_here.providers[--open_here.n_providers]);
	OSSL_LIB_CTX_free(library);
}

/* Loads the provider NAME with the values of SECTION as its parameters. */
static enum tls_rc load_provider(OSSL_LIB_CTX *library, const char *name,
		STACK_OF(CONF_VALUE) * section, struct tls_err *err)
{
	OSSL_PARAM params[PARAMS_MAX + 1];
	const char *module = name;
	int n = 0;
	int i;

	for(i = 0; i < sk_CONF_VALUE_num(section); i++) {
		CONF_VALUE *v = sk_CONF_VALUE_value(section, i);

		if(strcmp(v->name, "module") == 0)
			module = v->value;
		else if(strcmp(v->name, "activate") != 0
				&& strcmp(v->name, "identity") != 0 && n < PARAMS_MAX)
			params[n++] =
					OSSL_PARAM_construct_utf8_string(v->name, v->value, 0);
	}
	/* OpenSSL reads them from files too, into lists that all processes share
	 * and no lock protects */
	if(n > 0 && !TLS_OSSL_PROVIDER_PARAMS)
		return tls_err_set(err, TLS_RC_CONFIG,
				"the parameter \"%s\" of the provider \"%s\" needs OpenSSL "
				"3.2",
				params[0].key, name);
	params[n] = OSSL_PARAM_construct_end();
	return keep_provider(
			tls_ossl_load_provider(library, module, params), name, err);
}

static bool is_active(const CONF *conf, const char *section)
{
	const char *word = NCONF_get_string(conf, section, "activate");

	return word != NULL && strcmp(word, "0") != 0 && strcasecmp(word, "no") != 0
		   && strcasecmp(word, "off") != 0 && strcasecmp(word, "false") != 0;
}

/* Loads the active providers of CONF, in its order. */
static enum tls_rc load_providers(
		OSSL_LIB_CTX *library, const CONF *conf, struct tls_err *err)
{
	const char *init = NCONF_get_string(conf, NULL, "openssl_conf");
	const char *list =
			init != NULL ? NCONF_get_string(conf, init, "providers") : NULL;
	STACK_OF(CONF_VALUE) *all =
			list != NULL ? NCONF_get_section(conf, list) : NULL;
	enum tls_rc rc = TLS_RC_OK;
	int i;

	for(i = 0; rc == TLS_RC_OK && all != NULL && i < sk_CONF_VALUE_num(all);
			i++) {
		const CONF_VALUE *v = sk_CONF_VALUE_value(all, i);
		const char *name = NCONF_get_string(conf, v->value, "identity");

		if(is_active(conf, v->value))
			rc = load_provider(library, name != NULL ? name : v->name,
					NCONF_get_section(conf, v->value), err);
	}
	ERR_clear_error(); /* of words that are not in the file */
	return rc;
}

/* Reads FILE for its providers only: what else OpenSSL would take from it (the
 * policy of TLS for one) is kept in lists that all processes share. */
static enum tls_rc read_providers(
		OSSL_LIB_CTX *library, const char *file, struct tls_err *err)
{
	CONF *conf = NCONF_new_ex(library, NULL);
	enum tls_rc rc;
	long line = 0;

	if(conf == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of memory");
	if(NCONF_load(conf, file, &line) != 1)
		rc = tls_ossl_fail(err, TLS_RC_CONFIG,
				"could not read \"%s\" (line %ld)", file, line);
	else
		rc = load_providers(library, conf, err);
	NCONF_free(conf);
	return rc;
}

static enum tls_rc open_library(struct tls_err *err)
{
	OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
	char *file = NULL;
	enum tls_rc rc = TLS_RC_OK;

	if(library == NULL)
		return tls_ossl_fail(err, TLS_RC_NOMEM, "out of memory");
	if(settings.providers == NULL)
		file = CONF_get1_default_config_file();
	if(settings.providers != NULL)
		rc = read_providers(library, settings.providers, err);
	else if(file != NULL && access(file, R_OK) == 0)
		rc = read_providers(library, file, err);
	OPENSSL_free(file);
	/* also where the file names others only: they build upon it */
	if(rc == TLS_RC_OK)
		rc = keep_provider(
				OSSL_PROVIDER_load(library, "default"), "default", err);
	if(rc == TLS_RC_OK)
		open_here.library = library;
	else
		close_library(library);
	return rc;
}

static EVP_PKEY *fetch_uri(const char *uri)
{
	OSSL_STORE_CTX *store = OSSL_STORE_open_ex(
			uri, open_here.library, NULL, UI_null(), NULL, NULL, NULL, NULL);
	OSSL_STORE_INFO *info;
	EVP_PKEY *key = NULL;

	if(store == NULL)
		return NULL;
	if(OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY) != 1)
		ERR_clear_error(); /* then all that is there is looked at */
	while(key == NULL && !OSSL_STORE_eof(store) && !OSSL_STORE_error(store)) {
		info = OSSL_STORE_load(store);
		if(info == NULL)
			continue;
		if(OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
			key = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
	}
	OSSL_STORE_close(store);
	return key;
}

/* ---- names ---- */

static bool is_engine(const char *name)
{
	return strncmp(name, TLS_PARAMS_KEY_ENGINE, strlen(TLS_PARAMS_KEY_ENGINE))
		   == 0;
}

/* ---- keys ---- */

/* The stock module's word for "none" is NONE, which as a path got a folder. */
static bool is_set(const char *word)
{
	const char *name = word != NULL ? strrchr(word, '/') : NULL;

	name = name != NULL ? name + 1 : word;
	return name != NULL && name[0] != '\0' && strcmp(name, "NONE") != 0;
}

static enum tls_rc open_engine(const char *shown, struct tls_err *err)
{
	struct tls_err reason;
	enum tls_rc rc;

	if(!is_set(settings.engine))
		return tls_err_set(err, TLS_RC_CONFIG,
				"private_key: \"%s\" needs the parameter engine; a key of a "
				"provider is " TLS_PARAMS_KEY_URI "...",
				shown);
	rc = tls_engine_open(settings.engine,
			is_set(settings.engine_config) ? settings.engine_config : NULL,
			&open_here.engine, &reason);
	return rc == TLS_RC_OK ? rc
						   : tls_err_set(err, rc, "private_key: \"%s\": %s",
								   shown, reason.text);
}

static void free_entry(struct entry *e)
{
	EVP_PKEY_free(e->key);
	X509_free(e->cert);
	OPENSSL_free(e->name);
	OPENSSL_free(e->der);
	OPENSSL_free(e);
}

/* Ends all that the calling process has open, where nobody uses any of it. */
static void close_all(void)
{
	struct entry *e;

	begin();
	while((e = open_here.entries) != NULL) {
		open_here.entries = e->next;
		free_entry(e);
	}
	tls_engine_close(&open_here.engine);
	close_library(open_here.library);
	open_here.library = NULL;
	ERR_clear_error();
}

/* Errors keep what they are, not what they tell of a name: OpenSSL tries it as
 * a file too, and tells it whole, with the PIN. */
static void drop_details(void)
{
	unsigned long codes[16]; /* as many as the queue has */
	size_t n = 0;
	size_t i;

	while(n < sizeof(codes) / sizeof(codes[0])
			&& (codes[n] = ERR_get_error()) != 0)
		n++;
	for(i = 0; i < n; i++)
		ERR_raise(ERR_GET_LIB(codes[i]), ERR_GET_REASON(codes[i]));
}

/* The key NAME in *OUT, owned by the caller, of this process only. */
static enum tls_rc fetch(const char *name, EVP_PKEY **out, struct tls_err *err)
{
	char shown[256];
	struct tls_err reason;
	enum tls_rc rc = TLS_RC_OK;

	*out = NULL;
	begin();
	tls_ossl_begin();
	tls_params_path_text(name, shown, sizeof(shown));
	if(is_engine(name)) {
		if(open_here.engine == NULL)
			rc = open_engine(shown, err);
		if(rc != TLS_RC_OK)
			return rc;
		*out = tls_engine_key(
				open_here.engine, name + strlen(TLS_PARAMS_KEY_ENGINE));
	} else {
		if(open_here.library == NULL)
			rc = open_library(&reason);
		if(rc != TLS_RC_OK)
			return tls_err_set(
					err, rc, "private_key: \"%s\": %s", shown, reason.text);
		*out = fetch_uri(name + strlen(TLS_PARAMS_KEY_URI));
	}
	if(*out != NULL) {
		ERR_clear_error(); /* of those that were asked in vain */
		return TLS_RC_OK;
	}
	if(strcmp(name, shown) != 0)
		drop_details();
	rc = tls_ossl_fail(err, TLS_RC_CONFIG,
			is_engine(name) ? "private_key: the engine does not give \"%s\" "
							  "(token, PIN and label right?)"
							: "private_key: no provider gives \"%s\" (token, "
							  "PIN and name right?)",
			shown);
	/* a token that is plugged in later is seen by who begins anew */
	if(open_here.entries == NULL)
		close_all();
	return rc;
}

/* A new entry at the head of the list. */
static enum tls_rc add_entry(const char *name, const unsigned char *der,
		size_t n, struct tls_err *err)
{
	const unsigned char *at = der;
	struct entry *e = OPENSSL_zalloc(sizeof(*e));
	enum tls_rc rc = TLS_RC_NOMEM;

	if(e != NULL) {
		e->name = OPENSSL_strdup(name);
		e->der = OPENSSL_memdup(der, n);
		e->n = n;
		e->cert = d2i_X509(NULL, &at, (long)n);
		if(e->name != NULL && e->der != NULL && e->cert != NULL)
			rc = fetch(name, &e->key, err);
		else
			tls_ossl_fail(err, rc, "private_key: out of memory");
	}
	if(rc != TLS_RC_OK) {
		if(e != NULL)
			free_entry(e);
		return rc;
	}
	e->next = open_here.entries;
	open_here.entries = e;
	return rc;
}

enum tls_rc tls_foreign_use(const char *name, const unsigned char *der,
		size_t n, EVP_PKEY **key, X509 **cert, struct tls_err *err)
{
	struct entry *e;
	enum tls_rc rc = TLS_RC_OK;

	begin();
	for(e = open_here.entries; e != NULL; e = e->next) {
		if(e->n == n && memcmp(e->der, der, n) == 0
				&& strcmp(e->name, name) == 0)
			break;
	}
	if(e == NULL) {
		rc = add_entry(name, der, n, err);
		e = open_here.entries;
	}
	*key = rc == TLS_RC_OK ? e->key : NULL;
	*cert = rc == TLS_RC_OK ? e->cert : NULL;
	return rc;
}

/* ---- looking ---- */

/* The call is deprecated, but it touches the table and nothing else. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
/* Each process makes OpenSSL's table of loaders when it opens its first key,
 * and it never ends: that of a process that ends at once must not lie in memory
 * that stays. */
static void make_loaders(void)
{
	tls_mem_private_begin();
	(void)OSSL_STORE_unregister_loader("none");
	tls_mem_private_end();
	ERR_clear_error();
}
#pragma GCC diagnostic pop

/* In a process of its own: writes 'k' and the public key, or 'e' and the
 * sentence, to FD, and ends. */
static void answer(const char *name, int fd)
{
	int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	unsigned char *der = NULL;
	EVP_PKEY *key = NULL;
	struct tls_err err;
	int n = 0;

	/* libraries of tokens tell their PIN there */
	if(quiet >= 0)
		(void)dup2(quiet, STDERR_FILENO);
	make_loaders();
	if(fetch(name, &key, &err) == TLS_RC_OK && (n = i2d_PUBKEY(key, &der)) <= 0)
		tls_ossl_fail(&err, TLS_RC_CONFIG,
				"private_key: a key without its public part");
	if(n > 0 && n < ANSWER_MAX)
		n = (int)write(fd, "k", 1) + (int)write(fd, der, (size_t)n);
	else
		dprintf(fd, "e%s", err.text);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	/* it lies in memory that outlives this process, and so does the cache */
	close_all();
	tls_ossl_thread_stop();
	tls_mem_flush();
	_exit(0);
}

/* All that comes from FD until its end, N bytes at most; less than 0 when it
 * takes too long. */
static ssize_t read_answer(int fd, unsigned char *out, size_t n)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	uint64_t end = tls_port_ms() + ANSWER_MS;
	size_t got = 0;
	ssize_t k = 1;

	while(k > 0 && got < n) {
		uint64_t now = tls_port_ms();

		if(now >= end || poll(&wait, 1, (int)(end - now)) <= 0)
			return -1;
		k = read(fd, out + got, n - got);
		if(k > 0)
			got += (size_t)k;
	}
	return (ssize_t)got;
}

/* Lets another process open the key NAME; its ANSWER. The end of that process
 * is nobody's business, so its signal is taken away. */
static ssize_t ask(const char *name, unsigned char *out, size_t n)
{
	const struct timespec now = {0, 0};
	sigset_t child, before;
	ssize_t got = -1;
	int fds[2];
	pid_t pid;

	if(pipe2(fds, O_CLOEXEC) != 0)
		return -1;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	pid = fork();
	if(pid == 0)
		answer(name, fds[1]);
	close(fds[1]);
	if(pid > 0) {
		got = read_answer(fds[0], out, n);
		if(got < 0)
			kill(pid, SIGKILL);
		while(waitpid(pid, NULL, 0) == -1 && kill(pid, 0) == 0)
			; /* a signal came between */
		sigtimedwait(&child, NULL, &now);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fds[0]);
	return got;
}

enum tls_rc tls_foreign_look(
		const char *name, EVP_PKEY **out, struct tls_err *err)
{
	unsigned char text[ANSWER_MAX + 1];
	const unsigned char *der = text + 1;
	char shown[256];
	ssize_t n = ask(name, text, ANSWER_MAX);

	*out = NULL;
	if(n > 1 && text[0] == 'e') {
		text[n] = '\0';
		return tls_err_set(err, TLS_RC_CONFIG, "%s", (const char *)der);
	}
	if(n > 1 && text[0] == 'k')
		*out = d2i_PUBKEY(NULL, &der, n - 1);
	if(*out != NULL)
		return TLS_RC_OK;
	return tls_ossl_fail(err, TLS_RC_CONFIG,
			"private_key: who holds \"%s\" does not answer",
			tls_params_path_text(name, shown, sizeof(shown)));
}

/* ---- start ---- */

struct libraries
{
	char *names[LIBRARIES_MAX]; /* owned */
	int n;
};

static int note_library_cb(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct libraries *all = arg;

	(void)size;
	if(info->dlpi_name != NULL && info->dlpi_name[0] == '/'
			&& all->n < LIBRARIES_MAX)
		all->names[all->n++] = OPENSSL_strdup(info->dlpi_name);
	return 0;
}

/* Loads the libraries of ALL that are gone by now once more, for ever, without
 * a call into them: workers then have them at one address. Texts of errors are
 * found by all processes in one table, which points into these libraries. */
static void keep_libraries(struct libraries *all)
{
	int i;

	for(i = 0; i < all->n; i++) {
		if(all->names[i] != NULL)
			(void)dlopen(all->names[i], RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
		OPENSSL_free(all->names[i]);
	}
}

/* A provider that the program's configuration loads is one object in memory
 * that all processes write to. */
static int shared_provider_cb(OSSL_PROVIDER *provider, void *arg)
{
	static const char *const own[] = {
			TLS_KDF_PROVIDER, "default", "base", "legacy", "fips", "null"};
	const char *name = OSSL_PROVIDER_get0_name(provider);
	size_t i;

	(void)arg;
	for(i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if(strcmp(name, own[i]) == 0)
			return 1;
	}
	tls_port_log(TLS_LOG_WARN,
			"OpenSSL's configuration loads the provider \"%s\" for all "
			"libraries of the server; load it with provider_quirks_config",
			name);
	return 1;
}

enum tls_rc tls_foreign_init(
		const struct tls_foreign_args *args, struct tls_err *err)
{
	struct libraries libraries = {.n = 0};
	struct tls_err reason;
	enum tls_rc rc = TLS_RC_OK;

	settings = *args;
	begin();
	tls_ossl_begin();
	OSSL_PROVIDER_do_all(NULL, shared_provider_cb, NULL);
	if(args->providers != NULL) {
		rc = open_library(&reason);
		if(rc != TLS_RC_OK)
			tls_err_set(err, rc, "provider_quirks_config: \"%s\": %s",
					args->providers, reason.text);
	}
	if(rc == TLS_RC_OK && is_set(args->engine))
		rc = tls_engine_open(args->engine,
				is_set(args->engine_config) ? args->engine_config : NULL,
				&open_here.engine, err);
	dl_iterate_phdr(note_library_cb, &libraries);
	close_all();
	keep_libraries(&libraries);
	return rc;
}
