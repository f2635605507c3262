"""What a query gives, and what every engine can do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..reading import Fault

Row = tuple[Any, ...]

#: Takes the names and the types of the columns, and the rows as they come. It is called again from
#: the beginning where a corrupt object is found on the way.
Consumer = Callable[[list[str], list[str], Iterator[Row]], None]


def ignore(_: int) -> None:
    """Take no notice of progress."""


@dataclass
class Result:
    """What a query gave."""

    names: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    """Values: str, int, float, bool, Decimal, date, datetime (UTC, no zone), list, dict, None."""
    faults: list[Fault] = field(default_factory=list)
    """What could not be read; the rows are those of everything else."""
    notes: list[str] = field(default_factory=list)
    """For people: what was scanned, and what that cost."""
    types: list[str] = field(default_factory=list)
    """Of the columns, as DuckDB calls them."""
    count: int = 0
    """Number of rows, also where they were not kept."""


class Engine(Protocol):
    """An open engine."""

    name: str

    def run(self, sql: str, tell: Callable[[int], None] = ignore) -> Result:
        """Return the result of a query of Athena's dialect, with all its rows.

        Args:
            sql: one SELECT.
            tell: is called now and then with the percent that were done since; 100 in all.

        Raises:
            ToolError: the query is wrong, or the engine could not run it.
        """

    def stream(self, sql: str, consume: Consumer, tell: Callable[[int], None] = ignore) -> Result:
        """Hand the rows of a query to `consume`, and return the rest of the result.

        Raises:
            ToolError: as `run`.
        """


def collected(engine: Engine, sql: str, tell: Callable[[int], None]) -> Result:
    """Return the result of a query with all its rows, by way of `stream`."""
    rows: list[Row] = []

    def keep(_: list[str], __: list[str], found: Iterator[Row]) -> None:
        rows[:] = found

    result = engine.stream(sql, keep, tell)
    result.rows = rows
    return result
