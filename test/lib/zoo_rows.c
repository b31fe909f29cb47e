/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */

/* The rows, hostile ones first in each part; see zoo_rows.h. */
#include "zoo_rows.h"

#define DNS_A .san = "DNS:a.example"
#define NOT_NAME "mismatch) at depth 0"

const struct zoo_row zoo_rows[] = {
		/* chains */
		{{"z", .issuer = ZOO_STRANGER}, .alert = SSL_AD_UNKNOWN_CA,
				.sentence = "unable to get local issuer&depth 0&CN=z",
				.reason = "a CA that nobody knows"},
		{{"z", .issuer = ZOO_SELF}, .alert = SSL_AD_UNKNOWN_CA,
				.sentence = "self&signed&depth 0", .reason = "its own CA"},
		{{"z", .between = 1}, .depth = -1, .alert = SSL_AD_UNKNOWN_CA,
				.sentence = "chain too long",
				.reason = "depth 0, one CA between"},
		{{"z", .between = 2}, .depth = 1, .alert = SSL_AD_UNKNOWN_CA,
				.sentence = "chain too long", .reason = "depth 1, two between"},
		{{"z", .between = 3}, .depth = 2, .alert = SSL_AD_UNKNOWN_CA,
				.sentence = "chain too long", .reason = "depth 2, three"},
		{{"z", .between = 4}, .depth = 3, .alert = SSL_AD_UNKNOWN_CA,
				.sentence = "chain too long", .reason = "depth 3, four"},
		{{"z", .between = 5}, .depth = 4, .alert = SSL_AD_UNKNOWN_CA,
				.sentence = "chain too long", .reason = "depth 4, five"},
		{{"z"}, .depth = -1, .reason = "depth 0, none between"},
		{{"z", .between = 1}, .depth = 1, .reason = "depth 1, one"},
		{{"z", .between = 2}, .depth = 2, .reason = "depth 2, two"},
		{{"z", .between = 3}, .depth = 3, .reason = "depth 3, three"},
		{{"z", .between = 4}, .depth = 4, .reason = "depth 4, four"},
		/* dates */
		{{"z", .from = -9 * ZOO_DAY, .to = -ZOO_DAY},
				.alert = SSL_AD_CERTIFICATE_EXPIRED,
				.sentence = "certificate has expired&depth 0&serial",
				.reason = "over"},
		{{"z", .from = ZOO_DAY, .to = 9 * ZOO_DAY},
				.alert = SSL_AD_BAD_CERTIFICATE, .sentence = "not yet valid",
				.reason = "not yet"},
		{{"z", .revoked = true}, .crl = true,
				.alert = SSL_AD_CERTIFICATE_REVOKED,
				.sentence = "certificate revoked&issuer", .reason = "revoked"},
		{{"z"}, .crl = true, .reason = "not among the revoked"},
		/* purposes */
		{{"z", .eku = "emailProtection"},
				.alert = SSL_AD_UNSUPPORTED_CERTIFICATE, .sentence = "purpose",
				.reason = "for mail only"},
		{{"z", .eku = "1.3.6.1.5.5.7.3.20"},
				.alert = SSL_AD_UNSUPPORTED_CERTIFICATE, .sentence = "purpose",
				.reason = "for SIP, not asked for"},
		{{"z", .eku = "serverAuth,clientAuth"}, .eku = "sip",
				.alert = SSL_AD_UNSUPPORTED_CERTIFICATE,
				.sentence = "purpose&not for SIP",
				.reason = "RFC 5924: for TLS, not for SIP"},
		{{"z", .eku = "1.3.6.1.5.5.7.3.20"}, .eku = "sip",
				.reason = "RFC 5924 s3: for SIP"},
		{{"z"}, .eku = "sip", .reason = "RFC 5924 s4.1: no purpose named"},
		{{"z", .eku = "1.3.6.1.5.5.7.3.20", .issuer = ZOO_STRANGER},
				.eku = "sip", .alert = SSL_AD_UNKNOWN_CA, .sentence = "issuer",
				.reason = "for SIP says whoever"},
		/* names */
		{{"z", .san = "DNS:a.example^.evil.example"}, "sip", "a.example",
				.alert = SSL_AD_BAD_CERTIFICATE,
				.sentence = NOT_NAME "&expected a.example&a.example?.evil",
				.reason = "a NUL in a name"},
		{{"z", .cn = "a.example", .san = "DNS:b.example"}, "sip", "a.example",
				.alert = SSL_AD_BAD_CERTIFICATE,
				.sentence = NOT_NAME "&DNS:b.example",
				.reason = "RFC 5922 s7.1: no CN beside others"},
		{{"z", .san = "URI:sip:alice@a.example"}, "sip", "a.example",
				.alert = SSL_AD_BAD_CERTIFICATE,
				.sentence = NOT_NAME "&URI:sip:alice@a.example",
				.reason = "a user, not a domain"},
		{{"z", .san = "URI:sip:b.example,DNS:a.example"}, "sip", "a.example",
				.alert = SSL_AD_BAD_CERTIFICATE, .sentence = NOT_NAME,
				.reason = "a SIP identity hides the others"},
		{{"z", .san = "DNS:*.example"}, "sip", "a.example",
				.alert = SSL_AD_BAD_CERTIFICATE,
				.sentence = NOT_NAME "&DNS:*.example",
				.reason = "RFC 5922 s7.2: no wildcards"},
		{{"z", .san = "DNS:*.example"}, "host", "a.example",
				.alert = SSL_AD_BAD_CERTIFICATE, .sentence = NOT_NAME,
				.reason = "nor for hosts unless wanted"},
		{{"z", .san = "IP:192.0.2.7"}, "sip", "192.0.2.1",
				.alert = SSL_AD_BAD_CERTIFICATE,
				.sentence = "mismatch) at depth 0&IP:192.0.2.7",
				.reason = "another address"},
		{{"z", .san = "DNS:a.example", .issuer = ZOO_STRANGER}, "sip",
				"a.example", .alert = SSL_AD_UNKNOWN_CA, .sentence = "issuer",
				.reason = "the right name says whoever"},
		{{"z", .san = "DNS:a.example", .from = -9 * ZOO_DAY, .to = -ZOO_DAY},
				"sip", "a.example", .alert = SSL_AD_CERTIFICATE_EXPIRED,
				.sentence = "expired", .reason = "the right name of yesterday"},
		{{"z", .san = "URI:sip:a.example"}, "sip", "a.example",
				.reason = "the identity"},
		{{"z", .san = "URI:sip:A.Example"}, "sip", "a.eXample",
				.reason = "without case"},
		{{"z", .san = "DNS:a.example"}, "sip", "a.example", .reason = "DNS"},
		{{"z", .san = "DNS:a.example"}, "host", "a.example", .reason = "DNS"},
		{{"z", .cn = "a.example"}, "sip", "a.example",
				.reason = "CN when there is nothing else"},
		{{"z", .san = "DNS:*.b.example"}, "sip", "a.b.example",
				.wildcards = true, .reason = "a wildcard, allowed"},
		{{"z", .san = "IP:192.0.2.1"}, "sip", "192.0.2.1",
				.reason = "an address"},
		{{"z", .san = "IP:2001:db8::1"}, "host", "2001:db8::1",
				.reason = "an address"},
		/* keys */
		{{"z"}, .pin = ZOO_OTHER_PIN, .alert = SSL_AD_HANDSHAKE_FAILURE,
				.sentence = "its key is not in peer_pin&depth 0",
				.reason = "another key, signed by the CA"},
		{{"z", .issuer = ZOO_STRANGER}, .pin = ZOO_OWN_PIN,
				.alert = SSL_AD_UNKNOWN_CA, .sentence = "issuer",
				.reason = "a pin is no CA"},
		{{"z", .san = "DNS:b.example"}, "sip", "a.example", .pin = ZOO_OWN_PIN,
				.alert = SSL_AD_BAD_CERTIFICATE, .sentence = NOT_NAME,
				.reason = "a pin is no name"},
		{{"z"}, .pin = ZOO_OWN_PIN, .reason = "the key of the pin"},
		/* algorithms */
		{{"z", "RSA", DNS_A}, "sip", "a.example", .reason = "RSA"},
		{{"z", "EC", DNS_A}, "sip", "a.example", .reason = "ECDSA"},
		{{"z", "ED25519", DNS_A}, "sip", "a.example", .reason = "EdDSA"},
};
const size_t zoo_n_rows = sizeof(zoo_rows) / sizeof(zoo_rows[0]);

const char *zoo_row_pin(const struct zoo_row *row, char hex[65])
{
	if(row->pin == ZOO_NO_PIN)
		return NULL;
	zoo_pin(hex);
	if(row->pin == ZOO_OTHER_PIN)
		hex[0] = hex[0] == '0' ? '1' : '0';
	return hex;
}
