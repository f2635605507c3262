"""The five queries behind a report, in Athena's dialect, bounded to the days that it is about.

Knows the columns of the table and the files of deploy/athena; what the view and the query of the
money define is taken from there, so that a report and the library never differ.
"""

import re

from webhook_app.environ import PROJECT

from ..days import Days

#: Stripe delivers again for up to three days: an event that arrives now may have arrived before,
#: and one that happened now may be still to come. https://docs.stripe.com/webhooks#retries
REDELIVERY_DAYS = 3

#: A first delivery takes seconds; one that comes later was tried before, or Stripe was late.
LATE_S = 60

#: So many types have a colour of their own.
KINDS = 7

#: So many of the latest and of the most repeated events are named.
NAMED = 10

_ATHENA = PROJECT / "deploy/athena"

# a payload can claim any time, so only those up to the year 9999 count
_DELIVERIES = """WITH deliveries AS (
  SELECT
    id, type, source, received_at, arrived, payload_bytes,
    coalesce(CAST(CAST(arrived AS date) AS varchar), folder) AS day,
    IF(source = 'webhook' AND created BETWEEN 0 AND 253402300799,
      to_unixtime(arrived) - created) AS delay,
    id IS NULL OR arrival = 1 AS is_first
  FROM (
    SELECT
      id, type, source, received_at, created,
      length(to_utf8(payload)) AS payload_bytes,
      year || '-' || month || '-' || day AS folder,
      TRY_CAST(replace(substr(received_at, 1, 23), 'T', ' ') AS timestamp(3)) AS arrived,
      row_number() OVER (PARTITION BY id ORDER BY received_at) AS arrival
    FROM stripe_webhooks
    WHERE {scanned}
  )
)
"""

_DAYS = """SELECT
  day,
  count(*) AS deliveries,
  count_if(is_first AND id IS NOT NULL) AS events,
  count_if(id IS NULL) AS without_id,
  count_if(NOT is_first) AS copies,
  count(DISTINCT IF(NOT is_first, id)) AS repeated,
  count_if(is_first AND delay > {late_s}) AS late,
  count_if(source = 'events_api') AS from_api,
  sum(payload_bytes) AS payload_bytes,
  approx_percentile(IF(is_first, delay), 0.5) AS first_p50,
  approx_percentile(IF(is_first, delay), 0.95) AS first_p95,
  approx_percentile(IF(is_first, delay), 0.99) AS first_p99,
  approx_percentile(delay, 0.5) AS every_p50,
  approx_percentile(delay, 0.95) AS every_p95,
  approx_percentile(delay, 0.99) AS every_p99
FROM deliveries
WHERE day BETWEEN '{first}' AND '{last}'
GROUP BY GROUPING SETS ((day), ())
"""

_KINDS = """SELECT
  day, IF(place <= {kinds}, place, {kinds} + 1) AS place,
  IF(place <= {kinds}, type) AS type, sum(n) AS deliveries, max(place) AS last_place
FROM (
  SELECT day, type, n, dense_rank() OVER (ORDER BY total DESC, type) AS place
  FROM (
    SELECT day, type, n, sum(n) OVER (PARTITION BY type) AS total
    FROM (
      SELECT day, type, count(*) AS n
      FROM deliveries
      WHERE day BETWEEN '{first}' AND '{last}'
      GROUP BY 1, 2
    )
  )
)
GROUP BY 1, 2, 3
"""

# what a tool fetched from the Events API must not hide the silence that it was fetched for
_HOURS = """SELECT day, hour(arrived) AS hour, count(*) AS deliveries
FROM deliveries
WHERE day BETWEEN '{first}' AND '{last}' AND arrived IS NOT NULL
  AND coalesce(source, '') <> 'events_api'
GROUP BY 1, 2
"""

_UNUSUAL = """SELECT id, type, arrivals, earliest, latest, delay, is_late
FROM (
  SELECT *,
    row_number() OVER (ORDER BY arrivals DESC, earliest, id) AS repeated_place,
    row_number() OVER (PARTITION BY is_late ORDER BY delay DESC, id) AS late_place
  FROM (
    SELECT
      id, max(type) AS type, count(*) AS arrivals, min(arrived) AS earliest,
      max(arrived) AS latest, min(delay) AS delay,
      coalesce(min(delay) > {late_s} AND min(day) >= '{first}', FALSE) AS is_late
    FROM deliveries
    WHERE id IS NOT NULL AND arrived IS NOT NULL AND day <= '{last}'
    GROUP BY id
    HAVING max(day) >= '{first}'
      AND (count(*) > 1 OR min(delay) > {late_s})
  )
)
WHERE (arrivals > 1 AND repeated_place <= {named}) OR (is_late AND late_place <= {named})
ORDER BY arrivals DESC, earliest, id
"""


def day_queries(days: Days) -> dict[str, str]:
    """Return the queries of a range by what they give: days, kinds, hours, unusual, money."""
    texts = {"days": _DAYS, "kinds": _KINDS, "hours": _HOURS, "unusual": _UNUSUAL}
    given = {
        "scanned": _scanned(days),
        "first": days.first,
        "last": days.last,
        "late_s": LATE_S,
        "kinds": KINDS,
        "named": NAMED,
    }
    queries = {name: (_DELIVERIES + text).format(**given) for name, text in texts.items()}
    return queries | {"money": _money(days)}


def _scanned(days: Days) -> str:
    read = days.widened(REDELIVERY_DAYS)
    return f"year || '-' || month || '-' || day BETWEEN '{read.first}' AND '{read.last}'"


def _money(days: Days) -> str:
    """Return the library's query of the money, on its view, both bounded to some days."""
    view = (_ATHENA / "stripe_events.sql").read_text().partition("VIEW stripe_events AS\n")[2]
    query = (_ATHENA / "queries/revenue_by_day.sql").read_text()
    # all copies of an event have one type; without this, each payload is sorted, and then left out
    (kinds,) = re.findall(r"WHERE (type IN \([^)]*\))", query)
    view = _replaced(view, "id IS NOT NULL", f"id IS NOT NULL AND {kinds} AND {_scanned(days)}")
    query = _replaced(
        query,
        "created_at >= current_date - INTERVAL '30' DAY",
        f"CAST(created_at AS date) BETWEEN DATE '{days.first}' AND DATE '{days.last}'",
    )
    query = _replaced(
        query,
        "sum(captured * minor_unit) AS gross",
        "max(minor_unit) AS minor_unit, count(*) AS movements, sum(captured * minor_unit) AS gross",
    )
    return f"WITH stripe_events AS (\n{view})\n{query}"


def _replaced(text: str, old: str, new: str) -> str:
    before, found, after = text.partition(old)
    if not found or old in after:
        raise ValueError(f"the queries of deploy/athena no longer have exactly one {old!r}")
    return before + new + after
