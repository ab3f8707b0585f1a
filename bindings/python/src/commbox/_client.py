"""The client: converts arguments, calls the library, and raises what it reports."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from types import TracebackType

from . import _codec, _gevent, _interrupt, _late
from ._base import BaseClient
from ._errors import check, handle
from ._fields import OMITTED, Omitted, c_text, given_fields, id_number, user_json
from ._hints import resolvable
from ._library import lib, take_text
from ._took import begin, took

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Optional, Union, overload

    # Type checkers resolve this name even if typing_extensions is not installed.
    from typing_extensions import Self

    from ._batch import AnyUpdate, Updates
    from ._progress import BatchProgress
    from ._reply import UpdateResult
    from ._took import Took


class Client(BaseClient):
    """A client of CommBox: an API key, options and a connection pool.

    Creating a client sends nothing. Create one client for a whole program, so that all threads
    share its connection pool and its rate limit. Every method may be called from any thread at any
    time, and a call that blocks does not block other threads. Use it in a ``with`` statement, or
    call :meth:`close`.

    >>> with Client("my-api-key", timeout=10) as client:
    ...     result = client.update_user(94382332, first_name="John")
    >>> result.attempts
    1

    Args:
        api_key: The key that CommBox issued, without the word "Bearer". The default is the
            environment variable ``COMMBOX_API_KEY``, read now. No message contains it.
        base_url: URL of the API; may have a path prefix; ``http`` only to loopback unless
            ``allow_http``. The default is the environment variable ``COMMBOX_BASE_URL``, read now,
            or ``https://api.commbox.io``.
        allow_http: Allow ``http`` to any host; the API key and the data are then sent unencrypted.
            The default is False.
        timeout: Timeout of a call, which covers queueing, all attempts and all backoff, in seconds.
            The default is 60. This and every other time has a precision of 1 ms and is at most 24
            hours.
        attempt_timeout: Timeout of one attempt, in seconds. The default is 15.
        connect_timeout: Timeout of DNS lookup, connect and TLS handshake, in seconds. The default
            is 5.
        max_retries: Maximum number of retries after a transient failure, 0 to 100; a 429 does not
            count as one. The default is 3.
        retry_base: Bound of the first backoff, in seconds. The bound doubles with each retry, and
            each backoff is a random time below it. The default is 0.5.
        retry_cap: Bound of every backoff, in seconds, at least ``retry_base``. The default is 8.
        max_requests_per_second: Rate limit of the client: the requests of all threads are evenly
            paced; 0.001 to 1000000, or 0 for no limit. The default is 0.
        order_per_user: Send the calls for one user one at a time, in the order in which they were
            made; this includes direct calls, batches and retries. The default is True.
        rate_group: Name of a group: processes of the same system user on one machine that have the
            same group share one rate limit, and what they learned about the server's limit. 1 to 64
            letters, digits, ``.``, ``_`` or ``-``, not starting with ``.``; Unix only. The default
            is no group.
        max_idle_connections: Maximum number of idle connections in the pool, 0 to 1024. The default
            is 16.
        idle_timeout: How long an idle connection is kept, checked by the next call, in seconds. The
            default is 60.
        dns_ttl: How long the result of a DNS lookup is cached, in seconds. The default is 60.
        proxy: URL of the proxy, ``http`` or ``https``; ``""`` for no proxy. The default is the
            environment variable ``HTTPS_PROXY`` or ``ALL_PROXY``; for ``http`` it is ``http_proxy``
            or ``ALL_PROXY``, which without ``allow_http`` is used only if it is on loopback. Hosts
            in ``NO_PROXY`` are reached without a proxy.
        ca_file: PEM file of certificates to trust in addition to the system's trust store.
        client_cert_file: PEM file with the client certificate and its intermediate certificates,
            for servers and gateways that request one (mutual TLS).
        client_key_file: PEM file with the unencrypted private key of the client certificate. The
            default is ``client_cert_file``.
        validate: Check the user before it is sent. The default is True.
        unknown_fields: ``"refuse"`` rejects fields that the API does not document, because the
            server drops them silently; ``"allow"`` sends them. The default is ``"refuse"``.
        custom_fields: The Unique Names of the account's custom fields; other names in ``Content``
            are rejected. The default allows any name.
        user_agent: Text that is appended to ``commbox/<version>`` in the ``User-Agent`` header.
        headers: Additional headers for every request, such as the key of a gateway: a mapping of
            names to values, at most 32. Headers that the library or the connection sets
            (``Authorization``, ``Host``, ``Content-Type``, …) are rejected. Values are at most 4096
            visible ASCII characters. They are secrets: no message contains one.
        request_id_header: Response header that contains the request id. After it, ``X-Request-Id``,
            ``Request-Id`` and ``X-Correlation-Id`` are read. The default is no other header.

    If an option is None, its default applies. Transient failures are retried, and a 429 pauses all
    requests of the client until the server accepts a probe request.

    Raises:
        ValidationError: The key is missing or malformed, or an option is invalid. The message
            contains all problems.
    """

    _poll = _interrupt.POLL

    if TYPE_CHECKING:

        @overload
        def update_user(
            self,
            user_id: int,
            user: Mapping[str, Any],
            *,
            timeout: Optional[float] = ...,
            attempt_timeout: Optional[float] = ...,
            max_retries: Optional[int] = ...,
            headers: Optional[Mapping[str, str]] = ...,
        ) -> UpdateResult: ...

        @overload
        def update_user(
            self,
            user_id: int,
            *,
            unique_id: Optional[str] = ...,
            first_name: Optional[str] = ...,
            last_name: Optional[str] = ...,
            email: Optional[str] = ...,
            phone1: Optional[str] = ...,
            phone2: Optional[str] = ...,
            remarks: Optional[str] = ...,
            content: Mapping[str, Any] = ...,
            timeout: Optional[float] = ...,
            attempt_timeout: Optional[float] = ...,
            max_retries: Optional[int] = ...,
            headers: Optional[Mapping[str, str]] = ...,
        ) -> UpdateResult: ...

    def update_user(
        self,
        user_id: int,
        user: Union[Mapping[str, Any], Omitted] = OMITTED,
        *,
        unique_id: Union[str, Omitted, None] = OMITTED,
        first_name: Union[str, Omitted, None] = OMITTED,
        last_name: Union[str, Omitted, None] = OMITTED,
        email: Union[str, Omitted, None] = OMITTED,
        phone1: Union[str, Omitted, None] = OMITTED,
        phone2: Union[str, Omitted, None] = OMITTED,
        remarks: Union[str, Omitted, None] = OMITTED,
        content: Union[Mapping[str, Any], Omitted] = OMITTED,
        timeout: Optional[float] = None,
        attempt_timeout: Optional[float] = None,
        max_retries: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> UpdateResult:
        """Updates one user, and returns the server's reply. Blocks for at most the client's
        ``timeout``.

        The fields are keywords, or a mapping with the API's own names; giving both is a TypeError.
        Fields that are omitted are unchanged; None is sent as null.

        >>> client.update_user(94382332, first_name="John", content={"VIP_Status": "8"}).status
        200
        >>> client.update_user(94382332, {"FirstName": "John"}, timeout=0.5).status
        200

        Args:
            user_id: The number that CommBox assigned to the user, 1 or more.
            user: The fields by the API's names. Other names are rejected, unless the client's
                ``unknown_fields`` is ``"allow"``.
            unique_id: The user's id in your own system, at most 50 characters.
            first_name: The first name, at most 100 characters.
            last_name: The last name, at most 100 characters.
            email: The email address, at most 255 characters.
            phone1: The first phone number, at most 100 characters.
            phone2: The second phone number, at most 100 characters.
            remarks: Free text.
            content: Custom fields by their "Unique Name" in the Custom Fields module,
                case-sensitive; each value is anything that JSON can represent.
            timeout: Timeout of this call, which covers queueing, all attempts and all backoff, in
                seconds.
            attempt_timeout: Timeout of one attempt, in seconds.
            max_retries: Maximum number of retries after a transient failure, 0 to 100.
            headers: Additional headers for this call. Each replaces a header of the client with the
                same name.

        If ``timeout``, ``attempt_timeout``, ``max_retries`` or ``headers`` is None, the client's
        option applies.

        Raises:
            ValidationError: The id, the user or an option is invalid. The message contains all
                problems.
            APIStatusError: The server did not confirm the update. Its subclasses are for 400, 401,
                403, 404, 429, and 500 and above.
            APIConnectionError: The server could not be reached, or the connection broke.
            APITimeoutError: The deadline was exceeded.
            APIResponseError: The response is not the documented JSON.
            APICancelledError: :meth:`cancel` was called.
            CommBoxError: The base of all these; raised itself if the client is closed.

        While the call blocks, Ctrl-C and other signals are handled within 200 ms. An exception that
        a signal handler raises ends the call.
        """
        given = given_fields(
            unique_id=unique_id,
            first_name=first_name,
            last_name=last_name,
            email=email,
            phone1=phone1,
            phone2=phone2,
            remarks=remarks,
            content=content,
        )
        call = self._call.replace(timeout, attempt_timeout, max_retries, headers)
        return _late.read(*self._update(user_id, user_json(user, given), call.json))

    def update_user_json(
        self,
        user_id: int,
        user_json: str,
        *,
        timeout: Optional[float] = None,
        attempt_timeout: Optional[float] = None,
        max_retries: Optional[int] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> str:
        """Updates one user with JSON text, and returns the server's reply as it was received.

        The text is the fields, ``{"FirstName": "John"}``, or the whole body, ``{"data": {…}}``. It
        is sent as it is written. Options and errors are those of :meth:`update_user`.

        >>> reply = client.update_user_json(94382332, '{"FirstName": "John"}')
        >>> reply.startswith('{"status"')
        True
        """
        call = self._call.replace(timeout, attempt_timeout, max_retries, headers)
        return self._update(user_id, c_text("user_json", user_json), call.json)[0]

    def update_users(
        self,
        updates: Iterable[AnyUpdate],
        *,
        concurrency: int = 8,
        queue_limit: int = 1024,
        stop_on_unauthorized: bool = True,
        throttle_timeout: Optional[float] = None,
        outage_timeout: Optional[float] = None,
        overall_timeout: Optional[float] = None,
        progress: Union[bool, Callable[[BatchProgress], object]] = False,
        total: Optional[int] = None,
    ) -> Updates:
        """Updates many users, several at a time, and returns an iterator over the results in the
        order in which they finish.

        The updates are read only as fast as they are sent and their results collected, so the
        memory does not depend on their number. Updates of one user are sent one at a time, in their
        order. An update that fails or is invalid is a result with an error, and the others
        continue. An exception that the iterable raises ends the iteration. The ``timeout`` of an
        update starts when it is dispatched.

        >>> rows = [(94382332, {"FirstName": "John"}), (94382333, {"Remarks": 7})]
        >>> for result in client.update_users(rows):
        ...     if not result.ok:
        ...         print(result.user_id, result.error)
        94382333 Remarks must be a string or null, not a number

        Args:
            updates: Pairs of the user's id and the fields by the API's names, or JSON text as for
                :meth:`update_user_json`; or :class:`UserUpdate` objects, which may have options of
                their own.
            concurrency: Maximum number of updates in flight, 1 to 256, each on its own connection.
                The default is 8.
            queue_limit: Maximum number of updates that were read and whose results are uncollected,
                in addition to those in flight. The default is 1024; together with ``concurrency``
                at most 1000000.
            stop_on_unauthorized: At the first 401, read no more updates, and return those that were
                not sent as cancelled. The default is True.
            throttle_timeout: How long an update waits while the server throttles without accepting
                a request, in seconds. The default is 900.
            outage_timeout: How long an update waits during an outage, in seconds. The default is
                600.
            overall_timeout: Timeout of an update from when it is read, whatever it waits for, in
                seconds. An update that cannot meet it fails at once and is not sent. The default is
                none.
            progress: Show the progress on standard error, with rate, failures and remaining time: a
                bar if ``tqdm`` is installed and standard error is a terminal, otherwise a line
                every 5 seconds, or every 30 if it is not a terminal, and at the end. If it is a
                function, that is called instead with a :class:`BatchProgress`, each time an update
                has finished and once at the end, on the thread that iterates. An exception that it
                raises ends the iteration; the result that was due is the next one.
            total: The number of updates, for ``progress``. The default is the length of
                ``updates``, if it has one.

        Returns:
            An iterator of :class:`BatchResult`, which sends while it is iterated. It can be closed
            and cancelled, and has statistics.

        Raises:
            ValidationError: An option is out of range.
            CommBoxError: The client is closed.

        Ctrl-C is handled as in :meth:`update_user`. The iterator can be continued afterwards.
        """
        self._follow_logging()
        return _late.Updates(
            self._handle,
            updates,
            concurrency=concurrency,
            queue_limit=queue_limit,
            stop_on_unauthorized=stop_on_unauthorized,
            throttle_timeout=throttle_timeout,
            outage_timeout=outage_timeout,
            overall_timeout=overall_timeout,
            progress=progress,
            total=total,
            call=self._call,
        )

    def diagnose(self) -> dict[str, Any]:
        """Checks the path from this machine to the server: proxy, addresses, TLS and certificates,
        clock.

        It sends no update and no API key. It blocks for at most the client's ``timeout``.

        >>> client.diagnose()["http"]["error"] is None
        True

        Returns:
            The result, with the members that ``commbox_client_diagnose_json`` in ``commbox.h``
            documents. Times are in milliseconds. A step that was not reached is None.

        Raises:
            APICancelledError: :meth:`cancel` was called.
            CommBoxError: The client is closed.
        """
        found: dict[str, Any] = _codec.loads(_gevent.run(self._diagnose))
        return found

    def _diagnose(self) -> str:
        self._follow_logging()
        return take_text(handle(_interrupt.call(lib.commbox_client_diagnose_json, self._handle)))

    def cancel(self) -> None:
        """Cancels every call that is in flight, on any thread: each raises
        :class:`APICancelledError` within 100 ms.

        Calls that begin later are not affected.

        >>> client.cancel()
        """
        check(lib.commbox_client_cancel(self._handle))

    def close(self) -> None:
        """Closes the client and its connections. It does not block. Calls that are in flight on
        other threads continue and return as usual; later calls raise a :class:`CommBoxError`.
        Closing again does nothing.

        >>> client.close()
        >>> client.update_user(94382332, first_name="John")
        Traceback (most recent call last):
        commbox.CommBoxError: the client is closed; make another one
        """
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def _update(self, user_id: int, user: bytes, options: Optional[bytes]) -> tuple[str, Took]:
        self._follow_logging()
        return _gevent.run(self._send, user_id, user, options)

    def _send(self, user_id: int, user: bytes, options: Optional[bytes]) -> tuple[str, Took]:
        # The library keeps the details of a call for the calling thread, which also reads them.
        reply = ctypes.c_void_p()
        try:
            update, number = lib.commbox_update_user_json_with, begin()
            given = self._handle, id_number(user_id), user, options
            check(_interrupt.call(update, *given, ctypes.byref(reply)))
            return ctypes.string_at(reply).decode(), took(number)
        finally:
            lib.commbox_string_free(reply)


resolvable(Client, globals())
