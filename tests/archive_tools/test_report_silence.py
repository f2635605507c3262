"""When nothing arrived for so long that it can hardly be chance."""

from datetime import datetime, timedelta

from archive_tools.reporting.silence import silences

MONDAY = datetime(2026, 11, 2)
HOUR = timedelta(hours=1)


def steady(hours: int, each: int = 3) -> dict[datetime, int]:
    return {MONDAY + n * HOUR: each for n in range(hours)}


def silent(counts: dict[datetime, int], start: datetime, hours: int) -> None:
    for n in range(hours):
        counts.pop(start + n * HOUR, None)


def test_a_silence_has_its_start_its_hours_and_what_was_usual() -> None:
    counts = steady(10 * 24)
    silent(counts, MONDAY + timedelta(days=3, hours=7), 4)
    [found] = silences(counts, MONDAY, MONDAY + timedelta(days=10))
    assert (found.start, found.hours, found.usual) == (MONDAY + timedelta(days=3, hours=7), 4, 12)


def test_a_silence_shorter_than_chance_is_none() -> None:
    counts = steady(10 * 24)
    silent(counts, MONDAY + timedelta(days=3, hours=7), 1)
    assert silences(counts, MONDAY, MONDAY + timedelta(days=10)) == []


def test_five_expected_deliveries_are_a_silence_and_less_is_none() -> None:
    for each, expected in ((5, 1), (4, 0)):
        counts = steady(5 * 24, each)
        silent(counts, MONDAY + timedelta(days=2, hours=3), 1)
        assert len(silences(counts, MONDAY, MONDAY + timedelta(days=5))) == expected


def test_a_silence_goes_over_midnight() -> None:
    counts = steady(10 * 24)
    silent(counts, MONDAY + timedelta(days=2, hours=22), 5)
    [found] = silences(counts, MONDAY, MONDAY + timedelta(days=10))
    assert found.hours == 5


def test_a_silence_that_goes_on_is_one_up_to_the_end() -> None:
    counts = steady(4 * 24)
    [found] = silences(counts, MONDAY, MONDAY + timedelta(days=5))
    assert (found.start, found.hours) == (MONDAY + timedelta(days=4), 24)


def test_hours_that_are_always_quiet_are_no_silence() -> None:
    counts = {hour: n for hour, n in steady(10 * 24).items() if 8 <= hour.hour < 18}
    assert silences(counts, MONDAY, MONDAY + timedelta(days=10)) == []


def test_a_quiet_weekend_is_compared_with_weekends() -> None:
    counts = {hour: n for hour, n in steady(28 * 24, 9).items() if hour.weekday() < 5}
    assert silences(counts, MONDAY, MONDAY + timedelta(days=28)) == []


def test_a_young_and_small_business_is_not_compared_with_what_it_became() -> None:
    counts = {MONDAY + n * HOUR: 50 for n in range(60 * 24, 90 * 24)}
    counts |= {MONDAY + n * HOUR: 1 for n in range(0, 60 * 24, 3)}
    assert not [
        found
        for found in silences(counts, MONDAY, MONDAY + timedelta(days=90))
        if found.start < MONDAY + timedelta(days=40)
    ]


def test_the_largest_comes_first() -> None:
    counts = steady(10 * 24)
    silent(counts, MONDAY + timedelta(days=1), 2)
    silent(counts, MONDAY + timedelta(days=4), 6)
    found = silences(counts, MONDAY, MONDAY + timedelta(days=10))
    assert [silence.hours for silence in found] == [6, 2]


def test_a_range_without_a_full_hour_has_none() -> None:
    assert silences({}, MONDAY, MONDAY) == []
