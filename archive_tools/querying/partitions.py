"""Days of the archive as files of another format, in folders of the same names.

Knows what a file of an export holds; nothing of folders that must be whole or not there.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolError
from ..storage import folder_of
from .database import Database, quoted
from .fields import Field
from .sql import PARTITIONS, as_duckdb, names, selection

if TYPE_CHECKING:
    from sqlglot import exp

#: Rows that DuckDB holds to write them together; with payloads of 5 KB, 100 MB a thread.
_ROW_GROUP = 20_480

_FORMATS = {
    "parquet": (".parquet", f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP}"),
    "ndjson": (".ndjson.gz", "FORMAT json, COMPRESSION gzip"),
}


@dataclass
class Written:
    """What has come of an export."""

    rows: int = 0
    files: int = 0
    size: int = 0
    """Bytes."""
    misfits: Counter[str] = field(default_factory=Counter)
    """Values that do not fit the type of their column, by column."""


@dataclass(frozen=True)
class Sheet:
    """What the files of an export hold."""

    table: str
    """`stripe_webhooks` or `stripe_events`."""
    condition: str
    """On its rows, of Athena's dialect; empty for all of them."""
    form: str
    fields: Sequence[Field]
    has_payload: bool

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            ToolError: two columns have one name.
        """
        taken = set(names(self.table))
        for name in (column.name for column in self.fields):
            # most of what reads these files does not mind the case
            if name.lower() in taken:
                raise ToolError(
                    f"More than one column is called {name}", "give the --field another name"
                )
            taken.add(name.lower())

    @cached_property
    def tree(self) -> "exp.Query":
        """The query for the rows.

        Raises:
            ToolError: the condition is none.
        """
        return selection(self.table, self.condition)

    @cached_property
    def rows(self) -> str:
        """The same in DuckDB's dialect."""
        return as_duckdb(self.tree)

    def write(self, database: Database, day: date, folder: Path, written: Written) -> None:
        """Write the rows of a day, whose records the tables hold, as a file below a folder.

        Raises:
            DatabaseError: it cannot be done.
            OSError: the folder cannot be written to.
        """
        ending, options = _FORMATS[self.form]
        part = folder / ".part"
        copy = f"COPY ({self._query(database)}) TO {quoted(str(part))} ({options})"
        ((rows,),) = database.rows(copy)
        misfits = self._misfits(database)
        if not rows:
            part.unlink()
            return
        path = folder / folder_of(day).removeprefix("webhooks/") / f"{self.table}{ending}"
        path.parent.mkdir(parents=True)
        part.rename(path)
        written.rows += rows
        written.files += 1
        written.size += path.stat().st_size
        written.misfits += misfits

    def _query(self, database: Database) -> str:
        left_out = PARTITIONS if self.has_payload else {*PARTITIONS, "payload"}
        columns = {name: f'"{name}"' for name in names(self.table) if name not in left_out}
        columns |= {column.name: column.sql for column in self.fields}
        typed = _selected(columns, self.rows)
        if self.form == "parquet":
            return typed
        exact = {
            name: _as_json(f'"{name}"', type_)
            for name, type_, *_ in database.rows(f"DESCRIBE {typed}")
        }
        return _selected(exact, typed)

    def _misfits(self, database: Database) -> Counter[str]:
        if not self.fields:
            return Counter()
        counts = ", ".join(f"count(*) FILTER (WHERE {column.misfits})" for column in self.fields)
        (found,) = database.rows(f"SELECT {counts} FROM ({self.rows})")  # noqa: S608
        return Counter(dict(zip((column.name for column in self.fields), found, strict=True)))


def _selected(columns: dict[str, str], rows: str) -> str:
    source = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())
    return f"SELECT {source} FROM ({rows})"  # noqa: S608 - the names are checked


def _as_json(sql: str, type_: str) -> str:
    """Return the expression for a value as JSON has it: exact, and times in ISO 8601."""
    if type_.startswith("DECIMAL"):
        return f"CAST({sql} AS VARCHAR)"
    if type_.startswith("TIMESTAMP"):
        return f"strftime({sql}, '%Y-%m-%dT%H:%M:%S.%gZ')"
    return sql
