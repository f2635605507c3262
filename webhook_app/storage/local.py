"""The archive in a local folder: one gzip file an event, durable before the answer.

The embedded default for development and demos, with the layout that Firehose writes to S3.
"""

import contextlib
import gzip
import math
import os
from pathlib import Path

from ..events.record import Record
from .archive import ArchiveError, object_key


class LocalArchive:
    """Records under a folder. Safe for any number of processes and threads at once."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, made if it is missing.

        Raises:
            OSError: the folder cannot be made.
        """
        self._folder = folder
        self._durable_day: Path | None = None
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    def put(self, record: Record, deadline: float = math.inf) -> None:
        """Store the record as a file of its own, on the disk before this returns.

        The deadline is not looked at: nothing can end a call that a disk holds up.

        Raises:
            ArchiveError: the disk is full, the folder is gone or read-only, or another OSError.
        """
        self.store(object_key(record), record.line())

    def store(self, key: str, lines: bytes) -> None:
        """Store lines as the gzip file `key`, which is new; on the disk before this returns.

        Raises:
            ArchiveError: as `put`.
        """
        path = self._folder / key
        try:
            self._make_durable(path.parent)
            _write_durably(path, gzip.compress(lines, 6, mtime=0))
        except OSError as error:
            self._durable_day = None
            raise ArchiveError(f"{self._folder}: {error.strerror or error}") from error

    def _make_durable(self, day: Path) -> None:
        """Make the day's folder, and be sure that a power cut leaves it there.

        Each process looks once a day: the one that made the folder may not have synced it yet.
        The archive's own folder is not made again: where it vanished, a disk may be unmounted.
        """
        if day == self._durable_day:
            return
        parent = self._folder
        for name in day.relative_to(self._folder).parts:
            with contextlib.suppress(FileExistsError):
                (parent / name).mkdir(mode=0o750)
            _sync_folder(parent)
            parent /= name
        self._durable_day = day


def _write_durably(path: Path, data: bytes) -> None:
    """Write a new file that is there as a whole or not at all, and stays."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
