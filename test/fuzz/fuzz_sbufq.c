/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Fuzz target of sbufq: the input is a list of operations, done on a queue
 * and on a flat array side by side; any difference, any broken invariant and
 * any leak ends the process. Holds no main: libFuzzer or the replay program
 * calls it, in one process, without locks. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../sbufq.h"
#include "../lib/port_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MODEL_MAX 16384u

/* What has not been read of the input yet. */
struct input
{
	const uint8_t *p;
	size_t n;
};

struct model
{
	unsigned char data[MODEL_MAX];
	size_t n;
};

static struct model model;

static void check(bool good)
{
	if(!good)
		abort();
}

/* The next byte of the input, 0 behind its end. */
static unsigned int next(struct input *in)
{
	if(in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

static size_t next_size(struct input *in)
{
	size_t n = next(in);

	return n < 0xf0 ? n : (n - 0xef) * 0x100 + next(in);
}

static void model_drop(size_t n)
{
	memmove(model.data, model.data + n, model.n - n);
	model.n -= n;
}

/* The bytes added are a count, so a mix-up shows. */
static void do_add(struct sbufq *q, struct input *in, bool at_head, bool fail)
{
	static unsigned char count;
	unsigned char data[0x1200];
	size_t n = next_size(in), blk_size = next_size(in), i;
	enum tls_rc rc;

	if(n > MODEL_MAX - model.n)
		return;
	for(i = 0; i < n; i++)
		data[i] = count++;
	port_stub_fail_at(fail ? 1 : 0);
	rc = at_head ? sbufq_prepend(q, data, n) : sbufq_add(q, data, n, blk_size);
	check(rc == (port_stub_failed() ? TLS_RC_NOMEM : TLS_RC_OK));
	port_stub_fail_at(0);
	if(rc != TLS_RC_OK)
		return;
	memmove(model.data + (at_head ? n : 0), model.data, model.n);
	memcpy(model.data + (at_head ? 0 : model.n), data, n);
	model.n += n;
}

/* The input decides how much is taken and what is answered; what is taken
 * is compared and leaves the model at once. */
static enum tls_rc take_cb(
		void *arg, const unsigned char *buf, size_t n, size_t *n_taken)
{
	struct input *in = arg;
	size_t n_want = next_size(in);

	check(n > 0 && n <= model.n && !memcmp(buf, model.data, n));
	*n_taken = n_want < n ? n_want : n;
	model_drop(*n_taken);
	return next(in) & 7 ? TLS_RC_OK : TLS_RC_IO;
}

static void do_pass(struct sbufq *q, struct input *in)
{
	size_t n_before = model.n, n_out;
	enum tls_rc rc = sbufq_pass(q, take_cb, in, &n_out);

	check(n_out == n_before - model.n);
	check(rc == TLS_RC_OK || rc == TLS_RC_IO || rc == TLS_RC_AGAIN);
	check(rc != TLS_RC_OK || model.n == 0);
}

static void compare(const struct sbufq *q)
{
	const unsigned char *p;
	size_t n = sbufq_peek(q, &p);

	check(sbufq_is_valid(q));
	check(sbufq_size(q) == model.n && sbufq_is_empty(q) == (model.n == 0));
	check((n == 0) == (model.n == 0) && n <= model.n);
	check(n == 0 || !memcmp(p, model.data, n));
}

static void do_one(struct sbufq *q, struct input *in)
{
	unsigned int op = next(in);
	size_t n;

	switch(op & 7) {
		case 0:
		case 1:
			do_add(q, in, false, (op & 0xf8) == 0xf8);
			break;
		case 2:
			do_add(q, in, true, (op & 0xf8) == 0xf8);
			break;
		case 3:
		case 4:
			n = next_size(in);
			check(sbufq_drop(q, n) == (n < model.n ? n : model.n));
			model_drop(n < model.n ? n : model.n);
			break;
		case 5:
			sbufq_clear(q);
			model.n = 0;
			break;
		default: /* 6, 7 */
			do_pass(q, in);
			break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	const unsigned char *p;
	struct sbufq q;
	size_t n;

	port_stub_reset();
	model.n = 0;
	sbufq_init(&q);
	while(in.n > 0) {
		do_one(&q, &in);
		compare(&q);
	}
	/* all that is left must come out in order */
	while((n = sbufq_peek(&q, &p)) > 0) {
		compare(&q);
		sbufq_drop(&q, n);
		model_drop(n);
	}
	check(model.n == 0);
	check(port_stub_live_blocks() == 0);
	return 0;
}
