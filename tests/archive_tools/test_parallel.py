import os
import signal
from collections.abc import Iterator

import pytest

from archive_tools import parallel
from archive_tools.errors import ToolError
from archive_tools.parallel import batches, over_cores
from archive_tools.storage import StoredObject


def doubled(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def failing(number: int) -> int:
    raise ValueError(f"{number} is wrong")


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    monkeypatch.setattr(parallel, "ALONE_S", 0)


@pytest.mark.usefixtures("two_cores")
def test_results_come_in_order_from_other_processes() -> None:
    results = list(over_cores(doubled, range(40)))
    assert [result for result, _ in results] == [2 * n for n in range(40)]
    processes = {process for _, process in results}
    assert os.getpid() not in processes
    assert len(processes) <= 2


def test_what_takes_a_moment_is_done_here() -> None:
    assert list(over_cores(doubled, [4, 5])) == [(8, os.getpid()), (10, os.getpid())]
    assert list(over_cores(doubled, [])) == []


@pytest.mark.usefixtures("two_cores")
def test_tasks_are_asked_for_as_they_are_needed() -> None:
    asked = 0

    def tasks() -> Iterator[int]:
        nonlocal asked
        for n in range(1000):
            asked += 1
            yield n

    results = over_cores(doubled, tasks())
    for _ in range(3):
        next(results)
    assert asked <= 3 + 2 * 2
    results.close()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("two_cores")
def test_a_process_that_the_system_has_killed_is_an_error_with_a_cure() -> None:
    with pytest.raises(ToolError, match=r"has been ended(.|\n)*not enough memory"):
        list(over_cores(killed, range(4)))


@pytest.mark.usefixtures("two_cores")
def test_what_a_process_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="0 is wrong"):
        list(over_cores(failing, range(40)))


def test_a_batch_has_few_objects_or_few_bytes() -> None:
    small = [StoredObject(str(n), 1) for n in range(1200)]
    assert [len(batch) for batch in batches(small)] == [500, 500, 200]
    large = [StoredObject(str(n), 3_000_000) for n in range(4)]
    assert [len(batch) for batch in batches(large)] == [2, 2]
    assert [stored for batch in batches(small) for stored in batch] == small
