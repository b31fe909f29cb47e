#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Puts the headers of the installed Kamailio under DIR and prints their root,
# the folder that has core/ and lib/. Debian has no -dev package for them, so
# they come out of its source package, fetched by apt's own client with
# private lists and caches: nothing of the system's apt is touched and no
# root is needed. What is already there for that version is used as it is.
# Called by the Makefile.
#
# usage: host_headers.sh DIR [KAMAILIO [TREE]]
# TREE: use that source tree instead, when its version is KAMAILIO's.

set -eu

dir=${1:?usage: host_headers.sh DIR [KAMAILIO [TREE]]}
kamailio=${2:-kamailio}
tree=${3:-}
# The machine's entries, so that mirror, proxy and keyring are its own.
etc=${APT_ETC:-/etc/apt}

die()
{
	echo "host_headers: $*" >&2
	echo "host_headers: give a Kamailio tree of the installed version:" \
			"make KAMAILIO_SRC=DIR" >&2
	exit 1
}

# Every active "deb" entry for Debian itself, as "deb-src". Other vendors'
# entries have no Kamailio and often no sources.
debian_uri='/debian(-security)?(/[0-9TZ]+)?/?$'

private_parts_deb822()
{
	awk -v RS= -v FS='\n' -v uri="$debian_uri" '
	{
		text = ""; ours = 0; off = 0
		for(i = 1; i <= NF; i++) {
			if($i ~ /^#/ || $i ~ /^(Architectures|Types):/)
				continue
			if($i ~ /^Enabled:[ \t]*no/)
				off = 1
			if($i ~ /^URIs:/) {
				n = split($i, word, /[ \t]+/)
				for(k = 2; k <= n; k++)
					if(word[k] ~ uri)
						ours = 1
			}
			text = text $i "\n"
		}
		if(ours && !off)
			printf "Types: deb-src\n%s\n", text
	}' "$@"
}

private_parts_lines()
{
	sed -E -e 's/[[:space:]]*#.*//' -e 's/(\[[^]]*)arch=[^] ]*/\1/' \
			-e 's/\[[[:space:]]*\]//' "$@" \
			| awk -v uri="$debian_uri" '$1 == "deb" {
		for(i = 2; i <= NF; i++)
			if($i ~ uri) {
				$1 = "deb-src"
				print
				break
			}
	}'
}

make_parts()
{
	mkdir -p "$1"
	: >"$1/debian.sources"
	: >"$1/debian.list"
	for f in "$etc"/sources.list.d/*.sources; do
		[ ! -f "$f" ] || private_parts_deb822 "$f" >>"$1/debian.sources"
	done
	for f in "$etc"/sources.list "$etc"/sources.list.d/*.list; do
		[ ! -f "$f" ] || private_parts_lines "$f" >>"$1/debian.list"
	done
	[ -s "$1/debian.sources" ] || [ -s "$1/debian.list" ] \
			|| die "no Debian entry in $etc/sources.list or sources.list.d"
}

private_apt()
{
	tool=$1
	shift
	"$tool" -q -o Dir::Etc::sourcelist=/dev/null \
			-o Dir::Etc::sourceparts="$work/parts" \
			-o Dir::State::Lists="$work/lists" \
			-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@"
}

# Checks FILE in $work against the SHA256 block read from standard input (the
# form of a .dsc and of the signed source index): a missing signature file of
# the tarball makes apt fail although all we need has arrived, so its exit
# status says nothing.
check_sum()
{
	want=$(awk -v file="$1" '
		/^[^ ]/ { block = $1 }
		block == "Checksums-Sha256:" && $3 == file { print $1; exit }')
	[ -n "$want" ] || die "no SHA256 of \"$1\" in ${2}"
	[ -f "$work/$1" ] || die "apt did not bring \"$1\": $(tail -1 "$work/apt.log")"
	have=$(sha256sum "$work/$1")
	[ "${have%% *}" = "$want" ] || die "\"$1\" does not match ${2}"
}

fetch()
{
	make_parts "$work/parts"
	mkdir -p "$work/lists/partial"
	private_apt apt-get update >"$work/apt.log" 2>&1 \
			|| die "apt-get update failed: $(tail -1 "$work/apt.log")"
	(cd "$work" && private_apt apt-get source --download-only \
			"$package=$version" >>apt.log 2>&1) || true
	dsc=${package}_${version#*:}.dsc
	private_apt apt-cache showsrc --only-source "$package" 2>/dev/null \
			| awk -v RS= -v v="$version" '
				index("\n" $0 "\n", "\nVersion: " v "\n") { print; exit }' \
			| check_sum "$dsc" "the signed index of sources"
	check_sum "$tarball" "\"$dsc\"" <"$work/$dsc"
}

# Headers of the core and of its libraries only. Debian's patches change none
# of them; the names of other TLS modules' folders are never asked for.
unpack()
{
	tar -C "$work" -xzf "$work/$tarball" --wildcards \
			"*-$upstream/src/core/*.h" "*-$upstream/src/lib/*.h"
	[ -f "$work/$package-$upstream/src/core/sr_module.h" ] \
			|| die "\"$tarball\" has no src/core/sr_module.h"
}

# A tree of another version compiles, loads and corrupts memory.
use_tree()
{
	for src in "$tree/src" "$tree"; do
		[ ! -f "$src/core/sr_module.h" ] || break
	done
	[ -f "$src/core/sr_module.h" ] || die "no Kamailio sources in \"$tree\""
	if [ -f "$src/Makefile.defs" ]; then
		has=$(sed -nE 's/^(VERSION|PATCHLEVEL|SUBLEVEL) *= *([0-9]+).*/\2/p' \
				"$src/Makefile.defs" | head -3 | paste -sd.)
		runs=$("$kamailio" -v | sed -n 's/^version: [^ ]* \([0-9.]*\).*/\1/p')
		[ "$has" = "$runs" ] || die "\"$tree\" is version $has," \
				"the installed server is $runs"
	fi
	(cd "$src" && pwd)
	exit 0
}

[ -z "$tree" ] || use_tree
command -v dpkg-query >/dev/null || die "no dpkg here"
set -- $(dpkg-query -W -f '${source:Package} ${source:Version}' kamailio \
		2>/dev/null) || true
[ $# = 2 ] || die "the package kamailio is not installed"
package=$1
version=$2
upstream=${version#*:}
upstream=${upstream%-*}
tarball=${package}_$upstream.orig.tar.gz

mkdir -p "$dir"
root=$(cd "$dir" && pwd)/kamailio-$upstream
if [ ! -f "$root/src/core/sr_module.h" ]; then
	echo "host_headers: fetching the headers of $package $version" >&2
	work=$(cd "$dir" && pwd)/fetch.$$
	mkdir -p "$work"
	trap 'rm -rf "$work"' EXIT
	fetch
	unpack
	# Renamed in one step: an interrupted run never leaves half a tree.
	rm -rf "$root"
	mv "$work/$package-$upstream" "$root"
fi
echo "$root/src"
