"""What the figures say in words: what somebody should look at, and nothing where there is nothing.

Knows figures; knows nothing of HTML.
"""

from dataclasses import dataclass

from ..output import count_text
from .figures import Figures, Silence
from .scales import seconds_words

#: Stripe and networks repeat now and then; more than this has a cause worth knowing.
_MANY_COPIES = 0.05


#: So many of the gravest silences are told of one by one.
_TOLD = 3


@dataclass(frozen=True)
class Finding:
    """Something to look at, and the section that shows it."""

    section: str
    text: str


def findings(figures: Figures) -> list[Finding]:
    """Return what is out of the ordinary, the most serious first."""
    total = figures.total
    found = []
    if figures.faults:
        count = count_text(len(figures.faults), "place")
        found.append(Finding("unreadable", f"{count} in the archive could not be read."))
    for silence in figures.silences[:_TOLD]:
        found.append(
            Finding(
                "silences",
                f"Nothing arrived {silence_words(silence)}, where about "
                f"{silence.usual:,.0f} deliveries are usual.",
            )
        )
    if more := figures.silences[_TOLD:]:
        words = f"{count_text(len(more), 'more silence')}, each less grave."
        found.append(Finding("silences", words))
    if total.late:
        share = f" ({total.late / max(1, total.events):.1%} of all)"
        found.append(
            Finding(
                "failures",
                f"{count_text(total.late, 'event')}{share} came first more than a minute late; "
                "an earlier attempt has failed, or Stripe was late.",
            )
        )
    if total.copies > _MANY_COPIES * total.deliveries:
        found.append(
            Finding(
                "duplicates",
                f"{total.copies / total.deliveries:.0%} of all deliveries were repetitions.",
            )
        )
    if total.from_api:
        found.append(
            Finding(
                "failures",
                f"{count_text(total.from_api, 'record')} had to be fetched from the Events API, "
                "and no signature proves them.",
            )
        )
    if total.without_id:
        found.append(
            Finding(
                "duplicates",
                f"{deliveries_words(total.without_id)} without an event id: not an event, or not "
                "readable as one.",
            )
        )
    return found


def headline(figures: Figures) -> str:
    """Return the whole report in one sentence."""
    total = figures.total
    if not total.deliveries:
        return "Nothing arrived in these days, or nothing was archived."
    busy = sum(bool(day.arrivals.deliveries) for day in figures.days)
    counted = (
        f"{count_text(total.events, 'event')} in {deliveries_words(total.deliveries)} on "
        f"{busy:,} of {count_text(len(figures.days), 'day')}"
    )
    if total.first.p99 is None:
        return f"{counted}."
    half, most = seconds_words(total.first.p50), seconds_words(total.first.p99)
    return f"{counted}. Half of the events were here within {half}, 99% within {most}."


def deliveries_words(number: int) -> str:
    """Return a number of deliveries: `1 delivery`, `2,000 deliveries`."""
    return f"{number:,} {'delivery' if number == 1 else 'deliveries'}"


def silence_words(silence: Silence) -> str:
    """Return when a silence was."""
    start = silence.start
    return f"for {count_text(silence.hours, 'hour')} from {start.day} {start:%b %Y, %H:%M} UTC"
