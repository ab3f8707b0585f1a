"""Runs the sandbox, an offline CommBox, as a separate process. The tests of commbox.spark use it,
too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[3]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))


class Sandbox:
    """An offline CommBox."""

    api_key = "sandbox-key"

    def __init__(self, url: str, timeout: float = 10) -> None:
        self.url, self._timeout = url, timeout
        # No proxy, whatever the environment names, because this is loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def reset(self) -> None:
        self._ask("POST", "/sandbox/reset")

    def script(self, *answers: dict[str, Any]) -> None:
        self._ask("POST", "/sandbox/script", json.dumps(answers))

    def requests(self) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = json.loads(self._ask("GET", "/sandbox/requests"))
        return requests

    def updates(self) -> list[tuple[int, dict[str, Any]]]:
        """The user and the fields of each request, in the order of their arrival."""
        return [
            (int(r["path"].rsplit("/", 1)[1]), json.loads(r["body"])["data"])
            for r in self.requests()
        ]

    def user(self, user_id: int) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._ask("GET", f"/users/{user_id}"))
        return reply

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        request = urllib.request.Request(
            self.url + path, None if body is None else body.encode(), method=method
        )
        with self._opener.open(request, timeout=self._timeout) as reply:
            text: bytes = reply.read()
            return text


@contextmanager
def running(*command: str, timeout: float = 10) -> Iterator[Sandbox]:
    """Runs a sandbox: that of COMMBOX_SANDBOX or of this checkout, or the one of a command."""
    program = os.environ.get("COMMBOX_SANDBOX") or str(TARGET / "debug/examples/sandbox")
    with subprocess.Popen(command or [program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert url, f"the sandbox's first line tells no address: {line!r}"
            yield Sandbox(url.group(), timeout)
        finally:
            process.terminate()
