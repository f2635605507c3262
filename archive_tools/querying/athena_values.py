"""What Athena gives as text, as the values of Python that it means."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from mypy_boto3_athena.type_defs import ColumnInfoTypeDef


def _moment(text: str) -> datetime:
    """Return a time; one with a zone, as in `2026-11-23 10:00:00.000 UTC`, in UTC without it."""
    day, clock, *zone = text.split(" ")
    moment = datetime.fromisoformat(f"{day} {clock}")
    if not zone:
        return moment
    return moment.replace(tzinfo=ZoneInfo(zone[0])).astimezone(UTC).replace(tzinfo=None)


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), int),
    **dict.fromkeys(("float", "real", "double"), float),
    **dict.fromkeys(("timestamp", "timestamp with time zone"), _moment),
    "boolean": "true".__eq__,
    "date": date.fromisoformat,
    "decimal": Decimal,
}

_DUCKDB_TYPES = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint", "boolean", "date"), ""),
    **dict.fromkeys(("float", "real"), "FLOAT"),
    **dict.fromkeys(("timestamp", "timestamp with time zone"), "TIMESTAMP_MS"),
    "double": "DOUBLE",
}


def value(type_: str, text: str | None) -> Any:
    """Return a value by the type that Athena names, NULL as None. What has no type stays text.

    https://docs.aws.amazon.com/athena/latest/APIReference/API_ColumnInfo.html
    """
    convert = _CONVERTERS.get(type_)
    return text if text is None or convert is None else convert(text)


def duckdb_type(column: "ColumnInfoTypeDef") -> str:
    """Return DuckDB's type for a column of Athena's."""
    type_ = column["Type"]
    if type_ == "decimal":
        return f"DECIMAL({column.get('Precision', 38)},{column.get('Scale', 0)})"
    return _DUCKDB_TYPES.get(type_, "VARCHAR") or type_.upper()
