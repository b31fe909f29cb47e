#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Makes sure that the Debian packages of the named groups are installed.
# Installs with apt only as root and only what is missing; anybody else (or
# NO_INSTALL=1) gets the exact command printed and exit status 1.
# Called by the Makefile, the tests and the CI script.
#
# usage: install_deps.sh GROUP...
# groups: build host test lint doc fuzz bench debian13; or names of packages

set -eu

# Another distribution: its own tools know what is there, the build will say.
command -v dpkg-query >/dev/null || exit 0

# The distribution's own TLS module is a peer in tests, but only with servers
# of version 6 and newer, which the older releases do not have.
stock_module()
{
	case $(cut -d. -f1 /etc/debian_version 2>/dev/null) in
		11 | 12) ;;
		*) echo kamailio-tls-modules ;;
	esac
}

# What opens keys on a token: a provider, or before there is one, an engine.
opener()
{
	case $(cut -d. -f1 /etc/debian_version 2>/dev/null) in
		11 | 12) echo libengine-pkcs11-openssl ;;
		*) echo pkcs11-provider ;;
	esac
}

packages_of()
{
	case $1 in
		build) echo "gcc make libc6-dev binutils libssl-dev zlib1g-dev" ;;
		host) echo "kamailio" ;;
		# The other modules are there because tests load them beside ours.
		test) echo "libcunit1-dev openssl gnutls-bin procps" \
				"kamailio-websocket-modules kamailio-extra-modules" \
				"kamailio-postgres-modules kamailio-utils-modules" \
				"kamailio-lua-modules softhsm2 $(opener)" \
				"$(stock_module)" ;;
		lint) echo "clang-format perl" ;;
		doc) echo "docbook-xml docbook-xsl libxml2-utils perl w3m xsltproc" ;;
		fuzz) echo "clang" ;;
		# nginx and the distribution's TLS module are rivals, never linked to.
		bench) echo "openssl nginx libnginx-mod-stream gnuplot-nox procps" \
				"valgrind libc6-dbg" \
				"$(stock_module)" ;;
		debian13) echo "debootstrap debian-archive-keyring" ;;
		*) echo "$1" ;;
	esac
}

is_installed()
{
	case $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) in
		installed) return 0 ;;
		*) return 1 ;;
	esac
}

missing=
for group; do
	for package in $(packages_of "$group"); do
		is_installed "$package" || missing="$missing $package"
	done
done
[ -n "$missing" ] || exit 0

command="apt-get install -y --no-install-recommends$missing"
if [ "${NO_INSTALL:-0}" = 1 ] || [ "$(id -u)" != 0 ]; then
	echo "install_deps: packages are missing; as root run:" >&2
	echo "    $command" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
echo "install_deps: $command"
# The lists of a fresh container are empty or old: one retry after an update.
# shellcheck disable=SC2086
$command </dev/null >/dev/null 2>&1 || {
	apt-get update -q </dev/null >/dev/null
	$command -q </dev/null
}
for package in $missing; do
	is_installed "$package" || {
		echo "install_deps: \"$package\" is still not installed" >&2
		exit 1
	}
done
