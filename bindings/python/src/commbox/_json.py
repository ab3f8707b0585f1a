"""Writes JSON, and describes values that JSON cannot represent.

The first client imports this module, so that importing the package is faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from json import JSONEncoder

DEEPEST = 100
SHOWN = 20
"""Maximum number of problems in a message."""

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
"""What to convert a value of each class to. The first listed class in its method resolution order
applies.
"""


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


to_json = JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain).encode


def problems(members: Mapping[str, object]) -> list[str]:
    """Lists everything that cannot be written as JSON: where it is, what it is, and what to use
    instead.
    """
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
        # Only the field's name, because the full path is as long as the nesting is deep.
        yield f"{path.split('.')[0].split('[')[0]} contains itself, or more than {DEEPEST} levels"
    elif isinstance(value, Mapping):
        for key, member in dict(value).items():
            if not isinstance(key, (str, int, float, type(None))):
                yield f"{path or 'user'} has a key of type {type(key).__name__}; use text"
                continue
            if isinstance(key, str) and not _is_text(key):
                yield (
                    f"{path or 'user'} has a name with half of a surrogate pair, "
                    "which is not a character"
                )
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
"""The names of missing values of pandas and numpy, by their class names."""


def _missing(value: object) -> str | None:
    """Returns the name of a missing value: NaN, NaT or NA, which data frames use for missing
    values. Returns None for any other value.

    Missing values are rejected, since only the caller knows whether the field is to be cleared or
    left unchanged. No data frame library is imported: a missing value differs from itself, or
    cannot be compared.
    """
    name = type(value).__name__
    try:
        missing = bool(value != value) or name == "MaskedConstant"
    except Exception:
        # pandas' NA cannot be compared; neither can arrays, which are not missing values.
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
