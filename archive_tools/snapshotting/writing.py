"""Snapshots into an archive: many objects of Stripe's in each of its own, below `snapshots/`.

Knows lines, keys and how they are written; asks Stripe nothing.
"""

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from webhook_app.storage.archive import ArchiveError, dated_key
from webhook_app.storage.local import LocalArchive

from ..errors import ToolError
from ..reconciling.pages import Page, StripeObject
from ..storage import SNAPSHOTS, FolderStorage, Storage, error_code, s3_client

#: Of the lines of one object of the archive, before gzip.
_MOST_BYTES = 16_000_000

Put = Callable[[str, bytes], None]


class SnapshotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One listed object: the columns of `stripe_snapshots`, in its order."""

    snapshot_at: str
    """When it was asked for: UTC, ISO 8601 with microseconds and Z."""
    object: str
    id: str
    livemode: bool
    account: str | None = None
    """Always null: a key lists its own account."""
    api_version: str | None
    payload: str
    """The object's JSON as it stood in the list."""

    def line(self) -> bytes:
        """Return the record as JSON, ending in the one newline it has."""
        return msgspec.json.encode(self) + b"\n"


def snapshot_records(page: Page[StripeObject], livemode: bool) -> list[SnapshotRecord]:
    """Return a page's records. `livemode` is the key's, for objects that do not say."""
    moment = datetime.fromtimestamp(page.asked_at, UTC).replace(tzinfo=None)
    return [
        SnapshotRecord(
            snapshot_at=moment.isoformat(timespec="microseconds") + "Z",
            object=columns.object,
            id=columns.id,
            livemode=livemode if columns.livemode is None else columns.livemode,
            api_version=page.api_version,
            payload=payload.decode(),
        )
        for columns, payload in page.items
    ]


@dataclass
class SnapshotWriter:
    """Writes the records of one list after the other. One thread uses it."""

    put: Put
    """Stores lines as the object of a key; what returned is durable."""
    name: str
    """For the keys: the mode, and what is listed."""
    objects: int = 0
    """Of the archive, written so far."""
    _lines: list[bytes] = field(default_factory=list)
    _size: int = 0
    _moment: str = ""

    @property
    def is_full(self) -> bool:
        """Whether there is enough for an object of the archive."""
        return self._size >= _MOST_BYTES

    def add(self, records: list[SnapshotRecord]) -> None:
        """Take records, to be written at the next flush."""
        for record in records:
            self._moment = self._moment or record.snapshot_at
            line = record.line()
            self._lines.append(line)
            self._size += len(line)

    def flush(self, until: int | None = None) -> None:
        """Write what was taken, if anything was; all of it is stored when this returns.

        Args:
            until: Unix seconds up to which the list is in the archive with this, for the key.

        Raises:
            ToolError: the archive did not take it.
        """
        if self._lines:
            ending = "" if until is None else f"-until-{until}"
            key = dated_key(SNAPSHOTS.rstrip("/"), self._moment, f"-{self.name}{ending}")
            self.put(key, b"".join(self._lines))
            self.objects += 1
            self._lines, self._size, self._moment = [], 0, ""


def listed_until(storage: Storage, name: str) -> int | None:
    """Return up to which second earlier runs have archived a list, by the keys of its objects."""
    snapshots = storage.under(SNAPSHOTS)
    pattern = re.compile(rf"-{re.escape(name)}-until-(\d+)-[0-9a-f]+\.json\.gz$")
    for day in reversed(snapshots.days()):
        found = [pattern.search(stored.key) for stored in snapshots.objects(day)]
        if seconds := [int(one[1]) for one in found if one]:
            return max(seconds)
    return None


def open_put(storage: Storage, region: str | None) -> Put:
    """Return what stores an object in an archive: a new file, or a put into the bucket.

    Snapshots are no deliveries: no stream of Firehose has to take them.
    """
    if isinstance(storage, FolderStorage):
        return _into_folder(LocalArchive(storage.folder))
    return _into_bucket(storage.bucket or "", region)


def _into_folder(archive: LocalArchive) -> Put:
    def put(key: str, lines: bytes) -> None:
        try:
            archive.store(key, lines)
        except ArchiveError as error:
            raise ToolError(
                f"The archive did not take a snapshot: {error}",
                "give this user a disk with room, and run this again: it goes on from here",
            ) from error

    return put


def _into_bucket(bucket: str, region: str | None) -> Put:
    from botocore.exceptions import BotoCoreError, ClientError

    def put(key: str, lines: bytes) -> None:
        try:
            s3_client(region).put_object(
                Bucket=bucket,
                Key=key,
                Body=gzip.compress(lines, 6, mtime=0),
                ContentType="application/gzip",
                # the policy of deploy/iam/snapshot.json takes new objects only
                IfNoneMatch="*",
            )
        except (ClientError, BotoCoreError) as error:
            # the key is new: what is there is of an attempt whose answer was lost
            if (code := error_code(error)) != "PreconditionFailed":
                raise ToolError(
                    f"s3://{bucket} did not take a snapshot: {code}",
                    "give these credentials the policy of deploy/iam/snapshot.json, and run this "
                    "again: it goes on from here",
                ) from error

    return put
