"""The sections of a report on the archive itself: what is stored, and how the report was made.

Knows figures, charts and blocks; every section is made of figures alone.
"""

from markupsafe import Markup, escape

from ..output import bytes_text, count_text
from .blocks import bullets, day_words, figure, folded, numbers, section, table
from .charts import Frame, Series, bars
from .figures import Figures
from .scales import bytes_words, linear


def storage(figures: Figures) -> Markup:
    """Return the section of objects and bytes."""
    objects = sum(day.stored.objects for day in figures.days)
    size = sum(day.stored.bytes for day in figures.days)
    frame = Frame(
        f"Stored bytes a day, {bytes_text(size)} in all",
        [day.day for day in figures.days],
        [
            f"{day_words(day.day)}\n{bytes_text(day.stored.bytes)} in "
            f"{count_text(day.stored.objects, 'object')}"
            for day in figures.days
        ],
        linear((float(day.stored.bytes) for day in figures.days), bytes_words),
        height=140,
    )
    return section(
        "storage",
        "What is stored",
        figure(
            f"Compressed bytes in the folder of each day: {bytes_text(size)} in "
            f"{count_text(objects, 'object')}",
            bars(frame, [Series("bytes", [float(day.stored.bytes) for day in figures.days], "c1")]),
            (),
            numbers(
                table(
                    "Objects and bytes by day",
                    ["Day (UTC)", "Objects", "Stored bytes", "Payload bytes"],
                    [
                        (
                            day_words(day.day),
                            day.stored.objects,
                            day.stored.bytes,
                            day.arrivals.payload_bytes,
                        )
                        for day in figures.days
                    ],
                ),
            ),
        ),
    )


def origin(figures: Figures) -> Markup:
    """Return the section on how the report was made, and on what it cannot know."""
    about = figures.origin
    facts = {
        "Archive": about.archive,
        "Days": f"{about.first} to {about.last}, UTC, by arrival; money by the event's own day",
        "Engine": about.engine,
        "Made": about.made,
        "Version": about.version,
    }
    limits = (
        "What never arrived leaves no trace in an archive: `flask archive reconcile` asks Stripe.",
        "That every record is genuine and whole is not looked at: `flask archive verify` does.",
        "An event that arrived more than three days before the first day is taken for new where it "
        "came again; money whose event arrived more than three days after the last day is missing.",
        "On Athena, percentiles are estimates.",
    )
    return section(
        "origin",
        "How this was made",
        Markup("<ul>{}</ul>").format(
            Markup("").join(
                Markup("<li>{}: <code>{}</code></li>").format(name, value)
                for name, value in facts.items()
            )
        ),
        folded("What was scanned", bullets(about.notes)) if about.notes else Markup(""),
        Markup("<h3>What it cannot show</h3>"),
        bullets([_with_code(text) for text in limits]),
    )


def _with_code(text: str) -> Markup:
    """Return words in which every second part between backticks is code."""
    before, *rest = text.split("`")
    coded = [
        Markup("<code>{}</code>{}").format(code, after)
        for code, after in zip(rest[::2], rest[1::2], strict=True)
    ]
    return escape(before) + Markup("").join(coded)
