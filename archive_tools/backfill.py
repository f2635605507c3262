"""`flask archive backfill`: all that Stripe still has goes into the archive, in one run or more."""

import time
from datetime import date
from pathlib import Path

import click

from .cli import archive_option, json_option
from .days import Days, days_options
from .output import as_json as json_text
from .output import count_text, note
from .reconciling.checkpoint import Checkpoint
from .reconciling.index import Scope, build_index
from .reconciling.listing import windows
from .reconciling.options import stripe_options
from .reconciling.pages import Event
from .reconciling.preflight import preflight
from .reconciling.rate_limiter import RateLimiter
from .reconciling.stripe_api import StripeApi
from .reconciling.subscription import Subscription
from .reconciling.time_range import day_of, time_range
from .reconciling.transfer import transfer
from .reconciling.writing import open_writer
from .settings import ToolSettings
from .storage import Storage


@click.command("backfill")
@archive_option
@days_options(30, of="the events")
@stripe_options
@click.option("--dry-run", is_flag=True, help="Count, and archive nothing.")
@click.option(
    "--checkpoint",
    "checkpoint_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("stripe-backfill.txt"),
    metavar="FILE",
    show_default=True,
    help="Keeps which days are done, until all are.",
)
@json_option
def command(
    storage: Storage,
    settings: ToolSettings,
    days: Days,
    types: tuple[str, ...],
    rate: float,
    dry_run: bool,
    checkpoint_file: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Archive what Stripe still has: the events of the last 30 days that are not there yet.

    The days are those on which the events were created. STRIPE_API_KEY must be able to read Events,
    and nothing else: a restricted key. Into a bucket they go through the stream. They have the
    source events_api and no signature, and lie in the folder of today.

    Interrupted, it goes on with the days that are not done when it is called again: nothing is
    lost. Into a bucket, what the stream still has in its buffer of the days at work goes in twice.

    \b
    Example, for a first look at how many there are:
        flask archive backfill --dry-run
    """  # noqa: D301 - click wants the character itself
    asked = time_range(days, int(time.time()))
    api = StripeApi(settings, RateLimiter(rate))
    writer = None if dry_run else open_writer(storage, settings)
    index = build_index(storage, Scope(asked, api.livemode, types))
    for text in asked.notes:
        note(text)
    if index.faults.count:
        note(
            f"{count_text(index.faults.count, 'fault')} in the archive, and what cannot be read "
            "may be archived again: `flask archive verify` names them"
        )
    todo = windows(asked.first, asked.last)
    checkpoint = None
    if writer:
        if not force:
            preflight(api, index, Subscription(types))
        mode = "live mode" if api.livemode else "test mode"
        only = f", {' '.join(types)}" if types else ""
        checkpoint = Checkpoint(checkpoint_file, f"backfill of {storage.name}, {mode}{only}")
        if done := [window for window in todo if str(window.day) in checkpoint.done]:
            todo = [window for window in todo if str(window.day) not in checkpoint.done]
            note(f"{count_text(len(done), 'day')} done before, by {checkpoint_file}")
    new, there = 0, 0

    def is_missing(event: Event) -> bool:
        nonlocal new, there
        missing = event.id not in index
        new += missing
        there += not missing
        return missing

    def finished(day: date) -> None:
        # of today there is more to come
        if checkpoint and day < day_of(asked.now):
            checkpoint.add(str(day))

    erased = transfer(api, todo, types, is_missing, writer, index.erased, finished)
    if erased:
        note(f"{count_text(erased, 'event')} at Stripe were erased here, and left out")
    if checkpoint:
        checkpoint.remove()
    if as_json:
        key = "to_archive" if dry_run else "archived"
        click.echo(json_text({"days": asked.name, key: new, "already_there": there}))
        return
    rest = f"{there:,} were there already"
    if dry_run:
        click.echo(f"{count_text(new, 'event')} of {asked.name} would be archived; {rest}.")
    else:
        click.echo(f"Archived {count_text(new, 'event')} of {asked.name}; {rest}.")
