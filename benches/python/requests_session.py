"""requests, with a session a thread: they are not made to be shared."""

from typing import Any, Callable

import requests
from harness import HEADERS, Work, run


def connect(work: Work) -> Callable[[], Any]:
    session = requests.Session()
    session.headers.update(HEADERS)
    session.verify = work.ca_file or True

    def update() -> Any:
        reply = session.post(work.endpoint, data=work.body, timeout=60)
        reply.raise_for_status()
        return reply.json()

    return update


run(connect, a_thread=True)
