"""Charts over days or months: axes, and where each bar, line and cell of the heat map is.

templates/charts.html draws them as SVG. Positions across are in percent and heights in pixels, so
a chart is as wide as its page. Colours are classes, which the style sheet gives a meaning for
light and dark.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from ..output import bytes_text, count_text

#: Durations that people think in, in seconds.
_DURATIONS = (0.1, 1, 10, 60, 600, 3600, 21_600, 86_400, 259_200, 864_000, 8_640_000)
_STEPS = (1, 2, 2.5, 5, 10)
_STRIDES = (1, 2, 3, 5, 7, 14, 30, 61, 92, 183, 366, 10**6)

#: Pixels between the parts of a stack, which neighbours of like colours need.
_SEAM = 0.7

#: With no more days a bar of all its width would be a wall.
_FEW_DAYS = 3

#: Beyond so many days a dot would touch the next one.
_DOTTED_DAYS = 62

#: Beyond so many days a cell of the heat map is too narrow to point at.
_NAMED_DAYS = 92

#: So many labels at most are below a chart.
_LABELLED_DAYS = 10
_LABELLED_MONTHS = 13

#: Beyond so many days their labels are months.
_LONG_DAYS = 300

_LEVELS = 4


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    is_log: bool = False

    def at(self, value: float) -> float:
        """Return how high a value stands, from 0 to 1; what is beyond the ends stands at them."""
        value = min(max(value, self.low), self.high)
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Series:
    """Values over the days of a chart. None where there is none."""

    name: str
    mark: str
    """The class that has its colour."""
    values: Sequence[Any]
    """Each an int, float, Decimal or None."""
    text: Callable[[Any], str]
    """Returns a value for people."""
    total: str
    """Of all days, for people."""


def summed(name: str, mark: str, values: Sequence[Any], text: Callable[[Any], str]) -> Series:
    """Return a series whose total is the sum; what hangs below zero is shown without its sign."""
    return Series(name, mark, values, lambda value: text(abs(value)), text(abs(sum(values))))


@dataclass(frozen=True)
class DayAxis:
    """The days below a chart, or the months by their first days."""

    days: Sequence[date]
    caption: str
    by_month: bool = field(default=False, kw_only=True)
    is_open: bool = field(default=False, kw_only=True)
    """Whether the last one is not over yet."""

    @property
    def labels(self) -> Iterator[tuple[float, str, bool]]:
        """Position and text of ten days at most, and whether a phone has room for it."""
        most = _LABELLED_MONTHS if self.by_month else _LABELLED_DAYS
        stride = next(n for n in _STRIDES if n * most >= len(self.days))
        for n in range(0, len(self.days), stride):
            yield self.x(n + 0.5), self._label(n, stride), n % (2 * stride) == 0

    def _label(self, n: int, stride: int) -> str:
        day = self.days[n]
        if self.by_month:
            is_first_of_year = n < stride or day.year != self.days[n - stride].year
            return f"{day:%b ’%y}" if is_first_of_year else f"{day:%b}"
        return f"{day:%b %Y}" if len(self.days) > _LONG_DAYS else f"{day.day} {day:%b}"

    def text(self, n: int) -> str:
        """Return one of them for people."""
        text = f"{self.days[n]:%B %Y}" if self.by_month else day_text(self.days[n])
        return f"{text}, so far" if self.is_open and n == len(self.days) - 1 else text

    def x(self, n: float) -> float:
        """Return where so many days end, in percent of the chart's width."""
        return 100 * n / len(self.days)


@dataclass(frozen=True)
class Bar:
    """A bar: its class, where it begins and how wide it is in percent, top and height in pixels."""

    mark: str
    x: float
    width: float
    top: float
    height: float


@dataclass(frozen=True)
class Chart(DayAxis):
    """Bars or lines over days."""

    series: Sequence[Series]
    scale: Scale
    height: int = 140
    is_line: bool = False

    @property
    def label(self) -> str:
        """What a screen reader says in place of the picture."""
        totals = ", ".join(f"{one.name} {one.total}" for one in self.series)
        return f"{self.caption}: {totals}"

    def y(self, value: float | Decimal) -> float:
        """Return the distance of a value from the top, in pixels."""
        return self.height * (1 - self.scale.at(float(value)))

    @property
    def has_dots(self) -> bool:
        """Whether each value of a line has a dot."""
        return len(self.days) <= _DOTTED_DAYS

    @property
    def gap(self) -> float:
        """What is left free to each side of a bar, as a part of its day."""
        if len(self.days) > _DOTTED_DAYS:
            return 0.0
        return 0.12 if len(self.days) > _FEW_DAYS else 0.4

    def bars(self, n: int) -> Iterator[Bar]:
        """Yield the bars of a day, one on the other; what is negative hangs below zero."""
        ends = {True: 0.0, False: 0.0}
        for one in self.series:
            if value := float(one.values[n] or 0):
                start = ends[value > 0]
                ends[value > 0] = end = start + value
                yield self._bar(one, n + self.gap, 1 - 2 * self.gap, start, end)

    def _bar(self, one: Series, left: float, width: float, start: float, end: float) -> Bar:
        top, bottom = sorted((self.y(start), self.y(end)))
        return Bar(one.mark, self.x(left), self.x(width), top, max(0.6, bottom - top - _SEAM))

    def path(self, one: Series) -> str:
        """Return a line in a box as wide as there are days, broken where a day has no value."""
        parts, pen = [], "M"
        for n, value in enumerate(one.values):
            parts += [] if value is None else [f"{pen}{n + 0.5} {self.y(value):.4g}"]
            pen = "M" if value is None else "L"
        return "".join(parts)

    def hint(self, n: int) -> str:
        """Return what is shown where the pointer rests on a day."""
        known = ((one, one.values[n]) for one in self.series if one.values[n])
        lines = (f"{one.name}: {one.text(value)}" for one, value in known)
        return "\n".join([self.text(n), *lines])


@dataclass(frozen=True)
class Waterfall(Chart):
    """Movements that lead from a balance to the next: up, down, and then the balance from zero.

    The last series is the balance at the end, the others are the movements.
    """

    def bars(self, n: int) -> Iterator[Bar]:
        """Yield the bars of a day or month: additions, losses beside them, and the balance."""
        *movements, balance = self.series
        values = [(one, float(one.values[n] or 0)) for one in movements]
        end = float(balance.values[n] or 0)
        level = end - sum(value for _, value in values)
        for one, value in sorted(values, key=lambda pair: pair[1] < 0):
            if value:
                yield self._bar(one, n + (0.04 if value > 0 else 0.28), 0.22, level, level + value)
                level += value
        if end:
            yield self._bar(balance, n + 0.52, 0.44, 0, end)


@dataclass(frozen=True)
class HeatMap(DayAxis):
    """The hours of many days: a column a day, an hour a row."""

    hours: Sequence[Sequence[int]]
    silent: Set[datetime]
    """Hours, by their start, that are shown as a silence."""

    @property
    def is_named(self) -> bool:
        """Whether a cell has room for the pointer, and says what it is."""
        return len(self.days) <= _NAMED_DAYS

    @property
    def label(self) -> str:
        """What a screen reader says in place of the picture."""
        return f"{self.caption}, {count_text(len(self.silent), 'silent hour')}"

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Class and text of each colour, the emptiest first."""
        found = [("h0", "0")]
        for low, end in itertools.pairwise([*self._starts, self._most + 1]):
            text = f"{low:,}" if low == end - 1 else f"{low:,} to {end - 1:,}"
            found.append((self._mark(low), text))
        return [*found, ("gap", "silent")]

    def cells(self, n: int) -> Iterator[tuple[str, int, int, int]]:
        """Yield hours of a day that look alike: class, first one, how many, deliveries."""
        start, counts = datetime.combine(self.days[n], time()), self.hours[n]
        marks = [
            "gap" if start + timedelta(hours=hour) in self.silent else self._mark(count)
            for hour, count in enumerate(counts)
        ]
        for mark, alike in itertools.groupby(range(24), marks.__getitem__):
            hours = list(alike)
            yield mark, hours[0], len(hours), sum(counts[hour] for hour in hours)

    @cached_property
    def _most(self) -> int:
        return max((count for counts in self.hours for count in counts), default=0)

    @cached_property
    def _starts(self) -> list[int]:
        """The counts at which a colour begins; in squares, which keeps the small ones apart."""
        levels = range(_LEVELS) if self._most else ()
        return sorted({1 + self._most * n * n // _LEVELS**2 for n in levels})

    def _mark(self, count: int) -> str:
        """Return the class of a count: h0 for nothing, the strongest for the most."""
        if not count:
            return "h0"
        return f"h{_LEVELS - len(self._starts) + sum(start <= count for start in self._starts)}"


def charted(
    days: Sequence[date],
    caption: str,
    series: Sequence[Series],
    scale: Callable[[Iterable[float]], Scale],
    kind: type[Chart] = Chart,
    **options: Any,
) -> Chart:
    """Return a chart whose axis has room for each value, and of bars for each stack."""
    columns = [[float(one.values[n] or 0) for one in series] for n in range(len(days))]
    if options.get("is_line"):
        values = [float(value) for one in series for value in one.values if value is not None]
    else:
        values = [sum(v for v in column if v > 0) for column in columns]
        values += [sum(v for v in column if v < 0) for column in columns]
    return kind(days, caption, series, scale(values), **options)


def number_text(value: float) -> str:
    """Return a number for an axis: `950`, `1.2k`, `3M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def linear(
    values: Iterable[float],
    text: Callable[[float], str] = number_text,
    least: float = 0,
    through: float = 0,
) -> Scale:
    """Return an axis with about four ticks at round values, `least` apart, that has `through`."""
    values = [float(through), *values]
    top, bottom = max(values), min(values)
    step = max(least, _step((top - bottom) / 4 or 0.25))
    # what hangs a little below a tick does not get a whole step
    lowest, highest = math.floor(2 * bottom / step + 1e-9) / 2, math.ceil(top / step - 1e-9)
    highest = max(highest, math.ceil(lowest) + 1)
    ticks = tuple((n * step, text(n * step)) for n in range(math.ceil(lowest), highest + 1))
    return Scale(lowest * step, highest * step, ticks)


def whole(values: Iterable[float]) -> Scale:
    """Return a linear axis of things that are counted: it has no half."""
    scale = linear(values, least=1)
    ticks = tuple(tick for tick in scale.ticks if tick[0] == round(tick[0]))
    return Scale(scale.low, scale.high, ticks)


def durations(values: Iterable[float]) -> Scale:
    """Return an axis of seconds; logarithmic where the largest is far from the smallest."""
    known = [value for value in values if value > 0] or [1.0]
    if max(known) <= 20 * min(known):
        return linear(known, seconds_text)
    low = max((at for at in _DURATIONS if at <= min(known)), default=_DURATIONS[0])
    high = min((at for at in _DURATIONS if at > low and at >= max(known)), default=max(known))
    ticks = tuple((at, seconds_text(at)) for at in _DURATIONS if low <= at <= high)
    return Scale(low, high, ticks, is_log=True)


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * 0.999)


def day_text(day: date) -> str:
    """Return a day for people: `Wed 11 Nov 2026`."""
    return f"{day:%a} {day.day} {day:%b %Y}"


def axis_bytes_text(value: float) -> str:
    """Return bytes for an axis: `0`, `2 MB`."""
    return bytes_text(value).replace(".0 ", " ") if value else "0"


def seconds_text(seconds: float | None) -> str:
    """Return a duration for people, in one unit: `3.4 s`, `5 min`, `9 h`, `2 days`."""
    if seconds is None:
        return "–"  # noqa: RUF001 - a dash, as in a table
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds else "0"
    for size, unit, limit in ((1, "s", 60), (60, "min", 3600), (3600, "h", 86_400)):
        if seconds < limit:
            return f"{_short(seconds / size)} {unit}"
    days = _short(seconds / 86_400)
    return f"{days} day" if days == "1" else f"{days} days"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < 10 else f"{number:.0f}"
