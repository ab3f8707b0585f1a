"""The platforms that tests/platforms.py tests, and which tests run on each."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "packaging"))
from targets import Target, find  # noqa: E402
from toolchain import BUILT  # noqa: E402

# Rust's tests that need nothing from the machine but sockets and threads.
RUST = [
    "accounting", "batch", "delivery", "lanes", "lenient", "mutual_tls", "properties", "socks",
    "tls", "tls_idle", "waiting",
]  # fmt: skip

# Tests of programs in C and C++.
PROGRAMS = ["batch_cpp", "boundary", "cases", "concurrency", "matrix", "panics", "text_cpp"]
LINUX_PROGRAMS = [*PROGRAMS, "exit", "fork", "lookups", "stacks", "trust_store", "unload"]


@dataclass
class Platform:
    """A platform, and how it is tested."""

    name: str
    rid: str
    # Packages to install with apt.
    packages: list[str]
    # The last line of the shell script that runs a program of the platform.
    runner: str
    rust: list[str]
    programs: list[str]
    # Tests that are not run, by a part of their names, and the reason.
    skipped: dict[str, str] = field(default_factory=dict)
    # Linker arguments for programs in C and C++.
    link: list[str] = field(default_factory=list)
    # Whole parts that are not available.
    missing: list[str] = field(default_factory=list)
    # Tests in C# that are not run, by their class and a part of their names, and the reason.
    csharp: dict[str, dict[str, str]] = field(default_factory=dict)
    # Debian's version of Python, and its name of the platform's processor.
    python: str = ""
    architecture: str = ""
    python_tests: list[str] = field(default_factory=list)

    @property
    def target(self) -> Target:
        return find(self.rid)

    @property
    def folder(self) -> Path:
        return BUILT / "platforms" / self.name


PLATFORMS = [
    Platform(
        "windows",
        "win-x64",
        ["gcc-mingw-w64-x86-64", "g++-mingw-w64-x86-64-posix", "wine", "wine64"],
        'export WINEPREFIX="{folder}/prefix" WINEDEBUG=-all HOME="{folder}"\n'
        'unset LD_LIBRARY_PATH\nexec wine "$@"',
        RUST,
        PROGRAMS,
        {
            "a_stale_connection_closes_only_itself": (
                "shutdown() wakes no thread that reads from the socket there"
            ),
            "a_cut_within_a_body_without_a_length_is_transient": (
                "on a busy machine Wine may report a reset as an end"
            ),
            "a_cancel_ends_a_handshake": (
                "Wine takes up to two seconds to read its certificate store the first time"
            ),
        },
        ["-static"],
        [
            "Python: no registry has an interpreter for Windows that can be unpacked here",
        ],
        csharp={
            "LibraryTests": {
                "LibraryOfAnotherReleaseIsReported": (
                    "a compiler of this machine does not start under Wine"
                ),
                "AllMissingFilesAreReported": (
                    "Wine hangs where a library is not found by a bare name"
                ),
            },
            "AsyncTests": {
                "WaitingCallsHoldNoPoolThread": (
                    "it holds the machine to a time that Wine does not keep"
                ),
            },
        },
    ),
    Platform(
        "arm64",
        "linux-arm64",
        ["qemu-user-static", "libc6-arm64-cross", "libgcc-s1-arm64-cross"],
        'QEMU_LD_PREFIX=/usr/aarch64-linux-gnu exec qemu-aarch64-static "$@"',
        RUST,
        LINUX_PROGRAMS,
        {
            "a_forked_child_looks_up_by_itself": "qemu may hang where one of several threads forks",
            "a_batch_makes_one_lookup_at_a_time": "it counts threads, and qemu adds its own",
        },
        [],
        ["C#: no .NET for ARM64 can be had"],
        python="3.13",
        architecture="arm64",
        python_tests=["bindings/python/tests/test_cases.py"],
    ),
    Platform(
        "musl",
        "linux-musl-x64",
        ["musl"],
        'exec "$@"',
        RUST,
        [name for name in LINUX_PROGRAMS if name != "stacks"],
        {},
        [],
        [
            "stacks: musl has no getcontext(), by which that program changes stacks",
            "C#: no .NET for musl can be had",
            "Python: no registry has an interpreter for musl that can be unpacked here",
        ],
    ),
]
