"""What the contestants in Python have in common: the command line, the threads, the clock, and the
reading of the reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import sys
import threading
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Callable

API_KEY = "my-api-key"
USER_ID = 94382332
HEADERS = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}


@dataclass
class Work:
    """What a contestant is told."""

    url: str
    ca_file: str
    threads: int
    warmup: int
    calls: int
    body: str

    @property
    def endpoint(self) -> str:
        return f"{self.url}/users/{USER_ID}"


@dataclass
class Tally:
    succeeded: int = 0
    opened: float = 0
    answered_at: float = 0
    times: list[float] = field(default_factory=list)

    def count(self, reply: Any) -> None:
        if reply["status"] != "200" or reply["data"]["Id"] != USER_ID:
            raise ValueError(f"not the reply that was expected: {reply}")
        self.succeeded += 1
        if not self.answered_at:
            self.answered_at = time.time()


def read_work() -> Work:
    url, ca_file, threads, warmup, calls, body = sys.argv[1:]
    return Work(url, ca_file, int(threads), int(warmup), int(calls) // int(threads), body)


def processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory(name: str) -> int:
    """Returns a line of /proc/self/status in KiB: VmHWM is the peak since the program was loaded,
    VmRSS the present size.
    """
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))


def report(tally: Tally, seconds: float, processor: float, peak: int, resident: int) -> None:
    times = sorted(tally.times) or [0.0]
    figures = {
        "succeeded": tally.succeeded,
        "opened_us": tally.opened * 1e6,
        "answered_at": tally.answered_at,
        "seconds": seconds,
        "processor_seconds": processor,
        "median_us": times[len(times) // 2] * 1e6,
        "p99_us": times[len(times) * 99 // 100] * 1e6,
        "peak_kb": peak,
        "resident_kb": resident,
    }
    print(json.dumps(figures))


def run(connect: Callable[[Work], Callable[[], Any]], *, a_thread: bool = False) -> None:
    """Makes the calls from all threads and prints the figures.

    `connect` returns a function that makes a call and returns the reply, read. All threads share
    one function, or with `a_thread` each has its own.
    """
    work = read_work()
    tally = Tally()
    began = time.perf_counter()
    shared = connect(work)
    tally.opened = time.perf_counter() - began
    # Passed four times: all are warm, the clock runs, all are done, the figures are taken.
    barrier = threading.Barrier(work.threads + 1)

    def work_off(update: Callable[[], Any]) -> None:
        try:
            for _ in range(work.warmup):
                tally.count(update())
            barrier.wait()
            barrier.wait()
            times = []
            for _ in range(work.calls):
                began = time.perf_counter()
                reply = update()
                times.append(time.perf_counter() - began)
                tally.count(reply)
            tally.times += times
            barrier.wait()
            barrier.wait()
        except BaseException:
            barrier.abort()
            raise

    updates = [shared, *(connect(work) if a_thread else shared for _ in range(work.threads - 1))]
    threads = [threading.Thread(target=work_off, args=(update,)) for update in updates]
    for thread in threads:
        thread.start()
    barrier.wait()
    processor, began = processor_time(), time.perf_counter()
    barrier.wait()
    barrier.wait()
    seconds, processor = time.perf_counter() - began, processor_time() - processor
    peak, resident = memory("VmHWM"), memory("VmRSS")
    barrier.wait()
    for thread in threads:
        thread.join()
    report(tally, seconds, processor, peak, resident)


def run_async(
    connect: Callable[
        [Work], contextlib.AbstractAsyncContextManager[Callable[[int], Awaitable[Any]]]
    ],
) -> None:
    """Makes the calls from as many tasks at once as there would be threads, and prints the figures.

    Each task updates a user of its own: AsyncClient sends those of one user one after the other.
    """
    asyncio.run(_run_async(read_work(), connect))


async def _run_async(work: Work, connect: Callable[[Work], Any]) -> None:
    tally = Tally()

    async def warm_up(update: Callable[[int], Awaitable[Any]], user_id: int) -> None:
        for _ in range(work.warmup):
            tally.count(await update(user_id))

    async def work_off(update: Callable[[int], Awaitable[Any]], user_id: int) -> None:
        for _ in range(work.calls):
            began = time.perf_counter()
            reply = await update(user_id)
            tally.times.append(time.perf_counter() - began)
            tally.count(reply)

    began = time.perf_counter()
    async with connect(work) as update:
        tally.opened = time.perf_counter() - began
        user_ids = range(USER_ID, USER_ID + work.threads)
        await asyncio.gather(*(warm_up(update, user_id) for user_id in user_ids))
        processor, began = processor_time(), time.perf_counter()
        await asyncio.gather(*(work_off(update, user_id) for user_id in user_ids))
        seconds, processor = time.perf_counter() - began, processor_time() - processor
        peak, resident = memory("VmHWM"), memory("VmRSS")
    report(tally, seconds, processor, peak, resident)
