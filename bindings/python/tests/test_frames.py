"""Tests missing values, and runs the loops over tables in docs/python.md unchanged."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sqlite3
import subprocess
import sys
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT

from commbox import Client, ValidationError
from commbox.testing import FakeServer

ROWS = "id,first_name,phone\n1,John,0501234567\n2,,\n3,ג'ון,+972501234567\n"


class NAType:
    """Like pandas' NA, which cannot be compared."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __ne__(self, _: object) -> Any:
        return self

    __hash__ = object.__hash__


class NaTType:
    """Like pandas' NaT, which differs from itself and has an isoformat()."""

    def isoformat(self) -> str:
        return "NaT"

    def __ne__(self, _: object) -> bool:
        return True

    __hash__ = object.__hash__


class Unequal:
    """Like an array, which compares its elements."""

    def __ne__(self, _: object) -> Any:
        raise ValueError("the truth value of an array is ambiguous")

    __hash__ = object.__hash__


STANDARD: list[tuple[object, str]] = [
    (float("nan"), "NaN; use None, or leave it out"),
    (Decimal("NaN"), "NaN; use None"),
    (Decimal("-sNaN"), "NaN; use None"),
    (NAType(), "NA; use None"),
    (NaTType(), "NaT; use None"),
    (Unequal(), "of type Unequal, which JSON does not have"),
    (Decimal("1.5"), r"of type Decimal; use str\(\)"),
]


def refuse(value: object, told: str) -> None:
    with (
        Client("key") as client,
        pytest.raises(ValidationError, match=f"FirstName is {told}") as caught,
    ):
        client.validate_user(7, {"FirstName": value})
    assert caught.value.code == -4
    with (
        Client("key") as client,
        pytest.raises(ValidationError, match=rf"Content\.A\[0\] is {told}"),
    ):
        client.validate_user(7, content={"A": [value]})


@pytest.mark.parametrize(("value", "told"), STANDARD)
def test_missing_values_are_reported(value: object, told: str) -> None:
    refuse(value, told)


def installed(*names: str) -> bool:
    """Returns whether these packages are installed, and warns if not."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        warnings.warn(
            f"not run: the loops with {' and '.join(missing)}, which is not installed", stacklevel=2
        )
    return not missing


@pytest.mark.filterwarnings("default:not run")
def test_missing_values_of_pandas_and_numpy() -> None:
    if not installed("pandas", "numpy"):
        return
    pandas, numpy = importlib.import_module("pandas"), importlib.import_module("numpy")
    for value, told in [
        (pandas.NA, "NA; use None"),
        (pandas.NaT, "NaT; use None"),
        (numpy.nan, "NaN; use None"),
        (numpy.float32("nan"), "NaN; use None"),
        (numpy.datetime64("NaT"), "NaT; use None"),
        (numpy.timedelta64("NaT"), "NaT; use None"),
        (numpy.ma.masked, "masked; use None"),
        (numpy.array([1.0, 2.0]), r"of type ndarray; use its tolist\(\)"),
        (pandas.Timestamp("2024-01-01"), r"of type Timestamp; use its isoformat\(\)"),
    ]:
        refuse(value, told)


BLOCKS = re.findall(r"^```py\n(.*?)^```$", (CHECKOUT / "docs/python.md").read_text(), re.M | re.S)
"""The blocks marked ``py``, which need more than the standard library, or files."""

PROGRAMS = [block for block in BLOCKS if "update_users(" in block]


def test_the_page_has_three_loops_and_a_test() -> None:
    assert len(PROGRAMS) == len(BLOCKS) - 1 == 3
    assert "commbox_server" in BLOCKS[-1]


@pytest.mark.filterwarnings("default:not run")
@pytest.mark.parametrize(
    ("number", "needs", "absent"),
    [
        (0, (), {"FirstName": "", "Phone1": None}),
        (1, ("sqlalchemy",), {"FirstName": "", "Phone1": None}),
        (2, ("pandas",), {}),
    ],
    ids=["csv", "sqlalchemy", "pandas"],
)
def test_the_loops_of_the_page(
    commbox_server: FakeServer,
    tmp_path: Path,
    number: int,
    needs: tuple[str, ...],
    absent: dict[str, Any],
) -> None:
    if not installed(*needs):
        return
    (tmp_path / "customers.csv").write_text(ROWS, encoding="utf-8")
    with sqlite3.connect(tmp_path / "customers.db") as database:
        database.execute("CREATE TABLE customers (id INTEGER, first_name TEXT, phone TEXT)")
        rows = [line.split(",") for line in ROWS.splitlines()[1:]]
        database.executemany("INSERT INTO customers VALUES (?, ?, nullif(?, ''))", rows)
    database.close()
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}

    def run() -> str:
        command = [sys.executable, "-c", PROGRAMS[number]]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert run() == ""
    assert commbox_server.users == {
        1: {"FirstName": "John", "Phone1": "0501234567"},
        2: absent,
        3: {"FirstName": "ג'ון", "Phone1": "+972501234567"},
    }
    commbox_server.script(404, 404, 404)
    assert sorted(line.split(":")[0] for line in run().splitlines()) == [
        "customer 1",
        "customer 2",
        "customer 3",
    ]
