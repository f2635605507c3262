"""A field of the payload as a column of an export: where it is, and what type it is to have."""

import re
from dataclasses import dataclass

from ..errors import ToolError

#: Largest Unix time with a year of four digits, as in the view.
_LAST_SECOND = 253_402_300_799

_SEGMENT = r'(?:"[^"\\]+"|[\w-]+)(?:\[\d+\])*'
_FIELD = re.compile(rf"([A-Za-z_]\w*)=({_SEGMENT}(?:\.{_SEGMENT})*)(?::(\w+))?", re.ASCII)

# {text} is a scalar as text, NULL for all else; a cast alone would round 1.5 and take "yes"
_SQL = {
    "string": "{text}",
    "integer": "CASE WHEN regexp_full_match({text}, '-?\\d+') THEN TRY_CAST({text} AS BIGINT) END",
    "decimal": (
        "CASE WHEN regexp_full_match({text}, '-?\\d{{1,26}}(\\.\\d{{1,12}})?')"
        " THEN TRY_CAST({text} AS DECIMAL(38, 12)) END"
    ),
    "boolean": "CASE WHEN {text} IN ('true', 'false') THEN {text} = 'true' END",
    "timestamp": (
        "CASE WHEN regexp_full_match({text}, '\\d{{1,12}}')"
        f" AND TRY_CAST({{text}} AS BIGINT) <= {_LAST_SECOND} THEN"
        " TIMESTAMP '1970-01-01' + to_seconds(TRY_CAST({text} AS BIGINT)) END"
    ),
    "json": "CASE WHEN {type} <> 'NULL' THEN CAST(trino_json(payload, {path}) AS VARCHAR) END",
}
TYPES = tuple(_SQL)


@dataclass(frozen=True)
class Field:
    """A column out of the payload."""

    name: str
    path: str
    """As in `$."data"."object"."lines"[0]`."""
    type: str

    @property
    def sql(self) -> str:
        """The column's value: NULL where it is not there, or does not fit its type."""
        return _SQL[self.type].format(
            text=f"trino_json_scalar(payload, '{self.path}')",
            path=f"'{self.path}'",
            type=self._json_type,
        )

    @property
    def misfits(self) -> str:
        """The condition for there being a value which does not fit."""
        return f"{self._json_type} <> 'NULL' AND ({self.sql}) IS NULL"

    @property
    def _json_type(self) -> str:
        return f"json_type(trino_json(payload, '{self.path}'))"


def field(text: str) -> Field:
    """Return the field that `NAME=PATH` or `NAME=PATH:TYPE` describes.

    Raises:
        ToolError: it describes none.
    """
    found = _FIELD.fullmatch(text)
    if not found:
        raise ToolError(
            f"--field {text} is no column",
            'as in total=data.object.total:integer, or order=data.object.metadata."order id"',
        )
    name, path, type_ = found.groups()
    if (type_ or "string") not in _SQL:
        raise ToolError(f"--field {text} has no type that is known", f"one of {', '.join(TYPES)}")
    return Field(name, _json_path(path), type_ or "string")


def _json_path(path: str) -> str:
    parts = re.findall(r'"([^"]+)"|([\w-]+)|(\[\d+\])', path)
    text = "".join(index or f'."{quoted or plain}"' for quoted, plain, index in parts)
    return "$" + text.replace("'", "''")
