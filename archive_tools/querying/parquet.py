"""A result as a Parquet file, written by DuckDB."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .database import Database, quoted

#: Sums of whole numbers; Parquet has no such type, and DuckDB would write them as floats. Bytes
#: come as text, and JSON has no other.
_READ_AS = {"HUGEINT": "DECIMAL(38,0)", "UHUGEINT": "DECIMAL(38,0)", "BLOB": "VARCHAR"}


def write_parquet(
    database: Database,
    names: Sequence[str],
    types: Sequence[str],
    objects: Sequence[dict[str, Any]],
    path: Path,
) -> None:
    """Write rows to a Parquet file, with the types that the columns had.

    Args:
        database: an open one.
        names: of the columns.
        types: of the columns, as DuckDB calls them.
        objects: the rows, by name of column.
        path: of the file.

    Raises:
        DatabaseError: DuckDB cannot write it.
    """
    columns = ", ".join(
        f"{quoted(name)}: {quoted(_READ_AS.get(type_, type_))}"
        for name, type_ in zip(names, types, strict=True)
    )
    selected = ", ".join(
        f"unhex(#{n}) AS {_identifier(name)}" if type_ == "BLOB" else f"#{n}"
        for n, (name, type_) in enumerate(zip(names, types, strict=True), 1)
    )
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as rows:
        for row in objects:
            rows.write(json.dumps(row, default=_text) + "\n")
        rows.flush()
        source = f"""read_json({quoted(rows.name)}, format = 'newline_delimited',
            columns = {{{columns}}}, maximum_object_size = {1 << 26})"""
        database.rows(
            f"COPY (SELECT {selected} FROM {source}) TO {quoted(str(path))} "  # noqa: S608
            "(FORMAT parquet, COMPRESSION zstd)"
        )


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    """Return a value for which JSON has nothing."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
