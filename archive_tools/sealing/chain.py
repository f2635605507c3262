"""The chain of manifests, read from the first to the last: is each the one that the next names?"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

from ..days import Days
from ..errors import ToolError
from ..reading import BrokenError, Fault, Faults
from ..storage import ERASURES, Storage, day_of
from .manifest import Manifest, SealedObject, key_of, parsed, sha256
from .sealer import manifest_bytes, manifest_days


@dataclass(frozen=True)
class Sealed:
    """An object as it was sealed, and with which day."""

    object: SealedObject
    by: date
    """Its own day, or a later one where it arrived late."""


@dataclass
class Chain:
    """What the manifests say. Of their objects it keeps the late ones and the erasures alone."""

    sha256: dict[date, str] = field(default_factory=dict)
    """Of each manifest, by its day, in the order of days."""
    broken: set[date] = field(default_factory=set)
    """Days whose manifest is missing or cannot be used: nothing is known of their objects."""
    is_cut: bool = False
    """Whether manifests before the first one that is there are missing."""
    late: dict[date, list[Sealed]] = field(default_factory=dict)
    """Objects that arrived late, by the day in whose folder they are."""
    erasures: dict[str, Sealed] = field(default_factory=dict)
    """Objects below erasures/, by key."""
    faults: Faults = field(default_factory=Faults)

    @property
    def days(self) -> Days | None:
        """The sealed days, None where there are none."""
        return Days(min(self.sha256), max(self.sha256)) if self.sha256 else None

    def covers(self, day: date) -> bool:
        """Return whether an object of a day must be named in a manifest."""
        if not self.sha256 or day in self.broken or day > max(self.sha256):
            return False
        return not (self.is_cut and day < min(self.sha256))

    def day_of(self, sha: str) -> date | None:
        """Return of which day the manifest of a SHA-256 is."""
        return next((day for day, found in self.sha256.items() if found == sha), None)


def read_chain(storage: Storage, visit: Callable[[date, bytes], None] | None = None) -> Chain:
    """Return what the manifests say, with what is wrong in their chain.

    Args:
        storage: the archive.
        visit: gets each manifest that is there, in the order of days.

    Raises:
        ToolError: the archive cannot be listed.
    """
    chain = Chain()
    if not (found := manifest_days(storage)):
        return chain
    there = set(found)
    for day in Days(found[0], found[-1]):
        before = day - timedelta(days=1)
        if day not in there:
            _fault(chain, day, "missing")
            continue
        try:
            data = manifest_bytes(storage, day)
        except OSError as error:
            _fault(chain, day, f"cannot be read: {error.strerror or error}")
            continue
        chain.sha256[day] = sha256(data)
        if visit:
            visit(day, data)
        try:
            manifest = parsed(data, day)
        except BrokenError as error:
            _fault(chain, day, str(error))
            continue
        if day == found[0]:
            if manifest.previous is not None:
                chain.is_cut = True
                _fault(chain, before, "missing, and those before it may be")
        elif before in chain.sha256 and manifest.previous != chain.sha256[before]:
            _fault(chain, before, f"not the manifest that the one of {day} was chained to", False)
        _take(chain, day, manifest)
    return chain


def _fault(chain: Chain, day: date, what: str, unusable: bool = True) -> None:
    chain.faults.add(Fault(key_of(day), None, what))
    if unusable:
        chain.broken.add(day)


def _take(chain: Chain, day: date, manifest: Manifest) -> None:
    for stored in manifest.late:
        if of_day := day_of(stored.key):
            chain.late.setdefault(of_day, []).append(Sealed(stored, day))
    for stored in manifest.objects + manifest.late:
        if stored.key.startswith(ERASURES):
            chain.erasures.setdefault(stored.key, Sealed(stored, day))


def sealed_objects(storage: Storage, chain: Chain, day: date) -> dict[str, Sealed]:
    """Return the objects of a day as they were sealed, by key.

    Late ones are those that the day's own manifest does not have.

    Raises:
        ToolError: the day's manifest is no longer what it was when the chain was read.
    """
    sealed: dict[str, Sealed] = {}
    if day in chain.sha256 and day not in chain.broken:
        try:
            data = manifest_bytes(storage, day)
        except OSError:
            data = b""
        if sha256(data) != chain.sha256[day]:
            raise ToolError(f"{key_of(day)} was changed while it was read", "run this again")
        sealed = {stored.key: Sealed(stored, day) for stored in parsed(data, day).objects}
    for late in chain.late.get(day, ()):
        sealed.setdefault(late.object.key, late)
    return sealed
