"""The page of a report: one HTML file that needs nothing else, without a script.

Knows what the templates are given: figures, the charts of them, and words. Jinja2 escapes all that
came from an archive.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..output import bytes_text, cell, count_text
from . import charts
from .charts import Chart, HeatMap, Series, summed
from .figures import Currency, Delays, Deliveries, Figures, Origin
from .findings import deliveries_headline, findings, silence_text, without_id_text
from .money_page import MoneyPage, amount_text
from .silence import EXPECTED_AT_LEAST
from .statistics import LATE_S

Charted = Callable[..., Chart]

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
    money = MoneyPage(figures.money) if figures.money else None
    if money and figures.deliveries and not money.sections:
        money = None
    found = findings(figures)
    # what concerns every figure is said on top, the rest above the deliveries
    urgent = [one for one in found if money and one.section in ("unreadable", "origin")]
    return (
        _environment()
        .get_template("page.html")
        .render(
            figures=figures,
            origin=figures.origin,
            title=_title(figures, money),
            period=_period(figures.origin.first, figures.origin.last),
            policy=_POLICY.format(digest),
            # a style element takes its text as it is: nothing of an archive is in it
            css=Markup(css),  # noqa: S704 # nosec B704
            urgent=urgent,
            operational=[one for one in found if one not in urgent],
            shown_faults=figures.faults[:_SHOWN_FAULTS],
            money=money,
            **(_of_deliveries(figures.deliveries, figures.origin) if figures.deliveries else {}),
        )
    )


def _of_deliveries(figures: Deliveries, origin: Origin) -> dict[str, Any]:
    """Return what the template of the deliveries needs."""
    live = [one for one in figures.currencies if one.livemode]
    silent = {
        silence.start + timedelta(hours=hour)
        for silence in figures.silences
        for hour in range(silence.hours)
    }
    chart = partial(
        charts.charted, [day.day for day in figures.days], is_open=origin.last == origin.today
    )
    return {
        "total": figures.total,
        "headline": deliveries_headline(figures),
        "busy_days": sum(bool(day.arrivals.deliveries) for day in figures.days),
        "silent_hours": len(silent),
        "stored": sum(day.stored.bytes for day in figures.days),
        "live": live,
        "test": [one for one in figures.currencies if not one.livemode],
        "late_s": LATE_S,
        "expected": f"{EXPECTED_AT_LEAST:.0f}",
        "types_chart": _types_chart(chart, figures),
        "first_chart": _delay_chart(chart, figures, "first", "Each event's first arrival"),
        "every_chart": _delay_chart(chart, figures, "every", "All deliveries, duplicates included"),
        "failures_chart": _failures_chart(chart, figures),
        "heat_map": HeatMap(
            [day.day for day in figures.days],
            "Deliveries by day and hour",
            [day.hours for day in figures.days],
            silent,
        ),
        "money_charts": [_money_chart(chart, one) for one in live[:_CHARTED_CURRENCIES]],
        "storage_chart": _storage_chart(chart, figures),
    }


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


def _title(figures: Figures, money: MoneyPage | None) -> str:
    """Return what the page is about: `Stripe revenue, December 2025 to November 2026`."""
    if money:
        return money.title
    return f"Stripe deliveries, {_period(figures.origin.first, figures.origin.last)}"


def _period(first: date, last: date) -> str:
    """Return a range of days for people: `25 October to 23 November 2026`."""
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
    """Return an amount with the decimals of its currency."""
    return amount_text(value, one.decimals)


def _types_chart(chart: Charted, figures: Deliveries) -> Chart:
    series = [
        summed(_cut(one.name), f"c{n}", one.counts, "{:,}".format)
        for n, one in enumerate(figures.types, 1)
    ]
    caption = f"Deliveries a day by type, {count_text(figures.type_count, 'type')} in all"
    return chart(caption, series, charts.whole, height=200)


def _delay_chart(chart: Charted, figures: Deliveries, which: str, caption: str) -> Chart:
    delays: list[Delays] = [getattr(day.arrivals, which) for day in figures.days]
    total: Delays = getattr(figures.total, which)
    text = charts.seconds_text
    series = [
        Series("p50", "c1", [one.p50 for one in delays], text, text(total.p50)),
        Series("p95", "c3", [one.p95 for one in delays], text, text(total.p95)),
        Series("p99", "c6", [one.p99 for one in delays], text, text(total.p99)),
    ]
    made = chart(caption, series, charts.durations, height=200, is_line=True)
    return replace(made, caption=f"{caption} (logarithmic)") if made.scale.is_log else made


def _failures_chart(chart: Charted, figures: Deliveries) -> Chart:
    days = [day.arrivals for day in figures.days]
    text = "{:,}".format
    series = [
        summed(f"first arrival over {LATE_S} s late", "c6", [day.late for day in days], text),
        summed("duplicates", "c1", [day.copies for day in days], text),
        summed("from the Events API", "c4", [day.from_api for day in days], text),
    ]
    caption = "Late first arrivals, duplicates and records from the Events API, by day"
    return chart(caption, series, charts.whole)


def _money_chart(chart: Charted, one: Currency) -> Chart:
    text = partial(_amount, one=one)
    series = [
        summed("gross", "c1", one.gross, text),
        summed("refunded", "c6", [-value for value in one.refunded], text),
    ]
    caption = f"{_cut(one.code)} a day, live mode"
    return chart(caption, series, charts.linear, height=120)


def _storage_chart(chart: Charted, figures: Deliveries) -> Chart:
    objects = count_text(sum(day.stored.objects for day in figures.days), "object")
    series = [summed("stored", "c1", [day.stored.bytes for day in figures.days], bytes_text)]
    caption = f"Compressed bytes a day, in {objects}"
    return chart(caption, series, partial(charts.linear, text=charts.axis_bytes_text))
