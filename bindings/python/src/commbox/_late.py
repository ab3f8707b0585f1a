"""What is imported with the first client: importing the package is quicker without it.

No call imports anything: while the interpreter exits, when destructors and exit handlers make calls, it cannot.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from json import loads as loads

    from ._batch import Updates as Updates
    from ._json import problems as problems
    from ._json import to_json as to_json
    from ._reply import read as read
    from ._stats import client_stats as client_stats


def load() -> None:
    """Imports it, unless it is here."""
    if "read" not in globals():
        from json import loads

        from ._batch import Updates
        from ._json import problems, to_json
        from ._reply import read
        from ._stats import client_stats

        globals().update(
            loads=loads, Updates=Updates, problems=problems, to_json=to_json, client_stats=client_stats, read=read
        )
