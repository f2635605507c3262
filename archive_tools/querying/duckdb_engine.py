"""Athena's queries on this machine: translated, over the days that they need, run by DuckDB.

What cannot be read is left out and named; it never keeps the rest from being counted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ..days import Days, today
from ..errors import ToolError
from ..output import bytes_text, count_text
from ..reading import Fault
from ..storage import SNAPSHOTS as SNAPSHOTS_PREFIX
from ..storage import Storage, StoredObject
from .compaction import PREFIX as COMPACTED
from .compaction import Compacted, define_events, find_compacted
from .database import (
    Database,
    DatabaseError,
    NoMemoryError,
    QueryError,
    UnreadableError,
    open_database,
)
from .downloads import Downloads, open_downloads
from .expressions import Read
from .functions import MACROS
from .models import STATES, Model, Needs, known_relations, needs
from .result import Consumer, Result, collected, ignore
from .schema import SNAPSHOTS, TABLE, VIEW, table, table_definition
from .translation import translated, translated_condition
from .types import text_literal

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What a query will be as DuckDB runs it."""

    sql: str
    """In DuckDB's dialect."""
    types: list[str]
    """Of its columns, as DuckDB calls them."""
    names: list[str]
    needs: Needs
    days: list[date]
    """That it reads; of the snapshots it reads all."""
    of_days: int
    objects: int
    size: int
    """Bytes of the objects, compressed."""


class DuckDBEngine:
    """DuckDB over the objects of an archive, as far as they are here."""

    name = "duckdb"

    def __init__(self, downloads: Downloads, database: Database, day: date | None = None) -> None:
        """Take what is open, and the day that is `current_date`; today where it is left out."""
        self.downloads = downloads
        self.snapshots = downloads.under(SNAPSHOTS_PREFIX)
        self.database = database
        self._today = day or today()

    @cached_property
    def days(self) -> list[date]:
        """The days that the archive has."""
        return self.downloads.storage.days()

    @cached_property
    def compacted(self) -> Compacted:
        """The files that `flask archive compact` has written."""
        return find_compacted(self.downloads.storage, self.database)

    def plan(self, sql: str) -> Plan:
        """Return what a query of Athena's dialect would read, without reading it.

        Raises:
            ToolError: it cannot be translated.
        """
        query = translated(sql, known_relations(sql), self._today)
        wanted = needs(query.reads)
        days = self.days_of([read for read in query.reads if read.table != SNAPSHOTS])
        objects = self.objects(wanted, days)
        size = sum(stored.size for stored in objects)
        types = [type_.duckdb.replace("TIMESTAMPTZ", "TIMESTAMP") for _, type_ in query.columns]
        names = [name for name, _ in query.columns]
        return Plan(query.sql, types, names, wanted, days, len(self.days), len(objects), size)

    def run(self, sql: str, tell: Callable[[int], None] = ignore) -> Result:
        """Return the result of a query of Athena's dialect, as `Engine` says; times are UTC.

        Raises:
            ToolError: it is wrong, or fails at a value.
        """
        return collected(self, sql, tell)

    def stream(self, sql: str, consume: Consumer, tell: Callable[[int], None] = ignore) -> Result:
        """Hand the rows of a query to `consume`, as `Engine` says.

        Raises:
            ToolError: it is wrong, or fails at a value.
        """
        plan = self.plan(sql)

        def work() -> int:
            share = shares(tell, plan.needs.steps + 1)
            self.make(plan.needs, {}, share)
            return self.database.stream(
                plan.sql, lambda rows: consume(plan.names, plan.types, rows), share
            )

        count = self.reading(plan.days, work, with_paths='"$path"' in plan.sql)
        scanned = (
            f"DuckDB read {count_text(plan.objects, 'object')} of {len(plan.days):,} of "
            f"{count_text(plan.of_days, 'day')}, {bytes_text(plan.size)}"
        )
        if VIEW in plan.needs.tables and (files := self.compacted.files):
            scanned += f", and {count_text(len(files), 'month')} of {COMPACTED}"
        faults = self.faults(plan.needs, plan.days)
        return Result(plan.names, [], faults, [scanned], plan.types, count)

    def objects(self, wanted: Needs, days: list[date]) -> list[StoredObject]:
        """Return the objects that are read: of some days, and all of the snapshots if any."""
        objects = self.downloads.objects(days)
        if TABLE not in wanted.tables:
            objects = [stored for stored in objects if not self.compacted.has(stored)]
        if SNAPSHOTS in wanted.tables:
            objects += self.snapshots.objects(self.snapshots.storage.days())
        return objects

    def faults(self, wanted: Needs, days: list[date]) -> list[Fault]:
        """Return what is known to be wrong with those objects."""
        faults = self.downloads.faults(days)
        if SNAPSHOTS in wanted.tables:
            faults += self.snapshots.faults(self.snapshots.storage.days())
        return faults

    def make(
        self, wanted: Needs, kept: Mapping[str, str], tell: Callable[[int], None] = ignore
    ) -> None:
        """Make what is needed, by name: tables of what is read more than once, views of the rest.

        The tables are in a file, since they can be larger than the memory.

        Args:
            wanted: what is needed.
            kept: the databases of the models that are to be tables there, by model.
            tell: as of `Database.stream`, for each of the steps.

        Raises:
            DatabaseError: a model fails at a value, or a file cannot be read.
        """
        if SNAPSHOTS in wanted.tables:
            self._define_snapshots()
        if VIEW in wanted.tables:
            define_events(self.database, self.compacted, self.downloads, self.days, tell)
        for model in wanted.models:
            query = self._query(model, wanted.kinds)
            database = kept.get(model.name) or (model.name in wanted.shared and self.scratch)
            if database:
                table = f"{database}.main.{model.name}"
                self._store(table, query, model, tell)
                query = f"SELECT * FROM {table}"  # noqa: S608
            self.database.rows(f"CREATE OR REPLACE TEMP VIEW {model.name} AS {query}")

    def _store(self, table: str, query: str, model: Model, tell: Callable[[int], None]) -> None:
        # DuckDB takes files for small, and would keep all of their rows in memory for a join
        reads_files = any(read.table in (TABLE, VIEW, SNAPSHOTS) for read in model.reads)
        as_written = "build_side_probe_side,join_order" if reads_files else ""
        self.database.rows(f"SET disabled_optimizers = '{as_written}'")
        try:
            self.database.stream(f"CREATE OR REPLACE TABLE {table} AS {query}", list, tell)
        finally:
            self.database.rows("RESET disabled_optimizers")

    def _query(self, model: Model, kinds: str) -> str:
        query = model.translated(self._today)
        # the second reads the first alone
        if model.name != STATES[0] or not kinds:
            return query
        return f"SELECT * FROM ({query}) WHERE {kinds}"  # noqa: S608

    @cached_property
    def scratch(self) -> str:
        """The database for what is computed once and read more than once."""
        file = self.downloads.scratch / "models.duckdb"
        self.database.rows(
            f"ATTACH {text_literal(str(file))} AS scratch (STORAGE_VERSION 'latest');"
            # for JSON, half the time and a seventh of the size of what DuckDB would choose
            "SET force_compression = 'zstd'; SET preserve_insertion_order = false"
        )
        return "scratch"

    def reading(self, days: list[date], work: Callable[[], T], with_paths: bool = False) -> T:
        """Return what `work` does with the tables as they are on some days.

        Where it stops at something that cannot be read it is done again, over what can be.

        Args:
            days: to be in the tables.
            work: reads them.
            with_paths: whether `$path` has to be right for temporary files, which costs a join.

        Raises:
            ToolError: it cannot be done.
        """
        try:
            try:
                return self._done(days, work, with_paths)
            except UnreadableError:
                if not self._leave_out_corrupt(days) and not self._compacted_anew():
                    raise
            return self._done(days, work, with_paths)
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

    def _done(self, days: list[date], work: Callable[[], T], with_paths: bool) -> T:
        files = self.downloads.files(days)
        path = self._path() if with_paths else "filename"
        self.database.rows(table_definition(TABLE, files, self.downloads.roots, path))
        return work()

    def _define_snapshots(self) -> None:
        files = self.snapshots.files(self.snapshots.storage.days())
        roots = self.snapshots.roots
        self.database.rows(table_definition(SNAPSHOTS, files, roots, "filename"))

    def _leave_out_corrupt(self, days: list[date]) -> bool:
        found = self.downloads.leave_out_corrupt(days)
        of_snapshots = self.snapshots.leave_out_corrupt(self.snapshots.used_days)
        return found or of_snapshots

    def _compacted_anew(self) -> bool:
        """Whether other files have taken the place of those that were to be read."""
        before, self.compacted = (
            self.compacted,
            find_compacted(self.downloads.storage, self.database),
        )
        return self.compacted != before

    def _path(self) -> str:
        """Return the expression for the address of the object that a row is of."""
        addresses = self.downloads.temporary()
        if not addresses:
            return "filename"
        files = ", ".join(text_literal(str(file)) for file, _ in addresses)
        keys = ", ".join(text_literal(address) for _, address in addresses)
        self.database.rows(
            "CREATE OR REPLACE TABLE addresses AS "
            f"SELECT unnest([{files}]) AS file, unnest([{keys}]) AS address"
        )
        return "coalesce((SELECT address FROM addresses WHERE file = filename), filename)"

    def days_of(self, reads: Iterable[Read]) -> list[date]:
        """Return the days that a query has to read, of those that there are."""
        kept: set[date] = set()
        for read in reads:
            # the earliest arrival of an event can lie in any day
            if read.table != TABLE or not read.conditions or not self.days:
                return self.days
            values = ", ".join(f"('{day:%Y}', '{day:%m}', '{day:%d}')" for day in self.days)
            try:
                found = self.database.rows(
                    f"SELECT year, month, day FROM (VALUES {values}) AS days (year, month, day) "  # noqa: S608
                    f"WHERE {' AND '.join(read.conditions)}"
                )
            except DatabaseError:
                # the query itself will say what is wrong with it
                return self.days
            kept.update(date(*map(int, row)) for row in found)
        return sorted(kept)


def shares(tell: Callable[[int], None], count: int) -> Callable[[int], None]:
    """Return what is told of 100 percent of each of some steps, and tells of 100 in all."""
    done = told = 0

    def share(percent: int) -> None:
        nonlocal done, told
        done += percent
        # after damage some are done again
        now = min(done // count, 100)
        tell(now - told)
        told = now

    return share


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
    with open_downloads(storage) as downloads:
        folders = [*downloads.roots, *([target] if target else [])]
        with open_database(*folders) as database:
            database.rows(MACROS)
            yield DuckDBEngine(downloads, database, day)


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
    where, read = translated_condition(condition, table())
    sql = f"SELECT received_at, id FROM {TABLE} AS {read.alias} WHERE {where}"  # noqa: S608
    with open_duckdb(storage) as engine:
        within = [day for day in engine.days_of([read]) if day in days]
        return set(engine.reading(within, lambda: engine.database.rows(sql)))
