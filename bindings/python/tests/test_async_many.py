"""Tests many updates at once in asyncio."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest
from conftest import SOON, Sandbox, assert_no_threads, order, users

from commbox import (
    APICancelledError,
    AsyncClient,
    AuthenticationError,
    UpdateResult,
    UserUpdate,
    ValidationError,
)

Make = Callable[..., AsyncClient]


async def asynchronous(count: int) -> AsyncIterator[tuple[int, dict[str, str]]]:
    for update in users(count):
        await asyncio.sleep(0)
        yield update


@pytest.mark.parametrize("kind", [users, asynchronous, lambda count: iter(users(count))])
def test_many_updates(make_async: Make, sandbox: Sandbox, kind: Callable[[int], Any]) -> None:
    async def main() -> None:
        async with make_async(max_concurrency=8) as client:
            results = [result async for result in client.update_users(kind(500), queue_limit=30)]
        assert sorted(result.index for result in results) == list(range(500))
        assert all(result.ok and result.user_id == result.index + 1 for result in results)

    asyncio.run(main())
    assert Counter(request["path"] for request in sandbox.requests()) == {
        f"/users/{n}": 1 for n in range(1, 501)
    }
    assert_no_threads()


def test_updates_of_a_user_stay_in_order(make_async: Make, sandbox: Sandbox) -> None:
    async def main() -> None:
        async with make_async() as client:
            rows = [(step % 3 + 1, {"Remarks": str(step)}) for step in range(300)]
            assert [result.ok async for result in client.update_users(rows)] == [True] * 300

    asyncio.run(main())
    assert order(sandbox) == {f"/users/{user + 1}": list(range(user, 300, 3)) for user in range(3)}


def test_the_iterable_is_read_no_faster_than_results_are_collected(make_async: Make) -> None:
    read = taken = ahead = 0

    async def rows() -> AsyncIterator[tuple[int, dict[str, str]]]:
        nonlocal read, ahead
        for update in users(300):
            read += 1
            ahead = max(ahead, read - taken)
            yield update

    async def main() -> None:
        nonlocal taken
        async with make_async(max_concurrency=4) as client:
            async for _ in client.update_users(rows(), queue_limit=20):
                taken += 1
                await asyncio.sleep(0.001)

    asyncio.run(main())
    assert read == taken == 300
    assert ahead <= 20 + 4


def test_a_result_does_not_wait_until_more_is_read(make_async: Make) -> None:
    async def rows() -> AsyncIterator[tuple[int, dict[str, str]]]:
        yield 1, {}
        await asyncio.sleep(30)

    async def main() -> None:
        async with make_async() as client:
            async for result in client.update_users(rows()):
                assert result.ok
                break

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 2


def test_an_invalid_update_is_a_result_and_stops_nothing(
    make_async: Make, sandbox: Sandbox
) -> None:
    updates: list[Any] = [
        (1, {}),
        None,
        (2, {"Content": {"A": float("nan")}}),
        ("3", {}),
        UserUpdate(4, "{}", tag="row"),
    ]

    async def main() -> None:
        async with make_async() as client:
            found = {result.index: result async for result in client.update_users(updates)}
        assert [found[index].ok for index in range(5)] == [True, False, False, False, True]
        assert all(isinstance(found[index].error, ValidationError) for index in (1, 2, 3))
        assert found[4].tag == "row"
        assert found[2].update is updates[2]

    asyncio.run(main())
    assert len(sandbox.requests()) == 2


def test_an_exception_of_the_iterable_ends_the_batch(make_async: Make, sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 3000}] * 4)

    async def rows() -> AsyncIterator[tuple[int, dict[str, str]]]:
        for update in users(8):
            yield update
        await asyncio.sleep(0.2)
        raise LookupError("no more rows")

    async def main() -> None:
        async with make_async(max_concurrency=4) as client:
            with pytest.raises(LookupError, match="no more rows"):
                async for _ in client.update_users(rows()):
                    pass
            sandbox.reset()
            assert (await client.update_user(20, {})).id == 20

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 1
    assert_no_threads()


def test_leaving_the_loop_ends_the_batch(make_async: Make, sandbox: Sandbox) -> None:
    async def main() -> None:
        async with make_async(max_concurrency=4) as client:
            sandbox.script({}, *[{"delay_ms": 3000}] * 20)
            results: AsyncGenerator[Any, None] = client.update_users(users(1000))
            async for result in results:
                assert result.ok
                break
            await results.aclose()
            assert len(asyncio.all_tasks()) == 1
            await asyncio.sleep(0.2)
            assert len(sandbox.requests()) <= 5
            sandbox.reset()
            began = time.monotonic()
            assert (await client.update_user(1, {})).id == 1
            assert time.monotonic() - began < SOON

    asyncio.run(main())
    assert_no_threads()


def test_a_closed_client_lets_the_batch_finish(make_async: Make) -> None:
    async def main() -> None:
        client = make_async(max_concurrency=4)
        results = client.update_users(users(300))
        first = await results.__anext__()
        await client.aclose()
        others = [result async for result in results]
        assert sorted(result.user_id or 0 for result in [first, *others] if result.ok) == list(
            range(1, 301)
        )
        assert_no_threads()

    asyncio.run(main())


def test_a_rejected_key_stops_the_batch(make_async: Make, sandbox: Sandbox) -> None:
    async def main() -> None:
        async with make_async(max_concurrency=4) as client:
            client.set_api_key("another")
            results = [result async for result in client.update_users(iter(users(10_000)))]
            assert len(results) < 100
            assert sorted(result.index for result in results) == list(range(len(results)))
            assert {type(result.error) for result in results} <= {
                AuthenticationError,
                APICancelledError,
            }
            assert len(sandbox.requests()) <= len(results)
            sent = [
                result
                async for result in client.update_users(users(50), stop_on_unauthorized=False)
            ]
            assert [type(result.error) for result in sent] == [AuthenticationError] * 50
            # The rejected key ended the batch but not the client.
            client.set_api_key(sandbox.api_key)
            assert (await client.update_user(1, {})).status == 200

    asyncio.run(main())


def test_a_task_that_ends_the_program_loses_no_other_result(make_async: Make) -> None:
    """The tasks run as soon as results arrive, one after the other."""
    client = make_async()
    loop = asyncio.new_event_loop()

    async def end() -> None:
        await client.update_user(7, {})
        raise SystemExit(3)

    try:
        others = [loop.create_task(client.update_user(number, {})) for number in range(8, 28)]
        with pytest.raises(SystemExit):
            loop.run_until_complete(end())
        results = [loop.run_until_complete(other) for other in others]
        assert [result.id for result in results] == list(range(8, 28))
        loop.run_until_complete(client.aclose())
    finally:
        loop.close()


def test_a_task_cancels_others_as_soon_as_it_has_its_result(make_async: Make) -> None:
    async def main() -> None:
        async with make_async() as client:
            others: list[asyncio.Task[UpdateResult]] = []

            async def cancel() -> None:
                await client.update_user(7, {})
                for other in others:
                    other.cancel()

            others += [
                asyncio.create_task(client.update_user(number, {})) for number in range(8, 28)
            ]
            await cancel()
            ended = await asyncio.gather(*others, return_exceptions=True)
            assert all(isinstance(each, (UpdateResult, asyncio.CancelledError)) for each in ended)
            assert (await client.update_user(7, {})).id == 7

    asyncio.run(main())
    assert_no_threads()
