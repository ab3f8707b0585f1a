"""A batch of the library that sends the calls of an AsyncClient and delivers their results to the
event loops.

Each loop watches the batch's file descriptor, so neither a Python thread nor calls between threads
are needed. A thread serves the loops that cannot watch a descriptor, such as Windows' proactor
loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, Callable, Optional
from weakref import WeakKeyDictionary, WeakSet, ref

from . import _interrupt
from ._batch_handle import Batch, Finished
from ._library import lib
from ._slots import Slots

_QUEUE_LIMIT = 1_000_000
"""The library's maximum, since submissions are bounded by slots or by the overall timeout."""

_Waiting = dict[int, tuple["Pending", Optional[Slots]]]
_Awaited = tuple["Pending", Optional[Slots], Finished]


_process = object()
"""Identifies this process. Reading the process id would cost a system call for each update."""


def _enter_child() -> None:
    global _process
    _process = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_enter_child)


class _UnpolledBatch(Batch):
    """A batch of an AsyncClient. Its calls do not poll."""

    _wait = staticmethod(_interrupt.call_unpolled)

    def view(self) -> _UnpolledBatch:
        """Returns another object for the same batch, to collect results on another thread."""
        view = object.__new__(_UnpolledBatch)
        view._handle = self._handle
        view._begin()
        return view

    def notify_fd(self) -> int:
        """Returns the descriptor that is readable while there are results to collect; -1 if the
        system provides none.
        """
        fd: int = lib.commbox_batch_notify_fd(self._handle)
        return fd


class Pending(asyncio.Future[Finished]):
    """The future of an update. :meth:`resume` runs the task that awaits it at once, which saves one
    turn of the event loop.
    """

    _callback: Optional[tuple[Callable[[Any], object], Context]] = None

    def add_done_callback(
        self, function: Callable[[Any], object], *, context: Optional[Context] = None
    ) -> None:
        context = copy_context() if context is None else context
        if self._callback is None and not self.done():
            self._callback = function, context
        else:
            super().add_done_callback(function, context=context)

    def cancel(self, *arguments: Any, **options: Any) -> bool:
        self.schedule()
        return super().cancel(*arguments, **options)

    def resume(self) -> None:
        """Calls back, after the result has been set."""
        if self._callback is not None:
            (function, context), self._callback = self._callback, None
            context.run(function, self)

    def schedule(self) -> None:
        """Lets the event loop call back, unless that has been done."""
        if self._callback is not None:
            (function, context), self._callback = self._callback, None
            super().add_done_callback(function, context=context)


class Courier:
    """Owns a batch and collects its results.

    It has no reference to the client, so that the client's finalizer can close it.
    """

    def __init__(self, client: int | None, concurrency: int, options: Mapping[str, object]) -> None:
        self._process = _process
        self._concurrency = concurrency
        self._batch = _UnpolledBatch(
            client,
            concurrency=concurrency,
            queue_limit=_QUEUE_LIMIT,
            stop_on_unauthorized=False,
            **options,
        )
        # An update's tag is the address of its future. This dictionary keeps the future alive until
        # the result is collected.
        self._waiting: _Waiting = {}
        self._lock = threading.Lock()
        self._users = 0
        self._closing = False
        self._fd = -1
        # The loops that watch the descriptor; a thread serves the others.
        self._watching: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        self._thread: Optional[threading.Thread] = None
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, Slots] = WeakKeyDictionary()
        # Those of the loop that asked last, which is usually the only one.
        self._latest: Optional[tuple[ref[asyncio.AbstractEventLoop], Slots]] = None

    @property
    def is_inherited(self) -> bool:
        """Whether this process forked after the courier was created, so that the courier is
        unusable here.
        """
        return self._process is not _process

    def join(self) -> bool:
        """Registers a call, unless the courier is closed. The batch then stays open until the call
        leaves, even if the courier is closed meanwhile.
        """
        # In a forked child, a thread that it does not have may hold the lock.
        if self.is_inherited:
            return False
        with self._lock:
            if self._closing:
                return False
            self._users += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._closing:
                self._end()

    def slots_of(self, loop: asyncio.AbstractEventLoop) -> Slots:
        """Returns the slots of a loop, on which results will be collected. There are twice as many
        as updates in flight, so that the next update is already submitted when one finishes.
        """
        latest = self._latest
        if latest is None or latest[0]() is not loop:
            with self._lock:
                if loop not in self._slots:
                    self._watch(loop)
                    self._slots[loop] = Slots(2 * self._concurrency)
                self._latest = latest = ref(loop), self._slots[loop]
        return latest[1]

    def submit(
        self,
        loop: asyncio.AbstractEventLoop,
        user_id: int,
        text: bytes,
        call_json: Optional[bytes],
        slots: Optional[Slots],
    ) -> asyncio.Future[Finished]:
        """Submits an update from a loop that has slots. The update's slot, if it has one, is
        released when the result is collected, or here if the update is refused.
        """
        future = Pending(loop=loop)
        tag = id(future)
        self._waiting[tag] = future, slots
        try:
            self._batch.submit(tag, user_id, text, call_json)
        except BaseException:
            del self._waiting[tag]
            if slots is not None:
                slots.release()
            raise
        return future

    def cancel(self, future: asyncio.Future[Finished]) -> None:
        """Cancels the update whose future was cancelled."""
        if id(future) in self._waiting:
            self._batch.cancel_tag(id(future))

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(NotImplementedError):
            if self._fd < 0:
                self._fd = self._batch.notify_fd()
            if self._fd >= 0:
                loop.add_reader(self._fd, _bring, loop, self._batch.view(), self._waiting)
                self._watching.add(loop)
                return
        if self._thread is None:
            # A daemon thread, because a program may end without closing its client.
            work = self._batch.view(), self._waiting
            thread = threading.Thread(
                target=_bring_all, args=work, name="commbox-async", daemon=True
            )
            thread.start()
            self._thread = thread

    def close(self) -> None:
        """Closes the batch as soon as every call has left and all results were collected."""
        with self._lock:
            self._closing = True
            self._end()

    def _end(self) -> None:
        if not self._closing or self._users or self.is_inherited:
            return
        here = asyncio._get_running_loop()
        elsewhere = []
        for loop in list(self._watching):
            if loop is here or not loop.is_running():
                # A closed loop has no readers.
                if not loop.is_closed():
                    loop.remove_reader(self._fd)
                self._watching.discard(loop)
            else:
                elsewhere.append(loop)
        for loop in elsewhere:
            # A loop's readers may only be removed on its own thread. The last loop frees the batch,
            # and with it the descriptor.
            try:
                loop.call_soon_threadsafe(self._leave_loop, loop)
            except RuntimeError:
                self._watching.discard(loop)
        self._free()

    def _leave_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            loop.remove_reader(self._fd)
            self._watching.discard(loop)
            self._free()

    def _free(self) -> None:
        if len(self._watching):
            return
        if self._thread is None:
            self._batch.free()
        else:
            self._batch.close()


def _bring(loop: asyncio.AbstractEventLoop, batch: Batch, waiting: _Waiting) -> None:
    """Collects finished updates on a loop that watches the descriptor."""
    awaited = _collect(batch, waiting, 0)
    if awaited:
        own = awaited.pop(loop, [])
        if awaited:
            _wake_others(awaited)
        _wake(own)


def _bring_all(batch: Batch, waiting: _Waiting) -> None:
    """Collects all updates on a thread as they finish."""
    while not batch.done:
        _wake_others(_collect(batch, waiting, -1))
    batch.free()


def _collect(
    batch: Batch, waiting: _Waiting, timeout_ms: int
) -> dict[asyncio.AbstractEventLoop, list[_Awaited]]:
    """Collects the next finished update and all others that have finished by then. Grouping them by
    loop wakes each loop only once.
    """
    finished = batch.next(timeout_ms)
    awaited: dict[asyncio.AbstractEventLoop, list[_Awaited]] = {}
    while finished is not None:
        future, slots = waiting.pop(finished.tag)
        awaited.setdefault(future.get_loop(), []).append((future, slots, finished))
        batch.release()
        # Usually only one call was pending, so this saves a call of the library.
        finished = batch.next(0) if waiting else None
    return awaited


def _wake_others(awaited: dict[asyncio.AbstractEventLoop, list[_Awaited]]) -> None:
    for loop, arrived in awaited.items():
        # If the loop is closed, nobody awaits the results.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_wake, arrived)


def _wake(arrived: list[_Awaited]) -> None:
    for future, slots, finished in arrived:
        if slots is not None:
            slots.release()
        if not future.done():
            future.set_result(finished)
    # No task runs before all results are set: one that ends the program must not lose the others.
    try:
        for future, _, _ in arrived:
            future.resume()
    except BaseException:
        for future, _, _ in arrived:
            future.schedule()
        raise
