"""Types of keyword arguments, imported only for type hints."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional, TypedDict, Union


class ClientOptions(TypedDict, total=False):
    """The options of a client as keywords; :class:`Client` has what each means."""

    base_url: Optional[str]
    allow_http: Optional[bool]
    timeout: Optional[float]
    attempt_timeout: Optional[float]
    connect_timeout: Optional[float]
    max_retries: Optional[int]
    retry_base: Optional[float]
    retry_cap: Optional[float]
    max_requests_per_second: Optional[float]
    order_per_user: Optional[bool]
    rate_group: Optional[str]
    max_idle_connections: Optional[int]
    idle_timeout: Optional[float]
    dns_ttl: Optional[float]
    proxy: Optional[str]
    ca_file: Union[str, os.PathLike[str], None]
    client_cert_file: Union[str, os.PathLike[str], None]
    client_key_file: Union[str, os.PathLike[str], None]
    validate: Optional[bool]
    unknown_fields: Optional[str]
    custom_fields: Optional[Iterable[str]]
    user_agent: Optional[str]
    headers: Optional[Mapping[str, str]]
    request_id_header: Optional[str]


class UserFields(TypedDict, total=False):
    """The fields of a user as keywords; :meth:`Client.update_user` has what each may be."""

    unique_id: Optional[str]
    first_name: Optional[str]
    last_name: Optional[str]
    email: Optional[str]
    phone1: Optional[str]
    phone2: Optional[str]
    remarks: Optional[str]
    content: Mapping[str, Any]


class SingleCallOptions(TypedDict, total=False):
    """The options of a call; :meth:`Client.update_user` has what each means."""

    timeout: Optional[float]
    attempt_timeout: Optional[float]
    max_retries: Optional[int]
    headers: Optional[Mapping[str, str]]


class FieldsAndOptions(UserFields, SingleCallOptions, total=False):
    """The keywords of a call."""
