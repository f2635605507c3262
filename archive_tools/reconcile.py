"""`flask archive reconcile`: is all that Stripe has in the archive? With `--repair` it will be.

Knows the order of the steps; each step is a module of its own.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from webhook_app.events.record import events_api_record

from .cli import archive_option, json_option
from .days import Days, days_options
from .errors import ToolError
from .output import as_json as json_text
from .output import count_text, note, progress
from .reconciling.arrivals import Arrivals, arrivals, whereabouts
from .reconciling.batch import Gathered, open_writer
from .reconciling.comparison import Comparer, Comparison, Scope
from .reconciling.guard import anyway_option, guard
from .reconciling.listing import listing, windows
from .reconciling.on_the_way import BUFFER_S, journal_of, on_the_way_option
from .reconciling.pace import Pace
from .reconciling.span import Span, span, span_options
from .reconciling.stripe_api import StripeApi
from .reconciling.subscription import Subscription, subscription
from .reconciling.verdict import Verdict
from .settings import ToolSettings
from .storage import FolderStorage, Storage

_FOLDER_IN_FLIGHT_S = 60


@click.command("reconcile")
@archive_option
@days_options(30, of="the events")
@span_options
@click.option("--endpoint", metavar="ID|URL", help="The endpoint whose types are expected.")
@click.option(
    "--in-flight",
    type=click.IntRange(0),
    metavar="SECONDS",
    help="How young an event may be that is not there yet. Left out: 900, for a folder 60.",
)
@click.option("--repair", is_flag=True, help="Archive what is missing, as the Events API has it.")
@on_the_way_option
@anyway_option
@json_option
def command(
    storage: Storage,
    settings: ToolSettings,
    days: Days,
    types: tuple[str, ...],
    rate: float,
    endpoint: str | None,
    in_flight: int | None,
    repair: bool,
    on_the_way: Path,
    anyway: bool,
    as_json: bool,
) -> None:
    """Compare the archive with what Stripe has, and put back what is missing.

    The days are those on which the events were created: Stripe keeps them for 30. STRIPE_API_KEY
    must be able to read Events and Webhook Endpoints, and nothing else: a restricted key.

    Only types that the endpoint is subscribed to are expected. An event that --repair puts back has
    the source events_api and no signature, and arrives now: it lies in the folder of today. Into a
    bucket it goes through the stream, whose buffer keeps it for some minutes.

    \b
    The exit status says how it ended:
        0  all is there, or --repair has put it back and nobody has to look at anything
        1  something is missing, unknown to Stripe, or cannot be read
        2  it could not be told

    \b
    Example, for a scheduler, every hour:
        flask archive reconcile --last 3 --repair
    """  # noqa: D301 - click wants the character itself
    if types and endpoint:
        raise click.UsageError("--types and --endpoint say the same: give one of them")
    of_time = span(days, int(time.time()))
    api = StripeApi(settings, Pace(rate))
    journal = journal_of(storage, on_the_way)
    repairs = Gathered(open_writer(storage, settings, journal.note)) if repair else None
    expected = Subscription(frozenset(types)) if types else subscription(api, endpoint)
    if in_flight is None:
        in_flight = _FOLDER_IN_FLIGHT_S if isinstance(storage, FolderStorage) else BUFFER_S
    scope = Scope(of_time, in_flight, api.livemode, expected, frozenset(types) or None)
    if repair and not (expected.known or anyway):
        raise ToolError(
            f"{expected.notes[0]} Nothing was put back, for it may be what nobody subscribed to",
            "let the key read Webhook Endpoints, or give --endpoint or --types; --anyway puts "
            "back events of all types",
        )
    archived = arrivals(storage, of_time.first, of_time.last)
    if repair and not anyway:
        guard(api, of_time, archived)
    comparer = Comparer(scope, archived, journal.ids())
    _compare(api, of_time, types, comparer, repairs)
    verdict = _verdict(storage, scope, archived, comparer.outcome())
    if repairs:
        _confirm(storage, of_time, verdict)
    for text in verdict.notes:
        note(text)
    click.echo(json_text(verdict.as_json()) if as_json else "\n".join(verdict.lines()))
    raise click.exceptions.Exit(verdict.status)


def _compare(
    api: StripeApi,
    of_time: Span,
    types: tuple[str, ...],
    comparer: Comparer,
    repairs: Gathered | None,
) -> None:
    """Show the comparer all events of Stripe's, and archive what is missing as it is met."""
    wanted = Subscription(frozenset(types) or None)
    todo = windows(of_time.first, of_time.last)
    with (
        progress("Listing Stripe's events", of_time.last - of_time.first + 1) as bar,
        listing(api, todo, types) as pages,
    ):
        for fetched in pages:
            for event, payload in fetched.listed:
                if event.type in wanted and comparer.is_missing(event) and repairs:
                    repairs.add(events_api_record(payload, datetime.now(UTC)))
            bar.update(fetched.seconds)
    if repairs:
        repairs.flush()


def _verdict(storage: Storage, scope: Scope, archived: Arrivals, compared: Comparison) -> Verdict:
    unknown = {one.id for one in compared.unknown}
    where = whereabouts(storage, scope.span.first, unknown) if unknown else {}
    notes = [*([scope.span.note] if scope.span.note else []), *scope.subscription.notes]
    mode = "test" if scope.livemode else "live"
    if compared.other_mode:
        events = count_text(compared.other_mode, f"{mode} mode event")
        notes.append(f"{events} of the archive left out: this key does not see them")
    if compared.connect:
        events = count_text(compared.connect, "event")
        notes.append(f"{events} of connected accounts left out: this key does not list them")
    if compared.not_listed:
        records = count_text(compared.not_listed, "record")
        notes.append(f"{records} left out: thin events, or no events, which Stripe does not list")
    return Verdict(storage.name, scope, compared, where, archived.faults, notes)


def _confirm(storage: Storage, of_time: Span, verdict: Verdict) -> None:
    """Note what was put back: a folder is read again, of a bucket Firehose has confirmed it."""
    missing = verdict.compared.missing
    if not missing:
        return
    if isinstance(storage, FolderStorage):
        there = arrivals(storage, of_time.first, of_time.last)
        verdict.repaired = [event for event in missing if event.id in there]
        return
    verdict.repaired = missing
    verdict.notes.append(
        "Firehose has confirmed what was put back; the bucket shows it when the stream's buffer "
        "is written, after 5 minutes as it is set up here and 15 at most"
    )
