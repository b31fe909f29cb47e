/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A preload library for the host tests: every read-write lock is private to
 * its process whatever the caller asks for, as on a server whose executable
 * does not care for the locks of libraries. That executable's own function
 * comes first, but hands on to the next one, this. Any process, no lock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

typedef int rwlock_init_fn(pthread_rwlock_t *, const pthread_rwlockattr_t *);

/* As the function of libc, always process-private. */
int pthread_rwlock_init(
		pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr)
{
	rwlock_init_fn *next =
			(rwlock_init_fn *)dlsym(RTLD_NEXT, "pthread_rwlock_init");

	(void)attr;
	return next ? next(lock, NULL) : EINVAL;
}
