/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Statistics and tls.stats; see tls_rpc_stats.h. */
#include "tls_rpc_stats.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tls_ctx.h"
#include "tls_domain.h"
#include "tls_host.h"
#include "tls_limits.h"
#include "tls_metrics.h"

#define NUMBER_MAX sizeof("-9223372036854775808")
#define DAY 86400
#define NO_CERTIFICATE 36500 /* days, when no profile has one */

/* ---- when the first certificate expires ---- */

/* End of certificate INDEX of PROFILE; 0 when it has none. */
static time_t end_of(const struct tls_profile *profile, unsigned int index)
{
	return profile->ctx != NULL
				   ? (time_t)tls_ctx_certificate_end(profile->ctx, index)
				   : 0;
}

/* End of the certificate that ends first. Each process looks once at each
 * generation, which never changes. */
static time_t first_end(void)
{
	static unsigned int generation;
	static time_t first;
	struct tls_domains *domains = tls_domains_acquire();
	size_t n;
	size_t i;

	if(domains == NULL)
		return 0;
	n = tls_domains_count(domains) * TLS_CTX_CERTIFICATES;
	if(generation != tls_domains_generation(domains)) {
		first = 0;
		for(i = 0; i < n; i++) {
			time_t end =
					end_of(tls_domains_at(domains, i / TLS_CTX_CERTIFICATES),
							(unsigned int)(i % TLS_CTX_CERTIFICATES));

			if(end != 0 && (first == 0 || end < first))
				first = end;
		}
		generation = tls_domains_generation(domains);
	}
	tls_domains_unref(&domains);
	return first;
}

static long days_left(void)
{
	time_t end = first_end();
	double days = difftime(end, time(NULL)) / DAY;

	if(end == 0)
		return NO_CERTIFICATE;
	return (long)(days < 0 ? days - 1 : days); /* -1 from the first second on */
}

/* ---- what is computed ---- */

static uint64_t completed(void)
{
	return tls_metrics_sum_of(TLS_METRIC_SERVER_1_0, TLS_METRIC_CLIENT_1_3);
}

static uint64_t failed(void)
{
	return tls_metrics_sum_of(
			TLS_METRIC_FAILED_OTHER, TLS_METRIC_FAILED_INTERNAL);
}

/* Completed and failed are read first: what begins meanwhile is then running,
 * and not less than nothing. */
static uint64_t running(void)
{
	uint64_t over = completed() + failed();
	uint64_t begun = tls_metrics_sum_of(
			TLS_METRIC_STARTED_SERVER, TLS_METRIC_STARTED_CLIENT);

	return begun > over ? begun - over : 0;
}

static long completed_long(void)
{
	return (long)completed();
}

static long failed_long(void)
{
	return (long)failed();
}

static long running_long(void)
{
	return (long)running();
}

static long generations_alive(void)
{
	return (long)(tls_metrics_sum(TLS_METRIC_GENERATIONS_MADE)
				  - tls_metrics_sum(TLS_METRIC_GENERATIONS_FREED));
}

/* Upper bound of the class in which that many of a thousand handshakes
 * completed; 9999 when it has none. */
static long quantile(unsigned int per_mille)
{
	uint64_t ms = tls_metrics_quantile_ms(per_mille);

	return ms == UINT64_MAX ? 9999 : (long)ms;
}

static long half_ms(void)
{
	return quantile(500);
}

static long p99_ms(void)
{
	return quantile(990);
}

static const struct
{
	const char *name;
	long (*value)(void);
	const char *doc;
} computed[] = {{"handshakes_completed", completed_long,
						"handshakes completed, both roles"},
		{"handshakes_failed", failed_long, "handshakes failed, all causes"},
		{"handshakes_running", running_long, "handshakes going on now"},
		{"handshake_ms_p50", half_ms,
				"ms within which half of the handshakes completed"},
		{"handshake_ms_p99", p99_ms,
				"ms within which 99 of 100 handshakes completed"},
		{"generations_alive", generations_alive,
				"configurations that are in use"},
		{"certificate_days_left", days_left,
				"days until the first own certificate expires"}};

#define N_COMPUTED (sizeof(computed) / sizeof(computed[0]))

/* ---- statistics ---- */

static counter_val_t metric_cb(counter_handle_t handle, void *which)
{
	(void)handle;
	return (counter_val_t)tls_metrics_sum((enum tls_metric)(long)which);
}

static counter_val_t computed_cb(counter_handle_t handle, void *which)
{
	(void)handle;
	return computed[(size_t)which].value();
}

static bool register_one(
		const char *name, counter_cbk_f cb, size_t which, const char *doc)
{
	return counter_register(
				   NULL, "tls", name, CNT_F_NO_RESET, cb, (void *)which, doc, 0)
		   >= 0;
}

/* ---- tls.stats ---- */

static bool add_number(rpc_t *rpc, void *reply, const char *name, long n)
{
	char text[NUMBER_MAX];

	/* RPC integers are 32 bits wide */
	snprintf(text, sizeof(text), "%ld", n);
	return rpc->struct_add(reply, "s", name, text) >= 0;
}

static void stats_cb(rpc_t *rpc, void *ctx)
{
	void *reply;
	bool good = rpc->add(ctx, "{", &reply) >= 0;
	size_t i;

	for(i = 0; good && i < N_COMPUTED; i++)
		good = add_number(rpc, reply, computed[i].name, computed[i].value());
	for(i = 0; good && i < TLS_METRIC_COUNT; i++)
		good = add_number(rpc, reply, tls_metrics_name((enum tls_metric)i),
				(long)tls_metrics_sum((enum tls_metric)i));
	if(!good)
		rpc->fault(ctx, 500, "the numbers do not fit into one reply");
}

static const char *stats_doc[] = {"All counters of the TLS module.", NULL};

static rpc_export_t commands[] = {
		{"tls.stats", stats_cb, stats_doc, 0}, {NULL, NULL, NULL, 0}};

enum tls_rc tls_rpc_stats_init(struct tls_err *err)
{
	bool good = true;
	size_t i;

	for(i = 0; good && i < TLS_METRIC_COUNT; i++)
		good = register_one(tls_metrics_name((enum tls_metric)i), metric_cb, i,
				tls_metrics_doc((enum tls_metric)i));
	for(i = 0; good && i < N_COMPUTED; i++)
		good = register_one(computed[i].name, computed_cb, i, computed[i].doc);
	if(!good)
		return tls_err_set(err, TLS_RC_CONFIG,
				"could not register the statistics of the group \"tls\"");
	if(rpc_register_array(commands) != 0)
		return tls_err_set(
				err, TLS_RC_CONFIG, "could not register the RPC tls.stats");
	return TLS_RC_OK;
}
