"""Charts as inline SVG that fits any width: no script, and letters that never shrink.

Knows series, axes and SVG. Positions across are in percent and heights in pixels, so a chart is as
wide as its page. Colours are classes, which the style sheet gives a meaning for light and dark.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from .scales import Scale, day_ticks

HEIGHT = 200
"""Pixels of the area of a chart, without the words below it."""

#: Pixels between the parts of a stack, which neighbours of like colours need.
_SEAM = 0.7

#: With no more days a bar of all its width would be a wall.
_FEW_DAYS = 3

#: Beyond so many days a dot would touch the next one.
_DOTTED_DAYS = 62


@dataclass(frozen=True)
class Series:
    """Values over the days of a chart. None where there is none."""

    name: str
    values: Sequence[float | None]
    mark: str
    """The class that has its colour."""
    has_dots: bool = True
    """Whether a line marks each of its days."""


@dataclass(frozen=True)
class Frame:
    """What a chart is drawn in."""

    name: str
    """What a screen reader says in place of the picture."""
    days: Sequence[date]
    hints: Sequence[str]
    """What is shown where the pointer rests on a day."""
    scale: Scale
    height: int = HEIGHT

    def y(self, value: float) -> float:
        """Return the distance of a value from the top, in pixels."""
        return self.height * (1 - self.scale.at(value))


def bars(frame: Frame, series: Sequence[Series]) -> Markup:
    """Return a chart with a stack for each day; what is negative hangs below zero."""
    width = 100 / len(frame.days)
    gap = _gap(len(frame.days))
    columns = []
    for n, hint in enumerate(frame.hints):
        place = f'x="{(n + gap) * width:.4g}%" width="{(1 - 2 * gap) * width:.4g}%"'
        columns.append(
            Markup("<g>{}{}<title>{}</title></g>").format(
                _strip(frame, n), _stack(frame, series, n, place), hint
            )
        )
    return _svg(frame, Markup("").join(columns))


def lines(frame: Frame, series: Sequence[Series]) -> Markup:
    """Return a chart with a line for each series, broken where a day has no value."""
    paths = [
        Markup('<path class="line {}" d="{}"/>').format(one.mark, path)
        for one in series
        if (path := _path(frame, one.values))
    ]
    stretched = Markup(
        '<svg width="100%" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(frame.height, len(frame.days), frame.height, Markup("").join(paths))
    return _svg(frame, stretched + _dots(frame, series) + _strips(frame))


def _stack(frame: Frame, series: Sequence[Series], n: int, place: str) -> Markup:
    above = below = 0.0
    drawn = []
    for one in series:
        value = one.values[n] or 0.0
        if not value:
            continue
        start = above if value > 0 else below
        top, bottom = sorted((frame.y(start), frame.y(start + value)))
        drawn.append(
            Markup('<rect class="{}" {} y="{}" height="{}"/>').format(
                one.mark,
                Markup(place),  # noqa: S704 # nosec B704 - numbers of our own
                f"{top:.4g}",
                f"{max(0.6, bottom - top - _SEAM):.4g}",
            )
        )
        if value > 0:
            above += value
        else:
            below += value
    return Markup("").join(drawn)


def _gap(days: int) -> float:
    """Return what is left free to each side of a bar, as a part of its day."""
    if days > _DOTTED_DAYS:
        return 0.0
    return 0.12 if days > _FEW_DAYS else 0.4


def _path(frame: Frame, values: Sequence[float | None]) -> str:
    """Return an SVG path in a box as wide as there are days; a day alone is left to its dot."""
    parts, pen = [], "M"
    for n, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        parts.append(f"{pen}{n + 0.5} {frame.y(value):.4g}")
        pen = "L"
    return "".join(parts) if any(part[0] == "L" for part in parts) else ""


def _dots(frame: Frame, series: Sequence[Series]) -> Markup:
    if len(frame.days) > _DOTTED_DAYS:
        return Markup("")
    return Markup("").join(
        Markup('<circle class="dot {}" cx="{}%" cy="{}" r="2.5"/>').format(
            one.mark, f"{(n + 0.5) * 100 / len(frame.days):.4g}", f"{frame.y(value):.4g}"
        )
        for one in series
        if one.has_dots
        for n, value in enumerate(one.values)
        if value is not None
    )


def _strips(frame: Frame) -> Markup:
    return Markup("").join(
        Markup("<g>{}<title>{}</title></g>").format(_strip(frame, n), hint)
        for n, hint in enumerate(frame.hints)
    )


def _strip(frame: Frame, n: int) -> Markup:
    """Return what the pointer meets anywhere above a day."""
    width = 100 / len(frame.days)
    return Markup('<rect class="hit" x="{}%" width="{}%" height="{}"/>').format(
        f"{n * width:.4g}", f"{width:.4g}", frame.height
    )


def _svg(frame: Frame, drawn: Markup) -> Markup:
    rules = [
        Markup(
            '<line class="{}" x2="100%" y1="{y}" y2="{y}"/>'
            '<text class="at" x="-8" y="{y}" dy="4">{}</text>'
        ).format("zero" if value == 0 else "rule", words, y=f"{frame.y(value):.4g}")
        for value, words in frame.scale.ticks
    ]
    return svg(frame.name, frame.days, frame.height, Markup("").join(rules) + drawn)


def svg(name: str, days: Sequence[date], height: int, drawn: Markup) -> Markup:
    """Return a picture with a name, what is drawn in it, and the days below."""
    below = [
        Markup('<text class="below{}" x="{}%" y="{}">{}</text>').format(
            # every second one has no room on a phone
            " wide" if number % 2 else "",
            f"{(n + 0.5) * 100 / len(days):.4g}",
            height + 18,
            words,
        )
        for number, (n, words) in enumerate(day_ticks(days))
    ]
    return Markup('<svg class="chart" role="img" aria-label="{}" height="{}">{}{}</svg>').format(
        name, height + 26, drawn, Markup("").join(below)
    )
