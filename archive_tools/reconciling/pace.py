"""How fast somebody else is asked: so often, later where they say so, and later still each time.

Knows time, not what is asked.
"""

import random
import threading
import time
from collections.abc import Callable

_LONGEST_BACKOFF_S = 30.0


class Pace:
    """Spreads the requests of all threads: one every so often, and none while Stripe says so."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Allow `rate` requests a second."""
        self._interval = 1 / rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = clock()

    def wait(self) -> None:
        """Return when it is the caller's turn."""
        with self._lock:
            turn = max(self._next, self._clock())
            self._next = turn + self._interval
        if (seconds := turn - self._clock()) > 0:
            self._sleep(seconds)

    def hold(self, seconds: float) -> None:
        """Let nobody else have a turn for so long."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)


def backoff_s(tries: int) -> float:
    """Return the seconds to wait after so many tries: twice as long each time, spread at random."""
    longest = min(_LONGEST_BACKOFF_S, 0.5 * 2.0 ** (tries - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311 # nosec B311 - spreads load
