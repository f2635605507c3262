"""The report of a comparison: one line where all is well, else lists and tables, or JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..output import cell, count_text, table
from .comparison import Comparison
from .index import Entry, Scope, Visibility
from .pages import Event

_MOST_ROWS = 30


@dataclass
class Report:
    """The result of a comparison with all of Stripe's events."""

    archive: str
    """Its name."""
    scope: Scope
    comparison: Comparison
    missing: Sequence[Event]
    """Those that are still missing."""
    repaired: Sequence[Event]
    repair_refused: str
    """Why `--repair` would write nothing; empty where it would write what is missing."""
    notes: list[str] = field(default_factory=list)
    endpoint_findings: Sequence[str] = ()
    """What somebody should change at the endpoint."""

    def __post_init__(self) -> None:
        """Look up what Stripe has not listed."""
        self.unknown, self.counts = self.comparison.not_listed()
        self._hidden = (
            self.counts[Visibility.OTHER_MODE] + self.counts[Visibility.CONNECTED_ACCOUNT]
        )
        one = self.comparison
        seen = one.archived or one.in_flight or one.not_subscribed or self.missing or self.repaired
        # that the key sees nothing of the archive is no proof that all is there
        self._nothing_compared = not seen and self._hidden > 0
        self.notes += _left_out(self.counts, "test" if self.scope.livemode else "live")

    @property
    def status(self) -> int:
        """The exit status: 1 where something is missing, unknown, unreadable or to be changed."""
        found = self.missing or self.unknown or self.comparison.index.faults.count
        return int(bool(found or self.endpoint_findings or self._nothing_compared))

    def text(self) -> str:
        """Return what people read."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        index = self.comparison.index
        if index.faults.count:
            faults = count_text(index.faults.count, "fault")
            yield f"{faults} in the archive; what cannot be read counts as missing:"
            yield from _first(index.faults.first, index.faults.count)
        if self.missing:
            tried = sum(event.pending_webhooks > 0 for event in self.missing)
            yield (
                f"Missing: {count_text(len(self.missing), 'event')}, of which Stripe still tries "
                f"to deliver {tried:,} and has given up {len(self.missing) - tried:,}"
            )
            yield from _by_hour(self.missing)
            yield from _first([event.id for event in self.missing], len(self.missing))
            yield from self._advice()
        if self.repaired:
            yield f"Put back {count_text(len(self.repaired), 'missing event')}:"
            yield from _by_hour(self.repaired)
        if self.unknown:
            yield f"Archived, and unknown to Stripe: {count_text(len(self.unknown), 'event')}"
            where = [f"{name}: {_where(entry)}" for name, entry in self.unknown.items()]
            yield from _first(where, len(where))
        yield from self.endpoint_findings
        yield self._last_line()

    def _advice(self) -> Iterator[str]:
        uncertain = self.comparison.uncertain_types
        if self.repair_refused:
            yield f"--repair would write nothing: {self.repair_refused}"
        elif any(event.type not in uncertain for event in self.missing):
            yield "Put them back:  flask archive reconcile --repair, with the same options"
        for name in sorted(uncertain):
            yield (
                f"It is not known whether an endpoint for * receives {cell(name)}: --repair "
                "writes it only with --type"
            )
        yield ""

    def _last_line(self) -> str:
        archived = self.comparison.archived + len(self.repaired)
        expected = archived + len(self.missing)
        days = self.scope.time_range.name
        if self._nothing_compared:
            events = count_text(self._hidden, "archived event")
            parts = [f"Nothing was compared: STRIPE_API_KEY sees none of the {events}"]
        elif not expected:
            parts = [f"Stripe has no events of {days} that should be in the archive by now"]
        elif self.missing:
            parts = [f"{archived:,} of {expected:,} events of {days} are in the archive"]
        elif expected == 1:
            parts = [f"The 1 event of {days} is in the archive"]
        else:
            parts = [f"All {expected:,} events of {days} are in the archive"]
        if self.comparison.in_flight:
            parts.append(f"{self.comparison.in_flight:,} in flight")
        if self.comparison.not_subscribed:
            parts.append(f"{self.comparison.not_subscribed:,} not subscribed")
        if duplicates := len(self.comparison.index.extra_copies):
            parts.append(count_text(duplicates, "duplicate"))
        return "; ".join(parts) + "."

    def as_json(self) -> dict[str, Any]:
        """Return what scripts read."""
        asked, index = self.scope.time_range, self.comparison.index
        return {
            "archive": self.archive,
            "livemode": self.scope.livemode,
            "days": asked.name,
            "first": asked.first,
            "last": asked.last,
            "at": asked.now,
            "archived": self.comparison.archived,
            "missing": [_event(event) for event in self.missing],
            "missing_still_tried": sum(event.pending_webhooks > 0 for event in self.missing),
            "uncertain_types": sorted(self.comparison.uncertain_types),
            "repair_refused": self.repair_refused or None,
            "repaired": [_event(event) for event in self.repaired],
            "in_flight": self.comparison.in_flight,
            "not_subscribed": self.comparison.not_subscribed,
            "unknown": [
                {"id": name, "where": _where(entry)} for name, entry in self.unknown.items()
            ],
            "other_mode": self.counts[Visibility.OTHER_MODE],
            "connect": self.counts[Visibility.CONNECTED_ACCOUNT],
            "not_listed": self.counts[Visibility.NOT_AN_EVENT],
            "duplicates": {
                "events": len(index.extra_copies),
                "extra_copies": index.extra_copies.total(),
            },
            "faults": [str(fault) for fault in index.faults.first],
            "fault_count": index.faults.count,
            "endpoint_findings": list(self.endpoint_findings),
            "notes": self.notes,
        }


def _left_out(counts: Counter[Visibility], other_mode: str) -> Iterator[str]:
    if count := counts[Visibility.OTHER_MODE]:
        events = count_text(count, f"{other_mode} mode event")
        yield f"{events} of the archive left out: this key does not see them"
    if count := counts[Visibility.CONNECTED_ACCOUNT]:
        events = count_text(count, "event")
        yield f"{events} of connected accounts left out: this key does not list them"
    if count := counts[Visibility.NOT_AN_EVENT]:
        records = count_text(count, "record")
        yield f"{records} left out: thin events, or no events, which Stripe does not list"


def _by_hour(events: Sequence[Event]) -> Iterator[str]:
    hours = Counter(
        (f"{datetime.fromtimestamp(event.created, UTC):%Y-%m-%d %Hh}", event.type)
        for event in events
    )
    rows = [(hour, name, count) for (hour, name), count in sorted(hours.items())]
    yield table(("hour, UTC", "type", "events"), rows[:_MOST_ROWS])
    yield from _more(len(rows))


def _first(values: Sequence[object], count: int) -> Iterator[str]:
    yield from (f"  {cell(value)}" for value in values[:_MOST_ROWS])
    yield from _more(count)


def _more(rows: int) -> Iterator[str]:
    if rows > _MOST_ROWS:
        yield f"  and {rows - _MOST_ROWS:,} more: --json lists more"
    yield ""


def _where(entry: Entry) -> str:
    return f"{entry.key} line {entry.line}"


def _event(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}
