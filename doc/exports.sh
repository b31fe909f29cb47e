#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Lists what the code offers to users, as the ids that the documentation uses,
# one a line: tls.f.NAME script function, tls.r.NAME RPC, tls.v.NAME
# pseudo-variable, tls.s.NAME select, tls.e.NAME event route, tls.g.NAME
# run-time group, tls.t.NAME statistic, tls.l.NAME limit of this version (present as long as the
# feature is not there), tls.m.NAME modparam beside the option table. With
# --xml as the file that filter.xsl reads. Parts of the documentation whose
# subject is not listed are left out of the README.

LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.." || exit 2

# code FILE...: without comments; nothing for a file that does not exist.
code()
{
	for c in "$@"; do
		[ -f "$c" ] && perl -0777 -pe \
			's{("(?:\\.|[^"\\\n])*")|/\*.*?\*/}{defined $1 ? $1 : " "}gse' "$c"
	done
}

# names PREFIX REGEX FILE...: the first group of each match, once.
names()
{
	prefix=$1
	REGEX=$2
	export REGEX
	shift 2
	code "$@" | perl -0777 -ne 'my $r = $ENV{REGEX}; print "$1\n" while /$r/g' \
		| sort -u | sed "s/^/$prefix/"
}

# limit NAME WORD FILE...: a limit until WORD appears in one of the files.
limit()
{
	name=$1
	word=$2
	shift 2
	code "$@" | grep -q "$word" || echo "tls.l.$name"
}

# wired NAME: the export tables use it; a table that nobody hands to the server
# offers nothing.
wired()
{
	code tls_mod.c tls_init.c | grep -qw "$1"
}

list()
{
	wired tls_select_cmds && names tls.f. '\{\s*"([a-z_0-9]+)"\s*,\s*\(cmd_function\)' tls_select.c
	names tls.m. '\{\s*"([a-z_0-9]+)"\s*,\s*(?:PARAM_|INT_PARAM|STR_PARAM)' \
		tls_mod.c tls_cfg.c
	wired tls_rpc_init && names tls.r. '"tls\.([a-z_]+)"' tls_rpc*.c
	names tls.t. 'X\(\w+,[\s\\\\]*"([a-z0-9_]+)"' tls_metrics.h
	names tls.t. '\{"([a-z0-9_]+)",\s*\w+,\s*"' tls_rpc_stats.c
	names tls.t. 'NULL, "([a-z_]+)", 0, statistic_cb' tls_rpc.c
	wired tls_select_pvs && names tls.v. \
		'"(tls(?:_(?!set_|peer_match)[A-Za-z_0-9]+)?)"' tls_select.c
	names tls.e. '"tls:([a-z-]+)"' tls_events.c tls_server.c tls_init.c
	code tls_cfg.c | grep -q 'cfg_declare' && echo tls.g.runtime
	wired tls_select_init && echo tls.s.table
	limit sni client_hello_cb tls_ctx.c tls_conn.c
	limit server_id query.server_id tls_server.c
	limit certificate2 certificate2 tls_ctx.c
	limit low_mem low_mem tls_guard.c
	limit listen 'find_si\|grep_sock_info\|listens' tls_reload.c
	limit uri OSSL_STORE tls_foreign.c
	wired tls_rpc_init || echo tls.l.no_rpc
	wired tls_select_pvs || echo tls.l.no_script
	# modparams of the stock module that are not known here
	for p in engine engine_config engine_algorithms provider_quirks \
		provider_quirks_config xavp_cfg event_callback init_mode \
		key_password_mode keylog_mode keylog_file keylog_peer; do
		limit "p_$p" "\"$p\"" tls_params.h tls_cfg.c tls_mod.c
	done
}

if [ "${1-}" = --xml ]; then
	echo '<exports>'
	list | sort -u | sed 's,.*,<e>&</e>,'
	echo '</exports>'
else
	list | sort -u
fi
