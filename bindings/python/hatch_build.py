"""Builds the shared library from the checkout around this package, and puts it into the wheel."""

from __future__ import annotations

import json
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
        checkout = Path(self.root).parent.parent
        if self.target_name != "wheel" or not (checkout / "Cargo.toml").is_file():
            raise RuntimeError(
                "the library is built from the checkout: run pip install or pip wheel on bindings/python"
            )
        library = build_library(checkout)
        build_data["force_include"][str(library)] = f"commbox/{library.name}"
        build_data["force_include"][str(checkout / "LICENSE")] = "commbox/LICENSE"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform()}"


def build_library(checkout: Path) -> Path:
    """Asks cargo where the library is, since its target directory can be set anywhere."""
    command = ["cargo", "build", "--release", "--locked", "--lib", "--message-format=json-render-diagnostics"]
    try:
        output = subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.PIPE).stdout
    except FileNotFoundError:
        raise RuntimeError("cargo is needed to build the library, and was not found on the PATH") from None
    artifacts = [json.loads(line) for line in output.splitlines()]
    files = [Path(file) for artifact in artifacts for file in artifact.get("filenames", ())]
    return next(file for file in files if file.suffix == SUFFIX and file.stem.endswith("commbox"))


def platform() -> str:
    # On macOS the interpreter's own platform may be of two architectures, and the library is of one.
    name: str = next(iter(platform_tags())) if sys.platform == "darwin" else sysconfig.get_platform()
    return name.replace("-", "_").replace(".", "_")
