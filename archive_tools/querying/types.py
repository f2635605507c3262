"""Trino's types: how they are spelled, which of them mix, and what DuckDB calls each."""

from dataclasses import dataclass
from typing import Any

_INTEGERS = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
"""Digits that each of them has as a decimal."""

_NUMBERS = [*_INTEGERS, "decimal", "double"]
_TIMES = ["date", "timestamp", "timestamp with time zone"]

_DUCKDB = {
    "varbinary": "BLOB",
    "timestamp": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMPTZ",
    "interval day to second": "INTERVAL",
    "interval year to month": "INTERVAL",
    "unknown": "VARCHAR",
}


@dataclass(frozen=True)
class Type:
    """A type. `args` are precision and scale, the zone, the parts of a nested type, or nothing."""

    name: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        """Return the type as Trino spells it."""
        match self.name, self.args:
            case "timestamp with time zone", _:
                return "timestamp(3) with time zone"
            case "row", fields:
                return f"row({', '.join(f'{name} {type_}' for name, type_ in fields)})"
            case name, ():
                return name
            case name, args:
                return f"{name}({','.join(map(str, args))})"

    @property
    def duckdb(self) -> str:
        """DuckDB's name of the type."""
        match self.name, self.args:
            case "array", (of,):
                return f"{of.duckdb}[]"
            case "map", (key, value):
                return f"MAP({key.duckdb}, {value.duckdb})"
            case "row", fields if not fields[0][0]:
                return f"TUPLE({', '.join(of.duckdb for _, of in fields)})"
            case "row", fields:
                return f"STRUCT({', '.join(f'{quoted(n)} {t.duckdb}' for n, t in fields)})"
            case "decimal", (precision, scale):
                return f"DECIMAL({precision},{scale})"
        return _DUCKDB.get(self.name, self.name.upper())

    @property
    def is_integer(self) -> bool:
        """Whether it is one of the four types of whole numbers."""
        return self.name in _INTEGERS

    @property
    def is_number(self) -> bool:
        """Whether it can be calculated with."""
        return self.name in _NUMBERS

    @property
    def is_time(self) -> bool:
        """Whether it is a date or a timestamp."""
        return self.name in _TIMES

    @property
    def is_interval(self) -> bool:
        """Whether it is one of the two kinds of intervals."""
        return self.name.startswith("interval")

    @property
    def as_decimal(self) -> tuple[int, int]:
        """Precision and scale of the decimal that a whole number or a decimal fits into."""
        return self.args if self.name == "decimal" else (_INTEGERS[self.name], 0)


@dataclass(frozen=True)
class Typed:
    """An expression of DuckDB's and its type."""

    sql: str
    type: Type


UNKNOWN = Type("unknown")
BOOLEAN = Type("boolean")
INTEGER = Type("integer")
BIGINT = Type("bigint")
DOUBLE = Type("double")
VARCHAR = Type("varchar")
VARBINARY = Type("varbinary")
DATE = Type("date")
JSON = Type("json")
DAYS = Type("interval day to second")
MONTHS = Type("interval year to month")


def timestamp(precision: int = 3) -> Type:
    """Return the type of a time without a zone."""
    return Type("timestamp", (precision,))


def zoned(zone: str = "UTC") -> Type:
    """Return the type of an instant; the zone is the one in which it is shown."""
    return Type("timestamp with time zone", (zone,))


def array(of: Type) -> Type:
    """Return the type of a list."""
    return Type("array", (of,))


def decimal(precision: int, scale: int) -> Type:
    """Return a decimal's type, with the 38 digits at most that Trino has."""
    return Type("decimal", (min(38, precision), scale))


def quoted(name: str) -> str:
    """Return an identifier as DuckDB takes it whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(value: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def common(left: Type, right: Type) -> Type | None:
    """Return the type to which Trino converts both by itself, None where it refuses.

    https://trino.io/docs/current/language/types.html
    """
    if left == right or right == UNKNOWN:
        return left
    if left == UNKNOWN:
        return right
    if left.is_number and right.is_number:
        return _common_number(left, right)
    if left.is_time and right.is_time:
        later = max(left, right, key=lambda type_: _TIMES.index(type_.name))
        if left.name == right.name == "timestamp":
            return max(left, right, key=lambda type_: int(type_.args[0]))
        return later if left.name != right.name else zoned()
    if left.name == right.name and left.name in ("array", "map"):
        parts = [common(a, b) for a, b in zip(left.args, right.args, strict=True)]
        return Type(left.name, tuple(parts)) if None not in parts else None
    if left.name == right.name == "row" and len(left.args) == len(right.args):
        of = [common(a, b) for (_, a), (_, b) in zip(left.args, right.args, strict=True)]
        fields = zip(left.args, of, strict=True)
        return Type("row", tuple((n, t) for (n, _), t in fields)) if None not in of else None
    return None


def _common_number(left: Type, right: Type) -> Type:
    if not (left.is_integer and right.is_integer) and {left.name, right.name} <= {
        *_INTEGERS,
        "decimal",
    }:
        (p1, s1), (p2, s2) = left.as_decimal, right.as_decimal
        return decimal(max(p1 - s1, p2 - s2) + max(s1, s2), max(s1, s2))
    return max(left, right, key=lambda type_: _NUMBERS.index(type_.name))
