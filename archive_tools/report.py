"""`flask archive report`: revenue and deliveries as one page, for founders and operators.

Knows the options and where the page goes; the figures and the page are made in reporting/.
"""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from webhook_app.version import __version__

from . import days as calendar
from .cli import archive_option, json_option
from .days import Days, days_options
from .errors import ToolError
from .output import as_json as json_text
from .querying import results
from .querying.engine import Engine, open_engine
from .querying.result import Result
from .reporting.figures import Figures, Origin
from .reporting.findings import findings, headlines
from .reporting.money import NoModelsError, collect_money
from .reporting.page import page
from .reporting.statistics import collect
from .settings import ToolSettings
from .storage import Storage

#: A page of more days says less, and its charts have a pixel a day.
_MOST_DAYS = 1100

#: What the days around a range can be reckoned for, and Unix time.
_YEARS = range(1971, 9999)


@click.command("report")
@click.option(
    "--output",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the page goes; a file that is there is replaced.",
)
@archive_option
@days_options(last_days=30)
@click.option(
    "--engine",
    "engine_name",
    type=click.Choice(["duckdb", "athena"]),
    help="What runs the query. Left out: Athena for a bucket, DuckDB for a folder.",
)
@click.option(
    "--today",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="Make the page as on that day: of the same archive it is the same page each time.",
)
@click.option(
    "--only",
    type=click.Choice(["money", "deliveries"]),
    help="One part of the page. Left out: both.",
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    target: Path | None,
    storage: Storage,
    settings: ToolSettings,
    days: Days,
    engine_name: str | None,
    today: datetime | None,
    only: str | None,
    as_json: bool,
) -> None:
    """Write a page: recurring revenue by month, and the deliveries of some days.

    The page is one HTML file that needs no network, for screens, phones and paper. With --json
    its figures are printed in place of it. The revenue is that of the months up to the last day, a
    year at least, by the models of docs/ANALYTICS.md, which read the whole archive; in Athena
    `flask archive build` makes them. For the deliveries one query reads the range, and three days
    to each side; Athena scans them five times for it.

    \b
    The exit status says how it ended:
        0  the page is written
        1  it is, but parts of the archive could not be read; the page names them
        2  it could not be done

    \b
    Example:
        flask archive report --last 30 --output report.html
    """  # noqa: D301 - click wants the character itself
    if bool(target) == as_json:
        raise click.UsageError("Give --output FILE for the page, or --json for its figures.")
    if target:
        results.refuse_unwritable(target)
    day = _known(today.date()) if today else calendar.today()
    if not (context.params["start"] or context.params["end"]) and days.first and days.last:
        # the last so many days, which end on the day that --today names
        days = Days(day - (days.last - days.first), day)
    days = _closed(days, storage, day)
    made = str(day) if today else f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    with open_engine(storage, settings, engine_name, day) as engine:
        origin = Origin(
            storage.name, days.first or day, days.last or day, day, made, engine.name, __version__
        )
        figures = _figures(storage, engine, days, origin, only)
    if target:
        text = page(figures)
        with results.replacing(target) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    click.echo(json_text(_plain(figures)) if as_json else _summary(figures))
    if figures.faults:
        raise click.exceptions.Exit(1)


def _figures(
    storage: Storage, engine: Engine, days: Days, origin: Origin, only: str | None
) -> Figures:
    """Return the figures of one part of a report, or of both.

    Raises:
        ToolError: they could not be found. With both, the views of the models may be missing.
    """
    money, deliveries, is_unbuilt = None, None, False
    ran: list[Result] = []
    if only != "deliveries":
        try:
            money, result = collect_money(engine, days, origin.today)
            ran.append(result)
        except NoModelsError:
            if only:
                raise
            is_unbuilt = True
    if only != "money":
        deliveries, result = collect(storage, engine, days, origin.today)
        ran.append(result)
    notes = dict.fromkeys(note for result in ran for note in result.notes)
    faults = dict.fromkeys(fault for result in ran for fault in result.faults)
    origin = replace(origin, notes=tuple(notes))
    return Figures(origin, deliveries, money, is_unbuilt, list(faults))


def _closed(days: Days, storage: Storage, today: date) -> Days:
    """Return a range with both ends: an open one begins with the archive; none goes past today.

    Raises:
        ToolError: it is longer than a page can show, or begins in the future or before Unix time.
    """
    last = min(days.last or today, today)
    first = _known(days.first or min([last, *storage.days()[:1]]))
    if first > last:
        raise ToolError(f"--from {first} is in the future", "give an earlier day")
    if (last - first).days >= _MOST_DAYS:
        raise ToolError(
            f"{first} to {last} is too long for a page", f"take {_MOST_DAYS:,} days at most"
        )
    return Days(first, last)


def _known(day: date) -> date:
    """Return a day.

    Raises:
        ToolError: no archive can have it.
    """
    if day.year not in _YEARS:
        raise ToolError(f"No archive has the day {day}", "give one of this century")
    return day


def _plain(figures: Figures) -> dict[str, Any]:
    """Return the figures as JSON has them, with the findings."""
    return {
        "summary": " ".join(headlines(figures)),
        "findings": [asdict(finding) for finding in findings(figures)],
        **asdict(figures),
    }


def _summary(figures: Figures) -> str:
    """Return the headlines and the findings for a terminal."""
    lines = [finding.text for finding in findings(figures)]
    if not lines and figures.deliveries and figures.deliveries.total.deliveries:
        lines = ["Nothing unusual."]
    return "\n".join([*headlines(figures), *lines])
