"""Objects as their SHA-256 and the lines in them, over all cores and day by day.

Each object is opened once, and read to its end whatever is in it.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from typing import TypeVar

import msgspec

from ..output import progress
from ..parallel import batches, over_cores
from ..reading import DamageError, Readable, lines_of
from ..storage import WEBHOOKS, Storage, StoredObject
from .manifest import SEALED_PREFIXES

R = TypeVar("R")

_CHUNK_BYTES = 1 << 20


class _EventId(msgspec.Struct):
    id: str | None = None


_decode_id = msgspec.json.Decoder(_EventId).decode


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object as it is now."""

    key: str
    size: int
    sha256: str
    records: int
    """Lines; 0 where they were not counted."""
    damage: str = ""
    """What kept its lines from being read to the end."""
    unreadable: str = ""
    """Why it could not be read at all: then its SHA-256 is not known."""


@dataclass
class FoundDay:
    """What was found in the folders of a day, or of a part of it."""

    objects: list[FoundObject] = field(default_factory=list)
    event_ids: set[str] = field(default_factory=set)


class _Hashing:
    """The bytes of an object on their way to a reader, hashed."""

    def __init__(self, stored: Readable) -> None:
        self._stored = stored
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        data = self._stored.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def drained(self) -> str:
        """Read what is left, and return the SHA-256 of all."""
        while self.read(_CHUNK_BYTES):
            pass
        return self._hash.hexdigest()


def digest(
    storage: Storage, key: str, expected: str | None, use: Callable[[bytes], object] | None = None
) -> FoundObject:
    """Return an object as it is now, with its lines counted unless it is as expected.

    Args:
        storage: with the object.
        key: of the object.
        expected: SHA-256 of an object whose lines need not be counted; None to count them always.
        use: gets each line.
    """
    records, damage = 0, ""
    try:
        if expected is not None:
            with storage.open(key) as stored:
                hashing = _Hashing(stored)
                if (found := hashing.drained()) == expected:
                    return FoundObject(key, hashing.size, found, 0)
        with storage.open(key) as stored:
            hashing = _Hashing(stored)
            try:
                for number, line in lines_of(hashing):
                    records = number
                    if use:
                        use(line)
            except DamageError as error:
                damage = error.what
            found = hashing.drained()
    except OSError as error:
        return FoundObject(key, 0, "", 0, unreadable=f"{error.strerror or error}")
    return FoundObject(key, hashing.size, found, records, damage)


def sealed_batch(storage: Storage, batch: Sequence[StoredObject]) -> FoundDay:
    """Return what objects are and which events they have, for a manifest."""
    found = FoundDay()

    def take(line: bytes) -> None:
        try:
            if event_id := _decode_id(line).id:
                found.event_ids.add(event_id)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # `verify` says what is no record; its bytes are sealed all the same

    for stored in batch:
        use = take if stored.key.startswith(WEBHOOKS) else None
        found.objects.append(digest(storage, stored.key, None, use))
    return found


def day_batches(storage: Storage, day: date) -> Iterator[list[StoredObject]]:
    """Yield the objects of a day's folders in groups worth a task; an empty one if there are none.

    They are in the order of the prefixes and of the storage.
    """
    empty = True
    for prefix in SEALED_PREFIXES:
        for batch in batches(storage.under(prefix).objects(day)):
            empty = False
            yield batch
    if empty:
        yield []


def by_day(
    label: str, days: Sequence[date], tasks: Iterable[tuple[date, R]], work: Callable[[R], FoundDay]
) -> Iterator[tuple[date, FoundDay]]:
    """Yield each day with all that its tasks have found, over all cores, with a progress bar.

    `tasks` are in the order of days; each day has one at least.
    """
    with progress(label, len(days)) as bar:
        results = over_cores(_Task(work), tasks)
        for day, parts in itertools.groupby(results, key=itemgetter(0)):
            whole = FoundDay()
            for _, part in parts:
                whole.objects += part.objects
                whole.event_ids |= part.event_ids
            yield day, whole
            bar.update(1)


@dataclass(frozen=True)
class _Task:
    work: Callable[..., FoundDay]

    def __call__(self, task: tuple[date, object]) -> tuple[date, FoundDay]:
        return task[0], self.work(task[1])
