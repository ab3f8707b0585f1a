"""The exceptions, and how an error of the library becomes one."""

from __future__ import annotations

from . import _codec
from ._hints import resolvable
from ._library import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional


class CommBoxError(Exception):
    """The base of every error that this package raises. ``str(error)`` is :attr:`message`.

    What is not known is None. The message names fields and lengths, never the API key or a value of the user.
    """

    message: str
    """What was wrong, and what would be right, in a sentence."""
    code: int
    """The HTTP status from 100 up; below 0 for failures of this side. The same in every language."""
    name: str
    """The code as a word, such as ``"rate_limited"`` or ``"timeout"``."""
    http_status: Optional[int]
    """The status of the server's answer, where one came."""
    description: Optional[str]
    """The server's own words. They may repeat what was sent: mind where they are logged."""
    response_time: Optional[str]
    """When the server answered, as it wrote it."""
    retry_after: Optional[float]
    """How long the server asks to wait, in seconds."""
    attempts: int
    """How often the update was tried."""
    elapsed: float
    """How long the call took, in seconds."""
    delivery: str
    """``"not_sent"``: no byte of the update left; ``"unknown"``: it may have arrived, and no full answer came;
    ``"answered"``: the server answered."""
    response: Optional[str]
    """The server's body, cut at 4 KiB. It may repeat what was sent: mind where it is logged."""
    request_id: Optional[str]
    """The server's id of the request, from a header of its answer. Its support can find the request by it."""

    # Every field has a default, so that pickle, which calls the class with the message alone, can restore them after.
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
    """The API key, an option, the user id or the user is not what the API takes. Nothing was sent."""


class APIConnectionError(CommBoxError):
    """Name lookup, proxy, TLS, or a connection that broke. :attr:`delivery` tells whether the update may have
    arrived."""


class APITimeoutError(APIConnectionError):
    """The time allowed has passed. :attr:`delivery` tells whether the update may have arrived."""


class APICancelledError(CommBoxError):
    """The call was cancelled. :attr:`delivery` tells whether the update may have arrived."""


class APIResponseError(CommBoxError):
    """The server's answer is not the documented JSON, or is larger than 1 MiB; a proxy may have written it."""


class APIStatusError(CommBoxError):
    """The server answered with a status that is no success: :attr:`code`. The update was not confirmed."""


class BadRequestError(APIStatusError):
    """400: the server did not take the fields or their values; :attr:`description` has its own words."""


class AuthenticationError(APIStatusError):
    """401: the API key is wrong or expired."""


class PermissionDeniedError(APIStatusError):
    """403: the API key may not do this, or a gateway before the server refused the request."""


class NotFoundError(APIStatusError):
    """404: no user has this id, or ``base_url`` is not where the API is."""


class RateLimitError(APIStatusError):
    """429: too many requests in a short time; wait :attr:`retry_after` seconds where it is known. With :attr:`code` -11
    the client itself held the call back for the server's sake, and nothing was sent."""


class InternalServerError(APIStatusError):
    """500 and above: the server, or a proxy before it, failed."""


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
    """The library's name for a code, for errors that are raised without it."""
    name: bytes = lib.commbox_code_name(code)
    return name.decode()


def cancelled(message: str) -> APICancelledError:
    """The error of an update that was never sent, since it was cancelled before."""
    return APICancelledError(message, code=-8, name=name_of(-8))


def check(code: int) -> None:
    """Raises the error of the call that returned this code, unless it succeeded."""
    if code:
        # The error is this thread's own, and stands until its next call.
        raise from_json(lib.commbox_last_error_json(), code)


def handle(made: int | None) -> int:
    """The handle that was made, or the error for which none was."""
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
    """The exception for the text of ``commbox_last_error_json`` after a call that returned ``code``, or a NULL."""
    known = _codec.loads(text) if text else None
    if known is None or code not in (None, known["code"]):
        # A finalizer or a signal handler called the library on this thread since the call failed: that error is gone.
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
"""The library's options in milliseconds, and their keywords in seconds."""


def _message(known: dict[str, Any]) -> str:
    """The library's message, with its options as they are called here."""
    if known["code"] == _INVALID_HANDLE and known["problems"]:
        return f"the {known['problems'][0]['path']} is closed; make another one"
    if known["code"] != _INVALID_OPTIONS or not known["problems"]:
        return known["message"]  # type: ignore[no-any-return]
    # Options that a message names stand in braces.
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
