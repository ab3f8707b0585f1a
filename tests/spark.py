"""Runs the tests of commbox.spark with each version of Spark: all with the newest one, and those
that depend on the version with the oldest. `make test-spark` starts it, and has made the
environments.

    spark.py ENVIRONMENT…    the folders of the environments, the newest version first

With CI set, what cannot be run is a failure.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from run import ROOT, Report


def main(environments: list[str]) -> int:
    report = Report()
    java = shutil.which("java") or os.environ.get("JAVA_HOME")
    if not java:
        report.missing.append(
            "the tests of commbox.spark: Java is not installed; they need version 17"
        )
    for number, environment in enumerate(environments if java else []):
        python = str(Path(environment).absolute() / "bin/python")
        tests = [python, "-m", "pytest", "-p", "no:cacheprovider", "bindings/python/tests_spark"]
        report.suite(
            f"Spark, {Path(environment).name}",
            [*tests, "--durations", "8", *(["-m", "not once"] if number else [])],
            PYTHONPATH=str(ROOT / "bindings/python/src"),
            PYTHONDONTWRITEBYTECODE="1",
            PYSPARK_PYTHON=python,
        )
    return report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
