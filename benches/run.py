"""Sets up the benchmark, measures, and writes the report. `make bench` runs it after building the
library.

With BENCH_QUICK in the environment, it measures little, only to check that everything works, and
writes below target/.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import prepare
import report
from contestants import BUILT, HERE, ROOT, SCHEMES, groups
from measure import FULL, QUICK, Bench, say
from server import Server
from sizes import sizes


def main() -> None:
    quick = bool(os.environ.get("BENCH_QUICK"))
    plan = QUICK if quick else FULL
    say("setting up")
    BUILT.mkdir(parents=True, exist_ok=True)
    prepare.install_packages()
    nginx = prepare.find_nginx()
    prepare.build_c()
    prepare.build_rust()
    prepare.build_python()
    dotnet = prepare.build_csharp()
    compared = groups(dotnet)

    with tempfile.TemporaryDirectory() as folder, Server(nginx, Path(folder)) as server:
        bench = Bench(server, compared, plan)
        bench.warm_calls()
        bench.first_answers()
        bench.idle_connections()
        bench.idle_pool()
        bench.imports()
        bench.counts()
        roots = server.roots
    sizes(bench.record, compared)

    cost = {
        scheme: bench.server_seconds[scheme] / bench.server_requests[scheme] for scheme in SCHEMES
    }
    context = report.Context(
        prepare.versions(nginx, dotnet),
        compared,
        bench.record,
        bench.idle_pools,
        roots,
        plan.rounds,
        plan.counted,
        cost,
    )
    written = BUILT / "BENCHMARKS.md" if quick else ROOT / "BENCHMARKS.md"
    plot = BUILT / "results.svg" if quick else HERE / "results.svg"
    # Keep the section that `make sizes` has written.
    _, begin, kept = (ROOT / "BENCHMARKS.md").read_text().partition("## Size on each platform\n")
    report.write(context, written, plot, None if quick else ROOT / "README.md")
    with written.open("a") as page:
        page.write(f"\n{begin}{kept}" if begin else "")
    say(f"written: {written}")


if __name__ == "__main__":
    main()
