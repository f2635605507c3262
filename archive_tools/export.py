"""`flask archive export`: days of the archive as Parquet or NDJSON, for other tools to read."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli import archive_option, json_option
from .days import Days, days_options
from .errors import ToolError
from .output import as_json as json_text
from .output import bytes_text, count_text, note
from .query import note_faults
from .querying.fields import TYPES, field
from .reading import Fault
from .settings import ToolSettings
from .storage import Storage

if TYPE_CHECKING:
    from .querying.exporting import Written

_FORMATS = ("parquet", "ndjson")


@click.command("export")
@click.option(
    "--output",
    "target",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to make; it is new or empty.",
)
@click.option("--format", "form", type=click.Choice(_FORMATS), default="parquet", show_default=True)
@click.option(
    "--table",
    type=click.Choice(["stripe_events", "stripe_webhooks"]),
    default="stripe_events",
    show_default=True,
    help="Each event once, or every delivery.",
)
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME=PATH[:TYPE]",
    help=f"A column out of the payload; TYPE is one of {', '.join(TYPES)}. Can be repeated.",
)
@click.option("--payload", is_flag=True, help="With the payload itself.")
@click.option("--where", default="", metavar="CONDITION", help="Of Athena's dialect: these rows.")
@days_options()
@json_option
@archive_option
def command(
    target: Path,
    form: str,
    table: str,
    fields: tuple[str, ...],
    payload: bool,
    where: str,
    days: Days,
    as_json: bool,
    storage: Storage,
    settings: ToolSettings,
) -> None:
    """Write days of the archive to a folder of Parquet or NDJSON files, partitioned as it is.

    An event of stripe_events is of the day of its earliest arrival. To know it, ids and times of
    all days up to the last one are read; of stripe_webhooks the days asked for alone. Money is
    exact: DECIMAL in Parquet, a string in NDJSON. What does not fit a field's type is null.

    \b
    The exit status says how it ended:
        0  all is there
        1  something of the archive could not be read; the rest is there
        2  it could not be done, and the folder is not there

    \b
    Example:
        flask archive export --output november --from 2026-11-01 --to 2026-11-30 \\
            --field order=data.object.metadata.order_id
    """  # noqa: D301 - click wants the character itself
    from .querying.exporting import Options, export

    options = Options(table, where, form, [field(text) for text in fields], payload)
    with _new_folder(target) as folder:
        written, faults = export(storage, options, days, folder)
    _report(written, faults, target, as_json)


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` to write to, which then takes its place.

    Raises:
        ToolError: there is something already, or it cannot be written.
    """
    temporary = target.absolute().with_name(f".{target.absolute().name}.{secrets.token_hex(4)}.tmp")
    try:
        if target.exists() and any(target.iterdir()):
            raise ToolError(f"{target} is not empty", "name a new folder, or remove what is there")
        try:
            temporary.mkdir()
            yield temporary
            temporary.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise ToolError(
            f"{target} cannot be written: {error.strerror or error}",
            "name a folder in one that is there and may be written to",
        ) from error


def _report(written: "Written", faults: list[Fault], target: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json_text({"folder": str(target), **vars(written), "faults": len(faults)}))
    else:
        click.echo(
            f"{target}: {count_text(written.rows, 'row')} in {count_text(written.files, 'file')}, "
            f"{bytes_text(written.size)}"
        )
    for name, count in written.misfits.items():
        verbs = ("does", "is") if count == 1 else ("do", "are")
        values = f"{count_text(count, 'value')} of {name}"
        note(f"{values} {verbs[0]} not fit its type, and {verbs[1]} null")
    if faults:
        note_faults(faults)
        raise click.exceptions.Exit(1)
