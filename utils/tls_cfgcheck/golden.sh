#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# What tls_cfgcheck says of every sample, as a whole: each effective value of a
# good one, each error of a bad one. golden/NAME.txt has what it should say.
# Usage: golden.sh compare|write PROGRAM. compare prints a line per sample,
# "pass" or "FAIL" and its name, with the difference on the standard error.

verb=$1
program=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT

# say FOLDER FILE: the table and the errors go to one file each, so that their
# order is certain.
say()
{
	(
		cd "$1" || exit 2
		"$program" --text "$2" >"$scratch/out" 2>"$scratch/err"
		echo "status $?" >>"$scratch/out"
	)
	cat "$scratch/out" "$scratch/err"
}

for path in "$top"/tls.cfg "$top"/test/demo/*-tls.cfg \
		"$top"/test/unit/data/cfg/good_* "$top"/test/unit/data/cfg/bad_*; do
	name=$(basename "$path")
	wanted=$here/golden/$name.txt
	if [ "$verb" = write ]; then
		mkdir -p "$here/golden"
		say "$(dirname "$path")" "$name" >"$wanted"
		continue
	fi
	say "$(dirname "$path")" "$name" >"$scratch/now"
	if diff -u "$wanted" "$scratch/now" >&2; then
		echo "pass the whole of $name"
	else
		echo "FAIL the whole of $name"
	fi
done
# A sample that is gone leaves no verdict behind.
for wanted in "$here"/golden/*.txt; do
	name=$(basename "$wanted" .txt)
	if ! find "$top/tls.cfg" "$top/test/demo" "$top/test/unit/data/cfg" \
			-name "$name" | grep -q .; then
		if [ "$verb" = write ]; then rm "$wanted"; fi
		echo "FAIL golden/$name.txt has no sample"
	fi
done
