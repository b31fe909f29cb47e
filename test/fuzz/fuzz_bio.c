/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Fuzz target of the window BIO: the input is a list of lends, reads, writes
 * and questions, compared with two plain counters. Windows have their exact
 * size, so that every overrun is seen. Holds no main: libFuzzer or the replay
 * program calls it, in one process, without locks. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../tls_bio.h"
#include "../lib/engine_pair.h"
#include "../lib/port_stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input
{
	const uint8_t *p;
	size_t n;
};

/* What the BIO should think. */
struct model
{
	unsigned char *rd;
	size_t rd_size, rd_used;
	unsigned char *wr;
	size_t wr_size, wr_used;
};

static void check(bool good)
{
	if(!good)
		abort();
}

static unsigned int next(struct input *in)
{
	if(in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

static void windows_free(struct model *m)
{
	free(m->rd);
	free(m->wr);
	memset(m, 0, sizeof(*m));
}

static void do_lend(struct tls_bio *state, struct model *m, struct input *in)
{
	size_t i;

	windows_free(m);
	m->rd_size = next(in);
	m->wr_size = next(in);
	m->rd = m->rd_size > 0 ? malloc(m->rd_size) : NULL;
	m->wr = m->wr_size > 0 ? malloc(m->wr_size) : NULL;
	for(i = 0; i < m->rd_size; i++)
		m->rd[i] = (unsigned char)(i ^ 0x5a);
	tls_bio_lend(state, m->rd, m->rd_size, m->wr, m->wr_size);
}

static void do_read(BIO *bio, struct model *m, size_t want)
{
	size_t left = m->rd_size - m->rd_used, due = want < left ? want : left, n,
		   i;
	unsigned char *to = malloc(want);
	int ret = BIO_read_ex(bio, to, want, &n);

	check(ret == (due > 0) && n == due);
	check(ret == 1 || BIO_should_read(bio));
	for(i = 0; i < n; i++)
		check(to[i] == (unsigned char)((m->rd_used + i) ^ 0x5a));
	m->rd_used += n;
	free(to);
}

static void do_write(BIO *bio, struct model *m, size_t want)
{
	size_t room = m->wr_size - m->wr_used, due = want < room ? want : room, n;
	unsigned char *from = malloc(want);
	int ret;

	memset(from, 0xc3, want);
	ret = BIO_write_ex(bio, from, want, &n);
	check(ret == (due > 0) && n == due);
	check(ret == 1 || BIO_should_write(bio));
	check(n == 0 || m->wr[m->wr_used + n - 1] == 0xc3);
	m->wr_used += n;
	free(from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct model m = {0};
	struct tls_bio state;
	BIO *bio;

	engine_init();
	check(tls_bio_new(&state, &bio) == TLS_RC_OK);
	while(in.n > 0) {
		unsigned int op = next(&in);

		switch(op & 3) {
			case 0:
				do_lend(&state, &m, &in);
				break;
			case 1:
				do_read(bio, &m, 1 + next(&in));
				break;
			case 2:
				do_write(bio, &m, 1 + next(&in));
				break;
			default:
				if(op & 4) {
					tls_bio_unlend(&state);
					windows_free(&m);
				}
				check(BIO_pending(bio) == (int)(m.rd_size - m.rd_used));
				check(BIO_flush(bio) == 1 && BIO_eof(bio) == 0);
				break;
		}
		check(tls_bio_is_valid(&state));
		check(tls_bio_unread(&state) == m.rd_size - m.rd_used);
		check(state.wr_used == m.wr_used);
	}
	BIO_free(bio);
	windows_free(&m);
	ERR_clear_error();
	return 0;
}
