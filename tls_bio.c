/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The memory BIO; see tls_bio.h. */

#include "tls_bio.h"

#include <limits.h>
#include <string.h>

#include "tls_ossl.h"

static BIO_METHOD *bio_method; /* made before the first fork */

bool tls_bio_is_valid(const struct tls_bio *state)
{
	return state->magic == TLS_BIO_MAGIC && state->rd_used <= state->rd_size
		   && state->wr_used <= state->wr_size
		   && (state->rd != NULL || state->rd_size == 0)
		   && (state->wr != NULL || state->wr_size == 0);
}

/* The state behind a BIO, or NULL when it is not one of ours. */
static struct tls_bio *state_of(BIO *bio)
{
	struct tls_bio *state = BIO_get_data(bio);

	if(state == NULL || state->magic != TLS_BIO_MAGIC)
		return NULL;
	return state;
}

static int write_cb(BIO *bio, const char *data, size_t n, size_t *n_out)
{
	struct tls_bio *state = state_of(bio);
	size_t room;

	*n_out = 0;
	BIO_clear_retry_flags(bio);
	if(state == NULL || data == NULL)
		return 0;
	room = state->wr != NULL ? state->wr_size - state->wr_used : 0;
	if(n > 0 && room == 0) {
		state->said = TLS_BIO_SAID_FULL;
		BIO_set_retry_write(bio);
		return 0;
	}
	if(n > room)
		n = room;
	memcpy(state->wr + state->wr_used, data, n);
	state->wr_used += n;
	state->said = TLS_BIO_SAID_NONE;
	*n_out = n;
	return 1;
}

static int read_cb(BIO *bio, char *data, size_t n, size_t *n_out)
{
	struct tls_bio *state = state_of(bio);
	size_t left;

	*n_out = 0;
	BIO_clear_retry_flags(bio);
	if(state == NULL || data == NULL)
		return 0;
	left = tls_bio_unread(state);
	if(left == 0) {
		state->said = TLS_BIO_SAID_EMPTY;
		BIO_set_retry_read(bio);
		return 0;
	}
	if(n > left)
		n = left;
	memcpy(data, state->rd + state->rd_used, n);
	state->rd_used += n;
	state->said = TLS_BIO_SAID_NONE;
	*n_out = n;
	return 1;
}

static long ctrl_cb(BIO *bio, int cmd, long num, void *ptr)
{
	struct tls_bio *state = state_of(bio);

	(void)num;
	(void)ptr;
	if(state == NULL)
		return 0;
	switch(cmd) {
		case BIO_CTRL_FLUSH:
			/* OpenSSL flushes after each flight; a window needs none, and
			 * "0" would look like a failed write. */
			return 1;
		case BIO_CTRL_EOF:
			/* Asked by OpenSSL 3 when a read gave nothing: an empty window
			 * is never the end, the host knows when the stream ends. */
			return 0;
		case BIO_CTRL_PENDING: {
			size_t left = tls_bio_unread(state);
			return left > LONG_MAX ? LONG_MAX : (long)left;
		}
		case BIO_CTRL_DUP:
			return 1;
		default:
			return 0;
	}
}

static int create_cb(BIO *bio)
{
	BIO_set_init(bio, 1);
	BIO_set_data(bio, NULL);
	return 1;
}

static int destroy_cb(BIO *bio)
{
	/* The state belongs to the connection. */
	BIO_set_data(bio, NULL);
	BIO_set_init(bio, 0);
	return 1;
}

enum tls_rc tls_bio_init(void)
{
	int index;

	if(bio_method != NULL)
		return TLS_RC_OK;
	index = BIO_get_new_index();
	if(index < 0)
		return TLS_RC_NOMEM;
	bio_method = BIO_meth_new(index | BIO_TYPE_SOURCE_SINK, "tls window");
	if(bio_method == NULL)
		return TLS_RC_NOMEM;
	BIO_meth_set_write_ex(bio_method, write_cb);
	BIO_meth_set_read_ex(bio_method, read_cb);
	BIO_meth_set_ctrl(bio_method, ctrl_cb);
	BIO_meth_set_create(bio_method, create_cb);
	BIO_meth_set_destroy(bio_method, destroy_cb);
	return TLS_RC_OK;
}

enum tls_rc tls_bio_new(struct tls_bio *state, struct bio_st **out)
{
	BIO *bio;

	*out = NULL;
	memset(state, 0, sizeof(*state));
	state->magic = TLS_BIO_MAGIC;
	bio = BIO_new(bio_method);
	if(bio == NULL)
		return TLS_RC_NOMEM;
	BIO_set_data(bio, state);
	*out = bio;
	return TLS_RC_OK;
}

void tls_bio_lend(struct tls_bio *state, const unsigned char *rd, size_t n_rd,
		unsigned char *wr, size_t n_wr)
{
	state->rd = rd;
	state->rd_size = n_rd;
	state->rd_used = 0;
	state->wr = wr;
	state->wr_size = n_wr;
	state->wr_used = 0;
	state->said = TLS_BIO_SAID_NONE;
}

void tls_bio_unlend(struct tls_bio *state)
{
	state->rd = NULL;
	state->rd_size = 0;
	state->rd_used = 0;
	state->wr = NULL;
	state->wr_size = 0;
	state->wr_used = 0;
}

size_t tls_bio_unread(const struct tls_bio *state)
{
	return state->rd != NULL ? state->rd_size - state->rd_used : 0;
}
