/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Allocations that fail when a test says so, in the processes of a real
 * server: of the module, at its seam, and of OpenSSL, at the functions that
 * the module gives it. Linked with the module's own objects, whose calls the
 * linker leads here (--wrap). Any process, no lock. */
#include "failing_memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TOO_MUCH (SIZE_MAX / 2)

typedef void *(*malloc_fn)(size_t, const char *, int);
typedef void *(*realloc_fn)(void *, size_t, const char *, int);
typedef void (*free_fn)(void *, const char *, int);

void *__real_tls_port_alloc(size_t n);
void *__wrap_tls_port_alloc(size_t n);
void *__real_tls_port_realloc(void *p, size_t n);
void *__wrap_tls_port_realloc(void *p, size_t n);
void *__real_tls_port_private_alloc(size_t n);
void *__wrap_tls_port_private_alloc(size_t n);
int __real_CRYPTO_set_mem_functions(malloc_fn m, realloc_fn r, free_fn f);
int __wrap_CRYPTO_set_mem_functions(malloc_fn m, realloc_fn r, free_fn f);

static struct failing *failing; /* NULL = nobody wants failures */
static malloc_fn real_malloc;
static realloc_fn real_realloc;

static __attribute__((constructor)) void map_file(void)
{
	const char *path = getenv(FAILING_FILE);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if(fd < 0)
		return;
	p = mmap(NULL, sizeof(*failing), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	failing = p != MAP_FAILED ? p : NULL;
}

/* Is it this one's turn? Several processes may count at once. */
static bool fails(void)
{
	if(failing == NULL)
		return false;
	atomic_fetch_add(&failing->asked, 1);
	if(atomic_load(&failing->left) <= 0
			|| atomic_fetch_sub(&failing->left, 1) != 1)
		return false;
	atomic_store(&failing->left, atomic_load(&failing->every));
	atomic_fetch_add(&failing->failed, 1);
	return true;
}

void *__wrap_tls_port_alloc(size_t n)
{
	return fails() ? NULL : __real_tls_port_alloc(n);
}

void *__wrap_tls_port_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_tls_port_realloc(p, n);
}

void *__wrap_tls_port_private_alloc(size_t n)
{
	return fails() ? NULL : __real_tls_port_private_alloc(n);
}

/* What fails asks for more than there is, so that the module refuses it. */
static void *malloc_cb(size_t n, const char *file, int line)
{
	return real_malloc(fails() ? TOO_MUCH : n, file, line);
}

/* With no bytes it frees, and that never fails. */
static void *realloc_cb(void *p, size_t n, const char *file, int line)
{
	return real_realloc(p, n > 0 && fails() ? TOO_MUCH : n, file, line);
}

int __wrap_CRYPTO_set_mem_functions(malloc_fn m, realloc_fn r, free_fn f)
{
	real_malloc = m;
	real_realloc = r;
	return __real_CRYPTO_set_mem_functions(malloc_cb, realloc_cb, f);
}
