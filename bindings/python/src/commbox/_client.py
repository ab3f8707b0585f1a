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

    # Type checkers know it without its being installed.
    from typing_extensions import Self

    from ._batch import AnyUpdate, Updates
    from ._progress import BatchProgress
    from ._reply import UpdateResult
    from ._took import Took


class Client(BaseClient):
    """A CommBox API key, options, and connections that stay open between calls.

    Making a client sends nothing. One for a whole program is best, shared by its threads: every method may be called
    from any thread at any time, and other threads run while a call waits. Use it in a ``with`` statement, or call
    :meth:`close`.

    Args:
        api_key: The key that CommBox issued, without the word "Bearer". Default: the environment's
            ``COMMBOX_API_KEY``, read now. It is never shown.
        base_url: Where the API is, with a path prefix if need be. Default: the environment's ``COMMBOX_BASE_URL``,
            read now, or ``https://api.commbox.io``. ``http`` is for loopback only, unless ``allow_http``.
        allow_http: Allow ``http`` to any host: key and data then travel in the clear. Default False.
        timeout: Longest time of a call, all included, in seconds. Default 60. This and every other time has the
            precision of a millisecond and is at most a day.
        attempt_timeout: Longest time of one attempt, in seconds. Default 15.
        connect_timeout: Longest time of name lookup, connect and TLS handshake, in seconds. Default 5.
        max_retries: Maximum number of retries after a transient failure, 0 to 100; a 429 counts as none. Default 3.
        retry_base: The bound of the first wait between attempts, in seconds; it doubles, and each wait is a random part
            of it. Default 0.5.
        retry_cap: The highest bound, in seconds, not below ``retry_base``. Default 8.
        max_requests_per_second: Over all threads, evenly spaced, 0.001 to 1000000; 0 is no limit, the default.
        order_per_user: Calls for one user leave one at a time, in the order in which they were made, over direct calls
            and batches, retries included. Default True.
        rate_group: The name of a group: the processes of one system user on one machine that name the same group share
            one rate limit and what they have learned of it. 1 to 64 letters, digits, ``.``, ``_`` and ``-``; Unix only.
            Default: none.
        max_idle_connections: Connections kept open between calls, 0 to 1024. Default 16.
        idle_timeout: How long an unused connection is kept, in seconds; the next call closes what is older. Default 60.
        dns_ttl: How long a name lookup is remembered, in seconds. Default 60.
        proxy: An http(s) URL, or ``""`` for none. Default: the environment's ``HTTPS_PROXY`` or ``ALL_PROXY``; for an
            ``http`` base_url ``http_proxy`` or ``ALL_PROXY``, and without ``allow_http`` only one on loopback; none for
            the hosts in ``NO_PROXY``.
        ca_file: A PEM file of certificates to trust beside the system's.
        client_cert_file: A PEM file with the certificate for servers and gateways that ask for one (mutual TLS), and
            the certificates between it and its authority.
        client_key_file: A PEM file with its key, not encrypted. Default: the key is in ``client_cert_file``.
        validate: Check the user before it is sent. Default True.
        unknown_fields: ``"refuse"`` refuses fields that the API does not document, because it ignores them without an
            error; ``"allow"`` sends them. Default ``"refuse"``.
        custom_fields: The Unique Names of the account's custom fields. Names inside ``Content`` must be among them.
            Default: any name.
        user_agent: Appended to ``commbox/<version>``.
        headers: Further headers of each request, such as a gateway's key: a mapping of names to values, at most 32.
            Names that the library or the connection needs (``Authorization``, ``Host``, ``Content-Type``, …) are
            refused. Values are visible ASCII, at most 4096 characters. They are secrets: no message contains one.
        request_id_header: The header of answers that holds the server's request id. ``X-Request-Id``, ``Request-Id``
            and ``X-Correlation-Id`` are looked at after it. Default: none.

    None keeps an option's default. A failure that may pass is tried again, and after a 429 all calls of the client wait
    until the server is willing again; the README's section on delivery has the rules.

    Raises:
        ValidationError: The key is missing or malformed, or an option is not what it must be. All options that are
            wrong are named at once.
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
        """Updates one user, and waits for the server to confirm it: at most the client's ``timeout``.

        The fields come as keywords, ``update_user(94382332, first_name="John", content={"VIP_Status": "8"})``, or in
        a mapping with the API's own names, ``update_user(94382332, {"FirstName": "John"})``; giving both is a
        TypeError. Fields that are not given stay as they are; None is sent as null.

        Args:
            user_id: The number that CommBox gave the user, 1 or more.
            user: The fields by the API's names. Other names are refused, unless the client's ``unknown_fields`` is
                ``"allow"``.
            unique_id: The id in your own system, at most 50 characters.
            first_name: At most 100 characters.
            last_name: At most 100 characters.
            email: At most 255 characters.
            phone1: At most 100 characters.
            phone2: At most 100 characters.
            remarks: Free text.
            content: Custom fields by their "Unique Name" of the Custom Fields module, case-sensitive; each value
                anything that JSON has.
            timeout: Timeout of this call, all included, in seconds.
            attempt_timeout: Timeout of one attempt, in seconds.
            max_retries: Maximum number of retries after a transient failure, 0 to 100.
            headers: Further headers of this call's requests. They are added to those of the client, and replace those
                with the same name.

        If ``timeout``, ``attempt_timeout``, ``max_retries`` or ``headers`` is None, the client's option applies.

        Raises:
            ValidationError: The id, the user or an option is not what it must be; all problems are named at once.
            APIStatusError: The server answered otherwise; its subclasses tell 400, 401, 403, 404, 429 and 500 up.
            APIConnectionError: The server could not be reached, or the connection broke.
            APITimeoutError: The time allowed has passed.
            APIResponseError: The server's answer is not the documented JSON.
            APICancelledError: :meth:`cancel` was called.
            CommBoxError: The base of all these, and raised itself where the client is closed.

        Ctrl-C and other signals are handled while the call waits, within 200 ms; what a handler raises ends the call.
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
        """Updates one user with JSON text, and returns the server's reply as it came.

        The text is the fields, ``{"FirstName": "John"}``, or the whole body, ``{"data": {…}}``, and is sent as it is
        written. Otherwise it is as :meth:`update_user`.
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
        """Updates many users, several at a time, and hands back what came of each as they finish.

        The updates are read only as fast as they are sent and taken back, so that a generator of millions needs no
        more memory than one of thousands. Those of the same user are sent in their order, never two at a time. An
        update that fails, or is not what it must be, is a result with its error and stops nothing; what the iterable
        itself raises ends it all. An update's ``timeout`` begins when its turn to be sent has come.

            for result in client.update_users([(94382332, {"FirstName": "John"}), (94382333, {"Remarks": None})]):
                if not result.ok:
                    print(result.user_id, result.error)

        Args:
            updates: Pairs of the user's id and the fields by the API's names, or JSON text as :meth:`update_user_json`
                takes it; or :class:`UserUpdate` objects, which may have a timeout and headers of their own.
            concurrency: How many are sent at a time, 1 to 256, each on a connection of its own. Default 8.
            queue_limit: How many updates may be read and not yet taken back, besides those that are being sent.
                Default 1024; with ``concurrency`` at most 1000000.
            stop_on_unauthorized: At the first 401 read no more updates, and hand back those that were not sent as
                cancelled. Default True.
            throttle_timeout: How long an update waits while the server throttles without accepting one request, in
                seconds. Default 900.
            outage_timeout: How long an update waits through an outage, in seconds. Default 600.
            overall_timeout: Timeout of an update from when it is read, whatever it waits for, in seconds. An update
                that cannot meet it fails at once and is not sent. Default: none.
            progress: Show on standard error how far it has come, with rate, failures and the time left: a bar where
                ``tqdm`` is installed and this is a terminal, else a line every 5 seconds, every 30 where it is no
                terminal, and at the end. A function is called instead, with a :class:`BatchProgress`, each time an
                update has finished and once at the end, on the thread that iterates. What it raises ends the
                iteration; the result that was due is the next one.
            total: How many updates there are, for ``progress``. Default: the length of ``updates``, if it has one.

        Returns:
            An iterator of :class:`BatchResult`, which sends while it is iterated. It can be closed and cancelled, and
            has statistics.

        Raises:
            ValidationError: An option is out of bounds.
            CommBoxError: The client is closed.

        Ctrl-C is handled as in :meth:`update_user`. Where the iterator is kept, it may go on afterwards.
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
        """Looks at what stands between this machine and the server: proxy, addresses, TLS and certificates, clock.

        No update and no API key is sent. It blocks at most the client's ``timeout``.

        Returns:
            What was found, with the members that ``commbox_client_diagnose_json`` in ``commbox.h`` documents. Times
            are in milliseconds. What was not reached is None.

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
        """Cancels every call that is in flight now, on any thread: it raises :class:`APICancelledError` within 100 ms.

        Later calls work.
        """
        check(lib.commbox_client_cancel(self._handle))

    def close(self) -> None:
        """Frees the client and its connections. It never waits; calls in flight on other threads finish as if nothing
        happened, and later ones raise a CommBoxError. Closing again does nothing."""
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

    def _update(self, user_id: int, user_json: bytes, call_json: Optional[bytes]) -> tuple[str, Took]:
        self._follow_logging()
        return _gevent.run(self._send, user_id, user_json, call_json)

    def _send(self, user_id: int, user_json: bytes, call_json: Optional[bytes]) -> tuple[str, Took]:
        # The library keeps what it knows of a call for the thread that made it, which reads it too.
        reply = ctypes.c_void_p()
        try:
            update, number = lib.commbox_update_user_json_with, begin()
            answer = ctypes.byref(reply)
            check(_interrupt.call(update, self._handle, id_number(user_id), user_json, call_json, answer))
            return ctypes.string_at(reply).decode(), took(number)
        finally:
            lib.commbox_string_free(reply)


resolvable(Client, globals())
