"""Shows the progress of many updates on standard error."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sized
from contextlib import suppress
from typing import Any, Callable, NamedTuple, Optional, Protocol, TextIO, Union


class BatchProgress(NamedTuple):
    """The progress of ``update_users``, for a function that is given as ``progress``.

    >>> rows = [(94382332, {"FirstName": "John"})]
    >>> for _ in client.update_users(rows, progress=lambda now: print(now.done, now.total)):
    ...     pass
    1 1
    1 1
    """

    done: int
    """Updates that have finished."""
    failed: int
    """The number of these that failed."""
    total: Optional[int]
    """The number of updates; None if unknown."""
    elapsed: float
    """Time since the first update, in seconds."""


AnyProgress = Union[bool, Callable[[BatchProgress], object]]
"""What ``update_users`` accepts as ``progress``."""


class Progress(Protocol):
    """Shows how many updates have finished."""

    def count(self, ok: bool) -> None:
        """Counts an update that has finished."""

    def close(self) -> None:
        """Shows the final count."""


UNWRITABLE = (OSError, ValueError)
"""The exceptions of a full disk, a broken pipe or a closed stream. The updates continue without
progress output.
"""


def check_progress(progress: object, total: object) -> None:
    """Raises an error if an option is invalid, before anything is sent."""
    if not isinstance(progress, bool) and not callable(progress):
        raise TypeError(
            f"progress must be True, False or a function, not {type(progress).__name__}"
        )
    if total is not None and (isinstance(total, bool) or not isinstance(total, int)):
        raise TypeError(f"total must be an int, not {type(total).__name__}")
    if total is not None and total < 0:
        raise ValueError("total must be 0 or more")


def start_progress(progress: AnyProgress, total: int | None, updates: object) -> Progress | None:
    """Returns an object that shows the progress of ``updates``, or None."""
    if progress is False:
        return None
    if total is None and isinstance(updates, Sized):
        total = len(updates)
    return _start_shown(total) if progress is True else _Calls(progress, total)


def _start_shown(total: int | None) -> Progress | None:
    """Returns a tqdm bar if standard error is a terminal and tqdm is installed. Otherwise prints
    lines: every 5 seconds on a terminal, every 30 in a log, and at the end.
    """
    stream = sys.stderr
    if stream is None:  # as under pythonw
        return None
    try:
        if not stream.isatty():
            return _Lines(total, stream, 30)
    except UNWRITABLE:
        return None
    try:
        tqdm = importlib.import_module("tqdm").tqdm
    except ImportError:
        return _Lines(total, stream, 5)
    return _Bar(tqdm(total=total, unit="update", file=stream, dynamic_ncols=True))


class _Calls:
    def __init__(self, call: Callable[[BatchProgress], object], total: int | None) -> None:
        self._call, self._total = call, total
        self._done = self._failed = 0
        self._began = time.monotonic()

    def count(self, ok: bool) -> None:
        self._done += 1
        self._failed += not ok
        self.close()

    def close(self) -> None:
        elapsed = time.monotonic() - self._began
        self._call(BatchProgress(self._done, self._failed, self._total, elapsed))


class _Bar:
    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._failed = 0
        bar.set_postfix(failed=0, refresh=False)

    def count(self, ok: bool) -> None:
        if not ok:
            self._failed += 1
            self._bar.set_postfix(failed=self._failed, refresh=False)
        with suppress(*UNWRITABLE):
            self._bar.update(1)

    def close(self) -> None:
        with suppress(*UNWRITABLE):
            self._bar.close()


class _Lines:
    def __init__(self, total: int | None, stream: TextIO, every: float) -> None:
        self._total, self._stream, self._every = total, stream, every
        self._done = self._failed = 0
        self._began = time.monotonic()
        self._due = self._began + every

    def count(self, ok: bool) -> None:
        self._done += 1
        self._failed += not ok
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._every
            self._print(now, self._left(now))

    def close(self) -> None:
        now = time.monotonic()
        self._print(now, f"in {_duration(now - self._began)}")

    def _left(self, now: float) -> str:
        if self._total is None:
            return f"{_duration(now - self._began)} so far"
        missing = max(self._total - self._done, 0)
        return f"{_duration(missing * (now - self._began) / self._done)} left"

    def _print(self, now: float, time_text: str) -> None:
        known = "" if self._total is None else f" of {self._total:,}"
        rate = self._done / max(now - self._began, 0.001)
        line = (
            f"commbox: {self._done:,}{known} updates, {self._failed:,} failed, "
            f"{rate:,.0f} a second, {time_text}"
        )
        with suppress(*UNWRITABLE):
            print(line, file=self._stream, flush=True)


def _duration(seconds: float) -> str:
    """Formats a duration as hours, minutes and seconds: ``1:02:03``, ``2:03``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
