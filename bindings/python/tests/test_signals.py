"""Signals during a call, with every Python that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT, Sandbox

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
PROGRAM = Path(__file__).with_name("signals_program.py")
SOURCES = Path(__file__).parents[1] / "src"


def runs(program: str, version: str) -> bool:
    """Whether it is this version, and has ctypes."""
    check = f"import ctypes, sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    try:
        return subprocess.run([program, "-c", check], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


def interpreters() -> dict[str, str]:
    """The program of each version that is found: this one, on the PATH, among pyenv's, or fetched by `make pythons`."""
    found = {}
    fetched = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target")) / "pythons"
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        places = [sys.executable, shutil.which(f"python{version}")]
        places += [str(place) for place in sorted(root.glob(f"{version}.*/bin/python{version}"))]
        places.append(str(fetched / version / "usr/bin" / f"python{version}"))
        program = next((place for place in places if place and runs(place, version)), None)
        if program is not None:
            found[version] = program
    return found


@pytest.mark.parametrize(
    ("mode", "expected"), [("two", ["KeyboardInterrupt", "SystemExit"]), ("trace", ["KeyboardInterrupt"])]
)
def test_signals_end_a_call_on_every_python(sandbox: Sandbox, mode: str, expected: list[str]) -> None:
    found = interpreters()
    missing = [version for version in VERSIONS if version not in found]
    if missing:
        print("not run, since no such Python is found:", ", ".join(missing))
    assert found
    for version, program in found.items():
        sandbox.reset()
        sandbox.script(*[{"delay_ms": 2000, "own": True}] * 6)
        done = subprocess.run(
            [program, "-B", str(PROGRAM), sandbox.api_key, sandbox.url, mode],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, ""), (version, done.stdout, done.stderr)
        lines = [line.split() for line in done.stdout.splitlines()]
        assert [line[1:] for line in lines[:4]] == [expected] * 4, (version, done.stdout)
        # Well before the answer, on a busy machine too; alone it takes less than 0.1 s.
        assert all(float(line[0]) < 1 for line in lines[:4]), (version, done.stdout)
        assert lines[4:] == [["200"], ["200"]], (version, done.stdout)
