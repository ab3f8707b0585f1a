"""Tests the progress output while many updates are sent."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from conftest import Sandbox, users

from commbox import AsyncClient, BatchProgress, Client, _progress

FINAL = r"commbox: (\d+)( of \d+)? updates, (\d+) failed, [\d,]+ a second, in \d+:\d\d"


class Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal  # type: ignore[method-assign]


class Tqdm:
    """The part of tqdm that the package uses."""

    made: list[Tqdm] = []  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        self.options, self.updates, self.closed = options, 0, False
        self.postfix: dict[str, Any] = {}
        Tqdm.made.append(self)

    def update(self, count: int) -> None:
        self.updates += count

    def set_postfix(self, refresh: bool, **postfix: Any) -> None:
        assert not refresh
        self.postfix = postfix

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def tqdm(monkeypatch: pytest.MonkeyPatch) -> list[Tqdm]:
    module = types.ModuleType("tqdm")
    module.tqdm = Tqdm  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm", module)
    Tqdm.made.clear()
    return Tqdm.made


@pytest.fixture
def no_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)


def send(client: Client, updates: Iterable[Any]) -> None:
    for _ in client.update_users(updates, progress=True):
        pass


def test_tqdm_draws_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, client: Client, tqdm: list[Tqdm]
) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream(terminal=True))
    send(client, [*users(20), (0, {})])
    (bar,) = tqdm
    assert (bar.options["total"], bar.options["file"]) == (21, stream)
    assert (bar.updates, bar.postfix, bar.closed) == (21, {"failed": 1}, True)
    send(client, iter(users(5)))
    assert tqdm[1].options["total"] is None
    assert stream.getvalue() == ""


def test_a_log_has_lines_even_with_tqdm(
    monkeypatch: pytest.MonkeyPatch, client: Client, tqdm: list[Tqdm]
) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream(terminal=False))
    send(client, users(20))
    assert tqdm == []
    assert re.fullmatch(FINAL + "\n", stream.getvalue())


@pytest.mark.usefixtures("no_tqdm")
def test_an_abandoned_batch_shows_its_progress(
    monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream(terminal=True))
    with client.update_users([(0, "\0"), *users(20)], progress=True) as updates:
        assert not next(updates).ok
        assert next(updates).ok
    found = re.fullmatch(FINAL + "\n", stream.getvalue())
    assert found
    assert found.groups() == ("2", " of 21", "1")


def test_nothing_is_shown_by_default_or_without_stderr(
    monkeypatch: pytest.MonkeyPatch, client: Client, tqdm: list[Tqdm]
) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream(terminal=True))
    assert len(list(client.update_users(users(3)))) == 3
    assert (tqdm, stream.getvalue()) == ([], "")
    monkeypatch.setattr(sys, "stderr", None)
    send(client, users(3))
    assert tqdm == []


@pytest.mark.usefixtures("no_tqdm")
def test_asyncio_shows_it_too(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream(terminal=True))

    async def main() -> None:
        async with AsyncClient(sandbox.api_key, base_url=sandbox.url) as client:
            assert [result.ok async for result in client.update_users(users(9), progress=True)] == [
                True
            ] * 9

    asyncio.run(main())
    assert re.fullmatch(FINAL + "\n", stream.getvalue())


@pytest.mark.usefixtures("no_tqdm")
@pytest.mark.parametrize(("terminal", "every"), [(True, 5), (False, 30)])
@pytest.mark.parametrize("total", [4000, None])
def test_lines_are_written_at_intervals(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, every: int, total: int | None
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(sys, "stderr", stream := Stream(terminal))
    progress = _progress.start_progress(True, total, iter(()))
    assert progress is not None
    for number in range(2 * every * 8):
        now += 0.125
        progress.count(number != 7)
    now += 3600
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    done, left = 8 * every, {5: "8:15", 30: "7:50"}[every]
    wanted = (
        f"commbox: {done}" + (" of 4,000" if total else "") + " updates, 1 failed, 8 a second, "
    )
    assert lines[0] == wanted + (f"{left} left" if total else f"0:{every:02} so far")
    assert lines[2].endswith({5: "in 1:00:10", 30: "in 1:01:00"}[every])


PROGRAM = """
import sys
from commbox import Client
with Client(sys.argv[1], base_url=sys.argv[2]) as client:
    rows = [(n, {}) for n in range(1, 51)]
    assert sum(result.ok for result in client.update_users(rows, progress=True)) == 50
"""

BAR = """
class tqdm:
    def __init__(self, total, file, **options):
        self.total, self.file, self.done = total, file, 0
    def update(self, count):
        self.done += count
    def set_postfix(self, refresh, failed):
        self.failed = failed
    def close(self):
        print(f"bar {self.done}/{self.total} failed={self.failed}", file=self.file)
"""


@pytest.mark.parametrize("with_tqdm", [False, True])
def test_on_a_real_terminal(sandbox: Sandbox, tmp_path: Path, with_tqdm: bool) -> None:
    (tmp_path / "tqdm.py").write_text(BAR if with_tqdm else "raise ImportError")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", PROGRAM, sandbox.api_key, sandbox.url]
    subprocess.run(
        command, stderr=theirs, env={**os.environ, "PYTHONPATH": path}, check=True, timeout=20
    )
    shown = os.read(ours, 10_000).decode().strip()
    os.close(ours)
    os.close(theirs)
    assert re.fullmatch("bar 50/50 failed=0" if with_tqdm else FINAL, shown)


class Unwritable(io.StringIO):
    """Behaves like a pipe whose reader has exited, or a full disk."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_stream_that_cannot_be_written_ends_no_batch(
    sandbox: Sandbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (Unwritable(), closed):
        sandbox.reset()
        monkeypatch.setattr(sys, "stderr", stream)
        assert sum(result.ok for result in client.update_users(users(5), progress=True)) == 5


def test_a_function_receives_the_progress(client: Client) -> None:
    told: list[BatchProgress] = []
    rows = iter([(0, {}), *users(4)])
    assert (
        sum(result.ok for result in client.update_users(rows, progress=told.append, total=9)) == 4
    )
    assert [progress.done for progress in told] == [1, 2, 3, 4, 5, 5]
    assert {progress.total for progress in told} == {9}
    assert told[-1].failed == 1
    assert sorted(progress.elapsed for progress in told) == [progress.elapsed for progress in told]
    # The length of a list is known. Even an empty one reports its end.
    told.clear()
    assert list(client.update_users([], progress=told.append)) == []
    assert [progress[:3] for progress in told] == [(0, 0, 0)]


def test_an_exception_of_the_function_loses_no_result(client: Client) -> None:
    told: list[int] = []

    def fail_once(progress: BatchProgress) -> None:
        told.append(progress.done)
        if len(told) == 1:
            raise KeyError("mine")

    updates = client.update_users(users(3), progress=fail_once)
    with pytest.raises(KeyError, match="mine"):
        next(updates)
    assert sorted(result.index for result in updates) == [0, 1, 2]
    assert told == [1, 2, 3, 3]


@pytest.mark.usefixtures("no_tqdm")
def test_the_total_of_a_generator_can_be_passed(
    monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream(terminal=True))
    assert len(list(client.update_users(iter(users(3)), progress=True, total=1000))) == 3
    assert stream.getvalue().startswith("commbox: 3 of 1,000 updates")


def test_asyncio_calls_a_function_too(make_async: Callable[..., AsyncClient]) -> None:
    told: list[BatchProgress] = []

    async def main() -> None:
        async with make_async() as client:
            assert [
                result.ok
                async for result in client.update_users(
                    iter(users(3)), progress=told.append, total=3
                )
            ]
            with pytest.raises(TypeError, match="total must be an int, not str"):
                await client.update_users([], total="3").__anext__()  # type: ignore[arg-type]

    asyncio.run(main())
    assert [progress[:3] for progress in told] == [(1, 0, 3), (2, 0, 3), (3, 0, 3), (3, 0, 3)]


def test_invalid_progress_and_total_are_refused(client: Client) -> None:
    with pytest.raises(TypeError, match="progress must be True, False or a function, not int"):
        client.update_users([], progress=1)  # type: ignore[arg-type]
    for total in (1.5, True, "3"):
        with pytest.raises(TypeError, match="total must be an int, not"):
            client.update_users([], total=total)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="total must be 0 or more"):
        client.update_users([], total=-1)
