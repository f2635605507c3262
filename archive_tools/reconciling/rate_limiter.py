"""How often a service is asked: so many requests a second, fewer after a failure."""

import math
import random
import threading
import time
from collections.abc import Callable

_LONGEST_BACKOFF_S = 30.0


class RateLimiter:
    """Spreads the requests of all threads evenly, and stops them while the service is to rest."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Allow `rate` requests a second."""
        self._interval_s = 1 / rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = clock()
        self._announced_until = -math.inf

    def wait(self) -> None:
        """Return when the caller may send a request."""
        with self._lock:
            turn = max(self._next, self._clock())
            self._next = turn + self._interval_s
        if (seconds := turn - self._clock()) > 0:
            self._sleep(seconds)

    def hold(self, seconds: float) -> bool:
        """Stop all threads for so long; return whether that is worth a message.

        It is where they wait at least a second longer than the last message says.
        """
        with self._lock:
            until = self._clock() + seconds
            self._next = max(self._next, until)
            if until < self._announced_until + 1:
                return False
            self._announced_until = until
            return True


def backoff_s(attempt: int) -> float:
    """Return the seconds to wait after a failed attempt: doubled each time, spread at random."""
    longest = min(_LONGEST_BACKOFF_S, 0.5 * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311 # nosec B311 - spreads load
