"""Where an archive lies: a local folder or an S3 bucket, both with the same dated layout.

Lists the days and their objects and opens an object; knows nothing of what is in one. An archive
has several prefixes of the same layout: `webhooks/`, and `snapshots/` beside it.
"""

import errno
import functools
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from .days import Days
from .errors import ToolError
from .settings import ToolSettings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

WEBHOOKS = "webhooks/"
SNAPSHOTS = "snapshots/"
ERASURES = "erasures/"
MANIFESTS = "manifests/"

_DAY = re.compile(r"[a-z]+/year=(\d{4})/month=(\d{2})/day=(\d{2})/", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of the archive. `key` begins with the prefix, in a folder as in a bucket."""

    key: str
    size: int
    """Bytes as stored, compressed."""


class Storage(Protocol):
    """An archive to read from. It can be pickled: every process opens what it needs itself."""

    @property
    def prefix(self) -> str:
        """The prefix whose days it lists; `webhooks/` unless `under` has given another."""

    def under(self, prefix: str) -> "Storage":
        """Return the same archive with the days of another prefix, which ends with `/`."""

    @property
    def name(self) -> str:
        """How people call it: a path, or `s3://bucket`."""

    @property
    def location(self) -> str:
        """Where it is, whatever it was called: an absolute path, or `s3://bucket`."""

    @property
    def folder(self) -> Path | None:
        """The local folder that it is, absolute; what is written there is there at once."""

    @property
    def bucket(self) -> str | None:
        """The bucket that it is; a stream writes there, minutes later."""

    def days(self) -> list[date]:
        """Return the days that have a folder, oldest first."""

    def objects(self, day: date) -> Iterator[StoredObject]:
        """Yield the day's objects in the order of their keys, without hidden ones as `.x.tmp`."""

    def strays(self) -> Iterator[StoredObject]:
        """Yield what lies under the prefix and in no day's folder: nothing of ours does."""

    def open(self, key: str) -> BinaryIO:
        """Open an object to be read from its beginning.

        Raises:
            OSError: it is not there, cannot be read, or is not a regular file.
        """


def objects_of(storage: Storage, days: Days) -> list[StoredObject]:
    """Return the objects of a range of days, oldest day first."""
    return [stored for day in storage.days() if day in days for stored in storage.objects(day)]


def open_storage(archive: str | None, settings: ToolSettings) -> Storage:
    """Return the archive that was named, or the one that the service's variables name.

    Args:
        archive: a folder, or `s3://bucket`; None for what the environment says.
        settings: of the tools.

    Raises:
        ToolError: none is named, or two are, or it is not there.
    """
    if archive and archive.startswith("s3://"):
        bucket, _, rest = archive.removeprefix("s3://").partition("/")
        if not bucket or rest.strip("/") not in ("", "webhooks"):
            raise ToolError(f"{archive} is not a bucket", "give s3:// and the bucket's name alone")
        return BucketStorage(bucket, settings.aws_region)
    if archive is not None:
        if not archive:
            raise ToolError("--archive names nothing", "is the variable set that stands there?")
        return _folder(Path(archive), "name the folder that has `webhooks` in it, or s3://bucket")
    if settings.archive_dir and settings.archive_bucket:
        raise ToolError(
            "Which archive? ARCHIVE_DIR and ARCHIVE_BUCKET are both set",
            "unset one of them, or give --archive FOLDER or --archive s3://bucket",
        )
    if settings.archive_dir:
        return _folder(settings.archive_dir, "the service makes it at its first boot: `make run`")
    if settings.archive_bucket:
        return BucketStorage(settings.archive_bucket, settings.aws_region)
    raise ToolError(
        "Which archive? Neither ARCHIVE_DIR nor ARCHIVE_BUCKET is set",
        "set one of them, or give --archive FOLDER or --archive s3://bucket",
    )


def _folder(folder: Path, fix: str) -> "FolderStorage":
    if not folder.is_dir():
        raise ToolError(f"There is no archive in {folder}", fix)
    return FolderStorage(folder.absolute(), str(folder))


def day_of(key: str) -> date | None:
    """Return the day in whose folder a key lies, None for one outside of the layout."""
    if not (found := _DAY.match(key)):
        return None
    try:
        return date(*map(int, found.groups()))
    except ValueError:
        return None


def folder_of(day: date, prefix: str = WEBHOOKS) -> str:
    """Return what the keys of a day begin with."""
    # not %Y, which leaves out the zeros of an early year
    return f"{prefix}year={day.year:04}/month={day.month:02}/day={day.day:02}/"


def _hidden(key: str) -> bool:
    # Athena leaves out the same
    return key.rpartition("/")[2].startswith((".", "_"))


@dataclass(frozen=True)
class FolderStorage:
    """The archive in a local folder."""

    folder: Path
    name: str
    prefix: str = WEBHOOKS

    def under(self, prefix: str) -> "FolderStorage":
        """Return the same folder with the days of another prefix."""
        return replace(self, prefix=prefix)

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self.folder.absolute())

    @property
    def bucket(self) -> None:
        """None: it is no bucket."""

    def days(self) -> list[date]:
        """Return the days that have a folder, oldest first.

        Raises:
            ToolError: a folder above them cannot be listed, so there may be more of them.
        """
        root = self.folder / self.prefix
        try:
            folders = [root] if root.is_dir() else []
            for name in ("year=*", "month=*", "day=*"):
                below = [path for folder in folders for path in folder.iterdir()]
                folders = [path for path in below if path.match(name) and path.is_dir()]
        except OSError as error:
            raise ToolError(
                f"{error.filename} cannot be listed: {error.strerror}",
                "give this user the right to read the archive",
            ) from error
        found = (day_of(f"{path.relative_to(self.folder).as_posix()}/") for path in folders)
        return sorted(day for day in found if day)

    def objects(self, day: date) -> Iterator[StoredObject]:
        """Yield the files of a day's folder, and of those below it, in the order of their names."""
        yield from self._below(self.folder / folder_of(day, self.prefix))

    def strays(self) -> Iterator[StoredObject]:
        """Yield the files under the prefix that are in no day's folder."""
        root = self.folder / self.prefix
        return (s for s in self._below(root, pruned=True) if not day_of(s.key))

    def _below(self, folder: Path, pruned: bool = False) -> Iterator[StoredObject]:
        """Yield the files below a folder, and as if they were files what nothing can be read of.

        These are folders that cannot be listed, and links to nowhere or to folders, which could
        lead in a circle: whoever opens one learns why.
        """
        if not _is_folder(folder):
            return
        try:
            paths = sorted(folder.iterdir())
        except OSError:
            yield StoredObject(folder.relative_to(self.folder).as_posix(), 0)
            return
        for path in paths:
            key = path.relative_to(self.folder).as_posix()
            if _is_folder(path) and not path.is_symlink():
                if not (pruned and day_of(f"{key}/")):
                    yield from self._below(path, pruned)
            elif not _hidden(key) and not (pruned and _is_folder(path)):
                yield StoredObject(key, _size(path))

    def open(self, key: str) -> BinaryIO:
        """Open a file of the archive."""
        path = self.folder / key
        # at once: a FIFO would wait for somebody to write, and a device may have no end
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # in a folder whose names alone can be read
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # a link to nowhere, or gone since it was listed
        return 0


@functools.cache
def s3_client(region: str | None) -> "S3Client":
    """Return this process's S3 client. It has botocore's time-outs: nobody waits for an answer."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "total_max_attempts": 5}, max_pool_connections=32)
    return boto3.Session().client("s3", region_name=region, config=config)


class _Download(io.RawIOBase):
    """An object's bytes as they come; what breaks off is an OSError, as with a file."""

    def __init__(self, body: "StreamingBody") -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        from botocore.exceptions import BotoCoreError

        view = memoryview(buffer)
        try:
            found = self._body.read(len(view))
        except BotoCoreError as error:
            raise OSError(f"the download broke off: {type(error).__name__}") from error
        view[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self._body.close()
        super().close()


@dataclass(frozen=True)
class BucketStorage:
    """The archive in an S3 bucket, read with the usual AWS credentials.

    It needs s3:ListBucket on the bucket and s3:GetObject under the prefix.
    """

    bucket: str
    region: str | None = None
    prefix: str = WEBHOOKS

    def under(self, prefix: str) -> "BucketStorage":
        """Return the same bucket with the days of another prefix."""
        return replace(self, prefix=prefix)

    @property
    def name(self) -> str:
        """The bucket's address."""
        return f"s3://{self.bucket}"

    @property
    def location(self) -> str:
        """The bucket's address."""
        return self.name

    @property
    def folder(self) -> None:
        """None: it is no folder."""

    def days(self) -> list[date]:
        """Return the days that have an object, oldest first. One request a month, and a few."""
        days = []
        for year in self._folders(self.prefix):
            for month in self._folders(year):
                days += [day_of(folder) for folder in self._folders(month)]
        return sorted(day for day in days if day)

    def objects(self, day: date) -> Iterator[StoredObject]:
        """Yield the objects of a day in the order of their keys; 1,000 a request."""
        for stored in self._listed(folder_of(day, self.prefix)):
            if not _hidden(stored.key):
                yield stored

    def strays(self) -> Iterator[StoredObject]:
        """Yield what lies beside the folders of years, months and days."""
        prefixes = [self.prefix]
        while prefixes:
            prefix = prefixes.pop()
            yield from (s for s in self._listed(prefix, "/") if not _hidden(s.key))
            prefixes += [folder for folder in self._folders(prefix) if not day_of(folder)]

    def open(self, key: str) -> BinaryIO:
        """Open an object; its bytes come as they are read."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            body = s3_client(self.region).get_object(Bucket=self.bucket, Key=key)["Body"]
        except (ClientError, BotoCoreError) as error:
            raise OSError(error_code(error)) from error
        return io.BufferedReader(_Download(body))

    def _folders(self, prefix: str) -> list[str]:
        return [
            found["Prefix"]
            for page in self._pages(prefix, "/")
            for found in page.get("CommonPrefixes", [])
        ]

    def _listed(self, prefix: str, delimiter: str = "") -> Iterator[StoredObject]:
        for page in self._pages(prefix, delimiter):
            for found in page.get("Contents", []):
                # what the console makes for a folder
                if not found["Key"].endswith("/"):
                    yield StoredObject(found["Key"], found["Size"])

    def _pages(self, prefix: str, delimiter: str) -> Iterator[dict]:  # type: ignore[type-arg]
        from botocore.exceptions import BotoCoreError, ClientError

        pages = s3_client(self.region).get_paginator("list_objects_v2")
        try:
            yield from cast(
                "Iterator[dict]",  # type: ignore[type-arg]
                pages.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter=delimiter),
            )
        except (ClientError, BotoCoreError) as error:
            raise ToolError(
                f"{self.name} cannot be listed: {error_code(error)}",
                "look at the bucket's name, AWS_REGION, and whether these credentials have "
                "s3:ListBucket on it",
            ) from error


def error_code(error: Exception) -> str:
    """Return AWS's error code, without the message, which quotes what was signed."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", "an unknown error"))
    return f"{type(error).__name__}: {error}"[:300]
