"""The parts of `stripe-archive replay` that are easier to see by themselves."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from archive_tools import reading
from archive_tools.days import Days
from archive_tools.errors import ToolError
from archive_tools.replaying import payloads
from archive_tools.replaying.crew import Crew
from archive_tools.replaying.delivery import Outcome, wait_s
from archive_tools.replaying.destination import destination
from archive_tools.replaying.payloads import Payloads
from archive_tools.replaying.plan import Plan, Planned
from archive_tools.replaying.planning import plan_of
from archive_tools.replaying.selection import Selection, arrivals, folders
from archive_tools.replaying.tally import Tally
from archive_tools.storage import FolderStorage
from tests.archive_tools.conftest import ARRIVED, DAY_KEY
from tests.archive_tools.replay.conftest import body_of, store_events

DAY = ARRIVED.date()
EVENT = Planned(0, "key", 1, "evt_1", "t")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("7", 7),
        ("3600", 60),
        ("9" * 5000, 60),
        ("-1", 0),
        ("soon", 0),
        ("٣", 0),
        ("Mon, 23 Nov 2020 09:00:00 GMT", 0),
        ("Mon, 23 Nov 99999999999 09:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read_and_bounded(header: str | None, seconds: float) -> None:
    assert wait_s(header) == seconds


def test_retry_after_can_be_a_date() -> None:
    header = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert 17 < wait_s(header) <= 20


def test_the_times_of_answers_are_right_to_two_percent() -> None:
    tally = Tally()
    for n in range(1, 1001):
        tally.add(Outcome(EVENT, 200, "", n / 1000))
    assert tally.milliseconds(0.5) == pytest.approx(500, rel=0.02)
    assert tally.milliseconds(0.99) == pytest.approx(990, rel=0.02)


def test_only_failures_without_a_success_between_them_are_in_a_row() -> None:
    tally = Tally()
    for status in (400, 400, 200, 400, 400):
        tally.add(Outcome(EVENT, status, "", 0.1))
    assert tally.reason_to_stop(3) is None
    tally.add(Outcome(EVENT, None, "no answer in time", 0.1))
    assert tally.reason_to_stop(3)
    assert tally.reason_to_stop(0) is None


def test_days_and_times_narrow_each_other() -> None:
    days = Days(DAY, DAY + timedelta(days=2))
    since = datetime(2026, 11, 24, 12, tzinfo=UTC)
    until = datetime(2026, 11, 30, tzinfo=UTC)
    first, last = arrivals(days, since, until)
    assert first == "2026-11-24T12:00:00.000000Z"
    assert last == "2026-11-25T23:59:59.999999Z"
    # and a day to each side, where Firehose may have put them
    assert folders(days, since, until) == Days(DAY, DAY + timedelta(days=3))
    assert folders(Days(), None, None) == Days()


def test_a_crew_tells_of_an_error_where_its_results_are_read() -> None:
    def work(job: int) -> int:
        if job == 3:
            raise ValueError("three")
        return job

    with (
        Crew([work], threading.Event()) as crew,
        pytest.raises(ValueError, match="three"),
    ):
        list(crew.results(range(1, 9), 0))


def test_a_crew_that_is_stopped_begins_no_other_job() -> None:
    stopped, going_on = threading.Event(), threading.Event()
    both_at_work = threading.Barrier(3, timeout=10)
    late: list[int] = []

    def work(job: int) -> int:
        if stopped.is_set():
            late.append(job)
        elif job > 1:
            both_at_work.wait()
            going_on.wait(10)
        return job

    with Crew([work, work], stopped) as crew:
        assert next(crew.results(range(1, 100), 0)) == 1
        # they are at 2 and 3, and 4 lies ready
        both_at_work.wait()
        stopped.set()
        going_on.set()
        assert sorted(crew.stragglers(5)) == [2, 3]
    assert late == []


def test_jobs_are_asked_for_as_they_are_needed() -> None:
    asked: list[int] = []

    def jobs() -> Iterator[int]:
        for job in range(1, 1000):
            asked.append(job)
            yield job

    with Crew([lambda job: job], threading.Event()) as crew:
        results = crew.results(jobs(), 0)
        next(results)
        assert len(asked) <= 4


def test_a_rate_is_kept_also_after_a_pause() -> None:
    """What was missed is not caught up on: the other side has to bear a rate, not an average."""
    asked: list[float] = []

    def jobs() -> Iterator[int]:
        for job in range(1, 9):
            if job == 3:
                time.sleep(0.3)
            asked.append(time.monotonic())
            yield job

    with Crew([lambda job: job], threading.Event()) as crew:
        list(crew.results(jobs(), 50))
    # each is asked for when the one before it is begun: 4 pauses of 20 ms, and some slack
    assert asked[-1] - asked[3] > 0.06


def test_a_rate_can_be_as_small_as_it_likes() -> None:
    with Crew([lambda job: job], threading.Event()) as crew:
        results = crew.results(range(9), 1e-300)
        assert next(results) == 0


def test_what_is_in_the_query_of_an_address_is_compared_and_not_told() -> None:
    to, other = (destination(f"https://there/hook?token={secret}") for secret in ("one", "two"))
    assert str(to) == str(other) == "https://there:443/hook"
    assert to.query_digest != other.query_digest
    assert "one" not in to.query_digest


def test_few_objects_are_kept_and_neighbours_are_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(folder, 30, objects=3)
    read: list[str] = []

    def lines(storage: FolderStorage, key: str) -> Iterator[tuple[int, bytes]]:
        read.append(key.rpartition("/")[2])
        return reading.lines(storage, key)

    monkeypatch.setattr("archive_tools.replaying.payloads.lines", lines)
    monkeypatch.setattr(payloads, "KEPT_BYTES", 10_000)
    found = Payloads(FolderStorage(folder, "it"))
    for n in (0, 1, 2, 0):
        for line in range(1, 11):
            body = found.body(f"{DAY_KEY}/{n:03}.json.gz", line)
            number = 10 * n + line - 1
            assert body == body_of(number, arrived=ARRIVED + timedelta(seconds=number))
    # two have room, so the first had to go
    assert read == ["000.json.gz", "001.json.gz", "002.json.gz", "000.json.gz"]


def test_an_object_is_read_by_one_of_many_threads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(folder, 16)
    read: list[str] = []

    def lines(storage: FolderStorage, key: str) -> Iterator[tuple[int, bytes]]:
        read.append(key)
        time.sleep(0.05)
        return reading.lines(storage, key)

    monkeypatch.setattr("archive_tools.replaying.payloads.lines", lines)
    found = Payloads(FolderStorage(folder, "it"))
    wanted = [Planned(n, f"{DAY_KEY}/000.json.gz", n + 1, None, None) for n in range(16)]
    work = [lambda event: found.body(event.key, event.line)] * 4
    with Crew(work, threading.Event()) as crew:
        assert len(list(crew.results(wanted, 0))) == 16
    assert len(read) == 1


def test_without_room_for_the_plan_the_cure_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_events(folder, 400)
    made = Plan.__init__

    def small(plan: Plan) -> None:
        made(plan)
        # 8 pages of 4 KB: SQLite's own words for a full disk
        plan._database.execute("PRAGMA max_page_count = 8")

    monkeypatch.setattr(Plan, "__init__", small)
    storage = FolderStorage(folder, "it")
    with (
        pytest.raises(ToolError, match=r"full\n  Cure: make room"),
        plan_of(storage, Days(), Selection(), "oldest"),
    ):
        pass
