# make          builds the shared and the static library
# make demo     updates a customer of the offline sandbox from C, C++, Python and C#
# make test     runs every test of every language
# make fuzz     tries the core with inputs that nobody thought of, FUZZ_SECONDS for each of four targets
# make bench    measures the batch at its full size
# make lint     holds the sources to their formatters and linters
# make clean    removes what was built

CARGO   ?= cargo
PYTHON  ?= python3
CC      ?= cc
CXX     ?= c++
DOTNET  ?= dotnet

TARGET  := $(CURDIR)/target
LIBRARY := $(TARGET)/release/libcommbox.so
SANDBOX := $(TARGET)/debug/examples/sandbox
VENV    := $(TARGET)/venv
DEMO    := $(TARGET)/demo
TOOLS   := $(TARGET)/tools

FUZZ_SECONDS       ?= 600
CARGO_FUZZ_VERSION := 0.13.2

CFLAGS   ?= -O2
CXXFLAGS ?= -O2
STRICT   := -Wall -Wextra -pedantic -Werror
LINK     := -L$(TARGET)/release -lcommbox -Wl,-rpath,$(TARGET)/release

export CARGO_TARGET_DIR := $(TARGET)
export COMMBOX_LIBRARY := $(LIBRARY)

.PHONY: build demo test fuzz bench lint clean sandbox

build:
	$(CARGO) build --release --locked
	ln -sf libcommbox.so $(LIBRARY).1

sandbox:
	$(CARGO) build --locked --example sandbox

$(VENV)/ready: bindings/python/requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

demo: build sandbox
	mkdir -p $(DEMO)
	$(CC) -std=c11 $(CFLAGS) $(STRICT) -Iinclude examples/update_user.c $(LINK) -o $(DEMO)/update_user_c
	$(CXX) -std=c++17 $(CXXFLAGS) $(STRICT) -Iinclude examples/update_user.cpp $(LINK) -o $(DEMO)/update_user_cpp
	@if command -v $(DOTNET) >/dev/null; then \
	    $(DOTNET) build examples/csharp/UpdateUser && \
	    set -- "C#=$(DOTNET) run --project examples/csharp/UpdateUser"; \
	else \
	    echo "C# is left out: no $(DOTNET) is found."; set --; \
	fi && \
	PYTHONPATH=bindings/python/src PYTHONDONTWRITEBYTECODE=1 $(PYTHON) examples/demo.py $(SANDBOX) \
	    "C=$(DEMO)/update_user_c" "C++=$(DEMO)/update_user_cpp" "Python=$(PYTHON) examples/update_user.py" "$$@"

test: build sandbox $(VENV)/ready
	$(VENV)/bin/python tests/run.py

# A tool of its own version, in a place of its own; the target directory is emptied of what it was built from.
$(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION):
	$(CARGO) install --root $(TOOLS) --target-dir $(TOOLS)/build --locked cargo-fuzz@$(CARGO_FUZZ_VERSION)
	rm -rf $(TOOLS)/build
	touch $@

fuzz: $(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION)
	PATH=$(TOOLS)/bin:$$PATH $(PYTHON) fuzz/run.py --seconds $(FUZZ_SECONDS)

# The batch at its full size: how near to the ideal, and how flat in memory.
bench: build
	COMMBOX_BATCH_UPDATES=20000 $(CARGO) test --locked --release --test batch_load -- --nocapture --test-threads 1

lint: build $(VENV)/ready
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --check --manifest-path tests/loom/Cargo.toml
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(VENV)/bin/ruff format --check bindings/python examples tests fuzz
	$(VENV)/bin/ruff check bindings/python examples tests fuzz
	cd bindings/python && $(VENV)/bin/mypy

clean:
	$(CARGO) clean
