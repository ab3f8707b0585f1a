"""This library's AsyncClient. It trusts what SSL_CERT_FILE names, as the bench sets it."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Callable

import commbox
from harness import API_KEY, Work, run_async


@contextlib.asynccontextmanager
async def connect(work: Work) -> AsyncIterator[Callable[[int], Awaitable[Any]]]:
    async with commbox.AsyncClient(
        API_KEY, base_url=work.url, max_concurrency=work.threads
    ) as client:

        async def update(user_id: int) -> Any:
            return json.loads(await client.update_user_json(user_id, work.body))

        yield update


run_async(connect)
