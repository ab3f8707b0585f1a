"""Modules that the first client imports, so that importing the package is faster.

No call imports anything: destructors and exit handlers make calls during interpreter shutdown, when
imports fail.
"""

from __future__ import annotations

from . import _codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._batch import Updates as Updates
    from ._reply import read as read
    from ._stats import client_stats as client_stats


def load() -> None:
    """Imports the modules unless they have been imported."""
    if "read" not in globals():
        from ._batch import Updates
        from ._reply import read
        from ._stats import client_stats

        _codec.load()
        globals().update(Updates=Updates, client_stats=client_stats, read=read)
