/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Server profiles by the thousand: a name, a key and a certificate each, made
 * in this process as fast as the library can, and the tls.cfg that names them.
 * Starts no server and opens no connection.
 * Used by the host tests, the soak test and the benchmark in their one
 * process, no lock. */
#ifndef TEST_HOSTMANY_H
#define TEST_HOSTMANY_H

#include <stdbool.h>
#include <stddef.h>

#define MANY_NAME_MAX 32 /* longest name with its 0 byte */

/* Name number I, "n00042.example.org", in OUT, which is returned. */
const char *many_name(int i, char out[MANY_NAME_MAX]);

/* Writes a new key (EC P-256) and a certificate signed with it for NAME to
 * PEM and KEY; SERIAL tells it from the one before. Either file is replaced
 * at once, the key last. False = failed. */
bool many_certificate(
		const char *pem, const char *key, const char *name, long serial);

/* The same for names 0 to N - 1: DIR/n00042.pem and DIR/n00042.key. The serial
 * is that of the first one, the others follow. */
bool many_certificates(const char *dir, int n, long serial);

/* Writes the tls.cfg PATH: both defaults, the server's with the certificate of
 * name 0, and [server:any] for each of N names with its files in DIR and the
 * lines EXTRA (may be NULL) in it. */
bool many_config(const char *path, const char *dir, int n, const char *extra);

#endif
