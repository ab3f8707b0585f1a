"""What PyInstaller is told of this package, by its entry point ``pyinstaller40``."""

from __future__ import annotations

import os


def get_hook_dirs() -> list[str]:
    """Returns the folder of the hook."""
    return [os.path.dirname(__file__)]  # noqa: PTH120
