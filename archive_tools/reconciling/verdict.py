"""How the outcome of a comparison is told: a line where all is well, tables or JSON otherwise.

Knows words and exit statuses, not how the outcome was come by.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..output import count_text, table
from ..reading import Fault
from .comparison import Comparison, Scope
from .event_pages import Event

_MOST_ROWS = 30


@dataclass
class Verdict:
    """All there is to tell."""

    archive: str
    """Its name."""
    scope: Scope
    compared: Comparison
    where: dict[str, str]
    """Object and line of the events that Stripe does not know."""
    faults: Sequence[Fault]
    notes: list[str] = field(default_factory=list)
    repaired: Sequence[Event] = ()
    """Those of the missing that were put back."""

    @property
    def name(self) -> str:
        """The days, in words."""
        return self.scope.span.name

    @property
    def left(self) -> list[Event]:
        """The missing that were not put back."""
        back = {event.id for event in self.repaired}
        return [event for event in self.compared.missing if event.id not in back]

    @property
    def status(self) -> int:
        """0 where nobody has to look at anything, else 1."""
        found = self.left or self.compared.unknown or self.faults
        return int(bool(found or self._nothing_compared))

    @property
    def _nothing_compared(self) -> bool:
        """Whether the key sees nothing of the archive, which is no reason to be calm."""
        one = self.compared
        seen = one.archived or one.missing or one.in_flight or one.on_the_way or one.not_subscribed
        return not seen and bool(one.other_mode or one.connect)

    def lines(self) -> Iterator[str]:
        """Yield what people read."""
        compared = self.compared
        if self.faults:
            count = count_text(len(self.faults), "place")
            yield f"{count} of the archive cannot be read, and what is there counts as missing:"
            yield from _some([str(fault) for fault in self.faults])
            yield ""
        if self.left:
            yield from _missing(self.left, sum(event.pending_webhooks > 0 for event in self.left))
        if self.repaired:
            yield f"Put back {count_text(len(self.repaired), 'missing event')}:"
            yield _by_hour(self.repaired)
            yield ""
        if compared.unknown:
            yield f"Archived, and unknown to Stripe: {count_text(len(compared.unknown), 'event')}"
            rows = [
                (one.id, one.type, _time(one.created), self.where.get(one.id))
                for one in compared.unknown[:_MOST_ROWS]
            ]
            yield table(("id", "type", "created", "where"), rows)
            yield from _more(len(compared.unknown))
            yield ""
        yield self._last_line()

    def _last_line(self) -> str:
        archived = self.compared.archived + len(self.repaired)
        expected = archived + len(self.left)
        if self._nothing_compared:
            hidden = self.compared.other_mode + self.compared.connect
            events = count_text(hidden, "archived event")
            parts = [f"Nothing was compared: STRIPE_API_KEY sees none of the {events}"]
        elif not expected:
            parts = [f"Stripe has no events of {self.name} that should be in the archive by now"]
        elif self.left:
            parts = [f"{archived:,} of {expected:,} events of {self.name} are in the archive"]
        elif expected == 1:
            parts = [f"The 1 event of {self.name} is in the archive"]
        else:
            parts = [f"All {expected:,} events of {self.name} are in the archive"]
        return "; ".join([*parts, *self._beside()]) + "."

    def _beside(self) -> Iterator[str]:
        compared = self.compared
        if compared.in_flight:
            yield f"{compared.in_flight:,} in flight"
        if compared.on_the_way:
            yield f"{compared.on_the_way:,} put back earlier and in Firehose's buffer"
        if compared.not_subscribed:
            yield f"{compared.not_subscribed:,} not subscribed"
        if compared.duplicates:
            yield count_text(compared.duplicates, "duplicate")
        if compared.delays:
            yield f"delay p50 {compared.delays.p50:,.1f} s, p99 {compared.delays.p99:,.1f} s"

    def as_json(self) -> dict[str, Any]:
        """Return what scripts read."""
        compared = self.compared
        return {
            "archive": self.archive,
            "livemode": self.scope.livemode,
            "days": self.name,
            "first": self.scope.span.first,
            "last": self.scope.span.last,
            "at": self.scope.span.now,
            "archived": compared.archived,
            "missing": [_event(event) for event in self.left],
            "missing_still_tried": sum(event.pending_webhooks > 0 for event in self.left),
            "repaired": [_event(event) for event in self.repaired],
            "in_flight": compared.in_flight,
            "on_the_way": compared.on_the_way,
            "not_subscribed": compared.not_subscribed,
            "unknown": [
                {
                    "id": one.id,
                    "type": one.type,
                    "created": one.created,
                    "where": self.where.get(one.id),
                }
                for one in compared.unknown
            ],
            "other_mode": compared.other_mode,
            "connect": compared.connect,
            "not_listed": compared.not_listed,
            "duplicates": {"events": compared.duplicates, "extra_copies": compared.extra_copies},
            "delay_s": compared.delays._asdict() if compared.delays else None,
            "faults": [str(fault) for fault in self.faults],
            "notes": self.notes,
        }


def _missing(left: Sequence[Event], tried: int) -> Iterator[str]:
    yield (
        f"Missing: {count_text(len(left), 'event')}, of which Stripe still tries to deliver "
        f"{tried:,} and has given up {len(left) - tried:,}"
    )
    yield _by_hour(left)
    yield ""
    yield from _some([event.id for event in left])
    yield ""
    yield "Put them back:  flask archive reconcile --repair, with the same options"
    yield ""


def _by_hour(events: Sequence[Event]) -> str:
    counts = Counter((_time(event.created)[:13] + "h", event.type) for event in events)
    rows = [(hour, name, count) for (hour, name), count in sorted(counts.items())]
    told = table(("hour, UTC", "type", "events"), rows[:_MOST_ROWS])
    return "\n".join([told, *_more(len(rows))])


def _some(names: Sequence[str]) -> Iterator[str]:
    yield from (f"  {name}" for name in names[:_MOST_ROWS])
    yield from _more(len(names))


def _more(rows: int) -> Iterator[str]:
    if rows > _MOST_ROWS:
        yield f"  and {rows - _MOST_ROWS:,} more: --json has all"


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "created": event.created,
        "pending_webhooks": event.pending_webhooks,
    }


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
