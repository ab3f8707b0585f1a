"""Tests the options of a client, and what can be changed later: the API key and the rate."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import LONE_SURROGATE, Sandbox

import commbox
from commbox import Client, ValidationError


def test_key_and_server_are_read_when_a_client_is_created(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    monkeypatch.setenv("COMMBOX_API_KEY", sandbox.api_key)
    monkeypatch.setenv("COMMBOX_BASE_URL", sandbox.url + "/prefix")
    with Client() as client:
        monkeypatch.setenv("COMMBOX_API_KEY", "later")
        client.update_user(7, {})
    (request,) = sandbox.requests()
    assert request["path"] == "/prefix/users/7"
    assert request["headers"]["authorization"] == f"Bearer {sandbox.api_key}"
    with (
        Client("given", base_url=sandbox.url, max_retries=0) as client,
        pytest.raises(commbox.AuthenticationError),
    ):
        client.update_user(7, {})


@pytest.mark.parametrize(
    ("key", "told"),
    [(None, "api_key is missing: pass one, or set COMMBOX_API_KEY"), ("", "api_key is empty")],
)
def test_a_missing_key_is_reported_with_a_remedy(key: str | None, told: str) -> None:
    with pytest.raises(ValidationError, match=told) as caught:
        Client(key)
    assert caught.value.code == -1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"timeout": 0}, "timeout must be from 1 ms to 24 hours"),
        ({"timeout": float("nan")}, "timeout must be a finite number of seconds"),
        ({"timeout": 1e9}, "timeout must be from 1 ms to 24 hours"),
        ({"timeout": 1e308}, "timeout must be from 1 ms to 24 hours"),
        ({"timeout": 10**400}, "timeout must be from 1 ms to 24 hours"),
        ({"timeout": "10"}, "timeout must be a number of seconds, not str"),
        ({"dns_ttl": timedelta(seconds=1)}, "dns_ttl must be a number of seconds, not timedelta"),
        ({"retry_base": 2, "retry_cap": 1}, "retry_cap must be at least retry_base"),
        ({"attempt_timeout": 0}, "attempt_timeout must be"),
        ({"connect_timeout": -1}, "connect_timeout must not be negative"),
        ({"max_retries": 101}, "max_retries"),
        ({"retry_base": 9}, "retry_cap must be"),
        ({"retry_cap": 0}, "retry_cap must be"),
        ({"max_requests_per_second": -1}, "max_requests_per_second"),
        ({"max_idle_connections": 1025}, "max_idle_connections"),
        ({"idle_timeout": -1}, "idle_timeout must not be negative"),
        ({"dns_ttl": -1}, "dns_ttl must not be negative"),
        ({"proxy": "ftp://x"}, "proxy"),
        ({"ca_file": Path("/nonexistent.pem")}, "ca_file"),
        ({"user_agent": "a\nb"}, "user_agent"),
        ({"user_agent": LONE_SURROGATE}, "user_agent has half of a surrogate"),
        ({"base_url": "http://api.commbox.io"}, "base_url"),
    ],
)
def test_the_library_validates_the_options(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named) as caught:
        Client("key", **options)
    assert (caught.value.code, caught.value.name) == (-3, "invalid_options")


def test_every_option_reaches_the_library(make: Callable[..., Client], sandbox: Sandbox) -> None:
    client = make(
        allow_http=True,
        timeout=30,
        attempt_timeout=10.5,
        connect_timeout=0.25,
        max_retries=1,
        retry_base=0.001,
        retry_cap=0.002,
        max_requests_per_second=0.5,
        order_per_user=False,
        rate_group=None,
        max_idle_connections=0,
        idle_timeout=0,
        dns_ttl=0,
        proxy="",
        validate=False,
        user_agent="tests/1",
    )
    client.update_user(7, {"firstname": "only unchecked"})
    assert (
        sandbox.requests()[0]["headers"]["user-agent"] == f"commbox/{commbox.__version__} tests/1"
    )


def test_the_rate_can_be_changed(client: Client) -> None:
    client.set_max_requests_per_second(0.001)
    client.set_max_requests_per_second(0)
    for wrong in (-1, 2_000_000, float("nan")):
        with pytest.raises(ValidationError, match="max_requests_per_second must be 0"):
            client.set_max_requests_per_second(wrong)
    with pytest.raises(TypeError, match="rate must be a number, not str"):
        client.set_max_requests_per_second("1")  # type: ignore[arg-type]


def test_a_rate_group_shares_its_state(
    make: Callable[..., Client], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if sys.platform == "win32":
        with pytest.raises(ValidationError, match="rate_group is not supported"):
            make(rate_group="tests")
        return
    first, second = (make(rate_group="tests", timeout=5) for _ in range(2))
    sandbox.script({"status": 429, "headers": {"Retry-After": "30"}})
    with pytest.raises(commbox.RateLimitError):
        first.update_user(1, {})
    # It has sent nothing itself, but shares the pause.
    with pytest.raises(commbox.RateLimitError) as caught:
        second.update_user(2, {})
    assert (caught.value.code, caught.value.delivery) == (-11, "not_sent")
    assert (tmp_path / "commbox" / "tests.rate").exists()
    with pytest.raises(ValidationError, match="rate_group must have 1 to 64 letters"):
        make(rate_group="a/b")


def test_a_new_key_is_used_for_the_next_call(client: Client, sandbox: Sandbox) -> None:
    client.set_api_key("another")
    with pytest.raises(commbox.AuthenticationError):
        client.update_user(7, {})
    client.set_api_key(sandbox.api_key)
    client.update_user(7, {})
