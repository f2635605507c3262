"""Charts, axes and the map of hours: what is drawn where."""

import itertools
import re
from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archive_tools.reporting import heatmap as hours_map
from archive_tools.reporting.charts import Frame, Series, bars, lines
from archive_tools.reporting.figures import Arrivals, Day, Stored
from archive_tools.reporting.scales import (
    bytes_words,
    count_words,
    day_ticks,
    durations,
    linear,
    seconds_words,
    whole,
)

START = date(2026, 11, 1)
MAGNITUDES = st.floats(-1e12, 1e12, allow_subnormal=False).map(lambda n: round(n, 3))


def frame(*values: float, height: int = 100, number: int = 0) -> Frame:
    days = dates(number or len(values))
    return Frame("A chart", days, [str(day) for day in days], linear(values, count_words), height)


def dates(number: int) -> list[date]:
    return [START + timedelta(days=n) for n in range(number)]


def drawn(svg: str, mark: str) -> list[tuple[float, float]]:
    """Top and height of each rectangle of a series, in pixels."""
    found = re.findall(rf'<rect class="{mark}"[^>]* y="([\d.]+)" height="([\d.]+)"', svg)
    return [(float(top), float(height)) for top, height in found]


def test_a_bar_is_as_high_as_its_value() -> None:
    svg = bars(frame(10, 5, 0), [Series("n", [10, 5, 0], "c1")])
    (full, _), (half, _) = drawn(svg, "c1")
    assert (full, half) == (0, 50)


def test_bars_of_a_day_stand_on_each_other() -> None:
    svg = bars(frame(10), [Series("a", [6], "c1"), Series("b", [4], "c2")])
    [(lower, height)] = drawn(svg, "c1")
    [(upper, above)] = drawn(svg, "c2")
    assert (lower, upper) == (40, 0)
    assert lower + height == pytest.approx(100, abs=1)
    assert upper + above == pytest.approx(lower, abs=1)


def test_what_is_negative_hangs_below_zero() -> None:
    svg = bars(frame(10, -10, number=1), [Series("in", [10], "c1"), Series("out", [-10], "c6")])
    [(top, height)] = drawn(svg, "c1")
    [(below, _)] = drawn(svg, "c6")
    assert top == 0
    assert top + height <= below == 50


def test_a_line_is_broken_where_a_day_has_no_value() -> None:
    svg = lines(frame(1, 2, 3, 4, 5), [Series("p50", [1, 2, None, 4, 5], "c1")])
    [path] = re.findall(r' d="([^"]+)"', svg)
    assert path.count("M") == 2
    assert path.count("L") == 2
    assert svg.count("<circle") == 4


def test_a_day_alone_is_a_dot() -> None:
    svg = lines(frame(3), [Series("p50", [3], "c1")])
    assert "<path" not in svg
    assert svg.count("<circle") == 1


def test_a_day_tells_its_numbers_where_the_pointer_rests() -> None:
    days = dates(2)
    chart = Frame("A chart", days, ["<b> & co", "other"], linear([1], count_words))
    for svg in (bars(chart, []), lines(chart, [])):
        assert "<title>&lt;b&gt; &amp; co</title>" in svg


@pytest.mark.parametrize("number", [1, 2, 9, 10, 11, 30, 31, 62, 100, 366, 400, 1100])
def test_days_below_a_chart_are_ten_at_most_and_begin_with_the_first(number: int) -> None:
    ticks = day_ticks(dates(number))
    assert 1 <= len(ticks) <= 10
    assert ticks[0][0] == 0
    assert len({words for _, words in ticks}) == len(ticks)


@given(st.lists(MAGNITUDES))
def test_an_axis_holds_zero_and_every_value_with_few_round_ticks(values: list[float]) -> None:
    scale = linear(values, count_words)
    nothing = (scale.high - scale.low) * 1e-6
    for value in (0.0, *values):
        assert scale.low - nothing <= value <= scale.high + nothing
        assert 0 <= scale.at(value) <= 1
    assert 2 <= len(scale.ticks) <= 8


@given(st.lists(st.integers(0, 10**9)))
def test_an_axis_of_counted_things_has_no_half(values: list[int]) -> None:
    assert all(value == int(value) for value, _ in whole(values).ticks)


@given(st.lists(st.floats(0, 1e9)))
@example([0.0625, 0.001])
def test_an_axis_of_durations_keeps_their_order(values: list[float]) -> None:
    scale = durations(values)
    heights = [scale.at(value) for value in sorted(values)]
    assert heights == sorted(heights)
    assert all(0 <= height <= 1 for height in heights)


def test_durations_far_apart_are_logarithmic_and_others_are_not() -> None:
    far = durations([1.5, 32_400])
    assert far.is_log
    assert [words for _, words in far.ticks] == [
        "1 s",
        "10 s",
        "1 min",
        "10 min",
        "1 h",
        "6 h",
        "1 day",
    ]
    assert not durations([1.5, 3]).is_log


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),  # noqa: RUF001 - the dash that is shown
        (0, "0"),
        (0.25, "250 ms"),
        (3.44, "3.4 s"),
        (60, "1 min"),
        (19_318, "5.4 h"),
        (86_400, "1 day"),
        (200_000, "2.3 days"),
    ],
)
def test_a_duration_has_one_unit(seconds: float | None, words: str) -> None:
    assert seconds_words(seconds) == words


def test_numbers_on_an_axis_are_short() -> None:
    assert [count_words(n) for n in (0, 950, 1200, 3e6, 2e9)] == ["0", "950", "1.2k", "3M", "2G"]
    assert [bytes_words(n) for n in (0, 500, 2_000_000)] == ["0", "500 bytes", "2 MB"]


def hours_of(*days: tuple[int, ...]) -> list[Day]:
    return [
        Day(day, Arrivals(), Stored(), hours)
        for day, hours in zip(dates(len(days)), days, strict=True)
    ]


def cells(svg: str) -> list[tuple[str, int, int, int]]:
    found = re.findall(r'<rect class="(\w+)" x="(\d+)" y="(\d+)" width="1" height="(\d+)"', svg)
    return [(mark, int(x), int(y), int(height)) for mark, x, y, height in found]


def test_hours_that_look_alike_are_one_cell_and_a_day_is_24_hours_high() -> None:
    days = hours_of((0,) * 9 + (5,) + (0,) * 14, (1,) * 24)
    found = cells(hours_map.heatmap("Map", days, set()))
    assert [cell for cell in found if cell[1] == 0] == [
        ("h0", 0, 0, 9),
        ("h4", 0, 9, 1),
        ("h0", 0, 10, 14),
    ]
    assert sum(height for _, x, _, height in found if x == 1) == 24


def test_a_silent_hour_stands_out_from_a_quiet_one() -> None:
    silent = {datetime.combine(START, time(7))}
    found = cells(hours_map.heatmap("Map", hours_of((0,) * 24), silent))
    assert [(mark, y, height) for mark, _, y, height in found] == [
        ("h0", 0, 7),
        ("gap", 7, 1),
        ("h0", 8, 16),
    ]


@given(st.integers(1, 5000))
def test_the_colours_of_the_map_cover_every_count_once(most: int) -> None:
    ranges = []
    for _, words in hours_map.steps(hours_of((most,) + (0,) * 23)):
        low, _, high = words.replace(",", "").partition(" to ")
        ranges.append((int(low), int(high or low)))
    assert ranges[0] == (0, 0)
    assert ranges[-1][1] == most
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ranges))
