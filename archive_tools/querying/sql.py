"""Athena's SQL in DuckDB's: sqlglot translates it. Takes less than Athena does.

Knows the names of the tables and what the two engines mean differently; runs nothing.
"""

import functools
import logging
from datetime import date

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError

from webhook_app.environ import PROJECT

from ..days import today as utc_today
from ..errors import ToolError

#: The table and the view as Athena has them.
SCHEMA = PROJECT / "deploy/athena"
TABLE = "stripe_webhooks"
VIEW = "stripe_events"

# what it would say of a statement that it cannot read, the error says
logging.getLogger("sqlglot").setLevel(logging.ERROR)

PARTITIONS = ("year", "month", "day")

#: The table with its hidden column `$path`, which no star shows.
HIDDEN_TABLE = "stripe_webhooks$path"

# Athena has NULL for what is not JSON and for no scalar; DuckDB fails, or gives the text
JSON_SCALAR = """CREATE OR REPLACE MACRO json_scalar(document, path) AS
    TRY(json_value(document, path) ->> '$')"""


def translated(sql: str, today: date | None = None) -> str:
    """Return a query of Athena's dialect in DuckDB's; `today` replaces `current_date`.

    Raises:
        ToolError: it is not SQL, or has a clause or a function that sqlglot does not know.
    """
    return as_duckdb(translation(sql, today))


def translation(sql: str, today: date | None = None) -> exp.Query:
    """Return the tree of a query, with what DuckDB means differently replaced.

    Raises:
        ToolError: as `translated`.
    """
    try:
        return _replaced(_parsed(sql), today)
    except SqlglotError as error:
        raise _refused(error) from error


def as_duckdb(tree: exp.Expr) -> str:
    """Return a translated tree, or a part of one, as text.

    Raises:
        ToolError: DuckDB has nothing for it.
    """
    try:
        return tree.sql("duckdb", pretty=True, unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise _refused(error) from error


def selection(table: str, condition: str, columns: str = "*") -> exp.Query:
    """Return the translated query for the rows of one table for which a condition holds.

    Args:
        table: `stripe_webhooks` or `stripe_events`.
        condition: of Athena's dialect, on its columns; empty for all rows.
        columns: to be selected.

    Raises:
        ToolError: it is no condition on a row alone.
    """
    # on a line of its own, so that a comment at its end stays one
    where = f" WHERE ({condition}\n)" if condition else ""
    tree = translation(f"SELECT {columns} FROM {table}{where}", utc_today())  # noqa: S608
    if len(list(tree.find_all(exp.Select))) > 1 or not isinstance(tree, exp.Select):
        raise ToolError(
            "The condition holds a query of its own", "name what it is about, column by column"
        )
    return tree


@functools.cache
def columns() -> dict[str, str]:
    """Return the columns of a record by name, with DuckDB's type of each."""
    table = sqlglot.parse_one((SCHEMA / f"{TABLE}.sql").read_text(), read="athena").this
    return {column.name: column.kind.sql("duckdb") for column in table.expressions}


def names(table: str) -> list[str]:
    """Return the names of the columns of `stripe_webhooks` or `stripe_events`, in their order."""
    return view_query().named_selects if table == VIEW else [*columns(), *PARTITIONS]


def view_query() -> exp.Query:
    """Return the query of the view `stripe_events`, translated."""
    return translation((SCHEMA / f"{VIEW}.sql").read_text().partition(f"VIEW {VIEW} AS\n")[2])


def is_table(node: exp.Expr, name: str) -> bool:
    """Whether a node of the tree names a table; Athena does not mind the case."""
    return isinstance(node, exp.Table) and node.name.lower() == name


def _parsed(sql: str) -> exp.Query:
    trees = [tree for tree in sqlglot.parse(sql, read="athena") if tree]
    if len(trees) != 1:
        raise UnsupportedError(f"it holds {len(trees)} statements, and one is run at a time")
    (tree,) = trees
    if not isinstance(tree, exp.Query):  # a Command is what sqlglot keeps as text
        raise UnsupportedError("this is no query, or one with a clause that sqlglot cannot read")
    if unknown := sorted({node.name for node in tree.find_all(exp.Anonymous)}):
        raise UnsupportedError(f"sqlglot does not know the function {', '.join(unknown)}")
    _check_tables(tree)
    return tree


def _check_tables(tree: exp.Query) -> None:
    """Refuse what is neither of the two nor made by the query: DuckDB takes files for tables.

    Raises:
        ToolError: there is such a table.
    """
    known = {TABLE, VIEW} | {named.alias.lower() for named in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or table.name.lower() not in known:
            raise ToolError(
                f"There is no table {table.this.sql('athena')}", f"ask {TABLE}, or the view {VIEW}"
            )


def _replaced(tree: exp.Query, today: date | None) -> exp.Query:
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
            case exp.Table() if is_table(node, TABLE) or is_table(node, VIEW):
                # there is one database here, whatever Athena calls it
                node.set("db", None)
                node.set("catalog", None)
    if any(column.name == "$path" for column in tree.find_all(exp.Column)):
        _show_paths(tree)
    return tree


def _show_paths(tree: exp.Query) -> None:
    """Read the table with the path, but let a star be as before."""
    for table in tree.find_all(exp.Table):
        if not is_table(table, TABLE):
            continue
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(TABLE)))
        table.set("this", exp.to_identifier(HIDDEN_TABLE, quoted=True))
        if select := table.find_ancestor(exp.Select):
            for star in _stars(select, table.alias):
                star.set("except_", [exp.to_identifier("$path", quoted=True)])


def _stars(select: exp.Select, alias: str) -> list[exp.Star]:
    """Return `*` and `alias.*` of what is selected."""
    of_alias = (
        item.this
        for item in select.expressions
        if isinstance(item, exp.Column) and item.table.lower() == alias.lower()
    )
    return [item for item in (*select.expressions, *of_alias) if isinstance(item, exp.Star)]


def _refused(error: SqlglotError) -> ToolError:
    # the first line says what, the rest quotes the query with marks for a terminal
    said = str(error).partition("\n")[0].partition("\x1b")[0].strip()
    return ToolError(
        f"The query cannot be translated for DuckDB: {said}",
        "look at its spelling, or let Athena itself run it: --engine athena",
    )
