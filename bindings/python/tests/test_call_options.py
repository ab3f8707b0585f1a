"""Tests options of single calls, clients derived with options, and the details of a call in its
result.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType, MappingProxyType
from typing import Any

import pytest
from conftest import Sandbox, assert_no_threads

import commbox
from commbox import AsyncClient, Client, CommBoxError, UserUpdate, ValidationError
from commbox._took import begin, took

Make = Callable[..., Client]
SECRET = "canary-7f3a"


def headers(sandbox: Sandbox) -> list[dict[str, str]]:
    return [request["headers"] for request in sandbox.requests()]


def test_a_call_has_its_own_timeout_and_retries(make: Make, sandbox: Sandbox) -> None:
    client = make(retry_base=0.001, retry_cap=0.001)
    sandbox.script({"delay_ms": 3000})
    with pytest.raises(commbox.APITimeoutError) as caught:
        client.update_user(7, first_name="John", timeout=0.3)
    assert caught.value.elapsed < 2
    sandbox.reset()
    sandbox.script({"delay_ms": 3000}, {"status": 503})
    assert client.update_user(7, {}, attempt_timeout=0.3, max_retries=2).attempts == 3
    sandbox.script({"status": 503})
    with pytest.raises(commbox.InternalServerError) as failed:
        client.update_user_json(7, "{}", timeout=5)
    assert failed.value.attempts == 1
    sandbox.script({"status": 503})
    assert client.update_user_json(7, "{}", max_retries=1)


def test_headers_of_client_and_call_are_added(make: Make, sandbox: Sandbox) -> None:
    client = make(headers={"X-Gateway-Key": SECRET, "X-Tenant": "1"})
    client.update_user(
        7, {}, headers=MappingProxyType({"x-tenant": "2", "traceparent": "00-a-b-01"})
    )
    client.update_user(7, {})
    first, second = headers(sandbox)
    assert (first["x-gateway-key"], first["x-tenant"], first["traceparent"]) == (
        SECRET,
        "2",
        "00-a-b-01",
    )
    assert (second["x-gateway-key"], second["x-tenant"]) == (SECRET, "1")
    assert "traceparent" not in second
    assert SECRET not in repr(client)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": "3"}, "timeout must be a number of seconds, not str"),
        ({"attempt_timeout": float("nan")}, "attempt_timeout must be a finite number"),
        ({"max_retries": 101}, "max_retries must be"),
        ({"max_retries": "3"}, "max_retries must be"),
        ({"headers": {"Authorization": SECRET}}, "headers.Authorization is reserved"),
        ({"headers": {"X": SECRET + "\n"}}, "headers.X has a value with a character at byte 11"),
        ({"headers": {"X": SECRET.encode()}}, "headers.X must be a str, not bytes"),
        ({"headers": {7: SECRET}}, "headers has a name of type int"),
        ({"headers": [("X", SECRET)]}, "headers must be a mapping of names to values, not list"),
        ({"headers": {"X": "\ud83d"}}, "headers.X has half of a surrogate pair"),
    ],
)
def test_wrong_options_are_refused_everywhere(
    make: Make,
    make_async: Callable[..., AsyncClient],
    sandbox: Sandbox,
    options: dict[str, Any],
    message: str,
) -> None:
    client, async_client = make(), make_async()

    async def update_async() -> None:
        await async_client.update_user(7, {}, **options)

    (result,) = client.update_users([UserUpdate(7, {}, **options)])
    assert isinstance(result.error, ValidationError)
    errors: list[CommBoxError] = [result.error]
    for call in (
        lambda: client.update_user(7, {}, **options),
        lambda: client.update_user_json(7, "{}", **options),
        lambda: client.with_options(**options),
        lambda: make(**options),
        lambda: asyncio.run(update_async()),
    ):
        with pytest.raises(ValidationError) as caught:
            call()
        errors.append(caught.value)
    for error in errors:
        assert message in error.message
        assert (error.code, error.delivery) == (-3, "not_sent")
        assert SECRET not in repr(vars(error))
        assert error.__context__ is None
    assert sandbox.requests() == []


def test_an_unknown_keyword_is_refused(client: Client) -> None:
    with pytest.raises(TypeError, match="retries"):
        client.update_user(7, {}, retries=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="proxy"):
        client.with_options(proxy="")  # type: ignore[call-arg]


def test_each_update_of_a_batch_may_have_its_own_options(make: Make, sandbox: Sandbox) -> None:
    client = make(headers={"X-Tenant": "1"}).with_options(headers={"X-Job": "nightly"})
    updates: list[Any] = [
        UserUpdate(1, {}, headers={"X-Row": "1"}),
        UserUpdate(2, "{}", headers={"X-Job": "other"}),
        (3, {}),
    ]
    assert all(result.ok for result in client.update_users(updates, concurrency=1))
    first, second, third = headers(sandbox)
    assert (first["x-tenant"], first["x-job"], first["x-row"]) == ("1", "nightly", "1")
    assert (second["x-job"], third["x-job"]) == ("other", "nightly")
    sandbox.script({"delay_ms": 5000})
    (late,) = client.update_users([UserUpdate(1, {}, timeout=0.3)])
    assert isinstance(late.error, commbox.APITimeoutError)
    assert SECRET not in repr(UserUpdate(1, {}, headers={"X": SECRET}))


def test_a_derived_client_shares_the_connections(make: Make, sandbox: Sandbox) -> None:
    client = make()
    derived = client.with_options(timeout=0.3, headers={"X-A": "1", "X-B": "1"})
    again = derived.with_options(headers={"x-b": "2"}, max_retries=1)
    assert (type(derived), repr(derived)) == (Client, repr(client))
    assert again.update_user(7, {}, headers={"X-C": "3"}).id == 7
    assert [(seen["x-a"], seen["x-b"], seen["x-c"]) for seen in headers(sandbox)] == [
        ("1", "2", "3")
    ]
    sandbox.script({"delay_ms": 3000})
    with pytest.raises(commbox.APITimeoutError):
        derived.update_user(7, {})
    # An option of the call takes precedence.
    sandbox.script({"delay_ms": 600, "own": True})
    assert derived.update_user(7, {}, timeout=30).id == 7
    # They share the API key.
    again.set_api_key("another")
    with pytest.raises(commbox.AuthenticationError):
        client.update_user(7, {})
    client.set_api_key(sandbox.api_key)
    assert again.update_user(7, {}).id == 7


def test_a_derived_client_is_closed_with_the_first(make: Make) -> None:
    client = make()
    with client.with_options(timeout=5) as derived:
        assert derived.update_user(7, {}).id == 7
    with pytest.raises(CommBoxError, match="the client is closed"):
        derived.update_user(7, {})
    derived.close()
    assert client.with_options(timeout=5).update_user(7, {}).id == 7
    gc.collect()
    assert client.update_user(7, {}).id == 7
    kept = client.with_options(timeout=5)
    client.close()
    with pytest.raises(CommBoxError, match="the client is closed"):
        kept.update_user(7, {})
    # A derived client keeps the original alive.
    kept = make().with_options(timeout=5)
    gc.collect()
    assert kept.update_user(7, {}).id == 7


def test_a_subclass_keeps_its_attributes(sandbox: Sandbox) -> None:
    class Mine(Client):
        def __init__(self, tenant: str) -> None:
            super().__init__(sandbox.api_key, base_url=sandbox.url)
            self.tenant = tenant

    with Mine("a") as mine:
        derived = mine.with_options(timeout=5)
        assert isinstance(derived, Mine)
        assert (derived.tenant, derived.update_user(7, {}).id) == ("a", 7)


def test_async_clients_support_all_call_options(
    make_async: Callable[..., AsyncClient], sandbox: Sandbox
) -> None:
    async def main() -> None:
        async with make_async(headers={"X-Tenant": "1"}) as client:
            derived = client.with_options(timeout=0.3, headers={"X-Job": "nightly"})
            assert (await derived.update_user(7, first_name="John", headers={"X-Row": "1"})).id == 7
            await derived.update_user_json(8, "{}", headers={"X-Row": "2"})
            results = derived.update_users([UserUpdate(9, {}, headers={"X-Row": "3"})])
            assert [result.ok async for result in results] == [True]
            seen = [(each["x-tenant"], each["x-job"], each["x-row"]) for each in headers(sandbox)]
            assert seen == [("1", "nightly", str(row)) for row in (1, 2, 3)]
            sandbox.script({"delay_ms": 3000})
            with pytest.raises(commbox.APITimeoutError):
                await derived.update_user(7, {})
            with pytest.raises(TypeError, match="unexpected keyword argument 'retries'"):
                await client.update_user_json(7, "{}", retries=3)  # type: ignore[call-arg]
            await derived.aclose()
            with pytest.raises(CommBoxError, match="the client is closed"):
                await derived.update_user(7, {})
            assert (await client.update_user(7, {})).id == 7

    asyncio.run(main())
    assert_no_threads()


def ids(status: int, request_id: str) -> Mapping[str, Any]:
    return {
        "status": status,
        "own": status == 200,
        "headers": {"X-Request-Id": request_id, "Retry-After": "0"},
    }


def test_a_result_reports_the_cost_of_its_call(make: Make, sandbox: Sandbox) -> None:
    client = make(retry_base=0.001, retry_cap=0.001)
    sandbox.script(
        {"status": 503},
        {"status": 503},
        {"headers": {"Request-Id": "r-1"}, "own": True, "delay_ms": 50},
    )
    result = client.update_user(7, {}, max_retries=2)
    assert (result.attempts, result.request_id) == (3, "r-1")
    assert 0.05 <= result.elapsed < 10
    # The next call has its own values.
    result = client.update_user(7, {})
    assert (result.attempts, result.request_id) == (1, None)
    sandbox.script({"status": 404, "headers": {"X-Correlation-Id": "c-2"}})
    with pytest.raises(commbox.NotFoundError) as caught:
        client.update_user(7, {})
    assert caught.value.request_id == "c-2"
    with pytest.raises(ValidationError) as refused:
        client.update_user(0, {})
    assert refused.value.request_id is None


def test_the_header_of_the_request_id_can_be_configured(make: Make, sandbox: Sandbox) -> None:
    sandbox.script({"own": True, "headers": {"X-Request-Id": "other", "X-Amzn-Trace-Id": "root=1"}})
    assert make(request_id_header="X-Amzn-Trace-Id").update_user(7, {}).request_id == "root=1"


def test_each_result_of_a_batch_reports_its_own(make: Make, sandbox: Sandbox) -> None:
    sandbox.script(*[{"own": True, "headers": {"X-Request-Id": f"r-{row}"}} for row in range(50)])
    results = list(make().update_users([(row, {}) for row in range(1, 51)]))
    found = [result.result for result in results if result.result is not None]
    assert sorted(str(result.request_id) for result in found) == sorted(
        f"r-{row}" for row in range(50)
    )
    assert {result.attempts for result in found} == {1}
    sandbox.script({"status": 404, "headers": {"X-Request-Id": "gone"}})
    (failed,) = make().update_users([(1, {})])
    assert failed.error is not None
    assert failed.error.request_id == "gone"


def test_each_result_of_asyncio_reports_its_own(
    make_async: Callable[..., AsyncClient], sandbox: Sandbox
) -> None:
    answer = {"own": True, "headers": {"X-Request-Id": "async"}}
    sandbox.script({"status": 503}, *[answer] * 21)

    async def main() -> None:
        async with make_async(max_retries=1, retry_base=0.001, retry_cap=0.001) as client:
            first = await client.update_user(7, {})
            assert (first.attempts, first.request_id) == (2, "async")
            results = await asyncio.gather(*(client.update_user(row, {}) for row in range(1, 11)))
            assert {(result.attempts, result.request_id) for result in results} == {(1, "async")}
            many = [
                result.result
                async for result in client.update_users([(row, {}) for row in range(1, 11)])
            ]
            assert {result.request_id for result in many if result} == {"async"}

    asyncio.run(main())


def test_a_call_in_a_signal_handler_resets_the_figures(client: Client) -> None:
    number = begin()
    assert took(number) is not None
    client.update_user(7, {})
    assert took(number) == (0, 0.0, None)


def test_a_call_interrupted_by_a_signal_handler_has_its_own_figures(
    client: Client, sandbox: Sandbox
) -> None:
    sandbox.script({"delay_ms": 500, "own": True, "headers": {"X-Request-Id": "outer"}})
    inner: list[commbox.UpdateResult] = []

    def handler(_: int, __: FrameType | None) -> None:
        inner.append(client.update_user(8, {}))

    former = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        outer = client.update_user(7, {})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert inner[0].request_id is None
    assert outer.id == 7
    # An unknown value is never that of another call.
    assert outer.request_id in ("outer", None)


def test_a_user_is_validated_without_being_sent(
    make: Make, make_async: Callable[..., AsyncClient], sandbox: Sandbox
) -> None:
    for client in (make(), make_async()):
        client.validate_user(7, first_name="John", content={"VIP_Status": "8"})
        client.validate_user(7, {"FirstName": "John"})
        client.validate_user_json(7, '{"data": {"FirstName": "John"}}')
        with pytest.raises(ValidationError, match=r"FirstName is 101 characters.*Email") as caught:
            client.validate_user(7, {"FirstName": "x" * 101, "Email": 5})
        assert (caught.value.code, caught.value.delivery) == (-4, "not_sent")
        with pytest.raises(ValidationError, match="user_id must be 1 or more"):
            client.validate_user(0, {})
        with pytest.raises(ValidationError, match=r"Content\.A is NaN"):
            client.validate_user(7, content={"A": float("nan")})
        with pytest.raises(TypeError, match="not both"):
            client.validate_user(7, {}, first_name="John")
        with pytest.raises(TypeError, match="user_json must be a str, not dict"):
            client.validate_user_json(7, {})  # type: ignore[arg-type]
        client._close()
        with pytest.raises(CommBoxError, match="the client is closed"):
            client.validate_user(7, {})
    assert sandbox.requests() == []


def test_options_do_not_slow_down_a_plain_call(client: Client) -> None:
    """A derived client converts its options once."""
    derived = client.with_options(timeout=5, headers={"X": "1"})
    call = derived._call
    assert call.replace(None, None, None, None) is call
    began = time.process_time()
    for _ in range(10_000):
        call.replace(None, None, None, None)
    assert time.process_time() - began < 1
