"""The tables and the view as deploy/athena defines them, and as DuckDB has them over files."""

import functools
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import sqlglot
from sqlglot import exp

from webhook_app.environ import PROJECT

from .database import as_pattern
from .dialect import parsed
from .translation import PARTITIONS, Relation, Translator
from .types import BIGINT, BOOLEAN, VARCHAR, Type, text_literal

SCHEMA = PROJECT / "deploy/athena"
TABLE = "stripe_webhooks"
VIEW = "stripe_events"
SNAPSHOTS = "stripe_snapshots"

#: A record of the largest MAX_BODY_BYTES has 130 MB; DuckDB takes twice what it is told.
_LARGEST_RECORD_BYTES = 1 << 26

_TYPES = {"TEXT": VARCHAR, "VARCHAR": VARCHAR, "BIGINT": BIGINT, "BOOLEAN": BOOLEAN}


@functools.cache
def stored_columns(name: str) -> dict[str, Type]:
    """Return the columns that the objects of a table have, by name, in their order."""
    table = sqlglot.parse_one((SCHEMA / f"{name}.sql").read_text(), read="athena").this
    return {column.name: _TYPES[column.kind.this.value] for column in table.expressions}


@functools.cache
def table(name: str = TABLE) -> Relation:
    """Return a table, with its partitions and its hidden column `$path`, which no star shows."""
    columns = {**stored_columns(name), **dict.fromkeys((*PARTITIONS, "$path"), VARCHAR)}
    return Relation(name, columns, is_archive=True)


@functools.cache
def view() -> Relation:
    """Return the view."""
    _, columns = Translator({TABLE: table()}, None).query(parsed(_view_sql()), None)
    return Relation(VIEW, dict(columns), is_archive=True)


@functools.cache
def relations() -> dict[str, Relation]:
    """Return them by name."""
    return {TABLE: table(), VIEW: view(), SNAPSHOTS: table(SNAPSHOTS)}


def _view_sql() -> str:
    return (SCHEMA / f"{VIEW}.sql").read_text().partition(f"VIEW {VIEW} AS\n")[2]


@functools.cache
def view_definition() -> str:
    """Return a sum of the view's SQL, without comments: another one is another view."""
    sql = re.sub(r"--[^\n]*", "", _view_sql())
    return hashlib.sha256(" ".join(sql.split()).encode()).hexdigest()


def view_over(once: str) -> str:
    """Return the view's query over rows of which each is an event's earliest arrival already."""
    tree = parsed(_view_sql())
    for window in tree.find_all(exp.Window):
        window.replace(exp.Literal.number(1))
    # under the name of the table, other rows
    rows = {TABLE: Relation(once, table().columns)}
    return Translator(rows, None).query(tree, None)[0]


def table_definition(
    name: str, files: Sequence[Path], roots: Sequence[Path], path: str, alias: str = ""
) -> str:
    """Return the statement that makes a table of some files.

    Args:
        name: of the table.
        files: to be read, as many as there are.
        roots: the folders that have `webhooks/year=…/month=…/day=…/`, or that of another prefix,
            with the files.
        path: the expression for `$path`, out of `filename`.
        alias: what it is called, if not by its name.
    """
    # the days are cut out of the names, since DuckDB's own reading of partitions takes folders
    # above the archive for some more
    cases = " ".join(
        f"WHEN starts_with(filename, {text_literal(above)}) THEN substr(filename, {len(above) + 1})"
        for above in (f"{root}/" for root in roots)
    )
    partitions = ", ".join(
        f"split_part(split_part(key, '/', {n}), '=', 2) AS {column}"
        for n, column in enumerate(PARTITIONS, 2)
    )
    return f"""
        CREATE OR REPLACE VIEW {alias or name} AS SELECT {", ".join(stored_columns(name))},
          {partitions}, {path} AS "$path"
        FROM (SELECT *, CASE {cases} END AS key FROM {_lines(name, files)})
    """  # noqa: S608 - of our own names


def _lines(name: str, files: Sequence[Path]) -> str:
    """Return what reads the lines of some files, and is also there where there is no file."""
    types = {column: type_.duckdb for column, type_ in stored_columns(name).items()}
    if not files:
        nulls = ", ".join(f"NULL::{type_} AS {column}" for column, type_ in types.items())
        return f"(SELECT {nulls}, '' AS filename WHERE false)"
    names = ", ".join(text_literal(as_pattern(str(file))) for file in files)
    typed = ", ".join(f"{column}: '{type_}'" for column, type_ in types.items())
    return f"""read_json([{names}], format = 'newline_delimited', columns = {{{typed}}},
        compression = 'gzip', filename = true, hive_partitioning = false,
        maximum_object_size = {_LARGEST_RECORD_BYTES})"""
