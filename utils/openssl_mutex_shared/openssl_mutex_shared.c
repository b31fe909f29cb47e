/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Preload library: every mutex and read-write lock made by a call of
 * pthread_mutex_init() or pthread_rwlock_init() works between processes.
 * Does not touch static initialisers, condition variables or barriers.
 * For hosts that do not do this in their own executable; runs in any process
 * and thread of the program it is loaded into, takes no lock itself. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

typedef int mutex_init_fn(pthread_mutex_t *, const pthread_mutexattr_t *);
typedef int rwlock_init_fn(pthread_rwlock_t *, const pthread_rwlockattr_t *);

/* Copies what the caller asked for. Attribute objects may not be copied as
 * memory (POSIX), so one by one. Returns 0 or an errno value. */
static int copy_mutexattr(
		pthread_mutexattr_t *to, const pthread_mutexattr_t *from)
{
	int value, rc;

	if((rc = pthread_mutexattr_gettype(from, &value))
			|| (rc = pthread_mutexattr_settype(to, value)))
		return rc;
	if((rc = pthread_mutexattr_getprotocol(from, &value))
			|| (rc = pthread_mutexattr_setprotocol(to, value)))
		return rc;
	if(value == PTHREAD_PRIO_PROTECT
			&& ((rc = pthread_mutexattr_getprioceiling(from, &value))
					|| (rc = pthread_mutexattr_setprioceiling(to, value))))
		return rc;
	if((rc = pthread_mutexattr_getrobust(from, &value)))
		return rc;
	return pthread_mutexattr_setrobust(to, value);
}

/* As the function of libc, but always PTHREAD_PROCESS_SHARED. Returns 0 or an
 * errno value; the mutex is not usable then. A process-private lock is never
 * made instead: it would fail later, and silently. */
__attribute__((visibility("default"))) int pthread_mutex_init(
		pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	mutex_init_fn *next;
	pthread_mutexattr_t shared;
	int rc;

	next = (mutex_init_fn *)dlsym(RTLD_NEXT, "pthread_mutex_init");
	if(!next)
		return EINVAL;
	if((rc = pthread_mutexattr_init(&shared)))
		return rc;
	if(attr)
		rc = copy_mutexattr(&shared, attr);
	if(!rc)
		rc = pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	if(!rc)
		rc = next(mutex, &shared);
	pthread_mutexattr_destroy(&shared);
	return rc;
}

/* As the function of libc, but always PTHREAD_PROCESS_SHARED. Returns 0 or an
 * errno value; the lock is not usable then. */
__attribute__((visibility("default"))) int pthread_rwlock_init(
		pthread_rwlock_t *rwlock, const pthread_rwlockattr_t *attr)
{
	rwlock_init_fn *next;
	pthread_rwlockattr_t shared;
	int kind, rc;

	next = (rwlock_init_fn *)dlsym(RTLD_NEXT, "pthread_rwlock_init");
	if(!next)
		return EINVAL;
	if((rc = pthread_rwlockattr_init(&shared)))
		return rc;
	if(attr && !(rc = pthread_rwlockattr_getkind_np(attr, &kind)))
		rc = pthread_rwlockattr_setkind_np(&shared, kind);
	if(!rc)
		rc = pthread_rwlockattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	if(!rc)
		rc = next(rwlock, &shared);
	pthread_rwlockattr_destroy(&shared);
	return rc;
}
