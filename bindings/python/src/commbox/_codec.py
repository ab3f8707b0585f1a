"""Loads the JSON module with the first client, so that importing the package is faster."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from json import loads as loads

    from ._json import problems as problems
    from ._json import to_json as to_json


def load() -> None:
    """Imports the module unless it has been imported."""
    if "loads" not in globals():
        from json import loads

        from ._json import problems, to_json

        globals().update(loads=loads, problems=problems, to_json=to_json)
