/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the window BIO: every window size, what it says when it says no,
 * and BIOs whose state is not what it should be. */
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "../../tls_bio.h"
#include "../../tls_ossl.h"
#include "../lib/engine_pair.h"
#include "../lib/port_stub.h"

void test_bio_add(void);

static int begin(void)
{
	port_stub_reset();
	engine_init();
	return 0;
}

static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 31 + 7);
}

/* A BIO of ours over STATE. */
static BIO *make(struct tls_bio *state)
{
	BIO *bio = NULL;

	CU_ASSERT_EQUAL_FATAL(tls_bio_new(state, &bio), TLS_RC_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bio);
	CU_ASSERT_TRUE(tls_bio_is_valid(state));
	return bio;
}

/* No windows at all: both directions say no and ask to be called again. */
static void test_not_lent(void)
{
	struct tls_bio state;
	BIO *bio = make(&state);
	char c = 0;

	CU_ASSERT_TRUE(BIO_read(bio, &c, 1) <= 0);
	CU_ASSERT_TRUE(BIO_should_retry(bio) && BIO_should_read(bio));
	CU_ASSERT_EQUAL(state.said, TLS_BIO_SAID_EMPTY);
	CU_ASSERT_TRUE(BIO_write(bio, &c, 1) <= 0);
	CU_ASSERT_TRUE(BIO_should_retry(bio) && BIO_should_write(bio));
	CU_ASSERT_EQUAL(state.said, TLS_BIO_SAID_FULL);
	CU_ASSERT_EQUAL(tls_bio_unread(&state), 0);
	BIO_free(bio);
}

/* What was lent is gone after unlend: OpenSSL must not reach it any more. */
static void test_unlent(void)
{
	unsigned char rd[8] = {0}, wr[8];
	struct tls_bio state;
	BIO *bio = make(&state);
	char c = 0;

	tls_bio_lend(&state, rd, sizeof(rd), wr, sizeof(wr));
	CU_ASSERT_TRUE(tls_bio_is_valid(&state));
	CU_ASSERT_EQUAL(BIO_read(bio, &c, 1), 1);
	tls_bio_unlend(&state);
	CU_ASSERT_TRUE(tls_bio_is_valid(&state));
	CU_ASSERT_PTR_NULL(state.rd);
	CU_ASSERT_PTR_NULL(state.wr);
	CU_ASSERT_TRUE(BIO_read(bio, &c, 1) <= 0);
	CU_ASSERT_TRUE(BIO_write(bio, &c, 1) <= 0);
	BIO_free(bio);
}

static void test_no_state(void)
{
	struct tls_bio state;
	BIO *bio = make(&state);
	char c = 0;

	state.magic = 0; /* the connection is gone, or it is not ours */
	CU_ASSERT_FALSE(tls_bio_is_valid(&state));
	CU_ASSERT_TRUE(BIO_read(bio, &c, 1) <= 0);
	CU_ASSERT_FALSE(BIO_should_retry(bio));
	CU_ASSERT_TRUE(BIO_write(bio, &c, 1) <= 0);
	CU_ASSERT_FALSE(BIO_should_retry(bio));
	CU_ASSERT_TRUE(BIO_flush(bio) <= 0);
	BIO_set_data(bio, NULL);
	CU_ASSERT_TRUE(BIO_read(bio, &c, 1) <= 0);
	CU_ASSERT_TRUE(BIO_write(bio, &c, 1) <= 0);
	CU_ASSERT_TRUE(BIO_flush(bio) <= 0);
	BIO_free(bio);
	ERR_clear_error();
}

static void test_controls(void)
{
	unsigned char rd[5] = {0}, wr[1];
	struct tls_bio state;
	BIO *bio = make(&state);

	tls_bio_lend(&state, rd, sizeof(rd), wr, sizeof(wr));
	CU_ASSERT_EQUAL(BIO_pending(bio), 5);
	CU_ASSERT_EQUAL(BIO_flush(bio), 1);
	CU_ASSERT_EQUAL(BIO_eof(bio), 0);
	CU_ASSERT_EQUAL(BIO_read(bio, rd, 0), 0);
	CU_ASSERT_EQUAL(BIO_ctrl(bio, 4711, 0, NULL), 0); /* unknown */
	tls_bio_unlend(&state);
	CU_ASSERT_EQUAL(BIO_pending(bio), 0);
	CU_ASSERT_EQUAL(BIO_eof(bio), 0); /* empty is not the end */
	CU_ASSERT_EQUAL(BIO_flush(bio), 1);
	BIO_free(bio);
	ERR_clear_error();
}

/* SIZE bytes in the window, read in pieces of STEP. */
static void read_case(size_t size, size_t step)
{
	unsigned char *window = malloc(size), *to = malloc(step);
	struct tls_bio state;
	BIO *bio = make(&state);
	size_t at = 0, i, n;

	for(i = 0; i < size; i++)
		window[i] = pattern(i);
	tls_bio_lend(&state, window, size, NULL, 0);
	while(at < size) {
		size_t due = size - at < step ? size - at : step;

		CU_ASSERT_EQUAL(tls_bio_unread(&state), size - at);
		CU_ASSERT_EQUAL_FATAL(BIO_read_ex(bio, to, step, &n), 1);
		CU_ASSERT_EQUAL_FATAL(n, due);
		for(i = 0; i < n; i++)
			CU_ASSERT_EQUAL(to[i], pattern(at + i));
		at += n;
		CU_ASSERT_EQUAL(state.said, TLS_BIO_SAID_NONE);
		CU_ASSERT_TRUE(tls_bio_is_valid(&state));
	}
	CU_ASSERT_EQUAL(BIO_read_ex(bio, to, step, &n), 0);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_EQUAL(state.said, TLS_BIO_SAID_EMPTY);
	CU_ASSERT_TRUE(BIO_should_read(bio) && !BIO_should_write(bio));
	BIO_free(bio);
	free(window);
	free(to);
}

/* Writes of STEP bytes into a window of SIZE, until it is full. */
static void write_case(size_t size, size_t step)
{
	unsigned char *window = malloc(size), *from = malloc(step);
	struct tls_bio state;
	BIO *bio = make(&state);
	size_t at = 0, i, n;

	tls_bio_lend(&state, NULL, 0, window, size);
	while(at < size) {
		size_t due = size - at < step ? size - at : step;

		for(i = 0; i < step; i++)
			from[i] = pattern(at + i);
		CU_ASSERT_EQUAL_FATAL(BIO_write_ex(bio, from, step, &n), 1);
		CU_ASSERT_EQUAL_FATAL(n, due);
		at += n;
		CU_ASSERT_EQUAL(state.wr_used, at);
		CU_ASSERT_TRUE(tls_bio_is_valid(&state));
	}
	CU_ASSERT_EQUAL(BIO_write_ex(bio, from, step, &n), 0);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_EQUAL(state.said, TLS_BIO_SAID_FULL);
	CU_ASSERT_TRUE(BIO_should_write(bio) && !BIO_should_read(bio));
	for(i = 0; i < size; i++)
		CU_ASSERT_EQUAL(window[i], pattern(i));
	BIO_free(bio);
	free(window);
	free(from);
}

static void test_sizes(void)
{
	size_t size, step;

	for(size = 1; size <= 40; size++) {
		for(step = 1; step <= size + 2; step++) {
			read_case(size, step);
			write_case(size, step);
		}
	}
	read_case(65536, 16389);
	write_case(65536, 16389);
}

static void test_no_memory(void)
{
	struct tls_bio state;
	unsigned long k;
	size_t live;
	BIO *bio;

	BIO_free(make(&state));
	tls_ossl_thread_stop();
	live = engine_live_blocks();
	for(k = 1;; k++) {
		engine_fail_at(k);
		if(tls_bio_new(&state, &bio) == TLS_RC_OK)
			break;
		CU_ASSERT_PTR_NULL(bio);
		ERR_clear_error();
		engine_fail_at(0);
		tls_ossl_thread_stop();
		CU_ASSERT_EQUAL(engine_live_blocks(), live);
	}
	engine_fail_at(0);
	CU_ASSERT_TRUE(k > 1);
	BIO_free(bio);
}

void test_bio_add(void)
{
	CU_pSuite suite = CU_add_suite("bio", begin, NULL);

	CU_add_test(suite, "nothing lent", test_not_lent);
	CU_add_test(suite, "nothing lent any more", test_unlent);
	CU_add_test(suite, "no state behind it", test_no_state);
	CU_add_test(suite, "controls", test_controls);
	CU_add_test(suite, "every window size", test_sizes);
	CU_add_test(suite, "no memory", test_no_memory);
}
