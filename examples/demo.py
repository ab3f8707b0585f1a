"""Updates one customer from C, C++, Rust, Python and C# against the sandbox, and shows what
happened.

Run it as `make demo`, which builds what it needs. It takes the sandbox's program, which is
target/debug/examples/sandbox, and, for each language, a name and the command to run:

    python3 examples/demo.py SANDBOX C=target/demo/update_user_c "Python=python3 update_user.py"

It exits with 1 if anything is not as it should be.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import urllib.request

USER_ID = 94382332
API_KEY = "sandbox-key"
# A proxy or certificates of the environment have no business on loopback.
LEFT_OUT = ("PROXY", "SSL_CERT_")
BEFORE = {
    "FirstName": "Jane",
    "Phone2": "442071838750",
    "Content": {"VIP_Status": "3", "Language": "en"},
}


class Sandbox:
    """The running sandbox, as its own control calls show it."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen(
            [program, "--api-key", API_KEY], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        # A proxy of the environment has no business on loopback.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, body: object = None) -> object:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
        with self.opener.open(
            urllib.request.Request(self.url + path, data, headers), timeout=10
        ) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def record(self) -> dict:
        record = self.ask(f"/users/{USER_ID}")["data"]
        record.pop("Id", None)
        return record


def merged(before: dict, change: dict) -> dict:
    """Returns what the API promises: new fields are added, those that exist are overridden, and the
    rest is unchanged.
    """
    content = {**before.get("Content", {}), **change.get("Content", {})}
    return {**before, **change, **({"Content": content} if content else {})}


def show(title: str, value: object) -> None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    print(f"  {title:<9}{text}")


def run(sandbox: Sandbox, language: str, command: str) -> list[str]:
    """Plays one language and returns what was not as expected."""
    sandbox.ask("/sandbox/reset", {})
    sandbox.ask(f"/users/{USER_ID}", {"data": BEFORE})
    before = sandbox.record()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not any(part in name.upper() for part in LEFT_OUT)
    }
    environment = {**inherited, "COMMBOX_BASE_URL": sandbox.url, "COMMBOX_API_KEY": API_KEY}
    program = subprocess.run(
        shlex.split(command), env=environment, capture_output=True, text=True, timeout=120
    )
    requests = sandbox.ask("/sandbox/requests")[1:]
    after = sandbox.record()

    print(f"\n{language}")
    show("before", before)
    for request in requests:
        show("sent", f"{request['method']} {request['path']}")
        show("", request["body"])
    show("printed", program.stdout.strip() or program.stderr.strip())
    show("after", after)

    problems = []
    if program.returncode != 0:
        problems.append(f"the program ended with {program.returncode}: {program.stderr.strip()}")
    if [(request["method"], request["path"]) for request in requests] != [
        ("POST", f"/users/{USER_ID}")
    ]:
        problems.append(f"{len(requests)} requests instead of one to /users/{USER_ID}")
    elif after != merged(before, json.loads(requests[0]["body"])["data"]):
        problems.append("the record is not the one before with what was sent")
    if after == before:
        problems.append("the record did not change")
    if str(USER_ID) not in program.stdout:
        problems.append("the output does not name the user")
    return problems


def main(sandbox_program: str, languages: list[str]) -> int:
    sandbox = Sandbox(sandbox_program)
    failed = False
    try:
        print(f"The sandbox is at {sandbox.url}.")
        for language in languages:
            name, _, command = language.partition("=")
            for problem in run(sandbox, name, command):
                print(f"  WRONG   {problem}")
                failed = True
    finally:
        sandbox.process.terminate()
        sandbox.process.wait(timeout=10)
    print("\nNot as expected." if failed else "\nEvery language updated the record as it should.")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
