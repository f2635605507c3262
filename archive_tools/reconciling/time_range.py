"""The range of time that is asked for, as far as Stripe still has its events."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import click

from ..days import Days
from ..errors import ToolError

#: Requests a second. An endpoint of the API takes 25, of everybody who has keys of this account.
#: https://docs.stripe.com/rate-limits
_DEFAULT_RATE = 20.0

#: For how long Stripe keeps an event. https://docs.stripe.com/api/events
KEPT_S = 30 * 86_400

#: What the clocks may differ by, and Stripe may be late with deleting.
_MARGIN_S = 3600


@dataclass(frozen=True)
class TimeRange:
    """Seconds in which events were created."""

    first: int
    """Unix seconds."""
    last: int
    """Unix seconds, included; not after `now`."""
    now: int
    """Unix seconds at which the command began."""
    name: str
    """The days, in words."""
    note: str | None = None
    """What of the days Stripe no longer has."""

    def may_be_deleted(self, created: int) -> bool:
        """Return whether Stripe may have deleted an event of that time, in Unix seconds."""
        return created < self.now - KEPT_S + _MARGIN_S


def time_range(days: Days, now: int) -> TimeRange:
    """Return the part of the days that Stripe still keeps; an open end is as far as that goes.

    Args:
        days: of UTC.
        now: Unix seconds.

    Raises:
        ToolError: Stripe keeps nothing of them.
    """
    kept = now - KEPT_S
    oldest, newest = day_of(kept), day_of(now)
    first, last = days.first or oldest + timedelta(days=1), days.last or newest
    if last < oldest or first > newest:
        raise ToolError(
            f"Stripe has no events of {Days(first, last)}: it keeps them for 30 days",
            f"ask for days from {oldest} to {newest}",
        )
    # with --to alone, on the oldest day
    first, last = min(first, last), min(last, newest)
    start, end = _midnight(first), _midnight(last + timedelta(days=1)) - 1
    moment = datetime.fromtimestamp(kept, UTC)
    return TimeRange(
        first=max(start, kept),
        last=min(end, now),
        now=now,
        name=str(Days(max(first, oldest), last)),
        note=f"Stripe no longer has the events before {moment:%Y-%m-%d %H:%M} UTC"
        if start < kept
        else None,
    )


def day_of(seconds: int) -> date:
    """Return the UTC day of a time in Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC).date()


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def stripe_options(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command `--type`, passed on as `types`, `--rate`, and `--force`."""
    for option in (
        click.option(
            "--force",
            is_flag=True,
            help="Write also where the archive cannot be read as a whole or looks like another's.",
        ),
        click.option(
            "--rate",
            type=click.FloatRange(0.1, 100),
            default=_DEFAULT_RATE,
            show_default=True,
            help="Requests to Stripe a second; it takes 25, and others may need some of them.",
        ),
        click.option(
            "--type",
            "types",
            multiple=True,
            callback=_types,
            metavar="TYPE",
            help="Only these, as in invoice.paid or charge.*. Can be given several times.",
        ),
    ):
        command = option(command)
    return command


def _types(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    if any(not name or "*" in name[:-1] for name in given):
        raise click.BadParameter("a * stands at the end only, as in charge.*", ctx, param)
    return tuple(sorted(set(given)))


def matches(event_type: str, types: tuple[str, ...]) -> bool:
    """Return whether a type is one of those that `--type` named; without any, all are."""
    return not types or any(
        event_type.startswith(name[:-1]) if name.endswith("*") else event_type == name
        for name in types
    )
