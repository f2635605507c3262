"""The section of a report on growth and on what AWS charges.

Knows figures, charts and blocks; the model of the costs is that of deploy/costs.py.
"""

from markupsafe import Markup

from deploy.costs import Prices

from ..output import count_text
from .blocks import day_words, figure, paragraph, section, table
from .charts import Frame, Series, lines
from .figures import Figures, Outlook
from .outlook import TREND_DAYS
from .scales import whole


def growth(figures: Figures) -> Markup:
    """Return the section of growth and costs."""
    outlook = figures.outlook
    if not outlook:
        return section(
            "growth", "Growth and costs", paragraph("There is no complete day to reckon with yet.")
        )
    return section(
        "growth",
        "Growth and costs",
        *_trend(figures, outlook),
        table(
            f"What AWS charges for a month of {outlook.now.deliveries:,} deliveries, without a "
            "host for the service",
            ["Part", "What for", "USD"],
            [
                *((name, what_for, f"{usd:,.2f}") for name, usd, what_for in outlook.lines),
                ("Together", "", f"{outlook.now.usd:,.2f}"),
            ],
            left=2,
        ),
        paragraph(
            f"By list prices of us-east-1 as of {Prices().as_of}, with a stack as it is deployed, "
            "100 queries of a day and 10 of everything a month. It is a model, not your bill: "
            "docs/COSTS.md says what it rests on."
        ),
    )


def _trend(figures: Figures, outlook: Outlook) -> list[Markup]:
    now = f"{outlook.now.deliveries:,} deliveries and {outlook.now.usd:,.2f} USD a month"
    if not (outlook.trend and outlook.year):
        return [
            paragraph(
                f"At the present rate, {now}. That rests on "
                f"{count_text(outlook.days, 'complete day')}; a trend takes {TREND_DAYS}."
            )
        ]
    return [
        paragraph(f"At the present rate, {now}. {_year(outlook)}"),
        _trend_chart(figures, outlook),
    ]


def _year(outlook: Outlook) -> str:
    low, probable, high = outlook.year or (outlook.now,) * 3
    line = f"the straight line through {count_text(outlook.days, 'complete day')}"
    span = (
        f"{low.deliveries:,} to {high.deliveries:,} deliveries and "
        f"{min(low.usd, high.usd):,.2f} to {max(low.usd, high.usd):,.2f} USD a month"
    )
    if not outlook.clear:
        return (
            "The days differ too much among each other for a clear trend: in a year it may be "
            f"anything from {span}, two standard errors to each side of {line}."
        )
    direction = "growth" if probable.deliveries > outlook.now.deliveries else "decline"
    return (
        f"At the present {direction}, in a year {probable.deliveries:,} deliveries and "
        f"{probable.usd:,.2f} USD a month: probably {span}, two standard errors to each side of "
        f"{line}. What nobody has planned yet is not in it."
    )


def _trend_chart(figures: Figures, outlook: Outlook) -> Markup:
    first, last = outlook.trend or (0.0, 0.0)
    complete = [n for n, day in enumerate(figures.days) if day.day < figures.origin.today]
    start = max(0, len(complete) - outlook.days)
    line: list[float | None] = [None] * len(figures.days)
    for n in range(outlook.days):
        line[start + n] = max(0.0, first + (last - first) * n / max(1, outlook.days - 1))
    counts: list[float] = [day.arrivals.deliveries for day in figures.days]
    frame = Frame(
        f"Deliveries a day and their trend, from {max(0, first):,.1f} to {max(0, last):,.1f} a day",
        [day.day for day in figures.days],
        [f"{day_words(day.day)}\n{day.arrivals.deliveries:,} deliveries" for day in figures.days],
        whole([*counts, *(value for value in line if value is not None)]),
        height=140,
    )
    return figure(
        "Deliveries a day and the straight line through them",
        _overlaid(frame, counts, line),
        [
            ("c1", "deliveries", f"{sum(counts):,.0f}"),
            ("c6", "trend a day", f"{max(0, first):,.1f} to {max(0, last):,.1f}"),
        ],
    )


def _overlaid(frame: Frame, counts: list[float], line: list[float | None]) -> Markup:
    return lines(frame, [Series("deliveries", counts, "c1"), Series("trend", line, "c6", False)])
