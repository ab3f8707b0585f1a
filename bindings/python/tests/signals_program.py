"""Sends signals during a call. ``test_signals.py`` runs this program with every Python it finds, so
it imports nothing else.

Arguments: the API key, the sandbox's URL, and ``two`` or ``trace``. Each server answer takes 2 s.
Prints the seconds until a call raised and the exceptions that were raised, oldest first; then the
results of later calls.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from commbox import Client


def stop(*_: object) -> None:
    raise SystemExit(7)


def send(*numbers: int) -> None:
    time.sleep(0.3)
    for number in numbers:
        os.kill(os.getpid(), number)


def names(error: BaseException | None) -> list[str]:
    found: list[str] = []
    while error is not None:
        found.insert(0, type(error).__name__)
        error = error.__context__
    return found


def interrupted(client: Client, *numbers: int) -> tuple[float, list[str]]:
    """Returns the time from the signals to the end of the call, and all exceptions raised in it and
    just after.
    """
    began = time.monotonic()
    sender = threading.Thread(target=send, args=numbers)
    took, raised = 0.0, []
    try:
        try:
            sender.start()
            client.update_user(1, first_name="John")
        finally:
            took = time.monotonic() - began
            # Pending signal handlers raise here at the latest.
            time.sleep(0.01)
    except BaseException as error:
        raised = names(error)
    sender.join()
    return took - 0.3, raised


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, stop)
    key, url, mode = sys.argv[1:]
    client = Client(key, base_url=url, max_retries=0)
    numbers = [signal.SIGINT, signal.SIGTERM] if mode == "two" else [signal.SIGINT]
    for _ in range(4):
        if mode == "trace":
            sys.settrace(lambda *_: None)
        took, raised = interrupted(client, *numbers)
        sys.settrace(None)
        print(f"{took:.3f}", *raised, flush=True)
    # Each call outlasts many polls.
    print(client.update_user(2, first_name="John").status)
    with Client(key, base_url=url) as other:
        print(other.update_user(3, first_name="John").status)


main()
