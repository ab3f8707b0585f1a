"""aiohttp, with one session."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Callable

import aiohttp
from harness import HEADERS, Work, run_async


@contextlib.asynccontextmanager
async def connect(work: Work) -> AsyncIterator[Callable[[int], Awaitable[Any]]]:
    context = ssl.create_default_context(cafile=work.ca_file) if work.ca_file else True
    connector = aiohttp.TCPConnector(limit=work.threads, ssl=context)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(
        connector=connector, headers=HEADERS, timeout=timeout
    ) as session:

        async def update(user_id: int) -> Any:
            async with session.post(f"{work.url}/users/{user_id}", data=work.body) as reply:
                reply.raise_for_status()
                return await reply.json()

        yield update


run_async(connect)
