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

# Bound now: while the interpreter exits, modules lose their names.
_modules = sys.modules

_LEVELS = {1: 40, 2: 30, 3: 20, 4: 10, 5: 5}
"""The library's levels, from errors to everything, and those of ``logging``."""

telling: set[int] = set()
"""The threads that run handlers now."""

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
    # A program that has not imported it has no handler.
    find = getattr(_modules.get("logging"), "getLogger", None)
    if find is not None:
        _logger = find(NAME)
    return _logger


def _is_usable() -> bool:
    """Whether threads of the library may run handlers here.

    ctypes lets them run Python in the main interpreter alone, and where threads are greenlets, the locks of ``logging``
    are no locks between threads.
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
        # Not by logger.log(), which would name the line of this package from which it was called.
        extra = {"event": event}
        logger.handle(logger.makeRecord(NAME, number, __name__, 0, text, (), None, None, extra))
    except Exception:
        _report()
    finally:
        telling.discard(ident)
        _forget(ident)


def _forget(ident: int) -> None:
    """Takes a thread of the library out of ``threading.enumerate()``: a record that is made there, for its thread's
    name, puts it in, and before Python 3.13 nothing takes it out."""
    threading: Any = _modules["threading"]
    if type(threading._active.get(ident)) is threading._DummyThread:
        with threading._active_limbo_lock:
            threading._active.pop(ident, None)


def _report() -> None:
    """A filter raised. Handlers report what they raise themselves, in the same way."""
    logging, traceback = _modules.get("logging"), _modules.get("traceback")
    if getattr(logging, "raiseExceptions", False) and traceback is not None and sys.stderr is not None:
        with suppress(OSError, ValueError):
            traceback.print_exc()
