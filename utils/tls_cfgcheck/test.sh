#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Test of tls_cfgcheck: verdicts, places, choices. Usage: test.sh PROGRAM.
# Prints one line per check and at the end "N passed, N failed".

program=$(realpath "$1")
golden=$(realpath golden.sh)
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 2
passed=0
failed=0

# expect STATUS WORDS WHY -- ARGUMENTS: runs the program.
expect()
{
	status=$1
	words=$2
	why=$3
	shift 4
	"$program" "$@" >out 2>&1
	got=$?
	if [ "$got" -eq "$status" ] && grep -qF -- "$words" out; then
		passed=$((passed + 1))
		echo "pass  $why"
	else
		failed=$((failed + 1))
		echo "FAIL  $why: status $got"
		sed 's/^/        /' out
	fi
}

# A certificate that lives for $2 days, for the name $1.
certificate()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$1.key" -out "$1.pem" -days "$2" -subj "/CN=$1" 2>log \
		|| { cat log; exit 2; }
}
certificate a 90
certificate b 90
certificate soon 3

# An OCSP response about b.pem; SECONDS "from now" are for its end.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	-keyout ca.key -out ca.pem -days 9 -subj /CN=ca 2>log || { cat log; exit 2; }
openssl req -new -key b.key -subj /CN=b -out b.csr 2>log || { cat log; exit 2; }
openssl x509 -req -in b.csr -CA ca.pem -CAkey ca.key -set_serial 0x10 \
	-days 9 -out leaf.pem 2>log || { cat log; exit 2; }
cat leaf.pem ca.pem >leaf-chain.pem
respond() # FILE, LETTER: V for good, R for revoked
{
	if [ "$2" = R ]; then then=$(date -u +%y%m%d%H%M%SZ); else then=; fi
	printf '%s\t491231235959Z\t%s\t10\tunknown\t/CN=b\n' "$2" "$then" >index
	openssl ocsp -issuer ca.pem -cert leaf.pem -no_nonce -reqout req >log 2>&1
	openssl ocsp -index index -CA ca.pem -rsigner ca.pem -rkey ca.key \
		-reqin req -ndays 1 -respout "$1" >log 2>&1 || { cat log; exit 2; }
}
respond good.der V
respond revoked.der R
for staple in good.der revoked.der a.pem; do
	cat >"ocsp-$staple.cfg" <<CFG
[server:default]
certificate = leaf-chain.pem
private_key = b.key
ocsp_file = $staple
CFG
done
sed 's/leaf-chain.pem/a.pem/; s/b.key/a.key/' ocsp-good.der.cfg >ocsp-other.cfg
printf '[client:default]\nocsp = yes\n' >ocsp-word.cfg
printf '[client:default]\nocsp = check\n' >ocsp-lax.cfg

cat >good.cfg <<'CFG'
[server:default]
certificate = a.pem
private_key = a.key
strict_sni = yes
[server:any]
server_name = "b.example, *.b.example"
certificate = b.pem
private_key = b.key
private_key_password = geheim
[client:192.0.2.1:5061]
server_name = carrier.example
[client:any]
server_id = trunk
sni = auto
CFG
cat >bad.cfg <<'CFG'
[server:default]
certificate = a.pem
private_key = b.key
colour = red
CFG
sed 4d bad.cfg >mismatch.cfg
sed 3q mismatch.cfg | sed 's/b.key/a.key/' >listen.cfg
echo '[server:192.0.2.1:5061]' >>listen.cfg
cat >weak.cfg <<'CFG'
[server:default]
certificate = soon.pem
private_key = soon.key
method = TLSv1+
CFG

expect 2 usage "no file" --
expect 2 usage "an unknown option" -- --colour good.cfg
expect 2 "port" "an address without a port" -- --server 192.0.2.1 good.cfg
expect 1 "none.cfg" "a file that is not there" -- none.cfg
expect 1 "bad.cfg:4:1: unknown option" "an unknown option" -- bad.cfg
expect 1 "mismatch.cfg:3:15: private_key" "a key of another certificate" \
	-- mismatch.cfg
expect 1 "listen.cfg:4:1: profile TLSs<192.0.2.1:5061>: the server does not" \
	"nobody listens" -- --listen 192.0.2.7:5061 listen.cfg
expect 0 "listen.cfg: good" "somebody listens" -- --listen 192.0.2.1:5061 \
	listen.cfg
expect 0 "good.cfg: good, 5 profiles" "a good file" -- good.cfg
expect 0 '= ***' "passwords are not shown" -- good.cfg
expect 0 "gets TLSs<any:b.example>" "by name" \
	-- --quiet --server 192.0.2.1:5061 --sni b.example good.cfg
expect 0 "gets TLSs<any:b.example>" "by pattern" \
	-- --quiet --server 192.0.2.1:5061 --sni x.b.example good.cfg
expect 0 "unrecognized_name" "an unknown name" \
	-- --quiet --server 192.0.2.1:5061 --sni c.example good.cfg
expect 0 "gets TLSs<default>" "no name" \
	-- --quiet --server 192.0.2.1:5061 good.cfg
expect 0 "asks for the name carrier.example" "client by remote address" \
	-- --quiet --client 192.0.2.1:5061 good.cfg
expect 0 "target of the request" "client by id" \
	-- --quiet --client 192.0.2.9:1 --server-id trunk good.cfg
expect 0 "weak.cfg:2:15: certificate: \"./soon.pem\" expires in" \
	"a certificate that ends soon" -- weak.cfg
expect 0 "weak.cfg:4:10: method: TLSv1.0+ allows" "an old version" -- weak.cfg

expect 0 "ocsp-good.der.cfg: good" "a good OCSP response" \
	-- ocsp-good.der.cfg
expect 0 "ocsp-revoked.der.cfg:4:13: ocsp_file: \"./revoked.der\" is not" \
	"a response that says revoked" -- ocsp-revoked.der.cfg
expect 1 "ocsp-a.pem.cfg:4:13: ocsp_file: \"./a.pem\" is not stapled: it is no" \
	"a file that is no OCSP response" -- ocsp-a.pem.cfg
expect 1 "ocsp-other.cfg:4:13: ocsp_file" "a response of another certificate" \
	-- ocsp-other.cfg
expect 1 "ocsp-word.cfg:2:8: ocsp: unknown word" "no word of ocsp" \
	-- ocsp-word.cfg
expect 1 "ocsp: the peer's certificate is not verified" \
	"ocsp without verification" -- ocsp-lax.cfg

# Every sample as a whole: all values of the good ones, all errors of the bad.
while read -r verdict why; do
	case $verdict in
		pass) passed=$((passed + 1)) ;;
		*) failed=$((failed + 1)) ;;
	esac
	echo "$verdict  $why"
done <<LINES
$(sh "$golden" compare "$program")
LINES

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
