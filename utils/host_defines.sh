#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Prints the -D set that a module for the installed Kamailio needs, one a
# line, quoted for a compiler's response file (gcc @FILE). The loader compares
# the module's version and flags with the server's as strings, and the flags
# also decide struct layouts, so both come from what the server itself prints.
# Called by the Makefile.
#
# usage: host_defines.sh [KAMAILIO]

set -eu

kamailio=${1:-kamailio}

die()
{
	echo "host_defines: $*" >&2
	exit 1
}

text=$("$kamailio" -v) || die "\"$kamailio -v\" failed"

# version: NAME VERSION (ARCH/OS) [id]
set -- $(printf '%s\n' "$text" \
		| sed -n 's|^version: \([^ ]*\) \([^ ]*\) (\([^/]*\)/\([^)]*\)).*|\1 \2 \3 \4|p')
[ $# = 4 ] || die "no version in the output of \"$kamailio -v\""
name=$1
version=$2
arch=$3
os=$4
flags=$(printf '%s\n' "$text" | sed -n 's/^flags: //p' | tr ',' ' ')
[ -n "$flags" ] || die "no flags in the output of \"$kamailio -v\""
compiler=$(printf '%s\n' "$text" | sed -n 's/^compiled with //p')
loops=$(printf '%s\n' "$text" | sed -n 's/^ADAPTIVE_WAIT_LOOPS \([0-9]*\).*/\1/p')

numbers=$(printf '%s' "$version" | sed 's/[^0-9.].*//' | tr '.' ' ')
set -- $numbers 0 0 0
major=$1
number=$(($1 * 1000000 + $2 * 1000 + $3))

config=$("$kamailio" -I | sed -n 's/^ *Default config: //p')
cfg_dir=${config%/*}/
case $cfg_dir in
	/etc/*) share_dir=/usr/share/$name/ ;;
	*) share_dir=${cfg_dir%/etc/*}/share/$name/ ;;
esac

text_define()
{
	printf "'-D%s=\"%s\"'\n" "$1" "$2"
}

define()
{
	for d; do
		printf -- '-D%s\n' "$d"
	done
}

text_define NAME "$name"
text_define VERSION "$version"
text_define ARCH "$arch"
text_define OS_QUOTED "$os"
text_define COMPILER "$compiler"
text_define CFG_DIR "$cfg_dir"
text_define SHARE_DIR "$share_dir"
text_define RUN_DIR "/run/$name/"
text_define MOD_NAME tls
# "linux" is a macro of gnu dialects, so the host's own build adds a "_".
case $os in
	linux) define OS=linux_ ;;
	*) define "OS=$os" ;;
esac
define "VERSIONVAL=$number" "__CPU_$arch" \
		"__OS_$(printf '%s' "$os" | tr '[:upper:]' '[:lower:]')"

for flag in $flags; do
	case $flag in
		FAST_LOCK-ADAPTIVE_WAIT*)
			define FAST_LOCK ADAPTIVE_WAIT "ADAPTIVE_WAIT_LOOPS=${loops:-1024}"
			;;
		FAST_LOCK-BUSY_WAIT*) define FAST_LOCK BUSY_WAIT ;;
		TLS_PTHREAD_MUTEX_SHARED) define KSR_PTHREAD_MUTEX_SHARED ;;
		*-NOSMP) define "${flag%-NOSMP}" ;;
		*) define "$flag" ;;
	esac
	case $flag in
		*-NOSMP) define NOSMP ;;
	esac
done

# Set by every packaged build but not printed by "kamailio -v".
define USE_CORE_STATS STATISTICS MALLOC_STATS CC_GCC_LIKE_ASM VERSION_NODATE \
		HAVE_GETHOSTBYNAME2 HAVE_UNION_SEMUN HAVE_SCHED_YIELD \
		HAVE_MSG_NOSIGNAL HAVE_MSGHDR_MSG_CONTROL HAVE_ALLOCA_H HAVE_TIMEGM \
		HAVE_SCHED_SETSCHEDULER HAVE_IP_MREQN HAVE_EPOLL HAVE_SIGIO_RT \
		HAVE_SELECT
if [ "$major" -lt 6 ]; then
	define WITH_XAVP MEM_JOIN_FREE SIGINFO64_WORKARROUND
else
	define SIGINFO64_WORKAROUND
fi
