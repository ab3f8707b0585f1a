"""Tests programs with unusual threads: sub-interpreters and gevent."""

from __future__ import annotations

import os
import subprocess
import sys

from conftest import Sandbox
from interpreters import SOURCES, interpreters


def run(python: str, program: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    command = [python, "-B", "-c", program, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), (python, done.stdout, done.stderr)
    return done.stdout


IN_ONE = """
import asyncio, commbox, logging
# Nothing is told, and nothing waits for a lock.
logging.getLogger("commbox").addHandler(logging.StreamHandler())
logging.getLogger("commbox").setLevel(1)
async def main():
    async with commbox.AsyncClient({key!r}, base_url={url!r}) as client:
        assert (await client.update_user(2, first_name="John")).id == 2
        rows = [(n, {{}}) for n in range(1, 20)]
        assert [result.ok async for result in client.update_users(rows)] == [True] * 19
with commbox.Client({key!r}, base_url={url!r}) as client:
    assert client.update_user(1, first_name="John").id == 1
    rows = [(n, {{}}) for n in range(1, 20)]
    assert [result.ok for result in client.update_users(rows)] == [True] * 19
asyncio.run(main())
"""

POOL = """
import sys
from concurrent.futures import InterpreterPoolExecutor
with InterpreterPoolExecutor(2) as pool:
    for done in [pool.submit(exec, sys.argv[1], {}) for _ in range(2)]:
        done.result()
"""

ONE = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    run = interpreters.exec
else:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string
made = interpreters.create()
assert run(made, sys.argv[1]) is None
interpreters.destroy(made)
"""


def test_sub_interpreters(sandbox: Sandbox) -> None:
    code = IN_ONE.format(key=sandbox.api_key, url=sandbox.url)
    for version, python in interpreters().items():
        # Python 3.12 has no ctypes in sub-interpreters.
        if version != "3.12":
            run(python, POOL if version in ("3.14", "3.15") else ONE, code)
            assert len(sandbox.requests()) >= 40, version
            sandbox.reset()


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import asyncio, logging, sys, time, gevent, commbox

# Nothing is told, and nothing waits for a lock.
logging.getLogger("commbox").addHandler(logging.StreamHandler())
logging.getLogger("commbox").setLevel(1)
client = commbox.Client(sys.argv[1], base_url=sys.argv[2], max_retries=0)
beats = 0
def beat():
    global beats
    while True:
        beats += 1
        gevent.sleep(0.01)
gevent.spawn(beat)
began = time.monotonic()
jobs = [gevent.spawn(client.update_user, number, first_name="John") for number in range(1, 5)]
gevent.joinall(jobs)
assert [job.value.id for job in jobs] == [1, 2, 3, 4]
# One after another they would take 4 s.
assert time.monotonic() - began < 3
assert beats > 20, beats
before = beats
rows = [(number, {}) for number in range(11, 19)]
assert sum(result.ok for result in client.update_users(rows)) == 8
assert beats > before + 20, (beats, before)
try:
    client.update_user(0, first_name="John")
except commbox.ValidationError as error:
    print(error)

async def main():
    async with commbox.AsyncClient(sys.argv[1], base_url=sys.argv[2]) as other:
        print((await other.update_user(2, first_name="John")).id)
asyncio.run(main())
"""


def test_gevent_runs_other_greenlets_during_a_call(sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 1000, "own": True}] * 12)
    printed = run(sys.executable, GREENLETS, sandbox.api_key, sandbox.url)
    assert printed.split("\n") == ["user_id must be 1 or more", "2", ""]
