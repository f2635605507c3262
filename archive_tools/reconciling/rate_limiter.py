"""How often a service is asked: so many requests a second, fewer after a failure."""

import random
import threading
import time
from collections.abc import Callable

_LONGEST_BACKOFF_S = 30.0
_ANNOUNCED_S = 1.0


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
        self._next = self._announced_until = clock()

    def wait(self) -> None:
        """Return when the caller may send a request."""
        with self._lock:
            turn = max(self._next, self._clock())
            self._next = turn + self._interval_s
        if (seconds := turn - self._clock()) > 0:
            self._sleep(seconds)

    def hold(self, seconds: float) -> bool:
        """Stop all threads for so long; return whether that is worth a message.

        It is from a second on, unless a message on a long wait is out already.
        """
        with self._lock:
            now = self._clock()
            self._next = max(self._next, now + seconds)
            if seconds < _ANNOUNCED_S or now < self._announced_until:
                return False
            self._announced_until = now + seconds
            return True


def backoff_s(attempt: int) -> float:
    """Return the seconds to wait after a failed attempt: doubled each time, spread at random."""
    longest = min(_LONGEST_BACKOFF_S, 0.5 * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311 # nosec B311 - spreads load
