"""`flask archive replay`: sends archived events to an endpoint again, freshly signed."""

import contextlib
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .cli import archive_option, json_option
from .days import Days, days_options
from .errors import ToolError
from .output import as_json as json_text
from .output import count_text, note, progress, table
from .replaying.checkpoint import Checkpoint
from .replaying.selection import ORDERS, Selection
from .replaying.sending import (
    Outcome,
    Sender,
    check_health,
    destination,
    http_session,
    refuse_unsafe,
    without_query,
)
from .settings import REPLAY_SECRET, ToolSettings, variable
from .storage import Storage

#: Failures that are kept one by one; all are counted.
_MAX_FAILURES = 1000

#: Rows of a table for people; --json has the others.
_MAX_ROWS = 20


def _ids(_: click.Context, __: click.Parameter, values: Sequence[str]) -> frozenset[str] | None:
    """Return the ids of `--event`, None where it is not given."""
    if not values:
        return None
    ids = set(values)
    if "-" in ids:
        # `query --format csv` prints the column's name first
        ids |= {line.strip() for line in sys.stdin} - {"", "id"}
    return frozenset(ids - {"-"})


@click.command("replay")
@click.argument("url")
@archive_option
@days_options()
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Only events of this type, as in invoice.paid or 'charge.*'. Can be repeated.",
)
@click.option(
    "--event",
    "ids",
    multiple=True,
    callback=_ids,
    metavar="ID",
    help="Only this event, or with - those whose ids are on standard input. Can be repeated.",
)
@click.option(
    "--order",
    type=click.Choice(list(ORDERS)),
    default="created",
    show_default=True,
    help="By the time at Stripe, or by the time of arrival.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="Events a second; 0 for no limit.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Deliveries at a time; with 1 the order is exact.",
)
@click.option(
    "--stop-after",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Stop when so many in a row are not accepted; 0 for never.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    default="stripe-replay.jsonl",
    show_default=True,
    help="The file of accepted events. It is removed when all of them are.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
@click.option(
    "--force", is_flag=True, help="Allow http:// to another machine, and an archive's endpoint."
)
@json_option
def command(
    url: str,
    storage: Storage,
    settings: ToolSettings,
    days: Days,
    types: tuple[str, ...],
    ids: frozenset[str] | None,
    order: str,
    rate: float,
    concurrency: int,
    stop_after: int,
    state: Path,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Send archived events to URL again, freshly signed.

    The body is the payload, byte for byte as it was received. The signature is made with the
    secret in the variable REPLAY_SECRET, which is the one that the endpoint checks with.

    Each event is sent once, as it arrived first. After no answer, 429 or 5xx it is sent again, up
    to 5 times. After Ctrl-C, or where events were not accepted, the same command sends the rest.

    \b
    The exit status says how it ended:
        0  every event was accepted, with a 2xx
        1  some were not, are not in the archive, or cannot be read
        2  it could not be done

    \b
    Examples: a day's charges to a service under development; what a query finds.
        flask archive replay http://localhost:8000/hook --from 2026-11-23 --type 'charge.*'
        flask archive query "SELECT DISTINCT id FROM stripe_webhooks WHERE account = 'acct_1'" \\
            --format csv | flask archive replay http://localhost:8000/hook --event -
    """  # noqa: D301 - click wants the character itself
    to = destination(url)
    if not force:
        refuse_unsafe(to, settings.port)
    secret = "" if dry_run else _secret(settings, force=force)
    checkpoint = Checkpoint(state, to.geturl())
    with contextlib.closing(Selection(storage)) as selection, http_session(concurrency) as session:
        if not dry_run:
            # before the archive is read, which can take minutes
            check_health(session, to, refuse_archive=not force)
        selection.read(days, types, ids, order, checkpoint.names())
        if dry_run:
            result = {"events": len(selection), **selection.preview()}
        else:
            sender = Sender(
                session=session,
                url=to.geturl(),
                secret=secret,
                rate=rate,
                concurrency=concurrency,
            )
            result = _send(selection, sender, checkpoint, stop_after)
    result = {
        "url": without_query(to),
        **result,
        "accepted_before": selection.accepted_before,
        **selection.problems(),
    }
    click.echo(json_text(result) if as_json else _text(result))
    problems = result.get("left") or result["missing"] or result["faults"]
    raise click.exceptions.Exit(1 if problems else 0)


def _secret(settings: ToolSettings, *, force: bool) -> str:
    secret = variable(REPLAY_SECRET)
    fix = "set it to the signing secret that the endpoint checks with, and to no other"
    # a comma separates several in STRIPE_WEBHOOK_SECRET
    if not re.fullmatch(r"[!-+\--~]+", secret):
        wrong = "is not one secret" if secret else "is not set"
        raise ToolError(f"{REPLAY_SECRET} {wrong}", fix)
    if secret in settings.webhook_secrets and not force:
        raise ToolError(
            f"{REPLAY_SECRET} is one of the archive's own secrets, in STRIPE_WEBHOOK_SECRET: "
            "its endpoint would store every event again",
            f"{fix}, or give --force if it is the same",
        )
    return secret


def _send(
    selection: Selection, sender: Sender, checkpoint: Checkpoint, stop_after: int
) -> dict[str, Any]:
    """Send a selection and return what came of it, as JSON can hold it."""
    left = len(selection)
    answers: Counter[str] = Counter()
    failures: list[Outcome] = []
    failed_in_a_row, stopped = 0, False
    events = ((event, selection.payload(event)) for event in selection)
    checkpoint.open()
    began = time.monotonic()
    try:
        with (
            progress("Sending events", left) as bar,
            contextlib.closing(sender.outcomes(events)) as outcomes,
        ):
            for outcome in outcomes:
                bar.update(1)
                answers[str(outcome.answer)] += 1
                if outcome.accepted:
                    checkpoint.add(outcome.event.name)
                    left -= 1
                    failed_in_a_row = 0
                    continue
                failures += [outcome][: _MAX_FAILURES - len(failures)]
                failed_in_a_row += 1
                if stopped := failed_in_a_row == stop_after:
                    break
    finally:
        checkpoint.close(remove=not left)
        if left:
            note(f"\n{count_text(left, 'event')} left. The same command sends the rest.")
    seconds = time.monotonic() - began
    return {
        "sent": answers.total(),
        "accepted": len(selection) - left,
        "left": left,
        "stopped": stopped,
        "seconds": round(seconds, 3),
        "events_per_second": round(answers.total() / seconds, 1),
        "answers": [{"answer": a, "events": count} for a, count in answers.most_common()],
        "failures": [
            {"event": f.event.name, "type": f.event.type, "answer": str(f.answer)} for f in failures
        ],
    }


def _text(result: dict[str, Any]) -> str:
    """Return a result for people: a sentence, then what lists it holds as tables."""
    if "sent" in result:
        text = f"{count_text(result['sent'], 'event')} sent to {result['url']} in "
        text += f"{result['seconds']:,.1f} s, {result['events_per_second']:,} a second"
        text += "; stopped after too many failures in a row" if result["stopped"] else ""
    else:
        text = f"{count_text(result['events'], 'event')} would be sent to {result['url']}"
    if result["accepted_before"]:
        text += f"; {result['accepted_before']:,} were accepted before"
    if result["faults"]:
        text += f"; {count_text(result['faults'], 'place')} could not be read"
    parts = [text]
    for name, rows in result.items():
        if isinstance(rows, list) and rows:
            shown = [list(row.values()) for row in rows[:_MAX_ROWS]]
            parts += ["", f"{name.replace('_', ' ').capitalize()}:", table(list(rows[0]), shown)]
            if len(rows) > _MAX_ROWS:
                parts.append("… and more; --json lists them")
    return "\n".join(parts)
