/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The parts of the engine's tests, which are too many for one file. Holds no
 * test. Called by test_conn_add only. */
#ifndef TEST_CONN_H
#define TEST_CONN_H

#include <stdbool.h>

#include <CUnit/CUnit.h>

/* Suites of test_conn_peer.c (plain OpenSSL at the other end),
 * test_conn_fork.c (several processes) and test_conn_oom.c (no memory). */
void test_conn_peer_add(void);
void test_conn_fork_add(void);
void test_conn_oom_add(void);

/* Adds a suite twice, "NAME" on OpenSSL's record layer and "NAME own" on the
 * module's; ADD adds the tests to each. */
void test_conn_add_twice(const char *name, void (*add)(CU_pSuite suite));

/* Set-up and tear-down of every suite of the engine. */
int test_conn_begin(void);
int test_conn_begin_own(void);
int test_conn_end(void);

/* True when TLS_TEST_FULL is set: no strides in ladders. */
bool test_conn_is_full(void);

#endif
