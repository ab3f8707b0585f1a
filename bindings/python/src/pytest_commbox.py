"""The pytest plugin of commbox: the fixture ``commbox_server``.

Not in the package, which pytest would import, with the shared library, whenever it runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from commbox.testing import FakeServer


@pytest.fixture
def commbox_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A fake CommBox in this process, which records requests and answers as scripted:
    commbox.testing.FakeServer.

    During the test, ``COMMBOX_API_KEY`` and ``COMMBOX_BASE_URL`` name it, and no proxy is used for
    it.
    """
    from commbox.testing import FakeServer

    with FakeServer() as server:
        monkeypatch.setenv("COMMBOX_API_KEY", server.api_key)
        monkeypatch.setenv("COMMBOX_BASE_URL", server.url)
        excepted = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
        monkeypatch.setenv("NO_PROXY", f"{excepted},127.0.0.1".lstrip(","))
        yield server
