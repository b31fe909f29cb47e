/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Shows that locks made without attributes work between processes with the
 * preload library and do not without it: by what is in them, and by a second
 * process that waits for one. Runs itself once with and once without.
 * A program of its own; "make test" of this folder gives it the library. */
#define _GNU_SOURCE
#include <openssl/crypto.h>

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* glibc keeps PTHREAD_PROCESS_SHARED of a mutex as this bit of its kind. */
#define KIND_PSHARED 128

#define ASLEEP_MS 5000 /* longest wait for the child to block */
#define WOKEN_MS 5000  /* a woken child ends within this */
#define LOST_MS 300	   /* a child that got no wake-up is still there after it */

struct locks
{
	pthread_mutex_t mutex;
	pthread_mutex_t recursive;
	pthread_rwlock_t rwlock;
};

static int n_failed, n_checks;

static void check(bool ok, const char *what, bool with)
{
	n_checks++;
	n_failed += !ok;
	printf("%s  %s, %s the library\n", ok ? "pass" : "FAIL", what,
			with ? "with" : "without");
}

/* Waits until process PID sleeps in futex(). Returns false after ASLEEP_MS. */
static bool wait_asleep(pid_t pid)
{
	char path[64], text[64];
	int i;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	for(i = 0; i < ASLEEP_MS; i++) {
		FILE *f = fopen(path, "r");

		if(f) {
			if(!fgets(text, sizeof(text), f))
				text[0] = '\0';
			fclose(f);
			if(strtol(text, NULL, 10) == SYS_futex)
				return true;
		}
		poll(NULL, 0, 1);
	}
	return false;
}

/* Lets a child wait for a lock that we hold and releases it. Returns whether
 * the child was woken. KIND is 'm' (mutex) or 'w' (read-write lock). */
static bool child_wakes(struct locks *locks, char kind, bool expected)
{
	struct pollfd p = {.events = POLLIN};
	bool woken;
	pid_t pid;

	if(kind == 'm')
		pthread_mutex_lock(&locks->mutex);
	else
		pthread_rwlock_wrlock(&locks->rwlock);
	pid = fork();
	if(pid == 0) {
		if(kind == 'm')
			pthread_mutex_lock(&locks->mutex);
		else
			pthread_rwlock_wrlock(&locks->rwlock);
		_exit(0);
	}
	if(pid < 0 || !wait_asleep(pid)) {
		printf("the child did not go to sleep\n");
		exit(99);
	}
	if(kind == 'm')
		pthread_mutex_unlock(&locks->mutex);
	else
		pthread_rwlock_unlock(&locks->rwlock);
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	woken = poll(&p, 1, expected ? WOKEN_MS : LOST_MS) == 1;
	if(!woken)
		kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(p.fd);
	return woken;
}

/* One run with or without the library. Returns the number of failures. */
static int run(bool with)
{
	pthread_mutexattr_t attr;
	struct locks *locks;
	CRYPTO_RWLOCK *lock;
	int type = -1;

	locks = mmap(NULL, sizeof(*locks), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if(locks == MAP_FAILED)
		return 99;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	if(pthread_mutex_init(&locks->mutex, NULL)
			|| pthread_mutex_init(&locks->recursive, &attr)
			|| pthread_rwlock_init(&locks->rwlock, NULL))
		return 99;
	check(!!(locks->mutex.__data.__kind & KIND_PSHARED) == with,
			"what is in a mutex", with);
	check(!!locks->rwlock.__data.__shared == with,
			"what is in a read-write lock", with);

	/* what the caller asked for must survive */
	type = locks->recursive.__data.__kind;
	check((type & 3) == PTHREAD_MUTEX_RECURSIVE
					&& !!(type & KIND_PSHARED) == with
					&& !pthread_mutex_lock(&locks->recursive)
					&& !pthread_mutex_trylock(&locks->recursive),
			"a recursive mutex", with);

	lock = CRYPTO_THREAD_lock_new();
	check(lock && !!((pthread_rwlock_t *)lock)->__data.__shared == with,
			"a lock made by OpenSSL", with);
	CRYPTO_THREAD_lock_free(lock);

	check(child_wakes(locks, 'm', with) == with, "waking at a mutex", with);
	check(child_wakes(locks, 'w', with) == with, "waking at a read-write lock",
			with);
	fflush(stdout);
	munmap(locks, sizeof(*locks));
	return n_failed;
}

/* Runs this program again. Returns its number of failures. */
static int run_again(const char *self, const char *library, const char *mode)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if(pid == 0) {
		if(library)
			setenv("LD_PRELOAD", library, 1);
		else
			unsetenv("LD_PRELOAD");
		execl(self, self, "--run", mode, (char *)NULL);
		_exit(99);
	}
	if(pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 99;
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	const int checks = 6;
	int failed;

	if(argc == 3 && !strcmp(argv[1], "--run"))
		return run(!strcmp(argv[2], "with"));
	if(argc != 2) {
		fprintf(stderr, "usage: %s LIBRARY\n", argv[0]);
		return 2;
	}
	failed = run_again("/proc/self/exe", NULL, "without");
	failed += run_again("/proc/self/exe", argv[1], "with");
	if(failed > 2 * checks)
		failed = 2 * checks;
	printf("%d passed, %d failed\n", 2 * checks - failed, failed);
	return failed != 0;
}
