/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Runs the unit tests of every room that is linked in and sums up in one
 * line. Holds no test of its own; rooms are weak symbols, so the program can
 * be linked with a part of them, and says which ones were absent.
 * Usage: unit [room ...]. With TLS_TEST_ALL=1 an absent room is a failure. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#define ROOMS(X) \
	X(port_stub) \
	X(err)       \
	X(metrics)   \
	X(report)    \
	X(limits)    \
	X(der)       \
	X(keylog)    \
	X(locking)   \
	X(sbufq)     \
	X(ct_wrq)    \
	X(addr)      \
	X(name)      \
	X(cfgfile)   \
	X(params)    \
	X(config)    \
	X(domain)    \
	X(bio)       \
	X(mem)       \
	X(ossl)      \
	X(ctx)       \
	X(files)     \
	X(keys)      \
	X(foreign)   \
	X(engine)    \
	X(leaf)      \
	X(load)      \
	X(conn)      \
	X(info)      \
	X(x509)      \
	X(verify)    \
	X(ident)     \
	X(ocsp)      \
	X(zoo)       \
	X(resume)    \
	X(hold)      \
	X(rand)      \
	X(kdf)       \
	X(record)    \
	X(post)

#define ROOM_DECLARE(room_) void test_##room_##_add(void) __attribute__((weak));
ROOMS(ROOM_DECLARE)

struct room
{
	const char *name;
	void (*add)(void);
};

#define ROOM_ROW(room_) {#room_, test_##room_##_add},
static const struct room rooms[] = {ROOMS(ROOM_ROW)};
#define N_ROOMS (sizeof(rooms) / sizeof(rooms[0]))

/* True when the command line names the room, or names none. */
static bool is_wanted(const char *name, int argc, char **argv)
{
	int i;

	for(i = 1; i < argc; i++) {
		if(!strcmp(argv[i], name))
			return true;
	}
	return argc < 2;
}

/* Registers the wanted rooms; returns how many of them are absent. A room
 * that registers no test counts as absent too: nothing was proven. */
static unsigned int rooms_add(int argc, char **argv)
{
	unsigned int n_absent = 0, n_suites;
	size_t i;

	for(i = 0; i < N_ROOMS; i++) {
		if(!is_wanted(rooms[i].name, argc, argv))
			continue;
		n_suites = CU_get_registry()->uiNumberOfSuites;
		if(rooms[i].add != NULL)
			rooms[i].add();
		if(CU_get_registry()->uiNumberOfSuites != n_suites)
			continue;
		printf("absent room: %s\n", rooms[i].name);
		n_absent++;
	}
	return n_absent;
}

/* Each name on the command line must be a room: a typo must not pass. */
static bool names_are_known(int argc, char **argv)
{
	size_t r;
	int i;

	for(i = 1; i < argc; i++) {
		for(r = 0; r < N_ROOMS && strcmp(argv[i], rooms[r].name); r++)
			;
		if(r == N_ROOMS) {
			fprintf(stderr, "no such room: %s\n", argv[i]);
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	const char *all = getenv("TLS_TEST_ALL");
	unsigned int n_run, n_passed, n_failed, n_absent;

	/* children of fork tests must not print the parent's lines again */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if(!names_are_known(argc, argv) || CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	n_absent = rooms_add(argc, argv);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();

	n_run = CU_get_number_of_tests_run();
	n_failed = CU_get_number_of_tests_failed();
	n_passed = n_run - n_failed;
	/* a suite whose set-up failed ran none of its tests */
	n_failed += CU_get_number_of_suites_failed();
	if(n_run == 0)
		n_failed++;
	if(all != NULL && !strcmp(all, "1"))
		n_failed += n_absent;
	printf("\n%u passed, %u failed\n", n_passed, n_failed);
	CU_cleanup_registry();
	return n_failed ? 1 : 0;
}
