"""Tests the client for asyncio with several event loops, and with loops that watch nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from conftest import Sandbox, assert_no_threads, threads

from commbox import AsyncClient

Make = Callable[..., AsyncClient]


def test_a_client_serves_loops_in_sequence_and_in_parallel(
    make_async: Make, sandbox: Sandbox
) -> None:
    client = make_async(max_concurrency=4)

    async def main(first: int) -> list[int | None]:
        results = await asyncio.gather(
            *(client.update_user(first + step, {}) for step in range(50))
        )
        return [result.id for result in results]

    assert asyncio.run(main(1)) == list(range(1, 51))
    assert asyncio.run(main(101)) == list(range(101, 151))
    outcomes: dict[int, list[int | None]] = {}
    loops = [
        threading.Thread(
            target=lambda first=first: outcomes.update({first: asyncio.run(main(first))})
        )
        for first in (1001, 2001, 3001)
    ]
    for thread in loops:
        thread.start()
    for thread in loops:
        thread.join()
    assert outcomes == {first: list(range(first, first + 50)) for first in (1001, 2001, 3001)}
    # If a loop ends while an update is in flight, nothing else is affected.
    sandbox.script({"delay_ms": 500})
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(asyncio.wait_for(client.update_user(7, {}), 0.1))
    assert asyncio.run(main(1)) == list(range(1, 51))
    asyncio.run(client.aclose())
    assert_no_threads()


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, like Windows' proactor loop."""

    def add_reader(self, *_: object) -> None:
        raise NotImplementedError


def run_without_readers(main: Coroutine[Any, Any, None]) -> None:
    loop = LoopWithoutReaders()
    try:
        loop.run_until_complete(main)
    finally:
        loop.close()


def test_a_loop_without_readers_is_served_by_a_thread(make_async: Make, sandbox: Sandbox) -> None:
    client = make_async()

    async def main(first: int) -> None:
        ids = range(first, first + 50)
        results = await asyncio.gather(*(client.update_user(number, {}) for number in ids))
        assert [result.id for result in results] == list(ids)
        many = client.update_users([(number, {}) for number in ids])
        assert [result.ok async for result in many] == [True] * 50

    async def cancel() -> None:
        sandbox.script({"delay_ms": 10_000})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.update_user(7, {}), 0.2)
        assert (await client.update_user(7, {})).id == 7

    run_without_readers(cancel())
    assert "commbox-async" in threads()
    # Loops of both kinds at the same time.
    others = [
        threading.Thread(target=run, args=(main(first),))
        for run, first in ((run_without_readers, 1001), (asyncio.run, 2001), (asyncio.run, 3001))
    ]
    sandbox.reset()
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    assert len(sandbox.requests()) == 3 * 100
    asyncio.run(client.aclose())
    assert_no_threads()


def test_a_client_can_be_closed_while_other_loops_watch_it(make_async: Make) -> None:
    client = make_async()
    watching, closed = threading.Barrier(3), threading.Event()

    async def main() -> None:
        await client.update_user(7, {})
        await asyncio.get_running_loop().run_in_executor(None, watching.wait)
        # The loop continues to run meanwhile.
        while not closed.is_set():
            await asyncio.sleep(0.01)
        # A new descriptor that gets the same number can be watched.
        ours, theirs = os.pipe()
        seen = asyncio.Event()
        for _ in range(3):
            asyncio.get_running_loop().add_reader(ours, seen.set)
            os.write(theirs, b"x")
            await asyncio.wait_for(seen.wait(), 20)
            asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
        os.close(theirs)

    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            errors.append(error)

    others = [threading.Thread(target=run) for _ in range(2)]
    for thread in others:
        thread.start()
    watching.wait(20)
    asyncio.run(client.aclose())
    closed.set()
    for thread in others:
        thread.join()
    assert errors == []
    assert_no_threads()
