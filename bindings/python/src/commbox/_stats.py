"""The statistics of a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from json import loads
from typing import Optional


@dataclass(frozen=True)
class LineStats:
    """The state of the queue from which the requests of a client are sent, in :class:`ClientStats`.

    >>> client.stats.line.state
    'open'
    """

    state: str
    """``"open"``; requests are paused if it is ``"throttled"`` or ``"outage"``."""
    requests_per_second: Optional[float]
    """The present rate limit, in requests per second; None if there is none."""
    learned_requests_per_second: Optional[float]
    """The rate limit that the client learned from 429s; None before the first one."""
    probe_in: Optional[float]
    """Time until the next probe request, in seconds; None unless requests are paused."""


@dataclass(frozen=True)
class LatencyStats:
    """The latencies of the calls that ended within the last 60 to 70 seconds and made a request, in
    :class:`ClientStats`.

    >>> client.stats.latency.count
    0
    """

    count: int
    """The number of calls."""
    sum: float
    """The sum of their latencies, in seconds."""
    p50: Optional[float]
    """The median, in seconds. The percentiles are accurate to within one eighth; None if there are
    no calls.
    """
    p90: Optional[float]
    """The 90th percentile, in seconds."""
    p99: Optional[float]
    """The 99th percentile, in seconds."""


@dataclass(frozen=True)
class ClientStats:
    """The statistics of a client, counted since it was created. Counting takes no lock: the figures
    may differ from one another by the calls that run while they are read.

    >>> client.stats.calls
    0
    """

    calls: int
    """Calls that were made, including dispatched updates of ``update_users``."""
    succeeded: int
    """Calls whose update the server confirmed."""
    failed: int
    """Calls that failed, including cancelled ones."""
    failed_by_code: Mapping[int, int]
    """The number of failed calls for each code, such as ``{-7: 2, 404: 1}``."""
    attempts: int
    """Requests."""
    retried: int
    """Requests beyond the first of a call."""
    throttled: int
    """Requests that the server answered with 429."""
    refused: int
    """Requests that the server answered with another status from 400 to 499."""
    waiting: int
    """Calls that are queued or in backoff now."""
    in_flight: int
    """Requests that are being sent or answered now."""
    connections_open: int
    """Connections that are open now."""
    connections_opened: int
    """All connections that were opened."""
    line: LineStats
    """The queue from which requests are sent."""
    latency: LatencyStats
    """The latencies of recent calls."""


def client_stats(text: str) -> ClientStats:
    """Returns the statistics from the library's JSON. It ignores figures that this package does not
    know.
    """
    told = loads(text)
    line, latency = told["line"], told["latency"]
    counts = {
        name: told[name] for name in ClientStats.__dataclass_fields__ if isinstance(told[name], int)
    }
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
