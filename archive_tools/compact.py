"""`flask archive compact`: each event once, in columns, so that queries read less."""

import click

from .cli import archive_option, json_option
from .errors import ToolError
from .output import as_json as json_text
from .output import bytes_text, count_text
from .query import note_faults
from .settings import ToolSettings
from .storage import Storage


@click.command("compact")
@json_option
@archive_option
def command(as_json: bool, storage: Storage, settings: ToolSettings) -> None:
    """Keep each event once, in columns, by the month in which it arrived.

    Of a folder it writes Parquet to parquet/year=…/month=…/, beside the objects. Queries of
    stripe_events and of the models read these files, and only what has arrived since from the
    objects. Run it once a day: it writes the months alone that something new belongs to.

    \b
    The exit status says how it ended:
        0  all that has arrived is in the files
        1  something of the archive could not be read; the rest is in the files
        2  it could not be done

    \b
    Example:
        flask archive compact
    """  # noqa: D301 - click wants the character itself
    _compact_folder(storage, as_json)


def _compact_folder(storage: Storage, as_json: bool) -> None:
    from .querying.compacting import compact
    from .querying.duckdb_engine import open_duckdb

    folder = storage.folder
    if not folder:
        raise ToolError(f"{storage.name} is no folder")
    try:
        with open_duckdb(storage) as engine:
            summary, faults = compact(engine, folder)
    except OSError as error:
        raise ToolError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}",
            "give this user the right to write to parquet/ of the archive",
        ) from error
    if as_json:
        click.echo(json_text({"archive": storage.name, **vars(summary), "faults": len(faults)}))
    else:
        months = ", ".join(summary.months) or "nothing new"
        click.echo(
            f"{months}: {count_text(summary.new_events, 'new event')} of "
            f"{count_text(summary.objects, 'object')}\n"
            f"now {count_text(summary.events, 'event')} in parquet/, {bytes_text(summary.size)}"
        )
    if faults:
        note_faults(faults)
        raise click.exceptions.Exit(1)
