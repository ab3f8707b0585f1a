"""A batch of the library: submits updates, and collects their results."""

from __future__ import annotations

import ctypes
import json
from typing import Any, NamedTuple, Optional

from . import _interrupt
from ._errors import check, handle
from ._fields import json_object
from ._library import lib, quick, take_text
from ._took import UNKNOWN, Took, begin, took

DONE, TIMEOUT, CANCELLED = 1, -7, -8


class Finished(NamedTuple):
    """The result of an update, as the library returns it."""

    tag: int
    code: int
    text: str
    took: Took = UNKNOWN


class Batch:
    """Owns a batch of the library."""

    _wait = staticmethod(_interrupt.call)

    def __init__(self, client: Optional[int], **options: object) -> None:
        self._handle = handle(lib.commbox_batch_new(client, json_object(-3, options)))
        self._begin()

    def _begin(self) -> None:
        self.done = False
        """Whether the batch is closed and all results were collected."""
        self._tag, self._code, self._text = ctypes.c_uint64(), ctypes.c_int32(), ctypes.c_void_p()
        # The same pointer as text, which is copied faster than by string_at().
        self._bytes = ctypes.c_char_p.from_buffer(self._text)
        self._places = ctypes.byref(self._tag), ctypes.byref(self._code), ctypes.byref(self._text)
        self._number = 0

    def submit(self, tag: int, user_id: int, user_json: bytes, call_json: Optional[bytes]) -> None:
        # The timeout is 0 because the library's queue is never full: callers count the uncollected
        # results.
        check(quick.commbox_batch_submit_with(self._handle, tag, user_id, user_json, call_json, 0))

    def next(self, timeout_ms: int) -> Finished | None:
        """Returns the next finished update; the same one again until it is released. Returns None
        if none finishes within the timeout, if there are no more, or if the wait was cancelled.

        If a signal handler raises meanwhile, no result is lost: the next call returns it.
        """
        if self._text.value is None:
            collect = (lib if timeout_ms else quick).commbox_batch_next
            self._number = begin()
            outcome = self._wait(collect, self._handle, timeout_ms, *self._places)
            if outcome == DONE:
                self.done = True
            if outcome in (DONE, TIMEOUT, CANCELLED):
                return None
            check(outcome)
        text = self._bytes.value or b""
        return Finished(self._tag.value, self._code.value, text.decode(), took(self._number))

    def release(self) -> None:
        """Discards the current result, so that :meth:`next` collects another one."""
        text, self._text.value = self._text.value, None
        if text is not None:
            quick.commbox_string_free(text)

    def __del__(self, free: Any = lib.commbox_string_free) -> None:
        # The owner was interrupted before it collected this. The attribute is missing if __init__
        # failed.
        text = self.__dict__.get("_text")
        if text is not None and text.value is not None:
            free(text)

    def close(self) -> None:
        check(lib.commbox_batch_close(self._handle))

    def cancel(self) -> None:
        check(lib.commbox_batch_cancel(self._handle))

    def cancel_tag(self, tag: int) -> None:
        check(lib.commbox_batch_cancel_tag(self._handle, tag))

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = json.loads(
            take_text(handle(lib.commbox_batch_stats_json(self._handle)))
        )
        return stats

    def free(self) -> None:
        _interrupt.call_listening(lib.commbox_batch_free, self._handle)
