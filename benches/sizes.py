"""The size of what must be shipped, in bytes."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

from contestants import BUILT, LIBRARY, PYTHON, Contestant, Group
from measure import Record

# The libraries of glibc are on every machine.
GLIBC = re.compile(r"^(ld-linux.*|linux-vdso|lib(c|m|dl|rt|pthread|resolv|util))\.so")

# Lists a package and all its dependencies that are installed for this interpreter.
CLOSURE = """
import importlib.metadata as metadata, json, re, sys
from pip._vendor.packaging.requirements import Requirement
names, sizes = [sys.argv[1]], {}
while names:
    name = re.sub(r"[-_.]+", "-", names.pop()).lower()
    if name not in sizes:
        package = metadata.distribution(name)
        files = [file.locate() for file in package.files if "__pycache__" not in file.parts]
        sizes[name] = sum(file.stat().st_size for file in files if file.exists())
        needs = map(Requirement, package.requires or [])
        for need in needs:
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                names.append(need.name)
print(json.dumps(sizes))
"""


def stripped(file: Path) -> int:
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run(["strip", "--strip-unneeded", "-o", copy.name, str(file)], check=True)
        return Path(copy.name).stat().st_size


def shared_libraries(program: Path) -> dict[str, int]:
    """Returns the libraries a program is linked with, directly or indirectly, except glibc's."""
    listed = subprocess.run(
        ["ldd", str(program)], check=True, capture_output=True, text=True
    ).stdout
    found = dict(re.findall(r"^\t(\S+) => (/\S+)", listed, re.M))
    return {name: stripped(Path(path)) for name, path in found.items() if not GLIBC.match(name)}


def python_package(name: str) -> dict[str, int]:
    command = [str(PYTHON), "-c", CLOSURE, name]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def size(group: Group, contestant: Contestant) -> int:
    program = Path(contestant.command[0])
    if group.name == "C":
        # All contestants read the reply with cJSON, so it does not count.
        return sum(
            size
            for name, size in shared_libraries(program).items()
            if not name.startswith("libcjson")
        )
    if group.name == "Rust":
        return stripped(program) - stripped(BUILT / "rust/release/idle")
    if contestant.package:
        return sum(python_package(contestant.package).values())
    if contestant is group.library:
        return (
            stripped(LIBRARY) + Path(contestant.command[1]).with_name("CommBox.dll").stat().st_size
        )
    return 0


def sizes(record: Record, groups: list[Group]) -> None:
    for group in groups:
        for contestant in group.contestants:
            record.add(group, contestant, "https", "size_bytes", size(group, contestant))
            if group.name == "C":
                # Without its own dependencies.
                libraries = shared_libraries(Path(contestant.command[0]))
                name = "lib" + contestant.name.removeprefix("lib")
                own = [size for file, size in libraries.items() if file.startswith(name)]
                record.add(group, contestant, "https", "library_bytes", sum(own))
