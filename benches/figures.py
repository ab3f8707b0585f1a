"""The name of each measure, its unit, and the format of its figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    key: str
    title: str
    unit: str = ""
    scale: float = 1
    """Factor that converts a figure to that unit."""

    less_is_better: bool = True
    by_scheme: bool = True
    """Whether it is measured over plain HTTP and over TLS."""

    @property
    def heading(self) -> str:
        return f"{self.title} {'↓' if self.less_is_better else '↑'}"

    def text(self, figure: float | None) -> str:
        return "–" if figure is None else f"{number(figure * self.scale)} {self.unit}".strip()


MEASURES = [
    Measure("median_us", "Warm call, median", "µs"),
    Measure("p99_us", "Warm call, p99", "µs"),
    Measure("processor_us", "Processor time of a call", "µs"),
    Measure("instructions", "Instructions of a call"),
    Measure("call_instructions", "The same without reading the reply"),
    Measure("system_calls", "System calls of a call"),
    Measure("rate_1", "Calls a second, 1 thread", less_is_better=False),
    Measure("rate_8", "Calls a second, 8 threads", less_is_better=False),
    Measure("rate_64", "Calls a second, 64 threads", less_is_better=False),
    Measure("memory_kb", "Peak memory", "MB", 1024 / 1e6),
    Measure("memory_16_kb", "Memory with 16 idle connections", "MB", 1024 / 1e6),
    Measure("opened_us", "Making a client", "ms", 1e-3),
    Measure("first_ms", "Process start to first answer", "ms", by_scheme=False),
    Measure("first_system_calls", "System calls of that process", by_scheme=False),
    Measure("import_ms", "Import", "ms", by_scheme=False),
    Measure("library_bytes", "The library alone", "MB", 1e-6, by_scheme=False),
    Measure("size_bytes", "To be shipped", "MB", 1e-6, by_scheme=False),
]

BY_KEY = {measure.key: measure for measure in MEASURES}


def number(figure: float) -> str:
    """Formats a figure with three significant digits, and thousands in full."""
    size = abs(figure)
    if size >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if size >= 10 else f"{figure:.2f}"
