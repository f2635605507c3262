"""Which archived events are meant: by type, account, mode, id and time of arrival.

Judges the columns of one record; knows nothing of objects, of places and of what a payload holds.
"""

from dataclasses import dataclass
from datetime import datetime

from webhook_app.events.record import Record

from ..days import Days


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a record must be. What is left empty is not asked for."""

    types: tuple[str, ...] = ()
    """Each in full, or its beginning and a `*`."""
    account: str | None = None
    livemode: bool | None = None
    ids: frozenset[str] = frozenset()
    since: str = ""
    """The first time of arrival, written as `received_at` is."""
    until: str = "9999-12-31T23:59:59.999999Z"
    """The last time of arrival, included."""
    duplicates: bool = False
    """Whether an event that arrived again is meant each time, not only as it arrived first."""

    def __contains__(self, record: Record) -> bool:
        """Whether a record is meant, as far as it shows by itself."""
        return (
            self.since <= record.received_at <= self.until
            and (not self.ids or record.id in self.ids)
            and (not self.types or self._has_type(record.type))
            and self.account in (None, record.account)
            and self.livemode in (None, record.livemode)
        )

    def _has_type(self, name: str | None) -> bool:
        if name is None:
            return False
        return any(
            name.startswith(kind[:-1]) if kind.endswith("*") else name == kind
            for kind in self.types
        )


def arrivals(days: Days, since: datetime | None, until: datetime | None) -> tuple[str, str]:
    """Return the first and the last `received_at` within days and, where given, within times."""
    first = max(
        f"{days.first}T00:00:00.000000Z" if days.first else Selection.since,
        received_at(since) if since else Selection.since,
    )
    last = min(
        f"{days.last}T23:59:59.999999Z" if days.last else Selection.until,
        received_at(until) if until else Selection.until,
    )
    return first, last


def folders(days: Days, since: datetime | None, until: datetime | None) -> Days:
    """Return the days in whose folders such arrivals can lie: those to each side are among them."""
    firsts = [day for day in (days.first, since and since.date()) if day]
    lasts = [day for day in (days.last, until and until.date()) if day]
    return Days(max(firsts, default=None), min(lasts, default=None)).widened()


def received_at(moment: datetime) -> str:
    """Return a UTC time as records have it."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
