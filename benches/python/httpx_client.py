"""httpx, with one client for all threads."""

import ssl
from typing import Any, Callable

import httpx
from harness import HEADERS, Work, run


def connect(work: Work) -> Callable[[], Any]:
    client = httpx.Client(
        headers=HEADERS,
        verify=ssl.create_default_context(cafile=work.ca_file or None),
        limits=httpx.Limits(max_connections=work.threads, max_keepalive_connections=work.threads),
        timeout=60,
    )

    def update() -> Any:
        reply = client.post(work.endpoint, content=work.body)
        reply.raise_for_status()
        return reply.json()

    return update


run(connect)
