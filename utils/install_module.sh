#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Puts tls.so into the server's folder of modules and takes it out again. A
# file of the same name that is not ours, the distribution's, is kept beside
# it as tls.so.dist and comes back; "ours" is what has the checksum noted in
# tls.so.ours, so an upgrade of the distribution's package in between is seen.
# No dpkg-divert: it works neither with DESTDIR nor in the build of a package.
# Called by "make install" and "make uninstall".
#
# usage: install_module.sh install MODULE DIR | uninstall DIR

set -eu

sum_of()
{
	sha256sum <"$1" | cut -d' ' -f1
}

# is the file in place the one that we installed?
is_ours()
{
	[ -f "$target" ] && [ -f "$target.ours" ] \
			&& [ "$(sum_of "$target")" = "$(cat "$target.ours")" ]
}

# Put in place by rename: a running server that has the old file mapped
# keeps it, and nobody ever sees half a file.
install_module()
{
	install -d "$dir"
	if [ -e "$target" ] && ! is_ours; then
		mv -f "$target" "$target.dist"
		echo "kept the module that was there as $target.dist"
	fi
	install -m 644 "$module" "$target.new"
	sum_of "$module" >"$target.ours"
	mv -f "$target.new" "$target"
	echo "installed $target"
}

uninstall_module()
{
	if [ ! -f "$target.ours" ]; then
		echo "$target is not ours: nothing to do"
		return
	fi
	if is_ours; then
		rm -f "$target"
		[ ! -e "$target.dist" ] || mv "$target.dist" "$target"
	else
		# overwritten meanwhile: what is there now is newer than the copy
		rm -f "$target.dist"
	fi
	rm -f "$target.ours"
	echo "removed our module from $dir"
}

case ${1:-} in
	install) module=${2:?module} dir=${3:?folder} ;;
	uninstall) dir=${2:?folder} ;;
	*) echo "usage: install_module.sh install MODULE DIR | uninstall DIR" >&2
		exit 2 ;;
esac
target=$dir/tls.so
"${1}_module"
