"""A CommBox for your tests: a fake server in the process, which records requests and answers as
scripted.

>>> from commbox import Client
>>> from commbox.testing import Answer, FakeServer
>>> with FakeServer() as server, Client(server.api_key, base_url=server.url) as client:
...     server.script(503, Answer(429, headers={"Retry-After": "0"}))
...     client.update_user(94382332, first_name="John").attempts
...     server.users[94382332]["FirstName"]
3
'John'

With pytest, the fixture ``commbox_server`` is such a server. While a test uses it,
``COMMBOX_API_KEY`` and ``COMMBOX_BASE_URL`` name it, so that the code under test needs no change if
it reads them.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._fake_http import Response, Server

if TYPE_CHECKING:
    # Type checkers resolve this name even if typing_extensions is not installed.
    from typing_extensions import Self

__all__ = ["Answer", "FakeServer", "Request"]

_PATH = re.compile(r"/users/([1-9][0-9]*)")


@dataclass(frozen=True)
class Request:
    """A request that the server received.

    >>> client.update_user(94382332, first_name="John").status
    200
    >>> server.requests[0].user_id, server.requests[0].fields
    (94382332, {'FirstName': 'John'})
    """

    method: str
    """The method, ``"POST"`` for an update."""
    path: str
    """The path, such as ``"/users/94382332"``."""
    headers: Mapping[str, str] = field(repr=False)
    """The headers. All names are in lower case."""
    body: str
    """The body, as it was sent."""

    @property
    def user_id(self) -> Optional[int]:
        """The id of the user in the path; None if the path has none.

        >>> Request("POST", "/users/94382332", {}, "").user_id
        94382332
        """
        found = _PATH.search(self.path)
        return int(found.group(1)) if found else None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the update by the API's names.

        >>> client.update_user(94382332, first_name="John").status
        200
        >>> server.requests[0].fields
        {'FirstName': 'John'}

        Raises:
            ValueError: The body is not that of an update.
        """
        body = json.loads(self.body)
        if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
            raise ValueError('the body is not an object with "data"')
        fields: dict[str, Any] = body["data"]
        return fields


@dataclass(frozen=True)
class Answer:
    """The server's answer to a request.

    >>> server.script(Answer(503), Answer(200, delay=0.01))
    >>> client.update_user(94382332, first_name="John").attempts
    2
    """

    status: int = 200
    """The HTTP status, 200 to 599."""
    body: Union[str, Mapping[str, Any], None] = None
    """The body: text, or an object to be written as JSON. None for the documented reply with the
    status. With status 200 and no body, the update changes the user in :attr:`FakeServer.users`.
    """
    headers: Mapping[str, str] = field(default_factory=dict)
    """Additional headers, such as ``{"Retry-After": "1"}``."""
    delay: float = 0.0
    """Time before the answer, in seconds."""
    reset: bool = False
    """Whether the server resets the connection instead of answering."""

    def __post_init__(self) -> None:
        if (
            isinstance(self.status, bool)
            or not isinstance(self.status, int)
            or not 200 <= self.status <= 599
        ):
            raise ValueError(f"status must be an int from 200 to 599, not {self.status!r}")
        if not self.delay >= 0:
            raise ValueError("delay must be 0 seconds or more")
        for name, value in self.headers.items():
            if not isinstance(value, str) or "\n" in name + value or "\r" in name + value:
                raise ValueError(f"headers: the value of {name} must be a str in one line")


class FakeServer:
    """An offline CommBox on a free port of 127.0.0.1. It runs until :meth:`close`, or in a ``with``
    statement.

    A request is answered with the next scripted answer. If none is left, it is answered as CommBox
    does: 401 for another API key, 404 for another path, 400 for a body that is not that of an
    update, otherwise 200. A user with any id exists. All attributes and methods may be used from
    any thread.

    >>> with FakeServer() as server, Client(server.api_key, base_url=server.url) as client:
    ...     print(client.update_user(94382332, first_name="John").status)
    ...     print(server.users)
    200
    {94382332: {'FirstName': 'John'}}

    Args:
        api_key: The API key that the server accepts.
    """

    api_key: str
    """The API key that the server accepts."""
    url: str
    """The URL of the server, for ``base_url``."""
    users: dict[int, dict[str, Any]]
    """The users after the updates so far: the fields by the API's names, for each id."""
    on_request: Optional[Callable[[Request], Optional[Answer]]]
    """A function that returns the answer to a request, on a thread of the server. If it returns
    None, or is None, the script applies. If it raises an exception, the answer is a 500 that
    contains the name of the exception.
    """

    def __init__(self, api_key: str = "test-key") -> None:
        self.api_key = api_key
        self.users = {}
        self.on_request = None
        self._requests: list[Request] = []
        self._script: deque[Answer] = deque()
        self._lock = threading.Lock()
        self._server = Server(self._respond)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="commbox-fake-server", daemon=True
        )
        self._thread.start()

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in the order in which they were received.

        >>> len(server.requests)
        0
        """
        with self._lock:
            return list(self._requests)

    @property
    def unused_answers(self) -> int:
        """The number of scripted answers that are left.

        >>> server.script(503)
        >>> server.unused_answers
        1
        """
        with self._lock:
            return len(self._script)

    def script(self, *answers: Union[Answer, int]) -> None:
        """Adds answers to the script, each an :class:`Answer` or a status. Each answers one
        request, in this order.

        >>> server.script(503, Answer(429, headers={"Retry-After": "0"}))
        >>> client.update_user(94382332, first_name="John").attempts
        3

        Raises:
            ValueError: A status is not 200 to 599.
            TypeError: An answer is neither an :class:`Answer` nor an int.
        """
        added = [_answer(answer) for answer in answers]
        with self._lock:
            self._script.extend(added)

    def reset(self) -> None:
        """Removes the requests, the users, the script and :attr:`on_request`.

        >>> server.script(503)
        >>> server.reset()
        >>> server.unused_answers
        0
        """
        with self._lock:
            self._requests.clear()
            self._script.clear()
            self.users.clear()
            self.on_request = None

    def close(self) -> None:
        """Stops the server and closes its connections. Closing again does nothing.

        >>> server.close()
        """
        self._server.end()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FakeServer(url={self.url!r})"

    def _respond(self, method: str, path: str, headers: Mapping[str, str], body: str) -> Response:
        answer = self._answer(Request(method, path, headers, body))
        text = answer.body
        if not isinstance(text, str):
            text = json.dumps(text, ensure_ascii=False)
        return Response(answer.status, answer.headers, text.encode(), answer.delay, answer.reset)

    def _answer(self, request: Request) -> Answer:
        with self._lock:
            self._requests.append(request)
            choose = self.on_request
        try:
            chosen = None if choose is None else choose(request)
        except Exception as error:
            return _reply(500, f"on_request raised {type(error).__name__}: {error}")
        with self._lock:
            if chosen is None:
                chosen = self._script.popleft() if self._script else None
            answer = Answer() if chosen is None else _answer(chosen)
            if answer.body is not None or answer.reset:
                return answer
            reply = (
                self._serve(request) if chosen is None else self._scripted(request, answer.status)
            )
        return Answer(reply.status, reply.body, {**reply.headers, **answer.headers}, answer.delay)

    def _scripted(self, request: Request, status: int) -> Answer:
        return self._serve(request) if status == HTTPStatus.OK else _reply(status)

    def _serve(self, request: Request) -> Answer:
        """Answers a request as CommBox does. The caller holds the lock."""
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            return _reply(401)
        user_id = request.user_id
        if user_id is None or not request.path.endswith(f"/users/{user_id}"):
            return _reply(404)
        if request.method != "POST":
            return _reply(405)
        try:
            fields = request.fields
        except ValueError as error:
            return _reply(400, f"Bad request: {error}")
        user = self.users.setdefault(user_id, {})
        content = fields.get("Content")
        if isinstance(content, dict) and isinstance(user.get("Content"), dict):
            fields = {**fields, "Content": {**user["Content"], **content}}
        user.update(fields)
        return _reply(200, data={"Id": user_id})


def _answer(answer: Union[Answer, int]) -> Answer:
    if isinstance(answer, Answer):
        return answer
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise TypeError(f"an answer is an Answer or a status, not {type(answer).__name__}")
    return Answer(answer)


def _reply(
    status: int, description: Optional[str] = None, data: Optional[Mapping[str, Any]] = None
) -> Answer:
    """Returns the documented reply."""
    if description is None:
        # A status that is not registered has no phrase.
        known = status in list(HTTPStatus)
        description = (
            "Operation successful"
            if status == HTTPStatus.OK
            else HTTPStatus(status).phrase
            if known
            else ""
        )
    now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    body = {"status": status, "description": description, "response_time": now}
    return Answer(status, body if data is None else {**body, "data": data})
