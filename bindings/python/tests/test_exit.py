"""Tests calls during interpreter shutdown."""

from __future__ import annotations

import os
import subprocess

import pytest
from conftest import Sandbox
from interpreters import SOURCES, interpreters

ASYNC = """
import asyncio, atexit, sys, time
def late():
    async def update():
        return await client.update_user(1, {"FirstName": "John"})
    print(asyncio.run(update()).status)
atexit.register(late)
from commbox import AsyncClient
client = AsyncClient(sys.argv[1], base_url=sys.argv[2], timeout=30)
"""

WORKER = """
import atexit, queue, sys, threading
tasks = queue.Queue()
def work():
    while True:
        number = tasks.get()
        if number is None:
            return
        print(client.update_user(number, {"FirstName": "John"}).status)
def late():
    for number in [1, 2, 3, 4, 5, None]:
        tasks.put(number)
    thread.join()
atexit.register(late)
from commbox import Client
client = Client(sys.argv[1], base_url=sys.argv[2])
thread = threading.Thread(target=work, daemon=True)
thread.start()
"""

DESTRUCTOR = """
import gc, sys
gc.disable()
from commbox import Client
class Row:
    def __init__(self):
        self.itself = self
        self.client = Client(sys.argv[1], base_url=sys.argv[2])
    def __del__(self):
        print(self.client.update_user(1, {"FirstName": "John"}).status)
        print(*[row.ok for row in self.client.update_users([(1, {}), (2, {})])])
row = Row()
"""


@pytest.mark.parametrize(
    ("program", "printed"),
    [(ASYNC, ["200"]), (WORKER, ["200"] * 5), (DESTRUCTOR, ["200", "True", "True"])],
    ids=["async", "worker", "destructor"],
)
def test_calls_work_while_the_interpreter_exits(
    sandbox: Sandbox, program: str, printed: list[str]
) -> None:
    for version, python in interpreters().items():
        done = subprocess.run(
            [python, "-B", "-c", program, sandbox.api_key, sandbox.url],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ""), (version, done.stderr)
        assert done.stdout.split() == printed, version
