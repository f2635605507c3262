"""The figures of a report: what each is and its unit.

Holds numbers and names only; how they are found and how they look is known elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from ..reading import Fault


@dataclass(frozen=True)
class Delays:
    """Seconds from an event to its arrival. None where nothing arrived by webhook."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Arrivals:
    """What arrived in a day, or in all days together."""

    deliveries: int = 0
    """Records, each as often as it arrived."""
    events: int = 0
    """Event ids that arrived for the first time."""
    without_id: int = 0
    """Deliveries that have no event id."""
    copies: int = 0
    """Deliveries of an event that had arrived before."""
    repeated: int = 0
    """Events that those copies are of."""
    late: int = 0
    """Events whose first arrival was more than 60 s after they happened."""
    from_api: int = 0
    """Records that a tool took from the Events API, to fill a gap."""
    payload_bytes: int = 0
    """Of all deliveries, as Stripe sent them."""
    first: Delays = Delays()
    """Of each event's first arrival."""
    every: Delays = Delays()
    """Of all deliveries, those that came again included."""


@dataclass(frozen=True)
class Stored:
    """What lies in the folder of a day."""

    objects: int = 0
    bytes: int = 0
    """Compressed, as they are stored."""


@dataclass(frozen=True)
class Day:
    """A UTC day."""

    day: date
    arrivals: Arrivals
    stored: Stored
    hours: tuple[int, ...]
    """Deliveries by webhook in each of its 24 hours."""


@dataclass(frozen=True)
class Kind:
    """The deliveries of an event type."""

    name: str
    counts: tuple[int, ...]
    """For each day of the report."""

    @property
    def total(self) -> int:
        """The deliveries of all days."""
        return sum(self.counts)


@dataclass(frozen=True)
class Silence:
    """Hours in a row without a delivery, where some were to be expected."""

    start: datetime
    hours: int
    usual: float
    """Deliveries that the same hours of other days have on average, together."""


@dataclass(frozen=True)
class Unusual:
    """An event that arrived late or more than once."""

    id: str
    type: str | None
    arrivals: int
    first: datetime
    last: datetime
    delay: float | None
    """Seconds from the event to its first arrival by webhook."""


@dataclass(frozen=True)
class Currency:
    """The money that came in and went back in a currency, in its major unit."""

    code: str
    livemode: bool | None
    decimals: int
    movements: int
    """Charges and refunds."""
    gross: tuple[Decimal, ...]
    """For each day of the report, as is `refunded`."""
    refunded: tuple[Decimal, ...]

    @property
    def total(self) -> tuple[Decimal, Decimal, Decimal]:
        """Gross, refunded and net of all days."""
        gross, refunded = sum(self.gross, Decimal()), sum(self.refunded, Decimal())
        return gross, refunded, gross - refunded


@dataclass(frozen=True)
class Month:
    """A month of 30 days at some rate, and what AWS would charge for it."""

    deliveries: int
    usd: float


@dataclass(frozen=True)
class Outlook:
    """The present rate, and where it leads."""

    days: int
    """Complete days that it rests on."""
    now: Month
    lines: tuple[tuple[str, float, str], ...]
    """Of the bill now: name, USD, what for."""
    trend: tuple[float, float] | None = None
    """Deliveries a day on the first and the last of these days, on the straight line through them.
    None where there are too few days for a line."""
    clear: bool = False
    """Whether the line rises or falls by more than twice its standard error."""
    year: tuple[Month, Month, Month] | None = None
    """In a year at this trend: at least, probably, at most."""


@dataclass(frozen=True)
class Origin:
    """What was asked, and how."""

    archive: str
    first: date
    last: date
    today: date
    made: str
    engine: str
    version: str
    notes: tuple[str, ...] = ()
    """What was scanned."""


@dataclass(frozen=True)
class Figures:
    """All of a report."""

    origin: Origin
    total: Arrivals
    days: Sequence[Day]
    kinds: Sequence[Kind]
    """The largest, by their size; the last one can be all others."""
    kinds_in_all: int
    silences: Sequence[Silence]
    silence_known: bool
    """Whether there are enough days to tell a silence from a quiet hour."""
    repeated: Sequence[Unusual]
    late: Sequence[Unusual]
    currencies: Sequence[Currency]
    outlook: Outlook | None
    faults: Sequence[Fault] = field(default_factory=list)
    """What could not be read; the figures are those of everything else."""
