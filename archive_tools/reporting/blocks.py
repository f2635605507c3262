"""The blocks that a page is built of: tables, legends, figures, sections.

Knows HTML and its escaping, which markupsafe does for every value; knows nothing of archives.
"""

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup

from ..output import cell

#: A type or a name can be of any length, and a page has a width.
_LONGEST = 60


def words(value: object, longest: int = _LONGEST) -> str:
    """Return a value as text in one line, cut where it is too long for a page."""
    text = cell(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def table(
    caption: str, names: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1
) -> Markup:
    """Return a table in a box of its own, which scrolls where it is wider than the page.

    Args:
        caption: what it is, also for a screen reader.
        names: of the columns.
        rows: their cells; a whole number gets its thousands apart.
        left: so many columns are of words; all others are numbers, which stand to the right.
    """
    head = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(_side(n, left), name)
        for n, name in enumerate(names)
    )
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup("<td{}>{}</td>").format(_side(n, left), _shown(value))
                for n, value in enumerate(row)
            )
        )
        for row in rows
    )
    return Markup(
        '<div class="scroll" role="region" tabindex="0" aria-label="{0}"><table>'
        "<caption>{0}</caption><thead><tr>{1}</tr></thead><tbody>{2}</tbody></table></div>"
    ).format(caption, head, body)


def _side(column: int, left: int) -> Markup:
    return Markup("") if column < left else Markup(' class="n"')


def _shown(value: object) -> str | Markup:
    if isinstance(value, Markup):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return words(value)


def folded(summary: str, inside: Markup) -> Markup:
    """Return what is shown on request."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, inside)


def legend(items: Sequence[tuple[str, str, str]]) -> Markup:
    """Return what the colours mean: class, name, figure of each."""
    return Markup('<ul class="legend">{}</ul>').format(
        Markup("").join(
            Markup(
                '<li><svg class="key" aria-hidden="true"><rect class="{}" width="12" height="12"'
                ' rx="2"/></svg>{} <b>{}</b></li>'
            ).format(mark, words(name), figure)
            for mark, name, figure in items
        )
    )


def figure(
    caption: str,
    chart: Markup,
    keys: Sequence[tuple[str, str, str]] = (),
    numbers: Markup | None = None,
) -> Markup:
    """Return a chart with its caption, the meaning of its colours, and its numbers to unfold."""
    return Markup("<figure><figcaption>{}</figcaption>{}{}</figure>{}").format(
        caption, legend(keys) if keys else "", chart, numbers or ""
    )


def section(anchor: str, heading: str, *inside: Markup) -> Markup:
    """Return a section with an address within the page."""
    return Markup(
        '<section id="{0}" aria-labelledby="{0}-h"><h2 id="{0}-h">{1}</h2>{2}</section>'
    ).format(anchor, heading, Markup("").join(inside))


def paragraph(text: str) -> Markup:
    """Return a paragraph of plain words."""
    return Markup("<p>{}</p>").format(text)


def bullets(items: Sequence[object]) -> Markup:
    """Return a list of things in no order."""
    return Markup("<ul>{}</ul>").format(
        Markup("").join(Markup("<li>{}</li>").format(item) for item in items)
    )


def day_words(day: date) -> str:
    """Return a day for people: `Wed 11 Nov 2026`."""
    return f"{day:%a} {day.day} {day:%b %Y}"


def numbers(inside: Markup) -> Markup:
    """Return the table of a chart, to be unfolded."""
    return folded("The same in numbers", inside)
