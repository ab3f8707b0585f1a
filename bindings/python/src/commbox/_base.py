"""What the clients have in common: a handle of the library, made from a key and options."""

from __future__ import annotations

import atexit
import math
import os
import time
import weakref
from collections.abc import Mapping

from . import _interrupt, _late
from ._errors import TIMES
from ._fields import c_double, c_text, invalid, json_object
from ._hints import resolvable
from ._library import check, handle, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Optional, Union

_clients: weakref.WeakSet[BaseClient] = weakref.WeakSet()


@atexit.register
def _end() -> None:
    """Gets daemon threads out of calls that poll: Python would kill them there, which Rust's frames do not bear.

    Exit handlers that were registered before this one run after it, and make calls too: those do not poll.
    """
    _interrupt.ending = True
    for client in list(_clients):
        lib.commbox_client_set_interrupt(client._handle, _interrupt.CALLBACK(), None)
    until = time.monotonic() + 1
    while _interrupt.elsewhere and time.monotonic() < until:
        for client in list(_clients):
            lib.commbox_client_cancel(client._handle)
        time.sleep(0.01)


class BaseClient:
    """A client's handle, from its making to its end."""

    _handle: Optional[int] = None
    _closed = True
    _base_url: Optional[str] = None
    _poll = _interrupt.CALLBACK()
    """What calls ask while they wait; this asks nothing."""

    def __init__(
        self,
        api_key: Optional[str] = None,
        *,
        base_url: Optional[str] = None,
        allow_http: Optional[bool] = None,
        timeout: Optional[float] = None,
        attempt_timeout: Optional[float] = None,
        connect_timeout: Optional[float] = None,
        max_retries: Optional[int] = None,
        retry_base: Optional[float] = None,
        retry_cap: Optional[float] = None,
        max_requests_per_second: Optional[float] = None,
        order_per_user: Optional[bool] = None,
        rate_group: Optional[str] = None,
        max_idle_connections: Optional[int] = None,
        idle_timeout: Optional[float] = None,
        dns_ttl: Optional[float] = None,
        proxy: Optional[str] = None,
        ca_file: Union[str, os.PathLike[str], None] = None,
        client_cert_file: Union[str, os.PathLike[str], None] = None,
        client_key_file: Union[str, os.PathLike[str], None] = None,
        validate: Optional[bool] = None,
        user_agent: Optional[str] = None,
    ) -> None:
        if api_key is None:
            api_key = os.environ.get("COMMBOX_API_KEY", "")
        self._base_url = base_url if base_url is not None else os.environ.get("COMMBOX_BASE_URL") or None
        options = {
            "base_url": self._base_url,
            "allow_http": allow_http,
            "max_retries": max_retries,
            "max_requests_per_second": max_requests_per_second,
            "order_per_user": order_per_user,
            "rate_group": rate_group,
            "max_idle_connections": max_idle_connections,
            "proxy": proxy,
            "ca_file": _path(ca_file),
            "client_cert_file": _path(client_cert_file),
            "client_key_file": _path(client_key_file),
            "validate": validate,
            "user_agent": user_agent,
            **milliseconds(
                timeout=timeout,
                attempt_timeout=attempt_timeout,
                connect_timeout=connect_timeout,
                retry_base=retry_base,
                retry_cap=retry_cap,
                idle_timeout=idle_timeout,
                dns_ttl=dns_ttl,
            ),
        }
        self._handle = new_handle(api_key, options)
        self._closed = False
        if not self._poll or _interrupt.ending:
            return
        _clients.add(self)
        check(lib.commbox_client_set_interrupt(self._handle, self._poll, _interrupt.CONTEXT))

    def set_api_key(self, api_key: str) -> None:
        """Puts another API key in the place of the present one, for every attempt that starts from now on.

        Raises:
            ValidationError: The key is malformed; the present one stays.
        """
        check(lib.commbox_client_set_api_key(self._handle, c_text("api_key", api_key)))

    def set_max_requests_per_second(self, rate: float) -> None:
        """Sets the option ``max_requests_per_second`` of the running client, for every request from now on, those of
        waiting calls included. 0 removes the limit.

        Raises:
            ValidationError: The rate is out of range; the present limit stays.
        """
        check(lib.commbox_client_set_max_requests_per_second(self._handle, c_double("rate", rate)))

    def _close(self) -> None:
        # Once: freeing leaves the last error of the thread alone, a second time is an error itself.
        if not self._closed:
            self._closed = True
            lib.commbox_client_free(self._handle)

    def __del__(self) -> None:
        self._close()

    def __reduce__(self) -> NoReturn:
        # A copy would hold the same handle and free it, and in another process it is none.
        raise TypeError(f"{type(self).__name__} objects cannot be copied or pickled; make another one")

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}()" if self._base_url is None else f"{name}(base_url={self._base_url!r})"


resolvable(BaseClient, globals())


def new_handle(api_key: str, options: Mapping[str, Any]) -> int:
    """A client of the library, with options as the library calls them."""
    _late.load()
    hint = "" if api_key else "; pass api_key, or set COMMBOX_API_KEY"
    return handle(lib.commbox_client_new(c_text("api_key", api_key), json_object(-3, options)), hint)


def _path(path: Union[str, os.PathLike[str], None]) -> Optional[str]:
    return None if path is None else os.fspath(path)


_LONGEST = 1e12
"""More seconds than any time may have: the library says what its bound is, if it can still read the number."""


def milliseconds(**times: float | None) -> dict[str, int | None]:
    """The times as the library takes them, or a refusal that lists all that are no numbers."""
    problems = ((name, _wrong_time(seconds)) for name, seconds in times.items())
    wrong = [f"{name} {problem}" for name, problem in problems if problem]
    if wrong:
        raise invalid(-3, "; ".join(wrong))
    options: dict[str, int | None] = {}
    for option, name in TIMES.items():
        if name in times:
            seconds = times[name]
            options[option] = None if seconds is None else round(max(-_LONGEST, min(seconds, _LONGEST)) * 1000)
    return options


def _wrong_time(seconds: object) -> str | None:
    if seconds is None:
        return None
    if type(seconds).__name__ == "timedelta":
        return "must be a number of seconds, not timedelta; use its total_seconds()"
    if isinstance(seconds, bool) or not hasattr(type(seconds), "__float__"):
        return f"must be a number of seconds, not {type(seconds).__name__}"
    try:
        finite = math.isfinite(seconds)  # type: ignore[arg-type]
    except OverflowError:  # an int beyond all floats
        return None
    return None if finite else "must be a finite number of seconds"
