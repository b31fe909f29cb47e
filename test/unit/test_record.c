/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of the record layer that works from plain data: every suite against
 * OpenSSL in both roles, published vectors, every flipped bit, the moment of
 * the switch, key changes, processes, memory. The judge is OpenSSL, or a twin
 * of the record state where a record must be made that OpenSSL never makes. */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_mem.h"
#include "../lib/port_stub.h"
#include "record_rig.h"

#define MAC 20		  /* bad_record_mac */
#define UNEXPECTED 10 /* unexpected_message */

void test_record_add(void);

static int fails_shown;

/* One assertion with the row's reason in the output. */
static void expect(bool good, const char *reason, const char *what)
{
	CU_ASSERT(good);
	if(!good && fails_shown++ < 40)
		fprintf(stderr, "record: %s: %s\n", reason, what);
}

static unsigned int prng_state = 1;

static unsigned int prng(void)
{
	prng_state = prng_state * 1103515245u + 12345u;
	return prng_state >> 8;
}

static unsigned char pattern[TLS_RECORD_PLAIN_MAX + 1];
static unsigned char buffer[2 * TLS_RECORD_WIRE_MAX];

static void fill_pattern(void)
{
	size_t i;

	for(i = 0; i < sizeof(pattern); i++)
		pattern[i] = (unsigned char)prng();
}

static size_t from_hex(const char *hex, unsigned char *out)
{
	size_t n = 0;
	unsigned int v;

	while(*hex != '\0') {
		if(*hex == ' ') {
			hex++;
			continue;
		}
		if(sscanf(hex, "%2x", &v) != 1)
			abort();
		out[n++] = (unsigned char)v;
		hex += 2;
	}
	return n;
}

/* ---- RFC 8448 section 3 ---- */

static const char client_secret[] =
		"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
static const char server_secret[] =
		"a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";

struct vector_row
{
	enum tls_record_side side; /* of the client */
	uint64_t seq;
	int type;
	const char *clear; /* NULL = bytes 00 to 31 */
	const char *record;
	const char *reason;
};

static const struct vector_row vector_rows[] = {
		{TLS_RECORD_WRITE, 0, 23, NULL,
				"1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab"
				"3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3d"
				"eae63aeebb21694915e4",
				"client's application data"},
		{TLS_RECORD_READ, 1, 23, NULL,
				"17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b"
				"36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf3"
				"32540dd032e167c2955d",
				"server's application data, behind a ticket"},
		{TLS_RECORD_WRITE, 1, 21, "0100",
				"1703030013c9872760655666b74d7ff1153efd6db6d0b0e3",
				"client's close_notify"},
		{TLS_RECORD_READ, 2, 21, "0100",
				"1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9",
				"server's close_notify"},
};

static void vector_check(
		struct tls_record *record, const struct vector_row *row)
{
	unsigned char clear[64], wire[128], out[128];
	size_t n_wire = from_hex(row->record, wire), n_clear, n_out = 0;
	enum tls_record_type type = 0;
	struct tls_err err;
	int alert;

	for(n_clear = 0; n_clear < 50; n_clear++)
		clear[n_clear] = (unsigned char)n_clear;
	if(row->clear != NULL)
		n_clear = from_hex(row->clear, clear);
	record->half[row->side].seq = row->seq;
	if(row->side == TLS_RECORD_WRITE) {
		expect(tls_record_seal(record, (enum tls_record_type)row->type, clear,
					   n_clear, out, &n_out, &err)
						== TLS_RC_OK,
				row->reason, "sealed");
		expect(n_out == n_wire && !memcmp(out, wire, n_wire), row->reason,
				"bytes");
		return;
	}
	expect(tls_record_open(
				   record, wire, n_wire, out, &n_out, &type, &alert, &err)
					== TLS_RC_OK,
			row->reason, "opened");
	expect((int)type == row->type && n_out == n_clear
					&& !memcmp(out, clear, n_clear),
			row->reason, "clear text");
}

static void test_vectors(void)
{
	struct rig_setup s = {
			.role = TLS_ROLE_SERVER, .version = TLS1_3_VERSION, .tickets = -1};
	struct tls_record_keys keys;
	struct tls_record record;
	unsigned char want[32];
	struct tls_err err;
	struct rig rig;
	size_t i;

	CU_ASSERT_FATAL(rig_open(&rig, &s));
	memset(&keys, 0, sizeof(keys));
	keys.secrets.n_client = from_hex(client_secret, keys.secrets.client);
	keys.secrets.n_server = from_hex(server_secret, keys.secrets.server);
	CU_ASSERT_FATAL(
			tls_record_setup(&record, rig.raw, &keys, &err) == TLS_RC_OK);
	from_hex("17422dda596ed5d9acd890e3c63f5051", want);
	CU_ASSERT(!memcmp(record.half[TLS_RECORD_WRITE].key, want, 16));
	from_hex("5b78923dee08579033e523d9", want);
	CU_ASSERT(!memcmp(record.half[TLS_RECORD_WRITE].iv, want, 12));
	from_hex("9f02283b6c9c07efc26bb9f2ac92e356", want);
	CU_ASSERT(!memcmp(record.half[TLS_RECORD_READ].key, want, 16));
	from_hex("cf782b88dd83549aadf1e984", want);
	CU_ASSERT(!memcmp(record.half[TLS_RECORD_READ].iv, want, 12));
	for(i = 0; i < sizeof(vector_rows) / sizeof(vector_rows[0]); i++)
		vector_check(&record, &vector_rows[i]);
	/* a secret of the wrong length is no secret */
	keys.secrets.n_server = 31;
	CU_ASSERT(tls_record_setup(&record, rig.raw, &keys, &err) != TLS_RC_OK);
	CU_ASSERT(record.suite == 0);
	tls_record_clear(&record);
	rig_close(&rig);
}

/* ---- hostile records, from a twin ---- */

struct suite_row
{
	uint8_t suite; /* row of tls_record.c */
	bool tls13;
	const char *reason;
};

static const struct suite_row suite_rows[] = {
		{1, true, "1.3 AES-128-GCM"},
		{2, true, "1.3 AES-256-GCM"},
		{3, true, "1.3 ChaCha20"},
		{4, true, "1.3 AES-128-CCM"},
		{6, true, "1.3 AES-128-CCM8"},
		{1, false, "1.2 AES-128-GCM"},
		{2, false, "1.2 AES-256-GCM"},
		{3, false, "1.2 ChaCha20"},
		{4, false, "1.2 AES-128-CCM"},
		{5, false, "1.2 AES-256-CCM"},
		{6, false, "1.2 AES-128-CCM8"},
		{7, false, "1.2 AES-256-CCM8"},
};
#define N_SUITE_ROWS (sizeof(suite_rows) / sizeof(suite_rows[0]))

static uint64_t twin_id = 1000000;

/* Opens a copy of exactly N bytes into a window of exactly N; what is left of
 * the clear text in the window counts as a leak. */
static enum tls_rc open_copy(struct tls_record *record, const void *wire,
		size_t n, const unsigned char *clear, size_t n_clear, int *alert,
		bool *leak)
{
	unsigned char *in = malloc(n), *out = malloc(n);
	enum tls_record_type type;
	size_t n_out, i;
	struct tls_err err;
	enum tls_rc rc;

	memcpy(in, wire, n);
	memset(out, 0xee, n);
	rc = tls_record_open(record, in, n, out, &n_out, &type, alert, &err);
	*leak = false;
	for(i = 0; n_clear >= 8 && i + 8 <= n; i++)
		*leak |= !memcmp(out + i, clear, 8) && rc != TLS_RC_OK;
	if(rc == TLS_RC_OK)
		*leak = n_out != n_clear || memcmp(out, clear, n_clear) != 0;
	free(in);
	free(out);
	return rc;
}

static void flip_bits(const struct suite_row *row, size_t n_clear)
{
	unsigned char wire[256 + TLS_RECORD_OVERHEAD_MAX] = {0};
	struct tls_record a, b, before;
	size_t n, bit;
	struct tls_err err;
	int alert;
	bool leak;

	rig_twins(&a, &b, row->suite, row->tls13, twin_id++);
	twin_id++;
	CU_ASSERT_FATAL(tls_record_seal(&a, TLS_RECORD_APPLICATION, pattern,
							n_clear, wire, &n, &err)
					== TLS_RC_OK);
	before = b;
	for(bit = 0; bit < n * 8; bit++) {
		size_t n_bad = n;
		enum tls_rc rc;

		wire[bit / 8] ^= (unsigned char)(1u << bit % 8);
		if(bit / 8 == 3 || bit / 8 == 4)
			n_bad = tls_record_length(wire, sizeof(wire));
		if(n_bad != 0 && n_bad != SIZE_MAX) {
			rc = open_copy(&b, wire, n_bad, pattern, n_clear, &alert, &leak);
			expect(rc == TLS_RC_PEER, row->reason, "a flipped bit refused");
			expect(alert == (row->tls13 && bit < 8 ? UNEXPECTED : MAC),
					row->reason, "alert of a flipped bit");
			expect(!leak, row->reason, "clear text left behind");
			expect(!memcmp(&before, &b, sizeof(b)), row->reason,
					"state changed");
		}
		wire[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	expect(open_copy(&b, wire, n, pattern, n_clear, &alert, &leak) == TLS_RC_OK
					&& !leak,
			row->reason, "the honest record still opens");
	expect(open_copy(&b, wire, n, pattern, n_clear, &alert, &leak)
							== TLS_RC_PEER
					&& alert == MAC && !leak,
			row->reason, "a replay is refused");
	tls_record_clear(&a);
	tls_record_clear(&b);
}

static void test_flipped_bits(void)
{
	static const size_t sizes[] = {0, 1, 33, 200};
	size_t i, k;

	for(i = 0; i < N_SUITE_ROWS; i++)
		for(k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
			flip_bits(&suite_rows[i], sizes[k]);
}

/* Every length below the honest one, and records in the wrong order. */
static void test_short_and_swapped(void)
{
	unsigned char one[128], two[128];
	struct tls_record a, b;
	struct tls_err err;
	size_t i, n, n_two, cut;
	int alert;
	bool leak;

	for(i = 0; i < N_SUITE_ROWS; i++) {
		const struct suite_row *row = &suite_rows[i];

		rig_twins(&a, &b, row->suite, row->tls13, twin_id++);
		twin_id++;
		CU_ASSERT(tls_record_seal(&a, 23, pattern, 20, one, &n, &err)
				  == TLS_RC_OK);
		CU_ASSERT(tls_record_seal(&a, 23, pattern, 20, two, &n_two, &err)
				  == TLS_RC_OK);
		expect(open_copy(&b, two, n_two, pattern, 20, &alert, &leak)
						== TLS_RC_PEER,
				row->reason, "the second record first");
		for(cut = TLS_RECORD_HEADER; cut < n; cut++) {
			unsigned char bad[128];

			memcpy(bad, one, n);
			bad[4] = (unsigned char)(cut - TLS_RECORD_HEADER);
			expect(open_copy(&b, bad, cut, pattern, 20, &alert, &leak)
									== TLS_RC_PEER
							&& alert == MAC && !leak,
					row->reason, "a short record");
		}
		expect(open_copy(&b, one, n, pattern, 20, &alert, &leak) == TLS_RC_OK
						&& open_copy(&b, two, n_two, pattern, 20, &alert, &leak)
								   == TLS_RC_OK,
				row->reason, "both in order");
		tls_record_clear(&a);
		tls_record_clear(&b);
	}
}

struct length_row
{
	const char *hex;
	size_t n; /* of zeros behind */
	size_t want;
	const char *reason;
};

static const struct length_row length_rows[] = {
		{"13", 0, SIZE_MAX, "type 19"},
		{"18", 0, SIZE_MAX, "type 24, heartbeat"},
		{"47", 0, SIZE_MAX, "GET"},
		{"1702", 0, SIZE_MAX, "major version 2"},
		{"1703034801", 0, SIZE_MAX, "one byte too long"},
		{"170303ffff", 65535, SIZE_MAX, "65535 bytes"},
		{"", 0, 0, "nothing"},
		{"17030300", 0, 0, "half a header"},
		{"1703030001", 0, 0, "no body"},
		{"1703034800", 18431, 0, "all but one byte of the largest"},
		{"1703034800", 18432, 18437, "the largest"},
		{"1703030000", 3, 5, "an empty record"},
		{"1503040002", 9, 7, "minor version is the cipher's business"},
};

static void test_length(void)
{
	size_t i;

	for(i = 0; i < sizeof(length_rows) / sizeof(length_rows[0]); i++) {
		const struct length_row *row = &length_rows[i];
		unsigned char head[8];
		size_t n = from_hex(row->hex, head);
		unsigned char *p = calloc(1, n + row->n + 1);

		memcpy(p + 1, head, n);
		expect(tls_record_length(p + 1, n + row->n) == row->want, row->reason,
				"length");
		free(p);
	}
}

static void test_limits(void)
{
	static unsigned char wire[TLS_RECORD_PLAIN_MAX + TLS_RECORD_OVERHEAD_MAX];
	struct tls_record a, b;
	struct tls_err err;
	size_t n;
	int alert;
	bool leak;

	rig_twins(&a, &b, 1, true, twin_id);
	twin_id += 2;
	CU_ASSERT(tls_record_seal(
					  &a, 23, pattern, TLS_RECORD_PLAIN_MAX + 1, wire, &n, &err)
			  == TLS_RC_BUG);
	CU_ASSERT(n == 0 && a.half[TLS_RECORD_WRITE].seq == 0);
	CU_ASSERT(!tls_record_wants_update(&a));
	a.half[TLS_RECORD_WRITE].seq = 23726566; /* RFC 8446 s5.5 */
	CU_ASSERT(tls_record_wants_update(&a));
	CU_ASSERT(tls_record_seal(&a, 23, pattern, 1, wire, &n, &err)
			  == TLS_RC_LIMIT);
	CU_ASSERT(tls_record_update(&a, TLS_RECORD_WRITE, &err) == TLS_RC_OK);
	CU_ASSERT(!tls_record_wants_update(&a));
	CU_ASSERT(
			tls_record_seal(&a, 23, pattern, 99, wire, &n, &err) == TLS_RC_OK);
	CU_ASSERT(open_copy(&b, wire, n, pattern, 99, &alert, &leak) == TLS_RC_PEER
			  && alert == MAC && !leak); /* the old key */
	CU_ASSERT(tls_record_update(&b, TLS_RECORD_READ, &err) == TLS_RC_OK);
	CU_ASSERT(open_copy(&b, wire, n, pattern, 99, &alert, &leak) == TLS_RC_OK);
	b.half[TLS_RECORD_READ].seq = UINT64_MAX; /* must not wrap */
	CU_ASSERT(
			open_copy(&b, wire, n, pattern, 99, &alert, &leak) == TLS_RC_LIMIT);
	tls_record_clear(&a);
	tls_record_clear(&b);
	CU_ASSERT(a.suite == 0 && a.id == 0);
	/* the counter of TLS 1.2 ends too */
	rig_twins(&a, &b, 1, false, twin_id);
	twin_id += 2;
	a.half[TLS_RECORD_WRITE].seq = UINT64_MAX;
	CU_ASSERT(tls_record_seal(&a, 23, pattern, 1, wire, &n, &err)
			  == TLS_RC_LIMIT);
	tls_record_clear(&a);
	tls_record_clear(&b);
}

/* All zeros is no record, and changes nothing (tls_record.h). */
static void test_no_type(void)
{
	static const unsigned char zeros[100];
	struct tls_record a, b, before;
	unsigned char wire[200];
	struct tls_err err;
	size_t n;
	int alert;
	bool leak;

	rig_twins(&a, &b, 1, true, twin_id);
	twin_id += 2;
	CU_ASSERT(tls_record_seal(&a, 0, zeros, 100, wire, &n, &err) == TLS_RC_OK);
	before = b;
	CU_ASSERT(open_copy(&b, wire, n, zeros, 0, &alert, &leak) == TLS_RC_PEER);
	CU_ASSERT(alert == UNEXPECTED);
	CU_ASSERT(!memcmp(&before, &b, sizeof(b)));
	tls_record_clear(&a);
	tls_record_clear(&b);
}

/* ---- contexts that a process keeps ---- */

/* One record, opened by TO and by a judge that no cache can know: a key mixed
 * up on both sides alike must not pass. */
static bool pass(struct tls_record *from, struct tls_record *to, size_t n)
{
	struct tls_record judge = *to;
	unsigned char wire[512];
	struct tls_err err;
	size_t n_wire;
	int alert;
	bool leak;

	judge.id = twin_id++;
	return tls_record_seal(from, 23, pattern, n, wire, &n_wire, &err)
				   == TLS_RC_OK
		   && open_copy(&judge, wire, n_wire, pattern, n, &alert, &leak)
					  == TLS_RC_OK
		   && open_copy(to, wire, n_wire, pattern, n, &alert, &leak)
					  == TLS_RC_OK
		   && !leak;
}

/* One record from A to B. */
static bool passes(struct tls_record *a, struct tls_record *b)
{
	unsigned char wire[512], clear[512];
	enum tls_record_type type;
	struct tls_err err;
	size_t n, n_clear;
	int alert;

	return tls_record_seal(a, 23, pattern, 100, wire, &n, &err) == TLS_RC_OK
		   && tls_record_open(b, wire, n, clear, &n_clear, &type, &alert, &err)
					  == TLS_RC_OK
		   && n_clear == 100 && !memcmp(clear, pattern, 100);
}

static void test_cache_shared_slot(void)
{
	struct tls_record a[2], b[2];
	struct tls_err err;
	size_t i;
	int turn;

	for(i = 0; i < N_SUITE_ROWS; i++) {
		const struct suite_row *row = &suite_rows[i];

		rig_twins(&a[0], &b[0], row->suite, row->tls13, 64 * 500000);
		rig_twins(&a[1], &b[1], row->suite, row->tls13, 64 * 500001);
		for(turn = 0; turn < 40; turn++) {
			int which = turn % 3 == 0;

			expect(pass(&a[which], &b[which], (size_t)turn), row->reason,
					"one slot, two connections");
			expect(pass(&b[which], &a[which], 40), row->reason, "and back");
			if(row->tls13 && turn % 5 == 0)
				expect(tls_record_update(&a[which], TLS_RECORD_WRITE, &err)
										== TLS_RC_OK
								&& tls_record_update(
										   &b[which], TLS_RECORD_READ, &err)
										   == TLS_RC_OK,
						row->reason, "new keys");
		}
		tls_record_clear(&a[0]);
		expect(pass(&a[1], &b[1], 7), row->reason, "after clear of the other");
		tls_record_clear(&b[0]);
		tls_record_clear(&a[1]);
		tls_record_clear(&b[1]);
	}
}

static bool child_ok(pid_t pid)
{
	int status = 0;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status)
		   && WEXITSTATUS(status) == 0;
}

/* A context that a process inherits is its parent's: when the child puts
 * another connection's key into it, the parent would seal with that key. */
static void test_cache_after_fork(void)
{
	struct tls_record a[2], b[2];
	size_t i;
	pid_t pid;

	for(i = 0; i < N_SUITE_ROWS; i++) {
		const struct suite_row *row = &suite_rows[i];

		rig_twins(&a[0], &b[0], row->suite, row->tls13, 64 * 600000);
		rig_twins(&a[1], &b[1], row->suite, row->tls13, 64 * 600001);
		expect(pass(&a[0], &b[0], 40), row->reason, "before the fork");
		pid = fork();
		if(pid == 0)
			_exit(pass(&a[1], &b[1], 40) ? 0 : 1);
		expect(child_ok(pid), row->reason, "the child's connection");
		expect(pass(&a[0], &b[0], 40), row->reason, "after the fork");
		tls_record_clear(&a[0]);
		tls_record_clear(&b[0]);
		tls_record_clear(&a[1]);
		tls_record_clear(&b[1]);
	}
}

/* Expanded keys are this process's own: no byte of them in shared memory, and
 * nothing left of them when their connection is gone. */
static void test_cache_private(void)
{
	struct tls_record a, b;
	size_t i;

	for(i = 0; i < N_SUITE_ROWS; i++) {
		const struct suite_row *row = &suite_rows[i];
		size_t blocks, live;

		tls_record_forget();
		live = engine_live_blocks();
		blocks = port_stub_private_blocks();
		rig_twins(&a, &b, row->suite, row->tls13, 64 * 700000);
		expect(passes(&a, &b), row->reason, "a record");
		expect(port_stub_private_blocks() > blocks, row->reason, "cached");
		expect(port_stub_private_seen() == 0, row->reason,
				"no other process has a way to private memory");
		tls_ossl_thread_stop();
		tls_mem_flush();
		expect(port_stub_live_blocks() == live, row->reason,
				"no shared memory for contexts");
		tls_record_clear(&a);
		tls_record_clear(&b);
		expect(port_stub_private_blocks() == blocks, row->reason,
				"dropped with the connection");
	}
}

/* One end of a pipe each: a child that seals records when told. */
struct other
{
	pid_t pid;
	int ask; /* we write */
	int say; /* we read */
};

/* Private blocks of the other process after it has used RECORD number WHICH. */
static size_t other_uses(struct other *o, char which)
{
	size_t blocks = SIZE_MAX;

	if(write(o->ask, &which, 1) != 1
			|| read(o->say, &blocks, sizeof(blocks)) != sizeof(blocks))
		return SIZE_MAX;
	return blocks;
}

static void other_work(
		int asked, int say, struct tls_record *a, struct tls_record *b)
{
	char which;

	while(read(asked, &which, 1) == 1) {
		struct tls_record copy[2] = {a[(int)which], b[(int)which]};
		size_t blocks;

		if(!passes(&copy[0], &copy[1]))
			_exit(1);
		blocks = port_stub_private_blocks();
		if(write(say, &blocks, sizeof(blocks)) != sizeof(blocks))
			_exit(2);
	}
	_exit(0);
}

static void other_start(
		struct other *o, struct tls_record *a, struct tls_record *b)
{
	int to[2], from[2];

	CU_ASSERT_FATAL(pipe(to) == 0 && pipe(from) == 0);
	o->pid = fork();
	if(o->pid == 0) {
		close(to[1]);
		close(from[0]);
		other_work(to[0], from[1], a, b);
	}
	close(to[0]);
	close(from[1]);
	o->ask = to[1];
	o->say = from[0];
}

/* A connection ends in the main process; the receiver that served it drops its
 * expanded keys as well, also when so many ended that not all were noted. */
static void test_cache_ended_elsewhere(void)
{
	static const int ends[] = {1, 255, 256, 257, 1000};
	struct tls_record a[3], b[3], other[2];
	size_t i, first, two, now;
	struct other o;
	int k;

	for(i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		for(k = 0; k < 3; k++)
			rig_twins(&a[k], &b[k], 1, true, 64 * 800000 + 2 * (uint64_t)k);
		other_start(&o, a, b);
		first = other_uses(&o, 0);
		two = other_uses(&o, 1);
		CU_ASSERT(first > 0 && first != SIZE_MAX && two > first);
		for(k = 1; k < ends[i]; k++) {
			rig_twins(&other[0], &other[1], 1, true,
					64 * 900000 + 64 * (uint64_t)k);
			tls_record_clear(&other[0]);
		}
		tls_record_clear(&a[0]);
		tls_record_clear(&b[0]);
		now = other_uses(&o, 1); /* has the keys of one connection again */
		CU_ASSERT(now - port_stub_private_blocks() == two - first);
		close(o.ask);
		close(o.say);
		CU_ASSERT(child_ok(o.pid));
		tls_record_clear(&a[1]);
		tls_record_clear(&b[1]);
	}
}

/* ---- one connection in several processes ---- */

#define TURNS 600
#define WORKERS 3

struct relay
{
	_Atomic int turn;
	_Atomic int bad;
	struct tls_record a, b;
};

static void relay_work(struct relay *r, int self)
{
	struct tls_err err;
	int turn;

	while((turn = atomic_load(&r->turn)) < TURNS) {
		if(turn % WORKERS != self) {
			sched_yield();
			continue;
		}
		if(!pass(turn % 2 ? &r->a : &r->b, turn % 2 ? &r->b : &r->a,
				   (size_t)turn % 300))
			atomic_fetch_add(&r->bad, 1);
		if(r->a.tls13 && turn % 50 == 0
				&& (tls_record_update(&r->a, TLS_RECORD_READ, &err) != TLS_RC_OK
						|| tls_record_update(&r->b, TLS_RECORD_WRITE, &err)
								   != TLS_RC_OK))
			atomic_fetch_add(&r->bad, 1);
		atomic_store(&r->turn, turn + 1);
	}
}

static void test_processes(void)
{
	struct relay *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[WORKERS];
	size_t i;
	int k;

	CU_ASSERT_FATAL(r != MAP_FAILED);
	for(i = 0; i < N_SUITE_ROWS; i++) {
		memset(r, 0, sizeof(*r));
		rig_twins(&r->a, &r->b, suite_rows[i].suite, suite_rows[i].tls13,
				twin_id);
		twin_id += 2;
		for(k = 0; k < WORKERS; k++) {
			pids[k] = fork();
			if(pids[k] == 0) {
				alarm(60);
				relay_work(r, k);
				_exit(0);
			}
		}
		for(k = 0; k < WORKERS; k++)
			expect(child_ok(pids[k]), suite_rows[i].reason, "worker");
		expect(atomic_load(&r->turn) == TURNS && atomic_load(&r->bad) == 0,
				suite_rows[i].reason, "relay");
	}
	munmap(r, sizeof(*r));
}

/* The engine's shared state, used by a new process for each step. */
static void test_engine_processes(void)
{
	struct rig_setup s = {
			.role = TLS_ROLE_SERVER, .version = TLS1_3_VERSION, .tickets = -1};
	unsigned char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rig rig;
	int turn, version;

	CU_ASSERT_FATAL(shared != MAP_FAILED);
	for(version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		s.version = version;
		CU_ASSERT_FATAL(rig_open(&rig, &s));
		for(turn = 0; turn < 12; turn++) {
			pid_t pid;
			size_t n;

			CU_ASSERT(rig_raw_write(&rig, pattern, 100));
			pid = fork();
			if(pid == 0) {
				rig.to_raw.n = 0;
				rig_engine_read(&rig);
				if(rig.got.n != 100
						|| rig_engine_write(&rig, rig.got.p, 100) != TLS_RC_OK)
					_exit(1);
				memcpy(shared, &rig.to_raw.n, sizeof(size_t));
				memcpy(shared + sizeof(size_t), rig.to_raw.p, rig.to_raw.n);
				_exit(0);
			}
			CU_ASSERT(child_ok(pid));
			engine_bytes_drop(&rig.to_engine, rig.to_engine.n);
			memcpy(&n, shared, sizeof(n));
			engine_bytes_add(&rig.to_raw, shared + sizeof(n), n);
			CU_ASSERT(rig_raw_read(&rig, buffer, 200) == 100
					  && !memcmp(buffer, pattern, 100));
		}
		rig_close(&rig);
	}
	munmap(shared, 4096);
}

/* ---- every suite against OpenSSL ---- */

struct peer_row
{
	int version;
	const char *suite;
	const char *cert;
	bool own; /* the engine is expected to let OpenSSL go */
};

#define LEGACY "@SECLEVEL=0:"
static const struct peer_row peer_rows[] = {
		{TLS1_2_VERSION, LEGACY "ECDHE-RSA-AES128-SHA256", "rsa", false},
		{TLS1_2_VERSION, LEGACY "AES256-SHA", "rsa", false},
		{TLS1_2_VERSION, LEGACY "ECDHE-ARIA128-GCM-SHA256", "rsa", false},
		{TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", "ec", true},
		{TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "rsa", true},
		{TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", "ec", true},
		{TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", "ec", true},
		{TLS1_3_VERSION, "TLS_AES_128_CCM_8_SHA256", "rsa", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-ECDSA-AES128-GCM-SHA256", "ec", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-ECDSA-AES256-GCM-SHA384", "ec", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-RSA-AES128-GCM-SHA256", "rsa", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-RSA-AES256-GCM-SHA384", "rsa", true},
		{TLS1_2_VERSION, LEGACY "DHE-RSA-AES128-GCM-SHA256", "rsa", true},
		{TLS1_2_VERSION, LEGACY "DHE-RSA-AES256-GCM-SHA384", "rsa", true},
		{TLS1_2_VERSION, LEGACY "AES128-GCM-SHA256", "rsa", true},
		{TLS1_2_VERSION, LEGACY "AES256-GCM-SHA384", "rsa", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-ECDSA-CHACHA20-POLY1305", "ec", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-RSA-CHACHA20-POLY1305", "rsa", true},
		{TLS1_2_VERSION, LEGACY "DHE-RSA-CHACHA20-POLY1305", "rsa", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-ECDSA-AES128-CCM", "ec", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-ECDSA-AES256-CCM", "ec", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-ECDSA-AES128-CCM8", "ec", true},
		{TLS1_2_VERSION, LEGACY "ECDHE-ECDSA-AES256-CCM8", "ec", true},
		{TLS1_2_VERSION, LEGACY "DHE-RSA-AES128-CCM", "rsa", true},
		{TLS1_2_VERSION, LEGACY "DHE-RSA-AES256-CCM", "rsa", true},
		{TLS1_2_VERSION, LEGACY "DHE-RSA-AES128-CCM8", "rsa", true},
		{TLS1_2_VERSION, LEGACY "DHE-RSA-AES256-CCM8", "rsa", true},
		{TLS1_2_VERSION, LEGACY "AES128-CCM", "rsa", true},
		{TLS1_2_VERSION, LEGACY "AES256-CCM8", "rsa", true},
};
#define N_PEER_ROWS (sizeof(peer_rows) / sizeof(peer_rows[0]))

#define RECORDS_PER_ROW 2000 /* 26 suites, two roles: 104,000 in all */

static size_t any_size(void)
{
	static const size_t edges[] = {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65,
			255, 256, 257, 1400, 4095, 4096, 4097, 16383, 16384};
	unsigned int r = prng();

	if(r % 16 != 0)
		return 1 + r / 16 % 700;
	return edges[r / 16 % (sizeof(edges) / sizeof(edges[0]))];
}

/* N bytes from one end to the other. */
static bool send_one(struct rig *rig, bool from_engine, size_t n)
{
	const unsigned char *p = pattern + prng() % (sizeof(pattern) - n);

	if(from_engine)
		return rig_engine_write(rig, p, n) == TLS_RC_OK
			   && rig_raw_read(rig, buffer, n) == (long)n
			   && !memcmp(buffer, p, n);
	rig->got.n = 0;
	if(!rig_raw_write(rig, p, n))
		return false;
	rig_engine_read(rig);
	return rig->rc == TLS_RC_OK && rig->got.n == n && !memcmp(rig->got.p, p, n);
}

/* The plain end changes its key, and asks for ours in half of the cases. */
static bool change_key(struct rig *rig)
{
	int how = prng() % 2 ? SSL_KEY_UPDATE_REQUESTED
						 : SSL_KEY_UPDATE_NOT_REQUESTED;
	bool good = SSL_key_update(rig->raw, how) == 1
				&& SSL_do_handshake(rig->raw) == 1;

	rig_raw_flush(rig);
	return good;
}

static void traffic(struct rig *rig, const struct peer_row *row, int records)
{
	int i;
	bool good = true;

	for(i = 0; good && i < records; i++) {
		if(row->version == TLS1_3_VERSION && i % 97 == 50)
			good = change_key(rig);
		good = good && send_one(rig, prng() % 2 == 0, any_size());
	}
	expect(good, row->suite, "traffic");
	if(!good)
		fprintf(stderr, "  record %d: %s\n", i, rig->err.text);
}

static void peer_check(const struct peer_row *row, enum tls_role role)
{
	struct rig_setup s = {.role = role,
			.version = row->version,
			.suite = row->suite,
			.cert = row->cert,
			.tickets = -1};
	long before = rig_ssl_live();
	struct rig rig;

	expect(rig_open(&rig, &s), row->suite, "handshake");
	expect(rig_ssl_live() - before == (row->own ? 1 : 2), row->suite,
			"who holds an SSL object");
	traffic(&rig, row, row->own ? RECORDS_PER_ROW : 50);
	rig_close(&rig);
	expect(rig_ssl_live() == before, row->suite, "SSL objects left");
}

static void test_peers(void)
{
	size_t i;

	for(i = 0; i < N_PEER_ROWS; i++) {
		peer_check(&peer_rows[i], TLS_ROLE_SERVER);
		peer_check(&peer_rows[i], TLS_ROLE_CLIENT);
	}
}

/* Records that OpenSSL never writes, read by OpenSSL: empty, and padded. */
static void test_puppet_sizes(void)
{
	static const size_t sizes[] = {0, 1, 0, 16, 0, 16384, 0, 16383};
	struct rig_setup s = {.ossl = true, .puppet = true, .tickets = -1};
	struct rig rig;
	size_t i, k;

	for(i = 0; i < N_PEER_ROWS; i++) {
		const struct peer_row *row = &peer_rows[i];

		if(!row->own)
			continue;
		s.role = i % 2 ? TLS_ROLE_SERVER : TLS_ROLE_CLIENT;
		s.version = row->version;
		s.suite = row->suite;
		s.cert = row->cert;
		CU_ASSERT_FATAL(rig_open(&rig, &s));
		expect(rig_puppet(&rig), row->suite, "set up");
		for(k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			rig.got.n = 0;
			rig_say(&rig, TLS_RECORD_APPLICATION, pattern, sizes[k]);
			rig_engine_read(&rig);
			expect(rig.rc == TLS_RC_OK && rig.got.n == sizes[k]
							&& !memcmp(rig.got.p != NULL ? rig.got.p : buffer,
									rig.got.n > 0 ? pattern : buffer, sizes[k]),
					row->suite, "size");
		}
		rig_close(&rig);
	}
}

/* ---- the switch ---- */

struct switch_row
{
	enum tls_role role;
	int version;
	int tickets;
	size_t chop;
	size_t out_size;
	size_t clear_size;
	const char *early;
	const char *reason;
};

#define V12 TLS1_2_VERSION
#define V13 TLS1_3_VERSION
static const struct switch_row switch_rows[] = {
		{TLS_ROLE_SERVER, V13, -1, 1, 1, 1, "x", "server 1.3, single bytes"},
		{TLS_ROLE_SERVER, V12, -1, 1, 1, 1, NULL, "server 1.2, single bytes"},
		{TLS_ROLE_CLIENT, V13, -1, 1, 1, 1, "early", "client 1.3, bytes"},
		{TLS_ROLE_CLIENT, V12, -1, 1, 1, 1, "early", "client 1.2, bytes"},
		{TLS_ROLE_SERVER, V13, -1, 0, 1, 0, NULL, "server, one byte out"},
		{TLS_ROLE_CLIENT, V13, -1, 0, 1, 0, NULL, "client, one byte out"},
		{TLS_ROLE_SERVER, V13, -1, 0, 0, 1, "early", "one byte clear"},
		{TLS_ROLE_SERVER, V13, -1, 7, 93, 94, "early", "odd windows"},
		{TLS_ROLE_SERVER, V13, 0, 0, 0, 0, "early", "no ticket, data with it"},
		{TLS_ROLE_SERVER, V13, 1, 0, 0, 0, "early", "one ticket"},
		{TLS_ROLE_SERVER, V13, 2, 0, 0, 0, "early", "two tickets"},
		{TLS_ROLE_SERVER, V13, 7, 0, 0, 0, "early", "seven tickets"},
		{TLS_ROLE_CLIENT, V13, 0, 0, 0, 0, "early", "client, no ticket"},
		{TLS_ROLE_CLIENT, V13, 2, 0, 0, 0, "early", "client, tickets and data"},
		{TLS_ROLE_CLIENT, V12, 2, 0, 0, 0, "early", "client 1.2 and data"},
};

static void switch_check(const struct switch_row *row, bool ossl)
{
	struct rig_setup s = {.role = row->role,
			.version = row->version,
			.ossl = ossl,
			.tickets = row->tickets,
			.chop = row->chop,
			.out_size = row->out_size,
			.clear_size = row->clear_size,
			.early = row->early};
	size_t n = row->early != NULL ? strlen(row->early) : 0;
	long before = rig_ssl_live();
	struct rig rig;
	int i;

	expect(rig_open(&rig, &s), row->reason, "handshake");
	expect(rig_ssl_live() - before == (ossl ? 2 : 1), row->reason,
			"SSL objects");
	expect(rig.got.n == n && (n == 0 || !memcmp(rig.got.p, row->early, n)),
			row->reason, "early data of the peer");
	for(i = 0; i < 6; i++)
		expect(send_one(&rig, i % 2 == 0, i < 4 ? 70 : 16384), row->reason,
				"exchange");
	expect(tls_conn_want(rig.conn) != TLS_CONN_WANT_WRITE, row->reason,
			"wants nothing more");
	rig_close(&rig);
}

static void test_switch(void)
{
	size_t i;

	for(i = 0; i < sizeof(switch_rows) / sizeof(switch_rows[0]); i++) {
		switch_check(&switch_rows[i], true);
		switch_check(&switch_rows[i], false);
	}
}

/* TLS 1.2: a peer may send its Finished in as many records as it likes; each
 * counts for the next nonce. */
static void split_check(
		struct rig_setup s, const char *suite, size_t split, const char *reason)
{
	struct rig_heard heard;
	struct rig rig;

	s.version = V12;
	s.tickets = -1;
	s.puppet = true;
	s.suite = suite;
	s.split = split;
	expect(rig_open(&rig, &s) && rig.parts == (16 + split - 1) / split, reason,
			"handshake");
	expect(rig_puppet(&rig), reason, "puppet");
	rig.to_raw.n = 0;
	rig_say(&rig, TLS_RECORD_APPLICATION, "first data", 10);
	rig_engine_read(&rig);
	expect(rig.rc == TLS_RC_OK && rig.got.n == 10, reason, "data of the peer");
	expect(rig_engine_write(&rig, "answer", 6) == TLS_RC_OK, reason, "write");
	rig_hear(&rig, &heard);
	expect(heard.data == 6 && !heard.broken, reason, "our data");
	rig_close(&rig);
}

static void test_split_finished(void)
{
	static const char *const suites[] = {NULL,
			LEGACY "ECDHE-ECDSA-CHACHA20-POLY1305",
			LEGACY "ECDHE-ECDSA-AES128-CCM8"};
	static const size_t splits[] = {1, 10, 15, 16};
	size_t i, k;
	int how;

	for(i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		for(k = 0; k < sizeof(splits) / sizeof(splits[0]); k++)
			for(how = 0; how < 8; how++) {
				struct rig_setup s = {.role = how % 2 == 0 ? TLS_ROLE_SERVER
														   : TLS_ROLE_CLIENT,
						.ossl = how / 2 % 2 == 1,
						.chop = how / 4 == 1 ? 7 : 0};

				split_check(s, suites[i], splits[k],
						s.ossl ? "split Finished, OpenSSL"
							   : "split Finished, own");
			}
}

/* A session made on one record layer resumes on both. */
static void test_resumption(void)
{
	struct rig_setup s = {.role = TLS_ROLE_SERVER, .tickets = -1};
	int version, how;

	for(version = V12; version <= V13; version++)
		for(how = 0; how < 4; how++) {
			SSL_SESSION *session;
			struct rig rig;

			s.version = version;
			s.session = NULL;
			s.early = NULL;
			s.ossl = how % 2 == 1;
			CU_ASSERT_FATAL(rig_open(&rig, &s));
			expect(send_one(&rig, true, 100), "resumption", "first");
			session = SSL_get1_session(rig.raw);
			SSL_set_shutdown(
					rig.raw, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
			rig_close(&rig);
			s.session = session;
			s.ossl = how / 2 == 1;
			s.early = "right behind the Finished";
			CU_ASSERT(rig_open(&rig, &s));
			expect(SSL_session_reused(rig.raw) == 1
							&& tls_conn_info(rig.conn)->resumed,
					"resumption", "resumed");
			expect(rig.got.n == strlen(s.early), "resumption", "early data");
			expect(send_one(&rig, false, 100) && send_one(&rig, true, 16384)
							&& send_one(&rig, false, 16384),
					"resumption", "exchange");
			rig_close(&rig);
			SSL_SESSION_free(session);
		}
}

/* TLS 1.2, AES-GCM: the explicit nonce goes on by one from OpenSSL's Finished
 * and never comes twice. */
static void nonce_check(enum tls_role role, SSL_SESSION *session)
{
	struct rig_setup s = {
			.role = role, .version = V12, .tickets = -1, .session = session};
	uint64_t last = 0;
	bool first = true, sealed = false;
	size_t at, n, seen = 0, i;
	struct rig rig;

	CU_ASSERT_FATAL(rig_open(&rig, &s));
	for(i = 0; i < 20; i++)
		CU_ASSERT(send_one(&rig, true, 1 + i));
	for(at = 0; (n = tls_record_length(rig.sent.p + at, rig.sent.n - at)) > 0;
			at += n) {
		uint64_t nonce = 0;

		if(sealed) {
			for(i = 0; i < 8; i++)
				nonce = nonce << 8 | rig.sent.p[at + 5 + i];
			CU_ASSERT(first || nonce == last + 1);
			first = false;
			last = nonce;
			seen++;
		}
		sealed |= rig.sent.p[at] == TLS_RECORD_CHANGE_CIPHER_SPEC;
	}
	CU_ASSERT(seen == 21);
	rig_close(&rig);
}

static void test_nonces(void)
{
	struct rig_setup s = {
			.role = TLS_ROLE_SERVER, .version = V12, .tickets = -1};
	SSL_SESSION *session;
	struct rig rig;

	nonce_check(TLS_ROLE_SERVER, NULL);
	nonce_check(TLS_ROLE_CLIENT, NULL);
	CU_ASSERT_FATAL(rig_open(&rig, &s));
	session = SSL_get1_session(rig.raw);
	SSL_set_shutdown(rig.raw, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	rig_close(&rig);
	nonce_check(TLS_ROLE_SERVER, session);
	SSL_SESSION_free(session);
}

/* ---- size of our records ---- */

struct fragment_row
{
	size_t max_fragment;
	uint8_t ext;
	size_t want;
	const char *reason;
};

static const struct fragment_row fragment_rows[] = {
		{99999, 0, 16384, "a setting out of range means the most"},
		{0, 0, 16384, "no setting"},
		{512, 0, 512, "the smallest setting"},
		{1400, 0, 1400, "a packet"},
		{0, TLSEXT_max_fragment_length_512, 512, "the client asks for 512"},
		{0, TLSEXT_max_fragment_length_4096, 4096, "the client: 4096"},
		{600, TLSEXT_max_fragment_length_2048, 600, "the setting is less"},
		{8192, TLSEXT_max_fragment_length_1024, 1024, "the client's is less"},
};

static void test_fragments(void)
{
	size_t i;
	int version;

	for(version = V12; version <= V13; version++)
		for(i = 0; i < sizeof(fragment_rows) / sizeof(fragment_rows[0]); i++) {
			const struct fragment_row *row = &fragment_rows[i];
			struct rig_setup s = {.role = TLS_ROLE_SERVER,
					.version = version,
					.tickets = -1,
					.max_fragment = row->max_fragment,
					.fragment_ext = row->ext,
					.puppet = true};
			struct rig_heard heard;
			struct rig rig;

			CU_ASSERT_FATAL(rig_open(&rig, &s));
			CU_ASSERT(rig_puppet(&rig));
			CU_ASSERT(rig_engine_write(&rig, pattern, 16384) == TLS_RC_OK);
			rig_hear(&rig, &heard);
			expect(!heard.broken && heard.data == 16384
							&& heard.n_largest == row->want,
					row->reason, "our records");
			rig_close(&rig);
		}
}

/* What was agreed binds the peer too (RFC 6066 s4). */
static void test_agreed_fragment(void)
{
	int version, ossl;

	for(version = V12; version <= V13; version++)
		for(ossl = 0; ossl < 2; ossl++) {
			struct rig_setup s = {.role = TLS_ROLE_SERVER,
					.version = version,
					.tickets = -1,
					.ossl = ossl != 0,
					.fragment_ext = TLSEXT_max_fragment_length_512,
					.puppet = true};
			struct rig_heard heard;
			struct rig rig;

			CU_ASSERT_FATAL(rig_open(&rig, &s) && rig_puppet(&rig));
			rig_say(&rig, TLS_RECORD_APPLICATION, pattern, 512);
			rig_engine_read(&rig);
			expect(rig.rc == TLS_RC_OK && rig.got.n == 512, "agreed", "512");
			rig.puppet.fragment = TLS_RECORD_PLAIN_MAX;
			rig_say(&rig, TLS_RECORD_APPLICATION, pattern, 513);
			rig_engine_read(&rig);
			rig_hear(&rig, &heard);
			expect(rig.rc == TLS_RC_PEER && heard.alert == 22
							&& rig.got.n == 512,
					"agreed", ossl ? "513, OpenSSL" : "513, own");
			rig_close(&rig);
		}
}

/* ---- memory ---- */

static void test_idle_memory(void)
{
	int version, role;

	for(version = V12; version <= V13; version++)
		for(role = 0; role < 2; role++) {
			struct rig_setup s = {
					.role = role ? TLS_ROLE_CLIENT : TLS_ROLE_SERVER,
					.version = version,
					.tickets = 0};
			size_t blocks, bytes, kept, kept_bytes;
			struct rig rig;

			CU_ASSERT_FATAL(rig_open(&rig, &s));
			/* with traffic: expanded keys are the process's own */
			CU_ASSERT(
					send_one(&rig, false, 5000) && send_one(&rig, true, 5000));
			tls_ossl_thread_stop();
			tls_mem_flush();
			bytes = port_stub_live_bytes()
					- tls_conn_info(rig.conn)->peer_der_len;
			blocks = port_stub_live_blocks();
			kept = port_stub_private_blocks();
			kept_bytes = port_stub_private_bytes();
			tls_conn_free(&rig.conn);
			tls_mem_flush();
			bytes -= port_stub_live_bytes();
			blocks -= port_stub_live_blocks();
			if(getenv("TLS_TEST_LOG") != NULL)
				printf("idle connection: %zu blocks, %zu bytes; private: "
					   "%zu blocks, %zu bytes\n",
						blocks, bytes, kept - port_stub_private_blocks(),
						kept_bytes - port_stub_private_bytes());
			/* the connection, its facts, the certificate of a server */
			expect(bytes <= 1200 && blocks <= (role ? 3 : 2), "idle connection",
					role ? "client" : "server");
			rig_close(&rig);
		}
}

static bool is_resident(unsigned long page)
{
	unsigned char resident = 0;

	return mincore((void *)(uintptr_t)page, 4096, &resident) == 0
		   && (resident & 1) != 0;
}

/* True when the N bytes at WHAT lie anywhere in shared memory. */
__attribute__((no_sanitize("address"))) static bool in_arena(
		const unsigned char *what, size_t n)
{
	unsigned char *probe = tls_port_alloc(16);
	unsigned long lo = 0, hi = 0, p, run;
	size_t i, k;
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;

	while(maps != NULL && fgets(line, sizeof(line), maps) != NULL)
		if(sscanf(line, "%lx-%lx", &lo, &hi) == 2
				&& (unsigned long)(uintptr_t)probe >= lo
				&& (unsigned long)(uintptr_t)probe < hi)
			break;
	if(maps != NULL)
		fclose(maps);
	tls_port_free(probe);
	for(p = lo; p < hi && !found; p += run) {
		for(run = 0; p + run < hi && is_resident(p + run);)
			run += 4096;
		for(i = 0; i + n <= run && !found; i++) {
			const unsigned char *at = (const unsigned char *)(uintptr_t)(p + i);

			for(k = 0; k < n && at[k] == what[k]; k++)
				;
			found = k == n;
		}
		run += 4096; /* the page that ended it */
	}
	return found;
}

static void test_wiped(void)
{
	size_t i;

	for(i = 0; i < N_PEER_ROWS; i += 3) {
		const struct peer_row *row = &peer_rows[i];
		struct rig_setup s = {.role = i % 2 ? TLS_ROLE_CLIENT : TLS_ROLE_SERVER,
				.version = row->version,
				.suite = row->suite,
				.cert = row->cert,
				.tickets = -1,
				.puppet = true};
		struct tls_record twin;
		struct tls_err err;
		struct rig_heard heard;
		struct rig rig;

		if(!row->own)
			continue;
		CU_ASSERT_FATAL(rig_open(&rig, &s));
		CU_ASSERT(rig_puppet(&rig));
		if(row->version == V13) {
			/* keys that no SSL object has ever seen: OpenSSL leaves the
			 * secrets of the first ones in the memory that it frees */
			rig_say(&rig, TLS_RECORD_HANDSHAKE, "\x18\0\0\1\1", 5);
			CU_ASSERT(tls_record_update(&rig.puppet, TLS_RECORD_WRITE, &err)
					  == TLS_RC_OK);
			rig_engine_read(&rig);
			rig_hear(&rig, &heard);
			CU_ASSERT(heard.key_updates == 1);
		}
		rig_say(&rig, 23, pattern, 100);
		rig_engine_read(&rig);
		CU_ASSERT(rig_engine_write(&rig, pattern, 100) == TLS_RC_OK);
		rig_hear(&rig, &heard);
		CU_ASSERT(heard.data == 100 && rig.got.n == 100);
		twin = rig.puppet;
		expect(in_arena(twin.half[0].key, 16), row->suite, "the search works");
		rig_close(&rig);
		expect(!in_arena(twin.half[0].key, 16)
						&& !in_arena(twin.half[1].key, 16),
				row->suite, "keys wiped");
		expect(!row->own || row->version != V13
						|| (!in_arena(twin.half[0].secret, 32)
								&& !in_arena(twin.half[1].secret, 32)),
				row->suite, "secrets wiped");
	}
}

/* The k-th allocation of the engine fails: over the handshake with its
 * switch, and over traffic. Afterwards the connection works or has said so. */
static void ladder(int version, enum tls_role role, bool established)
{
	unsigned long k;

	for(k = 1; k < 4000; k++) {
		struct rig_setup s = {.role = role,
				.version = version,
				.tickets = -1,
				.out_size = 300,
				.clear_size = 50,
				.chop = 100,
				.fail_at = established ? 0 : k};
		struct rig rig;
		bool up = rig_open(&rig, &s);
		bool good = true;

		if(established) {
			CU_ASSERT_FATAL(up);
			rig.fail_at = k;
		}
		if(up && version == V13)
			good = change_key(&rig);
		good = good && up && send_one(&rig, false, 5000)
			   && send_one(&rig, true, 5000);
		expect(good || (rig.failed && rig.err.rc != TLS_RC_OK),
				established ? "data" : "handshake",
				"a failure is told, and only then it fails");
		if(rig.conn != NULL)
			expect(tls_conn_is_valid(rig.conn), "ladder", "valid");
		k = rig.failed ? k : 100000;
		rig_close(&rig);
	}
	CU_ASSERT(k > 100000);
}

static void test_ladders(void)
{
	ladder(V13, TLS_ROLE_SERVER, true);
	ladder(V12, TLS_ROLE_CLIENT, true);
	ladder(V13, TLS_ROLE_SERVER, false);
	ladder(V12, TLS_ROLE_CLIENT, false);
}

void test_record_add(void)
{
	CU_pSuite suite = CU_add_suite("record", NULL, NULL);

	fill_pattern();
	CU_add_test(suite, "every flipped bit", test_flipped_bits);
	CU_add_test(suite, "short and swapped", test_short_and_swapped);
	CU_add_test(suite, "lengths", test_length);
	CU_add_test(suite, "limits", test_limits);
	CU_add_test(suite, "no content type", test_no_type);
	CU_add_test(suite, "RFC 8448 vectors", test_vectors);
	CU_add_test(suite, "cache: shared slot", test_cache_shared_slot);
	CU_add_test(suite, "cache: after fork", test_cache_after_fork);
	CU_add_test(suite, "cache: private", test_cache_private);
	CU_add_test(suite, "cache: ended elsewhere", test_cache_ended_elsewhere);
	CU_add_test(suite, "processes", test_processes);
	CU_add_test(suite, "engine in processes", test_engine_processes);
	CU_add_test(suite, "all suites", test_peers);
	CU_add_test(suite, "sizes read by OpenSSL", test_puppet_sizes);
	CU_add_test(suite, "the switch", test_switch);
	CU_add_test(suite, "split Finished", test_split_finished);
	CU_add_test(suite, "resumption", test_resumption);
	CU_add_test(suite, "explicit nonces", test_nonces);
	CU_add_test(suite, "fragments", test_fragments);
	CU_add_test(suite, "agreed fragment", test_agreed_fragment);
	CU_add_test(suite, "idle memory", test_idle_memory);
	CU_add_test(suite, "wiped", test_wiped);
	CU_add_test(suite, "failing allocations", test_ladders);
}
