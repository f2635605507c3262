"""Calls that have no time-out of their own, or none for the whole of them."""

import threading
import time
from collections.abc import Callable
from typing import Any

#: Threads of a process that may go on beyond their deadline.
MAX_ABANDONED = 32
_ABANDONED = "abandoned"


class BusyError(TimeoutError):
    """`MAX_ABANDONED` calls go on beyond their deadline, so this one was not made."""


class _Call(threading.Thread):
    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(name="deadline", daemon=True)
        self._function = function
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error


def remaining(deadline: float, at_most: float) -> float:
    """Return the seconds until a time of `time.monotonic()`, `at_most` that many.

    Raises:
        TimeoutError: there are none.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no answer in time")
    return min(seconds, at_most)


def call_until(deadline: float, function: Callable[[], Any]) -> Any:
    """Return what a function returns; it goes on in a thread if that takes too long.

    Raises:
        BusyError: too many other calls go on.
        TimeoutError: it had not ended at the deadline.
        Exception: what the function raises.
    """
    timeout_s = remaining(deadline, threading.TIMEOUT_MAX)
    if sum(thread.name == _ABANDONED for thread in threading.enumerate()) >= MAX_ABANDONED:
        raise BusyError(f"{MAX_ABANDONED} calls before this one have not ended yet")
    call = _Call(function)
    call.start()
    call.join(timeout_s)
    if call.is_alive():
        call.name = _ABANDONED
        raise TimeoutError("no answer in time")
    if call.error:
        raise call.error
    return call.result
