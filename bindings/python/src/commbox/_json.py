"""How this package writes JSON, and what it says of a value that JSON does not have.

Imported by the first client, not by the package: importing that is quicker without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from json import JSONEncoder

DEEPEST = 100
SHOWN = 20
"""How many problems a message lists."""

CONVERSIONS = {
    "builtins.bytes": "decode it to text",
    "builtins.bytearray": "decode it to text",
    "builtins.set": "use a list",
    "builtins.frozenset": "use a list",
    "datetime.datetime": "use its isoformat()",
    "datetime.date": "use its isoformat()",
    "datetime.time": "use its isoformat()",
    "datetime.timedelta": "use its total_seconds()",
    "decimal.Decimal": "use str() or float()",
    "uuid.UUID": "use str()",
    "enum.Enum": "use its value",
    "pathlib.PurePath": "use str()",
    "pathlib._local.PurePath": "use str()",
    "numpy.bool": "use bool()",
    "numpy.bool_": "use bool()",
    "numpy.ndarray": "use its tolist()",
    "numpy.generic": "use its item()",
}
"""What to convert a value of such a class to; the first class of its that is listed decides."""


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


to_json = JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain).encode


def problems(members: Mapping[str, object]) -> list[str]:
    """Everything in there that cannot be written as JSON: where it is, what it is, and what to use instead."""
    found: list[str] = []
    more = 0
    for problem in _each("", members, 0):
        if len(found) < SHOWN:
            found.append(problem)
        else:
            more += 1
    return [*found, f"and {more} more"] if more else found


def _each(path: str, value: object, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        # Without the path, which is as long.
        yield f"{path.split('.')[0].split('[')[0]} contains itself, or more than {DEEPEST} levels"
    elif isinstance(value, Mapping):
        for key, member in dict(value).items():
            if not isinstance(key, (str, int, float, type(None))):
                yield f"{path or 'user'} has a key of type {type(key).__name__}; use text"
                continue
            if isinstance(key, str) and not _is_text(key):
                yield f"{path or 'user'} has a name with half of a surrogate pair, which is not a character"
                continue
            yield from _each(f"{path}.{key}" if path else str(key), member, depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, member in enumerate(value):
            yield from _each(f"{path}[{index}]", member, depth + 1)
    else:
        wrong = _wrong(value)
        if wrong:
            yield f"{path} {wrong}"


def _wrong(value: object) -> str | None:
    if isinstance(value, str):
        return None if _is_text(value) else "has half of a surrogate pair, which is not a character"
    missing = _missing(value)
    if missing:
        return f"is {missing}; use None, or leave it out"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "is infinite; use None, or leave it out"
    with suppress(Exception):
        to_json(value)
        return None
    for kind in type(value).__mro__:
        conversion = CONVERSIONS.get(f"{kind.__module__}.{kind.__qualname__}")
        if conversion:
            return f"is of type {type(value).__name__}; {conversion}"
    if isinstance(value, int):
        return "is an integer with more digits than Python converts to text; use text"
    return f"is of type {type(value).__name__}, which JSON does not have; convert it"


MISSING = {
    "NAType": "NA",
    "NaTType": "NaT",
    "datetime64": "NaT",
    "timedelta64": "NaT",
    "MaskedConstant": "masked",
}
"""What missing values of pandas and numpy are called, by the names of their classes."""


def _missing(value: object) -> str | None:
    """What a missing value is called: NaN, NaT, NA, which frames have where there is no value; None for a value.

    It is refused, since only the caller knows whether the field is to be cleared or left as it is. No frame library is
    imported: all that is missing differs from itself, or does not tell.
    """
    name = type(value).__name__
    try:
        missing = bool(value != value) or name == "MaskedConstant"
    except Exception:
        # As pandas' NA. Arrays do not tell either.
        missing = name == "NAType" or _is_signaling(value)
    return MISSING.get(name, "NaN") if missing else None


def _is_signaling(value: object) -> bool:
    return type(value).__name__ == "Decimal" and str(value).lstrip("-").startswith("sNaN")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
