"""Tests many updates at once."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Sandbox, assert_no_threads, order, users

import commbox
from commbox import BatchResult, Client, UpdateResult, ValidationError


def test_every_update_has_one_result(client: Client, sandbox: Sandbox) -> None:
    updates = users(300)
    results = list(client.update_users(updates))
    assert sorted(result.index for result in results) == list(range(300))
    for result in results:
        assert result.ok
        assert result.error is None
        assert isinstance(result.result, UpdateResult)
        assert result.update is updates[result.index]
        assert result.user_id == result.result.id == result.index + 1
    assert Counter(request["path"] for request in sandbox.requests()) == {
        f"/users/{n}": 1 for n in range(1, 301)
    }
    assert sandbox.user(300)["data"]["FirstName"] == "John 300"
    assert_no_threads()


def test_no_updates_give_no_results(client: Client) -> None:
    updates = client.update_users([])
    assert list(updates) == list(updates) == []
    assert updates.stats.succeeded == updates.stats.failed == 0


def test_updates_of_a_user_stay_in_order(client: Client, sandbox: Sandbox) -> None:
    rows = [(step % 7 + 1, {"Remarks": str(step)}) for step in range(210)]
    assert all(result.ok for result in client.update_users(rows, concurrency=16))
    assert order(sandbox) == {f"/users/{user + 1}": list(range(user, 210, 7)) for user in range(7)}


@pytest.mark.parametrize("pause", [0, 0.002])
def test_the_iterable_is_read_no_faster_than_results_are_collected(
    client: Client, pause: float
) -> None:
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


def test_concurrency_limits_the_updates_in_flight(client: Client, sandbox: Sandbox) -> None:
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
count = int(sys.argv[3])
fields = {"FirstName": "x" * 100, "Remarks": "y" * 1000}
rows = ((number, dict(fields)) for number in range(1, count + 1))
with Client(sys.argv[1], base_url=sys.argv[2]) as client:
    assert sum(result.ok for result in client.update_users(rows, queue_limit=500)) == count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_job(sandbox: Sandbox) -> None:
    def peak(rows: int) -> int:
        command = [sys.executable, "-c", MEMORY, sandbox.api_key, sandbox.url, str(rows)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    small = peak(2_000)
    assert peak(20_000) < small * 1.1 + 2_000


def test_errors_match_those_of_update_user(client: Client, sandbox: Sandbox) -> None:
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


def test_a_batch_cannot_be_copied(client: Client) -> None:
    with client.update_users(users(20)) as updates:
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(
                TypeError, match="cannot be copied or pickled; call update_users again"
            ):
                attempt(updates)
        assert sum(result.ok for result in updates) == 20


def test_stats(make: Callable[..., Client], sandbox: Sandbox) -> None:
    sandbox.script({"status": 503}, *[{"delay_ms": 200, "own": True}] * 8)
    updates = make(max_retries=2, retry_base=0.001).update_users(
        users(100), concurrency=4, queue_limit=10
    )
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
def test_the_library_validates_the_options(
    client: Client, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        client.update_users([], **options)


def test_the_overall_timeout_starts_when_an_update_is_read(
    client: Client, sandbox: Sandbox
) -> None:
    sandbox.script({"status": 429, "headers": {"Retry-After": "60"}})
    began = time.monotonic()
    errors = [
        result.error for result in client.update_users(users(3), concurrency=1, overall_timeout=2)
    ]
    assert [error and (error.code, error.delivery) for error in errors] == [
        (429, "answered"),
        (-11, "not_sent"),
        (-11, "not_sent"),
    ]
    assert time.monotonic() - began < 30
    assert len(sandbox.requests()) == 1
