"""Writes the size of each platform's library into BENCHMARKS.md, from the files that `make dist`
has packed: sizes.py FOLDER
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

from targets import TARGETS, Target

PAGE = Path(__file__).resolve().parent.parent / "BENCHMARKS.md"
BEGIN, END = "<!-- sizes: make sizes -->\n", "<!-- end of sizes -->\n"


def library(target: Target, folder: Path) -> tuple[int, int]:
    """Returns the size of the shared library, and that of the wheel with it, in bytes."""
    (wheel,) = folder.glob(f"*-{target.wheel}.whl")
    with zipfile.ZipFile(wheel) as packed:
        shared = packed.getinfo(f"commbox/{target.shared}").file_size
    return shared, wheel.stat().st_size


def archive(target: Target, folder: Path) -> int:
    """Returns the size of the static library, in bytes."""
    (packed,) = [*folder.glob(f"*-{target.rid}.tar.gz"), *folder.glob(f"*-{target.rid}.zip")]
    if packed.suffix == ".zip":
        with zipfile.ZipFile(packed) as zipped:
            return next(
                entry.file_size
                for entry in zipped.infolist()
                if entry.filename.endswith("/libcommbox.a")
            )
    with tarfile.open(packed) as tar:
        return next(entry.size for entry in tar if entry.name.endswith("/libcommbox.a"))


def main() -> int:
    folder = Path(sys.argv[1])
    rows = [
        "| platform | shared library | static library | wheel |",
        "| --- | ---: | ---: | ---: |",
    ]
    for target in TARGETS:
        shared, wheel = library(target, folder)
        sizes = [f"{size / 1e6:.2f} MB" for size in (shared, archive(target, folder), wheel)]
        rows.append(f"| {target.rid} | {' | '.join(sizes)} |")
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(rows) + "\n\n" + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
