"""Structured Streaming: a micro-batch that is repeated sends nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from support import COLUMNS, Sandbox, numbers, table, until

from commbox.spark import for_each_batch, read_outcomes


def test_a_repeated_batch_sends_only_unconfirmed_rows(
    spark: SparkSession, sandbox: Sandbox, path: Path, tmp_path: Path
) -> None:
    rows = table(spark, 400, 100)
    for number, where in enumerate(("number <= 200", "number > 200")):
        rows.where(where).coalesce(1).write.mode("append").parquet(str(tmp_path / "input"))
        assert len(list((tmp_path / "input").glob("*.parquet"))) == number + 1
    checkpoint = tmp_path / "checkpoint"

    def run(**options: Any) -> None:
        stream = spark.readStream.schema(rows.schema).option("maxFilesPerTrigger", 1)
        send = for_each_batch(path, **COLUMNS, progress=False, max_retries=0, **options)
        query = stream.parquet(str(tmp_path / "input")).writeStream.foreachBatch(send)
        query.option("checkpointLocation", str(checkpoint)).trigger(
            availableNow=True
        ).start().awaitTermination(120)

    def forget(batch: int) -> None:
        """As after a crash that came before Spark noted that the batch is done."""
        for file in (checkpoint / "commits").glob(f"*{batch}*"):
            file.unlink()

    # The last row of all fails.
    sandbox.script(*[{"own": True}] * 399, {"status": 404})
    run(concurrency=1)
    assert len(sandbox.updates()) == 400
    outcomes = read_outcomes(spark, path)
    counts = {row.batch_id: row["count"] for row in outcomes.groupBy("batch_id").count().collect()}
    assert counts == {0: 200, 1: 200}
    assert outcomes.where("not ok").count() == 1
    forget(1)
    run()
    assert len(sandbox.updates()) == 401
    assert sum(map(len, map(set, numbers(sandbox.updates()).values()))) == 400
    assert read_outcomes(spark, path).where("ok").count() == 400
    forget(1)
    run()
    assert len(sandbox.updates()) == 401


def test_stopping_the_query_stops_sending(
    spark: SparkSession, sandbox: Sandbox, path: Path, tmp_path: Path
) -> None:
    table(spark, 4000, 100).coalesce(1).write.parquet(str(tmp_path / "input"))
    stream = (
        spark.readStream.schema(table(spark).schema).parquet(str(tmp_path / "input")).writeStream
    )
    send = for_each_batch(path, **COLUMNS, progress=False, max_requests_per_second=200)
    query = (
        stream.foreachBatch(send).option("checkpointLocation", str(tmp_path / "checkpoint")).start()
    )
    until(lambda: len(sandbox.updates()) >= 100, "the query sends nothing")
    query.stop()
    # Its thread may end before the function does.
    until(lambda: not list(path.glob("*/_commbox.lock")), "the run does not end")
    sent = len(sandbox.updates())
    assert 100 <= sent < 4000
    assert read_outcomes(spark, path).where("ok").count() == sent
