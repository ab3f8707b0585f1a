"""Tests what the client sends, returns and rejects."""

from __future__ import annotations

import copy
import json
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from conftest import LONE_SURROGATE, Sandbox

from commbox import Client, CommBoxError, UpdateResult, ValidationError


def sent(sandbox: Sandbox) -> Any:
    (request,) = sandbox.requests()
    return json.loads(request["body"])["data"]


def test_keywords_become_api_names(client: Client, sandbox: Sandbox) -> None:
    result = client.update_user(
        94382332,
        unique_id="u-1",
        first_name="ג'ון",
        last_name="Smith \U0001f600",
        email="john@example.com",
        phone1="+972501234567",
        phone2=None,
        remarks='"quoted"\n\0',
        content={"VIP_Status": "8", "Visits": 3, "Tags": ["a", {"b": None}], "Rate": 0.5},
    )
    assert isinstance(result, UpdateResult)
    assert (result.id, result.status) == (94382332, 200)
    assert result.description
    assert result.response_time
    assert json.loads(result.raw)["data"]["Id"] == 94382332
    assert sent(sandbox) == {
        "UniqueId": "u-1",
        "FirstName": "ג'ון",
        "LastName": "Smith \U0001f600",
        "Email": "john@example.com",
        "Phone1": "+972501234567",
        "Phone2": None,
        "Remarks": '"quoted"\n\0',
        "Content": {"VIP_Status": "8", "Visits": 3, "Tags": ["a", {"b": None}], "Rate": 0.5},
    }
    assert "ג'ון" in sandbox.requests()[0]["body"]


def test_a_field_that_is_not_named_is_not_sent(client: Client, sandbox: Sandbox) -> None:
    client.update_user(user_id=7, last_name=None)
    assert sent(sandbox) == {"LastName": None}


def test_a_mapping_is_sent_unchanged(client: Client, sandbox: Sandbox) -> None:
    client.update_user(7, {"FirstName": "John", "Content": {"Custom": 1}})
    assert sent(sandbox) == {"FirstName": "John", "Content": {"Custom": 1}}


def test_mapping_and_keywords_exclude_each_other(client: Client, sandbox: Sandbox) -> None:
    with pytest.raises(TypeError, match="not both"):
        client.update_user(7, {"FirstName": "John"}, last_name="Smith")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="update_user_json"):
        client.update_user(7, '{"FirstName": "John"}')  # type: ignore[call-overload]
    # Nor does None, for example the result of a failed lookup, count as an update without fields.
    with pytest.raises(TypeError, match="user must be a mapping, not NoneType"):
        client.update_user(7, None)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="firstname"):
        client.update_user(7, firstname="John")  # type: ignore[call-overload]
    assert sandbox.requests() == []


def test_json_is_sent_and_returned_unchanged(client: Client, sandbox: Sandbox) -> None:
    reply = ' {"status": "200", "x": 1.50, "description": "טוב"}'
    sandbox.script({"status": 200, "body": reply})
    assert client.update_user_json(7, '{"data" : {"Content": {"Rate": 1.50}}}') == reply
    assert sandbox.requests()[0]["body"] == '{"data" : {"Content": {"Rate": 1.50}}}'


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"status": "200", "data": {"Id": "7"}}', (7, 200, None, None)),
        ('{"status": 201, "data": [], "description": 5}', (None, 201, None, None)),
        ('{"status": 200, "data": {"Id": 1e999}}', (None, 200, None, None)),
        ('{"status": 200, "data": {"Id": 7}, "x": ' + "1" * 5000 + "}", None),
        ('{"status": 200, "x": ' + "[" * 100_000 + "]" * 100_000 + "}", None),
    ],
)
def test_an_odd_reply_never_fails_a_confirmed_update(
    client: Client, sandbox: Sandbox, reply: str, expected: tuple[Any, ...] | None
) -> None:
    sandbox.script({"status": 200, "body": reply})
    result = client.update_user(7, {})
    assert result.raw == reply
    if expected is not None:
        assert (result.id, result.status, result.description, result.response_time) == expected


@pytest.mark.parametrize("user_id", [0, -1, 2**63, -(2**63) - 1, 2**64 + 7, 10**30])
def test_an_id_is_never_wrapped(client: Client, sandbox: Sandbox, user_id: int) -> None:
    with pytest.raises(ValidationError, match="user_id") as caught:
        client.update_user_json(user_id, "{}")
    assert (caught.value.code, caught.value.name, caught.value.delivery) == (
        -1,
        "invalid_argument",
        "not_sent",
    )
    assert sandbox.requests() == []


def test_the_largest_id_is_sent(client: Client, sandbox: Sandbox) -> None:
    client.update_user(2**63 - 1, {})
    assert sandbox.requests()[0]["path"] == f"/users/{2**63 - 1}"


@pytest.mark.parametrize("user_id", [True, "7", 7.0, None])
def test_an_id_must_be_an_integer(client: Client, sandbox: Sandbox, user_id: Any) -> None:
    with pytest.raises(TypeError):
        client.update_user(user_id, {})
    assert sandbox.requests() == []


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (
            lambda client: client.update_user(7, first_name=LONE_SURROGATE),
            "FirstName has half of a surrogate",
        ),
        (
            lambda client: client.update_user(7, content={"A": [LONE_SURROGATE]}),
            "Content.A\\[0\\] has half of a surrogate",
        ),
        (
            lambda client: client.update_user(7, {LONE_SURROGATE: "x"}),
            "user has a name with half of a surrogate",
        ),
        (
            lambda client: client.update_user(7, {"FirstName": "x" * 101}),
            "FirstName is 101 characters",
        ),
        (
            lambda client: client.update_user(7, content={"A": float("nan")}),
            "Content.A is NaN; use None, or leave it out",
        ),
        (
            lambda client: client.update_user(7, content={"A": object()}),
            "Content.A is of type object, which JSON does not have",
        ),
        (lambda client: client.update_user(7, {"Content": None}), "Content must be an object"),
        (
            lambda client: client.update_user_json(7, LONE_SURROGATE),
            "user_json has half of a surrogate",
        ),
        (lambda client: client.update_user_json(7, '{"a": 1}\0'), "user_json has a NUL"),
        (lambda client: client.set_api_key(LONE_SURROGATE), "api_key has half of a surrogate"),
        (lambda client: client.set_api_key("key\0"), "api_key has a NUL"),
        (lambda client: client.set_api_key(""), "api_key is empty"),
    ],
)
def test_values_that_cannot_be_sent_are_refused_by_name(
    client: Client, sandbox: Sandbox, call: Callable[[Client], object], named: str
) -> None:
    with pytest.raises(ValidationError, match=named) as caught:
        call(client)
    assert isinstance(caught.value, ValueError)
    assert caught.value.code in (-1, -4)
    assert "John" not in str(caught.value)
    str(caught.value).encode()
    assert not isinstance(caught.value.__context__, UnicodeEncodeError)
    assert sandbox.requests() == []


def test_text_must_be_a_str(client: Client) -> None:
    with pytest.raises(TypeError, match="user_json must be a str, not bytes"):
        client.update_user_json(7, b"{}")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="api_key must be a str, not int"):
        Client(5)  # type: ignore[arg-type]


def test_a_closed_client_refuses_calls(sandbox: Sandbox) -> None:
    with Client(sandbox.api_key, base_url=sandbox.url) as client:
        pass
    client.close()
    for call in (lambda: client.update_user(7, {}), lambda: client.set_api_key("key")):
        with pytest.raises(CommBoxError, match="the client is closed") as caught:
            call()
        assert (caught.value.code, caught.value.name) == (-2, "invalid_handle")


def test_a_client_cannot_be_copied(client: Client) -> None:
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="make another one"):
            duplicate(client)


def test_repr_shows_the_server_and_never_the_key(client: Client, sandbox: Sandbox) -> None:
    assert repr(client) == f"Client(base_url='{sandbox.url}')"
    with Client("secret-key") as other:
        assert repr(other) == "Client()"
        assert "secret-key" not in str(vars(other))


def test_threads_share_a_client_and_each_has_its_own_error(
    client: Client, sandbox: Sandbox
) -> None:
    def work(thread: int) -> None:
        for call in range(20):
            user_id = 1000 * (thread + 1) + call
            assert client.update_user(user_id, first_name=f"{thread}").id == user_id
            with pytest.raises(ValidationError, match=f"FirstName is {200 + thread} characters"):
                client.update_user(user_id, first_name="x" * (200 + thread))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(sandbox.requests()) == 160


def test_other_threads_run_while_a_call_waits(client: Client, sandbox: Sandbox) -> None:
    sandbox.script({"delay_ms": 1000})
    thread = threading.Thread(target=client.update_user, args=(7, {}))
    began = time.monotonic()
    thread.start()
    while time.monotonic() - began < 0.1:
        pass
    assert thread.is_alive()
    assert time.monotonic() - began < 0.9
    thread.join()


def test_all_problems_of_a_row_are_reported_together(client: Client, sandbox: Sandbox) -> None:
    class Color(Enum):
        RED = 1

    content = {
        "a": float("nan"),
        "b": b"x",
        "c": [date(2024, 1, 2), {"d": Decimal(1)}],
        "e": UUID(int=1),
        "f": Color.RED,
        "g": datetime(2024, 1, 2),
        "h": LONE_SURROGATE,
    }
    with pytest.raises(ValidationError) as raised:
        client.update_user(
            7, {"FirstName": float("nan"), "Email": float("inf"), "Content": content}
        )
    assert str(raised.value).split("; ", 1)[0] == "FirstName is NaN"
    for part in (
        "Email is infinite; use None",
        "Content.a is NaN; use None, or leave it out",
        "Content.b is of type bytes; decode it to text",
        "Content.c[0] is of type date; use its isoformat()",
        "Content.c[1].d is of type Decimal; use str() or float()",
        "Content.e is of type UUID; use str()",
        "Content.f is of type Color; use its value",
        "Content.g is of type datetime; use its isoformat()",
        "Content.h has half of a surrogate pair",
    ):
        assert part in str(raised.value)
    assert sandbox.requests() == []


def test_content_may_be_any_mapping(client: Client, sandbox: Sandbox) -> None:
    inner = MappingProxyType({"deep": MappingProxyType({"x": 1})})
    client.update_user(7, {"Content": inner})
    client.update_user(8, content=inner)
    bodies = [json.loads(request["body"])["data"] for request in sandbox.requests()]
    assert bodies == [{"Content": {"deep": {"x": 1}}}] * 2


@pytest.mark.parametrize(
    ("user_id", "kind"), [("7", "str"), (7.0, "float"), (None, "NoneType"), (True, "a bool")]
)
def test_an_id_that_is_not_an_integer_is_reported(client: Client, user_id: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"user_id must be an int, not {kind}"):
        client.update_user(user_id, {})


def test_a_numpy_bool_is_not_an_id(client: Client) -> None:
    # Like numpy 1's bool: an integer to operator.index.
    kind = type("bool_", (), {"__index__": lambda _: 1})
    with pytest.raises(TypeError, match="user_id must be an int, not a bool"):
        client.update_user(kind(), {})


def test_a_closed_client_is_named_in_its_error(client: Client) -> None:
    client.close()
    with pytest.raises(CommBoxError, match="the client is closed") as raised:
        client.update_user(7, {})
    assert (raised.value.code, raised.value.name) == (-2, "invalid_handle")
    assert "commbox_" not in str(raised.value)
