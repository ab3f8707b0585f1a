"""Converts arguments to the JSON and the numbers that the library takes."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from . import _codec
from ._errors import ValidationError, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Omitted:
    """Distinguishes an omitted argument from None, which is sent as null."""

    def __repr__(self) -> str:
        return "<omitted>"


OMITTED = Omitted()

_NAMES = {
    "unique_id": "UniqueId",
    "first_name": "FirstName",
    "last_name": "LastName",
    "email": "Email",
    "phone1": "Phone1",
    "phone2": "Phone2",
    "remarks": "Remarks",
    "content": "Content",
}
"""The API's name for each keyword."""


def given_fields(**keywords: object) -> dict[str, Any]:
    """Returns the fields that were given as keywords."""
    return {name: value for name, value in keywords.items() if value is not OMITTED}


def user_json(user: Mapping[str, Any] | Omitted, keywords: Mapping[str, Any]) -> bytes:
    """Returns the fields, given in a mapping or as keywords, as JSON."""
    if isinstance(user, Omitted):
        named = {_name(keyword): value for keyword, value in keywords.items()}
        return json_object(-4, named)
    if keywords:
        raise TypeError("give the fields in a mapping or as keywords, not both")
    if not isinstance(user, Mapping):
        raise TypeError(
            f"user must be a mapping, not {type(user).__name__}; update_user_json takes JSON text"
        )
    return json_object(-4, user)


def _name(keyword: str) -> str:
    if keyword not in _NAMES:
        raise TypeError(f"update_user() got an unexpected keyword argument {keyword!r}")
    return _NAMES[keyword]


def id_number(user_id: int) -> int:
    """Returns the user's id as a number that fits C's type."""
    # operator.index accepts numpy's bool as an integer, so True would update user 1.
    if type(user_id).__name__ in ("bool", "bool_"):
        raise TypeError("user_id must be an int, not a bool")
    if not hasattr(type(user_id), "__index__"):
        raise TypeError(f"user_id must be an int, not {type(user_id).__name__}")
    user_id = operator.index(user_id)
    # ctypes would truncate the number, and another user would be updated.
    if not -(2**63) <= user_id < 2**63:
        raise invalid(-1, "user_id does not fit into 64 bits")
    return user_id


def c_text(name: str, text: str) -> bytes:
    """Returns the text encoded for C. Raises an error if C would truncate it."""
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str, not {type(text).__name__}")
    if "\0" in text:
        raise invalid(-1, f"{name} has a NUL character, which ends text in C")
    return _utf8(-1, name, text)


def c_double(name: str, number: float) -> float:
    """Returns the number as C's double."""
    if isinstance(number, bool) or not hasattr(type(number), "__float__"):
        raise TypeError(f"{name} must be a number, not {type(number).__name__}")
    return float(number)


def json_object(code: int, members: Mapping[str, Any]) -> bytes:
    """Returns a JSON object. Raises an error that lists everything JSON cannot represent."""
    try:
        return _codec.to_json(dict(members)).encode()
    except (TypeError, ValueError, RecursionError):
        pass
    # Raised outside of the handler: the original error may contain a value, and would become the
    # context of this one.
    raise invalid(code, "; ".join(_codec.problems(members)) or "this cannot be written as JSON")


def _utf8(code: int, name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    # Raised outside of the handler: a UnicodeEncodeError contains the text, and would become the
    # context of this error.
    raise invalid(code, f"{name} has half of a surrogate pair, which is not a character")


def invalid(code: int, message: str) -> ValidationError:
    """Returns a validation error of this package, raised before the library is called."""
    return ValidationError(
        message.encode(errors="backslashreplace").decode(), code=code, name=name_of(code)
    )
