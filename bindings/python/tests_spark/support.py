"""The sandbox, sessions of Spark, and the table that is sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from offline import CHECKOUT as CHECKOUT
from offline import TARGET as TARGET
from offline import Sandbox as Sandbox
from offline import running as running_server

ROWS, USERS = 20_000, 5_000


def running_sandbox(*command: str) -> AbstractContextManager[Sandbox]:
    """A record of 20,000 requests takes a while to read."""
    return running_server(*command, timeout=60)


def session(master: str, folder: Path) -> SparkSession:
    """A session on loopback, with ports that are free, whose files are in this folder."""
    builder = SparkSession.builder.master(master).appName("commbox")
    for name, value in {
        "spark.driver.memory": "768m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "4",
        # The codec of Spark's own JVM: if musl is installed beside glibc, Snappy loads its library
        # for the wrong one.
        "spark.sql.parquet.compression.codec": "gzip",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
    }.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def table(spark: SparkSession, rows: int = ROWS, users: int = USERS) -> DataFrame:
    """Rows of users: the later one is changed, the lower is its key. ``number`` counts by time,
    from 1."""
    frame = spark.range(rows, numPartitions=4)
    number = F.lit(rows) - F.col("id")
    return frame.select(
        F.col("id").alias("row_id"),
        (F.col("id") * 7919 % users + 1).alias("user_id"),
        F.timestamp_seconds(number + 1_700_000_000).alias("changed_at"),
        number.cast("string").alias("number"),
        F.concat(F.lit("City "), number.cast("string")).alias("city"),
    )


COLUMNS: dict[str, Any] = {
    "id": "user_id",
    "key": "row_id",
    "order_by": "changed_at",
    "fields": {"Remarks": "number", "Content.City": "city"},
}
"""The columns of the table."""


def numbers(requests: list[tuple[int, dict[str, Any]]]) -> dict[int, list[int]]:
    """For each user the numbers of the rows, as they arrived."""
    arrived: dict[int, list[int]] = {}
    for user_id, fields in requests:
        arrived.setdefault(user_id, []).append(int(fields["Remarks"]))
    return arrived


def expected(rows: int = ROWS, users: int = USERS) -> dict[int, list[int]]:
    """For each user the numbers of its rows, in order."""
    found: dict[int, list[int]] = {}
    for row_id in range(rows - 1, -1, -1):
        found.setdefault(row_id * 7919 % users + 1, []).append(rows - row_id)
    return found


def until(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def files(path: Path) -> list[Path]:
    """The files of outcomes that are complete."""
    return list(path.glob("*.parquet"))


def driver(
    master: str, folder: Path, sandbox: Sandbox, path: Path, **options: Any
) -> subprocess.Popen[bytes]:
    """Starts a driver of its own, which sends the table."""
    words = [
        sys.executable,
        str(Path(__file__).with_name("driver_program.py")),
        master,
        str(folder),
        str(path),
    ]
    environment = {
        **os.environ,
        "COMMBOX_API_KEY": sandbox.api_key,
        "COMMBOX_BASE_URL": sandbox.url,
    }
    return subprocess.Popen([*words, json.dumps(options)], env=environment, start_new_session=True)


@contextmanager
def running(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Ends a process, and all that it has started, at last."""
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
