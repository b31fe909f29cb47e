/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* What a server does to the lock initialisers, for the unit tests: every
 * pthread mutex and rwlock of the program, also those of OpenSSL, is made
 * process-shared unless a test switches that off. Does nothing else; linking
 * the file is enough. The switch belongs to the test that turns it, in its
 * own process. */
#ifndef TEST_SHARED_LOCKS_H
#define TEST_SHARED_LOCKS_H

#include <stdbool.h>

/* True from the start of the program on. */
extern bool shared_locks_on;

#endif
