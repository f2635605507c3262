"""The options with which a command is told which archived events are meant."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from ..days import Days, days_options
from .plan import ORDERS
from .selection import Selection, arrivals, folders

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Choice:
    """What the options say."""

    selection: Selection
    days: Days
    """Whose folders are to be read."""
    order: str
    where: str | None
    """A condition in Athena's SQL."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it: what is the same is the same choice."""
        told = asdict(self.selection) | {"ids": sorted(self.selection.ids)}
        return told | {
            "types": list(self.selection.types),
            "order": self.order,
            "where": self.where,
        }


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601. It is UTC, unless it says otherwise."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time in UTC."""
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("give it as in 2026-11-23T09:30 or 2026-11-23T09:30:15+01:00", param, ctx)


def _types(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    if any(not value or "*" in value[:-1] for value in values):
        raise click.BadParameter("a * stands at the end only, as in charge.*", ctx, param)
    return tuple(values)


_OPTIONS = (
    click.option(
        "--type",
        "types",
        multiple=True,
        callback=_types,
        metavar="TYPE",
        help="Only these, as in invoice.paid or charge.*. Can be given several times.",
    ),
    click.option("--account", metavar="ID", help="Only events of this connected account."),
    click.option("--livemode/--test-mode", default=None, help="Only the ones or the others."),
    click.option(
        "--since", type=Moment(), metavar="TIME", help="Not what arrived before, as an ISO time."
    ),
    click.option("--until", type=Moment(), metavar="TIME", help="Not what arrived after."),
    click.option(
        "--where",
        metavar="CONDITION",
        help="Only where this is true, in Athena's SQL on the columns of stripe_webhooks.",
    ),
    click.option(
        "--event",
        "ids",
        multiple=True,
        metavar="ID",
        help="Only these. Can be given several times.",
    ),
    click.option(
        "--duplicates",
        is_flag=True,
        help="Every archived delivery. Left out: each event once, as it arrived first.",
    ),
    click.option(
        "--order",
        type=click.Choice(list(ORDERS)),
        default="oldest",
        show_default=True,
        help="By the time at Stripe, or by the time of arrival.",
    ),
)


def selection_options(command: _F) -> _F:
    """Give a command the options, and those of days, and pass it `choice: Choice`."""

    @days_options()
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        days: Days,
        since: datetime | None,
        until: datetime | None,
        types: tuple[str, ...],
        account: str | None,
        livemode: bool | None,
        where: str | None,
        ids: tuple[str, ...],
        duplicates: bool,
        order: str,
        **rest: Any,
    ) -> Any:
        first, last = arrivals(days, since, until)
        selection = Selection(
            types=types,
            account=account,
            livemode=livemode,
            ids=frozenset(ids),
            since=first,
            until=last,
            duplicates=duplicates,
        )
        choice = Choice(selection, folders(days, since, until), order, where)
        return command(*args, choice=choice, **rest)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped  # type: ignore[return-value]
