"""The HTTP server of ``commbox.testing``: connections, threads and responses."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, NamedTuple


class Response(NamedTuple):
    """What the server sends; ``commbox.testing.Answer`` documents the members."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delay: float
    reset: bool


# Returns the response to a request: its method, path, headers with lower-case names, and body.
Respond = Callable[[str, str, Mapping[str, str], str], Response]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # Handlers of keep-alive connections end when their connections are closed.
    block_on_close = False
    # With the default of 5, connections that many threads open at once wait for a second or longer.
    request_queue_size = 1024

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.ended = threading.Event()
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's method is not used because it looks up the host's name.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that disconnected is not an error.
        if not isinstance(sys.exc_info()[1], OSError) and not self.ended.is_set():
            super().handle_error(request, client_address)

    def end(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        self.shutdown()
        self.server_close()
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode(errors="replace")
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.respond(self.command, self.path, headers, body)
        if response.delay and self.server.ended.wait(response.delay):
            self.close_connection = True
        elif response.reset:
            self.reset_connection()
        else:
            self.send(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer  # noqa: N815

    def send(self, response: Response) -> None:
        # These statuses have no body.
        empty = response.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        body = b"" if empty else response.body
        given = {name.lower() for name in response.headers}
        self.send_response(response.status)
        if "content-type" not in given:
            self.send_header("Content-Type", "application/json")
        if "content-length" not in given:
            self.send_header("Content-Length", str(len(body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset_connection(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(
            socket.SOL_SOCKET,
            socket.SO_LINGER,
            struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0),
        )
        for file in (self.rfile, self.wfile, self.connection):
            file.close()

    def log_message(self, *_: object) -> None:
        """Prints nothing."""
