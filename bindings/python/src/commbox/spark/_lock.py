"""One writer at a time: a file beside the outcomes, which its owner renews.

Its age is not judged by a clock, since file systems and drivers have different ones: a run that
finds the file watches whether it changes. The file system is Hadoop's, which Spark reads and writes
with.
"""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import InheritableThread

from .._fields import invalid

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAME = "_commbox.lock"
RENEWED = 5.0
"""Time between renewals, in seconds."""
STALE = 4 * RENEWED
"""A lock that did not change for so long has no owner any more, in seconds."""


class Folder:
    """A folder on a file system of Hadoop."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        jvm: Any = spark._jvm
        self._jvm = jvm
        self.path = path
        self._folder = jvm.org.apache.hadoop.fs.Path(path)
        self._fs = self._folder.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())

    def names(self) -> list[str] | None:
        """What is in there, but for what Spark does not read; None if there is no folder."""
        if not self._fs.exists(self._folder):
            return None
        if not self._fs.getFileStatus(self._folder).isDirectory():
            raise invalid(-1, f"path is a file: {self.path}; name a folder")
        names = [status.getPath().getName() for status in self._fs.listStatus(self._folder)]
        return sorted(name for name in names if not name.startswith(("_", ".")))

    def read(self, name: str) -> str | None:
        """The text of a file, or None if there is none."""
        try:
            stream = self._fs.open(self._jvm.org.apache.hadoop.fs.Path(self._folder, name))
            try:
                text: str = self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8")
                return text
            finally:
                stream.close()
        except Py4JJavaError as error:
            kind = str(error.java_exception.getClass().getName())
            if "FileNotFoundException" in kind:
                return None
            if "ChecksumException" in kind:
                return ""  # It is being replaced.
            raise

    def write(self, name: str, text: str, *, replace: bool) -> bool:
        """Writes a file. Returns False if there is one that is not to be replaced."""
        try:
            stream = self._fs.create(
                self._jvm.org.apache.hadoop.fs.Path(self._folder, name), replace
            )
        except Py4JJavaError as error:
            if "AlreadyExists" in str(error.java_exception.getClass().getName()):
                return False
            raise
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()
        return True

    def delete(self, name: str) -> None:
        self._fs.delete(self._jvm.org.apache.hadoop.fs.Path(self._folder, name), False)


class Lock:
    """Held in a ``with`` statement.

    Raises:
        ValidationError: Another run holds it.
    """

    def __init__(self, folder: Folder, owner: str) -> None:
        self._folder = folder
        self._token = f"{uuid.uuid4().hex} {owner}"
        self._count = 0
        self._ended = threading.Event()
        self._thread: InheritableThread | None = None
        self.lost = False
        """Whether another run has taken it, because this one did not renew it in time."""

    def __enter__(self) -> Lock:
        if not self._folder.write(NAME, self._text(), replace=False):
            self._wait_for_stale()
            self._folder.write(NAME, self._text(), replace=True)
        # A plain thread would keep its connection to the JVM.
        self._thread = InheritableThread(target=self._renew)
        self._thread.daemon = True
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(STALE)
        # If Spark was stopped, it stays, and the next run sees that nobody renews it.
        with suppress(Py4JError):
            if self._is_own():
                self._folder.delete(NAME)

    def _text(self) -> str:
        self._count += 1
        return f"{self._token}\n{self._count}"

    def _is_own(self) -> bool:
        return (self._folder.read(NAME) or "").startswith(self._token)

    def _wait_for_stale(self) -> None:
        found = self._folder.read(NAME)
        until = time.monotonic() + STALE
        while found is not None and time.monotonic() < until:
            time.sleep(RENEWED / 5)
            now = self._folder.read(NAME)
            if now is not None and now != found:
                owner = now.partition("\n")[0].partition(" ")[2] or "unknown"
                raise invalid(
                    -1,
                    f"path is in use: the Spark application {owner} writes outcomes to "
                    f"{self._folder.path}; wait for its end, or name another path",
                )
            found = now

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED):
            # A file system may fail for a moment.
            with suppress(Py4JError):
                if not self._is_own():
                    self.lost = True
                    return
                self._folder.write(NAME, self._text(), replace=True)
