"""`flask archive snapshot`: what Stripe's API lists goes into the archive, beside the events."""

import http.client
import time
from datetime import timedelta
from pathlib import Path

import click

from .cli import archive_option, json_option
from .days import Days
from .erasing.erased import read_erased
from .errors import ToolError
from .output import as_json as json_text
from .output import note, progress
from .reconciling.checkpoint import Checkpoint
from .reconciling.index import Scope, build_index
from .reconciling.options import rate_option
from .reconciling.preflight import check_owner
from .reconciling.rate_limiter import RateLimiter
from .reconciling.stripe_api import PERMISSIONS, RefusedError, StripeApi
from .reconciling.time_range import day_of, time_range
from .settings import ToolSettings
from .snapshotting.lists import LISTS
from .snapshotting.run import Run, length
from .snapshotting.writing import open_put
from .storage import Storage

#: Of the archive's newest events, to see whose they are.
_DAYS_OF_EVENTS = 3


@click.command("snapshot")
@archive_option
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(list(LISTS)),
    help="Only this list. Can be given several times.",
)
@rate_option
@click.option(
    "--checkpoint",
    "checkpoint_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("stripe-snapshot.txt"),
    metavar="FILE",
    show_default=True,
    help="Keeps what is listed already, until all is.",
)
@click.option("--force", is_flag=True, help="Write also where the archive looks like another's.")
@json_option
def command(
    storage: Storage,
    settings: ToolSettings,
    only: tuple[str, ...],
    rate: float,
    checkpoint_file: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Archive the objects that Stripe's API lists, as they are now: what no event tells of.

    Customers, products, prices, coupons and subscriptions of every status are listed as a whole,
    balance transactions from where the last run ended. They go below snapshots/ of the archive, as
    rows of the table stripe_snapshots, and into a bucket without the stream.

    STRIPE_API_KEY must be able to read Customers, Products, Prices, Coupons, Subscriptions and
    Balance, and nothing else: a restricted key. If it can read Events too, it is checked that the
    archive is of the same account. Interrupted, it goes on with what is left when it is called
    again.

    \b
    The exit status says how it ended:
        0  all is written
        1  something could not be read; the rest is written
        2  it could not be done

    \b
    Example, for the objects that were there before the first event:
        flask archive snapshot
    """  # noqa: D301 - click wants the character itself
    now = int(time.time())
    api = StripeApi(settings, RateLimiter(rate))
    put = open_put(storage, settings.aws_region)
    if not force:
        _check_owner(api, storage, now)
    mode = "live" if api.livemode else "test"
    names = [name for name in LISTS if name in only or not only]
    chosen = f", {' '.join(names)}" if only else ""
    checkpoint = Checkpoint(checkpoint_file, f"snapshot of {storage.name}, {mode} mode{chosen}")
    if checkpoint.done:
        note(f"What {checkpoint_file} names was listed before, and is left out")
    snapshot = Run(api, storage, put, checkpoint, now, read_erased(storage))
    parts = sum(len(LISTS[name]) for name in names)
    with progress("Listing Stripe's objects", parts * length(0, now)) as bar:
        for name in names:
            snapshot.add(name, f"{mode}-{name}", bar)
    if len(snapshot.refused) == len(names):
        checkpoint.remove()
        permissions = ", ".join(PERMISSIONS[f"/v1/{name}"] for name in names)
        raise ToolError(
            f"STRIPE_API_KEY may read nothing of {', '.join(names)} (403)",
            f"give the restricted key the permission to read {permissions} in the Stripe Dashboard",
        )
    checkpoint.remove()
    click.echo(json_text(snapshot.as_json()) if as_json else snapshot.text())
    raise click.exceptions.Exit(int(bool(snapshot.refused or snapshot.cut)))


def _check_owner(api: StripeApi, storage: Storage, now: int) -> None:
    """Return where nothing speaks against the archive's being of the key's account and mode."""
    newest = day_of(now)
    days = Days(newest - timedelta(days=_DAYS_OF_EVENTS - 1), newest)
    index = build_index(storage, Scope(time_range(days, now), api.livemode, ()))
    try:
        check_owner(api, index)
    except RefusedError as refused:
        if refused.status != http.client.FORBIDDEN:
            raise
        note("STRIPE_API_KEY may not read Events: whose events the archive has is not checked")
