"""Where the present rate leads: a straight line through the days, and the bill at its ends.

Knows the cost model of deploy/costs.py and little of statistics; knows nothing of archives.
"""

import math
from collections.abc import Sequence

from deploy.costs import Bill, Usage, bill

from .figures import Month, Outlook

#: Two weeks have each day of the week twice; less than that has no trend.
TREND_DAYS = 14

_MONTH_DAYS = 30
_YEAR_DAYS = 365


def outlook(counts: Sequence[int], event_bytes: float, months: int) -> Outlook | None:
    """Return where the deliveries of complete days lead, None where there is no such day.

    Args:
        counts: deliveries of each complete day, oldest first.
        event_bytes: of a payload, on average.
        months: for how long the archive has kept everything.
    """
    if not counts:
        return None
    now = sum(counts) / len(counts)
    bill_now = _bill(now, event_bytes, months)
    lines = tuple((line.name, line.usd, line.what_for) for line in bill_now.aws if line.usd)
    if len(counts) < TREND_DAYS:
        return Outlook(len(counts), _month(now, bill_now), lines)
    slope, error = _slope(counts)
    half = slope * (len(counts) - 1) / 2
    year = []
    for a_day in (slope - 2 * error, slope, slope + 2 * error):
        rate = max(0.0, now + half + a_day * _YEAR_DAYS)
        year.append(_month(rate, _bill(rate, event_bytes, months + 12)))
    return Outlook(
        len(counts),
        _month(now, bill_now),
        lines,
        trend=(now - half, now + half),
        clear=abs(slope) > 2 * error,
        year=(year[0], year[1], year[2]),
    )


def _slope(counts: Sequence[int]) -> tuple[float, float]:
    """Return the slope of the least-squares line and its standard error, in deliveries a day."""
    n = len(counts)
    mean = sum(counts) / n
    spread = sum((x - (n - 1) / 2) ** 2 for x in range(n))
    slope = sum((x - (n - 1) / 2) * (y - mean) for x, y in enumerate(counts)) / spread
    rest = sum((y - mean - slope * (x - (n - 1) / 2)) ** 2 for x, y in enumerate(counts))
    return slope, math.sqrt(rest / (n - 2) / spread)


def _bill(a_day: float, event_bytes: float, months: int) -> Bill:
    events = round(a_day * _MONTH_DAYS)
    return bill(Usage(events, max(1, round(event_bytes)), months, host_usd=0))


def _month(a_day: float, a_bill: Bill) -> Month:
    return Month(round(a_day * _MONTH_DAYS), round(a_bill.aws_usd, 2))
