"""Ctrl-C during a call: lets Python's signal handlers run while the library waits.

The library asks ``POLL`` every so often, on the thread that made the call. Python runs a signal's handler, and raises
what it raises, as soon as any Python code runs on the main thread: on entering a function too, before a ``try`` in it
could catch anything, and then ctypes can only print it. So what is asked is a generator that waits inside its ``try``,
and no Python code lies between: the method caller and ``send`` are C.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Generator
from ctypes import CFUNCTYPE, c_int32, py_object
from types import GeneratorType

CALLBACK = CFUNCTYPE(c_int32, py_object)


class _Thread(threading.local):
    """What the calls of one thread ask; ``send`` is looked up here by ``POLL``."""

    error: BaseException | None = None
    listener: GeneratorType[int, None, None]
    send: Callable[[None], int]

    def __init__(self) -> None:
        self.listen(self._new_listener())

    def listen(self, listener: GeneratorType[int, None, None]) -> None:
        self.listener, self.send = listener, listener.send

    def _new_listener(self) -> GeneratorType[int, None, None]:
        listener: GeneratorType[int, None, None] = self._listen()  # type: ignore[assignment]
        next(listener)
        return listener

    def _listen(self) -> Generator[int, None, None]:
        """Answers 1 once something was raised while it waited, and keeps that; else 0."""
        answer = 0
        while True:
            try:
                yield answer
                answer = 0
            except GeneratorExit:
                return
            except BaseException as error:
                self.error, answer = error, 1

    def call_nested(self, function: Callable[..., int], *arguments: object) -> int:
        """For a call that a signal handler makes while another call waits: its listener is busy."""
        outer = self.listener
        self.listen(self._new_listener())
        try:
            return _call(function, *arguments)
        finally:
            self.listen(outer)


thread = _Thread()

POLL = CALLBACK(operator.methodcaller("send", None))
"""To be given to the library with ``CONTEXT``."""

CONTEXT = id(thread)


elsewhere: set[int] = set()
"""The threads, other than the main one, that are in a call now."""

ending = False
"""Whether the interpreter ends: a thread that asks for Python then is killed where it stands."""


def call(function: Callable[..., int], *arguments: object) -> int:
    """Calls a function of the library that may wait, and returns its code, or raises what was raised meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        return _call_elsewhere(function, *arguments)
    if thread.listener.gi_running:
        return thread.call_nested(function, *arguments)
    return _call(function, *arguments)


def _call_elsewhere(function: Callable[..., int], *arguments: object) -> int:
    number = threading.get_ident()
    elsewhere.add(number)
    try:
        code = None if ending else _call(function, *arguments)
        if code is None or ending:
            # Ends the thread without a word.
            raise SystemExit
        return code
    finally:
        elsewhere.discard(number)


if hasattr(os, "register_at_fork"):
    # The child has the thread that forked, and no other.
    os.register_at_fork(after_in_child=elsewhere.clear)


def _call(function: Callable[..., int], *arguments: object) -> int:
    code = function(*arguments)
    error, thread.error = thread.error, None
    if error is not None:
        raise error
    return code
