/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What the suites of the host tests share: the check macro and the table of
 * suites. Each suite_<name>.c owns one suite; main.c runs them.
 * One process, no lock. */
#ifndef TEST_HOSTSUITE_H
#define TEST_HOSTSUITE_H

#include <stdbool.h>
#include <stdio.h>

#include <CUnit/CUnit.h>

/* A check whose report is the sentence REASON, not an expression. */
#define HOLDS(cond_, reason_)                                                  \
	CU_assertImplementation((cond_) ? CU_TRUE : CU_FALSE, __LINE__, (reason_), \
			__FILE__, "", CU_FALSE)

/* One test of a suite. */
struct suite_test
{
	const char *name;
	CU_TestFunc run;
};

/* One suite: its tests end with a NULL name. */
struct suite
{
	const char *name;
	CU_InitializeFunc init; /* may be NULL */
	CU_CleanupFunc clean;	/* may be NULL */
	const struct suite_test *tests;
};

extern const struct suite suite_self;	  /* the library itself, no TLS */
extern const struct suite suite_load;	  /* loading and refusing to start */
extern const struct suite suite_traffic;  /* the server role */
extern const struct suite suite_client;	  /* the client role */
extern const struct suite suite_wish;	  /* what scripts ask of it */
extern const struct suite suite_profiles; /* the settings of profiles */
extern const struct suite suite_keys;	  /* private keys on tokens */
extern const struct suite suite_wss;	  /* websockets over TLS */
extern const struct suite suite_safety;	  /* many processes, broken peers */
extern const struct suite suite_guard;	  /* counters, limits, shortages */
extern const struct suite suite_alloc;	  /* allocations that fail */
extern const struct suite suite_rpc;	  /* what operators ask and set */
extern const struct suite suite_peers;	  /* other TLS programs */
extern const struct suite suite_stock;	/* the server's own module as a peer */
extern const struct suite suite_reuse;	/* who may get a message */
extern const struct suite suite_event;	/* event routes */
extern const struct suite suite_ocsp;	/* what is stapled */
extern const struct suite suite_script; /* what scripts can read */
extern const struct suite suite_zoo;	/* strange certificates */
extern const struct suite suite_resume; /* sessions that come back */
extern const struct suite suite_others; /* other users of OpenSSL beside us */
extern const struct suite suite_ops;	/* what operators meet rarely */
extern const struct suite suite_lines;	/* what hardly ever happens */

/* Can this server's own module be a peer at all? False: said why on stdout,
 * and the suite is not run. */
int suite_stock_possible(void);

/* Makes the CAs of zoo.h below the folder of certificates, once. */
void suite_zoo_begin(void);

/* Runs tlsload with ARGS (words after blanks); --port, --cert and --key are
 * added. Returns its exit code; WAIT false: returns its pid instead. */
int suite_tlsload(int port, const char *args, int wait);

struct host_kam;
struct host_config;

/* Starts KAM; else fails the test, says on standard error what the log says,
 * and leaves nothing of KAM. */
bool suite_started(struct host_kam *kam, const struct host_config *cfg);

/* Appends to the text OUT, which has ROOM bytes; cut to that. */
void suite_append(char *out, size_t room, const char *format, ...)
		__attribute__((format(printf, 3, 4)));

/* Value of an environment variable as a number, DEF when it is not set. */
int suite_number(const char *name, int def);

#endif
