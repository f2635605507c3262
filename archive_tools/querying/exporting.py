"""Days of the archive as Parquet or NDJSON, in folders of the same names: one COPY of DuckDB's."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from ..days import Days
from ..errors import ToolError
from ..output import progress
from ..reading import Fault
from ..storage import Storage
from .deduplication import define_view, earliest_arrivals
from .duckdb_engine import DuckDBEngine, open_duckdb
from .fields import Field
from .schema import TABLE, VIEW, relations
from .translation import PARTITIONS, translated_condition
from .types import quoted, text_literal

#: Rows that DuckDB holds to write them together; with payloads of 5 KB, 100 MB a thread.
_ROW_GROUP = 20_480

_FORMATS = {
    "parquet": f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP}",
    "ndjson": "FORMAT json, COMPRESSION gzip, FILE_EXTENSION 'ndjson.gz'",
}


@dataclass(frozen=True)
class Options:
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
        taken = set(relations()[self.table].columns)
        for name in (column.name for column in self.fields):
            # most of what reads these files does not mind the case
            if name.lower() in taken:
                raise ToolError(
                    f"More than one column is called {name}", "give the --field another name"
                )
            taken.add(name.lower())


@dataclass
class Written:
    """What an export has written."""

    rows: int = 0
    files: int = 0
    size: int = 0
    """Bytes."""
    misfits: Counter[str] = field(default_factory=Counter)
    """Values that do not fit the type of their column, by column."""


def export(
    storage: Storage, options: Options, days: Days, folder: Path
) -> tuple[Written, list[Fault]]:
    """Write an export, and return what was written and what could not be read.

    Args:
        storage: the archive.
        options: what the files hold.
        days: of arrival.
        folder: an empty one.

    Raises:
        ToolError: it cannot be done.
        OSError: the folder cannot be written to.
    """
    relation = relations()[options.table]
    where, read = translated_condition(options.condition, relation)
    with open_duckdb(storage, target=folder) as engine:
        # a row lies in the day of its earliest arrival: a condition on the day is one on the file
        read.table = TABLE
        wanted = [day for day in engine.days_of([read]) if day in days]
        searched = set(wanted)
        if options.table == VIEW:
            searched.update(_find_earliest(engine, days))
        rows = f"FROM {relation.name} AS {read.alias} WHERE {where}"
        written = _written(engine, options, wanted, rows, folder)
        return written, engine.downloads.faults(sorted(searched))


def _find_earliest(engine: DuckDBEngine, days: Days) -> list[date]:
    """Find the events of some days by their earliest arrival; return the days that were searched.

    These are all days before, and one more at the end: Firehose names a folder by the oldest record
    of an object, so the earlier of two copies of an event can lie in the next day's folder.
    """
    last = days.last and days.last + timedelta(days=1)
    searched = [day for day in engine.days if day in Days(None, last)]
    sql = earliest_arrivals(days)
    with progress("Finding earliest arrivals", 100) as bar:
        engine.reading(searched, lambda: engine.database.stream(sql, list, bar.update))
    return searched


def _written(
    engine: DuckDBEngine, options: Options, days: list[date], rows: str, folder: Path
) -> Written:
    written = Written()
    database = engine.database
    partitions = folder / "partitions"

    def write() -> None:
        # after damage it begins anew
        shutil.rmtree(partitions, ignore_errors=True)
        if options.table == VIEW:
            define_view(database)
        copy = (
            f"COPY ({_selected(options, rows)}) TO {text_literal(str(partitions))}"
            f" ({_FORMATS[options.form]}, PARTITION_BY ({', '.join(PARTITIONS)}),"
            f" FILENAME_PATTERN '{options.table}_{{i}}')"
        )
        # by default half a million rows are held before any is written
        database.rows(f"SET partitioned_write_flush_threshold = {_ROW_GROUP}")
        counts: list[tuple[int]] = []
        with progress("Exporting", 100) as bar:
            database.stream(copy, counts.extend, bar.update)
        written.rows = counts[0][0]
        if options.fields:
            written.misfits = _misfits(engine, options, rows)

    engine.reading(days, write)
    if partitions.exists():
        for path in list(partitions.iterdir()):
            path.rename(folder / path.name)
        partitions.rmdir()
    files = [path for path in folder.rglob("*") if path.is_file()]
    written.files = len(files)
    written.size = sum(path.stat().st_size for path in files)
    return written


def _selected(options: Options, rows: str) -> str:
    """Return the query for the columns of the files; the partitions name the folders."""
    left_out = {*PARTITIONS, "$path"} | (set() if options.has_payload else {"payload"})
    columns = {
        name: (quoted(name), type_.duckdb)
        for name, type_ in relations()[options.table].columns.items()
        if name not in left_out
    }
    kinds = {"decimal": "DECIMAL", "timestamp": "TIMESTAMP"}
    columns |= {column.name: (column.sql, kinds.get(column.type, "")) for column in options.fields}
    items = [
        f"{_as_json(sql, type_) if options.form == 'ndjson' else sql} AS {quoted(name)}"
        for name, (sql, type_) in columns.items()
    ]
    return f"SELECT {', '.join([*items, *PARTITIONS])} {rows}"


def _as_json(sql: str, type_: str) -> str:
    """Return the expression for a value as JSON has it: exact, and times in ISO 8601."""
    if type_.startswith("DECIMAL"):
        return f"CAST({sql} AS VARCHAR)"
    if type_.startswith("TIMESTAMP"):
        return f"strftime({sql}, '%Y-%m-%dT%H:%M:%S.%gZ')"
    return sql


def _misfits(engine: DuckDBEngine, options: Options, rows: str) -> Counter[str]:
    counts = ", ".join(f"count(*) FILTER (WHERE {f.misfits})" for f in options.fields)
    (found,) = engine.database.rows(f"SELECT {counts} {rows}")
    return Counter({f.name: n for f, n in zip(options.fields, found, strict=True) if n})
