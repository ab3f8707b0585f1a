"""One run: finds the rows to send, sends them, and writes what became of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from pyspark.sql import functions as F  # noqa: N812

from .._batch import BatchResult, Updates, UserUpdate
from .._client import Client
from .._errors import APICancelledError, AuthenticationError, cancelled, name_of
from .._fields import invalid
from .._progress import AnyProgress
from ._columns import Columns
from ._jobs import Jobs, is_cancelled
from ._outcomes import Outcome, Outcomes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


LATE = "a later row of the same user was confirmed, or may have been delivered"
EMPTY = "the row has no field to send"


class Batch(NamedTuple):
    """Options of ``update_users``."""

    concurrency: int
    throttle_timeout: Optional[float]
    outage_timeout: Optional[float]
    overall_timeout: Optional[float]


class Count(NamedTuple):
    """What a first look at the rows finds."""

    rows: int
    sent: int
    """Rows that are to be sent."""
    ids_missing: int
    keys_missing: int
    keys_repeated: int


def not_sent(key: Any, user_id: int, position: Any, ok: bool, name: str, message: str) -> Outcome:
    """The outcome of a row that is not handed to the library."""
    return Outcome(key, user_id, ok, None, name, message, "not_sent", 0, 0.0, position)


class Run:
    """A run, which ends when every row has an outcome, or for a reason that it raises."""

    def __init__(
        self,
        columns: Columns,
        outcomes: Outcomes,
        client: Client,
        batch: Batch,
        chunk: int,
        progress: AnyProgress,
    ) -> None:
        self._columns, self._outcomes = columns, outcomes
        self._client, self._batch, self._progress = client, batch, progress
        # Finished updates that are not collected yet count as not written: while a file is written,
        # the library goes on with those in its queue. Together they are a chunk.
        self._queue = max(1, min(1024, chunk // 8))
        self._chunk, self._file = chunk, chunk - self._queue
        self._jobs = Jobs(columns.frame.sparkSession)
        self._collected: list[Outcome] = []
        self._done = self._failed = self._written = 0
        self._failure: BaseException | None = None
        """Why it ends before its end."""
        self._unsent: BaseException | None = None
        """Why rows that were read came back without being sent."""
        self._updates: Updates | None = None

    def run(self, resume: bool) -> None:
        # The library judges the names before any row is read.
        self._client.validate_user(1, self._columns.names)
        with self._jobs, self._outcomes.writing(resume):
            self._jobs.describe("check the rows")
            rows = self._unsettled()
            count = self._count(rows)
            self._check(count)
            if count.rows:
                self._send(rows, count)

    def _unsettled(self) -> DataFrame:
        """The rows that have no final outcome, and whether each comes too late."""
        rows = self._columns.frame
        if not self._outcomes.is_resumed:
            return rows.withColumn("late", F.lit(False))
        rows = rows.join(self._outcomes.settled(), "key", "left_anti")
        rows = rows.join(self._outcomes.bounds(), "id", "left")
        late = F.coalesce(F.struct("position", "key") < F.col("bound"), F.lit(False))
        return rows.select("key", "id", "user", "position", late.alias("late"))

    def _count(self, rows: DataFrame) -> Count:
        is_sent = F.col("user").isNotNull() & ~F.col("late")
        number = F.coalesce(F.sum("n"), F.lit(0))
        found = (
            rows.groupBy("key")
            .agg(
                F.count(F.lit(1)).alias("n"),
                F.count(F.when(is_sent, 1)).alias("sent"),
                F.count("id").alias("ids"),
            )
            .agg(
                number,
                F.coalesce(F.sum("sent"), F.lit(0)),
                number - F.coalesce(F.sum("ids"), F.lit(0)),
                F.coalesce(F.sum(F.when(F.col("key").isNull(), F.col("n"))), F.lit(0)),
                F.count(F.when(F.col("key").isNotNull() & (F.col("n") > 1), 1)),
            )
            .first()
        )
        return Count(*found) if found is not None else Count(0, 0, 0, 0, 0)

    def _check(self, count: Count) -> None:
        problems = []
        for found, missing in (
            (self._columns.id, count.ids_missing),
            (self._columns.key, count.keys_missing),
        ):
            if missing:
                rows = "1 row" if missing == 1 else f"{missing:,} rows"
                instead = f"df.where({found.code}.isNotNull())"
                problems.append(f"{found.label} is NULL in {rows}; leave them out: {instead}")
        if count.keys_repeated:
            values = "1 value" if count.keys_repeated == 1 else f"{count.keys_repeated:,} values"
            label = self._columns.key.label
            problems.append(
                f"{label} has {values} that more than one row has; a key identifies one row"
            )
        if problems:
            raise invalid(-1, "; ".join(problems))

    def _send(self, rows: DataFrame, count: Count) -> None:
        self._jobs.describe(f"read {count.rows:,} rows")
        partitions = math.ceil(count.rows / self._chunk)
        # By user, so that all rows of one are in one partition; in there by time, so that the rows
        # of a user who has many, which are sent one after another, do not follow each other.
        ordered = rows.repartition(partitions, "id").sortWithinPartitions("position", "key")
        source = ordered.select("key", "id", "user", "position", "late").toLocalIterator(
            prefetchPartitions=True
        )
        sending = self._client.update_users(
            self._read(source),
            queue_limit=self._queue,
            progress=self._progress,
            total=count.sent,
            **self._batch._asdict(),
        )

        def progress() -> str:
            return f"{self._done:,} of {count.rows:,} rows finished, {self._failed:,} failed"

        with sending as self._updates, self._jobs.shown(progress, self._stop):
            try:
                for result in sending:
                    self._collect(result)
                    self._write(self._file)
            except BaseException as error:
                # Ctrl-C, or outcomes that cannot be written. What was read comes back.
                self._stop(error)
                for result in sending:
                    self._collect(result)
        self._write(1)
        self._end()

    def _read(self, source: Iterator[Any]) -> Iterator[UserUpdate]:
        """The updates, on the thread that collects. A failure ends the reading, and not what is in
        flight."""
        try:
            for key, user_id, user, position, late in source:
                if late:
                    self._add(not_sent(key, user_id, position, False, "superseded", LATE))
                elif user is None:
                    self._add(not_sent(key, user_id, position, True, "empty", EMPTY))
                else:
                    yield UserUpdate(user_id, user, tag=(key, position))
                    continue
                # Rows that are not sent do not come back as results.
                self._write(self._file)
        except Exception as error:
            self._stop(error)

    def _stop(self, error: BaseException) -> None:
        """Sends no more, on any thread. What was read comes back."""
        # Ctrl-C also cancels all jobs, which may be noticed first.
        if self._failure is None or not isinstance(error, Exception):
            self._failure = error
        self._cancel()

    def _cancel(self) -> None:
        if self._updates is not None:
            self._updates.cancel()

    def _collect(self, result: BatchResult) -> None:
        (key, position), user_id = result.tag, result.user_id or 0
        if result.result is not None:
            took = result.result.attempts, result.result.elapsed
            self._add(Outcome(key, user_id, True, 0, name_of(0), None, "answered", *took, position))
            return
        error = result.error
        if error is None:
            return
        if isinstance(error, APICancelledError) and error.delivery == "not_sent":
            # It has no outcome, and the next run sends it. No later row of its user may be sent
            # before it.
            self._unsent = self._unsent or error
            self._cancel()
            return
        if isinstance(error, AuthenticationError):
            self._unsent = error
        what = error.code, error.name, error.message, error.delivery, error.attempts, error.elapsed
        self._add(Outcome(key, user_id, False, *what, position))

    def _add(self, outcome: Outcome) -> None:
        self._collected.append(outcome._replace(run=self._outcomes.run))
        self._done += 1
        self._failed += not outcome.ok

    def _write(self, least: int) -> None:
        """Writes what was collected, if it is so many rows."""
        if len(self._collected) < least:
            return
        self._jobs.describe("write outcomes")
        with self._jobs.apart():
            self._outcomes.append(self._collected)
        self._written += len(self._collected)
        self._collected = []

    def _end(self) -> None:
        """Raises why rows have no outcome, if some have none."""
        error = self._failure or self._unsent
        if error is None:
            return
        if is_cancelled(error) and not isinstance(error, (APICancelledError, KeyboardInterrupt)):
            raise cancelled(
                f"the Spark job was cancelled; {self._written:,} outcomes of this run are in "
                f"{self._outcomes.path}, and resume=True sends the other rows"
            ) from error
        raise error
