/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Owns the rows of counters. Each row is written by one process, so that no
 * cache line travels while counting. Processes: see tls_metrics.h. */
#include "tls_metrics.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "tls_port.h"

#define CACHE_LINE 64

/* An atomic that needs a hidden lock would have one in each process. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters must be lock-free");

struct row
{
	_Atomic uint64_t n[TLS_METRIC_COUNT];
	char apart[CACHE_LINE]; /* the next row begins in another cache line */
};

/* Upper bounds in ms of the classes MS_1 ... MS_5000. */
static const uint64_t bounds[] = {
		1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000};

#define N_BOUNDS (sizeof(bounds) / sizeof(bounds[0]))

_Static_assert(TLS_METRIC_MS_1 + N_BOUNDS == TLS_METRIC_MS_MORE,
		"one class for each bound");
_Static_assert(TLS_METRIC_FAILED_OTHER + TLS_CAUSE_COUNT == TLS_METRIC_MS_1,
		"one counter for each cause");
_Static_assert(TLS_METRIC_FAILED_OTHER + (int)TLS_CAUSE_INTERNAL
					   == TLS_METRIC_FAILED_INTERNAL,
		"in the same order");

#define NAME_OF(id_, name_, doc_) name_,
static const char *const names[] = {TLS_METRICS(NAME_OF)};
#define DOC_OF(id_, name_, doc_) doc_,
static const char *const docs[] = {TLS_METRICS(DOC_OF)};

/* In shared memory; set before fork. */
static struct row *rows;
static unsigned int n_rows;

enum tls_rc tls_metrics_init(void)
{
	unsigned int n = tls_port_processes();

	if(rows != NULL)
		return TLS_RC_BUG;
	rows = tls_port_alloc(n * sizeof(*rows));
	if(rows == NULL)
		return TLS_RC_NOMEM;
	memset(rows, 0, n * sizeof(*rows));
	n_rows = n;
	return TLS_RC_OK;
}

void tls_metrics_destroy(void)
{
	tls_port_free(rows);
	rows = NULL;
	n_rows = 0;
}

void tls_metrics_add(enum tls_metric metric, uint64_t n)
{
	unsigned int self = tls_port_process();

	if(rows == NULL)
		return;
	/* an addition, not a store: threads of one process share its row */
	atomic_fetch_add_explicit(
			&rows[self < n_rows ? self : 0].n[metric], n, memory_order_relaxed);
}

void tls_metrics_count(enum tls_metric metric)
{
	tls_metrics_add(metric, 1);
}

void tls_metrics_failed(enum tls_cause cause)
{
	unsigned int c = cause < TLS_CAUSE_COUNT ? (unsigned int)cause : 0;

	tls_metrics_count((enum tls_metric)(TLS_METRIC_FAILED_OTHER + c));
}

void tls_metrics_took(uint64_t ms)
{
	unsigned int i = 0;

	while(i < N_BOUNDS && ms > bounds[i])
		i++;
	tls_metrics_count((enum tls_metric)(TLS_METRIC_MS_1 + i));
}

uint64_t tls_metrics_sum(enum tls_metric metric)
{
	uint64_t sum = 0;
	unsigned int i;

	for(i = 0; i < n_rows; i++)
		sum += atomic_load_explicit(&rows[i].n[metric], memory_order_relaxed);
	return sum;
}

uint64_t tls_metrics_sum_of(enum tls_metric first, enum tls_metric last)
{
	uint64_t sum = 0;
	unsigned int i;

	for(i = first; i <= (unsigned int)last; i++)
		sum += tls_metrics_sum((enum tls_metric)i);
	return sum;
}

uint64_t tls_metrics_quantile_ms(unsigned int per_mille)
{
	uint64_t all = tls_metrics_sum_of(TLS_METRIC_MS_1, TLS_METRIC_MS_MORE);
	uint64_t seen = 0;
	unsigned int i;

	if(all == 0)
		return 0;
	for(i = 0; i < N_BOUNDS; i++) {
		seen += tls_metrics_sum((enum tls_metric)(TLS_METRIC_MS_1 + i));
		if(seen * 1000 >= all * per_mille)
			return bounds[i];
	}
	return UINT64_MAX;
}

const char *tls_metrics_name(enum tls_metric metric)
{
	return metric < TLS_METRIC_COUNT ? names[metric] : "";
}

const char *tls_metrics_doc(enum tls_metric metric)
{
	return metric < TLS_METRIC_COUNT ? docs[metric] : "";
}
