/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What has to come of every cell; see cells.h. */
#include "cells.h"

const struct zoo_spec cell_animals[CELL_SHOWN] = {{NULL}, {"r-good"},
		{"r-stranger", .issuer = ZOO_STRANGER},
		{"r-expired", .from = -9 * ZOO_DAY, .to = -ZOO_DAY},
		{"r-revoked", .revoked = true}};

void cell_make_animals(void)
{
	static bool made;
	size_t i;

	if(made)
		return;
	made = true;
	zoo_init();
	for(i = 1; i < CELL_SHOWN; i++)
		X509_free(zoo_make(&cell_animals[i]));
	zoo_crl();
}

struct cell cell_at(size_t i)
{
	struct cell cell = {(int)(i / (CELL_POLICIES * CELL_SHOWN)),
			(enum cell_policy)(i / CELL_SHOWN % CELL_POLICIES),
			(enum cell_shown)(i % CELL_SHOWN)};

	return cell;
}

struct cell_want cell_full(const struct cell *cell)
{
	struct cell_want want = {.up = true};
	bool good = cell->shown == CELL_GOOD;
	bool nothing = cell->shown == CELL_NOTHING;

	if(cell->policy == CELL_NONE)
		return want;
	if(cell->policy == CELL_REQUIRE)
		want.up = good;
	if(cell->policy == CELL_OPTIONAL)
		want.up = good || nothing;
	want.presented = want.up && !nothing;
	want.verified = want.up && good;
	return want;
}

bool cell_may_resume(
		const struct cell *from, const struct cell *to, enum cell_way way)
{
	if(from->profile != to->profile || from->policy != to->policy)
		return false;
	/* a ticket of somebody whose certificate is over is not taken */
	return way == CELL_12_ID || from->policy == CELL_NONE
		   || from->shown != CELL_EXPIRED;
}
