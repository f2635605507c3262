"""The report of the sample month in a real browser, on a screen, a phone and paper."""

import io
import itertools
import json
import math
import re
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from examples.month import Delivery
from tests.archive_tools.test_report_money import html, key, mrr, payments, revenue
from tests.archive_tools.test_report_money import rows as rows_of
from tests.browser.conftest import Open
from tests.browser.window import Window

SCHEMES = ("light", "dark")
WIDTHS = (390, 768, 1440)

#: Every element that shows text of its own: its words, its colour and all grounds below it.
COLOURS = """() => [...document.querySelectorAll('body *')].filter(element =>
    [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()) &&
    element.tagName !== 'title' && element.checkVisibility()
  ).map(element => {
    const style = getComputedStyle(element), grounds = [];
    for (let above = element; above; above = above.parentElement)
      grounds.push(getComputedStyle(above).backgroundColor);
    const inPicture = element.ownerSVGElement;
    return [element.textContent.trim().slice(0, 40), inPicture ? style.fill : style.color, grounds];
  })"""

CHARTS = """() => [...document.querySelectorAll('[role=img]')].map(chart => {
    const box = chart.getBoundingClientRect();
    return [chart.getAttribute('aria-label'), box.width, box.height];
  })"""

#: Words below one chart that touch each other, in pixels.
OVERLAPS = """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
    const boxes = [...chart.querySelectorAll('text')].filter(text => text.checkVisibility())
      .map(text => [text.textContent, text.getBoundingClientRect()]);
    return boxes.flatMap(([words, one], n) => boxes.slice(n + 1).filter(([_, other]) =>
      one.left < other.right && other.left < one.right &&
      one.top + 3 < other.bottom && other.top + 3 < one.bottom
    ).map(([others]) => `${words} / ${others}`));
  })"""


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in parts]
    return sum(c * part for c, part in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def events_of(deliveries: list[Delivery]) -> list[tuple[datetime, dict[str, Any]]]:
    """When each delivery arrives, and the event in it, or nothing where it is none."""
    decoded = ((one.arrives, json.loads(one.body)) for one in deliveries)
    return [(arrives, body if isinstance(body, dict) else {}) for arrives, body in decoded]


def first_arrivals(deliveries: list[Delivery]) -> list[tuple[datetime, dict[str, Any]]]:
    first: dict[str, tuple[datetime, dict[str, Any]]] = {}
    for arrives, event in events_of(deliveries):
        if "id" in event:
            first.setdefault(event["id"], (arrives, event))
    return list(first.values())


def delay_s(arrives: datetime, event: dict[str, Any]) -> float:
    created: int | str = event["created"]
    if isinstance(created, str):
        created = int(datetime.fromisoformat(created).timestamp())
    return arrives.timestamp() - created


def shown(opened: Window, selector: str) -> list[str]:
    return opened.page.locator(selector).all_inner_texts()


def rows(opened: Window, caption: str) -> list[list[str]]:
    """The cells of a table by the words over it, also where it is folded."""
    table = opened.page.locator("table").filter(
        has=opened.page.locator("caption", has_text=re.compile(f"^{re.escape(caption)}"))
    )
    found: list[list[str]] = table.first.evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(c => c.textContent))"
    )
    return found


def tiles(opened: Window) -> dict[str, tuple[str, str]]:
    texts = [text.split("\n") for text in shown(opened, ".tiles > div")]
    return {name: (big, "".join(small)) for name, big, *small in texts}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_is_asked_of_a_network_and_the_console_is_silent(show: Open, scheme: str) -> None:
    with show(scheme=scheme) as opened:
        opened.page.locator("summary").first.click()
        assert [url.partition("://")[0] for url in opened.requests] == ["file"]
        assert opened.requests[0].endswith("report.html")
        assert opened.messages == []


@pytest.mark.parametrize(("width", "scheme"), list(itertools.product(WIDTHS, SCHEMES)))
def test_the_page_never_scrolls_sideways(show: Open, width: int, scheme: str) -> None:
    with show(width, scheme) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_has_a_name_and_a_size_to_be_read_at(show: Open, width: int) -> None:
    with show(width) as opened:
        charts = opened.page.evaluate(CHARTS)
        assert len(charts) == 15
        assert all(name.strip() for name, _, _ in charts)
        assert all(across > 250 and high > 100 for _, across, high in charts)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_words_of_a_chart_touch_each_other(show: Open, width: int) -> None:
    with show(width) as opened:
        assert opened.page.evaluate(OVERLAPS) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_stands_out_from_its_ground(show: Open, scheme: str) -> None:
    with show(scheme=scheme) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = opened.page.evaluate(COLOURS)
    assert len(found) > 300
    grounds = {ground for _, _, all_grounds in found for ground in all_grounds}
    assert len(grounds - {"rgba(0, 0, 0, 0)"}) == 2
    for words, colour, below in found:
        ground = next(one for one in below if one != "rgba(0, 0, 0, 0)")
        assert contrast(colour, ground) >= 4.5, f"{words}: {colour} on {ground}"


def test_the_dark_page_is_dark_and_the_paper_is_light_all_the_same(show: Open) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with show(scheme="dark") as opened:
        assert luminance(opened.page.evaluate(ground)) < 0.02
        opened.page.emulate_media(media="print", color_scheme="dark")
        assert luminance(opened.page.evaluate(ground)) == pytest.approx(1)


def test_it_prints_on_a_few_sheets_without_cutting_a_chart(show: Open) -> None:
    # A4 at 96 pixels an inch, less the margins of 12 and 14 mm
    inner_width, inner_height = round(186 / 25.4 * 96), 269 / 25.4 * 96
    with show(inner_width) as opened:
        pages = len(re.findall(rb"/Type\s*/Page\b", opened.page.pdf(prefer_css_page_size=True)))
        assert 4 <= pages <= 8
        opened.page.emulate_media(media="print")
        figures = opened.page.evaluate(
            "[...document.querySelectorAll('figure')].map(figure => "
            "[getComputedStyle(figure).breakInside, figure.getBoundingClientRect().height])"
        )
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= inner_width
    assert {rule for rule, _ in figures} == {"avoid"}
    assert max(height for _, height in figures) < inner_height


def test_headings_come_in_order_and_name_their_sections(show: Open) -> None:
    with show() as opened:
        levels = opened.page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        named = opened.page.evaluate(
            "[...document.querySelectorAll('section')].every("
            "s => document.getElementById(s.getAttribute('aria-labelledby')))"
        )
        assert named is True


@pytest.mark.parametrize(
    ("finding", "heading"),
    [
        ("Nothing arrived for 18 hours", "Silent hours"),
        ("arrived first more than a minute late", "Failures and redeliveries"),
        ("1 delivery has no event id", "Deliveries by type"),
    ],
)
def test_a_finding_leads_to_its_section(show: Open, finding: str, heading: str) -> None:
    with show() as opened:
        item = opened.page.locator(".findings li").filter(has_text=finding)
        item.get_by_role("link", name=f"See {heading}").click()
        title = opened.page.get_by_role("heading", name=heading)
        top = title.evaluate("e => e.closest('section').getBoundingClientRect().top")
    assert abs(top) < 2


def test_the_numbers_on_top_are_those_of_the_deliveries(
    show: Open, deliveries: list[Delivery]
) -> None:
    first = first_arrivals(deliveries)
    delays = sorted(delay_s(*one) for one in first)
    p99 = delays[math.ceil(Fraction(99, 100) * len(delays)) - 1]
    ids = Counter(event["id"] for _, event in events_of(deliveries) if "id" in event)
    copies = [number - 1 for number in ids.values() if number > 1]
    days = {arrives.date() for arrives, _ in events_of(deliveries)}
    with show() as opened:
        found = tiles(opened)
    assert found["Events"][0] == str(len(first))
    assert found["Deliveries"][0] == str(len(deliveries))
    assert found["Days"] == (str(len(days)), "with deliveries, of 30")
    assert found["Delay, p99"][0] == f"{p99 / 3600:.1f} h"
    assert found["Late"][0] == str(sum(delay > 60 for delay in delays))
    assert found["Duplicates"] == (str(sum(copies)), f"copies of {len(copies)} events")
    # the month's outage, and the evening before it
    assert found["Silences"] == ("1", "18 hours")


def test_the_table_of_types_has_every_delivery(show: Open, deliveries: list[Delivery]) -> None:
    types = Counter(event.get("type") for _, event in events_of(deliveries))
    largest = [number for _, number in types.most_common(7)]
    by_day = Counter(f"{a:%a} {a.day} {a:%b %Y}" for a, _ in events_of(deliveries))
    with show() as opened:
        table = rows(opened, "Deliveries a day by type")
    sums = [sum(int(row[n]) for row in table) for n in range(1, 10)]
    assert sums == [*largest, len(deliveries) - sum(largest), len(deliveries)]
    assert {row[0]: int(row[-1]) for row in table} == by_day


def test_the_map_of_hours_has_every_delivery(show: Open, deliveries: list[Delivery]) -> None:
    hours = Counter((a.date(), a.hour) for a, _ in events_of(deliveries))
    with show() as opened:
        table = rows(opened, "Deliveries by day and hour")
    assert sum(int(cell) for row in table for cell in row[1:]) == len(deliveries)
    for row in table:
        day = datetime.strptime(row[0], "%a %d %b %Y").date()
        assert [int(cell) for cell in row[1:]] == [hours[day, hour] for hour in range(24)]


def test_the_money_is_that_of_the_charges(show: Open, deliveries: list[Delivery]) -> None:
    decimals = {"jpy": 0, "kwd": 3}
    expected: dict[tuple[bool, str], list[Decimal]] = {}
    for _, event in first_arrivals(deliveries):
        types = ("charge.succeeded", "charge.captured", "charge.refunded")
        if event.get("type") not in types or event.get("account"):
            continue
        charge = event["data"]["object"]
        if not charge["captured"]:
            continue
        sums = expected.setdefault((event["livemode"], charge["currency"]), [Decimal()] * 2)
        unit = Decimal(10) ** -decimals.get(charge["currency"], 2)
        if event["type"] == "charge.refunded":
            before = event["data"].get("previous_attributes", {}).get("amount_refunded") or 0
            sums[1] += (charge["amount_refunded"] - before) * unit
        else:
            sums[0] += charge["amount_captured"] * unit
    with show() as opened:
        found = {(True, row[0]): row[2:] for row in rows(opened, "Live mode")}
        found |= {(False, row[0]): row[2:] for row in rows(opened, "Test mode")}
    assert len(found) == 6
    assert found == {
        (livemode, code.upper()): [
            f"{amount:,.{decimals.get(code, 2)}f}" for amount in (gross, back, gross - back)
        ]
        for (livemode, code), (gross, back) in expected.items()
    }


def test_what_is_stored_is_what_lies_in_the_folders(show: Open, report: Path) -> None:
    with show() as opened:
        table = rows(opened, "Objects and bytes by day")
    for row in table:
        day = datetime.strptime(row[0], "%a %d %b %Y").replace(tzinfo=UTC)
        folder = report.parent / f"archive/webhooks/year={day:%Y}/month={day:%m}/day={day:%d}"
        sizes = [path.stat().st_size for path in folder.iterdir()]
        assert [int(cell.replace(",", "")) for cell in row[1:3]] == [len(sizes), sum(sizes)]


def test_the_recurring_revenue_is_that_of_the_subscriptions(
    show: Open, deliveries: list[Delivery]
) -> None:
    # each is of one item: 49.00 EUR a month
    created = [
        event["data"]["object"]
        for _, event in first_arrivals(deliveries)
        if event.get("type") == "customer.subscription.created"
    ]
    active = [one for one in created if one["status"] == "active"]
    with show() as opened:
        found = tiles(opened)
        closing = [row[7] for row in rows(opened, "MRR by month")]
    assert found["MRR, EUR"][0] == closing[-1]
    assert Decimal(closing[-1]) == 49 * int(found["Subscribers"][0])
    assert 0 < int(found["Subscribers"][0]) <= len({one["id"] for one in active})


@pytest.fixture(scope="module")
def money(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of eleven months with everything that a section is about."""
    months = range(1, 12)
    trial = {"trials_ended": 4, "converted": 1, "conversion_rate": Decimal("0.25")}
    dispute = {"charges": 9, "disputed": 3, "dispute_rate": Decimal("0.33"), "won": 1, "lost": 1}
    found = rows_of(
        mrr=[mrr(n, f"{n}000", "500.25", "10", "40", "-20", "-60.333333") for n in months],
        trials=[key(n, None) | trial for n in months],
        payments=[payments(n, 40, n) for n in months],
        disputes=[key(n, None) | dispute for n in months],
        revenue=[revenue(n, f"{n}123.45") for n in months],
    )
    path = tmp_path_factory.mktemp("money") / "money.html"
    path.write_text(html(found))
    return path


def edge(picture: bytes) -> float:
    """How light the last column of a picture is where it has no text: 0 to 255."""
    with Image.open(io.BytesIO(picture)) as opened:
        grey = opened.convert("L")
        column = [grey.getpixel((grey.width - 1, y)) for y in range(grey.height)]
    return sorted(column)[len(column) // 2]  # type: ignore[type-var,return-value]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_table_that_goes_on_beyond_a_phone_shows_it(show: Open, money: Path, scheme: str) -> None:
    with show(390, scheme, money) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        table = opened.page.get_by_role("region", name="MRR by month")
        at_start = edge(table.screenshot())
        table.evaluate("e => e.scrollLeft = e.scrollWidth")
        at_end = edge(table.screenshot())
        first = table.locator("td").first.bounding_box()
    assert abs(at_start - at_end) > 30
    # the month stays beside its figures
    assert first
    assert first["x"] >= 0


@pytest.mark.parametrize(("width", "scheme"), list(itertools.product(WIDTHS, SCHEMES)))
def test_the_money_is_as_wide_as_its_page_and_readable(
    show: Open, money: Path, width: int, scheme: str
) -> None:
    with show(width, scheme, money) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.page.evaluate(OVERLAPS) == []
        found = opened.page.evaluate(COLOURS)
    for words, colour, below in found:
        ground = next(one for one in below if one != "rgba(0, 0, 0, 0)")
        assert contrast(colour, ground) >= 4.5, f"{words}: {colour} on {ground}"


def test_the_first_screen_has_the_tiles_and_the_waterfall(show: Open, money: Path) -> None:
    with show(1280, path=money) as opened:
        box = opened.page.locator("svg.chart").first.bounding_box()
        assert box
        assert box["y"] + box["height"] <= 900
        assert opened.page.locator(".tiles > div").count() >= 6
