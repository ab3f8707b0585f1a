"""Tests how a batch ends: by the iterable, the loop, a cancel, a fork or a rejected API key."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from conftest import Sandbox, assert_no_threads, users

from commbox import APICancelledError, AuthenticationError, Client, CommBoxError


def test_an_exception_of_the_iterable_ends_the_batch(client: Client, sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 3000, "own": True}] * 20)

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        yield from users(20)
        time.sleep(0.2)
        raise LookupError("no more rows")

    updates = client.update_users(rows(), concurrency=4)
    began = time.monotonic()
    with pytest.raises(LookupError, match="no more rows"):
        list(updates)
    assert list(updates) == []
    assert_no_threads()
    assert time.monotonic() - began < 1
    assert len(sandbox.requests()) <= 4


def test_leaving_the_loop_ends_the_batch(client: Client, sandbox: Sandbox) -> None:
    sandbox.script({}, *[{"delay_ms": 3000, "own": True}] * 20)
    began = time.monotonic()
    for result in client.update_users(users(1000), concurrency=4):
        assert result.ok
        break
    assert_no_threads()
    assert time.monotonic() - began < 1
    assert len(sandbox.requests()) <= 8
    sandbox.reset()
    assert client.update_user(1, first_name="John").status == 200


def test_closing_ends_the_batch(client: Client) -> None:
    with client.update_users(users(1000)) as updates:
        assert next(updates).ok
    assert next(updates, None) is None
    updates.close()
    updates.cancel()
    assert updates.stats.succeeded >= 1
    assert_no_threads()


@pytest.mark.parametrize("threaded", [False, True])
def test_cancelling_returns_a_result_for_every_update_read(
    client: Client, sandbox: Sandbox, threaded: bool
) -> None:
    # Every answer is slow, so that even a slow machine cancels while the first or second four are
    # sent.
    sandbox.script(*[{"delay_ms": 1500, "own": True}] * 54)
    read = 0

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        nonlocal read
        for update in users(1000):
            read += 1
            yield update

    with client.update_users(rows(), concurrency=4, queue_limit=50) as updates:
        if threaded:
            threading.Timer(0.2, updates.cancel).start()
            results = list(updates)
        else:
            results = [next(updates)]
            updates.cancel()
            results += updates
    assert sorted(result.index for result in results) == list(range(read))
    assert read <= 54
    codes = Counter(0 if result.error is None else result.error.code for result in results)
    assert set(codes) == {0, -8}
    assert codes[0] == len(sandbox.requests()) <= 8
    assert all(
        result.error.delivery == "not_sent" for result in results if result.error is not None
    )


def test_cancelling_the_client_ends_updates_in_flight(client: Client, sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 3000, "own": True}] * 4)
    threading.Timer(0.3, client.cancel).start()
    began = time.monotonic()
    results = list(client.update_users(users(100), concurrency=4))
    assert time.monotonic() - began < 1.5
    cancelled = [result for result in results if isinstance(result.error, APICancelledError)]
    assert [result.index for result in sorted(cancelled, key=lambda result: result.index)] == [
        0,
        1,
        2,
        3,
    ]
    assert sum(result.ok for result in results) == 96


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_ends_without_a_message(sandbox: Sandbox) -> None:
    script = """
import os, sys, commbox
client = commbox.Client(sys.argv[1], base_url=sys.argv[2])
updates = client.update_users([(7, {}), (8, {})])
next(updates)
child = os.fork()
if not child:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert next(updates).ok
"""
    # Newer versions of Python warn if a process with threads forks.
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        script,
        sandbox.api_key,
        sandbox.url,
    ]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_a_rejected_key_stops_the_batch(make: Callable[..., Client], sandbox: Sandbox) -> None:
    client = make()
    client.set_api_key("another")
    results = list(client.update_users(iter(users(10_000)), concurrency=4, queue_limit=100))
    assert len(results) <= 105
    assert len(sandbox.requests()) <= 4
    kinds = Counter(type(result.error) for result in results)
    assert set(kinds) == {AuthenticationError, APICancelledError}
    assert kinds[AuthenticationError] == len(sandbox.requests())
    assert sorted(result.index for result in results) == list(range(len(results)))


def test_a_rejected_key_may_be_set_to_stop_nothing(client: Client) -> None:
    client.set_api_key("another")
    results = list(client.update_users(users(50), stop_on_unauthorized=False))
    assert [type(result.error) for result in results] == [AuthenticationError] * 50


def test_a_non_iterable_and_a_closed_client_are_refused_at_once(client: Client) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        client.update_users(7)  # type: ignore[arg-type]
    updates = client.update_users(users(20))
    client.close()
    assert sum(result.ok for result in updates) == 20
    with pytest.raises(CommBoxError, match="the client is closed"):
        client.update_users(users(1))
