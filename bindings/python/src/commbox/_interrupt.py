"""Ctrl-C during a call: runs Python's signal handlers while the library waits.

The library calls ``POLL`` every so often, on the thread that made the call. Python runs a signal's handler, and raises
what it raises, as soon as any Python code runs on the main thread: on entering a function too, before a ``try`` in it
could catch anything, and then ctypes can only print it. So ``POLL`` resumes a generator that is suspended inside its
``try``; the method caller and ``send`` are C.

A second signal may raise while the first one's exception is handled. So the generators are nested: whatever is raised
outside the ``try`` of one is raised inside the ``try`` of the next. A generator that has caught something is used no
more: the next call makes new ones.

``LOG_CALLBACK``, to which the library tells its events, goes the same way, for the same reason: handlers of ``logging``
are Python code. What they raise, signal handlers among them, ends the call. ``print`` is a function in C that takes all
arguments of the callback and writes each to ``thread``, and so sends it to the generator.
"""

from __future__ import annotations

import functools
import operator
import os
import sys
import threading
from collections.abc import Callable, Generator
from ctypes import CFUNCTYPE, c_int32, c_void_p, py_object
from types import GeneratorType

from . import _log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, TypeVar

    T = TypeVar("T")

CALLBACK = CFUNCTYPE(c_int32, py_object)

LOG = CFUNCTYPE(None, c_void_p, c_int32, c_void_p, c_void_p)
"""A context, the level, and the addresses of the event as JSON and as a sentence."""


DEPTH = 8
"""How many exceptions one call can catch: far more than signals arrive within one poll."""

# Until 3.11 what a trace function raises as a generator is resumed passes by the generator's ``try``, and a signal's
# handler runs within the trace function.
TRACE_ENDS_GENERATORS = sys.version_info < (3, 12)

# Bound now: while the interpreter exits, modules lose their names.
_gettrace, _settrace, _getprofile, _setprofile = sys.gettrace, sys.settrace, sys.getprofile, sys.setprofile


class _Thread(threading.local):
    """What the calls of one thread poll; ``send`` is looked up here by ``POLL``, and ``write`` by ``LOG_CALLBACK``."""

    error: BaseException | None = None
    # Until a new thread has its own. Python may collect garbage meanwhile, and that may free a batch.
    listener: GeneratorType[int, Optional[str], None] = (0 for _ in ())  # type: ignore[assignment]
    send: Callable[[None], int] = bool
    write: Callable[[str], int] = bool

    def __init__(self) -> None:
        self.listen(self.new_listener())

    def listen(self, listener: GeneratorType[int, Optional[str], None]) -> None:
        self.listener, self.send = listener, listener.send
        self.write = listener.send

    def new_listener(self) -> GeneratorType[int, Optional[str], None]:
        listener = _go_on()
        for _ in range(DEPTH):
            listener = self._catch(listener)
        next(listener)
        return listener  # type: ignore[return-value]

    def _catch(self, inner: Generator[int, Optional[str], None]) -> Generator[int, Optional[str], None]:
        """Answers what ``inner`` does; 1, which ends the call, once that has raised something, which is kept."""
        try:
            yield from inner
        except GeneratorExit:
            return
        except BaseException as error:
            # No call in here: after one, Python runs the handlers of further signals.
            if error.__context__ is None and error is not self.error:
                error.__context__ = self.error
            self.error = error
        while True:
            yield 1


def _go_on() -> Generator[int, Optional[str], None]:
    arguments: list[str] = []
    while True:
        argument = yield 0
        # POLL sends None, and print an empty text between and after the arguments.
        if argument:
            arguments.append(argument)
            if len(arguments) == len(LOG._argtypes_):
                _, level, event_json, sentence = arguments
                arguments.clear()
                _log.tell(int(level), int(event_json), int(sentence))


thread = _Thread()

POLL = CALLBACK(operator.methodcaller("send", None))
"""To be given to the library with ``CONTEXT``."""

LOG_CALLBACK = LOG(functools.partial(print, file=thread, sep="", end=""))
"""To be given to the library without a context, which is a word of its own then: ``None``."""

CONTEXT = id(thread)


elsewhere: set[int] = set()
"""The threads, other than the main one, that are in a call now."""

ending = False
"""Whether the interpreter ends. A thread that asks for Python then is killed where it stands: none polls any more."""


def call(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function of the library that may wait, and returns its code, or raises what was raised meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        return _call_elsewhere(function, *arguments)
    if TRACE_ENDS_GENERATORS and (_gettrace() is not None or _getprofile() is not None):
        return _call_untraced(function, *arguments)
    return call_listening(function, *arguments)


def _call_untraced(function: Callable[..., T], *arguments: object) -> T:
    trace, profile = _gettrace(), _getprofile()
    try:
        _settrace(None)
        _setprofile(None)
        return call_listening(function, *arguments)
    finally:
        _setprofile(profile)
        _settrace(trace)


def call_listening(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function of the library that does not wait, or raises what a handler of its log raised."""
    outer = thread.listener
    if not outer.gi_running:
        return call_unpolled(function, *arguments)
    # A signal handler makes a call while another call waits: that one's listener is in use.
    thread.listen(thread.new_listener())
    try:
        return call_unpolled(function, *arguments)
    finally:
        thread.listen(outer)


def _call_elsewhere(function: Callable[..., T], *arguments: object) -> T:
    number = threading.get_ident()
    elsewhere.add(number)
    try:
        if ending:
            # Nothing polls any more: it is safe, and a later exit handler may wait for it.
            elsewhere.discard(number)
            return call_unpolled(function, *arguments)
        code = call_unpolled(function, *arguments)
        if ending:
            # Ends the thread without a word.
            raise SystemExit
        return code
    finally:
        elsewhere.discard(number)


if hasattr(os, "register_at_fork"):
    # The child has the thread that forked, and no other.
    os.register_at_fork(after_in_child=elsewhere.clear)
    os.register_at_fork(after_in_child=_log.telling.clear)


def call_unpolled(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function of the library that does not ask ``POLL``."""
    if thread.error is not None:
        # A second signal came before the last call could clean up after the first.
        _reset()
    try:
        code = function(*arguments)
    except BaseException as error:
        # A further signal, whose handler ran as soon as the library returned.
        if error.__context__ is None and error is not thread.error:
            error.__context__ = thread.error
        _reset()
        raise
    caught = thread.error
    if caught is not None:
        _reset()
        raise caught
    return code


def _reset() -> None:
    thread.listen(thread.new_listener())
    thread.error = None
