"""From columns to what is sent, and what is refused before anything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from support import Sandbox

from commbox import Client, ValidationError
from commbox.spark import for_each_batch, update_users

SCHEMA = """row_id bigint, user_id int, name string, city string, vip boolean, born date,
    at timestamp, paid decimal(9,2), score double, tags array<string>, json string, code binary,
    text_id string"""
COLUMNS: dict[str, Any] = {"id": "user_id", "key": "row_id", "progress": False}


@pytest.fixture(scope="module")
def df(spark: SparkSession) -> DataFrame:
    none = (None,) * 7
    rows = [
        (1, 11, "John", "Haifa", True, *none, "1"),
        (2, 12, None, "עכו", False, *none, "2"),
        (3, 13, 'a "b" \\ \n', None, None, *none, "3"),
        (4, 14, None, None, None, *none, "x"),
    ]
    return spark.createDataFrame(rows, SCHEMA).coalesce(1)


def sent(sandbox: Sandbox) -> dict[int, dict[str, Any]]:
    return dict(sandbox.updates())


def test_null_is_omitted(df: DataFrame, sandbox: Sandbox, path: Path) -> None:
    outcomes = update_users(
        df, path, **COLUMNS, fields={"FirstName": "name", "Content.City": "city"}
    )
    assert sent(sandbox) == {
        11: {"FirstName": "John", "Content": {"City": "Haifa"}},
        12: {"Content": {"City": "עכו"}},
        13: {"FirstName": 'a "b" \\ \n'},
    }
    # Nothing is to be sent for the last one.
    shown = (
        outcomes.select("key", "ok", "code", "name", "delivery", "attempts")
        .orderBy("key")
        .collect()
    )
    assert [tuple(row) for row in shown[2:]] == [
        (3, True, 0, "ok", "answered", 1),
        (4, True, None, "empty", "not_sent", 0),
    ]


def test_null_is_sent_as_null(df: DataFrame, sandbox: Sandbox, path: Path) -> None:
    fields = {
        "FirstName": "name",
        "Content.City": F.upper("city"),
        "Content.Source": F.lit("spark"),
    }
    update_users(df, path, **COLUMNS, fields=fields, nulls="send")
    assert sent(sandbox) == {
        11: {"FirstName": "John", "Content": {"City": "HAIFA", "Source": "spark"}},
        12: {"FirstName": None, "Content": {"City": "עכו", "Source": "spark"}},
        13: {"FirstName": 'a "b" \\ \n', "Content": {"City": None, "Source": "spark"}},
        14: {"FirstName": None, "Content": {"City": None, "Source": "spark"}},
    }


def test_json_text_is_sent_unchanged(df: DataFrame, sandbox: Sandbox, path: Path) -> None:
    text = F.when(F.col("row_id") == 1, F.lit('{"data": {"Content":{"Size":1.50}}}'))
    text = text.when(F.col("row_id") == 2, F.lit('{"Email": null}')).when(
        F.col("row_id") == 3, F.lit("{")
    )
    outcomes = update_users(df, path, **COLUMNS, user=text)
    assert sent(sandbox) == {11: {"Content": {"Size": 1.5}}, 12: {"Email": None}}
    names = {row.key: (row.ok, row.name, row.delivery) for row in outcomes.collect()}
    assert names[3] == (False, "invalid_user", "not_sent")
    assert names[4] == (True, "empty", "not_sent")


def test_a_struct(df: DataFrame, sandbox: Sandbox, path: Path) -> None:
    content = F.struct(
        F.col("city").alias("City"), F.col("vip").alias("VIP"), F.col("row_id").alias("Size")
    )
    user = F.struct(F.col("name").alias("FirstName"), content.alias("Content"))
    update_users(df.where("row_id < 3"), path, **COLUMNS, user=user)
    assert sent(sandbox) == {
        11: {"FirstName": "John", "Content": {"City": "Haifa", "VIP": True, "Size": 1}},
        12: {"Content": {"City": "עכו", "VIP": False, "Size": 2}},
    }


FIELDS = {"FirstName": "name"}


def wrong_arguments() -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Arguments, and what a message says of them. Expressions can be made only when there is a
    session."""
    few = F.when(F.col("row_id") > 2, F.col("user_id"))
    same = F.when(F.col("row_id") > 2, 5).otherwise(F.col("row_id"))
    content = F.struct(F.struct("score").alias("Content"))
    return {
        "text as id": (
            {"id": "text_id"},
            ['"text_id" (id) is of type string', 'F.col("text_id").cast("bigint")'],
        ),
        "decimal as id": (
            {"id": "paid"},
            ['"paid" (id) is of type decimal(9,2), and must be a whole number'],
        ),
        "time as key": (
            {"key": "at"},
            ['"at" (key) is of type timestamp', 'F.col("at").cast("string")'],
        ),
        "number": (
            {"fields": {"Email": "user_id"}},
            ["\"user_id\" (fields['Email']) is of type int", "string"],
        ),
        "boolean": (
            {"fields": {"Content.VIP": "vip"}},
            ["(fields['Content.VIP']) is of type boolean", "string"],
        ),
        "all at once": (
            {
                "fields": {
                    "Content.Born": "born",
                    "Content.Paid": "paid",
                    "Content.S": "score",
                    "Content.At": "at",
                }
            },
            [
                'F.date_format(F.col("born"), "yyyy-MM-dd")',
                'F.col("paid").cast("string")',
                'F.col("score").cast("decimal(18,2)").cast("string")',
                'F.date_format(F.col("at"), "yyyy-MM-dd HH:mm:ss")',
            ],
        ),
        "array": ({"fields": {"Content.Tags": "tags"}}, ['write F.to_json(F.col("tags"))']),
        "binary": (
            {"fields": {"Content.Code": "code"}},
            ['write F.decode(F.col("code"), "UTF-8")'],
        ),
        "expression": (
            {"fields": {"Content.Y": F.year("born")}},
            ['expression "year(born)"', '….cast("string")'],
        ),
        "Content alone": (
            {"fields": {"Content": "city"}},
            ["fields['Content'] needs the name of a custom field"],
        ),
        "name": ({"fields": {"First_Name": "name"}}, ["First_Name", "FirstName"]),
        "no field": ({"fields": {}}, ["fields names no column"]),
        "neither": (
            {"fields": None},
            ["give the columns of the fields as fields, or the column of all fields as"],
        ),
        "both": ({"user": "json"}, ["give the columns of the fields as fields, or"]),
        "order": ({"order_by": ["at", "tags"]}, ['"tags" (order_by) is of type array<string>']),
        "nulls": ({"nulls": "null"}, ['nulls must be "omit" or "send", not \'null\'']),
        "nulls of JSON": (
            {"fields": None, "user": "json", "nulls": "send"},
            ['"json" (user) is JSON text'],
        ),
        "user": (
            {"fields": None, "user": "vip"},
            ['"vip" (user) is of type boolean, and must be JSON text or a'],
        ),
        "date in user": (
            {"fields": None, "user": F.struct("born")},
            ["born is of type date, and must be a string;"],
        ),
        "name in user": ({"fields": None, "user": F.struct("name")}, ["name", "FirstName"]),
        "number in Content": (
            {"fields": None, "user": content},
            ["Content.score is of type double, whose text is"],
        ),
        "chunk": ({"chunk": 1}, ["chunk must be 2 to 1000000, not 1"]),
        "concurrency": ({"concurrency": 0}, ["concurrency"]),
        "rate": ({"max_requests_per_second": -1}, ["max_requests_per_second"]),
        "NULL as id": (
            {"id": few.alias("a")},
            ['"a" (id) is NULL in 2 rows; leave them out: df.where('],
        ),
        "NULL as key": (
            {"key": F.lit(None).cast("int").alias("k")},
            ['"k" (key) is NULL in 4 rows'],
        ),
        "one key twice": (
            {"key": same.alias("k")},
            ['"k" (key) has 1 value that more than one row has'],
        ),
    }


def test_wrong_arguments_are_reported_and_nothing_is_sent(
    df: DataFrame, sandbox: Sandbox, path: Path
) -> None:
    for what, (arguments, parts) in wrong_arguments().items():
        with pytest.raises(ValidationError) as caught:
            update_users(df, path, **{**COLUMNS, "fields": FIELDS, **arguments})
        for part in parts:
            assert part in str(caught.value), what
    assert sandbox.updates() == []
    # Nothing is left that would have to be resumed.
    assert update_users(df, path, **COLUMNS, fields=FIELDS).where("ok").count() == 4


def test_arguments_of_the_wrong_type(df: DataFrame, spark: SparkSession, path: Path) -> None:
    stream = spark.readStream.format("rate").load()
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (df, {"chunk": 1.5}, "chunk must be an int, not float"),
        (df, {"progress": "yes"}, "progress must be True, False or a function"),
        (
            df,
            {"fields": {"FirstName": 7}},
            r"fields\['FirstName'\] must be the name of a column or a Column, not int",
        ),
        (df, {"fields": ["name"]}, "fields must be a mapping"),
        (
            df,
            {"client": Client("key"), "timeout": 5},
            "give either a client, or the options of one: timeout",
        ),
        (stream, {}, "df is a stream; use commbox.spark.for_each_batch"),
        ([(1, {})], {}, "df must be a DataFrame of Spark, not list"),
    ]
    for frame, arguments, message in wrong:
        with pytest.raises(TypeError, match=message):
            update_users(frame, path, **{**COLUMNS, "fields": FIELDS, **arguments})
    with pytest.raises(TypeError, match="needs key"):
        for_each_batch(path, api_key="key", id="a")
    with pytest.raises(TypeError, match="argument 'resume'"):
        for_each_batch(path, api_key="key", id="a", key="b", resume=True)
