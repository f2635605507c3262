"""Which hours were silent for so long that it can hardly be chance.

Knows counts by the hour, not where they come from. It is the thought of the library's query
silent_hours.sql, for ranges in which the usual changes: with growth, and at weekends.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from .figures import Silence

#: Where arrivals are independent, nothing in hours that usually have 5 is below 1 % chance.
EXPECTED_AT_LEAST = 5.0

#: To each side; further away another season or another size of the business is compared.
_COMPARED_DAYS = 14

_HOUR = timedelta(hours=1)
_SATURDAY = 5


def silences(counts: Mapping[datetime, int], begin: datetime, end: datetime) -> list[Silence]:
    """Return the silences from `begin` to `end`, which is not included, the largest first.

    Args:
        counts: deliveries by the full hour at which it starts; an hour left out has none.
        begin: the first full hour to look at.
        end: the full hour at which to stop.
    """
    found: list[Silence] = []
    start, expected = None, 0.0
    hour = begin
    while hour <= end:
        if hour < end and not counts.get(hour, 0):
            start = start or hour
            expected += _usual(counts, hour, begin, end)
        else:
            if start and expected >= EXPECTED_AT_LEAST:
                found.append(Silence(start, (hour - start) // _HOUR, round(expected, 1)))
            start, expected = None, 0.0
        hour += _HOUR
    return sorted(found, key=lambda silence: (-silence.usual, silence.start))


def _usual(counts: Mapping[datetime, int], hour: datetime, begin: datetime, end: datetime) -> float:
    """Return the mean of the same hour on days like this one, this one left out."""
    around = (hour + timedelta(days=n) for n in range(-_COMPARED_DAYS, _COMPARED_DAYS + 1) if n)
    alike = [
        counts.get(moment, 0)
        for moment in around
        if begin <= moment < end and (moment.weekday() < _SATURDAY) == (hour.weekday() < _SATURDAY)
    ]
    return sum(alike) / len(alike) if alike else 0.0
