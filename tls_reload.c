/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Loads, checks and watches; see tls_reload.h. */

#include "tls_reload.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tls_addr.h"
#include "tls_cfg.h"
#include "tls_domain.h"
#include "tls_host.h"
#include "tls_load.h"
#include "tls_metrics.h"
#include "tls_port.h"

/* How often the timer calls; reload_on_change is a multiple of it. */
#define TICK_S 1

/* In shared memory. */
struct shared
{
	/* One process is loading. Not a lock of tls_locking, because files are
	 * read meanwhile: who comes second does not wait. */
	atomic_flag busy;
	/* Of the files that the running generation was read from; used by the
	 * timer's process, set by any. 0 = not known: they are read again. */
	atomic_ullong published;
};

static struct shared *shared;

enum tls_rc tls_reload_init(struct tls_err *err)
{
	shared = tls_port_alloc(sizeof(*shared));
	if(shared == NULL)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	atomic_flag_clear(&shared->busy);
	atomic_init(&shared->published, 0);
	return TLS_RC_OK;
}

/* ---- loading ---- */

/* The answer as it grows. */
struct answer
{
	char *text; /* NULL: nobody wants one */
	size_t size;
	size_t used;
};

static void report_cb(void *arg, enum tls_log_level level, const char *text)
{
	struct answer *answer = arg;
	size_t room = answer->size - answer->used;
	size_t n = strlen(text);

	tls_port_log(level, "%s", text);
	if(level > TLS_LOG_ERR || answer->text == NULL || n + 2 > room)
		return;
	answer->used += (size_t)snprintf(answer->text + answer->used, room, "%s%s",
			answer->used > 0 ? "\n" : "", text);
}

/* True when the server listens with TLS on ADDR. */
static bool listens_cb(void *arg, const struct tls_addr *addr)
{
	const struct socket_info *si;
	struct tls_addr own;

	(void)arg;
	for(si = tls_listen; si != NULL; si = si->next) {
		if(addr->port != 0 && addr->port != si->port_no)
			continue;
		tls_addr_set(&own, si->address.u.addr, si->address.len, addr->port);
		if(tls_addr_equal(&own, addr)
				|| ((si->flags & SI_IS_ANY) != 0 && own.family == addr->family))
			return true;
	}
	return false;
}

/* ---- what the files look like ---- */

#define HASH_START 14695981039346656037u

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;

	while(n-- > 0)
		hash = (hash ^ *at++) * 1099511628211u; /* FNV-1a */
	return hash;
}

static uint64_t mix_stat(uint64_t hash, const struct stat *st)
{
	const int64_t facts[] = {(int64_t)st->st_dev, (int64_t)st->st_ino,
			(int64_t)st->st_size, (int64_t)st->st_mtim.tv_sec,
			(int64_t)st->st_mtim.tv_nsec, (int64_t)st->st_mode};

	return mix(hash, facts, sizeof(facts));
}

/* The directory looked at last: profiles inherit it by the thousand. */
struct folder
{
	const char *path; /* borrowed; NULL = none yet */
	uint64_t state;
};

/* One look at all files. */
struct look
{
	struct folder folders[TLS_PROFILE_OPTION_COUNT + 1];
	struct timespec since;
	bool changed; /* some file has changed since then */
};

static bool is_before(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* No file that changes from now on has an earlier time: file systems take
 * theirs from the clock that goes in steps of some ms. */
static struct timespec file_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return now;
}

/* Not the time of the contents, which a copy may bring along. One that is yet
 * to come (the clock was put back) says nothing; by the exact clock, because
 * since Linux 6.13 a file that somebody looks at has the exact time, which is
 * ahead of the steps. */
static void note_time(struct look *look, const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if(!is_before(st->st_ctim, look->since) && !is_before(now, st->st_ctim))
		look->changed = true;
}

/* The state of all that is in the directory PATH, in whatever order it comes.
 * A file that is written anew in its place does not change the directory. */
static uint64_t state_of_entries(struct look *look, const char *path)
{
	DIR *dir = opendir(path);
	uint64_t sum = 0;
	struct dirent *entry;
	struct stat st;

	if(dir == NULL)
		return 0;
	while((entry = readdir(dir)) != NULL) {
		if(entry->d_name[0] == '.')
			continue;
		memset(&st, 0, sizeof(st));
		if(fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			note_time(look, &st);
		sum += mix_stat(
				mix(HASH_START, entry->d_name, strlen(entry->d_name)), &st);
	}
	closedir(dir);
	return sum;
}

/* Adds the state of PATH; NULL is fine. A file that is not there counts too. */
static uint64_t mix_file(
		uint64_t hash, const char *path, struct look *look, size_t option)
{
	struct folder *folder = &look->folders[option];
	struct stat st;

	if(path == NULL)
		return hash;
	memset(&st, 0, sizeof(st));
	if(lstat(path, &st) == 0)
		note_time(look, &st);
	if(S_ISLNK(st.st_mode)) { /* one that points elsewhere is a change too */
		memset(&st, 0, sizeof(st));
		if(stat(path, &st) == 0)
			note_time(look, &st);
	}
	if(S_ISDIR(st.st_mode)) {
		if(folder->path == NULL || strcmp(folder->path, path) != 0)
			*folder = (struct folder){path, state_of_entries(look, path)};
		hash = mix(hash, &folder->state, sizeof(folder->state));
	}
	return mix_stat(mix(hash, path, strlen(path)), &st);
}

#define MIX_BOOL(value_, option_)
#define MIX_INT(value_, option_)
#define MIX_STR(value_, option_)
#define MIX_PATH(value_, option_) hash = mix_file(hash, value_, look, option_);
#define MIX_METHOD(value_, option_)
#define MIX_VERIFY(value_, option_)
#define MIX_OPTION(                                                     \
		m_, type_, def_, min_, max_, mod_, cfg_, alias_, secret_, doc_) \
	MIX_##type_(p->m_, TLS_PROFILE_OPTION_##m_)

/* A number for the state of all files that DOMAINS came from; never 0. */
static uint64_t state_of(const struct tls_domains *domains, struct look *look)
{
	const size_t own = TLS_PROFILE_OPTION_COUNT;
	uint64_t hash = mix_file(HASH_START, tls_cfg_settings()->config, look, own);
	const struct tls_profile *profile;
	size_t i;

	for(i = 0; i < tls_domains_files(domains); i++)
		hash = mix_file(hash, tls_domains_file(domains, i), look, own);
	for(i = 0; (profile = tls_domains_at(domains, i)) != NULL; i++) {
		const struct tls_profile_params *p = &profile->p;

		TLS_PROFILE_OPTIONS(MIX_OPTION)
	}
	return hash != 0 ? hash : 1;
}

/* ---- one load ---- */

static enum tls_rc load(bool publish, struct tls_domains *before,
		struct answer *answer, struct tls_err *err)
{
	struct tls_settings settings = *tls_cfg_settings(); /* borrowed parts */
	struct tls_load_args args = {.file = settings.config,
			.modparams = tls_cfg_profile(),
			.settings = &settings,
			.base_dir = tls_cfg_base_dir(),
			.before = before,
			.listens = listens_cb,
			.report = report_cb,
			.arg = answer};
	struct tls_domains *draft = NULL;
	struct look look = {.since = file_time()};
	struct tls_load_result result;
	struct tls_domains *old;
	uint64_t state;
	char text[256];
	enum tls_rc rc;

	/* a terminal may be there, but nobody waits at it for a question, and the
	 * process of the command or of the timer has other work */
	if(before != NULL)
		settings.key_password_mode = 0;
	if(args.file != NULL && args.file[0] == '\0')
		args.file = NULL;
	rc = tls_load(&args, &draft, &result, err);
	if(rc != TLS_RC_OK) {
		if(publish)
			tls_metrics_count(TLS_METRIC_RELOADS_FAILED);
		if(result.errors == 0)
			report_cb(answer, TLS_LOG_ERR, err->text);
		return rc;
	}
	tls_load_text(&result, text, sizeof(text));
	if(answer->text != NULL)
		snprintf(answer->text, answer->size, "%s", text);
	LM_NOTICE("%s %s: %s\n", publish ? "loaded" : "checked",
			args.file != NULL ? args.file : "the modparams", text);
	if(!publish) {
		tls_domains_unref(&draft);
		return TLS_RC_OK;
	}
	/* what changed meanwhile may have been read before: not known */
	state = state_of(draft, &look);
	atomic_store(&shared->published, look.changed ? 0 : state);
	old = tls_domains_publish(draft); /* now owned by the root */
	tls_metrics_count(TLS_METRIC_GENERATIONS_MADE);
	if(old != NULL)
		tls_metrics_count(TLS_METRIC_RELOADS_OK);
	tls_domains_unref(&old);
	return TLS_RC_OK;
}

enum tls_rc tls_reload_run(bool publish, char *text, size_t size)
{
	struct answer answer = {text, size, 0};
	struct tls_domains *before;
	struct tls_err err;
	enum tls_rc rc;

	if(text != NULL)
		text[0] = '\0';
	if(atomic_flag_test_and_set(&shared->busy)) {
		if(text != NULL)
			snprintf(text, size, "another reload is running");
		return TLS_RC_AGAIN;
	}
	before = tls_domains_acquire();
	rc = load(publish, before, &answer, &err);
	tls_domains_unref(&before);
	atomic_flag_clear(&shared->busy);
	return rc;
}

/* ---- the watch ---- */

/* Private to the timer's process. */
static struct
{
	unsigned int waited; /* s since the last look */
	uint64_t seen;		 /* at the last look; 0 = no change so far */
	uint64_t refused;	 /* state that did not load; 0 = none */
} watch;

/* The files have changed and are quiet again. */
static void reload_changed(uint64_t state)
{
	LM_NOTICE("files of the TLS configuration have changed\n");
	if(tls_reload_run(true, NULL, 0) == TLS_RC_OK) {
		watch.refused = 0;
		return;
	}
	watch.refused = state;
	LM_ERR("the running TLS configuration stays until the files change "
		   "again\n");
}

static void look_at_files(void)
{
	struct tls_domains *domains = tls_domains_acquire();
	uint64_t published = atomic_load(&shared->published);
	struct look look = {.since = {0, 0}};
	uint64_t state;

	if(domains == NULL)
		return;
	state = state_of(domains, &look);
	tls_domains_unref(&domains);
	if(state == published || state == watch.refused) {
		watch.seen = 0;
		return;
	}
	/* twice the same: nobody is writing any more */
	if(state == watch.seen) {
		watch.seen = 0;
		reload_changed(state);
		return;
	}
	watch.seen = state;
}

/* Host contract: core/timer.h; the process of the slow timer. */
static void timer_cb(unsigned int ticks, void *param)
{
	int every;

	(void)ticks;
	(void)param;
	every = tls_cfg_settings()->reload_on_change;
	if(every <= 0) {
		watch.waited = 0;
		return;
	}
	watch.waited += TICK_S;
	if(watch.waited < (unsigned int)every)
		return;
	watch.waited = 0;
	look_at_files();
}

enum tls_rc tls_reload_watch(struct tls_err *err)
{
	if(register_timer(timer_cb, NULL, TICK_S) < 0)
		return tls_err_set(
				err, TLS_RC_NOMEM, "could not register the timer of the files");
	return TLS_RC_OK;
}
