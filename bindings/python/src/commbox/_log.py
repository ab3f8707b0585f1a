"""Sends the library's events to ``logging.getLogger("commbox")``, on the thread where they happen.

Nothing is set up unless the program uses ``logging`` and the logger has a handler and a level for
it. Each call checks whether that has changed.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from contextlib import suppress
from ctypes import c_void_p, pythonapi, string_at

from . import _codec, _gevent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

NAME = "commbox"

# Bound now, because module globals may be gone during interpreter shutdown.
_modules = sys.modules

_LEVELS = {1: 40, 2: 30, 3: 20, 4: 10, 5: 5}
"""The library's levels, from errors to traces, and the corresponding levels of ``logging``."""

telling: set[int] = set()
"""The threads that are running log handlers."""

ending = False
"""Whether the interpreter is shutting down. No event is reported then."""

_logger: Optional[Any] = None
_usable: Optional[bool] = None


def wanted() -> int:
    """Returns the library's level that the program's logging is set up for; 0 if there is none."""
    logger = _logger or _find()
    if logger is None or ending or logger.disabled or not logger.hasHandlers() or not _is_usable():
        return 0
    level = max(logger.getEffectiveLevel(), logger.manager.disable + 1)
    return next((ours for ours, theirs in reversed(_LEVELS.items()) if theirs >= level), 0)


def _find() -> Any:
    global _logger
    # If the program has not imported logging, it has no handler.
    find = getattr(_modules.get("logging"), "getLogger", None)
    if find is not None:
        _logger = find(NAME)
    return _logger


def _is_usable() -> bool:
    """Whether the library's threads may run handlers here.

    ctypes callbacks on such threads run only in the main interpreter, and if threads are greenlets,
    the locks of ``logging`` do not exclude other threads.
    """
    global _usable
    if _gevent.has_patched_threads():
        return False
    if _usable is None:
        current = pythonapi.PyInterpreterState_Get
        current.restype = c_void_p
        number = pythonapi.PyInterpreterState_GetID
        number.argtypes = (c_void_p,)
        _usable = number(current()) == 0
    return _usable


def tell(level: int, event_json: int, sentence: int) -> None:
    """Passes an event, whose texts are at these addresses, to the logger."""
    logger = _logger
    if logger is None:
        return
    ident = get_ident()
    telling.add(ident)
    try:
        event = _codec.loads(string_at(event_json))
        text = string_at(sentence).decode()
        number = _LEVELS[level]
        # logger.log() is not used because it would record the calling line of this package.
        extra = {"event": event}
        logger.handle(logger.makeRecord(NAME, number, __name__, 0, text, (), None, None, extra))
    except Exception:
        _report()
    finally:
        telling.discard(ident)
        _forget(ident)


def _forget(ident: int) -> None:
    """Removes a thread of the library from ``threading.enumerate()``. Creating a log record there
    adds it, because the record contains the thread's name, and before Python 3.13 nothing removes
    it.
    """
    threading: Any = _modules["threading"]
    if type(threading._active.get(ident)) is threading._DummyThread:
        with threading._active_limbo_lock:
            threading._active.pop(ident, None)


def _report() -> None:
    """Reports an exception of a filter. Handlers report their own exceptions in the same way."""
    logging, traceback = _modules.get("logging"), _modules.get("traceback")
    if (
        getattr(logging, "raiseExceptions", False)
        and traceback is not None
        and sys.stderr is not None
    ):
        with suppress(OSError, ValueError):
            traceback.print_exc()
