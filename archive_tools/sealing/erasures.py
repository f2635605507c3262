"""What was erased: which objects were rewritten for it, before and after.

An object of erasures/ explains why objects are no longer as they were sealed. It is believed only
as far as it is itself what it should be: sealed and unchanged, or of a day that is not sealed yet.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import date

import msgspec

from ..reading import Faults, records
from ..storage import ERASURES, Storage
from .chain import Chain
from .objects import digest


class ErasureLine(msgspec.Struct, frozen=True, tag_field="kind", tag="erasure"):
    """An erasure: when, why, by whose order."""

    erasure: str
    erased_at: str
    reason: str
    by: str | None = None
    mode: str = "remove"


class ObjectLine(msgspec.Struct, frozen=True, tag_field="kind", tag="object"):
    """An object that was rewritten, or removed where nothing is left of it."""

    key: str
    sha256_before: str
    records_before: int
    sha256_after: str | None
    records_after: int


class EventLine(msgspec.Struct, frozen=True, tag_field="kind", tag="event"):
    """An event that was erased."""

    id_hash: str


class ObjectIdLine(msgspec.Struct, frozen=True, tag_field="kind", tag="object_id"):
    """An object of Stripe's that was erased, so that no snapshot has it again."""

    id_hash: str


class DoneLine(msgspec.Struct, frozen=True, tag_field="kind", tag="done"):
    """The end of an erasure, in an object of its own."""

    erasure: str


_decode = msgspec.json.Decoder(
    ErasureLine | ObjectLine | EventLine | ObjectIdLine | DoneLine
).decode


@dataclass
class Erasure:
    """An object of erasures/, and what it accounts for in the archive as it is now."""

    key: str
    sealed: date | None
    """With which day it was sealed; None where it is not sealed yet."""
    erased_at: str = ""
    reason: str = ""
    by: str | None = None
    mode: str = ""
    events: int = 0
    """Distinct events that it names."""
    objects: int = 0
    """Rewritten and removed ones that it accounts for."""
    records: int = 0
    """Lines that these have lost."""


@dataclass
class Erasures:
    """All that can be believed, and the steps from one state of an object to the next."""

    found: list[Erasure] = field(default_factory=list)
    steps: dict[str, list[tuple[ObjectLine, int]]] = field(default_factory=dict)
    """By key: each with the index of its erasure in `found`."""
    faults: Faults = field(default_factory=Faults)

    def path(self, key: str, before: str, after: str | None) -> list[tuple[ObjectLine, int]] | None:
        """Return the steps that lead from one SHA-256 of an object to another.

        None as `after` is an object that is not there. Returns None where no steps lead there.
        """
        begin: tuple[str | None, list[tuple[ObjectLine, int]]] = (before, [])
        waiting = deque([begin])
        seen: set[str | None] = {before}
        while waiting:
            at, steps = waiting.popleft()
            if at == after:
                return steps
            for step, erasure in self.steps.get(key, ()):
                if step.sha256_before == at and step.sha256_after not in seen:
                    seen.add(step.sha256_after)
                    waiting.append((step.sha256_after, [*steps, (step, erasure)]))
        return None

    def planned(self, key: str, sha: str) -> str | None:
        """Return the key of an erasure that was to rewrite an object as it is, None without one."""
        for step, erasure in self.steps.get(key, ()):
            if step.sha256_before == sha and step.sha256_after != sha:
                return self.found[erasure].key
        return None


def read_erasures(storage: Storage, chain: Chain) -> Erasures:
    """Return the erasures that can be believed.

    Those that are not as they were sealed, or stand in a sealed day without being sealed, are left
    out: the comparison of their day names them.
    """
    erasures = Erasures()
    days = chain.days
    under = storage.under(ERASURES)
    for day in under.days():
        for stored in under.objects(day):
            sealed = chain.erasures.get(stored.key)
            if sealed is None and days and day <= days.last:  # type: ignore[operator]
                continue
            if sealed and digest(storage, stored.key, sealed.object.sha256).sha256 != (
                sealed.object.sha256
            ):
                continue
            _read(storage, Erasure(stored.key, sealed.by if sealed else None), erasures)
    return erasures


def _read(storage: Storage, erasure: Erasure, erasures: Erasures) -> None:
    number = len(erasures.found)
    erasures.found.append(erasure)
    events: set[str] = set()
    for _, line in records(storage, erasure.key, _decode, erasures.faults):
        match line:
            case DoneLine():
                # it explains nothing, and is the one line of its object
                erasures.found.pop()
                return
            case ErasureLine():
                erasure.erased_at, erasure.reason = line.erased_at, line.reason
                erasure.by, erasure.mode = line.by, line.mode
            case ObjectLine():
                erasures.steps.setdefault(line.key, []).append((line, number))
            case EventLine():
                events.add(line.id_hash)
    erasure.events = len(events)
