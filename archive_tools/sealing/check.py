"""The archive as it is against the archive as it was sealed, day by day."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from ..days import Days
from ..reading import Fault, Faults
from ..storage import Storage, StoredObject
from .chain import Chain, Sealed, sealed_objects
from .erasures import Erasures
from .manifest import SEALED_PREFIXES
from .objects import FoundDay, FoundObject, by_day, day_batches, digest
from .sealer import archive_days

#: Objects with the SHA-256 that each was sealed with, None for one that no manifest names.
_Task = list[tuple[StoredObject, str | None]]


@dataclass(frozen=True)
class LateObject:
    """An object that arrived after its day had been sealed, as it was sealed then."""

    key: str
    sealed: date
    """With which day."""


@dataclass
class Compared:
    """What was found in days. Adds up."""

    objects: int = 0
    """As they were sealed."""
    records: int = 0
    """Of these."""
    stored_bytes: int = 0
    """Of these."""
    erased_objects: int = 0
    """Not as they were sealed, and erasures account for that."""
    erased_records: int = 0
    unsealed: int = 0
    """Objects of days of which nothing is known."""
    late: list[LateObject] = field(default_factory=list)
    changed: Faults = field(default_factory=Faults)
    missing: Faults = field(default_factory=Faults)
    added: Faults = field(default_factory=Faults)
    unreadable: Faults = field(default_factory=Faults)
    pending: Faults = field(default_factory=Faults)
    """Objects that an erasure was to rewrite, and that are as they were before."""
    by_erasure: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Objects and lines that each erasure accounts for, by its number."""

    KINDS = ("changed", "missing", "added", "unreadable", "pending")

    def extend(self, other: "Compared") -> None:
        """Add what was found in other days."""
        for name in (
            "objects",
            "records",
            "stored_bytes",
            "erased_objects",
            "erased_records",
            "unsealed",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.late += other.late
        for name in self.KINDS:
            getattr(self, name).extend(getattr(other, name))
        for number, (objects, lines) in other.by_erasure.items():
            known = self.by_erasure.get(number, (0, 0))
            self.by_erasure[number] = (known[0] + objects, known[1] + lines)


def days_to_check(storage: Storage, chain: Chain, days: Days) -> list[date]:
    """Return the days of a range in which there is, or was, something that can be sealed."""
    known = {*chain.sha256, *chain.broken, *chain.late, *archive_days(storage)}
    return sorted(day for day in known if day in days)


def check(storage: Storage, chain: Chain, erasures: Erasures, days: Days) -> Compared:
    """Return what a range of days holds against what was sealed, read over all cores.

    Raises:
        ToolError: the archive cannot be listed.
    """
    total = Compared()
    sealed: dict[date, dict[str, Sealed]] = {}
    wanted = days_to_check(storage, chain, days)

    def tasks() -> Iterator[tuple[date, _Task]]:
        for day in wanted:
            sealed[day] = sealed_objects(storage, chain, day)
            for task in _tasks(storage, day, sealed[day]):
                yield day, task

    work = partial(_digest_batch, storage)
    for day, found in by_day("Checking, day by day", wanted, tasks(), work):
        total.extend(compare(chain, erasures, day, sealed.pop(day), found.objects))
    return total


def check_strays(storage: Storage) -> Compared:
    """Return what lies below the sealed prefixes and in no day's folder."""
    found = Compared()
    for prefix in SEALED_PREFIXES:
        for stray in storage.under(prefix).strays():
            found.added.add(Fault(stray.key, None, "in no day's folder: no manifest can name it"))
    return found


def _tasks(storage: Storage, day: date, sealed: dict[str, Sealed]) -> Iterator[_Task]:
    for batch in day_batches(storage, day):
        yield [
            (stored, known.object.sha256 if (known := sealed.get(stored.key)) else None)
            for stored in batch
        ]


def _digest_batch(storage: Storage, task: _Task) -> FoundDay:
    # what no manifest names is named by its key: there is nothing to compare it with
    return FoundDay(
        [
            digest(storage, stored.key, sha) if sha else FoundObject(stored.key, stored.size, "", 0)
            for stored, sha in task
        ]
    )


def compare(
    chain: Chain,
    erasures: Erasures,
    day: date,
    sealed: dict[str, Sealed],
    found: Iterable[FoundObject],
) -> Compared:
    """Return how the objects found in a day's folders differ from those that were sealed."""
    result = Compared()
    missing = dict(sealed)
    for stored in sorted(found, key=lambda stored: stored.key):
        before = missing.pop(stored.key, None)
        if before and before.by != day:
            result.late.append(LateObject(stored.key, before.by))
        if before is None:
            if chain.covers(day):
                what = "not sealed: it arrived late, or somebody has put it there"
                result.added.add(Fault(stored.key, None, what))
            else:
                result.unsealed += 1
        elif stored.unreadable:
            what = f"cannot be read: {stored.unreadable}"
            result.unreadable.add(Fault(stored.key, None, what))
        elif stored.sha256 == before.object.sha256:
            result.objects += 1
            result.records += before.object.records
            result.stored_bytes += before.object.size
        else:
            _explain(result, erasures, before, stored.sha256, stored.records)
        if stored.sha256 and (erasure := erasures.planned(stored.key, stored.sha256)):
            what = f"still has what {erasure} was to erase"
            result.pending.add(Fault(stored.key, None, what))
    for before in missing.values():
        _explain(result, erasures, before, None, 0)
    return result


def _explain(
    result: Compared, erasures: Erasures, before: Sealed, after: str | None, records: int
) -> None:
    """Count an object as erased where erasures lead from its sealed bytes to those found."""
    stored = before.object
    faults = result.missing if after is None else result.changed
    steps = erasures.path(stored.key, stored.sha256, after)
    if steps is None:
        what = "removed" if after is None else "not the bytes that were sealed"
        faults.add(Fault(stored.key, None, f"{what} (sealed with {before.by})"))
        return
    counted = stored.records
    for step, _ in steps:
        if step.records_before != counted or step.records_after > step.records_before:
            break
        counted = step.records_after
    else:
        if counted == records:
            result.erased_objects += 1
            result.erased_records += stored.records - records
            for step, erasure in steps:
                objects, lines = result.by_erasure.get(erasure, (0, 0))
                lines += step.records_before - step.records_after
                result.by_erasure[erasure] = (objects + 1, lines)
            return
    erasure_key = erasures.found[steps[-1][1]].key
    what = f"{erasure_key} accounts for another number of records than it lost"
    faults.add(Fault(stored.key, None, what))
