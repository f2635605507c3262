"""The stretch of time that Stripe can still tell of, and what of it is asked for."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import click

from ..days import Days
from ..errors import ToolError
from .stripe_api import DEFAULT_RATE

#: For how long Stripe keeps an event. https://docs.stripe.com/api/events
KEPT_S = 30 * 86_400

#: What the clocks may differ by, and Stripe may take over forgetting.
FORGETTING_S = 3600


@dataclass(frozen=True)
class Span:
    """Seconds in which events were created, and how people call them."""

    first: int
    """Unix seconds."""
    last: int
    """Unix seconds, included; not after `now`."""
    now: int
    """Unix seconds at which the work began."""
    name: str
    note: str | None = None
    """What of the days could not be had."""


def span(days: Days, now: int) -> Span:
    """Return the part of the days that Stripe still keeps; an open end is as far as that goes.

    Args:
        days: of UTC.
        now: Unix seconds.

    Raises:
        ToolError: Stripe keeps nothing of them.
    """
    kept = now - KEPT_S
    oldest, newest = _day(kept), _day(now)
    first, last = days.first or oldest + timedelta(days=1), days.last or newest
    if last < oldest or first > newest:
        raise ToolError(
            f"Stripe has no events of {Days(first, last)}: it keeps them for 30 days",
            f"ask for days from {oldest} to {newest}",
        )
    # with --to alone, on the oldest day
    first, last = min(first, last), min(last, newest)
    start, end = _midnight(first), _midnight(last + timedelta(days=1)) - 1
    return Span(
        first=max(start, kept),
        last=min(end, now),
        now=now,
        name=str(Days(max(first, oldest), last)),
        note=_forgotten(kept) if start < kept else None,
    )


def span_options(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command `--types`, passed on as a tuple, and `--rate`, requests a second."""
    for option in (
        click.option(
            "--rate",
            type=click.FloatRange(0.1, 100),
            default=DEFAULT_RATE,
            show_default=True,
            help="Requests to Stripe a second; it takes 25, and others may need some of them.",
        ),
        click.option(
            "--types",
            callback=_names,
            metavar="A,B,…",
            help="Only events of these types, separated by commas.",
        ),
    ):
        command = option(command)
    return command


def _names(_: click.Context, __: click.Parameter, given: str | None) -> tuple[str, ...]:
    return tuple(sorted({name for part in (given or "").split(",") if (name := part.strip())}))


def _forgotten(kept: int) -> str:
    moment = datetime.fromtimestamp(kept, UTC)
    return f"Stripe has forgotten what was before {moment:%Y-%m-%d %H:%M} UTC"


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())
