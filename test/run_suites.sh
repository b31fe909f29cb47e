#!/bin/bash
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Runs suites one after the other and adds up their results. A suite ends
# with a line "N passed, N failed"; one that printed none, or that says all is
# well and exits non-zero, counts as one failure more. The last line printed
# is the sum; the exit status is 1 when anything failed.
# Called by "make test" and by the CI script.
#
# usage: run_suites.sh LOGDIR NAME=COMMAND...
# SUITE_TIMEOUT: longest time of one suite in seconds, default 1500.

set -u
set -o pipefail

logs=${1:?usage: run_suites.sh LOGDIR NAME=COMMAND...}
shift
mkdir -p "$logs"
passed=0
failed=0
summary=

# Sets p and f from the last line of results in the log $1 and from the exit
# status $2 of the suite that wrote it.
read_result()
{
	local line
	line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed$' "$1" | tail -1)
	p=0
	f=0
	[ -n "$line" ] && read -r p _ f _ <<<"$line"
	if [ -z "$line" ] || { [ "$2" != 0 ] && [ "$f" = 0 ]; }; then
		f=$((f + 1))
	fi
}

for suite; do
	name=${suite%%=*}
	command=${suite#*=}
	log=$logs/$name.log
	echo "==== $name"
	started=$SECONDS
	timeout -k 10 "${SUITE_TIMEOUT:-1500}" sh -c "$command" </dev/null 2>&1 \
			| tee "$log"
	read_result "$log" "$?"
	passed=$((passed + p))
	failed=$((failed + f))
	summary+=$(printf '%-12s %5d passed %5d failed %5d s' "$name" "$p" "$f" \
			$((SECONDS - started)))$'\n'
done

echo "===="
printf '%s' "$summary"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
