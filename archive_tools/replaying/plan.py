"""What is to be replayed, in its order: where each record lies, and nothing of its payload.

It is kept in a temporary file that the system removes with the process, whatever ends it: 0.2 GB
of disk for a million events, twice that while they are sorted, and 6 MB of memory for any number.
"""

import hashlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..reading import Fault

#: How `--order` sorts. Where Stripe's time is not known, the arrival's stands for it; what is
#: behind makes the order the same each time.
ORDERS = {
    "oldest": (
        "coalesce(created, CAST(strftime('%s', received_at) AS INTEGER)), "
        "id, received_at, object, line"
    ),
    "arrival": "received_at, object, line",
}

#: Of a record: received_at, id, type, created, and its line in the object.
Row = tuple[str, str | None, str | None, int | None, int]


@dataclass(frozen=True)
class Planned:
    """An event to be sent."""

    position: int
    """In the plan, from 0."""
    key: str
    line: int
    id: str | None
    type: str | None


@dataclass(frozen=True)
class End:
    """The first or the last event of a plan."""

    id: str | None
    type: str | None
    created: int | None
    received_at: str


class Plan:
    """Records that are added in any order, and then arranged.

    Each method can raise sqlite3.Error, where there is no room for the file.
    """

    def __init__(self) -> None:
        """Make an empty one."""
        # no name: a file of its own that is unlinked at once, https://sqlite.org/inmemorydb.html
        self._database = sqlite3.connect("")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE object (n INTEGER PRIMARY KEY, key TEXT)")
        self._database.execute("CREATE TABLE found (received_at, id, type, created, line, object)")
        self.faults: list[Fault] = []
        """What could not be read. Everything else is in the plan."""

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def add(self, key: str, rows: Iterable[Row]) -> None:
        """Add records of an object; objects come in the order of days and keys."""
        number = self._database.execute("INSERT INTO object (key) VALUES (?)", [key]).lastrowid
        self._database.executemany(
            f"INSERT INTO found VALUES (?, ?, ?, ?, ?, {number})",  # noqa: S608 # nosec B608
            rows,
        )

    def arrange(self, order: str, *, duplicates: bool) -> None:
        """Give each record its position.

        Args:
            order: one of `ORDERS`.
            duplicates: whether an event is kept each time that it arrived, or the first time.
        """
        # what has no id is no event's duplicate
        self._database.execute(
            f"""
            CREATE TABLE plan AS
            SELECT row_number() OVER (ORDER BY {ORDERS[order]}) - 1 AS position,
                object, line, id, type, created, received_at
            FROM (
                SELECT *,
                    row_number() OVER (PARTITION BY id ORDER BY received_at, object, line) AS turn
                FROM found
            ) WHERE turn = 1 OR id IS NULL OR {int(duplicates)}
            """  # noqa: S608 # nosec B608
        )
        self._database.execute("DROP TABLE found")
        self._database.execute("CREATE UNIQUE INDEX plan_position ON plan (position)")

    def __len__(self) -> int:
        """Return the number of events."""
        return int(self._one("SELECT count(*) FROM plan"))

    @property
    def newest(self) -> str | None:
        """The last time of arrival; None of an empty plan."""
        found: str | None = self._one("SELECT max(received_at) FROM plan")
        return found

    def digest(self) -> str:
        """Return what is the same for the same events in the same order alone."""
        digest = hashlib.blake2b(digest_size=16)
        for row in self._database.execute("SELECT received_at, id FROM plan ORDER BY position"):
            digest.update(repr(row).encode())
        return digest.hexdigest()

    def types(self) -> dict[str | None, int]:
        """Return the number of events by type, the most frequent first."""
        counts = "SELECT type, count(*) FROM plan GROUP BY type ORDER BY count(*) DESC, type"
        return dict(self._database.execute(counts))

    def ends(self) -> list[End]:
        """Return the first and the last event; nothing of an empty plan."""
        ends = "SELECT id, type, created, received_at FROM plan WHERE position IN (0, ?) "
        rows = [
            End(*r) for r in self._database.execute(ends + "ORDER BY position", [len(self) - 1])
        ]
        return [rows[0], rows[-1]] if rows else []

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return those of some ids that no event of the plan has."""
        wanted = set(ids)
        if wanted:
            wanted -= {id_ for (id_,) in self._database.execute("SELECT id FROM plan")}
        return sorted(wanted)

    def events(self, upto: int, left: Iterable[int]) -> Iterator[Planned]:
        """Yield the events whose positions are left over, and all from `upto` on, in order."""
        query = (
            "SELECT position, key, line, id, type FROM plan JOIN object ON object.n = object "
            "WHERE position BETWEEN ? AND ? ORDER BY position"
        )
        spans = itertools.chain(((n, n) for n in sorted(left)), [(upto, len(self))])
        for span in spans:
            for row in self._database.execute(query, span):
                yield Planned(*row)

    def _one(self, query: str, *values: object) -> Any:
        return self._database.execute(query, values).fetchone()[0]
