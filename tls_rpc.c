/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* RPC commands and statistics; see tls_rpc.h. A command runs in one process
 * at a time but may run in several processes at once (ctl, jsonrpcs, xhttp).
 * It holds a connection by reference, never by the host's TCP lock, while it
 * asks or answers. */

#include "tls_rpc.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls_cfg.h"
#include "tls_conn.h"
#include "tls_domain.h"
#include "tls_host.h"
#include "tls_info.h"
#include "tls_mem.h"
#include "tls_port.h"
#include "tls_reload.h"
#include "tls_server.h"
#include "tls_x509.h"

#define FAULT 500
#define FAULT_PARAMETER 400

/* Ids noted under one hold of the host's TCP lock. */
#define BATCH 64

/* OpenSSL's descriptions of ciphers have less than 128 bytes
 * (SSL_CIPHER_description(3)). */
#define CIPHER_MAX 128
#define LABEL_MAX 512
#define TIME_MAX sizeof("YYYY-MM-DD hh:mm:ss")
#define UNKNOWN_NAME "N/A"

/* ---- tls.info and statistics ---- */

enum number
{
	NUMBER_OPENED = 0,
	NUMBER_MAX,
	NUMBER_QUEUED
};

static long number_of(enum number which)
{
	struct tcp_gen_info tcp;

	switch(which) {
		case NUMBER_OPENED:
			tcp_get_info(&tcp);
			return tcp.tls_connections_no;
		case NUMBER_MAX:
			tcp_get_info(&tcp);
			return tcp.tls_max_connections;
		case NUMBER_QUEUED:
			return (long)tls_ct_wrq_total();
	}
	return 0;
}

/* RPC integers are 32 bits wide. */
static int rpc_int(size_t n)
{
	return n > INT_MAX ? INT_MAX : (int)n;
}

static counter_val_t statistic_cb(counter_handle_t handle, void *which)
{
	(void)handle;
	return number_of((enum number)(long)which);
}

static counter_def_t statistics[] = {
		{NULL, "opened_connections", 0, statistic_cb, (void *)NUMBER_OPENED,
				"TLS connections that are open now"},
		{NULL, "max_connections", 0, statistic_cb, (void *)NUMBER_MAX,
				"most TLS connections that may be open"},
		{NULL, "clear_text_write_queued_bytes", 0, statistic_cb,
				(void *)NUMBER_QUEUED,
				"clear text that waits for the end of handshakes, in bytes"},
		{NULL, NULL, 0, NULL, NULL, NULL}};

static void info_cb(rpc_t *rpc, void *ctx)
{
	struct tls_domains *domains = tls_domains_acquire();
	void *reply;

	if(rpc->add(ctx, "{", &reply) >= 0)
		rpc->struct_add(reply, "ddddd", "max_connections",
				(int)number_of(NUMBER_MAX), "opened_connections",
				(int)number_of(NUMBER_OPENED), "clear_text_write_queued_bytes",
				rpc_int((size_t)number_of(NUMBER_QUEUED)), "generation",
				domains != NULL ? (int)tls_domains_generation(domains) : 0,
				"profiles",
				domains != NULL ? rpc_int(tls_domains_count(domains)) : 0);
	tls_domains_unref(&domains);
}

/* ---- tls.mem ---- */

/* A figure that counts for a moment more frees than allocations is nothing. */
static unsigned long rpc_ulong(int64_t n)
{
	return n > 0 ? (unsigned long)n : 0;
}

static void mem_cb(rpc_t *rpc, void *ctx)
{
	struct tls_mem_stats all;
	char *word = NULL;
	void *reply;

	if(rpc->scan(ctx, "*.s", &word) == 1) {
		if(strcmp(word, "flush") != 0) {
			rpc->fault(ctx, FAULT_PARAMETER,
					"\"%s\" is not known here (write flush or nothing)", word);
			return;
		}
		tls_mem_flush_all();
	}
	tls_mem_stats_of_all(&all);
	if(rpc->add(ctx, "{", &reply) >= 0)
		rpc->struct_add(reply, "jjjjjjjjjjj", "blocks", rpc_ulong(all.blocks),
				"bytes", rpc_ulong(all.bytes), "cached_blocks",
				rpc_ulong(all.cached_blocks), "cached_bytes",
				rpc_ulong(all.cached_bytes), "cached_most",
				rpc_ulong(all.cached_most), "cached_max",
				(unsigned long)TLS_MEM_CACHE_MAX, "hits", rpc_ulong(all.hits),
				"misses", rpc_ulong(all.misses), "flushes",
				rpc_ulong(all.flushes), "private_blocks",
				rpc_ulong(all.private_blocks), "private_bytes",
				rpc_ulong(all.private_bytes));
}

/* ---- tls.list ---- */

/* One row, copied so that nothing is held while the reply is written. */
struct row
{
	char profile[LABEL_MAX];
	char server_name[TLS_INFO_NAME_MAX + 1];
	char created[TIME_MAX];
	char peer_ip[IP_ADDR_MAX_STR_SIZE];
	char own_ip[IP_ADDR_MAX_STR_SIZE];
	char cipher[CIPHER_MAX];
	const char *state;
	const char *version;
	const char *role;
	char peer[TLS_X509_LINE_MAX]; /* subject of its certificate */
	int resumed;
	int verified;
	int id;
	int timeout; /* s, negative when over */
	int peer_port;
	int own_port;
	int queued;
	int stashed;
	int kept;
	int unsent;
	int flags;
};

/* Which rows are wanted; 0 and NULL = all. Texts are the caller's. */
struct filter
{
	char *profile; /* part of the name */
	char *address; /* ip, or ip:port, of either side */
	char *state;
	int id;
	int limit;
	int offset;
	int seen; /* rows that would have been shown */
};

/* True when the id A was given before B; ids count up and start anew at the
 * end of their range. */
static bool is_older(int a, int b)
{
	return ((unsigned int)a - (unsigned int)b) % TLS_SERVER_IDS
		   > TLS_SERVER_IDS / 2;
}

/* Notes the ids of up to BATCH TLS connections in BUCKET of the host's table,
 * newest first as the host keeps them; only those older than *BEFORE unless
 * it is NULL. The one place that holds the host's TCP lock. */
static size_t note_ids(
		unsigned int bucket, const int *before, int ids[static BATCH])
{
	struct tcp_connection *c;
	size_t n = 0;

	TCPCONN_LOCK;
	for(c = tcpconn_id_hash[bucket]; c != NULL && n < BATCH; c = c->id_next) {
		if(TLS_HOST_IS_TLS(c) && (before == NULL || is_older(c->id, *before)))
			ids[n++] = c->id;
	}
	TCPCONN_UNLOCK;
	return n;
}

static const char *state_text(const struct tls_conn *conn)
{
	switch(tls_conn_state(conn)) {
		case TLS_CONN_NEW:
			return "none/init";
		case TLS_CONN_HANDSHAKE:
			return tls_conn_role(conn) == TLS_ROLE_SERVER ? "tls_accept"
														  : "tls_connect";
		case TLS_CONN_ESTABLISHED:
			return "established";
		case TLS_CONN_CLOSED:
		case TLS_CONN_FAILED:
			break;
	}
	return "unknown/error";
}

/* The part that the TLS side knows. Under C's write_lock. */
static void fill_tls_locked(struct row *row, struct tcp_connection *c)
{
	const struct tls_conn *conn = tls_server_conn(c);
	const struct tls_info *info = tls_server_info(c);

	if(conn == NULL)
		return;
	row->state = state_text(conn);
	row->queued = rpc_int(tls_conn_queued(conn));
	row->stashed = rpc_int(tls_conn_stashed(conn));
	row->kept = rpc_int(tls_conn_kept(conn));
	row->unsent = rpc_int(tls_conn_unsent(conn));
	snprintf(row->profile, sizeof(row->profile), "%s",
			tls_server_profile(c)->label);
	row->role = tls_conn_role(conn) == TLS_ROLE_SERVER ? "server" : "client";
	if(info == NULL)
		return;
	row->version = tls_info_version(info);
	row->resumed = info->resumed;
	row->verified = tls_info_peer_verified(info);
	tls_info_cipher_description(info, row->cipher, sizeof(row->cipher));
	if(info->server_name != NULL)
		snprintf(row->server_name, sizeof(row->server_name), "%s",
				info->server_name);
}

static void print_time(time_t when, char out[static TIME_MAX])
{
	struct tm local;

	if(when == 0 || localtime_r(&when, &local) == NULL
			|| strftime(out, TIME_MAX, "%Y-%m-%d %H:%M:%S", &local) == 0)
		snprintf(out, TIME_MAX, UNKNOWN_NAME);
}

static void print_address(
		struct ip_addr *ip, char out[static IP_ADDR_MAX_STR_SIZE])
{
	int n = ip_addr2sbuf(ip, out, IP_ADDR_MAX_STR_SIZE - 1);

	out[n > 0 ? n : 0] = '\0';
}

/* Who the peer says it is. Facts never change: no lock. */
static void fill_peer(struct row *row, const struct tls_info *info)
{
	static const struct tls_x509_query query = {.field = TLS_X509_SUBJECT};

	if(info == NULL
			|| !tls_x509_text(info->peer_der, info->peer_der_len, &query,
					row->peer, sizeof(row->peer)))
		snprintf(row->peer, sizeof(row->peer), UNKNOWN_NAME);
}

/* The caller holds a reference on C. */
static void fill_row(struct row *row, struct tcp_connection *c)
{
	memset(row, 0, sizeof(*row));
	snprintf(row->profile, sizeof(row->profile), UNKNOWN_NAME);
	snprintf(row->server_name, sizeof(row->server_name), UNKNOWN_NAME);
	snprintf(row->cipher, sizeof(row->cipher), "unknown");
	row->state = "pre-init";
	row->version = "unknown";
	row->role = (c->flags & F_CONN_PASSIVE) != 0 ? "server" : "client";
	row->id = c->id;
	row->flags = (int)c->flags;
	row->timeout = (int)(c->timeout - get_ticks_raw()) / (int)TIMER_TICKS_HZ;
	row->peer_port = TCP_PPORT(c);
	row->own_port = TCP_LPORT(c);
	print_address(TCP_PADDR(c), row->peer_ip);
	print_address(TCP_LADDR(c), row->own_ip);
	lock_get(&c->write_lock);
	fill_tls_locked(row, c);
	print_time(tls_server_created(c), row->created);
	lock_release(&c->write_lock);
	fill_peer(row, tls_server_info(c));
}

/* Returns false when the reply takes no more. */
static bool add_row(rpc_t *rpc, void *ctx, const struct row *row)
{
	void *reply;

	return rpc->add(ctx, "{", &reply) >= 0
		   && rpc->struct_add(reply, "dsssdsdsdsdddsddssdsd", "id", row->id,
					  "dom", row->profile, "sni", row->server_name, "timestamp",
					  row->created, "timeout", row->timeout, "src_ip",
					  row->peer_ip, "src_port", row->peer_port, "dst_ip",
					  row->own_ip, "dst_port", row->own_port, "cipher",
					  row->cipher, "ct_wq_size", row->queued, "enc_rd_buf",
					  row->stashed, "flags", row->flags, "state", row->state,
					  "ct_rd_buf", row->kept, "enc_wq_size", row->unsent,
					  "version", row->version, "role", row->role, "resumed",
					  row->resumed, "peer", row->peer, "verified",
					  row->verified)
					  >= 0;
}

/* True when WANT is IP, or IP:PORT. */
static bool is_address(const char *want, const char *ip, int port)
{
	size_t n = strlen(ip);

	if(strncmp(want, ip, n) != 0)
		return false;
	return want[n] == '\0'
		   || (want[n] == ':' && strtol(want + n + 1, NULL, 10) == port);
}

static bool is_wanted(const struct filter *filter, const struct row *row)
{
	if(filter->profile != NULL && strstr(row->profile, filter->profile) == NULL)
		return false;
	if(filter->state != NULL && strcmp(row->state, filter->state) != 0)
		return false;
	return filter->address == NULL
		   || is_address(filter->address, row->peer_ip, row->peer_port)
		   || is_address(filter->address, row->own_ip, row->own_port);
}

/* True when the limit is reached and no row can be shown any more. */
static bool is_full(const struct filter *filter)
{
	return filter->limit > 0 && filter->seen >= filter->offset + filter->limit;
}

/* Returns false when the reply takes no more. */
static bool list_one(rpc_t *rpc, void *ctx, struct filter *filter, int id)
{
	struct tcp_connection *c = tcpconn_get(id, NULL, 0, NULL, 0);
	static struct row row; /* of this process */

	if(c != NULL && !TLS_HOST_IS_TLS(c)) {
		tls_server_put(c);
		c = NULL;
	}
	if(c == NULL)
		return true; /* ended since its id was noted */
	fill_row(&row, c);
	tls_server_put(c);
	if(!is_wanted(filter, &row) || filter->seen++ < filter->offset)
		return true;
	return add_row(rpc, ctx, &row);
}

/* Returns false when the reply takes no more. */
static bool list_bucket(
		rpc_t *rpc, void *ctx, struct filter *filter, unsigned int bucket)
{
	int ids[BATCH];
	const int *before = NULL;
	int last;
	size_t n;
	size_t i;

	do {
		n = note_ids(bucket, before, ids);
		for(i = 0; i < n; i++) {
			if(is_full(filter))
				return true;
			if(!list_one(rpc, ctx, filter, ids[i]))
				return false;
		}
		if(n > 0) {
			last = ids[n - 1];
			before = &last;
		}
	} while(n == BATCH);
	return true;
}

/* A whole number that is no less than 0. */
static bool read_count(const char *text, int *out)
{
	return tls_params_parse_int(text, 0, INT_MAX, out, NULL) == TLS_RC_OK;
}

/* Takes the pair KEY and VALUE; false when there is no such thing. */
static bool take_filter(struct filter *filter, const char *key, char *value)
{
	if(strcmp(key, "profile") == 0)
		filter->profile = value;
	else if(strcmp(key, "address") == 0)
		filter->address = value;
	else if(strcmp(key, "state") == 0)
		filter->state = value;
	else if(strcmp(key, "id") == 0)
		return read_count(value, &filter->id) && filter->id > 0;
	else if(strcmp(key, "limit") == 0)
		return read_count(value, &filter->limit);
	else if(strcmp(key, "offset") == 0)
		return read_count(value, &filter->offset);
	else
		return false;
	return true;
}

/* Reads pairs of words; false when the fault has been sent. */
static bool read_filter(rpc_t *rpc, void *ctx, struct filter *filter)
{
	char *key = NULL;
	char *value = NULL;

	while(rpc->scan(ctx, "*.s", &key) == 1) {
		if(rpc->scan(ctx, "*.s", &value) == 1
				&& take_filter(filter, key, value))
			continue;
		rpc->fault(ctx, FAULT_PARAMETER,
				"parameters are pairs: profile, address, state, id, limit or "
				"offset and its value");
		return false;
	}
	return true;
}

/* Many short holds of the TCP lock: no connection waits for the whole list,
 * and no write_lock is ever taken under it. */
static void list_cb(rpc_t *rpc, void *ctx)
{
	struct filter filter = {0};
	unsigned int bucket;

	if(!read_filter(rpc, ctx, &filter))
		return;
	if(filter.id != 0) {
		(void)list_one(rpc, ctx, &filter, filter.id);
		return;
	}
	for(bucket = 0; bucket < TCP_ID_HASH_SIZE && !is_full(&filter); bucket++) {
		if(!list_bucket(rpc, ctx, &filter, bucket)) {
			rpc->fault(ctx, FAULT, "the list does not fit into one reply");
			return;
		}
	}
}

/* ---- tls.options ---- */

static char *text_or_empty(char *text)
{
	return text != NULL ? text : "";
}

static int add_profile_options(rpc_t *rpc, void *reply)
{
	const struct tls_profile_params *p = tls_cfg_profile();
	char method[TLS_METHOD_TEXT_MAX];
	char key[PATH_MAX];

	return rpc->struct_add(reply, "sdddsssss", "method",
			tls_params_method_text(&p->method, method), "verify_certificate",
			p->verify_certificate, "verify_depth", p->verify_depth,
			"require_certificate", p->require_certificate, "verify_client",
			tls_params_verify_client_text(p->verify_client), "private_key",
			(char *)tls_params_path_text(
					text_or_empty(p->private_key), key, sizeof(key)),
			"ca_list", text_or_empty(p->ca_list), "certificate",
			text_or_empty(p->certificate), "cipher_list",
			text_or_empty(p->cipher_list));
}

#define ADD_BOOL(field_, value_) rpc->struct_add(reply, "d", field_, value_)
#define ADD_INT(field_, value_) rpc->struct_add(reply, "d", field_, value_)
#define ADD_STR(field_, value_) \
	rpc->struct_add(reply, "s", field_, text_or_empty(value_))
#define ADD_PATH(field_, value_) ADD_STR(field_, value_)

/* The first setting of the table stands before the profile's, see below. */
#define ADD_SETTING(m_, type_, def_, min_, max_, mod_, cfg_, rt_, rpc_, doc_) \
	field = rpc_;                                                             \
	if(field != NULL && strcmp(field, "force_run") != 0)                      \
		ADD_##type_(field, s->m_);

static void add_settings(rpc_t *rpc, void *reply)
{
	const struct tls_settings *s = tls_cfg_settings();
	char *field;

	TLS_SETTINGS_OPTIONS(ADD_SETTING)
}

/* Passwords are not among them. */
static void options_cb(rpc_t *rpc, void *ctx)
{
	void *reply;

	if(rpc->add(ctx, "{", &reply) < 0)
		return;
	rpc->struct_add(reply, "d", "force_run", tls_cfg_settings()->force_run);
	add_profile_options(rpc, reply);
	add_settings(rpc, reply);
}

/* ---- tls.reload ---- */

/* Room for the reason in a fault: the host's binary RPC loses replies with
 * faults of 256 bytes and more (modules/ctl/binrpc_run.c). */
#define REASON_MAX 190

/* True when there is a file; else the fault has been sent. */
static bool have_file(rpc_t *rpc, void *ctx)
{
	const char *file = tls_cfg_settings()->config;

	if(file != NULL && *file != '\0')
		return true;
	rpc->fault(ctx, FAULT, "No TLS configuration file configured");
	return false;
}

static void reload_cb(rpc_t *rpc, void *ctx)
{
	char answer[TLS_RELOAD_TEXT_MAX];
	enum tls_rc rc;
	int n;

	if(!have_file(rpc, ctx))
		return;
	rc = tls_reload_run(true, answer, sizeof(answer));
	n = (int)strcspn(answer, "\n");
	if(rc == TLS_RC_OK)
		rpc->rpl_printf(ctx, "Ok. TLS configuration reloaded. %s.", answer);
	else if(rc == TLS_RC_AGAIN)
		rpc->fault(ctx, FAULT, "%s", answer);
	else
		rpc->fault(ctx, FAULT, "Error while loading TLS configuration: %.*s%s",
				n < REASON_MAX ? n : REASON_MAX, answer,
				answer[n] != '\0' ? " (tls.check lists more)" : "");
}

/* Each error is a text of its own. */
static void check_cb(rpc_t *rpc, void *ctx)
{
	char answer[TLS_RELOAD_TEXT_MAX];
	char *line = answer;
	enum tls_rc rc;
	size_t n;

	if(!have_file(rpc, ctx))
		return;
	rc = tls_reload_run(false, answer, sizeof(answer));
	if(rc == TLS_RC_OK)
		rpc->rpl_printf(ctx,
				"Ok. The TLS configuration is good, nothing was changed. %s.",
				answer);
	while(rc != TLS_RC_OK && *line != '\0') {
		n = strcspn(line, "\n");
		rpc->rpl_printf(ctx, "%.*s", (int)n, line);
		line += n + (line[n] != '\0');
	}
}

/* ---- tls.kill ---- */

/* The TLS connection ID with a reference for the caller, or NULL. The look-up
 * takes no id of 0: that would search by address. */
static struct tcp_connection *find_tls(int id)
{
	struct tcp_connection *c =
			id > 0 ? tcpconn_get(id, NULL, 0, NULL, 0) : NULL;

	if(c != NULL && !TLS_HOST_IS_TLS(c)) {
		tls_server_put(c);
		c = NULL;
	}
	return c;
}

/* Ends ID when its profile is LABEL; true when it did. */
static bool kill_of_profile(int id, const char *label)
{
	struct tcp_connection *c = find_tls(id);
	const struct tls_profile *profile =
			c != NULL ? tls_server_profile(c) : NULL;

	if(profile != NULL && strcmp(profile->label, label) == 0)
		return tls_server_kill(c);
	tls_server_put(c);
	return false;
}

/* Ends all connections of the profile LABEL; returns their number. */
static int kill_profile(const char *label)
{
	int ids[BATCH];
	const int *before;
	unsigned int bucket;
	int killed = 0;
	int last;
	size_t n;
	size_t i;

	for(bucket = 0; bucket < TCP_ID_HASH_SIZE; bucket++) {
		before = NULL;
		do {
			n = note_ids(bucket, before, ids);
			for(i = 0; i < n; i++)
				killed += kill_of_profile(ids[i], label);
			if(n > 0) {
				last = ids[n - 1];
				before = &last;
			}
		} while(n == BATCH);
	}
	return killed;
}

static void kill_one(rpc_t *rpc, void *ctx, const char *text)
{
	struct tcp_connection *c;
	int id;

	if(tls_params_parse_int(text, INT_MIN, INT_MAX, &id, NULL) != TLS_RC_OK) {
		rpc->fault(ctx, FAULT_PARAMETER, "\"%s\" is not the id of a connection",
				text);
		return;
	}
	c = find_tls(id);
	if(c == NULL)
		rpc->add(ctx, "s", "TLS connection id not found");
	else if(tls_server_kill(c))
		rpc->add(ctx, "s", "OK");
	else
		rpc->fault(ctx, FAULT, "could not reach the TCP main process");
}

static void kill_cb(rpc_t *rpc, void *ctx)
{
	char *what = NULL;
	char *label = NULL;

	if(rpc->scan(ctx, "*.s", &what) != 1) {
		rpc->fault(ctx, FAULT_PARAMETER,
				"the id of a connection is needed, or the word profile and "
				"the name of a profile");
		return;
	}
	if(rpc->scan(ctx, "*.s", &label) != 1)
		kill_one(rpc, ctx, what);
	else if(strcmp(what, "profile") == 0)
		rpc->add(ctx, "d", kill_profile(label));
	else
		rpc->fault(ctx, FAULT_PARAMETER,
				"\"%s\" is not known here (write profile and its name)", what);
}

/* ---- registration ---- */

#define DOC(name_, text_) static const char *name_[] = {text_, NULL}

DOC(info_doc, "Numbers of the TLS module.");
DOC(mem_doc, "Memory that OpenSSL uses, in all processes.");
DOC(list_doc, "All TLS connections.");
DOC(options_doc, "Settings of the TLS module that are in effect.");
DOC(reload_doc, "Reads the TLS configuration file and its files again.");
DOC(check_doc, "Says what tls.reload would find wrong, and changes nothing.");
DOC(kill_doc, "Ends a TLS connection, or all of a profile.");

static rpc_export_t commands[] = {{"tls.info", info_cb, info_doc, 0},
		{"tls.mem", mem_cb, mem_doc, 0},
		{"tls.list", list_cb, list_doc, RET_ARRAY},
		{"tls.options", options_cb, options_doc, 0},
		{"tls.reload", reload_cb, reload_doc, TLS_HOST_RPC_DELTA},
		{"tls.check", check_cb, check_doc, RET_ARRAY},
		{"tls.kill", kill_cb, kill_doc, 0}, {NULL, NULL, NULL, 0}};

enum tls_rc tls_rpc_init(struct tls_err *err)
{
	if(counter_register_array("tls", statistics) < 0)
		return tls_err_set(err, TLS_RC_CONFIG,
				"could not register the statistics group \"tls\"");
	if(rpc_register_array(commands) != 0)
		return tls_err_set(err, TLS_RC_CONFIG,
				"could not register the RPC commands tls.*");
	return TLS_RC_OK;
}
