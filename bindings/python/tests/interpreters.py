"""Finds the versions of Python on this machine. As a program, prints them with their paths."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
CHECKOUT = Path(__file__).resolve().parents[3]
SOURCES = CHECKOUT / "bindings/python/src"


def runs(program: str, version: str) -> bool:
    """Returns whether the program is this version of Python and has ctypes."""
    check = f"import ctypes, sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    try:
        return (
            subprocess.run([program, "-c", check], capture_output=True, timeout=60).returncode == 0
        )
    except OSError:
        return False


def interpreters() -> dict[str, str]:
    """Returns the program of each version: this one, or one on the PATH, of pyenv, or fetched by
    `make pythons`.
    """
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


if __name__ == "__main__":
    for version, program in interpreters().items():
        print(version, program)
