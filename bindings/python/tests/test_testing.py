"""Tests the fake server for users' own tests, and its pytest plugin."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Optional

import pytest
from conftest import CHECKOUT

import commbox
from commbox import Client
from commbox.testing import Answer, FakeServer, Request


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client(server.api_key, base_url=server.url, retry_base=0.001, retry_cap=0.001) as client:
        yield client


def test_it_replies_like_commbox_and_records_requests(server: FakeServer, client: Client) -> None:
    result = client.update_user(7, first_name="ג'ון", content={"VIP": "8", "A": "1"})
    assert (result.id, result.status, result.description) == (7, 200, "Operation successful")
    assert result.response_time
    client.update_user(7, last_name="Smith", content={"A": None})
    assert server.users == {
        7: {"FirstName": "ג'ון", "LastName": "Smith", "Content": {"VIP": "8", "A": None}}
    }
    first, second = server.requests
    assert (first.method, first.path, first.user_id) == ("POST", "/users/7", 7)
    assert first.headers["authorization"] == "Bearer test-key"
    assert first.fields == {"FirstName": "ג'ון", "Content": {"VIP": "8", "A": "1"}}
    assert second.body == '{"data":{"LastName": "Smith", "Content": {"A": null}}}'
    assert "test-key" not in repr(first)
    server.reset()
    assert (server.requests, server.users) == ([], {})


def test_it_refuses_what_commbox_refuses(server: FakeServer, client: Client) -> None:
    client.set_api_key("another")
    with pytest.raises(commbox.AuthenticationError):
        client.update_user(7, {})
    client.set_api_key(server.api_key)
    with (
        Client(server.api_key, base_url=f"{server.url}/prefix") as prefixed,
        Client(server.api_key, base_url=server.url, validate=False) as unchecked,
    ):
        assert prefixed.update_user(7, {}).id == 7
        with pytest.raises(commbox.BadRequestError, match="400"):
            unchecked.update_user_json(7, '{"data": []}')
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    for method, path, status in [
        ("POST", "/other", 404),
        ("POST", "/users/0", 404),
        ("GET", "/users/7", 405),
    ]:
        connection.request(method, path, headers={"Authorization": "Bearer test-key"})
        reply = connection.getresponse()
        assert (reply.status, bool(reply.read())) == (status, True)
    connection.close()


def test_replies_follow_the_script(server: FakeServer, client: Client) -> None:
    server.script(
        503, Answer(reset=True), Answer(429, headers={"Retry-After": "0"}), Answer(200, delay=0.05)
    )
    result = client.update_user(7, first_name="John")
    assert (result.attempts, server.unused_answers) == (4, 0)
    assert result.elapsed >= 0.05
    assert server.users[7] == {"FirstName": "John"}
    server.script(
        Answer(404, {"status": 404, "description": "Mine"}, {"X-Request-Id": "r-1"}),
        Answer(200, "<html>"),
    )
    with pytest.raises(commbox.NotFoundError) as missing:
        client.update_user(8, first_name="John")
    assert (missing.value.description, missing.value.request_id) == ("Mine", "r-1")
    with pytest.raises(commbox.APIResponseError):
        client.update_user(8, first_name="John")
    assert 8 not in server.users


def test_a_reply_may_be_delayed(server: FakeServer, client: Client) -> None:
    client.update_user(7, {})
    server.script(Answer(200, delay=30))
    with pytest.raises(commbox.APITimeoutError):
        client.update_user(7, {}, timeout=2)
    assert len(server.requests) == 2


def test_every_status_can_be_returned(server: FakeServer, client: Client) -> None:
    for status in (403, 418, 499, 502, 599):
        server.script(status)
        with pytest.raises(commbox.APIStatusError) as caught:
            client.update_user(7, {}, max_retries=0)
        assert caught.value.code == status


def test_a_function_may_choose_the_reply(server: FakeServer, client: Client) -> None:
    def choose(request: Request) -> Optional[Answer]:
        return Answer(404) if request.user_id == 2 else None

    server.on_request = choose
    server.script(Answer(400))
    results = {
        result.user_id: result
        for result in client.update_users([(n, {}) for n in (1, 2, 3)], concurrency=1)
    }
    assert {n: result.error and result.error.code for n, result in results.items()} == {
        1: 400,
        2: 404,
        3: None,
    }

    def fail(_: Request) -> Optional[Answer]:
        raise KeyError("mine")

    server.on_request = fail
    with pytest.raises(commbox.InternalServerError) as caught:
        client.update_user(7, {}, max_retries=0)
    assert caught.value.description == "on_request raised KeyError: 'mine'"


def test_many_threads_and_connections(server: FakeServer, client: Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        results = list(
            pool.map(lambda n: client.update_user(n, {"Remarks": str(n)}), range(1, 401))
        )
    assert [result.id for result in results] == list(range(1, 401))
    assert len(server.requests) == len(server.users) == 400
    assert client.stats.connections_opened <= 32


def test_connections_are_queued_until_a_thread_accepts_them(server: FakeServer) -> None:
    held = threading.Event()
    accept = server._server.get_request

    def later() -> Any:
        held.wait(60)
        return accept()

    server._server.get_request = later  # type: ignore[method-assign]
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with ExitStack() as connections:
        connections.callback(held.set)
        for _ in range(100):
            connections.enter_context(socket.create_connection(address, timeout=30))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"status": 199}, "status must be an int from 200 to 599, not 199"),
        ({"status": "200"}, "status must be"),
        ({"status": True}, "status must be"),
        ({"delay": -1}, "delay must be 0"),
        ({"headers": {"X": "a\r\nb"}}, "the value of X must be a str in one line"),
        ({"headers": {"X": 1}}, "the value of X"),
    ],
)
def test_invalid_replies_are_refused(
    server: FakeServer, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Answer(**options)
    with pytest.raises(TypeError, match="an answer is an Answer or a status, not dict"):
        server.script({"status": 200})  # type: ignore[arg-type]
    assert server.unused_answers == 0


def test_it_ends_at_once_with_all_threads() -> None:
    before = set(threading.enumerate())
    server = FakeServer()
    with Client(server.api_key, base_url=server.url, max_retries=0) as client:
        client.update_user(7, {})
        server.script(Answer(delay=60))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.update_user, 7, {})
            while len(server.requests) < 2:
                time.sleep(0.01)
            began = time.monotonic()
            server.close()
            server.close()
            with pytest.raises(commbox.APIConnectionError):
                waiting.result()
        assert time.monotonic() - began < 5
        with pytest.raises(commbox.APIConnectionError):
            client.update_user(7, {})
    until = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


USERS_OWN = """
import os, sys
from commbox import Client

def code_under_test():
    with Client() as client:
        return client.update_user(7, first_name="John").id

def test_mine(commbox_server):
    assert code_under_test() == 7
    assert commbox_server.users == {7: {"FirstName": "John"}}
    commbox_server.script(404)

def test_each_has_its_own(commbox_server):
    assert commbox_server.requests == []
    assert commbox_server.unused_answers == 0

def test_afterwards_the_environment_is_as_before():
    assert os.environ["COMMBOX_API_KEY"] == "real"
    assert "COMMBOX_BASE_URL" not in os.environ

def test_that_needs_no_fixture():
    pass
"""


def run_pytest(folder: Path, *arguments: str, **environment: str) -> str:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "pytest_commbox",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
    ]
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "COMMBOX_API_KEY": "real",
            "http_proxy": "http://127.0.0.1:9",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(USERS_OWN)
    assert "4 passed" in run_pytest(tmp_path)


MY_PROGRAM = """
from commbox import Client
def greet(user_id):
    with Client(retry_base=0.001, retry_cap=0.001) as client:
        client.update_user(user_id, remarks="greeted")
"""


def test_the_documented_test_passes(tmp_path: Path) -> None:
    page = (CHECKOUT / "docs/python.md").read_text()
    (test,) = [
        block
        for block in re.findall(r"^```py\n(.*?)^```$", page, re.M | re.S)
        if "commbox_server" in block
    ]
    (tmp_path / "my_program.py").write_text(MY_PROGRAM)
    (tmp_path / "test_page.py").write_text(test)
    assert "1 passed" in run_pytest(tmp_path)


def test_an_installed_plugin_can_also_be_loaded_by_name(tmp_path: Path) -> None:
    project = (CHECKOUT / "bindings/python/pyproject.toml").read_text()
    named = re.findall(r"^\[project\.entry-points\.pytest11\]\n(.*?)\n\n", project, re.M | re.S)
    installed = tmp_path / "commbox-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: commbox\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[pytest11]\n" + "\n".join(named).replace('"', "") + "\n"
    )
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["pytest_commbox"]\n')
    (tmp_path / "test_own.py").write_text(USERS_OWN)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "COMMBOX_API_KEY": "real", "PYTHONPATH": path}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_loads_no_library(tmp_path: Path) -> None:
    """If the library of an installation cannot be loaded, tests that do not need it still run."""
    (tmp_path / "test_own.py").write_text(
        "import sys\ndef test_it():\n    assert 'commbox' not in sys.modules\n"
    )
    assert "1 passed" in run_pytest(tmp_path, COMMBOX_LIBRARY="/nowhere")
    assert "commbox_server" in run_pytest(tmp_path, "--fixtures")
