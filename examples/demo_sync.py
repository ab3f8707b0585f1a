"""Sends a small file to the sandbox with `commbox sync`: some rows are rejected, and an interrupted
run is continued.

Run it as `make demo`. It takes the command's program:

    python3 examples/demo_sync.py target/debug/commbox
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROWS = """\
UserId,FirstName,E-mail,City
94382332,John,john@example.com,Haifa
94382333,Dana,dana@example.com,
94382334,Noa,noa@example.com,Eilat
94382335,Omer,omer@example.com,
"""
# A proxy or certificates of the environment have no business on loopback.
LEFT_OUT = ("PROXY", "SSL_CERT_", "COMMBOX_")
RULES = ["--map", "E-mail=Email", "--map", "City=Content.City"]


def main() -> int:
    command = Path(sys.argv[1]).resolve()
    environment = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(LEFT_OUT)
    }
    environment = {
        name: value for name, value in environment.items() if not name.upper().endswith("_PROXY")
    }
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [command, "sandbox"], stdout=subprocess.PIPE, text=True, env=environment
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            environment |= {"COMMBOX_BASE_URL": url, "COMMBOX_API_KEY": "sandbox-key"}
            show(Path(folder), command, url, environment)
        finally:
            process.terminate()
            process.wait()
    return 0


def show(folder: Path, command: Path, url: str, environment: dict[str, str]) -> None:
    def run(*arguments: str, code: int) -> None:
        print(f"\n$ commbox {' '.join(arguments)}", flush=True)
        done = subprocess.run([command, *arguments], cwd=folder, env=environment)
        if done.returncode != code:
            raise SystemExit(f"it ended with {done.returncode}, not {code}")

    def script(*answers: object) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(f"{url}/sandbox/script", json.dumps(answers).encode(), timeout=10).close()

    (folder / "customers.csv").write_text(ROWS)
    print(f"\n=== commbox sync\n\ncustomers.csv:\n{ROWS}", end="")
    run("check", "customers.csv", *RULES, code=0)
    refused = json.dumps({"status": 404, "description": "Not found", "response_time": "now"})
    script({"own": True}, {"status": 404, "body": refused}, {"own": True}, {"status": 401})
    print("\nThe server does not know one of them, and then rejects the key.")
    run("sync", "customers.csv", *RULES, "--concurrency", "1", code=3)
    print(
        f"\ncustomers.csv.rejects.csv:\n{(folder / 'customers.csv.rejects.csv').read_text()}",
        end="",
    )
    print("\nThe key works again:")
    run("sync", "customers.csv", *RULES, "--resume", code=0)
    run("journal", "customers.csv.journal", code=0)


if __name__ == "__main__":
    sys.exit(main())
