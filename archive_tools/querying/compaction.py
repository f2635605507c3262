"""Each event once, in Parquet by month: what `flask archive compact` keeps of a folder.

A month's file is `parquet/year=…/month=…/events.N.parquet`. It has the columns of `stripe_events`,
the events whose earliest arrival is in that month and, in its metadata, the objects that they were
read from. An object that is in no file's list, or has another size by now, is read as it is. A list
goes where its file goes: without the file its objects are read again.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from ..days import Days
from ..storage import Storage, StoredObject
from .database import Database, DatabaseError, as_pattern
from .deduplication import define_view, earliest_arrivals
from .downloads import Downloads
from .result import ignore
from .schema import TABLE, VIEW, table_definition, view, view_definition
from .types import quoted, text_literal

PREFIX = "parquet/"

Month = tuple[int, int]
"""Year and month of arrival."""

#: What a file says of itself, in its metadata: the objects, and by which view it was made.
OBJECTS, DEFINITION = "stripe_archive_objects", "stripe_events_definition"

_FILE = re.compile(r"year=(\d{4})/month=(\d{2})/events\.(\d+)\.parquet", re.ASCII)

# of the events that `earliest` has, those that the files have not, or have of a later arrival; to
# the millisecond, as `received_at` is in the view, and without a time after all others
_LEAVE_NEW = """DELETE FROM earliest USING compacted
    WHERE compacted.id = earliest.id AND
      ((coalesce(compacted.received_at, TIMESTAMP 'infinity'), compacted.year || compacted.month
        || compacted.day, NOT is_current)
      <= (coalesce(TRY_CAST(replace(left(moment, 23), 'T', ' ') AS TIMESTAMP),
        TIMESTAMP 'infinity'), right(moment, 8), false))"""


@dataclass(frozen=True)
class MonthFile:
    """The file of a month."""

    month: Month
    number: int
    """In the file's name. The greatest of a month is the one that is read."""
    path: Path
    objects: dict[str, int]
    """Those that its events were read from: sizes in bytes by key."""
    is_current: bool
    """Whether it was made by today's `stripe_events`; else what the objects say is preferred."""
    columns: frozenset[str]
    size: int
    """Bytes."""

    @property
    def rows(self) -> str:
        """The rows, with the columns of today's `stripe_events`."""
        columns = ", ".join(
            quoted(name) if name in self.columns else f"NULL::{type_.duckdb} AS {quoted(name)}"
            for name, type_ in view().columns.items()
        )
        return f"SELECT {columns} FROM {_reading(self.path)}"  # noqa: S608 - of our own names


@dataclass(frozen=True)
class Compacted:
    """The files of all months as they were when they were looked for."""

    files: tuple[MonthFile, ...] = ()
    unreadable: tuple[str, ...] = ()
    """Keys of files of which nothing can be read: their objects are read again."""

    @cached_property
    def objects(self) -> dict[str, int]:
        """The objects that need not be read: sizes in bytes by key."""
        return {key: size for file in self.files for key, size in file.objects.items()}

    def has(self, stored: StoredObject) -> bool:
        """Whether the events of an object are in the files."""
        return self.objects.get(stored.key) == stored.size

    def of(self, month: Month) -> MonthFile | None:
        """Return the file of a month."""
        return next((file for file in self.files if file.month == month), None)


def find_compacted(storage: Storage, database: Database) -> Compacted:
    """Return the files of a folder. Those of a bucket are a table of Athena's alone.

    Args:
        storage: the archive.
        database: may read the folder.
    """
    newest: dict[Month, tuple[int, Path]] = {}
    for month, number, path in _paths(storage):
        newest[month] = max(newest.get(month, (0, path)), (number, path))
    files, unreadable = [], []
    for month, (number, path) in sorted(newest.items()):
        try:
            files.append(_opened(database, month, number, path))
        except (DatabaseError, OSError, ValueError):
            unreadable.append("/".join(path.parts[-4:]))
    return Compacted(tuple(files), tuple(unreadable))


def _paths(storage: Storage) -> Iterator[tuple[Month, int, Path]]:
    if not storage.folder:
        return
    root = storage.folder / PREFIX
    for path in root.glob("year=*/month=*/events.*.parquet"):
        if found := _FILE.fullmatch(path.relative_to(root).as_posix()):
            year, month, number = map(int, found.groups())
            yield (year, month), number, path


def _opened(database: Database, month: Month, number: int, path: Path) -> MonthFile:
    pattern = text_literal(as_pattern(str(path)))
    known: dict[str, str] = dict(
        database.rows(f"SELECT decode(key), decode(value) FROM parquet_kv_metadata({pattern})")  # noqa: S608
    )
    is_current = known.get(DEFINITION) == view_definition()
    objects = json.loads(known.get(OBJECTS, "{}")) if is_current else {}
    columns = database.rows(f"DESCRIBE FROM {_reading(path)}")
    names = frozenset(str(row[0]) for row in columns)
    return MonthFile(month, number, path, objects, is_current, names, path.stat().st_size)


def _reading(path: Path) -> str:
    # the folders' year and month would become numbers
    return f"read_parquet({text_literal(as_pattern(str(path)))}, hive_partitioning = false)"


def define_events(
    database: Database,
    found: Compacted,
    downloads: Downloads,
    days: Sequence[date],
    tell: Callable[[int], None] = ignore,
) -> None:
    """Let `stripe_events` be the events of the files, with what has arrived since on top.

    Args:
        database: in which the view is made.
        found: the files.
        downloads: of the archive.
        days: that the archive has.
        tell: as of `Database.stream`.

    Raises:
        DatabaseError: a file cannot be read.
    """
    if not found.files:
        database.stream(earliest_arrivals(Days()), list, tell)
        define_view(database)
        return
    names = ", ".join(map(quoted, view().columns))
    rows = f"SELECT {names} FROM compacted"  # noqa: S608 - of our own names
    if find_new(database, found, downloads, days, tell):
        rows += f" ANTI JOIN earliest USING (id) UNION ALL SELECT {names} FROM arrived"  # noqa: S608
    database.rows(f"CREATE OR REPLACE VIEW {VIEW} AS {rows}")


def find_new(
    database: Database,
    found: Compacted,
    downloads: Downloads,
    days: Sequence[date],
    tell: Callable[[int], None] = ignore,
) -> bool:
    """Let `arrived` be the events of some days that no file has, or has of a later arrival.

    `earliest` has their ids; `compacted` is what the files have, `file` being the file's number.

    Returns:
        Whether there is any object that no file has; else there are no `arrived` and no `earliest`.

    Raises:
        DatabaseError: a file cannot be read.
    """
    if found.files:
        rows = " UNION ALL ".join(
            f"SELECT *, {file.is_current} AS is_current, {number} AS file FROM ({file.rows})"  # noqa: S608
            for number, file in enumerate(found.files)
        )
        database.rows(f"CREATE OR REPLACE TEMP VIEW compacted AS {rows}")
    files = downloads.files(days, found.has)
    if not files:
        return False
    database.rows(table_definition(TABLE, files, downloads.roots, "filename", "arrivals"))
    database.stream(earliest_arrivals(Days(), "arrivals"), list, tell)
    if found.files:
        database.rows(_LEAVE_NEW)
    define_view(database, "arrivals", "arrived")
    return True
