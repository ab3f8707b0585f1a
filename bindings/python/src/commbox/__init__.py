"""Updates a customer's record in CommBox.

>>> from commbox import Client
>>> with Client("my-api-key") as client:
...     client.update_user(94382332, first_name="John", content={"VIP_Status": "8"})

Every error is a :class:`CommBoxError`.
"""

from ._async import AsyncClient
from ._batch import BatchResult, BatchStats, Updates, UserUpdate
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
    RateLimitError,
    ValidationError,
)
from ._library import lib as _lib
from ._reply import UpdateResult

__version__: str = _lib.commbox_version().decode()
"""The version of the library that was loaded."""

__all__ = [
    "APICancelledError",
    "APIConnectionError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AuthenticationError",
    "BadRequestError",
    "BatchResult",
    "BatchStats",
    "Client",
    "CommBoxError",
    "InternalServerError",
    "NotFoundError",
    "RateLimitError",
    "UpdateResult",
    "Updates",
    "UserUpdate",
    "ValidationError",
    "__version__",
]

# Users see one package, in tracebacks and in pickles too, whichever file a class stands in.
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__
