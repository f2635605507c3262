"""`flask archive verify`: is every record whole, did Stripe sign it, and is nothing gone?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from .cli import archive_option, json_option
from .days import Days, days_options
from .erasing.erased import Erased, read_erased
from .errors import ToolError
from .output import as_json as json_text
from .output import bytes_text, count_text, note, printable, table
from .parallel import scan
from .proof import Proof, proof
from .reading import Fault, Faults, records
from .sealing.chain import read_chain
from .sealing.check import check, check_strays
from .sealing.erasures import read_erasures
from .sealing.report import Head, SealReport
from .sealing.signing import Signatures, public_keys
from .settings import ToolSettings
from .storage import Storage, StoredObject

#: Faults of a kind that are shown without --json.
_SHOWN = 20


@dataclass
class Stats:
    """What was found in objects. Stats add up, and are of bounded size."""

    records: int = 0
    """Lines, broken ones included."""
    objects: int = 0
    stored_bytes: int = 0
    genuine: Counter[int] = field(default_factory=Counter)
    """Records by the index of the secret that signed them."""
    from_events_api: int = 0
    erased: int = 0
    """Events that the lists of erasures name."""
    redacted: int = 0
    """Records of which an erasure has left id, type and times."""
    not_json: int = 0
    """Genuine, and kept as received, but no JSON."""
    unproven: Faults = field(default_factory=Faults)
    broken: Faults = field(default_factory=Faults)
    genuine_days: set[date] = field(default_factory=set)
    unproven_days: set[date] = field(default_factory=set)

    def extend(self, other: "Stats") -> None:
        """Add what was found in other objects."""
        for name in (
            "records",
            "objects",
            "stored_bytes",
            "from_events_api",
            "redacted",
            "not_json",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.genuine.update(other.genuine)
        self.unproven.extend(other.unproven)
        self.broken.extend(other.broken)
        self.genuine_days |= other.genuine_days
        self.unproven_days |= other.unproven_days


def verified(storage: Storage, days: Days, secrets: Sequence[str], tolerance_s: int) -> Stats:
    """Return what all records of a range of days prove, read over all cores.

    Raises:
        ToolError: the archive cannot be listed, or what was erased cannot be read.
    """
    erased = read_erased(storage)
    stats = Stats(erased=len(erased.events))
    work = partial(_verify, storage, secrets, tolerance_s, erased)
    for found in scan("Verifying, day by day", storage, days, work):
        stats.extend(found)
    for stray in storage.strays():
        what = "in no day's folder: nothing that this service writes"
        stats.broken.add(Fault(stray.key, None, what))
    return stats


def _verify(
    storage: Storage,
    secrets: Sequence[str],
    tolerance_s: int,
    erased: Erased,
    day: date,
    objects: list[StoredObject],
) -> Stats:
    stats = Stats(objects=len(objects), stored_bytes=sum(stored.size for stored in objects))

    def judge(line: bytes) -> Proof:
        stats.records += 1
        return proof(line, day, secrets, tolerance_s, erased)

    for stored in objects:
        for number, found in records(storage, stored.key, judge, stats.broken):
            if found.secret is not None:
                stats.genuine[found.secret] += 1
                stats.genuine_days.add(day)
                stats.not_json += not found.json
            elif found.redacted:
                stats.redacted += 1
            elif not found.signed:
                stats.from_events_api += 1
            else:
                who = found.record.id or "without an event id"
                stats.unproven.add(Fault(stored.key, number, f"no given secret signed it ({who})"))
                stats.unproven_days.add(day)
    return stats


@click.command("verify")
@archive_option
@days_options()
@click.option(
    "--secrets",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of retired secrets, a line each, besides STRIPE_WEBHOOK_SECRET.",
)
@click.option(
    "--sealed",
    is_flag=True,
    help="Prove that nothing was removed, changed or added since `seal`. Needs no secret.",
)
@click.option(
    "--head",
    metavar="SHA256",
    help="With --sealed: the head that `seal` printed on a day of which you are sure.",
)
@click.option(
    "--public-key",
    "key_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --sealed: check the signatures with this key, a PEM file. Can be repeated.",
)
@click.option(
    "--kms",
    "kms_keys",
    multiple=True,
    metavar="KEY",
    help="With --sealed: the same with this key of KMS. Can be repeated.",
)
@json_option
def command(
    storage: Storage,
    settings: ToolSettings,
    days: Days,
    file: Path | None,
    sealed: bool,
    head: str | None,
    key_files: tuple[Path, ...],
    kms_keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Prove that every record is whole and that Stripe signed it.

    Each record is read, its columns are held against its payload, and its signature is checked
    with the secrets of STRIPE_WEBHOOK_SECRET, whatever its age. Finds a changed byte.

    With --sealed, prove instead that no object is missing, changed or added: against the manifests
    that `seal` wrote. With a head that was noted, it is the archive as it was on that day.

    \b
    The exit status says how it ended:
        0  every record is genuine, or came from Stripe's Events API; with --sealed: all is there
        1  something is broken, or no given secret signed it; with --sealed: not all is as sealed
        2  it could not be done

    \b
    Examples:
        flask archive verify --from 2026-01-01 --to 2026-12-31 --secrets retired.txt
        flask archive verify --sealed --head "$(cat head.txt)"
    """  # noqa: D301 - click wants the character itself
    if sealed:
        if file:
            raise ToolError("--sealed needs no secrets", "leave --secrets out, or --sealed")
        given = Head.parsed(head) if head is not None else None
        signatures = None
        if key_files or kms_keys:
            signatures = Signatures(storage, public_keys(key_files, kms_keys, settings.aws_region))
        _verify_sealed(storage, days, given, signatures, as_json)
    if head is not None or key_files or kms_keys:
        raise ToolError("--head, --public-key and --kms are for sealed days", "add --sealed")
    secrets = _secrets(settings, file)
    stats = verified(storage, days, list(secrets), settings.signature_tolerance_s)
    if not stats.objects:
        note(f"Nothing is proved: the archive has no object ({days})")
    names = list(secrets.values())
    where = printable(f"{storage.name}, {days}")
    click.echo(_json(stats, names) if as_json else _text(stats, names, where))
    raise click.exceptions.Exit(1 if stats.broken.count or stats.unproven.count else 0)


def _verify_sealed(
    storage: Storage,
    days: Days,
    head: Head | None,
    signatures: Signatures | None,
    as_json: bool,
) -> NoReturn:
    chain = read_chain(storage, signatures.take if signatures else None)
    erasures = read_erasures(storage, chain)
    compared = check(storage, chain, erasures, days)
    compared.extend(check_strays(storage))
    report = SealReport(storage.name, days, chain, erasures, compared, head, signatures)
    click.echo(report.as_json() if as_json else printable(report.text()))
    raise click.exceptions.Exit(0 if report.is_proved else 1)


def _secrets(settings: ToolSettings, file: Path | None) -> dict[str, str]:
    """Return what each secret is called, by the secret; never print a key of it."""
    named = {
        secret: f"STRIPE_WEBHOOK_SECRET, no. {number}"
        for number, secret in enumerate(settings.webhook_secrets, 1)
    }
    if file:
        try:
            # some editors put a mark at the beginning of a file, which is no part of a secret
            given = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ToolError(
                f"{file} cannot be read as text", "give a file with a secret on each line"
            ) from error
        for number, line in enumerate(given, 1):
            secret = line.strip()
            if " " in secret and not secret.startswith("#"):
                raise ToolError(
                    f"{file} line {number} holds more than a secret",
                    "give a line to each; what begins with # is left out",
                )
            if secret and not secret.startswith("#"):
                named.setdefault(secret, f"{file.name}, line {number}")
    if not named:
        raise ToolError(
            "No secret is given, and without one nothing can be proved",
            "set STRIPE_WEBHOOK_SECRET to the endpoint's signing secrets, or give --secrets FILE",
        )
    return named


def _json(stats: Stats, names: Sequence[str]) -> str:
    return json_text(
        {
            "records": stats.records,
            "objects": stats.objects,
            "stored_bytes": stats.stored_bytes,
            "genuine": {name: stats.genuine[n] for n, name in enumerate(names)},
            "from_events_api": stats.from_events_api,
            "erased": stats.erased,
            "redacted": stats.redacted,
            "not_json": stats.not_json,
            "unproven": stats.unproven.count,
            "broken": stats.broken.count,
            "unproven_at": [asdict(fault) for fault in stats.unproven.first],
            "broken_at": [asdict(fault) for fault in stats.broken.first],
        }
    )


def _text(stats: Stats, names: Sequence[str], where: str) -> str:
    read = f"{count_text(stats.objects, 'object')}, {bytes_text(stats.stored_bytes)} as stored"
    rows: list[tuple[str, object]] = [("records", stats.records)]
    rows += [(f"genuine, by {name}", stats.genuine[n]) for n, name in enumerate(names)]
    if stats.not_json:
        rows.append(("  of these no JSON, kept as received", stats.not_json))
    rows.append(("from the Events API, which signs nothing", stats.from_events_api))
    if stats.redacted:
        rows.append(("redacted: id, type and times are left", stats.redacted))
    if stats.erased:
        rows.append(("erased, as erasures/ lists them", stats.erased))
    rows.append(("unproven: no given secret signed it", stats.unproven.count))
    rows.append(("broken", stats.broken.count))
    parts = [f"{where}: {read}\n", table(["", "found"], rows)]
    for title, faults in (("Broken", stats.broken), ("Unproven", stats.unproven)):
        if faults.count:
            parts += [f"\n{title}:", *(f"  {fault}" for fault in faults.first[:_SHOWN])]
        if faults.count > _SHOWN:
            parts.append(f"  … and {faults.count - _SHOWN:,} more; --json lists more")
    if stats.unproven.count:
        parts.append(f"\n{_hint(stats)}")
    return "\n".join(parts)


def _hint(stats: Stats) -> str:
    if stats.unproven_days & stats.genuine_days:
        return (
            "On the same days other records are genuine: so these belong to another endpoint's "
            "secret, or they were changed after they had arrived."
        )
    return (
        "On those days nothing is genuine: probably they were signed with a retired secret. "
        "Give it with --secrets."
    )
