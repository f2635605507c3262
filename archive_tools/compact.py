"""`flask archive compact`: each event once, in columns, so that queries read less."""

from datetime import UTC, datetime

import click

from .cli import archive_option, json_option
from .errors import ToolError
from .output import as_json as json_text
from .output import bytes_text, count_text, note
from .settings import ToolSettings
from .storage import Storage

_DAY = click.DateTime(["%Y-%m-%d"])

#: Of Athena, the same as in `query`.
_DEFAULT = "stripe_analytics"


@click.command("compact")
@click.option(
    "--from",
    "first",
    type=_DAY,
    metavar="DAY",
    help="Athena: merge from this day of arrival on. Left out: from what has arrived since.",
)
@click.option(
    "--expire-days",
    type=click.IntRange(1, 36_600),
    metavar="DAYS",
    help="Athena: delete from the table what arrived so long ago, as ArchiveExpiryDays does.",
)
@click.option("--workgroup", default=_DEFAULT, show_default=True, help="Athena's workgroup.")
@click.option("--database", default=_DEFAULT, show_default=True, help="Athena's database.")
@json_option
@archive_option
def command(
    first: datetime | None,
    expire_days: int | None,
    workgroup: str,
    database: str,
    as_json: bool,
    storage: Storage,
    settings: ToolSettings,
) -> None:
    """Keep each event once, in columns, by the month in which it arrived.

    Of a folder it writes Parquet to parquet/year=…/month=…/, beside the objects. Of a bucket it
    merges into the table stripe_events_compacted of Athena's, whose files are under parquet/.
    Queries of stripe_events and of the models then read these, and from the objects only what has
    arrived since. Run it once a day, after reconcile.

    \b
    The exit status says how it ended:
        0  all that has arrived is in the files
        1  something of the archive could not be read; the rest is in the files
        2  it could not be done

    \b
    Example:
        flask archive compact
    """  # noqa: D301 - click wants the character itself
    if storage.folder:
        if first or expire_days:
            raise ToolError(
                f"--from and --expire-days are for Athena, and {storage.name} is a folder",
                "leave them out: a folder's new objects are known, and nothing of it expires",
            )
        _compact_folder(storage, as_json)
        return
    from .querying.athena_compaction import compact
    from .querying.athena_engine import open_athena, price_text, price_usd

    now = datetime.now(UTC).replace(tzinfo=None)
    with open_athena(storage, settings, workgroup, database) as engine:
        day = first.date() if first else None
        summary = compact(engine, storage, str(storage.bucket), now, day, expire_days)
    if as_json:
        usd = price_usd(summary.bytes_scanned)
        click.echo(json_text({"archive": storage.name, **vars(summary), "usd": usd}))
        return
    days = f"{summary.first_day} to {summary.last_day}" if summary.first_day else "no day"
    click.echo(f"stripe_events_compacted: merged the arrivals of {days}")
    note(f"Athena scanned {bytes_text(summary.bytes_scanned)}: {price_text(summary.bytes_scanned)}")


def _compact_folder(storage: Storage, as_json: bool) -> None:
    from .query import note_faults
    from .querying.compacting import compact
    from .querying.duckdb_engine import open_duckdb

    try:
        with open_duckdb(storage) as engine:
            summary, faults = compact(engine)
    except OSError as error:
        raise ToolError(
            f"{error.filename or storage.name} cannot be written: {error.strerror or error}",
            "give this user the right to write to parquet/ of the archive",
        ) from error
    if as_json:
        click.echo(json_text({"archive": storage.name, **vars(summary), "faults": len(faults)}))
    else:
        months = ", ".join(summary.months) or "nothing new"
        click.echo(
            f"{months}: {count_text(summary.new_events, 'new event')} in "
            f"{count_text(summary.objects, 'new object')}\n"
            f"parquet/ has {count_text(summary.events, 'event')}, {bytes_text(summary.size)}"
        )
    if faults:
        note_faults(faults)
        raise click.exceptions.Exit(1)
