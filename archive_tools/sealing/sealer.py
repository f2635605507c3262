"""Seals the days that are over: a manifest each, chained to the one before."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

from ..days import Days
from ..errors import ToolError
from ..parallel import batches, over_cores
from ..reading import BrokenError
from ..storage import MANIFESTS, Storage, StoredObject
from .manifest import (
    SEALED_PREFIXES,
    Manifest,
    SealedObject,
    key_of,
    manifest_day,
    parsed,
    sha256,
    signature_key,
)
from .objects import FoundObject, by_day, day_batches, sealed_batch
from .writing import write_new

#: Stripe's own first year: a folder of an earlier day is somebody's mistake, and would be followed
#: by thousands of empty days.
_EARLIEST = date(2011, 1, 1)

#: Days before the head in which late objects are looked for. Firehose tries for 24 hours to deliver
#: to S3: https://docs.aws.amazon.com/firehose/latest/dev/basic-deliver.html
LATE_DAYS = 7

_CHECK = "`flask archive verify --sealed` says what is wrong with the chain"

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class SealedDay:
    """A day that has been sealed."""

    day: date
    sha256: str
    """Of its manifest."""
    objects: int
    records: int
    events: int
    """Distinct event ids."""
    late: int
    """Objects of earlier days."""
    damaged: int
    """Objects whose lines cannot be read to the end; their bytes are sealed."""


def manifest_days(storage: Storage) -> list[date]:
    """Return the days that have a manifest, oldest first.

    Raises:
        ToolError: the archive cannot be listed.
    """
    found = (manifest_day(stored.key) for stored in storage.under(MANIFESTS).strays())
    return sorted(day for day in found if day)


def manifest_bytes(storage: Storage, day: date) -> bytes:
    """Return the bytes of a day's manifest.

    Raises:
        OSError: it is not there or cannot be read.
    """
    with storage.open(key_of(day)) as stored:
        return stored.read()


def archive_days(storage: Storage) -> list[date]:
    """Return the days that have a folder below any sealed prefix, oldest first."""
    return sorted({day for prefix in SEALED_PREFIXES for day in storage.under(prefix).days()})


def head(storage: Storage) -> tuple[date, str] | None:
    """Return the last sealed day and the SHA-256 of its manifest, None where nothing is sealed.

    Raises:
        ToolError: its manifest cannot be read.
    """
    if not (days := manifest_days(storage)):
        return None
    data, _ = _read(storage, days[-1])
    return days[-1], sha256(data)


def seal(
    storage: Storage, now: datetime, wait: timedelta, late_from: date | None, sign: Sign | None
) -> Iterator[SealedDay]:
    """Seal each day that is not sealed and has been over for `wait`; yield it once it is sealed.

    Args:
        storage: the archive.
        now: UTC.
        wait: how long what a day received can be on its way.
        late_from: first day in which late objects are looked for; None for the last few.
        sign: returns what to keep as the signature of a manifest.

    Raises:
        ToolError: an object cannot be read or the manifest not be written. Days that were yielded
            stay sealed.
    """
    last_sealed = head(storage)
    days = Days(_first(storage, last_sealed), (now - wait).date() - timedelta(days=1))
    if days.first is None or days.last is None or days.first > days.last:
        return
    late: list[SealedObject] = []
    damaged: list[str] = []
    if last_sealed:
        missed = _late(storage, late_from, last_sealed[0])
        for found in over_cores(partial(sealed_batch, storage), batches(missed)):
            late += _sealed(storage, found.objects, damaged)
    previous = last_sealed[1] if last_sealed else None
    wanted = list(days)
    tasks = ((day, batch) for day in wanted for batch in day_batches(storage, day))
    for day, found in by_day("Sealing, day by day", wanted, tasks, partial(sealed_batch, storage)):
        objects = _sealed(storage, found.objects, damaged)
        manifest = Manifest(
            day=str(day),
            event_ids_sha256=sha256("\n".join(sorted(found.event_ids)).encode()),
            events=len(found.event_ids),
            late=tuple(sorted(late, key=lambda stored: stored.key)),
            objects=tuple(sorted(objects, key=lambda stored: stored.key)),
            previous=previous,
            records=sum(stored.records for stored in objects),
            sealed_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        data = manifest.encoded()
        previous = sha256(data)
        if sign:
            write_new(storage, signature_key(day, previous), sign(data), "application/json")
        write_new(storage, key_of(day), data, "application/json")
        yield SealedDay(
            day=day,
            sha256=previous,
            objects=len(objects),
            records=manifest.records,
            events=manifest.events,
            late=len(late),
            damaged=len(damaged),
        )
        late, damaged = [], []


def _first(storage: Storage, last_sealed: tuple[date, str] | None) -> date | None:
    if last_sealed:
        return last_sealed[0] + timedelta(days=1)
    days = archive_days(storage)
    if days and days[0] < _EARLIEST:
        raise ToolError(
            f"{storage.name} has a folder of {days[0]}, when there was no Stripe",
            "find out who put it there, and take it away: every day from there on would be sealed",
        )
    return days[0] if days else None


def _late(storage: Storage, first: date | None, last: date) -> list[StoredObject]:
    """Return the objects of sealed days that no manifest names."""
    if first is None:
        first = last - timedelta(days=LATE_DAYS - 1)
    known: set[str] = set()
    for day in manifest_days(storage):
        if day >= first:
            _, manifest = _read(storage, day)
            known.update(stored.key for stored in manifest.objects + manifest.late)
    return [
        stored
        for day in archive_days(storage)
        if first <= day <= last
        for batch in day_batches(storage, day)
        for stored in batch
        if stored.key not in known
    ]


def _read(storage: Storage, day: date) -> tuple[bytes, Manifest]:
    try:
        data = manifest_bytes(storage, day)
        return data, parsed(data, day)
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
    except BrokenError as error:
        why = f"is broken: {error}"
    raise ToolError(f"{key_of(day)} {why}", _CHECK)


def _sealed(storage: Storage, found: list[FoundObject], damaged: list[str]) -> list[SealedObject]:
    for stored in found:
        if stored.unreadable:
            raise ToolError(
                f"{stored.key} of {storage.name} cannot be read: {stored.unreadable}",
                "see that this user may read it and that it is in no class of Glacier; then run "
                "this again: it goes on from this day",
            )
        if stored.damage:
            damaged.append(stored.key)
    return [SealedObject(o.key, o.records, o.sha256, o.size) for o in found]
