/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Pull parser of the tls.cfg syntax over bytes in memory.
 * Knows the lexical rules and where it is; knows no option, reads no file
 * and allocates nothing.
 * Called by tls_config.c, in the process that loads, without a lock.
 *
 * The rules, which are those of the host's small parser unless said:
 *   - '#' starts a comment that ends with the line (there, a backslash at
 *     the end of a comment swallowed the next line);
 *   - space, tab and CR are white space; a line holds nothing, a section
 *     "[type:address]", "name = value", or 'include "file"' (there: no
 *     include);
 *   - a value in double quotes ends on its own line and knows \\ \" \n \r \t
 *     and backslash-newline; an unquoted one runs to white space, '#' or the
 *     end of line and knows \# and backslash-space too; a backslash followed
 *     by anything else is an error;
 *   - a value has at most 4096 bytes (there: 511); control bytes, the NUL
 *     byte among them, are refused everywhere. */
#ifndef TLS_CFGFILE_H
#define TLS_CFGFILE_H

#include <stddef.h>

#include "tls_err.h"

#define TLS_CFGFILE_NAME_MAX 63
#define TLS_CFGFILE_VALUE_MAX 4096

enum tls_cfgfile_kind
{
	TLS_CFGFILE_END = 0, /* of the text; asked again, it comes again */
	TLS_CFGFILE_SECTION, /* name = type, value = address, blanks removed */
	TLS_CFGFILE_OPTION,	 /* name and value, escapes resolved */
	TLS_CFGFILE_INCLUDE	 /* value = what to read here */
};

/* A place in the text. Lines and columns (bytes) count from 1. */
struct tls_cfgfile_pos
{
	unsigned int line;
	unsigned int col;
};

/* One item. The value may be a secret: wipe the item after use. */
struct tls_cfgfile_item
{
	enum tls_cfgfile_kind kind;
	struct tls_cfgfile_pos name_pos;  /* of a section: its '[' */
	struct tls_cfgfile_pos value_pos; /* of a quoted value: its quote */
	char name[TLS_CFGFILE_NAME_MAX + 1];
	size_t value_len;
	char value[TLS_CFGFILE_VALUE_MAX + 1]; /* 0-terminated, has no 0 inside */
};

/* The parser. Everything is private but error_pos. */
struct tls_cfgfile
{
	const char *text; /* borrowed from the caller of init */
	size_t len;
	size_t at;
	struct tls_cfgfile_pos pos;		  /* of text[at] */
	struct tls_cfgfile_pos error_pos; /* where the last error is */
};

/* Starts reading the LEN bytes at TEXT (may be NULL when LEN is 0), which
 * must stay until the last call of tls_cfgfile_next. */
void tls_cfgfile_init(struct tls_cfgfile *f, const char *text, size_t len);

/* Reads the next item into *OUT. Returns OK with an item (END included), or
 * CONFIG with a sentence in ERR (may be NULL) that quotes no value, because
 * it could be a password, and its place in F->error_pos; the next call then
 * goes on behind the faulty line, so that one pass finds every error. */
enum tls_rc tls_cfgfile_next(struct tls_cfgfile *f,
		struct tls_cfgfile_item *out, struct tls_err *err) TLS_MUST_CHECK;

#endif
