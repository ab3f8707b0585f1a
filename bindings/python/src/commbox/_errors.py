"""The exceptions, and the conversion of the library's errors to them."""

from __future__ import annotations

from . import _codec
from ._hints import resolvable
from ._library import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional


class CommBoxError(Exception):
    """The base of every error that this package raises. ``str(error)`` is :attr:`message`.

    A member that is not known is None. The message contains names of fields and lengths, but never
    the API key or a value of the user.

    >>> try:
    ...     client.update_user(0, first_name="John")
    ... except CommBoxError as error:
    ...     print(error.name, error.code, error.delivery)
    invalid_argument -1 not_sent
    """

    message: str
    """A sentence that says what is wrong, and what would be right."""
    code: int
    """The code: below 0 the client failed, and 100 or more is the HTTP status. It is the same in
    every language.
    """
    name: str
    """The name of the code, such as ``"rate_limited"`` or ``"timeout"``."""
    http_status: Optional[int]
    """The HTTP status of the response, if one was received."""
    description: Optional[str]
    """The server's message. It may repeat values that were sent, so take care where it is logged.
    """
    response_time: Optional[str]
    """The time of the response, as the server wrote it."""
    retry_after: Optional[float]
    """How long to wait, in seconds: the time that the server asks for, or the time until a call
    that was delayed past its deadline could have been sent.
    """
    attempts: int
    """The number of attempts."""
    elapsed: float
    """The duration of the call, in seconds."""
    delivery: str
    """``"not_sent"``: no byte of the request was sent; ``"unknown"``: the server may have processed
    the update, but no complete response was received; ``"answered"``: the server answered.
    """
    response: Optional[str]
    """The body of the response, truncated to 4 KiB. It may repeat values that were sent, so take
    care where it is logged.
    """
    request_id: Optional[str]
    """The server's id of the request, from a header of its response, for questions to its support.
    """

    # Every field has a default, so that pickle can call the class with the message alone and
    # restore the fields afterwards.
    def __init__(
        self,
        message: str,
        *,
        code: int = -10,
        name: str = "internal",
        http_status: Optional[int] = None,
        description: Optional[str] = None,
        response_time: Optional[str] = None,
        retry_after: Optional[float] = None,
        attempts: int = 0,
        elapsed: float = 0.0,
        delivery: str = "not_sent",
        response: Optional[str] = None,
        request_id: Optional[str] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.name = name
        self.http_status = http_status
        self.description = description
        self.response_time = response_time
        self.retry_after = retry_after
        self.attempts = attempts
        self.elapsed = elapsed
        self.delivery = delivery
        self.response = response
        self.request_id = request_id


resolvable(CommBoxError, globals())


class ValidationError(CommBoxError, ValueError):
    """The API key, an option, the user id or the user is invalid. Nothing was sent.

    >>> try:
    ...     client.update_user(94382332, first_name="J" * 101)
    ... except ValidationError as error:
    ...     print(error)
    FirstName is 101 characters long; the limit is 100
    """


class APIConnectionError(CommBoxError):
    """The DNS lookup, the connection, the proxy or TLS failed, or the connection broke.
    :attr:`delivery` shows whether the server may have processed the update.
    """


class APITimeoutError(APIConnectionError):
    """The deadline was exceeded. :attr:`delivery` shows whether the server may have processed the
    update.
    """


class APICancelledError(CommBoxError):
    """The call was cancelled. :attr:`delivery` shows whether the server may have processed the
    update.
    """


class APIResponseError(CommBoxError):
    """The response is not the documented JSON, or exceeds 1 MiB; it may come from a proxy."""


class APIStatusError(CommBoxError):
    """The server answered with the status :attr:`code`, and did not confirm the update.

    >>> server.script(404)
    >>> try:
    ...     client.update_user(94382332, first_name="John")
    ... except APIStatusError as error:
    ...     print(error.code, error.name)
    404 not_found
    """


class BadRequestError(APIStatusError):
    """400: the server rejected the fields or their values; :attr:`description` is its message."""


class AuthenticationError(APIStatusError):
    """401: the API key is wrong or expired."""


class PermissionDeniedError(APIStatusError):
    """403: the API key is not allowed to update users, or a gateway rejected the request."""


class NotFoundError(APIStatusError):
    """404: no user has this id, or ``base_url`` is not the URL of the API."""


class RateLimitError(APIStatusError):
    """429: the server received too many requests in a short time; wait for :attr:`retry_after`
    seconds if it is known. If :attr:`code` is -11, the server's rate limit delays the call past its
    deadline, and nothing was sent.

    >>> server.script(Answer(429, headers={"Retry-After": "120"}))
    >>> try:
    ...     client.update_user(94382332, first_name="John")
    ... except RateLimitError as error:
    ...     print(error.code, error.delivery)
    429 answered
    """


class InternalServerError(APIStatusError):
    """500 and above: the server, or a proxy in front of it, failed."""


_CLASSES: dict[int, type[CommBoxError]] = {
    -1: ValidationError,
    -3: ValidationError,
    -4: ValidationError,
    -5: APIConnectionError,
    -6: APIConnectionError,
    -7: APITimeoutError,
    -8: APICancelledError,
    -9: APIResponseError,
    -11: RateLimitError,
    400: BadRequestError,
    401: AuthenticationError,
    404: NotFoundError,
    429: RateLimitError,
}


_INVALID_HANDLE = -2
_INVALID_OPTIONS = -3
_FORBIDDEN = 403
"""An HTTP status that the library has no constant for."""


def name_of(code: int) -> str:
    """Returns the library's name of a code, for errors that this package raises itself."""
    name: bytes = lib.commbox_code_name(code)
    return name.decode()


def cancelled(message: str) -> APICancelledError:
    """Returns the error of an update that was cancelled before it was sent."""
    return APICancelledError(message, code=-8, name=name_of(-8))


def check(code: int) -> None:
    """Raises the error of the call that returned this code, unless it succeeded."""
    if code:
        # The last error is thread-local and valid until the thread's next call.
        raise from_json(lib.commbox_last_error_json(), code)


def handle(made: int | None) -> int:
    """Returns the handle, or raises the error if it is NULL."""
    if made is None:
        raise from_json(lib.commbox_last_error_json(), None)
    return made


_AS_THEY_ARE = (
    "code",
    "name",
    "http_status",
    "description",
    "response_time",
    "attempts",
    "delivery",
    "response",
    "request_id",
)


def from_json(text: bytes | str, code: int | None) -> CommBoxError:
    """Returns the exception for the text of ``commbox_last_error_json`` after a call that returned
    ``code``; None if the call returned NULL.
    """
    known = _codec.loads(text) if text else None
    if known is None or code not in (None, known["code"]):
        # After the call failed, a finalizer or a signal handler called the library on this thread
        # and replaced the error.
        code = -10 if code is None else code
        message = f"the call failed with code {code}; the details are lost"
        return _class(code)(message, code=code, name=name_of(code), delivery="unknown")
    retry_after_ms = known["retry_after_ms"]
    return _class(known["code"])(
        _message(known),
        retry_after=None if retry_after_ms is None else retry_after_ms / 1000,
        elapsed=known["elapsed_ms"] / 1000,
        **{field: known[field] for field in _AS_THEY_ARE},
    )


TIMES = {
    "total_timeout_ms": "timeout",
    "attempt_timeout_ms": "attempt_timeout",
    "connect_timeout_ms": "connect_timeout",
    "retry_base_ms": "retry_base",
    "retry_cap_ms": "retry_cap",
    "idle_timeout_ms": "idle_timeout",
    "dns_ttl_ms": "dns_ttl",
    "throttle_timeout_ms": "throttle_timeout",
    "overall_timeout_ms": "overall_timeout",
    "outage_timeout_ms": "outage_timeout",
}
"""The library's options in milliseconds, and the corresponding keywords in seconds."""


def _message(known: dict[str, Any]) -> str:
    """Returns the library's message with its options replaced by this package's keywords."""
    if known["code"] == _INVALID_HANDLE and known["problems"]:
        return f"the {known['problems'][0]['path']} is closed; make another one"
    if known["code"] != _INVALID_OPTIONS or not known["problems"]:
        return known["message"]  # type: ignore[no-any-return]
    # In messages, the names of options are enclosed in braces.
    problems = (f"{{{problem['path']}}} {problem['message']}" for problem in known["problems"])
    message = "; ".join(problem.replace("{} ", "") for problem in problems)
    for option, keyword in TIMES.items():
        message = message.replace(f"{{{option}}}", keyword)
    return message.replace("{", "").replace("}", "")


def _class(code: int) -> type[CommBoxError]:
    if code >= 500:
        return InternalServerError
    if code == _FORBIDDEN:
        return PermissionDeniedError
    return _CLASSES.get(code, APIStatusError if code >= 100 else CommBoxError)
