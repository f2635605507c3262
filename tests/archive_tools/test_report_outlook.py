"""Where the present rate leads, and what that costs."""

import pytest

from archive_tools.reporting.outlook import TREND_DAYS, outlook
from deploy.costs import Usage, bill


def test_without_a_complete_day_there_is_no_outlook() -> None:
    assert outlook([], 1000, 1) is None


def test_the_rate_of_now_is_the_bill_of_the_calculator() -> None:
    found = outlook([1000] * 20, 2000, 5)
    assert found is not None
    assert found.now.deliveries == 30_000
    expected = bill(Usage(30_000, 2000, 5, host_usd=0))
    assert found.now.usd == round(expected.aws_usd, 2)
    assert sum(usd for _, usd, _ in found.lines) == pytest.approx(expected.aws_usd)


def test_a_trend_takes_two_weeks() -> None:
    too_few = outlook([5] * (TREND_DAYS - 1), 1000, 1)
    enough = outlook([5] * TREND_DAYS, 1000, 1)
    assert too_few is not None
    assert enough is not None
    assert (too_few.trend, too_few.year) == (None, None)
    assert enough.trend == (5, 5)


def test_steady_growth_is_clear_and_goes_on_for_a_year() -> None:
    found = outlook([100 + 2 * n for n in range(31)], 1000, 1)
    assert found is not None
    assert found.year is not None
    assert found.clear
    assert found.trend == pytest.approx((100, 160))
    low, probable, high = found.year
    assert low.deliveries == probable.deliveries == high.deliveries == 30 * (160 + 2 * 365)
    assert probable.usd > found.now.usd


def test_days_that_only_go_up_and_down_have_no_clear_trend() -> None:
    found = outlook([50, 150] * 15, 1000, 1)
    assert found is not None
    assert found.year is not None
    assert not found.clear
    low, _, high = found.year
    assert low.deliveries < found.now.deliveries < high.deliveries


def test_a_decline_never_goes_below_nothing() -> None:
    found = outlook([100 - n for n in range(30)], 1000, 1)
    assert found is not None
    assert [month.deliveries for month in found.year or ()] == [0, 0, 0]
