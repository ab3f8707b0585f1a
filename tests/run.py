"""Runs every test of every language, and says what could not be run and why.

Started by `make test`, which has built the library and the sandbox. With CI set, what cannot be run is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOTNET = os.environ.get("DOTNET", "dotnet")

# What a suite's own closing line counts: cargo test, pytest, and the plain form.
COUNTS = [
    re.compile(r"^test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed", re.M),
    re.compile(r"^=+ .*?(?:(?P<failed>\d+) failed)?,? ?(?:(?P<passed>\d+) passed).* in [\d.]+s.*=+$", re.M),
    re.compile(r"^(?P<passed>\d+) passed, (?P<failed>\d+) failed(?:, \d+ skipped)?$", re.M),
    re.compile(r"Failed: +(?P<failed>\d+), Passed: +(?P<passed>\d+), Skipped:", re.M),
]


class Report:
    """What was run, and what not."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.missing: list[str] = []

    def suite(self, name: str, command: list[str], **environment: str) -> None:
        print(f"\n=== {name}: {' '.join(command)}", flush=True)
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        code = process.wait()
        passed, failed = count("".join(lines))
        self.passed += passed
        # A suite that broke before it could count, or that ran nothing, has failed all the same.
        self.failed += failed or int(code != 0 or passed == 0)

    def without(self, tool: str, what: str) -> bool:
        """Notes what is not run where `tool` is missing."""
        missing = shutil.which(tool) is None
        if missing:
            self.missing.append(f"{what}: {tool} is not installed")
        return missing


def count(output: str) -> tuple[int, int]:
    matches = [match for pattern in COUNTS for match in pattern.finditer(output)]
    return (
        sum(int(match["passed"] or 0) for match in matches),
        sum(int(match["failed"] or 0) for match in matches),
    )


def main() -> int:
    report = Report()
    for tool, what in [
        ("valgrind", "the memory and lock checks"),
        ("strace", "the count of system calls"),
        ("abidiff", "the comparison of interfaces"),
        ("unshare", "the empty trust store, and installations with the checkout out of reach"),
        ("pkg-config", "C programs with what was installed"),
        ("cmake", "C++ programs with what was installed"),
    ]:
        report.without(tool, what)

    cargo = os.environ.get("CARGO", "cargo")
    report.suite("Rust, C and C++", [cargo, "test", "--locked", "--no-fail-fast"])
    report.suite(
        "Python",
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "bindings/python/tests"],
        PYTHONPATH=str(ROOT / "bindings/python/src"),
        PYTHONDONTWRITEBYTECODE="1",
    )
    if not report.without(DOTNET, "the C# tests"):
        report.suite("C#", [DOTNET, "test", "bindings/csharp/CommBox.Tests"])

    print()
    for line in report.missing:
        print(f"not run: {line}")
    if report.missing and os.environ.get("CI"):
        report.failed += len(report.missing)
    print(f"{report.passed} passed, {report.failed} failed")
    return int(report.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
