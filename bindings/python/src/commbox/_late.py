"""What is imported with the first client: importing the package is faster without it.

No call imports anything: while the interpreter exits, when destructors and exit handlers make calls, it cannot.
"""

from __future__ import annotations

from . import _codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._batch import Updates as Updates
    from ._reply import read as read
    from ._stats import client_stats as client_stats


def load() -> None:
    """Imports it, unless it is here."""
    if "read" not in globals():
        from ._batch import Updates
        from ._reply import read
        from ._stats import client_stats

        _codec.load()
        globals().update(Updates=Updates, client_stats=client_stats, read=read)
