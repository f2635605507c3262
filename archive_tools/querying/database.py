"""DuckDB as the tools use it: one connection that can be watched and interrupted.

The one module that imports duckdb. Knows nothing of the archive; no error of it quotes a value.
"""

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import not_installed
from .types import text_literal

try:
    import duckdb
except ModuleNotFoundError as missing:
    raise not_installed(missing) from missing

#: The errors that come from the words of a query, and not from what it reads.
_OF_THE_QUERY = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.NotImplementedException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)

#: What a query may take before it goes on, on the disk. DuckDB's own bound, which is lower on a
#: small machine, is four fifths of the memory: a view over a million events would take 4 GB.
_MAX_MEMORY_BYTES = 2_000_000_000

_POLL_S = 0.1

#: With payloads of 5 KB, 5 MB.
_ROWS_AT_A_TIME = 1000

Row = tuple[Any, ...]
Rows = list[Row]


class DatabaseError(Exception):
    """A statement failed. `str()` is for people, and without any value of what was read."""


class QueryError(DatabaseError):
    """The statement itself is wrong."""


class NoMemoryError(DatabaseError):
    """There is not enough memory for the statement, and the disk does not help."""


class UnreadableError(DatabaseError):
    """A file may be what it failed on."""


class Database:
    """An open database in memory."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take a connection that is nobody else's."""
        self._connection = connection
        self._idle = threading.Lock()
        self._is_cancelled = False

    def rows(self, sql: str) -> Rows:
        """Return all rows of a statement.

        Raises:
            DatabaseError: it failed.
        """
        found: Rows = []
        self.stream(sql, found.extend)
        return found

    def stream(
        self,
        sql: str,
        consume: Callable[[Iterator[Row]], object],
        tell: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Hand the rows of a statement to `consume` as they come, and return how many there were.

        It runs in a thread, so that Ctrl-C is heard.

        Args:
            sql: the statement.
            consume: takes the rows.
            tell: is called now and then with the percent that were done since; 100 in all.

        Raises:
            DatabaseError: it failed.
        """
        reported = 0
        pool = ThreadPoolExecutor(1)
        try:
            running = pool.submit(self._run_alone, sql, consume)
            while wait([running], _POLL_S).not_done:
                percent = int(self._connection.query_progress())
                tell(max(0, percent - reported))
                reported = max(reported, percent)
            count = running.result()
        except KeyboardInterrupt:
            self._cancel()
            raise
        else:
            tell(100 - reported)
            return count
        finally:
            pool.shutdown()

    def _cancel(self) -> None:
        """End what is running, wherever it is, and let nothing begin any more."""
        self._is_cancelled = True
        # again and again: DuckDB forgets what it is told before a statement has begun
        while not self._idle.acquire(timeout=_POLL_S):
            self._connection.interrupt()
        self._idle.release()

    def _run_alone(self, sql: str, consume: Callable[[Iterator[Row]], object]) -> int:
        with self._idle:
            if self._is_cancelled:
                raise DatabaseError("it was cancelled")
            count = 0

            def batches() -> Iterator[Row]:
                nonlocal count
                while rows := self._fetched(result):
                    count += len(rows)
                    yield from rows

            with _without_values():
                result = self._connection.execute(sql)
            consume(batches() if result.description else iter(()))
            return count

    @staticmethod
    def _fetched(result: duckdb.DuckDBPyConnection) -> Rows:
        with _without_values():
            return result.fetchmany(_ROWS_AT_A_TIME)


@contextmanager
def _without_values() -> Iterator[None]:
    """Turn an error of DuckDB's into one that quotes no value.

    Raises:
        DatabaseError: in its place.
    """
    try:
        yield
    except _OF_THE_QUERY as error:
        raise QueryError(str(error).partition("\n\nLINE")[0]) from None
    except duckdb.OutOfMemoryException:
        raise NoMemoryError("there is not enough memory for it") from None
    except duckdb.Error as error:
        # the rest of what DuckDB says quotes values, and they are of payloads
        kind, _, rest = str(error).partition(": ")
        if isinstance(error, duckdb.IOException) or ' file "' in rest:
            raise UnreadableError(kind) from None
        raise DatabaseError(f"{kind}, at a value") from None


@contextmanager
def open_database(*folders: Path) -> Iterator[Database]:
    """Open a database that is in memory, and next to the temporary files when it is large.

    Args:
        folders: the only ones in which it may read and write, whatever a query says.
    """
    with tempfile.TemporaryDirectory(prefix="stripe-archive-") as spill:
        settings: dict[str, str | bool | int | float | list[str]] = {
            # what is not built in would be downloaded
            "autoinstall_known_extensions": False,
            "temp_directory": str(Path(spill)),
        }
        with duckdb.connect(config=settings) as connection:
            connection.execute(
                "SET TimeZone = 'UTC'; SET enable_progress_bar = true;"
                "SET enable_progress_bar_print = false"
            )
            _bound_memory(connection)
            _confine(connection, folders)
            yield Database(connection)


def _confine(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    """Keep it from every other file and from the network, beyond recall."""
    named = [os.path.abspath(folder) for folder in folders]  # noqa: PTH100 - links stay
    # a list of files is of patterns, which are looked at before what they fit
    allowed = ", ".join(text_literal(text) for name in named for text in (name, as_pattern(name)))
    connection.execute(f"SET allowed_directories = [{allowed}]; SET enable_external_access = false")


def _bound_memory(connection: duckdb.DuckDBPyConnection) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if machine * 4 // 5 > _MAX_MEMORY_BYTES:
        connection.execute(f"SET memory_limit = '{_MAX_MEMORY_BYTES} B'")


def as_pattern(path: str) -> str:
    """Return a path as a pattern that nothing but itself fits."""
    return re.sub(r"([\[*?])", r"[\1]", path)
