#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Makes certificates for a SIP server with the openssl program: a private
# authority with a server and a client certificate, or one self-signed file.
# Never overwrites a file unless told; private keys are readable by their
# owner only. Run by an administrator, and by "make install-tls-cert".

set -eu
umask 077

usage()
{
	cat <<'TEXT'
usage: tls_cert.sh [options]

  -d, --dir DIR        where the files go (default: this folder)
  -n, --name NAME      domain of the server (default: this host's name)
  -s, --san ENTRY      one more name of the server: a host name, an address,
                       or TYPE:VALUE as openssl writes it; may be repeated
  -c, --client NAME    name of the client certificate (default: client)
  -o, --org TEXT       organisation in the subjects (default: none)
      --rsa[=BITS]     RSA keys (default 3072 bits) instead of ECDSA P-256
      --days N         validity of server and client (default 365)
      --ca-days N      validity of the authority (default 3650)
      --self-signed    only cert.pem: a certificate signed with its own key
                       and the key, in one file as the module looks for it;
                       key.pem is a link to it, for profiles that name both
      --owner USER     give the keys to the user that runs the server
      --if-absent      with --self-signed: say nothing and do nothing when
                       cert.pem is there
      --force          overwrite server, client, cert.pem and key.pem
  -h, --help           this text

Without --self-signed: ca.pem ca.key server.pem server.key client.pem
client.key. An authority (ca.pem and ca.key) which is there is used again.
TEXT
}

die()
{
	echo "tls_cert.sh: $*" >&2
	exit 1
}

dir=.
name=
sans=
client=client
org=
rsa=
days=365
ca_days=3650
self_signed=no
if_absent=no
force=no
owner=

need_value()
{
	[ "$2" -ge 2 ] || die "$1 needs a value (see --help)"
}

while [ $# -gt 0 ]; do
	case $1 in
		-d | --dir) need_value "$1" $# && dir=$2 && shift ;;
		-n | --name) need_value "$1" $# && name=$2 && shift ;;
		-s | --san) need_value "$1" $# && sans="$sans $2" && shift ;;
		-c | --client) need_value "$1" $# && client=$2 && shift ;;
		-o | --org) need_value "$1" $# && org=$2 && shift ;;
		--days) need_value "$1" $# && days=$2 && shift ;;
		--ca-days) need_value "$1" $# && ca_days=$2 && shift ;;
		--owner) need_value "$1" $# && owner=$2 && shift ;;
		--rsa) rsa=3072 ;;
		--rsa=*) rsa=${1#--rsa=} ;;
		--self-signed) self_signed=yes ;;
		--if-absent) if_absent=yes ;;
		--force) force=yes ;;
		-h | --help) usage && exit 0 ;;
		*) die "unknown option \"$1\" (see --help)" ;;
	esac
	shift
done

# The values end in an openssl configuration file, where a line break or a
# bracket would begin something else.
check_text()
{
	case $2 in
		*[!A-Za-z0-9.:_*@\ -]*) die "$1 \"$2\" has a character not allowed" ;;
	esac
}

check_number()
{
	case $2 in
		'' | *[!0-9]* | 0*) die "$1 \"$2\" is not a positive number" ;;
	esac
}

[ -n "$name" ] || name=$(hostname -f 2>/dev/null || hostname)
check_text --name "$name"
check_text --san "$sans"
check_text --client "$client"
check_text --org "$org"
check_number --days "$days"
check_number --ca-days "$ca_days"
[ -z "$rsa" ] || check_number --rsa "$rsa"
[ -z "$rsa" ] || [ "$rsa" -ge 2048 ] || die "RSA keys below 2048 bits are weak"
command -v openssl >/dev/null || die "the openssl program is not installed"

san_entry()
{
	case $1 in
		DNS:* | IP:* | URI:* | email:*) echo "$1" ;;
		*:* | *[0-9].[0-9]*.[0-9]*.[0-9]) echo "IP:$1" ;;
		*) echo "DNS:$1" ;;
	esac
}

# RFC 5922 s7.1: a SIP domain is a URI "sip:domain" or a DNS name.
server_sans()
{
	list=$(san_entry "$name")
	case $list in
		DNS:*) list="$list,URI:sip:$name" ;;
	esac
	for s in $sans; do
		list="$list,$(san_entry "$s")"
	done
	echo "$list"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

openssl_quiet()
{
	openssl "$@" 2>"$scratch/log" || {
		cat "$scratch/log" >&2
		die "openssl $1 failed"
	}
}

make_key()
{
	if [ -n "$rsa" ]; then
		openssl_quiet genpkey -algorithm RSA \
				-pkeyopt "rsa_keygen_bits:$rsa" -out "$1"
	else
		openssl_quiet genpkey -algorithm EC \
				-pkeyopt ec_paramgen_curve:P-256 \
				-pkeyopt ec_param_enc:named_curve -out "$1"
	fi
}

# make_config COMMON_NAME EXTENSION...
make_config()
{
	printf '[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n'
	printf '[dn]\n'
	[ -z "$org" ] || printf 'O=%s\n' "$org"
	printf 'CN=%s\n[ext]\nsubjectKeyIdentifier=hash\n' "$1"
	shift
	printf '%s\n' "$@"
}

# A server is the client of the next hop, so its certificate serves both ways.
usage_of_server="extendedKeyUsage=serverAuth,clientAuth"
key_usage="keyUsage=critical,digitalSignature"
[ -z "$rsa" ] || key_usage="$key_usage,keyEncipherment"

# self_sign KEY OUT DAYS
self_sign()
{
	openssl_quiet req -x509 -new -sha256 -key "$1" -days "$3" \
			-config "$scratch/config" -out "$2"
}

# issue KEY OUT: signed by the authority
issue()
{
	openssl_quiet req -new -sha256 -key "$1" -config "$scratch/config" \
			-out "$scratch/request"
	openssl_quiet x509 -req -sha256 -in "$scratch/request" -days "$days" \
			-CA "$dir/ca.pem" -CAkey "$dir/ca.key" \
			-set_serial "0x1$(openssl rand -hex 15)" \
			-extfile "$scratch/config" -extensions ext -out "$2"
}

# Certificates are public, keys belong to the server's user.
publish_key()
{
	chmod 600 "$1"
	[ -z "$owner" ] || chown "$owner" "$1"
	mv -f "$1" "$2"
}

publish_certificate()
{
	chmod 644 "$1"
	mv -f "$1" "$2"
}

refuse_to_overwrite()
{
	for f; do
		[ "$force" = yes ] || [ ! -e "$dir/$f" ] \
				|| die "$dir/$f exists (--force overwrites it)"
	done
}

make_self_signed()
{
	if [ "$if_absent" = yes ] && [ -e "$dir/cert.pem" ]; then
		exit 0
	fi
	refuse_to_overwrite cert.pem key.pem
	make_config "$name" "basicConstraints=critical,CA:FALSE" "$key_usage" \
			"$usage_of_server" "subjectAltName=$(server_sans)" \
			>"$scratch/config"
	make_key "$scratch/key"
	self_sign "$scratch/key" "$scratch/cert" "$days"
	cat "$scratch/cert" "$scratch/key" >"$dir/.cert.pem.new"
	publish_key "$dir/.cert.pem.new" "$dir/cert.pem"
	ln -sf cert.pem "$dir/key.pem"
	echo "made $dir/cert.pem for \"$name\", self-signed, $days days"
}

make_authority()
{
	if [ -e "$dir/ca.pem" ] && [ -e "$dir/ca.key" ]; then
		echo "using the authority $dir/ca.pem"
		return
	fi
	[ ! -e "$dir/ca.pem" ] && [ ! -e "$dir/ca.key" ] \
			|| die "only one of $dir/ca.pem and $dir/ca.key exists"
	make_config "$name CA" "basicConstraints=critical,CA:TRUE,pathlen:0" \
			"keyUsage=critical,keyCertSign,cRLSign" >"$scratch/config"
	make_key "$dir/.ca.key.new"
	self_sign "$dir/.ca.key.new" "$dir/.ca.pem.new" "$ca_days"
	# The authority's key stays with who made it: no server needs it.
	chmod 600 "$dir/.ca.key.new"
	mv -f "$dir/.ca.key.new" "$dir/ca.key"
	publish_certificate "$dir/.ca.pem.new" "$dir/ca.pem"
	echo "made $dir/ca.pem and $dir/ca.key, $ca_days days"
}

# make_leaf FILE COMMON_NAME EXTENSION...
make_leaf()
{
	file=$1
	common=$2
	shift 2
	make_config "$common" "basicConstraints=critical,CA:FALSE" "$key_usage" \
			"authorityKeyIdentifier=keyid" "$@" >"$scratch/config"
	make_key "$dir/.$file.key.new"
	issue "$dir/.$file.key.new" "$dir/.$file.pem.new"
	publish_key "$dir/.$file.key.new" "$dir/$file.key"
	publish_certificate "$dir/.$file.pem.new" "$dir/$file.pem"
	echo "made $dir/$file.pem and $dir/$file.key for \"$common\", $days days"
}

(umask 022 && mkdir -p "$dir")
if [ "$self_signed" = yes ]; then
	make_self_signed
	exit 0
fi
refuse_to_overwrite server.pem server.key client.pem client.key
make_authority
make_leaf server "$name" "$usage_of_server" "subjectAltName=$(server_sans)"
make_leaf client "$client" "extendedKeyUsage=clientAuth" \
		"subjectAltName=$(san_entry "$client")"
