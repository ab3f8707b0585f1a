"""The number of updates that an event loop may have submitted at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Slots:
    """A semaphore for the tasks of one event loop, which enter in the order in which they came.

    Usually a slot is free. :meth:`take` then takes it at less cost than awaiting
    ``asyncio.Semaphore.acquire()``.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._turns: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Takes a slot if one is free, and returns whether it has done so."""
        # As long as tasks wait, each slot that is released is given to one of them.
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Waits for a slot, and takes it."""
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):
                    self._turns.remove(turn)
            else:
                self.release()
            raise

    def release(self) -> None:
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
