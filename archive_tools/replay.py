"""`flask archive replay`: sends archived events again, signed anew with a secret of yours."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from .cli import archive_option, json_option
from .output import as_json as json_text
from .output import count_text, note
from .replaying.bookmark import Bookmark, bookmark
from .replaying.connection import health
from .replaying.delivery import Deliverer
from .replaying.destination import (
    Destination,
    destination,
    refuse_archive,
    refuse_clear_text,
    refuse_own_service,
)
from .replaying.payloads import Payloads
from .replaying.plan import Plan
from .replaying.planning import Arrivals, plan_of
from .replaying.report import preview, preview_text, result, result_text
from .replaying.secret import secret_of_file, secret_of_variable
from .replaying.selection_options import Choice, selection_options
from .replaying.sending import Manner, Sending
from .replaying.sending_options import manner_options, secret_options
from .settings import ToolSettings
from .storage import Storage


@click.command("replay")
@click.argument("url")
@archive_option
@selection_options
@secret_options
@manner_options
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    default="stripe-replay.json",
    show_default=True,
    help="The file that says where to go on, while something is left over.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--insecure-http", is_flag=True, help="Allow http:// to another machine.")
@click.option("--into-an-archive", is_flag=True, help="Allow the endpoint of an archive.")
@json_option
def command(
    url: str,
    storage: Storage,
    settings: ToolSettings,
    choice: Choice,
    secret_env: str,
    secret_file: Path | None,
    manner: Manner,
    state: Path,
    dry_run: bool,
    insecure_http: bool,
    into_an_archive: bool,
    as_json: bool,
) -> None:
    """Send archived events to URL again, freshly signed.

    The body is the payload as it was received, to the byte; what was filled in from Stripe's
    Events API is sent as the API gave it. Each event is sent once, unless --duplicates is given;
    but where an answer is lost, it is sent again.

    The secret is never given on the command line, which `ps` shows to everybody.

    After Ctrl-C, or where something was not accepted, the same command sends what is left over.

    \b
    The exit status says how it ended:
        0  every event was accepted, with a 2xx
        1  some were not, are not there, or cannot be read
        2  it could not be done

    \b
    Example, for a day's charges to a service under development:
        flask archive replay http://localhost:8000/hook --from 2026-11-23 --type 'charge.*'
    """  # noqa: D301 - click wants the character itself
    to = destination(url)
    if not insecure_http:
        refuse_clear_text(to)
    if not into_an_archive:
        refuse_own_service(to, settings.port)
    replay = {"url": str(to), "query": to.query_digest, "archive": storage.name, **choice.as_dict()}
    mark = bookmark(state, replay)
    if dry_run:
        with _plan(storage, choice, mark) as plan:
            missing = plan.missing(choice.selection.ids)
            told = preview(plan, mark, to, missing)
            click.echo(json_text(told) if as_json else preview_text(told, plan.faults))
            raise click.exceptions.Exit(1 if plan.faults or missing else 0)
    secret = secret_of_file(secret_file) if secret_file else secret_of_variable(secret_env)
    # before the archive is read, which can take minutes
    answer = health(to)
    if not into_an_archive:
        refuse_archive(to, answer)
    with _plan(storage, choice, mark) as plan:
        sending = Sending(plan, mark, manner)
        try:
            _send(sending, to, secret, storage, manner)
        except KeyboardInterrupt:
            note(f"\n{_continuation(len(plan) - mark.accepted, state)}")
            raise
        missing = plan.missing(choice.selection.ids)
        told = result(sending, plan, mark, to, missing)
        click.echo(json_text(told) if as_json else result_text(told, plan.faults))
        if told["left"]:
            note(f"\n{_continuation(told['left'], state)}")
        raise click.exceptions.Exit(1 if told["left"] or plan.faults or missing else 0)


@contextmanager
def _plan(storage: Storage, choice: Choice, mark: Bookmark) -> Iterator[Plan]:
    selection = choice.selection
    if mark.newest:
        selection = replace(selection, until=mark.newest)
    with plan_of(storage, choice.days, selection, choice.order, _among(storage, choice)) as plan:
        mark.mark_plan(plan)
        yield plan


def _among(storage: Storage, choice: Choice) -> Arrivals | None:
    if choice.where is None:
        return None
    # DuckDB is needed for this option alone
    from .querying.duckdb_engine import keys_and_ids

    return keys_and_ids(storage, choice.days, choice.where)


def _send(sending: Sending, to: Destination, secret: str, storage: Storage, manner: Manner) -> None:
    stopped = threading.Event()
    payloads = Payloads(storage)
    deliverers = [
        Deliverer(to, secret, payloads, manner.timeout_s, manner.retries, stopped)
        for _ in range(manner.concurrency)
    ]
    try:
        sending.run(deliverers, stopped)
    finally:
        for deliverer in deliverers:
            deliverer.close()


def _continuation(left: int, state: Path) -> str:
    return f"{count_text(left, 'event')} left. The same command sends the rest, as {state} says."
