"""The manifest of a day: every object with its SHA-256, and the SHA-256 of the manifest before.

Knows the form of a manifest and its key; reads and writes no storage. A manifest is JSON in one
line with sorted keys, without spaces and in ASCII. What is hashed and signed is these bytes.
"""

import hashlib
import json
import re
from datetime import date

import msgspec

from ..reading import BrokenError
from ..storage import ERASURES, MANIFESTS, SNAPSHOTS, WEBHOOKS, day_of

#: What is sealed. Columns in parquet/ are derived, and made again; errors/ has what Firehose could
#: not deliver.
SEALED_PREFIXES = (ERASURES, SNAPSHOTS, WEBHOOKS)

VERSION = 1

_KEY = re.compile(rf"{MANIFESTS}year=(\d{{4}})/month=(\d{{2}})/day=(\d{{2}})\.json", re.ASCII)


class SealedObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object as it was when it was sealed."""

    key: str
    records: int
    """Lines."""
    sha256: str
    """Of the bytes as stored, in hexadecimal digits."""
    size: int
    """Bytes as stored."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a day's folders held when they were sealed."""

    day: str
    """Such as 2026-11-23, in UTC."""
    event_ids_sha256: str
    """SHA-256 of the distinct event ids of the day's webhooks, sorted, with a newline between."""
    events: int
    """Distinct event ids."""
    late: tuple[SealedObject, ...]
    """Objects of earlier days that arrived after these had been sealed, in the order of keys."""
    objects: tuple[SealedObject, ...]
    """Objects of the day, in the order of keys."""
    previous: str | None
    """SHA-256 of the manifest of the day before; null for the first one."""
    records: int
    """Of `objects`."""
    sealed_at: str
    """UTC, ISO 8601 with seconds and Z."""
    version: int = VERSION

    def encoded(self) -> bytes:
        """Return the bytes of the manifest."""
        # not msgspec: the name of a file can be no UTF-8, and JSON in ASCII holds it all the same
        fields = msgspec.to_builtins(self)
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def parsed(data: bytes, day: date) -> Manifest:
    """Return the manifest that bytes are.

    Raises:
        BrokenError: they are none of that day.
    """
    try:
        fields = json.loads(data)
        if isinstance(fields, dict) and fields.get("version") != VERSION:
            raise BrokenError(f"a manifest of version {fields.get('version')!r}"[:60])
        manifest = msgspec.convert(fields, Manifest)
    except (ValueError, RecursionError):
        raise BrokenError("not a manifest") from None
    if manifest.encoded() != data:
        raise BrokenError("not as a manifest is written: the order, spaces or fields are others")
    if manifest.day != str(day):
        raise BrokenError("the manifest of another day")
    for stored in manifest.objects:
        if not stored.key.startswith(SEALED_PREFIXES) or day_of(stored.key) != day:
            raise BrokenError("it names an object that is not of its day")
    for stored in manifest.late:
        of_day = day_of(stored.key)
        if not stored.key.startswith(SEALED_PREFIXES) or of_day is None or of_day >= day:
            raise BrokenError("it names an object as late that is not of an earlier day")
    if len({stored.key for stored in manifest.objects + manifest.late}) != len(
        manifest.objects + manifest.late
    ):
        raise BrokenError("it names an object twice")
    return manifest


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, as everything here writes one."""
    return hashlib.sha256(data).hexdigest()


def key_of(day: date) -> str:
    """Return the key of a day's manifest."""
    return f"{MANIFESTS}year={day.year:04}/month={day.month:02}/day={day.day:02}.json"


def signature_key(day: date, sha: str) -> str:
    """Return the key of the signature of a day's manifest.

    It has the manifest's SHA-256 in it: the signature is written before the manifest, and what an
    interrupted run has signed must not be in the way of the next.
    """
    return key_of(day).removesuffix(".json") + f".{sha[:16]}.sig"


def manifest_day(key: str) -> date | None:
    """Return of which day a key is the manifest, None for a key that is no manifest's."""
    if not (found := _KEY.fullmatch(key)):
        return None
    try:
        return date(*map(int, found.groups()))
    except ValueError:
        return None
