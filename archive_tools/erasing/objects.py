"""Objects of an archive as they are changed: read with what they were, replaced, and removed.

A folder's file is replaced at once or not at all, and stays so after a power cut. A bucket's object
is replaced only if it is the one that was read; its old versions are deleted.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..errors import ToolError
from ..storage import Storage, error_code, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Content(NamedTuple):
    """An object as it was read."""

    data: bytes
    etag: str = ""
    headers: dict[str, str] = {}  # noqa: RUF012 - of a bucket's object, to be kept


class OldVersion(NamedTuple):
    """A version of a bucket's object that is not the current one."""

    key: str
    version: str


class Objects(Protocol):
    """The objects of an archive. It can be pickled."""

    def read(self, key: str) -> Content | None:
        """Return an object, None where there is none.

        Raises:
            OSError: it cannot be read.
        """

    def replace(self, key: str, data: bytes, was: Content) -> None:
        """Put other bytes in the place of what was read.

        Raises:
            ToolError: it cannot be written, or was changed since.
        """

    def remove(self, key: str) -> None:
        """Remove an object.

        Raises:
            ToolError: it cannot be removed.
        """

    def remove_old_versions(self, key: str) -> str:
        """Delete all versions but the current one; return what keeps one from it, or nothing."""


def open_objects(storage: Storage, region: str | None) -> Objects:
    """Return the objects of an archive."""
    if storage.folder:
        return FolderObjects(storage.folder)
    return BucketObjects(storage.bucket or "", region)


@dataclass(frozen=True)
class FolderObjects:
    """The files of a folder."""

    folder: Path

    def read(self, key: str) -> Content | None:
        """Return a file, None where there is none."""
        try:
            return Content((self.folder / key).read_bytes())
        except FileNotFoundError:
            return None

    def replace(self, key: str, data: bytes, was: Content) -> None:
        """Put a new file in its place, on the disk before this returns."""
        path = self.folder / key
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            mode = path.stat().st_mode & 0o777
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        sync_folder(path.parent)

    def remove(self, key: str) -> None:
        """Remove a file, and be sure that it does not come back after a power cut."""
        path = self.folder / key
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        sync_folder(path.parent)

    def remove_old_versions(self, key: str) -> str:
        """Return nothing: a folder has no versions."""
        return ""


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; one that is gone has none."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> ToolError:
    return ToolError(
        f"{path} cannot be written: {error.strerror or error}",
        "give this user the right to write to the archive, and call this again: it goes on",
    )


#: What an object has besides its bytes; the rest is the bucket's default.
_HEADERS = ("CacheControl", "ContentEncoding", "ContentType", "Metadata")


@dataclass(frozen=True)
class BucketObjects:
    """The objects of a bucket, with their versions. It needs what deploy/iam/erase.json allows."""

    bucket: str
    region: str | None

    @property
    def _client(self) -> "S3Client":
        return s3_client(self.region)

    def read(self, key: str) -> Content | None:
        """Return an object, None where there is none."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self._client.get_object(Bucket=self.bucket, Key=key)
            headers: dict[str, Any] = {name: found[name] for name in _HEADERS if name in found}  # type: ignore[literal-required]
            return Content(found["Body"].read(), found["ETag"], headers)
        except (ClientError, BotoCoreError) as error:
            if (code := error_code(error)) in ("NoSuchKey", "404"):
                return None
            raise OSError(code) from error

    def replace(self, key: str, data: bytes, was: Content) -> None:
        """Put a new version, if the current one is that which was read."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=data,
                IfMatch=was.etag,
                **was.headers,  # type: ignore[arg-type]
            )
        except (ClientError, BotoCoreError) as error:
            raise self._refused(key, error) from error

    def remove(self, key: str) -> None:
        """Put a delete marker, which goes with the old versions; without versions, delete it."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.delete_object(Bucket=self.bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise self._refused(key, error) from error

    def remove_old_versions(self, key: str) -> str:
        """Delete all versions but the current one, and a delete marker with what it hides."""
        from botocore.exceptions import BotoCoreError, ClientError

        refused = ""
        try:
            versions, markers = self._versions(key)
            for version in versions:
                refused = self.remove_version(OldVersion(key, version)) or refused
            # without its marker, a version that is locked would be the current one again
            for version in [] if refused else markers:
                self._client.delete_object(Bucket=self.bucket, Key=key, VersionId=version)
        except (ClientError, BotoCoreError) as error:
            return error_code(error)
        return refused

    def old_versions(self, prefix: str) -> Iterator[OldVersion]:
        """Yield what is no current version below a prefix, without delete markers.

        Raises:
            ClientError: it cannot be listed.
        """
        pages = self._client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
            for found in page.get("Versions", []):
                if not found["IsLatest"]:
                    yield OldVersion(found["Key"], found["VersionId"])

    def read_version(self, old: OldVersion) -> bytes:
        """Return the bytes of an old version.

        Raises:
            ClientError: it cannot be read.
        """
        found = self._client.get_object(Bucket=self.bucket, Key=old.key, VersionId=old.version)
        return found["Body"].read()

    def remove_version(self, old: OldVersion) -> str:
        """Delete a version; return what keeps one from it, or nothing."""
        from botocore.exceptions import ClientError

        key, version = old
        try:
            self._client.delete_object(Bucket=self.bucket, Key=key, VersionId=version)
        except ClientError as error:
            return f"{error_code(error)}{self._lock(key, version)}"
        return ""

    def remove_old_versions_below(self, prefix: str) -> None:
        """Delete what is no current version of all keys that begin with a prefix.

        Raises:
            ToolError: one cannot be deleted.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        pages = self._client.get_paginator("list_object_versions")
        try:
            keys = {
                found["Key"]
                for page in pages.paginate(Bucket=self.bucket, Prefix=prefix)
                for found in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            }
        except (ClientError, BotoCoreError) as error:
            raise self._refused(prefix, error) from error
        for key in sorted(keys):
            if refused := self.remove_old_versions(key):
                raise ToolError(
                    f"s3://{self.bucket}/{key} keeps an old version: {refused}",
                    "call this again when that is over: it goes on",
                )

    def _versions(self, key: str) -> tuple[list[str], list[str]]:
        """Return the old versions of a key, and its delete markers."""
        versions, markers = [], []
        pages = self._client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.bucket, Prefix=key):
            for found in page.get("Versions", []):
                if found["Key"] == key and not found["IsLatest"]:
                    versions.append(found["VersionId"])
            for marker in page.get("DeleteMarkers", []):
                if marker["Key"] == key:
                    markers.append(marker["VersionId"])
        return versions, markers

    def _lock(self, key: str, version: str) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self._client.head_object(Bucket=self.bucket, Key=key, VersionId=version)
            until = found["ObjectLockRetainUntilDate"]
        except (ClientError, BotoCoreError, KeyError):
            return ""
        return f", under Object Lock until {until:%Y-%m-%d %H:%M} UTC"

    def _refused(self, key: str, error: Exception) -> ToolError:
        return ToolError(
            f"s3://{self.bucket}/{key} was not changed: {error_code(error)}",
            "give these credentials the policy of deploy/iam/erase.json, and call this again: it "
            "goes on",
        )
