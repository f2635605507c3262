"""Threads that do jobs at a rate. Knows neither events nor HTTP.

What they do is told in the order in which it is done; a few jobs at a time are with them.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Generic, TypeVar

J = TypeVar("J")
R = TypeVar("R")

#: Jobs that lie ready for each worker, so that none of them has to wait for the next.
_READY = 1

#: A rate can be as small as a number can, and the system waits for no longer than some years.
_LONGEST_WAIT_S = 3600.0


class Crew(Generic[J, R]):
    """Some workers. They take no more jobs once the block has ended."""

    def __init__(self, workers: Sequence[Callable[[J], R]], stopped: threading.Event) -> None:
        """Take who does the work.

        Args:
            workers: what each of them does with a job, in a thread of its own.
            stopped: set when no other job is to be begun.
        """
        self._stopped = stopped
        self._jobs: queue.SimpleQueue[J | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[R | BaseException | None] = queue.SimpleQueue()
        self._with_them = 0
        self._most = len(workers) * (1 + _READY)
        # daemons: a job that hangs is not to keep the process from ending
        self._threads = [
            threading.Thread(target=self._work, args=[work], daemon=True) for work in workers
        ]

    def __enter__(self) -> "Crew[J, R]":
        """Start the workers."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let them go; what one of them is at is not waited for."""
        self._stopped.set()
        for _ in self._threads:
            self._jobs.put(None)

    def results(self, jobs: Iterable[J], rate: float) -> Iterator[R]:
        """Yield the result of each job.

        Args:
            jobs: are asked for as they are needed.
            rate: so many jobs are begun a second at most; 0 for no limit.
        """
        due = time.monotonic()
        for job in jobs:
            while (wait := due - time.monotonic()) > 0 or self._with_them >= self._most:
                full = self._with_them >= self._most
                yield from self._next(None if full else min(wait, _LONGEST_WAIT_S))
            # what was late is not caught up on: a rate is a promise to the other side
            due = max(due, time.monotonic()) + 1 / rate if rate else due
            self._with_them += 1
            self._jobs.put(job)
        while self._with_them:
            yield from self._next(None)

    def stragglers(self, patience_s: float) -> Iterator[R]:
        """Tell the workers to stop, and yield what they were at and bring to an end in time.

        What fails now is left out: the work has ended already, for a reason that is known.
        """
        self._stopped.set()
        until = time.monotonic() + patience_s
        while self._with_them and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(Exception):
                yield from self._next(left)

    def _next(self, timeout_s: float | None) -> Iterator[R]:
        try:
            result = self._results.get(timeout=timeout_s)
        except queue.Empty:
            return
        self._with_them -= 1
        if isinstance(result, BaseException):
            raise result
        if result is not None:
            yield result

    def _work(self, work: Callable[[J], R]) -> None:
        while (job := self._jobs.get()) is not None:
            result: R | BaseException | None = None
            try:
                if not self._stopped.is_set():
                    result = work(job)
            except BaseException as error:
                # raised again where the results are read
                result = error
            self._results.put(result)
