"""`flask archive reconcile`: is all that Stripe has in the archive? With `--repair` it will be."""

import time

import click

from .cli import archive_option, json_option
from .days import Days, days_options
from .errors import ToolError
from .output import as_json as json_text
from .output import count_text, note
from .reconciling.comparison import Comparison
from .reconciling.index import Scope, build_index
from .reconciling.listing import windows
from .reconciling.options import stripe_options
from .reconciling.preflight import preflight
from .reconciling.rate_limiter import RateLimiter
from .reconciling.report import Report
from .reconciling.stripe_api import StripeApi
from .reconciling.subscription import Subscription, subscription
from .reconciling.time_range import time_range
from .reconciling.transfer import transfer
from .reconciling.writing import open_writer
from .settings import ToolSettings
from .storage import FolderStorage, Storage

#: Firehose keeps records for up to the stream's buffer, 300 s as we make it and 900 at most.
#: https://docs.aws.amazon.com/firehose/latest/dev/create-configure.html
_BUFFER_S = 900
_FOLDER_IN_FLIGHT_S = 60

_BUFFERED = (
    "Firehose has confirmed what was put back; the bucket shows it when the stream's buffer is "
    "written, after 5 minutes as it is set up here and 15 at most. A repair before that writes a "
    "second copy, which the view stripe_events leaves out"
)


@click.command("reconcile")
@archive_option
@days_options(30, of="the events")
@stripe_options
@click.option("--endpoint", metavar="ID|URL", help="The endpoint whose types are expected.")
@click.option(
    "--in-flight",
    type=click.IntRange(0),
    metavar="SECONDS",
    help="How young an event may be that is not there yet. Left out: 900, for a folder 60.",
)
@click.option("--repair", is_flag=True, help="Archive what is missing, as the Events API has it.")
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
    force: bool,
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
        0  all is there, or --repair has put it back and nothing else was found
        1  something is missing, unknown to Stripe, or cannot be read, or the endpoint's API version
           is not pinned or newer than what this version knows
        2  it could not be done

    \b
    Example, for a scheduler, every hour:
        flask archive reconcile --last 3 --repair
    """  # noqa: D301 - click wants the character itself
    if types and endpoint:
        raise click.UsageError("--type and --endpoint say the same: give one of them")
    asked = time_range(days, int(time.time()))
    api = StripeApi(settings, RateLimiter(rate))
    writer = open_writer(storage, settings) if repair else None
    expected = Subscription(types) if types else subscription(api, endpoint)
    scope = Scope(asked, api.livemode, types)
    index = build_index(storage, scope)
    if repair and not force:
        preflight(api, index, expected)
    if in_flight is None:
        in_flight = _FOLDER_IN_FLIGHT_S if isinstance(storage, FolderStorage) else _BUFFER_S
    comparison = Comparison(index, expected, asked, in_flight)
    todo = windows(asked.first, asked.last)
    erased = transfer(api, todo, types, comparison.is_missing, writer, index.erased)
    missing, repaired, refused = comparison.missing, [], ""
    if writer:
        repaired = [event for event in missing if event.type not in comparison.uncertain_types]
        missing = [event for event in missing if event.type in comparison.uncertain_types]
    elif missing:
        try:
            open_writer(storage, settings)
            if not force:
                preflight(api, index, expected)
        except ToolError as error:
            refused = error.message
    notes = [*asked.notes, *expected.notes]
    if erased:
        notes.append(f"{count_text(erased, 'event')} at Stripe were erased here, and left out")
    if repaired and not isinstance(storage, FolderStorage):
        notes.append(_BUFFERED)
    report = Report(
        storage.name, scope, comparison, missing, repaired, refused, notes, expected.findings
    )
    for text in report.notes:
        note(text)
    click.echo(json_text(report.as_json()) if as_json else report.text())
    raise click.exceptions.Exit(report.status)
