"""The examples of docs/spark.md, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from support import CHECKOUT, Sandbox, expected, numbers, running, table

PAGE = (CHECKOUT / "docs/spark.md").read_text(encoding="utf-8")


def examples(section: str) -> list[str]:
    """The examples of a section."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    found: list[str] = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, section
    return found


def test_the_spark_examples_work(
    spark: SparkSession, sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    df = table(spark, 400, 100).selectExpr(
        "row_id",
        "user_id",
        "changed_at",
        "number AS first_name",
        "city",
        "date '1983-01-01' AS born",
    )
    df.write.parquet(str(tmp_path / "customers"))
    names: dict[str, Any] = {"spark": spark, "df": df}
    for section in ("Use", "Columns", "After a failure", "Structured Streaming"):
        for example in examples(section):
            sandbox.reset()
            exec(example.replace("s3://bucket", str(tmp_path)), names)
            assert sandbox.updates() or "read_outcomes" in example or "resume=True" in example, (
                example
            )
    assert "commbox: " in capsys.readouterr().err


@pytest.mark.once
def test_the_dask_recipe_works(spark: SparkSession, sandbox: Sandbox, tmp_path: Path) -> None:
    table(spark, 2000, 500).withColumnRenamed("number", "remarks").write.parquet(
        str(tmp_path / "customers")
    )
    (example,) = examples("Dask")
    program = tmp_path / "recipe.py"
    program.write_text(example.replace("s3://bucket", str(tmp_path)))
    environment = {
        **os.environ,
        "COMMBOX_API_KEY": Sandbox.api_key,
        "COMMBOX_BASE_URL": sandbox.url,
        "DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__ENABLED": "False",
    }
    printed = tmp_path / "printed"
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(program)],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # Processes that it started may outlive it.
        with running(process):
            assert process.wait(240) == 0, printed.read_text()
    assert numbers(sandbox.updates()) == expected(2000, 500)
    assert "2000 updated, 0 not" in printed.read_text()
