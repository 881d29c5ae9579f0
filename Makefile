# SPDX-License-Identifier: Apache-2.0
# One non-recursive makefile. `make help` lists the targets; O= is where results go, V=1 shows the commands.

VERSION := 0.1.0

O      ?= build
CC     ?= gcc
CXX    ?= g++
SAN    ?=
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib/perfshim
MANDIR ?= $(PREFIX)/share/man

CFLAGS ?= -O2 -g
WARN   := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
STD    := -std=gnu11 -D_GNU_SOURCE -DPERFSHIM_VERSION='"$(VERSION)"'
DEPS    = -MMD -MP

# The shim is never sanitized: a sanitizer brings a malloc of its own, and the shim stands in front of the host's.
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
comma := ,
ifneq ($(SAN),)
ifeq ($(origin O),file)
O := build-$(subst $(comma),-,$(SAN))
endif
endif

# The analyzer is optimized as one program: an event passes through many small functions of many files, and calling them costs a
# tenth. LTO= leaves that out, for quick builds. Its objects have ordinary code, too, which tests and the recorder are made of.
LTO ?= $(if $(SAN)$(findstring clang,$(CC)),,-flto=auto)
PLAIN := $(if $(LTO),-fno-lto)

# One name for each file, however O was given: what a file was made from is noted under its name.
override O := $(patsubst $(CURDIR)/%,%,$(O))

Q := $(if $(V),,@)
say = $(if $(V),@true,@printf '  %-5s %s\n' $(1) $(2))

formats_src  := $(wildcard formats/*.c)
shim_src     := $(wildcard shim/*.c)
shim_asm     := $(wildcard shim/*.S)
recorder_src := $(wildcard shim/recorder/*.c)
analyzer_src := $(wildcard analyzer/*.c)
unit_src     := $(wildcard tests/unit/test_*.c)
program_src  := $(wildcard tests/programs/*.c) $(wildcard tests/servers/*.c)
programxx_src := $(wildcard tests/programs/*.cc)

shim_c_obj   := $(shim_src:%.c=$(O)/obj/%.o)
shim_asm_obj := $(shim_asm:%.S=$(O)/obj/%.o)
shim_obj     := $(shim_c_obj) $(shim_asm_obj)
formats_obj  := $(formats_src:%.c=$(O)/obj/%.o)
recorder_obj := $(recorder_src:%.c=$(O)/obj/%.o)
analyzer_obj := $(analyzer_src:%.c=$(O)/obj/%.o)
gen_obj      := $(O)/obj/gen/profile.pb-c.o
unit_shim_obj := $(O)/obj/shim/body.o $(O)/obj/shim/cfi.o $(O)/obj/shim/cfi_entry.o $(O)/obj/shim/cfi_expression.o $(O)/obj/shim/unwind.o $(O)/obj/shim/memo.o # what of the shim can stand alone
unit_bin     := $(unit_src:tests/unit/%.c=$(O)/tests/%)
program_bin  := $(patsubst tests/%.c,$(O)/tests/%,$(program_src)) $(patsubst tests/%.cc,$(O)/tests/%,$(programxx_src))
program_bin  += $(O)/tests/programs/operator_mix.so
calibrate_bin := $(O)/tests/calibrate/synthetic
leaks_src    := $(wildcard tests/leaks/*.c)
leaks_bin    := $(O)/tests/leaks/leaks

ANALYZER_LIBS := -lzstd -lcjson -lprotobuf-c -lz -ldw -lelf -liberty -lm $(if $(SAN),,-ljemalloc) -lpthread
RECORDER_LIBS := -lzstd -lm
UNIT_LIBS     := -lcmocka

.PHONY: all demo check check-unit check-kills check-hosts check-leaks check-healthy check-runtimes fuzz fuzz-built bench bench-heap calibrate install uninstall clean help deps demo-built tests-built programs-built FORCE
.DELETE_ON_ERROR:

## all: the shim, its recorder and the analyzer (the default)
all: $(O)/libperfshim.so $(O)/perfshim-recorder $(O)/perfanalyze

# Layers, enforced by what each part can include: formats sees itself; shim and analyzer see formats, never each other.
$(O)/obj/formats/%.o:       private INC := -iquote formats
$(O)/obj/shim/%.o:          private INC := -iquote formats -iquote shim
$(O)/obj/shim/recorder/%.o: private INC := -iquote formats -iquote shim -iquote shim/recorder
$(O)/obj/analyzer/%.o:      private INC := -iquote formats -iquote analyzer -iquote $(O)/gen

# In the shim: fortified wrappers and stack protectors call into libc where the host may not expect it; initial-exec TLS
# never allocates; -fexceptions keeps hooks cancellation points that unwind. Hosts pass NULL where headers forbid it.
SHIM_CFLAGS := -fno-delete-null-pointer-checks -Wno-unknown-warning-option -Wno-nonnull-compare \
	-Wno-pointer-bool-conversion -fPIC -fvisibility=hidden -ftls-model=initial-exec -fexceptions -fno-builtin-malloc -fno-builtin-free \
	-fno-builtin-calloc -fno-builtin-realloc -U_FORTIFY_SOURCE -fno-stack-protector -fno-omit-frame-pointer -fno-plt

# Hooks are what hosts see; what else one of these files defines for the others is marked as hidden (tests/t/laws.t).
$(O)/obj/shim/hook_%.o: private SHIM_CFLAGS += -fvisibility=default

$(O)/flags: FORCE
	@mkdir -p $(O); printf '%s\n' '$(CC) $(CFLAGS) $(LDFLAGS) $(SAN) $(LTO) $(VERSION)' | cmp -s - $@ || \
	printf '%s\n' '$(CC) $(CFLAGS) $(LDFLAGS) $(SAN) $(LTO) $(VERSION)' > $@

$(shim_c_obj): $(O)/obj/%.o: %.c $(O)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CFLAGS) $(WARN) $(SHIM_CFLAGS) $(DEPS) $(INC) -c $< -o $@
$(shim_asm_obj): $(O)/obj/%.o: %.S $(O)/flags
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -c $< -o $@
$(formats_obj) $(analyzer_obj): private LTOFLAGS := $(if $(LTO),$(LTO) -ffat-lto-objects)
$(formats_obj) $(recorder_obj) $(analyzer_obj): $(O)/obj/%.o: %.c $(O)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CFLAGS) $(LTOFLAGS) $(WARN) $(SANFLAGS) $(DEPS) $(INC) -c $< -o $@

# The messages of profile.proto as C, which is not ours to judge by our warnings.
$(O)/gen/profile.pb-c.c: analyzer/profile.proto
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)protoc-c --c_out=$(@D) -Ianalyzer $<
$(O)/gen/profile.pb-c.h: $(O)/gen/profile.pb-c.c ;
$(gen_obj): $(O)/gen/profile.pb-c.c $(O)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(CFLAGS) $(SANFLAGS) $(DEPS) -iquote $(O)/gen -c $< -o $@
$(O)/obj/analyzer/export_pprof.o $(O)/fuzz/obj/analyzer/export_pprof.o: $(O)/gen/profile.pb-c.h

$(O)/libperfshim.so: $(shim_obj) shim/versions.map
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-z,now -Wl,-z,defs -Wl,--version-script=shim/versions.map \
	-Wl,-soname,libperfshim.so -o $@ $(shim_obj) -ldl -lpthread

$(O)/perfshim-recorder: $(recorder_obj) $(formats_obj)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(PLAIN) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(RECORDER_LIBS)

$(O)/perfanalyze: $(analyzer_obj) $(gen_obj) $(formats_obj)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LTO) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(ANALYZER_LIBS)

# A unit test is linked with every module of the tree but the mains; its own includes decide which it can see.
$(O)/tests/test_%: tests/unit/test_%.c $(formats_obj) $(unit_shim_obj) $(filter-out %/main.o,$(recorder_obj) $(analyzer_obj)) $(gen_obj) $(O)/flags
	$(call say,TEST,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CFLAGS) $(WARN) $(SANFLAGS) $(DEPS) -iquote formats -iquote shim -iquote shim/recorder \
	-iquote analyzer -iquote tests/unit $(PLAIN) $< $(filter %.o,$^) $(LDFLAGS) -o $@ $(ANALYZER_LIBS) $(UNIT_LIBS)
$(calibrate_bin): $(wildcard tests/calibrate/*.[ch]) $(filter-out %/main.o,$(analyzer_obj)) $(gen_obj) $(formats_obj) $(O)/flags
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CFLAGS) $(PLAIN) $(WARN) $(SANFLAGS) -iquote formats -iquote analyzer $(filter %.c %.o,$^) $(LDFLAGS) \
	-o $@ $(ANALYZER_LIBS)
$(O)/tests/%: tests/%.c $(O)/flags
	$(call say,PROG,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) -O1 -g $(WARN) $(DEPS) $< -o $@ -lpthread -ldl -lm
$(O)/tests/%: tests/%.cc $(O)/flags
	$(call say,PROG,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) -O1 -g -Wall -Wextra $(DEPS) $< -o $@ -lpthread
$(O)/tests/%.so: tests/%.cc $(O)/flags
	$(call say,PROG,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) -O1 -g -Wall -Wextra -fPIC -shared -DPLUGIN $(DEPS) $< -o $@

$(leaks_bin): $(leaks_src) $(wildcard tests/leaks/*.cc) $(wildcard tests/leaks/*.h) $(O)/flags
	$(call say,PROG,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) -O1 -g -Wall -Wextra -c tests/leaks/deeds_owner.cc -o $@.owner.o
	$(Q)$(CC) $(STD) -O1 -g $(WARN) $(leaks_src) $@.owner.o -o $@ -lpthread -ldl -lstdc++ -lm

# Fuzzers: everything anew with clang's libFuzzer and sanitizers. From an archive, so that a fuzzer can stand in for a module.
FUZZ_CC       ?= clang
FUZZ_SANFLAGS := -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_CFLAGS   := $(STD) -O1 -g $(WARN) $(FUZZ_SANFLAGS) -fsanitize=fuzzer-no-link -iquote formats -iquote shim \
	-iquote shim/recorder -iquote analyzer -iquote $(O)/gen -iquote tests/fuzz
fuzz_src      := $(formats_src) $(recorder_src) $(analyzer_src) tests/fuzz/pipeline.c
fuzz_obj      := $(patsubst %.c,$(O)/fuzz/obj/%.o,$(filter-out %/main.c,$(fuzz_src)))
fuzz_bin      := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

$(fuzz_obj): $(O)/fuzz/obj/%.o: %.c $(O)/flags
	$(call say,FUZZ,$<)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) $(DEPS) -c $< -o $@
$(O)/fuzz/modules.a: $(fuzz_obj) $(gen_obj)
	$(Q)rm -f $@; ar crs $@ $^
$(O)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(O)/fuzz/modules.a
	$(call say,FUZZ,$<)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $(DEPS) $(filter %.c %.a,$^) -o $@ -lzstd -lcjson -lprotobuf-c -lz -ldw -lelf -liberty -lm -lpthread

# The empty command keeps make from saying that there is nothing to be done.
demo-built: all $(O)/tests/servers/shop
tests-built: all $(unit_bin) $(program_bin) $(calibrate_bin) $(leaks_bin)
programs-built: all $(program_bin)
demo-built tests-built programs-built: ; @:

## deps: install the Debian packages that building and the demo need
deps:
	$(Q)scripts/deps build demo

# Most tests wait more than they compute, so there is one more than processors. Beyond four, neighbours only disturb each other.
JOBS ?= $(shell n=$$(nproc); echo $$((n < 4 ? n + 1 : 4)))
# What a target builds on its way uses them too, unless the caller gave a -j.
PARTS = --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))

## demo: install what is missing, build, run nginx and the example server under load, print both reports
demo: deps
	$(Q)$(MAKE) $(PARTS) demo-built
	$(Q)O=$(O) scripts/demo

## check: install what tests need, build, run every test, JOBS at a time (T='tests/t/x.t ...' for some)
check:
	$(Q)scripts/deps build test
	$(Q)$(MAKE) $(PARTS) tests-built
	$(Q)O=$(abspath $(O)) SAN='$(SAN)' prove --state=save --timer -j$(JOBS) $(if $(T),$(T),tests/t/)

## check-unit: only the unit tests, which need no server
check-unit:
	$(Q)$(MAKE) $(PARTS) tests-built T=
	$(Q)O=$(abspath $(O)) prove --timer tests/t/unit.t

## fuzz: run every fuzzer for FUZZ_SECONDS (30) or FUZZ_RUNS executions each; FUZZ='scrub wire' for some of them
fuzz:
	$(Q)scripts/deps build fuzz
	$(Q)$(MAKE) $(PARTS) fuzz-built
	$(Q)O=$(abspath $(O)) tests/fuzz/run $(FUZZ)
fuzz-built: $(fuzz_bin)

## check-kills: kills servers under load at random moments, N times (N=1000): scripts/kills
N ?= 1000
check-kills:
	$(Q)scripts/deps build test
	$(Q)$(MAKE) $(PARTS) programs-built
	$(Q)O=$(abspath $(O)) scripts/kills $(N)

## check-leaks: leaks in other people's servers, and the same servers healthy, loaded for MINUTES (scripts/check-leaks)
MINUTES ?= 20
check-leaks:
	$(Q)scripts/deps build test
	$(Q)$(MAKE) $(PARTS) programs-built
	$(Q)O=$(abspath $(O)) scripts/check-leaks --minutes $(MINUTES)

## check-healthy: other people's servers as they come, ten minutes under load; none may be accused (scripts/check-healthy)
check-healthy:
	$(Q)scripts/deps build test
	$(Q)$(MAKE) $(PARTS) programs-built
	$(Q)O=$(abspath $(O)) scripts/check-healthy

## check-runtimes: what check-leaks does, of one application in many languages, whose runtimes manage memory in their own ways
check-runtimes:
	$(Q)scripts/deps build test runtimes
	$(Q)$(MAKE) $(PARTS) programs-built
	$(Q)O=$(abspath $(O)) scripts/check-leaks --runtimes --minutes $(MINUTES)

## check-hosts: other people's test suites and compiled servers, bare and preloaded, compared (scripts/check-hosts)
check-hosts:
	$(Q)scripts/deps build hosts
	$(Q)$(MAKE) $(PARTS) tests-built
	$(Q)O=$(abspath $(O)) TEST_TIMEOUT_S=900 prove --timer tests/t/hosts_*.t
	$(Q)O=$(abspath $(O)) scripts/check-hosts

## bench: throughput ratios, cost of a call, bytes per request, analyzer speed (scripts/bench, scripts/bench-io)
bench:
	$(Q)scripts/deps build test
	$(Q)$(MAKE) $(PARTS) programs-built $(O)/tests/test_many
	$(Q)O=$(abspath $(O)) scripts/bench
	$(Q)O=$(abspath $(O)) scripts/bench-io

## calibrate: how often verdicts are wrong, on series (CASES=1000 of each shape, SEED=1) and on servers (scripts/calibrate-servers) of known truth
CASES ?= 1000
SEED ?= 1
calibrate:
	$(Q)scripts/deps build test
	$(Q)$(MAKE) $(PARTS) all $(calibrate_bin) $(leaks_bin)
	$(Q)$(calibrate_bin) $(CASES) $(SEED)
	$(Q)O=$(abspath $(O)) scripts/calibrate-servers --seed $(SEED)

## bench-heap: heap profilers side by side (scripts/bench-heap)
bench-heap:
	$(Q)scripts/deps build bench
	$(Q)$(MAKE) $(PARTS) programs-built
	$(Q)O=$(abspath $(O)) scripts/bench-heap

## install: into PREFIX (/usr/local), below DESTDIR if that is set
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man7
	install -m 755 $(O)/perfanalyze $(DESTDIR)$(BINDIR)/perfanalyze
	install -m 755 $(O)/libperfshim.so $(DESTDIR)$(LIBDIR)/libperfshim.so
	install -m 755 $(O)/perfshim-recorder $(DESTDIR)$(LIBDIR)/perfshim-recorder
	install -m 644 docs/perfanalyze.1 $(DESTDIR)$(MANDIR)/man1/perfanalyze.1
	install -m 644 docs/perfshim.7 $(DESTDIR)$(MANDIR)/man7/perfshim.7

## uninstall: remove what install put there (same PREFIX and DESTDIR)
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/perfanalyze $(DESTDIR)$(LIBDIR)/libperfshim.so $(DESTDIR)$(LIBDIR)/perfshim-recorder
	rm -f $(DESTDIR)$(MANDIR)/man1/perfanalyze.1 $(DESTDIR)$(MANDIR)/man7/perfshim.7
	-rmdir $(DESTDIR)$(LIBDIR) 2>/dev/null

## clean: remove O
clean:
	rm -rf $(O)

## help: this list
help:
	@sed -n 's/^## //p' $(firstword $(MAKEFILE_LIST)) | awk -F': ' '{printf "  %-11s %s\n", $$1, $$2}'
	@echo 'Variables: O=dir  CC=clang  SAN=address,undefined|thread  V=1  LTO=  JOBS=  PREFIX=  DESTDIR=  T=tests'

-include $(shell find $(O) -name '*.d' 2>/dev/null)
