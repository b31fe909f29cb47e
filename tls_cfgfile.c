/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Pull parser of the tls.cfg syntax: bytes in, sections and options out.
 * Knows no option, reads no file and allocates nothing.
 * Called by tls_config.c, in the process that loads, without a lock. */
#include "tls_cfgfile.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define END_OF_TEXT (-1)

void tls_cfgfile_init(struct tls_cfgfile *f, const char *text, size_t len)
{
	memset(f, 0, sizeof(*f));
	f->text = text;
	f->len = len;
	f->pos.line = 1;
	f->pos.col = 1;
	f->error_pos = f->pos;
}

/* The byte OFFSET behind the current one, or END_OF_TEXT. */
static int peek_at(const struct tls_cfgfile *f, size_t offset)
{
	if(offset >= f->len - f->at)
		return END_OF_TEXT;
	return (unsigned char)f->text[f->at + offset];
}

static int peek(const struct tls_cfgfile *f)
{
	return peek_at(f, 0);
}

/* Steps over one byte and keeps the position. */
static void step(struct tls_cfgfile *f)
{
	if(f->text[f->at++] == '\n') {
		f->pos.line++;
		f->pos.col = 1;
	} else {
		f->pos.col++;
	}
}

static bool is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_name_byte(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
		   || (c >= '0' && c <= '9') || c == '_';
}

/* Bytes above ASCII are accepted, paths may be UTF-8. */
static bool is_control(int c)
{
	return (c >= 0 && c < ' ') || c == 0x7f;
}

/* True at a backslash whose line goes on with the next one; the number of
 * bytes to step over comes back in *N. */
static bool at_continuation(const struct tls_cfgfile *f, size_t *n)
{
	if(peek(f) != '\\')
		return false;
	*n = peek_at(f, 1) == '\r' ? 3 : 2;
	return peek_at(f, *n - 1) == '\n';
}

/* Steps over blanks and continuations. */
static void skip_blanks(struct tls_cfgfile *f)
{
	size_t n;

	for(;;) {
		if(is_blank(peek(f)))
			n = 1;
		else if(!at_continuation(f, &n))
			return;
		while(n--)
			step(f);
	}
}

/* Steps to the end of the line, not over it. */
static void skip_line(struct tls_cfgfile *f)
{
	while(peek(f) != END_OF_TEXT && peek(f) != '\n')
		step(f);
}

/* Notes the error at the current place. The text never quotes what is there:
 * it may be a part of a password. */
static enum tls_rc fail(
		struct tls_cfgfile *f, struct tls_err *err, const char *sentence)
{
	f->error_pos = f->pos;
	return tls_err_set(err, TLS_RC_CONFIG, "%s", sentence);
}

/* Only a comment may follow on this line. */
static enum tls_rc expect_line_end(struct tls_cfgfile *f, struct tls_err *err)
{
	skip_blanks(f);
	if(peek(f) == '#')
		skip_line(f);
	if(peek(f) != END_OF_TEXT && peek(f) != '\n')
		return fail(f, err,
				"unexpected text, the line should end here (put a value with "
				"blanks in double quotes)");
	return TLS_RC_OK;
}

/* Reads a word of letters, digits and '_' into item->name. */
static enum tls_rc read_name(struct tls_cfgfile *f,
		struct tls_cfgfile_item *item, struct tls_err *err)
{
	size_t n = 0;

	while(is_name_byte(peek(f))) {
		if(n == TLS_CFGFILE_NAME_MAX)
			return fail(f, err, "this word is too long");
		item->name[n++] = (char)peek(f);
		step(f);
	}
	item->name[n] = '\0';
	return TLS_RC_OK;
}

static enum tls_rc append(struct tls_cfgfile *f, struct tls_cfgfile_item *item,
		int c, struct tls_err *err)
{
	if(item->value_len == TLS_CFGFILE_VALUE_MAX)
		return fail(f, err, "the value is longer than 4096 bytes");
	item->value[item->value_len++] = (char)c;
	return TLS_RC_OK;
}

/* Reads one escape; *OUT is the byte it stands for, END_OF_TEXT for none.
 * The place of an error is the backslash. */
static enum tls_rc read_escape(
		struct tls_cfgfile *f, bool quoted, int *out, struct tls_err *err)
{
	int c = peek_at(f, 1);
	size_t n;

	*out = END_OF_TEXT;
	if(at_continuation(f, &n)) {
		while(n--)
			step(f);
		return TLS_RC_OK;
	}
	if(c == '\\' || c == '"' || (!quoted && (c == '#' || c == ' ')))
		*out = c;
	else if(c == 'n')
		*out = '\n';
	else if(c == 'r')
		*out = '\r';
	else if(c == 't')
		*out = '\t';
	else if(quoted)
		return fail(f, err,
				"unknown escape (known are \\\\ \\\" \\n \\r \\t; a backslash "
				"itself is written \\\\)");
	else
		return fail(f, err,
				"unknown escape (known are \\\\ \\\" \\# \\n \\r \\t and "
				"backslash-space; a backslash itself is written \\\\)");
	step(f);
	step(f);
	return TLS_RC_OK;
}

/* Reads a value in quotes; the parser stands on the first one. */
static enum tls_rc read_quoted(struct tls_cfgfile *f,
		struct tls_cfgfile_item *item, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;
	int c;

	step(f);
	while(!rc && (c = peek(f)) != '"') {
		if(c == END_OF_TEXT || c == '\n') {
			f->error_pos = item->value_pos;
			return tls_err_set(err, TLS_RC_CONFIG,
					"the closing double quote is missing on this line");
		}
		if(c == '\\') {
			rc = read_escape(f, true, &c, err);
			if(!rc && c != END_OF_TEXT)
				rc = append(f, item, c, err);
			continue;
		}
		/* CR is accepted as it always was, and a tab as it is a blank */
		if(is_control(c) && !is_blank(c))
			return fail(f, err, "control byte in a value");
		rc = append(f, item, c, err);
		if(!rc)
			step(f);
	}
	if(!rc)
		step(f);
	return rc;
}

/* Reads a value without quotes, up to a blank, '#' or the end of line. */
static enum tls_rc read_unquoted(struct tls_cfgfile *f,
		struct tls_cfgfile_item *item, struct tls_err *err)
{
	enum tls_rc rc = TLS_RC_OK;
	int c;

	while(!rc) {
		c = peek(f);
		if(c == END_OF_TEXT || c == '\n' || c == '#' || is_blank(c))
			break;
		if(c == '\\') {
			rc = read_escape(f, false, &c, err);
			if(!rc && c != END_OF_TEXT)
				rc = append(f, item, c, err);
			continue;
		}
		if(is_control(c))
			return fail(f, err, "control byte in a value");
		rc = append(f, item, c, err);
		if(!rc)
			step(f);
	}
	return rc;
}

/* Reads a value up to the end of the line. */
static enum tls_rc read_value(struct tls_cfgfile *f,
		struct tls_cfgfile_item *item, struct tls_err *err)
{
	enum tls_rc rc;
	bool quoted;

	skip_blanks(f);
	item->value_pos = f->pos;
	quoted = peek(f) == '"';
	rc = quoted ? read_quoted(f, item, err) : read_unquoted(f, item, err);
	if(rc)
		return rc;
	if(!quoted && !item->value_len)
		return fail(
				f, err, "the value is missing (write \"\" for an empty one)");
	item->value[item->value_len] = '\0';
	return expect_line_end(f, err);
}

/* Reads what follows a name: "= value", or the file behind "include". */
static enum tls_rc read_option(struct tls_cfgfile *f,
		struct tls_cfgfile_item *item, struct tls_err *err)
{
	skip_blanks(f);
	if(peek(f) == '=') {
		step(f);
		return read_value(f, item, err);
	}
	if(strcasecmp(item->name, "include"))
		return fail(f, err, "'=' is missing behind the name of the option");
	item->kind = TLS_CFGFILE_INCLUDE;
	return read_value(f, item, err);
}

/* Reads the address up to the ']' of the header. Blanks are allowed next to
 * a delimiter only, so that "10.0.0.1 0:1" does not become 10.0.0.10:1. */
static enum tls_rc read_address(struct tls_cfgfile *f,
		struct tls_cfgfile_item *item, struct tls_err *err)
{
	bool in_brackets = false, blank = false;
	enum tls_rc rc;
	int c, last = ':';

	for(;;) {
		c = peek(f);
		if(c == ']' && !in_brackets)
			break;
		if(is_blank(c)) {
			blank = true;
			step(f);
			continue;
		}
		if(c == '[' && item->value_len)
			return fail(f, err, "'[' in the middle of an address");
		if(!is_name_byte(c) && (c <= 0 || !strchr("[]:.*-", c)))
			return fail(f, err,
					"the section header is not closed or has a wrong byte "
					"(write [server:192.0.2.1:5061])");
		if(blank && is_name_byte(c) && is_name_byte(last))
			return fail(f, err, "blank inside an address");
		if(!item->value_len)
			item->value_pos = f->pos;
		in_brackets = c == '[' || (in_brackets && c != ']');
		rc = append(f, item, c, err);
		if(rc)
			return rc;
		last = c;
		blank = false;
		step(f);
	}
	item->value[item->value_len] = '\0';
	step(f);
	return expect_line_end(f, err);
}

/* Reads "[type:address]"; the parser stands on the first bracket. */
static enum tls_rc read_section(struct tls_cfgfile *f,
		struct tls_cfgfile_item *item, struct tls_err *err)
{
	enum tls_rc rc;

	step(f);
	skip_blanks(f);
	rc = read_name(f, item, err);
	if(rc)
		return rc;
	if(!item->name[0])
		return fail(f, err, "the type of the section is missing");
	skip_blanks(f);
	if(peek(f) != ':')
		return fail(f, err,
				"':' is missing behind the type of the section (write "
				"[server:default])");
	step(f);
	item->value_pos = f->pos;
	return read_address(f, item, err);
}

/* Steps to the first byte of an item; false at the end of the text. */
static bool find_item(struct tls_cfgfile *f)
{
	for(;;) {
		skip_blanks(f);
		if(peek(f) == '#')
			skip_line(f);
		if(peek(f) == END_OF_TEXT)
			return false;
		if(peek(f) != '\n')
			return true;
		step(f);
	}
}

enum tls_rc tls_cfgfile_next(struct tls_cfgfile *f,
		struct tls_cfgfile_item *out, struct tls_err *err)
{
	enum tls_rc rc;

	out->kind = TLS_CFGFILE_END;
	out->name[0] = '\0';
	out->value[0] = '\0';
	out->value_len = 0;
	if(!find_item(f)) {
		out->name_pos = out->value_pos = f->pos;
		return TLS_RC_OK;
	}
	out->name_pos = out->value_pos = f->pos;
	if(peek(f) == '[') {
		rc = read_section(f, out, err);
		out->kind = TLS_CFGFILE_SECTION;
	} else if(is_name_byte(peek(f))) {
		out->kind = TLS_CFGFILE_OPTION;
		rc = read_name(f, out, err);
		if(!rc)
			rc = read_option(f, out, err);
	} else {
		rc = fail(f, err,
				"this is neither a section header, an option nor a comment");
	}
	if(rc) {
		/* out keeps kind and name: who reads on knows what was lost */
		out->value[0] = '\0';
		out->value_len = 0;
		skip_line(f);
	}
	return rc;
}
