"""How the figures of a report are found: one query, and a look at the folders of the days.

Knows the columns of report.sql; not how a figure is shown.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

from webhook_app.environ import PROJECT

from ..days import Days
from ..output import progress
from ..querying.engine import Engine, Result
from ..storage import Storage
from .figures import Arrivals, Currency, Day, Delays, Deliveries, EventType, Row, Stored, Unusual
from .silence import silences

#: Stripe delivers again for up to three days: an event that arrives now may have arrived before,
#: and one that happened now may be still to come. https://docs.stripe.com/webhooks#retries
REDELIVERY_DAYS = 3

#: A first delivery takes seconds; one that comes later was tried before, or Stripe was late.
LATE_S = 60

#: So many types have a colour of their own.
_SHOWN_TYPES = 7

#: So many of the latest and of the most repeated events are named.
_SHOWN_EVENTS = 10

#: A silence of a day is compared with other days; with two or three that says little.
_COMPARED_DAYS = 4

#: What stands where a type has no name, or a currency none.
_NAMELESS = "(none)"

_COUNTS = "deliveries events without_id copies repeated late from_api payload_bytes"

#: The parts of the query's result, and the columns of each.
_PARTS = {
    "days": f"day {_COUNTS} first_p50 first_p95 first_p99 every_p50 every_p95 every_p99",
    "types": "day rank type deliveries last_rank",
    "hours": "day hour deliveries",
    "unusual": "id type arrivals earliest latest delay is_late",
    "money": "day livemode currency minor_unit movements gross refunded",
}


def collect(storage: Storage, engine: Engine, days: Days, today: date) -> tuple[Deliveries, Result]:
    """Return what arrived in a range of days, and how the query of it went.

    Args:
        storage: the archive.
        engine: that reads the same archive.
        days: with both ends.
        today: the day that is not over yet.

    Raises:
        ToolError: the query could not be run, or the archive not be listed.
    """
    with progress("Querying the archive", 100) as bar:
        result = engine.run(_query(days), bar.update)
    parts: dict[str, list[Row]] = defaultdict(list)
    for row in result.rows:
        parts[row[0]].append(dict(zip(result.names, row, strict=True)))
    present = storage.days()
    stored = _stored(storage, [day for day in present if day in days])
    arrived = {row["day"]: _arrivals(row) for row in parts["days"]}
    hours = {
        datetime.fromisoformat(row["day"]) + timedelta(hours=int(row["hour"])): row["deliveries"]
        for row in parts["hours"]
    }
    begin, end = _watched(days, today, present, hours)
    unusual = [_unusual(row) for row in sorted(parts["unusual"], key=_most_repeated)]
    late = {row["id"] for row in parts["unusual"] if row["is_late"]}
    found = Deliveries(
        total=arrived.get(None, Arrivals()),
        days=[_day(day, arrived, stored, hours) for day in days],
        types=_types(parts["types"], days),
        type_count=max((row["last_rank"] for row in parts["types"]), default=0),
        silences=silences(hours, begin, end),
        silence_known=(end - begin).days >= _COMPARED_DAYS,
        repeated=[event for event in unusual if event.arrivals > 1][:_SHOWN_EVENTS],
        late=sorted(
            (event for event in unusual if event.id in late), key=lambda event: -(event.delay or 0)
        )[:_SHOWN_EVENTS],
        currencies=_currencies(parts["money"], days),
    )
    return found, result


def _query(days: Days) -> str:
    """Return the query of a range: the rows of all parts, with NULL where a part has no column."""
    scanned = days.widened(REDELIVERY_DAYS)
    start = datetime.combine(days.first or date.min, time(), UTC)
    end = datetime.combine(days.last or date.max, time(23, 59, 59), UTC)
    sql = Path(__file__).with_name("report.sql").read_text()
    parts = sql.format(
        scan_first=scanned.first,
        scan_last=scanned.last,
        first=days.first,
        last=days.last,
        first_second=int(start.timestamp()),
        last_second=int(end.timestamp()),
        late_s=LATE_S,
        shown_types=_SHOWN_TYPES,
        shown_events=_SHOWN_EVENTS,
        minor_unit=minor_unit(),
    )
    names = dict.fromkeys(" ".join(_PARTS.values()).split())
    selects = []
    for part, own in _PARTS.items():
        columns = (name if name in own.split() else f"NULL AS {name}" for name in names)
        selects.append(f"SELECT '{part}' AS part, {', '.join(columns)} FROM {part}")  # noqa: S608
    return parts + "\nUNION ALL\n".join(selects)


def minor_unit() -> str:
    """Return the view's expression for what the smallest unit of a currency is worth.

    Raises:
        ValueError: the view no longer has it.
    """
    view = (PROJECT / "deploy/athena/stripe_events.sql").read_text()
    found = re.search(r"CASE\s+WHEN currency IS NULL.*?\bEND\b", view, re.DOTALL)
    if not found:
        raise ValueError("stripe_events.sql has no CASE for the decimals of a currency")
    return found[0]


def _stored(storage: Storage, days: list[date]) -> dict[date, Stored]:
    stored = {}
    with progress("Listing the days", len(days)) as bar:
        for day in days:
            sizes = [found.size for found in storage.objects(day)]
            stored[day] = Stored(len(sizes), sum(sizes))
            bar.update(1)
    return stored


def _watched(
    days: Days, today: date, present: list[date], hours: Mapping[datetime, int]
) -> tuple[datetime, datetime]:
    """Return the hours between which a silence means something: start and end.

    Today is left out, and a young archive is not silent before its first event.
    """
    first, last = days.first or today, days.last or today
    end = datetime.combine(min(last + timedelta(days=1), today), time())
    begin = datetime.combine(first, time())
    if not present or present[0] >= first:
        begin = min(hours, default=end)
    return min(begin, end), end


def _arrivals(row: Row) -> Arrivals:
    first, every = (
        Delays(*(row[f"{which}_{p}"] for p in ("p50", "p95", "p99")))
        for which in ("first", "every")
    )
    counts = {name: int(row[name] or 0) for name in _COUNTS.split()}
    return Arrivals(**counts, first=first, every=every)


def _day(
    day: date,
    arrived: Mapping[str | None, Arrivals],
    stored: Mapping[date, Stored],
    hours: Mapping[datetime, int],
) -> Day:
    start = datetime.combine(day, time())
    counts = tuple(hours.get(start + timedelta(hours=n), 0) for n in range(24))
    return Day(day, arrived.get(str(day), Arrivals()), stored.get(day, Stored()), counts)


def _types(rows: Iterable[Row], days: Days) -> list[EventType]:
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    names: dict[int, str] = {}
    for row in rows:
        rank = int(row["rank"])
        names[rank] = "others" if rank > _SHOWN_TYPES else row["type"] or _NAMELESS
        counts[rank][row["day"]] = int(row["deliveries"])
    return [
        EventType(names[rank], tuple(counts[rank].get(str(day), 0) for day in days))
        for rank in sorted(counts)
    ]


def _most_repeated(row: Row) -> tuple[object, ...]:
    return -row["arrivals"], row["earliest"], row["id"]


def _unusual(row: Row) -> Unusual:
    return Unusual(*(row[name] for name in _PARTS["unusual"].split()[:-1]))


def _currencies(rows: Iterable[Row], days: Days) -> list[Currency]:
    grouped: dict[tuple[bool | None, str | None], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        grouped[row["livemode"], row["currency"]][row["day"]] = row
    found = [
        Currency(
            code=code.upper() if code else _NAMELESS,
            livemode=livemode,
            decimals=decimals_of(row["minor_unit"] for row in by_day.values()),
            movements=sum(row["movements"] for row in by_day.values()),
            gross=tuple(_amount(by_day.get(str(day)), "gross") for day in days),
            refunded=tuple(_amount(by_day.get(str(day)), "refunded") for day in days),
        )
        for (livemode, code), by_day in grouped.items()
    ]
    return sorted(found, key=lambda money: (not money.livemode, -money.movements, money.code))


def _amount(row: Row | None, name: str) -> Decimal:
    return Decimal(row[name] or 0) if row else Decimal()


def decimals_of(minor_units: Iterable[Decimal | None]) -> int:
    """Return the decimals of a currency by what its smallest unit is worth: 0.010 is 2."""
    unit = next((unit for unit in minor_units if unit), Decimal("0.01"))
    return max(0, -Decimal(unit).adjusted())
