"""The sections of a report on what arrived, and how fast: types and delays.

Knows figures, charts and blocks; every section is made of figures alone.
"""

from collections.abc import Sequence

from markupsafe import Markup

from .blocks import day_words, figure, numbers, paragraph, section, table, words
from .charts import Frame, Series, bars, lines
from .figures import Day, Delays, Figures
from .scales import durations, seconds_words, whole


def kinds(figures: Figures) -> Markup:
    """Return the section of the deliveries a day by type."""
    series = [
        Series(kind.name, kind.counts, f"c{number}") for number, kind in enumerate(figures.kinds, 1)
    ]
    days = [day.day for day in figures.days]
    frame = Frame(
        f"Deliveries a day by type, {figures.total.deliveries:,} in all",
        days,
        [_kinds_hint(figures, n) for n in range(len(days))],
        whole(day.arrivals.deliveries for day in figures.days),
    )
    rows = [
        (day_words(day), *(kind.counts[n] for kind in figures.kinds), found.arrivals.deliveries)
        for n, (day, found) in enumerate(zip(days, figures.days, strict=True))
    ]
    return section(
        "deliveries",
        "Deliveries by type",
        figure(
            f"Deliveries a day. Event types in these days: {figures.kinds_in_all:,}.",
            bars(frame, series),
            [(one.mark, one.name, f"{sum(map(int, one.values)):,}") for one in series],  # type: ignore[arg-type]
            numbers(
                table(
                    "Deliveries a day by type",
                    ["Day (UTC)", *(words(kind.name) for kind in figures.kinds), "All"],
                    rows,
                )
            ),
        ),
    )


def delays(figures: Figures) -> Markup:
    """Return the section of how long events took to arrive."""
    first = [day.arrivals.first for day in figures.days]
    every = [day.arrivals.every for day in figures.days]
    rows = [
        (
            day_words(day.day),
            *(seconds_words(at) for found in (one, other) for at in _percentiles(found)),
        )
        for day, one, other in zip(figures.days, first, every, strict=True)
    ]
    names = [f"{which} {p}" for which in ("first", "all") for p in ("p50", "p95", "p99")]
    total = figures.total
    return section(
        "delays",
        "Delay",
        paragraph(
            "How long after an event it was here. Stripe gives the time of an event in whole "
            "seconds, so up to one second of this is rounding. Half of the events are faster than "
            "p50, 99 of 100 faster than p99."
        ),
        Markup('<div class="pair">{}{}</div>').format(
            _delay_chart("Each event's first arrival", figures.days, first, total.first),
            _delay_chart("All deliveries, repetitions included", figures.days, every, total.every),
        ),
        numbers(table("Delay by day of arrival", ["Day (UTC)", *names], rows)),
    )


def _delay_chart(
    caption: str, days: Sequence[Day], found: Sequence[Delays], total: Delays
) -> Markup:
    marks = (("c1", "p50"), ("c3", "p95"), ("c6", "p99"))
    values = [_percentiles(one) for one in found]
    scale = durations(at for one in values for at in one if at is not None)
    if scale.is_log:
        caption += " (logarithmic)"
    frame = Frame(
        f"{caption}: p50 {seconds_words(total.p50)}, p95 {seconds_words(total.p95)}, "
        f"p99 {seconds_words(total.p99)}",
        [day.day for day in days],
        [
            f"{day_words(day.day)}\n"
            + "\n".join(f"{n} {seconds_words(at)}" for (_, n), at in zip(marks, one, strict=True))
            for day, one in zip(days, values, strict=True)
        ],
        scale,
    )
    series = [
        Series(name, [one[n] for one in values], mark) for n, (mark, name) in enumerate(marks)
    ]
    keys = [
        (mark, name, seconds_words(at))
        for (mark, name), at in zip(marks, _percentiles(total), strict=True)
    ]
    return figure(caption, lines(frame, series), keys)


def _percentiles(found: Delays) -> tuple[float | None, float | None, float | None]:
    return found.p50, found.p95, found.p99


def _kinds_hint(figures: Figures, n: int) -> str:
    parts = [f"{words(kind.name)}: {kind.counts[n]:,}" for kind in figures.kinds if kind.counts[n]]
    return "\n".join([day_words(figures.days[n].day), *parts])
