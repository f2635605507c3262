"""The hours of many days as a map: a column a day, an hour a row.

Knows counts by the hour and SVG; which hours are suspicious it is told.
"""

import itertools
from collections.abc import Iterator, Sequence, Set
from datetime import datetime, time, timedelta

from markupsafe import Markup

from .charts import svg
from .figures import Day

_ROW = 9
"""Pixels of an hour."""
_LEVELS = 4

#: Beyond so many days a cell is too narrow to point at, and its words would be most of the file.
_NAMED_DAYS = 92


def heatmap(name: str, days: Sequence[Day], silent: Set[datetime]) -> Markup:
    """Return the map. `silent` are the hours, by their start, to be shown as a silence."""
    most = max((n for day in days for n in day.hours), default=0)
    starts, is_named = _starts(most), len(days) <= _NAMED_DAYS
    cells = []
    for n, day in enumerate(days):
        for hour, length, mark in _runs(day, silent, starts):
            title = _title(day, hour, length) if is_named else Markup("")
            cells.append(
                Markup('<rect class="{}" x="{}" y="{}" width="1" height="{}">{}</rect>').format(
                    mark, n, hour, length, title
                )
            )
    drawn = Markup(
        '<svg class="{}" width="100%" height="{}" viewBox="0 0 {} 24" preserveAspectRatio="none">'
        "{}</svg>"
    ).format("apart" if is_named else "", 24 * _ROW, len(days), Markup("").join(cells))
    hours = [
        Markup('<text class="at" x="-8" y="{}" dy="4">{}</text>').format(
            hour * _ROW, f"{hour:02}:00"
        )
        for hour in range(0, 25, 6)
    ]
    return svg(name, [day.day for day in days], 24 * _ROW, drawn + Markup("").join(hours))


def steps(days: Sequence[Day]) -> list[tuple[str, str]]:
    """Return the class and the words of each colour that the map uses, the emptiest first."""
    most = max((n for day in days for n in day.hours), default=0)
    starts = _starts(most)
    found = [("h0", "0")]
    for low, end in zip(starts, [*starts[1:], most + 1], strict=True):
        words = f"{low:,}" if low == end - 1 else f"{low:,} to {end - 1:,}"
        found.append((f"h{_level(low, starts)}", words))
    return found


def _runs(day: Day, silent: Set[datetime], starts: list[int]) -> Iterator[tuple[int, int, str]]:
    """Yield hours in a row that look alike: the first one, how many, their class."""
    start = datetime.combine(day.day, time())
    marks = [
        "gap" if start + timedelta(hours=hour) in silent else f"h{_level(count, starts)}"
        for hour, count in enumerate(day.hours)
    ]
    hour = 0
    for mark, alike in itertools.groupby(marks):
        length = len(list(alike))
        yield hour, length, mark
        hour += length


def _title(day: Day, hour: int, length: int) -> Markup:
    return Markup("<title>{} {}, {:02}:00 to {:02}:00 UTC: {:,}</title>").format(
        day.day.day, f"{day.day:%b}", hour, hour + length, sum(day.hours[hour : hour + length])
    )


def _starts(most: int) -> list[int]:
    """Return the counts at which a colour begins; in squares, which keeps the small ones apart."""
    if not most:
        return []
    return sorted({1 + most * n * n // _LEVELS**2 for n in range(_LEVELS)})


def _level(count: int, starts: list[int]) -> int:
    """Return 0 for nothing, and the strongest colour for the most, however little that is."""
    if not count:
        return 0
    return _LEVELS - len(starts) + sum(start <= count for start in starts)
