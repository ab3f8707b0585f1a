"""Updates a customer's record in CommBox.

>>> from commbox import Client
>>> with Client("my-api-key") as client:
...     result = client.update_user(94382332, first_name="John", content={"VIP_Status": "8"})
>>> result.status
200

Every error is a :class:`CommBoxError`. Everything here exists since version 1.0, unless it says
otherwise.
"""

from __future__ import annotations

from ._client import Client
from ._errors import (
    APICancelledError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    CommBoxError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ValidationError,
)
from ._library import lib as _lib

# Not imported from typing, whose import takes longer than that of this whole package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._async import AsyncClient
    from ._batch import BatchResult, BatchStats, Updates, UserUpdate
    from ._progress import BatchProgress
    from ._reply import UpdateResult
    from ._stats import ClientStats, LatencyStats, LineStats

__version__: str = _lib.commbox_version().decode()
"""The version of the shared library that was loaded."""

__all__ = [
    "APICancelledError",
    "APIConnectionError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AuthenticationError",
    "BadRequestError",
    "BatchProgress",
    "BatchResult",
    "BatchStats",
    "Client",
    "ClientStats",
    "CommBoxError",
    "InternalServerError",
    "LatencyStats",
    "LineStats",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "UpdateResult",
    "Updates",
    "UserUpdate",
    "ValidationError",
    "__version__",
]

_LATER = {
    "AsyncClient": "_async",
    "BatchProgress": "_progress",
    "BatchResult": "_batch",
    "BatchStats": "_batch",
    "ClientStats": "_stats",
    "LatencyStats": "_stats",
    "LineStats": "_stats",
    "UpdateResult": "_reply",
    "Updates": "_batch",
    "UserUpdate": "_batch",
}
"""The modules of the names that are imported on first use. With asyncio and dataclasses, their
import takes three times as long as the rest of the package, and most programs do not need them.
"""

if not TYPE_CHECKING:
    # Hidden from type checkers, which would accept any name.
    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = __import__(_LATER[name], globals(), level=1)
        globals()[name] = found = getattr(module, name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
