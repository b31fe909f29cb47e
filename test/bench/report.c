/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Prints what was measured: tables in Markdown, data and plots.
 * Ratios are made of two samples of the same round; what was not measured is
 * a dash, never a zero.
 * One thread, no lock. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_ROOM 600

/* Which samples a table or a ratio is made of. */
enum value
{
	CPU = 0,
	RATE,
	CPU_OVER_PLAIN, /* CPU less that of plain TCP in the same round */
	CPU_OVER_ECHO	/* the same, less that of the TCP echo */
};

/* Median, minimum and maximum of some samples. */
struct spread
{
	int n; /* 0 = nothing was measured */
	double median;
	double min;
	double max;
};

static const char *const titles[BENCH_TARGETS] = {"ours, own", "ours, openssl",
		"stock", "plain TCP", "nginx + plain", "TLS echo", "TCP echo",
		"raw OpenSSL"};

static const struct bench_results *all;

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct spread spread_of(double *values, int n)
{
	struct spread s = {.n = n};

	if(n == 0)
		return s;
	qsort(values, (size_t)n, sizeof(*values), by_size);
	s.min = values[0];
	s.max = values[n - 1];
	s.median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
	return s;
}

/* One sample; false = there is none. */
static bool value_of(
		int cell, int target, int round, enum value which, double *out)
{
	const struct bench_series *row = &all->series[cell * BENCH_TARGETS];
	const struct bench_series *s = &row[target];
	double plain = row[which == CPU_OVER_ECHO ? BENCH_ECHO : BENCH_PLAIN]
						   .cpu_us[round];

	*out = which == RATE ? s->per_second[round] : s->cpu_us[round];
	if(*out <= 0)
		return false;
	if(which != CPU_OVER_PLAIN && which != CPU_OVER_ECHO)
		return true;
	*out -= plain;
	return plain > 0;
}

static struct spread values(int cell, int target, enum value which)
{
	double list[BENCH_ROUNDS_MAX];
	int n = 0;
	int r;

	for(r = 0; r < all->rounds; r++)
		if(value_of(cell, target, r, which, &list[n]))
			n++;
	return spread_of(list, n);
}

static struct spread ratio(int cell, int over, enum value over_which, int under,
		enum value under_which)
{
	double list[BENCH_ROUNDS_MAX];
	double a;
	double b;
	int n = 0;
	int r;

	for(r = 0; r < all->rounds; r++)
		if(value_of(cell, over, r, over_which, &a)
				&& value_of(cell, under, r, under_which, &b) && b > 0)
			list[n++] = a / b;
	return spread_of(list, n);
}

/* ---- tables ---- */

static void head(FILE *f, const char *first)
{
	int t;

	fprintf(f, "| %s |", first);
	for(t = 0; t < BENCH_TARGETS; t++)
		fprintf(f, " %s |", titles[t]);
	fputs("\n|---|", f);
	for(t = 0; t < BENCH_TARGETS; t++)
		fputs("---|", f);
	fputc('\n', f);
}

static void put(FILE *f, struct spread s, int digits)
{
	if(s.n == 0)
		fputs(" - |", f);
	else
		fprintf(f, " %.*f (%.*f..%.*f) |", digits, s.median, digits, s.min,
				digits, s.max);
}

/* Was any target measured in this cell? */
static bool measured(int cell)
{
	int t;

	for(t = 0; t < BENCH_TARGETS; t++)
		if(values(cell, t, CPU).n > 0)
			return true;
	return false;
}

static void table(FILE *f, enum bench_kind kind, enum value which, int digits)
{
	int c;
	int t;

	head(f, kind == BENCH_HANDSHAKE ? "handshake" : "message");
	for(c = 0; c < bench_n_cells; c++) {
		if(bench_cells[c].kind != kind || !measured(c))
			continue;
		fprintf(f, "| %s |", bench_cells[c].name);
		for(t = 0; t < BENCH_TARGETS; t++)
			put(f, values(c, t, which), digits);
		fputc('\n', f);
	}
	fputc('\n', f);
}

/* A ratio that is asked about, of every cell of one kind. */
struct ratio_row
{
	const char *title;
	enum bench_kind kind;
	int over;
	enum value over_which;
	int under;
	enum value under_which;
};

static const struct ratio_row ratios[] = {
		{"CPU (ours own - plain TCP) / raw", BENCH_HANDSHAKE, BENCH_OWN,
				CPU_OVER_PLAIN, BENCH_RAW, CPU},
		{"CPU (ours openssl - plain TCP) / raw", BENCH_HANDSHAKE, BENCH_OPENSSL,
				CPU_OVER_PLAIN, BENCH_RAW, CPU},
		{"CPU (TLS echo - TCP echo) / raw", BENCH_HANDSHAKE, BENCH_TLSECHO,
				CPU_OVER_ECHO, BENCH_RAW, CPU},
		{"CPU (ours own - plain TCP) / (TLS echo - TCP echo)", BENCH_HANDSHAKE,
				BENCH_OWN, CPU_OVER_PLAIN, BENCH_TLSECHO, CPU_OVER_ECHO},
		{"CPU stock / ours own", BENCH_HANDSHAKE, BENCH_STOCK, CPU, BENCH_OWN,
				CPU},
		{"CPU stock / ours openssl", BENCH_HANDSHAKE, BENCH_STOCK, CPU,
				BENCH_OPENSSL, CPU},
		{"CPU nginx + plain / ours own", BENCH_HANDSHAKE, BENCH_NGINX, CPU,
				BENCH_OWN, CPU},
		{"CPU (ours own - plain TCP) / raw", BENCH_MESSAGE, BENCH_OWN,
				CPU_OVER_PLAIN, BENCH_RAW, CPU},
		{"CPU (ours openssl - plain TCP) / raw", BENCH_MESSAGE, BENCH_OPENSSL,
				CPU_OVER_PLAIN, BENCH_RAW, CPU},
		{"CPU (stock - plain TCP) / raw", BENCH_MESSAGE, BENCH_STOCK,
				CPU_OVER_PLAIN, BENCH_RAW, CPU},
		{"CPU (TLS echo - TCP echo) / raw", BENCH_MESSAGE, BENCH_TLSECHO,
				CPU_OVER_ECHO, BENCH_RAW, CPU},
		{"CPU (ours own - plain TCP) / (TLS echo - TCP echo)", BENCH_MESSAGE,
				BENCH_OWN, CPU_OVER_PLAIN, BENCH_TLSECHO, CPU_OVER_ECHO},
		{"CPU ours own / plain TCP", BENCH_MESSAGE, BENCH_OWN, CPU, BENCH_PLAIN,
				CPU},
		{"CPU stock / ours own", BENCH_MESSAGE, BENCH_STOCK, CPU, BENCH_OWN,
				CPU},
		{"requests/s ours own / plain TCP", BENCH_MESSAGE, BENCH_OWN, RATE,
				BENCH_PLAIN, RATE},
		{"requests/s ours openssl / plain TCP", BENCH_MESSAGE, BENCH_OPENSSL,
				RATE, BENCH_PLAIN, RATE},
		{"requests/s stock / plain TCP", BENCH_MESSAGE, BENCH_STOCK, RATE,
				BENCH_PLAIN, RATE},
};

static void ratio_table(FILE *f)
{
	const struct ratio_row *row;
	struct spread s;
	size_t i;
	int c;

	fputs("| ratio | cell | median | minimum | maximum | pairs |\n"
		  "|---|---|---|---|---|---|\n",
			f);
	for(i = 0; i < sizeof(ratios) / sizeof(ratios[0]); i++)
		for(c = 0; c < bench_n_cells; c++) {
			row = &ratios[i];
			if(bench_cells[c].kind != row->kind)
				continue;
			s = ratio(c, row->over, row->over_which, row->under,
					row->under_which);
			if(s.n > 0)
				fprintf(f, "| %s | %s | %.2f | %.2f | %.2f | %d |\n",
						row->title, bench_cells[c].name, s.median, s.min, s.max,
						s.n);
		}
	fputc('\n', f);
}

/* Instructions over those of plain TCP; 0 = one was not counted. */
static double counted_over_plain(const struct bench_series *row, int target)
{
	double all_of_it = row[target].instructions;
	double plain = row[BENCH_PLAIN].instructions;

	return all_of_it > 0 && plain > 0 ? all_of_it - plain : 0;
}

static void counted_ratio(FILE *f, double over, double under)
{
	if(over > 0 && under > 0)
		fprintf(f, " %.2f |", over / under);
	else
		fputs(" - |", f);
}

static void count_table(FILE *f)
{
	static const int targets[] = {
			BENCH_OWN, BENCH_OPENSSL, BENCH_STOCK, BENCH_PLAIN, BENCH_RAW};
	const struct bench_series *row;
	size_t i;
	int c;

	fputs("| thousands |", f);
	for(i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		fprintf(f, " %s |", titles[targets[i]]);
	fputs(" (own - plain TCP) / raw | stock / own | (stock - plain TCP) / raw "
		  "|\n|---|---|---|---|---|---|---|---|---|\n",
			f);
	for(c = 0; c < bench_n_cells; c++) {
		row = &all->series[c * BENCH_TARGETS];
		if(row[BENCH_OWN].instructions <= 0 && row[BENCH_RAW].instructions <= 0)
			continue;
		fprintf(f, "| %s |", bench_cells[c].name);
		for(i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
			if(row[targets[i]].instructions > 0)
				fprintf(f, " %.1f |", row[targets[i]].instructions / 1e3);
			else
				fputs(" - |", f);
		counted_ratio(f, counted_over_plain(row, BENCH_OWN),
				row[BENCH_RAW].instructions);
		counted_ratio(
				f, row[BENCH_STOCK].instructions, row[BENCH_OWN].instructions);
		counted_ratio(f, counted_over_plain(row, BENCH_STOCK),
				row[BENCH_RAW].instructions);
		fputc('\n', f);
	}
	fputc('\n', f);
}

static int by_latency(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double percentile(struct bench_series *s, double part)
{
	int at = (int)((double)s->n_latency * part);

	return s->latency[at < s->n_latency ? at : s->n_latency - 1];
}

static void latency_table(FILE *f, FILE *data)
{
	struct bench_series *s;
	int c;
	int t;

	fputs("| target | p50 us | p99 us | p99.9 us | requests |\n"
		  "|---|---|---|---|---|\n",
			f);
	for(c = 0; c < bench_n_cells; c++)
		for(t = 0; t < BENCH_TARGETS; t++) {
			s = &all->series[c * BENCH_TARGETS + t];
			if(s->n_latency == 0)
				continue;
			qsort(s->latency, (size_t)s->n_latency, sizeof(*s->latency),
					by_latency);
			fprintf(f, "| %s | %.0f | %.0f | %.0f | %d |\n", titles[t],
					percentile(s, 0.5), percentile(s, 0.99),
					percentile(s, 0.999), s->n_latency);
			fprintf(data, "\"%s\" %.0f %.0f %.0f\n", titles[t],
					percentile(s, 0.5), percentile(s, 0.99),
					percentile(s, 0.999));
		}
	fputc('\n', f);
}

/* Over plain TCP; DATA (or NULL) gets the same for the plot. */
static void idle_rows(FILE *f, FILE *data, const char *who,
		const struct bench_idle (*rows)[BENCH_TARGETS])
{
	const struct bench_idle *i;
	const struct bench_idle *plain;
	int v;
	int t;

	for(v = 0; v < 2; v++)
		for(t = 0; t < BENCH_PLAIN; t++) {
			i = &rows[v][t];
			plain = &rows[v][BENCH_PLAIN];
			if(!i->done || !plain->done)
				continue;
			fprintf(f, "| %s, TLS 1.%d, %s | %.0f | %.0f |", titles[t], v + 2,
					who, i->handshake - plain->handshake,
					i->request - plain->request);
			if(i->minute > 0 && plain->minute > 0)
				fprintf(f, " %.0f |\n", i->minute - plain->minute);
			else
				fputs(" - |\n", f);
			fprintf(data, "\"%s 1.%d %s\" %.0f %.0f\n", titles[t], v + 2, who,
					i->handshake - plain->handshake,
					i->request - plain->request);
		}
}

static void idle_table(FILE *f, FILE *data)
{
	fputs("| target | after the handshake | after one request | "
		  "after a minute |\n|---|---|---|---|\n",
			f);
	idle_rows(f, data, "accepted", all->idle);
	idle_rows(f, data, "opened", all->opened);
	if(all->idle[1][BENCH_PLAIN].done)
		fprintf(f, "\nA plain TCP connection itself takes %.0f bytes.\n",
				all->idle[1][BENCH_PLAIN].request);
	fputc('\n', f);
}

static void hold_table(FILE *f)
{
	const struct bench_hold *h;
	int t;

	fputs("| target | connections | seconds | answered | lost | "
		  "share of one processor | silent | before the first |\n"
		  "|---|---|---|---|---|---|---|---|\n",
			f);
	for(t = 0; t <= BENCH_PLAIN; t++) {
		h = &all->hold[t];
		if(h->done)
			fprintf(f,
					"| %s | %d | %.0f | %ld | %ld | %.2f %% | %.2f %% | "
					"%.2f %% |\n",
					titles[t], h->conns, h->seconds, h->pings, h->lost,
					h->core * 100, h->silent * 100, h->empty * 100);
	}
	fputc('\n', f);
}

static void lock_table(FILE *f)
{
	const struct bench_lock *l;
	int v;
	int t;

	fputs("| target | per connection: handshake, request, end | "
		  "per request and reply | per connection opened: the same |\n"
		  "|---|---|---|---|\n",
			f);
	for(v = 0; v < 2; v++)
		for(t = 0; t <= BENCH_PLAIN; t++) {
			l = &all->lock[v][t];
			if(!l->done || (t == BENCH_PLAIN && v == 0))
				continue;
			fprintf(f, "| %s%s | %.1f | %.2f | %.1f |\n", titles[t],
					t == BENCH_PLAIN ? ""
					: v				 ? ", TLS 1.3"
									 : ", TLS 1.2",
					l->handshake, l->message, l->opened);
		}
	fputc('\n', f);
}

static struct spread positive(const double *list, int n)
{
	double kept[BENCH_ROUNDS_MAX];
	int k = 0;
	int i;

	for(i = 0; i < n; i++)
		if(list[i] > 0)
			kept[k++] = list[i];
	return spread_of(kept, k);
}

static void start_table(FILE *f)
{
	int t;

	fputs("| target | start ms | reload ms |\n|---|---|---|\n", f);
	for(t = 0; t <= BENCH_PLAIN; t++) {
		if(!all->has[t])
			continue;
		fprintf(f, "| %s |", titles[t]);
		put(f, positive(all->start_ms[t], all->rounds), 0);
		put(f, positive(all->reload_ms[t], all->rounds), 1);
		fputc('\n', f);
	}
	fputc('\n', f);
}

/* Of two lists of samples of the same rounds, A / B. */
static struct spread ratio_of(const double *a, const double *b)
{
	double list[BENCH_ROUNDS_MAX];
	int n = 0;
	int r;

	for(r = 0; r < all->rounds; r++)
		if(a[r] > 0 && b[r] > 0)
			list[n++] = a[r] / b[r];
	return spread_of(list, n);
}

static void profiles_row(FILE *f, int v, int which)
{
	const struct bench_profiles *p = &all->profiles;

	fprintf(f, "| %d profile%s, TLS 1.%d |", which == BENCH_MANY ? p->names : 1,
			which == BENCH_MANY ? "s" : "", v + 2);
	put(f, positive(p->cpu_us[v][which], all->rounds), 0);
	put(f, positive(p->per_second[v][which], all->rounds), 0);
	fputc('\n', f);
}

static void memory_row(FILE *f, const char *what, const double mb[2])
{
	fprintf(f, "| %s | %.1f | %.1f |\n", what, mb[0], mb[1]);
}

static void profiles_table(FILE *f)
{
	const struct bench_profiles *p = &all->profiles;
	int v;

	if(!p->done)
		return;
	fprintf(f,
			"## %d profiles with name, certificate and key each, %d "
			"receivers\n\n| what | s | CPU s |\n|---|---|---|\n"
			"| start, until the first RPC is answered | %.2f | %.2f |\n"
			"| reload, nothing changed | %.2f | %.2f |\n"
			"| reload, every file replaced | %.2f | %.2f |\n\n"
			"| shared memory, MB | in use | with the allocator's overhead "
			"|\n|---|---|---|\n",
			p->names, p->workers, p->start_ms / 1e3, p->start_cpu_ms / 1e3,
			p->reload_ms / 1e3, p->reload_cpu_ms / 1e3, p->changed_ms / 1e3,
			p->changed_cpu_ms / 1e3);
	memory_row(f, "after the start", p->started_mb);
	memory_row(f, "after a handshake with each name", p->shaken_mb);
	memory_row(f, "after all handshakes below", p->used_mb);
	memory_row(f, "of the server with one profile", p->one_mb);
	fprintf(f, "| the most of two generations | - | %.1f |\n",
			p->reload_max_mb);
	if(p->ca_profiles) {
		fprintf(f,
				"\n%d profiles that name the system's CAs:\n\n"
				"| shared memory, MB | in use | with overhead |\n"
				"|---|---|---|\n",
				p->ca_profiles);
		memory_row(f, "with them", p->ca_mb);
		memory_row(f, "without", p->no_ca_mb);
	}
	fputs("\nServer CPU per handshake, request, end: us; and handshakes per "
		  "second.\n\n| | CPU | per second |\n|---|---|---|\n",
			f);
	for(v = 0; v < 2; v++) {
		profiles_row(f, v, BENCH_ONE);
		profiles_row(f, v, BENCH_MANY);
	}
	fputc('\n', f);
}

static void cipher_list(FILE *f)
{
	int c;
	int t;

	fputs("What was agreed on, by target:\n\n", f);
	for(c = 0; c < bench_n_cells; c++) {
		if(bench_cells[c].kind != BENCH_HANDSHAKE || !measured(c))
			continue;
		fprintf(f, "- %s:", bench_cells[c].name);
		for(t = 0; t < BENCH_RAW; t++)
			if(all->series[c * BENCH_TARGETS + t].cipher[0])
				fprintf(f, "%s %s: %s", t ? ";" : "", titles[t],
						all->series[c * BENCH_TARGETS + t].cipher);
		fputc('\n', f);
	}
	fputc('\n', f);
}

/* ---- what is asked of the module ---- */

/* Where the samples lie on both sides of the bound the median alone decides,
 * and the line says so. */
static const char *verdict_of(struct spread s, bool at_most, double bound)
{
	bool kept = at_most ? s.median <= bound : s.median >= bound;
	bool crossed = s.min <= bound && s.max > bound;

	if(crossed)
		return kept ? "kept by the median" : "missed by the median";
	return kept ? "kept" : "missed";
}

/* One line: NAME, the numbers, the bound and whether it is kept. */
static void verdict(FILE *f, const char *name, struct spread s, int digits,
		bool at_most, double bound)
{
	if(s.n == 0)
		return;
	fprintf(f, "| %s | %.*f | %.*f | %.*f | %d | %s %g | %s |\n", name, digits,
			s.median, digits, s.min, digits, s.max, s.n,
			at_most ? "at most" : "at least", bound,
			verdict_of(s, at_most, bound));
}

static struct spread single(bool done, double value)
{
	struct spread s = {
			.n = done ? 1 : 0, .median = value, .min = value, .max = value};

	return s;
}

static void verdicts_of_idle(FILE *f, const char *who,
		const struct bench_idle (*rows)[BENCH_TARGETS])
{
	const struct bench_idle *own;
	const struct bench_idle *plain;
	char name[96];
	int v;

	for(v = 0; v < 2; v++) {
		own = &rows[v][BENCH_OWN];
		plain = &rows[v][BENCH_PLAIN];
		snprintf(name, sizeof(name),
				"idle connection, TLS 1.%d, %s, bytes over plain TCP", v + 2,
				who);
		verdict(f, name,
				single(own->done && plain->done, own->request - plain->request),
				0, true, 1536);
	}
}

static void verdicts_of_cell(FILE *f, int c)
{
	const struct bench_cell *cell = &bench_cells[c];
	char name[128];

	if(cell->kind == BENCH_HANDSHAKE) {
		snprintf(name, sizeof(name),
				"handshake, %s: (own - plain TCP) / raw OpenSSL", cell->name);
		verdict(f, name, ratio(c, BENCH_OWN, CPU_OVER_PLAIN, BENCH_RAW, CPU), 2,
				true, 1.25);
		snprintf(name, sizeof(name), "handshake, %s: stock / own", cell->name);
		verdict(f, name, ratio(c, BENCH_STOCK, CPU, BENCH_OWN, CPU), 2, false,
				1.5);
	} else if(cell->kind == BENCH_MESSAGE && cell->bytes == 400) {
		snprintf(name, sizeof(name),
				"message, %s: (own - plain TCP) / raw seal + open", cell->name);
		verdict(f, name, ratio(c, BENCH_OWN, CPU_OVER_PLAIN, BENCH_RAW, CPU), 2,
				true, 1.2);
		snprintf(name, sizeof(name), "message, %s: requests/s own / plain TCP",
				cell->name);
		verdict(f, name, ratio(c, BENCH_OWN, RATE, BENCH_PLAIN, RATE), 2, false,
				0.92);
		snprintf(name, sizeof(name),
				"message, %s: the same per second of server CPU", cell->name);
		verdict(f, name, ratio(c, BENCH_PLAIN, CPU, BENCH_OWN, CPU), 2, false,
				0.92);
	}
}

static void verdicts_of_profiles(FILE *f)
{
	const struct bench_profiles *p = &all->profiles;
	bool whole = p->done && p->names >= 10000;
	char name[96];
	int v;

	verdict(f, "many profiles: start, s", single(whole, p->start_ms / 1e3), 2,
			true, 5);
	verdict(f, "many profiles: reload, unchanged, s",
			single(whole, p->reload_ms / 1e3), 2, true, 5);
	verdict(f, "many profiles: reload, all changed, s",
			single(whole, p->changed_ms / 1e3), 2, true, 5);
	verdict(f, "many profiles: MB in use after the start",
			single(whole, p->started_mb[0]), 1, true, 150);
	verdict(f, "many profiles: MB in use after handshakes with all",
			single(whole, p->used_mb[0]), 1, true, 150);
	verdict(f, "many profiles: the same with the allocator's overhead",
			single(whole, p->used_mb[1]), 1, true, 150);
	for(v = 0; v < 2 && p->done; v++) {
		snprintf(name, sizeof(name),
				"many profiles, TLS 1.%d: CPU of a handshake, many / one",
				v + 2);
		verdict(f, name,
				ratio_of(p->cpu_us[v][BENCH_MANY], p->cpu_us[v][BENCH_ONE]), 3,
				true, 1.03);
		snprintf(name, sizeof(name),
				"many profiles, TLS 1.%d: handshakes/s, many / one", v + 2);
		verdict(f, name,
				ratio_of(p->per_second[v][BENCH_MANY],
						p->per_second[v][BENCH_ONE]),
				3, false, 0.97);
	}
	verdict(f, "1,000 profiles with the system's CAs, MB",
			single(p->ca_profiles >= 1000, p->ca_mb[1]), 1, true, 40);
}

static void verdict_table(FILE *f)
{
	const struct bench_hold *h = &all->hold[BENCH_OWN];
	const struct bench_hold *plain = &all->hold[BENCH_PLAIN];
	const struct bench_lock *l;
	char name[96];
	int v;
	int c;

	fputs("| what | median | minimum | maximum | pairs | bound | |\n"
		  "|---|---|---|---|---|---|---|\n",
			f);
	verdicts_of_idle(f, "accepted", all->idle);
	verdicts_of_idle(f, "opened", all->opened);
	snprintf(name, sizeof(name), "%d connections: %% of one processor",
			h->conns);
	verdict(f, name, single(h->done, h->core * 100), 2, true, 3);
	verdict(f, "the same less plain TCP's",
			single(h->done && plain->done, (h->core - plain->core) * 100), 2,
			true, 3);
	verdict(f, "lost of them", single(h->done, (double)h->lost), 0, true, 0);
	for(c = 0; c < bench_n_cells; c++)
		verdicts_of_cell(f, c);
	for(v = 0; v < 2; v++) {
		l = &all->lock[v][BENCH_OWN];
		snprintf(name, sizeof(name),
				"takings of the lock, TLS 1.%d, connection", v + 2);
		verdict(f, name, single(l->done, l->handshake), 1, true, 20);
		snprintf(name, sizeof(name),
				"takings of the lock, TLS 1.%d, connection opened", v + 2);
		verdict(f, name, single(l->done, l->opened), 1, true, 20);
		snprintf(name, sizeof(name), "takings of the lock, TLS 1.%d, message",
				v + 2);
		verdict(f, name, single(l->done, l->message), 2, true, 0);
	}
	verdicts_of_profiles(f);
	fputc('\n', f);
}

/* ---- plots ---- */

static FILE *open_in(const char *dir, const char *name)
{
	char path[PATH_ROOM];
	FILE *f;

	snprintf(path, sizeof(path), "%.500s/%s", dir, name);
	f = fopen(path, "w");
	if(!f)
		perror(path);
	return f;
}

static void data_file(const char *dir, const char *name, enum bench_kind kind)
{
	FILE *f = open_in(dir, name);
	struct spread s;
	int c;
	int t;

	if(!f)
		return;
	for(c = 0; c < bench_n_cells; c++) {
		if(bench_cells[c].kind != kind || !measured(c))
			continue;
		fprintf(f, "\"%s\"", bench_cells[c].name);
		for(t = 0; t < BENCH_TARGETS; t++) {
			s = values(c, t, CPU);
			if(s.n)
				fprintf(f, " %g", s.median);
			else
				fputs(" ?", f);
		}
		fputc('\n', f);
	}
	fclose(f);
}

static void plot_by_target(FILE *g, const char *name, const char *title)
{
	int t;

	fprintf(g, "set output '%s.png'\nset title '%s'\nplot", name, title);
	for(t = 0; t < BENCH_TARGETS; t++)
		if(all->has[t])
			fprintf(g, "%s '%s.dat' using %d:xtic(1) title '%s'", t ? "," : "",
					name, t + 2, titles[t]);
	fputc('\n', g);
}

/* A plot without a point would be an error to gnuplot. */
static bool has_data(const char *dir, const char *name)
{
	char path[PATH_ROOM];
	struct stat st;

	snprintf(path, sizeof(path), "%.500s/%s.dat", dir, name);
	return stat(path, &st) == 0 && st.st_size > 0;
}

static void plot_settings(FILE *g)
{
	fputs("set terminal png size 1200,600\nset style data histogram\n"
		  "set style fill solid 0.8\nset key outside\nset grid ytics\n"
		  "set xtics rotate by -30\n"
		  "set yrange [0:*]\nset datafile missing '?'\nset ylabel 'us'\n",
			g);
}

static bool plots(const char *dir)
{
	FILE *g = open_in(dir, "plots.gp");
	char command[PATH_ROOM + 64];

	if(!g)
		return false;
	data_file(dir, "handshake.dat", BENCH_HANDSHAKE);
	data_file(dir, "message.dat", BENCH_MESSAGE);
	plot_settings(g);
	if(has_data(dir, "handshake"))
		plot_by_target(g, "handshake", "server CPU per handshake and request");
	if(has_data(dir, "message"))
		plot_by_target(g, "message", "server CPU per request and reply");
	if(has_data(dir, "latency"))
		fputs("set title 'latency of 400-byte requests'\n"
			  "set output 'latency.png'\n"
			  "plot 'latency.dat' using 2:xtic(1) title 'p50',"
			  " '' using 3 title 'p99', '' using 4 title 'p99.9'\n",
				g);
	if(has_data(dir, "idle"))
		fputs("set title 'shared memory of an idle connection over plain TCP'\n"
			  "set ylabel 'bytes'\nset output 'idle.png'\n"
			  "plot 'idle.dat' using 2:xtic(1) title 'after the handshake',"
			  " '' using 3 title 'after one request'\n",
				g);
	fclose(g);
	snprintf(command, sizeof(command), "cd '%.500s' && gnuplot plots.gp", dir);
	return system(command) == 0;
}

/* The pictures that belong to this run. */
static void show_plots(FILE *f, const char *dir)
{
	static const char *const names[] = {
			"handshake", "message", "latency", "idle"};
	size_t i;

	if(fflush(f) != 0 || !plots(dir)) {
		fputs("gnuplot failed: there are no plots.\n", f);
		return;
	}
	for(i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if(has_data(dir, names[i]))
			fprintf(f, "![%s](%s.png)\n", names[i], names[i]);
}

/* ---- the file ---- */

static void tables(FILE *f, const char *dir)
{
	FILE *latency = open_in(dir, "latency.dat");
	FILE *idle = open_in(dir, "idle.dat");

	fputs("## What is asked of the module\n\n"
		  "own = record_layer \"own\"; CPU unless it says otherwise.\n\n",
			f);
	verdict_table(f);
	fputs("## Ratios, sample by sample of the same round\n\n", f);
	ratio_table(f);
	fputs("## Server CPU per handshake, request, end: us\n\n", f);
	table(f, BENCH_HANDSHAKE, CPU, 0);
	fputs("## Handshakes per second\n\nraw OpenSSL: per second of CPU.\n\n", f);
	table(f, BENCH_HANDSHAKE, RATE, 0);
	fputs("## Server CPU per request and reply: us\n\n", f);
	table(f, BENCH_MESSAGE, CPU, 2);
	fputs("## Requests per second\n\nraw OpenSSL: per second of CPU.\n\n", f);
	table(f, BENCH_MESSAGE, RATE, 0);
	fputs("## User instructions of the same\n\n"
		  "Counted by callgrind: without the kernel, caches and other "
		  "load.\n\n",
			f);
	count_table(f);
	fputs("## Latency at a fixed rate\n\n", f);
	if(latency) {
		latency_table(f, latency);
		fclose(latency);
	}
	fprintf(f,
			"## Shared memory of an idle connection over plain TCP: bytes\n\n"
			"Of %d connections; the allocator's overhead is included.\n\n",
			all->idle_count);
	if(idle) {
		idle_table(f, idle);
		fclose(idle);
	}
	fputs("## A keep-alive a minute on each of many connections, TLS 1.3\n\n",
			f);
	hold_table(f);
	fputs("## Takings of the lock of the shared memory\n\n", f);
	lock_table(f);
	fputs("## Start and reload\n\n", f);
	start_table(f);
	profiles_table(f);
}

bool bench_report_write(const struct bench_results *results, const char *dir)
{
	FILE *f = open_in(dir, "report.md");

	if(!f)
		return false;
	all = results;
	fprintf(f, "# Benchmark\n\n%s; %s; %s; %s; %d rounds.\n\n",
			results->started, results->host, results->library, results->machine,
			results->rounds);
	fputs("Numbers are medians of the rounds, in brackets the smallest and the "
		  "largest.\n\n",
			f);
	cipher_list(f);
	tables(f, dir);
	show_plots(f, dir);
	return fclose(f) == 0;
}
