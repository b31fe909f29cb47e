/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Which certificates a profile takes and what it says to those that it does
 * not: one table for the engine in memory and for a real server, in both roles
 * and both protocol versions.
 * Knows no room of the module; constant data, any process, no lock. */
#ifndef TEST_ZOO_ROWS_H
#define TEST_ZOO_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "zoo.h"

#define ZOO_ACCEPTED 0 /* in place of an alert */

/* Which key peer_pin names. */
enum zoo_pinned
{
	ZOO_NO_PIN = 0,
	ZOO_OWN_PIN,  /* the peer's */
	ZOO_OTHER_PIN /* another one: the first digit of its pin differs */
};

struct zoo_row
{
	struct zoo_spec spec;
	const char *verify_name; /* NULL = off */
	const char *name;		 /* whom the peer has to be */
	bool wildcards;
	int depth; /* verify_depth, 0 = the default; -1 = 0 */
	bool crl;
	const char *eku;
	enum zoo_pinned pin;
	int alert;
	const char *sentence; /* parts of the line, divided by '&' */
	const char *reason;
};

extern const struct zoo_row zoo_rows[];
extern const size_t zoo_n_rows;

/* Text of peer_pin for ROW, whose animal was made last; NULL = not set. */
const char *zoo_row_pin(const struct zoo_row *row, char hex[65]);

#endif
