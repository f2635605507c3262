"""An export, day by day: so that never more is held than a day of rows, and ids of the rest."""

from datetime import date
from pathlib import Path

from ..days import Days
from ..output import progress
from ..reading import Fault
from ..storage import Storage
from .duckdb_engine import DuckDBEngine, open_duckdb
from .earliest import days_before, remember_earliest, show_once
from .partitions import Sheet, Written
from .sql import VIEW


def exported(
    storage: Storage, sheet: Sheet, days: Days, folder: Path
) -> tuple[Written, list[Fault]]:
    """Write an export, and return what has come of it and what could not be read.

    Args:
        storage: the archive.
        sheet: what the files hold.
        days: of arrival.
        folder: an empty one.

    Raises:
        ToolError: it cannot be done.
        OSError: the folder cannot be written to.
    """
    written = Written()
    with open_duckdb(storage, target=folder) as engine:
        wanted = [day for day in engine.days_of(sheet.tree) if day in days]
        read = set(wanted)
        if sheet.table == VIEW:
            read.update(days_before(engine, days))
            remember_earliest(engine, days)
        with progress("Exporting", len(wanted)) as bar:
            for day in wanted:
                _write(engine, sheet, day, folder, written)
                bar.update(1)
        return written, engine.copies.faults(sorted(read))


def _write(engine: DuckDBEngine, sheet: Sheet, day: date, folder: Path, written: Written) -> None:
    def write() -> None:
        if sheet.table == VIEW:
            show_once(engine.database)
        sheet.write(engine.database, day, folder, written)

    engine.reading([day], write)
