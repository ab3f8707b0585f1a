"""Measures `commbox sync` against its sandbox: `make bench-sync`.

sync.py COMMAND [ROWS]

It measures 100,000 rows of 12 columns, 64 in flight, with the journal; the check alone; a run that
resumes after 99,000 rows; and examples/nightly.py, the same job as a program in Python.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STEERING = ("COMMBOX_API_KEY", "COMMBOX_BASE_URL", "COMMBOX_CONFIG")
COLUMNS = (
    "UserId,UniqueId,FirstName,LastName,Email,Phone1,Phone2,Remarks,Content.City,Content.Plan,Content.VIP_Status,"
    "Content.Language"
)


def row(number: int) -> str:
    return (
        f"{1_000_000 + number},U{number:08d},First{number % 977},Last{number % 1999},"
        f"user{number}@example.com,05{number % 10**8:08d},,"
        f'"Called on {number % 28 + 1}.03, wants a call back",City {number % 300},'
        f"Plan{number % 5},{number % 9},he\n"
    )


def measured(command: list[str | Path], expected: int = 0, **options: Any) -> tuple[float, float]:
    """Returns the seconds, and the peak resident memory in megabytes."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    if os.waitstatus_to_exitcode(status) != expected:
        raise SystemExit(f"{command} failed")
    process.returncode = 0
    return seconds, usage.ru_maxrss / 1024


def main() -> int:
    command = Path(sys.argv[1]).resolve()
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    environment = {name: value for name, value in os.environ.items() if name not in STEERING}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "rows.csv"
        file.write_text(COLUMNS + "\n" + "".join(map(row, range(rows))))
        sandbox = subprocess.Popen(
            [command, "sandbox", "--no-record"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert sandbox.stdout is not None
            environment |= {
                "COMMBOX_BASE_URL": sandbox.stdout.readline().strip(),
                "COMMBOX_API_KEY": "sandbox-key",
            }
            measure(command, file, rows, environment)
        finally:
            sandbox.terminate()
            sandbox.wait()
    return 0


def measure(command: Path, file: Path, rows: int, environment: dict[str, str]) -> None:
    options = {"cwd": file.parent, "env": environment}
    sync = [command, "sync", file.name, "--concurrency", "64"]
    print("| measured | figure |\n| --- | --- |")
    seconds, _ = measured([command, "check", file.name], **options)
    print(f"| `commbox check` | {rows / seconds:,.0f} rows/s |")
    seconds, megabytes = measured(sync, **options)
    print(f"| `commbox sync` with the journal | {rows / seconds:,.0f} rows/s, {megabytes:.0f} MB |")
    seconds, _ = measured([*sync, "--resume"], **options)
    print(f"| going on after all {rows:,} rows were confirmed, to the end | {seconds:.2f} s |")
    resumed = first_row(sync, rows, options)
    print(
        f"| going on after {rows - rows // 100:,} rows, until the first request | {resumed:.2f} s |"
    )
    program = [sys.executable, ROOT / "examples/nightly.py", file.name, "rejects.csv"]
    python = {**environment, "PYTHONPATH": str(ROOT / "bindings/python/src")}
    seconds, megabytes = measured(program, cwd=file.parent, env=python)
    print(
        f"| `examples/nightly.py`, without journal or check | {rows / seconds:,.0f} rows/s, "
        f"{megabytes:.0f} MB |"
    )


def first_row(sync: list[str | Path], rows: int, options: dict[str, Any]) -> float:
    """Returns the time from the start of a resumed run to its first request, if one row of a
    hundred is left.
    """
    for left in options["cwd"].glob("rows.csv.journal*"):
        left.unlink()
    answers = [{"own": True}] * (rows - rows // 100) + [{"status": 404}] * (rows // 100)
    url = options["env"]["COMMBOX_BASE_URL"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(f"{url}/sandbox/script", json.dumps(answers).encode(), timeout=60).close()
    measured(sync, expected=1, **options)
    with socket.create_server(("127.0.0.1", 0)) as server:
        environment = {
            **options["env"],
            "COMMBOX_BASE_URL": f"http://127.0.0.1:{server.getsockname()[1]}",
        }
        began = time.monotonic()
        process = subprocess.Popen(
            [*sync, "--resume"], cwd=options["cwd"], env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        server.accept()[0].close()
        seconds = time.monotonic() - began
        process.kill()
        process.wait()
    return seconds


if __name__ == "__main__":
    sys.exit(main())
