"""The client for asyncio: one batch of the library sends all calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, Union, overload

from ._base import BaseClient
from ._batch import AnyUpdate, BatchResult, failure, outcome, prepare
from ._batch_handle import Finished
from ._courier import Courier
from ._errors import AuthenticationError, ValidationError, cancelled, from_json
from ._fields import OMITTED, Omitted, c_text, id_number, invalid, user_json
from ._hints import found_in_typing
from ._options import CallOptions, milliseconds
from ._progress import AnyProgress, check_progress, start_progress
from ._reply import UpdateResult, read
from ._slots import Slots
from ._types import ClientOptions, FieldsAndOptions, SingleCallOptions

if TYPE_CHECKING:
    # Type checkers resolve these names even if typing_extensions is not installed.
    from typing_extensions import Self, Unpack
else:
    Self = found_in_typing("Self", Any)
    Unpack = found_in_typing("Unpack", Union)


class AsyncClient(BaseClient):
    """A :class:`Client` for asyncio: its calls are awaited, and block no thread.

    Create one client for a whole program; several event loops may use it. Use it in an
    ``async with`` statement, or call :meth:`aclose`. Cancelling the task that awaits a call cancels
    the call, within 100 ms.

    >>> async def main():
    ...     async with AsyncClient("my-api-key") as client:
    ...         return await client.update_user(94382332, first_name="John")
    >>> asyncio.run(main()).status
    200

    Args:
        api_key: The key that CommBox issued, as for :class:`Client`.
        max_concurrency: Maximum number of updates in flight, 1 to 256; the others are queued. The
            default is 64.
        overall_timeout: Timeout of a call from when it begins, whatever it waits for, in seconds. A
            call that cannot meet it fails at once and sends nothing. The default is none.
        **options: As for :class:`Client`. ``timeout`` starts when an update is dispatched.
    """

    _courier: Optional[Courier] = None

    def __init__(
        self,
        api_key: Optional[str] = None,
        *,
        max_concurrency: int = 64,
        overall_timeout: Optional[float] = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        self._max_concurrency = max_concurrency
        self._batch_options = milliseconds(overall_timeout=overall_timeout)
        self._is_bounded = overall_timeout is not None
        self._lock = threading.Lock()
        super().__init__(api_key, **options)
        self._courier = Courier(self._handle, max_concurrency, self._batch_options)

    @overload
    async def update_user(
        self, user_id: int, user: Mapping[str, Any], **options: Unpack[SingleCallOptions]
    ) -> UpdateResult: ...

    @overload
    async def update_user(
        self, user_id: int, **fields: Unpack[FieldsAndOptions]
    ) -> UpdateResult: ...

    async def update_user(
        self,
        user_id: int,
        user: Union[Mapping[str, Any], Omitted] = OMITTED,
        *,
        timeout: Optional[float] = None,
        attempt_timeout: Optional[float] = None,
        max_retries: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
        **fields: Any,
    ) -> UpdateResult:
        """Updates one user, and returns the server's reply.

        It takes the arguments of :meth:`Client.update_user`, and raises the same exceptions.

        >>> async def main():
        ...     async with AsyncClient("my-api-key") as client:
        ...         return await client.update_user(94382332, {"FirstName": "John"}, max_retries=0)
        >>> asyncio.run(main()).attempts
        1
        """
        call = self._call.replace(timeout, attempt_timeout, max_retries, headers)
        finished = await self._update(user_id, user_json(user, fields), call)
        return read(finished.text, finished.took)

    async def update_user_json(
        self,
        user_id: int,
        user_json: str,
        *,
        timeout: Optional[float] = None,
        attempt_timeout: Optional[float] = None,
        max_retries: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> str:
        """Updates one user with JSON text, and returns the server's reply as it was received, like
        :meth:`Client.update_user_json`.

        >>> async def main():
        ...     async with AsyncClient("my-api-key") as client:
        ...         return await client.update_user_json(94382332, '{"FirstName": "John"}')
        >>> asyncio.run(main()).startswith('{"status"')
        True
        """
        call = self._call.replace(timeout, attempt_timeout, max_retries, headers)
        return (await self._update(user_id, c_text("user_json", user_json), call)).text

    async def update_users(
        self,
        updates: Union[AsyncIterable[AnyUpdate], Iterable[AnyUpdate]],
        *,
        queue_limit: int = 1024,
        stop_on_unauthorized: bool = True,
        progress: AnyProgress = False,
        total: Optional[int] = None,
    ) -> AsyncGenerator[BatchResult, None]:
        """Updates many users, and yields the results as they finish, like
        :meth:`Client.update_users`.

        An ordinary iterable is read on the event loop, which is blocked by each of its items; an
        async iterable is awaited. Leaving the loop early cancels the updates in flight as soon as
        Python finalizes the generator; ``contextlib.aclosing`` does so at once.

        >>> async def main():
        ...     async with AsyncClient("my-api-key") as client:
        ...         async for result in client.update_users([(94382332, {"FirstName": "John"})]):
        ...             print(result.user_id, result.ok)
        >>> asyncio.run(main())
        94382332 True

        Args:
            updates: As for :meth:`Client.update_users`, or an async iterable.
            queue_limit: Maximum number of updates that were read and whose results are uncollected,
                in addition to those in flight. The default is 1024.
            stop_on_unauthorized: Read no more updates after the server has rejected the API key
                (401). The default is True.
            progress: As for :meth:`Client.update_users`. A function is called on the event loop.
            total: As for :meth:`Client.update_users`.
        """
        check_progress(progress, total)
        if queue_limit < 1:
            raise invalid(-3, "queue_limit must be 1 or more")
        feed = _Feed(self, updates, queue_limit + self._root._max_concurrency)
        shown = start_progress(progress, total, updates)
        try:
            while True:
                result = await feed.next()
                if result is None:
                    break
                if shown is not None:
                    shown.count(result.ok)
                if stop_on_unauthorized and isinstance(result.error, AuthenticationError):
                    feed.stop()
                yield result
        finally:
            await feed.close()
            if shown is not None:
                shown.close()

    async def aclose(self) -> None:
        """Closes the client and its connections. It does not block. Calls that are in flight
        continue and return as usual; later calls raise a :class:`CommBoxError`. Closing again does
        nothing.

        >>> async def main():
        ...     client = AsyncClient("my-api-key")
        ...     await client.aclose()
        >>> asyncio.run(main())
        """
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.aclose()

    def _close(self) -> None:
        if self._courier is not None:
            with self._lock:
                courier, self._courier = self._courier, None
            if courier is not None and self._parent is None:
                courier.close()
        super()._close()

    async def _update(self, user_id: int, text: bytes, call: CallOptions) -> Finished:
        courier = self._join_courier()
        try:
            user_id = id_number(user_id)
            loop, slots = self._place(courier)
            if slots is not None and not slots.take():
                await slots.wait()
            future = courier.submit(loop, user_id, text, call.json, slots)
            try:
                finished = await future
            except asyncio.CancelledError:
                courier.cancel(future)
                raise
        finally:
            courier.leave()
        if finished.code:
            raise from_json(finished.text, finished.code)
        return finished

    def _place(self, courier: Courier) -> tuple[asyncio.AbstractEventLoop, Optional[Slots]]:
        """Returns the loop, and the slots of which an update takes one before it is submitted."""
        loop = asyncio.get_running_loop()
        slots = courier.slots_of(loop)
        # If there is an overall timeout, it starts at once, so the update is queued in the library,
        # not here.
        return loop, None if self._is_bounded else slots

    def _join_courier(self) -> Courier:
        root = self._root
        root._follow_logging()
        courier = root._courier
        if courier is not None and courier.join():
            return courier
        with root._lock:
            if root._courier is None or not root._courier.join():
                # A closed client has no courier; its handle is invalid, and the library reports
                # that.
                root._courier = Courier(root._handle, root._max_concurrency, root._batch_options)
                root._courier.join()
            return root._courier


class _Feed:
    """Reads and submits updates in a task of its own, and collects their results."""

    def __init__(
        self,
        client: AsyncClient,
        updates: Union[AsyncIterable[AnyUpdate], Iterable[AnyUpdate]],
        limit: int,
    ) -> None:
        self._client, self._updates = client, updates
        self._courier = client._join_courier()
        self._room = asyncio.Semaphore(limit)
        self._results: asyncio.Queue[BatchResult | None] = asyncio.Queue()
        self._under_way: set[asyncio.Future[Finished]] = set()
        self._read = self._taken = 0
        self._ended = False
        self._task = asyncio.create_task(self._run())
        # None marks the end: nothing more is read.
        self._task.add_done_callback(lambda _: self._results.put_nowait(None))

    async def next(self) -> BatchResult | None:
        """Returns the next result, or None after the last one. Raises what the iterable raised."""
        while not self._ended or self._taken < self._read:
            result = await self._results.get()
            if result is not None:
                self._taken += 1
                self._room.release()
                return result
            self._ended = True
            if not self._task.cancelled():
                self._task.result()
        return None

    def stop(self) -> None:
        """Stops reading updates."""
        self._task.cancel()

    async def close(self) -> None:
        self._task.cancel()
        for future in self._under_way:
            future.cancel()
        try:
            await asyncio.gather(self._task, return_exceptions=True)
        finally:
            self._courier.leave()

    async def _run(self) -> None:
        await self._room.acquire()
        async for update in _each(self._updates):
            await self._submit(self._read, update)
            await self._room.acquire()

    async def _submit(self, index: int, update: AnyUpdate) -> None:
        self._read += 1
        try:
            user_id, text, call_json = prepare(update, self._client._call)
            loop, slots = self._client._place(self._courier)
            if slots is not None and not slots.take():
                await slots.wait()
            future = self._courier.submit(loop, user_id, text, call_json, slots)
        except ValidationError as error:
            self._results.put_nowait(failure(index, update, error))
            return
        except asyncio.CancelledError:
            why = "this update was not sent: no more are read"
            self._results.put_nowait(failure(index, update, cancelled(why)))
            raise
        self._under_way.add(future)
        future.add_done_callback(lambda _: self._finish(index, update, future))

    def _finish(self, index: int, update: AnyUpdate, future: asyncio.Future[Finished]) -> None:
        self._under_way.discard(future)
        if future.cancelled():
            self._courier.cancel(future)
        else:
            finished = future.result()
            self._results.put_nowait(outcome(index, update, finished))


async def _each(
    updates: AsyncIterable[AnyUpdate] | Iterable[AnyUpdate],
) -> AsyncIterator[AnyUpdate]:
    if isinstance(updates, AsyncIterable):
        async for update in updates:
            yield update
    else:
        for update in updates:
            yield update
            # Let other tasks run.
            await asyncio.sleep(0)
