"""`flask archive query`: SQL on the archive, by DuckDB on this machine or by Athena."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from .cli import archive_option, json_option
from .errors import ToolError
from .output import as_json as json_text
from .output import bytes_text, cell, count_text, note, progress, table
from .querying import athena_engine, results
from .querying.athena_engine import price_text, price_usd
from .querying.engine import Engine, Result, default_engine, open_engine
from .querying.model_files import model_file, model_names
from .querying.saved_queries import filled, questions, sql_of
from .reading import Fault
from .settings import ToolSettings
from .storage import Storage

_F = TypeVar("_F", bound=Callable[..., Any])

_DAY = click.DateTime(["%Y-%m-%d"])

#: One screen of faults; `flask archive verify` has them all.
_SHOWN_FAULTS = 20


def _list_library(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(table(["query", "answers"], questions()))
        models = [(name, model_file(name).question) for name in model_names()]
        click.echo(f"\n{table(['model', 'answers'], models)}")
        ctx.exit()


def _describe(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name:
        from .querying.models import model

        found = model(name)
        rows = [(n, type_, found.meanings.get(n)) for n, type_ in found.columns.items()]
        head = "\n\n".join(part for part in (found.question, found.rules) if part)
        click.echo(f"{head}\n\n{table(['column', 'type', 'meaning'], rows)}")
        ctx.exit()


def athena_options(command: _F) -> _F:
    """Give a command `--workgroup` and `--database`."""
    for name in ("database", "workgroup"):
        command = click.option(
            f"--{name}", default=athena_engine.DEFAULT, show_default=True, help=f"Athena's {name}."
        )(command)
    return command


@click.command("query")
@click.argument("query", metavar="SQL|FILE|NAME")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_library,
    help="Name the queries of the library, and the models.",
)
@click.option(
    "--describe",
    metavar="MODEL",
    is_eager=True,
    expose_value=False,
    callback=_describe,
    help="Print the rules and the columns of a model.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="What stands for a placeholder, as in evt_replace_me=evt_1. Can be repeated.",
)
@click.option(
    "--engine",
    "kind",
    type=click.Choice(["duckdb", "athena"]),
    help="Left out: duckdb for a folder, athena for a bucket.",
)
@click.option("--explain", is_flag=True, help="Show what would be read, and run nothing.")
@click.option("--format", "form", type=click.Choice(results.FORMATS), help="Left out: table.")
@json_option
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file for the result."
)
@click.option("--today", type=_DAY, metavar="DAY", help="What current_date is; DuckDB only.")
@athena_options
@archive_option
def command(
    query: str,
    assignments: tuple[str, ...],
    kind: str | None,
    explain: bool,
    form: str | None,
    as_json: bool,
    output: Path | None,
    today: datetime | None,
    workgroup: str,
    database: str,
    storage: Storage,
    settings: ToolSettings,
) -> None:
    """Run a query of Athena's dialect, on a folder or a bucket.

    It is SQL, a file *.sql, the name of a query of the library or of a model, or - for standard
    input. It can use the table stripe_webhooks and the view stripe_events, whose columns
    docs/QUERYING.md has, and the models of docs/ANALYTICS.md, which DuckDB computes when asked. It
    reads the days alone that the query's year, month and day leave; from a bucket it fetches them.

    \b
    The exit status says how it ended:
        0  the rows are those of everything that there is
        1  something of the archive could not be read; the rows are those of the rest
        2  it could not be run

    \b
    Example:
        flask archive query revenue_by_day --format csv --output revenue.csv
    """  # noqa: D301 - click wants the character itself
    form = _form(form, as_json, output)
    if output and explain:
        raise ToolError("--explain has no result for --output", "leave one of them out")
    if output:
        results.refuse_unwritable(output)
    sql = filled(sql_of(query), dict(map(_assignment, assignments)))
    kind = kind or default_engine(storage)
    if kind == "athena" and today:
        raise ToolError("Athena's current_date is today", "leave --today out, or --engine duckdb")
    if explain:
        _explain(storage, sql, kind, today, form)
        return
    began = time.monotonic()
    with (
        _open(storage, settings, kind, today, (workgroup, database)) as engine,
        results.output(form, output) as consume,
        progress("Querying", 100) as bar,
    ):
        result = engine.stream(sql, consume, bar.update)
    _report(result, time.monotonic() - began)


def _form(form: str | None, json_wanted: bool, output: Path | None) -> str:
    if json_wanted and form not in (None, "json"):
        raise ToolError(f"--json cannot go with --format {form}", "use the one or the other")
    if form == "parquet" and not output:
        raise ToolError("Parquet is not for a terminal", "name a file: --output result.parquet")
    return "json" if json_wanted else form or "table"


def _assignment(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not value:
        raise ToolError(f"--set {name} has no value", "as in --set evt_replace_me=evt_1")
    return name, value


@contextmanager
def _open(
    storage: Storage,
    settings: ToolSettings,
    kind: str,
    today: datetime | None,
    athena: tuple[str, str],
) -> Iterator[Engine]:
    if kind == "athena":
        with athena_engine.open_athena(storage, settings, *athena) as engine:
            yield engine
        return
    with open_engine(storage, settings, kind, today.date() if today else None) as local:
        yield local


def _explain(storage: Storage, sql: str, kind: str, today: datetime | None, form: str) -> None:
    """Print what a query would read and cost; the days are those that Athena reads too."""
    from .querying.duckdb_engine import open_duckdb

    with open_duckdb(storage, today.date() if today else None) as engine:
        plan = engine.plan(sql)
    known: dict[str, Any] = {
        "engine": kind,
        "archive": storage.name,
        "days": len(plan.days),
        "of_days": plan.of_days,
        "first_day": min(plan.days, default=None),
        "last_day": max(plan.days, default=None),
        "objects": plan.objects,
        "bytes": plan.size,
        "sql": plan.sql if kind == "duckdb" else sql,
    }
    if kind == "athena":
        known["usd"] = price_usd(plan.size)
    if form == "json":
        click.echo(json_text(known))
        return
    days = f"{len(plan.days):,} of {plan.of_days:,}"
    click.echo(f"engine   {kind}\narchive  {storage.name}")
    click.echo(
        f"days     {days}" + (f", {min(plan.days)} to {max(plan.days)}" if plan.days else "")
    )
    click.echo(f"reads    {count_text(plan.objects, 'object')}, {bytes_text(plan.size)}")
    if kind == "athena":
        click.echo(f"price    about {price_text(plan.size)}")
    click.echo(f"\n{known['sql']}")


def _report(result: Result, seconds: float) -> None:
    note("; ".join([f"{count_text(result.count, 'row')} in {seconds:.1f} s", *result.notes]))
    if result.faults:
        note_faults(result.faults)
        raise click.exceptions.Exit(1)


def note_faults(faults: list[Fault]) -> None:
    """Print what could not be read, one screen of it at most."""
    note(f"\n{count_text(len(faults), 'fault')} in what was read; the rest is in the result:")
    for fault in faults[:_SHOWN_FAULTS]:
        note(f"  {cell(fault)}")
    if len(faults) > _SHOWN_FAULTS:
        note(f"  … and {len(faults) - _SHOWN_FAULTS:,} more: `flask archive verify` names all")
