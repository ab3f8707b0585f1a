"""Converts the id and the user of an update, which a program may give in any form."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ._errors import ValidationError
from ._fields import c_text, id_number, invalid, user_json


def id_and_json(user_id: Any, user: Any) -> tuple[int, bytes]:
    """Returns the id and the JSON for the library, or raises a ValidationError."""
    try:
        number = id_number(user_id)
    except ValidationError:
        raise
    except TypeError as error:
        raise invalid(-1, f"user_id must be an int, not {type_name(user_id)}") from error
    except Exception as error:
        raise invalid(
            -1, f"user_id cannot be read: its __index__ raised {type_name(error)}"
        ) from error
    if isinstance(user, str):
        return number, c_text("user", user)
    if not isinstance(user, Mapping):
        raise invalid(-4, f"user must be a mapping or JSON text, not {type_name(user)}")
    try:
        return number, user_json(user, {})
    except ValidationError:
        raise
    except Exception as error:
        # For example a lazy row whose source is closed, or a mapping that another thread changes.
        # The exception's message may contain values.
        raise invalid(-4, f"user cannot be read: reading it raised {type_name(error)}") from error


def integer(user_id: Any) -> int | None:
    """Returns the id as an integer; None if it is not one."""
    if type_name(user_id) in ("bool", "bool_"):
        return None
    with suppress(Exception):
        return operator.index(user_id)
    return None


def type_name(value: object) -> str:
    """Returns the name of a value's type."""
    return type(value).__name__
