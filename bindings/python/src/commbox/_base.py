"""The base of both clients: a handle of the library, created with an API key and options."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections.abc import Iterable, Mapping

from . import _interrupt, _late, _log
from ._errors import check, handle
from ._fields import (
    OMITTED,
    Omitted,
    c_double,
    c_text,
    given_fields,
    id_number,
    json_object,
    user_json,
)
from ._hints import resolvable
from ._library import lib, quick, take_text
from ._options import NO_OPTIONS, header_object, milliseconds, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Optional, Union

    # Type checkers resolve this name even if typing_extensions is not installed.
    from typing_extensions import Self

    from ._stats import ClientStats

_clients: weakref.WeakSet[BaseClient] = weakref.WeakSet()
_logged: weakref.WeakSet[BaseClient] = weakref.WeakSet()
"""The clients whose events are sent to a logger."""


@atexit.register
def _end() -> None:
    """Makes daemon threads leave calls that poll, and all threads leave logging. During shutdown
    Python would kill threads that need the interpreter, and Rust's stack frames cannot be unwound
    that way.

    Exit handlers that were registered before this one run after it and may still make calls. Those
    calls do not poll.
    """
    _interrupt.ending = _log.ending = True
    for client in list(_logged):
        lib.commbox_client_set_log(client._handle, 0, _interrupt.LOG(), None)
        # Let a thread that is about to report an event finish.
        time.sleep(0.01)
    for client in list(_clients):
        lib.commbox_client_set_interrupt(client._handle, _interrupt.CALLBACK(), None)
    until = time.monotonic() + 1
    while (_interrupt.elsewhere or _log.telling) and time.monotonic() < until:
        for client in list(_clients):
            lib.commbox_client_cancel(client._handle)
        time.sleep(0.01)


class BaseClient:
    """Owns the handle of a client."""

    _handle: Optional[int] = None
    _closed = True
    _base_url: Optional[str] = None
    _parent: Optional[BaseClient] = None
    """The client that this one was derived from, whose handle it uses."""
    _log_level = 0
    """The log level that is set in the library."""
    _call = NO_OPTIONS
    """The default options of this client's calls."""
    _poll = _interrupt.CALLBACK()
    """The callback that is invoked while a call blocks. The default is NULL."""

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
        unknown_fields: Optional[str] = None,
        custom_fields: Optional[Iterable[str]] = None,
        user_agent: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
        request_id_header: Optional[str] = None,
    ) -> None:
        self._base_url = base_url
        options = {
            "base_url": base_url,
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
            "unknown_fields": unknown_fields,
            "custom_fields": names(custom_fields),
            "user_agent": user_agent,
            "headers": header_object(headers),
            "request_id_header": request_id_header,
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
        """Replaces the API key. Every attempt that starts afterwards uses the new key.

        >>> client.set_api_key("my-new-api-key")

        Raises:
            ValidationError: The key is malformed. The client keeps its present key.
        """
        check(lib.commbox_client_set_api_key(self._handle, c_text("api_key", api_key)))

    def set_max_requests_per_second(self, rate: float) -> None:
        """Sets the option ``max_requests_per_second``, for every request from now on, including
        those of pending calls. 0 removes the limit.

        >>> client.set_max_requests_per_second(20)

        Raises:
            ValidationError: The rate is out of range. The client keeps its present limit.
        """
        check(lib.commbox_client_set_max_requests_per_second(self._handle, c_double("rate", rate)))

    def with_options(
        self,
        *,
        timeout: Optional[float] = None,
        attempt_timeout: Optional[float] = None,
        max_retries: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Self:
        """Returns a client whose calls have these options by default.

        Both clients share their connections, API key and rate limit; ``cancel``, ``set_api_key``
        and ``set_max_requests_per_second`` of one affect the other. The new client need not be
        closed: it ends when the original is closed.

        >>> quick = client.with_options(timeout=0.3, max_retries=0)
        >>> quick.update_user(94382332, first_name="John").status
        200

        Args:
            timeout: Timeout of a call, which covers queueing, all attempts and all backoff, in
                seconds.
            attempt_timeout: Timeout of one attempt, in seconds.
            max_retries: Maximum number of retries after a transient failure, 0 to 100.
            headers: Additional headers for every request. Each replaces a header of the client with
                the same name.

        If an option is None, that of the original applies. The options of a call itself take
        precedence.

        Raises:
            ValidationError: An option is invalid.
        """
        call = self._call.replace(timeout, attempt_timeout, max_retries, headers)
        call.check()
        derived = object.__new__(type(self))
        # A subclass may have additional attributes.
        derived.__dict__.update(self.__dict__)
        derived._closed = False
        derived._call = call
        derived._parent = self._root
        return derived

    def validate_user(
        self,
        user_id: int,
        user: Union[Mapping[str, Any], Omitted] = OMITTED,
        *,
        unique_id: Union[str, Omitted, None] = OMITTED,
        first_name: Union[str, Omitted, None] = OMITTED,
        last_name: Union[str, Omitted, None] = OMITTED,
        email: Union[str, Omitted, None] = OMITTED,
        phone1: Union[str, Omitted, None] = OMITTED,
        phone2: Union[str, Omitted, None] = OMITTED,
        remarks: Union[str, Omitted, None] = OMITTED,
        content: Union[Mapping[str, Any], Omitted] = OMITTED,
    ) -> None:
        """Checks an update like ``update_user`` does before it sends anything. It sends nothing and
        does not block.

        It takes the same arguments as ``update_user``: the fields as keywords, or in a mapping. If
        the client's option ``validate`` is False, it checks only that the user is a JSON object.

        >>> client.validate_user(94382332, {"firstname": "John"})
        Traceback (most recent call last):
        commbox.ValidationError: ...

        Raises:
            ValidationError: The id or the user is invalid. The message contains all problems.
        """
        given = given_fields(
            unique_id=unique_id,
            first_name=first_name,
            last_name=last_name,
            email=email,
            phone1=phone1,
            phone2=phone2,
            remarks=remarks,
            content=content,
        )
        self._validate(user_id, user_json(user, given))

    def validate_user_json(self, user_id: int, user_json: str) -> None:
        """Checks an update like :meth:`validate_user`, with JSON text as for ``update_user_json``.

        >>> client.validate_user_json(94382332, '{"FirstName": "John"}')
        """
        self._validate(user_id, c_text("user_json", user_json))

    def _validate(self, user_id: int, text: bytes) -> None:
        check(quick.commbox_client_validate_user_json(self._handle, id_number(user_id), text))

    @property
    def stats(self) -> ClientStats:
        """The statistics of the client since it was created: calls, failures by code, connections,
        the rate limit, latencies.

        Clients that were created with :meth:`with_options` have the statistics of the original.

        >>> client.update_user(94382332, first_name="John").status
        200
        >>> client.stats.succeeded
        1

        Raises:
            CommBoxError: The client is closed.
        """
        return _late.client_stats(take_text(handle(lib.commbox_client_stats_json(self._handle))))

    def _follow_logging(self) -> None:
        """Turns the library's events on if the program's logging wants them, otherwise off."""
        level = _log.wanted()
        root = self._root
        if level != root._log_level and root._handle is not None and not root._closed:
            root._log_level = level
            _logged.add(root)
            callback = _interrupt.LOG_CALLBACK if level else _interrupt.LOG()
            check(lib.commbox_client_set_log(root._handle, level, callback, None))

    @property
    def _root(self) -> Self:
        """The client that owns the handle: this one or its parent."""
        return self if self._parent is None else self._parent  # type: ignore[return-value]

    def _close(self) -> None:
        # Free the handle only once: the first time leaves the thread's last error unchanged, but a
        # second time is an error itself.
        if not self._closed:
            self._closed = True
            if self._parent is None:
                _interrupt.call_listening(lib.commbox_client_free, self._handle)
            else:
                self._handle = self._parent = None

    def __del__(self) -> None:
        self._close()

    def __reduce__(self) -> NoReturn:
        # A copy would free the same handle, and the handle is invalid in another process.
        raise TypeError(
            f"{type(self).__name__} objects cannot be copied or pickled; make another one"
        )

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}()" if self._base_url is None else f"{name}(base_url={self._base_url!r})"


resolvable(BaseClient, globals())


def new_handle(api_key: Optional[str], options: Mapping[str, Any]) -> int:
    """Creates a client of the library from options by the library's names. If there is no key, the
    library reads it from the environment.
    """
    _late.load()
    key = None if api_key is None else c_text("api_key", api_key)
    return handle(lib.commbox_client_new(key, json_object(-3, options)))


def _path(path: Union[str, os.PathLike[str], None]) -> Optional[str]:
    return None if path is None else os.fspath(path)
