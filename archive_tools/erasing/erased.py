"""What was erased, as the objects below `erasures/` say: hashes of ids, and no personal data.

Everything that writes events or objects into the archive asks here, so that nothing comes back.

An id is hashed by SHA-256 without a key. Stripe's ids have 14 (a customer's) or 24 (an event's)
random characters of 62, too many to try them all. A key could be lost, and the list with it.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from ..errors import ToolError
from ..reading import DamageError, lines
from ..storage import ERASURES, Storage

#: As Stripe's ids are, and some other words; the rest of a payload is not hashed.
_ID = re.compile(rb"[a-z]+_[A-Za-z0-9_]+")


class Entry(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A line of an erasure's object; `kind` says which of the fields it has."""

    kind: str
    """`erasure`, once and first; `object`, `event`, `object_id`; or `done`, which is alone."""
    erased_at: str = ""
    """UTC, ISO 8601 with microseconds and Z; also of `done`."""
    erasure: str = ""
    """The erasure's own id, a random UUID; also of `done`."""
    reason: str = ""
    by: str = ""
    mode: str = ""
    """`remove` or `redact`."""
    key: str = ""
    """Of `object`: an object of the archive that is rewritten or removed."""
    sha256_before: str = ""
    size_before: int = -1
    records_before: int = -1
    sha256_after: str | msgspec.UnsetType | None = msgspec.UNSET
    """null where the object is removed."""
    size_after: int = -1
    records_after: int = -1
    lines: tuple[int, ...] = ()
    """Of `object`: the lines that go, counted from 1."""
    id_hash: str = ""
    """Of `event` and `object_id`: SHA-256 of an id, in hexadecimal."""


@dataclass
class Erasure:
    """One erasure: what it is, and what it takes out."""

    head: Entry
    key: str
    """Of the object that lists it."""
    objects: list[Entry] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    """Hashes of ids."""
    object_ids: list[str] = field(default_factory=list)
    """Hashes of ids."""


@dataclass
class Erased:
    """What all erasures together say. It can be pickled."""

    events: frozenset[str] = frozenset()
    """Hashes of the ids of events."""
    objects: dict[str, float] = field(default_factory=dict)
    """Hashes of the ids of objects, with the Unix seconds of their last erasure."""
    unfinished: list[Erasure] = field(default_factory=list)

    def has_event(self, event_id: str | None) -> bool:
        """Whether an event of this id was erased."""
        return bool(self.events) and event_id is not None and id_hash(event_id) in self.events

    def covers(self, payload: bytes, created: int) -> bool:
        """Whether something of Stripe's names an object that was erased after it was made.

        Args:
            payload: JSON of an event, or of a listed object.
            created: Unix seconds at which it was made.
        """
        if not self.objects:
            return False
        return any(created <= self.objects.get(one, -1.0) for one in _hashes(payload))


def id_hash(any_id: str) -> str:
    """Return the hash by which the lists name an id."""
    # Python reads half a surrogate pair, which has no UTF-8
    return hashlib.sha256(any_id.encode(errors="surrogatepass")).hexdigest()


def names_hashed(text: bytes, hashes: Collection[str]) -> bool:
    """Whether JSON has an id in it whose hash is one of these."""
    return any(one in hashes for one in _hashes(text))


def _hashes(text: bytes) -> Iterator[str]:
    return (hashlib.sha256(word).hexdigest() for word in set(_ID.findall(text)))


def read_erased(storage: Storage) -> Erased:
    """Return what was erased from an archive.

    Raises:
        ToolError: a list cannot be read, so an erased event could be written again.
    """
    events: set[str] = set()
    objects: dict[str, float] = {}
    erasures: dict[str, Erasure] = {}
    done: set[str] = set()
    for key, entry in _entries(storage.under(ERASURES)):
        if entry.kind == "erasure":
            current = Erasure(entry, key)
            erasures[entry.erasure] = current
        elif entry.kind == "object":
            current.objects.append(entry)
        elif entry.kind == "event":
            current.events.append(entry.id_hash)
            events.add(entry.id_hash)
        elif entry.kind == "object_id":
            current.object_ids.append(entry.id_hash)
            at = datetime.fromisoformat(current.head.erased_at).replace(tzinfo=UTC).timestamp()
            objects[entry.id_hash] = max(at, objects.get(entry.id_hash, 0.0))
        elif entry.kind == "done":
            done.add(entry.erasure)
    unfinished = [one for name, one in erasures.items() if name not in done]
    return Erased(frozenset(events), objects, unfinished)


_decode = msgspec.json.Decoder(Entry).decode


def _entries(storage: Storage) -> Iterator[tuple[str, Entry]]:
    for day in storage.days():
        for stored in storage.objects(day):
            try:
                for number, line in lines(storage, stored.key):
                    entry = _decode(line)
                    if number == 1 and entry.kind not in ("erasure", "done"):
                        raise _unreadable(stored.key)
                    yield stored.key, entry
            except (DamageError, msgspec.DecodeError) as error:
                raise _unreadable(stored.key) from error


def _unreadable(key: str) -> ToolError:
    return ToolError(
        f"{key} cannot be read, so it is not known what was erased; nothing is written",
        "give these credentials the right to read erasures/ of the archive, as "
        "deploy/iam/read.json does, or bring the object back as it was",
    )
