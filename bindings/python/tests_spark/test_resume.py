"""Going on where a run ended, and the folder that runs share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from support import COLUMNS, Sandbox, files, table

from commbox import ValidationError
from commbox.spark import _lock, read_outcomes, update_users
from commbox.spark._lock import Folder, Lock

ONE_BY_ONE: dict[str, Any] = {"concurrency": 1, "max_retries": 0, "progress": False}


def history(spark: SparkSession) -> DataFrame:
    """Three rows of each of four users, one after another."""
    return table(spark, 12, 12).selectExpr(
        "row_id", "cast(row_id div 3 as int) + 1 AS user_id", "changed_at", "number", "city"
    )


def test_an_older_row_never_follows_a_newer_one(
    spark: SparkSession, sandbox: Sandbox, path: Path
) -> None:
    df = history(spark)
    order = [(row.user_id, row.number) for row in df.orderBy("changed_at").collect()]
    assert order[:4] == [(4, "1"), (4, "2"), (4, "3"), (3, "4")]
    own: dict[str, Any] = {"own": True}
    failed, unanswered = {"status": 404}, {"delay_ms": 3000, "own": True}
    # User 4: the row in the middle fails. User 3: the last one gets no answer, and the one before
    # fails. User 2: the last one fails. User 1: all are confirmed.
    sandbox.script(own, failed, own, own, failed, unanswered, own, own, failed, own, own, own)
    outcomes = update_users(df, path, **COLUMNS, **ONE_BY_ONE, timeout=1)
    found = {12 - row.key: (row.name, row.delivery) for row in outcomes.where("not ok").collect()}
    assert found == {
        2: ("not_found", "answered"),
        5: ("not_found", "answered"),
        6: ("timeout", "unknown"),
        9: ("not_found", "answered"),
    }
    assert len(sandbox.updates()) == 12
    sandbox.reset()
    outcomes = update_users(df, path, **COLUMNS, **ONE_BY_ONE, resume=True)
    assert [fields["Remarks"] for _, fields in sandbox.updates()] == ["6", "9"]
    late = {
        12 - row.key: (row.code, row.name, row.delivery)
        for row in outcomes.where("not ok").collect()
    }
    assert late == {2: (None, "superseded", "not_sent"), 5: (None, "superseded", "not_sent")}
    assert outcomes.count() == 12
    # Mended rows that come back without the newer ones are not sent either; a new row is.
    written = len(files(path))
    mended = df.where("number = '2'").selectExpr(
        "row_id + 100 AS row_id", "user_id", "changed_at", "number", "city"
    )
    new = df.where("number = '3'").selectExpr(
        "-1L AS row_id",
        "user_id",
        "changed_at + interval 1 hour AS changed_at",
        "'99' AS number",
        "city",
    )
    sandbox.reset()
    outcomes = update_users(mended.union(new), path, **COLUMNS, **ONE_BY_ONE, resume=True)
    assert [fields["Remarks"] for _, fields in sandbox.updates()] == ["99"]
    assert len(files(path)) == written + 1
    assert outcomes.count() == 14
    assert sorted(read_outcomes(spark, path).collect()) == sorted(outcomes.collect())


def test_rows_are_ordered_by_key_without_order_by(
    spark: SparkSession, sandbox: Sandbox, path: Path
) -> None:
    columns = {name: given for name, given in COLUMNS.items() if name != "order_by"}
    update_users(history(spark), path, **columns, **ONE_BY_ONE)
    assert [int(fields["Remarks"]) for _, fields in sandbox.updates()] == list(range(12, 0, -1))


def test_an_unsuitable_folder_is_refused(
    spark: SparkSession, sandbox: Sandbox, tmp_path: Path
) -> None:
    df = history(spark)

    def refusal(path: Path, **arguments: Any) -> str:
        with pytest.raises(ValidationError) as caught:
            update_users(df, path, **{**COLUMNS, **ONE_BY_ONE, **arguments})
        assert str(path) in str(caught.value)
        return str(caught.value)

    path = tmp_path / "outcomes"
    update_users(df, path, **COLUMNS, **ONE_BY_ONE)
    sandbox.reset()
    assert "path holds outcomes already" in refusal(path)
    message = refusal(path, resume=True, key=df["city"])
    assert "path holds outcomes with another key, of type bigint in place of string" in message
    assert "outcomes with another order_by" in refusal(path, resume=True, order_by="number")

    table(spark, 10, 10).write.parquet(str(tmp_path / "other"))
    for resume in (True, False):
        assert "path holds files that are not outcomes" in refusal(
            tmp_path / "other", resume=resume
        )
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/notes.txt").write_text("mine")
    assert "path holds notes.txt, which is not an outcome" in refusal(
        tmp_path / "notes", resume=True
    )
    assert "path is a file" in refusal(tmp_path / "notes/notes.txt")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/part-0.parquet").write_text("no Parquet")
    assert "path holds files that are not outcomes" in refusal(tmp_path / "broken", resume=True)
    for name in ("notes", "other", "broken", "nothing"):
        with pytest.raises(ValidationError, match="path holds"):
            read_outcomes(spark, tmp_path / name)
    assert sandbox.updates() == []
    # None of them was touched.
    assert [file.name for file in (tmp_path / "notes").iterdir()] == ["notes.txt"]


def test_only_one_writer_at_a_time(
    spark: SparkSession, sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "RENEWED", 0.2)
    monkeypatch.setattr(_lock, "STALE", 2.0)
    df, folder = history(spark), Folder(spark, str(path))
    with Lock(folder, "app-7") as lock:
        time.sleep(1)
        assert not lock.lost
        with pytest.raises(
            ValidationError, match="path is in use: the Spark application app-7 writes outcomes to"
        ):
            update_users(df, path, **COLUMNS, **ONE_BY_ONE)
        # Another run takes a lock that stands still, and the run that comes to itself again ends.
        folder.write(_lock.NAME, "another", replace=True)
        time.sleep(1)
        assert lock.lost
    assert folder.read(_lock.NAME) == "another"
    assert sandbox.updates() == []
    # Its driver was killed.
    assert update_users(df, path, **COLUMNS, **ONE_BY_ONE).where("ok").count() == 12
    assert folder.read(_lock.NAME) is None
    assert folder.names() == sorted(file.name for file in files(path))


def test_a_run_that_lost_the_folder_ends(
    spark: SparkSession, sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "RENEWED", 0.2)
    folder = Folder(spark, str(path))

    def take(_: object) -> None:
        folder.write(_lock.NAME, "another", replace=True)

    with pytest.raises(ValidationError, match="another run has taken"):
        update_users(
            table(spark, 1000, 100),
            path,
            **COLUMNS,
            chunk=100,
            max_requests_per_second=200,
            progress=take,
        )
    assert len(sandbox.updates()) < 1000
    assert folder.read(_lock.NAME) == "another"
