import itertools
from datetime import date, timedelta

import click
import pytest
from click.testing import CliRunner

from archive_tools.days import Days, days_options

D = date(2026, 11, 23)


def days_of(*arguments: str, default: int | None = None) -> str:
    @click.command()
    @days_options(default)
    def command(days: Days) -> None:
        click.echo(days)

    result = CliRunner().invoke(command, arguments)
    return result.output.strip()


@pytest.fixture
def midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look at the clock is on the day D, and each further one a day later."""
    looks = itertools.count()
    monkeypatch.setattr("archive_tools.days.today", lambda: D + timedelta(days=next(looks)))


def test_a_range_has_both_of_its_ends() -> None:
    days = Days(D, D + timedelta(days=2))
    assert list(days) == [D, D + timedelta(days=1), D + timedelta(days=2)]
    assert D - timedelta(days=1) not in days
    assert D in days
    assert D + timedelta(days=2) in days
    assert D + timedelta(days=3) not in days


def test_an_open_end_has_no_limit() -> None:
    assert date.min in Days(last=D)
    assert date.max in Days(D)
    with pytest.raises(ValueError, match="open end"):
        list(Days(D))


def test_a_range_is_widened_where_it_has_an_end() -> None:
    assert Days(D, D).widened() == Days(D - timedelta(days=1), D + timedelta(days=1))
    assert Days().widened() == Days()
    assert Days(date.min, date.max).widened() == Days(date.min, date.max)
    assert Days(date.min, D).widened(3) == Days(date.min, D + timedelta(days=3))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "all days"),
        (("--from", "2026-11-01"), "2026-11-01 and later"),
        (("--to", "2026-11-01"), "up to 2026-11-01"),
        (("--from", "2026-11-01", "--to", "2026-11-01"), "2026-11-01"),
        (("--from", "2026-11-01", "--to", "2026-11-02"), "2026-11-01 to 2026-11-02"),
        (("--last", "1"), "2026-11-23"),
        (("--last", "3"), "2026-11-21 to 2026-11-23"),
    ],
)
def test_a_command_is_given_its_days(
    arguments: tuple[str, ...], words: str, midnight: None
) -> None:
    assert days_of(*arguments) == words


def test_a_command_can_have_a_default(midnight: None) -> None:
    assert days_of(default=30) == "2026-10-25 to 2026-11-23"
    assert days_of("--from", "2026-11-01", default=30) == "2026-11-01 and later"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "2026-11-02", "--to", "2026-11-01"), "is before"),
        (("--from", "2026-11-02", "--last", "3"), "cannot go with"),
        (("--from", "yesterday"), "yesterday"),
        (("--last", "0"), "0 is not in the range"),
    ],
)
def test_a_range_that_cannot_be_is_refused(arguments: tuple[str, ...], words: str) -> None:
    assert words in days_of(*arguments)
