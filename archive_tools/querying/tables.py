"""The table and the view that Athena has, as DuckDB's views over files."""

import functools
from collections.abc import Sequence
from pathlib import Path

from .copies import Copies
from .database import Database, literal, quoted
from .sql import HIDDEN_TABLE, JSON_SCALAR, TABLE, VIEW, as_duckdb, columns, view_query

#: A record of the largest MAX_BODY_BYTES has 130 MB; DuckDB takes twice what it is told.
_LARGEST_RECORD_BYTES = 1 << 26


def define_tables(database: Database, copies: Copies, paths: Sequence[Path]) -> None:
    """Let `stripe_webhooks` and `stripe_events` be the records in some files.

    Args:
        database: in which they are made, or made anew.
        copies: that the files are of.
        paths: of the files, as many as there are.

    Raises:
        DatabaseError: a file is gone.
    """
    # the columns are cut out of webhooks/year=2026/month=11/day=23/…, since DuckDB's own reading
    # of partitions takes those of the folders above the archive for some more
    database.rows(f"""
        {JSON_SCALAR};
        CREATE OR REPLACE VIEW "{HIDDEN_TABLE}" AS SELECT {", ".join(columns())},
          substr(key, 15, 4) AS year, substr(key, 26, 2) AS month, substr(key, 33, 2) AS day,
          {quoted(copies.origin)} || '/' || key AS "$path"
        FROM (SELECT *, {_key(copies)} AS key FROM {_records(paths)});
        CREATE OR REPLACE VIEW {TABLE} AS SELECT * EXCLUDE ("$path") FROM "{HIDDEN_TABLE}";
        CREATE OR REPLACE VIEW {VIEW} AS {_view()}
    """)  # noqa: S608 - of our own names


@functools.cache
def _view() -> str:
    return as_duckdb(view_query())


def _key(copies: Copies) -> str:
    """Return the expression for an object's key: what its file's name has after its folder's."""
    cases = (
        f"WHEN starts_with(filename, {quoted(above)}) THEN substr(filename, {len(above) + 1})"
        for above in (f"{folder}/" for folder in copies.folders)
    )
    return f"CASE {' '.join(cases)} END"


def _records(paths: Sequence[Path]) -> str:
    """Return what reads the records of some files, and is also there where there is no file."""
    types = columns()
    if not paths:
        nulls = ", ".join(f"NULL::{type_} AS {name}" for name, type_ in types.items())
        return f"(SELECT {nulls}, '' AS filename WHERE false)"
    names = ", ".join(quoted(literal(str(path))) for path in paths)
    typed = ", ".join(f"{name}: '{type_}'" for name, type_ in types.items())
    return f"""read_json([{names}], format = 'newline_delimited', columns = {{{typed}}},
        compression = 'gzip', filename = true, hive_partitioning = false,
        maximum_object_size = {_LARGEST_RECORD_BYTES})"""
