"""The page of a report: one file that needs nothing else, without a script.

Knows which sections there are and how a document is put together.
"""

import base64
import hashlib

from markupsafe import Markup

from ..output import bytes_text, count_text
from .arrival_sections import delays, kinds
from .blocks import bullets, words
from .figures import Figures
from .growth_section import growth
from .money_section import money
from .origin_sections import origin, storage
from .scales import seconds_words
from .stylesheet import css
from .trouble_sections import duplicates, failures, silences, unreadable
from .wording import findings, headline

#: Nothing may be fetched from anywhere, and only the style sheet of this file counts.
_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"

_DOCUMENT = Markup("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Stripe events, {title}</title>
<style>{css}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header>
<h1>{title}</h1>
<p class="soft">Report on the archive of Stripe events in <code>{archive}</code></p>
</header>
<main id="content">
{summary}
{sections}
</main>
<footer>Stripe Analytics Backend {version}, {made}</footer>
</body>
</html>
""")


def page(figures: Figures) -> str:
    """Return the page as HTML. What came from events is escaped, all of it."""
    style = css()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    about = figures.origin
    return str(
        _DOCUMENT.format(
            policy=_POLICY.format(digest),
            # a style element takes its text as it is: nothing of an archive is in it
            css=Markup(style),  # noqa: S704 # nosec B704
            title=title(figures),
            archive=words(about.archive, 300),
            summary=_summary(figures),
            sections=_sections(figures),
            version=about.version,
            made=about.made,
        )
    )


def title(figures: Figures) -> str:
    """Return what the page is called."""
    first, last = figures.origin.first, figures.origin.last
    if first == last:
        return f"{first.day} {first:%B %Y}"
    start = f"{first.day} {first:%B}" + (f" {first.year}" if first.year != last.year else "")
    return f"{start} to {last.day} {last:%B %Y}"


def _sections(figures: Figures) -> Markup:
    if not figures.total.deliveries:
        found = [unreadable, origin]
    else:
        found = [
            kinds,
            delays,
            failures,
            duplicates,
            silences,
            money,
            growth,
            storage,
            unreadable,
            origin,
        ]
    return Markup("").join(one(figures) for one in found)


def _summary(figures: Figures) -> Markup:
    return Markup("<p>{}</p>{}{}").format(headline(figures), _verdict(figures), _tiles(figures))


def _verdict(figures: Figures) -> Markup:
    found = findings(figures)
    if not figures.total.deliveries and not found:
        return Markup('<div class="verdict look"><h2>Nothing to report</h2></div>')
    if not found:
        return Markup('<div class="verdict"><h2>Nothing unusual</h2></div>')
    links = [
        Markup('{} <a href="#{section}">See {section}</a>').format(
            finding.text, section=finding.section
        )
        for finding in found
    ]
    return Markup('<div class="verdict look"><h2>Worth a look</h2>{}</div>').format(bullets(links))


def _tiles(figures: Figures) -> Markup:
    total = figures.total
    busy = sum(bool(day.arrivals.deliveries) for day in figures.days)
    size = sum(day.stored.bytes for day in figures.days)
    tiles = (
        ("Events", f"{total.events:,}", "each counted once"),
        ("Deliveries", f"{total.deliveries:,}", "repetitions included"),
        ("Days", f"{busy:,}", f"with deliveries, of {len(figures.days):,}"),
        ("Delay, p99", seconds_words(total.first.p99), "of first arrivals"),
        ("Late", f"{total.late:,}", "first arrivals over 60 s"),
        ("Duplicates", f"{total.copies:,}", "copies of " + count_text(total.repeated, "event")),
        (
            "Silences",
            f"{len(figures.silences):,}" if figures.silence_known else "unknown",
            count_text(sum(one.hours for one in figures.silences), "hour")
            if figures.silence_known
            else "too few days",
        ),
        ("Stored", bytes_text(size), "compressed"),
    )
    return Markup('<dl class="tiles">{}</dl>').format(
        Markup("").join(
            Markup('<div><dt>{}</dt><dd class="big">{}</dd><dd class="small">{}</dd></div>').format(
                *tile
            )
            for tile in tiles
        )
    )
