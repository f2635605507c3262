"""What Stripe has against what the archive has.

Knows ids, times and types; neither how they were come by nor how the outcome is told.
"""

import math
from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from .arrivals import Arrival, Arrivals
from .event_pages import Event
from .span import FORGETTING_S, KEPT_S, Span
from .subscription import Subscription


class Scope(NamedTuple):
    """What is compared."""

    span: Span
    in_flight_s: int
    """How young an event may be that is on its way."""
    livemode: bool
    """Of which mode the key sees the events."""
    subscription: Subscription
    types: frozenset[str] | None = None
    """Which types Stripe was asked for; None for all."""


class Delays(NamedTuple):
    """Seconds from an event to its first arrival, where that was a webhook."""

    p50: float
    p95: float
    p99: float
    max: float


class Unknown(NamedTuple):
    """An event of the archive that Stripe does not list."""

    id: str
    type: str
    created: int
    """Unix seconds."""


@dataclass
class Comparison:
    """The outcome. Counts are of events, each counted once."""

    archived: int = 0
    """At Stripe, and in the archive."""
    in_flight: int = 0
    """At Stripe, and so young that the archive need not have them yet."""
    on_the_way: int = 0
    """At Stripe, and put into the stream by these tools a short while ago."""
    not_subscribed: int = 0
    """At Stripe, and of no type that is to be in the archive."""
    missing: list[Event] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    duplicates: int = 0
    """Events that the archive has more than once."""
    extra_copies: int = 0
    delays: Delays | None = None
    """None where nothing has arrived as a webhook."""
    other_mode: int = 0
    """In the archive, and not to be compared: of the mode that the key does not see."""
    connect: int = 0
    """In the archive, and not to be compared: of connected accounts."""
    not_listed: int = 0
    """In the archive, and not to be compared: thin, or no events of Stripe's by their fields."""


class Comparer:
    """Compares Stripe's events one by one as they are listed, in whatever order."""

    def __init__(self, scope: Scope, arrivals: Arrivals, on_the_way: frozenset[str]) -> None:
        """Take what to compare with: the archive, and what is on its way there."""
        self._scope = scope
        self._arrivals = arrivals
        self._on_the_way = on_the_way
        self._listed = bytearray(len(arrivals))
        self._missing: dict[str, Event] = {}
        self._outcome = Comparison()

    def is_missing(self, event: Event) -> bool:
        """Note an event of Stripe's, and return whether the archive lacks it."""
        position = self._arrivals.position(event.id)
        if position is not None:
            self._outcome.archived += not self._listed[position]
            self._listed[position] = 1
        elif event.type not in self._scope.subscription:
            self._outcome.not_subscribed += 1
        elif event.created > self._scope.span.now - self._scope.in_flight_s:
            self._outcome.in_flight += 1
        elif event.id in self._on_the_way:
            self._outcome.on_the_way += 1
        elif event.id not in self._missing:
            self._missing[event.id] = event
            return True
        return False

    def outcome(self) -> Comparison:
        """Return the outcome, once all of Stripe's events have been noted."""
        outcome = self._outcome
        outcome.not_listed = self._arrivals.nameless
        outcome.missing = sorted(self._missing.values(), key=lambda event: event.created)
        delays = array("d")
        for arrival, listed in zip(self._arrivals, self._listed, strict=True):
            outcome.duplicates += arrival.copies > 1
            outcome.extra_copies += arrival.copies - 1
            if arrival.webhook:
                delays.append(arrival.received / 1_000_000 - arrival.created)
            if not listed:
                self._not_listed(arrival)
        outcome.delays = _delays(delays)
        return outcome

    def _not_listed(self, arrival: Arrival) -> None:
        scope, outcome = self._scope, self._outcome
        # a thin event is not in the Events API; what has no mode is not an event of Stripe's
        if not arrival.snapshot or arrival.livemode is None:
            outcome.not_listed += 1
        elif arrival.connect:
            outcome.connect += 1
        elif arrival.livemode is not scope.livemode:
            outcome.other_mode += 1
        elif not self._forgotten(arrival.created) and self._asked_for(arrival.type):
            outcome.unknown.append(Unknown(arrival.id, arrival.type, arrival.created))

    def _asked_for(self, event_type: str) -> bool:
        return self._scope.types is None or event_type in self._scope.types

    def _forgotten(self, created: int) -> bool:
        return created < self._scope.span.now - KEPT_S + FORGETTING_S


def _delays(seconds: "array[float]") -> Delays | None:
    if not seconds:
        return None
    ordered = sorted(seconds)

    def at(share: float) -> float:
        # the nearest rank: a delay that there was
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Delays(at(0.5), at(0.95), at(0.99), ordered[-1])
