"""Tests the limit of the updates that an event loop submits."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from commbox._slots import Slots


def test_tasks_enter_in_order() -> None:
    async def main() -> None:
        slots = Slots(2)
        entered: list[int] = []

        async def enter(number: int) -> None:
            if not slots.take():
                await slots.wait()
            entered.append(number)
            await asyncio.sleep(0)
            # Another task comes just before the slot is free.
            late = asyncio.create_task(enter(number + 10)) if number < 3 else None
            await asyncio.sleep(0)
            slots.release()
            if late is not None:
                await late

        await asyncio.gather(*(enter(number) for number in range(5)))
        assert entered == [0, 1, 2, 3, 4, 10, 11, 12]
        assert slots.take()
        assert slots.take()
        assert not slots.take()

    asyncio.run(main())


def test_a_cancelled_task_costs_no_slot() -> None:
    async def main() -> None:
        slots = Slots(1)
        assert slots.take()
        tasks = [asyncio.create_task(slots.wait()) for _ in range(4)]
        await asyncio.sleep(0)
        # One waits, another one has its turn but has not run.
        tasks[1].cancel()
        slots.release()
        tasks[0].cancel()
        for task in tasks[:2]:
            with suppress(asyncio.CancelledError):
                await task
        await tasks[2]
        assert not tasks[3].done()
        slots.release()
        await tasks[3]
        slots.release()
        assert slots.take()
        assert not slots.take()

    asyncio.run(main())
