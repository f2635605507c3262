"""Ranges of UTC days, and the options with which a command is given one."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import click

from .errors import ToolError

_F = TypeVar("_F", bound=Callable[..., Any])

_DAY = click.DateTime(["%Y-%m-%d"])


@dataclass(frozen=True)
class Days:
    """The days from `first` to `last`, both included. None is an open end."""

    first: date | None = None
    last: date | None = None

    def __contains__(self, day: date) -> bool:
        """Whether the day is within."""
        return (not self.first or self.first <= day) and (not self.last or day <= self.last)

    def __iter__(self) -> Iterator[date]:
        """Yield each day, oldest first; both ends must be known."""
        if self.first is None or self.last is None:
            raise ValueError("a range with an open end has no first or last day")
        for n in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=n)

    def __str__(self) -> str:
        """Return the range in words."""
        if self.first and self.first == self.last:
            return str(self.first)
        if self.first and self.last:
            return f"{self.first} to {self.last}"
        if self.first:
            return f"{self.first} and later"
        return f"up to {self.last}" if self.last else "all days"

    def widened(self, days: int = 1) -> "Days":
        """Return the range with so many more days to each side.

        Firehose names a folder by the oldest record in the object, so a record that came after
        midnight can lie in the day before; an event can arrive days after it happened.
        """
        return Days(
            self.first and self.first - min(timedelta(days=days), self.first - date.min),
            self.last and self.last + min(timedelta(days=days), date.max - self.last),
        )


def today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def days_options(last_days: int | None = None, of: str = "arrival") -> Callable[[_F], _F]:
    """Give a command `--from`, `--to` and `--last`, and pass it one `days: Days`.

    Without any of them it gets the `last_days` days up to today, or all days. `of` says in the help
    what happened on these days.
    """

    def decorate(command: _F) -> _F:
        @functools.wraps(command)
        def wrapped(
            *args: Any, start: datetime | None, end: datetime | None, last: int | None, **rest: Any
        ) -> Any:
            return command(*args, days=_days(start, end, last, last_days), **rest)

        default = f"the last {last_days} days" if last_days else "all days"
        for option in (
            click.option("--last", type=click.IntRange(1, 36_600), help="So many days, to today."),
            click.option("--to", "end", type=_DAY, metavar="DAY", help="The last day, included."),
            click.option(
                "--from",
                "start",
                type=_DAY,
                metavar="DAY",
                help=f"The first UTC day of {of}, as in 2026-11-23. Left out: {default}.",
            ),
        ):
            option(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def _days(
    start: datetime | None, end: datetime | None, last: int | None, default: int | None
) -> Days:
    if last and (start or end):
        raise ToolError("--last cannot go with --from or --to", "use the one or the others")
    if start and end and end < start:
        raise ToolError(f"--to {end.date()} is before --from {start.date()}", "exchange them")
    if not (start or end or last):
        last = default
    if last:
        newest = today()
        return Days(newest - timedelta(days=last - 1), newest)
    return Days(start.date() if start else None, end.date() if end else None)
