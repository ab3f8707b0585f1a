"""What became of each row: Parquet files in a folder, one for each chunk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql import types as T  # noqa: N812

from .._fields import invalid
from ._lock import Folder, Lock

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SHOWN = ("user_id", "ok", "code", "name", "message", "delivery", "attempts", "elapsed")
"""The columns of an outcome beside its key."""


class Outcome(NamedTuple):
    """A row of the files."""

    key: Any
    user_id: int
    ok: bool
    code: Optional[int]
    name: str
    message: Optional[str]
    delivery: str
    attempts: int
    elapsed: float
    position: Any
    """What ordered it among the rows of its user."""
    run: int = 0
    """The number of the run, from 1: the last one of a key counts."""


def schema(key: T.DataType, position: T.DataType) -> T.StructType:
    """The columns of the files."""
    return (
        T.StructType()
        .add("key", key)
        .add("user_id", T.LongType())
        .add("ok", T.BooleanType())
        .add("code", T.IntegerType())
        .add("name", T.StringType())
        .add("message", T.StringType())
        .add("delivery", T.StringType())
        .add("attempts", T.IntegerType())
        .add("elapsed", T.DoubleType())
        .add("position", position)
        .add("run", T.IntegerType())
    )


class Outcomes:
    """The outcomes in a folder."""

    def __init__(
        self, spark: SparkSession, path: str, key: T.DataType, position: T.DataType
    ) -> None:
        self._spark = spark
        self._schema = schema(key, position)
        self._folder = Folder(spark, path)
        self._lock: Lock | None = None
        self.path = path
        self.run = 1
        """The number of this run."""

    @contextmanager
    def writing(self, resume: bool) -> Iterator[None]:
        """Keeps other runs out, and finds what there is already.

        Raises:
            ValidationError: Another run writes to it, or it holds something else, or it holds
                outcomes and ``resume`` is False.
        """
        self._inspect(resume)
        with Lock(self._folder, self._spark.sparkContext.applicationId) as self._lock:
            # Another run may have ended meanwhile.
            if self._inspect(resume):
                last = self._files().agg(F.max("run")).first()
                self.run = 1 + (last[0] or 0) if last is not None else 1
            yield

    @property
    def is_resumed(self) -> bool:
        """Whether earlier runs left outcomes."""
        return self.run > 1

    def _inspect(self, resume: bool) -> bool:
        """Whether there are outcomes."""
        names = self._folder.names()
        if not names:
            return False
        strange = next((name for name in names if not name.endswith(".parquet")), None)
        if strange is not None:
            raise invalid(
                -1,
                f"path holds {strange}, which is not an outcome: {self.path}; name another folder",
            )
        found = self._found()
        if found is None or not {"key", *SHOWN, "position", "run"} <= found.keys():
            raise invalid(
                -1, f"path holds files that are not outcomes: {self.path}; name another folder"
            )
        if not resume:
            raise invalid(
                -1,
                f"path holds outcomes already: {self.path}; go on with resume=True, "
                "or name another path",
            )
        wanted = types_of(self._schema)
        for column, argument in (("key", "key"), ("position", "order_by")):
            if found[column] != wanted[column]:
                raise invalid(
                    -1,
                    f"path holds outcomes with another {argument}, of type {found[column]} "
                    f"in place of {wanted[column]}: {self.path}; go on with the same columns, "
                    "or name another path",
                )
        return True

    def _found(self) -> dict[str, str] | None:
        try:
            return types_of(self._spark.read.parquet(self.path).schema)
        except (AnalysisException, Py4JJavaError):
            return None

    def _files(self) -> DataFrame:
        return self._spark.read.schema(self._schema).parquet(self.path)

    def settled(self) -> DataFrame:
        """The keys of rows that are not sent again."""
        return self._files().where("ok OR name = 'superseded'").select("key").distinct()

    def bounds(self) -> DataFrame:
        """For each user the last row that was confirmed or may have been delivered: no earlier one
        may follow it."""
        delivered = self._files().where("delivery = 'unknown' OR (ok AND delivery = 'answered')")
        last = F.max(F.struct("position", "key")).alias("bound")
        return delivered.groupBy(F.col("user_id").alias("id")).agg(last)

    def append(self, outcomes: list[Outcome]) -> None:
        """Writes outcomes, all or none: one file, which Spark moves to its place when it is
        complete."""
        if self._lock is not None and self._lock.lost:
            raise invalid(
                -1, f"another run has taken {self.path}, since this one stood still; this one ends"
            )
        try:
            self._append(outcomes)
        except Py4JJavaError as error:
            # Spark interrupts the thread of a streaming query that is stopped, once. Of a write
            # that this interrupts, nothing is kept.
            if "InterruptedException" not in str(error):
                raise
            self._append(outcomes)

    def _append(self, outcomes: list[Outcome]) -> None:
        # createDataFrame would start Python on the executors, in as many tasks as the cluster has
        # cores.
        spark: Any = self._spark
        serde = spark._jvm.SerDeUtil
        rows = spark.sparkContext.parallelize(
            [self._schema.toInternal(outcome) for outcome in outcomes], 1
        )
        objects = serde.toJavaArray(serde.pythonToJava(rows._jrdd, True))
        frame = spark._jsparkSession.applySchemaToPythonRDD(objects.rdd(), self._schema.json())
        frame.write().mode("append").parquet(self.path)

    def read(self) -> DataFrame:
        """The last outcome of each row."""
        return last_of_each(self._files(), ["key"])


def types_of(columns: T.StructType) -> dict[str, str]:
    """The type of each column, as text."""
    return {column.name: column.dataType.simpleString() for column in columns.fields}


def last_of_each(files: DataFrame, by: list[str]) -> DataFrame:
    """The outcome of the last run for each key."""
    last = F.max_by(F.struct(*SHOWN), "run").alias("last")
    return files.groupBy(*by).agg(last).select(*by, "last.*")


def read_outcomes(spark: SparkSession, path: Union[str, os.PathLike[str]]) -> DataFrame:
    """Reads the last outcome of each row from a folder that :func:`update_users` or
    :func:`for_each_batch` wrote to.

    The columns are ``key``, ``user_id``, ``ok``, ``code``, ``name``, ``message``, ``delivery``
    (``not_sent``, ``unknown`` or ``answered``), ``attempts`` and ``elapsed`` (in seconds); after
    :func:`for_each_batch` also ``batch_id``. The code and the name of a row that was confirmed are
    0 and ``ok``. They are NULL and ``empty`` for a row without a field to send, and NULL and
    ``superseded`` for one that came too late.

    Raises:
        ValidationError: There are no outcomes.
    """
    path = os.fspath(path)
    try:
        files = spark.read.parquet(path)
    except (AnalysisException, Py4JJavaError) as error:
        raise invalid(-1, f"path holds no outcomes: {path}") from error
    if not {"key", *SHOWN, "run"}.issubset(files.columns):
        raise invalid(-1, f"path holds files that are not outcomes: {path}")
    return last_of_each(files, ["batch_id", "key"] if "batch_id" in files.columns else ["key"])
