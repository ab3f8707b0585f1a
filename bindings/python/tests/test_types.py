"""Tests type checking of programs like those in the documentation, and type hints at run time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import CHECKOUT
from interpreters import SOURCES, interpreters

PAGES = ("README.md", "docs/python.md", "bindings/python/README.md")

BEFORE = 'from commbox import Client\nclient = Client("key")\n'
"""Most examples continue the previous one."""

SUBCLASS = """
from commbox import AsyncClient, Client

class Sync(Client):
    own = 1

class Async(AsyncClient):
    own = 1

async def main() -> None:
    with Sync("key") as sync:
        print(sync.own)
    async with Async("key") as client:
        print(client.own)
"""

WRONG = """
from commbox import Client

Client("key").update_user(7, firstname="John")
"""


def examples(page: str) -> list[str]:
    found: list[str] = re.findall(
        r"^```python\n(.*?)^```$", (CHECKOUT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    assert found
    return found


def test_correct_code_passes_and_wrong_code_fails(tmp_path: Path) -> None:
    programs = [example for page in PAGES for example in examples(page)]
    for number, program in enumerate(programs):
        (tmp_path / f"example{number}.py").write_text(BEFORE + program)
    (tmp_path / "subclass.py").write_text(SUBCLASS)
    (tmp_path / "wrong.py").write_text(WRONG)
    # For example, a variable with the rows of another example.
    rules = ["--check-untyped-defs", "--disable-error-code", "name-defined"]
    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", "cache", *rules]
    environment = {**os.environ, "MYPYPATH": str(Path(__file__).parents[1] / "src")}
    done = subprocess.run(
        [*mypy, *sorted(file.name for file in tmp_path.iterdir())],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert "Found 1 error in 1 file" in done.stdout, done.stdout
    assert re.search(r"^wrong\.py:4: error: .*update_user", done.stdout, re.MULTILINE), done.stdout


HINTS = """
import sys, commbox
assert not {"typing", "json", "dataclasses"} & set(sys.modules)
# Each in a process of its own, since the first that is resolved may define what others need.
target = sys.argv[1]
import inspect, typing
from collections.abc import Mapping
found = eval("commbox." + target)
hints = typing.get_type_hints(found)
unresolved = (str, typing.ForwardRef)
assert hints and not [hint for hint in hints.values() if isinstance(hint, unresolved)], hints
first = inspect.getsource(found).split()[0]
assert first in ("class", "def", "async", "@dataclass(frozen=True)"), target
inspect.signature(found)
if target == "Client.update_user":
    assert hints["user_id"] is int
    assert hints["email"] == typing.Union[str, commbox._fields.Omitted, None]
    assert hints["return"] is commbox.UpdateResult
"""

TARGETS = [
    *(
        "BatchStats",
        "UserUpdate",
        "BatchResult",
        "UpdateResult",
        "CommBoxError",
        "CommBoxError.__init__",
    ),
    *(
        "Client.__init__",
        "Client.update_user",
        "Client.update_users",
        "Client.update_user_json",
        "Client.__enter__",
    ),
    *(
        "AsyncClient.__init__",
        "AsyncClient.update_user",
        "AsyncClient.update_users",
        "AsyncClient.__aexit__",
    ),
    *(
        "Client.set_api_key",
        "Client.__exit__",
        "Updates.__exit__",
        "Updates.__init__",
        "Client.close",
    ),
]


def test_type_hints_are_resolved_on_every_python() -> None:
    for version, python in interpreters().items():
        for target in TARGETS:
            done = subprocess.run(
                [python, "-B", "-S", "-c", HINTS, target],
                env={**os.environ, "PYTHONPATH": str(SOURCES)},
                capture_output=True,
                text=True,
            )
            assert (done.returncode, done.stderr) == (0, ""), (version, target, done.stderr)
