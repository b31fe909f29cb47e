#!/bin/sh
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Makes the test certificates in the folder given as first argument.
# Files are named by their one trait; keys are worthless and thrown away.
# Run by the test programs at their start; prints nothing when all is well.
set -eu
cd "$1"
exec 2>certs.log
ext="subjectAltName=DNS:localhost,DNS:sip.example.org,IP:127.0.0.1"

key() { # file, algorithm
	case $2 in
	rsa) openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
		-out "$1.key" || openssl genrsa -out "$1.key" 2048 ;;
	ec) openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" ;;
	esac
}
authority() { # file, name
	key "$1" ec
	openssl req -x509 -new -key "$1.key" -subj "/O=Test/CN=$2" -days 30 \
		-addext basicConstraints=critical,CA:TRUE \
		-addext keyUsage=critical,keyCertSign,cRLSign -out "$1.pem"
}
leaf() { # file, algorithm, name, authority, days
	key "$1" "$2"
	openssl req -new -key "$1.key" -subj "/O=Test/CN=$3" -out "$1.csr"
	printf '%s\n' "$ext" "basicConstraints=CA:FALSE" >"$1.ext"
	openssl x509 -req -in "$1.csr" -CA "$4.pem" -CAkey "$4.key" \
		-CAcreateserial -days "$5" -extfile "$1.ext" -out "$1.pem"
}

authority ca "Test CA"
authority foreign-ca "Foreign CA"
leaf ecdsa ec localhost ca 30
leaf rsa rsa localhost ca 30
leaf client ec client.example.org ca 30
leaf expired ec late.example.org ca 0
leaf foreign ec stranger.example.org foreign-ca 30
# A CA between: deep.pem is a chain of two, between.pem the second of it.
key between ec
openssl req -new -key between.key -subj "/O=Test/CN=Between CA" \
	-out between.csr
printf '%s\n' "basicConstraints=critical,CA:TRUE" \
	"keyUsage=critical,keyCertSign" >between.ext
openssl x509 -req -in between.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
	-days 30 -extfile between.ext -out between.pem
leaf deep ec deep.example.org between 30
cp deep.pem deep-own.pem
cat between.pem >>deep.pem
# Behind an authority of its own, which has revoked one of the two.
key mid ec
openssl req -new -key mid.key -subj "/O=Test/CN=Middle CA" -out mid.csr
printf '%s\n' "basicConstraints=critical,CA:TRUE" \
	"keyUsage=critical,keyCertSign,cRLSign" >mid.ext
openssl x509 -req -in mid.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
	-days 30 -extfile mid.ext -out mid.pem
leaf below-alone ec below.example.org mid 30
leaf revoked-alone ec revoked.example.org mid 30
for l in below revoked; do
	cat $l-alone.pem mid.pem >$l.pem
	cp $l-alone.key $l.key
done
for a in ca mid; do
	printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s.db\ndefault_md=sha256\n%s' \
		$a 'default_crl_days=30
' >$a.cnf
	: >$a.db
done
openssl ca -config mid.cnf -keyfile mid.key -cert mid.pem \
	-revoke revoked-alone.pem
for a in ca mid; do
	openssl ca -config $a.cnf -keyfile $a.key -cert $a.pem -gencrl -out $a.crl
done
mkdir crls
cp ca.crl mid.crl crls/
# With every field that scripts may read; nr differs between the two.
rich() { # file, nr, days
	key "$1" ec
	printf '%s\n' "subjectAltName=@names" "basicConstraints=CA:FALSE" \
		"[names]" "DNS.1=rich$2.example.org" "DNS.2=second$2.example.org" \
		"URI.1=sip:sip$2.example.org" "URI.2=sip:user@users$2.example.org" \
		"email.1=mail$2@example.org" "IP.1=192.0.2.$2" "IP.2=2001:db8::$2" \
		>"$1.ext"
	openssl req -new -key "$1.key" -utf8 -subj "/C=DE/ST=State $2/L=Town $2/$(
		)O=Org $2/OU=Unit $2/CN=Rich $2/UID=uid$2" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key \
		-set_serial "90071992547409$2" -days "$3" -extfile "$1.ext" -out "$1.pem"
}
rich rich-server 11 20
rich rich-client 22 40
openssl pkey -in ecdsa.key -aes-128-cbc -passout pass:secret -out encrypted.key
printf -- '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n' \
	>garbage.key
printf 'not a certificate\n' >garbage.pem
: >empty.pem
ln -s loop.key loop.key
mkdir -p directory.pem
# A token with two of the keys, and what opens it: a provider or an engine.
mkdir tokens
hsm=/usr/lib/softhsm/libsofthsm2.so
printf '%s\n' "directories.tokendir = $PWD/tokens" \
	"objectstore.backend = file" "log.level = ERROR" >softhsm.conf
SOFTHSM2_CONF=$PWD/softhsm.conf
export SOFTHSM2_CONF
softhsm2-util --init-token --free --label tests --pin 1234 --so-pin 5678 >&2
for k in ecdsa rsa; do
	openssl pkcs8 -topk8 -nocrypt -in $k.key -out $k.p8
	softhsm2-util --import $k.p8 --token tests --label $k \
		--id "$([ $k = rsa ] && echo 01 || echo 02)" --pin 1234 >&2
done
printf '%s\n' "openssl_conf = init" "[init]" "providers = list" "[list]" \
	"default = plain" "pkcs11 = token" "[plain]" "activate = 1" "[token]" \
	"pkcs11-module-path = $hsm" "activate = 1" >provider.cnf
printf '%s\n' "kamailio = init" "[init]" "engines = list" "[list]" \
	"pkcs11 = token" "[token]" "engine_id = pkcs11" "MODULE_PATH = $hsm" \
	"init = 0" >engine.cnf
