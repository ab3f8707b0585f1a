"""Type hints that can be resolved at run time although importing the package does not import the
types they name.

Importing ``typing`` alone would take as long as half of the package. The annotations of the modules
that are imported first are therefore dictionaries which, when they are first read, define every
name that they use where ``typing.get_type_hints`` looks for it.
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
"""The names, and where they are defined. Some versions of ``typing`` lack ``Self`` and ``Unpack``.
"""


def found_in_typing(name: str, otherwise: Any) -> Any:
    """Returns a newer name from ``typing``, or from ``typing_extensions`` if that is installed,
    otherwise the given substitute.
    """
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
    """Makes the annotations of a class and its methods define the names they use in ``names``, the
    globals of the module.
    """
    # Python 3.9 returns the annotations of a base class if the class itself has none.
    own = vars(kind).get("__annotations__") if sys.version_info < (3, 10) else kind.__annotations__
    if own:
        kind.__annotations__ = _Hints(own, names, kind)
    for member in vars(kind).values():
        function = getattr(member, "fget", member)
        if hasattr(function, "__code__"):
            function.__annotations__ = _Hints(function.__annotations__, names, kind)
