/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The seam implemented on the host; see tls_port.h. Loaded by every process;
 * takes the host's shared-memory lock inside the allocation functions only. */

#include "tls_port.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tls_host.h"

/* Longest line of ours in the host's log. */
#define LOG_LINE_MAX 1024

void *tls_port_alloc(size_t n)
{
	return shm_malloc(n);
}

void *tls_port_realloc(void *p, size_t n)
{
	return shm_realloc(p, n);
}

void tls_port_free(void *p)
{
	if(p != NULL)
		shm_free(p);
}

/* Not the host's private memory: its pool has a fixed size (-M), and modules
 * that fill it would take our ciphers away. */
void *tls_port_private_alloc(size_t n)
{
	return malloc(n);
}

void tls_port_private_free(void *p)
{
	free(p);
}

void tls_port_log(enum tls_log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	switch(level) {
		case TLS_LOG_CRIT:
			LM_CRIT("%s\n", line);
			break;
		case TLS_LOG_ERR:
			LM_ERR("%s\n", line);
			break;
		case TLS_LOG_WARN:
			LM_WARN("%s\n", line);
			break;
		case TLS_LOG_NOTICE:
			LM_NOTICE("%s\n", line);
			break;
		case TLS_LOG_INFO:
			LM_INFO("%s\n", line);
			break;
		case TLS_LOG_DBG:
			LM_DBG("%s\n", line);
			break;
	}
}

uint64_t tls_port_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

unsigned int tls_port_process(void)
{
	return process_no > 0 ? (unsigned int)process_no : 0;
}

unsigned int tls_port_processes(void)
{
	int n = get_max_procs();

	return n > 0 ? (unsigned int)n : 1;
}

/* The host's lock is one futex word; shared memory makes it cross-process. */
struct tls_port_lock
{
	gen_lock_t lock;
};

struct tls_port_lock *tls_port_lock_new(void)
{
	struct tls_port_lock *lock = shm_malloc(sizeof(*lock));

	if(lock == NULL)
		return NULL;
	if(lock_init(&lock->lock) == NULL) {
		shm_free(lock);
		return NULL;
	}
	return lock;
}

void tls_port_lock_free(struct tls_port_lock **lock)
{
	if(*lock != NULL) {
		lock_destroy(&(*lock)->lock);
		shm_free(*lock);
	}
	*lock = NULL;
}

void tls_port_lock_get(struct tls_port_lock *lock)
{
	lock_get(&lock->lock);
}

void tls_port_lock_release(struct tls_port_lock *lock)
{
	lock_release(&lock->lock);
}
