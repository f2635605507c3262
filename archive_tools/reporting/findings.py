"""What the figures say in sentences: a headline, and findings that somebody should look at.

Knows figures; knows nothing of HTML.
"""

from dataclasses import dataclass

from ..output import count_text
from .charts import seconds_text
from .figures import Deliveries, Figures, Silence
from .money_page import MoneyPage

#: Stripe and networks repeat now and then; more than this has a cause worth knowing.
_MANY_COPIES = 0.05

#: So many of the largest silences are findings of their own.
_NAMED_SILENCES = 3


@dataclass(frozen=True)
class Finding:
    """Something to look at, and the id of the page's section that shows it."""

    section: str
    text: str


def findings(figures: Figures) -> list[Finding]:
    """Return what is out of the ordinary, the most serious first."""
    found = []
    if figures.faults:
        count = count_text(len(figures.faults), "fault")
        found.append(Finding("unreadable", f"A part of the archive could not be read: {count}."))
    if figures.is_unbuilt:
        text = (
            "The revenue is left out: Athena has no views of the models. To make them: "
            "flask archive build"
        )
        found.append(Finding("origin", text))
    return found + (_of_deliveries(figures.deliveries) if figures.deliveries else [])


def _of_deliveries(figures: Deliveries) -> list[Finding]:
    total = figures.total
    found = []
    for silence in figures.silences[:_NAMED_SILENCES]:
        text = (
            f"Nothing arrived for {silence_text(silence)}, where about {silence.usual:,.0f} "
            "deliveries are usual."
        )
        found.append(Finding("silences", text))
    if more := len(figures.silences[_NAMED_SILENCES:]):
        found.append(Finding("silences", f"{count_text(more, 'smaller silence')} besides."))
    if total.late:
        share = f" ({total.late / max(1, total.events):.1%} of all)"
        text = (
            f"{count_text(total.late, 'event')}{share} arrived first more than a minute late: an "
            "earlier attempt failed, or Stripe was late."
        )
        found.append(Finding("failures", text))
    if total.copies > _MANY_COPIES * total.deliveries:
        share = f"{total.copies / total.deliveries:.0%}"
        found.append(Finding("duplicates", f"{share} of all deliveries were duplicates."))
    if total.from_api:
        text = (
            f"{count_text(total.from_api, 'record')} came from the Events API to fill gaps; no "
            "signature proves them."
        )
        found.append(Finding("failures", text))
    if total.without_id:
        found.append(Finding("deliveries", f"{without_id_text(total.without_id)}."))
    return found


def headlines(figures: Figures) -> list[str]:
    """Return each part of the report in a sentence or two."""
    money = MoneyPage(figures.money) if figures.money else None
    said = [money.headline] if money and (money.sections or not figures.deliveries) else []
    return [*said, *([deliveries_headline(figures.deliveries)] if figures.deliveries else [])]


def deliveries_headline(figures: Deliveries) -> str:
    """Return what arrived in a sentence or two."""
    total = figures.total
    if not total.deliveries:
        return "Nothing arrived in these days, or nothing was archived."
    busy = sum(bool(day.arrivals.deliveries) for day in figures.days)
    counted = (
        f"{count_text(total.events, 'event')} in {deliveries_text(total.deliveries)} on "
        f"{busy:,} of {count_text(len(figures.days), 'day')}"
    )
    if total.first.p99 is None:
        return f"{counted}."
    half, most = seconds_text(total.first.p50), seconds_text(total.first.p99)
    return f"{counted}. Half of the events arrived within {half}, 99% within {most}."


def deliveries_text(number: int) -> str:
    """Return a number of deliveries: `1 delivery`, `2,000 deliveries`."""
    return f"{number:,} {'delivery' if number == 1 else 'deliveries'}"


def without_id_text(number: int) -> str:
    """Return how many deliveries have no event id."""
    has = "has" if number == 1 else "have"
    return f"{deliveries_text(number)} {has} no event id: not an event, or not readable as one"


def silence_text(silence: Silence) -> str:
    """Return how long a silence was, and since when."""
    start = silence.start
    return f"{count_text(silence.hours, 'hour')} from {start.day} {start:%b %Y, %H:%M} UTC"
