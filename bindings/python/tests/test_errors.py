"""Tests which error is raised for each failure, and what it contains."""

from __future__ import annotations

import json
import pickle
import socket
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Sandbox

import commbox
from commbox import AsyncClient, Client, CommBoxError
from commbox._errors import check, from_json, name_of
from commbox._library import lib

CLASSES = [
    found
    for found in vars(commbox).values()
    if isinstance(found, type) and issubclass(found, CommBoxError)
]


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        (302, commbox.APIStatusError, "redirect"),
        (400, commbox.BadRequestError, "bad_request"),
        (401, commbox.AuthenticationError, "unauthorized"),
        (403, commbox.PermissionDeniedError, "forbidden"),
        (404, commbox.NotFoundError, "not_found"),
        (429, commbox.RateLimitError, "rate_limited"),
        (500, commbox.InternalServerError, "server_error"),
        (501, commbox.InternalServerError, "not_implemented"),
        (503, commbox.InternalServerError, "server_error"),
    ],
)
def test_each_status_has_its_class(
    make: Callable[..., Client], sandbox: Sandbox, status: int, kind: type[CommBoxError], name: str
) -> None:
    # A 429 is retried after a pause, unless the pause exceeds the deadline.
    client = make(timeout=6)
    body = json.dumps(
        {"status": status, "description": "Its words", "response_time": "2024-08-06T07:51:52Z"}
    )
    sandbox.script({"status": status, "headers": {"Retry-After": "7"}, "body": body})
    with pytest.raises(commbox.APIStatusError) as caught:
        client.update_user(7, {})
    error = caught.value
    assert type(error) is kind
    assert str(error) == error.message
    assert str(status) in error.message
    assert (error.code, error.http_status, error.name) == (status, status, name)
    assert (error.description, error.response_time) == ("Its words", "2024-08-06T07:51:52Z")
    assert (error.attempts, error.delivery, error.response) == (1, "answered", body)
    assert error.retry_after == 7.0
    assert 0 <= error.elapsed < 5


@pytest.mark.parametrize(
    ("answer", "kind", "code", "name", "delivery"),
    [
        ({"delay_ms": 3000}, commbox.APITimeoutError, -7, "timeout", "unknown"),
        ({"reset": True}, commbox.APIConnectionError, -5, "connection", "unknown"),
        (
            {"status": 200, "body": "<html>"},
            commbox.APIResponseError,
            -9,
            "bad_response",
            "answered",
        ),
    ],
)
def test_failures_of_the_connection(
    make: Callable[..., Client],
    sandbox: Sandbox,
    answer: dict[str, Any],
    kind: type[CommBoxError],
    code: int,
    name: str,
    delivery: str,
) -> None:
    sandbox.script(answer)
    with pytest.raises(CommBoxError) as caught:
        make(timeout=0.5).update_user(7, {})
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.name, error.delivery, error.attempts) == (code, name, delivery, 1)


def test_a_refused_connection(make: Callable[..., Client]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = make(base_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(commbox.APIConnectionError) as caught:
            client.update_user(7, {})
    assert (caught.value.code, caught.value.delivery) == (-5, "not_sent")
    assert (caught.value.http_status, caught.value.response, caught.value.retry_after) == (
        None,
        None,
        None,
    )


def test_a_server_without_tls(make: Callable[..., Client], sandbox: Sandbox) -> None:
    with pytest.raises(commbox.APIConnectionError) as caught:
        make(base_url=sandbox.url.replace("http:", "https:")).update_user(7, {})
    assert (caught.value.code, caught.value.name, caught.value.delivery) == (-6, "tls", "not_sent")


def test_the_exception_hierarchy() -> None:
    assert issubclass(commbox.ValidationError, ValueError)
    assert issubclass(commbox.APITimeoutError, commbox.APIConnectionError)
    assert not issubclass(commbox.APIConnectionError, commbox.APIStatusError)
    assert len(CLASSES) == 13
    assert all(kind.__module__ == "commbox._errors" for kind in CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_are_pickled_completely(kind: type[CommBoxError]) -> None:
    error = kind(
        "message", code=429, name="rate_limited", retry_after=1.5, attempts=2, response="body"
    )
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert vars(again) == vars(error)
    assert str(again) == "message"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-11, commbox.RateLimitError),
        (-10, CommBoxError),
        (-8, commbox.APICancelledError),
        (-2, CommBoxError),
        (-99, CommBoxError),
        (101, commbox.APIStatusError),
        (599, commbox.InternalServerError),
    ],
)
def test_rarer_codes(code: int, kind: type[CommBoxError]) -> None:
    """The library may add codes, and members of the error. An error whose details are lost still
    has its class.
    """
    known: dict[str, Any] = dict.fromkeys(
        ("http_status", "description", "response_time", "retry_after_ms", "response", "request_id")
    )
    known.update(
        code=code,
        name="any",
        message="m",
        attempts=1,
        elapsed_ms=1500,
        delivery="unknown",
        problems=[],
    )
    known.update(later="member")
    error = from_json(json.dumps(known).encode(), code)
    assert type(error) is kind
    assert (error.elapsed, error.message) == (1.5, "m")
    for gone in (b"", json.dumps({**known, "code": -4}).encode()):
        lost = from_json(gone, code)
        assert type(lost) is kind
        assert (lost.code, lost.delivery) == (code, "unknown")
        assert lost.message == f"the call failed with code {code}; the details are lost"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_closing_a_client_twice_keeps_the_error_of_another_call(
    make: Callable[..., Client], sandbox: Sandbox, kind: type[Client | AsyncClient]
) -> None:
    """A finalizer or a signal handler may call the library between a failed call and the reading of
    its error.
    """
    closed = kind(sandbox.api_key, base_url=sandbox.url)
    closed._close()
    code = lib.commbox_update_user_json(make()._handle, 0, b"{}", None)
    closed._close()
    del closed
    with pytest.raises(commbox.ValidationError, match="user_id"):
        check(code)


def test_every_code_has_its_library_name() -> None:
    for code, name in [
        (-1, "invalid_argument"),
        (-11, "throttled"),
        (401, "unauthorized"),
        (418, "client_error"),
    ]:
        assert name_of(code) == from_json("", code).name == name
    # A number that is not a code.
    assert name_of(-99) == ""
