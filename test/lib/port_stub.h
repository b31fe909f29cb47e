/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The tests' own end of the seam (tls_port.h): shared memory, locks, log,
 * clock and process number on libc, with accounting and failures on demand.
 * Knows no room above the seam and needs no server; a broken guard word, a
 * double free or a misused lock ends the process with a message and SIGABRT.
 * Memory, accounting, clock and log are shared by all processes forked after
 * the program started; the process number is private to each. */
#ifndef PORT_STUB_H
#define PORT_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../tls_port.h"

/* Starts a new account: no live blocks, no pending failure, clock at
 * PORT_STUB_MS_START, process 0 of 1, no log. Blocks that were live before
 * stay usable and may be freed later, they are only no longer counted: what
 * lives as long as the program (OpenSSL's own tables) survives. Call it while
 * no child process lives. */
void port_stub_reset(void);

#define PORT_STUB_MS_START 1000u

/* Blocks and bytes (as asked for, without guards) allocated since the last
 * reset and not freed yet, by all processes. A lock is a block too. */
size_t port_stub_live_blocks(void);
size_t port_stub_live_bytes(void);

/* Private blocks and bytes that the calling process has. */
size_t port_stub_private_blocks(void);
size_t port_stub_private_bytes(void);

/* Words in shared memory that look like pointers into private blocks of the
 * calling process: there must be none. */
size_t port_stub_private_seen(void);

/* Allocation calls since the last reset, private ones too, failed ones included: the length
 * of a k-th failure ladder. */
unsigned long port_stub_allocs(void);

/* Lets the K-th following allocation (1 = the next; also realloc and locks)
 * return NULL, once; 0 = none. Counted over all processes. */
void port_stub_fail_at(unsigned long k);

/* The same for the K-th and all in all N (> 0) allocations in a row: for rooms
 * that try again. */
void port_stub_fail_run(unsigned long k, unsigned long n);

/* True when the failure ordered last has happened. False says that a ladder
 * has reached its end. */
bool port_stub_failed(void);

/* Sets the clock that tls_port_ms() answers. It never moves on its own. */
void port_stub_set_ms(uint64_t ms);

/* Says who the calling process is: INDEX < COUNT. Inherited over fork. */
void port_stub_set_process(unsigned int index, unsigned int count);

/* Last line logged by any process, "" when none. Valid until the next call
 * in this process. Set TLS_TEST_LOG in the environment to see all lines. */
const char *port_stub_last_log(void);

/* Lines logged on exactly LEVEL since the last reset, by all processes. */
unsigned port_stub_log_count(enum tls_log_level level);

#endif
