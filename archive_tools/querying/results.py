"""A result as a table, CSV, JSON or Parquet, printed or in a file that is whole or not there.

Knows values and their forms; nothing of what gave them.
"""

import csv
import io
import json
import math
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from ..errors import ToolError
from ..output import as_json, cell, table
from .engine import Result

FORMATS = ("table", "csv", "json", "parquet")

#: A payload of 5 KB would push everything else out of sight.
_WIDEST = 80


def show(result: Result, form: str) -> None:
    """Print a result in one of the forms that are text."""
    click.echo(_text(result, form), nl=form != "csv")


def write(result: Result, form: str, path: Path) -> None:
    """Write a result to a file, in place of what was there.

    Raises:
        ToolError: it cannot be written.
    """
    with replacing(path) as temporary:
        if form == "parquet":
            _write_parquet(result, temporary)
        else:
            text = _text(result, form)
            temporary.write_text(text if form == "csv" else f"{text}\n", encoding="utf-8")


def refuse_unwritable(path: Path) -> None:
    """Refuse a file in a folder that is not there or not ours: before minutes of work, not after.

    Raises:
        ToolError: it cannot be written.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path, f"{path.parent} is not there, or may not be written to")


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
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: Path, why: str) -> ToolError:
    return ToolError(
        f"{path} cannot be written: {why}",
        "name a file in a folder that is there and may be written to",
    )


def _text(result: Result, form: str) -> str:
    match form:
        case "table":
            rows = [[_cut(value) for value in row] for row in result.rows]
            return table(result.names, rows)
        case "csv":
            return _csv(result)
    return as_json(_objects(result))


def _cut(value: object) -> object:
    if not isinstance(value, str | list | dict):
        return value
    text = cell(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _csv(result: Result) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.names)
    writer.writerows([_csv_value(value) for value in row] for row in result.rows)
    return text.getvalue()


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


def _objects(result: Result) -> list[dict[str, Any]]:
    twice = [name for name, count in Counter(result.names).items() if count > 1]
    if twice:
        raise ToolError(
            f"More than one column is called {twice[0]}", "give each a name of its own, with AS"
        )
    return [dict(zip(result.names, map(_json_value, row), strict=True)) for row in result.rows]


def _json_value(value: object) -> object:
    # JSON has no number for them
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _write_parquet(result: Result, path: Path) -> None:
    from .database import open_database
    from .parquet import write_parquet

    objects = _objects(result)
    # the rows come to it by a temporary file
    with open_database(path.parent, Path(tempfile.gettempdir())) as database:
        write_parquet(database, result.names, result.types, objects, path)
