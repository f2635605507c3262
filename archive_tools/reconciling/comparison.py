"""What Stripe has against what the archive has, event by event as Stripe's are listed."""

from collections import Counter

from .index import Entry, Index, Visibility
from .pages import Event
from .subscription import Subscription
from .time_range import TimeRange


class Comparison:
    """The outcome. Counts are of events, each counted once."""

    def __init__(
        self, index: Index, expected: Subscription, time_range: TimeRange, in_flight_s: int
    ) -> None:
        """Take the archive, the types that it should have, and how long a delivery may take."""
        self.index = index
        self._expected = expected
        self._delivered_until = time_range.now - in_flight_s
        self._seen: set[str] = set()
        self._missing: dict[str, Event] = {}
        self.uncertain_types: set[str] = set()
        """Types of the missing of which it is not known whether the endpoint receives them."""
        self.in_flight = 0
        """At Stripe, and so young that the archive need not have them yet."""
        self.not_subscribed = 0
        """At Stripe, and of no type that the archive should have."""

    def is_missing(self, event: Event) -> bool:
        """Note an event of Stripe's, and return whether a repair has to write it."""
        includes = self._expected.includes(event.type)
        if event.id in self.index:
            self._seen.add(event.id)
        elif includes is False:
            self.not_subscribed += 1
        elif event.created > self._delivered_until:
            self.in_flight += 1
        elif event.id not in self._missing:
            self._missing[event.id] = event
            if includes is None:
                self.uncertain_types.add(event.type)
            return bool(includes)
        return False

    @property
    def missing(self) -> list[Event]:
        """Those that the archive lacks, oldest first."""
        return sorted(self._missing.values(), key=lambda event: event.created)

    @property
    def archived(self) -> int:
        """At Stripe, and in the archive."""
        return len(self._seen)

    def not_listed(self) -> tuple[dict[str, Entry], Counter[Visibility]]:
        """Return the archived events that Stripe should list and does not, and count the others."""
        rest = {
            event_id: entry
            for event_id, entry in self.index.entries.items()
            if event_id not in self._seen
        }
        counts = Counter(entry.visibility for entry in rest.values())
        counts[Visibility.NOT_AN_EVENT] += self.index.not_events
        unknown = {
            event_id: entry
            for event_id, entry in rest.items()
            if entry.visibility is Visibility.LISTED
        }
        return unknown, counts
