"""The index of an archive: where each of its events is, and whether Stripe's list should have it.

Read over all cores; knows records, but not their payloads.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

import msgspec

from .. import parallel
from ..days import Days
from ..erasing.erased import Erased, read_erased
from ..output import progress
from ..reading import Faults, records
from ..storage import Storage, StoredObject, objects_of
from .options import matches
from .time_range import TimeRange, day_of


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


_decode = msgspec.json.Decoder(_Columns).decode


class Entry(NamedTuple):
    """The first record of an event."""

    key: str
    """Of its object."""
    line: int
    """Counted from 1."""
    visibility: Visibility


@dataclass
class Index:
    """The events of an archive by id: some 250 bytes each."""

    entries: dict[str, Entry] = field(default_factory=dict)
    extra_copies: Counter[str] = field(default_factory=Counter)
    """Records beyond the first, of the events that have several."""
    not_events: int = 0
    """Records that arrived since the beginning of the range, without an event's id or time."""
    faults: Faults = field(default_factory=Faults)
    erased: Erased = field(default_factory=Erased)
    """What was erased: it is not in the index, and nothing writes it again."""

    def __contains__(self, event_id: str) -> bool:
        """Whether the archive has an event, so that nothing has to write it."""
        return event_id in self.entries

    def add(self, event_id: str, entry: Entry) -> None:
        """Add a record of an event."""
        if event_id in self.entries:
            self.extra_copies[event_id] += 1
        else:
            self.entries[event_id] = entry

    def merge(self, part: "Index") -> None:
        """Add what the index of later objects has."""
        for event_id, entry in part.entries.items():
            self.add(event_id, entry)
        self.extra_copies += part.extra_copies
        self.not_events += part.not_events
        self.faults.extend(part.faults)


def build_index(storage: Storage, scope: Scope) -> Index:
    """Return the index of what an archive has of a range, whenever it arrived.

    Reads from the day before the range up to the newest: a delivery can be three days late, and a
    gap can be filled at any time after.

    Raises:
        ToolError: the archive cannot be listed, or what was erased cannot be read.
    """
    index = Index(erased=read_erased(storage))
    since = Days(day_of(scope.time_range.first)).widened()
    tasks = list(parallel.batches(objects_of(storage, since)))
    work = functools.partial(_read, storage, scope, index.erased)
    with progress("Reading the archive", sum(map(len, tasks))) as bar:
        for task, part in zip(tasks, parallel.over_cores(work, tasks), strict=True):
            index.merge(part)
            bar.update(len(task))
    return index


def _read(storage: Storage, scope: Scope, erased: Erased, objects: Sequence[StoredObject]) -> Index:
    index = Index()
    first, last = scope.time_range.first, scope.time_range.last
    for stored in objects:
        for number, columns in records(storage, stored.key, _decode, index.faults):
            if columns.id is None or columns.created is None:
                index.not_events += columns.received_at.timestamp() >= first
            elif first <= columns.created <= last and not erased.has_event(columns.id):
                visibility = _visibility(columns, columns.created, scope)
                index.add(columns.id, Entry(stored.key, number, visibility))
    return index


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
