#!/bin/bash
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# The next Debian beside this one: makes build/trixie (or uses the one that is
# there), copies this tree into it, builds the module for its Kamailio and its
# OpenSSL and runs the suites that depend on them.
# Needs root. Mounts and processes live in namespaces of their own, so they
# are gone when this script is, however it ends.
#
# usage: debian13.sh               build, tests; the last line is the sum
#        debian13.sh root          only make the root, with its packages
#        debian13.sh shell CMD...  copy the tree, run CMD in its folder there
#        debian13.sh enter CMD...  run CMD in the root as it is

set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
root=${DEBIAN13_ROOT:-$top/build/trixie}
release=trixie
# Two runs at a time need two folders.
inside=${DEBIAN13_FOLDER:-/root/tls}

die()
{
	echo "debian13: $*" >&2
	exit 1
}

# The mirror and the security mirror of this machine's own Debian entries.
entries()
{
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
			/etc/apt/sources.list.d/*.sources 2>/dev/null \
			| grep -vE '^[[:space:]]*#' || :
}

mirror()
{
	entries | grep -oE "[a-z]+://[^ ]+/$1/?( |\$)" | head -1 | tr -d ' '
}

make_root()
{
	local main security
	main=$(mirror debian)
	security=$(mirror debian-security)
	[ -n "$main" ] || die "no Debian entry in this machine's apt sources"
	"$top/utils/install_deps.sh" debian13
	rm -rf "$root.new"
	echo "debian13: making $root"
	debootstrap --variant=minbase \
			--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
			"$release" "$root.new" "$main" >"$root.log" 2>&1 \
			|| { tail "$root.log"; die "debootstrap failed"; }
	[ -z "$security" ] || echo "deb $security $release-security main" \
			>>"$root.new/etc/apt/sources.list"
	# No package may start a server at its installation.
	printf '#!/bin/sh\nexit 101\n' >"$root.new/usr/sbin/policy-rc.d"
	chmod 755 "$root.new/usr/sbin/policy-rc.d"
	# How this machine reaches its mirror (a proxy, say) holds there too.
	apt-config dump | grep -i '^Acquire::http' \
			>"$root.new/etc/apt/apt.conf.d/90host" || :
	mv "$root.new" "$root"
}

# A copy, because the objects of two systems must not meet in one build/.
# Its own build/ stays, so that the next run compiles what changed only.
copy_tree()
{
	mkdir -p "$root$inside"
	find "$root$inside" -mindepth 1 -maxdepth 1 ! -name build \
			-exec rm -rf {} +
	tar -C "$top" --exclude=./build --exclude=./.git --exclude='./*.so' \
			--exclude='*.o' -cf - . | tar -C "$root$inside" -xf -
}

run_inside()
{
	chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb LC_ALL=C.UTF-8 \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			DEBIAN_FRONTEND=noninteractive CI="${CI:-}" \
			http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" "$@"
}

# Runs in the new namespaces, as the first process of the one for processes.
mount_all()
{
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	[ ! -f /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"
}

in_folder()
{
	# shellcheck disable=SC2016
	run_inside sh -c 'cd "$1" && shift && exec "$@"' sh "$inside" "$@"
}

install_inside()
{
	in_folder utils/install_deps.sh build host test
}

suites()
{
	install_inside
	in_folder sh -c 'kamailio -v | head -1; openssl version; make' || {
		echo "0 passed, 1 failed"
		return 1
	}
	in_folder test/run_suites.sh build/suites \
			'unit=make --no-print-directory unit' \
			'utils-test=make --no-print-directory utils-test' \
			'demo=make --no-print-directory demo' \
			'host-test=make --no-print-directory host-test'
}

[ "$(id -u)" = 0 ] || die "only root can make and enter a root folder"
if [ "${DEBIAN13_INSIDE:-}" != 1 ]; then
	[ -f "$root/etc/debian_version" ] || make_root
	export DEBIAN13_INSIDE=1
	exec unshare --mount --propagation private --pid --fork --kill-child \
			"$0" "$@"
fi

mount_all
case ${1:-test} in
	test) copy_tree && suites ;;
	root) copy_tree && install_inside ;;
	shell) shift && copy_tree && in_folder "$@" ;;
	enter) shift && run_inside "$@" ;;
	*) die "usage: debian13.sh [test | root | shell CMD... | enter CMD...]" ;;
esac
