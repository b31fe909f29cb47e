#
# TLS transport module for Kamailio.
# Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.
#
# Two lives of one file: dropped with its folder into src/modules/tls of a
# Kamailio tree it follows that tree's conventions; anywhere else it builds
# ./tls.so for the Kamailio that is installed on this machine.
#
#   make                      tls.so for the installed Kamailio
#   make KAMAILIO_SRC=DIR     the same with the headers of that tree
#   make install|uninstall    into the server's modules folder (DESTDIR=)
#   make install-tls-cert     self-signed cert.pem and key when there is none
#   make test                 all suites; the last line is their sum
#   make unit|lint|doc-check|utils-test|cfgcheck-test|load-check|host-test
#                             one suite
#   make cfgcheck-golden      writes anew what cfgcheck-test compares
#   make demo                 two servers, a call over two TLS hops
#   make soak SECONDS= WORKERS=   load until the time is over
#   make fuzz SECONDS=        every fuzzer for so long
#   make bench [QUICK=1]      against other servers, report in build/bench
#   make utils|doc|deps|clean
#
# NO_INSTALL=1 forbids apt: what is missing is printed and the build stops.

COREPATH ?= ../..

ifneq (,$(wildcard $(COREPATH)/Makefile.defs))

# ---- inside a Kamailio tree ---------------------------------------------

include $(COREPATH)/Makefile.defs
auto_gen=
NAME=tls.so
LIBS+=-lssl -lcrypto
# Names like tls_init exist in other libraries of the process.
DEFS+=-fvisibility=hidden -std=gnu11
MOD_INSTALL_CFGS=$(wildcard tls.cfg)
include $(COREPATH)/Makefile.modules

install-tls-cert: $(cfg_prefix)/$(cfg_dir)
	sh ./tls_cert.sh --self-signed --if-absent \
			--dir $(cfg_prefix)/$(cfg_dir)

.PHONY: install-tls-cert

else

# ---- alone --------------------------------------------------------------

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

KAMAILIO ?= kamailio
KAMAILIO_SRC ?=
CC ?= cc
CLANG ?= clang
CFLAGS ?= -O2 -g
BUILD := build
SECONDS ?= 60
WORKERS ?= 2
DESTDIR ?=

# The adapter is what sees the host's headers, through tls_host.h; those are
# not ours to warn about. The rest is host-free and is tested without a host.
SOURCES := $(sort $(wildcard tls_*.c))
HOST_DOORS := tls_host.h $(shell grep -ls '^.include "tls_host.h"' tls_*.h)
ADAPTER_SOURCES := $(shell grep -l $(HOST_DOORS:%=-e '^.include "%"') \
	$(SOURCES) /dev/null)
FREE_SOURCES := $(filter-out $(ADAPTER_SOURCES),$(SOURCES))
OBJECTS := $(SOURCES:%.c=$(BUILD)/obj/%.o)

LANGUAGE := -std=gnu11 -fPIC -pthread -fvisibility=hidden \
	-ffile-prefix-map=$(CURDIR)/=
HARDENING := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
WARNINGS := -Wall -Wextra -Werror
STRICT := $(WARNINGS) -Wconversion -Wshadow -Wstrict-prototypes -Wswitch-enum
DEPENDS = -MMD -MP
# The host's "../../core/..." of its tree is found from host/inc/modules/tls.
HOST_FLAGS := -isystem $(BUILD)/host/inc -isystem $(BUILD)/host/inc/modules/tls \
	@$(BUILD)/host/defs
MODULE_LDFLAGS := -shared -Wl,-z,relro,-z,now -Wl,-O1 -Wl,--as-needed

all: tls.so

# Puts file 1 in the place of file 2 when they differ. The names have the
# shell's pid, so that two runs of make do not meet in one file.
replace = if cmp -s $(1) $(2); then rm $(1); else mv -f $(1) $(2); fi

# ---- the host: headers and -D set ----

# Runs each time, but changes its files only when the host changed, and only
# then is everything compiled anew.
$(BUILD)/host/defs: FORCE
	@utils/install_deps.sh build $(if $(KAMAILIO_SRC),,host)
	@mkdir -p $(BUILD)/host/inc/modules/tls
	@src=$$(utils/host_headers.sh $(BUILD)/host $(KAMAILIO) $(KAMAILIO_SRC)) \
	&& for d in core lib; do \
		[ "$$(readlink $(BUILD)/host/inc/$$d)" = "$$src/$$d" ] \
			|| { ln -sfn "$$src/$$d" $(BUILD)/host/inc/$$d && rm -f $@; }; \
	done
	@utils/host_defines.sh $(KAMAILIO) >$@.$$$$ && $(call replace,$@.$$$$,$@)

# ---- the module ----

$(BUILD)/obj/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS)' >$@.$$$$ && $(call replace,$@.$$$$,$@)

$(ADAPTER_SOURCES:%.c=$(BUILD)/obj/%.o): $(BUILD)/obj/%.o: %.c \
		$(BUILD)/host/defs $(BUILD)/obj/.flags
	$(CC) $(LANGUAGE) $(CPPFLAGS) $(CFLAGS) $(HARDENING) $(WARNINGS) \
			$(HOST_FLAGS) $(DEPENDS) -c $< -o $@

$(FREE_SOURCES:%.c=$(BUILD)/obj/%.o): $(BUILD)/obj/%.o: %.c \
		$(BUILD)/obj/.flags
	$(CC) $(LANGUAGE) $(CPPFLAGS) $(CFLAGS) $(HARDENING) $(STRICT) \
			$(DEPENDS) -c $< -o $@

# Linked aside: a module that the host would refuse is not left behind.
tls.so: $(OBJECTS) $(BUILD)/host/defs utils/check_module.sh
	new=$(BUILD)/tls.so.$$$$ && trap "rm -f $$new" EXIT \
		&& $(CC) $(CFLAGS) $(MODULE_LDFLAGS) $(LDFLAGS) -pthread \
			-o $$new $(OBJECTS) -lssl -lcrypto \
		&& utils/check_module.sh $$new $(KAMAILIO) && mv -f $$new $@

-include $(wildcard $(BUILD)/obj/*.d)

# ---- install ----

# Where the server looks, as it says itself; the first folder of its list.
MODULES_DIR ?= $(shell $(KAMAILIO) -I 2>/dev/null \
	| sed -n 's/^ *Default paths to modules: *\([^:]*\).*/\1/p')
CFG_DIR ?= $(shell $(KAMAILIO) -I 2>/dev/null \
	| sed -n 's,^ *Default config: *\(.*\)/[^/]*$$,\1,p')
# The keys are read after the server gave up root.
CERT_OWNER ?= $(shell getent passwd kamailio | cut -d: -f1)

check-dirs:
	@[ -n "$(MODULES_DIR)" ] && [ -n "$(CFG_DIR)" ] || { \
		echo "no \"$(KAMAILIO)\" to ask for its folders:" \
			"give MODULES_DIR= and CFG_DIR=" >&2; exit 1; }

install: tls.so check-dirs
	@utils/install_module.sh install tls.so $(DESTDIR)$(MODULES_DIR)

uninstall: check-dirs
	@utils/install_module.sh uninstall $(DESTDIR)$(MODULES_DIR)

install-tls-cert: check-dirs
	install -d $(DESTDIR)$(CFG_DIR)
	sh ./tls_cert.sh --self-signed --if-absent $(if $(DESTDIR),,\
			$(CERT_OWNER:%=--owner %)) --dir $(DESTDIR)$(CFG_DIR)

# ---- unit tests: everything below the host-free line, under sanitizers ----

UNIT := $(BUILD)/unit
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
UNIT_SOURCES := $(FREE_SOURCES) $(sort $(wildcard test/lib/*.c)) \
	$(sort $(wildcard test/unit/*.c))
UNIT_OBJECTS := $(UNIT_SOURCES:%.c=$(UNIT)/%.o)
# Rows of test tables leave out what they do not care about.
UNIT_FLAGS := -std=gnu11 -pthread -O1 -g $(SANITIZE) $(WARNINGS) \
	-Wno-missing-field-initializers -DTLS_CHECKS -I. -Itest/lib

$(UNIT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(UNIT_FLAGS) $(DEPENDS) -c $< -o $@

$(UNIT)/run: $(UNIT_OBJECTS)
	$(CC) $(UNIT_FLAGS) -o $@ $(UNIT_OBJECTS) -lcunit -lssl -lcrypto

-include $(UNIT_OBJECTS:.o=.d)

unit: test-deps
	@$(MAKE) --no-print-directory $(UNIT)/run
	$(UNIT)/run

# ---- the other suites ----

test-deps:
	@utils/install_deps.sh build $(if $(KAMAILIO_SRC),,host) test

host-test: test-deps tls.so
	@$(MAKE) --no-print-directory -C test/host test TLS_MODULE=$(CURDIR)/tls.so \
			BUILD=$(CURDIR)/$(BUILD)/test-host

load-check: test-deps
	@$(MAKE) --no-print-directory -C test/load check

lint:
	@utils/install_deps.sh lint
	@test/lint.sh

doc-check:
	@utils/install_deps.sh doc
	@test/doc_check.sh

utils:
	@$(MAKE) --no-print-directory -C utils/openssl_mutex_shared \
			BUILD=$(CURDIR)/$(BUILD)/openssl_mutex_shared
	@$(MAKE) --no-print-directory -C utils/tls_cfgcheck \
			BUILD=$(CURDIR)/$(BUILD)/tls_cfgcheck

cfgcheck-test: test-deps
	@$(MAKE) --no-print-directory -C utils/tls_cfgcheck test \
			BUILD=$(CURDIR)/$(BUILD)/tls_cfgcheck

cfgcheck-golden:
	@$(MAKE) --no-print-directory -C utils/tls_cfgcheck golden \
			BUILD=$(CURDIR)/$(BUILD)/tls_cfgcheck

utils-test:
	@$(MAKE) --no-print-directory -C utils/openssl_mutex_shared test \
			BUILD=$(CURDIR)/$(BUILD)/openssl_mutex_shared

TESTS := unit lint doc-check utils-test cfgcheck-test load-check host-test

# Each suite ends with its own "N passed, N failed"; run_suites adds them up
# and counts a suite that printed none as one failure.
test: test-deps tls.so
	@test/run_suites.sh $(BUILD)/suites \
			$(foreach s,$(TESTS),'$(s)=$(MAKE) --no-print-directory $(s)')

demo: test-deps tls.so
	@TLS_MODULE=$(CURDIR)/tls.so BUILD=$(CURDIR)/$(BUILD) CC='$(CC)' \
			test/demo/demo.sh

soak: test-deps tls.so
	@TLS_MODULE=$(CURDIR)/tls.so $(MAKE) --no-print-directory -C test/load \
			soak SECONDS=$(SECONDS) WORKERS=$(WORKERS)

# ---- fuzzing ----

FUZZ := $(BUILD)/fuzz
FUZZERS := $(patsubst test/fuzz/%.c,%,$(sort $(wildcard test/fuzz/fuzz_*.c)))
FUZZ_FLAGS := -std=gnu11 -O1 -g -pthread -DTLS_CHECKS -I. -Itest/lib -Itest/fuzz \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_LIB := $(patsubst %.c,$(FUZZ)/obj/%.o,$(FREE_SOURCES) \
	$(sort $(wildcard test/lib/*.c)))

$(FUZZ)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(DEPENDS) -c $< -o $@

$(FUZZ)/fuzz_%: test/fuzz/fuzz_%.c $(FUZZ_LIB)
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer $(DEPENDS) -MF $@.d \
			-o $@ $< $(FUZZ_LIB) -lssl -lcrypto

-include $(FUZZ_LIB:.o=.d) $(wildcard $(FUZZ)/*.d)

fuzzers: $(FUZZERS:%=$(FUZZ)/%)

fuzz:
	@utils/install_deps.sh build fuzz
	@$(MAKE) --no-print-directory fuzzers
	@utils/run_fuzzers.sh $(FUZZ) $(SECONDS) $(FUZZERS)

# ---- benchmark ----

bench: tls.so
	@utils/install_deps.sh build $(if $(KAMAILIO_SRC),,host) bench
	@TLS_MODULE=$(CURDIR)/tls.so $(MAKE) --no-print-directory -C test/bench \
			bench BUILD=$(CURDIR)/$(BUILD) QUICK=$(QUICK)

# ---- the rest ----

doc:
	@utils/install_deps.sh doc
	@$(MAKE) --no-print-directory -C doc

deps:
	@utils/install_deps.sh build $(if $(KAMAILIO_SRC),,host) test lint \
			doc fuzz bench debian13

# The fetched headers and the second Debian stay: they are downloads.
clean:
	rm -rf $(BUILD)/obj $(BUILD)/unit $(BUILD)/fuzz $(BUILD)/suites \
			$(BUILD)/test-host $(BUILD)/load $(BUILD)/bench $(BUILD)/demo \
			$(BUILD)/openssl_mutex_shared $(BUILD)/tls_cfgcheck
	rm -f tls.so $(BUILD)/host/defs

FORCE:

.PHONY: all install uninstall install-tls-cert check-dirs unit test-deps \
	host-test load-check lint doc-check utils utils-test cfgcheck-test \
	cfgcheck-golden test \
	demo soak fuzzers fuzz bench doc deps clean FORCE

endif
