"""The server's reply to an update."""

from __future__ import annotations

from json import loads
from typing import TYPE_CHECKING, NamedTuple, Optional

from ._took import UNKNOWN

if TYPE_CHECKING:
    from ._took import Took


class UpdateResult(NamedTuple):
    """The server's reply to an update that it confirmed. A member that the reply does not have is
    None.

    >>> result = client.update_user(94382332, first_name="John")
    >>> result.id, result.status, result.attempts
    (94382332, 200, 1)
    """

    id: Optional[int]
    """The id of the user that was updated."""
    status: Optional[int]
    """The status in the reply, usually 200."""
    description: Optional[str]
    """The server's message, such as ``"Operation successful"``."""
    response_time: Optional[str]
    """The time of the response, as the server wrote it: ``"2024-08-06T07:51:52.2581942Z"``."""
    raw: str
    """The whole reply as it was received, JSON."""
    attempts: int = 0
    """The number of attempts; more than 1 if the update was retried; 0 if unknown."""
    elapsed: float = 0.0
    """The duration of the call, in seconds, with a precision of 1 ms."""
    request_id: Optional[str] = None
    """The server's id of the request, from a header of its response, for questions to its support.
    """

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{name}={getattr(self, name)!r}" for name in self._fields if name != "raw"
        )
        return f"UpdateResult({parts})"


def read(raw: str, took: Took = UNKNOWN) -> UpdateResult:
    """Returns the content of a reply, with the attempts and the duration of the call."""
    try:
        reply = loads(raw)
    except (ValueError, RecursionError):
        # The library has parsed the reply, so the update is confirmed. It only exceeds Python's
        # limits of digits or depth.
        reply = {}
    data = reply.get("data")
    return UpdateResult(
        id=_integer(data.get("Id") if isinstance(data, dict) else None),
        status=_integer(reply.get("status")),
        description=_string(reply.get("description")),
        response_time=_string(reply.get("response_time")),
        raw=raw,
        attempts=took[0],
        elapsed=took[1],
        request_id=took[2],
    )


def _integer(value: object) -> int | None:
    """Converts a number or a string: the API documents a string but shows a number."""
    try:
        return int(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
