/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Reloads under load: a certificate is swapped and tls.reload called every
 * second, every few seconds a configuration that must be refused. Each time a
 * client of our own looks which certificate is served.
 * Before, for some time, the same is done without a reload: no request may wait
 * longer afterwards than it did then, by more than a bound.
 * One process, no lock. */
#define _GNU_SOURCE
#include "soak.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "../host/hostmany.h"
#include "../host/hostpeer.h"
#include "load.h"

#define PROFILES 100
#define EVERY_MS 1000
#define BROKEN_EVERY 4	 /* each so many-th reload is of a broken file */
#define RELOADS_MAX 7200 /* two hours */
#define WAIT_MAX_MS 100	 /* longer than requests without a reload */
#define CONTROL_PART 5	 /* the time without reloads is a fifth of that with */
#define WARM_PASSES 6	 /* handshakes with each name before anything counts */
#define WARM_S 60		 /* shared memory is flat from then on */
#define FLAT_MAX_KB 512

/* What must be refused, in the place of the good tls.cfg. */
static const char *const broken_configs[] = {
		"[server:default]\nmethod = TLSv1.2+\ncertificate = @DIR@/absent.pem\n",
		"[server:default]\nno_such_option = 1\n",
		"[server:default\nmethod = TLSv1.2+\n",
		"[server:default]\nmethod = TLSv1.2+\ncertificate = "
		"@CERTS@/many/n00001.pem\nprivate_key = @CERTS@/many/n00002.key\n",
		"[server:default]\nca_list = @CERTS@/many/n00001.key\n"};
#define N_BROKEN (sizeof(broken_configs) / sizeof(broken_configs[0]))

static int n_reloads;
static int64_t control_us;		 /* from here on nothing was reloaded */
static int64_t reload_us;		 /* and from here on it was */
static long memory[RELOADS_MAX]; /* after each reload */
static char folder[HOST_PATH_MAX];
static char config[HOST_PATH_MAX + 16];

void soak_reload_config(struct soak_options *opt, struct host_config *cfg)
{
	static char params[HOST_PATH_MAX + 256];
	static char waits[HOST_PATH_MAX + 16];
	static char seconds[16];

	snprintf(folder, sizeof(folder), "%.400s/many", host_certs());
	snprintf(config, sizeof(config), "%s/tls.cfg", folder);
	snprintf(waits, sizeof(waits), "%s/waits", folder);
	judge(mkdir(folder, 0755) == 0 && many_certificates(folder, PROFILES, 1)
					&& many_config(config, folder, PROFILES, NULL),
			"certificates of many profiles");
	snprintf(params, sizeof(params),
			"modparam(\"tls\", \"config\", \"%s\")\n"
			"modparam(\"tls\", \"session_cache\", 1)\n%s\n",
			config, opt->params ? opt->params : "");
	cfg->params = params;
	opt->waits = waits;
	/* the load runs during both */
	snprintf(seconds, sizeof(seconds), "%d",
			atoi(opt->seconds) + atoi(opt->seconds) / CONTROL_PART);
	opt->seconds = seconds;
}

/* ---- one reload ---- */

/* Serial of the certificate that the server shows for NAME; -1 = no handshake,
 * or no reply to a request behind it. */
static long served(struct host_kam *kam, const char *name, unsigned int cseq)
{
	struct peer_opt opt = {.sni = name};
	struct peer p;
	X509 *cert;
	long serial = -1;

	if(peer_tls(&p, kam->tls_port, &opt) && peer_options(&p, cseq, 20, NULL)) {
		cert = SSL_get1_peer_certificate(p.ssl);
		serial = ASN1_INTEGER_get(X509_get0_serialNumber(cert));
		X509_free(cert);
	}
	if(serial < 0)
		printf("  %s: %s\n", name, p.err);
	peer_close(&p);
	return serial;
}

static bool reload(struct host_kam *kam)
{
	char answer[4096];

	return host_rpc(kam, "tls.reload", answer, sizeof(answer));
}

void soak_reload_warm(struct host_kam *kam)
{
	char name[MANY_NAME_MAX];
	bool good = true;
	int i;

	/* the receivers make objects of what they serve for the first time */
	for(i = 0; good && i < WARM_PASSES * PROFILES; i++)
		good = served(kam, many_name(i % PROFILES, name), 1) > 0;
	judge(good, "every name is served");
}

/* A new certificate for the name that has its turn. */
static bool good_reload(struct host_kam *kam, int turn)
{
	char name[MANY_NAME_MAX];
	char pem[HOST_PATH_MAX + 32];
	char key[HOST_PATH_MAX + 32];
	long serial = 100000 + turn;
	int which = turn % PROFILES;

	snprintf(pem, sizeof(pem), "%s/n%05d.pem", folder, which);
	snprintf(key, sizeof(key), "%s/n%05d.key", folder, which);
	if(!many_certificate(pem, key, many_name(which, name), serial)
			|| !reload(kam)) {
		printf("  reload %d: refused\n", turn);
		return false;
	}
	return served(kam, name, (unsigned int)turn + 1) == serial;
}

/* All that good_reload does but the reload. */
static bool no_reload(struct host_kam *kam, int turn)
{
	char name[MANY_NAME_MAX];
	char pem[HOST_PATH_MAX + 32];
	char key[HOST_PATH_MAX + 32];
	char answer[4096];

	snprintf(pem, sizeof(pem), "%s/unused.pem", folder);
	snprintf(key, sizeof(key), "%s/unused.key", folder);
	many_name(turn % PROFILES, name);
	return many_certificate(pem, key, name, 1)
		   && host_rpc(kam, "core.version", answer, sizeof(answer))
		   && served(kam, name, (unsigned int)turn + 1) > 0;
}

/* A broken file: it is refused and what was served before still is. */
static bool broken_reload(struct host_kam *kam, int turn)
{
	char aside[HOST_PATH_MAX + 32];
	char name[MANY_NAME_MAX];
	long generation = host_rpc_number(kam, "tls.info", "generation");
	long before = served(kam, many_name(turn % PROFILES, name), 1);
	bool refused;

	snprintf(aside, sizeof(aside), "%s/good.cfg", folder);
	if(before < 0 || rename(config, aside) != 0
			|| !host_write(kam, "broken.cfg",
					broken_configs[(size_t)turn / BROKEN_EVERY % N_BROKEN]))
		return false;
	snprintf(aside, sizeof(aside), "%s/broken.cfg", kam->dir);
	refused = symlink(aside, config) == 0 && !reload(kam);
	snprintf(aside, sizeof(aside), "%s/good.cfg", folder);
	if(rename(aside, config) != 0 || !refused)
		return false;
	return served(kam, name, 2) == before
		   && host_rpc_number(kam, "tls.info", "generation") == generation;
}

/* ---- all of them ---- */

static int by_size(const void *a, const void *b)
{
	long x = *(const long *)a;
	long y = *(const long *)b;

	return (x > y) - (x < y);
}

/* Median of the samples FROM to TO - 1, which are sorted. */
static long median(long *samples, int from, int to)
{
	qsort(samples + from, (size_t)(to - from), sizeof(*samples), by_size);
	return samples[from + (to - from) / 2];
}

/* After the warm-up the first third of the samples is like the last one. */
static void judge_memory(void)
{
	int warm = n_reloads > 3 * WARM_S ? WARM_S : n_reloads / 3;
	int third = (n_reloads - warm) / 3;
	long first, last;

	if(third == 0) {
		judge(false, "enough reloads to judge shared memory");
		return;
	}
	first = median(memory, warm, warm + third);
	last = median(memory, n_reloads - third, n_reloads);
	printf("shared memory under reloads: %ld KB, later %ld KB\n", first / 1024,
			last / 1024);
	judge(last - first < FLAT_MAX_KB * 1024L,
			"shared memory stays flat after the first minute");
}

static bool has_ended(pid_t load)
{
	siginfo_t ended = {0};

	return waitid(P_PID, (id_t)load, &ended, WEXITED | WNOHANG | WNOWAIT) != 0
		   || ended.si_pid != 0;
}

/* Waits for the turn that is due at *NEXT. */
static void wait_turn(long *next)
{
	*next += EVERY_MS;
	if(host_now() < *next)
		host_wait_clock((int)(*next - host_now()));
}

void soak_reload(
		struct host_kam *kam, const struct soak_options *opt, pid_t load)
{
	int control = atoi(opt->seconds) / (CONTROL_PART + 1);
	long next = host_now();
	int bad_good = 0;
	int bad_broken = 0;
	int i;

	control_us = next * 1000LL;
	for(i = 0; i < control && !has_ended(load); i++) {
		bad_good += !no_reload(kam, i);
		wait_turn(&next);
	}
	reload_us = host_now() * 1000LL;
	while(n_reloads < RELOADS_MAX && !has_ended(load)) {
		if(n_reloads % BROKEN_EVERY == BROKEN_EVERY - 1)
			bad_broken += !broken_reload(kam, n_reloads);
		else
			bad_good += !good_reload(kam, n_reloads);
		memory[n_reloads++] = host_used_memory(kam);
		wait_turn(&next);
	}
	printf("%d reloads, each %d-th of a broken file, after %d seconds without "
		   "any\n",
			n_reloads, BROKEN_EVERY, control);
	judge(bad_good == 0, "each reload is obeyed and its certificate served");
	judge(bad_broken == 0, "a broken file is refused and changes nothing");
	judge_memory();
}

/* ---- waits ---- */

struct waits
{
	long n;
	int64_t max;
	long *us; /* owned */
};

static void add_wait(struct waits *waits, int64_t us)
{
	if(waits->n % 65536 == 0) {
		waits->us = realloc(
				waits->us, (size_t)(waits->n + 65536) * sizeof(*waits->us));
		if(!waits->us)
			abort();
	}
	waits->us[waits->n++] = (long)us;
	if(us > waits->max)
		waits->max = us;
}

static void tell(const char *who, struct waits *waits)
{
	if(waits->n == 0)
		return;
	qsort(waits->us, (size_t)waits->n, sizeof(*waits->us), by_size);
	printf("requests %s: %ld, median wait %.1f ms, 99.9 %% %.1f ms, longest "
		   "%.1f ms\n",
			who, waits->n, (double)waits->us[waits->n / 2] / 1e3,
			(double)waits->us[waits->n - 1 - waits->n / 1000] / 1e3,
			(double)waits->max / 1e3);
}

void soak_reload_waits(const struct soak_options *opt)
{
	FILE *f = fopen(opt->waits, "r");
	struct waits with = {0};
	struct waits without = {0};
	struct load_wait w;

	while(f && fread(&w, sizeof(w), 1, f) == 1) {
		if(w.from_us >= reload_us)
			add_wait(&with, w.us);
		else if(w.from_us >= control_us && w.from_us + w.us <= reload_us)
			add_wait(&without, w.us);
	}
	if(f)
		fclose(f);
	tell("without reloads", &without);
	tell("with reloads", &with);
	judge(with.n > 0 && without.n > 0
					&& with.max <= without.max + WAIT_MAX_MS * 1000,
			"no request waits longer because of reloads");
	free(with.us);
	free(without.us);
}
