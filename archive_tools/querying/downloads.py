"""The objects of an archive as files of this machine, which DuckDB can read.

A folder's are read where they are; a bucket's are downloaded once. Of a corrupt object, a copy with
the lines that are records is read in its place, and each of the others is named.
"""

import functools
import gzip
import itertools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from ..errors import ToolError
from ..output import bytes_text, progress
from ..parallel import batches, over_cores
from ..reading import DamageError, Fault, lines
from ..storage import FolderStorage, Storage, StoredObject

#: S3 answers a request after some 50 ms, so that one after the other would take hours.
_DOWNLOADS_AT_A_TIME = 16

_TRIES = 3
_CHUNK_BYTES = 1 << 20
_FASTEST = 1
#: Of the names of objects.
ENDING = ".json.gz"

#: DuckDB passes over an object with a single byte in it; a gzip file with a record is larger.
_SMALLEST_BYTES = 64

#: Faults that are kept of one object; the rest are counted.
_KEPT_FAULTS = 1000


@dataclass(frozen=True)
class Downloads:
    """Files for the objects of an archive; temporary ones are gone when `open_downloads` ends."""

    storage: Storage
    scratch: Path
    """The folder of the temporary files."""
    _objects: dict[date, list[StoredObject]] = field(default_factory=dict)
    _files: dict[str, Path | None] = field(default_factory=dict)
    """By key; None for an object of which nothing can be read."""
    _faults: dict[str, list[Fault]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def under(self, prefix: str) -> "Downloads":
        """Return files for the objects of another prefix, in the same temporary folder."""
        return Downloads(self.storage.under(prefix), self.scratch)

    @property
    def used_days(self) -> list[date]:
        """The days whose objects were asked for so far."""
        return sorted(self._objects)

    @property
    def roots(self) -> list[Path]:
        """The folders under which the files are, each with the folders of the days in it."""
        in_place = [self.storage.folder] if isinstance(self.storage, FolderStorage) else []
        return [self.scratch, *in_place]

    def objects(self, days: Iterable[date]) -> list[StoredObject]:
        """Return the objects of some days; each day is listed once."""
        found = []
        for day in days:
            if day not in self._objects:
                self._objects[day] = list(self.storage.objects(day))
            found += self._objects[day]
        return found

    def files(
        self, days: Iterable[date], left_out: Callable[[StoredObject], bool] = lambda _: False
    ) -> list[Path]:
        """Return the files of some days, after downloading what is not here yet.

        Args:
            days: to be read.
            left_out: tells of an object that it need not be read.

        Raises:
            ToolError: none of them can be read, or there is no room for them.
        """
        objects = [
            stored
            for stored in self.objects(days)
            if stored.key.endswith(ENDING) and not left_out(stored)
        ]
        new = [stored for stored in objects if stored.key not in self._files]
        if isinstance(self.storage, FolderStorage):
            for stored in new:
                self._keep(stored.key, _in_place(self.storage, stored.key))
        else:
            self._download(new)
        self._leave_out([stored for stored in new if stored.size < _SMALLEST_BYTES])
        return [file for stored in objects if (file := self._files[stored.key])]

    def faults(self, days: Iterable[date]) -> list[Fault]:
        """Return what is known to be wrong with the objects of some days."""
        found = []
        for stored in self.objects(days):
            if not stored.key.endswith(ENDING):
                found.append(Fault(stored.key, None, f"left out: its name has no {ENDING}"))
            found += self._faults.get(stored.key, [])
        return found

    def temporary(self) -> list[tuple[Path, str]]:
        """Return the temporary files, each with the address of the object that it stands for."""
        origin = (
            self.storage.folder if isinstance(self.storage, FolderStorage) else self.storage.name
        )
        return [
            (file, f"{origin}/{key}")
            for key, file in self._files.items()
            if file and file.is_relative_to(self.scratch)
        ]

    def leave_out_corrupt(self, days: Iterable[date]) -> bool:
        """Look through the objects of some days, and leave out what cannot be read of them.

        Returns:
            Whether something was left out that had not been before.
        """
        return self._leave_out(self.objects(days))

    def _leave_out(self, suspects: list[StoredObject]) -> bool:
        sought = {
            str(file): stored.key
            for stored in suspects
            if (file := self._files.get(stored.key)) and stored.key not in self._faults
        }
        # as files, so that a bucket's are not downloaded again
        objects = [StoredObject(name, 0) for name in sought]
        if not objects:
            return False
        tasks = list(batches(objects))
        files = FolderStorage(Path("/"), self.storage.name)
        found = False
        with progress("Looking for corrupt objects", len(objects)) as bar:
            work = functools.partial(_faults_of, files)
            for task, faults in zip(tasks, over_cores(work, tasks), strict=True):
                for name, of_object in faults:
                    key = sought[name]
                    self._faults[key] = [Fault(key, f.line, f.what) for f in of_object]
                    self._files[key] = _without_faults(files, name, self._scratch_file(key))
                    found = True
                bar.update(len(task))
        return found

    def _keep(self, key: str, file: Path | Fault) -> None:
        self._files[key] = None if isinstance(file, Fault) else file
        if isinstance(file, Fault):
            self._faults[key] = [file]

    def _scratch_file(self, key: str) -> Path:
        """Return a new file in a folder of the key's day; a key itself can be no name of a file."""
        folder = self.scratch / "/".join(key.split("/")[:4])
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{next(self._numbers)}{ENDING}"

    def _download(self, objects: list[StoredObject]) -> None:
        size = sum(stored.size for stored in objects)
        pool = ThreadPoolExecutor(_DOWNLOADS_AT_A_TIME)
        try:
            running = {}
            for stored in objects:
                file = self._scratch_file(stored.key)
                running[pool.submit(_downloaded, self.storage, stored.key, file)] = stored
            with progress(f"Downloading {bytes_text(size)}", size) as bar:
                for done in as_completed(running):
                    stored = running[done]
                    self._keep(stored.key, done.result())
                    bar.update(stored.size)
        except OSError as error:
            raise ToolError(
                f"The temporary folder cannot hold the objects: {error.strerror}",
                "name a larger one in the variable TMPDIR, or ask for fewer days",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
        if objects and not any(self._files[stored.key] for stored in objects):
            (fault,) = self._faults[objects[0].key]
            raise ToolError(
                f"Nothing of the archive can be read. {fault}",
                "check whether these credentials have s3:GetObject on the bucket's "
                f"{self.storage.prefix}*",
            )


def _downloaded(storage: Storage, key: str, file: Path) -> Path | Fault:
    """Return the file with an object's bytes, or why there is none.

    Raises:
        OSError: the file cannot be written.
    """
    for turn in range(_TRIES):
        time.sleep(turn)
        with file.open("wb") as target:
            what = _copied(storage, key, target)
        if what is None:
            return file
    return Fault(key, None, f"cannot be downloaded: {what}")


def _copied(storage: Storage, key: str, target: BinaryIO) -> str | None:
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
        target.write(chunk)


def _in_place(storage: FolderStorage, key: str) -> Path | Fault:
    file = storage.folder / key
    # whoever reads a pipe waits for ever
    if file.exists() and not file.is_file():
        return Fault(key, None, "left out: it is no file")
    return file


def _faults_of(storage: Storage, objects: list[StoredObject]) -> list[tuple[str, list[Fault]]]:
    """Return the faults of each object that has some."""
    found = ((stored.key, _faults(storage, stored.key)) for stored in objects)
    return [(key, faults) for key, faults in found if faults]


def _faults(storage: Storage, key: str) -> list[Fault]:
    faults: list[Fault] = []
    more = 0
    try:
        for number, line in lines(storage, key):
            if what := _wrong_with(line):
                if len(faults) < _KEPT_FAULTS:
                    faults.append(Fault(key, number, what))
                else:
                    more += 1
    except DamageError as error:
        faults.append(Fault(key, error.line, error.what))
    if more:
        faults.append(Fault(key, None, f"{more:,} more lines like these"))
    return faults


def _without_faults(storage: Storage, key: str, copy: Path) -> Path | None:
    """Write the lines of an object that are records to a file, and return it if there are any."""
    size = 0
    with gzip.open(copy, "wb", compresslevel=_FASTEST) as target, suppress(DamageError):
        for _, line in lines(storage, key):
            if not _wrong_with(line):
                size += target.write(line + b"\n")
    return copy if size else None


def _wrong_with(line: bytes) -> str | None:
    """Return why DuckDB could not read a line as a record, None where it can."""
    try:
        record = json.loads(line.decode(), object_pairs_hook=_unique)
    except _TwiceError:
        return "a key twice"
    except (ValueError, RecursionError):
        return "not one JSON object"
    if not isinstance(record, dict):
        return "not one JSON object"
    created = record.get("created")
    if not (created is None or (type(created) is int and -(2**63) <= created < 2**63)):
        return "created is no whole number of 64 bits"
    if not isinstance(record.get("livemode"), bool | None):
        return "livemode is no boolean"
    # half of a character of two is no text
    return "not UTF-8" if re.search(rb"\\u[dD][89a-fA-F]", line) and not _is_text(record) else None


def _is_text(record: dict[str, Any]) -> bool:
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


class _TwiceError(ValueError):
    """An object names a key twice, of which DuckDB reads none."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


@contextmanager
def open_downloads(storage: Storage) -> Iterator[Downloads]:
    """Have an archive's objects as files; the temporary folder is removed whatever happens."""
    with TemporaryDirectory(prefix="stripe-archive-") as folder:
        yield Downloads(storage, Path(folder))
