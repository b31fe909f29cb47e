/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A module for the host tests that takes shared memory away and gives it back:
 * hog.fill KB leaves so much free; hog.exhaust KB leaves so much in one piece
 * and else nothing that could be allocated; hog.free gives all back. They
 * answer with what is free then, in KB. One RPC process uses it; no lock. */
#include "core/mem/shm_mem.h"
#include "core/rpc_lookup.h"
#include "core/sr_module.h"

MODULE_VERSION

/* Blocks in which memory is taken, largest first, so that little is left in
 * pieces. */
static const unsigned int sizes[] = {65536, 8192, 1024};

/* And of hog.exhaust: down to what nothing useful fits into. */
static const unsigned int all_sizes[] = {
		1048576, 65536, 8192, 1024, 256, 64, 16};

/* Each block begins with the address of the one before. */
static void *last;

static void say(rpc_t *rpc, void *ctx)
{
	void *reply;

	if(rpc->add(ctx, "{", &reply) >= 0)
		rpc->struct_add(reply, "d", "free", (int)(shm_available() / 1024));
}

static void keep(void **block)
{
	*block = last;
	last = block;
}

static void give_back(void)
{
	while(last != NULL) {
		void *before = *(void **)last;

		shm_free(last);
		last = before;
	}
}

static void fill_cb(rpc_t *rpc, void *ctx)
{
	unsigned long leave;
	unsigned int i;
	int kb = 0;

	if(rpc->scan(ctx, "d", &kb) < 1) {
		rpc->fault(ctx, 400, "how many KB to leave?");
		return;
	}
	leave = (unsigned long)kb * 1024;
	for(i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		while(shm_available() > leave + sizes[i] + 64) {
			void **block = shm_malloc(sizes[i]);

			if(block == NULL)
				break;
			keep(block);
		}
	}
	say(rpc, ctx);
}

static void exhaust_cb(rpc_t *rpc, void *ctx)
{
	void **block;
	void *left = NULL;
	unsigned int i;
	int kb = 0;

	if(rpc->scan(ctx, "d", &kb) < 1 || kb < 0) {
		rpc->fault(ctx, 400, "how many KB to leave?");
		return;
	}
	if(kb > 0)
		left = shm_malloc((size_t)kb * 1024);
	for(i = 0; i < sizeof(all_sizes) / sizeof(all_sizes[0]); i++)
		while((block = shm_malloc(all_sizes[i])) != NULL)
			keep(block);
	if(left != NULL)
		shm_free(left);
	say(rpc, ctx);
}

static void free_cb(rpc_t *rpc, void *ctx)
{
	give_back();
	say(rpc, ctx);
}

static const char *doc[] = {"Takes or gives back shared memory.", 0};

static rpc_export_t commands[] = {{"hog.fill", fill_cb, doc, 0},
		{"hog.exhaust", exhaust_cb, doc, 0}, {"hog.free", free_cb, doc, 0},
		{0, 0, 0, 0}};

static int init(void)
{
	return rpc_register_array(commands) == 0 ? 0 : -1;
}

struct module_exports exports = {.name = "memory_hog", .init_mod_f = init};
