"""The counters alone: what processes and threads count at once adds up, and is never lost."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from webhook_app.monitoring import counters as module
from webhook_app.monitoring.counters import BUCKETS_S, MAX_TYPES, OTHER, REASONS, Counters

ARCHIVED = {
    "outcome": "archived",
    "event_type": "invoice.paid",
    "bytes": 100,
    "archive_ms": 30.0,
    "total_ms": 31.0,
}
FAILED = {"outcome": "failed", "archive_ms": 9000.0, "total_ms": 9001.0}
REFUSED = {"outcome": "refused", "reason": "too old", "total_ms": 0.1}


@pytest.fixture
def counters() -> Counters:
    return Counters()


def count(counters: Counters, facts: dict[str, object], times: int = 1) -> None:
    for _ in range(times):
        counters.begin_delivery()
        counters.end_delivery(facts)


def forked(work: Callable[[], None]) -> int:
    """Do something in a process of its own; its id."""
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    return pid


def test_it_begins_at_zero_with_every_reason(counters: Counters) -> None:
    totals = counters.totals()
    assert totals.refused == dict.fromkeys(map(str, REASONS), 0)
    assert (totals.archived, totals.failed, totals.archived_bytes) == ({}, 0, 0)
    assert totals.delivery.buckets == [0] * (len(BUCKETS_S) + 1)
    assert (totals.workers, totals.busy) == (1, 0)


def test_each_delivery_is_counted_as_what_it_was(counters: Counters) -> None:
    count(counters, ARCHIVED, 3)
    count(counters, ARCHIVED | {"event_type": None})
    count(counters, FAILED)
    count(counters, REFUSED, 2)
    count(counters, REFUSED | {"reason": "a reason that nobody has foreseen"})
    counters.count_retries(2)
    totals = counters.totals()
    assert totals.archived == {"invoice.paid": 3, "null": 1}
    assert totals.failed == 1
    assert {reason: n for reason, n in totals.refused.items() if n} == {"too old": 2, OTHER: 1}
    assert (totals.archived_bytes, totals.retries, totals.busy) == (400, 2, 0)
    # 30 ms is over 25 and not over 50, 9 s is not over 10
    assert totals.archive.buckets == [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 0]
    assert totals.archive.sum_s == pytest.approx(4 * 0.03 + 9)
    assert totals.delivery.buckets == [3, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 0]


def test_a_duration_at_the_end_of_a_bucket_is_within_it(counters: Counters) -> None:
    count(counters, FAILED | {"archive_ms": 2000.0})
    count(counters, FAILED | {"archive_ms": 2000.01})
    count(counters, FAILED | {"archive_ms": 10_000.01})
    assert counters.totals().archive.buckets == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1]


def test_types_beyond_the_bound_are_counted_together(counters: Counters) -> None:
    for number in range(MAX_TYPES + 50):
        count(counters, ARCHIVED | {"event_type": f"type.{number}"})
    count(counters, ARCHIVED | {"event_type": "type.0"})
    archived = counters.totals().archived
    assert len(archived) == MAX_TYPES + 1
    assert archived[OTHER] == 50
    assert archived["type.0"] == 2
    assert sum(archived.values()) == MAX_TYPES + 51


@pytest.mark.parametrize("name", ["x" * 89, "é" * 45, "a\x00b", "a\nb", "\u202eevil"])
def test_a_type_that_is_none_has_no_name(counters: Counters, name: str) -> None:
    count(counters, ARCHIVED | {"event_type": name})
    assert counters.totals().archived == {OTHER: 1}


@pytest.mark.parametrize(
    "name", ["x" * 88, "é" * 44, "v2.core.account[configuration.recipient].updated"]
)
def test_a_long_type_keeps_its_name(counters: Counters, name: str) -> None:
    count(counters, ARCHIVED | {"event_type": name})
    assert counters.totals().archived == {name: 1}


def test_threads_of_a_process_lose_no_count(counters: Counters) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=count, args=(counters, facts, 2000))
            for facts in (ARCHIVED, FAILED, REFUSED) * 3
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    totals = counters.totals()
    assert (totals.archived, totals.failed) == ({"invoice.paid": 6000}, 6000)
    assert (totals.refused["too old"], totals.busy) == (6000, 0)
    assert sum(totals.delivery.buckets) == 18_000


def test_threads_that_meet_a_type_at_once_give_it_one_number() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    names = [f"type.{number}" for number in range(MAX_TYPES)]

    def count_all(counters: Counters) -> None:
        for name in names:
            count(counters, ARCHIVED | {"event_type": name})

    try:
        for _ in range(20):
            counters = Counters()
            threads = [threading.Thread(target=count_all, args=(counters,)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert counters.totals().archived == dict.fromkeys(sorted(names), 8)
    finally:
        sys.setswitchinterval(interval)


def test_processes_are_added_up_in_any_of_them(counters: Counters) -> None:
    def work() -> None:
        count(counters, ARCHIVED, 1000)
        count(counters, ARCHIVED | {"event_type": f"of.{os.getpid()}"})

    pids = []
    for worker in range(1, 9):
        counters.open_row(worker)
        pids.append(forked(work))
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    totals = counters.totals()
    assert totals.archived == {"invoice.paid": 8000} | {f"of.{pid}": 1 for pid in pids}
    assert totals.archived_bytes == 8008 * 100
    assert totals.workers == 8


@pytest.fixture
def killed(counters: Counters) -> int:
    """The number of a worker that was killed while it had two deliveries at work."""

    def work() -> None:
        count(counters, ARCHIVED, 5)
        counters.begin_delivery()
        counters.begin_delivery()
        time.sleep(60)

    counters.open_row(7)
    pid = forked(work)
    deadline = time.monotonic() + 20
    while counters.totals().busy < 2:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 7


def test_what_a_killed_worker_was_at_has_failed_and_what_it_had_counted_stays(
    counters: Counters, killed: int
) -> None:
    counters.open_row(8)
    counters.close_row(killed)
    totals = counters.totals()
    assert (totals.archived, totals.failed) == ({"invoice.paid": 5}, 2)
    assert (totals.workers, totals.busy) == (1, 0)


def test_the_next_worker_counts_on_in_an_ended_ones_row(counters: Counters, killed: int) -> None:
    for worker in range(killed, killed + 3000):
        counters.close_row(worker)
        counters.open_row(worker + 1)
        count(counters, ARCHIVED | {"event_type": f"type.{worker % 5}"})
        count(counters, ARCHIVED)
    archived = counters.totals().archived
    assert archived == {"invoice.paid": 3005} | {f"type.{n}": 600 for n in range(5)}
    # and their rows are there for others
    for worker in range(10_000, 10_500):
        counters.open_row(worker)
    assert counters.totals().workers == 501


def test_workers_beyond_the_last_row_share_one(
    counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 3)
    few = Counters()
    for worker in range(1, 6):
        few.open_row(worker)
        count(few, ARCHIVED)
    assert few.totals().archived == {"invoice.paid": 5}
    few.close_row(5)
    assert few.totals().workers == 2


def test_two_services_in_a_process_count_apart(counters: Counters) -> None:
    count(counters, ARCHIVED)
    assert Counters().totals().archived == {}
