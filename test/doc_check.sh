#!/bin/sh
#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Holds the documentation against the code: valid XML, a README that is not
# stale, and the same names, types, defaults and ranges on both sides. Writes
# nothing into the tree. Run from anywhere as test/doc_check.sh; prints one
# line per check and at the end "N passed, N failed"; exit status 1 when a
# check failed. What cannot be checked counts as failed.
#
# What the documentation claims is told by ids: tls.p.NAME is a modparam,
# tls.a.NAME an attribute of tls.cfg, tls.f.NAME a script function, tls.r.NAME
# an RPC, tls.t.NAME a statistic, tls.v.NAME a pseudo-variable, tls.s.NAME a
# select, tls.e.NAME an event route. What the code has is read from the option
# table of tls_params.h with the compiler, the rest from the export tables
# (doc/exports.sh).

LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.." || exit 2

scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

# result STATUS TEXT [FILE]: one line; the lines of FILE when it failed.
result()
{
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
		echo "pass  $2"
		return
	fi
	failed=$((failed + 1))
	echo "FAIL  $2"
	[ -n "${3-}" ] && sed 's/^/        /' "$3" | head -n 30
}

finish()
{
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
	exit
}

for tool in xmllint xsltproc w3m perl "${CC:-cc}"; do
	command -v "$tool" >/dev/null 2>&1 && continue
	result 1 "$tool is installed"
	finish
done
result 0 "the tools are installed"

# ---- the XML ----

for f in doc/*.xml; do
	[ "$f" = doc/tls.xml ] && continue
	xmllint --noout --nonet --valid "$f" >"$scratch/log" 2>&1
	result $? "$f is valid" "$scratch/log"
done
xmllint --noout --nonet --xinclude --noxincludenode --nofixup-base-uris \
	--postvalid doc/tls.xml >"$scratch/log" 2>&1
result $? "doc/tls.xml with its parts is valid" "$scratch/log"

# ---- the README ----

make -s -C doc OUT="$scratch" >"$scratch/log" 2>&1 \
	&& diff README "$scratch/README" >"$scratch/log" 2>&1
result $? "README is what the XML says (else: make doc, commit it)" \
	"$scratch/log"

# ---- names ----

sh doc/exports.sh --xml >"$scratch/exports.xml"
: >"$scratch/shown"
xsltproc --nonet --xinclude --stringparam exports "$scratch/exports.xml" \
	doc/filter.xsl doc/tls.xml >"$scratch/flat.xml" 2>"$scratch/log" \
	&& xsltproc --nonet doc/ids.xsl "$scratch/flat.xml" >"$scratch/shown"
result $? "the names of the README can be listed" "$scratch/log"
xsltproc --nonet --xinclude doc/ids.xsl doc/tls.xml >"$scratch/ids" \
	2>"$scratch/log"
result $? "the documented names can be listed" "$scratch/log"

# documented KIND: names (and facts) of one kind of id.
documented()
{
	sed -n "s/^tls\\.$1\\.//p" "$scratch/ids" | sort
}

# compare TEXT: $scratch/code against $scratch/doc.
compare()
{
	diff "$scratch/code" "$scratch/doc" >"$scratch/diff"
	set -- "$?" "$1"
	sed -n 's/^</only in the code:         /p; s/^>/only in the documentation: /p' \
		"$scratch/diff" >"$scratch/log"
	result "$1" "$2 ($(wc -l <"$scratch/code" | tr -d ' '))" "$scratch/log"
}

# The option table as the compiler sees it, written as the sentences that the
# documentation must carry.
cat >"$scratch/table.c" <<'PROBE'
#include <stdio.h>
#include <string.h>
#include "tls_params.h"

static const char *const verify[] = {
		"off", "on", "optional", "optional_no_ca"};

static void number(long n)
{
	printf("%ld", n);
}

static void text(const char *s)
{
	fputs(s ? s : "not set", stdout);
}

#define KIND_BOOL "integer"
#define KIND_INT "integer"
#define KIND_STR "string"
#define KIND_PATH "string, a path"
#define KIND_METHOD "string, a method"
#define KIND_VERIFY "string"
#define FILE_BOOL "boolean"
#define FILE_INT "integer"
#define FILE_STR "text"
#define FILE_PATH "path"
#define FILE_METHOD "method"
#define FILE_VERIFY "word"
#define DEF_BOOL(d_) number((long)(d_))
#define DEF_INT(d_) number((long)(d_))
#define DEF_STR(d_) text(d_)
#define DEF_PATH(d_) text(d_)
#define DEF_METHOD(d_) text(d_)
#define DEF_VERIFY(d_) text(verify[(int)(d_)])
#define RANGE_BOOL(a_, b_) printf(" Range: %ld to %ld.", (long)(a_), (long)(b_))
#define RANGE_INT(a_, b_) RANGE_BOOL(a_, b_)
#define RANGE_STR(a_, b_)                                    \
	if((b_) > 0)                                             \
	printf(" At most %ld bytes.", (long)(b_))
#define RANGE_PATH(a_, b_) RANGE_STR(a_, b_)
#define RANGE_METHOD(a_, b_) RANGE_STR(a_, b_)
#define RANGE_VERIFY(a_, b_) RANGE_STR(a_, b_)

#define PARAM(t_, d_, a_, b_, mod_)                          \
	printf("%s\tType: %s. Default: ", (const char *)(mod_), KIND_##t_); \
	DEF_##t_(d_);                                            \
	printf(".");                                             \
	RANGE_##t_(a_, b_);

#define PROFILE(m_, t_, d_, a_, b_, mod_, cfg_, alias_, secret_, doc_)        \
	if(params && (const char *)(mod_) != NULL) {                              \
		PARAM(t_, d_, a_, b_, mod_)                                           \
		if((const char *)(cfg_) != NULL)                                      \
			printf(" In tls.cfg: %s.", (const char *)(cfg_));                 \
		puts("");                                                             \
	}                                                                         \
	if(attributes && (const char *)(cfg_) != NULL) {                          \
		printf("%s\tType: %s.", (const char *)(cfg_), FILE_##t_);             \
		if(FILE_##t_[0] == 'i')                                               \
			RANGE_##t_(a_, b_);                                               \
		if((const char *)(alias_) != NULL)                                    \
			printf(" Also written: %s.", (const char *)(alias_));             \
		puts("");                                                             \
	}

#define SETTING(m_, t_, d_, a_, b_, mod_, cfg_, rt_, rpc_, doc_)              \
	if(params && (const char *)(mod_) != NULL) {                              \
		PARAM(t_, d_, a_, b_, mod_)                                           \
		if(runtime && (const char *)(cfg_) != NULL)                           \
			printf(" Run time: tls.%s, %s.", (const char *)(cfg_),            \
					(rt_) ? "can be changed" : "read only");                  \
		if(options && (const char *)(rpc_) != NULL)                           \
			printf(" In tls.options: %s.", (const char *)(rpc_));             \
		puts("");                                                             \
	}

int main(int argc, char **argv)
{
	int params = argc > 1 && strcmp(argv[1], "params") == 0;
	int attributes = argc > 1 && strcmp(argv[1], "attributes") == 0;
	int runtime = argc > 2 && strstr(argv[2], "tls.g.runtime") != NULL;
	int options = argc > 2 && strstr(argv[2], "tls.r.options") != NULL;

	TLS_PROFILE_OPTIONS(PROFILE)
	TLS_SETTINGS_OPTIONS(SETTING)
	return 0;
}
PROBE
"${CC:-cc}" -w -std=gnu11 -I. -o "$scratch/table" "$scratch/table.c" \
	>"$scratch/log" 2>&1
result $? "the option table can be read" "$scratch/log"

sh doc/exports.sh >"$scratch/exports" 2>"$scratch/log"
result $? "the exports of the code can be read" "$scratch/log"

# offered KIND: names of one kind that the code has.
offered()
{
	sed -n "s/^tls\\.$1\\.//p" "$scratch/exports" | sort -u
}

# both KIND TEXT: every name of the code is documented. A name that is only
# documented fails too, except while the code has nothing of its kind or the
# text says role="waits": such texts are left out of the README
# (doc/filter.xsl) until the code has the name.
both()
{
	offered "$1" >"$scratch/code"
	documented "$1" >"$scratch/named"
	if [ -s "$scratch/code" ]; then
		awk -F '\t' 'NR == FNR { own[$1] = 1; next }
			own[$1] || $NF != "waits" { print $1 }' "$scratch/code" \
			"$scratch/named" >"$scratch/doc"
		compare "$2"
	else
		result 0 "$2 (none in the code, $(wc -l <"$scratch/named" | tr -d ' ') wait)"
	fi
}

# Modparams: those of the table with all facts, those of the adapter by name.
sed -n 's/^tls\.p\.//p' "$scratch/shown" | sort >"$scratch/all"
"$scratch/table" params "$(cat "$scratch/exports")" | sort >"$scratch/code"
cut -f 1 "$scratch/code" >"$scratch/table.names"
awk -F '\t' 'NR == FNR { own[$1] = 1; next } own[$1]' \
	"$scratch/table.names" "$scratch/all" >"$scratch/doc"
compare "modparams of the option table: name, type, default, range"

offered m | comm -23 - "$scratch/table.names" >"$scratch/code"
cut -f 1 "$scratch/all" | comm -23 - "$scratch/table.names" >"$scratch/doc"
compare "modparams that only the adapter has"

"$scratch/table" attributes | sort >"$scratch/code"
documented a >"$scratch/doc"
compare "attributes of tls.cfg: name, type, range, alias"

both f "script functions"
both r "RPC commands"
both v "pseudo-variables"
both e "event routes"
both t "statistics"

# A limit is shown as long as the feature is not in the code.
offered l >"$scratch/code"
sed -n 's/^tls\.l\.\([a-z_0-9]*\).*/\1/p' "$scratch/shown" | sort >"$scratch/doc"
compare "limits of this version"

# ---- the pages for developers ----

for page in architecture byte-arrives host-sends locking process-safety \
	testing threat-model sbufq ct_wrq cfgfile bio record mem; do
	if [ ! -f "doc/internals/$page.md" ]; then
		echo "doc/internals/$page.md does not exist"
	fi
done >"$scratch/log"
for f in doc/internals/*.md; do
	head -n 1 "$f" | grep -qE '^Date: 20[0-9]{2}-[0-9]{2}-[0-9]{2}$' \
		|| echo "$f does not begin with its date"
	sed -n 2,6p "$f" | grep -q '^Covers: ' || echo "$f does not say what it covers"
done >>"$scratch/log"
[ ! -s "$scratch/log" ]
result $? "each page of doc/internals is there, dated and says what it covers" \
	"$scratch/log"

# A file, function or test that a page names has to exist.
grep -oE '"[^"]+"' doc/internals/process-safety.md | tr -d '"' | sort -u \
	| while read -r name; do
	grep -rqF "\"$name\"" test/unit test/host \
		|| echo "process-safety.md names the test \"$name\", which does not exist"
done >"$scratch/tests"
for f in doc/internals/*.md; do
	grep -oE '`[a-z_/]+\.(c|h|sh)`' "$f" | tr -d '`' | sort -u \
		| while read -r name; do
		[ -f "$name" ] || [ -n "$(find test utils -name "${name##*/}" 2>/dev/null)" ] \
			|| echo "$f names $name, which does not exist"
	done
	grep -oE '`(tls|sbufq)_[a-z0-9_]+\(\)`' "$f" | tr -d '`()' | sort -u \
		| while read -r name; do
		grep -qwF "$name" ./*.h ./*.c || echo "$f names $name(), which does not exist"
	done
done >"$scratch/log"
cat "$scratch/tests" >>"$scratch/log"
[ ! -s "$scratch/log" ]
result $? "files, functions and tests that the pages name exist" "$scratch/log"

# ---- the messages of the log ----

# Each line that the code writes is in doc/messages.xml, each one there is in the
# code, and a test looks for it.
perl - >"$scratch/log" <<'CHECK'
use strict;
use warnings;

sub slurp { local (@ARGV, $/) = ($_[0]); return scalar <>; }

# String literals of C, neighbours joined.
my $one = qr/"((?:[^"\\\n]|\\.)*)"/;
my $word = qr/"(?:[^"\\\n]|\\.)*"/;
my $many = qr/$word(?:\s*(?:[A-Z_]+\s*)?$word)*/;
sub joined { my $t = join "", $_[0] =~ /$one/g; $t =~ s/\\"/"/g; return $t; }
sub plain { my $t = lc $_[0]; $t =~ tr/_/ /; return $t; }

my @seen;
my $xml = slurp("doc/messages.xml");
$xml =~ s/\s*\n/ /g;
while ($xml =~ m{<entry role="message">(.*?)</entry>}g) {
	my $text = $1;
	$text =~ s/&quot;/"/g; $text =~ s/&lt;/</g; $text =~ s/&gt;/>/g;
	$text =~ s/&amp;/&/g;
	push @seen, $text;
}
print "doc/messages.xml has only " . @seen . " messages\n" if @seen < 50;

# What the code writes by itself; reasons only in the rooms of connections.
my %reasons = map { ("tls_$_.c" => 1) } qw(conn server guard post);
my $all = "";
for my $file (glob "tls_*.c") {
	my $code = slurp($file);
	$all .= joined($&) . "\n" while $code =~ /$many/g;
	my $calls = $reasons{$file} ? "|tls_err_set|refuse" : "";
	while ($code =~ /\b(?:LM_(?:ERR|WARN|NOTICE|INFO)|tls_port_log$calls)\(([^;]*?)($many)/g) {
		my ($before, $text) = ($1, joined($2));
		# our own faults, debugging, formats that hold another sentence
		next if $before =~ /_(?:CRIT|DBG|BUG|CONFIG)\b/ || $text =~ /^BUG/;
		next if $text =~ /^%sTLS connection %d/; # the frame of the reasons
		next unless $text =~ s/%[.*a-z]+//gr =~ /[a-z]{3}/i;
		next if grep { index($text, $_) >= 0 } @seen;
		print "$file: not in doc/messages.xml: $text\n";
	}
}
for (@seen) {
	print "not in the code: $_\n" if index($all, $_) < 0;
}
my $asked = "";
for my $file (glob "test/host/*.c test/unit/*.c") {
	my $code = slurp($file);
	$asked .= plain(joined($&)) . "\n" while $code =~ /$many/g;
}
for (@seen) {
	print "no test looks for: $_\n" if index($asked, plain($_)) < 0;
}
CHECK
[ ! -s "$scratch/log" ]
result $? "each message of the log is documented and looked for by a test" \
	"$scratch/log"

finish
