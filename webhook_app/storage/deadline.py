"""Calls that have no time-out of their own, or none for the whole of them."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

#: Threads of a process that may go on beyond their deadline.
MAX_ABANDONED = 32
_ABANDONED = "abandoned"


class BusyError(TimeoutError):
    """`MAX_ABANDONED` calls go on beyond their deadline, so this one was not made."""


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
    future: Future[Any] = Future()
    thread = threading.Thread(target=_run, args=(function, future), name="deadline", daemon=True)
    thread.start()
    try:
        return future.result(timeout_s)
    except TimeoutError:
        if future.done():
            raise
        thread.name = _ABANDONED
        raise TimeoutError("no answer in time") from None


def _run(function: Callable[[], Any], future: "Future[Any]") -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
