"""Which days a query can have rows of: what Athena finds by its partitions, found for DuckDB.

Knows conditions on year, month and day, and nothing of objects. Where it cannot be sure it keeps
the day.
"""

from datetime import date
from typing import TYPE_CHECKING

from sqlglot import exp

from .database import DatabaseError
from .sql import HIDDEN_TABLE, PARTITIONS, TABLE, VIEW, as_duckdb, is_table

if TYPE_CHECKING:
    from .database import Database

#: A condition with one of these can be another for each row.
_UNSTEADY = (exp.Query, exp.Subquery, exp.Rand, exp.Randn, exp.Uuid, exp.AggFunc, exp.Window)


def days_read(database: "Database", tree: exp.Query, days: list[date]) -> list[date]:
    """Return the days that a query has to read, of those that there are.

    Args:
        database: to evaluate the conditions in, as the query itself will be.
        tree: the translated query.
        days: that exist.
    """
    kept: set[date] = set()
    for table in tree.find_all(exp.Table):
        # the earliest arrival of an event can lie in any day
        if is_table(table, VIEW):
            return days
        if is_table(table, TABLE) or is_table(table, HIDDEN_TABLE):
            kept.update(_days_of(database, _conditions(table), days))
    return [day for day in days if day in kept]


def _conditions(table: exp.Table) -> list[exp.Expr]:
    """Return the conditions on the partitions alone that each row of a table has to meet."""
    source = table.parent
    select = source.parent if isinstance(source, exp.From | exp.Join) else None
    where = select.args.get("where") if isinstance(select, exp.Select) else None
    if not isinstance(select, exp.Select) or not where:
        return []
    # of an outer join, rows that a condition refuses can show as missing ones
    if any(join.side for join in select.find_all(exp.Join)):
        return []
    whole = where.this.unnest()
    parts = whole.flatten() if isinstance(whole, exp.And) else [whole]
    return [part for part in parts if _is_of_days(part, table.alias_or_name.lower())]


def _is_of_days(condition: exp.Expr, alias: str) -> bool:
    if condition.find(*_UNSTEADY):
        return False
    columns = list(condition.find_all(exp.Column))
    return bool(columns) and all(
        column.name.lower() in PARTITIONS and column.table.lower() in ("", alias)
        for column in columns
    )


def _days_of(database: "Database", conditions: list[exp.Expr], days: list[date]) -> list[date]:
    if not conditions:
        return days
    bare = [condition.copy() for condition in conditions]
    for column in (column for condition in bare for column in condition.find_all(exp.Column)):
        column.set("table", None)
    where = " AND ".join(f"({as_duckdb(condition)})" for condition in bare)
    values = ", ".join(f"('{day:%Y}', '{day:%m}', '{day:%d}')" for day in days)
    sql = f"SELECT * FROM (VALUES {values}) AS days (year, month, day) WHERE {where}"  # noqa: S608
    try:
        found = set(database.rows(sql))
    except DatabaseError:
        # the query itself will say what is wrong with it
        return days
    return [day for day in days if (f"{day:%Y}", f"{day:%m}", f"{day:%d}") in found]
