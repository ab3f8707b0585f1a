"""Options for the library: times in milliseconds, headers, and the options of a single call."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from . import _codec
from ._errors import TIMES, check, handle
from ._fields import c_text, invalid, json_object
from ._library import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

_LONGEST = 1e12
"""More seconds than any option allows. Smaller numbers are passed to the library, which reports its
own limit.
"""


def milliseconds(**times: float | None) -> dict[str, int | None]:
    """Returns the times in milliseconds. Raises an error that lists all values that are not
    numbers.
    """
    problems = ((name, _wrong_time(seconds)) for name, seconds in times.items())
    wrong = [f"{name} {problem}" for name, problem in problems if problem]
    if wrong:
        raise invalid(-3, "; ".join(wrong))
    options: dict[str, int | None] = {}
    for option, name in TIMES.items():
        if name in times:
            seconds = times[name]
            options[option] = (
                None if seconds is None else round(max(-_LONGEST, min(seconds, _LONGEST)) * 1000)
            )
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


def header_object(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Returns the headers as a JSON object, or raises an error. The library validates names and
    values.
    """
    if headers is None:
        return None
    if not isinstance(headers, Mapping):
        raise invalid(
            -3, f"headers must be a mapping of names to values, not {type(headers).__name__}"
        )
    found = dict(headers)
    wrong = [
        f"headers has a name of type {type(name).__name__}; it must be a str"
        if not isinstance(name, str)
        else f"headers.{name} must be a str, not {type(value).__name__}"
        for name, value in found.items()
        if not isinstance(name, str) or not isinstance(value, str)
    ]
    if wrong:
        raise invalid(-3, "; ".join(wrong))
    return found


def names(custom_fields: Iterable[str] | None) -> list[str] | None:
    """Returns the names as a JSON array. The library validates each."""
    if custom_fields is None:
        return None
    if isinstance(custom_fields, (str, bytes)) or not isinstance(custom_fields, Iterable):
        raise invalid(
            -3, f"custom_fields must be a list of names, not {type(custom_fields).__name__}"
        )
    return list(custom_fields)


class CallOptions:
    """The options of single calls, which override those of their client."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self.json = json_object(-3, options) if options else None
        """The options as the library's JSON; None if there are none."""

    def replace(
        self,
        timeout: Optional[float],
        attempt_timeout: Optional[float],
        max_retries: Optional[int],
        headers: Optional[Mapping[str, str]],
    ) -> CallOptions:
        """Returns a copy in which the given options replace these. None keeps an option, and
        headers are added.
        """
        if timeout is None and attempt_timeout is None and max_retries is None and headers is None:
            return self
        given = {
            **milliseconds(timeout=timeout, attempt_timeout=attempt_timeout),
            "max_retries": max_retries,
            "headers": header_object(headers),
        }
        options = {
            **self._options,
            **{name: value for name, value in given.items() if value is not None},
        }
        own = self._options.get("headers")
        if own and headers:
            # Header names are case-insensitive.
            replaced = {name.lower() for name in options["headers"]}
            kept = {name: value for name, value in own.items() if name.lower() not in replaced}
            options["headers"] = {**kept, **options["headers"]}
        return CallOptions(options)

    def check(self) -> None:
        """Makes the library validate the options before any call uses them."""
        options = handle(lib.commbox_options_new())
        try:
            for name, value in self._options.items():
                check(
                    lib.commbox_options_set(
                        options, name.encode(), c_text(name, _codec.to_json(value))
                    )
                )
        finally:
            lib.commbox_options_free(options)

    def __repr__(self) -> str:
        # Only the names, because values of headers may be secret.
        return f"<options {', '.join(self._options)}>"


NO_OPTIONS = CallOptions({})
