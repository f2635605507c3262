"""`flask archive seal`: a manifest of each day that is over, chained to the one before."""

import time
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from .cli import archive_option, json_option
from .days import Days
from .errors import ToolError
from .output import as_json as json_text
from .output import count_text, note
from .sealing.sealer import SealedDay, Sign, head, seal
from .sealing.signing import file_signer, kms_signer
from .settings import ToolSettings
from .storage import Storage


@click.command("seal")
@archive_option
@click.option(
    "--wait",
    type=click.IntRange(0, 240),
    default=2,
    show_default=True,
    metavar="HOURS",
    help="Seal a day so many hours after its end. Firehose delivers after 15 minutes at most.",
)
@click.option(
    "--from",
    "late_from",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="Look for late objects from this sealed day on. Left out: in the last 7 of them.",
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sign each manifest with this Ed25519 key, a PEM file.",
)
@click.option("--kms", metavar="KEY", help="Sign each manifest with this asymmetric key of KMS.")
@json_option
def command(
    storage: Storage,
    settings: ToolSettings,
    wait: int,
    late_from: datetime | None,
    key_file: Path | None,
    kms: str | None,
    as_json: bool,
) -> None:
    """Seal each day that is over, so that nothing of it can be removed or changed unseen.

    Writes manifests/year=…/month=…/day=….json: every object of the day in webhooks/, snapshots/ and
    erasures/ with its size, SHA-256 and number of records, what has arrived late for earlier days,
    and the SHA-256 of the manifest of the day before. `verify --sealed` checks the archive against
    them. No manifest is ever overwritten.

    The last line is the head, the SHA-256 of the newest manifest. Keep it outside
    of the archive, where its writers cannot change it: it stands for the whole past.

    \b
    The exit status says how it ended:
        0  every day that can be sealed is
        1  the same, and lines of an object cannot be read: `verify` says which
        2  it could not be done; what was sealed before stays

    With --key or --kms each manifest is signed. The signature is a file beside it, ….sig.

    \b
    Example:
        flask archive seal
    """  # noqa: D301 - click wants the character itself
    now = datetime.fromtimestamp(time.time(), UTC)
    start = late_from.date() if late_from else None
    days = list(seal(storage, now, timedelta(hours=wait), start, _sign(settings, key_file, kms)))
    newest = head(storage)
    click.echo(_json(storage, days, newest) if as_json else _text(days, newest))
    damaged = sum(day.damaged for day in days)
    if damaged:
        note(f"Lines of {count_text(damaged, 'object')} cannot be read; `verify` says which")
    raise click.exceptions.Exit(1 if damaged else 0)


def _sign(settings: ToolSettings, key_file: Path | None, kms: str | None) -> Sign | None:
    if key_file and kms:
        raise ToolError("--key and --kms are two keys", "give one of them")
    if key_file:
        return file_signer(key_file)
    return kms_signer(kms, settings.aws_region) if kms else None


def _json(storage: Storage, days: list[SealedDay], newest: tuple[date, str] | None) -> str:
    return json_text(
        {
            "archive": storage.name,
            "sealed": [asdict(day) for day in days],
            "head": {"sha256": newest[1], "day": newest[0]} if newest else None,
        }
    )


def _text(days: list[SealedDay], newest: tuple[date, str] | None) -> str:
    lines = []
    if days:
        objects, records = sum(day.objects for day in days), sum(day.records for day in days)
        late = sum(day.late for day in days)
        more = f", and {count_text(late, 'late object')} of earlier days" if late else ""
        lines.append(
            f"Sealed {Days(days[0].day, days[-1].day)}: {count_text(objects, 'object')} with "
            f"{count_text(records, 'record')}{more}"
        )
    else:
        lines.append("Nothing to seal: no day is over that is not sealed")
    if newest:
        lines.append(f"head {newest[1]} of {newest[0]}")
    return "\n".join(lines)
