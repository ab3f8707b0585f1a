"""Fixtures: the sandbox, and clients of it."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from offline import CHECKOUT as CHECKOUT
from offline import Sandbox as Sandbox
from offline import running

from commbox import AsyncClient, Client

pytest_plugins = ["pytest_commbox"]

SOON = 2.0
"""A time in seconds, well before what a test waits for would end, even on a busy machine."""

LONE_SURROGATE = "Jo\ud83dhn"
"""Text that UTF-8 cannot represent."""


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    if not os.environ.get("COMMBOX_SANDBOX"):
        subprocess.run(
            ["cargo", "build", "--quiet", "--locked", "--example", "sandbox"],
            cwd=CHECKOUT,
            check=True,
        )
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    sandbox_process.reset()
    return sandbox_process


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in ("COMMBOX_API_KEY", "COMMBOX_BASE_URL") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def make(sandbox: Sandbox) -> Iterator[Callable[..., Client]]:
    """Yields a function that creates clients of the sandbox without retries. Closes them at the
    end.
    """
    clients: list[Client] = []

    def new(**options: Any) -> Client:
        client = Client(sandbox.api_key, **{"base_url": sandbox.url, "max_retries": 0, **options})
        clients.append(client)
        return client

    yield new
    for client in clients:
        client.close()


@pytest.fixture
def client(make: Callable[..., Client]) -> Client:
    return make()


@pytest.fixture
def make_async(sandbox: Sandbox) -> Callable[..., AsyncClient]:
    """Returns a function that creates asyncio clients of the sandbox without retries."""

    def new(**options: Any) -> AsyncClient:
        return AsyncClient(
            sandbox.api_key, **{"base_url": sandbox.url, "max_retries": 0, **options}
        )

    return new


def users(count: int) -> list[tuple[int, dict[str, str]]]:
    return [(number, {"FirstName": f"John {number}"}) for number in range(1, count + 1)]


def order(sandbox: Sandbox) -> dict[str, list[int]]:
    """Returns the numbers in ``Remarks`` for each user, in the order of their arrival."""
    arrived: dict[str, list[int]] = {}
    for request in sandbox.requests():
        arrived.setdefault(request["path"], []).append(
            int(json.loads(request["body"])["data"]["Remarks"])
        )
    return arrived


def threads() -> list[str]:
    """Returns the names of this process's threads except the main one: Python's names of its own
    threads, and the system's names of the library's.
    """
    names = [
        thread.name for thread in threading.enumerate() if thread is not threading.main_thread()
    ]
    for file in Path("/proc/self/task").glob("*/comm"):
        try:
            name = file.read_text().strip()
        except OSError:  # the thread has just ended
            continue
        if name == "commbox-batch":
            names.append(name)
    return names


def assert_no_threads() -> None:
    gc.collect()
    until = time.monotonic() + 2
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    assert threads() == []
