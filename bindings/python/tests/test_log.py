"""Tests the library's events in Python's logging, and the statistics of a client."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any, get_type_hints

import pytest
from conftest import Sandbox, users

import commbox
from commbox import AsyncClient, Client, ClientStats, CommBoxError, LatencyStats, LineStats
from commbox._library import lib, take_text

Make = Callable[..., Client]
SECRET = "canary-51c9"


class Kept(logging.Handler):
    """Keeps records, and calls a function of the test for each."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.do: Callable[[logging.LogRecord], object] = lambda _: None

    def handle(self, record: logging.LogRecord) -> bool:
        self.records.append(record)
        self.do(record)
        return True

    def events(self) -> list[str]:
        return [event_of(record)["event"] for record in self.records]


def event_of(record: logging.LogRecord) -> dict[str, Any]:
    event: dict[str, Any] = record.event  # type: ignore[attr-defined]
    return event


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("commbox")
    # Without pytest's handlers.
    logger.propagate = False
    yield logger
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()


@pytest.fixture
def kept(logger: logging.Logger) -> Kept:
    kept = Kept()
    logger.addHandler(kept)
    return kept


def test_events_are_logged_at_the_level_of_the_logger(
    make: Make, sandbox: Sandbox, logger: logging.Logger, kept: Kept
) -> None:
    client = make(max_retries=1, retry_base=0.001, retry_cap=0.001)
    expected = {
        logging.CRITICAL: set(),
        logging.ERROR: set(),
        logging.WARNING: {"call_failed"},
        logging.INFO: {"call_failed", "retry"},
        logging.DEBUG: {"call_failed", "retry", "call_began", "attempt", "proxy"},
        5: {"call_failed", "retry", "call_began", "attempt", "proxy", "connection_reused"},
    }
    for level, events in expected.items():
        kept.records.clear()
        logger.setLevel(level)
        sandbox.script({"status": 503}, {"status": 404})
        with pytest.raises(commbox.NotFoundError):
            client.update_user(7, {})
        assert set(kept.events()) == events, level
    record = next(record for record in kept.records if event_of(record)["event"] == "call_failed")
    assert (record.name, record.levelno, record.thread) == (
        "commbox",
        logging.WARNING,
        threading.get_ident(),
    )
    assert record.getMessage().startswith("call ")
    assert event_of(record)["level"] == "warning"


def test_no_callback_is_set_without_a_handler_or_a_level(
    make: Make, sandbox: Sandbox, logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    client = make()

    def fail() -> int:
        sandbox.script({"status": 401})
        with pytest.raises(commbox.AuthenticationError):
            client.update_user(7, {})
        return client._log_level

    # Not even the message that logging prints if there is no handler.
    assert (fail(), capfd.readouterr()) == (0, ("", ""))
    kept = Kept()
    logger.addHandler(kept)
    # The root logger's default level is WARNING.
    assert fail() == 2
    assert kept.events() == ["key_rejected", "call_failed"]
    logger.setLevel(logging.CRITICAL)
    assert fail() == 0
    logger.setLevel(logging.DEBUG)
    assert fail() == 4
    logging.disable(logging.INFO)
    assert fail() == 2
    logging.disable(logging.NOTSET)
    logger.disabled = True
    assert fail() == 0
    logger.disabled = False
    logger.removeHandler(kept)
    count = len(kept.records)
    assert (fail(), len(kept.records)) == (0, count)


def test_the_client_does_not_import_logging(sandbox: Sandbox) -> None:
    program = (
        "import sys; from commbox import Client\n"
        "with Client(sys.argv[1], base_url=sys.argv[2]) as client:\n"
        "    client.update_user(7, {}); client.stats\n"
        "assert 'logging' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-S", "-c", program, sandbox.api_key, sandbox.url], check=True, timeout=60
    )


def test_batches_and_asyncio_are_logged_too(
    make: Make, make_async: Callable[..., AsyncClient], logger: logging.Logger, kept: Kept
) -> None:
    logger.setLevel(logging.DEBUG)
    client = make().with_options(timeout=30)
    assert len(list(client.update_users(users(20)))) == 20
    assert kept.events().count("call_succeeded") == 20
    kept.records.clear()

    async def main() -> None:
        async with make_async() as client:
            await asyncio.gather(*(client.update_user(number, {}) for number in range(1, 21)))

    asyncio.run(main())
    assert kept.events().count("call_succeeded") == 20


def test_neither_secrets_nor_values_are_logged(
    make: Make, sandbox: Sandbox, logger: logging.Logger, kept: Kept
) -> None:
    logger.setLevel(5)
    client = make(headers={"X-Key": SECRET}, max_retries=1, retry_base=0.001, retry_cap=0.001)
    sandbox.script(
        {"status": 503, "body": SECRET}, {"status": 404, "body": SECRET}, {"reset": True}
    )
    for _ in range(3):
        with suppress(CommBoxError):
            client.update_user(
                7, first_name=SECRET, content={SECRET: SECRET}, headers={"X-Call": SECRET}
            )
    assert len(kept.records) > 10
    for record in kept.records:
        assert SECRET not in record.getMessage() + json.dumps(event_of(record))
        assert sandbox.api_key not in record.getMessage() + json.dumps(event_of(record))


def test_a_handler_may_make_calls(make: Make, logger: logging.Logger, kept: Kept) -> None:
    logger.setLevel(logging.DEBUG)
    client = make()
    kept.do = lambda _: client.update_user(8, {})
    assert client.update_user(7, {}).id == 7
    assert kept.events().count("call_began") == 1


def test_a_filter_that_raises_fails_no_call(
    make: Make,
    logger: logging.Logger,
    kept: Kept,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger.setLevel(logging.DEBUG)

    def fail(_: object) -> None:
        raise KeyError("mine")

    kept.do = fail
    assert make().update_user(7, {}).id == 7
    assert "KeyError: 'mine'" in capfd.readouterr().err
    monkeypatch.setattr(logging, "raiseExceptions", False)
    assert make().update_user(7, {}).id == 7
    assert capfd.readouterr().err == ""


class Stop(BaseException):
    """The exception of a signal handler."""


@pytest.mark.parametrize("many", [False, True])
def test_a_signal_exception_in_a_log_handler_ends_the_call(
    make: Make, sandbox: Sandbox, logger: logging.Logger, kept: Kept, many: bool
) -> None:
    logger.setLevel(logging.DEBUG)
    sandbox.script(*[{"delay_ms": 10_000}] * 2)
    client = make()
    main = threading.get_ident()

    def raise_stop(_: int, __: FrameType | None) -> None:
        raise Stop

    def interrupt(record: logging.LogRecord) -> None:
        if event_of(record)["event"] == "call_began":
            os.kill(os.getpid(), signal.SIGUSR1)
            # If this is the main thread, the signal handler runs here, in the middle of logging.
            for _ in range(1000 if threading.get_ident() == main else 1):
                time.sleep(0.001)

    kept.do = interrupt
    former = signal.signal(signal.SIGUSR1, raise_stop)
    began = time.monotonic()
    try:
        with pytest.raises(Stop):
            client.update_user(7, {}) if not many else list(client.update_users([(7, {})]))
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert time.monotonic() - began < 5
    # The next call works normally.
    kept.do = lambda _: None
    sandbox.reset()
    assert client.update_user(8, {}, timeout=20).id == 8


ENDING = """
import logging, sys, threading
from commbox import Client

class Slow(logging.StreamHandler):
    def emit(self, record):
        threading.Event().wait(0.001)

logging.getLogger("commbox").addHandler(Slow())
logging.getLogger("commbox").setLevel(1)
client = Client(sys.argv[1], base_url=sys.argv[2])

def call():
    while True:
        client.update_user(7, {})

for _ in range(4):
    threading.Thread(target=call, daemon=True).start()
updates = client.update_users((n, {}) for n in range(1, 100000))
for _ in range(20):
    next(updates)
print("done")
"""


def test_a_program_ends_while_its_threads_are_logging(sandbox: Sandbox) -> None:
    for _ in range(3):
        command = [sys.executable, "-X", "dev", "-c", ENDING, sandbox.api_key, sandbox.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_statistics_of_a_client(make: Make, sandbox: Sandbox) -> None:
    client = make(max_retries=1, retry_base=0.001, retry_cap=0.001, max_requests_per_second=1000)
    assert (client.stats.calls, client.stats.latency.p50, client.stats.failed_by_code) == (
        0,
        None,
        {},
    )
    sandbox.script({"status": 503}, {"status": 404})
    with pytest.raises(commbox.NotFoundError):
        client.update_user(7, {})
    sandbox.script({"delay_ms": 100, "own": True})
    client.with_options(timeout=30).update_user(7, {})
    stats = client.with_options(timeout=30).stats
    assert (stats.calls, stats.succeeded, stats.failed, stats.failed_by_code) == (2, 1, 1, {404: 1})
    assert (stats.attempts, stats.retried, stats.throttled, stats.refused) == (3, 1, 0, 1)
    assert (stats.waiting, stats.in_flight) == (0, 0)
    assert 1 <= stats.connections_opened <= 3
    assert stats.line == LineStats("open", 1000, None, None)
    assert stats.latency.count == 2
    assert 0.1 <= stats.latency.sum < 20
    assert stats.latency.p99 is not None
    assert 0.08 <= stats.latency.p99 < 20
    client.close()
    with pytest.raises(CommBoxError, match="the client is closed"):
        client.stats  # noqa: B018


def test_every_statistic_of_the_library_is_present(client: Client) -> None:
    told = json.loads(take_text(lib.commbox_client_stats_json(client._handle)))
    assert set(told) == set(get_type_hints(ClientStats))
    for name, kind in (("line", LineStats), ("latency", LatencyStats)):
        assert {member.replace("_ms", "") for member in told[name]} == set(get_type_hints(kind))


def test_diagnose_reports_what_it_reaches(make: Make, sandbox: Sandbox) -> None:
    client = make()
    found = client.diagnose()
    assert (found["server"]["host"], found["server"]["tls"], found["proxy"]) == (
        "127.0.0.1",
        False,
        None,
    )
    assert [(each["address"], each["error"]) for each in found["connections"]] == [
        (sandbox.url[len("http://") :], None)
    ]
    assert found["clock"] is None or abs(found["clock"]["ahead_s"]) <= 5
    assert [request["path"] for request in sandbox.requests() if "users" in request["path"]] == []
    client.close()
    with pytest.raises(CommBoxError, match="the client is closed"):
        client.diagnose()
