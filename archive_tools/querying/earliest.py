"""Each event once for an export: what the view does for all at a time, done day by day.

The view sorts every payload. Here one pass reads ids and times alone, and of each event remembers
where its earliest arrival lies; then each day's rows are only compared with that.
"""

from datetime import date, timedelta

from sqlglot import exp

from ..days import Days
from ..output import progress
from .database import Database, quoted
from .duckdb_engine import DuckDBEngine
from .sql import TABLE, VIEW, as_duckdb, is_table, view_query

# as the view orders: by arrival, nulls last; the day decides between the same record in two
_MOMENT = "coalesce(received_at, '~') || ' ' || year || month || day"

_ARRIVALS = f"""CREATE OR REPLACE TEMP TABLE arrivals AS
    SELECT id, {_MOMENT} AS moment, count(*) AS copies
    FROM {TABLE} WHERE id IS NOT NULL GROUP BY ALL"""  # noqa: S608 - of our own names

_OF_DAYS = "HAVING right(min(moment), 8) BETWEEN {first} AND {last}"

_EARLIEST = """CREATE OR REPLACE TEMP TABLE earliest AS
    SELECT id, min(moment) AS moment, arg_min(copies, moment) AS copies
    FROM arrivals GROUP BY id {of_days};
    DROP TABLE arrivals"""

_ONCE = f"""CREATE OR REPLACE TEMP VIEW once AS
    SELECT row.* FROM {TABLE} AS row JOIN earliest
      ON row.id = earliest.id AND {_MOMENT} = moment WHERE copies = 1
    UNION ALL
    SELECT * EXCLUDE (nth) FROM (
      SELECT row.*, row_number() OVER (PARTITION BY row.id) AS nth FROM {TABLE} AS row JOIN earliest
        ON row.id = earliest.id AND {_MOMENT} = moment WHERE copies > 1
    ) WHERE nth = 1"""  # noqa: S608


def days_before(engine: DuckDBEngine, days: Days) -> list[date]:
    """Return the days that can hold an earlier arrival of an event of some days.

    One more at the end: Firehose names a folder by the oldest record of an object, so an event can
    have come a moment earlier than another copy and lie in the next day's folder.
    """
    last = days.last and days.last + timedelta(days=1)
    return [day for day in engine.days if day in Days(None, last)]


def remember_earliest(engine: DuckDBEngine, days: Days) -> None:
    """Find the events of some days, by their earliest arrival, with one pass over all before.

    Raises:
        ToolError: it cannot be done.
    """
    first, last = (
        quoted(f"{day:%Y%m%d}") for day in (days.first or date.min, days.last or date.max)
    )
    database = engine.database
    with progress("Finding earliest arrivals", 100) as bar:
        engine.reading(days_before(engine, days), lambda: database.result(_ARRIVALS, bar.update))
    database.rows(_EARLIEST.format(of_days=_OF_DAYS.format(first=first, last=last)))


def show_once(database: Database) -> None:
    """Let `stripe_events` be the remembered events among the rows of `stripe_webhooks`.

    Raises:
        DatabaseError: nothing is remembered.
    """
    tree = view_query()
    for table in tree.find_all(exp.Table):
        if is_table(table, TABLE):
            table.set("this", exp.to_identifier("once"))
    for window in tree.find_all(exp.Window):
        window.replace(exp.Literal.number(1))
    (ties,) = database.rows("SELECT count(*) FROM earliest WHERE copies > 1")
    once = _ONCE if ties[0] else _ONCE.partition("UNION ALL")[0]
    database.rows(f"{once}; CREATE OR REPLACE VIEW {VIEW} AS {as_duckdb(tree)}")
