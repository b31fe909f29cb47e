/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* From text or modparams to a complete, sealed generation of profiles.
 * Builds aside and publishes nothing; opens no certificate and asks no
 * socket: a profile that it returns may still name a file that is missing.
 * Called by the adapter at start and at a reload, in one process at a time.
 *
 * What fills the holes of a section, attribute by attribute: the section
 * itself; [server:default] or [client:default]; the modparams; the default
 * of the option table (tls_params.h). The exceptions are
 *   - server_name, server_name_mode and server_id say who a section is and
 *     are never inherited, save that the modparam server_name is the name of
 *     the default server profile;
 *   - a client profile takes no certificate, key or password from the
 *     modparams: it has one only if it or [client:default] names one;
 *   - ca_list and ca_path are one thing: who names one of them does not
 *     inherit the other, so that own trust anchors never get company;
 *   - a section with a certificate of its own does not inherit the second
 *     certificate, key and password, nor any OCSP response;
 *   - a server profile without a certificate gets cert.pem in BASE_DIR;
 *   - a private_key that nobody names is looked for in the file of the
 *     certificate (the stock module: in cert.pem, whatever the certificate),
 *     likewise private_key2 in that of certificate2;
 *   - an empty value ("") means "none" and is not a hole.
 *
 * Every path goes through the rule of tls_params_path(). */
#ifndef TLS_CONFIG_H
#define TLS_CONFIG_H

#include <stddef.h>

#include "tls_domain.h"
#include "tls_err.h"
#include "tls_params.h"

/* Largest configuration file that is read, in bytes. */
#define TLS_CONFIG_FILE_MAX (16u * 1024 * 1024)

/* Files may include files to this depth. */
#define TLS_CONFIG_DEPTH_MAX 16

/* Errors are reported one by one up to this many; then only counted. */
#define TLS_CONFIG_ERRORS_MAX 50

/* One text with the name that errors give it. All borrowed. */
struct tls_config_source
{
	const char *name;
	const char *text; /* LEN bytes, no 0 needed */
	size_t len;
};

/* Makes profiles from N sources (mode B). Sections do not reach over the end
 * of a source. MODPARAMS (may be NULL) fill the holes, BASE_DIR is the
 * directory of the host's main configuration file. Each error, as
 * "name:line:column: sentence", and each oddity (level WARN) goes to REPORT
 * (may be NULL) with ARG; passwords are never part of it. Returns OK with
 * the sealed generation in *OUT, whose one reference is the caller's; CONFIG
 * with the first error and the number of the others in ERR (may be NULL);
 * NOMEM. *OUT is NULL unless OK. "include" is an error in a source: only
 * tls_config_load reads files. */
enum tls_rc tls_config_parse(const struct tls_config_source *sources, size_t n,
		const struct tls_profile_params *modparams, const char *base_dir,
		tls_report_fn report, void *arg, struct tls_domains **out,
		struct tls_err *err) TLS_MUST_CHECK;

/* As tls_config_parse, from the file PATH, or, when PATH is a directory,
 * from the files in it whose names end in ".cfg", in the order of their
 * names; sub-directories are not entered, other files are skipped with a
 * warning (hidden ones silently), and a directory without such a file is an
 * error. 'include "file"' reads another file in that place, which may be in the
 * middle of a section; a pattern (* ? [) reads all files that match, in the
 * order of their names, and may match none. PATH and included names go through
 * the path rule. Also returns IO when PATH cannot be read. Reads with libc and
 * blocks while it does. */
enum tls_rc tls_config_load(const char *path,
		const struct tls_profile_params *modparams, const char *base_dir,
		tls_report_fn report, void *arg, struct tls_domains **out,
		struct tls_err *err) TLS_MUST_CHECK;

/* As tls_config_load, for who wants to find further mistakes: with CONFIG, *OUT
 * has the sections that are without one, and the defaults as far as they could
 * be read, sealed or not; NULL when that was not possible. It is not to be
 * published. */
enum tls_rc tls_config_load_partly(const char *path,
		const struct tls_profile_params *modparams, const char *base_dir,
		tls_report_fn report, void *arg, struct tls_domains **out,
		struct tls_err *err) TLS_MUST_CHECK;

/* Makes the two default profiles from MODPARAMS alone (mode A, no config
 * file). Both get the same values, the server's certificate included; a
 * certificate or private_key that is not set is cert.pem in BASE_DIR.
 * Returns OK, CONFIG or NOMEM as tls_config_parse. */
enum tls_rc tls_config_from_modparams(
		const struct tls_profile_params *modparams, const char *base_dir,
		struct tls_domains **out, struct tls_err *err) TLS_MUST_CHECK;

#endif
