"""Calls in programs that gevent has patched. A call that blocks the thread would block all of its
greenlets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

# Bound now, because module globals may be gone during interpreter shutdown.
_modules = sys.modules


def has_patched_threads() -> bool:
    """Whether threads are greenlets. A call that blocks in the library would then block all of
    them.
    """
    monkey = _modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def run(function: Callable[..., T], *arguments: object) -> T:
    """Runs a function that blocks. If this thread runs greenlets, it runs on a thread of gevent's
    pool while they continue.
    """
    monkey = _modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("socket"):
        return function(*arguments)
    # Only a thread that runs greenlets has a hub; the pool's threads have none.
    hub = _modules["gevent._hub_local"].get_hub_if_exists()
    if hub is None:
        return function(*arguments)
    value, error = hub.threadpool.apply(_outcome, (function, arguments))
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


def _outcome(
    function: Callable[..., T], arguments: tuple[object, ...]
) -> tuple[T | None, Exception | None]:
    """Returns what a function returns or raises. The pool would print an exception."""
    try:
        return function(*arguments), None
    except Exception as error:
        return None, error
