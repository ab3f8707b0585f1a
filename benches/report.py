"""Writes the report: the environment, ratios with the figures beside them, and the targets."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import targets
from chart import Bar, Panel, draw
from contestants import SCHEMES, Contestant, Group
from figures import BY_KEY, MEASURES, number
from measure import Record

NAMES = {"http": "plain HTTP", "https": "TLS 1.3"}
PLOTTED = ("processor_us", "rate_8", "memory_kb")

# The most informative rows, over TLS. README.md also has those of processor time.
TELLING = [
    ("C", "libcurl", "processor_us"),
    ("C", "libcurl", "memory_16_kb"),
    ("C", "libcurl", "first_ms"),
    ("Python", "requests", "processor_us"),
    ("C#", "HttpClient", "processor_us"),
]

INTRODUCTION = """# Benchmarks

These benchmarks compare the library with what programs would use instead, on the same work and in
the same run. `make bench` repeats all of it in less than ten minutes and writes this file.
`make bench BENCH_QUICK=1` checks in about a minute that the benchmarks still work. They need Linux,
Rust, a C compiler and Python 3.10 or newer. If packages of Debian are missing, they are installed
if that is permitted, and otherwise listed.

![Processor time, throughput and memory]({plot})

Each language has its own scale in the plot.

A call posts the example that the API's vendor publishes, as JSON text that is ready to be sent, and
reads `status` and `Id` from the JSON reply. In addition, the library checks the text and the reply,
which the others do not. All keep their connections, have a timeout of a minute, and trust the same
{roots} root certificates. Each is a program of its own in [`benches`](benches), with the same
command line.

- **Warm call**: from one thread. The program and the server share a processor, because they wait
  for each other in turn. On separate processors, each call would wake two sleeping processors,
  which takes longer than the call and differs between machines.
- **Processor time**: user and system time of those calls.
- **Instructions**: of the program without the kernel, counted by callgrind: the difference between
  {many} calls and {few} calls, divided by {difference}. For Python it is measured over plain HTTP
  only, because starting Python under callgrind takes long. .NET does not run under callgrind. For
  C, a second row leaves out what the program itself takes to read the reply with cJSON.
- **System calls**: counted by strace in the same way, over at least five times as many calls,
  without `sched_yield`.
- **Calls a second**: from 1, 8 and 64 threads at once (asyncio: tasks), each with its own user.
- **Memory**: in addition to a program of the same language that does nothing. The peak is that of
  one thread. With 16 idle connections, it is the resident memory while 16 threads wait that have
  made 100 calls each.
- **Making a client**: before the first call. **Import**: in a Python that has imported nothing
  else.
- **Process start to first answer**: over TLS, including the start of the language's runtime and
  reading the trust store.
- **To be shipped**: stripped. C: the library and the shared libraries that it needs, except glibc.
  Rust: the program, in addition to one that does nothing. Python: the packages that are installed
  for it. C#: the assembly and the library; HttpClient is part of .NET.

The bare socket sends bytes that were prepared once. It shows the cost of the server, of the system,
and of reading the reply: nearly all of its instructions are cJSON's, and are included in the other
figures for C, too. ureq starts a thread for the DNS lookup of every call that has a timeout. The C#
calls are the synchronous ones.

The rounds alternate between the programs, {rounds} times, so that a machine that slows down slows
all of them. Each figure is the median of its rounds. Ratios are taken within one run. If the
machine does other work meanwhile, the times differ from run to run, but the counts do not. A run in
which an answer is missing, or in which the server saw fewer requests than were made, ends the
benchmark.

The server is nginx {nginx} on this machine, one process, which answers from memory after it has
read the body. It was chosen for its speed. By the processor time that a request took it on average,
{capacity}
"""

RESULTS = """## Results

A ratio is the other's figure divided by the library's. ↓: less is better, so a ratio above 1 is in
favour of the library. ↑: more is better, so a ratio below 1 is.
"""


IDLE_POOLS = """## With idle connections

A client in C over plain HTTP that has this number of connections and uses one of them for a call.
The figures are medians of alternating runs. [`budgets.rs`](tests/budgets.rs) limits the
instructions and the system calls of the same runs.
"""

IN_THE_WAY = """## Why targets are not met

- **Instructions over TLS, and allocations.** Encrypting the request and decrypting the reply takes
  10,000 instructions of a call. More than half of the rest are ureq's, which makes a map of the
  reply's headers. The target for allocations was 20 at most; ureq alone makes more.
  [`PROFILE.md`](benches/PROFILE.md), which `make profile` writes, shows where they are made, and
  [`budgets.rs`](tests/budgets.rs) limits a call to the current figures.
- **Calls a second from 8 threads.** The server and the system use their share of the processors,
  whatever the client does: {server} µs of each call over plain HTTP for the server, {floor} µs for
  the bare socket. The library takes {own} µs in addition, and libcurl {other} µs, which is {times}
  times as much. No thread waits for a lock: eight threads that share a client make as few system
  calls per call as one, which `budgets.rs` checks, too.
"""


@dataclass(frozen=True)
class Context:
    """What a report needs in addition to the figures."""

    versions: dict[str, str]
    groups: list[Group]
    record: Record
    idle_pools: dict[tuple[int, int], list[tuple[float, float]]]
    """By the number of threads and connections: the processor time of a call, and the calls per
    second, of each run.
    """

    roots: int
    rounds: int
    counted: tuple[int, int]
    server_cost: dict[str, float]
    """The server's processor time for a request, in seconds."""


def write(context: Context, report: Path, plot: Path, readme: Path | None) -> None:
    """Writes the report. If `readme` is given, its most informative rows are written there between
    two comments.
    """
    if readme is not None:
        before, mark, rest = readme.read_text().partition("<!-- make bench -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        readme.write_text("".join([before, mark, telling(context, "processor_us"), end, after]))
    plot.write_text(draw(list(panels(context))))
    few, many = context.counted
    parts = [
        INTRODUCTION.format(
            plot=os.path.relpath(plot, report.parent),
            roots=context.roots,
            rounds=context.rounds,
            few=few,
            many=many,
            difference=many - few,
            nginx=context.versions["nginx"],
            capacity=capacity(context),
        ),
        telling(context),
        f"## Machine\n\n{machine()}\n",
        table(
            ["compared, and with what", "version"],
            ([name, text] for name, text in context.versions.items()),
        ),
        RESULTS,
    ]
    for group in context.groups:
        for scheme in reversed(SCHEMES):
            parts.append(f"### {group.name}, {NAMES[scheme]}\n")
            parts.append(results(context.record, group, scheme))
    parts.append(IDLE_POOLS)
    parts.append(
        table(
            ["threads", "connections", "processor time of a call", "calls a second"],
            idle_pools(context),
        )
    )
    parts.append("## Where another is ahead\n\nBy more than 5 %, not counting the bare socket:\n")
    parts.append(table(["", "", "", "the other", "commbox"], losses(context)))
    parts.append("## Targets\n\nA figure with × is the library's figure divided by the other's.\n")
    parts.append(
        table(
            ["", "", "target", "plain HTTP", "TLS 1.3"],
            targets.rows(context.record, context.groups),
        )
    )
    parts.append(in_the_way(context))
    report.write_text("\n".join(parts).rstrip() + "\n")


def telling(context: Context, only: str | None = None) -> str:
    by_name = {group.name: group for group in context.groups}
    rows = []
    for language, other, key in TELLING:
        group = by_name.get(language)
        if group is not None and only in (None, key):
            compared = next(
                contestant for contestant in group.contestants if contestant.name == other
            )
            own, theirs = (
                context.record.median(group, one, "https", key) or 0
                for one in (group.library, compared)
            )
            measure = BY_KEY[key]
            title = f"{language}: {measure.title[0].lower()}{measure.title[1:]}"
            rows.append(
                [
                    title,
                    measure.text(own),
                    f"{other} {measure.text(theirs)}",
                    f"**{number(theirs / own)}×**",
                ]
            )
    return table(["over TLS 1.3", "commbox", "instead", ""], rows)


def table(heading: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def results(record: Record, group: Group, scheme: str) -> str:
    others = [contestant for contestant in group.contestants[1:] if scheme in contestant.schemes]
    heading = ["", group.library.name]
    for other in others:
        heading += [other.name, "ratio"]
    rows = []
    for measure in MEASURES:
        own = record.median(group, group.library, scheme, measure.key)
        if own is None:
            continue
        row = [measure.heading, measure.text(own)]
        for other in others:
            figure = record.median(group, other, scheme, measure.key)
            row += [
                measure.text(figure),
                "–" if ratio(figure, own) is None else f"**{number(figure / own)}**",
            ]
        rows.append(row)
    return table(heading, rows)


def idle_pools(context: Context) -> Iterator[list[str]]:
    for (threads, connections), runs in context.idle_pools.items():
        processor, rate = (statistics.median(figures) for figures in zip(*runs, strict=True))
        yield [str(threads), f"{connections:,}", f"{number(processor)} µs", number(rate)]


def ratio(other: float | None, own: float | None) -> float | None:
    return other / own if other is not None and own is not None and other > 0 and own > 0 else None


def losses(context: Context) -> Iterator[list[str]]:
    for group in context.groups:
        for other in group.contestants[1:]:
            if not other.is_floor:
                yield from behind(context.record, group, other)


def behind(record: Record, group: Group, other: Contestant) -> Iterator[list[str]]:
    for measure in MEASURES:
        for scheme in other.schemes:
            theirs, own = (
                record.median(group, one, scheme, measure.key) for one in (other, group.library)
            )
            found = ratio(theirs, own)
            if found is not None and (1 / found if measure.less_is_better else found) > 1.05:
                title = f"{measure.title}, {NAMES[scheme]}" if measure.by_scheme else measure.title
                yield [group.name, other.name, title, measure.text(theirs), measure.text(own)]


def capacity(context: Context) -> str:
    sentences = []
    for scheme in SCHEMES:
        could, (most, name) = 1 / context.server_cost[scheme], fastest(context, scheme)
        near = "; that is where the server was the limit" if most > 0.9 * could else ""
        sentences.append(
            f"over {NAMES[scheme]} it can answer {could:,.0f} requests a second on a processor of "
            f"its own, and was\nasked for {most:,.0f} at most, by {name}{near}"
        )
    return ";\n".join(sentences) + "."


def fastest(context: Context, scheme: str) -> tuple[float, str]:
    rates = [
        (
            context.record.median(group, contestant, scheme, f"rate_{threads}") or 0,
            f"{contestant.name} in {group.name}",
        )
        for group in context.groups
        for contestant in group.contestants
        if not contestant.is_floor
        for threads in (1, 8, 64)
    ]
    return max(rates)


def in_the_way(context: Context) -> str:
    group = next(group for group in context.groups if group.name == "C")
    own, other, floor = (
        context.record.median(group, contestant, "http", "processor_us") or 0
        for contestant in group.contestants
    )
    return IN_THE_WAY.format(
        server=number(context.server_cost["http"] * 1e6),
        floor=number(floor),
        own=number(own - floor),
        other=number(other - floor),
        times=number((other - floor) / (own - floor)),
    )


def machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in open("/proc/cpuinfo")
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    processors = len(os.sched_getaffinity(0))
    return f"{model}, {processors} processors, Linux {platform.release()}, {distribution()}."


def distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "an unknown distribution"


def panels(context: Context) -> Iterator[Panel]:
    for key in PLOTTED:
        measure = BY_KEY[key]
        groups = {}
        for group in context.groups:
            bars = list(bars_of(context.record, group, key))
            if bars:
                groups[group.name] = bars
        better = "less is better" if measure.less_is_better else "more is better"
        yield Panel(f"{measure.title}, TLS 1.3: {better}", groups)


def bars_of(record: Record, group: Group, key: str) -> Iterator[Bar]:
    own = record.median(group, group.library, "https", key)
    for contestant in group.contestants:
        figure = record.median(group, contestant, "https", key)
        if figure is not None:
            compared = (
                "" if contestant is group.library else f" ({number(figure / own)}×)" if own else ""
            )
            text = BY_KEY[key].text(figure) + compared
            yield Bar(contestant.name, max(figure, 0), text, contestant is group.library)
