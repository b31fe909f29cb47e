/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Resumption never weakens, at a real server with one and with four workers:
 * sessions made in every cell of cells.h are offered to the others, as tickets
 * of TLS 1.2 and 1.3 and by session id; what the script reads is the judge.
 * Default profiles are those of four addresses, one for each policy; names are
 * served at all of them, so that a session is offered where it was made as
 * often as can be: then keys and cache are the same, the worst case.
 * With TLS_TEST_FULL all pairs are tried, else some of them. Each test owns its
 * Kamailio; one process, no lock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/cells.h"
#include "../lib/pki.h"
#include "hostlib.h"
#include "hostpeer.h"
#include "hostsuite.h"

#define ROOM 32768
#define add(out_, ...) suite_append((out_), ROOM, __VA_ARGS__)
#define STRIDE 7 /* of the pairs that are tried by default */

static const char route[] =
		"	append_to_reply(\"X-Resumed: $tls(resumed)\\r\\n"
		"X-Verified: $tls_peer_verified\\r\\nX-Result: "
		"$tls(verify_result)\\r\\nX-Subject: $tls_peer_subject_cn\\r\\n"
		"X-Profile: $tls(profile)\\r\\nX-Pid: $pp\\r\\n\");\n"
		"	if(is_peer_verified()) append_to_reply(\"X-Is: yes\\r\\n\");\n"
		"	sl_send_reply(\"200\", \"OK\");\n";

/* The policy at 127.0.0.1, where the profile is the default one of the whole
 * server; others are default ones of their address. */
static enum cell_policy first;
static struct host_kam kam;

/* ---- profiles ---- */

static void add_policy(char *out, enum cell_policy policy)
{
	/* what the default profile has is not inherited */
	add(out,
			"verify_certificate = %s\nrequire_certificate = %s\n"
			"verify_client = %s\n",
			policy == CELL_OPTIONAL ? "yes" : "no",
			policy == CELL_REQUIRE ? "yes" : "no",
			policy == CELL_NO_CA ? "optional_no_ca" : "off");
	if(policy == CELL_NONE)
		return;
	add(out, "ca_list = %s\n", pki_path("zoo-ca.pem"));
	add(out, "crl = %s\n", pki_path("zoo-crl.pem"));
}

/* Where the default profile of POLICY is. */
static const char *address_of(enum cell_policy policy)
{
	static char out[16];
	int last = ((int)policy - (int)first + CELL_POLICIES) % CELL_POLICIES;

	snprintf(out, sizeof(out), "127.0.0.%d", 1 + last);
	return out;
}

static void name_of(const struct cell *cell, char out[32])
{
	snprintf(out, 32, "p%d.%c.example", (int)cell->policy, '`' + cell->profile);
}

/* The profiles at the address whose default profile has the policy AT: that
 * one, and the names with every policy. Names of any address would not be
 * looked for at an address that has a profile of its own. */
static void add_address(char *out, enum cell_policy at)
{
	struct cell cell;
	size_t i;
	char name[32];

	if(at != first) {
		add(out, "[server:%s:@TLS@]\n", address_of(at));
		add_policy(out, at);
	}
	for(i = 0; i < CELLS; i += CELL_SHOWN) {
		cell = cell_at(i);
		if(cell.profile == 0)
			continue;
		name_of(&cell, name);
		if(at == first)
			add(out, "[server:any]\nserver_name = %s\n", name);
		else
			add(out, "[server:%s:@TLS@]\nserver_name = %s\n", address_of(at),
					name);
		add_policy(out, cell.policy);
	}
}

/* Profiles of every kind with every policy. */
static void write_profiles(char *out)
{
	int at;

	out[0] = '\0';
	add(out, "[server:default]\nmethod = TLSv1.2+\n"
			 "certificate = @CERTS@/ecdsa.pem\n"
			 "private_key = @CERTS@/ecdsa.key\n");
	add_policy(out, first);
	for(at = 0; at < CELL_POLICIES; at++)
		add_address(out, (enum cell_policy)at);
}

/* How the profile of CELL at the address AT is called. */
static void label_of(const struct cell *cell, enum cell_policy at, char out[64])
{
	char name[32];

	name_of(cell, name);
	if(at != first)
		snprintf(out, 64, "TLSs<%s:%d>", address_of(at), kam.tls_port);
	else if(cell->profile > 0)
		snprintf(out, 64, "TLSs<any:%s>", name);
	else
		snprintf(out, 64, "TLSs<default>");
}

/* ---- one handshake ---- */

struct outcome
{
	struct cell_want is;
	bool resumed;
	char subject[64]; /* of the peer, as the script sees it */
	char result[16];  /* of its verification */
	int pid;		  /* who answered */
};

/* Reads header NAME of the reply at P (N bytes). */
static const char *header(
		const struct peer *p, size_t n, const char *name, char out[64])
{
	sip_header(p->buf, n, name, out, 64);
	return out;
}

static void read_outcome(const struct peer *p, size_t n,
		const struct cell *cell, enum cell_policy at, struct outcome *out)
{
	char got[64], want[64];

	out->is.up = sip_status(p->buf, n) == 200;
	out->is.verified = !strcmp(header(p, n, "X-Verified", got), "1");
	HOLDS(out->is.verified == !strcmp(header(p, n, "X-Is", got), "yes"),
			"is_peer_verified() says the same");
	out->resumed = !strcmp(header(p, n, "X-Resumed", got), "1");
	HOLDS(out->resumed == (SSL_session_reused(p->ssl) == 1),
			"both ends agree on resumption");
	header(p, n, "X-Subject", out->subject);
	out->is.presented = strcmp(out->subject, "<null>") != 0;
	snprintf(out->result, sizeof(out->result), "%.15s",
			header(p, n, "X-Result", got));
	out->pid = atoi(header(p, n, "X-Pid", got));
	label_of(cell, at, want);
	HOLDS(!strcmp(header(p, n, "X-Profile", got), want),
			"the profile that was asked for");
}

/* A connection of CELL at the address AT that offers SESSION (NULL = none). NEXT, if
 * given, gets the session that may be offered later. */
static struct outcome shake(const struct cell *cell, enum cell_policy at,
		enum cell_way way, SSL_SESSION *session, SSL_SESSION **next)
{
	const char *animal = cell_animals[cell->shown].name;
	struct peer_opt opt = {.address = address_of(at),
			.resume = session,
			.no_ticket = way == CELL_12_ID};
	char name[32], pem[64], key[64];
	struct outcome out = {0};
	struct peer p;
	size_t n = 0;

	opt.min = opt.max = way == CELL_13 ? TLS1_3_VERSION : TLS1_2_VERSION;
	if(animal != NULL) {
		snprintf(pem, sizeof(pem), "%s.pem", animal);
		snprintf(key, sizeof(key), "%s.key", animal);
		opt.cert = pki_path(pem);
		opt.key = pki_path(key);
	}
	name_of(cell, name);
	opt.sni = cell->profile > 0 ? name : NULL;
	if(peer_tls(&p, kam.tls_port, &opt) && peer_request(&p, 1, 0, NULL))
		n = peer_sip(&p, PEER_WAIT_MS);
	if(n > 0)
		read_outcome(&p, n, cell, at, &out);
	else
		HOLDS(p.alert_in >= 0, "who is not let in gets an alert");
	if(n > 0 && next != NULL)
		*next = SSL_get1_session(p.ssl);
	if(n > 0) /* OpenSSL forgets sessions of connections that were cut */
		peer_notify(&p);
	peer_close(&p);
	return out;
}

/* ---- the table ---- */

static bool same(const struct outcome *got, struct cell_want want)
{
	return got->is.up == want.up && got->is.verified == want.verified
		   && got->is.presented == want.presented;
}

static void say(const char *what, enum cell_way way, const struct cell *from,
		const struct cell *to, const struct outcome *got)
{
	fprintf(stderr,
			"\n%s, way %d: profile %d policy %d shown %d -> %d %d %d: up %d "
			"resumed %d verified %d presented %d subject %s result %s\n",
			what, (int)way, from->profile, (int)from->policy, (int)from->shown,
			to->profile, (int)to->policy, (int)to->shown, got->is.up,
			got->resumed, got->is.verified, got->is.presented, got->subject,
			got->result);
}

/* What was made in one cell at each address. */
struct made
{
	SSL_SESSION *session[CELL_POLICIES];
	struct outcome outcome[CELL_POLICIES];
};

/* Makes sessions in FROM, one for each address that serves it. False when FROM
 * lets nobody in. */
static bool make_sessions(
		const struct cell *from, enum cell_way way, struct made *made)
{
	struct cell_want want = cell_full(from);
	int i;

	memset(made, 0, sizeof(*made));
	for(i = 0; i < CELL_POLICIES; i++) {
		struct outcome *out = &made->outcome[i];

		if(from->profile == 0 && i != (int)from->policy)
			continue;
		*out = shake(from, (enum cell_policy)i, way, NULL, &made->session[i]);
		if(!same(out, want) || out->resumed)
			say("full", way, from, from, out);
		HOLDS(same(out, want) && !out->resumed, "a full handshake");
	}
	return want.up;
}

/* At which address FROM and TO meet with the same keys, as far as they can. */
static enum cell_policy meet(
		const struct cell *from, const struct cell *to, size_t turn)
{
	if(to->profile == 0)
		return to->policy;
	return from->profile == 0 ? from->policy
							  : (enum cell_policy)(turn % CELL_POLICIES);
}

/* Counts what a run has looked at. */
struct tally
{
	size_t resumed;
	size_t full;
	size_t elsewhere; /* resumed by another process than it was made by */
};

static void offer(const struct made *made, const struct cell *from,
		const struct cell *to, enum cell_way way, size_t turn,
		struct tally *tally)
{
	enum cell_policy at = meet(from, to, turn);
	enum cell_policy origin = from->profile == 0 ? from->policy : at;
	const struct outcome *before = &made->outcome[origin];
	bool resumes = cell_may_resume(from, to, way);
	struct cell_want want = resumes ? before->is : cell_full(to);
	/* OpenSSL's client uses a session of TLS 1.3 once: a copy each time */
	SSL_SESSION *session = made->session[origin] != NULL
								   ? SSL_SESSION_dup(made->session[origin])
								   : NULL;
	struct outcome got = shake(to, at, way, session, NULL);
	bool good = session != NULL && same(&got, want) && got.resumed == resumes;

	if(resumes)
		good = good && !strcmp(got.subject, before->subject)
			   && !strcmp(got.result, before->result);
	if(!good)
		say("offered", way, from, to, &got);
	HOLDS(good, "a session that is offered");
	tally->resumed += resumes;
	tally->full += !resumes;
	tally->elsewhere += resumes && got.pid != before->pid;
	SSL_SESSION_free(session);
}

static void run_way(enum cell_way way, size_t shift, struct tally *tally)
{
	size_t stride = getenv("TLS_TEST_FULL") != NULL ? 1 : STRIDE;
	size_t i, j, k;

	for(i = 0; i < CELLS; i++) {
		struct cell from = cell_at(i);
		struct made made;
		bool lets_in = make_sessions(&from, way, &made);

		for(j = 0; lets_in && j < CELLS; j++) {
			struct cell to = cell_at(j);

			if(i == j || (i * CELLS + j + shift) % stride == 0)
				offer(&made, &from, &to, way, i + j, tally);
		}
		for(k = 0; k < CELL_POLICIES; k++)
			SSL_SESSION_free(made.session[k]);
	}
}

/* SHIFT: which part of the pairs, so that two runs try more of them. */
static void run_table(int workers, enum cell_policy at_default, size_t shift)
{
	static char text[ROOM];
	struct host_config cfg = {.tls_cfg = text,
			.route = route,
			.tcp_children = workers,
			.globals = "listen=tls:127.0.0.2:@TLS@\n"
					   "listen=tls:127.0.0.3:@TLS@\n"
					   "listen=tls:127.0.0.4:@TLS@\n",
			.params = "modparam(\"tls\", \"config\", \"@DIR@/tls.cfg\")\n"
					  "modparam(\"tls\", \"session_cache\", 1)\n"};
	struct tally tally = {0};
	int way;

	suite_zoo_begin();
	cell_make_animals();
	first = at_default;
	write_profiles(text);
	if(!suite_started(&kam, &cfg))
		return;
	for(way = 0; way < CELL_WAYS; way++)
		run_way((enum cell_way)way, shift + (size_t)way, &tally);
	fprintf(stderr, "  %zu resumed, %zu by another worker, %zu full\n",
			tally.resumed, tally.elsewhere, tally.full);
	HOLDS(tally.resumed > 100 && tally.full > 500, "enough was tried");
	HOLDS(workers == 1 ? tally.elsewhere == 0 : tally.elsewhere > 10,
			"sessions go from worker to worker");
	HOLDS(host_stop(&kam, SIGTERM), "clean stop");
}

static void test_one(void)
{
	run_table(1, CELL_REQUIRE, 0);
}

static void test_four(void)
{
	run_table(4, CELL_NONE, 3);
}

static const struct suite_test tests[] = {
		{"every cell to every other, 4 workers", test_four},
		{"every cell to every other, 1 worker", test_one}, {NULL, NULL}};

const struct suite suite_resume = {"resume", NULL, NULL, tests};
