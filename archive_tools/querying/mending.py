"""A damaged object as one that DuckDB can read: a copy with all that is left, and what is not.

DuckDB stops at the first thing that it cannot read. Knows the columns of a record, not what is
asked of them.
"""

import functools
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from webhook_app.events.record import Record

from ..output import progress
from ..parallel import batches, over_cores
from ..reading import DamageError, Fault, lines
from ..storage import Storage, StoredObject

_FASTEST = 1
_decode_record = msgspec.json.Decoder(Record).decode


class _TwiceError(ValueError):
    """An object names a key twice, of which DuckDB reads none."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


_next_json = json.JSONDecoder(object_pairs_hook=_object).raw_decode


@dataclass(frozen=True)
class Mended:
    """A damaged object: its faults, and whether anything of it can be read."""

    key: str
    faults: list[Fault]
    has_copy: bool


def mended(storage: Storage, objects: list[StoredObject], folder: Path) -> Iterator[Mended]:
    """Look through objects, over all cores, and yield those that are damaged.

    Args:
        storage: with the objects.
        objects: to look through.
        folder: gets a copy of what can be read of each, under the object's key.

    Yields:
        Each damaged object, in their order.
    """
    tasks = list(batches(objects))
    with progress("Looking for damage", len(objects)) as bar:
        work = functools.partial(_damaged, storage, folder)
        for task, found in zip(tasks, over_cores(work, tasks), strict=True):
            yield from found
            bar.update(len(task))


def _damaged(storage: Storage, folder: Path, objects: list[StoredObject]) -> list[Mended]:
    found = []
    for stored in objects:
        faults = [part for part in _parts(storage, stored.key) if isinstance(part, Fault)]
        if faults:
            found.append(Mended(stored.key, faults, _copied(storage, stored.key, folder)))
    return found


def _copied(storage: Storage, key: str, folder: Path) -> bool:
    copy = folder / key
    copy.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with gzip.open(copy, "wb", compresslevel=_FASTEST) as file:
        for part in _parts(storage, key):
            if isinstance(part, bytes):
                size += file.write(part + b"\n")
    return size > 0


def _parts(storage: Storage, key: str) -> Iterator[bytes | Fault]:
    """Yield each record of an object, and each fault, as they come."""
    try:
        for number, line in lines(storage, key):
            if _is_record(line):
                yield line
                continue
            records, what = _salvaged(line)
            yield from records
            if what:
                yield Fault(key, number, what)
    except DamageError as error:
        yield Fault(key, error.line, error.what)


def _is_record(line: bytes) -> bool:
    """Whether a line is just what the service writes, which is quickly told."""
    try:
        record = _decode_record(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return record.line() == line + b"\n" and _fits(record.created)


def _salvaged(line: bytes) -> tuple[list[bytes], str | None]:
    """Return the records of a line that is not as the service writes it, and what is wrong."""
    records: list[bytes] = []
    wrong: list[str] = []
    try:
        rest = line.decode().strip()
        while rest:
            value, end = _next_json(rest)
            record, what = _columns(value)
            records += [record] if record else []
            wrong += [what] if what else []
            rest = rest[end:].lstrip()
            if rest:
                wrong.append("more than one record on a line")
    except _TwiceError:
        wrong.append("a key twice")
    except (ValueError, OverflowError, RecursionError):  # also of UTF-8 and of msgspec
        wrong.append("not JSON")
    return records, ", ".join(dict.fromkeys(wrong)) or None


def _columns(value: Any) -> tuple[bytes | None, str | None]:
    """Return a record with null for what has another type than its column."""
    if not isinstance(value, dict):
        return None, "not an object"
    unfit = []
    if not _fits(value.get("created")):
        unfit.append("created")
    if not isinstance(value.get("livemode"), bool | None):
        unfit.append("livemode")
    what = f"{' and '.join(unfit)} of another type" if unfit else None
    return msgspec.json.encode(value | dict.fromkeys(unfit)), what


def _fits(created: Any) -> bool:
    """Whether it is null or a whole number of 64 bits."""
    return created is None or (type(created) is int and -(2**63) <= created < 2**63)
