"""The client: converts arguments, calls the library, and raises what it reports."""

from __future__ import annotations

import ctypes
import json
import math
import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Final, NoReturn, overload

from . import _interrupt
from ._errors import ValidationError, from_json
from ._library import lib


class _Omitted(Enum):
    """Tells a field that is not given from None, which is sent as null."""

    OMITTED = "omitted"

    def __repr__(self) -> str:
        return "<omitted>"


_OMITTED: Final = _Omitted.OMITTED


@dataclass(frozen=True)
class UpdateResult:
    """The server's reply to an update that it confirmed. What the reply does not have is None."""

    id: int | None
    """The id of the user that was updated."""
    status: int | None
    """The status in the reply, 200 in general."""
    description: str | None
    """The server's own words, such as ``"Operation successful"``."""
    response_time: str | None
    """When the server answered, as it wrote it: ``"2024-08-06T07:51:52.2581942Z"``."""
    raw: str = field(repr=False)
    """The whole reply as it came, JSON."""


class Client:
    """A CommBox API key, options, and connections that stay open between calls.

    Making a client sends nothing. One for a whole program is best, shared by its threads: every method may be called
    from any thread at any time, and other threads run while a call waits. Use it in a ``with`` statement, or call
    :meth:`close`.

    Args:
        api_key: The key that CommBox issued, without the word "Bearer". Default: the environment's
            ``COMMBOX_API_KEY``, read now. It is never shown.
        base_url: Where the API is, with a path prefix if need be. Default: the environment's ``COMMBOX_BASE_URL``,
            read now, or ``https://api.commbox.io``. ``http`` is for loopback only, unless ``allow_http``.
        allow_http: Allow ``http`` to any host: key and data then travel in the clear. Default False.
        timeout: Longest time of a call, all included, in seconds. Default 60. This and every other time has the
            precision of a millisecond and is at most a day.
        attempt_timeout: Longest time of one attempt, in seconds. Default 15.
        connect_timeout: Longest time of name lookup, connect and TLS handshake, in seconds. Default 5.
        max_retries: How often a failure that may pass is tried again, 0 to 100. Default 3.
        retry_base: The bound of the first wait between attempts, in seconds; it doubles, and each wait is a random part
            of it. Default 0.5.
        retry_cap: The highest bound, in seconds, not below ``retry_base``. Default 8.
        max_requests_per_second: Over all threads, evenly spaced, 0.001 to 1000000; 0 is no limit, the default.
        max_idle_connections: Connections kept open between calls, 0 to 1024. Default 16.
        idle_timeout: How long an unused connection is kept, in seconds. Default 60.
        dns_ttl: How long a name lookup is remembered, in seconds. Default 60.
        proxy: An http(s) URL, or ``""`` for none. Default: the environment's ``HTTPS_PROXY`` and the like.
        ca_file: A PEM file of certificates to trust beside the system's.
        validate: Check the user before it is sent. Default True.
        user_agent: Appended to ``commbox/<version>``.

    None keeps an option's default. A failure that may pass is tried again, and after a 429 all calls of the client wait
    until the server is willing again; the README's section on delivery has the rules.

    Raises:
        ValidationError: The key is missing or malformed, or an option is not what it must be. All options that are
            wrong are named at once, as the library calls them (``timeout`` is ``total_timeout_ms``).
    """

    _handle: int | None = None
    _base_url: str | None = None

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        allow_http: bool | None = None,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        connect_timeout: float | None = None,
        max_retries: int | None = None,
        retry_base: float | None = None,
        retry_cap: float | None = None,
        max_requests_per_second: float | None = None,
        max_idle_connections: int | None = None,
        idle_timeout: float | None = None,
        dns_ttl: float | None = None,
        proxy: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        validate: bool | None = None,
        user_agent: str | None = None,
    ) -> None:
        if api_key is None:
            api_key = os.environ.get("COMMBOX_API_KEY", "")
        self._base_url = base_url if base_url is not None else os.environ.get("COMMBOX_BASE_URL") or None
        options = {
            "base_url": self._base_url,
            "allow_http": allow_http,
            "total_timeout_ms": _milliseconds(timeout),
            "attempt_timeout_ms": _milliseconds(attempt_timeout),
            "connect_timeout_ms": _milliseconds(connect_timeout),
            "max_retries": max_retries,
            "retry_base_ms": _milliseconds(retry_base),
            "retry_cap_ms": _milliseconds(retry_cap),
            "max_requests_per_second": max_requests_per_second,
            "max_idle_connections": max_idle_connections,
            "idle_timeout_ms": _milliseconds(idle_timeout),
            "dns_ttl_ms": _milliseconds(dns_ttl),
            "proxy": proxy,
            "ca_file": None if ca_file is None else os.fspath(ca_file),
            "validate": validate,
            "user_agent": user_agent,
        }
        self._handle = _new(api_key, options)

    @overload
    def update_user(self, user_id: int, user: Mapping[str, Any]) -> UpdateResult: ...

    @overload
    def update_user(
        self,
        user_id: int,
        *,
        unique_id: str | None = ...,
        first_name: str | None = ...,
        last_name: str | None = ...,
        email: str | None = ...,
        phone1: str | None = ...,
        phone2: str | None = ...,
        remarks: str | None = ...,
        content: Mapping[str, Any] = ...,
    ) -> UpdateResult: ...

    def update_user(
        self,
        user_id: int,
        user: Mapping[str, Any] | None = None,
        *,
        unique_id: str | _Omitted | None = _OMITTED,
        first_name: str | _Omitted | None = _OMITTED,
        last_name: str | _Omitted | None = _OMITTED,
        email: str | _Omitted | None = _OMITTED,
        phone1: str | _Omitted | None = _OMITTED,
        phone2: str | _Omitted | None = _OMITTED,
        remarks: str | _Omitted | None = _OMITTED,
        content: Mapping[str, Any] | _Omitted = _OMITTED,
    ) -> UpdateResult:
        """Updates one user, and waits for the server to confirm it: at most the client's ``timeout``.

        The fields come as keywords, ``update_user(94382332, first_name="John", content={"VIP_Status": "8"})``, or in
        a mapping with the API's own names, ``update_user(94382332, {"FirstName": "John"})``; giving both is a
        TypeError. Fields that are not given stay as they are; None is sent as null.

        Args:
            user_id: The number that CommBox gave the user, 1 or more.
            user: The fields by the API's names; any that this package does not know pass as they are.
            unique_id: The id in your own system, at most 50 characters.
            first_name: At most 100 characters.
            last_name: At most 100 characters.
            email: At most 255 characters.
            phone1: At most 100 characters.
            phone2: At most 100 characters.
            remarks: Free text.
            content: Custom fields by their "Unique Name" of the Custom Fields module, case-sensitive; each value
                anything that JSON has.

        Raises:
            ValidationError: The id or the user is not what the API takes; all problems are named at once.
            APIStatusError: The server answered otherwise; its subclasses tell 400, 401, 404, 429 and 500 up.
            APIConnectionError: The server could not be reached, or the connection broke.
            APITimeoutError: The time allowed has passed.
            APIResponseError: The server's answer is not the documented JSON.
            APICancelledError: :meth:`cancel` was called.
            CommBoxError: The base of all these, and raised itself where the client is closed.

        Ctrl-C and other signals are handled while the call waits, within 200 ms; what a handler raises ends the call.
        """
        keywords = {
            "UniqueId": unique_id,
            "FirstName": first_name,
            "LastName": last_name,
            "Email": email,
            "Phone1": phone1,
            "Phone2": phone2,
            "Remarks": remarks,
            "Content": dict(content) if isinstance(content, Mapping) else content,
        }
        fields: Mapping[str, Any] = {name: value for name, value in keywords.items() if value is not _OMITTED}
        if user is not None:
            if fields:
                raise TypeError("give the fields in a mapping or as keywords, not both")
            if not isinstance(user, Mapping):
                raise TypeError("user must be a mapping; update_user_json takes JSON text")
            fields = user
        return _result(self._update(user_id, _json_object(-4, fields)))

    def update_user_json(self, user_id: int, user_json: str) -> str:
        """Updates one user with JSON text, and returns the server's reply as it came.

        The text is the fields, ``{"FirstName": "John"}``, or the whole body, ``{"data": {…}}``, and is sent as it is
        written. Otherwise it is as :meth:`update_user`.
        """
        return self._update(user_id, _text("user_json", user_json))

    def set_api_key(self, api_key: str) -> None:
        """Puts another API key in the place of the present one, for every attempt that starts from now on.

        Raises:
            ValidationError: The key is malformed; the present one stays.
        """
        _check(lib.commbox_client_set_api_key(self._handle, _text("api_key", api_key)))

    def cancel(self) -> None:
        """Cancels every call that is in flight now, on any thread: it raises :class:`APICancelledError` within 100 ms.

        Later calls work.
        """
        _check(lib.commbox_client_cancel(self._handle))

    def close(self) -> None:
        """Frees the client and its connections. It never waits; calls in flight on other threads finish as if nothing
        happened, and later ones raise a CommBoxError. Closing again does nothing."""
        # The library knows a handle that is already freed.
        lib.commbox_client_free(self._handle)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        # A copy would hold the same handle and free it, and in another process it is none.
        raise TypeError("a Client cannot be copied or pickled; make another one")

    def __repr__(self) -> str:
        return "Client()" if self._base_url is None else f"Client(base_url={self._base_url!r})"

    def _update(self, user_id: int, user_json: bytes) -> str:
        if _interrupt.thread.listener.gi_running:
            with _interrupt.thread.nested():
                return self._call(user_id, user_json)
        return self._call(user_id, user_json)

    def _call(self, user_id: int, user_json: bytes) -> str:
        reply = ctypes.c_void_p()
        try:
            code = lib.commbox_update_user_json(self._handle, _id(user_id), user_json, ctypes.byref(reply))
            raised = _interrupt.take()
            if raised is not None:
                raise raised
            _check(code)
            return ctypes.string_at(reply).decode()
        finally:
            lib.commbox_string_free(reply)


def _new(api_key: str, options: Mapping[str, Any]) -> int:
    handle: int | None = lib.commbox_client_new(_text("api_key", api_key), _json_object(-3, options))
    if handle is None:
        hint = "" if api_key else "; pass api_key, or set COMMBOX_API_KEY"
        raise from_json(lib.commbox_last_error_json(), -10, hint)
    _check(lib.commbox_client_set_interrupt(handle, _interrupt.POLL, _interrupt.CONTEXT))
    return handle


def _check(code: int) -> None:
    if code:
        # The error is this thread's own, and stands until its next call.
        raise from_json(lib.commbox_last_error_json(), code)


def _id(user_id: int) -> int:
    if isinstance(user_id, bool):
        raise TypeError("user_id must be an int, not a bool")
    user_id = operator.index(user_id)
    # ctypes would cut off the higher bits, and another user would be updated.
    if not -(2**63) <= user_id < 2**63:
        raise _invalid(-1, "user_id is no integer of 64 bits")
    return user_id


def _milliseconds(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds):
        return seconds
    return round(seconds * 1000)


def _text(name: str, text: str) -> bytes:
    """The text as C takes it, or a refusal where C would not take it whole."""
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str, not {type(text).__name__}")
    if "\0" in text:
        raise _invalid(-1, f"{name} has a NUL character, which ends text in C")
    return _utf8(-1, name, text)


def _json_object(code: int, members: Mapping[str, Any]) -> bytes:
    """A JSON object, written member by member, so that an error can name the one that cannot be."""
    return b"{" + b", ".join(_json_member(code, name, value) for name, value in members.items()) + b"}"


def _json_member(code: int, name: str, value: Any) -> bytes:
    try:
        text = json.dumps({name: value}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _invalid(code, f"{name} cannot be written as JSON: {error}") from None
    return _utf8(code, name, text[1:-1])


def _utf8(code: int, name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    # Raised out here, since a UnicodeEncodeError holds the text, and would go along as the context.
    raise _invalid(code, f"{name} has half a surrogate pair, which is no character")


def _invalid(code: int, message: str) -> ValidationError:
    name = {-1: "invalid_argument", -3: "invalid_options", -4: "invalid_user"}[code]
    return ValidationError(message.encode(errors="backslashreplace").decode(), code=code, name=name)


def _result(raw: str) -> UpdateResult:
    try:
        reply = json.loads(raw)
    except (ValueError, RecursionError):
        # The library has read it and the update is confirmed; only Python's limits of digits or depth are passed.
        reply = {}
    data = reply.get("data")
    return UpdateResult(
        id=_integer(data.get("Id") if isinstance(data, dict) else None),
        status=_integer(reply.get("status")),
        description=_string(reply.get("description")),
        response_time=_string(reply.get("response_time")),
        raw=raw,
    )


def _integer(value: object) -> int | None:
    """The vendor types the status as a string and shows a number."""
    try:
        return int(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
