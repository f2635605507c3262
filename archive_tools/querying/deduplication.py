"""The view `stripe_events` for DuckDB: each event once, without sorting payloads.

One pass reads ids and times alone, and finds where the earliest arrival of each event lies; then
each row is only compared with that.
"""

from datetime import date

from ..days import Days
from .database import Database
from .schema import TABLE, VIEW, view_over
from .types import text_literal

# as the view orders: by arrival, nulls last; the day decides between the same record in two
_MOMENT = "coalesce(received_at, '~') || ' ' || year || month || day"

_EARLIEST = f"""CREATE OR REPLACE TEMP TABLE earliest AS
    SELECT id, min(moment) AS moment, arg_min(n, moment) AS n
    FROM (
      SELECT id, {_MOMENT} AS moment, count(*) AS n FROM {{rows}} WHERE id IS NOT NULL GROUP BY ALL
    )
    GROUP BY id HAVING right(min(moment), 8) BETWEEN {{first}} AND {{last}}"""  # noqa: S608

_ONCE = f"""CREATE OR REPLACE TEMP VIEW once AS
    SELECT delivery.* FROM {{rows}} AS delivery JOIN earliest
      ON delivery.id = earliest.id AND {_MOMENT} = moment AND n = 1"""  # noqa: S608

# the same record twice in a day; the files are read once more for these
_TIES = f"""
    UNION ALL SELECT * EXCLUDE (nth) FROM (
      SELECT delivery.*, row_number() OVER (PARTITION BY delivery.id) AS nth
      FROM {{rows}} AS delivery JOIN earliest
        ON delivery.id = earliest.id AND {_MOMENT} = moment AND n > 1
    ) WHERE nth = 1"""  # noqa: S608


def earliest_arrivals(days: Days, rows: str = TABLE) -> str:
    """Return the statement that finds the events whose earliest arrival is in some days.

    Args:
        days: of arrival.
        rows: the relation of the deliveries; it has to hold the days before these as well.
    """
    first, last = days.first or date.min, days.last or date.max
    return _EARLIEST.format(
        rows=rows,
        first=text_literal(first.isoformat().replace("-", "")),
        last=text_literal(last.isoformat().replace("-", "")),
    )


def define_view(database: Database, rows: str = TABLE, name: str = VIEW) -> None:
    """Let a view be the events that were found, among the rows that a relation has now.

    Args:
        database: in which the view is made.
        rows: the relation of the deliveries.
        name: of the view.

    Raises:
        DatabaseError: a file cannot be read.
    """
    ((ties,),) = database.rows("SELECT count(*) FROM earliest WHERE n > 1")
    database.rows((_ONCE + (_TIES if ties else "")).format(rows=rows))
    database.rows(f"CREATE OR REPLACE VIEW {name} AS {view_over('once')}")
