"""The attempts and duration of a call, read right after it on the same thread."""

from __future__ import annotations

import itertools
import threading
from operator import methodcaller

from ._library import quick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    Took = tuple[int, float, Optional[str]]
    """Attempts, seconds, and the server's request id."""
else:
    Took = tuple

UNKNOWN: Took = (0, 0.0, None)

_ACCESSORS = (
    quick.commbox_last_attempts,
    quick.commbox_last_elapsed_ms,
    quick.commbox_last_request_id,
)
_ask = methodcaller("__call__")
_numbers = itertools.count(1)


class _Thread(threading.local):
    last = 0
    """The number of the thread's last call that could have changed what the accessors return."""


_thread = _Thread()


def begin() -> int:
    """Assigns a number to a call that is about to be made."""
    _thread.last = number = next(_numbers)
    return number


def took(number: int) -> Took:
    """Returns the attempts and the duration of the call with this number; unknown if a signal
    handler has made another call since.
    """
    # Everything runs in C, so that no signal handler can run in between.
    attempts, elapsed_ms, request_id = map(_ask, _ACCESSORS)
    if _thread.last != number:
        return UNKNOWN
    return attempts, elapsed_ms / 1000, request_id.decode() or None
