"""The page of a report: one HTML file that needs nothing else, without a script.

Knows what the templates are given: figures, the charts of them, and words. Jinja2 escapes all that
came from an archive.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..output import bytes_text, cell, count_text
from . import charts
from .charts import Chart, HeatMap, Scale, Series
from .figures import Currency, Delays, Figures
from .findings import findings, headline, silence_text, without_id_text
from .silence import EXPECTED_AT_LEAST
from .statistics import LATE_S

_TEMPLATES = Path(__file__).with_name("templates")

#: Nothing may be fetched from anywhere, and only the style sheet of this file counts.
_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"

#: A type or a name can be of any length, and a page has a width.
_LONGEST_TEXT = 60

#: More pictures would hide the ones that matter; the table has all currencies.
_CHARTED_CURRENCIES = 6

_SHOWN_FAULTS = 100


def page(figures: Figures) -> str:
    """Return the page as HTML."""
    css = (_TEMPLATES / "page.css").read_text()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    live = [one for one in figures.currencies if one.livemode]
    silent = {
        silence.start + timedelta(hours=hour)
        for silence in figures.silences
        for hour in range(silence.hours)
    }
    return (
        _environment()
        .get_template("page.html")
        .render(
            figures=figures,
            origin=figures.origin,
            total=figures.total,
            title=_title(figures),
            policy=_POLICY.format(digest),
            # a style element takes its text as it is: nothing of an archive is in it
            css=Markup(css),  # noqa: S704 # nosec B704
            headline=headline(figures),
            findings=findings(figures),
            busy_days=sum(bool(day.arrivals.deliveries) for day in figures.days),
            silent_hours=len(silent),
            objects=sum(day.stored.objects for day in figures.days),
            stored=sum(day.stored.bytes for day in figures.days),
            shown_faults=figures.faults[:_SHOWN_FAULTS],
            live=live,
            test=[one for one in figures.currencies if not one.livemode],
            late_s=LATE_S,
            expected=f"{EXPECTED_AT_LEAST:.0f}",
            types_chart=_types_chart(figures),
            first_chart=_delay_chart(figures, "first", "Each event's first arrival"),
            every_chart=_delay_chart(figures, "every", "All deliveries, duplicates included"),
            failures_chart=_failures_chart(figures),
            heat_map=HeatMap(
                [day.day for day in figures.days],
                f"Deliveries by day and hour, {count_text(len(figures.silences), 'silence')}",
                [day.hours for day in figures.days],
                silent,
            ),
            money_charts=[_money_chart(figures, one) for one in live[:_CHARTED_CURRENCIES]],
            storage_chart=_storage_chart(figures),
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": _amount,
        "bytes": bytes_text,
        "cell": _cell,
        "count": count_text,
        "cut": _cut,
        "day": charts.day_text,
        "moment": lambda moment: str(moment)[:19],
        "seconds": charts.seconds_text,
        "short": "{:.4g}".format,
        "silence": silence_text,
        "thousands": "{:,}".format,
        "without_id": without_id_text,
    }
    return environment


def _title(figures: Figures) -> str:
    first, last = figures.origin.first, figures.origin.last
    if first == last:
        return f"{first.day} {first:%B %Y}"
    start = f"{first.day} {first:%B}" + (f" {first.year}" if first.year != last.year else "")
    return f"{start} to {last.day} {last:%B %Y}"


def _cut(value: object, longest: int = _LONGEST_TEXT) -> str:
    """Return a value as text in one line, cut where it is too long for a page."""
    text = cell(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _cell(value: object) -> str:
    """Return a value as it stands in a table of the page."""
    if isinstance(value, Markup):
        return value
    return f"{value:,}" if type(value) is int else _cut(value)


def _amount(value: Decimal, one: Currency) -> str:
    return f"{value:,.{one.decimals}f}"


def _chart(
    figures: Figures,
    label: str,
    caption: str,
    series: Sequence[Series],
    scale: Callable[[Iterable[float]], Scale],
    **options: Any,
) -> Chart:
    """Return a chart whose axis has room for each value, and of bars for each stack."""
    columns = [[one.values[n] or 0 for one in series] for n in range(len(figures.days))]
    values: list[float] = [value for column in columns for value in column]
    if not options.get("is_line"):
        values = [sum(v for v in column if v > 0) for column in columns]
        values += [sum(v for v in column if v < 0) for column in columns]
    days = [day.day for day in figures.days]
    return Chart(days, label, caption, series, scale(values), **options)


def _counted(name: str, mark: str, counts: Sequence[int]) -> Series:
    return Series(_cut(name), mark, counts, [f"{n:,}" for n in counts], f"{sum(counts):,}")


def _types_chart(figures: Figures) -> Chart:
    series = [_counted(one.name, f"c{n}", one.counts) for n, one in enumerate(figures.types, 1)]
    label = f"Deliveries a day by type, {figures.total.deliveries:,} in all"
    caption = f"Deliveries a day. Event types in these days: {figures.type_count:,}."
    return _chart(figures, label, caption, series, charts.whole, height=200)


def _delay_chart(figures: Figures, which: str, caption: str) -> Chart:
    total: Delays = getattr(figures.total, which)
    series = []
    for name, mark in (("p50", "c1"), ("p95", "c3"), ("p99", "c6")):
        values = [getattr(getattr(day.arrivals, which), name) for day in figures.days]
        texts = [charts.seconds_text(value) for value in values]
        series.append(Series(name, mark, values, texts, charts.seconds_text(getattr(total, name))))
    label = ", ".join([caption, *(f"{one.name} {one.total}" for one in series)])
    chart = _chart(figures, label, caption, series, charts.durations, height=200, is_line=True)
    return replace(chart, caption=f"{caption} (logarithmic)") if chart.scale.is_log else chart


def _failures_chart(figures: Figures) -> Chart:
    days = [day.arrivals for day in figures.days]
    series = [
        _counted(f"first arrival over {LATE_S} s late", "c6", [day.late for day in days]),
        _counted("duplicates", "c1", [day.copies for day in days]),
        _counted("from the Events API", "c4", [day.from_api for day in days]),
    ]
    caption = "Late first arrivals, duplicates and records from the Events API, by day"
    label = ", ".join([caption, *(f"{one.name}: {one.total}" for one in series)])
    return _chart(figures, label, caption, series, charts.whole)


def _money_chart(figures: Figures, one: Currency) -> Chart:
    gross, refunded, net = (_amount(value, one) for value in one.total)
    code = _cut(one.code)
    back, texts = [-float(value) for value in one.refunded], [_amount(v, one) for v in one.refunded]
    series = [
        Series(
            "gross", "c1", [*map(float, one.gross)], [_amount(v, one) for v in one.gross], gross
        ),
        Series("refunded", "c6", back, texts, refunded),
    ]
    label = f"{code} a day: gross {gross}, refunded {refunded}, net {net}"
    caption = f"{code} a day, live mode"
    return _chart(figures, label, caption, series, _linear(charts.number_text), height=120)


def _storage_chart(figures: Figures) -> Chart:
    stored = [day.stored for day in figures.days]
    texts = [f"{bytes_text(one.bytes)} in {count_text(one.objects, 'object')}" for one in stored]
    size = bytes_text(sum(one.bytes for one in stored))
    objects = count_text(sum(one.objects for one in stored), "object")
    series = [Series("stored", "c1", [one.bytes for one in stored], texts)]
    caption = f"Compressed bytes in the folder of each day: {size} in {objects}"
    scale = _linear(charts.axis_bytes_text)
    label = f"Stored bytes a day, {size} in all"
    return _chart(figures, label, caption, series, scale, has_legend=False)


def _linear(text: Callable[[float], str]) -> Callable[[Iterable[float]], Scale]:
    return lambda values: charts.linear(values, text)
