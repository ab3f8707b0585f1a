"""urllib3, with one pool for all threads."""

from typing import Any, Callable

import urllib3
from harness import HEADERS, Work, run


def connect(work: Work) -> Callable[[], Any]:
    pool = urllib3.PoolManager(
        maxsize=work.threads, headers=HEADERS, ca_certs=work.ca_file or None, timeout=60
    )

    def update() -> Any:
        reply = pool.request("POST", work.endpoint, body=work.body)
        if reply.status != 200:
            raise ValueError(f"status {reply.status}")
        return reply.json()

    return update


run(connect)
