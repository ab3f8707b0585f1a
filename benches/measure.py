"""Makes the measurements. If a run lacks a reply, or the server lacks a request, the benchmark
fails.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from contestants import BODY, BUILT, LIBRARY, PYTHON, SCHEMES, Contestant, Group, each
from server import REPLY, Server


@dataclass(frozen=True)
class Plan:
    """The amount of measurements."""

    rounds: int
    share: float
    """The share of the calls of a full run."""

    counted: tuple[int, int]
    """The two lengths of a run. The instructions and system calls of a call follow from their
    difference.
    """

    python_instructions: bool


FULL = Plan(rounds=3, share=1, counted=(50, 150), python_instructions=True)
QUICK = Plan(rounds=1, share=0.05, counted=(20, 60), python_instructions=False)


@dataclass
class Record:
    """All measured figures, by group, contestant, scheme and measure."""

    figures: dict[tuple[str, str, str, str], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(
        self, group: Group, contestant: Contestant, scheme: str, measure: str, figure: float
    ) -> None:
        self.figures[group.name, contestant.name, scheme, measure].append(figure)

    def median(
        self, group: Group, contestant: Contestant, scheme: str, measure: str
    ) -> float | None:
        found = self.figures.get((group.name, contestant.name, scheme, measure))
        return statistics.median(found) if found else None


class Bench:
    def __init__(self, server: Server, groups: list[Group], plan: Plan) -> None:
        self.record = Record()
        self.server_seconds = dict.fromkeys(SCHEMES, 0.0)
        self.server_requests = dict.fromkeys(SCHEMES, 0)
        self._server, self._groups, self._plan = server, groups, plan
        self.idle_pools: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
        self._idle: dict[str, float] = {}
        self._processors = sorted(os.sched_getaffinity(0))
        # Nothing from the caller's environment: no proxies, no certificates, no other library.
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "SSL_CERT_FILE": server.trust,
            "SSL_CERT_DIR": "/nonexistent",
        }

    def contestants(self, scheme: str) -> Iterator[tuple[Group, Contestant]]:
        return (pair for pair in each(self._groups) if scheme in pair[1].schemes)

    def warm_calls(self) -> None:
        """Measures time, processor time and memory of sequential calls, and the rate with 8 and 64
        threads.
        """
        for number in range(self._plan.rounds):
            for scheme in SCHEMES:
                for threads in (1, 8, 64):
                    say(f"round {number + 1} of {self._plan.rounds}: {scheme}, {threads} threads")
                    for group, contestant in self.contestants(scheme):
                        self._warm_calls(group, contestant, scheme, threads)

    def _warm_calls(self, group: Group, contestant: Contestant, scheme: str, threads: int) -> None:
        calls = max(1, round(group.calls * self._plan.share / threads)) * threads
        warmup = max(1, round(group.warmup * self._plan.share / threads))
        seconds, requests = self._server.processor_seconds(), threads * warmup + calls
        # One thread and the server wait for each other, so sharing a processor costs nothing. On
        # separate processors, each call would wake two idle ones, which takes longer than the call
        # itself and differs between machines.
        with self._on(self._processors[-1:] if threads == 1 else self._processors):
            figures = self._run(group, contestant, scheme, threads, warmup, calls)
        self.server_seconds[scheme] += self._server.processor_seconds() - seconds
        self.server_requests[scheme] += requests

        def add(measure: str, figure: float) -> None:
            self.record.add(group, contestant, scheme, measure, figure)

        add(f"rate_{threads}", calls / figures["seconds"])
        if threads == 1:
            add("median_us", figures["median_us"])
            add("p99_us", figures["p99_us"])
            add("processor_us", figures["processor_seconds"] / calls * 1e6)
            add("opened_us", figures["opened_us"])
            add("memory_kb", figures["peak_kb"] - self._idle_memory(group))

    def first_answers(self) -> None:
        """Measures the time from the start of a process to its first reply."""
        say("first answers")
        for _ in range(3 * self._plan.rounds):
            for group, contestant in self.contestants("https"):
                began = time.time()
                figures = self._run(group, contestant, "https", 1, 1, 0)
                self.record.add(
                    group, contestant, "https", "first_ms", (figures["answered_at"] - began) * 1e3
                )

    def idle_connections(self) -> None:
        """Measures memory while 16 threads and their connections are idle, after enough calls that
        all of them were used.
        """
        say("16 idle connections")
        for scheme in SCHEMES:
            for group, contestant in self.contestants(scheme):
                figures = self._run(group, contestant, scheme, 16, 100, 0)
                held = figures["resident_kb"] - self._idle_memory(group)
                self.record.add(group, contestant, scheme, "memory_16_kb", held)

    def idle_pool(self) -> None:
        """Measures a call in C while connections of the client are idle, from one thread and from
        eight.
        """
        say("many idle connections")
        for _ in range(3 * self._plan.rounds):
            for threads, numbers in IDLE_POOL.items():
                with self._on(self._processors[-1:] if threads == 1 else self._processors):
                    for number in numbers:
                        self.idle_pools[threads, number].append(self._beside_idle(threads, number))

    def _beside_idle(self, threads: int, connections: int) -> tuple[float, float]:
        """Returns the processor time of a call, in microseconds, and the calls per second."""
        calls = round(12000 * self._plan.share) // threads * threads
        seen, url = self._server.requests(), self._server.urls["http"]
        command = [BUILT / "c/warm_calls", "idle", str(calls), url, str(connections), str(threads)]
        # Makes as many concurrent calls as connections are needed, and answers none until all have
        # a connection.
        with self._server.halted():
            program = subprocess.Popen(
                command, env=self._environment, stdout=subprocess.PIPE, text=True
            )
            while program.poll() is None and sockets_of(program.pid) < connections:
                time.sleep(0.01)
        told, _ = program.communicate()
        seen = self._server.requests() - seen
        if program.returncode or seen != connections + calls:
            raise SystemExit(
                f"{command}: exit status {program.returncode}, and the server saw {seen} requests"
            )
        processor, passed = map(float, told.split())
        return processor, 1e6 / passed

    def imports(self) -> None:
        """Measures the time to import the package in a Python process that has imported nothing
        else.
        """
        for _ in range(3 * self._plan.rounds):
            for group, contestant in self.contestants("https"):
                if contestant.package:
                    code = f"import time; t = time.perf_counter(); import {contestant.package}; "
                    code += "print((time.perf_counter() - t) * 1e3)"
                    taken = float(self._output([str(PYTHON), "-c", code]))
                    self.record.add(group, contestant, "https", "import_ms", taken)

    def counts(self) -> None:
        """Counts instructions and system calls. The counts do not depend on time, so runs may be
        concurrent.
        """
        say("instructions and system calls")
        with ThreadPoolExecutor(len(self._processors)) as pool:
            jobs = []
            reading = {
                group.name: self._count_reading(group) for group in self._groups if group.reading
            }
            for scheme in SCHEMES:
                for group, contestant in self.contestants(scheme):
                    jobs.append(pool.submit(self._count_system_calls, group, contestant, scheme))
                    if self._counts_instructions(group, scheme):
                        jobs.append(
                            pool.submit(self._count_instructions, group, contestant, scheme)
                        )
            for job in jobs:
                job.result()
        for scheme in SCHEMES:
            for group, contestant in self.contestants(scheme):
                if group.name in reading:
                    whole = self.record.median(group, contestant, scheme, "instructions") or 0
                    self.record.add(
                        group, contestant, scheme, "call_instructions", whole - reading[group.name]
                    )

    def _counts_instructions(self, group: Group, scheme: str) -> bool:
        if "Python" in group.name:
            # Starting Python under valgrind takes long.
            return self._plan.python_instructions and scheme == "http"
        return group.counts_instructions

    def _count_instructions(self, group: Group, contestant: Contestant, scheme: str) -> None:
        def count(calls: int) -> int:
            return collected(self._result(group, contestant, scheme, 1, 5, calls, CALLGRIND).stderr)

        few, many = self._plan.counted
        instructions = (count(many) - count(few)) / (many - few)
        self.record.add(group, contestant, scheme, "instructions", instructions)

    def _count_reading(self, group: Group) -> float:
        """Returns the instructions for reading a reply and for the clock, which are the same for
        every contestant of the group.
        """

        def count(calls: int) -> int:
            command = [*CALLGRIND, *group.reading, "", "", "1", "5", str(calls), REPLY]
            return collected(
                subprocess.run(command, check=True, capture_output=True, text=True).stderr
            )

        few, many = self._plan.counted
        return (count(many) - count(few)) / (many - few)

    def _count_system_calls(self, group: Group, contestant: Contestant, scheme: str) -> None:
        def count(warmup: int, calls: int) -> int:
            with tempfile.NamedTemporaryFile("r") as summary:
                prefix = ["strace", "-f", "-c", "-U", "calls,name", "-o", summary.name]
                self._result(group, contestant, scheme, 1, warmup, calls, prefix)
                made = {
                    name: int(number)
                    for number, name in re.findall(r"^ *(\d+) (\w+)$", summary.read(), re.M)
                }
            # A yielding thread is waiting; the number of yields only depends on timing.
            return made["total"] - made.get("sched_yield", 0)

        few, many = (group.longer_for_system_calls * calls for calls in self._plan.counted)
        warmup = max(1, round(group.warmup * self._plan.share))
        system_calls = (count(warmup, many) - count(warmup, few)) / (many - few)
        self.record.add(group, contestant, scheme, "system_calls", system_calls)
        if scheme == "https":
            self.record.add(group, contestant, scheme, "first_system_calls", count(1, 0))

    def _idle_memory(self, group: Group) -> float:
        if group.name not in self._idle:
            peaks = [json.loads(self._output(list(group.idle)))["peak_kb"] for _ in range(3)]
            self._idle[group.name] = statistics.median(peaks)
        return self._idle[group.name]

    def _run(
        self,
        group: Group,
        contestant: Contestant,
        scheme: str,
        threads: int,
        warmup: int,
        calls: int,
    ) -> dict[str, float]:
        seen = self._server.requests()
        result = self._result(group, contestant, scheme, threads, warmup, calls)
        seen = self._server.requests() - seen
        if seen != threads * warmup + calls:
            raise SystemExit(f"{group.name}, {contestant.name}: the server saw {seen} requests")
        return json.loads(result.stdout)

    def _result(
        self,
        group: Group,
        contestant: Contestant,
        scheme: str,
        threads: int,
        warmup: int,
        calls: int,
        prefix: list[str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        trust = self._server.trust if scheme == "https" else ""
        arguments = [self._server.urls[scheme], trust, str(threads), str(warmup), str(calls), BODY]
        command = [*(prefix or []), *contestant.command, *arguments]
        # Without close_fds, Python starts it by vfork(), whose cost does not depend on the size of
        # this process.
        result = subprocess.run(
            command,
            env=self._environment_of(group),
            capture_output=True,
            text=True,
            close_fds=False,
        )
        wanted = threads * warmup + calls
        if result.returncode != 0 or json.loads(result.stdout)["succeeded"] != wanted:
            words = (
                f"{group.name}, {contestant.name}, {scheme}: not {wanted} calls that succeeded "
                f"(exit status {result.returncode})"
            )
            raise SystemExit(f"{words}\n{result.stdout}{result.stderr}")
        return result

    def _environment_of(self, group: Group) -> dict[str, str]:
        # The Python package contains the library.
        return (
            {**self._environment, "COMMBOX_LIBRARY": str(LIBRARY)}
            if group.name == "C#"
            else self._environment
        )

    def _output(self, command: list[str]) -> str:
        return subprocess.run(
            command, env=self._environment, check=True, capture_output=True, text=True
        ).stdout

    @contextmanager
    def _on(self, processors: list[int]) -> Iterator[None]:
        """Restricts the server, and programs that are started meanwhile, to these processors."""
        for pid in (0, self._server.pid):
            os.sched_setaffinity(pid, processors)
        try:
            yield
        finally:
            for pid in (0, self._server.pid):
                os.sched_setaffinity(pid, self._processors)


# The numbers of idle connections, by the number of threads.
IDLE_POOL = {1: (1, 1000), 8: (8, 100)}


def sockets_of(pid: int) -> int:
    names = (
        os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()
    )
    return sum(name.startswith("socket:") for name in names)


CALLGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]


def collected(words: str) -> int:
    found = re.search(r"Collected : (\d+)", words)
    if found is None:
        raise SystemExit(f"valgrind counted nothing: {words}")
    return int(found[1])


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)
