"""The performance targets of the library, and whether this run met them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contestants import SCHEMES, Group
from figures import BY_KEY, number
from measure import Record


@dataclass(frozen=True)
class Target:
    group: str
    title: str
    measure: str
    bound: float
    """Bound of the figure in the measure's unit, or of the library's figure divided by the other's.
    """

    other: str | None = None

    @property
    def at_most(self) -> bool:
        return BY_KEY[self.measure].less_is_better

    @property
    def wording(self) -> str:
        sign = "≤" if self.at_most else "≥"
        if self.other is not None:
            bound = f"1/{1 / self.bound:.0f}" if self.bound < 0.5 else number(self.bound)
            return f"{sign} {bound} × {self.other}"
        unit = BY_KEY[self.measure].unit
        return f"{sign} {self.bound:,g} {unit}".strip()


TARGETS = [
    Target("C", "Warm call, median", "median_us", 1.0, "libcurl"),
    Target(
        "C",
        "Instructions of a call, without reading the reply",
        "call_instructions",
        0.5,
        "libcurl",
    ),
    Target("C", "Instructions of a call, without reading the reply", "call_instructions", 30_000),
    Target("C", "System calls of a call", "system_calls", 5),
    Target("C", "Calls a second, 8 threads", "rate_8", 1.5, "libcurl"),
    Target("C", "Peak memory over an idle program", "memory_kb", 3),
    Target("C", "The same with 16 idle connections", "memory_16_kb", 5),
    Target("C", "commbox_client_new()", "opened_us", 1),
    Target("C", "The library alone, stripped", "library_bytes", 2.4),
    Target("Python", "Processor time of a call", "processor_us", 1 / 8, "requests"),
    Target("Python", "Processor time of a call", "processor_us", 1 / 3, "urllib3"),
    Target("Python", "Import", "import_ms", 15),
    Target("Python asyncio", "Processor time of a call, one task", "processor_us", 60),
    Target("Python asyncio", "System calls of a call, one task", "system_calls", 10),
    Target("C#", "Processor time of a call", "processor_us", 1.0, "HttpClient"),
]


def rows(record: Record, groups: list[Group]) -> Iterator[list[str]]:
    """Yields language, title and bound, and for HTTP and for TLS the figure and whether it meets
    the target.
    """
    by_name = {group.name: group for group in groups}
    for target in TARGETS:
        group = by_name.get(target.group)
        figures = [
            figure_of(record, group, target, scheme) if group else None for scheme in SCHEMES
        ]
        yield [
            target.group,
            target.title,
            target.wording,
            *(judge(target, figure) for figure in figures),
        ]


def figure_of(record: Record, group: Group, target: Target, scheme: str) -> float | None:
    figure = record.median(group, group.library, scheme, target.measure)
    if figure is None or target.other is None:
        return None if figure is None else figure * BY_KEY[target.measure].scale
    other = next(contestant for contestant in group.contestants if contestant.name == target.other)
    compared = record.median(group, other, scheme, target.measure)
    return figure / compared if compared else None


def judge(target: Target, figure: float | None) -> str:
    if figure is None:
        return "–"
    good = figure <= target.bound if target.at_most else figure >= target.bound
    shown = number(figure) + ("×" if target.other else "")
    return f"{shown} {'met' if good else '**not met**'}"
