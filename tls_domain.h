/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The table of profiles ("domains"): one generation of it, lookup by role,
 * address, name and id in constant time, and the one published generation.
 * Reads no file, knows no OpenSSL object (a context is a void pointer) and
 * no connection.
 * Called by tls_config.c, tls_ctx.c, tls_conn.c and the adapter in any
 * process; a sealed table is read without a lock. */
#ifndef TLS_DOMAIN_H
#define TLS_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "tls_addr.h"
#include "tls_err.h"
#include "tls_limits.h"
#include "tls_name.h"
#include "tls_params.h"
#include "tls_port.h"

/* Receives one line for the operator; TEXT is valid during the call. */
typedef void (*tls_report_fn)(
		void *arg, enum tls_log_level level, const char *text);

enum tls_profile_kind
{
	TLS_PROFILE_DEFAULT = 0, /* when nothing else fits */
	TLS_PROFILE_ANY,		 /* any address: chosen by name or id only */
	TLS_PROFILE_ADDR		 /* one ip:port; port 0 = every port */
};

/* Mode of a name in the list server_name, besides enum tls_name_mode: the
 * word "none", which stands for peers that send no name. */
#define TLS_PROFILE_NAME_NONE 3

/* One name of the list server_name, normalised, without its "*.". */
struct tls_profile_name
{
	const char *text; /* "" for "none" */
	int mode;		  /* enum tls_name_mode, or TLS_PROFILE_NAME_NONE */
};

/* Where an option was written. */
struct tls_place
{
	const char *file; /* borrowed; NULL: modparam or default */
	unsigned int line;
	unsigned int col;
};

/* One profile. Sealed ones never change, but for ctx and places. */
struct tls_profile
{
	enum tls_role role;
	enum tls_profile_kind kind;
	struct tls_addr addr;			/* of kind ADDR, else all 0 */
	struct tls_profile_params p;	/* owned; server_name is normalised */
	struct tls_profile_name *names; /* owned: server_name as a list */
	size_t n_names;
	/* owned: by option, for errors of a load; NULL when they were dropped */
	struct tls_place *places;
	char *label; /* owned; "TLSs<default>", "TLSc<ip:port>" */
	/* borrowed from the generation; where it was written, or NULL */
	const char *file;
	unsigned int line; /* of its header; 0 = made from modparams */
	unsigned int col;
	void *ctx; /* L2's struct tls_ctx; given back by the free callback */
	struct tls_limits_usage *usage; /* owned reference: its connections */
};

struct tls_domains; /* one generation; in shared memory, private */

/* What a lookup asks for. Everything but role may be left out (0). */
struct tls_domain_query
{
	enum tls_role role;
	const struct tls_addr *local;  /* own address of the connection, or NULL */
	const struct tls_addr *remote; /* the peer's, clients only, or NULL */
	const char *name;			   /* server name, any spelling, or NULL */
	const char *server_id;		   /* or NULL */
};

/* ---- one generation ---- */

/* A new, empty, unsealed generation with one reference, which is the
 * caller's; NULL when memory is short. */
struct tls_domains *tls_domains_new(void);

/* FREE_CTX(ctx) will be called for each profile with a context when the
 * generation is freed, in the process that drops the last reference. */
void tls_domains_set_free_ctx(
		struct tls_domains *domains, void (*free_ctx)(void *ctx));

/* Reads the next name of the list server_name at *AT (names and the word
 * "none", separated by commas or blanks; "*." in front means every
 * sub-domain) into OUT, normalised, and how it is compared into *MODE: MODE as
 * it came in, or what the list says. *AT moves on. Returns OK, CLOSED at the
 * end of the list, or CONFIG with a sentence that quotes the list. */
enum tls_rc tls_domain_next_name(const char **at, char out[TLS_NAME_MAX + 1],
		int *mode, struct tls_err *err) TLS_MUST_CHECK;

/* Adds a deep copy of SPEC: of role, kind, addr, p, places, file, line and
 * col. Returns OK, CONFIG (sentence in ERR: the name is no name, a setting is
 * out of range), NOMEM, or BUG when the generation is sealed. It is unchanged
 * unless OK. */
enum tls_rc tls_domains_add(struct tls_domains *domains,
		const struct tls_profile *spec, struct tls_err *err) TLS_MUST_CHECK;

/* Forgets the places of all options: they are for errors of the load only. */
void tls_domains_drop_places(struct tls_domains *domains);

/* Number of files that profiles were written in, and the one at INDEX in the
 * order of reading (NULL behind the last), borrowed. tls_domains_add_file
 * notes NAME, which is there only once, and gives the copy that stays, or NULL
 * when memory is short. */
size_t tls_domains_files(const struct tls_domains *domains);
const char *tls_domains_file(const struct tls_domains *domains, size_t index);
const char *tls_domains_add_file(struct tls_domains *domains, const char *name);

/* Checks the whole and makes it ready for lookup: both defaults are there
 * once, no two profiles claim the same address and name, a server profile
 * for any address has a name. Each error and each oddity (level WARN) goes
 * to REPORT (may be NULL) with ARG, the first error to ERR as well. Returns
 * OK, CONFIG, NOMEM, or BUG when sealed already. */
enum tls_rc tls_domains_seal(struct tls_domains *domains, tls_report_fn report,
		void *arg, struct tls_err *err) TLS_MUST_CHECK;

/* Takes one more reference and returns DOMAINS. */
struct tls_domains *tls_domains_ref(struct tls_domains *domains);

/* Drops the caller's reference and sets *DOMAINS to NULL (NULL inside is
 * fine). The last one frees everything, contexts included, so never call it
 * under a lock. */
void tls_domains_unref(struct tls_domains **domains);

/* Number of profiles, and the one at INDEX in the order of the file (NULL
 * behind the last). It is not const so that L2 can set its ctx before the
 * generation is published. */
size_t tls_domains_count(const struct tls_domains *domains);
struct tls_profile *tls_domains_at(
		const struct tls_domains *domains, size_t index);

/* The default profile of ROLE; NULL only when unsealed. */
struct tls_profile *tls_domains_default(
		const struct tls_domains *domains, enum tls_role role);

/* True when A and B, also of two generations, stand for the same section:
 * role, address, server_name and server_id are the same. The label alone
 * does not tell: sections of one ip:port share theirs. */
bool tls_profile_same(const struct tls_profile *a, const struct tls_profile *b);

/* Number of this generation: 0 until published, then 1, 2, ... */
unsigned int tls_domains_generation(const struct tls_domains *domains);

/* Number of references now, for tests and for the RPCs. */
unsigned int tls_domains_refs(const struct tls_domains *domains);

/* True when every invariant holds; for assertions, tests and fuzzers. */
bool tls_domains_is_valid(const struct tls_domains *domains);

/* The profile for QUERY; never NULL. DOMAINS must be sealed. Independent of
 * the order in the file (but see below), the first that exists of
 *   1 the profile with the server_id that was asked for,
 *   2 at the same ip:port: the one with exactly this name; the one with the
 *     longest name of which this is a sub-domain; the one without a name,
 *   3 the same three at the same ip with port 0,
 *   4 for any address: exactly this name; the longest suffix,
 *   5 the default of the role.
 * Clients look for the remote address first, then in the same way for the
 * local one. Without a name, steps 2 to 4 take the profile whose names have
 * "none"; then, of steps 2 and 3, the one without a name; where all have one,
 * the LAST of them in the file, as the stock module does, which tests later
 * sections first. A name that is no host
 * name is one that nobody has. The stock module stops at the first that fits
 * and sends an unknown name at an ip:port to the default.
 * The cost depends on the length of the name only. Any process, no lock; the
 * profile lives as long as the caller's reference on DOMAINS. */
const struct tls_profile *tls_domain_lookup(const struct tls_domains *domains,
		const struct tls_domain_query *query);

/* As tls_domain_lookup, and adds to *N_COMPARED (may be NULL) how many table
 * entries were looked at: tests use it to see that the cost is constant. */
const struct tls_profile *tls_domain_lookup_counted(
		const struct tls_domains *domains, const struct tls_domain_query *query,
		size_t *n_compared);

/* True when NAME (any spelling) is one of the names that P serves. */
bool tls_profile_serves(const struct tls_profile *p, const char *name);

/* The server name that a client of P sends when the script gives none: sni,
 * or the first name of server_name that is no pattern; NULL for none. *AUTO_OUT
 * tells whether the target of the first message would be better. */
const char *tls_profile_sni(const struct tls_profile *p, bool *auto_out);

/* ---- the published generation ---- */

/* Allocates the shared root. Once, before fork, after the locks exist.
 * Returns OK, NOMEM, or BUG when it is there already. */
enum tls_rc tls_domains_init(void) TLS_MUST_CHECK;

/* Drops the published generation and the root. In the last process. */
void tls_domains_destroy(void);

/* Makes the sealed DOMAINS the generation that everybody acquires from now
 * on; the caller's reference goes to the root. Returns the one before (NULL
 * the first time) with the root's reference, for tls_domains_unref. Takes
 * TLS_LOCK_DOMAINS; any process. An unsealed one is logged as a BUG and comes
 * straight back, unpublished. */
struct tls_domains *tls_domains_publish(
		struct tls_domains *domains) TLS_MUST_CHECK;

/* The published generation with one more reference, which is the caller's;
 * NULL when none was published. Takes TLS_LOCK_DOMAINS; any process. */
struct tls_domains *tls_domains_acquire(void) TLS_MUST_CHECK;

#endif
