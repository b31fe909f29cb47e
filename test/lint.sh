#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# House rules that a machine can check: layers, doors, banned calls, headers,
# layout. Reads files only; changes nothing. Run from anywhere as test/lint.sh;
# prints one line per rule, the places that break it below, and at the end
# "N passed, N failed"; exit status 1 when a rule failed.
#
# A missing tool counts as a failed rule: what was not checked did not pass.

LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.." || exit 2

# Exceptions: RULE FILE HITS REASON. The number of hits must be met exactly,
# so that an exception which is no longer needed fails as well.
exceptions()
{
	cat <<'TABLE'
heap tls_port.c 2 private memory of one process is libc's
TABLE
}

# The layer table. Includes point down or sideways, never up. A file of the
# module that is not listed fails the rule.
layers()
{
	cat <<'TABLE'
0 sbufq.h
0 tls_locking.c tls_locking.h
0 tls_name.c tls_name.h
0 tls_addr.c tls_addr.h
0 tls_cfgfile.c tls_cfgfile.h
0 tls_err.c tls_err.h
0 tls_metrics.c tls_metrics.h
0 tls_report.c tls_report.h
1 tls_limits.c tls_limits.h
1 tls_der.c tls_der.h
1 tls_keylog.c tls_keylog.h
0 tls_port.h
1 tls_params.c tls_params.h
1 tls_domain.c tls_domain.h
1 tls_config.c tls_config.h
1 tls_ct_wrq.c tls_ct_wrq.h
2 tls_conn.c tls_conn.h
2 tls_post.c tls_post.h
2 tls_record.c tls_record.h
2 tls_kdf.c tls_kdf.h
2 tls_ctx.c tls_ctx.h
2 tls_files.c tls_files.h
2 tls_keys.c tls_keys.h
2 tls_leaf.c tls_leaf.h
2 tls_foreign.c tls_foreign.h
2 tls_engine.c tls_engine.h
2 tls_load.c tls_load.h
2 tls_info.c tls_info.h
2 tls_x509.c tls_x509.h
2 tls_verify.c tls_verify.h
2 tls_ident.c tls_ident.h
2 tls_ocsp.c tls_ocsp.h
2 tls_bio.c tls_bio.h
2 tls_rand.c tls_rand.h
2 tls_start.c tls_start.h
2 tls_mem.c tls_mem.h
2 tls_ossl.c tls_ossl.h
3 tls_host.h
3 tls_port.c
3 tls_server.c tls_server.h
3 tls_init.c tls_init.h
3 tls_rpc.c tls_rpc.h
3 tls_reload.c tls_reload.h
3 tls_rpc_profiles.c tls_rpc_profiles.h
3 tls_rpc_stats.c tls_rpc_stats.h
3 tls_guard.c tls_guard.h
3 tls_select.c tls_select.h
3 tls_cfg.c tls_cfg.h
3 tls_events.c tls_events.h
4 tls_mod.c tls_mod.h
TABLE
}

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

pass()
{
	passed=$((passed + 1))
	echo "pass  $1"
}

fail()
{
	failed=$((failed + 1))
	echo "FAIL  $1"
}

# verdict RULE TEXT: the hits ("file:line: what") are in $work/hits.
verdict()
{
	exceptions | awk -v rule="$1" '$1 == rule' >"$work/except"
	awk -F: -v table="$work/except" '
		BEGIN {
			while((getline row < table) > 0) {
				split(row, f, " ")
				want[f[2]] = f[3]
			}
		}
		{ n[$1]++; line[NR] = $0; file[NR] = $1 }
		END {
			for(i = 1; i <= NR; i++)
				if(n[file[i]] != want[file[i]])
					print line[i]
			for(w in want)
				if(n[w] == 0)
					print w ": the exception is no longer needed"
		}' "$work/hits" >"$work/bad"
	if [ -s "$work/bad" ]; then
		fail "$1: $2"
		sed 's/^/        /' "$work/bad" | head -n 40
	else
		pass "$1: $2"
	fi
}

# need TOOL: fails the run when the tool is missing.
need()
{
	command -v "$1" >/dev/null 2>&1 && return 0
	fail "$2: cannot be checked, $1 is not installed"
	return 1
}

# ---- what is looked at ----

module=$(ls ./*.c ./*.h 2>/dev/null | sed 's,^\./,,')
tests_c=$(find test utils -name '*.[ch]' 2>/dev/null | sort)
scripts=$(find . -path ./.git -prune -o -path ./build -prune \
	-o -name '*.sh' -print | sed 's,^\./,,' | sort)
texts=$(find . -path ./.git -prune -o -path ./build -prune -o -type f \
	\( -name '*.[ch]' -o -name '*.sh' -o -name '*.md' -o -name '*.xml' \
	-o -name '*.cfg' -o -name '*.xsl' -o -name '*.py' -o -name 'Makefile*' \
	-o -name '*.mk' -o -name README -o -name run \) -print \
	| sed 's,^\./,,' | grep -v '^test/fuzz/corpus/' | sort)

# A copy of the C files without comments; the second one also without
# strings. Line numbers stay.
need perl "comment stripper" || { echo "$passed passed, $failed failed"; exit 1; }
strip='
	my $all = $ENV{STRIP_STRINGS};
	local $/; $_ = <>;
	s{("(?:\\.|[^"\\\n])*"|\x27(?:\\.|[^\x27\\\n])*\x27)|(/\*.*?\*/|//[^\n]*)}{
		my ($s, $c) = ($1, $2);
		defined $c ? do { $c =~ s/[^\n]//g; " $c" } : $all ? "\"\"" : $s
	}gse;
	print;'
for f in $module $tests_c; do
	mkdir -p "$work/nc/$(dirname "$f")" "$work/ns/$(dirname "$f")"
	STRIP_STRINGS= perl -e "$strip" <"$f" >"$work/nc/$f"
	STRIP_STRINGS=1 perl -e "$strip" <"$f" >"$work/ns/$f"
done

# hits TREE REGEX FILE...: collects "file:line: text" into $work/hits.
hits()
{
	tree=$1
	regex=$2
	shift 2
	: >"$work/hits"
	for h in "$@"; do
		[ -f "$tree/$h" ] || continue
		(cd "$tree" && grep -nE -- "$regex" "$h" /dev/null) >>"$work/hits"
	done
}

# but NAMES...: the module's files except these.
but()
{
	for b in $module; do
		case " $* " in
			*" $b "*) ;;
			*) echo "$b" ;;
		esac
	done
}

# of LAYERS...: files of the module in these layers.
of()
{
	for o in "$@"; do
		layers | awk -v l="$o" '$1 == l { for(i = 2; i <= NF; i++) print $i }'
	done
}

# ---- layers and doors ----

: >"$work/hits"
layers | awk '{ for(i = 2; i <= NF; i++) print $i, $1 }' >"$work/layer"
for f in $module; do
	own=$(awk -v f="$f" '$1 == f { print $2 }' "$work/layer")
	if [ -z "$own" ]; then
		echo "$f:1: is not in the layer table of test/lint.sh" >>"$work/hits"
		continue
	fi
	grep -nE '^[ \t]*#[ \t]*include[ \t]*"[^/"]*"' "$work/nc/$f" \
		| sed 's/^\([0-9]*\):.*"\(.*\)".*/\1 \2/' | while read -r line inc; do
		lower=$(awk -v f="$inc" '$1 == f { print $2 }' "$work/layer")
		if [ -z "$lower" ]; then
			echo "$f:$line: \"$inc\" is not in the layer table"
		elif [ "$lower" -gt "$own" ]; then
			echo "$f:$line: layer $own includes \"$inc\" of layer $lower"
		fi
	done >>"$work/hits"
done
verdict layers "includes point down"

# tls_engine.c is the room for a part of OpenSSL that many builds do not have.
hits "$work/nc" '#[ \t]*include[ \t]*[<"]openssl/' $(but tls_ossl.h tls_engine.c)
verdict ossl-include "only tls_ossl.h includes OpenSSL's headers"

word='(^|[^A-Za-z0-9_.>])'
library='SSL|X509|EVP|ERR|BIO|CRYPTO|RAND|PEM|OPENSSL|ASN1'
hits "$work/ns" "${word}($library)_[a-zA-Z0-9_]+[ \t]*\\(" $(of 0 1 3 4)
verdict ossl-calls "only the TLS rooms call OpenSSL"

hits "$work/nc" '#[ \t]*include[ \t]*["<](\.\./)*(src/)?(core|lib)/' \
	$(but $(of 3 4))
verdict host-include "only the adapter includes the host's headers"

hits "$work/nc" '^[ \t]*#[ \t]*(if|elif|ifdef|ifndef).*(VERSIONVAL|KAMAILIO|KSR_)' \
	$(but tls_host.h) $tests_c
verdict host-version "conditions on the host's version only in tls_host.h"

hits "$work/nc" '^[ \t]*#[ \t]*(if|elif|ifdef|ifndef).*(OPENSSL_|LIBRESSL_)' \
	$(but tls_ossl.h tls_engine.c)
verdict ossl-version "conditions on OpenSSL's version only in tls_ossl.h"

hits "$work/nc" '^[ \t]*#[ \t]*(if|elif|ifdef|ifndef)' \
	$(but tls_ossl.h tls_host.h tls_engine.c)
neutral='TLS_CHECKS|__GNUC__|__GLIBC__|NDEBUG|__SANITIZE_ADDRESS__|__has_feature'
grep -vE "#[ 	]*ifndef[ 	]+(TLS|SBUFQ)_[A-Z0-9_]*H_?\$|$neutral" "$work/hits" >"$work/h2"
mv "$work/h2" "$work/hits"
verdict conditions "no other conditional compilation"

# ---- banned calls ----

# Programs of the tests may read their own command line with atoi.
unbounded='strcpy|strcat|sprintf|vsprintf|gets|alloca'
hits "$work/ns" "${word}($unbounded)[ \t]*\\(" $module $tests_c
verdict unbounded "no strcpy, strcat, sprintf, gets, alloca, in tests neither"

hits "$work/ns" "${word}(strncpy|strncat|atoi|atol|atof|strtok)[ \t]*\\(" $module
verdict banned "no strncpy, strncat, atoi, strtok"

hits "$work/ns" "${word}(malloc|calloc|realloc|free|strdup|strndup|reallocarray)[ \t]*\\(" \
	$module
verdict heap "memory comes through the seam, not from libc"

hits "$work/ns" "${word}errno([^A-Za-z0-9_]|\$)" $(but tls_ossl.c $(of 3 4))
verdict errno "errno only at the door to OpenSSL and in the adapter"

hits "$work/ns" "${word}(printf|fprintf|puts|perror|syslog|exit|abort|system|popen)[ \t]*\\(" \
	$module
verdict outside "no output, exit or shell behind the host's back"

hits "$work/ns" "${word}(u?sl[e]ep|nanosl[e]ep|clock_nanosl[e]ep)[ \t]*\\(" \
	$module $tests_c
for f in $scripts; do
	sed 's/^[ \t]*#.*//; s/[ \t]#.*//' "$f" \
		| grep -nE '(^|[;&|({ \t])u?sl[e]ep[ \t]+[0-9$"]' | sed "s,^,$f:,"
done >>"$work/hits"
verdict waiting "tests wait for events, not for time"

# ---- layout ----

cat >"$work/licence" <<'TEXT'
/*
 * TLS transport module for Kamailio.
 * Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
 */
TEXT
: >"$work/hits"
for f in $module $tests_c; do
	head -n 4 "$f" | cmp -s - "$work/licence" \
		|| echo "$f:1: does not begin with the licence" >>"$work/hits"
done
verdict licence "each C file begins with the licence"

: >"$work/hits"
for f in $module $tests_c; do
	sed -n '5,7p' "$f" | grep -q '^/\*' \
		|| echo "$f:5: no header comment after the licence" >>"$work/hits"
done
verdict header "each C file says what it owns"

: >"$work/hits"
for f in $texts; do
	grep -nP '[^\x00-\x7f]' "$f" | sed "s,^,$f:,"
done >"$work/hits"
verdict ascii "ASCII only"

: >"$work/hits"
for f in $module $tests_c $scripts; do
	expand -t 4 "$f" | awk -v f="$f" \
		'length($0) > 100 { print f ":" NR ": " length($0) " columns" }'
done >"$work/hits"
verdict columns "no line over 100 columns"

: >"$work/hits"
for f in $texts; do
	grep -nE '(^|[^A-Za-z0-9_.])/(t[m]p|w[o]rk|h[o]me)(/|[^A-Za-z0-9_]|$)' "$f" \
		| sed "s,^,$f:,"
done >"$work/hits"
verdict paths "no paths of one machine"

: >"$work/hits"
for f in $module $tests_c; do
	awk -v f="$f" '
		/^\{/ && prev ~ /\)[ \t]*$/ { start = NR; name = prev }
		/^\}/ { if(start && NR - start - 1 > 100)
				print f ":" start ": " NR - start - 1 " lines: " name
			start = 0 }
		{ prev = $0 }' "$f"
done >"$work/hits"
verdict length "no function over 100 lines"

hits "$work/ns" '^static [^=(]*[ *]tls_[a-z0-9_]+\(' $module
verdict statics "static functions have no tls_ prefix"

: >"$work/hits"
for f in $texts; do
	grep -nwE '(TO''DO|FIX''ME|XX''X)' "$f" | sed "s,^,$f:,"
done >"$work/hits"
verdict open "nothing left open"

: >"$work/hits"
for f in $texts; do
	grep -nE '[ 	]+$' "$f" | sed "s,^,$f:,"
	[ -z "$(tail -c 1 "$f")" ] || echo "$f:1: no newline at the end"
done | grep -v '^README:' >"$work/hits"
verdict blanks "no blanks at the end of a line, newline at the end of a file"

# The settings are those of version 14; other versions break lines otherwise.
formatter=clang-format
command -v clang-format-14 >/dev/null 2>&1 && formatter=clang-format-14
if need "$formatter" format; then
	: >"$work/hits"
	for f in $module $tests_c; do
		"$formatter" --style=file --dry-run --ferror-limit=1 "$f" 2>&1 \
			| grep -m 1 -iE 'warning|error' \
			| sed 's/: warning:.*/: not formatted/'
	done >"$work/hits"
	verdict format "clang-format has nothing to say"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
