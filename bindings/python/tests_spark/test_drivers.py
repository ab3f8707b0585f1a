"""Drivers that end before their time, on their own and on a cluster whose executors die."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyspark
import pytest
from pyspark.sql import SparkSession
from support import COLUMNS, ROWS, Sandbox, driver, expected, files, numbers, running, table, until

from commbox.spark import read_outcomes, update_users

pytestmark = pytest.mark.once

CHUNK, CONCURRENCY = 1000, 16
SLOWLY: dict[str, Any] = {
    "chunk": CHUNK,
    "concurrency": CONCURRENCY,
    "max_requests_per_second": 2000,
}


def test_an_interrupted_driver_and_a_killed_driver(
    spark: SparkSession, sandbox: Sandbox, path: Path, tmp_path: Path
) -> None:
    with running(driver("local[2]", tmp_path, sandbox, path, **SLOWLY)) as first:
        until(lambda: len(files(path)) >= 3, "the driver writes nothing")
        os.kill(first.pid, signal.SIGINT)
        assert first.wait(300) not in (0, -signal.SIGKILL)
    interrupted = len(sandbox.updates())
    assert interrupted < ROWS
    # What was in flight has come to its end, and nothing is in the way of the next run.
    assert read_outcomes(spark, path).where("ok").count() == interrupted
    assert not list(path.glob("_commbox*"))

    before = len(files(path))
    with running(driver("local[2]", tmp_path, sandbox, path, resume=True, **SLOWLY)) as second:
        until(lambda: len(files(path)) >= before + 3, "the driver writes nothing")
        os.kill(second.pid, signal.SIGKILL)
        second.wait()
        killed = len(sandbox.updates())
    written = read_outcomes(spark, path).where("ok").count()
    assert interrupted < written < ROWS
    assert killed - written <= CHUNK + CONCURRENCY

    outcomes = update_users(
        table(spark), path, **COLUMNS, concurrency=32, resume=True, progress=False
    )
    assert outcomes.where("ok").count() == outcomes.count() == ROWS
    requests = sandbox.updates()
    twice = len(requests) - ROWS
    print(f"sent twice after kill -9: {twice} of {ROWS} rows, at most {CHUNK + CONCURRENCY} are")
    assert 0 <= twice <= CHUNK + CONCURRENCY
    rows = expected()
    for part in (requests[:killed], requests[killed:]):
        assert all(found == sorted(set(found)) for found in numbers(part).values())
    arrived = numbers(requests)
    assert {user: sorted(set(found)) for user, found in arrived.items()} == rows
    assert all(found[-1] == rows[user][-1] for user, found in arrived.items())
    assert all(
        sandbox.user(user)["data"]["Remarks"] == str(rows[user][-1]) for user in range(1, 50)
    )


class Cluster:
    """A master and two workers on loopback, on free ports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs: list[Path] = []
        port = self._start("master", "Master", r"service 'sparkMaster' on port (\d+)")
        self.url = f"spark://127.0.0.1:{port}"
        for name in ("worker-1", "worker-2"):
            work = ("--cores", "2", "--memory", "600m", "--work-dir", str(folder / name), self.url)
            self._start(name, "Worker", "Successfully registered with master", *work)
        self.workers = [process.pid for process in self._processes[1:]]

    def _start(self, name: str, kind: str, started: str, *arguments: str) -> str:
        home = Path(pyspark.__file__).parent
        loopback = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        command = [
            str(home / "bin/spark-class"),
            f"org.apache.spark.deploy.{kind.lower()}.{kind}",
            *loopback,
        ]
        log = self._folder / f"{name}.log"
        environment = {
            **os.environ,
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(self._folder / "local"),
            "SPARK_DAEMON_MEMORY": "128m",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *arguments],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(process)

        def found() -> re.Match[str] | None:
            assert process.poll() is None, log.read_text()
            return re.search(started, log.read_text())

        until(lambda: found() is not None, f"{name} does not start")
        match = found()
        assert match is not None
        return match.group(match.lastindex or 0)

    def executors(self) -> list[int]:
        """The processes that the workers have started."""
        found = []
        for worker in self.workers:
            for thread in Path(f"/proc/{worker}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
        return found

    def stop(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def test_an_executor_that_dies_sends_nothing_twice(
    spark: SparkSession, cluster: Cluster, sandbox: Sandbox, path: Path, tmp_path: Path
) -> None:
    with running(driver(cluster.url, tmp_path, sandbox, path, **SLOWLY)) as process:
        for killed in range(1, 3):
            until(lambda: len(files(path)) >= 4 * killed, "the driver writes nothing")  # noqa: B023
            # The first, then one of those that are there then: of the two, or of the two that took
            # its place.
            executors = cluster.executors()
            assert executors
            os.kill(executors[0], signal.SIGKILL)
        assert len(sandbox.updates()) < ROWS
        assert process.wait(300) == 0
    assert numbers(sandbox.updates()) == expected()
    assert read_outcomes(spark, path).where("ok").count() == ROWS
