/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Owns the counts of what is going on and the list of connections that owe a
 * handshake. Processes and locks: see tls_limits.h. */
#include "tls_limits.h"

#include <stdatomic.h>
#include <string.h>

#include "tls_locking.h"
#include "tls_port.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
		"counts must be lock-free to work across processes");

/* ---- rates ---- */

/* A rate is kept as the time at which the next one would be due if they came
 * evenly (the virtual scheduling of ITU-T I.371, also called GCRA). In units
 * of 1/64 ms, 40 bits of them: they wrap around after half a year, and what
 * does not lie close ahead says nothing about now. */
#define UNITS_MS 64U
#define SECOND (1000U * UNITS_MS)
#define TIME_BITS 40
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

/* Sources: sets of ways; what an entry holds is in one atomic word, the mark
 * of the source above its time. */
#define SETS 2048U
#define WAYS 4U

/* Lists of profiles, so that a reload of many finds each in no time. */
#define USAGES 1024U

struct chunk
{
	struct chunk *next;
	unsigned int first;
	unsigned int n;
	struct
	{
		int id;
		uint32_t ms; /* the low part of the time */
	} entry[500];
};

struct tls_limits_usage
{
	struct tls_limits_usage *next;
	unsigned int refs; /* behind the lock */
	atomic_uint connections;
	char key[];
};

struct shared
{
	uint64_t seed;
	atomic_uint in_flight;
	_Atomic uint64_t total;
	_Atomic uint64_t source[SETS * WAYS];
	/* behind TLS_LOCK_LIMITS */
	struct chunk *head;
	struct chunk *tail;
	struct tls_limits_usage *usages[USAGES];
};

static struct shared *shared; /* in shared memory; set before fork */

enum tls_rc tls_limits_init(uint64_t seed)
{
	if(shared != NULL)
		return TLS_RC_BUG;
	shared = tls_port_alloc(sizeof(*shared));
	if(shared == NULL)
		return TLS_RC_NOMEM;
	memset(shared, 0, sizeof(*shared));
	shared->seed = seed;
	return TLS_RC_OK;
}

void tls_limits_destroy(void)
{
	while(shared != NULL && shared->head != NULL) {
		struct chunk *next = shared->head->next;

		tls_port_free(shared->head);
		shared->head = next;
	}
	tls_port_free(shared);
	shared = NULL;
}

/* Units from NOW until ENTRY, negative when it has passed. */
static int64_t ahead_of(uint64_t entry, uint64_t now)
{
	uint64_t ahead = (entry - now) & TIME_MASK;

	return ahead <= TIME_MASK / 2 ? (int64_t)ahead
								  : -(int64_t)(TIME_MASK + 1 - ahead);
}

/* True when ENTRY says something about now: it lies at most one burst ahead. */
static bool is_live(uint64_t entry, uint64_t now)
{
	int64_t ahead = ahead_of(entry, now);

	return ahead > 0 && ahead <= (int64_t)SECOND;
}

/* Moves the time in *ENTRY on by one of RATE in a second; false = too soon. */
static bool advance(uint64_t *entry, unsigned int rate, uint64_t now)
{
	uint32_t step = SECOND / rate;
	uint64_t base = is_live(*entry, now) ? *entry : now;

	/* A second's worth may be used at once. */
	if(ahead_of(base, now) > (int64_t)(SECOND - step))
		return false;
	*entry = (base + step) & TIME_MASK;
	return true;
}

static bool pass_total(unsigned int rate, uint64_t now)
{
	uint64_t old = atomic_load(&shared->total);
	uint64_t fresh;

	do {
		fresh = old;
		if(!advance(&fresh, rate, now))
			return false;
	} while(!atomic_compare_exchange_weak(&shared->total, &old, fresh));
	return true;
}

/* A keyed hash of the source: splitmix64 over its words. */
static uint64_t hash_source(const struct tls_addr *source)
{
	size_t n = source->family == 6 ? 8 : 4;
	uint64_t hash = shared->seed;
	size_t i;

	for(i = 0; i < n; i++) {
		hash += 0x9e3779b97f4a7c15ULL + source->ip[i];
		hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
		hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
		hash ^= hash >> 31;
	}
	return hash;
}

/* The way of SET that MARK has, or may take: its own, one that says nothing
 * about now, or the one that is over first. */
static unsigned int choose_way(
		_Atomic uint64_t *set, uint64_t mark, uint64_t now)
{
	int64_t best_ahead = INT64_MAX;
	unsigned int best = 0;
	unsigned int i;

	for(i = 0; i < WAYS; i++) {
		uint64_t word = atomic_load_explicit(&set[i], memory_order_relaxed);
		uint64_t entry = word & TIME_MASK;
		int64_t ahead = is_live(entry, now) ? ahead_of(entry, now) : 0;

		if(ahead > 0 && word >> TIME_BITS == mark)
			return i;
		if(ahead < best_ahead) {
			best_ahead = ahead;
			best = i;
		}
	}
	return best;
}

static bool pass_source(
		const struct tls_addr *source, unsigned int rate, uint64_t now)
{
	uint64_t hash = hash_source(source);
	uint64_t mark = hash >> TIME_BITS;
	_Atomic uint64_t *set = &shared->source[(hash % SETS) * WAYS];
	unsigned int way;
	uint64_t old;
	uint64_t entry;

	do {
		way = choose_way(set, mark, now);
		old = atomic_load(&set[way]);
		/* one that belongs to somebody else is taken over as unused */
		entry = old >> TIME_BITS == mark ? old & TIME_MASK : now;
		if(!advance(&entry, rate, now))
			return false;
	} while(!atomic_compare_exchange_weak(
			&set[way], &old, mark << TIME_BITS | entry));
	return true;
}

static unsigned int bounded(unsigned int rate)
{
	return rate > TLS_LIMITS_RATE_MAX ? TLS_LIMITS_RATE_MAX : rate;
}

enum tls_limits_verdict tls_limits_enter(const struct tls_addr *source,
		const struct tls_limits_rates *rates, uint64_t now_ms)
{
	uint64_t now = (now_ms * UNITS_MS) & TIME_MASK;
	unsigned int before;

	if(shared == NULL)
		return TLS_LIMITS_PASS;
	/* First what one source is to blame for: it must not use up what is left
	 * for the others. */
	if(rates->per_source > 0
			&& !pass_source(source, bounded(rates->per_source), now))
		return TLS_LIMITS_SOURCE;
	before = atomic_fetch_add(&shared->in_flight, 1);
	if(rates->in_flight > 0 && before >= rates->in_flight) {
		tls_limits_leave();
		return TLS_LIMITS_IN_FLIGHT;
	}
	if(rates->total > 0 && !pass_total(bounded(rates->total), now)) {
		tls_limits_leave();
		return TLS_LIMITS_TOTAL;
	}
	return TLS_LIMITS_PASS;
}

void tls_limits_leave(void)
{
	if(shared != NULL)
		atomic_fetch_sub(&shared->in_flight, 1);
}

unsigned int tls_limits_in_flight(void)
{
	return shared != NULL ? atomic_load(&shared->in_flight) : 0;
}

/* ---- connections that owe a handshake ---- */

#define CHUNK_ENTRIES \
	(sizeof(((struct chunk *)0)->entry) / sizeof(((struct chunk *)0)->entry[0]))

/* Appends to the last chunk, or to FRESH, which is then linked and taken over.
 * False when there is no room. Under the lock. */
static bool append(struct chunk **fresh, int id, uint64_t now_ms)
{
	struct chunk *tail = shared->tail;

	if(tail == NULL || tail->first + tail->n == CHUNK_ENTRIES) {
		if(*fresh == NULL)
			return false;
		if(tail == NULL)
			shared->head = *fresh;
		else
			tail->next = *fresh;
		shared->tail = tail = *fresh;
		*fresh = NULL;
	}
	tail->entry[tail->first + tail->n].id = id;
	tail->entry[tail->first + tail->n].ms = (uint32_t)now_ms;
	tail->n++;
	return true;
}

enum tls_rc tls_limits_watch(int id, uint64_t now_ms)
{
	struct chunk *fresh = NULL;
	bool done;

	if(shared == NULL)
		return TLS_RC_OK;
	tls_lock_get(TLS_LOCK_LIMITS);
	done = append(&fresh, id, now_ms);
	tls_lock_release(TLS_LOCK_LIMITS);
	if(done)
		return TLS_RC_OK;
	fresh = tls_port_alloc(sizeof(*fresh));
	if(fresh == NULL)
		return TLS_RC_NOMEM;
	memset(fresh, 0, sizeof(*fresh));
	tls_lock_get(TLS_LOCK_LIMITS);
	(void)append(&fresh, id, now_ms);
	tls_lock_release(TLS_LOCK_LIMITS);
	tls_port_free(fresh); /* somebody else was faster */
	return TLS_RC_OK;
}

/* Has ENTRY, the low part of a time, been TIMEOUT_MS ago? Others note theirs
 * while the caller is on its way with NOW_MS: theirs may be the later one. */
static bool is_due(uint32_t entry, uint64_t now_ms, unsigned int timeout_ms)
{
	uint32_t ago = (uint32_t)now_ms - entry;

	return ago <= INT32_MAX && ago >= timeout_ms;
}

bool tls_limits_due(uint64_t now_ms, unsigned int timeout_ms, int *id)
{
	struct chunk *head;
	struct chunk *empty = NULL;
	bool due = false;

	if(shared == NULL)
		return false;
	tls_lock_get(TLS_LOCK_LIMITS);
	head = shared->head;
	if(head != NULL && head->n > 0
			&& is_due(head->entry[head->first].ms, now_ms, timeout_ms)) {
		*id = head->entry[head->first].id;
		head->first++;
		head->n--;
		due = true;
	}
	if(head != NULL && head->n == 0 && head->first > 0) {
		empty = head;
		shared->head = head->next;
		if(shared->head == NULL)
			shared->tail = NULL;
	}
	tls_lock_release(TLS_LOCK_LIMITS);
	tls_port_free(empty);
	return due;
}

/* ---- connections of a profile ---- */

/* The list in which KEY is, or would be (FNV-1a). */
static struct tls_limits_usage **list_of(const char *key)
{
	uint32_t hash = 2166136261u;

	while(*key != '\0')
		hash = (hash ^ (unsigned char)*key++) * 16777619u;
	return &shared->usages[(hash ^ (hash >> 15)) % USAGES];
}

/* With one more reference, NULL when there is none. Under the lock. */
static struct tls_limits_usage *find_usage(
		struct tls_limits_usage *u, const char *key)
{
	while(u != NULL && strcmp(u->key, key) != 0)
		u = u->next;
	if(u != NULL)
		u->refs++;
	return u;
}

enum tls_rc tls_limits_usage_get(const char *key, struct tls_limits_usage **out)
{
	struct tls_limits_usage *fresh;
	struct tls_limits_usage *found;
	struct tls_limits_usage **list;
	size_t n = strlen(key) + 1;

	*out = NULL;
	if(shared == NULL)
		return TLS_RC_OK;
	fresh = tls_port_alloc(sizeof(*fresh) + n);
	if(fresh == NULL)
		return TLS_RC_NOMEM;
	fresh->refs = 1;
	atomic_init(&fresh->connections, 0);
	memcpy(fresh->key, key, n);
	list = list_of(key);
	tls_lock_get(TLS_LOCK_LIMITS);
	found = find_usage(*list, key);
	if(found == NULL) {
		fresh->next = *list;
		*list = found = fresh;
		fresh = NULL;
	}
	tls_lock_release(TLS_LOCK_LIMITS);
	tls_port_free(fresh);
	*out = found;
	return TLS_RC_OK;
}

void tls_limits_usage_put(struct tls_limits_usage **usage)
{
	struct tls_limits_usage *u = *usage;
	struct tls_limits_usage **list;
	struct tls_limits_usage **at;

	*usage = NULL;
	if(u == NULL || shared == NULL)
		return;
	list = list_of(u->key);
	tls_lock_get(TLS_LOCK_LIMITS);
	if(--u->refs > 0)
		u = NULL;
	for(at = list; u != NULL && *at != NULL; at = &(*at)->next) {
		if(*at != u)
			continue;
		*at = u->next;
		break;
	}
	tls_lock_release(TLS_LOCK_LIMITS);
	tls_port_free(u);
}

bool tls_limits_usage_add(struct tls_limits_usage *usage, unsigned int max)
{
	unsigned int now;

	if(usage == NULL)
		return true;
	now = atomic_load(&usage->connections);
	do {
		if(max > 0 && now >= max)
			return false;
	} while(!atomic_compare_exchange_weak(&usage->connections, &now, now + 1));
	return true;
}

void tls_limits_usage_sub(struct tls_limits_usage *usage)
{
	if(usage != NULL)
		atomic_fetch_sub(&usage->connections, 1);
}

unsigned int tls_limits_usage_now(const struct tls_limits_usage *usage)
{
	return usage != NULL ? atomic_load(&usage->connections) : 0;
}
