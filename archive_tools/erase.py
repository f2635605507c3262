"""`flask archive erase`: everything of a person goes out of the archive, and does not come back."""

import getpass
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .cli import archive_option, json_option
from .erasing import versions
from .erasing.athena import AthenaTable
from .erasing.erased import Erasure, read_erased
from .erasing.finding import Found, find, refuse_unreadable
from .erasing.objects import open_objects
from .erasing.people import People, people
from .erasing.run import REDACT, REMOVE, Outcome, carry_out, plan, write_done, write_list
from .erasing.tables import MonthTables, refuse_unbuilt, remove_built
from .errors import ToolError
from .output import as_json as json_text
from .output import count_text, note, table
from .settings import ToolSettings
from .snapshotting.writing import Put, open_put
from .storage import Storage

#: Events with other people in them that are named without --json.
_SHOWN = 10

_NOT_REACHED = """\
Not reached from here, and to be done there:
  Stripe: its own copy, which a redaction job erases (https://docs.stripe.com/privacy/redaction).
  Copies: what `export`, `query --output` and `subject` have written, and backups of the folder.
  Buckets: replicas, and results of queries in athena-results/.
docs/PRIVACY.md says how."""


@click.command("erase")
@click.argument("who", nargs=-1)
@archive_option
@click.option("--reason", help="Why, for the list of erasures; without anything personal.")
@click.option("--by", metavar="NAME", help="Who ordered it. Left out: this user's name.")
@click.option("--redact", is_flag=True, help="Keep id, type and times of each event.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--skip-unreadable", is_flag=True, help="Erase also if something cannot be read.")
@click.option(
    "--built",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="An --output of build, which is removed. Can be repeated.",
)
@click.option("--workgroup", default="stripe_analytics", show_default=True, help="Of Athena.")
@click.option("--database", default="stripe_analytics", show_default=True, help="Of Athena.")
@json_option
def command(
    who: tuple[str, ...],
    storage: Storage,
    settings: ToolSettings,
    reason: str | None,
    by: str | None,
    redact: bool,
    dry_run: bool,
    yes: bool,
    skip_unreadable: bool,
    built: tuple[Path, ...],
    workgroup: str,
    database: str,
    as_json: bool,
) -> None:
    """Erase people: all events and listed objects that name them or something of theirs.

    WHO is a customer's id, the id of another object or an e-mail address; several are one erasure.
    Erased are the events that name it, and those that name its charges, invoices and other objects.
    The other events of a rewritten object stay as they are, byte for byte.

    The list of what goes is written to erasures/ first, with hashed ids. reconcile, backfill,
    snapshot and replay leave out what is in there. Interrupted, it goes on when it is called again,
    with or without WHO.

    \b
    The exit status says how it ended:
        0  all of it is erased, or there was nothing
        1  something is left, and is named
        2  it could not be done

    \b
    Examples: a look first, then the erasure.
        flask archive erase cus_QWERTY12345678 --dry-run
        flask archive erase cus_QWERTY12345678 anna@example.com --reason "Request 17"
    """  # noqa: D301 - click wants the character itself
    whom = people(who)
    if who and not dry_run:
        _refuse_reason(reason)
    for target in built:
        refuse_unbuilt(target)
    objects = open_objects(storage, settings.aws_region)
    put = open_put(storage, settings.aws_region)
    months = MonthTables(storage)
    athena = AthenaTable(storage, settings, workgroup, database)
    left: list[str] = []
    unfinished = read_erased(storage).unfinished
    if unfinished and dry_run:
        note(
            f"{count_text(len(unfinished), 'erasure')} before is not finished; this shows the rest"
        )
    for erasure in [] if dry_run else unfinished:
        note(f"Going on with the erasure of {erasure.head.erased_at} ({erasure.head.reason})")
        left += _carry_out(storage, settings, put, erasure, months, athena).left
    if not who and not unfinished and not built:
        note("There is no erasure to go on with; WHO names a person")
    found = Found()
    if who:
        found = find(storage, whom, months.event_ids(whom))
        wanted = whom.with_ids(found.object_ids | found.event_ids)
        found.in_tables |= versions.event_ids(storage, settings.aws_region, wanted)
        if not skip_unreadable and not dry_run:
            refuse_unreadable(found.faults)
    result = _described(found, as_json)
    outcome = Outcome()
    if found and not dry_run:
        if not yes:
            click.echo(_preview(found, whom), err=True)
            click.confirm(f"Erase {_amount(found)}?", abort=True, err=True)
        name = by or getpass.getuser()
        mode = REDACT if redact else REMOVE
        entries, erasure, damaged = plan(objects, found, reason or "", name, mode)
        left += damaged
        if erasure.objects or erasure.events:
            write_list(put, erasure.key, entries)
            outcome = _carry_out(storage, settings, put, erasure, months, athena)
            left += outcome.left
    if not dry_run:
        remove_built(built)
    result |= {"rewritten": outcome.rewritten, "removed": outcome.removed, "left": left}
    if as_json:
        click.echo(json_text(result))
    elif dry_run:
        click.echo(_preview(found, whom) if found else "Nothing names them.")
    elif who or unfinished:
        click.echo(_summary(found, outcome, left))
    raise click.exceptions.Exit(1 if left or found.faults.count else 0)


def _refuse_reason(reason: str | None) -> None:
    if not reason:
        raise click.UsageError("Give --reason: the list of erasures keeps why it was done.")
    if re.search(r"@|\bcus_", reason):
        raise ToolError(
            "--reason names somebody, and the list of erasures is kept for ever",
            "give the number of a request or of a ticket",
        )


def _carry_out(
    storage: Storage,
    settings: ToolSettings,
    put: Put,
    erasure: Erasure,
    months: MonthTables,
    athena: AthenaTable,
) -> Outcome:
    """Do what is left of an erasure, and note that it is done if nothing is left."""
    outcome = carry_out(open_objects(storage, settings.aws_region), erasure)
    outcome.left += versions.remove(storage, settings.aws_region, erasure)
    months.erase(erasure)
    athena.erase(erasure)
    if not outcome.left:
        write_done(put, erasure)
    return outcome


def _amount(found: Found) -> str:
    events = sum(match.is_event for match in found.matches)
    rest = len(found.matches) - events
    listed = f" and {count_text(rest, 'listed object')}" if rest else ""
    return f"{count_text(events, 'record')} of events{listed}"


def _described(found: Found, as_json: bool) -> dict[str, Any]:
    """Return what was found, as JSON can hold it."""
    if not as_json:
        return {}
    return {
        "matches": [
            {
                "id": match.id,
                "type": match.type,
                "day": match.day,
                "key": match.key,
                "line": match.line,
                "by_object_alone": not match.is_direct,
                "others": list(match.others),
            }
            for match in found.matches
        ],
        "objects": sorted(found.object_ids),
        "events_in_tables": sorted(found.in_tables),
        "faults": [str(fault) for fault in found.faults.first],
    }


def _preview(found: Found, whom: People) -> str:
    """Return what would go, for people."""
    rows: Counter[tuple[str, str]] = Counter(
        (match.type or "", "event" if match.is_event else "snapshot") for match in found.matches
    )
    days: dict[tuple[str, str], list[str]] = {}
    for match in found.matches:
        kind = (match.type or "", "event" if match.is_event else "snapshot")
        days.setdefault(kind, []).append(str(match.day or ""))
    table_rows = [
        (*kind, count, min(days[kind]), max(days[kind])) for kind, count in sorted(rows.items())
    ]
    parts = [table(("type", "in", "records", "first day", "last day"), table_rows)]
    further = len(found.object_ids - whom.ids)
    indirect = sum(not match.is_direct for match in found.matches)
    parts.append(
        f"\n{_amount(found)} in {count_text(len(found.keys), 'object')}; "
        f"{indirect:,} of them name only one of {count_text(further, 'object')} of theirs."
    )
    shared = [match for match in found.matches if match.others]
    if shared:
        parts.append(
            f"{count_text(len(shared), 'record')} with other customers or e-mail addresses too:"
        )
        parts += [
            f"  {match.day} {match.type} {match.id}: {', '.join(match.others[:5])}"
            for match in shared[:_SHOWN]
        ]
        if len(shared) > _SHOWN:
            parts.append(f"  … and {len(shared) - _SHOWN:,} more; --json lists all")
    parts += [f"Cannot be read: {fault}" for fault in found.faults.first[:_SHOWN]]
    return "\n".join(parts)


def _summary(found: Found, outcome: Outcome, left: Sequence[str]) -> str:
    if not found:
        parts = ["Nothing more names them."]
    else:
        parts = [
            f"Erased {_amount(found)}: {count_text(outcome.rewritten, 'object')} rewritten, "
            f"{outcome.removed:,} removed."
        ]
    parts += [f"Left: {one}" for one in left]
    return "\n".join([*parts, _NOT_REACHED])
