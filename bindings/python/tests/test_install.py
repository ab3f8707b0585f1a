"""``pip install ./bindings/python`` from a checkout, into an environment that has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from conftest import CHECKOUT, Sandbox


def run(*command: object, cwd: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMMBOX_", "PYTHONPATH"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**kept, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def git_status() -> str:
    return run(
        "git", "status", "--porcelain", "--untracked-files=all", "--", "bindings/python", "include", cwd=CHECKOUT
    )


def test_pip_install_from_a_checkout(tmp_path: Path, sandbox: Sandbox) -> None:
    before = git_status()
    run(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    # Without a network: the build backend is the one that these tests are run with.
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check")
    package = CHECKOUT / "bindings/python"
    run(python, "-m", "pip", "install", *options, package, cwd=tmp_path, PYTHONPATH=sysconfig.get_path("purelib"))
    assert git_status() == before

    program = "import commbox; print(commbox._library.lib._name); print(commbox.__version__)"
    path, version = run(python, "-c", program, cwd=tmp_path).split()
    installed = Path(path)
    assert installed.is_relative_to(tmp_path / "venv")
    assert {"py.typed", "LICENSE"} <= {file.name for file in installed.parent.iterdir()}
    (info,) = installed.parent.parent.glob("commbox-*.dist-info")
    assert info.name == f"commbox-{version}.dist-info"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert f"\nTag: py3-none-{platform}\n" in (info / "WHEEL").read_text()

    example = CHECKOUT / "examples/update_user.py"
    environment = {"COMMBOX_BASE_URL": sandbox.url, "COMMBOX_API_KEY": sandbox.api_key}
    assert run(python, example, cwd=tmp_path, **environment).startswith("user 94382332: ")
    assert sandbox.user(94382332)["data"]["FirstName"] == "John"


def test_the_example_tells_what_went_wrong(sandbox: Sandbox) -> None:
    environment = {**os.environ, "COMMBOX_BASE_URL": sandbox.url, "COMMBOX_API_KEY": "another-key"}
    program = CHECKOUT / "examples/update_user.py"
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "401" in done.stderr
    assert "another-key" not in done.stderr
    assert "Traceback" not in done.stderr
