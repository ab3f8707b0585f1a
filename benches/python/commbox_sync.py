"""This library. It trusts what SSL_CERT_FILE names, as the bench sets it."""

import json
from threading import get_ident
from typing import Any, Callable

import commbox
from harness import API_KEY, Work, run


def connect(work: Work) -> Callable[[], Any]:
    client = commbox.Client(API_KEY, base_url=work.url, max_idle_connections=work.threads)
    # Each thread updates a user of its own, since those of one are sent in turn.
    return lambda: json.loads(client.update_user_json(get_ident(), work.body))


run(connect)
