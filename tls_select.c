/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* Pseudo-variables, selects and script functions; see tls_select.h. */

#include "tls_select.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../../core/strutils.h"
#include "tls_ctx.h"
#include "tls_domain.h"
#include "tls_events.h"
#include "tls_ident.h"
#include "tls_info.h"
#include "tls_server.h"
#include "tls_x509.h"

/* ---- what can be asked ---- */

/* One number says what is asked: an item, and the bit MY for our certificate
 * in place of the peer's. It fits the 8 bits that a select's row can carry.
 * The last four items are families: member = item + number of its kind. */
enum item
{
	ITEM_TLS_VERSION = 0,
	ITEM_DESCRIPTION,
	ITEM_CIPHER,
	ITEM_CIPHER_BITS,
	ITEM_SERVER_NAME,
	ITEM_VERIFIED,
	ITEM_REVOKED,
	ITEM_EXPIRED,
	ITEM_SELF_SIGNED,
	ITEM_CHAIN,
	ITEM_VERIFY_RESULT,
	ITEM_VERIFY_REASON,
	ITEM_NAME_OK,
	ITEM_ALPN,
	ITEM_GROUP,
	ITEM_RESUMED,
	ITEM_PROFILE,
	ITEM_PEER_NAME,
	ITEM_FAILURE,
	ITEM_FINGERPRINT,
	ITEM_DAYS_LEFT,
	ITEM_VERSION,
	ITEM_SERIAL,
	ITEM_SUBJECT,
	ITEM_ISSUER,
	ITEM_NOT_BEFORE,
	ITEM_NOT_AFTER,
	ITEM_PEM,
	ITEM_URLENCODED,
	ITEM_SUBJECT_PART,
	ITEM_ISSUER_PART = ITEM_SUBJECT_PART + TLS_X509_PARTS,
	ITEM_SAN = ITEM_ISSUER_PART + TLS_X509_PARTS,
	ITEM_SAN_COUNT = ITEM_SAN + TLS_X509_SANS,
	ITEM_COUNT = ITEM_SAN_COUNT + TLS_X509_SANS
};
#define PEER 0
#define MY 0x80
_Static_assert((int)ITEM_COUNT <= MY, "items leave the bit of the side free");

#define SUBJECT(part_) (ITEM_SUBJECT_PART + TLS_X509_##part_)
#define ISSUER(part_) (ITEM_ISSUER_PART + TLS_X509_##part_)
#define SAN(san_) (ITEM_SAN + TLS_X509_SAN_##san_)

/* What an answer is, beside text. */
enum answer_kind
{
	ANSWER_NULL = 0,
	ANSWER_TEXT,
	ANSWER_DIGITS, /* text that may be used as a number too */
	ANSWER_NUMBER  /* a number: "+" adds and does not concatenate */
};

struct answer
{
	enum answer_kind kind;
	str text; /* in the ring */
	int number;
};

/* The connection as an item sees it, borrowed for the question. */
struct source
{
	const struct tls_info *info;
	const struct tls_profile *profile;
	const unsigned char *der; /* NULL when that side has no certificate */
	size_t n_der;
	int index;
	bool my;
};

/* ---- memory of the answers ---- */

/* Answers stay valid until RING_SIZE bytes of others have been given, so that
 * a script line may use several at once: two percent-encoded certificates of
 * the largest size, hundreds of common values. Private to the process. */
#define URLENCODED_MAX (3 * TLS_X509_PEM_MAX + 1)
#define RING_SIZE (3 * URLENCODED_MAX)

static char *ring_take(size_t n)
{
	static char ring[RING_SIZE];
	static size_t used;
	char *p;

	if(n > sizeof(ring) - used)
		used = 0;
	p = ring + used;
	used += n;
	return p;
}

static void say(struct answer *out, const char *text, size_t n)
{
	char *copy = ring_take(n + 1);

	memcpy(copy, text, n);
	copy[n] = '\0';
	out->kind = ANSWER_TEXT;
	out->text.s = copy;
	out->text.len = (int)n;
}

static void say_number(struct answer *out, enum answer_kind kind, int number)
{
	int len = 0;
	const char *text = sint2str(number, &len);

	say(out, text, (size_t)len);
	out->kind = kind;
	out->number = number;
}

/* ---- answers about the connection ---- */

static void get_tls_version(
		const struct source *src, int which, struct answer *out)
{
	const char *version = tls_info_version(src->info);

	(void)which;
	say(out, version, strlen(version));
}

static void get_description(
		const struct source *src, int which, struct answer *out)
{
	char line[256];

	(void)which;
	tls_info_cipher_description(src->info, line, sizeof(line));
	say(out, line, strlen(line));
}

static void get_cipher(const struct source *src, int which, struct answer *out)
{
	const char *cipher = tls_info_cipher(src->info);

	(void)which;
	say(out, cipher, strlen(cipher));
}

static void get_cipher_bits(
		const struct source *src, int which, struct answer *out)
{
	(void)which;
	say_number(out, ANSWER_DIGITS, tls_info_cipher_bits(src->info));
}

static void get_server_name(
		const struct source *src, int which, struct answer *out)
{
	(void)which;
	if(src->info->server_name != NULL)
		say(out, src->info->server_name, strlen(src->info->server_name));
}

static void get_verified(
		const struct source *src, int which, struct answer *out)
{
	(void)which;
	if(!src->my)
		say_number(out, ANSWER_DIGITS, tls_info_peer_verified(src->info));
}

/* 1 when the chain failed for exactly the reason WHICH. */
static void get_verdict(const struct source *src, int which, struct answer *out)
{
	if(!src->my)
		say_number(out, ANSWER_DIGITS,
				(int)tls_x509_verdict(src->info->verify_result) == which);
}

/* Null without a certificate: there was nothing to verify. */
static void get_verify_result(
		const struct source *src, int which, struct answer *out)
{
	(void)which;
	if(src->info->peer_presented)
		say_number(out, ANSWER_NUMBER, (int)src->info->verify_result);
}

static void get_verify_reason(
		const struct source *src, int which, struct answer *out)
{
	const char *text = tls_info_verify_text(src->info);

	(void)which;
	if(src->info->peer_presented)
		say(out, text, strlen(text));
}

/* A name in a certificate that nobody vouches for is only a claim. */
static void get_name_ok(const struct source *src, int which, struct answer *out)
{
	(void)which;
	if(src->info->name_ok >= 0)
		say_number(out, ANSWER_NUMBER,
				src->info->name_ok == 1 && tls_info_peer_verified(src->info));
}

static void get_alpn(const struct source *src, int which, struct answer *out)
{
	(void)which;
	if(src->info->alpn != NULL)
		say(out, src->info->alpn, strlen(src->info->alpn));
}

static void get_group(const struct source *src, int which, struct answer *out)
{
	(void)which;
	if(src->info->group[0] != '\0')
		say(out, src->info->group, strlen(src->info->group));
}

static void get_resumed(const struct source *src, int which, struct answer *out)
{
	(void)which;
	say_number(out, ANSWER_NUMBER, src->info->resumed);
}

static void get_profile(const struct source *src, int which, struct answer *out)
{
	(void)which;
	say(out, src->profile->label, strlen(src->profile->label));
}

/* ---- answers about a certificate ---- */

/* Asks for one field; VALUE lies in a buffer until the next question. */
static bool ask_certificate(const struct source *src,
		const struct tls_x509_query *query, struct tls_x509_value *value)
{
	static char buf[TLS_X509_VALUE_MAX];
	enum tls_rc rc;

	*value = (struct tls_x509_value){.buf = buf, .size = sizeof(buf)};
	if(src->der == NULL)
		return false;
	rc = tls_x509_get(src->der, src->n_der, query, value);
	if(rc != TLS_RC_OK)
		LM_DBG("field %d of a certificate has no usable value: %s\n",
				(int)query->field, tls_err_rc_name(rc));
	return rc == TLS_RC_OK && value->present;
}

static void get_text(const struct source *src, int field, struct answer *out)
{
	struct tls_x509_query query = {.field = (enum tls_x509_field)field};
	struct tls_x509_value value;

	if(ask_certificate(src, &query, &value))
		say(out, value.buf, value.n);
}

static void get_version(const struct source *src, int field, struct answer *out)
{
	struct tls_x509_query query = {.field = (enum tls_x509_field)field};
	struct tls_x509_value value;

	if(ask_certificate(src, &query, &value))
		say_number(out, ANSWER_DIGITS, (int)value.number);
}

static void get_days_left(
		const struct source *src, int field, struct answer *out)
{
	struct tls_x509_query query = {.field = (enum tls_x509_field)field};
	struct tls_x509_value value;

	if(ask_certificate(src, &query, &value))
		say_number(out, ANSWER_NUMBER, (int)value.number);
}

static void get_urlencoded(
		const struct source *src, int field, struct answer *out)
{
	struct tls_x509_query query = {.field = (enum tls_x509_field)field};
	struct tls_x509_value value;
	str pem, encoded;

	if(!ask_certificate(src, &query, &value))
		return;
	pem.s = value.buf;
	pem.len = (int)value.n;
	encoded.len = 3 * pem.len + 1;
	encoded.s = ring_take((size_t)encoded.len);
	if(urlencode(&pem, &encoded) < 0)
		return;
	out->kind = ANSWER_TEXT;
	out->text = encoded;
}

/* One certificate of the peer's verified chain; 0 is its own. */
static void get_chain(const struct source *src, int field, struct answer *out)
{
	static unsigned char der[TLS_INFO_CERT_MAX]; /* as the other buffers */
	struct source one = {.der = der};

	if(!src->my && src->index >= 0 && src->profile != NULL
			&& src->profile->ctx != NULL
			&& tls_ctx_chain_at(src->profile->ctx, src->info,
					(unsigned int)src->index, der, sizeof(der), &one.n_der))
		get_text(&one, field, out);
}

static void get_subject_part(
		const struct source *src, int part, struct answer *out)
{
	struct tls_x509_query query = {
			.field = TLS_X509_SUBJECT_PART, .part = (enum tls_x509_part)part};
	struct tls_x509_value value;

	if(ask_certificate(src, &query, &value))
		say(out, value.buf, value.n);
}

static void get_issuer_part(
		const struct source *src, int part, struct answer *out)
{
	struct tls_x509_query query = {
			.field = TLS_X509_ISSUER_PART, .part = (enum tls_x509_part)part};
	struct tls_x509_value value;

	if(ask_certificate(src, &query, &value))
		say(out, value.buf, value.n);
}

/* Printed by the host, so that the text compares equal to $si. */
static void say_ip(struct answer *out, const struct tls_x509_value *value)
{
	char text[IP_ADDR_MAX_STR_SIZE];
	struct ip_addr ip;
	int n;

	memset(&ip, 0, sizeof(ip));
	ip.af = value->n == 4 ? AF_INET : AF_INET6;
	ip.len = (unsigned int)value->n;
	memcpy(ip.u.addr, value->buf, value->n);
	n = ip_addr2sbuf(&ip, text, sizeof(text));
	if(n > 0)
		say(out, text, (size_t)n);
}

static void get_san(const struct source *src, int san, struct answer *out)
{
	struct tls_x509_query query = {.field = TLS_X509_SAN,
			.san = (enum tls_x509_san)san,
			.index = src->index};
	struct tls_x509_value value;

	if(!ask_certificate(src, &query, &value))
		return;
	if(query.san == TLS_X509_SAN_IP)
		say_ip(out, &value);
	else
		say(out, value.buf, value.n);
}

static void get_san_count(const struct source *src, int san, struct answer *out)
{
	struct tls_x509_query query = {
			.field = TLS_X509_SAN_COUNT, .san = (enum tls_x509_san)san};
	struct tls_x509_value value;

	if(ask_certificate(src, &query, &value))
		say_number(out, ANSWER_NUMBER, (int)value.number);
}

/* ---- the table of answers ---- */

typedef void (*getter_fn)(
		const struct source *src, int which, struct answer *out);

/* One row for each item, but one for all members of a family; WHICH of the
 * getter is FIRST plus the number of the member. */
struct item_row
{
	int item;
	int members;
	getter_fn get;
	int first;
};

static const struct item_row items[] = {
		{ITEM_TLS_VERSION, 1, get_tls_version, 0},
		{ITEM_DESCRIPTION, 1, get_description, 0},
		{ITEM_CIPHER, 1, get_cipher, 0},
		{ITEM_CIPHER_BITS, 1, get_cipher_bits, 0},
		{ITEM_SERVER_NAME, 1, get_server_name, 0},
		{ITEM_VERIFIED, 1, get_verified, 0},
		{ITEM_REVOKED, 1, get_verdict, TLS_X509_REVOKED},
		{ITEM_EXPIRED, 1, get_verdict, TLS_X509_EXPIRED},
		{ITEM_SELF_SIGNED, 1, get_verdict, TLS_X509_SELF_SIGNED},
		{ITEM_CHAIN, 1, get_chain, TLS_X509_PEM},
		{ITEM_VERIFY_RESULT, 1, get_verify_result, 0},
		{ITEM_VERIFY_REASON, 1, get_verify_reason, 0},
		{ITEM_NAME_OK, 1, get_name_ok, 0},
		{ITEM_ALPN, 1, get_alpn, 0},
		{ITEM_GROUP, 1, get_group, 0},
		{ITEM_RESUMED, 1, get_resumed, 0},
		{ITEM_PROFILE, 1, get_profile, 0},
		{ITEM_FINGERPRINT, 1, get_text, TLS_X509_FINGERPRINT},
		{ITEM_DAYS_LEFT, 1, get_days_left, TLS_X509_DAYS_LEFT},
		{ITEM_VERSION, 1, get_version, TLS_X509_VERSION},
		{ITEM_SERIAL, 1, get_text, TLS_X509_SERIAL},
		{ITEM_SUBJECT, 1, get_text, TLS_X509_SUBJECT},
		{ITEM_ISSUER, 1, get_text, TLS_X509_ISSUER},
		{ITEM_NOT_BEFORE, 1, get_text, TLS_X509_NOT_BEFORE},
		{ITEM_NOT_AFTER, 1, get_text, TLS_X509_NOT_AFTER},
		{ITEM_PEM, 1, get_text, TLS_X509_PEM},
		{ITEM_URLENCODED, 1, get_urlencoded, TLS_X509_PEM},
		{ITEM_SUBJECT_PART, TLS_X509_PARTS, get_subject_part, 0},
		{ITEM_ISSUER_PART, TLS_X509_PARTS, get_issuer_part, 0},
		{ITEM_SAN, TLS_X509_SANS, get_san, 0},
		{ITEM_SAN_COUNT, TLS_X509_SANS, get_san_count, 0},
};

static void look_up(const struct source *src, int item, struct answer *out)
{
	size_t i;

	for(i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		if(item >= items[i].item && item < items[i].item + items[i].members) {
			items[i].get(src, items[i].first + item - items[i].item, out);
			return;
		}
	}
}

/* TEXT may be NULL: what is no fact of this connection's handshake. */
static void say_text(struct answer *out, const char *text)
{
	if(text != NULL)
		say(out, text, strlen(text));
}

/* Answers WHAT (item and side) with number INDEX for the connection of MSG;
 * null when it is not TLS, gone, not yet established or has no such value. */
static void ask(struct sip_msg *msg, int what, int index, struct answer *out)
{
	struct tcp_connection *c = msg != NULL ? tls_server_get(msg) : NULL;
	struct source src = {.index = index, .my = (what & MY) != 0};

	memset(out, 0, sizeof(*out));
	if((what & ~MY) == ITEM_PEER_NAME)
		say_text(out, tls_server_wished_peer());
	else if((what & ~MY) == ITEM_FAILURE)
		say_text(out, tls_events_reason());
	if(c == NULL)
		return;
	src.info = tls_server_info(c);
	src.profile = tls_server_profile(c);
	if(src.info != NULL) {
		if(src.my) {
			src.der = tls_server_my_certificate(c, &src.n_der);
		} else {
			src.der = src.info->peer_der;
			src.n_der = src.info->peer_der_len;
		}
		look_up(&src, what & ~MY, out);
	}
	tls_server_put(c);
}

/* ---- pseudo-variables ---- */

static int variable_get_cb(
		struct sip_msg *msg, pv_param_t *param, pv_value_t *res)
{
	struct answer answer;
	int index = 0, flags = 0;

	if(pv_get_spec_index(msg, param, &index, &flags) < 0 || flags == PV_IDX_ALL
			|| flags == PV_IDX_ITR)
		return pv_get_null(msg, param, res);
	ask(msg, (int)param->pvn.u.isname.name.n, index, &answer);
	if(answer.kind == ANSWER_NULL)
		return pv_get_null(msg, param, res);
	res->rs = answer.text;
	res->ri = answer.number;
	res->flags = PV_VAL_STR;
	if(answer.kind != ANSWER_TEXT)
		res->flags |= PV_VAL_INT;
	if(answer.kind == ANSWER_NUMBER)
		res->flags |= PV_TYPE_INT;
	return 0;
}

/* An inner name chooses the member of the family; the host zeroes the spec
 * before it, and calls variable_init_cb with the row's number after it. */
struct inner_name
{
	const char *name;
	int member;
};

static int choose(pv_spec_p spec, const str *in, const struct inner_name *row)
{
	for(; row->name != NULL; row++) {
		if(in->len == (int)strlen(row->name)
				&& strncasecmp(in->s, row->name, (size_t)in->len) == 0) {
			spec->pvp.pvn.u.isname.name.n = row->member;
			return 0;
		}
	}
	LM_ERR("unknown name \"%.*s\" in a pseudo-variable of TLS\n", in->len,
			in->s);
	return -1;
}

static int parse_count_cb(pv_spec_p spec, str *in)
{
	static const struct inner_name names[] = {{"DNS", TLS_X509_SAN_HOST},
			{"URI", TLS_X509_SAN_URI}, {"EMAIL", TLS_X509_SAN_EMAIL},
			{"IP", TLS_X509_SAN_IP}, {NULL, 0}};

	return choose(spec, in, names);
}

static int parse_line_cb(pv_spec_p spec, str *in)
{
	static const struct inner_name names[] = {
			{"m_subject_line", MY | ITEM_SUBJECT},
			{"m_issuer_line", MY | ITEM_ISSUER},
			{"p_subject_line", PEER | ITEM_SUBJECT},
			{"p_issuer_line", PEER | ITEM_ISSUER},
			{"peer_name", ITEM_PEER_NAME}, {"failure", ITEM_FAILURE},
			{"peer_name_ok", ITEM_NAME_OK},
			{"verify_result", ITEM_VERIFY_RESULT},
			{"verify_reason", ITEM_VERIFY_REASON}, {"alpn", ITEM_ALPN},
			{"group", ITEM_GROUP}, {"resumed", ITEM_RESUMED},
			{"profile", ITEM_PROFILE},
			{"peer_fingerprint", PEER | ITEM_FINGERPRINT},
			{"my_fingerprint", MY | ITEM_FINGERPRINT},
			{"peer_days_left", PEER | ITEM_DAYS_LEFT},
			{"my_days_left", MY | ITEM_DAYS_LEFT}, {NULL, 0}};

	return choose(spec, in, names);
}

/* Host contract: core/pvar.h. $tls(peer_name) is the one that can be set;
 * $null takes the wish back. 0, or -1 with a reason in the log. */
static int variable_set_cb(
		struct sip_msg *msg, pv_param_t *param, int op, pv_value_t *value)
{
	(void)msg;
	(void)op;
	if((int)param->pvn.u.isname.name.n != ITEM_PEER_NAME) {
		LM_ERR("only $tls(peer_name) can be set\n");
		return -1;
	}
	if(value == NULL || (value->flags & PV_VAL_NULL) != 0)
		return tls_server_wish_peer("", 0) ? 0 : -1;
	if((value->flags & PV_VAL_STR) == 0
			|| !tls_server_wish_peer(value->rs.s, (size_t)value->rs.len)) {
		LM_ERR("$tls(peer_name): the value is too long or not a text\n");
		return -1;
	}
	return 0;
}

static int variable_init_cb(pv_spec_p spec, int what)
{
	spec->pvp.pvn.type = PV_NAME_INTSTR;
	spec->pvp.pvn.u.isname.name.n += what;
	return 0;
}

#define PV_SET_ROW(name_, what_, set_, parse_name_, parse_index_)              \
	{                                                                          \
		STR_STATIC_INIT(name_), PVT_OTHER, variable_get_cb, set_, parse_name_, \
				parse_index_, variable_init_cb, what_                          \
	}
#define PV_ROW(name_, what_, parse_name_, parse_index_) \
	PV_SET_ROW(name_, what_, NULL, parse_name_, parse_index_)
#define PV(name_, what_) PV_ROW(name_, what_, NULL, NULL)
#define PV_SAN(name_, what_) PV_ROW(name_, what_, NULL, pv_parse_index)
#define PV_COUNT(name_, what_) PV_ROW(name_, what_, parse_count_cb, NULL)

pv_export_t tls_select_pvs[] = {
		PV("tls_version", ITEM_TLS_VERSION),
		PV("tls_description", ITEM_DESCRIPTION),
		PV("tls_cipher_info", ITEM_CIPHER),
		PV("tls_cipher_bits", ITEM_CIPHER_BITS),
		PV("tls_peer_server_name", ITEM_SERVER_NAME),
		PV("tls_peer_verified", ITEM_VERIFIED),
		PV("tls_peer_revoked", ITEM_REVOKED),
		PV("tls_peer_expired", ITEM_EXPIRED),
		PV("tls_peer_selfsigned", ITEM_SELF_SIGNED),
		PV("tls_peer_version", PEER | ITEM_VERSION),
		PV("tls_my_version", MY | ITEM_VERSION),
		PV("tls_peer_serial", PEER | ITEM_SERIAL),
		PV("tls_my_serial", MY | ITEM_SERIAL),
		PV("tls_peer_notBefore", PEER | ITEM_NOT_BEFORE),
		PV("tls_my_notBefore", MY | ITEM_NOT_BEFORE),
		PV("tls_peer_notAfter", PEER | ITEM_NOT_AFTER),
		PV("tls_my_notAfter", MY | ITEM_NOT_AFTER),
		PV("tls_peer_raw_cert", PEER | ITEM_PEM),
		PV("tls_my_raw_cert", MY | ITEM_PEM),
		PV("tls_peer_urlencoded_cert", PEER | ITEM_URLENCODED),
		PV("tls_my_urlencoded_cert", MY | ITEM_URLENCODED),
		PV("tls_peer_subject", PEER | ITEM_SUBJECT),
		PV("tls_my_subject", MY | ITEM_SUBJECT),
		PV("tls_peer_issuer", PEER | ITEM_ISSUER),
		PV("tls_my_issuer", MY | ITEM_ISSUER),
		PV_SET_ROW("tls", 0, variable_set_cb, parse_line_cb, NULL),

		PV("tls_peer_subject_cn", PEER | SUBJECT(CN)),
		PV("tls_peer_subject_locality", PEER | SUBJECT(LOCALITY)),
		PV("tls_peer_subject_country", PEER | SUBJECT(COUNTRY)),
		PV("tls_peer_subject_state", PEER | SUBJECT(STATE)),
		PV("tls_peer_subject_organization", PEER | SUBJECT(ORGANIZATION)),
		PV("tls_peer_subject_unit", PEER | SUBJECT(UNIT)),
		PV("tls_peer_subject_uid", PEER | SUBJECT(UID)),
		PV("tls_my_subject_cn", MY | SUBJECT(CN)),
		PV("tls_my_subject_locality", MY | SUBJECT(LOCALITY)),
		PV("tls_my_subject_country", MY | SUBJECT(COUNTRY)),
		PV("tls_my_subject_state", MY | SUBJECT(STATE)),
		PV("tls_my_subject_organization", MY | SUBJECT(ORGANIZATION)),
		PV("tls_my_subject_unit", MY | SUBJECT(UNIT)),
		PV("tls_my_subject_uid", MY | SUBJECT(UID)),
		PV("tls_peer_issuer_cn", PEER | ISSUER(CN)),
		PV("tls_peer_issuer_locality", PEER | ISSUER(LOCALITY)),
		PV("tls_peer_issuer_country", PEER | ISSUER(COUNTRY)),
		PV("tls_peer_issuer_state", PEER | ISSUER(STATE)),
		PV("tls_peer_issuer_organization", PEER | ISSUER(ORGANIZATION)),
		PV("tls_peer_issuer_unit", PEER | ISSUER(UNIT)),
		PV("tls_my_issuer_cn", MY | ISSUER(CN)),
		PV("tls_my_issuer_locality", MY | ISSUER(LOCALITY)),
		PV("tls_my_issuer_country", MY | ISSUER(COUNTRY)),
		PV("tls_my_issuer_state", MY | ISSUER(STATE)),
		PV("tls_my_issuer_organization", MY | ISSUER(ORGANIZATION)),
		PV("tls_my_issuer_unit", MY | ISSUER(UNIT)),

		PV_SAN("tls_peer_san_email", PEER | SAN(EMAIL)),
		PV_SAN("tls_peer_san_hostname", PEER | SAN(HOST)),
		PV_SAN("tls_peer_san_uri", PEER | SAN(URI)),
		PV_SAN("tls_peer_san_ip", PEER | SAN(IP)),
		PV_SAN("tls_my_san_email", MY | SAN(EMAIL)),
		PV_SAN("tls_my_san_hostname", MY | SAN(HOST)),
		PV_SAN("tls_my_san_uri", MY | SAN(URI)),
		PV_SAN("tls_my_san_ip", MY | SAN(IP)),
		PV_COUNT("tls_peer_san_count", PEER | ITEM_SAN_COUNT),
		PV_COUNT("tls_my_san_count", MY | ITEM_SAN_COUNT),

		{STR_NULL, 0, NULL, NULL, NULL, NULL, NULL, 0},
};

/* ---- selects ---- */

/* Each word of a select that a row below takes with DIVERSION leaves a number
 * in its place; what is asked is BASE plus all of them. */
static int select_run(str *res, select_t *s, struct sip_msg *msg, int base)
{
	struct answer answer;
	int i, what = base, index = 0;

	for(i = 0; i < s->n; i++) {
		if(s->params[i].type == SEL_PARAM_DIV)
			what += s->params[i].v.i;
		else if(s->params[i].type == SEL_PARAM_INT)
			index = s->params[i].v.i;
	}
	ask(msg, what, index, &answer);
	if(answer.kind == ANSWER_NULL)
		return 1; /* a null string for the host */
	*res = answer.text;
	return 0;
}

/* The host tells the places in a select apart by these functions. */
static int select_tls_cb(str *res, select_t *s, struct sip_msg *msg)
{
	return select_run(res, s, msg, ITEM_DESCRIPTION);
}

static int select_side_cb(str *res, select_t *s, struct sip_msg *msg)
{
	return select_run(res, s, msg, SUBJECT(CN));
}

static int select_cipher_cb(str *res, select_t *s, struct sip_msg *msg)
{
	return select_run(res, s, msg, ITEM_CIPHER);
}

static int select_name_cb(str *res, select_t *s, struct sip_msg *msg)
{
	return select_run(res, s, msg, 0);
}

static int select_value_cb(str *res, select_t *s, struct sip_msg *msg)
{
	return select_run(res, s, msg, 0);
}

/* Never the end of a select. */
static int select_count_cb(str *res, select_t *s, struct sip_msg *msg)
{
	(void)res;
	(void)s;
	(void)msg;
	return -1;
}

#define SEL(at_, word_, next_, flags_)                            \
	{                                                             \
		at_, SEL_PARAM_STR, STR_STATIC_INIT(word_), next_, flags_ \
	}
#define SEL_TLS(word_, item_) \
	SEL(select_tls_cb, word_, select_value_cb, DIVERSION | (item_))
#define SEL_SIDE(word_, side_) \
	SEL(select_tls_cb, word_, select_side_cb, DIVERSION | (side_))
#define SEL_CERT(word_, item_) \
	SEL(select_side_cb, word_, select_value_cb, DIVERSION | (item_))
#define SEL_NAME(word_, item_) \
	SEL(select_side_cb, word_, select_name_cb, DIVERSION | (item_))
#define SEL_PART(word_, part_) \
	SEL(select_name_cb, word_, select_value_cb, DIVERSION | TLS_X509_##part_)
#define SEL_INDEXED(word_, item_)               \
	SEL(select_side_cb, word_, select_value_cb, \
			CONSUME_NEXT_INT | OPTIONAL | DIVERSION | (item_))
#define SEL_COUNT(word_, san_)                   \
	SEL(select_count_cb, word_, select_value_cb, \
			DIVERSION | (ITEM_SAN_COUNT + TLS_X509_SAN_##san_))

/* clang-format off */
static select_row_t selects[] = {
		SEL(NULL, "tls", select_tls_cb, 0),
		SEL_TLS("version", ITEM_TLS_VERSION),
		SEL_TLS("desc", ITEM_DESCRIPTION),
		SEL_TLS("description", ITEM_DESCRIPTION),
		SEL(select_tls_cb, "cipher", select_cipher_cb, 0),
		SEL(select_cipher_cb, "bits", select_value_cb,
				DIVERSION | ITEM_CIPHER_BITS),
		SEL_TLS("serverName", ITEM_SERVER_NAME),
		SEL_TLS("server_name", ITEM_SERVER_NAME),
		SEL_SIDE("peer", PEER),
		SEL_SIDE("my", MY),
		SEL_SIDE("me", MY),
		SEL_SIDE("myself", MY),

		SEL_NAME("subject", ITEM_SUBJECT_PART),
		SEL_NAME("subj", ITEM_SUBJECT_PART),
		SEL_NAME("issuer", ITEM_ISSUER_PART),
		SEL_PART("cn", CN),
		SEL_PART("commonName", CN),
		SEL_PART("common_name", CN),
		SEL_PART("name", CN),
		SEL_PART("l", LOCALITY),
		SEL_PART("localityName", LOCALITY),
		SEL_PART("locality_name", LOCALITY),
		SEL_PART("locality", LOCALITY),
		SEL_PART("c", COUNTRY),
		SEL_PART("countryName", COUNTRY),
		SEL_PART("country_name", COUNTRY),
		SEL_PART("country", COUNTRY),
		SEL_PART("st", STATE),
		SEL_PART("stateOrProvinceName", STATE),
		SEL_PART("state_or_province_name", STATE),
		SEL_PART("state", STATE),
		SEL_PART("o", ORGANIZATION),
		SEL_PART("organizationName", ORGANIZATION),
		SEL_PART("organization_name", ORGANIZATION),
		SEL_PART("organization", ORGANIZATION),
		SEL_PART("ou", UNIT),
		SEL_PART("organizationalUnitName", UNIT),
		SEL_PART("organizational_unit_name", UNIT),
		SEL_PART("unit", UNIT),
		SEL_PART("uid", UID),
		SEL_PART("uniqueIdentifier", UID),
		SEL_PART("unique_identifier", UID),

		SEL_CERT("verified", ITEM_VERIFIED),
		SEL_CERT("revoked", ITEM_REVOKED),
		SEL_CERT("expired", ITEM_EXPIRED),
		SEL_CERT("self_signed", ITEM_SELF_SIGNED),
		SEL_CERT("version", ITEM_VERSION),
		SEL_CERT("sn", ITEM_SERIAL),
		SEL_CERT("serialNumber", ITEM_SERIAL),
		SEL_CERT("serial_number", ITEM_SERIAL),
		SEL_CERT("notBefore", ITEM_NOT_BEFORE),
		SEL_CERT("not_before", ITEM_NOT_BEFORE),
		SEL_CERT("notAfter", ITEM_NOT_AFTER),
		SEL_CERT("not_after", ITEM_NOT_AFTER),
		SEL_CERT("rawCert", ITEM_PEM),
		SEL_CERT("raw_cert", ITEM_PEM),
		SEL_CERT("URLEncodedCert", ITEM_URLENCODED),
		SEL_CERT("urlencoded_cert", ITEM_URLENCODED),
		SEL_INDEXED("verified_cert_chain", ITEM_CHAIN),
		SEL_INDEXED("email", SAN(EMAIL)),
		SEL_INDEXED("emailAddress", SAN(EMAIL)),
		SEL_INDEXED("email_address", SAN(EMAIL)),
		SEL_INDEXED("host", SAN(HOST)),
		SEL_INDEXED("hostname", SAN(HOST)),
		SEL_INDEXED("dns", SAN(HOST)),
		SEL_INDEXED("uri", SAN(URI)),
		SEL_INDEXED("url", SAN(URI)),
		SEL_INDEXED("urn", SAN(URI)),
		SEL_INDEXED("ip", SAN(IP)),
		SEL_INDEXED("IPAddress", SAN(IP)),
		SEL_INDEXED("ip_address", SAN(IP)),
		SEL(select_side_cb, "count", select_count_cb, SEL_PARAM_EXPECTED),
		SEL_COUNT("DNS", HOST),
		SEL_COUNT("URI", URI),
		SEL_COUNT("EMAIL", EMAIL),
		SEL_COUNT("IP", IP),
		{NULL, SEL_PARAM_INT, STR_NULL, NULL, 0},
};
/* clang-format on */

int tls_select_init(void)
{
	static bool registered;

	if(registered)
		return 0;
	if(register_select_table(selects) < 0)
		return -1;
	registered = true;
	return 0;
}

/* ---- functions ---- */

/* 1 when the peer of the connection that MSG came in on showed a certificate
 * and its chain verified, else -1: also when it is not TLS or gone. */
static int peer_verified(struct sip_msg *msg)
{
	struct tcp_connection *c = tls_server_get(msg);
	const struct tls_info *info;
	bool verified = false;

	if(c == NULL) {
		LM_DBG("the message did not come over TLS, or its connection is "
			   "gone\n");
		return -1;
	}
	info = tls_server_info(c);
	if(info != NULL) {
		verified = tls_info_peer_verified(info);
		LM_DBG("connection %d: the peer %s, verification: %s\n", c->id,
				info->peer_presented ? "has a certificate"
									 : "has no certificate",
				tls_info_verify_text(info));
	}
	tls_server_put(c);
	return verified ? 1 : -1;
}

static int is_peer_verified(struct sip_msg *msg, char *p1, char *p2)
{
	(void)p1;
	(void)p2;
	return peer_verified(msg);
}

/* KSR.tls.peer_match(name) and the function of the native script: 1 when the
 * peer's chain verified and its certificate speaks for the SIP domain NAME by
 * RFC 5922, else -1. */
static int peer_match(struct sip_msg *msg, str *name)
{
	struct tcp_connection *c = tls_server_get(msg);
	const struct tls_info *info = c != NULL ? tls_server_info(c) : NULL;
	bool good = false;
	enum tls_rc rc = TLS_RC_OK;

	if(info != NULL && tls_info_peer_verified(info) && info->peer_der != NULL
			&& name->len > 0)
		rc = tls_ident_match_der(info->peer_der, info->peer_der_len, name->s,
				(size_t)name->len, TLS_IDENT_SIP,
				tls_server_profile(c)->p.verify_name_wildcards != 0, &good);
	if(rc != TLS_RC_OK)
		LM_DBG("tls_peer_match: \"%.*s\" is not a name\n", name->len, name->s);
	tls_server_put(c);
	return good ? 1 : -1;
}

static int match_peer(struct sip_msg *msg, char *p1, char *p2)
{
	str name;

	(void)p2;
	if(fixup_get_svalue(msg, (gparam_t *)p1, &name) < 0) {
		LM_ERR("tls_peer_match: the parameter has no value\n");
		return -1;
	}
	return peer_match(msg, &name);
}

/* KSR.tls.set_connect_server_id(id) and the function of the native script. A
 * wish that cannot be kept is an error in the log, never the end of the
 * message, as in the stock module. */
static int wish_id(struct sip_msg *msg, str *id)
{
	(void)msg;
	if(!tls_server_wish_id(id->s, (size_t)id->len))
		LM_ERR("tls_set_connect_server_id: \"%.*s\" is too long or not a "
			   "text\n",
				id->len, id->s);
	return 1;
}

static int set_connect_server_id(struct sip_msg *msg, char *p1, char *p2)
{
	str id;

	(void)p2;
	if(fixup_get_svalue(msg, (gparam_t *)p1, &id) < 0) {
		LM_ERR("tls_set_connect_server_id: the parameter has no value\n");
		return -1;
	}
	return wish_id(msg, &id);
}

cmd_export_t tls_select_cmds[] = {
		{"is_peer_verified", (cmd_function)is_peer_verified, 0, NULL, NULL,
				ANY_ROUTE},
		{"tls_peer_match", (cmd_function)match_peer, 1, fixup_spve_null,
				fixup_free_spve_null, ANY_ROUTE},
		{"tls_set_connect_server_id", (cmd_function)set_connect_server_id, 1,
				fixup_spve_null, fixup_free_spve_null, ANY_ROUTE},
		{NULL, NULL, 0, NULL, NULL, 0},
};

/* ---- KEMI ---- */

#define KEMI_NAME_MAX 128

/* The variable NAME of this module, written as in the script ("$tls_version")
 * or without the mark ("tls_version", "tls_peer_san_count(DNS)",
 * "tls_peer_san_hostname[1]"); NULL when there is none. The host keeps it. */
static pv_spec_t *find_variable(const str *name)
{
	char text[KEMI_NAME_MAX];
	pv_spec_t *spec;
	str pv = {.s = text};
	int n;

	if(name == NULL || name->s == NULL || name->len <= 0
			|| name->len > KEMI_NAME_MAX - 4)
		return NULL;
	n = snprintf(text, sizeof(text),
			name->s[0] == PV_MARKER ? "%.*s" : "$(%.*s)", name->len, name->s);
	pv.len = n;
	if(pv_locate_name(&pv) != pv.len)
		return NULL;
	spec = pv_cache_get(&pv);
	return spec != NULL && spec->getf == variable_get_cb ? spec : NULL;
}

/* Value of the variable NAME; null as the script would see it. */
static sr_kemi_xval_t *kemi_cget(sip_msg_t *msg, str *name)
{
	static sr_kemi_xval_t xval;
	pv_spec_t *spec = find_variable(name);
	pv_value_t value;

	memset(&xval, 0, sizeof(xval));
	sr_kemi_xval_null(&xval, SR_KEMI_XVAL_NULL_NONE);
	if(spec == NULL) {
		LM_ERR("KSR.tls.cget: no such variable: \"%.*s\"\n",
				name != NULL ? name->len : 0, name != NULL ? name->s : "");
		return &xval;
	}
	memset(&value, 0, sizeof(value));
	if(pv_get_spec_value(msg, spec, &value) != 0
			|| (value.flags & PV_VAL_NULL) != 0)
		return &xval;
	if((value.flags & PV_TYPE_INT) != 0) {
		xval.vtype = SR_KEMIP_INT;
		xval.v.n = (int)value.ri;
	} else {
		xval.vtype = SR_KEMIP_STR;
		xval.v.s = value.rs;
	}
	return &xval;
}

#define KEMI(name_, type_, function_, parameter_)                         \
	{                                                                     \
		STR_STATIC_INIT("tls"), STR_STATIC_INIT(name_), type_, function_, \
		{                                                                 \
			parameter_, SR_KEMIP_NONE, SR_KEMIP_NONE, SR_KEMIP_NONE,      \
					SR_KEMIP_NONE, SR_KEMIP_NONE                          \
		}                                                                 \
	}

static sr_kemi_t kemi_functions[] = {
		KEMI("is_peer_verified", SR_KEMIP_INT, peer_verified, SR_KEMIP_NONE),
		KEMI("peer_match", SR_KEMIP_INT, peer_match, SR_KEMIP_STR),
		KEMI("set_connect_server_id", SR_KEMIP_INT, wish_id, SR_KEMIP_STR),
		KEMI("cget", SR_KEMIP_XVAL, kemi_cget, SR_KEMIP_STR),
		{STR_NULL, STR_NULL, 0, NULL, {0, 0, 0, 0, 0, 0}},
};

int tls_select_register_kemi(void)
{
	return sr_kemi_modules_add(kemi_functions);
}
