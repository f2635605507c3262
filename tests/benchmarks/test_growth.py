"""Cost grows with the size of an event as a straight line does, in every stage."""

import functools
from typing import NamedTuple

import pytest

from tests.bench.stages import cpu_us

from .conftest import Stage, StageOf


class Costs(NamedTuple):
    """Microseconds of CPU for an event of 1.5, 25 and 250 KB, the cheapest of many rounds each."""

    small: float
    middle: float
    large: float

    @property
    def bend(self) -> float:
        """How much dearer a further byte is from 25 to 250 KB than it is from 1.5 to 25 KB.

        1 for a straight line, 10 for a square, whatever a call costs before its first byte.
        """
        return ((self.large - self.middle) / 225_000) / ((self.middle - self.small) / 23_500)


def costs(stage_of: StageOf) -> Costs:
    """What else the machine does makes a round dearer and never cheaper, so the cheapest counts."""
    stages = [stage_of(size) for size in (1_500, 25_000, 250_000)]
    rounds = [[cpu_us(stage, 0.01) for stage in stages] for _ in range(20)]
    return Costs(*(min(times) for times in zip(*rounds, strict=True)))


def test_a_stage_costs_a_straight_line(stage_of: StageOf) -> None:
    assert 0 < costs(stage_of).bend < 3


def test_a_stage_that_costs_a_square_is_seen() -> None:
    """Taking each line off the front of a body copies the rest of it, again and again."""

    def line_by_line(body: bytes) -> None:
        while body:
            body = body[64:]

    def stage_of(size: int) -> Stage:
        return functools.partial(line_by_line, b"x" * size)

    assert costs(stage_of).bend > 3


@pytest.mark.parametrize(("power", "bend"), [(1, 1), (2, 10.4)])
def test_the_bend_of_a_line_is_1_and_of_a_square_is_10(power: int, bend: float) -> None:
    costs_of_power = Costs(*(100 + size**power for size in (1_500, 25_000, 250_000)))
    assert costs_of_power.bend == pytest.approx(bend, rel=0.01)
