/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* A server, a libc and an OpenSSL that refuse what the module asks of them, or
 * are slow at it, as they hardly ever do: the functions whose names a test has
 * put into the environment. Linked with the module's own objects, whose calls
 * the linker leads here (--wrap). Any process, no lock. */
#include "refusing_host.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "core/dprint.h"
#include "core/fmsg.h"
#include "core/kemi.h"
#include "core/pass_fd.h"
#include "core/script_cb.h"
#include "core/tcp_conn.h"

#include "../../tls_conn.h"
#include "../../tls_metrics.h"

/* How long another process has time to end a connection. */
#define HELD_MS 10000

ssize_t __real_getrandom(void *buf, size_t n, unsigned int flags);
ssize_t __wrap_getrandom(void *buf, size_t n, unsigned int flags);
int __real_register_script_cb(cb_function f, unsigned int flags, void *param);
int __wrap_register_script_cb(cb_function f, unsigned int flags, void *param);
unsigned long __real_OpenSSL_version_num(void);
unsigned long __wrap_OpenSSL_version_num(void);
int __real_faked_msg_init(void);
int __wrap_faked_msg_init(void);
int __real_sr_kemi_ctx_route(sr_kemi_eng_t *engine, run_act_ctx_t *ctx,
		sip_msg_t *msg, int type, str *name, str *event);
int __wrap_sr_kemi_ctx_route(sr_kemi_eng_t *engine, run_act_ctx_t *ctx,
		sip_msg_t *msg, int type, str *name, str *event);
int __real_send_all(int fd, void *data, int n);
int __wrap_send_all(int fd, void *data, int n);
struct tcp_connection *__real_tcpconn_get(int id, struct ip_addr *ip, int port,
		union sockaddr_union *local, ticks_t timeout);
struct tcp_connection *__wrap_tcpconn_get(int id, struct ip_addr *ip, int port,
		union sockaddr_union *local, ticks_t timeout);

enum tls_rc __real_tls_conn_read(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err);
enum tls_rc __wrap_tls_conn_read(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err);
enum tls_rc __real_tls_conn_write(struct tls_conn *conn, const void *data,
		size_t n, size_t *taken, struct tls_conn_io *io,
		const struct tls_ct_wrq_limits *limits, struct tls_err *err);
enum tls_rc __wrap_tls_conn_write(struct tls_conn *conn, const void *data,
		size_t n, size_t *taken, struct tls_conn_io *io,
		const struct tls_ct_wrq_limits *limits, struct tls_err *err);
void __real_tls_metrics_add(enum tls_metric metric, uint64_t n);
void __wrap_tls_metrics_add(enum tls_metric metric, uint64_t n);

static atomic_bool *written; /* somebody wrote to a failed connection; shared */
static bool read_failed;	 /* the last step of this process */

static __attribute__((constructor)) void share(void)
{
	void *p = mmap(NULL, sizeof(*written), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	written = p != MAP_FAILED ? p : NULL;
}

static bool refuses(const char *name)
{
	const char *names = getenv(REFUSING_NAMES);

	return names != NULL && strstr(names, name) != NULL;
}

ssize_t __wrap_getrandom(void *buf, size_t n, unsigned int flags)
{
	return refuses("getrandom") ? -1 : __real_getrandom(buf, n, flags);
}

int __wrap_register_script_cb(cb_function f, unsigned int flags, void *param)
{
	return refuses("register_script_cb")
				   ? -1
				   : __real_register_script_cb(f, flags, param);
}

/* The next major version. */
unsigned long __wrap_OpenSSL_version_num(void)
{
	unsigned long n = __real_OpenSSL_version_num();

	return refuses("OpenSSL_version_num") ? n + (1UL << 28) : n;
}

int __wrap_faked_msg_init(void)
{
	return refuses("faked_msg_init") ? -1 : __real_faked_msg_init();
}

int __wrap_sr_kemi_ctx_route(sr_kemi_eng_t *engine, run_act_ctx_t *ctx,
		sip_msg_t *msg, int type, str *name, str *event)
{
	return refuses("sr_kemi_ctx_route") ? -1
										: __real_sr_kemi_ctx_route(engine, ctx,
												msg, type, name, event);
}

int __wrap_send_all(int fd, void *data, int n)
{
	return refuses("send_all") ? -1 : __real_send_all(fd, data, n);
}

/* Holds the caller up until nobody but him has the connection. */
struct tcp_connection *__wrap_tcpconn_get(int id, struct ip_addr *ip, int port,
		union sockaddr_union *local, ticks_t timeout)
{
	struct tcp_connection *c = __real_tcpconn_get(id, ip, port, local, timeout);
	int ms;

	if(c == NULL || !refuses("tcpconn_get"))
		return c;
	LM_NOTICE("test: connection %d is held\n", c->id);
	for(ms = 0; ms < HELD_MS && atomic_get(&c->refcnt) > 1; ms += 5)
		poll(NULL, 0, 5);
	return c;
}

enum tls_rc __wrap_tls_conn_read(
		struct tls_conn *conn, struct tls_conn_io *io, struct tls_err *err)
{
	enum tls_rc rc = __real_tls_conn_read(conn, io, err);

	if(refuses("tls_conn_read"))
		rc = tls_err_set(err, TLS_RC_PEER, "the test refuses");
	read_failed = rc == TLS_RC_PEER;
	return rc;
}

enum tls_rc __wrap_tls_conn_write(struct tls_conn *conn, const void *data,
		size_t n, size_t *taken, struct tls_conn_io *io,
		const struct tls_ct_wrq_limits *limits, struct tls_err *err)
{
	enum tls_rc rc =
			__real_tls_conn_write(conn, data, n, taken, io, limits, err);

	if(rc == TLS_RC_PEER && written != NULL)
		atomic_store(written, true);
	return rc;
}

/* What the receiver does first when it has released write_lock. */
void __wrap_tls_metrics_add(enum tls_metric metric, uint64_t n)
{
	int ms;

	__real_tls_metrics_add(metric, n);
	if(metric != TLS_METRIC_CLEAR_IN || !read_failed || written == NULL
			|| !refuses("tls_metrics_add"))
		return;
	LM_NOTICE("test: the receiver is held\n");
	for(ms = 0; ms < HELD_MS && !atomic_load(written); ms += 5)
		poll(NULL, 0, 5);
}
