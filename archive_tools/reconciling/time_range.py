"""The range of time that is asked for, as far as Stripe still has its events."""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from ..days import Days
from ..errors import ToolError

#: For how long Stripe keeps an event. https://docs.stripe.com/api/events
_KEPT_S = 30 * 86_400

#: What the clocks may differ by, and Stripe may be late with deleting.
_MARGIN_S = 3600


class TimeRange(NamedTuple):
    """Seconds in which events were created."""

    first: int
    """Unix seconds."""
    last: int
    """Unix seconds, included; not after `now`."""
    now: int
    """Unix seconds at which the command began."""
    name: str
    """The days, in words."""
    notes: list[str]
    """What of the days Stripe no longer has."""

    def may_be_deleted(self, created: int) -> bool:
        """Return whether Stripe may have deleted an event of that time, in Unix seconds."""
        return created < self.now - _KEPT_S + _MARGIN_S


def time_range(days: Days, now: int) -> TimeRange:
    """Return the part of the days that Stripe still keeps; an open end is as far as that goes.

    Raises:
        ToolError: Stripe keeps nothing of them.
    """
    kept = now - _KEPT_S
    oldest, newest = day_of(kept), day_of(now)
    last = min(days.last or newest, newest)
    # with --to alone, it can be the oldest day
    first = days.first or min(oldest + timedelta(days=1), last)
    if last < oldest or first > newest:
        raise ToolError(
            f"Stripe has no events of {days}: it keeps them for 30 days",
            f"ask for days from {oldest} to {newest}",
        )
    start, end = (
        int(datetime.combine(day, time(), UTC).timestamp())
        for day in (first, last + timedelta(days=1))
    )
    moment = datetime.fromtimestamp(kept, UTC)
    notes = [f"Stripe no longer has the events before {moment:%Y-%m-%d %H:%M} UTC"]
    name = str(Days(max(first, oldest), last))
    return TimeRange(max(start, kept), min(end - 1, now), now, name, notes * (start < kept))


def day_of(seconds: int) -> date:
    """Return the UTC day of a time in Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC).date()
