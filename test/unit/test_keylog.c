/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Tests of tls_keylog: nothing without permission, nothing that others may
 * read, and the lines that are asked for. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "../../tls_keylog.h"
#include "../lib/port_stub.h"

#define ON (TLS_KEYLOG_INIT | TLS_KEYLOG_ACTIVE)
#define TRAFFIC "CLIENT_TRAFFIC_SECRET_0 00ff 0123"
#define EXPORTER "EXPORTER_SECRET 00ff 0123"

void test_keylog_add(void);

static char file[64];
static int mode;

static int mode_cb(void)
{
	return mode;
}

static enum tls_rc init(int at_start, const char *to_file, const char *to_peer)
{
	struct tls_keylog_args args = {at_start, mode_cb, to_file, to_peer};
	struct tls_err err;

	mode = at_start;
	return tls_keylog_init(&args, &err);
}

/* What the file holds; "" when there is none. */
static const char *written(void)
{
	static char text[1024];
	FILE *f = fopen(file, "r");

	text[0] = '\0';
	if(f == NULL)
		return text;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void set_up(void)
{
	port_stub_reset();
	snprintf(file, sizeof(file), "build/keylog-%d", (int)getpid());
	unlink(file);
}

static const struct
{
	int mode;
	const char *file;
	const char *peer;
	enum tls_rc want;
	const char *reason;
} init_rows[] = {
		{ON | TLS_KEYLOG_FILE, NULL, NULL, TLS_RC_CONFIG, "no file"},
		{ON | TLS_KEYLOG_FILE, "", NULL, TLS_RC_CONFIG, "an empty name"},
		{ON | TLS_KEYLOG_PEER, NULL, NULL, TLS_RC_CONFIG, "no peer"},
		{ON, NULL, "127.0.0.1:9", TLS_RC_CONFIG, "a peer without udp:"},
		{ON, NULL, "udp:localhost:9", TLS_RC_CONFIG, "a name"},
		{TLS_KEYLOG_FILE, NULL, "x", TLS_RC_OK, "not allowed at all"},
		{0, NULL, NULL, TLS_RC_OK, "the default"},
		{ON | TLS_KEYLOG_PEER, NULL, "udp:[::1]:9", TLS_RC_OK, "IPv6"},
};

static void test_init(void)
{
	size_t i;

	for(i = 0; i < sizeof(init_rows) / sizeof(init_rows[0]); i++) {
		set_up();
		CU_ASSERT_EQUAL(
				init(init_rows[i].mode, init_rows[i].file, init_rows[i].peer),
				init_rows[i].want);
		CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_WARN) > 0,
				init_rows[i].want == TLS_RC_OK
						&& (init_rows[i].mode & TLS_KEYLOG_INIT) != 0);
	}
}

static void test_modes(void)
{
	set_up();
	CU_ASSERT_EQUAL(init(TLS_KEYLOG_FILE, file, NULL), TLS_RC_OK);
	mode = ON | TLS_KEYLOG_FILE | TLS_KEYLOG_LOG;
	tls_keylog_write(TRAFFIC);
	CU_ASSERT_STRING_EQUAL(written(), "");
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_NOTICE), 0);
	/* allowed, but not active until somebody says so */
	CU_ASSERT_EQUAL(init(TLS_KEYLOG_INIT, file, NULL), TLS_RC_OK);
	mode = TLS_KEYLOG_INIT | TLS_KEYLOG_FILE;
	tls_keylog_write(TRAFFIC);
	CU_ASSERT_STRING_EQUAL(written(), "");
	mode = ON | TLS_KEYLOG_FILE;
	tls_keylog_write(TRAFFIC);
	tls_keylog_write(EXPORTER);
	CU_ASSERT_STRING_EQUAL(written(), TRAFFIC "\n" EXPORTER "\n");
	mode |= TLS_KEYLOG_FILTER;
	tls_keylog_write(EXPORTER);
	tls_keylog_write("CLIENT_TRAFFIC_SECRET_01 00ff 0123");
	tls_keylog_write("CLIENT_RANDOM 00ff 0123");
	CU_ASSERT_STRING_EQUAL(
			written(), TRAFFIC "\n" EXPORTER "\nCLIENT_RANDOM 00ff 0123\n");
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_NOTICE), 0);
	mode = ON | TLS_KEYLOG_LOG;
	tls_keylog_write(TRAFFIC);
	CU_ASSERT_EQUAL(port_stub_log_count(TLS_LOG_NOTICE), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(port_stub_last_log(), TRAFFIC));
	unlink(file);
}

static void test_rights(void)
{
	struct stat st;
	char huge[2048];

	set_up();
	CU_ASSERT_EQUAL(init(ON | TLS_KEYLOG_FILE, file, NULL), TLS_RC_OK);
	umask(0);
	tls_keylog_write(TRAFFIC);
	CU_ASSERT(stat(file, &st) == 0 && (st.st_mode & 0777) == 0600);
	memset(huge, 'x', sizeof(huge));
	huge[sizeof(huge) - 1] = '\0';
	tls_keylog_write(huge);
	CU_ASSERT_STRING_EQUAL(written(), TRAFFIC "\n");
	CU_ASSERT_EQUAL(chmod(file, 0640), 0);
	tls_keylog_write(EXPORTER);
	CU_ASSERT_STRING_EQUAL(written(), TRAFFIC "\n");
	/* a link that somebody put there */
	CU_ASSERT(unlink(file) == 0 && symlink("elsewhere", file) == 0);
	tls_keylog_write(EXPORTER);
	CU_ASSERT(lstat(file, &st) == 0 && S_ISLNK(st.st_mode));
	CU_ASSERT(access("build/elsewhere", F_OK) != 0);
	unlink(file);
	umask(022);
}

static void test_peer(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t n = sizeof(sa);
	char to[32];
	char got[128] = "";
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	set_up();
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&sa, n), 0);
	getsockname(fd, (struct sockaddr *)&sa, &n);
	snprintf(to, sizeof(to), "udp:127.0.0.1:%d", ntohs(sa.sin_port));
	CU_ASSERT_EQUAL(init(ON | TLS_KEYLOG_PEER, NULL, to), TLS_RC_OK);
	tls_keylog_write(TRAFFIC);
	CU_ASSERT(recv(fd, got, sizeof(got) - 1, 0) > 0);
	CU_ASSERT_STRING_EQUAL(got, TRAFFIC "\n");
	close(fd);
	(void)init(0, NULL, NULL);
}

void test_keylog_add(void)
{
	CU_pSuite suite = CU_add_suite("keylog", NULL, NULL);

	if(suite == NULL)
		return;
	CU_add_test(suite, "settings", test_init);
	CU_add_test(suite, "modes and filter", test_modes);
	CU_add_test(suite, "rights of the file", test_rights);
	CU_add_test(suite, "peer", test_peer);
}
