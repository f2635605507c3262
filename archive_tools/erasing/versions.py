"""Old versions of a bucket's objects, and what in them names people or was erased.

A versioned bucket keeps what was overwritten or deleted for `OldVersionDays`, also of objects that
no list shows any more.
"""

import io
from collections.abc import Callable, Iterator

from ..errors import ToolError
from ..output import progress
from ..reading import DamageError, lines_of
from ..storage import SNAPSHOTS, WEBHOOKS, Storage, error_code
from .erased import Erasure, names_hashed
from .finding import ERRORS
from .objects import BucketObjects, OldVersion
from .people import People, decoded, undelivered


def event_ids(storage: Storage, region: str | None, wanted: People) -> set[str]:
    """Return the ids of what names people in old versions.

    Raises:
        ToolError: an old version cannot be listed or read.
    """
    found = set()
    for _, line in _lines(storage, region, wanted.names):
        record = decoded(line)
        if isinstance(record, dict) and isinstance(record.get("id"), str):
            found.add(str(record["id"]))
    return found


def remove(storage: Storage, region: str | None, erasure: Erasure) -> list[str]:
    """Delete the old versions in which something is that was erased; return what is left, and why.

    Raises:
        ToolError: an old version cannot be listed or read.
    """
    hashes = frozenset(erasure.events) | frozenset(erasure.object_ids)
    found = {old for old, _ in _lines(storage, region, lambda line: names_hashed(line, hashes))}
    objects = BucketObjects(storage.bucket or "", region)
    left = []
    for old in sorted(found):
        if refused := objects.remove_version(old):
            left.append(f"{old.key}: an old version is still there ({refused})")
    return left


def _lines(
    storage: Storage, region: str | None, is_wanted: Callable[[bytes], bool]
) -> Iterator[tuple[OldVersion, bytes]]:
    if not storage.bucket:
        return
    from botocore.exceptions import BotoCoreError, ClientError

    objects = BucketObjects(storage.bucket, region)
    try:
        found = [
            old for prefix in (WEBHOOKS, SNAPSHOTS, ERRORS) for old in objects.old_versions(prefix)
        ]
        with progress("Reading old versions", len(found)) as bar:
            for old in found:
                data = io.BytesIO(objects.read_version(old))
                try:
                    for _, line in lines_of(data):
                        text = undelivered(line) if old.key.startswith(ERRORS) else line
                        if is_wanted(text):
                            yield old, text
                except DamageError as damage:
                    # it cannot be rewritten anyway: the versions of an object are kept or deleted
                    if damage.line is None:
                        continue
                bar.update(1)
    except (ClientError, BotoCoreError) as error:
        raise ToolError(
            f"Old versions of {storage.name} cannot be read: {error_code(error)}",
            "give these credentials the policy of deploy/iam/erase.json",
        ) from error
