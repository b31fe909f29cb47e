#!/bin/sh
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# What "openssl x509" says about the certificate FILE, one "field value" a
# line, named as the variables of the module are behind $tls_peer_. The script
# suite compares with it; prints nothing for fields that are not there.
set -eu
file=$1

say() { # field, value
	[ -z "$2" ] || printf '%s %s\n' "$1" "$2"
}
x509() {
	openssl x509 -in "$file" -noout "$@"
}
part() { # subject or issuer, long name
	x509 "-$1" -nameopt multiline,utf8,-esc_msb \
		| sed -n "s/^ *$2 *= //p" | head -n 1
}
names() { # kind
	x509 -ext subjectAltName | tr ',' '\n' | sed -n "s/^ *$1://p"
}
count() { # kind
	names "$1" | wc -l | tr -d ' '
}
for who in subject issuer; do
	say "$who" "$(x509 -$who -nameopt compat | sed "s/^$who= *//")"
	say "${who}_cn" "$(part $who commonName)"
	say "${who}_locality" "$(part $who localityName)"
	say "${who}_country" "$(part $who countryName)"
	say "${who}_state" "$(part $who stateOrProvinceName)"
	say "${who}_organization" "$(part $who organizationName)"
	say "${who}_unit" "$(part $who organizationalUnitName)"
done
say subject_uid "$(part subject userId)"
say version "$(x509 -text | sed -n 's/^ *Version: .*(0x\(.*\))/\1/p')"
say serial "$(printf '%d' "0x$(x509 -serial | sed 's/.*=//')")"
say notBefore "$(x509 -startdate | sed 's/.*=//')"
say notAfter "$(x509 -enddate | sed 's/.*=//')"
say fingerprint "$(x509 -fingerprint -sha256 | sed 's/.*=//; s/://g' \
	| tr A-F a-f)"
say days_left "$((($(date -d "$(x509 -enddate | sed 's/.*=//')" +%s) \
	- $(date +%s)) / 86400))"
say raw_md5 "$(openssl x509 -in "$file" | openssl dgst -md5 | sed 's/.* //')"
say raw_line "$(openssl x509 -in "$file" | tr -d '\n')"
say san_email "$(names email | head -n 1)"
say san_hostname "$(names DNS | head -n 1)"
say san_hostname_1 "$(names DNS | sed -n 2p)"
say san_uri "$(names URI | head -n 1)"
say san_uri_1 "$(names URI | sed -n 2p)"
say san_ip "$(names 'IP Address' | head -n 1)"
say count_dns "$(count DNS)"
say count_uri "$(count URI)"
say count_email "$(count email)"
say count_ip "$(count 'IP Address')"
