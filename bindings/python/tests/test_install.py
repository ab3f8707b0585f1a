"""Tests the wheel and the source distribution of a checkout, each in an environment with nothing
else.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import CHECKOUT, Sandbox


def run(*command: object, cwd: Path, **environment: str) -> str:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COMMBOX_", "PYTHONPATH"))
    }
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def git_status() -> str:
    return run(
        "git",
        "status",
        "--porcelain",
        "--untracked-files=all",
        "--",
        "bindings/python",
        "include",
        cwd=CHECKOUT,
    )


# No network: the build backend is that of the environment that runs these tests.
OFFLINE = ("--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check")
BACKEND = {"PYTHONPATH": sysconfig.get_path("purelib")}


def install(source: Path, folder: Path, **environment: str) -> Path:
    """Returns the interpreter of a new environment that has the package and nothing else."""
    run(sys.executable, "-m", "venv", "venv", cwd=folder)
    python = folder / "venv/bin/python"
    run(python, "-m", "pip", "install", *OFFLINE, source, cwd=folder, **BACKEND, **environment)
    return python


def check(python: Path, folder: Path, sandbox: Sandbox) -> Path:
    """Runs the example, and returns the package's folder."""
    path, version = run(
        python,
        "-c",
        "import commbox; print(commbox._library.lib._name); print(commbox.__version__)",
        cwd=folder,
    ).split()
    package = Path(path).parent
    assert package.is_relative_to(folder / "venv")
    assert {"py.typed", "LICENSE", "THIRD-PARTY.txt"} <= {file.name for file in package.iterdir()}
    # Python's packages write the pre-release 1.0.0-rc.1 as 1.0.0rc1.
    assert (package.parent / f"commbox-{version.replace('-rc.', 'rc')}.dist-info").is_dir()

    sandbox.reset()
    example = folder / "update_user.py"
    example.write_bytes((CHECKOUT / "examples/update_user.py").read_bytes())
    environment = {"COMMBOX_BASE_URL": sandbox.url, "COMMBOX_API_KEY": sandbox.api_key}
    assert run(python, example, cwd=folder, **environment) == "user 94382332 is updated\n"
    assert sandbox.user(94382332)["data"]["FirstName"] == "John"
    return package


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    before, folder = git_status(), tmp_path_factory.mktemp("wheel")
    package = CHECKOUT / "bindings/python"
    run(
        sys.executable, "-m", "pip", "wheel", *OFFLINE, "-w", folder, package, cwd=folder, **BACKEND
    )
    assert git_status() == before
    (built,) = folder.glob("*.whl")
    return built


def test_a_wheel_of_a_checkout(tmp_path: Path, sandbox: Sandbox, wheel: Path) -> None:
    # The name of the wheel states the oldest supported Linux; another tool confirms it.
    tag = wheel.stem.split("-", 2)[2]
    assert re.fullmatch(rf"py3-none-manylinux_2_\d+_{platform.machine()}", tag)
    verdict = run(sys.executable, "-m", "auditwheel", "show", wheel, cwd=tmp_path)
    assert f'the following platform tag: "{tag.rsplit("-")[-1]}"' in " ".join(verdict.split())

    installed = check(install(wheel, tmp_path), tmp_path, sandbox)
    notices = (installed / "THIRD-PARTY.txt").read_text()
    assert all(name in notices for name in ("ring ", "rustls ", "The Rust standard library"))


FROZEN = """
import asyncio, sys
from commbox import AsyncClient, Client, UserUpdate

async def main():
    async with AsyncClient(*sys.argv[1:2], base_url=sys.argv[2]) as client:
        print((await client.update_user(2, {"FirstName": "Jane"})).id)

with Client(sys.argv[1], base_url=sys.argv[2]) as client:
    print(client.update_user(1, first_name="John").id)
    asyncio.run(main())
    rows = [UserUpdate(3, {}), (4, "{}")]
    print(sum(result.ok for result in client.update_users(rows, progress=False)))
"""


@pytest.mark.parametrize("kind", ["--onefile", "--onedir"])
def test_a_frozen_program(tmp_path: Path, sandbox: Sandbox, wheel: Path, kind: str) -> None:
    python = install(wheel, tmp_path)
    (tmp_path / "program.py").write_text(FROZEN)
    quiet = ("--log-level", "ERROR", "--noconfirm")
    run(
        python,
        "-m",
        "PyInstaller",
        kind,
        *quiet,
        "program.py",
        cwd=tmp_path,
        HOME=str(tmp_path),
        **BACKEND,
    )
    (tmp_path / "venv").rename(tmp_path / "gone")
    program = tmp_path / ("dist/program" if kind == "--onefile" else "dist/program/program")
    command = [str(program), sandbox.api_key, sandbox.url]
    done = subprocess.run(
        command, cwd="/", env={"HOME": "/"}, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["1", "2", "2"]


def test_a_frozen_program_without_the_library_reports_a_remedy(tmp_path: Path) -> None:
    script = "import sys; sys.frozen = True; import commbox"
    sources = tmp_path / "commbox"
    shutil.copytree(
        CHECKOUT / "bindings/python/src/commbox", sources, ignore=shutil.ignore_patterns("*.so")
    )
    environment = {"PYTHONPATH": str(tmp_path), "LD_LIBRARY_PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "put libcommbox.so into its folder commbox" in done.stderr
    assert "COMMBOX_LIBRARY" not in done.stderr.replace("(COMMBOX_LIBRARY)", "")


def test_a_source_distribution_can_be_built(tmp_path: Path, sandbox: Sandbox) -> None:
    before = git_status()
    command = (sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path)
    run(*command, cwd=CHECKOUT / "bindings/python")
    assert git_status() == before
    (source,) = tmp_path.glob("*.tar.gz")
    # Faster to build than what users get, and in a folder that other tests do not use.
    quick = {
        "CARGO_TARGET_DIR": str(
            Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target")) / "sdist"
        ),
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
    }
    check(install(source, tmp_path, **quick), tmp_path, sandbox)


def test_the_example_reports_errors(sandbox: Sandbox) -> None:
    environment = {**os.environ, "COMMBOX_BASE_URL": sandbox.url, "COMMBOX_API_KEY": "another-key"}
    program = CHECKOUT / "examples/update_user.py"
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "401" in done.stderr
    assert "another-key" not in done.stderr
    assert "Traceback" not in done.stderr
