"""Which events an archive has: id, arrivals and times, read over all cores and kept small.

Knows records, but not their payloads; nothing of Stripe.
"""

import functools
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from .. import parallel
from ..days import Days
from ..output import progress
from ..reading import DamageError, Fault, UnreachableError, lines
from ..storage import Storage, StoredObject, objects_of

_WEBHOOK, _LIVE, _TEST, _CONNECT, _SNAPSHOT = 1, 2, 4, 8, 16


class Arrival(NamedTuple):
    """The first arrival of an event, and how many there were."""

    id: str
    type: str
    created: int
    """Unix seconds."""
    received: int
    """Unix microseconds, of the first."""
    copies: int
    webhook: bool
    """Whether the first came as a webhook, and not out of the Events API."""
    livemode: bool | None
    connect: bool
    """Whether it is a connected account's."""
    snapshot: bool
    """Whether it is an event of API v1, and not a thin one."""


class _Columns(msgspec.Struct):
    """The columns of a record; the payload is skipped over, not decoded."""

    received_at: datetime
    id: str | None
    type: str | None
    object: str | None
    account: str | None
    created: int | None
    livemode: bool | None
    source: str


_decode = msgspec.json.Decoder(_Columns).decode


@dataclass
class Arrivals:
    """The events of an archive by id: 200 bytes each."""

    faults: list[Fault] = field(default_factory=list)
    unreachable: int = 0
    """Objects among the faults that may be sound, and hide what is in them."""
    nameless: int = 0
    """Records that arrived since the beginning of the range, without an id or time of an event."""
    _index: dict[str, int] = field(default_factory=dict)
    _types: dict[str, int] = field(default_factory=dict)
    _type: "array[int]" = field(default_factory=lambda: array("H"))
    _created: "array[int]" = field(default_factory=lambda: array("q"))
    _received: "array[int]" = field(default_factory=lambda: array("q"))
    _copies: "array[int]" = field(default_factory=lambda: array("I"))
    _traits: bytearray = field(default_factory=bytearray)

    def add(self, arrival: Arrival) -> None:
        """Count an arrival; of several of an event the earliest stays."""
        n = self._index.setdefault(arrival.id, len(self._index))
        if n == len(self._created):
            self._type.append(self._types.setdefault(arrival.type, len(self._types)))
            self._created.append(arrival.created)
            self._received.append(arrival.received)
            self._copies.append(arrival.copies)
            self._traits.append(_traits(arrival))
            return
        self._copies[n] += arrival.copies
        if arrival.received < self._received[n]:
            self._received[n] = arrival.received
            self._traits[n] = _traits(arrival)

    def position(self, event_id: str) -> int | None:
        """Return where in the iteration an event comes, None for one that has not arrived."""
        return self._index.get(event_id)

    def __contains__(self, event_id: str) -> bool:
        """Whether an event has arrived."""
        return event_id in self._index

    def __len__(self) -> int:
        """Return how many events have arrived, each counted once."""
        return len(self._index)

    def __iter__(self) -> Iterator[Arrival]:
        """Yield each event once."""
        types = list(self._types)
        for event_id, n in self._index.items():
            traits = self._traits[n]
            yield Arrival(
                id=event_id,
                type=types[self._type[n]],
                created=self._created[n],
                received=self._received[n],
                copies=self._copies[n],
                webhook=bool(traits & _WEBHOOK),
                livemode=bool(traits & _LIVE) if traits & (_LIVE | _TEST) else None,
                connect=bool(traits & _CONNECT),
                snapshot=bool(traits & _SNAPSHOT),
            )


def _traits(arrival: Arrival) -> int:
    mode = 0 if arrival.livemode is None else _LIVE if arrival.livemode else _TEST
    return (
        mode
        | (_WEBHOOK if arrival.webhook else 0)
        | (_CONNECT if arrival.connect else 0)
        | (_SNAPSHOT if arrival.snapshot else 0)
    )


def arrivals(storage: Storage, first: int, last: int) -> Arrivals:
    """Return what an archive has of the events created in a range, whenever they arrived.

    Reads from the day before the range up to the newest: a delivery can be three days late, and a
    gap can be filled at any time after.

    Args:
        storage: the archive.
        first: Unix seconds.
        last: Unix seconds, included.
    """
    found = Arrivals()
    tasks = _tasks(storage, first)
    read = functools.partial(_read, storage, first, last)
    with progress("Reading the archive", sum(map(len, tasks))) as bar:
        for task, part in zip(tasks, parallel.over_cores(read, tasks), strict=True):
            found.faults += part.faults
            found.unreachable += part.unreachable
            found.nameless += part.nameless
            for arrival in part:
                found.add(arrival)
            bar.update(len(task))
    return found


def whereabouts(storage: Storage, first: int, ids: set[str]) -> dict[str, str]:
    """Return object and line of the first record of each event, of those created since `first`.

    Reads the archive once more: to remember it for all events would cost more than they do.
    """
    found: dict[str, str] = {}
    tasks = _tasks(storage, first)
    find = functools.partial(_find, storage, ids)
    with progress("Looking them up", sum(map(len, tasks))) as bar:
        for task, part in zip(tasks, parallel.over_cores(find, tasks), strict=True):
            found = part | found
            bar.update(len(task))
    return found


def _tasks(storage: Storage, first: int) -> list[list[StoredObject]]:
    since = datetime.fromtimestamp(first, UTC).date()
    return list(parallel.batches(objects_of(storage, Days(since).widened())))


def _read(storage: Storage, first: int, last: int, batch: Iterable[StoredObject]) -> Arrivals:
    found = Arrivals()
    for _, columns in _records(storage, batch, found):
        if columns.id is None or columns.created is None:
            found.nameless += columns.received_at.timestamp() >= first
            continue
        if first <= columns.created <= last:
            found.add(_arrival(columns.id, columns.created, columns))
    return found


def _find(storage: Storage, ids: set[str], batch: Iterable[StoredObject]) -> dict[str, str]:
    found: dict[str, str] = {}
    for where, columns in _records(storage, batch, Arrivals()):
        if columns.id in ids:
            found.setdefault(columns.id, where)
    return found


def _records(
    storage: Storage, batch: Iterable[StoredObject], found: Arrivals
) -> Iterator[tuple[str, _Columns]]:
    for stored in batch:
        try:
            for number, line in lines(storage, stored.key):
                try:
                    yield f"{stored.key} line {number}", _decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    found.faults.append(Fault(stored.key, number, "not a record"))
        except DamageError as damage:
            found.faults.append(Fault(stored.key, damage.line, damage.what))
            found.unreachable += isinstance(damage, UnreachableError)


def _arrival(event_id: str, created: int, columns: _Columns) -> Arrival:
    return Arrival(
        id=event_id,
        type=columns.type or "",
        created=created,
        received=round(columns.received_at.timestamp() * 1_000_000),
        copies=1,
        webhook=columns.source == "webhook",
        livemode=columns.livemode,
        connect=columns.account is not None,
        snapshot=columns.object == "event",
    )
