#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Says at build time what the loader would say at start: are the version and
# the flags in the module those of the server, are exactly the loader's
# symbols exported, does the server have every symbol that we take from it.
# Called by the Makefile after linking.
#
# usage: check_module.sh MODULE [KAMAILIO]

set -eu

module=${1:?usage: check_module.sh MODULE [KAMAILIO]}
kamailio=$(command -v "${2:-kamailio}")
failed=0

complain()
{
	echo "check_module: $*" >&2
	failed=1
}

text=$("$kamailio" -v)
version=$(printf '%s\n' "$text" | sed -n 's/^version: \([^)]*)\).*/\1/p')
flags=$(printf '%s\n' "$text" | sed -n 's/[[:space:]]*$//; s/^flags: //p')

has_string()
{
	# At the end of a line: what lies in front of a string in the file may be
	# a number that does not end with a NUL byte.
	tr '\0' '\n' <"$module" | LC_ALL=C awk -v want="$1" '
		length($0) >= length(want) \
				&& substr($0, length($0) - length(want) + 1) == want { n++ }
		END { exit n == 0 }'
}

has_string "$version" || complain "version is not \"$version\""
has_string "$flags" || complain "flags are not \"$flags\""

# name of the symbols, without a version suffix
symbols()
{
	nm -D "$@" | awk '{ print $NF }' | sed 's/@.*//' | sort -u
}

wanted="exports mod_register module_flags module_interface_ver module_version"
have=$(symbols --defined-only "$module" | tr '\n' ' ')
[ "${have% }" = "$wanted" ] \
		|| complain "exported symbols are \"${have% }\", wanted \"$wanted\""

# Symbols with a version come from a shared library that the linker saw.
open=$(nm -D --undefined-only "$module" \
		| awk '$1 == "U" && $2 !~ /@/ { print $2 }' | sort -u)
for symbol in $open; do
	symbols --defined-only "$kamailio" | grep -Fxq -- "$symbol" \
			|| complain "\"$symbol\" is in no library and not in $kamailio"
done

[ $failed = 0 ] || exit 1
echo "check_module: the module fits $version"
