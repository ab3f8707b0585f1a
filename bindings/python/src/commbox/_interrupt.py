"""Ctrl-C during a call: runs Python's signal handlers while the library blocks.

The library invokes ``POLL`` periodically, on the thread that made the call. Python runs a pending
signal handler, and raises its exception, as soon as any Python code runs on the main thread. That
includes the entry of a function, before a ``try`` in it could catch anything; ctypes could then
only print the exception. ``POLL`` therefore resumes a generator that is suspended inside its
``try``; the method caller and ``send`` are C code.

A second signal may raise while the exception of the first is handled. The generators are therefore
nested: an exception outside the ``try`` of one is raised inside the ``try`` of the next. A
generator that has caught an exception is not used again: the next call creates new ones.

``LOG_CALLBACK``, which receives the library's events, works the same way for the same reason:
handlers of ``logging`` are Python code. An exception from them or from a signal handler ends the
call. ``print`` is a C function that accepts all arguments of the callback and writes each to
``thread``, which sends it to the generator.
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
"""The arguments: a context, the level, and the addresses of the event as JSON and as a sentence."""


DEPTH = 8
"""Maximum number of exceptions that one call can catch. Far fewer signals arrive within one poll.
"""

# Until Python 3.11, an exception that a trace function raises while a generator is resumed bypasses
# the generator's ``try``, and signal handlers run within the trace function.
TRACE_ENDS_GENERATORS = sys.version_info < (3, 12)

# Bound now, because module globals may be gone during interpreter shutdown.
_gettrace, _settrace, _getprofile, _setprofile = (
    sys.gettrace,
    sys.settrace,
    sys.getprofile,
    sys.setprofile,
)


class _Thread(threading.local):
    """The state that the calls of one thread poll. ``POLL`` looks up ``send`` here, and
    ``LOG_CALLBACK`` looks up ``write``.
    """

    error: BaseException | None = None
    # Placeholders until a new thread has its own. Python may collect garbage before that, which may
    # free a batch and thus use them.
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

    def _catch(
        self, inner: Generator[int, Optional[str], None]
    ) -> Generator[int, Optional[str], None]:
        """Yields what ``inner`` yields. After ``inner`` has raised an exception, stores it and
        yields 1, which cancels the call.
        """
        try:
            yield from inner
        except GeneratorExit:
            return
        except BaseException as error:
            # Do not call anything here: after a call, Python would run the handlers of further
            # signals.
            if error.__context__ is None and error is not self.error:
                error.__context__ = self.error
            self.error = error
        while True:
            yield 1


def _go_on() -> Generator[int, Optional[str], None]:
    arguments: list[str] = []
    while True:
        argument = yield 0
        # POLL sends None, and print sends empty strings between and after the arguments.
        if argument:
            arguments.append(argument)
            if len(arguments) == len(LOG._argtypes_):
                _, level, event_json, sentence = arguments
                arguments.clear()
                _log.tell(int(level), int(event_json), int(sentence))


thread = _Thread()

POLL = CALLBACK(operator.methodcaller("send", None))
"""Pass this to the library together with ``CONTEXT``."""

LOG_CALLBACK = LOG(functools.partial(print, file=thread, sep="", end=""))
"""Pass this to the library without a context; print then writes the NULL context as the text
``None``.
"""

CONTEXT = id(thread)


elsewhere: set[int] = set()
"""The threads, other than the main thread, that are in a call now."""

ending = False
"""Whether the interpreter is shutting down. Python kills any thread that then needs the
interpreter, so no call polls any more.
"""


def call(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function of the library that may block. Returns its code, or raises the exception
    that was raised meanwhile.
    """
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
    """Calls a function of the library that does not block. Raises the exception of a log handler,
    if any.
    """
    outer = thread.listener
    if not outer.gi_running:
        return call_unpolled(function, *arguments)
    # A signal handler makes this call while another call blocks, whose listener is in use.
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
            # The call does not poll any more, so it is safe, and a later exit handler may wait for
            # it.
            elsewhere.discard(number)
            return call_unpolled(function, *arguments)
        code = call_unpolled(function, *arguments)
        if ending:
            # Ends the thread silently.
            raise SystemExit
        return code
    finally:
        elsewhere.discard(number)


if hasattr(os, "register_at_fork"):
    # A forked child has only the thread that forked.
    os.register_at_fork(after_in_child=elsewhere.clear)
    os.register_at_fork(after_in_child=_log.telling.clear)


def call_unpolled(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function of the library that does not poll."""
    if thread.error is not None:
        # A second signal arrived before the previous call could clean up after the first.
        _reset()
    try:
        code = function(*arguments)
    except BaseException as error:
        # The exception of a further signal, whose handler ran as soon as the library returned.
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
