"""Tests signals during a call, with every Python on this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import Sandbox
from interpreters import SOURCES, VERSIONS, interpreters

PROGRAM = Path(__file__).with_name("signals_program.py")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("two", ["KeyboardInterrupt", "SystemExit"]), ("trace", ["KeyboardInterrupt"])],
)
def test_signals_end_a_call_on_every_python(
    sandbox: Sandbox, mode: str, expected: list[str]
) -> None:
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
        # Well before the answer, even on a busy machine; on an idle one it takes less than 0.1 s.
        assert all(float(line[0]) < 1 for line in lines[:4]), (version, done.stdout)
        assert lines[4:] == [["200"], ["200"]], (version, done.stdout)
