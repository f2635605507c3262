"""What each stage costs: `make bench` prints the table; in other runs each is called once."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from .conftest import SIZES, StageOf


@pytest.mark.parametrize("size", SIZES)
def test_stage(benchmark: BenchmarkFixture, stage_of: StageOf, size: int) -> None:
    benchmark(stage_of(size))
