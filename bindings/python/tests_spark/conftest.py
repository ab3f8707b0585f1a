"""The sandbox, and one session of Spark for all tests of this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support import Sandbox, running_sandbox, session


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(sandbox_process: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Clients without options send to it."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COMMBOX_API_KEY", sandbox_process.api_key)
    monkeypatch.setenv("COMMBOX_BASE_URL", sandbox_process.url)
    sandbox_process.reset()
    return sandbox_process


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    made = session("local[4]", tmp_path_factory.mktemp("spark"))
    yield made
    made.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where outcomes are written to."""
    return tmp_path / "outcomes"
