"""Tests the client for asyncio."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Union, get_args, get_type_hints

import pytest
from conftest import Sandbox, assert_no_threads, threads

import commbox
from commbox import (
    AsyncClient,
    AuthenticationError,
    Client,
    CommBoxError,
    ValidationError,
)
from commbox._fields import Omitted
from commbox._types import ClientOptions, FieldsAndOptions, SingleCallOptions

Make = Callable[..., AsyncClient]


def test_an_update_is_awaited(make_async: Make, sandbox: Sandbox) -> None:
    async def main() -> None:
        async with make_async() as client:
            result = await client.update_user(
                7, first_name="ג'ון", remarks=None, content={"VIP_Status": "8"}
            )
            assert (result.id, result.status) == (7, 200)
            assert (await client.update_user(8, {"LastName": "Smith"})).id == 8
            reply = await client.update_user_json(9, '{"data" : {"Content": {"Rate": 1.50}}}')
            assert json.loads(reply)["data"]["Id"] == 9

    asyncio.run(main())
    bodies = [request["body"] for request in sandbox.requests()]
    assert json.loads(bodies[0]) == {
        "data": {"FirstName": "ג'ון", "Remarks": None, "Content": {"VIP_Status": "8"}}
    }
    assert json.loads(bodies[1]) == {"data": {"LastName": "Smith"}}
    assert bodies[2] == '{"data" : {"Content": {"Rate": 1.50}}}'
    assert_no_threads()


def test_keywords_and_options_match_the_client() -> None:
    """Type checkers take keywords from these classes, and users from Client's signatures."""
    options = get_type_hints(Client.__init__)
    del options["api_key"], options["return"]
    assert options == get_type_hints(ClientOptions)
    fields = get_type_hints(Client.update_user)
    for name in ("user_id", "user", "return"):
        del fields[name]
    given = {name: Union[tuple(set(get_args(hint)) - {Omitted})] for name, hint in fields.items()}
    assert given == get_type_hints(FieldsAndOptions)
    options = get_type_hints(Client.update_user_json)
    for name in ("user_id", "user_json", "return"):
        del options[name]
    assert options == get_type_hints(SingleCallOptions)


def test_hundreds_of_calls_need_no_thread_each(make_async: Make, sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 50, "own": True}] * 500)
    assert_no_threads()
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(threads()))
            await asyncio.sleep(0.01)

    async def main() -> None:
        async with make_async(max_concurrency=32) as client:
            watcher = asyncio.create_task(watch())
            began = time.monotonic()
            results = await asyncio.gather(
                *(client.update_user(number, first_name="x") for number in range(1, 501))
            )
            assert time.monotonic() - began < 5
            assert [result.id for result in results] == list(range(1, 501))
            watcher.cancel()

    asyncio.run(main())
    assert most == 32
    assert len(sandbox.requests()) == 500
    assert_no_threads()


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (404, commbox.NotFoundError)]
)
def test_errors_match_the_client(
    make_async: Make, sandbox: Sandbox, status: int, kind: type[CommBoxError]
) -> None:
    sandbox.script({"status": status, "headers": {"Retry-After": "7"}})

    async def main() -> None:
        async with make_async() as client:
            with pytest.raises(kind) as caught:
                await client.update_user(7, {})
            assert (caught.value.code, caught.value.retry_after, caught.value.delivery) == (
                status,
                7,
                "answered",
            )
            with pytest.raises(ValidationError, match="FirstName is 101 characters"):
                await client.update_user(7, first_name="x" * 101)
            with pytest.raises(ValidationError, match="user_id must be 1 or more"):
                await client.update_user(0, {})
            with pytest.raises(ValidationError, match="user_id does not fit into 64 bits"):
                await client.update_user(2**64, {})
            with pytest.raises(TypeError, match="firstname"):
                await client.update_user(7, firstname="John")  # type: ignore[call-overload]
            with pytest.raises(TypeError, match="user must be a mapping, not NoneType"):
                await client.update_user(7, None)  # type: ignore[call-overload]
            with pytest.raises(TypeError, match="not both"):
                await client.update_user(7, {}, first_name="John")  # type: ignore[call-overload]
            with pytest.raises(TypeError, match="user_json must be a str, not bytes"):
                await client.update_user_json(7, b"{}")  # type: ignore[arg-type]
            assert (await client.update_user(7, {})).status == 200

    asyncio.run(main())


def test_a_cancelled_task_cancels_its_update(make_async: Make, sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 10_000}] * 2)

    async def main() -> None:
        async with make_async(max_concurrency=2) as client:
            tasks = [asyncio.create_task(client.update_user(number, {})) for number in range(1, 11)]
            await asyncio.sleep(0.3)
            began = time.monotonic()
            for task in tasks:
                task.cancel()
            assert [
                type(outcome) for outcome in await asyncio.gather(*tasks, return_exceptions=True)
            ] == [asyncio.CancelledError] * 10
            # The workers are free again, although the server has not answered.
            assert (await client.update_user(20, {})).id == 20
            assert time.monotonic() - began < 0.3
            sandbox.script({"delay_ms": 10_000})
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.update_user(21, {}), 0.2)
            assert (await client.update_user(22, {})).id == 22

    asyncio.run(main())
    assert [request["path"] for request in sandbox.requests()][2:] == [
        "/users/20",
        "/users/21",
        "/users/22",
    ]
    assert_no_threads()


def test_a_closed_client_refuses_new_calls_and_finishes_others(
    make_async: Make, sandbox: Sandbox
) -> None:
    sandbox.script({"delay_ms": 500, "own": True})

    async def main() -> None:
        client = make_async()
        task = asyncio.create_task(client.update_user(7, {}))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await client.aclose()
        await client.aclose()
        assert time.monotonic() - began < 0.1
        assert (await task).id == 7
        with pytest.raises(CommBoxError, match="the client is closed"):
            await client.update_user(7, {})
        assert_no_threads()
        with pytest.raises(CommBoxError, match="the client is closed"):
            client.set_api_key("key")

    asyncio.run(main())
    assert_no_threads()


def test_a_closed_client_finishes_queued_calls(make_async: Make, sandbox: Sandbox) -> None:
    sandbox.script({"delay_ms": 300})

    async def main() -> None:
        async with make_async(max_concurrency=1) as client:
            tasks = [asyncio.create_task(client.update_user(user, {})) for user in range(1, 101)]
            waiting = asyncio.create_task(client.update_user(101, {}))
            await asyncio.sleep(0.1)
            waiting.cancel()
        assert [(await task).id for task in tasks] == list(range(1, 101))
        assert_no_threads()

    asyncio.run(main())
    assert len(sandbox.requests()) == 100


def test_an_unreferenced_client_ends_its_thread(make_async: Make) -> None:
    async def main() -> None:
        client = make_async()
        await client.update_user(7, {})
        assert threads() == ["commbox-batch"]

    asyncio.run(main())
    make_async()
    assert_no_threads()


@pytest.mark.parametrize("max_concurrency", [0, -1, 257, 1.5])
def test_the_library_validates_the_options(max_concurrency: Any) -> None:
    with pytest.raises(ValidationError, match="concurrency"):
        AsyncClient("key", max_concurrency=max_concurrency)
    with pytest.raises(ValidationError, match="max_retries"):
        AsyncClient("key", max_retries=101)
    with pytest.raises(TypeError, match="retries"):
        AsyncClient("key", retries=1)  # type: ignore[call-arg]


def test_a_client_cannot_be_copied_and_shows_no_key(make_async: Make, sandbox: Sandbox) -> None:
    client = make_async()
    with pytest.raises(TypeError, match="make another one"):
        copy.copy(client)
    assert repr(client) == f"AsyncClient(base_url='{sandbox.url}')"


def test_a_forked_child_has_its_own_batch(make_async: Make) -> None:
    client = make_async()
    assert asyncio.run(client.update_user(7, {})).id == 7
    child = os.fork()
    if child == 0:
        os._exit(0 if asyncio.run(client.update_user(8, {})).id == 8 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(client.update_user(9, {})).id == 9


UNCLOSED = """
import asyncio, sys
from commbox import AsyncClient

client = AsyncClient(sys.argv[1], base_url=sys.argv[2])

async def main():
    await client.update_user(1, {})
    task = asyncio.create_task(client.update_user(2, {}))
    await asyncio.sleep(0.2)

asyncio.run(main())
print("done")
"""


def test_a_program_may_end_without_closing(sandbox: Sandbox) -> None:
    sandbox.script({}, {"delay_ms": 5000})
    command = [
        sys.executable,
        "-X",
        "dev",
        "-W",
        "error",
        "-c",
        UNCLOSED,
        sandbox.api_key,
        sandbox.url,
    ]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert time.monotonic() - began < 4


def test_the_overall_timeout_bounds_throttling_and_the_queue(
    make_async: Make, sandbox: Sandbox
) -> None:
    sandbox.script(*[{"delay_ms": 10_000, "own": True}] * 100)

    async def main() -> None:
        async with make_async(max_concurrency=2, overall_timeout=1) as client:
            # More calls than the client would submit at once without the option.
            calls = (client.update_user(user_id, {}) for user_id in range(1, 101))
            errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [getattr(error, "code", None) for error in errors] == [-7] * 100
        # The first two are in flight the whole time. Others may be sent just before their deadline.
        assert 50 <= [getattr(error, "delivery", None) for error in errors].count("not_sent") <= 98

    asyncio.run(main())
    sandbox.reset()
    sandbox.script({"status": 429, "headers": {"Retry-After": "60"}})

    async def throttled() -> None:
        async with make_async(overall_timeout=2) as client:
            for code in (429, -11):
                with pytest.raises(commbox.RateLimitError) as raised:
                    await client.update_user(7, {})
                assert raised.value.code == code

    asyncio.run(throttled())
    with pytest.raises(ValidationError, match="overall_timeout must be from 1 ms to 24 hours"):
        make_async(overall_timeout=0)
