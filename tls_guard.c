/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Protection of the server; see tls_guard.h. */

#include "tls_guard.h"

#include <stdatomic.h>
#include <sys/random.h>

#include "tls_cfg.h"
#include "tls_host.h"
#include "tls_limits.h"
#include "tls_metrics.h"
#include "tls_report.h"

/* Ticks between two looks: a connection outlives its time by no more. */
#define LOOK_TICKS 2

/* Free memory that each threshold means for one process when it is -1. */
#define DEFAULT_KB1 512
#define DEFAULT_KB2 256

/* How short shared memory is. */
enum shortage
{
	PLENTY = 0,
	NO_NEW,	   /* under low_mem_threshold1 */
	NO_RUNNING /* under low_mem_threshold2 */
};

static atomic_int *told; /* enum shortage that the log knows; shared memory */
static bool (*expire_cb)(int id);

/* ---- memory ---- */

static unsigned long bytes_of(int setting, unsigned int default_kb)
{
	if(setting >= 0)
		return (unsigned long)setting * 1024;
	return (unsigned long)default_kb * 1024 * tls_port_processes();
}

/* Says once in the log that memory is short, and that it is there again. */
static void tell(
		enum shortage now, unsigned long free_bytes, unsigned long limit_bytes)
{
	int before = atomic_load(told);

	if(before == (int)now
			|| !atomic_compare_exchange_strong(told, &before, (int)now))
		return;
	if(now == PLENTY)
		LM_NOTICE("enough shared memory again (%lu KB free): TLS "
				  "connections are accepted\n",
				free_bytes / 1024);
	else if((int)now > before)
		LM_WARN("shared memory is low: %lu KB are free, low_mem_threshold%d "
				"is %lu KB; %s until there is more (start the server with a "
				"larger -m)\n",
				free_bytes / 1024, now == NO_NEW ? 1 : 2, limit_bytes / 1024,
				now == NO_NEW ? "new TLS connections are refused"
							  : "all TLS handshakes are refused");
}

static enum shortage shortage(void)
{
	const struct tls_settings *s = tls_cfg_settings();
	unsigned long one = bytes_of(s->low_mem_threshold1, DEFAULT_KB1);
	unsigned long two = bytes_of(s->low_mem_threshold2, DEFAULT_KB2);
	unsigned long free_bytes;
	enum shortage now = PLENTY;

	if(one == 0 && two == 0 && atomic_load(told) == PLENTY)
		return PLENTY;
	free_bytes = shm_available();
	if(free_bytes < two)
		now = NO_RUNNING;
	else if(free_bytes < one)
		now = NO_NEW;
	tell(now, free_bytes, now == NO_RUNNING ? two : one);
	return now;
}

static enum tls_rc refuse_memory(
		struct tls_err *err, enum tls_rc rc, int threshold)
{
	tls_metrics_count(TLS_METRIC_REFUSED_MEMORY);
	tls_err_set(err, rc, "refused, shared memory is low (low_mem_threshold%d)",
			threshold);
	return tls_err_because(err, rc, TLS_CAUSE_MEMORY);
}

enum tls_rc tls_guard_go_on(struct tls_err *err)
{
	return shortage() == NO_RUNNING ? refuse_memory(err, TLS_RC_NOMEM, 2)
									: TLS_RC_OK;
}

/* ---- handshakes ---- */

static enum tls_rc refuse(struct tls_err *err, enum tls_limits_verdict verdict,
		const struct tls_settings *s)
{
	switch(verdict) {
		case TLS_LIMITS_PASS:
			break;
		case TLS_LIMITS_IN_FLIGHT:
			tls_metrics_count(TLS_METRIC_REFUSED_IN_FLIGHT);
			return tls_err_set(err, TLS_RC_LIMIT,
					"refused, %d handshakes are running (max_handshakes)",
					s->max_handshakes);
		case TLS_LIMITS_SOURCE:
			tls_metrics_count(TLS_METRIC_REFUSED_SOURCE);
			return tls_err_set(err, TLS_RC_LIMIT,
					"refused, more than %d handshakes a second from this "
					"address (handshake_rate_source)",
					s->handshake_rate_source);
		case TLS_LIMITS_TOTAL:
			tls_metrics_count(TLS_METRIC_REFUSED_TOTAL);
			return tls_err_set(err, TLS_RC_LIMIT,
					"refused, more than %d handshakes a second "
					"(handshake_rate)",
					s->handshake_rate);
	}
	return TLS_RC_OK;
}

enum tls_rc tls_guard_enter(const struct tls_addr *peer, struct tls_err *err)
{
	const struct tls_settings *s = tls_cfg_settings();
	struct tls_limits_rates rates = {
			.in_flight = (unsigned int)s->max_handshakes,
			.per_source = (unsigned int)s->handshake_rate_source,
			.total = (unsigned int)s->handshake_rate};
	enum shortage now = shortage();

	if(now != PLENTY)
		return refuse_memory(err, TLS_RC_LIMIT, now == NO_NEW ? 1 : 2);
	if(peer == NULL)
		return TLS_RC_OK;
	return refuse(err, tls_limits_enter(peer, &rates, tls_port_ms()), s);
}

void tls_guard_leave(void)
{
	tls_limits_leave();
}

bool tls_guard_watch(int id)
{
	return tls_cfg_settings()->handshake_timeout == 0
		   || tls_limits_watch(id, tls_port_ms()) == TLS_RC_OK;
}

/* ---- log ---- */

bool tls_guard_may_log(enum tls_cause cause)
{
	if(tls_report_may(cause, (unsigned int)tls_cfg_settings()->log_rate,
			   tls_port_ms()))
		return true;
	tls_metrics_count(TLS_METRIC_LINES_LEFT_OUT);
	return false;
}

/* ---- timer ---- */

static void say_left_out(uint64_t now)
{
	unsigned int i;

	for(i = 0; i < TLS_CAUSE_COUNT; i++) {
		unsigned int n = tls_report_left_out((enum tls_cause)i, now);

		if(n > 0)
			LM_NOTICE("%u more TLS connections failed like those before and "
					  "have no line of their own: %s (log_rate)\n",
					n, tls_err_cause_text((enum tls_cause)i));
	}
}

/* Timer process. */
static ticks_t look_cb(ticks_t ticks, struct timer_ln *timer, void *arg)
{
	uint64_t now = tls_port_ms();
	int timeout;
	int id;

	(void)ticks;
	(void)timer;
	(void)arg;
	cfg_update();
	timeout = tls_cfg_settings()->handshake_timeout;
	/* Without a limit what is still listed is forgotten. */
	while(tls_limits_due(now, (unsigned int)timeout, &id)) {
		if(timeout > 0 && expire_cb(id) && !tls_guard_watch(id))
			LM_ERR("out of shared memory: connection %d is not watched any "
				   "more\n",
					id);
	}
	if(atomic_load(told) != PLENTY)
		(void)shortage(); /* says so when it is over */
	say_left_out(now);
	return (ticks_t)-1; /* again */
}

enum tls_rc tls_guard_init(bool (*expire)(int id), struct tls_err *err)
{
	struct timer_ln *timer = timer_alloc();
	uint64_t seed;

	expire_cb = expire;
	told = tls_port_alloc(sizeof(*told));
	if(timer == NULL || told == NULL)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	atomic_init(told, PLENTY);
	if(getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return tls_err_set(err, TLS_RC_IO, "no random bytes of the system");
	if(tls_limits_init(seed) != TLS_RC_OK || tls_report_init() != TLS_RC_OK)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	timer_init(timer, look_cb, NULL, 0);
	if(timer_add(timer, LOOK_TICKS) < 0)
		return tls_err_set(
				err, TLS_RC_CONFIG, "the core refused the timer of the module");
	return TLS_RC_OK;
}
