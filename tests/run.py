"""Runs all tests of all languages, and reports what could not be run and why.

tests/run.py                 runs all tests; `make test` calls it after building what they need
tests/run.py --platform=…    also those on windows, arm64 or musl (tests/platforms.py)
tests/run.py --spark=…       also those of commbox.spark, with this environment's Spark
                             (tests/spark.py)
tests/run.py COMMAND [ARG…]  runs one command in the environment of the tests

The tests must give the same results on every machine. They therefore see none of the variables that
influence the library, signals have their default action, even under `nohup` or a shell's `&`, and
the limit of open files is raised to 4096 if the system allows it. Everything that needs the network
is fetched before, with the variables that the caller has set.

If CI is set, a suite that cannot be run is a failure.
"""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOTNET = os.environ.get("DOTNET", "dotnet")

# Variables that the library or a wrapper reads.
PROXIES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]
STEERING = {
    *PROXIES,
    *map(str.upper, PROXIES),
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "COMMBOX_API_KEY",
    "COMMBOX_BASE_URL",
}

# The summary lines of the suites: cargo test, pytest, and dotnet test in English.
COUNTS = [
    re.compile(r"^test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed", re.M),
    re.compile(
        r"^=+ .*?(?:(?P<failed>\d+) failed)?,? ?(?:(?P<passed>\d+) passed).* in [\d.]+s.*=+$", re.M
    ),
    re.compile(r"Failed: +(?P<failed>\d+), Passed: +(?P<passed>\d+), Skipped:", re.M),
]


def reset() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The same limit everywhere, because a test that exhausts all files takes longer with more of
    # them.
    soft = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            pass  # The C library reserves this signal.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def start(command: list[str], environment: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    """Starts a command in the environment of the tests."""
    inherited = {name: value for name, value in os.environ.items() if name not in STEERING}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**inherited, **environment},
        text=True,
        errors="replace",
        # A new session does not receive the terminal's signals, so resetting ignored signals does
        # no harm.
        start_new_session=True,
        preexec_fn=reset,
        **options,
    )


def end(process: subprocess.Popen[str]) -> None:
    """Ends a command and all processes that it has started, if it still runs when this program
    ends.
    """
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def end_when_told() -> None:
    """Lets this program end what it has started if it is told to end."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


@dataclass
class Suite:
    """A command that runs tests and prints how many passed and failed."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


class Running:
    """A suite that runs beside others, so its output is kept until it has ended."""

    def __init__(self, suite: Suite) -> None:
        print(f"--- {suite.name} started", flush=True)
        self.suite = suite
        self.began = time.monotonic()
        self.output = tempfile.TemporaryFile("w+", errors="replace")
        self.process = start(
            suite.command, suite.environment, stdout=self.output, stderr=subprocess.STDOUT
        )

    def show(self) -> str:
        """Prints the output of a suite that has ended, and returns it."""
        self.output.seek(0)
        text = self.output.read()
        self.output.close()
        print(f"\n=== {self.suite.name}: {' '.join(self.suite.command)}\n{text}", end="")
        print(f"=== {self.suite.name}: {time.monotonic() - self.began:.0f} s", flush=True)
        return text

    def end(self) -> None:
        end(self.process)
        self.output.close()


class Report:
    """Records what was run and what was not."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.missing: list[str] = []

    def suite(self, name: str, command: list[str], **environment: str) -> None:
        """Runs a suite, and shows its output while it runs."""
        print(f"\n=== {name}: {' '.join(command)}", flush=True)
        began = time.monotonic()
        process = start(command, environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
            code = process.wait()
        finally:
            end(process)
        print(f"=== {name}: {time.monotonic() - began:.0f} s", flush=True)
        self.add("".join(lines), code)

    def side_by_side(self, *lanes: list[Suite]) -> None:
        """Runs the suites of each lane in their order, beside those of the other lanes, because a
        suite mostly waits. Prints the output of each when it has ended.
        """
        waiting = [list(lane) for lane in lanes]
        running: dict[int, Running] = {}
        try:
            while running or any(waiting):
                for number, lane in enumerate(waiting):
                    if number not in running and lane:
                        running[number] = Running(lane.pop(0))
                for number, suite in list(running.items()):
                    if suite.process.poll() is not None:
                        self.add(suite.show(), suite.process.returncode)
                        del running[number]
                time.sleep(0.1)
        finally:
            for suite in running.values():
                suite.end()

    def add(self, output: str, code: int) -> None:
        """Adds the result of a suite."""
        passed, failed = count(output)
        self.passed += passed
        # A suite that failed before it could count, or that ran no test, counts as one failure.
        self.failed += failed or int(code != 0 or passed == 0)
        # What a script that runs suites could not run.
        self.missing += re.findall(r"^not run: (.*)$", output, re.M)

    def close(self) -> int:
        """Prints what was not run, and the count. Returns the exit code."""
        for line in self.missing:
            print(f"not run: {line}")
        if self.missing and os.environ.get("CI"):
            self.failed += len(self.missing)
        print(f"{self.passed} passed, {self.failed} failed")
        return int(self.failed > 0)

    def without(self, tool: str, what: str) -> bool:
        """Records what is not run if `tool` is missing."""
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


def fetch(*command: str) -> None:
    """Makes a tool fetch what it needs. If that fails, the suite that needs it reports so."""
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)


def main() -> int:
    end_when_told()
    command = sys.argv[1:]
    if command and not command[0].startswith("--"):
        process = start(command, {})
        try:
            return process.wait()
        finally:
            end(process)
    return run_all(values(command, "--platform="), values(command, "--spark="))


def python() -> Suite:
    """Returns all Python tests, with this version."""
    return Suite(
        "Python",
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "bindings/python/tests"],
        {"PYTHONPATH": str(ROOT / "bindings/python/src"), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def other_pythons() -> list[Suite]:
    """Returns the Python tests with every other version that is found, except those that test all
    versions themselves or need tools that not every version has.
    """
    found = subprocess.run(
        [sys.executable, "bindings/python/tests/interpreters.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    left_out = ("environments", "exit", "install", "signals", "types")
    tests = ["-m", "pytest", "-p", "no:cacheprovider", "bindings/python/tests"]
    tests += [f"--ignore=bindings/python/tests/test_{name}.py" for name in left_out]
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "bindings/python/src"), str(target / "pytest")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    others = [line.split(" ", 1) for line in found.stdout.splitlines()]
    return [
        Suite(f"Python {version}", [program, *tests], environment)
        for version, program in others
        if version != own
    ]


def csharp(report: Report) -> list[Suite]:
    if report.without(DOTNET, "the C# tests"):
        return []
    asked = subprocess.run([DOTNET, "--version"], cwd=ROOT, capture_output=True, text=True)
    version = asked.stdout.strip()
    if int(version.split(".")[0] or 0) < 10:
        needs = f"they need the .NET SDK 10, and {DOTNET} is {version or 'broken'}"
        report.missing.append(f"the C# tests: {needs}")
        return []
    return [Suite("C#", [sys.executable, "tests/csharp.py"], {"DOTNET": DOTNET})]


def values(words: list[str], option: str) -> list[str]:
    return [word.removeprefix(option) for word in words if word.startswith(option)]


def run_all(platforms: list[str], spark: list[str]) -> int:
    report = Report()
    for tool, what in [
        ("valgrind", "the memory and lock checks"),
        ("strace", "the count of system calls"),
        ("abidiff", "the comparison of interfaces"),
        ("unshare", "the empty trust store, and installations with the checkout out of reach"),
        ("nginx", "the pacing under a real rate limiter"),
        ("pkg-config", "C programs with what was installed"),
        ("cmake", "C++ programs with what was installed"),
    ]:
        report.without(tool, what)
    for package in ("pandas", "sqlalchemy"):
        if importlib.util.find_spec(package) is None:
            report.missing.append(f"the loop over tables in Python: {package} is not installed")

    cargo = os.environ.get("CARGO", "cargo")
    for manifest in ("Cargo.toml", "tests/loom/Cargo.toml"):
        fetch(cargo, "fetch", "--quiet", "--locked", "--manifest-path", manifest)
    others = {name: [sys.executable, "tests/platforms.py", name] for name in platforms}
    for script in others.values():
        fetch(*script, "--prepare")

    test = [cargo, "test", "--locked", "--no-fail-fast"]
    # dotnet cannot build a project twice at a time: the tests of Rust, C# and Windows, which build
    # the same ones, run one after the other.
    report.side_by_side(
        [Suite("Rust, C and C++", test), Suite("The command", [*test, "-p", "commbox-cli"])],
        [
            python(),
            *other_pythons(),
            *(
                [Suite("commbox.spark", [sys.executable, "tests/spark.py", *spark])]
                if spark
                else []
            ),
        ],
    )
    elsewhere = {
        name: Suite(f"On {name}", script, {"DOTNET": DOTNET}) for name, script in others.items()
    }
    on_windows = [elsewhere.pop("windows")] if "windows" in elsewhere else []
    report.side_by_side([*csharp(report), *on_windows], list(elsewhere.values()))

    print()
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
