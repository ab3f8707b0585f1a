"""The table: every row is sent once, in order, and what becomes of it is written down."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from support import (
    COLUMNS,
    ROWS,
    TARGET,
    Sandbox,
    expected,
    files,
    numbers,
    running_sandbox,
    table,
)

from commbox import APICancelledError, AuthenticationError, BatchProgress, Client
from commbox.spark import read_outcomes, update_users


def test_each_row_once_in_order_and_actions_send_nothing(
    spark: SparkSession, sandbox: Sandbox, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = update_users(table(spark), path, **COLUMNS, concurrency=32, chunk=8000)
    assert numbers(sandbox.updates()) == expected()
    # Each of these would send everything again, if Spark sent it.
    assert outcomes.count() == ROWS
    assert outcomes.where("not ok").count() == 0
    assert outcomes.select(F.sum("attempts"), F.count_distinct("key")).first() == (ROWS, ROWS)
    row = outcomes.where("key = 7").first()
    assert row is not None
    assert (row.user_id, row.ok, row.code, row.name, row.message) == (
        7 * 7919 % 5000 + 1,
        True,
        0,
        "ok",
        None,
    )
    assert (row.delivery, row.attempts) == ("answered", 1)
    assert 0 <= row.elapsed < 60
    # A file for each chunk, but for those rows that may be finished and not collected when it is
    # written.
    assert len(files(path)) == 3
    assert not list(path.glob("_commbox*"))
    assert "commbox: 20,000 of 20,000 updates, 0 failed" in capsys.readouterr().err
    # Everything is confirmed: a second run sends nothing.
    again = update_users(table(spark), path, **COLUMNS, resume=True)
    assert again.where("ok").count() == ROWS
    assert len(sandbox.updates()) == ROWS
    assert spark.sparkContext.getLocalProperty("spark.jobGroup.id") is None


def test_a_user_with_half_of_the_rows(spark: SparkSession, sandbox: Sandbox, path: Path) -> None:
    rows = table(spark, 4000, 500)
    skewed = rows.withColumn(
        "user_id", F.when(F.col("row_id") % 2 == 0, 1).otherwise(F.col("user_id"))
    )
    outcomes = update_users(skewed, path, **COLUMNS, concurrency=32, chunk=500, progress=False)
    assert outcomes.where("ok").count() == 4000
    arrived = numbers(sandbox.updates())
    assert len(arrived[1]) >= 2000
    assert sum(map(len, arrived.values())) == 4000
    assert all(found == sorted(set(found)) for found in arrived.values())


@pytest.mark.once
def test_a_throttling_server_costs_at_most_a_fifth(spark: SparkSession, path: Path) -> None:
    rows, rate = 4000, 200
    command = (
        str(TARGET / "debug/commbox"),
        "sandbox",
        "--limit",
        f"{rate}/s",
        "--burst",
        str(rate),
    )
    with running_sandbox(*command) as server:
        outcomes = update_users(
            table(spark, rows, 1000),
            path,
            **COLUMNS,
            concurrency=32,
            api_key=server.api_key,
            base_url=server.url,
        )
        assert outcomes.where("ok").count() == rows
        requests, times = server.updates(), [request["at_ms"] for request in server.requests()]
    # Those beyond one a row were answered 429: each row was accepted once.
    assert outcomes.select(F.sum("attempts")).first() == (len(requests),)
    accepted = {user: sorted(set(found)) for user, found in numbers(requests).items()}
    assert accepted == expected(rows, 1000)
    assert all(found == sorted(found) for found in numbers(requests).values())
    took = (times[-1] - times[0]) / 1000
    print(
        f"{rows} updates at {rate}/s: {took:.1f} s, ideal {rows / rate:.1f} s, "
        f"{len(requests) - rows} answered 429"
    )
    assert took <= 1.2 * rows / rate


class Stopper:
    """Does something, on another thread, when so many updates have finished."""

    def __init__(self, after: int, action: Any) -> None:
        self._after = after
        self._reached = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(action,))
        self._thread.start()

    def __call__(self, progress: BatchProgress) -> None:
        if progress.done >= self._after:
            self._reached.set()

    def _run(self, action: Any) -> None:
        self._reached.wait(120)
        try:
            action()
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(60)
        assert self.error is None


def test_cancelling_the_job_group_ends_the_run_and_resume_continues(
    spark: SparkSession, sandbox: Sandbox, path: Path
) -> None:
    context = spark.sparkContext
    shown: list[str] = []

    def cancel() -> None:
        # All rows that Spark has read are with the driver: only the job that shows the sending
        # runs.
        time.sleep(1)
        store = context._jsc.sc().statusStore()
        shown.extend(
            store.job(job).description().get() for job in context.statusTracker().getActiveJobsIds()
        )
        context.cancelJobGroup("nightly")

    stopper = Stopper(500, cancel)
    context.setJobGroup("nightly", "the job of the night")
    try:
        with pytest.raises(APICancelledError, match=r"the Spark job was cancelled; .* resume=True"):
            update_users(
                table(spark),
                path,
                **COLUMNS,
                chunk=10_000,
                max_requests_per_second=1000,
                progress=stopper,
            )
        assert context.getLocalProperty("spark.job.description") == "the job of the night"
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)
        context.setLocalProperty("spark.job.description", None)
    stopper.join()
    assert any("of 20,000 rows finished, 0 failed" in text for text in shown), shown
    sent = sandbox.updates()
    assert 500 <= len(sent) < 10_000
    # What was in flight has come to its end, and is written.
    assert read_outcomes(spark, path).where("ok").count() == len(sent)
    outcomes = update_users(
        table(spark), path, **COLUMNS, concurrency=32, resume=True, progress=False
    )
    assert outcomes.where("ok").count() == ROWS
    assert numbers(sandbox.updates()) == expected()


def test_a_cancelled_client_leaves_the_rest_to_the_next_run(
    spark: SparkSession, sandbox: Sandbox, path: Path
) -> None:
    with Client(max_requests_per_second=1000) as client:
        stopper = Stopper(50, client.cancel)
        with pytest.raises(APICancelledError):
            update_users(table(spark, 4000, 100), path, **COLUMNS, client=client, progress=stopper)
        stopper.join()
        # It stays open.
        client.set_max_requests_per_second(0)
        before = len(sandbox.updates())
        outcomes = update_users(
            table(spark, 4000, 100), path, **COLUMNS, client=client, resume=True, progress=False
        )
    assert before < 4000
    # A row that was cancelled while a later one of its user was in flight already comes too late.
    assert {row.name for row in outcomes.select("name").distinct().collect()} <= {
        "ok",
        "superseded",
    }
    assert outcomes.count() == 4000
    rows, requests = expected(4000, 100), sandbox.updates()
    for part in (requests[:before], requests[before:]):
        assert all(found == sorted(set(found)) for found in numbers(part).values())
    assert all(found[-1] == rows[user][-1] for user, found in numbers(requests).items())


def test_a_rejected_key_is_raised_and_written(
    spark: SparkSession, sandbox: Sandbox, path: Path
) -> None:
    with pytest.raises(AuthenticationError):
        update_users(
            table(spark, 4000, 100), path, **COLUMNS, api_key="another-key", progress=False
        )
    assert len(sandbox.updates()) <= 8
    assert {row.name for row in read_outcomes(spark, path).collect()} == {"unauthorized"}
    outcomes = update_users(table(spark, 4000, 100), path, **COLUMNS, resume=True, progress=False)
    assert outcomes.where("ok").count() == 4000


def test_an_empty_table(spark: SparkSession, sandbox: Sandbox, path: Path) -> None:
    outcomes: DataFrame = update_users(table(spark).where("row_id < 0"), path, **COLUMNS)
    assert outcomes.count() == 0
    assert sandbox.updates() == []
