"""Puts the shared library into the wheel, and the crate that it is built from into the source
distribution.

COMMBOX_READY_LIBRARY names a library that is built already, as `make dist` does for each platform,
and COMMBOX_READY_PLATFORM names the platform of the wheel. Without them, cargo builds the library
for this platform. The command `commbox` becomes a script of the wheel if COMMBOX_READY_COMMAND
names it, or if COMMBOX_BUILD_COMMAND=1 asks to build it, which takes minutes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


class BuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        files = build_data["force_include"]
        crate = find_crate(Path(self.root))
        if self.target_name == "sdist":
            files.update({str(crate / name): f"crate/{name}" for name in crate_files(crate)})
            return
        ready = os.environ.get("COMMBOX_READY_LIBRARY")
        library = Path(ready) if ready else build_library(crate)
        files[str(library)] = f"commbox/{library.name}"
        notices = ["LICENSE", "packaging/THIRD-PARTY.txt"]
        if command := find_command(crate):
            build_data["shared_scripts"][str(command)] = command.name
            notices.append("packaging/THIRD-PARTY-command.txt")
        for name in notices:
            files[str(crate / name)] = f"commbox/{Path(name).name}"
        build_data["pure_python"] = False
        build_data["tag"] = (
            f"py3-none-{os.environ.get('COMMBOX_READY_PLATFORM') or platform(library)}"
        )


def find_crate(root: Path) -> Path:
    """In a source distribution it lies inside the package, in a checkout around it."""
    for crate in (root / "crate", root.parent.parent):
        if (crate / "Cargo.toml").is_file():
            return crate
    raise RuntimeError(
        "the library's sources are missing: run pip install or pip wheel on bindings/python of a "
        "checkout, or on a source distribution"
    )


def cargo(crate: Path, *arguments: str) -> str:
    # The time of reproducible archives, which would have cargo build anew what knows of it.
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    command = ["cargo", *arguments]
    try:
        done = subprocess.run(
            command, cwd=crate, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    except FileNotFoundError:
        raise RuntimeError(
            "cargo is needed to build the library, and was not found on the PATH"
        ) from None
    return done.stdout


def crate_files(crate: Path) -> list[str]:
    """Returns the files that the crate itself is made of. Cargo also lists two files that it would
    create.
    """
    names = []
    # The command is a member of the crate's workspace: without it cargo would not go on.
    for package, folder in (("commbox", ""), ("commbox-cli", "cli/")):
        listed = cargo(
            crate, "package", "--list", "--locked", "--allow-dirty", "-p", package
        ).splitlines()
        made = ("Cargo.toml.orig", ".cargo_vcs_info.json", *(["Cargo.lock"] if folder else []))
        names += [folder + name for name in listed if name not in made]
    return [name for name in names if (crate / name).is_file()]


def build_library(crate: Path) -> Path:
    """Asks cargo where the library is, since its target directory can be set anywhere."""
    # As the Makefile builds it.
    kinds = ("--lib", "--crate-type", "cdylib,staticlib")
    output = cargo(
        crate, "rustc", "--release", "--locked", *kinds, "--message-format=json-render-diagnostics"
    )
    artifacts = [json.loads(line) for line in output.splitlines()]
    files = [Path(file) for artifact in artifacts for file in artifact.get("filenames", ())]
    return next(file for file in files if file.suffix == SUFFIX and file.stem.endswith("commbox"))


def find_command(crate: Path) -> Path | None:
    """The command, if it is built already or is to be."""
    if ready := os.environ.get("COMMBOX_READY_COMMAND"):
        return Path(ready)
    if os.environ.get("COMMBOX_BUILD_COMMAND") != "1":
        return None
    what = (
        "--profile",
        "command",
        "--locked",
        "-p",
        "commbox-cli",
        "--message-format=json-render-diagnostics",
    )
    artifacts = [json.loads(line) for line in cargo(crate, "build", *what).splitlines()]
    return Path(
        next(artifact["executable"] for artifact in artifacts if artifact.get("executable"))
    )


def platform(library: Path) -> str:
    # On macOS the interpreter's own platform may have two architectures, and the library has one.
    name: str = (
        next(iter(platform_tags())) if sys.platform == "darwin" else sysconfig.get_platform()
    )
    name = name.replace("-", "_").replace(".", "_")
    # The newest symbol of the C library that is asked for tells how old a Linux may be.
    glibc = [int(minor) for minor in re.findall(rb"\0GLIBC_2\.(\d+)", library.read_bytes())]
    return name.replace("linux", f"manylinux_2_{max(17, *glibc)}", 1) if glibc else name
