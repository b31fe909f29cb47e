#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Runs each fuzzer for some seconds, beginning with a copy of its corpus in
# the tree, which itself is never written to. A crash, a hang, a leak or a
# sanitizer report is a finding: it is kept in DIR/findings and fails the run.
# A fuzzer whose name has "negative" has a planted mistake and must find it.
# Called by "make fuzz".
#
# usage: run_fuzzers.sh DIR SECONDS NAME...    (DIR has the programs)

set -u

dir=${1:?usage: run_fuzzers.sh DIR SECONDS NAME...}
seconds=${2:?usage: run_fuzzers.sh DIR SECONDS NAME...}
shift 2
top=$(cd "$(dirname "$0")/.." && pwd)
passed=0
failed=0

result()
{
	if [ "$1" = 0 ]; then
		passed=$((passed + 1))
		echo "pass  $2"
	else
		failed=$((failed + 1))
		echo "FAIL  $2"
	fi
}

# run NAME: status 0 when nothing was found in the time given
run()
{
	corpus=$dir/corpus/$1
	mkdir -p "$corpus" "$dir/findings"
	if [ -d "$top/test/fuzz/corpus/${1#fuzz_}" ]; then
		cp -r "$top/test/fuzz/corpus/${1#fuzz_}/." "$corpus/"
	fi
	dictionary=$top/test/fuzz/${1#fuzz_}.dict
	set -- "$1" "$corpus"
	[ ! -f "$dictionary" ] || set -- "$@" "-dict=$dictionary"
	name=$1
	shift
	"$dir/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
			-print_final_stats=1 -artifact_prefix="$dir/findings/$name-" \
			"$@" </dev/null >"$dir/$name.log" 2>&1
}

for name; do
	run "$name"
	status=$?
	units=$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/$name.log")
	case $name in
		*negative*)
			[ $status != 0 ]
			result $? "$name finds its planted mistake"
			;;
		*)
			result $status "$name, ${units:-0} inputs"
			[ $status = 0 ] || tail -n 40 "$dir/$name.log"
			;;
	esac
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed != 0 ]
