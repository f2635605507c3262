"""Is it this archive that Stripe's events belong into? Asked before anything is written to it.

What has been written cannot be taken back: an archive that only grows keeps a stranger's events.
"""

import itertools
from collections.abc import Iterator

import click

from ..errors import ToolError
from ..output import count_text
from .arrivals import Arrival, Arrivals
from .span import FORGETTING_S, KEPT_S, Span
from .stripe_api import StripeApi

#: Spread over the archive: an event that somebody made up to try the service is among them at most.
_SAMPLES = 5

_CURE = "--anyway writes all the same"


def guard(api: StripeApi, of_time: Span, archived: Arrivals) -> None:
    """Return where nothing speaks against writing what the key sees into an archive.

    Raises:
        ToolError: the archive cannot be read as a whole, is of the other mode, or of an account
            that the key does not know.
    """
    if archived.unreachable:
        raise ToolError(
            f"{count_text(archived.unreachable, 'object')} of the archive cannot be opened, and "
            "what is in there would be put in again; nothing was written",
            f"give these credentials the right to read it: `flask archive verify` names each. "
            f"{_CURE}",
        )
    mine = list(_spread(archived, api.livemode))
    if not mine and any(arrival.livemode is not None for arrival in archived):
        here, there = ("test", "live") if api.livemode else ("live", "test")
        raise ToolError(
            f"On these days the archive has {here} mode events alone, and STRIPE_API_KEY sees "
            f"those of {there} mode; nothing was written",
            f"use a key of {here} mode, or another --archive. {_CURE}",
        )
    remembered = [one for one in mine if one.created > of_time.now - KEPT_S + FORGETTING_S]
    if remembered and not any(_is_known(api, arrival) for arrival in remembered):
        raise ToolError(
            f"Stripe does not know what the archive has, {remembered[0].id} for one: "
            "STRIPE_API_KEY is of another account; nothing was written",
            f"use a key of the account whose events these are, or another --archive. {_CURE}",
        )


def anyway_option(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command `--anyway`, passed on as a bool."""
    return click.option(
        "--anyway",
        is_flag=True,
        help="Write also where the archive cannot be read as a whole or looks like another's.",
    )(command)


def _spread(archived: Arrivals, livemode: bool) -> Iterator[Arrival]:
    """Yield some of what the key's own account should have, over the whole archive."""

    def own() -> Iterator[Arrival]:
        return (a for a in archived if a.snapshot and not a.connect and a.livemode is livemode)

    step = max(1, sum(1 for _ in own()) // _SAMPLES)
    return itertools.islice(own(), 0, _SAMPLES * step, step)


def _is_known(api: StripeApi, arrival: Arrival) -> bool:
    page = api.events(arrival.created, arrival.created)
    # more than a page in one second: it may be on another
    return page.has_more or any(event.id == arrival.id for event, _ in page.listed)
