"""Axes: which value stands how high, and which values are written beside it.

Knows numbers and their words; knows nothing of SVG.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from ..output import bytes_text

#: Durations that people think in, in seconds.
_DURATIONS = (0.1, 1, 10, 60, 600, 3600, 21_600, 86_400, 259_200, 864_000, 8_640_000)

_STEPS = (1, 2, 2.5, 5, 10)


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


def linear(values: Iterable[float], words: Callable[[float], str]) -> Scale:
    """Return an axis through zero with about four ticks at round values."""
    values = [0.0, *values]
    top, bottom = max(values), min(values)
    step = _step((top - bottom) / 4 or 0.25)
    lowest, highest = math.floor(bottom / step + 1e-9), math.ceil(top / step - 1e-9)
    highest = max(highest, lowest + 1)
    ticks = tuple((n * step, words(n * step)) for n in range(lowest, highest + 1))
    return Scale(lowest * step, highest * step, ticks)


def whole(values: Iterable[float], words: Callable[[float], str] | None = None) -> Scale:
    """Return a linear axis of things that are counted: it has no half."""
    scale = linear([*values, 1], words or count_words)
    ticks = tuple((value, text) for value, text in scale.ticks if value == round(value))
    return Scale(scale.low, scale.high, ticks)


def durations(values: Iterable[float]) -> Scale:
    """Return an axis of seconds; logarithmic where the largest is far from the smallest."""
    known = [value for value in values if value > 0] or [1.0]
    if max(known) <= 20 * min(known):
        return linear(known, seconds_words)
    low = max((at for at in _DURATIONS if at <= min(known)), default=_DURATIONS[0])
    high = min((at for at in _DURATIONS if at > low and at >= max(known)), default=max(known))
    ticks = tuple((at, seconds_words(at)) for at in _DURATIONS if low <= at <= high)
    return Scale(low, high, ticks, is_log=True)


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * 0.999)


def day_ticks(days: Sequence[date]) -> list[tuple[int, str]]:
    """Return the days that are written below a chart, ten at most: position and words."""
    stride = next(
        n for n in (1, 2, 3, 5, 7, 14, 30, 61, 92, 183, 366, 10**6) if n * 10 >= len(days)
    )
    far = len(days) > 300
    return [
        (n, f"{days[n]:%b %Y}" if far else f"{days[n].day} {days[n]:%b}")
        for n in range(0, len(days), stride)
    ]


def count_words(value: float) -> str:
    """Return a number for an axis: `950`, `1.2k`, `3M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def bytes_words(value: float) -> str:
    """Return bytes for an axis: `0`, `2 MB`."""
    return bytes_text(value).replace(".0 ", " ") if value else "0"


def seconds_words(seconds: float | None) -> str:
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
