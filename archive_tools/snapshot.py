"""`flask archive snapshot`: what Stripe's API lists goes into the archive, beside the events."""

import http.client
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from .cli import archive_option, json_option
from .days import Days
from .errors import ToolError
from .output import Progress, cell, count_text, note, progress, table
from .output import as_json as json_text
from .reconciling.checkpoint import Checkpoint
from .reconciling.index import Scope, build_index
from .reconciling.listing import listing
from .reconciling.options import rate_option
from .reconciling.preflight import check_owner
from .reconciling.rate_limiter import RateLimiter
from .reconciling.stripe_api import PERMISSIONS, RefusedError, StripeApi
from .reconciling.time_range import day_of, time_range
from .settings import ToolSettings
from .snapshotting.lists import BALANCE_TRANSACTIONS, LISTS, ObjectList, remaining
from .snapshotting.writing import Put, SnapshotWriter, listed_until, open_put, snapshot_records
from .storage import Storage

#: Of the archive's newest events, to see whose they are.
_DAYS_OF_EVENTS = 3

#: Seconds of the run before that are listed again: for the difference of the clocks, and for what
#: Stripe lists late.
_OVERLAP_S = 3600

#: Nothing of Stripe's is older; the bar of progress begins here.
_STRIPE_BEGAN = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp())


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
    snapshot = _Snapshot(api, storage, put, checkpoint, now)
    parts = sum(len(LISTS[name]) for name in names)
    with progress("Listing Stripe's objects", parts * (now - _STRIPE_BEGAN + 1)) as bar:
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


@dataclass
class _Snapshot:
    """A run, and what came of it."""

    api: StripeApi
    storage: Storage
    put: Put
    checkpoint: Checkpoint
    now: int
    """Unix seconds at which it began."""
    counts: dict[str, int] = field(default_factory=dict)
    """Objects by list, as far as the key may read it."""
    refused: dict[str, RefusedError] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    """Subscriptions that have their first ten items alone."""
    keys: int = 0
    """Objects of the archive that were written."""
    since: int | None = None
    """Unix seconds from which on the balance transactions were listed; None for all."""

    def add(self, name: str, full_name: str, bar: Progress) -> None:
        """List and write one kind of objects; what the key may not read is noted.

        Raises:
            ToolError: Stripe refused or did not answer, or the archive did not take something.
        """
        first, until = 0, None
        if name == BALANCE_TRANSACTIONS:
            until, before = self.now, listed_until(self.storage, full_name)
            if before is not None:
                first = self.since = max(0, before - _OVERLAP_S)
        writer = SnapshotWriter(self.put, full_name)
        self.counts[name] = 0
        done: list[str] = []
        try:
            for address in LISTS[name]:
                self._list(name, ObjectList(self.api, address), first, writer, done, bar)
        except RefusedError as refused:
            if refused.status != http.client.FORBIDDEN:
                raise
            self.refused[name] = refused
            del self.counts[name]
            return
        writer.flush(until)
        self.checkpoint.add(*done)
        self.keys += writer.objects

    def _list(
        self,
        name: str,
        listed: ObjectList,
        first: int,
        writer: SnapshotWriter,
        done: list[str],
        bar: Progress,
    ) -> None:
        windows = remaining(first, self.now, _ranges(listed.address, self.checkpoint.done))
        # of what is left out, in whichever way, the bar is told first
        bar.update(_length(0, self.now) - sum(_length(w.first, w.last) for w in windows))
        for fetched in listing(listed.fetch, windows):
            records = snapshot_records(fetched.page, self.api.livemode)
            if records and writer.is_full:
                writer.flush()
                self.checkpoint.add(*done)
                done.clear()
            writer.add(records)
            self.counts[name] += len(records)
            finished = fetched.finished
            if finished.seconds:
                done.append(f"{listed.address} {finished.first} {finished.last}")
            bar.update(_length(finished.first, finished.last))
        self.cut += listed.cut

    def text(self) -> str:
        """Return what people read."""
        mode = "live" if self.api.livemode else "test"
        lines = [table(("list", "objects"), list(self.counts.items())), ""]
        lines += [f"Not listed: {name}. {cell(one.message)}" for name, one in self.refused.items()]
        if self.cut:
            lines.append(
                f"{count_text(len(self.cut), 'subscription')} with the first ten items alone, as "
                f"the rest could not be read: {', '.join(map(cell, self.cut[:30]))}"
            )
        total = count_text(sum(self.counts.values()), "object")
        since = (
            f"{datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M} UTC" if self.since else ""
        )
        lines.append(
            f"Wrote {total} of {mode} mode to snapshots/"
            + (f"; balance transactions since {since}" if since else "")
            + "."
        )
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return what scripts read."""
        return {
            "archive": self.storage.name,
            "livemode": self.api.livemode,
            "at": self.now,
            "objects": self.counts,
            "written": self.keys,
            "not_readable": [
                {"list": name, "permission": PERMISSIONS[f"/v1/{name}"], "error": one.message}
                for name, one in self.refused.items()
            ],
            "subscriptions_cut": self.cut,
            "balance_transactions_since": self.since,
        }


def _ranges(address: str, done: Iterable[str]) -> list[tuple[int, int]]:
    """Return the seconds of a list that a checkpoint names; half a line is none of them."""
    lines = (line.split(" ") for line in done)
    return [
        (int(line[1]), int(line[2]))
        for line in lines
        if len(line) == 3 and line[0] == address and line[1].isdigit() and line[2].isdigit()
    ]


def _length(first: int, last: int) -> int:
    """Return how many seconds of a range the bar shows."""
    return max(0, last - max(first, _STRIPE_BEGAN) + 1)
