"""The sending of a plan: by several at once, at a rate, until the end or until it is of no use.

Keeps the count and the bookmark; what a delivery is, others know.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ..output import Progress, progress
from .bookmark import Bookmark
from .crew import Crew
from .delivery import Deliverer, Outcome
from .plan import Plan, Planned
from .tally import Tally

#: For the answers that are on their way when somebody wants an end.
_PATIENCE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How events are sent."""

    rate: float
    """Events a second, 0 for no limit."""
    concurrency: int
    retries: int
    timeout_s: float
    stop_after: int
    """Failures in a row, 0 for any number."""


class Sending:
    """One run over what a bookmark has left of a plan."""

    def __init__(self, plan: Plan, mark: Bookmark, manner: Manner) -> None:
        """Take the plan, the bookmark in it, and the manner."""
        self._plan = plan
        self._mark = mark
        self._manner = manner
        self.tally = Tally()
        self.stopped_by: str | None = None
        """Why it ended before its end."""

    def run(self, deliverers: Sequence[Deliverer], stopped: threading.Event) -> None:
        """Send everything, and leave a bookmark where something is left over.

        Args:
            deliverers: one for each delivery at a time.
            stopped: is set at the end; it is the deliverers' too.

        Raises:
            ToolError: the bookmark cannot be written.
            KeyboardInterrupt: somebody has ended it; the bookmark is written.
        """
        # before the first event: a replay that cannot be gone on with is not begun
        self._mark.save()
        left = len(self._plan) - self._mark.accepted
        with (
            Crew([deliverer.deliver for deliverer in deliverers], stopped) as crew,
            progress("Sending events", left) as bar,
        ):
            try:
                self._send(crew, bar)
            finally:
                self._wind_up(crew)
        if self._mark.accepted == len(self._plan):
            self._mark.remove()

    def _send(self, crew: Crew[Planned, Outcome], bar: Progress) -> None:
        for outcome in crew.results(self._mark.handed_out(self._plan), self._manner.rate):
            self._count(outcome)
            bar.update(1)
            self.stopped_by = self.tally.reason_to_stop(self._manner.stop_after)
            if self.stopped_by:
                return
            self._mark.save_now_and_then()

    def _wind_up(self, crew: Crew[Planned, Outcome]) -> None:
        try:
            for outcome in crew.stragglers(_PATIENCE_S):
                self._count(outcome)
        finally:
            # also where somebody presses Ctrl-C again
            self._mark.save()

    def _count(self, outcome: Outcome) -> None:
        if outcome.accepted:
            self._mark.accept(outcome.event.position)
        self.tally.add(outcome)
