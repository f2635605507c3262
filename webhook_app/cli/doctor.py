"""`flask doctor`: will the next delivery be archived, and if not, what heals it?

Knows the checks that need nothing but this machine, and the verdict; `doctor_aws` asks AWS. It
leaves nothing behind: no event is sent, and the file it tries a disk with is removed.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from gunicorn.config import Config

from ..settings import BUDGET_LIMIT_S, PROJECT, Settings, SettingsError
from . import doctor_aws
from .check import Finding, Mark, fault, ok, unknown

#: Some 50,000 small events: a day of a busy shop, in which somebody can make room.
LEAST_FREE_BYTES = 100_000_000


def examine() -> Iterator[Finding]:
    """Yield what each check finds in the environment of this process, as soon as it is known."""
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        for variable, wrong, cure in error.problems:
            yield fault("configuration", f"{variable} {wrong}", cure)
        return
    yield from examine_service(settings)


def examine_service(settings: Settings) -> Iterator[Finding]:
    """Yield what each check finds in a service of these settings."""
    yield ok("configuration", f"complete; the archive is {_archive_name(settings)}")
    yield _secrets(settings)
    yield _guarded("time budget", lambda: _time_budget(settings))
    if settings.archive_dir is None:
        yield from doctor_aws.examine(settings)
        return
    folder = settings.archive_dir
    yield _guarded("folder", lambda: _folder(folder))
    yield _guarded("disk", lambda: _disk(folder))
    now = datetime.now(UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    yield ok("clock", f"{now} UTC here, compared with nothing: a local archive asks nobody")


def verdict(findings: Iterable[Finding]) -> tuple[str, int]:
    """Return the last line and the exit status: 0 all fine, 1 a fault, 2 something not told."""
    marks = [finding.mark for finding in findings]
    faults, unknowns = marks.count(Mark.FAULT), marks.count(Mark.UNKNOWN)
    untold = f"{unknowns} of {len(marks)} checks could not be told from here"
    if faults:
        beside = f"; {untold}" if unknowns else ""
        return f"{_count(faults, 'fault')} to cure{beside}.", 1
    if unknowns:
        return f"No fault found; {untold}.", 2
    return f"All fine: {len(marks)} checks.", 0


def _archive_name(settings: Settings) -> str:
    if settings.archive_dir:
        return f"the local folder {settings.archive_dir}"
    return f"the Firehose stream {settings.stream_name} in {settings.aws_region}"


def _secrets(settings: Settings) -> Finding:
    secrets = settings.webhook_secrets
    others = sum(not secret.startswith("whsec_") for secret in secrets)
    found = _count(len(secrets), "signing secret")
    if others:
        # a note, not a fault: whoever signs with it decides on its form
        return ok("secrets", f"{found}, {others} without the whsec_ that Stripe's begin with")
    return ok("secrets", f"{found}, of the form whsec_…")


def _time_budget(settings: Settings) -> Finding:
    timeout_s = _gunicorn_timeout_s()
    if timeout_s is None:
        return unknown(
            "time budget",
            "gunicorn's time-out cannot be read from gunicorn.conf.py and GUNICORN_CMD_ARGS",
            f"look whether it is above {BUDGET_LIMIT_S:.0f} s",
        )
    # gunicorn takes 0 for never
    ends = f"gunicorn ends a worker after {timeout_s} s" if timeout_s else "gunicorn never does"
    if settings.archive_dir:
        return ok("time budget", f"a local disk has no time-outs; {ends}")
    budget_s = settings.archive_budget_s
    found = f"an answer within {budget_s:.1f} s at worst, of {BUDGET_LIMIT_S:.0f} s; {ends}"
    if 0 < timeout_s <= budget_s:
        cure = f"give gunicorn a --timeout above {budget_s:.1f} s, such as the 30 s it comes with"
        return fault("time budget", found, cure)
    return ok("time budget", found)


def _gunicorn_timeout_s() -> int | None:
    """Return the time-out that a worker gets, None where it cannot be read.

    Read, not run: gunicorn.conf.py ends the process that imports it with bad settings.
    """
    config = Config()
    try:
        asked = config.parser().parse_args(config.get_cmd_args_from_env()).timeout
        if asked is not None:
            return int(asked)
    except (SystemExit, ValueError):
        return None
    text = (PROJECT / "gunicorn.conf.py").read_text()
    found = re.search(r"^timeout = (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


def _folder(folder: Path) -> Finding:
    """Write, sync and remove a hidden file where the archive is, or where it would be made."""
    place = _nearest(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-", suffix=".tmp") as file:
            file.write(b"written by `flask doctor`, and removed at once\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        found = f"{place} cannot be written to: {error.strerror}"
        return fault("folder", found, "give this user a disk with room, mounted for writing")
    if place != folder:
        return ok("folder", f"{folder} is not there yet; the service makes it in {place}")
    return ok("folder", f"{folder}: a file was written, synced and removed")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_nearest(folder)).free
    found = f"{free / 1e6:,.0f} MB free"
    if free < LEAST_FREE_BYTES:
        wanted = f"{LEAST_FREE_BYTES / 1e6:,.0f} MB"
        return fault("disk", f"{found}, less than {wanted}", "make room, or use another disk")
    return ok("disk", found)


def _nearest(folder: Path) -> Path:
    """Return the folder, or the closest one above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _guarded(check: str, look: Callable[[], Finding]) -> Finding:
    """Return what a check found, also where it could not even look."""
    try:
        return look()
    except OSError as error:
        return unknown(check, f"cannot be looked at: {error.strerror}", "look as another user")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
