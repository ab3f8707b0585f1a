"""Runs the tests of a platform other than this one, in an emulator if there is no other way.

tests/platforms.py windows|arm64|musl [PART…]     builds what the tests need, and runs them
tests/platforms.py windows|arm64|musl --prepare   only fetches what they need from the network

PART is one of `rust`, `programs`, `csharp`, `python`, `shipped`; `make test-windows` and so on run
all of them. The tests are the same as on this platform. Rust's own tests are built for the other
platform; programs in C and C++ are compiled for it and controlled by the same tests from here. What
is not run is listed with its reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import run as suites
from platform_table import BUILT, PLATFORMS, Platform

sys.path.insert(0, str(suites.ROOT / "packaging"))
import toolchain  # noqa: E402

ROOT = suites.ROOT
PROFILE = "cross"

# The time limit of a suite, because an emulator may hang.
LIMITED = ["timeout", "--kill-after=10", "1500"]

# The wrappers must find the library in their packages.
UNNAMED = ["env", "--unset=COMMBOX_LIBRARY"]

# Tests that are not run on other platforms, because their time limits apply to this machine.
ELSEWHERE = "batch_load and storm: they hold rates and throughput to the machine's own time"

# The tests of the command, except storm and terminal, which depend on this machine's time and
# signals.
COMMAND = ["command", "docs", "input", "sync"]

# Runs a program on its own terminal, and prints its output without the terminal's escape codes.
IN_CONSOLE = r"""#!/bin/bash
set -o pipefail
script --quiet --return --command "$(printf '%q ' '{runner}' "$@")" /dev/null </dev/null |
    sed -u -e 's/\r//g' -e 's/\x1b\[1C/ /g' -e 's/\x1b\[[0-9;?]*[A-Za-z]//g' -e 's/\x1b[()]B//g'
"""

VALGRIND = "valgrind runs programs of the machine's own platform alone"
SKIPPED_PROGRAMS = {
    "valgrind": VALGRIND,
    "touches_no_foreign_memory": VALGRIND,
    "leak_nothing": VALGRIND,
    "memory_is_sound": VALGRIND,
    "helgrind": VALGRIND,
    "in_rust": (
        "the conformance cases in Rust do not leave this machine; C and C++ play the same ones"
    ),
}


def build(platform: Platform, kind: str, *arguments: str) -> Path:
    """Builds a variant of the shared library, and keeps it in a folder of that name."""
    code = toolchain.run(
        platform.target, PROFILE, "rustc", "--lib", "--crate-type", "cdylib", *arguments
    )
    if code != 0:
        raise SystemExit(code)
    folder = platform.folder / kind
    folder.mkdir(parents=True, exist_ok=True)
    built = toolchain.folder(platform.target, PROFILE)
    for name in (platform.target.shared, "libcommbox.dll.a"):
        if (built / name).exists():
            shutil.copy(built / name, folder)
    return folder / platform.target.shared


def runner(platform: Platform) -> Path:
    script = platform.folder / f"run-{platform.name}"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("#!/bin/sh\n" + platform.runner.format(folder=platform.folder) + "\n")
    script.chmod(0o755)
    return script


def prefix_of_wine(platform: Platform) -> None:
    """Creates a Windows prefix only for the tests, with what Wine lacks."""
    prefix = platform.folder / "prefix"
    prefix.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "WINEPREFIX": str(prefix),
        "WINEDEBUG": "-all",
        # Do not download packages.
        "WINEDLLOVERRIDES": "mscoree=;mshtml=;winemenubuilder.exe=",
    }
    if not (prefix / "system.reg").is_file():
        subprocess.run(
            ["wineboot", "--init"], env=environment, stderr=subprocess.DEVNULL, check=False
        )
        subprocess.run(["wineserver", "--wait"], env=environment, check=False)
    lacking = prefix / "drive_c/windows/system32/bcryptprimitives.dll"
    source = ROOT / "tests/windows/bcryptprimitives.c"
    compiler = toolchain.c_compiler(platform.target)
    subprocess.run([compiler, "-shared", "-O2", "-o", lacking, source, "-ladvapi32"], check=True)


def end_wine(platform: Platform) -> None:
    """Ends Wine's server, because processes of one run would make the next one wait."""
    environment = {**os.environ, "WINEPREFIX": str(platform.folder / "prefix")}
    subprocess.run(
        ["wineserver", "--kill"], env=environment, stderr=subprocess.DEVNULL, check=False
    )


def skips(platform: Platform, more: dict[str, str]) -> list[str]:
    return [word for name in {**more, **platform.skipped} for word in ("--skip", name)]


def sandbox(platform: Platform) -> str:
    """Returns a sandbox that the platform's programs can start. Programs under qemu can start those
    of this machine.
    """
    if not platform.target.is_windows:
        return str(BUILT / "debug/examples/sandbox")
    if toolchain.run(platform.target, PROFILE, "build", "--example", "sandbox") != 0:
        raise SystemExit("the sandbox cannot be built")
    return str(toolchain.folder(platform.target, PROFILE) / "examples/sandbox.exe")


def rust(platform: Platform, report: suites.Report) -> None:
    """Runs the core's unit tests, and tests of the Rust API, on the platform."""
    target = platform.target
    tests = [word for name in platform.rust for word in ("--test", name)]
    command = toolchain.cargo(
        target, PROFILE, "test", "--no-fail-fast", "--lib", *tests, "--", *skips(platform, {})
    )
    variable = f"CARGO_TARGET_{target.triple.replace('-', '_').upper()}_RUNNER"
    environment = {
        **toolchain.environment(target),
        variable: str(runner(platform)),
        "COMMBOX_SANDBOX": sandbox(platform),
        "COMMBOX_TEST_PLATFORM": platform.name,
    }
    report.suite(f"Rust on {platform.name}", [*LIMITED, *command], **environment)


def command(platform: Platform, report: suites.Report) -> None:
    """Runs the command's tests with the command built for the platform."""
    target = platform.target
    if not target.is_windows:
        return
    # A console is needed to press Ctrl-C. Wine provides one if it runs on a terminal.
    console = platform.folder / "run-in-console"
    console.write_text(IN_CONSOLE.format(runner=runner(platform)))
    console.chmod(0o755)
    variable = f"CARGO_TARGET_{target.triple.replace('-', '_').upper()}_RUNNER"
    for runs, tests in ((runner(platform), COMMAND), (console, ["windows"])):
        named = [word for name in tests for word in ("--test", name)]
        words = toolchain.cargo(
            target,
            PROFILE,
            "test",
            "--no-fail-fast",
            "-p",
            "commbox-cli",
            *named,
            "--",
            "--color=never",
        )
        environment = {**toolchain.environment(target, program=True), variable: str(runs)}
        report.suite(f"The command on {platform.name}", [*LIMITED, *words], **environment)


def programs(platform: Platform, report: suites.Report) -> None:
    """Runs programs in C and C++ on the platform, controlled by the tests of this machine."""
    target = platform.target
    environment = {
        "COMMBOX_TEST_FAILPOINTS": str(build(platform, "failpoints", "--features", "failpoints")),
        "COMMBOX_TEST_LIBRARY": str(build(platform, "library")),
        "COMMBOX_TEST_PLATFORM": platform.name,
        "COMMBOX_TEST_RUNNER": str(runner(platform)),
        "COMMBOX_TEST_LINK": " ".join(platform.link),
        "COMMBOX_TEST_CC": toolchain.c_compiler(target),
        "COMMBOX_TEST_CXX": toolchain.c_compiler(target, "c++"),
    }
    if target.is_windows:
        streams = platform.folder / "streams.o"
        source = ROOT / "tests/windows/streams.c"
        subprocess.run([toolchain.c_compiler(target), "-c", "-o", streams, source], check=True)
        environment["COMMBOX_TEST_LINK"] += f" {streams}"
    cargo = os.environ.get("CARGO", "cargo")
    tests = [word for name in platform.programs for word in ("--test", name)]
    command = [
        cargo,
        "test",
        "--locked",
        "--no-fail-fast",
        *tests,
        "--",
        *skips(platform, SKIPPED_PROGRAMS),
    ]
    report.suite(f"C and C++ on {platform.name}", [*LIMITED, *command], **environment)


def csharp(platform: Platform, report: suites.Report) -> None:
    """Runs the C# tests on .NET for the platform, each class in its own process."""
    if not platform.csharp:
        return
    dotnet = suites.DOTNET
    if report.without(dotnet, f"the C# tests on {platform.name}"):
        return
    folder = platform.folder / "nunit"
    tests = ROOT / "bindings/csharp/CommBox.Tests"
    program = [
        "publish",
        "bindings/csharp/NUnitRunner",
        "-c",
        "Release",
        "-r",
        platform.rid,
        "--self-contained",
    ]
    # Each is built into its own folder, so that a build in the usual folders does not interfere.
    build_tests = ["build", str(tests), "-f", "net10.0", "-o", str(platform.folder / "tests")]
    for command in ([*program, "-o", str(folder)], build_tests):
        done = subprocess.run([dotnet, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stdout)
    for file in (platform.folder / "tests").glob("*.dll"):
        if not (folder / file.name).exists() or file.name.startswith("CommBox"):
            shutil.copy(file, folder)
    # The folder and the file name that the NuGet package uses.
    native = folder / "runtimes" / platform.rid / "native"
    native.mkdir(parents=True, exist_ok=True)
    shutil.copy(build(platform, "library"), native / platform.target.packaged)
    environment = {"COMMBOX_SANDBOX": sandbox(platform)}
    classes = sorted(file.stem for file in tests.glob("*Tests.cs"))
    for name in classes:
        left = [f"-{test}" for test in platform.csharp.get(name, {})]
        end_wine(platform)
        command = [
            *UNNAMED,
            *LIMITED[:-1],
            "300",
            str(runner(platform)),
            str(folder / "NUnitRunner.exe"),
        ]
        report.suite(
            f"C# on {platform.name}, {name}",
            [*command, str(folder / "CommBox.Tests.dll"), name, *left],
            **environment,
        )


def python(platform: Platform, report: suites.Report) -> None:
    """Installs the wheel in an interpreter of the platform, and runs the conformance cases and an
    example without access to the checkout.
    """
    if not platform.python:
        return
    folder = platform.folder / "python"
    script = ROOT / "bindings/python/tests/fetch_python.sh"
    subprocess.run(["sh", script, platform.python, folder, "", platform.architecture], check=True)
    (wheel,) = dist(platform).glob(f"*-{platform.target.wheel}.whl")
    site = platform.folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    # pytest is pure Python, and thus the same on every platform.
    (packages,) = (BUILT / "venv/lib").glob("python*/site-packages")
    shutil.copy(packages / "py.py", site)
    for name in ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments"):
        shutil.copytree(packages / name, site / name, dirs_exist_ok=True)
    for folder_of in (*packages.glob("pluggy-*"), *packages.glob("pytest-*")):
        shutil.copytree(folder_of, site / folder_of.name, dirs_exist_ok=True)
    interpreter = [
        "qemu-aarch64-static",
        "-L",
        str(folder),
        str(folder / f"usr/bin/python{platform.python}"),
    ]
    report.suite(
        f"Python on {platform.name}",
        [
            *UNNAMED,
            *LIMITED,
            *interpreter,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            *platform.python_tests,
        ],
        PYTHONPATH=str(site),
        COMMBOX_SANDBOX=sandbox(platform),
        PYTHONHOME=str(folder / "usr"),
        PYTHONDONTWRITEBYTECODE="1",
    )


def dist(platform: Platform) -> Path:
    """Builds the platform's part of a release, with a quick profile."""
    folder = platform.folder / "dist"
    script = [sys.executable, "packaging/dist.py", "--profile", PROFILE, "--targets", platform.rid]
    if not platform.csharp:
        script.append("--without-nuget")
    subprocess.run([*script, str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


def shipped(platform: Platform, report: suites.Report) -> None:
    """Unpacks each file of a release in an empty folder, and uses it there."""
    script = [
        sys.executable,
        "tests/shipped.py",
        platform.rid,
        str(dist(platform)),
        str(runner(platform)),
    ]
    report.suite(f"What is shipped for {platform.name}", script)


PARTS: dict[str, Callable[[Platform, suites.Report], None]] = {
    "rust": rust,
    "command": command,
    "programs": programs,
    "csharp": csharp,
    "python": python,
    "shipped": shipped,
}


def prepare(platform: Platform) -> None:
    toolchain.require_rust(platform.target)
    cargo = os.environ.get("CARGO", "cargo")
    suites.fetch(cargo, "fetch", "--quiet", "--locked")


def main() -> int:
    names = {platform.name: platform for platform in PLATFORMS}
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        print(__doc__, file=sys.stderr)
        return 2
    platform, parts = names[sys.argv[1]], sys.argv[2:]
    suites.end_when_told()
    prepare(platform)
    if parts == ["--prepare"]:
        return 0
    report = suites.Report()
    began = time.monotonic()
    if platform.target.is_windows:
        prefix_of_wine(platform)
    try:
        for part in parts or PARTS:
            PARTS[part](platform, report)
    finally:
        if platform.target.is_windows:
            end_wine(platform)
    print()
    for name, why in {**SKIPPED_PROGRAMS, **platform.skipped}.items():
        print(f"not on {platform.name}: tests named {name}: {why}")
    for tests in platform.csharp.values():
        for name, why in tests.items():
            print(f"not on {platform.name}: C# tests named {name}: {why}")
    for line in [ELSEWHERE, *platform.missing]:
        print(f"not on {platform.name}: {line}")
    print(f"{platform.name}: {time.monotonic() - began:.0f} s")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
