"""Which engine runs a query: DuckDB on this machine, or Athena."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from ..settings import ToolSettings
from ..storage import FolderStorage, Storage
from .result import Engine, Result

__all__ = ["Engine", "Result", "default_engine", "open_engine"]


@contextmanager
def open_engine(
    storage: Storage, settings: ToolSettings, kind: str | None = None, today: date | None = None
) -> Iterator[Engine]:
    """Open the engine of a kind, `duckdb` or `athena`; by default Athena for a bucket.

    Args:
        storage: the archive.
        settings: of the tools.
        kind: which engine; None for the default of the storage.
        today: what `current_date` is for DuckDB; today where it is left out.

    Raises:
        ToolError: it cannot read this storage, or is not installed.
    """
    if (kind or default_engine(storage)) == "athena":
        from .athena_engine import open_athena

        with open_athena(storage, settings) as athena:
            yield athena
        return
    from .duckdb_engine import open_duckdb

    with open_duckdb(storage, today) as engine:
        yield engine


def default_engine(storage: Storage) -> str:
    """Return which engine reads a storage by default: Athena reads buckets alone."""
    return "duckdb" if isinstance(storage, FolderStorage) else "athena"
