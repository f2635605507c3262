"""`flask archive verify`: is every record of a range of days whole, and did Stripe sign it?"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import click

from .cli import archive_option, json_option
from .days import Days, days_options
from .errors import ToolError
from .output import as_json as json_text
from .output import bytes_text, cell, count_text, progress, table
from .parallel import batches, over_cores
from .proof import BrokenError, proof
from .reading import DamageError, Fault, lines
from .settings import ToolSettings
from .storage import Storage, StoredObject

#: An archive that was damaged all over is not listed as a whole; what is more is counted.
MOST_LISTED = 1000


@dataclass(frozen=True)
class Task:
    """Some objects of a day."""

    day: date
    objects: list[StoredObject]


@dataclass
class Tally:
    """What was found. Tallies add up, and are of bounded size."""

    records: int = 0
    objects: int = 0
    stored_bytes: int = 0
    genuine: dict[int, int] = field(default_factory=dict)
    """Records by the index of the secret that signed them."""
    from_events_api: int = 0
    not_json: int = 0
    """Genuine, and kept as received, but no JSON."""
    unproven: int = 0
    broken: int = 0
    unproven_at: list[Fault] = field(default_factory=list)
    broken_at: list[Fault] = field(default_factory=list)
    genuine_days: set[date] = field(default_factory=set)
    unproven_days: set[date] = field(default_factory=set)

    def add(self, other: "Tally") -> None:
        """Add what another one has found."""
        for name in ("records", "objects", "stored_bytes", "from_events_api", "not_json"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unproven += other.unproven
        self.broken += other.broken
        for secret, count in other.genuine.items():
            self.genuine[secret] = self.genuine.get(secret, 0) + count
        self.unproven_at += other.unproven_at[: MOST_LISTED - len(self.unproven_at)]
        self.broken_at += other.broken_at[: MOST_LISTED - len(self.broken_at)]
        self.genuine_days |= other.genuine_days
        self.unproven_days |= other.unproven_days

    def break_at(self, key: str, line: int | None, what: str) -> None:
        """Count something broken, and keep where it is."""
        self.broken += 1
        if len(self.broken_at) < MOST_LISTED:
            self.broken_at.append(Fault(key, line, what))


def verified(storage: Storage, days: Days, secrets: Sequence[str], tolerance_s: int) -> Tally:
    """Return what all records of a range of days prove, read over all cores.

    Raises:
        ToolError: the place cannot be listed.
    """
    total = Tally()
    found = [day for day in storage.days() if day in days]
    work = partial(_verify, storage=storage, secrets=secrets, tolerance_s=tolerance_s)
    with progress("Verifying, day by day", len(found)) as bar:
        done = 0
        for day, tally in over_cores(work, _tasks(storage, found)):
            total.add(tally)
            bar.update(found.index(day) - done)
            done = found.index(day)
    for stray in storage.strays():
        total.break_at(stray.key, None, "in no day's folder: nothing that this service writes")
    return total


def _tasks(storage: Storage, days: Sequence[date]) -> Iterator[Task]:
    for day in days:
        for batch in batches(storage.objects(day)):
            yield Task(day, batch)


def _verify(
    task: Task, *, storage: Storage, secrets: Sequence[str], tolerance_s: int
) -> tuple[date, Tally]:
    tally = Tally()
    for stored in task.objects:
        tally.objects += 1
        tally.stored_bytes += stored.size
        number = None
        try:
            for number, line in lines(storage, stored.key):
                _judge(tally, stored.key, number, line, task.day, secrets, tolerance_s)
        except DamageError as damage:
            tally.break_at(stored.key, damage.line, damage.what)
    return task.day, tally


def _judge(
    tally: Tally,
    key: str,
    number: int,
    line: bytes,
    day: date,
    secrets: Sequence[str],
    tolerance_s: int,
) -> None:
    tally.records += 1
    try:
        found = proof(line, day, secrets, tolerance_s)
    except BrokenError as error:
        tally.break_at(key, number, str(error))
        return
    if found.secret is not None:
        tally.genuine[found.secret] = tally.genuine.get(found.secret, 0) + 1
        tally.genuine_days.add(day)
        tally.not_json += not found.json
    elif not found.signed:
        tally.from_events_api += 1
    else:
        tally.unproven += 1
        tally.unproven_days.add(day)
        if len(tally.unproven_at) < MOST_LISTED:
            who = found.record.id or "without an event id"
            tally.unproven_at.append(Fault(key, number, f"no given secret signed it ({who})"))


@click.command("verify")
@archive_option
@days_options()
@click.option(
    "--secrets",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of retired secrets, a line each, besides STRIPE_WEBHOOK_SECRET.",
)
@json_option
def command(
    storage: Storage, settings: ToolSettings, days: Days, file: Path | None, as_json: bool
) -> None:
    """Prove that every record is whole and that Stripe signed it.

    Each record is read, its columns are held against its payload, and its signature is checked
    with the secrets of STRIPE_WEBHOOK_SECRET, whatever its age. Finds a changed byte.

    \b
    The exit status says how it ended:
        0  every record is genuine, or came from Stripe's Events API
        1  something is broken, or no given secret signed it
        2  it could not be done

    \b
    Example:
        flask archive verify --from 2026-01-01 --to 2026-12-31 --secrets retired.txt
    """  # noqa: D301 - click wants the character itself
    secrets = _secrets(settings, file)
    tally = verified(storage, days, list(secrets), settings.signature_tolerance_s)
    names = list(secrets.values())
    click.echo(_json(tally, names) if as_json else _text(tally, names, f"{storage.name}, {days}"))
    raise click.exceptions.Exit(1 if tally.broken or tally.unproven else 0)


def _secrets(settings: ToolSettings, file: Path | None) -> dict[str, str]:
    """Return what each secret is called, by the secret; never print a key of it."""
    named = {
        secret: f"STRIPE_WEBHOOK_SECRET, no. {number}"
        for number, secret in enumerate(settings.webhook_secrets, 1)
    }
    if file:
        try:
            given = file.read_text().splitlines()
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


def _json(tally: Tally, names: Sequence[str]) -> str:
    found = {name: value for name, value in asdict(tally).items() if not name.endswith("_days")}
    found["genuine"] = {name: tally.genuine.get(n, 0) for n, name in enumerate(names)}
    return json_text(found)


def _text(tally: Tally, names: Sequence[str], where: str) -> str:
    read = f"{count_text(tally.objects, 'object')}, {bytes_text(tally.stored_bytes)} as stored"
    rows: list[tuple[str, object]] = [("records", tally.records)]
    rows += [(f"genuine, by {name}", tally.genuine.get(n, 0)) for n, name in enumerate(names)]
    if tally.not_json:
        rows.append(("  of these no JSON, kept as received", tally.not_json))
    rows.append(("from the Events API, which signs nothing", tally.from_events_api))
    rows.append(("unproven: no given secret signed it", tally.unproven))
    rows.append(("broken", tally.broken))
    parts = [f"{where}: {read}\n", table(["", "found"], rows)]
    for title, faults, count in (
        ("Broken", tally.broken_at, tally.broken),
        ("Unproven", tally.unproven_at, tally.unproven),
    ):
        if faults:
            more = [f"  … and {count - 20:,} more; --json lists more"] if count > 20 else []
            listed = [f"  {cell(fault)}" for fault in faults[:20]]
            parts += [f"\n{title}:", *listed, *more]
    if tally.unproven:
        parts.append(f"\n{_hint(tally)}")
    return "\n".join(parts)


def _hint(tally: Tally) -> str:
    if tally.unproven_days & tally.genuine_days:
        return (
            "On the same days other records are genuine: so these belong to another endpoint's "
            "secret, or they were changed after they had arrived."
        )
    return (
        "On those days nothing is genuine: probably they were signed with a retired secret. "
        "Give it with --secrets."
    )
