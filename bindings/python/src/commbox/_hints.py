"""Type hints that can be resolved at run time, though importing the package does not import what they name.

``typing`` alone would take as long to import as half of the package. So the annotations of what is imported first are
dictionaries that put every name that they use where ``typing.get_type_hints`` looks, as soon as one reads them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PLACES = {
    "Any": "typing",
    "NoReturn": "typing",
    "Optional": "typing",
    "Union": "typing",
    "AnyUpdate": "commbox._batch",
    "BatchProgress": "commbox._progress",
    "Callable": "collections.abc",
    "ClientStats": "commbox._stats",
    "Updates": "commbox._batch",
    "UpdateResult": "commbox._reply",
    "Took": "commbox._took",
}
"""The names, and where they are defined. ``Self`` and ``Unpack`` are not in every version of ``typing``."""


def found_in_typing(name: str, otherwise: Any) -> Any:
    """A newer name of ``typing``, or of ``typing_extensions`` if that is installed, or else what is given."""
    for module in ("typing", "typing_extensions"):
        try:
            return getattr(__import__(module), name)
        except (ImportError, AttributeError):
            continue
    return otherwise


class _Hints(dict):  # type: ignore[type-arg]
    """Annotations that define the names they use when they are read."""

    def __init__(self, annotations: dict[str, Any], names: dict[str, Any], kind: type) -> None:
        super().__init__(annotations)
        self._names, self._kind = names, kind

    def _define(self) -> None:
        for name, place in _PLACES.items():
            __import__(place)
            self._names.setdefault(name, getattr(sys.modules[place], name))
        self._names.setdefault("Self", found_in_typing("Self", self._kind))

    def __iter__(self) -> Iterator[str]:
        self._define()
        return super().__iter__()

    def keys(self) -> Any:
        self._define()
        return super().keys()

    def values(self) -> Any:
        self._define()
        return super().values()

    def items(self) -> Any:
        self._define()
        return super().items()

    def copy(self) -> dict[str, Any]:
        self._define()
        return dict(super().items())


def resolvable(kind: type, names: dict[str, Any]) -> None:
    """Has the annotations of a class and its methods define the names that they use, in the module's ``names``."""
    # Python 3.9 has those of a base where a class has none of its own.
    own = vars(kind).get("__annotations__") if sys.version_info < (3, 10) else kind.__annotations__
    if own:
        kind.__annotations__ = _Hints(own, names, kind)
    for member in vars(kind).values():
        function = getattr(member, "fget", member)
        if hasattr(function, "__code__"):
            function.__annotations__ = _Hints(function.__annotations__, names, kind)
