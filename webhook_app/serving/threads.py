"""The threads of a worker that call the application, with `WEB_THREADS` above 1."""

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_Job = TypeVar("_Job")


class ThreadPool(Generic[_Job]):
    """Threads that do jobs one after the other, and tell the worker's loop when they are free."""

    def __init__(self, size: int, do: Callable[[_Job], bool], wake: Callable[[], None]) -> None:
        """Start the threads.

        Args:
            size: how many.
            do: does a job; True where the loop has to finish it.
            wake: wakes the loop, to finish jobs, and because a thread or all threads are free.
        """
        self._size = size
        self._do = do
        self._wake = wake
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._unfinished: deque[_Job] = deque()
        self.busy = 0
        """Jobs that wait or are being done."""
        for _ in range(size):
            threading.Thread(target=self._run, daemon=True).start()

    @property
    def full(self) -> bool:
        """Whether no thread is free."""
        return self.busy >= self._size

    def submit(self, job: _Job) -> None:
        """Let a thread do a job."""
        with self._lock:
            self.busy += 1
        self._jobs.put(job)

    def unfinished(self) -> list[_Job]:
        """Return the jobs that the loop has to finish; each is returned once."""
        return [self._unfinished.popleft() for _ in range(len(self._unfinished))]

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            unfinished = self._do(job)
            if unfinished:
                self._unfinished.append(job)
            with self._lock:
                was_full = self.full
                self.busy -= 1
            if unfinished or was_full or self.busy == 0:
                self._wake()
            # not kept in memory until the next one comes
            del job
