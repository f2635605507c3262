"""What runs a query of Athena's dialect: DuckDB on this machine, or Athena itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from ..reading import Fault
from ..settings import ToolSettings
from ..storage import FolderStorage, Storage


@dataclass(frozen=True)
class Result:
    """What a query gave."""

    names: list[str]
    rows: list[tuple[Any, ...]]
    """Python values: str, int, float, bool, Decimal, date, datetime (UTC, no zone), None."""
    faults: list[Fault] = field(default_factory=list)
    """What could not be read; the rows are those of everything else."""
    notes: list[str] = field(default_factory=list)
    """For people: what was scanned, and what that cost."""
    types: list[str] = field(default_factory=list)
    """Of the columns, as DuckDB calls them."""


class Engine(Protocol):
    """An open engine."""

    name: str

    def run(self, sql: str, tell: Callable[[int], None] = lambda _: None) -> Result:
        """Return the result of a query of Athena's dialect.

        Args:
            sql: the query.
            tell: is called now and then with the percent that were done since; 100 in all.

        Raises:
            ToolError: it is wrong, or the engine could not run it.
        """


@contextmanager
def open_engine(
    storage: Storage, settings: ToolSettings, kind: str | None = None, today: date | None = None
) -> Iterator[Engine]:
    """Open the engine of a kind, `duckdb` or `athena`; by default Athena for a bucket.

    Args:
        storage: the archive.
        settings: of the tools.
        kind: which engine; None for the one that suits the place.
        today: what `current_date` is for DuckDB; today where it is left out.

    Raises:
        ToolError: it does not suit the place, or is not installed.
    """
    if (kind or suited(storage)) == "athena":
        from .athena_engine import open_athena

        with open_athena(storage, settings) as athena:
            yield athena
        return
    from .duckdb_engine import open_duckdb

    with open_duckdb(storage, today) as engine:
        yield engine


def suited(storage: Storage) -> str:
    """Return which engine suits a place: Athena knows buckets alone."""
    return "duckdb" if isinstance(storage, FolderStorage) else "athena"
