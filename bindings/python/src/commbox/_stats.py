"""The figures of a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from json import loads
from typing import Optional


@dataclass(frozen=True)
class LineStats:
    """When requests of a client may leave."""

    state: str
    """``"open"``; requests are paused if it is ``"throttled"`` or ``"outage"``."""
    requests_per_second: Optional[float]
    """The rate at which requests may leave; None if nothing limits it."""
    learned_requests_per_second: Optional[float]
    """The rate that the client has learned from 429s; None before the first one."""
    probe_in: Optional[float]
    """Time until the next probe request, in seconds; None unless requests are paused."""


@dataclass(frozen=True)
class LatencyStats:
    """How long the calls took that ended within the last 60 to 70 seconds and had made a request."""

    count: int
    """How many calls these are."""
    sum: float
    """Their time together, in seconds."""
    p50: Optional[float]
    """Half of them took at most this long, in seconds, exact to an eighth; None if there are none."""
    p90: Optional[float]
    """The same for 90 of 100."""
    p99: Optional[float]
    """The same for 99 of 100."""


@dataclass(frozen=True)
class ClientStats:
    """Figures of a client, from when it was made. They may differ by what runs while they are read."""

    calls: int
    """Calls that were made, and updates of ``update_users`` that were dispatched."""
    succeeded: int
    """Calls that the server confirmed."""
    failed: int
    """Calls that failed, including cancelled ones."""
    failed_by_code: Mapping[int, int]
    """Failures for each code, such as ``{-7: 2, 404: 1}``."""
    attempts: int
    """Requests."""
    retried: int
    """Requests beyond the first of a call."""
    throttled: int
    """Requests that the server answered with 429."""
    refused: int
    """Requests that the server answered with another status from 400 to 499."""
    waiting: int
    """Calls that wait for their turn or for the next attempt."""
    in_flight: int
    """Requests that are being sent or answered."""
    connections_open: int
    """Connections that are open."""
    connections_opened: int
    """Connections that were opened, those that are closed again included."""
    line: LineStats
    """When requests may leave."""
    latency: LatencyStats
    """How long calls took lately."""


def client_stats(text: str) -> ClientStats:
    """The figures that the library tells as JSON. Figures that this package does not know are left out."""
    told = loads(text)
    line, latency = told["line"], told["latency"]
    counts = {name: told[name] for name in ClientStats.__dataclass_fields__ if isinstance(told[name], int)}
    return ClientStats(
        **counts,
        failed_by_code={int(code): count for code, count in told["failed_by_code"].items()},
        line=LineStats(
            state=line["state"],
            requests_per_second=line["requests_per_second"],
            learned_requests_per_second=line["learned_requests_per_second"],
            probe_in=_seconds(line["probe_in_ms"]),
        ),
        latency=LatencyStats(
            count=latency["count"],
            sum=latency["sum_ms"] / 1000,
            p50=_seconds(latency["p50_ms"]),
            p90=_seconds(latency["p90_ms"]),
            p99=_seconds(latency["p99_ms"]),
        ),
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
