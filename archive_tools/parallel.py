"""Work over all cores, streamed: never more in memory than what is at work."""

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

from .places import StoredObject

T = TypeVar("T")
R = TypeVar("R")

#: A task of these is a second's work at most, and many enough are there for a progress bar.
_BATCH_BYTES = 4_000_000
_BATCH_OBJECTS = 500


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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

    `work`, the tasks and the results are pickled; tasks are asked for as they are needed. A single
    task is done here.
    """
    waiting = iter(tasks)
    first = list(itertools.islice(waiting, 2))
    processes = cores()
    if len(first) < 2 or processes == 1:
        yield from map(work, itertools.chain(first, waiting))
        return
    ahead = itertools.chain(first, itertools.islice(waiting, 2 * processes - 2))
    # fresh processes: a fork would copy this one's sockets and locks
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_leave_interrupts) as pool:
        running: deque[Future[R]] = deque(pool.submit(work, task) for task in ahead)
        try:
            while running:
                result = running.popleft().result()
                # a task can be anything, None included
                running.extend(pool.submit(work, task) for task in itertools.islice(waiting, 1))
                yield result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts() -> None:
    """Let Ctrl-C end the parent alone, which then ends its children in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
