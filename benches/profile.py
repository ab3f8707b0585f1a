"""Shows where a warm call's instructions and allocations go: `make profile`, which writes
benches/PROFILE.md.

It builds the library with its symbols, runs the same program under callgrind and DHAT with few and
with many calls, and shows the cost of one more call by function and by crate.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import prepare
from server import Server

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target"
CARGO, CC = os.environ.get("CARGO", "cargo"), os.environ.get("CC", "cc")
FEW, MANY = 100, 600

HEAD = """# Where a warm call goes

One update of the user in the vendor's example, over an open connection to nginx, whose answer has
five headers. The figures are the difference between 600 calls and 100 calls, divided by 500.
Instructions are counted by callgrind, allocations by DHAT. The library has its symbols; its code is
that of the library that is shipped. `make profile` writes this file.
"""

CALL = "commbox_update_user_json"
CORE = "commbox::client::Client::update"

# A function that is not inlined, and what it does. The cost includes its callees, except those with
# a row of their own.
ROWS = {
    "ureq: the request and the head of the reply": "ureq::run::run",
    "ureq: the body of the reply": "<ureq::body::BodyReader as std::io::Read>::read",
    "JSON: the members of the user": "commbox::json::scan::members",
    "JSON: the status in the reply": "commbox::reply::interpret::{{closure}}",
}


def main() -> None:
    library = build()
    with tempfile.TemporaryDirectory() as folder:
        program = compile_program(library, Path(folder))
        with Server(prepare.find_nginx(), Path(folder)) as server:
            graphs = [callgrind(program, calls, server.urls["http"]) for calls in (FEW, MANY)]
            blocks = [dhat(program, calls, server.urls["http"]) for calls in (FEW, MANY)]
    (ROOT / "benches/PROFILE.md").write_text(HEAD + instructions(*graphs) + allocations(*blocks))


def build() -> Path:
    """Builds the library as it is shipped, but with its symbols."""
    folder = TARGET / "profile"
    command = [CARGO, "rustc", "--release", "--locked", "--lib", "--crate-type", "cdylib"]
    environment = {
        **os.environ,
        "CARGO_PROFILE_RELEASE_STRIP": "none",
        "CARGO_PROFILE_RELEASE_DEBUG": "1",
    }
    subprocess.run([*command, "--target-dir", folder], cwd=ROOT, env=environment, check=True)
    library = folder / "release/libcommbox.so"
    soname = library.with_name("libcommbox.so.1")
    soname.unlink(missing_ok=True)
    soname.symlink_to(library.name)
    return library


def compile_program(library: Path, folder: Path) -> Path:
    program = folder / "warm_calls"
    where = [f"-L{library.parent}", "-lcommbox", f"-Wl,-rpath,{library.parent}"]
    source = ROOT / "tests/c/warm_calls.c"
    subprocess.run(
        [CC, "-std=c11", "-O2", "-pthread", f"-I{ROOT}/include", source, *where, "-o", program],
        check=True,
    )
    return program


def valgrind(program: Path, calls: int, url: str, *arguments: str) -> None:
    command = ["valgrind", *arguments, program, "update", str(calls), url]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(done.stdout)


class Graph:
    """The cost of functions themselves, and of their calls of others, summed over all calls."""

    def __init__(self, text: str) -> None:
        self.own: Counter[str] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        names: dict[str, str] = {}
        caller = callee = ""
        of_call = False
        for line in text.splitlines():
            if found := re.match(r"(c?)fn=(\(\d+\))(?: (.*))?$", line):
                number = found[2]
                if found[3]:
                    # callgrind gives a recursive call its own name, with a number appended.
                    names[number] = found[3].split("'")[0]
                if found[1]:
                    callee = names[number]
                else:
                    caller = names[number]
            elif line.startswith("calls="):
                of_call = True
            elif found := re.match(r"[+*-]?\d* (\d+)$", line):
                if of_call:
                    self.calls[caller, callee] += int(found[1])
                else:
                    self.own[caller] += int(found[1])
                of_call = False

    def whole(self, function: str) -> int:
        """Returns the cost of its calls from other functions, including its callees."""
        return sum(
            cost
            for (caller, callee), cost in self.calls.items()
            if callee == function and caller != function
        )

    def from_ureq_to_us(self) -> int:
        """Returns the cost of ureq's calls of the transport."""
        called = (
            (caller, callee)
            for caller, callee in self.calls
            if "commbox::" in callee and "commbox::" not in caller
        )
        return sum(self.calls[caller, callee] for caller, callee in called if "ureq::" in caller)


def callgrind(program: Path, calls: int, url: str) -> Graph:
    output = program.with_suffix(f".{calls}.callgrind")
    valgrind(program, calls, url, "--tool=callgrind", f"--callgrind-out-file={output}")
    return Graph(output.read_text())


def instructions(few: Graph, many: Graph) -> str:
    def each(count: int, fewer: int) -> int:
        return round((count - fewer) / (MANY - FEW))

    def whole(function: str) -> int:
        return each(many.whole(function), few.whole(function))

    total = each(sum(many.own.values()), sum(few.own.values()))
    transport = each(many.from_ureq_to_us(), few.from_ureq_to_us())
    rows = {name: whole(function) for name, function in ROWS.items()}
    if gone := [ROWS[name] for name, cost in rows.items() if not cost]:
        sys.exit(f"inlined, or called differently: {', '.join(gone)}; ROWS needs others")
    rows["ureq: the request and the head of the reply"] -= transport
    rows["the transport: look, send, receive"] = transport
    rows["the C interface"] = whole(CALL) - whole(CORE)
    rows["the caller, who frees the reply"] = total - whole(CALL)
    rows["the line, the clock, limits, creating and dropping ureq's values"] = total - sum(
        rows.values()
    )
    lines = [f"| {cost:,} | {cost / total:.0%} | {name} |\n" for name, cost in by_size(rows)]
    return f"\n{total:,} instructions:\n\n| | | |\n| ---: | ---: | --- |\n" + "".join(lines)


def by_size(rows: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(rows.items(), key=lambda row: -row[1])


def dhat(program: Path, calls: int, url: str) -> Counter[str]:
    """Returns the number of allocated blocks by crate: the innermost frame of the library or of a
    part of ureq counts.
    """
    output = program.with_suffix(f".{calls}.dhat")
    valgrind(program, calls, url, "--tool=dhat", f"--dhat-out-file={output}", "--fullpath-after=")
    found = json.loads(output.read_text())
    crates = [crate_of(frame) for frame in found["ftbl"]]
    blocks: Counter[str] = Counter()
    for point in found["pps"]:
        named = [crates[frame] for frame in point["fs"] if crates[frame]]
        blocks[named[0] if named else "others"] += point["tbk"]
    return blocks


def crate_of(frame: str) -> str:
    """Returns the crate by the source file, because an inlined function has no other name."""
    file = frame.rpartition("(")[2]
    if re.search(r"/ureq(-proto)?-\d", file):
        return "ureq"
    return "the library itself" if file.startswith(str(ROOT / "src")) else ""


def allocations(few: Counter[str], many: Counter[str]) -> str:
    each = {crate: round((count - few[crate]) / (MANY - FEW)) for crate, count in many.items()}
    lines = [f"| {count} | {crate} |\n" for crate, count in by_size(each) if count]
    return f"\n{sum(each.values())} allocations:\n\n| | |\n| ---: | --- |\n" + "".join(lines)


if __name__ == "__main__":
    main()
