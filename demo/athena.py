"""Athena's SQL on a local archive: sqlglot translates it, DuckDB runs it.

`python -m demo.athena FOLDER FILE…` runs queries; `--document` renews the results in
docs/QUERYING.md. It takes less than Athena: what it cannot translate with certainty is refused.
"""

import re
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

import click
import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError

from demo import month
from demo.service import PROJECT

_ATHENA = PROJECT / "deploy/athena"
_MARKERS = "<!-- the library: generated -->", "<!-- end of the library -->"
Table = tuple[list[str], list[tuple[Any, ...]]]

LIBRARY = sorted((_ATHENA / "queries").glob("*.sql"))

# the partitions come last; "$path" is for those who ask for it, and not in a star
_TABLE = """CREATE VIEW stripe_webhooks AS SELECT * EXCLUDE (filename, year, month, day),
    year, month, day FROM objects"""

# Athena has NULL for what is not JSON and for no scalar; DuckDB fails, or gives the text
_JSON_SCALAR = """CREATE MACRO json_scalar(document, path) AS CASE WHEN json_valid(document) THEN
    CASE WHEN json_type(document, path) NOT IN ('OBJECT', 'ARRAY')
    THEN json_extract_string(document, path) END END"""


def query(folder: Path, sql: str, today: date | None = None) -> Table:
    """Return column names and rows of a query of Athena's dialect. Times are UTC.

    Args:
        folder: the archive: the folder with `webhooks` in it.
        sql: can use the table `stripe_webhooks`, its "$path", and the view `stripe_events`.
        today: what `current_date` is; today where it is left out.

    Raises:
        SqlglotError: it is not SQL, or more than sqlglot can translate.
        duckdb.Error: it is wrong, or a file cannot be read.
    """
    view = (_ATHENA / "stripe_events.sql").read_text().partition("VIEW stripe_events AS\n")[2]
    table = sqlglot.parse_one((_ATHENA / "stripe_webhooks.sql").read_text(), read="athena").this
    with duckdb.connect() as database:
        database.execute(f"SET TimeZone = 'UTC'; {_JSON_SCALAR}")
        database.read_json(
            str(folder / "webhooks/*/*/*/*.json.gz"),
            format="newline_delimited",
            columns={column.name: column.kind.sql("duckdb") for column in table.expressions},
            hive_partitioning=True,
            hive_types_autocast=False,
            filename=True,
        ).create_view("objects")
        database.execute(_TABLE)
        database.execute(f"CREATE VIEW stripe_events AS {translated(view)}")
        result = database.execute(translated(sql, today))
        return [column[0] for column in result.description or []], result.fetchall()


def translated(sql: str, today: date | None = None) -> str:
    """Return a query of Athena's dialect in DuckDB's; `today` replaces `current_date`.

    Raises:
        SqlglotError: it is not SQL, or has a clause or a function that sqlglot does not know.
    """
    tree = sqlglot.parse_one(sql, read="athena")
    if not isinstance(tree, exp.Query):  # a Command is what sqlglot keeps as text
        raise UnsupportedError("this is no query, or one with a clause that sqlglot cannot read")
    if unknown := sorted({node.name for node in tree.find_all(exp.Anonymous)}):
        raise UnsupportedError(f"sqlglot does not know the function {', '.join(unknown)}")
    # from the leaves up: what is inside a node has been replaced before it
    for node in reversed(list(tree.walk())):
        match node:
            case exp.JSONExtractScalar():
                node.replace(exp.func("json_scalar", node.this, node.expression))
            case exp.ApproxQuantile():  # DuckDB's own estimate depends on its threads
                node.replace(exp.func("quantile_disc", node.this, node.args["quantile"]))
            case exp.Mul(expression=exp.Interval(this=exp.Literal(this="1"))):  # beyond 32 bits
                node.replace(exp.func(f"to_{node.expression.unit}s", node.this))
            case exp.Length(this=exp.Encode()):
                node.replace(exp.func("octet_length", node.this))
            case exp.CurrentDate() if today:
                node.replace(exp.cast(exp.Literal.string(str(today)), "date"))
            case exp.Column(name="$path"):
                for table in tree.find_all(exp.Table):
                    table.set("this", exp.to_identifier("objects"))
                node.replace(exp.column("filename"))
    return tree.sql("duckdb", unsupported_level=ErrorLevel.RAISE)


def markdown(result: Table, limit: int = 6) -> str:
    """Return a result as a table of so many rows."""
    names, rows = result
    lines = [names, ["---"] * len(names), *(list(map(_cell, row)) for row in rows[:limit])]
    more = f"\n… and {len(rows) - limit} more\n" if len(rows) > limit else ""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + more


def _cell(value: object) -> str:
    text = "" if value is None else " ".join(str(value).split())
    text = text.lower() if isinstance(value, bool) else text
    # an object's name ends in random characters
    text = re.sub(r"^.*(webhooks/.*)-[0-9a-f]{16}(\.json\.gz)$", r"\1-…\2", text)
    return text if len(text) <= 75 else f"{text[:40]}…"


def library_chapter(folder: Path) -> str:
    """Return a section for each query of the library, with its result on the sample month."""
    sections = []
    for path in LIBRARY:
        sql = path.read_text()
        for placeholder, value in month.EXAMPLES.items():
            sql = sql.replace(placeholder, value)
        head = f"{sql[3 : sql.index('?')]}? [{path.name}](../{path.relative_to(PROJECT)})"
        table = markdown(query(folder, sql, month.TODAY))
        sections.append(f"### {path.stem}\n\n{head}\n\n{table}\n")
    return "".join(sections)


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, path_type=Path))
@click.argument("files", nargs=-1, type=click.File())
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="What current_date is.")
@click.option("--document", type=click.Path(exists=True, path_type=Path), help="Renew its results.")
def main(
    folder: Path | None, files: tuple[TextIO, ...], today: datetime | None, document: Path | None
) -> None:
    """Run the queries in FILES, of Athena's dialect, on the archive in FOLDER."""
    if document:
        with tempfile.TemporaryDirectory() as scratch:
            month.archive(Path(scratch))
            chapter = f"{_MARKERS[0]}\n\n{library_chapter(Path(scratch))}{_MARKERS[1]}"
        before, _, rest = document.read_text().partition(_MARKERS[0])
        document.write_text(before + chapter + rest.partition(_MARKERS[1])[2])
    for file in files:
        try:
            table = markdown(query(folder or Path(), file.read(), today and today.date()), 40)
        except (SqlglotError, duckdb.Error) as error:
            raise click.ClickException(f"{file.name}: {error}") from error
        click.echo(f"{file.name}\n\n{table}")


if __name__ == "__main__":
    main()
