"""What came of a replay, counted: of bounded size, however many events there are."""

import math
import time
from collections import Counter
from typing import Any

from ..output import count_text
from .delivery import Outcome

#: Failures that are listed one by one.
MOST_LISTED = 20

#: Whoever has so many looks at the endpoint before going on; they are what a bookmark holds.
MOST_FAILURES = 10_000

#: Answers are counted in classes of time, each 2 % wide.
_WIDTH = math.log(1.02)


class Tally:
    """The outcomes so far."""

    def __init__(self) -> None:
        """Begin, and look at the clock."""
        self.accepted = 0
        self.refused = 0
        self.failed = 0
        self.in_a_row = 0
        """Failures since something was accepted."""
        self.failures: list[Outcome] = []
        self._results: Counter[tuple[str, int | None, str]] = Counter()
        self._times: Counter[int] = Counter()
        self._began = time.monotonic()

    @property
    def sent(self) -> int:
        """Events with an outcome."""
        return self.accepted + self.refused + self.failed

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        kind = "accepted" if outcome.accepted else "failed" if outcome.passing else "refused"
        setattr(self, kind, getattr(self, kind) + 1)
        self._results[kind, outcome.status, outcome.cause] += 1
        self.in_a_row = 0 if outcome.accepted else self.in_a_row + 1
        if not outcome.accepted and len(self.failures) < MOST_LISTED:
            self.failures.append(outcome)
        if outcome.status is not None:
            self._times[math.ceil(math.log(max(outcome.seconds, 1e-6)) / _WIDTH)] += 1

    def reason_to_stop(self, in_a_row: int) -> str | None:
        """Return why to go on is of no use, if so.

        Args:
            in_a_row: so many failures in a row are enough; 0 for any number.
        """
        if in_a_row and self.in_a_row >= in_a_row:
            return f"{count_text(in_a_row, 'event')} in a row were not accepted (--stop-after)"
        if self.refused + self.failed >= MOST_FAILURES:
            return f"{count_text(MOST_FAILURES, 'event')} were not accepted"
        return None

    def milliseconds(self, share: float) -> float | None:
        """Return the time within which that share of the answers came, to 2 %."""
        rank, total = 0, sum(self._times.values())
        for exponent in sorted(self._times):
            rank += self._times[exponent]
            if rank >= share * total:
                return round(math.exp(exponent * _WIDTH) * 1000, 2)
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return it for a script."""
        seconds = time.monotonic() - self._began
        return {
            "sent": self.sent,
            "accepted": self.accepted,
            "refused": self.refused,
            "failed": self.failed,
            "results": [
                {"outcome": kind, "status": status, "cause": cause or None, "events": count}
                for (kind, status, cause), count in self._results.most_common()
            ],
            "failures": [
                {
                    "id": outcome.event.id,
                    "type": outcome.event.type,
                    "key": outcome.event.key,
                    "line": outcome.event.line,
                    "status": outcome.status,
                    "cause": outcome.cause or None,
                }
                for outcome in self.failures
            ],
            "seconds": round(seconds, 3),
            "events_per_second": round(self.sent / seconds, 1) if self.sent else 0.0,
            "p50_ms": self.milliseconds(0.5),
            "p99_ms": self.milliseconds(0.99),
        }
