"""Tests which updates a batch accepts, and which update a result reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from conftest import LONE_SURROGATE, Sandbox

from commbox import Client, UserUpdate, ValidationError


def test_an_update_is_a_pair_or_an_object(client: Client, sandbox: Sandbox) -> None:
    row = object()
    with client.update_users(
        [
            UserUpdate(1, {"FirstName": "A"}, tag=row),
            UserUpdate(2, '{"data": {"Content": {"Rate": 1.50}}}'),
        ]
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
def test_an_invalid_update_is_a_result_and_stops_nothing(
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


class Number:
    """An integer like numpy's: not an int, but usable as one."""

    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("user_id", "known"),
    [(7, 7), (Number(), 7), (True, None), ("7", None), (7.0, None), (None, None), (2**64, 2**64)],
)
def test_a_result_contains_the_id_that_was_sent(
    client: Client, user_id: Any, known: int | None
) -> None:
    (result,) = client.update_users([(user_id, {})])
    assert result.user_id == known
    assert type(result.user_id) is type(known)
    assert result.ok == (known == 7)


def test_no_value_is_shown(client: Client) -> None:
    canary = "canary"
    update = UserUpdate(7, {"FirstName": canary}, tag={"row": canary})
    updates: list[Any] = [
        update,
        (7, {"FirstName": canary}),
        ("7", canary),
        (7, f'{{"x": "{canary}"'),
    ]
    for result in client.update_users(updates):
        assert canary not in f"{update!r} {result!r} {result} {result.error!r}"
        assert f"index={result.index}" in repr(result)
