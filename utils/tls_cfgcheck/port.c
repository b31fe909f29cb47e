/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The seam (tls_port.h) of a program that is one process: libc's memory, the
 * standard error as log. Its locks are never contended. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../tls_port.h"

void *tls_port_alloc(size_t n)
{
	return malloc(n);
}

void *tls_port_realloc(void *p, size_t n)
{
	return realloc(p, n);
}

void tls_port_free(void *p)
{
	free(p);
}

void tls_port_log(enum tls_log_level level, const char *fmt, ...)
{
	va_list ap;

	if(level > TLS_LOG_WARN)
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

uint64_t tls_port_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

unsigned int tls_port_process(void)
{
	return 0;
}

unsigned int tls_port_processes(void)
{
	return 1;
}

struct tls_port_lock
{
	int unused;
};

struct tls_port_lock *tls_port_lock_new(void)
{
	return calloc(1, sizeof(struct tls_port_lock));
}

void tls_port_lock_free(struct tls_port_lock **lock)
{
	free(*lock);
	*lock = NULL;
}

void tls_port_lock_get(struct tls_port_lock *lock)
{
	(void)lock;
}

void tls_port_lock_release(struct tls_port_lock *lock)
{
	(void)lock;
}

void *tls_port_private_alloc(size_t n)
{
	return malloc(n);
}

void tls_port_private_free(void *p)
{
	free(p);
}
