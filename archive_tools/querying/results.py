"""A query's rows as a table, CSV, JSON or Parquet, printed or in a file: whole, or not there.

Rows are written as they come: no form but the table keeps them. Knows nothing of what gave them.
"""

import csv
import json
import math
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from ..errors import ToolError
from ..output import as_json, cell, table
from .result import Consumer, Row
from .types import quoted, text_literal

FORMATS = ("table", "csv", "json", "parquet")

#: A payload of 5 KB would push everything else out of sight.
_WIDEST = 80

_CHUNK = 1 << 16

#: Rows that DuckDB holds to write them together; with payloads of 5 KB, 40 MB a thread.
_ROW_GROUP = 8_192


@contextmanager
def output(form: str, target: Path | None) -> Iterator[Consumer]:
    """Give what writes the rows of a query; they are in their place when the context ends well.

    Args:
        form: one of `FORMATS`.
        target: the file; None for standard output, which gets nothing before all is written.

    Raises:
        ToolError: the file cannot be written, or the form has no place for the columns.
    """
    if target:
        with replacing(target) as temporary:
            yield _consumer(form, temporary)
        return
    with tempfile.TemporaryDirectory(prefix="stripe-archive-") as folder:
        written = Path(folder, "result")
        yield _consumer(form, written)
        with written.open(encoding="utf-8", newline="") as text:
            while chunk := text.read(_CHUNK):
                click.echo(chunk, nl=False)


def _consumer(form: str, path: Path) -> Consumer:
    write = {"table": _table, "csv": _csv, "json": _json, "parquet": _parquet}[form]

    def consume(names: list[str], types: list[str], rows: Iterator[Row]) -> None:
        if form != "table" and form != "csv":
            _refuse_twice(names)
        write(path, names, types, rows)

    return consume


def refuse_unwritable(path: Path) -> None:
    """Refuse a file in a folder that is not there or not ours: before minutes of work, not after.

    Raises:
        ToolError: it cannot be written.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise unwritable(path, f"{path.parent} is not there, or may not be written to")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a file beside `path` to write to, which then takes its place.

    Raises:
        ToolError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def unwritable(path: Path, why: str) -> ToolError:
    """Return the error for a place that cannot be written to."""
    return ToolError(
        f"{path} cannot be written: {why}",
        "name a file in a folder that is there and may be written to",
    )


def _table(path: Path, names: Sequence[str], _: Sequence[str], rows: Iterator[Row]) -> None:
    cut = [[_cut(value) for value in row] for row in rows]
    path.write_text(f"{table(names, cut)}\n", encoding="utf-8")


def _cut(value: object) -> object:
    if not isinstance(value, str | list | dict):
        return value
    text = cell(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _csv(path: Path, names: Sequence[str], _: Sequence[str], rows: Iterator[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(map(_csv_value, row) for row in rows)


def _csv_value(value: object) -> object:
    match value:
        case bool():
            return str(value).lower()
        case datetime() | date():
            return value.isoformat()
        case list() | dict():
            return json.dumps(value, ensure_ascii=False, default=str)
        case bytes():
            return value.hex()
    return value


def _json(path: Path, names: Sequence[str], _: Sequence[str], rows: Iterator[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        before = "[\n"
        for row in rows:
            text = as_json(dict(zip(names, map(_finite, row), strict=True)))
            file.write(before + "\n".join(f"  {line}" for line in text.split("\n")))
            before = ",\n"
        file.write("[]\n" if before == "[\n" else "\n]\n")


def _refuse_twice(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(map(str.lower, names)).items() if count > 1]
    if twice:
        raise ToolError(
            f"More than one column is called {twice[0]}", "give each a name of its own, with AS"
        )


def _finite(value: object) -> object:
    # JSON has no number for them
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _parquet(path: Path, names: Sequence[str], types: Sequence[str], rows: Iterator[Row]) -> None:
    """Write rows as Parquet by way of JSON, whose values DuckDB gives their types again."""
    from .database import open_database

    with tempfile.TemporaryDirectory(prefix="stripe-archive-") as folder:
        lines = Path(folder, "rows.json")
        longest = 1
        with lines.open("w", encoding="utf-8") as file:
            for row in rows:
                values = {f"c{n}": _finite(value) for n, value in enumerate(row)}
                longest = max(longest, file.write(json.dumps(values, default=_text) + "\n"))
        # JSON has no bytes; and of a JSON document its text is wanted, not a text of that
        read_as = {"BLOB": "VARCHAR", "JSON": "VARCHAR"}
        columns = ", ".join(f"c{n}: '{read_as.get(t, t)}'" for n, t in enumerate(types))
        selected = ", ".join(
            (f"unhex(c{n})" if type_ == "BLOB" else f"c{n}") + f" AS {quoted(name)}"
            for n, (name, type_) in enumerate(zip(names, types, strict=True))
        )
        with open_database(path.parent, Path(folder)) as database:
            # each thread holds rows
            database.rows("SET threads = 1")
            database.rows(
                f"""COPY (SELECT {selected} FROM read_json({text_literal(str(lines))},
                  format = 'newline_delimited', columns = {{{columns}}},
                  maximum_object_size = {longest}
                )) TO {text_literal(str(path))}
                (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"""  # noqa: S608
            )


def _text(value: Any) -> str:
    """Return a value for which JSON has nothing."""
    return value.hex() if isinstance(value, bytes) else str(value)
