"""Tests calls that block: retries, cancel, Ctrl-C, and processes that fork."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import SOON, Sandbox

import commbox
from commbox import APICancelledError, Client, RateLimitError, _interrupt


def test_a_transient_failure_is_retried(sandbox: Sandbox) -> None:
    sandbox.script({"status": 503}, {"reset": True}, {"own": True})
    with Client(sandbox.api_key, base_url=sandbox.url, retry_base=0.01) as client:
        assert client.update_user(1, first_name="John").status == 200
    assert len(sandbox.requests()) == 3


def test_a_retry_after_beyond_the_deadline_fails_at_once(sandbox: Sandbox) -> None:
    sandbox.script({"status": 429, "headers": {"Retry-After": "30"}})
    began = time.monotonic()
    with Client(sandbox.api_key, base_url=sandbox.url, timeout=5) as client:
        with pytest.raises(RateLimitError) as raised:
            client.update_user(1, first_name="John")
        assert raised.value.retry_after == 30
        # All calls of the client are paused, so this one is not even sent.
        with pytest.raises(RateLimitError) as waiting:
            client.update_user(2, first_name="John")
    assert (waiting.value.code, waiting.value.name, waiting.value.delivery) == (
        -11,
        "throttled",
        "not_sent",
    )
    assert waiting.value.retry_after is not None
    assert len(sandbox.requests()) == 1
    assert time.monotonic() - began < 1


def test_cancel_ends_the_calls_of_other_threads(sandbox: Sandbox) -> None:
    sandbox.script({"delay_ms": 8000}, {"delay_ms": 8000})
    caught: list[BaseException] = []

    def call() -> None:
        try:
            client.update_user(1, first_name="John")
        except commbox.CommBoxError as error:
            caught.append(error)

    with Client(sandbox.api_key, base_url=sandbox.url) as client:
        threads = [threading.Thread(target=call) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        began = time.monotonic()
        client.cancel()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began < SOON
        assert [type(error) for error in caught] == [APICancelledError] * 2
        assert client.update_user(1, first_name="John").status == 200


PROGRAM = """
import signal, sys, threading, time
from commbox import Client

# What a shell starts in its background ignores it otherwise.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = Client(sys.argv[1], base_url=sys.argv[2])
{setup}
print("calling", flush=True)
try:
    {call}
except {raised} as error:
    print("raised", type(error).__name__, time.time(), flush=True)
else:
    print("returned", flush=True)
{after}
"""


def interrupted(
    sandbox: Sandbox,
    number: int,
    *,
    setup: str = "",
    call: str = "client.update_user(1, first_name='John')",
    raised: str = "KeyboardInterrupt",
    after: str = "",
) -> tuple[list[str], float]:
    """Starts a process, sends it a signal in the middle of a call, and returns its output and the
    time.
    """
    text = PROGRAM.format(setup=setup, call=call, raised=raised, after=after)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", text, sandbox.api_key, sandbox.url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "calling\n"
            time.sleep(0.4)
            sent = time.time()
            process.send_signal(number)
            output, errors = process.communicate(timeout=20)
        finally:
            # The process has ended, or the test fails and ends it here.
            process.kill()
    assert errors == ""
    assert process.returncode == 0
    return output.split(), sent


def test_ctrl_c_ends_a_waiting_call_within_200_ms(sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 10_000}] * 5)
    times = []
    for _ in range(5):
        words, sent = interrupted(sandbox, signal.SIGINT)
        assert words[:2] == ["raised", "KeyboardInterrupt"]
        times.append(float(words[2]) - sent)
    assert min(times) < 0.2
    assert max(times) < SOON


def test_ctrl_c_ends_the_backoff(sandbox: Sandbox) -> None:
    sandbox.script({"status": 503, "headers": {"Retry-After": "20"}})
    words, sent = interrupted(sandbox, signal.SIGINT)
    assert words[:2] == ["raised", "KeyboardInterrupt"]
    assert float(words[2]) - sent < SOON


def test_a_handler_that_does_not_raise_lets_the_call_continue(sandbox: Sandbox) -> None:
    sandbox.script({"delay_ms": 1500})
    setup = "signal.signal(signal.SIGUSR1, lambda *_: print('handled', flush=True))"
    words, _ = interrupted(sandbox, signal.SIGUSR1, setup=setup)
    assert words == ["handled", "returned"]


def test_a_handler_may_make_its_own_calls(sandbox: Sandbox) -> None:
    sandbox.script({"delay_ms": 1500}, {"delay_ms": 500})
    setup = (
        "def update(*_): print(client.update_user(2, first_name='Jane').id, flush=True)\n"
        "signal.signal(signal.SIGUSR1, update)"
    )
    words, _ = interrupted(sandbox, signal.SIGUSR1, setup=setup)
    assert words == ["2", "returned"]


def test_an_exception_of_a_handler_propagates_from_the_call(sandbox: Sandbox) -> None:
    sandbox.script({"delay_ms": 8000})
    setup = "def stop(*_): raise TimeoutError\nsignal.signal(signal.SIGUSR1, stop)"
    words, _ = interrupted(sandbox, signal.SIGUSR1, setup=setup, raised="TimeoutError")
    assert words[:2] == ["raised", "TimeoutError"]


def test_ctrl_c_does_not_end_calls_of_other_threads(sandbox: Sandbox) -> None:
    sandbox.script({"delay_ms": 1500}, {"delay_ms": 10_000})
    setup = (
        "def update(): print(client.update_user(3, first_name='Jane').status, flush=True)\n"
        "thread = threading.Thread(target=update)\n"
        "thread.start()\ntime.sleep(0.2)"
    )
    words, _ = interrupted(sandbox, signal.SIGINT, setup=setup, after="thread.join()")
    assert words[:2] == ["raised", "KeyboardInterrupt"]
    assert words[3:] == ["200"]


ALL = "[*client.update_users((number, {'FirstName': 'John'}) for number in range(1, 1_000_000))]"


def test_ctrl_c_ends_the_wait_for_results_within_200_ms(sandbox: Sandbox) -> None:
    times = []
    for _ in range(3):
        sandbox.script(*[{"delay_ms": 10_000}] * 8)
        words, sent = interrupted(sandbox, signal.SIGINT, call=ALL)
        assert words[:2] == ["raised", "KeyboardInterrupt"]
        times.append(float(words[2]) - sent)
    assert min(times) < 0.2
    assert max(times) < SOON


def test_ctrl_c_ends_a_batch_at_full_speed(sandbox: Sandbox) -> None:
    words, sent = interrupted(sandbox, signal.SIGINT, call=ALL)
    assert words[:2] == ["raised", "KeyboardInterrupt"]
    assert float(words[2]) - sent < SOON


def test_the_rest_can_be_collected_after_ctrl_c(sandbox: Sandbox) -> None:
    setup = (
        "rows = ((number, {'FirstName': 'John'}) for number in range(1, 1_000_000))\n"
        "updates = client.update_users(rows)\nseen = []"
    )
    after = (
        "updates.cancel()\nseen += [result.index for result in updates]\n"
        "print(sorted(seen) == list(range(len(seen))), updates.stats.succeeded)"
    )
    sandbox.script({}, *[{"delay_ms": 700, "own": True}] * 8)
    call = "for result in updates: seen.append(result.index)"
    words, _ = interrupted(sandbox, signal.SIGINT, setup=setup, call=call, after=after)
    assert words[:2] == ["raised", "KeyboardInterrupt"]
    assert words[3] == "True"
    assert int(words[4]) == len(sandbox.requests())


def test_ctrl_c_loses_no_confirmed_result(sandbox: Sandbox) -> None:
    setup = (
        "rows = ((number, {'FirstName': 'John'}) for number in range(1, 4001))\n"
        "updates = client.update_users(rows)\nseen = []\n"
        "interrupts = 0\nimport os\n"
        "def often():\n    for _ in range(20):\n"
        "        time.sleep(0.02); os.kill(os.getpid(), signal.SIGUSR1)\n"
        "class Stop(BaseException): pass\n"
        "def stop(*_): raise Stop\n"
        "signal.signal(signal.SIGUSR1, stop)\n"
        "sender = threading.Thread(target=often)"
    )
    # list.extend() keeps the results in C, so that this program itself loses none.
    after = """
sender.start()
while True:
    try:
        seen.extend(updates)
        if not sender.is_alive():
            break
    except Stop:
        interrupts += 1
sender.join()
assert sorted(result.index for result in seen) == list(range(len(seen))), "lost or twice"
bad = [(result.error.code, result.error.name) for result in seen if not result.ok]
assert set(bad) <= {(-8, "cancelled")}, bad
stats = updates.stats
assert stats.succeeded == sum(result.ok for result in seen), (stats, len(seen))
print(interrupts > 0, len(seen), stats.succeeded, len(bad))
"""
    words, _ = interrupted(sandbox, signal.SIGINT, setup=setup, call="time.sleep(9)", after=after)
    assert words[:2] == ["raised", "KeyboardInterrupt"]
    assert words[3] == "True"
    assert int(words[5]) == len(sandbox.requests())
    assert int(words[5]) + int(words[6]) == int(words[4])


def test_a_handler_may_update_while_the_batch_waits(sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 1500, "own": True}] * 8)
    setup = (
        "def update(*_): print(client.update_user(2, first_name='Jane').id, flush=True)\n"
        "signal.signal(signal.SIGUSR1, update)\n"
        "rows = [(number, {}) for number in range(11, 19)]"
    )
    call = "print(sum(result.ok for result in client.update_users(rows)))"
    words, _ = interrupted(sandbox, signal.SIGUSR1, setup=setup, call=call)
    assert words == ["2", "8", "returned"]


DAEMONS = """
import sys, threading, time
from commbox import Client

client = Client(sys.argv[1], base_url=sys.argv[2])
for number in range(20):
    threading.Thread(target=client.update_user, args=(number + 1, {}), daemon=True).start()
time.sleep(0.3)
junk = [[{} for _ in range(100)] for _ in range(5000)]  # so that the end takes a while
"""


def test_daemon_threads_in_calls_do_not_disturb_the_exit(sandbox: Sandbox) -> None:
    sandbox.script(*[{"delay_ms": 5000}] * 20)
    command = [sys.executable, "-W", "error", "-c", DAEMONS, sandbox.api_key, sandbox.url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def _update(client: Client, user_id: int) -> int | None:
    return client.update_user(user_id, first_name="John").id


def _child(client: Client, first: int, results: multiprocessing.Queue[list[int | None]]) -> None:
    results.put([_update(client, first + step) for step in range(20)])


def test_a_client_works_on_both_sides_of_a_fork(sandbox: Sandbox) -> None:
    fork = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[list[int | None]] = fork.Queue()
    with Client(sandbox.api_key, base_url=sandbox.url) as client:
        assert _update(client, 1) == 1
        children = [
            fork.Process(target=_child, args=(client, 1000 * child, results))
            for child in range(1, 5)
        ]
        for process in children:
            process.start()
        parents = [_update(client, 10_000 + step) for step in range(50)]
        got = [results.get(timeout=20) for _ in children]
        for process in children:
            process.join(timeout=20)
            assert process.exitcode == 0
    assert parents == [10_000 + step for step in range(50)]
    assert sorted(got) == [[1000 * child + step for step in range(20)] for child in range(1, 5)]
    # Every request was sent once, and none was mixed up with another.
    paths = [request["path"] for request in sandbox.requests()]
    assert len(paths) == len(set(paths)) == 1 + 50 + 80


def test_garbage_is_collected_while_a_thread_makes_its_first_call(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    garbage = [client.update_users([])]
    batch = garbage[0]._batch
    new_listener = _interrupt._Thread.new_listener

    def collecting(self: _interrupt._Thread) -> Any:
        garbage.clear()
        return new_listener(self)

    monkeypatch.setattr(_interrupt._Thread, "new_listener", collecting)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(client.update_user, 7, {}).result().status == 200
    assert not garbage
    with pytest.raises(commbox.CommBoxError, match="the batch is closed"):
        batch.stats()
