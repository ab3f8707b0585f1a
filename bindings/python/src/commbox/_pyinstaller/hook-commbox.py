"""Puts the shared library into a frozen program, beside the package, and the modules that are
imported late.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PyInstaller.config import CONF

from commbox import _library


def _loaded() -> Path:
    """Returns the file of the library that is in use here: COMMBOX_LIBRARY, the package's own, or
    the system's.
    """
    file = Path(_library.lib._name)
    if file.is_absolute() or not sys.platform.startswith("linux"):
        return file
    mapped = [
        Path(line.split(maxsplit=5)[-1])
        for line in Path("/proc/self/maps").read_text().splitlines()
    ]
    return next(found for found in mapped if found.name.startswith(file.name))


def _named(file: Path) -> Path:
    """The file, under the name that the package looks for."""
    if file.name == _library.FILE_NAME:
        return file
    return Path(shutil.copy(file, Path(CONF["workpath"], _library.FILE_NAME)))


binaries = [(str(_named(_loaded())), "commbox")]
hiddenimports = [
    f"commbox.{name}"
    for name in ("_async", "_batch", "_json", "_late", "_progress", "_reply", "_stats", "_types")
]
