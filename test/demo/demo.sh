#!/bin/bash
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Two servers with our module on the loopback: a client's OPTIONS and MESSAGE
# go over TLS to an edge and over TLS with certificates on both sides to a
# core, the replies come back, and what both hops negotiated is printed.
# Stops what it started and looks that nothing is left. Called by "make demo".
#
# Environment: TLS_MODULE, BUILD, KAMAILIO, KAMCMD, CC. Keeps its folder
# BUILD/demo for a look at the logs; the next run empties it.

set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
module=${TLS_MODULE:-$top/tls.so}
dir=${BUILD:-$top/build}/demo
kamailio=${KAMAILIO:-kamailio}
kamcmd=${KAMCMD:-kamcmd}
started=$SECONDS
pids=()
log=

# Longest wait for a server to start or stop.
patience=10

finish()
{
	local text=$1 status=$2
	stop_all
	echo "$text ($((SECONDS - started)) s)"
	if [ "$status" = 0 ]; then
		echo "1 passed, 0 failed"
	else
		echo "0 passed, 1 failed"
	fi
	trap - EXIT
	exit "$status"
}

# fail TEXT: what went wrong, and the end of the log that may say why
fail()
{
	echo "demo: $1"
	for log in "$dir"/*.log; do
		[ -s "$log" ] || continue
		echo "---- the end of $log"
		tail -n 25 "$log"
	done
	finish "demo: FAILED" 1
}

# wait_until WHAT COMMAND...: until COMMAND succeeds, for $patience seconds
wait_until()
{
	local what=$1 end=$((SECONDS + patience))
	shift
	until "$@" 2>/dev/null; do
		[ "$SECONDS" -lt "$end" ] || return 1
		# bash's own timer: nothing to wait on exists yet
		read -r -t 0.05 <> <(:) || :
	done
}

family_of()
{
	local child
	for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		echo "$child"
		family_of "$child"
	done
}

gone()
{
	local pid
	for pid; do
		[ ! -e "/proc/$pid" ] || return 1
	done
}

# Stops by pid what this script started; names what does not go.
stop_all()
{
	local pid all=()
	[ ${#pids[@]} -gt 0 ] || return 0
	for pid in "${pids[@]}"; do
		# shellcheck disable=SC2207
		all+=("$pid" $(family_of "$pid"))
		kill -TERM "$pid" 2>/dev/null
	done
	for pid in "${pids[@]}"; do
		wait_until "end" gone "$pid" || kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	pids=()
	if wait_until "end of children" gone "${all[@]}"; then
		echo "demo: stopped ${#all[@]} processes, nothing is left"
	else
		for pid in "${all[@]}"; do
			[ ! -e "/proc/$pid" ] || echo "demo: process $pid is left"
		done
		return 1
	fi
}

# configure NAME: the templates of server NAME, filled in
configure()
{
	local f
	for f in "$1.cfg" "$1-tls.cfg"; do
		sed -e "s|@DIR@|$dir|g; s|@TLS@|$module|g; s|@MPATH@|$mpath|g" \
				-e "s|@EDGE@|$edge|g; s|@CORE@|$core|g" \
				"$here/$f" >"$dir/$f"
	done
}

answers()
{
	"$kamcmd" -s "unix:$dir/$1.ctl" core.version >/dev/null 2>&1
}

# ready NAME PID: answers RPC, or has ended
ready()
{
	gone "$2" || answers "$1"
}

start()
{
	"$kamailio" -DD -E -f "$dir/$1.cfg" -Y "$dir" -w "$dir" -m 64 -M 8 \
			</dev/null >"$dir/$1.log" 2>&1 &
	pids+=($!)
	wait_until "$1" ready "$1" $! || fail "the $1 does not start"
	answers "$1" || fail "the $1 ended at its start"
	echo "demo: $1 runs, pid $!, tls:127.0.0.1:$2"
}

# line_of LOG PATTERN: the last log line that has PATTERN, from "hop=" on
line_of()
{
	grep -a -- "$2" "$dir/$1.log" | tail -1 | sed 's/.*\(hop=\)/\1/'
}

# expect TEXT PATTERN WHAT
expect()
{
	[[ $1 =~ $2 ]] || fail "$3: got \"$1\""
}

trap 'stop_all' EXIT
trap 'exit 1' INT TERM

[ -f "$module" ] || fail "no module $module, run make"
rm -rf "$dir"
mkdir -p "$dir/certs" "$dir/core-certs"
mpath=$("$kamailio" -I | sed -n 's/^ *Default paths to modules: *//p')
[ -n "$mpath" ] || fail "\"$kamailio -I\" names no folder of modules"

${CC:-cc} -std=gnu11 -O1 -Wall -Wextra -Werror -o "$dir/sipc" \
		"$here/sipc.c" -lssl -lcrypto || fail "the client does not compile"
certify=("$top/tls_cert.sh" --dir)
{
	"${certify[@]}" "$dir/certs" --name edge.demo --san 127.0.0.1 \
			--client alice.demo &&
		cp "$dir/certs/ca.pem" "$dir/certs/ca.key" "$dir/core-certs" &&
		"${certify[@]}" "$dir/core-certs" --name core.demo --san 127.0.0.1
} >"$dir/certs.log" 2>&1 || fail "no certificates"

{ read -r edge && read -r core; } < <("$dir/sipc" ports 2)
[ -n "${core:-}" ] || fail "no free ports"
configure core
configure edge
start core "$core"
start edge "$edge"

"$dir/sipc" "$edge" "$dir/certs" edge.demo >"$dir/client.out" 2>"$dir/client.log" \
		|| { cat "$dir/client.out"; fail "the client got no 200 for both"; }
cat "$dir/client.out"

good='version=TLSv1\.[23] cipher=[A-Z0-9_-]+'
one=$(grep -a '^hop=client-edge' "$dir/client.out")
one_edge=$(line_of edge 'hop=client-edge method=MESSAGE')
two_edge=$(line_of edge 'hop=edge-core reply=200')
two_core=$(line_of core 'hop=edge-core method=MESSAGE')
echo "---- first hop, as the client and the edge saw it"
echo "$one"
echo "$one_edge"
echo "---- second hop, as the edge and the core saw it"
echo "$two_edge"
echo "$two_core"
expect "$one" "$good peer=edge\.demo verify=0" "first hop at the client"
expect "$one_edge" "$good.* peer=alice\.demo" "first hop at the edge"
expect "$two_edge" "$good.* peer=core\.demo" "second hop at the edge"
expect "$two_core" "$good.* peer=edge\.demo body=Good morning" \
		"second hop at the core"

for name in edge core; do
	echo "---- kamcmd tls.info of the $name"
	info=$("$kamcmd" -s "unix:$dir/$name.ctl" tls.info)
	echo "$info"
	expect "$info" 'opened_connections: [1-9]' "tls.info of the $name"
done

if ! stop_all; then
	fail "processes are left"
fi
finish "demo: both messages went over two hops of TLS" 0
