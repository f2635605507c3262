"""The objects of an archive as files of this machine, which DuckDB can read.

A folder's are where they are; a bucket's are fetched once. Damaged ones are replaced by what is
left of them. Knows nothing of queries.
"""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from ..errors import ToolError
from ..output import bytes_text, progress
from ..reading import Fault
from ..storage import FolderStorage, Storage, StoredObject
from .mending import mended

#: S3 answers a request after some 50 ms, so that one after the other would take hours.
_AT_A_TIME = 16

_TURNS = 3
_CHUNK_BYTES = 1 << 20
_ENDING = ".json.gz"


@dataclass(frozen=True)
class Copies:
    """Files for the objects of a place; they are gone when `open_copies` ends."""

    storage: Storage
    folder: Path
    """Of the temporary files: those fetched and those mended, under the objects' keys."""
    _objects: dict[date, list[StoredObject]] = field(default_factory=dict)
    _paths: dict[str, Path | None] = field(default_factory=dict)
    """Of an object of which nothing can be read it is None."""
    _faults: dict[str, list[Fault]] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """What stands before a key in an address: the folder's path, or `s3://bucket`."""
        if isinstance(self.storage, FolderStorage):
            return str(self.storage.folder)
        return self.storage.name

    @property
    def folders(self) -> tuple[Path, Path]:
        """Above the keys: of the mended copies, and of the objects as they are."""
        mended_folder = self.folder / "mended"
        if isinstance(self.storage, FolderStorage):
            return mended_folder, self.storage.folder
        return mended_folder, self.folder / "fetched"

    def objects(self, days: Iterable[date]) -> list[StoredObject]:
        """Return the objects of some days; each day is listed once."""
        return [stored for day in days for stored in self._listed(day)]

    def paths(self, days: Iterable[date]) -> list[Path]:
        """Return the files of some days, fetching what is not here yet.

        Raises:
            ToolError: none of them can be read, or there is no room for them.
        """
        objects = [stored for stored in self.objects(days) if _is_ours(stored)]
        self._fetch([stored for stored in objects if stored.key not in self._paths])
        return [path for stored in objects if (path := self._paths[stored.key])]

    def faults(self, days: Iterable[date]) -> list[Fault]:
        """Return what is known to be wrong with the objects of some days."""
        found = []
        for stored in self.objects(days):
            if not _is_ours(stored):
                found.append(Fault(stored.key, None, f"left out: its name has no {_ENDING}"))
            found += self._faults.get(stored.key, [])
        return found

    def mend(self, days: Iterable[date]) -> bool:
        """Replace the damaged objects of some days by what can be read of them.

        Returns:
            Whether there was one that had not been replaced before.
        """
        mended_folder, files_folder = self.folders
        sought = [
            stored
            for stored in self.objects(days)
            if self._paths.get(stored.key) and stored.key not in self._faults
        ]
        files = FolderStorage(files_folder, self.storage.name)
        found = False
        for damaged in mended(files, sought, mended_folder):
            found = True
            self._faults[damaged.key] = damaged.faults
            self._paths[damaged.key] = mended_folder / damaged.key if damaged.has_copy else None
        return found

    def _listed(self, day: date) -> list[StoredObject]:
        if day not in self._objects:
            self._objects[day] = list(self.storage.objects(day))
        return self._objects[day]

    def _fetch(self, objects: list[StoredObject]) -> None:
        if isinstance(self.storage, FolderStorage):
            self._paths.update({s.key: self.storage.folder / s.key for s in objects})
            return
        size = sum(stored.size for stored in objects)
        pool = ThreadPoolExecutor(_AT_A_TIME)
        try:
            running = {pool.submit(self._fetched, stored.key): stored for stored in objects}
            with progress(f"Fetching {bytes_text(size)}", size) as bar:
                for done in as_completed(running):
                    stored = running[done]
                    self._keep(stored.key, done.result())
                    bar.update(stored.size)
        finally:
            pool.shutdown(cancel_futures=True)
        if objects and not any(self._paths[stored.key] for stored in objects):
            (fault,) = self._faults[objects[0].key]
            raise ToolError(
                f"Nothing of the archive can be read. {fault}",
                "look whether these credentials have s3:GetObject on the bucket's webhooks/*",
            )

    def _keep(self, key: str, fetched: Path | Fault) -> None:
        if isinstance(fetched, Fault):
            self._faults[key] = [fetched]
            self._paths[key] = None
        else:
            self._paths[key] = fetched

    def _fetched(self, key: str) -> Path | Fault:
        """Return the file with a copy of an object, or why there is none."""
        if {"", ".", ".."} & set(key.split("/")):
            return Fault(key, None, "left out: its key is no path of a file")
        path = self.folders[1] / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for turn in range(_TURNS):
                with path.open("wb") as file:
                    what = _copied(self.storage, key, file)
                if what is None:
                    return path
                time.sleep(turn)
        except OSError as error:
            raise ToolError(
                f"The temporary folder cannot hold the objects: {error.strerror}",
                "name a larger one in the variable TMPDIR, or ask for fewer days",
            ) from error
        return Fault(key, None, f"cannot be fetched: {what}")


def _copied(storage: Storage, key: str, file: BinaryIO) -> str | None:
    """Copy an object into a file; return why it could not be read, None where it could."""
    from botocore.exceptions import BotoCoreError

    try:
        stored = storage.open(key)
    except OSError as error:
        return str(error).rpartition(": ")[2]
    while True:
        try:
            chunk = stored.read(_CHUNK_BYTES)
        # botocore does not try again what breaks off in the middle
        except (OSError, BotoCoreError) as error:
            return type(error).__name__
        if not chunk:
            return None
        file.write(chunk)


def _is_ours(stored: StoredObject) -> bool:
    return stored.key.endswith(_ENDING)


@contextmanager
def open_copies(storage: Storage) -> Iterator[Copies]:
    """Have a place's objects as files, in a temporary folder that is removed whatever happens."""
    with TemporaryDirectory(prefix="stripe-archive-") as folder:
        yield Copies(storage, Path(folder))
