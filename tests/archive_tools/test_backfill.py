"""All that Stripe still has goes into the archive, in one run or in several, and nothing twice."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from archive_tools.reconciling.checkpoint import Checkpoint
from archive_tools.reconciling.time_range import day_of
from tests.archive_tools.conftest import Run, stop_clock
from tests.fakes.stream import FakeStream
from tests.fakes.stripe import ENDPOINT, KEY, FakeStripe, Shelf, delivered, event
from tests.support.service import PROJECT
from webhook_app.storage.firehose import firehose_client
from webhook_app.storage.local import LocalArchive

HOUR = 3600
CHECKPOINT = "stripe-backfill.txt"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command is run."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> int:
    now = int(time.time())
    stop_clock(monkeypatch, now)
    return now


@pytest.fixture
def stripe(now: int) -> Iterator[FakeStripe]:
    """Four pages of the last 8 hours."""
    with FakeStripe(made(400, now)).serving() as stripe:
        stripe.endpoints = [ENDPOINT]
        yield stripe


def made(count: int, now: int) -> list[dict[str, Any]]:
    return [event(n, now - 60 - n * 72) for n in range(count)]


def two_days(stripe: FakeStripe) -> tuple[str, ...]:
    """The day of the newest event and the one before, also for a process after midnight."""
    last = datetime.fromtimestamp(stripe.shelf.events[0]["created"], UTC).date()
    return ("--from", str(last - timedelta(days=1)), "--to", str(last), "--rate", "100")


def backfill(run: Run, stripe: FakeStripe, *arguments: str, **variables: str) -> Result:
    words = ("backfill", *two_days(stripe), *arguments)
    return run(*words, **(stripe.variables() | variables))


def archived_ids(folder: Path) -> list[str]:
    lines = (gzip.decompress(path.read_bytes()) for path in folder.rglob("*.gz"))
    return sorted(json.loads(line)["id"] for line in lines)


def of(stripe: FakeStripe) -> list[str]:
    return sorted(stripe.shelf.ids)


def test_everything_goes_in_and_the_second_time_nothing(
    run: Run, stripe: FakeStripe, folder: Path, here: Path
) -> None:
    result = backfill(run, stripe)
    assert result.exit_code == 0
    assert result.stdout.startswith("Archived 400 events of ")
    assert result.stdout.endswith("; 0 were there already.\n")
    assert archived_ids(folder) == of(stripe)
    again = backfill(run, stripe, "--json")
    assert json.loads(again.stdout)["archived"] == 0
    assert json.loads(again.stdout)["already_there"] == 400
    assert archived_ids(folder) == of(stripe)
    assert list(here.iterdir()) == []


def test_the_default_is_all_that_stripe_keeps(run: Run, folder: Path, now: int) -> None:
    with FakeStripe([event(n, now - n * 24 * HOUR) for n in range(29)]).serving() as stripe:
        result = run("backfill", "--rate", "100", **stripe.variables())
        assert result.exit_code == 0
        assert archived_ids(folder) == of(stripe)


def test_what_the_archive_has_is_not_put_in_again(
    run: Run, stripe: FakeStripe, folder: Path
) -> None:
    archive = LocalArchive(folder)
    for one in stripe.shelf.events[::40]:
        archive.put(delivered(one))
    result = backfill(run, stripe)
    assert "Archived 390 events" in result.stdout
    assert "; 10 were there already." in result.stdout
    assert archived_ids(folder) == of(stripe)


def test_a_dry_run_counts_and_writes_nothing(
    run: Run, stripe: FakeStripe, folder: Path, here: Path
) -> None:
    result = backfill(run, stripe, "--dry-run")
    assert (result.exit_code, result.stdout[:13]) == (0, "400 events of")
    assert "would be archived; 0 were there already." in result.stdout
    assert list(folder.iterdir()) == list(here.iterdir()) == []


def test_only_the_types_that_are_asked_for(
    run: Run, stripe: FakeStripe, folder: Path, now: int
) -> None:
    stripe.hold(event(2000, now - HOUR, "payout.paid"), event(2001, now - HOUR, "invoice.paid"))
    types = [word for n in range(30) for word in ("--type", f"made.up_{n}")]
    result = backfill(run, stripe, *types, "--type", "invoice.*")
    assert "Archived 1 event of" in result.stdout
    backfill(run, stripe, "--type", "payout.paid")
    assert archived_ids(folder) == ["evt_002000", "evt_002001"]


@pytest.fixture
def broken_off(run: Run, stripe: FakeStripe, now: int, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A backfill that was ended as soon as the first day was done."""
    stripe.hold(event(700, now - 24 * HOUR), event(701, now - 24 * HOUR - 1))
    add = Checkpoint.add

    def add_and_end(checkpoint: Checkpoint, part: str) -> None:
        add(checkpoint, part)
        if not part.startswith("backfill"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "add", add_and_end)
        return backfill(run, stripe)


def test_an_interrupted_one_goes_on_with_the_days_that_are_not_done(
    run: Run, stripe: FakeStripe, folder: Path, here: Path, broken_off: Result
) -> None:
    assert broken_off.exit_code == 2
    text = (here / CHECKPOINT).read_text()
    assert KEY not in text
    task, day, rest = text.split("\n")
    assert (task, rest) == (f"backfill of {folder}, test mode", "")
    # of a run that was ended while it wrote
    (here / CHECKPOINT).write_text(text + "2026-1")
    stripe.asked.clear()
    result = backfill(run, stripe)
    assert result.exit_code == 0
    assert f"1 day done before, by {CHECKPOINT}\n" in result.stderr
    midnight = int(datetime.fromisoformat(f"{day}T00:00Z").timestamp())
    listed = [asked for asked in stripe.asked if asked.startswith("/v1/events?")]
    assert not any(f"={midnight}" in asked for asked in listed)
    assert archived_ids(folder) == of(stripe)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (("--type", "invoice.paid"), {}),
        (("--archive", "."), {}),
        ((), {"STRIPE_API_KEY": "rk_live_reader"}),
    ],
)
def test_the_checkpoint_of_another_backfill_is_refused(
    run: Run,
    stripe: FakeStripe,
    folder: Path,
    here: Path,
    broken_off: Result,
    arguments: tuple[str, ...],
    variables: dict[str, str],
) -> None:
    assert "Interrupted" in broken_off.stderr
    kept, had = (here / CHECKPOINT).read_bytes(), archived_ids(folder)
    result = backfill(run, stripe, "--force", *arguments, **variables)
    assert result.exit_code == 2
    assert f"backfill of {folder}, test mode'\n  Fix: finish the backfill" in result.stderr
    assert ((here / CHECKPOINT).read_bytes(), archived_ids(folder)) == (kept, had)
    # a count disturbs nobody, and another file is another backfill
    assert backfill(run, stripe, "--type", "a", "--dry-run").exit_code == 0
    assert backfill(run, stripe, "--type", "a", "--checkpoint", "another.txt").exit_code == 0


@pytest.mark.parametrize("text", ["things to buy", "to do\nto buy\n"])
def test_a_file_of_somebody_else_is_left_alone(
    run: Run, stripe: FakeStripe, here: Path, text: str
) -> None:
    (here / CHECKPOINT).write_text(text)
    result = backfill(run, stripe)
    assert result.exit_code == 2
    assert "cannot be the checkpoint of this backfill: its first line is 't" in result.stderr
    assert (here / CHECKPOINT).read_text() == text


def test_where_the_checkpoint_cannot_be_kept_nothing_is_archived(
    run: Run, stripe: FakeStripe, folder: Path, here: Path
) -> None:
    """A container with a root that nobody can write to, for one."""
    result = backfill(run, stripe, "--checkpoint", str(here / "not there" / CHECKPOINT))
    assert result.exit_code == 2
    assert "No such file or directory\n  Fix: finish the backfill that it is of" in result.stderr
    assert list(folder.rglob("*.gz")) == []


def test_what_a_script_reads(run: Run, stripe: FakeStripe) -> None:
    for arguments, new in ((("--dry-run",), "to_archive"), ((), "archived")):
        told = json.loads(backfill(run, stripe, "--json", *arguments).stdout)
        assert told.keys() == {"days", new, "already_there"}
        assert told[new] == 400


def test_an_archive_of_another_account_gets_nothing(
    run: Run, stripe: FakeStripe, folder: Path, now: int
) -> None:
    LocalArchive(folder).put(delivered(event(5000, now - 9 * HOUR)))
    result = backfill(run, stripe)
    assert result.exit_code == 2
    assert "evt_005000 for one: STRIPE_API_KEY is of another account" in result.stderr
    assert archived_ids(folder) == ["evt_005000"]
    assert backfill(run, stripe, "--dry-run").exit_code == 0
    assert backfill(run, stripe, "--force").exit_code == 0
    assert len(archived_ids(folder)) == 401


@pytest.fixture
def stream() -> Iterator[FakeStream]:
    firehose_client.cache_clear()
    with FakeStream().serving() as stream:
        yield stream
    firehose_client.cache_clear()


def test_into_a_bucket_it_goes_through_the_stream(
    run: Run, stripe: FakeStripe, stream: FakeStream
) -> None:
    assert "Archived 400 events" in backfill(run, stripe, **stream.variables()).stdout
    assert stream.ids() == of(stripe)
    assert {record["source"] for record in stream.records} == {"events_api"}


def test_a_repair_of_a_bucket_says_when_it_shows(
    run: Run, stripe: FakeStripe, stream: FakeStream, now: int
) -> None:
    words = ("reconcile", "--last", "2", "--rate", "100", "--repair")
    told = run(*words, **stripe.variables(), **stream.variables())
    assert told.exit_code == 0
    assert "Firehose has confirmed what was put back; the bucket shows it when" in told.stderr
    young = sum(one["created"] > now - 900 for one in stripe.shelf.events)
    assert young > 0
    assert len(stream.records) == len(set(stream.ids())) == 400 - young


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(stripe: FakeStripe, folder: Path, here: Path) -> Start:
    """Begin a backfill as a process of its own."""

    def begin(*arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        environment = {"HOME": os.environ.get("HOME", "/"), "PYTHON_DOTENV_DISABLED": "1"}
        environment |= {"ARCHIVE_DIR": str(folder), "PYTHONPATH": str(PROJECT)}
        code = "from archive_tools.cli import archive; archive()"
        words = ("backfill", *two_days(stripe), *arguments)
        return subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=here,
            env=environment | stripe.variables() | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return begin


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_in_the_middle_it_loses_nothing_and_doubles_nothing_in_a_folder(
    run: Run, stripe: FakeStripe, start: Start, folder: Path, here: Path
) -> None:
    stripe.latency_s = 0.15
    process = start()
    until(lambda: archived_ids(folder))
    process.kill()
    process.communicate()
    stripe.latency_s = 0
    assert "were there already" in backfill(run, stripe).stdout
    assert archived_ids(folder) == of(stripe)


def test_killed_in_the_middle_it_doubles_the_days_at_work_at_most_in_a_stream(
    run: Run, stripe: FakeStripe, start: Start, stream: FakeStream, here: Path, now: int
) -> None:
    """While the stream has them in its buffer, and the bucket shows nothing of it."""
    before = [event(5000 + n, now - 24 * HOUR - n) for n in range(50)]
    stripe.shelf = Shelf([*made(1000, now), *before])
    # so that writing takes 6 s
    stream.latency_s = 0.05
    process = start(**stream.variables())
    until(lambda: len(stream.records) > 60)
    process.kill()
    process.communicate()
    stream.latency_s = 0
    had, done = stream.ids(), (here / CHECKPOINT).read_text().splitlines()[1:]
    assert 60 < len(had) < 1050
    assert backfill(run, stripe, **stream.variables()).exit_code == 0
    assert sorted(set(stream.ids())) == of(stripe)
    twice = {name for name, count in Counter(stream.ids()).items() if count > 1}
    days = {str(day_of(one["created"])) for one in stripe.shelf.events if one["id"] in twice}
    assert not days & set(done)


def test_ended_by_a_scheduler_it_leaves_nothing_half_done(
    run: Run, stripe: FakeStripe, start: Start, folder: Path, here: Path
) -> None:
    stripe.latency_s = 0.15
    process = start()
    until((here / CHECKPOINT).exists)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, b"Nothing is left half-done" in told) == (2, True)
    assert not [path for path in folder.rglob("*") if path.suffix == ".tmp"]
    stripe.latency_s = 0
    backfill(run, stripe)
    assert archived_ids(folder) == of(stripe)
