/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The table of resumption: every profile with every policy, met by every kind
 * of client, and what has to come of it, in full and from a session of another
 * cell. One table for the engine in memory and for a real server.
 * Knows no room of the module; constant data, any process, no lock. */
#ifndef TEST_CELLS_H
#define TEST_CELLS_H

#include <stdbool.h>
#include <stddef.h>

#include "zoo.h"

#define CELL_PROFILES 3 /* the default one, name a, name b */

/* What a server profile asks of its clients. */
enum cell_policy
{
	CELL_NONE = 0,
	CELL_OPTIONAL,
	CELL_REQUIRE,
	CELL_NO_CA,
	CELL_POLICIES
};

/* What a client shows. */
enum cell_shown
{
	CELL_NOTHING = 0,
	CELL_GOOD,
	CELL_STRANGER,
	CELL_EXPIRED,
	CELL_REVOKED,
	CELL_SHOWN
};

#define CELLS (CELL_PROFILES * CELL_POLICIES * CELL_SHOWN)

/* How a session comes back. */
enum cell_way
{
	CELL_12_TICKET = 0,
	CELL_12_ID,
	CELL_13,
	CELL_WAYS
};

struct cell
{
	int profile;
	enum cell_policy policy;
	enum cell_shown shown;
};

/* What comes of a handshake. */
struct cell_want
{
	bool up;
	bool verified;
	bool presented; /* a certificate is known */
};

/* The certificate of each kind of client; no name = none. */
extern const struct zoo_spec cell_animals[CELL_SHOWN];

/* Makes their files and the revocation list, once. */
void cell_make_animals(void);

/* The cell of number I, below CELLS. */
struct cell cell_at(size_t i);

/* What has to come of a full handshake in CELL. */
struct cell_want cell_full(const struct cell *cell);

/* May a session of FROM be resumed in TO? */
bool cell_may_resume(
		const struct cell *from, const struct cell *to, enum cell_way way);

#endif
