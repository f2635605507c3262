"""The figures of a report: what each is and its unit.

Holds numbers and names only; `--json` prints them as they are here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ..reading import Fault

#: A row of a model, by its columns' names.
Row = Mapping[str, Any]


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
class EventType:
    """The deliveries of an event type."""

    name: str
    counts: tuple[int, ...]
    """For each day of the report."""


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
class Deliveries:
    """What arrived in a range of days."""

    total: Arrivals
    days: Sequence[Day]
    types: Sequence[EventType]
    """The most frequent first; the last one can be all others."""
    type_count: int
    silences: Sequence[Silence]
    """The largest first."""
    silence_known: bool
    """Whether there are enough days to tell a silence from a quiet hour."""
    repeated: Sequence[Unusual]
    late: Sequence[Unusual]
    currencies: Sequence[Currency]
    """Live mode before test mode, the most used first."""


@dataclass(frozen=True)
class Money:
    """The metrics by month, of one mode."""

    livemode: bool
    account: str | None
    """Whose figures are drawn. None is the archive's own account."""
    currency: str | None
    """Which of its currencies is drawn, as Stripe writes it: `eur`. None where nothing is there."""
    months: Sequence[date]
    """First days, oldest first."""
    is_open: bool
    """Whether the last month is not over yet."""
    decimals: Mapping[str, int]
    """By currency."""
    rows: Mapping[str, Sequence[Row]]
    """Of each model, all accounts and currencies; `docs/ANALYTICS.md` has the columns."""

    def drawn(self, model: str) -> list[Row]:
        """Return what is drawn of a model: a row for each month, empty where there is none."""
        of_month = {
            row["month"]: row
            for row in self.rows[model]
            if row["account"] == self.account
            and row.get("currency", self.currency) == self.currency
        }
        return [of_month.get(month, {}) for month in self.months]


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
    notes: Sequence[str] = ()
    """What was scanned."""


@dataclass(frozen=True)
class Figures:
    """All of a report. A part that was not asked for is None."""

    origin: Origin
    deliveries: Deliveries | None
    money: Money | None
    is_unbuilt: bool = False
    """Whether the money is missing because Athena has no views of the models."""
    faults: Sequence[Fault] = field(default_factory=list)
    """What could not be read; the figures are those of everything else."""
