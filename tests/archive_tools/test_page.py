"""The page of a report: complete, escaped, and without anything from elsewhere."""

import base64
import hashlib
import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from archive_tools.reading import Fault
from archive_tools.reporting.figures import (
    Arrivals,
    Currency,
    Day,
    Delays,
    Figures,
    Kind,
    Origin,
    Silence,
    Stored,
    Unusual,
)
from archive_tools.reporting.money_section import amount
from archive_tools.reporting.outlook import outlook
from archive_tools.reporting.page import page
from archive_tools.reporting.wording import findings, headline

FIRST = date(2026, 11, 1)
HOSTILE = "</title><script>alert('x')</script>&\"'"


class Elements(HTMLParser):
    """Every element with its attributes; fails where one is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def figures_of(days: int = 30, name: str = "charge.succeeded") -> Figures:
    """Figures in which something arrives each hour, and nothing is unusual."""
    dates = [FIRST + timedelta(days=n) for n in range(days)]
    delays = Delays(1.5, 2.5, 3.5)
    arrivals = Arrivals(deliveries=24, events=24, payload_bytes=24_000, first=delays, every=delays)
    hours = tuple(n % 5 for n in range(24))
    return Figures(
        origin=Origin(name, dates[0], dates[-1], dates[-1], "2026-11-30", "duckdb", "1.0", (name,)),
        total=replace(
            arrivals, deliveries=24 * days, events=24 * days, payload_bytes=24_000 * days
        ),
        days=[Day(day, arrivals, Stored(24, 5000), hours) for day in dates],
        kinds=[Kind(f"{name} {n}", (3,) * days) for n in range(8)],
        kinds_in_all=200,
        silences=[],
        silence_known=True,
        repeated=[],
        late=[],
        currencies=[money("EUR", days)],
        outlook=outlook([24] * days, 1000, 2),
    )


def money(code: str, days: int = 30, decimals: int = 2, *, livemode: bool = True) -> Currency:
    each, none = (Decimal("10.5"),) * days, (Decimal(),) * days
    return Currency(code, livemode, decimals, days, each, none)


def hostile() -> Figures:
    """Figures in which every text that comes from an archive is an attack."""
    moment = datetime(2026, 11, 2, 3, 4)
    unusual = Unusual(HOSTILE, HOSTILE, 3, moment, moment, 70.0)
    return replace(
        figures_of(name=HOSTILE),
        repeated=[unusual],
        late=[unusual],
        total=replace(figures_of().total, copies=2, repeated=1, late=1),
        currencies=[money(HOSTILE), money(HOSTILE, livemode=False)],
        faults=[Fault(HOSTILE, 3, HOSTILE)],
    )


def test_whatever_an_archive_holds_stays_text() -> None:
    text = page(hostile())
    elements = Elements(text)
    assert not elements.all("script")
    assert len(elements.all("title")) >= 1
    assert text.count("&lt;script&gt;") > 50
    assert "<script" not in text


def test_nothing_is_fetched_and_nothing_runs() -> None:
    elements = Elements(page(hostile()))
    named = [attributes for _, attributes in elements.found]
    assert not {"src", "srcset", "data", "action", "style"} & {key for one in named for key in one}
    assert not [key for one in named for key in one if key.startswith("on")]
    links = [one["href"] for one in named if "href" in one]
    assert links
    assert all(str(link).startswith("#") for link in links)
    anchors = {one["id"] for one in named if "id" in one}
    assert {str(link)[1:] for link in links} <= anchors


def test_the_policy_allows_the_style_sheet_of_the_page_and_nothing_else() -> None:
    text = page(figures_of())
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(one["content"] for one in Elements(text).all("meta") if "http-equiv" in one)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style
    assert "@import" not in style


def test_every_chart_has_a_name_and_its_numbers_in_a_table() -> None:
    elements = Elements(page(figures_of()))
    charts = [one for one in elements.all("svg") if one.get("role") == "img"]
    assert len(charts) == 8
    assert all(one["aria-label"] for one in charts)
    assert len(elements.all("details")) == 7
    assert len(elements.all("table")) >= len(charts)


def test_a_page_without_anything_unusual_says_so() -> None:
    assert findings(figures_of()) == []
    assert "<h2>Nothing unusual</h2>" in page(figures_of())


def test_what_is_unusual_is_told_with_the_gravest_silences_first() -> None:
    silences = [Silence(datetime(2026, 11, day, 5), 3, 20.0 - day) for day in range(1, 6)]
    total = replace(figures_of().total, late=7, copies=90, from_api=1, without_id=2)
    faults = [Fault("webhooks/a.json.gz", None, "empty")]
    found = findings(replace(figures_of(), silences=silences, total=total, faults=faults))
    assert [one.section for one in found] == [
        "unreadable",
        *["silences"] * 4,
        "failures",
        "duplicates",
        "failures",
        "duplicates",
    ]
    assert found[1].text.startswith("Nothing arrived for 3 hours from 1 Nov 2026, 05:00 UTC")
    assert found[4].text == "2 more silences, each less grave."
    assert "12%" in found[6].text


def test_a_few_repetitions_are_normal() -> None:
    total = replace(figures_of().total, copies=3, repeated=3)
    assert findings(replace(figures_of(), total=total)) == []


def test_an_empty_range_has_a_page_with_the_unreadable_parts_and_no_charts() -> None:
    figures = replace(figures_of(), total=Arrivals(), outlook=None)
    text = page(figures)
    assert headline(figures) in text
    assert 'role="img"' not in text
    assert 'id="unreadable"' in text
    assert "Nothing unusual" not in text


@pytest.mark.parametrize("days", [1, 2, 31, 400])
def test_a_page_of_any_length_is_well_formed_and_its_pictures_are_small(days: int) -> None:
    text = page(figures_of(days))
    Elements(text)
    pictures = re.findall(r'<svg class="chart".*?</svg>(?=<)', text, re.S)
    assert max(map(len, pictures)) < 1_000_000


def test_forty_currencies_are_all_in_the_table_and_few_have_a_chart() -> None:
    currencies = [money(f"X{n:02}") for n in range(40)]
    text = page(replace(figures_of(), currencies=currencies))
    assert all(f"<td>X{n:02}</td>" in text for n in range(40))
    assert text.count("a day, live mode</figcaption>") == 6


def test_test_mode_is_never_among_the_money() -> None:
    currencies = [money("EUR"), money("USD", livemode=False)]
    text = page(replace(figures_of(), currencies=currencies))
    live, _, test = text.partition("Test mode, which is no money")
    assert "<td>EUR</td>" in live
    assert "<td>USD</td>" not in live
    assert "<td>USD</td>" in test


@pytest.mark.parametrize(
    ("decimals", "words"), [(0, "1,234"), (2, "1,234.00"), (3, "1,234.000"), (2, "-0.50")]
)
def test_an_amount_has_the_decimals_of_its_currency(decimals: int, words: str) -> None:
    assert amount(Decimal(words.replace(",", "")), decimals) == words


def test_with_too_few_days_no_trend_is_claimed() -> None:
    text = page(replace(figures_of(), outlook=outlook([24] * 13, 1000, 1)))
    assert "That rests on 13 complete days; a trend takes 14." in text
    assert "in a year" not in text


def test_a_clear_decline_is_told_as_one_and_never_below_nothing() -> None:
    falling = outlook([100 - n for n in range(30)], 1000, 1)
    text = page(replace(figures_of(), outlook=falling))
    assert "At the present decline, in a year 0 deliveries" in text


def test_a_long_name_is_cut_and_a_control_character_is_not_passed_on() -> None:
    figures = replace(figures_of(), kinds=[Kind("a\x1b" * 500, (1,) * 30)])
    text = page(figures)
    assert "\x1b" not in text
    assert "a\N{REPLACEMENT CHARACTER}" * 29 in text
    assert "a\N{REPLACEMENT CHARACTER}" * 31 not in text
