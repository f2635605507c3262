"""New objects into an archive, which never take the place of one that is there."""

import contextlib
import os
import secrets
from pathlib import Path

from ..errors import ToolError
from ..storage import BucketStorage, Storage, error_code, s3_client

_FIX = "give this user the right to make files in manifests/ of the archive"


def write_new(storage: Storage, key: str, data: bytes, content_type: str) -> None:
    """Store an object that is not there yet; it is durable when this returns.

    Raises:
        ToolError: there is another one of that key, or the archive did not take it.
    """
    if isinstance(storage, BucketStorage):
        _into_bucket(storage, key, data, content_type)
    elif storage.folder:
        _into_folder(storage.folder, storage, key, data)


def _taken(storage: Storage, key: str) -> ToolError:
    return ToolError(
        f"{storage.name} has a {key} already, and it is never overwritten",
        "another run has just sealed this day: run this again",
    )


def _into_folder(folder: Path, storage: Storage, key: str, data: bytes) -> None:
    path = folder / key
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _make_folders(folder, path.parent)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # not a rename, which would replace what is there
            path.hardlink_to(temporary)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        _sync(path.parent)
    except FileExistsError:
        if path.read_bytes() != data:
            raise _taken(storage, key) from None
    except OSError as error:
        raise ToolError(f"{path} cannot be written: {error.strerror or error}", _FIX) from error


def _make_folders(root: Path, folder: Path) -> None:
    for parent in reversed([folder, *folder.parents]):
        if root in parent.parents and not parent.is_dir():
            with contextlib.suppress(FileExistsError):
                parent.mkdir(mode=0o750)
            _sync(parent.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _into_bucket(storage: BucketStorage, key: str, data: bytes, content_type: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3_client(storage.region).put_object(
            Bucket=storage.bucket, Key=key, Body=data, ContentType=content_type, IfNoneMatch="*"
        )
    except (ClientError, BotoCoreError) as error:
        code = error_code(error)
        if code in ("PreconditionFailed", "ConditionalRequestConflict"):
            # it can be what this run has written: the answer was lost, and botocore tried again
            if _stored(storage, key) == data:
                return
            raise _taken(storage, key) from error
        raise ToolError(
            f"{storage.name} did not take {key}: {code}",
            "give these credentials the policy of deploy/iam/seal.json, and run this again",
        ) from error


def _stored(storage: BucketStorage, key: str) -> bytes | None:
    try:
        with storage.open(key) as stored:
            return stored.read()
    except OSError:
        return None
