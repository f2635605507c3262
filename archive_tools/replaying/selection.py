"""The events to replay: which ones, in which order, and their payloads.

Ids and object keys are kept in a temporary SQLite file, which is gone with the process. Payloads
are read again when they are sent.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import msgspec

from webhook_app.events.record import Record

from ..days import Days
from ..erasing.erased import read_erased
from ..erasing.redaction import REDACTED
from ..errors import ToolError
from ..output import progress
from ..reading import Faults, records
from ..storage import Storage

_ARRIVAL = "received_at, key, line"

#: The values of `--order`. Where `created` is null, the second of the arrival stands for it.
ORDERS = {
    "created": f"coalesce(created, CAST(strftime('%s', received_at) AS INTEGER)), {_ARRIVAL}",
    "arrival": _ARRIVAL,
}


#: Payloads that are kept because they are in the same objects as those that were sent last.
MAX_PAYLOAD_BYTES = 64_000_000

_decode = msgspec.json.Decoder(Record).decode


class Event(NamedTuple):
    """An event to send, and where its record is."""

    position: int
    name: str
    """Its id, or the place of a record without one."""
    type: str | None
    key: str
    line: int


class Selection:
    """The events that are left to send: each once, as it arrived first."""

    def __init__(self, storage: Storage) -> None:
        """Select nothing of an archive yet."""
        self.accepted_before = 0
        """Events that are selected and not sent again."""
        self.missing: list[str] = []
        """Ids that are not selected."""
        self._storage = storage
        self._faults = Faults()
        self._payloads: dict[str, dict[int, bytes]] = {}
        self._payload_bytes = 0
        # no name makes a temporary file: https://sqlite.org/inmemorydb.html
        self._database = sqlite3.connect("")

    def close(self) -> None:
        """Remove the temporary file."""
        self._database.close()

    def read(
        self,
        days: Days,
        types: Collection[str],
        ids: Collection[str] | None,
        order: str,
        accepted: Iterable[str],
    ) -> None:
        """Read the archive.

        Args:
            days: of arrival.
            types: names, or patterns as in `charge.*`; empty for all.
            ids: None for all.
            order: one of `ORDERS`.
            accepted: names of events that are not sent again.

        Raises:
            ToolError: the archive cannot be listed, what was erased cannot be read, or the
                temporary file has no room.
        """
        execute, executemany = self._database.execute, self._database.executemany
        try:
            execute("PRAGMA journal_mode = OFF")
            execute("CREATE TABLE accepted (name PRIMARY KEY) WITHOUT ROWID")
            executemany("INSERT OR IGNORE INTO accepted VALUES (?)", ((n,) for n in accepted))
            execute("CREATE TABLE found (name, id, type, created, received_at, key, line)")
            rows = self._rows(days, types, None if ids is None else frozenset(ids))
            executemany("INSERT INTO found VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            before = "SELECT count(DISTINCT name) FROM found WHERE name IN accepted"
            (self.accepted_before,) = execute(before).fetchone()
            if ids:
                self.missing = sorted({*ids} - {id_ for (id_,) in execute("SELECT id FROM found")})
            # min() brings the other columns of its row: https://sqlite.org/lang_select.html#bareagg
            execute(
                f"""CREATE TABLE event AS
                SELECT name, id, type, created, min(received_at) AS received_at, key, line
                FROM found WHERE name NOT IN accepted
                GROUP BY name ORDER BY {ORDERS[order]}"""  # noqa: S608 # nosec B608
            )
            execute("DROP TABLE found")
            execute("CREATE INDEX event_key ON event (key)")
        except sqlite3.Error as error:
            raise ToolError(
                f"The selected events do not fit into a temporary file: {error}",
                "free 500 bytes of disk an event, or name a larger folder with SQLITE_TMPDIR",
            ) from error

    def _rows(
        self, days: Days, types: Collection[str], ids: frozenset[str] | None
    ) -> Iterator[tuple[Any, ...]]:
        first, last = str(days.first or ""), str(days.last or "9999-12-31")
        erased = read_erased(self._storage)
        for key, number, record in self._records(days):
            if (
                first <= record.received_at[:10] <= last
                and record.source != REDACTED
                and not erased.has_event(record.id)
                and (ids is None or record.id in ids)
                and (not types or any(fnmatchcase(record.type or "", t) for t in types))
            ):
                name = f"{key} line {number}" if record.id is None else record.id
                columns = (record.id, record.type, record.created, record.received_at)
                yield name, *columns, key, number

    def _records(self, days: Days) -> Iterator[tuple[str, int, Record]]:
        # Firehose names a folder by the oldest record in an object
        folders = days.widened()
        found = [day for day in self._storage.days() if day in folders]
        with progress("Reading the archive, day by day", len(found)) as bar:
            for day in found:
                for stored in self._storage.objects(day):
                    found_in = records(self._storage, stored.key, _decode, self._faults)
                    yield from ((stored.key, number, record) for number, record in found_in)
                bar.update(1)

    def __len__(self) -> int:
        """Return how many events are left to send."""
        return int(self._database.execute("SELECT count(*) FROM event").fetchone()[0])

    def __iter__(self) -> Iterator[Event]:
        """Yield them in order."""
        query = "SELECT rowid, name, type, key, line FROM event ORDER BY rowid"
        return (Event(*row) for row in self._database.execute(query))

    def preview(self) -> dict[str, Any]:
        """Return their types, and the first and the last of them, as JSON can hold it."""
        execute = self._database.execute
        types = "SELECT type, count(*) FROM event GROUP BY type ORDER BY count(*) DESC, type"
        ends = "SELECT id, type, created, received_at FROM event WHERE rowid IN (1, ?)"
        return {
            "types": [{"type": kind, "events": count} for kind, count in execute(types)],
            "first_and_last": [
                dict(zip(("id", "type", "created", "received_at"), row, strict=True))
                for row in execute(ends, [len(self)])
            ],
        }

    def problems(self) -> dict[str, Any]:
        """Return what is missing, and how much and what cannot be read, as JSON can hold it."""
        return {
            "missing": [{"id": event_id} for event_id in self.missing],
            "faults": self._faults.count,
            "faults_at": [asdict(fault) for fault in self._faults.first],
        }

    def payload(self, event: Event) -> bytes | None:
        """Return the payload as received; None where it can no longer be read.

        To be called for events in order: of an object it keeps those that are still to come.
        """
        if event.key not in self._payloads:
            if self._payload_bytes > MAX_PAYLOAD_BYTES:
                self._payloads.clear()
                self._payload_bytes = 0
            self._payloads[event.key] = self._payloads_from(event)
            self._payload_bytes += sum(map(len, self._payloads[event.key].values()))
        payload = self._payloads[event.key].pop(event.line, None)
        self._payload_bytes -= len(payload or b"")
        if not self._payloads[event.key]:
            del self._payloads[event.key]
        return payload

    def _payloads_from(self, event: Event) -> dict[int, bytes]:
        query = "SELECT line FROM event WHERE key = ? AND rowid >= ?"
        wanted = {n for (n,) in self._database.execute(query, [event.key, event.position])}
        payloads = {}
        # what is wrong in the object was counted when the events were selected
        for number, record in records(self._storage, event.key, _decode, Faults()):
            if number in wanted:
                payloads[number] = record.payload.encode()
        return payloads
