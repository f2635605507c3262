"""`flask doctor`: will the next delivery be archived, and if not, what is the fix?

Has the checks that need nothing but this machine, and the summary; `doctor_aws` asks AWS. Nothing
is left behind: no event is sent, and the file that tries a disk is removed.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from gunicorn.config import Config

from ..environ import PROJECT, SettingsError, nearest_folder
from ..settings import BUDGET_LIMIT_S, Settings
from . import doctor_aws
from .check import CheckResult, Mark, fault, ok

#: Some 50,000 small events: a day of a busy shop, in which somebody can make room.
LEAST_FREE_BYTES = 100_000_000


def examine() -> Iterator[CheckResult]:
    """Check the environment of this process; yield each result as soon as it is known."""
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        for variable, wrong, fix in error.problems:
            yield fault("configuration", f"{variable} {wrong}", fix)
        return
    yield from examine_service(settings)


def examine_service(settings: Settings) -> Iterator[CheckResult]:
    """Check a service of these settings."""
    archive = f"{settings.archive_name} (from {settings.archive_origin})"
    yield ok("configuration", f"complete; the archive is {archive}")
    yield _secrets(settings)
    yield time_budget(settings)
    if settings.archive_dir is None:
        yield from doctor_aws.examine(settings)
        return
    yield _folder(settings.archive_dir)
    yield _disk(settings.archive_dir)
    now = datetime.now(UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    yield ok("clock", f"{now} UTC here, compared with nothing: a local archive asks no server")


def summary(results: Iterable[CheckResult]) -> tuple[str, int]:
    """Return the last line and the exit status.

    0 is all fine, 1 a fault. 2 is AWS, or what gives out its credentials, silent or failing: every
    other answer is one of the two, so that a release may go on with 2.
    """
    marks = [result.mark for result in results]
    faults, unknowns = marks.count(Mark.FAULT), marks.count(Mark.UNKNOWN)
    undetermined = f"{unknowns} of {len(marks)} checks could not be determined from here"
    if faults:
        beside = f"; {undetermined}" if unknowns else ""
        return f"{_count(faults, 'fault')} to fix{beside}.", 1
    if unknowns:
        return f"No fault found; {undetermined}.", 2
    return f"All fine: {len(marks)} checks.", 0


def _secrets(settings: Settings) -> CheckResult:
    secrets = settings.webhook_secrets
    others = sum(not secret.startswith("whsec_") for secret in secrets)
    found = _count(len(secrets), "signing secret")
    if others:
        found += f", {others} without the whsec_ that Stripe's begin with"
        fix = "copy the endpoint's signing secret from the Stripe Dashboard (Developers, Webhooks)"
        return fault("secrets", found, fix)
    return ok("secrets", f"{found}, of the form whsec_…")


def time_budget(settings: Settings) -> CheckResult:
    """Return whether gunicorn lets a worker wait for as long as the archive may take."""
    timeout_s = _gunicorn_timeout_s()
    if timeout_s is None:
        return fault(
            "time budget",
            "gunicorn's time-out cannot be read from gunicorn.conf.py and GUNICORN_CMD_ARGS",
            f"give it as a number of seconds, above {BUDGET_LIMIT_S:.0f}",
        )
    # gunicorn takes 0 for never
    ends = f"gunicorn ends a worker after {timeout_s} s" if timeout_s else "gunicorn never does"
    if settings.archive_dir:
        return ok("time budget", f"a local disk has no time-outs; {ends}")
    budget_s = settings.archive_budget_s
    found = f"an answer within {budget_s:.1f} s at worst, of {BUDGET_LIMIT_S:.0f} s; {ends}"
    if 0 < timeout_s <= budget_s:
        fix = f"give gunicorn a --timeout above {budget_s:.1f} s, such as the 30 s it comes with"
        return fault("time budget", found, fix)
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
        text = (PROJECT / "gunicorn.conf.py").read_text()
    except (SystemExit, ValueError, OSError):
        return None
    found = re.search(r"^timeout = (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


def _folder(folder: Path) -> CheckResult:
    """Write, sync and remove a hidden file where the archive is, or where it would be made."""
    place = nearest_folder(folder)
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


def _disk(folder: Path) -> CheckResult:
    try:
        free = shutil.disk_usage(nearest_folder(folder)).free
    except OSError as error:
        found = f"the room on it cannot be determined: {error.strerror}"
        return fault("disk", found, "let this user look into the folder")
    found = f"{free / 1e6:,.0f} MB free"
    if free < LEAST_FREE_BYTES:
        wanted = f"{LEAST_FREE_BYTES / 1e6:,.0f} MB"
        return fault("disk", f"{found}, less than {wanted}", "make room, or use another disk")
    return ok("disk", found)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
