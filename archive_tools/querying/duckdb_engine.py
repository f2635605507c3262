"""Athena's queries on this machine: translated, over the days that they need, run by DuckDB.

What cannot be read is left out and told of; it never keeps the rest from being counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..days import Days, today
from ..errors import ToolError
from ..output import bytes_text, count_text
from ..storage import Storage
from .copies import Copies, open_copies
from .database import (
    Database,
    DatabaseError,
    NoMemoryError,
    QueryError,
    UnreadableError,
    open_database,
)
from .engine import Result
from .pruning import days_read
from .sql import TABLE, as_duckdb, selection, translation
from .tables import define_tables

if TYPE_CHECKING:
    from sqlglot import exp

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What a query will be as DuckDB runs it."""

    sql: str
    """In DuckDB's dialect."""
    days: list[date]
    """That it reads."""
    of_days: int
    objects: int
    size: int
    """Bytes of the objects, compressed."""


class DuckDBEngine:
    """DuckDB over the objects of a place, as far as they are here."""

    name = "duckdb"

    def __init__(self, copies: Copies, database: Database, day: date | None = None) -> None:
        """Take what is open, and the day that is `current_date`; today where it is left out."""
        self.copies = copies
        self.database = database
        self._today = day or today()

    @cached_property
    def days(self) -> list[date]:
        """The days that the archive has."""
        return self.copies.storage.days()

    def plan(self, sql: str) -> Plan:
        """Return what a query of Athena's dialect would read, without reading it.

        Raises:
            ToolError: it cannot be translated.
        """
        tree = translation(sql, self._today)
        days = self.days_of(tree)
        objects = self.copies.objects(days)
        size = sum(stored.size for stored in objects)
        return Plan(as_duckdb(tree), days, len(self.days), len(objects), size)

    def run(self, sql: str, tell: Callable[[int], None] = lambda _: None) -> Result:
        """Return the result of a query of Athena's dialect, as `Engine` says; times are UTC.

        Raises:
            ToolError: it is wrong, or fails at a value.
        """
        plan = self.plan(sql)
        names, types, rows = self.reading(plan.days, lambda: self.database.result(plan.sql, tell))
        scanned = (
            f"DuckDB read {count_text(plan.objects, 'object')} of {len(plan.days):,} of "
            f"{count_text(plan.of_days, 'day')}, {bytes_text(plan.size)}"
        )
        return Result(names, rows, self.copies.faults(plan.days), [scanned], types)

    def reading(self, days: list[date], work: Callable[[], T]) -> T:
        """Return what `work` does with the tables as they are on some days.

        Where it stops at something that cannot be read it is done again, over what can be.

        Raises:
            ToolError: it cannot be done.
        """
        try:
            try:
                return self._done(days, work)
            except UnreadableError:
                if not self.copies.mend(days):
                    raise
            return self._done(days, work)
        except QueryError as error:
            raise ToolError(str(error), "look at the names in docs/QUERYING.md") from None
        except NoMemoryError as error:
            raise ToolError(
                f"The query failed: {error}", "ask for fewer days, or let Athena run it"
            ) from None
        except DatabaseError as error:
            raise ToolError(
                f"The query failed while it ran: {error}",
                "where it converts a value, TRY_CAST gives NULL for what cannot be converted",
            ) from None

    def _done(self, days: list[date], work: Callable[[], T]) -> T:
        define_tables(self.database, self.copies, self.copies.paths(days))
        return work()

    def days_of(self, tree: "exp.Query") -> list[date]:
        """Return the days that a translated query has to read."""
        return days_read(self.database, tree, self.days)


@contextmanager
def open_duckdb(
    storage: Storage, day: date | None = None, target: Path | None = None
) -> Iterator[DuckDBEngine]:
    """Open DuckDB on an archive.

    Args:
        storage: the archive.
        day: what `current_date` is; today where it is left out.
        target: the folder that may be written to besides, if one may.

    Raises:
        ToolError: the archive cannot be listed.
    """
    with open_copies(storage) as copies:
        folders = [*copies.folders, *([target] if target else [])]
        with open_database(*folders) as database:
            yield DuckDBEngine(copies, database, day)


def keys_and_ids(storage: Storage, days: Days, condition: str) -> set[tuple[str, str]]:
    """Return `received_at` and `id` of the deliveries for which a condition holds.

    What cannot be read has neither, and is not told of: whoever asks reads the objects as well.

    Args:
        storage: the archive.
        days: of arrival, by the folders of the archive.
        condition: of Athena's dialect, on the columns of `stripe_webhooks`.

    Raises:
        ToolError: the condition is wrong.
    """
    tree = selection(TABLE, condition, "received_at, id")
    with open_duckdb(storage) as engine:
        within = [day for day in engine.days_of(tree) if day in days]
        return set(engine.reading(within, lambda: engine.database.rows(as_duckdb(tree))))
