"""How the rows of the queries become figures.

Knows the columns of each query; runs none.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from ..days import Days
from .figures import Arrivals, Currency, Day, Delays, Kind, Stored, Unusual
from .queries import KINDS

Row = dict[str, Any]

#: What stands where a type has no name, or a currency none.
NAMELESS = "(none)"


def arrivals(row: Row) -> Arrivals:
    """Return what arrived in a day, or in all days."""
    return Arrivals(
        first=Delays(row["first_p50"], row["first_p95"], row["first_p99"]),
        every=Delays(row["every_p50"], row["every_p95"], row["every_p99"]),
        **{
            name: int(row[name] or 0)
            for name in (
                "deliveries",
                "events",
                "without_id",
                "copies",
                "repeated",
                "late",
                "from_api",
                "payload_bytes",
            )
        },
    )


def by_hour(rows: Iterable[Row]) -> dict[datetime, int]:
    """Return the deliveries of each hour by its start; an hour without any is left out."""
    return {
        datetime.fromisoformat(row["day"]) + timedelta(hours=int(row["hour"])): row["deliveries"]
        for row in rows
    }


def day_figures(
    day: date,
    arrivals: Mapping[str | None, Arrivals],
    stored: Mapping[date, Stored],
    hours: Mapping[datetime, int],
) -> Day:
    """Return the figures of a day, also of one in which nothing arrived."""
    start = datetime.combine(day, time())
    return Day(
        day,
        arrivals.get(str(day), Arrivals()),
        stored.get(day, Stored()),
        tuple(hours.get(start + timedelta(hours=n), 0) for n in range(24)),
    )


def kinds(rows: Iterable[Row], days: Days) -> list[Kind]:
    """Return the deliveries by type, the largest first and all others last."""
    counts: dict[int, dict[str, int]] = {}
    names: dict[int, str] = {}
    for row in rows:
        place = int(row["place"])
        names[place] = "others" if place > KINDS else row["type"] or NAMELESS
        counts.setdefault(place, {})[row["day"]] = int(row["deliveries"])
    return [
        Kind(names[place], tuple(counts[place].get(str(day), 0) for day in days))
        for place in sorted(counts)
    ]


def unusual(row: Row) -> Unusual:
    """Return an event that arrived late or more than once."""
    return Unusual(
        row["id"], row["type"], row["arrivals"], row["earliest"], row["latest"], row["delay"]
    )


def currencies(rows: Iterable[Row], days: Days) -> list[Currency]:
    """Return the money by currency: live before test mode, the most used first."""
    grouped: dict[tuple[bool | None, str | None], dict[date, Row]] = {}
    for row in rows:
        grouped.setdefault((row["livemode"], row["currency"]), {})[row["day"]] = row
    found = [
        Currency(
            code=code.upper() if code else NAMELESS,
            livemode=livemode,
            decimals=_decimals([row["minor_unit"] for row in by_day.values()]),
            movements=sum(row["movements"] for row in by_day.values()),
            gross=tuple(_amount(by_day.get(day), "gross") for day in days),
            refunded=tuple(_amount(by_day.get(day), "refunded") for day in days),
        )
        for (livemode, code), by_day in grouped.items()
    ]
    return sorted(found, key=lambda money: (not money.livemode, -money.movements, money.code))


def _amount(row: Row | None, name: str) -> Decimal:
    return Decimal(row[name] or 0) if row else Decimal()


def _decimals(minor_units: list[Decimal | None]) -> int:
    """Return the decimals of a currency by what its smallest unit is worth: 0.010 is 2."""
    unit = next((unit for unit in minor_units if unit), Decimal("0.01"))
    return max(0, -int(Decimal(unit).adjusted()))
