"""Tests many updates at once."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from conftest import Sandbox, assert_no_threads, order, users

import commbox
from commbox import (
    APICancelledError,
    AuthenticationError,
    BatchResult,
    Client,
    CommBoxError,
    UpdateResult,
    UserUpdate,
    ValidationError,
)

LONE_SURROGATE = "Jo\ud83dhn"


def test_every_update_comes_back_once(client: Client, sandbox: Sandbox) -> None:
    updates = users(300)
    results = list(client.update_users(updates))
    assert sorted(result.index for result in results) == list(range(300))
    for result in results:
        assert result.ok
        assert result.error is None
        assert isinstance(result.result, UpdateResult)
        assert result.update is updates[result.index]
        assert result.user_id == result.result.id == result.index + 1
    assert Counter(request["path"] for request in sandbox.requests()) == {f"/users/{n}": 1 for n in range(1, 301)}
    assert sandbox.user(300)["data"]["FirstName"] == "John 300"
    assert_no_threads()


def test_an_update_is_a_pair_or_an_object(client: Client, sandbox: Sandbox) -> None:
    row = object()
    with client.update_users(
        [UserUpdate(1, {"FirstName": "A"}, tag=row), UserUpdate(2, '{"data": {"Content": {"Rate": 1.50}}}')]
    ) as updates:
        results = sorted(updates, key=lambda result: result.index)
    assert [result.ok for result in results] == [True, True]
    assert results[0].tag is row
    assert results[1].tag is None
    assert next(client.update_users([(3, '{"Content": {"Rate": 1.50}}')])).ok
    assert next(client.update_users([[4, {"FirstName": "D"}]])).ok  # type: ignore[list-item]  # as from JSON
    bodies = {request["path"]: request["body"] for request in sandbox.requests()}
    assert json.loads(bodies["/users/1"]) == {"data": {"FirstName": "A"}}
    assert bodies["/users/2"] == '{"data": {"Content": {"Rate": 1.50}}}'
    assert bodies["/users/3"] == '{"data":{"Content": {"Rate": 1.50}}}'
    assert len(bodies) == 4


def test_no_updates_are_no_results(client: Client) -> None:
    updates = client.update_users([])
    assert list(updates) == list(updates) == []
    assert updates.stats.succeeded == updates.stats.failed == 0


def test_a_user_is_updated_in_order(client: Client, sandbox: Sandbox) -> None:
    rows = [(step % 7 + 1, {"Remarks": str(step)}) for step in range(210)]
    assert all(result.ok for result in client.update_users(rows, concurrency=16))
    assert order(sandbox) == {f"/users/{user + 1}": list(range(user, 210, 7)) for user in range(7)}


@pytest.mark.parametrize("pause", [0, 0.002])
def test_the_iterable_is_read_no_faster_than_results_are_taken(client: Client, pause: float) -> None:
    read = taken = ahead = 0

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        nonlocal read, ahead
        for update in users(400):
            read += 1
            ahead = max(ahead, read - taken)
            yield update

    for result in client.update_users(rows(), concurrency=4, queue_limit=20):
        assert result.ok
        taken += 1
        time.sleep(pause)
    assert read == taken == 400
    assert ahead <= 20 + 4


def test_as_many_are_sent_at_a_time_as_are_allowed(client: Client, sandbox: Sandbox) -> None:
    for limit in (1, 100):
        sandbox.script(*[{"delay_ms": 300, "own": True}] * 24)
        began = time.monotonic()
        assert len(list(client.update_users(users(24), concurrency=12, queue_limit=limit))) == 24
        assert 0.6 <= time.monotonic() - began < 2


def test_a_result_does_not_wait_until_more_is_read(client: Client) -> None:
    """A slow source, such as one that waits for messages, does not delay results for long."""
    read = 0

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        nonlocal read
        for update in users(10):
            read += 1
            time.sleep(0.05)
            yield update

    for result in client.update_users(rows()):
        assert read <= result.index + 4


MEMORY = """
import resource, sys
from commbox import Client
rows = ((number, {"FirstName": "x" * 100, "Remarks": "y" * 1000}) for number in range(1, int(sys.argv[3]) + 1))
with Client(sys.argv[1], base_url=sys.argv[2]) as client:
    assert sum(result.ok for result in client.update_users(rows, queue_limit=500)) == int(sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_job(sandbox: Sandbox) -> None:
    def peak(rows: int) -> int:
        command = [sys.executable, "-c", MEMORY, sandbox.api_key, sandbox.url, str(rows)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    small = peak(2_000)
    assert peak(20_000) < small * 1.1 + 2_000


class Lazy(Mapping[str, Any]):
    """A row whose database connection is closed."""

    def __iter__(self) -> Any:
        raise LookupError("a value")

    def keys(self) -> Any:
        raise LookupError("a value")

    def __len__(self) -> int:
        return 1

    def __getitem__(self, key: str) -> Any:
        raise LookupError("a value")


class BadIndex:
    def __index__(self) -> int:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("update", "user_id", "named"),
    [
        ((7, {"FirstName": LONE_SURROGATE}), 7, "FirstName has half of a surrogate"),
        ((7, {"Content": {"A": float("nan")}}), 7, "Content.A is NaN; use None, or leave it out"),
        ((7, {"FirstName": "x" * 101}), 7, "FirstName is 101 characters"),
        ((7, LONE_SURROGATE), 7, "user has half of a surrogate"),
        ((7, "{}\0"), 7, "user has a NUL"),
        ((7, None), 7, "user must be a mapping or JSON text, not NoneType"),
        ((7, b"{}"), 7, "user must be a mapping or JSON text, not bytes"),
        ((0, {}), 0, "user_id must be 1 or more"),
        ((2**64 + 7, {}), 2**64 + 7, "user_id does not fit into 64 bits"),
        (("7", {}), None, "user_id must be an int, not str"),
        ((True, {}), None, "user_id must be an int, not bool"),
        ((7, {}, "tag"), None, "a pair of user_id and user or a UserUpdate, not tuple"),
        ("ab", None, "a pair of user_id and user or a UserUpdate, not str"),
        (None, None, "not NoneType"),
        (UserUpdate(7, {"firstname": "x"}), 7, "FirstName"),
        ((7, Lazy()), 7, "user cannot be read: reading it raised LookupError"),
        ((7, {"Content": Lazy()}), 7, "user cannot be read: reading it raised LookupError"),
        ((BadIndex(), {}), None, "user_id cannot be read: its __index__ raised ZeroDivisionError"),
    ],
)
def test_a_bad_update_is_a_result_and_stops_nothing(
    client: Client, sandbox: Sandbox, update: Any, user_id: int | None, named: str
) -> None:
    updates = client.update_users([(1, {"FirstName": "A"}), update, (2, {"FirstName": "B"})])
    first, bad, last = sorted(updates, key=lambda result: result.index)
    assert first.ok
    assert last.ok
    assert not bad.ok
    assert bad.result is None
    assert isinstance(bad.error, ValidationError)
    assert named in str(bad.error)
    assert (bad.user_id, bad.update, bad.error.delivery) == (user_id, update, "not_sent")
    assert len(sandbox.requests()) == 2
    assert (updates.stats.succeeded, updates.stats.failed) == (2, 1)
    assert updates.stats.failed_by_code == {bad.error.code: 1}


def test_errors_are_those_of_update_user(client: Client, sandbox: Sandbox) -> None:
    sandbox.script({"reset": True}, {"status": 404}, {"status": 500})
    updates = client.update_users(users(4), concurrency=1)
    errors = [result.error for result in updates]
    assert [type(error) for error in errors[:3]] == [
        commbox.APIConnectionError,
        commbox.NotFoundError,
        commbox.InternalServerError,
    ]
    assert errors[3] is None
    assert errors[1] is not None
    assert (errors[1].attempts, errors[1].delivery) == (1, "answered")
    stats = updates.stats
    assert (stats.succeeded, stats.failed, stats.failed_by_code) == (1, 3, {404: 1, 500: 1, -5: 1})


def test_what_the_iterable_raises_ends_it(client: Client, sandbox: Sandbox) -> None:
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


def test_leaving_the_loop_ends_it(client: Client, sandbox: Sandbox) -> None:
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


def test_closing_ends_it(client: Client) -> None:
    with client.update_users(users(1000)) as updates:
        assert next(updates).ok
    assert next(updates, None) is None
    updates.close()
    updates.cancel()
    assert updates.stats.succeeded >= 1
    assert_no_threads()


@pytest.mark.parametrize("threaded", [False, True])
def test_cancelling_gives_everything_that_was_read_back(client: Client, sandbox: Sandbox, threaded: bool) -> None:
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
    assert all(result.error.delivery == "not_sent" for result in results if result.error is not None)


def test_the_cancel_of_the_client_ends_what_is_under_way(client: Client, sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 3000, "own": True}] * 4)
    threading.Timer(0.3, client.cancel).start()
    began = time.monotonic()
    results = list(client.update_users(users(100), concurrency=4))
    assert time.monotonic() - began < 1.5
    cancelled = [result for result in results if isinstance(result.error, APICancelledError)]
    assert [result.index for result in sorted(cancelled, key=lambda result: result.index)] == [0, 1, 2, 3]
    assert sum(result.ok for result in results) == 96


class Number:
    """An integer like numpy's: not an int, but usable as one."""

    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("user_id", "known"), [(7, 7), (Number(), 7), (True, None), ("7", None), (7.0, None), (None, None), (2**64, 2**64)]
)
def test_a_result_knows_the_id_that_was_sent(client: Client, user_id: Any, known: int | None) -> None:
    (result,) = client.update_users([(user_id, {})])
    assert result.user_id == known
    assert type(result.user_id) is type(known)
    assert result.ok == (known == 7)


def test_no_value_is_shown(client: Client) -> None:
    canary = "canary"
    update = UserUpdate(7, {"FirstName": canary}, tag={"row": canary})
    updates: list[Any] = [update, (7, {"FirstName": canary}), ("7", canary), (7, f'{{"x": "{canary}"')]
    for result in client.update_users(updates):
        assert canary not in f"{update!r} {result!r} {result} {result.error!r}"
        assert f"index={result.index}" in repr(result)


def test_it_cannot_be_copied(client: Client) -> None:
    with client.update_users(users(20)) as updates:
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be copied or pickled; call update_users again"):
                attempt(updates)
        assert sum(result.ok for result in updates) == 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_ends_without_a_word(sandbox: Sandbox) -> None:
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
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, sandbox.api_key, sandbox.url]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_refused_key_stops_it(make: Callable[..., Client], sandbox: Sandbox) -> None:
    client = make()
    client.set_api_key("another")
    results = list(client.update_users(iter(users(10_000)), concurrency=4, queue_limit=100))
    assert len(results) <= 105
    assert len(sandbox.requests()) <= 4
    kinds = Counter(type(result.error) for result in results)
    assert set(kinds) == {AuthenticationError, APICancelledError}
    assert kinds[AuthenticationError] == len(sandbox.requests())
    assert sorted(result.index for result in results) == list(range(len(results)))


def test_a_refused_key_may_stop_nothing(client: Client) -> None:
    client.set_api_key("another")
    results = list(client.update_users(users(50), stop_on_unauthorized=False))
    assert [type(result.error) for result in results] == [AuthenticationError] * 50


def test_stats(make: Callable[..., Client], sandbox: Sandbox) -> None:
    sandbox.script({"status": 503}, *[{"delay_ms": 200, "own": True}] * 8)
    updates = make(max_retries=2, retry_base=0.001).update_users(users(100), concurrency=4, queue_limit=10)
    next(updates)
    under_way = updates.stats
    assert 0 < under_way.in_flight <= 4
    assert under_way.queued + under_way.in_flight + under_way.finished <= 13
    results: list[BatchResult] = list(updates)
    assert len(results) == 99
    stats = updates.stats
    assert (stats.queued, stats.in_flight, stats.finished) == (0, 0, 0)
    assert (stats.succeeded, stats.failed, stats.failed_by_code, stats.retried) == (100, 0, {}, 1)
    assert (stats.throttled, stats.learned_requests_per_second) == (0, None)
    assert 0 < stats.elapsed < 10
    assert stats.average_requests_per_second == pytest.approx(101 / stats.elapsed, rel=0.1)
    assert stats.requests_per_second > 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"concurrency": 0}, "concurrency must be from 1 to 256"),
        ({"concurrency": 257}, "concurrency must be from 1 to 256"),
        ({"queue_limit": 0}, "queue_limit must be from 1"),
        ({"queue_limit": 10**7}, "queue_limit must be from 1"),
        ({"stop_on_unauthorized": 1}, "stop_on_unauthorized must be true or false"),
        ({"throttle_timeout": 0}, "throttle_timeout must be from 1 ms to 24 hours"),
        ({"outage_timeout": -1}, "outage_timeout must not be negative"),
        ({"overall_timeout": 0}, "overall_timeout must be from 1 ms to 24 hours"),
        ({"outage_timeout": "1"}, "outage_timeout must be a number of seconds, not str"),
    ],
)
def test_the_library_judges_the_options(client: Client, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        client.update_users([], **options)


def test_the_overall_timeout_counts_from_the_reading(client: Client, sandbox: Sandbox) -> None:
    sandbox.script({"status": 429, "headers": {"Retry-After": "60"}})
    began = time.monotonic()
    errors = [result.error for result in client.update_users(users(3), concurrency=1, overall_timeout=2)]
    assert [error and (error.code, error.delivery) for error in errors] == [
        (429, "answered"),
        (-11, "not_sent"),
        (-11, "not_sent"),
    ]
    assert time.monotonic() - began < 30
    assert len(sandbox.requests()) == 1


def test_what_is_no_iterable_and_a_closed_client_are_told_at_once(client: Client) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        client.update_users(7)  # type: ignore[arg-type]
    updates = client.update_users(users(20))
    client.close()
    assert sum(result.ok for result in updates) == 20
    with pytest.raises(CommBoxError, match="the client is closed"):
        client.update_users(users(1))
