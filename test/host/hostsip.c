/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* SIP text for the tests, see hostsip.h.
 * Does no I/O, allocates nothing and knows no TLS.
 * Used by the host tests and by the load generator, any process, no lock. */
#define _GNU_SOURCE
#include "hostsip.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONTENT_MAX (1 << 24) /* a longer announced body is not ours */

void sip_pattern(char *buf, size_t n, unsigned int seed)
{
	static const char abc[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEF-_";
	unsigned int x = seed * 2654435761u + 12345u;
	size_t i;

	for(i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		buf[i] = abc[(x >> 24) % (sizeof(abc) - 1)];
	}
}

size_t sip_request(char *out, size_t room, const struct sip_req *req)
{
	const char *method = req->method ? req->method : "OPTIONS";
	char branch[128];
	char via_port[16] = "";
	char to_port[16] = "";
	int n;

	if(req->branch)
		snprintf(branch, sizeof(branch), "%s", req->branch);
	else
		snprintf(branch, sizeof(branch), "z9hG4bK-%s-%u", req->call_id,
				req->cseq);
	if(req->via_port)
		snprintf(via_port, sizeof(via_port), ":%d", req->via_port);
	if(req->to_port)
		snprintf(to_port, sizeof(to_port), ":%d", req->to_port);
	n = snprintf(out, room,
			"%s sip:test@127.0.0.1%s SIP/2.0\r\n"
			"Via: SIP/2.0/%s 127.0.0.1%s;rport;branch=%s\r\n"
			"From: <sip:a@127.0.0.1>;tag=t%u\r\n"
			"To: <sip:test@127.0.0.1>\r\n"
			"Call-ID: %s\r\n"
			"CSeq: %u %s\r\n"
			"Max-Forwards: 20\r\n"
			"X-Echo: %s/%u\r\n"
			"%s"
			"Content-Type: text/plain\r\n"
			"Content-Length: %zu\r\n\r\n",
			method, to_port, req->transport ? req->transport : "TLS", via_port,
			branch, req->cseq, req->call_id, req->cseq, method, req->call_id,
			req->cseq, req->extra ? req->extra : "", req->body_len);
	if(n < 0 || (size_t)n >= room || req->body_len > room - (size_t)n)
		return 0;
	if(req->body_len)
		memcpy(out + n, req->body, req->body_len);
	return (size_t)n + req->body_len;
}

/* The next line of the head at *AT: its length without CRLF; 0 = the head's
 * end. Moves *AT behind the line. */
static size_t head_line(const char *msg, size_t len, size_t *at)
{
	const char *start = msg + *at;
	const char *eol = memmem(start, len - *at, "\r\n", 2);
	size_t n;

	if(!eol)
		return 0;
	n = (size_t)(eol - start);
	*at += n + 2;
	return n;
}

/* Is LINE the header NAME (or the compact form that Kamailio never sends)? */
static int line_is(const char *line, size_t n, const char *name, size_t name_n)
{
	return n > name_n && strncasecmp(line, name, name_n) == 0
		   && (line[name_n] == ':' || line[name_n] == ' ');
}

size_t sip_header(
		const char *msg, size_t len, const char *name, char *out, size_t room)
{
	size_t name_n = strlen(name);
	size_t at = 0;
	size_t start;
	size_t n;

	out[0] = '\0';
	for(;;) {
		start = at;
		n = head_line(msg, len, &at);
		if(n == 0)
			return 0;
		if(!line_is(msg + start, n, name, name_n))
			continue;
		start += name_n;
		n -= name_n;
		while(n > 0 && (msg[start] == ':' || msg[start] == ' ')) {
			start++;
			n--;
		}
		snprintf(out, room, "%.*s", (int)n, msg + start);
		return n;
	}
}

const char *sip_body(const char *msg, size_t len, size_t *n_out)
{
	const char *end = memmem(msg, len, "\r\n\r\n", 4);

	*n_out = 0;
	if(!end)
		return NULL;
	*n_out = len - (size_t)(end + 4 - msg);
	return end + 4;
}

long sip_frame(const char *buf, size_t n)
{
	char value[32];
	const char *end;
	size_t skip = 0;
	size_t head;
	long body;

	while(skip < n && (buf[skip] == '\r' || buf[skip] == '\n'))
		skip++;
	if(skip == n)
		return 0;
	if(!isupper((unsigned char)buf[skip]))
		return -1;
	end = memmem(buf + skip, n - skip, "\r\n\r\n", 4);
	if(!end)
		return n - skip > 65536 ? -1 : 0;
	head = (size_t)(end + 4 - buf);
	if(sip_header(
			   buf + skip, head - skip, "Content-Length", value, sizeof(value))
			== 0)
		return (long)head;
	body = strtol(value, NULL, 10);
	if(body < 0 || body > CONTENT_MAX)
		return -1;
	if((size_t)body > n - head)
		return 0;
	return (long)head + body;
}

int sip_status(const char *msg, size_t len)
{
	if(len > 12 && memcmp(msg, "SIP/2.0 ", 8) == 0)
		return atoi(msg + 8);
	return memmem(msg, len, " SIP/2.0\r\n", 10) ? 0 : -1;
}

/* Copies every header of REQ that a reply must repeat. */
static size_t reply_head(
		char *out, size_t room, const char *req, size_t len, int status)
{
	static const char *const keep[] = {
			"Via", "From", "To", "Call-ID", "CSeq", "X-Echo"};
	size_t at = 0;
	size_t used;
	size_t start;
	size_t n;
	size_t i;

	used = (size_t)snprintf(out, room, "SIP/2.0 %d Answered\r\n", status);
	while(start = at, (n = head_line(req, len, &at)) > 0) {
		for(i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
			if(line_is(req + start, n, keep[i], strlen(keep[i])))
				break;
		if(i == sizeof(keep) / sizeof(keep[0]))
			continue;
		if(n + 16 > room - used)
			return 0;
		memcpy(out + used, req + start, n);
		used += n;
		if(i == 2 && !memmem(req + start, n, ";tag=", 5)) {
			memcpy(out + used, ";tag=r", 6);
			used += 6;
		}
		memcpy(out + used, "\r\n", 2);
		used += 2;
	}
	return used;
}

size_t sip_reply(
		char *out, size_t room, const char *req, size_t len, int status)
{
	size_t body_n;
	const char *body = sip_body(req, len, &body_n);
	size_t used;
	int n;

	if(sip_status(req, len) != 0 || room < SIP_HEAD_ROOM)
		return 0;
	used = reply_head(out, room, req, len, status);
	if(used == 0)
		return 0;
	n = snprintf(out + used, room - used,
			"Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", body_n);
	if((size_t)n >= room - used || body_n > room - used - (size_t)n)
		return 0;
	used += (size_t)n;
	if(body_n)
		memcpy(out + used, body, body_n);
	return used + body_n;
}
