"""Runs the fuzz targets, two at a time, from the committed corpus and seeds made of the conformance
cases.

fuzz/run.py [--seconds N] [TARGET...]  fuzzes N seconds each; a crash ends it and its input is kept
fuzz/run.py --minimise [TARGET...]     adds findings to the corpus, in as few files as possible

It needs the fuzzer, which `make fuzz` installs into target/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "fuzz"
BUILT = ROOT / "target" / "fuzz"
TARGETS = ["body", "reply", "options", "call"]
LONGEST = 4096
MOST_FILES = 45
"""Maximum number of inputs of a target in the repository."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the fuzz targets.")
    parser.add_argument("--seconds", type=int, default=600, help="how long each target runs")
    parser.add_argument(
        "--minimise", action="store_true", help="renew the corpus in place of fuzzing"
    )
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help=f"of {', '.join(TARGETS)}; all if none is named",
    )
    arguments = parser.parse_args()
    targets = arguments.targets or TARGETS
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(unknown)}")

    cargo = os.environ.get("CARGO", "cargo")
    # Building would silently update a stale lock file.
    locked = [
        cargo,
        "metadata",
        "--locked",
        "--format-version=1",
        f"--manifest-path={FUZZ / 'Cargo.toml'}",
    ]
    subprocess.run(locked, stdout=subprocess.DEVNULL, check=True)
    # No sanitizer: the compiler's checks suffice, since the library is safe Rust except for a few
    # system calls.
    subprocess.run(
        [cargo, "fuzz", "build", "--sanitizer", "none", "--target-dir", str(BUILT)],
        cwd=ROOT,
        check=True,
    )
    write_seeds()
    if arguments.minimise:
        for target in targets:
            minimise(target)
        return 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = list(pool.map(lambda target: fuzz(target, arguments.seconds), targets))
    crashed = [target for target, executions in zip(targets, runs) if executions is None]
    if crashed:
        print(f"fuzzing: a crash in {', '.join(crashed)}")
        return 1
    print(f"fuzzing: {len(runs)} targets, {sum(filter(None, runs))} executions, no crash")
    return 0


def program(target: str) -> str:
    (built,) = BUILT.glob(f"*/release/{target}")
    return str(built)


def inputs(target: str) -> list[str]:
    """Returns the folders of the inputs. The first one receives new findings."""
    found = BUILT / "found" / target
    found.mkdir(parents=True, exist_ok=True)
    given = [FUZZ / "corpus" / target, FUZZ / "regressions" / target, BUILT / "seeds" / target]
    return [str(directory) for directory in [found, *given] if directory.is_dir()]


def fuzz(target: str, seconds: int) -> int | None:
    """Fuzzes one target, and returns the number of executions; None if it crashed."""
    crashes = BUILT / "crashes" / target
    crashes.mkdir(parents=True, exist_ok=True)
    log = BUILT / f"{target}.log"
    with log.open("w+", encoding="utf-8", errors="replace") as output:
        limits = [
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST}",
            "-timeout=10",
            "-rss_limit_mb=1024",
        ]
        options = [*limits, "-print_final_stats=1", f"-artifact_prefix={crashes}/"]
        done = subprocess.run(
            [program(target), *options, *inputs(target)], stdout=output, stderr=output
        )
        output.seek(0)
        said = output.read()
    executions = re.search(r"^stat::number_of_executed_units: (\d+)", said, re.M)
    if done.returncode == 0 and executions and int(executions[1]):
        coverage = re.findall(r" cov: (\d+) ", said)[-1]
        print(
            f"{target}: {executions[1]} executions in {seconds} s, {coverage} edges covered, "
            "no crash",
            flush=True,
        )
        return int(executions[1])
    print(f"{target}: CRASHED ({done.returncode}); the end of {log}:\n{said[-3000:]}", flush=True)
    for path in re.findall(r"Test unit written to (\S+)", said):
        kept = FUZZ / "regressions" / target / Path(path).name
        print(f"keep it as a test: install -Dm644 {path} {kept}", flush=True)
    return None


def minimise(target: str) -> None:
    corpus, smaller, control = (
        FUZZ / "corpus" / target,
        BUILT / "smaller" / target,
        BUILT / f"{target}.features",
    )
    shutil.rmtree(smaller, ignore_errors=True)
    smaller.mkdir(parents=True)
    control.unlink(missing_ok=True)
    # Only consider what is reached. How often it is reached would distinguish thousands of inputs.
    options = [
        "-set_cover_merge=1",
        f"-merge_control_file={control}",
        "-use_counters=0",
        f"-max_len={LONGEST}",
    ]
    subprocess.run(
        [program(target), *options, str(smaller), *inputs(target)], check=True, capture_output=True
    )

    kept = [
        file.read_bytes() for file in most_telling(control.read_text(encoding="utf-8").splitlines())
    ]
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    for content in kept:
        # The fuzzer names its findings this way.
        (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)
    print(f"{target}: {len(kept)} files, {sum(map(len, kept))} bytes")


def most_telling(control: list[str]) -> Iterator[Path]:
    """Yields the inputs that together reach the most, the most informative first, from the fuzzer's
    notes on all inputs.
    """
    files = control[2 : 2 + int(control[0])]
    features = {}
    for line in control[2 + len(files) :]:
        kind, index, *reached = line.split()
        if kind == "FT":
            features[Path(files[int(index)])] = set(reached)
    for _ in range(MOST_FILES):
        best = max(features, key=lambda file: len(features[file]), default=None)
        if best is None or not features[best]:
            return
        told = features.pop(best)
        yield best
        features = {file: reached - told for file, reached in features.items()}


def write_seeds() -> None:
    """Writes one input for each conformance case and target, in the form that the target reads."""
    for target in TARGETS:
        shutil.rmtree(BUILT / "seeds" / target, ignore_errors=True)
        (BUILT / "seeds" / target).mkdir(parents=True)
    for path in sorted((ROOT / "tests" / "cases").glob("*.json")):
        for target, seed in seeds(json.loads(path.read_text(encoding="utf-8"))):
            if len(seed) <= LONGEST:
                (BUILT / "seeds" / target / path.stem).write_bytes(seed)


def seeds(case: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    yield "body", case["body"].encode("utf-8", "surrogatepass")
    if "options" in case:
        yield (
            "options",
            json.dumps(case["options"]).replace("{sandbox}", "http://127.0.0.1:1").encode(),
        )
    script = case.get("script", [])
    if script:
        status, body = script[0].get("status", 200), reply(script[0])
        yield "reply", (status - 100).to_bytes(2, "big") + b"\1" + body
        # The connection closes after each answer.
        yield "call", b"\4\xff" + b"\x1e".join(answer(step) for step in script)


def reply(step: dict[str, Any]) -> bytes:
    default = '{"status":200,"description":"CANARY","response_time":"CANARY","data":{"Id":1}}'
    return str(step.get("body", default)).encode()


def answer(step: dict[str, Any]) -> bytes:
    body = reply(step)
    if step.get("chunked"):
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        length = "Transfer-Encoding: chunked"
    else:
        length = f"Content-Length: {len(body)}"
    headers = {"Server": "CANARY", **step.get("headers", {})}
    lines = [
        f"HTTP/1.1 {step.get('status', 200)} CANARY",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, length, "", ""]).encode() + body


if __name__ == "__main__":
    sys.exit(main())
