"""Tests that importing the package is fast, and that every name is available."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import commbox

HEAVY = (
    "asyncio",
    "dataclasses",
    "enum",
    "inspect",
    "json",
    "pathlib",
    "re",
    "ssl",
    "subprocess",
    "tempfile",
    "typing",
)
"""Importing each of these takes a large part of the package's import time, or more."""


def imported_with(statement: str) -> set[str]:
    """Returns the modules that a new interpreter without site packages has loaded after a
    statement.
    """
    script = f"import sys; sys.path[:] = sys.argv[1:]; {statement}; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", script, *sys.path]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return set(done.stdout.split())


def test_imports_nothing_heavy() -> None:
    assert not imported_with("import commbox").intersection(HEAVY)
    # Shows that this check can fail.
    assert imported_with("from commbox import AsyncClient").issuperset({"asyncio", "dataclasses"})


def test_every_name_in_all_exists() -> None:
    for name in commbox.__all__:
        thing = getattr(commbox, name)
        assert name in dir(commbox)
        if isinstance(thing, type):
            assert thing.__qualname__ == name
            # The name is found in its defining module, so that its source and type hints are found
            # too.
            assert getattr(sys.modules[thing.__module__], name) is thing
    star: dict[str, object] = {}
    exec("from commbox import *", star)
    assert set(commbox.__all__) <= set(star)
    with pytest.raises(AttributeError, match="module 'commbox' has no attribute 'Clinet'"):
        commbox.Clinet  # type: ignore[attr-defined] # noqa: B018


def test_results_can_be_pickled() -> None:
    result = commbox.UpdateResult(id=7, status=200, description=None, response_time=None, raw="{}")
    update = commbox.UserUpdate(7, {"FirstName": "John"}, tag="row 1")
    both = commbox.BatchResult(index=0, user_id=7, update=update, result=result, error=None)
    assert pickle.loads(pickle.dumps(both)) == both
    assert repr(result) == (
        "UpdateResult(id=7, status=200, description=None, response_time=None, attempts=0, "
        "elapsed=0.0, request_id=None)"
    )


def test_only_the_spark_module_imports_spark() -> None:
    assert not imported_with("import commbox; commbox.Client('key')").intersection(
        {"commbox.spark", "pyspark"}
    )
    script = "import sys; sys.modules['pyspark'] = None; import commbox.spark"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        "commbox.spark needs PySpark 3.5 or newer, which is not installed; install it: pip install"
        in done.stderr
    )
