/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The host's TCP hooks; see tls_server.h. */

#include "tls_server.h"

#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tls_addr.h"
#include "tls_cfg.h"
#include "tls_conn.h"
#include "tls_ctx.h"
#include "tls_domain.h"
#include "tls_events.h"
#include "tls_guard.h"
#include "tls_host.h"
#include "tls_ident.h"
#include "tls_limits.h"
#include "tls_metrics.h"
#include "tls_port.h"
#include "tls_x509.h"

#define SESSION_MAGIC 0x74736530U /* "tse0" */

/* Private buffers of the process: ciphertext in and out. One full record and
 * more, so that a step seldom stops for want of room; large enough to take
 * what a busy socket holds. */
#define BUFFER_SIZE 65536

_Static_assert(BUFFER_SIZE >= TLS_CONN_OUT_LEAST,
		"nothing may be left of a message that was taken");

/* Least number of bytes asked of the socket, however little room is left. */
#define SOCKET_READ_MIN 4096

/* Reads of the socket in one call of the host: a fast sender must not keep a
 * receiver for itself. */
#define SOCKET_READS_MAX 8

/* How far the first handshake of a session has come, as it was counted. */
enum phase
{
	PHASE_HANDSHAKE = 0,
	PHASE_DONE,
	PHASE_FAILED
};

/* What hangs on extra_data, in shared memory. Set once under write_lock by
 * the first user of the connection; freed by the clean hook. */
struct tls_session
{
	unsigned int magic;
	struct tls_conn *conn;		 /* owned; lies behind this struct */
	struct tls_domains *domains; /* owned reference: our generation */
	/* borrowed from domains; any process reads it, also while the name that a
	 * client asks for changes it */
	const struct tls_profile *_Atomic profile;
	struct tls_addr local; /* by which profiles are chosen */
	time_t created;		   /* of the session */
	uint64_t began;		   /* the handshake, in ms */
	enum phase phase;
	bool in_flight; /* counted as a handshake of a peer */
	/* where it is counted as a connection of its profile; borrowed from
	 * domains, NULL before */
	struct tls_limits_usage *usage;
	unsigned int portions; /* reads that brought a part of one message */
	bool eof_waits;		   /* the host's EOF is held back for pending bytes */
	bool close_waits;	   /* close when the clear-text queue has been sent */
	bool unfinished;	   /* the host has to send the rest of a message */
	bool failure_told;	   /* to the script */
	bool reported;		   /* the failure was logged once */
};

static bool stopping; /* main process: tls_server_stop() was called */

static unsigned char in_buffer[BUFFER_SIZE];
static unsigned char out_buffer[BUFFER_SIZE];

/* ---- sessions ---- */

static struct tls_session *session_of(const struct tcp_connection *c)
{
	/* Scripts and RPCs come here without write_lock while another process makes
	 * the session: who sees the pointer sees what is behind it. */
	struct tls_session *session =
			__atomic_load_n(&c->extra_data, __ATOMIC_ACQUIRE);

	if(session == NULL || session->magic != SESSION_MAGIC)
		return NULL;
	return session;
}

/* ---- counting ---- */

/* The handshake of S has ended, one way or the other. */
static void leave_handshake(struct tls_session *s, enum phase phase)
{
	s->phase = phase;
	if(s->in_flight)
		tls_guard_leave();
	s->in_flight = false;
}

static void count_failed(struct tls_session *s, enum tls_cause cause)
{
	if(s->phase == PHASE_HANDSHAKE)
		tls_metrics_failed(cause);
	else if(s->phase == PHASE_DONE)
		tls_metrics_count(TLS_METRIC_FAILED_LATER);
	leave_handshake(s, PHASE_FAILED);
}

static void count_completed(struct tls_session *s)
{
	const struct tls_info *info = tls_conn_info(s->conn);
	bool server = tls_conn_role(s->conn) == TLS_ROLE_SERVER;
	int version = info->version - TLS_VERSION_1_0;
	enum tls_metric first =
			server ? TLS_METRIC_SERVER_1_0 : TLS_METRIC_CLIENT_1_0;

	if(version >= 0 && version <= TLS_VERSION_1_3 - TLS_VERSION_1_0)
		tls_metrics_count((enum tls_metric)(first + (unsigned int)version));
	if(info->resumed)
		tls_metrics_count(
				server ? TLS_METRIC_RESUMED_SERVER : TLS_METRIC_RESUMED_CLIENT);
	tls_metrics_took(tls_port_ms() - s->began);
	leave_handshake(s, PHASE_DONE);
}

/* What one step moved. */
static void count_step(const struct tls_conn_io *io)
{
	tls_metrics_add(TLS_METRIC_RECORDS_IN, io->n_records_in);
	tls_metrics_add(TLS_METRIC_RECORDS_OUT, io->n_records_out);
	tls_metrics_add(TLS_METRIC_BYTES_OUT, io->n_out);
}

static void session_free(struct tls_session **session)
{
	struct tls_session *s = *session;

	*session = NULL;
	if(s == NULL)
		return;
	if(s->conn != NULL && s->phase == PHASE_HANDSHAKE)
		count_failed(s, TLS_CAUSE_CLOSED); /* the host closed it */
	tls_limits_usage_sub(s->usage);
	tls_conn_free(&s->conn);
	tls_domains_unref(&s->domains);
	s->magic = 0;
	tls_port_free(s);
}

/* Why the step that this process is in refused a name; settle() takes it. */
static struct tls_err name_refused;

/* The client has said which name it wants to reach: the profile of that name
 * in the generation that this connection holds. Inside a handshake step, under
 * write_lock. */
static struct tls_ctx *by_name_cb(void *arg, const char *name)
{
	struct tls_session *session = arg;
	struct tls_domain_query query = {
			.role = TLS_ROLE_SERVER, .local = &session->local, .name = name};

	session->profile = tls_domain_lookup(session->domains, &query);
	if(session->profile->p.strict_sni
			&& !tls_profile_serves(session->profile, name)) {
		tls_err_set(&name_refused, TLS_RC_PEER,
				"refused, no profile has the name \"%s\" (strict_sni)", name);
		(void)tls_err_because(&name_refused, TLS_RC_PEER, TLS_CAUSE_NAME);
		return TLS_CTX_REFUSE;
	}
	return session->profile->ctx;
}

/* What is sent first on a connection that we open; NULL on others. */
struct first_message
{
	const char *text;
	size_t n;
};

/* The server name to ask for: what the script says, or the profile; OUT has
 * room for one. NULL: none. */
static const char *choose_sni(const struct tls_profile *profile,
		const struct tls_domain_query *query, const struct first_message *first,
		char out[TLS_NAME_MAX + 1])
{
	const char *sni;
	bool from_target;

	if(query->role == TLS_ROLE_SERVER || query->name != NULL)
		return query->name;
	sni = tls_profile_sni(profile, &from_target);
	if(from_target && first != NULL
			&& tls_name_sip_target(first->text, first->n, out) == TLS_RC_OK)
		return out;
	return sni;
}

/* What the script hears when the handshake of a connection is complete. */
static enum tls_event event_of(enum tls_role role)
{
	return role == TLS_ROLE_SERVER ? TLS_EVENT_IN : TLS_EVENT_OUT;
}

/* PEER is whom the other side has to be, NULL for the server name. */
static enum tls_rc session_new(struct tls_session **out,
		const struct tls_domain_query *query, const char *peer,
		const struct first_message *first, struct tls_err *err)
{
	/* both in one block: each costs the host some hundred bytes more */
	struct tls_session *session =
			tls_port_alloc(sizeof(*session) + tls_conn_size());
	int fragment = tls_cfg_settings()->ssl_max_send_fragment;
	struct tls_conn_args args = {.role = query->role,
			.peer_name = peer,
			.hold = tls_events_wants(event_of(query->role)),
			.own_records = tls_cfg_own_records(),
			.max_fragment = fragment > 0 ? (size_t)fragment : 0,
			.place = session + 1};
	char sni[TLS_NAME_MAX + 1];
	enum tls_rc rc;

	*out = NULL;
	if(session == NULL)
		return tls_err_set(err, TLS_RC_NOMEM, "out of shared memory");
	memset(session, 0, sizeof(*session));
	session->magic = SESSION_MAGIC;
	session->created = time(NULL);
	session->began = tls_port_ms();
	session->domains = tls_domains_acquire();
	if(session->domains == NULL) {
		rc = tls_err_set(err, TLS_RC_BUG, "no profiles are loaded");
		goto out;
	}
	session->profile = tls_domain_lookup(session->domains, query);
	session->local = *query->local;
	args.ctx = session->profile->ctx;
	args.server_name = choose_sni(session->profile, query, first, sni);
	args.by_name = query->role == TLS_ROLE_SERVER ? by_name_cb : NULL;
	args.by_name_arg = session;
	rc = tls_conn_new(&session->conn, &args, err);
	if(rc != TLS_RC_OK)
		goto out;
	*out = session;
	session = NULL; /* now owned by the caller */
out:
	session_free(&session);
	return rc;
}

/* ---- what the script asks of connections that it opens ---- */

/* Longest server name or server_id with its 0 byte. */
#define WISH_MAX 256

/* Which message: the TCP hooks do not get it, so its number tells, and who
 * counted it. What has no number of its own (failure routes run by a timer) is
 * told apart by the end of the script. */
struct message
{
	unsigned int number;
	int process;
};

/* A wish of the script and the message that it belongs to. */
struct script_wish
{
	char id[WISH_MAX]; /* empty = none */
	struct message message;
};
static struct script_wish wished;	   /* tls_server_wish_id */
static struct script_wish wished_peer; /* tls_server_wish_peer */

/* Fields of the xavp. */
enum wish
{
	WISH_SERVER_NAME = 0,
	WISH_SERVER_ID,
	WISH_PEER_NAME
};
static const char *const wish_fields[] = {
		"server_name", "server_id", "peer_name"};

/* Wishes of a message that the log has heard of. */
static struct
{
	unsigned int fields; /* a bit for each enum wish */
	struct message message;
} refused;

static void note_message(struct message *message)
{
	message->number = msg_no;
	message->process = process_no;
}

static bool is_at_hand(const struct message *message)
{
	return message->number == msg_no && message->process == process_no;
}

static bool set_wish(struct script_wish *wish, const char *text, size_t n)
{
	if(n >= sizeof(wish->id) || memchr(text, 0, n) != NULL)
		return false;
	memcpy(wish->id, text, n);
	wish->id[n] = '\0';
	note_message(&wish->message);
	return true;
}

bool tls_server_wish_id(const char *id, size_t n)
{
	return set_wish(&wished, id, n);
}

bool tls_server_wish_peer(const char *name, size_t n)
{
	return set_wish(&wished_peer, name, n);
}

const char *tls_server_wished_peer(void)
{
	return wished_peer.id[0] != '\0' && is_at_hand(&wished_peer.message)
				   ? wished_peer.id
				   : NULL;
}

/* Host contract: core/script_cb.h; the script is through with a message. What
 * it sent has left by now. 1: go on. */
static int script_end_cb(struct sip_msg *msg, unsigned int flags, void *param)
{
	(void)msg;
	(void)flags;
	(void)param;
	wished.id[0] = '\0';
	wished_peer.id[0] = '\0';
	refused.fields = 0;
	return 1;
}

enum tls_rc tls_server_watch_scripts(struct tls_err *err)
{
	/* Not branch, send and event routes: they run inside the others. */
	if(register_script_cb(script_end_cb,
			   POST_SCRIPT_CB | REQUEST_CB | ONREPLY_CB | FAILURE_CB, NULL)
			< 0)
		return tls_err_set(
				err, TLS_RC_NOMEM, "could not register the script callback");
	return TLS_RC_OK;
}

/* Why the xavp field VALUE is no wish, or NULL. */
static const char *wish_fault(const sr_xavp_t *value)
{
	if(value->val.type != SR_XTYPE_STR)
		return "it is not a text";
	if(value->val.v.s.len >= WISH_MAX)
		return "it is too long";
	if(value->val.v.s.len > 0
			&& memchr(value->val.v.s.s, 0, (size_t)value->val.v.s.len) != NULL)
		return "it has a byte of 0";
	return NULL;
}

/* Says once per message that FIELD is not heard: branches and the hook of 6.1
 * ask again and again. */
static void report_wish(enum wish field, const char *fault)
{
	if(!is_at_hand(&refused.message))
		refused.fields = 0;
	note_message(&refused.message);
	if((refused.fields & 1U << field) != 0)
		return;
	refused.fields |= 1U << field;
	LM_WARN("$xavp(%s=>%s) of message %u is ignored, %s: set it in the script "
			"to a text of at most %d bytes\n",
			tls_cfg_settings()->xavp_cfg, wish_fields[field], msg_no, fault,
			WISH_MAX - 1);
}

/* FIELD of the xavp that xavp_cfg names, of the message that this process is
 * working on, into OUT. False when there is none: an empty one is none. */
static bool read_wish(enum wish field, char out[WISH_MAX])
{
	char *list = tls_cfg_settings()->xavp_cfg;
	const char *name = wish_fields[field];
	str list_name;
	str field_name = {(char *)(uintptr_t)name, (int)strlen(name)};
	sr_xavp_t *value;
	const char *fault;

	if(list == NULL || list[0] == '\0')
		return false;
	list_name.s = list;
	list_name.len = (int)strlen(list);
	value = xavp_get_child(&list_name, &field_name);
	if(value == NULL)
		return false;
	fault = wish_fault(value);
	if(fault != NULL) {
		report_wish(field, fault);
		return false;
	}
	if(value->val.v.s.len <= 0)
		return false;
	memcpy(out, value->val.v.s.s, (size_t)value->val.v.s.len);
	out[value->val.v.s.len] = '\0';
	return true;
}

/* Words that a query for a client profile points to. */
struct wishes
{
	char name[WISH_MAX];
	char id[WISH_MAX];
	char peer[WISH_MAX]; /* whom the peer has to be; empty = not said */
};

/* Adds to QUERY what the script asks for, for the message that this process is
 * working on. WISHES and the wish of the process must outlive QUERY. */
static void query_wishes(struct tls_domain_query *query, struct wishes *wishes)
{
	if(tls_server_wished_peer() != NULL)
		memcpy(wishes->peer, wished_peer.id, sizeof(wishes->peer));
	else if(!read_wish(WISH_PEER_NAME, wishes->peer))
		wishes->peer[0] = '\0';
	if(read_wish(WISH_SERVER_NAME, wishes->name))
		query->name = wishes->name;
	if(read_wish(WISH_SERVER_ID, wishes->id))
		query->server_id = wishes->id;
	else if(wished.id[0] != '\0' && is_at_hand(&wished.message))
		query->server_id = wished.id;
}

/* May C begin its handshake? What is refused counts as one that failed. */
static enum tls_rc begin_handshake(
		struct tcp_connection *c, enum tls_role role, struct tls_err *err)
{
	bool server = role == TLS_ROLE_SERVER;
	struct tls_addr peer;
	enum tls_rc rc;

	tls_addr_set(&peer, TCP_PADDR(c)->u.addr, TCP_PADDR(c)->len, TCP_PPORT(c));
	tls_metrics_count(
			server ? TLS_METRIC_STARTED_SERVER : TLS_METRIC_STARTED_CLIENT);
	rc = tls_guard_enter(server ? &peer : NULL, err);
	if(rc != TLS_RC_OK)
		tls_metrics_failed(tls_err_cause(err));
	return rc;
}

/* SESSION was made for a handshake that may begin; NULL when that failed. */
static void note_session(struct tls_session *session, enum tls_role role,
		const struct tls_err *err)
{
	bool server = role == TLS_ROLE_SERVER;

	if(session != NULL) {
		session->in_flight = server;
		return;
	}
	if(server)
		tls_guard_leave();
	tls_metrics_failed(tls_err_cause(err));
}

/* Makes the session of C when it has none: at the first byte of either
 * direction, not at accept, so that a flood of TCP opens stays cheap and
 * role and local address are final. FIRST is what shall be sent, or NULL.
 * Under write_lock. */
static enum tls_rc session_ensure(struct tcp_connection *c,
		const struct first_message *first, struct tls_session **out,
		struct tls_err *err)
{
	struct tls_domain_query query = {0};
	struct tls_addr local;
	struct tls_addr remote;
	struct wishes wishes = {0};
	enum tls_rc rc;

	*out = session_of(c);
	if(*out != NULL)
		return TLS_RC_OK;
	if(c->extra_data != NULL)
		return tls_err_set(err, TLS_RC_BUG, "extra_data is not ours");
	tls_addr_set(&local, TCP_LADDR(c)->u.addr, TCP_LADDR(c)->len, TCP_LPORT(c));
	query.role = (c->flags & F_CONN_PASSIVE) != 0 ? TLS_ROLE_SERVER
												  : TLS_ROLE_CLIENT;
	query.local = &local;
	if(query.role == TLS_ROLE_CLIENT) {
		tls_addr_set(
				&remote, TCP_PADDR(c)->u.addr, TCP_PADDR(c)->len, TCP_PPORT(c));
		query.remote = &remote;
		query_wishes(&query, &wishes);
	}
	rc = begin_handshake(c, query.role, err);
	if(rc == TLS_RC_OK) {
		rc = session_new(out, &query,
				wishes.peer[0] != '\0' ? wishes.peer : NULL, first, err);
		note_session(*out, query.role, err);
	}
	if(query.server_id == wished.id)
		wished.id[0] = '\0'; /* for one connection only */
	__atomic_store_n(&c->extra_data, *out, __ATOMIC_RELEASE);
	return rc;
}

/* ---- words ---- */

/* One line per failed connection: level by cause, peer noise low. */
static enum tls_log_level level_of(
		const struct tls_session *session, enum tls_rc rc)
{
	switch(rc) {
		case TLS_RC_OK:
		case TLS_RC_AGAIN:
		case TLS_RC_CLOSED:
			return TLS_LOG_DBG;
		case TLS_RC_PEER:
		case TLS_RC_IO: /* the peer is gone before it had its answer */
			/* Peers that call us may be anybody; the ones that we call are
			 * ours to look after. */
			return session != NULL
								   && tls_conn_role(session->conn)
											  == TLS_ROLE_CLIENT
						   ? TLS_LOG_WARN
						   : TLS_LOG_INFO;
		case TLS_RC_LIMIT:
			return TLS_LOG_NOTICE;
		case TLS_RC_NOMEM:
		case TLS_RC_CONFIG:
		case TLS_RC_TLS:
			return TLS_LOG_ERR;
		case TLS_RC_BUG:
			break;
	}
	return TLS_LOG_CRIT;
}

static void report(struct tcp_connection *c, struct tls_session *session,
		enum tls_log_level level, const struct tls_err *err)
{
	char name[TLS_INFO_NAME_MAX + 1] = "";
	char peer[TLS_ADDR_TEXT_MAX];
	char local[TLS_ADDR_TEXT_MAX];
	struct tls_addr addr;

	if(session != NULL && session->reported)
		return;
	if(level == TLS_LOG_DBG && !is_printable(L_DBG))
		return; /* every end of a connection comes here */
	if(session != NULL && level != TLS_LOG_DBG)
		session->reported = true;
	if(level != TLS_LOG_DBG && !tls_guard_may_log(tls_err_cause(err)))
		return;
	if(session != NULL)
		tls_conn_server_name(session->conn, name);
	tls_addr_set(&addr, TCP_PADDR(c)->u.addr, TCP_PADDR(c)->len, TCP_PPORT(c));
	tls_addr_print(&addr, peer, sizeof(peer));
	tls_addr_set(&addr, TCP_LADDR(c)->u.addr, TCP_LADDR(c)->len, TCP_LPORT(c));
	tls_addr_print(&addr, local, sizeof(local));
	tls_port_log(level,
			"%sTLS connection %d with %s (local %s, profile %s%s%s): %s",
			level == TLS_LOG_CRIT ? "BUG: " : "", c->id, peer, local,
			session != NULL ? session->profile->label : "none",
			name[0] != '\0' ? ", name " : "", name, err->text);
}

static void report_failure(struct tcp_connection *c,
		struct tls_session *session, const struct tls_err *err)
{
	/* tls_guard has said that memory is low; an allocation that failed above
	 * the thresholds has no other line than this */
	bool said = session == NULL && err->rc == TLS_RC_LIMIT
				&& tls_err_cause(err) == TLS_CAUSE_MEMORY;

	report(c, session, said ? TLS_LOG_DBG : level_of(session, err->rc), err);
}

/* One line about a new connection, at the level that tls_log says. */
static void say_established(
		struct tcp_connection *c, const struct tls_session *session)
{
	const struct tls_info *info = tls_conn_info(session->conn);
	char peer[TLS_ADDR_TEXT_MAX];
	struct tls_addr addr;

	tls_addr_set(&addr, TCP_PADDR(c)->u.addr, TCP_PADDR(c)->len, TCP_PPORT(c));
	LOG(tls_cfg_settings()->log,
			"TLS connection %d %s %s: %s, %s%s, profile %s, name %s, %llu ms\n",
			c->id,
			tls_conn_role(session->conn) == TLS_ROLE_SERVER ? "from" : "to",
			tls_addr_print(&addr, peer, sizeof(peer)), tls_info_version(info),
			tls_info_cipher(info), info->resumed ? ", resumed" : "",
			session->profile->label,
			info->server_name != NULL ? info->server_name : "none",
			(unsigned long long)(tls_port_ms() - session->began));
}

/* Takes note of what a step with the result RC came to. RC, or LIMIT when the
 * profile has connections enough. Under write_lock. */
static enum tls_rc settle(struct tcp_connection *c, struct tls_session *session,
		enum tls_rc rc, struct tls_err *err)
{
	const struct tls_profile *profile = session->profile;

	if(session->phase == PHASE_HANDSHAKE
			&& tls_conn_info(session->conn) != NULL) {
		if(!tls_limits_usage_add(
				   profile->usage, (unsigned int)profile->p.max_connections)) {
			tls_metrics_count(TLS_METRIC_REFUSED_CONNECTIONS);
			rc = tls_err_set(err, TLS_RC_LIMIT,
					"refused, the profile has %d connections (max_connections)",
					profile->p.max_connections);
		} else {
			session->usage = profile->usage;
			count_completed(session);
			say_established(c, session);
		}
	}
	if(name_refused.rc != TLS_RC_OK) {
		/* OpenSSL only knows that a callback failed */
		*err = name_refused;
		tls_err_clear(&name_refused);
	}
	if(rc != TLS_RC_OK && rc != TLS_RC_AGAIN && rc != TLS_RC_CLOSED)
		count_failed(session, tls_err_cause(err));
	return rc;
}

/* ---- read ---- */

/* Sends what a step produced. Under write_lock. */
static enum tls_rc send_out(struct tcp_connection *c,
		struct tls_session *session, const struct tls_conn_io *io,
		struct tls_err *err)
{
	snd_flags_t flags = c->send_flags;

	if(io->n_out == 0)
		return TLS_RC_OK;
	if(session->close_waits && tls_conn_queued(session->conn) == 0)
		flags.f |= SND_F_CON_CLOSE;
	else if(tls_conn_queued(session->conn) > 0)
		flags.f &= ~SND_F_CON_CLOSE; /* the message has not left yet */
	if(tcpconn_send_unsafe(TLS_HOST_FD(c), c, (const char *)io->out,
			   (unsigned int)io->n_out, flags)
			< 0)
		return tls_err_set(err, TLS_RC_IO, "could not send to the peer");
	return TLS_RC_OK;
}

/* The peer has done its handshake and may not stay: it gets our last flight and
 * a goodbye, which is left in IO, and nothing that it said is heard. */
static void turn_away(struct tcp_connection *c, struct tls_session *session,
		struct tls_conn_io *io)
{
	struct tls_err ignored;

	(void)send_out(c, session, io, &ignored);
	tls_conn_shutdown(session->conn, io);
	count_step(io);
}

/* Runs read steps over N_IN bytes until the engine needs nothing more from
 * us, sending what it produces. Clear text goes to DST; *N_CLEAR is advanced.
 * Under write_lock. */
static enum tls_rc feed(struct tcp_connection *c, struct tls_session *session,
		size_t n_in, char *dst, size_t room, size_t *n_clear,
		struct tls_err *err)
{
	struct tls_conn_io io = {.in = in_buffer,
			.n_in = n_in,
			.out = out_buffer,
			.out_size = sizeof(out_buffer)};
	struct tls_err ignored;
	enum tls_rc rc;

	do {
		io.clear = (unsigned char *)dst + *n_clear;
		io.clear_size = room - *n_clear;
		rc = settle(c, session, tls_conn_read(session->conn, &io, err), err);
		count_step(&io);
		if(rc == TLS_RC_LIMIT)
			turn_away(c, session, &io);
		else
			*n_clear += io.n_clear;
		io.n_in = 0;
		if(rc != TLS_RC_OK && rc != TLS_RC_AGAIN)
			/* an alert, best effort: the verdict stands */
			(void)send_out(c, session, &io, &ignored);
		else if(send_out(c, session, &io, err) != TLS_RC_OK)
			rc = TLS_RC_IO;
	} while(rc == TLS_RC_AGAIN);
	return rc;
}

/* The host takes an EOF that it sees together with an incomplete message for
 * the end of the connection. Decrypted bytes that wait for room in its buffer
 * would be lost, so the EOF waits until they have been delivered. */
static void hold_eof_back(struct tcp_connection *c, struct tls_session *session,
		rd_conn_flags_t *flags)
{
	if(tls_conn_pending(session->conn)) {
		*flags |= RD_CONN_REPEAT_READ;
		if(c->state == S_CONN_EOF) {
			session->eof_waits = true;
			c->state = S_CONN_OK;
			*flags &= ~RD_CONN_EOF;
		}
	} else if(session->eof_waits) {
		session->eof_waits = false;
		c->state = S_CONN_EOF;
		*flags |= RD_CONN_EOF;
	}
}

/* True when the socket may still have bytes for us in this event. */
static bool may_read_socket(const struct tcp_connection *c,
		const struct tls_session *session, const rd_conn_flags_t *flags)
{
	return (*flags & (RD_CONN_SHORT_READ | RD_CONN_EOF)) == 0
		   && c->state != S_CONN_EOF
		   && (session == NULL
				   || (!session->eof_waits
						   && !tls_conn_pending(session->conn)));
}

/* Tells the script, once, that a handshake failed. No lock. */
static void announce_failure(struct tcp_connection *c,
		struct tls_session *session, const struct tls_err *err)
{
	if(session == NULL || session->failure_told
			|| tls_conn_info(session->conn) != NULL
			|| !tls_events_wants(TLS_EVENT_FAILED))
		return;
	session->failure_told = true;
	(void)tls_events_run(TLS_EVENT_FAILED, c, err->text);
}

/* The peer ended the stream: tell an orderly end from a cut one. */
static void note_eof(struct tcp_connection *c, struct tls_session *session)
{
	struct tls_err err;

	if(session == NULL || c->state != S_CONN_EOF || session->eof_waits)
		return;
	if(tls_conn_eof(session->conn, &err) == TLS_RC_CLOSED)
		return;
	if(session->phase == PHASE_HANDSHAKE)
		count_failed(session, tls_err_cause(&err));
	/* Cut after the handshake is what most phones do; not worth a line of
	 * every operator's log. */
	report(c, session,
			tls_conn_state(session->conn) == TLS_CONN_ESTABLISHED
					? TLS_LOG_DBG
					: level_of(session, err.rc),
			&err);
	announce_failure(c, session, &err);
}

/* The script said drop: nothing may flow any more in either direction. Under
 * write_lock. */
static void refuse(struct tcp_connection *c, struct tls_session *session)
{
	struct tls_conn_io io = {.out = out_buffer, .out_size = sizeof(out_buffer)};
	struct tls_err err;

	c->flags |= F_CONN_NOSEND; /* the host looks before it begins to send */
	tls_conn_shutdown(session->conn, &io);
	tls_conn_release(session->conn, false);
	(void)send_out(c, session, &io, &err);
	count_step(&io);
	tls_err_set(&err, TLS_RC_PEER, "dropped by event_route[tls:%s]",
			tls_conn_role(session->conn) == TLS_ROLE_SERVER ? "connection-in"
															: "connection-out");
	report(c, session, TLS_LOG_NOTICE, &err);
}

/* Tells the script that the handshake is complete, before any clear text
 * flows. AGAIN: a round has to follow; CLOSED: the script said drop. No
 * lock: the route may send on this connection. */
static enum tls_rc announce(
		struct tcp_connection *c, struct tls_session *session)
{
	bool allow =
			tls_events_run(event_of(tls_conn_role(session->conn)), c, NULL);

	lock_get(&c->write_lock);
	if(allow)
		tls_conn_release(session->conn, true);
	else
		refuse(c, session);
	lock_release(&c->write_lock);
	return allow ? TLS_RC_AGAIN : TLS_RC_CLOSED;
}

/* Field FIELD of the peer's certificate into OUT; "" when it has none. */
static void peer_field(const struct tls_info *info, enum tls_x509_field field,
		char *out, size_t size)
{
	struct tls_x509_query query = {.field = field};

	(void)tls_x509_text(info->peer_der, info->peer_der_len, &query, out, size);
}

/* A peer that optional_no_ca let in although its certificate failed: who it
 * is and why, in one line. */
static void note_unverified(struct tcp_connection *c,
		struct tls_session *session, const struct tls_info *info)
{
	char subject[160], issuer[160], serial[96];
	struct tls_err err;

	if(session->profile->p.verify_client != TLS_VERIFY_CLIENT_OPTIONAL_NO_CA
			|| !info->peer_presented || tls_info_peer_verified(info))
		return;
	peer_field(info, TLS_X509_SUBJECT, subject, sizeof(subject));
	peer_field(info, TLS_X509_ISSUER, issuer, sizeof(issuer));
	peer_field(info, TLS_X509_SERIAL, serial, sizeof(serial));
	tls_err_set(&err, TLS_RC_OK,
			"let in unverified by optional_no_ca (%s) at depth %d, subject "
			"\"%s\", issuer \"%s\", serial %s",
			tls_info_verify_text(info), info->verify_depth, subject, issuer,
			serial);
	report(c, session, TLS_LOG_INFO, &err);
	session->reported = false; /* it is no failure */
}

/* The socket is broken, which the host has logged. */
static enum tls_rc read_failed(struct tls_session *session, struct tls_err *err)
{
	if(session == NULL || session->phase != PHASE_HANDSHAKE)
		return TLS_RC_CLOSED;
	tls_err_set(err, TLS_RC_IO,
			"the peer reset the connection during the handshake");
	count_failed(session, tls_err_cause(err));
	return TLS_RC_IO;
}

/* One round: some bytes from the socket or from what is pending. OK, AGAIN
 * when another round may bring more, CLOSED, or a failure. */
static enum tls_rc read_round(struct tcp_connection *c, rd_conn_flags_t *flags,
		char *dst, size_t room, size_t *n_clear, struct tls_err *err)
{
	struct tls_session *session = session_of(c);
	size_t ask = room - *n_clear;
	int n = 0;
	bool fresh;
	enum tls_rc rc;

	/* Decryption does not make bytes more: what is read now fits into the
	 * room and need not be kept in shared memory for the next call. */
	if(ask < SOCKET_READ_MIN)
		ask = SOCKET_READ_MIN;
	if(ask > sizeof(in_buffer))
		ask = sizeof(in_buffer);
	if(may_read_socket(c, session, flags)) {
		n = tcp_read_data(
				TLS_HOST_FD(c), c, (char *)in_buffer, (int)ask, flags);
		if(n < 0)
			return read_failed(session, err);
	}
	if(n == 0 && session == NULL)
		return TLS_RC_OK; /* a probe that opens and closes costs nothing */
	tls_metrics_add(TLS_METRIC_BYTES_IN, (uint64_t)n);
	lock_get(&c->write_lock);
	rc = session_ensure(c, NULL, &session, err);
	if(rc == TLS_RC_OK && session->phase == PHASE_HANDSHAKE) {
		rc = tls_guard_go_on(err);
		if(rc != TLS_RC_OK)
			count_failed(session, tls_err_cause(err));
	}
	fresh = rc == TLS_RC_OK && tls_conn_info(session->conn) == NULL;
	if(rc == TLS_RC_OK)
		rc = feed(c, session, (size_t)n, dst, room, n_clear, err);
	if(fresh && tls_conn_info(session->conn) != NULL)
		note_unverified(c, session, tls_conn_info(session->conn));
	if(rc == TLS_RC_OK)
		hold_eof_back(c, session, flags);
	lock_release(&c->write_lock);
	if(rc == TLS_RC_OK && tls_conn_is_held(session->conn))
		return announce(c, session);
	if(rc == TLS_RC_OK && *n_clear < room && may_read_socket(c, session, flags))
		return TLS_RC_AGAIN;
	return rc;
}

/* The stream is over for the host: it handles the messages that are complete
 * and closes without an error of its own in the log. */
static void end_stream(struct tcp_connection *c, rd_conn_flags_t *flags)
{
	c->state = S_CONN_EOF;
	*flags |= RD_CONN_EOF;
}

/* True when the host waits for the first byte of a message. */
static bool between_messages(const struct tcp_req *req)
{
	return req->state == H_SKIP_EMPTY || req->state == H_SKIP_EMPTY_CR_FOUND
		   || req->state == H_SKIP_EMPTY_CRLF_FOUND
		   || req->state == H_SKIP_EMPTY_CRLFCR_FOUND;
}

/* N_CLEAR bytes have come behind what REQ holds: a peer that sends its message
 * in crumbs keeps a receiver and a buffer busy. */
static enum tls_rc check_portions(struct tcp_connection *c,
		const struct tcp_req *req, size_t n_clear, struct tls_err *err)
{
	unsigned int max = (unsigned int)tls_cfg_settings()->max_record_fragments;
	struct tls_session *session = session_of(c);

	if(max == 0 || session == NULL || n_clear == 0)
		return TLS_RC_OK;
	session->portions = between_messages(req) ? 1 : session->portions + 1;
	if(session->portions <= max)
		return TLS_RC_OK;
	tls_metrics_count(TLS_METRIC_REFUSED_FRAGMENTS);
	count_failed(session, TLS_CAUSE_LIMIT);
	return tls_err_set(err, TLS_RC_LIMIT,
			"closed, a message came in more than %u portions "
			"(max_record_fragments)",
			max);
}

/* True for a single CRLF between messages that crlf_drop wants dropped: two
 * of them are a ping, which the host answers (RFC 5626 s4.4.1). */
static bool is_crlf_ping(const struct tcp_req *req)
{
	if(!tls_cfg_settings()->crlf_drop || req->state != H_SKIP_EMPTY
			|| memcmp(req->pos, "\r\n", 2) != 0)
		return false;
	tls_metrics_count(TLS_METRIC_CRLF_DROPPED);
	return true;
}

/* Host contract: core/tcp_read.c, tcp_read(). Receiver that owns C, no lock.
 * Appends clear text at req.pos and returns its length; 0 = nothing now or,
 * with state S_CONN_EOF, the end; -1 = close the connection. */
static int read_cb(struct tcp_connection *c, rd_conn_flags_t *flags)
{
	struct tcp_req *req = &c->req;
	size_t used = (size_t)(req->pos - req->buf);
	size_t room = req->b_size > used ? req->b_size - used : 0;
	size_t n_clear = 0;
	struct tls_err err;
	enum tls_rc rc;
	int i = 0;

	*flags &= ~RD_CONN_REPEAT_READ;
	tls_err_clear(&err);
	if(room == 0) {
		LM_ERR("message does not fit into the receive buffer (%u bytes, "
			   "tcp_rd_buf_size)\n",
				req->b_size);
		req->error = TCP_REQ_OVERRUN;
		return -1;
	}
	do
		rc = read_round(c, flags, req->pos, room, &n_clear, &err);
	while(rc == TLS_RC_AGAIN && ++i < SOCKET_READS_MAX);
	tls_metrics_add(TLS_METRIC_CLEAR_IN, n_clear);
	if(rc == TLS_RC_OK || rc == TLS_RC_AGAIN)
		rc = check_portions(c, req, n_clear, &err);
	if(n_clear == 2 && is_crlf_ping(req))
		n_clear = 0;
	req->pos += n_clear;
	if(rc == TLS_RC_OK || rc == TLS_RC_AGAIN) {
		note_eof(c, session_of(c));
		return (int)n_clear;
	}
	if(rc == TLS_RC_CLOSED && session_of(c) != NULL
			&& tls_conn_state(session_of(c)->conn) >= TLS_CONN_CLOSED) {
		end_stream(c, flags);
		return (int)n_clear;
	}
	if(rc != TLS_RC_CLOSED) { /* the host has logged failed reads */
		report_failure(c, session_of(c), &err);
		announce_failure(c, session_of(c), &err);
	}
	if(rc == TLS_RC_PEER || rc == TLS_RC_LIMIT || rc == TLS_RC_NOMEM) {
		/* Messages before the fault were sealed well; -1 would lose them and
		 * make the core log an error for each scan of the port. */
		end_stream(c, flags);
		return (int)n_clear;
	}
	req->error = TCP_READ_ERROR;
	return -1;
}

/* ---- which connection may carry a message ---- */

/* True when reuse_check is WORD. */
static bool reuse_word(const char *word)
{
	const char *now = tls_cfg_settings()->reuse_check;

	return now != NULL && strcasecmp(now, word) == 0;
}

/* May NAME be reached over C? RFC 5923 s3: only when its certificate speaks for
 * that domain; while the handshake runs, when it will have to. */
static bool speaks_for(const struct tls_session *session, const char *name)
{
	const struct tls_info *info = tls_conn_info(session->conn);
	const char *wanted = tls_conn_peer_name(session->conn);
	bool good = false;

	if(info == NULL)
		return wanted != NULL && strcasecmp(wanted, name) == 0;
	return tls_info_peer_verified(info) && info->peer_der != NULL
		   && tls_ident_match_der(info->peer_der, info->peer_der_len, name,
					  strlen(name), TLS_IDENT_SIP,
					  session->profile->p.verify_name_wildcards != 0, &good)
					  == TLS_RC_OK
		   && good;
}

/* Would the message at hand open C, a connection to REMOTE, with the profile
 * that it has, and, with NAMES, to a domain that its certificate speaks for? */
static bool suits(struct tcp_connection *c, const struct tls_session *session,
		const struct tls_addr *remote, bool names)
{
	struct tls_domain_query query = {.role = TLS_ROLE_CLIENT};
	struct tls_domains *domains = tls_domains_acquire();
	struct wishes wishes = {0};
	struct tls_addr local;
	const char *name;
	bool good;

	if(domains == NULL)
		return false;
	tls_addr_set(&local, TCP_LADDR(c)->u.addr, TCP_LADDR(c)->len, TCP_LPORT(c));
	query.local = &local;
	query.remote = remote;
	query_wishes(&query, &wishes);
	good = tls_profile_same(
			session->profile, tls_domain_lookup(domains, &query));
	tls_domains_unref(&domains);
	name = wishes.peer[0] != '\0' ? wishes.peer : query.name;
	return good && (!names || name == NULL || speaks_for(session, name));
}

/* True when the N bytes at TEXT may leave on C. Replies belong to the
 * connection that the request came on, and so do pings. Under write_lock. */
static bool may_carry(struct tcp_connection *c,
		const struct tls_session *session, const char *text, size_t n)
{
	struct tls_addr remote;

	if(session->unfinished || session->profile->role == TLS_ROLE_SERVER
			|| tls_cfg_settings()->reuse_check == NULL || reuse_word("off")
			|| n <= 4 || strncmp(text, "SIP/2.0 ", n < 8 ? n : 8) == 0)
		return true;
	tls_addr_set(
			&remote, TCP_PADDR(c)->u.addr, TCP_PADDR(c)->len, TCP_PPORT(c));
	return suits(c, session, &remote, reuse_word("name"));
}

/* ---- encode ---- */

/* C is to be closed when a message has been sent: not before the last of it has
 * left. REST: the host will come with more of it. */
static void close_behind(struct tcp_connection *c, struct tls_session *session,
		bool rest, snd_flags_t *send_flags)
{
	bool queued = tls_conn_queued(session->conn) > 0;

	if(rest || queued)
		send_flags->f &= ~SND_F_CON_CLOSE;
	if(queued) {
		/* The core looks at the connection's own flags too when it has flushed
		 * its queue (core/tcp_main.c, handle_tcpconn_ev). */
		c->send_flags.f &= ~SND_F_CON_CLOSE;
		session->close_waits = true;
	}
}

/* Host contract: core/tls_hooks.h. Any process, write_lock held. Turns the
 * clear text *PBUF, *PLEN into ciphertext valid until the next call in this
 * process; what did not fit goes to *REST_BUF, *REST_LEN. Returns *PLEN, or
 * -1 to have the connection closed. */
static int encode_cb(struct tcp_connection *c, const char **pbuf,
		unsigned int *plen, const char **rest_buf, unsigned int *rest_len,
		snd_flags_t *send_flags)
{
	struct tls_ct_wrq_limits limits = tls_cfg_queue_limits();
	struct tls_conn_io io = {.out = out_buffer, .out_size = sizeof(out_buffer)};
	const struct first_message first = {*pbuf, *plen};
	struct tls_session *session;
	struct tls_err err;
	size_t taken = 0;
	bool too_late;
	enum tls_rc rc;

	*rest_buf = NULL;
	*rest_len = 0;
	tls_err_clear(&err);
	session = session_of(c);
	too_late =
			session != NULL && tls_conn_state(session->conn) == TLS_CONN_FAILED;
	if(session != NULL && !may_carry(c, session, *pbuf, *plen)) {
		/* The host tries no other one: the sender hears of it, this one ends,
		 * and the next message opens its own (reuse_check). */
		tls_err_set(&err, TLS_RC_LIMIT,
				"is not for this message: profile or name differ");
		report_failure(c, session, &err);
		return -1;
	}
	rc = session_ensure(c, &first, &session, &err);
	if(rc == TLS_RC_OK) {
		rc = tls_conn_write(
				session->conn, *pbuf, *plen, &taken, &io, &limits, &err);
		/* The host calls again only when something of its bytes is left; what
		 * the engine kept would wait for the next message. Windows of our size
		 * leave nothing. */
		if(rc == TLS_RC_AGAIN && taken == *plen)
			rc = tls_err_set(&err, TLS_RC_BUG, "ciphertext without a window");
		if(rc == TLS_RC_LIMIT)
			tls_metrics_count(TLS_METRIC_QUEUE_REFUSED);
		rc = settle(c, session, rc, &err);
		count_step(&io);
		tls_metrics_add(TLS_METRIC_CLEAR_OUT, taken);
	}
	if(rc == TLS_RC_CLOSED)
		tls_err_set(&err, rc, "already closed, cannot send");
	if(rc != TLS_RC_OK && rc != TLS_RC_AGAIN) {
		/* The receiver has met the failure and tells the reason when it has
		 * released write_lock: this must not be the line of the connection. */
		if(too_late)
			report(c, session, TLS_LOG_DBG, &err);
		else
			report_failure(c, session, &err);
		return -1;
	}
	session->unfinished = taken < *plen;
	if(taken < *plen) {
		*rest_buf = *pbuf + taken;
		*rest_len = *plen - (unsigned int)taken;
	}
	if((send_flags->f & SND_F_CON_CLOSE) != 0)
		close_behind(c, session, *rest_len > 0, send_flags);
	*pbuf = (const char *)io.out;
	*plen = (unsigned int)io.n_out;
	return (int)*plen;
}

/* ---- life ---- */

/* Connections so far, in shared memory. */
static atomic_uint *opened;

enum tls_rc tls_server_init(void)
{
	opened = tls_port_alloc(sizeof(*opened));
	if(opened == NULL)
		return TLS_RC_NOMEM;
	atomic_init(opened, 0);
	return TLS_RC_OK;
}

/* The core counts connections with a plain int in shared memory, which tcp
 * main and every sender advance without a lock (core/tcp_main.c,
 * tcpconn_new()): two of them at once give one id to two connections, and one
 * that is held up in between sets the counter back for all. The core looks for
 * the connection of a reply by this id, so the reply leaves on a stranger's
 * connection. Ours are counted atomically. */
static int next_id(void)
{
	unsigned int n = atomic_fetch_add_explicit(opened, 1, memory_order_relaxed);

	return (int)(TLS_SERVER_FIRST_ID + n % TLS_SERVER_IDS);
}

/* End of tcpconn_new(): tcp main for accepted sockets, any sender for
 * outgoing ones; no lock, nobody else sees C yet. Role and local address may
 * not be final, so only the timeouts are set. */
static int init_cb(struct tcp_connection *c, int sock)
{
	(void)sock;
	c->id = next_id(); /* it is in no table yet */
	if(!tls_guard_watch(c->id))
		return -1; /* its handshake could last for ever */
	c->type = PROTO_TLS;
	c->rcv.proto = PROTO_TLS;
	c->lifetime = tls_cfg_connection_ticks();
	c->timeout = get_ticks_raw() + c->lifetime;
	c->extra_data = NULL;
	TLS_HOST_WATCH_QUEUE(c);
	return 0;
}

bool tls_server_expire(int id)
{
	struct tcp_connection *c = tcpconn_get(id, NULL, 0, NULL, 0);
	struct tls_session *session;
	bool over = false;
	bool again = false;
	struct tls_err err;

	if(c == NULL)
		return false;
	lock_get(&c->write_lock);
	session = session_of(c);
	if(!TLS_HOST_IS_TLS(c) || c->state == S_CONN_BAD) {
		; /* nothing to do for us */
	} else if(c->state == S_CONN_CONNECT) {
		again = true; /* tcp_connect_timeout's turn first */
	} else if(session == NULL) {
		over = true;
		tls_metrics_count(TLS_METRIC_SILENT);
	} else if(session->phase == PHASE_HANDSHAKE) {
		over = true;
		tls_err_set(&err, TLS_RC_PEER,
				"the handshake is not complete after %d ms "
				"(handshake_timeout)",
				tls_cfg_settings()->handshake_timeout);
		(void)tls_err_because(&err, TLS_RC_PEER, TLS_CAUSE_TIMEOUT);
		count_failed(session, TLS_CAUSE_TIMEOUT);
		report_failure(c, session, &err);
	}
	lock_release(&c->write_lock);
	if(over && session != NULL)
		announce_failure(c, session, &err);
	if(over)
		(void)tls_server_kill(c);
	else
		tls_server_put(c);
	return again;
}

/* tcp main only, just before close(FD); the global TCP lock may be held and a
 * sender may be inside the engine. Best effort, never blocks: the main process
 * comes here too when it stops, and a worker may have been ended while it held
 * write_lock. */
static void close_cb(struct tcp_connection *c, int fd)
{
	struct tls_conn_io io = {.out = out_buffer, .out_size = sizeof(out_buffer)};
	struct tls_session *session;

	if(stopping || !tls_cfg_settings()->send_close_notify
			|| lock_try(&c->write_lock) != 0)
		return;
	session = session_of(c);
	/* What the host has not sent would be missing in front of close_notify,
	 * most often in the middle of a record. */
	if(session != NULL && TLS_HOST_HAS_SENT_ALL(c)) {
		tls_conn_shutdown(session->conn, &io);
		if(io.n_out > 0
				&& _tcpconn_write_nb(fd, c, (const char *)io.out, (int)io.n_out)
						   < 0)
			LM_DBG("close_notify was not sent\n");
		else
			count_step(&io);
	}
	lock_release(&c->write_lock);
}

/* When the last reference is dropped, in any process; the lock of C is
 * destroyed already and the global TCP lock may be held. */
static void clean_cb(struct tcp_connection *c)
{
	struct tls_session *session = session_of(c);

	c->extra_data = NULL;
	if(!stopping)
		session_free(&session);
}

void tls_server_stop(void)
{
	stopping = true;
}

/* 6.1: may C, found by its addresses, carry the message that is being sent?
 * Global TCP lock held, any sender. The address that the core passes is the
 * remote one; client profiles are chosen by it, by the local one, which is C's
 * own, and by what the script asks for: asking leaves that for the connection
 * that is opened when the answer is no. An accepted connection belongs to a peer
 * that chose us: always. */
static int match_cb(
		struct tcp_connection *c, struct ip_addr *ip, unsigned short port)
{
	struct tls_session *session = session_of(c);
	struct tls_addr remote;

	if(session == NULL || session->profile->role == TLS_ROLE_SERVER)
		return 1;
	tls_addr_set(&remote, ip->u.addr, ip->len, port);
	return suits(c, session, &remote, reuse_word("name"));
}

/* 6.1: do two connections with the same addresses use the same profile? Global
 * TCP lock held. One without a session may become anything: yes. */
static int match_connections_cb(
		struct tcp_connection *left, struct tcp_connection *right)
{
	struct tls_session *l = session_of(left);
	struct tls_session *r = session_of(right);

	return l == NULL || r == NULL || tls_profile_same(l->profile, r->profile);
}

void tls_server_hooks(struct tls_hooks *hooks)
{
	hooks->read = read_cb;
	hooks->encode = encode_cb;
	hooks->on_tcpconn_init = init_cb;
	hooks->tcpconn_clean = clean_cb;
	hooks->tcpconn_close = close_cb;
	TLS_HOST_SET_MATCH_HOOKS(hooks, match_cb, match_connections_cb);
}

/* ---- questions ---- */

struct tcp_connection *tls_server_get(struct sip_msg *msg)
{
	struct tcp_connection *c;

	if(msg->rcv.proto != PROTO_TLS && msg->rcv.proto != PROTO_WSS)
		return NULL;
	c = tcpconn_get(msg->rcv.proto_reserved1, 0, 0, 0, 0);
	if(c != NULL && c->type != PROTO_TLS && c->type != PROTO_WSS) {
		tls_server_put(c);
		return NULL;
	}
	return c;
}

/* Gives tcp main the reference on C that the caller holds: CONN_EOF ends the
 * connection, drops the reference and frees what only the core can free
 * (core/tcp_main.c). False when this process has no socket to tcp main. */
static bool hand_over(struct tcp_connection *c)
{
	long command[2] = {(long)c, CONN_EOF};

	return send_all(unix_tcp_sock, command, sizeof(command)) > 0;
}

void tls_server_put(struct tcp_connection *c)
{
	if(c == NULL || !tcpconn_put(c))
		return;
	/* tcp main gave the connection up meanwhile and ours was the last
	 * reference. Only the core can free it. */
	tcpconn_ref(c);
	if(!hand_over(c))
		LM_ERR("could not give connection %d back to tcp main\n", c->id);
}

bool tls_server_kill(struct tcp_connection *c)
{
	c->send_flags.f |= SND_F_CON_CLOSE; /* wanted: no warning of the core */
	c->state = S_CONN_BAD;
	c->timeout = get_ticks_raw();
	if(hand_over(c))
		return true;
	LM_ERR("could not have connection %d ended by tcp main\n", c->id);
	tls_server_put(c);
	return false;
}

time_t tls_server_created(const struct tcp_connection *c)
{
	const struct tls_session *session = session_of(c);
	time_t created = TLS_HOST_CREATED(c);

	return created != 0 || session == NULL ? created : session->created;
}

const struct tls_info *tls_server_info(struct tcp_connection *c)
{
	struct tls_session *session = session_of(c);

	return session != NULL ? tls_conn_info(session->conn) : NULL;
}

const unsigned char *tls_server_my_certificate(
		struct tcp_connection *c, size_t *n_out)
{
	struct tls_session *session = session_of(c);
	const struct tls_info *info;

	*n_out = 0;
	if(session == NULL)
		return NULL;
	info = tls_conn_info(session->conn);
	return tls_ctx_certificate_of(
			session->profile->ctx, info != NULL ? info->own_type : 0, n_out);
}

struct tls_conn *tls_server_conn(struct tcp_connection *c)
{
	struct tls_session *session = session_of(c);

	return session != NULL ? session->conn : NULL;
}

const struct tls_profile *tls_server_profile(struct tcp_connection *c)
{
	struct tls_session *session = session_of(c);

	return session != NULL ? session->profile : NULL;
}
