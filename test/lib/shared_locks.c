/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Interposes the lock initialisers of libc for the whole test program, as a
 * server whose flags show TLS_PTHREAD_MUTEX_SHARED does (architecture,
 * hazard 2). Called by OpenSSL and libc in any process, without locks. */
#include "shared_locks.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

bool shared_locks_on = true;

typedef int (*mutex_init_fn)(pthread_mutex_t *, const pthread_mutexattr_t *);
typedef int (*rwlock_init_fn)(pthread_rwlock_t *, const pthread_rwlockattr_t *);

/* The next definition of NAME behind this program's own. */
static void *next_symbol(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if(p == NULL)
		abort();
	return p;
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	static mutex_init_fn next;
	pthread_mutexattr_t shared;
	int ret;

	if(next == NULL)
		*(void **)&next = next_symbol("pthread_mutex_init");
	if(attr != NULL || !shared_locks_on)
		return next(mutex, attr);
	if(pthread_mutexattr_init(&shared) != 0)
		return -1;
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	ret = next(mutex, &shared);
	pthread_mutexattr_destroy(&shared);
	return ret;
}

int pthread_rwlock_init(
		pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr)
{
	static rwlock_init_fn next;
	pthread_rwlockattr_t shared;
	int ret;

	if(next == NULL)
		*(void **)&next = next_symbol("pthread_rwlock_init");
	if(attr != NULL || !shared_locks_on)
		return next(lock, attr);
	if(pthread_rwlockattr_init(&shared) != 0)
		return -1;
	pthread_rwlockattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	ret = next(lock, &shared);
	pthread_rwlockattr_destroy(&shared);
	return ret;
}
