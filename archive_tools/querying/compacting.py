"""Writes the Parquet files of compacted months: `compaction` has what they are, and reads them."""

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from ..errors import ToolError
from ..output import progress
from ..reading import Fault
from .compaction import (
    DEFINITION,
    OBJECTS,
    PREFIX,
    Compacted,
    Month,
    MonthFile,
    find_compacted,
    find_new,
)
from .database import Database
from .downloads import ENDING
from .duckdb_engine import DuckDBEngine
from .schema import view, view_definition
from .types import quoted, text_literal

#: Rows that DuckDB holds to write them together; with payloads of 5 KB, 100 MB a thread.
_ROW_GROUP = 20_480


@dataclass
class Summary:
    """What compacting has done, and what there is now."""

    months: list[str] = field(default_factory=list)
    """Those that were written, as `2026-11`."""
    objects: int = 0
    """New ones that were read."""
    new_events: int = 0
    """That were in no file before, or of a later arrival."""
    events: int = 0
    """In all files."""
    size: int = 0
    """Bytes of all files."""


def compact(engine: DuckDBEngine) -> tuple[Summary, list[Fault]]:
    """Write the months that something new belongs to, each at once or not at all.

    An object in which something cannot be read is in no list, so that each query names its faults
    until they are mended. Each step leaves files that are right together: an earlier arrival of an
    event is taken out of the file of its later month first, and is found in its object until its
    own month is written.

    Args:
        engine: of an archive in a folder.

    Returns:
        A summary, and what could not be read.

    Raises:
        ToolError: it cannot be done, or the archive is a bucket.
        OSError: the folder cannot be written to.
    """
    summary, faults = Summary(), []
    database, downloads = engine.database, engine.downloads
    folder = downloads.storage.folder
    if not folder:
        raise ToolError(f"{downloads.storage.name} is no folder")
    for key in (found := find_compacted(downloads.storage, database)).unreadable:
        faults.append(Fault(key, None, "is no Parquet; its objects are read again"))
    new = {
        day: [s for s in downloads.objects([day]) if s.key.endswith(ENDING) and not found.has(s)]
        for day in engine.days
    }
    with progress("Compacting", sum(map(len, new.values()))) as bar:
        for month in sorted({(day.year, day.month) for day, objects in new.items() if objects}):
            days = [day for day in engine.days if (day.year, day.month) == month]
            count = engine.reading(days, lambda: _write(engine, folder, month, days))  # noqa: B023
            objects = [stored for day in days for stored in new[day]]
            faults += downloads.faults(days)
            summary.new_events += count
            summary.months.append(f"{month[0]:04}-{month[1]:02}")
            summary.objects += len(objects)
            bar.update(len(objects))
    found = find_compacted(downloads.storage, database)
    summary.size = sum(file.size for file in found.files)
    summary.events = sum(_count(database, file) for file in found.files)
    return summary, faults


def _write(engine: DuckDBEngine, folder: Path, month: Month, days: list[date]) -> int:
    """Write the file of a month, and return how many events are new in it.

    Raises:
        DatabaseError: a file cannot be read.
    """
    database, downloads = engine.database, engine.downloads
    found = find_compacted(downloads.storage, database)
    if not find_new(database, found, downloads, days):
        return 0
    for (number,) in _moved(database, found):
        other = found.files[number]
        if other.month != month:
            rows = f"SELECT * FROM ({other.rows}) ANTI JOIN earliest USING (id)"  # noqa: S608
            write_month(database, folder, other, rows)
    old = found.of(month)
    names = ", ".join(map(quoted, view().columns))
    kept = f"{old.rows} ANTI JOIN earliest USING (id) UNION ALL " if old else ""
    broken = {fault.key for fault in downloads.faults(days)}
    objects = {
        stored.key: stored.size for stored in downloads.objects(days) if stored.key not in broken
    }
    file = old or MonthFile(month, 0, Path(), {}, True, frozenset(), 0)
    rows = f"{kept}SELECT {names} FROM arrived"  # noqa: S608 - of our own names
    write_month(database, folder, replace(file, objects=objects), rows)
    ((count,),) = database.rows("SELECT count(*) FROM earliest")
    return int(count)


def _moved(database: Database, found: Compacted) -> Iterable[tuple[int]]:
    """Return the numbers of the files that have a later arrival of what has arrived."""
    if not found.files:
        return []
    return database.rows("SELECT DISTINCT file FROM compacted SEMI JOIN earliest USING (id)")


def write_month(database: Database, folder: Path, file: MonthFile, rows: str) -> None:
    """Put a new file of some rows in the place of a month's file, with the list of that one.

    Args:
        database: may write to the folder.
        folder: of the archive.
        file: the month's file, and the list that the new one shall have.
        rows: the query for the rows.

    Raises:
        DatabaseError: a file cannot be read or written.
        OSError: the folder cannot be written to.
    """
    year, number = file.month
    target = folder / PREFIX / f"year={year:04}/month={number:02}/events.{file.number + 1}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    known = {OBJECTS: json.dumps(file.objects), DEFINITION: view_definition()}
    metadata = ", ".join(f"{key}: {text_literal(text)}" for key, text in known.items())
    try:
        database.rows(
            f"COPY ({rows}) TO {text_literal(str(temporary))} (FORMAT parquet, COMPRESSION zstd, "
            f"ROW_GROUP_SIZE {_ROW_GROUP}, KV_METADATA {{{metadata}}})"
        )
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    # by now the greater number is the one that is read
    if file.number:
        file.path.unlink(missing_ok=True)


def _count(database: Database, file: MonthFile) -> int:
    ((count,),) = database.rows(f"SELECT count(*) FROM ({file.rows})")  # noqa: S608
    return int(count)
