"""`flask archive build`: the models as a DuckDB database, as Parquet, or as views in Athena."""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli import archive_option, json_option
from .errors import ToolError
from .output import as_json as json_text
from .output import bytes_text, count_text, progress, table
from .query import athena_options, note_faults
from .querying.athena_engine import open_athena
from .querying.engine import default_engine
from .querying.model_files import model_file
from .querying.results import refuse_unwritable, replacing, unwritable
from .reading import Fault
from .settings import ToolSettings
from .storage import Storage

if TYPE_CHECKING:
    from .querying.building import Built

_ENDING = ".duckdb"

#: What a number of `Built.gaps` counts, for people.
_GAPS = {
    "unpriced_items": "subscription items have no unit amount, as those of tiered prices: no MRR",
    "unknown_discounts": "discounts are known by id alone: they reduce no MRR",
    "customer_discounts": "customers have a discount on all that they buy: it reduces no MRR",
    "cut_items": "subscriptions have more items than Stripe's events carry: no MRR of the rest",
    "cut_lines": "invoices have more lines than Stripe's events carry",
}


@click.command("build")
@click.option(
    "--output",
    "target",
    type=click.Path(path_type=Path),
    metavar=f"FILE{_ENDING}|FOLDER",
    help=f"A name that ends in {_ENDING} is a database, any other a folder for Parquet files.",
)
@click.option(
    "--model", "names", multiple=True, metavar="NAME", help="This model alone. Can be repeated."
)
@click.option(
    "--engine",
    "kind",
    type=click.Choice(["duckdb", "athena"]),
    help="Left out: duckdb for a folder, athena for a bucket.",
)
@click.option(
    "--today",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="What current_date is; DuckDB only.",
)
@json_option
@athena_options
@archive_option
def command(
    target: Path | None,
    names: tuple[str, ...],
    kind: str | None,
    today: datetime | None,
    as_json: bool,
    workgroup: str,
    database: str,
    storage: Storage,
    settings: ToolSettings,
) -> None:
    """Make the models: Stripe's objects as they are now, recurring revenue, payments, disputes.

    With DuckDB each model becomes a table of one database file, or a Parquet file of one folder,
    which takes the place of the one before when it is whole. In Athena each becomes a view, which
    is always up to date. docs/ANALYTICS.md has the models, their rules and columns.

    Left out are object_events and object_states, every state of every object: `query` reads them,
    and --model makes them.

    \b
    The exit status says how it ended:
        0  the models are made of everything that there is
        1  they are, but something of the archive could not be read; they are made of the rest
        2  it could not be done, and what was there before is there still

    \b
    Example:
        flask archive build --output analytics.duckdb
    """  # noqa: D301 - click wants the character itself
    for name in names:
        # one that is not there is refused before anything is done
        model_file(name)
    if (kind or default_engine(storage)) == "athena":
        _refuse_in_athena(target, today)
        _create_views(storage, settings, names, (workgroup, database), as_json)
        return
    if not target:
        raise click.UsageError(
            f"Give --output FILE{_ENDING} for a database, or --output FOLDER for Parquet files."
        )
    from .querying.building import build, built_by_default

    wanted = list(dict.fromkeys(names)) or built_by_default()
    is_database = target.name.endswith(_ENDING)
    day = today.date() if today else None
    with _database(target) if is_database else _folder(target) as temporary:
        built, faults = build(storage, wanted, temporary, is_database, day)
        _sync(temporary)
    _report(built, faults, target, as_json)


def _refuse_in_athena(target: Path | None, today: datetime | None) -> None:
    if target:
        raise ToolError(
            "In Athena the models are views, and no files",
            "leave --output out; or fetch the archive and make files with --engine duckdb",
        )
    if today:
        raise ToolError("Athena's current_date is today", "leave --today out, or --engine duckdb")


@contextmanager
def _database(target: Path) -> Iterator[Path]:
    """Give the name of a file beside `target` to write to, which then takes its place.

    Raises:
        ToolError: it cannot be written, or somebody writes to the one that is there.
    """
    refuse_unwritable(target)
    log = target.with_name(f"{target.name}.wal")
    if log.exists():
        # it would be applied to the new database
        raise ToolError(
            f"{target} has changes of somebody else in {log.name}",
            "close what writes to it, or remove both files",
        )
    if target.is_dir():
        raise ToolError(f"{target} is a folder", f"a name that ends in {_ENDING} is of a file")
    with replacing(target) as temporary:
        try:
            yield temporary
        finally:
            temporary.with_name(f"{temporary.name}.wal").unlink(missing_ok=True)


@contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` to write to, which then takes its place.

    A folder cannot be replaced in one step: for an instant there is none of this name.

    Raises:
        ToolError: it cannot be written, or holds what is no Parquet file.
    """
    target = target.absolute()
    refuse_unwritable(target)
    there = list(target.iterdir()) if target.is_dir() else [target] if target.exists() else []
    if others := [path.name for path in there if path.suffix != ".parquet"]:
        raise ToolError(
            f"{target} holds {others[0]}, which is no model",
            f"name a new folder, or one of a build; the name of a database ends in {_ENDING}",
        )
    mark = secrets.token_hex(4)
    temporary, old = (target.with_name(f".{target.name}.{mark}.{end}") for end in ("tmp", "old"))
    try:
        try:
            temporary.mkdir()
            yield temporary
            if target.exists():
                target.rename(old)
            temporary.rename(target)
        finally:
            if old.exists() and not target.exists():
                old.rename(target)
            for folder in (temporary, old):
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise unwritable(target, error.strerror or str(error)) from error


def _sync(path: Path) -> None:
    """Have a file, or the files of a folder, on the disk before anything is named after them."""
    for file in path.iterdir() if path.is_dir() else [path]:
        with file.open("rb") as written:
            os.fsync(written.fileno())


def _report(built: "Built", faults: list[Fault], target: Path, as_json: bool) -> None:
    if as_json:
        click.echo(
            json_text(
                {
                    "output": str(target),
                    "rows": built.rows,
                    "newest_event": built.newest_event,
                    "not_computed": built.gaps,
                    "faults": len(faults),
                }
            )
        )
    else:
        _print(built, target)
    if faults:
        note_faults(faults)
        raise click.exceptions.Exit(1)


def _print(built: "Built", target: Path) -> None:
    files = [target] if target.is_file() else list(target.iterdir())
    size = bytes_text(sum(file.stat().st_size for file in files))
    click.echo(table(["model", "rows"], list(built.rows.items())))
    newest = f"; the newest event is of {built.newest_event}" if built.newest_event else ""
    click.echo(f"\n{target}: {count_text(len(built.rows), 'model')}, {size}{newest}")
    for name, count in built.gaps.items():
        if count:
            click.echo(f"{name}: {count:,} {_GAPS[name]}")


def _create_views(
    storage: Storage,
    settings: ToolSettings,
    names: Sequence[str],
    athena: tuple[str, str],
    as_json: bool,
) -> None:
    """Make the views in Athena, each after those that it reads.

    Raises:
        ToolError: Athena refused one; it says which are made and which are as they were.
    """
    from .querying.models import models, needed

    views = needed(names) if names else models()
    made: list[str] = []
    with (
        open_athena(storage, settings, *athena) as engine,
        progress("Creating views", len(views)) as bar,
    ):
        for view in views:
            try:
                engine.create_view(view.statement)
            except ToolError as error:
                left = ", ".join(other.name for other in views[len(made) + 1 :])
                raise ToolError(
                    f"{view.name} is as it was. {error.wrong}\n"
                    f"  Made: {', '.join(made) or 'none'}\n  Not tried: {left or 'none'}",
                    error.fix,
                ) from error
            made.append(view.name)
            bar.update(1)
    if as_json:
        click.echo(json_text({"database": athena[1], "views": made}))
        return
    click.echo(table(["view", "answers"], [(view.name, view.question) for view in views]))
    click.echo(f"\n{athena[1]}: {count_text(len(made), 'view')} created or replaced in Athena")
