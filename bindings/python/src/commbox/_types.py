"""What keywords may be: for type checkers alone, since making these takes long at import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypedDict


class ClientOptions(TypedDict, total=False):
    """The options of a client as keywords; :class:`Client` has what each means."""

    base_url: str | None
    allow_http: bool | None
    timeout: float | None
    attempt_timeout: float | None
    connect_timeout: float | None
    max_retries: int | None
    retry_base: float | None
    retry_cap: float | None
    max_requests_per_second: float | None
    max_idle_connections: int | None
    idle_timeout: float | None
    dns_ttl: float | None
    proxy: str | None
    ca_file: str | os.PathLike[str] | None
    client_cert_file: str | os.PathLike[str] | None
    client_key_file: str | os.PathLike[str] | None
    validate: bool | None
    user_agent: str | None


class UserFields(TypedDict, total=False):
    """The fields of a user as keywords; :meth:`Client.update_user` has what each may be."""

    unique_id: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    phone1: str | None
    phone2: str | None
    remarks: str | None
    content: Mapping[str, Any]
