"""Updates many users: sends updates while they are read from an iterable, and returns results as
they finish.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any, NoReturn, Optional, Union

from . import _gevent
from ._batch_handle import Batch, Finished
from ._errors import APICancelledError, CommBoxError, ValidationError, cancelled, from_json
from ._fields import invalid
from ._options import CallOptions, milliseconds
from ._pair import id_and_json, integer, type_name
from ._progress import AnyProgress, Progress, check_progress, start_progress
from ._reply import UpdateResult, read


@dataclass(frozen=True)
class UserUpdate:
    """An update for ``update_users``, with a tag and options of its own.

    >>> update = UserUpdate(94382332, {"FirstName": "John"}, tag="row 7", timeout=5)
    >>> [result.tag for result in client.update_users([update])]
    ['row 7']
    """

    user_id: int
    """The number that CommBox assigned to the user, 1 or more."""
    user: Union[Mapping[str, Any], str] = field(repr=False)
    """The fields by the API's names, or JSON text as for ``update_user_json``."""
    tag: Any = field(default=None, repr=False)
    """Anything of your own, such as the row that the update comes from. It is returned with the
    result.
    """
    timeout: Optional[float] = None
    """Timeout of this update from when it is dispatched, in seconds; None for the client's."""
    attempt_timeout: Optional[float] = None
    """Timeout of one attempt, in seconds; None for the client's."""
    max_retries: Optional[int] = None
    """Maximum number of retries after a transient failure, 0 to 100; None for the client's."""
    headers: Optional[Mapping[str, str]] = field(default=None, repr=False)
    """Additional headers for this update. Each replaces a header of the client with the same name.
    """


AnyUpdate = Union[tuple[int, Union[Mapping[str, Any], str]], UserUpdate]
"""What ``update_users`` accepts: a pair of id and user, or a :class:`UserUpdate`."""


@dataclass(frozen=True)
class BatchResult:
    """The result of one update of ``update_users``: either ``result`` or ``error`` is set.

    >>> for result in client.update_users([(94382332, {"FirstName": "John"})]):
    ...     print(result.user_id, result.ok)
    94382332 True
    """

    index: int
    """The position of the update in the iterable, from 0."""
    user_id: Optional[int]
    """The user's id; None if the update has none that is an integer."""
    update: AnyUpdate = field(repr=False)
    """The update as it was given, for example to log it or to send it again."""
    result: Optional[UpdateResult]
    """The server's reply, if it confirmed the update."""
    error: Optional[CommBoxError]
    """The exception that ``update_user`` would have raised."""

    @property
    def ok(self) -> bool:
        """Whether the server confirmed the update."""
        return self.error is None

    @property
    def tag(self) -> Any:
        """The tag of the :class:`UserUpdate`; None for a pair."""
        return self.update.tag if isinstance(self.update, UserUpdate) else None


@dataclass(frozen=True)
class BatchStats:
    """The progress of ``update_users``.

    >>> with client.update_users([(94382332, {"FirstName": "John"})]) as results:
    ...     finished = list(results)
    >>> results.stats.succeeded
    1
    """

    queued: int
    """Pending updates."""
    in_flight: int
    """Updates in flight."""
    finished: int
    """Uncollected results."""
    succeeded: int
    """Updates that the server confirmed."""
    failed: int
    """Failed updates, including those that were rejected or cancelled."""
    failed_by_code: Mapping[int, int]
    """The number of failed updates for each code, such as ``{-8: 3, 404: 1}``."""
    retried: int
    """Attempts beyond the first of an update."""
    throttled: int
    """Attempts that the server answered with 429."""
    requests_per_second: float
    """Requests per second, over the last second."""
    average_requests_per_second: float
    """Requests per second, since the first update was read."""
    learned_requests_per_second: Optional[float]
    """The rate limit that the client learned from 429s, in requests per second; None before the
    first one.
    """
    elapsed: float
    """Time since the first update was read, in seconds."""


class Updates(Iterator[BatchResult]):
    """The results of ``Client.update_users``, in the order in which the updates finish.

    It is an iterator for one thread, and sends only while it is iterated: after leaving the loop,
    the remaining updates are not sent. Close it, use it in a ``with`` statement, or drop the last
    reference to it.

    >>> with client.update_users([(94382332, {"FirstName": "John"})]) as results:
    ...     for result in results:
    ...         print(result.ok)
    True
    """

    _closed = True
    _progress: Progress | None = None

    def __init__(
        self,
        client: Optional[int],
        updates: Iterable[AnyUpdate],
        *,
        concurrency: int,
        queue_limit: int,
        stop_on_unauthorized: bool,
        throttle_timeout: Optional[float],
        outage_timeout: Optional[float],
        overall_timeout: Optional[float],
        progress: AnyProgress,
        total: Optional[int],
        call: CallOptions,
    ) -> None:
        check_progress(progress, total)
        self._call = call
        self._source: Iterator[AnyUpdate] | None = iter(updates)
        # Updates that were read but not submitted, and a result that was collected but not
        # returned. They are kept in case a signal handler raises.
        self._ahead: list[AnyUpdate] = []
        self._kept: BatchResult | None = None
        self._counted: BatchResult | None = None
        self._index = 0
        self._pending: dict[int, AnyUpdate] = {}
        self._refused: Counter[int] = Counter()
        # Updates in flight are in addition to the queue. The library reports a limit that is out of
        # range.
        self._room = queue_limit + concurrency if queue_limit > 0 else queue_limit
        self._batch = Batch(
            client,
            concurrency=concurrency,
            queue_limit=self._room,
            stop_on_unauthorized=stop_on_unauthorized,
            **milliseconds(
                throttle_timeout=throttle_timeout,
                outage_timeout=outage_timeout,
                overall_timeout=overall_timeout,
            ),
        )
        self._stats = self._batch.stats()
        self._closed = False
        self._progress = start_progress(progress, total, updates)

    @property
    def stats(self) -> BatchStats:
        """The progress; after :meth:`close`, the progress at that time.

        >>> results = client.update_users([(94382332, {"FirstName": "John"})])
        >>> results.stats.succeeded
        0
        >>> results.close()
        """
        if not self._closed:
            self._stats = self._batch.stats()
        stats = dict(self._stats)
        failed = (
            Counter({int(code): count for code, count in stats["failed_by_code"].items()})
            + self._refused
        )
        stats.update(
            failed=sum(failed.values()),
            failed_by_code=dict(failed),
            elapsed=stats.pop("elapsed_ms") / 1000,
        )
        return BatchStats(**stats)

    def cancel(self) -> None:
        """Reads no more updates, and sends no more. Updates that were read but not sent are
        returned with an :class:`APICancelledError`, and those in flight with their own results. It
        may be called from any thread.

        >>> results = client.update_users([(94382332, {"FirstName": "John"})])
        >>> results.cancel()
        >>> list(results)
        []
        """
        if not self._closed:
            self._source = None
            self._batch.cancel()

    def close(self) -> None:
        """Ends the iteration without blocking. Pending updates are dropped, those in flight are
        cancelled, and no more results are returned. Closing again does nothing.

        >>> results = client.update_users([(94382332, {"FirstName": "John"})])
        >>> results.close()
        >>> list(results)
        []
        """
        if not self._closed:
            # In a forked child, the batch belongs to the parent and its handle is invalid.
            with suppress(CommBoxError):
                self._stats = self._batch.stats()
            self._free()

    def _free(self) -> None:
        if not self._closed:
            self._closed = True
            self._source = None
            self._batch.free()
            if self._progress is not None:
                self._progress.close()

    def __iter__(self) -> Updates:
        return self

    def __next__(self) -> BatchResult:
        # A signal handler may raise between any two steps. Each step leaves a state from which the
        # next call continues.
        while self._kept is None:
            if self._closed:
                raise StopIteration
            # If there is room, read another update before waiting for one to finish.
            reads = (self._source is not None or self._ahead) and len(self._pending) < self._room
            self._kept = self._read() if reads else None
            if self._kept is None:
                self._kept = self._take(0 if reads and self._source is not None else -1)
            if self._kept is None and self._batch.done:
                self.close()
        result = self._kept
        self._pending.pop(result.index, None)
        self._batch.release()
        if self._progress is not None and self._counted is not result:
            self._counted = result
            self._progress.count(result.ok)
        self._kept = None
        return result

    def _read(self) -> BatchResult | None:
        """Reads an update and submits it. If it cannot be submitted, returns a result at once."""
        if not self._ahead:
            source = self._source
            if source is None:
                return None
            try:
                # Reads and stores the item in C, so that no signal handler can run in between and
                # lose it.
                self._ahead.extend(islice(source, 1))
            except Exception:
                self.close()
                raise
            if not self._ahead:
                # Close first: if a signal handler raises in between, no batch is left waiting for
                # more.
                self._batch.close()
                self._source = None
                return None
        update, index = self._ahead[0], self._index
        self._pending[index] = update
        self._index = index + 1
        self._ahead = []
        try:
            self._batch.submit(index, *prepare(update, self._call))
        except (ValidationError, APICancelledError) as error:
            if isinstance(error, APICancelledError):
                # The batch accepts no more updates: the server rejected the API key, or another
                # thread cancelled it.
                self._source = None
            self._refused[error.code] += 1
            return failure(index, update, error)
        return None

    def _take(self, timeout_ms: int) -> BatchResult | None:
        finished = _gevent.run(self._batch.next, timeout_ms) if timeout_ms else self._batch.next(0)
        if finished is not None:
            return outcome(finished.tag, self._pending[finished.tag], finished)
        if self._batch.done and self._pending:
            # A signal handler raised before this update was submitted. All other results were
            # collected.
            index, update = next(iter(self._pending.items()))
            return failure(
                index,
                update,
                cancelled("this update was not sent: a signal interrupted its submission"),
            )
        return None

    def __enter__(self) -> Updates:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Nobody can ask for the statistics any more.
        self._free()

    def __reduce__(self) -> NoReturn:
        # A copy would free the same batch, and its handle is invalid in another process.
        raise TypeError("Updates objects cannot be copied or pickled; call update_users again")


def prepare(update: AnyUpdate, call: CallOptions) -> tuple[int, bytes, Optional[bytes]]:
    """Returns the id, the JSON and the options of an update, or raises a ValidationError."""
    pair = _pair(update)
    if pair is None:
        raise invalid(
            -1, f"an update is a pair of user_id and user or a UserUpdate, not {type_name(update)}"
        )
    number, text = id_and_json(*pair)
    if isinstance(update, UserUpdate):
        call = call.replace(
            update.timeout, update.attempt_timeout, update.max_retries, update.headers
        )
    return number, text, call.json


def _pair(update: Any) -> tuple[Any, Any] | None:
    if isinstance(update, UserUpdate):
        return update.user_id, update.user
    if isinstance(update, (tuple, list)) and len(update) == 2:
        return update[0], update[1]
    return None


def outcome(index: int, update: AnyUpdate, finished: Finished) -> BatchResult:
    """Returns the result of an update that has finished."""
    if finished.code:
        return failure(index, update, from_json(finished.text, finished.code))
    return BatchResult(index, _user_id(update), update, read(finished.text, finished.took), None)


def failure(index: int, update: AnyUpdate, error: CommBoxError) -> BatchResult:
    """Returns the result of an update that failed before it was sent."""
    return BatchResult(index, _user_id(update), update, None, error)


def _user_id(update: object) -> int | None:
    pair = _pair(update)
    return None if pair is None else integer(pair[0])
