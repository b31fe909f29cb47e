/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Owns the table of certificates that were seen last. Processes and locks:
 * see tls_der.h. */
#include "tls_der.h"

#include <stdatomic.h>
#include <string.h>

#include "tls_locking.h"
#include "tls_port.h"

/* The table holds a reference on each of its entries. */
#define RECENT 64U

struct tls_der
{
	atomic_uint users;
	size_t n;
	unsigned char bytes[];
};

struct recent
{
	struct tls_der *at[RECENT]; /* behind TLS_LOCK_CERTS */
};

static struct recent *recent; /* shared; constant since before the forks */

enum tls_rc tls_der_init(void)
{
	if(recent != NULL)
		return TLS_RC_BUG;
	recent = tls_port_alloc(sizeof(*recent));
	if(recent == NULL)
		return TLS_RC_NOMEM;
	memset(recent, 0, sizeof(*recent));
	return TLS_RC_OK;
}

void tls_der_destroy(void)
{
	unsigned int i;

	if(recent == NULL)
		return;
	for(i = 0; i < RECENT; i++)
		tls_der_drop(&recent->at[i]);
	tls_port_free(recent);
	recent = NULL;
}

static struct tls_der *der_new(const unsigned char *bytes, size_t n)
{
	struct tls_der *der = tls_port_alloc(sizeof(*der) + n);

	if(der == NULL)
		return NULL;
	atomic_init(&der->users, 1);
	der->n = n;
	memcpy(der->bytes, bytes, n);
	return der;
}

/* What lies at SLOT, with one user more; NULL when nothing does. */
static struct tls_der *look(unsigned int slot)
{
	struct tls_der *der;

	tls_lock_get(TLS_LOCK_CERTS);
	der = recent->at[slot];
	if(der != NULL)
		atomic_fetch_add(&der->users, 1);
	tls_lock_release(TLS_LOCK_CERTS);
	return der;
}

/* Puts DER at SLOT for who comes next. */
static void remember(unsigned int slot, struct tls_der *der)
{
	struct tls_der *old;

	atomic_fetch_add(&der->users, 1);
	tls_lock_get(TLS_LOCK_CERTS);
	old = recent->at[slot];
	recent->at[slot] = der;
	tls_lock_release(TLS_LOCK_CERTS);
	tls_der_drop(&old);
}

struct tls_der *tls_der_share(const unsigned char *bytes, size_t n)
{
	unsigned int slot = bytes[n - 1] % RECENT;
	struct tls_der *der;

	if(recent == NULL || n > TLS_DER_SHARED_MAX)
		return der_new(bytes, n);
	der = look(slot);
	/* compared without the lock: it never changes */
	if(der != NULL && der->n == n && memcmp(der->bytes, bytes, n) == 0)
		return der;
	tls_der_drop(&der);
	der = der_new(bytes, n);
	if(der != NULL)
		remember(slot, der);
	return der;
}

void tls_der_drop(struct tls_der **der)
{
	if(*der != NULL && atomic_fetch_sub(&(*der)->users, 1) == 1)
		tls_port_free(*der);
	*der = NULL;
}

const unsigned char *tls_der_bytes(const struct tls_der *der)
{
	return der->bytes;
}
