"""What a type checker says to a program like those of the documentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import CHECKOUT

PAGES = ("README.md", "bindings/python/README.md")

BEFORE = 'from commbox import Client\nclient = Client("key")\n'
"""Most examples go on where the one before ended."""

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
    found: list[str] = re.findall(r"^```python\n(.*?)^```$", (CHECKOUT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found


def test_what_is_right_passes_and_what_is_wrong_does_not(tmp_path: Path) -> None:
    programs = [example for page in PAGES for example in examples(page)]
    for number, program in enumerate(programs):
        (tmp_path / f"example{number}.py").write_text(BEFORE + program)
    (tmp_path / "subclass.py").write_text(SUBCLASS)
    (tmp_path / "wrong.py").write_text(WRONG)
    # Such as the rows of another example.
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
