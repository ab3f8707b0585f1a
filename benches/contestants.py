"""The programs that are compared: the library in each language, and the usual alternatives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LIBRARY = ROOT / "target/release/libcommbox.so"
BUILT = ROOT / "target/bench"
PYTHON = BUILT / "venv/bin/python"

SCHEMES = ("http", "https")

# The example that the API's vendor publishes, as it is sent.
BODY = (
    '{"data": {"UniqueId": "0123456789", "FirstName": "John", "LastName": "Doe", '
    '"Phone1": "19175555555", "Email": "JohnDoe@gmail.com", '
    '"Remarks": "Some remarks about the customer", '
    '"Content": {"Birth_Date": "01-01-1983", "VIP_Status": "8"}}}'
)


@dataclass(frozen=True)
class Contestant:
    """A program that takes URL CA_FILE THREADS WARMUP CALLS BODY, and prints figures as JSON."""

    name: str
    command: tuple[str, ...]
    schemes: tuple[str, ...] = SCHEMES
    package: str = ""
    """The Python package to import, whose size is counted together with its dependencies."""

    is_floor: bool = False
    """Whether it does less than any real program could, to show the cost of the rest."""


@dataclass(frozen=True)
class Group:
    """The contestants of one language. The library comes first; the others are compared with it."""

    name: str
    contestants: tuple[Contestant, ...]
    idle: tuple[str, ...]
    """A program that does nothing, as the baseline for memory."""

    calls: int
    """Number of calls in a measurement, which take about half a second."""

    warmup: int
    """Number of calls, over all threads, before the measurement. .NET's compiler needs thousands.
    """

    reading: tuple[str, ...] = ()
    """A program that only reads the reply. Its cost is subtracted if a target covers the call
    alone.
    """

    counts_instructions: bool = True

    longer_for_system_calls: int = 5
    """How many times longer a run is for system calls than for instructions, because .NET's own
    threads make some at any time.
    """

    @property
    def library(self) -> Contestant:
        return self.contestants[0]


def groups(dotnet: tuple[str, ...] | None) -> list[Group]:
    def c(name: str) -> tuple[str, ...]:
        return (str(BUILT / "c" / name),)

    def rust(name: str) -> tuple[str, ...]:
        return (str(BUILT / "rust/release" / name),)

    def python(name: str) -> tuple[str, ...]:
        return (str(PYTHON), str(HERE / "python" / f"{name}.py"))

    found = [
        Group(
            "C",
            (
                Contestant("commbox", c("commbox")),
                Contestant("libcurl", c("curl")),
                Contestant("bare socket", c("sockets"), schemes=("http",), is_floor=True),
            ),
            idle=c("idle"),
            calls=12000,
            warmup=200,
            reading=c("reading"),
        ),
        Group(
            "Rust",
            (
                Contestant("commbox", rust("commbox")),
                Contestant("ureq", rust("ureq")),
                Contestant("reqwest", rust("reqwest")),
            ),
            idle=rust("idle"),
            calls=6000,
            warmup=200,
        ),
        Group(
            "Python",
            (
                Contestant("commbox", python("commbox_sync"), package="commbox"),
                Contestant("requests", python("requests_session"), package="requests"),
                Contestant("httpx", python("httpx_client"), package="httpx"),
                Contestant("urllib3", python("urllib3_pool"), package="urllib3"),
            ),
            idle=python("idle"),
            calls=1000,
            warmup=100,
        ),
        Group(
            "Python asyncio",
            (
                Contestant("commbox", python("commbox_async"), package="commbox"),
                Contestant("aiohttp", python("aiohttp_session"), package="aiohttp"),
            ),
            idle=python("idle"),
            calls=1000,
            warmup=100,
        ),
    ]
    if dotnet is not None:
        contestants = (
            Contestant("commbox", (*dotnet, "commbox")),
            Contestant("HttpClient", (*dotnet, "httpclient")),
        )
        idle = (*dotnet, "idle")
        found.append(
            Group(
                "C#",
                contestants,
                idle,
                calls=6000,
                warmup=4000,
                counts_instructions=False,
                longer_for_system_calls=40,
            )
        )
    return found


def each(all_groups: list[Group]) -> Iterator[tuple[Group, Contestant]]:
    """Yields all contestants in turns: the first of each language, then the second, and so on."""
    for place in range(max(len(group.contestants) for group in all_groups)):
        for group in all_groups:
            if place < len(group.contestants):
                yield group, group.contestants[place]
