"""Runs the scenarios of tests/cases, which ensure that all languages behave the same."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, Sandbox

import commbox
from commbox import Client, CommBoxError
from commbox._base import new_handle

CASES = sorted((CHECKOUT / "tests/cases").glob("*.json"))
CASE_FIELDS = {
    "about",
    "api_key",
    "options",
    "user_id",
    "body",
    "script",
    "cancel_after_ms",
    "expect",
}
EXPECT_FIELDS = {
    "code",
    "response",
    "error",
    "message_contains",
    "message_lacks",
    "requests",
    "max_ms",
}
KEYWORDS = inspect.signature(Client).parameters


def test_there_are_cases() -> None:
    assert CASES


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path, sandbox: Sandbox) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    expect = case["expect"]
    assert set(case) <= CASE_FIELDS
    assert set(expect) <= EXPECT_FIELDS

    if "script" in case:
        sandbox.script(*case["script"])
    api_key = case.get("api_key", sandbox.api_key)
    began = time.monotonic()
    outcome = play(case, api_key, sandbox)
    took_ms = (time.monotonic() - began) * 1000

    if isinstance(outcome, str):
        assert expect["code"] == 0
        assert outcome == expect.get("response", outcome)
    else:
        assert outcome.code == expect["code"], outcome
        assert {name: member_of(outcome, name) for name in expect.get("error", ())} == expect.get(
            "error", {}
        )
        # Messages name options by their keywords.
        parts = [keyword((text, None))[0] for text in expect.get("message_contains", ())]
        assert [text for text in parts if text not in outcome.message] == []
        held = [*expect.get("message_lacks", ()), *([api_key] if api_key else [])]
        assert [text for text in held if text in outcome.message] == []
    requests = sandbox.requests()
    assert len(requests) == len(expect["requests"])
    for request, wanted in zip(requests, expect["requests"]):
        assert seen(request, wanted) == json.loads(
            json.dumps(wanted).replace("{version}", commbox.__version__)
        )
    assert took_ms <= expect.get("max_ms", took_ms)


def play(case: dict[str, Any], api_key: str, sandbox: Sandbox) -> str | CommBoxError:
    options = {"base_url": sandbox.url, "proxy": "", **case.get("options", {})}
    options["base_url"] = options["base_url"].replace("{sandbox}", sandbox.url)
    try:
        with client_of(api_key, options) as client, cancelling(client, case.get("cancel_after_ms")):
            return client.update_user_json(case["user_id"], case["body"])
    except CommBoxError as error:
        return error


@contextmanager
def cancelling(client: Client, after_ms: float | None) -> Iterator[None]:
    """Cancels the call that is made meanwhile, if the case requires it."""
    timer = threading.Timer((after_ms or 0) / 1000, client.cancel)
    if after_ms is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def client_of(api_key: str, options: dict[str, Any]) -> Client:
    keywords = dict(map(keyword, options.items()))
    # Python itself rejects an unknown keyword, but the case tests the library's own error.
    return (
        Client(api_key, **keywords)
        if keywords.keys() <= KEYWORDS.keys()
        else ClientOfAnyOptions(api_key, options)
    )


class ClientOfAnyOptions(Client):
    def __init__(self, api_key: str, options: Mapping[str, Any]) -> None:
        self._handle = new_handle(api_key, options)


def keyword(option: tuple[str, Any]) -> tuple[str, Any]:
    """Returns the keyword that corresponds to an option of the library."""
    name, value = option
    if not name.endswith("_ms"):
        return name, value
    seconds = None if value is None else value / 1000
    return {"total_timeout_ms": "timeout"}.get(name, name[: -len("_ms")]), seconds


def member_of(error: CommBoxError, name: str) -> Any:
    if name == "retry_after_ms":
        return None if error.retry_after is None else round(error.retry_after * 1000)
    return getattr(error, name)


def seen(request: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a received request that the case names."""
    part = {name: request[name] for name in wanted}
    if "headers" in wanted:
        part["headers"] = {name: request["headers"].get(name) for name in wanted["headers"]}
    return part
