"""How far many updates have come, on standard error."""

from __future__ import annotations

import importlib
import sys
import time
from contextlib import suppress
from typing import Any, Protocol, TextIO


class Progress(Protocol):
    """Shows how many updates have finished."""

    def count(self, ok: bool) -> None:
        """Counts an update that has finished."""

    def close(self) -> None:
        """Shows where it ended."""


UNWRITABLE = (OSError, ValueError)
"""What a full disk, a broken pipe or a closed stream raises: the updates go on without being shown."""


def check_progress(progress: object) -> None:
    """Refuses what is neither True nor False: a function would never be called."""
    if not isinstance(progress, bool):
        raise TypeError(f"progress must be True or False, not {type(progress).__name__}")


def start_progress(total: int | None) -> Progress | None:
    """A bar of tqdm on a terminal, where tqdm is installed; else lines: every 5 seconds on a terminal, every 30 in a
    log, and at the end."""
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
        line = f"commbox: {self._done:,}{known} updates, {self._failed:,} failed, {rate:,.0f} a second, {time_text}"
        with suppress(*UNWRITABLE):
            print(line, file=self._stream, flush=True)


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds as a clock shows them: ``1:02:03``, ``2:03``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
