"""Axes: every value within, few round ticks, and durations in order."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archive_tools.reporting.charts import (
    HeatMap,
    durations,
    linear,
    seconds_text,
    whole,
)
from tests.archive_tools.test_report import NOON

MAGNITUDES = st.floats(-1e12, 1e12, allow_subnormal=False).map(lambda n: round(n, 3))


@given(st.lists(MAGNITUDES))
def test_an_axis_holds_zero_and_every_value_with_few_round_ticks(values: list[float]) -> None:
    scale = linear(values)
    nothing = (scale.high - scale.low) * 1e-6
    for value in (0.0, *values):
        assert scale.low - nothing <= value <= scale.high + nothing
        assert 0 <= scale.at(value) <= 1
    assert 2 <= len(scale.ticks) <= 8


@given(st.lists(st.integers(0, 10**9)))
def test_an_axis_of_counted_things_has_no_half(values: list[int]) -> None:
    scale = whole(values)
    assert all(value == int(value) for value, _ in scale.ticks)
    assert scale.high >= max(values, default=1)


@given(st.lists(st.floats(0, 1e9)))
@example([0.0625, 0.001])
def test_an_axis_of_durations_keeps_their_order(values: list[float]) -> None:
    scale = durations(values)
    heights = [scale.at(value) for value in sorted(values)]
    assert heights == sorted(heights)
    assert all(0 <= height <= 1 for height in heights)


def test_durations_far_apart_are_logarithmic_and_others_are_not() -> None:
    far = durations([1.5, 32_400])
    ticks = ["1 s", "10 s", "1 min", "10 min", "1 h", "6 h", "1 day"]
    assert [text for _, text in far.ticks] == ticks
    assert far.is_log
    assert not durations([1.5, 3]).is_log


@pytest.mark.parametrize(
    ("seconds", "text"),
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
def test_a_duration_has_one_unit(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text


@given(st.integers(1, 5000))
def test_the_colours_of_the_heat_map_cover_every_count_once(most: int) -> None:
    ranges = []
    for _, text in HeatMap([NOON.date()], "", [(most,) + (0,) * 23], set()).legend[:-1]:
        low, _, high = text.replace(",", "").partition(" to ")
        ranges.append((int(low), int(high or low)))
    assert ranges[0] == (0, 0)
    assert ranges[-1][1] == most
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ranges))
