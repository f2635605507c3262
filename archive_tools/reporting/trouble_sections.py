"""The sections of a report on what went wrong: failures, duplicates, silences, unreadable parts.

Knows figures, charts and blocks; every section is made of figures alone.
"""

from datetime import timedelta

from markupsafe import Markup

from .blocks import day_words, figure, numbers, paragraph, section, table
from .charts import Frame, Series, bars
from .figures import Figures, Unusual
from .heatmap import heatmap, steps
from .queries import LATE_S
from .scales import seconds_words, whole
from .silence import EXPECTED_AT_LEAST
from .wording import silence_words

_SHOWN_FAULTS = 100


def failures(figures: Figures) -> Markup:
    """Return the section of what did not arrive at the first try."""
    total = figures.total
    parts = (
        ("c6", "first arrival over 60 s late", [day.arrivals.late for day in figures.days]),
        ("c1", "arrived again", [day.arrivals.copies for day in figures.days]),
        ("c4", "from the Events API", [day.arrivals.from_api for day in figures.days]),
    )
    frame = Frame(
        f"Late first arrivals, {total.late:,} in all; repetitions, {total.copies:,}; records from "
        f"the Events API, {total.from_api:,}",
        [day.day for day in figures.days],
        [
            f"{day_words(day.day)}\n"
            + "\n".join(f"{name}: {values[n]:,}" for _, name, values in parts)
            for n, day in enumerate(figures.days)
        ],
        whole(
            float(day.arrivals.late + day.arrivals.copies + day.arrivals.from_api)
            for day in figures.days
        ),
        height=140,
    )
    rows = [
        (day_words(day.day), day.arrivals.late, day.arrivals.copies, day.arrivals.from_api)
        for day in figures.days
    ]
    latest = (
        table(
            "The latest first arrivals",
            ["Event", "Type", "Arrived (UTC)", "Delay"],
            [
                (event.id, event.type, _moment(event.first), seconds_words(event.delay))
                for event in figures.late
            ],
            left=3,
        )
        if figures.late
        else paragraph(f"No event came first more than {LATE_S} s late.")
    )
    return section(
        "failures",
        "Failures and redeliveries",
        paragraph(
            f"A first arrival more than {LATE_S} s late means that an earlier attempt has failed, "
            "here or on its way, or that Stripe itself was late. Stripe tries again for up to "
            "three days."
        ),
        figure(
            "What did not simply arrive once, by day",
            bars(frame, [Series(name, values, mark) for mark, name, values in parts]),
            [(mark, name, f"{sum(values):,}") for mark, name, values in parts],
            numbers(table("By day", ["Day (UTC)", *(name for _, name, _ in parts)], rows)),
        ),
        latest,
    )


def duplicates(figures: Figures) -> Markup:
    """Return the section of the events that arrived more than once."""
    total = figures.total
    without_id = (
        f" {total.without_id:,} without an event id cannot be compared." if total.without_id else ""
    )
    if not total.copies:
        return section(
            "duplicates", "Duplicates", paragraph(f"No event arrived more than once.{without_id}")
        )
    return section(
        "duplicates",
        "Duplicates",
        paragraph(
            f"Events that arrived more than once: {total.repeated:,}; extra copies: "
            f"{total.copies:,}. That is normal: Stripe delivers again what it believes lost, and "
            f"the view stripe_events has each event once.{without_id}"
        ),
        table(
            "The most repeated",
            ["Event", "Type", "First (UTC)", "Last (UTC)", "Arrivals"],
            [_repeated_row(event) for event in figures.repeated],
            left=4,
        ),
    )


def silences(figures: Figures) -> Markup:
    """Return the section of the hours in which nothing arrived."""
    silent = {
        silence.start + timedelta(hours=hour)
        for silence in figures.silences
        for hour in range(silence.hours)
    }
    hours = [f"{hour:02}" for hour in range(24)]
    return section(
        "silences",
        "Silent hours",
        paragraph(
            "Deliveries in each hour, by UTC. A silence is hours in a row with none, where "
            f"{EXPECTED_AT_LEAST:.0f} or more would have been usual: the mean of the same hours of "
            "the days around, of weekends for a weekend. Chance alone makes one in a hundred, and "
            "holidays do too: it says where to look, not what was lost. Today is left out."
        ),
        figure(
            "Deliveries by day and hour",
            heatmap(
                f"Deliveries by day and hour; {len(figures.silences):,} silences",
                figures.days,
                silent,
            ),
            [(mark, text, "") for mark, text in steps(figures.days)] + [("gap", "silent", "")],
            numbers(
                table(
                    "Deliveries by day and hour (UTC)",
                    ["Day (UTC)", *hours],
                    [(day_words(day.day), *day.hours) for day in figures.days],
                )
            ),
        ),
        _silence_list(figures),
    )


def unreadable(figures: Figures) -> Markup:
    """Return the section of what could not be read."""
    if not figures.faults:
        return section(
            "unreadable", "Unreadable parts", paragraph("None: all of it could be read.")
        )
    shown = figures.faults[:_SHOWN_FAULTS]
    more = len(figures.faults) - len(shown)
    return section(
        "unreadable",
        "Unreadable parts",
        paragraph("What is here is missing in all figures above."),
        table(
            "Unreadable parts" + (f", the first {len(shown)}; {more:,} more" if more else ""),
            ["Object", "Line", "What is wrong"],
            [(Markup("<code>{}</code>").format(f.key), f.line, f.what) for f in shown],
            left=3,
        ),
    )


def _silence_list(figures: Figures) -> Markup:
    if figures.silences:
        return table(
            "Silences",
            ["When", "Usual deliveries"],
            [
                (silence_words(silence).removeprefix("for "), f"{silence.usual:,.1f}")
                for silence in figures.silences
            ],
        )
    if not figures.silence_known:
        return paragraph("There are too few days to tell a silence from a quiet hour.")
    return paragraph("No silence that chance would not explain.")


def _repeated_row(event: Unusual) -> tuple[object, ...]:
    return event.id, event.type, _moment(event.first), _moment(event.last), event.arrivals


def _moment(moment: object) -> str:
    return str(moment)[:19]
