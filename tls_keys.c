/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Keys and their objects; see tls_keys.h. */

#include "tls_keys.h"

#include <stdatomic.h>

#include "tls_mem.h"
#include "tls_ossl.h"
#include "tls_port.h"

#define KEY_MAGIC 0x746b6579U /* "tkey" */

/* What one process keeps, in the order in which it was made. */
struct ring
{
	struct tls_key *at[TLS_KEYS_PER_PROCESS]; /* borrowed; NULL = free */
	unsigned int next;						  /* the oldest */
};

struct tls_keys
{
	atomic_uint refs;
	unsigned int processes;
	/* Of all rings, and of the objects of keys that are in one. Whoever frees
	 * a key takes it out of the rings of others. */
	struct tls_port_lock *lock; /* owned */
	struct ring *rings;			/* owned; ring i belongs to process i */
};

struct tls_key
{
	unsigned int magic;
	int type;
	struct tls_keys *set; /* counted */
	unsigned char *der;	  /* owned, secret; NULL: it is foreign */
	size_t n;
	char *name; /* owned; NULL: it is in der */
	/* Owned; made at first use. Never used for anything but copying it, which
	 * changes nothing in it: that is many times as fast as reading der. */
	_Atomic(EVP_PKEY *) master;
	EVP_PKEY *objects[]; /* owned; object i is used by process i only */
};

/* ---- the set ---- */

enum tls_rc tls_keys_new(struct tls_keys **out)
{
	struct tls_keys *keys = OPENSSL_zalloc(sizeof(*keys));

	*out = NULL;
	if(keys == NULL)
		return TLS_RC_NOMEM;
	atomic_init(&keys->refs, 1);
	keys->processes = tls_port_processes();
	keys->lock = tls_port_lock_new();
	keys->rings = OPENSSL_zalloc(keys->processes * sizeof(*keys->rings));
	if(keys->lock == NULL || keys->rings == NULL)
		tls_keys_unref(&keys);
	*out = keys;
	return keys != NULL ? TLS_RC_OK : TLS_RC_NOMEM;
}

struct tls_keys *tls_keys_ref(struct tls_keys *keys)
{
	atomic_fetch_add(&keys->refs, 1);
	return keys;
}

void tls_keys_unref(struct tls_keys **keys)
{
	struct tls_keys *k = *keys;

	*keys = NULL;
	if(k == NULL || atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	tls_port_lock_free(&k->lock);
	OPENSSL_free(k->rings);
	OPENSSL_free(k);
}

unsigned int tls_keys_processes(const struct tls_keys *keys)
{
	return keys->processes;
}

unsigned int tls_keys_count(const struct tls_keys *keys, unsigned int index)
{
	unsigned int n = 0;
	unsigned int i;

	for(i = 0; index < keys->processes && i < TLS_KEYS_PER_PROCESS; i++)
		n += keys->rings[index].at[i] != NULL;
	return n;
}

/* Puts KEY, of which process SELF has just made an object, into its ring in
 * the place of the oldest, whose object is the caller's now, or NULL. */
static EVP_PKEY *enter(struct tls_key *key, EVP_PKEY *object, unsigned int self)
{
	struct ring *ring = &key->set->rings[self];
	struct tls_key *oldest;
	EVP_PKEY *old = NULL;

	tls_port_lock_get(key->set->lock);
	oldest = ring->at[ring->next];
	if(oldest != NULL) {
		old = oldest->objects[self];
		oldest->objects[self] = NULL;
	}
	ring->at[ring->next] = key;
	ring->next = (ring->next + 1) % TLS_KEYS_PER_PROCESS;
	key->objects[self] = object;
	tls_port_lock_release(key->set->lock);
	return old;
}

/* Takes KEY out of the rings of all processes that have an object of it. */
static void leave(struct tls_key *key)
{
	struct tls_keys *set = key->set;
	unsigned int i;
	unsigned int p;

	tls_port_lock_get(set->lock);
	for(p = 0; p < set->processes; p++) {
		for(i = 0; key->objects[p] != NULL && i < TLS_KEYS_PER_PROCESS; i++) {
			if(set->rings[p].at[i] == key)
				set->rings[p].at[i] = NULL;
		}
	}
	tls_port_lock_release(set->lock);
}

/* ---- one key ---- */

enum tls_rc tls_key_new(struct tls_keys *keys, int type,
		const unsigned char *der, size_t n, const char *name,
		struct tls_key **out)
{
	struct tls_key *key = OPENSSL_zalloc(
			sizeof(*key) + keys->processes * sizeof(key->objects[0]));

	*out = NULL;
	if(key == NULL)
		return TLS_RC_NOMEM;
	key->magic = KEY_MAGIC;
	key->type = type;
	key->set = tls_keys_ref(keys);
	if(name != NULL)
		key->name = OPENSSL_strdup(name);
	else
		key->der = OPENSSL_memdup(der, n);
	key->n = n;
	if(key->name == NULL && key->der == NULL)
		tls_key_free(&key);
	*out = key;
	return key != NULL ? TLS_RC_OK : TLS_RC_NOMEM;
}

void tls_key_free(struct tls_key **key)
{
	struct tls_key *k = *key;
	unsigned int i;

	*key = NULL;
	if(k == NULL || k->magic != KEY_MAGIC)
		return;
	k->magic = 0;
	leave(k);
	for(i = 0; i < k->set->processes; i++)
		EVP_PKEY_free(k->objects[i]);
	EVP_PKEY_free(atomic_load(&k->master));
	if(k->der != NULL)
		OPENSSL_clear_free(k->der, k->n);
	OPENSSL_free(k->name);
	tls_keys_unref(&k->set);
	OPENSSL_free(k);
}

struct tls_keys *tls_key_set(const struct tls_key *key)
{
	return key->set;
}

const char *tls_key_foreign(const struct tls_key *key)
{
	return key->name;
}

/* An object made of the bytes. */
static EVP_PKEY *read_der(const struct tls_key *key)
{
	const unsigned char *der = key->der;

	/* several times as fast as trying every type */
	if(key->type == EVP_PKEY_RSA || key->type == EVP_PKEY_EC)
		return d2i_PrivateKey(key->type, NULL, &der, (long)key->n);
	return d2i_AutoPrivateKey(NULL, &der, (long)key->n);
}

/* A new object for the calling process; NULL on failure. */
static EVP_PKEY *make_object(struct tls_key *key)
{
	EVP_PKEY *master = atomic_load(&key->master);
	EVP_PKEY *mine;

	if(master == NULL) {
		tls_mem_packed_begin(); /* it lives as long as the key */
		mine = read_der(key);
		tls_mem_packed_end();
		if(mine != NULL
				&& !atomic_compare_exchange_strong(&key->master, &master, mine))
			EVP_PKEY_free(mine); /* another process was faster */
		else
			master = mine;
	}
	if(master == NULL)
		return NULL;
	mine = EVP_PKEY_dup(master);
	if(mine != NULL)
		return mine;
	ERR_clear_error(); /* not every kind of key can be copied */
	return read_der(key);
}

enum tls_rc tls_key_use(
		struct tls_key *key, EVP_PKEY **out, struct tls_err *err)
{
	unsigned int self = tls_port_process();

	*out = NULL;
	if(self >= key->set->processes)
		return tls_err_set(err, TLS_RC_BUG,
				"process %u was not announced by the host", self);
	if(key->der == NULL)
		return tls_err_set(err, TLS_RC_BUG, "a foreign key has no bytes");
	if(key->objects[self] == NULL) {
		tls_ossl_begin();
		*out = make_object(key);
		if(*out == NULL)
			return tls_ossl_fail(err, TLS_RC_NOMEM,
					"could not make this process's private key object");
		EVP_PKEY_free(enter(key, *out, self));
	}
	*out = key->objects[self];
	return TLS_RC_OK;
}
