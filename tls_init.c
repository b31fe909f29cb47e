/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Order of life; see tls_init.h. */

#include "tls_init.h"

#include <stdio.h>

#include "tls_cfg.h"
#include "tls_ct_wrq.h"
#include "tls_der.h"
#include "tls_domain.h"
#include "tls_events.h"
#include "tls_foreign.h"
#include "tls_guard.h"
#include "tls_host.h"
#include "tls_kdf.h"
#include "tls_keylog.h"
#include "tls_locking.h"
#include "tls_metrics.h"
#include "tls_port.h"
#include "tls_mem.h"
#include "tls_rand.h"
#include "tls_reload.h"
#include "tls_rpc.h"
#include "tls_rpc_profiles.h"
#include "tls_rpc_stats.h"
#include "tls_server.h"
#include "tls_start.h"

static bool enabled; /* TLS is on in the core and the hooks are registered */

static int fail(const struct tls_err *err)
{
	LM_ERR("%s\n", err->text);
	return -1;
}

/* ---- hooks without a connection ---- */

static int pre_init_cb(void)
{
	return 0;
}

/* After init_modules and the process table, before any fork. */
static int init_cb(void)
{
	struct tls_err err;

	if(tls_start_check(tls_cfg_settings()->force_run != 0, &err) != TLS_RC_OK)
		return fail(&err);
	if(tls_mem_share_stats() != TLS_RC_OK || tls_metrics_init() != TLS_RC_OK) {
		LM_ERR("out of shared memory (start with a larger -m)\n");
		return -1;
	}
	return 0;
}

/* For each tls: listener, before the user id changes. */
static int init_si_cb(struct socket_info *si)
{
	int rc = tcp_init(si);

	if(rc != 0) {
		LM_ERR("could not listen on %.*s\n", si->address_str.len,
				si->address_str.s);
		return rc;
	}
	si->proto = PROTO_TLS;
	return 0;
}

/* ---- start ---- */

int tls_init_register(void)
{
	struct tls_hooks hooks = {
			.init = init_cb, .init_si = init_si_cb, .pre_init = pre_init_cb};
	struct tls_err err;

	if(tls_disable) {
		LM_WARN("TLS is off in the core: put enable_tls=yes before "
				"loadmodule \"tls.so\"\n");
		return 0;
	}
	if(!shm_initialized() && init_shm() < 0) {
		LM_ERR("could not initialise shared memory\n");
		return -1;
	}
	if(tls_start_library(&err) != TLS_RC_OK)
		return fail(&err);
	tls_server_hooks(&hooks);
	(void)register_tls_hooks(&hooks); /* refuses only when TLS is off */
	enabled = true;
	return 0;
}

static int keylog_mode_cb(void)
{
	return tls_cfg_settings()->keylog_mode;
}

static enum tls_rc start_keylog(struct tls_err *err)
{
	const struct tls_settings *s = tls_cfg_settings();
	struct tls_keylog_args args = {
			s->keylog_mode, keylog_mode_cb, s->keylog_file, s->keylog_peer};

	return tls_keylog_init(&args, err);
}

/* Nobody should have to find out why connections need so much memory. */
static void note_key_schedule(void)
{
	if(tls_cfg_own_records() && !tls_kdf_is_used())
		LM_NOTICE("OpenSSL's configuration asks for another key schedule "
				  "than ours: connections stay on OpenSSL's record layer\n");
}

static enum tls_rc start_foreign(struct tls_err *err)
{
	const struct tls_settings *s = tls_cfg_settings();
	struct tls_foreign_args args = {
			s->provider_quirks_config, s->engine, s->engine_config};

	return tls_foreign_init(&args, err);
}

int tls_init_module(void)
{
	struct tls_err err;

	if(!enabled || tls_disable)
		return 0;
	/* The core has one set of hooks, which the last to come has, and counts who
	 * came: with parts of two modules in them nothing would hold. */
	if(tls_loaded() != 1) {
		LM_ERR("another TLS module is loaded: remove it\n");
		return -1;
	}
	tls_err_clear(&err);
	if(tls_cfg_init(&err) != TLS_RC_OK)
		return fail(&err);
	if(tls_locking_init() != TLS_RC_OK || tls_ct_wrq_init_total() != TLS_RC_OK
			|| tls_domains_init() != TLS_RC_OK || tls_der_init() != TLS_RC_OK
			|| tls_server_init() != TLS_RC_OK) {
		LM_ERR("out of shared memory (start with a larger -m)\n");
		return -1;
	}
	if(start_keylog(&err) != TLS_RC_OK
			|| tls_guard_init(tls_server_expire, &err) != TLS_RC_OK
			|| tls_reload_init(&err) != TLS_RC_OK
			|| tls_rpc_init(&err) != TLS_RC_OK
			|| tls_rpc_stats_init(&err) != TLS_RC_OK
			|| tls_rpc_profiles_init(&err) != TLS_RC_OK
			|| tls_reload_watch(&err) != TLS_RC_OK
			|| start_foreign(&err) != TLS_RC_OK
			|| tls_server_watch_scripts(&err) != TLS_RC_OK)
		return fail(&err);
	note_key_schedule();
	tls_events_init();
	return 0;
}

static int prepare_child(void)
{
	struct tls_err err;

	if(tls_rand_child(&err) != TLS_RC_OK)
		return fail(&err);
	return 0;
}

void tls_init_stop(void)
{
	/* Nothing is freed: see tls_server_stop. */
	tls_server_stop();
}

int tls_init_child(int rank)
{
	if(!enabled || tls_disable)
		return 0;
	switch(rank) {
		case PROC_INIT:
			return tls_reload_run(true, NULL, 0) == TLS_RC_OK ? 0 : -1;
		case PROC_MAIN:
		case PROC_POSTCHILDINIT:
			return 0; /* the main process again: prepared in PROC_INIT */
		default:
			return prepare_child();
	}
}
