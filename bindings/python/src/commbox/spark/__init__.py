"""Updates the users of a Spark DataFrame.

Spark reads, joins, partitions and sorts. The driver sends, through one client, so that one rate
limit, one order of each user's rows and one record of outcomes hold for the whole table. Executors
need neither this package nor Python.

>>> from commbox.spark import update_users
>>> outcomes = update_users(df, "s3://bucket/commbox/outcomes", id="user_id", key="row_id",
...                         order_by="changed_at", fields={"FirstName": "first_name"})
>>> outcomes.where("not ok").show()

It needs PySpark 3.5 or newer: ``pip install commbox[spark]``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

try:
    import pyspark as _pyspark
except ImportError as _error:
    raise ImportError(
        "commbox.spark needs PySpark 3.5 or newer, which is not installed; "
        "install it: pip install commbox[spark]"
    ) from _error

if tuple(int(part) for part in _pyspark.__version__.split(".")[:2]) < (3, 5):
    raise ImportError(
        f"commbox.spark needs PySpark 3.5 or newer, and this is {_pyspark.__version__}"
    )

from .. import Client
from .._fields import invalid
from .._hints import found_in_typing
from .._progress import AnyProgress, check_progress
from .._types import ClientOptions
from ._columns import Columns, Given
from ._outcomes import Outcomes, read_outcomes
from ._run import Batch, Run

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    # Type checkers know it without its being installed.
    from typing_extensions import Unpack
else:
    Unpack = found_in_typing("Unpack", Union)

__all__ = ["for_each_batch", "read_outcomes", "update_users"]

ColumnOrName = Union["Column", str]
"""A column of the DataFrame by its name, or an expression: ``F.col("zip").cast("string")``."""

LARGEST_CHUNK = 1_000_000


def update_users(
    df: DataFrame,
    path: Union[str, os.PathLike[str]],
    *,
    id: ColumnOrName,  # noqa: A002
    key: ColumnOrName,
    fields: Optional[Mapping[str, ColumnOrName]] = None,
    user: Optional[ColumnOrName] = None,
    order_by: Union[ColumnOrName, Sequence[ColumnOrName], None] = None,
    nulls: str = "omit",
    resume: bool = False,
    chunk: int = 10_000,
    concurrency: int = 8,
    throttle_timeout: Optional[float] = None,
    outage_timeout: Optional[float] = None,
    overall_timeout: Optional[float] = None,
    progress: AnyProgress = True,
    client: Optional[Client] = None,
    api_key: Optional[str] = None,
    **options: Unpack[ClientOptions],
) -> DataFrame:
    """Updates the user of each row, and returns when every row has an outcome.

    It is eager: it sends at once, from the driver, and writes what became of each row to ``path``.
    The DataFrame that it returns is read from there, so no action on it sends anything again. Rows
    of the same user are sent in order and never two at a time. Memory does not grow with the table.

    Args:
        df: The rows. It is computed twice, once to check it and once to send it: cache it if that
            is expensive, or if it is not the same each time.
        path: The folder that receives the outcomes, on any file system that Spark can write to. One
            run at a time writes to it.
        id: The column of the id that CommBox gave the user: a whole number, not NULL.
        key: The column that identifies a row, also in a later run: a whole number or text, not
            NULL, each value once.
        fields: The API's names, custom fields with ``Content.`` before the name, and the column of
            each. Their type is string. Either this or ``user`` is given.
        user: The column of all fields of a row: JSON text, which is sent as it is, or a struct
            whose members have the API's names.
        order_by: The column or columns by which the rows of one user are ordered, NULL first. Rows
            that are equal in them are ordered by ``key``. Default: ``key``.
        nulls: ``"omit"`` leaves fields that are NULL as they are in CommBox; ``"send"`` sends them
            as JSON null, which JSON text cannot be combined with. A row without a field to send is
            not sent, and is ok. Default ``"omit"``.
        resume: Go on with an earlier run that wrote to ``path``, however that ended: rows that it
            confirmed are left out. A row is also left out, with an outcome named ``superseded``, if
            a later row of the same user was confirmed or may have been delivered. By default a
            ``path`` that holds outcomes is refused.
        chunk: Outcomes are written after so many rows, 2 to 1000000. If the driver dies, at most
            ``chunk`` plus ``concurrency`` rows are sent again. Default 10000.
        concurrency: How many updates are sent at a time, 1 to 256, each on a connection of its own.
            Default 8.
        throttle_timeout: As for :meth:`commbox.Client.update_users`, in seconds.
        outage_timeout: As for :meth:`commbox.Client.update_users`, in seconds.
        overall_timeout: As for :meth:`commbox.Client.update_users`, in seconds.
        progress: As for :meth:`commbox.Client.update_users`, and True by default.
        client: A client to send with, which stays open. Default: one is made from ``api_key`` and
            the other options.
        api_key: As for :class:`commbox.Client`. It does not leave the driver.
        **options: As for :class:`commbox.Client`, such as ``max_requests_per_second``.

    Returns:
        The last outcome of each row in ``path``, as :func:`read_outcomes` reads it.

    Raises:
        ValidationError: A column, a value of ``id`` or ``key``, ``path`` or an option is not what
            it must be; nothing was sent.
        AuthenticationError: The server refused the API key. Outcomes so far are written; the other
            rows were not sent.
        APICancelledError: The Spark job or the client was cancelled. Outcomes so far are written.

    A row that fails stops nothing: ``ok`` is false in its outcome. Ctrl-C, and cancelling the job
    group, send no more rows, wait for those in flight, and write the outcomes. ``resume=True`` goes
    on.
    """
    check_progress(progress, None)
    if not isinstance(chunk, int) or isinstance(chunk, bool):
        raise TypeError(f"chunk must be an int, not {type(chunk).__name__}")
    if not 2 <= chunk <= LARGEST_CHUNK:
        raise invalid(-1, f"chunk must be 2 to {LARGEST_CHUNK}, not {chunk}")
    if client is not None and (api_key is not None or options):
        given = ", ".join(["api_key"] * (api_key is not None) + sorted(options))
        raise TypeError(f"give either a client, or the options of one: {given}")
    given_columns = Given(id=id, key=key, fields=fields, user=user, order_by=order_by, nulls=nulls)
    columns = Columns(df, given_columns)
    batch = Batch(
        concurrency=concurrency,
        throttle_timeout=throttle_timeout,
        outage_timeout=outage_timeout,
        overall_timeout=overall_timeout,
    )
    outcomes = Outcomes(df.sparkSession, os.fspath(path), columns.key_type, columns.position_type)
    if client is not None:
        Run(columns, outcomes, client, batch, chunk, progress).run(resume)
    else:
        with Client(api_key, **options) as own:
            Run(columns, outcomes, own, batch, chunk, progress).run(resume)
    return outcomes.read()


def for_each_batch(
    path: Union[str, os.PathLike[str]],
    *,
    client: Optional[Client] = None,
    api_key: Optional[str] = None,
    **options: Any,
) -> Callable[[DataFrame, int], None]:
    """Returns a function for ``foreachBatch`` of Structured Streaming, which updates the users of
    each micro-batch.

        send = for_each_batch("s3://bucket/outcomes", id="user_id", key="row_id", user="json")
        query = stream.writeStream.foreachBatch(send)
        query.option("checkpointLocation", "s3://bucket/checkpoint").start()

    The outcomes of a micro-batch are in a folder of its own, ``path/batch_id=…``. A micro-batch
    that Spark repeats, because the query was restarted, goes on where it ended: rows that were
    confirmed are not sent again. ``read_outcomes(spark, path)`` reads all of them. All
    micro-batches are sent through one client.

    Args:
        path: The folder that receives the outcomes. It belongs to one query and its checkpoint.
        client: As for :func:`update_users`.
        api_key: As for :func:`update_users`.
        **options: As for :func:`update_users`: ``id``, ``key`` and either ``fields`` or ``user``
            are required. A ``key`` must be unique within a micro-batch. ``resume`` is not among
            them.
    """
    known = {*inspect.signature(update_users).parameters, *ClientOptions.__annotations__} - {
        "df",
        "path",
        "resume",
    }
    unknown = sorted(set(options) - known)
    if unknown:
        raise TypeError(f"for_each_batch() got an unexpected keyword argument {unknown[0]!r}")
    missing = [name for name in ("id", "key") if name not in options]
    if missing:
        raise TypeError(f"for_each_batch() needs {' and '.join(missing)}")
    own = {
        name: options.pop(name) for name in list(options) if name in ClientOptions.__annotations__
    }
    if client is None:
        client = Client(api_key, **own)
    elif api_key is not None or own:
        raise TypeError(
            f"give either a client, or the options of one: {', '.join(sorted(own)) or 'api_key'}"
        )
    folder, sender = os.fspath(path).rstrip("/"), client

    def send(batch: DataFrame, batch_id: int) -> None:
        update_users(batch, f"{folder}/batch_id={batch_id}", client=sender, resume=True, **options)

    return send
