"""This library. It trusts what SSL_CERT_FILE names, as the bench sets it."""

import json
from typing import Any, Callable

import commbox
from harness import API_KEY, USER_ID, Work, run


def connect(work: Work) -> Callable[[], Any]:
    client = commbox.Client(API_KEY, base_url=work.url, max_idle_connections=work.threads)
    return lambda: json.loads(client.update_user_json(USER_ID, work.body))


run(connect)
