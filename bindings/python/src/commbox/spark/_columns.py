"""From the columns of a DataFrame to the rows that are sent: their types are checked, and JSON is
written by Spark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql import types as T  # noqa: N812

from .._fields import invalid

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
TEXT = (T.StringType, T.CharType, T.VarcharType, T.NullType)
TIMES = (T.TimestampType, T.TimestampNTZType)
ORDERED = (
    *WHOLE,
    *TIMES,
    T.StringType,
    T.DateType,
    T.DecimalType,
    T.FloatType,
    T.DoubleType,
    T.BooleanType,
)
"""Types by which rows can be ordered, and which outcomes can hold."""

CONTENT = "Content"
WITHOUT_FIELDS = ("{}", '{"Content":{}}')


class Given(NamedTuple):
    """What a caller says of the columns."""

    id: Union[Column, str]
    key: Union[Column, str]
    fields: Optional[Mapping[str, Union[Column, str]]]
    user: Union[Column, str, None]
    order_by: Union[Column, str, Sequence[Union[Column, str]], None]
    nulls: str


class Found(NamedTuple):
    """A column, and how messages name it."""

    column: Column
    type: T.DataType
    name: str
    label: str
    """Such as ``column "user_id" (id)``."""
    code: str
    """How a program writes it, such as ``F.col("user_id")``."""


class Columns:
    """The rows to send: ``key``, ``id``, ``user`` (JSON text; NULL if there is nothing to send) and
    ``position`` (what orders the rows of a user).

    Raises:
        ValidationError: Columns that are not what they must be; all are named at once.
    """

    def __init__(self, df: DataFrame, given: Given) -> None:
        check_frame(df)
        if (given.fields is None) == (given.user is None):
            raise invalid(
                -1, "give the columns of the fields as fields, or the column of all fields as user"
            )
        if given.nulls not in ("omit", "send"):
            raise invalid(-1, f'nulls must be "omit" or "send", not {given.nulls!r}')
        self._problems: list[str] = []
        self._df = df
        self._omit = given.nulls == "omit"
        self.names: dict[str, Any] = {}
        """A user with all fields that the columns name."""
        self.id = self._whole(self._find(given.id, "id"), "bigint")
        self.key = self._key(self._find(given.key, "key"))
        position = self._position(given.order_by)
        text = (
            self._fields(given.fields)
            if given.fields is not None
            else self._user(given.user, given.nulls)
        )
        if self._problems:
            raise invalid(-1, "; ".join(self._problems))
        self.frame = df.select(
            self.key.column.alias("key"),
            self.id.column.cast("long").alias("id"),
            text.alias("user"),
            position,
        )
        self.key_type = self.frame.schema["key"].dataType
        self.position_type = self.frame.schema["position"].dataType

    def _find(self, given: Union[Column, str], what: str) -> Found:
        if not isinstance(given, (str, Column)):
            raise TypeError(
                f"{what} must be the name of a column or a Column, not {type(given).__name__}"
            )
        column = F.col(given) if isinstance(given, str) else given
        # Spark says which columns there are, if it has none of this name.
        found = self._df.select(column).schema.fields
        if len(found) != 1:
            raise invalid(-1, f"{what} must be one column, and names {len(found)}")
        name = found[0].name
        is_column = isinstance(given, str) or name in self._df.columns
        code = (
            f"F.col({json.dumps(given if isinstance(given, str) else name)})" if is_column else "…"
        )
        kind = "column" if is_column else "expression"
        return Found(column, found[0].dataType, name, f'{kind} "{name}" ({what})', code)

    def _whole(self, found: Found, cast: str) -> Found:
        if not isinstance(found.type, WHOLE):
            self._refuse(found, f'{found.code}.cast("{cast}")', "and must be a whole number")
        return found

    def _key(self, found: Found) -> Found:
        if not isinstance(found.type, (*WHOLE, T.StringType)):
            cast = "bigint" if isinstance(found.type, T.DecimalType) else "string"
            self._refuse(
                found, f'{found.code}.cast("{cast}")', "and must be a whole number or a string"
            )
        return found

    def _refuse(self, found: Found, instead: str, rule: str) -> None:
        self._problems.append(
            f"{found.label} is of type {found.type.simpleString()}, {rule}; write {instead}"
        )

    def _position(self, order_by: Union[Column, str, Sequence[Union[Column, str]], None]) -> Column:
        given = [order_by] if isinstance(order_by, (str, Column)) else list(order_by or ())
        members: list[Column] = []
        for found in [self._find(each, "order_by") for each in given] or [self.key]:
            if not isinstance(found.type, ORDERED):
                what = "which Spark does not order, or outcomes cannot hold"
                self._refuse(found, f'{found.code}.cast("string"), or another column', what)
                continue
            # As a number it passes through Python unchanged, whatever the time zone.
            is_time = isinstance(found.type, T.TimestampType)
            column = F.unix_micros(found.column) if is_time else found.column
            members.append(
                column.alias(f"{len(members) + 1}_{re.sub(r'[^0-9A-Za-z_]', '_', found.name)}")
            )
        return F.struct(*members or [F.lit(None)]).alias("position")

    def _fields(self, fields: Mapping[str, Union[Column, str]]) -> Column:
        if not isinstance(fields, Mapping):
            raise TypeError(
                "fields must be a mapping of the API's names to columns, "
                f"not {type(fields).__name__}"
            )
        if not fields:
            raise invalid(-1, "fields names no column")
        plain: list[Column] = []
        custom: list[Column] = []
        for name, given in fields.items():
            if not isinstance(name, str):
                raise TypeError(f"the names of fields must be str, not {type(name).__name__}")
            found = self._find(given, f"fields[{name!r}]")
            if not isinstance(found.type, TEXT):
                self._refuse(found, as_text(found.code, found.type), "and must be a string")
            text = (
                found.column.cast("string") if isinstance(found.type, T.NullType) else found.column
            )
            outer, _, inner = name.partition(".")
            if outer != CONTENT:
                self.names[name] = None
                plain.append(text.alias(name))
            elif inner:
                self.names.setdefault(CONTENT, {})[inner] = None
                custom.append(text.alias(inner))
            else:
                self._problems.append(
                    f'fields[{name!r}] needs the name of a custom field, as "Content.City"'
                )
        if self._problems:
            return F.lit(None)
        if custom:
            content = F.struct(*custom)
            if self._omit:
                content = F.when(F.coalesce(*custom).isNotNull(), content)
            plain.append(content.alias(CONTENT))
        return self._json(F.struct(*plain))

    def _user(self, given: Any, nulls: str) -> Column:
        found = self._find(given, "user")
        if isinstance(found.type, T.StringType):
            if nulls == "send":
                self._problems.append(
                    f"{found.label} is JSON text, which is sent as it is; leave out nulls"
                )
            return found.column
        if not isinstance(found.type, T.StructType):
            self._refuse(found, "F.struct(…) of the fields", "and must be JSON text or a struct")
            return F.lit(None)
        self._problems.extend(struct_problems(found, found.type))
        for member in found.type.fields:
            is_struct = member.name == CONTENT and isinstance(member.dataType, T.StructType)
            self.names[member.name] = dict.fromkeys(member.dataType.names) if is_struct else None
        return self._json(found.column)

    def _json(self, struct: Column) -> Column:
        text = F.to_json(struct, {"ignoreNullFields": "true" if self._omit else "false"})
        return F.when(~text.isin(*WITHOUT_FIELDS), text) if self._omit else text


def check_frame(df: DataFrame) -> None:
    """Refuses what is no DataFrame that can be sent."""
    module = type(df).__module__
    if module.startswith("pyspark.sql.connect"):
        raise TypeError(
            "a DataFrame of Spark Connect cannot be sent: its driver is elsewhere; "
            "run this on the driver of a cluster"
        )
    if not module.startswith("pyspark.sql."):
        raise TypeError(f"df must be a DataFrame of Spark, not {type(df).__name__}")
    if df.isStreaming:
        raise TypeError(
            "df is a stream; use commbox.spark.for_each_batch with its writeStream.foreachBatch"
        )


def as_text(code: str, kind: T.DataType) -> str:
    """How a program writes such a column as text."""
    if isinstance(kind, T.DateType):
        return f'F.date_format({code}, "yyyy-MM-dd")'
    if isinstance(kind, TIMES):
        return f'F.date_format({code}, "yyyy-MM-dd HH:mm:ss")'
    if isinstance(kind, (T.FloatType, T.DoubleType)):
        return f'{code}.cast("decimal(18,2)").cast("string")'
    if isinstance(kind, T.BinaryType):
        return f'F.decode({code}, "UTF-8")'
    if isinstance(kind, (T.StructType, T.ArrayType, T.MapType)):
        return f"F.to_json({code})"
    return f'{code}.cast("string")'


def struct_problems(found: Found, kind: T.StructType) -> Iterator[str]:
    """What in a struct of fields is not what the API takes: text, and in Content what JSON has."""
    for member in kind.fields:
        label = f"{found.label}: {member.name}"
        type_name = member.dataType.simpleString()
        if member.name == CONTENT:
            if isinstance(member.dataType, (T.StructType, T.MapType)):
                yield from _json_problems(label, member.dataType)
            else:
                yield f"{label} is of type {type_name}, and must be a struct or a map"
        elif not isinstance(member.dataType, TEXT):
            instead = as_text(f'F.col("{found.name}.{member.name}")', member.dataType)
            yield f"{label} is of type {type_name}, and must be a string; write {instead}"


def _json_problems(label: str, kind: T.DataType) -> Iterator[str]:
    if isinstance(kind, T.StructType):
        for member in kind.fields:
            yield from _json_problems(f"{label}.{member.name}", member.dataType)
    elif isinstance(kind, T.ArrayType):
        yield from _json_problems(f"{label}[]", kind.elementType)
    elif isinstance(kind, T.MapType):
        if not isinstance(kind.keyType, T.StringType):
            type_name = kind.keyType.simpleString()
            yield f"{label} has keys of type {type_name}, and they must be strings"
        yield from _json_problems(f"{label}.*", kind.valueType)
    elif not isinstance(kind, (*TEXT, *WHOLE, T.BooleanType)):
        type_name, instead = kind.simpleString(), as_text("…", kind)
        yield f"{label} is of type {type_name}, whose text is not defined; write {instead}"
