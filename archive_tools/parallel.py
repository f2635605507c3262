"""Work over all cores, streamed: never more in memory than what is at work.

`scan` is how the tools that need no DuckDB go through an archive; `reading` has what they do with
each object.
"""

import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from typing import Any, TypeVar

from .days import Days
from .errors import ToolError
from .output import progress
from .storage import Storage, StoredObject

T = TypeVar("T")
R = TypeVar("R")

#: A task of these is a second's work at most, and many enough are there for a progress bar.
_BATCH_BYTES = 4_000_000
_BATCH_OBJECTS = 500

_INTERRUPTS = {signal.SIGINT, signal.SIGTERM}

#: Python and what the tools import take as long to start.
ALONE_S = 0.4


Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

_elsewhere: list[Spread] = []


@contextlib.contextmanager
def elsewhere(spread: Spread) -> Iterator[None]:
    """Have all work done by `spread` in place of this machine's cores: it is an `over_cores`.

    deploy/spark/archive.py gives it to a cluster.
    """
    _elsewhere.append(spread)
    try:
        yield
    finally:
        _elsewhere.pop()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def scan(
    label: str, storage: Storage, days: Days, work: Callable[[date, list[StoredObject]], R]
) -> Iterator[R]:
    """Yield what `work` makes of each day's objects, some of them at a time.

    In the order of days and keys, with a progress bar under that label. `work` and its results are
    pickled.

    Raises:
        ToolError: the archive cannot be listed, or a process was ended from outside.
    """
    found = [day for day in storage.days() if day in days]
    tasks = ((day, batch) for day in found for batch in batches(storage.objects(day)))
    with progress(label, len(found)) as bar:
        done = 0
        for day, result in over_cores(functools.partial(_of_day, work), tasks):
            bar.update(found.index(day) - done)
            done = found.index(day)
            yield result


def _of_day(
    work: Callable[[date, list[StoredObject]], R], task: tuple[date, list[StoredObject]]
) -> tuple[date, R]:
    return task[0], work(*task)


def batches(objects: Iterable[StoredObject]) -> Iterator[list[StoredObject]]:
    """Yield the objects in their order, in groups that are worth a task."""
    batch: list[StoredObject] = []
    size = 0
    for stored in objects:
        batch.append(stored)
        size += stored.size
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_OBJECTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def over_cores(work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """Yield the result of each task in order, from a process for each core.

    `work`, the tasks and the results are pickled; tasks are asked for as they are needed. Those of
    the first moment are done here: where there are no others, starting processes would take longer.

    Raises:
        ToolError: a process was ended from outside.
    """
    if _elsewhere:
        yield from _elsewhere[-1](work, tasks)
        return
    waiting = iter(tasks)
    processes = cores()
    began = time.monotonic()
    while processes == 1 or time.monotonic() - began < ALONE_S:
        for task in itertools.islice(waiting, 1):
            yield work(task)
            break
        else:
            return
    # fresh processes: a fork would copy this one's sockets and locks
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_leave_interrupts) as pool:
        running: deque[Future[R]] = deque()

        def submit(count: int) -> None:
            for task in itertools.islice(waiting, count):
                # a task starts a process, until there are as many as there may be
                with _undisturbed():
                    running.append(pool.submit(work, task))

        try:
            submit(2 * processes)
            while running:
                result = running.popleft().result()
                submit(1)
                yield result
        except BrokenProcessPool as error:
            raise ToolError(
                "A process that was at work has been ended, by the system or by somebody",
                "most often there was not enough memory: give it more, or fewer days at a time",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let an interruption wait: a process that is half started would end with a traceback."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)


def _leave_interrupts() -> None:
    """Let Ctrl-C end the parent alone, which then ends its children in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
