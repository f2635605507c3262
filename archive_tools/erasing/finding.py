"""Where people are named in the objects of an archive: read over all cores, and changes nothing.

The objects are read twice. The first time finds what names a person, and the objects that are hers,
as her charges. The second time finds besides what names these objects alone, as their disputes, and
the other copies of the same events.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, NamedTuple

from ..days import Days
from ..errors import ToolError
from ..output import progress
from ..parallel import batches, over_cores, scan
from ..reading import DamageError, Fault, Faults, UnreachableError, lines
from ..storage import SNAPSHOTS, WEBHOOKS, Storage, StoredObject, day_of
from .people import PERSONAL, People, decoded, folded, others, undelivered

ERRORS = "errors/"


class Match(NamedTuple):
    """A line that names one of the people, or an object of theirs."""

    key: str
    line: int
    """Counted from 1."""
    id: str | None
    """Of the event, or of the object in a snapshot."""
    type: str | None
    """Of the event, or of the object in a snapshot."""
    day: date | None
    """In whose folder it lies."""
    is_direct: bool
    """Whether it names one of the people, and not only an object of theirs."""
    owned: tuple[str, ...]
    """Ids of what it is about, where that belongs to the people."""
    others: tuple[str, ...]
    """Other customers' ids and e-mail addresses in it."""
    text: bytes
    """The record."""

    @property
    def is_event(self) -> bool:
        """Whether it is an event; else it is an object in a snapshot."""
        return not self.key.startswith(SNAPSHOTS)


@dataclass
class Found:
    """All that names some people."""

    matches: list[Match] = field(default_factory=list)
    """In the order of keys and lines."""
    object_ids: frozenset[str] = frozenset()
    """Of the people, and of their objects."""
    in_tables: frozenset[str] = frozenset()
    """Ids of the events in tables made of the objects and in old versions of these."""
    faults: Faults = field(default_factory=Faults)
    """What could not be read, and may name them."""

    def __bool__(self) -> bool:
        """Whether anything names them."""
        return bool(self.matches or self.in_tables)

    @property
    def keys(self) -> list[str]:
        """The objects of the archive that have a match."""
        return list(dict.fromkeys(match.key for match in self.matches))

    @property
    def event_ids(self) -> frozenset[str]:
        """The ids of events."""
        ids = (match.id for match in self.matches if match.is_event and match.id is not None)
        return self.in_tables | set(ids)


def find(storage: Storage, whom: People, ids: Collection[str] = ()) -> Found:
    """Return all that names some people or their objects.

    Args:
        storage: the archive.
        whom: the people.
        ids: of events that name them in tables made of the objects.

    Raises:
        ToolError: the archive cannot be listed.
    """
    owned: set[str] = set()
    events: set[str] = set(ids)
    for match in _matches(storage, "Looking for who it is about", whom, whom, Faults()):
        owned.update(match.owned)
        if match.is_event and match.id is not None:
            events.add(match.id)
    object_ids = frozenset(one for one in owned | whom.ids if not one.startswith("evt_"))
    found = Found(object_ids=object_ids, in_tables=frozenset(ids))
    wanted = whom.with_ids(owned | events)
    label = "Looking for what belongs to it"
    found.matches = list(_matches(storage, label, wanted, whom, found.faults))
    return found


def _matches(
    storage: Storage, label: str, wanted: People, whom: People, faults: Faults
) -> Iterator[Match]:
    for part in _scanned(storage, label, partial(_read, storage, wanted, whom)):
        faults.extend(part[1])
        yield from part[0]


_Part = tuple[list[Match], Faults]


def _scanned(storage: Storage, label: str, work: "partial[_Part]") -> Iterator[_Part]:
    for prefix in (WEBHOOKS, SNAPSHOTS):
        below = storage.under(prefix)
        yield from scan(f"{label}: {prefix}", below, Days(), work)
        yield from over_cores(partial(work, None), batches(below.strays()))
    # Firehose's are by the kind of error, and by day below that
    with progress(f"{label}: {ERRORS}", 1):
        yield from over_cores(partial(work, None), batches(_errors(storage)))


def _errors(storage: Storage) -> Iterator[StoredObject]:
    below = storage.under(ERRORS)
    for day in below.days():
        yield from below.objects(day)
    yield from below.strays()


def _read(
    storage: Storage, wanted: People, whom: People, day: date | None, objects: list[StoredObject]
) -> _Part:
    matches, faults = [], Faults()
    for stored in objects:
        is_error = stored.key.startswith(ERRORS)
        try:
            for number, line in lines(storage, stored.key):
                text = undelivered(line) if is_error else line
                if wanted.names(text):
                    matches.append(_match(stored.key, number, text, day, whom))
        except DamageError as damage:
            faults.add(Fault(stored.key, damage.line, damage.what))
            faults.unreachable += isinstance(damage, UnreachableError)
    return matches, faults


def _match(key: str, number: int, text: bytes, day: date | None, whom: People) -> Match:
    record = decoded(text)
    record = record if isinstance(record, dict) else {}
    one_id = record.get("id")
    kind = record.get("object" if key.startswith(SNAPSHOTS) else "type")
    is_direct = whom.names(text)
    return Match(
        key,
        number,
        one_id if isinstance(one_id, str) else None,
        kind if isinstance(kind, str) else None,
        day or day_of(key),
        is_direct,
        tuple(_owned(key, record, whom)) if is_direct else (),
        tuple(sorted(others(text, whom))),
        text,
    )


def _owned(key: str, record: dict[str, Any], whom: People) -> Iterator[str]:
    """Yield the id of what a record is about, where that is of the people.

    A customer who only mentions an address, as a company its accountant's, is somebody else.
    """
    one = decoded(str(record.get("payload")).encode(errors="surrogatepass"))
    if not key.startswith(SNAPSHOTS):
        data = one.get("data") if isinstance(one, dict) else None
        one = data.get("object") if isinstance(data, dict) else None
    if not isinstance(one, dict) or not isinstance(one.get("id"), str):
        return
    if one.get("object") == "customer":
        if one["id"] in whom.ids or folded(str(one.get("email"))) in whom.emails:
            yield one["id"]
    elif one.get("object") in PERSONAL:
        yield one["id"]


def refuse_unreadable(faults: Faults) -> None:
    """Return where everything could be read.

    Raises:
        ToolError: something could not be read, and may name the person.
    """
    if not faults.count:
        return
    named = "\n  ".join(map(str, faults.first[:20]))
    raise ToolError(
        f"Not all of the archive can be read, and that may name the person too:\n  {named}",
        "mend or remove what is named here; --skip-unreadable erases from the rest",
    )
