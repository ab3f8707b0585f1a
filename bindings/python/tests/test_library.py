"""Tests how the shared library is found, and the message if it is not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT

from commbox import _library

SOURCE = Path(_library.__file__).parent
SYSTEM_NAME = "libcommbox.so.1"


class Place:
    """A copy of the package without a library, and a system whose library is invalid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "site/commbox"
        shutil.copytree(
            SOURCE, self.package, ignore=shutil.ignore_patterns("__pycache__", _library.FILE_NAME)
        )
        self.beside = self.package / _library.FILE_NAME
        self.system = folder / "system" / SYSTEM_NAME
        self.system.parent.mkdir()
        # The loader stops at the first file with this name, so it does not find an installed
        # library.
        self.system.write_text("This is no library.")

    def load(self, chosen: Path | None) -> subprocess.CompletedProcess[str]:
        """Imports the package in another process and prints which library it took."""
        environment = {
            name: value for name, value in os.environ.items() if name != "COMMBOX_LIBRARY"
        }
        environment.update(
            PYTHONPATH=str(self.package.parent), LD_LIBRARY_PATH=str(self.system.parent)
        )
        if chosen is not None:
            environment["COMMBOX_LIBRARY"] = str(chosen)
        program = "import commbox._library as l; print(l.lib._name)"
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    def refusal(self, library: Path) -> str:
        """Returns the error message for a library, either chosen or beside the package."""
        outcome = self.load(None if library == self.beside else library)
        assert outcome.returncode == 1
        (line,) = [
            line for line in outcome.stderr.splitlines() if line.startswith(f"  {library} (")
        ]
        return line

    def compile(self, code: str) -> Path:
        source = self.folder / "other.c"
        library = self.folder / "libother.so"
        source.write_text(code)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        return library


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def library() -> Path:
    return Path(_library.lib._name)


def test_the_search_order_is_environment_package_system(place: Place, library: Path) -> None:
    shutil.copy(library, place.system)
    assert place.load(None).stdout.strip() == SYSTEM_NAME
    shutil.copy(library, place.beside)
    assert place.load(None).stdout.strip() == str(place.beside)
    chosen = place.folder / "chosen.so"
    shutil.copy(library, chosen)
    assert place.load(chosen).stdout.strip() == str(chosen)
    assert place.load(chosen).stderr == ""


def test_a_chosen_library_that_fails_to_load_is_reported(place: Place, library: Path) -> None:
    shutil.copy(library, place.beside)
    outcome = place.load(place.folder / "missing.so")
    assert outcome.stdout.strip() == str(place.beside)
    assert "RuntimeWarning" in outcome.stderr
    assert str(place.folder / "missing.so") in outcome.stderr


def test_a_failed_load_reports_every_path_reason_and_remedy(place: Place) -> None:
    missing = place.folder / "missing.so"
    place.beside.write_text("This is no library either.")
    outcome = place.load(missing)
    assert outcome.returncode == 1
    message = outcome.stderr
    assert "ImportError" in message
    assert re.search(re.escape(f"{missing} (COMMBOX_LIBRARY): ") + ".*No such file", message)
    assert re.search(
        re.escape(f"{place.beside} (beside the package): ") + ".*(invalid ELF header|too short)",
        message,
    )
    assert re.search(
        re.escape(f"{SYSTEM_NAME} (on the system): ") + ".*(invalid ELF header|too short)", message
    )
    assert "pip install ./bindings/python" in message
    assert "cargo build --release" in message


def test_from_a_zip_file(place: Place, library: Path) -> None:
    """The package may be in a zip file, such as a wheel that Spark's addPyFile distributes. No
    system loads a library from there.
    """
    shutil.copy(library, place.beside)
    wheel = shutil.make_archive(str(place.folder / "commbox-1.0.0"), "zip", place.package.parent)
    shutil.rmtree(place.package)
    environment = {name: value for name, value in os.environ.items() if name != "COMMBOX_LIBRARY"}
    temporary = place.folder / "temporary"
    temporary.mkdir()
    environment.update(
        PYTHONPATH=wheel, LD_LIBRARY_PATH=str(place.system.parent), TMPDIR=str(temporary)
    )
    program = "import commbox, os; print(commbox.__file__, *os.listdir(os.environ['TMPDIR']))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=place.folder, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    package, copy = done.stdout.split()
    assert package.startswith(wheel)
    assert copy.endswith(_library.FILE_NAME)
    # The copy only exists until the process ends.
    assert list(temporary.iterdir()) == []


def test_a_zip_file_without_the_library_is_reported(place: Place) -> None:
    wheel = shutil.make_archive(str(place.folder / "commbox-1.0.0"), "zip", place.package.parent)
    shutil.rmtree(place.package)
    environment = {name: value for name, value in os.environ.items() if name != "COMMBOX_LIBRARY"}
    environment.update(PYTHONPATH=wheel, LD_LIBRARY_PATH=str(place.system.parent))
    command = [sys.executable, "-c", "import commbox"]
    done = subprocess.run(
        command, cwd=place.folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"{wheel}/commbox/{_library.FILE_NAME} (beside the package)" in done.stderr
    assert "pip install ./bindings/python" in done.stderr


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "unsigned commbox_abi_version(void) { return 0; }",
            "its ABI version is 0, and this package needs 1",
        ),
        (
            "unsigned commbox_abi_version(void) { return 2; }",
            "its ABI version is 2, and this package needs 1",
        ),
        (
            "unsigned commbox_abi_version(void) { return 1; }",
            "it has no commbox_version, so it is another library or",
        ),
        ("int nothing;", "it has no commbox_abi_version, so it is another library or"),
    ],
)
def test_another_library_is_refused(place: Place, code: str, why: str) -> None:
    other = place.compile(code)
    line = place.refusal(other)
    assert why in line
    assert line.endswith("; install matching versions")


def test_a_library_for_another_processor_is_refused(place: Place, library: Path) -> None:
    head = bytearray(library.read_bytes())
    ours, theirs = ("x86-64", "ARM64") if head[18] == 62 else ("ARM64", "x86-64")
    head[18] = 183 if head[18] == 62 else 62
    place.beside.write_bytes(head)
    assert f"it is for {theirs}, and this Python for {ours}; install matching" in place.refusal(
        place.beside
    )


def test_every_function_of_the_header_is_declared() -> None:
    header = (CHECKOUT / "include/commbox.h").read_text(encoding="utf-8")
    code = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    code = re.sub(r"\w+ \(\*(\w+)\)\([^)]*\)", r"\1", code)  # a function among the parameters
    prototypes = re.findall(r"(\w[\w ]*\*?)\b(commbox_\w+)\(([^)]*)\);", code)
    declared = {name: len(arguments) for name, (_, arguments) in _library.FUNCTIONS.items()}
    assert declared == {
        name: 0 if text == "void" else text.count(",") + 1 for _, name, text in prototypes
    }
    version = re.search(r"#define COMMBOX_ABI_VERSION (\d+)", header)
    assert version
    assert int(version.group(1)) == _library.ABI_VERSION
