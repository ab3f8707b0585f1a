"""Tests that the examples in the docstrings run, and that everything public has one."""

from __future__ import annotations

import asyncio
import doctest
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import commbox
from commbox import testing

CLASSES = [
    kind for kind in (getattr(commbox, name) for name in commbox.__all__) if inspect.isclass(kind)
]
CLASSES += [getattr(testing, name) for name in testing.__all__]


def _modules() -> list[ModuleType]:
    """Returns the modules that define public names, and those of their base classes."""
    names = {base.__module__ for kind in CLASSES for base in kind.__mro__}
    return [commbox, *(sys.modules[name] for name in sorted(names) if name.startswith("commbox."))]


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder()
    for module in _modules():
        yield from (found for found in finder.find(module) if found.examples)


EXAMPLES = list(_examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_example_runs(example: doctest.DocTest, monkeypatch: pytest.MonkeyPatch) -> None:
    public = {name: getattr(commbox, name) for name in commbox.__all__}
    public.update({name: getattr(testing, name) for name in testing.__all__}, asyncio=asyncio)
    with testing.FakeServer("my-api-key") as server:
        monkeypatch.setenv("COMMBOX_API_KEY", server.api_key)
        monkeypatch.setenv("COMMBOX_BASE_URL", server.url)
        with commbox.Client(retry_base=0.001, retry_cap=0.001, timeout=10) as client:
            example.globs = {**public, "client": client, "server": server}
            report: list[str] = []
            runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
            runner.run(example, out=report.append)
    assert runner.tries
    assert not runner.failures, "".join(report)


def _documented() -> Iterator[tuple[str, Any]]:
    """Yields what a program uses: classes and their members. Exceptions are skipped, because they
    are used like their base.
    """
    for kind in CLASSES:
        if not issubclass(kind, Exception) or kind is commbox.CommBoxError:
            yield kind.__name__, kind
        for base in kind.__mro__:
            if base.__module__.startswith("commbox."):
                for name, member in vars(base).items():
                    if not name.startswith("_") and (
                        inspect.isfunction(member) or isinstance(member, property)
                    ):
                        yield f"{kind.__name__}.{name}", member


DOCUMENTED = dict(_documented())


# Their docstrings need no example.
OBVIOUS = {"BatchResult.ok", "BatchResult.tag"}


@pytest.mark.parametrize("name", sorted(DOCUMENTED.keys() - OBVIOUS))
def test_everything_public_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(DOCUMENTED[name]) or "")


def test_the_examples_are_found() -> None:
    # Without this, a finder that finds nothing would pass.
    assert len(EXAMPLES) > 30
    assert {"commbox", "commbox._client.Client.update_user", "commbox.testing.FakeServer"} <= {
        e.name for e in EXAMPLES
    }
