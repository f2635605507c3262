"""What was erased, taken out of what is made of a folder's objects: Parquet by month, and builds.

The one module of erasing that needs DuckDB, where a folder was compacted.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolError
from ..output import note, progress
from ..storage import Storage
from .erased import Erasure
from .people import People

if TYPE_CHECKING:
    from ..querying.database import Database

PREFIX = "parquet/"


def paths(storage: Storage) -> list[Path]:
    """Return the files of a compacted folder; also those that newer ones have replaced."""
    if not storage.folder:
        return []
    found = (storage.folder / PREFIX).rglob("*")
    return sorted(path for path in found if path.is_file())


class MonthTables:
    """The Parquet files of a folder's months."""

    def __init__(self, storage: Storage) -> None:
        """Take an archive.

        Raises:
            ToolError: it has such files, and DuckDB is not installed.
        """
        self.storage = storage
        self.paths = paths(storage)
        if not self.paths:
            return
        try:
            import duckdb  # noqa: F401
        except ModuleNotFoundError as error:
            raise ToolError(
                f"{storage.name} has compacted events in {PREFIX}, and DuckDB is not installed; "
                "nothing is changed",
                "install requirements/tools.txt, as `make tools` does, and call this again",
            ) from error

    def event_ids(self, whom: People) -> set[str]:
        """Return the ids of the events in the files that name somebody."""
        found: set[str] = set()
        if not self.paths:
            return found
        from ..querying.compaction import find_compacted
        from ..querying.database import open_database

        with open_database(Path(self.storage.folder or "")) as database:
            files = find_compacted(self.storage, database).files
            with progress(f"Reading {PREFIX}", len(files)) as bar:
                for file in files:
                    for one_id, payload in _rows(database, file.rows):
                        if whom.names(payload.encode(errors="replace")):
                            found.add(one_id)
                    bar.update(1)
        return found

    def erase(self, erasure: Erasure) -> int:
        """Take the events of an erasure out of the files; return how many files were rewritten.

        Raises:
            ToolError: a file cannot be written.
        """
        if not self.paths:
            return 0
        from ..querying.database import DatabaseError

        try:
            return self._erase(erasure)
        except (OSError, DatabaseError) as error:
            raise ToolError(
                f"{PREFIX} could not be rewritten: {error}",
                "give this user a disk with room and the right to write there, and call this "
                "again; or remove the folder: `flask archive compact` makes it again",
            ) from error

    def _erase(self, erasure: Erasure) -> int:
        import json

        from ..querying.compaction import OBJECTS, find_compacted
        from ..querying.database import open_database
        from ..querying.types import text_literal

        count = 0
        with open_database(Path(self.storage.folder or "")) as database:
            files = find_compacted(self.storage, database).files
            newest = {file.path for file in files}
            # of a process that was killed, or unreadable: compact makes what is missing again
            for path in self.paths:
                if path not in newest:
                    path.unlink(missing_ok=True)
            database.rows("CREATE OR REPLACE TEMP TABLE erased (id_hash VARCHAR)")
            for some in _batches(erasure.events):
                values = ", ".join(f"({text_literal(one)})" for one in some)
                database.rows(f"INSERT INTO erased VALUES {values}")  # noqa: S608
            sizes = {entry.key: entry.size_after for entry in erasure.objects}
            gone = {entry.key for entry in erasure.objects if entry.sha256_after is None}
            for file in files:
                source = f"read_parquet({_pattern(file.path)}, hive_partitioning = false)"
                named = f"SELECT count(*) FROM {source} WHERE sha256(id) IN (FROM erased)"  # noqa: S608
                ((events,),) = database.rows(named)
                if not events:
                    continue
                known: dict[str, str] = dict(
                    database.rows(
                        f"SELECT decode(key), decode(value) FROM {_metadata(file.path)}"  # noqa: S608
                    )
                )
                listed = json.loads(known.get(OBJECTS, "{}"))
                # what went out of an object is no reason to read it again
                known[OBJECTS] = json.dumps(
                    {k: sizes.get(k, size) for k, size in listed.items() if k not in gone}
                )
                rows = f"FROM {source} WHERE sha256(id) NOT IN (FROM erased) OR id IS NULL"
                metadata = ", ".join(f"{key}: {text_literal(v)}" for key, v in known.items())
                name = f"events.{file.number + 1}.parquet"
                with _replacing(file.path, file.path.with_name(name)) as temporary:
                    database.rows(
                        f"COPY ({rows}) TO {text_literal(str(temporary))} (FORMAT parquet, "
                        f"COMPRESSION zstd, ROW_GROUP_SIZE 20480, KV_METADATA {{{metadata}}})"
                    )
                count += 1
        return count


def _rows(database: "Database", rows: str) -> Iterator[tuple[str, str]]:
    days = f"SELECT DISTINCT year, month, day FROM ({rows})"  # noqa: S608
    for year, month, day in database.rows(days):
        condition = f"year = '{year}' AND month = '{month}' AND day = '{day}'"
        of_day = f"SELECT id, payload FROM ({rows}) WHERE {condition}"  # noqa: S608
        for one_id, payload in database.rows(of_day):
            yield str(one_id), str(payload)


def _batches(events: Iterable[str], size: int = 1000) -> Iterator[list[str]]:
    waiting = list(events)
    for n in range(0, len(waiting), size):
        yield waiting[n : n + size]


def _metadata(path: Path) -> str:
    return f"parquet_kv_metadata({_pattern(path)})"


def _pattern(path: Path) -> str:
    from ..querying.database import as_pattern
    from ..querying.types import text_literal

    return text_literal(as_pattern(str(path)))


@contextmanager
def _replacing(old: Path, new: Path) -> Iterator[Path]:
    temporary = new.with_name(f".{new.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(new)
    finally:
        temporary.unlink(missing_ok=True)
    old.unlink(missing_ok=True)


def remove_built(built: Iterable[Path]) -> None:
    """Remove what `flask archive build` has made: it is made again without what was erased.

    Raises:
        ToolError: something is there that build has not made.
    """
    import shutil

    for target in built:
        refuse_unbuilt(target)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
            target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
        note(f"{target} is removed: `flask archive build --output {target}` makes it again")


def refuse_unbuilt(target: Path) -> None:
    """Return where a path is a database or a folder of Parquet, or is not there.

    Raises:
        ToolError: it is something else.
    """
    files = list(target.iterdir()) if target.is_dir() else [target] if target.exists() else []
    if any(path.suffix not in (".parquet", ".duckdb") for path in files):
        raise ToolError(
            f"{target} is nothing that `flask archive build` has made",
            "give the database or the folder of its --output",
        )
