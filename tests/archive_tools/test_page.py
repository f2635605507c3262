"""The page of a report: complete, escaped, and without anything from elsewhere."""

import base64
import hashlib
import itertools
import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.service import PROJECT

from .conftest import Run, store
from .test_report import NOON, charge, event, key, put

HOSTILE = "</title><script>alert('x')</script>&\"'"
DAY = timedelta(days=1)

Report = Callable[..., str]


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


@pytest.fixture
def report(run: Run, tmp_path: Path) -> Report:
    """Call with more arguments to get the page of the test's archive."""

    def call(*arguments: str, status: int = 0) -> str:
        target = tmp_path / "report.html"
        options = ("--today", "2026-11-20", "--only", "deliveries")
        result = run("report", "--output", str(target), *options, *arguments)
        assert result.exit_code == status, result.output
        return target.read_text()

    return call


def hostile(folder: Path) -> None:
    """Archive records in which every text is an attack, and an object whose name is one."""
    first = event(HOSTILE, NOON, HOSTILE)
    late = event(f"{HOSTILE} late", NOON - timedelta(hours=1), HOSTILE)
    types = [event(f"evt_{n}", NOON, f"{HOSTILE} {n}") for n in range(9)]
    money = [
        body
        for code in (HOSTILE, "eur")
        for live in [event(f"evt_{code}", NOON, "charge.succeeded", **charge(code, 1050))]
        for body in (live, in_test_mode(live))
    ]
    put(folder, NOON, first, first, late, *types, *money)
    cut_short(folder, HOSTILE.replace("/", "_") + ".json.gz")


def in_test_mode(body: bytes) -> bytes:
    return body.replace(b'"livemode": true', b'"livemode": false').replace(b"evt_", b"evt_test_")


def cut_short(folder: Path, name: str) -> None:
    """Store an object of NOON's day whose gzip is cut short."""
    path = store(folder, b"x" * 99, name=name, day=key(NOON))
    path.write_bytes(path.read_bytes()[:-9])


def chart(page: str, label: str) -> str:
    """The SVG of a chart by the beginning of its name."""
    found = re.search(rf'<svg class="chart" role="img" aria-label="{label}.*?</figure>', page, re.S)
    assert found, label
    return found[0]


def bars(svg: str, mark: str) -> list[tuple[float, float]]:
    """Top and height of each bar of a series, in pixels."""
    found = re.findall(rf'<rect class="{mark}"[^>]* y="([\d.]+)" height="([\d.]+)"', svg)
    return [(float(top), float(height)) for top, height in found]


def test_whatever_an_archive_holds_stays_text(report: Report, folder: Path) -> None:
    hostile(folder)
    text = report(status=1)
    elements = Elements(text)
    assert not elements.all("script")
    assert text.count("&lt;script&gt;") > 20
    assert "<script" not in text.lower()


def test_nothing_is_fetched_and_nothing_runs(report: Report, folder: Path) -> None:
    hostile(folder)
    elements = Elements(report(status=1))
    named = [attributes for _, attributes in elements.found]
    assert not {"src", "srcset", "data", "action", "style"} & {key for one in named for key in one}
    assert not [key for one in named for key in one if key.startswith("on")]
    links = [one["href"] for one in named if "href" in one]
    assert links
    assert all(str(link).startswith("#") for link in links)
    anchors = {one["id"] for one in named if "id" in one}
    assert {str(link)[1:] for link in links} <= anchors


def test_the_policy_allows_the_style_sheet_of_the_page_and_nothing_else(report: Report) -> None:
    text = report()
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(one["content"] for one in Elements(text).all("meta") if "http-equiv" in one)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style
    assert "@import" not in style


def test_every_chart_has_a_name_and_its_numbers_in_a_table(report: Report, folder: Path) -> None:
    put(folder, NOON, event("evt_1", NOON, "charge.succeeded", **charge("eur", 700)))
    elements = Elements(report())
    charts = [one for one in elements.all("svg") if one.get("role") == "img"]
    assert len(charts) == 6
    assert all(one["aria-label"] for one in charts)
    assert len(elements.all("details")) == 5
    assert len(elements.all("table")) >= len(charts)


def test_a_page_without_anything_unusual_says_so(report: Report, folder: Path) -> None:
    put(folder, NOON, event("evt_1", NOON))
    assert "<h2>Nothing unusual</h2>" in report()


def test_an_empty_range_has_the_unreadable_objects_and_no_charts(
    report: Report, folder: Path
) -> None:
    cut_short(folder, "broken.json.gz")
    text = report(status=1)
    assert 'role="img"' not in text
    assert f"<code>{key(NOON)}/broken.json.gz</code>" in text
    assert "Nothing unusual" not in text


@pytest.mark.parametrize("days", [1, 2, 400])
def test_a_page_of_any_length_is_well_formed_and_its_charts_are_small(
    report: Report, folder: Path, days: int
) -> None:
    for n in range(days):
        put(folder, NOON - n * DAY, event(f"evt_{n}", NOON - n * DAY, f"type.{n % 9}"))
    text = report("--from", f"{NOON - (days - 1) * DAY:%Y-%m-%d}", "--to", f"{NOON:%Y-%m-%d}")
    Elements(text)
    assert text.count('<svg class="chart"') == 5
    assert len(text) < 300_000 + 4000 * days


def test_forty_currencies_are_all_in_the_table_and_few_have_a_chart(
    report: Report, folder: Path
) -> None:
    codes = [f"X{n:02}" for n in range(40)]
    put(
        folder,
        NOON,
        *(event(f"evt_{code}", NOON, "charge.succeeded", **charge(code, 5)) for code in codes),
    )
    text = report()
    assert all(f"<td>{code}</td>" in text for code in codes)
    assert text.count("a day, live mode. Lighter: ") == 6


def test_test_mode_is_never_among_the_money(report: Report, folder: Path) -> None:
    live = event("evt_1", NOON, "charge.succeeded", **charge("eur", 700))
    test = event("evt_2", NOON, "charge.succeeded", **charge("usd", 700))
    put(folder, NOON, live, in_test_mode(test))
    above, _, below = report().partition("Test mode, which is no money</caption>")
    assert "<td>EUR</td>" in above
    assert "<td>USD</td>" not in above
    assert "<td>USD</td>" in below


def test_a_long_name_is_cut_and_a_control_character_is_not_passed_on(
    report: Report, folder: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON, "a\x1b" * 500))
    text = report()
    assert "\x1b" not in text
    assert "a\N{REPLACEMENT CHARACTER}" * 29 in text
    assert "a\N{REPLACEMENT CHARACTER}" * 31 not in text


def test_bars_are_as_high_as_their_counts_and_stand_on_each_other(
    report: Report, folder: Path
) -> None:
    put(folder, NOON - DAY, *(event(f"evt_{n}", NOON - DAY, "a") for n in range(10)))
    put(folder, NOON, *(event(f"evt_b{n}", NOON, "a") for n in range(5)))
    put(folder, NOON + DAY / 24, *(event(f"evt_c{n}", NOON + DAY / 24, "b") for n in range(4)))
    svg = chart(report("--from", "2026-11-08"), "Deliveries a day by type")
    (full, height), (half, _) = bars(svg, "c1")
    [(above, small)] = bars(svg, "c2")
    assert (full, half) == (0, 100)
    assert height == pytest.approx(200, abs=1)
    assert above + small == pytest.approx(half, abs=1)
    assert small == pytest.approx(80, abs=1)


def test_a_refund_hangs_below_zero(report: Report, folder: Path) -> None:
    fields = charge("eur", 1000, amount_refunded=1000)
    put(
        folder,
        NOON,
        event("evt_1", NOON, "charge.succeeded", **charge("eur", 1000)),
        event("evt_2", NOON, "charge.refunded", **fields),
    )
    svg = chart(report(), "EUR a day")
    [(top, height)] = bars(svg, "c1")
    [(below, _)] = bars(svg, "c6")
    assert top == 0
    assert top + height <= below == 60


def test_a_line_is_broken_where_a_day_has_no_value_and_a_day_alone_is_a_dot(
    report: Report, folder: Path
) -> None:
    for n in (0, 1, 3):
        put(folder, NOON + n * DAY, event(f"evt_{n}", NOON + n * DAY - timedelta(seconds=2 + n)))
    svg = chart(report("--from", "2026-11-08"), "Each event")
    path = re.findall(r'class="line c1" d="([^"]*)"', svg)[0]
    assert re.sub(r"[\d. ]+", "", path) == "MLM"
    assert svg.count('class="dot c1"') == 3


def test_the_heat_map_joins_hours_that_look_alike_and_marks_silence(
    report: Report, folder: Path
) -> None:
    start = datetime(2026, 11, 2, tzinfo=UTC)
    hours = [start + timedelta(hours=n) for n in range(10 * 24)]
    silent = hours[3 * 24 + 7 : 3 * 24 + 10]
    for hour in hours:
        if hour not in silent:
            put(folder, hour, *(event(f"evt_{hour:%d%H}{n}", hour) for n in range(2)))
    svg = chart(report("--from", "2026-11-02", "--to", "2026-11-11"), "Deliveries by day and hour")
    cells = re.findall(r'<rect class="(\w+)" x="(\d+)" y="(\d+)" width="1" height="(\d+)"', svg)
    assert [cell for cell in cells if cell[1] == "3"] == [
        ("h4", "3", "0", "7"),
        ("gap", "3", "7", "3"),
        ("h4", "3", "10", "14"),
    ]
    assert len(cells) == 10 + 2


def test_days_below_a_chart_are_ten_at_most_and_begin_with_the_first(
    report: Report, folder: Path
) -> None:
    put(folder, NOON, event("evt_1", NOON))
    for first, label in (("2026-11-20", "20 Nov"), ("2026-11-10", "10 Nov"), ("2024-01-01", "Jan")):
        if first == "2026-11-20":
            put(folder, NOON + 10 * DAY, event("evt_2", NOON + 10 * DAY))
        svg = chart(report("--from", first), "Compressed bytes")
        labels = re.findall(r'<text class="below[^>]*>([^<]+)<', svg)
        assert 1 <= len(labels) <= 10
        assert len({*labels}) == len(labels)
        assert labels[0].startswith(label)
        places = [float(x) for x in re.findall(r'class="below[^"]*" x="([\d.]+)%"', svg)]
        assert all(before < after for before, after in itertools.pairwise(places))


def test_what_a_page_is_made_of_is_in_the_package() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["archive_tools.reporting"]
    folder = PROJECT / "archive_tools/reporting"
    packed = {path for pattern in patterns for path in folder.glob(pattern)}
    needed = {path for path in folder.rglob("*.*") if path.suffix not in (".py", ".pyc")}
    assert needed
    assert packed == needed
