"""An erasure from its plan to its end: the list first, then the objects, then what is made of them.

The list names each object before and after, so that the next run can finish an interrupted
erasure. Each change of the archive is explained in the list before it is made.
"""

import gzip
import hashlib
import time
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import msgspec

from webhook_app.storage.archive import dated_key

from ..errors import ToolError
from ..output import progress
from ..parallel import over_cores
from ..storage import ERASURES, WEBHOOKS
from .erased import Entry, Erasure, id_hash
from .finding import Found
from .objects import Content, Objects
from .redaction import tombstone_line

Put = Callable[[str, bytes], None]
"""Stores lines as the object of a new key, packed; what returned is durable."""

REMOVE, REDACT = "remove", "redact"

_GZIP = b"\x1f\x8b"


@dataclass
class Outcome:
    """What came of an erasure."""

    rewritten: int = 0
    removed: int = 0
    """Objects in which nothing was left."""
    left: list[str] = field(default_factory=list)
    """What is not done, and why."""


def plan(
    objects: Objects, found: Found, reason: str, by: str, mode: str
) -> tuple[list[Entry], Erasure, list[str]]:
    """Return the lines of an erasure's list, the same as it is read from there, and what is left.

    Left are objects that are damaged: rewriting one would hide that.

    Raises:
        ToolError: an object cannot be read.
    """
    doomed: dict[str, list[int]] = defaultdict(list)
    for match in found.matches:
        doomed[match.key].append(match.line)
    now = _now()
    head = Entry(
        kind="erasure", erased_at=now, erasure=str(uuid.uuid4()), reason=reason, by=by, mode=mode
    )
    entries = [head]
    erasure = Erasure(head, dated_key(ERASURES.rstrip("/"), now))
    left = []
    with progress("Planning", len(doomed)) as bar:
        work = partial(_planned, objects, mode)
        tasks = [(key, tuple(numbers)) for key, numbers in doomed.items()]
        for (key, _), entry in zip(tasks, over_cores(work, tasks), strict=True):
            if entry is None:
                left.append(f"{key}: it is damaged; remove it, if nothing else helps")
            elif entry.sha256_after != entry.sha256_before:
                erasure.objects.append(entry)
            bar.update(1)
    entries += erasure.objects
    erasure.events = sorted(map(id_hash, found.event_ids))
    entries += [Entry(kind="event", id_hash=one) for one in erasure.events]
    erasure.object_ids = sorted(map(id_hash, found.object_ids))
    entries += [Entry(kind="object_id", id_hash=one) for one in erasure.object_ids]
    return entries, erasure, left


def _now() -> str:
    moment = datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds") + "Z"


def _planned(objects: Objects, mode: str, task: tuple[str, tuple[int, ...]]) -> Entry | None:
    key, numbers = task
    content = _content(objects, key)
    if content is None:
        raise ToolError(f"{key} is gone since it was read", "call this again")
    before = content.data
    try:
        after, count_before, count_after = _rewritten(before, numbers, _keeps(key, mode))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None
    return Entry(
        kind="object",
        key=key,
        sha256_before=_sha256(before),
        size_before=len(before),
        records_before=count_before,
        sha256_after=None if after is None else _sha256(after),
        size_after=len(after or b""),
        records_after=count_after,
        lines=numbers,
    )


def _keeps(key: str, mode: str) -> bool:
    """Whether a tombstone stays: of events alone, as nothing else has an order to keep."""
    return mode == REDACT and key.startswith(WEBHOOKS)


def _content(objects: Objects, key: str) -> Content | None:
    try:
        return objects.read(key)
    except OSError as error:
        raise ToolError(
            f"{key} cannot be read: {error.strerror or error}",
            "give these credentials the right to read it, and call this again",
        ) from error


def _rewritten(
    data: bytes, numbers: Iterable[int], keeps_tombstones: bool
) -> tuple[bytes | None, int, int]:
    """Return an object without some of its lines, None where nothing is left.

    Also the records before and after. All other bytes of the text stay as they are.
    """
    is_packed = data.startswith(_GZIP)
    lines = (gzip.decompress(data) if is_packed else data).split(b"\n")
    before = sum(map(bool, lines))
    for number in sorted(numbers, reverse=True):
        left = tombstone_line(lines[number - 1]) if keeps_tombstones else None
        lines[number - 1 : number] = [] if left is None else [left]
    after = sum(map(bool, lines))
    if not after:
        return None, before, 0
    text = b"\n".join(lines)
    # as the service packs: the same text is always the same bytes
    return (gzip.compress(text, 6, mtime=0) if is_packed else text), before, after


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_list(put: Put, key: str, entries: Iterable[Entry]) -> None:
    """Write a list below `erasures/`, durable when this returns.

    Raises:
        ToolError: the archive did not take it.
    """
    put(key, b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))


def carry_out(objects: Objects, erasure: Erasure) -> Outcome:
    """Do what an erasure's list says and is not done yet.

    Raises:
        ToolError: an object cannot be read or written.
    """
    outcome = Outcome()
    with progress("Erasing", len(erasure.objects)) as bar:
        for entry in erasure.objects:
            _carry_out(objects, entry, erasure.head.mode, outcome)
            bar.update(1)
    return outcome


def _carry_out(objects: Objects, entry: Entry, mode: str, outcome: Outcome) -> None:
    content = _content(objects, entry.key)
    is_removed = entry.sha256_after is None
    if content is not None and (found := _sha256(content.data)) != entry.sha256_after:
        if found != entry.sha256_before:
            outcome.left.append(f"{entry.key}: it was changed since the erasure was planned")
            return
        after, *_ = _rewritten(content.data, entry.lines, _keeps(entry.key, mode))
        if after is None:
            objects.remove(entry.key)
        elif _sha256(after) == entry.sha256_after:
            objects.replace(entry.key, after, content)
        else:
            raise ToolError(
                f"{entry.key} would become other bytes than was planned",
                "go on with the Python of the erasure that was interrupted: its gzip is another",
            )
    outcome.removed += is_removed
    outcome.rewritten += not is_removed
    if refused := objects.remove_old_versions(entry.key):
        outcome.left.append(f"{entry.key}: an old version is still there ({refused})")


def write_done(put: Put, erasure: Erasure) -> None:
    """Write that nothing of an erasure is left to do.

    Raises:
        ToolError: the archive did not take it.
    """
    now = _now()
    done = Entry(kind="done", erasure=erasure.head.erasure, erased_at=now)
    write_list(put, dated_key(ERASURES.rstrip("/"), now, "-done"), [done])
