"""The index of an archive: where each of its events is, and whether Stripe's list should have it.

Read over all cores; knows records, but not their payloads.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

import msgspec

from .. import parallel
from ..days import Days
from ..output import progress
from ..reading import DamageError, Fault, UnreachableError, lines
from ..storage import Storage, StoredObject, objects_of
from .time_range import TimeRange, day_of, matches

#: An archive that is damaged all over is not listed as a whole; what is more is counted.
_MOST_FAULTS = 1000


class Visibility(IntEnum):
    """Whether the key's list of events should have an archived event."""

    NOT_AN_EVENT = 0
    """A thin event, or nothing that looks like an event of Stripe's: in no list."""
    CONNECTED_ACCOUNT = 1
    OTHER_MODE = 2
    MAYBE_DELETED = 3
    """As old as what Stripe deletes."""
    OTHER_TYPE = 4
    """The list is of other types."""
    LISTED = 5


class Scope(NamedTuple):
    """What is compared."""

    time_range: TimeRange
    livemode: bool
    """Of which mode the key sees the events."""
    types: tuple[str, ...]
    """As `--type` names them; none for all."""


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

# an entry: the visibility in the lowest bits, two flags, the line, the number of the object
_VISIBILITY, _DUPLICATE, _SEEN = 7, 8, 16
_LINE_SHIFT, _OBJECT_SHIFT = 5, 37


@dataclass
class Index:
    """The events of an archive by id: 220 bytes each."""

    faults: list[Fault] = field(default_factory=list)
    """The first thousand."""
    fault_count: int = 0
    unreachable: int = 0
    """Objects that could not be opened; they may be sound, and hide what is in them."""
    not_events: int = 0
    """Records that arrived since the beginning of the range, without an event's id or time."""
    extra_copies: int = 0
    _entries: dict[str, int] = field(default_factory=dict)
    _keys: list[str] = field(default_factory=list)

    def __contains__(self, event_id: str) -> bool:
        """Whether an event is in the archive."""
        return event_id in self._entries

    def mark_seen(self, event_id: str) -> bool | None:
        """Mark an event; return whether it was marked before, None where it is not here."""
        entry = self._entries.get(event_id)
        if entry is None:
            return None
        self._entries[event_id] = entry | _SEEN
        return bool(entry & _SEEN)

    def events(self) -> Iterator[tuple[str, Visibility, bool]]:
        """Yield the id of each event, its visibility, and whether it is marked."""
        for event_id, entry in self._entries.items():
            yield event_id, Visibility(entry & _VISIBILITY), bool(entry & _SEEN)

    def duplicates(self) -> int:
        """Return how many events are here more than once."""
        return sum(bool(entry & _DUPLICATE) for entry in self._entries.values())

    def locate(self, event_id: str) -> str:
        """Return object and line of the first record of an event."""
        number, line = divmod(self._entries[event_id] >> _LINE_SHIFT, 1 << 32)
        return f"{self._keys[number]} line {line}"

    def read(self, storage: Storage, scope: Scope, objects: Sequence[StoredObject]) -> None:
        """Add what some objects hold."""
        first, last = scope.time_range.first, scope.time_range.last
        for stored in objects:
            self._keys.append(stored.key)
            try:
                for number, line in lines(storage, stored.key):
                    try:
                        columns = _decode(line)
                    except (msgspec.DecodeError, UnicodeDecodeError):
                        self._add_fault(Fault(stored.key, number, "not a record"))
                        continue
                    if columns.id is None or columns.created is None:
                        self.not_events += columns.received_at.timestamp() >= first
                    elif first <= columns.created <= last:
                        visibility = _visibility(columns, columns.created, scope)
                        place = (len(self._keys) - 1) << _OBJECT_SHIFT | number << _LINE_SHIFT
                        self._add(columns.id, place | visibility)
            except DamageError as damage:
                self._add_fault(Fault(stored.key, damage.line, damage.what))
                self.unreachable += isinstance(damage, UnreachableError)

    def merge(self, part: "Index") -> None:
        """Add what the index of other, later objects has."""
        offset = len(self._keys) << _OBJECT_SHIFT
        for event_id, entry in part._entries.items():
            self._add(event_id, entry + offset)
        self._keys += part._keys
        self.faults += part.faults[: _MOST_FAULTS - len(self.faults)]
        self.fault_count += part.fault_count
        self.unreachable += part.unreachable
        self.not_events += part.not_events
        self.extra_copies += part.extra_copies

    def _add(self, event_id: str, entry: int) -> None:
        known = self._entries.get(event_id)
        self.extra_copies += known is not None
        self._entries[event_id] = entry if known is None else known | _DUPLICATE

    def _add_fault(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(fault)


def _visibility(columns: _Columns, created: int, scope: Scope) -> Visibility:
    # a thin event is not in the Events API; what has no mode is not an event of Stripe's
    if columns.object != "event" or columns.livemode is None:
        return Visibility.NOT_AN_EVENT
    if columns.account is not None:
        return Visibility.CONNECTED_ACCOUNT
    if columns.livemode is not scope.livemode:
        return Visibility.OTHER_MODE
    if scope.time_range.may_be_deleted(created):
        return Visibility.MAYBE_DELETED
    return Visibility.LISTED if matches(columns.type or "", scope.types) else Visibility.OTHER_TYPE


def build_index(storage: Storage, scope: Scope) -> Index:
    """Return the index of what an archive has of a range, whenever it arrived.

    Reads from the day before the range up to the newest: a delivery can be three days late, and a
    gap can be filled at any time after.
    """
    index = Index()
    since = Days(day_of(scope.time_range.first)).widened()
    tasks = list(parallel.batches(objects_of(storage, since)))
    work = functools.partial(_read, storage, scope)
    with progress("Reading the archive", sum(map(len, tasks))) as bar:
        for task, part in zip(tasks, parallel.over_cores(work, tasks), strict=True):
            index.merge(part)
            bar.update(len(task))
    return index


def _read(storage: Storage, scope: Scope, objects: Sequence[StoredObject]) -> Index:
    index = Index()
    index.read(storage, scope, objects)
    return index
