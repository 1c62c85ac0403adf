# libmgm: the commands that a user or a contributor types. `make help` lists them.

# A Rust that is new enough need not be the first one on PATH, nor on PATH at all.
export PATH := $(or $(shell tools/rust.sh path),$(PATH))

CARGO   ?= cargo
CC      ?= cc
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR  ?= $(DATADIR)/man
SBINDIR ?= $(PREFIX)/sbin
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
INSTALL ?= install

# Where cargo puts what it builds, and where the finished pieces are laid out as they will be used.
TARGET  := $(or $(CARGO_TARGET_DIR),target)
BUILD   := build
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# The SONAME is libmgm.so.1; the file's name carries the crate's version after it.
SO      := libmgm.so.1.$(VERSION)

CFLAGS  ?= -O2 -g
HOST_CFLAGS = -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -pthread $(CPPFLAGS) $(CFLAGS)
# Where programs look for the library before they look where the system does; packages want none.
RPATH   ?= '-Wl,-rpath,$$ORIGIN/../lib'
MGM     = $(LDFLAGS) -Iinclude -L$(BUILD)/lib -lmgm $(RPATH) -ldl

PROGRAMS := $(addprefix $(BUILD)/bin/,startup startup_protocol.so router sender receiver igmp_send port_mrt port_mgm service)

.PHONY: all help bench bench-peers bench-protocols build lib programs protocols protocol-names daemon install-lib demo test test-all nightly soak fuzz check header install uninstall clean \
    manual rust-tests dist deb test-packages test-cross abi deps-demo deps-test deps-test-all
all: build

help:
	@echo "make demo     shows what it does: a protocol's start-up, a router between real hosts as one process and as three, a proxy beside PIM"
	@echo "make test     runs the tests that need no special tools, some of them shortened: a few minutes"
	@echo "make test-all runs all tests in full, with sanitizers, fuzzing and valgrind, as root and as an ordinary user"
	@echo "make build    builds the library into $(BUILD)/lib and the programs into $(BUILD)/bin"
	@echo "make nightly  100,000 random programs against the model, in Rust, in C and across processes (MGM_MODEL_PROGRAMS, MGM_MODEL_SEED), floods of a minute"
	@echo "make soak     everything at random on the kernel, ten minutes as each user (MGM_SOAK_SECONDS, MGM_SOAK_SEED)"
	@echo "make fuzz     every fuzz target for half an hour (FUZZ_SECONDS)"
	@echo "make check    formatting, lints, headers, exports, documentation, scripts"
	@echo "make header   writes include/mgm.h and include/mgm_host.h anew from src/ffi"
	@echo "make manual   writes the headers and the pages of functions anew (docs/man/Mgm*.3)"
	@echo "make bench    measures, against bare system calls and maps (root); make bench-peers: other routers"
	@echo "make bench-protocols measures mgm-proxy, mgm-igmp and mgm-pim beside igmpproxy, pimd and FRR (root)"
	@echo "make install  DESTDIR=, PREFIX=$(PREFIX); make uninstall takes it away again"
	@echo "make dist     the sources with all that cargo would fetch: build/libmgm-$(VERSION).tar.xz, which builds without the network"
	@echo "make deb      Debian packages of them, into build/deb; make test-packages tries them in a minimal Debian (root)"
	@echo "make test-cross the library on other machines: i686, and s390x, aarch64 and armhf under qemu-user"
	@echo "make clean    removes what was built"
	@echo "What is missing (Rust as well) is installed as root on Debian and Ubuntu; else the line that installs it is shown."

build: lib programs protocols daemon

# cargo knows best what is out of date, so it is always asked.
lib:
	$(CARGO) build --release
	@mkdir -p $(BUILD)/lib $(BUILD)/bin
	@cmp -s $(TARGET)/release/libmgm.so $(BUILD)/lib/$(SO) || cp -f $(TARGET)/release/libmgm.so $(BUILD)/lib/$(SO)
	@cmp -s $(TARGET)/release/libmgm.a $(BUILD)/lib/libmgm.a || cp -f $(TARGET)/release/libmgm.a $(BUILD)/lib/libmgm.a
	@ln -sfn $(SO) $(BUILD)/lib/libmgm.so.1
	@ln -sfn libmgm.so.1 $(BUILD)/lib/libmgm.so

programs: $(PROGRAMS)

# mgmd, a host for clients in other processes, and mgmctl, which shows what a host does.
daemon:
	$(CARGO) build --profile daemon -p mgm-daemon
	@mkdir -p $(BUILD)/bin $(BUILD)/completion
	@for program in mgmd mgmctl; do \
	    cmp -s $(TARGET)/daemon/$$program $(BUILD)/bin/$$program || cp -f $(TARGET)/daemon/$$program $(BUILD)/bin/$$program; \
	done
	@for shell in bash zsh fish; do $(BUILD)/bin/mgmctl completion $$shell > $(BUILD)/completion/mgmctl.$$shell; done

HEADERS := $(wildcard include/*.h c-tests/*.h)

# The protocols on mgm.h: protocols/NAME/*.c and what protocols/common/ has for all of them become mgm-NAME.
PROTOCOLS := igmp proxy static pim
protocol-names:
	@echo $(PROTOCOLS)
PROTOCOL_HEADERS := $(wildcard include/*.h protocols/*/*.h)
PROTOCOL_CFLAGS = $(HOST_CFLAGS) -DMGM_PROTOCOLS_VERSION='"$(VERSION)"'
# These units have a clock of their own in place of common/loop.c.
CLOCKED_UNITS := $(addprefix $(BUILD)/bin/protocol_unit_,igmp_times proxy proxy_client)
PIM_UNITS := $(addprefix $(BUILD)/bin/protocol_unit_,pim pim_dense pim_rows pim_joins)
PIM_MACHINES := $(addprefix protocols/pim/,assert.c dense.c entry.c hello.c message.c packet.c refresh.c sparse.c)
PROTOCOL_UNITS := $(filter-out $(CLOCKED_UNITS) $(PIM_UNITS),$(patsubst protocols/tests/%.c,$(BUILD)/bin/protocol_%,$(wildcard protocols/tests/unit_*.c)))
IGMP_WITHOUT_MAIN := $(filter-out %/main.c,$(wildcard protocols/igmp/*.c))
protocols: $(PROTOCOLS:%=$(BUILD)/bin/mgm-%) $(PROTOCOL_UNITS) $(CLOCKED_UNITS) $(PIM_UNITS) $(BUILD)/bin/capture
$(BUILD)/bin/capture: protocols/tests/capture.c | lib
	$(CC) $(HOST_CFLAGS) $< -o $@
$(BUILD)/bin/mgm-igmp: $(wildcard protocols/igmp/*.c)
$(BUILD)/bin/mgm-static: $(wildcard protocols/static/*.c)
$(BUILD)/bin/mgm-proxy: $(wildcard protocols/proxy/*.c) $(IGMP_WITHOUT_MAIN)
$(BUILD)/bin/protocol_unit_igmp: $(IGMP_WITHOUT_MAIN)
$(BUILD)/bin/mgm-pim: $(wildcard protocols/pim/*.c) $(IGMP_WITHOUT_MAIN)
$(BUILD)/bin/protocol_unit_pim_packet: protocols/pim/packet.c
$(BUILD)/bin/protocol_unit_igmp_times: $(IGMP_WITHOUT_MAIN)
$(BUILD)/bin/protocol_unit_igmp_times: WRAP = -Wl,--wrap=raw_send
$(BUILD)/bin/protocol_unit_proxy_client: $(filter-out %/main.c,$(wildcard protocols/proxy/*.c)) $(IGMP_WITHOUT_MAIN)
$(BUILD)/bin/protocol_unit_proxy_client: WRAP = -Wl,--wrap=raw_send,--wrap=raw_socket,--wrap=packet_socket,--wrap=packet_hear_only,--wrap=packet_read,--wrap=iface_listen
$(BUILD)/bin/protocol_unit_proxy: protocols/proxy/host.c protocols/proxy/wants.c protocols/igmp/packet.c
$(CLOCKED_UNITS): $(BUILD)/bin/protocol_%: protocols/tests/%.c $(wildcard protocols/tests/*.h) $(filter-out %/loop.c,$(wildcard protocols/common/*.c)) $(PROTOCOL_HEADERS) | lib
	$(CC) $(PROTOCOL_CFLAGS) $(WRAP) $(filter %.c,$^) -o $@ $(MGM)
$(PIM_UNITS): $(BUILD)/bin/protocol_%: protocols/tests/%.c $(wildcard protocols/tests/*.h) $(PIM_MACHINES) protocols/common/net.c protocols/common/log.c $(PROTOCOL_HEADERS) | lib
	$(CC) $(PROTOCOL_CFLAGS) $(filter %.c,$^) -o $@
$(foreach unit,$(PROTOCOL_UNITS),$(eval $(unit): protocols/tests/$(patsubst protocol_%,%,$(notdir $(unit))).c))
$(PROTOCOLS:%=$(BUILD)/bin/mgm-%) $(PROTOCOL_UNITS): $(wildcard protocols/common/*.c) $(PROTOCOL_HEADERS) | lib
	$(CC) $(PROTOCOL_CFLAGS) $(filter %.c,$^) -o $@ $(MGM)
$(BUILD)/bin/startup: c-tests/startup.c $(HEADERS) | lib
	$(CC) $(HOST_CFLAGS) $< -o $@ $(MGM)
$(BUILD)/bin/startup_protocol.so: c-tests/startup_protocol.c $(HEADERS) | lib
	$(CC) $(HOST_CFLAGS) -fPIC -shared $< -o $@ $(MGM)
$(BUILD)/bin/router: $(wildcard c-tests/router*.c) $(HEADERS) | lib
	$(CC) $(HOST_CFLAGS) $(filter %.c,$^) -o $@ $(MGM)
$(BUILD)/bin/port_mgm: c-tests/port_mgm.c $(HEADERS) | lib
	$(CC) $(HOST_CFLAGS) $< -o $@ $(MGM)
$(BUILD)/bin/%: c-tests/%.c | lib
	$(CC) $(HOST_CFLAGS) $< -o $@

deps-demo deps-test deps-test-all: deps-%:
	@CARGO='$(CARGO)' tools/install-deps.sh $*

demo: deps-demo
	@$(MAKE) --no-print-directory build
	@c-tests/demo.sh

# The tests in Rust, and mgmd with them. They are built beside the library, whose last step has one thread.
rust-tests:
	$(CARGO) test --workspace --no-run
# test-all has the daemon built beside the tests in Rust, which wait for most of their time.
TESTED = @$(MAKE) --no-print-directory -j 2 lib rust-tests && $(MAKE) --no-print-directory -j 2 programs protocols

test: deps-test
	$(TESTED) daemon
	@CARGO='$(CARGO)' tools/test.sh

test-all: deps-test-all
	$(TESTED)
	@CARGO='$(CARGO)' tools/test.sh all

nightly: deps-test
	MGM_MODEL_PROGRAMS=$${MGM_MODEL_PROGRAMS:-100000} $(CARGO) test --release --test model random_programs -- --nocapture
	MGM_FLOOD_SECONDS=60 $(CARGO) test --test kernel_router a_flood -- --nocapture --test-threads=1

soak: deps-test
	MGM_SOAK_SECONDS=$${MGM_SOAK_SECONDS:-600} $(CARGO) test --test kernel_router soak -- --nocapture

fuzz: deps-test
	@CARGO='$(CARGO)' fuzz/run.sh fuzz

check:
	@CARGO='$(CARGO)' tools/check.sh

bench:
	@CARGO='$(CARGO)' CC='$(CC)' benches/run.sh

bench-peers:
	@CARGO='$(CARGO)' CC='$(CC)' benches/run.sh peers

# ROUNDS=5: how often each is measured.
bench-protocols: build $(BUILD)/bin/bench_host
	@{ python3 benches/report.py machine && benches/protocols/run.sh $${ROUNDS:-5}; } > $(BUILD)/protocols.tsv
	@mv $(BUILD)/protocols.tsv benches/results-protocols.tsv
	@python3 benches/report.py
$(BUILD)/bin/bench_host: $(wildcard benches/protocols/*.[ch])
	@mkdir -p $(BUILD)/bin
	$(CC) $(HOST_CFLAGS) $(filter %.c,$^) -o $@

header:
	UPDATE_HEADERS=1 $(CARGO) test --test header headers_match

# Of the headers, so of the comments in src/ffi, and of c-tests/examples.
manual: header
	UPDATE_MANUAL=1 $(CARGO) test --test manual pages_match

# The compatibility headers go where only -I asks for them: a real windows.h must win over ours.
# `make && sudo make install`: root need not have cargo.
install: install-lib $(if $(wildcard $(BUILD)/bin/mgmctl),,daemon) $(if $(wildcard $(PROTOCOLS:%=$(BUILD)/bin/mgm-%)),,protocols)
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(MANDIR)/man8
	$(INSTALL) -m 755 $(BUILD)/bin/mgmd $(BUILD)/bin/mgmctl $(DESTDIR)$(SBINDIR)
	$(INSTALL) -d $(DESTDIR)$(DATADIR)/bash-completion/completions $(DESTDIR)$(DATADIR)/zsh/site-functions \
	    $(DESTDIR)$(DATADIR)/fish/vendor_completions.d
	$(INSTALL) -m 644 $(BUILD)/completion/mgmctl.bash $(DESTDIR)$(DATADIR)/bash-completion/completions/mgmctl
	$(INSTALL) -m 644 $(BUILD)/completion/mgmctl.zsh $(DESTDIR)$(DATADIR)/zsh/site-functions/_mgmctl
	$(INSTALL) -m 644 $(BUILD)/completion/mgmctl.fish $(DESTDIR)$(DATADIR)/fish/vendor_completions.d/mgmctl.fish
	$(INSTALL) -d $(DESTDIR)$(DATADIR)/mgm
	$(INSTALL) -m 644 daemon/grafana/mgm.json $(DESTDIR)$(DATADIR)/mgm/grafana.json
	sed -e 's|@SBINDIR@|$(SBINDIR)|' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|' daemon/units/mgmd.service.in \
	    > $(DESTDIR)$(UNITDIR)/mgmd.service
	for name in $(PROTOCOLS); do \
	    $(INSTALL) -m 755 $(BUILD)/bin/mgm-$$name $(DESTDIR)$(SBINDIR)/mgm-$$name && \
	    sed -e "s|@NAME@|mgm-$$name|" -e "s|@SHORT@|$$name|" -e 's|@SBINDIR@|$(SBINDIR)|' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|' \
	        protocols/units/mgm-protocol@.service.in > "$(DESTDIR)$(UNITDIR)/mgm-$$name@.service" || exit 1; \
	done
	$(INSTALL) -d $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(SYSCONFDIR)
	$(INSTALL) -m 644 daemon/units/mgm.sysusers $(DESTDIR)$(SYSUSERSDIR)/mgm.conf
	@# What an administrator has written stays.
	[ -e $(DESTDIR)$(SYSCONFDIR)/mgmd.toml ] || $(INSTALL) -m 644 daemon/units/mgmd.toml $(DESTDIR)$(SYSCONFDIR)/mgmd.toml
	$(INSTALL) -m 644 docs/man/*.8 $(DESTDIR)$(MANDIR)/man8

# The library alone.
install-lib: $(if $(wildcard $(BUILD)/lib/$(SO)),,lib)
	$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/cmake/libmgm $(DESTDIR)$(INCLUDEDIR)/libmgm/compat
	$(INSTALL) -m 755 $(BUILD)/lib/$(SO) $(DESTDIR)$(LIBDIR)/$(SO)
	$(INSTALL) -m 644 $(BUILD)/lib/libmgm.a $(DESTDIR)$(LIBDIR)/libmgm.a
	ln -sfn $(SO) $(DESTDIR)$(LIBDIR)/libmgm.so.1
	ln -sfn libmgm.so.1 $(DESTDIR)$(LIBDIR)/libmgm.so
	$(INSTALL) -m 644 include/mgm.h include/mgm_host.h $(DESTDIR)$(INCLUDEDIR)
	$(INSTALL) -m 644 include/compat/*.h $(DESTDIR)$(INCLUDEDIR)/libmgm/compat
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	    -e 's|@VERSION@|$(VERSION)|' tools/libmgm.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/libmgm.pc
	for file in libmgm-config libmgm-config-version; do \
	    sed -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@SO@|$(SO)|' -e 's|@VERSION@|$(VERSION)|' \
	        tools/$$file.cmake.in > $(DESTDIR)$(LIBDIR)/cmake/libmgm/$$file.cmake || exit 1; \
	done
	$(INSTALL) -d $(DESTDIR)$(MANDIR)/man3 $(DESTDIR)$(MANDIR)/man7
	$(INSTALL) -m 644 docs/man/*.3 $(DESTDIR)$(MANDIR)/man3
	$(INSTALL) -m 644 docs/man/*.7 $(DESTDIR)$(MANDIR)/man7

# What `make install` with the same variables would put there goes; an administrator's mgmd.toml stays.
uninstall:
	@tools/uninstall.sh '$(DESTDIR)' PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' INCLUDEDIR='$(INCLUDEDIR)' DATADIR='$(DATADIR)' \
	    MANDIR='$(MANDIR)' SBINDIR='$(SBINDIR)' SYSCONFDIR='$(SYSCONFDIR)' UNITDIR='$(UNITDIR)' SYSUSERSDIR='$(SYSUSERSDIR)'

dist:
	@CARGO='$(CARGO)' tools/dist.sh

deb:
	@CARGO='$(CARGO)' tools/deb.sh

# As root, with debootstrap and the network: a quarter of an hour.
test-packages:
	@CARGO='$(CARGO)' tools/test-packages.sh

# Other machines: 32-bit x86, s390x, aarch64, armhf, as far as there are compilers for them.
test-cross:
	@CARGO='$(CARGO)' tools/test-cross.sh

# The C interface against that of the last release.
abi:
	@tools/abi.sh

clean:
	$(CARGO) clean
	rm -rf $(BUILD)
