"""Installs a wheel of a release into an empty environment, and makes it update a customer of the
sandbox:

try_wheel.py FOLDER ENVIRONMENT SANDBOX
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / "examples/update_user.py"


def main() -> int:
    folder, environment, sandbox = (Path(word).resolve() for word in sys.argv[1:])
    windows = sys.platform == "win32"
    python = environment / ("Scripts/python.exe" if windows else "bin/python")
    if windows:
        sandbox = sandbox.with_suffix(".exe")
    # pip selects the wheel for this machine.
    install = [
        python,
        "-m",
        "pip",
        "install",
        "--no-index",
        "--only-binary=:all:",
        "--find-links",
        folder,
        "commbox",
    ]
    subprocess.run(install, check=True)
    with subprocess.Popen([sandbox], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            variables = {
                name: value for name, value in os.environ.items() if not name.startswith("COMMBOX_")
            }
            variables |= {
                "COMMBOX_BASE_URL": process.stdout.readline().strip(),
                "COMMBOX_API_KEY": "sandbox-key",
            }
            # Run in another folder, so that the package of the checkout is not imported instead.
            with tempfile.TemporaryDirectory() as place:
                subprocess.run([python, "-I", EXAMPLE], cwd=place, env=variables, check=True)
        finally:
            process.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
