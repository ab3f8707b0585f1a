"""The jobs of a run in Spark's web page: they are in one group, say how far the run is, and can be
cancelled."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Callable

from pyspark import InheritableThread

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GROUP = "spark.jobGroup.id"
DESCRIPTION = "spark.job.description"
INTERRUPT = "spark.job.interruptOnCancel"

SHOWN = 30
"""How long a job shows how far the run is, until the next one does, in seconds."""


def is_cancelled(error: BaseException) -> bool:
    """Whether a job ended because it was cancelled."""
    text = str(error)
    return "SPARK_JOB_CANCELLED" in text or " cancelled" in text


class Jobs:
    """The jobs that this thread starts, in a ``with`` statement. A group that the caller has set is
    kept."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._context: Any = spark.sparkContext
        self._saved: dict[str, Any] = {}

    def __enter__(self) -> Jobs:
        self._saved = {name: self._context.getLocalProperty(name) for name in (GROUP, DESCRIPTION)}
        if self._saved[GROUP] is None:
            self._context.setLocalProperty(GROUP, f"commbox-{uuid.uuid4().hex[:12]}")
        return self

    def __exit__(self, *_: object) -> None:
        # The context may have been stopped.
        with suppress(Exception):
            for name, value in self._saved.items():
                self._context.setLocalProperty(name, value)

    def describe(self, text: str) -> None:
        """What the web page says of the jobs that follow."""
        self._context.setLocalProperty(DESCRIPTION, f"commbox: {text}")

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Has jobs run outside the group: what was collected is written also if the group is
        cancelled."""
        group = self._context.getLocalProperty(GROUP)
        self._context.setLocalProperty(GROUP, None)
        try:
            yield
        finally:
            self._context.setLocalProperty(GROUP, group)

    @contextmanager
    def shown(
        self, progress: Callable[[], str], cancelled: Callable[[BaseException], None]
    ) -> Iterator[None]:
        """Shows the sending as a job of the group, and calls ``cancelled`` when it is cancelled.

        While the driver sends, Spark has nothing to do most of the time: without this job the web
        page would show nothing, and there would be nothing to cancel. It waits on one of the
        executors' cores. If there is only one, it is left to the jobs that read and write.
        """
        if self._cores() < 2:
            yield
            return
        ended = threading.Event()
        tag = f"commbox-{uuid.uuid4().hex}"
        thread = InheritableThread(target=self._show, args=(progress, cancelled, ended, tag))
        thread.daemon = True
        thread.start()
        try:
            yield
        finally:
            ended.set()
            with suppress(Exception):
                while thread.is_alive():
                    self._context.cancelJobsWithTag(tag)
                    thread.join(0.1)

    def _cores(self) -> int:
        context = self._context._jsc.sc()
        cores: int = context.maxNumConcurrentTasks(
            context.resourceProfileManager().defaultResourceProfile()
        )
        return cores

    def _show(
        self,
        progress: Callable[[], str],
        cancelled: Callable[[BaseException], None],
        ended: threading.Event,
        tag: str,
    ) -> None:
        self._context.addJobTag(tag)
        self._context.setLocalProperty(INTERRUPT, "true")
        wait = f"java_method('java.lang.Thread', 'sleep', {SHOWN * 1000}L)"
        while not ended.is_set():
            self.describe(progress())
            try:
                # In the JVM: no Python has to start for it.
                self._spark.range(0, 1, 1, 1).selectExpr(wait).collect()
            except Exception as error:
                if ended.is_set():
                    return
                if is_cancelled(error):
                    cancelled(error)
                    return
                # The executor that waited is gone, or the cluster allows no such function.
                ended.wait(SHOWN)
